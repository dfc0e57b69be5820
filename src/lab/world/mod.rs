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
//! Read first: this file's [`World::step`]. Beside it, `building` puts a world together, `breaking` is
//! what faults do to it, `telling` records what happens, `blame` remembers which fault is to blame.
//!
//! Promises: all of it is plain data, and `Clone` forks it, frames in flight and all. Two runs of
//! one seed put the same bytes on every wire at the same instants. A run costs what happens in it:
//! no step walks hosts or wires. For each node and each wire, what came in is accounted for at any
//! moment ([`World::audit`]).
//!
//! A host that does not forward is asked for frames only while the wire's queue has room, as a
//! driver's full ring stops a kernel; a router is asked for all it has, and what finds no room is
//! dropped by the queue, with its reason. A wire never carries more than its MTU: super-frames are
//! cut before they are put on it, each piece when there is room, and each is numbered, lost, traced
//! and digested as a frame of its own.

mod blame;
mod breaking;
mod building;
mod room;
mod tcp_event;
mod tcp_log;
mod telling;

pub use room::ROOM;
pub use tcp_event::{Connection, TcpEvent, TcpTold};

use super::digest::Digest;
use super::fault::Run;
use super::ids::{Lane, NodeId, WireId};
use super::program::{Program, Task};
use super::queue::{Queue, What};
use super::tasks::Tasks;
use super::trace::{Culprit, Event, Kind as Told, Seq};
use room::Room;
use stack::frame::Frame;
use stack::host::{Host, Stats};
use stack::link::impair::{Arrival, Marks, Match, Pieces, Sent, Way};
use stack::link::offload::{self, Cutter};
use stack::machine::{Consumer, Fate, Machine, Port};
use stack::reason::DropReason;
use stack::rng::Rng;
use stack::time::{Duration, Instant, earliest, nanos};
use stack::transport::tcp::Why;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use tcp_event::TcpLog;

/// A network in virtual time.
#[derive(Clone, Debug)]
pub struct World {
    rng: Rng,
    now: Instant,
    steps: u64,
    arrivals: u64,
    queue: Queue,
    room: Room,
    nodes: Vec<Node>,
    lanes: Vec<Direction>,
    wires: Vec<Wire>,
    /// Whose fragments are, on all wires.
    pieces: Pieces,
    /// Who is out there: the nodes and ports of theirs behind the world's own ports.
    outside: Vec<(NodeId, Port)>,
    /// Room for a list that is made again and again.
    ports_to_ask: Vec<Port>,
    node_names: BTreeMap<Arc<str>, NodeId>,
    wire_names: BTreeMap<Arc<str>, WireId>,
    script: Option<Box<Run>>,
    quotas: Quotas,
    digest: Option<Box<Digest>>,
    tcp_log: Option<Box<TcpLog>>,
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
    /// What there was no room for yet of a super-frame that the sender has handed over.
    rest: Option<Box<Cutter>>,
    /// Why the super-frame is sent, where it is a retransmission or a probe.
    why: Option<Why>,
    /// How long frames took.
    delays: Delays,
    /// What shall not arrive for now, and what of it waits.
    holds: Option<Box<Holds>>,
}

/// How long frames took from their sending to their arrival, and how much of that they waited for
/// others and for their own bits: all but the propagation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// Frames.
    pub count: u64,
    /// The longest, in nanoseconds.
    pub max: u64,
    /// All together.
    pub sum: u128,
    /// The longest wait.
    pub wait_max: u64,
    /// All waits together.
    pub wait_sum: u128,
}

impl Delays {
    fn add(&mut self, took: Duration, travel: Duration) {
        let (took, wait) = (nanos(took), nanos(took.saturating_sub(travel)));
        self.count += 1;
        self.max = self.max.max(took);
        self.sum += u128::from(took);
        self.wait_max = self.wait_max.max(wait);
        self.wait_sum += u128::from(wait);
    }
}

/// Packets held back at the end of a wire.
#[derive(Clone, Debug, Default)]
struct Holds {
    matches: Vec<Match>,
    waiting: VecDeque<Arrival>,
    /// Bytes of those that wait.
    bytes: u64,
}

impl Holds {
    fn push(&mut self, arrival: Arrival) {
        self.bytes += arrival.frame.len() as u64;
        self.waiting.push_back(arrival);
    }
}

impl Direction {
    /// Frames that have come to its end and are held back there.
    fn held_back(&self) -> usize {
        self.holds.as_ref().map_or(0, |holds| holds.waiting.len())
    }
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
    /// What it did when its deadline was planned.
    planned_by: Seq,
    counters: Counters,
}

#[derive(Clone, Debug)]
enum Kind {
    Host(Box<Station>),
    /// Repeats what comes to all other ports.
    Hub,
    /// Somebody out there: frames for it are handed out, by the ports where somebody takes them.
    Outside(BTreeMap<Port, VecDeque<Frame>>),
}

/// A host with its programs.
#[derive(Clone, Debug)]
struct Station {
    host: Host,
    tasks: Tasks,
    /// As it was before its first event, where it may have to begin again.
    birth: Option<Arc<Self>>,
    /// Counters of its former lives.
    past: Vec<Stats>,
}

/// What counts packets on several wires, by the rules that count.
type Quotas = BTreeMap<u64, Arc<Quota>>;

/// Rules that count together, and where they lie.
#[derive(Clone, Debug, Default)]
struct Quota {
    rules: Vec<u64>,
    lanes: Vec<Lane>,
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
    /// Frames a hub took for repetition, that a program took before its host could, or that were
    /// handed out to somebody outside.
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
    /// Which fault is to blame for what is lost.
    blame: Blame,
}

/// Faults, by what they cost.
#[derive(Clone, Debug, Default)]
struct Blame {
    /// The fault that is being carried out.
    now: Culprit,
    ways: BTreeMap<(Lane, DropReason), Culprit>,
    nodes: BTreeMap<(NodeId, DropReason), Culprit>,
    /// By the id of a rule that drops.
    rules: BTreeMap<u64, Culprit>,
    /// The notes that what is planned under a number waited for.
    notes: BTreeMap<u32, Seq>,
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
        if self.room.is_gone() {
            return None;
        }
        self.queue.next_at()
    }

    /// Why nothing happens any more, where its wires hold too much ([`ROOM`]) or time stands still.
    #[must_use]
    pub fn given_up(&self) -> Option<&str> {
        self.room.gone()
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

    /// How long frames took in one direction of a wire.
    #[must_use]
    pub fn delays(&self, lane: Lane) -> Option<Delays> {
        self.lanes.get(lane.index()).map(|d| d.delays)
    }

    /// Frames that have come to the end of a direction and are held back there, by a script.
    #[must_use]
    pub fn held_back_on(&self, lane: Lane) -> u64 {
        let direction = self.lanes.get(lane.index());
        direction.map_or(0, |d| d.held_back() as u64)
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
    /// frames in = delivered + forwarded + held or queued + Σ drops by reason; and between them, what
    /// wires delivered and nobody holds back has reached the node at their end, and what a node sent
    /// has come into its wires.
    ///
    /// # Errors
    /// Names the first node or wire where it is not, with its counters; or says that the run was
    /// given up because its wires hold too much ([`ROOM`]).
    pub fn audit(&self) -> Result<(), String> {
        self.room.audit()?;
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
        self.audit_seams()
    }

    /// What leaves the one comes into the other: nodes' books against those of their wires.
    fn audit_seams(&self) -> Result<(), String> {
        let mut books = vec![(0, 0); self.nodes.len()];
        for lane in &self.lanes {
            let stats = lane.way.stats();
            if let Some((came, _)) = books.get_mut(lane.to.0 as usize) {
                *came += stats.delivered.saturating_sub(lane.held_back() as u64);
            }
            if let Some((_, left)) = books.get_mut(lane.from.0 as usize) {
                *left += stats.frames_in;
            }
        }
        for (node, (came, left)) in self.nodes.iter().zip(books) {
            let Counters { arrived, sent, .. } = node.counters;
            if arrived != came {
                let name = &node.name;
                let what = "by its wires' count";
                return Err(format!("node {name}: {arrived} arrived, {came} {what}"));
            }
            if sent != left {
                let name = &node.name;
                return Err(format!("node {name}: sent {sent}, its wires got {left}"));
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

    /// What a program of this name measured, in all the host's lives together: times and counts of
    /// each, of what stands at an end (a window, a rate) the last. See [`Program::measure`].
    #[must_use]
    pub fn measure_program(&self, name: &str, metric: &str) -> Option<u64> {
        self.task(name)?.measure(metric)
    }

    /// Whether its quantiles are what they say, and not only to 3 %
    /// ([`EXACT`](crate::endpoint::measure::EXACT)).
    #[must_use]
    pub fn measures_exactly(&self, name: &str) -> bool {
        let trips = self.task(name).and_then(Task::round_trips);
        trips.is_none_or(|trips| trips.is_exact())
    }

    fn task(&self, name: &str) -> Option<&Task> {
        match &self.kind {
            Kind::Host(station) => station.tasks.as_slice().iter().find(|t| t.name() == name),
            _ => None,
        }
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

    /// The largest that a counter was in any of the host's lives.
    #[must_use]
    pub fn most(&self, counter: impl Fn(&Stats) -> u64) -> u64 {
        match &self.kind {
            Kind::Host(station) => {
                let lives = station.past.iter().chain([station.host.stats()]);
                lives.map(counter).max().unwrap_or_default()
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
                passed + lives().map(|s| s.frames_in).sum::<u64>()
            }
            Kind::Hub => {
                let others = self.ports.len().saturating_sub(1) as u64;
                if self.counters.sent != passed * others {
                    return Err(format!("{passed} to repeat, {:?}", self.counters));
                }
                passed
            }
            Kind::Outside(_) => passed,
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
    /// One more frame was put on a wire.
    #[inline]
    fn count_room(&mut self) {
        if !self.room.count() {
            return;
        }
        let lanes = self.lanes.iter().map(|lane| {
            let queued = lane.way.queued();
            let (held, bytes) = match &lane.holds {
                Some(holds) => (holds.waiting.len(), holds.bytes),
                None => (0, 0),
            };
            match queued.packets + queued.in_flight {
                0 => (held, bytes),
                here => (here + held, lane.way.held_bytes() + bytes),
            }
        });
        let wires = &self.wires;
        self.room.look_at(self.now, lanes, |lane| {
            let wire = wires.get(Lane::of(lane).wire.0 as usize);
            wire.map_or("?", |wire| &wire.name)
        });
    }
}

impl World {
    /// Takes one event; `false` where there is none. Nothing else moves virtual time.
    pub fn step(&mut self) -> bool {
        self.step_until(Instant::FAR_FUTURE)
    }

    /// Takes one event that happens before or at `end`; `false` where there is none. That
    /// [`next_at`](Self::next_at) is before `end` does not say as much: a plan may have changed.
    pub fn step_until(&mut self, end: Instant) -> bool {
        while !self.room.is_gone()
            && self.queue.next_at().is_some_and(|at| at <= end)
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
            if self.room.is_look_due(self.steps) {
                self.look_at_clock(what);
            }
            return true;
        }
        false
    }

    /// Ends the run where events follow each other and time does not.
    #[cold]
    fn look_at_clock(&mut self, what: What) {
        let id = match what {
            What::Lane(i) => self.lanes.get(i as usize).map(|lane| lane.to),
            What::Node(i) => Some(NodeId(i)),
            What::Fault(_) | What::Mark => None,
        };
        let node = id.and_then(|id| self.nodes.get(id.0 as usize));
        self.room
            .look_at_clock(self.now, || node.map_or("?", Node::name));
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
            self.pull_rest(i);
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
            holds.push(arrival);
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
            let cause = self.nodes[id.0 as usize].planned_by;
            self.tell(Some(id), cause, Told::Timer);
        }
        let Kind::Host(station) = &mut self.nodes[id.0 as usize].kind else {
            return;
        };
        if station.host.poll_timeout().is_some_and(|at| at <= now) {
            station.host.handle_timeout(now);
        }
        station.tasks.handle_timeout(now, &mut station.host);
        self.attend(id);
    }

    /// A frame reaches a node.
    fn arrive(&mut self, i: usize, arrival: Arrival) {
        let now = self.now;
        self.arrivals += 1;
        let lane = &mut self.lanes[i];
        let travel = lane.way.config().delay;
        lane.delays.add(now.since(arrival.sent), travel);
        let (to, port) = (lane.to, lane.port);
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
            (State::Running, Kind::Host(station)) => {
                match station.tasks.handle_frame(now, &frame) {
                    true => {
                        node.counters.passed += 1;
                        Fate::Delivered(Consumer::Raw)
                    }
                    false => station.host.handle_frame(now, port, frame),
                }
            }
            (State::Running, Kind::Hub) => {
                node.counters.passed += 1;
                self.note_arrival(i, (tag, sent, marks), seen, Fate::Forwarded);
                self.repeat(to, port, &frame);
                return;
            }
            (State::Running, Kind::Outside(queues)) => {
                node.counters.passed += 1;
                match queues.get_mut(&port) {
                    Some(queue) => {
                        queue.push_back(frame);
                        Fate::Forwarded
                    }
                    None => Fate::Dropped(DropReason::InterfaceDown),
                }
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
        let refused = matches!(fate, Fate::Dropped(_)).then(|| frame.clone());
        let kind = Told::Arrive {
            lane,
            frame_id,
            sent,
            frame,
            marks,
            fate,
        };
        let arrived = self.tell(Some(to), frame_id, kind);
        if let Fate::Dropped(reason) = fate {
            let fault = self.fault_at(to, reason);
            let kind = Told::Drop {
                lane: None,
                frame_id,
                frame: refused,
                reason,
                detail: blame::detail(String::new(), fault),
                count: 1,
            };
            let cause = fault.map_or(arrived, |fault| fault.seq);
            self.tell_caused(Some(to), cause, kind);
        }
    }

    /// Lets a node's programs act and its frames leave.
    fn attend(&mut self, id: NodeId) {
        let now = self.now;
        let Kind::Host(station) = &mut self.nodes[id.0 as usize].kind else {
            return;
        };
        let has_tasks = !station.tasks.is_empty();
        let mut views = Vec::new();
        while let Some(event) = station.host.poll_event() {
            if self.watch.is_some() {
                views.extend(telling::view(&event));
            }
            station.tasks.handle_event(now, &mut station.host, &event);
        }
        for view in views {
            let cause = self.nodes[id.0 as usize].cause;
            self.tell_caused(Some(id), cause, Told::State { view });
        }
        if has_tasks {
            self.collect_notes(id);
        }
        self.pull_all(id);
        if self.tcp_log.is_some() {
            self.collect_tcp_log(id);
        }
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

    /// Goes on with the super-frame that has begun to leave, if there is one: its host knows no more
    /// of it.
    fn pull_rest(&mut self, i: usize) {
        let lane = &self.lanes[i];
        if lane.rest.is_none() {
            return;
        }
        let id = lane.from;
        let ports = &self.nodes[id.0 as usize].ports;
        if let Some(port) = ports.iter().position(|&lane| lane as usize == i) {
            self.pull(id, port);
        }
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
                return self.pull_due(id, lane, number);
            }
            if let Some(rest) = &mut direction.rest {
                let why = direction.why;
                match rest.next_piece() {
                    Some(piece) => self.put(id, lane, piece, why),
                    None => direction.rest = None,
                }
                continue;
            }
            if let Some(frame) = station.host.poll_transmit(now, number) {
                let why = station.host.transmit_note();
                self.begin(id, lane, frame, why);
                continue;
            }
            // A program's own frames, where it makes such, leave by the first port.
            let made = match port {
                0 => station.tasks.poll_frame(now),
                _ => None,
            };
            let Some(frame) = made else { return };
            self.transmit(id, lane, frame);
        }
    }

    /// What cannot wait for room, and is lost where there is none: what is due of the host's own
    /// machines, and frames that programs make, which know of no queue.
    fn pull_due(&mut self, id: NodeId, lane: usize, port: Port) {
        let now = self.now;
        loop {
            let Kind::Host(station) = &mut self.nodes[id.0 as usize].kind else {
                return;
            };
            let is_due = station.host.poll_timeout().is_some_and(|at| at <= now);
            let urgent = match is_due {
                true => station.host.poll_urgent(now, port),
                false => None,
            };
            let made = || (port == Port(0)).then(|| station.tasks.poll_frame(now))?;
            let Some(frame) = urgent.or_else(made) else {
                return;
            };
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

    /// Puts a host's frame on a wire; of a super-frame, as much of it as there is room for.
    fn begin(&mut self, from: NodeId, lane: usize, frame: Frame, why: Option<Why>) {
        if frame.offload.gso.is_none() {
            return self.put(from, lane, frame, why);
        }
        match Cutter::new(frame, false) {
            Ok(cutter) => {
                let direction = &mut self.lanes[lane];
                direction.rest = Some(Box::new(cutter));
                direction.why = why;
            }
            Err(whole) => self.transmit(from, lane, *whole),
        }
    }

    /// Puts a frame on a wire; a super-frame is cut first.
    fn transmit(&mut self, from: NodeId, lane: usize, frame: Frame) {
        offload::cut(frame, false, |piece| self.put(from, lane, piece, None));
    }

    fn put(&mut self, from: NodeId, i: usize, frame: Frame, why: Option<Why>) {
        let now = self.now;
        self.count_room();
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
                why,
            };
            tag = self.tell_caused(Some(from), cause, sent);
        }
        let way = &mut self.lanes[i].way;
        if let Sent::Dropped(reason) = way.send_among(now, frame, tag, &mut self.pieces)
            && self.watch.is_some()
        {
            self.tell_lost_frame(i, tag, seen, reason);
        }
        if !self.quotas.is_empty() {
            self.count_quota(i);
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
        let tasks = station.tasks.poll_timeout();
        if let Some(at) = earliest(station.host.poll_timeout(), tasks)
            && at < node.planned
        {
            let at = at.max(self.now);
            node.planned = at;
            node.planned_by = node.cause;
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

/// A world is itself a machine, driven in real time where nodes of it live outside: port `i` is the
/// `i`-th that was [handed out](World::hand_out).
impl Machine for World {
    fn handle_frame(&mut self, now: Instant, port: Port, frame: Frame) -> Fate {
        self.run_until(now);
        let Some(&(node, port)) = self.outside.get(usize::from(port.0)) else {
            return Fate::Dropped(DropReason::InterfaceDown);
        };
        let lanes = self.node(node).map(|n| &n.ports);
        let lane = lanes.and_then(|l| l.get(usize::from(port.0)).copied());
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
        let (node, port) = *self.outside.get(usize::from(port.0))?;
        match self.kind_mut(node)? {
            Kind::Outside(queues) => queues.get_mut(&port)?.pop_front(),
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

#[cfg(test)]
mod tests {
    use super::super::tests::{MS, at, pair, slow};
    use super::*;
    use crate::lab::build::Options;
    use crate::lab::topology::{Client, Topology};
    use stack::frame::{Checksum, Gso, GsoKind};
    use stack::link::impair::Queue;

    /// 60 datagrams of 1000 bytes from `a` to `b`, as one frame.
    fn super_frame() -> Frame {
        let mut bytes = vec![0; 42 + 60_000];
        bytes[..12].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
        bytes[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, 17]);
        bytes[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        bytes[34..38].copy_from_slice(&[0, 9, 0, 9]);
        let mut frame = Frame::copy_from(&bytes);
        frame.offload.gso = Some(Gso {
            kind: GsoKind::Udp,
            size: 1000,
        });
        frame.offload.checksum = Checksum::Partial {
            start: 34,
            offset: 6,
        };
        frame
    }

    fn narrow() -> World {
        let ways = slow(MS).map(|mut way| {
            way.rate = Some(10_000_000);
            way.queue = Queue::DropTail {
                packets: Some(4),
                bytes: None,
                mark: None,
            };
            way
        });
        let mut world = pair(1, ways);
        world.keep_digest();
        world.run_until(at(100));
        world
    }

    #[test]
    fn a_super_frame_leaves_as_the_wire_takes_it() {
        let mut world = narrow();
        let (a, b) = (world.find("a").unwrap(), world.find("b").unwrap());
        let before = world.node(b).unwrap().counters().arrived;
        world.begin(a, 0, super_frame(), None);
        world.pull_rest(0);
        assert!(world.lanes[0].rest.is_some() && world.lanes[0].starved);
        let mut fork = world.clone();
        world.run_until(at(900));
        fork.run_until(at(900));
        assert_eq!(world.digest(), fork.digest());
        assert!(world.lanes[0].rest.is_none());
        let arrived = world.node(b).unwrap().counters().arrived - before;
        let pings = 10;
        assert!((60..=60 + pings).contains(&arrived), "{arrived}");
        assert_eq!(world.lanes[0].way.stats().dropped_in_all(), 0);
        world.audit().unwrap();
    }

    /// Books that do not agree are found, whoever's they are.
    #[test]
    fn an_audit_looks_from_both_sides() {
        type Break = fn(&mut World, usize);
        let hub = || {
            let topology = Topology::new().host("a").hub("h").host("b").link("a", "h");
            let topology = topology.link("h", "b").client(Client::ping("p", "a", "b"));
            let topology = topology.faults("at 1500ms clog a -> b").unwrap();
            let mut world = topology.build(&Options::default()).unwrap();
            world.run_until(at(5100));
            world.audit().unwrap();
            world
        };
        let lane = |world: &World| {
            let held = world.lanes.iter().position(|l| l.held_back() > 0);
            held.unwrap()
        };
        let breaks: [(&str, Break); 6] = [
            ("node h: ", |w, _| {
                let at = &mut w.nodes[1].counters;
                at.arrived += 1;
                at.passed += 1;
                at.sent += 1;
            }),
            ("node h: ", |w, _| w.nodes[1].counters.sent += 1),
            ("node a: sent", |w, _| w.nodes[0].counters.sent -= 1),
            ("node h: ", |w, lane| {
                w.lanes[lane].holds.as_mut().unwrap().waiting.pop_front();
            }),
            ("node h: ", |w, lane| w.lanes[lane].holds = None),
            ("node b: ", |w, _| w.nodes[2].counters.arrived += 1),
        ];
        for (want, broken) in breaks {
            let mut world = hub();
            let lane = lane(&world);
            broken(&mut world, lane);
            let why = world.audit().unwrap_err();
            assert!(why.starts_with(want), "{why}, not {want}");
        }
    }

    #[test]
    fn what_has_not_left_does_not_outlive_its_host_or_wire() {
        for how in 0..3 {
            let mut world = narrow();
            let (a, b) = (world.find("a").unwrap(), world.find("b").unwrap());
            let before = world.node(b).unwrap().counters().arrived;
            world.begin(a, 0, super_frame(), None);
            world.pull_rest(0);
            match how {
                0 => world.crash(a),
                1 => world.set_wire_up(WireId(0), false),
                _ => {
                    // Paused, it only waits.
                    world.pause(a);
                    world.run_until(at(300));
                    assert!(world.lanes[0].rest.is_some());
                    world.resume(a);
                }
            }
            world.run_until(at(900));
            assert!(world.lanes[0].rest.is_none());
            let arrived = world.node(b).unwrap().counters().arrived - before;
            assert_eq!(arrived >= 60, how == 2, "{arrived}");
            world.audit().unwrap();
        }
    }
}
