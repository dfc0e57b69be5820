//! How connections end: RFC 9293 §3.6 and §3.10.4–5, RFC 1122 §4.2.2.13, RFC 6191.

use super::script::{Script, modern, ms, plain};
use crate::reason::DropReason;
use crate::time::Duration;
use crate::transport::Readiness;
use crate::transport::tcp::options::KeepAlive;
use crate::transport::tcp::{Error, Options, State};
use crate::wire::tcp::Flags;

#[test]
fn we_close_first() {
    //= RFC 9293 §3.6.1 MUST-13
    let mut s = Script::open(plain());
    s.c.shutdown(s.now);
    s.tx(&["F. 1:1 ack 1"]);
    assert_eq!(s.c.state(), State::FinWait1);
    assert_eq!(s.c.send(s.now, b"late"), Err(Error::Closed));
    s.rx(". 1:1 ack 2");
    assert_eq!(s.c.state(), State::FinWait2);
    s.run(1000);
    assert_eq!(s.c.poll_timeout(), None, "the peer may take its time");
    // Half-close: the peer goes on.
    s.rx("P. 1:501 ack 2");
    s.runs(50, &["40 . 2:2 ack 501"]);
    assert_eq!(s.read(1000), 500);
    s.rx("F. 501:501 ack 2");
    s.tx(&[". 2:2 ack 502"]);
    assert_eq!(s.c.state(), State::TimeWait);
    assert_eq!(s.c.recv(s.now, &mut [0; 9]), Ok(0));
    s.run(59_999);
    assert_eq!(s.c.state(), State::TimeWait);
    s.run(1);
    assert_eq!(
        (s.c.state(), s.c.error(), s.c.poll_timeout()),
        (State::Closed, None, None)
    );
}

#[test]
fn the_peer_closes_first() {
    let mut s = Script::open(plain());
    s.rx("FP. 1:11 ack 1");
    s.tx(&[". 1:1 ack 12"]);
    assert_eq!(s.c.state(), State::CloseWait);
    assert!(s.c.take_ready().has(Readiness::READABLE));
    assert_eq!((s.read(100), s.read(100)), (10, 0));
    // Half-close: we go on.
    s.write(700);
    s.tx(&["P. 1:701 ack 12"]);
    s.rx(". 12:12 ack 701");
    s.c.shutdown(s.now);
    s.tx(&["F. 701:701 ack 12"]);
    assert_eq!(s.c.state(), State::LastAck);
    s.rx(". 12:12 ack 702");
    assert_eq!(
        (s.c.state(), s.c.error(), s.c.poll_timeout()),
        (State::Closed, None, None)
    );
}

#[test]
fn both_close_at_once() {
    let mut s = Script::open(plain());
    s.c.shutdown(s.now);
    s.tx(&["F. 1:1 ack 1"]);
    s.rx("F. 1:1 ack 1");
    assert_eq!(s.c.state(), State::Closing);
    s.tx(&[". 2:2 ack 2"]);
    s.rx(". 2:2 ack 2");
    assert_eq!(s.c.state(), State::TimeWait);
    // The FIN that acknowledges ours goes straight to TIME-WAIT.
    let mut s = Script::open(plain());
    s.c.shutdown(s.now);
    s.drain();
    s.rx("F. 1:1 ack 2");
    assert_eq!(s.c.state(), State::TimeWait);
    s.tx(&[". 2:2 ack 2"]);
}

#[test]
fn time_wait_starts_anew_with_each_fin() {
    let mut s = Script::state(plain(), State::TimeWait);
    s.run(50_000);
    s.drops("F. 1:1 ack 2", DropReason::TcpOutOfWindow);
    s.tx(&[". 2:2 ack 2"]);
    s.run(50_000);
    assert_eq!(s.c.state(), State::TimeWait);
    // Anything else does not.
    s.rx(". 2:2 ack 2");
    s.run(10_000);
    assert_eq!(s.c.state(), State::Closed);
}

#[test]
fn the_user_lets_go_in_time_wait() {
    for linger in [None, Some(ms(5000)), Some(ms(0))] {
        let options = Options { linger, ..plain() };
        let mut s = Script::state(options, State::TimeWait);
        s.c.close(s.now);
        s.tx(&[]);
        s.run(59_000);
        assert_eq!(s.c.state(), State::TimeWait, "{linger:?}");
        s.run(1000);
        assert_eq!(s.c.state(), State::Closed);
        s.c.close(s.now);
        assert_eq!(s.c.poll_timeout(), None);
    }
}

#[test]
fn a_new_syn_in_time_wait() {
    //= RFC 9293 §3.6.1 MAY-2, SHLD-4; RFC 6191 §2
    // RFC 6191 §2; columns: old had timestamps, SYN's number, its TSval less the last one.
    let rows = [
        (true, "-500:-500", Some(1), true),
        (true, "-500:-500", Some(0), false),
        (true, "2:2", Some(0), true),
        (true, "2:2", Some(-1), false),
        (true, "2:2", None, true),
        (true, "1:1", None, false),
        (false, "-500:-500", Some(-9), true),
        (false, "2:2", None, true),
        (false, "1:1", None, false),
    ];
    for (old, seq, tsval, want) in rows {
        let options = Options {
            timestamps: true,
            ..plain()
        };
        let mut s = Script::open_by(options, if old { "mss 1460 ts 0/0" } else { "mss 1460" });
        s.c.shutdown(s.now);
        s.drain();
        s.rx("F. 1:1 ack 2");
        s.drain();
        assert_eq!(s.c.state(), State::TimeWait);
        let ts = tsval.map_or("nots".into(), |v| std::format!("ts {v}/0"));
        let (syn, _) = s.parse(&std::format!("S {seq} {ts}"));
        assert_eq!(s.c.reusable(s.now, &syn), want, "{old} {seq} {tsval:?}");
        assert!(
            !Script::state(plain(), State::Closing)
                .c
                .reusable(s.now, &syn)
        );
    }
}

#[test]
fn a_lost_fin_is_sent_again() {
    let mut s = Script::open(plain());
    s.write(300);
    s.c.shutdown(s.now);
    s.tx(&["FP. 1:301 ack 1"]);
    s.runs(400, &["300 FP. 1:301 ack 1"]);
    s.rx(". 1:1 ack 301");
    s.runs(
        1000,
        &[
            "0 F. 301:301 ack 1",
            "300 F. 301:301 ack 1",
            "900 F. 301:301 ack 1",
        ],
    );
    s.rx(". 1:1 ack 302");
    s.run(1000);
    assert_eq!((s.c.state(), s.c.poll_timeout()), (State::FinWait2, None));
}

#[test]
fn a_fin_before_its_turn_waits() {
    let mut s = Script::open(modern());
    s.rx("F. 501:501 ack 1");
    s.tx(&[". 1:1 ack 1 sack 501:502"]);
    assert_eq!(s.c.state(), State::Established);
    s.rx("P. 1:501 ack 1");
    s.tx(&[". 1:1 ack 502"]);
    assert_eq!(s.c.state(), State::CloseWait);
}

#[test]
fn text_behind_the_fin_is_ignored() {
    let mut s = Script::open(modern());
    s.rx("P. 900:950 ack 1");
    s.rx("F. 501:501 ack 1");
    s.rx("P. 1:501 ack 1");
    assert_eq!(s.c.state(), State::CloseWait);
    s.tx(&[". 1:1 ack 502"]);
    s.drops("P. 502:510 ack 1", DropReason::TcpAfterFin);
    assert_eq!((s.read(2000), s.read(100)), (500, 0));
}

#[test]
fn unread_data_at_close_resets() {
    //= RFC 9293 §3.6.1 MAY-1, SHLD-3; RFC 1122 §4.2.2.13
    let mut s = Script::open(plain());
    s.rx("P. 1:101 ack 1");
    s.c.close(s.now);
    s.tx(&["R. 1:1 ack 101"]);
    assert_eq!((s.c.state(), s.c.poll_timeout()), (State::Closed, None));
}

#[test]
fn data_after_close_resets() {
    //= RFC 9293 §3.6.1 SHLD-3; RFC 1122 §4.2.2.13
    for state in [State::FinWait1, State::FinWait2] {
        let mut s = Script::state(plain(), state);
        s.c.close(s.now);
        s.tx(&[]);
        s.drops("P. 1:101 ack 2", DropReason::TcpAfterClose);
        s.tx(&["R 2:2"]);
        assert_eq!(s.c.state(), State::Closed);
    }
    // After a shutdown alone the user still reads.
    let mut s = Script::state(plain(), State::FinWait2);
    s.rx("P. 1:101 ack 2");
    assert_eq!(s.read(200), 100);
}

#[test]
fn fin_wait_2_ends_where_nobody_holds_it() {
    let mut s = Script::state(plain(), State::FinWait2);
    s.c.close(s.now);
    s.run(59_999);
    assert_eq!(s.c.state(), State::FinWait2);
    s.runs(1, &[]);
    assert_eq!(s.c.state(), State::Closed);
    let mut s = Script::state(plain(), State::FinWait1);
    s.c.close(s.now);
    s.rx(". 1:1 ack 2");
    s.run(60_000);
    assert_eq!(s.c.state(), State::Closed);
}

#[test]
fn linger() {
    // Zero: a reset at once, what is unsent is lost.
    let options = Options {
        linger: Some(ms(0)),
        ..plain()
    };
    for state in [
        State::SynReceived,
        State::Established,
        State::CloseWait,
        State::FinWait1,
        State::FinWait2,
    ] {
        let mut s = Script::state(options.clone(), state);
        s.c.close(s.now);
        let out = s.drain();
        assert!(
            out.len() == 1 && out[0].starts_with("R."),
            "{state} {out:?}"
        );
        assert_eq!(s.c.state(), State::Closed);
    }
    // For a while: then a reset.
    let options = Options {
        linger: Some(ms(1000)),
        ..plain()
    };
    let mut s = Script::open(options);
    s.write(100);
    s.c.close(s.now);
    s.tx(&["FP. 1:101 ack 1"]);
    s.runs(999, &["300 FP. 1:101 ack 1", "900 FP. 1:101 ack 1"]);
    s.runs(1, &["1 R. 102:102 ack 1"]);
    assert_eq!((s.c.state(), s.c.poll_timeout()), (State::Closed, None));
}

#[test]
fn abort_in_each_state() {
    for state in State::ALL {
        if state == State::Listen {
            continue;
        }
        let mut s = Script::state(plain(), state);
        s.c.abort(s.now);
        //= RFC 9293 §3.10.5: a reset where the peer may still send or wait for us.
        let resets = matches!(
            state,
            State::SynReceived
                | State::Established
                | State::FinWait1
                | State::FinWait2
                | State::CloseWait
        );
        assert_eq!(s.drain().len(), usize::from(resets), "{state}");
        assert_eq!((s.c.state(), s.c.poll_timeout()), (State::Closed, None));
    }
}

/// Every state by what arrives, in the window and out of it: what it leads to, and what goes out.
#[test]
fn each_state_by_each_segment() {
    // A dot: nothing goes out; A: an acknowledgment; R: a reset; S: a SYN-ACK.
    let table = [
        // state, [SYN RST FIN ACK SYN-ACK data] in the window, the same out of it
        (
            State::Closed,
            "CLOSED . CLOSED . CLOSED . CLOSED . CLOSED . CLOSED .",
        ),
        (
            State::SynSent,
            "SYN-RECEIVED S CLOSED . SYN-SENT . SYN-SENT . ESTABLISHED A SYN-SENT .",
        ),
        (
            State::SynReceived,
            "SYN-RECEIVED A CLOSED . CLOSE-WAIT A ESTABLISHED . SYN-RECEIVED A ESTABLISHED A",
        ),
        (
            State::Established,
            "ESTABLISHED A CLOSED . CLOSE-WAIT A ESTABLISHED . ESTABLISHED A ESTABLISHED A",
        ),
        (
            State::FinWait1,
            "FIN-WAIT-1 A CLOSED . TIME-WAIT A FIN-WAIT-2 . FIN-WAIT-1 A FIN-WAIT-2 A",
        ),
        (
            State::FinWait2,
            "FIN-WAIT-2 A CLOSED . TIME-WAIT A FIN-WAIT-2 . FIN-WAIT-2 A FIN-WAIT-2 A",
        ),
        (
            State::CloseWait,
            "CLOSE-WAIT A CLOSED . CLOSE-WAIT . CLOSE-WAIT . CLOSE-WAIT A CLOSE-WAIT .",
        ),
        (
            State::Closing,
            "CLOSING A CLOSED . TIME-WAIT . TIME-WAIT . CLOSING A TIME-WAIT .",
        ),
        (
            State::LastAck,
            "LAST-ACK A CLOSED . CLOSED . CLOSED . LAST-ACK A CLOSED .",
        ),
        (
            State::TimeWait,
            "TIME-WAIT A CLOSED . TIME-WAIT A TIME-WAIT . TIME-WAIT A TIME-WAIT A",
        ),
    ];
    for (state, row) in table {
        let options = Options {
            quick_acks: 9,
            ..plain()
        };
        let words: std::vec::Vec<&str> = row.split(' ').collect();
        let flags = ["S", "R.", "F.", ".", "S.", "P."];
        for (kind, want) in flags.into_iter().zip(words.chunks(2)) {
            let mut s = Script::state(options.clone(), state);
            let (nxt, ack) = (s.c.rcv.nxt, s.c.snd.nxt);
            let (mut seg, data) = s.parse(if kind == "P." { "P. 0:50" } else { "S 0:0" });
            seg.flags = s.parse(&std::format!("{kind} 0:0")).0.flags;
            (seg.seq, seg.ack) = (nxt, ack);
            let _ = s.c.handle_segment(s.now, &seg, data);
            let out = s.drain();
            let shown = match s.out.as_ref().filter(|_| !out.is_empty()) {
                None => ".",
                Some(o) if o.flags.contains(Flags::RST) => "R",
                Some(o) if o.flags.contains(Flags::SYN) => "S",
                Some(_) => "A",
            };
            let got = [s.c.state().name(), shown];
            // A window update may make the acknowledgment of the SYN-ACK's kind late: none here.
            assert_eq!(got, want, "{state} {kind}: {out:?}");
            s.check();
        }
        // Out of the window nothing changes the state; what is no reset is answered.
        if matches!(state, State::Closed | State::SynSent) {
            continue;
        }
        for kind in flags {
            for far in [100_000_u32, 0_u32.wrapping_sub(100)] {
                let mut s = Script::state(options.clone(), state);
                let (mut seg, data) = s.parse(if kind == "P." { "P. 0:50" } else { "S 0:0" });
                seg.flags = s.parse(&std::format!("{kind} 0:0")).0.flags;
                (seg.seq, seg.ack) = (s.c.rcv.nxt + far, s.c.snd.nxt);
                let got = s.c.handle_segment(s.now, &seg, data);
                let beyond = far == 100_000 && kind == "P.";
                let why = match beyond {
                    true => DropReason::TcpBeyondWindow,
                    false => DropReason::TcpOutOfWindow,
                };
                assert_eq!(got, Err(why), "{state} {kind}");
                assert_eq!(s.c.state(), state, "{kind}");
                let out = s.drain();
                assert_eq!(
                    out.len(),
                    usize::from(kind != "R."),
                    "{state} {kind}: {out:?}"
                );
            }
        }
    }
}

#[test]
fn keepalive() {
    //= RFC 9293 §3.8.4 MAY-5, MUST-24, MUST-26, MUST-27, SHLD-12
    let options = Options {
        keepalive: Some(KeepAlive {
            idle: Duration::from_secs(10),
            interval: Duration::from_secs(2),
            probes: 3,
        }),
        ..plain()
    };
    let mut s = Script::open(options);
    s.run(5000);
    s.rx("P. 1:2 ack 1");
    s.drain();
    s.runs(10_000, &["40 . 1:1 ack 2", "10000 . 0:0 ack 2"]);
    //= RFC 9293 §3.8.4: the answer to one below what the peer expects.
    s.rx(". 2:2 ack 1");
    s.runs(10_000, &["10000 . 0:0 ack 2"]);
    s.runs(
        10_000,
        &["2000 . 0:0 ack 2", "4000 . 0:0 ack 2", "6000 R. 1:1 ack 2"],
    );
    assert_eq!(
        (s.c.state(), s.c.error()),
        (State::Closed, Some(Error::TimedOut))
    );
    // We answer such a probe.
    let mut s = Script::open(plain());
    s.drops(". 0:0 ack 1", DropReason::TcpOutOfWindow);
    s.tx(&[". 1:1 ack 1"]);
}

#[test]
fn patience_ends() {
    //= RFC 9293 §3.8.3 MUST-20, MUST-21
    let options = Options {
        retries2: 3,
        ..plain()
    };
    let mut s = Script::sent(options, 1);
    s.runs(
        10_000,
        &[
            "300 P. 1:1001 ack 1",
            "900 P. 1:1001 ack 1",
            "2100 P. 1:1001 ack 1",
        ],
    );
    assert_eq!(
        (s.c.state(), s.c.error()),
        (State::Closed, Some(Error::TimedOut))
    );
    // RFC 5482: the limit holds to the moment, not to the next timeout.
    let options = Options {
        user_timeout: Some(ms(1500)),
        ..plain()
    };
    let mut s = Script::sent(options, 1);
    s.runs(1499, &["300 P. 1:1001 ack 1", "900 P. 1:1001 ack 1"]);
    assert_eq!(s.c.state(), State::Established);
    s.run(1);
    assert_eq!(
        (s.c.state(), s.c.error()),
        (State::Closed, Some(Error::TimedOut))
    );
}

#[test]
fn what_was_sent_and_acknowledged_stays_counted_after_the_end() {
    let options = Options {
        retries2: 3,
        ..plain()
    };
    let counts = |s: &Script| {
        let status = s.c.status(s.now);
        (
            status.bytes_acked,
            status.bytes_sent - status.bytes_retrans,
            status.not_sent,
        )
    };
    let mut s = Script::open_by(options, "mss 9000 win 3000");
    // A SYN is no byte of the user's.
    assert_eq!(counts(&s), (0, 0, 0));
    s.write(10_000);
    s.drain();
    assert_eq!(counts(&s), (0, 3000, 7000));
    s.rx(". 1:1 ack 1001 win 2000");
    s.run(100_000);
    assert_eq!(s.c.error(), Some(Error::TimedOut));
    assert_eq!(counts(&s), (1000, 3000, 0));
    // Nor is a FIN.
    let mut s = Script::sent(plain(), 1);
    s.c.shutdown(s.now);
    s.drain();
    s.rx(". 1:1 ack 1002");
    assert_eq!(counts(&s), (1000, 1000, 0));
}
