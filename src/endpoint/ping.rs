//! Ping: echo requests at intervals, and what comes back for each.
//!
//! ```text
//!   handle_timeout --echo_send(seq)--> host ...         sent[seq] = when
//!   host --reply or ICMP error, by seq--> Outcome       sent[seq] answered: another is a duplicate
//!
//!   seq 1        2        3        4                     start, every interval
//!       |<-rtt->           <---- patience ----> Timeout  ... after the last one, or the deadline: Done
//! ```
//!
//! Read first: RFC 792 (echo), RFC 1122 §3.2.2.6.
//!
//! Promises: a reply is matched by the sequence number that it carries, the identifier is the
//! socket's; one request is counted once, however many answers come.
//!
//! Left out: names, and what is printed: the verb `ping` does both.

use super::measure::{Delays, ppm};
use super::{Endpoint, Hears, Note, StartError, Waiting};
use bytes::Bytes;
use stack::frame::Payload;
use stack::host::{Event, Host, RawHandle, SendError};
use stack::time::{Duration, Instant, earliest};
use stack::transport::udp::PathMtu;
use stack::transport::{SocketError, raw};
use stack::wire::Zoned;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// ICMP header of an echo.
pub const HEADER: usize = 8;
/// After the last request, at least so long for its answer, where some have come.
const LINGER: Duration = Duration::from_secs(1);
/// And so long where none has.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// Before another attempt where the socket had no room.
const RETRY: Duration = Duration::from_millis(1);

/// What to ask, whom and how often.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whom.
    pub target: IpAddr,
    /// In which zone, where that is an address of a link and the host has several (RFC 4007).
    pub zone: u32,
    /// Identifier of the requests; zero: one that is free.
    pub ident: u16,
    /// Requests in all; `None`: until the deadline, or for ever.
    pub count: Option<u64>,
    /// How long after `start` the first one leaves.
    pub start: Duration,
    /// Between requests. Zero is as fast as the driver turns, so nothing for virtual time.
    pub interval: Duration,
    /// The next request as soon as an answer came, and `interval` only where none does: a flood.
    pub flood: bool,
    /// Bytes of data behind the ICMP header.
    pub size: usize,
    /// How long an answer is waited for. `None`: twice the longest round trip, but a second, and
    /// ten where nothing has come yet.
    pub timeout: Option<Duration>,
    /// When to end in any case, after `start` was called.
    pub deadline: Option<Duration>,
    /// Time to live.
    pub ttl: u8,
    /// DSCP and ECN, the whole byte.
    pub tos: u8,
    /// Don't-fragment.
    pub path_mtu: PathMtu,
    /// Allow a broadcast address.
    pub broadcast: bool,
    /// IP options of the requests, as RFC 791 §3.1 has them, padded to four bytes: record route,
    /// timestamp.
    pub options: Vec<u8>,
}

impl Config {
    /// A request of 56 bytes each second, for ever.
    #[must_use]
    pub fn new(target: impl Into<IpAddr>) -> Self {
        Self {
            target: target.into(),
            zone: 0,
            ident: 0,
            count: None,
            start: Duration::ZERO,
            interval: Duration::from_secs(1),
            flood: false,
            size: 56,
            timeout: None,
            deadline: None,
            ttl: 64,
            tos: 0,
            path_mtu: PathMtu::Want,
            broadcast: false,
            options: Vec::new(),
        }
    }
}

/// What came of the requests, in counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests made, those that were refused here with them.
    pub sent: u64,
    /// Requests answered.
    pub received: u64,
    /// Further answers to the same request.
    pub duplicates: u64,
    /// Requests for which an ICMP error came back, and those refused here.
    pub errors: u64,
    /// Requests given up waiting for and not answered later.
    pub timeouts: u64,
}

impl Stats {
    /// Requests that are still waited for, each answer or error to one of them counted once.
    #[must_use]
    pub const fn pending(&self) -> u64 {
        let settled = self.received + self.errors + self.timeouts;
        self.sent.saturating_sub(settled)
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It left.
    Sent {
        /// Its number.
        seq: u16,
    },
    /// It was refused on this host.
    Refused {
        /// Its number.
        seq: u16,
        /// Why.
        error: SendError,
    },
    /// It was answered.
    Reply(Reply),
    /// An ICMP error came back for it.
    Error {
        /// Its number.
        seq: u16,
        /// Which.
        error: SocketError,
    },
    /// It was waited for long enough.
    Timeout {
        /// Its number.
        seq: u16,
    },
    /// The last one has been answered or given up.
    Done,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The request's number.
    pub seq: u16,
    /// Who answered.
    pub from: IpAddr,
    /// Since the request left.
    pub rtt: Duration,
    /// Time to live on arrival.
    pub ttl: u8,
    /// Bytes of the ICMP message.
    pub bytes: usize,
    /// Not the first for this request.
    pub duplicate: bool,
    /// It brought other data than was sent.
    pub altered: bool,
    /// IP options on arrival.
    pub options: Bytes,
}

/// A request that was sent.
#[derive(Clone, Debug)]
struct Sent {
    at: Instant,
    /// By an answer or an error.
    answered: bool,
    given_up: bool,
}

impl Sent {
    const fn new(at: Instant) -> Self {
        Self {
            at,
            answered: false,
            given_up: false,
        }
    }
}

/// A run of requests.
#[derive(Clone, Debug)]
pub struct Pinger {
    config: Config,
    data: Bytes,
    socket: Option<RawHandle>,
    /// By number: 65,536 at most, since numbers start again then.
    sent: BTreeMap<u16, Sent>,
    /// In the order they left; those answered go when they come to the front.
    waiting: VecDeque<(u16, Instant)>,
    started: Instant,
    last_sent: Instant,
    next_at: Instant,
    /// Requests of which no more is expected: answered, failed, or their number was used again.
    settled: u64,
    done: bool,
    stats: Stats,
    rtt: Delays,
    outcomes: Waiting<Outcome>,
}

impl Pinger {
    /// A run that has not begun.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            data: (0u8..=255).cycle().take(config.size).collect(),
            config,
            socket: None,
            sent: BTreeMap::new(),
            waiting: VecDeque::new(),
            started: Instant::ZERO,
            last_sent: Instant::ZERO,
            next_at: Instant::ZERO,
            settled: 0,
            done: false,
            stats: Stats::default(),
            rtt: Delays::default(),
            outcomes: Waiting::new(),
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

    /// When it was started.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// Whether nothing more is to be sent or waited for.
    #[must_use]
    pub fn is_done(&self, now: Instant) -> bool {
        let settled = self.settled >= self.stats.sent;
        let late = now >= self.last_sent + self.patience();
        self.ends_at().is_some_and(|at| now >= at) || (!self.has_more() && (settled || late))
    }

    /// What became of requests, in order; [`poll_note`](Endpoint::poll_note) tells the same to
    /// those who want less, and takes from the same queue.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop()
    }

    /// Takes one packet or error that waits; false where there is none. For who takes the outcome
    /// of each before the next, since only so many are kept.
    pub fn hear(&mut self, now: Instant, host: &mut Host) -> bool {
        let Some(socket) = self.socket else {
            return false;
        };
        if let Some(packet) = host.raw_recv(socket) {
            self.receive(now, &packet);
        } else if let Some(error) = host.raw_take_error(socket) {
            self.fail(error);
        } else {
            return false;
        }
        true
    }

    fn ends_at(&self) -> Option<Instant> {
        self.config.deadline.map(|d| self.started + d)
    }

    fn has_more(&self) -> bool {
        self.config.count.is_none_or(|n| self.stats.sent < n)
    }

    /// How long an answer is waited for.
    fn patience(&self) -> Duration {
        match (self.config.timeout, self.stats.received) {
            (Some(given), _) => given,
            (None, 0) => FIRST_ANSWER,
            (None, _) => (self.rtt.max() * 2).max(LINGER),
        }
    }

    fn send(&mut self, now: Instant, host: &mut Host, socket: RawHandle) {
        let seq = wrapped(self.stats.sent + 1);
        let data = Payload::from(self.data.clone());
        let Config {
            target: addr,
            zone,
            interval,
            flood,
            ..
        } = self.config;
        let target = Zoned { addr, zone };
        match host.echo_send(now, socket, target, seq, data, &self.config.options) {
            Ok(()) => {
                let old = self.sent.insert(seq, Sent::new(now));
                if let Some(old) = old.filter(|old| !old.answered) {
                    self.settled += 1;
                    // Its number is another's now.
                    self.stats.timeouts += u64::from(!old.given_up);
                }
                self.waiting.push_back((seq, now));
                self.outcomes.push(Outcome::Sent { seq });
            }
            Err(SendError::WouldBlock) => {
                self.next_at = now + RETRY;
                return;
            }
            Err(error) => {
                self.stats.errors += 1;
                self.settled += 1;
                self.outcomes.push(Outcome::Refused { seq, error });
            }
        }
        self.stats.sent += 1;
        self.last_sent = now;
        self.next_at = match flood {
            true => now + interval,
            // One that was late does not make all that follow late.
            false => (self.next_at + interval).max(now),
        };
    }

    fn receive(&mut self, now: Instant, packet: &raw::Packet) {
        let message = packet.payload.to_bytes();
        let Some(([_, _, _, _, _, _, a, b], data)) = message.split_first_chunk::<HEADER>() else {
            return;
        };
        let seq = u16::from_be_bytes([*a, *b]);
        // What was never asked is no answer.
        let Some(sent) = self.sent.get_mut(&seq) else {
            return;
        };
        let (rtt, late) = (now - sent.at, sent.given_up);
        let duplicate = std::mem::replace(&mut sent.answered, true);
        if duplicate {
            self.stats.duplicates += 1;
        } else {
            self.stats.received += 1;
            self.stats.timeouts -= u64::from(late);
            self.settled += 1;
            self.rtt.add(rtt);
        }
        if self.config.flood {
            self.next_at = now;
        }
        self.outcomes.push(Outcome::Reply(Reply {
            seq,
            from: packet.from,
            rtt,
            ttl: packet.ttl,
            bytes: message.len(),
            duplicate,
            altered: *data != *self.data,
            options: packet.options.clone(),
        }));
    }

    fn fail(&mut self, error: SocketError) {
        let seq = error.to.port();
        let Some(sent) = self.sent.get_mut(&seq) else {
            return;
        };
        let late = sent.given_up;
        if !std::mem::replace(&mut sent.answered, true) {
            self.stats.errors += 1;
            self.stats.timeouts -= u64::from(late);
            self.settled += 1;
        }
        self.outcomes.push(Outcome::Error { seq, error });
    }

    /// Whether the request at the front of those that wait is still the one, and unanswered.
    fn is_open(&self, (seq, at): (u16, Instant)) -> bool {
        let sent = self.sent.get(&seq);
        sent.is_some_and(|s| s.at == at && !s.answered)
    }

    /// Gives up what was waited for long enough, and forgets what was answered.
    fn give_up(&mut self, now: Instant) {
        while let Some(&front) = self.waiting.front() {
            if self.is_open(front) {
                if now < front.1 + self.patience() {
                    return;
                }
                self.stats.timeouts += 1;
                if let Some(sent) = self.sent.get_mut(&front.0) {
                    sent.given_up = true;
                }
                self.outcomes.push(Outcome::Timeout { seq: front.0 });
            }
            self.waiting.pop_front();
        }
    }

    fn finish(&mut self, now: Instant) {
        if !self.done && self.is_done(now) {
            self.done = true;
            self.outcomes.push(Outcome::Done);
        }
    }
}

impl Endpoint for Pinger {
    const METRICS: &'static [&'static str] = &[
        "sent",
        "received",
        "duplicates",
        "errors",
        "timeouts",
        "pending",
        "loss",
        "rtt.min",
        "rtt.avg",
        "rtt.max",
        "rtt.mdev",
        "rtt.p50",
        "rtt.p99",
    ];

    const NOTES: &'static [&'static str] =
        &["reply", "duplicate", "error", "refused", "timeout", "done"];

    fn start(&mut self, now: Instant, host: &mut Host) -> Result<(), StartError> {
        let (socket, _) = host.echo_open(self.config.ident)?;
        if let Some(options) = host.raw_options(socket) {
            options.ttl = self.config.ttl;
            options.multicast_ttl = self.config.ttl;
            options.tos = self.config.tos;
            options.broadcast = self.config.broadcast;
            // A request and its answer have to fit, whatever their size.
            options.receive_limit = 4 << 20;
            options.path_mtu = self.config.path_mtu;
        }
        self.socket = Some(socket);
        self.started = now;
        self.next_at = now + self.config.start;
        Ok(())
    }

    fn hears(&self) -> Hears {
        self.socket.map_or(Hears::Nothing, Hears::Raw)
    }

    fn handle_event(&mut self, now: Instant, host: &mut Host, event: &Event) {
        if let Event::Raw(handle, _) = event
            && Some(*handle) == self.socket
        {
            while self.hear(now, host) {}
            self.finish(now);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.socket?;
        if self.done {
            return None;
        }
        let next = match self.has_more() {
            true => self.next_at,
            false => self.last_sent + self.patience(),
        };
        // One that was answered may still be at the front; it costs a call and is gone.
        let oldest = self.waiting.front().map(|(_, at)| *at + self.patience());
        earliest(earliest(Some(next), oldest), self.ends_at())
    }

    fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        let Some(socket) = self.socket.filter(|_| !self.done) else {
            return;
        };
        self.give_up(now);
        if !self.is_done(now) && self.has_more() && self.next_at <= now {
            self.send(now, host, socket);
        }
        // A request that was refused here has no answer to be waited for.
        self.finish(now);
    }

    fn poll_note(&mut self) -> Option<Note> {
        loop {
            // That it left is seen on the wire.
            let outcome = self.outcomes.pop()?;
            if let Some(note) = self.note(outcome) {
                return Some(note);
            }
        }
    }

    fn measure(&self, metric: &str) -> Option<u64> {
        let Stats {
            sent,
            received,
            duplicates,
            errors,
            timeouts,
        } = self.stats;
        match metric {
            "sent" => Some(sent),
            "received" => Some(received),
            "duplicates" => Some(duplicates),
            "errors" => Some(errors),
            "timeouts" => Some(timeouts),
            "pending" => Some(self.stats.pending()),
            "loss" => ppm(sent.saturating_sub(received), sent),
            _ => self.rtt.measure(metric.strip_prefix("rtt.")?),
        }
    }
}

impl Pinger {
    fn note(&self, outcome: Outcome) -> Option<Note> {
        Some(match outcome {
            Outcome::Sent { .. } => return None,
            Outcome::Refused { seq, error } => Note::new("refused")
                .with("seq", seq)
                .with("why", super::refusal(error)),
            Outcome::Reply(reply) => Note::new(if reply.duplicate {
                "duplicate"
            } else {
                "reply"
            })
            .with("seq", reply.seq)
            .with("from", reply.from)
            .with("rtt", reply.rtt)
            .with("ttl", u32::from(reply.ttl))
            .with("bytes", reply.bytes),
            Outcome::Error { seq, error } => super::error_note(error).with("seq", seq),
            Outcome::Timeout { seq } => Note::new("timeout").with("seq", seq),
            Outcome::Done => Note::new("done")
                .with("sent", self.stats.sent)
                .with("received", self.stats.received),
        })
    }
}

/// Requests are counted from 1, and their numbers start again after 65,535.
fn wrapped(n: u64) -> u16 {
    u16::try_from(n & 0xffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::pair::{DELAY, World, faithful, hosts};
    use super::super::services::Server;
    use super::*;
    use stack::rng::Rng;
    use std::net::Ipv4Addr;

    const TARGET: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);

    fn nobody() -> Server {
        Server::new(Vec::new(), &Rng::from_seed(1))
    }

    fn ping(config: Config, rule: super::super::pair::Rule) -> World<Pinger, Server> {
        World::new(hosts(), Pinger::new(config), nobody(), rule)
    }

    #[test]
    fn replies_are_timed_and_it_ends() {
        let config = Config {
            count: Some(3),
            start: Duration::from_secs(2),
            ..Config::new(TARGET)
        };
        let mut world = ping(config, faithful);
        world.run(Duration::from_secs(60));
        assert_eq!(
            world.told(),
            [
                "reply seq=1 from=10.7.0.2 rtt=3ms ttl=64 bytes=64",
                "reply seq=2 from=10.7.0.2 rtt=2ms ttl=64 bytes=64",
                "reply seq=3 from=10.7.0.2 rtt=2ms ttl=64 bytes=64",
                "done sent=3 received=3",
            ]
        );
        assert_eq!(
            world.notes[0].0,
            Instant::ZERO + Duration::from_millis(2003)
        );
        assert_eq!(world.left.poll_timeout(), None);
        assert_eq!(world.left.measure("rtt.max"), Some(3_000_000));
        assert_eq!(world.left.measure("loss"), Some(0));
        for metric in Pinger::METRICS {
            assert!(world.left.measure(metric).is_some(), "{metric}");
        }
    }

    #[test]
    fn what_is_lost_times_out_and_what_comes_twice_is_a_duplicate() {
        let config = Config {
            count: Some(4),
            interval: Duration::from_millis(100),
            timeout: Some(Duration::from_millis(150)),
            ..Config::new(TARGET)
        };
        // The second reply is lost, the third comes twice; ARP and announcements are before.
        let mut replies = ping(config, |from, frame, _| {
            let bytes = frame.to_bytes();
            let echo_reply = from == 1 && bytes.get(34) == Some(&0) && bytes.get(23) == Some(&1);
            match (echo_reply, bytes.get(41)) {
                (true, Some(2)) => vec![],
                (true, Some(3)) => vec![DELAY, DELAY * 2],
                _ => vec![DELAY],
            }
        });
        replies.run(Duration::from_secs(10));
        let told = replies.told();
        let names: Vec<&str> = told.iter().map(|t| t.split(' ').next().unwrap()).collect();
        assert_eq!(
            names,
            ["reply", "reply", "duplicate", "timeout", "reply", "done"],
            "{told:#?}"
        );
        assert_eq!(told[3], "timeout seq=2");
        assert_eq!(replies.left.measure("loss"), Some(250_000));
        assert_eq!(
            replies.left.stats(),
            Stats {
                sent: 4,
                received: 3,
                duplicates: 1,
                errors: 0,
                timeouts: 1
            }
        );
    }

    /// Whatever came of the requests, at any moment each is counted once.
    #[test]
    fn the_counts_add_up() {
        let config = Config {
            count: Some(40),
            interval: Duration::from_millis(100),
            timeout: Some(Duration::from_millis(150)),
            ..Config::new(TARGET)
        };
        // Of the replies some are lost, some come late, some twice.
        let mut world = ping(config, |from, frame, _| {
            let bytes = frame.to_bytes();
            let echo_reply = from == 1 && bytes.get(34) == Some(&0) && bytes.get(23) == Some(&1);
            match bytes.get(41).filter(|_| echo_reply).map(|seq| seq % 5) {
                Some(1) => vec![],
                Some(2) => vec![DELAY * 400],
                Some(3) => vec![DELAY, DELAY * 200],
                _ => vec![DELAY],
            }
        });
        let mut seen = [0; 3];
        for _ in 0..50 {
            world.run(Duration::from_millis(100));
            let of = |metric: &str| world.left.measure(metric).unwrap();
            let all = ["received", "errors", "timeouts", "pending"].map(of);
            assert_eq!(of("sent"), all.into_iter().sum::<u64>(), "{all:?}");
            seen[0] = seen[0].max(all[3]);
            seen[1] = of("timeouts");
            seen[2] = of("received");
        }
        assert!(seen[0] > 0, "{seen:?}");
        assert_eq!(seen[1..], [8, 32], "eight never came, eight came late");
    }

    #[test]
    fn nobody_there_and_no_way_there() {
        let absent = Config {
            count: Some(1),
            ..Config::new(Ipv4Addr::new(10, 7, 0, 9))
        };
        let mut world = ping(absent, faithful);
        world.run(Duration::from_secs(60));
        let want = "error kind=host-unreachable from=10.7.0.1 seq=1";
        assert_eq!(world.told(), [want, "done sent=1 received=0"]);
        let elsewhere = Config {
            count: Some(2),
            ..Config::new(Ipv4Addr::new(192, 0, 2, 1))
        };
        let mut world = ping(elsewhere, faithful);
        world.run(Duration::from_secs(60));
        assert_eq!(
            world.told(),
            [
                "refused seq=1 why=no-route",
                "refused seq=2 why=no-route",
                "done sent=2 received=0"
            ]
        );
    }

    #[test]
    fn a_flood_waits_for_answers_only_and_a_deadline_ends_it() {
        let config = Config {
            flood: true,
            interval: Duration::from_millis(10),
            deadline: Some(Duration::from_secs(1)),
            ..Config::new(TARGET)
        };
        let mut world = ping(config, faithful);
        world.run(Duration::from_secs(2));
        // One each round trip; the first takes one way more, for ARP.
        assert_eq!(world.left.measure("sent"), Some(500));
        assert_eq!(world.left.outcomes.lost, 0);
    }

    #[test]
    fn a_stranger_is_no_answer_and_other_data_is_told() {
        let mut pinger = Pinger::new(Config::new(TARGET));
        pinger.sent.insert(1, Sent::new(Instant::ZERO));
        for seq in [1, 1, 7] {
            let packet = raw::Packet {
                payload: stack::frame::Frame::copy_from(&[0, 0, 0, 0, 0, 9, 0, seq]),
                from: IpAddr::V4(TARGET),
                to: IpAddr::V4(Ipv4Addr::new(10, 7, 0, 1)),
                ttl: 64,
                interface: 0,
                options: Bytes::new(),
            };
            pinger.receive(Instant::from_nanos(45_000), &packet);
        }
        let mut replies = Vec::new();
        while let Some(Outcome::Reply(reply)) = pinger.poll_outcome() {
            replies.push((reply.seq, reply.bytes, reply.duplicate, reply.altered));
        }
        assert_eq!(replies, [(1, 8, false, true), (1, 8, true, true)]);
    }

    #[test]
    fn a_copy_goes_on_alike() {
        let mut one = ping(Config::new(TARGET), faithful);
        one.run(Duration::from_secs(3));
        let mut other = one.clone();
        one.run(Duration::from_secs(5));
        other.run(Duration::from_secs(5));
        assert_eq!(one.told(), other.told());
        assert_eq!(one.left.stats(), other.left.stats());
    }
}
