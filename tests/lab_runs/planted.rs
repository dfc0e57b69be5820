//! A bug that was planted is found among random worlds, and made small.

use tapline::lab::random;
use tapline::lab::shrink::{Shrunk, shrink};
use tapline::lab::topology::{Kind, Topology};
use tapline::lab::{file, harness};

/// The random world of `seed`, in which all that reassembles does it wrong.
fn planted(seed: u64) -> Topology {
    let mut topology = random::topology(seed);
    for node in topology.nodes.iter_mut().filter(|n| n.kind != Kind::Hub) {
        node.settings.planted_off_by_one = Some(true);
    }
    topology
}

fn shrunk(seed: u64) -> Shrunk {
    shrink(&planted(seed), seed, &mut |_| {}).unwrap()
}

/// Where the bug shows among 200 worlds; that it is not there without the plant, other tests say.
fn found() -> Vec<u64> {
    let fails = |seed: &u64| {
        let mut fine = |_: &_, _: &_| Ok(());
        harness::first_failure("planted", &planted(*seed), [*seed], false, &mut fine).is_some()
    };
    (0..200).filter(fails).collect()
}

#[test]
fn an_off_by_one_in_reassembly_is_found_and_made_small() {
    let found = found();
    assert!(found.len() >= 3, "{found:?}");
    eprintln!("found with the seeds {found:?}");
    for seed in found.into_iter().step_by(9) {
        let shrunk = shrunk(seed);
        eprintln!("{shrunk}");
        assert!(shrunk.packets <= 20, "seed {seed}: {shrunk}");
        assert!(
            shrunk.topology.faults.lines.len() <= 3,
            "seed {seed}: {shrunk}"
        );
        assert!(
            shrunk.failure.starts_with("world.malformed == 0"),
            "{shrunk}"
        );
        // What is printed says the same to whoever runs it.
        let text = shrunk.to_string();
        let again = file::parse("small.toml", &text).unwrap().topology;
        assert_eq!(again.seed, Some(shrunk.seed));
        let outcome = again.run(shrunk.seed).unwrap();
        assert_eq!(
            outcome.failures().next(),
            Some(shrunk.failure.as_str()),
            "{text}"
        );
        // And it is the plant that does it.
        let mut mended = again;
        for node in &mut mended.nodes {
            node.settings.planted_off_by_one = None;
        }
        assert!(mended.run(shrunk.seed).unwrap().holds(), "{text}");
    }
}
