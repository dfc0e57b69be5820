//! The memory of all connections together: counted as it changes, and taken back where it runs out.
//!
//! ```text
//!   a call into a connection --> refresh --> account: what it holds now, less what it held
//!                                               | above `pressure`
//!                                               v
//!                                            relieve: prune the one that has held early data longest, ..
//!                                               | at 7/8 of `high`
//!                                               v
//!                                            reset the oldest orphan that has something to send, ..
//! ```
//!
//! Promises: an account costs two additions and a comparison where nothing is short; nobody walks all
//! connections; each connection is at most once on either list.

use super::{Class, Entry, Key, Tcp};
use crate::host::Host;
use crate::time::Instant;
use crate::transport::tcp::Supply;
use alloc::collections::VecDeque;

/// Connections in the order in which they were added. Some may have gone since.
#[derive(Clone, Debug, Default)]
pub(super) struct Line(VecDeque<Key>);

impl Line {
    /// Adds one at the end. Where more have gone than there are connections, those are taken out.
    pub(super) fn push(
        &mut self,
        key: Key,
        connections: usize,
        mut is_in: impl FnMut(Key) -> bool,
    ) {
        if self.0.len() >= 2 * connections + 64 {
            self.0.retain(|key| is_in(*key));
        }
        self.0.push_back(key);
    }

    /// Takes the first out.
    pub(super) fn pop(&mut self) -> Option<Key> {
        self.0.pop_front()
    }

    /// How many there are, with those that have gone.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// What all connections hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) used: u64,
    pub(super) supply: Supply,
    /// Those that hold something out of order, or did.
    pub(super) early: Line,
    /// Those that nobody holds and that had something to send when they were let go.
    pub(super) orphans: Line,
}

impl Tcp {
    /// Notes that a connection was let go with something to send.
    pub(super) fn note_orphan(&mut self, key: Key) {
        let Self {
            connections,
            memory,
            ..
        } = self;
        let is_in = |key| {
            connections
                .get(key)
                .is_some_and(|e| e.class == Class::Orphan)
        };
        memory.orphans.push(key, connections.len(), is_in);
    }

    /// Notes that a connection holds something out of order.
    #[cold]
    fn note_early(&mut self, key: Key) {
        let Self {
            connections,
            memory,
            ..
        } = self;
        let all = connections.len();
        let is_in = |key| {
            let entry = connections.get_mut(key);
            entry.is_some_and(|e| {
                e.early = e.connection.holds_early();
                e.early
            })
        };
        memory.early.push(key, all, is_in);
        if let Some(entry) = connections.get_mut(key) {
            entry.early = true;
        }
    }

    /// Counts what a connection holds now; gives whether it is another than before.
    #[inline]
    fn recount(&mut self, key: Key) -> bool {
        let Some(entry) = self.connections.get_mut(key) else {
            return false;
        };
        let holds = entry.connection.memory();
        let held = core::mem::replace(&mut entry.charged, holds);
        self.memory.used = self.memory.used + u64::from(holds) - u64::from(held);
        holds != held
    }

    /// What all connections hold, counted anew.
    #[cfg(test)]
    pub(in crate::host) fn audit(&self) -> u64 {
        let all = self.connections.iter();
        all.map(|(_, e)| u64::from(e.connection.memory())).sum()
    }

    /// Gives up what the one holds out of order that has done so for longest; how many bytes. `None`
    /// where nobody does.
    fn prune_first(&mut self) -> Option<u32> {
        loop {
            let key = self.memory.early.pop()?;
            let Some(entry) = self.connections.get_mut(key) else {
                continue;
            };
            entry.early = false;
            let gone = entry.connection.prune();
            self.recount(key);
            if gone > 0 {
                return Some(gone);
            }
        }
    }

    /// The first that was let go with something to send, and still has.
    fn first_orphan(&mut self) -> Option<Key> {
        let burdens = |e: &Entry| e.class == Class::Orphan && e.charged > 0;
        loop {
            let key = self.memory.orphans.pop()?;
            if self.connections.get(key).is_some_and(|e| burdens(e)) {
                return Some(key);
            }
        }
    }
}

impl Host {
    /// Bytes of data that all TCP connections hold, as
    /// [`Config::tcp_memory`](crate::host::Config::tcp_memory) bounds them.
    #[must_use]
    pub const fn tcp_memory(&self) -> u64 {
        self.tcp.memory.used
    }

    /// How much is left of that.
    #[must_use]
    pub const fn tcp_supply(&self) -> Supply {
        self.tcp.memory.supply
    }

    /// Counts what a connection holds after a call into it.
    #[inline]
    pub(super) fn account(&mut self, now: Instant, key: Key) {
        if !self.tcp.recount(key) {
            return;
        }
        let Some(entry) = self.tcp.connections.get(key) else {
            return;
        };
        if entry.connection.holds_early() && !entry.early {
            self.tcp.note_early(key);
        }
        let memory = &self.tcp.memory;
        let peak = &mut self.stats.tcp.memory_peak;
        *peak = memory.used.max(*peak);
        if memory.used > self.config.tcp_memory.pressure || memory.supply != Supply::Ample {
            self.relieve(now);
        }
    }

    /// Forgets what a connection holds that goes.
    pub(super) fn discharge(&mut self, entry: &Entry) {
        self.tcp.memory.used -= u64::from(entry.charged);
        if self.tcp.memory.supply != Supply::Ample {
            self.note_supply();
        }
    }

    /// Finds how much is left, and takes back what can be.
    #[cold]
    fn relieve(&mut self, now: Instant) {
        self.note_supply();
        let bounds = self.config.tcp_memory;
        while self.tcp.memory.used > bounds.pressure
            && let Some(gone) = self.tcp.prune_first()
        {
            self.stats.tcp.pruned += 1;
            self.stats.tcp.pruned_bytes += u64::from(gone);
        }
        while self.tcp.memory.used >= bounds.spent()
            && let Some(key) = self.tcp.first_orphan()
        {
            if let Some(entry) = self.tcp.connections.get_mut(key) {
                entry.connection.abort(now);
            }
            self.stats.tcp.orphans_reset += 1;
            // Counted before: there is nothing left to account for.
            self.tcp.recount(key);
            self.refresh(now, key);
        }
        self.note_supply();
    }

    fn note_supply(&mut self) {
        let bounds = self.config.tcp_memory;
        let memory = &mut self.tcp.memory;
        let was = memory.supply;
        memory.supply = match memory.used {
            used if used >= bounds.gone() => Supply::Gone,
            used if used >= bounds.spent() => Supply::Spent,
            used if used > bounds.pressure => Supply::Scarce,
            used if used < bounds.low => Supply::Ample,
            // Between the two as before.
            _ => was.min(Supply::Scarce),
        };
        if was == Supply::Ample && memory.supply != was {
            self.stats.tcp.memory_pressures += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Slab;

    #[test]
    fn a_line_is_no_longer_than_what_is_in_it_allows() {
        let (mut line, mut all) = (Line::default(), Slab::new(1000));
        let first = all.insert(()).unwrap();
        line.push(first, all.len(), |_| true);
        for _ in 0..10_000 {
            let key = all.insert(()).unwrap();
            line.push(key, all.len(), |key| all.get(key).is_some());
            all.remove(key);
            assert!(line.len() <= 2 * 2 + 65, "{}", line.len());
        }
        assert_eq!(line.pop(), Some(first), "who stays keeps his place");
    }
}
