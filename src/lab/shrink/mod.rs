//! A failing run made small: what the failure does not need goes, until nothing more can.
//!
//! ```text
//!   Topology, seed --> fails? --> without some fault lines, clients, nodes, wires, settings,
//!                        ^        with fewer and smaller packets, and an earlier end --+
//!                        +---- the same thing fails still: go on from there <----------+
//!                                     |
//!                  small enough?  no: sooner, another seed, one packet for a share of them,
//!                        | yes        a wire for two -- each is told -- and leave out again
//!                        v
//!                     Shrunk: seed, script, what was changed, to_toml
//! ```
//!
//! Read first: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE
//! Transactions on Software Engineering 28 (2), 2002: what `Search::reduce` does to each list.
//!
//! Promises: the same topology, seed and check give the same result. As long as leaving out is
//! enough, nothing else is done: the seed is kept, and nodes keep the addresses that they had, so
//! that what is decided about the packets that are left stays as it was. What is changed beyond
//! that is told ([`Shrunk::changed`]), and never does worse to a packet than the original did: no
//! loss becomes likelier, nothing goes wrong for longer. Frames are dropped for reasons only for
//! which the original run dropped some: what has no route any more fails of something else. It is
//! cut off early only where it fails in all the time of the original as well, and where it would have
//! held by then without its faults (or, where it never holds, nothing is measured after that any more):
//! what had no time to succeed fails of its end; nor is it before each fault line that is left has
//! begun. The fault lines that are left make the original fail
//! as well, without the others; where only others get small, that is told. Each
//! candidate is built as it would be read back from its own TOML, so what is printed fails as well.
//! Where the run holds without its faults (or else without whatever its wires do, which is also
//! asked where it does not get small otherwise), so does every smaller one: five answers of no requests are too few, but that is no explanation of why five of
//! ten were lost.
//!
//! Left out: other values than smaller ones, and more than a few thousand other seeds.

mod changed;
mod smaller;

use super::fault::{Change, Fault, Party, Share, When};
use super::run::Outcome;
use super::topology::{Client, ClientKind, Kind, Topology, TopologyError};
use super::world::World;
use super::{assertion::Metrics, build::Options, plan::plan};
use smaller::{Control, PLAIN, join, keep_nodes, keep_only, keep_wires, without};
use stack::link::impair::{Chance, Loss};
use stack::reason::DropReason;
use stack::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

/// How far a shrinking is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Runs tried.
    pub runs: u64,
    /// What is being left out: `fault lines`, `clients`, ..
    pub stage: &'static str,
    /// Fault lines left.
    pub faults: usize,
    /// Clients left.
    pub clients: usize,
    /// Nodes left.
    pub nodes: usize,
    /// Frames that the smallest failing run so far put on wires.
    pub packets: u64,
}

/// The smallest failing run that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Shrunk {
    /// Its seed.
    pub seed: u64,
    /// The network, with what is left of the script; `to_toml` prints it and keeps the seed.
    pub topology: Topology,
    /// What does not hold, with the numbers.
    pub failure: String,
    /// Frames that nodes put on wires.
    pub packets: u64,
    /// Runs tried.
    pub runs: u64,
    /// What is not as it was, besides what was left out, a line each.
    pub changed: Vec<String>,
    /// It was stopped: it may be made smaller yet.
    pub stopped: bool,
}

impl fmt::Display for Shrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            topology,
            failure,
            packets,
            runs,
            changed,
            stopped,
        } = self;
        writeln!(f, "# {failure}")?;
        let early = if *stopped { ", stopped early" } else { "" };
        writeln!(
            f,
            "# seed {seed}, {packets} packets, after {runs} runs{early}"
        )?;
        let mut changed = changed.iter();
        changed.try_for_each(|change| writeln!(f, "# changed: {change}"))?;
        f.write_str(&topology.to_toml())
    }
}

/// Why nothing was shrunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShrinkError {
    /// The topology cannot be built.
    Topology(TopologyError),
    /// Everything holds.
    Holds,
    /// It was stopped before it was known whether anything fails.
    Stopped,
}

impl fmt::Display for ShrinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topology(e) => e.fmt(f),
            Self::Holds => f.write_str("everything holds: there is nothing to shrink"),
            Self::Stopped => f.write_str("stopped before the first run was over"),
        }
    }
}

impl std::error::Error for ShrinkError {}

/// What a test expects of a finished run besides its assertions, and what it says where not.
pub type Check<'a> = dyn FnMut(&World, &Outcome) -> Result<(), String> + 'a;

/// Shrinks a run while the first assertion that fails in it fails still (or, where all hold, while
/// something is not accounted for).
///
/// # Errors
/// Where it cannot be built, or nothing fails.
///
/// ```
/// use tapline::lab::shrink::shrink;
/// use tapline::lab::topology::{Client, Topology};
/// let topology = Topology::new().host("a").host("b").host("c").link("a", "b").link("b", "c")
///     .client(Client::ping("p", "a", "b").count(9))
///     .client(Client::ping("q", "c", "b").count(9))
///     .faults("at 1s down b-c for 1s\nat 2s down a-b for 10ms").unwrap()
///     .assert("p.loss == 0%").unwrap();
/// let shrunk = shrink(&topology, 1, &mut |_| {}).unwrap();
/// assert_eq!(shrunk.topology.faults.lines.len(), 1);
/// assert_eq!(shrunk.topology.nodes.len(), 2);
/// assert_eq!(shrunk.topology.clients.len(), 1);
/// ```
pub fn shrink(
    topology: &Topology,
    seed: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Shrunk, ShrinkError> {
    shrink_while(topology, seed, &mut always(progress))
}

/// As [`shrink`], while `go_on` says to; stopped, it gives the smallest so far.
///
/// # Errors
/// As [`shrink`]'s.
pub fn shrink_while(
    topology: &Topology,
    seed: u64,
    go_on: &mut GoOn<'_>,
) -> Result<Shrunk, ShrinkError> {
    let outcome = first_run(topology, seed, go_on)?;
    let mut alone = topology.clone();
    let broken = outcome.judged.iter().position(|j| !j.holds);
    let asserted = broken.and_then(|i| topology.asserts.get(i)).cloned();
    let target = match (asserted, outcome.unaccounted) {
        (Some(assertion), _) => {
            alone.asserts = vec![assertion];
            Target::Assertion { measured: true }
        }
        (None, Some(_)) => {
            alone.asserts.clear();
            Target::Audit
        }
        (None, None) => return Err(ShrinkError::Holds),
    };
    Search::begin(alone, seed, target, go_on)?.run()
}

/// What is to be shrunk, run once as it is.
fn first_run(topology: &Topology, seed: u64, go_on: &mut GoOn<'_>) -> Result<Outcome, ShrinkError> {
    let options = Options {
        seed,
        ..Options::default()
    };
    let mut world = topology.build(&options).map_err(ShrinkError::Topology)?;
    let progress = Progress {
        runs: 1,
        stage: FIRST,
        faults: topology.faults.lines.len(),
        clients: topology.clients.len(),
        nodes: topology.nodes.len(),
        packets: 0,
    };
    let end = topology.end();
    while world.step_until(end) {
        if world.steps().is_multiple_of(LOOK) && !go_on(&progress) {
            return Err(ShrinkError::Stopped);
        }
    }
    world.run_until(end);
    Ok(topology.judge(seed, &mut world))
}

/// Shrinks a run while `check` says that it fails.
///
/// # Errors
/// Where it cannot be built, or nothing fails.
pub fn shrink_by(
    topology: &Topology,
    seed: u64,
    check: &mut Check<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Shrunk, ShrinkError> {
    let mut go_on = always(progress);
    Search::begin(topology.clone(), seed, Target::Check(check), &mut go_on)?.run()
}

/// Is told after each run, and in the middle of long ones, how far it is; false stops it.
pub type GoOn<'a> = dyn FnMut(&Progress) -> bool + 'a;

fn always<'a>(progress: &'a mut dyn FnMut(Progress)) -> impl FnMut(&Progress) -> bool + 'a {
    move |now| {
        progress(now.clone());
        true
    }
}

/// What must fail.
enum Target<'a> {
    /// The only assertion that is left.
    Assertion {
        /// There was something to measure.
        measured: bool,
    },
    /// That all is accounted for.
    Audit,
    /// Something that a test asks.
    Check(&'a mut Check<'a>),
}

impl Target<'_> {
    /// Whether it may fail for want of time: what is not accounted for is so at once.
    const fn takes_time(&self) -> bool {
        !matches!(self, Self::Audit)
    }
}

/// What a failing run came to.
#[derive(Clone)]
struct Failed {
    what: String,
    packets: u64,
    steps: u64,
    /// For which reasons frames were dropped.
    reasons: BTreeSet<DropReason>,
}

struct Search<'a> {
    target: Target<'a>,
    control: Control,
    /// As it was asked for, to tell what is changed.
    original: Topology,
    best: Topology,
    failed: Failed,
    /// For which reasons the original run drops frames.
    reasons: Option<BTreeSet<DropReason>>,
    runs: u64,
    /// More steps than this and a candidate is given up: it may never end.
    most_steps: u64,
    /// How many seeds a candidate with fewer parts is tried with.
    seeds: u64,
    /// Many seeds were tried: that is done once.
    tried_many: bool,
    /// The clients that know a way to whom they ask.
    ways: Option<BTreeSet<String>>,
    /// Only fault lines that make the original fail are kept, without the others.
    strict: bool,
    /// Whether the original fails with only these lines.
    blamed: BTreeMap<Vec<u32>, bool>,
    stage: &'static str,
    go_on: &'a mut GoOn<'a>,
    stopped: bool,
}

/// Rounds at most; each begins only where the one before found something.
const ROUNDS: u32 = 8;
/// Seeds tried, the present one first, where leaving out is not enough.
const SEEDS: u64 = 16;
/// Seeds tried for a way with fewer nodes where that is not enough either.
const MANY_SEEDS: u64 = 256;
/// Seeds tried for a single packet.
const MORE_SEEDS: u64 = 2048;
/// Packets that one reads without a sigh.
const ENOUGH: u64 = 20;
/// And fault lines.
const FEW: usize = 3;
/// Bytes of a datagram in a connection's place: a wire of usual MTU cuts the one, and nearly all
/// pass the other whole.
const LARGE: u32 = 2000;
const SMALL: u32 = 400;
/// Steps of a run between two questions whether to go on: at a hub of a thousand each may take long.
const LOOK: u64 = 1 << 10;
/// The stage before anything is left out.
const FIRST: &str = "the run as it is";

impl<'a> Search<'a> {
    fn begin(
        mut topology: Topology,
        seed: u64,
        target: Target<'a>,
        go_on: &'a mut GoOn<'a>,
    ) -> Result<Self, ShrinkError> {
        topology.seed = Some(seed);
        topology.until = Some(topology.end() - Instant::ZERO);
        topology
            .build(&Options::default())
            .map_err(ShrinkError::Topology)?;
        let mut search = Self {
            target,
            control: Control::None,
            original: topology.clone(),
            best: topology.clone(),
            failed: Failed {
                what: String::new(),
                packets: 0,
                steps: 0,
                reasons: BTreeSet::new(),
            },
            reasons: None,
            runs: 0,
            most_steps: u64::MAX,
            seeds: 1,
            tried_many: false,
            ways: None,
            strict: true,
            blamed: BTreeMap::new(),
            stage: FIRST,
            go_on,
            stopped: false,
        };
        if let Target::Assertion { measured } = &mut search.target {
            *measured = false;
        }
        let first = search.failure(&topology);
        let (failed, measured) = match (first, search.stopped) {
            (Some(first), _) => first,
            (None, true) => return Err(ShrinkError::Stopped),
            (None, false) => return Err(ShrinkError::Holds),
        };
        if let Target::Assertion { measured: must } = &mut search.target {
            *must = measured;
        }
        search.most_steps = failed.steps.saturating_mul(4).saturating_add(10_000);
        search.reasons = Some(failed.reasons.clone());
        search.failed = failed;
        for control in [Control::Faults, Control::Wires] {
            if !search.fails_without(&topology, control) {
                search.control = control;
                break;
            }
        }
        Ok(search)
    }

    fn run(mut self) -> Result<Shrunk, ShrinkError> {
        self.try_with(|t| t.asserts.truncate(1));
        self.try_with(|t| t.asserts.clear());
        self.pin();
        self.leave_out();
        self.change();
        if !self.is_small() && !self.stopped {
            self.strict = false;
            self.leave_out();
            self.change();
        }
        if self.blames_wires() {
            self.leave_out();
            self.change();
        }
        self.restore();
        self.stage = "addresses";
        self.unpin();
        self.best.faults.renumber();
        let mut changed = changed::changes(&self.original, &self.best);
        if !self.stopped && !self.is_to_blame(&self.best.clone()) {
            changed.push("the original holds with these fault lines alone".to_owned());
        }
        Ok(Shrunk {
            seed: self.best.seed.unwrap_or_default(),
            changed,
            topology: self.best,
            failure: self.failed.what,
            packets: self.failed.packets,
            runs: self.runs,
            stopped: self.stopped,
        })
    }

    /// Whether one can look through it.
    fn is_small(&self) -> bool {
        self.failed.packets <= ENOUGH && self.best.faults.lines.len() <= FEW
    }

    /// Changes the less harmless the later, and only as long as it is not small.
    fn change(&mut self) {
        let changes: [fn(&mut Self); 6] = [
            Self::sooner,
            Self::another_seed,
            Self::plain_faults,
            Self::straighten,
            Self::one_datagram,
            Self::many_seeds,
        ];
        for _ in 0..ROUNDS {
            let before = self.best.clone();
            for change in changes {
                if self.is_small() || self.stopped {
                    return;
                }
                let before = self.best.clone();
                change(self);
                if self.best != before {
                    self.leave_out();
                }
            }
            if self.best == before {
                return;
            }
        }
    }

    /// Where it is not small, and a fault was needed only because it stirred what bad wires did to
    /// others: the wires may be what it fails of.
    fn blames_wires(&mut self) -> bool {
        let may = self.control == Control::Faults && !self.is_small() && !self.stopped;
        if !may || self.fails_without(&self.best.clone(), Control::Wires) {
            return false;
        }
        self.control = Control::Wires;
        self.tried_many = false;
        true
    }

    /// Undoes what turned out not to be needed: each change alone, as long as it is no larger then.
    fn restore(&mut self) {
        self.stage = "changes";
        let original = self.original.clone();
        self.try_restored(|t| t.seed = original.seed);
        for line in 0..self.best.faults.lines.len() {
            let number = self.best.faults.lines[line].line;
            let mut were = original.faults.lines.iter();
            let Some(was) = were.find(|l| l.line == number).cloned() else {
                continue;
            };
            self.try_restored(|t| t.faults.lines[line].when = was.when.clone());
            self.try_restored(|t| t.faults.lines[line].fault = was.fault.clone());
        }
        for client in 0..self.best.clients.len() {
            let name = &self.best.clients[client].name;
            let was = original.clients.iter().find(|c| c.name == *name);
            let Some(was) = was.cloned() else { continue };
            self.try_restored(|t| t.clients[client].start = was.start);
            self.try_restored(|t| t.clients[client].to = was.to.clone());
        }
    }

    fn try_restored(&mut self, change: impl FnOnce(&mut Topology)) {
        let before = (self.best.clone(), self.failed.clone());
        let until = self.original.until;
        let taken = self.try_with(|t| {
            change(t);
            t.until = until;
        });
        if !taken {
            return;
        }
        self.shorter();
        if self.failed.packets > ENOUGH.max(before.1.packets) {
            (self.best, self.failed) = before;
        }
    }

    /// Takes away what is not needed, until all is.
    fn leave_out(&mut self) {
        for _ in 0..ROUNDS {
            let before = self.best.clone();
            self.round();
            if self.best == before {
                break;
            }
        }
    }

    fn round(&mut self) {
        self.stage = "fault lines";
        let faults = self.best.faults.lines.len();
        self.reduce(faults, |t, keep| keep_only(&mut t.faults.lines, keep));
        self.stage = "clients";
        let clients = self.best.clients.len();
        self.reduce(clients, |t, keep| keep_only(&mut t.clients, keep));
        self.stage = "nodes";
        let nodes = self.best.nodes.len();
        self.reduce(nodes, keep_nodes);
        self.stage = "wires";
        let wires = self.best.wires.len();
        self.reduce(wires, keep_wires);
        self.stage = "what wires do";
        self.plain_wires();
        self.stage = "settings";
        self.plain_nodes();
        self.stage = "packets";
        self.fewer_packets();
        self.stage = "time";
        self.shorter();
    }

    /// Each node keeps the addresses that it has, whoever else goes: what is decided about a packet
    /// depends on them.
    fn pin(&mut self) {
        let Ok(plan) = plan(&self.best) else { return };
        self.try_with(|t| {
            for (node, planned) in t.nodes.iter_mut().zip(plan.nodes) {
                let interfaces = planned.interfaces.into_iter();
                node.addresses = interfaces.map(|i| i.cidrs).collect();
            }
        });
    }

    /// Addresses that nobody asked for are not told, where it fails as well with others.
    fn unpin(&mut self) {
        let is_given = |node: &str| {
            let at = self.original.index_of(node);
            let node = at.and_then(|at| self.original.nodes.get(at));
            node.is_some_and(|n| !n.addresses.is_empty())
        };
        let nodes = self.best.nodes.iter();
        let given: Vec<bool> = nodes.map(|n| is_given(&n.name)).collect();
        let all = self.try_with(|t| t.nodes.iter_mut().for_each(|n| n.addresses.clear()));
        if !all {
            self.try_with(|t| {
                let nodes = t.nodes.iter_mut().zip(&given);
                nodes
                    .filter(|(_, given)| !**given)
                    .for_each(|(n, _)| n.addresses.clear());
            });
            for node in 0..self.best.nodes.len() {
                self.try_with(|t| t.nodes[node].addresses.clear());
            }
        }
    }

    /// How it fails, and whether there was something to measure. What is cut off early fails in all
    /// the time of the original as well.
    fn failure(&mut self, topology: &Topology) -> Option<(Failed, bool)> {
        let mut world = self.begin_run(topology)?;
        let (end, whole) = (topology.end(), self.original.end());
        let failed = self.failure_at(topology, &mut world, end)?;
        if end < whole {
            let before = settled(&world);
            self.failure_at(topology, &mut world, whole)?;
            // Nothing tells by when it should have succeeded.
            let never_holds = self.control == Control::None;
            if never_holds && self.target.takes_time() && before != settled(&world) {
                return None;
            }
        }
        Some(failed)
    }

    /// Whether it fails without its faults, or whatever else, at its end or later.
    fn fails_without(&mut self, topology: &Topology, control: Control) -> bool {
        let clean = without(topology, control);
        let Some(mut world) = self.begin_run(&clean) else {
            return false;
        };
        let ends = [clean.end(), self.original.end()];
        ends.into_iter()
            .any(|end| self.failure_at(&clean, &mut world, end).is_some())
    }

    fn begin_run(&mut self, topology: &Topology) -> Option<World> {
        if self.stopped {
            return None;
        }
        self.runs += 1;
        let options = Options {
            seed: topology.seed.unwrap_or_default(),
            ..Options::default()
        };
        topology.build(&options).ok()
    }

    fn failure_at(
        &mut self,
        topology: &Topology,
        world: &mut World,
        end: Instant,
    ) -> Option<(Failed, bool)> {
        let seed = topology.seed.unwrap_or_default();
        while world.step_until(end) {
            if world.steps() > self.most_steps {
                return None;
            }
            if world.steps().is_multiple_of(LOOK) && !self.may_go_on() {
                return None;
            }
        }
        world.run_until(end);
        let outcome = topology.judge(seed, world);
        let mut measures = topology.asserts.iter().flat_map(|a| a.metrics());
        let measured = measures.all(|m| world.value(&m.subject, &m.name).is_some());
        let what = match &mut self.target {
            Target::Assertion { measured: must } => {
                let judged = outcome.judged.first().filter(|j| !j.holds)?;
                if *must && !measured {
                    return None;
                }
                judged.text.clone()
            }
            Target::Audit => outcome.unaccounted?,
            Target::Check(check) => check(world, &outcome).err()?,
        };
        let reasons = reasons(world);
        let known = self.reasons.as_ref();
        if known.is_some_and(|known| !reasons.is_subset(known)) {
            return None;
        }
        let sent = world.nodes().map(|(_, n)| n.counters().sent);
        let failed = Failed {
            what,
            packets: sent.sum(),
            steps: world.steps(),
            reasons,
        };
        Some((failed, measured))
    }

    /// Takes a candidate where it fails as well and is no larger.
    fn take(&mut self, mut candidate: Topology) -> bool {
        if self.stopped || !self.may_go_on() {
            return false;
        }
        candidate.faults.renumber();
        if candidate == self.best || !self.keeps_ways(&candidate) || self.ends_before(&candidate) {
            return false;
        }
        let Some((failed, _)) = self.failure(&candidate) else {
            return false;
        };
        if self.control != Control::None && self.fails_without(&candidate, self.control) {
            return false;
        }
        if self.strict && !self.is_to_blame(&candidate) {
            return false;
        }
        self.best = candidate;
        self.failed = failed;
        true
    }

    /// Whether the fault lines that a candidate has left make the original fail, as they were there
    /// and without the others.
    fn is_to_blame(&mut self, candidate: &Topology) -> bool {
        let left = candidate.faults.lines.iter().map(|l| l.line);
        let left: Vec<u32> = left.collect();
        if left.len() == self.original.faults.lines.len() {
            return true;
        }
        if let Some(&known) = self.blamed.get(&left) {
            return known;
        }
        let mut alone = self.original.clone();
        alone.faults.lines.retain(|l| left.contains(&l.line));
        let fails = self.failure(&alone).is_some();
        if !self.stopped {
            self.blamed.insert(left, fails);
        }
        fails
    }

    /// Whether it is cut off before a fault that it has begins: that would explain nothing.
    fn ends_before(&self, candidate: &Topology) -> bool {
        let end = candidate.end();
        let begins_later = |when: &When| matches!(*when, When::At(at) if Instant::ZERO + at > end);
        let mut lines = candidate.faults.lines.iter();
        end < self.original.end() && lines.any(|line| begins_later(&line.when))
    }

    /// Whether each client that knew a way to whom it asks still does: without one, whatever it
    /// expects fails.
    fn keeps_ways(&mut self, candidate: &Topology) -> bool {
        let known = self.ways.get_or_insert_with(|| ways(&self.original));
        let now = ways(candidate);
        let mut clients = candidate.clients.iter().map(|c| &c.name);
        clients.all(|name| now.contains(name) || !known.contains(name))
    }

    /// Takes a candidate with its seed or, where that alone does not do, one of the next.
    fn take_any_seed(&mut self, candidate: Topology) -> bool {
        let seed = candidate.seed.unwrap_or_default();
        let tries = match self.control {
            Control::None => 1,
            _ if !has_chance(&candidate) => 1,
            _ => self.seeds,
        };
        (0..tries).any(|more| {
            let mut candidate = candidate.clone();
            candidate.seed = Some(seed.wrapping_add(more));
            self.take(candidate)
        })
    }

    fn try_with(&mut self, change: impl FnOnce(&mut Topology)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        self.take(candidate)
    }

    /// Tells how far it is, and asks whether to go on.
    fn may_go_on(&mut self) -> bool {
        let progress = Progress {
            runs: self.runs,
            stage: self.stage,
            faults: self.best.faults.lines.len(),
            clients: self.best.clients.len(),
            nodes: self.best.nodes.len(),
            packets: self.failed.packets,
        };
        self.stopped |= !(self.go_on)(&progress);
        !self.stopped
    }

    /// Delta debugging over a list of `len`: leaves out halves, quarters, .. and single ones, until
    /// each that is left is needed.
    fn reduce(&mut self, len: usize, keep: impl Fn(&mut Topology, &[bool])) {
        let whole = self.best.clone();
        let mut kept: Vec<usize> = (0..len).collect();
        let mut chunk = len;
        while chunk > 0 && !kept.is_empty() {
            let mut at = 0;
            while at < kept.len() {
                let end = (at + chunk).min(kept.len());
                let mut fewer = kept.clone();
                fewer.drain(at..end);
                let mask: Vec<bool> = (0..len).map(|i| fewer.contains(&i)).collect();
                let mut candidate = whole.clone();
                keep(&mut candidate, &mask);
                if self.take_any_seed(candidate) {
                    kept = fewer;
                } else {
                    at = end;
                }
            }
            chunk /= 2;
        }
    }

    /// Fewer nodes on the way.
    fn straighten(&mut self) {
        self.stage = "the way";
        // With fewer nodes on it, a packet has another fate: that of another seed is as good.
        self.seeds = SEEDS;
        self.whole_time();
        self.contract();
        self.nearer();
    }

    /// A router or hub between two nodes becomes a wire between them.
    fn contract(&mut self) {
        let mut at = 0;
        while at < self.best.nodes.len() {
            let ports = self.best.ports();
            let joined = match ports.get(at).map(Vec::as_slice) {
                Some(&[first, second]) => [(first, second), (second, first)]
                    .into_iter()
                    .flat_map(|pair| [(pair, false), (pair, true)])
                    .any(|(pair, both)| {
                        let mut candidate = self.best.clone();
                        join(&mut candidate, at, pair, both);
                        self.take_any_seed(candidate)
                    }),
                _ => false,
            };
            if !joined {
                at += 1;
            }
        }
    }

    /// Whom a client asks is whom it is next to, where that does.
    fn nearer(&mut self) {
        for client in 0..self.best.clients.len() {
            let Client { node, to, .. } = &self.best.clients[client];
            let wires = self.best.wires.iter();
            let joined = wires.filter(|w| w.between.contains(node));
            let near: Vec<String> = joined
                .flat_map(|w| w.between.iter().filter(|end| *end != node))
                .cloned()
                .collect();
            if matches!(to, Party::Node(to) if near.contains(to)) {
                continue;
            }
            for other in near {
                if self.try_with(|t| t.clients[client].to = Party::Node(other)) {
                    break;
                }
            }
        }
    }

    fn plain_wires(&mut self) {
        for wire in 0..self.best.wires.len() {
            for plain in PLAIN {
                if self.try_with(|t| t.wires[wire].ways.iter_mut().for_each(plain)) {
                    continue;
                }
                for side in 0..2 {
                    self.try_with(|t| plain(&mut t.wires[wire].ways[side]));
                }
            }
        }
    }

    fn plain_nodes(&mut self) {
        for node in 0..self.best.nodes.len() {
            self.try_with(|t| t.nodes[node].settings = super::settings::Settings::default());
            self.try_with(|t| t.nodes[node].services.clear());
            self.try_with(|t| t.nodes[node].routes.clear());
            self.try_with(|t| {
                if t.nodes[node].kind == Kind::Router {
                    t.nodes[node].kind = Kind::Host;
                }
            });
        }
        self.try_with(|t| t.duplicate_addresses = false);
        self.try_with(|t| t.about.clear());
    }

    /// One packet instead of a share of them.
    fn plain_faults(&mut self) {
        self.stage = "what faults say";
        for line in 0..self.best.faults.lines.len() {
            let is_one = match &self.best.faults.lines[line].fault {
                Fault::Packets { share, .. } => *share == Share::Next(1),
                _ => true,
            };
            if is_one {
                continue;
            }
            self.try_with(|t| {
                if let Fault::Packets { share, .. } = &mut t.faults.lines[line].fault {
                    *share = Share::Next(1);
                }
            });
        }
    }

    fn fewer_packets(&mut self) {
        for client in 0..self.best.clients.len() {
            let is_tcp = self.best.clients[client].kind == ClientKind::Tcp;
            // What has no end gets one: the time that there is.
            if self.best.clients[client].count.is_none() && !is_tcp {
                self.try_with(|t| t.clients[client].count = Some(1));
                self.try_with(|t| t.clients[client].count = Some(1000));
            }
            let count = self.best.clients[client].count.unwrap_or(1);
            self.least(1, count, |t, n| t.clients[client].count = Some(n));
            if is_tcp && self.best.clients[client].bytes.is_none() {
                self.try_with(|t| t.clients[client].bytes = Some(1));
                self.try_with(|t| t.clients[client].bytes = Some(1_000_000));
            }
            let bytes = self.best.clients[client].bytes.unwrap_or(1);
            self.least(1, bytes, |t, n| t.clients[client].bytes = Some(n));
            let size = u64::from(self.best.clients[client].size.unwrap_or(1));
            self.least(1, size, |t, n| {
                t.clients[client].size = u32::try_from(n).ok();
            });
            self.fewer_ports(client);
            self.try_with(|t| t.clients[client].stop = None);
            self.try_with(|t| t.clients[client].ttl = None);
            self.try_with(|t| t.clients[client].interval = None);
            self.try_with(|t| t.clients[client].settings = super::settings::Settings::default());
            self.try_with(|t| t.clients[client].congestion = None);
            self.try_with(|t| t.clients[client].warm_up = None);
        }
    }

    /// A scan asks fewer.
    fn fewer_ports(&mut self, client: usize) {
        let Client {
            port, last_port, ..
        } = self.best.clients[client];
        let (Some(first), Some(last)) = (port, last_port) else {
            return;
        };
        self.least(first.into(), last.into(), |t, n| {
            t.clients[client].last_port = u16::try_from(n).ok();
        });
    }

    /// Another seed may need fewer packets for the same, where chance has a part in it.
    fn another_seed(&mut self) {
        self.stage = "seeds";
        self.whole_time();
        for client in 0..self.best.clients.len() {
            self.one_packet_of_another_seed(client, SEEDS);
        }
        self.luckier_seed(1..SEEDS);
    }

    /// The same with many, where a rare bad luck is needed.
    fn many_seeds(&mut self) {
        self.stage = "many seeds";
        if std::mem::replace(&mut self.tried_many, true) {
            return;
        }
        self.whole_time();
        // On a way with fewer nodes as well: a bad luck of one in twenty is not among sixteen.
        self.seeds = MANY_SEEDS;
        self.contract();
        self.datagrams();
        self.seeds = SEEDS;
        if self.is_small() {
            return;
        }
        for client in 0..self.best.clients.len() {
            self.one_packet_of_another_seed(client, MORE_SEEDS);
        }
        if !self.is_small() {
            self.luckier_seed(SEEDS..MORE_SEEDS);
        }
    }

    /// A datagram instead of a connection, where that does: a handshake alone is a dozen packets.
    fn one_datagram(&mut self) {
        self.stage = "connections";
        self.seeds = SEEDS;
        self.whole_time();
        self.datagrams();
    }

    /// That with as many seeds as are tried just now.
    fn datagrams(&mut self) {
        for client in 0..self.best.clients.len() {
            let Client {
                name,
                node,
                to,
                start,
                kind,
                ..
            } = self.best.clients[client].clone();
            if kind != ClientKind::Tcp {
                continue;
            }
            let mut datagram = Client::new(&name, &node, ClientKind::Udp, to).count(1);
            datagram.start = start;
            datagram.fragment = true;
            for size in [LARGE, SMALL] {
                let mut candidate = self.best.clone();
                candidate.clients[client] = datagram.clone().size(size);
                if self.take_any_seed(candidate) {
                    break;
                }
            }
        }
    }

    /// Where it took many packets until one met its bad luck, another seed's first one may.
    fn one_packet_of_another_seed(&mut self, client: usize, seeds: u64) {
        let Client { count, kind, .. } = self.best.clients[client];
        let is_one = count == Some(1) || kind == ClientKind::Tcp;
        if is_one || self.control == Control::None || !has_chance(&self.best) {
            return;
        }
        let seed = self.best.seed.unwrap_or_default();
        let before = self.failed.packets;
        for more in 1..seeds {
            let found = self.try_with(|t| {
                t.seed = Some(seed.wrapping_add(more));
                t.clients[client].count = Some(1);
            });
            if found && self.failed.packets < before || self.stopped {
                return;
            }
        }
    }

    /// The best of some seeds; of many, the first that is good enough.
    fn luckier_seed(&mut self, tries: Range<u64>) {
        let seed = self.best.seed.unwrap_or_default();
        if !has_chance(&self.best) {
            return;
        }
        for more in tries {
            let before = (self.best.clone(), self.failed.clone());
            let candidate = |t: &mut Topology| t.seed = Some(seed.wrapping_add(more));
            if self.try_with(candidate) && self.failed.packets >= before.1.packets {
                (self.best, self.failed) = before;
            }
            if self.is_small() || self.stopped {
                return;
            }
        }
    }

    /// All the time that there was: where chance decides, it may fail later than now.
    fn whole_time(&mut self) {
        let until = self.original.until;
        self.try_with(|t| t.until = until);
    }

    /// It ends once it has failed.
    fn shorter(&mut self) {
        let until = milliseconds(self.best.until.unwrap_or_default());
        self.least(1, until, |t, ms| t.until = Some(Duration::from_millis(ms)));
    }

    /// What begins late begins at once: faults first, so that nothing is to be waited for.
    fn sooner(&mut self) {
        self.stage = "waiting";
        for line in 0..self.best.faults.lines.len() {
            let When::At(at) = self.best.faults.lines[line].when else {
                continue;
            };
            self.least(0, milliseconds(at), |t, ms| {
                t.faults.lines[line].when = When::At(Duration::from_millis(ms));
            });
        }
        self.shorter();
        for client in 0..self.best.clients.len() {
            let start = self.best.clients[client].start;
            self.least(0, milliseconds(start), |t, ms| {
                t.clients[client].start = Duration::from_millis(ms);
            });
        }
    }

    /// The least value between `low` and `high`, which fails, that fails as well: by halves, as if
    /// what fails with less failed with more.
    fn least(&mut self, low: u64, high: u64, set: impl Fn(&mut Topology, u64)) {
        if high <= low || self.try_with(|t| set(t, low)) {
            return;
        }
        let (mut low, mut high) = (low, high);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.try_with(|t| set(t, middle)) {
                high = middle;
            } else {
                low = middle;
            }
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The clients that know a way to whom they ask: as far as their own node does.
fn ways(topology: &Topology) -> BTreeSet<String> {
    let Ok(plan) = plan(topology) else {
        return BTreeSet::new();
    };
    let knows = |client: &&Client| {
        let node = topology.index_of(&client.node);
        let (Some(node), Some(to)) = (
            node.and_then(|at| plan.nodes.get(at)),
            plan.resolve(topology, &client.node, &client.to),
        ) else {
            return false;
        };
        let near = node.interfaces.iter().flat_map(|i| &i.cidrs);
        let far = node.routes.iter().map(|r| &r.destination);
        near.chain(far).any(|network| network.contains(to))
    };
    let clients = topology.clients.iter().filter(knows);
    clients.map(|c| c.name.clone()).collect()
}

/// Whether a seed decides anything about what befalls a packet.
fn has_chance(topology: &Topology) -> bool {
    let mut ways = topology.wires.iter().flat_map(|w| &w.ways);
    let drawn = ways.any(|way| {
        let dice = [way.duplicate, way.reorder, way.bit_errors];
        let lost = !matches!(way.loss, Loss::None | Loss::Scripted(_));
        lost || !way.jitter.is_zero() || dice.iter().any(|c| !c.is_never())
    });
    let mut faults = topology.faults.lines.iter().map(|l| &l.fault);
    drawn
        || faults.any(|fault| match fault {
            Fault::Packets { share, .. } => {
                matches!(share, Share::Chance(p) if *p != Chance::ALWAYS)
            }
            Fault::Wire { change, .. } => matches!(change, Change::Loss(_) | Change::Jitter(_)),
            _ => false,
        })
}

/// Everything that programs have measured.
fn settled(world: &World) -> Vec<Option<u64>> {
    let nodes = world.nodes();
    let programs = nodes.flat_map(|(_, node)| node.programs());
    let measures = programs.flat_map(|(_, p)| p.metrics().iter().map(|metric| p.measure(metric)));
    measures.collect()
}

/// For which reasons frames were dropped anywhere.
fn reasons(world: &World) -> BTreeSet<DropReason> {
    let mut reasons = BTreeSet::new();
    for (_, node) in world.nodes() {
        let dropped = |r: &&DropReason| node.total(|s| s.dropped_in(**r) + s.dropped_out(**r)) > 0;
        reasons.extend(DropReason::ALL.iter().filter(dropped));
        for way in node.lanes().filter_map(|lane| world.way(lane)) {
            let drops = way.stats().drops();
            reasons.extend(drops.filter(|(_, n)| *n > 0).map(|(reason, _)| reason));
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::units::write_duration;

    /// `a` and `b` with three routers between them, and others who have nothing to do with it.
    fn long() -> Topology {
        let mut ping = Client::ping("p", "a", "b").count(40);
        ping.interval = Some(Duration::from_millis(50));
        Topology::new()
            .host("a")
            .router("r1")
            .router("r2")
            .router("r3")
            .host("b")
            .host("c")
            .host("d")
            .link("a", "r1")
            .link("r1", "r2")
            .link("r2", "r3")
            .link("r3", "b")
            .link("r1", "c")
            .link("r3", "d")
            .client(ping)
            .client(Client::ping("q", "c", "d").count(5))
            .until(Duration::from_secs(10))
    }

    #[test]
    fn one_lost_answer_is_one_lost_answer() {
        let script = "between 1s and 2s drop 30% of icmp on r2-r3 from r3\n\
                      at 3s down r1-c for 1s\n\
                      at 2s drop next 1 on r3-d\n\
                      between 100ms and 300ms delay 5ms on *\n\
                      between 1s and 1500ms loss 10% on r1-r2";
        let topology = long()
            .faults(script)
            .unwrap()
            .assert("p.loss == 0%")
            .unwrap();
        let mut told = Vec::new();
        let shrunk = shrink(&topology, 3, &mut |p| told.push(p)).unwrap();
        let small = &shrunk.topology;
        assert_eq!(small.faults.lines.len(), 1, "{shrunk}");
        assert_eq!((small.nodes.len(), small.clients.len()), (2, 1), "{shrunk}");
        assert!(shrunk.packets <= 60, "{shrunk}");
        assert!(shrunk.failure.starts_with("p.loss == 0%"), "{shrunk}");
        assert!(told.windows(2).all(|w| w[0].runs <= w[1].runs));
        // It is what it says, and it says so each time.
        let again = super::super::file::parse("small", &small.to_toml()).unwrap();
        let outcome = again.topology.run(shrunk.seed).unwrap();
        assert_eq!(outcome.failures().next(), Some(shrunk.failure.as_str()));
        assert_eq!(shrink(&topology, 3, &mut |_| {}).unwrap(), shrunk);
    }

    #[test]
    fn the_first_run_is_stopped_as_any_other() {
        let mut busy = Client::new("u", "a", ClientKind::Udp, "b".into());
        busy.interval = Some(Duration::from_micros(100));
        // Nobody waits for the end of it.
        let topology = long()
            .client(busy)
            .until(Duration::from_secs(1_000_000))
            .assert("p.loss != 0%")
            .unwrap();
        let mut asked = 0;
        let stopped = shrink_while(&topology, 1, &mut |_| {
            asked += 1;
            asked < 3
        });
        assert_eq!(stopped, Err(ShrinkError::Stopped));
        assert_eq!(asked, 3);
    }

    #[test]
    fn too_few_requests_are_no_explanation() {
        let topology = long()
            .faults("between 200ms and 900ms down r2-r3\nat 1s pause d")
            .unwrap()
            .assert("p.received >= 30")
            .unwrap();
        let shrunk = shrink(&topology, 1, &mut |_| {}).unwrap();
        let clean = without(&shrunk.topology, Control::Faults);
        assert!(clean.run(1).unwrap().holds(), "{shrunk}");
        assert_eq!(shrunk.topology.faults.lines.len(), 1, "{shrunk}");
    }

    #[test]
    fn what_a_test_asks_is_shrunk_as_well() {
        let topology = long().faults("at 1s down r1-c\nat 1500ms down *").unwrap();
        let mut check = |world: &World, _: &Outcome| {
            let lost = world.measure("p", "loss").unwrap_or(0);
            (lost == 0).then_some(()).ok_or(format!("lost {lost} ppm"))
        };
        let shrunk = shrink_by(&topology, 1, &mut check, &mut |_| {}).unwrap();
        // Not at the beginning: then ARP would get no answer, which is another failure.
        assert_eq!(shrunk.topology.faults.to_string(), "at 1ms down *\n");
        let moved = "`at 1ms down *` was `at 1500ms down *`".to_owned();
        assert!(shrunk.changed.contains(&moved), "{shrunk}");
        assert!(shrunk.packets <= ENOUGH, "{shrunk}");
    }

    #[test]
    fn where_leaving_out_is_enough_nothing_is_changed() {
        let script = "at 1500ms drop 30% of udp on a-b\n\
                      between 500ms and 2500ms drop 70% of icmp on a-b from a\n\
                      at 2s delay 5ms on b-c";
        let topology = Topology::new()
            .host("a")
            .host("b")
            .host("c")
            .link("a", "b")
            .link("b", "c")
            .client(Client::ping("p", "a", "b").count(5))
            .client(Client::ping("q", "c", "b").count(9))
            .until(Duration::from_secs(20))
            .faults(script)
            .unwrap()
            .assert("p.loss == 0%")
            .unwrap();
        let shrunk = shrink(&topology, 7, &mut |_| {}).unwrap();
        assert_eq!(shrunk.seed, 7);
        let less = ["it ends at ", "p: count is "];
        let told = shrunk.changed.iter();
        for told in told {
            assert!(less.iter().any(|less| told.starts_with(less)), "{shrunk}");
        }
        assert_eq!(
            shrunk.topology.faults.to_string(),
            "between 500ms and 2500ms drop 70% of icmp on a-b from a\n"
        );
        assert!(shrunk.packets <= ENOUGH, "{shrunk}");
        assert_eq!(shrunk.topology.nodes.len(), 2, "{shrunk}");
    }

    #[test]
    fn no_wire_gets_worse_and_what_is_changed_is_told() {
        use stack::link::impair::Config;
        let chance = Chance::from_ppm(20_000);
        let lossy = Config {
            loss: Loss::Independent(chance),
            delay: Duration::from_millis(3),
            ..Config::default()
        };
        let mut topology = long().assert("p.loss == 0%").unwrap();
        for wire in &mut topology.wires {
            wire.ways = [lossy.clone(), lossy.clone()];
        }
        topology.clients[0].count = Some(100);
        let shrunk = shrink(&topology, 2, &mut |_| {}).unwrap();
        assert!(shrunk.packets <= ENOUGH, "{shrunk}");
        for way in shrunk.topology.wires.iter().flat_map(|w| &w.ways) {
            assert!(
                [Loss::None, Loss::Independent(chance)].contains(&way.loss),
                "{shrunk}"
            );
        }
        let kept = shrunk.seed == 2;
        let told = shrunk.changed.contains(&"the seed was 2".to_owned());
        assert!(kept != told, "{shrunk}");
        let text = shrunk.to_string();
        assert!(!text.contains("0s\""), "{text}");
        assert!(text.contains("\n# changed: "), "{text}");
    }

    #[test]
    fn what_fails_for_another_reason_fails_of_something_else() {
        let topology = Topology::new()
            .host("a")
            .router("r")
            .host("b")
            .link("a", "r")
            .link("r", "b")
            .client(Client::ping("p", "a", "b").count(3))
            .assert("p.received >= 100")
            .unwrap();
        let shrunk = shrink(&topology, 1, &mut |_| {}).unwrap();
        // Without a wire or a router that forwards, nothing comes back either: for want of a route.
        assert_eq!(shrunk.topology.wires.len(), 2, "{shrunk}");
        assert_eq!(shrunk.topology.nodes[1].kind, Kind::Router, "{shrunk}");
    }

    /// Either fault alone leaves time enough; cut off at its beginning, any would do.
    #[test]
    fn an_early_end_is_no_explanation() {
        let script = "at 1s down a-b for 2s\nat 5s down a-b for 2s\nat 6s delay 1ms on a-b";
        let slow = stack::link::impair::Config {
            rate: Some(500_000),
            queue: stack::link::impair::Queue::DropTail {
                packets: Some(10),
                bytes: None,
                mark: None,
            },
            ..Default::default()
        };
        let mut topology = Topology::new()
            .host("a")
            .host("b")
            .wire("a", "b", slow)
            .client(Client::new("t", "a", ClientKind::Tcp, Party::from("b")))
            .faults(script)
            .unwrap()
            .assert("t.finished == 1")
            .unwrap();
        topology.clients[0].bytes = Some(400_000);
        topology.nodes[1].services = vec![crate::endpoint::services::Service::Sink];
        // As long as it takes with one of them.
        let alone = [0, 1].map(|line| {
            let mut alone = topology.clone();
            alone.faults.lines = vec![topology.faults.lines[line].clone()];
            alone
        });
        topology.until = (60..200)
            .map(|n| Duration::from_millis(100 * n))
            .find(|until| {
                alone.iter().all(|alone| {
                    let alone = alone.clone().until(*until);
                    alone.run(1).unwrap().holds()
                })
            });
        assert!(topology.until.is_some());
        let shrunk = shrink(&topology, 1, &mut |_| {}).unwrap();
        let small = &shrunk.topology;
        let held = "the original holds with these fault lines alone".to_owned();
        let two = small.faults.lines.len() == 2;
        assert!(two != shrunk.changed.contains(&held), "{shrunk}");
        let begun =
            |when: &When| matches!(*when, When::At(at) if Instant::ZERO + at <= small.end());
        let lines = &small.faults.lines;
        assert!(lines.iter().all(|line| begun(&line.when)), "{shrunk}");
        let mut whole = small.clone();
        whole.until = topology.until;
        assert!(!whole.run(shrunk.seed).unwrap().holds(), "{shrunk}");
        for end in [small, &whole] {
            let clean = without(end, Control::Faults);
            assert!(clean.run(shrunk.seed).unwrap().holds(), "{shrunk}");
        }
    }

    /// What never holds is cut off only when nothing is measured any more.
    #[test]
    fn what_never_holds_is_not_cut_off_before_it_could() {
        let mut ping = Client::ping("p", "a", "b").count(5);
        ping.start = Duration::from_millis(500);
        let topology = Topology::new()
            .host("a")
            .host("b")
            .link("a", "b")
            .client(ping)
            .until(Duration::from_secs(8))
            .assert("p.received == 6")
            .unwrap();
        let shrunk = shrink(&topology, 1, &mut |_| {}).unwrap();
        assert!(shrunk.failure.contains("it is 1"), "{shrunk}");
        assert!(
            shrunk.topology.until >= Some(Duration::from_millis(500)),
            "{shrunk}"
        );
        let until = write_duration(shrunk.topology.until.unwrap());
        let told = [
            format!("it ends at {until}, and did at 8s"),
            "p: count is 1, and was 5".to_owned(),
        ];
        for line in told {
            assert!(shrunk.changed.contains(&line), "{line}: {shrunk}");
        }
    }

    #[test]
    fn stopped_it_gives_what_it_has() {
        let topology = long().faults("at 1s down r1-c\nat 1500ms down *").unwrap();
        let topology = topology.assert("p.loss == 0%").unwrap();
        let whole = shrink(&topology, 1, &mut |_| {}).unwrap();
        let mut asked = 0;
        let early = shrink_while(&topology, 1, &mut |p| {
            asked = p.runs;
            p.runs < 30
        });
        let early = early.unwrap();
        assert!(early.stopped && !whole.stopped && asked <= 31, "{asked}");
        assert!(early.packets > whole.packets, "{early}");
        assert!(!early.topology.run(early.seed).unwrap().holds(), "{early}");
    }

    #[test]
    fn what_holds_is_not_shrunk() {
        let topology = long().assert("p.loss == 0%").unwrap();
        assert_eq!(shrink(&topology, 1, &mut |_| {}), Err(ShrinkError::Holds));
    }
}
