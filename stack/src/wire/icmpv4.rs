//! Control messages of IPv4 (RFC 792, 950, 1191, 1256, 1393, 4884, 8335).
//!
//! ```text
//!  0                   1                   2                   3
//!  +---------------+---------------+-------------------------------+
//!  |     type      |     code      |            checksum           |
//!  +---------------+---------------+-------------------------------+
//!  |  by type: ident | sequence, gateway, pointer, next-hop MTU    |
//!  +---------------------------------------------------------------+
//!  |  echo data; or the quoted datagram, zeros to 128 bytes, and   |
//!  |  the extension structure (RFC 4884) ...
//! ```
//!
//! Read first: RFC 792 whole; RFC 1122 §3.2.2 and RFC 1812 §4.3 for what hosts and routers do with
//! each; RFC 4884 §4, §5.5, §7, §8.
//!
//! [`Message`] is lossless beside its [`Header`]: words that an RFC calls unused are kept. The code
//! of a message whose RFC knows only code 0 stands in the header alone, so an echo with a stray
//! code is still an echo; [`Message::emit_body`] behind [`Header::emit`] gives its bytes again,
//! while [`Message::emit`] writes the code it should have.
//!
//! Left out: Photuris, mobile host redirect, domain name and the other types that RFC 6918
//! deprecates come out as [`Message::Unknown`].

use super::checksum::{self, Sum};
pub use super::icmp::{HEADER_LEN, Header};
use super::{ParseError, Reader, Writer};
use core::net::Ipv4Addr;

/// Where the quote begins in an error message.
pub const QUOTE_OFFSET: usize = 8;

/// The type byte of each message that has a name here.
pub mod kind {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const DESTINATION_UNREACHABLE: u8 = 3;
    /// Source quench (deprecated by RFC 6633).
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Router advertisement (RFC 1256).
    pub const ROUTER_ADVERTISEMENT: u8 = 9;
    /// Router solicitation (RFC 1256).
    pub const ROUTER_SOLICITATION: u8 = 10;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
    /// Timestamp request.
    pub const TIMESTAMP_REQUEST: u8 = 13;
    /// Timestamp reply.
    pub const TIMESTAMP_REPLY: u8 = 14;
    /// Information request.
    pub const INFORMATION_REQUEST: u8 = 15;
    /// Information reply.
    pub const INFORMATION_REPLY: u8 = 16;
    /// Address mask request (RFC 950).
    pub const ADDRESS_MASK_REQUEST: u8 = 17;
    /// Address mask reply (RFC 950).
    pub const ADDRESS_MASK_REPLY: u8 = 18;
    /// Traceroute (RFC 1393).
    pub const TRACEROUTE: u8 = 30;
    /// Extended echo request (RFC 8335).
    pub const EXTENDED_ECHO_REQUEST: u8 = 42;
    /// Extended echo reply (RFC 8335).
    pub const EXTENDED_ECHO_REPLY: u8 = 43;
}

/// Whether messages of this type report an error (RFC 1122 §3.2.2).
#[must_use]
#[inline]
pub const fn is_error(kind: u8) -> bool {
    matches!(
        kind,
        kind::DESTINATION_UNREACHABLE
            | kind::SOURCE_QUENCH
            | kind::REDIRECT
            | kind::TIME_EXCEEDED
            | kind::PARAMETER_PROBLEM
    )
}

/// Whether the checksum over `message` (all of it) holds.
#[must_use]
#[inline]
pub fn verify(message: &[u8]) -> bool {
    checksum::of(message) == 0
}

/// Why a destination cannot be reached (RFC 792, 1122 §3.2.2.1, 1812 §5.2.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnreachableCode(pub u8);

impl UnreachableCode {
    /// No route to the network.
    pub const NET: Self = Self(0);
    /// The last router cannot reach the host.
    pub const HOST: Self = Self(1);
    /// No such transport protocol there.
    pub const PROTOCOL: Self = Self(2);
    /// No such port there.
    pub const PORT: Self = Self(3);
    /// Too big for the next link, and not to be fragmented.
    pub const FRAGMENTATION_NEEDED: Self = Self(4);
    /// The next hop of a source route cannot be had.
    pub const SOURCE_ROUTE_FAILED: Self = Self(5);
    /// Destination network unknown; obsolete, routers send [`NET`](Self::NET).
    pub const NET_UNKNOWN: Self = Self(6);
    /// Destination host unknown.
    pub const HOST_UNKNOWN: Self = Self(7);
    /// Source host isolated; obsolete.
    pub const SOURCE_HOST_ISOLATED: Self = Self(8);
    /// Destination network prohibited.
    pub const NET_PROHIBITED: Self = Self(9);
    /// Destination host prohibited.
    pub const HOST_PROHIBITED: Self = Self(10);
    /// Network unreachable for this type of service.
    pub const NET_TOS: Self = Self(11);
    /// Host unreachable for this type of service.
    pub const HOST_TOS: Self = Self(12);
    /// Prohibited by a filter.
    pub const ADMINISTRATIVELY_PROHIBITED: Self = Self(13);
    /// Host precedence violation.
    pub const PRECEDENCE_VIOLATION: Self = Self(14);
    /// Precedence cutoff in effect.
    pub const PRECEDENCE_CUTOFF: Self = Self(15);
}

/// For what a redirect holds (RFC 792; RFC 1812 §5.2.7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RedirectCode(pub u8);

impl RedirectCode {
    /// For the network; hosts treat it as for the host (RFC 1122 §3.2.2.2).
    pub const NET: Self = Self(0);
    /// For the host.
    pub const HOST: Self = Self(1);
    /// For the network and this type of service.
    pub const NET_TOS: Self = Self(2);
    /// For the host and this type of service.
    pub const HOST_TOS: Self = Self(3);
}

/// Which time was exceeded (RFC 792).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeExceededCode(pub u8);

impl TimeExceededCode {
    /// TTL reached zero in transit.
    pub const TTL: Self = Self(0);
    /// Fragments were missing for too long.
    pub const REASSEMBLY: Self = Self(1);
}

/// What about a parameter is wrong (RFC 792, 1122 §3.2.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterCode(pub u8);

impl ParameterCode {
    /// The pointer shows where.
    pub const POINTER: Self = Self(0);
    /// A required option is missing (RFC 1108).
    pub const MISSING_OPTION: Self = Self(1);
    /// A length is bad.
    pub const BAD_LENGTH: Self = Self(2);
}

/// The body of a timestamp request or reply; times are milliseconds since midnight UT, or any time
/// with the top bit set (RFC 792; RFC 1122 §3.2.2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timestamps<'a> {
    /// Identifier.
    pub ident: u16,
    /// Sequence number.
    pub seq: u16,
    /// When the sender last touched the request.
    pub originate: u32,
    /// When the echoer first touched it.
    pub receive: u32,
    /// When the echoer last touched the reply.
    pub transmit: u32,
    /// What follows, which should be nothing.
    pub rest: &'a [u8],
}

/// The body of an address mask request or reply (RFC 950 appendix I).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressMask<'a> {
    /// Identifier.
    pub ident: u16,
    /// Sequence number.
    pub seq: u16,
    /// The mask; zero in a request.
    pub mask: Ipv4Addr,
    /// What follows, which should be nothing.
    pub rest: &'a [u8],
}

/// A message by its meaning. `quote` is everything behind the 8th byte, extensions included:
/// [`Message::quote_and_extensions`] takes it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message<'a> {
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
    /// A datagram could not be delivered.
    DestinationUnreachable {
        /// Why.
        code: UnreachableCode,
        /// Should be zero.
        unused: u8,
        /// Length of the quote in 32-bit words where extensions follow, else zero (RFC 4884 §4.1).
        length: u8,
        /// With fragmentation needed: the MTU of the next hop (RFC 1191 §4); else unused.
        next_hop_mtu: u16,
        /// The datagram's beginning.
        quote: &'a [u8],
    },
    /// Slow down; neither sent nor obeyed any more (RFC 6633).
    SourceQuench {
        /// Should be zero.
        unused: u32,
        /// The datagram's beginning.
        quote: &'a [u8],
    },
    /// There is a better first hop.
    Redirect {
        /// For what.
        code: RedirectCode,
        /// The better one.
        gateway: Ipv4Addr,
        /// The datagram's beginning.
        quote: &'a [u8],
    },
    /// A datagram or its fragments lived too long.
    TimeExceeded {
        /// Which.
        code: TimeExceededCode,
        /// Should be zero.
        unused: u8,
        /// Length of the quote in 32-bit words where extensions follow, else zero (RFC 4884 §4.2).
        length: u8,
        /// Should be zero.
        unused2: u16,
        /// The datagram's beginning.
        quote: &'a [u8],
    },
    /// A header field is wrong.
    ParameterProblem {
        /// What about it.
        code: ParameterCode,
        /// Which byte of the datagram, with code 0.
        pointer: u8,
        /// Length of the quote in 32-bit words where extensions follow, else zero (RFC 4884 §4.3).
        length: u8,
        /// Should be zero.
        unused: u16,
        /// The datagram's beginning.
        quote: &'a [u8],
    },
    /// Asks for the time.
    TimestampRequest(Timestamps<'a>),
    /// Tells the time.
    TimestampReply(Timestamps<'a>),
    /// Asked for the network's number; obsolete (RFC 1122 §3.2.2.7).
    InformationRequest {
        /// Identifier.
        ident: u16,
        /// Sequence number.
        seq: u16,
        /// What follows, which should be nothing.
        rest: &'a [u8],
    },
    /// Told the network's number; obsolete.
    InformationReply {
        /// Identifier.
        ident: u16,
        /// Sequence number.
        seq: u16,
        /// What follows, which should be nothing.
        rest: &'a [u8],
    },
    /// Asks for the subnet mask.
    AddressMaskRequest(AddressMask<'a>),
    /// Tells the subnet mask.
    AddressMaskReply(AddressMask<'a>),
    /// Here are routers (RFC 1256 §3).
    RouterAdvertisement {
        /// 0, or 16 from a mobility agent that forwards nothing else (RFC 5944 §2.1).
        code: u8,
        /// How many addresses.
        num_addrs: u8,
        /// How many 32-bit words each entry has: 2.
        addr_entry_size: u8,
        /// How long they hold, in seconds.
        lifetime: u16,
        /// The entries, raw ([`Message::routers`]).
        entries: &'a [u8],
    },
    /// Routers, make yourselves known (RFC 1256 §3).
    RouterSolicitation {
        /// Should be zero.
        reserved: u32,
        /// What follows, which should be nothing.
        rest: &'a [u8],
    },
    /// A router forwarded, or could not, a datagram with the traceroute option (RFC 1393 §2.3).
    Traceroute {
        /// 0: forwarded; 1: no route.
        code: u8,
        /// Identifies the trace.
        ident: u16,
        /// Should be zero.
        unused: u16,
        /// Hops so far on the way out.
        outbound_hops: u16,
        /// Hops so far on the way back.
        return_hops: u16,
        /// Bytes per second of the link out.
        speed: u32,
        /// MTU of the link out.
        mtu: u32,
        /// What follows, which should be nothing.
        rest: &'a [u8],
    },
    /// Asks after an interface (RFC 8335 §2).
    ExtendedEchoRequest {
        /// Identifier.
        ident: u16,
        /// Sequence number.
        seq: u8,
        /// Lowest bit: the interface is on the node asked, not beside it.
        flags: u8,
        /// The extension structure that names the interface.
        extensions: &'a [u8],
    },
    /// Tells of an interface (RFC 8335 §3).
    ExtendedEchoReply {
        /// 0: no error; 1 to 4: why there is no answer.
        code: u8,
        /// Identifier of the request.
        ident: u16,
        /// Sequence number of the request.
        seq: u8,
        /// From the top: state (3 bits), reserved (2), active, runs IPv4, runs IPv6.
        state: u8,
        /// What follows, which should be nothing.
        rest: &'a [u8],
    },
    /// Any other.
    Unknown {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// Everything behind the checksum.
        rest: &'a [u8],
    },
}

/// The words behind the header, how many of them there are, and the bytes that follow.
type Body<'a> = ([u32; 4], usize, &'a [u8]);

impl<'a> Message<'a> {
    /// Parses a whole message: `bytes` must end where the datagram does.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] where the fixed part of its type is not all there.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Header, Self), ParseError> {
        let (header, body) = Header::parse(bytes)?;
        let mut r = Reader::new(body);
        let message = match header.kind {
            kind::ECHO_REQUEST | kind::ECHO_REPLY => {
                let [ident, seq] = halves(r.array("ICMP echo")?);
                let data = r.rest();
                if header.kind == kind::ECHO_REQUEST {
                    Self::EchoRequest { ident, seq, data }
                } else {
                    Self::EchoReply { ident, seq, data }
                }
            }
            kind if is_error(kind) => Self::parse_error(&header, r)?,
            _ => Self::parse_query(&header, r)?,
        };
        Ok((header, message))
    }

    fn parse_error(header: &Header, mut r: Reader<'a>) -> Result<Self, ParseError> {
        let word: [u8; 4] = r.array("ICMP error")?;
        let ([first, length, ..], [_, second]) = (word, halves(word));
        let (quote, code) = (r.rest(), header.code);
        Ok(match header.kind {
            kind::DESTINATION_UNREACHABLE => Self::DestinationUnreachable {
                code: UnreachableCode(code),
                unused: first,
                length,
                next_hop_mtu: second,
                quote,
            },
            kind::SOURCE_QUENCH => Self::SourceQuench {
                unused: u32::from_be_bytes(word),
                quote,
            },
            kind::REDIRECT => Self::Redirect {
                code: RedirectCode(code),
                gateway: word.into(),
                quote,
            },
            kind::TIME_EXCEEDED => Self::TimeExceeded {
                code: TimeExceededCode(code),
                unused: first,
                length,
                unused2: second,
                quote,
            },
            _ => Self::ParameterProblem {
                code: ParameterCode(code),
                pointer: first,
                length,
                unused: second,
                quote,
            },
        })
    }

    fn parse_query(header: &Header, mut r: Reader<'a>) -> Result<Self, ParseError> {
        const WHAT: &str = "ICMP message";
        let code = header.code;
        Ok(match header.kind {
            kind::TIMESTAMP_REQUEST => Self::TimestampRequest(Timestamps::parse(r)?),
            kind::TIMESTAMP_REPLY => Self::TimestampReply(Timestamps::parse(r)?),
            kind::ADDRESS_MASK_REQUEST => Self::AddressMaskRequest(AddressMask::parse(r)?),
            kind::ADDRESS_MASK_REPLY => Self::AddressMaskReply(AddressMask::parse(r)?),
            kind::INFORMATION_REQUEST => Self::InformationRequest {
                ident: r.u16(WHAT)?,
                seq: r.u16(WHAT)?,
                rest: r.rest(),
            },
            kind::INFORMATION_REPLY => Self::InformationReply {
                ident: r.u16(WHAT)?,
                seq: r.u16(WHAT)?,
                rest: r.rest(),
            },
            kind::ROUTER_ADVERTISEMENT => Self::RouterAdvertisement {
                code,
                num_addrs: r.u8(WHAT)?,
                addr_entry_size: r.u8(WHAT)?,
                lifetime: r.u16(WHAT)?,
                entries: r.rest(),
            },
            kind::ROUTER_SOLICITATION => Self::RouterSolicitation {
                reserved: r.u32(WHAT)?,
                rest: r.rest(),
            },
            kind::TRACEROUTE => Self::Traceroute {
                code,
                ident: r.u16(WHAT)?,
                unused: r.u16(WHAT)?,
                outbound_hops: r.u16(WHAT)?,
                return_hops: r.u16(WHAT)?,
                speed: r.u32(WHAT)?,
                mtu: r.u32(WHAT)?,
                rest: r.rest(),
            },
            kind::EXTENDED_ECHO_REQUEST => Self::ExtendedEchoRequest {
                ident: r.u16(WHAT)?,
                seq: r.u8(WHAT)?,
                flags: r.u8(WHAT)?,
                extensions: r.rest(),
            },
            kind::EXTENDED_ECHO_REPLY => Self::ExtendedEchoReply {
                code,
                ident: r.u16(WHAT)?,
                seq: r.u8(WHAT)?,
                state: r.u8(WHAT)?,
                rest: r.rest(),
            },
            kind => Self::Unknown {
                kind,
                code,
                rest: r.rest(),
            },
        })
    }

    /// An unreachable report; `next_hop_mtu` is zero but for fragmentation needed.
    #[must_use]
    pub const fn unreachable(code: UnreachableCode, next_hop_mtu: u16, quote: &'a [u8]) -> Self {
        Self::DestinationUnreachable {
            code,
            unused: 0,
            length: 0,
            next_hop_mtu,
            quote,
        }
    }

    /// A time exceeded report.
    #[must_use]
    pub const fn time_exceeded(code: TimeExceededCode, quote: &'a [u8]) -> Self {
        Self::TimeExceeded {
            code,
            unused: 0,
            length: 0,
            unused2: 0,
            quote,
        }
    }

    /// A parameter problem report with code 0: byte `pointer` of the quoted datagram is wrong.
    #[must_use]
    pub const fn parameter_problem(pointer: u8, quote: &'a [u8]) -> Self {
        Self::ParameterProblem {
            code: ParameterCode::POINTER,
            pointer,
            length: 0,
            unused: 0,
            quote,
        }
    }

    /// The type.
    #[must_use]
    #[inline]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::EchoRequest { .. } => kind::ECHO_REQUEST,
            Self::EchoReply { .. } => kind::ECHO_REPLY,
            Self::DestinationUnreachable { .. } => kind::DESTINATION_UNREACHABLE,
            Self::SourceQuench { .. } => kind::SOURCE_QUENCH,
            Self::Redirect { .. } => kind::REDIRECT,
            Self::TimeExceeded { .. } => kind::TIME_EXCEEDED,
            Self::ParameterProblem { .. } => kind::PARAMETER_PROBLEM,
            Self::TimestampRequest(_) => kind::TIMESTAMP_REQUEST,
            Self::TimestampReply(_) => kind::TIMESTAMP_REPLY,
            Self::InformationRequest { .. } => kind::INFORMATION_REQUEST,
            Self::InformationReply { .. } => kind::INFORMATION_REPLY,
            Self::AddressMaskRequest(_) => kind::ADDRESS_MASK_REQUEST,
            Self::AddressMaskReply(_) => kind::ADDRESS_MASK_REPLY,
            Self::RouterAdvertisement { .. } => kind::ROUTER_ADVERTISEMENT,
            Self::RouterSolicitation { .. } => kind::ROUTER_SOLICITATION,
            Self::Traceroute { .. } => kind::TRACEROUTE,
            Self::ExtendedEchoRequest { .. } => kind::EXTENDED_ECHO_REQUEST,
            Self::ExtendedEchoReply { .. } => kind::EXTENDED_ECHO_REPLY,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// The code that belongs to this meaning; the one received is in the [`Header`].
    #[must_use]
    #[inline]
    pub const fn code(&self) -> u8 {
        match self {
            Self::DestinationUnreachable { code, .. } => code.0,
            Self::Redirect { code, .. } => code.0,
            Self::TimeExceeded { code, .. } => code.0,
            Self::ParameterProblem { code, .. } => code.0,
            Self::RouterAdvertisement { code, .. }
            | Self::Traceroute { code, .. }
            | Self::ExtendedEchoReply { code, .. }
            | Self::Unknown { code, .. } => *code,
            _ => 0,
        }
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    #[inline]
    pub fn emit_len(&self) -> usize {
        let (_, words, tail) = self.body();
        HEADER_LEN + 4 * words + tail.len()
    }

    /// Writes header and body.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`].
    #[inline]
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
    /// [`ParseError::NoRoom`].
    #[inline]
    pub fn emit_body(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        let (words, count, tail) = self.body();
        for word in words.iter().take(count) {
            w.u32(*word)?;
        }
        w.put(tail)
    }

    /// What [`emit`](Self::emit) should be given as checksum.
    #[must_use]
    #[inline]
    pub fn compute_checksum(&self) -> u16 {
        let (words, count, tail) = self.body();
        let mut sum = Sum::new();
        sum.add(&[self.kind(), self.code()]);
        for word in words.iter().take(count) {
            sum.add(&word.to_be_bytes());
        }
        sum.add(tail);
        sum.finish()
    }

    #[inline]
    fn body(&self) -> Body<'a> {
        match *self {
            Self::EchoRequest { ident, seq, data } | Self::EchoReply { ident, seq, data } => {
                ([pair(ident, seq), 0, 0, 0], 1, data)
            }
            _ => self.other_body(),
        }
    }

    fn other_body(&self) -> Body<'a> {
        let one = |word, tail| ([word, 0, 0, 0], 1, tail);
        let bytes = |a, b, second| pair(u16::from_be_bytes([a, b]), second);
        match *self {
            Self::EchoRequest { ident, seq, data } | Self::EchoReply { ident, seq, data } => {
                one(pair(ident, seq), data)
            }
            Self::DestinationUnreachable {
                unused: first,
                length,
                next_hop_mtu: second,
                quote,
                ..
            }
            | Self::TimeExceeded {
                unused: first,
                length,
                unused2: second,
                quote,
                ..
            }
            | Self::ParameterProblem {
                pointer: first,
                length,
                unused: second,
                quote,
                ..
            } => one(bytes(first, length, second), quote),
            Self::SourceQuench { unused, quote } => one(unused, quote),
            Self::Redirect { gateway, quote, .. } => one(gateway.to_bits(), quote),
            Self::TimestampRequest(t) | Self::TimestampReply(t) => (
                [pair(t.ident, t.seq), t.originate, t.receive, t.transmit],
                4,
                t.rest,
            ),
            Self::InformationRequest { ident, seq, rest }
            | Self::InformationReply { ident, seq, rest } => one(pair(ident, seq), rest),
            Self::AddressMaskRequest(m) | Self::AddressMaskReply(m) => {
                ([pair(m.ident, m.seq), m.mask.to_bits(), 0, 0], 2, m.rest)
            }
            Self::RouterAdvertisement {
                num_addrs,
                addr_entry_size,
                lifetime,
                entries,
                ..
            } => one(bytes(num_addrs, addr_entry_size, lifetime), entries),
            Self::RouterSolicitation { reserved, rest } => one(reserved, rest),
            Self::Traceroute {
                ident,
                unused,
                outbound_hops,
                return_hops,
                speed,
                mtu,
                rest,
                ..
            } => {
                let hops = pair(outbound_hops, return_hops);
                ([pair(ident, unused), hops, speed, mtu], 4, rest)
            }
            Self::ExtendedEchoRequest {
                ident,
                seq,
                flags: last,
                extensions: rest,
            }
            | Self::ExtendedEchoReply {
                ident,
                seq,
                state: last,
                rest,
                ..
            } => one(pair(ident, u16::from_be_bytes([seq, last])), rest),
            Self::Unknown { rest, .. } => ([0; 4], 0, rest),
        }
    }

    /// The quoted datagram and the extensions behind it (RFC 4884 §4, §5); no bytes and none for a
    /// message that quotes nothing. A length field beyond the message is taken as no length.
    #[must_use]
    pub fn quote_and_extensions(&self) -> (&'a [u8], Option<Extensions<'a>>) {
        let (length, quote) = match *self {
            Self::DestinationUnreachable { length, quote, .. }
            | Self::TimeExceeded { length, quote, .. }
            | Self::ParameterProblem { length, quote, .. } => (length, quote),
            Self::SourceQuench { quote, .. } | Self::Redirect { quote, .. } => {
                return (quote, None);
            }
            _ => return (&[], None),
        };
        split_quote(quote, usize::from(length) * 4)
    }

    /// The addresses of a router advertisement, as many as it counts and holds.
    pub fn routers(&self) -> impl Iterator<Item = RouterEntry> + use<'a> {
        let (count, size, entries) = match *self {
            Self::RouterAdvertisement {
                num_addrs,
                addr_entry_size,
                entries,
                ..
            } if addr_entry_size >= 2 => (num_addrs, usize::from(addr_entry_size) * 4, entries),
            _ => (0, 8, &[][..]),
        };
        entries
            .chunks_exact(size)
            .take(usize::from(count))
            .map_while(|entry| {
                let mut r = Reader::new(entry);
                Some(RouterEntry {
                    addr: r.array::<4>("router address").ok()?.into(),
                    preference: i32::from_be_bytes(r.array("router preference").ok()?),
                })
            })
    }
}

impl<'a> Timestamps<'a> {
    fn parse(mut r: Reader<'a>) -> Result<Self, ParseError> {
        Ok(Self {
            ident: r.u16("ICMP timestamp")?,
            seq: r.u16("ICMP timestamp")?,
            originate: r.u32("ICMP timestamp")?,
            receive: r.u32("ICMP timestamp")?,
            transmit: r.u32("ICMP timestamp")?,
            rest: r.rest(),
        })
    }
}

impl<'a> AddressMask<'a> {
    fn parse(mut r: Reader<'a>) -> Result<Self, ParseError> {
        Ok(Self {
            ident: r.u16("ICMP address mask")?,
            seq: r.u16("ICMP address mask")?,
            mask: r.array::<4>("ICMP address mask")?.into(),
            rest: r.rest(),
        })
    }
}

#[inline]
fn halves([a, b, c, d]: [u8; 4]) -> [u16; 2] {
    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
}

#[inline]
fn pair(high: u16, low: u16) -> u32 {
    u32::from(high) << 16 | u32::from(low)
}

/// One router of an advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouterEntry {
    /// Its address.
    pub addr: Ipv4Addr,
    /// How much it is to be preferred; the least value means never by default.
    pub preference: i32,
}

/// The quote is padded to at least this where extensions follow.
pub const MIN_EXTENDED_QUOTE_LEN: usize = 128;

/// Splits what follows an error's fixed part at `quote_len`, as ICMPv6 does too (RFC 4884 §4.4).
#[must_use]
pub fn split_quote(bytes: &[u8], quote_len: usize) -> (&[u8], Option<Extensions<'_>>) {
    // We differ: RFC 4884 §5.5 asks for a switch before looking behind 128 bytes that no length
    // vouches for. We always look, since there a right version and checksum are demanded.
    let vouched = quote_len != 0;
    let at = if vouched {
        quote_len
    } else {
        MIN_EXTENDED_QUOTE_LEN
    };
    if let Some((quote, extensions)) = bytes.split_at_checked(at)
        && let Ok(extensions) = Extensions::parse(extensions)
        && (vouched || extensions.is_certain())
    {
        (quote, Some(extensions))
    } else {
        (bytes, None)
    }
}

/// The extension structure (RFC 4884 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extensions<'a> {
    /// Version; 2.
    pub version: u8,
    /// Should be zero, 12 bits.
    pub reserved: u16,
    /// Checksum as carried; zero means none.
    pub checksum: u16,
    bytes: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// Parses the structure, which goes to the message's end.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] below 4 bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(bytes);
        let first = r.u16("ICMP extension header")?;
        Ok(Self {
            version: u8::try_from(first >> 12).unwrap_or_default(),
            reserved: first & 0xfff,
            checksum: r.u16("ICMP extension header")?,
            bytes,
        })
    }

    /// The whole structure, raw.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the version is known and the checksum, if there is one, holds (RFC 4884 §7, §9).
    #[must_use]
    pub fn verify(&self) -> bool {
        self.version == 2 && (self.checksum == 0 || checksum::of(self.bytes) == 0)
    }

    /// Whether these bytes can hardly be anything but an extension structure with an object.
    fn is_certain(&self) -> bool {
        self.bytes.len() >= 8 && self.checksum != 0 && self.verify()
    }

    /// The objects one by one; an error ends the list.
    #[must_use]
    pub fn objects(&self) -> Objects<'a> {
        Objects {
            rest: self.bytes.get(4..).unwrap_or_default(),
        }
    }

    /// Writes a structure of these objects, checksum included.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], or [`ParseError::Invalid`] for an object beyond 65,535 bytes.
    pub fn emit(objects: &[Object<'_>], w: &mut Writer<'_>) -> Result<(), ParseError> {
        let version = [0x20, 0];
        let mut sum = Sum::new();
        sum.add(&version);
        for object in objects {
            sum.add(&object.header()?);
            sum.add(object.payload);
        }
        w.put(&version)?;
        w.u16(sum.finish())?;
        for object in objects {
            object.emit(w)?;
        }
        Ok(())
    }
}

/// An extension object (RFC 4884 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Object<'a> {
    /// Class.
    pub class: u8,
    /// Type within the class.
    pub ctype: u8,
    /// What follows its header.
    pub payload: &'a [u8],
}

impl<'a> Object<'a> {
    /// Class of the MPLS label stack (RFC 4950 §3).
    pub const MPLS: u8 = 1;
    /// Class of interface information (RFC 5837 §4).
    pub const INTERFACE_INFORMATION: u8 = 2;
    /// Class of interface identification (RFC 8335 §2.1).
    pub const INTERFACE_IDENTIFICATION: u8 = 3;

    fn header(&self) -> Result<[u8; 4], ParseError> {
        let len = u16::try_from(self.payload.len() + 4);
        let len = len.map_err(|_| ParseError::Invalid("ICMP extension object length"))?;
        let [l0, l1] = len.to_be_bytes();
        Ok([l0, l1, self.class, self.ctype])
    }

    /// Writes the object.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], or [`ParseError::Invalid`] beyond 65,535 bytes.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        w.put(&self.header()?)?;
        w.put(self.payload)
    }

    /// The label stack of an MPLS object (class 1, type 1); nothing for others.
    pub fn mpls_labels(&self) -> impl Iterator<Item = MplsLabel> + use<'a> {
        let payload = match (self.class, self.ctype) {
            (Self::MPLS, 1) => self.payload,
            _ => &[],
        };
        payload
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&[a, b, c, ttl]| MplsLabel {
                label: u32::from_be_bytes([0, a, b, c]) >> 4,
                exp: c >> 1 & 7,
                bottom: c & 1 != 0,
                ttl,
            })
    }
}

/// An entry of an MPLS label stack (RFC 3032 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MplsLabel {
    /// Label, 20 bits.
    pub label: u32,
    /// Traffic class, 3 bits.
    pub exp: u8,
    /// Whether it is the last of the stack.
    pub bottom: bool,
    /// Time to live.
    pub ttl: u8,
}

/// Goes through extension objects.
#[derive(Clone, Copy, Debug)]
pub struct Objects<'a> {
    rest: &'a [u8],
}

impl<'a> Objects<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Object<'a>, ParseError> {
        let len = usize::from(r.u16("ICMP extension object")?);
        let [class, ctype] = r.array("ICMP extension object")?;
        let len = len.checked_sub(4);
        let len = len.ok_or(ParseError::Invalid("ICMP extension object length"))?;
        Ok(Object {
            class,
            ctype,
            payload: r.take(len, "ICMP extension object")?,
        })
    }
}

impl<'a> Iterator for Objects<'a> {
    type Item = Result<Object<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut r = Reader::new(self.rest);
        let object = Self::read(&mut r);
        self.rest = if object.is_ok() { r.rest() } else { &[] };
        Some(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn emit(message: &Message<'_>, checksum: u16) -> Vec<u8> {
        let mut out = std::vec![0; message.emit_len()];
        message.emit(&mut Writer::new(&mut out), checksum).unwrap();
        out
    }

    /// Each type with its fixed length and whether its meaning carries the code.
    const EACH: [(u8, usize, bool); 19] = [
        (0, 8, false),
        (3, 8, true),
        (4, 8, false),
        (5, 8, true),
        (8, 8, false),
        (9, 8, true),
        (10, 8, false),
        (11, 8, true),
        (12, 8, true),
        (13, 20, false),
        (14, 20, false),
        (15, 8, false),
        (16, 8, false),
        (17, 12, false),
        (18, 12, false),
        (30, 20, true),
        (42, 8, false),
        (43, 8, true),
        (99, 4, true),
    ];

    #[test]
    fn every_type_re_emits_its_bytes() {
        for (kind, fixed, has_code) in EACH {
            let mut bytes: Vec<u8> = (1..=30).collect();
            bytes[0] = kind;
            let (header, message) = Message::parse(&bytes).unwrap();
            assert_eq!(message.kind(), kind);
            assert_eq!(matches!(message, Message::Unknown { .. }), kind == 99);
            assert_eq!(message.code() == 2, has_code, "{kind}");
            let mut out = std::vec![0; bytes.len()];
            let mut w = Writer::new(&mut out);
            header.emit(&mut w).unwrap();
            message.emit_body(&mut w).unwrap();
            assert_eq!(out, bytes);
            assert_eq!(emit(&message, header.checksum)[4..], bytes[4..]);
            assert!(verify(&emit(&message, message.compute_checksum())));
            for len in 0..bytes.len() {
                assert_eq!(Message::parse(&bytes[..len]).is_ok(), len >= fixed);
            }
        }
    }

    #[test]
    fn fields_are_where_the_rfcs_put_them() {
        let bytes = [3, 4, 0xaa, 0xbb, 1, 2, 5, 0xdc, 0x45];
        let (header, message) = Message::parse(&bytes).unwrap();
        assert_eq!((header.checksum, is_error(header.kind)), (0xaabb, true));
        let want = Message::DestinationUnreachable {
            code: UnreachableCode::FRAGMENTATION_NEEDED,
            unused: 1,
            length: 2,
            next_hop_mtu: 1500,
            quote: &[0x45],
        };
        assert_eq!(message, want);
        let bytes = [8, 0, 0, 0, 1, 2, 3, 4, 5];
        let want = Message::EchoRequest {
            ident: 0x102,
            seq: 0x304,
            data: &[5],
        };
        assert_eq!(Message::parse(&bytes).unwrap().1, want);
        let (_, message) = Message::parse(&[12, 0, 0, 0, 20, 0, 0, 0]).unwrap();
        assert_eq!(message, Message::parameter_problem(20, &[]));
        let (_, message) = Message::parse(&[11, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        let code = TimeExceededCode::REASSEMBLY;
        assert_eq!(message, Message::time_exceeded(code, &[]));
    }

    #[test]
    fn router_entries() {
        let bytes = [
            9, 0, 0, 0, 2, 2, 0, 30, 10, 0, 0, 1, 0, 0, 0, 7, 10, 0, 0, 2, 0x80, 0, 0, 0, 1, 2, 3,
            4, 5, 6, 7, 8,
        ];
        let (_, message) = Message::parse(&bytes).unwrap();
        let routers: Vec<_> = message.routers().map(|r| (r.addr, r.preference)).collect();
        let addr = |last| Ipv4Addr::new(10, 0, 0, last);
        assert_eq!(routers, [(addr(1), 7), (addr(2), i32::MIN)]);
        for size in [0, 1, 7] {
            let mut bytes = bytes;
            bytes[5] = size;
            assert_eq!(Message::parse(&bytes).unwrap().1.routers().count(), 0);
        }
    }

    const LABELS: Object<'_> = Object {
        class: Object::MPLS,
        ctype: 1,
        payload: &[0x12, 0x34, 0x5a, 1, 0, 0x01, 0x03, 255],
    };
    const NAME: Object<'_> = Object {
        class: Object::INTERFACE_INFORMATION,
        ctype: 2,
        payload: b"eth0",
    };

    fn extended(quote_len: usize) -> Vec<u8> {
        let mut out = std::vec![0x11; quote_len];
        let mut tail = [0; 24];
        Extensions::emit(&[LABELS, NAME], &mut Writer::new(&mut tail)).unwrap();
        out.extend(tail);
        out
    }

    #[test]
    fn extensions_behind_a_length_and_without_one() {
        // (quote length, length field, found)
        for (len, length, found) in [
            (128, 32, true),
            (128, 0, true),
            (160, 40, true),
            (160, 0, false),
            (40, 10, true),
            (40, 0, false),
            (128, 255, false),
        ] {
            let quote = extended(len);
            let message = Message::TimeExceeded {
                code: TimeExceededCode::TTL,
                unused: 0,
                length,
                unused2: 0,
                quote: &quote,
            };
            let (front, extensions) = message.quote_and_extensions();
            assert_eq!(front.len(), if found { len } else { quote.len() });
            assert_eq!(extensions.is_some(), found, "{len} {length}");
            if let Some(extensions) = extensions {
                assert!(extensions.verify());
                let objects: Vec<_> = extensions.objects().map(Result::unwrap).collect();
                assert_eq!(objects, [LABELS, NAME]);
            }
        }
    }

    #[test]
    fn a_wrong_extension_checksum_shows() {
        let mut quote = extended(128);
        let (_, extensions) = split_quote(&quote, 128);
        assert!(extensions.unwrap().verify());
        quote[140] ^= 1;
        let (_, extensions) = split_quote(&quote, 128);
        assert!(!extensions.unwrap().verify());
        assert_eq!(split_quote(&quote, 0).1, None);
        // None was computed: good behind a length, too little to go by without one.
        quote[130..132].fill(0);
        assert!(split_quote(&quote, 128).1.unwrap().verify());
        assert_eq!(split_quote(&quote, 0).1, None);
    }

    #[test]
    fn labels_and_malformed_objects() {
        let labels: Vec<_> = LABELS.mpls_labels().collect();
        let label = |label, exp, bottom, ttl| MplsLabel {
            label,
            exp,
            bottom,
            ttl,
        };
        assert_eq!(
            labels,
            [label(0x12345, 5, false, 1), label(0x10, 1, true, 255)]
        );
        assert_eq!(NAME.mpls_labels().count(), 0);
        for (objects, want) in [
            (
                &[0, 3, 1, 1][..],
                ParseError::Invalid("ICMP extension object length"),
            ),
            (
                &[0, 9, 1, 1, 0],
                ParseError::Truncated("ICMP extension object"),
            ),
            (&[0, 8, 1], ParseError::Truncated("ICMP extension object")),
        ] {
            let mut bytes = std::vec![0x20, 0, 0, 0];
            bytes.extend(objects);
            let mut objects = Extensions::parse(&bytes).unwrap().objects();
            assert_eq!(objects.next(), Some(Err(want)));
            assert_eq!(objects.next(), None);
        }
    }
}
