//! Fragments put together again, as an observer does it.
//!
//! ```text
//!   first  |==========|
//!   next        |==========|              an overlap: the bytes that came first in the datagram stay
//!   last                     |=====|      the first tail seen says where the datagram ends
//! ```
//!
//! A host drops a datagram whose fragments overlap (RFC 5722; our `stack::net::reassembly` does);
//! an observer wants to see what is in it, and that something is odd. So this one fills in what it
//! can and counts what does not fit. No clock: a capture may be cut, merged or out of order, so the
//! oldest datagram is given up when there are too many, never one that is late.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// What the fragments of one datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) ident: u32,
    /// Part of the key in IPv4 only; zero in IPv6 (RFC 8200 §4.5).
    pub(super) protocol: u8,
    pub(super) vlan: Option<u16>,
}

/// One fragment's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) offset: usize,
    pub(super) more: bool,
}

/// What a completed datagram looked like in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reassembled {
    /// Bytes of the datagram's payload.
    pub len: usize,
    /// Fragments it came in.
    pub fragments: usize,
    /// Fragments that covered bytes which others had brought.
    pub overlaps: usize,
    /// Of those, fragments that had other bytes there.
    pub conflicts: usize,
    /// Fragments that reached beyond the end.
    pub too_long: usize,
}

#[derive(Clone, Debug)]
struct Piece {
    offset: usize,
    data: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
struct Partial {
    /// By offset; equal ones in the order of their arrival.
    pieces: Vec<Piece>,
    end: Option<usize>,
    bytes: usize,
    birth: u64,
}

/// The datagrams in pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Fragments {
    partial: BTreeMap<Key, Partial>,
    /// Oldest first; an entry whose datagram is gone is passed over.
    order: VecDeque<(u64, Key)>,
    bytes: usize,
    births: u64,
}

impl Fragments {
    /// The most datagrams kept.
    const MAX_DATAGRAMS: usize = 1024;
    /// The most bytes kept.
    const MAX_BYTES: usize = 16 << 20;
    /// The most fragments of one datagram: 65,535 bytes in eights.
    const MAX_PIECES: usize = 8192;

    /// Adds a fragment; gives the datagram that it completes.
    pub(super) fn add(
        &mut self,
        key: Key,
        place: Place,
        data: &[u8],
    ) -> Option<(Vec<u8>, Reassembled)> {
        if !self.partial.contains_key(&key) {
            self.births += 1;
            self.order.push_back((self.births, key));
        }
        let birth = self.births;
        let partial = self.partial.entry(key).or_insert_with(|| Partial {
            birth,
            ..Partial::default()
        });
        let end = place.offset + data.len();
        if !place.more && partial.end.is_none() {
            partial.end = Some(end);
        }
        if partial.pieces.len() < Self::MAX_PIECES {
            let at = partial.pieces.partition_point(|p| p.offset <= place.offset);
            partial.pieces.insert(
                at,
                Piece {
                    offset: place.offset,
                    data: data.to_vec(),
                },
            );
            partial.bytes += data.len();
            self.bytes += data.len();
        }
        let end = partial.end.filter(|end| partial.reach() >= *end);
        if let Some(end) = end {
            let done = self.remove(key)?;
            return Some(done.assemble(end));
        }
        while self.partial.len() > Self::MAX_DATAGRAMS || self.bytes > Self::MAX_BYTES {
            let (birth, key) = self.order.pop_front()?;
            if self.partial.get(&key).is_some_and(|p| p.birth == birth) {
                self.remove(key);
            }
        }
        None
    }

    fn remove(&mut self, key: Key) -> Option<Partial> {
        let partial = self.partial.remove(&key)?;
        self.bytes -= partial.bytes;
        if self.order.len() > 2 * Self::MAX_DATAGRAMS {
            let live = &self.partial;
            self.order
                .retain(|(birth, key)| live.get(key).is_some_and(|p| p.birth == *birth));
        }
        Some(partial)
    }
}

impl Partial {
    /// How far the bytes go without a gap.
    fn reach(&self) -> usize {
        self.pieces.iter().fold(0, |reach, p| {
            if p.offset <= reach {
                reach.max(p.offset + p.data.len())
            } else {
                reach
            }
        })
    }

    fn assemble(self, end: usize) -> (Vec<u8>, Reassembled) {
        let mut out: Vec<u8> = Vec::with_capacity(end);
        let mut seen = Reassembled {
            len: end,
            fragments: self.pieces.len(),
            ..Reassembled::default()
        };
        for Piece { offset, data } in self.pieces {
            if offset + data.len() > end {
                seen.too_long += 1;
            }
            if offset >= out.len() {
                let room = end.saturating_sub(offset);
                if offset == out.len() {
                    out.extend_from_slice(&data[..data.len().min(room)]);
                }
                continue;
            }
            if data.is_empty() {
                continue;
            }
            seen.overlaps += 1;
            let known = out.len() - offset;
            let same = known.min(data.len());
            if out[offset..offset + same] != data[..same] {
                seen.conflicts += 1;
            }
            if data.len() > known {
                let until = data.len().min(end - offset);
                out.extend_from_slice(&data[known..until]);
            }
        }
        (out, seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key {
        src: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)),
        dst: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)),
        ident: 1,
        protocol: 17,
        vlan: None,
    };

    fn run(pieces: &[(usize, &[u8], bool)]) -> Option<(Vec<u8>, Reassembled)> {
        let mut fragments = Fragments::default();
        let mut last = None;
        for &(offset, data, more) in pieces {
            last = fragments.add(KEY, Place { offset, more }, data);
        }
        assert!(last.is_none() || fragments.partial.is_empty() && fragments.bytes == 0);
        last
    }

    #[test]
    fn any_order_overlaps_and_what_goes_too_far() {
        let (data, seen) = run(&[(8, b"ij", false), (0, b"abcdefgh", true)]).unwrap();
        assert_eq!(data, b"abcdefghij");
        assert_eq!((seen.len, seen.fragments, seen.overlaps), (10, 2, 0));
        let (data, seen) = run(&[(0, b"abcdefghXY", true), (8, b"ijkl", false)]).unwrap();
        assert_eq!(data, b"abcdefghXYkl");
        assert_eq!((seen.overlaps, seen.conflicts), (1, 1));
        let (data, seen) = run(&[(0, b"abcd", true), (16, b"zz", true), (4, b"e", false)]).unwrap();
        assert_eq!((data.as_slice(), seen.too_long), (&b"abcde"[..], 1));
        assert_eq!(run(&[(0, b"abcd", true), (8, b"zz", false)]), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut fragments = Fragments::default();
        for ident in 0..100_000 {
            let place = Place {
                offset: 8,
                more: true,
            };
            fragments.add(Key { ident, ..KEY }, place, &[0; 1480]);
            assert!(fragments.partial.len() <= Fragments::MAX_DATAGRAMS);
            assert!(fragments.bytes <= Fragments::MAX_BYTES);
            assert!(fragments.order.len() <= 4 * Fragments::MAX_DATAGRAMS);
        }
    }
}
