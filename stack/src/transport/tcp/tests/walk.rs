//! Anything at all happens to a connection, and what must hold holds.

use super::pair::mechanisms;
use super::script::{IRS, ISS, Script, ms};
use crate::frame::Payload;
use crate::rng::Rng;
use crate::time::Duration;
use crate::transport::ErrorKind;
use crate::transport::tcp::options::{Buffer, KeepAlive};
use crate::transport::tcp::segment::Cookie;
use crate::transport::tcp::state::Event;
use crate::transport::tcp::{Options, Segment, State};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::Flags;
use alloc::sync::Arc;
use std::vec::Vec;

/// Whether one happening may lead from one state to another: by the table's arrows, of which a
/// segment may bring three at once (the ACK of our SYN, of our FIN, and a FIN).
fn reachable(from: State, to: State) -> bool {
    let mut seen: Vec<State> = [from].into();
    for _ in 0..4 {
        for state in seen.clone() {
            for event in Event::ALL {
                if let Ok(next) = state.next(event)
                    && !matches!(event, Event::PassiveOpen | Event::ActiveOpen)
                    && !seen.contains(&next)
                {
                    seen.push(next);
                }
            }
        }
    }
    seen.contains(&to)
}

fn options(rng: &mut Rng) -> Options {
    let mechanisms = mechanisms(rng);
    let on = |rng: &mut Rng| rng.below(4) > 0;
    Options {
        cork: !on(rng),
        hystart: true,
        recv_buffer: Buffer {
            initial: 1 + rng.below(100_000) as u32,
            max: rng.below(3_000_000) as u32,
        },
        send_buffer: Buffer {
            initial: 1 + rng.below(100_000) as u32,
            max: rng.below(1_000_000) as u32,
        },
        mss: [None, Some(0), Some(100), Some(65_535)][rng.below(4) as usize],
        keepalive: (!on(rng)).then(KeepAlive::default),
        user_timeout: (!on(rng)).then(|| Duration::from_secs(rng.below(100))),
        linger: [None, None, Some(ms(0)), Some(ms(3000))][rng.below(4) as usize],
        log: on(rng),
        ..mechanisms
    }
}

/// A number near one that matters, mostly.
fn near(rng: &mut Rng, marks: &[SeqNum]) -> SeqNum {
    if rng.below(20) == 0 {
        return SeqNum(rng.next_u32());
    }
    let mark = marks[rng.below(marks.len() as u64) as usize];
    match rng.below(4) {
        0 | 1 => mark,
        2 => mark + rng.below(3) as u32 - 1,
        _ => mark + rng.below(6000) as u32 - 3000,
    }
}

fn segment(rng: &mut Rng, s: &Script) -> (Segment, Payload) {
    let (snd, rcv) = (&s.c.snd, &s.c.rcv);
    let edge = rcv.nxt + rcv.window();
    let bits = match rng.below(10) {
        0 => rng.next_u32() as u16 & 0x1ff,
        1 => 0x11,
        2 => 0x12,
        3 => 0x14,
        4 => 0x50,
        _ => 0x10,
    };
    let ours = [snd.una, snd.nxt, snd.iss, ISS + 1];
    let theirs = [rcv.nxt, rcv.irs, IRS, edge, rcv.nxt - 1];
    let len = match rng.below(5) {
        0 | 1 => 0,
        2 => 1 + rng.below(20) as u32,
        3 => 1000,
        _ => rng.below(70_000) as u32,
    };
    let option = |rng: &mut Rng| rng.below(3) > 0;
    let mut seg = Segment {
        seq: near(rng, &theirs),
        ack: near(rng, &ours),
        flags: Flags::from_bits(bits),
        wnd: [0, 1, 500, 65_535, rng.next_u32() as u16][rng.below(5) as usize],
        up: rng.next_u32() as u16,
        len,
        mss: option(rng).then(|| rng.next_u32() as u16),
        wscale: option(rng).then(|| rng.next_u32() as u8),
        sack_permitted: option(rng),
        timestamps: option(rng).then(|| {
            let value = rcv.ts_recent.wrapping_add(rng.below(5) as u32);
            let echo = s.our_clock(rng.below(300) as u32);
            [(value, echo), (rng.next_u32(), rng.next_u32())][usize::from(rng.below(30) == 0)]
        }),
        fast_open: (!option(rng)).then(Cookie::default),
        user_timeout: (!option(rng)).then_some(Duration::ZERO),
        ecn: rng.below(4) as u8,
        segments: 1 + (len / 1448) as u16,
        ..Segment::default()
    };
    for _ in 0..rng.below(5) {
        let left = near(rng, &ours);
        seg.sacks.push(left, left + rng.below(4000) as u32);
    }
    let data = Payload::from(bytes::Bytes::from(std::vec![7; len as usize]));
    (seg, data)
}

fn happen(rng: &mut Rng, s: &mut Script) {
    match rng.below(20) {
        0..=8 => {
            let (seg, data) = segment(rng, s);
            s.last = s.c.handle_segment(s.now, &seg, data);
        }
        9 | 10 => {
            let n = 1 + rng.below(30_000) as usize;
            let _ = s.c.send(s.now, &std::vec![1; n]);
        }
        11 => {
            let _ =
                s.c.recv(s.now, &mut std::vec![0; 1 + rng.below(9000) as usize]);
        }
        12 | 13 => {
            s.max = 1 + rng.below(70_000) as usize;
            let out = s.drain();
            assert!(out.len() < 5000);
            assert_eq!(s.drain(), [""; 0], "asked again it has nothing more");
        }
        14 | 15 => {
            if let Some(at) = s.c.poll_timeout() {
                s.now = s.now.max(at);
                s.c.handle_timeout(s.now);
                let again = s.c.poll_timeout();
                assert!(again.is_none_or(|at| at > s.now || s.c.has_output(s.now)));
            }
        }
        16 => s.now += Duration::from_micros(rng.below(300_000)),
        17 => match rng.below(12) {
            0 => s.c.shutdown(s.now),
            1 => s.c.close(s.now),
            2 if rng.below(10) == 0 => s.c.abort(s.now),
            3 => {
                let _ = s.c.send_urgent(s.now, b"!");
            }
            4 => {
                let options = Options {
                    recv_buffer: s.c.options().recv_buffer,
                    ..options(rng)
                };
                s.c.set_options(s.now, Arc::new(options));
            }
            _ => {}
        },
        18 if rng.below(5) == 0 => {
            let kind = [
                ErrorKind::PortUnreachable,
                ErrorKind::NetUnreachable,
                ErrorKind::TtlExpired,
            ][rng.below(3) as usize];
            s.c.handle_icmp(s.now, kind);
        }
        18 => {
            if rng.below(10) == 0 {
                s.c.handle_path_mtu(s.now, rng.below(1501) as u16);
            }
        }
        _ => {
            let _ = (s.c.take_ready(), s.c.take_progress(), s.c.poll_log());
            let _ = (s.c.status(s.now), s.c.urgent(), s.c.peek(&mut [0; 10]));
        }
    }
}

#[test]
fn whatever_happens() {
    let seeds = std::env::var("TAPLINE_SEEDS").map_or(300, |s| s.parse().unwrap());
    let mut states = [0_u32; 11];
    for seed in 0..seeds {
        let mut rng = Rng::from_seed(seed ^ 0x3a1f);
        let mut s = match rng.below(3) {
            0 => Script::connect(options(&mut rng)),
            1 => Script::passive(options(&mut rng), "S 0:0 mss 1460 ws 7 sackok ts 0/0"),
            _ => {
                let options = Options {
                    recv_buffer: Options::default().recv_buffer,
                    mss: None,
                    ..options(&mut rng)
                };
                let mut s = Script::connect(options);
                s.drain();
                s.rx("S. 0:0 ack 1 mss 1460 ws 7 sackok ts 0/0");
                s
            }
        };
        let mut state = s.c.state();
        let mut edge = s.c.rcv.nxt + s.c.rcv.window();
        for _ in 0..600 {
            happen(&mut rng, &mut s);
            let next = s.c.state();
            assert!(reachable(state, next), "seed {seed}: {state} to {next}");
            if state == State::SynSent {
                edge = s.c.rcv.nxt + s.c.rcv.window();
            }
            let now = s.c.rcv.nxt + s.c.rcv.window();
            assert!(
                now.at_or_after(edge),
                "seed {seed}: the window shrank in {next}"
            );
            (state, edge) = (next, now);
            states[State::ALL.iter().position(|s| *s == state).unwrap()] += 1;
            s.check();
            if state == State::Closed {
                s.drain();
                assert_eq!(s.c.poll_timeout(), None, "seed {seed}");
                break;
            }
        }
    }
    for (state, n) in State::ALL.iter().zip(states) {
        let never = matches!(state, State::Listen);
        assert!(never || n > 0 || seeds < 300, "{state} was never reached");
    }
}

#[test]
fn each_segment_in_each_state() {
    // Random fields everywhere; only that nothing breaks.
    let mut rng = Rng::from_seed(99);
    for state in State::ALL {
        if state == State::Listen {
            continue;
        }
        let start = Script::state(Options::default(), state);
        for _ in 0..300 {
            let mut s = start.clone();
            for _ in 0..3 {
                let (seg, data) = segment(&mut rng, &s);
                s.last = s.c.handle_segment(s.now, &seg, data);
                s.check();
                s.drain();
            }
            let _ = s.run(5000);
        }
    }
}
