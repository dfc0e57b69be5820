//! A UDP port scan: one probe for each port, and what the silence of the others is worth.
//!
//! ```text
//!   asked 1 2 3 4 5 6 ...   one each interval
//!         |
//!         +-- datagram back ------------> open
//!         +-- port unreachable ---------> closed
//!         +-- another ICMP error -------> filtered
//!         +-- nothing for `patience` ---> silent: open and mute, or the errors are limited
//! ```
//!
//! Read first: RFC 1122 §4.1.3.1 (port unreachable), RFC 1812 §4.3.2.8 (rate limiting).
//!
//! Promises: each port is asked once, so what a limiter swallowed is seen as silence; an answer
//! that is late still counts.
//!
//! Left out: asking again, and slowing down to the limiter's pace, as scanners for use do.

use super::measure::ppm;
use super::own_port::OwnPort;
use super::{Endpoint, Hears, Note, StartError, Waiting, count};
use bytes::Bytes;
use stack::frame::Payload;
use stack::host::{Event, Host, SendError, UdpHandle};
use stack::time::{Duration, Instant};
use stack::transport::ErrorKind;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

/// What to ask, whom and how fast.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whom.
    pub target: Ipv4Addr,
    /// Which ports.
    pub ports: RangeInclusive<u16>,
    /// How long after `start` the first probe leaves.
    pub start: Duration,
    /// Between probes.
    pub interval: Duration,
    /// How long an answer is waited for.
    pub patience: Duration,
    /// Bytes of a probe, all zero.
    pub size: usize,
    /// Where our port comes from; `None`: an ephemeral one.
    pub own_port: Option<OwnPort>,
}

impl Config {
    /// The system ports (RFC 6335 §6), a hundred a second.
    #[must_use]
    pub const fn new(target: Ipv4Addr) -> Self {
        Self {
            target,
            ports: 1..=1023,
            start: Duration::ZERO,
            interval: Duration::from_millis(10),
            patience: Duration::from_secs(1),
            size: 0,
            own_port: None,
        }
    }
}

/// What is known of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was asked.
    Asked,
    /// It was asked and nothing came in time.
    Silent,
    /// A datagram came back.
    Open,
    /// Nobody listens there.
    Closed,
    /// Somebody said that there is no way to it, or our own host did.
    Filtered,
}

/// A scan.
#[derive(Clone, Debug)]
pub struct Scan {
    config: Config,
    socket: Option<UdpHandle>,
    next_at: Instant,
    /// For each port that was asked, in order.
    verdicts: Vec<Verdict>,
    /// Ports asked and not given up, with when.
    waiting: VecDeque<(usize, Instant)>,
    done: bool,
    notes: Waiting<Note>,
}

impl Scan {
    /// A scan that has not begun.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self {
            config,
            socket: None,
            next_at: Instant::ZERO,
            verdicts: Vec::new(),
            waiting: VecDeque::new(),
            done: false,
            notes: Waiting::new(),
        }
    }

    /// What is known of each port that has been asked, in order.
    pub fn verdicts(&self) -> impl Iterator<Item = (u16, Verdict)> {
        let ports = self.config.ports.clone();
        ports.zip(self.verdicts.iter().copied())
    }

    /// The port to ask next.
    fn next_port(&self) -> Option<u16> {
        let n = u16::try_from(self.verdicts.len()).ok()?;
        let port = self.config.ports.start().checked_add(n)?;
        (port <= *self.config.ports.end()).then_some(port)
    }

    fn ask(&mut self, now: Instant, host: &mut Host, socket: UdpHandle, port: u16) {
        let payload = Payload::from(Bytes::from(vec![0; self.config.size]));
        let to = SocketAddr::new(IpAddr::V4(self.config.target), port);
        match host.udp_send(now, socket, payload, Some(to)) {
            Ok(()) => {
                self.waiting.push_back((self.verdicts.len(), now));
                self.verdicts.push(Verdict::Asked);
            }
            // Later.
            Err(SendError::WouldBlock) => {}
            Err(_) => self.verdicts.push(Verdict::Filtered),
        }
        self.next_at = now + self.config.interval;
    }

    /// Notes what came about a port that was asked.
    fn answer(&mut self, from: SocketAddr, verdict: Verdict) {
        let index = from.port().checked_sub(*self.config.ports.start());
        let asked = index.and_then(|i| self.verdicts.get_mut(usize::from(i)));
        let Some(asked) = asked else {
            return;
        };
        // The first word holds, but any word is better than none.
        if matches!(asked, Verdict::Asked | Verdict::Silent) {
            *asked = verdict;
            let name = match verdict {
                Verdict::Open => "open",
                Verdict::Closed => "closed",
                _ => "filtered",
            };
            self.notes.push(Note::new(name).with("port", from.port()));
        }
    }

    fn give_up(&mut self, now: Instant) {
        while let Some(&(index, at)) = self.waiting.front() {
            let open = self.verdicts.get_mut(index);
            if let Some(verdict) = open.filter(|v| **v == Verdict::Asked) {
                if now < at + self.config.patience {
                    return;
                }
                *verdict = Verdict::Silent;
            }
            self.waiting.pop_front();
        }
    }

    fn finish(&mut self) {
        if !self.done && self.next_port().is_none() && self.waiting.is_empty() {
            self.done = true;
            let note = Note::new("done")
                .with("open", self.number(Verdict::Open))
                .with("closed", self.number(Verdict::Closed))
                .with("filtered", self.number(Verdict::Filtered))
                .with("silent", self.number(Verdict::Silent));
            self.notes.push(note);
        }
    }

    /// Ports of which that is known.
    fn number(&self, of: Verdict) -> u64 {
        count(self.verdicts.iter().filter(|v| **v == of).count())
    }
}

impl Endpoint for Scan {
    const METRICS: &'static [&'static str] =
        &["sent", "open", "closed", "filtered", "silent", "loss"];

    const NOTES: &'static [&'static str] = &["open", "closed", "filtered", "done"];

    fn start(&mut self, now: Instant, host: &mut Host) -> Result<(), StartError> {
        if self.config.ports.is_empty() {
            return Err(StartError::Settings("no ports to ask"));
        }
        if self.config.interval.is_zero() {
            return Err(StartError::Settings("no time between probes"));
        }
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        self.socket = Some(OwnPort::bind(self.config.own_port, host, any)?);
        self.next_at = now + self.config.start;
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
        let Event::Udp(handle, _) = *event else {
            return;
        };
        if Some(handle) != self.socket {
            return;
        }
        let target = IpAddr::V4(self.config.target);
        while let Some(datagram) = host.udp_recv(handle) {
            if datagram.from.ip() == target {
                self.answer(datagram.from, Verdict::Open);
            }
        }
        while let Some(error) = host.udp_take_error(handle) {
            let verdict = match error.kind {
                ErrorKind::PortUnreachable if error.offender == target => Verdict::Closed,
                _ => Verdict::Filtered,
            };
            self.answer(error.to, verdict);
        }
        self.give_up(now);
        self.finish();
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.socket?;
        let asks = self.next_port().map(|_| self.next_at);
        let oldest = self.waiting.front();
        asks.or_else(|| oldest.map(|(_, at)| *at + self.config.patience))
    }

    fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        let Some(socket) = self.socket.filter(|_| !self.done) else {
            return;
        };
        self.give_up(now);
        if let Some(port) = self.next_port()
            && self.next_at <= now
        {
            self.ask(now, host, socket, port);
        }
        self.finish();
    }

    fn poll_note(&mut self) -> Option<Note> {
        self.notes.pop()
    }

    fn measure(&self, metric: &str) -> Option<u64> {
        let sent = count(self.verdicts.len());
        match metric {
            "sent" => Some(sent),
            "open" => Some(self.number(Verdict::Open)),
            "closed" => Some(self.number(Verdict::Closed)),
            "filtered" => Some(self.number(Verdict::Filtered)),
            "silent" => Some(self.number(Verdict::Silent)),
            "loss" => ppm(self.number(Verdict::Silent), sent),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pair::{DELAY, Rule, World, faithful, hosts};
    use super::super::services::{Server, Service};
    use super::*;
    use stack::rng::Rng;

    fn scan(ports: RangeInclusive<u16>, interval: Duration, rule: Rule) -> World<Scan, Server> {
        let config = Config {
            ports,
            interval,
            start: Duration::from_millis(10),
            ..Config::new(Ipv4Addr::new(10, 7, 0, 2))
        };
        let server = Server::new(vec![Service::Discard], &Rng::from_seed(1));
        let mut world = World::new(hosts(), Scan::new(config), server, rule);
        world.run(Duration::from_secs(60));
        world
    }

    #[test]
    fn each_port_is_asked_once_and_told() {
        // Slow enough for the limit of errors; the one who listens says nothing.
        let world = scan(5..=12, Duration::from_secs(2), faithful);
        let told = world.told();
        assert_eq!(told[0], "closed port=5");
        assert_eq!(
            told.last().unwrap(),
            "done open=0 closed=7 filtered=0 silent=1"
        );
        let silent: Vec<u16> = world
            .left
            .verdicts()
            .filter_map(|(port, v)| (v == Verdict::Silent).then_some(port))
            .collect();
        assert_eq!(silent, [9]);
        assert_eq!(world.left.poll_timeout(), None);
        for metric in Scan::METRICS {
            assert!(world.left.measure(metric).is_some(), "{metric}");
        }
    }

    #[test]
    fn a_limit_of_errors_shows_as_silence() {
        let world = scan(1..=1000, Duration::from_millis(1), faithful);
        let [sent, closed, silent] =
            ["sent", "closed", "silent"].map(|m| world.left.measure(m).unwrap());
        assert_eq!(sent, 1000);
        assert_eq!(closed + silent, sent);
        assert!(
            silent > 100 && closed > 5,
            "{closed} closed, {silent} silent"
        );
    }

    #[test]
    fn a_late_word_is_better_than_none() {
        let rule: Rule = |from, frame, _| {
            let error = from == 1 && frame.to_bytes().get(34) == Some(&3);
            vec![if error { DELAY * 1500 } else { DELAY }]
        };
        let mut world = scan(20..=20, Duration::from_secs(1), rule);
        world.run(Duration::from_secs(5));
        let told = ["done open=0 closed=0 filtered=0 silent=1", "closed port=20"];
        assert_eq!(world.told(), told);
        assert_eq!(world.left.measure("closed"), Some(1));
    }
}
