//! Silent peers and those that let us wait: RFC 9293 §3.8.3, §3.8.4, §3.8.6.1, RFC 5482.

use super::script::{Script, modern, ms, plain};
use crate::reason::DropReason;
use crate::time::Duration;
use crate::transport::tcp::options::KeepAlive;
use crate::transport::tcp::{Error, Options, Report, State};
use crate::transport::{ErrorKind, Readiness};

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn windows(options: Options, win: u16) -> Script {
    let mut s = Script::open_by(options, &std::format!("mss 9000 win {win}"));
    s.win = win;
    s
}

#[test]
fn from_r1_on_the_path_is_doubted_and_the_user_told() {
    let mut s = Script::sent(plain(), 1);
    s.run(2000);
    assert_eq!((s.c.take_doubt(), s.c.take_report()), (false, None));
    assert!(!s.c.take_ready().has(Readiness::REPORT));
    s.run(1000);
    //= RFC 9293 §3.8.3 MUST-20, SHLD-9, SHLD-10: at the third, which R1 is.
    assert!(s.c.take_ready().has(Readiness::REPORT));
    assert_eq!(s.c.take_report(), Some(Report::Silent { timeouts: 3 }));
    assert_eq!((s.c.take_doubt(), s.c.take_doubt()), (true, false));
    s.run(3000);
    assert_eq!(s.c.take_report(), Some(Report::Silent { timeouts: 4 }));
    // An answer ends the series.
    s.rx(". 1:1 ack 1001");
    s.write(1000);
    s.run(500);
    assert_eq!(s.c.take_report(), None);
    assert!(s.c.take_doubt());
    //= RFC 9293 §3.9.1.8 SHLD-20: who does not want to know is not told.
    let quiet = Options {
        reports: false,
        ..plain()
    };
    let mut s = Script::sent(quiet, 1);
    s.run(10_000);
    s.c.handle_icmp(s.now, ErrorKind::HostUnreachable);
    assert!(s.c.take_doubt());
    assert!(!s.c.take_ready().has(Readiness::REPORT));
}

#[test]
fn a_syn_is_doubted_alike() {
    //= RFC 9293 §3.8.3 MUST-22
    let mut s = Script::connect(plain());
    s.run(4000);
    assert!(!s.c.take_doubt());
    s.run(4000);
    assert_eq!(s.c.take_report(), Some(Report::Silent { timeouts: 3 }));
    assert!(s.c.take_doubt());
}

#[test]
fn r2_lasts_longer_than_it_must() {
    //= RFC 9293 §3.8.3 SHLD-11: at least 100 s.
    let mut s = Script::sent(Options::default(), 1);
    s.run(100_000);
    assert_eq!(s.c.state(), State::Established);
    s.run(900_000);
    assert_eq!(s.c.error(), Some(Error::TimedOut));
}

#[test]
fn soft_errors_are_reported_and_end_nothing() {
    //= RFC 9293 §3.9.2.2 MUST-56, SHLD-25; §3.9.1.8 MUST-47
    for kind in [
        ErrorKind::NetUnreachable,
        ErrorKind::HostUnreachable,
        ErrorKind::TtlExpired,
        ErrorKind::ReassemblyTimeout,
        ErrorKind::ParameterProblem { pointer: 20 },
    ] {
        let mut s = Script::sent(plain(), 1);
        s.c.handle_icmp(s.now, kind);
        assert_eq!(s.c.state(), State::Established);
        assert!(s.c.take_ready().has(Readiness::REPORT));
        assert_eq!(s.c.take_report(), Some(Report::Unreachable(kind)));
        assert_eq!(s.c.take_report(), None);
    }
}

#[test]
fn an_orphan_does_not_wait_for_ever() {
    let options = Options {
        orphan_retries: 4,
        ..plain()
    };
    // Its window stays closed, though it answers each probe.
    let mut s = windows(options.clone(), 0);
    s.write(100);
    s.c.close(s.now);
    let mut probes = 0;
    for _ in 0..100 {
        for line in s.run(100) {
            if line.ends_with(". 0:0 ack 1") {
                probes += 1;
                s.rx(". 1:1 ack 1 win 0");
            } else {
                assert!(line.ends_with("R. 1:1 ack 1"), "{line}");
            }
        }
    }
    assert_eq!((probes, s.c.state()), (4, State::Closed));
    // While somebody holds it, it may stay closed (MUST-37).
    let mut s = windows(options.clone(), 0);
    s.write(100);
    for _ in 0..100 {
        for _ in s.run(1000) {
            s.rx(". 1:1 ack 1 win 0");
        }
    }
    assert_eq!(s.c.state(), State::Established);
    // Where nothing is heard, so many timeouts.
    let mut s = Script::sent(options, 1);
    s.c.close(s.now);
    assert_eq!(s.run(60_000).len(), 1 + 4);
    assert_eq!(s.c.state(), State::Closed);
}

#[test]
fn keepalives_and_window_probes_are_counted_apart() {
    let keepalive = Some(KeepAlive {
        idle: secs(10),
        interval: secs(1),
        probes: 2,
    });
    let options = Options {
        keepalive,
        retries2: 6,
        ..plain()
    };
    // A silent peer with a closed window is asked by the probes of the window alone: one a
    // timeout, and none of them counts for the others.
    let mut s = windows(options, 0);
    s.write(100);
    let all = s.run(30_000);
    assert_eq!((all.len(), s.c.state()), (6, State::Established), "{all:?}");
    s.run(60_000);
    assert_eq!(s.c.error(), Some(Error::TimedOut));
}

#[test]
fn a_single_probe_ends_nothing_by_itself() {
    //= RFC 9293 §3.8.4 MUST-29
    let keepalive = Some(KeepAlive {
        idle: secs(10),
        interval: secs(1),
        probes: 0,
    });
    let mut s = Script::open(Options {
        keepalive,
        ..plain()
    });
    s.runs(10_500, &["10000 . 0:0 ack 1"]);
    assert_eq!(s.c.state(), State::Established);
}

#[test]
fn keepalives_begin_after_the_user_timeout() {
    //= RFC 5482 §4.2
    let keepalive = Some(KeepAlive {
        idle: secs(10),
        interval: secs(1),
        probes: 3,
    });
    let mut s = Script::open(modern());
    let options = alloc::sync::Arc::new(Options {
        keepalive,
        ..telling(Some(secs(20)))
    });
    s.c.set_options(s.now, options);
    let first = s.run(30_000);
    assert!(first[0].starts_with("21000 . 0:0 ack 1"), "{first:?}");
}

#[test]
fn resets_of_ours_carry_timestamps() {
    //= RFC 7323 §5.2
    let mut s = Script::open(modern());
    s.c.abort(s.now);
    s.tx(&["R. 1:1 ack 1"]);
    assert_eq!(s.out.as_ref().unwrap().options.as_bytes().len(), 12);
    let mut s = Script::open(plain());
    s.c.abort(s.now);
    s.tx(&["R. 1:1 ack 1"]);
    assert_eq!(s.out.as_ref().unwrap().options.as_bytes().len(), 0);
}

fn telling(timeout: Option<Duration>) -> Options {
    Options {
        user_timeout: timeout,
        user_timeout_option: true,
        ..modern()
    }
}

#[test]
fn a_user_timeout_is_told() {
    //= RFC 5482 §3 with the SYN and once more after it; then only where it changes.
    let mut s = Script::connect(telling(Some(secs(300))));
    s.tx(&["S 0:0 uto 300"]);
    s.run(100);
    s.ts = true;
    s.rx("S. 0:0 ack 1 mss 9000 ws 7 sackok");
    s.write(3000);
    // Four bytes less of data, and within the MTU (which the script checks).
    s.tx(&[
        ". 1:997 ack 1 uto 300",
        ". 997:1997 ack 1",
        ". 1997:2997 ack 1",
        "P. 2997:3001 ack 1",
    ]);
    s.rx(". 1:1 ack 3001");
    let other = Options {
        user_timeout: Some(secs(40_000)),
        ..telling(None)
    };
    s.c.set_options(s.now, alloc::sync::Arc::new(other));
    s.rx("P. 1:2 ack 3001");
    //= RFC 5482 §3.3 seconds end at 32767; minutes are rounded up.
    let told = s.run(100);
    assert_eq!(told, ["40 . 3001:3001 ack 2 uto 40020"]);
    // Off unless asked for.
    let mut s = Script::connect(Options {
        user_timeout: Some(secs(300)),
        ..modern()
    });
    s.tx(&["S 0:0"]);
}

#[test]
fn the_peers_user_timeout_is_adopted_within_limits() {
    let adopted = |uto: u64| {
        let mut s = Script::open(telling(None));
        s.rx(&std::format!("P. 1:2 ack 1 uto {uto}"));
        assert_eq!(s.last, Ok(()));
        s.write(1000);
        let from = s.now;
        while s.c.state() == State::Established {
            s.run(1000);
            assert!(s.now.since(from) < secs(5000));
        }
        s.now.since(from).as_secs()
    };
    //= RFC 5482 §3.1 U_LIMIT and L_LIMIT
    assert!((299..=301).contains(&adopted(300)), "{}", adopted(300));
    assert!((99..=103).contains(&adopted(5)), "{}", adopted(5));
    assert!((3599..=3601).contains(&adopted(30_000)));
    // Ours is not theirs to change; the user is told.
    let mut s = Script::open(modern());
    let ours = alloc::sync::Arc::new(telling(Some(secs(20))));
    s.c.set_options(s.now, ours);
    s.rx("P. 1:2 ack 1 uto 300");
    assert_eq!(s.c.take_report(), Some(Report::UserTimeout(secs(300))));
    s.write(1000);
    s.run(20_000);
    assert_eq!(s.c.error(), Some(Error::TimedOut));
    // Who does not speak the option is deaf to it, and to a reserved zero.
    //= RFC 5482 §3.4
    for (options, uto) in [(modern(), 300), (telling(None), 0)] {
        let mut s = Script::open(options);
        s.rx(&std::format!("P. 1:2 ack 1 uto {uto}"));
        assert_eq!((s.last, s.c.take_report()), (Ok(()), None));
    }
}

#[test]
fn urgent_data_is_told_of_behind_a_closed_window() {
    use crate::transport::tcp::options::Buffer;
    let mut s = Script::open(Options {
        recv_buffer: Buffer {
            initial: 2000,
            max: 2000,
        },
        ..plain()
    });
    s.rx("P. 1:2001 ack 1");
    s.drain();
    let _ = s.c.take_ready();
    //= RFC 9293 §3.4 MUST-66; §3.8.5 MUST-32, MUST-33
    s.drops("U. 2001:2002 ack 1 urg 1", DropReason::TcpZeroWindow);
    assert!(s.c.take_ready().has(Readiness::URGENT));
    assert_eq!(s.c.urgent(), Some(2001));
    // Told again only where it is further ahead.
    s.drops("U. 2001:2002 ack 1 urg 1", DropReason::TcpZeroWindow);
    assert!(!s.c.take_ready().has(Readiness::URGENT));
    assert_eq!(s.read(5000), 2000);
    assert_eq!(s.c.urgent(), Some(1));
    s.drain();
    s.rx("UP. 2001:2002 ack 1 urg 1");
    assert_eq!(s.read(5000), 1);
    assert_eq!((s.c.urgent(), s.c.rcv.up), (None, None));
}

#[test]
fn no_acknowledgment_waits_for_half_a_second() {
    //= RFC 9293 §3.8.6.3 MUST-40
    let mut s = Script::open(Options {
        delayed_ack: ms(5000),
        ..plain()
    });
    s.rx("P. 1:2 ack 1");
    s.runs(1000, &["499 . 1:1 ack 2"]);
}
