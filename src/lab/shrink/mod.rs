//! A failing run made small: what the failure does not need goes, until nothing more can.
//!
//! ```text
//!   Topology, seed --> fails? --> without some fault lines, clients, nodes, wires, settings,
//!                        ^        with fewer and smaller packets, in less time --+
//!                        +---- the same thing fails still: go on from there <----+
//!                                                         \--> Shrunk: seed, script, to_toml
//! ```
//!
//! Read first: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE
//! Transactions on Software Engineering 28 (2), 2002: what `Search::reduce` does to each list.
//!
//! Promises: the same topology, seed and check give the same result. The seed is kept unless one of
//! the next makes do with less. Each candidate is built as it
//! would be read back from its own TOML, so what is printed fails as well. Where the run holds
//! without its faults (or else without whatever its wires do), so does every smaller one: five
//! answers of no requests are too few, but that is no explanation of why five of ten were lost.
//!
//! Left out: other values than smaller ones, and more than a few other seeds.

use super::fault::{Fault, Link, Party, Script, Share, When};
use super::run::Outcome;
use super::topology::{Client, ClientKind, Kind, Topology, TopologyError};
use super::world::World;
use super::{assertion::Metrics, build::Options};
use stack::link::impair::{Chance, Config, Loss};
use stack::time::{Duration, Instant};
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
}

impl fmt::Display for Shrunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            topology,
            failure,
            packets,
            runs,
        } = self;
        writeln!(f, "# {failure}")?;
        writeln!(f, "# seed {seed}, {packets} packets, after {runs} runs")?;
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
}

impl fmt::Display for ShrinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topology(e) => e.fmt(f),
            Self::Holds => f.write_str("everything holds: there is nothing to shrink"),
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
    let outcome = topology.run(seed).map_err(ShrinkError::Topology)?;
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
    Search::begin(alone, seed, target, progress)?.run()
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
    Search::begin(topology.clone(), seed, Target::Check(check), progress)?.run()
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

/// What must be taken away for the run to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    /// The faults.
    Faults,
    /// And whatever the wires do.
    Wires,
    /// Nothing helps.
    None,
}

/// What a failing run came to.
struct Failed {
    what: String,
    packets: u64,
    steps: u64,
}

struct Search<'a> {
    target: Target<'a>,
    control: Control,
    best: Topology,
    failed: Failed,
    runs: u64,
    /// More steps than this and a candidate is given up: it may never end.
    most_steps: u64,
    stage: &'static str,
    progress: &'a mut dyn FnMut(Progress),
}

/// Rounds at most; each begins only where the one before found something.
const ROUNDS: u32 = 8;
/// Seeds tried, the present one first, for a run with fewer nodes or with a single packet.
const SEEDS: u64 = 16;
/// Seeds tried where the smallest run has more packets than [`ENOUGH`].
const MORE_SEEDS: u64 = 256;
/// Packets that one reads without a sigh.
const ENOUGH: u64 = 20;

impl<'a> Search<'a> {
    fn begin(
        mut topology: Topology,
        seed: u64,
        target: Target<'a>,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Result<Self, ShrinkError> {
        topology.seed = Some(seed);
        topology.until = Some(topology.end() - Instant::ZERO);
        topology
            .build(&Options::default())
            .map_err(ShrinkError::Topology)?;
        let mut search = Self {
            target,
            control: Control::None,
            best: topology.clone(),
            failed: Failed {
                what: String::new(),
                packets: 0,
                steps: 0,
            },
            runs: 0,
            most_steps: u64::MAX,
            stage: "nothing",
            progress,
        };
        if let Target::Assertion { measured } = &mut search.target {
            *measured = false;
        }
        let (failed, measured) = search.failure(&topology).ok_or(ShrinkError::Holds)?;
        if let Target::Assertion { measured: must } = &mut search.target {
            *must = measured;
        }
        search.most_steps = failed.steps.saturating_mul(4).saturating_add(10_000);
        search.failed = failed;
        for control in [Control::Faults, Control::Wires] {
            if search.failure(&without(&topology, control)).is_none() {
                search.control = control;
                break;
            }
        }
        search.tell();
        Ok(search)
    }

    fn run(mut self) -> Result<Shrunk, ShrinkError> {
        self.try_with(|t| t.asserts.truncate(1));
        self.try_with(|t| t.asserts.clear());
        self.rounds();
        self.stage = "seeds";
        if self.failed.packets > ENOUGH && self.luckier_seed(SEEDS..MORE_SEEDS) {
            self.rounds();
        }
        self.best.faults.renumber();
        Ok(Shrunk {
            seed: self.best.seed.unwrap_or_default(),
            topology: self.best,
            failure: self.failed.what,
            packets: self.failed.packets,
            runs: self.runs,
        })
    }

    fn rounds(&mut self) {
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
        self.contract();
        self.nearer();
        self.stage = "what wires do";
        self.plain_wires();
        self.stage = "settings";
        self.plain_nodes();
        self.stage = "what faults say";
        self.plain_faults();
        self.stage = "packets";
        self.fewer_packets();
        self.stage = "time";
        self.less_time();
        self.luckier_seed(1..SEEDS);
    }

    /// How it fails, and whether there was something to measure.
    fn failure(&mut self, topology: &Topology) -> Option<(Failed, bool)> {
        self.runs += 1;
        let seed = topology.seed.unwrap_or_default();
        let options = Options {
            seed,
            ..Options::default()
        };
        let mut world = topology.build(&options).ok()?;
        let end = topology.end();
        while world.step_until(end) {
            if world.steps() > self.most_steps {
                return None;
            }
        }
        world.run_until(end);
        let outcome = topology.judge(seed, &mut world);
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
            Target::Check(check) => check(&world, &outcome).err()?,
        };
        let sent = world.nodes().map(|(_, n)| n.counters().sent);
        let failed = Failed {
            what,
            packets: sent.sum(),
            steps: world.steps(),
        };
        Some((failed, measured))
    }

    /// Takes a candidate where it fails as well and is no larger.
    fn take(&mut self, mut candidate: Topology) -> bool {
        candidate.faults.renumber();
        if candidate == self.best {
            return false;
        }
        let Some((failed, _)) = self.failure(&candidate) else {
            return false;
        };
        if self.control != Control::None
            && self.failure(&without(&candidate, self.control)).is_some()
        {
            return false;
        }
        self.best = candidate;
        self.failed = failed;
        self.tell();
        true
    }

    /// Takes a candidate with its seed or one of the next: without a node, others have other
    /// addresses, and their packets another fate.
    fn take_any_seed(&mut self, candidate: Topology) -> bool {
        let seed = candidate.seed.unwrap_or_default();
        let tries = if self.control == Control::None {
            1
        } else {
            SEEDS
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

    fn tell(&mut self) {
        (self.progress)(Progress {
            runs: self.runs,
            stage: self.stage,
            faults: self.best.faults.lines.len(),
            clients: self.best.clients.len(),
            nodes: self.best.nodes.len(),
            packets: self.failed.packets,
        });
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
            for side in 0..2 {
                for plain in PLAIN {
                    self.try_with(|t| plain(&mut t.wires[wire].ways[side]));
                }
                // A coin is plainer than 0.9479%, and needs fewer packets until it falls.
                let way = &self.best.wires[wire].ways[side];
                let (reorder, duplicate) = (way.reorder, way.duplicate);
                if reorder != Chance::NEVER && reorder != coin() {
                    self.try_with(|t| t.wires[wire].ways[side].reorder = coin());
                }
                if duplicate != Chance::NEVER && duplicate != coin() {
                    self.try_with(|t| t.wires[wire].ways[side].duplicate = coin());
                }
                if way_loses(&self.best.wires[wire].ways[side]) {
                    let loss = Loss::Independent(coin());
                    self.try_with(|t| t.wires[wire].ways[side].loss = loss);
                }
            }
        }
    }

    fn plain_nodes(&mut self) {
        for node in 0..self.best.nodes.len() {
            self.try_with(|t| t.nodes[node].settings = super::settings::Settings::default());
            self.try_with(|t| t.nodes[node].services.clear());
            self.try_with(|t| t.nodes[node].routes.clear());
            self.try_with(|t| t.nodes[node].addresses.clear());
            self.try_with(|t| {
                if t.nodes[node].kind == Kind::Router {
                    t.nodes[node].kind = Kind::Host;
                }
            });
        }
        self.try_with(|t| t.duplicate_addresses = false);
        self.try_with(|t| t.about.clear());
    }

    /// One packet instead of a share of them, and all wherever it happens.
    fn plain_faults(&mut self) {
        for line in 0..self.best.faults.lines.len() {
            let plainest = [
                Share::Next(1),
                Share::Chance(Chance::ALWAYS),
                Share::Chance(coin()),
            ];
            for (i, plain) in plainest.into_iter().enumerate() {
                let is_new = match &self.best.faults.lines[line].fault {
                    Fault::Packets { share, .. } => !plainest[..=i].contains(share),
                    _ => false,
                };
                if is_new {
                    self.try_with(|t| {
                        if let Fault::Packets { share, .. } = &mut t.faults.lines[line].fault {
                            *share = plain;
                        }
                    });
                }
            }
            self.try_with(|t| t.faults.lines[line].lasting = None);
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
            if self.best.clients[client].count != Some(1) && !is_tcp {
                self.one_packet_of_another_seed(client);
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
            self.try_with(|t| t.clients[client].stop = None);
            self.try_with(|t| t.clients[client].ttl = None);
            self.try_with(|t| t.clients[client].interval = None);
            self.try_with(|t| t.clients[client].settings = super::settings::Settings::default());
            self.try_with(|t| t.clients[client].congestion = None);
            self.try_with(|t| t.clients[client].warm_up = None);
        }
    }

    /// Where it took many packets until one met its bad luck, another seed's first one may.
    fn one_packet_of_another_seed(&mut self, client: usize) {
        let seed = self.best.seed.unwrap_or_default();
        for more in 0..SEEDS {
            let found = self.try_with(|t| {
                t.seed = Some(seed.wrapping_add(more));
                t.clients[client].count = Some(1);
            });
            if found {
                return;
            }
        }
    }

    /// Another seed may need fewer packets for the same, where chance has a part in it. Whether one
    /// did better.
    fn luckier_seed(&mut self, tries: Range<u64>) -> bool {
        let seed = self.best.seed.unwrap_or_default();
        let first = self.failed.packets;
        for more in tries {
            let before = (
                self.best.clone(),
                self.failed.packets,
                self.failed.what.clone(),
            );
            if self.try_with(|t| t.seed = Some(seed.wrapping_add(more)))
                && self.failed.packets >= before.1
            {
                (self.best, self.failed.packets, self.failed.what) = before;
            }
        }
        self.failed.packets < first
    }

    fn less_time(&mut self) {
        const MILLI: u64 = 1_000_000;
        let until = self.best.until.unwrap_or_default();
        let most = u64::try_from(until.as_nanos()).unwrap_or(u64::MAX) / MILLI;
        for line in 0..self.best.faults.lines.len() {
            let When::At(at) = self.best.faults.lines[line].when else {
                continue;
            };
            let most = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX) / MILLI;
            self.least(0, most, |t, ms| {
                t.faults.lines[line].when = When::At(Duration::from_millis(ms));
            });
        }
        self.least(1, most, |t, ms| t.until = Some(Duration::from_millis(ms)));
        for client in 0..self.best.clients.len() {
            let start = self.best.clients[client].start;
            let most = u64::try_from(start.as_nanos()).unwrap_or(u64::MAX) / MILLI;
            self.least(0, most, |t, ms| {
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

/// What makes a direction of a wire plainer, the most first.
const PLAIN: &[fn(&mut Config)] = &[
    |way| {
        *way = Config {
            mtu: way.mtu,
            ..Config::default()
        }
    },
    |way| *way = Config::default(),
    |way| way.loss = Config::default().loss,
    |way| way.jitter = Duration::ZERO,
    |way| way.duplicate = Chance::NEVER,
    |way| way.reorder = Chance::NEVER,
    |way| way.bit_errors = Chance::NEVER,
    |way| way.rate = None,
    |way| way.queue = Config::default().queue,
    |way| way.delay = Duration::ZERO,
    |way| way.overhead = 0,
    |way| way.mtu = Config::default().mtu,
];

const fn coin() -> Chance {
    Chance::from_ppm(500_000)
}

fn way_loses(way: &Config) -> bool {
    way.loss != Loss::None && way.loss != Loss::Independent(coin())
}

/// The run that shall hold.
fn without(topology: &Topology, control: Control) -> Topology {
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

fn keep_only<T>(list: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    list.retain(|_| keep.next().copied().unwrap_or(true));
}

fn keep_nodes(topology: &mut Topology, keep: &[bool]) {
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
fn keep_wires(topology: &mut Topology, keep: &[bool]) {
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
fn join(
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

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(told.windows(2).all(|w| w[0].runs < w[1].runs));
        // It is what it says, and it says so each time.
        let again = super::super::file::parse("small", &small.to_toml()).unwrap();
        let outcome = again.topology.run(shrunk.seed).unwrap();
        assert_eq!(outcome.failures().next(), Some(shrunk.failure.as_str()));
        assert_eq!(shrink(&topology, 3, &mut |_| {}).unwrap(), shrunk);
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
        assert_eq!(shrunk.topology.faults.to_string(), "at 0s down *\n");
    }

    #[test]
    fn what_holds_is_not_shrunk() {
        let topology = long().assert("p.loss == 0%").unwrap();
        assert_eq!(shrink(&topology, 1, &mut |_| {}), Err(ShrinkError::Holds));
    }
}
