//! CoDel, FQ-CoDel and ECN: what their RFCs publish about how they behave.

use super::*;
use crate::link::impair::queue::codel::control_law;
use crate::link::impair::{Marks, Queue, codel, fq_codel};
use crate::reason::DropReason;
use crate::wire::ipv4;

/// ECT(0): the transport is capable of ECN.
const ECT: u8 = 2;

/// 125 bytes a millisecond, and an MTU that such a frame fills.
fn megabit(queue: Queue) -> Way {
    let mut way = way(Config {
        rate: Some(1_000_000),
        mtu: 111,
        queue,
        ..Config::default()
    });
    way.set_watched(true);
    way
}

/// Runs it, and gives when frames were lost.
fn losses(way: &mut Way, end: Instant) -> Vec<(Instant, u64)> {
    let mut out = Vec::new();
    while let Some(now) = way.poll_timeout().filter(|now| *now <= end) {
        way.handle_timeout(now);
        while way.poll_arrival(now).is_some() {}
        while let Some(lost) = way.poll_drop() {
            assert_eq!(lost.reason, DropReason::WireCodel);
            out.push((now, lost.tag));
        }
        assert!(way.is_conserved());
    }
    out
}

/// 100 ms / √count, by hand.
#[test]
fn the_control_law_is_the_interval_by_the_root_of_the_count() {
    for (count, step) in [
        (1, 100_000_000),
        (2, 70_710_678),
        (3, 57_735_026),
        (4, 50_000_000),
        (5, 44_721_359),
        (6, 40_824_829),
        (7, 37_796_447),
        (10, 31_622_776),
        (100, 10_000_000),
        (1_000_000, 100_000),
        (u32::MAX, 1525),
    ] {
        let next = control_law(ms(5), Duration::from_millis(100), count);
        assert_eq!(next, ms(5) + Duration::from_nanos(step), "{count}");
    }
}

/// A frame leaves each millisecond. That of 5 ms is the first to have waited for the target; an
/// interval later, at 105 ms, the first is dropped; then the law says 205, +70.710678,
/// +57.735026, +50, +44.721359, +40.824829, +37.796447 ms, and the next whole millisecond serves.
const DROPS: [u64; 8] = [105, 205, 276, 334, 384, 429, 469, 507];

fn codel() -> Queue {
    Queue::Codel(codel::Config {
        packets: 2000,
        ..codel::Config::default()
    })
}

#[test]
fn codel_drops_when_its_law_says_so() {
    let mut way = megabit(codel());
    for tag in 0..1500 {
        queued(way.send(Instant::ZERO, udp(1, 125, 0), tag));
    }
    let times: Vec<_> = losses(&mut way, ms(540)).into_iter().map(|l| l.0).collect();
    assert_eq!(times, DROPS.map(ms));
}

#[test]
fn codel_marks_at_the_same_times_where_ecn_is_understood() {
    let mut way = megabit(codel());
    for tag in 0..1500 {
        queued(way.send(Instant::ZERO, udp(1, 125, ECT), tag));
    }
    let mut marked = Vec::new();
    while let Some(now) = way.poll_timeout().filter(|now| *now <= ms(540)) {
        while let Some(arrival) = way.poll_arrival(now) {
            if arrival.marks.contains(Marks::CE) {
                let bytes = arrival.frame.to_bytes();
                assert!(bytes[15] & 3 == 3 && ipv4::verify(&bytes[14..34]));
                // It left the queue when its first bit was sent.
                marked.push(now - Duration::from_millis(1));
            }
        }
    }
    assert_eq!(marked, DROPS.map(ms));
    assert_eq!(way.stats().dropped_in_all(), 0);
    assert_eq!(way.stats().marked, 8);
}

#[test]
fn codel_lets_a_short_queue_be() {
    // Four wait all the time: 4 ms, which is below the target.
    let mut way = megabit(codel());
    for tag in 0..4 {
        queued(way.send(Instant::ZERO, udp(1, 125, 0), tag));
    }
    for t in 0..2000 {
        queued(way.send(ms(t), udp(1, 125, 0), t));
    }
    assert_eq!(losses(&mut way, ms(5000)), []);
    // One frame of full size waits, however long that takes.
    let mut way = megabit(codel());
    let mut config = way.config().clone();
    config.rate = Some(10_000);
    way.set_config(ms(0), config);
    queued(way.send(ms(0), udp(1, 125, 0), 0));
    for t in 0..50 {
        queued(way.send(ms(t * 100), udp(1, 125, 0), t));
        assert_eq!(losses(&mut way, ms(t * 100 + 99)), []);
    }
}

/// The second time, the count begins with what it had grown by, unless that is long ago.
#[test]
fn codel_remembers_the_rate_that_controlled_the_queue() {
    for (again, steps) in [
        // From 1 it had grown by 7, to 8.
        (600, [37_796_447, 35_355_339]),
        (5000, [100_000_000, 70_710_678]),
    ] {
        let mut way = megabit(codel());
        // 515 frames of which eight are dropped: the last leaves at 506 ms, as if the queue were
        // long; and then it is empty.
        for tag in 0..517 {
            queued(way.send(Instant::ZERO, udp(1, 125, 0), tag));
        }
        assert_eq!(losses(&mut way, ms(599)).len(), 8);
        for tag in 0..1000 {
            queued(way.send(ms(again), udp(1, 125, 0), tag));
        }
        let times: Vec<_> = losses(&mut way, ms(again + 260))
            .into_iter()
            .map(|l| l.0)
            .collect();
        let first = ms(again + 105);
        let mut want = std::vec![first];
        let mut exact = first;
        for step in steps {
            exact += Duration::from_nanos(step);
            let up = exact.as_nanos().div_ceil(1_000_000);
            if up <= again + 260 {
                want.push(ms(up));
            }
        }
        assert_eq!(times[..want.len()], want[..], "again at {again}");
    }
}

fn fq(config: fq_codel::Config) -> Way {
    let mut way = way(Config {
        rate: Some(8_000_000),
        queue: Queue::FqCodel(config),
        ..Config::default()
    });
    way.set_watched(true);
    way
}

#[test]
fn a_sparse_flow_goes_ahead_of_bulks() {
    let mut way = fq(fq_codel::Config::default());
    for tag in 0..50 {
        for bulk in 1..=4 {
            let tag = tag * 10 + u64::from(bulk);
            queued(way.send(Instant::ZERO, udp(bulk, 1514, 0), tag));
        }
    }
    // Within the eighth frame of the bulks.
    let before = run(&mut way, ms(11));
    queued(way.send(ms(11), udp(5, 100, 0), 1000));
    let order: Vec<_> = run(&mut way, ms(14)).into_iter().map(|a| a.1).collect();
    assert_eq!((before.len(), order.len()), (7, 3));
    assert_eq!(order[1], 1000, "{order:?}");
}

#[test]
fn bulks_share_by_bytes_and_not_by_frames() {
    let mut way = fq(fq_codel::Config {
        target: Duration::from_secs(10),
        ..fq_codel::Config::default()
    });
    for _ in 0..400 {
        queued(way.send(Instant::ZERO, udp(1, 1500, 0), 1500));
        for _ in 0..5 {
            queued(way.send(Instant::ZERO, udp(2, 300, 0), 300));
        }
    }
    let (mut large, mut small) = (0_u64, 0_u64);
    for (_, len) in run(&mut way, ms(600)) {
        *(if len == 300 { &mut small } else { &mut large }) += len;
        // A quantum and a frame: what DRR promises.
        assert!(
            large.abs_diff(small) <= 1514 + 1500,
            "{large} against {small}"
        );
    }
    assert!(large > 200_000);
}

/// Two flows that take turns at just the right rate: each sends again half a frame after its last
/// has left, so that one is always new.
#[test]
fn who_keeps_coming_back_does_not_starve_a_bulk() {
    let mut way = fq(fq_codel::Config::default());
    for _ in 0..40 {
        queued(way.send(Instant::ZERO, udp(1, 1000, 0), 1));
    }
    let half = Duration::from_micros(500);
    let mut again = std::collections::BTreeSet::from([(ms(0) + half, 2), (ms(1) + half, 3)]);
    let mut got = [0; 3];
    loop {
        let next = again.first().copied().unwrap_or((ms(100), 0));
        match way.poll_timeout().filter(|now| *now <= next.0) {
            Some(now) if now > ms(60) => break,
            Some(now) => {
                while let Some(arrival) = way.poll_arrival(now) {
                    got[usize::try_from(arrival.tag).unwrap() - 1] += 1;
                    if arrival.tag > 1 {
                        again.insert((now + half, arrival.tag));
                    }
                }
            }
            None => {
                again.pop_first();
                let port = u16::try_from(next.1).unwrap();
                queued(way.send(next.0, udp(port, 1000, 0), next.1));
            }
        }
    }
    assert!(got.iter().all(|n| *n >= 15), "{got:?}");
}

#[test]
fn a_full_queue_drops_from_the_head_of_the_fattest() {
    let mut way = fq(fq_codel::Config {
        packets: 100,
        ..fq_codel::Config::default()
    });
    // The first is being sent, 80 wait.
    for tag in 0..=80 {
        queued(way.send(Instant::ZERO, udp(1, 1514, 0), tag));
    }
    for tag in 100..120 {
        queued(way.send(Instant::ZERO, udp(2, 100, 0), tag));
    }
    assert_eq!(way.stats().dropped_in_all(), 0);
    assert!(!way.has_room());
    queued(way.send(Instant::ZERO, udp(2, 100, 0), 120));
    let lost: Vec<_> = core::iter::from_fn(|| way.poll_drop()).collect();
    assert!(lost.iter().all(|l| l.reason == DropReason::WireQueueFull));
    let tags: Vec<_> = lost.iter().map(|l| l.tag).collect();
    assert_eq!(
        tags,
        (1..=40).collect::<Vec<_>>(),
        "half of the bulk's eighty"
    );
    assert_eq!((way.queued().packets, way.is_conserved()), (61, true));
    // And at most 64.
    let mut way = fq(fq_codel::Config {
        packets: 200,
        ..fq_codel::Config::default()
    });
    for tag in 0..=201 {
        queued(way.send(Instant::ZERO, udp(1, 1514, 0), tag));
    }
    assert_eq!(way.queued().packets, 201 - 64);
}

#[test]
fn each_queue_of_fq_codel_has_its_own_control() {
    let mut way = fq(fq_codel::Config::default());
    let mut lost = [0; 2];
    for t in 0..3000 {
        // A bulk of twice its share, and a trickle.
        for _ in 0..2 {
            queued(way.send(ms(t), udp(1, 1000, 0), 1));
        }
        if t % 10 == 0 {
            queued(way.send(ms(t), udp(2, 100, 0), 2));
        }
        while way.poll_arrival(ms(t)).is_some() {}
        while let Some(l) = way.poll_drop() {
            lost[usize::try_from(l.tag).unwrap() - 1] += 1;
        }
    }
    assert!(lost[0] > 100 && lost[1] == 0, "{lost:?}");
}

#[test]
fn drop_tail_marks_from_its_threshold_on() {
    let queue = Queue::DropTail {
        packets: Some(9),
        bytes: None,
        mark: Some(2),
    };
    let frames: [fn(u8) -> Frame; 2] = [|ecn| udp(1, 125, ecn), |ecn| udp6(1, 125, ecn)];
    for (v6, frame) in [false, true].into_iter().zip(frames) {
        // What each frame says, and what it says at the end. The third finds two waiting... but
        // one was on its way at once.
        let table = [(2, 2), (2, 2), (2, 2), (2, 3), (1, 3), (0, 0), (3, 3)];
        let mut way = megabit(queue.clone());
        for (tag, (ecn, _)) in (0..).zip(table) {
            queued(way.send(Instant::ZERO, frame(ecn), tag));
        }
        let mut got = Vec::new();
        while let Some(now) = way.poll_timeout() {
            while let Some(arrival) = way.poll_arrival(now) {
                let bytes = arrival.frame.to_bytes();
                let ecn = if v6 { bytes[15] >> 4 } else { bytes[15] } & 3;
                assert!(v6 || ipv4::verify(&bytes[14..34]));
                assert_eq!(
                    arrival.marks.contains(Marks::CE),
                    arrival.tag > 2 && ecn == 3
                );
                got.push(ecn);
            }
        }
        assert_eq!(got, table.map(|t| t.1), "IPv6: {v6}");
        assert_eq!(way.stats().marked, 3);
    }
}
