//! What is kept of a socket, and what it hears of its connection.

use super::errqueue::{ErrorQueue, OPT_ID, OPT_ID_TCP, Stamps};
use super::settings::Settings;
use super::traffic::Timeouts;
use super::{Errno, Profile};
use stack::host::{ListenHandle, SendError, TcpHandle, UdpHandle};
use stack::time::Duration;
use stack::transport::ErrorKind;
use stack::transport::tcp::status::Phase;
use stack::transport::tcp::{Error, State, Status};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Where a socket is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Neither a listener nor a connection.
    Fresh,
    Listening(ListenHandle),
    /// To be connected by the first write (`TCP_FASTOPEN_CONNECT`).
    Deferred(SocketAddr),
    Tcp(TcpHandle),
    Udp(UdpHandle),
}

/// What a Linux buffer costs beside its data.
const SKB_OVERHEAD: u32 = 896;

/// How long a connection was busy, and with what.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chrono {
    pub(super) busy: Duration,
    pub(super) rwnd_limited: Duration,
    pub(super) sndbuf_limited: Duration,
    pub(super) at: Duration,
    pub(super) now: Activity,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Activity {
    #[default]
    Idle,
    Busy,
    Window,
    Buffer,
}

/// How often a socket has called for attention: what an edge-triggered watcher compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wakes {
    pub(super) input: u32,
    pub(super) output: u32,
    pub(super) error: u32,
}

/// A socket.
#[derive(Clone, Debug)]
pub(super) struct Socket {
    pub(super) domain: i32,
    pub(super) stream: bool,
    pub(super) stage: Stage,
    pub(super) settings: Settings,
    pub(super) bound: Option<SocketAddr>,
    pub(super) backlog: i32,
    /// Taken from the listener, and not given to the program yet.
    pub(super) waiting: VecDeque<TcpHandle>,
    /// A connect that has not reported success yet.
    pub(super) connecting: bool,
    /// What the next call fails with.
    pub(super) error: Option<Errno>,
    pub(super) shut_read: bool,
    pub(super) shut_write: bool,
    /// Bytes written in all.
    pub(super) written: u64,
    /// The program wants to know when there is room.
    pub(super) nospace: bool,
    /// The last write has more to come.
    pub(super) more: bool,
    /// What was acknowledged when it said so.
    pub(super) acked_more: u64,
    pub(super) errors: ErrorQueue,
    pub(super) stamps: Stamps,
    pub(super) wakes: Wakes,
    pub(super) chrono: Chrono,
    pub(super) timeouts: Timeouts,
    pub(super) last: Status,
    /// When it opened.
    pub(super) opened_at: Duration,
    /// The connection had been open.
    pub(super) was_open: bool,
    /// Fast Open: a cookie was there, and data went with the SYN.
    pub(super) syn_data: bool,
    /// Fast Open was asked for.
    pub(super) opened_early: bool,
    /// How many bytes went with our SYN.
    pub(super) early: u64,
    /// Where in the stream the urgent byte was that was read out of line.
    pub(super) taken_urgent: Option<u64>,
}

impl Socket {
    pub(super) fn new(domain: i32, stream: bool, settings: Settings) -> Self {
        Self {
            domain,
            stream,
            stage: Stage::Fresh,
            settings,
            bound: None,
            backlog: 0,
            waiting: VecDeque::new(),
            connecting: false,
            error: None,
            shut_read: false,
            shut_write: false,
            written: 0,
            nospace: false,
            more: false,
            acked_more: 0,
            errors: ErrorQueue::default(),
            stamps: Stamps::default(),
            wakes: Wakes::default(),
            chrono: Chrono::default(),
            timeouts: Timeouts::default(),
            last: Status::default(),
            opened_at: Duration::ZERO,
            was_open: false,
            syn_data: false,
            opened_early: false,
            early: 0,
            taken_urgent: None,
        }
    }

    /// Where in the stream the urgent mark is.
    pub(super) fn urgent_place(&self) -> Option<u64> {
        let read = self
            .last
            .bytes_received
            .checked_sub(self.last.unread.into())?;
        Some(read + u64::from(self.last.urgent?))
    }

    /// How far ahead the urgent mark is, where the byte before it has not been read out of line.
    pub(super) fn urgent_ahead(&self) -> Option<u32> {
        let place = self.urgent_place();
        self.last.urgent.filter(|_| place != self.taken_urgent)
    }

    /// Whether a peer's SYN has come.
    pub(super) fn has_heard(&self) -> bool {
        self.last.state.is_synchronized() || self.last.state == State::SynReceived
    }

    /// Its state as Linux has it.
    pub(super) fn state(&self) -> State {
        match self.stage {
            Stage::Fresh | Stage::Udp(_) => State::Closed,
            Stage::Listening(_) => State::Listen,
            Stage::Deferred(_) => State::SynSent,
            Stage::Tcp(_) => self.last.state,
        }
    }

    /// Memory that what is written and not acknowledged takes, as Linux counts it.
    pub(super) fn queued(&self) -> u32 {
        let data = self.written.saturating_sub(self.last.bytes_acked);
        let data = u32::try_from(data).unwrap_or(u32::MAX / 2);
        data + self.last.pieces.saturating_mul(SKB_OVERHEAD)
    }

    /// Takes the next error that a call fails with.
    pub(super) const fn take_error(&mut self) -> Result<(), Errno> {
        match self.error.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Whether IPv6 is on the wire.
    pub(super) fn speaks_six(&self) -> bool {
        self.bound.is_some_and(|end| end.is_ipv6())
    }

    /// Whether it is for IPv6 alone (RFC 3493 §5.3).
    pub(super) fn only_six(&self) -> bool {
        let asked = (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY);
        let mut kept = self.settings.kept.iter();
        kept.any(|k| (k.0, k.1) == asked && k.2 != 0)
    }

    /// Whether a connection's first segments have not been exchanged yet.
    pub(super) fn is_opening(&self) -> bool {
        match self.state() {
            State::SynSent => true,
            // The server's side of Fast Open may talk.
            State::SynReceived => !self.last.fast_open || self.connecting,
            _ => false,
        }
    }

    /// Whether there is room to write as poll(2) has it: a third of the buffer.
    pub(super) fn is_writable(&self) -> bool {
        let queued = self.queued();
        let room = self.settings.sndbuf.saturating_sub(queued);
        let waiting = self.last.not_sent.saturating_mul(2);
        room >= queued / 2 && room > 0 && waiting < self.settings.notsent_lowat
    }
}

/// What ended a connection, in the program's terms.
pub(super) const fn errno_of(error: Error, was: State, six: bool) -> Option<Errno> {
    Some(match error {
        Error::WouldBlock | Error::NotConnected | Error::Closed => return None,
        Error::Refused => Errno::ECONNREFUSED,
        Error::Reset if matches!(was, State::CloseWait) => Errno::EPIPE,
        Error::Reset => Errno::ECONNRESET,
        Error::TimedOut => Errno::ETIMEDOUT,
        Error::Unreachable(kind) => errno_of_kind(kind, six),
    })
}

/// The same in FreeBSD.
const fn errno_of_bsd(error: Error, six: bool) -> Option<Errno> {
    Some(match error {
        Error::Unreachable(ErrorKind::ProtocolUnreachable | ErrorKind::Prohibited) => {
            Errno::ECONNREFUSED
        }
        _ => return errno_of(error, State::Established, six),
    })
}

/// What Linux makes of an ICMP error, or of one of ICMPv6.
pub(super) const fn errno_of_kind(kind: ErrorKind, six: bool) -> Errno {
    match kind {
        ErrorKind::Prohibited if six => Errno::EACCES,
        ErrorKind::ProtocolUnreachable | ErrorKind::Other if six => Errno::EPROTO,
        ErrorKind::NetUnreachable => Errno::ENETUNREACH,
        ErrorKind::ProtocolUnreachable => Errno::ENOPROTOOPT,
        ErrorKind::PortUnreachable => Errno::ECONNREFUSED,
        ErrorKind::PacketTooBig { .. } => Errno::EMSGSIZE,
        ErrorKind::ParameterProblem { .. } => Errno::EPROTO,
        ErrorKind::HostUnreachable
        | ErrorKind::Prohibited
        | ErrorKind::TtlExpired
        | ErrorKind::ReassemblyTimeout
        | ErrorKind::Other => Errno::EHOSTUNREACH,
    }
}

pub(super) const fn errno_of_send(error: SendError) -> Errno {
    match error {
        SendError::NotConnected => Errno::EDESTADDRREQ,
        SendError::NoRoute => Errno::ENETUNREACH,
        SendError::Prohibited | SendError::BroadcastNotAllowed => Errno::EACCES,
        SendError::TooLong { .. } => Errno::EMSGSIZE,
        SendError::WouldBlock => Errno::EAGAIN,
        SendError::Failed(error) => errno_of_kind(error.kind, error.offender.is_ipv6()),
        SendError::NoSocket => Errno::EBADF,
        SendError::BadOptions | SendError::NeedsZone => Errno::EINVAL,
    }
}

impl Socket {
    /// Compares a connection's status with the last one.
    pub(super) fn on_status(
        &mut self,
        at: Duration,
        clock: Duration,
        status: Status,
        failed: Option<Error>,
    ) {
        self.count_time(at);
        let was = core::mem::replace(&mut self.last, status);
        let now = &self.last;
        if now.state.is_synchronized() && !was.state.is_synchronized() {
            self.opened_at = at;
        }
        if now.state.is_synchronized() || was.state == State::SynReceived {
            self.was_open |= now.state.is_synchronized();
        }
        let recovering = now.phase == Phase::Loss || now.backoff > 0;
        self.timeouts
            .on_change(at, now.timeouts > was.timeouts, recovering);
        let bsd = self.settings.profile == Profile::FreeBsd;
        let errno = match failed {
            Some(error) if bsd => errno_of_bsd(error, self.speaks_six()),
            Some(error) => errno_of(error, was.state, self.speaks_six()),
            None => None,
        };
        if let Some(error) = errno {
            self.error = Some(error);
            self.wakes.error += 1;
        }
        let open = |s: State| !matches!(s, State::SynSent | State::SynReceived);
        if open(now.state) != open(was.state) {
            self.wakes.output += 1;
        }
        if now.state == State::Closed && was.state != State::Closed {
            self.wakes.input += 1;
            self.wakes.output += 1;
        }
        if now.bytes_received > was.bytes_received || now.finished != was.finished {
            self.wakes.input += 1;
        }
        let acked = now.bytes_acked;
        let opens = now.state.is_synchronized() && !was.state.is_synchronized();
        if opens || self.nospace && acked > was.bytes_acked && self.last.in_flight < self.last.cwnd
        {
            self.expand();
        }
        if self.nospace && self.is_writable() {
            self.nospace = false;
            self.wakes.output += 1;
        }
        let sent = self.written.saturating_sub(u64::from(self.last.not_sent));
        let told = self
            .stamps
            .on_progress(sent, acked, clock, &mut self.errors);
        if told {
            self.wakes.error += 1;
        }
        self.chrono.now = self.activity();
    }

    /// What a connection does as of now.
    fn activity(&self) -> Activity {
        let status = &self.last;
        let data = self.written > status.bytes_acked;
        if self.nospace && status.not_sent == 0 && data {
            Activity::Buffer
        } else if status.not_sent > 0
            && status.snd_wnd.saturating_sub(status.unacked)
                < status.not_sent.min(u32::from(status.snd_mss))
            && status.in_flight + u32::from(status.snd_mss) <= status.cwnd
        {
            Activity::Window
        } else if data {
            Activity::Busy
        } else {
            Activity::Idle
        }
    }

    fn count_time(&mut self, at: Duration) {
        let passed = at.saturating_sub(self.chrono.at);
        let chrono = &mut self.chrono;
        chrono.at = at;
        match chrono.now {
            Activity::Idle => return,
            Activity::Busy => {}
            Activity::Window => chrono.rwnd_limited += passed,
            Activity::Buffer => chrono.sndbuf_limited += passed,
        }
        chrono.busy += passed;
    }

    /// The same, as far as a moment at which nothing has happened.
    pub(super) fn chrono_at(&self, at: Duration) -> Chrono {
        let mut copy = self.clone();
        copy.count_time(at);
        copy.chrono
    }
}

impl Socket {
    /// How many of `len` bytes Linux would take at once: the rest of its last buffer, or a new one
    /// where its buffers take less memory than they may.
    pub(super) fn room(&self, len: usize) -> usize {
        let most = match self.last.open {
            0 if self.queued() >= self.settings.sndbuf => 0,
            0 if self.last.not_sent >= self.settings.notsent_lowat => 0,
            0 => self.last.piece.max(1),
            open => open,
        };
        usize::try_from(most).unwrap_or(0).min(len)
    }

    /// Whether a call that found no room goes on waiting.
    pub(super) const fn sleeps(&self) -> bool {
        let open = !matches!(self.last.state, State::Closed);
        self.nospace && self.error.is_none() && open && !self.shut_write
    }

    /// Linux's growth of the send buffer with the congestion window, where no size was asked for.
    fn expand(&mut self) {
        let mss = u32::from(self.last.snd_mss).max(1);
        let segment = (mss + 640).next_power_of_two() + 256;
        let segments = (self.last.cwnd / mss)
            .max(10)
            .max(self.last.reordering_degree + 1);
        let wanted = segment.saturating_mul(segments).saturating_mul(2);
        if !self.settings.sndbuf_locked {
            let most = self.settings.sndbuf_max;
            self.settings.sndbuf = self.settings.sndbuf.max(wanted.min(most));
        }
    }

    /// What is counted from when `SOF_TIMESTAMPING_OPT_ID` is set.
    pub(super) fn begin_stamps(&mut self, flags: u32) {
        if flags & OPT_ID != 0 && self.settings.timestamping & OPT_ID == 0 {
            self.stamps.base = match flags & OPT_ID_TCP {
                0 => self.last.bytes_acked,
                _ => self.written,
            };
        }
        self.settings.timestamping = flags;
    }
}
