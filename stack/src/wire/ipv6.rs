//! IPv6 headers: the fixed one and every extension header (RFC 8200).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!  +-------+-----------+---+---------------------------------------+
//!  |   6   |   DSCP    |ECN|              flow label               |
//!  +-------+-----------+---+-------+---------------+---------------+
//!  |        payload length         |  next header  |   hop limit   |
//!  +-------------------------------+---------------+---------------+
//!  |                   source address (128 bits)                   |
//!  +---------------------------------------------------------------+
//!  |                 destination address (128 bits)                |
//!  +---------------------------------------------------------------+
//!
//!  next header ─> hop-by-hop ─> destination ─> routing ─> fragment ─> AH ─> upper layer
//!                 each names the next and says how long it is; [`chain`] walks them
//! ```
//!
//! Read first: RFC 8200 §3–4, RFC 6564 §4 (the form of later extension headers), RFC 4302 §2 (AH),
//! RFC 4303 §2 (ESP), RFC 8754 §2 (segment routing).
//!
//! Promises: each header re-emits the bytes it was read from; the walk ends after
//! [`MAX_EXTENSION_HEADERS`] and never reads an upper-layer header in a fragment that has none.
//!
//! Left out: what follows an ESP header, which is encrypted, and the inside of mobility, HIP and
//! Shim6 messages, which no machine here reads.

use super::{ParseError, Protocol, Reader, Writer};
use core::fmt;
use core::net::Ipv6Addr;

/// Length of the fixed header.
pub const HEADER_LEN: usize = 40;
/// Every link carries packets of this size (RFC 8200 §5).
pub const MIN_MTU: usize = 1280;
/// The most extension headers that [`chain`] follows: RFC 8504 §5.3 lets a host set a bound. RFC 8200
/// §4.1 has use for eight, so twice that leaves room, while a packet made of 8-byte headers costs
/// little.
pub const MAX_EXTENSION_HEADERS: usize = 16;

/// The fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Differentiated services code point, 6 bits (RFC 2474 §3).
    pub dscp: u8,
    /// Explicit congestion notification, 2 bits (RFC 3168 §5).
    pub ecn: u8,
    /// Flow label, 20 bits (RFC 6437).
    pub flow_label: u32,
    /// Bytes after this header; zero with a [`DestinationOption::JumboPayload`] option.
    pub payload_len: u16,
    /// What follows.
    pub next_header: Protocol,
    /// Hops left.
    pub hop_limit: u8,
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
}

impl Header {
    /// Parses the header; the rest may be shorter or longer than `payload_len`.
    ///
    /// # Errors
    /// [`ParseError::Truncated`], and [`ParseError::Invalid`] where the version is not 6.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        let mut r = Reader::new(bytes);
        let [a, b, c, d] = r.array("IPv6 version and flow label")?;
        if a >> 4 != 6 {
            return Err(ParseError::Invalid("IPv6 version"));
        }
        let traffic_class = a << 4 | b >> 4;
        let header = Self {
            dscp: traffic_class >> 2,
            ecn: traffic_class & 3,
            flow_label: u32::from_be_bytes([0, b & 0xf, c, d]),
            payload_len: r.u16("IPv6 payload length")?,
            next_header: Protocol(r.u8("IPv6 next header")?),
            hop_limit: r.u8("IPv6 hop limit")?,
            src: Ipv6Addr::from(r.array::<16>("IPv6 source")?),
            dst: Ipv6Addr::from(r.array::<16>("IPv6 destination")?),
        };
        Ok((header, r.rest()))
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], and [`ParseError::Invalid`] where a field exceeds its bits.
    #[inline]
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        if self.dscp >= 1 << 6 || self.ecn >= 1 << 2 {
            return Err(ParseError::Invalid("IPv6 traffic class"));
        }
        if self.flow_label >= 1 << 20 {
            return Err(ParseError::Invalid("IPv6 flow label"));
        }
        let traffic_class = u32::from(self.dscp) << 2 | u32::from(self.ecn);
        w.u32(6 << 28 | traffic_class << 20 | self.flow_label)?;
        w.u16(self.payload_len)?;
        w.u8(self.next_header.0)?;
        w.u8(self.hop_limit)?;
        w.put(&self.src.octets())?;
        w.put(&self.dst.octets())
    }
}

/// A list of addresses as it stands on the wire.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Addresses<'a>(&'a [u8]);

impl<'a> Addresses<'a> {
    /// The addresses in `bytes`; `None` where that is no multiple of 16 long.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes.len().is_multiple_of(16).then_some(Self(bytes))
    }

    /// The bytes on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len() / 16
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The addresses in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Ipv6Addr> + ExactSizeIterator + use<'a> {
        let (chunks, _) = self.0.as_chunks::<16>();
        chunks.iter().map(|octets| Ipv6Addr::from(*octets))
    }
}

impl fmt::Debug for Addresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// An extension header in the common form: next header, length in 8-byte units without the first,
/// and data (RFC 6564 §4). Mobility (RFC 6275 §6.1), HIP (RFC 7401 §5.1) and Shim6 (RFC 5533 §5.1)
/// have it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GenericHeader<'a> {
    /// What follows.
    pub next_header: Protocol,
    /// Everything after the length byte: 6 bytes more than a multiple of 8, at most 2046.
    pub data: &'a [u8],
}

impl<'a> GenericHeader<'a> {
    /// Parses the header.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let mut r = Reader::new(bytes);
        let next_header = Protocol(r.u8("IPv6 extension's next header")?);
        let len = r.u8("IPv6 extension length")?;
        let data = r.take(usize::from(len) * 8 + 6, "IPv6 extension header")?;
        Ok((Self { next_header, data }, r.rest()))
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        2 + self.data.len()
    }

    /// Writes the header.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], and [`ParseError::Invalid`] where the length cannot be told.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        w.u8(self.next_header.0)?;
        w.u8(units_after_first(self.emit_len())?)?;
        w.put(self.data)
    }
}

/// The length field of a header of `len` bytes: 8-byte units, the first not counted.
fn units_after_first(len: usize) -> Result<u8, ParseError> {
    const BAD: ParseError = ParseError::Invalid("IPv6 extension length");
    if !len.is_multiple_of(8) {
        return Err(BAD);
    }
    let units = (len / 8).checked_sub(1).ok_or(BAD)?;
    u8::try_from(units).map_err(|_| BAD)
}

/// A hop-by-hop options or destination options header (RFC 8200 §4.3, §4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OptionsHeader<'a> {
    /// What follows.
    pub next_header: Protocol,
    /// All option bytes with their padding: 6 more than a multiple of 8, at most 2046.
    pub options: &'a [u8],
}

impl<'a> OptionsHeader<'a> {
    /// Parses the header.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let (header, rest) = GenericHeader::parse(bytes)?;
        let header = Self {
            next_header: header.next_header,
            options: header.data,
        };
        Ok((header, rest))
    }

    const fn generic(&self) -> GenericHeader<'a> {
        GenericHeader {
            next_header: self.next_header,
            data: self.options,
        }
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        self.generic().emit_len()
    }

    /// Writes the header.
    ///
    /// # Errors
    /// As [`GenericHeader::emit`].
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        self.generic().emit(w)
    }

    /// The options in order, each with its offset from the start of this header (what a parameter
    /// problem's pointer wants).
    #[must_use]
    pub const fn options(&self) -> DestinationOptions<'a> {
        DestinationOptions {
            reader: Reader::new(self.options),
            len: self.options.len(),
        }
    }
}

/// An option's type byte: what to do with an option one does not know is written in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OptionType(pub u8);

/// What a node does with an option whose type it does not know (RFC 8200 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnrecognizedAction {
    /// 00: step over it.
    Skip,
    /// 01: discard the packet.
    Discard,
    /// 10: discard it and send a parameter problem.
    DiscardAndReport,
    /// 11: discard it, and send a parameter problem unless the destination is a multicast group.
    DiscardAndReportUnicast,
}

impl OptionType {
    /// One byte of padding (RFC 8200 §4.2).
    pub const PAD1: Self = Self(0x00);
    /// Two or more bytes of padding (RFC 8200 §4.2).
    pub const PAD_N: Self = Self(0x01);
    /// Tunnel encapsulation limit (RFC 2473 §4.1.1).
    pub const TUNNEL_ENCAPSULATION_LIMIT: Self = Self(0x04);
    /// Router alert (RFC 2711 §2).
    pub const ROUTER_ALERT: Self = Self(0x05);
    /// CALIPSO security label (RFC 5570 §5.1).
    pub const CALIPSO: Self = Self(0x07);
    /// Quick-Start (RFC 4782 §3.2).
    pub const QUICK_START: Self = Self(0x26);
    /// Jumbo payload (RFC 2675 §2).
    pub const JUMBO_PAYLOAD: Self = Self(0xc2);
    /// Home address (RFC 6275 §6.3).
    pub const HOME_ADDRESS: Self = Self(0xc9);

    /// The top two bits: what to do where the type is not known.
    #[must_use]
    pub const fn action(self) -> UnrecognizedAction {
        match self.0 >> 6 {
            0 => UnrecognizedAction::Skip,
            1 => UnrecognizedAction::Discard,
            2 => UnrecognizedAction::DiscardAndReport,
            _ => UnrecognizedAction::DiscardAndReportUnicast,
        }
    }

    /// The third bit: whether the data may change on the way.
    #[must_use]
    pub const fn may_change(self) -> bool {
        self.0 & 0x20 != 0
    }
}

/// One option of a hop-by-hop or destination options header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DestinationOption<'a> {
    /// One byte of padding.
    Pad1,
    /// Padding: two bytes and these, which should be zero.
    PadN(&'a [u8]),
    /// Routers on the way are to look at the packet; the value says why (0: MLD).
    RouterAlert(u16),
    /// The packet's length where it exceeds 65,535.
    JumboPayload(u32),
    /// How many more tunnels the packet may enter.
    TunnelEncapsulationLimit(u8),
    /// A mobile node's home address.
    HomeAddress(Ipv6Addr),
    /// A Quick-Start request or response, kept raw.
    QuickStart(&'a [u8]),
    /// A security label, kept raw.
    Calipso(&'a [u8]),
    /// Any other, or a known type with a length that its RFC forbids.
    Unknown {
        /// The type byte.
        kind: OptionType,
        /// What follows the length byte: at most 255 bytes.
        data: &'a [u8],
    },
}

impl<'a> DestinationOption<'a> {
    /// The type byte.
    #[must_use]
    pub const fn kind(&self) -> OptionType {
        match *self {
            Self::Pad1 => OptionType::PAD1,
            Self::PadN(_) => OptionType::PAD_N,
            Self::RouterAlert(_) => OptionType::ROUTER_ALERT,
            Self::JumboPayload(_) => OptionType::JUMBO_PAYLOAD,
            Self::TunnelEncapsulationLimit(_) => OptionType::TUNNEL_ENCAPSULATION_LIMIT,
            Self::HomeAddress(_) => OptionType::HOME_ADDRESS,
            Self::QuickStart(_) => OptionType::QUICK_START,
            Self::Calipso(_) => OptionType::CALIPSO,
            Self::Unknown { kind, .. } => kind,
        }
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        match *self {
            Self::Pad1 => 1,
            Self::TunnelEncapsulationLimit(_) => 3,
            Self::RouterAlert(_) => 4,
            Self::JumboPayload(_) => 6,
            Self::HomeAddress(_) => 18,
            Self::PadN(data)
            | Self::QuickStart(data)
            | Self::Calipso(data)
            | Self::Unknown { data, .. } => 2 + data.len(),
        }
    }

    /// Writes the option.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], and [`ParseError::Invalid`] where the data exceeds 255 bytes.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        w.u8(self.kind().0)?;
        if matches!(self, Self::Pad1) {
            return Ok(());
        }
        let len = u8::try_from(self.emit_len() - 2)
            .map_err(|_| ParseError::Invalid("IPv6 option length"))?;
        w.u8(len)?;
        match *self {
            Self::Pad1 => Ok(()),
            Self::RouterAlert(value) => w.u16(value),
            Self::JumboPayload(len) => w.u32(len),
            Self::TunnelEncapsulationLimit(limit) => w.u8(limit),
            Self::HomeAddress(addr) => w.put(&addr.octets()),
            Self::PadN(data)
            | Self::QuickStart(data)
            | Self::Calipso(data)
            | Self::Unknown { data, .. } => w.put(data),
        }
    }

    fn from_data(kind: OptionType, data: &'a [u8]) -> Self {
        match (kind, data) {
            (OptionType::PAD_N, _) => Self::PadN(data),
            (OptionType::ROUTER_ALERT, &[a, b]) => Self::RouterAlert(u16::from_be_bytes([a, b])),
            (OptionType::JUMBO_PAYLOAD, &[a, b, c, d]) => {
                Self::JumboPayload(u32::from_be_bytes([a, b, c, d]))
            }
            (OptionType::TUNNEL_ENCAPSULATION_LIMIT, &[limit]) => {
                Self::TunnelEncapsulationLimit(limit)
            }
            (OptionType::HOME_ADDRESS, _) => match <[u8; 16]>::try_from(data) {
                Ok(octets) => Self::HomeAddress(Ipv6Addr::from(octets)),
                Err(_) => Self::Unknown { kind, data },
            },
            (OptionType::QUICK_START, _) => Self::QuickStart(data),
            (OptionType::CALIPSO, _) => Self::Calipso(data),
            _ => Self::Unknown { kind, data },
        }
    }
}

/// Walks the options of an [`OptionsHeader`]; an error ends the walk.
#[derive(Clone, Debug)]
pub struct DestinationOptions<'a> {
    reader: Reader<'a>,
    len: usize,
}

impl<'a> DestinationOptions<'a> {
    fn read(&mut self) -> Result<DestinationOption<'a>, ParseError> {
        let kind = OptionType(self.reader.u8("IPv6 option type")?);
        if kind == OptionType::PAD1 {
            return Ok(DestinationOption::Pad1);
        }
        let len = self.reader.u8("IPv6 option length")?;
        let data = self.reader.take(usize::from(len), "IPv6 option")?;
        Ok(DestinationOption::from_data(kind, data))
    }
}

impl<'a> Iterator for DestinationOptions<'a> {
    type Item = (usize, Result<DestinationOption<'a>, ParseError>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let offset = 2 + self.len - self.reader.rest().len();
        let option = self.read();
        if option.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some((offset, option))
    }
}

/// A routing header (RFC 8200 §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RoutingHeader<'a> {
    /// What follows.
    pub next_header: Protocol,
    /// Which routing type: see the constants of this type.
    pub routing_type: u8,
    /// Listed nodes still to be visited.
    pub segments_left: u8,
    /// What the type makes of it: 4 bytes more than a multiple of 8.
    pub data: &'a [u8],
}

/// A routing header's data, by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Routing<'a> {
    /// Type 0, the source route that RFC 5095 forbids.
    Source {
        /// Zero when sent.
        reserved: u32,
        /// The nodes in the order of their visit.
        addresses: Addresses<'a>,
    },
    /// Type 2: a mobile node's home address (RFC 6275 §6.4).
    HomeAddress {
        /// Zero when sent.
        reserved: u32,
        /// The home address.
        addr: Ipv6Addr,
    },
    /// Type 4: segment routing (RFC 8754 §2).
    Segments {
        /// Index of the last element of the list.
        last_entry: u8,
        /// None is defined yet.
        flags: u8,
        /// Groups packets.
        tag: u16,
        /// The segments; the first is the last to be visited.
        segments: Addresses<'a>,
        /// Type, length and value triples after the segments, kept raw.
        tlvs: &'a [u8],
    },
    /// Type 3 (RFC 6554: compressed addresses) or any other, or data of a length that the type
    /// forbids: kept raw.
    Raw(&'a [u8]),
}

impl<'a> RoutingHeader<'a> {
    /// The source route, deprecated (RFC 5095).
    pub const SOURCE: u8 = 0;
    /// Mobile IPv6 (RFC 6275 §6.4).
    pub const HOME_ADDRESS: u8 = 2;
    /// The source route of RPL networks (RFC 6554).
    pub const RPL: u8 = 3;
    /// Segment routing (RFC 8754).
    pub const SEGMENT: u8 = 4;

    /// Parses the header.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let (generic, rest) = GenericHeader::parse(bytes)?;
        let mut r = Reader::new(generic.data);
        let header = Self {
            next_header: generic.next_header,
            routing_type: r.u8("IPv6 routing type")?,
            segments_left: r.u8("IPv6 segments left")?,
            data: r.rest(),
        };
        Ok((header, rest))
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        4 + self.data.len()
    }

    /// Writes the header.
    ///
    /// # Errors
    /// As [`GenericHeader::emit`].
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        w.u8(self.next_header.0)?;
        w.u8(units_after_first(self.emit_len())?)?;
        w.u8(self.routing_type)?;
        w.u8(self.segments_left)?;
        w.put(self.data)
    }

    /// The data as its type reads it.
    #[must_use]
    pub fn routing(&self) -> Routing<'a> {
        self.known().unwrap_or(Routing::Raw(self.data))
    }

    fn known(&self) -> Option<Routing<'a>> {
        let mut r = Reader::new(self.data);
        match self.routing_type {
            Self::SOURCE => Some(Routing::Source {
                reserved: r.u32("reserved").ok()?,
                addresses: Addresses::new(r.rest())?,
            }),
            Self::HOME_ADDRESS => Some(Routing::HomeAddress {
                reserved: r.u32("reserved").ok()?,
                addr: Ipv6Addr::from(<[u8; 16]>::try_from(r.rest()).ok()?),
            }),
            Self::SEGMENT => {
                let last_entry = r.u8("last entry").ok()?;
                let flags = r.u8("flags").ok()?;
                let tag = r.u16("tag").ok()?;
                let len = (usize::from(last_entry) + 1) * 16;
                let segments = Addresses::new(r.take(len, "segments").ok()?)?;
                Some(Routing::Segments {
                    last_entry,
                    flags,
                    tag,
                    segments,
                    tlvs: r.rest(),
                })
            }
            _ => None,
        }
    }

    /// Where the packet is bound to in the end, where this header says otherwise than the
    /// destination address.
    //= RFC 8200 §8.1 with a routing header, the pseudo-header has the final destination.
    #[must_use]
    pub fn final_destination(&self) -> Option<Ipv6Addr> {
        if self.segments_left == 0 {
            return None;
        }
        match self.routing() {
            Routing::Source { addresses, .. } => addresses.iter().next_back(),
            Routing::HomeAddress { addr, .. } => Some(addr),
            Routing::Segments { segments, .. } => segments.iter().next(),
            Routing::Raw(_) => None,
        }
    }
}

/// A fragment header (RFC 8200 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// What the first fragment's data starts with.
    pub next_header: Protocol,
    /// Zero when sent.
    pub reserved: u8,
    /// Where the data belongs in the original: bytes, a multiple of 8.
    pub offset: u16,
    /// Two bits, zero when sent.
    pub reserved2: u8,
    /// More fragments follow.
    pub more: bool,
    /// The same in all fragments of a packet.
    pub ident: u32,
}

impl Fragment {
    /// Length of the header.
    pub const LEN: usize = 8;

    /// Parses the header; the rest is the fragment's data.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        let mut r = Reader::new(bytes);
        let next_header = Protocol(r.u8("fragment's next header")?);
        let reserved = r.u8("fragment's reserved byte")?;
        let [a, b] = r.array("fragment offset")?;
        let header = Self {
            next_header,
            reserved,
            offset: u16::from_be_bytes([a, b & 0xf8]),
            reserved2: b >> 1 & 3,
            more: b & 1 != 0,
            ident: r.u32("fragment identification")?,
        };
        Ok((header, r.rest()))
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        Self::LEN
    }

    /// Writes the header.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], and [`ParseError::Invalid`] where the offset is no multiple of 8 or
    /// the reserved bits are more than two.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        if !self.offset.is_multiple_of(8) || self.reserved2 > 3 {
            return Err(ParseError::Invalid("fragment offset"));
        }
        w.u8(self.next_header.0)?;
        w.u8(self.reserved)?;
        w.u16(self.offset | u16::from(self.reserved2) << 1 | u16::from(self.more))?;
        w.u32(self.ident)
    }

    /// Whether the packet is whole after all (RFC 6946): handled apart from any reassembly.
    #[must_use]
    pub const fn is_atomic(&self) -> bool {
        self.offset == 0 && !self.more
    }
}

/// An authentication header (RFC 4302 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AuthenticationHeader<'a> {
    /// What follows.
    pub next_header: Protocol,
    /// Zero when sent.
    pub reserved: u16,
    /// Security parameters index.
    pub spi: u32,
    /// Sequence number.
    pub seq: u32,
    /// Integrity check value with its padding: a multiple of 4.
    pub icv: &'a [u8],
}

impl<'a> AuthenticationHeader<'a> {
    /// Parses the header.
    ///
    /// # Errors
    /// [`ParseError::Truncated`], and [`ParseError::Invalid`] where the length does not hold the
    /// fixed part.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let mut r = Reader::new(bytes);
        let next_header = Protocol(r.u8("AH next header")?);
        // Counted in 4-byte words, less 2, though IPv6 counts others in 8-byte units.
        let icv_len = usize::from(r.u8("AH length")?)
            .checked_sub(1)
            .ok_or(ParseError::Invalid("AH length"))?
            * 4;
        let header = Self {
            next_header,
            reserved: r.u16("AH reserved field")?,
            spi: r.u32("AH security parameters index")?,
            seq: r.u32("AH sequence number")?,
            icv: r.take(icv_len, "AH integrity check value")?,
        };
        Ok((header, r.rest()))
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        12 + self.icv.len()
    }

    /// Writes the header.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], and [`ParseError::Invalid`] where the length cannot be told.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        const BAD: ParseError = ParseError::Invalid("AH length");
        if !self.icv.len().is_multiple_of(4) {
            return Err(BAD);
        }
        w.u8(self.next_header.0)?;
        w.u8(u8::try_from(self.icv.len() / 4 + 1).map_err(|_| BAD)?)?;
        w.u16(self.reserved)?;
        w.u32(self.spi)?;
        w.u32(self.seq)?;
        w.put(self.icv)
    }
}

/// The readable start of an encapsulating security payload (RFC 4303 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SecurityPayload {
    /// Security parameters index.
    pub spi: u32,
    /// Sequence number.
    pub seq: u32,
}

impl SecurityPayload {
    /// Parses the header; the rest is encrypted.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        let mut r = Reader::new(bytes);
        let header = Self {
            spi: r.u32("ESP security parameters index")?,
            seq: r.u32("ESP sequence number")?,
        };
        Ok((header, r.rest()))
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        8
    }

    /// Writes the header.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`].
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        w.u32(self.spi)?;
        w.u32(self.seq)
    }
}

/// One extension header that tells what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extension<'a> {
    /// Options for every hop.
    HopByHop(OptionsHeader<'a>),
    /// Options for the destination.
    DestinationOptions(OptionsHeader<'a>),
    /// A routing header.
    Routing(RoutingHeader<'a>),
    /// A fragment header.
    Fragment(Fragment),
    /// An authentication header.
    Authentication(AuthenticationHeader<'a>),
    /// A mobility header.
    Mobility(GenericHeader<'a>),
    /// A host identity protocol header.
    Hip(GenericHeader<'a>),
    /// A Shim6 header.
    Shim6(GenericHeader<'a>),
}

impl<'a> Extension<'a> {
    /// Parses the extension header that `protocol` names; `None` where that is an upper layer, ESP
    /// or "no next header".
    ///
    /// # Errors
    /// Those of the header.
    pub fn parse(
        protocol: Protocol,
        bytes: &'a [u8],
    ) -> Result<Option<(Self, &'a [u8])>, ParseError> {
        let parsed = match protocol {
            Protocol::HOP_BY_HOP => map(OptionsHeader::parse(bytes)?, Self::HopByHop),
            Protocol::DESTINATION_OPTIONS => {
                map(OptionsHeader::parse(bytes)?, Self::DestinationOptions)
            }
            Protocol::ROUTING => map(RoutingHeader::parse(bytes)?, Self::Routing),
            Protocol::FRAGMENT => map(Fragment::parse(bytes)?, Self::Fragment),
            Protocol::AH => map(AuthenticationHeader::parse(bytes)?, Self::Authentication),
            Protocol::MOBILITY => map(GenericHeader::parse(bytes)?, Self::Mobility),
            Protocol::HIP => map(GenericHeader::parse(bytes)?, Self::Hip),
            Protocol::SHIM6 => map(GenericHeader::parse(bytes)?, Self::Shim6),
            _ => return Ok(None),
        };
        Ok(Some(parsed))
    }

    /// The protocol number that announces this header.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        match self {
            Self::HopByHop(_) => Protocol::HOP_BY_HOP,
            Self::DestinationOptions(_) => Protocol::DESTINATION_OPTIONS,
            Self::Routing(_) => Protocol::ROUTING,
            Self::Fragment(_) => Protocol::FRAGMENT,
            Self::Authentication(_) => Protocol::AH,
            Self::Mobility(_) => Protocol::MOBILITY,
            Self::Hip(_) => Protocol::HIP,
            Self::Shim6(_) => Protocol::SHIM6,
        }
    }

    /// What follows this header.
    #[must_use]
    pub const fn next_header(&self) -> Protocol {
        match self {
            Self::HopByHop(h) | Self::DestinationOptions(h) => h.next_header,
            Self::Routing(h) => h.next_header,
            Self::Fragment(h) => h.next_header,
            Self::Authentication(h) => h.next_header,
            Self::Mobility(h) | Self::Hip(h) | Self::Shim6(h) => h.next_header,
        }
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        match self {
            Self::HopByHop(h) | Self::DestinationOptions(h) => h.emit_len(),
            Self::Routing(h) => h.emit_len(),
            Self::Fragment(h) => h.emit_len(),
            Self::Authentication(h) => h.emit_len(),
            Self::Mobility(h) | Self::Hip(h) | Self::Shim6(h) => h.emit_len(),
        }
    }

    /// Writes the header.
    ///
    /// # Errors
    /// Those of the header.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        match self {
            Self::HopByHop(h) | Self::DestinationOptions(h) => h.emit(w),
            Self::Routing(h) => h.emit(w),
            Self::Fragment(h) => h.emit(w),
            Self::Authentication(h) => h.emit(w),
            Self::Mobility(h) | Self::Hip(h) | Self::Shim6(h) => h.emit(w),
        }
    }
}

fn map<H, T>((header, rest): (H, &[u8]), f: impl Fn(H) -> T) -> (T, &[u8]) {
    (f(header), rest)
}

/// One step of a walk along the headers; offsets count from the first byte after the fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link<'a> {
    /// An extension header. Hop-by-hop options are right only at offset 0 (RFC 8200 §4.1); the walk
    /// yields them anywhere, for a dissector's sake.
    Extension {
        /// Where it starts.
        offset: usize,
        /// The header.
        extension: Extension<'a>,
    },
    /// The end: what the headers carry.
    Upper(Upper<'a>),
}

/// What a chain of headers carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Upper<'a> {
    /// The upper-layer protocol; also ESP, and "no next header", whose bytes are to be ignored.
    pub protocol: Protocol,
    /// Where the bytes start.
    pub offset: usize,
    /// Where the next header field stands that named `protocol`; `None` for the fixed header's.
    pub announced_at: Option<usize>,
    /// The rest of the packet.
    pub bytes: &'a [u8],
    /// The fragment header passed on the way, if any. Unless it is atomic the bytes are a part;
    /// unless its offset is 0 they start somewhere inside, and `protocol` is what the original's
    /// fragmented part starts with.
    pub fragment: Option<Fragment>,
    /// The final destination where a routing header passed on the way names another than the fixed
    /// header does: for the checksum's pseudo-header.
    pub final_destination: Option<Ipv6Addr>,
}

/// Walks the headers that follow the fixed one: each extension header, then what they carry, or the
/// error that ends the walk.
///
/// ```
/// use stack::wire::{Protocol, ipv6};
/// let hop_by_hop_alert = [58, 0, 5, 2, 0, 0, 1, 0];
/// let upper = ipv6::upper(Protocol::HOP_BY_HOP, &hop_by_hop_alert)?;
/// assert_eq!((upper.protocol, upper.offset), (Protocol::ICMPV6, 8));
/// assert_eq!(ipv6::chain(Protocol::HOP_BY_HOP, &hop_by_hop_alert).count(), 2);
/// # Ok::<(), stack::wire::ParseError>(())
/// ```
#[must_use]
pub const fn chain(next_header: Protocol, bytes: &[u8]) -> Chain<'_> {
    Chain {
        upper: Upper {
            protocol: next_header,
            offset: 0,
            announced_at: None,
            bytes,
            fragment: None,
            final_destination: None,
        },
        headers: 0,
        done: false,
    }
}

/// What the headers that follow the fixed one carry.
///
/// # Errors
/// The error that ends the walk.
pub fn upper(next_header: Protocol, bytes: &[u8]) -> Result<Upper<'_>, ParseError> {
    for link in chain(next_header, bytes) {
        if let Link::Upper(upper) = link? {
            return Ok(upper);
        }
    }
    // A walk ends with an upper layer or an error.
    Err(ParseError::Invalid("IPv6 extension headers"))
}

/// The walk that [`chain`] starts.
#[derive(Clone, Debug)]
pub struct Chain<'a> {
    /// The end, were the walk to end here.
    upper: Upper<'a>,
    headers: usize,
    done: bool,
}

impl<'a> Chain<'a> {
    /// Where the walk stands: after an error, the header that could not be read.
    #[must_use]
    pub const fn here(&self) -> Upper<'a> {
        self.upper
    }

    fn step(&mut self) -> Result<Link<'a>, ParseError> {
        let at = &mut self.upper;
        // The data of a later fragment starts inside of what the header names.
        let inside = at.fragment.is_some_and(|f| f.offset != 0);
        let parsed = if inside {
            None
        } else {
            Extension::parse(at.protocol, at.bytes)?
        };
        let Some((extension, rest)) = parsed else {
            self.done = true;
            return Ok(Link::Upper(*at));
        };
        if self.headers == MAX_EXTENSION_HEADERS {
            return Err(ParseError::Invalid("IPv6 extension header count"));
        }
        self.headers += 1;
        let offset = at.offset;
        match extension {
            Extension::Fragment(fragment) => at.fragment = Some(fragment),
            Extension::Routing(routing) => {
                at.final_destination = routing.final_destination().or(at.final_destination);
            }
            _ => {}
        }
        at.protocol = extension.next_header();
        at.announced_at = Some(offset);
        at.offset += at.bytes.len() - rest.len();
        at.bytes = rest;
        Ok(Link::Extension { offset, extension })
    }
}

impl<'a> Iterator for Chain<'a> {
    type Item = Result<Link<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let link = self.step();
        self.done |= link.is_err();
        Some(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    const SRC: Ipv6Addr = Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 1);
    const DST: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

    fn emitted(extension: &Extension<'_>) -> Vec<u8> {
        let mut bytes = vec![0; extension.emit_len()];
        extension.emit(&mut Writer::new(&mut bytes)).unwrap();
        bytes
    }

    #[test]
    fn fixed_header() {
        let header = Header {
            dscp: 0x2e,
            ecn: 1,
            flow_label: 0xf_1234,
            payload_len: 0x0102,
            next_header: Protocol::UDP,
            hop_limit: 64,
            src: SRC,
            dst: DST,
        };
        let mut bytes = [0; HEADER_LEN];
        header.emit(&mut Writer::new(&mut bytes)).unwrap();
        assert_eq!(bytes[..8], [0x6b, 0x9f, 0x12, 0x34, 1, 2, 17, 64]);
        assert_eq!(Header::parse(&bytes), Ok((header, &[][..])));
        for len in 0..HEADER_LEN {
            assert!(matches!(
                Header::parse(&bytes[..len]),
                Err(ParseError::Truncated(_))
            ));
        }
        bytes[0] = 0x4b;
        let error = Err(ParseError::Invalid("IPv6 version"));
        assert_eq!(Header::parse(&bytes), error);
        for wide in [
            Header { dscp: 64, ..header },
            Header { ecn: 4, ..header },
            Header {
                flow_label: 1 << 20,
                ..header
            },
        ] {
            assert!(wide.emit(&mut Writer::new(&mut bytes)).is_err());
        }
    }

    #[test]
    fn options_and_their_offsets() {
        let options = [
            0, 1, 2, 0, 0, 5, 2, 0, 7, 0x04, 1, 3, 0xc2, 4, 0, 1, 2, 3, 0x8a, 1, 9, 0x9,
        ];
        let header = OptionsHeader {
            next_header: Protocol::UDP,
            options: &options,
        };
        assert_eq!(emitted(&Extension::HopByHop(header))[..2], [17, 2]);
        let got: Vec<_> = header.options().collect();
        let unknown = DestinationOption::Unknown {
            kind: OptionType(0x8a),
            data: &[9],
        };
        let want = [
            (2, Ok(DestinationOption::Pad1)),
            (3, Ok(DestinationOption::PadN(&[0, 0]))),
            (7, Ok(DestinationOption::RouterAlert(7))),
            (11, Ok(DestinationOption::TunnelEncapsulationLimit(3))),
            (14, Ok(DestinationOption::JumboPayload(0x0001_0203))),
            (20, Ok(unknown)),
            (23, Err(ParseError::Truncated("IPv6 option length"))),
        ];
        assert_eq!(got, want);
        let kind = unknown.kind();
        assert_eq!(kind.action(), UnrecognizedAction::DiscardAndReport);
        assert!(!kind.may_change() && OptionType::QUICK_START.may_change());
    }

    #[test]
    fn routing_types() {
        let mut data = vec![0; 4];
        data.extend(SRC.octets());
        data.extend(DST.octets());
        let mut header = RoutingHeader {
            next_header: Protocol::UDP,
            routing_type: RoutingHeader::SOURCE,
            segments_left: 1,
            data: &data,
        };
        assert_eq!(header.final_destination(), Some(DST));
        header.routing_type = RoutingHeader::SEGMENT;
        let Routing::Segments { segments, tlvs, .. } = header.routing() else {
            panic!("{:?}", header.routing());
        };
        assert_eq!((segments.len(), tlvs.len()), (1, 16));
        assert_eq!(header.final_destination(), Some(SRC));
        header.segments_left = 0;
        assert_eq!(header.final_destination(), None);
        header.routing_type = RoutingHeader::HOME_ADDRESS;
        assert_eq!(header.routing(), Routing::Raw(&data));
    }

    /// One of each, in RFC 8200's order.
    fn train() -> (Vec<Extension<'static>>, Vec<u8>) {
        let generic = |next_header| GenericHeader {
            next_header,
            data: &[1, 2, 3, 4, 5, 6],
        };
        let options = |next_header| OptionsHeader {
            next_header,
            options: &[5, 2, 0, 0, 1, 0],
        };
        let routing = RoutingHeader {
            next_header: Protocol::FRAGMENT,
            routing_type: 253,
            segments_left: 0,
            data: &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        };
        let fragment = Fragment {
            next_header: Protocol::AH,
            reserved: 1,
            offset: 0,
            reserved2: 2,
            more: true,
            ident: 77,
        };
        let ah = AuthenticationHeader {
            next_header: Protocol::MOBILITY,
            reserved: 3,
            spi: 4,
            seq: 5,
            icv: &[6; 12],
        };
        let train = vec![
            Extension::HopByHop(options(Protocol::DESTINATION_OPTIONS)),
            Extension::DestinationOptions(options(Protocol::ROUTING)),
            Extension::Routing(routing),
            Extension::Fragment(fragment),
            Extension::Authentication(ah),
            Extension::Mobility(generic(Protocol::HIP)),
            Extension::Hip(generic(Protocol::SHIM6)),
            Extension::Shim6(generic(Protocol::NO_NEXT_HEADER)),
        ];
        let bytes = train.iter().flat_map(emitted).collect();
        (train, bytes)
    }

    #[test]
    fn a_chain_of_everything() {
        let (train, mut bytes) = train();
        bytes.push(0xee);
        let links: Vec<_> = chain(Protocol::HOP_BY_HOP, &bytes)
            .map(Result::unwrap)
            .collect();
        let mut offset = 0;
        for (link, want) in links.iter().zip(&train) {
            let extension = *want;
            assert_eq!(*link, Link::Extension { offset, extension });
            offset += extension.emit_len();
        }
        let upper = upper(Protocol::HOP_BY_HOP, &bytes).unwrap();
        assert_eq!(links.last(), Some(&Link::Upper(upper)));
        assert_eq!(upper.protocol, Protocol::NO_NEXT_HEADER);
        assert_eq!((upper.offset, upper.bytes), (offset, &[0xee][..]));
        assert_eq!(upper.announced_at, Some(offset - 8));
        for len in 0..offset {
            let cut = self::upper(Protocol::HOP_BY_HOP, &bytes[..len]);
            assert!(matches!(cut, Err(ParseError::Truncated(_))), "{len}");
        }
    }

    #[test]
    fn a_later_fragment_is_not_read() {
        // Offset 8: the data would read as a hop-by-hop header.
        let bytes = [0, 0, 0, 8, 0, 0, 0, 1, 17, 0, 1, 4, 0, 0, 0, 0];
        let upper = upper(Protocol::FRAGMENT, &bytes).unwrap();
        assert_eq!((upper.protocol, upper.offset), (Protocol::HOP_BY_HOP, 8));
        assert!(
            upper
                .fragment
                .is_some_and(|f| f.offset == 8 && !f.is_atomic())
        );
    }

    #[test]
    fn a_chain_too_long_ends() {
        let mut bytes = [60, 0, 1, 4, 0, 0, 0, 0].repeat(MAX_EXTENSION_HEADERS);
        bytes[8 * (MAX_EXTENSION_HEADERS - 1)] = 17;
        assert!(upper(Protocol::DESTINATION_OPTIONS, &bytes).is_ok());
        bytes[8 * (MAX_EXTENSION_HEADERS - 1)] = 60;
        bytes.extend([17, 0, 1, 4, 0, 0, 0, 0]);
        let links: Vec<_> = chain(Protocol::DESTINATION_OPTIONS, &bytes).collect();
        assert_eq!(links.len(), MAX_EXTENSION_HEADERS + 1);
        assert!(links.last().is_some_and(Result::is_err));
    }

    #[test]
    fn lengths_that_cannot_be_told() {
        let mut room = [0; 4096];
        for data in [&[0; 5][..], &[], &[0; 2054]] {
            let next_header = Protocol::UDP;
            let generic = GenericHeader { next_header, data };
            assert!(generic.emit(&mut Writer::new(&mut room)).is_err());
        }
        let zero_len = [17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let error = Err(ParseError::Invalid("AH length"));
        assert_eq!(AuthenticationHeader::parse(&zero_len), error);
    }
}
