//! Against the kernel and its tools, in network namespaces that each test makes for itself.
//!
//! ```text
//!   tapline up -- TOOL        the kernel at 10.7.0.1 -- TAP or veth -- Tapline at 10.7.0.2
//!   World                     several kernels and several Taplines, wired as the test says
//! ```
//!
//! Not the usual test runner: some tests need root (those on a TAP whose node is closed to
//! ordinary users), and a test that was not run must not count as passed. An ordinary user gets
//! their names in a line `left for root: ...`. One test runs at a time, since some count packets.
//! No test asserts on seconds. `cargo test --test interop -- ping` runs those with that name;
//! `TAPLINE_STAND_IN=kernel` puts a kernel in Tapline's place and shows what the tests expect.
#![expect(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

mod common;

use common::{Ran, is_root, run, up, up_sh};
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

/// Who can run a test.
#[derive(Clone, Copy, PartialEq)]
enum Needs {
    /// A user namespace is enough.
    Anyone,
    /// It opens a TAP, or becomes somebody else.
    Root,
}
use Needs::{Anyone, Root};

const TESTS: &[(Needs, &str, fn())] = &[
    (Anyone, "ping_gets_every_answer", ping_gets_every_answer),
    (
        Anyone,
        "ping_of_5000_in_a_hurry_loses_nothing",
        ping_of_5000_in_a_hurry_loses_nothing,
    ),
    (
        Anyone,
        "ping_of_65507_bytes_loses_nothing",
        ping_of_65507_bytes_loses_nothing,
    ),
    (
        Anyone,
        "ping_flood_of_50000_loses_nothing",
        ping_flood_of_50000_loses_nothing,
    ),
    (Anyone, "ping_records_the_route", ping_records_the_route),
    (Anyone, "ping_gets_timestamps", ping_gets_timestamps),
    (
        Anyone,
        "traceroute_names_the_host",
        traceroute_names_the_host,
    ),
    (
        Anyone,
        "tracepath_finds_mtu_and_hops",
        tracepath_finds_mtu_and_hops,
    ),
    (
        Anyone,
        "arping_gets_answers_and_sees_a_duplicate",
        arping_gets_answers_and_sees_a_duplicate,
    ),
    (Anyone, "nmap_finds_the_host", nmap_finds_the_host),
    (
        Anyone,
        "nmap_udp_ports_are_told_truthfully",
        nmap_udp_ports_are_told_truthfully,
    ),
    (
        Anyone,
        "nmap_ip_protocols_are_told_truthfully",
        nmap_ip_protocols_are_told_truthfully,
    ),
    (Anyone, "udp_echo_of_60_kilobytes", udp_echo_of_60_kilobytes),
    (Anyone, "tcp_syn_is_refused", tcp_syn_is_refused),
    (Anyone, "up_returns_the_exit_code", up_returns_the_exit_code),
    (
        Anyone,
        "up_names_the_package_of_a_missing_tool",
        up_names_the_package_of_a_missing_tool,
    ),
    (
        Anyone,
        "up_leaves_stdin_and_stdout_to_the_command",
        up_leaves_stdin_and_stdout,
    ),
    (
        Anyone,
        "the_tour_needs_no_other_program",
        the_tour_needs_no_other_program,
    ),
    (
        Root,
        "an_ordinary_user_loses_nothing_either",
        an_ordinary_user_loses_nothing_either,
    ),
];

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    args.test_threads = args.test_threads.or(Some(1));
    let left = |needs: Needs| needs == Root && !is_root();
    let trials = TESTS.iter().map(|&(needs, name, test)| {
        let trial = Trial::test(format!("interop::{name}"), move || {
            test();
            Ok(())
        });
        trial.with_ignored_flag(left(needs))
    });
    let conclusion = libtest_mimic::run(&args, trials.collect());
    let left: Vec<_> = TESTS
        .iter()
        .filter(|test| left(test.0))
        .map(|test| test.1)
        .collect();
    if !left.is_empty() {
        println!("left for root: {}", left.join(", "));
    }
    conclusion.exit_code()
}

/// `count` requests, `count` answers.
#[track_caller]
fn loses_nothing(ran: Ran, count: u32) -> Ran {
    let sum = format!("{count} packets transmitted, {count} received, 0% packet loss");
    ran.exits(0)
        .says(&sum)
        .never_says("DUP!")
        .never_says("wrong data")
}

fn ping_gets_every_answer() {
    loses_nothing(up("ping -c 3 10.7.0.2"), 3).says("64 bytes from 10.7.0.2: icmp_seq=3 ttl=64");
}

fn ping_of_5000_in_a_hurry_loses_nothing() {
    loses_nothing(up("ping -q -c 5000 -i 0.001 10.7.0.2"), 5000);
}

fn ping_of_65507_bytes_loses_nothing() {
    let ran = loses_nothing(up("ping -s 65507 -c 50 -i 0.01 10.7.0.2"), 50);
    assert_eq!(
        ran.lines_with("65515 bytes from 10.7.0.2").count(),
        50,
        "{ran}"
    );
}

fn ping_flood_of_50000_loses_nothing() {
    loses_nothing(up("ping -q -f -c 50000 10.7.0.2"), 50000);
}

/// The host records its own address on the way (RFC 791 §3.1), and the way back follows.
fn ping_records_the_route() {
    let ran = loses_nothing(up("ping -R -c 3 -i 0.01 10.7.0.2"), 3);
    let (_, route) = ran.out.split_once("RR:").expect(&ran.to_string());
    let hops: Vec<_> = route.lines().take(4).map(str::trim).collect();
    assert_eq!(
        hops,
        ["10.7.0.1", "10.7.0.2", "10.7.0.2", "10.7.0.1"],
        "{ran}"
    );
    assert_eq!(ran.lines_with("(same route)").count(), 2, "{ran}");
}

fn ping_gets_timestamps() {
    let ran = loses_nothing(up("ping -T tsonly -c 3 -i 0.01 10.7.0.2"), 3);
    assert_eq!(ran.lines_with("TS:").count(), 3, "{ran}");
    // Four stamps: the kernel out, the host in, the host out, the kernel in; the first is said as
    // it is, the others by how much they differ from the one before.
    let (_, stamps) = ran.out.split_once("TS:").expect(&ran.to_string());
    let stamps: Vec<_> = stamps.lines().take(4).map(str::trim).collect();
    assert!(stamps[0].ends_with("absolute"), "{ran}");
    for differs in &stamps[1..] {
        let by: i64 = differs.parse().expect(&ran.to_string());
        assert!(
            by.abs() < 1000,
            "the host's clock is not the kernel's: {ran}"
        );
    }
    ran.never_says("overflow").never_says("not-standard");
}

fn traceroute_names_the_host() {
    for how in ["", "-I", "-T"] {
        let ran = up(&format!("traceroute {how} -n -q 3 10.7.0.2")).exits(0);
        let hops: Vec<_> = ran.out.lines().skip(1).collect();
        assert_eq!(hops.len(), 1, "one hop away: {ran}");
        assert!(hops[0].trim().starts_with("1  10.7.0.2 "), "{ran}");
        assert_eq!(
            hops[0].matches(" ms").count(),
            3,
            "each of three probes answered: {ran}"
        );
        ran.never_says("*").never_says("!");
    }
}

fn tracepath_finds_mtu_and_hops() {
    up("tracepath -n 10.7.0.2")
        .exits(0)
        .says("reached")
        .says("Resume: pmtu 1500 hops 1 back 1");
}

fn arping_gets_answers_and_sees_a_duplicate() {
    let script = "dev=$(ip -o route get 10.7.0.2 | sed 's/.* dev \\([^ ]*\\).*/\\1/')
        arping -c 3 -w 10 -I $dev 10.7.0.2 && ! arping -D -c 2 -w 10 -I $dev 10.7.0.2";
    let ran = up_sh(script)
        .exits(0)
        .says("Received 3 response(s)")
        .says("Received 1 response(s)");
    assert_eq!(
        ran.lines_with("Unicast reply from 10.7.0.2").count(),
        4,
        "{ran}"
    );
}

fn nmap_finds_the_host() {
    up("nmap -n -sn 10.7.0.2")
        .exits(0)
        .says("Host is up")
        .says("(1 host up)");
    up("nmap -n -sn -PE --send-ip 10.7.0.2")
        .exits(0)
        .says("Host is up");
    up("nmap -n -sn 10.7.0.3").exits(0).says("(0 hosts up)");
}

/// Echo answers; discard says nothing, and nmap cannot tell that from a filter; nobody is at 40000.
fn nmap_udp_ports_are_told_truthfully() {
    let ran = up("nmap -n -sU -p 7,9,19,40000 --data-length 8 10.7.0.2").exits(0);
    let said = |port: &str, state: &str| {
        let line = ran.lines_with(port).next().unwrap_or("(not there)");
        assert!(
            line.split_whitespace().nth(1) == Some(state),
            "{port} is not {state}: {ran}"
        );
    };
    said("7/udp", "open");
    said("9/udp", "open|filtered");
    said("19/udp", "open");
    said("40000/udp", "closed");
}

/// ICMP answers, UDP and TCP are there, and so says the host of a protocol that it does not know.
fn nmap_ip_protocols_are_told_truthfully() {
    let ran = up("nmap -n -sO -p 1,6,17,47,50,132,200 10.7.0.2").exits(0);
    let state = |name: &str| {
        ran.out
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or("")
    };
    for (number, want) in [("1 ", "open"), ("6 ", "open"), ("17 ", "open")] {
        assert!(
            state(number).contains(want),
            "{number} is not {want}: {ran}"
        );
    }
    for number in ["47 ", "50 ", "132 ", "200 "] {
        assert!(
            state(number).contains("closed"),
            "{number} is not closed: {ran}"
        );
    }
}

fn udp_echo_of_60_kilobytes() {
    let script = "/usr/bin/python3 - <<'END'
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect(('10.7.0.2', 7))
for size in [0, 1, 1472, 1473, 9000, 60000, 65507]:
    sent = bytes(i * 7 % 251 for i in range(size))
    s.send(sent)
    got = s.recv(65536)
    assert got == sent, (size, len(got))
print('echoed')
END";
    up_sh(script).exits(0).says("echoed");
}

/// Until there is TCP, a SYN gets a correct RST: the kernel believes only one that fits.
fn tcp_syn_is_refused() {
    let script = "/usr/bin/python3 - <<'END'
import socket
for port in [1, 22, 8080, 65535]:
    s = socket.socket()
    s.settimeout(10)
    try:
        s.connect(('10.7.0.2', port))
        print('connected?')
    except ConnectionRefusedError:
        print('refused')
END";
    let ran = up_sh(script).exits(0);
    assert_eq!(ran.out, "refused\n".repeat(4), "{ran}");
}

fn up_returns_the_exit_code() {
    up_sh("exit 0").exits(0);
    up_sh("exit 7").exits(7);
    up_sh("ping -q -c 1 -W 1 10.7.0.99").exits(1);
}

fn up_names_the_package_of_a_missing_tool() {
    let ran = run(&["up", "--", "no-such-tool"]).exits(3);
    assert!(ran.err.contains("no-such-tool"), "{ran}");
}

fn up_leaves_stdin_and_stdout() {
    let ran = run(&["up", "--", "echo", "only", "this"]).exits(0);
    assert_eq!(
        ran.out, "only this\n",
        "what `up` says goes to stderr: {ran}"
    );
}

fn the_tour_needs_no_other_program() {
    let ran = run(&["up", "--tour"]).exits(0);
    for word in ["echo", "ARP", "UDP", "unreachable"] {
        assert!(
            ran.out.to_lowercase().contains(&word.to_lowercase()),
            "no {word:?}: {ran}"
        );
    }
}

/// Somebody who may open neither a TAP nor a raw socket outside of a user namespace.
fn an_ordinary_user_loses_nothing_either() {
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let ran = common::run_as(&nobody, &["up", "--", "ping", "-c", "3", "10.7.0.2"]);
    loses_nothing(ran, 3);
    common::run_as(&nobody, &["up", "--tour"]).exits(0);
}
