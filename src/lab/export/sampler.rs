//! What wires carried, lost and delayed over time: the series that pictures are drawn from.
//!
//! ```text
//!   event, World::way(lane).queued() --> cell [t / width] of the lane's series
//!   | 1 ms | 1 ms | ... | 1 ms |  full:  pairs become one,  | 2 ms | ... | 2 ms |      |      |
//! ```
//!
//! Promises: memory is bounded: [`CELLS`] cells for each of [`LANES`] directions at most, however long
//! the run; directions beyond are counted in the totals only, and [`Sampler::unsampled`] says how many.
//! A queue's length is what it was at the sendings and arrivals of its wire. So are clients and
//! reasons of drops beyond as many, and faults beyond [`SPELLS`].

use crate::lab::ids::{Lane, NodeId};
use crate::lab::program::Program;
use crate::lab::trace::{Event, Kind};
use crate::lab::world::{Node, World};
use stack::reason::DropReason;
use stack::time::{Duration, Instant, nanos};
use std::collections::{BTreeMap, BTreeSet};

/// Cells of a series.
pub const CELLS: usize = 512;
/// Directions that have a series.
pub const LANES: usize = 256;
/// Faults that are kept: a wire that flaps all the time is not worth more.
pub const SPELLS: usize = 400;
/// A cell's width at the beginning.
const FIRST: u64 = 1_000_000;

/// A direction of a wire during a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The most frames that waited; `None` where nothing happened.
    pub queue: Option<u64>,
    /// Frames that were sent.
    pub sent: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that the wire lost.
    pub lost: u64,
    /// Frames that arrived.
    pub arrived: u64,
    /// The longest time from sending to arrival, in nanoseconds.
    pub slowest: u64,
    /// All such times together.
    pub delay: u128,
}

impl Cell {
    fn join(&mut self, other: &Self) {
        self.queue = self.queue.max(other.queue);
        self.sent += other.sent;
        self.bytes += other.bytes;
        self.lost += other.lost;
        self.arrived += other.arrived;
        self.slowest = self.slowest.max(other.slowest);
        self.delay += other.delay;
    }
}

/// A client during a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trip {
    /// Its longest round trip, in nanoseconds; `None` where it had no answer.
    pub slowest: Option<u64>,
    /// Over TCP, its congestion window when it was looked at last, in bytes.
    pub cwnd: Option<u64>,
}

/// Who lost frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loser {
    /// A direction of a wire.
    Lane(Lane),
    /// A node that refused them or gave them up.
    Node(NodeId),
}

/// A line of the fault script while it was in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spell {
    /// What it did.
    pub text: String,
    /// Since when.
    pub from: Instant,
    /// Until when; `None` where that was not reached.
    pub to: Option<Instant>,
}

/// Values of one kind for each while.
trait Joined: Copy + Default {
    fn join(&mut self, other: &Self);
}

impl Joined for Cell {
    fn join(&mut self, other: &Self) {
        Self::join(self, other);
    }
}

impl Joined for u64 {
    fn join(&mut self, other: &Self) {
        *self += other;
    }
}

impl Joined for Trip {
    fn join(&mut self, other: &Self) {
        self.slowest = self.slowest.max(other.slowest);
        self.cwnd = other.cwnd.or(self.cwnd);
    }
}

/// A client's series, and how many round trips it had when it was looked at.
#[derive(Clone, Debug, Default)]
struct Asker {
    seen: u64,
    cells: Vec<Trip>,
}

/// Takes samples.
#[derive(Clone, Debug)]
pub struct Sampler {
    width: u64,
    series: BTreeMap<Lane, Vec<Cell>>,
    askers: BTreeMap<String, Asker>,
    losses: BTreeMap<(Loser, DropReason), Vec<u64>>,
    spells: Vec<(u32, Spell)>,
    unsampled: BTreeSet<Lane>,
    end: Instant,
}

impl Default for Sampler {
    fn default() -> Self {
        Self {
            width: FIRST,
            series: BTreeMap::new(),
            askers: BTreeMap::new(),
            losses: BTreeMap::new(),
            spells: Vec::new(),
            unsampled: BTreeSet::new(),
            end: Instant::ZERO,
        }
    }
}

impl Sampler {
    /// Takes note of an event, right after the step in which it happened.
    pub fn event(&mut self, world: &World, event: &Event) {
        self.end = self.end.max(event.at);
        if let Some(node) = event.node.and_then(|id| world.node(id)) {
            self.ask(node, event.at);
        }
        let lane = match &event.kind {
            Kind::Send { lane, .. } | Kind::Arrive { lane, .. } => *lane,
            Kind::Drop {
                lane,
                reason,
                count,
                ..
            } => {
                let node = event.node.map(Loser::Node);
                if let Some(loser) = lane.map(Loser::Lane).or(node) {
                    self.lose((loser, *reason), event.at, *count);
                }
                let Some(lane) = lane else { return };
                *lane
            }
            Kind::Fault { line, text } => return self.fault(*line, text, event.at),
            _ => return,
        };
        let waits = world.way(lane).map(|way| way.queued().packets as u64);
        let Some(cell) = self.cell(lane, event.at) else {
            return;
        };
        cell.queue = cell.queue.max(waits);
        match &event.kind {
            Kind::Send { frame, .. } => {
                cell.sent += 1;
                cell.bytes += frame.len() as u64;
            }
            Kind::Drop { count, .. } => cell.lost += count,
            Kind::Arrive { sent, .. } => {
                let delay = nanos(event.at.since(*sent));
                cell.arrived += 1;
                cell.slowest = cell.slowest.max(delay);
                cell.delay += u128::from(delay);
            }
            _ => {}
        }
    }

    /// Asks the clients of a node what they have measured since.
    fn ask(&mut self, node: &Node, at: Instant) {
        for (name, program) in node.programs() {
            let Some(trips) = program.round_trips().filter(|t| t.count() > 0) else {
                continue;
            };
            let known = self.askers.get(name).map(|asker| asker.seen);
            let full = known.is_none() && self.askers.len() >= LANES;
            if full || known == Some(trips.count()) {
                continue;
            }
            let place = self.place(at);
            let asker = self.askers.entry(name.to_owned()).or_default();
            asker.seen = trips.count();
            let trip = Trip {
                slowest: Some(nanos(trips.last())),
                cwnd: match program {
                    Program::Bulk(bulk) => Some(bulk.status().cwnd.into()),
                    _ => None,
                },
            };
            at_place(&mut asker.cells, place).join(&trip);
        }
    }

    fn lose(&mut self, which: (Loser, DropReason), at: Instant, count: u64) {
        let place = self.place(at);
        if self.losses.len() < LANES || self.losses.contains_key(&which) {
            *at_place(self.losses.entry(which).or_default(), place) += count;
        }
    }

    /// A line of the script took effect, or ended by itself or by another.
    fn fault(&mut self, line: u32, text: &str, at: Instant) {
        let undoes = |undone: &str| {
            let of = |verb: &str| undone.split_once(' ').filter(|(v, _)| *v == verb);
            match text.split_once(' ').unwrap_or((text, "")) {
                ("up", link) => {
                    of("down").is_some_and(|(_, l)| l == link)
                        || of("flap").is_some_and(|(_, l)| l.split(' ').next() == Some(link))
                }
                ("restart", node) => of("crash").is_some_and(|(_, n)| n == node),
                ("resume", node) => of("pause").is_some_and(|(_, n)| n == node),
                ("release", way) => of("clog").is_some_and(|(_, w)| w == way),
                ("heal", _) => of("partition").is_some(),
                _ => false,
            }
        };
        let ended = text.starts_with("end of ");
        let mut over = ended;
        for (of, spell) in self.spells.iter_mut().filter(|(_, s)| s.to.is_none()) {
            if ended && *of == line || undoes(&spell.text) {
                spell.to = Some(at);
                over = true;
            }
        }
        let verb = text.split(' ').next().unwrap_or_default();
        let at_once = ["up", "restart", "resume", "release", "heal"].contains(&verb)
            || text.split(' ').nth(1) == Some("next");
        if !over && self.spells.len() < SPELLS {
            let spell = Spell {
                text: text.to_owned(),
                from: at,
                to: at_once.then_some(at),
            };
            self.spells.push((line, spell));
        }
    }

    /// The place of a moment in each series, which are made as coarse as that takes.
    fn place(&mut self, at: Instant) -> usize {
        let place = |width| usize::try_from(at.as_nanos() / width).unwrap_or(usize::MAX);
        while place(self.width) >= CELLS {
            self.coarsen();
        }
        place(self.width)
    }

    fn coarsen(&mut self) {
        self.width = self.width.saturating_mul(2);
        self.series.values_mut().for_each(halve);
        self.losses.values_mut().for_each(halve);
        let askers = self.askers.values_mut();
        askers.for_each(|asker| halve(&mut asker.cells));
    }

    fn cell(&mut self, lane: Lane, at: Instant) -> Option<&mut Cell> {
        if !self.series.contains_key(&lane) && self.series.len() >= LANES {
            // What is not drawn need not be told apart without end either.
            if self.unsampled.len() < 16 * LANES {
                self.unsampled.insert(lane);
            }
            return None;
        }
        let place = self.place(at);
        Some(at_place(self.series.entry(lane).or_default(), place))
    }

    /// How long a cell is.
    #[must_use]
    pub const fn width(&self) -> Duration {
        Duration::from_nanos(self.width)
    }

    /// The same with cells so wide that there are at most `most` in the run.
    #[must_use]
    pub fn coarse(&self, most: usize) -> Self {
        let mut coarse = self.clone();
        while usize::try_from(coarse.end.as_nanos() / coarse.width).unwrap_or(0) >= most.max(1) {
            coarse.coarsen();
        }
        coarse
    }

    /// The clients by name, with their round trips.
    pub fn trips(&self) -> impl Iterator<Item = (&str, &[Trip])> {
        let askers = self.askers.iter();
        askers.map(|(name, asker)| (name.as_str(), &asker.cells[..]))
    }

    /// Who lost how many frames, and why.
    pub fn losses(&self) -> impl Iterator<Item = (Loser, DropReason, &[u64])> {
        let losses = self.losses.iter();
        losses.map(|((loser, reason), cells)| (*loser, *reason, &cells[..]))
    }

    /// The faults with the lines that they are of, in the order in which they began.
    pub fn spells(&self) -> impl Iterator<Item = (u32, &Spell)> {
        self.spells.iter().map(|(line, spell)| (*line, spell))
    }

    /// The last event.
    #[must_use]
    pub const fn end(&self) -> Instant {
        self.end
    }

    /// The directions with their cells; what follows the last is empty.
    pub fn series(&self) -> impl Iterator<Item = (Lane, &[Cell])> {
        self.series.iter().map(|(lane, cells)| (*lane, &cells[..]))
    }

    /// Directions that carried something and have no series, as far as they are counted.
    #[must_use]
    pub fn unsampled(&self) -> usize {
        self.unsampled.len()
    }
}

fn halve<T: Joined>(cells: &mut Vec<T>) {
    let pairs = cells.chunks(2).map(|pair| {
        let mut whole = T::default();
        pair.iter().for_each(|cell| whole.join(cell));
        whole
    });
    *cells = pairs.collect();
}

/// What stands at a place, below [`CELLS`].
fn at_place<T: Copy + Default>(cells: &mut Vec<T>, place: usize) -> &mut T {
    if cells.len() <= place {
        cells.resize(place + 1, T::default());
    }
    &mut cells[place]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::ids::WireId;

    #[test]
    fn a_long_run_halves_the_resolution_and_loses_nothing() {
        let lane = Lane {
            wire: WireId(0),
            from: 0,
        };
        let mut sampler = Sampler::default();
        for i in 0..100_000_u64 {
            let at = Instant::from_nanos(i * 100_000);
            let cell = sampler.cell(lane, at).unwrap();
            cell.sent += 1;
            cell.slowest = cell.slowest.max(i);
            cell.queue = Some(i % 7);
        }
        // 10 s in at most 512 cells of a power of two milliseconds.
        assert_eq!(sampler.width(), Duration::from_millis(32));
        let (_, cells) = sampler.series().next().unwrap();
        assert_eq!(cells.len(), 313);
        assert_eq!(cells.iter().map(|c| c.sent).sum::<u64>(), 100_000);
        assert!(
            cells
                .iter()
                .zip(1..)
                .all(|(c, n)| c.slowest == (n * 320 - 1).min(99_999))
        );
    }

    #[test]
    fn a_fault_lasts_until_it_ends_or_another_line_undoes_it() {
        let mut sampler = Sampler::default();
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        for (ms, line, text) in [
            (1, 1, "down a-b"),
            (2, 2, "drop 5% on a-b"),
            (3, 3, "up a-b"),
            (4, 2, "end of drop 5% on a-b"),
            (5, 4, "flap a-b every 2ms down 1ms"),
            (6, 4, "up a-b"),
            (7, 4, "down a-b"),
            (8, 4, "up a-b"),
            (9, 5, "drop next 3 on a-b"),
            (10, 6, "crash r"),
            (11, 7, "restart s"),
        ] {
            sampler.fault(line, text, at(ms));
        }
        let found: Vec<_> = sampler.spells().collect();
        let want = [
            ("down a-b", 1, Some(3)),
            ("drop 5% on a-b", 2, Some(4)),
            ("flap a-b every 2ms down 1ms", 5, Some(6)),
            ("down a-b", 7, Some(8)),
            ("drop next 3 on a-b", 9, Some(9)),
            ("crash r", 10, None),
            ("restart s", 11, Some(11)),
        ];
        for (spell, (text, from, to)) in found.iter().zip(want) {
            let want = Spell {
                text: text.to_owned(),
                from: at(from),
                to: to.map(at),
            };
            assert_eq!(*spell.1, want);
        }
        assert_eq!(found.len(), want.len());
    }

    #[test]
    fn only_so_many_directions_have_a_series() {
        let mut sampler = Sampler::default();
        for wire in 0..2 * 256 {
            let lane = Lane {
                wire: WireId(wire),
                from: 1,
            };
            sampler.cell(lane, Instant::ZERO);
        }
        assert_eq!((sampler.series().count(), sampler.unsampled()), (256, 256));
    }
}
