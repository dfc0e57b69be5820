//! ARP against a cache: who is answered, who is believed.

use super::*;
use crate::frame::Frame;
use crate::net::neighbor::{self, Lookup, Origin, State};
use crate::time::Duration;
use std::vec;

const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xff]);
const ALICE: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const MALLORY: MacAddr = MacAddr([2, 0, 0, 0, 0, 6]);

/// 10.7.0.2/24 and 169.254.1.1/16 here; 10.8.0.0/16 behind another interface.
struct Host;

impl Local for Host {
    fn mac(&self) -> MacAddr {
        OURS
    }
    fn is_ours(&self, addr: Ipv4Addr) -> bool {
        addr == ip("10.7.0.2") || addr == ip("169.254.1.1")
    }
    fn is_on_link(&self, addr: Ipv4Addr) -> bool {
        addr.octets()[..3] == [10, 7, 0] || addr.is_link_local()
    }
    fn is_routed_elsewhere(&self, addr: Ipv4Addr) -> bool {
        addr.octets()[..2] == [10, 8]
    }
}

fn ip(s: &str) -> Ipv4Addr {
    s.parse().unwrap()
}

fn who_has(target: &str, tell: &str, mac: MacAddr) -> Packet {
    request(mac, ip(tell), ip(target), None).1
}

fn is_at(sender: &str, mac: MacAddr, to: &str) -> Packet {
    Packet {
        operation: Operation::REPLY,
        sender_mac: mac,
        sender_ip: ip(sender),
        target_mac: OURS,
        target_ip: ip(to),
    }
}

fn world(config: Config) -> (Arp, Cache) {
    let rng = Rng::from_seed(1);
    (
        Arp::new(config, rng.fork("arp")),
        Cache::new(neighbor::Config::default(), rng.fork("cache")),
    )
}

fn state(cache: &Cache, addr: &str) -> Option<(State, Option<MacAddr>)> {
    cache
        .neighbor(IpAddr::V4(ip(addr)))
        .map(|n| (n.state, n.mac))
}

#[test]
fn who_is_answered_and_why_not() {
    let ok = Ok(());
    let not_us = Err(DropReason::ArpNotForUs);
    let bad = Err(DropReason::ArpBadSender);
    let group = MacAddr([1, 0, 0x5e, 0, 0, 1]);
    // packet, result, replied, learnt.
    let table = [
        (who_has("10.7.0.2", "10.7.0.1", ALICE), ok, true, true),
        (who_has("10.7.0.9", "10.7.0.1", ALICE), not_us, false, false),
        (who_has("10.7.0.2", "192.0.2.1", ALICE), ok, true, false),
        (who_has("10.7.0.2", "0.0.0.0", ALICE), ok, true, false),
        (who_has("10.7.0.9", "0.0.0.0", ALICE), not_us, false, false),
        (
            who_has("10.7.0.2", "10.7.0.1", MacAddr::ZERO),
            bad,
            false,
            false,
        ),
        (
            who_has("10.7.0.2", "10.7.0.1", MacAddr::BROADCAST),
            bad,
            false,
            false,
        ),
        (who_has("10.7.0.2", "10.7.0.1", group), bad, false, false),
        (who_has("10.7.0.2", "10.7.0.1", OURS), bad, false, false),
        (
            who_has("10.7.0.2", "255.255.255.255", ALICE),
            bad,
            false,
            false,
        ),
        (who_has("10.7.0.2", "224.0.0.1", ALICE), bad, false, false),
        (who_has("10.7.0.2", "127.0.0.1", ALICE), bad, false, false),
        (who_has("10.7.0.2", "0.1.2.3", ALICE), bad, false, false),
        (
            who_has("10.7.0.9", "10.7.0.2", ALICE),
            Err(DropReason::ArpConflict),
            false,
            false,
        ),
        (
            is_at("10.7.0.1", ALICE, "10.7.0.2"),
            Err(DropReason::ArpUnsolicited),
            false,
            false,
        ),
        (is_at("10.7.0.1", ALICE, "10.7.0.9"), not_us, false, false),
        (is_at("0.0.0.0", ALICE, "10.7.0.2"), bad, false, false),
        (
            announcement(ALICE, ip("10.7.0.1")),
            Err(DropReason::ArpUnsolicited),
            false,
            false,
        ),
        (
            Packet {
                operation: Operation::REVERSE_REQUEST,
                ..who_has("10.7.0.2", "10.7.0.1", ALICE)
            },
            Err(DropReason::ArpMalformed),
            false,
            false,
        ),
    ];
    for (packet, result, replied, learnt) in table {
        for delivery in [Delivery::Unicast, Delivery::Broadcast] {
            let (mut arp, mut cache) = world(Config::default());
            let got = arp.handle_packet(Instant::ZERO, &packet, delivery, &Host, &mut cache);
            assert_eq!(got, result, "{packet:?}");
            assert_eq!(arp.poll_transmit().is_some(), replied, "{packet:?}");
            assert_eq!(!cache.is_empty(), learnt, "{packet:?}");
        }
    }
}

#[test]
fn a_reply_swaps_the_sides() {
    let (mut arp, mut cache) = world(Config::default());
    let mut ask = |packet: &Packet| {
        arp.handle_packet(
            Instant::ZERO,
            packet,
            Delivery::Broadcast,
            &Host,
            &mut cache,
        )
        .unwrap();
        arp.poll_transmit().unwrap()
    };
    let want = Packet {
        operation: Operation::REPLY,
        sender_mac: OURS,
        sender_ip: ip("10.7.0.2"),
        target_mac: ALICE,
        target_ip: ip("10.7.0.1"),
    };
    assert_eq!(ask(&who_has("10.7.0.2", "10.7.0.1", ALICE)), (ALICE, want));
    // RFC 3927 §2.5: link-local addresses are answered to everyone.
    let (dst, reply) = ask(&who_has("169.254.1.1", "169.254.7.7", ALICE));
    assert_eq!((dst, reply.target_mac), (MacAddr::BROADCAST, ALICE));
    assert_eq!(
        ask(&probe(ALICE, ip("10.7.0.2"))).1.target_ip,
        Ipv4Addr::UNSPECIFIED
    );
    assert_eq!(arp.stats().replies_out, 3);
}

#[test]
fn requests_are_broadcast_and_probes_unicast() {
    let (ours, target) = (ip("10.7.0.2"), ip("10.7.0.1"));
    assert_eq!(request(OURS, ours, target, None).0, MacAddr::BROADCAST);
    assert_eq!(request(OURS, ours, target, Some(ALICE)).0, ALICE);
    let local = ip("169.254.1.1");
    assert_eq!(
        request(OURS, local, target, Some(ALICE)).0,
        MacAddr::BROADCAST
    );
}

#[test]
fn a_solicited_reply_confirms_and_a_forged_one_does_not_replace() {
    let (mut arp, mut cache) = world(Config::default());
    let addr = IpAddr::V4(ip("10.7.0.1"));
    let now = Instant::ZERO;
    let _ = cache.resolve(now, addr, Frame::copy_from(b"x"), Origin::Own);
    while cache.poll_transmit(now).is_some() {}
    // RFC 3927 hosts broadcast their replies, so the frame's destination does not matter.
    let real = is_at("10.7.0.1", ALICE, "10.7.0.2");
    arp.handle_packet(now, &real, Delivery::Broadcast, &Host, &mut cache)
        .unwrap();
    while cache.poll_transmit(now).is_some() {}
    assert_eq!(
        state(&cache, "10.7.0.1"),
        Some((State::Reachable, Some(ALICE)))
    );
    let forged = [
        is_at("10.7.0.1", MALLORY, "10.7.0.2"),
        announcement(MALLORY, ip("10.7.0.1")),
        who_has("10.7.0.9", "10.7.0.1", MALLORY),
    ];
    for packet in forged {
        let got = arp.handle_packet(now, &packet, Delivery::Broadcast, &Host, &mut cache);
        assert_eq!(got, Err(DropReason::NeighborProtected), "{packet:?}");
        assert_eq!(state(&cache, "10.7.0.1"), Some((State::Probe, Some(ALICE))));
    }
    // Who asks for us is answered even if we do not believe the name.
    let asks = who_has("10.7.0.2", "10.7.0.1", MALLORY);
    assert_eq!(
        arp.handle_packet(now, &asks, Delivery::Broadcast, &Host, &mut cache),
        Ok(())
    );
    assert_eq!(cache.lookup(now, addr), Lookup::Mac(ALICE));
}

#[test]
fn an_overheard_packet_updates_what_was_only_heard() {
    let (mut arp, mut cache) = world(Config::default());
    let mut hear = |packet: Packet, delivery| {
        let _ = arp.handle_packet(Instant::ZERO, &packet, delivery, &Host, &mut cache);
        state(&cache, "10.7.0.1").and_then(|(_, mac)| mac)
    };
    let heard = hear(who_has("10.7.0.2", "10.7.0.1", ALICE), Delivery::Broadcast);
    assert_eq!(heard, Some(ALICE));
    // A unicast for somebody else (a switch that floods) is no news to us.
    let stray = who_has("10.7.0.9", "10.7.0.1", MALLORY);
    assert_eq!(hear(stray, Delivery::Unicast), Some(ALICE));
    assert_eq!(hear(stray, Delivery::Broadcast), Some(MALLORY));
}

#[test]
fn replies_are_bounded_by_source_and_by_queue() {
    let (mut arp, mut cache) = world(Config::default());
    let ask = who_has("10.7.0.2", "10.7.0.1", MALLORY);
    let (mut replies, mut limited) = (0, 0);
    for n in 0..100_000_u64 {
        let now = Instant::ZERO + Duration::from_micros(100 * n);
        match arp.handle_packet(now, &ask, Delivery::Broadcast, &Host, &mut cache) {
            Ok(()) => replies += usize::from(arp.poll_transmit().is_some()),
            Err(DropReason::ArpRateLimited) => limited += 1,
            other => panic!("{other:?}"),
        }
    }
    // Ten seconds at a thousand a second, after a burst of a thousand and a few.
    assert!((10_000..=11_024).contains(&replies), "{replies}");
    assert_eq!(replies + limited, 100_000);
    // Somebody else is still answered.
    let now = Instant::ZERO + Duration::from_secs(10);
    let ask = who_has("10.7.0.2", "10.7.0.1", ALICE);
    assert_eq!(
        arp.handle_packet(now, &ask, Delivery::Broadcast, &Host, &mut cache),
        Ok(())
    );
    // Many sources at once fill the queue and no more.
    let (mut arp, mut cache) = world(Config::default());
    let mut refused = vec![];
    for n in 0..100_000_u32 {
        let [a, b, c, d] = n.to_be_bytes();
        let ask = who_has("10.7.0.2", "10.7.0.1", MacAddr([2, 1, a, b, c, d]));
        refused.extend(
            arp.handle_packet(now, &ask, Delivery::Broadcast, &Host, &mut cache)
                .err(),
        );
    }
    assert_eq!(refused.len(), 100_000 - 64);
    assert!(refused.contains(&DropReason::ReplyQueueFull));
    assert_eq!(arp.stats().limited, 100_000 - 64);
    assert_eq!(core::iter::from_fn(|| arp.poll_transmit()).count(), 64);
}

/// What an ARP scan of a network behind a proxy asks: all of it at once, and again what is slow.
#[test]
fn a_scan_of_a_network_is_answered_in_full() {
    let config = Config {
        proxy: vec!["10.8.0.0/24".parse().unwrap()],
        ..Config::default()
    };
    let (mut arp, mut cache) = world(config);
    for n in 0..512 {
        let target = std::format!("10.8.0.{}", n % 256);
        let ask = who_has(&target, "10.7.0.1", ALICE);
        let got = arp.handle_packet(Instant::ZERO, &ask, Delivery::Broadcast, &Host, &mut cache);
        assert_eq!(got, Ok(()), "{target}");
        assert!(arp.poll_transmit().is_some());
    }
}

#[test]
fn a_proxy_answers_for_its_list_behind_other_interfaces_only() {
    let config = Config {
        proxy: vec!["10.0.0.0/8".parse().unwrap()],
        proxy_burst: 2,
        proxy_rate: 1,
        ..Config::default()
    };
    let now = Instant::ZERO;
    let not_us = Err(DropReason::ArpNotForUs);
    // target, asker -> result
    let table = [
        ("10.8.0.1", "10.7.0.1", Ok(())),
        ("10.7.0.9", "10.7.0.1", not_us),
        ("192.0.2.1", "10.7.0.1", not_us),
        ("10.8.0.1", "0.0.0.0", not_us),
        ("10.8.0.1", "10.8.0.2", not_us),
        ("10.8.0.1", "10.8.0.1", Err(DropReason::ArpUnsolicited)),
    ];
    for (target, asker, result) in table {
        let (mut arp, mut cache) = world(config.clone());
        let ask = who_has(target, asker, ALICE);
        let got = arp.handle_packet(now, &ask, Delivery::Broadcast, &Host, &mut cache);
        assert_eq!(got, result, "{target} {asker}");
        let reply = arp.poll_transmit();
        assert_eq!(reply.is_some(), result.is_ok());
        if let Some((dst, reply)) = reply {
            assert_eq!((dst, reply.sender_mac), (ALICE, OURS));
            assert_eq!(reply.sender_ip, ip(target));
        }
        assert!(cache.is_empty(), "a proxy learns nothing");
    }
    let (mut arp, mut cache) = world(config);
    let ask = who_has("10.8.0.1", "10.7.0.1", ALICE);
    let got =
        [(); 3].map(|()| arp.handle_packet(now, &ask, Delivery::Broadcast, &Host, &mut cache));
    assert_eq!(got, [Ok(()), Ok(()), Err(DropReason::ArpRateLimited)]);
    let (mut plain, mut cache) = world(Config::default());
    let got = plain.handle_packet(now, &ask, Delivery::Broadcast, &Host, &mut cache);
    assert_eq!(got, not_us, "off by default");
}

#[test]
fn announcements_go_to_everyone() {
    let (mut arp, _) = world(Config::default());
    assert!(arp.announce(OURS, ip("10.7.0.2")));
    let (dst, packet) = arp.poll_transmit().unwrap();
    assert!(packet.is_announcement() && packet.operation == Operation::REQUEST);
    assert_eq!(
        (dst, packet.target_mac),
        (MacAddr::BROADCAST, MacAddr::ZERO)
    );
    assert_eq!(arp.stats().announcements_out, 1);
}
