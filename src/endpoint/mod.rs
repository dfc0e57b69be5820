//! Programs that speak on a host: still pure, with no IO, no clock and no threads.
//!
//! ```text
//!   driver        start(now, host)   once                                  host's sockets
//!   (cli: real    handle_event(now, host, event)    readable, errors, news      |
//!    time; lab:   handle_timeout(now, host)         when poll_timeout is due    |
//!    virtual)                    |                                              |
//!                          a program  --udp_send, echo_send, recv, take_error --+
//!                                |
//!                 poll_timeout()  poll_note()  poll_frame()  measure("rtt.max")
//! ```
//!
//! Read first: [`Endpoint`], then [`ping`].
//!
//! Promises: a program is plain data, so a copy of it beside a copy of its host goes on as the
//! first would have; it draws no numbers but from a fork it was given; what it keeps is bounded by
//! its configuration and not by what peers send.

pub mod arp_forger;
pub mod bulk;
pub mod http;
pub mod iperf;
pub mod measure;
pub mod own_port;
pub mod ping;
pub mod scan;
pub mod service;
pub mod services;
pub mod streams;
pub mod talk;
pub mod tcp_attacker;
pub mod traceroute;
pub mod traffic;

use stack::frame::Frame;
use stack::host::{
    AskError, BindError, ConnectError, Event, Host, RawHandle, SendError, TcpHandle, UdpHandle,
};
use stack::time::{Duration, Instant};
use stack::transport::{ErrorKind, SocketError};
use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// What every program has in common, so that one driver holds any of them.
///
/// The driver calls [`start`](Self::start) once, passes on each event of the host, calls
/// [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) is due
/// (calling it earlier does nothing), and after each of these takes notes and frames until there
/// are none.
pub trait Endpoint {
    /// The name of everything that [`measure`](Self::measure) knows.
    const METRICS: &'static [&'static str];
    /// The name of every note that it can make.
    const NOTES: &'static [&'static str];

    /// Opens what the program needs.
    ///
    /// # Errors
    /// Where the host has no room or no such port, or the settings make no sense.
    fn start(&mut self, now: Instant, host: &mut Host) -> Result<(), StartError>;

    /// Of whose readiness it wants to hear now; a driver need not tell it that of others.
    fn hears(&self) -> Hears {
        Hears::All
    }

    /// Its host begins again, and so will it, for the `life`-th time after the first: said before
    /// [`start`](Self::start).
    fn begin_life(&mut self, life: u32) {
        let _ = life;
    }

    /// Takes something the host tells; what concerns others is left alone.
    fn handle_event(&mut self, now: Instant, host: &mut Host, event: &Event);

    /// Takes a frame before the host does, which then never sees it; `false` leaves it to the host.
    fn handle_frame(&mut self, now: Instant, frame: &Frame) -> bool {
        let _ = (now, frame);
        false
    }

    /// When there is something to do next; `None`: only when something comes.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Does what is due.
    fn handle_timeout(&mut self, now: Instant, host: &mut Host);

    /// The next thing worth telling.
    fn poll_note(&mut self) -> Option<Note>;

    /// The next frame that no socket can send: to be put on the wire as it is.
    fn poll_frame(&mut self, now: Instant) -> Option<Frame> {
        let _ = now;
        None
    }

    /// A measured value: a count, bytes, nanoseconds where it is a time, and millionths where it is
    /// a share (`loss`). `None` where there is no such metric, or nothing has been measured of it.
    fn measure(&self, metric: &str) -> Option<u64>;
}

/// Of whose readiness a program wants to hear. News of addresses and paths is for everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hears {
    /// Of nobody's.
    Nothing,
    /// Of a UDP socket's.
    Udp(UdpHandle),
    /// Of a raw or echo socket's.
    Raw(RawHandle),
    /// Of a connection's.
    Tcp(TcpHandle),
    /// Of everybody's.
    All,
}

/// A large program, kept apart.
impl<P: Endpoint> Endpoint for Box<P> {
    const METRICS: &'static [&'static str] = P::METRICS;

    const NOTES: &'static [&'static str] = P::NOTES;

    fn start(&mut self, now: Instant, host: &mut Host) -> Result<(), StartError> {
        (**self).start(now, host)
    }

    fn hears(&self) -> Hears {
        (**self).hears()
    }

    fn begin_life(&mut self, life: u32) {
        (**self).begin_life(life);
    }

    fn handle_event(&mut self, now: Instant, host: &mut Host, event: &Event) {
        (**self).handle_event(now, host, event);
    }

    fn handle_frame(&mut self, now: Instant, frame: &Frame) -> bool {
        (**self).handle_frame(now, frame)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (**self).poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        (**self).handle_timeout(now, host);
    }

    fn poll_note(&mut self) -> Option<Note> {
        (**self).poll_note()
    }

    fn poll_frame(&mut self, now: Instant) -> Option<Frame> {
        (**self).poll_frame(now)
    }

    fn measure(&self, metric: &str) -> Option<u64> {
        (**self).measure(metric)
    }
}

/// Why a program did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The host gave no socket.
    Bind(BindError),
    /// The host gave no link.
    Link(AskError),
    /// The host cannot connect.
    Connect(ConnectError),
    /// The settings make no sense, and why.
    Settings(&'static str),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Link(error) => error.fmt(f),
            Self::Connect(error) => error.fmt(f),
            Self::Settings(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StartError {}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl From<AskError> for StartError {
    fn from(error: AskError) -> Self {
        Self::Link(error)
    }
}

impl From<ConnectError> for StartError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

/// Something that happened to a program, in its own terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What: a word that a script can wait for.
    pub name: &'static str,
    /// The particulars, in a fixed order.
    pub fields: Vec<(&'static str, Field)>,
}

/// One particular of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A count, a size, a number.
    Number(u64),
    /// How long something took.
    Time(Duration),
    /// Who.
    Addr(IpAddr),
    /// A few words.
    Text(&'static str),
}

impl Note {
    /// A note without particulars.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            fields: Vec::new(),
        }
    }

    /// The same with one more particular.
    #[must_use]
    pub fn with(mut self, name: &'static str, field: impl Into<Field>) -> Self {
        self.fields.push((name, field.into()));
        self
    }
}

/// `reply seq=3 from=10.7.0.1 rtt=2ms`.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        for (name, field) in &self.fields {
            write!(f, " {name}={field}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => n.fmt(f),
            Self::Time(time) => write!(f, "{time:?}"),
            Self::Addr(addr) => addr.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<u64> for Field {
    fn from(n: u64) -> Self {
        Self::Number(n)
    }
}

impl From<u32> for Field {
    fn from(n: u32) -> Self {
        Self::Number(u64::from(n))
    }
}

impl From<u16> for Field {
    fn from(n: u16) -> Self {
        Self::Number(u64::from(n))
    }
}

impl From<usize> for Field {
    fn from(n: usize) -> Self {
        Self::Number(count(n))
    }
}

impl From<Duration> for Field {
    fn from(time: Duration) -> Self {
        Self::Time(time)
    }
}

impl From<IpAddr> for Field {
    fn from(addr: IpAddr) -> Self {
        Self::Addr(addr)
    }
}

impl From<&'static str> for Field {
    fn from(text: &'static str) -> Self {
        Self::Text(text)
    }
}

/// What waits to be pulled, the newest kept where nobody pulls.
#[derive(Clone, Debug)]
struct Waiting<T> {
    queue: VecDeque<T>,
    lost: u64,
}

impl<T> Waiting<T> {
    /// So many wait at most: a driver takes them after each call, so more means that it does not
    /// listen.
    const LIMIT: usize = 64;

    const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            lost: 0,
        }
    }

    fn push(&mut self, item: T) {
        if self.queue.len() >= Self::LIMIT {
            self.queue.pop_front();
            self.lost += 1;
        }
        self.queue.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.queue.pop_front()
    }
}

/// An ICMP error that came back, as every program tells it.
fn error_note(error: SocketError) -> Note {
    let note = Note::new("error")
        .with("kind", word(error.kind))
        .with("from", error.offender);
    match error.kind {
        ErrorKind::PacketTooBig { mtu } => note.with("mtu", mtu),
        _ => note,
    }
}

/// The meaning of an ICMP error, in a word.
#[must_use]
pub const fn word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NetUnreachable => "net-unreachable",
        ErrorKind::HostUnreachable => "host-unreachable",
        ErrorKind::ProtocolUnreachable => "protocol-unreachable",
        ErrorKind::PortUnreachable => "port-unreachable",
        ErrorKind::PacketTooBig { .. } => "packet-too-big",
        ErrorKind::Prohibited => "prohibited",
        ErrorKind::TtlExpired => "ttl-expired",
        ErrorKind::ReassemblyTimeout => "reassembly-timeout",
        ErrorKind::ParameterProblem { .. } => "parameter-problem",
        ErrorKind::Other => "other",
    }
}

/// Why a datagram did not leave, in a word.
const fn refusal(error: SendError) -> &'static str {
    match error {
        SendError::NotConnected => "not-connected",
        SendError::NoRoute => "no-route",
        SendError::NeedsZone => "needs-zone",
        SendError::Prohibited => "prohibited",
        SendError::BroadcastNotAllowed => "broadcast",
        SendError::TooLong { .. } => "too-long",
        SendError::WouldBlock => "no-room",
        SendError::Failed(error) => word(error.kind),
        SendError::NoSocket => "no-socket",
        SendError::BadOptions => "bad-options",
    }
}

/// A size as a counter has it.
fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// A port at all addresses of both families, whatever addresses come and go.
const fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

/// Two hosts and more in memory, for the tests of the programs.
#[cfg(test)]
mod pair {
    use super::{Endpoint, Note};
    use stack::frame::Frame;
    use stack::host::{Config, Host, InterfaceConfig};
    use stack::machine::{Machine as _, Port};
    use stack::rng::Rng;
    use stack::time::{Duration, Instant, earliest};
    use stack::wire::MacAddr;

    pub(super) const DELAY: Duration = Duration::from_millis(1);

    pub(super) fn mac(last: u8) -> MacAddr {
        MacAddr([2, 0, 0, 0, 0, last])
    }

    pub(super) fn host(last: u8, cidr: &str) -> Host {
        let mut host = Host::new(Config::default(), Rng::from_seed(u64::from(last)));
        let eth = InterfaceConfig::ethernet("eth0", Port(0), mac(last));
        host.add_interface(Instant::ZERO, eth.with_address(cidr.parse().unwrap()));
        host
    }

    /// 10.7.0.1 and 10.7.0.2.
    pub(super) fn hosts() -> [Host; 2] {
        [host(1, "10.7.0.1/24"), host(2, "10.7.0.2/24")]
    }

    /// A router from 10.7.0.2 to 10.8.0.2, whose link has that MTU. It answers ARP for 10.8, so a
    /// host at 10.7.0.1/8, which takes all of 10 to be its link, needs no route.
    pub(super) fn router(mtu: usize) -> Host {
        let policy = Config {
            forwarding: true,
            ..Config::default()
        };
        let mut router = Host::new(policy, Rng::from_seed(9));
        for (port, cidr, mtu) in [(0u8, "10.7.0.2/24", 1500), (1, "10.8.0.2/24", mtu)] {
            let mut eth = InterfaceConfig::ethernet("eth", Port(u16::from(port)), mac(20 + port));
            eth.mtu = mtu;
            eth.proxy_arp.push("10.8.0.0/24".parse().unwrap());
            router.add_interface(Instant::ZERO, eth.with_address(cidr.parse().unwrap()));
        }
        router
    }

    /// What the wire does to a frame that leaves host 0 or 1: how much later it arrives, each time
    /// that it does.
    pub(super) type Rule = fn(usize, &Frame, u64) -> Vec<Duration>;

    pub(super) fn faithful(_: usize, _: &Frame, _: u64) -> Vec<Duration> {
        vec![DELAY]
    }

    /// A world of two hosts, a wire, and a program on each.
    #[derive(Clone)]
    pub(super) struct World<P, Q> {
        pub(super) now: Instant,
        pub(super) hosts: [Host; 2],
        pub(super) left: P,
        pub(super) right: Q,
        pub(super) notes: Vec<(Instant, Note)>,
        rule: Rule,
        wire: Vec<(Instant, u64, usize, Frame)>,
        sent: u64,
    }

    impl<P: Endpoint, Q: Endpoint> World<P, Q> {
        pub(super) fn new(mut hosts: [Host; 2], mut left: P, mut right: Q, rule: Rule) -> Self {
            left.start(Instant::ZERO, &mut hosts[0]).unwrap();
            right.start(Instant::ZERO, &mut hosts[1]).unwrap();
            Self {
                now: Instant::ZERO,
                hosts,
                left,
                right,
                notes: Vec::new(),
                rule,
                wire: Vec::new(),
                sent: 0,
            }
        }

        /// All that is to be done at this moment.
        fn settle(&mut self) {
            while let Some(i) = self.wire.iter().position(|w| w.0 <= self.now) {
                let (_, _, to, frame) = self.wire.remove(i);
                if to != 0 || !self.left.handle_frame(self.now, &frame) {
                    let _ = self.hosts[to].handle_frame(self.now, Port(0), frame);
                }
                self.programs();
            }
            for host in &mut self.hosts {
                if host.poll_timeout().is_some_and(|at| at <= self.now) {
                    host.handle_timeout(self.now);
                }
            }
            self.left.handle_timeout(self.now, &mut self.hosts[0]);
            self.right.handle_timeout(self.now, &mut self.hosts[1]);
            self.programs();
            for from in 0..2 {
                while let Some(frame) = self.hosts[from].poll_transmit(self.now, Port(0)) {
                    self.put(from, &frame);
                }
            }
            while let Some(frame) = self.left.poll_frame(self.now) {
                self.put(0, &frame);
            }
        }

        fn put(&mut self, from: usize, frame: &Frame) {
            self.sent += 1;
            for delay in (self.rule)(from, frame, self.sent) {
                let at = self.now + delay;
                self.wire.push((at, self.sent, 1 - from, frame.clone()));
            }
            self.wire.sort_by_key(|w| (w.0, w.1));
        }

        fn programs(&mut self) {
            while let Some(event) = self.hosts[0].poll_event() {
                self.left.handle_event(self.now, &mut self.hosts[0], &event);
            }
            while let Some(event) = self.hosts[1].poll_event() {
                self.right
                    .handle_event(self.now, &mut self.hosts[1], &event);
            }
            while let Some(note) = self.left.poll_note() {
                assert!(P::NOTES.contains(&note.name), "{note}");
                self.notes.push((self.now, note));
            }
            while let Some(note) = self.right.poll_note() {
                assert!(Q::NOTES.contains(&note.name), "{note}");
            }
        }

        pub(super) fn run(&mut self, duration: Duration) {
            let end = self.now + duration;
            for _ in 0..1_000_000 {
                self.settle();
                let timers = self.hosts.iter().map(stack::machine::Machine::poll_timeout);
                let timers = timers.fold(None, earliest);
                let programs = earliest(self.left.poll_timeout(), self.right.poll_timeout());
                let frames = self.wire.first().map(|w| w.0);
                let next = earliest(earliest(timers, programs), frames);
                match next.filter(|at| *at <= end) {
                    Some(at) => self.now = self.now.max(at),
                    None => {
                        self.now = end;
                        return;
                    }
                }
            }
            panic!("the world does not come to rest at {}", self.now);
        }

        pub(super) fn told(&self) -> Vec<String> {
            self.notes
                .iter()
                .map(|(_, note)| note.to_string())
                .collect()
        }
    }
}
