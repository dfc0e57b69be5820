//! Under anything at all, no frame is lost without a reason.

use super::*;
use crate::link::impair::{Act, FRAME_COST, Loss, Marks, Match, Queue, Rule, codel, fq_codel};
use crate::reason::DropReason;
use crate::rng::Rng;

fn some(rng: &mut Rng, of: u64) -> bool {
    rng.below(of) == 0
}

fn small_chance(rng: &mut Rng) -> Chance {
    if some(rng, 2) {
        Chance::NEVER
    } else {
        Chance::from_ppm(u32::try_from(rng.below(300_000)).unwrap())
    }
}

fn random_config(rng: &mut Rng) -> Config {
    let loss = match rng.below(4) {
        0 => Loss::None,
        1 => Loss::Independent(small_chance(rng)),
        2 => Loss::Scripted((0..rng.below(9)).map(|_| rng.below(50)).collect()),
        _ => Loss::GilbertElliott {
            to_bad: small_chance(rng),
            to_good: small_chance(rng),
            loss_good: small_chance(rng),
            loss_bad: Chance::ALWAYS,
        },
    };
    let packets = u32::try_from(rng.below(30)).unwrap();
    let queue = match rng.below(3) {
        0 => Queue::DropTail {
            packets: some(rng, 2).then_some(packets),
            bytes: some(rng, 2).then(|| rng.below(20_000)),
            mark: some(rng, 2).then_some(packets / 2),
        },
        1 => Queue::Codel(codel::Config {
            packets,
            interval: Duration::from_millis(10),
            ecn: some(rng, 2),
            ..codel::Config::default()
        }),
        _ => Queue::FqCodel(fq_codel::Config {
            packets,
            interval: Duration::from_millis(10),
            quantum: u32::try_from(rng.below(2000)).unwrap(),
            flows: u16::try_from(rng.below(9)).unwrap(),
            ..fq_codel::Config::default()
        }),
    };
    Config {
        rate: [None, Some(0), Some(1), Some(2_000_000)]
            [usize::try_from(rng.below(6)).unwrap().min(3)],
        overhead: u16::try_from(rng.below(40)).unwrap(),
        delay: Duration::from_micros(rng.below(5000)),
        jitter: Duration::from_micros(rng.below(2) * rng.below(9000)),
        in_order: some(rng, 2),
        loss,
        duplicate: small_chance(rng),
        reorder: small_chance(rng),
        reorder_by: Duration::from_micros(rng.below(20_000)),
        bit_errors: if some(rng, 3) {
            Chance::from_ppm(200)
        } else {
            Chance::NEVER
        },
        frame_check: some(rng, 2),
        mtu: 900,
        queue,
    }
}

fn random_rule(rng: &mut Rng) -> Rule {
    let by = Duration::from_micros(rng.below(20_000));
    let acts = [
        Act::Drop,
        Act::Duplicate,
        Act::Corrupt,
        Act::Delay(by),
        Act::Reorder(by),
    ];
    Rule {
        id: rng.next_u64(),
        matches: Match::default(),
        chance: small_chance(rng),
        left: some(rng, 2).then_some(3),
        act: acts[usize::try_from(rng.below(5)).unwrap()],
    }
}

/// What a caller sees, counted apart from what the way counts.
#[derive(Default)]
struct Tally {
    sent: u64,
    refused: u64,
    arrived: u64,
    copies: u64,
    lost: u64,
}

impl Tally {
    fn collect(&mut self, way: &mut Way, now: Instant) {
        way.handle_timeout(now);
        while let Some(arrival) = way.poll_arrival(now) {
            self.arrived += 1;
            self.copies += u64::from(arrival.marks.contains(Marks::DUPLICATE));
        }
        while way.poll_drop().is_some() {
            self.lost += 1;
        }
    }
}

fn one_run(seed: u64) -> Way {
    let mut rng = Rng::from_seed(seed);
    let mut way = Way::new(random_config(&mut rng), [seed, 0]);
    way.set_watched(true);
    let (mut tally, mut now) = (Tally::default(), Instant::ZERO);
    for step in 0..300 {
        now += Duration::from_micros(rng.below(3000));
        match rng.below(40) {
            0 => way.set_config(now, random_config(&mut rng)),
            1 => way.set_up(now, some(&mut rng, 2)),
            2 => way.rules_mut().push(random_rule(&mut rng)),
            3 => way.rules_mut().clear(),
            4 => way = way.clone(),
            5 => way.set_memory(if some(&mut rng, 2) { 10_000 } else { u64::MAX }),
            _ => {
                let (port, len) = (rng.below(12), 80 + rng.below(900));
                let len = usize::try_from(len).unwrap();
                let port = u16::try_from(port).unwrap();
                let ecn = u8::try_from(rng.below(4)).unwrap();
                let frame = if some(&mut rng, 2) {
                    udp(port, len, ecn)
                } else {
                    udp6(port, len, ecn)
                };
                tally.sent += 1;
                tally.refused += u64::from(way.send(now, frame, step) != Sent::Queued);
            }
        }
        if some(&mut rng, 3) {
            tally.collect(&mut way, now);
        }
        assert!(
            way.is_conserved(),
            "seed {seed}, step {step}: {:?} {:?}",
            way.stats(),
            way.queued()
        );
    }
    way.set_up(now, true);
    way.set_config(
        now,
        Config {
            queue: way.config().queue.clone(),
            ..Config::default()
        },
    );
    for _ in 0..10_000 {
        let Some(next) = way.poll_timeout() else {
            break;
        };
        now = now.max(next);
        tally.collect(&mut way, now);
    }
    tally.collect(&mut way, now);
    let left = way.queued();
    assert_eq!(
        (left.packets, left.bytes, left.in_flight),
        (0, 0, 0),
        "seed {seed}"
    );
    assert!(way.is_conserved(), "seed {seed}");
    let stats = *way.stats();
    assert_eq!(tally.sent, stats.frames_in);
    assert_eq!(tally.arrived, stats.delivered);
    assert_eq!(tally.refused + tally.lost, stats.dropped_in_all());
    assert_eq!(
        tally.sent + stats.duplicated,
        tally.arrived + tally.refused + tally.lost
    );
    assert!(tally.copies <= stats.duplicated);
    way
}

#[test]
fn nothing_is_lost_without_a_reason() {
    let mut seen = std::collections::BTreeMap::new();
    for seed in 0..300 {
        for (reason, n) in one_run(seed).stats().drops() {
            *seen.entry(reason).or_insert(0) += n;
        }
    }
    // Each reason came up: else this would prove less than it says.
    assert!(seen.values().all(|n| *n > 20), "{seen:?}");
}

#[test]
fn what_takes_too_much_memory_is_dropped_and_counted() {
    let far = Config {
        delay: Duration::from_secs(3600),
        jitter: Duration::from_secs(60),
        duplicate: Chance::from_ppm(100_000),
        ..Config::default()
    };
    let mut way = Way::new(far, KEY);
    let memory = 1 << 20;
    way.set_memory(memory);
    for i in 0..10_000 {
        way.send(Instant::from_nanos(i), udp(9, 1000, 0), 0);
    }
    let frames = u64::try_from(way.queued().in_flight).unwrap();
    let held = way.held_bytes() + FRAME_COST * frames;
    assert!((memory - 1256..=memory + 1256).contains(&held), "{held}");
    let dropped = way.stats().dropped(DropReason::WireMemoryFull);
    assert!(dropped > 9000 && way.is_conserved(), "{dropped}");
    // What has left makes room.
    let end = Instant::ZERO + Duration::from_secs(7200);
    let left = core::iter::from_fn(|| way.poll_arrival(end)).count();
    assert!(left > 800 && way.held_bytes() == 0, "{left}");
    assert_eq!(way.send(end, udp(9, 1000, 0), 0), Sent::Queued);
}
