//! Connections by their two ends.
//!
//! ```text
//!   ends --keyed hash--> table of (hash, key) --> slab --> the entry, whose ends are compared
//! ```
//!
//! The general [`Demux`](crate::transport::demux::Demux) keeps both ends in its table, which is 56
//! bytes a connection where this is 16: of a million connections each may weigh 1 KiB in all. The
//! entry that is looked at to compare is the one that is wanted next anyway.
//!
//! Promises: the hash is keyed by the stack's secret; no entry is looked at but for one whose hash
//! is alike; the table is looked up, never iterated; growing it looks at no entry.

use super::{Ends, Entry};
use crate::rng::Rng;
use crate::transport::demux::Keyed;
use crate::transport::{Key, Slab};
use alloc::boxed::Box;
use core::hash::{BuildHasher, Hasher};
use core::net::IpAddr;
use hashbrown::HashTable;

/// Where a connection is.
#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u64,
    key: Key,
}

/// Connections by their ends.
#[derive(Clone, Debug)]
pub(super) struct Table {
    keyed: Keyed,
    places: HashTable<Place>,
}

impl Table {
    /// Nobody.
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self {
            keyed: Keyed::new(rng),
            places: HashTable::new(),
        }
    }

    fn hash(&self, ends: &Ends) -> u64 {
        let mut h = self.keyed.build_hasher();
        for ip in [ends.local, ends.remote] {
            match ip {
                IpAddr::V4(a) => h.write_u32(a.to_bits()),
                IpAddr::V6(a) => h.write_u128(a.to_bits()),
            }
        }
        h.write_u32(u32::from(ends.local_port) << 16 | u32::from(ends.remote_port));
        h.finish()
    }

    /// The connection between two ends.
    #[inline]
    pub(super) fn find(&self, ends: &Ends, entries: &Slab<Box<Entry>>) -> Option<Key> {
        let hash = self.hash(ends);
        let same = |place: &Place| {
            place.hash == hash && entries.get(place.key).is_some_and(|e| e.ends == *ends)
        };
        self.places.find(hash, same).map(|place| place.key)
    }

    /// Adds a connection between two ends that no other has.
    pub(super) fn add(&mut self, ends: &Ends, key: Key) {
        let hash = self.hash(ends);
        let place = Place { hash, key };
        self.places.insert_unique(hash, place, |place| place.hash);
    }

    /// Takes a connection out.
    pub(super) fn remove(&mut self, ends: &Ends, key: Key) {
        let hash = self.hash(ends);
        if let Ok(place) = self.places.find_entry(hash, |place| place.key == key) {
            place.remove();
        }
    }
}
