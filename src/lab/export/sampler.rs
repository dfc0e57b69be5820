//! What wires carried, lost and delayed over time: the series that pictures are drawn from.
//!
//! ```text
//!   event, World::way(lane).queued() --> cell [t / width] of the lane's series
//!   | 1 ms | 1 ms | ... | 1 ms |  full:  pairs become one,  | 2 ms | ... | 2 ms |      |      |
//! ```
//!
//! Promises: memory is bounded: [`CELLS`] cells for each of [`LANES`] directions at most, however long
//! the run; directions beyond are counted in the totals only, and [`Sampler::unsampled`] says how many.
//! A queue's length is what it was at the sendings and arrivals of its wire.

use crate::lab::ids::Lane;
use crate::lab::trace::{Event, Kind};
use crate::lab::world::World;
use stack::time::{Duration, Instant, nanos};
use std::collections::{BTreeMap, BTreeSet};

/// Cells of a series.
pub const CELLS: usize = 512;
/// Directions that have a series.
pub const LANES: usize = 256;
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

/// Takes samples.
#[derive(Clone, Debug)]
pub struct Sampler {
    width: u64,
    series: BTreeMap<Lane, Vec<Cell>>,
    unsampled: BTreeSet<Lane>,
    end: Instant,
}

impl Default for Sampler {
    fn default() -> Self {
        Self {
            width: FIRST,
            series: BTreeMap::new(),
            unsampled: BTreeSet::new(),
            end: Instant::ZERO,
        }
    }
}

impl Sampler {
    /// Takes note of an event, right after the step in which it happened.
    pub fn event(&mut self, world: &World, event: &Event) {
        self.end = self.end.max(event.at);
        let lane = match &event.kind {
            Kind::Send { lane, .. } | Kind::Arrive { lane, .. } => *lane,
            Kind::Drop {
                lane: Some(lane), ..
            } => *lane,
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

    fn cell(&mut self, lane: Lane, at: Instant) -> Option<&mut Cell> {
        if !self.series.contains_key(&lane) && self.series.len() >= LANES {
            // What is not drawn need not be told apart without end either.
            if self.unsampled.len() < 16 * LANES {
                self.unsampled.insert(lane);
            }
            return None;
        }
        let place = |width| usize::try_from(at.as_nanos() / width).unwrap_or(usize::MAX);
        while place(self.width) >= CELLS {
            self.width = self.width.saturating_mul(2);
            self.series.values_mut().for_each(halve);
        }
        let place = place(self.width);
        let cells = self.series.entry(lane).or_default();
        if cells.len() <= place {
            cells.resize(place + 1, Cell::default());
        }
        cells.get_mut(place)
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
            coarse.width = coarse.width.saturating_mul(2);
            coarse.series.values_mut().for_each(halve);
        }
        coarse
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

fn halve(cells: &mut Vec<Cell>) {
    let pairs = cells.chunks(2).map(|pair| {
        let mut whole = Cell::default();
        pair.iter().for_each(|cell| whole.join(cell));
        whole
    });
    *cells = pairs.collect();
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
