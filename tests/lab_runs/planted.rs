//! A bug that was planted is found among random worlds, and made small.

use stack::link::impair;
use tapline::lab::harness::Asked;
use tapline::lab::random;
use tapline::lab::shrink::shrink;
use tapline::lab::topology::{Kind, Topology};
use tapline::lab::{file, harness};

/// The random world of `seed`, in which all that reassembles does it wrong. Wires that are good by
/// themselves leave it to the faults to show it.
fn planted(seed: u64, good_wires: bool) -> Topology {
    let mut topology = random::topology(seed);
    for node in topology.nodes.iter_mut().filter(|n| n.kind != Kind::Hub) {
        node.settings.planted_off_by_one = Some(true);
    }
    for way in topology.wires.iter_mut().flat_map(|w| &mut w.ways) {
        if good_wires {
            *way = impair::Config {
                mtu: way.mtu,
                delay: way.delay,
                ..impair::Config::default()
            };
        }
    }
    topology
}

/// Where the bug shows among 200 worlds; that it is not there without the plant, other tests say.
fn found(good_wires: bool) -> Vec<u64> {
    let fails = |seed: &u64| {
        let mut fine = |_: &_, _: &_| Ok(());
        let topology = planted(*seed, good_wires);
        harness::first_failure("planted", &topology, [*seed], false, &mut fine).is_some()
    };
    (0..200).filter(fails).collect()
}

/// Each `apart`-th that was found becomes small, and what is printed of it fails likewise.
fn made_small(good_wires: bool, apart: usize) {
    let found = match Asked::from_environment().seed {
        Some(one) => vec![one],
        None => found(good_wires),
    };
    if Asked::from_environment().seed.is_none() {
        assert!(found.len() >= 3, "{found:?}");
    }
    for &seed in found.iter().step_by(apart) {
        let topology = planted(seed, good_wires);
        let shrunk = shrink(&topology, seed, &mut |_| {}).unwrap();
        let faults = shrunk.topology.faults.lines.len();
        assert!(shrunk.packets <= 20, "seed {seed}: {shrunk}");
        assert!(faults <= 3, "seed {seed}: {shrunk}");
        assert!(faults >= 1 || !good_wires, "seed {seed}: {shrunk}");
        assert!(
            shrunk.failure.starts_with("world.malformed == 0"),
            "{shrunk}"
        );
        // What is printed says the same to whoever runs it.
        let text = shrunk.to_string();
        let again = file::parse("small.toml", &text).unwrap().topology;
        assert_eq!(again.seed, Some(shrunk.seed));
        let outcome = again.run(shrunk.seed).unwrap();
        let failure = outcome.failures().next();
        assert_eq!(failure, Some(shrunk.failure.as_str()), "{text}");
        // And it is the plant that does it.
        let mut mended = again;
        for node in &mut mended.nodes {
            node.settings.planted_off_by_one = None;
        }
        assert!(mended.run(shrunk.seed).unwrap().holds(), "{text}");
    }
}

/// How far apart the worlds are that are made small: all of them where there is time.
fn apart(few: usize) -> usize {
    match Asked::from_environment().seeds {
        Some(_) => 1,
        None => few,
    }
}

#[test]
fn an_off_by_one_in_reassembly_is_found_and_made_small() {
    made_small(false, apart(5));
}

#[test]
fn so_it_is_where_only_faults_show_it() {
    made_small(true, apart(4));
}
