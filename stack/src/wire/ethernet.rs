//! Ethernet II and 802.3 frame headers (RFC 894, IEEE 802.3 §3.1.1).
//!
//! ```text
//!  0                   1                   2                   3
//!  +---------------------------------------------------------------+
//!  |                     destination (48 bits)                     |
//!  +                               +-------------------------------+
//!  |                               |                               |
//!  +-------------------------------+                               +
//!  |                        source (48 bits)                       |
//!  +-------------------------------+-------------------------------+
//!  |  EtherType, or 802.3 length   |  payload ...
//!  +-------------------------------+
//! ```

use super::{EtherType, MacAddr, ParseError, Reader, Writer};

/// Length of the header.
pub const HEADER_LEN: usize = 14;
/// The shortest frame, without its check sequence: shorter ones are padded (IEEE 802.3 §4.2.3.3).
pub const MIN_FRAME_LEN: usize = 60;

/// An Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Destination.
    pub dst: MacAddr,
    /// Source.
    pub src: MacAddr,
    /// EtherType; below 1536 it is an 802.3 length and an LLC header follows ([`super::llc`]).
    pub ethertype: EtherType,
}

impl Header {
    /// Parses the header; the rest may end with padding.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] below 14 bytes.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        let mut r = Reader::new(bytes);
        let header = Self {
            dst: MacAddr(r.array("Ethernet destination")?),
            src: MacAddr(r.array("Ethernet source")?),
            ethertype: EtherType(r.u16("EtherType")?),
        };
        Ok((header, r.rest()))
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
        let [d0, d1, d2, d3, d4, d5] = self.dst.0;
        let [s0, s1, s2, s3, s4, s5] = self.src.0;
        let [t0, t1] = self.ethertype.0.to_be_bytes();
        w.put(&[d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_truncation() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x86, 0xdd, 0xaa];
        let (header, rest) = Header::parse(&bytes).unwrap();
        assert_eq!(header.ethertype, EtherType::IPV6);
        assert_eq!(rest, [0xaa]);
        let mut out = [0; HEADER_LEN];
        header.emit(&mut Writer::new(&mut out)).unwrap();
        assert_eq!(out, bytes[..HEADER_LEN]);
        for len in 0..HEADER_LEN {
            assert!(matches!(
                Header::parse(&bytes[..len]),
                Err(ParseError::Truncated(_))
            ));
        }
        assert_eq!(
            header.emit(&mut Writer::new(&mut out[..13])),
            Err(ParseError::NoRoom)
        );
    }
}
