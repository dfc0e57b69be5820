//! VLAN tags (IEEE 802.1Q §9.6; 802.1ad stacks them).
//!
//! ```text
//!  0                   1                   2                   3
//!  +-------------------------------+-----+-+-----------------------+
//!  |  TPID (the EtherType before)  | PCP |D|       VLAN id         |
//!  +-------------------------------+-----+-+-----------------------+
//!  |  EtherType, or 802.3 length   |  payload, or the next tag ...
//!  +-------------------------------+
//! ```
//!
//! The tag's first two bytes are the EtherType of what comes before ([`EtherType::is_vlan`]), so
//! the header here is the four bytes behind them. It parses a stack of tags one by one.

use super::{EtherType, ParseError, Reader, Writer};

/// Length of a tag behind its TPID.
pub const HEADER_LEN: usize = 4;
/// The id of a tag that only carries a priority (802.1Q table 9-2).
pub const PRIORITY_VID: u16 = 0;
/// The highest id; 0xfff is reserved.
pub const MAX_VID: u16 = 0xffe;

/// A VLAN tag with the EtherType behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Priority code point, 3 bits.
    pub pcp: u8,
    /// Drop eligible indicator.
    pub dei: bool,
    /// VLAN id, 12 bits; 0 for a priority tag.
    pub vid: u16,
    /// EtherType of what follows; below 1536 it is an 802.3 length.
    pub ethertype: EtherType,
}

impl Header {
    /// Parses the tag; the rest is what its EtherType says.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] below 4 bytes.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        let mut r = Reader::new(bytes);
        let [t0, t1, e0, e1] = r.array::<HEADER_LEN>("VLAN tag")?;
        let header = Self {
            pcp: t0 >> 5,
            dei: t0 & 0x10 != 0,
            vid: u16::from_be_bytes([t0 & 0x0f, t1]),
            ethertype: EtherType(u16::from_be_bytes([e0, e1])),
        };
        Ok((header, r.rest()))
    }

    /// The two bytes of priority, drop eligibility and id, as capture formats and kernels keep
    /// them. Bits beyond a field's width are lost.
    #[must_use]
    pub fn tci(&self) -> u16 {
        u16::from(self.pcp & 7) << 13 | u16::from(self.dei) << 12 | self.vid & 0xfff
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the tag.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], or [`ParseError::Invalid`] where a field does not fit its bits.
    #[inline]
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        if self.pcp > 7 || self.vid > 0xfff {
            return Err(ParseError::Invalid("VLAN priority or id"));
        }
        w.u16(self.tci())?;
        w.u16(self.ethertype.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_truncation() {
        for (bytes, pcp, dei, vid) in [
            ([0xe0, 0x00, 8, 0, 9], 7, false, 0),
            ([0x10, 0x00, 8, 0, 9], 0, true, 0),
            ([0x0f, 0xff, 8, 0, 9], 0, false, 0xfff),
            ([0xb1, 0x23, 8, 0, 9], 5, true, 0x123),
        ] {
            let (header, rest) = Header::parse(&bytes).unwrap();
            assert_eq!((header.pcp, header.dei, header.vid), (pcp, dei, vid));
            assert_eq!((header.ethertype, rest), (EtherType::IPV4, &[9][..]));
            let mut out = [0; HEADER_LEN];
            header.emit(&mut Writer::new(&mut out)).unwrap();
            assert_eq!(out, bytes[..HEADER_LEN]);
            for len in 0..HEADER_LEN {
                assert!(Header::parse(&bytes[..len]).is_err());
            }
            for bad in [
                Header { pcp: 8, ..header },
                Header {
                    vid: 4096,
                    ..header
                },
            ] {
                assert!(bad.emit(&mut Writer::new(&mut out)).is_err());
            }
        }
    }
}
