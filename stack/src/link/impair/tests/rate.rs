//! Rate, overhead, delay, jitter and drop-tail, to the nanosecond.

use super::*;
use crate::link::impair::{Marks, Queue};
use crate::reason::DropReason;

/// Three megabits a second and frames of 100 bytes: 800 bits take 266,666.67 ns. Three places in
/// the queue, 1 ms of delay. Worked out by hand: departures of frames sent without a pause are at
/// 800/3, 1600/3, 2400/3 µs after the first began, rounded down.
#[test]
fn arrivals_agree_with_a_table_worked_out_by_hand() {
    let mut way = way(Config {
        rate: Some(3_000_000),
        delay: Duration::from_millis(1),
        queue: Queue::DropTail {
            packets: Some(3),
            bytes: None,
            mark: None,
        },
        ..Config::default()
    });
    // (sent at, what becomes of it: arrival, or dropped), in nanoseconds.
    let table = [
        (0, Some(1_266_666)),
        (0, Some(1_533_333)),
        (0, Some(1_800_000)),
        (0, Some(2_066_666)),
        // One is being sent, three wait.
        (0, None),
        (266_665, None),
        // The first is out, one moves up: a place is free.
        (266_666, Some(2_333_333)),
        (266_667, None),
        (533_333, Some(2_600_000)),
        // All is out at 1,600,000: a pause, and the remainder begins anew.
        (2_000_000, Some(3_266_666)),
        (2_000_001, Some(3_533_333)),
        (2_266_667, Some(3_800_000)),
    ];
    let mut got = Vec::new();
    for (tag, (at, fate)) in (0..).zip(table) {
        got.extend(run(&mut way, ns(at)));
        let sent = way.send(ns(at), udp(1, 100, 0), tag);
        let expected = match fate {
            Some(_) => Sent::Queued,
            None => Sent::Dropped(DropReason::WireQueueFull),
        };
        assert_eq!(sent, expected, "frame {tag} at {at}");
    }
    got.extend(run(&mut way, ms(100)));
    let want: Vec<_> = (0..)
        .zip(table)
        .filter_map(|(tag, (_, arrival))| Some((ns(arrival?), tag)))
        .collect();
    assert_eq!(got, want);
    assert_eq!(way.stats().dropped(DropReason::WireQueueFull), 3);
}

#[test]
fn a_late_caller_finds_frames_where_they_would_have_been() {
    let config = Config {
        rate: Some(7_777_777),
        ..Config::default()
    };
    let (mut prompt, mut late) = (way(config.clone()), way(config));
    for tag in 0..50 {
        queued(prompt.send(Instant::ZERO, udp(1, 999, 0), tag));
        queued(late.send(Instant::ZERO, udp(1, 999, 0), tag));
    }
    let half = ms(25);
    let prompt_tags: Vec<_> = run(&mut prompt, half).into_iter().map(|a| a.1).collect();
    let late_tags: Vec<_> = core::iter::from_fn(|| late.poll_arrival(half))
        .map(|a| a.tag)
        .collect();
    assert_eq!(prompt_tags, late_tags);
    assert_eq!(prompt.poll_timeout(), late.poll_timeout());
    // 50 frames of 7992 bits: 51,377,147.9 ns.
    assert_eq!(run(&mut late, ms(100)).last(), Some(&(ns(51_377_147), 49)));
}

#[test]
fn overhead_takes_time_but_no_bytes() {
    let mut way = way(Config {
        rate: Some(8_000_000_000),
        overhead: 24,
        ..Config::default()
    });
    queued(way.send(Instant::ZERO, udp(1, 100, 0), 0));
    assert_eq!(run(&mut way, ms(1)), [(ns(124), 0)]);
    assert_eq!(way.stats().bytes_out, 100);
}

#[test]
fn a_queue_is_limited_by_bytes_too() {
    let mut way = way(Config {
        rate: Some(1_000),
        queue: Queue::DropTail {
            packets: Some(9),
            bytes: Some(250),
            mark: None,
        },
        ..Config::default()
    });
    for (len, fits) in [
        (100, true),
        (200, true),
        (60, false),
        (50, true),
        (60, false),
    ] {
        assert_eq!(
            way.send(Instant::ZERO, udp(1, len, 0), 0) == Sent::Queued,
            fits,
            "{len}"
        );
    }
    let queue = way.queued();
    assert_eq!((queue.packets, queue.bytes, queue.in_flight), (2, 250, 1));
    assert_eq!(
        (queue.limit_packets, queue.limit_bytes),
        (Some(9), Some(250))
    );
    assert!(!way.has_room());
}

#[test]
fn what_is_longer_than_the_mtu_is_dropped_but_tags_are_free() {
    let mut way = way(Config {
        mtu: 100,
        ..Config::default()
    });
    queued(way.send(Instant::ZERO, udp(1, 114, 0), 0));
    let too_long = Sent::Dropped(DropReason::FrameTooLong);
    assert_eq!(way.send(Instant::ZERO, udp(1, 115, 0), 0), too_long);
    let tagged = |len| {
        let mut bytes = udp(1, len, 0).to_bytes().to_vec();
        bytes.splice(12..12, [0x81, 0, 0, 5]);
        Frame::copy_from(&bytes)
    };
    queued(way.send(Instant::ZERO, tagged(114), 0));
    assert_eq!(way.send(Instant::ZERO, tagged(115), 0), too_long);
}

#[test]
fn jitter_keeps_the_order_where_it_is_told_to() {
    let run_with = |in_order| {
        let mut way = way(Config {
            delay: Duration::from_millis(5),
            jitter: Duration::from_millis(9),
            in_order,
            ..Config::default()
        });
        for tag in 0..500 {
            queued(way.send(ms(tag), udp(1, 60, 0), tag));
        }
        let arrivals = run(&mut way, ms(10_000));
        // 5 ± 9 is cut off at 0.
        assert!(
            arrivals
                .iter()
                .all(|(at, tag)| *at >= ms(*tag) && *at <= ms(*tag + 500))
        );
        arrivals
    };
    assert!(!run_with(false).is_sorted_by_key(|a| a.1));
    assert!(run_with(true).is_sorted_by_key(|a| a.1));
}

#[test]
fn a_new_configuration_leaves_what_flies_and_moves_what_waits() {
    let slow = Config {
        rate: Some(8_000),
        ..Config::default()
    };
    let mut way = way(slow.clone());
    way.set_watched(true);
    for tag in 0..6 {
        queued(way.send(Instant::ZERO, udp(1, 100, 0), tag));
    }
    let tight = Queue::DropTail {
        packets: Some(3),
        bytes: None,
        mark: None,
    };
    way.set_config(
        ms(50),
        Config {
            rate: Some(80_000),
            queue: tight,
            ..slow.clone()
        },
    );
    let lost: Vec<_> = core::iter::from_fn(|| way.poll_drop())
        .map(|l| (l.tag, l.reason))
        .collect();
    assert_eq!(lost, [4, 5].map(|tag| (tag, DropReason::WireQueueFull)));
    assert_eq!(run(&mut way, ms(115)), [(ms(100), 0), (ms(110), 1)]);
    // A rate of zero holds what waits, but not what has begun.
    way.set_config(
        ms(115),
        Config {
            rate: Some(0),
            ..slow.clone()
        },
    );
    assert_eq!(run(&mut way, ms(900)), [(ms(120), 2)]);
    assert_eq!((way.queued().packets, way.poll_timeout()), (1, None));
    way.set_config(
        ms(900),
        Config {
            rate: Some(80_000),
            ..slow
        },
    );
    assert_eq!(run(&mut way, ms(2000)), [(ms(910), 3)]);
}

#[test]
fn a_held_frame_is_overtaken_and_a_copy_follows() {
    let mut way = way(Config {
        delay: Duration::from_millis(1),
        ..Config::default()
    });
    queued(way.send(ms(0), udp(1, 60, 0), 0));
    let mut config = way.config().clone();
    config.reorder = Chance::ALWAYS;
    way.set_config(ms(0), config.clone());
    queued(way.send(ms(1), udp(1, 60, 0), 1));
    config.reorder = Chance::NEVER;
    config.duplicate = Chance::ALWAYS;
    way.set_config(ms(1), config);
    queued(way.send(ms(2), udp(1, 60, 0), 2));
    let mut got = Vec::new();
    while let Some(now) = way.poll_timeout() {
        got.extend(core::iter::from_fn(|| way.poll_arrival(now)).map(|a| (now, a.tag, a.marks)));
    }
    let want = [
        (ms(1), 0, Marks::NONE),
        (ms(3), 2, Marks::NONE),
        (ms(3), 2, Marks::DUPLICATE),
        (ms(12), 1, Marks::REORDERED),
    ];
    assert_eq!(got, want);
}
