//! Flows, their counts, and that they do not touch each other.

use super::*;
use crate::frame::Payload;
use crate::link::impair::draw;
use crate::link::impair::flow::{Flows, Key, Pieces};
use crate::link::impair::{Arrival, Loss, Marks, Match};
use bytes::Bytes;

fn number(frame: &Frame) -> u64 {
    Key::of(&mut frame.clone()).number(draw::spread(KEY))
}

fn patched(frame: &Frame, at: usize, bytes: &[u8]) -> Frame {
    let mut all = frame.to_bytes().to_vec();
    all[at..at + bytes.len()].copy_from_slice(bytes);
    Frame::copy_from(&all)
}

#[test]
fn fragments_are_of_the_flow_of_their_packet() {
    let base = udp(1, 100, 0);
    let piece = |ident: u8, port: u8, place: [u8; 2]| {
        let cut = patched(&patched(&base, 18, &[0, ident]), 20, &place);
        patched(&cut, 37, &[port])
    };
    let mut pieces = Pieces::default();
    let mut of = |frame: &Frame| {
        let key = pieces.key_of(&mut frame.clone());
        key.number(draw::spread(KEY))
    };
    let flow = of(&piece(1, 8, [0x20, 0]));
    // Where a later one has what would be ports, it has data.
    assert_eq!(of(&piece(1, 99, [0x20, 9])), flow);
    assert_eq!(of(&piece(2, 8, [0x20, 0])), flow, "of its next packet");
    assert_ne!(of(&piece(3, 9, [0x20, 0])), flow);
    assert_ne!(of(&piece(3, 8, [0, 9])), flow);
    // Of a packet that nobody knows, the identification counts.
    let lost = piece(4, 8, [0, 9]);
    assert_eq!(of(&lost), number(&lost));
    assert_ne!(of(&lost), of(&piece(5, 8, [0, 9])));
    assert_ne!(flow, number(&base), "apart from whole packets");
}

#[test]
fn errors_are_of_the_flow_that_they_quote() {
    let icmp = patched(&udp(1, 200, 0), 23, &[1]);
    let error = |port: u8| {
        let error = patched(&patched(&icmp, 34, &[3, 3]), 42, &[0x45]);
        patched(
            &patched(&error, 48, &[0; 3]),
            51,
            &[17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, port],
        )
    };
    assert_eq!(number(&error(1)), number(&error(1)));
    assert_ne!(number(&error(1)), number(&error(2)));
}

#[test]
fn flows_are_told_apart_by_addresses_protocol_and_ports() {
    let base = udp(1, 100, 0);
    let tcp = patched(&base, 23, &[6]);
    let first = patched(&base, 20, &[0x20, 0]);
    let v6 = udp6(1, 100, 0);
    let arp = patched(&base, 12, &[8, 6]);
    let all = [
        base.clone(),
        udp(2, 100, 0),
        patched(&base, 37, &[8]),
        patched(&base, 29, &[9]),
        patched(&base, 33, &[9]),
        tcp.clone(),
        patched(&base, 23, &[1]),
        first.clone(),
        patched(&first, 19, &[9]),
        arp.clone(),
        patched(&arp, 5, &[9]),
        patched(&arp, 11, &[9]),
        patched(&arp, 13, &[9]),
        v6.clone(),
        udp6(2, 100, 0),
        patched(&v6, 37, &[9]),
        patched(&v6, 53, &[9]),
        patched(&v6, 20, &[58]),
    ];
    for (i, a) in all.iter().enumerate() {
        for b in &all[..i] {
            assert_ne!(number(a), number(b), "{a:?} {b:?}");
        }
    }
    // What does not tell them apart: length, TOS, TTL, identification, payload; a fragment's
    // offset; ICMP's or ARP's insides.
    assert_eq!(number(&base), number(&udp(1, 60, 2)));
    assert_eq!(
        number(&base),
        number(&patched(&base, 18, &[1, 2, 0x40, 0, 9]))
    );
    assert_eq!(number(&first), number(&patched(&first, 20, &[0, 9])));
    assert_eq!(number(&arp), number(&patched(&arp, 30, &[9])));
    assert_eq!(number(&v6), number(&patched(&v6, 15, &[0x21, 1, 1])));
    // An echo has an identifier; other ICMP messages have none at that place.
    let echo =
        |kind: u8, ident: u8| patched(&patched(&base, 23, &[1]), 34, &[kind, 0, 0, 0, 0, ident]);
    let echo6 =
        |kind: u8, ident: u8| patched(&patched(&v6, 20, &[58]), 54, &[kind, 0, 0, 0, 0, ident]);
    for echo in [echo(8, 1), echo(0, 1), echo6(128, 1), echo6(129, 1)] {
        let at = if echo.to_bytes()[12] == 8 { 39 } else { 59 };
        assert_ne!(number(&echo), number(&patched(&echo, at, &[2])));
        // Its sequence number does not matter, nor does a port rule.
        assert_eq!(number(&echo), number(&patched(&echo, at + 1, &[7, 7])));
        let port = Match {
            port: Some(1),
            ..Match::default()
        };
        assert!(!port.matches(&mut echo.clone()));
    }
    assert_eq!(number(&echo(3, 1)), number(&echo(3, 2)));
    assert_eq!(number(&echo6(1, 1)), number(&echo6(1, 2)));
    // Fragments share a queue with each other, and so do echoes.
    let conversation = |f: &Frame| Key::of(&mut f.clone()).conversation(KEY);
    assert_eq!(
        conversation(&first),
        conversation(&patched(&first, 19, &[9]))
    );
    assert_eq!(conversation(&echo(8, 1)), conversation(&echo(8, 2)));
    assert_ne!(conversation(&base), conversation(&udp(2, 100, 0)));
}

#[test]
fn extension_headers_and_tags_are_looked_behind() {
    let v6 = udp6(1, 100, 0);
    let with = |header: &[u8], kind: u8| {
        let mut all = v6.to_bytes().to_vec();
        all.splice(54..54, header.iter().copied());
        all[20] = kind;
        all[19] += u8::try_from(header.len()).unwrap();
        Frame::copy_from(&all)
    };
    let hop = with(&[17, 0, 1, 4, 0, 0, 0, 0], 0);
    assert_eq!(number(&hop), number(&v6), "hop-by-hop options");
    let fragment = |ident| with(&[17, 0, 0, 1, 0, 0, 0, ident], 44);
    assert_eq!(number(&fragment(1)), number(&fragment(1)));
    assert_ne!(number(&fragment(1)), number(&fragment(2)));
    let atomic = with(&[17, 0, 0, 0, 0, 0, 0, 1], 44);
    assert_eq!(number(&atomic), number(&v6), "an atomic fragment is whole");
    let tagged = |frame: &Frame| {
        let mut all = frame.to_bytes().to_vec();
        all.splice(12..12, [0x81, 0, 0, 5]);
        Frame::copy_from(&all)
    };
    assert_eq!(number(&tagged(&v6)), number(&v6));
    assert_eq!(number(&tagged(&udp(1, 100, 0))), number(&udp(1, 100, 0)));
}

#[test]
fn pieces_and_stumps_are_read_like_whole_frames() {
    for frame in [udp(1, 100, 0), udp6(1, 100, 0)] {
        let bytes = frame.to_bytes();
        for at in 1..bytes.len() {
            let mut split = Frame::from_payload(Payload::from(bytes.slice(at..)));
            if let Some(room) = split.head.push_front(at) {
                room.copy_from_slice(&bytes[..at]);
                assert_eq!(number(&split), number(&frame), "cut at {at}");
            }
        }
        for len in 0..bytes.len() {
            number(&Frame::from_bytes(bytes.slice(..len)));
        }
    }
}

#[test]
fn the_count_goes_on_whatever_happens() {
    let scripted = Config {
        loss: Loss::Scripted(std::vec![5, 3]),
        ..Config::default()
    };
    let mut way = way(Config {
        mtu: 80,
        ..scripted.clone()
    });
    let (mut lost, mut tag) = (Vec::new(), 0);
    let mut send = |way: &mut Way, len| {
        lost.push(way.send(Instant::ZERO, udp(1, len, 0), tag) != Sent::Queued);
        tag += 1;
    };
    send(&mut way, 60);
    send(&mut way, 100);
    way.set_up(Instant::ZERO, false);
    send(&mut way, 60);
    way.set_up(Instant::ZERO, true);
    for _ in 3..7 {
        send(&mut way, 60);
    }
    assert_eq!(lost, [false, true, true, true, false, true, false]);
    // Another flow has its own third and fifth.
    let other: Vec<_> = (0..7)
        .map(|tag| way.send(Instant::ZERO, udp(2, 60, 0), tag) != Sent::Queued)
        .collect();
    assert_eq!(other, [false, false, false, true, false, true, false]);
}

/// Everything that chance decides, at once.
fn bad() -> Config {
    Config {
        delay: Duration::from_millis(30),
        jitter: Duration::from_millis(20),
        loss: Loss::GilbertElliott {
            to_bad: chance("5%"),
            to_good: chance("20%"),
            loss_good: chance("1%"),
            loss_bad: chance("70%"),
        },
        duplicate: chance("10%"),
        reorder: chance("10%"),
        bit_errors: chance("0.0003"),
        frame_check: false,
        ..Config::default()
    }
}

#[test]
fn other_flows_change_nothing() {
    let fates = |others: u64, queue_rate: Option<u64>| {
        let mut way = way(Config {
            rate: queue_rate,
            ..bad()
        });
        let mut fates = Vec::new();
        for t in 0..3000_u64 {
            for other in 0..others {
                way.send(
                    ms(t),
                    udp(u16::try_from(100 + other).unwrap(), 90, 0),
                    u64::MAX,
                );
            }
            if way.send(ms(t), udp(1, 90, 0), t) != Sent::Queued {
                fates.push((t, None));
            }
        }
        while let Some(now) = way.poll_timeout() {
            while let Some(Arrival {
                frame,
                tag,
                sent,
                marks,
            }) = way.poll_arrival(now)
            {
                if tag != u64::MAX {
                    fates.push((tag, Some((now - sent, marks, frame.to_bytes()))));
                }
            }
        }
        assert!(way.is_conserved());
        fates.sort_by_key(|f| f.0);
        fates
    };
    // A queue that others fill drops frames and takes time, but what is lost on the wire and what
    // befalls those that get through stays as it is.
    let (mut through, mut crowded_out) = (0, 0);
    let alone = fates(0, None);
    let crowded = fates(3, Some(1_000_000));
    for (tag, fate) in &alone {
        let others: Vec<_> = crowded.iter().filter(|f| f.0 == *tag).collect();
        match fate {
            None => assert!(others.iter().all(|f| f.1.is_none()) && others.len() == 1),
            Some((_, marks, bytes)) => {
                let same = |f: &&&(u64, Option<(Duration, Marks, Bytes)>)| {
                    f.1.as_ref().is_some_and(|f| (f.1, &f.2) == (*marks, bytes))
                };
                match others.iter().find(same) {
                    Some(_) => through += 1,
                    None => crowded_out += 1,
                }
                assert!(others.iter().any(|f| f.1.is_none()) || others.iter().any(|f| same(&f)));
            }
        }
    }
    assert!(
        through > 500 && crowded_out > 500,
        "{through} {crowded_out}"
    );
    assert!(alone.iter().any(|f| f.1.is_none()));
    assert_eq!(alone, fates(3, None));
    assert_ne!(alone, {
        let mut way = Way::new(bad(), [1, 3]);
        (0..3000)
            .filter(|t| way.send(ms(*t), udp(1, 90, 0), *t) != Sent::Queued)
            .map(|t| (t, None))
            .collect::<Vec<_>>()
    });
}

#[test]
fn a_clone_goes_on_alike() {
    let mut way = way(Config {
        rate: Some(1_000_000),
        ..bad()
    });
    for t in 0..500 {
        way.send(ms(t), udp(u16::try_from(t % 7).unwrap(), 200, 0), t);
        while way.poll_arrival(ms(t)).is_some() {}
    }
    let finish = |mut way: Way| {
        let mut out = Vec::new();
        for t in 500..800 {
            way.send(ms(t), udp(u16::try_from(t % 7).unwrap(), 200, 0), t);
        }
        while let Some(now) = way.poll_timeout() {
            while let Some(a) = way.poll_arrival(now) {
                out.push((now, a.tag, a.marks, a.frame.to_bytes()));
            }
        }
        (out, *way.stats())
    };
    assert_eq!(finish(way.clone()), finish(way));
}

#[test]
fn the_flow_table_is_bounded_and_keeps_who_is_busy() {
    let mut flows = Flows::new(4);
    for number in 0..4 {
        flows.flow(number).0.k = number + 10;
    }
    let mut evicted = 0;
    for number in 100..200 {
        evicted += u64::from(flows.flow(number).1);
        // Flow 2 is busy all the time.
        flows.flow(2);
    }
    assert_eq!(flows.flow(2).0.k, 12, "a busy flow keeps its count");
    assert_eq!(flows.flow(1).0.k, 0, "an idle one is forgotten");
    assert_eq!(evicted, 100);
}

#[test]
fn an_idle_way_is_small() {
    assert!(size_of::<Way>() <= 900, "{} bytes", size_of::<Way>());
}
