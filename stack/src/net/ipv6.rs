//! IPv6: which packets are acceptable, what their extension headers ask of us, and how packets are
//! made, rewritten on the way and cut.
//!
//! ```text
//!   bytes --accept--> Accepted    version, lengths, martians: DropReason
//!         --walk----> Accepted    of the upper layer, or a Piece of a larger packet,
//!                                 or a Refusal, of which the sender may have to be told
//!   packet --forward--> packet    hop limit - 1
//!   packet + MTU --Fragmenter--> fragments
//! ```
//!
//! Read first: RFC 8200 §3 and §4; RFC 4291 §2 (which addresses may be where); RFC 5095 (routing
//! header type 0); RFC 6946 and RFC 7112 (fragments); RFC 8504 §5.3 (limits).
//!
//! Promises: pure functions of their arguments; a packet that is refused is refused for exactly one
//! reason; the walk ends after [`MAX_EXTENSION_HEADERS`] headers and [`MAX_OPTIONS`] options.
//!
//! Left out: following any routing header; jumbograms (RFC 2675), whose option is answered as one
//! that is not known.

use super::accepted::{Accepted, Plain};
use super::ipv4::check_note;
use crate::frame::{Checksum, Frame, Head, Offload, Payload};
use crate::reason::DropReason;
use crate::wire::icmpv6::ParameterCode;
use crate::wire::ipv6::{
    DestinationOption, Fragment, HEADER_LEN, Header, MAX_EXTENSION_HEADERS, OptionsHeader,
    RoutingHeader, UnrecognizedAction,
};
use crate::wire::{Protocol, Writer, icmpv6, tcp, udp};
use core::net::{IpAddr, Ipv6Addr};

/// Offset of the next header field in the fixed header.
pub(super) const NEXT_HEADER_AT: u16 = 6;
/// Offset of the payload length.
const PAYLOAD_LENGTH_AT: u32 = 4;
/// The most options of one packet that are looked at.
//= RFC 8504 §5.3 a host may limit how many options it processes, padding included.
pub const MAX_OPTIONS: usize = 64;

/// Checks a packet's fixed header, and cuts link padding. The packet starts at the IP header. Its
/// extension headers are [`walk`]'s, where it is for us.
///
/// # Errors
/// The reason to drop it.
#[inline]
pub fn accept(packet: &mut Frame) -> Result<Accepted, DropReason> {
    let available = packet.len();
    let front = packet.pull_up(HEADER_LEN);
    let (header, _) = Header::parse(front).map_err(|_| DropReason::Ipv6Malformed)?;
    let total = HEADER_LEN + usize::from(header.payload_len);
    if total > available {
        return Err(DropReason::Ipv6Malformed);
    }
    check_addresses(header.src, header.dst)?;
    if total < available {
        packet.truncate(total);
    }
    check_note(packet, HEADER_LEN);
    Ok(Accepted {
        header_len: HEADER_LEN,
        tos: header.dscp << 2 | header.ecn,
        ttl: header.hop_limit,
        protocol: header.next_header,
        protocol_at: NEXT_HEADER_AT,
        dont_fragment: true,
        fragmented: false,
        src: IpAddr::V6(header.src),
        dst: IpAddr::V6(header.dst),
    })
}

/// Reads the header of a packet between these ends that would pass [`accept`] as one between them has,
/// since nothing else stands in it: right behind it an upper layer, and not neighbour discovery, which
/// asks for checks of its own. `None` for all others, good or bad.
#[inline(always)]
#[must_use]
pub fn recognise(packet: &[u8], (src, dst): (Ipv6Addr, Ipv6Addr)) -> Option<Plain> {
    let (header, rest) = packet.split_first_chunk::<HEADER_LEN>()?;
    let [a, b, _, _, l0, l1, protocol, ttl, ends @ ..] = header;
    let (from, to) = ends.split_first_chunk::<16>()?;
    if a >> 4 != 6 || *from != src.octets() || *to != dst.octets() {
        return None;
    }
    let protocol = Protocol(*protocol);
    let plain = match protocol {
        Protocol::TCP | Protocol::UDP => true,
        Protocol::ICMPV6 => rest
            .first()
            .is_some_and(|kind| !icmpv6::is_discovery(*kind)),
        _ => false,
    };
    plain.then_some(Plain {
        tos: a << 4 | b >> 4,
        ttl: *ttl,
        protocol,
        dont_fragment: true,
        len: HEADER_LEN + usize::from(u16::from_be_bytes([*l0, *l1])),
    })
}

/// Addresses that nothing on a wire may have.
#[inline]
fn check_addresses(src: Ipv6Addr, dst: Ipv6Addr) -> Result<(), DropReason> {
    //= RFC 4291 §2.5.2 the unspecified address is the source only of a host that has none yet, which
    //= then talks to groups; §2.7 a group is no source.
    let nobody = src.is_unspecified() && !dst.is_multicast();
    //= RFC 4291 §2.5.3 the loopback address is not seen outside a host.
    if nobody || src.is_multicast() || src.is_loopback() || is_mapped(src) {
        return Err(DropReason::Ipv6MartianSource);
    }
    if !is_sendable(dst) {
        return Err(DropReason::Ipv6MartianDestination);
    }
    Ok(())
}

/// An IPv4 address in a form that belongs into programs, not on a wire: taken for the IPv4 address, it
/// would pass filters meant for that.
const fn is_mapped(addr: Ipv6Addr) -> bool {
    matches!(addr.segments(), [0, 0, 0, 0, 0, 0xffff, _, _])
}

/// Whether a packet may be on a wire with this destination.
#[inline]
#[must_use]
pub const fn is_sendable(dst: Ipv6Addr) -> bool {
    //= RFC 4291 §2.7 a group of scope 0 is not sent to; one of scope 1 stays within its node.
    let [first, second, ..] = dst.octets();
    let local_group = first == 0xff && second & 0xf <= 1;
    !(dst.is_unspecified() || dst.is_loopback() || is_mapped(dst) || local_group)
}

/// Whether a router may forward to `dst` at all: what is for an address of a link's is for somebody on
/// it (RFC 4291 §2.5.6), and multicast routing is another protocol. What comes from such an address
/// may go back by its link alone, which is the caller's to see.
#[must_use]
pub const fn is_forwardable(src: Ipv6Addr, dst: Ipv6Addr) -> bool {
    !(dst.is_multicast() || dst.is_unicast_link_local() || src.is_unspecified())
}

/// Why a packet goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For the counters.
    pub reason: DropReason,
    /// For the sender: what is wrong, and at which byte.
    pub problem: Option<(ParameterCode, u32)>,
}

impl Refusal {
    const fn silent(reason: DropReason) -> Self {
        Self {
            reason,
            problem: None,
        }
    }

    fn telling(reason: DropReason, code: ParameterCode, at: usize) -> Self {
        let pointer = u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            reason,
            problem: Some((code, pointer)),
        }
    }
}

/// A fragment of a larger packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its header.
    pub fragment: Fragment,
    /// Where that starts.
    pub at: usize,
}

/// Follows the extension headers of a packet that is for us, in their order, and does what they ask:
/// `header` becomes that of the upper layer, or, with the piece that is given, of what a fragment
/// holds.
///
/// # Errors
/// Why it goes no further.
//= RFC 8200 §4 extension headers are processed strictly in the order they appear in.
#[inline]
pub fn walk(packet: &mut Frame, header: &mut Accepted) -> Result<Option<Piece>, Refusal> {
    if matches!(
        header.protocol,
        Protocol::TCP | Protocol::UDP | Protocol::ICMPV6
    ) {
        return Ok(None);
    }
    walk_extensions(packet, header)
}

/// Whether an extension header follows that [`walk`] steps over.
#[must_use]
#[inline]
pub fn has_extension(header: &Accepted) -> bool {
    matches!(
        header.protocol,
        Protocol::HOP_BY_HOP
            | Protocol::DESTINATION_OPTIONS
            | Protocol::ROUTING
            | Protocol::FRAGMENT
    )
}

/// Whether a whole packet asks routers to look at it for the sake of listener discovery (RFC 2711).
#[must_use]
pub fn has_router_alert(packet: &[u8]) -> bool {
    let Some(first) = packet.get(HEADER_LEN..) else {
        return false;
    };
    let behind = |p: &[u8]| p.get(usize::from(NEXT_HEADER_AT)) == Some(&Protocol::HOP_BY_HOP.0);
    let list = OptionsHeader::parse(first).ok().filter(|_| behind(packet));
    list.is_some_and(|(list, _)| {
        let mut options = list.options().take(MAX_OPTIONS);
        options.any(|(_, option)| matches!(option, Ok(DestinationOption::RouterAlert(0))))
    })
}

#[cold]
fn walk_extensions(packet: &mut Frame, header: &mut Accepted) -> Result<Option<Piece>, Refusal> {
    let mut options_left = MAX_OPTIONS;
    for n in 0..=MAX_EXTENSION_HEADERS {
        let at = header.header_len;
        match header.protocol {
            Protocol::HOP_BY_HOP if n == 0 => options(packet, header, &mut options_left)?,
            //= RFC 8200 §4.1 hop-by-hop options are only accepted right behind the fixed header.
            Protocol::HOP_BY_HOP => {
                let at = usize::from(header.protocol_at);
                let code = ParameterCode::NEXT_HEADER;
                return Err(Refusal::telling(DropReason::Ipv6HeaderChain, code, at));
            }
            Protocol::DESTINATION_OPTIONS => options(packet, header, &mut options_left)?,
            Protocol::ROUTING => route(packet, header)?,
            Protocol::FRAGMENT => {
                let bytes = packet.pull_up(at + Fragment::LEN).get(at..);
                let (fragment, _) = Fragment::parse(bytes.unwrap_or_default())
                    .map_err(|_| Refusal::silent(DropReason::Ipv6Malformed))?;
                step(header, fragment.next_header, Fragment::LEN);
                header.fragmented = true;
                //= RFC 6946 §4 a fragment that is a whole packet is processed as one.
                if !fragment.is_atomic() {
                    check_piece(packet, header, at, &fragment)?;
                    return Ok(Some(Piece { fragment, at }));
                }
            }
            //= RFC 8200 §4.7 what follows "no next header" is ignored.
            Protocol::NO_NEXT_HEADER => {
                return Err(Refusal::silent(DropReason::Ipv6NoNextHeader));
            }
            _ => return Ok(None),
        }
    }
    Err(Refusal::silent(DropReason::Ipv6TooManyHeaders))
}

/// What a router makes of a packet's hop-by-hop options, where it was told to look at them.
///
/// # Errors
/// Why it goes no further.
//= RFC 8200 §4.3 a node on the way examines these options only if it is configured to.
pub fn check_hop_by_hop(packet: &mut Frame, header: &Accepted) -> Result<(), Refusal> {
    let (mut header, mut left) = (*header, MAX_OPTIONS);
    match header.protocol {
        Protocol::HOP_BY_HOP if header.src.is_ipv6() => options(packet, &mut header, &mut left),
        _ => Ok(()),
    }
}

/// Steps over a header of `len` bytes.
fn step(header: &mut Accepted, next: Protocol, len: usize) {
    header.protocol = next;
    header.protocol_at = u16::try_from(header.header_len).unwrap_or(u16::MAX);
    header.header_len += len;
}

/// The bytes of an extension header of the common form, which starts where `header` ends.
fn extension<'a>(packet: &'a mut Frame, header: &Accepted) -> Result<&'a [u8], Refusal> {
    let at = header.header_len;
    let units = packet.pull_up(at + 2).get(at + 1).copied().unwrap_or(0);
    let end = at + 8 + usize::from(units) * 8;
    let bytes = packet.pull_up(end).get(at..end);
    bytes.ok_or(Refusal::silent(DropReason::Ipv6Malformed))
}

/// Hop-by-hop or destination options.
fn options(packet: &mut Frame, header: &mut Accepted, left: &mut usize) -> Result<(), Refusal> {
    let (at, dst) = (header.header_len, header.dst);
    let bytes = extension(packet, header)?;
    let len = bytes.len();
    let (list, _) =
        OptionsHeader::parse(bytes).map_err(|_| Refusal::silent(DropReason::Ipv6Malformed))?;
    for (offset, option) in list.options() {
        *left = left
            .checked_sub(1)
            .ok_or(Refusal::silent(DropReason::Ipv6TooManyHeaders))?;
        let pointer = at + offset;
        let Ok(option) = option else {
            let code = ParameterCode::ERRONEOUS_FIELD;
            return Err(Refusal::telling(DropReason::Ipv6BadOption, code, pointer));
        };
        check_option(&option, dst, pointer)?;
    }
    step(header, list.next_header, len);
    Ok(())
}

//= RFC 8200 §4.2 what is done about an option that is not known stands in its two highest bits.
fn check_option(
    option: &DestinationOption<'_>,
    dst: IpAddr,
    pointer: usize,
) -> Result<(), Refusal> {
    match option {
        DestinationOption::Pad1
        | DestinationOption::PadN(_)
        // It asks routers to look, and so we have.
        | DestinationOption::RouterAlert(_) => return Ok(()),
        _ => {}
    }
    let tells = match option.kind().action() {
        UnrecognizedAction::Skip => return Ok(()),
        UnrecognizedAction::Discard => false,
        UnrecognizedAction::DiscardAndReport => true,
        UnrecognizedAction::DiscardAndReportUnicast => !dst.is_multicast(),
    };
    Err(match tells {
        true => Refusal::telling(DropReason::Ipv6BadOption, ParameterCode::OPTION, pointer),
        false => Refusal::silent(DropReason::Ipv6BadOption),
    })
}

/// A routing header: all types are refused, of which anything is left to be done.
//= RFC 8200 §4.4 of a type that is not known, one with no segments left is stepped over, and others are
//= answered with a pointer to the type. RFC 5095 §3 makes type 0 one of those.
fn route(packet: &mut Frame, header: &mut Accepted) -> Result<(), Refusal> {
    let at = header.header_len;
    let bytes = extension(packet, header)?;
    let len = bytes.len();
    let (routing, _) =
        RoutingHeader::parse(bytes).map_err(|_| Refusal::silent(DropReason::Ipv6Malformed))?;
    if routing.segments_left != 0 {
        let code = ParameterCode::ERRONEOUS_FIELD;
        return Err(Refusal::telling(
            DropReason::Ipv6RoutingHeader,
            code,
            at + 2,
        ));
    }
    step(header, routing.next_header, len);
    Ok(())
}

/// Checks a fragment, whose header starts `at`, by itself; `header` stands behind it.
fn check_piece(
    packet: &Frame,
    header: &Accepted,
    at: usize,
    fragment: &Fragment,
) -> Result<(), Refusal> {
    const CODE: ParameterCode = ParameterCode::ERRONEOUS_FIELD;
    let len = packet.len() - header.header_len.min(packet.len());
    //= RFC 8200 §4.5 a length that is no multiple of eight, though more follows, is pointed at.
    if fragment.more && !len.is_multiple_of(8) {
        return Err(Refusal {
            reason: DropReason::FragmentMalformed,
            problem: Some((CODE, PAYLOAD_LENGTH_AT)),
        });
    }
    //= RFC 8200 §4.5 so is an offset from which the packet would exceed 65,535 bytes.
    let whole = at - HEADER_LEN + usize::from(fragment.offset) + len;
    if whole > usize::from(u16::MAX) {
        let pointer = at + 2;
        return Err(Refusal::telling(
            DropReason::FragmentMalformed,
            CODE,
            pointer,
        ));
    }
    //= RFC 7112 §5 a first fragment without all headers is dropped, and may be answered by code 3.
    if fragment.offset == 0 && !has_chain(packet, header) {
        let code = ParameterCode::INCOMPLETE_CHAIN;
        return Err(Refusal::telling(DropReason::FragmentTiny, code, 0));
    }
    Ok(())
}

/// Whether all headers, as far as the upper layer's, are in a first fragment.
fn has_chain(packet: &Frame, header: &Accepted) -> bool {
    let all = packet.to_bytes();
    let mut rest = all.get(header.header_len..).unwrap_or_default();
    let mut protocol = header.protocol;
    for _ in 0..=MAX_EXTENSION_HEADERS {
        match crate::wire::ipv6::Extension::parse(protocol, rest) {
            Err(_) => return false,
            Ok(Some((extension, after))) => (protocol, rest) = (extension.next_header(), after),
            Ok(None) => break,
        }
    }
    let least = match protocol {
        Protocol::TCP => tcp::HEADER_LEN,
        Protocol::UDP => udp::HEADER_LEN,
        Protocol::ICMPV6 => icmpv6::HEADER_LEN,
        _ => 0,
    };
    rest.len() >= least
}

/// What goes into the header of a packet of our own.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing {
    /// Traffic class: DSCP and ECN.
    pub tos: u8,
    /// Which flow it is of: 20 bits (RFC 6437).
    pub flow_label: u32,
    /// Hop limit.
    pub hop_limit: u8,
    /// What it carries.
    pub protocol: Protocol,
    /// Source.
    pub src: Ipv6Addr,
    /// Destination.
    pub dst: Ipv6Addr,
}

/// Puts the header in front of `frame`. `false` where that holds more than 65,535 bytes.
#[inline]
pub fn encapsulate(frame: &mut Frame, out: &Outgoing) -> bool {
    let Ok(payload_len) = u16::try_from(frame.len()) else {
        return false;
    };
    frame.push_front(&fixed_header(payload_len, out));
    true
}

/// [`encapsulate`] with the transport header that comes before it: both are written at once.
#[inline(always)]
pub fn encapsulate_with(frame: &mut Frame, transport: [u8; 8], out: &Outgoing) -> bool {
    let mut both = [0; HEADER_LEN + 8];
    let Ok(payload_len) = u16::try_from(frame.len() + transport.len()) else {
        return false;
    };
    both[..HEADER_LEN].copy_from_slice(&fixed_header(payload_len, out));
    both[HEADER_LEN..].copy_from_slice(&transport);
    frame.push_front(&both);
    true
}

/// The fixed header.
#[inline(always)]
fn fixed_header(payload_len: u16, out: &Outgoing) -> [u8; HEADER_LEN] {
    let first = 6 << 28 | u32::from(out.tos) << 20 | out.flow_label & 0xf_ffff;
    let mut bytes = [0; HEADER_LEN];
    bytes[..4].copy_from_slice(&first.to_be_bytes());
    bytes[4..6].copy_from_slice(&payload_len.to_be_bytes());
    bytes[6] = out.protocol.0;
    bytes[7] = out.hop_limit;
    bytes[8..24].copy_from_slice(&out.src.octets());
    bytes[24..].copy_from_slice(&out.dst.octets());
    bytes
}

/// Prepares a packet for the next hop: its fixed header moves into the frame's head (the rest stays
/// shared), and the hop limit drops by one. The caller has seen that it is above one.
pub fn forward(packet: &mut Frame) {
    let Some(mut header) = packet
        .pull_up(HEADER_LEN)
        .first_chunk::<HEADER_LEN>()
        .copied()
    else {
        return;
    };
    header[7] = header[7].saturating_sub(1);
    packet.advance(HEADER_LEN);
    packet.push_front(&header);
}

/// Puts a reassembled packet together: the first fragment's headers without the fragment header, which
/// comes last in `first`, and the mark of congestion where any fragment had it (RFC 3168 §5.3).
#[must_use]
pub fn reassembled(first: &[u8], payload: Payload, congestion: bool) -> Option<Frame> {
    let kept = first.len().checked_sub(Fragment::LEN)?;
    let (fragment, _) = Fragment::parse(first.get(kept..)?).ok()?;
    let mut head = Head::default();
    let room = head.push_front(kept)?;
    room.copy_from_slice(first.get(..kept)?);
    let len = u16::try_from(kept.checked_sub(HEADER_LEN)? + payload.len()).ok()?;
    room.get_mut(4..6)?.copy_from_slice(&len.to_be_bytes());
    if congestion {
        *room.get_mut(1)? |= 0x30;
    }
    let at = last_next_header(room)?;
    *room.get_mut(at)? = fragment.next_header.0;
    Some(Frame {
        head,
        payload,
        ..Frame::default()
    })
}

/// Where, in headers that a fragment header followed, that is announced.
fn last_next_header(headers: &[u8]) -> Option<usize> {
    let (mut at, mut next) = (usize::from(NEXT_HEADER_AT), HEADER_LEN);
    while next < headers.len() {
        (at, next) = (next, next + 8 + usize::from(*headers.get(next + 1)?) * 8);
    }
    Some(at)
}

/// Cuts a packet of our own into fragments that fit an MTU, one at a time as the wire takes them.
#[derive(Clone, Debug)]
pub struct Fragmenter {
    header: [u8; HEADER_LEN],
    ident: u32,
    payload: Payload,
    /// Where the next fragment starts within the payload.
    done: usize,
    mtu: usize,
}

impl Fragmenter {
    /// A cutter for `packet`, all of which behind the fixed header may be cut; `None` where it is no
    /// IPv6 packet or the MTU too small to make progress.
    #[must_use]
    pub fn new(mut packet: Frame, mtu: usize, ident: u32) -> Option<Self> {
        packet.complete_checksum();
        let header = *packet.pull_up(HEADER_LEN).first_chunk()?;
        if mtu < HEADER_LEN + Fragment::LEN + 8 {
            return None;
        }
        packet.advance(HEADER_LEN);
        Some(Self {
            header,
            ident,
            payload: packet.take_payload(),
            done: 0,
            mtu,
        })
    }

    /// The next fragment; `None` when all have been given.
    pub fn next_fragment(&mut self) -> Option<Frame> {
        let left = self.payload.len();
        if left == 0 {
            return None;
        }
        //= RFC 8200 §4.5 every fragment but the last holds a multiple of eight bytes.
        let room = (self.mtu - HEADER_LEN - Fragment::LEN) & !7;
        let more = left > self.mtu - HEADER_LEN - Fragment::LEN;
        let len = if more { room } else { left };
        let fragment = Fragment {
            next_header: Protocol(self.header[usize::from(NEXT_HEADER_AT)]),
            reserved: 0,
            offset: u16::try_from(self.done).ok()?,
            reserved2: 0,
            more,
            ident: self.ident,
        };
        let mut bytes = [0; HEADER_LEN + Fragment::LEN];
        bytes[..HEADER_LEN].copy_from_slice(&self.header);
        let payload_len = u16::try_from(Fragment::LEN + len).ok()?;
        bytes[4..6].copy_from_slice(&payload_len.to_be_bytes());
        bytes[usize::from(NEXT_HEADER_AT)] = Protocol::FRAGMENT.0;
        fragment
            .emit(&mut Writer::new(&mut bytes[HEADER_LEN..]))
            .ok()?;
        let mut frame = Frame {
            payload: self.payload.slice(0, len),
            offload: Offload {
                checksum: Checksum::Complete,
                gso: None,
            },
            ..Frame::default()
        };
        self.payload.advance(len);
        self.done += len;
        frame.push_front(&bytes);
        Some(frame)
    }
}

#[cfg(test)]
#[path = "tests/ipv6.rs"]
mod tests;
