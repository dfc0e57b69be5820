//! IPv6 on Ethernet: addresses are claimed, neighbours found, missed and forgotten.

use super::*;
use crate::frame::Payload;
use crate::link::ethernet;
use crate::machine::Consumer;
use crate::net::groups::{FilterMode, GroupError};
use crate::net::ndp::{self, Outgoing};
use crate::net::neighbor::State;
use crate::net::{mld, slaac};
use crate::transport::ErrorKind;
use crate::wire::ndp::solicited_node;
use crate::wire::{Cidr, EtherType, Protocol, icmpv6, ipv6, ndp as wire};
use bytes::Bytes;
use core::net::{Ipv6Addr, SocketAddr};
use std::borrow::ToOwned as _;
use std::string::String;
use std::vec;

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn hello() -> Payload {
    Payload::from(Bytes::from_static(b"hello"))
}

fn six(last: u8, cidr: &str, change: impl FnOnce(&mut InterfaceConfig)) -> Host {
    let mut host = Host::new(Config::default(), Rng::from_seed(u64::from(last)));
    let mut eth =
        InterfaceConfig::ethernet("eth0", Port(0), mac(last)).with_address(cidr.parse().unwrap());
    change(&mut eth);
    host.add_interface(Instant::ZERO, eth);
    host
}

fn at_once(eth: &mut InterfaceConfig) {
    eth.duplicate_detection = DuplicateDetection::Off;
}

fn pair() -> Net {
    let hosts = vec![six(1, "fd07::1/64", at_once), six(2, "fd07::2/64", at_once)];
    Net::new(hosts, vec![[(0, 0), (1, 0)]])
}

fn state(host: &Host, addr: &str) -> Option<State> {
    let neighbors = host.interfaces()[0].neighbors();
    neighbors.neighbor(IpAddr::V6(ip(addr))).map(|n| n.state)
}

/// A UDP datagram of host 0's to this address.
fn say(net: &mut Net, to: &str) -> UdpHandle {
    let socket = net.hosts[0].udp_bind("[::]:0".parse().unwrap()).unwrap();
    let now = net.now;
    let to = Some(SocketAddr::new(to.parse().unwrap(), 7));
    net.hosts[0].udp_send(now, socket, hello(), to).unwrap();
    socket
}

/// What crossed: station, type and flags of discovery's messages, or the protocol of others.
fn story(net: &Net) -> Vec<String> {
    let told = net.log.iter().filter_map(|(_, frame, _)| {
        let bytes = frame.to_bytes();
        let (header, rest) = ipv6::Header::parse(bytes.get(14..)?).ok()?;
        if header.dst == mld::ALL_V2_ROUTERS {
            // Of these there is a test of their own.
            return None;
        }
        let kind = match (header.next_header, rest) {
            (Protocol::ICMPV6, [135, ..]) => "ns".to_owned(),
            (Protocol::ICMPV6, [136, _, _, _, flags, ..]) => std::format!("na {flags:02x}"),
            (Protocol::ICMPV6, [kind, ..]) => std::format!("icmp {kind}"),
            (other, _) => std::format!("{other}"),
        };
        Some(std::format!("{:02x} {kind} {}", bytes[0], header.dst))
    });
    told.collect()
}

/// A message of discovery's as a frame from this station.
fn frame(from: u8, out: Outgoing, hop_limit: u8) -> Frame {
    let mut frame = Frame::from_bytes(out.message.into());
    let marks = crate::net::ipv6::Outgoing {
        tos: 0,
        flow_label: 0,
        hop_limit,
        protocol: Protocol::ICMPV6,
        src: out.src,
        dst: out.dst,
    };
    assert!(crate::net::ipv6::encapsulate(&mut frame, &marks));
    let dst = match out.dst.is_multicast() {
        true => MacAddr::from_ipv6_multicast(out.dst),
        false => out.to.unwrap_or(mac(2)),
    };
    ethernet::encapsulate(&mut frame, dst, mac(from), None, EtherType::IPV6);
    frame
}

fn advertised(target: &str, from: u8, dst: Ipv6Addr, overrides: bool) -> Outgoing {
    let flags = ndp::Flags {
        overrides,
        ..ndp::Flags::default()
    };
    ndp::advertisement(mac(from), ip(target), dst, None, flags)
}

#[test]
fn neighbours_find_each_other() {
    let mut net = pair();
    let server = net.hosts[1].udp_bind("[::]:7".parse().unwrap()).unwrap();
    say(&mut net, "fd07::2");
    net.settle();
    let want = ["33 ns ff02::1:ff00:2", "02 na 60 fd07::1", "02 UDP fd07::2"];
    assert_eq!(story(&net), want);
    assert!(net.hosts[1].udp_recv(server).is_some());
    assert_eq!(state(&net.hosts[0], "fd07::2"), Some(State::Reachable));
    assert_eq!(state(&net.hosts[1], "fd07::1"), Some(State::Stale));
    // By their addresses on the link as well.
    net.log.clear();
    say(&mut net, "fe80::ff:fe00:2");
    net.settle();
    assert_eq!(story(&net)[2], "02 UDP fe80::ff:fe00:2");
    let sources: Vec<_> = net
        .log
        .iter()
        .map(|l| l.1.to_bytes()[22..38].to_vec())
        .collect();
    assert!(sources.iter().all(|s| s[..2] == [0xfe, 0x80]));
}

#[test]
fn nobody_answers_for_long() {
    let mut net = pair();
    let socket = say(&mut net, "fd07::9");
    net.run(Duration::from_secs(5));
    assert_eq!(story(&net), ["33 ns ff02::1:ff00:9"; 3]);
    let error = net.hosts[0].udp_take_error(socket).unwrap();
    assert_eq!(error.kind, ErrorKind::HostUnreachable);
    // A neighbour that falls silent is used, doubted, probed and deleted.
    say(&mut net, "fd07::2");
    net.settle();
    let mut seen = Vec::new();
    net.hosts[1].set_up(net.now, 0, false);
    for _ in 0..120 {
        let now = state(&net.hosts[0], "fd07::2");
        if seen.last() != Some(&now) {
            seen.push(now);
        }
        if now == Some(State::Stale) {
            net.log.clear();
            say(&mut net, "fd07::2");
        }
        net.run(Duration::from_millis(500));
    }
    let states = [State::Reachable, State::Stale, State::Delay, State::Probe];
    let want: Vec<_> = states.map(Some).into_iter().chain([None]).collect();
    assert_eq!(seen, want);
    let want = [
        "02 UDP fd07::2",
        "02 ns fd07::2",
        "02 ns fd07::2",
        "02 ns fd07::2",
    ];
    assert_eq!(story(&net), want, "RFC 4861 §7.3.3");
}

#[test]
fn a_neighbour_that_answers_probes_stays() {
    let mut net = pair();
    say(&mut net, "fd07::2");
    net.run(Duration::from_secs(60));
    assert_eq!(state(&net.hosts[0], "fd07::2"), Some(State::Stale));
    net.log.clear();
    say(&mut net, "fd07::2");
    net.run(Duration::from_secs(6));
    let said = story(&net);
    assert!(said.contains(&"02 ns fd07::2".to_owned()), "{said:?}");
    assert_eq!(state(&net.hosts[0], "fd07::2"), Some(State::Reachable));
}

#[test]
fn addresses_wait_until_nobody_else_has_them() {
    let before = |_: &mut InterfaceConfig| {};
    let mut net = Net::new(
        vec![six(1, "fd07::1/64", before), six(2, "fd07::2/64", before)],
        vec![[(0, 0), (1, 0)]],
    );
    let socket = net.hosts[0].udp_bind("[::]:0".parse().unwrap()).unwrap();
    let to = Some("[fd07::2]:7".parse().unwrap());
    let sent = net.hosts[0].udp_send(net.now, socket, hello(), to);
    assert_eq!(sent, Err(SendError::NoRoute), "no address yet");
    assert!(!net.hosts[1].interfaces()[0].holds(ip("fd07::2")));
    net.run(Duration::from_secs(3));
    let said = story(&net);
    let of = |text: &str| said.iter().filter(|s| s.starts_with(text)).count();
    // Each claims two: what it was given, and what it made from its MAC.
    assert_eq!((of("33 ns"), of("33 na 00 ff02::2")), (4, 4), "{said:?}");
    let usable = |host: &mut Host| {
        let events = core::iter::from_fn(|| host.poll_event());
        events
            .filter(|e| matches!(e, Event::AddressUsable { .. }))
            .count()
    };
    assert_eq!(net.hosts.iter_mut().map(usable).sum::<usize>(), 4);
    for host in &net.hosts {
        let addresses = host.interfaces()[0].addresses();
        assert!(addresses.len() == 2 && addresses.iter().all(|a| a.usable));
    }
    // A third wants one of theirs.
    let taken = "fd07::2/64".parse().unwrap();
    net.hosts[0].add_address(net.now, 0, taken);
    net.run(Duration::from_secs(3));
    let lost = Event::AddressConflict {
        interface: 0,
        addr: ip("fd07::2").into(),
        mac: mac(2),
        lost: true,
    };
    assert_eq!(net.hosts[0].poll_event(), Some(lost));
    assert!(!net.hosts[0].interfaces()[0].holds(ip("fd07::2")));
    assert!(net.hosts[1].interfaces()[0].holds(ip("fd07::2")));
}

#[test]
fn an_optimistic_address_answers_but_asks_nobody() {
    let optimistic =
        |eth: &mut InterfaceConfig| eth.duplicate_detection = DuplicateDetection::Optimistic;
    let hosts = vec![
        six(1, "fd07::1/64", at_once),
        six(2, "fd07::2/64", optimistic),
    ];
    let mut net = Net::new(hosts, vec![[(0, 0), (1, 0)]]);
    let holds = |net: &Net| net.hosts[1].interfaces()[0].holds(ip("fd07::2"));
    assert!(holds(&net));
    say(&mut net, "fd07::2");
    net.settle();
    assert_eq!(story(&net)[1], "02 na 40 fd07::1", "Override clear");
    net.run(Duration::from_secs(2));
    net.log.clear();
    net.hosts[0]
        .interface_mut(0)
        .unwrap()
        .neighbors
        .remove(ip("fd07::2").into());
    say(&mut net, "fd07::2");
    net.settle();
    assert_eq!(story(&net)[1], "02 na 60 fd07::1");
    // Another one has it: it is given up.
    let mut late = six(2, "fd07::1/64", optimistic);
    let out = advertised("fd07::1", 9, ndp::ALL_NODES, true);
    let now = Instant::ZERO;
    late.handle_timeout(now);
    late.poll_transmit(now, Port(0)).unwrap();
    let fate = late.handle_frame(now, Port(0), frame(9, out, 255));
    assert_eq!(fate, Fate::Dropped(DropReason::NdpConflict));
    assert!(!late.interfaces()[0].holds(ip("fd07::1")));
    // Nothing is asked from an optimistic address: the packet waits.
    let mut late = six(2, "fd07::2/64", optimistic);
    late.add_route(Route::on_link("::/0".parse().unwrap(), Port(0)))
        .unwrap();
    let socket = late.udp_bind("[::]:0".parse().unwrap()).unwrap();
    let to = Some("[fd07::1]:7".parse().unwrap());
    late.udp_send(now, socket, hello(), to).unwrap();
    let mut net = Net::new(
        vec![late, six(1, "fd07::1/64", at_once)],
        vec![[(0, 0), (1, 0)]],
    );
    net.run(Duration::from_millis(3000));
    let said = story(&net);
    let want = [
        "33 na 00 ff02::2",
        "33 na 00 ff02::2",
        "33 ns ff02::1:ff00:1",
        "02 na 60 fd07::2",
        "02 UDP fd07::1",
    ];
    assert_eq!(said[..5], want);
}

#[test]
fn twins_find_out() {
    // Two stations with one MAC, and so with one address on their link.
    for (first, second) in [
        (DuplicateDetection::Before, DuplicateDetection::Before),
        (DuplicateDetection::Off, DuplicateDetection::Before),
        (DuplicateDetection::Off, DuplicateDetection::Optimistic),
    ] {
        let twin = |seed, cidr: &str, how| {
            six(seed, cidr, |eth| {
                eth.mac = mac(1);
                eth.duplicate_detection = how;
            })
        };
        let hosts = vec![twin(1, "fd07::1/64", first), twin(2, "fd07::2/64", second)];
        let mut net = Net::new(hosts, vec![[(0, 0), (1, 0)]]);
        net.run(Duration::from_secs(5));
        let link = ip("fe80::ff:fe00:1");
        let left = net.hosts.iter().filter(|h| h.interfaces()[0].holds(link));
        assert!(left.count() <= 1, "{first:?} {second:?}");
        let late = first == DuplicateDetection::Off;
        assert!(!late || !net.hosts[1].interfaces()[0].holds(link));
    }
    // What else comes from our own station is our own.
    let mut host = six(1, "fd07::1/64", at_once);
    let mut out = frame(1, advertised("fd07::1", 1, ndp::ALL_NODES, true), 255)
        .to_bytes()
        .to_vec();
    out[54] = 200;
    let fate = host.handle_frame(Instant::ZERO, Port(0), Frame::copy_from(&out));
    assert_eq!(fate, Fate::Dropped(DropReason::LinkBadSource));
}

#[test]
fn one_mac_twice_ends_ipv6() {
    // The address made from a MAC is another's: RFC 4862 §5.4.5.
    let mut host = six(1, "fd07::1/64", |_| {});
    let link = "fe80::ff:fe00:1";
    let out = advertised(link, 9, ndp::ALL_NODES, true);
    let fate = host.handle_frame(Instant::ZERO, Port(0), frame(9, out, 255));
    assert_eq!(fate, Fate::Dropped(DropReason::NdpConflict));
    let mut net = Net::new(
        vec![host, six(2, "fd07::2/64", at_once)],
        vec![[(0, 0), (1, 0)]],
    );
    net.run(Duration::from_secs(5));
    let of_us = net.hosts[0].interfaces()[0].addresses();
    assert!(of_us.len() == 2 && of_us.iter().all(|a| !a.usable));
    let asked = ndp::solicitation(mac(2), ip("fd07::2"), ip("fd07::1"), None);
    let fate = net.hosts[0].handle_frame(net.now, Port(0), frame(2, asked, 255));
    assert_eq!(fate, Fate::Dropped(DropReason::Ipv6Disabled));
    assert!(net.hosts[0].poll_transmit(net.now, Port(0)).is_none());
}

#[test]
fn what_is_refused() {
    let mut net = pair();
    let now = net.now;
    let good = ndp::solicitation(mac(1), ip("fd07::1"), ip("fd07::2"), None);
    let mut broken = good.clone();
    broken.message[20] ^= 1;
    let to_us = ndp::solicitation(mac(1), ip("fd07::1"), ip("fd07::2"), Some(mac(2)));
    let in_group = Outgoing {
        to: Some(MacAddr::from_ipv6_multicast(ndp::ALL_NODES)),
        ..to_us.clone()
    };
    let request = icmpv6::Message::RouterSolicitation(crate::wire::ndp::RouterSolicitation {
        reserved: 0,
        options: &[],
    });
    let mut bytes = vec![0; request.emit_len()];
    let sum = request.compute_checksum(ip("fe80::1"), ndp::ALL_NODES);
    request
        .emit(&mut crate::wire::Writer::new(&mut bytes), sum)
        .unwrap();
    let router = Outgoing {
        src: ip("fe80::1"),
        dst: ndp::ALL_NODES,
        to: None,
        message: bytes,
    };
    let stranger = advertised("fd07::7", 7, ndp::ALL_NODES, true);
    for (out, hop_limit, want) in [
        (good.clone(), 255, None),
        (to_us, 255, None),
        (good, 254, Some(DropReason::NdpHopLimit)),
        (broken, 255, Some(DropReason::IcmpBadChecksum)),
        (in_group, 255, None),
        (router, 255, Some(DropReason::IcmpIgnored)),
        (stranger, 255, Some(DropReason::NdpUnsolicited)),
    ] {
        let fate = net.hosts[1].handle_frame(now, Port(0), frame(1, out.clone(), hop_limit));
        let want = want.map_or(Fate::Delivered(Consumer::Icmp), Fate::Dropped);
        assert_eq!(fate, want, "{out:?}");
    }
    assert!(net.hosts[1].stats().is_conserved());
}

#[test]
fn a_group_is_answered_on_its_link() {
    let mut net = pair();
    let now = net.now;
    let echo = net.hosts[0].echo_open(7).unwrap().0;
    let all = IpAddr::V6(ndp::ALL_NODES);
    let asked = net.hosts[0].echo_send(now, echo, all, 1, hello(), &[]);
    asked.unwrap();
    net.settle();
    let answer = net.hosts[0].raw_recv(echo).unwrap();
    assert_eq!(answer.from, IpAddr::V6(ip("fe80::ff:fe00:2")));
}

#[test]
fn two_links_may_have_one_address() {
    // Both neighbours of the one in the middle have the same link-local address.
    let mut middle = six(5, "fd01::5/64", at_once);
    let mut other = InterfaceConfig::ethernet("eth1", Port(1), mac(6));
    other.duplicate_detection = DuplicateDetection::Off;
    let other = other.with_address("fd02::5/64".parse().unwrap());
    middle.add_interface(Instant::ZERO, other);
    let hosts = vec![
        middle,
        six(1, "fd01::1/64", at_once),
        six(1, "fd02::1/64", at_once),
    ];
    let mut net = Net::new(hosts, vec![[(0, 0), (1, 0)], [(0, 1), (2, 0)]]);
    let link = [ip("fe80::ff:fe00:5"), ip("fe80::ff:fe00:6")];
    for (n, to) in [(1, link[0]), (2, link[1])] {
        let echo = net.hosts[n].echo_open(7).unwrap().0;
        let now = net.now;
        net.hosts[n]
            .echo_send(now, echo, to, 1, hello(), &[])
            .unwrap();
        net.settle();
        let answer = net.hosts[n].raw_recv(echo).map(|a| a.from);
        assert_eq!(answer, Some(IpAddr::V6(to)), "host {n}");
        // The address of the other link is nobody's here.
        let wrong = link[2 - n];
        net.hosts[n]
            .echo_send(now, echo, wrong, 2, hello(), &[])
            .unwrap();
        net.run(Duration::from_secs(4));
        assert!(net.hosts[n].raw_recv(echo).is_none());
    }
}

#[test]
fn a_router_between_two_links_of_stations() {
    let mut router = Host::new(
        Config {
            forwarding: true,
            ..Config::default()
        },
        Rng::from_seed(5),
    );
    for (port, cidr) in [(0, "fd01::5/64"), (1, "fd02::5/64")] {
        let name = ["a", "b"][usize::from(port)];
        let mut eth = InterfaceConfig::ethernet(name, Port(port), mac(50 + port as u8))
            .with_address(cidr.parse().unwrap());
        at_once(&mut eth);
        router.add_interface(Instant::ZERO, eth);
    }
    let mut hosts = vec![
        six(1, "fd01::1/64", at_once),
        router,
        six(2, "fd02::2/64", at_once),
    ];
    let everywhere: Cidr = "::/0".parse().unwrap();
    // By its address on the link, which is what routers advertise.
    for (n, via) in [(0, "fe80::ff:fe00:32"), (2, "fe80::ff:fe00:33")] {
        let route = Route::via(everywhere, via.parse().unwrap(), Port(0));
        hosts[n].add_route(route).unwrap();
    }
    let mut net = Net::new(hosts, vec![[(0, 0), (1, 0)], [(1, 1), (2, 0)]]);
    let server = net.hosts[2].udp_bind("[::]:7".parse().unwrap()).unwrap();
    say(&mut net, "fd02::2");
    net.settle();
    let got = net.hosts[2].udp_recv(server).unwrap();
    assert_eq!(got.from.ip(), IpAddr::V6(ip("fd01::1")), "not the link's");
    let router = net.hosts[1].interfaces()[0].neighbors();
    assert!(router.neighbor(ip("fd01::1").into()).is_some());
    let known = net.hosts[0].interfaces()[0].neighbors();
    let gateway = known.neighbor(ip("fe80::ff:fe00:32").into()).unwrap();
    assert!(gateway.router, "it said so");
    // Who is not there is reported by the router.
    let socket = say(&mut net, "fd02::9");
    net.run(Duration::from_secs(5));
    let error = net.hosts[0].udp_take_error(socket).unwrap();
    assert_eq!(error.offender, IpAddr::V6(ip("fd01::5")));
}

#[test]
fn a_link_that_comes_back_is_asked_anew() {
    let mut net = Net::new(
        vec![six(1, "fd07::99/64", |_| {}), six(2, "fd07::2/64", at_once)],
        vec![[(0, 0), (1, 0)]],
    );
    net.run(Duration::from_secs(3));
    let holds = |net: &Net| net.hosts[0].interfaces()[0].holds(ip("fd07::99"));
    assert!(holds(&net));
    net.hosts[0].set_up(net.now, 0, false);
    net.hosts[0].set_up(net.now, 0, true);
    assert!(!holds(&net));
    net.run(Duration::from_secs(3));
    assert!(holds(&net));
    // What is removed is heard and held no more.
    net.hosts[0].remove_address(net.now, 0, ip("fd07::99").into());
    let asked = ndp::solicitation(mac(2), ip("fd07::2"), ip("fd07::99"), None);
    let fate = net.hosts[0].handle_frame(net.now, Port(0), frame(2, asked, 255));
    assert_eq!(fate, Fate::Dropped(DropReason::LinkGroupNotJoined));
}

#[test]
fn only_where_it_is_asked_for() {
    let mut four = host(1, "10.7.0.1/24");
    assert_eq!(four.interfaces()[0].addresses().len(), 1);
    let asked = ndp::solicitation(mac(2), ip("fd07::2"), ip("fd07::1"), Some(mac(1)));
    let fate = four.handle_frame(Instant::ZERO, Port(0), frame(2, asked, 255));
    assert_eq!(fate, Fate::Dropped(DropReason::Ipv6Disabled));
    let mut both = Host::new(Config::default(), Rng::from_seed(1));
    let mut eth = InterfaceConfig::ethernet("eth0", Port(0), mac(1));
    eth.ipv6 = true;
    both.add_interface(Instant::ZERO, eth);
    let made = both.interfaces()[0].addresses()[0].cidr;
    assert_eq!(made, "fe80::ff:fe00:1/64".parse().unwrap());
}

/// What the router at `fe80::9`, station 9, says of itself and of `fd09::/64`.
fn routed(lifetime: u16, valid: u32, preferred: u32) -> Outgoing {
    let prefix = wire::NdpOption::PrefixInformation(prefix("fd09::", valid, preferred));
    advertising(lifetime, (64, 0, 0), &[prefix])
}

fn prefix(text: &str, valid: u32, preferred: u32) -> wire::PrefixInformation {
    wire::PrefixInformation {
        prefix_len: 64,
        on_link: true,
        autonomous: true,
        router_address: false,
        reserved: 0,
        valid_lifetime: valid,
        preferred_lifetime: preferred,
        reserved2: 0,
        prefix: ip(text),
    }
}

/// The same router's advertisement, with these options and its link-layer address behind them.
fn advertising(
    lifetime: u16,
    (hops, reachable, retrans): (u8, u32, u32),
    said: &[wire::NdpOption<'_>],
) -> Outgoing {
    let station = mac(9).0;
    let here = wire::NdpOption::SourceLinkLayerAddress(&station);
    let len = |o: &wire::NdpOption<'_>| o.emit_len();
    let mut options = vec![0; said.iter().map(len).sum::<usize>() + 8];
    let mut w = crate::wire::Writer::new(&mut options);
    for option in said.iter().chain([&here]) {
        option.emit(&mut w).unwrap();
    }
    let message = icmpv6::Message::RouterAdvertisement(wire::RouterAdvertisement {
        cur_hop_limit: hops,
        flags: wire::RouterFlags(0),
        router_lifetime: lifetime,
        reachable_time: reachable,
        retrans_timer: retrans,
        options: &options,
    });
    let (src, dst) = (ip("fe80::9"), ndp::ALL_NODES);
    let mut bytes = vec![0; message.emit_len()];
    let sum = message.compute_checksum(src, dst);
    message
        .emit(&mut crate::wire::Writer::new(&mut bytes), sum)
        .unwrap();
    Outgoing {
        src,
        dst,
        to: None,
        message: bytes,
    }
}

#[test]
fn packets_leave_as_routers_say() {
    let listens = |eth: &mut InterfaceConfig| {
        eth.autoconfigure = true;
        eth.duplicate_detection = DuplicateDetection::Off;
    };
    let hosts = vec![six(1, "fd07::1/64", listens), six(2, "fd07::2/64", at_once)];
    let mut net = Net::new(hosts, vec![[(0, 0), (1, 0)]]);
    let hear = |net: &mut Net, fields, mtu, lifetime| {
        let routed = ip("2001:db8::").octets();
        let said = [
            wire::NdpOption::Mtu { reserved: 0, mtu },
            wire::NdpOption::RouteInformation {
                prefix_len: 32,
                flags: 0,
                lifetime,
                prefix: &routed[..8],
            },
        ];
        let frame = frame(9, advertising(0, fields, &said), 255);
        let fate = net.hosts[0].handle_frame(net.now, Port(0), frame);
        assert_eq!(fate, Fate::Delivered(Consumer::Icmp));
    };
    let server = net.hosts[1].udp_bind("[::]:7".parse().unwrap()).unwrap();
    let long = |net: &mut Net, want: &[usize]| {
        let socket = net.hosts[0].udp_bind("[::]:0".parse().unwrap()).unwrap();
        let (now, to) = (net.now, Some("[fd07::2]:7".parse().unwrap()));
        let data = Payload::from(Bytes::from(vec![7; 1400]));
        say(net, "fd07::2");
        net.settle();
        net.log.clear();
        net.hosts[0].udp_send(now, socket, data, to).unwrap();
        net.settle();
        let ours = net.log.iter().filter(|(to, ..)| *to == 1);
        let lens: Vec<_> = ours.map(|(_, frame, _)| frame.len()).collect();
        assert_eq!(lens, want);
        net.log[0].1.to_bytes()[21]
    };
    assert_eq!(long(&mut net, &[1462]), 64);
    hear(&mut net, (42, 30_000, 250), 1280, 600);
    assert_eq!(long(&mut net, &[1294, 238]), 42, "cut for the MTU");
    let neighbors = net.hosts[0].interfaces()[0].neighbors();
    let times = (Duration::from_secs(30), Duration::from_millis(250));
    assert_eq!(neighbors.times6(), times);
    // An echo reply, a reset and an error have it too.
    let closed = net.hosts[1].udp_bind("[::]:0".parse().unwrap()).unwrap();
    let (now, to) = (net.now, Some("[fd07::1]:99".parse().unwrap()));
    net.hosts[1].udp_send(now, closed, hello(), to).unwrap();
    net.log.clear();
    net.settle();
    let error = net.log.iter().find(|(to, ..)| *to == 1).unwrap();
    assert_eq!(error.1.to_bytes()[21], 42);
    // A socket's own wish goes before, and the link's MTU bounds what is said.
    hear(&mut net, (0, 0, 0), 9000, 600);
    assert_eq!(long(&mut net, &[1462]), 42);
    assert!(net.hosts[1].udp_recv(server).is_some());
    let leaves = |net: &Net| {
        let dst = "2001:db8::1".parse().unwrap();
        net.hosts[0]
            .routes()
            .lookup(dst)
            .and_then(|r| r.next_hop(dst))
    };
    assert_eq!(leaves(&net), "fe80::9".parse().ok());
    hear(&mut net, (0, 0, 0), 9000, 0);
    assert_eq!(leaves(&net), None);
    // Asked four times a second, a neighbour that is not there is soon known not to be.
    let socket = say(&mut net, "fd07::9");
    net.run(Duration::from_millis(800));
    assert!(net.hosts[0].udp_take_error(socket).is_some());
}

#[test]
fn a_host_does_as_its_router_says() {
    let listens = |eth: &mut InterfaceConfig| {
        eth.autoconfigure = true;
        eth.addresses.clear();
    };
    // The wire's other end is dumb: the router is this test.
    let dumb = Host::new(Config::default(), Rng::from_seed(2));
    let mut net = Net::new(
        vec![six(1, "fd07::1/64", listens), dumb],
        vec![[(0, 0), (1, 0)]],
    );
    net.run(Duration::from_secs(20));
    let asked: Vec<_> = story(&net)
        .into_iter()
        .filter(|s| s.contains("icmp 133"))
        .collect();
    assert_eq!(asked, ["33 icmp 133 ff02::2"; 3], "at 0 to 1, 4 and 12 s");
    let hear = |net: &mut Net, out: Outgoing| {
        let now = net.now;
        net.hosts[0].handle_frame(now, Port(0), frame(9, out, 255))
    };
    let fate = hear(&mut net, routed(1800, 900, 600));
    assert_eq!(fate, Fate::Delivered(Consumer::Icmp));
    net.log.clear();
    net.run(Duration::from_secs(30));
    let said = story(&net);
    assert!(said.iter().all(|s| !s.contains("icmp 133")), "{said:?}");
    let made = ip("fd09::ff:fe00:1");
    assert!(net.hosts[0].interfaces()[0].holds(made));
    let leaves = |net: &Net, dst: &str| {
        let route = net.hosts[0].routes().lookup(dst.parse().unwrap());
        route.map(|r| r.next_hop(dst.parse().unwrap()))
    };
    let next = |addr: &str| Some(Some(addr.parse().unwrap()));
    assert_eq!(leaves(&net, "2001:db8::1"), next("fe80::9"));
    assert_eq!(leaves(&net, "fd09::77"), next("fd09::77"));
    let known = net.hosts[0].interfaces()[0].neighbors();
    assert!(known.neighbor(ip("fe80::9").into()).unwrap().router);
    // What is far goes to the router, from the address that was made.
    net.log.clear();
    say(&mut net, "2001:db8::1");
    net.settle();
    let bytes = net.log[0].1.to_bytes();
    assert_eq!(
        (&bytes[..6], &bytes[22..38]),
        (&mac(9).0[..], &made.octets()[..])
    );
    // Deprecated, it is still held; then its time ends.
    net.run(Duration::from_secs(600));
    let of_us = |net: &Net| net.hosts[0].interfaces()[0].addresses().to_vec();
    assert!(of_us(&net).iter().any(|a| a.deprecated && a.usable));
    net.run(Duration::from_secs(400));
    assert!(
        of_us(&net)
            .iter()
            .all(|a| a.cidr.addr() != IpAddr::V6(made))
    );
    assert_eq!(leaves(&net, "fd09::77"), next("fe80::9"));
    // The router says that it is none.
    hear(&mut net, routed(0, 900, 600));
    assert_eq!(leaves(&net, "2001:db8::1"), None);
    assert_eq!(of_us(&net).len(), 2, "its prefix is good all the same");
    hear(&mut net, routed(1800, 900, 600));
    assert_eq!(leaves(&net, "2001:db8::1"), next("fe80::9"));
    // Or that it is a host.
    hear(&mut net, advertised("fe80::9", 9, ndp::ALL_NODES, true));
    assert_eq!(leaves(&net, "2001:db8::1"), None);
    assert!(net.hosts[0].stats().is_conserved());
}

#[test]
fn who_was_not_told_to_listen_does_not() {
    let mut net = pair();
    let now = net.now;
    let fate = net.hosts[1].handle_frame(now, Port(0), frame(9, routed(1800, 900, 600), 255));
    assert_eq!(fate, Fate::Dropped(DropReason::IcmpIgnored));
    assert_eq!(net.hosts[1].interfaces()[0].addresses().len(), 2);
}

#[test]
fn a_silent_router_gives_way_to_another() {
    let listens = |eth: &mut InterfaceConfig| {
        eth.autoconfigure = true;
        eth.duplicate_detection = DuplicateDetection::Off;
    };
    let mut hosts = vec![six(1, "fd07::1/64", listens), six(2, "fd07::2/64", at_once)];
    hosts[1].config.forwarding = true;
    let mut net = Net::new(hosts, vec![[(0, 0), (1, 0)]]);
    let now = net.now;
    net.hosts[0].handle_frame(now, Port(0), frame(9, routed(1800, 900, 600), 255));
    let mut second = routed(1800, 900, 600);
    second.src = ip("fe80::ff:fe00:2");
    second.message[2..4].fill(0);
    // It is host 1, who answers.
    second.message[56 - 6..].copy_from_slice(&mac(2).0);
    let sum = icmpv6::compute_checksum(second.src, second.dst, &second.message);
    second.message[2..4].copy_from_slice(&sum.to_be_bytes());
    let fate = net.hosts[0].handle_frame(now, Port(0), frame(2, second, 255));
    assert_eq!(fate, Fate::Delivered(Consumer::Icmp));
    assert_eq!(net.hosts[0].interfaces()[0].routers().routers().len(), 2);
    let far: IpAddr = "2001:db8::1".parse().unwrap();
    let hop = |net: &Net| net.hosts[0].routes().lookup(far).unwrap().next_hop(far);
    assert_eq!(hop(&net), "fe80::9".parse().ok());
    // Nobody is at station 9. The other takes its place when the last of its probes has stayed
    // unanswered, DELAY and three seconds later (RFC 4861 §7.3.3), and with the next packet's question
    // nobody waits: none is lost any more.
    for second in 0..16 {
        let want = match second {
            0..=7 => "fe80::9",
            _ => "fe80::ff:fe00:2",
        };
        assert_eq!(hop(&net), want.parse().ok(), "after {second} s");
        say(&mut net, "2001:db8::1");
        net.run(Duration::from_secs(1));
    }
    let said = story(&net);
    assert!(
        !said.contains(&"33 ns ff02::1:ff00:9".to_owned()),
        "{said:?}"
    );
    assert_eq!(said.iter().filter(|s| s.starts_with("02 UDP")).count(), 16);
}

#[test]
fn redirects_are_followed_from_the_first_hop_alone() {
    let mut net = pair();
    let via = Route::via("::/0".parse().unwrap(), "fe80::9".parse().unwrap(), Port(0));
    net.hosts[0].add_route(via).unwrap();
    let redirect = |from: &str, target: &str| {
        let station = mac(2).0;
        let here = wire::NdpOption::TargetLinkLayerAddress(&station);
        let mut options = [0; 8];
        here.emit(&mut crate::wire::Writer::new(&mut options))
            .unwrap();
        let message = icmpv6::Message::Redirect(wire::Redirect {
            reserved: 0,
            target: ip(target),
            destination: ip("2001:db8::1"),
            options: &options,
        });
        let (src, dst) = (ip(from), ip("fd07::1"));
        let mut bytes = vec![0; message.emit_len()];
        let sum = message.compute_checksum(src, dst);
        message
            .emit(&mut crate::wire::Writer::new(&mut bytes), sum)
            .unwrap();
        Outgoing {
            src,
            dst,
            to: Some(mac(1)),
            message: bytes,
        }
    };
    let far: IpAddr = "2001:db8::1".parse().unwrap();
    let refused = Fate::Dropped(DropReason::IcmpRedirectRefused);
    let taken = Fate::Delivered(Consumer::Icmp);
    for (from, target, want) in [
        ("fe80::8", "fe80::ff:fe00:2", refused),
        ("fe80::9", "fe80::ff:fe00:1", refused),
        ("fe80::9", "fe80::ff:fe00:2", taken),
        ("fe80::9", "fe80::ff:fe00:7", refused),
        ("fe80::ff:fe00:2", "2001:db8::1", taken),
    ] {
        let now = net.now;
        let fate = net.hosts[0].handle_frame(now, Port(0), frame(9, redirect(from, target), 255));
        assert_eq!(fate, want, "{from} {target}");
        let told = net.hosts[0]
            .redirects()
            .next()
            .map(|(dst, hop, ..)| (dst.addr, hop));
        let hop = target.parse().unwrap();
        assert!(want == refused || told == Some((far, hop)), "{told:?}");
        if want == taken {
            //= RFC 4861 §8.3 the target's entry is STALE, and a router's unless it is the destination's.
            let entry = net.hosts[0].interfaces()[0].neighbors().neighbor(hop);
            let entry = entry.map(|n| (n.state, n.router));
            assert_eq!(entry, Some((State::Stale, hop != far)));
            net.log.clear();
            say(&mut net, "2001:db8::1");
            net.settle();
            let first = net.log[0].1.to_bytes();
            assert_eq!(&first[..6], &mac(2).0, "without asking");
        }
    }
    // It ends as any redirect does.
    net.run(Duration::from_secs(700));
    assert_eq!(net.hosts[0].redirects().count(), 0);
}

/// The reports of listeners: from whom, the groups joined (4) and left (3), or asked after (2).
fn reports(net: &Net) -> Vec<String> {
    let told = net.log.iter().filter_map(|(_, frame, _)| {
        let bytes = frame.to_bytes();
        let (header, rest) = ipv6::Header::parse(bytes.get(14..)?).ok()?;
        let (alert, message) = rest.split_at_checked(8)?;
        if header.dst != mld::ALL_V2_ROUTERS {
            return None;
        }
        assert_eq!((alert, header.hop_limit), (&mld::ROUTER_ALERT[..], 1));
        let (icmp, message) = icmpv6::Message::parse(message).unwrap();
        let sum = message.compute_checksum(header.src, header.dst);
        let icmpv6::Message::MldReportV2(report) = message else {
            panic!("{message:?}")
        };
        assert_eq!(icmp.checksum, sum);
        let records = report.records().map(Result::unwrap);
        let records: Vec<_> = records
            .map(|r| std::format!("{} {}", r.kind.0, r.group))
            .collect();
        Some(std::format!("{}: {}", header.src, records.join(", ")))
    });
    told.collect()
}

#[test]
fn routers_hear_what_is_listened_to() {
    let probing = |eth: &mut InterfaceConfig| eth.duplicate_detection = DuplicateDetection::Before;
    let hosts = vec![six(1, "fd07::5/64", probing), six(2, "fd07::2/64", at_once)];
    let mut net = Net::new(hosts, vec![[(0, 0), (1, 0)]]);
    net.run(Duration::from_secs(5));
    let link = slaac::link_local(slaac::eui64(mac(1)));
    let ours = |net: &Net, from: &str| -> Vec<String> {
        let from = std::format!("{from}: ");
        let all = reports(net);
        let all = all.iter().filter_map(|r| r.strip_prefix(&from));
        all.map(str::to_owned).collect()
    };
    // Before there is an address of its own, and again from it.
    // The first report was before the net began; each group is told of twice.
    let mine = std::format!("4 {}", solicited_node(link));
    let told = ["4 ff02::1:ff00:5", &*mine];
    let mut before = ours(&net, "::");
    before.sort();
    assert_eq!(before, [&*mine, told[0]]);
    let after = ours(&net, &std::format!("{link}"));
    assert_eq!(after.len(), 3);
    assert_eq!(after[0], std::format!("{mine}, {}", told[0]));
    assert!(after[1..].contains(&mine) && after[1..].iter().any(|r| r == told[0]));
    // An address that ends alike shares the group, which is left with the last of them.
    let host = &mut net.hosts[0];
    host.add_address(net.now, 0, "fd08::5/64".parse().unwrap());
    host.remove_address(net.now, 0, ip("fd07::5").into());
    net.log.clear();
    net.run(Duration::from_secs(5));
    assert_eq!(reports(&net), [""; 0]);
    net.hosts[0].remove_address(net.now, 0, ip("fd08::5").into());
    net.run(Duration::from_secs(5));
    assert_eq!(ours(&net, &std::format!("{link}")), ["3 ff02::1:ff00:5"; 2]);
    // A socket's group goes by its own filter.
    let socket = net.hosts[0].udp_bind("[::]:9".parse().unwrap()).unwrap();
    let group = ip("ff05::7");
    let (source, other) = (ip("fd07::2").into(), ip("fd07::3").into());
    let mixed = [IpAddr::from([10, 0, 0, 1])];
    let join = |host: &mut Host, now, sources: &[IpAddr]| {
        host.udp_join(now, socket, 0, group, FilterMode::Include, sources)
    };
    let now = net.now;
    assert_eq!(
        join(&mut net.hosts[0], now, &mixed),
        Err(GroupError::MixedFamilies)
    );
    for (wanted, heard) in [(other, false), (source, true)] {
        let now = net.now;
        join(&mut net.hosts[0], now, &[wanted]).unwrap();
        let sender = net.hosts[1].udp_bind("[::]:0".parse().unwrap()).unwrap();
        let to = Some("[ff05::7]:9".parse().unwrap());
        net.hosts[1].udp_send(now, sender, hello(), to).unwrap();
        net.run(Duration::from_secs(1));
        assert_eq!(net.hosts[0].udp_recv(socket).is_some(), heard);
        let now = net.now;
        net.hosts[0].udp_leave(now, socket, 0, group);
    }
}

/// Answers as station 9 to each probe that host 0 sends, for so many, that the address is taken.
fn deny(net: &mut Net, mut count: usize) -> Vec<Ipv6Addr> {
    let mut denied = vec![];
    let end = net.now + Duration::from_secs(60);
    while net.now < end {
        net.log.clear();
        net.run(Duration::from_millis(100));
        let probed = net.log.iter().filter_map(|(to, frame, _)| {
            let bytes = frame.to_bytes();
            let probe = *to == 1 && bytes[54] == 135 && bytes[22..38] == [0; 16];
            probe.then(|| Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[62..78]).unwrap()))
        });
        for addr in probed.collect::<Vec<_>>() {
            if count > 0 {
                count -= 1;
                denied.push(addr);
                let flags = ndp::Flags::default();
                let says = ndp::advertisement(mac(9), addr, ndp::ALL_NODES, None, flags);
                net.hosts[0].handle_frame(net.now, Port(0), frame(9, says, 255));
            }
        }
    }
    denied
}

#[test]
fn opaque_and_temporary_addresses_outlive_duplicates() {
    let dumb = || Host::new(Config::default(), Rng::from_seed(2));
    let listens = |eth: &mut InterfaceConfig| {
        eth.autoconfigure = true;
        eth.addresses.clear();
        eth.interface_id = InterfaceId::Stable;
        eth.temporary = true;
    };
    let start = |denials| {
        let hosts = vec![six(1, "fd07::1/64", listens), dumb()];
        let mut net = Net::new(hosts, vec![[(0, 0), (1, 0)]]);
        let denied = deny(&mut net, denials);
        (net, denied)
    };
    let of_us = |net: &Net| net.hosts[0].interfaces()[0].addresses().to_vec();
    let (mut net, denied) = start(2);
    let [link] = of_us(&net)[..] else {
        panic!("{:?}", of_us(&net));
    };
    assert!(link.usable && !denied.contains(&link.cidr.addr6().unwrap()));
    assert_eq!(denied.len(), 2);
    assert_ne!(link.cidr.addr(), slaac::link_local(slaac::eui64(mac(1))));
    // As often as it must not be, and then IPv6 is spoken no more than without an address.
    let (none, denied) = start(9);
    assert_eq!(denied.len(), 4);
    assert!(of_us(&none).iter().all(|a| !a.usable));
    // A prefix: a stable address and a temporary one, of which one is denied each.
    let now = net.now;
    net.hosts[0].handle_frame(now, Port(0), frame(9, routed(1800, 90_000, 90_000), 255));
    assert_eq!(deny(&mut net, 2).len(), 2);
    let ours = of_us(&net);
    let kinds: Vec<_> = ours.iter().map(|a| (a.temporary, a.usable)).collect();
    let mut sorted = kinds.clone();
    sorted.sort();
    assert_eq!(sorted, [(false, true), (false, true), (true, true)]);
    let addr = |temporary| {
        let far = |a: &&Address| a.temporary == temporary && a.cidr.contains(ip("fd09::").into());
        ours.iter().find(far).unwrap().cidr.addr()
    };
    // What is sent leaves from the temporary one, where it goes far enough.
    let mut from = |dst: &str| net.hosts[0].route_to(dst.parse().unwrap()).unwrap().1;
    assert_eq!(from("2001:db8::1"), addr(true));
    assert_eq!(from("fe80::9"), link.cidr.addr());
    assert_eq!(from(&std::format!("{}", addr(false))), addr(false));
    let far = |text: &str| -> IpAddr { text.parse().unwrap() };
    let mut names = ["10.0.0.1", "2001:db8::1", "fd77::1"].map(far);
    net.hosts[0].order_destinations(&mut names);
    // Of a label with our address, then by precedence; what has no way last.
    assert_eq!(names, ["fd77::1", "2001:db8::1", "10.0.0.1"].map(far));
    let routers = net.hosts[0].interfaces()[0].routers();
    let left = |addr| {
        let made = routers.autoconf().lifetimes(addr).unwrap();
        made.preferred_until.unwrap().since(now).as_secs()
    };
    assert_eq!(left(addr(false)), 90_000);
    assert!((50_000..=86_400 + 60).contains(&left(addr(true))));
    assert!(net.hosts[0].stats().is_conserved());
}

/// A message behind these headers; each ends in where the next one begins.
fn behind(from: u8, out: &Outgoing, first: u8, headers: &[u8]) -> Frame {
    let bytes = [headers, &out.message].concat();
    let mut frame = Frame::from_bytes(bytes.into());
    let marks = crate::net::ipv6::Outgoing {
        tos: 0,
        flow_label: 0,
        hop_limit: 255,
        protocol: Protocol(first),
        src: out.src,
        dst: out.dst,
    };
    assert!(crate::net::ipv6::encapsulate(&mut frame, &marks));
    let group = MacAddr::from_ipv6_multicast(out.dst);
    ethernet::encapsulate(&mut frame, group, mac(from), None, EtherType::IPV6);
    frame
}

//= RFC 6980 §5; RFC 4861 §7.1.1
#[test]
fn discovery_is_heard_behind_options_and_not_in_fragments() {
    const PADDING: [u8; 6] = [1, 4, 0, 0, 0, 0];
    let ask = || ndp::solicitation(mac(1), ip("fd07::1"), ip("fd07::2"), None);
    let options = |next: u8| [&[next, 0], &PADDING[..]].concat();
    // Of a type that is to be skipped, and of one that is to be refused.
    let odd = |kind: u8| std::vec![58, 0, kind, 4, 0, 0, 0, 0];
    let atomic = [58, 0, 0, 0, 1, 2, 3, 4];
    let taken = Fate::Delivered(Consumer::Icmp);
    let fragmented = Fate::Dropped(DropReason::NdpFragmented);
    for (name, first, headers, want, answers) in [
        ("hop-by-hop", 0, options(58), taken, 1),
        ("destination", 60, options(58), taken, 1),
        ("both", 0, [options(60), options(58)].concat(), taken, 1),
        ("routing", 43, vec![58, 0, 0, 0, 0, 0, 0, 0], taken, 1),
        ("skipped", 60, odd(0x1e), taken, 1),
        (
            "refused",
            60,
            odd(0x5e),
            Fate::Dropped(DropReason::Ipv6BadOption),
            0,
        ),
        ("atomic", 44, atomic.to_vec(), fragmented, 0),
        (
            "options, atomic",
            0,
            [&options(44)[..], &atomic].concat(),
            fragmented,
            0,
        ),
    ] {
        let mut net = pair();
        let fate = net.hosts[1].handle_frame(net.now, Port(0), behind(1, &ask(), first, &headers));
        assert_eq!(fate, want, "{name}");
        net.settle();
        let advertised = story(&net);
        let all = advertised.iter().filter(|line| line.contains(" na "));
        assert_eq!(all.count(), answers, "{name}: {advertised:?}");
    }
    // In two pieces, of which the first is kept until the second is there.
    let mut net = pair();
    let whole = ask();
    let (one, two) = whole.message.split_at(24);
    let piece = |bytes: &[u8], offset: u8, more: u8| {
        let out = Outgoing {
            message: bytes.to_vec(),
            ..whole.clone()
        };
        behind(1, &out, 44, &[58, 0, 0, offset | more, 0, 0, 0, 9])
    };
    let now = net.now;
    let first = net.hosts[1].handle_frame(now, Port(0), piece(one, 0, 1));
    let last = net.hosts[1].handle_frame(now, Port(0), piece(two, 24, 0));
    assert_eq!((first, last), (Fate::Held, fragmented));
    assert_eq!(
        net.hosts[1].stats().dropped_in(DropReason::NdpFragmented),
        2
    );
    net.settle();
    assert!(!story(&net).iter().any(|line| line.contains(" na ")));
    // A claim of our address that comes so is none.
    let flags = ndp::Flags::default();
    let theirs = ndp::advertisement(mac(9), ip("fd07::2"), ndp::ALL_NODES, None, flags);
    let fate = net.hosts[1].handle_frame(now, Port(0), behind(9, &theirs, 44, &atomic));
    assert_eq!(fate, fragmented);
    let ours = net.hosts[1].interfaces()[0].addresses();
    assert!(ours.iter().all(|a| a.usable));
}

//= RFC 6724 §5 rule 5.5
#[test]
fn each_router_gets_addresses_of_its_prefix() {
    let listens = |eth: &mut InterfaceConfig| {
        eth.autoconfigure = true;
        eth.duplicate_detection = DuplicateDetection::Off;
    };
    let hosts = vec![six(1, "fd07::1/64", listens), six(2, "fd07::2/64", at_once)];
    let mut net = Net::new(hosts, vec![[(0, 0), (1, 0)]]);
    let now = net.now;
    let says = |host: &mut Host, router: &str, text: &str, lifetime| {
        let said = wire::NdpOption::PrefixInformation(prefix(text, 9000, 6000));
        let mut out = advertising(lifetime, (64, 0, 0), &[said]);
        out.src = ip(router);
        out.message[2..4].fill(0);
        let sum = icmpv6::compute_checksum(out.src, out.dst, &out.message);
        out.message[2..4].copy_from_slice(&sum.to_be_bytes());
        let fate = host.handle_frame(now, Port(0), frame(9, out, 255));
        assert_eq!(fate, Fate::Delivered(Consumer::Icmp));
    };
    let from = |host: &mut Host, dst: &str| {
        let src = host.route_to(dst.parse().unwrap()).unwrap().1;
        std::format!("{src}").split("::").next().unwrap().to_owned()
    };
    let host = &mut net.hosts[0];
    says(host, "fe80::9", "2001:db8:9::", 1800);
    says(host, "fe80::a", "2001:db8:a::", 1800);
    // What is beyond goes by the first of them; the other prefix has as much in common with it.
    assert_eq!(from(host, "2001:db8:f::1"), "2001:db8:9");
    let other = Route::via(
        "2001:db8:e::/48".parse().unwrap(),
        "fe80::a".parse().unwrap(),
        Port(0),
    );
    host.add_route(other).unwrap();
    assert_eq!(from(host, "2001:db8:e::1"), "2001:db8:a");
    assert_eq!(from(host, "2001:db8:f::1"), "2001:db8:9");
    // Once it has both, they are as good, and the first is taken.
    says(host, "fe80::a", "2001:db8:9::", 1800);
    assert_eq!(from(host, "2001:db8:e::1"), "2001:db8:9");
}

//= RFC 6724 §5 rule 7
#[test]
fn a_socket_chooses_between_temporary_addresses_and_others() {
    let listens = |eth: &mut InterfaceConfig| {
        eth.autoconfigure = true;
        eth.duplicate_detection = DuplicateDetection::Off;
        eth.temporary = true;
    };
    let hosts = vec![six(1, "fd07::1/64", listens), six(2, "fd09::2/64", at_once)];
    let mut net = Net::new(hosts, vec![[(0, 0), (1, 0)]]);
    let now = net.now;
    net.hosts[0].handle_frame(now, Port(0), frame(9, routed(1800, 90_000, 90_000), 255));
    net.run(Duration::from_secs(3));
    let (now, own) = (net.now, net.hosts[0].interfaces()[0].addresses().to_vec());
    let addr = |temporary| {
        let far = |a: &&Address| a.temporary == temporary && a.cidr.contains(ip("fd09::").into());
        own.iter().find(far).unwrap().cidr.addr()
    };
    let server = net.hosts[1].udp_bind("[::]:7".parse().unwrap()).unwrap();
    let to: SocketAddr = "[fd09::2]:7".parse().unwrap();
    for (wish, want) in [
        (None, addr(true)),
        (Some(false), addr(false)),
        (Some(true), addr(true)),
    ] {
        let host = &mut net.hosts[0];
        assert_eq!(host.source_for(to, wish), Some(want));
        for connected in [false, true] {
            let host = &mut net.hosts[0];
            let socket = host.udp_bind("[::]:0".parse().unwrap()).unwrap();
            host.udp_options(socket).unwrap().prefer_temporary = wish;
            if connected {
                host.udp_connect(socket, to).unwrap();
            }
            host.udp_send(now, socket, hello(), Some(to)).unwrap();
            net.settle();
            let heard = net.hosts[1].udp_recv(server).unwrap();
            assert_eq!(heard.from.ip(), want, "{wish:?} {connected}");
            // The answer comes back to whom it was asked of.
            net.hosts[1]
                .udp_answer(now, server, hello(), (heard.from, heard.to))
                .unwrap();
            net.settle();
            let answer = net.hosts[0].udp_recv(socket).unwrap();
            assert_eq!((answer.from, answer.to.ip()), (to, want));
        }
    }
    // Asked at an address that it would not send from, a server answers from that one.
    let asked = net.hosts[0].udp_bind("[::]:7".parse().unwrap()).unwrap();
    let client = net.hosts[1].udp_bind("[::]:0".parse().unwrap()).unwrap();
    let to = SocketAddr::new(addr(false), 7);
    net.hosts[1].udp_connect(client, to).unwrap();
    net.hosts[1].udp_send(now, client, hello(), None).unwrap();
    net.settle();
    let heard = net.hosts[0].udp_recv(asked).unwrap();
    net.hosts[0]
        .udp_answer(now, asked, hello(), (heard.from, heard.to))
        .unwrap();
    net.settle();
    assert_eq!(net.hosts[1].udp_recv(client).map(|d| d.from), Some(to));
}

/// What a router says of its link: a hop limit of 33, an MTU of 1280, RetransTimer of 50 minutes.
fn told_of_the_link() -> Outgoing {
    let mut message = vec![134, 0, 0, 0, 33, 0, 0, 0];
    message.extend(90_000u32.to_be_bytes());
    message.extend(3_000_000u32.to_be_bytes());
    message.extend([5, 1, 0, 0, 0, 0, 5, 0]);
    let (src, dst) = (ip("fe80::9"), ndp::ALL_NODES);
    let sum = icmpv6::compute_checksum(src, dst, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    Outgoing {
        src,
        dst,
        to: None,
        message,
    }
}

#[test]
fn a_link_that_comes_up_is_met_anew() {
    // What was lost on a link is asked for again, and what routers said of it holds no more.
    let mut host = six(1, "fd07::1/64", |eth| eth.autoconfigure = true);
    for lost in ["fd07::1", "fe80::ff:fe00:1"] {
        let out = advertised(lost, 9, ndp::ALL_NODES, true);
        let fate = host.handle_frame(Instant::ZERO, Port(0), frame(9, out, 255));
        assert_eq!(fate, Fate::Dropped(DropReason::NdpConflict));
    }
    let mut net = Net::new(
        vec![host, six(2, "fd07::2/64", at_once)],
        vec![[(0, 0), (1, 0)]],
    );
    net.run(Duration::from_secs(5));
    let usable = |net: &Net| {
        let at = net.hosts[0].interfaces()[0].addresses();
        at.iter().filter(|a| a.usable).count()
    };
    assert_eq!(usable(&net), 0);
    let plug = |net: &mut Net| {
        let now = net.now;
        net.hosts[0].set_up(now, 0, false);
        net.hosts[0].set_up(now, 0, true);
        net.log.clear();
    };
    plug(&mut net);
    assert_eq!(usable(&net), 0, "it may still be somebody's");
    net.run(Duration::from_secs(5));
    let probes = net.log.iter().filter(|(to, f, _)| {
        let f = f.to_bytes();
        *to == 1 && f[54] == 135 && f[22..38] == [0; 16]
    });
    assert_eq!((probes.count(), usable(&net)), (2, 2), "one for each");
    let said = |net: &Net| {
        let at = &net.hosts[0].interfaces()[0];
        let (hop_limit, to) = (at.routers().link().hop_limit, ip("fe80::9").into());
        (hop_limit, at.mtu_for(to), at.neighbors().times6().1)
    };
    net.hosts[0].handle_frame(net.now, Port(0), frame(9, told_of_the_link(), 255));
    assert_eq!(said(&net), (Some(33), 1280, Duration::from_secs(10)));
    plug(&mut net);
    assert_eq!(said(&net), (None, 1500, Duration::from_secs(1)));
    net.run(Duration::from_secs(5));
    assert_eq!(usable(&net), 2, "and not an hour later");
}
