//! System calls as data: what a program asks, and what it is told.

use super::errno::Errno;
use std::net::SocketAddr;
use std::time::Duration;

/// One system call under way: the question, then the answer, and what is to be kept meanwhile.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is asked; the fields marked "out" are filled in.
    pub op: Op,
    /// When it was asked first.
    pub(super) begun: Option<Duration>,
    /// How far it has come: for calls that wait more than once.
    pub(super) step: u8,
    /// Numbers that the descriptors it gives shall have.
    pub(super) numbers: Vec<i32>,
}

impl Call {
    /// Gives the descriptors that the call makes these numbers, instead of the lowest free ones.
    pub fn reserve(&mut self, numbers: &[i32]) {
        self.numbers = numbers.to_vec();
    }
}

impl From<Op> for Call {
    fn from(op: Op) -> Self {
        Self {
            op,
            begun: None,
            step: 0,
            numbers: Vec::new(),
        }
    }
}

/// What is asked. Numbers are the `libc` crate's.
///
/// `read`, `readv`, `recv`, `recvfrom` and `recvmsg` are all [`Recv`](Self::Recv), with no flags
/// where the call has none; `write` and its kin are all [`Send`](Self::Send).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Gives a descriptor. `kind` may hold `SOCK_NONBLOCK` and `SOCK_CLOEXEC`.
    Socket {
        /// `AF_INET`, `AF_INET6`.
        domain: i32,
        /// `SOCK_STREAM`, `SOCK_DGRAM`.
        kind: i32,
        /// Zero, `IPPROTO_TCP`, `IPPROTO_UDP`.
        protocol: i32,
    },
    /// Takes an address.
    Bind {
        /// Descriptor.
        fd: i32,
        /// Which; `None`: a null pointer.
        addr: Option<SocketAddr>,
    },
    /// Waits for connections.
    Listen {
        /// Descriptor.
        fd: i32,
        /// How many may wait.
        backlog: i32,
    },
    /// Gives the descriptor of the next connection.
    Accept {
        /// Descriptor.
        fd: i32,
        /// `accept4`'s.
        flags: i32,
        /// Out: who it is.
        peer: Option<SocketAddr>,
    },
    /// Connects.
    Connect {
        /// Descriptor.
        fd: i32,
        /// To whom.
        to: Target,
    },
    /// Takes bytes.
    Recv {
        /// Descriptor.
        fd: i32,
        /// Room for so many.
        len: usize,
        /// `MSG_PEEK` and others.
        flags: i32,
        /// A null pointer was given as room.
        null: bool,
        /// Out: the bytes.
        data: Vec<u8>,
        /// Out: who sent them.
        from: Option<SocketAddr>,
        /// Out: control messages.
        control: Vec<ControlMessage>,
        /// Out: `msg_flags`.
        out_flags: i32,
    },
    /// Hands over bytes.
    Send {
        /// Descriptor.
        fd: i32,
        /// The bytes.
        data: Vec<u8>,
        /// `MSG_MORE` and others.
        flags: i32,
        /// To whom.
        to: Option<SocketAddr>,
        /// Control messages.
        control: Vec<ControlMessage>,
        /// Lengths of the buffers that the bytes lie in, where there are several.
        parts: Vec<usize>,
        /// A null pointer was given.
        null: bool,
        /// Bytes taken so far.
        done: usize,
    },
    /// `F_GETFL`, `F_SETFL`, `F_GETFD`, `F_SETFD`.
    Fcntl {
        /// Descriptor.
        fd: i32,
        /// What.
        cmd: i32,
        /// The third argument.
        arg: i64,
    },
    /// `SIOCINQ` and others.
    Ioctl {
        /// Descriptor.
        fd: i32,
        /// What.
        request: u64,
        /// In and out: the number that the third argument points to.
        value: i32,
    },
    /// Lets go.
    Close {
        /// Descriptor.
        fd: i32,
    },
    /// Ends one or both ways.
    Shutdown {
        /// Descriptor.
        fd: i32,
        /// `SHUT_RD`, `SHUT_WR`, `SHUT_RDWR`.
        how: i32,
    },
    /// Reads an option.
    GetSockOpt {
        /// Descriptor.
        fd: i32,
        /// `SOL_SOCKET`, `IPPROTO_TCP`, `IPPROTO_IP`, `IPPROTO_IPV6`.
        level: i32,
        /// Which.
        name: i32,
        /// Room for so many bytes.
        len: usize,
        /// In, where an option needs it; out: its bytes as C has them.
        value: OptVal,
    },
    /// Sets an option.
    SetSockOpt {
        /// Descriptor.
        fd: i32,
        /// As above.
        level: i32,
        /// Which.
        name: i32,
        /// Its bytes as C has them; `None`: a null pointer.
        value: Option<OptVal>,
    },
    /// Our end of a connection, in [`Accept`](Self::Accept)'s manner.
    GetSockName {
        /// Descriptor.
        fd: i32,
        /// Out.
        addr: Option<SocketAddr>,
    },
    /// The other end.
    GetPeerName {
        /// Descriptor.
        fd: i32,
        /// Out.
        addr: Option<SocketAddr>,
    },
    /// Waits for descriptors.
    Poll {
        /// Which, for what; out: what there is.
        fds: Vec<PollFd>,
        /// Milliseconds; negative: for ever.
        timeout: i32,
    },
    /// Gives a descriptor.
    EpollCreate {
        /// `EPOLL_CLOEXEC`.
        flags: i32,
    },
    /// Changes whom an epoll descriptor watches.
    EpollCtl {
        /// The epoll descriptor.
        epfd: i32,
        /// `EPOLL_CTL_ADD`, `_MOD`, `_DEL`.
        op: i32,
        /// Whom.
        fd: i32,
        /// `None`: a null pointer.
        event: Option<EpollEvent>,
    },
    /// Waits for them.
    EpollWait {
        /// The epoll descriptor.
        epfd: i32,
        /// At most so many.
        max: i32,
        /// Milliseconds; negative: for ever.
        timeout: i32,
        /// Out.
        events: Vec<EpollEvent>,
    },
    /// Gives two descriptors; returns 0.
    Pipe {
        /// `O_NONBLOCK`.
        flags: i32,
        /// Out: to read from, to write to.
        fds: [i32; 2],
    },
    /// Moves bytes between a pipe and a socket.
    Splice {
        /// From.
        from: i32,
        /// To.
        to: i32,
        /// At most so many.
        len: usize,
        /// `SPLICE_F_NONBLOCK`, `SPLICE_F_MORE`.
        flags: u32,
        /// Bytes taken from a pipe so far.
        done: usize,
    },
    /// Gives a descriptor of a file of `len` zero bytes, for [`SendFile`](Self::SendFile).
    Open {
        /// Its length.
        len: u64,
    },
    /// Sends bytes of a file.
    SendFile {
        /// The socket.
        to: i32,
        /// The file.
        from: i32,
        /// In and out: where from; `None`: at the file's own place.
        offset: Option<u64>,
        /// So many.
        len: usize,
        /// Bytes taken so far.
        done: usize,
    },
}

impl Op {
    /// `read`, `recv` and kin.
    #[must_use]
    pub const fn recv(fd: i32, len: usize, flags: i32) -> Self {
        Self::Recv {
            fd,
            len,
            flags,
            null: false,
            data: Vec::new(),
            from: None,
            control: Vec::new(),
            out_flags: 0,
        }
    }

    /// `write`, `send` and kin.
    #[must_use]
    pub const fn send(fd: i32, data: Vec<u8>, flags: i32) -> Self {
        Self::Send {
            fd,
            data,
            flags,
            to: None,
            control: Vec::new(),
            parts: Vec::new(),
            null: false,
            done: 0,
        }
    }

    /// `accept`.
    #[must_use]
    pub const fn accept(fd: i32) -> Self {
        Self::Accept {
            fd,
            flags: 0,
            peer: None,
        }
    }

    /// `setsockopt`.
    #[must_use]
    pub fn set(fd: i32, level: i32, name: i32, value: impl Into<OptVal>) -> Self {
        Self::SetSockOpt {
            fd,
            level,
            name,
            value: Some(value.into()),
        }
    }

    /// `getsockopt`.
    #[must_use]
    pub const fn get(fd: i32, level: i32, name: i32, len: usize) -> Self {
        Self::GetSockOpt {
            fd,
            level,
            name,
            len,
            value: OptVal(Vec::new()),
        }
    }
}

/// Whom to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// That address.
    Addr(SocketAddr),
    /// `AF_UNSPEC`: nobody any more.
    Unspec,
    /// A null pointer.
    Null,
}

/// An option's value: the bytes C has, in this machine's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptVal(pub Vec<u8>);

impl OptVal {
    /// `struct linger`.
    #[must_use]
    pub fn linger(on: i32, secs: i32) -> Self {
        Self([on.to_ne_bytes(), secs.to_ne_bytes()].concat())
    }

    /// `struct timeval`.
    #[must_use]
    pub fn time(secs: i64, micros: i64) -> Self {
        Self([secs.to_ne_bytes(), micros.to_ne_bytes()].concat())
    }

    /// As an `int`; one byte counts as such (some options may be so short).
    #[must_use]
    pub fn int(&self) -> Option<i32> {
        match self.0.as_slice() {
            [a, b, c, d, ..] => Some(i32::from_ne_bytes([*a, *b, *c, *d])),
            [a, ..] => Some(i32::from(*a)),
            [] => None,
        }
    }
}

impl From<i32> for OptVal {
    fn from(value: i32) -> Self {
        Self(value.to_ne_bytes().to_vec())
    }
}

impl From<&str> for OptVal {
    fn from(value: &str) -> Self {
        Self(value.as_bytes().to_vec())
    }
}

/// A control message: `struct cmsghdr` and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlMessage {
    /// `SOL_SOCKET`, `IPPROTO_TCP`, ….
    pub level: i32,
    /// Which.
    pub kind: i32,
    /// Its bytes as C has them.
    pub data: Vec<u8>,
}

/// `struct pollfd`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PollFd {
    /// Descriptor.
    pub fd: i32,
    /// Waited for.
    pub events: i16,
    /// Out: there is.
    pub revents: i16,
}

/// `struct epoll_event`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpollEvent {
    /// `EPOLLIN` and others.
    pub events: u32,
    /// The program's own.
    pub data: u64,
}

/// What a call gives.
pub type Answer = Result<i64, Errno>;
