//! Cuts a super-frame into the packets it stands for, where nobody below or above does it, and
//! ([`Joiner`]) joins them again.
//!
//! ```text
//!   | link | IP, length of all | UDP or TCP | data 1 | data 2 | data 3 |      gso: kind, size
//!     -->  | link | IP | UDP or TCP | data 1 |   | link | IP | UDP or TCP | data 2 |   ...
//! ```
//!
//! Linux gives the other end of a veth what a program sent with `UDP_SEGMENT`, or a TCP wants cut,
//! as one frame: each `size` bytes of it are a packet of their own (udp(7)). A device cuts it
//! before its machine sees it.
//!
//! Read first: RFC 9293 §3.1; RFC 3168 §6.1.2 (CWR).
//!
//! Promises: each piece is as if it had crossed a wire: lengths, identification (counting up, as
//! Linux does), sequence number, flags, header checksum and transport checksum are right; the data
//! is shared.
//!
//! Super-frames may be forwarded whole, where the next device has them cut: [`longest`] says whether
//! all that they stand for fits. The rest is cut first, since what exceeds the next link's MTU is
//! judged segment by segment (RFC 1191 §4), and an error quotes the [`first`].
//!
//! Accurate ECN has a counter in place of CWR, which belongs into each segment (RFC 9768 §3.3.4).
//! Where AE is set, it is that. Where it is not, nobody can tell; our TCP joins none that have CWR.

mod join;

pub use join::Joiner;

use crate::frame::{Checksum, Frame, Gso, GsoKind, Head, Payload};
use crate::link::ethernet::fill_up;
use crate::wire::checksum::Sum;
use crate::wire::{EtherType, Protocol, ethernet, ipv6, tcp, udp, vlan};
use core::net::{Ipv4Addr, Ipv6Addr};

/// The rest of a super-frame.
#[derive(Clone, Debug)]
pub struct Cutter {
    /// Link, IP and transport headers of the whole.
    headers: Head,
    places: Places,
    protocol: Protocol,
    v6: bool,
    payload: Payload,
    /// Bytes of payload.
    left: usize,
    size: usize,
    next: Next,
    /// What each piece's header checksum covers alike: all but the length and the identification.
    of_header: Sum,
    /// What each piece's transport checksum covers alike, with the pseudo-header: all but lengths,
    /// sequence number and flags.
    of_transport: Sum,
}

/// What differs from piece to piece.
#[derive(Clone, Copy, Debug, Default)]
struct Next {
    ident: u16,
    /// By how much the identification grows.
    ident_step: u16,
    seq: u32,
    /// With the data offset in front of them.
    flags: [u8; 2],
}

/// The same, of one piece, and what follows from it.
struct Fields {
    total: u16,
    ident: u16,
    header_check: u16,
    len: u16,
    seq: u32,
    flags: [u8; 2],
    check: u16,
}

/// Hands on a frame, or each packet of a super-frame; `bare` as in [`Cutter::new`]. One that cannot
/// be cut is a long frame like any other.
#[inline]
pub fn cut(frame: Frame, bare: bool, mut each: impl FnMut(Frame)) {
    if frame.offload.gso.is_none() {
        return each(frame);
    }
    match Cutter::new(frame, bare) {
        Ok(mut cutter) => {
            while let Some(piece) = cutter.next_piece() {
                each(piece);
            }
        }
        Err(mut whole) => {
            whole.offload.gso = None;
            each(*whole);
        }
    }
}

/// The first packet that a packet stands for, its checksum complete: what an error quotes.
#[must_use]
pub fn first(packet: Frame) -> Frame {
    let mut packet = match Cutter::new(packet, true) {
        Ok(mut cutter) => cutter.next_piece().unwrap_or_default(),
        Err(whole) => *whole,
    };
    packet.offload.gso = None;
    packet.complete_checksum();
    packet
}

/// Forgets that a packet, which starts at its IP header, is to be cut, where it cannot be.
pub fn check(packet: &mut Frame) {
    let gso = packet.offload.gso;
    if gso.is_some_and(|gso| Places::find(&Front::of(packet), packet, gso, true).is_none()) {
        packet.offload.gso = None;
    }
}

/// Length of the longest packet that a packet, which starts at its IP header, stands for: the first,
/// of a super-frame that can be cut, else all of it.
#[must_use]
#[inline]
pub fn longest(packet: &Frame) -> usize {
    match packet.offload.gso {
        None => packet.len(),
        Some(gso) => longest_piece(packet, gso),
    }
}

fn longest_piece(packet: &Frame, gso: Gso) -> usize {
    let places = Places::find(&Front::of(packet), packet, gso, true);
    let piece = places.map(|places| places.data + usize::from(gso.size));
    piece.map_or(packet.len(), |piece| piece.min(packet.len()))
}

/// A copy of a frame's first bytes: of one that was forwarded, its headers lie in pieces.
#[derive(Clone, Debug)]
struct Front {
    room: [u8; Head::CAPACITY],
    len: usize,
}

impl Front {
    #[inline]
    fn of(frame: &Frame) -> Self {
        let mut room = [0; Head::CAPACITY];
        let len = frame.copy_to(&mut room);
        Self { room, len }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        self.room.get(..self.len).unwrap_or_default()
    }
}

/// Where the headers start, and where the data does.
#[derive(Clone, Copy, Debug)]
struct Places {
    ip: usize,
    transport: usize,
    data: usize,
}

impl Cutter {
    /// A cutter for `frame`, whose link header is Ethernet's unless `bare`.
    ///
    /// # Errors
    /// Gives the frame back where it is no super-frame, or its headers are not to be made out;
    /// boxed, since it is the usual case and a frame is large.
    pub fn new(mut frame: Frame, bare: bool) -> Result<Self, alloc::boxed::Box<Frame>> {
        let front = Front::of(&frame);
        let found = frame.offload.gso.and_then(|gso| {
            let places = Places::find(&front, &frame, gso, bare)?;
            Some((gso, places))
        });
        let Some((gso, places)) = found else {
            return Err(frame.into());
        };
        let mut headers = Head::default();
        let bytes = front.bytes().get(..places.data);
        if let (Some(room), Some(bytes)) = (headers.push_front(places.data), bytes) {
            room.copy_from_slice(bytes);
        }
        frame.advance(places.data);
        let payload = frame.take_payload();
        let mut cutter = Self {
            headers,
            places,
            protocol: protocol_of(gso.kind),
            v6: front.bytes().get(places.ip).is_some_and(|b| b >> 4 == 6),
            left: payload.len(),
            payload,
            size: usize::from(gso.size),
            next: Next::default(),
            of_header: Sum::new(),
            of_transport: Sum::new(),
        };
        // Found where they are: they are all there.
        let _ = cutter.prepare();
        Ok(cutter)
    }

    /// Zeroes in the headers what differs from piece to piece, and sums the rest.
    fn prepare(&mut self) -> Option<()> {
        let Places { ip, transport, .. } = self.places;
        let (packet, segment) = self
            .headers
            .as_mut_slice()
            .get_mut(ip..)?
            .split_at_mut_checked(transport - ip)?;
        if !self.v6 {
            let ident = u16::from_be_bytes(*packet.get(4..)?.first_chunk()?);
            // RFC 6864 §4.1: who numbers nothing that must not be cut has zero in each.
            let unnumbered = ident == 0 && packet.get(6)? & 0x40 != 0;
            self.next.ident = ident;
            self.next.ident_step = u16::from(!unnumbered);
            put(packet, 2, 0)?;
            put(packet, 4, 0)?;
            put(packet, 10, 0)?;
            self.of_header.add(packet);
            let src = Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?);
            let dst = Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?);
            self.of_transport.add_pseudo4(src, dst, self.protocol, 0);
        } else {
            let src = Ipv6Addr::from(*packet.get(8..)?.first_chunk::<16>()?);
            let dst = Ipv6Addr::from(*packet.get(24..)?.first_chunk::<16>()?);
            self.of_transport.add_pseudo6(src, dst, self.protocol, 0);
        }
        if self.protocol == Protocol::UDP {
            put(segment, 4, 0)?;
            put(segment, 6, 0)?;
        } else {
            self.next.seq = u32::from_be_bytes(*segment.get(4..)?.first_chunk()?);
            self.next.flags = *segment.get(12..)?.first_chunk()?;
            put(segment, 4, 0)?;
            put(segment, 6, 0)?;
            put(segment, 12, 0)?;
            put(segment, 16, 0)?;
        }
        self.of_transport.add(segment);
        Some(())
    }

    /// The next packet; `None` when all have been given.
    #[inline]
    pub fn next_piece(&mut self) -> Option<Frame> {
        let mut piece = Frame::default();
        self.next_into(&mut piece).then_some(piece)
    }

    /// Makes the next packet in a frame, which is empty; `false` when all have been given.
    #[inline]
    pub fn next_into(&mut self, piece: &mut Frame) -> bool {
        if self.left == 0 {
            return false;
        }
        let data = self.size.min(self.left);
        self.left -= data;
        let payload = self.payload.split_to(data);
        let fields = self.fields(&payload, data);
        piece.refill(payload);
        piece.head = self.headers;
        piece.offload.checksum = Checksum::Complete;
        // Last, and no wider than they are: a copy made now would wait for them.
        self.fill_in(piece.head.as_mut_slice(), &fields);
        // The last may be a few bytes behind headers without options.
        if self.places.ip > 0 {
            fill_up(piece);
        }
        true
    }

    /// What this piece's headers say that no other's do.
    #[inline]
    fn fields(&mut self, payload: &Payload, data: usize) -> Fields {
        let Places {
            ip,
            transport,
            data: headers,
        } = self.places;
        let flags = self.flags();
        let Next { ident, seq, .. } = self.next;
        // Fits: the whole was a packet, or its length is wrong in each piece.
        let word = |len: usize| u16::try_from(len).unwrap_or(u16::MAX);
        let total = match self.v6 {
            false => word(headers - ip + data),
            true => word((headers - ip + data).saturating_sub(ipv6::HEADER_LEN)),
        };
        let mut header = self.of_header;
        header.add_u16(total);
        header.add_u16(ident);
        let len = word(headers - transport + data);
        let mut sum = self.of_transport;
        sum.add_u16(len);
        if self.protocol == Protocol::UDP {
            sum.add_u16(len);
        } else {
            sum.add_even(seq.to_be_bytes());
            sum.add_u16(u16::from_be_bytes(flags));
        }
        payload.sum_into(&mut sum);
        self.next.ident = ident.wrapping_add(self.next.ident_step);
        self.next.seq = seq.wrapping_add(u32::try_from(data).unwrap_or(0));
        Fields {
            total,
            ident,
            header_check: header.finish(),
            len,
            seq,
            flags,
            check: sum.finish(),
        }
    }

    #[inline]
    fn fill_in(&self, headers: &mut [u8], fields: &Fields) -> Option<()> {
        let packet = headers.get_mut(self.places.ip..)?;
        if self.v6 {
            let fixed = packet.first_chunk_mut::<6>()?;
            [fixed[4], fixed[5]] = fields.total.to_be_bytes();
        } else {
            let fixed = packet.first_chunk_mut::<12>()?;
            [fixed[2], fixed[3]] = fields.total.to_be_bytes();
            [fixed[4], fixed[5]] = fields.ident.to_be_bytes();
            [fixed[10], fixed[11]] = fields.header_check.to_be_bytes();
        }
        let segment = headers.get_mut(self.places.transport..)?;
        if self.protocol == Protocol::UDP {
            let fixed = segment.first_chunk_mut::<{ udp::HEADER_LEN }>()?;
            [fixed[4], fixed[5]] = fields.len.to_be_bytes();
            // RFC 768: zero would say that there is none.
            let check = match fields.check {
                0 => 0xffff_u16,
                check => check,
            };
            [fixed[6], fixed[7]] = check.to_be_bytes();
        } else {
            let fixed = segment.first_chunk_mut::<{ tcp::HEADER_LEN }>()?;
            [fixed[4], fixed[5], fixed[6], fixed[7]] = fields.seq.to_be_bytes();
            [fixed[12], fixed[13]] = fields.flags;
            [fixed[16], fixed[17]] = fields.check.to_be_bytes();
        }
        Some(())
    }

    /// Flags of this piece: what ends the data belongs to the last segment, and that the window was
    /// reduced is said once, in the first; but a counter is the same in all.
    fn flags(&mut self) -> [u8; 2] {
        const FIN_PSH: u8 = 0x09;
        const CWR: u8 = 0x80;
        // Of the byte in front.
        const AE: u8 = 0x01;
        let [offset, mut flags] = self.next.flags;
        if self.left > 0 {
            flags &= !FIN_PSH;
        }
        //= RFC 9768 §3.3.4 all segments of a super-segment have the same ACE.
        let counts = offset & AE != 0;
        let once = if counts { 0 } else { CWR };
        self.next.flags = [offset, self.next.flags[1] & !once];
        [offset, flags]
    }
}

const fn protocol_of(kind: GsoKind) -> Protocol {
    match kind {
        GsoKind::Udp => Protocol::UDP,
        GsoKind::Tcp4 | GsoKind::Tcp6 => Protocol::TCP,
    }
}

impl Places {
    /// The places in a frame whose headers are those of its note.
    fn find(front: &Front, frame: &Frame, gso: Gso, bare: bool) -> Option<Self> {
        let Checksum::Partial { start, .. } = frame.offload.checksum else {
            return None;
        };
        let transport = usize::from(start);
        let front = front.bytes();
        let protocol = protocol_of(gso.kind);
        let fixed = match protocol {
            Protocol::UDP => udp::HEADER_LEN,
            _ => usize::from(front.get(transport + 12)? >> 4) * 4,
        };
        let least = match protocol {
            Protocol::UDP => udp::HEADER_LEN,
            _ => tcp::HEADER_LEN,
        };
        let data = transport + fixed;
        let fits = data <= Head::CAPACITY && data <= front.len() && data < frame.len();
        if !fits || fixed < least || gso.size == 0 {
            return None;
        }
        let ip = if bare { 0 } else { link_len(front)? };
        let header = front.get(ip..)?;
        let first = *header.first()?;
        let right = match (first >> 4, gso.kind) {
            (4, GsoKind::Tcp4 | GsoKind::Udp) => {
                let len = usize::from(first & 15) * 4;
                len >= 20 && ip + len == transport && *header.get(9)? == protocol.0
            }
            (6, GsoKind::Tcp6 | GsoKind::Udp) => ip + ipv6::HEADER_LEN <= transport,
            _ => false,
        };
        right.then_some(Self {
            ip,
            transport,
            data,
        })
    }
}

/// Length of the Ethernet header with its tags, in front of IP.
fn link_len(front: &[u8]) -> Option<usize> {
    let (header, mut rest) = ethernet::Header::parse(front).ok()?;
    let (mut ethertype, mut len) = (header.ethertype, ethernet::HEADER_LEN);
    while ethertype.is_vlan() {
        let (tag, after) = vlan::Header::parse(rest).ok()?;
        (ethertype, rest, len) = (tag.ethertype, after, len + vlan::HEADER_LEN);
    }
    matches!(ethertype, EtherType::IPV4 | EtherType::IPV6).then_some(len)
}

fn put(bytes: &mut [u8], at: usize, value: u16) -> Option<()> {
    bytes
        .get_mut(at..at + 2)?
        .copy_from_slice(&value.to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Gso, Offload};
    use crate::wire::seq::SeqNum;
    use crate::wire::{MacAddr, Writer, ipv4};
    use core::net::IpAddr;
    use std::vec::Vec;

    /// `len` bytes of data to be cut into pieces of 1000.
    fn super_frame(tagged: bool, v6: bool, len: usize) -> Frame {
        let mut bytes = std::vec![0; 80];
        let mut w = Writer::new(&mut bytes);
        let ethertype = if v6 { EtherType::IPV6 } else { EtherType::IPV4 };
        let outer = if tagged { EtherType::VLAN } else { ethertype };
        let (dst, src) = (MacAddr([2, 0, 0, 0, 0, 2]), MacAddr([2, 0, 0, 0, 0, 1]));
        ethernet::Header {
            dst,
            src,
            ethertype: outer,
        }
        .emit(&mut w)
        .unwrap();
        if tagged {
            vlan::Header {
                pcp: 0,
                dei: false,
                vid: 5,
                ethertype,
            }
            .emit(&mut w)
            .unwrap();
        }
        let udp_len = u16::try_from(len + 8).unwrap();
        if v6 {
            let header = ipv6::Header {
                dscp: 0,
                ecn: 0,
                flow_label: 0,
                payload_len: udp_len,
                next_header: Protocol::UDP,
                hop_limit: 64,
                src: "fd07::1".parse().unwrap(),
                dst: "fd07::2".parse().unwrap(),
            };
            header.emit(&mut w).unwrap();
        } else {
            let header = ipv4::Header {
                dscp: 0,
                ecn: 0,
                total_len: udp_len + 20,
                ident: 7,
                reserved_flag: false,
                dont_fragment: true,
                more_fragments: false,
                fragment_offset: 0,
                ttl: 64,
                protocol: Protocol::UDP,
                checksum: 0,
                src: "10.7.0.1".parse().unwrap(),
                dst: "10.7.0.2".parse().unwrap(),
                options: &[],
            };
            header.emit(&mut w).unwrap();
        }
        let start = u16::try_from(w.written()).unwrap();
        udp::Header {
            src_port: 9,
            dst_port: 7,
            len: udp_len,
            checksum: 0,
        }
        .emit(&mut w)
        .unwrap();
        let written = w.written();
        bytes.truncate(written);
        bytes.extend((0..len).map(|i| u8::try_from(i % 251).unwrap()));
        let mut frame = Frame::copy_from(&bytes);
        frame.offload.gso = Some(Gso {
            kind: GsoKind::Udp,
            size: 1000,
        });
        frame.offload.checksum = Checksum::Partial { start, offset: 6 };
        frame
    }

    #[test]
    fn pieces_are_datagrams_of_their_own() {
        for (tagged, v6) in [(false, false), (true, false), (false, true)] {
            let frame = super_frame(tagged, v6, 2500);
            let mut cutter = Cutter::new(frame, false).unwrap();
            let pieces: Vec<_> = core::iter::from_fn(|| cutter.next_piece()).collect();
            let lens: Vec<_> = pieces.iter().map(|p| p.payload.len()).collect();
            assert_eq!(lens, [1000, 1000, 500]);
            for (i, piece) in pieces.iter().enumerate() {
                let bytes = piece.to_bytes();
                let ip = &bytes[14 + 4 * usize::from(tagged)..];
                if v6 {
                    let (header, rest) = ipv6::Header::parse(ip).unwrap();
                    assert_eq!(usize::from(header.payload_len), rest.len());
                    assert!(udp::verify(header.src.into(), header.dst.into(), rest));
                } else {
                    let (header, rest) = ipv4::Header::parse(ip).unwrap();
                    assert!(ipv4::verify(&ip[..20]));
                    assert_eq!(
                        (header.payload_len(), usize::from(header.ident)),
                        (rest.len(), 7 + i)
                    );
                    assert!(udp::verify(header.src.into(), header.dst.into(), rest));
                }
            }
        }
    }

    #[test]
    fn pieces_are_segments_of_their_own() {
        pieces_of(tcp::Flags::ACK, tcp::Flags::CWR);
        //= RFC 9768 §3.3.4: with AE it is a counter.
        pieces_of(
            tcp::Flags::ACK | tcp::Flags::AE | tcp::Flags::CWR,
            tcp::Flags::NONE,
        );
    }

    #[test]
    fn a_short_piece_is_padded() {
        let mut cutter = Cutter::new(super_frame(false, false, 2003), false).unwrap();
        let pieces: Vec<_> = core::iter::from_fn(|| cutter.next_piece()).collect();
        let last = pieces.last().unwrap().to_bytes();
        let (ip, rest) = ipv4::Header::parse(&last[14..]).unwrap();
        assert_eq!((pieces.len(), last.len(), ip.payload_len()), (3, 60, 11));
        assert_eq!(rest[11..], [0; 15]);
    }

    /// Cuts a segment with flags that each piece has, and those that only the first has.
    fn pieces_of(each: tcp::Flags, first: tcp::Flags) {
        let all = tcp::Flags::FIN | tcp::Flags::PSH | each | first;
        let header = tcp::Header {
            src_port: 9,
            dst_port: 7,
            seq: SeqNum(u32::MAX - 500),
            ack: SeqNum(3),
            flags: all,
            window: 1,
            checksum: 0,
            urgent: 0,
            options: &[1, 1, 1, 0],
        };
        let mut front = std::vec![0; header.emit_len()];
        header.emit(&mut Writer::new(&mut front)).unwrap();
        for v6 in [false, true] {
            // The same as of UDP, TCP in place of what follows IP.
            let of_udp = super_frame(true, v6, 2500 + front.len() - udp::HEADER_LEN);
            let Checksum::Partial { start, .. } = of_udp.offload.checksum else {
                panic!("it is partial");
            };
            let mut bytes = of_udp.to_bytes().to_vec();
            let at = usize::from(start);
            bytes[at..at + front.len()].copy_from_slice(&front);
            let mut frame = Frame::copy_from(&bytes);
            frame.offload = Offload {
                gso: Some(Gso {
                    kind: if v6 { GsoKind::Tcp6 } else { GsoKind::Tcp4 },
                    size: 1000,
                }),
                checksum: Checksum::Partial { start, offset: 16 },
            };
            bytes[18 + if v6 { 6 } else { 9 }] = 6;
            frame.payload = Frame::copy_from(&bytes).payload;
            let mut cutter = Cutter::new(frame, false).unwrap();
            let pieces: Vec<_> = core::iter::from_fn(|| cutter.next_piece()).collect();
            let mut data = Vec::new();
            for (i, piece) in pieces.iter().enumerate() {
                let piece = piece.to_bytes();
                let (src, dst, segment): (IpAddr, IpAddr, _) = if v6 {
                    let (ip, rest) = ipv6::Header::parse(&piece[18..]).unwrap();
                    (ip.src.into(), ip.dst.into(), rest)
                } else {
                    assert!(ipv4::verify(&piece[18..38]));
                    let (ip, rest) = ipv4::Header::parse(&piece[18..]).unwrap();
                    assert_eq!(ip.payload_len(), rest.len());
                    (ip.src.into(), ip.dst.into(), rest)
                };
                let (got, rest) = tcp::Header::parse(segment).unwrap();
                assert_eq!(got.checksum_over(src, dst, rest), got.checksum);
                let before = u32::try_from(1000 * i).unwrap();
                let want = tcp::Header {
                    seq: SeqNum(header.seq.0.wrapping_add(before)),
                    flags: [each | first, each, each | tcp::Flags::FIN | tcp::Flags::PSH][i],
                    checksum: got.checksum,
                    ..header
                };
                assert_eq!(got, want);
                data.extend_from_slice(rest);
            }
            assert_eq!(pieces.len(), 3);
            assert_eq!(data, bytes[at + front.len()..]);
        }
    }

    #[test]
    fn other_frames_come_back_as_they_were() {
        let whole = super_frame(false, false, 2500);
        let mut plain = whole.clone();
        plain.offload.gso = None;
        // No room for what its header length claims.
        let mut tcp = super_frame(false, false, 12);
        tcp.offload.gso = Some(Gso {
            kind: GsoKind::Tcp4,
            size: 1000,
        });
        let mut lost = whole.clone();
        lost.offload.checksum = Checksum::Partial {
            start: 9000,
            offset: 6,
        };
        let mut early = whole.clone();
        early.offload.checksum = Checksum::Partial {
            start: 20,
            offset: 6,
        };
        for frame in [plain, tcp, lost, early] {
            assert_eq!(*Cutter::new(frame.clone(), false).unwrap_err(), frame);
        }
    }
}
