//! Sequence numbers: arithmetic modulo 2^32.
//!
//! ```text
//!            0 = 2^32
//!         .-----*-----.
//!       /               \      a.before(b): going up from a, b is met within
//!   b  *                 *  a  2^31 - 1 steps. There is no first and no last
//!       \               /      number, hence no `Ord`.
//!         '-----------'
//! ```
//!
//! Read first: RFC 9293 §3.4 (sequence numbers), RFC 7323 §5.2 (the same rule for timestamps).
//!
//! Promises: no operation overflows; two numbers exactly 2^31 apart are neither before nor after
//! each other, so that `a.before(b)` and `b.before(a)` never both hold.
//!
//! Left out: `Ord`, since the order is not transitive and a sorted map of these would be a bug.

use core::fmt;
use core::ops::{Add, AddAssign, Sub, SubAssign};

/// A sequence number.
///
/// ```
/// use stack::wire::seq::SeqNum;
/// let near_the_end = SeqNum(u32::MAX - 1);
/// assert_eq!(near_the_end + 4, SeqNum(2));
/// assert!(near_the_end.before(SeqNum(2)));
/// assert_eq!(SeqNum(2).since(near_the_end), 4);
/// assert_eq!(near_the_end - SeqNum(2), -4);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// How many steps up from `other` to this, modulo 2^32.
    #[must_use]
    #[inline]
    pub const fn since(self, other: Self) -> u32 {
        self.0.wrapping_sub(other.0)
    }

    /// Whether this comes before `other`.
    #[must_use]
    #[inline]
    pub const fn before(self, other: Self) -> bool {
        other.after(self)
    }

    /// Whether this comes after `other`.
    #[must_use]
    #[inline]
    pub const fn after(self, other: Self) -> bool {
        self.since(other).wrapping_sub(1) < HALF - 1
    }

    /// Whether this is `other` or comes before it.
    #[must_use]
    #[inline]
    pub const fn at_or_before(self, other: Self) -> bool {
        other.at_or_after(self)
    }

    /// Whether this is `other` or comes after it.
    #[must_use]
    #[inline]
    pub const fn at_or_after(self, other: Self) -> bool {
        self.0 == other.0 || self.after(other)
    }

    /// Whether this lies in the window from `lo` up to, but not including, `hi`. The window may
    /// span more than half the circle; an empty one (`lo == hi`) holds nothing.
    #[must_use]
    #[inline]
    pub const fn within(self, lo: Self, hi: Self) -> bool {
        self.since(lo) < hi.since(lo)
    }

    /// The later of the two; this one where neither is.
    #[must_use]
    #[inline]
    pub const fn later(self, other: Self) -> Self {
        if other.after(self) { other } else { self }
    }

    /// The earlier of the two; this one where neither is.
    #[must_use]
    #[inline]
    pub const fn earlier(self, other: Self) -> Self {
        if other.before(self) { other } else { self }
    }
}

/// Half of the circle.
const HALF: u32 = 1 << 31;

impl Add<u32> for SeqNum {
    type Output = Self;
    #[inline]
    fn add(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }
}

impl AddAssign<u32> for SeqNum {
    #[inline]
    fn add_assign(&mut self, n: u32) {
        *self = *self + n;
    }
}

impl Sub<u32> for SeqNum {
    type Output = Self;
    #[inline]
    fn sub(self, n: u32) -> Self {
        Self(self.0.wrapping_sub(n))
    }
}

impl SubAssign<u32> for SeqNum {
    #[inline]
    fn sub_assign(&mut self, n: u32) {
        *self = *self - n;
    }
}

impl Sub for SeqNum {
    /// Signed: negative where the right side comes after the left.
    type Output = i32;
    #[inline]
    fn sub(self, other: Self) -> i32 {
        self.since(other).cast_signed()
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_on_the_circle() {
        // (a, b, a before b, a after b)
        let table = [
            (0, 0, false, false),
            (0, 1, true, false),
            (1, 0, false, true),
            (u32::MAX, 0, true, false),
            (0, u32::MAX, false, true),
            (0, HALF - 1, true, false),
            (0, HALF, false, false),
            (HALF, 0, false, false),
            (0, HALF + 1, false, true),
            (u32::MAX - 5, 5, true, false),
        ];
        for (a, b, before, after) in table {
            let (x, y) = (SeqNum(a), SeqNum(b));
            assert_eq!(x.before(y), before, "{a} before {b}");
            assert_eq!(x.after(y), after, "{a} after {b}");
            assert_eq!(x.at_or_before(y), before || a == b, "{a} <= {b}");
            assert_eq!(x.at_or_after(y), after || a == b, "{a} >= {b}");
        }
    }

    #[test]
    fn distances_and_windows() {
        let lo = SeqNum(u32::MAX - 1);
        assert_eq!(lo + 3, SeqNum(1));
        assert_eq!(SeqNum(1) - 3, lo);
        assert_eq!(SeqNum(1) - lo, 3);
        assert_eq!(lo - SeqNum(1), -3);
        assert_eq!(SeqNum(HALF) - SeqNum(0), i32::MIN);
        for (n, inside) in [
            (u32::MAX - 2, false),
            (u32::MAX - 1, true),
            (0, true),
            (1, false),
        ] {
            assert_eq!(SeqNum(n).within(lo, SeqNum(1)), inside, "{n}");
        }
        assert!(!lo.within(lo, lo));
        assert!(SeqNum(u32::MAX - 3).within(lo, lo - 1));
        assert_eq!(lo.later(SeqNum(0)), SeqNum(0));
        assert_eq!(lo.earlier(SeqNum(0)), lo);
    }
}
