//! UDP traffic: a sender of numbered datagrams, and a sink that measures them or sends them back.
//!
//! ```text
//!   Sender  --every interval-->  +--------+----------------+----------------+-----------+  Sink
//!     |                          | "TAPL" |     number     |   time sent    | a b c ... |    |
//!     |                          +--------+----------------+----------------+-----------+    |
//!     |                           4 bytes   8                8                filler          |
//!     +-- sent, ICMP errors, path MTU                 received, lost, twice, late, delay ----+
//!     +-- round trips, what came back  <-------------- the same datagram, where it echoes ---+
//! ```
//!
//! Read first: RFC 8085 §3.2 (message size), RFC 8899 §4.3 and §5.1.2 (black holes), RFC 3550
//! §6.4.1 (loss from numbers).
//!
//! Promises: the sender leaves at its times whatever comes back, so it is a load and not a
//! conversation: a late wake-up is not made up for. The sink keeps numbers of so many senders
//! (see [`MAX_FLOWS`]) and counts what it cannot keep.
//!
//! Left out: a search for the largest size that a black hole lets through (RFC 8899 §5.3), and
//! growing again before the host's own path MTU does.

use super::measure::{Arrivals, Delays, ppm};
use super::own_port::OwnPort;
use super::{Endpoint, Hears, Note, StartError, Waiting, count};
use bytes::Bytes;
use stack::frame::Payload;
use stack::host::{Event, Host, SendError, UdpHandle};
use stack::time::{Duration, Instant, earliest};
use stack::transport::udp::{Datagram, PathMtu};
use stack::transport::{ErrorKind, SocketError};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a datagram of ours begins with.
const MAGIC: [u8; 4] = *b"TAPL";
/// The mark, the number and the time: no datagram is shorter.
pub const MIN_SIZE: usize = 20;
/// IP and UDP headers.
const fn headers(to: &SocketAddr) -> usize {
    match to {
        SocketAddr::V4(_) => 28,
        SocketAddr::V6(_) => 48,
    }
}

//= RFC 8899 §5.1.2 over IPv4, packets of 1200 bytes are expected to pass on most paths; over IPv6,
//= those of 1280 pass on all.
const fn base_plpmtu(to: &SocketAddr) -> usize {
    match to {
        SocketAddr::V4(_) => 1200,
        SocketAddr::V6(_) => 1280,
    }
}

//= RFC 8899 §5.1.2 so many in a row without an answer are no accident any more.
const MAX_PROBES: u64 = 3;
/// Senders whose numbers a sink follows.
pub const MAX_FLOWS: usize = 256;

/// How close datagrams follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// One each so often.
    Every(Duration),
    /// So many bits a second, IP and UDP headers counted.
    Rate(u64),
}

/// What a sender does about a path that carries less than its datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// What the host does: don't-fragment while it fits, fragments where it is known not to.
    #[default]
    Host,
    /// Never don't-fragment: routers cut.
    Fragment,
    /// Always don't-fragment; what does not fit is refused and counted.
    Refuse,
    /// Always don't-fragment; the datagram becomes as small as the path wants it, and of 1200
    /// bytes with headers where larger ones vanish without a word.
    Shrink,
}

/// What to send, whom and when.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whom.
    pub to: SocketAddr,
    /// Where our port comes from; `None`: an ephemeral one.
    pub own_port: Option<OwnPort>,
    /// Bytes of a datagram without headers, at least [`MIN_SIZE`].
    pub size: usize,
    /// How close they follow.
    pub pace: Pace,
    /// How long after `start` the first one leaves.
    pub start: Duration,
    /// Datagrams in all; `None`: no limit.
    pub count: Option<u64>,
    /// How long after `start` no more leaves.
    pub until: Option<Duration>,
    /// What to do where the path carries less.
    pub fit: Fit,
    /// DSCP and ECN, the whole byte.
    pub tos: u8,
    /// Time to live.
    pub ttl: u8,
    /// How long an echo is waited for, where the other end sends back what it gets: after three
    /// datagrams and so long without one, that is told as silence. `None`: nothing comes back.
    pub echo: Option<Duration>,
}

impl Config {
    /// 1000 bytes ten times a second, for ever, to someone who does not answer.
    #[must_use]
    pub const fn new(to: SocketAddr) -> Self {
        Self {
            to,
            own_port: None,
            size: 1000,
            pace: Pace::Every(Duration::from_millis(100)),
            start: Duration::ZERO,
            count: None,
            until: None,
            fit: Fit::Host,
            tos: 0,
            ttl: 64,
            echo: None,
        }
    }
}

/// Counters of a sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams that left.
    pub sent: u64,
    /// Their bytes, without headers.
    pub bytes: u64,
    /// Datagrams that the host refused: no route, too long for the path.
    pub refused: u64,
    /// Datagrams left out since the socket had no room.
    pub no_room: u64,
    /// ICMP errors: the destination, or the way to it, is not there.
    pub unreachable: u64,
    /// ICMP errors: too big for a link.
    pub too_big: u64,
    /// ICMP errors of all other kinds.
    pub other_errors: u64,
    /// Times that nothing came back any more.
    pub silences: u64,
    /// Times that smaller datagrams ended such a silence.
    pub black_holes: u64,
    /// What the path was last said to carry; zero where nobody has said.
    pub path_mtu: u64,
}

/// Datagrams that wait for their echo.
#[derive(Clone, Copy, Debug, Default)]
struct Silence {
    /// When the first of them left, and how many have.
    since: Option<Instant>,
    datagrams: u64,
    /// It was told.
    told: bool,
}

/// A sender of numbered datagrams.
#[derive(Clone, Debug)]
pub struct Sender {
    config: Config,
    socket: Option<UdpHandle>,
    started: Instant,
    next_at: Instant,
    last_sent: Instant,
    /// Bytes of a datagram now.
    size: usize,
    /// What follows number and time: letters that say where they were cut.
    filler: Bytes,
    silence: Silence,
    /// The size that vanished, while smaller ones are tried.
    vanished: Option<usize>,
    done: bool,
    stats: Stats,
    back: Arrivals,
    rtt: Delays,
    notes: Waiting<Note>,
}

impl Sender {
    /// A sender that has not begun.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let letters = (b'a'..=b'z').cycle();
        Self {
            size: config.size,
            filler: letters.take(config.size.saturating_sub(MIN_SIZE)).collect(),
            config,
            socket: None,
            started: Instant::ZERO,
            next_at: Instant::ZERO,
            last_sent: Instant::ZERO,
            silence: Silence::default(),
            vanished: None,
            done: false,
            stats: Stats::default(),
            back: Arrivals::default(),
            rtt: Delays::default(),
            notes: Waiting::new(),
        }
    }

    /// What it was asked to do.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Counts so far.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Round trips so far.
    #[must_use]
    pub const fn rtt(&self) -> &Delays {
        &self.rtt
    }

    /// What came back so far.
    #[must_use]
    pub const fn echoes(&self) -> &Arrivals {
        &self.back
    }

    /// Bytes of a datagram at present, without headers.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    fn interval(&self) -> Duration {
        match self.config.pace {
            Pace::Every(interval) => interval,
            Pace::Rate(rate) => {
                let bits = u128::from(count(self.size + headers(&self.config.to))) * 8_000_000_000;
                let ns = bits.checked_div(u128::from(rate)).unwrap_or(u128::MAX);
                Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
            }
        }
    }

    /// When no more leaves.
    fn ends_at(&self) -> Option<Instant> {
        self.config.until.map(|until| self.started + until)
    }

    fn has_more(&self) -> bool {
        let left = self.config.count.is_none_or(|n| self.stats.sent < n);
        left && self.ends_at().is_none_or(|end| self.next_at < end)
    }

    /// When the last echo is no longer waited for.
    fn linger(&self) -> Instant {
        self.last_sent + self.config.echo.unwrap_or_default()
    }

    fn send(&mut self, now: Instant, host: &mut Host, socket: UdpHandle) {
        let mut sent = self.send_one(now, host, socket);
        if let (Err(SendError::TooLong { max }), Fit::Shrink) = (sent, self.config.fit) {
            self.resize(max);
            sent = self.send_one(now, host, socket);
        }
        match sent {
            Ok(()) => {
                self.stats.sent += 1;
                self.stats.bytes += count(self.size);
                self.last_sent = now;
                self.silence.since.get_or_insert(now);
                self.silence.datagrams += 1;
            }
            Err(SendError::WouldBlock) => self.stats.no_room += 1,
            Err(error) => {
                self.stats.refused += 1;
                // Each interval the same: once is enough to tell.
                if self.stats.refused == 1 {
                    let why = super::refusal(error);
                    self.notes.push(Note::new("refused").with("why", why));
                }
            }
        }
        // Time that was slept through is not made up for by a burst.
        let interval = self.interval();
        let next = self.next_at + interval;
        self.next_at = if next <= now { now + interval } else { next };
    }

    fn send_one(&self, now: Instant, host: &mut Host, to: UdpHandle) -> Result<(), SendError> {
        let len = self.size.saturating_sub(MIN_SIZE);
        let filler = self.filler.get(..len).unwrap_or_default();
        let payload = Payload::from(datagram(self.stats.sent, now, filler));
        host.udp_send(now, to, payload, Some(self.config.to))
    }

    /// Takes a new size, between what a datagram needs and what was asked for.
    fn resize(&mut self, size: usize) {
        let size = size.min(self.config.size).max(MIN_SIZE);
        if size != self.size {
            let note = Note::new("resize").with("from", self.size);
            self.notes.push(note.with("to", size));
            self.size = size;
        }
    }

    fn receive(&mut self, now: Instant, datagram: &Datagram) {
        let Some((number, sent)) = parse(&datagram.payload) else {
            return;
        };
        let size = datagram.payload.len();
        if self.back.add(number, size) {
            self.rtt.add(now - sent);
        }
        if self.silence.told {
            let quiet = now - self.silence.since.unwrap_or(now);
            self.notes.push(Note::new("heard").with("after", quiet));
        }
        if let Some(lost) = self.vanished.filter(|lost| size < *lost) {
            self.vanished = None;
            self.stats.black_holes += 1;
            let note = Note::new("black-hole").with("lost", lost);
            self.notes.push(note.with("carries", size));
        }
        self.silence = Silence::default();
    }

    fn fail(&mut self, error: SocketError) {
        match error.kind {
            ErrorKind::NetUnreachable
            | ErrorKind::HostUnreachable
            | ErrorKind::ProtocolUnreachable
            | ErrorKind::PortUnreachable
            | ErrorKind::Prohibited => self.stats.unreachable += 1,
            ErrorKind::PacketTooBig { mtu } => {
                self.stats.too_big += 1;
                self.stats.path_mtu = u64::from(mtu);
            }
            _ => self.stats.other_errors += 1,
        }
        self.notes.push(super::error_note(error));
    }

    /// When the silence is long enough to be told.
    fn silent_at(&self) -> Option<Instant> {
        let patience = self.config.echo?;
        let counts = self.silence.datagrams >= MAX_PROBES && !self.silence.told;
        self.silence
            .since
            .filter(|_| counts)
            .map(|at| at + patience)
    }

    fn mind_silence(&mut self, now: Instant) {
        if self.silent_at().is_none_or(|at| now < at) {
            return;
        }
        self.stats.silences += 1;
        let note = Note::new("silence").with("size", self.size);
        self.notes
            .push(note.with("datagrams", self.silence.datagrams));
        self.silence.told = true;
        //= RFC 8899 §4.3 repeated loss says that the path may no longer carry the size.
        let to = &self.config.to;
        let base = base_plpmtu(to) - headers(to);
        if self.config.fit == Fit::Shrink && self.size > base {
            self.vanished = Some(self.size);
            self.silence = Silence::default();
            self.resize(base);
        }
    }

    fn finish(&mut self, now: Instant) {
        let all = || self.back.received >= self.stats.sent;
        if !self.done && !self.has_more() && (now >= self.linger() || all()) {
            self.done = true;
            let note = Note::new("done").with("sent", self.stats.sent);
            self.notes.push(note.with("back", self.back.received));
        }
    }
}

impl Endpoint for Sender {
    const METRICS: &'static [&'static str] = &[
        "sent",
        "bytes",
        "refused",
        "no-room",
        "unreachable",
        "too-big",
        "errors",
        "silences",
        "black-holes",
        "path-mtu",
        "size",
        "received",
        "duplicates",
        "reordered",
        "gaps",
        "gap.max",
        "loss",
        "rtt.min",
        "rtt.avg",
        "rtt.max",
        "rtt.mdev",
        "rtt.p50",
        "rtt.p99",
    ];

    const NOTES: &'static [&'static str] = &[
        "refused",
        "error",
        "resize",
        "silence",
        "heard",
        "black-hole",
        "done",
    ];

    fn start(&mut self, now: Instant, host: &mut Host) -> Result<(), StartError> {
        if self.config.size < MIN_SIZE {
            return Err(StartError::Settings(
                "a datagram needs 20 bytes: number and time",
            ));
        }
        if self.interval().is_zero() {
            return Err(StartError::Settings("no time between datagrams"));
        }
        let socket = OwnPort::bind(self.config.own_port, host, any(self.config.to.ip()))?;
        if let Some(options) = host.udp_options(socket) {
            options.ttl = self.config.ttl;
            options.tos = self.config.tos;
            options.path_mtu = match self.config.fit {
                Fit::Host => PathMtu::Want,
                Fit::Fragment => PathMtu::Off,
                Fit::Refuse | Fit::Shrink => PathMtu::Require,
            };
        }
        self.socket = Some(socket);
        self.started = now;
        self.next_at = now + self.config.start;
        self.last_sent = now;
        Ok(())
    }

    fn hears(&self) -> Hears {
        self.socket.map_or(Hears::Nothing, Hears::Udp)
    }

    fn begin_life(&mut self, life: u32) {
        let own = self.config.own_port;
        self.config.own_port = own.map(|own| own.in_life(life));
    }

    fn handle_event(&mut self, now: Instant, host: &mut Host, event: &Event) {
        match *event {
            Event::Udp(handle, _) if Some(handle) == self.socket => {
                while let Some(datagram) = host.udp_recv(handle) {
                    self.receive(now, &datagram);
                }
                while let Some(error) = host.udp_take_error(handle) {
                    self.fail(error);
                }
                self.finish(now);
            }
            // A router said less; or long ago, and the path is tried with more again.
            Event::PathMtu { dst, mtu }
                if dst.addr == self.config.to.ip() && self.config.fit == Fit::Shrink =>
            {
                let headers = headers(&self.config.to);
                let room = mtu.map(|mtu| usize::from(mtu).saturating_sub(headers));
                self.resize(room.unwrap_or(self.config.size));
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.socket?;
        if self.done {
            return None;
        }
        let next = match self.has_more() {
            true => self.next_at,
            false => self.linger(),
        };
        earliest(Some(next), self.silent_at())
    }

    fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        let Some(socket) = self.socket.filter(|_| !self.done) else {
            return;
        };
        self.mind_silence(now);
        match self.ends_at() {
            // What was slept through until the end is not sent after it.
            Some(end) if now >= end => self.next_at = self.next_at.max(end),
            _ if self.has_more() && self.next_at <= now => self.send(now, host, socket),
            _ => {}
        }
        self.finish(now);
    }

    fn poll_note(&mut self) -> Option<Note> {
        self.notes.pop()
    }

    fn measure(&self, metric: &str) -> Option<u64> {
        let Stats { sent, .. } = self.stats;
        let Stats {
            unreachable,
            too_big,
            other_errors,
            ..
        } = self.stats;
        match metric {
            "sent" => Some(sent),
            "bytes" => Some(self.stats.bytes),
            "refused" => Some(self.stats.refused),
            "no-room" => Some(self.stats.no_room),
            "unreachable" => Some(unreachable),
            "too-big" => Some(too_big),
            "errors" => Some(unreachable + too_big + other_errors),
            "silences" => Some(self.stats.silences),
            "black-holes" => Some(self.stats.black_holes),
            "path-mtu" => Some(self.stats.path_mtu).filter(|mtu| *mtu != 0),
            "size" => Some(count(self.size)),
            "received" => Some(self.back.received),
            "duplicates" => Some(self.back.duplicates),
            "reordered" => Some(self.back.reordered),
            "gaps" => Some(self.back.gaps),
            "gap.max" => Some(self.back.longest_gap),
            // Where nothing is to come back, nothing of it is lost.
            "loss" if self.config.echo.is_none() => None,
            "loss" => ppm(sent.saturating_sub(self.back.received), sent),
            _ => self.rtt.measure(metric.strip_prefix("rtt.")?),
        }
    }
}

/// What a sink listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkConfig {
    /// The port.
    pub port: u16,
    /// Send back what comes.
    pub echo: bool,
}

/// A receiver that measures.
#[derive(Clone, Debug)]
pub struct Sink {
    config: SinkConfig,
    socket: Option<UdpHandle>,
    flows: BTreeMap<SocketAddr, Arrivals>,
    delays: Delays,
    /// Datagrams that are not a sender's.
    foreign: u64,
    /// Datagrams of senders beyond those that can be kept.
    unfollowed: u64,
    /// Datagrams that a queue on the way marked (RFC 3168).
    marked: u64,
    echoed: u64,
    notes: Waiting<Note>,
}

impl Sink {
    /// A sink that has not begun.
    #[must_use]
    pub fn new(config: SinkConfig) -> Self {
        Self {
            config,
            socket: None,
            flows: BTreeMap::new(),
            delays: Delays::default(),
            foreign: 0,
            unfollowed: 0,
            marked: 0,
            echoed: 0,
            notes: Waiting::new(),
        }
    }

    /// What came from each sender.
    #[must_use]
    pub const fn flows(&self) -> &BTreeMap<SocketAddr, Arrivals> {
        &self.flows
    }

    /// How long datagrams were under way, those of all senders together. Only where both ends have
    /// one clock, as in a lab, does that say something.
    #[must_use]
    pub const fn delays(&self) -> &Delays {
        &self.delays
    }

    fn receive(&mut self, now: Instant, datagram: &Datagram) {
        // RFC 3168 §5: both bits set is congestion experienced.
        self.marked += u64::from(datagram.tos & 3 == 3);
        let Some((number, sent)) = parse(&datagram.payload) else {
            self.foreign += 1;
            return;
        };
        let room = self.flows.len() < MAX_FLOWS;
        let known = self.flows.contains_key(&datagram.from);
        if !known {
            if !room {
                self.unfollowed += 1;
                return;
            }
            let note = Note::new("first").with("from", datagram.from.ip());
            self.notes.push(note.with("port", datagram.from.port()));
        }
        let flow = self.flows.entry(datagram.from).or_default();
        if flow.add(number, datagram.payload.len()) {
            self.delays.add(now - sent);
        }
    }

    fn total(&self, of: impl Fn(&Arrivals) -> u64) -> u64 {
        self.flows.values().map(of).sum()
    }
}

impl Endpoint for Sink {
    const METRICS: &'static [&'static str] = &[
        "received",
        "bytes",
        "lost",
        "loss",
        "duplicates",
        "reordered",
        "marked",
        "foreign",
        "unfollowed",
        "flows",
        "echoed",
        "delay.min",
        "delay.avg",
        "delay.max",
        "delay.mdev",
        "delay.p50",
        "delay.p99",
    ];

    const NOTES: &'static [&'static str] = &["first"];

    fn start(&mut self, _: Instant, host: &mut Host) -> Result<(), StartError> {
        self.socket = Some(host.udp_bind(SocketAddr::new(
            Ipv4Addr::UNSPECIFIED.into(),
            self.config.port,
        ))?);
        Ok(())
    }

    fn hears(&self) -> Hears {
        self.socket.map_or(Hears::Nothing, Hears::Udp)
    }

    fn handle_event(&mut self, now: Instant, host: &mut Host, event: &Event) {
        let Event::Udp(handle, _) = *event else {
            return;
        };
        if Some(handle) != self.socket {
            return;
        }
        while let Some(datagram) = host.udp_recv(handle) {
            self.receive(now, &datagram);
            if self.config.echo {
                let from = Some(datagram.from);
                let sent = host.udp_send(now, handle, datagram.payload, from);
                self.echoed += u64::from(sent.is_ok());
            }
        }
        // An echo that did not arrive is its sender's to miss.
        while host.udp_take_error(handle).is_some() {}
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _: Instant, _: &mut Host) {}

    fn poll_note(&mut self) -> Option<Note> {
        self.notes.pop()
    }

    fn measure(&self, metric: &str) -> Option<u64> {
        match metric {
            "received" => Some(self.total(|f| f.received)),
            "bytes" => Some(self.total(|f| f.bytes)),
            "lost" => Some(self.total(Arrivals::lost)),
            "loss" => ppm(self.total(Arrivals::lost), self.total(Arrivals::expected)),
            "duplicates" => Some(self.total(|f| f.duplicates)),
            "reordered" => Some(self.total(|f| f.reordered)),
            "marked" => Some(self.marked),
            "foreign" => Some(self.foreign),
            "unfollowed" => Some(self.unfollowed),
            "flows" => Some(count(self.flows.len())),
            "echoed" => Some(self.echoed),
            _ => self.delays.measure(metric.strip_prefix("delay.")?),
        }
    }
}

/// Any port of any address of that family.
const fn any(family: IpAddr) -> SocketAddr {
    match family {
        IpAddr::V4(_) => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        IpAddr::V6(_) => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
    }
}

/// A datagram with its number and time.
fn datagram(number: u64, now: Instant, filler: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(MIN_SIZE + filler.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend_from_slice(&now.as_nanos().to_be_bytes());
    bytes.extend_from_slice(filler);
    Bytes::from(bytes)
}

/// The number and the time of a datagram, where it is a sender's. One that came in fragments has
/// them in the first: no fragment but the last is shorter.
fn parse(payload: &Payload) -> Option<(u64, Instant)> {
    let mut chunks = payload.chunks().filter(|chunk| !chunk.is_empty());
    let (magic, rest) = chunks.next()?.split_first_chunk::<4>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (time, _) = rest.split_first_chunk::<8>()?;
    let time = Instant::from_nanos(u64::from_be_bytes(*time));
    (*magic == MAGIC).then(|| (u64::from_be_bytes(*number), time))
}

#[cfg(test)]
mod tests {
    use super::super::pair::{DELAY, Rule, World, faithful, host, hosts, router};
    use super::*;
    use stack::frame::Frame;

    fn config() -> Config {
        Config {
            count: Some(10),
            // After the addresses have been announced.
            start: Duration::from_millis(10),
            ..Config::new(SocketAddr::from(([10, 7, 0, 2], 5000)))
        }
    }

    fn run(config: Config, echo: bool, rule: Rule) -> World<Sender, Sink> {
        let sink = Sink::new(SinkConfig { port: 5000, echo });
        let mut world = World::new(hosts(), Sender::new(config), sink, rule);
        world.run(Duration::from_secs(30));
        world
    }

    /// The number of a sender's datagram in an Ethernet frame without options.
    fn number(frame: &Frame) -> Option<u64> {
        let bytes = frame.to_bytes();
        let payload = Payload::from(bytes.slice_ref(bytes.get(42..)?));
        parse(&payload).map(|(number, _)| number)
    }

    fn check(endpoint: &impl Endpoint, want: &[(&str, u64)]) {
        for (metric, value) in want {
            assert_eq!(endpoint.measure(metric), Some(*value), "{metric}");
        }
    }

    #[test]
    fn all_arrive_and_are_timed() {
        let world = run(config(), false, faithful);
        check(
            &world.left,
            &[("sent", 10), ("bytes", 10_000), ("received", 0)],
        );
        check(
            &world.right,
            &[
                ("received", 10),
                ("bytes", 10_000),
                ("lost", 0),
                ("loss", 0),
                ("flows", 1),
                ("delay.min", 1_000_000),
            ],
        );
        assert_eq!(world.told(), ["done sent=10 back=0"]);
        assert_eq!(world.left.poll_timeout(), None);
        for metric in Sink::METRICS {
            assert!(world.right.measure(metric).is_some(), "{metric}");
        }
    }

    #[test]
    fn what_routers_or_we_cut_is_one_datagram() {
        for fit in [Fit::Host, Fit::Fragment] {
            let config = Config {
                size: 4000,
                fit,
                ..config()
            };
            let world = run(config, false, faithful);
            check(
                &world.right,
                &[("received", 10), ("bytes", 40_000), ("foreign", 0)],
            );
        }
        let config = Config {
            size: 4000,
            fit: Fit::Refuse,
            until: Some(DELAY * 20),
            ..config()
        };
        check(
            &run(config, false, faithful).left,
            &[("sent", 0), ("refused", 1)],
        );
    }

    #[test]
    fn a_bad_wire_is_measured_at_both_ends() {
        // 2 is lost, 4 comes twice, 6 comes after 7 and 8.
        let rule: Rule = |from, frame, _| match (from, number(frame)) {
            (0, Some(2)) => vec![],
            (0, Some(4)) => vec![DELAY, DELAY],
            (0, Some(6)) => vec![DELAY * 250],
            _ => vec![DELAY],
        };
        let config = Config {
            echo: Some(Duration::from_secs(1)),
            ..config()
        };
        let world = run(config, true, rule);
        let both = [("received", 9), ("duplicates", 1), ("reordered", 1)];
        check(&world.left, &both);
        check(&world.right, &both);
        check(
            &world.right,
            &[("lost", 1), ("loss", 100_000), ("echoed", 10)],
        );
        check(
            &world.right,
            &[("delay.max", 250_000_000), ("delay.p99", 250_000_000)],
        );
        check(&world.left, &[("loss", 100_000), ("rtt.max", 251_000_000)]);
        for metric in Sender::METRICS {
            let known = *metric == "path-mtu" || world.left.measure(metric).is_some();
            assert!(known, "{metric}");
        }
    }

    #[test]
    fn a_rate_is_kept_and_an_end_as_well() {
        let config = Config {
            count: None,
            size: 972,
            pace: Pace::Rate(80_000),
            until: Some(Duration::from_secs(5)),
            ..config()
        };
        // 8,000 bits each tenth of a second, from 10 ms on.
        let world = run(config, false, faithful);
        check(&world.left, &[("sent", 50)]);
        assert_eq!(world.told(), ["done sent=50 back=0"]);
        assert_eq!(
            world.notes[0].0,
            Instant::ZERO + Duration::from_millis(4910)
        );
    }

    #[test]
    fn time_slept_through_is_not_made_up_for() {
        let mut world = run(config(), false, faithful);
        let mut sender = Sender::new(config());
        sender.start(world.now, &mut world.hosts[0]).unwrap();
        let late = world.now + Duration::from_secs(3600);
        for _ in 0..5 {
            sender.handle_timeout(late, &mut world.hosts[0]);
        }
        check(&sender, &[("sent", 1)]);
        assert_eq!(
            sender.poll_timeout(),
            Some(late + Duration::from_millis(100))
        );
    }

    #[test]
    fn errors_are_counted_by_kind() {
        let nobody = Config {
            to: SocketAddr::from(([10, 7, 0, 2], 5001)),
            count: Some(2),
            ..config()
        };
        let world = run(nobody, false, faithful);
        check(&world.left, &[("unreachable", 2), ("errors", 2)]);
        let error = "error kind=port-unreachable from=10.7.0.2";
        assert!(
            world.told().contains(&error.to_owned()),
            "{:?}",
            world.told()
        );
        let nowhere = Config {
            to: SocketAddr::from(([192, 0, 2, 1], 5000)),
            until: Some(Duration::from_secs(1)),
            ..config()
        };
        let world = run(nowhere, false, faithful);
        check(&world.left, &[("sent", 0), ("refused", 10)]);
        assert_eq!(world.told(), ["refused why=no-route", "done sent=0 back=0"]);
    }

    #[test]
    fn a_black_hole_is_noticed_and_gone_around() {
        let rule: Rule = |_, frame, _| match frame.len() {
            1300.. => vec![],
            _ => vec![DELAY],
        };
        let config = Config {
            size: 1472,
            fit: Fit::Shrink,
            count: Some(20),
            echo: Some(Duration::from_millis(500)),
            ..config()
        };
        let world = run(config.clone(), true, rule);
        assert_eq!(
            world.told(),
            [
                "silence size=1472 datagrams=5",
                "resize from=1472 to=1172",
                "black-hole lost=1472 carries=1172",
                "done sent=20 back=15",
            ]
        );
        check(
            &world.left,
            &[("black-holes", 1), ("silences", 1), ("size", 1172)],
        );
        let stubborn = Config {
            fit: Fit::Refuse,
            ..config
        };
        let world = run(stubborn, true, rule);
        assert_eq!(
            world.told(),
            ["silence size=1472 datagrams=5", "done sent=20 back=0"]
        );
    }

    /// A router with a link of 1000 bytes behind it, and nobody there.
    #[test]
    fn what_does_not_fit_shrinks_to_the_path() {
        let pair = [host(1, "10.7.0.1/8"), router(1000)];
        for (fit, want) in [
            (
                Fit::Shrink,
                [("size", 972), ("too-big", 1), ("sent", 4), ("refused", 0)],
            ),
            (
                Fit::Refuse,
                [("size", 1472), ("too-big", 1), ("sent", 1), ("refused", 3)],
            ),
        ] {
            let config = Config {
                to: SocketAddr::from(([10, 8, 0, 9], 5000)),
                size: 1472,
                fit,
                count: None,
                until: Some(Duration::from_millis(400)),
                ..config()
            };
            let sink = Sink::new(SinkConfig {
                port: 5000,
                echo: false,
            });
            let mut world = World::new(pair.clone(), Sender::new(config), sink, faithful);
            world.run(Duration::from_secs(1));
            check(&world.left, &want);
            check(&world.left, &[("path-mtu", 1000)]);
            let error = "error kind=packet-too-big from=10.7.0.2 mtu=1000";
            assert_eq!(world.told()[0], error);
        }
    }

    #[test]
    fn it_grows_again_when_the_path_may_have_changed() {
        let config = Config {
            to: SocketAddr::from(([10, 8, 0, 9], 5000)),
            size: 1472,
            pace: Pace::Every(Duration::from_secs(1)),
            fit: Fit::Shrink,
            count: None,
            ..config()
        };
        let pair = [host(1, "10.7.0.1/8"), router(1000)];
        let sink = Sink::new(SinkConfig {
            port: 5000,
            echo: false,
        });
        let mut world = World::new(pair, Sender::new(config), sink, faithful);
        // RFC 1191 §6.3 and §7: after ten minutes the next plateau is tried.
        world.run(Duration::from_secs(700));
        let told = world.told();
        let sizes: Vec<&String> = told.iter().filter(|t| t.starts_with("resize")).collect();
        let want = ["from=1472 to=972", "from=972 to=978", "from=978 to=972"];
        assert_eq!(sizes, want.map(|w| format!("resize {w}")).each_ref());
        check(&world.left, &[("too-big", 2)]);
    }

    #[test]
    fn settings_that_make_no_sense() {
        let [mut host, _] = hosts();
        for bad in [
            Config {
                size: 19,
                ..config()
            },
            Config {
                pace: Pace::Every(Duration::ZERO),
                ..config()
            },
        ] {
            let started = Sender::new(bad).start(Instant::ZERO, &mut host);
            assert!(
                matches!(started, Err(StartError::Settings(_))),
                "{started:?}"
            );
        }
    }
}
