//! The kernel in a node's place: what `lab run --attach` promises to its programs.

use crate::common::{Ran, TempFile, World, run, run_as, tapline};
use crate::{Anyone, Root, Test};
use serde_json::Value;
use std::collections::BTreeSet;
use tapline::lab::build::echo_ident;

pub(crate) const TESTS: &[Test] = &[
    (
        Anyone,
        "lab_adds_up_the_delays_and_loses_what_the_seed_says",
        lab_adds_up_the_delays_and_loses_what_the_seed_says,
    ),
    (
        Anyone,
        "lab_ends_with_the_command_and_its_exit_code",
        lab_ends_with_the_command,
    ),
    (
        Anyone,
        "lab_attaches_to_each_port_of_a_node",
        lab_attaches_to_each_port,
    ),
    (
        Root,
        "lab_joins_two_kernels_that_were_moved_away",
        lab_joins_two_kernels,
    ),
    (
        Root,
        "lab_attaches_for_an_ordinary_user",
        lab_attaches_for_an_ordinary_user,
    ),
];

/// Three bad wires in a row; the losses are where no ARP of the kernel's is.
const THREE_WIRES: &str = r#"
caption = "Three bad wires in a row"
until = "20s"

[[node]]
name = "a"
[[node]]
name = "r1"
kind = "router"
[[node]]
name = "r2"
kind = "router"
[[node]]
name = "b"

[[wire]]
between = ["a", "r1"]
delay = "10ms"
[[wire]]
between = ["r1", "r2"]
delay = "20ms"
loss = "20%"
[[wire]]
between = ["r2", "b"]
delay = "30ms"

[[client]]
name = "p"
node = "a"
kind = "ping"
to = "b"
count = 40
interval = "200ms"
"#;

/// The first seed with which a simulated `a` gets an answer, as the routers' ARP is not lost, and
/// the requests whose answers it gets. Which packet of a flow is lost does not depend on who sends,
/// as long as it is the same flow: the kernel's echoes have the identifier of the client's.
fn answered(file: &str) -> (u64, BTreeSet<u64>) {
    for seed in 1..50 {
        let args = [
            "lab",
            "run",
            file,
            "--seed",
            &seed.to_string(),
            "--trace",
            "-",
        ];
        let ran = run(&args).exits(0);
        let events = ran.out.lines().map(|l| serde_json::from_str(l).unwrap());
        let events: Vec<Value> = events.collect();
        let is_lost_question = |e: &Value| {
            let before = e["t"].as_u64() < Some(1_000_000_000);
            e["kind"] == "drop" && e["reason"] == "wire-loss" && before
        };
        let replies = events
            .iter()
            .filter(|e| e["kind"] == "note" && e["name"] == "reply");
        let seq = |e: &Value| {
            let text = e["text"].as_str().unwrap().to_owned();
            let seq = text.split(' ').find_map(|w| w.strip_prefix("seq="));
            seq.unwrap().parse().unwrap()
        };
        let replies: BTreeSet<u64> = replies.map(seq).collect();
        let first = events.iter().take_while(|e| e["name"] != "reply");
        if first.filter(|e| is_lost_question(e)).count() == 0 && replies.len() < 40 {
            return (seed, replies);
        }
    }
    panic!("no seed of fifty is good enough: is the wire as bad as that?");
}

/// The numbers of the requests that were answered, and the times in milliseconds.
fn pings(ran: &Ran) -> (BTreeSet<u64>, Vec<f64>) {
    let lines = ran.lines_with("icmp_seq=").filter(|l| l.contains("time="));
    let word = |line: &str, name: &str| -> String {
        let mut words = line.split(' ');
        words.find_map(|w| w.strip_prefix(name)).unwrap().to_owned()
    };
    lines
        .map(|l| {
            let seq: u64 = word(l, "icmp_seq=").parse().unwrap();
            let time: f64 = word(l, "time=").parse().unwrap();
            (seq, time)
        })
        .unzip()
}

fn lab_adds_up_the_delays_and_loses_what_the_seed_says() {
    let file = TempFile::new("three-wires.toml", THREE_WIRES);
    let (seed, want) = answered(file.path());
    let seed = seed.to_string();
    let ran = run(&[
        "lab",
        "run",
        file.path(),
        "--seed",
        &seed,
        "--attach",
        "a=tap0",
        "--",
        "ping",
        "-c",
        "40",
        "-i",
        "0.2",
        "-W",
        "2",
        "-e",
        &echo_ident("p").to_string(),
        "10.0.3.2",
    ]);
    let (got, times) = pings(&ran);
    assert_eq!(got, want, "seed {seed}: {ran}");
    let least = times.iter().copied().fold(f64::INFINITY, f64::min);
    // Each of them late by little; the least of all by what it takes to be woken.
    assert!(
        times.iter().all(|t| *t >= 120.0),
        "sooner than light: {ran}"
    );
    assert!(least < 122.0, "{least} ms at least: {ran}");
    assert!(ran.err.contains("behind real time by"), "{ran}");
}

fn lab_ends_with_the_command() {
    let file = TempFile::new("three-wires.toml", THREE_WIRES);
    let attach = |words: &[&str]| run(&[&["lab", "run", file.path()], words].concat());
    attach(&["--attach", "a", "--", "sh", "-c", "exit 7"]).exits(7);
    let shown = "ip -o -4 addr show tap0; ip -o link show tap0; ip route";
    let ran = attach(&["--attach", "a=tap0", "--", "sh", "-c", shown]).exits(0);
    for words in [
        "10.0.1.1/24",
        "mtu 1500",
        "02:00:00:00:00:00",
        "default via 10.0.1.2 dev tap0",
    ] {
        assert!(ran.out.contains(words), "{words}: {ran}");
    }
    for (node, why) in [
        ("c", "there is no node `c`"),
        (
            "r1",
            "2 wires end there: say r1.0 (wire a-r1) or r1.1 (wire r1-r2)",
        ),
        ("r1.2", "2 wires end there: say r1.0"),
        ("a.x", "one wire ends there: a.0 (wire a-r1)"),
        ("a=tap/0", "no interface name"),
    ] {
        let ran = attach(&["--attach", node, "--", "true"]).exits(2);
        assert!(ran.err.contains(why), "{node}: {ran}");
    }
    // What is asserted is judged with a command as without, unless it is about the kernel.
    let asserts = "asserts = [\"b.echoes >= 1\", \"p.received >= 1\", \"a.echoes >= 1\"]";
    let asserted = format!("{asserts}\n{}", THREE_WIRES.replace("loss = \"20%\"", ""));
    let asserted = TempFile::new("asserted.toml", &asserted);
    let judged = |words: &[&str]| {
        let words = [
            &["lab", "run", asserted.path(), "--attach", "a=tap0"],
            words,
        ]
        .concat();
        run(&words)
    };
    let ran = judged(&["--", "ping", "-c", "1", "-W", "2", "10.0.3.2"]).exits(0);
    for words in [
        "holds  b.echoes >= 1",
        "not judged: p.received >= 1 (p does not run: a is the kernel)",
        "not judged: a.echoes >= 1 (a is the kernel)",
    ] {
        assert!(ran.err.contains(words), "{words}: {ran}");
    }
    let ran = judged(&["--", "true"]).exits(1);
    assert!(ran.err.contains("FAILS  b.echoes >= 1"), "{ran}");
    let again = format!(
        "again: tapline lab run {} --seed 1 --attach a=tap0 -- true",
        asserted.path()
    );
    assert!(ran.err.contains(&again), "{ran}");
    // A command that fails is what the shell hears of.
    let ran = judged(&["--", "sh", "-c", "exit 7"]).exits(7);
    assert!(ran.err.contains("does not hold"), "{ran}");
    let ran = judged(&["--until", "1s", "--", "ping", "10.0.3.2"]).exits(0);
    assert!(
        ran.err.contains("--until 1s: the command was ended"),
        "{ran}"
    );
    // Without a command and without a terminal it serves, here for a moment.
    let ran = attach(&["--attach", "a", "--until", "300ms"]).exits(0);
    assert!(
        ran.err.contains("runs until") && ran.out.contains("virtual"),
        "{ran}"
    );
}

/// The kernel is a router with two bad wires, and pings to either side.
fn lab_attaches_to_each_port() {
    let file = TempFile::new(
        "three-wires.toml",
        &THREE_WIRES.replace("loss = \"20%\"\n", ""),
    );
    let attach = |words: &[&str]| run(&[&["lab", "run", file.path()], words].concat());
    let script = "ip route; ping -c 2 -W 3 10.0.1.1 && ping -c 2 -W 3 10.0.3.2";
    let both = ["--attach", "r1.1=far", "--attach", "r1.0=near"];
    let ran = attach(&[&both[..], &["--", "sh", "-c", script]].concat()).exits(0);
    assert!(
        ran.out.contains("10.0.3.0/24 via 10.0.2.2 dev far"),
        "{ran}"
    );
    let (_, times) = pings(&ran);
    assert_eq!(times.len(), 4, "{ran}");
    assert!(
        times[..2].iter().all(|t| (20.0..100.0).contains(t)),
        "{ran}"
    );
    assert!(times[2..].iter().all(|t| *t >= 100.0), "{ran}");
    // One side alone: the other is dark.
    let script = "ping -c 1 -W 3 10.0.1.1 && ! ping -c 1 -W 1 10.0.3.2";
    attach(&["--attach", "r1.0", "--", "sh", "-c", script]).exits(0);
}

fn lab_joins_two_kernels() {
    let file = TempFile::new(
        "three-wires.toml",
        &THREE_WIRES.replace("loss = \"20%\"\n", ""),
    );
    let world = World::new(&["lab", "west", "east"], "");
    let script = format!(
        "exec {} lab run {} --attach b=tapb --attach a=tapa --here",
        tapline(),
        file.path()
    );
    let lab = world.start("lab", &script, "the lab runs until");
    let mut moves = String::from("set -e\n");
    for (tap, namespace, address, router) in [
        ("tapa", "west", "10.0.1.1/24", "10.0.1.2"),
        ("tapb", "east", "10.0.3.2/24", "10.0.3.1"),
    ] {
        moves += &format!(
            "ip -n lab link set {tap} netns {namespace}; ip -n {namespace} link set {tap} up
             ip -n {namespace} addr add {address} dev {tap}
             ip -n {namespace} route add default via {router}\n"
        );
    }
    world.middle(&moves).exits(0);
    let ran = world.sh("west", "ping -c 5 -i 0.3 -W 3 10.0.3.2").exits(0);
    let (got, times) = pings(&ran);
    assert_eq!(got.len(), 5, "{ran}");
    assert!(times.iter().all(|t| *t >= 120.0), "{ran}");
    let said = lab.stop();
    assert!(said.contains("behind real time by"), "{said}");
}

/// Somebody who may open neither a TAP nor a raw socket outside of a user namespace.
fn lab_attaches_for_an_ordinary_user() {
    let file = TempFile::new(
        "three-wires.toml",
        &THREE_WIRES.replace("loss = \"20%\"\n", ""),
    );
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let words = [
        "lab",
        "run",
        file.path(),
        "--attach",
        "a",
        "--",
        "ping",
        "-c",
        "3",
        "-W",
        "3",
    ];
    let ran = run_as(&nobody, &[&words[..], &["10.0.3.2"]].concat()).exits(0);
    assert_eq!(pings(&ran).0.len(), 3, "{ran}");
}
