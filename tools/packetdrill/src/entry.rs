//! The 32 calls of the interface. Each reads what C gave, makes the call, and writes what came.

use crate::interface::Interface;
use crate::memory::{
    address_at, bytes_at, gather, get, pieces, put, put_address, put_message, scatter, set,
    set_errno,
};
use crate::session::{Session, release};
use libc::{
    c_int, c_long, c_uint, c_ulong, c_void, epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd,
    size_t, sockaddr, socklen_t, ssize_t, timeval,
};
use std::time::Duration;
use tools::posix::{Answer, EpollEvent, Errno, Op, OptVal, PollFd, Target};

/// The session behind `userdata`.
///
/// # Safety
/// `userdata` is what [`Interface`] was filled with, and has not been given to `free`.
unsafe fn session<'a>(userdata: *mut c_void) -> &'a Session {
    // SAFETY: it points to the session, which lives until `free`.
    unsafe { &*userdata.cast::<Session>() }
}

/// An answer as C has it.
fn give(answer: Answer) -> i64 {
    answer.unwrap_or_else(|error| {
        set_errno(error);
        -1
    })
}

fn give_int(answer: Answer) -> c_int {
    c_int::try_from(give(answer)).unwrap_or(c_int::MAX)
}

fn give_size(answer: Answer) -> ssize_t {
    ssize_t::try_from(give(answer)).unwrap_or(ssize_t::MAX)
}

/// A descriptor that the real kernel knows too.
fn new_descriptor() -> Result<c_int, Errno> {
    // SAFETY: it takes two numbers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    if fd < 0 { Err(Errno::EMFILE) } else { Ok(fd) }
}

fn drop_descriptor(fd: c_int) {
    // SAFETY: it takes a number, and this one is ours.
    unsafe { libc::close(fd) };
}

/// Makes a call that gives `count` descriptors, under numbers that the real kernel has set aside.
fn open(session: &Session, op: Op, count: usize) -> (Op, Answer) {
    let mut numbers = Vec::new();
    for _ in 0..count {
        match new_descriptor() {
            Ok(fd) => numbers.push(fd),
            Err(error) => {
                numbers.into_iter().for_each(drop_descriptor);
                return (op, Err(error));
            }
        }
    }
    let (op, answer) = session.open(op, &numbers);
    if answer.is_err() {
        numbers.into_iter().for_each(drop_descriptor);
    }
    (op, answer)
}

unsafe extern "C" fn free(userdata: *mut c_void) {
    // SAFETY: as the interface says, once, and last.
    unsafe { release(userdata.cast()) };
}

unsafe extern "C" fn socket(u: *mut c_void, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    let op = Op::Socket {
        domain,
        kind,
        protocol,
    };
    // SAFETY: as the interface says.
    give_int(open(unsafe { session(u) }, op, 1).1)
}

unsafe extern "C" fn bind(
    u: *mut c_void,
    fd: c_int,
    addr: *const sockaddr,
    len: socklen_t,
) -> c_int {
    // SAFETY: as the interface says.
    let (session, addr) = unsafe { (session(u), address_at(addr, len)) };
    let addr = match addr {
        Ok(Target::Addr(addr)) => Some(addr),
        Ok(Target::Null) => None,
        Ok(Target::Unspec) => return give_int(Err(Errno::EAFNOSUPPORT)),
        Err(error) => return give_int(Err(error)),
    };
    give_int(session.call(Op::Bind { fd, addr }).1)
}

unsafe extern "C" fn listen(u: *mut c_void, fd: c_int, backlog: c_int) -> c_int {
    // SAFETY: as the interface says.
    give_int(unsafe { session(u) }.call(Op::Listen { fd, backlog }).1)
}

unsafe extern "C" fn accept(
    u: *mut c_void,
    fd: c_int,
    addr: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: as the interface says.
    let (op, answer) = open(unsafe { session(u) }, Op::accept(fd), 1);
    if let (Op::Accept { peer, .. }, Ok(_)) = (op, &answer) {
        // SAFETY: as the interface says.
        unsafe { put_address(addr, len, peer) };
    }
    give_int(answer)
}

unsafe extern "C" fn connect(
    u: *mut c_void,
    fd: c_int,
    addr: *const sockaddr,
    len: socklen_t,
) -> c_int {
    // SAFETY: as the interface says.
    let (session, to) = unsafe { (session(u), address_at(addr, len)) };
    match to {
        Ok(to) => give_int(session.call(Op::Connect { fd, to }).1),
        Err(error) => give_int(Err(error)),
    }
}

/// All kinds of receiving: into `pieces`, or nowhere where one of them is null.
///
/// # Safety
/// Each piece is null, or has so many writable bytes.
unsafe fn receive(session: &Session, fd: c_int, room: &[iovec], flags: c_int) -> (Op, Answer) {
    let len = room.iter().map(|piece| piece.iov_len).sum();
    let mut op = Op::recv(fd, len, flags);
    if let Op::Recv { null, .. } = &mut op {
        *null = room
            .iter()
            .any(|piece| piece.iov_base.is_null() && piece.iov_len > 0);
    }
    let (op, answer) = session.call(op);
    if let Op::Recv { data, .. } = &op {
        // SAFETY: as the caller says.
        unsafe { scatter(room, data) };
    }
    (op, answer)
}

const fn piece(at: *mut c_void, len: size_t) -> [iovec; 1] {
    [iovec {
        iov_base: at,
        iov_len: len,
    }]
}

unsafe extern "C" fn read(u: *mut c_void, fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t {
    // SAFETY: as the interface says.
    give_size(unsafe { receive(session(u), fd, &piece(buf, len), 0) }.1)
}

unsafe extern "C" fn readv(u: *mut c_void, fd: c_int, iov: *const iovec, n: c_int) -> ssize_t {
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    // SAFETY: as the interface says.
    match unsafe { pieces(iov, n) } {
        // SAFETY: as the interface says.
        Ok(room) => give_size(unsafe { receive(session(u), fd, &room, 0) }.1),
        Err(error) => give_size(Err(error)),
    }
}

unsafe extern "C" fn recv(
    u: *mut c_void,
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: as the interface says.
    give_size(unsafe { receive(session(u), fd, &piece(buf, len), flags) }.1)
}

unsafe extern "C" fn recvfrom(
    u: *mut c_void,
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
    addr: *mut sockaddr,
    addr_len: *mut socklen_t,
) -> ssize_t {
    // SAFETY: as the interface says.
    let (op, answer) = unsafe { receive(session(u), fd, &piece(buf, len), flags) };
    if let (Op::Recv { from, .. }, Ok(_)) = (op, &answer) {
        // SAFETY: as the interface says.
        unsafe { put_address(addr, addr_len, from) };
    }
    give_size(answer)
}

unsafe extern "C" fn recvmsg(
    u: *mut c_void,
    fd: c_int,
    message: *mut msghdr,
    flags: c_int,
) -> ssize_t {
    // SAFETY: as the interface says.
    let Some(header) = (unsafe { get(message) }) else {
        return give_size(Err(Errno::EFAULT));
    };
    // SAFETY: as the interface says.
    let room = match unsafe { pieces(header.msg_iov, header.msg_iovlen) } {
        Ok(room) => room,
        Err(error) => return give_size(Err(error)),
    };
    // SAFETY: as the interface says.
    let (op, answer) = unsafe { receive(session(u), fd, &room, flags) };
    if let (
        Op::Recv {
            from,
            control,
            out_flags,
            ..
        },
        Ok(_),
    ) = (op, &answer)
    {
        // SAFETY: as the interface says.
        unsafe { put_message(message, from, &control, out_flags) };
    }
    give_size(answer)
}

/// So much that is not there may be told of by what it lacks, and more by its length.
const MOST_OF_NOTHING: usize = 1 << 20;

/// All kinds of sending.
///
/// # Safety
/// Each piece is null, or has so many readable bytes.
unsafe fn transmit(
    session: &Session,
    fd: c_int,
    pieces: &[iovec],
    flags: c_int,
    to: Result<Target, Errno>,
) -> Answer {
    // SAFETY: as the caller says.
    let data = unsafe { gather(pieces) };
    let lengths = pieces.iter().map(|piece| piece.iov_len);
    let len = lengths.fold(0, usize::saturating_add);
    let to = match to? {
        Target::Addr(addr) => Some(addr),
        Target::Null => None,
        Target::Unspec => return Err(Errno::EAFNOSUPPORT),
    };
    let null = data.is_none();
    if null && len > MOST_OF_NOTHING {
        return Err(Errno::EFAULT);
    }
    let data = data.unwrap_or_else(|| vec![0; len]);
    let op = Op::Send {
        fd,
        data,
        flags,
        to,
        control: Vec::new(),
        parts: pieces.iter().map(|piece| piece.iov_len).collect(),
        null,
        done: 0,
    };
    session.call(op).1
}

unsafe extern "C" fn write(u: *mut c_void, fd: c_int, buf: *const c_void, len: size_t) -> ssize_t {
    let data = piece(buf.cast_mut(), len);
    // SAFETY: as the interface says.
    give_size(unsafe { transmit(session(u), fd, &data, 0, Ok(Target::Null)) })
}

unsafe extern "C" fn writev(u: *mut c_void, fd: c_int, iov: *const iovec, n: c_int) -> ssize_t {
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    // SAFETY: as the interface says.
    match unsafe { pieces(iov, n) } {
        Ok(data) => {
            // SAFETY: as the interface says.
            give_size(unsafe { transmit(session(u), fd, &data, 0, Ok(Target::Null)) })
        }
        Err(error) => give_size(Err(error)),
    }
}

unsafe extern "C" fn send(
    u: *mut c_void,
    fd: c_int,
    buf: *const c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    let data = piece(buf.cast_mut(), len);
    // SAFETY: as the interface says.
    give_size(unsafe { transmit(session(u), fd, &data, flags, Ok(Target::Null)) })
}

unsafe extern "C" fn sendto(
    u: *mut c_void,
    fd: c_int,
    buf: *const c_void,
    len: size_t,
    flags: c_int,
    addr: *const sockaddr,
    addr_len: socklen_t,
) -> ssize_t {
    let data = piece(buf.cast_mut(), len);
    // SAFETY: as the interface says.
    give_size(unsafe { transmit(session(u), fd, &data, flags, address_at(addr, addr_len)) })
}

unsafe extern "C" fn sendmsg(
    u: *mut c_void,
    fd: c_int,
    message: *const msghdr,
    flags: c_int,
) -> ssize_t {
    // SAFETY: as the interface says.
    let Some(header) = (unsafe { get(message) }) else {
        return give_size(Err(Errno::EFAULT));
    };
    // SAFETY: as the interface says.
    let data = match unsafe { pieces(header.msg_iov, header.msg_iovlen) } {
        Ok(data) => data,
        Err(error) => return give_size(Err(error)),
    };
    // SAFETY: as the interface says.
    give_size(unsafe {
        let to = address_at(header.msg_name.cast(), header.msg_namelen);
        // An empty name is none.
        let to = if header.msg_namelen == 0 {
            Ok(Target::Null)
        } else {
            to
        };
        transmit(session(u), fd, &data, flags, to)
    })
}

// Declared with `...`; one word behind the fixed ones lies where a fixed one would.
unsafe extern "C" fn fcntl(u: *mut c_void, fd: c_int, cmd: c_int, arg: c_long) -> c_int {
    // SAFETY: as the interface says.
    give_int(unsafe { session(u) }.call(Op::Fcntl { fd, cmd, arg }).1)
}

unsafe extern "C" fn ioctl(u: *mut c_void, fd: c_int, request: c_ulong, at: *mut c_int) -> c_int {
    // SAFETY: as the interface says; the requests that we know all have an int.
    let Some(value) = (unsafe { get(at) }) else {
        return give_int(Err(Errno::EFAULT));
    };
    let op = Op::Ioctl { fd, request, value };
    // SAFETY: as the interface says.
    let (op, answer) = unsafe { session(u) }.call(op);
    if let (Op::Ioctl { value, .. }, Ok(_)) = (op, &answer) {
        // SAFETY: as above.
        unsafe { set(at, value) };
    }
    give_int(answer)
}

unsafe extern "C" fn close(u: *mut c_void, fd: c_int) -> c_int {
    // SAFETY: as the interface says.
    let answer = unsafe { session(u) }.call(Op::Close { fd }).1;
    if answer.is_ok() {
        drop_descriptor(fd);
    }
    give_int(answer)
}

unsafe extern "C" fn shutdown(u: *mut c_void, fd: c_int, how: c_int) -> c_int {
    // SAFETY: as the interface says.
    give_int(unsafe { session(u) }.call(Op::Shutdown { fd, how }).1)
}

/// `getsockopt` of a session's socket.
///
/// # Safety
/// `len` is null, or points to the number of bytes that are writable at `value`.
pub(crate) unsafe fn get_option(
    session: &Session,
    fd: c_int,
    (level, name): (c_int, c_int),
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: as the caller says.
    let Some(room) = (unsafe { get(len) }) else {
        return give_int(Err(Errno::EFAULT));
    };
    let room = usize::try_from(room).unwrap_or(0);
    if value.is_null() && room > 0 {
        return give_int(Err(Errno::EFAULT));
    }
    let (op, answer) = session.call(Op::get(fd, level, name, room));
    if let (Op::GetSockOpt { value: got, .. }, Ok(_)) = (op, &answer) {
        // SAFETY: as the caller says.
        unsafe {
            put(value, room, &got.0);
            set(len, socklen_t::try_from(got.0.len()).unwrap_or(0));
        }
    }
    give_int(answer)
}

unsafe extern "C" fn getsockopt(
    u: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: as the interface says.
    unsafe { get_option(session(u), fd, (level, name), value, len) }
}

unsafe extern "C" fn setsockopt(
    u: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    let len = usize::try_from(len).unwrap_or(0);
    // SAFETY: as the interface says.
    let value = unsafe { bytes_at(value, len) }.map(OptVal);
    let op = Op::SetSockOpt {
        fd,
        level,
        name,
        value,
    };
    // SAFETY: as the interface says.
    give_int(unsafe { session(u) }.call(op).1)
}

unsafe extern "C" fn poll(u: *mut c_void, at: *mut pollfd, n: nfds_t, timeout: c_int) -> c_int {
    let n = usize::try_from(n).unwrap_or(0);
    if at.is_null() && n > 0 {
        return give_int(Err(Errno::EFAULT));
    }
    // SAFETY: as the interface says, there are so many.
    let fds = (0..n).map(|i| unsafe { at.add(i).read_unaligned() });
    let fds = fds.map(|p| PollFd {
        fd: p.fd,
        events: p.events,
        revents: 0,
    });
    let op = Op::Poll {
        fds: fds.collect(),
        timeout,
    };
    // SAFETY: as the interface says.
    let (op, answer) = unsafe { session(u) }.call(op);
    if let Op::Poll { fds, .. } = op {
        for (i, fd) in fds.iter().enumerate() {
            let value = pollfd {
                fd: fd.fd,
                events: fd.events,
                revents: fd.revents,
            };
            // SAFETY: as the interface says, there are so many.
            unsafe { set(at.add(i), value) };
        }
    }
    give_int(answer)
}

unsafe extern "C" fn netdev_send(u: *mut c_void, buf: *const c_void, len: size_t) -> c_int {
    // SAFETY: as the interface says.
    match unsafe { bytes_at(buf, len) } {
        Some(packet) => {
            // SAFETY: as the interface says.
            unsafe { session(u) }.deliver(&packet);
            0
        }
        None => give_int(Err(Errno::EFAULT)),
    }
}

unsafe extern "C" fn netdev_receive(
    u: *mut c_void,
    buf: *mut c_void,
    count: *mut size_t,
    micros: *mut i64,
) -> c_int {
    // SAFETY: as the interface says.
    let Some(room) = (unsafe { get(count) }) else {
        return give_int(Err(Errno::EFAULT));
    };
    // SAFETY: as the interface says.
    let sent = unsafe { session(u) }.receive();
    // Nothing that leaves soon: no bytes, and the tool says so.
    let (packet, at) = sent.map_or((Vec::new(), Duration::ZERO), |s| (s.packet, s.at));
    let at = (crate::session::EPOCH + at).as_micros();
    // SAFETY: as the interface says.
    unsafe {
        let n = put(buf, room, &packet);
        set(count, n);
        set(micros, i64::try_from(at).unwrap_or(i64::MAX));
    }
    0
}

unsafe extern "C" fn usleep(u: *mut c_void, micros: c_uint) -> c_int {
    // SAFETY: as the interface says.
    unsafe { session(u) }.sleep(Duration::from_micros(micros.into()));
    0
}

unsafe extern "C" fn gettimeofday(u: *mut c_void, at: *mut timeval, _zone: *mut c_void) -> c_int {
    // SAFETY: as the interface says.
    let now = unsafe { session(u) }.clock();
    let value = timeval {
        tv_sec: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        tv_usec: now.subsec_micros().into(),
    };
    // SAFETY: as the interface says.
    unsafe { set(at, value) };
    0
}

unsafe extern "C" fn epoll_create(u: *mut c_void, size: c_int) -> c_int {
    if size <= 0 {
        return give_int(Err(Errno::EINVAL));
    }
    // SAFETY: as the interface says.
    give_int(open(unsafe { session(u) }, Op::EpollCreate { flags: 0 }, 1).1)
}

unsafe extern "C" fn epoll_ctl(
    u: *mut c_void,
    epfd: c_int,
    op: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    // SAFETY: as the interface says.
    let event = unsafe { get(event) }.map(|e| EpollEvent {
        events: e.events,
        data: e.u64,
    });
    let op = Op::EpollCtl {
        epfd,
        op,
        fd,
        event,
    };
    // SAFETY: as the interface says.
    give_int(unsafe { session(u) }.call(op).1)
}

unsafe extern "C" fn epoll_wait(
    u: *mut c_void,
    epfd: c_int,
    at: *mut epoll_event,
    max: c_int,
    timeout: c_int,
) -> c_int {
    if at.is_null() {
        return give_int(Err(Errno::EFAULT));
    }
    let op = Op::EpollWait {
        epfd,
        max,
        timeout,
        events: Vec::new(),
    };
    // SAFETY: as the interface says.
    let (op, answer) = unsafe { session(u) }.call(op);
    if let (Op::EpollWait { events, .. }, Ok(_)) = (op, &answer) {
        for (i, event) in events.iter().enumerate() {
            let value = epoll_event {
                events: event.events,
                u64: event.data,
            };
            // SAFETY: as the interface says, there is room for `max`, and there are no more.
            unsafe { set(at.add(i), value) };
        }
    }
    give_int(answer)
}

unsafe extern "C" fn pipe(u: *mut c_void, at: *mut c_int) -> c_int {
    if at.is_null() {
        return give_int(Err(Errno::EFAULT));
    }
    let op = Op::Pipe {
        flags: 0,
        fds: [-1; 2],
    };
    // SAFETY: as the interface says.
    let (op, answer) = open(unsafe { session(u) }, op, 2);
    if let (Op::Pipe { fds, .. }, Ok(_)) = (op, &answer) {
        // SAFETY: as the interface says, there are two.
        unsafe { set(at.cast::<[c_int; 2]>(), fds) };
    }
    give_int(answer)
}

unsafe extern "C" fn splice(
    u: *mut c_void,
    from: c_int,
    _from_at: *mut loff_t,
    to: c_int,
    _to_at: *mut loff_t,
    len: size_t,
    flags: c_uint,
) -> ssize_t {
    // Neither end has a place: sockets and pipes are read in order.
    let op = Op::Splice {
        from,
        to,
        len,
        flags,
        done: 0,
    };
    // SAFETY: as the interface says.
    give_size(unsafe { session(u) }.call(op).1)
}

/// All calls, for a session.
pub(crate) fn table(userdata: *mut c_void) -> Interface {
    Interface {
        userdata,
        free,
        socket,
        bind,
        listen,
        accept,
        connect,
        read,
        readv,
        recv,
        recvfrom,
        recvmsg,
        write,
        writev,
        send,
        sendto,
        sendmsg,
        fcntl,
        ioctl,
        close,
        shutdown,
        getsockopt,
        setsockopt,
        poll,
        netdev_send,
        netdev_receive,
        usleep,
        gettimeofday,
        epoll_create,
        epoll_ctl,
        epoll_wait,
        pipe,
        splice,
    }
}
