//! Where decisions come from: a seed, or a fuzzer's bytes. The same bodies serve both.

use stack::rng::Rng;

/// A source of decisions.
#[derive(Clone)]
pub(crate) enum Chance {
    /// Endless, from a seed.
    Seed(Rng),
    /// A fuzzer's input; zeros once it is used up.
    Bytes(Vec<u8>, usize),
}

impl Chance {
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self::Seed(Rng::from_seed(seed))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec(), 0)
    }

    /// Whether a fuzzer's input is used up.
    pub(crate) fn is_spent(&self) -> bool {
        matches!(self, Self::Bytes(bytes, at) if *at >= bytes.len())
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self {
            Self::Seed(rng) => rng.next_u64().to_le_bytes()[0],
            Self::Bytes(bytes, at) => {
                let byte = bytes.get(*at).copied().unwrap_or(0);
                *at += 1;
                byte
            }
        }
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    pub(crate) fn u32(&mut self) -> u32 {
        match self {
            Self::Seed(rng) => rng.next_u32(),
            Self::Bytes(..) => u32::from_be_bytes([0; 4].map(|_: u8| self.byte())),
        }
    }

    /// A number in `0..n`; zero where `n` is zero. Takes no more bytes of a fuzzer than it needs.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        if let Self::Seed(rng) = self {
            return usize::try_from(rng.below(n as u64)).unwrap_or(0);
        }
        let drawn = match n {
            0..=1 => return 0,
            2..=0x100 => usize::from(self.byte()),
            0x101..=0x1_0000 => usize::from(self.u16()),
            _ => usize::try_from(self.u32()).unwrap_or(0),
        };
        drawn % n
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        all.get(self.below(all.len())).cloned()
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.byte()).collect()
    }

    /// `n` bytes that cost a fuzzer one.
    pub(crate) fn filler(&mut self, n: usize) -> Vec<u8> {
        vec![self.byte(); n]
    }
}
