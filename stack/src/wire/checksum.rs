//! The Internet checksum (RFC 1071) and the pseudo-headers it covers (RFC 768, 9293 §3.1,
//! RFC 8200 §8.1).

use super::Protocol;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A running one's complement sum. Bytes may come in pieces of any length: an odd piece is
/// continued by the next, as if they had been one buffer.
///
/// ```
/// use stack::wire::checksum::Sum;
/// // RFC 1071 §3's example: the sum is ddf2, the checksum its complement.
/// let mut sum = Sum::new();
/// sum.add(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
/// assert_eq!(sum.finish(), !0xddf2);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// Sum of native-order 16-bit words, not yet folded.
    acc: u64,
    odd: bool,
}

impl Sum {
    /// An empty sum.
    #[must_use]
    pub const fn new() -> Self {
        Self { acc: 0, odd: false }
    }

    /// Adds `bytes`.
    #[inline]
    pub fn add(&mut self, bytes: &[u8]) {
        let part = sum_words(bytes);
        self.add_part(part, bytes.len());
    }

    #[inline]
    fn add_part(&mut self, part: u64, len: usize) {
        // A piece that starts at an odd offset has its bytes swapped (RFC 1071 §2 (B)).
        let part = if self.odd {
            u64::from(fold(part).swap_bytes())
        } else {
            part
        };
        self.acc = add_carry(self.acc, part);
        self.odd ^= len % 2 == 1;
    }

    /// Adds one 16-bit field. Only at an even offset.
    #[inline]
    pub fn add_u16(&mut self, v: u16) {
        self.acc = add_carry(self.acc, u64::from(v.to_be()));
    }

    /// Adds four bytes as at an even offset, wherever the sum has come to.
    #[inline]
    pub(crate) fn add_even(&mut self, bytes: [u8; 4]) {
        self.acc = add_carry(self.acc, u64::from(u32::from_ne_bytes(bytes)));
    }

    /// Adds the pseudo-header of a transport protocol; `len` is the upper-layer length.
    #[inline(always)]
    pub fn add_pseudo(&mut self, src: IpAddr, dst: IpAddr, protocol: Protocol, len: usize) {
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => self.add_pseudo4(src, dst, protocol, len),
            (IpAddr::V6(src), IpAddr::V6(dst)) => self.add_pseudo6(src, dst, protocol, len),
            (src, dst) => {
                self.add_pseudo6(mapped(src), mapped(dst), protocol, len);
            }
        }
    }

    /// Adds an IPv4 pseudo-header.
    #[inline]
    pub fn add_pseudo4(&mut self, src: Ipv4Addr, dst: Ipv4Addr, protocol: Protocol, len: usize) {
        let word = |bytes: [u8; 4]| u64::from(u32::from_ne_bytes(bytes));
        // An IPv4 upper-layer length is at most 65,515.
        let len = u16::try_from(len).unwrap_or(u16::MAX);
        let small = u64::from(u16::from(protocol.0).to_be()) + u64::from(len.to_be());
        // Four small words cannot overflow.
        let part = word(src.octets()) + word(dst.octets()) + small;
        self.acc = add_carry(self.acc, part);
    }

    /// Adds an IPv6 pseudo-header.
    #[inline]
    pub fn add_pseudo6(&mut self, src: Ipv6Addr, dst: Ipv6Addr, protocol: Protocol, len: usize) {
        let word = |bytes: [u8; 4]| u64::from(u32::from_ne_bytes(bytes));
        let words = |addr: Ipv6Addr| {
            let octets = addr.octets();
            let (words, _) = octets.as_chunks::<4>();
            words.iter().map(|bytes| word(*bytes)).sum::<u64>()
        };
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let small = word(len.to_be_bytes()) + u64::from(u16::from(protocol.0).to_be());
        // Ten small words cannot overflow.
        let part = words(src) + words(dst) + small;
        self.acc = add_carry(self.acc, part);
    }

    /// The folded sum, not complemented: what a partial checksum field holds.
    #[must_use]
    #[inline]
    pub fn partial(self) -> u16 {
        u16::from_be(fold(self.acc))
    }

    /// The checksum: the complement of the sum. Zero over bytes that include a right checksum.
    #[must_use]
    #[inline]
    pub fn finish(self) -> u16 {
        !self.partial()
    }
}

/// The checksum of one buffer.
#[must_use]
#[inline]
pub fn of(bytes: &[u8]) -> u16 {
    !u16::from_be(fold(sum_words(bytes)))
}

/// The checksum of a header of known length, a whole number of 32-bit words: no loops, no tail.
#[must_use]
#[inline(always)]
pub fn of_header<const N: usize>(bytes: &[u8; N]) -> u16 {
    const { assert!(N.is_multiple_of(4) && N <= 256) };
    let (words, _) = bytes.as_chunks::<4>();
    let sum = words
        .iter()
        .map(|word| u64::from(u32::from_ne_bytes(*word)))
        .sum();
    !u16::from_be(fold(sum))
}

/// The checksum of a header given as its 32-bit words.
#[must_use]
#[inline(always)]
pub fn of_words<const N: usize>(words: [u32; N]) -> u16 {
    const { assert!(N <= 64) };
    !fold(words.into_iter().map(u64::from).sum())
}

/// The checksum after one 16-bit field changed from `old` to `new` (RFC 1624 §3, equation 3).
#[must_use]
#[inline]
pub fn update(checksum: u16, old: u16, new: u16) -> u16 {
    let mut sum = Sum::new();
    sum.add_u16(!checksum);
    sum.add_u16(!old);
    sum.add_u16(new);
    sum.finish()
}

fn mapped(addr: IpAddr) -> Ipv6Addr {
    match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

#[inline]
fn add_carry(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u64::from(carry)
}

/// Sums native-order words. One's complement addition does not care for byte order (RFC 1071
/// §2 (B)), so the swap is done once, at the end; nor for the width of the words, as long as the
/// carry comes round.
#[inline]
fn sum_words(bytes: &[u8]) -> u64 {
    // Below this, setting the lanes up costs more than they save.
    const LONG: usize = 256;
    if bytes.len() < LONG {
        return sum_short(bytes);
    }
    match sum_lanes(bytes) {
        (lanes, []) => lanes,
        (lanes, tail) => add_carry(lanes, sum_short(tail)),
    }
}

fn sum_short(bytes: &[u8]) -> u64 {
    let mut total = 0u128;
    let (blocks, tail) = bytes.as_chunks::<32>();
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        let sum = words
            .iter()
            .map(|word| u128::from(u64::from_ne_bytes(*word)));
        total += sum.sum::<u128>();
    }
    let (words, tail) = tail.as_chunks::<8>();
    for word in words {
        total += u128::from(u64::from_ne_bytes(*word));
    }
    // What is left lies at an even offset, so each part may be added as it is; five small words
    // cannot overflow.
    let mut small = 0u64;
    let (words, tail) = tail.as_chunks::<4>();
    if let [word] = words {
        small += u64::from(u32::from_ne_bytes(*word));
    }
    let (words, tail) = tail.as_chunks::<2>();
    if let [word] = words {
        small += u64::from(u16::from_ne_bytes(*word));
    }
    if let [last] = tail {
        small += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    total += u128::from(small);
    let halves = [total >> 64, total & u128::from(u64::MAX)];
    let [high, low] = halves.map(|half| u64::try_from(half).unwrap_or(0));
    add_carry(high, low)
}

/// Sums whole words of 64 bits in a loop so plain that the compiler makes vector code of it; gives
/// what is left over. All is summed as it comes, forgetting carries, and the upper halves apart,
/// which cannot overflow: the lower halves' sum is the difference, exactly.
#[inline(never)]
fn sum_lanes(bytes: &[u8]) -> (u64, &[u8]) {
    let (words, tail) = bytes.as_chunks::<8>();
    let (mut all, mut upper) = (0u64, 0u64);
    for word in words {
        let word = u64::from_ne_bytes(*word);
        all = all.wrapping_add(word);
        upper = upper.wrapping_add(word >> 32);
    }
    let lower = all.wrapping_sub(upper << 32);
    (add_carry(lower, upper), tail)
}

/// Adds the halves of a sum to each other, carries coming round: its halves are added crosswise,
/// so that the upper one gets the lower one's carry.
#[inline]
fn fold(acc: u64) -> u16 {
    let words = acc.wrapping_add(acc.rotate_left(32)) >> 32;
    let word = u32::try_from(words).unwrap_or(0);
    let halves = word.wrapping_add(word.rotate_left(16)) >> 16;
    u16::try_from(halves).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn slow(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).unwrap()
    }

    #[test]
    fn agrees_with_the_obvious_sum_at_every_length_and_split() {
        let bytes: Vec<u8> = (0..600u32).map(|i| (i * 37 + i / 7) as u8).collect();
        for len in 0..bytes.len() {
            let want = slow(&bytes[..len]);
            assert_eq!(of(&bytes[..len]), want, "{len}");
            for cut in [0, 1, len / 2, len] {
                let mut sum = Sum::new();
                sum.add(&bytes[..cut.min(len)]);
                sum.add(&bytes[cut.min(len)..len]);
                assert_eq!(sum.finish(), want, "{len} cut at {cut}");
            }
        }
        assert_eq!(of(&[0xff; 65535]), slow(&[0xff; 65535]));
    }

    #[test]
    fn sums_a_header_like_any_bytes() {
        for start in 0..=255u8 {
            let header: [u8; 20] = core::array::from_fn(|i| start.wrapping_mul(i as u8 + 97));
            assert_eq!(of_header(&header), slow(&header));
        }
        assert_eq!(of_header(&[0xff; 20]), 0);
    }

    #[test]
    fn updates_like_a_fresh_sum() {
        let mut bytes = [0x45, 0, 0, 84, 1, 2, 0x40, 0, 64, 1];
        let before = of(&bytes);
        bytes[8] = 63;
        assert_eq!(update(before, 0x4001, 0x3f01), of(&bytes));
    }
}
