//! The IPv4 header and its options (RFC 791).
//!
//! ```text
//!  0                   1                   2                   3
//!  +-------+-------+-----------+---+-------------------------------+
//!  |   4   |  IHL  |   DSCP    |ECN|          total length         |
//!  +-------+-------+-----------+---+-+-+-+-------------------------+
//!  |         identification        |0|D|M|   fragment offset / 8   |
//!  +---------------+---------------+-+-+-+-------------------------+
//!  |      TTL      |    protocol   |        header checksum        |
//!  +---------------+---------------+-------------------------------+
//!  |                         source address                        |
//!  +---------------------------------------------------------------+
//!  |                      destination address                      |
//!  +---------------------------------------------------------------+
//!  |  options, to a multiple of 4 bytes, at most 40 ...
//! ```
//!
//! Read first: RFC 791 §3.1; RFC 2474 §3 and RFC 3168 §5 for the second byte; RFC 1108, 1393 and
//! 2113 for the options that came later.
//!
//! The parser checks what can be said of the header alone: version, header length, and that the
//! total length covers the header. It does not look at the checksum ([`verify`] does) nor compare
//! the total length with the buffer, since a captured packet may be cut short and still be right.
//! Options stay raw: padding behind an end of list comes out as it went in.
//!
//! [`record_route`] and [`stamp`] fill in the two options that a host or router on the way must
//! write into; they change bytes in place and leave the checksum to the caller.

use super::checksum::{self, Sum};
use super::{ParseError, Protocol, Reader, Writer};
use core::net::Ipv4Addr;

/// Length of the header without options.
pub const HEADER_LEN: usize = 20;
/// The longest that options can be.
pub const MAX_OPTIONS_LEN: usize = 40;

/// An IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header<'a> {
    /// Differentiated services code point, 6 bits.
    pub dscp: u8,
    /// Explicit congestion notification, 2 bits.
    pub ecn: u8,
    /// Length of header and payload.
    pub total_len: u16,
    /// Identification: which datagram a fragment belongs to.
    pub ident: u16,
    /// The flag that must be zero.
    pub reserved_flag: bool,
    /// Don't fragment.
    pub dont_fragment: bool,
    /// More fragments follow.
    pub more_fragments: bool,
    /// Where this fragment's payload starts, in bytes: a multiple of 8.
    pub fragment_offset: u16,
    /// Time to live.
    pub ttl: u8,
    /// What the payload is.
    pub protocol: Protocol,
    /// Header checksum as carried.
    pub checksum: u16,
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Options, raw, padding included: a multiple of 4 bytes, at most 40.
    pub options: &'a [u8],
}

impl<'a> Header<'a> {
    /// Parses the header; the rest is not cut to the total length.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] where the header is not all there, [`ParseError::Invalid`] for
    /// another version, a header length below 20 or a total length below the header's.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        if bytes.first().is_some_and(|b| b >> 4 != 4) {
            return Err(ParseError::Invalid("IPv4 version"));
        }
        let mut r = Reader::new(bytes);
        let fixed = r.array::<HEADER_LEN>("IPv4 header")?;
        let [first, tos, l0, l1, i0, i1, f0, f1, ttl, protocol, rest @ ..] = fixed;
        let [c0, c1, s0, s1, s2, s3, d0, d1, d2, d3] = rest;
        let Some(options_len) = (usize::from(first & 15) * 4).checked_sub(HEADER_LEN) else {
            return Err(ParseError::Invalid("IPv4 header length"));
        };
        let options = r.take(options_len, "IPv4 options")?;
        let total_len = u16::from_be_bytes([l0, l1]);
        if usize::from(total_len) < HEADER_LEN + options_len {
            return Err(ParseError::Invalid("IPv4 total length"));
        }
        let header = Self {
            dscp: tos >> 2,
            ecn: tos & 3,
            total_len,
            ident: u16::from_be_bytes([i0, i1]),
            reserved_flag: f0 & 0x80 != 0,
            dont_fragment: f0 & 0x40 != 0,
            more_fragments: f0 & 0x20 != 0,
            fragment_offset: u16::from_be_bytes([f0 & 0x1f, f1]) << 3,
            ttl,
            protocol: Protocol(protocol),
            checksum: u16::from_be_bytes([c0, c1]),
            src: Ipv4Addr::new(s0, s1, s2, s3),
            dst: Ipv4Addr::new(d0, d1, d2, d3),
            options,
        };
        Ok((header, r.rest()))
    }

    /// Length of the header, options included.
    #[must_use]
    #[inline]
    pub const fn header_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// Length of the payload that the total length claims.
    #[must_use]
    #[inline]
    pub fn payload_len(&self) -> usize {
        usize::from(self.total_len).saturating_sub(self.header_len())
    }

    /// Whether this is a piece of a datagram, not a whole one.
    #[must_use]
    #[inline]
    pub const fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        self.header_len()
    }

    /// Writes the header, the checksum as it stands.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], or [`ParseError::Invalid`] where a field does not fit its bits.
    #[inline]
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        if self.dscp >= 64 || self.ecn >= 4 {
            return Err(ParseError::Invalid("IPv4 DSCP or ECN"));
        }
        if !self.fragment_offset.is_multiple_of(8) {
            return Err(ParseError::Invalid("IPv4 fragment offset"));
        }
        if !self.options.len().is_multiple_of(4) || self.options.len() > MAX_OPTIONS_LEN {
            return Err(ParseError::Invalid("IPv4 options length"));
        }
        w.put(&self.fixed(self.checksum))?;
        if self.options.is_empty() {
            return Ok(());
        }
        w.put(self.options)
    }

    /// What the checksum field should hold.
    #[must_use]
    #[inline]
    pub fn compute_checksum(&self) -> u16 {
        let mut sum = Sum::new();
        sum.add(&self.fixed(0));
        sum.add(self.options);
        sum.finish()
    }

    /// The same header with the right checksum.
    #[must_use]
    #[inline]
    pub fn with_checksum(self) -> Self {
        Self {
            checksum: self.compute_checksum(),
            ..self
        }
    }

    /// The options one by one.
    #[must_use]
    pub const fn options(&self) -> Options<'a> {
        Options::new(self.options)
    }

    /// The first 20 bytes.
    #[inline]
    fn fixed(&self, checksum: u16) -> [u8; HEADER_LEN] {
        let words = u8::try_from(self.header_len() / 4).unwrap_or(15) & 15;
        let [l0, l1] = self.total_len.to_be_bytes();
        let [i0, i1] = self.ident.to_be_bytes();
        let flags = u8::from(self.reserved_flag) << 7
            | u8::from(self.dont_fragment) << 6
            | u8::from(self.more_fragments) << 5;
        let [f0, f1] = (self.fragment_offset >> 3).to_be_bytes();
        let [c0, c1] = checksum.to_be_bytes();
        let [s0, s1, s2, s3] = self.src.octets();
        let [d0, d1, d2, d3] = self.dst.octets();
        [
            0x40 | words,
            self.dscp << 2 | self.ecn & 3,
            l0,
            l1,
            i0,
            i1,
            flags | f0,
            f1,
            self.ttl,
            self.protocol.0,
            c0,
            c1,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ]
    }
}

/// Whether the checksum over `header_bytes` (exactly the header, options included) holds.
#[must_use]
#[inline]
pub fn verify(header_bytes: &[u8]) -> bool {
    checksum::of(header_bytes) == 0
}

/// The kind byte of each option that has a name here. The top bit says that fragments copy it.
pub mod kind {
    /// End of the option list.
    pub const END_OF_LIST: u8 = 0;
    /// Filler.
    pub const NO_OPERATION: u8 = 1;
    /// Record route.
    pub const RECORD_ROUTE: u8 = 7;
    /// Internet timestamp.
    pub const TIMESTAMP: u8 = 68;
    /// Traceroute (RFC 1393 §2.2).
    pub const TRACEROUTE: u8 = 82;
    /// Basic security (RFC 1108 §2).
    pub const SECURITY: u8 = 130;
    /// Loose source and record route.
    pub const LOOSE_SOURCE_ROUTE: u8 = 131;
    /// Extended security (RFC 1108 §3).
    pub const EXTENDED_SECURITY: u8 = 133;
    /// SATNET stream identifier.
    pub const STREAM_ID: u8 = 136;
    /// Strict source and record route.
    pub const STRICT_SOURCE_ROUTE: u8 = 137;
    /// Router alert (RFC 2113 §2.1).
    pub const ROUTER_ALERT: u8 = 148;
}

/// Whether an option of this kind goes into every fragment, not only the first (RFC 791 §3.1).
#[must_use]
pub const fn is_copied(kind: u8) -> bool {
    kind & 0x80 != 0
}

/// One IPv4 option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ipv4Option<'a> {
    /// The list ends; what follows is padding.
    EndOfList,
    /// Filler between options.
    NoOperation,
    /// Routers on the way write their addresses.
    RecordRoute {
        /// Where the next address goes, counted from 1 at the kind byte; 4 at the start.
        pointer: u8,
        /// Slots of 4 bytes.
        route: &'a [u8],
    },
    /// The way to go, other hops allowed between.
    LooseSourceRoute {
        /// The next address to go to, counted from 1 at the kind byte.
        pointer: u8,
        /// Slots of 4 bytes.
        route: &'a [u8],
    },
    /// The way to go, no other hop allowed.
    StrictSourceRoute {
        /// The next address to go to, counted from 1 at the kind byte.
        pointer: u8,
        /// Slots of 4 bytes.
        route: &'a [u8],
    },
    /// Hosts and routers on the way write the time.
    Timestamp {
        /// Where the next entry goes, counted from 1 at the kind byte; 5 at the start.
        pointer: u8,
        /// How many found no room, 4 bits.
        overflow: u8,
        /// 0: times; 1: address and time; 3: time where the address given is one's own; 4 bits.
        flag: u8,
        /// The entries.
        data: &'a [u8],
    },
    /// Routers should look at this packet; the value is 0 (RFC 2113 §2.1).
    RouterAlert(u16),
    /// Basic security: classification level and protection authorities, raw.
    Security(&'a [u8]),
    /// Extended security, raw.
    ExtendedSecurity(&'a [u8]),
    /// SATNET stream identifier.
    StreamId(u16),
    /// Traceroute: asks routers to report to the originator.
    Traceroute {
        /// Identifies the trace.
        ident: u16,
        /// Hops so far on the way out.
        outbound_hops: u16,
        /// Hops so far on the way back.
        return_hops: u16,
        /// Whom to report to.
        originator: Ipv4Addr,
    },
    /// Any other.
    Unknown {
        /// Kind byte.
        kind: u8,
        /// What follows the length byte.
        data: &'a [u8],
    },
}

/// An option with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OptionItem<'a> {
    /// Where its kind byte stands in the options (an ICMP pointer is this plus 20).
    pub offset: usize,
    /// The option.
    pub option: Ipv4Option<'a>,
}

impl<'a> Ipv4Option<'a> {
    /// The kind byte.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::EndOfList => kind::END_OF_LIST,
            Self::NoOperation => kind::NO_OPERATION,
            Self::RecordRoute { .. } => kind::RECORD_ROUTE,
            Self::LooseSourceRoute { .. } => kind::LOOSE_SOURCE_ROUTE,
            Self::StrictSourceRoute { .. } => kind::STRICT_SOURCE_ROUTE,
            Self::Timestamp { .. } => kind::TIMESTAMP,
            Self::RouterAlert(_) => kind::ROUTER_ALERT,
            Self::Security(_) => kind::SECURITY,
            Self::ExtendedSecurity(_) => kind::EXTENDED_SECURITY,
            Self::StreamId(_) => kind::STREAM_ID,
            Self::Traceroute { .. } => kind::TRACEROUTE,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        match self {
            Self::EndOfList | Self::NoOperation => 1,
            Self::RecordRoute { route, .. }
            | Self::LooseSourceRoute { route, .. }
            | Self::StrictSourceRoute { route, .. } => 3 + route.len(),
            Self::Timestamp { data, .. } => 4 + data.len(),
            Self::RouterAlert(_) | Self::StreamId(_) => 4,
            Self::Security(data) | Self::ExtendedSecurity(data) | Self::Unknown { data, .. } => {
                2 + data.len()
            }
            Self::Traceroute { .. } => 12,
        }
    }

    /// Writes the option.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], or [`ParseError::Invalid`] where a field does not fit its bits, or an
    /// unknown kind is one that has no length.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        match *self {
            Self::EndOfList | Self::NoOperation => return w.u8(self.kind()),
            Self::Timestamp { overflow, flag, .. } if overflow > 15 || flag > 15 => {
                return Err(ParseError::Invalid("IPv4 timestamp option"));
            }
            Self::Unknown {
                kind: kind::END_OF_LIST | kind::NO_OPERATION,
                ..
            } => return Err(ParseError::Invalid("IPv4 option kind")),
            _ => {}
        }
        w.u8(self.kind())?;
        let len = u8::try_from(self.emit_len());
        w.u8(len.map_err(|_| ParseError::Invalid("IPv4 option length"))?)?;
        match *self {
            Self::EndOfList | Self::NoOperation => Ok(()),
            Self::RecordRoute { pointer, route }
            | Self::LooseSourceRoute { pointer, route }
            | Self::StrictSourceRoute { pointer, route } => {
                w.u8(pointer)?;
                w.put(route)
            }
            Self::Timestamp {
                pointer,
                overflow,
                flag,
                data,
            } => {
                w.put(&[pointer, overflow << 4 | flag])?;
                w.put(data)
            }
            Self::RouterAlert(value) | Self::StreamId(value) => w.u16(value),
            Self::Security(data) | Self::ExtendedSecurity(data) | Self::Unknown { data, .. } => {
                w.put(data)
            }
            Self::Traceroute {
                ident,
                outbound_hops,
                return_hops,
                originator,
            } => {
                w.u16(ident)?;
                w.u16(outbound_hops)?;
                w.u16(return_hops)?;
                w.put(&originator.octets())
            }
        }
    }

    /// Parses what follows the length byte.
    fn parse(kind: u8, data: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(data);
        let option = match kind {
            kind::RECORD_ROUTE | kind::LOOSE_SOURCE_ROUTE | kind::STRICT_SOURCE_ROUTE => {
                let pointer = r.u8("IPv4 route option")?;
                let route = r.take(r.rest().len(), "IPv4 route option")?;
                match kind {
                    kind::RECORD_ROUTE => Self::RecordRoute { pointer, route },
                    kind::LOOSE_SOURCE_ROUTE => Self::LooseSourceRoute { pointer, route },
                    _ => Self::StrictSourceRoute { pointer, route },
                }
            }
            kind::TIMESTAMP => {
                let [pointer, overflow_flag] = r.array("IPv4 timestamp option")?;
                Self::Timestamp {
                    pointer,
                    overflow: overflow_flag >> 4,
                    flag: overflow_flag & 15,
                    data: r.take(r.rest().len(), "IPv4 timestamp option")?,
                }
            }
            kind::ROUTER_ALERT => Self::RouterAlert(r.u16("IPv4 router alert option")?),
            kind::STREAM_ID => Self::StreamId(r.u16("IPv4 stream option")?),
            kind::TRACEROUTE => Self::Traceroute {
                ident: r.u16("IPv4 traceroute option")?,
                outbound_hops: r.u16("IPv4 traceroute option")?,
                return_hops: r.u16("IPv4 traceroute option")?,
                originator: r.array::<4>("IPv4 traceroute option")?.into(),
            },
            kind::SECURITY => return Ok(Self::Security(data)),
            kind::EXTENDED_SECURITY => return Ok(Self::ExtendedSecurity(data)),
            _ => return Ok(Self::Unknown { kind, data }),
        };
        if r.is_empty() {
            Ok(option)
        } else {
            Err(ParseError::Invalid("IPv4 option length"))
        }
    }
}

/// Goes through options; an error ends the list.
///
/// After an [`Ipv4Option::EndOfList`] the rest is padding and is not looked at.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Options<'a> {
    /// Goes through `options`.
    #[must_use]
    pub const fn new(options: &'a [u8]) -> Self {
        Self {
            rest: options,
            offset: 0,
        }
    }

    /// Where the next option starts; after an error, where the malformed one did.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    fn read(&mut self) -> Result<OptionItem<'a>, ParseError> {
        let mut r = Reader::new(self.rest);
        let kind = r.u8("IPv4 option")?;
        let (option, len) = match kind {
            kind::END_OF_LIST => (Ipv4Option::EndOfList, self.rest.len()),
            kind::NO_OPERATION => (Ipv4Option::NoOperation, 1),
            _ => {
                let len = usize::from(r.u8("IPv4 option length")?);
                let data_len = len.checked_sub(2);
                let data_len = data_len.ok_or(ParseError::Invalid("IPv4 option length"))?;
                let data = r.take(data_len, "IPv4 option")?;
                (Ipv4Option::parse(kind, data)?, len)
            }
        };
        let offset = self.offset;
        self.rest = self.rest.get(len..).unwrap_or_default();
        self.offset += len;
        Ok(OptionItem { offset, option })
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<OptionItem<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = self.read();
        if item.is_err() {
            self.rest = &[];
        }
        Some(item)
    }
}

/// Where the first option of this kind starts and how long it is; a malformed list ends the search.
#[must_use]
pub fn find_option(options: &[u8], kind: u8) -> Option<(usize, usize)> {
    Options::new(options)
        .map_while(Result::ok)
        .find(|item| item.option.kind() == kind)
        .map(|item| (item.offset, item.option.emit_len()))
}

/// Writes to `out` those options that every fragment carries, padded to a multiple of 4; returns
/// how many bytes that is. A malformed list is copied as far as it can be read.
#[must_use]
pub fn copied_options(options: &[u8], out: &mut [u8; MAX_OPTIONS_LEN]) -> usize {
    out.fill(kind::END_OF_LIST);
    let mut w = Writer::new(out);
    for item in Options::new(options).map_while(Result::ok) {
        if is_copied(item.option.kind()) && item.option.emit(&mut w).is_err() {
            break;
        }
    }
    w.written().next_multiple_of(4)
}

/// What came of filling in an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// There is no such option, or it asks nothing of us.
    Absent,
    /// Written; the header's checksum is no longer right.
    Filled,
    /// There was no room left. A timestamp option has counted that: recompute the checksum.
    Full,
    /// The option is in error: discard the packet and report the byte at this place in the options
    /// (an ICMP pointer is this plus 20).
    Invalid(usize),
}

/// Writes `addr` into the next free slot of a record route option, if there is one.
///
/// Only for record route; a source route, which records too, is refused before this matters.
#[must_use]
pub fn record_route(options: &mut [u8], addr: Ipv4Addr) -> Fill {
    let Some((at, len)) = find_option(options, kind::RECORD_ROUTE) else {
        return Fill::Absent;
    };
    let Some([_, _, pointer, ..]) = options.get_mut(at..at + len) else {
        return Fill::Absent;
    };
    let start = usize::from(*pointer);
    //= RFC 791 §3.1: beyond the end the route is full, and the packet goes on unchanged
    if start > len {
        return Fill::Full;
    }
    //= RFC 791 §3.1: room, but less than an address, is an error; so is a pointer below 4
    if start < 4 || start + 3 > len {
        return Fill::Invalid(at + 2);
    }
    *pointer += 4;
    put(options, at + start - 1, addr.octets());
    Fill::Filled
}

/// Writes the time (`millis` since midnight UT, or any time with the top bit set) into the next
/// free place of a timestamp option, if there is one.
///
/// `addr` is what we call ourselves where the option wants an address too; `is_ours` says whether
/// an address that the sender asked about is one of ours.
#[must_use]
pub fn stamp(
    options: &mut [u8],
    addr: Ipv4Addr,
    is_ours: impl Fn(Ipv4Addr) -> bool,
    millis: u32,
) -> Fill {
    let Some((at, len)) = find_option(options, kind::TIMESTAMP) else {
        return Fill::Absent;
    };
    let Some([_, _, pointer, overflow_flag, ..]) = options.get_mut(at..at + len) else {
        return Fill::Absent;
    };
    let (start, flag) = (usize::from(*pointer), *overflow_flag & 15);
    let entry = match flag {
        0 => 4,
        1 | 3 => 8,
        _ => return Fill::Invalid(at + 3),
    };
    if start > len {
        // With the addresses given, those who are not asked do not lack room.
        if flag == 3 {
            return Fill::Absent;
        }
        //= RFC 791 §3.1: one who finds the area full counts himself; the count must not wrap
        return match overflow_flag.checked_add(0x10) {
            Some(counted) => {
                *overflow_flag = counted;
                Fill::Full
            }
            None => Fill::Invalid(at + 3),
        };
    }
    if start < 5 || start - 1 + entry > len {
        return Fill::Invalid(at + 2);
    }
    let slot = at + start - 1;
    let asked = options.get(slot..).and_then(<[u8]>::first_chunk::<4>);
    if flag == 3 && !asked.is_some_and(|octets| is_ours(Ipv4Addr::from(*octets))) {
        return Fill::Absent;
    }
    if flag == 1 {
        put(options, slot, addr.octets());
    }
    put(options, slot + entry - 4, millis.to_be_bytes());
    if let Some(pointer) = options.get_mut(at + 2) {
        // At most 8 beyond a pointer no larger than the option.
        *pointer = pointer.saturating_add(if entry == 4 { 4 } else { 8 });
    }
    Fill::Filled
}

fn put(bytes: &mut [u8], at: usize, word: [u8; 4]) {
    if let Some(place) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = word;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const PING: [u8; 21] = [
        0x45, 0xb9, 0, 84, 0x12, 0x34, 0x40, 0, 64, 1, 0xab, 0xcd, 10, 7, 0, 1, 10, 7, 0, 2, 0xff,
    ];

    fn emit(header: &Header<'_>) -> Result<Vec<u8>, ParseError> {
        let mut out = std::vec![0; header.emit_len()];
        header.emit(&mut Writer::new(&mut out))?;
        Ok(out)
    }

    #[test]
    fn round_trip_and_truncation() {
        let (header, rest) = Header::parse(&PING).unwrap();
        assert_eq!((header.dscp, header.ecn), (46, 1));
        assert_eq!((header.total_len, header.payload_len()), (84, 64));
        assert!(header.dont_fragment && !header.more_fragments && !header.is_fragment());
        assert_eq!((header.ttl, header.protocol), (64, Protocol::ICMP));
        assert_eq!(header.dst, Ipv4Addr::new(10, 7, 0, 2));
        assert_eq!(rest, [0xff]);
        assert_eq!(emit(&header).unwrap(), PING[..20]);
        assert!(!verify(&PING[..20]));
        assert!(verify(&emit(&header.with_checksum()).unwrap()));
        for len in 0..20 {
            let error = Header::parse(&PING[..len]).unwrap_err();
            assert_eq!(error, ParseError::Truncated("IPv4 header"));
        }
    }

    #[test]
    fn names_what_is_wrong() {
        for (at, value, want) in [
            (0, 0x65, ParseError::Invalid("IPv4 version")),
            (0, 0x44, ParseError::Invalid("IPv4 header length")),
            (0, 0x46, ParseError::Truncated("IPv4 options")),
            (3, 19, ParseError::Invalid("IPv4 total length")),
        ] {
            let mut bytes = PING;
            bytes[at] = value;
            assert_eq!(Header::parse(&bytes).unwrap_err(), want);
        }
        let (header, _) = Header::parse(&PING).unwrap();
        for bad in [
            Header { dscp: 64, ..header },
            Header { ecn: 4, ..header },
            Header {
                fragment_offset: 12,
                ..header
            },
            Header {
                options: &[1; 3],
                ..header
            },
            Header {
                options: &[1; 44],
                ..header
            },
        ] {
            assert!(matches!(emit(&bad), Err(ParseError::Invalid(_))), "{bad:?}");
        }
    }

    #[test]
    fn flags_and_offset_each_have_their_bits() {
        for (word, reserved, dont, more, offset) in [
            ([0x80, 0], true, false, false, 0),
            ([0x40, 0], false, true, false, 0),
            ([0x20, 1], false, false, true, 8),
            ([0x1f, 0xff], false, false, false, 65528),
        ] {
            let mut bytes = PING;
            [bytes[6], bytes[7]] = word;
            let (h, _) = Header::parse(&bytes).unwrap();
            let flags = (h.reserved_flag, h.dont_fragment, h.more_fragments);
            assert_eq!(flags, (reserved, dont, more));
            assert_eq!(h.fragment_offset, offset);
            assert_eq!(emit(&h).unwrap(), bytes[..20]);
        }
    }

    /// Each option in its RFC's bytes.
    const EACH: [(&[u8], Ipv4Option<'_>); 11] = [
        (&[1], Ipv4Option::NoOperation),
        (
            &[7, 7, 4, 0, 0, 0, 0],
            Ipv4Option::RecordRoute {
                pointer: 4,
                route: &[0; 4],
            },
        ),
        (
            &[131, 7, 8, 1, 2, 3, 4],
            Ipv4Option::LooseSourceRoute {
                pointer: 8,
                route: &[1, 2, 3, 4],
            },
        ),
        (
            &[137, 3, 4],
            Ipv4Option::StrictSourceRoute {
                pointer: 4,
                route: &[],
            },
        ),
        (
            &[68, 8, 5, 0x21, 9, 9, 9, 9],
            Ipv4Option::Timestamp {
                pointer: 5,
                overflow: 2,
                flag: 1,
                data: &[9; 4],
            },
        ),
        (&[148, 4, 0, 0], Ipv4Option::RouterAlert(0)),
        (&[130, 3, 0xab], Ipv4Option::Security(&[0xab])),
        (&[133, 2], Ipv4Option::ExtendedSecurity(&[])),
        (&[136, 4, 1, 2], Ipv4Option::StreamId(0x102)),
        (
            &[82, 12, 0, 1, 0, 2, 0, 3, 10, 0, 0, 1],
            Ipv4Option::Traceroute {
                ident: 1,
                outbound_hops: 2,
                return_hops: 3,
                originator: Ipv4Addr::new(10, 0, 0, 1),
            },
        ),
        (
            &[25, 3, 7],
            Ipv4Option::Unknown {
                kind: 25,
                data: &[7],
            },
        ),
    ];

    #[test]
    fn options_re_emit() {
        for (bytes, option) in EACH {
            let mut items = Options::new(bytes);
            let item = OptionItem { offset: 0, option };
            assert_eq!(items.next(), Some(Ok(item)));
            assert_eq!((items.next(), items.offset()), (None, bytes.len()));
            let mut out = std::vec![0; option.emit_len()];
            option.emit(&mut Writer::new(&mut out)).unwrap();
            assert_eq!(out, bytes);
            // Cut short, every option longer than a byte is an error, and the last.
            for len in 1..bytes.len() {
                let mut items = Options::new(&bytes[..len]);
                assert!(matches!(items.next(), Some(Err(_))), "{option:?} {len}");
                assert_eq!((items.next(), items.offset()), (None, 0));
            }
        }
        let padded = [1, 0, 7, 99];
        let kinds: Vec<u8> = Options::new(&padded)
            .map(|item| item.unwrap().option.kind())
            .collect();
        assert_eq!(kinds, [kind::NO_OPERATION, kind::END_OF_LIST]);
    }

    #[test]
    fn malformed_options() {
        for (bytes, want) in [
            (&[7, 1][..], ParseError::Invalid("IPv4 option length")),
            (&[7, 0], ParseError::Invalid("IPv4 option length")),
            (&[7, 2], ParseError::Truncated("IPv4 route option")),
            (&[68, 3, 5], ParseError::Truncated("IPv4 timestamp option")),
            (
                &[148, 5, 0, 0, 0],
                ParseError::Invalid("IPv4 option length"),
            ),
            (&[25, 9, 0], ParseError::Truncated("IPv4 option")),
        ] {
            assert_eq!(Options::new(bytes).next(), Some(Err(want)));
        }
    }

    #[test]
    fn options_that_would_read_as_others_are_not_emitted() {
        let stamp = |overflow, flag| Ipv4Option::Timestamp {
            pointer: 5,
            overflow,
            flag,
            data: &[],
        };
        let unknown = |kind, data| Ipv4Option::Unknown { kind, data };
        for bad in [
            stamp(16, 0),
            stamp(0, 16),
            unknown(0, &[]),
            unknown(1, &[]),
            unknown(25, &[0; 254]),
        ] {
            let emitted = bad.emit(&mut Writer::new(&mut [0; 300]));
            assert!(matches!(emitted, Err(ParseError::Invalid(_))), "{bad:?}");
        }
    }

    #[test]
    fn fragments_copy_what_has_the_top_bit() {
        let mut options = Vec::new();
        for kind in [7, 148, 68, 136] {
            let (bytes, _) = EACH.iter().find(|(bytes, _)| bytes[0] == kind).unwrap();
            options.extend_from_slice(bytes);
        }
        options.extend([1, 133, 2]);
        let mut out = [0xff; MAX_OPTIONS_LEN];
        let len = copied_options(&options, &mut out);
        assert_eq!(out[..len], [148, 4, 0, 0, 136, 4, 1, 2, 133, 2, 0, 0]);
    }

    const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);

    #[test]
    fn record_route_fills_slots_then_passes() {
        let mut options = [1, 7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(record_route(&mut options, US), Fill::Filled);
        assert_eq!(options, [1, 7, 11, 8, 10, 0, 0, 9, 0, 0, 0, 0]);
        assert_eq!(record_route(&mut options, US), Fill::Filled);
        let full = [1, 7, 11, 12, 10, 0, 0, 9, 10, 0, 0, 9];
        assert_eq!(options, full);
        assert_eq!(record_route(&mut options, US), Fill::Full);
        assert_eq!(options, full);
        for bad in [0, 3, 9, 11] {
            options[3] = bad;
            assert_eq!(record_route(&mut options, US), Fill::Invalid(3), "{bad}");
        }
        assert_eq!(record_route(&mut [1, 1, 1, 1], US), Fill::Absent);
        assert_eq!(record_route(&mut [7, 9, 4, 0], US), Fill::Absent);
    }

    #[test]
    fn timestamps_of_each_flag() {
        let ours = |addr| addr == US;
        let time = 0x0102_0304;
        let mut plain = [68, 8, 5, 0, 0, 0, 0, 0];
        assert_eq!(stamp(&mut plain, US, ours, time), Fill::Filled);
        assert_eq!(plain, [68, 8, 9, 0, 1, 2, 3, 4]);
        for count in 1..16 {
            assert_eq!(stamp(&mut plain, US, ours, time), Fill::Full);
            assert_eq!(plain[3], count << 4);
        }
        assert_eq!(stamp(&mut plain, US, ours, time), Fill::Invalid(3));

        let mut both = [68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(stamp(&mut both, US, ours, time), Fill::Filled);
        assert_eq!(both, [68, 12, 13, 1, 10, 0, 0, 9, 1, 2, 3, 4]);

        let mut asked = [68, 12, 5, 3, 10, 0, 0, 8, 0, 0, 0, 0];
        assert_eq!(stamp(&mut asked, US, ours, time), Fill::Absent);
        asked[7] = 9;
        assert_eq!(stamp(&mut asked, US, ours, time), Fill::Filled);
        assert_eq!(asked, [68, 12, 13, 3, 10, 0, 0, 9, 1, 2, 3, 4]);
        assert_eq!(stamp(&mut asked, US, ours, time), Fill::Absent);

        for (pointer, flag, at) in [(4, 0, 2), (6, 0, 2), (8, 0, 2), (5, 1, 2), (5, 2, 3)] {
            let mut bad = [68, 8, pointer, flag, 0, 0, 0, 0];
            assert_eq!(stamp(&mut bad, US, ours, time), Fill::Invalid(at));
        }
    }
}
