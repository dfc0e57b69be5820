//! What a bad wire costs a frame, in nanoseconds.
//!
//! Frames go in and come out through one way, a batch at a time, the same ones again and again, so
//! that what is measured is the way and not the making of frames. `cargo bench -p tapline-stack
//! --bench impair`.
#![expect(clippy::unwrap_used, reason = "a benchmark may end by panicking")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures wall time")]

use stack::frame::Frame;
use stack::link::impair::{Chance, Config, Loss, Queue, Way, codel, fq_codel};
use stack::time::{Duration, Instant};
use std::hint::black_box;

const BATCH: u64 = 32;
const ROUNDS: usize = 15;
const FRAMES: u64 = 320_000;

fn packet(port: u16, len: usize) -> Frame {
    let mut bytes = vec![0x55; len];
    bytes[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 80, 0, 0, 0, 0, 64, 17]);
    bytes[34..36].copy_from_slice(&port.to_be_bytes());
    Frame::copy_from(&bytes)
}

/// A round: nanoseconds a frame.
fn round(way: &mut Way, frames: &mut Vec<Frame>, spare: &Frame, now: &mut Instant) -> f64 {
    let started = std::time::Instant::now();
    for _ in 0..FRAMES / BATCH {
        for tag in 0..BATCH {
            let frame = frames.pop().unwrap_or_else(|| spare.clone());
            black_box(way.send(*now, frame, tag));
        }
        *now += Duration::from_millis(1);
        black_box(way.poll_timeout());
        way.handle_timeout(*now);
        while let Some(arrival) = way.poll_arrival(*now) {
            if frames.len() < 1024 {
                frames.push(arrival.frame);
            }
        }
    }
    let frames = u32::try_from(FRAMES).unwrap();
    started.elapsed().as_secs_f64() * 1e9 / f64::from(frames)
}

fn measure(name: &str, flows: u16, config: Config) {
    // ONLY=clean: for a profiler to watch.
    if std::env::var("ONLY").is_ok_and(|only| !name.contains(&only)) {
        return;
    }
    let mut way = Way::new(config, [1, 2]);
    let mut frames: Vec<_> = (0..1024).map(|i| packet(i % flows, 100)).collect();
    let (spare, mut now) = (packet(0, 100), Instant::ZERO);
    round(&mut way, &mut frames, &spare, &mut now);
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| round(&mut way, &mut frames, &spare, &mut now))
        .collect();
    times.sort_by(f64::total_cmp);
    assert!(way.is_conserved());
    println!("{name:32} {flows:>5} flows {:>8.1} ns", times[0]);
}

/// What the measuring itself costs: the frames through a row of their own.
fn idle() -> f64 {
    let mut frames: Vec<_> = (0..1024).map(|_| packet(0, 100)).collect();
    let mut row = std::collections::VecDeque::new();
    let started = std::time::Instant::now();
    for _ in 0..FRAMES / BATCH {
        row.extend((0..BATCH).filter_map(|_| frames.pop()));
        while let Some(frame) = row.pop_front() {
            frames.push(black_box(frame));
        }
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(u32::try_from(FRAMES).unwrap())
}

fn main() {
    let chance = |text: &str| text.parse::<Chance>().unwrap();
    let clean = Config::default();
    // 32 frames of 100 bytes a millisecond are 25.6 Mbit/s.
    let rate = Some(30_000_000);
    let slow = Config {
        rate,
        delay: Duration::from_millis(5),
        ..clean.clone()
    };
    println!(
        "a frame through one way of {} bytes, best of {ROUNDS} rounds",
        size_of::<Way>()
    );
    println!(
        "of which measuring takes {:.1} ns",
        (0..ROUNDS).map(|_| idle()).fold(f64::MAX, f64::min)
    );
    for flows in [1, 1000] {
        measure("clean", flows, clean.clone());
        measure(
            "delay 5 ms",
            flows,
            Config {
                rate: None,
                ..slow.clone()
            },
        );
        measure("delay, rate, drop-tail", flows, slow.clone());
        let jittery = Config {
            loss: Loss::Independent(chance("1%")),
            jitter: Duration::from_millis(3),
            ..slow.clone()
        };
        measure("delay, rate, loss, jitter", flows, jittery);
        let errors = Config {
            bit_errors: chance("1e-6"),
            ..slow.clone()
        };
        measure("delay, rate, bit errors 1e-6", flows, errors);
        let queue = Queue::Codel(codel::Config::default());
        measure(
            "delay, rate, CoDel",
            flows,
            Config {
                queue,
                ..slow.clone()
            },
        );
        let queue = Queue::FqCodel(fq_codel::Config::default());
        measure(
            "delay, rate, FQ-CoDel",
            flows,
            Config {
                queue,
                ..slow.clone()
            },
        );
        let queue = Queue::Codel(codel::Config::default());
        let short = Config {
            rate: Some(20_000_000),
            queue,
            ..slow.clone()
        };
        measure("overloaded, CoDel", flows, short.clone());
        let queue = Queue::FqCodel(fq_codel::Config::default());
        measure("overloaded, FQ-CoDel", flows, Config { queue, ..short });
    }
}
