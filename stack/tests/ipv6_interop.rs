//! A host and smoltcp talk over IPv6 on a link without header; etherparse reads what the host sends.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may panic as tests do"
)]

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use smoltcp::iface::{self, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::{icmp, tcp as peer_tcp, udp as peer_udp};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use stack::frame::{Frame, Payload};
use stack::host::{Config, Host, InterfaceConfig};
use stack::machine::{Machine as _, Port};
use stack::rng::Rng;
use stack::time::{Duration, Instant};
use stack::transport::tcp::{Error, ListenOptions, Options};
use std::collections::VecDeque;

/// The link, seen from smoltcp.
#[derive(Default)]
struct Link {
    to_peer: VecDeque<Vec<u8>>,
    to_host: VecDeque<Vec<u8>>,
}

struct Rx(Vec<u8>);
struct Tx<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl phy::TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut bytes = vec![0; len];
        let result = f(&mut bytes);
        self.0.push_back(bytes);
        result
    }
}

impl phy::Device for Link {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Rx, Tx<'_>)> {
        let packet = self.to_peer.pop_front()?;
        Some((Rx(packet), Tx(&mut self.to_host)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Tx<'_>> {
        Some(Tx(&mut self.to_host))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        // Checksums are computed and verified.
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities
    }
}

/// The host at fd07::1, smoltcp at fd07::2.
struct World {
    now: Instant,
    host: Host,
    link: Link,
    peer: Interface,
    sockets: SocketSet<'static>,
}

impl World {
    fn new() -> Self {
        let mut host = Host::new(Config::default(), Rng::from_seed(1));
        let tun = InterfaceConfig::ip("tun0", Port(0)).with_address("fd07::1/64".parse().unwrap());
        host.add_interface(Instant::ZERO, tun);
        let mut link = Link::default();
        let config = iface::Config::new(HardwareAddress::Ip);
        let mut peer = Interface::new(config, &mut link, smoltcp::time::Instant::ZERO);
        peer.update_ip_addrs(|addrs| {
            let addr: IpAddress = "fd07::2".parse().unwrap();
            addrs.push(IpCidr::new(addr, 64)).unwrap();
        });
        Self {
            now: Instant::ZERO,
            host,
            link,
            peer,
            sockets: SocketSet::new(Vec::new()),
        }
    }

    /// A millisecond passes, and all that there is crosses.
    fn step(&mut self) {
        self.now += Duration::from_millis(1);
        let micros = i64::try_from(self.now.as_nanos() / 1000).unwrap();
        let theirs = smoltcp::time::Instant::from_micros(micros);
        self.host.handle_timeout(self.now);
        for _ in 0..4 {
            while let Some(frame) = self.host.poll_transmit(self.now, Port(0)) {
                let packet = frame.to_bytes().to_vec();
                check(&packet);
                self.link.to_peer.push_back(packet);
            }
            self.peer.poll(theirs, &mut self.link, &mut self.sockets);
            while let Some(packet) = self.link.to_host.pop_front() {
                self.host
                    .handle_frame(self.now, Port(0), Frame::copy_from(&packet));
            }
        }
    }

    fn tcp(&mut self) -> SocketHandle {
        let buffer = || peer_tcp::SocketBuffer::new(vec![0; 65_536]);
        self.sockets.add(peer_tcp::Socket::new(buffer(), buffer()))
    }
}

/// etherparse takes the packet for what it is meant to be, checksums too.
fn check(packet: &[u8]) {
    let sliced = SlicedPacket::from_ip(packet).unwrap();
    let Some(NetSlice::Ipv6(ip)) = &sliced.net else {
        panic!("{sliced:?}");
    };
    let header = ip.header();
    assert_eq!(usize::from(header.payload_length()) + 40, packet.len());
    assert_eq!(header.hop_limit(), 64);
    assert!(packet.len() <= 1500);
    let (src, dst) = (header.source(), header.destination());
    match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let sum = tcp.calc_checksum_ipv6(src, dst).unwrap();
            assert_eq!(tcp.checksum(), sum);
        }
        Some(TransportSlice::Udp(udp)) => {
            let header = udp.to_header();
            let sum = header.calc_checksum_ipv6_raw(src, dst, udp.payload());
            assert_eq!(udp.checksum(), sum.unwrap());
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            assert!(icmp.is_checksum_valid(src, dst));
        }
        _ => assert!(ip.is_payload_fragmented(), "{sliced:?}"),
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 253) as u8).collect()
}

#[test]
fn tcp_both_ways() {
    for ours in [true, false] {
        let mut world = World::new();
        let theirs = world.tcp();
        let socket = world.sockets.get_mut::<peer_tcp::Socket<'_>>(theirs);
        let mut handle = None;
        let web = if ours {
            socket.listen(80).unwrap();
            let to = "[fd07::2]:80".parse().unwrap();
            let h = world
                .host
                .tcp_connect(world.now, to, None, Options::default());
            handle = Some(h.unwrap());
            None
        } else {
            let to: IpAddress = "fd07::1".parse().unwrap();
            let context = world.peer.context();
            socket.connect(context, (to, 80), 4000).unwrap();
            let any = "[::]:80".parse().unwrap();
            Some(
                world
                    .host
                    .tcp_listen(any, ListenOptions::default())
                    .unwrap(),
            )
        };
        let (out, back) = (pattern(500_000), pattern(300_000));
        let (mut sent, mut heard) = (0, Vec::new());
        let (mut answered, mut got) = (0, Vec::new());
        let mut room = vec![0; 65_536];
        for _ in 0..20_000 {
            world.step();
            if let Some(web) = web
                && handle.is_none()
            {
                handle = world.host.tcp_accept(web).map(|a| a.0);
            }
            let Some(h) = handle else { continue };
            match world.host.tcp_send(world.now, h, &out[sent..]) {
                Ok(n) => sent += n,
                Err(Error::WouldBlock) => {}
                Err(e) => panic!("{e:?}"),
            }
            while let Ok(n) = world.host.tcp_recv(world.now, h, &mut room) {
                got.extend_from_slice(&room[..n]);
            }
            let socket = world.sockets.get_mut::<peer_tcp::Socket<'_>>(theirs);
            if socket.can_send() {
                answered += socket.send_slice(&back[answered..]).unwrap();
            }
            while socket.can_recv() {
                let n = socket.recv_slice(&mut room).unwrap();
                heard.extend_from_slice(&room[..n]);
            }
            if heard.len() == out.len() && got.len() == back.len() {
                break;
            }
        }
        assert!(heard == out && got == back, "{} {}", heard.len(), got.len());
    }
}

#[test]
fn datagrams_and_fragments() {
    let mut world = World::new();
    let buffer = || {
        let meta = vec![peer_udp::PacketMetadata::EMPTY; 8];
        peer_udp::PacketBuffer::new(meta, vec![0; 65_536])
    };
    let theirs = world.sockets.add(peer_udp::Socket::new(buffer(), buffer()));
    let socket = world.sockets.get_mut::<peer_udp::Socket<'_>>(theirs);
    socket.bind(7).unwrap();
    let ours = world.host.udp_bind("[::]:9".parse().unwrap()).unwrap();
    for len in [0, 5, 1452, 1453] {
        let data = pattern(len);
        let to = "[fd07::2]:7".parse().unwrap();
        let payload = Payload::from(bytes::Bytes::from(data.clone()));
        world
            .host
            .udp_send(world.now, ours, payload, Some(to))
            .unwrap();
        (0..3).for_each(|_| world.step());
        let socket = world.sockets.get_mut::<peer_udp::Socket<'_>>(theirs);
        if len > 1452 {
            // smoltcp drops fragments of IPv6; that they were well made, etherparse has seen.
            assert!(!socket.can_recv());
            continue;
        }
        let (got, from) = socket.recv().unwrap();
        assert_eq!(got, data);
        let answer = got.to_vec();
        socket.send_slice(&answer, from).unwrap();
        (0..3).for_each(|_| world.step());
        let back = world.host.udp_recv(ours).unwrap();
        assert_eq!((back.payload.len(), back.from), (len, to));
    }
}

#[test]
fn echo_both_ways() {
    let mut world = World::new();
    let (ping, ident) = world.host.echo_open(0).unwrap();
    let to: std::net::Ipv6Addr = "fd07::2".parse().unwrap();
    let data = Payload::from(bytes::Bytes::from(pattern(56)));
    world
        .host
        .echo_send(world.now, ping, to, 3, data, &[])
        .unwrap();
    (0..3).for_each(|_| world.step());
    let reply = world.host.raw_recv(ping).unwrap().payload.to_bytes();
    assert_eq!((reply[0], &reply[8..]), (129, &pattern(56)[..]));
    assert_eq!(reply[4..6], ident.to_be_bytes());
    // And theirs.
    let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 4096]);
    let mut socket = icmp::Socket::new(buffer(), buffer());
    socket.bind(icmp::Endpoint::Ident(0x1234)).unwrap();
    let theirs = world.sockets.add(socket);
    let request = smoltcp::wire::Icmpv6Repr::EchoRequest {
        ident: 0x1234,
        seq_no: 1,
        data: b"hello",
    };
    let (src, dst) = ("fd07::2".parse().unwrap(), "fd07::1".parse().unwrap());
    let socket = world.sockets.get_mut::<icmp::Socket<'_>>(theirs);
    let room = socket
        .send(request.buffer_len(), IpAddress::Ipv6(dst))
        .unwrap();
    let mut packet = smoltcp::wire::Icmpv6Packet::new_unchecked(room);
    request.emit(
        &src,
        &dst,
        &mut packet,
        &phy::ChecksumCapabilities::default(),
    );
    (0..3).for_each(|_| world.step());
    let socket = world.sockets.get_mut::<icmp::Socket<'_>>(theirs);
    let (reply, from) = socket.recv().unwrap();
    assert_eq!((reply[0], &reply[8..]), (129, &b"hello"[..]));
    assert_eq!(from, IpAddress::Ipv6(dst));
}
