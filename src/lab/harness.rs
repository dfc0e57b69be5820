//! A test over many seeds: which one failed, how to run it again, and the least that still fails.
//!
//! ```text
//!   check(name, topology, 0..50, expect)  --each seed--> build, run, judge, audit, expect
//!                                             \--> panic: name, seed, what failed, how to repeat
//!
//!   TAPLINE_SEED=7      only that seed              TAPLINE_SHRINK=1   print the smallest failure
//!   TAPLINE_SEEDS=2000  as many, from the first on
//! ```
//!
//! Promises: seeds are tried in order, so the failure that is told is always the same one.

use super::plan::Plan;
use super::run::Outcome;
use super::shrink::{ShrinkError, Shrunk, shrink, shrink_by};
use super::topology::{Topology, TopologyError};
use super::world::World;
use std::env;
use std::fmt;
use std::ops::Range;

/// A seed with which a test failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What the test is called.
    pub name: String,
    /// The seed.
    pub seed: u64,
    /// What failed, a line each.
    pub what: Vec<String>,
    /// Whether it was the test's own expectation, and nothing that the topology says.
    pub own: bool,
    /// The smallest run that fails likewise, where asked for.
    pub shrunk: Option<Shrunk>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, seed, .. } = self;
        writeln!(f, "{name} fails with seed {seed}:")?;
        self.what
            .iter()
            .try_for_each(|line| writeln!(f, "  {line}"))?;
        match &self.shrunk {
            Some(shrunk) => {
                writeln!(
                    f,
                    "the least that fails likewise, for `tapline lab run FILE`:"
                )?;
                write!(f, "{shrunk}")
            }
            None => write!(
                f,
                "repeat: TAPLINE_SEED={seed} and the same test; TAPLINE_SHRINK=1 as well makes it small"
            ),
        }
    }
}

/// Runs a topology with each seed: everything that it asserts holds, everything is accounted for,
/// and `expect` finds what it expects.
///
/// # Panics
/// At the first seed with which anything does not, or where the topology cannot be built.
///
/// ```
/// use tapline::lab::harness::check;
/// use tapline::lab::topology::{Client, Topology};
/// let topology = Topology::new().host("a").host("b").link("a", "b")
///     .client(Client::ping("p", "a", "b").count(3))
///     .assert("p.received == 3").unwrap();
/// check("pings come back", &topology, 0..20, |world, _| {
///     let rtt = world.measure("p", "rtt.max").ok_or("no answer")?;
///     (rtt < 1_000_000).then_some(()).ok_or(format!("it takes {rtt} ns"))
/// });
/// ```
#[expect(clippy::panic, reason = "a test says what went wrong by panicking")]
pub fn check(
    name: &str,
    topology: &Topology,
    seeds: Range<u64>,
    mut expect: impl FnMut(&World, &Outcome) -> Result<(), String>,
) {
    let asked = Asked::from_environment();
    if let Some(failure) = first_failure(name, topology, asked.of(seeds), asked.shrink, &mut expect)
    {
        panic!("{failure}");
    }
}

/// As [`check`], of what the topology itself asserts.
///
/// # Panics
/// Where that does not hold with any of the seeds.
pub fn holds(name: &str, topology: &Topology, seeds: Range<u64>) {
    check(name, topology, seeds, |_, _| Ok(()));
}

/// The first seed with which anything is not as it should be.
pub fn first_failure(
    name: &str,
    topology: &Topology,
    seeds: impl IntoIterator<Item = u64>,
    to_shrink: bool,
    expect: &mut dyn FnMut(&World, &Outcome) -> Result<(), String>,
) -> Option<Failure> {
    let plan = topology.check();
    for seed in seeds {
        let tried = plan.as_ref().map_err(Clone::clone);
        let tried = tried.and_then(|plan| try_seed(topology, plan, seed, expect));
        let (what, own) = match tried {
            Ok((what, own)) if !what.is_empty() => (what, own),
            Ok(_) => continue,
            Err(error) => (vec![error.to_string()], false),
        };
        let shrunk = to_shrink.then(|| match own {
            true => shrink_by(topology, seed, expect, &mut |_| {}),
            false => shrink(topology, seed, &mut |_| {}),
        });
        return Some(Failure {
            name: name.to_owned(),
            seed,
            what,
            own,
            shrunk: shrunk.and_then(Result::<Shrunk, ShrinkError>::ok),
        });
    }
    None
}

/// What is wrong with one seed, and whether only the test minds.
fn try_seed(
    topology: &Topology,
    plan: &Plan,
    seed: u64,
    expect: &mut dyn FnMut(&World, &Outcome) -> Result<(), String>,
) -> Result<(Vec<String>, bool), TopologyError> {
    let (world, outcome) = topology.play_as(plan, seed)?;
    let mut what: Vec<String> = outcome.failures().map(str::to_owned).collect();
    let own = what.is_empty();
    what.extend(expect(&world, &outcome).err());
    Ok((what, own))
}

/// What the environment asks of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Only this seed.
    pub seed: Option<u64>,
    /// So many seeds.
    pub seeds: Option<u64>,
    /// Make the failure small.
    pub shrink: bool,
}

impl Asked {
    /// `TAPLINE_SEED`, `TAPLINE_SEEDS` and `TAPLINE_SHRINK`.
    #[must_use]
    pub fn from_environment() -> Self {
        let number = |name: &str| env::var(name).ok()?.parse().ok();
        Self {
            seed: number("TAPLINE_SEED"),
            seeds: number("TAPLINE_SEEDS"),
            shrink: env::var_os("TAPLINE_SHRINK").is_some_and(|v| v != "0"),
        }
    }

    /// The seeds to run, where a test has these in mind.
    #[must_use]
    pub fn of(self, usual: Range<u64>) -> Range<u64> {
        match (self.seed, self.seeds) {
            (Some(one), _) => one..one.saturating_add(1),
            (None, Some(n)) => usual.start..usual.start.saturating_add(n),
            (None, None) => usual,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::topology::Client;

    fn lossy() -> Topology {
        let script = "at 0s loss 20% on a-b\nat 30s down a-b";
        Topology::new()
            .host("a")
            .host("b")
            .link("a", "b")
            .client(Client::ping("p", "a", "b").count(4))
            .faults(script)
            .unwrap()
    }

    #[test]
    fn the_first_seed_that_fails_is_told_and_made_small() {
        let topology = lossy().assert("p.received >= 4").unwrap();
        let fails = |seeds: Range<u64>, small| {
            first_failure("x", &topology, seeds, small, &mut |_, _| Ok(()))
        };
        let failure = fails(0..50, false).expect("a fifth of all is lost");
        assert_eq!(fails(0..failure.seed, false), None);
        let told = failure.to_string();
        assert!(told.starts_with(&format!("x fails with seed {}:\n  p.rec", failure.seed)));
        assert!(
            told.contains(&format!("TAPLINE_SEED={} ", failure.seed)),
            "{told}"
        );
        let small = fails(0..50, true).unwrap();
        let shrunk = small.shrunk.as_ref().unwrap();
        assert_eq!(shrunk.topology.faults.lines.len(), 1);
        assert!(small.to_string().contains(&shrunk.topology.to_toml()));
    }

    #[test]
    fn what_the_test_expects_counts_as_well() {
        let mut expect = |world: &World, _: &Outcome| match world.measure("p", "received") {
            Some(4) => Ok(()),
            n => Err(format!("received {n:?}")),
        };
        let failure = first_failure("x", &lossy(), 0..50, true, &mut expect).unwrap();
        assert!(failure.own && failure.what[0].starts_with("received Some("));
        assert!(failure.shrunk.is_some());
    }

    #[test]
    fn the_environment_chooses_seeds() {
        let asked = |seed, seeds| Asked {
            seed,
            seeds,
            shrink: false,
        };
        assert_eq!(asked(None, None).of(3..9), 3..9);
        assert_eq!(asked(Some(7), Some(100)).of(3..9), 7..8);
        assert_eq!(asked(None, Some(100)).of(3..9), 3..103);
    }
}
