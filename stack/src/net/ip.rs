//! What IPv4 and IPv6 have in common once a header has been read: who, whom, what and how far.
//!
//! ```text
//!   ipv4::accept --+                            +-- ipv4::Fragmenter
//!                  +--> Accepted     Fragmenter +
//!   ipv6::accept --+                            +-- ipv6::Fragmenter
//!   an ICMP error's quote --quoted--> Quoted, and what of the transport header is left of it
//! ```
//!
//! Read first: RFC 791 §3.1 beside RFC 8200 §3.
//!
//! Promises: nothing here decides for one family what holds for the other; what differs is told
//! apart by the addresses themselves, which are never of two families in one packet.

pub use super::accepted::{Accepted, Plain};

use super::{ipv4, ipv6};
use crate::frame::Frame;
use crate::wire::{EtherType, Protocol, ipv6 as wire6};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

impl From<&ipv4::Accepted> for Accepted {
    #[inline]
    fn from(header: &ipv4::Accepted) -> Self {
        Self {
            header_len: header.header_len,
            tos: header.tos,
            ttl: header.ttl,
            protocol: header.protocol,
            protocol_at: ipv4::PROTOCOL_AT,
            dont_fragment: header.dont_fragment,
            fragmented: false,
            src: IpAddr::V4(header.src),
            dst: IpAddr::V4(header.dst),
        }
    }
}

/// An address of one family, for what is to be compiled once for each: where an [`IpAddr`] is made of
/// one, nobody need ask which it is.
pub trait Address: Copy + Into<IpAddr> {
    /// The same, where `addr` is of this family.
    fn of(addr: IpAddr) -> Option<Self>;
}

impl Address for Ipv4Addr {
    #[inline]
    fn of(addr: IpAddr) -> Option<Self> {
        match addr {
            IpAddr::V4(addr) => Some(addr),
            IpAddr::V6(_) => None,
        }
    }
}

impl Address for Ipv6Addr {
    #[inline]
    fn of(addr: IpAddr) -> Option<Self> {
        match addr {
            IpAddr::V6(addr) => Some(addr),
            IpAddr::V4(_) => None,
        }
    }
}

/// The header of a packet that somebody quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// What it carried.
    pub protocol: Protocol,
    /// How long it was in all, as it says.
    pub total_len: u16,
    /// Bytes in front of the upper layer.
    pub header_len: u16,
    /// It was whole, or the first piece: what follows is the upper layer's beginning.
    pub first: bool,
    /// It ends within its extension headers, so that `protocol` is of the one that is cut.
    pub cut: bool,
}

/// Reads a packet's header, of either family, and gives what is there of the upper layer. The packet
/// may be cut short behind the headers.
#[must_use]
pub fn quoted(packet: &[u8]) -> Option<(Quoted, &[u8])> {
    if packet.first()? >> 4 == 4 {
        let (header, rest) = crate::wire::ipv4::Header::parse(packet).ok()?;
        let quoted = Quoted {
            src: IpAddr::V4(header.src),
            dst: IpAddr::V4(header.dst),
            protocol: header.protocol,
            total_len: header.total_len,
            header_len: u16::try_from(header.header_len()).unwrap_or(20),
            first: header.fragment_offset == 0,
            cut: false,
        };
        return Some((quoted, rest));
    }
    let (header, mut rest) = wire6::Header::parse(packet).ok()?;
    let (mut protocol, mut first, mut cut) = (header.next_header, true, false);
    for _ in 0..wire6::MAX_EXTENSION_HEADERS {
        if !first {
            break;
        }
        match wire6::Extension::parse(protocol, rest) {
            Ok(None) => break,
            Err(_) => {
                cut = true;
                break;
            }
            Ok(Some((extension, after))) => {
                if let wire6::Extension::Fragment(fragment) = extension {
                    first = fragment.offset == 0;
                }
                (protocol, rest) = (extension.next_header(), after);
            }
        }
    }
    let quoted = Quoted {
        src: IpAddr::V6(header.src),
        dst: IpAddr::V6(header.dst),
        protocol,
        total_len: header.payload_len.saturating_add(40),
        header_len: u16::try_from(packet.len() - rest.len()).unwrap_or(u16::MAX),
        first,
        cut,
    };
    Some((quoted, rest))
}

/// Whether this is a group's address, or a broadcast to a whole link.
#[must_use]
#[inline]
pub const fn is_group(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => addr.is_multicast() || addr.is_broadcast(),
        IpAddr::V6(addr) => addr.is_multicast(),
    }
}

/// Whether a packet may be on a wire with this destination.
#[must_use]
#[inline]
pub const fn is_sendable(dst: IpAddr) -> bool {
    match dst {
        IpAddr::V4(dst) => ipv4::is_sendable(dst),
        IpAddr::V6(dst) => ipv6::is_sendable(dst),
    }
}

/// Whether a router may forward to `dst` at all.
#[must_use]
pub fn is_forwardable(src: IpAddr, dst: IpAddr) -> bool {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => ipv4::is_forwardable(src, dst),
        (IpAddr::V6(src), IpAddr::V6(dst)) => ipv6::is_forwardable(src, dst),
        _ => false,
    }
}

/// Length of the header of our own packets to `addr`, without options.
#[must_use]
#[inline]
pub const fn header_len(addr: &IpAddr) -> usize {
    match addr {
        IpAddr::V4(_) => ipv4::MIN_HEADER_LEN,
        IpAddr::V6(_) => wire6::HEADER_LEN,
    }
}

/// Who sent a packet, which starts at its IP header.
#[must_use]
pub fn source(packet: &Frame) -> Option<IpAddr> {
    let front = packet.front();
    match ethertype_of(packet) {
        EtherType::IPV6 => wire6::Header::parse(front)
            .ok()
            .map(|(h, _)| IpAddr::V6(h.src)),
        _ => crate::wire::ipv4::Header::parse(front)
            .ok()
            .map(|(h, _)| IpAddr::V4(h.src)),
    }
}

/// Where the header of our own packets to `addr` says what it carries.
#[must_use]
#[inline]
pub const fn protocol_at(addr: &IpAddr) -> u16 {
    match addr {
        IpAddr::V4(_) => ipv4::PROTOCOL_AT,
        IpAddr::V6(_) => ipv6::NEXT_HEADER_AT,
    }
}

/// What announces a packet to `addr` on a link.
#[must_use]
#[inline]
pub const fn ethertype(addr: &IpAddr) -> EtherType {
    match addr {
        IpAddr::V4(_) => EtherType::IPV4,
        IpAddr::V6(_) => EtherType::IPV6,
    }
}

/// What announces a packet, which starts at its IP header.
#[must_use]
#[inline]
pub fn ethertype_of(packet: &Frame) -> EtherType {
    match packet.front().first() {
        Some(first) if first >> 4 == 6 => EtherType::IPV6,
        _ => EtherType::IPV4,
    }
}

/// Cuts a packet of either family into fragments, one at a time as the wire takes them.
#[derive(Clone, Debug)]
pub enum Fragmenter {
    /// By IPv4's header.
    V4(ipv4::Fragmenter),
    /// By the extension header of IPv6.
    V6(ipv6::Fragmenter),
}

impl Fragmenter {
    /// A cutter for `packet`; `None` where it cannot be cut so small. The identification is for IPv6,
    /// whose header has none. The caller has looked at whether it may be cut.
    #[must_use]
    pub fn new(packet: Frame, mtu: usize, ident: u32) -> Option<Self> {
        match ethertype_of(&packet) {
            EtherType::IPV6 => ipv6::Fragmenter::new(packet, mtu, ident).map(Self::V6),
            _ => ipv4::Fragmenter::new(packet, mtu).map(Self::V4),
        }
    }

    /// The next fragment; `None` when all have been given.
    pub fn next_fragment(&mut self) -> Option<Frame> {
        match self {
            Self::V4(cutter) => cutter.next_fragment(),
            Self::V6(cutter) => cutter.next_fragment(),
        }
    }
}
