//! What `help lab` says below the options: everything that a topology, an assertion and a trace may say.
//!
//! ```text
//!   lab::file::EXAMPLE --+
//!   FAULTS, CLAUSES    --+
//!   METRICS of clients,  +--text()--> `tapline help lab`
//!     NODE, WIRE, WORLD--+
//!   Settings::ABOUT    --+
//!   TRACE              --+
//! ```
//!
//! Promises: what the code knows by name is listed from there; each example is run by a test, and each
//! fault has one.

use crate::endpoint::Endpoint;
use crate::endpoint::measure::EXACT;
use crate::endpoint::services::Server;
use crate::lab::file;
use crate::lab::metric::{NODE, SERVICES, WIRE, WORLD};
use crate::lab::topology::{ClientKind, Settings};
use stack::reason::DropReason;
use std::fmt::Write as _;

/// Each fault as the example's network can have it, and what it does where that is not clear.
const FAULTS: &[(&str, &str)] = &[
    ("at 2s down a-r1 for 500ms", "unplugged"),
    ("at 3s up a-r1", ""),
    ("at 1s flap a-r1 every 1s down 100ms", ""),
    ("between 1s and 3s drop 10% of icmp on * from a", ""),
    ("at 1s duplicate next 3 of udp on r1-b", ""),
    ("between 1s and 2s corrupt 5% on r1-b to b", "one bit"),
    ("at 2s delay 50ms on a-r1 for 1s", "besides its own"),
    ("between 1s and 2s reorder 20% by 30ms on a-r1", ""),
    ("at 2s blackhole r1-b of udp port 7 for 1s", "drop all"),
    ("at 2s rate 1mbit on r1-b for 1s", ""),
    ("at 2s mtu 600 on r1-b from r1 for 1s", ""),
    ("at 2s loss 5% on r1-b for 1s", "instead of its own"),
    ("at 2s jitter 3ms on r1-b for 1s", ""),
    ("at 3s partition a | b for 2s", "{a,b} | {c,d}: groups"),
    ("at 3s partition {a} -> {b} for 2s", "one way only"),
    ("at 3s partition bridge a | r1 | b for 2s", "both hear r1"),
    (
        "at 3s partition majorities {a,r1,b} for 2s",
        "each hears a majority",
    ),
    ("at 5s heal", "ends partitions"),
    ("at 2s clog a -> b", "packets wait"),
    ("at 3s release a -> b", "and go on"),
    ("at 2s pause b for 1s", "keeps all it knows"),
    ("at 4s resume b", ""),
    ("on *.p.timeout crash r1 for 5s", "forgets all it knows"),
    ("at 4s restart r1", ""),
    ("on 3rd a.p.reply pause b for 1s", "or `on every ..`"),
];

/// What narrows a fault on packets.
const CLAUSES: &str = "  \
  a share: 5%, 0.05, all, next 3; then in any order
  of PROTOCOL (arp, icmp, igmp, tcp, udp, icmpv6, a number), on WIRE, NODE.PORT or * (all),
  from NODE (who puts it on the wire), source NODE or ADDRESS, to NODE or ADDRESS, port N,
  for TIME";

/// What adds up to what.
const COUNTS: &str = "  \
  ping: sent = received + errors + timeouts + pending (still waited for, as what was dropped without
  a word to whoever sent it); a late answer is no timeout any more, one more is a duplicate
  udp: what was refused here, or had no-room in the socket, is not in sent
";

/// What numbers count in where no unit stands beside them.
const UNITS: &str = "  \
  in --json, `metrics` has them under clients, nodes, wires and world;
  times are nanoseconds, rates bits a second, sizes bytes, and shares (loss) millionths;
  `drops` of a node or wire is an object there, by REASON, and null is what nothing was measured of
";

/// The trace in short; `lab::export::json` has the whole contract.
const TRACE: &str = "\
Trace (--trace), an object a line; keys stay, and more may come
  all      t (ns), seq (from 1), node (null: the world), kind, cause (seq of what made it happen;
           null: nothing within the run did)
  send     wire, from, to, text, packets [id, layer, src, dst, len, carries, carried_by, fragment],
           why (of a retransmission or probe), hash (of its bytes)
  arrive   wire, packet (id), sent, fate (delivered, forwarded, held, dropped), consumer, reason,
           hash, marks
  drop     wire (null: at the node), packet, reason, detail, count
  note     program, name, text
  state    view
  fault    line, text
  verdict  assertion, holds
  timer    nothing more
";

/// All of it.
#[must_use]
pub fn text() -> String {
    let mut out = format!(
        "A topology (TOML), each key with an example:\n\n{}\n",
        file::EXAMPLE
    );
    out.push_str(
        "Faults, a line each: at TIME, between TIME and TIME, or on NODE.CLIENT.NOTE (*: any node)\n",
    );
    for (line, remark) in FAULTS {
        let text = format!("  {line:48}  {remark}");
        let _ = writeln!(out, "{}", text.trim_end());
    }
    let _ = writeln!(out, "{CLAUSES}\n");
    notes(&mut out);
    metrics(&mut out);
    out.push_str("Settings of a node; of a tcp client, those that begin with tcp_\n");
    // Bugs are planted by tests alone.
    let settings = Settings::ABOUT.iter();
    for (key, about) in settings.filter(|(key, _)| !key.starts_with("planted_")) {
        listed(&mut out, key, 30, about.split_whitespace(), " ");
    }
    out.push('\n');
    out.push_str(TRACE);
    out
}

fn notes(out: &mut String) {
    out.push_str("Notes\n");
    for kind in ClientKind::ALL {
        let notes = kind.notes().iter().copied();
        listed(out, kind.name(), 13, notes, ", ");
    }
    listed(out, "services", 13, Server::NOTES.iter().copied(), ", ");
    out.push('\n');
}

fn metrics(out: &mut String) {
    out.push_str("Metrics, for asserts and in --json: SUBJECT.METRIC\n");
    let _ = writeln!(
        out,
        "  p50, p99: exact for up to {EXACT} round trips of a client, to 3% beyond, which is said"
    );
    out.push_str(COUNTS);
    for kind in ClientKind::ALL {
        let metrics = kind.metrics().iter().copied();
        listed(out, kind.name(), 13, metrics, ", ");
    }
    let services: Vec<String> = Server::METRICS
        .iter()
        .map(|m| format!("{SERVICES}{m}"))
        .collect();
    let services = services.iter().map(String::as_str);
    let node = NODE.iter().copied().chain(["drops.REASON"]).chain(services);
    listed(out, "a node", 13, node, ", ");
    let wire = WIRE.iter().copied();
    let wire = wire.chain(["drops.REASON", "from.NODE.METRIC (one direction)"]);
    listed(out, "a wire", 13, wire, ", ");
    listed(out, "world", 13, WORLD.iter().copied(), ", ");
    let reasons = DropReason::ALL.iter().map(|r| r.name());
    listed(out, "REASON", 13, reasons, ", ");
    out.push_str(UNITS);
    out.push('\n');
}

/// A name, and words beside it in lines of their own.
fn listed<'a>(
    out: &mut String,
    name: &str,
    indent: usize,
    words: impl Iterator<Item = &'a str>,
    comma: &str,
) {
    let mut line = format!("  {name:width$}", width = indent - 2);
    let mut first = true;
    for word in words {
        let apart = if first { "" } else { comma };
        if line.len() + apart.len() + word.len() > WIDTH && !first {
            let _ = writeln!(out, "{}{}", line, apart.trim_end());
            line = format!("{:indent$}{word}", "");
        } else {
            line.push_str(apart);
            line.push_str(word);
        }
        first = false;
    }
    let _ = writeln!(out, "{line}");
}

/// Columns of a line.
const WIDTH: usize = 98;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::build::Options;
    use crate::lab::export::{Recorder, Wanted};
    use crate::lab::fault::{self, Script};
    use crate::lab::topology::Topology;
    use std::collections::BTreeSet;

    fn example() -> Topology {
        file::parse("example", file::EXAMPLE).unwrap().topology
    }

    /// As it is printed, with the seeds that the page goes on to try.
    #[test]
    fn the_network_of_the_help_holds() {
        let topology = example();
        for seed in 0..8 {
            let outcome = topology.run(seed).unwrap();
            let failures: Vec<&str> = outcome.failures().collect();
            assert!(failures.is_empty(), "seed {seed}: {failures:?}");
        }
    }

    #[test]
    fn each_fault_of_the_help_runs_in_the_network_of_the_help() {
        for (line, _) in FAULTS {
            let mut topology = example();
            topology.faults = Script::parse(line).unwrap_or_else(|e| panic!("{line}: {e}"));
            topology.asserts = vec!["conserved".parse().unwrap()];
            let checked = topology.check();
            assert!(checked.is_ok(), "{line}: {checked:?}");
            let outcome = topology.run(1).unwrap();
            assert!(outcome.holds(), "{line}: {outcome:?}");
        }
    }

    #[test]
    fn each_fault_there_is_has_an_example() {
        let said: BTreeSet<&str> = FAULTS
            .iter()
            .flat_map(|(line, _)| line.split_whitespace())
            .collect();
        for verb in fault::verbs().chain(["bridge", "majorities", "->"]) {
            assert!(said.contains(verb), "no example of `{verb}`");
        }
    }

    #[test]
    fn all_that_has_a_name_is_named() {
        let text = text();
        let words: BTreeSet<&str> = text.split([',', ' ', '\n']).collect();
        for word in [
            "rtt.p99",
            "queue-peak",
            "neighbors",
            "drops.REASON",
            "ttl-expired",
            "neighbor_parked",
            "tcp_rack",
            "goodput",
        ] {
            assert!(words.contains(word), "{word}: {text}");
        }
        assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    }

    #[test]
    fn the_trace_has_the_keys_that_the_help_says() {
        let mut topology = example();
        let script = "at 1s drop next 1 on a-r1\nat 2s down r1-b for 1s\nat 3s pause b for 1s";
        topology.faults = Script::parse(script).unwrap();
        let watched = Options {
            seed: 1,
            watch: true,
            ..Options::default()
        };
        let mut world = topology.build(&watched).unwrap();
        let wanted = Wanted {
            json: true,
            ..Wanted::default()
        };
        let mut recorder = Recorder::new(&world, wanted);
        world.run_until(topology.end());
        topology.judge(1, &mut world);
        recorder.finish(&mut world);
        let written: Vec<u8> = recorder.take().into_iter().flat_map(|(_, b)| b).collect();
        let words: BTreeSet<&str> = TRACE
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .collect();
        let mut kinds = BTreeSet::new();
        for line in String::from_utf8(written).unwrap().lines() {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            let kind = event["kind"].as_str().unwrap().to_owned();
            for key in event.as_object().unwrap().keys() {
                assert!(words.contains(key.as_str()), "{key} of {kind}");
            }
            for packet in event["packets"].as_array().into_iter().flatten() {
                for key in packet.as_object().unwrap().keys() {
                    assert!(words.contains(key.as_str()), "{key} of a packet");
                }
            }
            assert!(words.contains(kind.as_str()), "{kind}");
            kinds.insert(kind);
        }
        assert_eq!(kinds.len(), 8, "{kinds:?}");
    }
}
