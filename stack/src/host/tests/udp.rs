use super::*;
use crate::frame::Payload;
use crate::net::groups::FilterMode;
use crate::reason::DropReason;
use bytes::Bytes;
use core::net::SocketAddr;

fn bytes(b: &'static [u8]) -> Payload {
    Payload::from(Bytes::from_static(b))
}

#[test]
fn a_datagram_goes_there_and_back() {
    let mut net = Net::pair();
    let now = net.now;
    let server = net.hosts[1].udp_bind("0.0.0.0:7".parse().unwrap()).unwrap();
    let client = net.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    net.hosts[0]
        .udp_send(
            now,
            client,
            bytes(b"hello"),
            Some(SocketAddr::new(v4(B), 7)),
        )
        .unwrap();
    net.settle();
    assert_eq!(
        net.hosts[1].poll_event(),
        Some(Event::Udp(server, Readiness::READABLE))
    );
    let got = net.hosts[1].udp_recv(server).unwrap();
    assert_eq!(&got.payload.to_bytes()[..], b"hello");
    assert_eq!(got.to, SocketAddr::new(v4(B), 7));
    net.hosts[1]
        .udp_send(now, server, got.payload, Some(got.from))
        .unwrap();
    net.settle();
    assert_eq!(
        &net.hosts[0].udp_recv(client).unwrap().payload.to_bytes()[..],
        b"hello"
    );
}

#[test]
fn bindings_exclude_each_other_unless_shared() {
    let mut net = Net::pair();
    let h = &mut net.hosts[0];
    let any: SocketAddr = "0.0.0.0:7".parse().unwrap();
    let here: SocketAddr = "10.7.0.1:7".parse().unwrap();
    let first = h.udp_bind(any).unwrap();
    assert_eq!(h.udp_bind(here), Err(BindError::InUse));
    h.udp_close(net.now, first);
    assert!(h.udp_bind(here).is_ok());
    assert_eq!(h.udp_bind(any), Err(BindError::InUse));
    assert_eq!(
        h.udp_bind("10.7.0.9:8".parse().unwrap()),
        Err(BindError::NotAvailable)
    );
}

#[test]
fn groups_reach_members_and_broadcast_needs_leave() {
    let mut net = Net::pair();
    let now = net.now;
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let to = SocketAddr::new(v4(group), 5000);
    let member = net.hosts[1]
        .udp_bind("0.0.0.0:5000".parse().unwrap())
        .unwrap();
    let sender = net.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    net.hosts[0]
        .udp_send(now, sender, bytes(b"x"), Some(to))
        .unwrap();
    net.settle();
    assert_eq!(
        net.hosts[1]
            .stats()
            .dropped_in(DropReason::LinkGroupNotJoined),
        1
    );
    net.hosts[1]
        .udp_join(now, member, 0, group, FilterMode::Exclude, &[])
        .unwrap();
    net.hosts[0]
        .udp_send(now, sender, bytes(b"y"), Some(to))
        .unwrap();
    net.settle();
    let got = net.hosts[1].udp_recv(member).unwrap();
    assert_eq!((got.to, got.ttl), (to, 1));
    net.hosts[1].udp_leave(now, member, 0, group);
    net.hosts[0]
        .udp_send(now, sender, bytes(b"z"), Some(to))
        .unwrap();
    net.settle();
    assert!(net.hosts[1].udp_recv(member).is_none());

    let all = SocketAddr::from(([10, 7, 0, 255], 5000));
    assert_eq!(
        net.hosts[0].udp_send(now, sender, bytes(b"b"), Some(all)),
        Err(SendError::BroadcastNotAllowed)
    );
    net.hosts[0].udp_options(sender).unwrap().broadcast = true;
    net.hosts[0]
        .udp_send(now, sender, bytes(b"b"), Some(all))
        .unwrap();
    net.settle();
    assert_eq!(net.hosts[1].udp_recv(member).unwrap().to, all);
}

#[test]
fn talks_to_itself_without_a_wire() {
    let mut net = Net::pair();
    let now = net.now;
    let a = net.hosts[0].udp_bind("0.0.0.0:1".parse().unwrap()).unwrap();
    let to = SocketAddr::new(v4(A), 1);
    net.hosts[0]
        .udp_send(now, a, bytes(b"me"), Some(to))
        .unwrap();
    net.settle();
    assert_eq!(net.hosts[0].udp_recv(a).unwrap().from, to);
    assert_eq!(net.hosts[0].stats().looped, 1);
}

#[test]
fn a_full_send_queue_pushes_back_and_then_says_so() {
    let mut net = Net::pair();
    let now = net.now;
    let a = net.hosts[0].udp_bind("0.0.0.0:1".parse().unwrap()).unwrap();
    let to = Some(SocketAddr::new(v4(B), 9));
    let big = Payload::from(Bytes::from(std::vec![0; 60_000]));
    let sent = (0..100)
        .take_while(|_| net.hosts[0].udp_send(now, a, big.clone(), to).is_ok())
        .count();
    assert_eq!(sent, 4, "256 KiB");
    while net.hosts[0].poll_event().is_some() {}
    assert!(net.hosts[0].poll_transmit(now, Port(0)).is_some());
    net.settle();
    let mut events = core::iter::from_fn(|| net.hosts[0].poll_event());
    assert!(events.any(|e| matches!(e, Event::Udp(h, r) if h == a && r.has(Readiness::WRITABLE))));
    assert!(net.hosts[0].udp_send(now, a, big, to).is_ok());
}

#[test]
fn some_addresses_are_never_sent_to() {
    let mut net = Net::pair();
    let now = net.now;
    let gateway = "0.0.0.0/0".parse().unwrap();
    let default = Route::via(gateway, v4(B), Port(0));
    net.hosts[0].add_route(default).unwrap();
    let udp = net.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    for addr in ["0.0.0.0:9", "127.0.0.1:9", "240.0.0.1:9"] {
        let sent = net.hosts[0].udp_send(now, udp, Payload::new(), Some(addr.parse().unwrap()));
        assert_eq!(sent, Err(SendError::NoRoute), "{addr}");
    }
    let far = Some("192.0.2.1:9".parse().unwrap());
    assert!(net.hosts[0].udp_send(now, udp, Payload::new(), far).is_ok());
}

#[test]
fn nothing_leaves_with_a_time_to_live_of_zero() {
    let mut net = Net::pair();
    let now = net.now;
    let udp = net.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    let options = net.hosts[0].udp_options(udp).unwrap();
    (options.ttl, options.multicast_ttl) = (0, 0);
    let mut send = |to: &str| {
        let to = Some(to.parse().unwrap());
        net.hosts[0].udp_send(now, udp, Payload::new(), to).unwrap();
        net.settle();
        net.log.last().map(|(_, frame, _)| frame.to_bytes()[22])
    };
    assert_eq!(send("239.1.1.1:9"), None, "stays within the host");
    assert!(send("10.7.0.2:9").is_some_and(|ttl| ttl > 0));
}

#[test]
fn a_connected_socket_leaves_strangers_to_who_shares_its_port() {
    let mut net = Net::pair();
    let now = net.now;
    let shared = crate::transport::udp::Options {
        reuse: true,
        ..Default::default()
    };
    let mut bind = || {
        let any = "0.0.0.0:7".parse().unwrap();
        net.hosts[1].udp_bind_with(any, shared).unwrap()
    };
    let (listener, connected) = (bind(), bind());
    let peer = SocketAddr::new(v4(A), 1000);
    net.hosts[1].udp_connect(connected, peer).unwrap();
    for (port, expected) in [(1001, listener), (1000, connected)] {
        let local = SocketAddr::new(v4(A), port);
        let client = net.hosts[0].udp_bind(local).unwrap();
        let to = Some(SocketAddr::new(v4(B), 7));
        net.hosts[0]
            .udp_send(now, client, Payload::new(), to)
            .unwrap();
        net.settle();
        assert!(net.hosts[1].udp_recv(expected).is_some(), "from {port}");
    }
    // Connected elsewhere, the old pair is free.
    net.hosts[1]
        .udp_connect(connected, SocketAddr::new(v4(A), 2000))
        .unwrap();
    assert_eq!(net.hosts[1].udp_connect(listener, peer), Ok(()));
}

#[test]
fn a_closed_socket_joins_and_leaves_nothing() {
    let mut net = Net::pair();
    let now = net.now;
    let host = &mut net.hosts[0];
    let group = Ipv4Addr::new(239, 1, 1, 1);
    let closed = host.udp_bind("0.0.0.0:7".parse().unwrap()).unwrap();
    host.udp_close(now, closed);
    let join =
        |host: &mut Host, socket| host.udp_join(now, socket, 0, group, FilterMode::Exclude, &[]);
    assert!(join(host, closed).is_err());
    assert!(!host.interfaces()[0].groups().is_member(group));
    // Its place is taken by another, whose group it must not leave.
    let open = host.udp_bind("0.0.0.0:7".parse().unwrap()).unwrap();
    join(host, open).unwrap();
    host.udp_leave(now, closed, 0, group);
    assert!(host.interfaces()[0].groups().is_member(group));
}

/// Where nothing is to be decided, less is looked at; what leaves is the same, of either family.
#[test]
fn the_plain_way_out_writes_what_the_long_one_does() {
    plain_and_long(Net::pair(), "0.0.0.0:9", v4(B));
    plain_and_long(Net::pair(), "[::]:9", v4(B));
    plain_and_long(Net::pair6(), "[::]:9", "fd07::2".parse().unwrap());
}

fn plain_and_long(mut net: Net, bound: &str, peer: IpAddr) {
    let now = net.now;
    let h = &mut net.hosts[0];
    let socket = h.udp_bind(bound.parse().unwrap()).unwrap();
    let (echo, _) = h.echo_open(77).unwrap();
    let options = h.udp_options(socket).unwrap();
    (options.tos, options.ttl) = (0x2e, 9);
    let to = Some(SocketAddr::new(peer, 7));
    h.udp_send(now, socket, bytes(b"find it"), to).unwrap();
    net.settle();
    net.log.clear();
    let forget = |net: &mut Net, long: bool| {
        if long {
            net.hosts[0].forget_routes();
        }
        assert_eq!(net.hosts[0].remembers(peer), !long);
    };
    for long in [true, false] {
        for payload in [&b"odd"[..], b""] {
            forget(&mut net, long);
            let host = &mut net.hosts[0];
            host.udp_send(now, socket, bytes(payload), to).unwrap();
            forget(&mut net, long);
            let host = &mut net.hosts[0];
            host.echo_send(now, echo, peer, 5, bytes(payload), &[])
                .unwrap();
        }
        assert_eq!(net.hosts[0].udp_unsent(socket), 2);
        net.settle();
    }
    let sent: Vec<_> = net.log.iter().filter(|(to, ..)| *to == 1).collect();
    let bytes: Vec<_> = sent.iter().map(|(_, frame, _)| frame.to_bytes()).collect();
    assert_eq!(bytes.len(), 8);
    for (long, plain) in bytes[..4].iter().zip(&bytes[4..]) {
        assert_eq!(long, plain);
    }
    // And the other end could read all of it: nobody is on the port, and the echoes are answered.
    let fates = |want| sent.iter().filter(|(.., fate)| *fate == want).count();
    assert_eq!(fates(Fate::Dropped(DropReason::UdpNoSocket)), 4);
    assert_eq!(fates(Fate::Delivered(crate::machine::Consumer::Icmp)), 4);
}

/// So are answers to echo requests, but for what tells IPv4's apart.
#[test]
fn the_plain_answer_is_what_the_long_one_is() {
    for (mut net, peer) in [
        (Net::pair(), v4(B)),
        (Net::pair6(), "fd07::2".parse().unwrap()),
    ] {
        let (echo, _) = net.hosts[0].echo_open(77).unwrap();
        let from = net.hosts[0].route_to(peer).unwrap().1;
        let ask = |net: &mut Net, long: bool| {
            let now = net.now;
            net.log.clear();
            let host = &mut net.hosts[0];
            host.echo_send(now, echo, peer, 5, bytes(&[7; 33]), &[])
                .unwrap();
            if long {
                net.hosts[1].forget_routes();
            }
            assert_eq!(net.hosts[1].remembers(from), !long);
            net.settle();
            let heard = Fate::Delivered(crate::machine::Consumer::Raw);
            let reply = net.log.iter().find(|(.., fate)| *fate == heard).unwrap();
            let mut bytes = reply.1.to_bytes().to_vec();
            if peer.is_ipv4() {
                // Identification and header checksum.
                bytes[18..20].fill(0);
                bytes[24..26].fill(0);
            }
            bytes
        };
        ask(&mut net, true);
        let plain = ask(&mut net, false);
        assert_eq!(plain, ask(&mut net, true));
    }
}

/// What the host remembers of a conversation ends with what it was found by.
#[test]
fn a_remembered_way_is_forgotten_when_a_route_changes() {
    let mut net = Net::pair();
    let now = net.now;
    let socket = net.hosts[0].udp_bind("0.0.0.0:9".parse().unwrap()).unwrap();
    let (echo, _) = net.hosts[1].echo_open(77).unwrap();
    let to = Some(SocketAddr::new(v4(B), 7));
    let here = |net: &mut Net| net.hosts[0].udp_send(now, socket, bytes(b"x"), to);
    let asked = |net: &mut Net| {
        net.log.clear();
        net.hosts[1]
            .echo_send(now, echo, A, 1, bytes(b"y"), &[])
            .unwrap();
        net.settle();
        net.log.iter().find(|(to, ..)| *to == 0).unwrap().2
    };
    let answered = Fate::Delivered(crate::machine::Consumer::Icmp);
    for _ in 0..3 {
        here(&mut net).unwrap();
        net.settle();
        assert_eq!(asked(&mut net), answered);
    }
    let network: Cidr = "10.7.0.2/32".parse().unwrap();
    let mut route = Route::on_link(network, Port(0));
    route.kind = crate::net::route::RouteKind::Prohibited;
    net.hosts[0].add_route(route).unwrap();
    assert_eq!(here(&mut net), Err(SendError::Prohibited));
    assert_eq!(
        asked(&mut net),
        Fate::Dropped(DropReason::RouteProhibited),
        "an answer takes the same way"
    );
    assert!(net.hosts[0].remove_route(network, 0, 0).is_some());
    assert_eq!(here(&mut net), Ok(()));
    net.settle();
    assert_eq!(asked(&mut net), answered);
    net.hosts[0].set_up(now, 0, false);
    assert_eq!(here(&mut net), Err(SendError::NoRoute));
}

#[test]
fn a_closed_socket_gives_back_the_places_of_its_queues() {
    let mut net = Net::pair();
    let now = net.now;
    let to = Some(SocketAddr::new(v4(B), 7));
    for _ in 0..5 {
        let server = net.hosts[1].udp_bind("0.0.0.0:7".parse().unwrap()).unwrap();
        let client = net.hosts[0].udp_bind("0.0.0.0:9".parse().unwrap()).unwrap();
        for _ in 0..3 {
            net.hosts[0]
                .udp_send(now, client, bytes(b"read"), to)
                .unwrap();
        }
        net.settle();
        for _ in 0..4 {
            net.hosts[0]
                .udp_send(now, client, bytes(b"sent"), to)
                .unwrap();
        }
        assert_eq!(net.hosts[1].udp(server).unwrap().waiting(), 3);
        net.hosts[0].udp_close(now, client);
        net.hosts[1].udp_close(now, server);
    }
    assert_eq!(net.hosts[0].packets.places(), 4);
    assert_eq!(net.hosts[1].datagrams.places(), 3);
    assert_eq!(
        net.hosts[0].stats().dropped_out(DropReason::SocketClosed),
        20
    );
}
