//! Bits flipped on the wire, and the check sequence that finds them.
//!
//! ```text
//!   draw --> gap to the next flipped bit --> flip --> draw --> gap ...      over frame and FCS
//! ```
//!
//! The gaps are geometric: the chance that the next `g` bits are whole is `q^g`, `q` the chance of
//! one. The largest `g` with `draw < q^g` is found from `q, q^2, q^4, ...`, squared once in 64-bit
//! fixed point when the wire is configured: no logarithm, no float.
//!
//! Read first: IEEE 802.3 §3.2.9 (the frame check sequence).

use super::Chance;
use super::draw::{self, scale};
use crate::frame::{Checksum, Frame};
use bytes::BytesMut;
use crc::{CRC_32_ISO_HDLC, Crc, Table};

/// Ethernet's check sequence.
const FCS: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);
/// Its bytes.
const FCS_LEN: usize = 4;
/// Frames have fewer than 2^20 bits.
const POWERS: usize = 20;

/// The powers `q^(2^i)` of a bit's chance to stay whole, over 2^64.
#[derive(Clone, Debug)]
pub(super) struct Errors([u64; POWERS]);

impl Errors {
    pub(super) fn new(chance: Chance) -> Self {
        let mut power = if chance == Chance::ALWAYS {
            0
        } else {
            chance.bits().wrapping_neg()
        };
        Self(core::array::from_fn(|_| {
            let this = power;
            power = scale(power, power);
            this
        }))
    }

    /// Whole bits before the next flipped one.
    #[inline]
    fn gap(&self, draw: u64) -> usize {
        // 1, as near as 64 bits come to it.
        let (mut whole, mut gap) = (u64::MAX, 0);
        for (i, power) in self.0.iter().enumerate().rev() {
            let more = scale(whole, *power);
            if draw < more {
                whole = more;
                gap += 1 << i;
            }
        }
        gap
    }

    /// The flipped bits of a frame of `bits` bits, in order.
    #[inline]
    pub(super) fn flips(&self, seed: u64, bits: usize) -> impl Iterator<Item = usize> {
        let (mut at, mut n) = (0_usize, 0);
        core::iter::from_fn(move || {
            let here = at + self.gap(draw::nth(seed, n));
            n += 1;
            at = here + 1;
            (here < bits).then_some(here)
        })
    }
}

/// Bits that a frame takes on the wire, with its check sequence.
pub(super) fn bits_on_wire(frame: &Frame) -> usize {
    (frame.len() + FCS_LEN) * 8
}

/// Flips bits of a frame and its check sequence. Gives how many, and whether the check finds it.
pub(super) fn flip(frame: &mut Frame, flips: impl Iterator<Item = usize>) -> (u64, bool) {
    let mut flips = flips.peekable();
    if flips.peek().is_none() {
        return (0, false);
    }
    frame.complete_checksum();
    let whole = frame.to_bytes();
    let mut bytes = BytesMut::from(&whole[..]);
    let (mut count, mut check) = (0, FCS.checksum(&whole));
    for bit in flips {
        count += 1;
        match bytes.get_mut(bit / 8) {
            Some(byte) => *byte ^= 1 << (bit % 8),
            // The check sequence follows; which of its bits is which makes no difference to
            // whether it is found to be wrong.
            None => check ^= 1 << (bit - whole.len() * 8),
        }
    }
    let caught = FCS.checksum(&bytes) != check;
    let gso = frame.offload.gso;
    *frame = Frame::from_bytes(bytes.freeze());
    frame.offload.gso = gso;
    frame.offload.checksum = Checksum::Unchecked;
    (count, caught)
}
