//! What came before its time: segments held until the hole in front of them is filled, and the
//! blocks that tell the peer of them.
//!
//! ```text
//!   RCV.NXT        hole            hole
//!      |         [======]        [==|====]        pieces, disjoint
//!                 range 1         range 2         what SACK blocks are made of
//! ```
//!
//! Read first: RFC 9293 §3.10.7.4 (SHLD-31), RFC 2018 §4, RFC 2883 §4.
//!
//! Promises: pieces never overlap; what is held is charged for at least [`LEAST`] bytes a piece, so
//! that a peer cannot make small ones costly; the first block told is the one that came last.

use crate::frame::Payload;
use alloc::collections::BTreeMap;
use bytes::Bytes;

/// What a piece is charged for at least.
const LEAST: u64 = 256;

/// Blocks told again, newest first (RFC 2018 §4: at least three times each).
const RECENT: usize = 4;

/// Segments out of order, by the number of their first byte in the stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Assembler {
    pieces: BTreeMap<u64, Bytes>,
    /// Ends by starts, what touches joined.
    ranges: BTreeMap<u64, u64>,
    /// A number within each of the ranges that changed last.
    recent: [Option<u64>; RECENT],
    bytes: u64,
    charged: u64,
}

/// What became of data that was to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// All of it, or what was new of it.
    Yes,
    /// Nothing of it was new: the part that was there before, to be told as a duplicate.
    Duplicate,
    /// There is no room.
    Full,
}

impl Assembler {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes held.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The same with what the places of pieces take.
    #[inline]
    pub(super) const fn charged(&self) -> u64 {
        self.charged
    }

    /// Holds data that starts at number `at`, unless that would take more than `limit`.
    pub(super) fn insert(&mut self, at: u64, payload: &Payload, limit: u64) -> Held {
        let end = at + payload.len() as u64;
        if end == at {
            return Held::Duplicate;
        }
        if self.covers(at, end) {
            self.touch(at);
            return Held::Duplicate;
        }
        let cost = |len: usize| (len as u64).max(LEAST);
        if self.charged + cost(payload.len()) > limit.max(LEAST) {
            return Held::Full;
        }
        let mut at_chunk = at;
        for chunk in payload.chunks() {
            self.fill(at_chunk, chunk);
            at_chunk += chunk.len() as u64;
        }
        self.join(at, end);
        self.touch(at);
        Held::Yes
    }

    /// The first part of `at..end` that is held already.
    pub(super) fn overlap(&self, at: u64, end: u64) -> Option<(u64, u64)> {
        let before = self.ranges.range(..=at).next_back();
        let (start, until) = before
            .filter(|(_, until)| **until > at)
            .or_else(|| self.ranges.range(at..end).next())?;
        Some(((*start).max(at), (*until).min(end)))
    }

    fn covers(&self, at: u64, end: u64) -> bool {
        let before = self.ranges.range(..=at).next_back();
        before.is_some_and(|(_, &until)| until >= end)
    }

    /// Puts those parts of a chunk where nothing lies.
    fn fill(&mut self, at: u64, chunk: &Bytes) {
        let end = at + chunk.len() as u64;
        let mut next = at;
        if let Some((start, piece)) = self.pieces.range(..=at).next_back() {
            next = next.max(start + piece.len() as u64);
        }
        while next < end {
            let until = match self.pieces.range(next..end).next() {
                Some((start, _)) => *start,
                None => end,
            };
            if until > next {
                let from = usize::try_from(next - at).unwrap_or(0);
                let to = usize::try_from(until - at).unwrap_or(0);
                self.put(next, chunk.slice(from..to));
            }
            let after = self.pieces.range(until..end).next();
            match after {
                Some((start, piece)) => next = start + piece.len() as u64,
                None => break,
            }
        }
    }

    fn put(&mut self, at: u64, bytes: Bytes) {
        self.bytes += bytes.len() as u64;
        self.charged += (bytes.len() as u64).max(LEAST);
        self.pieces.insert(at, bytes);
    }

    /// Notes a range as held, with all that touches it.
    fn join(&mut self, at: u64, end: u64) {
        let (mut at, mut end) = (at, end);
        if let Some((&start, &until)) = self.ranges.range(..=at).next_back()
            && until >= at
        {
            at = start;
            end = end.max(until);
        }
        while let Some((&start, &until)) = self.ranges.range(at..=end).next() {
            end = end.max(until);
            self.ranges.remove(&start);
        }
        self.ranges.insert(at, end);
    }

    /// Moves a number to the front of those told first.
    fn touch(&mut self, at: u64) {
        let start_of = |n: u64| self.ranges.range(..=n).next_back().map(|(s, _)| *s);
        let start = start_of(at);
        let mut kept = [None; RECENT];
        let others = self.recent.iter().flatten().copied();
        let others = others.filter(|n| start_of(*n) != start);
        for (place, n) in kept.iter_mut().zip(core::iter::once(at).chain(others)) {
            *place = Some(n);
        }
        self.recent = kept;
    }

    /// The piece that starts at or before `next` and goes beyond it, cut to begin there.
    pub(super) fn take(&mut self, next: u64) -> Option<Bytes> {
        loop {
            let (&start, _) = self.pieces.first_key_value()?;
            if start > next {
                return None;
            }
            let (_, mut piece) = self.pieces.pop_first()?;
            self.bytes -= piece.len() as u64;
            self.charged -= (piece.len() as u64).max(LEAST);
            let end = start + piece.len() as u64;
            if end > next {
                let _ = piece.split_to(usize::try_from(next - start).unwrap_or(0));
                self.forget(end);
                return Some(piece);
            }
            self.forget(next);
        }
    }

    /// Forgets what is held before number `next`, which has been passed.
    fn forget(&mut self, next: u64) {
        while let Some((&start, &end)) = self.ranges.first_key_value()
            && start < next
        {
            self.ranges.remove(&start);
            if end > next {
                self.ranges.insert(next, end);
                break;
            }
        }
        if self.pieces.is_empty() {
            *self = Self::default();
        }
    }

    /// The blocks to tell, newest first, as numbers of the stream.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let range_of = |n: u64| {
            let (start, end) = self.ranges.range(..=n).next_back()?;
            (n < *end).then_some((*start, *end))
        };
        let recent = self.recent.iter().flatten().copied().filter_map(range_of);
        recent.enumerate().filter_map(move |(i, block)| {
            // A range that grew together with another is told once.
            let before = self.recent.iter().flatten().copied().filter_map(range_of);
            let seen = before.take(i).any(|b| b == block);
            (!seen).then_some(block)
        })
    }

    /// The number behind all that is held.
    pub(super) fn end(&self) -> Option<u64> {
        self.ranges.last_key_value().map(|(_, end)| *end)
    }

    /// The block that holds number `n`.
    pub(super) fn block_of(&self, n: u64) -> Option<(u64, u64)> {
        let (start, end) = self.ranges.range(..=n).next_back()?;
        (n < *end).then_some((*start, *end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::vec::Vec;

    fn data(at: u64, len: u64) -> Payload {
        let bytes: Vec<u8> = (at..at + len).map(|i| (i * 31 % 251) as u8).collect();
        Payload::from(Bytes::from(bytes))
    }

    #[test]
    fn gives_back_a_stream_however_it_came() {
        for seed in 0..200 {
            let mut rng = Rng::from_seed(seed);
            let mut held = Assembler::default();
            let (mut next, total) = (0, 3000);
            while next < total {
                let at = next + rng.below(total - next);
                let len = (1 + rng.below(400)).min(total - at);
                if at > next {
                    held.insert(at, &data(at, len), u64::MAX);
                } else {
                    next += len;
                }
                // Pieces are disjoint and add up to the ranges.
                let mut end = 0;
                for (start, piece) in &held.pieces {
                    assert!(*start >= end && !piece.is_empty());
                    end = start + piece.len() as u64;
                }
                let ranges: u64 = held.ranges.iter().map(|(s, e)| e - s).sum();
                assert_eq!(ranges, held.bytes());
                while let Some(piece) = held.take(next) {
                    let want = data(next, piece.len() as u64).to_bytes();
                    assert_eq!(piece, want);
                    next += piece.len() as u64;
                }
                assert!(
                    held.ranges.keys().all(|s| *s > next),
                    "{next} {:?}",
                    held.ranges
                );
            }
            assert!(held.is_empty() && held.charged == 0 && held.ranges.is_empty());
        }
    }

    #[test]
    fn tells_the_newest_block_first() {
        let mut held = Assembler::default();
        for at in [100, 300, 500, 700, 900] {
            assert_eq!(held.insert(at, &data(at, 50), 1 << 20), Held::Yes);
        }
        let blocks: Vec<_> = held.blocks().collect();
        assert_eq!(blocks, [(900, 950), (700, 750), (500, 550), (300, 350)]);
        assert_eq!(held.insert(350, &data(350, 150), 1 << 20), Held::Yes);
        let blocks: Vec<_> = held.blocks().collect();
        assert_eq!(blocks, [(300, 550), (900, 950), (700, 750)]);
        assert_eq!(held.insert(320, &data(320, 10), 1 << 20), Held::Duplicate);
        assert_eq!(held.block_of(540), Some((300, 550)));
        assert_eq!(held.block_of(550), None);
    }

    #[test]
    fn many_small_pieces_do_not_fit() {
        let mut held = Assembler::default();
        let fitted = (0..1000)
            .filter(|i| held.insert(10 + i * 2, &data(10 + i * 2, 1), 10_000) == Held::Yes)
            .count();
        assert_eq!(fitted, 39);
    }
}
