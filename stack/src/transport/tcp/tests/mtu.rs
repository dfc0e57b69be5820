//! Sizes of segments: RFC 9293 §3.7.1, RFC 6691, RFC 1191, RFC 4821.

use super::script::{Script, modern, plain};
use crate::transport::tcp::Options;
use crate::transport::tcp::options::MtuProbing;

fn whole(options: Options) -> Options {
    Options {
        mss: None,
        ..options
    }
}

fn sizes(out: &[std::string::String]) -> std::vec::Vec<u32> {
    let size = |l: &std::string::String| {
        let range = l.split_whitespace().find(|w| w.contains(':')).unwrap();
        let (a, b) = range.split_once(':').unwrap();
        b.parse::<u32>().unwrap() - a.parse::<u32>().unwrap()
    };
    out.iter().map(size).collect()
}

#[test]
fn options_are_taken_off() {
    //= RFC 9293 §3.7.1 MUST-16
    let mut s = Script::open(whole(plain()));
    s.write(3000);
    assert_eq!(sizes(&s.drain()), [1460, 1460, 80]);
    let mut s = Script::open(whole(modern()));
    s.write(3000);
    assert_eq!(sizes(&s.drain()), [1448, 1448, 104]);
    // Blocks to be told make room for themselves (the script checks that packets fit).
    let mut s = Script::open(whole(modern()));
    for i in 1..5 {
        s.rx(&std::format!("P. {}:{} ack 1", i * 1000, i * 1000 + 100));
    }
    s.write(3000);
    for l in s.drain() {
        assert!(l.contains("sack"), "{l}");
    }
    // Also when a window's override is due.
    let mut s = Script::open_by(whole(modern()), "mss 9000 sackok ts 0/0 win 5000");
    s.write(5000);
    s.drain();
    s.rx(". 1:1 ack 5001 win 1000");
    s.write(9000);
    s.drain();
    s.rx("P. 1000:1100 ack 5001 win 1000");
    s.rx("P. 2000:2100 ack 5001 win 1000");
    s.run(1000);
}

#[test]
fn a_smaller_path_in_mid_transfer() {
    let mut s = Script::open(whole(modern()));
    s.write(14_480);
    assert_eq!(s.drain().len(), 10);
    let before = s.cwnd();
    s.c.handle_path_mtu(s.now, 1052);
    let out = s.drain();
    //= RFC 1191 §6.4: what was too large goes again at once, without any sign of congestion.
    assert!(
        !out.is_empty() && sizes(&out).iter().all(|n| *n <= 1000),
        "{out:?}"
    );
    assert!(s.cwnd() >= before * 1000 / 1448 - 1000);
    assert_eq!(s.c.status(s.now).timeouts, 0);
    // It is never believed below what any path carries.
    s.c.handle_path_mtu(s.now, 10);
    s.run(2000);
    assert!(s.c.status(s.now).snd_mss >= 36);
}

#[test]
fn a_black_hole_is_found() {
    let options = Options {
        mtu_probing: MtuProbing::BlackHole,
        ..whole(modern())
    };
    let mut s = Script::open(options);
    s.write(60_000);
    s.drain();
    // Large segments do not arrive, and nobody says so.
    let mut next = 1;
    let mut rounds = 0;
    let mut largest = 0;
    while next < 60_001 {
        rounds += 1;
        assert!(rounds < 400, "{next}");
        let mut out = s.run(50);
        out.extend(s.drain());
        for (line, size) in out.iter().zip(sizes(&out)) {
            let range = line.split_whitespace().find(|w| w.contains(':')).unwrap();
            let from: u32 = range.split_once(':').unwrap().0.parse().unwrap();
            if size <= 1200 && from <= next && from + size > next {
                next = from + size;
                largest = largest.max(size);
            }
        }
        s.rx(&std::format!(". 1:1 ack {next}"));
    }
    assert!(largest > 900, "{largest}");
    // A moment's outage does not cost the size.
    let mut s = Script::sent(
        Options {
            mtu_probing: MtuProbing::BlackHole,
            ..plain()
        },
        1,
    );
    s.run(1000);
    assert_eq!(s.c.status(s.now).snd_mss, 1000);
}
