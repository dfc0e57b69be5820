//! Cuts a super-frame into the packets it stands for, where nobody below or above does it.
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
//! Left out: super-frames to be forwarded, or taken by a TCP, whole. A router has to see segments:
//! what exceeds the next link's MTU is judged one by one (RFC 1191 §4).

use crate::frame::{Checksum, Frame, GsoKind, Head, Offload, Payload};
use crate::wire::checksum::{self, Sum};
use crate::wire::{EtherType, Protocol, ethernet, ipv6, tcp, udp, vlan};
use core::net::{Ipv4Addr, Ipv6Addr};

/// The rest of a super-frame.
#[derive(Clone, Debug)]
pub struct Cutter {
    /// Link, IP and transport headers of the whole.
    headers: Head,
    places: Places,
    protocol: Protocol,
    payload: Payload,
    size: usize,
    cut: u16,
}

/// Hands on a frame, or each packet of a super-frame; `bare` as in [`Cutter::new`].
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
        Err(whole) => each(*whole),
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
        let gso = frame.offload.gso.filter(|g| g.size > 0);
        let Some((gso, protocol, places)) = gso.and_then(|gso| {
            let protocol = match gso.kind {
                GsoKind::Udp => Protocol::UDP,
                GsoKind::Tcp4 | GsoKind::Tcp6 => Protocol::TCP,
            };
            Some((gso, protocol, Places::find(&mut frame, protocol, bare)?))
        }) else {
            return Err(frame.into());
        };
        let mut headers = Head::default();
        let bytes = frame.front().get(..places.data);
        if let (Some(room), Some(bytes)) = (headers.push_front(places.data), bytes) {
            room.copy_from_slice(bytes);
        }
        frame.advance(places.data);
        let mut payload = Payload::new();
        if !frame.head.is_empty() {
            payload.push(bytes::Bytes::copy_from_slice(frame.head.as_slice()));
        }
        payload.append(frame.payload);
        Ok(Self {
            headers,
            places,
            protocol,
            payload,
            size: usize::from(gso.size),
            cut: 0,
        })
    }

    /// The next packet; `None` when all have been given.
    pub fn next_piece(&mut self) -> Option<Frame> {
        let data = self.payload.slice(0, self.size);
        if data.is_empty() {
            return None;
        }
        self.payload.advance(data.len());
        let mut piece = Frame {
            head: self.headers,
            payload: data,
            offload: Offload {
                gso: None,
                checksum: Checksum::Complete,
            },
        };
        self.rewrite(&mut piece)?;
        self.cut = self.cut.wrapping_add(1);
        Some(piece)
    }

    /// Lengths, identification, sequence and checksums of one piece.
    fn rewrite(&self, piece: &mut Frame) -> Option<()> {
        let Places { ip, transport, .. } = self.places;
        let total = piece.len();
        let len = u16::try_from(total - transport).ok()?;
        let (packet, segment) = piece
            .head
            .as_mut_slice()
            .get_mut(ip..)?
            .split_at_mut_checked(transport - ip)?;
        let check_at = match self.protocol {
            Protocol::UDP => {
                put(segment, 4, len)?;
                6
            }
            _ => {
                self.rewrite_tcp(segment)?;
                16
            }
        };
        put(segment, check_at, 0)?;
        let mut sum = Sum::new();
        if packet.first()? >> 4 == 4 {
            put(packet, 2, u16::try_from(total - ip).ok()?)?;
            let ident = packet.get(4..6)?.first_chunk().copied()?;
            put(packet, 4, u16::from_be_bytes(ident).wrapping_add(self.cut))?;
            put(packet, 10, 0)?;
            let header_len = usize::from(packet.first()? & 15) * 4;
            let check = checksum::of(packet.get(..header_len)?);
            put(packet, 10, check)?;
            let src = Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?);
            let dst = Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?);
            sum.add_pseudo4(src, dst, self.protocol, usize::from(len));
        } else {
            let payload_len = u16::try_from(total - ip - ipv6::HEADER_LEN).ok()?;
            put(packet, 4, payload_len)?;
            let src = Ipv6Addr::from(*packet.get(8..)?.first_chunk::<16>()?);
            let dst = Ipv6Addr::from(*packet.get(24..)?.first_chunk::<16>()?);
            sum.add_pseudo6(src, dst, self.protocol, usize::from(len));
        }
        piece.sum_from(transport, &mut sum);
        let check = match (sum.finish(), self.protocol) {
            // RFC 768: zero would say that there is none.
            (0, Protocol::UDP) => 0xffff,
            (check, _) => check,
        };
        put(piece.head.as_mut_slice(), transport + check_at, check)
    }

    /// Sequence number and flags: what ends the data belongs to the last segment, and that the
    /// window was reduced is said once, in the first.
    fn rewrite_tcp(&self, segment: &mut [u8]) -> Option<()> {
        const FLAGS: usize = 13;
        const FIN_PSH: u8 = 0x09;
        const CWR: u8 = 0x80;
        let before = u32::from(self.cut).wrapping_mul(u32::try_from(self.size).ok()?);
        let seq = segment.get_mut(4..)?.first_chunk_mut::<4>()?;
        *seq = u32::from_be_bytes(*seq).wrapping_add(before).to_be_bytes();
        let flags = segment.get_mut(FLAGS)?;
        if !self.payload.is_empty() {
            *flags &= !FIN_PSH;
        }
        if self.cut > 0 {
            *flags &= !CWR;
        }
        Some(())
    }
}

impl Places {
    fn find(frame: &mut Frame, protocol: Protocol, bare: bool) -> Option<Self> {
        let Checksum::Partial { start, .. } = frame.offload.checksum else {
            return None;
        };
        let transport = usize::from(start);
        let fixed = match protocol {
            Protocol::UDP => udp::HEADER_LEN,
            _ => tcp::HEADER_LEN,
        };
        let mut data = transport + fixed;
        let fits = |data, frame: &Frame| data <= Head::CAPACITY && data < frame.len();
        if !fits(data, frame) {
            return None;
        }
        if protocol == Protocol::TCP {
            let words = frame.pull_up(data).get(transport + 12)? >> 4;
            data = transport + usize::from(words) * 4;
            if data < transport + fixed || !fits(data, frame) {
                return None;
            }
        }
        let front = frame.pull_up(data);
        let ip = if bare { 0 } else { link_len(front)? };
        let header = match front.get(ip)? >> 4 {
            4 => 20,
            6 => ipv6::HEADER_LEN,
            _ => return None,
        };
        (ip + header <= transport).then_some(Self {
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
    use crate::frame::Gso;
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
        let all = tcp::Flags::FIN | tcp::Flags::PSH | tcp::Flags::ACK | tcp::Flags::CWR;
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
                    flags: [
                        tcp::Flags::ACK | tcp::Flags::CWR,
                        tcp::Flags::ACK,
                        tcp::Flags::ACK | tcp::Flags::FIN | tcp::Flags::PSH,
                    ][i],
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
