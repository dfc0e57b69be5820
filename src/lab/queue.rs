//! What happens next: events ordered by time, and among equals by when they were planned.
//!
//! ```text
//!   plan(at, what) --> heap of (at, seq, what) --> pop: the smallest
//! ```
//!
//! Promises: the order depends on nothing but the order of the calls, so that two runs of one seed
//! agree. The queue grows with what is planned: a wire or a node has one live entry at a time, and
//! entries that were overtaken by an earlier one are thrown away when they come up.

use stack::time::Instant;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// One direction of a wire has a departure or an arrival.
    Lane(u32),
    /// A node has a deadline.
    Node(u32),
    /// A line of the fault script begins, repeats or ends.
    Fault(u32),
    /// Nobody's: time moves this far.
    Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: Instant,
    seq: u64,
    what: What,
}

/// The event queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    seq: u64,
}

impl Queue {
    /// Plans `what` for `at`.
    #[inline]
    pub(super) fn plan(&mut self, at: Instant, what: What) {
        self.seq += 1;
        let seq = self.seq;
        self.heap.push(Reverse(Entry { at, seq, what }));
    }

    /// When the next event is.
    #[inline]
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(e)| e.at)
    }

    /// The next event.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<(Instant, What)> {
        self.heap.pop().map(|Reverse(e)| (e.at, e.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_times_keep_the_order_of_planning() {
        let mut queue = Queue::default();
        let t = Instant::from_nanos;
        for (at, n) in [(5, 0), (3, 1), (5, 2), (3, 3), (4, 4)] {
            queue.plan(t(at), What::Node(n));
        }
        let mut order = Vec::new();
        while let Some((_, What::Node(n))) = queue.pop() {
            order.push(n);
        }
        assert_eq!(order, [1, 3, 4, 0, 2]);
    }
}
