//! What a world is made of: nodes, wires, interfaces, programs, and who looks on.

use super::Delays;
use super::room::Room;
use super::{Counters, Direction, Kind, Node, State, Station, Wire, World};
use crate::lab::fault::{Run, Script};
use crate::lab::ids::{NodeId, WireId};
use crate::lab::program::{Program, Task};
use crate::lab::queue::{Queue, What};
use crate::lab::tasks::Tasks;
use stack::host::{self, Host, InterfaceConfig};
use stack::link::impair::{Config as Impair, Pieces, Way};
use stack::machine::Port;
use stack::rng::Rng;
use stack::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::sync::Arc;

impl World {
    /// An empty world. All chance in it comes from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::from_seed(seed),
            now: Instant::ZERO,
            steps: 0,
            arrivals: 0,
            queue: Queue::default(),
            room: Room::default(),
            nodes: Vec::new(),
            lanes: Vec::new(),
            wires: Vec::new(),
            pieces: Pieces::default(),
            outside: Vec::new(),
            ports_to_ask: Vec::new(),
            node_names: BTreeMap::new(),
            wire_names: BTreeMap::new(),
            script: None,
            quotas: BTreeMap::new(),
            digest: None,
            tcp_log: None,
            watch: None,
        }
    }

    /// Makes room for so many more nodes and wires: a large world is built in less memory.
    pub fn reserve(&mut self, nodes: usize, wires: usize) {
        self.nodes.reserve_exact(nodes);
        self.wires.reserve_exact(wires);
        self.lanes.reserve_exact(2 * wires);
    }

    /// Gives it up where the frames on its wires take more memory than so many bytes; else that is
    /// at [`ROOM`](super::ROOM).
    pub fn set_room(&mut self, bytes: u64) {
        self.room = Room::new(bytes);
    }

    /// The source of chance that belongs to `owner`.
    #[must_use]
    pub fn chance_of(&self, owner: &str) -> Rng {
        self.rng.fork(owner)
    }

    /// Adds a host; a router is one that forwards. It has no interfaces yet.
    pub fn add_host(&mut self, name: &str, config: host::Config) -> NodeId {
        let rng = self.rng.fork(&format!("node/{name}"));
        let station = Station {
            host: Host::new(config, rng),
            tasks: Tasks::default(),
            birth: None,
            past: Vec::new(),
        };
        self.add(name, Kind::Host(Box::new(station)))
    }

    /// Adds a hub: what comes in at one port leaves by all others.
    pub fn add_hub(&mut self, name: &str) -> NodeId {
        self.add(name, Kind::Hub)
    }

    /// Adds a node that lives outside of the world. Where its ports lead, [`hand_out`](Self::hand_out)
    /// says; what comes to another port is dropped.
    pub fn add_outside(&mut self, name: &str) -> NodeId {
        self.add(name, Kind::Outside(BTreeMap::new()))
    }

    /// Hands out a port of a node that lives outside: what reaches it is given by
    /// [`poll_transmit`](stack::machine::Machine::poll_transmit) at the world's port that this gives,
    /// and what it sends comes in there.
    pub fn hand_out(&mut self, node: NodeId, port: Port) -> Port {
        if let Some(Kind::Outside(queues)) = self.kind_mut(node) {
            queues.entry(port).or_default();
        }
        let own = u16::try_from(self.outside.len()).unwrap_or(u16::MAX);
        self.outside.push((node, port));
        Port(own)
    }

    fn add(&mut self, name: &str, kind: Kind) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        let name: Arc<str> = name.into();
        self.node_names.entry(Arc::clone(&name)).or_insert(id);
        self.nodes.push(Node {
            name,
            kind,
            state: State::Running,
            ports: Vec::new(),
            planned: Instant::FAR_FUTURE,
            cause: 0,
            planned_by: 0,
            counters: Counters::default(),
        });
        id
    }

    /// Joins two nodes by a wire, whose directions are away from `a` and away from `b`. Each takes
    /// its next port; a host has no interface there before [`add_interface`](Self::add_interface).
    pub fn connect(&mut self, name: &str, a: NodeId, b: NodeId, ways: [Impair; 2]) -> WireId {
        let wire = WireId(u32::try_from(self.wires.len()).unwrap_or(u32::MAX));
        let first = self.next_port(a);
        let second = if a == b {
            Port(first.0.saturating_add(1))
        } else {
            self.next_port(b)
        };
        let ends = [(a, first), (b, second)];
        for (from, config) in ways.into_iter().enumerate() {
            let index = self.lanes.len();
            let keys = self.rng.fork(&format!("wire/{name}/{from}")).hash_keys();
            let (near, (far, port)) = (ends[from].0, ends[1 - from]);
            let mut way = Way::new(config, keys);
            way.set_watched(self.watch.is_some());
            self.lanes.push(Direction {
                way,
                from: near,
                to: far,
                port,
                planned: Instant::FAR_FUTURE,
                starved: false,
                rest: None,
                why: None,
                delays: Delays::default(),
                holds: None,
            });
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            if let Some(node) = self.nodes.get_mut(near.0 as usize) {
                node.ports.push(index);
            }
        }
        let name: Arc<str> = name.into();
        self.wire_names.entry(Arc::clone(&name)).or_insert(wire);
        self.wires.push(Wire { name, ends });
        wire
    }

    fn next_port(&self, node: NodeId) -> Port {
        let ports = self.nodes.get(node.0 as usize).map_or(0, |n| n.ports.len());
        Port(u16::try_from(ports).unwrap_or(u16::MAX))
    }

    /// Gives a host an interface; gives its number. `None` where the node is no host.
    pub fn add_interface(&mut self, node: NodeId, config: InterfaceConfig) -> Option<u16> {
        self.with_host(node, |host, now| host.add_interface(now, config))
    }

    /// Runs a program at a host, so long after now; where the host begins again, so does it.
    pub fn add_program(
        &mut self,
        node: NodeId,
        name: &str,
        delay: Duration,
        program: impl Into<Program>,
    ) {
        let now = self.now;
        if let Some(Kind::Host(station)) = self.kind_mut(node) {
            let task = Task::new(name, now, delay, program.into());
            station.tasks.push(task);
            self.replan_node(node);
        }
    }

    /// Has each event turn every program of its host.
    #[cfg(test)]
    pub(in crate::lab) fn ask_all_tasks(&mut self) {
        for node in &mut self.nodes {
            if let Kind::Host(station) = &mut node.kind {
                station.tasks.ask_all();
            }
        }
    }

    /// Keeps what each host is now, for [`restart`](Self::restart) to begin from. Called once the
    /// world is built, where its hosts may crash.
    pub fn keep_births(&mut self) {
        for node in &mut self.nodes {
            if let Kind::Host(station) = &mut node.kind {
                let born = (**station).clone();
                station.birth = Some(Arc::new(born));
            }
        }
    }

    /// Lays a fault script over the world.
    pub fn set_script(&mut self, script: Script) {
        let mut run = Box::new(Run::new(script));
        for (at, line) in run.beginnings() {
            self.queue.plan(at.max(self.now), What::Fault(line));
        }
        self.script = Some(run);
    }

    /// Hashes everything on every wire from now on.
    pub fn keep_digest(&mut self) {
        self.digest = Some(Box::default());
    }

    /// Records events from now on (or no longer), for [`poll_trace`](Self::poll_trace).
    pub fn watch(&mut self, on: bool) {
        self.watch = on.then(Box::default);
        for lane in &mut self.lanes {
            lane.way.set_watched(on);
        }
        if let Some(watch) = &mut self.watch {
            for (i, node) in self.nodes.iter().enumerate() {
                if let Kind::Host(station) = &node.kind {
                    let stats = station.host.stats();
                    let id = NodeId(u32::try_from(i).unwrap_or(u32::MAX));
                    let told = Box::new((stats.dropped_in, stats.dropped_out));
                    watch.told.insert(id, told);
                }
            }
        }
    }
}
