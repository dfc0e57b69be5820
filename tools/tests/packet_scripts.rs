//! Every script of `tests/scripts` passes, and no text makes the runner panic.

use std::path::{Path, PathBuf};
use tools::pkt::tree::Defines;
use tools::pkt::{Options, Outcome, Report, mode_asked, run, run_reading};
use tools::posix::{Mode, Profile};

#[expect(
    clippy::unwrap_used,
    reason = "a test stops where its scripts cannot be read"
)]
fn scripts() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scripts");
    let mut folders = vec![root];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "pkt") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

fn options(mode: Mode) -> Options {
    Options {
        profile: Profile::Linux,
        mode,
        defines: Defines::new(),
    }
}

#[test]
fn ours_pass() {
    let scripts = scripts();
    assert!(
        scripts.len() >= 150,
        "the scripts are not where they should be"
    );
    let mut wrong = Vec::new();
    for mode in [Mode::V4, Mode::Mapped, Mode::V6] {
        for (path, text) in &scripts {
            if mode_asked(text).is_some_and(|asked| asked != mode) {
                continue;
            }
            let Report { outcome, exchange } = run(path, text, &options(mode));
            if outcome != Outcome::Pass {
                let exchange = exchange.join("\n    ");
                wrong.push(format!(
                    "{} {mode:?}: {outcome:#?}\n    {exchange}",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_script_gives_one_exchange() {
    for (path, text) in scripts() {
        let one = || run(&path, &text, &options(Mode::V4));
        assert_eq!(one(), one(), "{}", path.display());
    }
}

/// A script that says something else than what happens does not pass.
#[test]
fn a_wrong_script_fails() {
    let (path, text) = &scripts()
        .into_iter()
        .find(|(p, _)| p.ends_with("3.5-passive-open.pkt"))
        .unwrap();
    for (right, wrong, why) in [
        (
            "ack 1 <mss 1460>",
            "ack 2 <mss 1460>",
            "ack: expected 2, got 1",
        ),
        (
            "<mss 1460>",
            "<mss 1400>",
            "options: expected <mss 1400>, got <mss 1460>",
        ),
        ("> S.", "> SE.", "flags: expected SE., got S."),
        (
            "+0 > S.",
            "+1 > S.",
            "time: expected 1.000000, got 0.000000 (1.000000 s early)",
        ),
        (
            "accept(3, ..., ...) = 4",
            "accept(3, ..., ...) = -1 EAGAIN (x)",
            "expected -1 EAGAIN, got",
        ),
        (
            "TCP_ESTABLISHED, ",
            "TCP_LISTEN, ",
            "assert tcpi_state == TCP_LISTEN (1)",
        ),
        (
            "win 65535 <mss 1000>",
            "win 65535 <mss 1000,sackOK>",
            "options: expected <mss 1460>",
        ),
    ] {
        assert!(text.contains(right), "{right}");
        let report = run(path, &text.replacen(right, wrong, 1), &options(Mode::V4));
        let Outcome::Fail {
            why: found,
            details,
            ..
        } = report.outcome
        else {
            panic!("{wrong}: {report:?}");
        };
        assert!(found.contains(why), "{wrong}: {found}");
        assert!(details.iter().any(|line| line == "before it:"));
    }
}

#[test]
fn what_cannot_be_run_is_named() {
    for (text, line, why) in [
        (
            "0 frobnicate(3) = 0",
            1,
            "the system call frobnicate is not known",
        ),
        (
            "`true`\n0 `\niptables -F`",
            3,
            "`iptables` is not a setting",
        ),
        (
            "`sysctl -q net.ipv4.no_such_thing=1`\n0 close(3) = 0",
            1,
            "no_such_thing",
        ),
        (
            "\n0 > gre: ipv4 1.2.3.4 > 1.2.3.5: . 1:1(0)",
            2,
            "the outermost header is to be IPv4 or IPv6",
        ),
        ("0 < encap psp spi 12 . 1:1(0) ack 1", 1, "PSP"),
        ("0 %{ for x in y: pass }%", 1, "in code"),
        ("--frog=1\n0 close(3) = 0", 1, "this option is not known"),
        ("0 > Q 0:0(0)", 1, "1:5: expected TCP flags"),
    ] {
        let report = run("x.pkt".as_ref(), text, &options(Mode::V4));
        let Outcome::Cannot { at, why: found } = report.outcome else {
            panic!("{text}: {report:?}");
        };
        assert_eq!(at.line, line, "{text}: {found}");
        assert!(found.contains(why), "{text}: {found}");
    }
}

/// Scripts with bytes cut, doubled, swapped and changed end somehow, without a panic.
#[test]
fn damaged_scripts_end() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).unwrap()).unwrap()
    };
    const SIGNS: &[u8] = b"0123456789.,:;<>()[]{}+-*~%\"`=|& \nSFRPEWA#/_x";
    for (path, text) in scripts() {
        for _ in 0..60 {
            let mut bytes = text.clone().into_bytes();
            for _ in 0..=draw(3) {
                let at = draw(bytes.len());
                match draw(4) {
                    0 => bytes.truncate(at),
                    1 => bytes.insert(at.min(bytes.len()), SIGNS[draw(SIGNS.len())]),
                    2 if at < bytes.len() => bytes[at] = SIGNS[draw(SIGNS.len())],
                    _ => {
                        let end = (at + draw(40)).min(bytes.len());
                        let part = bytes[at.min(end)..end].to_vec();
                        bytes.splice(at.min(end)..at.min(end), part);
                    }
                }
            }
            let text = String::from_utf8_lossy(&bytes);
            let _ = run_reading(&path, &text, &options(Mode::V4), &|_| None);
        }
    }
}

/// A listener's preamble, up to its connection.
const OPEN: &str = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000,sackOK>
+0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK>
+.1 < . 1:1(0) ack 1 win 32792
+0 accept(3, ..., ...) = 4
";

fn outcome(text: &str) -> Outcome {
    run("x.pkt".as_ref(), text, &options(Mode::V4)).outcome
}

/// `None`: passes; else what it fails with, or why it cannot be run.
fn told(text: &str) -> Option<String> {
    match outcome(text) {
        Outcome::Pass => None,
        Outcome::Fail { why, .. } => Some(format!("FAIL {why}")),
        Outcome::Cannot { why, .. } => Some(format!("cannot {why}")),
    }
}

#[test]
fn lengths_that_no_call_can_move_are_named() {
    for call in [
        "write(4, ..., 1000000000000) = 10",
        "read(4, ..., 1000000000000) = 10",
        "writev(4, [{..., 9223372036854775807}, {..., 9223372036854775807}], 2) = 10",
        "writev(4, [{..., 1073741824}, {..., 1073741824}], 2) = 10",
        "sendmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 900000000000}], msg_flags=0}, 0) = 10",
        "setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 99999999999) = 0",
        "setsockopt(4, SOL_TCP, TCP_NODELAY, [99999999999], 4) = 0",
    ] {
        let why = told(&format!("{OPEN}+0 {call}")).unwrap_or_default();
        let large = why.contains("more than one call can move") || why.contains("too large");
        assert!(why.starts_with("cannot ") && large, "{call}: {why}");
    }
    let file = "`dd if=/dev/zero of=/tmp/f bs=1000000 count=1000000`\n0 close(3) = 0";
    assert!(told(file).is_some_and(|why| why.contains("no such size")));
}

#[test]
fn settings_are_followed_or_refused() {
    for (setting, why) in [
        ("tcp_challenge_ack_limit=1", "not honoured"),
        ("tcp_moderate_rcvbuf=0", "not honoured"),
        ("tcp_reflect_tos=1", "not honoured"),
        ("tcp_min_snd_mss=900", "not honoured"),
        ("tcp_tw_reuse=1", "not honoured"),
        ("tcp_shrink_window=1", "not honoured"),
        ("tcp_recovery=2", "not honoured"),
        ("tcp_pacing_ss_ratio=100", "not honoured"),
        ("tcp_mem=\"1 2 3\"", "not honoured"),
        ("tcp_rfc1337=banana", "not a value"),
        ("tcp_fack=banana", "not a value"),
        ("tcp_sack=\"1 1\"", "not a value"),
        ("tcp_sack=-1", "not a value"),
        ("tcp_ecn=9", "not a value"),
        ("tcp_allowed_congestion_control=frog", "not a value"),
    ] {
        let text = format!("`sysctl -q net.ipv4.{setting}`\n{OPEN}");
        let found = told(&text).unwrap_or_default();
        let named = found.contains(setting.split('=').next().unwrap());
        assert!(found.starts_with("cannot ") && named, "{setting}: {found}");
        assert!(found.contains(why), "{setting}: {found}");
    }
    for setting in [
        "tcp_challenge_ack_limit=2147483647",
        "tcp_reordering=3",
        "tcp_no_metrics_save=1",
        "tcp_tso_win_divisor=100",
        "tcp_fack=0 net.mptcp.enabled=1",
        "tcp_mem=\"88560 118080 177120\"",
        "tcp_allowed_congestion_control=\"reno cubic\"",
        "ip_local_port_range=\"1024 65535\"",
    ] {
        let text = format!("`sysctl -q net.ipv4.{setting}`\n{OPEN}");
        assert_eq!(told(&text), None, "{setting}");
    }
}

#[test]
fn a_reset_ends_time_wait_unless_rfc_1337_is_asked_for() {
    let close = "+0 shutdown(4, SHUT_WR) = 0
+0 > F. 1:1(0) ack 1
+.1 < F. 1:1(0) ack 2 win 257
+0 > . 2:2(0) ack 2
+0 close(4) = 0
+.1 < R 2:2(0) win 0
+.1 < F. 1:1(0) ack 2 win 257
";
    let (gone, stands) = ("+0 > R 2:2(0)", "+0 > . 2:2(0) ack 2");
    let asked = "`sysctl -q net.ipv4.tcp_rfc1337=1`\n";
    assert_eq!(told(&format!("{OPEN}{close}{gone}")), None);
    assert_eq!(told(&format!("{asked}{OPEN}{close}{stands}")), None);
    assert!(told(&format!("{OPEN}{close}{stands}")).is_some());
    assert!(told(&format!("{asked}{OPEN}{close}{gone}")).is_some());
}

#[test]
fn reordering_is_how_many_mean_loss() {
    let text = |n: u32, then: &str| {
        format!(
            "`sysctl -q net.ipv4.tcp_reordering={n} net.ipv4.tcp_recovery=0 net.ipv4.tcp_early_retrans=0`
{OPEN}+0 write(4, ..., 10000) = 10000
+0 > P. 1:10001(10000) ack 1
+.1 < . 1:1(0) ack 1 win 32792 <sack 1001:2001,nop,nop>
+0 < . 1:1(0) ack 1 win 32792 <sack 1001:3001,nop,nop>
+0 < . 1:1(0) ack 1 win 32792 <sack 1001:4001,nop,nop>
{then}+0 %{{ assert tcpi_reordering == {n}, tcpi_reordering }}%"
        )
    };
    let again = "+0 > . 1:1001(1000) ack 1\n";
    let fourth = "+.01 < . 1:1(0) ack 1 win 32792 <sack 1001:5001,nop,nop>\n";
    assert_eq!(told(&text(3, again)), None);
    assert_eq!(told(&text(4, &format!("{fourth}{again}"))), None);
    assert!(told(&text(4, again)).is_some());
}

#[test]
fn a_window_is_clamped() {
    let text = |win: u32| {
        format!(
            "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_TCP, TCP_WINDOW_CLAMP, [5000], 4) = 0
+0 getsockopt(3, SOL_TCP, TCP_WINDOW_CLAMP, [5000], [4]) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000,nop,wscale 7>
+0 > S. 0:0(0) ack 1 win {win} <mss 1460,nop,wscale 0>"
        )
    };
    // Whole segments.
    assert_eq!(told(&text(4380)), None);
    assert!(told(&text(65_535)).is_some());
}

#[test]
fn options_that_are_not_honoured_are_named() {
    for (call, why) in [
        ("SOL_TCP, TCP_REPAIR, [1], 4) = 0", "cannot TCP_REPAIR"),
        (
            "SOL_SOCKET, SO_TIMESTAMP, [1], 4) = 0",
            "cannot SO_TIMESTAMP",
        ),
        (
            "SOL_SOCKET, SO_BINDTODEVICE, \"frog\", 5) = 0",
            "FAIL line 8: setsockopt: expected 0, got -1 ENODEV",
        ),
    ] {
        let found = told(&format!("{OPEN}+0 setsockopt(4, {call}")).unwrap_or_default();
        assert!(found.starts_with(why), "{call}: {found}");
    }
    for call in [
        "SOL_TCP, TCP_REPAIR, [0], 4) = 0",
        "SOL_SOCKET, SO_BINDTODEVICE, \"tun0\", 5) = 0",
        "SOL_SOCKET, SO_BINDTODEVICE, \"frog\", 5) = -1 ENODEV (No such device)",
    ] {
        assert_eq!(
            told(&format!("{OPEN}+0 setsockopt(4, {call}")),
            None,
            "{call}"
        );
    }
}

/// Two connections that a script names by their ports.
const TWO: &str = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 5) = 0
+0 < 1001 > 8080 S 0:0(0) win 65535 <mss 1000>
+0 > 8080 > 1001 S. 0:0(0) ack 1 <mss 1460>
+0 < 1001 > 8080 . 1:1(0) ack 1 win 65535
+0 accept(3, ..., ...) = 4
+0 < 1002 > 8080 S 0:0(0) win 65535 <mss 500>
+0 > 8080 > 1002 S. 0:0(0) ack 1 <mss 1460>
+0 < 1002 > 8080 . 1:1(0) ack 1 win 65535
+0 accept(3, ..., ...) = 5
+0 write(4, ..., 10) = 10
+0 write(5, ..., 20) = 20
";

#[test]
fn packets_of_named_connections_are_all_expected_and_at_their_ports() {
    let first = "+0 > 8080 > 1001 P. 1:11(10) ack 1\n";
    let second = "+0 > 8080 > 1002 P. 1:21(20) ack 1\n";
    assert_eq!(told(&format!("{TWO}{first}{second}")), None);
    let stray = told(&format!("{TWO}{second}")).unwrap_or_default();
    assert!(stray.contains("a packet to port 1001 left"), "{stray}");
    for (right, wrong, why) in [
        (
            "> 8080 > 1001 S.",
            "> 7777 > 1001 S.",
            "ports: expected 7777 > 1001, got 8080 > 1001",
        ),
        (
            "> 8080 > 1001 S.",
            "> 9999 > 7777 S.",
            "ports: expected 9999 > 7777, got 8080 > 1001",
        ),
    ] {
        let found = told(&TWO.replacen(right, wrong, 1)).unwrap_or_default();
        assert!(found.contains(why), "{wrong}: {found}");
    }
    let connect = |to: u16, again: u16| {
        format!(
            "0 socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3
+0 connect(3, ..., ...) = -1 EINPROGRESS (x)
+0 > 5000 > {to} S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8>
+1 > {again} > {to} S 0:0(0) <mss 1460,sackOK,TS val 1100 ecr 0,nop,wscale 8>"
        )
    };
    assert_eq!(told(&connect(8080, 5000)), None);
    assert!(told(&connect(8081, 5000)).is_some());
    assert!(told(&connect(8080, 5001)).is_some());
}

#[test]
fn a_backlog_of_none_admits_one_and_lets_one_wait() {
    let text = "`sysctl -q net.ipv4.tcp_syncookies=0`
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 0) = 0
+0 < S 0:0(0) win 1000 <mss 1000>
+0 > S. 0:0(0) ack 1 <mss 1460>
+0 < . 1:1(0) ack 1 win 1000
+0 accept(3, ..., ...) = 4";
    assert_eq!(told(text), None);
    let syns = |setting: &str, backlog: u32, last: &str| {
        format!(
            "`sysctl -q net.ipv4.tcp_syncookies=0 {setting}`
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, {backlog}) = 0
+0 < 1001 > 8080 S 0:0(0) win 1000 <mss 1000>
+0 > 8080 > 1001 S. 0:0(0) ack 1 <mss 1460>
+0 < 1002 > 8080 S 0:0(0) win 1000 <mss 1000>
+0 > 8080 > 1002 S. 0:0(0) ack 1 <mss 1460>
+0 < 1003 > 8080 S 0:0(0) win 1000 <mss 1000>
{last}"
        )
    };
    let answer = "+0 > 8080 > 1003 S. 0:0(0) ack 1 <mss 1460>";
    assert_eq!(told(&syns("", 2, answer)), None);
    assert!(told(&syns("", 1, answer)).is_some());
    let few = "net.ipv4.tcp_max_syn_backlog=1";
    assert!(told(&syns(few, 100, answer)).is_some());
}

#[test]
fn urgent_bytes_in_line_are_read_from_on() {
    let text = |first: u32, second: u32| {
        format!(
            "{OPEN}+0 setsockopt(4, SOL_SOCKET, SO_OOBINLINE, [1], 4) = 0
+0 < PU. 1:11(10) ack 1 win 32792 urg 5
* > . 1:1(0) ack 11
+0 ioctl(4, SIOCATMARK, [0]) = 0
+0 read(4, ..., 100) = {first}
+0 ioctl(4, SIOCATMARK, [{}]) = 0
+0 read(4, ..., 100) = {second}
+0 ioctl(4, SIOCATMARK, [0]) = 0",
            u32::from(first == 4)
        )
    };
    assert_eq!(told(&text(4, 6)), None);
    assert!(told(&text(10, 0)).is_some());
}

#[test]
fn what_says_nothing_does_not_pass() {
    for text in ["", "// nothing\n", "--mss=1000\n", "`true`\n"] {
        let why = told(text).unwrap_or_default();
        assert!(why.starts_with("cannot "), "{text}: {why}");
    }
    let unspec = format!("{OPEN}+0 connect(4, {{sa_family = AF_UNSPEC}}, 16) = 0");
    assert_eq!(told(&unspec), None);
}
