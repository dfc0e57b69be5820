//! Windows and small segments: RFC 9293 §3.7.4 and §3.8.6, RFC 1122 §4.2.3.4, RFC 7323 §2.

use super::script::{Script, modern, ms, plain};
use crate::transport::tcp::options::{Buffer, Nagle};
use crate::transport::tcp::{Error, Options, State};

fn windows(options: Options, win: u16) -> Script {
    let mut s = Script::open_by(options, &std::format!("mss 9000 win {win}"));
    s.win = win;
    s
}

#[test]
fn no_more_than_the_window() {
    //= RFC 5681 §2
    let mut s = windows(plain(), 2500);
    s.write(5000);
    s.tx(&[". 1:1001 ack 1", "P. 1001:2001 ack 1"]);
    s.rx(". 1:1 ack 1001 win 2000");
    s.tx(&[". 2001:3001 ack 1"]);
    // An old segment does not set it (SND.WL1, SND.WL2).
    s.drops(
        ". 0:0 ack 1001 win 9000",
        crate::reason::DropReason::TcpOutOfWindow,
    );
    assert_eq!(s.c.status(s.now).snd_wnd, 2000);
    s.rx(". 1:1 ack 1 win 9000");
    assert_eq!(s.c.status(s.now).snd_wnd, 2000);
    s.rx(". 1:1 ack 1001 win 4000");
    assert_eq!(s.c.status(s.now).snd_wnd, 4000);
}

#[test]
fn a_closed_window_is_probed_ever_more_rarely() {
    //= RFC 9293 §3.8.6.1 MUST-36
    let mut s = windows(plain(), 1000);
    s.write(3000);
    s.tx(&["P. 1:1001 ack 1"]);
    s.run(100);
    s.rx(". 1:1 ack 1001 win 0");
    s.tx(&[]);
    //= RFC 9293 §3.8.6.1 SHLD-29, SHLD-30
    s.runs(300, &["300 . 1000:1000 ack 1"]);
    s.rx(". 1:1 ack 1001 win 0");
    s.runs(600, &["600 . 1000:1000 ack 1"]);
    s.rx(". 1:1 ack 1001 win 0");
    s.runs(1200, &["1200 . 1000:1000 ack 1"]);
    s.rx(". 1:1 ack 1001 win 0");
    //= RFC 9293 §3.8.6.1 MUST-37: it may stay closed as long as the peer answers.
    for _ in 0..40 {
        s.run(120_000);
        s.rx(". 1:1 ack 1001 win 0");
    }
    assert_eq!(s.c.state(), State::Established);
    s.rx(". 1:1 ack 1001 win 5000");
    s.tx(&["P. 1001:2001 ack 1", "P. 2001:3001 ack 1"]);
    assert_eq!(s.c.status(s.now).backoff, 0);
    // A peer that does not answer is gone.
    let options = Options {
        retries2: 4,
        ..plain()
    };
    let mut s = windows(options, 0);
    s.write(100);
    s.tx(&[]);
    let probes = s.run(100_000);
    assert_eq!((probes.len(), s.c.error()), (5, Some(Error::TimedOut)));
}

#[test]
fn a_user_timeout_holds_for_a_closed_window() {
    //= RFC 9293 §3.8.3 MUST-21: as Linux, from the first probe on, whether they are answered or not.
    for answered in [true, false] {
        let options = Options {
            user_timeout: Some(ms(3000)),
            ..plain()
        };
        let mut s = windows(options, 1000);
        let closed = |s: &mut Script, millis: u64| {
            for _ in s.run(millis) {
                if answered {
                    s.rx(". 1:1 ack 1001 win 0");
                }
            }
        };
        s.write(3000);
        s.tx(&["P. 1:1001 ack 1"]);
        s.run(100);
        s.rx(". 1:1 ack 1001 win 0");
        s.tx(&[]);
        // Probes after 300, 900 and 2100 ms.
        for _ in 0..32 {
            closed(&mut s, 100);
        }
        assert_eq!((s.c.state(), s.c.error()), (State::Established, None));
        closed(&mut s, 100);
        assert_eq!(s.c.error(), Some(Error::TimedOut), "{answered}");
    }
    // What opens meanwhile is a new beginning.
    let options = Options {
        user_timeout: Some(ms(3000)),
        ..plain()
    };
    let mut s = windows(options, 1000);
    s.write(3000);
    s.tx(&["P. 1:1001 ack 1"]);
    s.rx(". 1:1 ack 1001 win 0");
    s.run(2900);
    s.rx(". 1:1 ack 1001 win 1000");
    s.tx(&["P. 1001:2001 ack 1"]);
    s.rx(". 1:1 ack 2001 win 0");
    s.run(3100);
    assert_eq!(s.c.error(), None);
    s.run(300);
    assert_eq!(s.c.error(), Some(Error::TimedOut));
}

#[test]
fn a_user_timeout_holds_for_a_window_that_shrank() {
    let options = Options {
        user_timeout: Some(ms(3000)),
        ..plain()
    };
    let mut s = windows(options, 5000);
    s.write(3000);
    s.drain();
    s.rx(". 1:1 ack 1 win 0");
    for _ in 0..31 {
        for _ in s.run(100) {
            s.rx(". 1:1 ack 1 win 0");
        }
    }
    assert_eq!(s.c.error(), Some(Error::TimedOut));
}

#[test]
fn a_window_closes_while_a_timeout_backs_off() {
    // The backoff of a lost segment is not the persist timer's to forget.
    let mut s = windows(plain(), 5000);
    s.write(1000);
    s.drain();
    s.run(900);
    assert_eq!(s.c.status(s.now).backoff, 2);
    s.rx(". 1:1 ack 1 win 4000");
    assert_eq!(s.c.status(s.now).backoff, 2);
}

#[test]
fn a_fin_alone_waits_for_the_window() {
    let mut s = windows(plain(), 0);
    s.c.shutdown(s.now);
    s.tx(&[]);
    s.runs(300, &["300 . 0:0 ack 1"]);
    s.rx(". 1:1 ack 1 win 100");
    s.tx(&["F. 1:1 ack 1"]);
}

#[test]
fn a_window_that_shrank_ends_nothing() {
    //= RFC 9293 §3.8.6 MUST-35, SHLD-15, SHLD-16, SHLD-17
    // RFC 9293 §3.8.6 MUST-34: we endure it; data beyond does not time the connection out while
    // the peer answers.
    let options = Options {
        retries2: 3,
        ..plain()
    };
    let mut s = windows(options, 5000);
    s.write(3000);
    s.drain();
    s.rx(". 1:1 ack 1 win 0");
    for _ in 0..20 {
        let all = s.run(2000);
        for _ in all {
            s.rx(". 1:1 ack 1 win 0");
        }
    }
    assert_eq!(s.c.state(), State::Established);
    s.rx(". 1:1 ack 1 win 5000");
    s.run(120_000);
}

#[test]
fn silly_windows_are_not_used() {
    //= RFC 9293 §3.8.6.2.1 MUST-38
    // 400 of a window whose largest was 5000: less than half, so it waits, and is overridden.
    let mut s = windows(plain(), 5000);
    s.write(2000);
    s.drain();
    s.run(100);
    s.rx(". 1:1 ack 2001 win 400");
    s.write(2000);
    s.tx(&[]);
    s.runs(300, &["300 P. 2001:2401 ack 1"]);
    // Half the largest goes at once.
    let mut s = windows(plain(), 900);
    s.write(2000);
    s.tx(&[". 1:901 ack 1"]);
    s.rx(". 1:1 ack 901 win 450");
    s.tx(&["P. 901:1351 ack 1"]);
}

#[test]
fn the_window_is_not_offered_in_crumbs() {
    //= RFC 9293 §3.8.6.2.2 MUST-39; §3.8.6.1 MAY-8; §3.8.6 SHLD-14
    let options = Options {
        recv_buffer: Buffer {
            initial: 4000,
            max: 4000,
        },
        delayed_ack: ms(40),
        ..plain()
    };
    let mut s = Script::open_by(options, "mss 1000");
    for i in 0..4 {
        s.rx(&std::format!(
            "P. {}:{} ack 1",
            i * 1000 + 1,
            i * 1000 + 1001
        ));
    }
    s.tx(&[". 1:1 ack 4001"]);
    assert_eq!(s.out.as_ref().unwrap().window, 0);
    //= RFC 9293 §3.8.6.2.2: until a segment or half the buffer is free.
    s.read(999);
    s.tx(&[]);
    s.read(1);
    s.tx(&[". 1:1 ack 4001"]);
    assert_eq!(s.out.as_ref().unwrap().window, 1000);
    // Probes of the closed window are answered, and their acknowledgments taken.
    let mut s2 = s.clone();
    s2.rx("P. 4001:5001 ack 1");
    s2.tx(&[]);
    s2.run(40);
    s2.write(10);
    s2.tx(&["P. 1:11 ack 5001"]);
    assert_eq!(s2.out.as_ref().unwrap().window, 0);
    s2.rx("P. 5001:5002 ack 11");
    assert_eq!(
        s2.c.status(s2.now).unacked,
        0,
        "valid acknowledgments are taken"
    );
    s2.tx(&[". 11:11 ack 5001"]);
    // Those of an empty probe as well, whose number is an old one.
    s2.write(10);
    s2.tx(&["P. 11:21 ack 5001"]);
    s2.rx(". 5000:5000 ack 21");
    assert_eq!(s2.c.status(s2.now).unacked, 0);
    s2.tx(&[". 21:21 ack 5001"]);
    // And resets.
    s2.rx("R. 5001:5002 ack 11");
    assert_eq!(s2.c.state(), State::Closed);
}

#[test]
fn data_beyond_the_window_is_cut() {
    let options = Options {
        recv_buffer: Buffer {
            initial: 1500,
            max: 1500,
        },
        ..plain()
    };
    let mut s = Script::open_by(options, "mss 1000");
    s.rx("FP. 1:2001 ack 1");
    s.tx(&[". 1:1 ack 1501"]);
    assert_eq!((s.c.state(), s.read(3000)), (State::Established, 1500));
    s.tx(&[". 1:1 ack 1501"]);
    s.rx("FP. 1501:2001 ack 1");
    assert_eq!((s.c.state(), s.read(3000)), (State::CloseWait, 500));
}

#[test]
fn nagle() {
    //= RFC 9293 §3.7.4 SHLD-7, MUST-17
    let with = |nagle| Options { nagle, ..plain() };
    // One small at a time while anything is unacknowledged.
    let mut s = Script::open(with(Nagle::Classic));
    s.write(100);
    s.tx(&["P. 1:101 ack 1"]);
    s.write(100);
    s.write(50);
    s.tx(&[]);
    s.rx(". 1:1 ack 101");
    s.tx(&["P. 101:251 ack 1"]);
    s.write(1000);
    s.tx(&["P. 251:1251 ack 1"]);
    s.rx(". 1:1 ack 1251");
    s.write(1100);
    s.tx(&[". 1251:2251 ack 1"]);
    // Minshall: only behind a small one.
    let mut s = Script::open(with(Nagle::Minshall));
    s.write(1100);
    s.tx(&[". 1:1001 ack 1", "P. 1001:1101 ack 1"]);
    s.write(100);
    s.tx(&[]);
    s.rx(". 1:1 ack 1001");
    s.tx(&[]);
    s.rx(". 1:1 ack 1101");
    s.tx(&["P. 1101:1201 ack 1"]);
    // Off, and the FIN ends all waiting.
    let mut s = Script::open(with(Nagle::Off));
    for i in 0..3 {
        s.write(100);
        s.tx(&[&std::format!("P. {}:{} ack 1", i * 100 + 1, i * 100 + 101)]);
    }
    let mut s = Script::open(with(Nagle::Classic));
    s.write(100);
    s.drain();
    s.write(100);
    s.tx(&[]);
    s.c.shutdown(s.now);
    s.tx(&["FP. 101:201 ack 1"]);
}

#[test]
fn cork() {
    //= RFC 9293 §3.9.1.2 MUST-60, MAY-16
    let options = Options {
        cork: true,
        ..plain()
    };
    let mut s = Script::open(options);
    s.write(100);
    s.tx(&[]);
    s.runs(250, &["200 P. 1:101 ack 1"]);
    s.rx(". 1:1 ack 101");
    s.write(50);
    s.tx(&[]);
    s.run(100);
    s.write(1000);
    s.tx(&[". 101:1101 ack 1"]);
    s.rx(". 1:1 ack 1101");
    // The rest may still wait its turn, but no longer than that.
    let out = s.run(200);
    assert_eq!(out.len(), 1, "{out:?}");
    // Pulled out, it goes at once.
    s.rx(". 1:1 ack 1151");
    s.write(30);
    s.tx(&[]);
    let options = Options {
        cork: false,
        ..s.c.options().as_ref().clone()
    };
    s.c.set_options(s.now, alloc::sync::Arc::new(options));
    s.tx(&["P. 1151:1181 ack 1"]);
}

#[test]
fn scales() {
    //= RFC 9293 §3.1 MUST-1, REC-1; RFC 7323 §2.3
    let mut s = Script::open(modern());
    s.rx(". 1:1 ack 1 win 9");
    assert_eq!(s.c.status(s.now).snd_wnd, 9 << 7);
    s.write(3000);
    s.tx(&[". 1:1001 ack 1"]);
    // The largest there can be.
    let mut s = Script::open_by(modern(), "mss 9000 ws 14 ts 0/0");
    s.rx(". 1:1 ack 1 win 65535");
    assert_eq!(s.c.status(s.now).snd_wnd, 65_535 << 14);
}

#[test]
fn urgent_both_ways() {
    //= RFC 9293 §3.8.5 MUST-30, MUST-32, MUST-33, MUST-62
    let mut s = Script::open(plain());
    s.c.send_urgent(s.now, b"help!").unwrap();
    s.tx(&["P.U 1:6 ack 1 urg 5"]);
    s.write(1500);
    s.rx(". 1:1 ack 6");
    s.max = 5000;
    s.c.send_urgent(s.now, &[0; 600]).unwrap();
    // Each segment points behind the last urgent byte from its own first number, so none are cut
    // from a larger one.
    s.tx(&[
        ".U 6:1006 ack 1 urg 2100",
        ".U 1006:2006 ack 1 urg 1100",
        "P.U 2006:2106 ack 1 urg 100",
    ]);
    s.rx(". 1:1 ack 2106");
    s.write(10);
    s.tx(&["P. 2106:2116 ack 1"]);
    // In: the data stays in line (RFC 6093), and the user knows how far it goes.
    s.rx("P.U 1:101 ack 2106 urg 40");
    assert_eq!(s.c.urgent(), Some(40));
    s.rx("P. 101:201 ack 2106");
    s.read(39);
    assert_eq!(s.c.urgent(), Some(1));
    s.read(1);
    assert_eq!(s.c.urgent(), None);
    // It may be told before it comes.
    s.rx("P.U 201:301 ack 2106 urg 500");
    assert_eq!(s.c.urgent(), Some(660));
}

#[test]
fn writing_is_bounded() {
    let options = Options {
        send_buffer: Buffer {
            initial: 5000,
            max: 5000,
        },
        ..plain()
    };
    let mut s = Script::open(options);
    assert_eq!(s.c.send(s.now, &[0; 20_000]), Ok(5000));
    assert_eq!(s.c.send(s.now, &[0; 20_000]), Err(Error::WouldBlock));
    s.drain();
    let _ = s.c.take_ready();
    s.rx(". 1:1 ack 5001");
    assert!(s.c.take_ready().has(crate::transport::Readiness::WRITABLE));
}
