//! Frames that have left the transmitter, in the order in which they arrive.
//!
//! ```text
//!   arrives no earlier than the last -->  row    first in, first out
//!   arrives earlier                  -->  heap   of (arrival, number, place)
//! ```

use super::ledger::Packet;
use crate::frame::Frame;
use crate::time::{Instant, earliest};
use alloc::collections::{BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Ordered by arrival, and by the order of sending where that is equal.
#[derive(Clone, Debug, Default)]
pub(super) struct Flight {
    row: VecDeque<(Instant, u64, Packet)>,
    heap: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    /// What the heap's places hold: moving keys in a heap is cheaper than moving frames.
    places: Vec<Option<Packet>>,
    free: Vec<usize>,
    next: u64,
    bytes: u64,
}

impl Flight {
    pub(super) fn len(&self) -> usize {
        self.row.len() + self.heap.len()
    }

    /// Bytes of its frames.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next arrival.
    #[inline]
    pub(super) fn next_arrival(&self) -> Option<Instant> {
        let row = self.row.front().map(|first| first.0);
        if self.heap.is_empty() {
            return row;
        }
        earliest(row, self.heap.peek().map(|Reverse(first)| first.0))
    }

    #[inline]
    pub(super) fn push(&mut self, arrival: Instant, packet: Packet) {
        let number = self.next;
        self.next += 1;
        self.bytes += len64(&packet.frame);
        if self.row.back().is_none_or(|last| last.0 <= arrival) {
            self.row.push_back((arrival, number, packet));
        } else {
            self.push_out_of_order(arrival, number, packet);
        }
    }

    #[inline(never)]
    fn push_out_of_order(&mut self, arrival: Instant, number: u64, packet: Packet) {
        let place = self.free.pop().unwrap_or(self.places.len());
        match self.places.get_mut(place) {
            Some(room) => *room = Some(packet),
            None => self.places.push(Some(packet)),
        }
        self.heap.push(Reverse((arrival, number, place)));
    }

    /// The next frame, if it has arrived by `now`.
    #[inline]
    pub(super) fn pop(&mut self, now: Instant) -> Option<Packet> {
        let row = self.row.front().map(|first| (first.0, first.1));
        if !self.heap.is_empty() {
            let heap = self.heap.peek().map(|Reverse(first)| (first.0, first.1));
            if row.is_none_or(|row| heap < Some(row)) {
                return self.pop_out_of_order(now);
            }
        }
        if row?.0 > now {
            return None;
        }
        let (_, _, packet) = self.row.pop_front()?;
        self.bytes -= len64(&packet.frame);
        Some(packet)
    }

    #[inline(never)]
    fn pop_out_of_order(&mut self, now: Instant) -> Option<Packet> {
        let Reverse((arrival, _, place)) = *self.heap.peek()?;
        if arrival > now {
            return None;
        }
        self.heap.pop();
        self.free.push(place);
        let packet = self.places.get_mut(place)?.take()?;
        self.bytes -= len64(&packet.frame);
        Some(packet)
    }

    /// Takes out what has not arrived by `now`.
    pub(super) fn cut(&mut self, now: Instant) -> Vec<Packet> {
        let mut all = core::mem::take(self);
        self.next = all.next;
        let mut lost = Vec::new();
        while let Some(arrival) = all.next_arrival() {
            let Some(packet) = all.pop(arrival) else {
                break;
            };
            if arrival <= now {
                self.push(arrival, packet);
            } else {
                lost.push(packet);
            }
        }
        lost
    }
}

pub(super) fn len64(frame: &Frame) -> u64 {
    u64::try_from(frame.len()).unwrap_or(u64::MAX)
}
