//! Requirements of RFC 9293 that the host keeps for its connections.

use super::*;
use crate::reason::DropReason;
use crate::transport::tcp::{ListenOptions, Options, State};
use crate::wire::tcp::Flags;
use core::net::SocketAddr;

fn to(addr: &str) -> SocketAddr {
    addr.parse().unwrap()
}

fn listening() -> (Net, ListenHandle) {
    let mut net = Net::pair();
    let web = net.hosts[1].tcp_listen(to("0.0.0.0:80"), ListenOptions::default());
    (net, web.unwrap())
}

/// Bytes of the IPv4 packets that host `at` got.
fn packets(net: &Net, at: usize) -> Vec<Vec<u8>> {
    let theirs = net.log.iter().filter(|(to, ..)| *to == at);
    let bytes = theirs.map(|(_, frame, _)| frame.to_bytes().to_vec());
    bytes.filter(|b| b[12..14] == [8, 0]).collect()
}

/// A segment in a packet, as the second host would get it from the first.
fn segment(src: [u8; 4], dst: [u8; 4], ip_options: &[u8], flags: Flags) -> Frame {
    let (src, dst) = (Ipv4Addr::from(src), Ipv4Addr::from(dst));
    let mut tcp = std::vec![
        0x13, 0x88, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0, 1, 0, 0, 0, 0, 0
    ];
    tcp[12..14].copy_from_slice(&(0x5000 | flags.bits()).to_be_bytes());
    let mut sum = crate::wire::checksum::Sum::new();
    sum.add_pseudo4(src, dst, crate::wire::Protocol::TCP, tcp.len());
    sum.add(&tcp);
    tcp[16..18].copy_from_slice(&sum.finish().to_be_bytes());
    let mut frame = Frame::copy_from(&tcp);
    let out = crate::net::ipv4::Outgoing {
        tos: 0,
        ident: 1,
        dont_fragment: false,
        ttl: 64,
        protocol: crate::wire::Protocol::TCP,
        src,
        dst,
        options: ip_options,
    };
    assert!(crate::net::ipv4::encapsulate(&mut frame, &out));
    let kind = crate::wire::EtherType::IPV4;
    crate::link::ethernet::encapsulate(&mut frame, mac(2), mac(1), None, kind);
    frame
}

#[test]
fn nobody_connects_to_everybody() {
    //= RFC 9293 §3.9.1.1 MUST-46
    let mut net = Net::pair();
    let now = net.now;
    for addr in ["224.0.0.1:80", "10.7.0.255:80", "255.255.255.255:80"] {
        let got = net.hosts[0].tcp_connect(now, to(addr), None, Options::default());
        assert!(got.is_err(), "{addr}");
    }
    net.settle();
    assert_eq!(packets(&net, 1).len(), 0);
}

#[test]
fn the_address_is_asked_for_or_chosen_and_kept() {
    //= RFC 9293 §3.9.1.1 MUST-43, MUST-44, MUST-45
    let (mut net, web) = listening();
    let second = "10.7.0.3/24".parse().unwrap();
    let now = net.now;
    net.hosts[0].add_address(now, 0, second);
    net.run(Duration::from_secs(10));
    for (from, want) in [(None, "10.7.0.1"), (Some(to("10.7.0.3:0")), "10.7.0.3")] {
        let now = net.now;
        net.log.clear();
        let h = net.hosts[0]
            .tcp_connect(now, to("10.7.0.2:80"), from, Options::default())
            .unwrap();
        net.settle();
        net.hosts[0].tcp_send(now, h, b"hello").unwrap();
        net.settle();
        let (_, peer) = net.hosts[1].tcp_accept(web).unwrap();
        assert_eq!(std::format!("{}", peer.ip()), want);
        let want: Ipv4Addr = want.parse().unwrap();
        let all = packets(&net, 1);
        assert!(all.len() >= 3 && all.iter().all(|p| p[26..30] == want.octets()));
    }
    // Not one that is somebody else's.
    let now = net.now;
    let other = Some(to("10.7.0.9:0"));
    let got = net.hosts[0].tcp_connect(now, to("10.7.0.2:80"), other, Options::default());
    assert!(got.is_err());
}

#[test]
fn diffserv_and_time_to_live_are_the_users() {
    //= RFC 9293 §3.9.1.9 MUST-48, SHLD-21, SHLD-22; §3.9.2 MUST-49
    let (mut net, _) = listening();
    let now = net.now;
    let with = |tos, ttl| Options {
        tos,
        ttl,
        ..Options::default()
    };
    let h = net.hosts[0]
        .tcp_connect(now, to("10.7.0.2:80"), None, with(0xb8, 7))
        .unwrap();
    net.settle();
    let marks = |net: &Net| -> Vec<_> {
        let mut all: Vec<_> = packets(net, 1).iter().map(|p| (p[15], p[22])).collect();
        all.dedup();
        all
    };
    assert_eq!(marks(&net), [(0xb8, 7)]);
    net.log.clear();
    net.hosts[0].tcp_set_options(now, h, with(0x28, 255));
    net.hosts[0].tcp_send(now, h, b"hello").unwrap();
    net.settle();
    assert_eq!(marks(&net), [(0x28, 255)]);
}

#[test]
fn listening_and_connecting_share_a_port() {
    //= RFC 9293 §3.9.1.1 MUST-41, MUST-42
    let mut net = Net::pair();
    let now = net.now;
    let from = Some(to("10.7.0.1:4000"));
    // Nobody answers: it stays in SYN-SENT.
    let h = net.hosts[0]
        .tcp_connect(now, to("10.7.0.77:80"), from, Options::default())
        .unwrap();
    let listener = net.hosts[0].tcp_listen(to("0.0.0.0:4000"), ListenOptions::default());
    assert!(listener.is_ok());
    assert_eq!(net.hosts[0].tcp_state(h), Some(State::SynSent));
    let again = net.hosts[0].tcp_listen(to("0.0.0.0:4000"), ListenOptions::default());
    assert!(again.is_err());
    assert_eq!(net.hosts[0].tcp_listeners().count(), 1);
    let now = net.now;
    let peer = net.hosts[1]
        .tcp_connect(now, to("10.7.0.1:4000"), None, Options::default())
        .unwrap();
    net.settle();
    assert_eq!(net.hosts[1].tcp_state(peer), Some(State::Established));
    assert_eq!(net.hosts[0].tcp_state(h), Some(State::SynSent));
}

#[test]
fn syns_from_nowhere_are_ignored() {
    //= RFC 9293 §3.9.2.3 MUST-63
    let (mut net, _) = listening();
    let now = net.now;
    for src in [
        [224, 0, 0, 1],
        [255; 4],
        [127, 0, 0, 1],
        [10, 7, 0, 255],
        [10, 7, 0, 2],
        [0; 4],
    ] {
        let fate =
            net.hosts[1].handle_frame(now, Port(0), segment(src, [10, 7, 0, 2], &[], Flags::SYN));
        assert!(matches!(fate, Fate::Dropped(_)), "{src:?}: {fate:?}");
    }
    net.settle();
    assert_eq!(packets(&net, 0).len(), 0);
    assert_eq!(net.hosts[1].tcp_connections().count(), 0);
}

#[test]
fn ip_options_are_ignored_but_source_routes_refused() {
    //= RFC 9293 §3.9.2 MUST-50
    let (mut net, _) = listening();
    let now = net.now;
    let unknown = [0x9e, 4, 0, 0];
    let frame = segment([10, 7, 0, 1], [10, 7, 0, 2], &unknown, Flags::SYN);
    let fate = net.hosts[1].handle_frame(now, Port(0), frame);
    assert!(matches!(fate, Fate::Delivered(_)), "{fate:?}");
    // We differ: RFC 9293 §3.9.2.1 MUST-53, SHLD-24 would have the way back kept.
    let route = [0x83, 7, 8, 10, 7, 0, 9, 0];
    let frame = segment([10, 7, 0, 1], [10, 7, 0, 2], &route, Flags::SYN);
    let fate = net.hosts[1].handle_frame(now, Port(0), frame);
    assert_eq!(fate, Fate::Dropped(DropReason::Ipv4SourceRoute));
}

#[test]
fn what_has_a_wrong_checksum_is_dropped() {
    //= RFC 9293 §3.1 MUST-3
    let (mut net, _) = listening();
    let now = net.now;
    let syn = || segment([10, 7, 0, 1], [10, 7, 0, 2], &[], Flags::SYN);
    let place = 14 + 20 + 16;
    for bit in 0..16 {
        let mut bytes = syn().to_bytes().to_vec();
        bytes[place + bit / 8] ^= 1 << (bit % 8);
        let fate = net.hosts[1].handle_frame(now, Port(0), Frame::copy_from(&bytes));
        assert_eq!(fate, Fate::Dropped(DropReason::TcpBadChecksum), "bit {bit}");
    }
    let stats = net.hosts[1].stats();
    assert_eq!(stats.dropped_in(DropReason::TcpBadChecksum), 16);
    assert_eq!(net.hosts[1].tcp_connections().count(), 0);
    let fate = net.hosts[1].handle_frame(now, Port(0), syn());
    assert!(matches!(fate, Fate::Delivered(_)), "{fate:?}");
    assert_eq!(net.hosts[1].tcp_connections().count(), 1);
}

#[test]
fn source_quench_is_dropped_in_silence() {
    //= RFC 9293 §3.9.2.2 MUST-55
    let (mut net, _) = listening();
    let now = net.now;
    let h = net.hosts[0]
        .tcp_connect(now, to("10.7.0.2:80"), None, Options::default())
        .unwrap();
    net.settle();
    net.hosts[0].tcp_send(now, h, &[0; 5000]).unwrap();
    let first = net.hosts[0].poll_transmit(now, Port(0)).unwrap().to_bytes();
    let before = net.hosts[0].tcp_status(now, h);
    let mut message = std::vec![4, 0, 0, 0, 0, 0, 0, 0];
    message.extend(&first[14..42]);
    let sum = crate::wire::checksum::of(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = Frame::copy_from(&message);
    let out = crate::net::ipv4::Outgoing {
        tos: 0,
        ident: 1,
        dont_fragment: false,
        ttl: 64,
        protocol: crate::wire::Protocol::ICMP,
        src: B,
        dst: A,
        options: &[],
    };
    assert!(crate::net::ipv4::encapsulate(&mut frame, &out));
    let kind = crate::wire::EtherType::IPV4;
    crate::link::ethernet::encapsulate(&mut frame, mac(1), mac(2), None, kind);
    let fate = net.hosts[0].handle_frame(now, Port(0), frame);
    assert_eq!(fate, Fate::Dropped(DropReason::IcmpUnknownType));
    assert_eq!(net.hosts[0].tcp_status(now, h), before);
}
