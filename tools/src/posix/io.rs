//! Bytes in and out: send and receive in all their kinds, pipes, splice, sendfile, and the ioctls
//! that count.

use super::address::{to_program, to_wire};
use super::process::{Descriptor, File, PIPE};
use super::socket::{Socket, Stage, errno_of, errno_of_kind, errno_of_send};
use super::{Answer, ControlMessage, Errno, Op, Process, Profile};
use bytes::Bytes;
use stack::frame::Payload;
use stack::transport::tcp::{Boundary, Error, State};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

/// `linux/tcp.h`: a control message with how much is left to be read.
const TCP_CM_INQ: i32 = 36;
/// `linux/sockios.h`.
const SIOCINQ: u64 = 0x541B;
const SIOCOUTQ: u64 = 0x5411;
const SIOCOUTQNSD: u64 = 0x894B;
const SIOCATMARK: u64 = 0x8905;
const FIONBIO: u64 = 0x5421;

/// Pieces of the program's memory that one buffer refers to where nothing is copied.
const FRAGMENTS: usize = 17;

/// Bytes from `done` on that lie in so many pieces as one buffer refers to.
fn fragments(parts: &[usize], done: usize) -> usize {
    let mut end = 0;
    let ends = parts.iter().map(|len| {
        end += len;
        end
    });
    let mut rest = ends.filter(|end| *end > done);
    rest.nth(FRAGMENTS - 1).map_or(usize::MAX, |end| end - done)
}

/// The step of a call that sleeps until there is room to write.
const SLEEPS: u8 = 9;

/// What came of an attempt to move bytes.
enum Moved {
    /// So many.
    Some(usize),
    /// None, and it may wait.
    Wait,
}

impl Process {
    pub(super) fn recv(&mut self, op: &mut Op, begun: Duration) -> Poll<Answer> {
        let Op::Recv {
            fd,
            len,
            flags,
            null,
            data,
            from,
            control,
            out_flags,
        } = op
        else {
            return Poll::Ready(Err(Errno::EINVAL));
        };
        let (fd, flags) = (*fd, *flags);
        let socket = match self.files.get_mut(&fd) {
            None => return Poll::Ready(Err(Errno::EBADF)),
            Some(Descriptor {
                file: File::Socket(socket),
                ..
            }) => socket,
            Some(_) => return self.read_other(fd, *len, data, begun),
        };
        if flags & libc::MSG_ERRQUEUE != 0 {
            let v6 = socket.domain == libc::AF_INET6;
            return Poll::Ready(socket.errors.pop(v6).map(|(all, flags)| {
                (*control, *out_flags) = (all, flags);
                0
            }));
        }
        if !socket.stream {
            let received = self.recv_udp(fd, *len, flags, data, from, out_flags);
            return self.or_wait(fd, received, flags, begun);
        }
        if flags & libc::MSG_OOB != 0 {
            return Poll::Ready(self.recv_urgent(fd, data, out_flags));
        }
        if *null && *len > 0 && socket.last.unread > 0 {
            return Poll::Ready(Err(Errno::EFAULT));
        }
        let target = match () {
            () if flags & libc::MSG_WAITALL != 0 => *len,
            () => usize::try_from(socket.settings.rcvlowat)
                .unwrap_or(1)
                .clamp(1, (*len).max(1)),
        };
        let answer = self.recv_tcp(fd, *len, flags, data, target);
        let answer = match answer {
            // There is something, though less than asked for: it is given when time is up.
            Ok(Moved::Wait) if !data.is_empty() => {
                let waits = !self.is_nonblocking(fd) && flags & libc::MSG_DONTWAIT == 0;
                let limit = self.socket_of(fd).ok().and_then(|s| s.settings.rcv_timeout);
                if waits && !self.is_late(begun, limit) {
                    return Poll::Pending;
                }
                Ok(Moved::Some(data.len()))
            }
            answer => answer,
        };
        if let Ok(Moved::Some(_)) = answer
            && let Ok(socket) = self.socket_of(fd)
            && socket.settings.inq
        {
            let now = self.instant();
            let left = match socket.stage {
                Stage::Tcp(handle) => self.host.tcp_status(now, handle),
                _ => None,
            };
            // A byte for the end that is still to be read, too.
            let left = left.map_or(0, |s| {
                if s.unread == 0 && s.finished && !data.is_empty() {
                    1
                } else {
                    s.unread
                }
            });
            control.push(ControlMessage {
                level: libc::SOL_TCP,
                kind: TCP_CM_INQ,
                data: left.to_ne_bytes().to_vec(),
            });
        }
        self.or_wait(fd, answer, flags, begun)
    }

    /// The answer of a call that receives, or that it waits.
    fn or_wait(
        &mut self,
        fd: i32,
        moved: Result<Moved, Errno>,
        flags: i32,
        begun: Duration,
    ) -> Poll<Answer> {
        match moved {
            Err(error) => Poll::Ready(Err(error)),
            Ok(Moved::Some(n)) => Poll::Ready(Ok(i64::try_from(n).unwrap_or(i64::MAX))),
            Ok(Moved::Wait) => {
                let limit = self.socket_of(fd).ok().and_then(|s| s.settings.rcv_timeout);
                let nonblock = self.is_nonblocking(fd) || flags & libc::MSG_DONTWAIT != 0;
                if nonblock || self.is_late(begun, limit) {
                    Poll::Ready(Err(Errno::EAGAIN))
                } else {
                    Poll::Pending
                }
            }
        }
    }

    fn recv_tcp(
        &mut self,
        fd: i32,
        len: usize,
        flags: i32,
        data: &mut Vec<u8>,
        target: usize,
    ) -> Result<Moved, Errno> {
        let now = self.instant();
        let socket = self.socket_of(fd)?;
        let handle = match socket.stage {
            Stage::Tcp(handle) => handle,
            Stage::Deferred(_) => return Ok(Moved::Wait),
            _ => return Err(Errno::ENOTCONN),
        };
        if len == 0 {
            return Ok(Moved::Some(0));
        }
        if flags & libc::MSG_PEEK != 0 {
            data.clear();
        }
        let gone = flags & libc::MSG_TRUNC != 0;
        while data.len() < len {
            let status = self.host.tcp_status(now, handle).unwrap_or_default();
            let mut most = len - data.len();
            // Reading stops at the urgent byte; what is read next begins behind it, or with it.
            if let Some(mark) = status.urgent.and_then(|n| usize::try_from(n).ok())
                && mark > 0
            {
                let inline = self.socket_of(fd)?.settings.oob_inline;
                let at_mark = mark == 1 && status.unread > 0;
                if at_mark && !data.is_empty() {
                    break;
                }
                if at_mark && !inline {
                    let _ = self.host.tcp_recv(now, handle, &mut [0]);
                    continue;
                }
                if !at_mark {
                    most = most.min(mark - 1).max(1);
                }
            }
            if status.unread == 0 {
                break;
            }
            let most = most.min(usize::try_from(status.unread).unwrap_or(usize::MAX));
            let start = data.len();
            data.resize(start + most, 0);
            let room = data.get_mut(start..).unwrap_or_default();
            if flags & libc::MSG_PEEK != 0 {
                let n = self.host.tcp_peek(handle, room);
                data.truncate(start + n);
                break;
            }
            let n = self.host.tcp_recv(now, handle, room).unwrap_or(0);
            data.truncate(start + n);
            if n == 0 {
                break;
            }
        }
        let got = data.len();
        if got >= target.min(len) && got > 0 {
            if gone {
                data.clear();
            }
            return Ok(Moved::Some(got));
        }
        let status = self.host.tcp_status(now, handle).unwrap_or_default();
        let socket = self.socket_mut(fd)?;
        socket.last.unread = status.unread;
        let ended = status.finished || socket.shut_read;
        let closed = status.state == State::Closed;
        if got > 0 {
            let over = ended || closed || socket.error.is_some();
            return Ok(if over { Moved::Some(got) } else { Moved::Wait });
        }
        if ended && socket.error.is_none() {
            return Ok(Moved::Some(0));
        }
        socket.take_error()?;
        if ended || closed && socket.was_open {
            return Ok(Moved::Some(0));
        }
        if closed {
            return Err(Errno::ENOTCONN);
        }
        Ok(Moved::Wait)
    }

    /// The urgent byte, out of line.
    fn recv_urgent(&mut self, fd: i32, data: &mut Vec<u8>, flags: &mut i32) -> Answer {
        let socket = self.socket_of(fd)?;
        let Stage::Tcp(handle) = socket.stage else {
            return Err(Errno::ENOTCONN);
        };
        if socket.settings.oob_inline {
            return Err(Errno::EINVAL);
        }
        let mark = socket.urgent_ahead().ok_or(Errno::EINVAL)?;
        let ahead = usize::try_from(mark).unwrap_or(0);
        let mut room = vec![0; ahead];
        if self.host.tcp_peek(handle, &mut room) < ahead {
            return Err(Errno::EAGAIN);
        }
        data.clear();
        data.extend(room.last());
        *flags = libc::MSG_OOB;
        let socket = self.socket_mut(fd)?;
        socket.taken_urgent = socket.urgent_place();
        Ok(1)
    }

    fn recv_udp(
        &mut self,
        fd: i32,
        len: usize,
        flags: i32,
        data: &mut Vec<u8>,
        from: &mut Option<SocketAddr>,
        out_flags: &mut i32,
    ) -> Result<Moved, Errno> {
        let handle = self.udp_of(fd)?;
        if let Some(error) = self.host.udp_take_error(handle) {
            let connected = self.host.udp(handle).is_some_and(|u| u.remote.is_some());
            if connected {
                return Err(errno_of_kind(error.kind, error.offender.is_ipv6()));
            }
        }
        let domain = self.socket_of(fd)?.domain;
        let Some(datagram) = self.host.udp_recv(handle) else {
            return Ok(Moved::Wait);
        };
        let bytes = datagram.payload.to_bytes();
        let n = bytes.len().min(len);
        data.clear();
        data.extend_from_slice(bytes.get(..n).unwrap_or_default());
        *from = Some(to_program(domain, datagram.from));
        if bytes.len() > len {
            *out_flags = libc::MSG_TRUNC;
            if flags & libc::MSG_TRUNC != 0 {
                return Ok(Moved::Some(bytes.len()));
            }
        }
        Ok(Moved::Some(n))
    }

    fn read_other(
        &mut self,
        fd: i32,
        len: usize,
        data: &mut Vec<u8>,
        begun: Duration,
    ) -> Poll<Answer> {
        let nonblock = self.is_nonblocking(fd);
        let file = self.files.get_mut(&fd).map(|d| &mut d.file);
        match file {
            Some(File::PipeOut(at)) => {
                let at = *at;
                let writers = self.has_end(at, false);
                let Some(pipe) = self.pipes.get_mut(at) else {
                    return Poll::Ready(Err(Errno::EBADF));
                };
                if pipe.is_empty() && writers && len > 0 {
                    return if nonblock || self.is_late(begun, None) {
                        Poll::Ready(Err(Errno::EAGAIN))
                    } else {
                        Poll::Pending
                    };
                }
                let n = pipe.len().min(len);
                data.extend(pipe.drain(..n));
                Poll::Ready(Ok(i64::try_from(n).unwrap_or(0)))
            }
            Some(File::Zeros(size, place)) => {
                let left = usize::try_from(*size - *place).unwrap_or(usize::MAX);
                let n = left.min(len);
                *place += n as u64;
                data.resize(n, 0);
                Poll::Ready(Ok(i64::try_from(n).unwrap_or(0)))
            }
            Some(_) => Poll::Ready(Err(Errno::EINVAL)),
            None => Poll::Ready(Err(Errno::EBADF)),
        }
    }

    pub(super) fn send(&mut self, op: &mut Op, begun: Duration, step: &mut u8) -> Poll<Answer> {
        let Op::Send {
            fd,
            data,
            flags,
            to,
            parts,
            null,
            done,
            ..
        } = op
        else {
            return Poll::Ready(Err(Errno::EINVAL));
        };
        let (fd, flags) = (*fd, *flags);
        let socket = match self.files.get(&fd).map(|d| &d.file) {
            None => return Poll::Ready(Err(Errno::EBADF)),
            Some(File::Socket(socket)) => socket,
            Some(File::PipeIn(at)) => {
                let at = *at;
                return self.write_pipe(fd, at, data);
            }
            Some(_) => return Poll::Ready(Err(Errno::EINVAL)),
        };
        if !socket.stream {
            return self.send_udp(fd, data, *to, *null, flags, begun);
        }
        match self.send_first(fd, data, flags, *to, *null, (begun, step), done) {
            Ok(None) => {}
            Ok(Some(ready)) => return ready,
            Err(error) => return Poll::Ready(Err(error)),
        }
        if *null && !data.is_empty() {
            return Poll::Ready(Err(Errno::EFAULT));
        }
        self.send_tcp(fd, (data, parts), done, flags, (begun, step))
    }

    /// What comes before bytes are moved: Fast Open's connect, or the end of another connect.
    #[expect(clippy::too_many_arguments, reason = "they are the call's")]
    fn send_first(
        &mut self,
        fd: i32,
        data: &[u8],
        flags: i32,
        to: Option<SocketAddr>,
        null: bool,
        (begun, step): (Duration, &mut u8),
        done: &mut usize,
    ) -> Result<Option<Poll<Answer>>, Errno> {
        let mode = self.mode;
        let socket = self.socket_of(fd)?;
        let wants = flags & libc::MSG_FASTOPEN != 0;
        let deferred = match socket.stage {
            Stage::Deferred(to) => Some(to),
            _ => None,
        };
        // Where a call names the peer of a socket that has none, FreeBSD connects it.
        if *step == 0
            && let (Stage::Fresh, Some(to)) = (&socket.stage, to)
            && socket.settings.profile == Profile::FreeBsd
        {
            let to = to_wire(mode, socket.domain, to)?;
            return self.open_and_go_on(fd, to, data).map(Some);
        }
        if *step == 0 && (wants || deferred.is_some()) {
            *step = 1;
            if wants && self.sysctls.fastopen & 1 == 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            if deferred.is_none() {
                match socket.stage {
                    Stage::Fresh => {}
                    Stage::Tcp(_) if socket.connecting => return Err(Errno::EALREADY),
                    _ => return Err(Errno::EISCONN),
                }
            }
            let to = match (deferred, to) {
                (Some(to), _) => to,
                (None, Some(to)) => to_wire(mode, socket.domain, to)?,
                (None, None) => return Err(Errno::EINVAL),
            };
            if null && !data.is_empty() {
                return Err(Errno::EFAULT);
            }
            let wait = !self.is_nonblocking(fd) && flags & libc::MSG_DONTWAIT == 0;
            return self.open_with(fd, to, data, wait.then_some(done), (begun, step));
        }
        if *step == 3 {
            // The connect of a Fast Open that waits for its answer.
            return Ok(match self.await_connect(fd, begun, Errno::EINPROGRESS) {
                Poll::Ready(Ok(_)) => None,
                other => Some(other),
            });
        }
        let socket = self.socket_of(fd)?;
        if socket.is_opening() && matches!(socket.stage, Stage::Tcp(_)) {
            let limit = socket.settings.snd_timeout;
            let nonblock = self.is_nonblocking(fd) || flags & libc::MSG_DONTWAIT != 0;
            let late = nonblock || self.is_late(begun, limit);
            return Ok(Some(match late {
                true => Poll::Ready(Err(Errno::EAGAIN)),
                false => Poll::Pending,
            }));
        }
        Ok(None)
    }

    /// Opens a connection and hands over data that follows, or goes with the SYN where that may be.
    fn open_and_go_on(
        &mut self,
        fd: i32,
        to: SocketAddr,
        data: &[u8],
    ) -> Result<Poll<Answer>, Errno> {
        let now = self.instant();
        let fast = self.socket_of(fd)?.settings.fast_open > 0 && self.sysctls.fastopen & 1 != 0;
        self.open_tcp(fd, to, fast)?;
        let Stage::Tcp(handle) = self.socket_of(fd)?.stage else {
            return Err(Errno::EINVAL);
        };
        let n = self.host.tcp_send(now, handle, data).unwrap_or(0);
        self.socket_mut(fd)?.written += n as u64;
        self.settle();
        Ok(Poll::Ready(Ok(i64::try_from(n).unwrap_or(0))))
    }

    /// Opens a connection with data in its SYN, where that may be. Who waits for the answer counts
    /// in `done` what was handed over by then, and writes the rest afterwards.
    fn open_with(
        &mut self,
        fd: i32,
        to: SocketAddr,
        data: &[u8],
        waits: Option<&mut usize>,
        (begun, step): (Duration, &mut u8),
    ) -> Result<Option<Poll<Answer>>, Errno> {
        let known = self.knows_cookie(fd, to);
        self.open_tcp(fd, to, true)?;
        self.socket_mut(fd)?.opened_early = true;
        let now = self.instant();
        let socket = self.socket_of(fd)?;
        let Stage::Tcp(handle) = socket.stage else {
            return Err(Errno::EINVAL);
        };
        let in_syn = self.host.tcp_fast_open_room(handle);
        let most = usize::try_from(socket.settings.sndbuf / 2).unwrap_or(0);
        let (stamping, zerocopy) = (socket.settings.timestamping, socket.settings.zerocopy);
        let mut n = 0;
        if known {
            let first = data.get(..data.len().min(in_syn)).unwrap_or_default();
            n = self.host.tcp_send(now, handle, first).unwrap_or(0);
            self.socket_mut(fd)?.early = n as u64;
        }
        if waits.is_some() && data.len() <= most {
            // What waits goes with the first acknowledgment.
            let rest = data.get(n..).filter(|rest| !rest.is_empty());
            let sent = rest.map(|rest| {
                self.host
                    .tcp_send_until(now, handle, rest, Boundary::Push)
                    .unwrap_or(0)
            });
            n += sent.unwrap_or(0);
        }
        let socket = self.socket_mut(fd)?;
        socket.syn_data |= known;
        socket.written += n as u64;
        let end = socket.written;
        if known && waits.is_none() {
            socket.stamps.watch(end, stamping, zerocopy && n > 0);
        }
        self.settle();
        match waits {
            Some(done) => {
                *done = n;
                *step = 3;
                Ok(match self.await_connect(fd, begun, Errno::EINPROGRESS) {
                    Poll::Ready(Ok(_)) => None,
                    other => Some(other),
                })
            }
            None if known => {
                *step = 4;
                Ok(Some(Poll::Ready(Ok(i64::try_from(n).unwrap_or(0)))))
            }
            None => {
                *step = 3;
                Ok(Some(self.await_connect(fd, begun, Errno::EINPROGRESS)))
            }
        }
    }

    fn send_tcp(
        &mut self,
        fd: i32,
        (data, parts): (&[u8], &[usize]),
        done: &mut usize,
        flags: i32,
        (begun, step): (Duration, &mut u8),
    ) -> Poll<Answer> {
        let sleeps = *step == SLEEPS && self.socket_of(fd).is_ok_and(Socket::sleeps);
        let answer = match sleeps {
            true => Ok(()),
            false => self.write(fd, (data, parts), done, flags),
        };
        let all = *done >= data.len();
        let late = match answer {
            Ok(()) if all => true,
            Ok(()) => {
                let limit = self.socket_of(fd).ok().and_then(|s| s.settings.snd_timeout);
                let nonblock = self.is_nonblocking(fd) || flags & libc::MSG_DONTWAIT != 0;
                nonblock || self.is_late(begun, limit)
            }
            Err(error) if *done == 0 => return Poll::Ready(Err(error)),
            Err(error) => {
                // It is for the next call to hear.
                if let Ok(socket) = self.socket_mut(fd)
                    && error != Errno::EPIPE
                {
                    socket.error = Some(error);
                }
                true
            }
        };
        if !late {
            *step = SLEEPS;
            return Poll::Pending;
        }
        if *done == 0 && !data.is_empty() {
            return Poll::Ready(Err(Errno::EAGAIN));
        }
        let n = *done;
        if let Ok(socket) = self.socket_mut(fd)
            && n > 0
        {
            let zerocopy = socket.settings.zerocopy && flags & libc::MSG_ZEROCOPY != 0;
            let (end, stamping) = (socket.written, socket.settings.timestamping);
            socket.stamps.watch(end, stamping, zerocopy);
        }
        Poll::Ready(Ok(i64::try_from(n).unwrap_or(0)))
    }

    /// Hands over as much as Linux would take now.
    fn write(
        &mut self,
        fd: i32,
        (data, parts): (&[u8], &[usize]),
        done: &mut usize,
        flags: i32,
    ) -> Result<(), Errno> {
        let now = self.instant();
        let more = flags & libc::MSG_MORE != 0;
        if self.socket_of(fd)?.more != more {
            let socket = self.socket_mut(fd)?;
            socket.more = more;
            socket.acked_more = socket.last.bytes_acked;
            self.tell_options(fd);
        }
        loop {
            let socket = self.socket_mut(fd)?;
            let Stage::Tcp(handle) = socket.stage else {
                return Err(Errno::EPIPE);
            };
            socket.take_error()?;
            if socket.shut_write || socket.state() == State::Closed {
                return Err(Errno::EPIPE);
            }
            let Some(rest) = data.get(*done..).filter(|rest| !rest.is_empty()) else {
                return Ok(());
            };
            let mut n = socket.room(rest.len());
            if n == 0 {
                socket.nospace = true;
                if *done > 0 {
                    self.host.tcp_push(now, handle);
                }
                return Ok(());
            }
            let mut cut = false;
            if flags & libc::MSG_ZEROCOPY != 0 && socket.settings.zerocopy {
                let most = fragments(parts, *done);
                cut = most < rest.len() && most <= n;
                n = n.min(most);
            }
            let all = *done + n == data.len();
            let boundary = match flags {
                _ if cut => Boundary::Record,
                _ if !all => Boundary::More,
                flags if flags & libc::MSG_EOR != 0 => Boundary::Record,
                _ if more => Boundary::More,
                _ => Boundary::Push,
            };
            let part = rest.get(..n).unwrap_or_default();
            let urgent = flags & libc::MSG_OOB != 0 && all;
            let sent = if urgent {
                self.host.tcp_send_urgent(now, handle, part)
            } else {
                self.host.tcp_send_until(now, handle, part, boundary)
            };
            match sent {
                Ok(n) => {
                    *done += n;
                    self.socket_mut(fd)?.written += n as u64;
                    // What fills a buffer goes before the next is begun.
                    self.update_sockets();
                    let last = &self.socket_of(fd)?.last;
                    if all || cut {
                        // With the rest.
                    } else if last.pushed {
                        self.settle();
                    } else if last.waiting == 1 {
                        self.send_one();
                    }
                }
                Err(Error::WouldBlock) => return Ok(()),
                Err(error) => {
                    let six = self.socket_of(fd)?.speaks_six();
                    return Err(errno_of(error, State::Closed, six).unwrap_or(Errno::EPIPE));
                }
            }
        }
    }

    fn send_udp(
        &mut self,
        fd: i32,
        data: &[u8],
        to: Option<SocketAddr>,
        null: bool,
        flags: i32,
        begun: Duration,
    ) -> Poll<Answer> {
        let attempt = |this: &mut Self| {
            if null && !data.is_empty() {
                return Err(Errno::EFAULT);
            }
            let now = this.instant();
            let handle = this.udp_of(fd)?;
            let domain = this.socket_of(fd)?.domain;
            let to = to.map(|to| to_wire(this.mode, domain, to)).transpose()?;
            let payload = Payload::from(Bytes::copy_from_slice(data));
            let sent = this.host.udp_send(now, handle, payload, to);
            sent.map_err(errno_of_send)
        };
        match attempt(self) {
            Ok(()) => Poll::Ready(Ok(i64::try_from(data.len()).unwrap_or(0))),
            Err(Errno::EAGAIN) => self.or_wait(fd, Ok(Moved::Wait), flags, begun),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    pub(super) fn pipe(&mut self, flags: i32, fds: &mut [i32; 2]) -> Answer {
        let at = self.pipes.len();
        self.pipes.push(VecDeque::new());
        let nonblock = flags & libc::O_NONBLOCK != 0;
        let cloexec = flags & libc::O_CLOEXEC != 0;
        let out = self.add(File::PipeOut(at), nonblock, cloexec)?;
        let to = self.add(File::PipeIn(at), nonblock, cloexec)?;
        *fds = [out, to].map(|fd| i32::try_from(fd).unwrap_or(-1));
        Ok(0)
    }

    fn has_end(&self, pipe: usize, reader: bool) -> bool {
        self.files.values().any(|d| match d.file {
            File::PipeOut(at) => reader && at == pipe,
            File::PipeIn(at) => !reader && at == pipe,
            _ => false,
        })
    }

    /// A descriptor that was no socket is gone: a pipe without ends forgets what it holds.
    pub(super) fn close_pipe(&mut self, gone: Option<Descriptor>) {
        if let Some(File::PipeOut(at) | File::PipeIn(at)) = gone.map(|d| d.file)
            && !self.has_end(at, true)
            && let Some(pipe) = self.pipes.get_mut(at)
        {
            pipe.clear();
        }
    }

    fn write_pipe(&mut self, fd: i32, at: usize, data: &[u8]) -> Poll<Answer> {
        if !self.has_end(at, true) {
            return Poll::Ready(Err(Errno::EPIPE));
        }
        let nonblock = self.is_nonblocking(fd);
        let Some(pipe) = self.pipes.get_mut(at) else {
            return Poll::Ready(Err(Errno::EBADF));
        };
        let n = (PIPE - pipe.len().min(PIPE)).min(data.len());
        if n == 0 && !data.is_empty() {
            return if nonblock {
                Poll::Ready(Err(Errno::EAGAIN))
            } else {
                Poll::Pending
            };
        }
        pipe.extend(data.get(..n).unwrap_or_default());
        Poll::Ready(Ok(i64::try_from(n).unwrap_or(0)))
    }

    pub(super) fn splice(&mut self, op: &mut Op, begun: Duration, step: &mut u8) -> Poll<Answer> {
        let Op::Splice {
            from,
            to,
            len,
            flags,
            done,
        } = op
        else {
            return Poll::Ready(Err(Errno::EINVAL));
        };
        let (from, to) = (*from, *to);
        let file = |fd: i32| self.files.get(&fd).map(|d| &d.file);
        let nonblock = *flags & libc::SPLICE_F_NONBLOCK != 0;
        let more = *flags & libc::SPLICE_F_MORE != 0;
        match (file(from), file(to)) {
            (None, _) | (_, None) => Poll::Ready(Err(Errno::EBADF)),
            (Some(File::Socket(_)), Some(File::PipeIn(at))) => {
                let at = *at;
                let room = self.pipes.get(at).map_or(0, |p| PIPE - p.len().min(PIPE));
                let urgent = self.socket_of(from).map(|s| (s.last.urgent, s.last.unread));
                if urgent == Ok((Some(1), 1)) {
                    // The urgent byte alone is nothing to move, and nothing to wait for.
                    return Poll::Ready(Ok(0));
                }
                let flags = if nonblock { libc::MSG_DONTWAIT } else { 0 };
                let mut read = Op::recv(from, (*len).min(room), flags);
                let answer = self.recv(&mut read, begun);
                if let Op::Recv { data, .. } = read
                    && let Some(pipe) = self.pipes.get_mut(at)
                {
                    pipe.extend(data);
                }
                answer
            }
            (Some(File::PipeOut(at)), Some(File::Socket(_))) => {
                let at = *at;
                let Some(pipe) = self.pipes.get(at) else {
                    return Poll::Ready(Err(Errno::EBADF));
                };
                let data: Vec<u8> = pipe.iter().take(*len).copied().collect();
                if data.is_empty() {
                    return match (nonblock, self.has_end(at, false)) {
                        (_, false) => Poll::Ready(Ok(0)),
                        (true, _) => Poll::Ready(Err(Errno::EAGAIN)),
                        (false, _) => Poll::Pending,
                    };
                }
                let mut flags = if nonblock { libc::MSG_DONTWAIT } else { 0 };
                flags |= if more { libc::MSG_MORE } else { 0 };
                let answer = self.send_tcp(to, (&data, &[]), done, flags, (begun, step));
                if let Poll::Ready(Ok(n)) = answer
                    && let Some(pipe) = self.pipes.get_mut(at)
                {
                    pipe.drain(..usize::try_from(n).unwrap_or(0).min(pipe.len()));
                }
                answer
            }
            _ => Poll::Ready(Err(Errno::EINVAL)),
        }
    }

    pub(super) fn sendfile(&mut self, op: &mut Op, begun: Duration, step: &mut u8) -> Poll<Answer> {
        let Op::SendFile {
            to,
            from,
            offset,
            len,
            done,
        } = op
        else {
            return Poll::Ready(Err(Errno::EINVAL));
        };
        let (size, place) = match self.files.get(from).map(|d| &d.file) {
            None => return Poll::Ready(Err(Errno::EBADF)),
            Some(File::Zeros(size, place)) => (*size, offset.unwrap_or(*place)),
            Some(_) => return Poll::Ready(Err(Errno::EINVAL)),
        };
        let left = usize::try_from(size.saturating_sub(place)).unwrap_or(usize::MAX);
        let data = vec![0; left.min(*len)];
        let answer = self.send_tcp(*to, (&data, &[]), done, 0, (begun, step));
        if let Poll::Ready(Ok(n)) = answer {
            let n = u64::try_from(n).unwrap_or(0);
            match (offset, self.files.get_mut(from).map(|d| &mut d.file)) {
                (Some(offset), _) => *offset += n,
                (None, Some(File::Zeros(_, place))) => *place += n,
                _ => {}
            }
        }
        answer
    }

    pub(super) fn ioctl(&mut self, fd: i32, request: u64, value: &mut i32) -> Answer {
        let descriptor = self.files.get_mut(&fd).ok_or(Errno::EBADF)?;
        if request == FIONBIO {
            descriptor.nonblock = *value != 0;
            return Ok(0);
        }
        let File::Socket(socket) = &descriptor.file else {
            return Err(Errno::ENOTTY);
        };
        if matches!(socket.stage, Stage::Listening(_)) {
            return Err(Errno::EINVAL);
        }
        let last = &socket.last;
        let unacked = socket.written.saturating_sub(last.bytes_acked);
        let count = match request {
            SIOCINQ => u64::from(last.unread),
            SIOCOUTQ if socket.is_opening() => 0,
            SIOCOUTQ => unacked,
            SIOCOUTQNSD if socket.is_opening() => 0,
            SIOCOUTQNSD => u64::from(last.not_sent),
            SIOCATMARK => u64::from(last.urgent == Some(1)),
            _ => return Err(Errno::ENOTTY),
        };
        *value = i32::try_from(count).unwrap_or(i32::MAX);
        Ok(0)
    }
}
