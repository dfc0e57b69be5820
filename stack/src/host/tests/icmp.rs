use super::*;
use crate::frame::Payload;
use crate::net::ipv4;
use crate::net::route::Route;
use crate::net::route::RouteKind;
use crate::reason::DropReason;
use crate::transport::ErrorKind;
use crate::wire::EtherType;
use bytes::Bytes;

fn data(len: usize) -> Payload {
    let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
    Payload::from(Bytes::from(bytes))
}

fn ping(net: &mut Net, len: usize, options: &[u8]) -> crate::transport::raw::Packet {
    let now = net.now;
    let (socket, ident) = net.hosts[0].echo_open(0).unwrap();
    net.hosts[0]
        .echo_send(now, socket, B, 7, data(len), options)
        .unwrap();
    net.settle();
    let reply = net.hosts[0].raw_recv(socket).expect("a reply");
    net.hosts[0].raw_close(now, socket);
    let bytes = reply.payload.to_bytes();
    assert_eq!(bytes[0], 0, "echo reply");
    assert_eq!(
        &bytes[4..8],
        [ident.to_be_bytes(), 7u16.to_be_bytes()].concat()
    );
    assert_eq!(bytes[8..], data(len).to_bytes()[..]);
    assert_eq!((reply.from, reply.ttl), (v4(B), 64));
    reply
}

#[test]
fn answers_a_ping_of_any_size() {
    let mut net = Net::pair();
    for len in [0, 1, 56, 1472, 1473, 3000, 65_507] {
        ping(&mut net, len, &[]);
    }
    let stats = *net.hosts[1].stats();
    assert_eq!(stats.echoes, 7);
    assert_eq!(stats.held, 0);
    assert_eq!(stats.reassembled, 3);
}

#[test]
fn record_route_lists_both_ends() {
    let mut net = Net::pair();
    let mut options = [0; 40];
    options[..3].copy_from_slice(&[7, 39, 4]);
    let reply = ping(&mut net, 56, &options);
    // One entry from the sender, one from us (RFC 1122 §3.2.2.6).
    assert_eq!(&reply.options[..11], [7, 39, 12, 10, 7, 0, 1, 10, 7, 0, 2]);
}

#[test]
fn port_and_protocol_unreachable_reach_the_socket() {
    let mut net = Net::pair();
    let now = net.now;
    let udp = net.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    let to = SocketAddr::new(v4(B), 9);
    net.hosts[0].udp_connect(udp, to).unwrap();
    net.hosts[0].udp_send(now, udp, data(10), None).unwrap();
    net.settle();
    assert_eq!(net.hosts[1].stats().dropped_in(DropReason::UdpNoSocket), 1);
    let failed = net.hosts[0].udp_send(now, udp, data(10), None);
    let Err(SendError::Failed(error)) = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(
        (error.kind, error.to, error.offender),
        (ErrorKind::PortUnreachable, to, v4(B))
    );
    assert!(
        net.hosts[0].udp_send(now, udp, data(10), None).is_ok(),
        "an error is told once"
    );

    let raw = net.hosts[0].raw_open(crate::wire::Protocol(253)).unwrap();
    net.hosts[0].raw_send(now, raw, B, data(20), &[]).unwrap();
    net.settle();
    let error = net.hosts[0].raw_take_error(raw).unwrap();
    assert_eq!(error.kind, ErrorKind::ProtocolUnreachable);
}

#[test]
fn errors_about_packets_we_did_not_send_are_refused() {
    let mut net = Net::pair();
    let now = net.now;
    let udp = net.hosts[0]
        .udp_bind("0.0.0.0:5000".parse().unwrap())
        .unwrap();
    net.hosts[0]
        .udp_send(now, udp, data(10), Some(SocketAddr::new(v4(B), 9)))
        .unwrap();
    net.settle();
    let (_, error, _) = net
        .log
        .iter()
        .rev()
        .find(|(to, f, _)| *to == 0 && f.to_bytes()[23] == 1)
        .unwrap();
    let error = error.to_bytes();
    // The quote's source port is at Ethernet 14 + IP 20 + ICMP 8 + IP 20.
    let mut forged = error.to_vec();
    forged[62..64].copy_from_slice(&5001u16.to_be_bytes());
    let sum =
        crate::wire::checksum::update(u16::from_be_bytes([forged[36], forged[37]]), 5000, 5001);
    forged[36..38].copy_from_slice(&sum.to_be_bytes());
    let fate = net.hosts[0].handle_frame(now, Port(0), Frame::copy_from(&forged));
    assert_eq!(fate, Fate::Dropped(DropReason::IcmpQuoteUnmatched));
    forged[36] ^= 1;
    let fate = net.hosts[0].handle_frame(now, Port(0), Frame::copy_from(&forged));
    assert_eq!(fate, Fate::Dropped(DropReason::IcmpBadChecksum));
}

#[test]
fn errors_about_whom_a_socket_did_not_send_to_are_refused() {
    let mut net = Net::pair();
    let now = net.now;
    let udp = net.hosts[0]
        .udp_bind("0.0.0.0:5000".parse().unwrap())
        .unwrap();
    let (ping, ident) = net.hosts[0].echo_open(0).unwrap();
    let [high, low] = ident.to_be_bytes();
    // Of the packets that are quoted: protocol, and what comes first behind their IP header.
    for (protocol, front) in [
        (17, [0x13, 0x88, 0, 9, 0, 18, 0, 0]),
        (1, [8, 0, 0, 0, high, low, 0, 7]),
    ] {
        let heard = |net: &mut Net, about: [u8; 4]| {
            let mut quote = std::vec![0x45, 0, 0, 38, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 7, 0, 1];
            quote.extend(about.iter().chain(&front));
            let mut error = Frame::from_bytes(quote.into());
            crate::net::icmp::push_header(&mut error, 3, 1, [0; 4]);
            let out = ipv4::Outgoing {
                tos: 0,
                ident: 0,
                dont_fragment: false,
                ttl: 64,
                protocol: crate::wire::Protocol::ICMP,
                src: B,
                dst: A,
                options: &[],
            };
            assert!(ipv4::encapsulate(&mut error, &out));
            net.hosts[1].interfaces[0].encapsulate(&mut error, mac(1), EtherType::IPV4);
            net.hosts[0].handle_frame(now, Port(0), Frame::from_bytes(error.to_bytes()))
        };
        let refused = Fate::Dropped(DropReason::IcmpQuoteUnmatched);
        let far = [10, 7, 0, 9];
        assert_eq!(heard(&mut net, far), refused);
        let to = Ipv4Addr::from(far);
        let sent = if protocol == 17 {
            let to = Some(SocketAddr::new(v4(to), 9));
            net.hosts[0].udp_send(now, udp, data(10), to)
        } else {
            net.hosts[0].echo_send(now, ping, to, 7, data(10), &[])
        };
        sent.unwrap();
        let taken = Fate::Delivered(crate::machine::Consumer::Icmp);
        assert_eq!(heard(&mut net, far), taken);
        assert_eq!(heard(&mut net, [10, 7, 0, 8]), refused);
    }
}

#[test]
fn a_dead_neighbour_fails_the_socket_that_sent() {
    let mut net = Net::pair();
    let now = net.now;
    let udp = net.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    let to = SocketAddr::from(([10, 7, 0, 99], 9));
    net.hosts[0].udp_send(now, udp, data(10), Some(to)).unwrap();
    net.run(Duration::from_secs(10));
    let error = net.hosts[0].udp_take_error(udp).expect("host unreachable");
    assert_eq!((error.kind, error.to), (ErrorKind::HostUnreachable, to));
    assert_eq!(
        net.hosts[0]
            .stats()
            .dropped_out(DropReason::NeighborUnreachable),
        1
    );
}

#[test]
fn redirects_only_from_the_first_hop() {
    let mut net = Net::pair();
    let far: Ipv4Addr = "192.0.2.1".parse().unwrap();
    let default = "0.0.0.0/0".parse().unwrap();
    net.hosts[0]
        .add_route(Route::via(default, v4(B), Port(0)))
        .unwrap();
    let better = Ipv4Addr::new(10, 7, 0, 3);
    let now = net.now;
    let h = &mut net.hosts[0];
    let outside = Ipv4Addr::new(10, 9, 0, 1);
    assert!(
        h.redirect(now, 0, v4(A), v4(far), v4(better)).is_err(),
        "not from the first hop"
    );
    assert!(
        h.redirect(now, 0, v4(B), v4(far), v4(outside)).is_err(),
        "not on our net"
    );
    assert!(
        h.redirect(now, 0, v4(B), v4(far), v4(A)).is_err(),
        "ourselves"
    );
    assert!(h.redirect(now, 0, v4(B), v4(far), v4(better)).is_ok());
    assert_eq!(
        h.way(v4(far)).unwrap().hop,
        interface::Hop::Neighbor(v4(better))
    );
    net.run(Duration::from_secs(601));
    assert_eq!(
        net.hosts[0].way(v4(far)).unwrap().hop,
        interface::Hop::Neighbor(v4(B)),
        "it ages"
    );
}

use core::net::SocketAddr;

/// A redirect names a first hop, no more: what the table says of the way still holds.
#[test]
fn a_redirect_changes_the_first_hop_alone() {
    let mut net = Net::pair();
    let (now, h) = (net.now, &mut net.hosts[0]);
    let far: Ipv4Addr = "192.0.2.1".parse().unwrap();
    let ours = Ipv4Addr::new(10, 7, 0, 9);
    h.add_address(now, 0, "10.7.0.9/24".parse().unwrap());
    h.add_route(Route {
        source: Some(v4(ours)),
        mtu: Some(1280),
        ..Route::via("192.0.2.0/24".parse().unwrap(), v4(B), Port(0))
    })
    .unwrap();
    let better = Ipv4Addr::new(10, 7, 0, 3);
    h.redirect(now, 0, v4(B), v4(far), v4(better)).unwrap();
    let way = h.way(v4(far)).unwrap();
    assert_eq!(way.hop, interface::Hop::Neighbor(v4(better)));
    assert_eq!((way.src, way.mtu), (v4(ours), 1280));
    h.add_route(Route {
        kind: RouteKind::Prohibited,
        ..Route::on_link("192.0.2.1/32".parse().unwrap(), Port(0))
    })
    .unwrap();
    assert_eq!(h.way(v4(far)), Err(DropReason::RouteProhibited));
}

#[test]
fn a_redirect_to_a_dead_gateway_is_forgotten() {
    let mut net = Net::pair();
    let now = net.now;
    let far: Ipv4Addr = "192.0.2.1".parse().unwrap();
    let default = "0.0.0.0/0".parse().unwrap();
    let h = &mut net.hosts[0];
    h.add_route(Route::via(default, v4(B), Port(0))).unwrap();
    let dead = Ipv4Addr::new(10, 7, 0, 3);
    h.redirect(now, 0, v4(B), v4(far), v4(dead)).unwrap();
    let udp = h.udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    let to = Some(SocketAddr::new(v4(far), 9));
    h.udp_send(now, udp, data(1), to).unwrap();
    net.run(Duration::from_secs(10));
    let hop = net.hosts[0].way(v4(far)).unwrap().hop;
    assert_eq!(hop, interface::Hop::Neighbor(v4(B)));
}

#[test]
fn a_ping_whose_fragments_do_not_come_is_reported() {
    let mut net = Net::pair();
    let now = net.now;
    let (socket, _) = net.hosts[0].echo_open(0).unwrap();
    net.hosts[0]
        .echo_send(now, socket, B, 1, data(3000), &[])
        .unwrap();
    // The question and its answer pass; of the fragments only the first does.
    for _ in 0..4 {
        while let Some(f) = net.hosts[1].poll_transmit(now, Port(0)) {
            net.hosts[0].handle_frame(now, Port(0), f);
        }
        if let Some(f) = net.hosts[0].poll_transmit(now, Port(0))
            && net.hosts[1].handle_frame(now, Port(0), f) == Fate::Held
        {
            break;
        }
    }
    while net.hosts[0].poll_transmit(now, Port(0)).is_some() {}
    assert_eq!(net.hosts[1].stats().held, 1);
    net.run(Duration::from_secs(120));
    let error = net.hosts[0].raw_take_error(socket).expect("time exceeded");
    assert_eq!(error.kind, ErrorKind::ReassemblyTimeout);
}

#[test]
fn a_forged_source_gets_no_parameter_problem() {
    let packet = |src: Ipv4Addr| {
        // Record route with a length of nothing.
        let mut ip = [
            0x46, 0, 0, 24, 0, 1, 0, 0, 64, 253, 0, 0, 0, 0, 0, 0, 10, 7, 0, 2, 7, 0, 0, 0,
        ];
        ip[12..16].copy_from_slice(&src.octets());
        let sum = crate::wire::checksum::of(&ip).to_be_bytes();
        ip[10..12].copy_from_slice(&sum);
        let link = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        Frame::copy_from(&[&link[..], &ip, &[0; 22]].concat())
    };
    let mut net = Net::pair();
    let now = net.now;
    for (src, reports) in [
        (B, 0),
        (Ipv4Addr::new(10, 7, 0, 255), 0),
        (Ipv4Addr::LOCALHOST, 0),
        (A, 1),
    ] {
        let fate = net.hosts[1].handle_frame(now, Port(0), packet(src));
        assert_eq!(fate, Fate::Dropped(DropReason::Ipv4BadOption));
        assert_eq!(net.hosts[1].stats().icmp_errors_out, reports, "{src}");
    }
}

#[test]
fn a_router_s_mark_on_one_fragment_reaches_the_socket() {
    let mut net = Net::pair();
    let now = net.now;
    let to = SocketAddr::new(v4(B), 7);
    let server = net.hosts[1].udp_bind(to).unwrap();
    let client = net.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    net.hosts[0]
        .udp_send(now, client, data(10), Some(to))
        .unwrap();
    net.settle();
    net.hosts[1].udp_recv(server).unwrap();
    for (ect, want) in [(2, Some(3)), (0, None)] {
        net.hosts[0].udp_options(client).unwrap().tos = ect;
        net.hosts[0]
            .udp_send(now, client, data(3000), Some(to))
            .unwrap();
        let mut n = 0;
        while let Some(piece) = net.hosts[0].poll_transmit(now, Port(0)) {
            let mut bytes = piece.to_bytes().to_vec();
            if n == 1 {
                bytes[15] = 3;
                let sum = u16::from_be_bytes([bytes[24], bytes[25]]);
                let sum = crate::wire::checksum::update(sum, 0x4500 | u16::from(ect), 0x4503);
                bytes[24..26].copy_from_slice(&sum.to_be_bytes());
            }
            n += 1;
            net.hosts[1].handle_frame(now, Port(0), Frame::copy_from(&bytes));
        }
        assert_eq!(n, 3);
        let got = net.hosts[1].udp_recv(server);
        assert_eq!(got.map(|d| d.tos), want);
    }
    let dropped = net.hosts[1]
        .stats()
        .dropped_in(DropReason::FragmentEcnMixed);
    assert_eq!(dropped, 3);
    assert!(net.hosts[1].stats().is_conserved());
}

#[test]
fn replies_wait_within_their_bytes() {
    let mut net = Net::pair();
    let now = net.now;
    // A small one: each finds the other's station.
    ping(&mut net, 56, &[]);
    let (socket, _) = net.hosts[0].echo_open(0).unwrap();
    let big = data(60_000);
    let reply = 60_028;
    let fits = (1 << 20) / reply;
    // What B does not get rid of, and what it does.
    for rounds in 0..2 {
        for _ in 0..20 {
            net.hosts[0]
                .echo_send(now, socket, B, 1, big.clone(), &[])
                .unwrap();
            while let Some(piece) = net.hosts[0].poll_transmit(now, Port(0)) {
                let bytes = piece.to_bytes();
                net.hosts[1].handle_frame(now, Port(0), Frame::from_bytes(bytes));
            }
        }
        let queues = &net.hosts[1].interfaces[0].queues;
        assert_eq!(
            (queues.replies.len(), queues.reply_bytes),
            (fits, fits * reply)
        );
        let full = net.hosts[1].stats().dropped_out(DropReason::ReplyQueueFull);
        assert_eq!(full, (rounds + 1) * (20 - fits as u64));
        while net.hosts[1].poll_transmit(now, Port(0)).is_some() {}
        assert_eq!(net.hosts[1].interfaces[0].queues.reply_bytes, 0);
    }
    // The same for what it sends to itself.
    let (own, _) = net.hosts[1].echo_open(0).unwrap();
    for _ in 0..20 {
        net.hosts[1]
            .echo_send(now, own, B, 1, big.clone(), &[])
            .unwrap();
    }
    assert_eq!(
        (net.hosts[1].looped.len(), net.hosts[1].looped_bytes),
        (fits, fits * reply)
    );
    net.settle();
    assert_eq!(net.hosts[1].looped_bytes, 0);
}
