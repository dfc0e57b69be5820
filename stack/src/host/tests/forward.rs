use super::*;
use crate::frame::{Checksum, Payload};
use crate::net::route::Route;
use crate::reason::DropReason;
use crate::transport::ErrorKind;
use crate::transport::udp::PathMtu;
use bytes::Bytes;
use core::net::SocketAddr;
use std::string::ToString;

/// a (0) - router (1) - b (2); the second net's MTU as given.
pub(super) fn routed(mtu: usize) -> Net {
    let mut a = host(1, "10.1.0.2/24");
    a.add_route(Route::via(
        "0.0.0.0/0".parse().unwrap(),
        "10.1.0.1".parse().unwrap(),
        Port(0),
    ))
    .unwrap();
    let config = Config {
        forwarding: true,
        ..Config::default()
    };
    let mut r = Host::new(config, Rng::from_seed(9));
    for (port, cidr, mtu) in [(0, "10.1.0.1/24", 1500), (1, "10.2.0.1/24", mtu)] {
        let mut eth = InterfaceConfig::ethernet("eth", Port(port), mac(10 + port as u8))
            .with_address(cidr.parse().unwrap());
        eth.mtu = mtu;
        r.add_interface(Instant::ZERO, eth);
    }
    let mut b = host(2, "10.2.0.2/24");
    b.interfaces[0].config.mtu = mtu;
    b.add_route(Route::via(
        "0.0.0.0/0".parse().unwrap(),
        "10.2.0.1".parse().unwrap(),
        Port(0),
    ))
    .unwrap();
    Net::new(
        std::vec![a, r, b],
        std::vec![[(0, 0), (1, 0)], [(1, 1), (2, 0)]],
    )
}

pub(super) const FAR: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 2);

fn data(len: usize) -> Payload {
    Payload::from(Bytes::from(std::vec![5; len]))
}

#[test]
fn forwards_and_cuts_for_a_smaller_link() {
    let mut net = routed(600);
    let now = net.now;
    let (ping, _) = net.hosts[0].echo_open(0).unwrap();
    net.hosts[0].raw_options(ping).unwrap().path_mtu = PathMtu::Off;
    for len in [100, 1400, 65_507] {
        net.hosts[0]
            .echo_send(now, ping, FAR, 1, data(len), &[])
            .unwrap();
        net.settle();
        let reply = net.hosts[0].raw_recv(ping).expect("across");
        assert_eq!((reply.payload.len(), reply.ttl), (len + 8, 63));
    }
    assert!(net.hosts[1].stats().fragmented > 0);
    assert_eq!(
        net.hosts[1].stats().held,
        0,
        "a router does not put together"
    );
}

#[test]
fn a_note_that_points_into_the_header_does_not_change_it() {
    let mut net = routed(600);
    let now = net.now;
    let udp = net.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    net.hosts[0].udp_options(udp).unwrap().path_mtu = PathMtu::Off;
    let to = Some(SocketAddr::new(v4(FAR), 7));
    net.hosts[0].udp_send(now, udp, data(10), to).unwrap();
    net.settle();
    net.hosts[0].udp_send(now, udp, data(1000), to).unwrap();
    let mut frame = net.hosts[0].poll_transmit(now, Port(0)).unwrap();
    let ident = frame.to_bytes()[18..20]
        .try_into()
        .map(u16::from_be_bytes)
        .unwrap();
    // Past the link header, bytes 2 and on of the IP header: its identification.
    frame.offload.checksum = Checksum::Partial {
        start: 16,
        offset: 2,
    };
    assert_eq!(
        net.hosts[1].handle_frame(now, Port(0), frame),
        Fate::Forwarded
    );
    while let Some(piece) = net.hosts[1].poll_transmit(now, Port(1)) {
        let bytes = piece.to_bytes();
        assert!(crate::wire::ipv4::verify(&bytes[14..34]));
        let (header, _) = crate::wire::ipv4::Header::parse(&bytes[14..]).unwrap();
        assert_eq!(header.dst, FAR);
        assert_eq!(header.ident, ident, "the sender's own");
    }
}

#[test]
fn learns_the_path_mtu() {
    let mut net = routed(600);
    let now = net.now;
    let udp = net.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    let to = Some(SocketAddr::new(v4(FAR), 7));
    net.hosts[0].udp_options(udp).unwrap().path_mtu = PathMtu::Require;
    net.hosts[0].udp_send(now, udp, data(1000), to).unwrap();
    net.settle();
    assert_eq!(
        net.hosts[1]
            .stats()
            .dropped_in(DropReason::FragmentationNeeded),
        1
    );
    let error = net.hosts[0].udp_take_error(udp).unwrap();
    assert_eq!(error.kind, ErrorKind::PacketTooBig { mtu: 600 });
    assert_eq!(
        net.hosts[0].udp_send(now, udp, data(1000), to),
        Err(SendError::TooLong { max: 572 })
    );
    assert!(net.hosts[0].udp_send(now, udp, data(572), to).is_ok());
}

#[test]
fn says_why_it_does_not_forward() {
    let mut net = routed(1500);
    let now = net.now;
    let udp = net.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    let provoke = |net: &mut Net, to: &str, ttl| {
        net.hosts[0].udp_options(udp).unwrap().ttl = ttl;
        let to = SocketAddr::new(to.parse().unwrap(), 7);
        net.hosts[0].udp_send(now, udp, data(10), Some(to)).unwrap();
        net.run(Duration::from_secs(5));
        net.hosts[0]
            .udp_take_error(udp)
            .map(|e| (e.kind, e.offender.to_string()))
    };
    let router = "10.1.0.1".to_string();
    assert_eq!(
        provoke(&mut net, "10.2.0.2", 1),
        Some((ErrorKind::TtlExpired, router.clone()))
    );
    assert_eq!(
        provoke(&mut net, "10.3.0.2", 9),
        Some((ErrorKind::NetUnreachable, router.clone()))
    );
    assert_eq!(
        provoke(&mut net, "10.2.0.9", 9),
        Some((ErrorKind::HostUnreachable, router))
    );
    let end = "10.2.0.2".to_string();
    assert_eq!(
        provoke(&mut net, "10.2.0.2", 2),
        Some((ErrorKind::PortUnreachable, end))
    );
    assert_eq!(net.hosts[1].stats().dropped_in(DropReason::TtlExpired), 1);
}

#[test]
fn a_fragment_beyond_any_datagram_is_not_cut_again() {
    let mut net = routed(68);
    let now = net.now;
    let src = "10.1.0.2".parse().unwrap();
    let header = crate::wire::ipv4::Header {
        dscp: 0,
        ecn: 0,
        total_len: 1020,
        ident: 1,
        reserved_flag: false,
        dont_fragment: false,
        more_fragments: true,
        fragment_offset: 65_528,
        ttl: 9,
        protocol: crate::wire::Protocol::UDP,
        checksum: 0,
        src,
        dst: FAR,
        options: &[],
    };
    let mut packet = std::vec![0; 1034];
    packet[..6].copy_from_slice(&mac(10).0);
    packet[6..12].copy_from_slice(&mac(1).0);
    packet[12] = 8;
    let mut w = crate::wire::Writer::new(&mut packet[14..]);
    header.with_checksum().emit(&mut w).unwrap();
    let fate = net.hosts[1].handle_frame(now, Port(0), Frame::copy_from(&packet));
    assert_eq!(fate, Fate::Dropped(DropReason::FragmentMalformed));
    net.settle();
}

#[test]
fn tells_a_ping_that_its_host_is_dead() {
    let mut net = routed(1500);
    let now = net.now;
    let (ping, _) = net.hosts[0].echo_open(0).unwrap();
    let dead = Ipv4Addr::new(10, 2, 0, 77);
    net.hosts[0]
        .echo_send(now, ping, dead, 1, data(56), &[])
        .unwrap();
    net.run(Duration::from_secs(5));
    let error = net.hosts[0].raw_take_error(ping).expect("host unreachable");
    assert_eq!(error.kind, ErrorKind::HostUnreachable);
    assert_eq!(error.offender, v4(Ipv4Addr::new(10, 1, 0, 1)));
}

#[test]
fn nothing_is_said_about_a_broadcast_on_another_link() {
    let mut net = routed(1500);
    let now = net.now;
    let udp = net.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    net.hosts[0].udp_options(udp).unwrap().ttl = 1;
    let to = SocketAddr::from(([10, 2, 0, 255], 7));
    net.hosts[0].udp_send(now, udp, data(10), Some(to)).unwrap();
    net.settle();
    assert_eq!(net.hosts[1].stats().dropped_in(DropReason::TtlExpired), 1);
    assert_eq!(net.hosts[1].stats().icmp_errors_out, 0);
}

/// The longest IP packet that has crossed to a host since this was last asked.
fn longest(net: &mut Net, to: usize) -> usize {
    let log = core::mem::take(&mut net.log);
    let lens = log.iter().filter(|(at, ..)| *at == to);
    lens.map(|(_, frame, _)| frame.len() - 14)
        .max()
        .unwrap_or(0)
}

/// A route to B's net whose MTU is below its link's.
fn narrow_route(host: &mut Host, gateway: Option<&str>, port: u16) {
    let to = "10.2.0.0/24".parse().unwrap();
    let route = match gateway {
        Some(gateway) => Route::via(to, gateway.parse().unwrap(), Port(port)),
        None => Route::on_link(to, Port(port)),
    };
    host.remove_route(to, 0, port);
    let mtu = Some(600);
    host.add_route(Route { mtu, ..route }).unwrap();
}

#[test]
fn fragments_fit_the_route() {
    let mut net = routed(1500);
    let now = net.now;
    let (ping, _) = net.hosts[0].echo_open(0).unwrap();
    net.hosts[0].raw_options(ping).unwrap().path_mtu = PathMtu::Off;
    let cross = |net: &mut Net| {
        net.hosts[0]
            .echo_send(now, ping, FAR, 1, data(1000), &[])
            .unwrap();
        net.settle();
        assert!(net.hosts[0].raw_recv(ping).is_some());
    };
    // The first packets wait for their next hops; of the second each takes the quick way.
    for n in 0..2 {
        narrow_route(&mut net.hosts[0], Some("10.1.0.1"), 0);
        cross(&mut net);
        assert!(longest(&mut net, 1) >= 1028, "the reply is not cut");
        assert_eq!(net.hosts[0].stats().fragmented, n + 1, "by its sender");
    }
    net.hosts[0].remove_route("10.2.0.0/24".parse().unwrap(), 0, 0);
    narrow_route(&mut net.hosts[1], None, 1);
    for n in 0..2 {
        cross(&mut net);
        assert!(longest(&mut net, 2) <= 600, "cut by the router");
        assert_eq!(net.hosts[1].stats().fragmented, n + 1);
    }
    assert_eq!(net.hosts[0].stats().fragmented, 2);
    assert!(net.hosts.iter().all(|h| h.stats().fragments_out % 2 == 0));
}

#[test]
fn fragments_of_our_own_fit_the_path() {
    let mut net = routed(600);
    let now = net.now;
    let udp = net.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    let to = Some(SocketAddr::new(v4(FAR), 7));
    for (path_mtu, longest_out) in [
        (PathMtu::Want, 1028),
        (PathMtu::Want, 600),
        (PathMtu::Off, 600),
        (PathMtu::Probe, 1028),
    ] {
        net.hosts[0].udp_options(udp).unwrap().path_mtu = path_mtu;
        net.log.clear();
        net.hosts[0].udp_send(now, udp, data(1000), to).unwrap();
        net.settle();
        let sent = net.log.iter().filter(|(at, ..)| *at == 1);
        let from_us = sent.filter(|(_, f, _)| f.to_bytes()[26..30] == [10, 1, 0, 2]);
        let longest = from_us.map(|(_, f, _)| f.len() - 14).max();
        assert!(
            longest.is_some_and(|len| len <= longest_out && len > longest_out - 8),
            "{path_mtu:?}: {longest:?}"
        );
    }
    assert_eq!(net.hosts[1].stats().fragmented, 0, "nothing left to cut");
}
