//! The note beside a frame at a Linux device: `struct virtio_net_hdr` (Virtual I/O Device 1.2,
//! §5.1.6; linux/virtio_net.h), in the machine's byte order.
//!
//! ```text
//!  +-------+----------+---------+----------+------------+-------------+
//!  | flags | gso_type | hdr_len | gso_size | csum_start | csum_offset |
//!  |   8   |    8     |   16    |    16    |     16     |     16      |
//!  +-------+----------+---------+----------+------------+-------------+
//! ```
//!
//! A super-frame's checksum field holds the sum of the pseudo-header with the length of the whole, as
//! Linux has it: who cuts it puts each segment's own length in.
//!
//! Left out: fragmentation offload of UDP (`UFO`), which kernels no longer ask for; a frame so
//! marked is one datagram above the MTU and is handed up as that.

use super::sys::VNET_HDR_LEN;
use stack::frame::{Checksum, Frame, Gso, GsoKind, Offload};

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
/// A TCP super-frame whose first segment carries CWR, and no other (RFC 3168 §6.1.2): a device that
/// copied the flags to each would have the window halved again. Coming in, the header says the same.
const GSO_ECN: u8 = 0x80;
const TCP_FLAGS: usize = 13;
const TCP_CWR: u8 = 0x80;

/// What the kernel says of a frame that it hands us. `shift` is how many bytes were put in front
/// of the checksum's place since.
pub(super) fn decode(header: &[u8; VNET_HDR_LEN], shift: u16) -> Offload {
    let [flags, gso_type, _, _, s0, s1, c0, c1, o0, o1] = *header;
    let kind = match gso_type & !GSO_ECN {
        GSO_TCPV4 => Some(GsoKind::Tcp4),
        GSO_TCPV6 => Some(GsoKind::Tcp6),
        GSO_UDP_L4 => Some(GsoKind::Udp),
        _ => None,
    };
    let size = u16::from_ne_bytes([s0, s1]);
    let open = flags & NEEDS_CSUM != 0;
    Offload {
        // §5.1.6.2 of the same: what is to be cut needs its checksums, too.
        gso: kind
            .filter(|_| size > 0 && open)
            .map(|kind| Gso { kind, size }),
        checksum: if open {
            Checksum::Partial {
                start: u16::from_ne_bytes([c0, c1]).saturating_add(shift),
                offset: u16::from_ne_bytes([o0, o1]),
            }
        } else if flags & DATA_VALID != 0 {
            Checksum::Verified
        } else {
            Checksum::Unchecked
        },
    }
}

/// What we ask of the kernel for a frame that we hand it.
pub(super) fn encode(frame: &Frame) -> [u8; VNET_HDR_LEN] {
    let Checksum::Partial { start, offset } = frame.offload.checksum else {
        return [0; VNET_HDR_LEN];
    };
    let (mut gso_type, mut hdr_len, mut size) = (0, 0, 0);
    if let Some(gso) = frame.offload.gso {
        gso_type = match gso.kind {
            GsoKind::Tcp4 => GSO_TCPV4,
            GsoKind::Tcp6 => GSO_TCPV6,
            GsoKind::Udp => GSO_UDP_L4,
        };
        if gso.kind != GsoKind::Udp && transport_byte(frame, start, TCP_FLAGS) & TCP_CWR != 0 {
            gso_type |= GSO_ECN;
        }
        hdr_len = start.saturating_add(transport_header_len(frame, gso.kind, start));
        size = gso.size;
    }
    let mut out = [0; VNET_HDR_LEN];
    out[0] = NEEDS_CSUM;
    out[1] = gso_type;
    for (to, field) in out[2..]
        .chunks_exact_mut(2)
        .zip([hdr_len, size, start, offset])
    {
        to.copy_from_slice(&field.to_ne_bytes());
    }
    out
}

fn transport_header_len(frame: &Frame, kind: GsoKind, start: u16) -> u16 {
    const UDP_HEADER: u16 = 8;
    const TCP_HEADER: u16 = 20;
    const DATA_OFFSET: usize = 12;
    match kind {
        GsoKind::Udp => UDP_HEADER,
        GsoKind::Tcp4 | GsoKind::Tcp6 => {
            let words = transport_byte(frame, start, DATA_OFFSET) >> 4;
            TCP_HEADER.max(u16::from(words) * 4)
        }
    }
}

/// A byte of the transport header, which may begin in a later piece; 0 where there is none.
fn transport_byte(frame: &Frame, start: u16, at: usize) -> u8 {
    let mut at = usize::from(start) + at;
    for piece in frame.pieces() {
        if let Some(byte) = piece.get(at) {
            return *byte;
        }
        at -= piece.len();
    }
    0
}

/// Puts a tag that the kernel took out back behind the two addresses. `frame` has four free bytes
/// in front of it.
pub(super) fn restore_tag(frame: &mut [u8], tpid: u16, tci: u16) {
    const ADDRESSES: usize = 12;
    if frame.len() < ADDRESSES + 4 {
        return;
    }
    frame.copy_within(4..4 + ADDRESSES, 0);
    frame[ADDRESSES..ADDRESSES + 2].copy_from_slice(&tpid.to_be_bytes());
    frame[ADDRESSES + 2..ADDRESSES + 4].copy_from_slice(&tci.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_survive_the_round_trip() {
        for checksum in [
            Checksum::Unchecked,
            Checksum::Partial {
                start: 34,
                offset: 6,
            },
        ] {
            let mut frame = Frame::copy_from(&[0x50; 80]);
            frame.offload.checksum = checksum;
            assert_eq!(decode(&encode(&frame), 0), frame.offload);
            if checksum == Checksum::Unchecked {
                continue;
            }
            for kind in [GsoKind::Tcp4, GsoKind::Tcp6, GsoKind::Udp] {
                frame.offload.gso = Some(Gso { kind, size: 1448 });
                let header = encode(&frame);
                assert_eq!(decode(&header, 0), frame.offload);
                let hdr_len = u16::from_ne_bytes([header[2], header[3]]);
                assert_eq!(hdr_len, if kind == GsoKind::Udp { 42 } else { 54 });
                // 0x50 has no CWR; 0xd0 has.
                let mut bytes = [0x50; 80];
                bytes[34 + TCP_FLAGS] = 0xd0;
                frame.payload = Frame::copy_from(&bytes).payload;
                let marked = encode(&frame);
                assert_eq!(marked[1] & GSO_ECN != 0, kind != GsoKind::Udp);
                assert_eq!(header[1] & GSO_ECN, 0);
                assert_eq!(decode(&marked, 0), frame.offload);
                frame.payload = Frame::copy_from(&[0x50; 80]).payload;
            }
        }
        let valid = [DATA_VALID, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(decode(&valid, 0).checksum, Checksum::Verified);
    }

    #[test]
    fn a_restored_tag_moves_the_checksum_place() {
        let mut bytes = [0u8; 4 + 18];
        for (i, b) in bytes[4..].iter_mut().enumerate() {
            *b = u8::try_from(i).unwrap();
        }
        restore_tag(&mut bytes, 0x88a8, 0x2007);
        assert_eq!(bytes[..12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(bytes[12..18], [0x88, 0xa8, 0x20, 0x07, 12, 13]);
        let mut header = [NEEDS_CSUM, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        header[6..8].copy_from_slice(&34u16.to_ne_bytes());
        let Checksum::Partial { start, .. } = decode(&header, 4).checksum else {
            panic!("partial expected");
        };
        assert_eq!(start, 38);
    }
}
