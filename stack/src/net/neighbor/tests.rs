//! The neighbour cache, told in tables, timelines and floods.

use super::*;
use std::string::String;
use std::{format, vec};

const OLD: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const NEW: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const THIRD: MacAddr = MacAddr([2, 0, 0, 0, 0, 3]);
const REPLY: Claim = Claim::Reply { overrides: true };
const MEEK: Claim = Claim::Reply { overrides: false };

fn ip(n: u32) -> IpAddr {
    IpAddr::V4(core::net::Ipv4Addr::from_bits(0x0a00_0000 + n))
}

fn ms(n: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(n)
}

fn packet(n: u32) -> Frame {
    Frame::copy_from(&n.to_be_bytes())
}

fn number(frame: &Frame) -> u32 {
    u32::from_be_bytes(frame.to_bytes()[..4].try_into().unwrap())
}

fn cache() -> Cache {
    Cache::new(Config::default(), Rng::from_seed(1))
}

fn state(c: &Cache, n: u32) -> Option<State> {
    c.neighbor(ip(n)).map(|e| e.state)
}

fn mac(c: &Cache, n: u32) -> Option<MacAddr> {
    c.neighbor(ip(n)).and_then(|e| e.mac)
}

/// What the cache sends at `now`, in short.
fn sent(c: &mut Cache, now: Instant) -> Vec<String> {
    let mut out = vec![];
    while let Some(action) = c.poll_transmit(now) {
        out.push(match action {
            Action::Solicit {
                target,
                to: None,
                attempt,
                ..
            } => format!("ask {target} #{attempt}"),
            Action::Solicit {
                target,
                to: Some(to),
                attempt,
                ..
            } => {
                format!("probe {target} at {to} #{attempt}")
            }
            Action::Packet { mac, frame, .. } => format!("send {} to {mac}", number(&frame)),
            Action::Failed {
                reason, packets, ..
            } => {
                format!(
                    "{reason} {:?}",
                    packets.iter().map(number).collect::<Vec<_>>()
                )
            }
        });
    }
    out
}

/// Runs to `until`, event by event: each with its time in milliseconds.
fn run(c: &mut Cache, until: Instant) -> Vec<(u64, String)> {
    let mut log = vec![];
    while let Some(now) = c.poll_timeout().filter(|at| *at <= until) {
        c.handle_timeout(now);
        let at = now.as_nanos() / 1_000_000;
        log.extend(sent(c, now).into_iter().map(|s| (at, s)));
    }
    log
}

/// A cache whose neighbour 1 is in `want` at OLD, confirmed where that state can be, at time zero
/// of the returned clock.
fn in_state(want: State, confirmed: bool) -> (Cache, Instant) {
    let mut c = cache();
    let mut now = Instant::ZERO;
    match want {
        State::Permanent => c.set_static(now, ip(1), OLD).unwrap(),
        State::Incomplete | State::Failed => {
            let _ = c.resolve(now, ip(1), packet(0), Origin::Own);
            sent(&mut c, now);
            if want == State::Failed {
                now = ms(3000);
                run(&mut c, now);
            }
        }
        _ if confirmed => {
            let _ = c.resolve(now, ip(1), packet(0), Origin::Own);
            sent(&mut c, now);
            c.handle_claim(now, ip(1), OLD, REPLY).unwrap();
            sent(&mut c, now);
        }
        _ => c.handle_claim(now, ip(1), OLD, Claim::Request).unwrap(),
    }
    if matches!(want, State::Stale | State::Delay | State::Probe) {
        now = ms(60_000);
        c.handle_timeout(now);
    }
    if matches!(want, State::Delay | State::Probe) {
        assert_eq!(c.lookup(now, ip(1)), Lookup::Mac(OLD));
    }
    if want == State::Probe {
        now = ms(65_000);
        c.handle_timeout(now);
        assert_eq!(
            sent(&mut c, now),
            ["probe 10.0.0.1 at 02:00:00:00:00:01 #1"]
        );
    }
    assert_eq!(state(&c, 1), Some(want));
    (c, now)
}

#[test]
fn claims_against_states() {
    use State::*;
    let ok = Ok(());
    let kept = Err(DropReason::NeighborProtected);
    let other = Claim::Announcement { overrides: true };
    let ask = Claim::Request;
    // state, confirmed, claim, its MAC -> state, MAC, result. RFC 4861 §7.2.5 and appendix C,
    // but for confirmed neighbours, which are probed at OLD first.
    let table = [
        (Permanent, true, REPLY, OLD, Permanent, OLD, ok),
        (Permanent, true, REPLY, NEW, Permanent, OLD, kept),
        (Permanent, true, ask, NEW, Permanent, OLD, kept),
        (Incomplete, false, REPLY, NEW, Reachable, NEW, ok),
        (Incomplete, false, MEEK, NEW, Reachable, NEW, ok),
        (Incomplete, false, ask, NEW, Delay, NEW, ok),
        (Incomplete, false, other, NEW, Delay, NEW, ok),
        (Failed, false, REPLY, NEW, Stale, NEW, ok),
        (Failed, false, ask, NEW, Stale, NEW, ok),
        (Failed, false, other, NEW, Stale, NEW, ok),
        (Reachable, true, REPLY, OLD, Reachable, OLD, ok),
        (Reachable, true, ask, OLD, Reachable, OLD, ok),
        (Reachable, true, MEEK, NEW, Stale, OLD, kept),
        (Reachable, true, REPLY, NEW, Probe, OLD, kept),
        (Reachable, true, ask, NEW, Probe, OLD, kept),
        (Reachable, true, other, NEW, Probe, OLD, kept),
        (Stale, true, REPLY, OLD, Stale, OLD, ok),
        (Stale, true, ask, OLD, Stale, OLD, ok),
        (Stale, true, MEEK, NEW, Stale, OLD, kept),
        (Stale, true, REPLY, NEW, Probe, OLD, kept),
        (Stale, true, ask, NEW, Probe, OLD, kept),
        (Stale, true, other, NEW, Probe, OLD, kept),
        (Stale, false, ask, NEW, Stale, NEW, ok),
        (Stale, false, other, NEW, Stale, NEW, ok),
        (Delay, true, other, OLD, Delay, OLD, ok),
        (Delay, true, REPLY, OLD, Delay, OLD, ok),
        (Delay, true, MEEK, NEW, Delay, OLD, kept),
        (Delay, true, REPLY, NEW, Probe, OLD, kept),
        (Delay, false, other, NEW, Probe, OLD, kept),
        (Probe, true, REPLY, OLD, Reachable, OLD, ok),
        (Probe, true, MEEK, OLD, Reachable, OLD, ok),
        (Probe, true, ask, OLD, Probe, OLD, ok),
        (Probe, true, other, OLD, Probe, OLD, ok),
        (Probe, true, MEEK, NEW, Probe, OLD, kept),
        (Probe, true, REPLY, NEW, Probe, OLD, kept),
        (Probe, false, REPLY, NEW, Probe, OLD, kept),
        (Probe, false, other, NEW, Probe, OLD, kept),
    ];
    for (i, (from, confirmed, claim, claimed, to, mac_after, result)) in
        table.into_iter().enumerate()
    {
        let (mut c, now) = in_state(from, confirmed);
        let at = format!("row {i}: {from:?} {claim:?} {claimed}");
        assert_eq!(c.handle_claim(now, ip(1), claimed, claim), result, "{at}");
        assert_eq!(state(&c, 1), Some(to), "{at}");
        assert_eq!(mac(&c, 1), Some(mac_after), "{at}");
        check(&c);
    }
}

#[test]
fn strangers_are_learnt_from_requests_only() {
    let mut c = cache();
    for claim in [REPLY, MEEK, Claim::Announcement { overrides: true }] {
        let refused = c.handle_claim(Instant::ZERO, ip(1), OLD, claim);
        assert_eq!(refused, Err(DropReason::ArpUnsolicited));
    }
    for bad in [
        MacAddr::ZERO,
        MacAddr::BROADCAST,
        MacAddr([1, 0, 0x5e, 0, 0, 1]),
    ] {
        let refused = c.handle_claim(Instant::ZERO, ip(1), bad, Claim::Request);
        assert_eq!(refused, Err(DropReason::ArpBadSender));
    }
    assert!(c.is_empty());
    c.handle_claim(Instant::ZERO, ip(1), OLD, Claim::Request)
        .unwrap();
    assert_eq!(state(&c, 1), Some(State::Stale));
    assert_eq!(c.poll_timeout(), c.oldest_stale().map(|(at, _)| at));
}

#[test]
fn the_answer_to_our_question_beats_hearsay() {
    let (mut c, now) = in_state(State::Incomplete, false);
    c.handle_claim(now, ip(1), NEW, Claim::Announcement { overrides: true })
        .unwrap();
    assert_eq!((state(&c, 1), mac(&c, 1)), (Some(State::Delay), Some(NEW)));
    c.handle_claim(now, ip(1), OLD, REPLY).unwrap();
    assert_eq!(
        (state(&c, 1), mac(&c, 1)),
        (Some(State::Reachable), Some(OLD))
    );
    // One question, one answer: the next reply is a contradiction.
    assert!(c.handle_claim(now, ip(1), NEW, REPLY).is_err());
    assert_eq!(mac(&c, 1), Some(OLD));
}

#[test]
fn asks_thrice_a_second_apart_then_fails_and_refuses() {
    let mut c = cache();
    for n in 0..3 {
        assert!(matches!(
            c.resolve(ms(0), ip(1), packet(n), Origin::Own),
            Resolution::Parked { .. }
        ));
    }
    assert_eq!(sent(&mut c, ms(0)), ["ask 10.0.0.1 #1"]);
    let log = run(&mut c, ms(3000));
    let want = [
        (1000, "ask 10.0.0.1 #2"),
        (2000, "ask 10.0.0.1 #3"),
        (3000, "neighbor-unreachable [0, 1, 2]"),
    ];
    assert_eq!(log, want.map(|(at, s)| (at, String::from(s))));
    let refused = c.resolve(ms(5999), ip(1), packet(3), Origin::Own);
    assert_eq!(
        refused,
        Resolution::Dropped(DropReason::NeighborUnreachable, packet(3))
    );
    assert_eq!(sent(&mut c, ms(5999)), [""; 0]);
    assert_eq!(c.poll_timeout(), Some(ms(6000)));
    // A driver that is late with the timeout does not keep the address refused.
    assert!(matches!(
        c.clone().resolve(ms(6000), ip(1), packet(4), Origin::Own),
        Resolution::Parked { .. }
    ));
    c.handle_timeout(ms(6000));
    assert!(c.is_empty());
    assert_eq!(c.stats().parked_bytes, 0);
}

#[test]
fn reachable_ends_after_half_to_one_and_a_half_base() {
    let mut seen = vec![];
    for seed in 0..200 {
        let mut c = Cache::new(Config::default(), Rng::from_seed(seed));
        let _ = c.resolve(ms(0), ip(1), packet(0), Origin::Own);
        sent(&mut c, ms(0));
        c.handle_claim(ms(0), ip(1), OLD, REPLY).unwrap();
        sent(&mut c, ms(0));
        let end = c.poll_timeout().unwrap();
        assert!((ms(15_000)..ms(45_000)).contains(&end), "{end}");
        c.handle_timeout(end - Duration::from_nanos(1));
        assert_eq!(state(&c, 1), Some(State::Reachable));
        c.handle_timeout(end);
        assert_eq!(state(&c, 1), Some(State::Stale));
        assert_eq!(c.poll_timeout(), c.oldest_stale().map(|(at, _)| at));
        seen.push(end);
    }
    assert!(*seen.iter().min().unwrap() < ms(18_000));
    assert!(*seen.iter().max().unwrap() > ms(42_000));
}

#[test]
fn a_stale_neighbour_in_use_is_delayed_probed_and_deleted() {
    let (mut c, now) = in_state(State::Stale, true);
    assert_eq!(c.poll_timeout(), c.oldest_stale().map(|(at, _)| at));
    assert_eq!(
        c.resolve(now, ip(1), packet(7), Origin::Own),
        Resolution::Send(OLD, packet(7))
    );
    let log = run(&mut c, ms(100_000));
    let want = [
        (65_000, "probe 10.0.0.1 at 02:00:00:00:00:01 #1"),
        (66_000, "probe 10.0.0.1 at 02:00:00:00:00:01 #2"),
        (67_000, "probe 10.0.0.1 at 02:00:00:00:00:01 #3"),
        (68_000, "neighbor-unreachable []"),
    ];
    assert_eq!(log, want.map(|(at, s)| (at, String::from(s))));
    assert!(
        c.is_empty(),
        "deleted, so that the next packet asks everyone"
    );
    // RFC 4861 §7.3.3: packets go on to the old MAC meanwhile.
    let (mut c, now) = in_state(State::Probe, true);
    assert_eq!(c.lookup(now, ip(1)), Lookup::Mac(OLD));
    run(&mut c, ms(67_999));
    assert_eq!(state(&c, 1), Some(State::Probe));
    run(&mut c, ms(68_000));
    assert_eq!(state(&c, 1), None);
}

#[test]
fn stale_neighbours_are_forgotten_together() {
    let config = Config {
        stale_time: Duration::from_secs(160),
        ..Config::default()
    };
    let mut c = Cache::new(config, Rng::from_seed(1));
    c.set_static(ms(0), ip(99), OLD).unwrap();
    // Heard of within nine seconds; then one a while later, and one that is used.
    for n in 0..10 {
        c.handle_claim(ms(1 + u64::from(n) * 1000), ip(n), OLD, Claim::Request)
            .unwrap();
    }
    c.handle_claim(ms(50_000), ip(10), OLD, Claim::Request)
        .unwrap();
    c.confirm(ms(9_001), ip(9));
    let mut wakes = vec![];
    while let Some(at) = c.poll_timeout() {
        let before = c.stats().aged;
        c.handle_timeout(at);
        if c.stats().aged > before {
            wakes.push((at.as_nanos() / 1_000_000, c.stats().aged));
        }
    }
    // The one that was used was REACHABLE for half a minute first.
    assert_eq!(wakes, [(170_000, 9), (200_000, 10), (210_000, 11)]);
    assert_eq!((c.len(), state(&c, 99)), (1, Some(State::Permanent)));
    assert_eq!(c.stats().entries.stale, 0);
}

#[test]
fn hints_confirm_without_probes() {
    for from in [State::Stale, State::Delay, State::Probe] {
        let (mut c, now) = in_state(from, true);
        c.confirm(now, ip(1));
        assert_eq!(state(&c, 1), Some(State::Reachable), "{from:?}");
    }
    for from in [State::Incomplete, State::Failed, State::Permanent] {
        let (mut c, now) = in_state(from, false);
        c.confirm(now, ip(1));
        assert_eq!(state(&c, 1), Some(from));
    }
    // A hint moves the end of REACHABLE; the early timer changes nothing.
    let (mut c, _) = in_state(State::Reachable, true);
    let first = c.poll_timeout().unwrap();
    c.confirm(ms(10_000), ip(1));
    assert_eq!(c.poll_timeout(), Some(first));
    c.handle_timeout(first);
    assert_eq!(state(&c, 1), Some(State::Reachable));
    assert_eq!(c.poll_timeout(), Some(first + Duration::from_secs(10)));
    c.handle_timeout(first + Duration::from_secs(10));
    assert_eq!(state(&c, 1), Some(State::Stale));
    // A hint settles a dispute: what we send to the known MAC arrives.
    let (mut c, now) = in_state(State::Reachable, true);
    assert!(c.handle_claim(now, ip(1), NEW, REPLY).is_err());
    c.confirm(now, ip(1));
    assert_eq!(c.neighbor(ip(1)).unwrap().rival, None);
    assert_eq!(c.stats().defended, 1);
}

#[test]
fn a_poisoned_reply_does_not_replace_a_neighbour_that_answers() {
    let (mut c, _) = in_state(State::Reachable, true);
    // Every claim there is, a thousand times a second, for a minute, while OLD answers probes.
    let mut probes = vec![];
    for t in 1..60_000 {
        let now = ms(t);
        c.handle_timeout(now);
        for claim in [
            REPLY,
            Claim::Request,
            Claim::Announcement { overrides: true },
        ] {
            assert_eq!(
                c.handle_claim(now, ip(1), NEW, claim),
                Err(DropReason::NeighborProtected)
            );
        }
        assert_eq!(c.lookup(now, ip(1)), Lookup::Mac(OLD));
        while let Some(action) = c.poll_transmit(now) {
            let Action::Solicit { to, .. } = action else {
                panic!("{action:?}")
            };
            assert_eq!(to, Some(OLD));
            probes.push(now);
            c.handle_claim(now, ip(1), OLD, REPLY).unwrap();
        }
    }
    assert!(probes.len() > 50);
    assert!(
        probes
            .windows(2)
            .all(|w| w[1] - w[0] >= Duration::from_secs(1))
    );
    assert_eq!(c.stats().replaced, 0);
}

#[test]
fn a_rival_gets_in_only_after_three_unanswered_probes() {
    let (mut c, _) = in_state(State::Reachable, true);
    let start = ms(10_000);
    assert!(
        c.handle_claim(start, ip(1), NEW, Claim::Announcement { overrides: true })
            .is_err()
    );
    assert!(
        c.handle_claim(start, ip(1), THIRD, Claim::Announcement { overrides: true })
            .is_err()
    );
    // Without probes sent, time alone proves nothing.
    let mut unsent = c.clone();
    unsent.handle_timeout(ms(50_000));
    assert_eq!(mac(&unsent, 1), Some(OLD));
    assert_eq!(
        sent(&mut c, start),
        ["probe 10.0.0.1 at 02:00:00:00:00:01 #1"]
    );
    assert_eq!(run(&mut c, ms(12_999)).len(), 2);
    assert_eq!(mac(&c, 1), Some(OLD));
    run(&mut c, ms(13_000));
    assert_eq!(mac(&c, 1), Some(NEW), "the first rival, not the last");
    assert_eq!(state(&c, 1), Some(State::Stale));
    assert_eq!((c.stats().conflicts, c.stats().replaced), (2, 1));
    assert!(!c.neighbor(ip(1)).unwrap().confirmed);
    // It is hearsay until verified: use probes it, and its silence deletes it.
    assert_eq!(c.lookup(ms(13_000), ip(1)), Lookup::Mac(NEW));
    run(&mut c, ms(30_000));
    assert!(c.is_empty());
}

#[test]
fn a_flood_of_claims_fills_spare_room_only() {
    let mut c = cache();
    let confirmed = 900;
    for n in 0..confirmed {
        let now = ms(u64::from(n) * 20);
        let _ = c.resolve(now, ip(n), packet(n), Origin::Own);
        while c.poll_transmit(now).is_some() {}
        c.handle_claim(now, ip(n), OLD, REPLY).unwrap();
        while c.poll_transmit(now).is_some() {}
    }
    c.set_static(ms(0), ip(5000), THIRD).unwrap();
    let now = ms(60_000);
    c.handle_timeout(now);
    assert_eq!(c.stats().entries.stale, u64::from(confirmed));
    for n in 0..100_000 {
        let claim = [
            Claim::Request,
            Claim::Announcement { overrides: true },
            REPLY,
        ][n as usize % 3];
        let _ = c.handle_claim(now, ip(10_000 + n), NEW, claim);
        let _ = c.handle_claim(now, ip(n % confirmed), NEW, claim);
        assert!(c.len() <= 1024);
    }
    for n in 0..confirmed {
        let e = c.neighbor(ip(n)).unwrap();
        assert!(e.confirmed && e.mac == Some(OLD), "{e:?}");
    }
    assert_eq!(mac(&c, 5000), Some(THIRD));
    assert!(c.slots.len() <= 1024 && c.stats().evictions > 30_000);
    check(&c);
    // Full of confirmed neighbours, long unused: our own traffic may evict them, claims may not.
    let mut c = Cache::new(
        Config {
            max_entries: 3,
            ..Config::default()
        },
        Rng::from_seed(1),
    );
    for n in 0..3 {
        c.handle_claim(ms(0), ip(n), OLD, Claim::Request).unwrap();
        c.confirm(ms(0), ip(n));
    }
    c.handle_timeout(now);
    let refused = c.handle_claim(now, ip(9), NEW, Claim::Request);
    assert_eq!(refused, Err(DropReason::NeighborCacheFull));
    assert!(matches!(
        c.resolve(now, ip(9), packet(9), Origin::Own),
        Resolution::Parked { .. }
    ));
    assert_eq!((c.len(), c.stats().evictions), (3, 1));
    // With nothing left that a claim may evict, it is refused.
    let full = Config {
        max_entries: 2,
        ..Config::default()
    };
    let mut c = Cache::new(full, Rng::from_seed(1));
    for n in 0..2 {
        c.set_static(now, ip(n), OLD).unwrap();
    }
    let refused = Err(DropReason::NeighborCacheFull);
    assert_eq!(c.handle_claim(now, ip(3), NEW, Claim::Request), refused);
    assert_eq!(c.set_static(now, ip(3), NEW), refused);
    assert_eq!(
        c.resolve(now, ip(3), packet(1), Origin::Own),
        Resolution::Dropped(DropReason::NeighborCacheFull, packet(1))
    );
    assert_eq!(c.stats().refused, 3);
}

#[test]
fn a_scan_through_us_displaces_itself() {
    let mut c = cache();
    for n in 0..700 {
        c.handle_claim(ms(0), ip(n), OLD, Claim::Request).unwrap();
        c.confirm(ms(0), ip(n));
    }
    let (mut asked, mut failed, mut parked) = (0, 0, 0);
    for n in 0..100_000_u32 {
        let now = ms(u64::from(n / 10));
        c.handle_timeout(now);
        match c.resolve(now, ip(10_000 + n), packet(n), Origin::Forwarded) {
            Resolution::Parked { displaced } => {
                assert!(displaced.is_empty());
                parked += 1;
            }
            other => panic!("{other:?}"),
        }
        while let Some(action) = c.poll_transmit(now) {
            match action {
                Action::Solicit { .. } => asked += 1,
                Action::Failed { packets, .. } => failed += packets.len(),
                Action::Packet { .. } => panic!("nobody answers"),
            }
        }
        assert!(c.stats().entries.incomplete <= 256 && c.len() <= 1024);
        assert!(c.wanting.len() <= 1024 && c.stats().parked_bytes <= 4 << 20);
    }
    // Ten seconds at 256 a second, after a burst of 128.
    assert!((2600..=128 + 2560).contains(&asked), "{asked}");
    assert_eq!(
        failed + usize::try_from(c.stats().entries.incomplete).unwrap(),
        parked
    );
    for n in 0..700 {
        assert_eq!(state(&c, n), Some(State::Reachable));
    }
    check(&c);
}

#[test]
fn a_scan_through_us_does_not_keep_us_from_asking() {
    let mut c = cache();
    let flood = |c: &mut Cache, from: u32, now| {
        for n in from..from + 2000 {
            let _ = c.resolve(now, ip(n), packet(n), Origin::Forwarded);
        }
    };
    flood(&mut c, 10_000, ms(0));
    while c.poll_transmit(ms(0)).is_some() {}
    // One that the scan asked for first, and one that it did not.
    flood(&mut c, 20_000, ms(1));
    for who in [21_999, 1] {
        let _ = c.resolve(ms(1), ip(who), packet(who), Origin::Own);
    }
    check(&c);
    flood(&mut c, 30_000, ms(1));
    let mut asked = vec![];
    for t in 1..20 {
        while let Some(action) = c.poll_transmit(ms(t)) {
            if let Action::Solicit { target, .. } = action {
                asked.push(target);
            }
        }
    }
    assert_eq!(asked[..2], [ip(21_999), ip(1)]);
    c.handle_claim(ms(20), ip(1), OLD, REPLY).unwrap();
    assert_eq!(state(&c, 1), Some(State::Reachable));
    // Where all that is under way is our own, what is forwarded is refused, and ours is not.
    let mut c = cache();
    for n in 0..256 {
        let _ = c.resolve(ms(0), ip(n), packet(n), Origin::Own);
    }
    assert_eq!(
        c.resolve(ms(0), ip(999), packet(9), Origin::Forwarded),
        Resolution::Dropped(DropReason::NeighborCacheFull, packet(9))
    );
    let own = c.resolve(ms(0), ip(999), packet(9), Origin::Own);
    assert!(matches!(own, Resolution::Parked { .. }));
    assert_eq!(sent(&mut c, ms(0))[0], "neighbor-cache-full [0]");
    check(&c);
}

#[test]
fn parked_packets_leave_in_order_and_newer_ones_behind_them() {
    let mut c = cache();
    for n in 0..5 {
        let _ = c.resolve(ms(0), ip(1), packet(n), Origin::Own);
    }
    let _ = c.resolve(ms(0), ip(2), packet(50), Origin::Own);
    sent(&mut c, ms(0));
    c.handle_claim(ms(1), ip(1), OLD, REPLY).unwrap();
    assert_eq!(
        c.lookup(ms(1), ip(1)),
        Lookup::Unresolved,
        "five wait before it"
    );
    assert!(matches!(
        c.resolve(ms(1), ip(1), packet(5), Origin::Own),
        Resolution::Parked { .. }
    ));
    let log = sent(&mut c, ms(1));
    let want: Vec<_> = (0..6).map(|n| format!("send {n} to {OLD}")).collect();
    assert_eq!(log, want);
    assert_eq!(
        c.resolve(ms(1), ip(1), packet(6), Origin::Own),
        Resolution::Send(OLD, packet(6))
    );
    check(&c);
    // What waits to be pulled is bounded too.
    let config = Config {
        max_parked_per_entry: 2,
        ..Config::default()
    };
    let mut c = Cache::new(config, Rng::from_seed(1));
    let _ = c.resolve(ms(0), ip(1), packet(0), Origin::Own);
    c.handle_claim(ms(0), ip(1), OLD, Claim::Announcement { overrides: true })
        .unwrap();
    let _ = c.resolve(ms(0), ip(1), packet(1), Origin::Own);
    assert_eq!(
        c.resolve(ms(0), ip(1), packet(2), Origin::Own),
        Resolution::Dropped(DropReason::NeighborQueueFull, packet(2))
    );
    assert_eq!(
        sent(&mut c, ms(0)),
        [0, 1].map(|n| format!("send {n} to {OLD}"))
    );
}

#[test]
fn the_newest_packets_are_kept_within_every_limit() {
    let one = charge(&packet(0));
    let limits = [
        Config {
            max_parked_per_entry: 3,
            ..Config::default()
        },
        Config {
            max_parked_bytes: 3 * one,
            ..Config::default()
        },
        Config {
            max_parked_total: 3 * one,
            ..Config::default()
        },
    ];
    for config in limits {
        let mut c = Cache::new(config.clone(), Rng::from_seed(1));
        let mut gone = vec![];
        for n in 0..10 {
            match c.resolve(ms(0), ip(1), packet(n), Origin::Own) {
                Resolution::Parked { displaced } => gone.extend(displaced.iter().map(number)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(gone, [0, 1, 2, 3, 4, 5, 6], "{config:?}");
        assert_eq!(c.stats().parked_drops, 7);
        c.handle_claim(ms(0), ip(1), OLD, Claim::Announcement { overrides: true })
            .unwrap();
        let log = sent(&mut c, ms(0));
        assert_eq!(log, [7, 8, 9].map(|n| format!("send {n} to {OLD}")));
        assert_eq!(c.stats().parked_bytes, 0);
    }
    // What others hold is not taken away from them.
    let total = Config {
        max_parked_total: one,
        ..Config::default()
    };
    let mut c = Cache::new(total, Rng::from_seed(1));
    let _ = c.resolve(ms(0), ip(1), packet(1), Origin::Own);
    let refused = c.resolve(ms(0), ip(2), packet(2), Origin::Own);
    assert_eq!(
        refused,
        Resolution::Dropped(DropReason::NeighborQueueFull, packet(2))
    );
}

#[test]
fn static_entries_stay_and_flush_spares_them() {
    let mut c = cache();
    let _ = c.resolve(ms(0), ip(1), packet(1), Origin::Own);
    c.set_static(ms(0), ip(1), OLD).unwrap();
    assert_eq!(sent(&mut c, ms(0)), [format!("send 1 to {OLD}")]);
    let _ = c.resolve(ms(0), ip(3), packet(3), Origin::Own);
    c.handle_claim(ms(0), ip(2), OLD, Claim::Request).unwrap();
    let order: Vec<_> = c.neighbors().iter().map(|n| n.ip).collect();
    assert_eq!(order, [ip(1), ip(2), ip(3)]);
    c.flush(DropReason::InterfaceDown);
    assert_eq!(c.neighbors().len(), 1);
    assert_eq!(sent(&mut c, ms(0)), ["interface-down [3]"]);
    assert_eq!(c.poll_timeout(), None);
    assert!(c.remove(ip(1)) && !c.remove(ip(1)) && c.is_empty());
    // The slot is used again; the last hit must not answer for it.
    c.set_static(ms(0), ip(9), NEW).unwrap();
    assert_eq!(c.lookup(ms(0), ip(1)), Lookup::Unresolved);
    assert_eq!(c.lookup(ms(0), ip(9)), Lookup::Mac(NEW));
    check(&c);
}

#[test]
fn v4_and_v6_share_the_cache() {
    let v6: IpAddr = "fe80::1".parse().unwrap();
    let mut c = cache();
    let _ = c.resolve(ms(0), v6, packet(1), Origin::Own);
    assert_eq!(sent(&mut c, ms(0)), ["ask fe80::1 #1"]);
    c.handle_claim(ms(0), v6, OLD, MEEK).unwrap();
    assert_eq!(sent(&mut c, ms(0)), [format!("send 1 to {OLD}")]);
}

/// When something next happens, found the slow way.
fn naive_timeout(c: &Cache) -> Option<Instant> {
    let config = &c.config;
    let each = c.slots.iter().flatten().map(|e| match e.state {
        State::Permanent => None,
        State::Stale => Some(c.stale_until(e.since)),
        State::Reachable | State::Failed => Some(e.until),
        State::Delay => Some(e.since + config.delay_first_probe),
        State::Incomplete | State::Probe if e.want.is_some() => c.bucket.ready_at(Instant::ZERO),
        State::Incomplete | State::Probe => e.last_solicit.map(|at| at + config.retrans_timer),
    });
    each.flatten().min()
}

/// Every list against a walk over all entries.
fn check(c: &Cache) {
    let entries = || {
        c.slots
            .iter()
            .enumerate()
            .filter_map(|(i, e)| Some((i, e.as_ref()?)))
    };
    let mut census = Census::default();
    let mut bytes = c.ready.iter().map(|r| charge(&r.frame)).sum::<usize>()
        + c.failures.iter().map(|f| f.bytes).sum::<usize>();
    for (slot, e) in entries() {
        *census.of(e.state) += 1;
        assert_eq!(c.index.get(&e.ip), Some(&slot));
        assert_eq!(
            e.timer.is_some(),
            e.timer.is_some_and(|at| c.timers.contains(&(at, slot)))
        );
        let idle = e.idle.map(|class| (class, e.since, slot));
        assert_eq!(
            idle.is_some(),
            idle.is_some_and(|key| c.idle.contains(&key))
        );
        let want = e.want.map(|(m, o)| (m, o, slot));
        assert_eq!(
            want.is_some(),
            want.is_some_and(|key| c.wanting.contains(&key))
        );
        if e.state == State::Incomplete {
            let own = e.origin == Origin::Own;
            assert_eq!(e.idle == Some(Class::IncompleteOwn), own);
            assert!(e.want.is_none_or(|(rank, _)| (rank == Rank::Own) == own));
        }
        let charged = e.parked.iter().map(charge).sum::<usize>();
        assert_eq!(charged, e.parked_bytes);
        assert!(e.parked.is_empty() || e.state == State::Incomplete, "{e:?}");
        bytes += charged;
    }
    assert_eq!(census, c.stats().entries);
    assert_eq!(bytes, c.parked_bytes);
    assert_eq!(entries().count(), c.index.len());
    assert_eq!(
        c.timers.len(),
        entries().filter(|(_, e)| e.timer.is_some()).count()
    );
    assert_eq!(
        c.idle.len(),
        entries().filter(|(_, e)| e.idle.is_some()).count()
    );
    assert_eq!(
        c.wanting.len(),
        entries().filter(|(_, e)| e.want.is_some()).count()
    );
    if let Some((ip, slot)) = c.last {
        assert_eq!(c.index.get(&ip), Some(&slot));
    }
}

/// Random calls; gives what was sent, and checks each step and that no packet is lost or doubled.
fn wander(seed: u64, steps: u32) -> Vec<String> {
    let config = Config {
        max_entries: 12,
        max_incomplete: 5,
        max_parked_per_entry: 3,
        max_parked_total: 12 * charge(&packet(0)),
        stale_time: Duration::from_secs(40),
        solicit_rate: 3,
        solicit_burst: 2,
        ..Config::default()
    };
    let mut c = Cache::new(config, Rng::from_seed(seed));
    let mut dice = Rng::from_seed(seed).fork("dice");
    let mut now = Instant::ZERO;
    let (mut given, mut back) = (0_u32, 0_u32);
    let mut log = vec![];
    for _ in 0..steps {
        let who = ip(u32::try_from(dice.below(20)).unwrap());
        let mac = MacAddr([2, 0, 0, 0, 0, u8::try_from(dice.below(3)).unwrap()]);
        match dice.below(20) {
            0..=5 => {
                given += 1;
                let origin = [Origin::Own, Origin::Forwarded][usize::from(dice.below(2) == 0)];
                match c.resolve(now, who, packet(given), origin) {
                    Resolution::Parked { displaced } => {
                        back += u32::try_from(displaced.len()).unwrap();
                    }
                    Resolution::Send(..) | Resolution::Dropped(..) => back += 1,
                }
            }
            6..=7 => drop(c.handle_claim(now, who, mac, REPLY)),
            8 => drop(c.handle_claim(now, who, mac, MEEK)),
            9..=10 => drop(c.handle_claim(now, who, mac, Claim::Request)),
            11 => drop(c.handle_claim(now, who, mac, Claim::Announcement { overrides: true })),
            12 => c.confirm(now, who),
            13 if dice.below(10) == 0 => drop(c.set_static(now, who, mac)),
            13 => drop(c.remove(who)),
            14 if dice.below(50) == 0 => c.flush(DropReason::InterfaceDown),
            14..=15 => now += dice.between(Duration::ZERO, Duration::from_secs(2)),
            16 => now += dice.between(Duration::ZERO, Duration::from_secs(20)),
            17..=18 => now = c.poll_timeout().map_or(now, |at| at.max(now)),
            _ => c.handle_timeout(now),
        }
        if dice.below(4) > 0 {
            c.handle_timeout(now);
            while let Some(action) = c.poll_transmit(now) {
                back += match &action {
                    Action::Packet { .. } => 1,
                    Action::Failed { packets, .. } => u32::try_from(packets.len()).unwrap(),
                    Action::Solicit { .. } => 0,
                };
                log.push(format!("{now} {action:?}"));
            }
            check_timeout(&c, now);
        }
        check(&c);
    }
    let parked: usize = c.slots.iter().flatten().map(|e| e.parked.len()).sum();
    let failed: usize = c.failures.iter().map(|f| f.packets.len()).sum();
    let inside = parked + failed + c.ready.len();
    assert_eq!(
        given,
        back + u32::try_from(inside).unwrap(),
        "no packet lost or doubled"
    );
    log
}

fn check_timeout(c: &Cache, now: Instant) {
    let (fast, slow) = (c.poll_timeout(), naive_timeout(c));
    match (fast, slow) {
        (Some(fast), Some(slow)) => assert!(fast <= slow && fast > now, "{now} {fast} {slow}"),
        (fast, slow) => assert_eq!(fast, slow),
    }
    // Just before it, nothing is due.
    if let Some(at) = fast {
        let mut early = c.clone();
        let before = at - Duration::from_nanos(1);
        early.handle_timeout(before);
        assert_eq!(early.poll_transmit(before), None);
        assert_eq!(early.neighbors(), c.neighbors());
    }
}

#[test]
fn random_walks_keep_every_list_and_deadline() {
    let mut actions = 0;
    for seed in 0..60 {
        let log = wander(seed, 2000);
        actions += log.len();
        if seed < 3 {
            assert_eq!(log, wander(seed, 2000), "one seed, one run");
        }
    }
    assert!(actions > 10_000, "{actions}");
}

#[test]
fn who_believes_follows_the_newest_claim() {
    let announced = Claim::Announcement { overrides: true };
    for from in [State::Stale, State::Reachable, State::Delay, State::Probe] {
        for (claim, want) in [
            (REPLY, State::Reachable),
            (Claim::Request, State::Stale),
            (announced, State::Stale),
        ] {
            let (mut c, now) = in_state(from, true);
            c.config.claims = Claims::Believe;
            assert_eq!(
                c.handle_claim(now, ip(1), NEW, claim),
                Ok(()),
                "{from:?} {claim:?}"
            );
            assert_eq!(
                (state(&c, 1), mac(&c, 1)),
                (Some(want), Some(NEW)),
                "{from:?} {claim:?}"
            );
            assert_eq!(c.stats().replaced, 1);
            assert!(sent(&mut c, now).is_empty(), "nobody is asked");
        }
        //= RFC 4861 §7.2.5 without Override the MAC stays.
        let (mut c, now) = in_state(from, true);
        c.config.claims = Claims::Believe;
        assert!(c.handle_claim(now, ip(1), NEW, MEEK).is_err());
        let want = if from == State::Reachable {
            State::Stale
        } else {
            from
        };
        assert_eq!((state(&c, 1), mac(&c, 1)), (Some(want), Some(OLD)));
        //= RFC 4861 §7.2.5 with Solicited it is REACHABLE, of whatever MAC is known.
        assert_eq!(c.handle_claim(now, ip(1), OLD, MEEK), Ok(()));
        assert_eq!(state(&c, 1), Some(State::Reachable), "{from:?}");
    }
    let (mut c, now) = in_state(State::Permanent, true);
    c.config.claims = Claims::Believe;
    assert!(c.handle_claim(now, ip(1), NEW, REPLY).is_err());
    assert_eq!(mac(&c, 1), Some(OLD), "what was set by hand stays");
}
