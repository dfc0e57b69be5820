//! Going back in time: checkpoints of a world, and the way forward from them.
//!
//! ```text
//!   step  0 ......... n ......... 2n ......... 3n .. now
//!         world      world       world              world
//!                      go_to(n + 7): the checkpoint at n, and 7 steps
//! ```
//!
//! Promises: the world at a step is the same however one came there. Going back costs the steps
//! from the checkpoint before, of which there are at most [`Config::every`] times the factor by
//! which a long run has thinned them out; memory is bounded by [`Config::checkpoints`] worlds.

use super::world::World;
use stack::time::Instant;
use std::collections::BTreeMap;

/// How densely to keep checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Steps between two checkpoints, at first.
    pub every: u64,
    /// Checkpoints kept; with one more, every second goes and the distance doubles.
    pub checkpoints: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            every: 256,
            checkpoints: 64,
        }
    }
}

/// A run that can be walked both ways.
///
/// ```
/// use stack::time::{Duration, Instant};
/// use tapline::lab::{History, World};
/// let mut history = History::new(World::new(1), Default::default());
/// history.forward_until(Instant::ZERO + Duration::from_secs(1));
/// history.go_to(0);
/// assert_eq!(history.world().now(), Instant::ZERO);
/// ```
#[derive(Clone, Debug)]
pub struct History {
    world: World,
    checkpoints: BTreeMap<u64, World>,
    every: u64,
    most: usize,
}

impl History {
    /// A history that begins with `world`.
    #[must_use]
    pub fn new(world: World, config: Config) -> Self {
        let checkpoints = BTreeMap::from([(world.steps(), world.clone())]);
        Self {
            world,
            checkpoints,
            every: config.every.max(1),
            most: config.checkpoints.max(2),
        }
    }

    /// The world at the present step.
    #[must_use]
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// Takes one step; `false` where there is none.
    pub fn forward(&mut self) -> bool {
        self.forward_to(Instant::FAR_FUTURE)
    }

    /// Takes one step that is before or at `end`; `false` where there is none.
    pub fn forward_to(&mut self, end: Instant) -> bool {
        let stepped = self.world.step_until(end);
        let steps = self.world.steps();
        if stepped && steps.is_multiple_of(self.every) {
            self.keep(steps);
        }
        stepped
    }

    /// Steps until nothing is left that happens before or at `end`.
    pub fn forward_until(&mut self, end: Instant) {
        while self.forward_to(end) {}
    }

    /// Goes to the world after `steps` events, back or forth; `false` where the run ends before or
    /// began after.
    pub fn go_to(&mut self, steps: u64) -> bool {
        let Some((at, checkpoint)) = self.checkpoints.range(..=steps).next_back() else {
            return false;
        };
        let here = self.world.steps();
        if here > steps || here < *at {
            self.world = checkpoint.clone();
        }
        while self.world.steps() < steps {
            if !self.forward() {
                return false;
            }
        }
        true
    }

    /// From here on another run: changes the world and forgets what lay ahead.
    pub fn change<T>(&mut self, f: impl FnOnce(&mut World) -> T) -> T {
        let steps = self.world.steps();
        self.checkpoints.split_off(&steps);
        let result = f(&mut self.world);
        self.checkpoints.insert(steps, self.world.clone());
        result
    }

    fn keep(&mut self, steps: u64) {
        if self.checkpoints.contains_key(&steps) {
            return;
        }
        self.checkpoints.insert(steps, self.world.clone());
        if self.checkpoints.len() > self.most {
            self.every *= 2;
            let first = self.checkpoints.keys().next().copied();
            let every = self.every;
            self.checkpoints
                .retain(|at, _| at.is_multiple_of(every) || Some(*at) == first);
        }
    }
}
