//! Requirements of RFC 9293 that no story of the other files shows, one a test.

use super::script::{Script, modern, plain};
use crate::reason::DropReason;
use crate::transport::tcp::options::{Buffer, KeepAlive};
use crate::transport::tcp::timers::Timer;
use crate::transport::tcp::{Error, Options, Segment, State};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Header, TcpOption};
use std::vec::Vec;

fn kinds(s: &Script) -> Vec<u8> {
    let out = s.out.as_ref().unwrap();
    let header = Header {
        src_port: 1,
        dst_port: 2,
        seq: out.seq,
        ack: out.ack,
        flags: out.flags,
        window: out.window,
        checksum: 0,
        urgent: 0,
        options: out.options.as_bytes(),
    };
    header.options().flatten().map(|o| o.kind()).collect()
}

#[test]
fn the_mss_is_told_in_syns_only() {
    //= RFC 9293 §3.2 MUST-65
    let mss = TcpOption::MaximumSegmentSize(0).kind();
    let mut s = Script::connect(modern());
    s.drain();
    assert!(kinds(&s).contains(&mss));
    let mut s = Script::open(modern());
    s.write(5000);
    s.drain();
    assert!(!kinds(&s).contains(&mss));
    s.rx("P. 1:2 ack 5001");
    s.run(100);
    assert!(!kinds(&s).contains(&mss));
    s.c.abort(s.now);
    s.drain();
    assert!(!kinds(&s).contains(&mss));
}

#[test]
fn the_mss_told_is_what_ip_takes_less_both_headers() {
    //= RFC 9293 §3.7.1 MUST-67; §3.7.3 SHLD-6
    let mut s = Script::connect(Options::default());
    s.drain();
    let out = s.out.as_ref().unwrap();
    let told = crate::wire::tcp::Options::new(out.options.as_bytes())
        .flatten()
        .find_map(|o| match o {
            TcpOption::MaximumSegmentSize(mss) => Some(mss),
            _ => None,
        });
    assert_eq!(told, Some(1500 - 20 - 20));
}

#[test]
fn options_are_taken_in_any_segment_wherever_they_lie() {
    //= RFC 9293 §3.1 MUST-5; §3.2 MUST-64
    let read = |flags, options: &[u8]| {
        let header = Header {
            src_port: 1,
            dst_port: 2,
            seq: SeqNum(1),
            ack: SeqNum(1),
            flags,
            window: 1,
            checksum: 0,
            urgent: 0,
            options,
        };
        Segment::new(&header, 0, 0, 1)
    };
    // A timestamp behind one byte of padding, and one that is not known.
    let odd = [1, 254, 3, 9, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0];
    for flags in [Flags::SYN, Flags::ACK, Flags::FIN | Flags::ACK, Flags::RST] {
        assert_eq!(read(flags, &odd).timestamps, Some((7, 9)), "{flags:?}");
    }
    // A length that is none ends the list; what came before it counts.
    let broken = [2, 4, 5, 180, 8, 0, 0, 0];
    assert_eq!(read(Flags::SYN, &broken).mss, Some(1460));
    // What only a SYN says is not believed of others.
    assert_eq!(read(Flags::ACK, &broken).mss, None);
}

#[test]
fn syn_received_knows_how_it_came_about() {
    //= RFC 9293 §3.5 MUST-11: opened by the peer, it goes without a word; by us, it was refused.
    let mut s = Script::state(plain(), State::SynReceived);
    s.rx("R 1:1");
    assert_eq!((s.c.state(), s.c.error()), (State::Closed, None));
    let mut s = Script::connect(plain());
    s.drain();
    s.rx("S 0:0 mss 9000");
    s.drain();
    assert_eq!(s.c.state(), State::SynReceived);
    s.rx("R 1:1");
    assert_eq!(s.c.error(), Some(Error::Refused));
}

#[test]
fn a_reset_may_carry_data() {
    //= RFC 9293 §3.5.3 SHLD-2
    let mut s = Script::open(plain());
    s.rx("R 1:20");
    assert_eq!(s.c.error(), Some(Error::Reset));
}

#[test]
fn resets_count_with_a_closed_window() {
    //= RFC 9293 §3.4 MUST-66
    let mut s = Script::open(Options {
        recv_buffer: Buffer {
            initial: 2000,
            max: 2000,
        },
        ..plain()
    });
    s.rx("P. 1:2001 ack 1");
    s.drain();
    s.drops("R 2002:2002", DropReason::TcpOutOfWindow);
    s.rx("R 2001:2001");
    assert_eq!(s.c.error(), Some(Error::Reset));
}

#[test]
fn what_came_together_is_acknowledged_together() {
    //= RFC 9293 §3.10.7.4 MUST-58, MUST-59
    let mut s = Script::open(plain());
    for i in 0..10 {
        s.rx(&std::format!(
            ". {}:{} ack 1",
            1 + i * 1000,
            1001 + i * 1000
        ));
    }
    s.tx(&[". 1:1 ack 10001"]);
    // A gap that is filled has all behind it acknowledged at once.
    s.rx(". 11001:12001 ack 1");
    s.rx(". 10001:11001 ack 1");
    s.tx(&[". 1:1 ack 12001"]);
}

#[test]
fn the_last_of_what_waits_is_pushed() {
    //= RFC 9293 §3.9.1.2 MUST-61, SHLD-27, SHLD-28, MUST-60
    let mut s = Script::open(plain());
    for _ in 0..25 {
        s.write(100);
    }
    s.tx(&[". 1:1001 ack 1", ". 1001:2001 ack 1", "P. 2001:2501 ack 1"]);
}

#[test]
fn keepalives_are_off_and_rare_by_default() {
    //= RFC 9293 §3.8.4 MUST-25, MUST-28
    assert_eq!(Options::default().keepalive, None);
    assert!(KeepAlive::default().idle.as_secs() >= 7200);
    let mut s = Script::open(plain());
    assert!(s.run(100_000_000).is_empty());
}

#[test]
fn keepalives_are_switched_at_any_time_and_wait_for_acknowledgments() {
    //= RFC 9293 §3.8.4 MUST-24, MUST-26
    let keepalive = KeepAlive {
        idle: crate::time::Duration::from_secs(5),
        ..KeepAlive::default()
    };
    let set = |s: &mut Script, keepalive| {
        let options = Options {
            keepalive,
            ..plain()
        };
        s.c.set_options(s.now, alloc::sync::Arc::new(options));
    };
    let mut s = Script::open(plain());
    set(&mut s, Some(keepalive));
    s.runs(5000, &["5000 . 0:0 ack 1"]);
    s.rx(". 1:1 ack 1");
    set(&mut s, None);
    s.runs(50_000, &[]);
    // While something is in flight there is none.
    set(&mut s, Some(keepalive));
    s.write(10);
    let all = s.run(20_000);
    assert!(
        all.iter().all(|line| line.ends_with("P. 1:11 ack 1")),
        "{all:?}"
    );
}

#[test]
fn urgent_data_may_be_longer_than_the_pointer() {
    //= RFC 9293 §3.8.5 MUST-31
    let mut s = Script::open(Options {
        send_buffer: Buffer {
            initial: 1 << 20,
            max: 1 << 20,
        },
        initial_window: 100,
        ..plain()
    });
    s.write(70_000);
    assert_eq!(s.c.send_urgent(s.now, b"!"), Ok(1));
    let all = s.drain();
    // The field reaches as far as it can, and in the end to the byte behind the last.
    assert_eq!(all[0], ".U 1:1001 ack 1 urg 65535");
    assert!(
        all.iter().any(|l| l == ".U 60001:61001 ack 1 urg 10001"),
        "{all:?}"
    );
}

#[test]
fn the_retransmission_timer_by_its_rules() {
    let runs = |s: &Script| s.c.timers.at(Timer::Retransmit).map(|at| at.since(s.now));
    let ms = super::script::ms;
    let mut s = Script::open(plain());
    assert_eq!(runs(&s), None);
    //= RFC 6298 §5.1 it starts with what is sent, and further segments leave it alone.
    s.write(1000);
    s.drain();
    assert_eq!(runs(&s), Some(ms(300)));
    s.run(100);
    s.write(2000);
    s.drain();
    assert_eq!(runs(&s), Some(ms(200)));
    //= RFC 6298 §5.3; RFC 6675 §6 an acknowledgment of new data starts it anew.
    s.run(50);
    s.rx(". 1:1 ack 1001");
    assert!(runs(&s) > Some(ms(200)), "{:?}", runs(&s));
    //= RFC 6298 §5.4, §5.5, §5.6 at its end the first goes again, and it runs for twice as long.
    let wait = runs(&s).unwrap();
    let first = s.run(u64::try_from(wait.as_millis()).unwrap() + 1);
    assert!(first[0].contains(" 1001:2001"), "{first:?}");
    assert!(runs(&s) > Some(wait * 2 - ms(2)) && runs(&s) <= Some(wait * 2));
    //= RFC 6298 §5.2 with all acknowledged it stops.
    s.rx(". 1:1 ack 3001");
    assert_eq!(runs(&s), None);
}

#[test]
fn every_segment_but_some_resets_has_timestamps() {
    //= RFC 7323 §3.2
    let timestamps = 8;
    let mut s = Script::open(modern());
    assert!(kinds(&s).contains(&timestamps));
    s.write(30_000);
    s.drain();
    assert!(kinds(&s).contains(&timestamps));
    s.rx(". 1001:2001 ack 1");
    s.drain();
    assert!(kinds(&s).contains(&timestamps));
    while s.c.status(s.now).unacked > 0 {
        let sent = s.c.snd.nxt.since(super::script::ISS);
        s.rx(&std::format!("P. 1:1 ack {sent}"));
        s.drain();
    }
    s.c.shutdown(s.now);
    s.drain();
    assert!(s.out.as_ref().unwrap().flags.contains(Flags::FIN));
    assert!(kinds(&s).contains(&timestamps));
    // Where they were not agreed on, there are none.
    let mut s = Script::open_by(modern(), "mss 9000 ws 7 sackok");
    s.write(1000);
    s.drain();
    assert!(!kinds(&s).contains(&timestamps));
}

#[test]
fn no_window_moves_back_by_rounding() {
    //= RFC 7323 §2.4 (the script looks at the edge of each segment that leaves)
    let mut s = Script::open(Options {
        recv_buffer: Buffer {
            initial: 1 << 20,
            max: 1 << 20,
        },
        ..modern()
    });
    assert!(s.c.status(s.now).wscale.is_some_and(|(_, ours)| ours > 0));
    let mut at = 1;
    for len in [1, 7, 333, 1000, 3, 12, 999] {
        s.rx(&std::format!("P. {at}:{} ack 1", at + len));
        at += len;
        s.run(100);
    }
}

#[test]
fn the_fast_path_heeds_timestamps_too() {
    //= RFC 7323 §5.6 what is next in order, but older than what came, is refused.
    let mut s = Script::open(modern());
    s.run(100);
    s.rx("P. 1:101 ack 1");
    s.drops("P. 101:201 ack 1 ts -50/0", DropReason::TcpPaws);
    s.rx("P. 101:201 ack 1");
    assert_eq!((s.last, s.read(1000)), (Ok(()), 200));
}
