//! `bench tcp`: one stream each way, turns of a byte, and connections, beside two yardsticks.
//!
//! ```text
//!   tapline     kernel -- TAP -- tapline up
//!   responder   kernel -- TAP -- the smallest end that works, with a copy and checksums
//!   veth        kernel -- veth -- kernel
//! ```
//!
//! Rounds take turns, so that what else the machine does falls on each alike; what counts are the
//! ratios of medians.

use super::load::{self, figure};
use super::{Outcome, median, responder, tapline_beside};
use serde_json::{Value, json};
use std::env;
use std::process::{Command, exit};
use std::thread;
use tapline::device::namespace;
use tapline::device::netlink::Netlink;
use tapline::device::tap::Tap;

const PEERS: [&str; 3] = ["tapline", "responder", "veth"];
const FIGURES: [(&str, &str); 5] = [
    ("in", "in, Gbit/s"),
    ("out", "out, Gbit/s"),
    ("turn_p50", "turn, µs p50"),
    ("turn_p99", "turn, µs p99"),
    ("connections", "connections/s"),
];

/// Two kernels and what is asked between them; `$1` is this program, `$2` seconds.
const VETH: &str = r#"set -e
mount -t tmpfs none /run; mkdir /run/netns
for n in a b; do ip netns add $n; ip -n $n link set lo up; done
ip link add va netns a type veth peer name vb netns b
ip -n a addr add 10.7.0.1/24 dev va; ip -n a link set va up
ip -n b addr add 10.7.0.2/24 dev vb; ip -n b link set vb up
ip netns exec b "$1" load serve >/dev/null & server=$!
trap "kill $server" EXIT
ip netns exec a "$1" load all 10.7.0.2 $2"#;

/// What was asked for.
pub(super) struct Asked {
    pub(super) rounds: usize,
    pub(super) seconds: String,
    pub(super) json: bool,
}

impl Asked {
    /// `[ROUNDS [SECONDS]] [--json]`.
    pub(super) fn parse(words: &[&str]) -> Outcome<Self> {
        let json = words.contains(&"--json");
        let mut rest = words.iter().filter(|word| **word != "--json");
        let rounds = rest.next().map_or(Ok(5), |word| word.parse())?;
        let seconds = rest.next().map_or("2", |word| word).to_owned();
        let _: f64 = seconds.parse()?;
        match rest.next() {
            None => Ok(Self {
                rounds,
                seconds,
                json,
            }),
            Some(word) => Err(format!("what is `{word}`?").into()),
        }
    }
}

/// Runs all in turn and prints each round, the medians and the ratios.
pub(super) fn compare(asked: &Asked) -> Outcome<()> {
    let mut found: [Vec<Value>; 3] = Default::default();
    if !asked.json {
        print!("{:22}", "");
        for (_, title) in FIGURES {
            print!("{title:>15}");
        }
        println!();
    }
    for round in 1..=asked.rounds {
        for (peer, found) in PEERS.iter().zip(&mut found) {
            let figures = ask(peer, &asked.seconds)?;
            if !asked.json {
                line(&format!("round {round} {peer}"), |name| {
                    figure(&figures, name)
                });
            }
            found.push(figures);
        }
    }
    let medians = found.each_ref().map(|rounds| {
        FIGURES.map(|(name, _)| median(rounds.iter().map(|r| figure(r, name)).collect()))
    });
    let [ours, theirs, kernels] = &medians;
    let ratios = [
        ("in", "tapline / responder, in", ours[0] / theirs[0], 0.8),
        ("out", "tapline / veth, out", ours[1] / kernels[1], 0.6),
    ];
    let others = [
        ("in_of_veth", "tapline / veth, in", ours[0] / kernels[0]),
        (
            "out_of_responder",
            "tapline / responder, out",
            ours[1] / theirs[1],
        ),
        ("turn_of_veth", "tapline / veth, turn", ours[2] / kernels[2]),
        (
            "turn_of_responder",
            "tapline / responder, turn",
            ours[2] / theirs[2],
        ),
        (
            "connections_of_veth",
            "tapline / veth, connections",
            ours[4] / kernels[4],
        ),
    ];
    if asked.json {
        let named = |m: &[f64; 5]| -> Value {
            let pairs = FIGURES.iter().zip(m);
            pairs
                .map(|((name, _), value)| ((*name).to_owned(), json!(value)))
                .collect()
        };
        let all = ratios
            .iter()
            .map(|r| (r.0, r.2))
            .chain(others.iter().map(|r| (r.0, r.2)));
        let all: Value = all
            .map(|(name, ratio)| (name.to_owned(), json!(ratio)))
            .collect();
        let medians: Value = PEERS
            .iter()
            .zip(&medians)
            .map(|(peer, m)| ((*peer).to_owned(), named(m)))
            .collect();
        println!("{}", json!({ "medians": medians, "ratios": all }));
        return Ok(());
    }
    for (peer, medians) in PEERS.iter().zip(&medians) {
        let of = |name: &str| {
            FIGURES
                .iter()
                .position(|f| f.0 == name)
                .map_or(f64::NAN, |i| medians[i])
        };
        line(&format!("median {peer}"), of);
    }
    for (_, title, ratio, goal) in ratios {
        println!("{title:30} {ratio:5.2} (goal {goal})");
    }
    for (_, title, ratio) in others {
        println!("{title:30} {ratio:5.2}");
    }
    Ok(())
}

fn line(title: &str, figure: impl Fn(&str) -> f64) {
    print!("{title:22}");
    for (name, _) in FIGURES {
        print!("{:>15.1}", figure(name));
    }
    println!();
}

/// One peer's figures.
fn ask(peer: &str, seconds: &str) -> Outcome<Value> {
    let this = env::current_exe()?;
    let mut command;
    match peer {
        "tapline" => {
            command = Command::new(tapline_beside()?);
            command.args(["up", "--"]).arg(this);
            command.args(["load", "all", super::HOST, seconds]);
        }
        "veth" => {
            command = Command::new("unshare");
            command.args(["-n", "-m", "sh", "-c", VETH, "sh"]);
            command.arg(this).arg(seconds);
        }
        _ => {
            command = Command::new(this);
            command.args(["respond", "tcp", seconds]);
        }
    }
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let said = text.lines().find(|line| line.starts_with('{'));
    let said = said.ok_or_else(|| {
        let wrong = String::from_utf8_lossy(&output.stderr);
        format!("{peer} said nothing: {text}{wrong}")
    })?;
    Ok(serde_json::from_str(said)?)
}

/// The responder on a TAP, and the load beside it, which ends both.
pub(super) fn respond(seconds: &str) -> Outcome<()> {
    namespace::enter()?;
    let tap = Tap::open("tap0", None)?;
    let mut netlink = Netlink::open()?;
    netlink.set_up("tap0")?;
    netlink.add_address("tap0", "10.7.0.1/24".parse()?)?;
    let seconds = seconds.parse()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the load runs beside what answers it"
    )]
    thread::spawn(move || {
        let done = load::all(super::HOST, seconds);
        let said = done.inspect_err(|e| eprintln!("bench: {e}"));
        exit(i32::from(said.is_err()));
    });
    responder::run(&tap)
}
