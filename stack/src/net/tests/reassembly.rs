//! Reassembly: tables, a byte map as the obvious way, and the books under a flood.

use super::*;
use crate::rng::Rng;
use alloc::vec;

const T0: Instant = Instant::ZERO;

fn key(src: u8, id: u16) -> Key {
    Key::v4(
        [10, 0, 0, src].into(),
        [10, 0, 0, 254].into(),
        id,
        Protocol::UDP,
    )
}

/// Bytes that say where in the datagram they belong.
fn bytes(start: usize, len: usize) -> Payload {
    let v: Vec<u8> = (start..start + len).map(|i| (i % 251) as u8).collect();
    Payload::from(Bytes::from(v))
}

type Parts = Reassembly<&'static str>;

fn put(p: &mut Parts, k: Key, start: usize, len: usize, more: bool) -> Outcome<&'static str> {
    p.insert(
        T0,
        k,
        Place::at(start, more),
        bytes(start, len),
        (start == 0).then_some("h"),
    )
}

#[test]
fn one_fragment_at_a_time() {
    use DropReason as R;
    let udp = key(1, 7);
    let tcp = Key {
        protocol: Protocol::TCP,
        ..udp
    };
    let v6 = Key::v6(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, 9);
    let far = 65_512;
    for (k, start, len, more, want) in [
        (udp, 0, 8, true, None),
        (udp, 0, 12, true, Some(R::FragmentMalformed)),
        (udp, 4, 8, true, Some(R::FragmentMalformed)),
        (udp, 8, 0, false, Some(R::FragmentMalformed)),
        (udp, 0, 0, true, Some(R::FragmentMalformed)),
        (udp, 65_504, 11, false, None),
        (udp, 65_504, 12, false, Some(R::FragmentMalformed)),
        (v6, far, 23, false, None),
        (v6, far, 24, false, Some(R::FragmentMalformed)),
        (udp, usize::MAX - 7, 8, true, Some(R::FragmentMalformed)),
        (tcp, 0, 16, true, Some(R::FragmentTiny)),
        (tcp, 0, 24, true, None),
        (tcp, 8, 64, false, Some(R::FragmentTiny)),
        (tcp, 16, 64, false, None),
    ] {
        let mut p = Parts::new(Config::default());
        let want = want.map_or(Outcome::Held, |r| Outcome::Dropped(r, 0));
        let payload = match start {
            usize::MAX.. => Payload::new(),
            _ => bytes(start % 65_536, len),
        };
        let head = (start == 0).then_some("h");
        assert_eq!(
            p.insert(T0, k, Place::at(start, more), payload, head),
            want,
            "{k:?} {start}+{len}"
        );
        assert_eq!(p.held(), usize::from(want == Outcome::Held));
    }
    let mut p = Parts::new(Config::default());
    let headless = p.insert(T0, udp, Place::at(0, true), bytes(0, 8), None);
    assert_eq!(headless, Outcome::Dropped(R::FragmentMalformed, 0));
    // RFC 6946: whole by itself, and the fragments of the same identifier are left alone.
    assert_eq!(put(&mut p, v6, 0, 8, true), Outcome::Held);
    assert!(matches!(
        put(&mut p, v6, 0, 5, false),
        Outcome::Complete { fragments: 1, .. }
    ));
    assert_eq!(p.held(), 1);
}

#[test]
fn what_a_second_fragment_makes_of_the_first() {
    use DropReason as R;
    // first (start, len, more), second, outcome of the second (None: held)
    for (a, b, want) in [
        (
            (8, 16, true),
            (8, 16, true),
            Some((R::FragmentDuplicate, 0)),
        ),
        ((8, 16, true), (8, 8, true), Some((R::FragmentOverlap, 1))),
        ((8, 16, true), (16, 16, true), Some((R::FragmentOverlap, 1))),
        ((16, 16, true), (8, 16, true), Some((R::FragmentOverlap, 1))),
        ((16, 8, true), (8, 32, true), Some((R::FragmentOverlap, 1))),
        ((8, 16, true), (24, 8, true), None),
        ((24, 8, true), (8, 16, true), None),
        // Two ends; bytes beyond the end; an end before bytes that are there.
        (
            (8, 5, false),
            (8, 5, false),
            Some((R::FragmentDuplicate, 0)),
        ),
        (
            (8, 5, false),
            (16, 5, false),
            Some((R::FragmentMalformed, 1)),
        ),
        (
            (8, 5, false),
            (24, 8, true),
            Some((R::FragmentMalformed, 1)),
        ),
        ((8, 8, false), (8, 8, true), Some((R::FragmentMalformed, 1))),
        ((8, 8, true), (8, 8, false), Some((R::FragmentMalformed, 1))),
        (
            (24, 8, true),
            (8, 5, false),
            Some((R::FragmentMalformed, 1)),
        ),
    ] {
        let mut p = Parts::new(Config::default());
        let k = key(1, 1);
        assert_eq!(put(&mut p, k, a.0, a.1, a.2), Outcome::Held);
        let got = put(&mut p, k, b.0, b.1, b.2);
        assert_eq!(
            got,
            want.map_or(Outcome::Held, |(r, n)| Outcome::Dropped(r, n)),
            "{a:?} {b:?}"
        );
        if let Some((reason, 1)) = want {
            // The same reason until the deadline; then the identifier is free again.
            assert_eq!(put(&mut p, k, 0, 8, true), Outcome::Dropped(reason, 0));
            assert_eq!((p.held(), p.bytes(), p.datagrams()), (0, 0, 1));
            p.handle_timeout(T0 + Duration::from_secs(60));
            assert_eq!(
                (p.datagrams(), p.poll_event(), p.poll_timeout()),
                (0, None, None)
            );
            assert_eq!(put(&mut p, k, 0, 8, true), Outcome::Held);
        }
    }
    // The same place with other bytes is an overlap, not a duplicate.
    let mut p = Parts::new(Config::default());
    put(&mut p, key(1, 1), 8, 8, true);
    let got = p.insert(T0, key(1, 1), Place::at(8, true), bytes(9, 8), None);
    assert_eq!(got, Outcome::Dropped(R::FragmentOverlap, 1));
}

#[test]
fn time_runs_from_the_first_to_arrive() {
    let at = |s| T0 + Duration::from_secs(s);
    let mut p = Parts::new(Config::default());
    p.insert(
        at(0),
        key(1, 1),
        Place::at(800, true),
        bytes(800, 800),
        None,
    );
    p.insert(
        at(50),
        key(1, 1),
        Place::at(0, true),
        bytes(0, 800),
        Some("h"),
    );
    p.insert(at(10), key(1, 2), Place::at(8, true), bytes(8, 8), None);
    assert_eq!(p.poll_timeout(), Some(at(60)));
    p.handle_timeout(at(59));
    assert_eq!(p.poll_event(), None);
    p.handle_timeout(at(60));
    let event = p.poll_event().unwrap();
    assert_eq!(
        (event.key, event.head, event.fragments),
        (key(1, 1), Some("h"), 2)
    );
    assert_eq!(event.reason, DropReason::ReassemblyTimeout);
    assert_eq!(event.quote, bytes(0, QUOTE).to_bytes());
    assert_eq!(p.poll_timeout(), Some(at(70)));
    // A late driver: a fragment that comes after the deadline starts afresh.
    p.insert(
        at(71),
        key(1, 2),
        Place::at(0, true),
        bytes(0, 8),
        Some("h"),
    );
    let event = p.poll_event().unwrap();
    assert_eq!(
        (event.head, event.fragments, event.quote.len()),
        (None, 1, 0)
    );
    assert_eq!((p.held(), p.stats().timed_out), (1, 2));
}

#[test]
fn the_oldest_give_way_and_a_source_to_itself_first() {
    let config = Config {
        max_bytes: 10 * (FRAGMENT_OVERHEAD + 8),
        max_bytes_per_source: 4 * (FRAGMENT_OVERHEAD + 8),
        max_datagrams: 7,
        max_fragments: 3,
        ..Config::default()
    };
    let mut p = Parts::new(config);
    put(&mut p, key(9, 0), 8, 8, true);
    for id in 0..6 {
        assert_eq!(put(&mut p, key(1, id), 8, 8, true), Outcome::Held);
    }
    let evicted = |p: &mut Parts| -> Vec<Key> {
        core::iter::from_fn(|| p.poll_event())
            .map(|e| e.key)
            .collect()
    };
    assert_eq!(evicted(&mut p), [key(1, 0), key(1, 1)]);
    for id in 0..3 {
        put(&mut p, key(2, id), 8, 8, true);
    }
    assert_eq!(evicted(&mut p), [key(9, 0)]);
    assert_eq!((p.datagrams(), p.stats().evicted), (7, 3));
    // One datagram of too many pieces is poisoned.
    for start in [16, 24] {
        assert_eq!(put(&mut p, key(2, 2), start, 8, true), Outcome::Held);
    }
    assert_eq!(evicted(&mut p), [key(2, 0)]);
    let full = DropReason::ReassemblyFull;
    assert_eq!(
        put(&mut p, key(2, 2), 32, 8, true),
        Outcome::Dropped(full, 3)
    );
    // A datagram does not push itself out: the fragment is refused.
    let mut alone = Parts::new(config);
    put(&mut alone, key(1, 0), 8, 8, true);
    let refused = put(&mut alone, key(1, 0), 16, 800, true);
    assert_eq!(refused, Outcome::Dropped(full, 0));
    assert_eq!((alone.held(), alone.poll_event()), (1, None));
    let big = put(&mut p, key(3, 0), 8, 8000, true);
    assert_eq!(big, Outcome::Dropped(full, 0));
    assert_eq!(p.held(), 5);
}

#[test]
fn a_mark_of_congestion_is_not_lost() {
    const ECT1: u8 = 1;
    const ECT0: u8 = 2;
    let mixed = DropReason::FragmentEcnMixed;
    // The fields of three fragments; the datagram is marked, is not, or dies of the one that says
    // how many were held before it.
    for (ecn, want) in [
        ([NOT_ECT; 3], Ok(false)),
        ([ECT0; 3], Ok(false)),
        ([CE; 3], Ok(true)),
        ([ECT0, ECT1, ECT0], Ok(false)),
        ([ECT0, NOT_ECT, ECT0], Ok(false)),
        ([CE, ECT0, ECT0], Ok(true)),
        ([ECT0, CE, ECT1], Ok(true)),
        ([ECT0, ECT0, CE], Ok(true)),
        ([CE, NOT_ECT, CE], Err(1)),
        ([NOT_ECT, ECT0, CE], Err(2)),
        ([CE, ECT0, NOT_ECT], Err(2)),
    ] {
        let mut p = Parts::new(Config::default());
        let mut got = None;
        for (i, ecn) in [2, 0, 1].into_iter().zip(ecn) {
            let place = Place {
                ecn,
                ..Place::at(8 * i, i < 2)
            };
            let head = (i == 0).then_some("h");
            match p.insert(T0, key(1, 1), place, bytes(8 * i, 8), head) {
                Outcome::Held => {}
                Outcome::Complete { congestion, .. } => got = Some(Ok(congestion)),
                Outcome::Dropped(reason, released) => {
                    assert_eq!(reason, mixed);
                    got = got.or(Some(Err(released)));
                }
            }
        }
        assert_eq!(got, Some(want), "{ecn:?}");
        assert_eq!(p.held(), 0);
    }
}

#[test]
fn few_are_shared_and_the_rest_copied() {
    let config = Config {
        max_shared: 2,
        ..Config::default()
    };
    let mut p = Parts::new(config);
    put(&mut p, key(1, 0), 0, 8, true);
    for i in 1..5 {
        put(&mut p, key(1, 0), i * 1024, 1024, true);
    }
    assert_eq!((p.shared, p.stats().copied), (2, 3));
    p.handle_timeout(T0 + Duration::from_secs(61));
    assert_eq!(
        (p.shared, p.held(), p.bytes(), p.source_cost.len()),
        (0, 0, 0, 0)
    );
}

#[test]
fn unread_events_are_bounded_and_none_is_lost() {
    let mut p = Parts::new(Config {
        max_datagrams: 4,
        ..Config::default()
    });
    let (mut held, mut refused) = (0, 0);
    for id in 0..20 {
        match put(&mut p, key(1, id), 8, 8, true) {
            Outcome::Held => held += 1,
            other => {
                assert_eq!(other, Outcome::Dropped(DropReason::ReassemblyFull, 0));
                refused += 1;
            }
        }
    }
    assert_eq!((held, refused, p.held()), (8, 12, 4));
    let end = T0 + Duration::from_secs(99);
    p.handle_timeout(end);
    assert_eq!(p.held(), 4);
    let mut told = 0;
    while let Some(event) = p.poll_event() {
        told += event.fragments;
        p.handle_timeout(end);
    }
    assert_eq!((told, p.held()), (8, 0));
}

/// The obvious way: a byte map a datagram.
#[derive(Default)]
struct Plain {
    map: Vec<Option<u8>>,
    parts: Vec<(usize, usize, bool)>,
    dead: Option<DropReason>,
}

impl Plain {
    fn insert(
        &mut self,
        start: usize,
        more: bool,
        data: &[u8],
    ) -> Result<Option<Vec<u8>>, (DropReason, u32)> {
        if let Some(reason) = self.dead {
            return Err((reason, 0));
        }
        let end = start + data.len();
        let last = self.parts.iter().find(|p| !p.2).map(|p| p.1);
        let highest = self.parts.iter().map(|p| p.1).max().unwrap_or(0);
        let wrong = match (last, more) {
            (Some(last), true) => end >= last,
            (Some(last), false) => end != last,
            (None, true) => false,
            (None, false) => highest >= end,
        };
        self.map.resize(self.map.len().max(end), None);
        let mut place = self.map[start..end].iter().zip(data);
        let same = place.all(|(a, b)| *a == Some(*b));
        let is_there = |more| same && self.parts.contains(&(start, end, more));
        if is_there(more) {
            return Err((DropReason::FragmentDuplicate, 0));
        }
        let overlap = self.map[start..end].iter().any(Option::is_some);
        if wrong || overlap {
            let reason = match overlap && !is_there(!more) {
                true => DropReason::FragmentOverlap,
                false => DropReason::FragmentMalformed,
            };
            self.dead = Some(reason);
            return Err((reason, self.parts.len() as u32));
        }
        self.parts.push((start, end, more));
        for (place, byte) in self.map[start..end].iter_mut().zip(data) {
            *place = Some(*byte);
        }
        let whole = self.parts.iter().any(|p| !p.2) && self.map.iter().all(Option::is_some);
        Ok(whole.then(|| self.map.iter().flatten().copied().collect()))
    }
}

/// Cuts a datagram at random, then repeats, drops, shifts and shuffles what came of it.
fn fragmented(rng: &mut Rng) -> Vec<(usize, bool, Vec<u8>)> {
    let mut below = |n: u64| usize::try_from(rng.below(n)).unwrap();
    let total = 9 + below(400);
    let (mut cuts, mut start) = (vec![], 0);
    while start < total {
        let end = (start + 8 * (1 + below(8))).min(total);
        cuts.push((
            start,
            end < total,
            bytes(start, end - start).to_bytes().to_vec(),
        ));
        start = end;
    }
    for _ in 0..below(3) {
        let mut again = cuts[below(cuts.len() as u64)].clone();
        match below(12) {
            0 => again.0 += 8,
            1 => again.1 = !again.1 && again.2.len() % 8 == 0,
            2 => again.2[0] ^= 1,
            _ => {}
        }
        cuts.push(again);
    }
    for i in (1..cuts.len()).rev() {
        cuts.swap(i, below(i as u64 + 1));
    }
    if below(10) == 0 {
        cuts.pop();
    }
    cuts
}

#[test]
fn agrees_with_a_byte_map() {
    let mut rng = Rng::from_seed(5);
    let (mut complete, mut dead) = (0, 0);
    for round in 0..3000u16 {
        let mut p = Parts::new(Config {
            max_shared: 3,
            share_from: 16,
            ..Config::default()
        });
        // Two datagrams at once, so that they could get mixed up.
        let mut flows = [
            (key(1, round), fragmented(&mut rng), Plain::default()),
            (key(2, round), fragmented(&mut rng), Plain::default()),
        ];
        loop {
            let side = usize::from(rng.below(2) == 1);
            let side = if flows[side].1.is_empty() {
                1 - side
            } else {
                side
            };
            let (k, cuts, plain) = &mut flows[side];
            let Some((start, more, data)) = cuts.pop() else {
                break;
            };
            if start == 0 && !more {
                continue;
            }
            let payload = Payload::from(Bytes::from(data.clone()));
            let got = p.insert(
                T0,
                *k,
                Place::at(start, more),
                payload,
                (start == 0).then_some("h"),
            );
            match (plain.insert(start, more, &data), got) {
                (Ok(None), Outcome::Held) => {}
                (Err((reason, n)), Outcome::Dropped(r, m)) => {
                    assert_eq!((reason, n), (r, m));
                    dead += n;
                }
                (
                    Ok(Some(whole)),
                    Outcome::Complete {
                        payload,
                        fragments,
                        largest,
                        head: "h",
                        congestion: false,
                    },
                ) => {
                    assert_eq!(payload.to_bytes(), whole);
                    assert_eq!(fragments as usize, plain.parts.len());
                    assert_eq!(Some(largest), plain.parts.iter().map(|p| p.1 - p.0).max());
                    *plain = Plain::default();
                    complete += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(
            p.held(),
            flows
                .iter()
                .filter(|f| f.2.dead.is_none())
                .map(|f| f.2.parts.len())
                .sum()
        );
    }
    assert!(complete > 3000 && dead > 1000, "{complete} {dead}");
}

#[test]
fn every_fragment_is_accounted_for_under_a_flood() {
    let config = Config {
        max_bytes: 40_000,
        max_bytes_per_source: 9_000,
        max_datagrams: 50,
        max_fragments: 6,
        max_shared: 5,
        ..Config::default()
    };
    let mut rng = Rng::from_seed(11);
    let mut p = Parts::new(config);
    let (mut given, mut gone, mut now) = (0u64, 0u64, T0);
    for step in 0..60_000u64 {
        // By turns a flood, and so few that time is what ends them.
        let calm = step / 5000 % 2;
        let n = |rng: &mut Rng, below| usize::try_from(rng.below(below)).unwrap();
        now += Duration::from_millis(rng.below(200 + 6000 * calm));
        let k = key(n(&mut rng, 12) as u8, n(&mut rng, 9) as u16);
        let (start, len) = match rng.below(5) {
            0 => (8 * n(&mut rng, 12), n(&mut rng, 2000)),
            _ => (64 * n(&mut rng, 3), 64),
        };
        let more = rng.below(4) != 0;
        given += 1;
        let head = (start == 0).then_some("h");
        match p.insert(now, k, Place::at(start, more), bytes(start, len), head) {
            Outcome::Held => {}
            Outcome::Complete { fragments, .. } => gone += u64::from(fragments),
            Outcome::Dropped(_, released) => gone += 1 + u64::from(released),
        }
        if rng.below(4) == 0 {
            gone += core::iter::from_fn(|| p.poll_event())
                .map(|e| u64::from(e.fragments))
                .sum::<u64>();
        }
        let told: u64 = p.events.iter().map(|e| u64::from(e.fragments)).sum();
        assert_eq!(given, gone + told + p.held() as u64);
        assert!(p.bytes() <= config.max_bytes && p.datagrams() <= config.max_datagrams);
        assert!(p.shared <= config.max_shared && p.source_cost.values().all(|c| *c <= 9_000));
        assert_eq!(p.order.len(), p.datagrams.len());
        let live = p.datagrams.values().filter(|d| d.poison.is_none());
        assert_eq!(p.by_source.len(), live.count());
    }
    let s = p.stats();
    assert!(
        s.completed > 100 && s.poisoned > 100 && s.timed_out > 100 && s.evicted > 100,
        "{s:?}"
    );
}
