//! IP headers as bytes, and the sum over them.

use std::net::IpAddr;

/// An IP header's fields, as far as scripts speak of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ip {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) tos: u8,
    pub(super) ttl: u8,
    pub(super) flow_label: u32,
}

/// An IP header before `len` bytes.
pub(super) fn header(ip: &Ip, protocol: u8, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 40);
    let ttl = if ip.ttl == 0 { 255 } else { ip.ttl };
    let short = |len: usize| u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
    if ip.from.is_ipv4() {
        bytes.extend([0x45, ip.tos]);
        bytes.extend(short(len + 20));
        bytes.extend([0, 0, 0, 0, ttl, protocol, 0, 0]);
        bytes.extend(octets(ip.from));
        bytes.extend(octets(ip.to));
        let sum = checksum(&[&bytes]).to_be_bytes();
        if let Some(place) = bytes.get_mut(10..12) {
            place.copy_from_slice(&sum);
        }
    } else {
        let word = 6 << 28 | u32::from(ip.tos) << 20 | ip.flow_label;
        bytes.extend(word.to_be_bytes());
        bytes.extend(short(len));
        bytes.extend([protocol, ttl]);
        bytes.extend(octets(ip.from));
        bytes.extend(octets(ip.to));
    }
    bytes
}

/// A header, the protocol within, and what follows.
type IpParts<'a> = (Ip, u8, &'a [u8]);

/// The header of a packet, the protocol within, and what follows.
pub(super) fn parse_ip(packet: &[u8]) -> Option<Result<IpParts<'_>, String>> {
    let first = *packet.first()?;
    let parts = if first >> 4 == 4 {
        let len = usize::from(first & 15) * 4;
        let total = usize::from(be16(packet, 2)?);
        let head = packet.get(..len)?;
        if checksum(&[head]) != 0 {
            return Some(Err("a wrong IPv4 header checksum".into()));
        }
        if total != packet.len() {
            return Some(Err(format!(
                "IPv4 total length {total} of {} bytes",
                packet.len()
            )));
        }
        let address = |at: usize| <[u8; 4]>::try_from(packet.get(at..at + 4)?).ok();
        let ip = Ip {
            from: IpAddr::from(address(12)?),
            to: IpAddr::from(address(16)?),
            tos: *packet.get(1)?,
            ttl: *packet.get(8)?,
            flow_label: 0,
        };
        (ip, *packet.get(9)?, packet.get(len..)?)
    } else {
        let word = be32(packet, 0)?;
        let body = packet.get(40..)?;
        let len = usize::from(be16(packet, 4)?);
        if len != body.len() {
            return Some(Err(format!(
                "IPv6 payload length {len} of {} bytes",
                body.len()
            )));
        }
        let address = |at: usize| <[u8; 16]>::try_from(packet.get(at..at + 16)?).ok();
        let ip = Ip {
            from: IpAddr::from(address(8)?),
            to: IpAddr::from(address(24)?),
            tos: u8::try_from(word >> 20 & 0xff).ok()?,
            ttl: *packet.get(7)?,
            flow_label: word & 0xf_ffff,
        };
        (ip, *packet.get(6)?, body)
    };
    Some(Ok(parts))
}

pub(super) fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// The Internet checksum over several pieces, each of even length but the last.
pub(super) fn checksum(pieces: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for piece in pieces {
        for pair in piece.chunks(2) {
            let high = u64::from(pair.first().copied().unwrap_or(0)) << 8;
            sum += high | u64::from(pair.get(1).copied().unwrap_or(0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
