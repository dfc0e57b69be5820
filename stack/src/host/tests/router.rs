//! What a host does for its neighbours as a router of IPv6: it advertises itself, and redirects.

use super::*;
use crate::machine::Consumer;
use crate::net::advertisement::Disagreement;
use crate::net::advertiser;
use crate::net::ndp::{self, Outgoing};
use crate::net::neighbor::State;
use crate::net::route::Route;
use crate::reason::DropReason;
use crate::wire::ndp::{NdpOption, options};
use crate::wire::{Cidr, EtherType, Protocol, icmpv6, ipv6};
use core::net::Ipv6Addr;
use std::vec;

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn station(last: u8, address: &str, change: impl FnOnce(&mut InterfaceConfig)) -> InterfaceConfig {
    let mut eth = InterfaceConfig::ethernet("eth0", Port(0), mac(last));
    eth.duplicate_detection = DuplicateDetection::Off;
    if !address.is_empty() {
        eth = eth.with_address(cidr(address));
    }
    change(&mut eth);
    eth
}

fn with(last: u8, forwarding: bool, eth: InterfaceConfig) -> Host {
    let config = Config {
        forwarding,
        ..Config::default()
    };
    let mut host = Host::new(config, Rng::from_seed(u64::from(last)));
    host.add_interface(Instant::ZERO, eth);
    host
}

/// A router at fd07::1 that advertises what its addresses say.
fn router(last: u8, change: impl FnOnce(&mut advertiser::Config)) -> Host {
    let mut config = advertiser::Config::default();
    change(&mut config);
    let address = std::format!("fd07::{last}/64");
    let eth = station(last, &address, |eth| eth.advertise = Some(config));
    with(last, true, eth)
}

fn learner(last: u8) -> Host {
    with(
        last,
        false,
        station(last, "", |eth| eth.autoconfigure = true),
    )
}

/// What crossed of one type, with its source and destination.
fn crossed(net: &Net, kind: u8) -> Vec<(Ipv6Addr, Ipv6Addr, Vec<u8>)> {
    let all = net.log.iter().filter_map(|(_, frame, fate)| {
        // On a hub all hear it.
        if *fate == Fate::Dropped(DropReason::LinkNotForUs) {
            return None;
        }
        let bytes = frame.to_bytes();
        let (header, rest) = ipv6::Header::parse(bytes.get(14..)?).ok()?;
        let is = header.next_header == Protocol::ICMPV6 && rest.first() == Some(&kind);
        is.then(|| (header.src, header.dst, rest.to_vec()))
    });
    all.collect()
}

fn default_route(host: &Host) -> Option<IpAddr> {
    let far: IpAddr = "2001:db8::1".parse().unwrap();
    host.routes().lookup(far).and_then(|r| r.next_hop(far))
}

/// A message of discovery's as a frame to host 0 of a net, and its fate there.
fn hear(host: &mut Host, now: Instant, from: u8, out: Outgoing) -> Fate {
    hear_at(host, now, 0, from, out)
}

fn hear_at(host: &mut Host, now: Instant, port: u16, from: u8, out: Outgoing) -> Fate {
    let mut frame = Frame::from_bytes(out.message.into());
    let marks = crate::net::ipv6::Outgoing {
        tos: 0,
        flow_label: 0,
        hop_limit: 255,
        protocol: Protocol::ICMPV6,
        src: out.src,
        dst: out.dst,
    };
    assert!(crate::net::ipv6::encapsulate(&mut frame, &marks));
    let dst = match out.dst.is_multicast() {
        true => MacAddr::from_ipv6_multicast(out.dst),
        false => out
            .to
            .unwrap_or(host.interfaces()[usize::from(port)].config().mac),
    };
    crate::link::ethernet::encapsulate(&mut frame, dst, mac(from), None, EtherType::IPV6);
    host.handle_frame(now, Port(port), frame)
}

#[test]
fn a_host_configures_itself_by_our_advertisements() {
    let mut net = Net::new(vec![router(1, |_| {}), learner(2)], vec![[(0, 0), (1, 0)]]);
    net.run(Duration::from_secs(2));
    let host = &net.hosts[1];
    assert_eq!(default_route(host), Some(ip("fe80::ff:fe00:1").into()));
    let made = ip("fd07::ff:fe00:2");
    assert!(
        host.interfaces()[0].holds(made),
        "of the router's own prefix"
    );
    let said = crossed(&net, icmpv6::kind::ROUTER_ADVERTISEMENT);
    assert!(!said.is_empty());
    for (src, dst, _) in &said {
        assert_eq!((*src, *dst), (ip("fe80::ff:fe00:1"), ndp::ALL_NODES));
    }
    // It says that it goes, and is gone.
    net.log.clear();
    let now = net.now;
    net.hosts[0].stop_advertising(now);
    net.settle();
    assert_eq!(crossed(&net, icmpv6::kind::ROUTER_ADVERTISEMENT).len(), 1);
    assert_eq!(default_route(&net.hosts[1]), None);
    assert!(net.hosts[1].interfaces()[0].holds(made), "addresses stay");
    net.run(Duration::from_secs(3600));
    assert_eq!(crossed(&net, icmpv6::kind::ROUTER_ADVERTISEMENT).len(), 3);
}

#[test]
fn who_asks_is_answered_and_remembered() {
    let mut host = router(1, |c| c.mtu = Some(1400));
    let mut net = Net::new(vec![host.clone(), learner(2)], vec![[(0, 0), (1, 0)]]);
    net.run(Duration::from_secs(60));
    net.log.clear();
    let now = net.now;
    host = net.hosts.remove(0);
    let asks = |mac, src: Option<&str>| ndp::router_solicitation(mac, src.map(ip));
    let taken = Fate::Delivered(Consumer::Icmp);
    assert_eq!(hear(&mut host, now, 9, asks(mac(9), None)), taken);
    let known = |host: &Host| {
        let at = host.interfaces()[0].neighbors();
        at.neighbor(ip("fe80::9").into()).map(|n| (n.mac, n.router))
    };
    assert_eq!(known(&host), None, "from nobody");
    assert_eq!(
        hear(&mut host, now, 9, asks(mac(9), Some("fe80::9"))),
        taken
    );
    assert_eq!(known(&host), Some((Some(mac(9)), false)));
    net.hosts.insert(0, host);
    net.run(Duration::from_millis(500));
    let said = crossed(&net, icmpv6::kind::ROUTER_ADVERTISEMENT);
    assert_eq!(said.len(), 1, "one answer for both");
    let (_, message) = icmpv6::Message::parse(&said[0].2).unwrap();
    let icmpv6::Message::RouterAdvertisement(said) = message else {
        panic!("{message:?}")
    };
    let all: Vec<_> = options(said.options).map(Result::unwrap).collect();
    let mtu = NdpOption::Mtu {
        reserved: 0,
        mtu: 1400,
    };
    assert!(
        all.contains(&mtu) && all[0].mac() == Some(mac(1)),
        "{all:?}"
    );
    let stats = net.hosts[0].interfaces()[0].advertiser().unwrap().stats();
    // The learner heard of us before it asked.
    assert_eq!(stats.solicitations_in, 2);
}

#[test]
fn hosts_and_those_who_shall_not_are_silent() {
    let shall = |eth: &mut InterfaceConfig| eth.advertise = Some(advertiser::Config::default());
    for (forwarding, change) in [
        (false, &shall as &dyn Fn(&mut InterfaceConfig)),
        (true, &|_: &mut InterfaceConfig| {}),
    ] {
        let host = with(1, forwarding, station(1, "fd07::1/64", change));
        let mut net = Net::new(vec![host, learner(2)], vec![[(0, 0), (1, 0)]]);
        net.run(Duration::from_secs(600));
        assert_eq!(crossed(&net, icmpv6::kind::ROUTER_ADVERTISEMENT), []);
        let now = net.now;
        let asked = ndp::router_solicitation(mac(9), Some(ip("fe80::9")));
        // A host is not even in the group.
        let want = match forwarding {
            true => DropReason::IcmpIgnored,
            false => DropReason::LinkGroupNotJoined,
        };
        let fate = hear(&mut net.hosts[0], now, 9, asked);
        assert_eq!(fate, Fate::Dropped(want));
    }
}

#[test]
fn nothing_is_said_from_an_address_that_may_be_anothers() {
    for how in [DuplicateDetection::Before, DuplicateDetection::Optimistic] {
        let eth = station(1, "fd07::1/64", |eth| {
            eth.advertise = Some(advertiser::Config::default());
            eth.duplicate_detection = how;
        });
        let mut net = Net::new(vec![with(1, true, eth), learner(2)], vec![[(0, 0), (1, 0)]]);
        net.run(Duration::from_millis(900));
        let said = |net: &Net| crossed(net, icmpv6::kind::ROUTER_ADVERTISEMENT).len();
        assert_eq!(said(&net), 0, "{how:?}");
        net.run(Duration::from_secs(3));
        assert!(said(&net) > 0, "{how:?}");
        // Down it falls silent, and up again it begins anew.
        let now = net.now;
        net.hosts[0].set_up(now, 0, false);
        net.log.clear();
        net.run(Duration::from_secs(100));
        assert_eq!(said(&net), 0, "{how:?}");
        let now = net.now;
        net.hosts[0].set_up(now, 0, true);
        net.run(Duration::from_secs(4));
        assert!(said(&net) > 0, "{how:?}");
        assert!(
            !net.hosts[0].interfaces()[0]
                .advertiser()
                .unwrap()
                .has_output()
        );
    }
}

#[test]
fn another_router_that_contradicts_is_told_of() {
    let hosts = vec![router(1, |_| {}), router(2, |c| c.hop_limit = 32)];
    let mut net = Net::new(hosts, vec![[(0, 0), (1, 0)]]);
    net.run(Duration::from_secs(60));
    let events: Vec<_> = core::iter::from_fn(|| net.hosts[0].poll_event())
        .filter(|e| matches!(e, Event::RouterDisagrees { .. }))
        .collect();
    let want = Event::RouterDisagrees {
        interface: 0,
        router: ip("fe80::ff:fe00:2"),
        what: Disagreement::HopLimit,
    };
    assert_eq!(events, [want]);
    let stats = net.hosts[0].interfaces()[0].advertiser().unwrap().stats();
    assert!(
        stats.advertisements_in >= 3 && stats.disagreements >= 3,
        "{stats:?}"
    );
}

/// A host (0) whose default router (1) is not the best one (2): fd09::/64 is behind that, and fd08::/64
/// on the link, as only the routers know.
fn detour(change: impl FnOnce(&mut Config)) -> Net {
    let via = |host: &mut Host, to: &str, hop: &str| {
        let route = Route::via(cidr(to), ip(hop).into(), Port(0));
        host.add_route(route).unwrap();
    };
    let mut host = with(5, false, station(5, "fd07::5/64", |_| {}));
    via(&mut host, "::/0", "fe80::ff:fe00:1");
    let mut config = Config {
        forwarding: true,
        ..Config::default()
    };
    change(&mut config);
    let mut router = Host::new(config, Rng::from_seed(1));
    router.add_interface(Instant::ZERO, station(1, "fd07::1/64", |_| {}));
    router
        .add_route(Route::on_link(cidr("fd08::/64"), Port(0)))
        .unwrap();
    via(&mut router, "fd09::/64", "fe80::ff:fe00:2");
    via(&mut router, "fd0a::/64", "fd07::2");
    let mut better = with(2, true, station(2, "fd07::2/64", |_| {}));
    better.add_address(Instant::ZERO, 0, cidr("fd08::2/64"));
    let mut far = station(3, "fd09::1/64", |_| {});
    far.port = Port(1);
    far.name = "eth1".into();
    better.add_interface(Instant::ZERO, far);
    let end = with(4, false, station(4, "fd09::2/64", |_| {}));
    let link = vec![(0, 0), (1, 0), (2, 0)];
    Net::wired(
        vec![host, router, better, end],
        vec![link, vec![(2, 1), (3, 0)]],
    )
}

fn ping(net: &mut Net, to: &str, len: usize) {
    let (ping, _) = net.hosts[0].echo_open(0).unwrap();
    let data = crate::frame::Payload::from(bytes::Bytes::from(vec![7; len]));
    let now = net.now;
    let to: IpAddr = ip(to).into();
    net.hosts[0].echo_send(now, ping, to, 1, data, &[]).unwrap();
    net.settle();
}

fn redirected(net: &Net) -> Vec<(IpAddr, IpAddr)> {
    net.hosts[0]
        .redirects()
        .map(|(to, hop, ..)| (to.addr, hop))
        .collect()
}

#[test]
fn a_better_first_hop_is_told_of_and_taken() {
    for (to, hop) in [
        ("fd09::2", "fe80::ff:fe00:2"),
        // Known by its address of the network alone; its station has a link-local one as well.
        ("fd0a::7", "fe80::ff:fe00:2"),
        ("fd08::2", "fd08::2"),
    ] {
        let mut net = detour(|_| {});
        if to == "fd0a::7" {
            ping(&mut net, "fd09::2", 8);
            let now = net.now;
            let router = &mut net.hosts[1];
            let fate = hear(
                router,
                now,
                2,
                ndp::solicitation(mac(2), ip("fd07::2"), ip("fd07::1"), None),
            );
            assert_eq!(fate, Fate::Delivered(Consumer::Icmp));
        }
        net.log.clear();
        ping(&mut net, to, 2000);
        let want = (ip(to).into(), ip(hop).into());
        assert!(
            redirected(&net).contains(&want),
            "{to}: {:?}",
            redirected(&net)
        );
        let told = crossed(&net, icmpv6::kind::REDIRECT);
        let (src, dst, message) = &told[0];
        assert_eq!((*src, *dst), (ip("fe80::ff:fe00:1"), ip("fd07::5")));
        assert!(message.len() <= 1280 - 40 && message.len() > 1200);
        let (_, parsed) = icmpv6::Message::parse(message).unwrap();
        let icmpv6::Message::Redirect(said) = parsed else {
            panic!("{parsed:?}")
        };
        let all: Vec<_> = options(said.options).map(Result::unwrap).collect();
        let station = all.iter().find_map(NdpOption::mac);
        // What was not asked for before is not known yet.
        assert!(station.is_none_or(|s| s == mac(2)), "{station:?}");
        let quoted = all.iter().find_map(|o| match o {
            NdpOption::RedirectedHeader { packet, .. } => Some(*packet),
            _ => None,
        });
        let (quoted, _) = ipv6::Header::parse(quoted.unwrap()).unwrap();
        assert_eq!((quoted.dst, quoted.hop_limit), (ip(to), 64), "as it came");
        // From then on the packets do not come by.
        let before = net.hosts[1].stats().forwarded;
        ping(&mut net, to, 8);
        assert_eq!(net.hosts[1].stats().forwarded, before, "{to}");
    }
}

#[test]
fn redirects_have_a_rate_and_a_switch() {
    let mut net = detour(|c| c.send_redirects = false);
    ping(&mut net, "fd09::2", 8);
    assert_eq!(crossed(&net, icmpv6::kind::REDIRECT), []);
    let mut net = detour(|_| {});
    net.hosts[0].config.accept_redirects = false;
    for _ in 0..2000 {
        ping(&mut net, "fd09::2", 8);
    }
    let told = crossed(&net, icmpv6::kind::REDIRECT).len();
    let held = net.hosts[1]
        .stats()
        .dropped_out(DropReason::IcmpRateLimited);
    assert!((1..=200).contains(&told), "{told}");
    assert_eq!(told as u64 + held, 2000);
    // Who is no neighbour is not told.
    let mut net = detour(|_| {});
    net.hosts[1].remove_route(cidr("fd07::/64"), 0, 0).unwrap();
    let mut back = Route::via(cidr("fd07::/64"), ip("fe80::ff:fe00:5").into(), Port(0));
    back.metric = 1;
    net.hosts[1].add_route(back).unwrap();
    ping(&mut net, "fd09::2", 8);
    assert!(net.hosts[1].stats().forwarded > 0);
    assert_eq!(crossed(&net, icmpv6::kind::REDIRECT), []);
}

/// An answer's source, target, flags and station, of those that crossed.
fn answers(net: &Net) -> Vec<(Ipv6Addr, Ipv6Addr, (bool, bool))> {
    let all = crossed(net, icmpv6::kind::NEIGHBOR_ADVERTISEMENT);
    let of = all.iter().filter_map(|(src, _, message)| {
        let icmpv6::Message::NeighborAdvertisement(m) = icmpv6::Message::parse(message).ok()?.1
        else {
            return None;
        };
        Some((*src, m.target, (m.solicited, m.override_)))
    });
    of.collect()
}

#[test]
fn an_anycast_address_is_answered_from_another_and_takes_its_time() {
    let anycast = ip("fd07::aaaa");
    let server = with(
        1,
        false,
        station(1, "fd07::1/64", |eth| eth.anycast.push(anycast)),
    );
    let host = with(2, false, station(2, "fd07::2/64", |_| {}));
    let mut net = Net::new(vec![host, server], vec![[(0, 0), (1, 0)]]);
    let now = net.now;
    let (echo, _) = net.hosts[0].echo_open(0).unwrap();
    let data = || crate::frame::Payload::from(bytes::Bytes::from_static(b"hello"));
    net.hosts[0]
        .echo_send(now, echo, anycast, 1, data(), &[])
        .unwrap();
    net.settle();
    assert_eq!(answers(&net), [], "not at once");
    assert!(net.hosts[1].poll_timeout().is_some());
    net.run(Duration::from_secs(1));
    assert_eq!(answers(&net), [(ip("fd07::1"), anycast, (true, false))]);
    let reply = net.hosts[0].raw_recv(echo).unwrap();
    assert_eq!(reply.from, IpAddr::V6(ip("fd07::1")), "never a source");
    // A socket that is bound to no address hears it as well.
    let socket = net.hosts[1].udp_bind("[::]:7".parse().unwrap()).unwrap();
    let asks = net.hosts[0].udp_bind("[::]:0".parse().unwrap()).unwrap();
    let to = Some(core::net::SocketAddr::new(anycast.into(), 7));
    let now = net.now;
    net.hosts[0].udp_send(now, asks, data(), to).unwrap();
    net.settle();
    let heard = net.hosts[1].udp_recv(socket).unwrap();
    // It is answered from there, as its client expects.
    net.hosts[1]
        .udp_answer(now, socket, data(), (heard.from, heard.to))
        .unwrap();
    net.settle();
    assert_eq!(net.hosts[0].udp_recv(asks).map(|d| d.from), to);
    // A port that nobody has is told of, by an address of the host's own.
    let closed = Some(core::net::SocketAddr::new(anycast.into(), 9));
    net.hosts[0].udp_send(now, asks, data(), closed).unwrap();
    net.settle();
    let error = net.hosts[0].udp_take_error(asks).unwrap();
    assert_eq!(error.offender, IpAddr::V6(ip("fd07::1")));
    // Whom a probe names alone answers at once, and nobody looks for duplicates of it.
    let probe = ndp::solicitation(mac(2), ip("fd07::2"), anycast, Some(mac(1)));
    net.log.clear();
    let taken = hear(&mut net.hosts[1], now, 2, probe);
    assert_eq!(taken, Fate::Delivered(Consumer::Icmp));
    net.settle();
    assert_eq!(answers(&net).len(), 1);
    assert_eq!(net.hosts[1].interfaces()[0].claims6().state(anycast), None);
    let of_all = net.hosts[1].interfaces()[0].anycast();
    assert_eq!(of_all, [anycast], "a host has not those of routers");
}

#[test]
fn routers_have_the_anycast_address_of_each_network() {
    let mut net = detour(|_| {});
    let at = net.hosts[2].interfaces();
    let all = [at[0].anycast(), at[1].anycast()];
    assert_eq!(all[0], [ip("fd07::"), ip("fe80::"), ip("fd08::")]);
    assert_eq!(all[1], [ip("fd09::"), ip("fe80::")]);
    // From afar by a router on the link, and from the link itself.
    for to in ["fd09::", "fd07::"] {
        let (echo, _) = net.hosts[0].echo_open(0).unwrap();
        let data = crate::frame::Payload::from(bytes::Bytes::from_static(b"hello"));
        let now = net.now;
        net.hosts[0]
            .echo_send(now, echo, ip(to), 1, data, &[])
            .unwrap();
        net.run(Duration::from_secs(2));
        let reply = net.hosts[0].raw_recv(echo).expect(to);
        assert_ne!(reply.from, IpAddr::V6(ip(to)));
    }
    // They go with their networks.
    let now = net.now;
    net.hosts[2].remove_address(now, 0, ip("fd08::2").into());
    let left = net.hosts[2].interfaces()[0].anycast();
    assert_eq!(left, [ip("fd07::"), ip("fe80::")]);
    assert!(net.hosts[2].interfaces()[0].is_member(ip("ff02::1:ff00:0").into()));
}

/// Two halves of one network, and a router between them that answers for each on the other.
fn halves() -> Net {
    let near = with(2, false, station(2, "fd07::2/64", |_| {}));
    let far = with(3, false, station(3, "fd07::1:3/64", |_| {}));
    let config = Config {
        forwarding: true,
        ..Config::default()
    };
    let mut proxy = Host::new(config, Rng::from_seed(1));
    for (port, address, behind) in [
        (0, "fd07::1/112", "fd07::1:0/112"),
        (1, "fd07::1:1/112", "fd07::0/112"),
    ] {
        let eth = station(10 + port as u8, address, |eth| {
            eth.port = Port(port);
            eth.name = std::format!("eth{port}");
            eth.proxy_arp.push(cidr(behind));
        });
        proxy.add_interface(Instant::ZERO, eth);
    }
    let wires = vec![[(0, 0), (1, 0)], [(1, 1), (2, 0)]];
    Net::new(vec![near, proxy, far], wires)
}

#[test]
fn a_proxy_answers_for_the_other_half() {
    let mut net = halves();
    let (echo, _) = net.hosts[0].echo_open(0).unwrap();
    let data = crate::frame::Payload::from(bytes::Bytes::from_static(b"hello"));
    let (now, far) = (net.now, ip("fd07::1:3"));
    net.hosts[0]
        .echo_send(now, echo, far, 1, data, &[])
        .unwrap();
    net.run(Duration::from_secs(5));
    assert!(net.hosts[0].raw_recv(echo).is_some());
    let told: Vec<_> = answers(&net).into_iter().filter(|a| a.1 == far).collect();
    let by_proxy = (ip("fd07::1"), far, (true, false));
    assert!(told.contains(&by_proxy), "{told:?}");
    let stats = net.hosts[1].interfaces()[0].discovery().stats();
    assert!(stats.proxied_out > 0, "{stats:?}");
    // A neighbour that verifies the proxy is answered for.
    net.run(Duration::from_secs(60));
    net.log.clear();
    let now = net.now;
    let data = crate::frame::Payload::from(bytes::Bytes::from_static(b"hello"));
    net.hosts[0]
        .echo_send(now, echo, far, 2, data, &[])
        .unwrap();
    net.run(Duration::from_secs(10));
    assert!(answers(&net).contains(&by_proxy), "{:?}", answers(&net));
    // Who looks whether it may have the address is not kept from it, nor who is where the owner is.
    net.log.clear();
    let now = net.now;
    for (port, out, want) in [
        (0, ndp::probe(far, &[1; 6]), DropReason::NdpNotForUs),
        (
            1,
            ndp::solicitation(mac(3), ip("fd07::1:4"), far, None),
            DropReason::NdpNotForUs,
        ),
        (
            0,
            ndp::solicitation(mac(2), ip("fd07::2"), ip("fd09::9"), None),
            DropReason::NdpNotForUs,
        ),
    ] {
        let router = &mut net.hosts[1];
        let fate = hear_at(router, now, port, 9, out);
        assert_eq!(fate, Fate::Dropped(want));
    }
}

/// Where an anycast address was given, TCP is served at it; of a subnet's routers it is not.
//= RFC 4291 §2.6.1
#[test]
fn connections_are_served_at_a_given_anycast_address_alone() {
    use crate::transport::tcp::{ListenOptions, Options, State};
    let anycast = ip("fd07::aaaa");
    let server = with(
        1,
        true,
        station(1, "fd07::1/64", |eth| eth.anycast.push(anycast)),
    );
    let host = with(2, false, station(2, "fd07::2/64", |_| {}));
    let mut net = Net::new(vec![host, server], vec![[(0, 0), (1, 0)]]);
    let at = core::net::SocketAddr::new(anycast.into(), 80);
    let web = net.hosts[1].tcp_listen(at, ListenOptions::default());
    let (web, now) = (web.unwrap(), net.now);
    let any = net.hosts[1].tcp_listen("[::]:80".parse().unwrap(), ListenOptions::default());
    let line = net.hosts[0].tcp_connect(now, at, None, Options::default());
    let line = line.unwrap();
    net.run(Duration::from_secs(2));
    assert_eq!(net.hosts[0].tcp_state(line), Some(State::Established));
    let (peer, _) = net.hosts[1].tcp_accept(web).unwrap();
    assert_eq!(net.hosts[1].tcp_local(peer), Some(at));
    let now = net.now;
    net.hosts[1].tcp_send(now, peer, b"hello").unwrap();
    net.settle();
    let mut room = [0; 9];
    assert_eq!(net.hosts[0].tcp_recv(now, line, &mut room), Ok(5));
    // All routers of the subnet: a SYN is dropped in silence, lest the next segment meet another.
    let routers = core::net::SocketAddr::new(ip("fd07::").into(), 80);
    let line = net.hosts[0].tcp_connect(now, routers, None, Options::default());
    net.run(Duration::from_secs(3));
    let state = net.hosts[0].tcp_state(line.unwrap());
    assert_eq!(state, Some(State::SynSent));
    assert!(net.hosts[1].tcp_accept(any.unwrap()).is_none());
    assert!(net.hosts[1].stats().dropped_in(DropReason::TcpNotUnicast) > 0);
    // Nobody begins one from there.
    let from = Some(core::net::SocketAddr::new(anycast.into(), 0));
    let to = "[fd07::2]:80".parse().unwrap();
    let begun = net.hosts[1].tcp_connect(now, to, from, Options::default());
    assert_eq!(begun, Err(ConnectError::NotAvailable));
}

#[test]
fn a_router_goes_by_what_it_advertises() {
    //= RFC 4861 §6.2.1
    let said = |c: &mut advertiser::Config| {
        c.hop_limit = 33;
        c.mtu = Some(1400);
        c.reachable_time = 90_000;
        c.retrans_timer = 250;
    };
    let mut net = Net::new(vec![router(1, said), learner(2)], vec![[(0, 0), (1, 0)]]);
    net.run(Duration::from_secs(20));
    let times = |host: &Host| host.interfaces()[0].neighbors().times6();
    let want = (Duration::from_secs(90), Duration::from_millis(250));
    let mtu = |host: &Host, to: &str| host.interfaces()[0].mtu_for(to.parse().unwrap());
    for host in &net.hosts {
        assert_eq!(times(host), want);
        assert_eq!((mtu(host, "fd07::9"), mtu(host, "10.7.0.9")), (1400, 1500));
    }
    // What it sends has that hop limit, and is cut to that MTU.
    net.log.clear();
    ping(&mut net, "fd07::ff:fe00:2", 1400);
    let sent = net.log.iter().filter(|(to, ..)| *to == 1);
    let sent: Vec<_> = sent.map(|(_, frame, _)| frame.to_bytes()).collect();
    let sent: Vec<_> = sent.iter().filter(|f| f[20] == 44).collect();
    let shapes: Vec<_> = sent.iter().map(|f| (f.len() - 14, f[21])).collect();
    assert_eq!(shapes, [(1400, 33), (104, 33)]);
    // Nobody is there: it asks again after RetransTimer.
    net.log.clear();
    ping(&mut net, "fd07::99", 10);
    let begun = net.now;
    net.run(Duration::from_millis(499));
    let asked = crossed(&net, icmpv6::kind::NEIGHBOR_SOLICITATION).len();
    assert_eq!(asked, 2, "since {begun:?}");
    net.run(Duration::from_millis(400));
    let asked = crossed(&net, icmpv6::kind::NEIGHBOR_SOLICITATION).len();
    assert_eq!(asked, 3, "and no more than three times");
    // A neighbour is reachable for half that to one and a half times, drawn at random.
    ping(&mut net, "fd07::ff:fe00:2", 10);
    let to: IpAddr = ip("fd07::ff:fe00:2").into();
    let state = |net: &Net| net.hosts[0].interfaces()[0].neighbors().neighbor(to);
    let state = |net: &Net| state(net).map(|n| n.state);
    assert_eq!(state(&net), Some(State::Reachable));
    net.run(Duration::from_secs(44));
    assert_eq!(state(&net), Some(State::Reachable), "for 45 s at least");
    net.run(Duration::from_secs(92));
    assert_eq!(state(&net), Some(State::Stale), "and 135 at most");
    // Duplicates are looked for at that interval too.
    let eth = station(3, "fd07::3/64", |eth| {
        let mut config = advertiser::Config::default();
        said(&mut config);
        eth.advertise = Some(config);
        eth.duplicate_detection = DuplicateDetection::Before;
    });
    let mut host = with(3, true, eth);
    let mut at = Instant::ZERO;
    while at < Instant::ZERO + Duration::from_millis(1300) {
        host.handle_timeout(at);
        while host.poll_transmit(at, Port(0)).is_some() {}
        at += Duration::from_millis(10);
    }
    assert!(host.interfaces()[0].holds(ip("fd07::3")), "1 s and 250 ms");
    // What is longer than that is refused on its way, and what it says itself fits it.
    let mut long = advertiser::Config::default();
    said(&mut long);
    long.mtu = Some(1280);
    long.routes = (0..100u16)
        .map(|n| advertiser::MoreSpecific {
            to: cidr(&std::format!("2001:db8:{n:x}::/48")),
            lifetime: Some(600),
            preference: crate::wire::ndp::Preference::Medium,
        })
        .collect();
    let router = router(1, |c| *c = long);
    let mut net = Net::new(vec![router, learner(2)], vec![[(0, 0), (1, 0)]]);
    net.run(Duration::from_secs(20));
    let said = crossed(&net, icmpv6::kind::ROUTER_ADVERTISEMENT);
    let longest = said.iter().map(|(.., m)| m.len() + 40).max();
    assert!(longest > Some(1000) && longest <= Some(1280), "{longest:?}");
}

#[test]
fn a_router_speaks_from_the_address_that_it_was_told_of() {
    for (given, want) in [("fe80::53", Some("fe80::53")), ("fe80::54", None)] {
        let advertise = advertiser::Config {
            source: Some(ip(given)),
            ..advertiser::Config::default()
        };
        let eth = station(1, "fd07::1/64", |eth| eth.advertise = Some(advertise));
        let mut router = with(1, true, eth);
        router.add_address(Instant::ZERO, 0, cidr("fe80::53/64"));
        let mut net = Net::new(vec![router, learner(2)], vec![[(0, 0), (1, 0)]]);
        net.run(Duration::from_secs(30));
        let said = crossed(&net, icmpv6::kind::ROUTER_ADVERTISEMENT);
        assert!(said.iter().all(|(src, ..)| Some(*src) == want.map(ip)));
        assert_eq!(
            said.is_empty(),
            want.is_none(),
            "with another's it is silent"
        );
    }
}
