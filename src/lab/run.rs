//! One run from beginning to end, and what it came to.
//!
//! ```text
//!   Topology, seed --build--> World --until--> Outcome: digest, counts, what held and what did not
//! ```

use super::assertion::{Judged, Metrics};
use super::build::Options;
use super::plan::Plan;
use super::topology::{Topology, TopologyError};
use super::world::World;
use stack::time::{Duration, Instant};

/// How long a run takes that does not say.
pub const DEFAULT_UNTIL: Duration = Duration::from_secs(60);

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// Everything on every wire, in one number.
    pub digest: u64,
    /// Events taken.
    pub steps: u64,
    /// Frames that arrived at some port.
    pub arrivals: u64,
    /// When it ended.
    pub ended: Instant,
    /// What was asserted, in order, and whether it holds.
    pub judged: Vec<Judged>,
    /// What was not accounted for, where anything was not: a fault of the lab or of the stack.
    pub unaccounted: Option<String>,
}

impl Outcome {
    /// Whether all assertions hold and everything is accounted for.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.unaccounted.is_none() && self.judged.iter().all(|j| j.holds)
    }

    /// What does not hold, a line each.
    pub fn failures(&self) -> impl Iterator<Item = &str> {
        let judged = self.judged.iter().filter(|j| !j.holds);
        let judged = judged.map(|j| j.text.as_str());
        judged.chain(self.unaccounted.as_deref())
    }
}

impl Metrics for World {
    fn value(&self, subject: &str, metric: &str) -> Option<i128> {
        self.measure(subject, metric)
    }

    fn is_near(&self, subject: &str, metric: &str) -> bool {
        Self::is_near(self, subject, metric)
    }
}

impl Topology {
    /// When a run of it ends.
    #[must_use]
    pub fn end(&self) -> Instant {
        Instant::ZERO + self.until.unwrap_or(DEFAULT_UNTIL)
    }

    /// Runs it with a seed, to its end.
    ///
    /// # Errors
    /// What cannot be built.
    pub fn run(&self, seed: u64) -> Result<Outcome, TopologyError> {
        self.play(seed).map(|(_, outcome)| outcome)
    }

    /// As [`run`](Self::run), and the world as it is at the end.
    ///
    /// # Errors
    /// What cannot be built.
    pub fn play(&self, seed: u64) -> Result<(World, Outcome), TopologyError> {
        self.play_as(&self.check()?, seed)
    }

    /// As [`play`](Self::play), with what [`check`](Self::check) has decided for all seeds.
    ///
    /// # Errors
    /// What cannot be built.
    pub fn play_as(&self, plan: &Plan, seed: u64) -> Result<(World, Outcome), TopologyError> {
        let options = Options {
            seed,
            digest: true,
            ..Options::default()
        };
        let mut world = self.build_as(plan, &options)?;
        world.run_until(self.end());
        let outcome = self.judge(seed, &mut world);
        Ok((world, outcome))
    }

    /// What a world of this topology came to by now. The verdicts are told to whoever watches.
    pub fn judge(&self, seed: u64, world: &mut World) -> Outcome {
        let judged: Vec<Judged> = self.asserts.iter().map(|a| a.judge(world)).collect();
        for verdict in &judged {
            world.tell_verdict(verdict.text.clone(), verdict.holds);
        }
        Outcome {
            seed,
            digest: world.digest().unwrap_or(0),
            steps: world.steps(),
            arrivals: world.arrivals(),
            ended: world.now(),
            judged,
            unaccounted: world.audit().err(),
        }
    }
}
