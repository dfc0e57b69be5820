//! Draws that belong to one packet of one flow, never to a shared stream.
//!
//! ```text
//!   key(seed, wire, direction) + flow --> number + k-th packet --> seed of a packet + kind --> draw
//! ```

/// What a draw decides. The numbers keep draws of one packet apart; their order means nothing.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Is it lost?
    Loss = 1,
    /// Does the flow's loss change its state?
    Change,
    /// In which state does the flow begin?
    Start,
    /// Is it sent twice?
    Duplicate,
    /// Is it held back?
    Reorder,
    /// How late is it?
    Jitter,
    /// Which bits are flipped?
    Bits,
    /// The seed of a duplicate.
    Copy,
    /// Does a rule of the fault script take it?
    Rule,
    /// Which bit does a rule flip?
    RuleBit,
}

/// 2^64 over the golden ratio: steps of it fill the circle evenly (Steele, Lea and Flood, "Fast
/// splittable pseudorandom number generators", 2014).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finaliser: each bit in moves each bit out half of the time.
#[inline]
pub(super) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Both halves of a product, folded: mixes two words in one multiplication.
#[inline]
pub(super) fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    low(wide) ^ low(wide >> 64)
}

/// The product of two fractions over 2^64.
#[inline]
pub(super) fn scale(a: u64, b: u64) -> u64 {
    low((u128::from(a) * u128::from(b)) >> 64)
}

#[inline]
#[allow(clippy::as_conversions, clippy::cast_possible_truncation)]
const fn low(wide: u128) -> u64 {
    wide as u64
}

/// The `n`-th number of the stream that `seed` names.
#[inline]
pub(super) const fn nth(seed: u64, n: u64) -> u64 {
    mix(seed.wrapping_add(n.wrapping_add(1).wrapping_mul(GOLDEN)))
}

/// The draw of one kind for the packet that `seed` names.
#[inline]
#[allow(clippy::as_conversions)]
pub(super) const fn of(seed: u64, kind: Kind) -> u64 {
    nth(seed, kind as u64)
}

/// A draw brought to `0..bound`; zero where `bound` is zero.
#[inline]
pub(super) fn below(draw: u64, bound: u64) -> u64 {
    scale(draw, bound)
}

/// Two words that differ in all bits where the caller's differ in one.
pub(super) const fn spread(key: [u64; 2]) -> [u64; 2] {
    let a = mix(key[0].wrapping_add(mix(key[1].wrapping_add(GOLDEN))));
    [a, mix(key[1].wrapping_add(mix(a)))]
}
