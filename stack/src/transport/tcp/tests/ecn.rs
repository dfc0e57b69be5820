//! Explicit congestion notification: RFC 3168 §6.1.

use super::script::{Script, plain};
use crate::transport::tcp::Options;
use crate::transport::tcp::options::Ecn;
use crate::transport::tcp::status::Phase;

fn with(ecn: Ecn) -> Options {
    Options { ecn, ..plain() }
}

#[test]
fn who_uses_it() {
    //= RFC 9293 §3.8.2 SHLD-8; RFC 3168 §6.1.1
    // Active: what we ask by, what the SYN-ACK has, whether it is in use.
    for (ecn, syn) in [
        (Ecn::Off, "S 0:0"),
        (Ecn::Passive, "S 0:0"),
        (Ecn::Active, "SEW 0:0"),
    ] {
        for (answer, granted) in [
            ("S.", false),
            ("S.E", true),
            ("S.EW", false),
            ("S.W", false),
        ] {
            let mut s = Script::connect(with(ecn));
            s.tx(&[syn]);
            s.rx(&std::format!("{answer} 0:0 ack 1 mss 1000"));
            s.drain();
            assert_eq!(s.c.status(s.now).ecn, granted && ecn == Ecn::Active);
        }
    }
    // Passive: what is asked, what we answer.
    for ecn in [Ecn::Off, Ecn::Passive, Ecn::Active] {
        for (syn, asked) in [("S", false), ("SEW", true), ("SE", false), ("SW", false)] {
            let mut s = Script::passive(with(ecn), &std::format!("{syn} 0:0 mss 1000"));
            let want = asked && ecn != Ecn::Off;
            s.tx(&[if want {
                "S.E 0:0 ack 1"
            } else {
                "S. 0:0 ack 1"
            }]);
            s.rx(". 1:1 ack 1");
            assert_eq!(s.c.status(s.now).ecn, want);
        }
    }
    //= RFC 3168 §6.1.1.1: a SYN sent again no longer asks.
    let mut s = Script::connect(with(Ecn::Active));
    s.tx(&["SEW 0:0"]);
    s.runs(1000, &["1000 S 0:0"]);
}

fn open() -> Script {
    let mut s = Script::connect(with(Ecn::Active));
    s.drain();
    s.run(100);
    s.rx("S.E 0:0 ack 1 mss 1000");
    s.drain();
    s
}

#[test]
fn marks_are_echoed_until_cwr() {
    //= RFC 3168 §6.1.3
    let mut s = open();
    s.rx("P. 1:11 ack 1 ce");
    s.tx(&[".E 1:1 ack 11"]);
    s.rx("P. 11:21 ack 1");
    s.runs(40, &["40 .E 1:1 ack 21"]);
    s.rx("P.W 21:31 ack 1");
    s.run(40);
    s.write(10);
    s.tx(&["P. 1:11 ack 31 ect"]);
    // A mark on the very segment that says CWR starts anew.
    s.rx("P.W 31:41 ack 11 ce");
    s.tx(&[".E 11:11 ack 41"]);
}

#[test]
fn echoes_slow_us_down_once_a_round() {
    //= RFC 3168 §6.1.2
    let mut s = open();
    s.write(20_000);
    let out = s.drain();
    assert!(out.iter().all(|l| l.ends_with(" ect")), "{out:?}");
    s.run(100);
    let before = s.cwnd();
    s.rx(".E 1:1 ack 1001");
    assert_eq!(
        (s.c.phase(), s.c.status(s.now).ssthresh),
        (Phase::Cwr, before / 2)
    );
    let mut all = std::vec::Vec::new();
    for i in 2..=10 {
        s.rx(&std::format!(".E 1:1 ack {i}001"));
        all.extend(s.drain());
    }
    assert_eq!(s.c.status(s.now).ssthresh, before / 2);
    let cwr = all.iter().filter(|l| l.contains('W')).count();
    assert!(cwr == 1 && all[0].starts_with(".W 10001:"), "{all:?}");
    assert_eq!(s.c.phase(), Phase::Open);
    assert!(s.cwnd() <= before / 2 + 1000);
    // The next round may slow down again.
    s.run(100);
    s.rx(".E 1:1 ack 11001");
    assert_eq!(s.c.phase(), Phase::Cwr);
}

#[test]
fn what_is_not_new_data_is_not_capable() {
    //= RFC 3168 §6.1.4–6.1.6: acknowledgments, retransmissions and probes.; RFC 3168 §5.2
    let mut s = open();
    s.write(1000);
    s.tx(&["P. 1:1001 ack 1 ect"]);
    s.runs(300, &["300 P. 1:1001 ack 1"]);
    s.rx("P. 1:11 ack 1001 win 0");
    s.runs(40, &["40 . 1001:1001 ack 11"]);
    s.write(10);
    s.tx(&[]);
    let out = s.run(2000);
    assert!(
        !out.is_empty() && out.iter().all(|l| !l.contains("ect")),
        "{out:?}"
    );
}
