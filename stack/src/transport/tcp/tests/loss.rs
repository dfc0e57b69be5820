//! What is lost, how it is noticed and repaired: RFC 5681, 6582, 6675, 8985, 5682, 6937, 3042,
//! 6298, 2883, 3522.

use super::script::{Script, modern, ms, plain};
use crate::transport::tcp::congestion::Algorithm;
use crate::transport::tcp::status::Phase;
use crate::transport::tcp::{Options, State};
use std::format;
use std::vec::Vec;

fn sack_only() -> Options {
    Options {
        timestamps: false,
        sack: true,
        frto: false,
        ..plain()
    }
}

fn rack_only() -> Options {
    Options {
        rack: true,
        ..sack_only()
    }
}

#[test]
fn the_first_window_is_ten() {
    let mut s = Script::open(plain());
    s.write(30_000);
    assert_eq!(s.drain().len(), 10);
    // Slow start: each acknowledged byte lets two go.
    s.run(100);
    s.rx(". 1:1 ack 2001");
    assert_eq!(s.drain().len(), 4);
    assert_eq!(s.cwnd(), 12_000);
    //= RFC 6928 §2: a SYN that was sent again once may only have been late; more is loss.
    for (wait, want) in [(1000, 10_000), (3000, 1000)] {
        let mut s = Script::connect(plain());
        s.drain();
        s.run(wait);
        s.rx("S. 0:0 ack 1 mss 1000");
        assert_eq!(s.cwnd(), want);
    }
}

#[test]
fn idleness_lets_the_window_decay() {
    //= RFC 5681 §4.1
    let mut s = Script::open(plain());
    for i in 0..6_u32 {
        s.write(10_000);
        s.drain();
        s.run(100);
        s.rx(&format!(". 1:1 ack {}", (i + 1) * 10_000 + 1));
    }
    let full = s.cwnd();
    assert!(full > 15_000, "{full}");
    s.run(60_000);
    s.write(30_000);
    assert_eq!(s.drain().len(), 10, "the restart window");
    assert_eq!(s.cwnd(), 10_000);
}

#[test]
fn the_timer_backs_off_and_karn_is_heeded() {
    //= RFC 9293 §3.8.1 MUST-18; §3.8.2 MUST-19; RFC 6298 §5.5, §3
    let mut s = Script::sent(plain(), 1);
    s.runs(
        5000,
        &[
            "300 P. 1:1001 ack 1",
            "900 P. 1:1001 ack 1",
            "2100 P. 1:1001 ack 1",
            "4500 P. 1:1001 ack 1",
        ],
    );
    let srtt = s.c.status(s.now).srtt;
    s.rx(". 1:1 ack 1001");
    assert_eq!(s.c.status(s.now).srtt, srtt, "not timed");
    s.run(6000);
    assert_eq!(s.c.poll_timeout(), None);
    // With timestamps it is, by the echo.
    let mut s = Script::sent(modern(), 1);
    s.run(350);
    s.rx(&format!(". 1:1 ack 1001 ts 0/{}", s.our_clock(50)));
    assert!(s.c.status(s.now).srtt < srtt);
}

#[test]
fn after_a_timeout_the_first_leaves_though_others_are_in_flight() {
    //= RFC 6298 §5.3, §5.4; RFC 8985 §6.3
    // RFC 6298 §5.4: the earliest is sent again; what left since does not hold it back.
    let mut s = Script::sent(rack_only(), 1);
    s.run(100);
    s.rx(". 1:1 ack 1001");
    s.write(1000);
    s.drain();
    s.run(250);
    s.write(3000);
    assert_eq!(s.drain().len(), 3);
    s.runs(50, &["50 P. 1001:2001 ack 1"]);
}

#[test]
fn newreno() {
    //= RFC 5681 §3.2, §4.3; RFC 6582 §3.2; RFC 3042 §2
    // RFC 6582: two of ten are lost, the second is found by the partial acknowledgment.
    let mut s = Script::sent(plain(), 10);
    s.write(5000);
    s.run(100);
    s.rx(". 1:1 ack 1001");
    s.tx(&[". 10001:11001 ack 1", ". 11001:12001 ack 1"]);
    // Limited transmit (RFC 3042): a new one for each of the first two.
    s.rx(". 1:1 ack 1001");
    s.tx(&[". 12001:13001 ack 1"]);
    s.rx(". 1:1 ack 1001");
    s.tx(&[". 13001:14001 ack 1"]);
    s.rx(". 1:1 ack 1001");
    s.tx(&[". 1001:2001 ack 1"]);
    assert_eq!(s.c.phase(), Phase::Recovery);
    for _ in 0..4 {
        s.rx(". 1:1 ack 1001");
        s.drain();
    }
    s.run(100);
    s.rx(". 1:1 ack 4001");
    let out = s.drain();
    assert!(out.iter().any(|l| l == ". 4001:5001 ack 1"), "{out:?}");
    assert_eq!(s.c.phase(), Phase::Recovery);
    s.run(100);
    s.rx(". 1:1 ack 15001");
    assert_eq!(s.c.phase(), Phase::Open);
    assert_eq!(s.c.status(s.now).recoveries, 1);
    // What ends recovery is news like any other, and counts for growth (RFC 3465), as in Linux.
    assert_eq!(s.cwnd(), s.c.status(s.now).ssthresh + 1000);
}

#[test]
fn a_window_of_whole_segments_grows() {
    //= RFC 5681 §3.1; RFC 9438 §4.3
    // Ten segments, of which the first is lost: seven remain, to the byte, and so nothing is left
    // of the window that less than a segment could be told apart from.
    for (algorithm, after) in [(Algorithm::Cubic, 7000), (Algorithm::Reno, 5000)] {
        let mut s = Script::sent(
            Options {
                congestion: algorithm,
                ..sack_only()
            },
            10,
        );
        s.write(2000);
        s.run(100);
        s.rx(". 1:1 ack 1 sack 1001:10001");
        s.drain();
        s.run(100);
        let mut acked = s.c.snd.nxt.since(s.c.snd.iss);
        s.rx(&format!(". 1:1 ack {acked}"));
        s.drain();
        assert_eq!(s.c.status(s.now).ssthresh, after);
        for _ in 0..40 {
            // As much as the buffer takes.
            let _ = s.c.send(s.now, &[0; 30_000]);
            s.drain();
            s.run(100);
            acked = s.c.snd.nxt.since(s.c.snd.iss);
            s.rx(&format!(". 1:1 ack {acked}"));
            s.drain();
        }
        assert!(s.cwnd() > after + 5000, "{algorithm:?}: {}", s.cwnd());
    }
}

#[test]
fn duplicates_of_what_was_sent_again_start_no_second_recovery() {
    // RFC 6582 §3.2 step 1: the acknowledgment has to cover more than `recover`.
    let mut s = Script::sent(plain(), 6);
    s.run(300);
    s.drain();
    assert_eq!(s.c.phase(), Phase::Loss);
    s.rx(". 1:1 ack 6001");
    s.write(4000);
    s.drain();
    let recoveries = s.c.status(s.now).recoveries;
    for _ in 0..5 {
        s.rx(". 1:1 ack 6001");
    }
    let out = s.drain();
    assert!(out.iter().all(|l| !l.contains(" 6001:")), "{out:?}");
    assert_eq!(s.c.status(s.now).recoveries, recoveries);
}

#[test]
fn sack_without_rack() {
    //= RFC 6675 §2, §3, §4, §5; RFC 5681 §4.3; RFC 2018 §5
    // RFC 6675 §5: sent again once, though acknowledgments go on to say that it is missing.
    let mut s = Script::sent(sack_only(), 10);
    s.run(100);
    s.rx(". 1:1 ack 1 sack 1001:2001");
    s.rx(". 1:1 ack 1 sack 1001:3001");
    s.tx(&[]);
    s.rx(". 1:1 ack 1 sack 1001:4001");
    s.tx(&[". 1:1001 ack 1"]);
    for i in 5..10 {
        s.rx(&format!(". 1:1 ack 1 sack 1001:{i}001"));
        s.tx(&[]);
    }
    let status = s.c.status(s.now);
    assert_eq!((status.lost, status.retrans), (1000, 1000));
    s.rx(". 1:1 ack 10001");
    assert_eq!(s.c.status(s.now).total_retrans, 1);
    assert_eq!(s.c.phase(), Phase::Open);
}

#[test]
fn rack_finds_holes_of_all_kinds() {
    //= RFC 8985 §6.2; RFC 8985 §4, §5.2, §6.1
    let mut s = Script::sent(rack_only(), 10);
    s.run(100);
    // Three segments beyond it: certain (RFC 8985 §6.2 step 4).
    s.rx(". 1:1 ack 1 sack 1001:2001");
    s.tx(&[]);
    s.rx(". 1:1 ack 1 sack 1001:2001 3001:5001");
    let out = s.drain();
    assert_eq!(out, [". 1:1001 ack 1"], "proportional: one for the first");
    s.rx(". 1:1 ack 1 sack 1001:2001 3001:7001");
    s.tx(&[". 2001:3001 ack 1"]);
    // A retransmission that is lost as well is found, since one sent later has arrived.
    s.run(100);
    s.rx(". 1:1 ack 1 sack 1001:7001");
    let out = s.drain();
    assert!(out.iter().any(|l| l == ". 1:1001 ack 1"), "{out:?}");
    assert_eq!(s.c.status(s.now).timeouts, 0);
}

#[test]
fn rack_waits_for_what_may_be_late() {
    //= RFC 8985 §6.2
    let mut s = Script::sent(rack_only(), 3);
    s.run(100);
    s.rx(". 1:1 ack 1 sack 1001:2001");
    s.tx(&[]);
    // A quarter of the least round trip.
    s.runs(30, &["25 . 1:1001 ack 1"]);
    // The original comes all the same: reordering is known from now on.
    let mut s = Script::sent(rack_only(), 6);
    s.run(100);
    s.rx(". 1:1 ack 1 sack 1001:2001");
    s.run(10);
    s.rx(". 1:1 ack 2001");
    s.tx(&[]);
    assert!(s.c.status(s.now).reordering);
    assert_eq!(s.c.status(s.now).total_retrans, 0);
    // Three beyond are no longer certain.
    s.rx(". 1:1 ack 2001 sack 3001:6001");
    s.tx(&[]);
    s.run(5);
    s.tx(&[]);
    s.rx(". 1:1 ack 6001");
    s.tx(&[]);
    assert_eq!(s.c.status(s.now).recoveries, 0);
}

#[test]
fn duplicates_widen_the_reordering_window() {
    //= RFC 8985 §3.3.2
    let mut s = Script::sent(rack_only(), 4);
    s.run(100);
    s.rx(". 1:1 ack 1 sack 1001:2001");
    s.runs(25, &["25 . 1:1001 ack 1"]);
    s.rx(". 1:1 ack 4001");
    s.run(75);
    s.rx(". 1:1 ack 4001 sack 1:1001");
    s.write(4000);
    s.drain();
    s.run(100);
    s.rx(". 1:1 ack 4001 sack 5001:6001");
    // Twice as much as before.
    let min = s.c.status(s.now).min_rtt.unwrap();
    let out = s.run(60);
    let want = (min / 4 * 2).as_millis();
    assert!(
        out[0].starts_with(&format!("{want} . 4001:5001")),
        "{out:?} {min:?}"
    );
}

#[test]
fn needless_repairs_are_undone() {
    //= RFC 2883 §5; RFC 5682 §3.1
    // Eifel (RFC 3522): the echo is older than the retransmission.
    let mut s = Script::sent(modern(), 10);
    let sent_at = s.our_clock(0);
    s.run(100);
    let before = s.cwnd();
    s.rx(&format!(". 1:1 ack 1 sack 1001:4001 ts 0/{sent_at}"));
    s.tx(&[". 1:1001 ack 1"]);
    assert_eq!(s.c.phase(), Phase::Recovery);
    s.run(10);
    s.rx(&format!(". 1:1 ack 4001 ts 0/{sent_at}"));
    assert_eq!((s.c.phase(), s.c.status(s.now).undos), (Phase::Open, 1));
    assert!(s.cwnd() >= before);
    // D-SACK: every retransmission was a duplicate; also when the episode is over by then.
    for early in [true, false] {
        let mut s = Script::sent(rack_only(), 10);
        s.run(100);
        let before = s.cwnd();
        s.rx(". 1:1 ack 1 sack 1001:4001");
        s.tx(&[". 1:1001 ack 1"]);
        s.rx(&format!(". 1:1 ack {}", if early { 4001 } else { 10_001 }));
        assert_eq!(s.c.phase() == Phase::Recovery, early);
        s.run(100);
        s.write(1000);
        s.drain();
        let ack = if early { 9001 } else { 10_001 };
        s.rx(&format!(". 1:1 ack {ack} sack 1:1001"));
        assert_eq!(s.c.status(s.now).undos, 1, "{early}");
        assert!(s.cwnd() >= before, "{early} {} {before}", s.cwnd());
    }
}

#[test]
fn tail_loss_probe() {
    //= RFC 8985 §7.2, §7.3; RFC 8985 §7.1, §7.4.1, §7.4.2, §8
    let tlp = Options {
        tail_loss_probe: true,
        ..rack_only()
    };
    // New data if there is some: the window keeps it back no longer.
    let mut s = Script::sent(tlp.clone(), 10);
    s.write(500);
    s.tx(&[]);
    let pto = 202;
    s.runs(250, &[&format!("{pto} P. 10001:10501 ack 1")]);
    // Else the last again; one probe until something is heard.
    let mut s = Script::sent(tlp.clone(), 4);
    s.runs(400, &[&format!("{pto} P. 3001:4001 ack 1")]);
    // One in flight allows for a delayed acknowledgment, but not beyond the timeout.
    let mut s = Script::sent(tlp.clone(), 1);
    s.runs(310, &["300 P. 1:1001 ack 1"]);
    assert_eq!(s.c.status(s.now).timeouts, 0);
    // What the probe's acknowledgment tells: the last was lost and the probe repaired it, so the
    // window is halved (§7.4.2) once more is acknowledged.
    let mut s = Script::sent(tlp.clone(), 4);
    let before = s.cwnd();
    s.run(210);
    s.rx(". 1:1 ack 4001");
    assert_eq!(s.c.status(s.now).recoveries, 0);
    s.write(1000);
    s.drain();
    s.run(100);
    s.rx(". 1:1 ack 5001");
    assert_eq!(s.c.status(s.now).recoveries, 1);
    assert!(s.cwnd() < before);
    // Both arrived: the duplicate says so, with D-SACK or without, even where all is acknowledged.
    for duplicate in [". 1:1 ack 4001 sack 3001:4001", ". 1:1 ack 4001"] {
        let mut s = Script::sent(tlp.clone(), 4);
        s.run(210);
        s.rx(". 1:1 ack 4001");
        s.run(10);
        s.rx(duplicate);
        s.write(1000);
        s.drain();
        s.run(100);
        s.rx(". 1:1 ack 5001");
        assert_eq!(s.c.status(s.now).recoveries, 0, "{duplicate}");
    }
    // The probe shows a hole before it.
    let mut s = Script::sent(tlp, 4);
    s.run(pto);
    s.run(100);
    s.rx(". 1:1 ack 2001 sack 3001:4001");
    let out = s.run(60);
    assert!(out.iter().any(|l| l.contains(" 2001:3001")), "{out:?}");
    assert_eq!(s.c.status(s.now).timeouts, 0);
}

#[test]
fn frto() {
    //= RFC 5682 §2.1, §3.1
    for sack in [false, true] {
        let options = Options {
            sack,
            rack: false,
            frto: true,
            ..plain()
        };
        // Spurious: the delay was only long, the acknowledgments come one by one.
        let mut s = Script::sent(options.clone(), 10);
        s.write(5000);
        let before = s.cwnd();
        s.run(310);
        assert_eq!(s.c.phase(), Phase::Loss);
        assert_eq!(s.cwnd(), 1000);
        s.rx(". 1:1 ack 1001");
        let out = s.drain();
        assert!(
            out.iter().all(|l| !l.contains(" 1001:")),
            "new data instead: {out:?}"
        );
        s.rx(". 1:1 ack 2001");
        assert_eq!(
            (s.c.phase(), s.c.status(s.now).undos),
            (Phase::Open, 1),
            "{sack}"
        );
        assert!(s.cwnd() >= before);
        let out = s.drain();
        assert!(out.iter().all(|l| !l.contains(" 2001:")), "{out:?}");
        // Real: the first is repaired, and the next is missing as well.
        let mut s = Script::sent(options.clone(), 10);
        s.write(5000);
        s.run(310);
        s.rx(". 1:1 ack 1001");
        s.drain();
        let block = if sack { " sack 10001:11001" } else { "" };
        s.rx(&format!(". 1:1 ack 1001{block}"));
        assert_eq!((s.c.phase(), s.c.status(s.now).undos), (Phase::Loss, 0));
        let out = s.drain();
        assert!(
            out.iter().any(|l| l.contains(" 1001:2001")),
            "{sack} {out:?}"
        );
    }
    // Without SACK the peer may have held all behind the first: what was sent again filled the
    // hole, and the rest that comes with it proves nothing.
    let options = Options {
        frto: true,
        ..plain()
    };
    let mut s = Script::sent(options, 4);
    s.run(310);
    s.rx(". 1:1 ack 4001");
    assert_eq!(s.c.status(s.now).undos, 0);
}

#[test]
fn reneging() {
    //= RFC 2018 §5.1, §8; RFC 6675 §5.1
    // RFC 2018 §8: what was acknowledged selectively is sent again after a timeout.
    let mut s = Script::sent(sack_only(), 4);
    s.run(100);
    s.rx(". 1:1 ack 1 sack 1001:4001");
    s.tx(&[". 1:1001 ack 1"]);
    s.run(50);
    s.rx(". 1:1 ack 1001");
    let mut all: Vec<_> = s.run(3000);
    s.rx(". 1:1 ack 2001");
    all.extend(s.drain());
    all.extend(s.run(3000));
    for seq in ["1001:2001", "2001:3001"] {
        assert!(all.iter().any(|l| l.contains(seq)), "{all:?}");
    }
}

#[test]
fn blocks_that_lie_are_not_believed() {
    //= RFC 2018 §5
    let mut s = Script::sent(rack_only(), 4);
    s.run(100);
    s.rx(". 1:1 ack 1 sack 3001:9001 2001:2001 3001:2001");
    assert_eq!(s.c.status(s.now).sacked, 0);
    s.rx(". 1:1 ack 2001 sack -500:100");
    assert_eq!(s.c.status(s.now).sacked, 0);
    s.tx(&[]);
}

#[test]
fn prr_sends_in_proportion() {
    //= RFC 6937 §3; RFC 8985 §9.3
    // RFC 6937 §4's setting: 20 in flight, the first is lost, the threshold is half.
    let options = Options {
        initial_window: 20,
        congestion: Algorithm::Reno,
        ..rack_only()
    };
    let mut s = Script::sent(options, 20);
    s.write(20_000);
    s.run(100);
    let mut sent = 0;
    for i in 2..=20 {
        s.rx(&format!(". 1:1 ack 1 sack 1001:{i}001"));
        sent += s.drain().len();
    }
    let ssthresh = s.c.status(s.now).ssthresh;
    assert_eq!(ssthresh, 10_000);
    assert!((9..=12).contains(&sent), "{sent}");
    let in_flight = s.c.status(s.now).in_flight;
    assert!((9000..=11_000).contains(&in_flight), "{in_flight}");
    s.rx(". 1:1 ack 20001");
    s.run(100);
    s.rx(". 1:1 ack 30001");
    assert!(s.cwnd() <= ssthresh + 2000, "{}", s.cwnd());
}

#[test]
fn super_segments_leave_the_same_state() {
    // design.md §2.5: sent in one piece or in many, the same acknowledgments lead to the same.
    for algorithm in [Algorithm::Reno, Algorithm::Cubic] {
        let options = Options {
            congestion: algorithm,
            ..modern()
        };
        let mut ends: [Script; 2] = [1, 65_000].map(|max| {
            let mut s = Script::open(options.clone());
            s.max = max;
            s
        });
        let steps = [
            ". 1:1 ack 2001",
            ". 1:1 ack 2001 sack 3001:4001",
            ". 1:1 ack 2001 sack 3001:6001",
            ". 1:1 ack 2001 sack 3001:9001",
            ". 1:1 ack 9001",
            ". 1:1 ack 12001",
            ". 1:1 ack 14001 sack 15001:16001",
            ". 1:1 ack 14001 sack 15001:18001",
        ];
        for s in &mut ends {
            s.write(40_000);
            s.drain();
            s.run(100);
        }
        for step in steps {
            let views = ends.each_mut().map(|s| {
                s.rx(step);
                s.drain();
                let status = s.c.status(s.now);
                s.run(3);
                (
                    (status.cwnd, status.ssthresh, status.in_flight, status.phase),
                    (status.sacked, status.lost, status.retrans, status.unacked),
                    (status.bytes_retrans, status.total_retrans, status.srtt),
                    s.c.snd.nxt,
                )
            });
            assert_eq!(views[0], views[1], "{step}");
        }
    }
}

#[test]
fn many_small_blocks_do_not_cost_without_bound() {
    let options = Options {
        initial_window: 100,
        ..rack_only()
    };
    let mut s = Script::sent(options, 60);
    for i in 0..20_000_u32 {
        let at = 2 + i * 2;
        s.rx(&format!(". 1:1 ack 1 sack {}:{}", at, at + 1));
    }
    assert!(
        s.c.snd.track.board.len() < 1000,
        "{}",
        s.c.snd.track.board.len()
    );
    assert_eq!(s.c.state(), State::Established);
    let _ = ms(1);
}
