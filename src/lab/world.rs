//! Hosts, hubs and wires in virtual time: one event a step, and only a step moves the clock.
//!
//! ```text
//!             +------------------------- World ---------------------------+
//!   step() -> | queue.pop -> wire:  an arrival  -> node.handle_frame      |
//!             |              node:  a deadline  -> handle_timeout         |
//!             |              script: a fault    -> wires and nodes change |
//!             |        then  programs of that node, then its frames leave |
//!             +-----------------------------------------------------------+
//! ```
//!
//! Read first: this file's [`World::step`].
//!
//! Promises: all of it is plain data, and `Clone` forks it, frames in flight and all. Two runs of
//! one seed put the same bytes on every wire at the same instants. A run costs what happens in it:
//! no step walks hosts or wires. For each node and each wire, what came in is accounted for at any
//! moment ([`World::audit`]).
//!
//! A host that does not forward is asked for frames only while the wire's queue has room, as a
//! driver's full ring stops a kernel; a router is asked for all it has, and what finds no room is
//! dropped by the queue, with its reason.

use super::digest::Digest;
use super::fault::{Run, Script};
use super::ids::{Lane, NodeId, WireId};
use super::program::{Program, Task};
use super::queue::{Queue, What};
use super::trace::{Event, Kind as Told, Seq};
use stack::frame::Frame;
use stack::host::{self, Host, InterfaceConfig, Stats};
use stack::link::impair::{Arrival, Config as Impair, Marks, Match, Sent, Way};
use stack::link::offload;
use stack::machine::{Fate, Machine, Port};
use stack::reason::DropReason;
use stack::rng::Rng;
use stack::time::{Duration, Instant, earliest};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

/// A network in virtual time.
#[derive(Clone, Debug)]
pub struct World {
    rng: Rng,
    now: Instant,
    steps: u64,
    arrivals: u64,
    queue: Queue,
    nodes: Vec<Node>,
    lanes: Vec<Direction>,
    wires: Vec<Wire>,
    outside: Vec<NodeId>,
    /// Room for a list that is made again and again.
    ports_to_ask: Vec<Port>,
    node_names: BTreeMap<Arc<str>, NodeId>,
    wire_names: BTreeMap<Arc<str>, WireId>,
    script: Option<Box<Run>>,
    digest: Option<Box<Digest>>,
    watch: Option<Box<Watch>>,
}

/// A wire's name and ends.
#[derive(Clone, Debug)]
pub struct Wire {
    /// Its name.
    pub name: Arc<str>,
    /// Which nodes it joins, and by which of their ports.
    pub ends: [(NodeId, Port); 2],
}

/// One direction of a wire in the world.
#[derive(Clone, Debug)]
struct Direction {
    way: Way,
    from: NodeId,
    to: NodeId,
    port: Port,
    /// When its live entry in the queue is.
    planned: Instant,
    /// The sender waits for room.
    starved: bool,
    /// What shall not arrive for now, and what of it waits.
    holds: Option<Box<Holds>>,
}

/// Packets held back at the end of a wire.
#[derive(Clone, Debug, Default)]
struct Holds {
    matches: Vec<Match>,
    waiting: VecDeque<Arrival>,
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    name: Arc<str>,
    kind: Kind,
    state: State,
    /// The directions that leave by its ports.
    ports: Vec<u32>,
    planned: Instant,
    /// What it did last.
    cause: Seq,
    counters: Counters,
}

#[derive(Clone, Debug)]
enum Kind {
    Host(Box<Station>),
    /// Repeats what comes to all other ports.
    Hub,
    /// Somebody out there: frames for it are handed out.
    Outside(VecDeque<Frame>),
}

/// A host with its programs.
#[derive(Clone, Debug)]
struct Station {
    host: Host,
    tasks: Vec<Task>,
    /// As it was before its first event, where it may have to begin again.
    birth: Option<Arc<Self>>,
    /// Counters of its former lives.
    past: Vec<Stats>,
}

/// Whether a node takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    #[default]
    Running,
    /// Neither hears nor acts until it is resumed; its timers are late then.
    Paused,
    /// Gone, with all its state.
    Down,
}

/// What went through a node besides what its host counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that reached it.
    pub arrived: u64,
    /// Frames it put on wires.
    pub sent: u64,
    /// Frames a hub took for repetition, or that were handed out to somebody outside.
    pub passed: u64,
    /// Frames lost because it was paused.
    pub paused: u64,
    /// Frames lost because it was down.
    pub down: u64,
}

/// What is recorded for whoever looks on.
#[derive(Clone, Debug, Default)]
struct Watch {
    seq: Seq,
    events: VecDeque<Event>,
    /// Drops that were told already, by node, in and out.
    told: BTreeMap<NodeId, Box<(DropTable, DropTable)>>,
}

type DropTable = [u64; DropReason::COUNT];

/// Why something could not be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError(pub String);

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BuildError {}

/// Building.
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
            nodes: Vec::new(),
            lanes: Vec::new(),
            wires: Vec::new(),
            outside: Vec::new(),
            ports_to_ask: Vec::new(),
            node_names: BTreeMap::new(),
            wire_names: BTreeMap::new(),
            script: None,
            digest: None,
            watch: None,
        }
    }

    /// Makes room for so many more nodes and wires: a large world is built in less memory.
    pub fn reserve(&mut self, nodes: usize, wires: usize) {
        self.nodes.reserve_exact(nodes);
        self.wires.reserve_exact(wires);
        self.lanes.reserve_exact(2 * wires);
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
            tasks: Vec::new(),
            birth: None,
            past: Vec::new(),
        };
        self.add(name, Kind::Host(Box::new(station)))
    }

    /// Adds a hub: what comes in at one port leaves by all others.
    pub fn add_hub(&mut self, name: &str) -> NodeId {
        self.add(name, Kind::Hub)
    }

    /// Adds a node that lives outside of the world: what reaches it is handed out by
    /// [`Machine::poll_transmit`] at the port that this gives, and what it sends comes in there.
    pub fn add_outside(&mut self, name: &str) -> (NodeId, Port) {
        let id = self.add(name, Kind::Outside(VecDeque::new()));
        let port = u16::try_from(self.outside.len()).unwrap_or(u16::MAX);
        self.outside.push(id);
        (id, Port(port))
    }

    /// Numbers the ports of those outside in the order of `names`.
    pub fn order_outside(&mut self, names: &[String]) {
        let nodes = &self.nodes;
        let place = |id: &NodeId| {
            let name = nodes.get(id.0 as usize).map(Node::name);
            names.iter().position(|n| Some(n.as_str()) == name)
        };
        self.outside.sort_by_key(place);
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
            // Most hosts run one program: a vector would begin with room for four.
            station.tasks.reserve_exact(1);
            station.tasks.push(task);
            self.replan_node(node);
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

/// Looking.
impl World {
    /// Virtual time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Events taken so far.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Frames that arrived at some port so far.
    #[must_use]
    pub const fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// When the next event is, or earlier; `None` where nothing will ever happen by itself.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.queue.next_at()
    }

    /// Its nodes, in order of their numbers.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        let numbers = (0..).map(NodeId);
        numbers.zip(&self.nodes)
    }

    /// A node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0 as usize)
    }

    /// A node by its name; of several, the first.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.node_names.get(name).copied()
    }

    /// Its wires, in order of their numbers.
    pub fn wires(&self) -> impl Iterator<Item = (WireId, &Wire)> {
        (0..).map(WireId).zip(&self.wires)
    }

    /// A wire by its name; of several, the first.
    #[must_use]
    pub fn find_wire(&self, name: &str) -> Option<WireId> {
        self.wire_names.get(name).copied()
    }

    /// One direction of a wire.
    #[must_use]
    pub fn way(&self, lane: Lane) -> Option<&Way> {
        self.lanes.get(lane.index()).map(|d| &d.way)
    }

    /// Who sends into a direction.
    #[must_use]
    pub fn sender_of(&self, lane: Lane) -> Option<&str> {
        let direction = self.lanes.get(lane.index())?;
        self.node(direction.from).map(Node::name)
    }

    /// The host at a node.
    #[must_use]
    pub fn host(&self, node: NodeId) -> Option<&Host> {
        self.node(node).and_then(Node::host)
    }

    /// The digest of everything on every wire so far, where one is kept.
    #[must_use]
    pub fn digest(&self) -> Option<u64> {
        self.digest.as_ref().map(|d| d.value())
    }

    /// The next recorded event.
    pub fn poll_trace(&mut self) -> Option<Event> {
        self.watch.as_mut()?.events.pop_front()
    }

    /// Whether everything that came in anywhere is accounted for: for each node and each wire,
    /// frames in = delivered + forwarded + held or queued + Σ drops by reason.
    ///
    /// # Errors
    /// Names the first node or wire where it is not, with its counters.
    pub fn audit(&self) -> Result<(), String> {
        for node in &self.nodes {
            node.audit()
                .map_err(|e| format!("node {}: {e}", node.name))?;
        }
        for (i, lane) in self.lanes.iter().enumerate() {
            if !lane.way.is_conserved() {
                let name = &self.wires[i / 2].name;
                let stats = lane.way.stats();
                return Err(format!("wire {name}, direction {}: {stats:?}", i % 2));
            }
        }
        Ok(())
    }
}

impl Node {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it takes part.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Frames through it.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The host, where it is one.
    #[must_use]
    pub fn host(&self) -> Option<&Host> {
        match &self.kind {
            Kind::Host(station) => Some(&station.host),
            _ => None,
        }
    }

    /// Whether it is a hub.
    #[must_use]
    pub const fn is_hub(&self) -> bool {
        matches!(self.kind, Kind::Hub)
    }

    /// Its programs with their names.
    pub fn programs(&self) -> impl Iterator<Item = (&str, &Program)> {
        let tasks = match &self.kind {
            Kind::Host(station) => station.tasks.as_slice(),
            _ => &[],
        };
        tasks.iter().map(|t| (t.name(), t.program()))
    }

    /// The directions that leave by its ports, in order.
    pub fn lanes(&self) -> impl Iterator<Item = Lane> {
        self.ports.iter().map(|&i| Lane::of(i as usize))
    }

    /// The sum of a counter over the host's lives.
    #[must_use]
    pub fn total(&self, counter: impl Fn(&Stats) -> u64) -> u64 {
        match &self.kind {
            Kind::Host(station) => {
                let lives = station.past.iter().chain([station.host.stats()]);
                lives.map(counter).sum()
            }
            _ => 0,
        }
    }

    /// Whether all that came in is accounted for.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.audit().is_ok()
    }

    fn audit(&self) -> Result<(), String> {
        let Counters {
            arrived,
            passed,
            paused,
            down,
            ..
        } = self.counters;
        let taken = match &self.kind {
            Kind::Host(station) => {
                let lives = || station.past.iter().chain([station.host.stats()]);
                if let Some(stats) = lives().find(|s| !s.is_conserved()) {
                    return Err(format!("{stats:?}"));
                }
                lives().map(|s| s.frames_in).sum()
            }
            Kind::Hub | Kind::Outside(_) => passed,
        };
        if arrived == taken + paused + down {
            return Ok(());
        }
        let counters = self.counters;
        Err(format!("{arrived} arrived, {taken} taken, {counters:?}"))
    }
}

/// Running.
impl World {
    /// Takes one event; `false` where there is none. Nothing else moves virtual time.
    pub fn step(&mut self) -> bool {
        self.step_until(Instant::FAR_FUTURE)
    }

    /// Takes one event that happens before or at `end`; `false` where there is none. That
    /// [`next_at`](Self::next_at) is before `end` does not say as much: a plan may have changed.
    pub fn step_until(&mut self, end: Instant) -> bool {
        while self.queue.next_at().is_some_and(|at| at <= end)
            && let Some((at, what)) = self.queue.pop()
        {
            match what {
                What::Lane(i) => {
                    let lane = &mut self.lanes[i as usize];
                    if lane.planned != at {
                        continue;
                    }
                    lane.planned = Instant::FAR_FUTURE;
                    self.now = at;
                    self.turn_lane(i as usize);
                }
                What::Node(i) => {
                    let node = &mut self.nodes[i as usize];
                    if node.planned != at {
                        continue;
                    }
                    node.planned = Instant::FAR_FUTURE;
                    self.now = at;
                    self.turn_node(NodeId(i));
                }
                What::Fault(line) => {
                    self.now = at;
                    self.turn_fault(line);
                }
                What::Mark => self.now = at,
            }
            self.steps += 1;
            return true;
        }
        false
    }

    /// Steps until nothing is left that happens before or at `end`; then it is `end`.
    pub fn run_until(&mut self, end: Instant) {
        if end > self.now {
            self.queue.plan(end, What::Mark);
        }
        while self.step_until(end) {}
    }

    /// Steps while `goes_on` says so and there is anything to do.
    pub fn run_while(&mut self, mut goes_on: impl FnMut(&Self) -> bool) {
        while goes_on(self) && self.step() {}
    }

    /// Something arrives, or the transmitter is free again.
    fn turn_lane(&mut self, i: usize) {
        let now = self.now;
        let lane = &mut self.lanes[i];
        let arrival = lane.way.poll_arrival(now);
        if lane.starved && lane.way.has_room() {
            lane.starved = false;
            let from = lane.from;
            self.pull_all(from);
        }
        if self.watch.is_some() {
            self.tell_lost(i);
        }
        self.replan_lane(i);
        let Some(mut arrival) = arrival else { return };
        if let Some(holds) = &mut self.lanes[i].holds
            && holds.matches.iter().any(|m| m.matches(&mut arrival.frame))
        {
            holds.waiting.push_back(arrival);
            return;
        }
        self.arrive(i, arrival);
    }

    /// A node's deadline.
    fn turn_node(&mut self, id: NodeId) {
        let now = self.now;
        if self.nodes[id.0 as usize].state != State::Running {
            return;
        }
        if self.watch.is_some() {
            self.tell(Some(id), 0, Told::Timer);
        }
        let Kind::Host(station) = &mut self.nodes[id.0 as usize].kind else {
            return;
        };
        if station.host.poll_timeout().is_some_and(|at| at <= now) {
            station.host.handle_timeout(now);
        }
        for task in &mut station.tasks {
            task.handle_timeout(now, &mut station.host);
        }
        self.attend(id);
    }

    /// A frame reaches a node.
    fn arrive(&mut self, i: usize, arrival: Arrival) {
        let now = self.now;
        self.arrivals += 1;
        let Direction { to, port, .. } = self.lanes[i];
        let node = &mut self.nodes[to.0 as usize];
        node.counters.arrived += 1;
        let Arrival {
            frame,
            tag,
            sent,
            marks,
        } = arrival;
        let seen = self.watch.is_some().then(|| frame.clone());
        let fate = match (node.state, &mut node.kind) {
            (State::Down, _) => {
                node.counters.down += 1;
                Fate::Dropped(DropReason::NodeDown)
            }
            (State::Paused, _) => {
                node.counters.paused += 1;
                Fate::Dropped(DropReason::NodePaused)
            }
            (State::Running, Kind::Host(station)) => station.host.handle_frame(now, port, frame),
            (State::Running, Kind::Hub) => {
                node.counters.passed += 1;
                self.note_arrival(i, (tag, sent, marks), seen, Fate::Forwarded);
                self.repeat(to, port, &frame);
                return;
            }
            (State::Running, Kind::Outside(queue)) => {
                node.counters.passed += 1;
                queue.push_back(frame);
                Fate::Forwarded
            }
        };
        self.note_arrival(i, (tag, sent, marks), seen, fate);
        self.attend(to);
    }

    fn note_arrival(
        &mut self,
        i: usize,
        (frame_id, sent, marks): (Seq, Instant, Marks),
        seen: Option<Frame>,
        fate: Fate,
    ) {
        if let Some(digest) = &mut self.digest {
            digest.arrival(self.now, i, fate);
        }
        let Some(frame) = seen else { return };
        let lane = Lane::of(i);
        let to = self.lanes[i].to;
        if let (Some(watch), Fate::Dropped(reason)) = (&mut self.watch, fate)
            && let Some(told) = watch.told.get_mut(&to)
            && !matches!(reason, DropReason::NodeDown | DropReason::NodePaused)
        {
            // This one is told by its arrival.
            told.0[reason.index()] += 1;
        }
        let kind = Told::Arrive {
            lane,
            frame_id,
            sent,
            frame,
            marks,
            fate,
        };
        self.tell(Some(to), frame_id, kind);
    }

    /// Lets a node's programs act and its frames leave.
    fn attend(&mut self, id: NodeId) {
        let now = self.now;
        let Kind::Host(station) = &mut self.nodes[id.0 as usize].kind else {
            return;
        };
        while let Some(event) = station.host.poll_event() {
            for task in &mut station.tasks {
                task.handle_event(now, &mut station.host, &event);
            }
        }
        if !station.tasks.is_empty() {
            self.collect_notes(id);
        }
        self.pull_all(id);
        if self.watch.is_some() {
            self.tell_drops(id);
        }
        self.replan_node(id);
    }

    /// Pulling at one port may give another something to say, so that the host is asked twice.
    fn pull_all(&mut self, id: NodeId) {
        let mut ports = std::mem::take(&mut self.ports_to_ask);
        for _ in 0..2 {
            ports.clear();
            if let Kind::Host(station) = &self.nodes[id.0 as usize].kind {
                station.host.ports_to_ask(self.now, &mut ports);
                // Programs put frames of their own on the first.
                if !station.tasks.is_empty() && !ports.contains(&Port(0)) {
                    ports.push(Port(0));
                }
            }
            for &Port(port) in &ports {
                self.pull(id, usize::from(port));
            }
        }
        self.ports_to_ask = ports;
    }

    fn pull(&mut self, id: NodeId, port: usize) {
        let now = self.now;
        let number = Port(u16::try_from(port).unwrap_or(u16::MAX));
        loop {
            let node = &mut self.nodes[id.0 as usize];
            let (Kind::Host(station), Some(&lane)) = (&mut node.kind, node.ports.get(port)) else {
                return;
            };
            let lane = lane as usize;
            if node.state != State::Running {
                return;
            }
            let direction = &mut self.lanes[lane];
            if !station.host.config().forwarding && !direction.way.has_room() {
                direction.starved = true;
                return;
            }
            if let Some(frame) = station.host.poll_transmit(now, number) {
                self.transmit(id, lane, frame);
                continue;
            }
            // A program's own frames, where it makes such, leave by the first port.
            let made = match port {
                0 => station.tasks.iter_mut().find_map(|t| t.poll_frame(now)),
                _ => None,
            };
            let Some(frame) = made else { return };
            self.transmit(id, lane, frame);
        }
    }

    fn repeat(&mut self, hub: NodeId, but: Port, frame: &Frame) {
        for port in 0..self.nodes[hub.0 as usize].ports.len() {
            if port != usize::from(but.0) {
                let lane = self.nodes[hub.0 as usize].ports[port] as usize;
                self.transmit(hub, lane, frame.clone());
            }
        }
    }

    /// Puts a frame on a wire; a super-frame is cut first.
    fn transmit(&mut self, from: NodeId, lane: usize, frame: Frame) {
        offload::cut(frame, false, |piece| self.put(from, lane, piece));
    }

    fn put(&mut self, from: NodeId, i: usize, frame: Frame) {
        let now = self.now;
        self.nodes[from.0 as usize].counters.sent += 1;
        if let Some(digest) = &mut self.digest {
            digest.sending(now, i, &frame);
        }
        let mut tag = 0;
        let mut seen = None;
        if self.watch.is_some() {
            let lane = Lane::of(i);
            let cause = self.nodes[from.0 as usize].cause;
            seen = Some(frame.clone());
            let sent = Told::Send {
                lane,
                frame: frame.clone(),
            };
            tag = self.tell_caused(Some(from), cause, sent);
        }
        if let Sent::Dropped(reason) = self.lanes[i].way.send(now, frame, tag)
            && self.watch.is_some()
        {
            self.tell_lost_frame(i, tag, seen, reason);
        }
        self.replan_lane(i);
    }

    #[inline]
    fn replan_lane(&mut self, i: usize) {
        let lane = &mut self.lanes[i];
        if let Some(at) = lane.way.poll_timeout()
            && at < lane.planned
        {
            let at = at.max(self.now);
            lane.planned = at;
            let i = u32::try_from(i).unwrap_or(u32::MAX);
            self.queue.plan(at, What::Lane(i));
        }
    }

    fn replan_node(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.0 as usize];
        if node.state != State::Running {
            return;
        }
        let Kind::Host(station) = &node.kind else {
            return;
        };
        let tasks = station.tasks.iter().filter_map(Task::poll_timeout).min();
        if let Some(at) = earliest(station.host.poll_timeout(), tasks)
            && at < node.planned
        {
            let at = at.max(self.now);
            node.planned = at;
            self.queue.plan(at, What::Node(id.0));
        }
    }

    /// Calls `f` with the host at `node`, then lets its programs act and its frames leave. `None`
    /// where the node is no host.
    pub fn with_host<T>(
        &mut self,
        node: NodeId,
        f: impl FnOnce(&mut Host, Instant) -> T,
    ) -> Option<T> {
        let now = self.now;
        let Some(Kind::Host(station)) = self.kind_mut(node) else {
            return None;
        };
        let result = f(&mut station.host, now);
        self.attend(node);
        Some(result)
    }

    fn kind_mut(&mut self, node: NodeId) -> Option<&mut Kind> {
        self.nodes.get_mut(node.0 as usize).map(|n| &mut n.kind)
    }
}

/// A host with the same interfaces, addresses and routes, and nothing else of the old one.
fn reborn(old: &Host, now: Instant, rng: Rng) -> Host {
    let mut host = Host::new(old.config().clone(), rng);
    for interface in old.interfaces() {
        let mut config = interface.config().clone();
        config.addresses = interface.addresses().iter().map(|a| a.cidr).collect();
        host.add_interface(now, config);
    }
    for route in old.routes().iter() {
        // Those of its addresses are there already.
        let _ = host.add_route(*route);
    }
    host
}

/// Breaking and mending. Each is what a line of a fault script, or a test, does to the world.
impl World {
    /// Changes a direction of a wire; frames in flight keep their fate.
    pub fn set_way(&mut self, lane: Lane, config: Impair) {
        let now = self.now;
        self.with_way(lane, |way| way.set_config(now, config));
    }

    /// Calls `f` with a direction of a wire, and plans anew for it.
    pub fn with_way<T>(&mut self, lane: Lane, f: impl FnOnce(&mut Way) -> T) -> Option<T> {
        let i = lane.index();
        let result = f(&mut self.lanes.get_mut(i)?.way);
        if self.watch.is_some() {
            self.tell_lost(i);
        }
        self.replan_lane(i);
        Some(result)
    }

    /// Plugs a wire in or pulls it out: both ends notice at once, and what is on it is lost.
    pub fn set_wire_up(&mut self, wire: WireId, up: bool) {
        let now = self.now;
        for from in 0..2 {
            self.with_way(Lane { wire, from }, |way| way.set_up(now, up));
        }
        let Some(ends) = self.wires.get(wire.0 as usize).map(|w| w.ends) else {
            return;
        };
        for (node, port) in ends {
            self.set_port_up(node, port, up);
        }
    }

    /// Takes the interfaces on a host's port up or down.
    pub fn set_port_up(&mut self, node: NodeId, port: Port, up: bool) {
        self.with_host(node, |host, now| {
            let interfaces = (0..).zip(host.interfaces());
            let on_port = interfaces.filter(|(_, i)| i.port() == port);
            let numbers: Vec<u16> = on_port.map(|(n, _)| n).collect();
            for number in numbers {
                host.set_up(now, number, up);
            }
        });
    }

    /// Holds back what of the frames that arrive by `lane` matches.
    pub fn hold_back(&mut self, lane: Lane, matches: Match) {
        if let Some(direction) = self.lanes.get_mut(lane.index()) {
            let holds = direction.holds.get_or_insert_default();
            holds.matches.push(matches);
        }
    }

    /// No longer holds back what matches; what waited for nothing else arrives now, in order.
    pub fn let_go(&mut self, lane: Lane, matches: &Match) {
        let i = lane.index();
        let Some(direction) = self.lanes.get_mut(i) else {
            return;
        };
        let Some(mut holds) = direction.holds.take() else {
            return;
        };
        holds.matches.retain(|m| m != matches);
        let mut free = Vec::new();
        for mut arrival in std::mem::take(&mut holds.waiting) {
            if holds.matches.iter().any(|m| m.matches(&mut arrival.frame)) {
                holds.waiting.push_back(arrival);
            } else {
                free.push(arrival);
            }
        }
        direction.holds = (!holds.matches.is_empty()).then_some(holds);
        for arrival in free {
            self.arrive(i, arrival);
        }
    }

    /// Frames held back everywhere.
    #[must_use]
    pub fn held_back(&self) -> usize {
        let holds = self.lanes.iter().filter_map(|l| l.holds.as_ref());
        holds.map(|h| h.waiting.len()).sum()
    }

    /// The node neither hears nor acts until it is resumed.
    pub fn pause(&mut self, node: NodeId) {
        if let Some(n) = self.nodes.get_mut(node.0 as usize)
            && n.state == State::Running
        {
            n.state = State::Paused;
            n.planned = Instant::FAR_FUTURE;
        }
    }

    /// The node goes on where it was paused; what it missed in time, it does now.
    pub fn resume(&mut self, node: NodeId) {
        if let Some(n) = self.nodes.get_mut(node.0 as usize)
            && n.state == State::Paused
        {
            n.state = State::Running;
            self.attend(node);
        }
    }

    /// The node is gone, and all it knew.
    pub fn crash(&mut self, node: NodeId) {
        if let Some(n) = self.nodes.get_mut(node.0 as usize) {
            n.state = State::Down;
            n.planned = Instant::FAR_FUTURE;
        }
    }

    /// The node begins again as it was when the world was built.
    ///
    /// # Errors
    /// Where [`keep_births`](Self::keep_births) was not called, or the node is no host.
    pub fn restart(&mut self, node: NodeId) -> Result<(), BuildError> {
        let now = self.now;
        let n = self.nodes.get_mut(node.0 as usize);
        let n = n.ok_or_else(|| BuildError("there is no such node".to_owned()))?;
        let Kind::Host(station) = &mut n.kind else {
            return Err(BuildError(format!("{} is no host", n.name)));
        };
        let Some(birth) = station.birth.clone() else {
            return Err(BuildError(format!("{} was not kept at birth", n.name)));
        };
        let mut past = std::mem::take(&mut station.past);
        past.push(*station.host.stats());
        // Another life draws other numbers, as a machine that boots again does.
        let rng = self.rng.fork(&format!("node/{}/{}", n.name, past.len()));
        **station = Station {
            host: reborn(&birth.host, now, rng),
            tasks: birth.tasks.clone(),
            birth: Some(Arc::clone(&birth)),
            past,
        };
        for task in &mut station.tasks {
            task.begin_again(now);
        }
        n.state = State::Running;
        if let Some(watch) = &mut self.watch {
            let fresh = station.host.stats();
            let told = Box::new((fresh.dropped_in, fresh.dropped_out));
            watch.told.insert(node, told);
        }
        self.attend(node);
        Ok(())
    }

    /// Lets the script act on the world, and plans what follows.
    pub(super) fn with_script(
        &mut self,
        f: impl FnOnce(&mut Run, &mut Self) -> Vec<(Instant, u32)>,
    ) {
        let Some(mut script) = self.script.take() else {
            return;
        };
        for (at, number) in f(&mut script, self) {
            self.queue.plan(at.max(self.now), What::Fault(number));
        }
        self.script = Some(script);
    }

    /// What programs noted is told, and starts the faults that wait for it.
    fn collect_notes(&mut self, id: NodeId) {
        let wanted = self.watch.is_some() || self.script.as_ref().is_some_and(|s| s.waits());
        let Kind::Host(station) = &mut self.nodes[id.0 as usize].kind else {
            return;
        };
        let mut notes = Vec::new();
        for task in &mut station.tasks {
            while let Some((name, text)) = task.poll_note() {
                if wanted {
                    notes.push((task.name().to_owned(), name.to_owned(), text));
                }
            }
        }
        for (program, name, text) in notes {
            let node = Arc::clone(&self.nodes[id.0 as usize].name);
            if let Some(script) = &mut self.script {
                for line in script.noted(&node, &program, &name) {
                    self.queue.plan(self.now, What::Fault(line));
                }
            }
            let kind = Told::Note {
                program,
                name,
                text,
            };
            if self.watch.is_some() {
                let cause = self.nodes[id.0 as usize].cause;
                self.tell_caused(Some(id), cause, kind);
            }
        }
    }
}

/// Telling.
impl World {
    /// Records what happened at a node, which is from now on the cause of what it does.
    fn tell(&mut self, node: Option<NodeId>, cause: Seq, kind: Told) -> Seq {
        let seq = self.tell_caused(node, cause, kind);
        if let Some(node) = node.and_then(|id| self.nodes.get_mut(id.0 as usize)) {
            node.cause = seq;
        }
        seq
    }

    /// Records what happened; gives its number, 0 where nobody looks on.
    fn tell_caused(&mut self, node: Option<NodeId>, cause: Seq, kind: Told) -> Seq {
        let Some(watch) = &mut self.watch else {
            return 0;
        };
        watch.seq += 1;
        let seq = watch.seq;
        watch.events.push_back(Event {
            at: self.now,
            seq,
            node,
            cause,
            kind,
        });
        seq
    }

    /// A line of the fault script took effect or ended.
    pub(super) fn tell_fault(&mut self, line: u32, text: String) {
        self.tell_caused(None, 0, Told::Fault { line, text });
    }

    /// An assertion was judged.
    pub fn tell_verdict(&mut self, text: String, holds: bool) {
        self.tell_caused(None, 0, Told::Verdict { text, holds });
    }

    /// What a wire lost after it had taken it.
    fn tell_lost(&mut self, i: usize) {
        while let Some(lost) = self.lanes[i].way.poll_drop() {
            self.tell_lost_frame(i, lost.tag, Some(lost.frame), lost.reason);
        }
    }

    fn tell_lost_frame(&mut self, i: usize, tag: Seq, frame: Option<Frame>, reason: DropReason) {
        let direction = &self.lanes[i];
        let queued = direction.way.queued();
        let detail = match (reason, queued.limit_packets, queued.limit_bytes) {
            (DropReason::WireQueueFull, Some(limit), _) => {
                format!("queue {}/{limit} packets", queued.packets)
            }
            (DropReason::WireQueueFull, None, Some(limit)) => {
                format!("queue {}/{limit} bytes", queued.bytes)
            }
            (DropReason::WireCodel, ..) => format!("queue {} packets", queued.packets),
            (DropReason::FrameTooLong, ..) => format!("MTU {}", direction.way.config().mtu),
            _ => String::new(),
        };
        let from = direction.from;
        let kind = Told::Drop {
            lane: Some(Lane::of(i)),
            frame_id: tag,
            frame,
            reason,
            detail,
            count: 1,
        };
        self.tell_caused(Some(from), tag, kind);
    }

    /// What a host gave up after it had accepted it shows in its counters only.
    fn tell_drops(&mut self, id: NodeId) {
        let (Some(watch), Some(Kind::Host(station))) = (
            &mut self.watch,
            self.nodes.get(id.0 as usize).map(|n| &n.kind),
        ) else {
            return;
        };
        let stats = station.host.stats();
        let told = watch
            .told
            .entry(id)
            .or_insert_with(|| Box::new(([0; DropReason::COUNT], [0; DropReason::COUNT])));
        if told.0 == stats.dropped_in && told.1 == stats.dropped_out {
            return;
        }
        let mut fresh = Vec::new();
        for &reason in DropReason::ALL {
            let at = reason.index();
            let more_in = stats.dropped_in[at].saturating_sub(told.0[at]);
            let more_out = stats.dropped_out[at].saturating_sub(told.1[at]);
            fresh.extend((more_in > 0).then_some((reason, more_in, "held")));
            fresh.extend((more_out > 0).then_some((reason, more_out, "unsent")));
        }
        **told = (stats.dropped_in, stats.dropped_out);
        let cause = self.nodes[id.0 as usize].cause;
        for (reason, count, detail) in fresh {
            let kind = Told::Drop {
                lane: None,
                frame_id: 0,
                frame: None,
                reason,
                detail: detail.to_owned(),
                count,
            };
            self.tell_caused(Some(id), cause, kind);
        }
    }
}

/// A world is itself a machine, driven in real time where nodes of it live outside: port `i` is the
/// `i`-th of them.
impl Machine for World {
    fn handle_frame(&mut self, now: Instant, port: Port, frame: Frame) -> Fate {
        self.run_until(now);
        let Some(&node) = self.outside.get(usize::from(port.0)) else {
            return Fate::Dropped(DropReason::InterfaceDown);
        };
        let lane = self.node(node).and_then(|n| n.ports.first().copied());
        match lane {
            Some(lane) => {
                self.transmit(node, lane as usize, frame);
                Fate::Forwarded
            }
            None => Fate::Dropped(DropReason::InterfaceDown),
        }
    }

    fn poll_transmit(&mut self, now: Instant, port: Port) -> Option<Frame> {
        self.run_until(now);
        let node = *self.outside.get(usize::from(port.0))?;
        match self.kind_mut(node)? {
            Kind::Outside(queue) => queue.pop_front(),
            _ => None,
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next_at()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.run_until(now);
    }
}
