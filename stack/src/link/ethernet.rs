//! One Ethernet attachment: which frames are for us, and how ours are addressed.
//!
//! ```text
//!   Frame --receive--> Received { dst class, src, tag, EtherType } + Frame without link header
//!                  \-> DropReason
//!   packet --encapsulate(dst, src, tag, EtherType)--> Frame, padded to 60 bytes
//! ```
//!
//! Read first: RFC 894, RFC 1042 (SNAP), RFC 1112 §6.4, IEEE 802.1Q §6.9 (priority tags).
//!
//! Promises: a frame from our own address is refused, but for IPv6's to groups, which the caller judges;
//! a frame for another station is never handed up unless the filter is promiscuous, and
//! then it is marked [`Cast::Other`]; a tag of VID 0 is a priority tag, and its frame belongs to
//! the untagged interface; padding is zeros (RFC 1042: never stale memory).
//!
//! Left out: more than one tag on a received frame (it is dropped as malformed VLAN), since no
//! sub-interface here stacks them; 802.3 length frames other than SNAP with an EtherType.

use crate::frame::{Checksum, Frame, Head};
use crate::reason::DropReason;
use crate::wire::ethernet::{HEADER_LEN, Header, MIN_FRAME_LEN};
use crate::wire::{EtherType, MacAddr, Writer, llc, vlan};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Whom a received frame was addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// Our own address.
    Unicast,
    /// A group.
    Multicast,
    /// Everyone.
    Broadcast,
    /// Another station: only seen when promiscuous.
    Other,
}

/// A received frame's link header, judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Whom it was addressed to.
    pub cast: Cast,
    /// Who sent it.
    pub src: MacAddr,
    /// Its VLAN; `None` where untagged or priority-tagged.
    pub vlan: Option<u16>,
    /// What follows.
    pub ethertype: EtherType,
}

/// Which frames an attachment accepts.
#[derive(Clone, Debug)]
pub struct Filter {
    mac: MacAddr,
    /// More stations on this attachment: VLAN sub-interfaces with addresses of their own.
    others: Vec<MacAddr>,
    /// Accept every frame.
    pub promiscuous: bool,
    /// Accept the solicited-node groups of all IPv6 addresses, as who answers for whole networks needs.
    pub all_solicited: bool,
    /// Group addresses, each with the number of those who asked for it.
    groups: BTreeMap<MacAddr, u32>,
}

impl Filter {
    /// A filter for the station `mac`, in no group.
    #[must_use]
    pub const fn new(mac: MacAddr) -> Self {
        Self {
            mac,
            others: Vec::new(),
            promiscuous: false,
            all_solicited: false,
            groups: BTreeMap::new(),
        }
    }

    /// Our address.
    #[must_use]
    pub const fn mac(&self) -> MacAddr {
        self.mac
    }

    /// Accepts what is addressed to one more station here.
    pub fn add_station(&mut self, mac: MacAddr) {
        if mac != self.mac && !self.others.contains(&mac) {
            self.others.push(mac);
        }
    }

    /// Accepts a group; counted, since several IP groups map to one MAC (RFC 1112 §6.4).
    pub fn join(&mut self, group: MacAddr) {
        *self.groups.entry(group).or_insert(0) += 1;
    }

    /// Undoes one [`join`](Self::join).
    pub fn leave(&mut self, group: MacAddr) {
        if let Some(n) = self.groups.get_mut(&group) {
            *n -= 1;
            if *n == 0 {
                self.groups.remove(&group);
            }
        }
    }

    /// Parses and judges the link header and removes it from `frame`.
    ///
    /// # Errors
    /// The reason to drop the frame.
    #[inline]
    pub fn receive(&self, frame: &mut Frame) -> Result<Received, DropReason> {
        let front = frame.pull_up(HEADER_LEN);
        let (header, _) = Header::parse(front).map_err(|_| DropReason::LinkTruncated)?;
        let cast = self.classify(header.dst)?;
        if header.src.is_multicast() || (header.src == self.mac && !may_be_another(&header)) {
            return Err(DropReason::LinkBadSource);
        }
        strip(frame, HEADER_LEN);
        let mut received = Received {
            cast,
            src: header.src,
            vlan: None,
            ethertype: header.ethertype,
        };
        if header.ethertype.is_vlan() {
            let (tag, _) = vlan::Header::parse(frame.pull_up(vlan::HEADER_LEN))
                .map_err(|_| DropReason::VlanMalformed)?;
            if tag.ethertype.is_vlan() {
                return Err(DropReason::VlanMalformed);
            }
            strip(frame, vlan::HEADER_LEN);
            received.vlan = (tag.vid != 0).then_some(tag.vid);
            received.ethertype = tag.ethertype;
        }
        if received.ethertype.is_length() {
            received.ethertype = snap(frame, received.ethertype)?;
        }
        Ok(received)
    }

    #[inline]
    fn classify(&self, dst: MacAddr) -> Result<Cast, DropReason> {
        if dst == self.mac || self.others.contains(&dst) {
            Ok(Cast::Unicast)
        } else if dst.is_broadcast() {
            Ok(Cast::Broadcast)
        } else if dst.is_multicast() {
            let solicited = self.all_solicited && matches!(dst.0, [0x33, 0x33, 0xff, ..]);
            if self.promiscuous || solicited || self.groups.contains_key(&dst) {
                Ok(Cast::Multicast)
            } else {
                Err(DropReason::LinkGroupNotJoined)
            }
        } else if self.promiscuous {
            Ok(Cast::Other)
        } else {
            Err(DropReason::LinkNotForUs)
        }
    }
}

/// Whether a frame from our own address may be news: of another station that has it too, which
/// duplicate address detection finds out. The caller refuses all else.
fn may_be_another(header: &Header) -> bool {
    header.ethertype == EtherType::IPV6 && header.dst.is_multicast()
}

/// Unwraps RFC 1042 encapsulation: 802.2 LLC with SNAP and OUI zero carries an EtherType.
fn snap(frame: &mut Frame, length: EtherType) -> Result<EtherType, DropReason> {
    let len = usize::from(length.0);
    if len > frame.len() {
        return Err(DropReason::LinkTruncated);
    }
    frame.truncate(len);
    let front = frame.pull_up(8);
    let (header, rest) = llc::Header::parse(front).map_err(|_| DropReason::LinkTruncated)?;
    if !header.is_snap() {
        return Err(DropReason::EtherTypeUnknown);
    }
    let (snap, _) = llc::Snap::parse(rest).map_err(|_| DropReason::LinkTruncated)?;
    if snap.oui != [0; 3] {
        return Err(DropReason::EtherTypeUnknown);
    }
    strip(frame, 8);
    Ok(snap.protocol)
}

/// Removes `n` bytes of link header; a partial checksum's place is counted from what is left.
#[inline]
pub(crate) fn strip(frame: &mut Frame, n: usize) {
    frame.advance(n);
    if let Checksum::Partial { start, offset } = frame.offload.checksum {
        let start = start.saturating_sub(u16::try_from(n).unwrap_or(u16::MAX));
        frame.offload.checksum = Checksum::Partial { start, offset };
    }
}

/// Puts the link header in front of a packet and pads it to the minimum size.
#[inline(always)]
pub fn encapsulate(
    frame: &mut Frame,
    dst: MacAddr,
    src: MacAddr,
    tag: Option<vlan::Header>,
    ethertype: EtherType,
) {
    let len = match tag {
        None => {
            frame.push_front(&link_header(dst, src, ethertype));
            HEADER_LEN
        }
        Some(tag) => {
            let mut room = [0; vlan::HEADER_LEN];
            let tag = vlan::Header { ethertype, ..tag };
            let written = tag.emit(&mut Writer::new(&mut room));
            debug_assert!(written.is_ok(), "room was made for it");
            frame.push_front(&room);
            frame.push_front(&link_header(dst, src, EtherType::VLAN));
            HEADER_LEN + vlan::HEADER_LEN
        }
    };
    if let Checksum::Partial { start, offset } = frame.offload.checksum {
        let start = start.saturating_add(u16::try_from(len).unwrap_or(0));
        frame.offload.checksum = Checksum::Partial { start, offset };
    }
    fill_up(frame);
}

/// Pads an Ethernet frame to the minimum size.
#[inline]
pub(super) fn fill_up(frame: &mut Frame) {
    let total = frame.len();
    if total < MIN_FRAME_LEN {
        pad(frame, total);
    }
}

#[inline]
fn link_header(dst: MacAddr, src: MacAddr, ethertype: EtherType) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..6].copy_from_slice(&dst.0);
    bytes[6..12].copy_from_slice(&src.0);
    bytes[12..].copy_from_slice(&ethertype.0.to_be_bytes());
    bytes
}

/// Short frames are rewritten into one inline piece, zeros behind: no allocation.
#[cold]
fn pad(frame: &mut Frame, len: usize) {
    let mut head = Head::default();
    if let Some(room) = head.push_front(MIN_FRAME_LEN) {
        let mut w = Writer::new(room.get_mut(..len).unwrap_or_default());
        for piece in frame.pieces() {
            let written = w.put(piece);
            debug_assert!(written.is_ok(), "the pieces add up to len");
        }
        frame.head = head;
        frame.payload = crate::frame::Payload::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const GROUP: MacAddr = MacAddr([1, 0, 0x5e, 0, 0, 1]);

    fn frame(dst: MacAddr, src: MacAddr, rest: &[u8]) -> Frame {
        let mut bytes = Vec::new();
        bytes.extend(dst.0);
        bytes.extend(src.0);
        bytes.extend(rest);
        Frame::copy_from(&bytes)
    }

    #[test]
    fn accepts_by_address() {
        let mut filter = Filter::new(US);
        let ip = &[8, 0, 0xaa][..];
        let cast = |f: &Filter, dst| f.receive(&mut frame(dst, PEER, ip)).map(|r| r.cast);
        assert_eq!(cast(&filter, US), Ok(Cast::Unicast));
        assert_eq!(cast(&filter, MacAddr::BROADCAST), Ok(Cast::Broadcast));
        assert_eq!(cast(&filter, GROUP), Err(DropReason::LinkGroupNotJoined));
        assert_eq!(cast(&filter, PEER), Err(DropReason::LinkNotForUs));
        filter.join(GROUP);
        filter.join(GROUP);
        filter.leave(GROUP);
        assert_eq!(cast(&filter, GROUP), Ok(Cast::Multicast));
        filter.leave(GROUP);
        assert_eq!(cast(&filter, GROUP), Err(DropReason::LinkGroupNotJoined));
        filter.promiscuous = true;
        assert_eq!(cast(&filter, PEER), Ok(Cast::Other));
        for src in [US, MacAddr::BROADCAST] {
            let got = filter.receive(&mut frame(US, src, ip));
            assert_eq!(got, Err(DropReason::LinkBadSource));
        }
    }

    #[test]
    fn unwraps_tags_and_snap() {
        let filter = Filter::new(US);
        type Row = (&'static [u8], Result<(Option<u16>, u16), DropReason>);
        let table: &[Row] = &[
            (&[8, 0, 1], Ok((None, 0x800))),
            (&[0x81, 0, 0, 5, 8, 0, 1], Ok((Some(5), 0x800))),
            (&[0x81, 0, 0xe0, 0, 8, 6, 1], Ok((None, 0x806))),
            (&[0x81, 0, 0, 5, 8], Err(DropReason::VlanMalformed)),
            (
                &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0],
                Err(DropReason::VlanMalformed),
            ),
            (
                &[0, 9, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0, 1, 0, 0],
                Ok((None, 0x800)),
            ),
            (
                &[0, 9, 0xaa, 0xaa, 3, 0, 0, 0xc, 8, 0, 1],
                Err(DropReason::EtherTypeUnknown),
            ),
            (&[0, 3, 0x42, 0x42, 3], Err(DropReason::EtherTypeUnknown)),
            (&[0, 40, 0xaa, 0xaa, 3], Err(DropReason::LinkTruncated)),
            (&[8], Err(DropReason::LinkTruncated)),
        ];
        for (rest, want) in table {
            let mut f = frame(US, PEER, rest);
            let got = filter.receive(&mut f).map(|r| (r.vlan, r.ethertype.0));
            assert_eq!(got, *want, "{rest:02x?}");
            if want.is_ok() {
                assert_eq!(f.front(), [1], "payload left, padding cut: {rest:02x?}");
            }
        }
    }

    #[test]
    fn pads_short_frames_with_zeros_and_keeps_the_partial_place() {
        let mut packet = Frame::copy_from(&[7; 10]);
        packet.offload.checksum = Checksum::Partial {
            start: 4,
            offset: 2,
        };
        let tag = vlan::Header {
            pcp: 3,
            dei: false,
            vid: 9,
            ethertype: EtherType(0),
        };
        let mut sent = packet;
        encapsulate(&mut sent, PEER, US, Some(tag), EtherType::IPV4);
        assert_eq!(sent.len(), MIN_FRAME_LEN);
        assert_eq!(
            sent.offload.checksum,
            Checksum::Partial {
                start: 22,
                offset: 2
            }
        );
        let bytes = sent.to_bytes();
        assert_eq!(&bytes[12..18], [0x81, 0, 0x60, 9, 8, 0]);
        assert_eq!(&bytes[18..28], [7; 10]);
        assert!(bytes[28..].iter().all(|&b| b == 0));
    }
}
