//! Chance as an argument: one seed, and forks of it by name.
//!
//! ```text
//!   seed --fork("arp")--> a stream of its own
//!        --fork("ports")--> another: one more draw here moves nothing there
//! ```
//!
//! A pseudo-random function (SipHash-2-4, keyed) in counter mode. What a peer sees on the wire
//! (ports, identifiers, sequence numbers) therefore does not let it compute what comes next, which
//! a plain generator such as xoshiro would; RFC 6056 §3.1 and RFC 6528 §3 ask for that.

use core::hash::Hasher;
use siphasher::sip::SipHasher24;

/// A seeded, forkable source of numbers.
///
/// ```
/// use stack::rng::Rng;
/// let root = Rng::from_seed(7);
/// let (mut a, mut b) = (root.fork("arp"), root.fork("arp"));
/// assert_eq!(a.next_u64(), b.next_u64());
/// assert_ne!(root.fork("arp").next_u64(), root.fork("ports").next_u64());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rng {
    key: [u64; 2],
    counter: u64,
}

impl Rng {
    /// A source from a 64-bit seed: for labs and tests, where the seed is printed and typed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self::from_key([seed, 0x7461_706c_696e_6531])
    }

    /// A source from a full 128-bit key: for drivers, which draw it from the OS.
    #[must_use]
    pub const fn from_key(key: [u64; 2]) -> Self {
        Self { key, counter: 0 }
    }

    /// An independent source for the owner called `name`. Forking draws nothing.
    #[must_use]
    pub fn fork(&self, name: &str) -> Self {
        let half = |tag: u8| {
            let mut h = SipHasher24::new_with_keys(self.key[0], self.key[1]);
            h.write_u8(tag);
            h.write(name.as_bytes());
            h.finish()
        };
        Self {
            key: [half(b'a'), half(b'b')],
            counter: 0,
        }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let mut h = SipHasher24::new_with_keys(self.key[0], self.key[1]);
        h.write_u64(self.counter);
        self.counter = self.counter.wrapping_add(1);
        h.finish()
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        // The high half: no bits are lost that were asked for.
        #[allow(clippy::cast_possible_truncation)]
        {
            (self.next_u64() >> 32) as u32
        }
    }

    /// A number in `0..bound`, without the bias of a plain remainder (the product's high half;
    /// what bias is left is below 2^-32 for the bounds in use). Zero where `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        // The high half of a 128-bit product fits 64 bits.
        #[allow(clippy::cast_possible_truncation)]
        {
            (wide >> 64) as u64
        }
    }

    /// A duration in `low..high` (`low` where the range is empty).
    pub fn between(
        &mut self,
        low: crate::time::Duration,
        high: crate::time::Duration,
    ) -> crate::time::Duration {
        let span = crate::time::nanos(high.saturating_sub(low));
        low + crate::time::Duration::from_nanos(self.below(span))
    }

    /// Two keys for a keyed hash (demultiplexer, ports, cookies).
    pub fn hash_keys(&mut self) -> [u64; 2] {
        [self.next_u64(), self.next_u64()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_stays_below_and_reaches_the_ends() {
        let mut rng = Rng::from_seed(1);
        let mut seen = [0u32; 5];
        for _ in 0..5000 {
            seen[usize::try_from(rng.below(5)).unwrap()] += 1;
        }
        // 1000 each, give or take five standard deviations.
        assert!(seen.iter().all(|&n| (860..1140).contains(&n)), "{seen:?}");
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn a_draw_in_one_fork_does_not_move_another() {
        let root = Rng::from_seed(3);
        let mut a = root.fork("a");
        let before = root.fork("b").next_u64();
        a.next_u64();
        assert_eq!(root.fork("b").next_u64(), before);
        assert_ne!(Rng::from_seed(3).next_u64(), Rng::from_seed(4).next_u64());
    }
}
