//! Runs of the lab, whole: the same again in another process, from the middle, from behind; every
//! frame accounted for at every step; what one fault line decides is nobody else's business.
//!
//! `TAPLINE_SEEDS` says how many seeds each test runs; `TAPLINE_SEED` runs one alone, to repeat a
//! failure; `TAPLINE_SHRINK=1` prints the least that still fails.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

#[path = "lab_runs/flood.rs"]
mod flood;
#[path = "lab_runs/flows.rs"]
mod flows;
#[path = "lab_runs/planted.rs"]
mod planted;
#[path = "lab_runs/worlds.rs"]
mod worlds;

use stack::time::Instant;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use tapline::lab::build::Options;
use tapline::lab::harness::{self, Asked};
use tapline::lab::history::{Config, History};
use tapline::lab::scenario::{self, Scenario};
use tapline::lab::{World, topology::Topology};

/// Seeds of each scenario in each process.
const SEEDS: u64 = 50;
/// Of an attack, which is some ten thousand frames where others are a hundred.
const ATTACK_SEEDS: u64 = 5;
/// What the other process is asked for: `NAME SEED` for a trace, else all digests.
const ASK: &str = "TAPLINE_LAB_ASK";

/// What of scenario and seed a process came to.
type Digest = (String, u64, u64);

/// The world of a scenario at its beginning, with its digest kept.
fn world(topology: &Topology, seed: u64) -> World {
    let options = Options {
        seed,
        digest: true,
        ..Options::default()
    };
    topology.build(&options).unwrap()
}

fn digests() -> Vec<Digest> {
    let mut digests = Vec::new();
    for Scenario { name, .. } in scenario::all() {
        let topology = scenario::find(name).unwrap().topology();
        let seeds = match name.starts_with("attack-") {
            true => ATTACK_SEEDS,
            false => SEEDS,
        };
        harness::check(name, &topology, 0..seeds, |_, outcome| {
            digests.push(((*name).to_owned(), outcome.seed, outcome.digest));
            Ok(())
        });
    }
    digests
}

/// Everything that happens in a run, a line each.
fn trace(name: &str, seed: u64) -> Vec<String> {
    let topology = scenario::find(name).unwrap().topology();
    let options = Options {
        seed,
        watch: true,
        ..Options::default()
    };
    let mut world = topology.build(&options).unwrap();
    let mut lines = Vec::new();
    while world.step_until(topology.end()) {
        while let Some(event) = world.poll_trace() {
            lines.push(format!("{event:?}"));
        }
    }
    lines
}

/// Starts this program again, to answer on its standard output, each line after a mark: the test
/// harness writes there as well.
fn other(ask: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "answers_another_process",
            "--ignored",
            "--nocapture",
        ])
        .env(ASK, ask)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

const MARK: &str = "==> ";

fn answers(mut child: Child) -> Vec<String> {
    let out = BufReader::new(child.stdout.take().unwrap());
    let lines = out.lines().map(Result::unwrap);
    let marked = lines.filter_map(|l| Some(l.split_once(MARK)?.1.to_owned()));
    let all = marked.collect();
    assert!(child.wait().unwrap().success(), "the other process failed");
    all
}

#[test]
#[ignore = "the other process of the test below"]
fn answers_another_process() {
    let Ok(ask) = std::env::var(ASK) else { return };
    match ask.split_once(' ') {
        Some((name, seed)) => {
            for line in trace(name, seed.parse().unwrap()) {
                println!("\n{MARK}{line}");
            }
        }
        None => {
            for (name, seed, digest) in digests() {
                println!("\n{MARK}{name} {seed} {digest}");
            }
        }
    }
}

/// The first event in which two runs differ, told; `None` where they do not.
fn first_difference(ours: &[String], theirs: &[String]) -> Option<String> {
    let end = "(the run is over)".to_owned();
    let line = (0..ours.len().max(theirs.len())).find(|&i| ours.get(i) != theirs.get(i))?;
    let of = |lines: &[String]| lines.get(line).unwrap_or(&end).clone();
    let (ours, theirs) = (of(ours), of(theirs));
    Some(format!(
        "event {}:\n  here  {ours}\n  there {theirs}",
        line + 1
    ))
}

#[test]
fn every_scenario_holds_and_is_the_same_in_another_process() {
    let child = other("digests");
    let ours = digests();
    let theirs = answers(child);
    assert_eq!(ours.len(), theirs.len());
    for ((name, seed, digest), there) in ours.iter().zip(&theirs) {
        if format!("{name} {seed} {digest}") != *there {
            let theirs = answers(other(&format!("{name} {seed}")));
            let first = first_difference(&trace(name, *seed), &theirs);
            let first = first.unwrap_or_else(|| "in no event that is traced".to_owned());
            panic!("{name} with seed {seed} differs in another process, {first}");
        }
    }
    let different: std::collections::BTreeSet<u64> = ours.iter().map(|d| d.2).collect();
    assert!(different.len() > ours.len() / 2, "the seed decides little");
}

#[test]
fn the_first_event_that_differs_is_shown() {
    let theirs = answers(other("bursts 2"));
    assert_eq!(first_difference(&trace("bursts", 2), &theirs), None);
    let ours = trace("bursts", 1);
    let told = first_difference(&ours, &theirs).unwrap();
    let n = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
    assert!(
        told.starts_with(&format!("event {}:\n  here  Event {{", n + 1)),
        "{told}"
    );
    let told = first_difference(&theirs[..5], &theirs).unwrap();
    assert!(
        told.contains("event 6:\n  here  (the run is over)"),
        "{told}"
    );
}

/// A few seeds of every scenario.
fn each(seeds: u64, mut body: impl FnMut(&str, &Topology, u64)) {
    for scenario in scenario::all() {
        let topology = scenario.topology();
        // With many seeds this is still not the place to spend the time.
        for seed in Asked::from_environment().of(0..seeds).take(20) {
            body(scenario.name, &topology, seed);
        }
    }
}

#[test]
fn a_fork_at_half_time_ends_as_the_unbroken_run() {
    each(5, |name, topology, seed| {
        let whole = topology.run(seed).unwrap();
        let half = Instant::ZERO + (topology.end() - Instant::ZERO) / 2;
        let mut first = world(topology, seed);
        first.run_until(half);
        let mut fork = first.clone();
        let before = fork.digest();
        // What the one does must not reach the other.
        first.run_until(topology.end());
        assert_eq!(fork.digest(), before, "{name}, seed {seed}");
        fork.run_until(topology.end());
        for mut world in [first, fork] {
            let outcome = topology.judge(seed, &mut world);
            assert_eq!(outcome.digest, whole.digest, "{name}, seed {seed}");
            assert_eq!(outcome.judged, whole.judged, "{name}, seed {seed}");
        }
    });
}

#[test]
fn going_back_to_any_event_and_forward_leads_to_the_same_worlds() {
    each(1, |name, topology, seed| {
        let config = Config {
            every: 16,
            checkpoints: 128,
        };
        let mut history = History::new(world(topology, seed), config);
        let mut digests = vec![history.world().digest()];
        while history.forward_to(topology.end()) {
            digests.push(history.world().digest());
        }
        let last = digests.len() - 1;
        // All of a short run, a prime number apart in a long one, and from there on to the end.
        let apart = if last < 1000 { 1 } else { 61 };
        for step in (0..=last).rev().step_by(apart) {
            assert!(
                history.go_to(step as u64),
                "{name}, seed {seed}, step {step}"
            );
            assert_eq!(
                history.world().digest(),
                digests[step],
                "{name}, seed {seed}, step {step}"
            );
        }
        for step in [0, last / 3, last] {
            assert!(history.go_to(step as u64));
        }
        while history.world().steps() < last as u64 && history.forward() {}
        assert_eq!(
            history.world().digest(),
            digests[last],
            "{name}, seed {seed}"
        );
    });
}

#[test]
fn every_frame_is_accounted_for_at_every_step() {
    each(2, |name, topology, seed| {
        worlds::audited(name, topology, seed)
    });
}
