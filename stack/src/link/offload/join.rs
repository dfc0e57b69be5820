//! Joins segments that came one by one to the super-frame that they might have been.
//!
//! ```text
//!   a batch of frames   A1 B1 A2 udp A3 A3' B2   --Joiner-->   A1+A2+A3   B1+B2   udp   A3'
//! ```
//!
//! What a host does for a frame it then does once for up to 64 KiB. Only what [`Cutter`](super::Cutter) would make
//! the same frames of again, bit by bit, is joined: consecutive segments with data of one flow
//! whose headers are alike but for what counts up, checksums right.
//!
//! Read first: RFC 9293 §3.1; RFC 3168 §5 and §6.1 (a mark is of one packet, CWR said once); RFC
//! 6864 §4.1.
//!
//! Promises: frames of one flow stay in order; a frame that is not joined is handed on untouched;
//! data is joined by reference. Nothing waits for time: who has read all that there was calls
//! [`Joiner::flush`].
//!
//! Left out: segments with IP options or extension headers, SYN, RST and urgent data, which are
//! rare; pure acknowledgements, each of which TCP wants to count.

use super::{Front, Places, put};
use crate::frame::{Checksum, Frame, Gso, GsoKind, Head, Offload};
use crate::wire::checksum::{self, Sum};
use crate::wire::{Protocol, ipv6, tcp};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

/// Frames that are being joined, and those that wait to be taken.
#[derive(Clone, Debug)]
pub struct Joiner {
    bare: bool,
    frames: VecDeque<Frame>,
    /// How many frames were taken out in front of those.
    taken: u64,
    /// What may still be joined to, the oldest first.
    open: Vec<Open>,
}

/// How many flows are joined at the same time; the oldest gives way.
const FLOWS: usize = 8;
/// Segments that a run is thought to have when it begins.
const RUN: usize = 44;
/// The longest IP packet.
const MAX_PACKET: usize = 65_535;

/// What may be joined to one frame.
#[derive(Clone, Debug)]
struct Open {
    /// Its number.
    at: u64,
    /// Its first segment.
    first: Seen,
    /// What the headers of the next are.
    glance: Glance,
    /// What has come so far: segments, and bytes of data.
    segments: usize,
    data: usize,
    /// Of the segment that came last.
    ident: u16,
    flags: u8,
}

/// What a segment looks like.
#[derive(Clone, Debug)]
struct Seen {
    v6: bool,
    places: Places,
    front: Front,
    /// The headers with all zero that may differ within a super-frame.
    alike: Head,
    data: usize,
    ident: u16,
    unnumbered: bool,
    seq: u32,
    flags: u8,
    /// Whether it may be joined at all.
    plain: bool,
}

/// Headers as words, each with a mask of the bits that must be alike, to be compared at once.
#[derive(Clone, Debug, Default)]
struct Glance {
    words: [(u64, u64); WORDS],
    /// The last of them, which overlaps the others.
    last: (u64, u64),
    /// Bytes that the words stand for.
    len: usize,
    /// Sums of the same: of the header of IPv4, and of the transport's with its pseudo-header.
    of_header: Sum,
    of_transport: Sum,
}

/// As many as headers may be long.
const WORDS: usize = Head::CAPACITY / 8;

/// What a frame that is no segment means to those around it.
enum Other {
    /// Nothing: it is of no flow of TCP.
    Foreign,
    /// It may be of any flow.
    Strange,
}

const FIN: u8 = 0x01;
const SYN_RST_URG: u8 = 0x26;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const CWR: u8 = 0x80;

impl Joiner {
    /// A joiner of frames whose link header is Ethernet's unless `bare`.
    #[must_use]
    pub const fn new(bare: bool) -> Self {
        Self {
            bare,
            frames: VecDeque::new(),
            taken: 0,
            open: Vec::new(),
        }
    }

    /// Takes the next frame of a batch out of its place, and leaves none.
    #[inline]
    pub fn push(&mut self, frame: &mut Frame) {
        // Usually it is the next of a run: a look at what differs tells.
        let next = |(i, open): (usize, &Open)| Some((i, open.next(frame)?));
        match self.open.iter().enumerate().find_map(next) {
            Some((i, (flags, data, ident))) => self.join(i, frame, flags, data, ident),
            None => self.push_other(frame.take()),
        }
    }

    #[inline(never)]
    fn push_other(&mut self, mut frame: Frame) {
        if self.open.is_empty() && may_begin(&frame, self.bare) == Some(false) {
            return self.frames.push_back(frame);
        }
        let seen = match Seen::look(&frame, self.bare) {
            Ok(seen) => seen,
            Err(Other::Foreign) => return self.frames.push_back(frame),
            Err(Other::Strange) => {
                self.flush();
                return self.frames.push_back(frame);
            }
        };
        if let Some(i) = self
            .open
            .iter()
            .position(|open| open.first.is_of_flow(&seen))
        {
            if self.open.get(i).is_some_and(|open| open.takes(&seen)) {
                return self.join(i, &mut frame, seen.flags, seen.data, seen.ident);
            }
            self.close(i);
        }
        if seen.plain && seen.flags & (PSH | FIN) == 0 {
            if self.open.len() >= FLOWS {
                self.close(0);
            }
            self.open.push(Open {
                at: self.taken + self.frames.len() as u64,
                segments: 1,
                data: seen.data,
                ident: seen.ident,
                flags: seen.flags,
                glance: Glance::of(&seen).unwrap_or_default(),
                first: seen,
            });
        }
        self.frames.push_back(frame);
    }

    /// Nothing more is joined to what has come.
    pub fn flush(&mut self) {
        while !self.open.is_empty() {
            self.close(0);
        }
    }

    /// The next frame that nothing can be joined to any more.
    pub fn pop(&mut self) -> Option<Frame> {
        if self.open.iter().any(|open| open.at == self.taken) {
            return None;
        }
        let frame = self.frames.pop_front()?;
        self.taken += 1;
        Some(frame)
    }

    /// Frames that it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    fn frame_mut(&mut self, at: u64) -> Option<&mut Frame> {
        let i = usize::try_from(at.checked_sub(self.taken)?).ok()?;
        self.frames.get_mut(i)
    }

    #[inline]
    fn join(&mut self, i: usize, frame: &mut Frame, flags: u8, data: usize, ident: u16) {
        let Some(open) = self.open.get_mut(i) else {
            return;
        };
        let (at, begins) = (open.at, open.segments == 1);
        let headers = open.first.places.data;
        open.segments += 1;
        open.data += data;
        open.ident = ident;
        open.flags = flags;
        let ends = flags & (PSH | FIN) != 0 || data < open.first.data;
        if let Some(whole) = self.frame_mut(at) {
            if begins {
                strip(whole, headers);
                whole.payload.reserve(RUN);
            }
            strip(frame, headers);
            whole.payload.append(core::mem::take(&mut frame.payload));
        }
        if ends {
            self.close(i);
        }
    }

    /// Writes the headers of what has been joined.
    fn close(&mut self, i: usize) {
        let open = self.open.remove(i);
        if open.segments > 1
            && let Some(whole) = self.frame_mut(open.at)
        {
            whole.head = open.headers().unwrap_or_default();
            whole.offload = open.note();
        }
    }
}

/// Whether something may be joined to a frame: a segment with data behind plain headers, of which
/// nothing says that it ends there. `None` where they lie in pieces.
fn may_begin(frame: &Frame, bare: bool) -> Option<bool> {
    let front = frame.front();
    let ip = match bare {
        true => 0,
        false => super::link_len(front)?,
    };
    let (header, protocol) = match *front.get(ip..)? {
        [0x45, _, _, _, _, _, _, _, _, protocol, ..] => (20, protocol),
        [0x60..=0x6f, _, _, _, _, _, protocol, ..] => (ipv6::HEADER_LEN, protocol),
        _ => return None,
    };
    let [.., offset, flags, _, _, _, _, _, _] = *front
        .get(ip + header..)?
        .first_chunk::<{ tcp::HEADER_LEN }>()?;
    let headers = ip + header + usize::from(offset >> 4) * 4;
    let alone = flags & (ACK | SYN_RST_URG | PSH | FIN) == ACK;
    Some(protocol == Protocol::TCP.0 && alone && frame.len() > headers)
}

/// Leaves a frame's data alone.
#[inline]
fn strip(frame: &mut Frame, headers: usize) {
    frame.advance(headers);
    // Data that lies in the head moves to where it belongs.
    if !frame.head.is_empty() {
        frame.payload = frame.take_payload();
    }
}

impl Open {
    /// Flags, length of the data and identification of a frame that is the next of the same; `None`
    /// of all others, and perhaps of one that is: [`takes`](Self::takes) judges those.
    #[inline]
    fn next(&self, frame: &Frame) -> Option<(u8, usize, u16)> {
        let Places {
            ip,
            transport,
            data: headers,
        } = self.first.places;
        let front = frame.front();
        let segment = front
            .get(transport..)?
            .first_chunk::<{ tcp::HEADER_LEN }>()?;
        let [
            _,
            _,
            _,
            _,
            s0,
            s1,
            s2,
            s3,
            _,
            _,
            _,
            _,
            _,
            flags,
            _,
            _,
            c0,
            c1,
            _,
            _,
        ] = *segment;
        let before = u32::try_from(self.data).unwrap_or(0);
        let seq = u32::from_be_bytes([s0, s1, s2, s3]);
        let data = frame.len().checked_sub(headers)?;
        let right = seq == self.first.seq.wrapping_add(before)
            && flags & CWR == 0
            && (flags ^ self.first.flags) & !(PSH | FIN | CWR) == 0
            && (1..=self.first.data).contains(&data)
            && headers - ip + self.data + data <= MAX_PACKET
            && frame.offload.gso.is_none();
        if !right || !self.glance.is_of(front) {
            return None;
        }
        let fixed = front.get(ip..)?.first_chunk::<12>()?;
        let word = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let mut ident = 0;
        if self.first.v6 {
            let len = usize::from(word(4)) + ipv6::HEADER_LEN;
            (len == headers - ip + data).then_some(())?;
        } else {
            ident = word(4);
            let numbered = match self.first.unnumbered {
                true => ident == 0,
                false => ident == self.ident.wrapping_add(1),
            };
            let whole = usize::from(word(2)) == headers - ip + data;
            let mut sum = self.glance.of_header;
            sum.add_u16(word(2));
            sum.add_u16(ident);
            sum.add_u16(word(10));
            (numbered && whole && sum.finish() == 0).then_some(())?;
        }
        let vouched = match frame.offload.checksum {
            Checksum::Verified => true,
            Checksum::Partial { start, .. } => usize::from(start) == transport,
            Checksum::Unchecked | Checksum::Complete => {
                let mut sum = self.glance.of_transport;
                sum.add_u16(u16::try_from(headers - transport + data).ok()?);
                sum.add_even([s0, s1, s2, s3]);
                sum.add_u16(u16::from(flags));
                sum.add_u16(u16::from_be_bytes([c0, c1]));
                frame.sum_from(headers, &mut sum);
                sum.finish() == 0
            }
        };
        vouched.then_some((flags, data, ident))
    }

    /// Whether a segment of its flow is the next of the same.
    fn takes(&self, seen: &Seen) -> bool {
        let first = &self.first;
        let before = u32::try_from(self.data).unwrap_or(0);
        let numbered = if first.unnumbered || first.v6 {
            seen.ident == first.ident
        } else {
            seen.ident == self.ident.wrapping_add(1)
        };
        let len = first.places.data - first.places.ip + self.data + seen.data;
        seen.plain
            && seen.alike == first.alike
            //= RFC 3168 §6.1.2 CWR is said in one segment: where it is, something begins.
            && seen.flags & CWR == 0
            && (seen.flags ^ first.flags) & !(PSH | FIN | CWR) == 0
            && seen.seq == first.seq.wrapping_add(before)
            && numbered
            && seen.data <= first.data
            && len <= MAX_PACKET
    }

    /// The first segment's headers, of all that has come.
    fn headers(&self) -> Option<Head> {
        let Seen {
            v6, places, front, ..
        } = &self.first;
        let mut head = Head::default();
        head.push_front(places.data)?
            .copy_from_slice(front.bytes().get(..places.data)?);
        let (packet, segment) = head
            .as_mut_slice()
            .get_mut(places.ip..)?
            .split_at_mut_checked(places.transport - places.ip)?;
        let transport_len = places.data - places.transport + self.data;
        if *v6 {
            put(packet, 4, u16::try_from(transport_len).ok()?)?;
        } else {
            put(packet, 2, u16::try_from(packet.len() + transport_len).ok()?)?;
            put(packet, 10, 0)?;
            let check = checksum::of(packet);
            put(packet, 10, check)?;
        }
        let sum = pseudo(packet, *v6, transport_len)?;
        *segment.get_mut(13)? |= self.flags & (PSH | FIN);
        put(segment, 16, sum.partial())?;
        Some(head)
    }

    /// How to cut it again. The checksum is open, which says as much as that it was verified, and
    /// lets the frame be sent on.
    fn note(&self) -> Offload {
        Offload {
            gso: Some(Gso {
                kind: if self.first.v6 {
                    GsoKind::Tcp6
                } else {
                    GsoKind::Tcp4
                },
                size: u16::try_from(self.first.data).unwrap_or(0),
            }),
            checksum: Checksum::Partial {
                start: u16::try_from(self.first.places.transport).unwrap_or(0),
                offset: 16,
            },
        }
    }
}

impl Seen {
    fn look(frame: &Frame, bare: bool) -> Result<Self, Other> {
        let front = Front::of(frame);
        let bytes = front.bytes();
        let ip = match bare {
            true => Some(0),
            false => super::link_len(bytes),
        };
        let Some(packet) = ip.and_then(|ip| bytes.get(ip..)) else {
            return Err(Other::Foreign);
        };
        // Extension headers may hide TCP; of other protocols nothing is to be kept in order.
        const EXTENSIONS: [u8; 5] = [0, 43, 44, 51, 60];
        let protocol = match packet {
            [first, rest @ ..] if first >> 4 == 4 => rest.get(8).copied(),
            [first, rest @ ..] if first >> 4 == 6 => rest.get(5).copied(),
            _ => None,
        };
        match protocol {
            None => return Err(Other::Foreign),
            Some(p) if p == Protocol::TCP.0 => {}
            Some(p) if packet.first().is_some_and(|b| b >> 4 == 6) && EXTENSIONS.contains(&p) => {
                return Err(Other::Strange);
            }
            Some(_) => return Err(Other::Foreign),
        }
        Self::of_segment(frame, front, ip.unwrap_or(0)).ok_or(Other::Strange)
    }

    /// A segment right behind a plain IP header; none where the checks of IP would refuse it.
    fn of_segment(frame: &Frame, front: Front, ip: usize) -> Option<Self> {
        let packet = front.bytes().get(ip..)?;
        let v6 = packet.first()? >> 4 == 6;
        let word = |at: usize| Some(u16::from_be_bytes(*packet.get(at..)?.first_chunk()?));
        let (header, len) = if v6 {
            (ipv6::HEADER_LEN, ipv6::HEADER_LEN + usize::from(word(4)?))
        } else {
            let no_fragment = word(6)? & 0x3fff == 0;
            let right = *packet.first()? == 0x45 && no_fragment;
            if !right || checksum::of(packet.get(..20)?) != 0 {
                return None;
            }
            (20, usize::from(word(2)?))
        };
        let transport = ip + header;
        let segment = front.bytes().get(transport..)?;
        let header_len = usize::from(*segment.get(12)? >> 4) * 4;
        let data = transport + header_len;
        if header_len < tcp::HEADER_LEN || front.bytes().len() < data || ip + len < data {
            return None;
        }
        let flags = *segment.get(13)?;
        let ident = if v6 { 0 } else { word(4)? };
        let places = Places {
            ip,
            transport,
            data,
        };
        let mut seen = Self {
            v6,
            places,
            alike: Head::default(),
            data: ip + len - data,
            ident,
            unnumbered: !v6 && ident == 0 && word(6)? & 0x4000 != 0,
            seq: u32::from_be_bytes(*segment.get(4..)?.first_chunk()?),
            flags,
            plain: false,
            front,
        };
        seen.plain = frame.offload.gso.is_none()
            && seen.data > 0
            && flags & (ACK | SYN_RST_URG) == ACK
            // Padding, or bytes that are not there.
            && frame.len() == ip + len
            && seen.mask().is_some()
            && verifies(frame, seen.front.bytes(), v6, places) == Some(true);
        Some(seen)
    }

    /// Fills in what must be alike.
    fn mask(&mut self) -> Option<()> {
        let room = self.alike.push_front(self.places.data)?;
        room.copy_from_slice(self.front.bytes().get(..self.places.data)?);
        mask(room, self.v6, self.places)
    }

    /// Whether two segments have the same addresses and ports.
    fn is_of_flow(&self, other: &Self) -> bool {
        let key = |seen: &Self| {
            let addresses = match seen.v6 {
                true => 8..40,
                false => 12..20,
            };
            let bytes = seen.front.bytes();
            let packet = bytes.get(seen.places.ip..)?;
            let ports = bytes.get(seen.places.transport..)?.first_chunk::<4>()?;
            let mut key = [0; 36];
            let addresses = packet.get(addresses)?;
            key.get_mut(..addresses.len())?.copy_from_slice(addresses);
            key.get_mut(32..)?.copy_from_slice(ports);
            Some(key)
        };
        self.v6 == other.v6 && key(self) == key(other)
    }
}

impl Glance {
    fn of(seen: &Seen) -> Option<Self> {
        let mut ones = [0xff; Head::CAPACITY];
        let masks = ones.get_mut(..seen.places.data)?;
        mask(masks, seen.v6, seen.places)?;
        let (packet, segment) = seen
            .alike
            .as_slice()
            .get(seen.places.ip..)?
            .split_at_checked(seen.places.transport - seen.places.ip)?;
        let mut glance = Self {
            len: seen.places.data,
            of_transport: pseudo(packet, seen.v6, 0)?,
            ..Self::default()
        };
        glance.of_header.add(packet);
        glance.of_transport.add(segment);
        let (words, masks) = (seen.alike.as_slice(), &*masks);
        let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
        glance.last = (word(words.last_chunk()?), word(masks.last_chunk()?));
        let words = words.as_chunks().0.iter().zip(masks.as_chunks().0);
        for (place, (bytes, mask)) in glance.words.iter_mut().zip(words) {
            *place = (word(bytes), word(mask));
        }
        Some(glance)
    }

    #[inline]
    fn is_of(&self, front: &[u8]) -> bool {
        let Some(front) = front.get(..self.len) else {
            return false;
        };
        let ((words, _), Some(last)) = (front.as_chunks::<8>(), front.last_chunk::<8>()) else {
            return false;
        };
        let (mine, mask) = self.last;
        let mut differs = (u64::from_ne_bytes(*last) ^ mine) & mask;
        for (word, (mine, mask)) in words.iter().zip(&self.words) {
            differs |= (u64::from_ne_bytes(*word) ^ mine) & mask;
        }
        differs == 0
    }
}

/// Leaves zero of headers where they may differ within a super-frame.
fn mask(headers: &mut [u8], v6: bool, places: Places) -> Option<()> {
    let Places { ip, transport, .. } = places;
    if v6 {
        put(headers, ip + 4, 0)?;
    } else {
        put(headers, ip + 2, 0)?;
        put(headers, ip + 4, 0)?;
        put(headers, ip + 10, 0)?;
    }
    put(headers, transport + 4, 0)?;
    put(headers, transport + 6, 0)?;
    *headers.get_mut(transport + 13)? = 0;
    put(headers, transport + 16, 0)
}

/// Whether a segment's checksum is right, or who handed us its frame says so.
#[inline]
fn verifies(frame: &Frame, front: &[u8], v6: bool, places: Places) -> Option<bool> {
    match frame.offload.checksum {
        Checksum::Verified => return Some(true),
        Checksum::Partial { start, .. } => return Some(usize::from(start) == places.transport),
        Checksum::Unchecked | Checksum::Complete => {}
    }
    let mut sum = pseudo(front.get(places.ip..)?, v6, frame.len() - places.transport)?;
    frame.sum_from(places.transport, &mut sum);
    Some(sum.finish() == 0)
}

/// The sum of the pseudo-header of `len` bytes of TCP in a packet.
fn pseudo(packet: &[u8], v6: bool, len: usize) -> Option<Sum> {
    let mut sum = Sum::new();
    if v6 {
        let src = Ipv6Addr::from(*packet.get(8..)?.first_chunk::<16>()?);
        let dst = Ipv6Addr::from(*packet.get(24..)?.first_chunk::<16>()?);
        sum.add_pseudo6(src, dst, Protocol::TCP, len);
    } else {
        let src = Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?);
        let dst = Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?);
        sum.add_pseudo4(src, dst, Protocol::TCP, len);
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::super::cut;
    use super::*;
    use crate::rng::Rng;
    use std::vec::Vec;

    /// One segment to be.
    #[derive(Clone, Debug)]
    struct Plan {
        v6: bool,
        port: u16,
        seq: u32,
        ack: u32,
        flags: u8,
        window: u16,
        ident: u16,
        dont_fragment: bool,
        tos: u8,
        ttl: u8,
        stamp: u32,
        len: usize,
    }

    impl Plan {
        fn new(v6: bool, port: u16) -> Self {
            Self {
                v6,
                port,
                seq: u32::MAX - 3000,
                ack: 77,
                flags: ACK,
                window: 500,
                ident: 65_534,
                dont_fragment: true,
                tos: 2,
                ttl: 64,
                stamp: 9,
                len: 1000,
            }
        }

        /// What a sender would say after this.
        fn next(&self) -> Self {
            let len = u32::try_from(self.len).unwrap();
            let unnumbered = self.dont_fragment && self.ident == 0;
            Self {
                seq: self.seq.wrapping_add(len),
                ident: self.ident.wrapping_add(u16::from(!unnumbered)),
                ..self.clone()
            }
        }

        fn bytes(&self) -> Vec<u8> {
            let ip_len = if self.v6 { 40 } else { 20 };
            let mut b = std::vec![0; 14 + ip_len + 32 + self.len];
            b[..12].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
            b[12..14].copy_from_slice(if self.v6 { &[0x86, 0xdd] } else { &[8, 0] });
            let tcp_len = u16::try_from(32 + self.len).unwrap();
            let (packet, segment) = b[14..].split_at_mut(ip_len);
            let mut sum = Sum::new();
            if self.v6 {
                packet[0] = 0x60 | self.tos >> 4;
                packet[1] = self.tos << 4;
                packet[4..6].copy_from_slice(&tcp_len.to_be_bytes());
                packet[6..8].copy_from_slice(&[6, self.ttl]);
                packet[8..10].copy_from_slice(&[0xfd, 7]);
                packet[24..26].copy_from_slice(&[0xfd, 8]);
                sum.add(&packet[8..]);
            } else {
                packet[..2].copy_from_slice(&[0x45, self.tos]);
                packet[2..4].copy_from_slice(&(20 + tcp_len).to_be_bytes());
                packet[4..6].copy_from_slice(&self.ident.to_be_bytes());
                packet[6] = if self.dont_fragment { 0x40 } else { 0 };
                packet[8..10].copy_from_slice(&[self.ttl, 6]);
                packet[12..20].copy_from_slice(&[10, 7, 0, 1, 10, 7, 0, 2]);
                let check = checksum::of(packet);
                packet[10..12].copy_from_slice(&check.to_be_bytes());
                sum.add(&packet[12..]);
            }
            sum.add_u16(6);
            sum.add_u16(tcp_len);
            segment[..2].copy_from_slice(&self.port.to_be_bytes());
            segment[4..8].copy_from_slice(&self.seq.to_be_bytes());
            segment[8..12].copy_from_slice(&self.ack.to_be_bytes());
            segment[12..14].copy_from_slice(&[0x80, self.flags]);
            segment[14..16].copy_from_slice(&self.window.to_be_bytes());
            segment[20..24].copy_from_slice(&[1, 1, 8, 10]);
            segment[24..28].copy_from_slice(&self.stamp.to_be_bytes());
            for (i, byte) in (0..).zip(&mut segment[32..]) {
                *byte = (self.seq.wrapping_add(i) % 251) as u8;
            }
            sum.add(segment);
            segment[16..18].copy_from_slice(&sum.finish().to_be_bytes());
            b
        }

        fn frame(&self) -> Frame {
            Frame::copy_from(&self.bytes())
        }
    }

    fn joined(frames: impl IntoIterator<Item = Frame>) -> Vec<Frame> {
        let mut joiner = Joiner::new(false);
        for mut frame in frames {
            joiner.push(&mut frame);
        }
        joiner.flush();
        let all = core::iter::from_fn(|| joiner.pop()).collect();
        assert!(joiner.is_empty());
        all
    }

    fn pieces(frames: &[Frame]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for frame in frames {
            cut(frame.clone(), false, |p| all.push(p.to_bytes().to_vec()));
        }
        all
    }

    #[test]
    fn a_run_of_segments_is_one_frame_and_comes_apart_again() {
        for v6 in [false, true] {
            for dont_fragment in [true, false] {
                let mut plan = Plan {
                    dont_fragment,
                    ident: u16::from(!dont_fragment) * 65_534,
                    ..Plan::new(v6, 1)
                };
                let mut frames = Vec::new();
                for i in 0..40 {
                    if i == 39 {
                        plan.flags |= PSH | FIN;
                        plan.len = 7;
                    }
                    frames.push(plan.frame());
                    plan = plan.next();
                }
                let whole = joined(frames.clone());
                let [one] = &whole[..] else {
                    panic!("{} frames", whole.len());
                };
                assert_eq!(one.offload.gso.map(|g| g.size), Some(1000));
                let first = frames[0].to_bytes();
                let data = first.len() - 1000;
                assert_eq!(one.len(), data + 39_007);
                assert_eq!(one.head.as_slice()[data - 32 + 13], ACK | PSH | FIN);
                let want: Vec<_> = frames.iter().map(|f| f.to_bytes().to_vec()).collect();
                assert!(pieces(&whole) == want);
            }
        }
    }

    #[test]
    fn no_more_than_a_packet_is_joined() {
        let mut plan = Plan {
            ident: 1,
            ..Plan::new(false, 1)
        };
        let mut frames = Vec::new();
        for _ in 0..100 {
            frames.push(plan.frame());
            plan = plan.next();
        }
        let lens: Vec<_> = joined(frames).iter().map(|f| f.payload.len()).collect();
        assert_eq!(lens, [65_000, 35_000]);
    }

    /// How a segment differs from what would be next.
    type Change = fn(&mut Plan);

    #[test]
    fn what_differs_is_not_joined() {
        let changes: [(&str, Change); 16] = [
            ("gap", |p| p.seq = p.seq.wrapping_add(1)),
            ("again", |p| p.seq = p.seq.wrapping_sub(1000)),
            ("ack", |p| p.ack += 1),
            ("window", |p| p.window += 1),
            ("timestamp", |p| p.stamp += 1),
            ("TTL", |p| p.ttl -= 1),
            ("CE", |p| p.tos = 3),
            ("DSCP", |p| p.tos |= 0x20),
            ("URG", |p| p.flags |= 0x20),
            ("SYN", |p| p.flags |= 2),
            ("RST", |p| p.flags |= 4),
            ("ECE", |p| p.flags |= 0x40),
            ("CWR", |p| p.flags |= CWR),
            ("no ACK", |p| p.flags = 0),
            ("longer", |p| p.len += 1),
            ("none", |p| p.len = 0),
        ];
        let only4: [(&str, Change); 3] = [
            ("ident", |p| p.ident = p.ident.wrapping_add(1)),
            ("same ident", |p| p.ident = p.ident.wrapping_sub(1)),
            ("DF", |p| p.dont_fragment = false),
        ];
        for v6 in [false, true] {
            let more = only4.iter().filter(|_| !v6);
            for (name, change) in changes.iter().chain(more) {
                let first = Plan::new(v6, 1);
                let mut second = first.next();
                change(&mut second);
                let third = second.next();
                let frames = [first.frame(), second.frame(), third.frame()];
                let want: Vec<_> = frames.iter().map(|f| f.to_bytes().to_vec()).collect();
                let got = joined(frames);
                assert!(got.len() > 1 && got[0].offload.gso.is_none(), "{name}");
                assert!(pieces(&got) == want, "{name}");
            }
        }
    }

    #[test]
    fn what_ends_data_ends_a_frame() {
        let short: Change = |p| p.len = 999;
        for change in [(|p| p.flags |= PSH) as Change, |p| p.flags |= FIN, short] {
            let first = Plan::new(false, 1);
            let mut second = first.next();
            change(&mut second);
            let mut third = second.next();
            (third.flags, third.len) = (ACK, 900);
            let got = joined([first.frame(), second.frame(), third.frame()]);
            assert_eq!(got.len(), 2);
            assert!(got[1].offload.gso.is_none());
        }
    }

    #[test]
    fn what_has_been_joined_already_is_not_joined_again() {
        let (first, second) = (Plan::new(false, 1), Plan::new(false, 1).next());
        let third = second.next();
        let [whole] = &joined([first.frame(), second.frame()])[..] else {
            panic!("they are one");
        };
        let got = joined([whole.clone(), third.frame(), third.next().frame()]);
        assert!(got.len() == 2 && got[0] == *whole);
    }

    #[test]
    fn a_wrong_checksum_is_left_to_who_counts_it() {
        let (first, second) = (Plan::new(false, 1), Plan::new(false, 1).next());
        let mut bytes = second.bytes();
        *bytes.last_mut().unwrap() ^= 1;
        let bad = Frame::copy_from(&bytes);
        let got = joined([first.frame(), bad.clone()]);
        assert!(got.len() == 2 && got[1] == bad);
        // Unless the device says that it has looked.
        let mut vouched = bad;
        vouched.offload.checksum = Checksum::Verified;
        assert_eq!(joined([first.frame(), vouched]).len(), 1);
        // A wrong header checksum may hide whose it is.
        let mut bytes = second.bytes();
        bytes[24] ^= 1;
        let got = joined([first.frame(), Frame::copy_from(&bytes), second.frame()]);
        assert_eq!(got.len(), 3);
    }

    #[test]
    fn padding_is_not_joined_as_data() {
        for v6 in [false, true] {
            let first = Plan::new(v6, 1);
            let second = Plan {
                len: 900,
                ..first.next()
            };
            let mut padded = second.bytes();
            padded.extend([0; 6]);
            let mut padded = Frame::copy_from(&padded);
            // Of one that is not vouched for, the checksum would say so too.
            padded.offload.checksum = Checksum::Verified;
            let got = joined([first.frame(), padded.clone()]);
            assert!(got.len() == 2 && got[1] == padded);
        }
    }

    #[test]
    fn frames_wait_only_for_their_own() {
        let mut joiner = Joiner::new(false);
        let plan = Plan::new(false, 1);
        joiner.push(&mut Frame::copy_from(&[0xff; 60]));
        joiner.push(&mut plan.frame());
        joiner.push(&mut Frame::copy_from(&[0xfe; 60]));
        assert_eq!(joiner.pop(), Some(Frame::copy_from(&[0xff; 60])));
        assert_eq!(joiner.pop(), None, "more may come");
        joiner.push(&mut plan.next().frame());
        joiner.flush();
        assert_eq!(joiner.pop().map(|f| f.payload.len()), Some(2000));
        assert_eq!(joiner.pop(), Some(Frame::copy_from(&[0xfe; 60])));
        assert_eq!(joiner.len(), 0);
    }

    /// Takes one of several, or leaves a plan alone.
    fn disturb(plan: &mut Plan, rng: &mut Rng) {
        match rng.below(60) {
            0 => plan.seq = plan.seq.wrapping_add(1),
            1 => plan.ident = plan.ident.wrapping_add(3),
            2 => plan.ttl ^= 1,
            3 => plan.tos ^= 1,
            4 => plan.flags |= 0x20,
            5..10 => plan.flags |= PSH,
            10 => plan.flags |= FIN,
            11 => plan.flags |= CWR,
            12 => plan.flags ^= 0x40,
            13 => plan.ack += 1,
            14 => plan.window += 1,
            15 => plan.stamp += 1,
            16..20 => plan.len = usize::try_from(rng.below(1400)).unwrap(),
            20 => plan.dont_fragment = !plan.dont_fragment,
            21 => plan.ident = 0,
            22 => plan.flags |= 4,
            _ => plan.flags &= ACK | 0x40,
        }
    }

    #[test]
    fn cut_again_each_flow_is_what_it_was() {
        let (mut came, mut left) = (0, 0);
        for seed in 0..400 {
            let mut rng = Rng::from_seed(seed);
            let mut flows: Vec<_> = (0..1 + seed % 12)
                .map(|i| Plan::new(i % 3 == 2, u16::try_from(i).unwrap()))
                .collect();
            let mut frames = Vec::new();
            for _ in 0..120 {
                let i = usize::try_from(rng.below(flows.len() as u64)).unwrap();
                disturb(&mut flows[i], &mut rng);
                let mut bytes = flows[i].bytes();
                match rng.below(100) {
                    0 => *bytes.last_mut().unwrap() ^= 4,
                    // Padding, or a fragment.
                    1 => bytes.push(0),
                    2 => bytes[20] |= 0x20,
                    _ => {}
                }
                frames.push(Frame::copy_from(&bytes));
                flows[i] = flows[i].next();
            }
            let got = joined(frames.clone());
            assert!(got.iter().all(|f| f.len() <= 14 + 65_535));
            let before: Vec<_> = frames.iter().map(|f| f.to_bytes().to_vec()).collect();
            let after = pieces(&got);
            let of = |all: &[Vec<u8>], v6, port: u16| -> Vec<Vec<u8>> {
                let at = if v6 { 54 } else { 34 };
                let kind = if v6 { 0x86 } else { 8 };
                let is = |b: &&Vec<u8>| b[12] == kind && b[at..at + 2] == port.to_be_bytes();
                all.iter().filter(is).cloned().collect()
            };
            assert_eq!(before.len(), after.len());
            for flow in &flows {
                let (v6, port) = (flow.v6, flow.port);
                assert!(of(&before, v6, port) == of(&after, v6, port), "seed {seed}");
            }
            came += before.len();
            left += got.len();
        }
        assert!(left < came * 2 / 3, "{left} of {came}");
    }
}
