//! Frames as a hostile or broken peer would send them: well-formed ones by the wire emitters, then
//! bent.

use crate::chance::Chance;
use stack::wire::arp::Operation;
use stack::wire::checksum::Sum;
use stack::wire::icmpv4::{
    AddressMask, Message, ParameterCode, RedirectCode, TimeExceededCode, Timestamps,
    UnreachableCode,
};
use stack::wire::seq::SeqNum;
use stack::wire::tcp::{Flags, OptionBuffer, SackBlocks, TcpOption};
use stack::wire::{
    EtherType, MacAddr, ParseError, Protocol, Writer, arp, checksum, ethernet, icmpv6, igmp, ipv4,
    ipv6, llc, mld, ndp, tcp, udp, vlan,
};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a peer knows of the host that it torments.
#[derive(Clone, Default)]
pub(crate) struct Target {
    /// Its station addresses.
    pub(crate) macs: Vec<MacAddr>,
    /// Its addresses and others worth sending to.
    pub(crate) addrs: Vec<Ipv4Addr>,
    /// The same of IPv6; none where it speaks IPv4 alone.
    pub(crate) addrs6: Vec<Ipv6Addr>,
    /// Stations around it.
    pub(crate) peers: Vec<(MacAddr, Ipv4Addr)>,
    /// Its VLANs.
    pub(crate) vlans: Vec<u16>,
    /// Ports, and identifiers of echo sockets.
    pub(crate) ports: Vec<u16>,
    /// Groups.
    pub(crate) groups: Vec<Ipv4Addr>,
    /// No link header.
    pub(crate) is_ip: bool,
    /// What it sent of late: to answer, to quote, to throw back.
    pub(crate) heard: VecDeque<Vec<u8>>,
}

impl Target {
    fn mac(&self, c: &mut Chance) -> MacAddr {
        match c.below(32) {
            0 => MacAddr::BROADCAST,
            1 => MacAddr(
                c.u32().to_be_bytes().repeat(2)[..6]
                    .try_into()
                    .unwrap_or([2; 6]),
            ),
            2 => c
                .pick(&self.groups)
                .map_or(MacAddr::ZERO, MacAddr::from_ipv4_multicast),
            _ => c.pick(&self.macs).unwrap_or(MacAddr::ZERO),
        }
    }

    fn addr(&self, c: &mut Chance) -> Ipv4Addr {
        match c.below(16) {
            0 => Ipv4Addr::from(c.u32()),
            1 => c.pick(&self.groups).unwrap_or(Ipv4Addr::BROADCAST),
            2 => c
                .pick(&[
                    Ipv4Addr::BROADCAST,
                    Ipv4Addr::UNSPECIFIED,
                    Ipv4Addr::LOCALHOST,
                    Ipv4Addr::new(169, 254, 1, 1),
                    Ipv4Addr::new(10, 1, 0, 255),
                    Ipv4Addr::new(10, 2, 0, 0),
                    Ipv4Addr::new(250, 1, 1, 1),
                ])
                .unwrap_or(Ipv4Addr::BROADCAST),
            3 => c.pick(&self.peers).map_or(Ipv4Addr::LOCALHOST, |p| p.1),
            _ => c.pick(&self.addrs).unwrap_or(Ipv4Addr::LOCALHOST),
        }
    }

    fn peer(&self, c: &mut Chance) -> (MacAddr, Ipv4Addr) {
        let known = c
            .pick(&self.peers)
            .unwrap_or((MacAddr::ZERO, Ipv4Addr::LOCALHOST));
        match c.below(16) {
            0 => (known.0, self.addr(c)),
            1 => (self.mac(c), known.1),
            2 => (known.0, Ipv4Addr::from(c.u32())),
            _ => known,
        }
    }

    fn port(&self, c: &mut Chance) -> u16 {
        if c.one_in(4) {
            c.u16()
        } else {
            c.pick(&self.ports).unwrap_or(7)
        }
    }

    /// An IP packet that the host sent, or bytes that might be one.
    fn quotable(&self, c: &mut Chance) -> Vec<u8> {
        let Some(at) = c.below(self.heard.len() + 1).checked_sub(1) else {
            let n = c.below(64);
            return c.bytes(n);
        };
        let frame = self.heard.get(at).cloned().unwrap_or_default();
        let skip = match frame.get(12..14) {
            _ if self.is_ip => 0,
            Some([0x81, 0]) => 18,
            _ => 14,
        };
        let mut quote = frame.get(skip..).unwrap_or_default().to_vec();
        quote.truncate(c.pick(&[28, 548, 28, 20, 27, 128, 1400]).unwrap_or(28));
        quote
    }
}

/// Runs an emitter over room enough for anything made here, and keeps what it wrote.
fn emit(f: impl FnOnce(&mut Writer<'_>) -> Result<(), ParseError>) -> Vec<u8> {
    let mut room = vec![0; 4096];
    let mut w = Writer::new(&mut room);
    let _ = f(&mut w);
    let n = w.written();
    room.truncate(n);
    room
}

/// A few frames that belong together: usually one, or the fragments of a datagram.
pub(crate) fn frames(c: &mut Chance, to: &Target) -> Vec<Vec<u8>> {
    // Who speaks IPv6 hears it as often as IPv4.
    let six = !to.addrs6.is_empty() && c.one_in(2);
    let mut all = match if six { 6 } else { c.below(20) } {
        0 => {
            let n = c.below(120);
            return vec![c.bytes(n)];
        }
        1 => return to.heard.back().cloned().into_iter().collect(),
        2..=3 if !to.is_ip => vec![arp_reply(c, to)],
        4..=5 if !to.is_ip => {
            let body = arp_packet(c, to);
            vec![link(c, to, EtherType::ARP, &body)]
        }
        6 => {
            let body = ipv6_packet(c, to);
            vec![link(c, to, EtherType::IPV6, &body)]
        }
        7 if !to.is_ip => {
            let kind = EtherType(c.u16());
            let n = c.below(80);
            let body = c.bytes(n);
            vec![link(c, to, kind, &body)]
        }
        8..=10 => {
            let packet = ipv4_packet(c, to, true);
            let pieces = fragments(c, &packet);
            pieces
                .iter()
                .map(|p| link(c, to, EtherType::IPV4, p))
                .collect()
        }
        _ => {
            let packet = ipv4_packet(c, to, false);
            vec![link(c, to, EtherType::IPV4, &packet)]
        }
    };
    if c.one_in(3) {
        let other = ipv4_packet(c, to, false);
        for frame in &mut all {
            bend(c, frame, &other, to.is_ip);
        }
    }
    all
}

/// Breaks a frame, and at times mends its checksums so that the break gets further in.
pub(crate) fn bend(c: &mut Chance, frame: &mut Vec<u8>, other: &[u8], is_ip: bool) {
    for _ in 0..=c.below(3) {
        let len = frame.len();
        match c.below(8) {
            0 | 1 => {
                let bit = c.below(8);
                if let Some(b) = frame.get_mut(c.below(len)) {
                    *b ^= 1 << bit;
                }
            }
            2 => frame.truncate(c.below(len + 1)),
            3 => {
                let value = c.pick(&[0, 1, 0x7f, 0x80, 0xff, 0x45, 0x4f]).unwrap_or(0);
                if let Some(b) = frame.get_mut(c.below(len.min(64))) {
                    *b = value;
                }
            }
            4 => {
                let n = c.below(32);
                frame.extend(c.bytes(n));
            }
            5 => {
                // Total length, IHL, the UDP length: the fields that lie.
                let start = if is_ip { 0 } else { 14 };
                let at = start + c.pick(&[0, 2, 3, 6, 7, 24, 25]).unwrap_or(0);
                let value = c.byte();
                if let Some(b) = frame.get_mut(at) {
                    *b = value;
                }
            }
            6 => {
                // Spliced with another.
                frame.truncate(c.below(len + 1));
                frame.extend(other.get(c.below(other.len())..).unwrap_or_default());
            }
            _ => {
                let (from, n) = (c.below(len), c.below(16));
                let again = frame.iter().skip(from).take(n).copied().collect::<Vec<_>>();
                frame.extend(again);
            }
        }
    }
    if c.one_in(2) {
        repair(frame, is_ip);
    }
}

/// Makes the checksums of an IPv4 packet right again, wherever its lengths say they are.
fn repair(frame: &mut [u8], is_ip: bool) -> Option<()> {
    let skip = match frame.get(12..14)? {
        _ if is_ip => 0,
        [0x81, 0] => 18,
        _ => 14,
    };
    let packet = frame.get_mut(skip..)?;
    let ihl = usize::from(packet.first()? & 15) * 4;
    let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    packet.get_mut(10..12)?.fill(0);
    let sum = checksum::of(packet.get(..ihl)?);
    packet.get_mut(10..12)?.copy_from_slice(&sum.to_be_bytes());
    let protocol = Protocol(*packet.get(9)?);
    let at = match protocol {
        Protocol::ICMP | Protocol::IGMP => 2,
        Protocol::UDP => 6,
        Protocol::TCP => 16,
        _ => return None,
    };
    let mut addrs = packet.get(12..20)?.to_vec();
    let dst = <[u8; 4]>::try_from(addrs.split_off(4)).ok()?;
    let src = <[u8; 4]>::try_from(addrs).ok()?;
    let body = packet.get_mut(ihl..total)?;
    body.get_mut(at..at + 2)?.fill(0);
    let mut sum = Sum::new();
    if matches!(protocol, Protocol::UDP | Protocol::TCP) {
        sum.add_pseudo4(src.into(), dst.into(), protocol, body.len());
    }
    sum.add(body);
    let sum = sum.finish().to_be_bytes();
    body.get_mut(at..at + 2)?.copy_from_slice(&sum);
    Some(())
}

/// The link header: plain, tagged, twice tagged, or SNAP.
fn link(c: &mut Chance, to: &Target, ethertype: EtherType, body: &[u8]) -> Vec<u8> {
    if to.is_ip {
        return body.to_vec();
    }
    let (src, _) = to.peer(c);
    let dst = match body.get(16..20) {
        Some(&[a @ 224..=239, b, d, e]) if ethertype == EtherType::IPV4 && !c.one_in(8) => {
            MacAddr::from_ipv4_multicast(Ipv4Addr::new(a, b, d, e))
        }
        Some([255, 255, 255, 255]) if ethertype == EtherType::IPV4 => MacAddr::BROADCAST,
        _ if ethertype == EtherType::ARP && c.one_in(2) => MacAddr::BROADCAST,
        _ => to.mac(c),
    };
    let tag = |vid, ethertype| vlan::Header {
        pcp: 0,
        dei: false,
        vid,
        ethertype,
    };
    let shape = c.below(16);
    let vid = match c.below(4) {
        0 => c.u16() & 0xfff,
        1 => 0,
        _ => c.pick(&to.vlans).unwrap_or(0),
    };
    let header = emit(|w| match shape {
        0..=3 => {
            ethernet::Header {
                dst,
                src,
                ethertype: EtherType::VLAN,
            }
            .emit(w)?;
            tag(vid, ethertype).emit(w)
        }
        4 => {
            ethernet::Header {
                dst,
                src,
                ethertype: EtherType::QINQ,
            }
            .emit(w)?;
            tag(vid, EtherType::VLAN).emit(w)?;
            tag(vid, ethertype).emit(w)
        }
        5 => {
            let len = EtherType(u16::try_from(body.len() + 8).unwrap_or(1500).min(1500));
            ethernet::Header {
                dst,
                src,
                ethertype: len,
            }
            .emit(w)?;
            llc::Header::SNAP.emit(w)?;
            llc::Snap {
                oui: [0; 3],
                protocol: ethertype,
            }
            .emit(w)
        }
        _ => ethernet::Header {
            dst,
            src,
            ethertype,
        }
        .emit(w),
    });
    [header, body.to_vec()].concat()
}

fn arp_packet(c: &mut Chance, to: &Target) -> Vec<u8> {
    let (sender_mac, sender_ip) = to.peer(c);
    let mut packet = arp::Packet {
        operation: Operation(c.pick(&[1, 2, 1, 2, 3, 8, 9, 77]).unwrap_or(1)),
        sender_mac,
        sender_ip,
        target_mac: to.mac(c),
        target_ip: to.addr(c),
    };
    match c.below(8) {
        0 => {
            packet = arp::Packet {
                sender_ip: Ipv4Addr::UNSPECIFIED,
                ..packet
            }
        }
        1 => {
            packet = arp::Packet {
                target_ip: sender_ip,
                ..packet
            }
        }
        // A conflict: somebody has our address.
        2 => {
            packet = arp::Packet {
                sender_ip: to.addr(c),
                ..packet
            }
        }
        _ => {}
    }
    emit(|w| packet.emit(w))
}

/// The answer to the last question that the host asked, so that it comes to know its neighbours.
fn arp_reply(c: &mut Chance, to: &Target) -> Vec<u8> {
    let asked = to.heard.iter().rev().find_map(|frame| {
        let tagged = frame.get(12..14)? == [0x81, 0];
        let skip = if tagged { 18 } else { 14 };
        let (packet, _) = arp::Packet::parse(frame.get(skip..)?).ok()?;
        (packet.operation == Operation::REQUEST && !packet.is_announcement())
            .then(|| (packet, frame.get(..skip).unwrap_or_default().to_vec()))
    });
    let Some((asked, mut header)) = asked else {
        let body = arp_packet(c, to);
        return link(c, to, EtherType::ARP, &body);
    };
    let answer = arp::Packet {
        operation: Operation::REPLY,
        sender_mac: MacAddr([2, 9, 9, 9, 9, asked.target_ip.octets()[3]]),
        sender_ip: asked.target_ip,
        target_mac: asked.sender_mac,
        target_ip: asked.sender_ip,
    };
    header.splice(..6, asked.sender_mac.0);
    header.splice(6..12, answer.sender_mac.0);
    [header, emit(|w| answer.emit(w))].concat()
}

fn ip_options(c: &mut Chance) -> Vec<u8> {
    let mut options = Vec::new();
    for _ in 0..=c.below(2) {
        match c.below(9) {
            0 => options.extend([1, 1, 1]),
            1 => {
                let slots = c.below(9);
                let len = 3 + 4 * slots;
                options.extend([7, len as u8, 4 + 4 * c.below(slots + 2) as u8]);
                options.extend(vec![0; len - 3]);
            }
            2 => {
                let (kind, slots) = (c.pick(&[0, 1, 3, 2]).unwrap_or(0), c.below(9));
                let len = 4 + 4 * slots;
                options.extend([68, len as u8, 5 + 4 * c.below(slots + 2) as u8]);
                options.push(kind | c.byte() & 0xf0);
                options.extend(vec![0; len - 4]);
            }
            3 => options.extend([148, 4, 0, 0]),
            4 => options.extend([131, 7, 4, 10, 1, 0, 1]),
            5 => options.extend([137, 7, 4, 10, 1, 0, 1]),
            6 => options.extend([130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            7 => options.extend([0, 0]),
            _ => {
                let n = c.below(12);
                options.extend(c.bytes(n));
            }
        }
    }
    options.truncate(40);
    options.resize(options.len().next_multiple_of(4), 0);
    options
}

/// A whole IPv4 packet; a `large` one wants to be cut.
fn ipv4_packet(c: &mut Chance, to: &Target, large: bool) -> Vec<u8> {
    let (_, src) = to.peer(c);
    let mut dst = to.addr(c);
    let extra = if large { c.below(1500) } else { c.below(40) };
    let (protocol, body) = match c.below(12) {
        0..=3 => (Protocol::ICMP, icmp(c, to, extra)),
        4 => {
            dst = c.pick(&to.groups).unwrap_or(dst);
            (Protocol::IGMP, igmp_message(c, to))
        }
        5..=8 => (Protocol::UDP, udp_datagram(c, to, src, dst, extra)),
        9..=10 => (Protocol::TCP, tcp_segment(c, to, src, dst, extra)),
        _ => (Protocol(c.byte()), c.filler(extra)),
    };
    let options = if c.one_in(8) {
        ip_options(c)
    } else {
        Vec::new()
    };
    let ttl = match protocol {
        Protocol::IGMP => 1,
        _ => c.pick(&[64, 64, 255, 1, 2, 0]).unwrap_or(64),
    };
    let header = ipv4::Header {
        dscp: c.byte() & 63,
        ecn: 0,
        total_len: u16::try_from(20 + options.len() + body.len()).unwrap_or(u16::MAX),
        ident: c.u16() & 7,
        reserved_flag: c.one_in(16),
        dont_fragment: !large && c.one_in(2),
        more_fragments: c.one_in(24),
        fragment_offset: if c.one_in(24) { c.u16() & 0xfff8 } else { 0 },
        ttl,
        protocol,
        checksum: 0,
        src,
        dst,
        options: &options,
    };
    [emit(|w| header.with_checksum().emit(w)), body].concat()
}

/// Cuts a packet up: in order or not, whole or with a gap, doubled, overlapping, too far out.
fn fragments(c: &mut Chance, packet: &[u8]) -> Vec<Vec<u8>> {
    let Ok((header, body)) = ipv4::Header::parse(packet) else {
        return vec![packet.to_vec()];
    };
    let piece = 8 * (1 + c.below(80));
    let mut out = Vec::new();
    let mut at = 0;
    while at < body.len() {
        let end = (at + piece).min(body.len());
        let (mut from, mut to, mut more) = (at, end, end < body.len());
        match c.below(40) {
            // Overlapping from the left, as teardrop does.
            0 => from = from.saturating_sub(8),
            1 => to = (to + 8).min(body.len()),
            2 => more = !more,
            3 => {
                at = end;
                continue;
            }
            _ => {}
        }
        let offset = match c.below(60) {
            0 => 65_528,
            1 => c.u16() & 0xfff8,
            _ => u16::try_from(from).unwrap_or(0),
        };
        let data = body.get(from..to).unwrap_or_default();
        let header = ipv4::Header {
            total_len: u16::try_from(header.header_len() + data.len()).unwrap_or(u16::MAX),
            more_fragments: more,
            fragment_offset: offset & 0xfff8,
            dont_fragment: false,
            ..header
        };
        out.push([emit(|w| header.with_checksum().emit(w)), data.to_vec()].concat());
        if c.one_in(24) {
            out.extend(out.last().cloned());
        }
        at = end;
    }
    if c.one_in(3) {
        out.reverse();
    } else if c.one_in(3) && !out.is_empty() {
        let by = c.below(out.len());
        out.rotate_left(by);
    }
    out
}

fn icmp(c: &mut Chance, to: &Target, extra: usize) -> Vec<u8> {
    let quote = to.quotable(c);
    let data = c.filler(extra);
    let (ident, seq) = (to.port(c), c.u16());
    let stamps = Timestamps {
        ident,
        seq,
        originate: c.u32(),
        receive: 0,
        transmit: 0,
        rest: &[],
    };
    let mask = AddressMask {
        ident,
        seq,
        mask: Ipv4Addr::UNSPECIFIED,
        rest: &[],
    };
    let message = match c.below(16) {
        0..=3 => Message::EchoRequest {
            ident,
            seq,
            data: &data,
        },
        4 => Message::EchoReply {
            ident,
            seq,
            data: &data,
        },
        5..=6 => Message::unreachable(UnreachableCode(c.byte() % 17), c.u16(), &quote),
        7 => {
            let mtu = c.pick(&[0, 68, 576, 1400, 67, 65535, 1]).unwrap_or(0);
            Message::unreachable(UnreachableCode(4), mtu, &quote)
        }
        8 => Message::time_exceeded(TimeExceededCode(c.byte() & 1), &quote),
        9 => Message::ParameterProblem {
            code: ParameterCode(c.byte() & 3),
            pointer: c.byte(),
            length: 0,
            unused: 0,
            quote: &quote,
        },
        10 => Message::Redirect {
            code: RedirectCode(c.byte() & 3),
            gateway: to.peer(c).1,
            quote: &quote,
        },
        11 => Message::TimestampRequest(stamps),
        12 => Message::TimestampReply(stamps),
        13 => Message::AddressMaskRequest(mask),
        14 => Message::SourceQuench {
            unused: 0,
            quote: &quote,
        },
        _ => Message::Unknown {
            kind: c.byte(),
            code: c.byte(),
            rest: &quote,
        },
    };
    emit(|w| message.emit(w, message.compute_checksum()))
}

fn igmp_message(c: &mut Chance, to: &Target) -> Vec<u8> {
    let group = if c.one_in(2) {
        Ipv4Addr::UNSPECIFIED
    } else {
        c.pick(&to.groups).unwrap_or(Ipv4Addr::UNSPECIFIED)
    };
    let n = 4 * c.below(6);
    let sources = c.bytes(n);
    let message = match c.below(8) {
        0 => igmp::Message::V1Query { group },
        1 => igmp::Message::V2Query {
            max_resp: c.byte(),
            group,
        },
        2..=4 => igmp::Message::V3Query(igmp::V3Query {
            max_resp_code: c.byte(),
            group,
            reserved: 0,
            suppress: c.one_in(2),
            qrv: c.byte() & 7,
            qqic: c.byte(),
            sources: igmp::Sources(&sources),
            rest: &[],
        }),
        5 => igmp::Message::V2Report {
            unused: 0,
            group,
            rest: &[],
        },
        6 => igmp::Message::V1Report {
            unused: 0,
            group,
            rest: &[],
        },
        _ => igmp::Message::Unknown {
            kind: c.byte(),
            code: c.byte(),
            rest: &sources,
        },
    };
    let mut bytes = emit(|w| message.emit(w, 0));
    igmp::fill_checksum(&mut bytes);
    bytes
}

fn udp_datagram(c: &mut Chance, to: &Target, src: Ipv4Addr, dst: Ipv4Addr, n: usize) -> Vec<u8> {
    let data = c.filler(n);
    let mut header = udp::Header {
        src_port: to.port(c),
        dst_port: to.port(c),
        len: u16::try_from(n + 8).unwrap_or(8),
        checksum: 0,
    };
    if !c.one_in(6) {
        header.checksum = header.checksum_over(IpAddr::V4(src), IpAddr::V4(dst), &data);
    }
    [emit(|w| header.emit(w)), data].concat()
}

fn tcp_segment(c: &mut Chance, to: &Target, src: Ipv4Addr, dst: Ipv4Addr, n: usize) -> Vec<u8> {
    let data = c.filler(n);
    let mut options = OptionBuffer::new();
    let blocks = c.bytes(16);
    for _ in 0..c.below(4) {
        let option = match c.below(6) {
            0 => TcpOption::MaximumSegmentSize(c.u16()),
            1 => TcpOption::WindowScale(c.byte()),
            2 => TcpOption::SackPermitted,
            3 => TcpOption::Timestamps {
                value: c.u32(),
                echo_reply: c.u32(),
            },
            4 => SackBlocks::new(&blocks).map_or(TcpOption::NoOperation, TcpOption::Sack),
            _ => TcpOption::Unknown {
                kind: if c.one_in(4) { 174 } else { c.byte() },
                data: blocks.get(..4).unwrap_or_default(),
            },
        };
        let _ = options.push(&option);
    }
    let mut header = tcp::Header {
        src_port: to.port(c),
        dst_port: to.port(c),
        seq: SeqNum(c.u32()),
        ack: SeqNum(c.u32()),
        flags: Flags::from_bits(c.u16()),
        window: c.u16(),
        checksum: 0,
        urgent: 0,
        options: options.as_bytes(),
    };
    header.checksum = header.checksum_over(IpAddr::V4(src), IpAddr::V4(dst), &data);
    [emit(|w| header.emit(w)), data].concat()
}

fn ipv6_packet(c: &mut Chance, to: &Target) -> Vec<u8> {
    let near = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(c.byte()));
    let known = |c: &mut Chance| c.pick(&to.addrs6).filter(|_| !c.one_in(4));
    let src = match c.below(12) {
        0 => Ipv6Addr::UNSPECIFIED,
        _ => known(c).unwrap_or(near),
    };
    let dst = match c.below(8) {
        // Whom neighbour discovery asks.
        0 => known(c).map(ndp::solicited_node),
        _ => known(c),
    };
    let dst = dst
        .or_else(|| {
            c.pick(&[
                Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 2),
                Ipv6Addr::UNSPECIFIED,
                Ipv6Addr::LOCALHOST,
            ])
        })
        .unwrap_or(src);
    let (mut next, mut body) = ipv6_upper(c, to, src, dst);
    for _ in 0..c.below(4) * usize::from(!c.one_in(3)) {
        let n = 6 + 8 * c.below(3);
        let data = if c.one_in(2) { c.bytes(n) } else { vec![0; n] };
        let options = ipv6::OptionsHeader {
            next_header: next,
            options: &data,
        };
        let (kind, header) = match c.below(6) {
            0 => (Protocol::HOP_BY_HOP, emit(|w| options.emit(w))),
            1 => (Protocol::DESTINATION_OPTIONS, emit(|w| options.emit(w))),
            2 => {
                let fragment = ipv6::Fragment {
                    next_header: next,
                    reserved: 0,
                    offset: if c.one_in(2) { 0 } else { c.u16() & 0xfff8 },
                    reserved2: 0,
                    more: c.one_in(2),
                    ident: c.u32() & 3,
                };
                (Protocol::FRAGMENT, emit(|w| fragment.emit(w)))
            }
            3 => {
                let routing = ipv6::RoutingHeader {
                    next_header: next,
                    routing_type: c.pick(&[0, 2, 3, 4, 253]).unwrap_or(0),
                    segments_left: c.byte() & 3,
                    data: data.get(2..).unwrap_or_default(),
                };
                (Protocol::ROUTING, emit(|w| routing.emit(w)))
            }
            4 => {
                let auth = ipv6::AuthenticationHeader {
                    next_header: next,
                    reserved: 0,
                    spi: c.u32(),
                    seq: c.u32(),
                    icv: &[0; 12],
                };
                (Protocol::AH, emit(|w| auth.emit(w)))
            }
            _ => {
                let mobility = ipv6::GenericHeader {
                    next_header: next,
                    data: &data,
                };
                (Protocol::MOBILITY, emit(|w| mobility.emit(w)))
            }
        };
        next = kind;
        body = [header, body].concat();
    }
    let header = ipv6::Header {
        dscp: 0,
        ecn: 0,
        flow_label: c.u32() & 0xf_ffff,
        payload_len: u16::try_from(body.len()).unwrap_or(0),
        next_header: next,
        hop_limit: c.pick(&[255, 64, 1, 0]).unwrap_or(255),
        src,
        dst,
    };
    [emit(|w| header.emit(w)), body].concat()
}

fn ipv6_upper(c: &mut Chance, to: &Target, src: Ipv6Addr, dst: Ipv6Addr) -> (Protocol, Vec<u8>) {
    let quote = to.quotable(c);
    let n = c.below(40);
    let data = c.bytes(n);
    let mac = [2, 0, 0, 0, 0, 1];
    let option = emit(|w| ndp::NdpOption::SourceLinkLayerAddress(&mac).emit(w));
    let v1 = mld::ReportV1 {
        max_response_delay: 0,
        reserved: 0,
        group: dst,
        rest: &[],
    };
    if c.one_in(3) {
        return (Protocol::ICMPV6, discovery(c, to, src, dst));
    }
    if c.one_in(8) {
        return listener_query(c, src, dst);
    }
    let message = match c.below(12) {
        0 => icmpv6::Message::EchoRequest {
            ident: 1,
            seq: 2,
            data: &data,
        },
        1 => icmpv6::Message::unreachable(icmpv6::UnreachableCode(c.byte() & 7), &quote),
        2 => icmpv6::Message::PacketTooBig {
            code: 0,
            mtu: c.u32(),
            quote: &quote,
        },
        3 => icmpv6::Message::time_exceeded(icmpv6::TimeExceededCode(0), &quote),
        4 => icmpv6::Message::MldReport(v1),
        5 => icmpv6::Message::NeighborSolicitation(ndp::NeighborSolicitation {
            reserved: 0,
            target: dst,
            options: &option,
        }),
        6 => icmpv6::Message::RouterSolicitation(ndp::RouterSolicitation {
            reserved: 0,
            options: &option,
        }),
        7 => {
            let mut header = udp::Header {
                src_port: to.port(c),
                dst_port: to.port(c),
                len: u16::try_from(n + 8).unwrap_or(8),
                checksum: 0,
            };
            if !c.one_in(4) {
                header.checksum = header.checksum_over(IpAddr::V6(src), IpAddr::V6(dst), &data);
            }
            return (Protocol::UDP, [emit(|w| header.emit(w)), data].concat());
        }
        8 => return (Protocol::NO_NEXT_HEADER, data),
        9 => {
            let header = tcp::Header {
                src_port: to.port(c),
                dst_port: to.port(c),
                seq: SeqNum(c.u32()),
                ack: SeqNum(c.u32()),
                flags: Flags::from_bits(u16::from(c.byte())),
                window: c.u16(),
                checksum: 0,
                urgent: 0,
                options: &[],
            };
            let checksum = header.checksum_over(IpAddr::V6(src), IpAddr::V6(dst), &data);
            let header = tcp::Header { checksum, ..header };
            return (Protocol::TCP, [emit(|w| header.emit(w)), data].concat());
        }
        10 => icmpv6::Message::EchoReply {
            ident: to.port(c),
            seq: 2,
            data: &data,
        },
        _ => icmpv6::Message::Unknown {
            kind: c.byte(),
            code: c.byte(),
            body: &data,
        },
    };
    let bytes = emit(|w| message.emit(w, message.compute_checksum(src, dst)));
    (Protocol::ICMPV6, bytes)
}

/// A query of either version after a group, or all; mostly with router alert.
fn listener_query(c: &mut Chance, src: Ipv6Addr, dst: Ipv6Addr) -> (Protocol, Vec<u8>) {
    let n = 16 * c.below(4);
    let sources = c.bytes(n);
    let group = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, c.u16() & 3);
    let v2 = mld::QueryV2 {
        reserved: 0,
        suppress: c.one_in(2),
        qrv: c.byte() & 7,
        qqic: c.byte(),
        sources: ipv6::Addresses::new(&sources).unwrap_or_default(),
        rest: &[],
    };
    let query = icmpv6::Message::MldQuery(mld::Query {
        max_response_code: c.u16(),
        reserved: 0,
        group: c
            .pick(&[group, Ipv6Addr::UNSPECIFIED, dst])
            .unwrap_or(group),
        v2: (!c.one_in(4)).then_some(v2),
    });
    let bytes = emit(|w| query.emit(w, query.compute_checksum(src, dst)));
    if c.one_in(6) {
        return (Protocol::ICMPV6, bytes);
    }
    let alert = stack::net::mld::ROUTER_ALERT;
    (Protocol::HOP_BY_HOP, [&alert[..], &bytes].concat())
}

/// A message of neighbour discovery's, mostly valid but for what its packet makes of it.
fn discovery(c: &mut Chance, to: &Target, src: Ipv6Addr, dst: Ipv6Addr) -> Vec<u8> {
    let station = match c.below(4) {
        0 => to.mac(c),
        _ => MacAddr([2, 9, 9, 9, 9, c.byte() & 7]),
    };
    let mac = station.0;
    let nonce = c.bytes(6);
    let prefix = ndp::PrefixInformation {
        prefix_len: c.byte(),
        on_link: c.one_in(2),
        autonomous: c.one_in(2),
        router_address: false,
        reserved: 0,
        valid_lifetime: c.u32(),
        preferred_lifetime: c.u32(),
        reserved2: 0,
        prefix: src,
    };
    let mut all = Vec::new();
    for _ in 0..c.below(4) {
        let option = match c.below(6) {
            0 | 1 => ndp::NdpOption::SourceLinkLayerAddress(&mac),
            2 | 3 => ndp::NdpOption::TargetLinkLayerAddress(&mac),
            4 => ndp::NdpOption::Nonce(&nonce),
            _ => ndp::NdpOption::PrefixInformation(prefix),
        };
        all.extend(emit(|w| option.emit(w)));
    }
    if c.one_in(16) {
        let n = c.below(20);
        all.extend(c.bytes(n));
    }
    let options = &all;
    let target = c.pick(&to.addrs6).unwrap_or(dst);
    let message = match c.below(8) {
        0..=2 => icmpv6::Message::NeighborSolicitation(ndp::NeighborSolicitation {
            reserved: 0,
            target,
            options,
        }),
        3..=5 => icmpv6::Message::NeighborAdvertisement(ndp::NeighborAdvertisement {
            router: c.one_in(2),
            solicited: c.one_in(2),
            override_: c.one_in(2),
            reserved: 0,
            target,
            options,
        }),
        6 => icmpv6::Message::RouterAdvertisement(ndp::RouterAdvertisement {
            cur_hop_limit: c.byte(),
            flags: ndp::RouterFlags(c.byte()),
            router_lifetime: c.u16(),
            reachable_time: c.u32(),
            retrans_timer: c.u32(),
            options,
        }),
        _ => icmpv6::Message::Redirect(ndp::Redirect {
            reserved: 0,
            target,
            destination: dst,
            options,
        }),
    };
    emit(|w| message.emit(w, message.compute_checksum(src, dst)))
}
