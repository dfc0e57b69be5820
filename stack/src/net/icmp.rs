//! ICMP messages that we send, of both families: errors about packets, and answers to questions.
//!
//! ```text
//!  0                   1                   2                   3
//!  +---------------+---------------+-------------------------------+
//!  |     type      |     code      |           checksum            |
//!  +---------------+---------------+-------------------------------+
//!  |            unused, gateway, next-hop MTU or pointer           |
//!  +---------------------------------------------------------------+
//!  |  the packet's header and as much of its data as fits ...      |
//!  +---------------------------------------------------------------+
//! ```
//!
//! Read first: RFC 792; RFC 1122 §3.2.2; RFC 1812 §4.3; RFC 1191 §4; RFC 4443 §2.4 and §3.
//!
//! Promises: never an error about an error, a group, a broadcast, a later fragment of IPv4 or a packet from
//! nobody in particular ([`may_report`]); the quote is the packet as it came, bytes shared.
//!
//! Left out: source quench (RFC 6633 forbids it), information and address mask requests (RFC 6918
//! and RFC 1122 §3.2.2.9: only an authorised server answers).

use super::ip;
use crate::frame::{Checksum, Frame};
use crate::wire::checksum::{self, Sum};
use crate::wire::icmpv6::{ParameterCode, UnreachableCode};
use crate::wire::{Protocol, icmpv4, icmpv6};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest error packet, IP header included (RFC 1812 §4.3.2.3: as much as fits 576 bytes).
const MAX_ERROR_LEN: usize = 576;
/// The same of IPv6.
//= RFC 4443 §3 as much of the packet as possible without the error exceeding the minimum MTU.
const MAX_ERROR_LEN_V6: usize = crate::wire::ipv6::MIN_MTU;

/// An error to report about a packet, by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no route to the destination's network.
    NoRoute,
    /// The destination, or the last router before it, does not answer.
    HostUnreachable,
    /// A policy forbids it.
    Prohibited,
    /// It would leave the zone that its source means something in (RFC 4007 §9).
    BeyondScope,
    /// It came by another way than leads back to its source (RFC 3704).
    SourcePolicy,
    /// Nobody listens on the port.
    PortUnreachable,
    /// The host does not speak the protocol that is named at this offset.
    UnknownProtocol(u16),
    /// Too big for the next link, whose MTU this is (RFC 1191 §4, RFC 4443 §3.2).
    TooBig(u16),
    /// A better first hop is on the sender's own net; IPv4's alone, since neighbour discovery has its
    /// own.
    Redirect(Ipv4Addr),
    /// The time to live ran out.
    TimeExceeded,
    /// The fragments did not come.
    ReassemblyTime,
    /// The byte at this offset is wrong, in this way (which IPv4 does not tell).
    ParameterProblem(ParameterCode, u32),
}

impl Error {
    /// Type, code and the four bytes behind the checksum in ICMPv4.
    #[must_use]
    pub fn v4(self) -> (u8, u8, [u8; 4]) {
        use icmpv4::kind::{DESTINATION_UNREACHABLE, PARAMETER_PROBLEM, REDIRECT, TIME_EXCEEDED};
        let unreachable = |code| (DESTINATION_UNREACHABLE, code, [0; 4]);
        match self {
            Self::NoRoute => unreachable(0),
            //= RFC 1812 §5.2.7.1 host unreachable, where the last hop does not answer.
            Self::HostUnreachable => unreachable(1),
            //= RFC 1122 §3.2.2.1 a host SHOULD send protocol unreachable.
            Self::UnknownProtocol(_) => unreachable(2),
            Self::PortUnreachable => unreachable(3),
            //= RFC 1812 §5.2.7.1 code 13, communication administratively prohibited.
            // The last two are of IPv6 alone.
            Self::Prohibited | Self::BeyondScope | Self::SourcePolicy => unreachable(13),
            Self::TooBig(mtu) => {
                let [high, low] = mtu.to_be_bytes();
                (DESTINATION_UNREACHABLE, 4, [0, 0, high, low])
            }
            // For the host, not its whole net (RFC 1812 §4.3.3.2).
            Self::Redirect(gateway) => (REDIRECT, 1, gateway.octets()),
            Self::TimeExceeded => (TIME_EXCEEDED, 0, [0; 4]),
            Self::ReassemblyTime => (TIME_EXCEEDED, 1, [0; 4]),
            Self::ParameterProblem(_, pointer) => {
                let pointer = u8::try_from(pointer).unwrap_or(0);
                (PARAMETER_PROBLEM, 0, [pointer, 0, 0, 0])
            }
        }
    }

    /// The same in ICMPv6.
    #[must_use]
    pub fn v6(self) -> (u8, u8, [u8; 4]) {
        use icmpv6::kind::{
            DESTINATION_UNREACHABLE, PACKET_TOO_BIG, PARAMETER_PROBLEM, TIME_EXCEEDED,
        };
        let unreachable = |code| (DESTINATION_UNREACHABLE, code, [0; 4]);
        match self {
            Self::NoRoute => unreachable(0),
            Self::Prohibited => unreachable(1),
            Self::BeyondScope => unreachable(UnreachableCode::BEYOND_SCOPE.0),
            Self::SourcePolicy => unreachable(UnreachableCode::SOURCE_POLICY.0),
            // A redirect is never asked for.
            Self::HostUnreachable | Self::Redirect(_) => unreachable(3),
            Self::PortUnreachable => unreachable(4),
            Self::TooBig(mtu) => (PACKET_TOO_BIG, 0, u32::from(mtu).to_be_bytes()),
            Self::TimeExceeded => (TIME_EXCEEDED, 0, [0; 4]),
            Self::ReassemblyTime => (TIME_EXCEEDED, 1, [0; 4]),
            //= RFC 8200 §4 a next header that is not known is a parameter problem of code 1.
            Self::UnknownProtocol(at) => (PARAMETER_PROBLEM, 1, u32::from(at).to_be_bytes()),
            Self::ParameterProblem(code, pointer) => {
                (PARAMETER_PROBLEM, code.0, pointer.to_be_bytes())
            }
        }
    }

    /// Whether a group may hear of it as well.
    //= RFC 4443 §2.4 (e.3) two errors are sent about packets to groups: too big, and an option that is
    //= not known.
    #[must_use]
    pub const fn concerns_groups(self) -> bool {
        matches!(
            self,
            Self::TooBig(_) | Self::ParameterProblem(ParameterCode::OPTION, _)
        )
    }

    /// Whether it says that a first fragment lacks headers.
    const fn is_of_the_chain(self) -> bool {
        matches!(
            self,
            Self::ParameterProblem(ParameterCode::INCOMPLETE_CHAIN, _)
        )
    }
}

/// Whether this error about a packet, which starts at its IP header, may be sent at all. Whether it
/// came as a link broadcast, and whether its destination is a directed broadcast, the caller knows.
#[must_use]
pub fn may_report(error: Error, packet: &Frame) -> bool {
    let Some((quoted, rest)) = ip::quoted(packet.front()) else {
        return false;
    };
    //= RFC 1122 §3.2.2 no error about a later fragment, a group or broadcast, or a source that is not
    //= one host. (RFC 4443 §2.4 (e) does not name later fragments: who sends them must hear of a link
    //= that they are too big for.)
    if !is_one_host(quoted.src) {
        return false;
    }
    match quoted.dst {
        IpAddr::V4(_) if !quoted.first || ip::is_group(quoted.dst) => return false,
        IpAddr::V6(dst) if dst.is_multicast() && !error.concerns_groups() => return false,
        _ => {}
    }
    //= RFC 8200 §4.5 that there is no upper layer to be seen is the very thing that code 3 tells.
    if error.is_of_the_chain() && (quoted.cut || rest.is_empty()) {
        return true;
    }
    //= RFC 1122 §3.2.2 and RFC 4443 §2.4 (e.1) no error about an error. Where the type cannot be
    //= seen, none is risked.
    let kind = rest.first().copied();
    if quoted.cut {
        return false;
    }
    match quoted.protocol {
        Protocol::ICMP => kind.is_some_and(|kind| !may_be_error(kind)),
        // An error fits the least MTU, so that a later fragment is of none.
        Protocol::ICMPV6 if quoted.src.is_ipv6() && quoted.first => {
            //= RFC 4443 §2.4 (e.2) nor about a redirect.
            kind.is_some_and(|kind| !icmpv6::is_error(kind) && kind != icmpv6::kind::REDIRECT)
        }
        _ => true,
    }
}

/// Whether a packet from `src` can be answered.
const fn is_one_host(src: IpAddr) -> bool {
    match src {
        IpAddr::V4(src) => {
            !(src.is_unspecified()
                || src.is_loopback()
                || src.is_multicast()
                || src.octets()[0] >= 240)
        }
        IpAddr::V6(src) => !(src.is_unspecified() || src.is_loopback() || src.is_multicast()),
    }
}

/// Whether an ICMP type is an error message, or one we do not know and that may be one.
#[must_use]
const fn may_be_error(kind: u8) -> bool {
    !matches!(
        kind,
        icmpv4::kind::ECHO_REPLY
            | icmpv4::kind::ECHO_REQUEST
            | icmpv4::kind::ROUTER_ADVERTISEMENT
            | icmpv4::kind::ROUTER_SOLICITATION
            | icmpv4::kind::TIMESTAMP_REQUEST
            | icmpv4::kind::TIMESTAMP_REPLY
            | icmpv4::kind::INFORMATION_REQUEST
            | icmpv4::kind::INFORMATION_REPLY
            | icmpv4::kind::ADDRESS_MASK_REQUEST
            | icmpv4::kind::ADDRESS_MASK_REPLY
            | icmpv4::kind::EXTENDED_ECHO_REQUEST
            | icmpv4::kind::EXTENDED_ECHO_REPLY
    )
}

/// The ICMP message that reports `error` about `packet`, which starts at its IP header, from one
/// address of ours to whom it concerns.
#[must_use]
pub fn report(error: Error, mut packet: Frame, (src, dst): (IpAddr, IpAddr)) -> Frame {
    packet.complete_checksum();
    packet.truncate(match dst {
        IpAddr::V4(_) => MAX_ERROR_LEN - 20 - 8,
        IpAddr::V6(_) => MAX_ERROR_LEN_V6 - 40 - 8,
    });
    let mut message = Frame::from_payload(packet.take_payload());
    let mut sum = Sum::new();
    let (kind, code, word) = match dst {
        IpAddr::V4(_) => error.v4(),
        IpAddr::V6(_) => {
            sum.add_pseudo(src, dst, Protocol::ICMPV6, message.len() + 8);
            error.v6()
        }
    };
    message.sum_into(&mut sum);
    message.push_front(&header(sum, kind, code, word));
    message.offload.checksum = Checksum::Complete;
    message
}

/// Puts an ICMP header with its checksum in front of a message's body.
pub fn push_header(message: &mut Frame, kind: u8, code: u8, word: [u8; 4]) {
    let mut sum = Sum::new();
    message.sum_into(&mut sum);
    message.push_front(&header(sum, kind, code, word));
    message.offload.checksum = Checksum::Complete;
}

/// The ICMP header of a message with a body of which `sum` is the sum.
#[must_use]
#[inline]
pub fn header(mut sum: Sum, kind: u8, code: u8, word: [u8; 4]) -> [u8; 8] {
    sum.add_even([kind, code, 0, 0]);
    sum.add_even(word);
    let [high, low] = sum.finish().to_be_bytes();
    let [a, b, c, d] = word;
    [kind, code, high, low, a, b, c, d]
}

/// Turns an echo request, which starts at its ICMP header and whose checksum has been verified,
/// into the reply. The data is shared, and the checksum follows from the one byte that changed.
///
/// Gives `None` for less than a header.
#[must_use]
#[inline]
pub fn echo_reply(request: &mut Frame) -> Option<()> {
    let header = echo_reply_header(*request.pull_up(8).first_chunk()?, icmpv4::kind::ECHO_REPLY);
    request.advance(8);
    if request.head.headroom() < 8 + super::ipv4::MAX_HEADER_LEN {
        *request = Frame::from_bytes(request.to_bytes());
    }
    request.push_front(&header);
    request.offload.checksum = Checksum::Complete;
    Some(())
}

/// The protocol that echoes are of where they go to `addr`, and the types of request and reply.
#[must_use]
#[inline]
pub const fn echo(addr: IpAddr) -> (Protocol, u8, u8) {
    use icmpv4::kind as v4;
    use icmpv6::kind as v6;
    match addr {
        IpAddr::V4(_) => (Protocol::ICMP, v4::ECHO_REQUEST, v4::ECHO_REPLY),
        IpAddr::V6(_) => (Protocol::ICMPV6, v6::ECHO_REQUEST, v6::ECHO_REPLY),
    }
}

/// The ICMP header that answers an echo request's: of the type that a reply has in its family, and
/// between the same ends.
#[must_use]
#[inline]
pub fn echo_reply_header(request: [u8; 8], reply: u8) -> [u8; 8] {
    let [kind, code, high, low, a, b, c, d] = request;
    let [old, new] = [kind, reply].map(|kind| u16::from_be_bytes([kind, code]));
    let sum = checksum::update(u16::from_be_bytes([high, low]), old, new);
    let [high, low] = sum.to_be_bytes();
    [reply, code, high, low, a, b, c, d]
}

/// [`echo_reply`] of ICMPv6: the request went from `peer` to `asked`, and the answer comes from `src`.
///
/// Gives `None` for less than a header.
#[must_use]
#[inline]
pub fn echo_reply_v6(request: &mut Frame, asked: Ipv6Addr, src: Ipv6Addr) -> Option<()> {
    let reply = icmpv6::kind::ECHO_REPLY;
    let mut header = echo_reply_header(*request.pull_up(8).first_chunk()?, reply);
    if asked != src {
        let mut sum = u16::from_be_bytes([header[2], header[3]]);
        let (from, to) = (asked.segments(), src.segments());
        for (old, new) in from.into_iter().zip(to) {
            sum = checksum::update(sum, old, new);
        }
        header[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    request.advance(8);
    if request.head.headroom() < 8 + crate::wire::ipv6::HEADER_LEN {
        *request = Frame::from_bytes(request.to_bytes());
    }
    request.push_front(&header);
    request.offload.checksum = Checksum::Complete;
    Some(())
}

/// Turns a timestamp request, which starts at its ICMP header, into the answer: it arrived and
/// leaves at `millis` since midnight UT.
///
/// Gives `None` for less than a request.
#[must_use]
pub fn timestamp_reply(request: &mut Frame, millis: u32) -> Option<()> {
    let front = request.pull_up(20).first_chunk::<20>()?;
    let word = [front[4], front[5], front[6], front[7]];
    let mut body = [0; 12];
    body[..4].copy_from_slice(&front[8..12]);
    body[4..8].copy_from_slice(&millis.to_be_bytes());
    body[8..].copy_from_slice(&millis.to_be_bytes());
    let mut reply = Frame::default();
    reply.head.push_front(12)?.copy_from_slice(&body);
    push_header(&mut reply, icmpv4::kind::TIMESTAMP_REPLY, 0, word);
    *request = reply;
    Some(())
}
