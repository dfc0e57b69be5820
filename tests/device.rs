//! Devices against the kernel, in a network of their own.
//!
//! Not the usual harness: a process must be alone with itself to enter a user namespace, so `main`
//! enters once and runs the checks in turn. What an ordinary user cannot do is named, not skipped
//! in silence.
#![expect(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use stack::frame::{Checksum, Frame, Gso, GsoKind, Offload, Payload};
use stack::time::Instant;
use stack::wire::{Cidr, EtherType, MacAddr, Protocol, Writer, checksum::Sum, ethernet};
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use tapline::device::netlink::Netlink;
use tapline::device::raw::Raw;
use tapline::device::tap::Tap;
use tapline::device::{Device, Medium, Received, namespace};

const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
/// How often a device is asked before a frame counts as lost; the kernel delivers at once.
const PATIENCE: u32 = 200_000;

fn main() {
    namespace::enter().expect("device tests need a network namespace");
    match Tap::open("probe0", None) {
        Ok(_) => {
            tap_carries_frames_both_ways();
            tun_carries_packets_both_ways();
            super_frames_cross_a_tap_whole();
        }
        Err(e) => println!("left for root: the TAP and TUN checks (/dev/net/tun: {e})"),
    }
    veth_frames_come_with_their_checksum_note();
    tags_come_back();
    own_frames_are_not_seen();
    a_full_size_frame_passes();
    super_frames_cross_a_veth_whole();
    println!("device: all checks hold");
}

fn network(name: &str, address: &str) -> Cidr {
    let cidr: Cidr = address.parse().unwrap();
    let mut netlink = Netlink::open().unwrap();
    namespace::quiet_ipv6(name);
    netlink.set_up(name).unwrap();
    netlink.add_address(name, cidr).unwrap();
    cidr
}

/// A pair whose first end is the kernel's, with an address; gives a raw device on the other.
fn veth(name: &str, address: &str, mtu: u32) -> (Raw, Cidr) {
    let peer = format!("{name}p");
    let mut netlink = Netlink::open().unwrap();
    netlink.add_veth(name, &peer).unwrap();
    for end in [name, &peer] {
        netlink.set_mtu(end, mtu).unwrap();
    }
    namespace::disable_ipv6(name);
    namespace::disable_ipv6(&peer);
    netlink.set_up(&peer).unwrap();
    let cidr = network(name, address);
    for end in [name, &peer] {
        netlink.wait_until_running(end).unwrap();
    }
    (Raw::open(&peer).unwrap(), cidr)
}

/// The first frame that `wanted` likes.
fn receive(device: &mut dyn Device, wanted: impl Fn(&[u8]) -> bool) -> Option<Frame> {
    for _ in 0..PATIENCE {
        match device.recv(Instant::ZERO).unwrap() {
            Received::Frame(frame) if wanted(&frame.to_bytes()) => return Some(frame),
            Received::Frame(_) => {}
            Received::Empty => std::thread::yield_now(),
            Received::Ended => return None,
        }
    }
    None
}

fn holds(needle: &'static [u8]) -> impl Fn(&[u8]) -> bool {
    move |bytes| bytes.windows(needle.len()).any(|w| w == needle)
}

/// A UDP datagram whose checksum field holds the pseudo-header's sum alone, headers in the head
/// and payload by reference, as a host makes it.
fn datagram(medium: Medium, to: Cidr, port: u16, payload: &'static [u8]) -> Frame {
    let dst = to.addr4().unwrap();
    let [a, b, c, _] = dst.octets();
    let src = Ipv4Addr::new(a, b, c, 77);
    let udp_len = u16::try_from(8 + payload.len()).unwrap();
    let mut ip = [
        0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    ip[2..4].copy_from_slice(&(20 + udp_len).to_be_bytes());
    ip[12..16].copy_from_slice(&src.octets());
    ip[16..20].copy_from_slice(&dst.octets());
    let mut sum = Sum::new();
    sum.add(&ip);
    ip[10..12].copy_from_slice(&sum.finish().to_be_bytes());
    let mut pseudo = Sum::new();
    pseudo.add_pseudo4(src, dst, Protocol::UDP, usize::from(udp_len));
    let mut frame = Frame {
        payload: Payload::from(bytes::Bytes::from_static(payload)),
        ..Frame::default()
    };
    let mut udp = Vec::new();
    for field in [4000, port, udp_len, pseudo.partial()] {
        udp.extend_from_slice(&field.to_be_bytes());
    }
    frame.head.push_front(8).unwrap().copy_from_slice(&udp);
    frame.head.push_front(20).unwrap().copy_from_slice(&ip);
    let mut start = 20;
    if medium == Medium::Ethernet {
        let header = ethernet::Header {
            dst: MacAddr::BROADCAST,
            src: OURS,
            ethertype: EtherType::IPV4,
        };
        let room = frame.head.push_front(14).unwrap();
        header.emit(&mut Writer::new(room)).unwrap();
        start += 14;
    }
    frame.offload.checksum = Checksum::Partial { start, offset: 6 };
    frame
}

/// Kernel to device and device to kernel; gives what the kernel said of the checksum.
fn both_ways(device: &mut dyn Device, cidr: Cidr) -> Checksum {
    let socket = UdpSocket::bind((cidr.addr(), 0)).unwrap();
    socket.set_broadcast(true).unwrap();
    let timeout = std::time::Duration::from_secs(5);
    socket.set_read_timeout(Some(timeout)).unwrap();

    let group = cidr.broadcast().unwrap();
    socket.send_to(b"from the kernel", (group, 9)).unwrap();
    let frame = receive(device, holds(b"from the kernel")).expect("the kernel's datagram");

    let port = socket.local_addr().unwrap().port();
    // The kernel completes the sum and then verifies it; an unfinished one would be dropped.
    let sent = datagram(device.medium(), cidr, port, b"from the device");
    device.send(Instant::ZERO, &sent).unwrap();
    let mut buffer = [0; 100];
    let (n, from) = socket
        .recv_from(&mut buffer)
        .expect("the device's datagram");
    assert_eq!((&buffer[..n], from.port()), (&b"from the device"[..], 4000));
    frame.offload.checksum
}

fn tap_carries_frames_both_ways() {
    let mut tap = Tap::open("t0", Some(9000)).unwrap();
    assert_eq!((tap.mtu(), tap.medium()), (9000, Medium::Ethernet));
    let cidr = network("t0", "10.70.0.1/24");
    // The kernel leaves it to us, who need none.
    let left_open = Checksum::Partial {
        start: 34,
        offset: 6,
    };
    assert_eq!(both_ways(&mut tap, cidr), left_open);
}

fn tun_carries_packets_both_ways() {
    let mut tun = tapline::device::tun::open("u0", None).unwrap();
    assert_eq!((tun.mtu(), tun.medium()), (1500, Medium::Ip));
    let cidr = network("u0", "10.71.0.1/24");
    // A TUN has no broadcast: a unicast datagram to a neighbour serves.
    let socket = UdpSocket::bind((cidr.addr(), 0)).unwrap();
    socket.send_to(b"by TUN", "10.71.0.5:9").unwrap();
    let frame = receive(&mut tun, holds(b"by TUN")).expect("the kernel's packet");
    assert_eq!(frame.to_bytes()[0], 0x45, "no link header");
    let port = socket.local_addr().unwrap().port();
    let sent = datagram(Medium::Ip, cidr, port, b"to the kernel");
    tun.send(Instant::ZERO, &sent).unwrap();
    let mut buffer = [0; 100];
    let timeout = std::time::Duration::from_secs(5);
    socket.set_read_timeout(Some(timeout)).unwrap();
    assert_eq!(socket.recv(&mut buffer).unwrap(), 13);
}

fn veth_frames_come_with_their_checksum_note() {
    let (mut raw, cidr) = veth("v0", "10.72.0.1/24", 1500);
    let note = both_ways(&mut raw, cidr);
    assert_eq!(
        note,
        Checksum::Partial {
            start: 34,
            offset: 6
        }
    );
}

fn tags_come_back() {
    let (mut near, _) = veth("v1", "10.73.0.1/24", 1500);
    let mut far = Raw::open("v1").unwrap();
    // 802.1Q, 802.1ad, a priority tag, and two tags of which the kernel takes the outer.
    for tags in [
        &[0x81, 0x00, 0x60, 0x0a][..],
        &[0x88, 0xa8, 0x0f, 0xfe],
        &[0x81, 0x00, 0xe0, 0x00],
        &[0x88, 0xa8, 0x00, 0x05, 0x81, 0x00, 0x00, 0x07],
    ] {
        let mut bytes = vec![0xff; 6];
        bytes.extend_from_slice(&OURS.0);
        bytes.extend_from_slice(tags);
        bytes.extend_from_slice(&[0x88, 0xb5]);
        bytes.extend_from_slice(b"a frame of an experimental EtherType, as long as the shortest");
        near.send(Instant::ZERO, &Frame::copy_from(&bytes)).unwrap();
        let got = receive(&mut far, holds(b"experimental")).expect("the tagged frame");
        assert_eq!(&got.to_bytes()[..], &bytes[..], "tags {tags:02x?}");
    }
}

fn own_frames_are_not_seen() {
    let (mut raw, cidr) = veth("v2", "10.74.0.1/24", 1500);
    let mut other = Raw::open("v2p").unwrap();
    for device in [&mut raw, &mut other] {
        let frame = datagram(Medium::Ethernet, cidr, 9, b"our own frame");
        device.send(Instant::ZERO, &frame).unwrap();
    }
    // What the kernel's end says next has overtaken nothing: if it is there first, ours is not.
    let socket = UdpSocket::bind((cidr.addr(), 0)).unwrap();
    socket.set_broadcast(true).unwrap();
    let group = cidr.broadcast().unwrap();
    socket.send_to(b"a marker", (group, 9)).unwrap();
    for device in [&mut raw, &mut other] {
        let either = |b: &[u8]| holds(b"our own frame")(b) || holds(b"a marker")(b);
        let first = receive(device, either).expect("the marker");
        assert!(holds(b"a marker")(&first.to_bytes()));
    }
}

fn a_full_size_frame_passes() {
    let (mut raw, cidr) = veth("v3", "10.75.0.1/24", 65_535);
    let socket = UdpSocket::bind((cidr.addr(), 0)).unwrap();
    socket.set_broadcast(true).unwrap();
    let group = cidr.broadcast().unwrap();
    let body = vec![0x5a; 65_507];
    socket.send_to(&body, (group, 9)).unwrap();
    let frame = receive(&mut raw, |b| b.len() > 60_000).expect("the big datagram");
    assert_eq!(frame.len(), 14 + 20 + 8 + 65_507);
    raw.send(Instant::ZERO, &frame).unwrap();
    let over = Frame::copy_from(&vec![0xff; 65_600]);
    let refused = raw.send(Instant::ZERO, &over).unwrap_err();
    assert_ne!(refused.kind(), io::ErrorKind::WouldBlock);
}

/// 40,000 bytes of TCP to be cut, in two chunks; with CWR where asked.
fn super_frame(v6: bool, cwr: bool) -> Frame {
    let data: Vec<u8> = (0..40_000_u32).map(|i| i.to_be_bytes()[2] ^ 0x5a).collect();
    let mut frame = Frame::copy_from(&data[..30_000]);
    frame
        .payload
        .append(Frame::copy_from(&data[30_000..]).payload);
    let len = 20 + 40_000_u16;
    let flags = 0x18 | if cwr { 0x80 } else { 0 };
    let mut tcp = [0; 20];
    tcp[..14].copy_from_slice(&[0, 9, 0x10, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags]);
    let (mut ip4, mut ip6) = ([0; 20], [0; 40]);
    ip4[..10].copy_from_slice(&[0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, 6]);
    ip4[2..4].copy_from_slice(&(20 + len).to_be_bytes());
    ip4[12..].copy_from_slice(&[10, 76, 0, 9, 10, 76, 0, 8]);
    let check = stack::wire::checksum::of(&ip4).to_be_bytes();
    ip4[10..12].copy_from_slice(&check);
    ip6[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 0, 6, 64]);
    ip6[4..6].copy_from_slice(&len.to_be_bytes());
    ip6[8..10].copy_from_slice(&[0xfd, 7]);
    ip6[24..26].copy_from_slice(&[0xfd, 8]);
    let mut sum = Sum::new();
    sum.add(if v6 { &ip6[8..] } else { &ip4[12..] });
    sum.add_u16(6);
    sum.add_u16(len);
    tcp[16..18].copy_from_slice(&sum.partial().to_be_bytes());
    frame.head.push_front(20).unwrap().copy_from_slice(&tcp);
    let ip = if v6 { &ip6[..] } else { &ip4[..] };
    frame.head.push_front(ip.len()).unwrap().copy_from_slice(ip);
    let header = ethernet::Header {
        dst: MacAddr([2, 0, 0, 0, 0, 8]),
        src: OURS,
        ethertype: if v6 { EtherType::IPV6 } else { EtherType::IPV4 },
    };
    let room = frame.head.push_front(14).unwrap();
    header.emit(&mut Writer::new(room)).unwrap();
    frame.offload = Offload {
        gso: Some(Gso {
            kind: if v6 { GsoKind::Tcp6 } else { GsoKind::Tcp4 },
            size: 1000,
        }),
        checksum: Checksum::Partial {
            start: if v6 { 54 } else { 34 },
            offset: 16,
        },
    };
    frame
}

/// What one end sends as one frame, the other gets as one, with its notes.
fn super_frames_cross(a: &mut dyn Device, b: &mut dyn Device) {
    for (v6, cwr) in [(false, false), (true, false), (false, true), (true, true)] {
        let sent = super_frame(v6, cwr);
        a.send(Instant::ZERO, &sent).unwrap();
        let got = receive(b, |bytes| bytes[6..12] == OURS.0).expect("the super-frame");
        assert_eq!(got.len(), sent.len(), "v6 {v6}, CWR {cwr}");
        assert_eq!(
            (got.to_bytes(), got.offload),
            (sent.to_bytes(), sent.offload)
        );
    }
    assert!(a.offloads().tcp4 && a.offloads().tcp6 && !a.offloads().udp);
}

/// A packet socket on the kernel's end stands for a TCP that sends and one that receives.
fn super_frames_cross_a_tap_whole() {
    let mut tap = Tap::open("t1", None).unwrap();
    namespace::disable_ipv6("t1");
    Netlink::open().unwrap().set_up("t1").unwrap();
    let mut kernel = Raw::open("t1").unwrap();
    super_frames_cross(&mut tap, &mut kernel);
    super_frames_cross(&mut kernel, &mut tap);
}

fn super_frames_cross_a_veth_whole() {
    let (mut near, _) = veth("v4", "10.76.0.1/24", 1500);
    let mut far = Raw::open("v4").unwrap();
    super_frames_cross(&mut near, &mut far);
    super_frames_cross(&mut far, &mut near);
}
