//! The few system calls that std does not offer, each behind a safe signature.
//!
//! ```text
//!   tap tun raw namespace netlink  -->  sys (unsafe, SAFETY said)  -->  libc
//! ```
//!
//! Promises: no pointer, length or descriptor comes out that a caller could misuse; errors are the
//! OS's. Reading and writing descriptors that std can do (`File`) is left to std.
#![expect(
    unsafe_code,
    reason = "system calls take raw pointers; this is the one file that makes them"
)]

use super::ring::{FRAME_ROOM, Ring};
use bytes::BytesMut;
use std::ffi::{CString, c_int, c_ulong};
use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::mem::{MaybeUninit, size_of, size_of_val, zeroed};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

/// Length of `struct virtio_net_hdr` as TAP and packet sockets use it by default.
pub(super) const VNET_HDR_LEN: usize = 10;
/// Free bytes in front of a frame that [`recv_packet`] gives: one VLAN tag fits.
pub(super) const TAG_ROOM: usize = 4;

fn check(ret: c_int) -> io::Result<c_int> {
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

fn checked_len(ret: isize) -> io::Result<usize> {
    usize::try_from(ret).map_err(|_| io::Error::last_os_error())
}

/// Gives the machine back what the allocator keeps of freed memory, where that is more than is in
/// use and worth the pages' coming back.
#[cfg(target_env = "gnu")]
pub(super) fn trim_heap(worth: usize) {
    // SAFETY: neither takes a pointer, and both may be called at any time, from any thread.
    unsafe {
        let info = libc::mallinfo2();
        if info.fordblks > worth.max(info.uordblks) {
            libc::malloc_trim(0);
        }
    }
}

/// Other allocators see to that by themselves.
#[cfg(not(target_env = "gnu"))]
pub(super) fn trim_heap(_: usize) {}

/// An interface request for `name`.
fn ifreq(name: &str) -> io::Result<libc::ifreq> {
    if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains('\0') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("'{name}' is no interface name (1 to 15 bytes)"),
        ));
    }
    // SAFETY: ifreq is plain data for which all zeros is a valid value.
    let mut req: libc::ifreq = unsafe { zeroed() };
    for (to, from) in req.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    Ok(req)
}

/// A new socket, non-blocking where asked, never inherited by children.
pub(super) fn socket(domain: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; a descriptor that is returned is ours alone.
    unsafe {
        let fd = check(libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Sets one socket option to a plain value.
pub(super) fn set_option<T: Copy>(
    fd: &impl std::os::fd::AsRawFd,
    level: c_int,
    name: c_int,
    value: &T,
) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: the pointer is to a live `T` of the length given; the kernel only reads it.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const *value).cast(), len) })
        .map(drop)
}

/// Attaches a clone device to interface `name` (made if it does not exist; `%d` numbers it) and
/// gives the name it got.
pub(super) fn tun_attach(tun: &File, name: &str, flags: c_int) -> io::Result<String> {
    let mut req = ifreq(name)?;
    // The flags that exist fit the 16 bits of the field, one of them its sign.
    req.ifr_ifru.ifru_flags = u16::try_from(flags).unwrap_or(0).cast_signed();
    // SAFETY: TUNSETIFF reads and writes one ifreq, which lives across the call.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &raw mut req) })?;
    let bytes: Vec<u8> = req
        .ifr_name
        .iter()
        .map(|b| b.cast_unsigned())
        .take_while(|&b| b != 0)
        .collect();
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// Sets the length of the vnet header of a TAP or TUN.
pub(super) fn tun_set_vnet_hdr_len(tun: &File) -> io::Result<()> {
    let len = c_int::try_from(VNET_HDR_LEN).unwrap_or(0);
    // SAFETY: TUNSETVNETHDRSZ reads one int, which lives across the call.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const len) }).map(drop)
}

/// What the kernel may leave undone in frames it hands to a TAP or TUN: `TUN_F_*`.
pub(super) fn tun_set_offload(tun: &File, features: u32) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    check(unsafe {
        libc::ioctl(
            tun.as_raw_fd(),
            libc::TUNSETOFFLOAD,
            c_ulong::from(features),
        )
    })
    .map(drop)
}

/// The number of interface `name` in this network namespace.
pub(super) fn if_index(name: &str) -> io::Result<u32> {
    let c_name = CString::new(name)?;
    // SAFETY: a C string that lives across the call.
    match unsafe { libc::if_nametoindex(c_name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// The MTU of interface `name`.
pub(super) fn if_mtu(name: &str) -> io::Result<usize> {
    let any = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut req = ifreq(name)?;
    // SAFETY: SIOCGIFMTU reads and writes one ifreq and fills `ifru_mtu`, a plain int.
    let mtu = unsafe {
        check(libc::ioctl(any.as_raw_fd(), libc::SIOCGIFMTU, &raw mut req))?;
        req.ifr_ifru.ifru_mtu
    };
    usize::try_from(mtu).map_err(io::Error::other)
}

/// The hardware type (`ARPHRD_*`) and address of interface `name`.
pub(super) fn if_hardware(name: &str) -> io::Result<(u16, [u8; 6])> {
    let any = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut req = ifreq(name)?;
    // SAFETY: SIOCGIFHWADDR reads and writes one ifreq and fills `ifru_hwaddr`, plain data.
    let hw = unsafe {
        check(libc::ioctl(
            any.as_raw_fd(),
            libc::SIOCGIFHWADDR,
            &raw mut req,
        ))?;
        req.ifr_ifru.ifru_hwaddr
    };
    let mut mac = [0; 6];
    for (to, from) in mac.iter_mut().zip(hw.sa_data) {
        *to = from.cast_unsigned();
    }
    Ok((hw.sa_family, mac))
}

/// Binds a packet socket to all protocols of one interface.
pub(super) fn bind_packet(fd: &OwnedFd, index: u32) -> io::Result<()> {
    // SAFETY: sockaddr_ll is plain data for which all zeros is a valid value.
    let mut addr: libc::sockaddr_ll = unsafe { zeroed() };
    addr.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or(0);
    addr.sll_protocol = u16::try_from(libc::ETH_P_ALL).unwrap_or(0).to_be();
    addr.sll_ifindex = c_int::try_from(index).map_err(io::Error::other)?;
    let len = libc::socklen_t::try_from(size_of_val(&addr)).unwrap_or(0);
    // SAFETY: the address lives across the call and has the length given.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const addr).cast(), len) }).map(drop)
}

/// Reads one frame from a TAP or TUN: its vnet header and its bytes.
pub(super) fn read_frame(
    tun: &File,
    ring: &mut Ring,
) -> io::Result<([u8; VNET_HDR_LEN], BytesMut)> {
    let mut header = [0; VNET_HDR_LEN];
    // SAFETY: readv writes into the two live buffers, no further than their lengths; it fills them
    // in order, so what it returns beyond the header is initialised in the room.
    let body = unsafe {
        ring.fill(|room| {
            let iov = [iovec(&mut header), iovec_uninit(room)];
            let n = checked_len(libc::readv(tun.as_raw_fd(), iov.as_ptr(), 2))?;
            Ok(n.saturating_sub(VNET_HDR_LEN))
        })
    }?;
    Ok((header, body))
}

/// What a packet socket says beside a frame.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Packet {
    pub(super) vnet: [u8; VNET_HDR_LEN],
    /// The tag that the kernel took out: protocol identifier and control information.
    pub(super) tag: Option<(u16, u16)>,
    /// Sent by this machine, not received.
    pub(super) outgoing: bool,
    /// Longer than a frame may be; the rest is lost.
    pub(super) truncated: bool,
}

/// Room for the one control message asked for, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Receives one frame from a packet socket, [`TAG_ROOM`] free bytes in front of it.
pub(super) fn recv_packet(socket: &File, ring: &mut Ring) -> io::Result<(Packet, BytesMut)> {
    let mut packet = Packet::default();
    // SAFETY: sockaddr_ll is plain data for which all zeros is a valid value.
    let mut from: libc::sockaddr_ll = unsafe { zeroed() };
    let mut control = Control([0; 64]);
    let mut vnet = [0; VNET_HDR_LEN];
    let mut read = |room: &mut [MaybeUninit<u8>]| {
        let (gap, room) = room.split_at_mut(TAG_ROOM);
        gap.fill(MaybeUninit::new(0));
        let mut iov = [iovec(&mut vnet), iovec_uninit(room)];
        // SAFETY: msghdr is plain data for which all zeros is a valid value.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_name = (&raw mut from).cast();
        message.msg_namelen = libc::socklen_t::try_from(size_of_val(&from)).unwrap_or(0);
        message.msg_iov = iov.as_mut_ptr();
        message.msg_iovlen = 2;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: every pointer in `message` is to a live buffer of the length beside it.
        let n = checked_len(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) })?;
        packet.truncated = message.msg_flags & libc::MSG_TRUNC != 0;
        packet.tag = auxdata_tag(&message);
        Ok(TAG_ROOM + n.saturating_sub(VNET_HDR_LEN))
    };
    // SAFETY: the gap was filled, and recvmsg fills its buffers in order, so that what it returns
    // beyond the vnet header is initialised after the gap.
    let body = unsafe { ring.fill(&mut read) }?;
    packet.vnet = vnet;
    packet.outgoing = from.sll_pkttype == libc::PACKET_OUTGOING;
    Ok((packet, body))
}

/// The VLAN tag in the control messages of a receive, if there is one.
fn auxdata_tag(message: &libc::msghdr) -> Option<(u16, u16)> {
    // SAFETY: the kernel has written well-formed control messages and their length; the macros
    // stay within it. The payload may be unaligned, so it is read as such.
    let aux: libc::tpacket_auxdata = unsafe {
        let mut at = libc::CMSG_FIRSTHDR(message);
        loop {
            let header = at.as_ref()?;
            if header.cmsg_level == libc::SOL_PACKET && header.cmsg_type == libc::PACKET_AUXDATA {
                break libc::CMSG_DATA(at)
                    .cast::<libc::tpacket_auxdata>()
                    .read_unaligned();
            }
            at = libc::CMSG_NXTHDR(message, at);
        }
    };
    const QTAG: u16 = 0x8100;
    if aux.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
        None
    } else if aux.tp_status & libc::TP_STATUS_VLAN_TPID_VALID == 0 {
        Some((QTAG, aux.tp_vlan_tci))
    } else {
        Some((aux.tp_vlan_tpid, aux.tp_vlan_tci))
    }
}

fn iovec(bytes: &mut [u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    }
}

fn iovec_uninit(room: &mut [MaybeUninit<u8>]) -> libc::iovec {
    libc::iovec {
        iov_base: room.as_mut_ptr().cast(),
        iov_len: room.len(),
    }
}

/// Writes a vnet header and a frame's pieces as one frame.
pub(super) fn write_frame<'a>(
    to: &File,
    vnet: &'a [u8; VNET_HDR_LEN],
    frame: &'a stack::frame::Frame,
) -> io::Result<()> {
    /// The vnet header, the frame's own, and 64 KiB of data in chunks of 2 KiB or more.
    const PIECES: usize = 34;
    let mut slices = [IoSlice::new(&[]); PIECES];
    slices[0] = IoSlice::new(vnet);
    let mut used = 1;
    let mut to = to;
    for piece in frame.pieces().filter(|p| !p.is_empty()) {
        let Some(slot) = slices.get_mut(used) else {
            // A datagram in very many pieces: rare enough to be copied.
            let flat = frame.to_bytes();
            return to
                .write_vectored(&[IoSlice::new(vnet), IoSlice::new(&flat)])
                .map(drop);
        };
        *slot = IoSlice::new(piece);
        used += 1;
    }
    to.write_vectored(&slices[..used]).map(drop)
}

/// A timer of CLOCK_MONOTONIC that is readable once it has run off.
pub(super) fn timer() -> io::Result<File> {
    let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
    // SAFETY: no pointers; a descriptor that is returned is ours alone.
    let fd = unsafe {
        let fd = check(libc::timerfd_create(libc::CLOCK_MONOTONIC, flags))?;
        OwnedFd::from_raw_fd(fd)
    };
    Ok(fd.into())
}

/// Lets a timer run off once, so long from now.
pub(super) fn set_timer(timer: &File, after: std::time::Duration) -> io::Result<()> {
    // SAFETY: itimerspec is plain data for which all zeros is a valid value.
    let mut spec: libc::itimerspec = unsafe { zeroed() };
    // All zeros would stop it.
    let after = after.max(std::time::Duration::from_nanos(1));
    spec.it_value.tv_sec = libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX);
    spec.it_value.tv_nsec = after.subsec_nanos().into();
    // SAFETY: the kernel reads one itimerspec, which lives across the call, and writes none.
    check(unsafe {
        let none = std::ptr::null_mut();
        libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const spec, none)
    })
    .map(drop)
}

/// Moves this process into new namespaces (`CLONE_NEW*`). Only while it has one thread.
pub(super) fn unshare(flags: c_int) -> io::Result<()> {
    // SAFETY: no pointers; what changes is this process's view of networks and users.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// Effective user and group.
pub(super) fn effective_ids() -> (u32, u32) {
    // SAFETY: these calls take nothing and cannot fail.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// Sends a signal to a child that has not been waited for, or to the group that it leads.
pub(super) fn kill(child: u32, group: bool, signal: c_int) {
    if let Ok(pid @ 2..) = libc::pid_t::try_from(child) {
        // SAFETY: no pointers.
        unsafe { libc::kill(if group { -pid } else { pid }, signal) };
    }
}

/// Lets a child that has ended go.
pub(super) fn reap(child: u32) {
    if let Ok(pid @ 2..) = libc::pid_t::try_from(child) {
        // SAFETY: a null pointer asks for no status.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
    }
}

/// Raises how many files may be open to `wanted`, or as far as this process may; gives how many.
pub(super) fn raise_open_files(wanted: usize) -> io::Result<usize> {
    let wanted = libc::rlim_t::try_from(wanted).unwrap_or(libc::rlim_t::MAX);
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a limit of ours, which lives as long as the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.rlim_cur < wanted && limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = wanted.min(limit.rlim_max);
        // SAFETY: as above, and it is only read.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    }
    Ok(usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
}

/// Orphans among the descendants become children of this process.
pub(super) fn become_subreaper() -> io::Result<()> {
    const YES: c_ulong = 1;
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, YES, 0, 0, 0) }).map(drop)
}

/// Whether a signal is ignored.
pub(super) fn is_ignored(signal: c_int) -> bool {
    // SAFETY: sigaction is plain data for which all zeros is a valid value; the kernel fills it.
    unsafe {
        let mut now: libc::sigaction = zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut now) == 0
            && now.sa_sigaction == libc::SIG_IGN
    }
}

/// The byte that [`catch`](super::process::catch) writes for a signal of the kernel's own: a terminal's ^C or hangup,
/// which reaches all programs of the terminal's foreground, or the end of a child.
pub const FROM_KERNEL: u8 = 0;
/// The byte for a signal that a process sent.
pub const FROM_PROCESS: u8 = 1;

/// Writes a byte to `pipe`, which does not block, for each such signal: who sent it.
pub(super) fn on_signal(signal: c_int, pipe: UnixStream) -> io::Result<()> {
    let told = move |info: &libc::siginfo_t| {
        // Codes above zero are the kernel's own (sigaction(2)).
        let who = match info.si_code {
            1.. => FROM_KERNEL,
            _ => FROM_PROCESS,
        };
        // SAFETY: one byte that lives across the call; send is safe in a signal handler, and a
        // full pipe has enough news in it.
        unsafe {
            libc::send(
                pipe.as_raw_fd(),
                (&raw const who).cast(),
                1,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
    };
    // SAFETY: the handler calls nothing but send; it neither allocates, locks nor panics.
    unsafe { signal_hook_registry::register_sigaction(signal, told) }.map(drop)
}

const _: () = assert!(FRAME_ROOM > TAG_ROOM);
