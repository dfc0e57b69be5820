//! The tool's part, played in Rust through the C interface: one thread that keeps the time, one
//! whose calls block.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test panics to say what went wrong, and the tool has two threads"
)]

use libc::{c_int, c_void, sockaddr, socklen_t};
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use tapline_packetdrill::{Interface, packetdrill_interface_init};

const HERE: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SYN: u8 = 2;
const PSH: u8 = 8;
const ACK: u8 = 16;

#[derive(Clone, Copy)]
struct Tool(Interface);

// SAFETY: the interface says that its calls may come from any thread.
unsafe impl Send for Tool {}

fn begin(flags: &std::ffi::CStr) -> Tool {
    let mut table = MaybeUninit::<Interface>::uninit();
    // SAFETY: a string, and room for the table, which it fills.
    unsafe {
        packetdrill_interface_init(flags.as_ptr(), table.as_mut_ptr());
        Tool(table.assume_init())
    }
}

fn sockaddr_in(ip: Ipv4Addr, port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: 2,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(ip).to_be(),
        },
        sin_zero: [0; 8],
    }
}

fn errno() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap()
}

/// The Internet checksum.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut total = 0_u32;
    for pair in parts.concat().chunks(2) {
        total += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !u16::try_from(total).unwrap()
}

fn packet(flags: u8, seq: u32, ack: u32, options: &[u8], data: usize) -> Vec<u8> {
    let mut tcp = [40_000_u16.to_be_bytes(), 8080_u16.to_be_bytes()].concat();
    tcp.extend(seq.to_be_bytes());
    tcp.extend(ack.to_be_bytes());
    let words = u8::try_from(20 + options.len()).unwrap() / 4;
    tcp.extend([words << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    tcp.extend(options);
    tcp.resize(tcp.len() + data, 0);
    let len = u16::try_from(tcp.len()).unwrap().to_be_bytes();
    let (src, dst) = (THERE.octets(), HERE.octets());
    let check = sum(&[&src, &dst, &[0, 6], &len, &tcp]).to_be_bytes();
    tcp[16..18].copy_from_slice(&check);
    let total = u16::try_from(20 + tcp.len()).unwrap().to_be_bytes();
    let mut ip = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 6, 0, 0];
    ip.extend([src, dst].concat());
    let check = sum(&[&ip]).to_be_bytes();
    ip[10..12].copy_from_slice(&check);
    ip.extend(tcp);
    ip
}

impl Tool {
    fn now(&self) -> i64 {
        let mut at = libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        };
        // SAFETY: room for the time.
        unsafe { (self.0.gettimeofday)(self.0.userdata, &raw mut at, std::ptr::null_mut()) };
        at.tv_sec * 1_000_000 + at.tv_usec
    }

    fn sleep(&self, micros: u32) {
        // SAFETY: a number.
        unsafe { (self.0.usleep)(self.0.userdata, micros) };
    }

    fn inject(&self, packet: &[u8]) {
        // SAFETY: so many bytes.
        let sent =
            unsafe { (self.0.netdev_send)(self.0.userdata, packet.as_ptr().cast(), packet.len()) };
        assert_eq!(sent, 0);
    }

    /// The next packet that leaves: flags, SEQ, ACK, bytes of data, and when.
    fn sniff(&self) -> (u8, u32, u32, usize, i64) {
        let mut room = vec![0_u8; 65_536];
        let (mut len, mut at) = (room.len(), 0_i64);
        // SAFETY: so many bytes of room, and places for two numbers.
        let got = unsafe {
            let room = room.as_mut_ptr().cast();
            (self.0.netdev_receive)(self.0.userdata, room, &raw mut len, &raw mut at)
        };
        assert_eq!(got, 0);
        assert!(len >= 40, "nothing left: {len}");
        let word = |at: usize| u32::from_be_bytes(room[at..at + 4].try_into().unwrap());
        let header = 20 + usize::from(room[32] >> 4) * 4;
        (room[33], word(24), word(28), len - header, at)
    }

    fn socket(&self) -> c_int {
        // SAFETY: numbers.
        let fd = unsafe { (self.0.socket)(self.0.userdata, libc::AF_INET, libc::SOCK_STREAM, 0) };
        assert!(fd >= 0);
        fd
    }

    fn set(&self, fd: c_int, level: c_int, name: c_int, value: c_int) -> c_int {
        let at: *const c_int = &raw const value;
        // SAFETY: four bytes.
        unsafe { (self.0.setsockopt)(self.0.userdata, fd, level, name, at.cast(), 4) }
    }

    fn bind(&self, fd: c_int, ip: Ipv4Addr) -> c_int {
        let addr = sockaddr_in(ip, 8080);
        let at: *const libc::sockaddr_in = &raw const addr;
        // SAFETY: sixteen bytes.
        unsafe { (self.0.bind)(self.0.userdata, fd, at.cast(), 16) }
    }

    fn accept(&self, fd: c_int) -> (c_int, libc::sockaddr_in) {
        let mut addr = sockaddr_in(HERE, 0);
        let mut len: socklen_t = 16;
        let at: *mut libc::sockaddr_in = &raw mut addr;
        // SAFETY: sixteen bytes of room.
        let got =
            unsafe { (self.0.accept)(self.0.userdata, fd, at.cast::<sockaddr>(), &raw mut len) };
        (got, addr)
    }

    fn write(&self, fd: c_int, len: usize) -> isize {
        let data = vec![0_u8; len];
        // SAFETY: so many bytes.
        unsafe { (self.0.write)(self.0.userdata, fd, data.as_ptr().cast(), len) }
    }

    fn end(self) {
        // SAFETY: once, and last.
        unsafe { (self.0.free)(self.0.userdata) };
    }
}

/// Whether a thread of this process sleeps, as the tool looks it up.
fn sleeps(thread: c_int) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
    stat.is_ok_and(|s| s.rsplit(')').next().is_some_and(|s| s.starts_with(" S")))
}

/// The tests share the process, and the interface has one run at a time.
static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn a_handshake_data_and_a_status_through_the_c_interface() {
    let _one = ONE.lock();
    let tool = begin(c"profile=linux,kernel_sysctls=off");
    let listener = tool.socket();
    assert_eq!(
        tool.set(listener, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1),
        0
    );
    // No flag says what our address is: what is bound to is.
    assert_eq!(tool.bind(listener, HERE), 0);
    // SAFETY: numbers.
    let listening = unsafe { (tool.0.listen)(tool.0.userdata, listener, 1) };
    assert_eq!(listening, 0);

    // A second thread waits for a connection, really asleep, until a packet brings it.
    let (tell, told) = std::sync::mpsc::channel();
    let blocked = std::thread::spawn(move || {
        let tool = tool;
        // SAFETY: it takes nothing.
        tell.send(unsafe { libc::gettid() }).unwrap();
        let accepted = tool.accept(listener);
        (accepted.0, accepted.1.sin_port, tool.now())
    });
    let thread = told.recv().unwrap();
    while !sleeps(thread) {
        std::thread::yield_now();
    }
    let start = tool.now();
    tool.inject(&packet(
        SYN,
        0,
        0,
        &[2, 4, 3, 232, 4, 2, 1, 1, 1, 3, 3, 7],
        0,
    ));
    let (flags, iss, ack, _, at) = tool.sniff();
    assert_eq!((flags, ack), (SYN | ACK, 1));
    assert!((0..100).contains(&(at - start)), "{}", at - start);
    tool.sleep(100_000);
    tool.inject(&packet(ACK, 1, iss + 1, &[], 0));
    let (fd, port, returned) = blocked.join().unwrap();
    assert!(fd > listener && port == 40_000_u16.to_be());
    assert!(
        (100_000..101_000).contains(&(returned - start)),
        "{}",
        returned - start
    );

    assert_eq!(tool.write(fd, 2000), 2000);
    // Cut at the MSS: what the tool joins again.
    let (flags, seq, _, len, _) = tool.sniff();
    assert_eq!((flags, seq, len), (ACK, iss + 1, 1000));
    assert_eq!(tool.sniff().0, ACK | PSH);
    let mut info = [0_u8; 248];
    let mut len: socklen_t = 248;
    let room: *mut c_void = info.as_mut_ptr().cast();
    // The C library's name: what a code block calls.
    // SAFETY: so many bytes of room.
    let got = unsafe {
        tapline_packetdrill::getsockopt(fd, libc::SOL_TCP, libc::TCP_INFO, room, &raw mut len)
    };
    assert_eq!((got, len), (0, 248));
    assert_eq!(info[0], 1, "ESTABLISHED");
    assert_eq!(info[24..28], 2_u32.to_ne_bytes(), "two in flight");
    // SAFETY: so many bytes of room.
    let got = unsafe { libc::getsockopt(2, libc::SOL_TCP, libc::TCP_INFO, room, &raw mut len) };
    assert_eq!(
        (got, errno() == libc::ENOTSOCK),
        (-1, true),
        "others are the kernel's"
    );

    // SAFETY: a null pointer is told of.
    let got = unsafe { (tool.0.read)(tool.0.userdata, fd, std::ptr::null_mut(), 0) };
    assert_eq!(got, 0);
    // SAFETY: as above.
    let got = unsafe { (tool.0.write)(tool.0.userdata, fd, std::ptr::null(), 10) };
    assert_eq!((got, errno()), (-1, libc::EFAULT));
    tool.end();
}

#[test]
fn usleep_wakes_what_it_passes() {
    let _one = ONE.lock();
    let tool = begin(c"kernel_sysctls=off,local_ip=192.168.0.1");
    let fd = tool.socket();
    assert_eq!(tool.bind(fd, Ipv4Addr::new(10, 0, 0, 1)), -1);
    assert_eq!(errno(), libc::EADDRNOTAVAIL);
    let addr = sockaddr_in(THERE, 8080);
    let (tell, told) = std::sync::mpsc::channel();
    let blocked = std::thread::spawn(move || {
        let tool = tool;
        // SAFETY: it takes nothing.
        tell.send(unsafe { libc::gettid() }).unwrap();
        let at: *const libc::sockaddr_in = &raw const addr;
        // SAFETY: sixteen bytes.
        let got = unsafe { (tool.0.connect)(tool.0.userdata, fd, at.cast(), 16) };
        (got, errno(), tool.now())
    });
    let thread = told.recv().unwrap();
    while !sleeps(thread) {
        std::thread::yield_now();
    }
    let start = tool.now();
    // One SYN and nine more, of which five are a second apart, and the others twice as long apart
    // each time; 63 seconds in all, and four more for Linux's steady ones.
    for second in [0, 1, 2, 3, 4, 5, 7, 11, 19, 35] {
        let (flags, .., at) = tool.sniff();
        assert_eq!(flags, SYN);
        let want = second * 1_000_000;
        assert!(
            (at - start - want).abs() < 5_000,
            "{second}: {}",
            at - start
        );
    }
    tool.sleep(40_000_000);
    let (got, error, at) = blocked.join().unwrap();
    assert_eq!((got, error), (-1, libc::ETIMEDOUT));
    let took = at - start;
    assert!((66_990_000..67_010_000).contains(&took), "{took}");
    tool.end();
}
