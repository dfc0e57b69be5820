//! What a receiver says: RFC 9293 §3.8.6.3, RFC 5681 §4.2, RFC 2018 §4, RFC 2883 §4, RFC 7323 §4–5.

use super::script::{Script, modern, ms, plain};
use crate::reason::DropReason;
use crate::time::Duration;
use crate::transport::tcp::{Options, State};

fn sacking() -> Options {
    Options {
        timestamps: false,
        ..modern()
    }
}

#[test]
fn every_second_full_segment_and_the_rest_in_time() {
    //= RFC 9293 §3.8.6.3 SHLD-18, SHLD-19, MUST-40; RFC 5681 §4.2
    let mut s = Script::open(plain());
    s.rx(". 1:1001 ack 1");
    s.tx(&[]);
    s.rx(". 1001:2001 ack 1");
    s.tx(&[". 1:1 ack 2001"]);
    s.rx("P. 2001:2101 ack 1");
    s.runs(500, &["40 . 1:1 ack 2101"]);
    // Data takes it along.
    s.rx("P. 2101:2201 ack 1");
    s.write(10);
    s.tx(&["P. 1:11 ack 2201"]);
    s.runs(100, &[]);
}

#[test]
fn at_once_at_the_start() {
    let options = Options {
        quick_acks: 3,
        ..plain()
    };
    let mut s = Script::open(options.clone());
    for i in 0..3_u32 {
        s.rx(&std::format!("P. {}:{} ack 1", i * 10 + 1, i * 10 + 11));
        s.tx(&[&std::format!(". 1:1 ack {}", i * 10 + 11)]);
    }
    s.rx("P. 31:41 ack 1");
    s.tx(&[]);
    // A joined frame counts for all that it stands for.
    let mut s = Script::open(options);
    s.rx("P. 1:3001 ack 1 joined 3");
    s.tx(&[". 1:1 ack 3001"]);
    s.rx("P. 3001:3011 ack 1");
    s.tx(&[]);
}

#[test]
fn out_of_order_is_told_at_once_and_so_is_its_end() {
    //= RFC 9293 §3.10.7.4 SHLD-31, MAY-13; RFC 5681 §4.2
    let mut s = Script::open(plain());
    s.rx("P. 1001:2001 ack 1");
    s.tx(&[". 1:1 ack 1"]);
    s.rx("P. 2001:3001 ack 1");
    s.tx(&[". 1:1 ack 1"]);
    s.rx("P. 1:1001 ack 1");
    s.tx(&[". 1:1 ack 3001"]);
    assert_eq!(s.read(5000), 3000);
}

#[test]
fn sack_blocks_as_in_rfc_2018() {
    //= RFC 2018 §4; RFC 2018 §3
    // §4's table: 5000 is the left edge, segments of 500, the first of eight is lost.
    let all: std::vec::Vec<u32> = (0..8).map(|i| 1 + i * 500).collect();
    let arrive = |s: &mut Script, i: usize| {
        s.rx(&std::format!("P. {}:{} ack 1", all[i], all[i] + 500));
    };
    // Case 2: the first is lost, the others come.
    let mut s = Script::open(sacking());
    for (i, at) in all.iter().enumerate().skip(1).take(7) {
        arrive(&mut s, i);
        s.tx(&[&std::format!(". 1:1 ack 1 sack 501:{}", at + 500)]);
    }
    // Case 3: the second, fourth, sixth and last are lost.
    let mut s = Script::open(sacking());
    arrive(&mut s, 0);
    s.run(50);
    let want = [
        ". 1:1 ack 501 sack 1001:1501",
        ". 1:1 ack 501 sack 2001:2501 1001:1501",
        ". 1:1 ack 501 sack 3001:3501 2001:2501 1001:1501",
    ];
    for (i, want) in [2, 4, 6].into_iter().zip(want) {
        arrive(&mut s, i);
        s.tx(&[want]);
    }
    // The fourth fills a hole: it and what it joins come first.
    arrive(&mut s, 3);
    s.tx(&[". 1:1 ack 501 sack 1001:2501 3001:3501"]);
    arrive(&mut s, 1);
    s.tx(&[". 1:1 ack 2501 sack 3001:3501"]);
    // Beside timestamps three fit, without them four.
    for (options, most) in [(sacking(), 4), (modern(), 3)] {
        let mut s = Script::open(options);
        let mut want = std::string::String::new();
        for i in 1..7_u32 {
            s.rx(&std::format!("P. {}:{} ack 1", i * 1000, i * 1000 + 100));
            want = std::format!(" {}:{}{want}", i * 1000, i * 1000 + 100);
            let blocks: std::string::String = want.split_inclusive(' ').collect();
            let words: std::vec::Vec<&str> = blocks.split_whitespace().take(most).collect();
            s.tx(&[&std::format!(". 1:1 ack 1 sack {}", words.join(" "))]);
        }
    }
}

#[test]
fn duplicates_as_in_rfc_2883() {
    //= RFC 2883 §4, §4.2; RFC 2883 §3
    // Columns: received (RFC's numbers less the start), acknowledgment sent.
    let play = |start: u32, steps: &[(u32, u32, &str)]| {
        let mut s = Script::open(Options {
            quick_acks: 99,
            ..sacking()
        });
        let at = |n: u32| n - start + 1;
        for (from, to, want) in steps {
            s.rx(&std::format!("P. {}:{} ack 1", at(*from), at(*to)));
            let mut words = std::vec::Vec::new();
            for word in want.split_whitespace() {
                words.push(match word.split_once(':') {
                    Some((l, r)) => {
                        std::format!("{}:{}", at(l.parse().unwrap()), at(r.parse().unwrap()))
                    }
                    None => word.parse().map_or(word.into(), |n| at(n).to_string()),
                });
            }
            s.tx(&[&std::format!(". 1:1 ack {}", words.join(" "))]);
        }
    };
    use std::string::ToString as _;
    // Example 1
    play(
        3000,
        &[
            (3000, 3500, "3500"),
            (3500, 4000, "4000"),
            (3000, 3500, "4000 sack 3000:3500"),
        ],
    );
    // Example 2
    play(
        3000,
        &[
            (3000, 3500, "3500"),
            (3500, 4000, "4000"),
            (4500, 5000, "4000 sack 4500:5000"),
            (3000, 3500, "4000 sack 3000:3500 4500:5000"),
        ],
    );
    // Example 3
    play(
        3500,
        &[
            (3500, 4000, "4000"),
            (4500, 5000, "4000 sack 4500:5000"),
            (5000, 5500, "4000 sack 4500:5500"),
            (5000, 5500, "4000 sack 5000:5500 4500:5500"),
        ],
    );
    // Example 4
    play(
        500,
        &[
            (500, 1000, "1000"),
            (2000, 2500, "1000 sack 2000:2500"),
            (1000, 1500, "1500 sack 2000:2500"),
            (1000, 2000, "2500 sack 1000:1500"),
        ],
    );
    // Example 5
    play(
        500,
        &[
            (500, 1000, "1000"),
            (3000, 3500, "1000 sack 3000:3500"),
            (1000, 1500, "1500 sack 3000:3500"),
            (2000, 2500, "1500 sack 2000:2500 3000:3500"),
            (1000, 2500, "2500 sack 1000:1500 3000:3500"),
        ],
    );
    // Example 6
    play(
        500,
        &[
            (500, 1000, "1000"),
            (3500, 4000, "1000 sack 3500:4000"),
            (1500, 2000, "1000 sack 1500:2000 3500:4000"),
            (2500, 3000, "1000 sack 2500:3000 1500:2000 3500:4000"),
            (1500, 3000, "1000 sack 1500:2000 1500:3000 3500:4000"),
        ],
    );
    // §4: in order, and partly held already.
    play(
        500,
        &[
            (500, 1000, "1000"),
            (1500, 2000, "1000 sack 1500:2000"),
            (1000, 2500, "2500 sack 1500:2000"),
        ],
    );
    // Told once.
    let mut s = Script::open(sacking());
    s.rx("P. 1:501 ack 1");
    s.run(100);
    s.rx("P. 1:501 ack 1");
    s.tx(&[". 1:1 ack 501 sack 1:501"]);
    s.rx("P. 501:1001 ack 1");
    s.run(100);
    s.write(10);
    s.tx(&["P. 1:11 ack 1001"]);
    // Not where it was switched off, nor without SACK.
    for options in [
        Options {
            dsack: false,
            ..sacking()
        },
        plain(),
    ] {
        let mut s = Script::open(options);
        s.rx("P. 1:501 ack 1");
        s.run(100);
        s.rx("P. 1:501 ack 1");
        s.tx(&[". 1:1 ack 501"]);
    }
}

#[test]
fn paws() {
    //= RFC 7323 §5.2
    let mut s = Script::open(modern());
    s.run(1000);
    s.rx("P. 1:11 ack 1");
    s.run(100);
    //= RFC 7323 §5.3 R1: dropped, and answered.
    s.drops("P. 11:21 ack 1 ts -500/0", DropReason::TcpPaws);
    s.tx(&[". 1:1 ack 11"]);
    //= RFC 2883 §4: of what is there already, its sender hears that it came twice.
    s.drops("P. 1:11 ack 1 ts -500/0", DropReason::TcpPaws);
    s.tx(&[". 1:1 ack 11 sack 1:11"]);
    // A reset is not looked at so.
    let mut t = s.clone();
    t.rx("R. 11:11 ack 1 ts -500/0");
    assert_eq!(t.c.state(), State::Closed);
    // Reordered within a tick it is fine.
    s.rx("P. 11:21 ack 1 ts -50/0");
    assert_eq!(s.last, Ok(()));
    //= RFC 7323 §5.5: after 24 days of silence TS.Recent is void, and taken up anew.
    s.run(25 * 24 * 3600 * 1000);
    let clock = "ts -2147483000/0";
    s.rx(&std::format!("P. 21:31 ack 1 {clock}"));
    assert_eq!(s.last, Ok(()));
    s.run(100);
    s.write(1);
    s.drain();
    let echoed = s.out.as_ref().unwrap().options.as_bytes()[8..12].to_vec();
    let (seg, _) = s.parse(&std::format!(". 1:1 {clock}"));
    let want = seg.timestamps.unwrap().0 - 100;
    assert_eq!(echoed, want.to_be_bytes());
}

#[test]
fn which_timestamp_is_echoed() {
    //= RFC 7323 §4.3
    let echoed = |s: &mut Script| {
        s.drain();
        let options = &s.out.as_ref().unwrap().options;
        u32::from_be_bytes(options.as_bytes()[8..12].try_into().unwrap())
    };
    let clock = |s: &Script, ago: i32| {
        s.parse(&std::format!(". 1:1 ts {}/0", -ago))
            .0
            .timestamps
            .unwrap()
            .0
    };
    // §4.3 (A): of two that one acknowledgment answers, the first.
    let mut s = Script::open(modern());
    s.rx(". 1:1013 ack 1");
    let first = clock(&s, 0);
    s.run(10);
    s.rx(". 1013:2025 ack 1");
    assert_eq!(echoed(&mut s), first);
    // (B): out of order, the last that was in order.
    s.run(10);
    s.rx("P. 3000:3100 ack 1");
    assert_eq!(echoed(&mut s), first);
    // (C): what fills the hole.
    s.run(10);
    s.rx("P. 2025:3000 ack 1");
    assert_eq!(echoed(&mut s), clock(&s, 0));
}

#[test]
fn keeps_what_comes_early_within_bounds() {
    //= RFC 9293 §3.10.7.4 SHLD-31
    let options = Options {
        recv_buffer: crate::transport::tcp::options::Buffer {
            initial: 10_000,
            max: 10_000,
        },
        ..sacking()
    };
    let mut s = Script::open(options);
    // Tiny pieces are charged for more than they hold.
    let mut held = 0;
    for i in 0..2000_u32 {
        s.rx(&std::format!("P. {}:{} ack 1", 3 + i * 2, 4 + i * 2));
        held += u32::from(s.last.is_ok());
        s.drain();
    }
    assert!((20..200).contains(&held), "{held}");
    s.rx("P. 1:4100 ack 1");
    assert_eq!(s.read(9000), 4099);
}

#[test]
fn joined_or_not_is_the_same() {
    // design.md §2.5: one trace, in one piece or in many, leaves the same state.
    let options = Options {
        quick_acks: 4,
        ..modern()
    };
    for pieces in [1_u32, 2, 3, 8] {
        let mut one = Script::open(options.clone());
        let mut many = one.clone();
        one.rx(&std::format!(
            "P. 1:{} ack 1 joined {pieces}",
            1 + pieces * 1000
        ));
        for i in 0..pieces {
            many.rx(&std::format!(
                "P. {}:{} ack 1",
                1 + i * 1000,
                1001 + i * 1000
            ));
        }
        let state = |s: &Script| std::format!("{:?} {:?}", s.c.rcv, s.c.timers);
        // Where the bytes lie is all that differs.
        let strip = |text: std::string::String| {
            let (head, rest) = text.split_once("buffer:").unwrap();
            let (_, tail) = rest.split_once("held:").unwrap();
            std::format!("{head}{tail}")
        };
        assert_eq!(strip(state(&one)), strip(state(&many)), "{pieces}");
        assert_eq!(one.drain(), many.drain());
        assert_eq!(
            one.c.status(one.now).segs_in,
            many.c.status(many.now).segs_in
        );
        one.rx("P. 8001:9000 ack 1");
        many.rx("P. 8001:9000 ack 1");
        assert_eq!(one.drain(), many.drain());
    }
    let _ = (ms(1), Duration::ZERO);
}
