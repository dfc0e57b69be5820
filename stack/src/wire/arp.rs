//! Address resolution (RFC 826), and its probes and announcements (RFC 5227).
//!
//! ```text
//!  0                   1                   2                   3
//!  +-------------------------------+-------------------------------+
//!  |      hardware space (1)       |    protocol space (0x0800)    |
//!  +---------------+---------------+-------------------------------+
//!  | hw length (6) | pr length (4) |           operation           |
//!  +---------------+---------------+-------------------------------+
//!  |      sender hardware, sender protocol address,                |
//!  |      target hardware, target protocol address                 |
//!  +---------------------------------------------------------------+
//! ```
//!
//! Read first: RFC 826 "Packet format"; RFC 5227 §1.1, §2.1.1.
//!
//! [`Header`] is the general form, for any hardware and protocol; [`Packet`] is the one that
//! machines speak: IPv4 over Ethernet. Left out: the fields of RARP and InARP beyond their
//! operation numbers, since they share the layout.

use super::{EtherType, MacAddr, ParseError, Reader, Writer};
use core::net::Ipv4Addr;

/// Length of an ARP packet for IPv4 over Ethernet.
pub const LEN: usize = 28;
/// The hardware space of Ethernet.
pub const ETHERNET: u16 = 1;

/// What an ARP packet wants (IANA "ARP parameters").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operation(pub u16);

impl Operation {
    /// Who has the target protocol address?
    pub const REQUEST: Self = Self(1);
    /// The sender has the sender protocol address.
    pub const REPLY: Self = Self(2);
    /// RARP request (RFC 903).
    pub const REVERSE_REQUEST: Self = Self(3);
    /// RARP reply (RFC 903).
    pub const REVERSE_REPLY: Self = Self(4);
    /// Inverse ARP request (RFC 2390).
    pub const INVERSE_REQUEST: Self = Self(8);
    /// Inverse ARP reply (RFC 2390).
    pub const INVERSE_REPLY: Self = Self(9);
    /// ARP refusal of ATM (RFC 1577).
    pub const NAK: Self = Self(10);
}

/// An ARP packet for any hardware and protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header<'a> {
    /// Hardware address space; 1 is Ethernet.
    pub htype: u16,
    /// Protocol address space, an EtherType.
    pub ptype: EtherType,
    /// Length of each hardware address.
    pub hlen: u8,
    /// Length of each protocol address.
    pub plen: u8,
    /// Operation.
    pub op: Operation,
    /// Sender hardware address, `hlen` bytes.
    pub sha: &'a [u8],
    /// Sender protocol address, `plen` bytes.
    pub spa: &'a [u8],
    /// Target hardware address, `hlen` bytes.
    pub tha: &'a [u8],
    /// Target protocol address, `plen` bytes.
    pub tpa: &'a [u8],
}

impl<'a> Header<'a> {
    /// Parses a packet; the rest is the frame's padding.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] where the addresses do not fit.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let mut r = Reader::new(bytes);
        let [h0, h1, p0, p1, hlen, plen, o0, o1] = r.array::<8>("ARP header")?;
        let (hw, pr) = (usize::from(hlen), usize::from(plen));
        let header = Self {
            htype: u16::from_be_bytes([h0, h1]),
            ptype: EtherType(u16::from_be_bytes([p0, p1])),
            hlen,
            plen,
            op: Operation(u16::from_be_bytes([o0, o1])),
            sha: r.take(hw, "ARP sender hardware address")?,
            spa: r.take(pr, "ARP sender protocol address")?,
            tha: r.take(hw, "ARP target hardware address")?,
            tpa: r.take(pr, "ARP target protocol address")?,
        };
        Ok((header, r.rest()))
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        8 + self.sha.len() + self.spa.len() + self.tha.len() + self.tpa.len()
    }

    /// Writes the packet.
    ///
    /// # Errors
    /// [`ParseError::Invalid`] where an address is not of its stated length, or
    /// [`ParseError::NoRoom`].
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        let (hw, pr) = (usize::from(self.hlen), usize::from(self.plen));
        if [self.sha.len(), self.tha.len()] != [hw; 2]
            || [self.spa.len(), self.tpa.len()] != [pr; 2]
        {
            return Err(ParseError::Invalid("ARP address length"));
        }
        w.u16(self.htype)?;
        w.u16(self.ptype.0)?;
        w.put(&[self.hlen, self.plen])?;
        w.u16(self.op.0)?;
        w.put(self.sha)?;
        w.put(self.spa)?;
        w.put(self.tha)?;
        w.put(self.tpa)
    }
}

/// An ARP packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Operation.
    pub operation: Operation,
    /// Sender hardware address.
    pub sender_mac: MacAddr,
    /// Sender protocol address; zero in a probe (RFC 5227 §1.1).
    pub sender_ip: Ipv4Addr,
    /// Target hardware address; meaningless in a request.
    pub target_mac: MacAddr,
    /// Target protocol address.
    pub target_ip: Ipv4Addr,
}

impl Packet {
    /// Parses a packet; the rest is the frame's padding.
    ///
    /// # Errors
    /// [`ParseError::Truncated`], or [`ParseError::Invalid`] for other hardware or protocols.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        let (header, rest) = Header::parse(bytes)?;
        Ok((Self::from_header(&header)?, rest))
    }

    /// The packet in the general form, where it is IPv4 over Ethernet.
    ///
    /// # Errors
    /// [`ParseError::Invalid`] for other hardware or protocols.
    #[inline]
    pub fn from_header(header: &Header<'_>) -> Result<Self, ParseError> {
        if header.htype != ETHERNET {
            return Err(ParseError::Invalid("ARP hardware space"));
        }
        if header.ptype != EtherType::IPV4 {
            return Err(ParseError::Invalid("ARP protocol space"));
        }
        let mac = |bytes: &[u8]| {
            let array = bytes.try_into();
            array.map_err(|_| ParseError::Invalid("ARP hardware address length"))
        };
        let ip = |bytes: &[u8]| {
            let array = <[u8; 4]>::try_from(bytes);
            array.map_err(|_| ParseError::Invalid("ARP protocol address length"))
        };
        Ok(Self {
            operation: header.op,
            sender_mac: MacAddr(mac(header.sha)?),
            sender_ip: ip(header.spa)?.into(),
            target_mac: MacAddr(mac(header.tha)?),
            target_ip: ip(header.tpa)?.into(),
        })
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        LEN
    }

    /// Writes the packet.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`].
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        w.u16(ETHERNET)?;
        w.u16(EtherType::IPV4.0)?;
        w.put(&[6, 4])?;
        w.u16(self.operation.0)?;
        w.put(&self.sender_mac.0)?;
        w.put(&self.sender_ip.octets())?;
        w.put(&self.target_mac.0)?;
        w.put(&self.target_ip.octets())
    }

    /// Whether this asks if anyone holds the target address without claiming one (RFC 5227 §1.1).
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.operation == Operation::REQUEST && self.sender_ip.is_unspecified()
    }

    /// Whether sender and target address are one: a claim, asked for by no one (RFC 5227 §1.1,
    /// and the gratuitous ARP that came before it).
    #[must_use]
    pub fn is_announcement(&self) -> bool {
        self.sender_ip == self.target_ip && !self.sender_ip.is_unspecified()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: [u8; 30] = [
        0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 7, 0, 1, 0, 0, 0, 0, 0, 0, 10, 7, 0, 2, 0, 0,
    ];

    #[test]
    fn round_trip_and_truncation() {
        let (packet, rest) = Packet::parse(&REQUEST).unwrap();
        assert_eq!(packet.operation, Operation::REQUEST);
        assert_eq!(packet.sender_ip, Ipv4Addr::new(10, 7, 0, 1));
        assert_eq!(packet.target_ip, Ipv4Addr::new(10, 7, 0, 2));
        assert_eq!(rest, [0, 0]);
        let (header, _) = Header::parse(&REQUEST).unwrap();
        for general in [false, true] {
            let mut out = [0; LEN];
            let mut w = Writer::new(&mut out);
            if general {
                header.emit(&mut w).unwrap();
            } else {
                packet.emit(&mut w).unwrap();
            }
            assert_eq!(out, REQUEST[..LEN]);
        }
        for len in 0..LEN {
            assert!(matches!(
                Packet::parse(&REQUEST[..len]),
                Err(ParseError::Truncated(_))
            ));
        }
    }

    #[test]
    fn other_spaces_are_named() {
        for (at, what) in [
            (1, "ARP hardware space"),
            (3, "ARP protocol space"),
            (4, "ARP hardware address length"),
            (5, "ARP protocol address length"),
        ] {
            let mut bytes = REQUEST;
            bytes[at] = if at == 3 { 1 } else { bytes[at] - 1 };
            assert_eq!(Packet::parse(&bytes), Err(ParseError::Invalid(what)));
            assert!(Header::parse(&bytes).is_ok());
        }
    }

    #[test]
    fn probes_and_announcements() {
        let (packet, _) = Packet::parse(&REQUEST).unwrap();
        let from = |sender_ip| Packet {
            sender_ip,
            ..packet
        };
        assert!(from(Ipv4Addr::UNSPECIFIED).is_probe() && !packet.is_probe());
        assert!(from(packet.target_ip).is_announcement() && !packet.is_announcement());
    }
}
