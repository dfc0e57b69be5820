//! The smaller topologies that shrinking tries: without some of their parts, and joined where one
//! was taken out.
//!
//! ```text
//!   a --w1-- r --w2-- b   keep_nodes    a, b: no wire is left
//!                         join          a --w1-- b: the wire does what w1 did, or what both did
//! ```
//!
//! Promises: no direction of a wire does worse than one of the directions that it stands for did.

use crate::lab::fault::{Fault, Link, Script};
use crate::lab::topology::Topology;
use stack::link::impair::{Chance, Config};
use stack::time::Duration;

/// What must be taken away for the run to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// The faults.
    Faults,
    /// And whatever the wires do.
    Wires,
    /// Nothing helps.
    None,
}

/// What makes a direction of a wire plainer, the most first; none makes it worse.
pub(super) const PLAIN: &[fn(&mut Config)] = &[
    |way| {
        *way = Config {
            mtu: way.mtu,
            ..Config::default()
        }
    },
    |way| {
        *way = Config {
            mtu: way.mtu.max(Config::default().mtu),
            ..Config::default()
        }
    },
    |way| way.loss = Config::default().loss,
    |way| way.jitter = Duration::ZERO,
    |way| way.duplicate = Chance::NEVER,
    |way| way.reorder = Chance::NEVER,
    |way| way.bit_errors = Chance::NEVER,
    |way| way.rate = None,
    |way| way.queue = Config::default().queue,
    |way| way.delay = Duration::ZERO,
    |way| way.overhead = 0,
    |way| way.mtu = way.mtu.max(Config::default().mtu),
];

/// The run that shall hold.
pub(super) fn without(topology: &Topology, control: Control) -> Topology {
    let mut clean = topology.clone();
    clean.faults = Script::default();
    if control == Control::Wires {
        for way in clean.wires.iter_mut().flat_map(|w| &mut w.ways) {
            *way = Config {
                mtu: way.mtu,
                delay: way.delay,
                rate: way.rate,
                ..Config::default()
            };
        }
    }
    clean
}

pub(super) fn keep_only<T>(list: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    list.retain(|_| keep.next().copied().unwrap_or(true));
}

pub(super) fn keep_nodes(topology: &mut Topology, keep: &[bool]) {
    let nodes = topology.nodes.iter().zip(keep);
    let gone: Vec<String> = nodes
        .filter(|(_, keep)| !**keep)
        .map(|(n, _)| n.name.clone())
        .collect();
    let wires: Vec<bool> = topology
        .wires
        .iter()
        .map(|w| !w.between.iter().any(|end| gone.contains(end)))
        .collect();
    keep_wires(topology, &wires);
    keep_only(&mut topology.nodes, keep);
}

/// Ports are counted by wires, and addresses by ports.
pub(super) fn keep_wires(topology: &mut Topology, keep: &[bool]) {
    let ports = topology.ports();
    for (node, ports) in topology.nodes.iter_mut().zip(ports) {
        let mut ports = ports.iter();
        node.addresses.retain(|_| {
            let wire = ports.next().map(|(wire, _)| *wire);
            wire.and_then(|w| keep.get(w)).copied().unwrap_or(true)
        });
    }
    keep_only(&mut topology.wires, keep);
}

/// Takes out the node at `at`, on which two wires end: the first stays, and ends where the second
/// did. It does what it did, or what both did.
pub(super) fn join(
    topology: &mut Topology,
    at: usize,
    (stays, goes): ((usize, usize), (usize, usize)),
    both: bool,
) {
    if both {
        for (side, other) in [(1 - stays.1, goes.1), (stays.1, 1 - goes.1)] {
            let other = topology.wires[goes.0].ways[other].clone();
            add(&mut topology.wires[stays.0].ways[side], other);
        }
    }
    let far = topology.wires[goes.0].between[1 - goes.1].clone();
    let near = topology.wires[stays.0].between[1 - stays.1].clone();
    let name = topology.nodes[at].name.clone();
    let old = topology.wires[stays.0].name.clone();
    // The addresses of the two ends were of two networks.
    for node in &mut topology.nodes {
        if [&near, &far].contains(&&node.name) {
            node.addresses.clear();
        }
    }
    topology.wires[stays.0].between[stays.1] = far.clone();
    let [a, b] = &topology.wires[stays.0].between;
    let new = format!("{a}-{b}");
    if !topology.wires.iter().any(|w| w.name == new) {
        rename(&mut topology.faults, &old, &new, (&name, &far));
        topology.wires[stays.0].name = new;
    }
    topology.wires.remove(goes.0);
    topology.nodes.remove(at);
}

/// What another direction does, where this one does nothing of the kind.
fn add(way: &mut Config, other: Config) {
    fn fill<T: PartialEq>(ours: &mut T, theirs: T, nothing: &T) {
        if ours == nothing {
            *ours = theirs;
        }
    }
    let plain = Config::default();
    fill(&mut way.rate, other.rate, &plain.rate);
    fill(&mut way.delay, other.delay, &plain.delay);
    fill(&mut way.jitter, other.jitter, &plain.jitter);
    fill(&mut way.loss, other.loss, &plain.loss);
    fill(&mut way.duplicate, other.duplicate, &plain.duplicate);
    fill(&mut way.bit_errors, other.bit_errors, &plain.bit_errors);
    if way.reorder == plain.reorder {
        way.reorder = other.reorder;
        way.reorder_by = other.reorder_by;
    }
    way.mtu = way.mtu.min(other.mtu);
}

/// A wire and one of its ends are called otherwise from now on.
fn rename(faults: &mut Script, old: &str, new: &str, (end, now): (&str, &str)) {
    for line in &mut faults.lines {
        let (link, from) = match &mut line.fault {
            Fault::Packets { place, .. } | Fault::Wire { place, .. } => {
                (&mut place.link, Some(&mut place.from))
            }
            Fault::Down(link) | Fault::Up(link) | Fault::Flap { link, .. } => (link, None),
            _ => continue,
        };
        if matches!(link, Link::Wire(name) if name == old) {
            *link = Link::Wire(new.to_owned());
            if let Some(Some(from)) = from
                && from == end
            {
                now.clone_into(from);
            }
        }
    }
}
