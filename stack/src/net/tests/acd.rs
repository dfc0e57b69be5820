//! Claims alone, disputed, and between two machines on one link.

use super::*;
use crate::net::claim::MAX_EVENTS;
use crate::time::Duration;
use alloc::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

const US: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const THEM: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const ADDR: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);

fn ms(n: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(n)
}

fn acd(seed: u64) -> Acd {
    Acd::new(Config::default(), Rng::from_seed(seed))
}

fn claimed(policy: Policy) -> (Acd, Instant) {
    let mut a = acd(1);
    assert!(a.claim(ms(0), ADDR, Start::Probe, policy));
    let log = run(&mut a, ms(60_000));
    assert_eq!(a.poll_event(), Some(Event::Usable { addr: ADDR }));
    (a, log.last().unwrap().0)
}

fn run(a: &mut Acd, until: Instant) -> Vec<(Instant, Packet)> {
    let mut log = vec![];
    while let Some(now) = a.poll_timeout().filter(|at| *at <= until) {
        a.handle_timeout(now);
        while let Some((dst, packet)) = a.poll_transmit(now, US) {
            assert_eq!(dst, MacAddr::BROADCAST);
            log.push((now, packet));
        }
    }
    log
}

fn events(a: &mut Acd) -> Vec<Event> {
    core::iter::from_fn(|| a.poll_event()).collect()
}

fn hear(a: &mut Acd, now: Instant, packet: Packet) -> bool {
    a.handle_packet(now, &packet, |mac| mac == US) == Err(DropReason::ArpConflict)
}

#[test]
fn three_probes_then_two_announcements() {
    let (mut first_waits, mut spacings) = (vec![], vec![]);
    for seed in 0..300 {
        let mut a = acd(seed);
        assert!(a.claim(ms(0), ADDR, Start::Probe, Policy::DefendOnce));
        let log = run(&mut a, ms(60_000));
        let kinds: Vec<_> = log
            .iter()
            .map(|(_, p)| (p.is_probe(), p.is_announcement()))
            .collect();
        let (probe, announcement) = ((true, false), (false, true));
        assert_eq!(kinds, [probe, probe, probe, announcement, announcement]);
        assert!(log.iter().all(|(_, p)| p.operation == Operation::REQUEST
            && p.target_mac == MacAddr::ZERO
            && p.sender_mac == US
            && p.target_ip == ADDR));
        let at: Vec<_> = log.iter().map(|(at, _)| *at).collect();
        assert_eq!(at[3] - at[2], Duration::from_secs(2));
        assert_eq!(at[4] - at[3], Duration::from_secs(2));
        first_waits.push(at[0] - ms(0));
        spacings.extend([at[1] - at[0], at[2] - at[1]]);
        assert_eq!(
            (a.state(ADDR), a.poll_timeout()),
            (Some(State::Claimed), None)
        );
    }
    let within = |all: &[Duration], low: u64, high: u64| {
        let (min, max) = (all.iter().min().unwrap(), all.iter().max().unwrap());
        let (low, high) = (Duration::from_millis(low), Duration::from_millis(high));
        let near = Duration::from_millis(50);
        assert!(low <= *min && *min < low + near, "{min:?}");
        assert!(high - near < *max && *max < high, "{max:?}");
    };
    within(&first_waits, 0, 1000);
    within(&spacings, 1000, 2000);
}

#[test]
fn usable_with_the_first_announcement_and_not_before() {
    let mut a = acd(1);
    a.claim(ms(0), ADDR, Start::Probe, Policy::DefendOnce);
    loop {
        let now = a.poll_timeout().unwrap();
        a.handle_timeout(now);
        assert_eq!((a.is_usable(ADDR), a.poll_event()), (false, None));
        let (_, packet) = a.poll_transmit(now, US).unwrap();
        assert_eq!(a.is_usable(ADDR), packet.is_announcement());
        if packet.is_announcement() {
            break;
        }
    }
    assert_eq!(events(&mut a), [Event::Usable { addr: ADDR }]);
    assert_eq!(a.state(ADDR), Some(State::Announcing));
    // An optimistic claim is usable from the start and announced at once.
    let mut a = acd(1);
    a.claim(ms(0), ADDR, Start::Announce, Policy::DefendOnce);
    assert!(a.is_usable(ADDR));
    assert_eq!(events(&mut a), [Event::Usable { addr: ADDR }]);
    assert!(a.poll_transmit(ms(0), US).unwrap().1.is_announcement());
    assert_eq!(a.poll_transmit(ms(0), US), None);
    assert_eq!(a.poll_timeout(), Some(ms(2000)));
    assert_eq!(run(&mut a, ms(9000)).len(), 1);
    assert_eq!(a.state(ADDR), Some(State::Claimed));
}

#[test]
fn what_conflicts() {
    let other = Ipv4Addr::new(10, 7, 0, 9);
    let (_, request) = arp::request(THEM, ADDR, other, None);
    let reply = Packet {
        operation: Operation::REPLY,
        ..request
    };
    let (_, asks_us) = arp::request(THEM, other, ADDR, None);
    let rarp = Packet {
        operation: Operation::REVERSE_REPLY,
        ..request
    };
    let from = |sender_mac, packet| Packet {
        sender_mac,
        ..packet
    };
    // packet -> conflict while probing, conflict in use. RFC 5227 §2.1.1, §2.4.
    let table = [
        (request, true, true),
        (reply, true, true),
        (arp::announcement(THEM, ADDR), true, true),
        (arp::probe(THEM, ADDR), true, false),
        (arp::probe(THEM, other), false, false),
        (asks_us, false, false),
        (rarp, false, false),
        (from(US, request), false, false),
        (arp::probe(US, ADDR), false, false),
        (arp::announcement(US, ADDR), false, false),
        (from(MacAddr::BROADCAST, reply), false, false),
    ];
    for (packet, probing, in_use) in table {
        let mut a = acd(1);
        a.claim(ms(0), ADDR, Start::Probe, Policy::DefendOnce);
        assert_eq!(hear(&mut a, ms(10), packet), probing, "{packet:?}");
        assert_eq!(a.state(ADDR).is_none(), probing);
        let want = probing.then_some(Event::ConflictDetected {
            addr: ADDR,
            mac: THEM,
        });
        assert_eq!(events(&mut a), want.into_iter().collect::<Vec<_>>());
        assert_eq!(a.poll_timeout().is_none(), probing, "nothing of it is left");
        let (mut a, now) = claimed(Policy::DefendOnce);
        assert_eq!(hear(&mut a, now, packet), in_use, "{packet:?}");
        let want = in_use.then_some(Event::Defended {
            addr: ADDR,
            mac: THEM,
        });
        assert_eq!(events(&mut a), want.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_conflict_in_the_quiet_after_the_last_probe_counts() {
    let mut a = acd(1);
    a.claim(ms(0), ADDR, Start::Probe, Policy::DefendOnce);
    while a.stats().probes_out < 3 {
        let now = a.poll_timeout().unwrap();
        a.handle_timeout(now);
        a.poll_transmit(now, US);
    }
    let end = a.poll_timeout().unwrap();
    // Due, but not announced yet.
    a.handle_timeout(end);
    assert!(hear(&mut a, end, arp::announcement(THEM, ADDR)));
    assert_eq!(a.poll_transmit(end, US), None);
    assert_eq!(
        events(&mut a),
        [Event::ConflictDetected {
            addr: ADDR,
            mac: THEM
        }]
    );
}

#[test]
fn the_three_policies() {
    let clash = arp::announcement(THEM, ADDR);
    let defended = Event::Defended {
        addr: ADDR,
        mac: THEM,
    };
    let lost = Event::Lost {
        addr: ADDR,
        mac: THEM,
    };
    let (mut a, now) = claimed(Policy::Yield);
    assert!(hear(&mut a, now, clash));
    assert_eq!(events(&mut a), [lost]);
    assert_eq!((a.state(ADDR), a.poll_transmit(now, US)), (None, None));

    // DEFEND_INTERVAL apart: defended each time. A nanosecond less: lost.
    let interval = Duration::from_secs(10);
    let (mut a, now) = claimed(Policy::DefendOnce);
    for n in 0..5 {
        let at = now + interval * n;
        assert!(hear(&mut a, at, clash));
        assert_eq!(events(&mut a), [defended]);
        assert_eq!(
            a.poll_transmit(at, US).unwrap().1,
            arp::announcement(US, ADDR)
        );
        assert_eq!(a.poll_transmit(at, US), None);
    }
    let at = now + interval * 5 - Duration::from_nanos(1);
    assert!(hear(&mut a, at, clash));
    assert_eq!(events(&mut a), [lost]);
    assert_eq!(a.poll_transmit(at, US), None);

    let (mut a, now) = claimed(Policy::Keep);
    let mut defences = 0;
    for n in 0..60_000 {
        let at = now + Duration::from_millis(n);
        assert!(hear(&mut a, at, clash));
        defences += core::iter::from_fn(|| a.poll_transmit(at, US)).count();
    }
    assert_eq!(defences, 6, "once in ten seconds for a minute");
    assert_eq!(events(&mut a), [defended; 6]);
    assert!(a.is_usable(ADDR));
}

#[test]
fn a_defence_does_not_swallow_the_announcement() {
    let mut a = acd(1);
    a.claim(ms(0), ADDR, Start::Announce, Policy::Keep);
    assert!(hear(&mut a, ms(0), arp::announcement(THEM, ADDR)));
    assert_eq!(
        core::iter::from_fn(|| a.poll_transmit(ms(0), US)).count(),
        2
    );
    a.handle_timeout(ms(2000));
    assert_eq!(
        core::iter::from_fn(|| a.poll_transmit(ms(2000), US)).count(),
        1
    );
    assert_eq!(
        (a.state(ADDR), a.stats().announcements_out),
        (Some(State::Claimed), 3)
    );
    // Nor is either sent twice where both wait.
    let mut a = acd(1);
    a.claim(ms(0), ADDR, Start::Announce, Policy::Keep);
    a.poll_transmit(ms(0), US);
    assert!(hear(&mut a, ms(1999), arp::announcement(THEM, ADDR)));
    a.handle_timeout(ms(2000));
    assert_eq!(
        core::iter::from_fn(|| a.poll_transmit(ms(2000), US)).count(),
        2
    );
}

#[test]
fn a_defence_that_waits_for_the_link_is_sent_once() {
    let (mut a, now) = claimed(Policy::Keep);
    for n in 0..3 {
        let at = now + Duration::from_secs(10) * n;
        assert!(hear(&mut a, at, arp::announcement(THEM, ADDR)));
    }
    assert_eq!(core::iter::from_fn(|| a.poll_transmit(now, US)).count(), 1);
}

#[test]
fn unread_notices_are_bounded() {
    let mut a = acd(1);
    a.claim(ms(0), ADDR, Start::Announce, Policy::Keep);
    for n in 0..1000 {
        hear(&mut a, ms(n * 10_000), arp::announcement(THEM, ADDR));
    }
    assert_eq!(a.stats().defended, 1000);
    assert_eq!(events(&mut a).len(), MAX_EVENTS);
}

#[test]
fn probing_slows_down_after_ten_conflicts() {
    let mut a = acd(1);
    let mut now = ms(0);
    let mut starts = vec![];
    for n in 0..15 {
        let addr = Ipv4Addr::new(10, 7, 1, n);
        a.claim(now, addr, Start::Probe, Policy::DefendOnce);
        while a.state(addr).is_some() {
            now = a.poll_timeout().unwrap();
            a.handle_timeout(now);
            if a.poll_transmit(now, US).is_some() {
                starts.push(now);
                assert!(hear(&mut a, now, arp::announcement(THEM, addr)));
            }
        }
    }
    let gaps: Vec<_> = starts.windows(2).map(|w| w[1] - w[0]).collect();
    let minute = Duration::from_secs(60);
    assert_eq!(gaps.len(), 14);
    assert!(
        gaps[..9].iter().all(|g| *g < Duration::from_secs(2)),
        "{gaps:?}"
    );
    assert!(
        gaps[9..].iter().all(|g| *g >= minute && *g < minute * 2),
        "{gaps:?}"
    );
    // Several claims at once share the rate.
    for n in 0..5 {
        a.claim(
            now,
            Ipv4Addr::new(10, 7, 2, n),
            Start::Probe,
            Policy::DefendOnce,
        );
    }
    let log = run(&mut a, now + minute * 10);
    let mut begun = BTreeMap::new();
    for (at, packet) in &log {
        begun.entry(packet.target_ip).or_insert(*at);
    }
    let mut begun: Vec<_> = begun.into_values().collect();
    begun.sort();
    assert_eq!(begun.len(), 5);
    assert!(begun.windows(2).all(|w| w[1] - w[0] >= minute), "{begun:?}");
}

/// Two machines on one link without delay; gives the events of each.
fn link(a: (u64, Start, Policy, u64), b: (u64, Start, Policy, u64)) -> [(Acd, Vec<Event>); 2] {
    let macs = [US, THEM];
    let mut hosts = [a, b].map(|(seed, start, policy, at)| (acd(seed), start, policy, ms(at)));
    let mut begun = [false; 2];
    loop {
        let next = |n: usize, hosts: &[(Acd, Start, Policy, Instant); 2], begun: &[bool; 2]| {
            let timer = hosts[n].0.poll_timeout();
            if begun[n] { timer } else { Some(hosts[n].3) }
        };
        let when = [next(0, &hosts, &begun), next(1, &hosts, &begun)];
        let Some(now) = when.into_iter().flatten().min() else {
            break;
        };
        for n in 0..2 {
            let (acd, start, policy, at) = &mut hosts[n];
            if !begun[n] && *at <= now {
                begun[n] = true;
                acd.claim(now, ADDR, *start, *policy);
            }
            acd.handle_timeout(now);
        }
        // Input queues output, which is input to the other, until both are silent.
        loop {
            let mut silent = true;
            for n in 0..2 {
                while let Some((_, packet)) = hosts[n].0.poll_transmit(now, macs[n]) {
                    silent = false;
                    let (peer, own) = (&mut hosts[1 - n].0, macs[1 - n]);
                    let _ = peer.handle_packet(now, &packet, |mac| mac == own);
                    // RFC 5227 §2.5: who uses the address answers a probe for it.
                    let answer = (packet.is_probe() && peer.is_usable(ADDR)).then_some(Packet {
                        operation: Operation::REPLY,
                        sender_mac: own,
                        sender_ip: ADDR,
                        target_mac: macs[n],
                        target_ip: Ipv4Addr::UNSPECIFIED,
                    });
                    if let Some(answer) = answer {
                        let _ = hosts[n].0.handle_packet(now, &answer, |mac| mac == macs[n]);
                    }
                    // An access point echoes to the sender as well.
                    let heard = hosts[n].0.handle_packet(now, &packet, |mac| mac == macs[n]);
                    assert_eq!(heard, Ok(()));
                }
            }
            if silent {
                break;
            }
        }
    }
    hosts.map(|(mut acd, ..)| {
        let told = events(&mut acd);
        (acd, told)
    })
}

#[test]
fn two_machines_never_keep_one_address_in_silence() {
    use Policy::*;
    let usable = Event::Usable { addr: ADDR };
    for seed in 0..200 {
        // Both probe at once: at least one hears the other and stops; never do both begin.
        let both = link(
            (seed, Start::Probe, DefendOnce, 0),
            (seed + 1000, Start::Probe, DefendOnce, 0),
        );
        let users = both.iter().filter(|(acd, _)| acd.is_usable(ADDR)).count();
        let told = both
            .iter()
            .filter(|(_, told)| told.contains(&usable))
            .count();
        assert!(users <= 1 && told == users, "{seed}: {both:?}");
        // The second comes late and probes: it is told no, and the first is not disturbed.
        let late = link(
            (seed, Start::Probe, DefendOnce, 0),
            (seed + 1000, Start::Probe, DefendOnce, 20_000),
        );
        assert_eq!(late[0].1, [usable]);
        assert_eq!(
            late[1].1,
            [Event::ConflictDetected {
                addr: ADDR,
                mac: US
            }]
        );
        // A planted duplicate that asks nobody: both are told.
        for policy in [Yield, DefendOnce, Keep] {
            let [(keeper, kept), (planted, gone)] = link(
                (seed, Start::Probe, Keep, 0),
                (seed + 1000, Start::Announce, policy, 20_000),
            );
            assert_eq!(
                kept,
                [
                    usable,
                    Event::Defended {
                        addr: ADDR,
                        mac: THEM
                    }
                ]
            );
            let told = if policy == Yield {
                Event::Lost {
                    addr: ADDR,
                    mac: US,
                }
            } else {
                Event::Defended {
                    addr: ADDR,
                    mac: US,
                }
            };
            assert_eq!(gone, [usable, told]);
            assert!(keeper.is_usable(ADDR));
            assert_eq!(planted.is_usable(ADDR), policy != Yield);
        }
    }
}

#[test]
fn release_and_restart_leave_nothing_behind() {
    let (mut a, now) = claimed(Policy::Keep);
    hear(&mut a, now, arp::announcement(THEM, ADDR));
    assert!(a.release(ADDR) && !a.release(ADDR));
    assert_eq!((a.poll_transmit(now, US), a.poll_timeout()), (None, None));
    let other = Ipv4Addr::new(10, 7, 0, 3);
    a.claim(now, ADDR, Start::Announce, Policy::Keep);
    a.claim(now, other, Start::Announce, Policy::Keep);
    a.release(ADDR);
    assert_eq!(
        a.poll_transmit(now, US).unwrap().1,
        arp::announcement(US, other)
    );
    let (mut a, now) = claimed(Policy::Keep);
    a.restart(now);
    assert_eq!(a.state(ADDR), Some(State::Probing));
    assert_eq!(run(&mut a, now + Duration::from_secs(60)).len(), 5);
    // An address that was announced without asking is announced again, and stays usable.
    let mut a = acd(1);
    a.claim(ms(0), ADDR, Start::Announce, Policy::Keep);
    run(&mut a, ms(9000));
    a.restart(ms(9000));
    assert!(a.is_usable(ADDR));
    let (_, packet) = a.poll_transmit(ms(9000), US).unwrap();
    assert!(packet.is_announcement());
    let mut full = Acd::new(
        Config {
            max_addresses: 1,
            ..Config::default()
        },
        Rng::from_seed(1),
    );
    assert!(full.claim(now, ADDR, Start::Probe, Policy::Keep));
    assert!(!full.claim(now, other, Start::Probe, Policy::Keep));
    assert!(full.claim(now, ADDR, Start::Announce, Policy::Keep), "anew");
}
