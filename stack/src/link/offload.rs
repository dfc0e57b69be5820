//! Cuts a super-frame into the datagrams it stands for, where nobody below or above does it.
//!
//! ```text
//!   | link | IP, length of all | UDP | data 1 | data 2 | data 3 |      gso: Udp, size
//!     -->  | link | IP | UDP | data 1 |   | link | IP | UDP | data 2 |   ...
//! ```
//!
//! Linux gives the other end of a veth what a program sent with `UDP_SEGMENT` as one frame: each
//! `size` bytes of it are a datagram of their own (udp(7)). A device cuts it before its machine
//! sees it.
//!
//! Promises: each piece is as if it had crossed a wire: lengths, identification (counting up, as
//! Linux does), header checksum and transport checksum are right; the data is shared.
//!
//! Left out: TCP. Its super-frames are for a TCP to take whole, and there is none yet.

use crate::frame::{Checksum, Frame, GsoKind, Head, Offload, Payload};
use crate::wire::checksum::{self, Sum};
use crate::wire::{EtherType, Protocol, ethernet, ipv6, udp, vlan};
use core::net::{Ipv4Addr, Ipv6Addr};

/// The rest of a UDP super-frame.
#[derive(Clone, Debug)]
pub struct Cutter {
    /// Link, IP and UDP headers of the whole.
    headers: Head,
    /// Where the IP header starts.
    ip: usize,
    /// Where the UDP header starts.
    udp: usize,
    payload: Payload,
    size: usize,
    cut: u16,
}

impl Cutter {
    /// A cutter for `frame`, whose link header is Ethernet's unless `bare`.
    ///
    /// # Errors
    /// Gives the frame back where it is no UDP super-frame, or its headers are not to be made out;
    /// boxed, since it is the usual case and a frame is large.
    pub fn new(mut frame: Frame, bare: bool) -> Result<Self, alloc::boxed::Box<Frame>> {
        match Self::places(&mut frame, bare) {
            Some((ip, udp, size)) => {
                let mut headers = Head::default();
                let len = udp + udp::HEADER_LEN;
                if let (Some(room), Some(bytes)) =
                    (headers.push_front(len), frame.front().get(..len))
                {
                    room.copy_from_slice(bytes);
                }
                frame.advance(len);
                let mut payload = Payload::new();
                if !frame.head.is_empty() {
                    payload.push(bytes::Bytes::copy_from_slice(frame.head.as_slice()));
                }
                payload.append(frame.payload);
                Ok(Self {
                    headers,
                    ip,
                    udp,
                    payload,
                    size,
                    cut: 0,
                })
            }
            None => Err(frame.into()),
        }
    }

    /// Where IP and UDP start, and how much data a piece has.
    fn places(frame: &mut Frame, bare: bool) -> Option<(usize, usize, usize)> {
        let gso = frame
            .offload
            .gso
            .filter(|g| g.kind == GsoKind::Udp && g.size > 0)?;
        let Checksum::Partial { start, .. } = frame.offload.checksum else {
            return None;
        };
        let udp = usize::from(start);
        let len = udp + udp::HEADER_LEN;
        if len > Head::CAPACITY || frame.len() < len {
            return None;
        }
        let front = frame.pull_up(len);
        let ip = if bare { 0 } else { link_len(front)? };
        let header = match front.get(ip)? >> 4 {
            4 => 20,
            6 => ipv6::HEADER_LEN,
            _ => return None,
        };
        (ip + header <= udp).then_some((ip, udp, usize::from(gso.size)))
    }

    /// The next datagram; `None` when all have been given.
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

    /// Lengths, identification and checksums of one piece.
    fn rewrite(&self, piece: &mut Frame) -> Option<()> {
        let total = piece.len();
        let udp_len = u16::try_from(total - self.udp).ok()?;
        let header = piece.head.as_mut_slice().get_mut(self.ip..)?;
        let at = self.udp - self.ip;
        put(header, at + 4, udp_len)?;
        put(header, at + 6, 0)?;
        let mut sum = Sum::new();
        if header.first()? >> 4 == 4 {
            put(header, 2, u16::try_from(total - self.ip).ok()?)?;
            let ident = header.get(4..6)?.first_chunk().copied()?;
            put(header, 4, u16::from_be_bytes(ident).wrapping_add(self.cut))?;
            put(header, 10, 0)?;
            let header_len = usize::from(header.first()? & 15) * 4;
            let check = checksum::of(header.get(..header_len)?);
            put(header, 10, check)?;
            let src = Ipv4Addr::from(*header.get(12..)?.first_chunk::<4>()?);
            let dst = Ipv4Addr::from(*header.get(16..)?.first_chunk::<4>()?);
            sum.add_pseudo4(src, dst, Protocol::UDP, usize::from(udp_len));
        } else {
            put(
                header,
                4,
                u16::try_from(total - self.ip - ipv6::HEADER_LEN).ok()?,
            )?;
            let src = Ipv6Addr::from(*header.get(8..)?.first_chunk::<16>()?);
            let dst = Ipv6Addr::from(*header.get(24..)?.first_chunk::<16>()?);
            sum.add_pseudo6(src, dst, Protocol::UDP, usize::from(udp_len));
        }
        piece.sum_from(self.udp, &mut sum);
        let check = match sum.finish() {
            // RFC 768: zero would say that there is none.
            0 => 0xffff,
            check => check,
        };
        put(piece.head.as_mut_slice(), self.udp + 6, check)
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
    use crate::wire::{MacAddr, Writer, ipv4};
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
    fn other_frames_come_back_as_they_were() {
        let whole = super_frame(false, false, 2500);
        let mut plain = whole.clone();
        plain.offload.gso = None;
        let mut tcp = whole.clone();
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
