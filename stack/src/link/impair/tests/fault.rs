//! Rules, going down, and bits flipped.

use super::*;
use crate::frame::{Checksum, Offload};
use crate::link::impair::damage::flip;
use crate::link::impair::{Act, Loss, Marks, Match, Matched, Queue, Rule};
use crate::reason::DropReason;
use crate::wire::Protocol;

fn rule(id: u64, matches: Match, act: Act) -> Rule {
    Rule {
        id,
        matches,
        chance: Chance::ALWAYS,
        left: None,
        act,
    }
}

fn arp() -> Frame {
    let mut bytes = [0; 60];
    bytes[12..14].copy_from_slice(&[8, 6]);
    bytes[28..32].copy_from_slice(&[10, 0, 0, 1]);
    bytes[38..42].copy_from_slice(&[10, 0, 0, 2]);
    Frame::copy_from(&bytes)
}

#[test]
fn a_rule_takes_what_it_matches() {
    let ip = |text: &str| Some(text.parse().unwrap());
    let any = Match::default();
    let table = [
        (any.clone(), [true; 3]),
        (
            Match {
                protocol: Some(Matched::Arp),
                ..any.clone()
            },
            [false, false, true],
        ),
        (
            Match {
                protocol: Some(Matched::Ip(Protocol::UDP)),
                ..any.clone()
            },
            [true, true, false],
        ),
        (
            Match {
                protocol: Some(Matched::Ip(Protocol::TCP)),
                ..any.clone()
            },
            [false; 3],
        ),
        (
            Match {
                src: ip("10.0.0.1"),
                ..any.clone()
            },
            [true, false, true],
        ),
        (
            Match {
                dst: ip("10.0.0.1"),
                ..any.clone()
            },
            [false; 3],
        ),
        (
            Match {
                dst: ip("10.0.0.2"),
                ..any.clone()
            },
            [true, false, true],
        ),
        (
            Match {
                dst: ip("fd00::2"),
                ..any.clone()
            },
            [false, true, false],
        ),
        (
            Match {
                port: Some(7),
                ..any.clone()
            },
            [true, true, false],
        ),
        (
            Match {
                port: Some(5),
                ..any.clone()
            },
            [true, false, false],
        ),
        (
            Match {
                port: Some(9),
                ..any
            },
            [false; 3],
        ),
    ];
    for (matches, taken) in table {
        let mut way = way(Config::default());
        way.rules_mut().push(rule(1, matches.clone(), Act::Drop));
        for (frame, taken) in [udp(5, 60, 0), udp6(6, 80, 0), arp()]
            .into_iter()
            .zip(taken)
        {
            let sent = way.send(Instant::ZERO, frame, 0);
            let dropped = sent == Sent::Dropped(DropReason::WireFault);
            assert_eq!(dropped, taken, "{matches:?}");
        }
    }
}

#[test]
fn the_first_verdict_wins_and_a_rule_can_be_used_up() {
    let mut way = way(Config::default());
    let port = Match {
        port: Some(1),
        ..Match::default()
    };
    way.rules_mut().push(Rule {
        left: Some(1),
        ..rule(1, port, Act::Duplicate)
    });
    way.rules_mut().push(Rule {
        left: Some(1),
        ..rule(2, Match::default(), Act::Drop)
    });
    let late = Act::Delay(Duration::from_millis(7));
    way.rules_mut().push(Rule {
        left: Some(1),
        ..rule(3, Match::default(), late)
    });
    let back = Act::Reorder(Duration::from_millis(3));
    way.rules_mut().push(Rule {
        left: Some(1),
        ..rule(4, Match::default(), back)
    });
    let sent: Vec<_> = (0..5)
        .map(|tag| way.send(Instant::ZERO, udp(1, 60, 0), tag))
        .collect();
    assert_eq!(sent[1], Sent::Dropped(DropReason::WireFault));
    assert_eq!(
        run(&mut way, ms(9)),
        [(ms(0), 0), (ms(0), 0), (ms(0), 4), (ms(3), 3), (ms(7), 2)]
    );
    let stats = way.stats();
    assert_eq!(
        (stats.duplicated, stats.delayed, stats.reordered),
        (1, 1, 1)
    );
    assert!(way.rules_mut().iter().all(|r| r.left == Some(0)));
}

#[test]
fn a_rule_leaves_the_draws_of_others_as_they_were() {
    let lost = |rules: Vec<Rule>| {
        let burst = Loss::GilbertElliott {
            to_bad: chance("10%"),
            to_good: chance("30%"),
            loss_good: Chance::NEVER,
            loss_bad: Chance::ALWAYS,
        };
        let mut way = way(Config {
            loss: burst,
            ..Config::default()
        });
        *way.rules_mut() = rules;
        (0..400)
            .map(|tag| way.send(Instant::ZERO, udp(1, 60, 0), tag))
            .collect::<Vec<_>>()
    };
    let half = |id| Rule {
        chance: chance("50%"),
        ..rule(id, Match::default(), Act::Drop)
    };
    let (none, one, both) = (
        lost(Vec::new()),
        lost(std::vec![half(1)]),
        lost(std::vec![half(2), half(1)]),
    );
    let fault = Sent::Dropped(DropReason::WireFault);
    assert!((150..250).contains(&one.iter().filter(|s| **s == fault).count()));
    for ((none, one), both) in none.iter().zip(&one).zip(&both) {
        assert!(*one == fault || one == none);
        assert!(*both == fault || both == one);
    }
    assert_ne!(one, both);
}

#[test]
fn a_wire_that_goes_down_takes_with_it_what_is_on_it() {
    let mut way = way(Config {
        rate: Some(1_000_000),
        delay: Duration::from_millis(5),
        ..Config::default()
    });
    way.set_watched(true);
    for tag in 0..10 {
        queued(way.send(ms(0), udp(1, 125, 0), tag));
    }
    // At 8 ms eight are out, of which the first three have arrived (6, 7, 8 ms) and two were
    // collected.
    assert_eq!(run(&mut way, ms(7)), [(ms(6), 0), (ms(7), 1)]);
    way.set_up(ms(8), false);
    assert!(!way.is_up() && way.is_conserved());
    let lost: Vec<_> = core::iter::from_fn(|| way.poll_drop()).collect();
    assert!(lost.iter().all(|l| l.reason == DropReason::WireDown));
    assert_eq!(lost.len(), 7);
    assert_eq!(
        way.send(ms(8), udp(1, 125, 0), 10),
        Sent::Dropped(DropReason::WireDown)
    );
    assert_eq!(run(&mut way, ms(20)), [(ms(8), 2)]);
    assert_eq!(way.poll_timeout(), None);
    way.set_up(ms(20), true);
    queued(way.send(ms(20), udp(1, 125, 0), 11));
    assert_eq!(run(&mut way, ms(99)), [(ms(26), 11)]);
    assert_eq!(way.stats().dropped(DropReason::WireDown), 8);
}

#[test]
fn lost_frames_are_told_of_only_to_who_watches() {
    let mut way = way(Config {
        rate: Some(1000),
        ..Config::default()
    });
    queued(way.send(ms(0), udp(1, 125, 0), 0));
    way.set_up(ms(1), false);
    assert!(way.poll_drop().is_none());
    assert_eq!(way.stats().dropped_in_all(), 1);
}

#[test]
fn the_frame_check_catches_all_but_multiples_of_its_polynomial() {
    // IEEE 802.3 §3.2.9's generator, its exponents; the highest is sent first.
    const G: [usize; 15] = [32, 26, 23, 22, 16, 12, 11, 10, 8, 7, 5, 4, 2, 1, 0];
    let frame = udp(1, 60, 0);
    // Within the frame, across into its check sequence, and at the very end.
    for at in [0, 3, 100, 448, 470, 479] {
        let mut missed = frame.clone();
        assert_eq!(
            flip(&mut missed, G.iter().map(|e| at + 32 - e)),
            (15, false),
            "at {at}"
        );
        assert_ne!(missed, frame);
        let mut found = frame.clone();
        assert_eq!(
            flip(&mut found, G[1..].iter().map(|e| at + 32 - e)),
            (14, true),
            "at {at}"
        );
    }
    assert_eq!(
        flip(&mut frame.clone(), [500].into_iter()),
        (1, true),
        "in the check sequence"
    );
    assert_eq!(flip(&mut frame.clone(), core::iter::empty()), (0, false));
}

#[test]
fn a_corrupted_frame_is_dropped_at_arrival_or_let_through_unvouched() {
    for frame_check in [true, false] {
        let mut way = way(Config {
            delay: Duration::from_millis(1),
            frame_check,
            ..Config::default()
        });
        way.set_watched(true);
        way.rules_mut()
            .push(rule(1, Match::default(), Act::Corrupt));
        let mut frame = udp(1, 60, 0);
        frame.offload = Offload {
            gso: None,
            checksum: Checksum::Partial {
                start: 34,
                offset: 6,
            },
        };
        let mut whole = frame.clone();
        whole.complete_checksum();
        let whole = whole.to_bytes();
        queued(way.send(ms(0), frame, 5));
        assert!(way.poll_drop().is_none() && way.poll_arrival(ms(0)).is_none());
        let arrival = way.poll_arrival(ms(1));
        if frame_check {
            assert!(arrival.is_none());
            let lost = way.poll_drop().unwrap();
            assert_eq!((lost.tag, lost.reason), (5, DropReason::WireFrameCheck));
        } else {
            let arrival = arrival.unwrap();
            assert_eq!(arrival.marks, Marks::CORRUPTED);
            assert_eq!(arrival.frame.offload.checksum, Checksum::Unchecked);
            let got = arrival.frame.to_bytes();
            let flipped: u32 = got
                .iter()
                .zip(&whole)
                .map(|(a, b)| (a ^ b).count_ones())
                .sum();
            assert_eq!(flipped, 1);
        }
        assert!(way.is_conserved());
        assert_eq!((way.stats().corrupted, way.stats().flipped_bits), (1, 1));
    }
}

#[test]
fn certain_bit_errors_flip_every_bit() {
    let mut way = way(Config {
        bit_errors: Chance::ALWAYS,
        frame_check: false,
        queue: Queue::default(),
        ..Config::default()
    });
    queued(way.send(ms(0), udp(1, 60, 0), 0));
    let got = way.poll_arrival(ms(0)).unwrap().frame.to_bytes();
    assert!(
        got.iter()
            .zip(&udp(1, 60, 0).to_bytes())
            .all(|(a, b)| *a == !*b)
    );
    assert_eq!(way.stats().flipped_bits, 64 * 8);
}
