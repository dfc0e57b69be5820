//! IPv6 over interfaces without link header, with addresses that were given.

use super::*;
use crate::frame::Payload;
use crate::machine::Consumer;
use crate::reason::DropReason;
use crate::transport::tcp::{self, Error, ListenOptions, Options, State};
use crate::transport::{ErrorKind, udp::PathMtu};
use crate::wire::{Cidr, Protocol, Writer, icmpv6, ipv6};
use bytes::Bytes;
use core::net::{Ipv6Addr, SocketAddr};
use std::string::ToString as _;
use std::vec;

/// A host on a link without link header, at this address.
fn bare(seed: u64, cidr: &str) -> Host {
    bare_with(seed, cidr, |_| {})
}

fn bare_with(seed: u64, cidr: &str, change: impl FnOnce(&mut InterfaceConfig)) -> Host {
    let mut host = Host::new(Config::default(), Rng::from_seed(seed));
    let mut tun = InterfaceConfig::ip("tun0", Port(0)).with_address(cidr.parse().unwrap());
    change(&mut tun);
    host.add_interface(Instant::ZERO, tun);
    host
}

fn pair() -> Net {
    let hosts = vec![bare(1, "fd07::1/64"), bare(2, "fd07::2/64")];
    Net::new(hosts, vec![[(0, 0), (1, 0)]])
}

fn a() -> Ipv6Addr {
    "fd07::1".parse().unwrap()
}

fn b() -> Ipv6Addr {
    "fd07::2".parse().unwrap()
}

fn sock(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn open(net: &mut Net, options: Options) -> (TcpHandle, TcpHandle) {
    let web = net.hosts[1].tcp_listen(sock("[::]:80"), ListenOptions::default());
    let now = net.now;
    let client = net.hosts[0].tcp_connect(now, sock("[fd07::2]:80"), None, options);
    net.settle();
    let (peer, from) = net.hosts[1].tcp_accept(web.unwrap()).unwrap();
    assert_eq!(Some(from), net.hosts[0].tcp_local(client.unwrap()));
    (client.unwrap(), peer)
}

/// Sends from host 0 to host 1 until all has come.
fn carry(net: &mut Net, from: TcpHandle, to: TcpHandle, data: &[u8]) {
    let (mut sent, mut got) = (0, Vec::new());
    let mut room = vec![0; 100_000];
    for _ in 0..100_000 {
        let now = net.now;
        match net.hosts[0].tcp_send(now, from, &data[sent..]) {
            Ok(n) => sent += n,
            Err(Error::WouldBlock) => {}
            Err(e) => panic!("{e:?}"),
        }
        net.settle();
        match net.hosts[1].tcp_recv(now, to, &mut room) {
            Ok(n) => got.extend_from_slice(&room[..n]),
            Err(Error::WouldBlock) => net.run(Duration::from_millis(50)),
            Err(e) => panic!("{e:?}"),
        }
        if got.len() == data.len() {
            assert!(got == data);
            return;
        }
    }
    panic!("{} of {}", got.len(), data.len());
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 253) as u8).collect()
}

#[test]
fn tcp_opens_talks_and_closes() {
    let mut net = pair();
    let (client, peer) = open(&mut net, Options::default());
    let (syn, _) = ipv6::Header::parse(net.log[0].1.front()).unwrap();
    assert_eq!((syn.src, syn.dst, syn.hop_limit), (a(), b(), 64));
    assert_ne!(syn.flow_label, 0);
    carry(&mut net, client, peer, &pattern(300_000));
    // Segments fill the link, and all of the flow have one label.
    let mine = net.log.iter().filter(|l| l.0 == 1).map(|l| l.1.to_bytes());
    let (mut longest, mut labels) = (0, Vec::new());
    for packet in mine {
        longest = longest.max(packet.len());
        labels.push(ipv6::Header::parse(&packet).unwrap().0.flow_label);
    }
    assert!(longest == 1500 && labels.iter().all(|l| *l == syn.flow_label));
    let now = net.now;
    net.hosts[0].tcp_close(now, client);
    net.run(Duration::from_secs(1));
    assert_eq!(net.hosts[1].tcp_recv(now, peer, &mut [0; 9]), Ok(0));
    net.hosts[1].tcp_close(now, peer);
    net.run(Duration::from_secs(62));
    assert!(net.hosts.iter().all(|h| h.tcp.books() == [0; 5]));
}

#[test]
fn the_mss_is_what_the_link_leaves() {
    let mut net = pair();
    let options = Options {
        timestamps: false,
        ..Options::default()
    };
    let (client, _) = open(&mut net, options);
    let now = net.now;
    let status = net.hosts[0].tcp_status(now, client).unwrap();
    assert_eq!(status.snd_mss, 1440);
    let syn = net.log[0].1.to_bytes();
    assert_eq!(&syn[60..64], [2, 4, 0x05, 0xa0], "1440");
}

#[test]
fn a_listener_hears_both_families_or_its_own() {
    //= RFC 3493 §5.3
    let mut net = pair();
    let now = net.now;
    net.hosts[1].add_address(now, 0, "10.7.0.2/24".parse().unwrap());
    net.hosts[0].add_address(now, 0, "10.7.0.1/24".parse().unwrap());
    let call = |net: &mut Net, to: &str| {
        let h = net.hosts[0].tcp_connect(now, sock(to), None, Options::default());
        net.settle();
        net.hosts[0].tcp_state(h.unwrap()) == Some(State::Established)
    };
    let both = net.hosts[1].tcp_listen(sock("[::]:80"), ListenOptions::default());
    let both = both.unwrap();
    for (to, four) in [
        ("10.7.0.2:80", true),
        ("[::ffff:10.7.0.2]:80", true),
        ("[fd07::2]:80", false),
    ] {
        assert!(call(&mut net, to), "{to}");
        let (_, from) = net.hosts[1].tcp_accept(both).unwrap();
        assert_eq!(from.is_ipv4(), four, "{to}");
    }
    let listen = |net: &mut Net, at: &str, only_v6| {
        let options = ListenOptions {
            only_v6,
            ..ListenOptions::default()
        };
        net.hosts[1].tcp_listen(sock(at), options)
    };
    for taken in ["0.0.0.0:80", "[::]:80", "[::ffff:0.0.0.0]:80"] {
        assert_eq!(listen(&mut net, taken, true), Err(BindError::InUse));
    }
    assert_eq!(net.hosts[1].tcp_listener_local(both), Some(sock("[::]:80")));
    net.hosts[1].tcp_stop_listening(now, both);
    assert!(!call(&mut net, "10.7.0.2:80") && !call(&mut net, "[fd07::2]:80"));
    // One of each may be on a port, but not one of one and one of both.
    let six = listen(&mut net, "[::]:80", true).unwrap();
    assert!(!call(&mut net, "10.7.0.2:80"));
    let four = listen(&mut net, "0.0.0.0:80", false).unwrap();
    assert!(call(&mut net, "10.7.0.2:80") && call(&mut net, "[fd07::2]:80"));
    let (_, from) = net.hosts[1].tcp_accept(six).unwrap();
    assert!(from.is_ipv6());
    let (_, from) = net.hosts[1].tcp_accept(four).unwrap();
    assert!(from.is_ipv4());
    net.hosts[1].tcp_stop_listening(now, six);
    assert_eq!(listen(&mut net, "[::]:80", false), Err(BindError::InUse));
    assert!(call(&mut net, "10.7.0.2:80"));
    for (to, from, error) in [
        ("[fd08::1]:80", None, ConnectError::NoRoute),
        ("[ff02::1]:80", None, ConnectError::BadPeer),
        ("[::1]:80", None, ConnectError::NoRoute),
        (
            "[fd07::2]:80",
            Some("[fd07::3]:0"),
            ConnectError::NotAvailable,
        ),
        (
            "[fd07::2]:80",
            Some("10.7.0.1:0"),
            ConnectError::NotAvailable,
        ),
    ] {
        let got = net.hosts[0].tcp_connect(now, sock(to), from.map(sock), Options::default());
        assert_eq!(got, Err(error), "{to}");
    }
}

#[test]
fn tcp_gets_through_loss() {
    let mut net = pair();
    let (client, peer) = open(&mut net, Options::default());
    let (mut rng, data) = (Rng::from_seed(7), pattern(400_000));
    let (mut sent, mut got) = (0, Vec::new());
    let mut room = vec![0; 100_000];
    for _ in 0..100_000 {
        let now = net.now;
        if let Ok(n) = net.hosts[0].tcp_send(now, client, &data[sent..]) {
            sent += n;
        }
        for (from, to) in [(0, 1), (1, 0)] {
            while let Some(frame) = net.hosts[from].poll_transmit(now, Port(0)) {
                if rng.below(20) != 0 {
                    net.hosts[to].handle_frame(now, Port(0), frame);
                }
            }
        }
        while let Ok(n) = net.hosts[1].tcp_recv(now, peer, &mut room) {
            got.extend_from_slice(&room[..n]);
        }
        if got.len() == data.len() {
            break;
        }
        net.now += Duration::from_millis(10);
        for host in &mut net.hosts {
            host.handle_timeout(net.now);
        }
    }
    assert!(got == data, "{} of {}", got.len(), data.len());
    assert!(net.hosts[0].stats().tcp.retransmitted > 10);
}

#[test]
fn super_segments_are_as_good_as_the_segments_they_stand_for() {
    let hosts = [(1, "fd07::1/64"), (2, "fd07::2/64")]
        .map(|(seed, cidr)| bare_with(seed, cidr, |tun| tun.tso = true));
    let mut net = Net::new(hosts.into(), vec![[(0, 0), (1, 0)]]);
    let (client, peer) = open(&mut net, Options::default());
    net.log.clear();
    let data = pattern(1_000_000);
    carry(&mut net, client, peer, &data);
    let longest = net.log.iter().map(|l| l.1.len()).max().unwrap();
    assert!((10_000..=65_535).contains(&longest), "{longest}");
    // Cut, each is a segment with a right checksum; where the first starts the stream does.
    let (mut bytes, mut seen) = (0, 0);
    for (_, frame, _) in net.log.iter().filter(|l| l.0 == 1) {
        let mut frame = frame.clone();
        if frame.offload.gso.is_none() {
            frame.complete_checksum();
        }
        crate::link::offload::cut(frame, true, |piece| {
            let piece = piece.to_bytes();
            let (header, segment) = ipv6::Header::parse(&piece).unwrap();
            assert_eq!(usize::from(header.payload_len), segment.len());
            let mut sum = crate::wire::checksum::Sum::new();
            sum.add_pseudo6(header.src, header.dst, Protocol::TCP, segment.len());
            sum.add(segment);
            assert_eq!(sum.finish(), 0);
            assert!(piece.len() <= 1500);
            bytes += segment.len() - 32;
            seen += 1;
        });
    }
    assert!(bytes >= data.len() && seen > 600, "{bytes} {seen}");
}

#[test]
fn cookies_keep_nothing_and_open() {
    let mut net = pair();
    let options = ListenOptions {
        cookies: tcp::Cookies::Always,
        ..ListenOptions::default()
    };
    let web = net.hosts[1].tcp_listen(sock("[fd07::2]:80"), options);
    let now = net.now;
    let to = sock("[fd07::2]:80");
    let client = net.hosts[0].tcp_connect(now, to, None, Options::default());
    net.settle();
    let (peer, _) = net.hosts[1].tcp_accept(web.unwrap()).unwrap();
    assert_eq!(net.hosts[1].stats().tcp.cookies_accepted, 1);
    carry(&mut net, client.unwrap(), peer, &pattern(100_000));
}

#[test]
fn talks_to_itself() {
    let mut net = pair();
    let now = net.now;
    let web = net.hosts[0].tcp_listen(sock("[::]:80"), ListenOptions::default());
    let to = sock("[fd07::1]:80");
    let client = net.hosts[0].tcp_connect(now, to, None, Options::default());
    net.settle();
    let (peer, _) = net.hosts[0].tcp_accept(web.unwrap()).unwrap();
    assert_eq!(net.hosts[0].tcp_send(now, client.unwrap(), b"hello"), Ok(5));
    net.settle();
    assert_eq!(net.hosts[0].tcp_recv(now, peer, &mut [0; 9]), Ok(5));
}

fn payload(len: usize) -> Payload {
    Payload::from(Bytes::from(pattern(len)))
}

#[test]
fn a_socket_of_both_families() {
    //= RFC 3493 §3.7, §5.3
    let mut net = pair();
    let now = net.now;
    net.hosts[1].add_address(now, 0, "10.7.0.2/24".parse().unwrap());
    net.hosts[0].add_address(now, 0, "10.7.0.1/24".parse().unwrap());
    let server = net.hosts[1].udp_bind(sock("[::]:7")).unwrap();
    let taken = net.hosts[1].udp_bind(sock("0.0.0.0:7"));
    assert_eq!(taken, Err(BindError::InUse));
    let client = net.hosts[0].udp_bind(sock("[::]:0")).unwrap();
    for (to, from) in [
        ("[fd07::2]:7", "fd07::1"),
        ("10.7.0.2:7", "10.7.0.1"),
        ("[::ffff:10.7.0.2]:7", "10.7.0.1"),
    ] {
        let to = Some(sock(to));
        net.hosts[0].udp_send(now, client, payload(9), to).unwrap();
        net.settle();
        let got = net.hosts[1].udp_recv(server).unwrap();
        assert_eq!(got.from.ip().to_string(), from);
        let back = Some(got.from);
        net.hosts[1]
            .udp_send(now, server, payload(5), back)
            .unwrap();
        net.settle();
        assert_eq!(net.hosts[0].udp_recv(client).unwrap().payload, payload(5));
    }
    // Connected, it is at neither family's port any longer.
    net.hosts[1]
        .udp_connect(server, sock("10.7.0.1:9"))
        .unwrap();
    let to = Some(sock("[fd07::2]:7"));
    net.hosts[0].udp_send(now, client, payload(9), to).unwrap();
    net.settle();
    assert!(net.hosts[1].udp_recv(server).is_none());
    net.hosts[1].udp_close(now, server);
    let only = crate::transport::udp::Options {
        only_v6: true,
        ..crate::transport::udp::Options::default()
    };
    let six = net.hosts[1].udp_bind_with(sock("[::]:7"), only).unwrap();
    let four = Some(sock("10.7.0.1:7"));
    let refused = net.hosts[1].udp_send(now, six, payload(1), four);
    assert_eq!(refused, Err(SendError::NoRoute));
    assert!(net.hosts[1].udp_bind(sock("0.0.0.0:7")).is_ok());
}

#[test]
fn udp_there_and_back_short_and_long() {
    let mut net = pair();
    let six = crate::transport::udp::Options {
        only_v6: true,
        ..crate::transport::udp::Options::default()
    };
    let server = net.hosts[1].udp_bind_with(sock("[::]:7"), six).unwrap();
    let four = net.hosts[1].udp_bind(sock("0.0.0.0:7")).unwrap();
    let client = net.hosts[0].udp_bind(sock("[::]:0")).unwrap();
    let now = net.now;
    let again = net.hosts[1].udp_bind(sock("[fd07::2]:7"));
    assert_eq!(again, Err(BindError::InUse));
    assert_eq!(net.hosts[1].udp_local(server), Some(sock("[::]:7")));
    for len in [0, 1, 1452, 1453, 20_000, 65_527] {
        net.log.clear();
        let to = Some(sock("[fd07::2]:7"));
        net.hosts[0]
            .udp_send(now, client, payload(len), to)
            .unwrap();
        net.settle();
        let got = net.hosts[1].udp_recv(server).unwrap();
        assert_eq!((got.payload, got.ttl), (payload(len), 64), "{len}");
        let pieces = (len + 8).div_ceil(1448);
        assert_eq!(net.log.len(), if len <= 1452 { 1 } else { pieces });
        net.hosts[1]
            .udp_send(now, server, payload(9), Some(got.from))
            .unwrap();
        net.settle();
        assert_eq!(
            net.hosts[0].udp_recv(client).unwrap().from,
            sock("[fd07::2]:7")
        );
    }
    assert!(net.hosts[1].udp_recv(four).is_none());
    let too_long = net.hosts[0].udp_send(now, client, payload(65_528), Some(sock("[fd07::2]:7")));
    assert_eq!(too_long, Err(SendError::TooLong { max: 65_527 }));
    let other = net.hosts[0].udp_send(now, client, payload(1), Some(sock("10.7.0.2:7")));
    assert_eq!(other, Err(SendError::NoRoute));
    // Who asks that nothing is cut is told so.
    net.hosts[0].udp_options(client).unwrap().path_mtu = PathMtu::Require;
    let cut = net.hosts[0].udp_send(now, client, payload(1453), Some(sock("[fd07::2]:7")));
    assert_eq!(cut, Err(SendError::TooLong { max: 1452 }));
}

#[test]
fn a_port_that_nobody_has_is_said_so() {
    let mut net = pair();
    let client = net.hosts[0].udp_bind(sock("[fd07::1]:9")).unwrap();
    net.hosts[0]
        .udp_connect(client, sock("[fd07::2]:7"))
        .unwrap();
    let now = net.now;
    net.hosts[0]
        .udp_send(now, client, payload(3000), None)
        .unwrap();
    net.settle();
    let error = net.hosts[0].udp_take_error(client).unwrap();
    assert_eq!(error.kind, ErrorKind::PortUnreachable);
    assert_eq!((error.icmp_type, error.icmp_code), (1, 4));
    assert_eq!(
        (error.offender, error.to),
        (b().into(), sock("[fd07::2]:7"))
    );
    let (_, last, _) = net.log.last().unwrap();
    assert!(last.len() <= 1280);
    // A protocol that nobody speaks is pointed at.
    let raw = net.hosts[0].raw_open(Protocol(200)).unwrap();
    net.hosts[0]
        .raw_send(now, raw, b(), payload(9), &[])
        .unwrap();
    net.settle();
    let error = net.hosts[0].raw_take_error(raw).unwrap();
    assert_eq!(error.kind, ErrorKind::ProtocolUnreachable);
    assert_eq!((error.icmp_type, error.icmp_code), (4, 1));
}

#[test]
fn echo_of_any_length() {
    let mut net = pair();
    let (ping, ident) = net.hosts[0].echo_open(0).unwrap();
    let now = net.now;
    for (seq, len) in [0, 1, 56, 1452, 1453, 65_000, 65_527]
        .into_iter()
        .enumerate()
    {
        net.hosts[0]
            .echo_send(now, ping, b(), seq as u16, payload(len), &[])
            .unwrap();
        net.settle();
        let reply = net.hosts[0].raw_recv(ping).unwrap();
        assert_eq!((reply.from, reply.to), (b().into(), a().into()));
        let bytes = reply.payload.to_bytes();
        assert_eq!((bytes[0], bytes.len()), (129, len + 8));
        assert_eq!(bytes[4..6], ident.to_be_bytes());
        assert_eq!(bytes[8..], pattern(len));
    }
    assert_eq!(net.hosts[1].stats().echoes, 7);
}

/// A packet to fd07::2.
fn craft(src: &str, dst: &str, next: u8, hop_limit: u8, rest: &[u8]) -> Frame {
    let mut bytes = vec![0; 40];
    let header = ipv6::Header {
        dscp: 0,
        ecn: 0,
        flow_label: 0,
        payload_len: rest.len() as u16,
        next_header: Protocol(next),
        hop_limit,
        src: src.parse().unwrap(),
        dst: dst.parse().unwrap(),
    };
    header.emit(&mut Writer::new(&mut bytes)).unwrap();
    bytes.extend(rest);
    Frame::copy_from(&bytes)
}

/// An echo request.
fn request(src: &str, dst: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![128, 0, 0, 0, 0, 9, 0, 1];
    bytes.extend(data);
    let sum = icmpv6::compute_checksum(src.parse().unwrap(), dst.parse().unwrap(), &bytes);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// What a host makes of a frame: its fate, and type, code and second word of an ICMPv6 answer.
fn shown(host: &mut Host, frame: Frame) -> (Fate, Option<(u8, u8, u32)>) {
    let now = Instant::ZERO + Duration::from_secs(60);
    let fate = host.handle_frame(now, Port(0), frame);
    let answer = host.poll_transmit(now, Port(0)).map(|frame| {
        let bytes = frame.to_bytes();
        let (header, message) = ipv6::Header::parse(&bytes).unwrap();
        assert_eq!(header.next_header, Protocol::ICMPV6);
        assert!(icmpv6::verify(header.src, header.dst, message));
        assert!(bytes.len() <= 1280);
        let word = u32::from_be_bytes(*message[4..].first_chunk().unwrap());
        (message[0], message[1], word)
    });
    assert!(host.stats().is_conserved());
    (fate, answer)
}

#[test]
fn what_is_wrong_is_counted_and_told() {
    use DropReason::{
        FragmentTiny, IcmpBadChecksum, IcmpUnknownType, Ipv6BadOption, Ipv6GroupNotJoined,
        Ipv6HeaderChain, Ipv6MartianSource, Ipv6NoNextHeader, Ipv6NotForUs, Ipv6RoutingHeader,
        Ipv6SourceIsOurs, ProtocolUnknown, UdpBadChecksum, UdpNoSocket,
    };
    const A: &str = "fd07::1";
    const B: &str = "fd07::2";
    let echo = request(A, B, b"x");
    let behind = |header: [u8; 8]| [&header[..], &echo].concat();
    let word = u32::from_be_bytes([0, 9, 0, 1]);
    let to = Fate::Delivered;
    let no = Fate::Dropped;
    let mut broken = echo.clone();
    broken[8] ^= 1;
    for (src, dst, next, rest, fate, answer) in [
        (
            A,
            B,
            58,
            echo.clone(),
            to(Consumer::Icmp),
            Some((129, 0, word)),
        ),
        (
            A,
            B,
            60,
            behind([58, 0, 1, 4, 0, 0, 0, 0]),
            to(Consumer::Icmp),
            Some((129, 0, word)),
        ),
        (
            A,
            B,
            44,
            behind([58, 0, 0, 0, 0, 0, 0, 1]),
            to(Consumer::Icmp),
            Some((129, 0, word)),
        ),
        (A, B, 58, broken, no(IcmpBadChecksum), None),
        (
            A,
            B,
            60,
            behind([58, 0, 0x9e, 4, 0, 0, 0, 0]),
            no(Ipv6BadOption),
            Some((4, 2, 42)),
        ),
        (
            A,
            B,
            60,
            behind([58, 0, 0x5e, 4, 0, 0, 0, 0]),
            no(Ipv6BadOption),
            None,
        ),
        (
            A,
            B,
            43,
            behind([58, 0, 0, 1, 0, 0, 0, 0]),
            no(Ipv6RoutingHeader),
            Some((4, 0, 42)),
        ),
        (
            A,
            B,
            60,
            behind([0, 0, 1, 4, 0, 0, 0, 0]),
            no(Ipv6HeaderChain),
            Some((4, 1, 40)),
        ),
        (
            A,
            B,
            60,
            behind([200, 0, 1, 4, 0, 0, 0, 0]),
            no(ProtocolUnknown),
            Some((4, 1, 40)),
        ),
        (
            A,
            B,
            1,
            vec![8, 0, 0xf7, 0xff, 0, 0, 0, 0],
            no(ProtocolUnknown),
            Some((4, 1, 6)),
        ),
        (A, B, 59, vec![], no(Ipv6NoNextHeader), None),
        (
            A,
            B,
            44,
            vec![6, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            no(FragmentTiny),
            Some((4, 3, 0)),
        ),
        // ICMPv6 whose type cannot be seen is no exception, behind a whole header or a cut one.
        (
            A,
            B,
            44,
            vec![60, 0, 0, 1, 0, 0, 0, 1, 58, 0, 1, 4, 0, 0, 0, 0],
            no(FragmentTiny),
            Some((4, 3, 0)),
        ),
        (
            A,
            B,
            44,
            vec![60, 0, 0, 1, 0, 0, 0, 1, 58, 2, 1, 4, 0, 0, 0, 0],
            no(FragmentTiny),
            Some((4, 3, 0)),
        ),
        // Errors about what is sent to groups: but for options, none.
        (
            A,
            "ff02::1",
            17,
            vec![0, 9, 0, 9, 0, 8, 0, 0],
            no(UdpBadChecksum),
            None,
        ),
        (
            A,
            "ff02::1",
            60,
            vec![17, 0, 0x9e, 4, 0, 0, 0, 0],
            no(Ipv6BadOption),
            Some((4, 2, 42)),
        ),
        (
            A,
            "ff02::1",
            60,
            vec![17, 0, 0xde, 4, 0, 0, 0, 0],
            no(Ipv6BadOption),
            None,
        ),
        (A, "ff02::2", 17, vec![], no(Ipv6GroupNotJoined), None),
        (A, "fd07::3", 17, vec![], no(Ipv6NotForUs), None),
        (B, B, 17, vec![], no(Ipv6SourceIsOurs), None),
        ("::1", B, 17, vec![], no(Ipv6MartianSource), None),
        (
            A,
            B,
            17,
            vec![0, 9, 0, 9, 0, 8, 0, 0],
            no(UdpBadChecksum),
            None,
        ),
    ] {
        let mut host = bare(2, "fd07::2/64");
        let got = shown(&mut host, craft(src, dst, next, 64, &rest));
        assert_eq!(got, (fate, answer), "{src} {dst} {next} {rest:02x?}");
    }
    // Port unreachable, and neighbour discovery, which says nothing yet.
    let mut host = bare(2, "fd07::2/64");
    let mut datagram = Frame::copy_from(b"hi");
    crate::transport::udp::encapsulate(&mut datagram, sock("[fd07::1]:9"), sock("[fd07::2]:9"));
    let frame = craft(A, B, 17, 64, &datagram.to_bytes());
    assert_eq!(shown(&mut host, frame), (no(UdpNoSocket), Some((1, 4, 0))));
    let mut solicit = request(A, B, &[0; 16]);
    solicit[0] = 135;
    solicit[2..4].fill(0);
    let sum = icmpv6::compute_checksum(a(), b(), &solicit);
    solicit[2..4].copy_from_slice(&sum.to_be_bytes());
    let got = shown(&mut host, craft(A, B, 58, 255, &solicit));
    assert_eq!(got, (no(IcmpUnknownType), None));
    // Who has no address of IPv6 does not speak it.
    let mut four = bare(2, "10.7.0.2/24");
    let got = shown(&mut four, craft(A, B, 58, 64, &echo));
    assert_eq!(got, (no(DropReason::Ipv6Disabled), None));
}

#[test]
fn groups_are_answered_where_the_host_is_told_to() {
    let config = Config {
        echo_broadcast: true,
        ..Config::default()
    };
    let mut host = Host::new(config, Rng::from_seed(1));
    let tun = InterfaceConfig::ip("tun0", Port(0)).with_address("fd07::2/64".parse().unwrap());
    host.add_interface(Instant::ZERO, tun);
    let echo = request("fd07::1", "ff02::1", b"x");
    let (fate, answer) = shown(&mut host, craft("fd07::1", "ff02::1", 58, 1, &echo));
    assert_eq!(fate, Fate::Delivered(Consumer::Icmp));
    assert_eq!(answer.map(|a| a.0), Some(129));
}

#[test]
fn fragments_come_together_or_not_at_all() {
    let echo = request("fd07::1", "fd07::2", &pattern(92));
    let piece = |at: usize, end: usize, more: bool, ident: u8| {
        let [high, low] = (at as u16 | u16::from(more)).to_be_bytes();
        let mut bytes = vec![58, 0, high, low, 0, 0, 0, ident];
        bytes.extend(&echo[at..end]);
        craft("fd07::1", "fd07::2", 44, 64, &bytes)
    };
    // In any order.
    let mut host = bare(2, "fd07::2/64");
    assert_eq!(
        shown(&mut host, piece(64, 100, false, 1)),
        (Fate::Held, None)
    );
    assert_eq!(shown(&mut host, piece(0, 32, true, 1)), (Fate::Held, None));
    let (fate, answer) = shown(&mut host, piece(32, 64, true, 1));
    assert_eq!(
        (fate, answer.unwrap().0),
        (Fate::Delivered(Consumer::Icmp), 129)
    );
    // A whole packet in a fragment is not mixed with the others.
    assert_eq!(shown(&mut host, piece(0, 32, true, 2)).0, Fate::Held);
    assert_eq!(shown(&mut host, piece(0, 100, false, 2)).1.unwrap().0, 129);
    // An overlap is the end of it.
    let overlap = Fate::Dropped(DropReason::FragmentOverlap);
    assert_eq!(shown(&mut host, piece(24, 64, true, 2)).0, overlap);
    assert_eq!(shown(&mut host, piece(64, 100, false, 2)).0, overlap);
    // The time is over: the sender is told, with the first fragment as it came.
    assert_eq!(shown(&mut host, piece(0, 32, true, 3)).0, Fate::Held);
    let later = Instant::ZERO + Duration::from_secs(121);
    host.handle_timeout(later);
    let told = host.poll_transmit(later, Port(0)).unwrap().to_bytes();
    assert_eq!(told[40..42], [3, 1]);
    assert_eq!(told[48..], piece(0, 32, true, 3).to_bytes());
    assert!(host.stats().is_conserved());
}

/// Three in a row: fd01::1, a router, fd02::2 behind a link of this MTU.
fn three(mtu: usize) -> Net {
    let mut near = bare(1, "fd01::1/64");
    let mut far = bare_with(3, "fd02::2/64", |tun| tun.mtu = mtu);
    let config = Config {
        forwarding: true,
        ..Config::default()
    };
    let mut router = Host::new(config, Rng::from_seed(2));
    for (port, cidr, mtu) in [(0, "fd01::fe/64", 1500), (1, "fd02::fe/64", mtu)] {
        let mut tun = InterfaceConfig::ip("tun", Port(port)).with_address(cidr.parse().unwrap());
        tun.mtu = mtu;
        router.add_interface(Instant::ZERO, tun);
    }
    let all: Cidr = "::/0".parse().unwrap();
    for (host, gateway) in [(&mut near, "fd01::fe"), (&mut far, "fd02::fe")] {
        let route = Route::via(all, gateway.parse().unwrap(), Port(0));
        host.add_route(route).unwrap();
    }
    let wires = vec![[(0, 0), (1, 0)], [(1, 1), (2, 0)]];
    Net::new(vec![near, router, far], wires)
}

#[test]
fn a_router_passes_on_and_says_why_not() {
    let mut net = three(1500);
    let (ping, _) = net.hosts[0].echo_open(0).unwrap();
    let now = net.now;
    let ask = |net: &mut Net, to: &str, ttl| {
        net.hosts[0].raw_options(ping).unwrap().ttl = ttl;
        let to: Ipv6Addr = to.parse().unwrap();
        net.hosts[0]
            .echo_send(now, ping, to, 5, payload(9), &[])
            .unwrap();
        net.settle();
        let error = net.hosts[0].raw_take_error(ping);
        let error = error.map(|e| (e.kind, e.offender.to_string()));
        (net.hosts[0].raw_recv(ping).map(|p| p.ttl), error)
    };
    assert_eq!(ask(&mut net, "fd02::2", 64), (Some(63), None));
    let router = "fd01::fe".to_string();
    let told = (ErrorKind::TtlExpired, router.clone());
    assert_eq!(ask(&mut net, "fd02::2", 1), (None, Some(told)));
    let told = (ErrorKind::NetUnreachable, router.clone());
    assert_eq!(ask(&mut net, "fd09::2", 64), (None, Some(told)));
    let prohibited = Route {
        kind: crate::net::route::RouteKind::Prohibited,
        ..Route::on_link("fd0a::/16".parse().unwrap(), Port(0))
    };
    net.hosts[1].add_route(prohibited).unwrap();
    let told = (ErrorKind::Prohibited, router);
    assert_eq!(ask(&mut net, "fd0a::2", 64), (None, Some(told)));
    assert_eq!(net.hosts[1].stats().forwarded, 2);
    // What is of link-local scope stays on its link.
    let local = craft("fe80::1", "fd02::2", 17, 64, &[]);
    let fate = net.hosts[1].handle_frame(now, Port(0), local);
    assert_eq!(fate, Fate::Dropped(DropReason::Ipv6NotForwardable));
}

#[test]
fn the_path_is_found_by_tcp_and_udp() {
    for mtu in [1280, 1400] {
        let mut net = three(mtu);
        // Each knows its own link; the far one's tells the near one its size of segments.
        let web = net.hosts[2].tcp_listen(sock("[::]:80"), ListenOptions::default());
        let now = net.now;
        let to = sock("[fd02::2]:80");
        let client = net.hosts[0].tcp_connect(now, to, None, Options::default());
        let client = client.unwrap();
        net.settle();
        let (peer, _) = net.hosts[2].tcp_accept(web.unwrap()).unwrap();
        let data = pattern(200_000);
        net.hosts[0].tcp_send(now, client, &data).unwrap();
        net.run(Duration::from_secs(5));
        let mut got = vec![0; 200_000];
        let n = net.hosts[2].tcp_recv(now, peer, &mut got).unwrap();
        assert!(got[..n] == data[..n] && n > 50_000, "{n}");
        // A datagram that is too long for it, twice: the first is lost.
        let server = net.hosts[2].udp_bind(sock("[::]:7")).unwrap();
        let socket = net.hosts[0].udp_bind(sock("[::]:0")).unwrap();
        let now = net.now;
        let to = sock("[fd02::2]:7");
        for _ in 0..2 {
            net.hosts[0]
                .udp_send(now, socket, payload(1440), Some(to))
                .unwrap();
            net.settle();
        }
        let heard = net.hosts[2].udp_recv(server).unwrap();
        assert_eq!(heard.payload, payload(1440), "in two fragments");
        assert!(net.hosts[2].udp_recv(server).is_none());
        let known = net.hosts[0].path_mtus().lookup(to.ip());
        assert_eq!(known, Some(mtu as u16));
        let error = net.hosts[0].udp_take_error(socket).unwrap();
        assert_eq!(error.kind, ErrorKind::PacketTooBig { mtu: mtu as u32 });
    }
}

#[test]
fn echoes_that_are_returned_find_the_path_too() {
    //= RFC 8201 §4
    for len in [1300, 1440, 3000] {
        let mut net = three(1280);
        let (ping, _) = net.hosts[2].echo_open(0).unwrap();
        net.hosts[2].raw_options(ping).unwrap().path_mtu = PathMtu::Off;
        let to: IpAddr = "fd01::1".parse().unwrap();
        let heard: Vec<bool> = (0..3)
            .map(|seq| {
                let now = net.now;
                net.hosts[2]
                    .echo_send(now, ping, to, seq, payload(len), &[])
                    .unwrap();
                net.run(Duration::from_millis(100));
                net.hosts[2].raw_recv(ping).is_some()
            })
            .collect();
        assert_eq!(heard, [false, true, true], "{len}");
        let here = "fd02::2".parse::<IpAddr>().unwrap();
        assert_eq!(net.hosts[0].path_mtus().lookup(here), Some(1280));
    }
}

#[test]
fn a_path_below_the_minimum_is_not_believed() {
    let mut net = pair();
    let (client, _) = open(&mut net, Options::default());
    let now = net.now;
    net.hosts[0].tcp_send(now, client, &pattern(1000)).unwrap();
    let sent = net.hosts[0].poll_transmit(now, Port(0)).unwrap().to_bytes();
    for (mtu, known) in [
        (0, None),
        (68, None),
        (1279, None),
        (1600, None),
        (1280, None),
    ] {
        let mut message = vec![2, 0, 0, 0, 0, 0];
        message.extend(u16::to_be_bytes(mtu));
        message.extend(&sent);
        let sum = icmpv6::compute_checksum(b(), a(), &message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let frame = craft("fd07::2", "fd07::1", 58, 64, &message);
        net.hosts[0].handle_frame(now, Port(0), frame);
        // Nor is one of a packet that would have fitted.
        assert_eq!(net.hosts[0].path_mtus().lookup(b()), known, "{mtu}");
    }
    assert_eq!(net.hosts[0].stats().icmp_errors_in, 5);
}

#[test]
fn tcp_hears_of_its_path() {
    let mut net = pair();
    let (client, peer) = open(&mut net, Options::default());
    let now = net.now;
    net.hosts[0].tcp_send(now, client, &pattern(9000)).unwrap();
    let sent = net.hosts[0].poll_transmit(now, Port(0)).unwrap().to_bytes();
    assert_eq!(sent.len(), 1500);
    let mut message = vec![2, 0, 0, 0, 0, 0, 0x05, 0x14];
    message.extend(&sent[..1200]);
    let sum = icmpv6::compute_checksum("fd09::9".parse().unwrap(), a(), &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let frame = craft("fd09::9", "fd07::1", 58, 64, &message);
    net.hosts[0].handle_frame(now, Port(0), frame);
    net.log.clear();
    net.run(Duration::from_secs(2));
    assert!(
        net.log.iter().all(|l| l.1.len() <= 1300),
        "as the router said"
    );
    let mut got = vec![0; 9000];
    assert_eq!(net.hosts[1].tcp_recv(now, peer, &mut got), Ok(9000));
    assert!(got == pattern(9000));
    // Another error of which it may be the subject, to a connection that is being opened.
    let to = sock("[fd07::2]:81");
    let opening = net.hosts[0]
        .tcp_connect(now, to, None, Options::default())
        .unwrap();
    let sent = net.hosts[0]
        .poll_transmit(net.now, Port(0))
        .unwrap()
        .to_bytes();
    let mut message = vec![1, 1, 0, 0, 0, 0, 0, 0];
    message.extend(&sent);
    let sum = icmpv6::compute_checksum(b(), a(), &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let frame = craft("fd07::2", "fd07::1", 58, 64, &message);
    let fate = net.hosts[0].handle_frame(net.now, Port(0), frame);
    assert_eq!(fate, Fate::Delivered(Consumer::Icmp));
    let error = Error::Unreachable(ErrorKind::Prohibited);
    assert_eq!(net.hosts[0].tcp_take_error(opening), Some(error));
}

#[test]
fn errors_have_a_rate_that_a_link_shares() {
    let mut host = bare(2, "fd07::2/64");
    let all = Route::on_link("::/0".parse().unwrap(), Port(0));
    host.add_route(all).unwrap();
    let mut told = 0;
    for n in 0..300_u16 {
        let src = std::format!("fd07::1:{n:x}");
        let (_, answer) = shown(&mut host, craft(&src, "fd07::2", 200, 64, &[]));
        told += u64::from(answer.is_some());
    }
    let limited = host.stats().dropped_out(DropReason::IcmpRateLimited);
    assert_eq!((told, limited), (200, 100));
    let (_, answer) = shown(&mut host, craft("fd08::1", "fd07::2", 200, 64, &[]));
    assert!(answer.is_some(), "another link has its own");
}

#[test]
fn over_ethernet_where_the_neighbour_is_known() {
    let mut net = Net::pair();
    let now = net.now;
    for (n, cidr, peer) in [(0, "fd07::1/64", b()), (1, "fd07::2/64", a())] {
        net.hosts[n].add_address(now, 0, cidr.parse().unwrap());
        let station = mac(2 - n as u8);
        let neighbors = &mut net.hosts[n].interface_mut(0).unwrap().neighbors;
        neighbors.set_static(now, peer.into(), station).unwrap();
    }
    // Until nobody has claimed the addresses.
    net.run(Duration::from_secs(3));
    let (client, peer) = open(&mut net, Options::default());
    carry(&mut net, client, peer, &pattern(100_000));
    let (_, frame, _) = net.log.last().unwrap();
    assert_eq!(frame.front()[12..14], [0x86, 0xdd]);
    // Nobody else is found, and who waits for them is told.
    let h = net.hosts[0].tcp_connect(now, sock("[fd07::9]:80"), None, Options::default());
    net.run(Duration::from_secs(10));
    assert!(matches!(
        net.hosts[0].tcp_take_error(h.unwrap()),
        Some(Error::Unreachable(_))
    ));
}
