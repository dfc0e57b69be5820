//! Runs worth looking at, each with a name, what to look at, and assertions that it was there.
//!
//! ```text
//!   arp.toml, ..  --include_str!-->  all() --find("arp")--> Scenario --topology()--> a world
//! ```
//!
//! Promises: every scenario holds with any seed (a test runs many), in little virtual time.
//! `lab run NAME` runs one; its file can be copied and changed, and run as `lab run FILE`.

use super::file;
use super::topology::Topology;

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What it is asked for by.
    pub name: &'static str,
    /// Its file.
    pub toml: &'static str,
}

macro_rules! scenarios {
    ($($name:literal,)*) => {
        const ALL: &[Scenario] = &[$(Scenario {
            name: $name,
            toml: include_str!(concat!($name, ".toml")),
        },)*];
    };
}

scenarios! {
    "arp",
    "hub",
    "fragments",
    "black-hole",
    "ipv6",
    "loop",
    "duplicate",
    "spoof",
    "sleep",
    "flap",
    "bursts",
    "scan",
    "bufferbloat",
    "slow-start",
    "windows",
    "sack",
    "reordering",
    "black-hole-tcp",
    "flap-tcp",
    "bufferbloat-tcp",
    "cubic-bbr",
    "attack-syn-flood",
    "attack-blind-rst",
    "attack-blind-syn",
    "attack-blind-data",
    "attack-ack-storm",
    "attack-sockstress",
    "attack-tiny-mss",
    "attack-sack-bomb",
    "attack-optimistic-ack",
    "attack-window-lies",
    "attack-option-garbage",
    "attack-time-wait",
    "attack-port-scan",
}

/// All scenarios, those that need the least knowledge first.
#[must_use]
pub const fn all() -> &'static [Scenario] {
    ALL
}

/// The scenario of that name.
///
/// ```
/// let scenario = tapline::lab::scenario::find("arp").unwrap();
/// assert!(scenario.topology().run(1).unwrap().holds());
/// ```
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|s| s.name == name)
}

impl Scenario {
    /// One line: what it is and what to look at.
    #[must_use]
    pub fn caption(&self) -> &'static str {
        let mut lines = self.toml.lines();
        let quoted = lines.find_map(|l| l.strip_prefix("caption = \""));
        let caption = quoted.and_then(|l| l.split_once('"'));
        caption.map_or("", |(caption, _)| caption)
    }

    /// Its network.
    #[must_use]
    #[expect(clippy::panic, reason = "a test parses every file that is compiled in")]
    pub fn topology(&self) -> Topology {
        match file::parse(self.name, self.toml) {
            Ok(loaded) => loaded.topology,
            Err(e) => panic!("{e}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::fault::Script;
    use crate::lab::harness;
    use crate::lab::settings::{Bytes, Settings};
    use crate::lab::topology::{Client, Node};
    use stack::link::impair::{Chance, Loss, Queue, fq_codel};
    use stack::time::Duration;

    #[test]
    fn each_says_what_to_look_at() {
        for scenario in all() {
            let (name, topology) = (scenario.name, scenario.topology());
            assert_eq!(scenario.caption(), topology.caption, "{name}");
            assert!((20..=100).contains(&topology.caption.len()), "{name}");
            assert!(topology.about.len() > 100, "{name}");
            assert!(topology.until.is_some(), "{name}");
            let same = all().iter().filter(|s| s.name == name);
            assert_eq!(same.count(), 1, "{name}");
        }
    }

    fn node<'a>(topology: &'a mut Topology, name: &str) -> &'a mut Node {
        let at = topology.index_of(name).unwrap();
        &mut topology.nodes[at]
    }

    /// An attack that is over before it has begun.
    fn fewer(topology: &mut Topology) {
        let mut clients = topology.clients.iter_mut();
        let attacker = clients.find(|c| c.attack.is_some()).unwrap();
        attacker.count = Some(1);
    }

    /// Where what a scenario shows is taken out of it, it must not hold.
    #[test]
    fn what_is_shown_must_happen() {
        type Change = fn(&mut Topology);
        let changes: &[(&str, Change)] = &[
            // b is known before it is asked for.
            ("arp", |t| {
                let early = Client::ping("early", "a", "b").count(1);
                t.clients.push(early.start(Duration::from_millis(1)));
            }),
            ("hub", |t| t.clients[1].to = "a".into()),
            ("fragments", |t| {
                let ways = t.wires.iter_mut().flat_map(|w| &mut w.ways);
                ways.for_each(|way| way.mtu = 1500);
            }),
            ("black-hole", |t| t.nodes[2].settings = Settings::default()),
            ("black-hole", |t| {
                t.nodes[3].settings = t.nodes[2].settings.clone()
            }),
            ("ipv6", |t| {
                let ways = t.wires.iter_mut().flat_map(|w| &mut w.ways);
                ways.for_each(|way| way.mtu = 1500);
            }),
            ("loop", |t| t.nodes[2].routes.clear()),
            ("duplicate", |t| {
                t.nodes[1].settings.probe_addresses = Some(false);
            }),
            ("spoof", |t| t.clients[1].count = Some(1)),
            ("sleep", |t| t.faults = Script::default()),
            ("flap", |t| t.faults = Script::default()),
            ("bursts", |t| {
                let loss = Loss::Independent(Chance::from_ppm(100_000));
                t.wires[1].ways[0].loss = loss;
            }),
            ("scan", |t| {
                t.nodes[1].settings.icmp_rate = Some(100_000);
                t.nodes[1].settings.icmp_burst = Some(100_000);
                t.nodes[1].settings.icmp_peer_rate = Some(100_000);
                t.nodes[1].settings.icmp_peer_burst = Some(100_000);
            }),
            // Ten segments each round trip, and no more.
            ("slow-start", |t| {
                t.nodes[0].settings.tcp_fixed_window = Some(Bytes(14_480));
            }),
            ("slow-start", |t| {
                t.nodes[2].settings = t.nodes[4].settings.clone();
            }),
            ("windows", |t| t.nodes[1].settings = Settings::default()),
            // Told of each hundred bytes, the sender is silly enough for them.
            ("windows", |t| t.nodes[2].settings.tcp_mss = Some(100)),
            ("sack", |t| t.nodes[0].settings.tcp_sack = Some(false)),
            ("sack", |t| t.nodes[2].settings = Settings::default()),
            ("reordering", |t| t.nodes[0].settings.tcp_rack = Some(false)),
            ("reordering", |t| t.nodes[2].settings = Settings::default()),
            ("black-hole-tcp", |t| {
                let deaf = node(t, "a3").settings.clone();
                node(t, "a2").settings = deaf;
            }),
            ("black-hole-tcp", |t| {
                node(t, "a3").settings = Settings::default()
            }),
            ("black-hole-tcp", |t| {
                node(t, "r2").settings = Settings::default()
            }),
            ("flap-tcp", |t| t.faults = Script::default()),
            ("flap-tcp", |t| t.clients[1].settings = Settings::default()),
            ("bufferbloat-tcp", |t| {
                t.wires[3].ways[0].queue = t.wires[1].ways[0].queue.clone();
            }),
            ("bufferbloat-tcp", |t| {
                t.wires[1].ways[0].queue = t.wires[3].ways[0].queue.clone();
            }),
            ("cubic-bbr", |t| t.clients[1].congestion = None),
            ("cubic-bbr", |t| {
                t.clients[0].congestion = t.clients[1].congestion
            }),
            ("attack-syn-flood", fewer),
            ("attack-blind-rst", fewer),
            ("attack-blind-syn", fewer),
            ("attack-blind-data", fewer),
            ("attack-ack-storm", |t| {
                t.clients[2].start = Duration::from_secs(29)
            }),
            ("attack-sockstress", fewer),
            ("attack-tiny-mss", fewer),
            ("attack-sack-bomb", fewer),
            ("attack-optimistic-ack", fewer),
            ("attack-window-lies", fewer),
            ("attack-option-garbage", fewer),
            ("attack-time-wait", |t| {
                node(t, "b").settings = Settings::default();
            }),
            ("attack-port-scan", fewer),
            ("bufferbloat", |t| {
                let way = &mut t.wires[1].ways[0];
                way.queue = Queue::FqCodel(fq_codel::Config::default());
            }),
            ("bufferbloat", |t| {
                t.wires[4].ways[0].queue = Queue::DropTail {
                    packets: Some(100),
                    bytes: None,
                    mark: None,
                };
            }),
        ];
        for (name, change) in changes {
            let mut topology = find(name).unwrap().topology();
            change(&mut topology);
            let held = topology.run(1).is_ok_and(|outcome| outcome.holds());
            assert!(!held, "{name} holds without what it shows");
        }
        for scenario in all() {
            let known = changes.iter().any(|(name, _)| *name == scenario.name);
            assert!(known, "what does {} show?", scenario.name);
        }
    }

    #[test]
    fn each_holds() {
        for scenario in all() {
            // An attack is some ten thousand frames, where others are a hundred.
            let attack = scenario.name.starts_with("attack-");
            let seeds = if attack { 2 } else { 4 };
            harness::holds(scenario.name, &scenario.topology(), 0..seeds);
        }
    }
}
