//! The machines of link, net and transport one by one, each driven at random through all of its
//! calls, and held to its limits.

use crate::chance::Chance;
use crate::craft::{self, Target};
use stack::frame::{Frame, Payload};
use stack::link::ethernet::Filter;
use stack::net::acd::{self, Acd};
use stack::net::arp::{self, Arp, Delivery, Local};
use stack::net::groups::FilterMode;
use stack::net::icmp;
use stack::net::igmp::{self, Igmp};
use stack::net::ipv4::{self, Fragmenter};
use stack::net::neighbor::{self, Cache, Claim};
use stack::net::pmtu::{self, PathMtus, TooBig};
use stack::net::reassembly::{self, Key, Outcome, Place, Reassembly};
use stack::rng::Rng;
use stack::time::{Duration, Instant};
use stack::transport::demux::Demux;
use stack::transport::{Slab, tcp, udp};
use stack::wire::arp::{Operation, Packet};
use stack::wire::{MacAddr, Protocol, icmpv4, igmp as igmp_wire, tcp as tcp_wire};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const US: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
/// Calls of one run.
const CALLS: u32 = 300;

struct Here;

impl Local for Here {
    fn mac(&self) -> MacAddr {
        US
    }
    fn is_ours(&self, addr: Ipv4Addr) -> bool {
        addr == Ipv4Addr::new(10, 1, 0, 1)
    }
    fn is_on_link(&self, addr: Ipv4Addr) -> bool {
        addr.octets()[0] == 10
    }
    fn is_routed_elsewhere(&self, addr: Ipv4Addr) -> bool {
        addr.octets()[1] == 2
    }
}

fn addr(c: &mut Chance) -> Ipv4Addr {
    Ipv4Addr::new(
        c.pick(&[10, 10, 10, 224, 0, 255]).unwrap_or(10),
        c.byte() & 3,
        0,
        c.byte() & 7,
    )
}

fn station(c: &mut Chance) -> MacAddr {
    MacAddr([
        c.pick(&[2, 2, 2, 1, 0xff]).unwrap_or(2),
        0,
        0,
        0,
        0,
        c.byte() & 7,
    ])
}

fn pass(c: &mut Chance, now: &mut Instant) {
    if c.one_in(4) {
        *now += Duration::from_millis(c.below(5000) as u64);
    }
}

/// ARP, neighbours, address claims: what a link can be told.
pub(crate) fn link_and_neighbours(c: &mut Chance) {
    let rng = Rng::from_seed(1);
    let mut cache = Cache::new(
        neighbor::Config {
            max_entries: 6,
            max_incomplete: 3,
            ..neighbor::Config::default()
        },
        rng.fork("n"),
    );
    let mut arp = Arp::new(arp::Config::default(), rng.fork("a"));
    let mut acd = Acd::new(acd::Config::default(), rng.fork("d"));
    let mut filter = Filter::new(US);
    filter.join(MacAddr::BROADCAST);
    let mut now = Instant::ZERO;
    for _ in 0..CALLS {
        if c.is_spent() {
            break;
        }
        pass(c, &mut now);
        match c.below(8) {
            0 => {
                let (start, policy) = (
                    c.pick(&[acd::Start::Probe, acd::Start::Announce])
                        .unwrap_or(acd::Start::Probe),
                    c.pick(&[
                        acd::Policy::Keep,
                        acd::Policy::Yield,
                        acd::Policy::DefendOnce,
                    ])
                    .unwrap_or(acd::Policy::Keep),
                );
                acd.claim(now, addr(c), start, policy);
            }
            1 => drop(acd.release(addr(c))),
            2 => {
                let mac = station(c);
                let claim = match c.below(4) {
                    0 => Claim::Request,
                    1 => Claim::Announcement { overrides: true },
                    n => Claim::Reply { overrides: n == 2 },
                };
                let _ = cache.handle_claim(now, IpAddr::V4(addr(c)), mac, claim);
            }
            3 => {
                let mut frame = Frame::copy_from(&craft::frames(c, &target()).concat());
                let _ = filter.receive(&mut frame);
            }
            4 => cache.confirm(now, IpAddr::V4(addr(c))),
            _ => {
                let packet = Packet {
                    operation: Operation(u16::from(c.byte() & 3)),
                    sender_mac: station(c),
                    sender_ip: addr(c),
                    target_mac: station(c),
                    target_ip: addr(c),
                };
                let _ = acd.handle_packet(now, &packet, |mac| mac == US);
                let how = c.pick(&[Delivery::Unicast, Delivery::Broadcast]);
                let how = how.unwrap_or(Delivery::Unicast);
                let _ = arp.handle_packet(now, &packet, how, &Here, &mut cache);
            }
        }
        cache.handle_timeout(now);
        acd.handle_timeout(now);
        assert!(cache.len() <= 6);
        let most = 4096;
        assert!(
            (0..most).any(|_| cache.poll_transmit(now).is_none()),
            "endless"
        );
        assert!(
            (0..most).any(|_| acd.poll_transmit(now, US).is_none()),
            "endless"
        );
        assert!((0..most).any(|_| arp.poll_transmit().is_none()), "endless");
        assert!((0..most).any(|_| acd.poll_event().is_none()), "endless");
        assert!(cache.poll_timeout().is_none_or(|t| t > now), "stays due");
        assert!(acd.poll_timeout().is_none_or(|t| t > now), "stays due");
    }
}

fn target() -> Target {
    Target {
        macs: vec![US],
        addrs: vec![Ipv4Addr::new(10, 1, 0, 1)],
        peers: vec![(MacAddr([2, 0, 0, 0, 0, 2]), Ipv4Addr::new(10, 1, 0, 2))],
        groups: vec![Ipv4Addr::new(239, 1, 1, 1)],
        ports: vec![7],
        ..Target::default()
    }
}

/// A datagram in the making, as the slow and obvious reassembler keeps it.
type Parts = BTreeMap<usize, u8>;

/// Fragments against a byte map: what is put together holds the bytes that were sent, each where
/// it belongs.
pub(crate) fn fragments(c: &mut Chance) {
    let limits = reassembly::Config {
        max_bytes: 64 << 10,
        max_bytes_per_source: 32 << 10,
        max_datagrams: 8,
        max_fragments: 16,
        ..reassembly::Config::default()
    };
    let mut parts = Reassembly::new(limits);
    let mut sent: BTreeMap<u16, Parts> = BTreeMap::new();
    let mut now = Instant::ZERO;
    for call in 0..CALLS {
        if c.is_spent() {
            break;
        }
        pass(c, &mut now);
        let (id, source) = (u16::from(c.byte() & 3), c.byte() & 3);
        let key = Key::v4(
            [10, 0, 0, source].into(),
            [10, 0, 0, 9].into(),
            id,
            Protocol::UDP,
        );
        let (offset, len) = (8 * c.below(12), c.below(40));
        let len = if c.one_in(3) { len } else { len & !7 };
        let value = call as u8;
        let data = Payload::from(bytes::Bytes::from(vec![value; len]));
        let more = !c.one_in(4);
        let place = Place::at(offset, more);
        let head = (offset == 0).then_some(());
        let slot = sent.entry(id * 4 + u16::from(source)).or_default();
        match parts.insert(now, key, place, data, head) {
            Outcome::Held => slot.extend((offset..offset + len).map(|at| (at, value))),
            Outcome::Complete {
                payload, fragments, ..
            } => {
                if fragments > 1 {
                    slot.extend((offset..offset + len).map(|at| (at, value)));
                    let whole = payload.to_bytes();
                    let right = whole
                        .iter()
                        .enumerate()
                        .all(|(at, b)| slot.get(&at) == Some(b));
                    assert!(right, "{whole:?} from {slot:?}");
                    slot.clear();
                }
            }
            Outcome::Dropped(..) => {}
        }
        while parts.poll_event().is_some() {}
        assert!(parts.bytes() <= limits.max_bytes && parts.datagrams() <= limits.max_datagrams);
    }
}

/// Packets through acceptance, forwarding and cutting.
pub(crate) fn packets(c: &mut Chance) {
    let target = Target {
        is_ip: true,
        ..target()
    };
    for _ in 0..CALLS / 10 {
        if c.is_spent() {
            break;
        }
        for bytes in craft::frames(c, &target) {
            let mut packet = Frame::copy_from(&bytes);
            let Ok(accepted) = ipv4::accept(&mut packet) else {
                continue;
            };
            let _ = icmp::may_report(icmp::Error::PortUnreachable, &packet);
            let body = packet.len() - accepted.header_len;
            let ends = (accepted.dst.into(), accepted.src.into());
            let report = icmp::report(icmp::Error::PortUnreachable, packet.clone(), ends);
            assert!(report.len() <= 556, "an error longer than 576 bytes");
            assert!(icmpv4::verify(&report.to_bytes()));
            ipv4::forward(&mut packet, |_| {});
            let mtu = 68 + c.below(1500);
            let Some(mut cutter) = Fragmenter::new(packet, mtu) else {
                continue;
            };
            let mut cut = 0;
            while let Some(mut piece) = cutter.next_fragment() {
                assert!(piece.len() <= mtu.max(accepted.header_len + 8));
                let header = ipv4::accept(&mut piece).expect("a fragment of what was accepted");
                cut += piece.len() - header.header_len;
            }
            assert_eq!(cut, body, "bytes were lost or made up");
        }
    }
}

/// Path MTUs and groups.
pub(crate) fn paths_and_groups(c: &mut Chance) {
    let limits = pmtu::Config {
        max_entries: 4,
        ..pmtu::Config::default()
    };
    let mut paths = PathMtus::new(limits);
    let mut groups = Igmp::new(igmp::Config::default(), Rng::from_seed(2));
    let mut now = Instant::ZERO;
    for _ in 0..CALLS {
        if c.is_spent() {
            break;
        }
        pass(c, &mut now);
        let group = Ipv4Addr::new(
            c.pick(&[239, 239, 232, 224, 10]).unwrap_or(239),
            0,
            0,
            c.byte() & 3,
        );
        match c.below(6) {
            0 => {
                let report = TooBig {
                    next_hop_mtu: c.u16(),
                    packet_len: c.u16(),
                    header_len: u16::from(c.byte()),
                };
                let to = addr(c);
                let link = [1500, 68, 576, 9000][usize::from(to.octets()[3] & 3)];
                let dst = IpAddr::V4(to);
                paths.update(now, dst, link, report);
                assert!(paths.lookup(dst).is_none_or(|m| m <= link && m >= 68));
            }
            1 => {
                let mode = if c.one_in(2) {
                    FilterMode::Include
                } else {
                    FilterMode::Exclude
                };
                let _ = groups.join(now, u32::from(c.byte() & 3), group, mode, &[addr(c)]);
            }
            2 => drop(groups.leave(now, u32::from(c.byte() & 3), group)),
            _ => {
                let n = c.below(40);
                let bytes = if c.one_in(2) {
                    c.bytes(n)
                } else {
                    vec![0x11, c.byte(), 0, 0, 0, 0, 0, 0]
                };
                if let Ok((_, message)) = igmp_wire::Message::parse(&bytes) {
                    let _ = groups.handle_message(now, &message, group);
                }
            }
        }
        paths.handle_timeout(now);
        groups.handle_timeout(now);
        assert!(paths.len() <= limits.max_entries);
        assert!((0..64).any(|_| paths.poll_event().is_none()), "endless");
        assert!(
            (0..4096).any(|_| groups.poll_transmit(now).is_none()),
            "endless"
        );
        assert!(groups.poll_timeout().is_none_or(|t| t > now), "stays due");
    }
}

/// What a segment or datagram is taken for, and which socket gets it.
pub(crate) fn transport(c: &mut Chance) {
    let mut demux = Demux::new(&mut Rng::from_seed(3));
    let mut slab = Slab::new(8);
    let mut keys = Vec::new();
    let any = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    for _ in 0..CALLS {
        if c.is_spent() {
            break;
        }
        let port = u16::from(c.byte() & 3);
        let remote = SocketAddr::new(any, u16::from(c.byte() & 3));
        match c.below(6) {
            0 => {
                if let Ok(key) = slab.insert(()) {
                    let at = c
                        .pick(&[any, IpAddr::V4(Ipv4Addr::UNSPECIFIED)])
                        .unwrap_or(any);
                    demux.bind(SocketAddr::new(at, port), key);
                    keys.push((key, at, port));
                }
            }
            1 => {
                if let Some((key, at, port)) = c.pick(&keys) {
                    keys.retain(|k| k.0 != key);
                    demux.unbind(SocketAddr::new(at, port), key);
                    assert!(slab.remove(key).is_some() && slab.remove(key).is_none());
                }
            }
            2..=3 => {
                let found = demux.find(SocketAddr::new(any, port), remote);
                let bound = |k: &&(_, IpAddr, u16)| k.2 == port;
                assert_eq!(found.is_some(), keys.iter().any(|k| bound(&k)));
                assert!(found.is_none_or(|f| keys.iter().any(|k| k.0 == f && k.2 == port)));
            }
            4 => {
                let n = c.below(60);
                let bytes = c.bytes(n);
                if let Ok((segment, rest)) = tcp_wire::Header::parse(&bytes) {
                    let reset = tcp::reset_for(&segment, rest.len());
                    let asked = segment.flags.contains(tcp_wire::Flags::RST);
                    assert!(!(asked && reset.is_some()), "a reset answers a reset");
                }
            }
            _ => {
                let n = c.below(60);
                let frame = Frame::copy_from(&c.bytes(n));
                let at = c.below(n + 1);
                if let Ok(header) = udp::check(&frame, at, any, any) {
                    assert!(usize::from(header.len) <= n - at);
                }
            }
        }
    }
}

/// All of them.
pub(crate) fn all(c: &mut Chance) {
    link_and_neighbours(c);
    fragments(c);
    packets(c);
    paths_and_groups(c);
    transport(c);
}
