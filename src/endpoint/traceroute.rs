//! Traceroute: the routers on the way, by whom each time to live runs out.
//!
//! ```text
//!   probes  ttl 1 1 1 2 2 2 3 3 3 ...   so many under way, each told apart by UDP port or seq
//!   answer  time exceeded -> a router      port unreachable, echo reply, datagram -> the destination
//!
//!   Waiting --answer--> Answered     a hop whose probes no longer wait is told: Outcome::Hop
//!      |
//!      +--patience over--> Silent
//! ```
//!
//! Read first: RFC 792 (time exceeded, unreachable), RFC 1812 §5.3.1.
//!
//! Promises: hops are told in order; a probe that waits while others of its hop, or later hops,
//! have long been answered is given up before its time, else one silent router costs every trace
//! the full wait.
//!
//! Left out: TCP probes.

use super::measure::Delays;
use super::own_port::OwnPort;
use super::{Endpoint, Hears, Note, StartError, Waiting, count};
use bytes::Bytes;
use stack::frame::Payload;
use stack::host::{Event, Host, RawHandle, SendError, UdpHandle};
use stack::time::{Duration, Instant, earliest};
use stack::transport::udp::{Options, PathMtu};
use stack::transport::{ErrorKind, SocketError};
use stack::wire::Zoned;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How many times longer than an answer of its own hop a probe is waited for, and than one of a
/// later hop: a router that answers at all answers about as fast as its neighbours.
const PATIENCE_HERE: u32 = 3;
const PATIENCE_NEAR: u32 = 10;
/// But never shorter than this: queues and rate limits are not the path.
const PATIENCE_MIN: Duration = Duration::from_millis(250);
/// Before another attempt where the socket had no room.
const RETRY: Duration = Duration::from_millis(1);

/// Where to, and with what.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to.
    pub target: IpAddr,
    /// In which zone, where that is an address of a link and the host has several (RFC 4007).
    pub zone: u32,
    /// ICMP echo requests instead of UDP datagrams.
    pub icmp: bool,
    /// Bytes of data in a probe.
    pub size: usize,
    /// First time to live.
    pub first: u8,
    /// Last time to live.
    pub max_hops: u8,
    /// Probes for each hop.
    pub queries: u8,
    /// Probes under way at a time; a socket keeps no more errors than 16.
    pub parallel: u8,
    /// How long an answer is waited for at most.
    pub wait: Duration,
    /// How long after `start` the first probe leaves.
    pub start: Duration,
    /// Between probes.
    pub pause: Duration,
    /// UDP port of the first probe; each next one has the next.
    pub port: u16,
    /// Forbid to fragment the probes.
    pub dont_fragment: bool,
    /// Where our port comes from; `None`: an ephemeral one.
    pub own_port: Option<OwnPort>,
}

impl Config {
    /// Three UDP probes of 60 bytes with headers for each of 30 hops.
    #[must_use]
    pub fn new(target: impl Into<IpAddr>) -> Self {
        Self {
            target: target.into(),
            zone: 0,
            icmp: false,
            size: 32,
            first: 1,
            max_hops: 30,
            queries: 3,
            parallel: 16,
            wait: Duration::from_secs(5),
            start: Duration::ZERO,
            pause: Duration::ZERO,
            port: 33434,
            dont_fragment: false,
            own_port: None,
        }
    }

    /// The UDP port of the last probe, where it is one.
    #[must_use]
    pub fn last_port(&self) -> u32 {
        let hops = u32::from(self.max_hops.saturating_sub(self.first)) + 1;
        (u32::from(self.port) + hops * u32::from(self.queries)).saturating_sub(1)
    }

    /// Probes in all, unless an answer ends it before.
    fn planned(&self) -> usize {
        let hops = usize::from(self.max_hops.saturating_sub(self.first)) + 1;
        hops * usize::from(self.queries)
    }

    fn check(&self) -> Result<(), StartError> {
        let settings = |why| Err(StartError::Settings(why));
        if self.first == 0 || self.first > self.max_hops {
            return settings("there is no hop to probe");
        }
        if self.queries == 0 || self.parallel == 0 {
            return settings("there is no probe to send");
        }
        if !self.icmp && self.last_port() > u32::from(u16::MAX) {
            return settings("the last probe would go to a port beyond 65535");
        }
        Ok(())
    }
}

/// One probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// When it left.
    pub sent: Instant,
    /// What became of it.
    pub state: State,
}

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing yet.
    Waiting,
    /// An answer came.
    Answered {
        /// From whom.
        from: IpAddr,
        /// After how long.
        rtt: Duration,
        /// `None`: its time to live ran out. Else how this ends the trace.
        end: Option<End>,
    },
    /// Nothing came in time.
    Silent,
}

/// How an answer ends the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The destination itself answered.
    Reached,
    /// Somebody said that there is no further: what, and the ICMP code.
    Refused(ErrorKind, u8),
}

impl Probe {
    fn end(&self) -> Option<End> {
        match self.state {
            State::Answered { end, .. } => end,
            _ => None,
        }
    }
}

/// What a trace has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A hop of which all is known.
    Hop {
        /// Its time to live.
        ttl: usize,
        /// Its probes, in order.
        probes: Vec<Probe>,
    },
    /// The host refused to send; the trace ends here.
    Refused(SendError),
    /// That was the last hop.
    Done {
        /// Whether the destination answered.
        reached: bool,
        /// The last time to live.
        hops: usize,
    },
}

/// A way of probing: where the probes go out and their answers come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prober {
    Udp(UdpHandle),
    Echo(RawHandle),
}

/// A trace under way.
#[derive(Clone, Debug)]
pub struct Traceroute {
    config: Config,
    data: Bytes,
    prober: Option<Prober>,
    /// In the order they were sent: `queries` of each hop.
    probes: Vec<Probe>,
    next_at: Instant,
    /// Hops that have been told.
    told: usize,
    reached: bool,
    done: bool,
    /// Round trips to the destination.
    rtt: Delays,
    outcomes: Waiting<Outcome>,
}

impl Traceroute {
    /// A trace that has not begun.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            data: (b'@'..=b'_').cycle().take(config.size).collect(),
            config,
            prober: None,
            probes: Vec::new(),
            next_at: Instant::ZERO,
            told: 0,
            reached: false,
            done: false,
            rtt: Delays::default(),
            outcomes: Waiting::new(),
        }
    }

    /// Whether the destination has answered, and that was told.
    #[must_use]
    pub const fn reached(&self) -> bool {
        self.reached
    }

    /// What it has to tell, in order; [`poll_note`](Endpoint::poll_note) tells the same in fewer
    /// words, and takes from the same queue.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop()
    }

    /// Takes the answers that wait.
    pub fn hear(&mut self, now: Instant, host: &mut Host) {
        match self.prober {
            Some(Prober::Udp(handle)) => {
                while let Some(datagram) = host.udp_recv(handle) {
                    let n = datagram.from.port().wrapping_sub(self.config.port);
                    self.answer(n, datagram.from.ip(), Some(End::Reached), now);
                }
                while let Some(error) = host.udp_take_error(handle) {
                    let n = error.to.port().wrapping_sub(self.config.port);
                    self.answer(n, error.offender, self.end_of(&error), now);
                }
            }
            Some(Prober::Echo(handle)) => {
                while let Some(packet) = host.raw_recv(handle) {
                    let message = packet.payload.to_bytes();
                    if let Some([_, _, _, _, _, _, a, b]) = message.first_chunk::<8>() {
                        let n = u16::from_be_bytes([*a, *b]).wrapping_sub(1);
                        self.answer(n, packet.from, Some(End::Reached), now);
                    }
                }
                while let Some(error) = host.raw_take_error(handle) {
                    let n = error.to.port().wrapping_sub(1);
                    self.answer(n, error.offender, self.end_of(&error), now);
                }
            }
            None => {}
        }
    }

    fn end_of(&self, error: &SocketError) -> Option<End> {
        let from_dest = error.offender == self.config.target;
        match error.kind {
            ErrorKind::TtlExpired => None,
            ErrorKind::PortUnreachable if from_dest => Some(End::Reached),
            kind => Some(End::Refused(kind, error.icmp_code)),
        }
    }

    fn answer(&mut self, n: u16, from: IpAddr, end: Option<End>, now: Instant) {
        let Some(probe) = self.probes.get_mut(usize::from(n)) else {
            return;
        };
        if probe.state == State::Waiting {
            let rtt = now - probe.sent;
            probe.state = State::Answered { from, rtt, end };
            if end == Some(End::Reached) {
                self.rtt.add(rtt);
            }
        }
    }

    /// Whether another probe is due, but for the time.
    fn wants_to_send(&self) -> bool {
        let waiting = self.probes.iter().filter(|p| p.state == State::Waiting);
        // Once an answer ends it, only the hops up to there are of interest.
        let ends = self.probes.iter().position(|p| p.end().is_some());
        let queries = usize::from(self.config.queries);
        let planned = ends.map_or(self.config.planned(), |i| (i / queries + 1) * queries);
        self.probes.len() < planned && waiting.count() < usize::from(self.config.parallel)
    }

    /// Sends the next probe.
    fn send(&mut self, now: Instant, host: &mut Host, prober: Prober) {
        let n = u16::try_from(self.probes.len()).unwrap_or(u16::MAX);
        let hop = n / u16::from(self.config.queries) + u16::from(self.config.first);
        if let Some(options) = options(host, prober) {
            options.ttl = u8::try_from(hop).unwrap_or(u8::MAX);
            options.path_mtu = match self.config.dont_fragment {
                true => PathMtu::Probe,
                false => PathMtu::Off,
            };
        }
        let data = Payload::from(self.data.clone());
        let (addr, zone) = (self.config.target, self.config.zone);
        let target = Zoned { addr, zone };
        let sent = match prober {
            Prober::Udp(handle) => {
                let port = self.config.port.saturating_add(n);
                host.udp_send(now, handle, data, Some(target.end(port)))
            }
            Prober::Echo(handle) => host.echo_send(now, handle, target, n + 1, data, &[]),
        };
        match sent {
            Ok(()) => {
                let state = State::Waiting;
                self.probes.push(Probe { sent: now, state });
                self.next_at = now + self.config.pause;
            }
            Err(SendError::WouldBlock) => self.next_at = now + RETRY,
            Err(error) => {
                self.done = true;
                self.outcomes.push(Outcome::Refused(error));
            }
        }
    }

    /// Until when probe `i` is waited for.
    fn patience(&self, i: usize) -> Instant {
        let queries = usize::from(self.config.queries);
        let hop = i / queries;
        let answered = |probes: &[Probe]| -> Option<Duration> {
            let rtts = probes.iter().filter_map(|p| match p.state {
                State::Answered { rtt, .. } => Some(rtt),
                _ => None,
            });
            rtts.max()
        };
        let split = ((hop + 1) * queries).min(self.probes.len());
        let here = answered(self.probes.get(hop * queries..split).unwrap_or_default());
        let later = answered(self.probes.get(split..).unwrap_or_default());
        let expected = match (here, later) {
            (Some(rtt), _) => Some(rtt * PATIENCE_HERE),
            (None, Some(rtt)) => Some(rtt * PATIENCE_NEAR),
            (None, None) => None,
        };
        let most = self.config.wait;
        let wait = expected.map_or(most, |e| e.max(PATIENCE_MIN).min(most));
        self.probes.get(i).map_or(Instant::ZERO, |p| p.sent + wait)
    }

    /// The probes that wait, with until when.
    fn waiting(&self) -> impl Iterator<Item = (usize, Instant)> {
        let all = self.probes.iter().enumerate();
        let waiting = all.filter(|(_, p)| p.state == State::Waiting);
        waiting.map(|(i, _)| (i, self.patience(i)))
    }

    fn give_up(&mut self, now: Instant) {
        let late: Vec<usize> = self
            .waiting()
            .filter_map(|(i, at)| (at <= now).then_some(i))
            .collect();
        for i in late {
            if let Some(probe) = self.probes.get_mut(i) {
                probe.state = State::Silent;
            }
        }
    }

    /// Tells the hops that are complete, in order, up to the last.
    fn tell(&mut self) {
        let queries = usize::from(self.config.queries);
        while !self.done {
            let from = self.told * queries;
            let Some(hop) = self.probes.get(from..from + queries) else {
                return;
            };
            if hop.iter().any(|p| p.state == State::Waiting) {
                return;
            }
            let ttl = self.told + usize::from(self.config.first);
            let ended = hop.iter().any(|p| p.end().is_some());
            self.reached |= hop.iter().any(|p| p.end() == Some(End::Reached));
            let probes = hop.to_vec();
            self.outcomes.push(Outcome::Hop { ttl, probes });
            self.told += 1;
            if ended || self.told * queries >= self.config.planned() {
                self.done = true;
                let (reached, hops) = (self.reached, ttl);
                self.outcomes.push(Outcome::Done { reached, hops });
            }
        }
    }
}

impl Endpoint for Traceroute {
    const METRICS: &'static [&'static str] = &[
        "sent", "answered", "silent", "hops", "reached", "rtt.min", "rtt.avg", "rtt.max",
        "rtt.mdev", "rtt.p50", "rtt.p99",
    ];

    const NOTES: &'static [&'static str] = &["hop", "refused", "done"];

    fn start(&mut self, now: Instant, host: &mut Host) -> Result<(), StartError> {
        self.config.check()?;
        let any = match self.config.target {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let any = SocketAddr::new(any, 0);
        self.prober = Some(match self.config.icmp {
            true => Prober::Echo(host.echo_open(0)?.0),
            false => Prober::Udp(OwnPort::bind(self.config.own_port, host, any)?),
        });
        self.next_at = now + self.config.start;
        Ok(())
    }

    fn hears(&self) -> Hears {
        match self.prober {
            Some(Prober::Udp(socket)) => Hears::Udp(socket),
            Some(Prober::Echo(socket)) => Hears::Raw(socket),
            None => Hears::Nothing,
        }
    }

    fn begin_life(&mut self, life: u32) {
        let own = self.config.own_port;
        self.config.own_port = own.map(|own| own.in_life(life));
    }

    fn handle_event(&mut self, now: Instant, host: &mut Host, event: &Event) {
        let ours = match *event {
            Event::Udp(handle, _) => Some(Prober::Udp(handle)),
            Event::Raw(handle, _) => Some(Prober::Echo(handle)),
            _ => None,
        };
        if ours.is_some() && ours == self.prober {
            self.hear(now, host);
            self.handle_timeout(now, host);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.prober?;
        if self.done {
            return None;
        }
        let late = self.waiting().map(|(_, at)| at).min();
        earliest(late, self.wants_to_send().then_some(self.next_at))
    }

    fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        let Some(prober) = self.prober else {
            return;
        };
        self.give_up(now);
        self.tell();
        while !self.done && self.next_at <= now && self.wants_to_send() {
            self.send(now, host, prober);
        }
    }

    fn poll_note(&mut self) -> Option<Note> {
        Some(match self.outcomes.pop()? {
            Outcome::Hop { ttl, probes } => {
                let first = probes.iter().find_map(|p| match p.state {
                    State::Answered { from, rtt, .. } => Some((from, rtt)),
                    _ => None,
                });
                let note = Note::new("hop").with("ttl", ttl);
                match first {
                    Some((from, rtt)) => note.with("from", from).with("rtt", rtt),
                    None => note.with("from", "nobody"),
                }
            }
            Outcome::Refused(error) => Note::new("refused").with("why", super::refusal(error)),
            Outcome::Done { reached, hops } => Note::new("done")
                .with("hops", hops)
                .with("reached", u64::from(reached)),
        })
    }

    fn measure(&self, metric: &str) -> Option<u64> {
        let with = |wanted: fn(&State) -> bool| {
            let states = self.probes.iter().map(|p| p.state);
            Some(count(states.filter(wanted).count()))
        };
        match metric {
            "sent" => Some(count(self.probes.len())),
            "answered" => with(|s| matches!(s, State::Answered { .. })),
            "silent" => with(|s| matches!(s, State::Silent)),
            "hops" => Some(count(self.told)),
            "reached" => Some(u64::from(self.reached)),
            _ => self.rtt.measure(metric.strip_prefix("rtt.")?),
        }
    }
}

fn options(host: &mut Host, prober: Prober) -> Option<&mut Options> {
    match prober {
        Prober::Udp(handle) => host.udp_options(handle),
        Prober::Echo(handle) => host.raw_options(handle),
    }
}

#[cfg(test)]
mod tests {
    use super::super::pair::{World, faithful, host, hosts, router};
    use super::super::services::Server;
    use super::*;
    use stack::rng::Rng;

    fn trace(config: Config, hosts: [Host; 2]) -> World<Traceroute, Server> {
        let nobody = Server::new(Vec::new(), &Rng::from_seed(1));
        let mut world = World::new(hosts, Traceroute::new(config), nobody, faithful);
        world.run(Duration::from_secs(60));
        world
    }

    #[test]
    fn the_destination_ends_it() {
        for icmp in [false, true] {
            let config = Config {
                icmp,
                start: Duration::from_secs(2),
                ..Config::new(Ipv4Addr::new(10, 7, 0, 2))
            };
            let world = trace(config, hosts());
            let told = world.told();
            assert!(
                told[0].starts_with("hop ttl=1 from=10.7.0.2 rtt="),
                "{told:?}"
            );
            assert_eq!(told[1..], ["done hops=1 reached=1"]);
            assert_eq!(world.left.poll_timeout(), None);
            for metric in Traceroute::METRICS {
                assert!(world.left.measure(metric).is_some(), "{metric}");
            }
        }
    }

    #[test]
    fn routers_and_silence_are_told_in_order() {
        let config = Config {
            max_hops: 3,
            queries: 2,
            pause: Duration::from_millis(50),
            wait: Duration::from_secs(1),
            ..Config::new(Ipv4Addr::new(10, 8, 0, 9))
        };
        let world = trace(config, [host(1, "10.7.0.1/8"), router(1500)]);
        let told = world.told();
        assert!(
            told[0].starts_with("hop ttl=1 from=10.7.0.2 rtt="),
            "{told:?}"
        );
        assert_eq!(
            told[1..],
            [
                "hop ttl=2 from=nobody",
                "hop ttl=3 from=nobody",
                "done hops=3 reached=0"
            ]
        );
        let [sent, answered, silent] =
            ["sent", "answered", "silent"].map(|m| world.left.measure(m).unwrap());
        assert_eq!([sent, answered, silent], [6, 2, 4]);
    }

    #[test]
    fn no_way_there_ends_it_at_once() {
        let config = Config::new(Ipv4Addr::new(192, 0, 2, 1));
        let world = trace(config, hosts());
        assert_eq!(world.told(), ["refused why=no-route"]);
        assert_eq!(world.left.poll_timeout(), None);
    }

    #[test]
    fn a_full_window_waits_without_turning() {
        let config = Config {
            queries: 2,
            parallel: 2,
            pause: Duration::from_millis(1),
            max_hops: 2,
            ..Config::new(Ipv4Addr::new(10, 8, 0, 9))
        };
        let mut host = host(1, "10.7.0.1/8");
        let mut trace = Traceroute::new(config);
        trace.start(Instant::ZERO, &mut host).unwrap();
        let later = Instant::ZERO + Duration::from_millis(1);
        for now in [Instant::ZERO, later] {
            trace.handle_timeout(now, &mut host);
        }
        assert_eq!(trace.measure("sent"), Some(2));
        assert_eq!(
            trace.poll_timeout(),
            Some(Instant::ZERO + Duration::from_secs(5))
        );
    }

    #[test]
    fn settings_that_make_no_sense() {
        let [mut host, _] = hosts();
        let good = Config::new(Ipv4Addr::new(10, 7, 0, 2));
        for bad in [
            Config {
                first: 31,
                ..good.clone()
            },
            Config {
                queries: 0,
                ..good.clone()
            },
            Config {
                port: 65_500,
                ..good
            },
        ] {
            let started = Traceroute::new(bad).start(Instant::ZERO, &mut host);
            assert!(
                matches!(started, Err(StartError::Settings(_))),
                "{started:?}"
            );
        }
    }
}
