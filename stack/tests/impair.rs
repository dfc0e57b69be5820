//! Bad wires do what they are asked to: rates measured over a million packets lie within the 99.9 %
//! interval of what was asked. The key is fixed, so a pass is a pass for good; that it is not a
//! lucky key, `many_keys_lie_as_often_within` shows.
#![expect(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use stack::frame::Frame;
use stack::link::impair::{Chance, Config, Loss, Marks, Sent, Way};
use stack::reason::DropReason;
use stack::time::{Duration, Instant};

const MILLION: u64 = 1_000_000;
/// Of a normal distribution, 99.9 % lie within so many standard deviations.
const Z: f64 = 3.2905;

fn float(n: u64) -> f64 {
    f64::from(u32::try_from(n).unwrap())
}

/// Asserts that `hits` of `n` are as likely as `p`; `spread` is how much wider the distribution is
/// than that of draws by themselves.
fn within(what: &str, hits: u64, n: u64, p: f64, spread: f64) {
    let (hits, n) = (float(hits), float(n));
    let (mean, deviation) = (n * p, (n * p * (1.0 - p)).sqrt() * spread);
    let off = (hits - mean) / deviation;
    println!("{what}: {hits} of {n}, {mean:.0} asked, {off:+.2} deviations off");
    assert!(off.abs() <= Z, "{what}: {hits} of {n} against {mean}");
}

/// A packet of UDP over IPv4 with that source port.
fn packet(port: u16, len: usize) -> Frame {
    let mut bytes = vec![0x55; len];
    bytes[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 80, 0, 0, 0, 0, 64, 17]);
    bytes[34..36].copy_from_slice(&port.to_be_bytes());
    Frame::copy_from(&bytes)
}

fn at(micros: u64) -> Instant {
    Instant::ZERO + Duration::from_micros(micros)
}

fn chance(text: &str) -> Chance {
    text.parse().unwrap()
}

/// Sends a million, one each millisecond; gives each arrival to `see`.
fn million(way: &mut Way, frame: &Frame, mut see: impl FnMut(Instant, u64, Marks, &Frame)) {
    let mut collect = |way: &mut Way, now| {
        while let Some(a) = way.poll_arrival(now) {
            see(now, a.tag, a.marks, &a.frame);
        }
    };
    for tag in 0..MILLION {
        let now = at(tag * 1000);
        while let Some(due) = way.poll_timeout().filter(|due| *due <= now) {
            collect(way, due);
        }
        way.send(now, frame.clone(), tag);
    }
    while let Some(due) = way.poll_timeout() {
        collect(way, due);
    }
    assert!(way.is_conserved());
    assert_eq!(way.queued().in_flight, 0);
}

#[test]
fn independent_loss_duplication_reordering_and_jitter() {
    const BINS: usize = 100;
    let config = Config {
        delay: Duration::from_millis(5),
        jitter: Duration::from_micros(400),
        loss: Loss::Independent(chance("5%")),
        duplicate: chance("0.02"),
        reorder: chance("1e-2"),
        reorder_by: Duration::from_millis(10),
        ..Config::default()
    };
    let mut way = Way::new(config, [1, 2]);
    let mut copies = vec![0_u8; usize::try_from(MILLION).unwrap()];
    let (mut last, mut late, mut bins) = (0, 0_u64, [0_u64; BINS]);
    let (mut on_time, mut sum) = (0_u64, 0_u64);
    million(&mut way, &packet(1, 60), |now, tag, marks, _| {
        copies[usize::try_from(tag).unwrap()] += 1;
        if !marks.contains(Marks::DUPLICATE) {
            // RFC 4737: reordered is what comes after one that was sent later.
            late += u64::from(tag < last);
            assert_eq!(tag < last, marks.contains(Marks::REORDERED));
            last = last.max(tag);
        }
        if !marks.contains(Marks::REORDERED) {
            let off = now.as_nanos() - at(tag * 1000 + 4600).as_nanos();
            bins[usize::try_from(off * 100 / 800_001).unwrap()] += 1;
            on_time += 1;
            sum += off / 1000;
        }
    });
    let count = |n| u64::try_from(copies.iter().filter(|c| **c == n).count()).unwrap();
    let arrived = MILLION - count(0);
    within("loss", count(0), MILLION, 0.05, 1.0);
    within("duplication", count(2), arrived, 0.02, 1.0);
    within("reordering", late, arrived, 0.01, 1.0);
    assert_eq!(count(0), way.stats().dropped(DropReason::WireLoss));
    assert_eq!(count(2), way.stats().duplicated);
    // Jitter is even: a hundred bins, 99 degrees of freedom, chi-square between its 0.05 % and
    // 99.95 % points.
    let mean = float(on_time) / 100.0;
    let chi: f64 = bins.iter().map(|n| (float(*n) - mean).powi(2) / mean).sum();
    println!("jitter: chi-square {chi:.1}");
    assert!((58.0..153.2).contains(&chi), "{bins:?}");
    let (middle, deviation) = (399.5, 800.0 / 12.0_f64.sqrt() / float(on_time).sqrt());
    let measured = f64::from(u32::try_from(sum / 1000).unwrap()) * 1000.0 / float(on_time);
    assert!(
        (measured - middle).abs() < Z * deviation + 0.01,
        "{measured} µs"
    );
}

#[test]
fn losses_in_bursts() {
    let (to_bad, to_good) = (0.01, 0.25);
    let loss = Loss::GilbertElliott {
        to_bad: chance("1%"),
        to_good: chance("25%"),
        loss_good: Chance::NEVER,
        loss_bad: Chance::ALWAYS,
    };
    let mut way = Way::new(
        Config {
            loss,
            ..Config::default()
        },
        [1, 2],
    );
    let frame = packet(1, 60);
    let (mut lost, mut bursts, mut before) = (0, 0, false);
    for tag in 0..MILLION {
        let gone = way.send(at(tag), frame.clone(), tag) != Sent::Queued;
        lost += u64::from(gone);
        bursts += u64::from(gone && !before);
        before = gone;
        while way.poll_arrival(at(tag)).is_some() {}
    }
    // The states of neighbours go together by 1 - to_bad - to_good, which spreads the sum.
    let together: f64 = 1.0 - to_bad - to_good;
    let spread = ((1.0 + together) / (1.0 - together)).sqrt();
    within(
        "loss in bursts",
        lost,
        MILLION,
        to_bad / (to_bad + to_good),
        spread,
    );
    let length = float(lost) / float(bursts);
    let deviation = (1.0 - to_good).sqrt() / to_good / float(bursts).sqrt();
    println!("bursts: {bursts} of {length:.3}");
    assert!((length - 1.0 / to_good).abs() <= Z * deviation, "{length}");
}

#[test]
fn losses_in_both_states_of_many_short_flows() {
    // Ten packets of each of 100,000 flows: right only if flows begin in either state.
    let loss = Loss::GilbertElliott {
        to_bad: chance("1%"),
        to_good: chance("3%"),
        loss_good: chance("2%"),
        loss_bad: chance("60%"),
    };
    let mut way = Way::new(
        Config {
            loss,
            ..Config::default()
        },
        [1, 2],
    );
    let mut lost = 0;
    for flow in 0..100_000_u32 {
        let mut bytes = packet(1, 60).to_bytes().to_vec();
        bytes[26..30].copy_from_slice(&flow.to_be_bytes());
        let frame = Frame::copy_from(&bytes);
        for k in 0..10 {
            lost += u64::from(way.send(at(0), frame.clone(), k) != Sent::Queued);
        }
        while way.poll_arrival(at(0)).is_some() {}
    }
    let bad: f64 = 0.25;
    let p = bad * 0.6 + (1.0 - bad) * 0.02;
    // Ten go together: the variance of their sum by that of ten apart.
    let between = bad * (1.0 - bad) * (0.6_f64 - 0.02).powi(2);
    let pairs: f64 = (1..10)
        .map(|d| 2.0 * f64::from(10 - d) * 0.96_f64.powi(d))
        .sum();
    let spread = ((p * (1.0 - p) * 10.0 + between * pairs) / (p * (1.0 - p) * 10.0)).sqrt();
    within("loss of short flows", lost, MILLION, p, spread);
}

#[test]
fn bit_errors_with_and_without_a_frame_check() {
    const LEN: usize = 94;
    let p = 2e-5;
    let frame = packet(1, LEN);
    let whole = frame.to_bytes();
    let bits = u64::try_from(LEN * 8).unwrap();
    let config = Config {
        bit_errors: chance("2e-5"),
        frame_check: false,
        ..Config::default()
    };
    let mut way = Way::new(config.clone(), [1, 2]);
    let (mut flipped, mut each) = (0_u64, vec![0_u64; LEN * 8]);
    million(&mut way, &frame, |_, _, marks, got| {
        if marks.contains(Marks::CORRUPTED) {
            for (i, (a, b)) in got.to_bytes().iter().zip(&whole).enumerate() {
                flipped += u64::from((a ^ b).count_ones());
                for bit in 0..8 {
                    each[i * 8 + bit] += u64::from((a ^ b) >> bit & 1);
                }
            }
        } else {
            assert_eq!(got.to_bytes(), whole);
        }
    });
    within("bits flipped", flipped, MILLION * bits, p, 1.0);
    within(
        "with the FCS's",
        way.stats().flipped_bits,
        MILLION * (bits + 32),
        p,
        1.0,
    );
    // No place is preferred: a chi-square of 751 degrees of freedom, nearly normal.
    let mean = float(flipped) / float(bits);
    let chi: f64 = each.iter().map(|n| (float(*n) - mean).powi(2) / mean).sum();
    let freedom = float(bits - 1);
    assert!(
        (chi - freedom).abs() / (2.0 * freedom).sqrt() < 3.6,
        "{chi} of {freedom}"
    );

    let mut way = Way::new(
        Config {
            frame_check: true,
            ..config
        },
        [1, 2],
    );
    let mut arrived = 0;
    million(&mut way, &frame, |_, _, marks, got| {
        arrived += 1;
        assert!(
            marks.is_empty() && got.to_bytes() == whole,
            "CRC-32 finds so few flipped bits"
        );
    });
    let hit = 1.0 - (1.0_f64 - p).powi(i32::try_from(bits + 32).unwrap());
    within("frames caught", MILLION - arrived, MILLION, hit, 1.0);
    assert_eq!(
        MILLION - arrived,
        way.stats().dropped(DropReason::WireFrameCheck)
    );
}

#[test]
fn a_high_bit_error_rate() {
    let config = Config {
        bit_errors: chance("30%"),
        frame_check: false,
        ..Config::default()
    };
    let mut way = Way::new(config, [1, 2]);
    let frame = packet(1, 125);
    let whole = frame.to_bytes();
    let mut flipped = 0_u64;
    for tag in 0..1000 {
        way.send(at(tag), frame.clone(), tag);
        let got = way.poll_arrival(at(tag)).unwrap().frame.to_bytes();
        flipped += got
            .iter()
            .zip(&whole)
            .map(|(a, b)| u64::from((a ^ b).count_ones()))
            .sum::<u64>();
    }
    within("bits flipped", flipped, MILLION, 0.3, 1.0);
}

/// Over 200 keys, the deviations themselves are spread as they should be: neither too far off nor
/// too near.
#[test]
fn many_keys_lie_as_often_within() {
    let (n, p) = (5000, 0.1);
    let frame = packet(1, 60);
    let squares: f64 = (0..200)
        .map(|key| {
            let loss = Loss::Independent(chance("10%"));
            let mut way = Way::new(
                Config {
                    loss,
                    ..Config::default()
                },
                [key, 0],
            );
            for tag in 0..n {
                way.send(at(tag), frame.clone(), tag);
                way.poll_arrival(at(tag));
            }
            let lost = float(way.stats().dropped(DropReason::WireLoss));
            (lost - float(n) * p).powi(2) / (float(n) * p * (1.0 - p))
        })
        .sum();
    // Chi-square of 200 degrees of freedom: its 0.05 % and 99.95 % points.
    assert!((140.7..272.4).contains(&squares), "{squares}");
}
