//! Accurate ECN: RFC 9768.

use super::script::{Script, plain};
use crate::transport::tcp::options::{Ecn, EcnOption};
use crate::transport::tcp::status::Phase;
use crate::transport::tcp::{AccurateStatus, Options, State};
use std::format;

fn with(ecn: Ecn) -> Options {
    Options { ecn, ..plain() }
}

fn accurate() -> Options {
    Options {
        sack: true,
        ..with(Ecn::Accurate)
    }
}

fn counters(s: &Script) -> AccurateStatus {
    s.c.status(s.now).accurate.unwrap()
}

/// Open, with the peer's options if `option`.
fn open(options: Options, option: &str) -> Script {
    let mut s = Script::connect(options);
    s.tx(&["SEWA 0:0"]);
    s.run(100);
    s.rx(&format!("S.W 0:0 ack 1 mss 1000 sackok {option}"));
    s
}

/// The same from the other side.
fn accepted(options: Options, ack: &str) -> Script {
    let mut s = Script::passive(options, "SEWA 0:0 mss 1000 sackok");
    let got = s.drain();
    assert!(
        got.len() == 1 && got[0].starts_with("S.W 0:0 ack 1"),
        "{got:?}"
    );
    s.rx(ack);
    assert_eq!(s.c.state(), State::Established);
    s
}

#[test]
fn what_a_syn_ack_says() {
    //= RFC 9768 §3.1.1 table 2, §3.1.3: asked for by all three; ECN at all, and counted or not.
    for (answer, ecn, counted) in [
        ("S.", false, false),
        ("S.EWA", false, false),
        ("S.E", true, false),
        ("S.W", true, true),
        ("S.EW", true, true),
        ("S.A", true, true),
        ("S.EA", true, true),
        ("S.WA", true, true),
    ] {
        let mut s = Script::connect(with(Ecn::Accurate));
        s.tx(&["SEWA 0:0"]);
        s.rx(&format!("{answer} 0:0 ack 1 mss 1000"));
        let status = s.c.status(s.now);
        assert_eq!(
            (status.ecn, status.accurate.is_some()),
            (ecn, counted),
            "{answer}"
        );
    }
    // Who asks for echoes gets no more, whatever comes back.
    for ecn in [Ecn::Active, Ecn::AccurateIn] {
        let mut s = Script::connect(with(ecn));
        s.tx(&["SEW 0:0"]);
        s.rx("S.W 0:0 ack 1 mss 1000");
        assert!(!s.c.status(s.now).ecn);
    }
}

#[test]
fn what_a_syn_is_answered() {
    //= RFC 9768 §3.1.1 table 2, §3.1.2: by mark and by flags, where counting is allowed.
    let all = [Ecn::Accurate, Ecn::AccurateIn, Ecn::AccuratePassive];
    for ecn in all {
        for (syn, answer) in [
            ("SEWA 0:0 mss 1000", "S.W 0:0 ack 1"),
            ("SEWA 0:0 mss 1000 ect1", "S.EW 0:0 ack 1"),
            ("SEWA 0:0 mss 1000 ect0", "S.A 0:0 ack 1"),
            ("SEWA 0:0 mss 1000 ce", "S.WA 0:0 ack 1"),
            ("SA 0:0 mss 1000", "S.W 0:0 ack 1"),
            ("SE 0:0 mss 1000", "S.W 0:0 ack 1"),
            ("SEW 0:0 mss 1000", "S.E 0:0 ack 1"),
            ("S 0:0 mss 1000", "S. 0:0 ack 1"),
        ] {
            let options = Options {
                ecn_option: EcnOption::Never,
                ..with(ecn)
            };
            let mut s = Script::passive(options, syn);
            s.tx(&[answer]);
        }
    }
    for (ecn, answer) in [
        (Ecn::Off, "S. 0:0 ack 1"),
        (Ecn::Passive, "S.E 0:0 ack 1"),
        (Ecn::Active, "S.E 0:0 ack 1"),
    ] {
        let mut s = Script::passive(with(ecn), "SEWA 0:0 mss 1000");
        s.tx(&[answer]);
    }
}

#[test]
fn both_open_at_once() {
    //= RFC 9768 §3.1.1: SYNs that cross ask each other.
    let mut s = Script::connect(with(Ecn::Accurate));
    s.tx(&["SEWA 0:0"]);
    s.rx("SEWA 0:0 mss 1000 ect0");
    s.tx(&["S.A 0:0 ack 1"]);
    s.rx("S.W 0:0 ack 1 mss 1000");
    assert!(s.c.status(s.now).accurate.is_some());
    s.tx(&[".EA 1:1 ack 1 ect"]);
}

#[test]
fn syns_give_up_asking() {
    //= RFC 9768 §3.1.4.1, §3.1.4.2, §3.2.3.2.2
    let mut s = Script::connect(with(Ecn::Accurate));
    s.tx(&["SEWA 0:0"]);
    s.runs(3000, &["1000 SEWA 0:0", "3000 S 0:0"]);
    let mut s = Script::passive(with(Ecn::Accurate), "SEWA 0:0 mss 1000");
    s.tx(&["S.W 0:0 ack 1 e1b 1 ceb 0 e0b 1"]);
    s.runs(3000, &["1000 S.W 0:0 ack 1", "3000 S. 0:0 ack 1"]);
    // After that nothing is ECN-capable, though marks are counted.
    s.rx("P.W 1:11 ack 1 ce");
    s.tx(&[".WA 1:1 ack 11"]);
    // Who is told not to fall back goes on asking.
    let mut s = Script::connect(Options {
        ecn_fallback: false,
        ..with(Ecn::Accurate)
    });
    s.tx(&["SEWA 0:0"]);
    s.runs(3000, &["1000 SEWA 0:0", "3000 SEWA 0:0"]);
}

#[test]
fn a_syn_of_the_other_kind_ends_it() {
    //= RFC 9768 §3.1.5
    for (first, then) in [("SEWA", "SEW"), ("SEW", "SEWA")] {
        let mut s = Script::passive(with(Ecn::Accurate), &format!("{first} 0:0 mss 1000"));
        assert_eq!(s.drain().len(), 1);
        s.rx(&format!("{then} 0:0 mss 1000"));
        s.tx(&["R. 1:1 ack 1"]);
        assert_eq!(s.c.state(), State::Closed);
    }
    // One without any is not; but nothing is ECN-capable any more.
    let mut s = Script::passive(with(Ecn::Accurate), "SEWA 0:0 mss 1000 ect0");
    assert_eq!(s.drain().len(), 1);
    s.rx("S 0:0 mss 1000");
    s.tx(&["S.W 0:0 ack 1"]);
    s.rx(".W 1:1 ack 1");
    s.write(10);
    s.tx(&["P.EA 1:11 ack 1"]);
}

#[test]
fn the_third_ack_reflects() {
    //= RFC 9768 §3.2.2.1 table 3
    for (mark, ack, data) in [
        ("", ".W", "P.EA"),
        ("ect1", ".EW", "P.EA"),
        ("ect0", ".A", "P.EA"),
        ("ce", ".WA", "P.WA"),
    ] {
        let mut s = open(accurate(), mark);
        s.tx(&[&format!("{ack} 1:1 ack 1 ect")]);
        s.write(10);
        s.tx(&[&format!("{data} 1:11 ack 1 ect")]);
        // One that comes again says what it has.
        s.rx("S. 0:0 ack 1 mss 1000 ect0");
        s.tx(&[".A 11:11 ack 1 ect"]);
    }
    // With data there is no room for it: the counter is said.
    let mut s = Script::connect(accurate());
    s.write(10);
    s.drain();
    s.rx("S.W 0:0 ack 1 mss 1000 sackok ce");
    s.tx(&["P.WA 1:11 ack 1 ect"]);
}

#[test]
fn the_third_ack_is_read() {
    //= RFC 9768 §3.2.2.1 table 4, §3.2.2.3: what it has, whether we send ECT, marks counted.
    for (ack, checks, ect, marks) in [
        (".", true, false, 0),
        (".", false, true, 0),
        (".E", true, true, 0),
        (".W", true, true, 0),
        (".EW", true, false, 0),
        (".EW", false, true, 0),
        (".A", true, false, 0),
        (".EA", true, true, 0),
        (".WA", true, false, 1),
        (".WA", false, true, 1),
        (".EWA", true, true, 0),
    ] {
        let options = Options {
            ecn_checks: checks,
            ..accurate()
        };
        let mut s = accepted(options, &format!("{ack} 1:1 ack 1"));
        s.write(10);
        let tail = if ect { " ect" } else { "" };
        s.tx(&[&format!("P.EA 1:11 ack 1{tail}")]);
        assert_eq!(s.c.status(s.now).delivered_ce, marks, "{ack}");
        // A counter that was never zero at first goes on from there.
        let next = if marks == 0 { ".WA" } else { ".EWA" };
        s.rx(&format!("{next} 1:1 ack 11"));
        let more = u64::from(ack != "." || !checks);
        assert_eq!(s.c.status(s.now).delivered_ce, marks + more, "{ack}");
    }
}

#[test]
fn marks_are_counted() {
    //= RFC 9768 §3.2, §3.2.2.2: all that is acceptable counts, bytes of data only.
    let mut s = open(accurate(), "ecnb 2:1,3:0,1:1");
    s.tx(&[".W 1:1 ack 1 ect e1b 1 ceb 0 e0b 1"]);
    s.rx("P.EA 1:101 ack 1 ce");
    s.tx(&[".WA 1:1 ack 101 ect e1b 1 ceb 100 e0b 1"]);
    s.rx("P.EA 101:201 ack 1 ect0");
    s.tx(&[".WA 1:1 ack 201 ect e1b 1 ceb 100 e0b 101"]);
    // Joined segments count for as many as they were.
    s.rx("P.EA 201:501 ack 1 ce joined 3");
    s.tx(&[".E 1:1 ack 501 ect e1b 1 ceb 400 e0b 101"]);
    // A duplicate of what was acknowledged last counts; what lies elsewhere does not.
    s.rx("P.EA 201:501 ack 1 ce joined 3");
    s.tx(&[".A 1:1 ack 501 sack 201:501 ect e1b 1 ceb 700 e0b 101"]);
    s.rx("P.EA 1:101 ack 1 ce");
    s.tx(&[".A 1:1 ack 501 sack 1:101 ect e1b 1 ceb 700 e0b 101"]);
    s.rx("P.EA 90000:90100 ack 1 ce");
    s.tx(&[".A 1:1 ack 501 ect e1b 1 ceb 700 e0b 101"]);
    let got = counters(&s);
    assert_eq!((got.received_ce, got.received_ce_bytes), (7, 700));
    assert_eq!((got.received_e0_bytes, got.received_e1_bytes), (100, 0));
}

#[test]
fn marks_are_told_of_in_time() {
    //= RFC 9768 §3.2.2.5.1: a change at once, two marks with data, three without.
    let options = Options {
        ecn_option: EcnOption::Never,
        ..accurate()
    };
    let mut s = open(options.clone(), "");
    s.tx(&[".W 1:1 ack 1 ect"]);
    s.rx("P.EA 1:11 ack 1");
    s.tx(&[]);
    s.rx("P.EA 11:21 ack 1 ect0");
    s.tx(&[".EA 1:1 ack 21 ect"]);
    s.rx("P.EA 21:31 ack 1 ect0");
    s.tx(&[]);
    s.run(40);
    for _ in 0..2 {
        s.rx(".EA 31:31 ack 1 ce");
        s.tx(&[]);
    }
    s.rx(".EA 31:31 ack 1 ce");
    s.tx(&[". 1:1 ack 31 ect"]);
    // Who could take it for a duplicate is not told of acknowledgments.
    let mut s = open(
        Options {
            sack: false,
            ..options.clone()
        },
        "",
    );
    s.tx(&[".W 1:1 ack 1 ect"]);
    for _ in 0..9 {
        s.rx(".EA 1:1 ack 1 ce");
        s.tx(&[]);
    }
    // As FreeBSD: changes wait for company.
    let mut s = open(
        Options {
            ecn_prompt: false,
            ..options
        },
        "",
    );
    s.tx(&[".W 1:1 ack 1 ect"]);
    s.rx("P.EA 1:11 ack 1 ect0");
    s.tx(&[]);
}

#[test]
fn marks_slow_us_down_once_a_round() {
    //= RFC 9768 §3.1.5, RFC 3168 §6.1.2: and CWR is never said.
    let mut s = open(accurate(), "");
    s.tx(&[".W 1:1 ack 1 ect"]);
    s.write(20_000);
    let out = s.drain();
    assert!(
        out.iter().all(|l| l.contains(".EA") && l.ends_with(" ect")),
        "{out:?}"
    );
    s.run(100);
    let before = s.cwnd();
    s.rx(".WA 1:1 ack 1001");
    let status = s.c.status(s.now);
    assert_eq!((status.phase, status.ssthresh), (Phase::Cwr, before / 2));
    for (ack, ace) in (2..=10).zip([".EWA", ".", ".E", ".W", ".EW", ".A", ".EA", ".WA", ".EWA"]) {
        s.rx(&format!("{ace} 1:1 ack {ack}001"));
        for line in s.drain() {
            assert!(line.contains(".EA "), "{line}");
        }
    }
    let status = s.c.status(s.now);
    assert_eq!((status.ssthresh, status.delivered_ce), (before / 2, 10));
    // What has been overtaken says nothing.
    s.rx(".E 1:1 ack 5001");
    s.rx(".E 1:1 ack 10001");
    assert_eq!(s.c.status(s.now).delivered_ce, 10);
}

#[test]
fn a_counter_that_may_have_wrapped() {
    //= RFC 9768 §3.2.2.5.2, appendix A.2: segments at once and before that, ACE, option, marks.
    for (before, at_once, ace, option, marks) in [
        (0, 7, ".EA", "", 0),
        (0, 7, ".WA", "", 1),
        // Thinned acknowledgments, as the only ones so far were.
        (0, 12, ".EA", "", 0),
        // Only one came alone before: it may have wrapped.
        (1, 9, ".EA", "", 8),
        (1, 9, ".WA", "", 9),
        // The bytes speak against it, or for it.
        (1, 9, ".EA", "ecnb 2:10001,3:0,1:1", 0),
        (1, 9, ".EA", "ecnb 2:1001,3:8000,1:1", 8),
        (1, 9, ".WA", "ecnb 2:1001,3:1000,1:1", 1),
        (1, 20, ".WA", "ecnb 2:1001,3:9000,1:1", 9),
        (1, 20, ".WA", "ecnb 2:1001,3:20000,1:1", 17),
    ] {
        let options = Options {
            initial_window: 30,
            ecn_option: EcnOption::Never,
            ..accurate()
        };
        let mut s = open(options, "ecnb 2:1,3:0,1:1");
        s.drain();
        s.write(30_000);
        s.drain();
        s.run(100);
        if before > 0 {
            let first = if option.is_empty() { "" } else { "ecnb 2:1001" };
            s.rx(&format!(".EA 1:1 ack 1001 {first}"));
        }
        s.rx(&format!("{ace} 1:1 ack {}001 {option}", before + at_once));
        let got = s.c.status(s.now).delivered_ce;
        assert_eq!(got, marks, "{before} {at_once} {ace} {option}");
    }
}

#[test]
fn options_that_lie() {
    //= RFC 9768 §3.2.3.1, §3.2.3.2.4: zeroed counters are not believed; others are taken modulo 2^24.
    for (option, seen, failures) in [
        ("ecnb 2:0,3:0,1:1", 3, 8),
        ("ecnb 1:1,3:0,2:0", 3, 8),
        ("ecnb 1:1", 2, 0),
        ("ecnb", 1, 0),
        ("", 0, 0),
    ] {
        let s = open(accurate(), option);
        let got = counters(&s);
        assert_eq!(
            (got.options_seen, got.failures),
            (seen, failures),
            "{option}"
        );
    }
    let mut s = open(accurate(), "ecnb 2:1,3:0,1:1");
    s.drain();
    for round in 0..20_u32 {
        s.write(900);
        s.drain();
        s.run(100);
        let wild = round.wrapping_mul(0x9e_3779) & 0xff_ffff;
        let ack = (round + 1) * 900 + 1;
        s.rx(&format!(
            ".EWA 1:1 ack {ack} ecnb 1:{wild},3:{},2:0",
            wild ^ 0xff_ffff
        ));
        assert_eq!(s.last, Ok(()));
    }
    // Each acknowledgment of one segment marks at most seven, whatever it says.
    assert!(s.c.status(s.now).delivered_ce <= 140);
}

#[test]
fn options_that_contradict_the_counter() {
    //= RFC 9768 §3.2.3.2.5
    for (ace, segments, failures) in [(".EA", 1, 2), (".WA", 1, 0), (".EA", 8, 0)] {
        let mut s = open(accurate(), "ecnb 2:1,3:0,1:1");
        s.drain();
        s.write(8000);
        s.drain();
        s.run(100);
        let ack = 988 * segments + 1;
        s.rx(&format!("{ace} 1:1 ack {ack} ecnb 2:1,3:{},1:1", ack - 1));
        assert_eq!(counters(&s).failures, failures, "{ace} {segments}");
        s.write(1000);
        let marked = s.drain().iter().all(|l| l.contains(" ect"));
        assert_eq!(marked, failures == 0, "{ace} {segments}");
    }
}

#[test]
fn where_options_come_and_go() {
    //= RFC 9768 §3.2.3.2.3, §3.2.3.3
    // None from the peer, none from us; and from the first on, ours.
    let mut s = open(accurate(), "");
    s.tx(&[".W 1:1 ack 1 ect"]);
    s.rx("P.EA 1:11 ack 1 ecnb 2:1");
    s.run(40);
    s.write(10);
    s.tx(&["P.EA 1:11 ack 11 ect e1b 1 ceb 0 e0b 1"]);
    // Sparingly: where something has changed, and then once a round.
    let sparing = Options {
        ecn_option: EcnOption::Sparing,
        ecn_beacons: 0,
        ..accurate()
    };
    let mut s = open(sparing, "ecnb 2:1,3:0,1:1");
    s.tx(&[".W 1:1 ack 1 ect e1b 1 ceb 0 e0b 1"]);
    s.write(10);
    s.tx(&["P.EA 1:11 ack 1 ect e1b 1 ceb 0 e0b 1"]);
    s.rx(".EA 1:1 ack 11");
    s.write(10);
    s.tx(&["P.EA 11:21 ack 1 ect"]);
    s.rx("P.EA 1:11 ack 21 ce");
    s.tx(&[".WA 21:21 ack 11 ect e1b 1 ceb 10 e0b 1"]);
    // Never.
    let never = Options {
        ecn_option: EcnOption::Never,
        ..accurate()
    };
    let mut s = open(never, "ecnb 2:1,3:0,1:1");
    s.tx(&[".W 1:1 ack 1 ect"]);
}

#[test]
fn options_that_do_not_arrive() {
    //= RFC 9768 §3.2.3.2.2: acknowledged twice with one, and it comes again.
    for (ecn_option, gives_up) in [(EcnOption::Usual, true), (EcnOption::Persistent, false)] {
        let options = Options {
            ecn_option,
            ..accurate()
        };
        let mut s = open(options, "ecnb 2:1,3:0,1:1");
        s.drain();
        let told = |s: &mut Script| {
            s.rx("P.EA 1:101 ack 1 ect0");
            let out = s.drain();
            assert_eq!(out.len(), 1);
            out[0].contains("e0b")
        };
        assert_eq!((told(&mut s), told(&mut s)), (true, true));
        assert_eq!(told(&mut s), !gives_up);
        assert_eq!(counters(&s).failures, if gives_up { 4 } else { 0 });
        s.rx("P.EA 101:201 ack 1 ect0");
        let out = s.run(40);
        assert_eq!(out[0].contains("e0b"), !gives_up);
    }
}

#[test]
fn bursts_are_cut_where_a_device_would_spoil_them() {
    //= RFC 9768 §3.3.4
    for (marks, whole) in [
        (0, true),
        (1, false),
        (2, false),
        (3, true),
        (4, true),
        (5, false),
    ] {
        let options = Options {
            ecn_option: EcnOption::Never,
            ..accurate()
        };
        let mut s = open(options, "");
        s.drain();
        if marks > 0 {
            s.rx(&format!("P.EA 1:11 ack 1 ce joined {marks}"));
            s.drain();
        }
        s.max = 64_000;
        s.write(5000);
        assert_eq!(s.drain().len(), if whole { 1 } else { 5 }, "{marks}");
    }
}

#[test]
fn what_is_not_new_data_may_be_capable() {
    //= RFC 8311 §4.3, RFC 3168 §6.1.4, §6.1.5
    for (ecn_control, tail) in [(true, " ect"), (false, "")] {
        let options = Options {
            ecn_control,
            ..accurate()
        };
        let mut s = open(options, "");
        s.tx(&[&format!(".W 1:1 ack 1{tail}")]);
        s.write(1000);
        s.tx(&["P.EA 1:1001 ack 1 ect"]);
        s.runs(300, &[&format!("300 P.EA 1:1001 ack 1{tail}")]);
    }
}

#[test]
fn time_wait_counts_nothing() {
    let mut s = open(accurate(), "ecnb 2:1,3:0,1:1");
    s.drain();
    s.c.shutdown(s.now);
    s.tx(&["F.EA 1:1 ack 1 ect e1b 1 ceb 0 e0b 1"]);
    s.rx("F.EA 1:1 ack 2");
    assert_eq!(s.c.state(), State::TimeWait);
    s.tx(&[". 2:2 ack 2 ect"]);
}
