//! Bulk over TCP: a sender of so many bytes, or for a time, and the intake that checks them.
//!
//! ```text
//!   Bulk    connect --> [ magic | seed | bytes in all ] [ pattern from the seed, again and again ]
//!           --> FIN --> the sink's FIN says that it has read all --> note "finished"
//!   Intake  the header --> the same pattern; each byte is held against it, and summed up
//! ```
//!
//! Read first: RFC 6349 §3 and §4 (what of a TCP transfer is worth measuring).
//!
//! Promises: payload is handed over by reference to one pattern; the sink keeps that pattern and
//! counters, whatever is sent. The pattern's period is a prime, so that a piece that is lost,
//! doubled or moved by any usual size shows, and the checksum depends on every byte's place.
//!
//! A stream without the header is counted and not checked, so that any tool may send to the sink;
//! a sender may send to any service that reads.

use super::measure::Delays;
use super::own_port::OwnPort;
use super::{Endpoint, Hears, Note, StartError, Waiting, count};
use bytes::Bytes;
use siphasher::sip::SipHasher13;
use stack::host::{ConnectError, Event, Host, Readiness, TcpHandle};
use stack::rng::Rng;
use stack::time::{Duration, Instant, earliest, nanos};
use stack::transport::tcp::{self, Error, Status};
use std::hash::Hasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How a stream of a sender begins.
const MAGIC: [u8; 8] = *b"TAPBULK1";
/// Magic, seed, bytes in all (all ones where nobody knows).
const HEADER: usize = 24;
/// Bytes of the pattern.
const PERIOD: usize = 65_521;
/// Between two looks at the connection.
const SAMPLE: Duration = Duration::from_millis(100);
/// Bytes read at a time of what a service sends back.
const PIECE: usize = 256 << 10;

/// What to send.
#[derive(Clone, Debug)]
pub struct Config {
    /// To whom.
    pub to: SocketAddr,
    /// From which of our ends; `None`: as the host chooses.
    pub from: Option<SocketAddr>,
    /// Where our port comes from, where `from` does not say; `None`: as the host chooses.
    pub own_port: Option<OwnPort>,
    /// Bytes of payload; `None`: without end.
    pub bytes: Option<u64>,
    /// How long to hand over more; what is under way then still arrives.
    pub until: Option<Duration>,
    /// How long after the start the goodput is counted from: past slow start, for one.
    pub warm_up: Duration,
    /// Between two samples of window and round-trip time.
    pub sample: Duration,
    /// What the pattern is drawn from.
    pub seed: u64,
    /// How the connection behaves.
    pub options: tcp::Options,
}

impl Config {
    /// A megabyte, from the seed zero.
    #[must_use]
    pub fn new(to: SocketAddr) -> Self {
        Self {
            to,
            from: None,
            own_port: None,
            bytes: Some(1_000_000),
            until: None,
            warm_up: Duration::ZERO,
            sample: SAMPLE,
            seed: 0,
            options: tcp::Options::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Connecting,
    Sending,
    /// All is handed over; the other side has not finished.
    Finishing,
    Done,
}

/// A sender.
#[derive(Clone, Debug)]
pub struct Bulk {
    config: Config,
    pattern: Pattern,
    state: State,
    handle: Option<TcpHandle>,
    started: Instant,
    /// When it was open.
    connected: Option<Instant>,
    /// When it ended, or the last time that anything was heard of it.
    last: Instant,
    /// Bytes handed over, the header among them.
    handed: u64,
    back: u64,
    /// Bytes delivered when the warm-up was over, and when that was.
    warm: Option<(Instant, u64)>,
    next_sample: Instant,
    status: Status,
    cwnd: Range,
    in_flight: Range,
    rtt: Delays,
    /// The congestion window over time.
    curve: Curve,
    /// The most probes of a silent peer that went unanswered.
    probes: u8,
    /// The other side has read all.
    finished: bool,
    /// How it ended.
    ended: Option<&'static str>,
    notes: Waiting<Note>,
}

/// The least, the most and the mean of what was sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Range {
    min: u64,
    max: u64,
    sum: u128,
    count: u64,
}

impl Range {
    fn add(&mut self, value: u64) {
        self.min = match self.count {
            0 => value,
            _ => self.min.min(value),
        };
        self.max = self.max.max(value);
        self.sum += u128::from(value);
        self.count += 1;
    }

    fn measure(&self, what: &str) -> Option<u64> {
        let mean = self.sum.checked_div(u128::from(self.count))?;
        match what {
            "min" => Some(self.min),
            "max" => Some(self.max),
            "avg" => u64::try_from(mean).ok(),
            _ => None,
        }
    }
}

/// Samples of the congestion window; when there are too many, every second one goes.
#[derive(Clone, Debug, Default)]
struct Curve {
    points: Vec<u32>,
    /// Samples between two points, less one.
    skip: u32,
    /// Samples since the last point.
    skipped: u32,
}

/// Points of a curve.
const POINTS: usize = 64;

impl Curve {
    fn add(&mut self, value: u32) {
        if self.skipped < self.skip && !self.points.is_empty() {
            self.skipped += 1;
            return;
        }
        self.skipped = 0;
        self.points.push(value);
        if self.points.len() >= POINTS {
            let even = self.points.iter().step_by(2);
            self.points = even.copied().collect();
            self.skip = self.skip.saturating_mul(2).saturating_add(1);
        }
    }
}

impl Bulk {
    /// A sender that has not begun.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            pattern: Pattern::new(config.seed),
            config,
            state: State::Idle,
            handle: None,
            started: Instant::ZERO,
            connected: None,
            last: Instant::ZERO,
            handed: 0,
            back: 0,
            warm: None,
            next_sample: Instant::ZERO,
            status: Status::default(),
            cwnd: Range::default(),
            in_flight: Range::default(),
            rtt: Delays::default(),
            curve: Curve::default(),
            probes: 0,
            finished: false,
            ended: None,
            notes: Waiting::new(),
        }
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How it ended, as its last note says: `finished`, `refused`, ..
    #[must_use]
    pub const fn ended(&self) -> Option<&'static str> {
        self.ended
    }

    /// The connection as it was last seen.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// The smoothed round trip times, as they were sampled.
    #[must_use]
    pub const fn rtt(&self) -> &Delays {
        &self.rtt
    }

    /// The congestion window over time, as it was sampled: values at equal distances.
    #[must_use]
    pub fn curve(&self) -> &[u32] {
        &self.curve.points
    }

    fn connect(&self, now: Instant, host: &mut Host) -> Result<TcpHandle, ConnectError> {
        let Config { to, from, .. } = self.config;
        let mut connect = |from| host.tcp_connect(now, to, from, self.config.options.clone());
        let own = self.config.own_port.filter(|_| from.is_none());
        let any = match to {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        for port in own.into_iter().flat_map(OwnPort::candidates) {
            match connect(Some(SocketAddr::new(any, port))) {
                Err(ConnectError::InUse) => {}
                connected => return connected,
            }
        }
        connect(from)
    }

    fn end_of_sending(&self) -> Option<Instant> {
        self.config.until.map(|until| self.started + until)
    }

    /// Bytes of the whole stream, the header with it.
    fn total(&self) -> Option<u64> {
        let bytes = self.config.bytes?;
        Some(bytes.saturating_add(count(HEADER)))
    }

    /// Bytes of payload that have left, each counted once.
    fn sent(&self) -> u64 {
        let Status {
            bytes_sent,
            bytes_retrans,
            ..
        } = self.status;
        bytes_sent.saturating_sub(bytes_retrans.saturating_add(count(HEADER)))
    }

    /// Bytes of payload that were handed over and have not left.
    fn waiting(&self) -> u64 {
        let handed = self.handed.saturating_sub(count(HEADER));
        handed.saturating_sub(self.sent())
    }

    /// Bytes of payload that have been acknowledged.
    fn acked(&self) -> u64 {
        self.status.bytes_acked.saturating_sub(count(HEADER))
    }

    /// What the receiver has, also behind a hole: when that is filled, the acknowledgment jumps over
    /// what arrived long before.
    fn delivered(&self) -> u64 {
        self.status.delivered.saturating_sub(count(HEADER))
    }

    fn turn(&mut self, now: Instant, host: &mut Host, ready: Readiness) {
        let Some(handle) = self.handle else {
            return;
        };
        self.look(now, host, handle);
        if ready.has(Readiness::ERROR) {
            return self.fail(now, host, handle);
        }
        if self.state == State::Connecting && ready.has(Readiness::WRITABLE) {
            self.state = State::Sending;
            self.connected = Some(now);
            let note = Note::new("connected").with("after", now - self.started);
            self.notes.push(note);
        }
        if self.state == State::Sending {
            self.send(now, host, handle);
        }
        if self.connected.is_some() {
            self.receive(now, host, handle);
        }
    }

    fn send(&mut self, now: Instant, host: &mut Host, handle: TcpHandle) {
        loop {
            let left = self.total().map(|all| all.saturating_sub(self.handed));
            let late = self.end_of_sending().is_some_and(|end| now >= end);
            if left == Some(0) || late {
                self.state = State::Finishing;
                host.tcp_shutdown(now, handle);
                return;
            }
            let piece = self.piece(left);
            match host.tcp_send_bytes(now, handle, piece) {
                Ok(0) | Err(Error::WouldBlock) => return,
                Ok(n) => self.handed += count(n),
                // Told as an event too, where it ended the connection.
                Err(_) => return,
            }
        }
    }

    /// What comes next of the stream.
    fn piece(&self, left: Option<u64>) -> Bytes {
        let done = self.handed.checked_sub(count(HEADER));
        let Some(at) = done else {
            let header = header(self.config.seed, self.config.bytes);
            let from = usize::try_from(self.handed).unwrap_or(0);
            return header.slice(from.min(HEADER)..);
        };
        let piece = self.pattern.at(at);
        let most = left.map_or(piece.len(), |n| usize::try_from(n).unwrap_or(usize::MAX));
        piece.slice(..most.min(piece.len()))
    }

    fn receive(&mut self, now: Instant, host: &mut Host, handle: TcpHandle) {
        loop {
            match host.tcp_recv_bytes(now, handle, PIECE) {
                Ok(piece) if piece.is_empty() => return self.finished(now, host, handle),
                Ok(piece) => self.back += count(piece.len()),
                Err(_) => return,
            }
        }
    }

    /// The other side has finished: it has read all that we had to say, or wants no more.
    fn finished(&mut self, now: Instant, host: &mut Host, handle: TcpHandle) {
        self.look(now, host, handle);
        let whole = self.state == State::Finishing;
        self.finished = whole;
        host.tcp_close(now, handle);
        self.over(now);
        let name = if whole { "finished" } else { "closed" };
        self.ended = Some(name);
        let time = self.connected.map_or(Duration::ZERO, |at| now - at);
        let note = Note::new(name).with("bytes", self.acked());
        self.notes.push(note.with("time", time));
    }

    fn fail(&mut self, now: Instant, host: &mut Host, handle: TcpHandle) {
        let error = host.tcp_take_error(handle);
        host.tcp_abort(now, handle);
        self.over(now);
        let name = match error {
            Some(Error::Refused) => "refused",
            Some(Error::TimedOut) => "timeout",
            Some(Error::Unreachable(_)) => "unreachable",
            _ => "reset",
        };
        self.ended = Some(name);
        let mut note = Note::new(name);
        if let Some(Error::Unreachable(kind)) = error {
            note = note.with("kind", super::word(kind));
        }
        self.notes.push(note.with("bytes", self.acked()));
    }

    fn over(&mut self, now: Instant) {
        self.state = State::Done;
        self.handle = None;
        self.last = now;
    }

    /// Looks at the connection.
    fn look(&mut self, now: Instant, host: &Host, handle: TcpHandle) {
        let Some(status) = host.tcp_status(now, handle) else {
            return;
        };
        self.status = status;
        self.probes = self.probes.max(status.probes);
        self.last = now;
        if self.warm.is_none() && now >= self.started + self.config.warm_up {
            let begun = match self.config.warm_up.is_zero() {
                true => self.connected.unwrap_or(now),
                false => now,
            };
            if self.connected.is_some() {
                self.warm = Some((begun, self.delivered()));
            }
        }
    }

    fn sample(&mut self, now: Instant, host: &Host) {
        if let Some(handle) = self.handle {
            self.look(now, host, handle);
        }
        if self.connected.is_some() {
            self.cwnd.add(u64::from(self.status.cwnd));
            self.curve.add(self.status.cwnd);
            self.in_flight.add(u64::from(self.status.in_flight));
            if let Some(srtt) = self.status.srtt {
                self.rtt.add(srtt);
            }
        }
    }

    /// Bits a second of payload that arrived, since the warm-up.
    fn goodput(&self) -> Option<u64> {
        let (since, before) = self.warm?;
        rate(self.delivered().saturating_sub(before), self.last - since)
    }
}

/// Bits a second.
fn rate(bytes: u64, time: Duration) -> Option<u64> {
    let bits = u128::from(bytes) * 8 * 1_000_000_000;
    let rate = bits.checked_div(u128::from(nanos(time)))?;
    u64::try_from(rate).ok()
}

fn header(seed: u64, bytes: Option<u64>) -> Bytes {
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&seed.to_be_bytes());
    header.extend_from_slice(&bytes.unwrap_or(u64::MAX).to_be_bytes());
    header.into()
}

impl Endpoint for Bulk {
    const METRICS: &'static [&'static str] = &[
        "sent",
        "waiting",
        "acked",
        "back",
        "goodput",
        "connect",
        "time",
        "retransmissions",
        "retransmitted",
        "timeouts",
        "recoveries",
        "undos",
        "marked",
        "finished",
        "probes",
        "cwnd",
        "cwnd.min",
        "cwnd.avg",
        "cwnd.max",
        "in-flight",
        "in-flight.min",
        "in-flight.avg",
        "in-flight.max",
        "ssthresh",
        "window",
        "mss",
        "path-mtu",
        "delivery-rate",
        "pacing-rate",
        "srtt",
        "min-rtt",
        "rto",
        "rtt.min",
        "rtt.avg",
        "rtt.max",
        "rtt.mdev",
        "rtt.p50",
        "rtt.p99",
        "checksum",
    ];

    const NOTES: &'static [&'static str] = &[
        "connected",
        "finished",
        "closed",
        "refused",
        "reset",
        "timeout",
        "unreachable",
    ];

    fn start(&mut self, now: Instant, host: &mut Host) -> Result<(), StartError> {
        if self.config.sample.is_zero() {
            return Err(StartError::Settings("no time between samples"));
        }
        self.started = now;
        self.last = now;
        self.next_sample = now + self.config.sample;
        self.handle = Some(self.connect(now, host)?);
        self.state = State::Connecting;
        Ok(())
    }

    fn hears(&self) -> Hears {
        self.handle.map_or(Hears::Nothing, Hears::Tcp)
    }

    fn begin_life(&mut self, life: u32) {
        let own = self.config.own_port;
        self.config.own_port = own.map(|own| own.in_life(life));
    }

    fn handle_event(&mut self, now: Instant, host: &mut Host, event: &Event) {
        match *event {
            Event::Tcp(handle, ready) if Some(handle) == self.handle => {
                self.turn(now, host, ready);
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let end = match self.state {
            State::Idle | State::Done => return None,
            State::Sending => self.end_of_sending(),
            State::Connecting | State::Finishing => None,
        };
        earliest(end, Some(self.next_sample))
    }

    fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        if matches!(self.state, State::Idle | State::Done) {
            return;
        }
        if now >= self.next_sample {
            self.sample(now, host);
            self.next_sample = now + self.config.sample;
        }
        if self.state == State::Sending && self.end_of_sending().is_some_and(|end| now >= end) {
            self.turn(now, host, Readiness::NONE);
        }
    }

    fn poll_note(&mut self) -> Option<Note> {
        self.notes.pop()
    }

    fn measure(&self, metric: &str) -> Option<u64> {
        let status = &self.status;
        let open = |value: u64| self.connected.map(|_| value);
        match metric {
            "sent" => Some(self.sent()),
            "waiting" => Some(self.waiting()),
            "acked" => Some(self.acked()),
            "back" => Some(self.back),
            "goodput" => self.goodput(),
            "connect" => self.connected.map(|at| nanos(at - self.started)),
            "time" => self.connected.map(|at| nanos(self.last - at)),
            "retransmissions" => Some(status.total_retrans),
            "retransmitted" => Some(status.bytes_retrans),
            "timeouts" => Some(status.timeouts),
            "recoveries" => Some(status.recoveries),
            "undos" => Some(status.undos),
            "marked" => Some(status.delivered_ce),
            "finished" => Some(self.finished.into()),
            "probes" => Some(self.probes.into()),
            "cwnd" => open(u64::from(status.cwnd)),
            "in-flight" => open(u64::from(status.in_flight)),
            // Without a loss there is none yet.
            "ssthresh" => open(u64::from(status.ssthresh)).filter(|n| *n < u64::from(u32::MAX)),
            "window" => open(u64::from(status.snd_wnd)),
            "mss" => open(u64::from(status.snd_mss)),
            "path-mtu" => open(u64::from(status.pmtu)),
            "delivery-rate" => open(status.delivery_rate.saturating_mul(8)),
            "pacing-rate" => open(status.pacing_rate.saturating_mul(8)),
            "srtt" => status.srtt.map(nanos),
            "min-rtt" => status.min_rtt.map(nanos),
            "rto" => open(nanos(status.rto)),
            "checksum" => {
                let mut sum = Checksum::default();
                self.pattern.sum(&mut sum, self.acked());
                Some(sum.value())
            }
            _ => match metric.split_once('.')? {
                ("rtt", what) => self.rtt.measure(what),
                ("cwnd", what) => self.cwnd.measure(what),
                ("in-flight", what) => self.in_flight.measure(what),
                _ => None,
            },
        }
    }
}

/// What is sent, again and again.
#[derive(Clone, Debug)]
struct Pattern(Bytes);

impl Pattern {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::from_seed(seed).fork("bulk");
        let mut bytes = Vec::with_capacity(PERIOD + 8);
        while bytes.len() < PERIOD {
            bytes.extend_from_slice(&rng.next_u64().to_be_bytes());
        }
        bytes.truncate(PERIOD);
        Self(bytes.into())
    }

    /// From that byte of the stream on, to the end of the period.
    fn at(&self, offset: u64) -> Bytes {
        let at = usize::try_from(offset % count(PERIOD)).unwrap_or(0);
        self.0.slice(at.min(self.0.len())..)
    }

    /// Adds the stream's first bytes.
    fn sum(&self, sum: &mut Checksum, mut left: u64) {
        while left > 0 {
            let len = usize::try_from(left.min(count(PERIOD))).unwrap_or(PERIOD);
            sum.add(self.0.get(..len).unwrap_or_default());
            left -= count(len);
        }
    }
}

/// A checksum that depends on every byte and its place, however the stream was cut.
#[derive(Clone, Debug, Default)]
struct Checksum(SipHasher13);

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn value(&self) -> u64 {
        self.0.finish()
    }
}

/// The receiver of one stream.
#[derive(Clone, Debug)]
pub(super) struct Intake {
    header: Vec<u8>,
    pattern: Option<Pattern>,
    foreign: bool,
    announced: Option<u64>,
    bytes: u64,
    wrong: u64,
    sum: Checksum,
    ended: bool,
    since: Instant,
    last: Instant,
}

impl Intake {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            header: Vec::new(),
            pattern: None,
            foreign: false,
            announced: None,
            bytes: 0,
            wrong: 0,
            sum: Checksum::default(),
            ended: false,
            since: now,
            last: now,
        }
    }

    /// Takes what comes next.
    pub(super) fn take(&mut self, now: Instant, piece: &[u8]) {
        self.last = now;
        let rest = match self.pattern.is_some() || self.foreign {
            true => piece,
            false => self.begin(piece),
        };
        self.sum.add(rest);
        let mut rest = rest;
        while let (Some(pattern), false) = (&self.pattern, rest.is_empty()) {
            let want = pattern.at(self.bytes);
            let (now, later) = rest.split_at(want.len().min(rest.len()));
            let want = want.get(..now.len()).unwrap_or_default();
            if now != want {
                let differ = now.iter().zip(want).filter(|(a, b)| a != b);
                self.wrong += count(differ.count());
            }
            self.bytes += count(now.len());
            rest = later;
        }
        self.bytes += count(rest.len());
    }

    /// Takes the header, or what has come of it; gives what follows.
    fn begin<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let missing = HEADER.saturating_sub(self.header.len());
        let (now, rest) = piece.split_at(missing.min(piece.len()));
        self.header.extend_from_slice(now);
        let alike = self.header.iter().zip(&MAGIC).all(|(a, b)| a == b);
        if !alike {
            self.foreign = true;
            self.bytes += count(self.header.len());
            let header = std::mem::take(&mut self.header);
            self.sum.add(&header);
            return rest;
        }
        let numbers = self.header.get(MAGIC.len()..).unwrap_or_default();
        if let Some((seed, bytes)) = numbers.split_first_chunk::<8>()
            && let Some((bytes, _)) = bytes.split_first_chunk::<8>()
        {
            self.pattern = Some(Pattern::new(u64::from_be_bytes(*seed)));
            self.announced = Some(u64::from_be_bytes(*bytes)).filter(|n| *n != u64::MAX);
        }
        rest
    }

    /// The sender has finished.
    pub(super) const fn end(&mut self) {
        self.ended = true;
    }

    /// Whether all came that was announced, and rightly.
    pub(super) fn is_whole(&self) -> bool {
        let all = self.announced.is_none_or(|n| n == self.bytes);
        self.ended && self.pattern.is_some() && all && self.wrong == 0
    }

    /// Whether it ended before all came that was announced.
    pub(super) fn is_cut(&self) -> bool {
        self.ended && self.announced.is_some_and(|n| n > self.bytes)
    }

    pub(super) const fn is_foreign(&self) -> bool {
        self.foreign
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) const fn wrong(&self) -> u64 {
        self.wrong
    }

    pub(super) fn checksum(&self) -> u64 {
        self.sum.value()
    }

    /// Bits a second from the beginning to the last byte.
    pub(super) fn goodput(&self) -> u64 {
        rate(self.bytes, self.last - self.since).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(seed: u64, bytes: u64) -> Vec<u8> {
        let mut all = header(seed, Some(bytes)).to_vec();
        let pattern = Pattern::new(seed);
        while count(all.len() - HEADER) < bytes {
            let at = count(all.len() - HEADER);
            let left = usize::try_from(bytes - at).unwrap();
            let piece = pattern.at(at);
            all.extend_from_slice(&piece[..left.min(piece.len())]);
        }
        all
    }

    fn take(all: &[u8], piece: usize) -> Intake {
        let mut intake = Intake::new(Instant::ZERO);
        for piece in all.chunks(piece) {
            intake.take(Instant::ZERO + Duration::from_secs(1), piece);
        }
        intake.end();
        intake
    }

    #[test]
    fn a_stream_is_whole_however_it_is_cut() {
        let all = stream(7, 200_000);
        for piece in [1, 1448, 65_536, 1 << 20] {
            let intake = take(&all, piece);
            assert!(intake.is_whole() && intake.bytes() == 200_000, "{piece}");
            assert_eq!(intake.goodput(), 1_600_000);
            let mut sum = Checksum::default();
            Pattern::new(7).sum(&mut sum, 200_000);
            assert_eq!(intake.checksum(), sum.value());
        }
    }

    #[test]
    fn what_is_wrong_shows() {
        let all = stream(7, 200_000);
        let mut flipped = all.clone();
        flipped[100_000] ^= 1;
        let intake = take(&flipped, 1448);
        assert!(!intake.is_whole() && intake.wrong() == 1);
        let mut cut = all.clone();
        cut.truncate(100_000);
        assert!(!take(&cut, 1448).is_whole());
        let mut moved = all.clone();
        moved.drain(1448..2896);
        assert!(take(&moved, 1448).wrong() > 100_000);
        assert_ne!(take(&moved, 1448).checksum(), take(&all, 1448).checksum());
        let foreign = take(b"GET / HTTP/1.1", 3);
        assert!(foreign.is_foreign() && foreign.bytes() == 14 && !foreign.is_whole());
    }
}
