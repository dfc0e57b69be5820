//! What nobody sends on purpose, and what somebody might: random, bent and cut frames against the
//! host, its machines and every parser.
//!
//! `TAPLINE_SEEDS` says how many seeds each test runs; `TAPLINE_SEED` runs one alone, to repeat a
//! failure. The bodies take their decisions from a [`chance::Chance`], so the fuzz targets in
//! `tests/fuzz` share them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation
)]

#[path = "robust/captures.rs"]
mod captures;
#[path = "robust/chance.rs"]
mod chance;
#[path = "robust/craft.rs"]
mod craft;
#[path = "robust/discovery.rs"]
mod discovery;
#[path = "robust/drive.rs"]
mod drive;
#[path = "robust/machines.rs"]
mod machines;
#[path = "robust/parse.rs"]
mod parse;
#[path = "robust/targets.rs"]
mod targets;
#[path = "robust/tcp.rs"]
mod tcp;

use chance::Chance;
use std::env;
use std::ops::Range;

/// Steps of one seed; each step is one frame, the fragments of a packet, a call or a wait.
const STEPS: u32 = 2000;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// The seeds to run: those asked for, else a few.
fn seeds(few: u64) -> Range<u64> {
    match number("TAPLINE_SEED") {
        Some(one) => one..one + 1,
        None => 0..number("TAPLINE_SEEDS").unwrap_or(few),
    }
}

/// Runs a body with many seeds and says which one failed.
fn with_seeds(few: u64, mut body: impl FnMut(u64)) {
    struct Tell(u64);
    impl Drop for Tell {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("repeat with TAPLINE_SEED={}", self.0);
            }
        }
    }
    for seed in seeds(few) {
        let tell = Tell(seed);
        body(seed);
        std::mem::forget(tell);
    }
}

#[test]
fn no_frame_harms_a_host() {
    let (mut taken, mut all) = (0, 0);
    with_seeds(18, |seed| {
        let drive = drive::run(seed as usize, seed, &mut Chance::from_seed(seed), STEPS);
        let stats = drive.host.stats();
        taken += stats.delivered.iter().sum::<u64>() + stats.forwarded;
        all += drive.frames_in;
        if number("TAPLINE_SEED").is_some() {
            eprintln!("{}", drive.account());
        }
    });
    assert!(
        taken > all / 25,
        "too little gets in to test anything: {taken} of {all}"
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    with_seeds(9, |seed| {
        let run = || drive::run(seed as usize, seed, &mut Chance::from_seed(seed), STEPS / 4);
        let (one, two) = (run(), run());
        assert!(one.frames_out > 0);
        assert_eq!((one.digest, one.frames_out), (two.digest, two.frames_out));
        assert_eq!(one.host.stats(), two.host.stats());
    });
}

#[test]
fn a_clone_does_as_the_original() {
    with_seeds(9, |seed| {
        let mut c = Chance::from_seed(seed);
        let mut one = drive::run(seed as usize, seed, &mut c, STEPS / 8);
        // In the midst of things: packets wait, are parked, are being cut.
        for bytes in craft::frames(&mut c, &one.target.clone()) {
            one.receive(&mut c, &bytes);
        }
        let (mut two, mut other) = (one.clone(), c.clone());
        for _ in 0..STEPS / 8 {
            one.step(&mut c);
        }
        for _ in 0..STEPS / 8 {
            two.step(&mut other);
        }
        assert_eq!((one.digest, one.frames_out), (two.digest, two.frames_out));
        assert_eq!(one.host.stats(), two.host.stats());
    });
}

#[test]
fn scripts_lead_into_each_state_of_tcp() {
    for state in tcp::STATES {
        for (offer, ends) in [(false, 0), (true, 0), (false, 1), (true, 1)] {
            let peer = tcp::Peer::in_state(state, tcp::ENDS[ends], offer);
            let want = match state {
                stack::transport::tcp::State::Listen => vec![],
                state => vec![state],
            };
            assert_eq!(peer.states(), want, "offer {offer}, {:?}", tcp::ENDS[ends]);
        }
    }
}

#[test]
fn no_peer_harms_a_connection() {
    let (mut accepted, mut out) = (0, 0);
    with_seeds(60, |seed| {
        let peer = tcp::run(&mut Chance::from_seed(seed), STEPS / 4);
        accepted += peer.host.stats().tcp.accepted;
        out += peer.out;
    });
    assert!(accepted > 60 && out > 3000, "{accepted} opened, {out} sent");
}

#[test]
fn no_bytes_harm_a_parser() {
    with_seeds(20, |seed| {
        let mut c = Chance::from_seed(seed);
        // Some hosts' frames are good to bend: they hold what the host itself says.
        let target = drive::run(seed as usize, seed, &mut c, 50).target;
        for _ in 0..100 {
            let n = c.below(100);
            parse::every_parser(&c.bytes(n));
            for frame in craft::frames(&mut c, &target) {
                parse::every_parser(&frame);
                captures::dissect(&[&[c.byte() & 15], &frame[..]].concat());
            }
        }
        // Cut at every length.
        for frame in craft::frames(&mut c, &target).iter().take(4) {
            for len in 0..frame.len().min(200) {
                parse::every_parser(&frame[..len]);
            }
        }
    });
}

#[test]
fn no_capture_harms_the_dissector() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pcaps");
    let paths = std::fs::read_dir(root).unwrap().map(|f| f.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|p| p.is_file()).collect();
    paths.sort();
    let files: Vec<_> = paths.iter().map(|p| std::fs::read(p).unwrap()).collect();
    with_seeds(20, |seed| {
        let mut c = Chance::from_seed(seed);
        let mut file = c.pick(&files).unwrap();
        let other = c.pick(&files).unwrap();
        for _ in 0..10 {
            craft::bend(&mut c, &mut file, &other, true);
            captures::dissect(&file);
        }
    });
}

#[test]
fn no_input_harms_a_machine() {
    with_seeds(20, |seed| machines::all(&mut Chance::from_seed(seed)));
}

#[test]
fn no_neighbour_harms_a_host() {
    let (mut taken, mut all) = (0, 0);
    let mut believed = [0; 6];
    with_seeds(24, |seed| {
        let mut c = Chance::from_seed(seed);
        let drive = discovery::run(seed as usize, seed, &mut c, STEPS / 2);
        taken += drive.host.stats().delivered.iter().sum::<u64>();
        all += drive.frames_in;
        for (sum, n) in believed.iter_mut().zip(discovery::believed(&drive)) {
            *sum += n;
        }
        if number("TAPLINE_SEED").is_some() {
            eprintln!("{}", drive.account());
        }
    });
    assert!(taken > all / 8, "too little is heard: {taken} of {all}");
    // Redirects, paths, routers' advertisements, addresses made of them, conflicts, evicted neighbours.
    let enough = believed.iter().all(|n| *n >= 20);
    assert!(enough, "some lies are never believed: {believed:?}");
}

#[test]
fn no_user_harms_a_host() {
    with_seeds(20, |seed| {
        drive::run_user(&mut Chance::from_seed(seed), 500)
    });
}

#[test]
fn no_first_input_harms_its_target() {
    type Target = fn(&[u8]);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let all: [(&str, Target); 7] = [
        ("dissect", captures::dissect),
        ("wire", targets::wire),
        ("link_net", targets::link_net),
        ("transport", targets::transport),
        ("tcp", targets::tcp),
        ("host", targets::host),
        ("discovery", targets::discovery),
    ];
    for (name, target) in all {
        let files = std::fs::read_dir(root.join(name)).unwrap();
        let mut ran = 0;
        for file in files {
            target(&std::fs::read(file.unwrap().path()).unwrap());
            ran += 1;
        }
        assert!(ran > 0, "{name} has no first inputs");
    }
}

/// Writes the fuzzers' first inputs: `cargo test --test robust -- --ignored`. They are few and
/// small; what a fuzzer finds beyond them it keeps to itself.
#[test]
#[ignore = "writes files into tests/fuzz/corpus"]
fn writes_corpora() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let write = |target: &str, n: usize, bytes: &[u8]| {
        let folder = root.join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{n:02}")), bytes).unwrap();
    };
    let mut c = Chance::from_seed(1);
    let target = drive::run(1, 1, &mut c, 200).target;
    let frames = std::iter::repeat_with(|| craft::frames(&mut c, &target));
    let frames: Vec<_> = frames
        .flatten()
        .filter(|f| f.len() < 400)
        .take(32)
        .collect();
    for (n, frame) in frames.iter().enumerate() {
        write("wire", n, frame);
        write("dissect", n, &[&[0], &frame[..]].concat());
    }
    for (name, kinds) in [
        ("link_net", 4),
        ("transport", 2),
        ("host", drive::KINDS.len()),
        ("tcp", tcp::STATES.len()),
        ("discovery", discovery::KINDS.len()),
    ] {
        for n in 0..(2 * kinds).max(8) {
            let mut bytes = vec![(n % kinds) as u8];
            bytes.extend(c.bytes(300));
            write(name, n, &bytes);
        }
    }
}
