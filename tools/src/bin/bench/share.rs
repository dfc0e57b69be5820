//! `bench share`: two senders over one bottleneck, ours and the kernel's, and who gets how much.
//!
//! ```text
//!   tapline iperf (raw veth) --+
//!                              +-- bridge -- TAP --[ tapline wire: rate, delay, queue ]-- TAP -- iperf3 -s
//!   iperf3 (kernel)          --+
//! ```
//!
//! Read first: RFC 9438 §4.3 (where Reno would have more, CUBIC is to have as much, so that beside
//! each other both get their share) and §5.1, RFC 5166 §2.3 (Jain's index).
//!
//! What is to be expected of a pair is what the kernel does beside itself, which each is printed
//! with: the bottleneck is a drop-tail queue of one bandwidth-delay product, and which of two equal
//! flows it favours differs from run to run. Both receivers are the kernel's, so that what is
//! counted is counted alike. The first third of each run is not.
//!
//! Two things would spoil it. A socket that was BBR's for a moment stays paced for good, and iperf3
//! chooses the algorithm late: so the usual one is Reno here. And what the kernel sends leaves in an
//! interrupt, so the wire and our sender come before other processes, where that is allowed.

use super::{Outcome, median, tapline_beside};
use serde_json::Value;
use std::process::Command;

/// Two senders, and the pair of kernels that tells what to expect.
const CASES: [(Pair, Pair); 3] = [
    (
        ["tapline cubic", "kernel cubic"],
        ["kernel cubic", "kernel cubic"],
    ),
    (
        ["tapline reno", "kernel reno"],
        ["kernel reno", "kernel reno"],
    ),
    (
        ["tapline cubic", "kernel reno"],
        ["kernel cubic", "kernel reno"],
    ),
];
type Pair = [&'static str; 2];

/// The bottleneck, both ways: its queue is one bandwidth-delay product of full frames.
const PATHS: [(&str, &str); 2] = [
    ("20 Mbit/s, 40 ms", "--rate 20mbit --delay 20ms --limit 66"),
    ("50 Mbit/s, 40 ms", "--rate 50mbit --delay 20ms --limit 165"),
];
/// Not counted, of the whole.
const WARM_UP: f64 = 1.0 / 3.0;

/// `$1` is tapline, `$2` the wire's options, `$3` seconds, `$4` and `$5` the senders, of two words
/// each, in the order in which they begin. What the receivers counted is printed in that order.
const SCRIPT: &str = r#"set -e
mount -t tmpfs none /run; mkdir /run/netns
ip link set lo up
for n in mid far one two; do ip netns add $n; ip -n $n link set lo up; done
first=
chrt -f 1 true 2>/dev/null && first="chrt -f 1"
$first $1 wire wa wb $2 2>/run/said >/run/counts & wire=$!
trap 'kill $(jobs -p) 2>/dev/null' EXIT
tries=0
until grep -qs 'wire is ready' /run/said; do
    tries=$((tries + 1)); [ $tries -lt 200 ] || { cat /run/said >&2; exit 1; }; sleep 0.05
done
ip link set wa netns mid; ip link set wb netns far
ip -n far addr add 10.9.0.1/24 dev wb; ip -n far link set wb up
ip -n mid link add br0 type bridge; ip -n mid link set br0 up
ip -n mid link set wa master br0; ip -n mid link set wa up
for n in one two; do
    ip link add v$n netns mid type veth peer name eth netns $n
    ip -n mid link set v$n master br0; ip -n mid link set v$n up
    ip -n $n link set eth up
    ip netns exec $n sysctl -qw net.ipv4.tcp_no_metrics_save=1 net.ipv4.tcp_congestion_control=reno
done
send() { # namespace, address, port, sender, algorithm
    if [ $4 = kernel ]; then
        ip -n $1 addr add $2 dev eth
        ip netns exec $1 ping -q -c 2 -i 0.2 10.9.0.1 >/dev/null || true
        ip netns exec $1 iperf3 -c 10.9.0.1 -p $3 -C $5 -t $seconds
    else
        ip netns exec $1 $first $tapline iperf -c 10.9.0.1 -p $3 -C $5 -t $seconds --raw eth --address $2
    fi >/run/$1.sent 2>&1 || { cat /run/$1.sent >&2; false; }
}
seconds=$3 tapline=$1
for p in 5201 5202; do
    ip netns exec far iperf3 -s -1 -J -p $p >/run/$p.json & eval "s$p=$!"
done
sleep 0.3
send one 10.9.0.11/24 5201 $4 & one=$!
sleep 1
send two 10.9.0.12/24 5202 $5 & two=$!
wait $one; wait $two; wait $s5201; wait $s5202
kill $wire; wait $wire || true
cat /run/5201.json; printf '\0'; cat /run/5202.json"#;

/// `[ROUNDS [SECONDS]]`.
pub(super) fn compare(words: &[&str]) -> Outcome<()> {
    let mut words = words.iter();
    let rounds: usize = words.next().map_or(Ok(3), |word| word.parse())?;
    let seconds: u32 = words.next().map_or(Ok(60), |word| word.parse())?;
    if let Some(word) = words.next() {
        return Err(format!("what is `{word}`?").into());
    }
    println!("two flows over one bottleneck, the last two thirds of {seconds} s");
    for (name, options) in PATHS {
        println!("{name}, a drop-tail queue of one bandwidth-delay product:");
        for (pair, yardstick) in CASES {
            let ours = shares(pair, options, rounds, seconds)?;
            let theirs = shares(yardstick, options, rounds, seconds)?;
            println!(
                "  {:35} share {ours:5.2} beside {theirs:5.2} of the kernel in its place",
                pair.join(" : ")
            );
        }
    }
    Ok(())
}

/// The first one's median part of both.
fn shares(pair: Pair, options: &str, rounds: usize, seconds: u32) -> Outcome<f64> {
    let mut parts = Vec::new();
    for round in 0..rounds {
        // Whoever begins has an advantage for a while.
        let swapped = round % 2 == 1;
        let order = if swapped { [pair[1], pair[0]] } else { pair };
        let mut rates = run(order, options, seconds)?;
        if swapped {
            rates.reverse();
        }
        let [x, y] = rates;
        let jain = (x + y).powi(2) / (2.0 * (x * x + y * y));
        println!(
            "    {:33} {x:6.2} {y:6.2} Mbit/s  share {:4.2}  ratio {:4.2}  Jain {jain:5.3}",
            pair.join(" : "),
            x / (x + y),
            x / y
        );
        parts.push(x / (x + y));
    }
    Ok(median(parts))
}

/// Megabits a second of each, in the order in which they begin.
fn run(order: Pair, options: &str, seconds: u32) -> Outcome<[f64; 2]> {
    let output = Command::new("unshare")
        .args(["-n", "-m", "sh", "-c", SCRIPT, "sh"])
        .arg(tapline_beside()?)
        .args([options, &seconds.to_string(), order[0], order[1]])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let parts: Vec<&str> = text.split('\0').collect();
    let [first, second] = parts[..] else {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{order:?} did not come about: {text}{said}").into());
    };
    let both = [serde_json::from_str(first)?, serde_json::from_str(second)?];
    let starts = both.each_ref().map(start);
    // Both are under way: the later one's warm-up is over, and the earlier one has not ended.
    let from = starts[0].max(starts[1]) + f64::from(seconds) * WARM_UP;
    let until = starts[0].min(starts[1]) + f64::from(seconds);
    let [first, second] = both;
    Ok([
        received(&first, from, until)?,
        received(&second, from, until)?,
    ])
}

/// When a receiver's test began, in seconds.
fn start(said: &Value) -> f64 {
    let seconds = &said["start"]["timestamp"]["timesecs"];
    seconds.as_f64().unwrap_or(f64::NAN)
}

/// What `iperf3 -s` counted between two times, in Mbit/s.
fn received(said: &Value, from: f64, until: f64) -> Outcome<f64> {
    let began = start(said);
    let sums = said["intervals"].as_array().into_iter().flatten();
    let number = |sum: &Value, name: &str| sum[name].as_f64().unwrap_or(f64::NAN);
    let (mut bits, mut time) = (0.0, 0.0);
    for sum in sums.map(|interval| &interval["sum"]) {
        if began + number(sum, "start") >= from && began + number(sum, "end") <= until {
            bits += number(sum, "bytes") * 8.0;
            time += number(sum, "seconds");
        }
    }
    match time {
        0.0 => Err(format!("no intervals: {}", said["error"]).into()),
        _ => Ok(bits * 1e-6 / time),
    }
}
