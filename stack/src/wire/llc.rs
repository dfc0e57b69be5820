//! Logical link control behind an 802.3 length, and SNAP behind that (IEEE 802.2 §3, §5.4;
//! RFC 1042).
//!
//! ```text
//!  0                   1                   2                   3
//!  +-------------+-+-------------+-+---------------+---------------+
//!  |    DSAP     |G|    SSAP     |R|    control    | (I, S: second)|
//!  +-------------+-+-------------+-+---------------+---------------+
//!  SNAP, where DSAP = SSAP = 0xaa and control = 3:
//!  +-----------------------------------------------+---------------+
//!  |                      OUI                      |    protocol   |
//!  +---------------+-------------------------------+---------------+
//!  |   (its end)   |  payload ...
//!  +---------------+
//! ```
//!
//! Left out: the LLC type 2 machine. Its frames decode, nothing answers them.

use super::{EtherType, ParseError, Reader, Writer};

/// Length of a header with the one control byte of unnumbered frames.
pub const MIN_HEADER_LEN: usize = 3;
/// Length of a SNAP header.
pub const SNAP_LEN: usize = 5;

/// Service access points (IANA "IEEE 802 numbers").
pub mod sap {
    /// No service.
    pub const NULL: u8 = 0x00;
    /// Bridge spanning tree.
    pub const SPANNING_TREE: u8 = 0x42;
    /// SNAP.
    pub const SNAP: u8 = 0xaa;
    /// Raw IPX.
    pub const IPX: u8 = 0xe0;
    /// ISO network layer (IS-IS, CLNP).
    pub const ISO: u8 = 0xfe;
    /// All.
    pub const GLOBAL: u8 = 0xff;
}

/// The control field: one byte for unnumbered frames, two for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Control {
    /// Information: numbered data.
    Information {
        /// N(S), 7 bits: the number of this frame.
        send_seq: u8,
        /// N(R), 7 bits: the number expected next.
        recv_seq: u8,
        /// Poll or final.
        poll_final: bool,
    },
    /// Supervisory: acknowledgement and flow control.
    Supervisory {
        /// 0: receiver ready; 1: receiver not ready; 2: reject; 2 bits.
        function: u8,
        /// Should be zero, 4 bits.
        reserved: u8,
        /// N(R), 7 bits: the number expected next.
        recv_seq: u8,
        /// Poll or final.
        poll_final: bool,
    },
    /// Unnumbered: datagrams (UI is 0x03), XID, TEST, and the opening and closing of connections.
    Unnumbered(u8),
}

impl Control {
    /// Unnumbered information: a datagram.
    pub const UI: Self = Self::Unnumbered(0x03);

    /// How many bytes it takes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        match self {
            Self::Unnumbered(_) => 1,
            _ => 2,
        }
    }

    #[inline]
    fn parse(r: &mut Reader<'_>) -> Result<Self, ParseError> {
        let first = r.u8("LLC control")?;
        if first & 3 == 3 {
            return Ok(Self::Unnumbered(first));
        }
        let second = r.u8("LLC control")?;
        let (recv_seq, poll_final) = (second >> 1, second & 1 != 0);
        Ok(if first & 1 == 0 {
            Self::Information {
                send_seq: first >> 1,
                recv_seq,
                poll_final,
            }
        } else {
            Self::Supervisory {
                function: first >> 2 & 3,
                reserved: first >> 4,
                recv_seq,
                poll_final,
            }
        })
    }

    fn emit(self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        const WIDE: ParseError = ParseError::Invalid("LLC control");
        let (first, recv_seq, poll_final) = match self {
            Self::Unnumbered(control) if control & 3 == 3 => return w.u8(control),
            Self::Information {
                send_seq,
                recv_seq,
                poll_final,
            } if send_seq < 128 => (send_seq << 1, recv_seq, poll_final),
            Self::Supervisory {
                function,
                reserved,
                recv_seq,
                poll_final,
            } if function < 4 && reserved < 16 => {
                (reserved << 4 | function << 2 | 1, recv_seq, poll_final)
            }
            _ => return Err(WIDE),
        };
        if recv_seq >= 128 {
            return Err(WIDE);
        }
        w.put(&[first, recv_seq << 1 | u8::from(poll_final)])
    }
}

/// An LLC header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Destination service access point; its lowest bit marks a group.
    pub dsap: u8,
    /// Source service access point; its lowest bit marks a response.
    pub ssap: u8,
    /// Control.
    pub control: Control,
}

impl Header {
    /// What comes before a SNAP header.
    pub const SNAP: Self = Self {
        dsap: sap::SNAP,
        ssap: sap::SNAP,
        control: Control::UI,
    };

    /// Parses the header; the rest is not cut to the 802.3 length.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] where SAPs and control are not all there.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        let mut r = Reader::new(bytes);
        let [dsap, ssap] = r.array("LLC header")?;
        let header = Self {
            dsap,
            ssap,
            control: Control::parse(&mut r)?,
        };
        Ok((header, r.rest()))
    }

    /// Whether a [`Snap`] header follows.
    #[must_use]
    pub fn is_snap(&self) -> bool {
        *self == Self::SNAP
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        2 + self.control.emit_len()
    }

    /// Writes the header.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], or [`ParseError::Invalid`] where the control does not fit its bits.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        w.put(&[self.dsap, self.ssap])?;
        self.control.emit(w)
    }
}

/// A SNAP header: a protocol by whose number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Snap {
    /// Who numbered the protocol; zeros for EtherTypes (RFC 1042).
    pub oui: [u8; 3],
    /// The protocol.
    pub protocol: EtherType,
}

impl Snap {
    /// Parses the header.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] below 5 bytes.
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        let mut r = Reader::new(bytes);
        let snap = Self {
            oui: r.array("SNAP header")?,
            protocol: EtherType(r.u16("SNAP header")?),
        };
        Ok((snap, r.rest()))
    }

    /// The protocol where it is an EtherType.
    #[must_use]
    pub fn ethertype(&self) -> Option<EtherType> {
        (self.oui == [0; 3]).then_some(self.protocol)
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        SNAP_LEN
    }

    /// Writes the header.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`].
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        w.put(&self.oui)?;
        w.u16(self.protocol.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_re_emits() {
        for first in 0..=255u8 {
            for second in [0, 1, 0xfe, 0xff] {
                let bytes = [0x42, 0x43, first, second];
                let (header, rest) = Header::parse(&bytes).unwrap();
                let len = if first & 3 == 3 { 3 } else { 4 };
                assert_eq!((header.emit_len(), rest.len()), (len, 4 - len));
                let mut out = [0; 4];
                header.emit(&mut Writer::new(&mut out)).unwrap();
                assert_eq!(out[..len], bytes[..len]);
                for short in 0..len {
                    assert!(Header::parse(&bytes[..short]).is_err());
                }
            }
        }
    }

    #[test]
    fn controls_by_name() {
        let control = |bytes: &[u8]| Header::parse(bytes).unwrap().0.control;
        let (recv_seq, poll_final) = (5, true);
        assert_eq!(
            control(&[0, 0, 0x06, 0x0b]),
            Control::Information {
                send_seq: 3,
                recv_seq,
                poll_final
            }
        );
        assert_eq!(
            control(&[0, 0, 0x09, 0x0b]),
            Control::Supervisory {
                function: 2,
                reserved: 0,
                recv_seq,
                poll_final
            }
        );
        assert_eq!(control(&[0, 0, 0x03]), Control::UI);
        let mut out = [0; 4];
        for bad in [
            Control::Unnumbered(0),
            Control::Information {
                send_seq: 128,
                recv_seq,
                poll_final,
            },
            Control::Supervisory {
                function: 0,
                reserved: 0,
                recv_seq: 128,
                poll_final,
            },
        ] {
            assert!(bad.emit(&mut Writer::new(&mut out)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn snap() {
        let bytes = [0xaa, 0xaa, 3, 0, 0, 0, 8, 6, 1];
        let (header, rest) = Header::parse(&bytes).unwrap();
        assert!(header.is_snap());
        let (snap, payload) = Snap::parse(rest).unwrap();
        assert_eq!(
            (snap.ethertype(), payload),
            (Some(EtherType::ARP), &[1][..])
        );
        let mut out = [0; 8];
        let mut w = Writer::new(&mut out);
        header.emit(&mut w).unwrap();
        snap.emit(&mut w).unwrap();
        assert_eq!(out, bytes[..8]);
        let cisco = Snap {
            oui: [0, 0, 0x0c],
            ..snap
        };
        assert_eq!(cisco.ethertype(), None);
        for len in 0..SNAP_LEN {
            assert!(Snap::parse(&rest[..len]).is_err());
        }
    }
}
