//! User datagrams (RFC 768).
//!
//! ```text
//!  0                   1                   2                   3
//!  +-------------------------------+-------------------------------+
//!  |          source port          |        destination port       |
//!  +-------------------------------+-------------------------------+
//!  |     length (header too)       |            checksum           |
//!  +-------------------------------+-------------------------------+
//!  |  payload ...
//! ```
//!
//! Read first: RFC 768 whole; RFC 1122 §4.1.3.4 on checksums.
//!
//! A checksum field of zero means the sender computed none, which IPv4 allows and IPv6 forbids
//! (RFC 8200 §8.1). A computed checksum that comes out as zero is sent as ones, which is the same
//! number in one's complement: [`Header::checksum_over`] does that. Whether a length below
//! [`HEADER_LEN`] or beyond the packet is an error is the caller's to say: a jumbogram's is zero.

use super::checksum::Sum;
use super::{ParseError, Protocol, Reader, Writer};
use core::net::IpAddr;

/// Length of the header.
pub const HEADER_LEN: usize = 8;

/// A UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Source port; zero where no answer is wanted.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Length of header and payload.
    pub len: u16,
    /// Checksum as carried; zero means none.
    pub checksum: u16,
}

impl Header {
    /// Parses the header; the rest is not cut to [`len`](Self::len).
    ///
    /// # Errors
    /// [`ParseError::Truncated`] below 8 bytes.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        let mut r = Reader::new(bytes);
        let [s0, s1, d0, d1, l0, l1, c0, c1] = r.array::<HEADER_LEN>("UDP header")?;
        let header = Self {
            src_port: u16::from_be_bytes([s0, s1]),
            dst_port: u16::from_be_bytes([d0, d1]),
            len: u16::from_be_bytes([l0, l1]),
            checksum: u16::from_be_bytes([c0, c1]),
        };
        Ok((header, r.rest()))
    }

    /// Bytes of payload that the length field claims; `None` where it is below the header's own.
    #[must_use]
    pub fn payload_len(&self) -> Option<usize> {
        usize::from(self.len).checked_sub(HEADER_LEN)
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`].
    #[inline]
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        let [s0, s1] = self.src_port.to_be_bytes();
        let [d0, d1] = self.dst_port.to_be_bytes();
        let [l0, l1] = self.len.to_be_bytes();
        let [c0, c1] = self.checksum.to_be_bytes();
        w.put(&[s0, s1, d0, d1, l0, l1, c0, c1])
    }

    /// What the checksum field should hold between `src` and `dst` over `payload`: never zero.
    #[must_use]
    #[inline]
    pub fn checksum_over(&self, src: IpAddr, dst: IpAddr, payload: &[u8]) -> u16 {
        let mut sum = Sum::new();
        sum.add_pseudo(src, dst, Protocol::UDP, HEADER_LEN + payload.len());
        sum.add_u16(self.src_port);
        sum.add_u16(self.dst_port);
        sum.add_u16(self.len);
        sum.add(payload);
        //= RFC 768: a sum of zero travels as all ones, zero being kept for "none"
        match sum.finish() {
            0 => 0xffff,
            sum => sum,
        }
    }
}

/// Whether the checksum of `datagram` (header and payload) holds; a zero field does not.
///
/// Zero meaning "none" is the caller's to allow, since only IPv4 does.
#[must_use]
#[inline]
pub fn verify(src: IpAddr, dst: IpAddr, datagram: &[u8]) -> bool {
    let mut sum = Sum::new();
    sum.add_pseudo(src, dst, Protocol::UDP, datagram.len());
    sum.add(datagram);
    datagram.get(6..8) != Some(&[0, 0]) && sum.finish() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_truncation() {
        let bytes = [0x12, 0x34, 0, 53, 0, 9, 0xab, 0xcd, 7];
        let (header, rest) = Header::parse(&bytes).unwrap();
        assert_eq!((header.src_port, header.dst_port), (0x1234, 53));
        assert_eq!((header.len, header.checksum), (9, 0xabcd));
        assert_eq!((rest, header.payload_len()), (&[7][..], Some(1)));
        let mut out = [0; HEADER_LEN];
        header.emit(&mut Writer::new(&mut out)).unwrap();
        assert_eq!(out, bytes[..HEADER_LEN]);
        for len in 0..HEADER_LEN {
            assert!(Header::parse(&bytes[..len]).is_err());
        }
        assert_eq!(Header { len: 7, ..header }.payload_len(), None);
    }

    #[test]
    fn checksum_is_never_zero_and_verifies() {
        for_addresses([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        for_addresses([1_u16; 8].into(), [2_u16; 8].into());
    }

    fn for_addresses(src: IpAddr, dst: IpAddr) {
        // Each payload word in turn, so that one of them makes the sum zero.
        let mut ones = 0;
        for word in 0..=u16::MAX {
            let mut header = Header {
                src_port: 1,
                dst_port: 2,
                len: 10,
                checksum: 0,
            };
            header.checksum = header.checksum_over(src, dst, &word.to_be_bytes());
            assert_ne!(header.checksum, 0);
            ones += u32::from(header.checksum == 0xffff);
            let mut bytes = [0; 10];
            let mut w = Writer::new(&mut bytes);
            header.emit(&mut w).unwrap();
            w.u16(word).unwrap();
            assert!(verify(src, dst, &bytes));
            bytes[9] ^= 1;
            assert!(!verify(src, dst, &bytes));
        }
        assert_eq!(ones, 1);
    }
}
