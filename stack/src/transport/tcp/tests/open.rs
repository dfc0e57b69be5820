//! How connections begin: RFC 9293 §3.5 and §3.10.7.3, RFC 7323 §2.

use super::script::{Script, modern, plain};
use crate::reason::DropReason;
use crate::transport::ErrorKind;
use crate::transport::Readiness;
use crate::transport::tcp::options::Ecn;
use crate::transport::tcp::{Error, Options, State};

#[test]
fn active() {
    let mut s = Script::connect(plain());
    s.tx(&["S 0:0"]);
    s.rx("S. 0:0 ack 1 mss 1460");
    s.tx(&[". 1:1 ack 1"]);
    assert_eq!(s.c.state(), State::Established);
    assert!(s.c.take_ready().has(Readiness::WRITABLE));
}

#[test]
fn passive() {
    let mut s = Script::passive(plain(), "S 0:0 mss 1460");
    s.tx(&["S. 0:0 ack 1"]);
    s.rx("P. 1:11 ack 1");
    assert_eq!((s.last, s.c.state()), (Ok(()), State::Established));
    assert_eq!(s.read(100), 10);
}

#[test]
fn both_at_once() {
    //= RFC 9293 §3.5 MUST-10
    // RFC 9293 §3.5, figure 8: the SYN-ACK that crosses ours is what acknowledges our SYN.
    let mut s = Script::connect(plain());
    s.tx(&["S 0:0"]);
    s.rx("S 0:0 mss 1460 win 700");
    s.tx(&["S. 0:0 ack 1"]);
    assert_eq!(s.c.state(), State::SynReceived);
    s.rx("S. 0:0 ack 1 mss 1460 win 700");
    assert_eq!(s.c.state(), State::Established);
    s.tx(&[". 1:1 ack 1"]);
    assert_eq!(s.c.status(s.now).snd_wnd, 700);
    // And the plain acknowledgment does as well.
    let mut s = Script::connect(plain());
    s.tx(&["S 0:0"]);
    s.rx("S 0:0 mss 1460");
    s.tx(&["S. 0:0 ack 1"]);
    s.rx(". 1:1 ack 1");
    assert_eq!(s.c.state(), State::Established);
    s.tx(&[]);
}

#[test]
fn both_at_once_between_two_of_us() {
    use crate::transport::tcp::{Connection, Segment};
    let mut s = Script::connect(modern());
    let mut t = Script::connect(modern());
    let mut wire: std::vec::Vec<(bool, Segment)> = std::vec::Vec::new();
    let poll = |c: &mut Connection, now, from, wire: &mut std::vec::Vec<(bool, Segment)>| {
        while let Some(out) = c.poll_transmit(now, 1) {
            wire.push((from, super::pair::segment(&out, 0..out.payload.len()).seg));
        }
    };
    let mut count = 0;
    poll(&mut s.c, s.now, true, &mut wire);
    poll(&mut t.c, t.now, false, &mut wire);
    while !wire.is_empty() {
        let (from_s, seg) = wire.remove(0);
        count += 1;
        assert!(count < 20, "they do not come to rest");
        let end = if from_s { &mut t.c } else { &mut s.c };
        let _ = end.handle_segment(s.now, &seg, crate::frame::Payload::new());
        poll(end, s.now, !from_s, &mut wire);
    }
    assert_eq!(
        (s.c.state(), t.c.state()),
        (State::Established, State::Established)
    );
}

#[test]
fn syn_sent_looks_at_the_acknowledgment_first() {
    let mut s = Script::connect(plain());
    s.tx(&["S 0:0"]);
    for (text, answer) in [
        (". 0:0 ack 0", Some("R 0:0")),
        ("S. 0:0 ack 2", Some("R 2:2")),
        ("R. 0:0 ack 0", None),
        ("R. 0:0 ack 2", None),
    ] {
        s.drops(text, DropReason::TcpBadAck);
        s.tx(answer.as_slice());
        assert_eq!(s.c.state(), State::SynSent);
    }
    s.drops("R 0:0", DropReason::TcpOutOfWindow);
    s.drops(". 0:0 ack 1", DropReason::TcpUnexpected);
    s.drops("F. 0:0 ack 1", DropReason::TcpUnexpected);
    s.tx(&[]);
    s.rx("R. 0:0 ack 1");
    assert_eq!(
        (s.c.state(), s.c.take_error()),
        (State::Closed, Some(Error::Refused))
    );
    assert_eq!(s.c.poll_timeout(), None);
}

#[test]
fn syn_ack_with_text_and_fin() {
    let mut s = Script::connect(plain());
    s.tx(&["S 0:0"]);
    s.rx("SF. 0:5 ack 1 mss 1460");
    assert_eq!(s.c.state(), State::CloseWait);
    // Five bytes behind the SYN's own number, then the FIN.
    s.tx(&[". 1:1 ack 7"]);
}

#[test]
fn syn_received_answers_again() {
    let mut s = Script::passive(plain(), "S 0:0 mss 1460");
    s.tx(&["S. 0:0 ack 1"]);
    s.drops("S 0:0 mss 1460", DropReason::TcpDuplicate);
    s.tx(&["S. 0:0 ack 1"]);
    s.drops("S 500:500", DropReason::TcpChallenged);
    s.tx(&[". 1:1 ack 1"]);
    s.drops(". 1:1 ack 2", DropReason::TcpBadAck);
    s.tx(&["R 2:2"]);
    s.drops(". 1:1 ack 0", DropReason::TcpBadAck);
    s.tx(&["R 0:0"]);
    assert_eq!(s.c.state(), State::SynReceived);
    s.rx("F. 1:1 ack 1");
    assert_eq!(s.c.state(), State::CloseWait);
    s.tx(&[". 1:1 ack 2"]);
}

#[test]
fn syns_are_sent_again_until_patience_ends() {
    //= RFC 9293 §3.8.3 MUST-22; RFC 6298 §2.1
    let options = Options {
        syn_retries: 3,
        ..plain()
    };
    let mut s = Script::connect(options);
    s.tx(&["S 0:0"]);
    s.runs(60_000, &["1000 S 0:0", "3000 S 0:0", "7000 S 0:0"]);
    assert_eq!(
        (s.c.state(), s.c.error()),
        (State::Closed, Some(Error::TimedOut))
    );
    assert_eq!(s.elapsed(), "60000");
    let options = Options {
        syn_ack_retries: 2,
        ..plain()
    };
    let mut s = Script::passive(options, "S 0:0 mss 1460");
    s.tx(&["S. 0:0 ack 1"]);
    s.runs(60_000, &["1000 S. 0:0 ack 1", "3000 S. 0:0 ack 1"]);
    assert_eq!((s.c.state(), s.c.error()), (State::Closed, None));
}

#[test]
fn a_syn_that_was_sent_again_is_timed_only_by_timestamps() {
    //= RFC 7323 §4.1
    // Karn: which of the two was answered is not known.
    let mut s = Script::connect(plain());
    s.drain();
    s.run(1100);
    s.rx("S. 0:0 ack 1 mss 9000");
    s.drain();
    assert_eq!(s.c.status(s.now).srtt, None);
    //= RFC 6298 §5.7
    assert_eq!(s.c.status(s.now).rto.as_millis(), 3000);
    // The echo says that it was the second.
    let mut s = Script::connect(modern());
    s.drain();
    s.run(1100);
    let echo = s.our_clock(100);
    s.rx(&std::format!("S. 0:0 ack 1 mss 9000 ts 0/{echo}"));
    s.drain();
    assert_eq!(s.c.status(s.now).srtt.map(|d| d.as_millis()), Some(100));
}

#[test]
fn a_cookie_times_nothing() {
    use super::script::{IRS, ISS, PATH};
    use crate::transport::tcp::{Connection, CookieOptions};
    let mut s = Script::connect(modern());
    s.ts = true;
    let (ack, data) = s.parse(". 1:1 ack 1");
    assert_eq!((ack.seq, ack.ack), (IRS + 1, ISS + 1));
    let kept = CookieOptions {
        mss: 1460,
        wscale: Some(7),
        sack: true,
        timestamps: true,
        ecn: false,
    };
    let options = alloc::sync::Arc::new(modern());
    s.c = Connection::cookie(s.now, options, &ack, &kept, 0, PATH);
    assert_eq!(s.c.handle_segment(s.now, &ack, data), Ok(()));
    let status = s.c.status(s.now);
    assert_eq!(
        (status.state, status.snd_wnd),
        (State::Established, 65_535 << 7)
    );
    assert_eq!(status.srtt, None);
    assert_eq!(status.min_rtt, None);
    s.write(1000);
    s.tx(&["P. 1:1001 ack 1"]);
}

#[test]
fn what_the_syns_offer() {
    //= RFC 9293 §3.7.1 MUST-14, SHLD-5, MAY-3; RFC 2018 §2; RFC 7323 §2.2
    for (ours, theirs, want) in [
        // timestamps, SACK, scaling: each where both want it
        (
            modern(),
            "mss 1460 ws 3 sackok ts 0/0",
            (true, true, Some((3, 7))),
        ),
        (modern(), "mss 1460", (false, false, None)),
        (plain(), "mss 1460 ws 3 sackok ts 0/0", (false, false, None)),
        //= RFC 7323 §2.3: more than 14 is 14.
        (modern(), "mss 1460 ws 15", (false, false, Some((14, 7)))),
        (modern(), "mss 1460 ws 255", (false, false, Some((14, 7)))),
    ] {
        let s = Script::open_by(ours.clone(), theirs);
        let status = s.c.status(s.now);
        assert_eq!(
            (status.timestamps, status.sack, status.wscale),
            want,
            "{theirs}"
        );
        let mut s = Script::passive(ours, &std::format!("S 0:0 {theirs}"));
        s.drain();
        s.rx(". 1:1 ack 1 win 10");
        let status = s.c.status(s.now);
        assert_eq!(
            (status.timestamps, status.sack, status.wscale),
            want,
            "{theirs}"
        );
        assert_eq!(status.snd_wnd, 10 << want.2.map_or(0, |w| w.0));
    }
}

#[test]
fn windows_in_syns_are_not_scaled() {
    //= RFC 7323 §2.2
    let s = Script::open_by(modern(), "mss 1460 ws 7 win 5000");
    assert_eq!(s.c.status(s.now).snd_wnd, 5000);
    let mut s = Script::connect(modern());
    s.drain();
    assert_eq!(s.out.as_ref().unwrap().window, 65_535);
    s.rx("S 0:0 mss 1460 ws 7 win 5000");
    s.drain();
    assert_eq!(s.out.as_ref().unwrap().window, 65_535);
    s.rx("S. 0:0 ack 1 mss 1460 ws 7 win 6000");
    assert_eq!(s.c.status(s.now).snd_wnd, 6000);
    s.rx(". 1:1 ack 1 win 6000");
    assert_eq!(s.c.status(s.now).snd_wnd, 6000 << 7);
}

#[test]
fn the_user_may_write_and_close_before_it_opens() {
    let mut s = Script::connect(plain());
    s.write(300);
    s.c.shutdown(s.now);
    s.tx(&["S 0:0"]);
    s.rx("S. 0:0 ack 1 mss 1460");
    s.tx(&["FP. 1:301 ack 1"]);
    assert_eq!(s.c.state(), State::FinWait1);
    // Nothing written: it is as if it had never been.
    let mut s = Script::connect(plain());
    s.tx(&["S 0:0"]);
    s.c.shutdown(s.now);
    assert_eq!((s.c.state(), s.c.poll_timeout()), (State::Closed, None));
    // SYN-RECEIVED: the FIN follows the handshake.
    let mut s = Script::passive(plain(), "S 0:0 mss 1460");
    s.tx(&["S. 0:0 ack 1"]);
    s.c.shutdown(s.now);
    s.tx(&[]);
    s.rx(". 1:1 ack 1");
    s.tx(&["F. 1:1 ack 1"]);
    assert_eq!(s.c.state(), State::FinWait1);
}

#[test]
fn icmp_in_each_state() {
    //= RFC 9293 §3.9.2.2 MUST-56
    // RFC 5927 §5.2: hard errors end what is not open yet, and nothing else.
    for state in State::ALL {
        if matches!(state, State::Listen | State::Closed) {
            continue;
        }
        for kind in [
            ErrorKind::PortUnreachable,
            ErrorKind::ProtocolUnreachable,
            ErrorKind::HostUnreachable,
            ErrorKind::TtlExpired,
            ErrorKind::PacketTooBig { mtu: 1000 },
        ] {
            let mut s = Script::state(plain(), state);
            s.c.handle_icmp(s.now, kind);
            let ends = state == State::SynSent
                && !matches!(kind, ErrorKind::TtlExpired | ErrorKind::PacketTooBig { .. });
            assert_eq!(s.c.state() == State::Closed, ends, "{state} {kind:?}");
            assert_eq!(s.c.error().is_some(), ends);
        }
    }
    let mut s = Script::open(plain());
    use super::script::ISS;
    assert!(!s.c.accepts_quote(ISS + 1), "nothing is in flight");
    s.write(500);
    s.drain();
    assert!(s.c.accepts_quote(ISS + 1) && s.c.accepts_quote(ISS + 500));
    assert!(!s.c.accepts_quote(ISS) && !s.c.accepts_quote(ISS + 501));
}

#[test]
fn what_icmp_said_is_told_when_patience_ends() {
    let options = Options {
        retries2: 3,
        ..plain()
    };
    let mut s = Script::sent(options, 1);
    s.c.handle_icmp(s.now, ErrorKind::HostUnreachable);
    assert_eq!(s.c.error(), None);
    s.run(60_000);
    let want = Error::Unreachable(ErrorKind::HostUnreachable);
    assert_eq!((s.c.state(), s.c.error()), (State::Closed, Some(want)));
}

#[test]
fn without_a_word_the_peer_takes_536() {
    //= RFC 9293 §3.7.1 MUST-15
    let mut s = Script::open_by(
        Options {
            mss: None,
            ..plain()
        },
        "",
    );
    s.write(1500);
    s.tx(&[". 1:537 ack 1", ". 537:1073 ack 1", "P. 1073:1501 ack 1"]);
    // Timestamps take twelve of them.
    let mut s = Script::open_by(
        Options {
            ecn: Ecn::Off,
            mss: None,
            ..modern()
        },
        "ts 0/0",
    );
    s.write(1000);
    s.tx(&[". 1:525 ack 1", "P. 525:1001 ack 1"]);
}
