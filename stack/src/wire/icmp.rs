//! What control messages of both families begin with (RFC 792; RFC 4443 §2.1).
//!
//! ```text
//!  0                   1                   2                   3
//!  +---------------+---------------+-------------------------------+
//!  |     type      |     code      |            checksum           |
//!  +---------------+---------------+-------------------------------+
//! ```
//!
//! Read first: RFC 792, introduction; RFC 4443 §2.1 and §2.3.
//!
//! Left out: what the types mean, and what the checksum covers; that is each family's own, in
//! [`super::icmpv4`] and [`super::icmpv6`].

use super::{ParseError, Reader, Writer};

/// Length of the part that all messages share.
pub const HEADER_LEN: usize = 4;

/// What all messages begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Type, of its family's own numbers.
    pub kind: u8,
    /// Code: the type's subdivision.
    pub code: u8,
    /// Checksum over the whole message, as carried; in IPv6 over a pseudo-header too.
    pub checksum: u16,
}

impl Header {
    /// Parses the header; the rest is the body.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] below 4 bytes.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        let mut r = Reader::new(bytes);
        let [kind, code, c0, c1] = r.array::<HEADER_LEN>("ICMP header")?;
        let checksum = u16::from_be_bytes([c0, c1]);
        let header = Self {
            kind,
            code,
            checksum,
        };
        Ok((header, r.rest()))
    }

    /// Writes the header.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`].
    #[inline]
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        let [c0, c1] = self.checksum.to_be_bytes();
        w.put(&[self.kind, self.code, c0, c1])
    }
}
