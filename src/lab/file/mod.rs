//! A topology from a file, and errors that say at which line.
//!
//! ```text
//!   TOML --serde--> tables with their places --> Topology --check--> Plan
//!                          \--> Lines: where each node, wire, client, fault, assertion stands
//! ```
//!
//! Unknown keys are errors: a misspelt one must not be silently without effect. Keys are spelt as
//! in the configuration of `up`, with `_`; those of a wire may have `-` instead.

mod lines;
mod raw;
mod scalar;
#[cfg(test)]
mod tests;
mod write;

use super::plan::Plan;
use super::topology::{Topology, free_name};
use lines::{line_at, reworded};
use raw::RawTopology;
use std::collections::{BTreeMap, BTreeSet};

pub use lines::{FileError, Lines};

/// The keys, each with an example.
pub const EXAMPLE: &str = r#"caption = "Two hosts, a router, a bad wire"    # one line, for lists
about = "The loss that p sees"     # what to look at
until = "10s"                      # virtual time; else 60s
seed = 1                           # where none is asked for
families = "ipv4"                  # of addresses not given: ipv4, ipv6 or both
duplicate_addresses = false        # true where two nodes shall hold one address
asserts = [                        # SUBJECT.METRIC OP VALUE, or N * SUBJECT.METRIC
  "p.received >= 5", "p.rtt.max <= 300ms", "conserved" ]
faults = """
between 2s and 3s drop 5% of icmp on r1-b from r1
at 4s partition a | b
at 5s heal
"""

[[node]]
name = "a"
kind = "host"                      # host, router or hub
addresses = ["10.0.1.1/24"]        # for each port, in the order of the wires; "auto"; [several]

[[node]]
name = "r1"
kind = "router"
routes = [{ to = "10.9.0.0/16", via = "b" }]   # besides the learned ones; "none" for no routes
auto_routes = true
settings = { icmp_rate = 100, ttl = 64 }       # policies and limits

[[node]]
name = "b"
services = ["echo", "discard", "chargen", "sink"]    # http and iperf too

[[wire]]
between = ["a", "r1"]              # called a-r1, or name = ".."

[[wire]]
between = ["r1", "b"]
delay = "20ms"
jitter = "2ms"
in_order = true                    # jitter does not reorder
rate = "10mbit"                    # "unlimited"
overhead = 24                      # bytes a frame takes besides its own
loss = "1%"                        # { to_bad, to_good, loss_good, loss_bad } or { packets = [0] }
duplicate = "0.1%"
reorder = 0.001
reorder_by = "10ms"
bit_errors = 1e-9
frame_check = true
mtu = 1400
queue = { kind = "drop-tail", packets = 64 }   # bytes, mark; "codel" and "fq-codel": packets,
from.b = { delay = "80ms" }        # one direction       target, interval, ecn; flows, quantum

[[client]]
name = "p"                         # else ping1, ping2, ..
node = "a"
kind = "ping"                      # ping, udp, tcp, scan, traceroute, arp-forger with
                                   # claims = "b", or tcp-attacker with attack = "syn-flood", ..
to = "b"                           # a node or an address
start = "0s"
stop = "9s"
count = 10
interval = "500ms"
size = 56
ttl = 64
dont_fragment = true               # or fragment = true: routers may always cut

[[client]]
name = "t"
node = "a"
kind = "tcp"
to = "b"                           # its sink, or port = 9 for its discard
bytes = "10MB"                     # in all; or stop, for as many as go
congestion = "bbr"                 # cubic, reno; else the node's tcp_congestion
warm_up = "1s"                     # goodput is counted from then on
settings = { tcp_sack = false }    # those of tcp, over the node's: tcp_rack, tcp_ecn, ..
"#;

/// A topology that came from a file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub topology: Topology,
    /// What is decided about the rest.
    pub plan: Plan,
    /// Where it says it.
    pub lines: Lines,
}

/// Parses and checks a topology. `file` is what errors call it.
///
/// # Errors
/// The first thing that is wrong, with the line.
///
/// ```
/// let e = tapline::lab::file::parse("net.toml", "[[node]]\nnmae = 'a'").unwrap_err();
/// assert_eq!(e.to_string(), "net.toml:2: there is no key `nmae`; did you mean `name`?");
/// ```
pub fn parse(file: &str, text: &str) -> Result<Loaded, FileError> {
    let error = |line: Option<u32>, what: String| FileError {
        file: file.to_owned(),
        line,
        what,
    };
    let raw: RawTopology = toml::from_str(text).map_err(|e| {
        let line = e.span().map(|span| line_at(text, span.start));
        error(line, reworded(e.message()))
    })?;
    let (mut topology, lines) = raw
        .resolve(text)
        .map_err(|(line, what)| error(line, what))?;
    if topology.nodes.is_empty() {
        let what = "nobody is there: a topology has one [[node]] at least";
        return Err(error(Some(1), what.to_owned()));
    }
    let lines = Lines {
        file: file.to_owned(),
        text: text.to_owned(),
        ..lines
    };
    // Names are given in the file's order, so a wire's default name is known only now.
    name_all(&mut topology);
    let plan = topology.check().map_err(|e| lines.locate(e))?;
    Ok(Loaded {
        topology,
        plan,
        lines,
    })
}

/// Gives a name to wires and clients that have none.
fn name_all(topology: &mut Topology) {
    let given = topology.wires.iter().map(|w| w.name.clone());
    let mut taken: BTreeSet<String> = given.collect();
    for wire in topology.wires.iter_mut().filter(|w| w.name.is_empty()) {
        let [a, b] = &wire.between;
        wire.name = free_name(&format!("{a}-{b}"), |n| taken.contains(n));
        taken.insert(wire.name.clone());
    }
    let given = topology.clients.iter().map(|c| c.name.clone());
    let taken: BTreeSet<String> = given.collect();
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for client in topology.clients.iter_mut().filter(|c| c.name.is_empty()) {
        let kind = client.kind.name();
        // Each kind counts on, so that no name is tried twice.
        let count = counts.entry(kind).or_default();
        client.name = loop {
            *count += 1;
            let name = format!("{kind}{count}");
            if !taken.contains(&name) {
                break name;
            }
        };
    }
}
