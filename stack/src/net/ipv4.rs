//! IPv4: which packets are acceptable, how they are rewritten on the way, and how they are cut.
//!
//! ```text
//!   bytes --accept--> Header      martians, lengths, checksum, source routes: DropReason
//!   packet --forward--> packet    TTL - 1, options stamped, checksum patched
//!   packet + MTU --Fragmenter--> fragments
//! ```
//!
//! Read first: RFC 791 §3; RFC 1122 §3.2.1; RFC 1812 §4.2.2 and §5.3; RFC 6864 (identification).
//!
//! Promises: pure functions of their arguments; a packet that is refused is refused for exactly
//! one reason, in the order of RFC 1812 §5.2.2.
//!
//! Left out: source routing. RFC 7126 §4.3 and §4.4 advise to drop such packets, and so do we.

use super::accepted::Plain;
use crate::frame::{Checksum, Frame, Head, Offload, Payload};
use crate::reason::DropReason;
use crate::wire::ipv4::{Header, Ipv4Option, MAX_OPTIONS_LEN, copied_options};
use crate::wire::{ParseError, Protocol, Writer, checksum};
use core::net::Ipv4Addr;

/// Shortest header: five words.
pub const MIN_HEADER_LEN: usize = 20;
/// Longest header: five words and ten of options.
pub const MAX_HEADER_LEN: usize = 60;
/// Longest packet.
pub const MAX_LEN: usize = 65_535;
/// Offset of the protocol.
pub(super) const PROTOCOL_AT: u16 = 9;
/// What every link must carry (RFC 791 §3.2).
pub const MIN_MTU: usize = 68;

/// Checks a packet's header as RFC 1812 §5.2.2 orders it, and cuts link padding. The packet starts
/// at the IP header.
///
/// # Errors
/// The reason to drop it.
#[inline]
pub fn accept(packet: &mut Frame) -> Result<Accepted, DropReason> {
    let available = packet.len();
    // No more than the header need lie in one piece: what follows may be shared.
    let claimed = packet.pull_up(20).first().map_or(0, |b| b & 15);
    let front = packet.pull_up(usize::from(claimed) * 4);
    let (header, _) = Header::parse(front).map_err(|e| refusal(e, front))?;
    let header_len = header.header_len();
    let total = usize::from(header.total_len);
    let accepted = Accepted {
        header_len,
        tos: header.dscp << 2 | header.ecn,
        ident: header.ident,
        dont_fragment: header.dont_fragment,
        more_fragments: header.more_fragments,
        fragment_offset: header.fragment_offset,
        ttl: header.ttl,
        protocol: header.protocol,
        src: header.src,
        dst: header.dst,
    };
    if total > available {
        return Err(DropReason::Ipv4BadTotalLength);
    }
    //= RFC 1122 §3.2.1.2 a host MUST verify the header checksum and silently discard a bad one.
    if !crate::wire::ipv4::verify(front.get(..header_len).unwrap_or_default()) {
        return Err(DropReason::Ipv4BadChecksum);
    }
    if !header.options.is_empty() {
        check_options(&header)?;
    }
    check_source(header.src, header.dst)?;
    check_destination(header.dst)?;
    let end = usize::from(header.fragment_offset) + total;
    // No datagram is that long; cut again on the way, its offsets would wrap (RFC 791 §3.2).
    if header.fragment_offset != 0 && end > MAX_LEN {
        return Err(DropReason::FragmentMalformed);
    }
    if total < available {
        packet.truncate(total);
    }
    check_note(packet, header_len);
    Ok(accepted)
}

/// Reads the header of a packet between these ends that would pass [`accept`] as one between them has,
/// since nothing else stands in it: whole, without options, its checksum right. `None` for all others,
/// good or bad.
#[inline(always)]
#[must_use]
pub fn recognise(packet: &[u8], (src, dst): (Ipv4Addr, Ipv4Addr)) -> Option<Plain> {
    let (header, _) = packet.split_first_chunk::<MIN_HEADER_LEN>()?;
    let [
        0x45,
        tos,
        l0,
        l1,
        _,
        _,
        f0,
        f1,
        ttl,
        protocol,
        _,
        _,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ] = *header
    else {
        return None;
    };
    let same = [s0, s1, s2, s3] == src.octets() && [d0, d1, d2, d3] == dst.octets();
    let whole = f0 & 0x3f == 0 && f1 == 0;
    if !same || !whole || checksum::of_header(header) != 0 {
        return None;
    }
    Some(Plain {
        tos,
        ttl,
        protocol: Protocol(protocol),
        dont_fragment: f0 & 0x40 != 0,
        len: usize::from(u16::from_be_bytes([l0, l1])),
    })
}

/// A note that a transport checksum is still to be filled in, but which points into the IP header,
/// is none: whoever completed it would overwrite the header. The checksum is then verified as any.
/// Nor is one that a packet is to be cut, whose checksum is not left open.
#[inline]
pub fn check_note(packet: &mut Frame, header_len: usize) {
    let open = match packet.offload.checksum {
        Checksum::Partial { start, .. } => usize::from(start) >= header_len,
        _ => return packet.offload.gso = None,
    };
    if !open {
        packet.offload = Offload::default();
    }
}

/// The fields of an acceptable header, apart from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Bytes of header, options included.
    pub header_len: usize,
    /// DSCP and ECN.
    pub tos: u8,
    /// Identification.
    pub ident: u16,
    /// Must not be cut.
    pub dont_fragment: bool,
    /// Fragments follow.
    pub more_fragments: bool,
    /// Where this fragment belongs, in bytes.
    pub fragment_offset: u16,
    /// Time to live.
    pub ttl: u8,
    /// What it carries.
    pub protocol: Protocol,
    /// Source.
    pub src: Ipv4Addr,
    /// Destination.
    pub dst: Ipv4Addr,
}

impl Accepted {
    /// Whether this is a piece of a larger packet.
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }
}

/// Which field the parser objected to.
fn refusal(error: ParseError, bytes: &[u8]) -> DropReason {
    match (error, bytes) {
        (ParseError::Truncated(_), []) => DropReason::Ipv4Truncated,
        (_, [first, ..]) if first >> 4 != 4 => DropReason::Ipv4BadVersion,
        (_, [first, ..]) if first & 0xf < 5 => DropReason::Ipv4BadHeaderLength,
        (ParseError::Truncated(_), _) if bytes.len() >= 20 => DropReason::Ipv4BadHeaderLength,
        (ParseError::Truncated(_), _) => DropReason::Ipv4Truncated,
        _ => DropReason::Ipv4BadTotalLength,
    }
}

fn check_options(header: &Header<'_>) -> Result<(), DropReason> {
    for option in header.options() {
        match option {
            Ok(item) => match item.option {
                // We differ: RFC 9293 §3.9.2.1 MUST-53 and SHLD-24 would have the way back of a source route
                // taken for all that a connection sends. It lets anyone who sends one have our answers, so such
                // packets are refused (RFC 7126 §4.3, §4.4).
                Ipv4Option::LooseSourceRoute { .. } | Ipv4Option::StrictSourceRoute { .. } => {
                    return Err(DropReason::Ipv4SourceRoute);
                }
                //= RFC 9293 §3.9.2 MUST-50: all others are ignored.
                _ => {}
            },
            Err(_) => return Err(DropReason::Ipv4BadOption),
        }
    }
    Ok(())
}

/// Source addresses that nothing on a wire may have.
#[inline]
//= RFC 9293 §3.9.2.3 MUST-63: a SYN from such an address is ignored, as is all else.
fn check_source(src: Ipv4Addr, dst: Ipv4Addr) -> Result<(), DropReason> {
    let [first, ..] = src.octets();
    match first {
        //= RFC 1122 §3.2.1.3 (a) 0.0.0.0 is a source only while a host learns its own address, and
        //= then it talks to everyone on its net or to a group.
        0 if src.is_unspecified() && (dst.is_broadcast() || dst.is_multicast()) => Ok(()),
        //= RFC 1122 §3.2.1.3 (g) loopback addresses MUST NOT appear outside a host.
        //= RFC 1122 §3.2.1.3 a source MUST NOT be a group or a broadcast.
        0 | 127 | 224..=255 => Err(DropReason::Ipv4MartianSource),
        _ => Ok(()),
    }
}

/// Destination addresses that nothing on a wire may have (RFC 1812 §5.3.7).
#[inline]
fn check_destination(dst: Ipv4Addr) -> Result<(), DropReason> {
    if is_sendable(dst) {
        Ok(())
    } else {
        Err(DropReason::Ipv4MartianDestination)
    }
}

/// Whether a packet may be on a wire with this destination.
#[inline]
#[must_use]
pub const fn is_sendable(dst: Ipv4Addr) -> bool {
    let [first, ..] = dst.octets();
    match first {
        0 | 127 => false,
        240..=255 => dst.is_broadcast(),
        _ => true,
    }
}

/// Whether a router may forward to `dst` at all (RFC 1812 §5.3.4, RFC 3927 §7): multicast routing
/// is another protocol, the limited broadcast stays on its link, link-local addresses too.
#[must_use]
pub fn is_forwardable(src: Ipv4Addr, dst: Ipv4Addr) -> bool {
    !(dst.is_multicast()
        || dst.is_broadcast()
        || dst.is_link_local()
        || src.is_link_local()
        || src.is_unspecified())
}

/// What goes into the header of a packet of our own.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// DSCP and ECN.
    pub tos: u8,
    /// Identification; only means something where the packet may be cut (RFC 6864 §4).
    pub ident: u16,
    /// Must not be cut.
    pub dont_fragment: bool,
    /// Time to live.
    pub ttl: u8,
    /// What it carries.
    pub protocol: Protocol,
    /// Source.
    pub src: Ipv4Addr,
    /// Destination.
    pub dst: Ipv4Addr,
    /// Options, padded to four bytes.
    pub options: &'a [u8],
}

/// Puts the header in front of `frame`, whose payload's offsets for a partial checksum move along.
/// `false` where the packet would be longer than 65,535 bytes or the options too long.
#[inline]
pub fn encapsulate(frame: &mut Frame, out: &Outgoing<'_>) -> bool {
    let header_len = 20 + out.options.len();
    let Ok(total_len) = u16::try_from(frame.len() + header_len) else {
        return false;
    };
    if out.options.is_empty() {
        frame.push_front(&plain_header(total_len, out));
        return true;
    }
    let header = Header {
        dscp: out.tos >> 2,
        ecn: out.tos & 3,
        total_len,
        ident: out.ident,
        reserved_flag: false,
        dont_fragment: out.dont_fragment,
        more_fragments: false,
        fragment_offset: 0,
        ttl: out.ttl,
        protocol: out.protocol,
        checksum: 0,
        src: out.src,
        dst: out.dst,
        options: out.options,
    };
    push(&mut frame.head, header)
}

#[inline]
fn push(head: &mut Head, header: Header<'_>) -> bool {
    let Some(room) = head.push_front(header.emit_len()) else {
        return false;
    };
    let emitted = header.emit(&mut Writer::new(room)).is_ok();
    // The sum is taken over the bytes just written: quicker than over the fields.
    let sum = checksum::of(room);
    match room.get_mut(10..12) {
        Some(field) if emitted => field.copy_from_slice(&sum.to_be_bytes()),
        _ => return false,
    }
    true
}

/// [`encapsulate`] for a packet without options, with the transport header that comes before it:
/// both are written at once.
#[inline(always)]
pub fn encapsulate_with(frame: &mut Frame, transport: [u8; 8], out: &Outgoing<'_>) -> bool {
    debug_assert!(out.options.is_empty(), "they would be left out");
    let mut both = [0; 28];
    let Ok(total_len) = u16::try_from(frame.len() + both.len()) else {
        return false;
    };
    both[..20].copy_from_slice(&plain_header(total_len, out));
    both[20..].copy_from_slice(&transport);
    frame.push_front(&both);
    true
}

/// The usual header, without options: made and summed by its five words.
#[inline(always)]
fn plain_header(total_len: u16, out: &Outgoing<'_>) -> [u8; 20] {
    let pair = |high: u16, low: u16| u32::from(high) << 16 | u32::from(low);
    let flags = if out.dont_fragment { 0x4000 } else { 0 };
    let start = u16::from_be_bytes([0x45, out.tos]);
    let ttl = u16::from_be_bytes([out.ttl, out.protocol.0]);
    let mut words = [
        pair(start, total_len),
        pair(out.ident, flags),
        pair(ttl, 0),
        out.src.to_bits(),
        out.dst.to_bits(),
    ];
    words[2] |= u32::from(checksum::of_words(words));
    let mut bytes = [0; 20];
    let (room, _) = bytes.as_chunks_mut();
    for (room, word) in room.iter_mut().zip(words) {
        *room = word.to_be_bytes();
    }
    bytes
}

/// Prepares a packet for the next hop: its header moves into the frame's head (the payload stays
/// shared), the time to live drops by one, and the checksum follows (RFC 1624). The caller has
/// seen that the time to live is above one. Where there are options, `stamp` may change them.
pub fn forward(packet: &mut Frame, stamp: impl FnOnce(&mut [u8])) {
    let Ok((header, _)) = Header::parse(packet.front()) else {
        return;
    };
    let len = header.header_len();
    let mut copy = [0; MAX_HEADER_LEN];
    let Some(bytes) = copy.get_mut(..len) else {
        return;
    };
    let Some(front) = packet.front().get(..len) else {
        return;
    };
    bytes.copy_from_slice(front);
    packet.advance(len);
    let old = u16::from_be_bytes([bytes[8], bytes[9]]);
    bytes[8] = bytes[8].saturating_sub(1);
    let new = u16::from_be_bytes([bytes[8], bytes[9]]);
    let sum = u16::from_be_bytes([bytes[10], bytes[11]]);
    bytes[10..12].copy_from_slice(&checksum::update(sum, old, new).to_be_bytes());
    if len > 20 {
        stamp(&mut bytes[20..]);
        bytes[10..12].fill(0);
        let sum = checksum::of(bytes);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    if let Some(room) = packet.head.push_front(len) {
        room.copy_from_slice(bytes);
    }
}

/// Puts a reassembled datagram together: the first fragment's header, its length and flags as if
/// it had never been cut, and the mark of congestion where any fragment had it (RFC 3168 §5.3).
#[must_use]
pub fn reassembled(first_header: &[u8], payload: Payload, congestion: bool) -> Option<Frame> {
    let (header, _) = Header::parse(first_header).ok()?;
    let total_len = u16::try_from(payload.len() + header.header_len()).ok()?;
    let header = Header {
        ecn: if congestion { 3 } else { header.ecn },
        total_len,
        more_fragments: false,
        fragment_offset: 0,
        checksum: 0,
        ..header
    };
    let mut frame = Frame {
        payload,
        ..Frame::default()
    };
    push(&mut frame.head, header).then_some(frame)
}

/// Cuts a packet into fragments that fit an MTU, one at a time as the wire takes them.
#[derive(Clone, Debug)]
pub struct Fragmenter {
    /// The original header: options and all go into the first fragment.
    header: Head,
    payload: Payload,
    /// Where the next fragment starts within the original packet's payload, in bytes.
    done: usize,
    mtu: usize,
}

impl Fragmenter {
    /// A cutter for `packet`; `None` where the packet is no IPv4 packet or the MTU too small to
    /// make progress. The caller has looked at don't-fragment.
    #[must_use]
    pub fn new(mut packet: Frame, mtu: usize) -> Option<Self> {
        packet.complete_checksum();
        let (header, _) = Header::parse(packet.pull_up(MAX_HEADER_LEN)).ok()?;
        let len = header.header_len();
        if mtu < len + 8 {
            return None;
        }
        let mut head = Head::default();
        head.push_front(len)?
            .copy_from_slice(packet.front().get(..len)?);
        packet.advance(len);
        Some(Self {
            header: head,
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
        let bytes = self.header;
        let (original, _) = Header::parse(bytes.as_slice()).ok()?;
        let mut kept = [0; MAX_OPTIONS_LEN];
        let kept_len = copied_options(original.options, &mut kept);
        let options = if self.done == 0 {
            original.options
        } else {
            kept.get(..kept_len).unwrap_or_default()
        };
        let header_len = 20 + options.len();
        //= RFC 791 §3.2 every fragment but the last carries a multiple of eight bytes.
        let room = (self.mtu - header_len) & !7;
        let last = left + header_len <= self.mtu;
        let len = if last { left } else { room };
        let header = Header {
            total_len: u16::try_from(header_len + len).ok()?,
            fragment_offset: original.fragment_offset + u16::try_from(self.done).ok()?,
            more_fragments: !last || original.more_fragments,
            checksum: 0,
            options,
            ..original
        };
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
        push(&mut frame.head, header).then_some(frame)
    }
}
