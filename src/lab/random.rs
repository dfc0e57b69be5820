//! Random worlds: a network, its traffic and its faults from one number, to look for what nobody
//! thought of.
//!
//! ```text
//!   seed --> 1-4 routers in a tree, a hub or two, 2-5 hosts, bad wires
//!        --> up to 4 clients: pings, datagrams, scans, traces, in all sizes
//!        --> up to 2 transfers over TCP, with options of all kinds
//!        --> 0-6 fault lines, of every kind that the language has
//!        --> asserts: everything accounted for; nobody met a packet that nobody makes;
//!            bytes in are bytes out
//! ```
//!
//! Promises: the same seed gives the same topology; each can be built; each frame is checked on its
//! wire, so that whatever is malformed at a node is a mistake of ours.

use super::assertion::Assertion;
use super::fault::{FaultLine, Script};
use super::settings::{Bytes, Congestion, Ecn, MtuProbing, Nagle, Settings};
use super::topology::{Client, ClientKind, Service, Topology, Wire};
use super::units::write_duration;
use stack::link::impair::{Chance, Config, Loss, Queue, codel, fq_codel};
use stack::rng::Rng;
use stack::time::Duration;

/// How long each runs, in milliseconds.
const UNTIL_MS: u64 = 4000;

/// The random world of a seed. To be run with that seed, or any other.
///
/// ```
/// use tapline::lab::random;
/// let outcome = random::topology(1).run(1).unwrap();
/// assert!(outcome.holds(), "{outcome:?}");
/// ```
#[must_use]
pub fn topology(seed: u64) -> Topology {
    let mut maker = Maker {
        rng: Rng::from_seed(seed).fork("random topology"),
        topology: Topology::new().until(Duration::from_millis(UNTIL_MS)),
    };
    maker.network();
    maker.clients();
    maker.faults();
    // A stream of its own: what else there is in a world does not depend on TCP.
    maker.rng = Rng::from_seed(seed).fork("random transfers");
    maker.transfers();
    let mut topology = maker.topology;
    topology.seed = Some(seed);
    topology.caption = format!("Random world {seed}");
    let asserts = ["world.conserved == 1", "world.malformed == 0"];
    topology.asserts = asserts.iter().filter_map(|a| a.parse().ok()).collect();
    let streams = assertions_of_streams(&topology);
    topology.asserts.extend(streams);
    topology
}

/// Bytes in are bytes out: what a sink reads is what was sent, at its place; who was told of an end
/// has had it all; and what a sender was told is read has been.
fn assertions_of_streams(topology: &Topology) -> Vec<Assertion> {
    let mut texts = Vec::new();
    let forgets = |line: &FaultLine| line.fault.needs_births();
    let forgets = topology.faults.lines.iter().any(forgets);
    for client in &topology.clients {
        if client.kind != ClientKind::Tcp {
            continue;
        }
        let to = &client.to;
        texts.push(format!("{to}.services.sink.wrong == 0"));
        texts.push(format!("{to}.services.sink.cut == 0"));
        texts.push(format!("{to}.services.sink.foreign == 0"));
        if !forgets {
            let name = &client.name;
            texts.push(format!("{to}.services.sink.whole >= {name}.finished"));
        }
    }
    texts.sort();
    texts.dedup();
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

struct Maker {
    rng: Rng,
    topology: Topology,
}

impl Maker {
    /// `low` to `high`, both included.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.rng.below(high - low + 1)
    }

    /// One time in `n`.
    fn one_in(&mut self, n: u64) -> bool {
        self.rng.below(n) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        let n = self.rng.below(all.len() as u64);
        all[usize::try_from(n).unwrap_or(0)]
    }

    fn micros(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.between(low, high))
    }

    fn network(&mut self) {
        let routers = self.between(1, 4);
        for i in 0..routers {
            self.topology = std::mem::take(&mut self.topology).router(&format!("r{i}"));
            if i > 0 {
                let other = self.rng.below(i);
                self.wire(&format!("r{other}"), &format!("r{i}"));
            }
        }
        // A second way round, so that routes can differ there and back.
        if routers > 2 && self.one_in(3) {
            self.wire("r0", &format!("r{}", routers - 1));
        }
        let hubs = self.between(0, 1);
        for i in 0..hubs {
            self.topology = std::mem::take(&mut self.topology).hub(&format!("hub{i}"));
            let router = self.rng.below(routers);
            self.wire(&format!("r{router}"), &format!("hub{i}"));
        }
        for i in 0..self.between(2, 5) {
            let host = format!("h{i}");
            let topology = std::mem::take(&mut self.topology).host(&host);
            self.topology = topology.serves(Service::Echo).serves(Service::Discard);
            let at = self.rng.below(routers + hubs);
            let at = match at.checked_sub(routers) {
                Some(hub) => format!("hub{hub}"),
                None => format!("r{at}"),
            };
            self.wire(&at, &host);
        }
    }

    fn wire(&mut self, a: &str, b: &str) {
        let mut wire = Wire::new(a, b, Config::default());
        let mtu = match self.rng.below(8) {
            0 => 296,
            1 => 576,
            2 => 1000,
            3 => 1400,
            _ => 1500,
        };
        for way in &mut wire.ways {
            *way = self.way();
            way.mtu = mtu;
        }
        let taken = |name: &str| self.topology.wires.iter().any(|w| w.name == name);
        wire.name = super::topology::free_name(&wire.name, taken);
        self.topology.wires.push(wire);
    }

    fn way(&mut self) -> Config {
        let mut way = Config {
            delay: self.micros(0, 10_000),
            ..Config::default()
        };
        if self.one_in(4) {
            way.jitter = self.micros(1, 5_000).min(way.delay);
            way.in_order = self.one_in(2) && !way.jitter.is_zero();
        }
        if self.one_in(4) {
            way.rate = Some(self.between(200, 20_000) * 1000);
        }
        if self.one_in(4) {
            way.loss = self.loss();
        }
        if self.one_in(8) {
            way.duplicate = self.chance(50_000);
        }
        if self.one_in(8) {
            way.reorder = self.chance(100_000);
            way.reorder_by = self.micros(1, 20_000);
        }
        if self.one_in(8) {
            way.bit_errors = self.chance(10);
        }
        way.queue = match self.rng.below(4) {
            0 => Queue::Codel(codel::Config::default()),
            1 => Queue::FqCodel(fq_codel::Config::default()),
            2 => Queue::DropTail {
                packets: u32::try_from(self.between(2, 40)).ok(),
                bytes: None,
                mark: None,
            },
            _ => Queue::default(),
        };
        way
    }

    fn chance(&mut self, most_ppm: u64) -> Chance {
        let ppm = self.between(1, most_ppm);
        Chance::from_ppm(u32::try_from(ppm).unwrap_or(u32::MAX))
    }

    fn loss(&mut self) -> Loss {
        match self.rng.below(3) {
            0 => Loss::GilbertElliott {
                to_bad: self.chance(20_000),
                to_good: self.chance(500_000),
                loss_good: Chance::NEVER,
                loss_bad: Chance::ALWAYS,
            },
            1 => Loss::Scripted(
                (0..self.between(1, 4))
                    .map(|_| self.between(0, 30))
                    .collect(),
            ),
            _ => Loss::Independent(self.chance(100_000)),
        }
    }

    fn host(&mut self) -> String {
        let hosts = self
            .topology
            .nodes
            .iter()
            .filter(|n| !n.services.is_empty());
        let hosts = hosts.count() as u64;
        format!("h{}", self.rng.below(hosts))
    }

    fn clients(&mut self) {
        for i in 0..self.between(1, 4) {
            let (node, to) = (self.host(), self.host());
            let kind = match self.rng.below(8) {
                0 => ClientKind::Scan,
                1 => ClientKind::Traceroute,
                2..=4 => ClientKind::Udp,
                _ => ClientKind::Ping,
            };
            if node == to {
                continue;
            }
            let mut client = Client::new(&format!("c{i}"), &node, kind, to.as_str().into());
            client.start = self.micros(0, 1_000_000);
            match kind {
                ClientKind::Scan => {
                    let first = self.between(1, 100);
                    client.port = u16::try_from(first).ok();
                    client.last_port = u16::try_from(first + self.between(0, 60)).ok();
                }
                ClientKind::Traceroute => client.ttl = Some(8),
                _ => {
                    client.count = Some(self.between(1, 60));
                    client.interval = Some(self.micros(1_000, 60_000));
                    let most = if self.one_in(2) { 400 } else { 5000 };
                    client.size = u32::try_from(self.between(20, most)).ok();
                    client.fragment = self.one_in(2);
                    client.dont_fragment = !client.fragment && self.one_in(4);
                }
            }
            self.topology.clients.push(client);
        }
    }

    fn transfers(&mut self) {
        for i in 0..self.rng.below(3) {
            let (node, to) = (self.host(), self.host());
            if node == to {
                continue;
            }
            let most = if self.one_in(3) { 200_000 } else { 20_000 };
            let mut client = Client::tcp(&format!("t{i}"), &node, &to);
            client = client.bytes(self.between(1, most));
            client.start = self.micros(0, 1_500_000);
            client.settings = self.tcp();
            if let Some(at) = self.topology.index_of(&to) {
                let server = self.tcp();
                let node = &mut self.topology.nodes[at];
                if !node.services.contains(&Service::Sink) {
                    node.services.push(Service::Sink);
                    node.settings = server;
                }
            }
            self.topology.clients.push(client);
        }
    }

    /// How a connection may differ from others.
    fn tcp(&mut self) -> Settings {
        let off = |rng: &mut Rng| (rng.below(4) == 0).then_some(false);
        let rng = &mut self.rng;
        let mut settings = Settings {
            tcp_sack: off(rng),
            tcp_timestamps: off(rng),
            tcp_window_scaling: off(rng),
            tcp_rack: off(rng),
            tcp_frto: off(rng),
            tcp_tail_loss_probe: off(rng),
            tcp_hystart: off(rng),
            tcp_pacing: off(rng).map(|off| !off),
            tcp_congestion: match rng.below(3) {
                0 => Some(Congestion::Reno),
                1 => Some(Congestion::Bbr),
                _ => None,
            },
            tcp_ecn: (rng.below(3) == 0).then_some(Ecn::Active),
            tcp_nagle: (rng.below(4) == 0).then_some(Nagle::Off),
            tcp_mtu_probing: match rng.below(4) {
                0 => Some(MtuProbing::Always),
                1 => Some(MtuProbing::Off),
                _ => None,
            },
            ..Settings::default()
        };
        if self.one_in(4) {
            let most = self.between(2_000, 70_000);
            settings.tcp_receive_buffer = Some(Bytes(most));
        }
        if self.one_in(6) {
            let mss = self.between(88, 1460);
            settings.tcp_mss = u16::try_from(mss).ok();
        }
        settings
    }

    fn faults(&mut self) {
        let mut script = String::new();
        for _ in 0..self.between(0, 6) {
            let line = self.fault();
            script.push_str(&line);
            script.push('\n');
        }
        let parsed = Script::parse(&script);
        debug_assert!(parsed.is_ok(), "{script}{parsed:?}");
        self.topology.faults = parsed.unwrap_or_default();
    }

    fn fault(&mut self) -> String {
        let from = self.between(0, UNTIL_MS - 500);
        let to = from + self.between(1, 1500);
        let fault = self.what_goes_wrong();
        format!("between {from}ms and {to}ms {fault}")
    }

    fn what_goes_wrong(&mut self) -> String {
        let wires: Vec<String> = self.topology.wires.iter().map(|w| w.name.clone()).collect();
        let wires: Vec<&str> = wires.iter().map(String::as_str).collect();
        let nodes: Vec<String> = self.topology.nodes.iter().map(|n| n.name.clone()).collect();
        let (wire, host, other) = (self.pick(&wires), self.host(), self.host());
        let share = self.between(1, 60);
        let ms = self.between(1, 40);
        let of = self.pick(&["", " of icmp", " of udp", " of arp"]);
        match self.rng.below(14) {
            0 => format!("drop {share}%{of} on {wire}"),
            1 => format!("drop next {}{of} on {wire}", self.between(1, 5)),
            2 => format!("duplicate {share}%{of} on {wire}"),
            3 => format!("corrupt {share}%{of} on *"),
            4 => format!("delay {ms}ms on {wire}"),
            5 | 6 => format!("reorder {share}% by {ms}ms{of} on {wire}"),
            7 => format!("rate {}kbit on {wire}", self.between(50, 2000)),
            8 => {
                // No more than the delay, which nothing arrives before.
                let it = self.topology.wires.iter().find(|w| w.name == wire);
                let ways = it.into_iter().flat_map(|w| &w.ways);
                let least = ways.map(|way| way.delay).min().unwrap_or_default();
                let jitter = least.min(Duration::from_millis(ms));
                format!("jitter {} on {wire}", write_duration(jitter))
            }
            9 => format!("down {wire}"),
            10 => format!(
                "flap {wire} every {}ms down {ms}ms",
                ms + self.between(1, 200)
            ),
            11 if host != other => format!("partition {host} | {other}"),
            12 => {
                let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
                let node = self.pick(&nodes);
                let hub = node.starts_with("hub");
                let verb = if hub {
                    "pause"
                } else {
                    self.pick(&["pause", "crash"])
                };
                format!("{verb} {node}")
            }
            13 if host != other => format!("clog {host} -> {other}"),
            _ => format!("loss {share}% on {wire}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_can_be_built_and_written_and_all_kinds_come() {
        let (mut verbs, mut clients) = (BTreeSet::new(), BTreeSet::new());
        for seed in 0..200 {
            let topology = topology(seed);
            topology
                .build(&super::super::build::Options::default())
                .unwrap();
            let text = topology.to_toml();
            let again = super::super::file::parse("random", &text).unwrap().topology;
            assert_eq!(again, topology, "{text}");
            verbs.extend(topology.faults.lines.iter().map(|l| l.fault.verb()));
            clients.extend(topology.clients.iter().map(|c| c.kind.name()));
        }
        assert_eq!(clients.len(), 5, "{clients:?}");
        assert_eq!(verbs.len(), 14, "{verbs:?}");
    }
}
