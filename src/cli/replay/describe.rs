//! A frame in one short phrase, for the lines of `replay`.

use stack::wire::arp::{self, Operation};
use stack::wire::icmpv4::kind;
use stack::wire::{EtherType, Protocol, ethernet, icmpv4, ipv4, tcp, udp, vlan};
use std::fmt::Write as _;

/// Tags that are named before the rest is given up on.
const MAX_TAGS: usize = 4;

/// What an Ethernet frame is.
#[must_use]
pub(super) fn frame(bytes: &[u8]) -> String {
    let Ok((header, mut rest)) = ethernet::Header::parse(bytes) else {
        return format!("{} bytes, no Ethernet header", bytes.len());
    };
    let mut text = String::new();
    let mut ethertype = header.ethertype;
    for _ in 0..MAX_TAGS {
        if !ethertype.is_vlan() {
            break;
        }
        let Ok((tag, after)) = vlan::Header::parse(rest) else {
            return text + "VLAN tag, cut short";
        };
        let _ = write!(text, "VLAN {} ", tag.vid);
        (ethertype, rest) = (tag.ethertype, after);
    }
    text + &match ethertype {
        EtherType::ARP => address_resolution(rest),
        EtherType::IPV4 | EtherType::IPV6 => packet(rest),
        length if length.is_length() => "802.3 LLC".to_owned(),
        EtherType(other) => format!("EtherType {other:#06x}"),
    }
}

fn address_resolution(bytes: &[u8]) -> String {
    let Ok((packet, _)) = arp::Packet::parse(bytes) else {
        return "ARP, malformed or not for IPv4 over Ethernet".to_owned();
    };
    let (sender, target, mac) = (packet.sender_ip, packet.target_ip, packet.sender_mac);
    match packet.operation {
        _ if packet.is_probe() => format!("ARP probe for {target}"),
        _ if packet.is_announcement() => format!("ARP announcement: {sender} is at {mac}"),
        Operation::REQUEST => format!("ARP who has {target}, says {sender}"),
        Operation::REPLY => format!("ARP {sender} is at {mac}"),
        Operation(other) => format!("ARP operation {other}"),
    }
}

/// What an IP packet is.
#[must_use]
pub(super) fn packet(bytes: &[u8]) -> String {
    match bytes.first().map(|b| b >> 4) {
        Some(4) => {}
        Some(6) => return "IPv6".to_owned(),
        _ => return "no IP version".to_owned(),
    }
    let Ok((ip, rest)) = ipv4::Header::parse(bytes) else {
        return "IPv4, malformed".to_owned();
    };
    let (src, dst) = (ip.src, ip.dst);
    if ip.fragment_offset > 0 {
        return format!("fragment at {} {src} > {dst}", ip.fragment_offset);
    }
    let start = if ip.more_fragments {
        "first fragment of "
    } else {
        ""
    };
    let what = match ip.protocol {
        Protocol::ICMP => icmpv4::Header::parse(rest).map_or_else(
            |_| format!("ICMP {src} > {dst}, cut short"),
            |(icmp, _)| format!("ICMP {} {src} > {dst}", icmp_name(icmp.kind, icmp.code)),
        ),
        Protocol::UDP => udp::Header::parse(rest).map_or_else(
            |_| format!("UDP {src} > {dst}, cut short"),
            |(udp, _)| format!("UDP {src}:{} > {dst}:{}", udp.src_port, udp.dst_port),
        ),
        Protocol::TCP => tcp::Header::parse(rest).map_or_else(
            |_| format!("TCP {src} > {dst}, cut short or malformed"),
            |(tcp, _)| {
                let flags = tcp.flags;
                format!(
                    "TCP {flags} {src}:{} > {dst}:{}",
                    tcp.src_port, tcp.dst_port
                )
            },
        ),
        Protocol::IGMP => format!("IGMP {src} > {dst}"),
        Protocol(other) => format!("IP protocol {other} {src} > {dst}"),
    };
    format!("{start}{what}")
}

fn icmp_name(icmp: u8, code: u8) -> String {
    let name = match (icmp, code) {
        (kind::ECHO_REPLY, _) => "echo reply",
        (kind::ECHO_REQUEST, _) => "echo request",
        (kind::DESTINATION_UNREACHABLE, 0) => "network unreachable",
        (kind::DESTINATION_UNREACHABLE, 1) => "host unreachable",
        (kind::DESTINATION_UNREACHABLE, 2) => "protocol unreachable",
        (kind::DESTINATION_UNREACHABLE, 3) => "port unreachable",
        (kind::DESTINATION_UNREACHABLE, 4) => "fragmentation needed",
        (kind::TIME_EXCEEDED, 0) => "time exceeded",
        (kind::TIME_EXCEEDED, 1) => "reassembly time exceeded",
        (kind::PARAMETER_PROBLEM, _) => "parameter problem",
        (kind::REDIRECT, _) => "redirect",
        (kind::TIMESTAMP_REQUEST, _) => "timestamp request",
        (kind::TIMESTAMP_REPLY, _) => "timestamp reply",
        _ => return format!("type {icmp} code {code}"),
    };
    name.to_owned()
}
