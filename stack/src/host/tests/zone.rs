//! Two links on which the same addresses are other people's.

use super::*;
use crate::frame::Payload;
use crate::machine::Consumer;
use crate::reason::DropReason;
use crate::transport::ErrorKind;
use crate::transport::tcp::{ListenOptions, Options, State};
use crate::transport::udp::PathMtu;
use crate::wire::{EtherType, Protocol, icmpv6, ipv6, zone};
use bytes::Bytes;
use core::net::{Ipv6Addr, SocketAddr};
use std::string::String;
use std::string::ToString as _;
use std::vec;

/// The address that both neighbours of the host in the middle have.
const TWIN: &str = "fe80::ff:fe00:1";
/// The address that the one in the middle has on both links.
const OURS: &str = "fe80::ff:fe00:5";

fn eth(name: &str, port: u16, station: u8, cidr: &str) -> InterfaceConfig {
    let eth = InterfaceConfig::ethernet(name, Port(port), mac(station));
    InterfaceConfig {
        duplicate_detection: DuplicateDetection::Off,
        ..eth.with_address(cidr.parse().unwrap())
    }
}

/// One with two interfaces, and a neighbour on each.
fn middle() -> Net {
    let mut hosts: Vec<Host> = (1..=3)
        .map(|seed| Host::new(Config::default(), Rng::from_seed(seed)))
        .collect();
    let start = Instant::ZERO;
    hosts[0].add_interface(start, eth("eth0", 0, 5, "fd01::5/64"));
    hosts[0].add_interface(start, eth("eth1", 1, 5, "fd02::5/64"));
    hosts[1].add_interface(start, eth("eth0", 0, 1, "fd01::1/64"));
    hosts[2].add_interface(start, eth("eth0", 0, 1, "fd02::1/64"));
    Net::new(hosts, vec![[(0, 0), (1, 0)], [(0, 1), (2, 0)]])
}

fn sock(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn end(addr: &str, zone: u32, port: u16) -> SocketAddr {
    let addr: Ipv6Addr = addr.parse().unwrap();
    zone::end(addr.into(), port, zone)
}

fn text(words: &'static str) -> Payload {
    Payload::from(Bytes::from(words))
}

/// What a socket has heard, and from whom.
fn heard(host: &mut Host, socket: UdpHandle) -> Option<(String, SocketAddr)> {
    let datagram = host.udp_recv(socket)?;
    let bytes = datagram.payload.to_bytes().to_vec();
    Some((String::from_utf8(bytes).unwrap(), datagram.from))
}

#[test]
fn a_datagram_goes_where_its_zone_says() {
    let mut net = middle();
    let now = net.now;
    let socket = net.hosts[0].udp_bind(sock("[::]:50")).unwrap();
    let servers = [1, 2].map(|n: usize| net.hosts[n].udp_bind(sock("[::]:7")).unwrap());
    for zone in [1u32, 2] {
        let n = zone as usize;
        let to = end(TWIN, zone, 7);
        net.hosts[0]
            .udp_send(now, socket, text("hi"), Some(to))
            .unwrap();
        net.settle();
        let (words, from) = heard(&mut net.hosts[n], servers[n - 1]).unwrap();
        // On its own host the sender is in the only zone that there is.
        assert_eq!((words.as_str(), from), ("hi", end(OURS, 1, 50)));
        assert!(heard(&mut net.hosts[3 - n], servers[2 - n]).is_none());
        net.hosts[n]
            .udp_send(now, servers[n - 1], text("yes"), Some(from))
            .unwrap();
        net.settle();
        let answer = heard(&mut net.hosts[0], socket);
        assert_eq!(answer, Some(("yes".to_string(), to)));
    }
    // To a group likewise.
    for zone in [1u32, 2] {
        let n = zone as usize;
        let to = Some(sock(&std::format!("[ff02::1%{zone}]:7")));
        net.hosts[0].udp_send(now, socket, text("all"), to).unwrap();
        net.settle();
        assert!(heard(&mut net.hosts[n], servers[n - 1]).is_some());
        assert!(heard(&mut net.hosts[3 - n], servers[2 - n]).is_none());
    }
}

#[test]
fn without_a_zone_nothing_is_guessed() {
    let mut net = middle();
    let now = net.now;
    let twin = end(TWIN, 0, 7);
    let host = &mut net.hosts[0];
    let socket = host.udp_bind(sock("[::]:50")).unwrap();
    let needs = Err(SendError::NeedsZone);
    assert_eq!(host.udp_send(now, socket, text("hi"), Some(twin)), needs);
    assert_eq!(host.udp_connect(socket, twin), needs);
    let (echo, _) = host.echo_open(1).unwrap();
    assert_eq!(
        host.echo_send(now, echo, twin.ip(), 1, text(""), &[]),
        needs
    );
    let connected = host.tcp_connect(now, twin, None, Options::default());
    assert_eq!(connected, Err(ConnectError::NeedsZone));
    let bound = host.udp_bind(end(OURS, 0, 60));
    assert_eq!(bound, Err(BindError::NeedsZone));
    let listener = host.tcp_listen(end(OURS, 0, 60), ListenOptions::default());
    assert_eq!(listener, Err(BindError::NeedsZone));
    // A zone that is none's, and an address that is not ours in the one that is given.
    let nowhere = host.udp_send(now, socket, text("hi"), Some(end(TWIN, 9, 7)));
    assert_eq!(nowhere, Err(SendError::NoRoute));
    assert_eq!(
        host.udp_bind(end(TWIN, 2, 60)),
        Err(BindError::NotAvailable)
    );
    assert!(SendError::NeedsZone.to_string().contains("fe80::1%eth0"));
    // Who has one link needs none, and hears which it was.
    let client = &mut net.hosts[1];
    let socket = client.udp_bind(end(TWIN, 0, 60)).unwrap();
    assert_eq!(client.udp_local(socket), Some(end(TWIN, 1, 60)));
    let sent = client.udp_send(now, socket, text("hi"), Some(end(OURS, 0, 7)));
    assert_eq!(sent, Ok(()));
    for (name, zone) in [
        ("eth0", Some(1)),
        ("eth1", Some(2)),
        ("2", Some(2)),
        ("3", None),
        ("0", None),
        ("x", None),
    ] {
        assert_eq!(net.hosts[0].zone(name), zone, "{name}");
    }
}

#[test]
fn one_address_and_port_are_bound_on_each_link() {
    let mut net = middle();
    let now = net.now;
    let bound = [1, 2].map(|zone| net.hosts[0].udp_bind(end(OURS, zone, 7)).unwrap());
    assert_eq!(
        net.hosts[0].udp_bind(end(OURS, 2, 7)),
        Err(BindError::InUse)
    );
    assert_eq!(net.hosts[0].udp_bind(sock("[::]:7")), Err(BindError::InUse));
    for n in [1, 2] {
        let socket = net.hosts[n].udp_bind(sock("[::]:9")).unwrap();
        net.hosts[n]
            .udp_send(now, socket, text("hi"), Some(end(OURS, 1, 7)))
            .unwrap();
        net.settle();
        let from = heard(&mut net.hosts[0], bound[n - 1]).map(|h| h.1);
        assert_eq!(from, Some(end(TWIN, n as u32, 9)));
        assert!(heard(&mut net.hosts[0], bound[2 - n]).is_none());
        // What it sends without a zone goes by its own link; nothing goes by the other.
        let to = Some(end(TWIN, 0, 9));
        net.hosts[0]
            .udp_send(now, bound[n - 1], text("yes"), to)
            .unwrap();
        net.settle();
        assert!(heard(&mut net.hosts[n], socket).is_some());
        let other = Some(end(TWIN, 3 - n as u32, 9));
        let wrong = net.hosts[0].udp_send(now, bound[n - 1], text("no"), other);
        assert_eq!(wrong, Err(SendError::NoRoute));
    }
    // Closed, it is free again on its link alone.
    net.hosts[0].udp_close(now, bound[0]);
    assert!(net.hosts[0].udp_bind(end(OURS, 1, 7)).is_ok());
    assert_eq!(
        net.hosts[0].udp_bind(end(OURS, 2, 7)),
        Err(BindError::InUse)
    );
}

#[test]
fn who_is_connected_hears_its_peer_alone() {
    let mut net = middle();
    let now = net.now;
    let socket = net.hosts[0].udp_bind(sock("[::]:50")).unwrap();
    net.hosts[0].udp_connect(socket, end(TWIN, 2, 9)).unwrap();
    for n in [1, 2] {
        let theirs = net.hosts[n].udp_bind(sock("[::]:9")).unwrap();
        net.hosts[n]
            .udp_send(now, theirs, text("hi"), Some(end(OURS, 1, 50)))
            .unwrap();
        net.settle();
        let from = heard(&mut net.hosts[0], socket).map(|h| h.1);
        assert_eq!(from, (n == 2).then_some(end(TWIN, 2, 9)), "{n}");
        net.hosts[n].udp_close(now, theirs);
    }
    // An error finds its way back by the same rule.
    net.hosts[0]
        .udp_send(now, socket, text("hi"), None)
        .unwrap();
    net.settle();
    let error = net.hosts[0].udp_take_error(socket).unwrap();
    assert_eq!(
        (error.kind, error.to),
        (ErrorKind::PortUnreachable, end(TWIN, 2, 9))
    );
}

#[test]
fn two_connections_differ_by_their_zone_alone() {
    let mut net = middle();
    let now = net.now;
    let local = |zone| Some(end(OURS, zone, 5000));
    let mut lines = Vec::new();
    for zone in [1u32, 2] {
        let n = zone as usize;
        let web = net.hosts[n].tcp_listen(end(TWIN, 0, 80), ListenOptions::default());
        let to = end(TWIN, zone, 80);
        let line = net.hosts[0].tcp_connect(now, to, local(zone), Options::default());
        let line = line.unwrap();
        net.settle();
        let (peer, from) = net.hosts[n].tcp_accept(web.unwrap()).unwrap();
        assert_eq!(from, end(OURS, 1, 5000));
        assert_eq!(net.hosts[0].tcp_local(line), local(zone));
        assert_eq!(net.hosts[0].tcp_remote(line), Some(to));
        lines.push((line, peer));
    }
    for (n, (line, peer)) in (1..).zip(lines) {
        let words = [b'0' + n as u8; 3];
        net.hosts[0].tcp_send(now, line, &words).unwrap();
        net.settle();
        let mut room = [0; 9];
        assert_eq!(net.hosts[n].tcp_recv(now, peer, &mut room), Ok(3));
        assert_eq!(room[..3], words);
    }
    // From an address of the other link nothing is begun.
    let to = end(TWIN, 2, 81);
    let wrong = net.hosts[0].tcp_connect(now, to, local(1), Options::default());
    assert_eq!(wrong, Err(ConnectError::NotAvailable));
    // Nobody listens there: the reset comes back by its link.
    let refused = net.hosts[0].tcp_connect(now, to, None, Options::default());
    let refused = refused.unwrap();
    net.settle();
    assert_eq!(net.hosts[0].tcp_state(refused), Some(State::Closed));
    let resets = [1, 2].map(|n: usize| net.hosts[n].stats().tcp.resets_of_connections_out);
    assert_eq!(
        resets.iter().sum::<u64>() + net.hosts[2].stats().resets_to_strangers_out,
        1
    );
}

#[test]
fn a_listener_hears_its_link_and_a_cookie_goes_back_by_it() {
    let mut net = middle();
    let now = net.now;
    let options = ListenOptions {
        cookies: crate::transport::tcp::Cookies::Always,
        ..ListenOptions::default()
    };
    let web = net.hosts[0].tcp_listen(end(OURS, 2, 80), options).unwrap();
    assert_eq!(
        net.hosts[0].tcp_listeners().next().map(|l| l.1),
        Some(end(OURS, 2, 80))
    );
    let calls = [1, 2].map(|n: usize| {
        let line = net.hosts[n].tcp_connect(now, end(OURS, 0, 80), None, Options::default());
        line.unwrap()
    });
    net.run(Duration::from_secs(1));
    assert_eq!(net.hosts[1].tcp_state(calls[0]), Some(State::Closed));
    assert_eq!(net.hosts[2].tcp_state(calls[1]), Some(State::Established));
    assert_eq!(net.hosts[0].stats().tcp.cookies_sent, 1);
    let (line, from) = net.hosts[0].tcp_accept(web).unwrap();
    assert_eq!(zone::of(from), 2);
    assert_eq!(net.hosts[0].tcp_local(line), Some(end(OURS, 2, 80)));
    // To ourselves, by either.
    let own = net.hosts[0].tcp_connect(now, end(OURS, 2, 80), None, Options::default());
    let own = own.unwrap();
    net.run(Duration::from_secs(1));
    assert_eq!(net.hosts[0].tcp_state(own), Some(State::Established));
}

/// A packet too big for host 0, by an interface, about what it sent there, which starts with its link
/// header.
fn too_big(net: &mut Net, at: u16, mtu: u16, sent: &[u8]) -> Fate {
    let quote = &sent[14..];
    let (quoted, _) = ipv6::Header::parse(quote).unwrap();
    let mut message = vec![2, 0, 0, 0, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend(&quote[..quote.len().min(1232)]);
    from_link(net, at, quoted.src, message)
}

/// A message of ICMPv6 for host 0 from its neighbour on an interface's link.
fn from_link(net: &mut Net, at: u16, dst: Ipv6Addr, mut message: Vec<u8>) -> Fate {
    let src: Ipv6Addr = TWIN.parse().unwrap();
    let sum = icmpv6::compute_checksum(src, dst, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = Frame::copy_from(&message);
    let marks = crate::net::ipv6::Outgoing {
        tos: 0,
        flow_label: 0,
        hop_limit: 255,
        protocol: Protocol::ICMPV6,
        src,
        dst,
    };
    assert!(crate::net::ipv6::encapsulate(&mut frame, &marks));
    crate::link::ethernet::encapsulate(&mut frame, mac(5), mac(1), None, EtherType::IPV6);
    let now = net.now;
    net.hosts[0].handle_frame(now, Port(at), frame)
}

/// Sends a datagram of this length from host 0 and gives the lengths of its packets, and the first.
fn packets(net: &mut Net, socket: UdpHandle, to: SocketAddr, len: usize) -> (Vec<usize>, Vec<u8>) {
    net.log.clear();
    let now = net.now;
    let data = Payload::from(Bytes::from(vec![7; len]));
    net.hosts[0].udp_send(now, socket, data, Some(to)).unwrap();
    net.settle();
    let all = net.log.iter().map(|(_, frame, _)| frame.to_bytes());
    let sent = all.filter(|f| f[6..12] == mac(5).0 && matches!(f[20], 17 | 44));
    let sent: Vec<_> = sent.collect();
    let lengths = sent.iter().map(|f| f.len() - 14).collect();
    (lengths, sent[0].to_vec())
}

#[test]
fn the_path_to_an_address_of_a_link_is_that_links() {
    let mut net = middle();
    let socket = net.hosts[0].udp_bind(sock("[::]:50")).unwrap();
    let [one, two] = [1, 2].map(|zone| end(TWIN, zone, 7));
    let (_, sent) = packets(&mut net, socket, one, 1400);
    assert_eq!(packets(&mut net, socket, two, 1400).0, [1448]);
    let taken = Fate::Delivered(Consumer::Icmp);
    assert_eq!(too_big(&mut net, 0, 1300, &sent), taken);
    let known = |net: &Net, to: SocketAddr| net.hosts[0].path_mtus().lookup(to);
    assert_eq!((known(&net, one), known(&net, two)), (Some(1300), None));
    let told = core::iter::from_fn(|| net.hosts[0].poll_event());
    let told: Vec<_> = told
        .filter(|e| matches!(e, Event::PathMtu { .. }))
        .collect();
    let (dst, mtu) = (one.into(), Some(1300));
    assert_eq!(told, [Event::PathMtu { dst, mtu }]);
    assert_eq!(packets(&mut net, socket, one, 1400).0, [1296, 208]);
    assert_eq!(packets(&mut net, socket, two, 1400).0, [1448]);
    // TCP's as well.
    for (n, mtu) in [(1, 1300), (2, 1500)] {
        let now = net.now;
        let web = net.hosts[n].tcp_listen(sock("[::]:80"), ListenOptions::default());
        let to = end(TWIN, n as u32, 80);
        let line = net.hosts[0].tcp_connect(now, to, None, Options::default());
        net.settle();
        let status = net.hosts[0].tcp_status(now, line.unwrap()).unwrap();
        assert_eq!((status.pmtu, web.is_ok()), (mtu, true));
    }
}

#[test]
fn a_redirect_of_an_address_of_a_link_is_that_links() {
    let mut net = middle();
    let socket = net.hosts[0].udp_bind(sock("[::]:50")).unwrap();
    let [one, two] = [1, 2].map(|zone| end(TWIN, zone, 7));
    for to in [one, two] {
        packets(&mut net, socket, to, 10);
    }
    let better: Ipv6Addr = "fe80::9".parse().unwrap();
    let station = [2, 1, 2, 0, 0, 0, 0, 9];
    let ours: Ipv6Addr = OURS.parse().unwrap();
    let redirect = |target: Ipv6Addr, dst: &str| {
        let mut message = vec![137, 0, 0, 0, 0, 0, 0, 0];
        message.extend(target.octets());
        message.extend(dst.parse::<Ipv6Addr>().unwrap().octets());
        message.extend(station);
        message
    };
    // On the second link alone: its neighbour has said who takes what is for it.
    let taken = Fate::Delivered(Consumer::Icmp);
    assert_eq!(from_link(&mut net, 1, ours, redirect(better, TWIN)), taken);
    let told: Vec<_> = net.hosts[0].redirects().map(|r| (r.0, r.1, r.2)).collect();
    assert_eq!(told, [(two.into(), better.into(), 1)]);
    assert_eq!(packets(&mut net, socket, one, 10).1[..6], mac(1).0);
    assert_eq!(packets(&mut net, socket, two, 10).1[..6], station[2..]);
    // Of our own address nobody can say so.
    let refused = Fate::Dropped(DropReason::IcmpRedirectRefused);
    assert_eq!(
        from_link(&mut net, 1, ours, redirect(better, OURS)),
        refused
    );
    // One gateway's silence says nothing of another's that has its address on the other link.
    assert_eq!(from_link(&mut net, 0, ours, redirect(better, TWIN)), taken);
    assert_eq!(net.hosts[0].redirects().count(), 2);
    net.hosts[0].forget_gateway(0, better.into());
    let left: Vec<_> = net.hosts[0].redirects().map(|r| r.2).collect();
    assert_eq!(left, [1]);
}

#[test]
fn the_path_to_a_group_is_the_narrowest_of_all() {
    //= RFC 8201 §5.2
    let mut net = middle();
    let now = net.now;
    let socket = net.hosts[0].udp_bind(sock("[::]:50")).unwrap();
    let taken = Fate::Delivered(Consumer::Icmp);
    let unmatched = Fate::Dropped(DropReason::IcmpQuoteUnmatched);
    for group in ["[ff02::7%1]:7", "[ff0e::7]:7"] {
        let to = sock(group);
        let (whole, sent) = packets(&mut net, socket, to, 1400);
        assert_eq!(whole, [1448], "{group}");
        // Of three members' paths the narrowest counts; below the least of IPv6 nothing is believed.
        for (mtu, fits) in [(1400, 1400), (1320, 1320), (1360, 1320), (1200, 1320)] {
            assert_eq!(too_big(&mut net, 0, mtu, &sent), taken, "{group} {mtu}");
            assert_eq!(net.hosts[0].path_mtus().lookup(to), Some(fits), "{group}");
        }
        let told = core::iter::from_fn(|| net.hosts[0].udp_take_error(socket));
        let told: Vec<_> = told.map(|e| e.kind).collect();
        let want = [1400, 1320, 1320, 1320].map(|mtu| ErrorKind::PacketTooBig { mtu });
        assert_eq!(told, want, "{group}");
        let (pieces, first) = packets(&mut net, socket, to, 1400);
        assert_eq!(pieces, [1320, 184], "{group}");
        assert_eq!(first[..2], [0x33, 0x33], "to the group still");
        assert_eq!(packets(&mut net, socket, to, 1272).0, [1320], "{group}");
        // Who must not be cut is told.
        net.hosts[0].udp_options(socket).unwrap().path_mtu = PathMtu::Require;
        let long = Payload::from(Bytes::from(vec![7; 1273]));
        let sends = net.hosts[0].udp_send(now, socket, long, Some(to));
        assert_eq!(sends, Err(SendError::TooLong { max: 1272 }));
        net.hosts[0].udp_options(socket).unwrap().path_mtu = PathMtu::Want;
        // What we never sent, from a port that is not ours or to another group, is no news.
        let mut forged = sent.clone();
        forged[14 + 41] ^= 1;
        assert_eq!(too_big(&mut net, 0, 1290, &forged), unmatched);
        let mut forged = sent.clone();
        forged[14 + 39] ^= 1;
        assert_eq!(too_big(&mut net, 0, 1290, &forged), unmatched);
        assert_eq!(net.hosts[0].path_mtus().lookup(to), Some(1320));
    }
    // The group of one link's members is another one on the other.
    let other = sock("[ff02::7%2]:7");
    assert_eq!(packets(&mut net, socket, other, 1400).0, [1448]);
}
