use super::*;
use crate::frame::{Checksum, Gso, GsoKind, Offload, Payload};
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

/// A segment of `len` bytes from A's net to B, as its kernel hands it over to be cut in pieces of
/// `size`.
fn super_frame(len: u16, size: u16, dont_fragment: bool) -> Frame {
    use crate::wire::{Protocol, Writer, ethernet, ipv4, tcp};
    let mut packet = std::vec![0; 54 + usize::from(len)];
    let mut w = Writer::new(&mut packet);
    let link = ethernet::Header {
        dst: mac(10),
        src: mac(1),
        ethertype: crate::wire::EtherType::IPV4,
    };
    link.emit(&mut w).unwrap();
    let header = ipv4::Header {
        dscp: 0,
        ecn: 0,
        total_len: 40 + len,
        ident: 7,
        reserved_flag: false,
        dont_fragment,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 9,
        protocol: Protocol::TCP,
        checksum: 0,
        src: "10.1.0.2".parse().unwrap(),
        dst: FAR,
        options: &[],
    };
    header.with_checksum().emit(&mut w).unwrap();
    let segment = tcp::Header {
        src_port: 9,
        dst_port: 7,
        seq: crate::wire::seq::SeqNum(1),
        ack: crate::wire::seq::SeqNum(1),
        flags: tcp::Flags::ACK | tcp::Flags::PSH,
        window: 1000,
        checksum: 0,
        urgent: 0,
        options: &[],
    };
    segment.emit(&mut w).unwrap();
    let mut pseudo = crate::wire::checksum::Sum::new();
    pseudo.add_pseudo4(header.src, FAR, Protocol::TCP, 20 + usize::from(len));
    packet[50..52].copy_from_slice(&pseudo.partial().to_be_bytes());
    let mut frame = Frame::copy_from(&packet);
    frame.offload = Offload {
        gso: Some(Gso {
            kind: GsoKind::Tcp4,
            size,
        }),
        checksum: Checksum::Partial {
            start: 34,
            offset: 16,
        },
    };
    frame
}

/// A router whose second interface may send super-frames, or not; all next hops are known.
fn router_of_segments(mtu: usize, tso: bool) -> Net {
    let mut net = routed(mtu);
    net.hosts[1].interfaces[1].config.tso = tso;
    let now = net.now;
    let (ping, _) = net.hosts[0].echo_open(0).unwrap();
    net.hosts[0]
        .echo_send(now, ping, FAR, 1, data(9), &[])
        .unwrap();
    net.settle();
    assert!(net.hosts[0].raw_recv(ping).is_some());
    net
}

fn forwarded(net: &mut Net, frame: Frame) -> Vec<Frame> {
    let now = net.now;
    let fate = net.hosts[1].handle_frame(now, Port(0), frame);
    assert_eq!(fate, Fate::Forwarded);
    core::iter::from_fn(|| net.hosts[1].poll_transmit(now, Port(1))).collect()
}

#[test]
fn a_super_frame_leaves_whole_where_its_segments_fit() {
    let mut net = router_of_segments(1500, true);
    // The TTL is one less; sums and notes are as they were.
    let out = forwarded(&mut net, super_frame(60_000, 1460, true));
    let [whole] = &out[..] else {
        panic!("{} frames", out.len());
    };
    let came = super_frame(60_000, 1460, true);
    assert_eq!(whole.offload, came.offload);
    let bytes = whole.to_bytes();
    assert!(crate::wire::ipv4::verify(&bytes[14..34]));
    assert_eq!(bytes[22], 8);
    assert_eq!(bytes[34..], came.to_bytes()[34..]);
    assert_eq!(net.hosts[1].stats().forwarded, 2 + 1);
}

#[test]
fn a_super_frame_is_cut_where_the_next_device_cuts_none() {
    let mut net = router_of_segments(1500, false);
    for (size, want) in [(1460, 1500), (536, 576)] {
        let out = forwarded(&mut net, super_frame(14_600, size, true));
        assert_eq!(out.len(), 14_600_usize.div_ceil(usize::from(size)));
        for piece in out {
            assert!(piece.offload.gso.is_none() && piece.len() <= 14 + want);
            let bytes = piece.to_bytes();
            assert!(crate::wire::ipv4::verify(&bytes[14..34]) && bytes[22] == 8);
            let (src, dst) = ("10.1.0.2".parse().unwrap(), FAR.into());
            assert!(crate::wire::tcp::verify(src, dst, &bytes[34..]));
        }
    }
    // Even one that is no longer than a packet: there is no device that would cut it.
    let out = forwarded(&mut net, super_frame(1000, 500, true));
    assert_eq!(out.len(), 2);
}

#[test]
fn segments_that_do_not_fit_are_told_of_once_or_cut() {
    for tso in [true, false] {
        let mut net = router_of_segments(600, tso);
        let now = net.now;
        let fate = net.hosts[1].handle_frame(now, Port(0), super_frame(29_200, 1460, true));
        assert_eq!(fate, Fate::Dropped(DropReason::FragmentationNeeded));
        assert!(net.hosts[1].poll_transmit(now, Port(1)).is_none());
        let told = net.hosts[1].poll_transmit(now, Port(0)).expect("an error");
        assert!(net.hosts[1].poll_transmit(now, Port(0)).is_none(), "one");
        let bytes = told.to_bytes();
        assert_eq!(bytes[34..36], [3, 4]);
        assert_eq!(bytes[40..42], 600_u16.to_be_bytes());
        // What is quoted is the first segment, as a wire would have had it.
        let (quoted, _) = crate::wire::ipv4::Header::parse(&bytes[42..]).unwrap();
        assert_eq!((quoted.total_len, quoted.ident, quoted.ttl), (1500, 7, 9));

        // May it be cut, each segment is, and none longer than the link carries leaves.
        let out = forwarded(&mut net, super_frame(2920, 1460, false));
        assert_eq!(out.len(), 2 * 3);
        assert!(
            out.iter()
                .all(|f| f.len() <= 614 && f.offload.gso.is_none())
        );
        // Short enough segments pass.
        let out = forwarded(&mut net, super_frame(2000, 500, true));
        assert_eq!(out.len(), if tso { 1 } else { 4 });
    }
}

#[test]
fn a_super_frame_that_cannot_be_cut_is_one_long_packet() {
    let mut net = router_of_segments(1500, true);
    let now = net.now;
    let mut frame = super_frame(29_200, 1460, true);
    frame.offload.checksum = Checksum::Unchecked;
    let fate = net.hosts[1].handle_frame(now, Port(0), frame);
    assert_eq!(fate, Fate::Dropped(DropReason::FragmentationNeeded));
    let mut small = super_frame(100, 50, true);
    small.offload.checksum = Checksum::Unchecked;
    let out = forwarded(&mut net, small);
    assert!(out.len() == 1 && out[0].offload.gso.is_none());
}

#[test]
fn segments_beyond_the_queue_are_counted() {
    let mut net = router_of_segments(1500, false);
    net.hosts[1].config.max_forwarded = 10;
    let out = forwarded(&mut net, super_frame(29_200, 1460, true));
    assert_eq!(out.len(), 10);
    let dropped = net.hosts[1]
        .stats()
        .dropped_out(DropReason::ForwardQueueFull);
    assert_eq!(dropped, 10);
}
