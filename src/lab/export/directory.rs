//! Who is who in a trace: the names of nodes and wires, so that an exporter needs no world.

use crate::lab::ids::{Lane, NodeId, WireId};
use crate::lab::world::World;
use stack::time::Duration;
use std::sync::Arc;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It has its own packets only.
    Host,
    /// It forwards.
    Router,
    /// It repeats.
    Hub,
    /// It lives outside of the world.
    Outside,
}

/// The names in a world, as they were when it had been built.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    nodes: Vec<(Arc<str>, Role)>,
    wires: Vec<(Arc<str>, [NodeId; 2])>,
}

impl Directory {
    /// The names in `world`, which is complete: what is added later has none.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let nodes = world.nodes().map(|(_, node)| {
            let role = match node.host() {
                Some(host) if host.config().forwarding => Role::Router,
                Some(_) => Role::Host,
                None if node.is_hub() => Role::Hub,
                None => Role::Outside,
            };
            (Arc::from(node.name()), role)
        });
        let wires = world.wires().map(|(_, wire)| {
            let [(a, _), (b, _)] = wire.ends;
            (Arc::clone(&wire.name), [a, b])
        });
        Self {
            nodes: nodes.collect(),
            wires: wires.collect(),
        }
    }

    /// A node's name; `?` where there is no such node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &str {
        self.nodes.get(id.0 as usize).map_or("?", |(name, _)| name)
    }

    /// What a node is.
    #[must_use]
    pub fn role(&self, id: NodeId) -> Role {
        let node = self.nodes.get(id.0 as usize);
        node.map_or(Role::Outside, |(_, role)| *role)
    }

    /// A wire's name.
    #[must_use]
    pub fn wire(&self, id: WireId) -> &str {
        self.wires.get(id.0 as usize).map_or("?", |(name, _)| name)
    }

    /// The nodes that a wire joins.
    #[must_use]
    pub fn ends(&self, id: WireId) -> Option<[NodeId; 2]> {
        self.wires.get(id.0 as usize).map(|(_, ends)| *ends)
    }

    /// Who sends into a direction, and who hears it.
    #[must_use]
    pub fn between(&self, lane: Lane) -> Option<[NodeId; 2]> {
        let [a, b] = self.ends(lane.wire)?;
        Some(if lane.from == 0 { [a, b] } else { [b, a] })
    }

    /// A direction in words: `a-r1: a > r1`.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> String {
        let ends = self.between(lane).map(|ends| ends.map(|n| self.node(n)));
        let [from, to] = ends.unwrap_or(["?", "?"]);
        format!("{}: {from} > {to}", self.wire(lane.wire))
    }

    /// The numbers of all nodes.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(|i| NodeId(u32::try_from(i).unwrap_or(u32::MAX)))
    }

    /// The numbers of all wires.
    pub fn wires(&self) -> impl Iterator<Item = WireId> + use<> {
        (0..self.wires.len()).map(|i| WireId(u32::try_from(i).unwrap_or(u32::MAX)))
    }
}

/// A duration in few letters: `5ms`, `1.25s`, `12.5us`.
#[must_use]
pub fn short(d: Duration) -> String {
    let n = d.as_nanos();
    let (unit, name) = match n {
        0 => return "0s".to_owned(),
        1_000_000_000.. => (1_000_000_000, "s"),
        1_000_000.. => (1_000_000, "ms"),
        1_000.. => (1_000, "us"),
        _ => (1, "ns"),
    };
    let (whole, thousandths) = (n / unit, n % unit * 1000 / unit);
    let part = format!("{thousandths:03}");
    match part.trim_end_matches('0') {
        "" => format!("{whole}{name}"),
        part => format!("{whole}.{part}{name}"),
    }
}
