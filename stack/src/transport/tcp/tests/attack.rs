//! What strangers send: RFC 5961, RFC 5927, and anything at all.

use super::script::{Script, modern, plain};
use crate::reason::DropReason;
use crate::time::Duration;
use crate::transport::tcp::{Error, Options, State};
use std::vec::Vec;

#[test]
fn resets() {
    //= RFC 9293 §3.6 MUST-12; RFC 5961 §3.2
    // RFC 5961 §3.2: exact, in the window, outside.
    for state in [
        State::Established,
        State::FinWait1,
        State::FinWait2,
        State::CloseWait,
    ] {
        let mut s = Script::state(plain(), state);
        let nxt = s.c.rcv.nxt;
        let (mut seg, data) = s.parse("R 1:1");
        seg.seq = nxt + 1;
        let got = s.c.handle_segment(s.now, &seg, data.clone());
        assert_eq!(got, Err(DropReason::TcpChallenged));
        assert_eq!((s.drain().len(), s.c.state()), (1, state));
        seg.seq = nxt - 1;
        let got = s.c.handle_segment(s.now, &seg, data.clone());
        assert_eq!(got, Err(DropReason::TcpOutOfWindow));
        seg.seq = nxt + 70_000;
        let got = s.c.handle_segment(s.now, &seg, data.clone());
        assert_eq!(got, Err(DropReason::TcpOutOfWindow));
        assert_eq!((s.drain().len(), s.c.state()), (0, state));
        seg.seq = nxt;
        assert_eq!(s.c.handle_segment(s.now, &seg, data), Ok(()));
        assert_eq!(
            (s.c.state(), s.c.error()),
            (State::Closed, Some(Error::Reset))
        );
        assert_eq!((s.drain().len(), s.c.poll_timeout()), (0, None));
    }
}

#[test]
fn challenges_are_rare() {
    //= RFC 5961 §7: ten guesses, one answer.; RFC 5961 §4.2
    let mut s = Script::open(plain());
    for i in 0..10 {
        s.rx(&std::format!("R {0}:{0}", 100 + i));
        s.rx("S 500:500");
        s.drops(". 1:1 ack 9000", DropReason::TcpBadAck);
    }
    s.tx(&[". 1:1 ack 1"]);
    s.run(499);
    s.rx("S 500:500");
    s.tx(&[]);
    s.run(1);
    s.rx("S 500:500");
    s.tx(&[". 1:1 ack 1"]);
}

#[test]
fn acknowledgments_too_new_and_too_old() {
    //= RFC 9293 §3.10.7.4 MAY-12
    // RFC 5961 §5.2: SND.UNA - MAX.SND.WND =< SEG.ACK =< SND.NXT.
    let mut s = Script::open_by(plain(), "mss 9000 win 2000");
    s.win = 2000;
    s.write(1500);
    s.drain();
    s.rx(". 1:1 ack 1501 win 2000");
    for (ack, fine) in [("1502", false), ("1501", true), ("1", true)] {
        let mut t = s.clone();
        t.rx(&std::format!("P. 1:11 ack {ack}"));
        assert_eq!(t.last.is_ok(), fine, "{ack}");
        assert_eq!(t.read(100), if fine { 10 } else { 0 });
    }
    let mut t = s.clone();
    let (mut seg, data) = t.parse("P. 1:11 ack 1");
    seg.ack -= 501;
    let got = t.c.handle_segment(t.now, &seg, data);
    assert_eq!(got, Err(DropReason::TcpBadAck));
    assert_eq!(t.drain().len(), 1);
    // Nothing was ever sent that this could acknowledge, though the window would have it.
    let mut t = Script::open(plain());
    let (mut seg, data) = t.parse("P. 1:11 ack 1");
    seg.ack -= 2;
    let got = t.c.handle_segment(t.now, &seg, data);
    assert_eq!((got, t.read(10)), (Err(DropReason::TcpBadAck), 0));
    // No acknowledgment at all: dropped.
    s.drops("P 1:11", DropReason::TcpUnexpected);
    s.tx(&[]);
}

#[test]
fn a_guess_does_not_poison_the_timestamps() {
    // A segment at the right place with an acknowledgment from nowhere may not set TS.Recent.
    let mut s = Script::open(modern());
    s.run(100);
    for bad in [
        "P. 1:11 ack 90000 ts 2000000000/0",
        "P 1:11 ts 2000000000/0",
        "S. 1:1 ack 1 ts 2000000000/0",
    ] {
        s.rx(bad);
        assert!(s.last.is_err());
    }
    s.rx("P. 1:11 ack 1");
    assert_eq!((s.last, s.read(100)), (Ok(()), 10));
}

#[test]
fn a_closed_connection_takes_nothing() {
    let mut s = Script::state(plain(), State::Closed);
    s.drops("S 0:0", DropReason::TcpNoSocket);
    s.drops("P. 1:1 ack 1", DropReason::TcpNoSocket);
    s.tx(&[]);
}

#[test]
fn crumbs_of_sack_do_not_make_each_byte_an_entry() {
    // The family of CVE-2019-11477: every other byte of a flight, four blocks at a time.
    let options = Options {
        sack: true,
        ..plain()
    };
    let mut s = Script::open(options);
    s.write(60_000);
    for _ in 0..6 {
        s.drain();
        let all = s.c.snd.nxt.since(s.c.snd.iss);
        s.rx(&std::format!(". 1:1 ack {all}"));
    }
    s.write(60_000);
    s.drain();
    let (una, flight) = (s.c.snd.una, s.c.snd.flight());
    assert!(flight >= 10_000, "{flight}");
    let first = una.since(s.c.snd.iss);
    for step in 0..flight / 8 {
        let at = |i: u32| first + 1 + 8 * step + 2 * i;
        let block = |i: u32| std::format!("{}:{}", at(i), at(i) + 1);
        let blocks: Vec<_> = (0..4).map(block).collect();
        s.rx(&std::format!(". 1:1 ack {first} sack {}", blocks.join(" ")));
        s.drain();
    }
    // Four pieces for each full segment and 256, and what the last blocks cut.
    let full = usize::try_from(s.c.snd.flight() / 1000).unwrap();
    let most = 256 + 4 * full + 8;
    let entries = s.c.snd.track.board.len();
    assert!((256..=most).contains(&entries), "{entries} of {most}");
}

#[test]
fn a_stalled_peer_costs_few_looks() {
    // Never acknowledged, and acknowledged with a window that stays shut.
    for shut in [false, true] {
        let mut s = Script::open(plain());
        s.write(3000);
        s.drain();
        if shut {
            s.rx(". 1:1 ack 3001 win 0");
            s.write(3000);
            s.drain();
        }
        let (end, mut looks) = (s.now + Duration::from_secs(100), 0);
        while let Some(due) = s.c.poll_timeout().filter(|due| *due <= end) {
            s.now = s.now.max(due);
            s.c.handle_timeout(s.now);
            looks += 1;
            s.drain();
        }
        assert!((8..30).contains(&looks), "{looks} looks, shut {shut}");
    }
}
