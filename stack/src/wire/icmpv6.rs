//! ICMPv6 messages (RFC 4443).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!  +---------------+---------------+-------------------------------+
//!  |     type      |     code      |           checksum            |
//!  +---------------+---------------+-------------------------------+
//!  |   an MTU, a pointer, identifier and sequence, or unused       |
//!  +---------------------------------------------------------------+
//!  |        the packet that caused it (errors), or data            |
//!  +---------------------------------------------------------------+
//! ```
//!
//! Read first: RFC 4443 §2–4, RFC 4884 §4–5 (extensions behind a quote). Neighbor discovery's
//! messages are in [`super::ndp`], multicast listener discovery's in [`super::mld`].
//!
//! Promises: each message re-emits its bytes: header as parsed, then
//! [`emit_body`](Message::emit_body). Types not named here are kept raw.
//!
//! Left out: node information queries, router renumbering, inverse discovery, extended echo and
//! 6LoWPAN's messages, which no machine here reads: all kept raw.

use super::checksum::Sum;
pub use super::icmp::{HEADER_LEN, Header};
use super::icmpv4::{Extensions, split_quote};
use super::{ParseError, Protocol, Reader, Writer, mld, ndp};
use core::net::Ipv6Addr;

/// Types (IANA "ICMPv6 'type' Numbers").
pub mod kind {
    /// Destination unreachable (RFC 4443 §3.1).
    pub const DESTINATION_UNREACHABLE: u8 = 1;
    /// Packet too big (RFC 4443 §3.2).
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Time exceeded (RFC 4443 §3.3).
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem (RFC 4443 §3.4).
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request (RFC 4443 §4.1).
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply (RFC 4443 §4.2).
    pub const ECHO_REPLY: u8 = 129;
    /// Multicast listener query (RFC 2710, RFC 3810).
    pub const MLD_QUERY: u8 = 130;
    /// Version 1 multicast listener report (RFC 2710).
    pub const MLD_REPORT: u8 = 131;
    /// Version 1 multicast listener done (RFC 2710).
    pub const MLD_DONE: u8 = 132;
    /// Router solicitation (RFC 4861 §4.1).
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Router advertisement (RFC 4861 §4.2).
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Neighbor solicitation (RFC 4861 §4.3).
    pub const NEIGHBOR_SOLICITATION: u8 = 135;
    /// Neighbor advertisement (RFC 4861 §4.4).
    pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
    /// Redirect (RFC 4861 §4.5).
    pub const REDIRECT: u8 = 137;
    /// Node information query (RFC 4620); kept raw.
    pub const NODE_INFORMATION_QUERY: u8 = 139;
    /// Node information response (RFC 4620); kept raw.
    pub const NODE_INFORMATION_RESPONSE: u8 = 140;
    /// Version 2 multicast listener report (RFC 3810 §5.2).
    pub const MLD_REPORT_V2: u8 = 143;
}

/// Whether ICMPv6 messages of this type are neighbour discovery's.
#[must_use]
#[inline]
pub const fn is_discovery(kind: u8) -> bool {
    matches!(kind, kind::ROUTER_SOLICITATION..=kind::REDIRECT)
}

/// Whether messages of this type report an error, known or not.
//= RFC 4443 §2.1 types with a zero high-order bit are errors.
#[must_use]
pub const fn is_error(kind: u8) -> bool {
    kind < 128
}

/// What the checksum field should hold where `message` (all of it) has a zero there.
//= RFC 4443 §2.3 the checksum covers an IPv6 pseudo-header with next header 58 and the message.
#[must_use]
pub fn compute_checksum(src: Ipv6Addr, dst: Ipv6Addr, message: &[u8]) -> u16 {
    let mut sum = Sum::new();
    sum.add_pseudo6(src, dst, Protocol::ICMPV6, message.len());
    sum.add(message);
    sum.finish()
}

/// Whether the checksum over `message` (all of it) holds.
#[must_use]
pub fn verify(src: Ipv6Addr, dst: Ipv6Addr, message: &[u8]) -> bool {
    compute_checksum(src, dst, message) == 0
}

/// Why a destination cannot be reached (RFC 4443 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnreachableCode(pub u8);

impl UnreachableCode {
    /// No route.
    pub const NO_ROUTE: Self = Self(0);
    /// Forbidden by a filter.
    pub const ADMINISTRATIVELY_PROHIBITED: Self = Self(1);
    /// Beyond the scope of the source address.
    pub const BEYOND_SCOPE: Self = Self(2);
    /// The address cannot be reached: for one, nobody answered for it on its link.
    pub const ADDRESS: Self = Self(3);
    /// Nobody listens on the port.
    pub const PORT: Self = Self(4);
    /// The source address failed a filter.
    pub const SOURCE_POLICY: Self = Self(5);
    /// The route says to reject.
    pub const REJECT_ROUTE: Self = Self(6);
    /// A source routing header is wrong (RFC 6550).
    pub const SOURCE_ROUTING_HEADER: Self = Self(7);
}

/// What took too long (RFC 4443 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeExceededCode(pub u8);

impl TimeExceededCode {
    /// The hop limit ran out.
    pub const HOP_LIMIT: Self = Self(0);
    /// Fragments did not all come in time.
    pub const REASSEMBLY: Self = Self(1);
}

/// What is wrong with a field (RFC 4443 §3.4, RFC 7112 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterCode(pub u8);

impl ParameterCode {
    /// A header field is wrong.
    pub const ERRONEOUS_FIELD: Self = Self(0);
    /// A next header is not known.
    pub const NEXT_HEADER: Self = Self(1);
    /// An option is not known.
    pub const OPTION: Self = Self(2);
    /// The first fragment lacks part of the header chain.
    pub const INCOMPLETE_CHAIN: Self = Self(3);
}

/// A message by its meaning. `quote` is everything behind the 8th byte, extensions included:
/// [`Message::quote_and_extensions`] takes it apart.
///
/// ```
/// use stack::wire::{Writer, icmpv6::{self, Message}};
/// let (src, dst) = ("fd07::1".parse()?, "fd07::2".parse()?);
/// let echo = Message::EchoRequest { ident: 1, seq: 2, data: b"hello" };
/// let mut bytes = [0; 13];
/// echo.emit(&mut Writer::new(&mut bytes), echo.compute_checksum(src, dst))?;
/// assert!(icmpv6::verify(src, dst, &bytes));
/// assert_eq!(Message::parse(&bytes)?.1, echo);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message<'a> {
    /// A packet could not be delivered.
    DestinationUnreachable {
        /// Why.
        code: UnreachableCode,
        /// Length of the quote in 8-byte units where extensions follow, else zero (RFC 4884 §4.4).
        length: u8,
        /// Zero when sent.
        unused: [u8; 3],
        /// The packet's beginning.
        quote: &'a [u8],
    },
    /// A packet exceeds the next link's MTU.
    PacketTooBig {
        /// Zero when sent, ignored when received.
        code: u8,
        /// That MTU.
        mtu: u32,
        /// The packet's beginning.
        quote: &'a [u8],
    },
    /// A packet or its fragments lived too long.
    TimeExceeded {
        /// Which.
        code: TimeExceededCode,
        /// Length of the quote in 8-byte units where extensions follow, else zero (RFC 4884 §4.5).
        length: u8,
        /// Zero when sent.
        unused: [u8; 3],
        /// The packet's beginning.
        quote: &'a [u8],
    },
    /// A header field is wrong.
    ParameterProblem {
        /// What about it.
        code: ParameterCode,
        /// Which byte of the packet.
        pointer: u32,
        /// The packet's beginning.
        quote: &'a [u8],
    },
    /// Asks for its data back.
    EchoRequest {
        /// Identifier.
        ident: u16,
        /// Sequence number.
        seq: u16,
        /// Data to be returned.
        data: &'a [u8],
    },
    /// Returns the data of a request.
    EchoReply {
        /// Identifier of the request.
        ident: u16,
        /// Sequence number of the request.
        seq: u16,
        /// Data of the request.
        data: &'a [u8],
    },
    /// Who listens to what?
    MldQuery(mld::Query<'a>),
    /// Version 1: somebody listens.
    MldReport(mld::ReportV1<'a>),
    /// Version 1: perhaps nobody listens any more.
    MldDone(mld::ReportV1<'a>),
    /// Version 2: who listens to what.
    MldReportV2(mld::ReportV2<'a>),
    /// Asks routers to advertise.
    RouterSolicitation(ndp::RouterSolicitation<'a>),
    /// A router tells about itself and the link.
    RouterAdvertisement(ndp::RouterAdvertisement<'a>),
    /// Asks for a link-layer address.
    NeighborSolicitation(ndp::NeighborSolicitation<'a>),
    /// Tells a link-layer address.
    NeighborAdvertisement(ndp::NeighborAdvertisement<'a>),
    /// There is a better first hop.
    Redirect(ndp::Redirect<'a>),
    /// Any other.
    Unknown {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// What follows the header.
        body: &'a [u8],
    },
}

impl<'a> Message<'a> {
    /// Parses a whole message: `bytes` must end where the packet does.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] where the fixed part of its type is not all there, and
    /// [`ParseError::Invalid`] for a listener query of no version's length.
    pub fn parse(bytes: &'a [u8]) -> Result<(Header, Self), ParseError> {
        let (header, body) = Header::parse(bytes)?;
        let message = match header.kind {
            kind::DESTINATION_UNREACHABLE
            | kind::PACKET_TOO_BIG
            | kind::TIME_EXCEEDED
            | kind::PARAMETER_PROBLEM => Self::parse_error(header, body)?,
            kind::ECHO_REQUEST | kind::ECHO_REPLY => Self::parse_echo(header, body)?,
            kind::MLD_QUERY => Self::MldQuery(mld::Query::parse(body)?),
            kind::MLD_REPORT => Self::MldReport(mld::ReportV1::parse(body)?),
            kind::MLD_DONE => Self::MldDone(mld::ReportV1::parse(body)?),
            kind::MLD_REPORT_V2 => Self::MldReportV2(mld::ReportV2::parse(body)?),
            kind::ROUTER_SOLICITATION => {
                Self::RouterSolicitation(ndp::RouterSolicitation::parse(body)?)
            }
            kind::ROUTER_ADVERTISEMENT => {
                Self::RouterAdvertisement(ndp::RouterAdvertisement::parse(body)?)
            }
            kind::NEIGHBOR_SOLICITATION => {
                Self::NeighborSolicitation(ndp::NeighborSolicitation::parse(body)?)
            }
            kind::NEIGHBOR_ADVERTISEMENT => {
                Self::NeighborAdvertisement(ndp::NeighborAdvertisement::parse(body)?)
            }
            kind::REDIRECT => Self::Redirect(ndp::Redirect::parse(body)?),
            kind => Self::Unknown {
                kind,
                code: header.code,
                body,
            },
        };
        Ok((header, message))
    }

    fn parse_echo(header: Header, body: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        let ident = r.u16("echo identifier")?;
        let seq = r.u16("echo sequence number")?;
        let data = r.rest();
        Ok(if header.kind == kind::ECHO_REQUEST {
            Self::EchoRequest { ident, seq, data }
        } else {
            Self::EchoReply { ident, seq, data }
        })
    }

    fn parse_error(header: Header, body: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        let word: [u8; 4] = r.array("ICMPv6 error")?;
        let [length, unused @ ..] = word;
        let (code, quote) = (header.code, r.rest());
        Ok(match header.kind {
            kind::PACKET_TOO_BIG => Self::PacketTooBig {
                code,
                mtu: u32::from_be_bytes(word),
                quote,
            },
            kind::TIME_EXCEEDED => Self::TimeExceeded {
                code: TimeExceededCode(code),
                length,
                unused,
                quote,
            },
            kind::PARAMETER_PROBLEM => Self::ParameterProblem {
                code: ParameterCode(code),
                pointer: u32::from_be_bytes(word),
                quote,
            },
            _ => Self::DestinationUnreachable {
                code: UnreachableCode(code),
                length,
                unused,
                quote,
            },
        })
    }

    /// An unreachable report without extensions.
    #[must_use]
    pub const fn unreachable(code: UnreachableCode, quote: &'a [u8]) -> Self {
        Self::DestinationUnreachable {
            code,
            length: 0,
            unused: [0; 3],
            quote,
        }
    }

    /// A time exceeded report without extensions.
    #[must_use]
    pub const fn time_exceeded(code: TimeExceededCode, quote: &'a [u8]) -> Self {
        Self::TimeExceeded {
            code,
            length: 0,
            unused: [0; 3],
            quote,
        }
    }

    /// The type.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::DestinationUnreachable { .. } => kind::DESTINATION_UNREACHABLE,
            Self::PacketTooBig { .. } => kind::PACKET_TOO_BIG,
            Self::TimeExceeded { .. } => kind::TIME_EXCEEDED,
            Self::ParameterProblem { .. } => kind::PARAMETER_PROBLEM,
            Self::EchoRequest { .. } => kind::ECHO_REQUEST,
            Self::EchoReply { .. } => kind::ECHO_REPLY,
            Self::MldQuery(_) => kind::MLD_QUERY,
            Self::MldReport(_) => kind::MLD_REPORT,
            Self::MldDone(_) => kind::MLD_DONE,
            Self::MldReportV2(_) => kind::MLD_REPORT_V2,
            Self::RouterSolicitation(_) => kind::ROUTER_SOLICITATION,
            Self::RouterAdvertisement(_) => kind::ROUTER_ADVERTISEMENT,
            Self::NeighborSolicitation(_) => kind::NEIGHBOR_SOLICITATION,
            Self::NeighborAdvertisement(_) => kind::NEIGHBOR_ADVERTISEMENT,
            Self::Redirect(_) => kind::REDIRECT,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// The code that belongs to this meaning; the one received is in the [`Header`].
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::DestinationUnreachable { code, .. } => code.0,
            Self::TimeExceeded { code, .. } => code.0,
            Self::ParameterProblem { code, .. } => code.0,
            Self::PacketTooBig { code, .. } | Self::Unknown { code, .. } => *code,
            _ => 0,
        }
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        let fixed = match self {
            Self::Unknown { .. } => 0,
            Self::DestinationUnreachable { .. }
            | Self::PacketTooBig { .. }
            | Self::TimeExceeded { .. }
            | Self::ParameterProblem { .. }
            | Self::EchoRequest { .. }
            | Self::EchoReply { .. }
            | Self::MldReportV2(_)
            | Self::RouterSolicitation(_) => 4,
            Self::RouterAdvertisement(_) => 12,
            Self::MldQuery(mld::Query { v2: Some(_), .. }) => 24,
            Self::MldQuery(_)
            | Self::MldReport(_)
            | Self::MldDone(_)
            | Self::NeighborSolicitation(_)
            | Self::NeighborAdvertisement(_) => 20,
            Self::Redirect(_) => MAX_FIXED_LEN,
        };
        let [a, b] = self.tails();
        HEADER_LEN + fixed + a.len() + b.len()
    }

    /// Writes header and body.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], and [`ParseError::Invalid`] where a field exceeds its bits.
    pub fn emit(&self, w: &mut Writer<'_>, checksum: u16) -> Result<(), ParseError> {
        let header = Header {
            kind: self.kind(),
            code: self.code(),
            checksum,
        };
        header.emit(w)?;
        self.emit_body(w)
    }

    /// Writes what follows the [`Header`].
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub fn emit_body(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        self.emit_fixed(w)?;
        let [a, b] = self.tails();
        w.put(a)?;
        w.put(b)
    }

    /// What [`emit`](Self::emit) should be given as checksum.
    #[must_use]
    pub fn compute_checksum(&self, src: Ipv6Addr, dst: Ipv6Addr) -> u16 {
        let mut fixed = [0; MAX_FIXED_LEN];
        // A message that cannot be emitted has no checksum worth computing; the zeros behind a
        // shorter fixed part add nothing.
        let _ = self.emit_fixed(&mut Writer::new(&mut fixed));
        let mut sum = Sum::new();
        sum.add_pseudo6(src, dst, Protocol::ICMPV6, self.emit_len());
        sum.add(&[self.kind(), self.code()]);
        sum.add(&fixed);
        for tail in self.tails() {
            sum.add(tail);
        }
        sum.finish()
    }

    /// The quoted packet and the extensions behind it (RFC 4884 §4, §5); no bytes and none for a
    /// message that quotes nothing. A length field beyond the message is taken as no length.
    #[must_use]
    pub fn quote_and_extensions(&self) -> (&'a [u8], Option<Extensions<'a>>) {
        match *self {
            Self::DestinationUnreachable { length, quote, .. }
            | Self::TimeExceeded { length, quote, .. } => {
                split_quote(quote, usize::from(length) * 8)
            }
            //= RFC 4884 §4.6 no other message of ICMPv6 has extensions.
            Self::PacketTooBig { quote, .. } | Self::ParameterProblem { quote, .. } => {
                (quote, None)
            }
            _ => (&[], None),
        }
    }

    /// The options of a neighbor discovery message; none for any other.
    #[must_use]
    pub const fn ndp_options(&self) -> ndp::Options<'a> {
        ndp::options(match self {
            Self::RouterSolicitation(m) => m.options,
            Self::RouterAdvertisement(m) => m.options,
            Self::NeighborSolicitation(m) => m.options,
            Self::NeighborAdvertisement(m) => m.options,
            Self::Redirect(m) => m.options,
            _ => &[],
        })
    }

    fn emit_fixed(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        match *self {
            Self::DestinationUnreachable { length, unused, .. }
            | Self::TimeExceeded { length, unused, .. } => {
                w.u8(length)?;
                w.put(&unused)
            }
            Self::PacketTooBig { mtu: word, .. } | Self::ParameterProblem { pointer: word, .. } => {
                w.u32(word)
            }
            Self::EchoRequest { ident, seq, .. } | Self::EchoReply { ident, seq, .. } => {
                w.u16(ident)?;
                w.u16(seq)
            }
            Self::MldQuery(m) => m.emit_fixed(w),
            Self::MldReport(m) | Self::MldDone(m) => m.emit_fixed(w),
            Self::MldReportV2(m) => m.emit_fixed(w),
            Self::RouterSolicitation(m) => m.emit_fixed(w),
            Self::RouterAdvertisement(m) => m.emit_fixed(w),
            Self::NeighborSolicitation(m) => m.emit_fixed(w),
            Self::NeighborAdvertisement(m) => m.emit_fixed(w),
            Self::Redirect(m) => m.emit_fixed(w),
            Self::Unknown { .. } => Ok(()),
        }
    }

    /// What follows the fixed part, as it stands on the wire.
    const fn tails(&self) -> [&'a [u8]; 2] {
        let tail = match *self {
            Self::MldQuery(m) => return m.tails(),
            Self::DestinationUnreachable { quote, .. }
            | Self::PacketTooBig { quote, .. }
            | Self::TimeExceeded { quote, .. }
            | Self::ParameterProblem { quote, .. } => quote,
            Self::EchoRequest { data, .. } | Self::EchoReply { data, .. } => data,
            Self::MldReport(m) | Self::MldDone(m) => m.rest,
            Self::MldReportV2(m) => m.records,
            Self::RouterSolicitation(m) => m.options,
            Self::RouterAdvertisement(m) => m.options,
            Self::NeighborSolicitation(m) => m.options,
            Self::NeighborAdvertisement(m) => m.options,
            Self::Redirect(m) => m.options,
            Self::Unknown { body, .. } => body,
        };
        [tail, &[]]
    }
}

/// The longest fixed part: a redirect's, with two addresses.
const MAX_FIXED_LEN: usize = 36;

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    const SRC: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const DST: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

    #[test]
    fn every_type_round_trips_and_sums_to_zero() {
        for kind in 0..=u8::MAX {
            for len in 0..60_u8 {
                let mut bytes = vec![kind, 3, 0, 0];
                bytes.extend((0..len).map(|i| i ^ kind));
                // A listener query or report that counts one source or record.
                if let Some(count) = bytes.get_mut(26..28) {
                    count.copy_from_slice(&[0, 1]);
                }
                let Ok((header, message)) = Message::parse(&bytes) else {
                    assert!(len < 40, "type {kind}, {len} bytes");
                    continue;
                };
                assert_eq!((message.kind(), message.emit_len()), (kind, bytes.len()));
                let mut out = vec![0; bytes.len()];
                let mut w = Writer::new(&mut out);
                header.emit(&mut w).unwrap();
                message.emit_body(&mut w).unwrap();
                assert_eq!(out, bytes, "type {kind}");
                let checksum = message.compute_checksum(SRC, DST);
                message.emit(&mut Writer::new(&mut out), checksum).unwrap();
                assert!(verify(SRC, DST, &out), "type {kind}, {len} bytes");
                assert_eq!(message.ndp_options().next().is_some(), {
                    let fixed = match kind {
                        133 => 4,
                        134 => 12,
                        135 | 136 => 20,
                        137 => 36,
                        _ => 255,
                    };
                    len > fixed
                });
            }
        }
    }

    #[test]
    fn fixed_parts_are_demanded() {
        for (kind, fixed) in [
            (1, 4),
            (2, 4),
            (3, 4),
            (4, 4),
            (128, 4),
            (129, 4),
            (130, 20),
            (131, 20),
            (132, 20),
            (133, 4),
            (134, 12),
            (135, 20),
            (136, 20),
            (137, 36),
            (143, 4),
        ] {
            let mut bytes = vec![0; HEADER_LEN + fixed];
            bytes[0] = kind;
            assert!(Message::parse(&bytes).is_ok(), "type {kind}");
            for len in 0..bytes.len() {
                let cut = Message::parse(&bytes[..len]);
                assert!(len == 0 || matches!(cut, Err(ParseError::Truncated(_))));
            }
        }
    }

    #[test]
    fn extensions_behind_a_quote() {
        // Two 8-byte words of packet, then a structure of version 2 without a checksum.
        let mut quote = [7; 28];
        quote[16..].copy_from_slice(&[0x20, 0, 0, 0, 0, 8, 1, 1, 0, 1, 2, 3]);
        let message = |length| Message::DestinationUnreachable {
            code: UnreachableCode::PORT,
            length,
            unused: [0; 3],
            quote: &quote,
        };
        let (packet, extensions) = message(2).quote_and_extensions();
        assert_eq!(packet, &quote[..16]);
        assert_eq!(extensions.map(|e| e.objects().count()), Some(1));
        for plain in [0, 4, 255] {
            assert_eq!(message(plain).quote_and_extensions(), (&quote[..], None));
        }
        let too_big = Message::PacketTooBig {
            code: 0,
            mtu: 1280,
            quote: &quote,
        };
        assert_eq!(too_big.quote_and_extensions(), (&quote[..], None));
    }
}
