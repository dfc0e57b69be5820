//! Random worlds: nothing gets lost in them unnoticed, and each is the same twice.

use stack::time::Instant;
use tapline::lab::harness::{self, Asked};
use tapline::lab::random;
use tapline::lab::topology::Topology;

/// Runs it to its end, and looks after every step that all is accounted for; in a long run after
/// each seventh, since a look costs as much as the world is large.
pub(crate) fn audited(name: &str, topology: &Topology, seed: u64) {
    let mut world = super::world(topology, seed);
    let end = topology.end();
    let each = |steps: u64| if steps < 1000 { 1 } else { 7 };
    while world.step_until(end) {
        let steps = world.steps();
        if steps.is_multiple_of(each(steps))
            && let Err(what) = world.audit()
        {
            let at = world.now() - Instant::ZERO;
            panic!("{name}, seed {seed}, step {steps} at {at:?}: {what}");
        }
    }
    world.audit().unwrap();
}

/// Each random world is its own topology, so a seed is repeated by `TAPLINE_SEED` as well.
fn each(few: u64, body: impl Fn(&Topology, u64)) {
    for seed in Asked::from_environment().of(0..few) {
        body(&random::topology(seed), seed);
    }
}

#[test]
fn random_worlds_hold() {
    each(200, |topology, seed| {
        let shrink = Asked::from_environment().shrink;
        let mut fine = |_: &_, _: &_| Ok(());
        let failure = harness::first_failure("a random world", topology, [seed], shrink, &mut fine);
        assert!(failure.is_none(), "{}", failure.unwrap());
    });
}

#[test]
fn random_worlds_are_the_same_twice() {
    each(40, |topology, seed| {
        let (one, two) = (topology.run(seed).unwrap(), topology.run(seed).unwrap());
        assert_eq!(one, two, "seed {seed}");
    });
}

#[test]
fn random_worlds_are_accounted_for_at_every_step() {
    each(40, |topology, seed| {
        audited("a random world", topology, seed)
    });
}

#[test]
fn random_worlds_fork() {
    each(40, |topology, seed| {
        let mut world = super::world(topology, seed);
        world.run_until(Instant::ZERO + (topology.end() - Instant::ZERO) / 2);
        let mut fork = world.clone();
        world.run_until(topology.end());
        fork.run_until(topology.end());
        assert_eq!(world.digest(), fork.digest(), "seed {seed}");
        assert_eq!(
            topology.run(seed).unwrap().digest,
            fork.digest().unwrap(),
            "seed {seed}"
        );
    });
}
