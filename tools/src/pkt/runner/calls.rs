//! A script's system calls: arguments to data, and what comes back compared.

use super::socket::{Socket, State};
use super::state::{Pending, Result, Runner, Stop, cannot, clock, fail};
use crate::pkt::constants;
use crate::pkt::place::Place;
use crate::pkt::tree::{Expr, Field, SystemCall};
use crate::posix::{
    Answer, Call, ControlMessage, EpollEvent, Errno, Mode, Op, OptVal, PollFd, Target,
    is_unhonoured,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Poll;

/// The calls that can be made.
pub(crate) const NAMES: [&str; 34] = [
    "socket",
    "bind",
    "listen",
    "accept",
    "accept4",
    "connect",
    "read",
    "readv",
    "recv",
    "recvfrom",
    "recvmsg",
    "write",
    "writev",
    "send",
    "sendto",
    "sendmsg",
    "fcntl",
    "ioctl",
    "close",
    "shutdown",
    "getsockopt",
    "setsockopt",
    "poll",
    "open",
    "sendfile",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "pipe",
    "pipe2",
    "splice",
    "getsockname",
    "getpeername",
];

/// A descriptor the script never got: no process has it either.
const NO_FD: i32 = 1_000_000;

/// A number of an expression; an unknown name is no fault of the stack's.
pub(crate) fn number(expr: &Expr) -> std::result::Result<i64, String> {
    match expr {
        Expr::Int(value) => Ok(*value),
        Expr::Word(name) => {
            constants::value(name).ok_or_else(|| format!("the constant {name} is not known"))
        }
        Expr::Or(left, right) => Ok(number(left)? | number(right)?),
        Expr::List(items) => match items.as_slice() {
            [one] => number(one),
            _ => Err("a list where a number is needed".into()),
        },
        Expr::Apply(name, args) => match (name.as_str(), args.as_slice()) {
            ("htons" | "htonl", [value]) => number(value),
            ("inet_addr", [Expr::Str(text)]) => {
                let ip: Option<Ipv4Addr> =
                    std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
                ip.map(|ip| i64::from(u32::from_ne_bytes(ip.octets())))
                    .ok_or("no address".into())
            }
            _ => Err(format!("{name}(…) is not known")),
        },
        _ => Err("a number is needed here".into()),
    }
}

fn int(expr: &Expr) -> Result<i32> {
    let value = number(expr).map_err(Stop::Cannot)?;
    // Flags may be written as unsigned numbers.
    i32::try_from(value)
        .or_else(|_| u32::try_from(value).map(u32::cast_signed))
        .or_else(|_| cannot(format!("{value} is too large for an int")))
}

/// The most that one call can move: half of what Linux's can.
const MOST_BYTES: usize = 1 << 30;

fn count(expr: &Expr) -> Result<usize> {
    let value = number(expr).map_err(Stop::Cannot)?;
    match usize::try_from(value) {
        Ok(count) if count <= MOST_BYTES => Ok(count),
        Ok(_) => cannot(format!(
            "{value} bytes are more than one call can move here"
        )),
        Err(_) => cannot("a negative number of bytes"),
    }
}

/// Bytes of all buffers together.
fn total(parts: &[usize]) -> Result<usize> {
    // Each is bounded, and so many do not fit in a script.
    match parts.iter().sum::<usize>() {
        sum if sum <= MOST_BYTES => Ok(sum),
        sum => cannot(format!("{sum} bytes are more than one call can move here")),
    }
}

/// An option as the script names it.
fn shown(expr: &Expr) -> String {
    match expr {
        Expr::Word(name) => name.clone(),
        Expr::Int(value) => value.to_string(),
        _ => "an option".to_owned(),
    }
}

fn field<'a>(fields: &'a [Field], name: &str) -> Option<&'a Expr> {
    fields
        .iter()
        .find(|f| f.name.as_deref() == Some(name))
        .map(|f| &f.value)
}

fn fields_of(expr: &Expr) -> Result<&[Field]> {
    match expr {
        Expr::Struct(fields) => Ok(fields),
        _ => cannot("a {…} is needed here"),
    }
}

/// Length of an iovec list.
fn iovec(expr: &Expr) -> Result<usize> {
    total(&iovec_parts(expr)?)
}

/// Length of each of its buffers.
fn iovec_parts(expr: &Expr) -> Result<Vec<usize>> {
    let Expr::List(items) = expr else {
        return cannot("a list of buffers is needed here");
    };
    items
        .iter()
        .map(|item| match fields_of(item)? {
            [_, len] => count(&len.value),
            _ => cannot("a buffer is {..., length}"),
        })
        .collect()
}

impl Runner<'_> {
    fn fd(&self, expr: &Expr) -> Result<i32> {
        let script = int(expr)?;
        Ok(match self.fds.get(&script) {
            Some(live) => *live,
            None if script < 0 => script,
            None => NO_FD + script.min(NO_FD),
        })
    }

    /// Makes a call; a blocking one may still wait when this returns.
    pub(super) fn call(&mut self, at: Place, spec: &SystemCall, end: Option<u64>) -> Result<()> {
        let mut call = Call::from(self.op(spec)?);
        let begun = self.now();
        // Nothing but what others do meanwhile ends a call; twenty minutes cover every timeout.
        let limit = begun + 1_200_000_000_000;
        loop {
            match self.process.call(&mut call) {
                Poll::Ready(answer) => {
                    let done = Pending {
                        at,
                        spec: spec.clone(),
                        call,
                        begun,
                        end: end.unwrap_or(begun),
                    };
                    self.finish(&done, answer, end.is_some())?;
                    return self.settle();
                }
                Poll::Pending if end.is_some() => {
                    let end = end.unwrap_or(begun);
                    self.pending.push(Pending {
                        at,
                        spec: spec.clone(),
                        call,
                        begun,
                        end,
                    });
                    return self.settle();
                }
                Poll::Pending => {
                    self.settle()?;
                    if !self.advance_to_next(limit)? {
                        return fail("blocks, and nothing would wake it");
                    }
                }
            }
        }
    }

    /// Asks the calls that wait again; whether one of them is done.
    pub(super) fn ask_pending(&mut self) -> Result<bool> {
        for index in 0..self.pending.len() {
            let Some(waiting) = self.pending.get_mut(index) else {
                break;
            };
            if let Poll::Ready(answer) = self.process.call(&mut waiting.call) {
                let done = self.pending.remove(index);
                self.finish(&done, answer, true)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// After the last event: what still waits must return in its time.
    pub(super) fn finish_calls(&mut self) -> std::result::Result<(), (Place, Stop)> {
        while let Some(waiting) = self.pending.first() {
            let (at, end) = (waiting.at, waiting.end);
            let late = end
                + self
                    .prepared
                    .config
                    .tolerance
                    .max(end.saturating_sub(waiting.begun) / 8);
            let still = |runner: &Self| runner.pending.iter().any(|other| other.at == at);
            if self.now() < late {
                self.advance(late).map_err(|stop| (at, stop))?;
            }
            if still(self) {
                let why = format!("{} still blocks at {}", self.name_at(at), clock(late));
                return Err((at, Stop::Fail(why, Vec::new())));
            }
        }
        Ok(())
    }

    fn name_at(&self, at: Place) -> String {
        let waiting = self.pending.iter().find(|other| other.at == at);
        waiting.map_or_else(|| "a call".to_owned(), |waiting| waiting.spec.name.clone())
    }

    /// Compares what a call gave, and keeps what it made.
    fn finish(&mut self, done: &Pending, answer: Answer, timed: bool) -> Result<()> {
        let spec = &done.spec;
        let wrong = |why: String| {
            let place = format!("line {}: ", done.at.line);
            fail(format!("{place}{}: {why}", spec.name))
        };
        let checked = self.check(done, answer);
        if let Err(Stop::Fail(why, _)) = checked {
            if !self.prepared.config.lenient_calls {
                return wrong(why);
            }
            self.note(format!("warning: {why}"));
        } else {
            checked?;
        }
        if !timed {
            return Ok(());
        }
        let now = self.now();
        let slack = self
            .prepared
            .config
            .tolerance
            .max(done.end.saturating_sub(done.begun) / 8);
        if now.abs_diff(done.end) > slack {
            return wrong(format!(
                "returned at {}, expected {}",
                clock(now),
                clock(done.end)
            ));
        }
        self.note(format!("{} returns", spec.name));
        Ok(())
    }

    fn check(&mut self, done: &Pending, answer: Answer) -> Result<()> {
        let spec = &done.spec;
        let got = answer.unwrap_or(-1);
        let told = match answer {
            Ok(value) => value.to_string(),
            Err(errno) => format!("-1 {errno}"),
        };
        if spec.result != Expr::Ellipsis {
            let expected = number(&spec.result).map_err(Stop::Cannot)?;
            let fd = matches!(
                done.call.op,
                Op::Socket { .. } | Op::Accept { .. } | Op::EpollCreate { .. } | Op::Open { .. }
            );
            let same = if fd && expected >= 0 {
                got >= 0
            } else {
                got == expected
            };
            if !same {
                let name = spec
                    .errno
                    .as_deref()
                    .map(|e| format!(" {e}"))
                    .unwrap_or_default();
                return fail(format!("expected {expected}{name}, got {told}"));
            }
        }
        if let (Some(name), Err(errno)) = (&spec.errno, answer)
            && Errno::from_name(name) != Some(errno)
        {
            return fail(format!("expected -1 {name}, got {told}"));
        }
        if answer.is_err() {
            return Ok(());
        }
        self.keep(spec, &done.call.op, got)?;
        self.compare_outputs(spec, &done.call.op)
    }

    /// Keeps what a call made or changed.
    fn keep(&mut self, spec: &SystemCall, op: &Op, got: i64) -> Result<()> {
        let live = i32::try_from(got).unwrap_or(-1);
        match op {
            Op::Socket { .. } => {
                let script = int(&spec.result)?;
                let mut socket = Socket::new(State::New);
                (socket.script_fd, socket.live_fd) = (Some(script), Some(live));
                self.sockets.push(socket);
                self.under_test = Some(self.sockets.len() - 1);
                self.fds.insert(script, live);
            }
            Op::Accept { peer, .. } => {
                let script = int(&spec.result)?;
                self.fds.insert(script, live);
                let port = peer.map(|peer| peer.port());
                let found = self.sockets.iter_mut().rev().find(|socket| {
                    let passive = matches!(
                        socket.state,
                        State::PacketReceived | State::SynAckSent | State::SynAckAcked
                    );
                    passive && (port.is_none() || socket.remote.map(|(_, port)| port) == port)
                });
                if let Some(socket) = found {
                    (socket.script_fd, socket.live_fd) = (Some(script), Some(live));
                }
            }
            Op::EpollCreate { .. } | Op::Open { .. } => {
                self.fds.insert(int(&spec.result)?, live);
            }
            Op::Pipe { fds, .. } => {
                if let Some(Expr::List(names)) = spec.args.first() {
                    for (name, live) in names.iter().zip(fds) {
                        self.fds.insert(int(name)?, *live);
                    }
                }
            }
            Op::Listen { fd, .. } => {
                if let Some(socket) = self.by_live_fd(*fd) {
                    socket.state = State::Listening;
                }
            }
            Op::Close { fd } => {
                let fd = *fd;
                self.fds.retain(|_, live| *live != fd);
            }
            _ => {}
        }
        Ok(())
    }

    fn by_live_fd(&mut self, fd: i32) -> Option<&mut Socket> {
        self.sockets
            .iter_mut()
            .rev()
            .find(|socket| socket.live_fd == Some(fd))
    }

    // ---- arguments ----

    fn domain(&self, expr: &Expr) -> Result<i32> {
        match expr {
            Expr::Ellipsis if self.prepared.config.setup.mode == Mode::V4 => Ok(libc::AF_INET),
            Expr::Ellipsis => Ok(libc::AF_INET6),
            named => int(named),
        }
    }

    /// An address as this mode's sockets have it.
    fn as_socket_has_it(&self, ip: IpAddr) -> IpAddr {
        match (self.prepared.config.setup.mode, ip) {
            (Mode::Mapped, IpAddr::V4(ip)) => ip.to_ipv6_mapped().into(),
            _ => ip,
        }
    }

    fn address(&self, expr: &Expr, own: bool) -> Result<Target> {
        let config = &self.prepared.config;
        let (ip, port) = if own {
            (config.setup.local, config.bind_port)
        } else {
            (config.setup.remote, config.connect_port)
        };
        match expr {
            Expr::Ellipsis => Ok(Target::Addr(SocketAddr::new(
                self.as_socket_has_it(ip),
                port,
            ))),
            Expr::Int(0) => Ok(Target::Null),
            Expr::Word(name) if name == "AF_UNSPEC" => Ok(Target::Unspec),
            Expr::Struct(fields) => sockaddr(fields),
            Expr::Word(_) | Expr::Int(_) => cannot("an address of a family that is not known"),
            _ => cannot("an address is needed here"),
        }
    }

    /// Bytes to send: zeros for `...`, the text's otherwise. And whether the pointer is null.
    fn bytes(&mut self, expr: &Expr, len: usize) -> Result<(Vec<u8>, bool)> {
        match expr {
            Expr::Ellipsis => Ok((vec![0; len], false)),
            Expr::Int(0) => Ok((vec![0; len], true)),
            Expr::Str(text) => {
                self.zeros = false;
                let mut bytes = text.clone();
                bytes.resize(len, 0);
                Ok((bytes, false))
            }
            _ => cannot("bytes to send are `...`, a string or 0"),
        }
    }

    fn op(&mut self, spec: &SystemCall) -> Result<Op> {
        let args = spec.args.as_slice();
        let name = spec.name.as_str();
        Ok(match (name, args) {
            ("socket", [domain, kind, protocol]) => Op::Socket {
                domain: self.domain(domain)?,
                kind: int(kind)?,
                protocol: int(protocol)?,
            },
            ("bind", [fd, addr, _]) => Op::Bind {
                fd: self.fd(fd)?,
                addr: match self.address(addr, true)? {
                    Target::Addr(addr) => Some(addr),
                    Target::Unspec | Target::Null => None,
                },
            },
            ("listen", [fd, backlog]) => Op::Listen {
                fd: self.fd(fd)?,
                backlog: int(backlog)?,
            },
            ("accept", [fd, _, _]) => Op::accept(self.fd(fd)?),
            ("accept4", [fd, _, _, flags]) => Op::Accept {
                fd: self.fd(fd)?,
                flags: int(flags)?,
                peer: None,
            },
            ("connect", [fd, addr, _]) => {
                let (fd, to) = (self.fd(fd)?, self.address(addr, false)?);
                self.connecting(fd, to);
                Op::Connect { fd, to }
            }
            ("read" | "readv" | "recv" | "recvfrom" | "recvmsg", [fd, rest @ ..]) => {
                let fd = self.fd(fd)?;
                self.recv_op(name, fd, rest)?
            }
            ("write" | "writev" | "send" | "sendto" | "sendmsg", [fd, rest @ ..]) => {
                let fd = self.fd(fd)?;
                self.send_op(name, fd, rest)?
            }
            ("fcntl", [fd, cmd, rest @ ..]) => Op::Fcntl {
                fd: self.fd(fd)?,
                cmd: int(cmd)?,
                arg: rest.first().map_or(Ok(0), |arg| int(arg).map(i64::from))?,
            },
            ("ioctl", [fd, request, rest @ ..]) => Op::Ioctl {
                fd: self.fd(fd)?,
                request: number(request).map_err(Stop::Cannot)?.cast_unsigned(),
                value: rest.first().map_or(Ok(0), int)?,
            },
            ("close", [fd]) => Op::Close { fd: self.fd(fd)? },
            ("shutdown", [fd, how]) => Op::Shutdown {
                fd: self.fd(fd)?,
                how: int(how)?,
            },
            ("getsockopt", [fd, level, option, _, len]) => {
                Op::get(self.fd(fd)?, int(level)?, int(option)?, count(len)?)
            }
            ("setsockopt", [fd, level, option, value, len]) => {
                let (level, name) = (int(level)?, int(option)?);
                let value = option_value(value, count(len)?)?;
                let fd = self.fd(fd)?;
                let connected = self.process.is_connection(fd);
                if value
                    .as_ref()
                    .is_some_and(|v| is_unhonoured(level, name, v, connected))
                {
                    return cannot(format!("{} so set is not honoured", shown(option)));
                }
                Op::SetSockOpt {
                    fd,
                    level,
                    name,
                    value,
                }
            }
            ("getsockname", [fd, ..]) => Op::GetSockName {
                fd: self.fd(fd)?,
                addr: None,
            },
            ("getpeername", [fd, ..]) => Op::GetPeerName {
                fd: self.fd(fd)?,
                addr: None,
            },
            _ => return self.other_op(name, args),
        })
    }

    fn other_op(&self, name: &str, args: &[Expr]) -> Result<Op> {
        Ok(match (name, args) {
            ("poll", [Expr::List(fds), _, timeout]) => Op::Poll {
                fds: fds
                    .iter()
                    .map(|fd| self.poll_fd(fd))
                    .collect::<Result<_>>()?,
                timeout: int(timeout)?,
            },
            ("open", [Expr::Str(path), ..]) => {
                let path = String::from_utf8_lossy(path);
                match self.files.get(path.trim_end_matches('\0')) {
                    Some(len) => Op::Open { len: *len },
                    None => return cannot(format!("there is no file {path}")),
                }
            }
            ("sendfile", [to, from, offset, len]) => Op::SendFile {
                to: self.fd(to)?,
                from: self.fd(from)?,
                offset: match offset {
                    Expr::Int(0) => None,
                    offset => Some(number(offset).map_err(Stop::Cannot)?.cast_unsigned()),
                },
                len: count(len)?,
                done: 0,
            },
            ("epoll_create", [_]) => Op::EpollCreate { flags: 0 },
            ("epoll_create1", [flags]) => Op::EpollCreate { flags: int(flags)? },
            ("epoll_ctl", [epfd, op, fd, event]) => Op::EpollCtl {
                epfd: self.fd(epfd)?,
                op: int(op)?,
                fd: self.fd(fd)?,
                event: match event {
                    Expr::Struct(_) => Some(self.epoll_event(event)?),
                    _ => None,
                },
            },
            ("epoll_wait", [epfd, _, max, timeout]) => Op::EpollWait {
                epfd: self.fd(epfd)?,
                max: int(max)?,
                timeout: int(timeout)?,
                events: Vec::new(),
            },
            ("pipe", [_]) => Op::Pipe {
                flags: 0,
                fds: [0; 2],
            },
            ("pipe2", [_, flags]) => Op::Pipe {
                flags: int(flags)?,
                fds: [0; 2],
            },
            ("splice", [from, _, to, _, len, flags]) => Op::Splice {
                from: self.fd(from)?,
                to: self.fd(to)?,
                len: count(len)?,
                flags: int(flags)?.cast_unsigned(),
                done: 0,
            },
            (name, args) if NAMES.contains(&name) => {
                return cannot(format!(
                    "{name} with {} arguments of these kinds",
                    args.len()
                ));
            }
            _ => return cannot(format!("the system call {name} is not known")),
        })
    }

    fn recv_op(&self, name: &str, fd: i32, rest: &[Expr]) -> Result<Op> {
        let null = rest.first() == Some(&Expr::Int(0));
        let (len, flags) = match (name, rest) {
            ("read", [_, len]) => (count(len)?, 0),
            ("recv", [_, len, flags]) | ("recvfrom", [_, len, flags, _, _]) => {
                (count(len)?, int(flags)?)
            }
            ("readv", [buffers, _]) => (iovec(buffers)?, 0),
            ("recvmsg", [message, flags]) => {
                let buffers = field(fields_of(message)?, "msg_iov");
                (buffers.map_or(Ok(0), iovec)?, int(flags)?)
            }
            _ => return cannot(format!("{name} with other arguments than its own")),
        };
        let mut op = Op::recv(fd, len, flags);
        if let Op::Recv { null: is, .. } = &mut op {
            *is = null;
        }
        Ok(op)
    }

    fn send_op(&mut self, name: &str, fd: i32, rest: &[Expr]) -> Result<Op> {
        let mut target = None;
        let mut messages = Vec::new();
        let mut lengths = Vec::new();
        let ((bytes, is_null), flags) = match (name, rest) {
            ("write", [data, len]) => (self.bytes(data, count(len)?)?, 0),
            ("send", [data, len, flags]) => (self.bytes(data, count(len)?)?, int(flags)?),
            ("sendto", [data, len, flags, to, _]) => {
                target = Some(self.address(to, false)?);
                (self.bytes(data, count(len)?)?, int(flags)?)
            }
            ("writev", [buffers, _]) => {
                lengths = iovec_parts(buffers)?;
                ((vec![0; total(&lengths)?], false), 0)
            }
            ("sendmsg", [message, flags]) => {
                let fields = fields_of(message)?;
                if let Some(name) = field(fields, "msg_name") {
                    target = Some(self.address(name, false)?);
                }
                if let Some(Expr::List(list)) = field(fields, "msg_control") {
                    messages = list.iter().map(control_out).collect::<Result<_>>()?;
                }
                if let Some(buffers) = field(fields, "msg_iov") {
                    lengths = iovec_parts(buffers)?;
                }
                ((vec![0; total(&lengths)?], false), int(flags)?)
            }
            _ => return cannot(format!("{name} with other arguments than its own")),
        };
        let mut op = Op::send(fd, bytes, flags);
        if let Op::Send {
            to,
            control,
            parts,
            null,
            ..
        } = &mut op
        {
            if let Some(target) = target {
                self.connecting(fd, target);
                if let Target::Addr(addr) = target {
                    *to = Some(addr);
                }
            }
            *control = messages;
            *parts = lengths;
            *null = is_null;
        }
        Ok(op)
    }

    /// A new socket is about to open a connection.
    fn connecting(&mut self, fd: i32, to: Target) {
        let Some(socket) = self.by_live_fd(fd) else {
            return;
        };
        match to {
            Target::Unspec => {
                // What the call makes leave is still this connection's.
                socket.state = State::New;
            }
            Target::Addr(addr) if socket.state == State::New => {
                socket.state = State::Connecting;
                let ip = match addr.ip() {
                    IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4),
                    ip @ IpAddr::V4(_) => ip,
                };
                socket.remote = Some((ip, addr.port()));
                socket.local = None;
            }
            _ => {}
        }
    }

    fn poll_fd(&self, expr: &Expr) -> Result<PollFd> {
        let fields = fields_of(expr)?;
        let (Some(fd), Some(events)) = (field(fields, "fd"), field(fields, "events")) else {
            return cannot("a pollfd has fd and events");
        };
        let events = i16::try_from(int(events)?).unwrap_or(-1);
        Ok(PollFd {
            fd: self.fd(fd)?,
            events,
            revents: 0,
        })
    }

    fn epoll_event(&self, expr: &Expr) -> Result<EpollEvent> {
        let fields = fields_of(expr)?;
        let events = field(fields, "events").map_or(Ok(0), int)?.cast_unsigned();
        let data = match field(fields, "fd") {
            Some(fd) => u64::from(self.fd(fd)?.cast_unsigned()),
            None => ["ptr", "u32", "u64"]
                .iter()
                .find_map(|name| field(fields, name))
                .map_or(Ok(0), |value| number(value).map_err(Stop::Cannot))?
                .cast_unsigned(),
        };
        Ok(EpollEvent { events, data })
    }

    // ---- what comes back ----

    fn compare_outputs(&self, spec: &SystemCall, op: &Op) -> Result<()> {
        match (op, spec.args.as_slice()) {
            (Op::GetSockOpt { value, .. }, [_, _, _, expected, len]) => {
                compare_option(expected, len, value)
            }
            (Op::Ioctl { value, .. }, [_, _, Expr::List(expected)]) => match expected.first() {
                Some(expected) if *expected != Expr::Ellipsis && int(expected)? != *value => {
                    fail(format!("expected [{}], got [{value}]", int(expected)?))
                }
                _ => Ok(()),
            },
            (Op::Poll { fds, .. }, [Expr::List(expected), ..]) => {
                for (expected, got) in expected.iter().zip(fds) {
                    let wanted = field(fields_of(expected)?, "revents").map_or(Ok(0), int)?;
                    if wanted != i32::from(got.revents) {
                        let name = |bits| constants::bits("POLL", bits);
                        return fail(format!(
                            "expected revents {}, got {}",
                            name(i64::from(wanted)),
                            name(i64::from(got.revents))
                        ));
                    }
                }
                Ok(())
            }
            (Op::EpollWait { events, .. }, [_, expected @ Expr::Struct(_), ..]) => {
                let wanted = self.epoll_event(expected)?;
                let got = events.first().copied().unwrap_or_default();
                if wanted == got {
                    return Ok(());
                }
                let name = |event: EpollEvent| constants::bits("EPOLL", i64::from(event.events));
                fail(format!(
                    "expected {} of {}, got {} of {}",
                    name(wanted),
                    wanted.data,
                    name(got),
                    got.data
                ))
            }
            (
                Op::Recv {
                    control, out_flags, ..
                },
                [_, Expr::Struct(message), _],
            ) if spec.name == "recvmsg" => self.compare_message(message, control, *out_flags),
            (Op::Recv { data, .. }, [_, Expr::Str(expected), ..]) => {
                let text = expected.get(..data.len()).unwrap_or(expected);
                if text == data.as_slice() {
                    Ok(())
                } else {
                    fail("other bytes than expected")
                }
            }
            _ => Ok(()),
        }
    }

    fn compare_message(
        &self,
        message: &[Field],
        control: &[ControlMessage],
        flags: i32,
    ) -> Result<()> {
        if let Some(expected) = field(message, "msg_flags").filter(|e| **e != Expr::Ellipsis) {
            let expected = int(expected)?;
            if expected != flags {
                let name = |bits: i32| constants::bits("MSG_", i64::from(bits));
                return fail(format!(
                    "expected msg_flags {}, got {}",
                    name(expected),
                    name(flags)
                ));
            }
        }
        let Some(Expr::List(expected)) = field(message, "msg_control") else {
            return if control.is_empty() {
                Ok(())
            } else {
                fail(format!(
                    "expected no control message, got {}",
                    control.len()
                ))
            };
        };
        if expected.len() != control.len() {
            return fail(format!(
                "expected {} control messages, got {}",
                expected.len(),
                control.len()
            ));
        }
        for (expected, got) in expected.iter().zip(control) {
            let fields = fields_of(expected)?;
            let (level, kind) = (field(fields, "cmsg_level"), field(fields, "cmsg_type"));
            let wanted = (level.map_or(Ok(0), int)?, kind.map_or(Ok(0), int)?);
            if wanted != (got.level, got.kind) {
                return fail(format!(
                    "expected a control message of level {} type {}, got {} and {}",
                    wanted.0, wanted.1, got.level, got.kind
                ));
            }
            if let Some(data) = field(fields, "cmsg_data") {
                self.compare_control(data, &got.data)?;
            }
        }
        Ok(())
    }

    fn compare_control(&self, expected: &Expr, got: &[u8]) -> Result<()> {
        let word = |at: usize| {
            let bytes = got.get(at..at + 4).and_then(|b| b.try_into().ok());
            bytes.map(u32::from_ne_bytes)
        };
        let Expr::Struct(fields) = expected else {
            let wanted = int(expected)?;
            let found = word(0).map(u32::cast_signed);
            return if found == Some(wanted) {
                Ok(())
            } else {
                let found = found.map_or_else(|| "none".to_owned(), |found| found.to_string());
                fail(format!("expected control data {wanted}, got {found}"))
            };
        };
        if field(fields, "scm_sec").is_some() {
            return self.compare_timestamp(fields, got);
        }
        const PARTS: [&str; 6] = [
            "ee_errno",
            "ee_origin",
            "ee_type",
            "ee_code",
            "ee_info",
            "ee_data",
        ];
        if field(fields, PARTS[0]).is_none() {
            return cannot("control data of this kind");
        }
        for name in PARTS {
            let byte = |at: usize| got.get(at).map(|byte| u32::from(*byte));
            let found = match name {
                "ee_errno" => word(0),
                "ee_origin" => byte(4),
                "ee_type" => byte(5),
                "ee_code" => byte(6),
                "ee_info" => word(8),
                _ => word(12),
            };
            let wanted = field(fields, name).map_or(Ok(0), int)?.cast_unsigned();
            if found != Some(wanted) {
                let found = found.map_or_else(|| "none".to_owned(), |found| found.to_string());
                return fail(format!("expected {name} {wanted}, got {found}"));
            }
        }
        Ok(())
    }

    /// `struct scm_timestamping`'s first time; a zero is not compared.
    fn compare_timestamp(&self, fields: &[Field], got: &[u8]) -> Result<()> {
        let part = |name: &str| -> Result<i64> {
            field(fields, name).map_or(Ok(0), |value| number(value).map_err(Stop::Cannot))
        };
        let wanted = part("scm_sec")? * 1_000_000_000 + part("scm_nsec")?;
        let word = |at: usize| {
            let bytes = got.get(at..at + 8).and_then(|b| b.try_into().ok());
            bytes.map_or(0, i64::from_ne_bytes)
        };
        let start = i64::try_from(self.start.as_nanos()).unwrap_or(0);
        let found = word(0) * 1_000_000_000 + word(8) - start;
        let off = wanted.abs_diff(found);
        if wanted == 0 || off <= self.prepared.config.tolerance {
            return Ok(());
        }
        let shown = u64::try_from(found).map_or_else(|_| "none".to_owned(), clock);
        fail(format!(
            "expected the timestamp {}, got {shown}",
            clock(wanted.unsigned_abs())
        ))
    }
}

fn sockaddr(fields: &[Field]) -> Result<Target> {
    let family = ["sa_family", "sin_family", "sin6_family"]
        .iter()
        .find_map(|name| field(fields, name));
    if let Some(family) = family.filter(|family| **family != Expr::Ellipsis)
        && int(family)? == libc::AF_UNSPEC
    {
        return Ok(Target::Unspec);
    }
    let port = match field(fields, "sin_port").or_else(|| field(fields, "sin6_port")) {
        Some(port) => u16::try_from(int(port)?).unwrap_or(0),
        None => 0,
    };
    let text = ["sin_addr", "sin6_addr"]
        .iter()
        .find_map(|name| field(fields, name));
    let ip = match text {
        Some(Expr::Apply(_, args)) => match args.as_slice() {
            [Expr::Str(text)] => std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()),
            _ => None,
        },
        Some(Expr::Ip(ip)) => Some(*ip),
        Some(Expr::Word(name)) if name == "INADDR_ANY" => Some(Ipv4Addr::UNSPECIFIED.into()),
        _ => None,
    };
    match ip {
        Some(ip) => Ok(Target::Addr(SocketAddr::new(ip, port))),
        None => cannot("an address that is not understood"),
    }
}

/// An option's bytes, `len` of them.
fn option_value(expr: &Expr, len: usize) -> Result<Option<OptVal>> {
    let mut bytes = match expr {
        Expr::Int(0) => return Ok(None),
        Expr::Ellipsis => Vec::new(),
        Expr::Str(text) => text.clone(),
        Expr::List(items) => {
            let mut bytes = Vec::new();
            for item in items {
                bytes.extend(int(item)?.to_ne_bytes());
            }
            bytes
        }
        Expr::Struct(fields) if field(fields, "onoff").is_some() => {
            let part = |name| field(fields, name).map_or(Ok(0), int);
            OptVal::linger(part("onoff")?, part("linger")?).0
        }
        Expr::Struct(fields) if field(fields, "tv_sec").is_some() => {
            let part = |name| field(fields, name).map_or(Ok(0), |v| int(v).map(i64::from));
            OptVal::time(part("tv_sec")?, part("tv_usec")?).0
        }
        Expr::Apply(name, args) => match (name.as_str(), args.as_slice()) {
            ("inet6_addr", [Expr::Str(text)]) => {
                let ip: Option<Ipv6Addr> = std::str::from_utf8(text)
                    .ok()
                    .and_then(|text| text.parse().ok());
                match ip {
                    Some(ip) => ip.octets().to_vec(),
                    None => return cannot("no IPv6 address"),
                }
            }
            _ => int(expr)?.to_ne_bytes().to_vec(),
        },
        _ => return cannot("an option's value of this kind"),
    };
    bytes.resize(len.min(1 << 16), 0);
    Ok(Some(OptVal(bytes)))
}

fn compare_option(expected: &Expr, len: &Expr, got: &OptVal) -> Result<()> {
    if *expected == Expr::Ellipsis {
        return Ok(());
    }
    let len = count(len)?;
    if len != got.0.len() {
        return fail(format!("expected {len} bytes, got {}", got.0.len()));
    }
    let Some(wanted) = option_value(expected, len)? else {
        return Ok(());
    };
    if wanted == *got {
        return Ok(());
    }
    match (wanted.int(), got.int()) {
        (Some(wanted), Some(got)) if len <= 4 => fail(format!("expected [{wanted}], got [{got}]")),
        _ => fail(format!(
            "expected \"{}\", got \"{}\"",
            wanted.0.escape_ascii(),
            got.0.escape_ascii()
        )),
    }
}

/// A control message of `sendmsg`.
fn control_out(expr: &Expr) -> Result<ControlMessage> {
    let fields = fields_of(expr)?;
    let part = |name| field(fields, name).map_or(Ok(0), int);
    let data = match field(fields, "cmsg_data") {
        Some(Expr::Struct(_)) => return cannot("control data of this kind"),
        Some(value) => int(value)?.to_ne_bytes().to_vec(),
        None => Vec::new(),
    };
    Ok(ControlMessage {
        level: part("cmsg_level")?,
        kind: part("cmsg_type")?,
        data,
    })
}
