//! Rules of IPv6 that need a whole host, or a router between two, to be seen: each test cites what it
//! shows, and `tests/requirements.md` names it.

use super::*;
use crate::frame::Payload;
use crate::machine::Consumer;
use crate::net::ndp;
use crate::net::neighbor::State;
use crate::net::route::Route;
use crate::transport::ErrorKind;
use crate::wire::{Cidr, EtherType, Protocol, Writer, icmpv6, ipv6};
use bytes::Bytes;
use core::net::Ipv6Addr;
use std::vec;

const NEAR: &str = "fd01::1";
const FAR: &str = "fd02::2";

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn tun(port: u16, cidr: &str) -> InterfaceConfig {
    InterfaceConfig::ip("tun", Port(port)).with_address(cidr.parse().unwrap())
}

/// A router between fd01::/64 on port 0 and fd02::/64 on port 1.
fn router() -> Host {
    let config = Config {
        forwarding: true,
        ..Config::default()
    };
    let mut router = Host::new(config, Rng::from_seed(2));
    for (port, cidr) in [(0, "fd01::fe/64"), (1, "fd02::fe/64")] {
        router.add_interface(Instant::ZERO, tun(port, cidr));
    }
    router
}

fn end(cidr: &str) -> Host {
    let mut host = Host::new(Config::default(), Rng::from_seed(1));
    host.add_interface(Instant::ZERO, tun(0, cidr));
    let all: Cidr = "::/0".parse().unwrap();
    host.add_route(Route::on_link(all, Port(0))).unwrap();
    host
}

/// A packet of these bytes behind the fixed header.
fn packet(src: &str, dst: &str, next: u8, hop_limit: u8, rest: &[u8]) -> Frame {
    let mut bytes = vec![0; 40];
    let header = ipv6::Header {
        dscp: 0,
        ecn: 0,
        flow_label: 0xa_bcde,
        payload_len: rest.len() as u16,
        next_header: Protocol(next),
        hop_limit,
        src: ip(src),
        dst: ip(dst),
    };
    header.emit(&mut Writer::new(&mut bytes)).unwrap();
    bytes.extend(rest);
    Frame::copy_from(&bytes)
}

/// An ICMPv6 message with its checksum.
fn summed(src: &str, dst: &str, mut message: Vec<u8>) -> Vec<u8> {
    message[2..4].fill(0);
    let sum = icmpv6::compute_checksum(ip(src), ip(dst), &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

fn echo(src: &str, dst: &str) -> Vec<u8> {
    summed(src, dst, vec![128, 0, 0, 0, 0, 9, 0, 1, 7, 7])
}

fn sent(host: &mut Host, port: u16) -> Option<Vec<u8>> {
    let frame = host.poll_transmit(Instant::ZERO, Port(port))?;
    Some(frame.to_bytes().to_vec())
}

#[test]
fn extension_headers_cross_a_router_as_they_are() {
    //= RFC 8200 §4 nodes on the way neither process, nor add, nor take away extension headers, and need
    //= not look at hop-by-hop options; §4.7 what follows "no next header" is passed on.
    let behind = |header: &[u8]| [header, &echo(NEAR, FAR)].concat();
    for (next, rest) in [
        (60, behind(&[58, 0, 0x9e, 4, 0, 0, 0, 0])),
        (
            60,
            behind(&[60, 0, 1, 4, 0, 0, 0, 0, 58, 0, 0xde, 4, 0, 0, 0, 0]),
        ),
        (0, behind(&[58, 0, 0x5e, 4, 0, 0, 0, 0])),
        (
            0,
            behind(&[43, 0, 5, 2, 0, 0, 1, 0, 58, 0, 0, 1, 0, 0, 0, 0]),
        ),
        (44, behind(&[58, 0, 0, 0, 0, 0, 0, 7])),
        (44, vec![17, 0, 0, 9, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8]),
        (253, behind(&[58, 0, 0, 0, 0, 0, 0, 0])),
        (59, vec![1, 2, 3]),
    ] {
        let mut router = router();
        let came = packet(NEAR, FAR, next, 9, &rest);
        let mut want = came.to_bytes().to_vec();
        want[7] = 8;
        let fate = router.handle_frame(Instant::ZERO, Port(0), came);
        assert_eq!(fate, Fate::Forwarded, "{next} {rest:02x?}");
        assert_eq!(sent(&mut router, 1), Some(want), "{next} {rest:02x?}");
        assert_eq!(sent(&mut router, 0), None);
    }
}

#[test]
fn a_hop_limit_that_ends_is_told_of() {
    //= RFC 4443 §3.3 a router that gets zero, or makes it zero, discards and says time exceeded, code 0.
    for hop_limit in [0, 1, 2] {
        let mut router = router();
        let came = packet(NEAR, FAR, 58, hop_limit, &echo(NEAR, FAR));
        let fate = router.handle_frame(Instant::ZERO, Port(0), came.clone());
        if hop_limit == 2 {
            assert_eq!(fate, Fate::Forwarded);
            continue;
        }
        assert_eq!(fate, Fate::Dropped(DropReason::TtlExpired));
        let told = sent(&mut router, 0).unwrap();
        assert_eq!(
            (&told[40..42], &told[48..]),
            (&[3, 0][..], &came.to_bytes()[..])
        );
        assert_eq!(sent(&mut router, 1), None);
        // To whom it is for, it matters not.
        let mut last = end("fd02::2/64");
        let came = packet(NEAR, FAR, 58, hop_limit, &echo(NEAR, FAR));
        let fate = last.handle_frame(Instant::ZERO, Port(0), came);
        assert_eq!(fate, Fate::Delivered(Consumer::Icmp), "RFC 8200 §3");
    }
}

#[test]
fn nothing_goes_back_by_a_link_of_two() {
    //= RFC 4443 §3.1 what came by a point-to-point link for an address of that link's is not sent back.
    let mut router = router();
    let came = packet(NEAR, "fd01::77", 17, 64, &[0; 8]);
    let fate = router.handle_frame(Instant::ZERO, Port(0), came);
    assert_eq!(fate, Fate::Dropped(DropReason::Ipv6NotForwardable));
    let told = sent(&mut router, 0).unwrap();
    assert_eq!(told[40..42], [1, 3]);
    assert_eq!(sent(&mut router, 0), None);
    // What a route sends back, to a gateway there, is no such address.
    let beyond = Route::via("fd09::/64".parse().unwrap(), ip(NEAR).into(), Port(0));
    router.add_route(beyond).unwrap();
    let came = packet(NEAR, "fd09::1", 17, 64, &[0; 8]);
    let fate = router.handle_frame(Instant::ZERO, Port(0), came);
    assert_eq!(fate, Fate::Forwarded);
}

#[test]
fn an_answer_has_no_routing_header() {
    //= RFC 8200 §8.4 nothing answers with a routing header turned round.
    let mut host = end("fd02::2/64");
    let rest = [&[58, 0, 77, 0, 0, 0, 0, 0], &echo(NEAR, FAR)[..]].concat();
    let fate = host.handle_frame(Instant::ZERO, Port(0), packet(NEAR, FAR, 43, 64, &rest));
    assert_eq!(fate, Fate::Delivered(Consumer::Icmp));
    let reply = sent(&mut host, 0).unwrap();
    assert_eq!((reply[6], reply[40], reply.len()), (58, 129, 50));
}

#[test]
fn fragments_of_two_packets_are_told_apart_and_none_is_whole() {
    //= RFC 8200 §4.5 the identification differs from those of other packets sent lately.
    let mut host = end("fd02::2/64");
    let socket = host.udp_bind("[::]:7".parse().unwrap()).unwrap();
    let to = "[fd01::1]:9".parse().unwrap();
    let send = |host: &mut Host, len| {
        let data = Payload::from(Bytes::from(vec![7; len]));
        host.udp_send(Instant::ZERO, socket, data, Some(to))
            .unwrap();
        core::iter::from_fn(|| sent(host, 0)).collect::<Vec<_>>()
    };
    let mut idents = vec![];
    for _ in 0..200 {
        let pieces = send(&mut host, 2000);
        assert!(pieces.len() == 2 && pieces.iter().all(|p| p[6] == 44));
        assert_eq!(pieces[0][44..48], pieces[1][44..48]);
        assert_eq!(
            (pieces[0][40], pieces[0][48..50].to_vec()),
            (17, vec![0, 7])
        );
        idents.push(pieces[0][44..48].to_vec());
    }
    idents.sort();
    idents.dedup();
    assert_eq!(idents.len(), 200);
    //= RFC 8504 §5 no atomic fragments (RFC 8021): whatever a router says, what fits is not in one.
    let lone = send(&mut host, 100).remove(0);
    for mtu in [0_u32, 100, 1279, 1280] {
        let quoted = [&[2, 0, 0, 0], &mtu.to_be_bytes()[..], &lone].concat();
        let told = summed(NEAR, FAR, quoted);
        host.handle_frame(Instant::ZERO, Port(0), packet(NEAR, FAR, 58, 64, &told));
        let again = send(&mut host, 100).remove(0);
        assert_eq!((again[6], again.len()), (17, 148), "{mtu}");
    }
}

#[test]
fn types_that_nobody_knows() {
    //= RFC 4443 §2.4 (a) an error is handed to whom it concerns; (b) all else is dropped in silence.
    let mut host = end("fd02::2/64");
    let socket = host.udp_bind("[::]:7".parse().unwrap()).unwrap();
    host.udp_connect(socket, "[fd01::1]:9".parse().unwrap())
        .unwrap();
    let data = Payload::from(Bytes::from_static(b"hello"));
    host.udp_send(Instant::ZERO, socket, data, None).unwrap();
    let quote = sent(&mut host, 0).unwrap();
    for (kind, want) in [
        (100, Fate::Delivered(Consumer::Icmp)),
        (127, Fate::Delivered(Consumer::Icmp)),
        (160, Fate::Dropped(DropReason::IcmpUnknownType)),
        (255, Fate::Dropped(DropReason::IcmpUnknownType)),
    ] {
        let message = summed(
            NEAR,
            FAR,
            [&[kind, 0, 0, 0, 0, 0, 0, 0], &quote[..]].concat(),
        );
        let fate = host.handle_frame(Instant::ZERO, Port(0), packet(NEAR, FAR, 58, 64, &message));
        assert_eq!(fate, want, "{kind}");
        let told = host.udp_take_error(socket).map(|e| (e.kind, e.icmp_type));
        assert_eq!(told, (kind < 128).then_some((ErrorKind::Other, kind)));
        assert_eq!(sent(&mut host, 0), None, "{kind}");
    }
}

#[test]
fn discovery_in_fragments_is_ignored() {
    //= RFC 8504 §5.3 (RFC 6980 §5): nor where the fragment is the whole message.
    let mut eth = InterfaceConfig::ethernet("eth0", Port(0), mac(2));
    eth.duplicate_detection = DuplicateDetection::Off;
    let eth = eth.with_address("fd07::2/64".parse().unwrap());
    let mut host = Host::new(Config::default(), Rng::from_seed(1));
    host.add_interface(Instant::ZERO, eth);
    let asked = ndp::solicitation(mac(1), ip("fd07::1"), ip("fd07::2"), Some(mac(2)));
    let mut hear = |next: u8, rest: &[u8]| {
        let mut frame = packet("fd07::1", "fd07::2", next, 255, rest);
        crate::link::ethernet::encapsulate(&mut frame, mac(2), mac(1), None, EtherType::IPV6);
        let fate = host.handle_frame(Instant::ZERO, Port(0), frame);
        let known = host.interfaces()[0].neighbors().len();
        (fate, known)
    };
    let whole = &asked.message[..];
    let ignored = Fate::Dropped(DropReason::NdpFragmented);
    let in_one = [&[58, 0, 0, 0, 0, 0, 0, 7], whole].concat();
    assert_eq!(hear(44, &in_one), (ignored, 0));
    let first = [&[58, 0, 0, 1, 0, 0, 0, 8], &whole[..24]].concat();
    let second = [&[58, 0, 0, 24, 0, 0, 0, 8], &whole[24..]].concat();
    assert_eq!(hear(44, &first), (Fate::Held, 0));
    assert_eq!(hear(44, &second), (ignored, 0));
    assert_eq!(hear(58, whole), (Fate::Delivered(Consumer::Icmp), 1));
}

/// A station at fd07::2, of which the test is the link.
fn station(change: impl FnOnce(&mut InterfaceConfig)) -> Host {
    let mut eth = InterfaceConfig::ethernet("eth0", Port(0), mac(2));
    eth.duplicate_detection = DuplicateDetection::Off;
    let mut eth = eth.with_address("fd07::2/64".parse().unwrap());
    change(&mut eth);
    let mut host = Host::new(Config::default(), Rng::from_seed(1));
    host.add_interface(Instant::ZERO, eth);
    host
}

/// What a station makes of discovery's message, to it alone or to all nodes.
fn hear(host: &mut Host, at: Instant, (src, dst): (&str, &str), message: Vec<u8>) -> Fate {
    let message = summed(src, dst, message);
    let mut frame = packet(src, dst, 58, 255, &message);
    let to = match ip(dst).is_multicast() {
        true => MacAddr::from_ipv6_multicast(ip(dst)),
        false => mac(2),
    };
    crate::link::ethernet::encapsulate(&mut frame, to, mac(9), None, EtherType::IPV6);
    host.handle_frame(at, Port(0), frame)
}

/// A router's advertisement: of `fd09::/64`, preferred for so long, from this station.
fn advertised(from: u8, lifetime: u16, preferred: u32) -> Vec<u8> {
    let [high, low] = lifetime.to_be_bytes();
    let mut all = vec![134, 0, 0, 0, 64, 0, high, low, 0, 0, 0, 0, 0, 0, 0, 0];
    all.extend([1, 1, 2, 0, 0, 0, 0, from, 3, 4, 64, 0xc0]);
    all.extend(900_u32.to_be_bytes());
    all.extend(preferred.to_be_bytes());
    all.extend([0; 4]);
    all.extend(ip("fd09::").octets());
    all
}

fn asked(target: &str, options: &[u8]) -> Vec<u8> {
    let mut all = vec![135, 0, 0, 0, 0, 0, 0, 0];
    all.extend(ip(target).octets());
    all.extend(options);
    all
}

const TAKEN: Fate = Fate::Delivered(Consumer::Icmp);
const ALL: &str = "ff02::1";

fn known(host: &Host, addr: &str) -> Option<(State, Option<MacAddr>, bool)> {
    let neighbors = host.interfaces()[0].neighbors();
    let entry = neighbors.neighbor(ip(addr).into());
    entry.map(|n| (n.state, n.mac, n.router))
}

#[test]
fn a_router_is_stale_at_first_and_stays_one_when_it_asks() {
    //= RFC 4861 §6.3.4 an entry made, or changed, by an advertisement is STALE, and a router's.
    let now = Instant::ZERO;
    let mut host = station(|eth| eth.autoconfigure = true);
    let ends = ("fe80::9", ALL);
    for from in [9, 8] {
        assert_eq!(
            hear(&mut host, now, ends, advertised(from, 1800, 600)),
            TAKEN
        );
        let want = Some((State::Stale, Some(mac(from)), true));
        assert_eq!(known(&host, "fe80::9"), want);
    }
    //= RFC 4861 §7.2.3 and §14.2: a solicitation does not tell whether its sender is a router.
    let question = asked("fd07::2", &[1, 1, 2, 0, 0, 0, 0, 7]);
    assert_eq!(
        hear(&mut host, now, ("fe80::9", "fd07::2"), question),
        TAKEN
    );
    let want = Some((State::Stale, Some(mac(7)), true));
    assert_eq!(known(&host, "fe80::9"), want);
    // An advertisement without its link-layer address makes no less a router.
    let mut host = station(|eth| eth.autoconfigure = true);
    let question = asked("fd07::2", &[1, 1, 2, 0, 0, 0, 0, 9]);
    hear(&mut host, now, ("fe80::9", "fd07::2"), question);
    assert_eq!(known(&host, "fe80::9").map(|k| k.2), Some(false));
    let bare = advertised(9, 1800, 600)[..16].to_vec();
    assert_eq!(hear(&mut host, now, ends, bare), TAKEN);
    assert_eq!(known(&host, "fe80::9").map(|k| k.2), Some(true));
}

#[test]
fn options_of_no_meaning_are_ignored_wherever_they_stand() {
    //= RFC 4861 §7.1.1, §7.1.2 and §9: unknown ones, those of other messages, and in any order.
    let now = Instant::ZERO;
    let own = [1, 1, 2, 0, 0, 0, 0, 9];
    let others: [&[u8]; 4] = [
        &[2, 1, 2, 0, 0, 0, 0, 5],
        &[5, 1, 0, 0, 0, 0, 5, 220],
        &[99, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        &advertised(9, 1800, 600)[24..],
    ];
    for n in 0..=others.len() {
        let (before, behind) = others.split_at(n);
        let list = [&before.concat()[..], &own, &behind.concat()].concat();
        let mut host = station(|eth| eth.autoconfigure = true);
        let fate = hear(
            &mut host,
            now,
            ("fd07::1", "fd07::2"),
            asked("fd07::2", &list),
        );
        assert_eq!(fate, TAKEN);
        let want = Some((State::Stale, Some(mac(9)), false));
        assert_eq!(known(&host, "fd07::1"), want);
        // Its own announcements leave as well.
        let said = core::iter::from_fn(|| sent(&mut host, 0)).filter(|f| f[54] == 136);
        let said: Vec<_> = said.map(|f| f[58..62].to_vec()).collect();
        assert!(said.contains(&vec![0x60, 0, 0, 0]), "{said:02x?}");
        // No prefix was learned, nor an MTU.
        let interface = &host.interfaces()[0];
        assert_eq!(interface.addresses().len(), 2);
        let far: IpAddr = "fd09::1".parse().unwrap();
        assert!(host.routes().lookup(far).is_none());
    }
    // An answer with the asker's option instead of the target's says nothing of where it is.
    let mut host = station(|_| {});
    let socket = host.udp_bind("[::]:7".parse().unwrap()).unwrap();
    let data = Payload::from(Bytes::from_static(b"hello"));
    let to = Some("[fd07::1]:9".parse().unwrap());
    host.udp_send(now, socket, data, to).unwrap();
    let question = core::iter::from_fn(|| sent(&mut host, 0)).find(|f| f[54] == 135);
    assert_eq!(question.unwrap()[58..62], [0; 4]);
    let mut answer = asked("fd07::1", &own);
    answer[0] = 136;
    answer[4] = 0x60;
    hear(&mut host, now, ("fd07::1", "fd07::2"), answer.clone());
    assert_eq!(
        known(&host, "fd07::1").map(|k| k.0),
        Some(State::Incomplete)
    );
    answer[24] = 2;
    assert_eq!(hear(&mut host, now, ("fd07::1", "fd07::2"), answer), TAKEN);
    let want = Some((State::Reachable, Some(mac(9)), false));
    assert_eq!(known(&host, "fd07::1"), want);
}

#[test]
fn a_router_does_not_follow_redirects() {
    //= RFC 4861 §8.2 a router MUST NOT update its routing tables upon receipt of one.
    let redirect = || {
        let mut all = vec![137, 0, 0, 0, 0, 0, 0, 0];
        all.extend(ip("fe80::7").octets());
        all.extend(ip("2001:db8::1").octets());
        all
    };
    for (forwarding, want) in [
        (true, Fate::Dropped(DropReason::IcmpRedirectRefused)),
        (false, TAKEN),
    ] {
        let mut host = station(|_| {});
        host.config.forwarding = forwarding;
        let all = "::/0".parse().unwrap();
        host.add_route(Route::via(all, ip("fe80::9").into(), Port(0)))
            .unwrap();
        let fate = hear(&mut host, Instant::ZERO, ("fe80::9", "fd07::2"), redirect());
        assert_eq!(fate, want);
        assert_eq!(host.redirects().count(), usize::from(!forwarding));
    }
}

#[test]
fn a_deprecated_address_still_talks() {
    //= RFC 4862 §5.5.4 what is sent to it is processed, and who names it as a source gets it.
    let mut host = station(|eth| {
        eth.autoconfigure = true;
        eth.addresses.clear();
    });
    hear(
        &mut host,
        Instant::ZERO,
        ("fe80::9", ALL),
        advertised(9, 1800, 600),
    );
    let later = Instant::ZERO + Duration::from_secs(601);
    host.handle_timeout(later);
    while host.poll_transmit(later, Port(0)).is_some() {}
    let made = "fd09::ff:fe00:2";
    let of_us = host.interfaces()[0].addresses();
    let address = of_us.iter().find(|a| a.cidr.addr() == IpAddr::V6(ip(made)));
    assert!(address.is_some_and(|a| a.deprecated && a.usable));
    let question = vec![128, 0, 0, 0, 0, 9, 0, 1];
    assert_eq!(
        hear(&mut host, later, ("2001:db8::1", made), question),
        TAKEN
    );
    let frame = host.poll_transmit(later, Port(0)).unwrap().to_bytes();
    assert_eq!((frame[54], &frame[22..38]), (129, &ip(made).octets()[..]));
    let from = core::net::SocketAddr::new(ip(made).into(), 0);
    let to = "[2001:db8::1]:80".parse().unwrap();
    let options = crate::transport::tcp::Options::default();
    assert!(host.tcp_connect(later, to, Some(from), options).is_ok());
    let frame = host.poll_transmit(later, Port(0)).unwrap().to_bytes();
    assert_eq!((frame[20], &frame[22..38]), (6, &ip(made).octets()[..]));
}

#[test]
fn every_connection_on_a_path_hears_of_it() {
    //= RFC 8201 §5.2 TCP is told also where the report quotes a datagram of UDP.
    let hosts = vec![end("fd07::1/64"), end("fd07::2/64")];
    let mut net = Net::new(hosts, vec![[(0, 0), (1, 0)]]);
    let listen = crate::transport::tcp::ListenOptions::default();
    let web = net.hosts[1].tcp_listen("[::]:80".parse().unwrap(), listen);
    let (now, to) = (net.now, "[fd07::2]:80".parse().unwrap());
    let options = crate::transport::tcp::Options::default();
    let client = net.hosts[0].tcp_connect(now, to, None, options).unwrap();
    net.settle();
    let (peer, _) = net.hosts[1].tcp_accept(web.unwrap()).unwrap();
    let socket = net.hosts[0].udp_bind("[::]:0".parse().unwrap()).unwrap();
    let data = Payload::from(Bytes::from(vec![7; 1400]));
    let to = Some("[fd07::2]:7".parse().unwrap());
    net.hosts[0].udp_send(now, socket, data, to).unwrap();
    let quote = sent(&mut net.hosts[0], 0).unwrap();
    assert_eq!((quote[6], quote.len()), (17, 1448));
    let told = [&[2, 0, 0, 0], &1300_u32.to_be_bytes()[..], &quote[..1200]].concat();
    let told = packet(
        "fd09::9",
        "fd07::1",
        58,
        64,
        &summed("fd09::9", "fd07::1", told),
    );
    assert_eq!(net.hosts[0].handle_frame(now, Port(0), told), TAKEN);
    net.log.clear();
    net.hosts[0].tcp_send(now, client, &[7; 9000]).unwrap();
    net.run(Duration::from_secs(1));
    let mut got = vec![0; 9000];
    assert_eq!(net.hosts[1].tcp_recv(net.now, peer, &mut got), Ok(9000));
    let longest = net.log.iter().map(|l| l.1.len()).max();
    assert_eq!(longest, Some(1300));
}

#[test]
fn no_packet_leaves_the_zone_of_its_source() {
    //= RFC 4007 §9 it is discarded, and its source told with code 2 of destination unreachable.
    let mut router = router();
    let came = packet("fe80::99", FAR, 17, 64, &[0; 8]);
    let fate = router.handle_frame(Instant::ZERO, Port(0), came.clone());
    assert_eq!(fate, Fate::Dropped(DropReason::Ipv6NotForwardable));
    let told = sent(&mut router, 0).unwrap();
    assert_eq!(told[24..40], ip("fe80::99").octets());
    assert_eq!(
        (&told[40..42], &told[48..]),
        (&[1, 2][..], &came.to_bytes()[..])
    );
    assert_eq!(sent(&mut router, 1), None);
    // Back to its own link it may go; to an address of a link's nothing goes, and nothing is said.
    let beyond = Route::via("fd09::/64".parse().unwrap(), ip(NEAR).into(), Port(0));
    router.add_route(beyond).unwrap();
    let came = packet("fe80::99", "fd09::1", 17, 64, &[0; 8]);
    let fate = router.handle_frame(Instant::ZERO, Port(0), came);
    assert_eq!(fate, Fate::Forwarded);
    assert!(sent(&mut router, 0).is_some());
    let came = packet(NEAR, "fe80::98", 17, 64, &[0; 8]);
    let fate = router.handle_frame(Instant::ZERO, Port(0), came);
    assert_eq!(fate, Fate::Dropped(DropReason::Ipv6NotForwardable));
    assert_eq!(sent(&mut router, 0), None);
}

#[test]
fn who_comes_by_a_wrong_way_is_told_by_a_router() {
    //= RFC 4443 §3.1 code 5: the source fails a policy of where packets come in.
    for (forwarding, want) in [(true, Some([1, 5])), (false, None)] {
        let mut router = router();
        router.config.forwarding = forwarding;
        router.interfaces[1].config.reverse_path = ReversePath::Strict;
        let came = packet(NEAR, "fd02::fe", 17, 64, &[0; 8]);
        let fate = router.handle_frame(Instant::ZERO, Port(1), came);
        assert_eq!(fate, Fate::Dropped(DropReason::Ipv6ReversePath));
        let told = sent(&mut router, 0).map(|told| [told[40], told[41]]);
        assert_eq!((told, sent(&mut router, 1)), (want, None));
    }
}

#[test]
fn a_router_that_was_told_to_looks_at_options() {
    //= RFC 8200 §4.3 hop-by-hop options are examined on the way by those who are configured to.
    let option = |kind: u8| [&[58, 0, kind, 4, 0, 0, 0, 0][..], &echo(NEAR, FAR)].concat();
    let bad = Fate::Dropped(DropReason::Ipv6BadOption);
    let problem = Some([4, 2, 0, 0, 0, 42]);
    for (looks, next, kind, want, told) in [
        (false, 0, 0x9e, Fate::Forwarded, None),
        (true, 0, 0x1e, Fate::Forwarded, None),
        (true, 0, 0x5e, bad, None),
        (true, 0, 0x9e, bad, problem),
        (true, 0, 0xde, bad, problem),
        // Those for the destination are for it alone.
        (true, 60, 0x9e, Fate::Forwarded, None),
    ] {
        let mut router = router();
        router.config.hop_by_hop = looks;
        let came = packet(NEAR, FAR, next, 9, &option(kind));
        let fate = router.handle_frame(Instant::ZERO, Port(0), came);
        assert_eq!(fate, want, "{looks} {next} {kind:02x}");
        let heard = sent(&mut router, 0).map(|m| [m[40], m[41], m[44], m[45], m[46], m[47]]);
        assert_eq!(heard, told, "{looks} {next} {kind:02x}");
        assert_eq!(sent(&mut router, 1).is_some(), want == Fate::Forwarded);
    }
}

#[test]
fn a_groups_frame_is_as_good_as_any_but_that_no_errors_follow() {
    const PEER: &str = "fd07::9";
    const US: &str = "fd07::2";
    let all = MacAddr::from_ipv6_multicast(ip(ALL));
    let short =
        |more: u8, offset: u8, rest: &[u8]| [&[17, 0, 0, offset | more, 0, 0, 0, 7], rest].concat();
    let first = short(1, 0, &[0, 9, 0, 9, 0, 16, 0, 0]);
    let unknown = Fate::Dropped(DropReason::ProtocolUnknown);
    let datagram = |len: usize| {
        let mut datagram = Frame::copy_from(&vec![5; len]);
        let end = |a: &str, port| core::net::SocketAddr::new(ip(a).into(), port);
        crate::transport::udp::encapsulate(&mut datagram, end(PEER, 9), end(US, 9));
        datagram.to_bytes().to_vec()
    };
    let refused = Fate::Dropped(DropReason::UdpNoSocket);
    let option = [&[58, 0, 0x9e, 4, 0, 0, 0, 0][..], &echo(PEER, US)].concat();
    // With the type of what is said in a group's frame, and in one for us alone.
    for (next, rest, want, in_group, alone) in [
        (58, echo(PEER, US), TAKEN, Some(129), Some(129)),
        (17, datagram(2), refused, None, Some(1)),
        (200, vec![0; 8], unknown, None, Some(4)),
        // RFC 4443 §2.4 (e.4) excepts this, as (e.3) does of groups.
        (
            60,
            option,
            Fate::Dropped(DropReason::Ipv6BadOption),
            Some(4),
            Some(4),
        ),
        (44, first, Fate::Held, None, Some(3)),
    ] {
        for (to, want_told) in [
            (all, in_group),
            (MacAddr::BROADCAST, in_group),
            (mac(2), alone),
        ] {
            let mut host = station(|_| {});
            let peer =
                host.interfaces[0]
                    .neighbors
                    .set_static(Instant::ZERO, ip(PEER).into(), mac(9));
            peer.unwrap();
            while sent(&mut host, 0).is_some() {}
            let mut frame = packet(PEER, US, next, 64, &rest);
            crate::link::ethernet::encapsulate(&mut frame, to, mac(9), None, EtherType::IPV6);
            assert_eq!(
                host.handle_frame(Instant::ZERO, Port(0), frame),
                want,
                "{next} to {to}"
            );
            let mut now = Instant::ZERO;
            if want == Fate::Held {
                now += Duration::from_secs(70);
                host.handle_timeout(now);
            }
            let mut told = None;
            while let Some(frame) = host.poll_transmit(now, Port(0)) {
                let bytes = frame.to_bytes();
                if bytes[..6] == mac(9).0 {
                    told = Some(bytes[54]);
                }
            }
            assert_eq!(told, want_told, "{next} to {to}");
        }
    }
    // A datagram of which one piece came so is not told of either.
    let whole = datagram(8);
    for (one, other, want) in [(mac(2), mac(2), 1), (all, mac(2), 0), (mac(2), all, 0)] {
        let mut host = station(|_| {});
        for (to, more, offset, part) in [(one, 1, 0, &whole[..8]), (other, 0, 8, &whole[8..])] {
            let mut frame = packet(PEER, US, 44, 64, &short(more, offset, part));
            crate::link::ethernet::encapsulate(&mut frame, to, mac(9), None, EtherType::IPV6);
            host.handle_frame(Instant::ZERO, Port(0), frame);
        }
        assert_eq!(host.stats().reassembled, 1);
        assert_eq!(host.stats().icmp_errors_out, want, "{one} {other}");
        // And this holds for it alone.
        let mut frame = packet(PEER, US, 200, 64, &[0; 8]);
        crate::link::ethernet::encapsulate(&mut frame, mac(2), mac(9), None, EtherType::IPV6);
        host.handle_frame(Instant::ZERO, Port(0), frame);
        assert_eq!(host.stats().icmp_errors_out, want + 1);
    }
    // To others nothing is passed on.
    let mut router = station(|_| {});
    router.config.forwarding = true;
    let mut frame = packet(PEER, "fd07::8", 58, 64, &echo(PEER, "fd07::8"));
    crate::link::ethernet::encapsulate(&mut frame, all, mac(9), None, EtherType::IPV6);
    let fate = router.handle_frame(Instant::ZERO, Port(0), frame);
    assert_eq!(fate, Fate::Dropped(DropReason::Ipv6UnicastInGroupFrame));
}
