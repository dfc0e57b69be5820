//! The kernel's tools put to a host on a TAP: they ping, trace and scan it, and hear the truth.

use crate::common::{Ran, loses_nothing, udp_echo, up, up_sh};
use crate::{Anyone, Test};

pub(crate) const TESTS: &[Test] = &[
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
        "traceroute_again_and_again_says_the_same",
        traceroute_again_and_again_says_the_same,
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
];

fn ping_gets_every_answer() {
    loses_nothing(up("ping -c 3 10.7.0.2"), 3).says("64 bytes from 10.7.0.2: icmp_seq=3 ttl=64");
}

fn ping_of_5000_in_a_hurry_loses_nothing() {
    loses_nothing(up("ping -q -c 5000 -i 0.001 10.7.0.2"), 5000);
}

fn ping_of_65507_bytes_loses_nothing() {
    let ran = loses_nothing(up("ping -s 65507 -c 50 -i 0.01 -w 20 10.7.0.2"), 50);
    assert!(
        ran.lines_with("65515 bytes from 10.7.0.2").count() >= 50,
        "{ran}"
    );
}

fn ping_flood_of_50000_loses_nothing() {
    loses_nothing(up("ping -q -f -c 50000 10.7.0.2"), 50000);
}

/// The host adds its own address and sends the option back (RFC 1122 §3.2.2.6), where the way back
/// is recorded too. Linux adds its address twice, in and out; once is as right.
fn ping_records_the_route() {
    let ran = loses_nothing(up("ping -R -c 3 -i 0.01 -w 20 10.7.0.2"), 3);
    let mut hops = after(&ran, "RR:");
    hops.dedup();
    assert_eq!(hops, ["10.7.0.1", "10.7.0.2", "10.7.0.1"], "{ran}");
    assert!(ran.lines_with("(same route)").count() >= 2, "{ran}");
}

/// The kernel out, the host, the kernel in: the first stamp is said as it is, each other by how
/// much it differs from the one before. Linux as host stamps twice.
fn ping_gets_timestamps() {
    let ran = loses_nothing(up("ping -T tsonly -c 3 -i 0.01 -w 20 10.7.0.2"), 3);
    assert!(ran.lines_with("TS:").count() >= 3, "{ran}");
    let stamps = after(&ran, "TS:");
    assert!(
        (3..=4).contains(&stamps.len()) && stamps[0].ends_with("absolute"),
        "{ran}"
    );
    for differs in &stamps[1..] {
        let by: i64 = differs.parse().unwrap_or_else(|_| panic!("{ran}"));
        assert!(
            by.abs() < 1000,
            "the host's clock is not the kernel's: {ran}"
        );
    }
    ran.never_says("overflow").never_says("not-standard");
}

/// The lines of a paragraph that starts with `word`, without it.
fn after<'a>(ran: &'a Ran, word: &str) -> Vec<&'a str> {
    let (_, rest) = ran
        .out
        .split_once(word)
        .unwrap_or_else(|| panic!("no {word}: {ran}"));
    rest.lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect()
}

/// Without `-w`, a probe has three times as long as the one before it took: microseconds.
fn traceroute_names_the_host() {
    for how in ["", "-I", "-T"] {
        let ran = up(&format!("traceroute -w 5 {how} -n -q 3 10.7.0.2")).exits(0);
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

/// Each run has 16 probes under way, all of which the last hop answers: its limit on errors must
/// not make it look farther away from run to run.
fn traceroute_again_and_again_says_the_same() {
    let ran = up_sh("for i in 1 2 3 4 5 6 7 8; do traceroute -w 5 -n 10.7.0.2; done").exits(0);
    assert_eq!(ran.lines_with(" 1  10.7.0.2 ").count(), 8, "{ran}");
    ran.never_says("*");
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
    up_sh(&udp_echo("10.7.0.2", 1472)).exits(0).says("echoed");
}

/// Where nobody listens, a SYN gets a correct RST: the kernel believes only one that fits.
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
