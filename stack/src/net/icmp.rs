//! ICMPv4 messages that we send: errors about packets, and answers to questions.
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
//! Read first: RFC 792; RFC 1122 §3.2.2; RFC 1812 §4.3; RFC 1191 §4.
//!
//! Promises: never an error about an error, a group, a broadcast, a later fragment or a packet from
//! nobody in particular ([`may_report`]); the quote is the packet as it came, bytes shared.
//!
//! Left out: source quench (RFC 6633 forbids it), information and address mask requests (RFC 6918
//! and RFC 1122 §3.2.2.9: only an authorised server answers).

use crate::frame::{Checksum, Frame};
use crate::wire::checksum::{self, Sum};
use crate::wire::ipv4::Header;
use crate::wire::{Protocol, icmpv4};
use core::net::Ipv4Addr;

/// Longest error packet, IP header included (RFC 1812 §4.3.2.3: as much as fits 576 bytes).
const MAX_ERROR_LEN: usize = 576;

/// An error to report about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The destination cannot be reached, for this code.
    Unreachable(u8),
    /// Too big for the next link, whose MTU this is (RFC 1191 §4).
    FragmentationNeeded(u16),
    /// A better first hop is on the sender's own net.
    Redirect(Ipv4Addr),
    /// The time to live ran out (0) or the fragments did not come (1).
    TimeExceeded(u8),
    /// The byte at this offset is wrong.
    ParameterProblem(u8),
}

impl Error {
    /// Type and code of the message.
    #[must_use]
    pub const fn type_and_code(self) -> (u8, u8) {
        match self {
            Self::Unreachable(code) => (icmpv4::kind::DESTINATION_UNREACHABLE, code),
            Self::FragmentationNeeded(_) => (icmpv4::kind::DESTINATION_UNREACHABLE, 4),
            // For the host, not its whole net (RFC 1812 §4.3.3.2).
            Self::Redirect(_) => (icmpv4::kind::REDIRECT, 1),
            Self::TimeExceeded(code) => (icmpv4::kind::TIME_EXCEEDED, code),
            Self::ParameterProblem(_) => (icmpv4::kind::PARAMETER_PROBLEM, 0),
        }
    }

    fn word(self) -> [u8; 4] {
        match self {
            Self::Unreachable(_) | Self::TimeExceeded(_) => [0; 4],
            Self::FragmentationNeeded(mtu) => {
                let [high, low] = mtu.to_be_bytes();
                [0, 0, high, low]
            }
            Self::Redirect(gateway) => gateway.octets(),
            Self::ParameterProblem(pointer) => [pointer, 0, 0, 0],
        }
    }
}

/// Whether an error about this packet, which starts at its IP header, may be sent at all. Whether
/// it came as a link broadcast, and whether its destination is a directed broadcast, the caller
/// knows.
#[must_use]
pub fn may_report(packet: &Frame) -> bool {
    let Ok((header, rest)) = Header::parse(packet.front()) else {
        return false;
    };
    //= RFC 1122 §3.2.2 no error about a later fragment, a group or broadcast, or a source that
    //= is not one host.
    if header.fragment_offset != 0
        || header.dst.is_multicast()
        || header.dst.is_broadcast()
        || header.src.is_unspecified()
        || header.src.is_loopback()
        || header.src.is_multicast()
        || header.src.octets()[0] >= 240
    {
        return false;
    }
    //= RFC 1122 §3.2.2 no error about an error. Where the type cannot be seen, none is risked.
    header.protocol != Protocol::ICMP || rest.first().is_some_and(|&kind| !may_be_error(kind))
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

/// The ICMP message that reports `error` about `packet`, which starts at its IP header.
#[must_use]
pub fn report(error: Error, mut packet: Frame) -> Frame {
    packet.complete_checksum();
    packet.truncate(MAX_ERROR_LEN - 20 - 8);
    let mut payload = crate::frame::Payload::new();
    if !packet.head.is_empty() {
        payload.push(bytes::Bytes::copy_from_slice(packet.head.as_slice()));
    }
    payload.append(packet.payload);
    let (kind, code) = error.type_and_code();
    let mut message = Frame::from_payload(payload);
    push_header(&mut message, kind, code, error.word());
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
    let header = echo_reply_header(*request.pull_up(8).first_chunk()?);
    request.advance(8);
    if request.head.headroom() < 8 + super::ipv4::MAX_HEADER_LEN {
        *request = Frame::from_bytes(request.to_bytes());
    }
    request.push_front(&header);
    request.offload.checksum = Checksum::Complete;
    Some(())
}

/// The ICMP header that answers an echo request's.
#[must_use]
#[inline]
pub fn echo_reply_header(request: [u8; 8]) -> [u8; 8] {
    let [kind, code, high, low, a, b, c, d] = request;
    let old = u16::from_be_bytes([kind, code]);
    let sum = checksum::update(u16::from_be_bytes([high, low]), old, u16::from(code));
    let [high, low] = sum.to_be_bytes();
    [icmpv4::kind::ECHO_REPLY, code, high, low, a, b, c, d]
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
