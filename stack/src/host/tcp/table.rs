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
use crate::transport::demux::{Keyed, split};
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

    /// The hash of two ends.
    #[inline]
    pub(super) fn hash(&self, ends: &Ends) -> u64 {
        // In whole words, which the hash eats several times faster than parts of them.
        let mut h = self.keyed.build_hasher();
        match (ends.local, ends.remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                h.write_u64(u64::from(local.to_bits()) << 32 | u64::from(remote.to_bits()));
            }
            (local, remote) => {
                for ip in [local, remote] {
                    let [high, low] = match ip {
                        IpAddr::V4(a) => [0, u64::from(a.to_bits())],
                        IpAddr::V6(a) => split(a.to_bits()),
                    };
                    h.write_u64(high);
                    h.write_u64(low);
                }
            }
        }
        let ports = u64::from(ends.local_port) << 16 | u64::from(ends.remote_port);
        h.write_u64(u64::from(ends.zone) << 32 | ports);
        h.finish()
    }

    /// The connection between two ends.
    #[inline]
    pub(super) fn find(&self, ends: &Ends, entries: &Slab<Box<Entry>>) -> Option<Key> {
        self.find_hashed(self.hash(ends), ends, entries)
    }

    /// The same of ends with this hash.
    #[inline]
    pub(super) fn find_hashed(
        &self,
        hash: u64,
        ends: &Ends,
        entries: &Slab<Box<Entry>>,
    ) -> Option<Key> {
        let same = |place: &Place| {
            place.hash == hash && entries.get(place.key).is_some_and(|e| e.ends == *ends)
        };
        self.places.find(hash, same).map(|place| place.key)
    }

    /// Adds a connection between two ends that no other has, with their hash.
    pub(super) fn add(&mut self, hash: u64, key: Key) {
        let place = Place { hash, key };
        self.places.insert_unique(hash, place, |place| place.hash);
    }

    /// Takes a connection out.
    pub(super) fn remove(&mut self, hash: u64, key: Key) {
        if let Ok(place) = self.places.find_entry(hash, |place| place.key == key) {
            place.remove();
        }
    }
}
