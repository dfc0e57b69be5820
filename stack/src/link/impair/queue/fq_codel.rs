//! Flow queues with controlled delay: each flow waits behind its own frames only, and those that
//! send little go first.
//!
//! ```text
//!   arrival --> hash --> queue --not active--> new queues --credits used, or empty--> old queues
//!                                                 | head                                | head
//!   transmitter <-- CoDel <-----------------------+<-- when no new queue is left -------+
//! ```
//!
//! Read first: RFC 8290 §4 (its names are used), RFC 8289 §5.
//!
//! Promises: memory is allotted to queues that were used only; frames in all queues never exceed
//! the limit.
//!
//! Left out: decapsulation of tunnels before hashing (§4.1.1); a threshold for marks apart from the
//! target (§5.2.7).

use super::codel::{Control, Params};
use super::{Fifo, len};
use crate::link::impair::draw::{mix, scale};
use crate::link::impair::ledger::{Ledger, Packet};
use crate::reason::DropReason;
use crate::time::{Duration, Instant};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// How flows share a transmitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// CoDel's target. Default 5 ms (RFC 8290 §5.2.2).
    pub target: Duration,
    /// CoDel's interval. Default 100 ms (§5.2.1).
    pub interval: Duration,
    /// Frames that may wait in all queues, at least one. Default 10,240 (§5.2.3).
    pub packets: u32,
    /// Bytes that a queue may send in its turn. Default 1514 (§5.2.4).
    pub quantum: u32,
    /// Queues. Default 1024 (§5.2.5).
    pub flows: u16,
    /// Mark frames whose transport is capable of ECN instead of dropping them. Default true
    /// (§5.2.6).
    pub ecn: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
            packets: 10_240,
            quantum: 1514,
            flows: 1024,
            ecn: true,
        }
    }
}

/// The queues, and whose turn it is.
#[derive(Clone, Debug)]
pub(in crate::link::impair) struct FqCodel {
    pub(super) config: Config,
    key: u64,
    /// For each hash, one more than the place of its queue; empty until the first frame.
    places: Vec<u16>,
    /// Queues that were ever used.
    queues: Vec<FlowQueue>,
    new: VecDeque<usize>,
    old: VecDeque<usize>,
    packets: usize,
    bytes: u64,
}

#[derive(Clone, Debug, Default)]
struct FlowQueue {
    fifo: Fifo,
    control: Control,
    credits: i64,
    active: bool,
}

/// §4.1: at most so many are dropped at once.
const DROP_BATCH: usize = 64;

impl FqCodel {
    pub(super) fn new(config: Config, key: u64) -> Self {
        Self {
            config,
            key,
            places: Vec::new(),
            queues: Vec::new(),
            new: VecDeque::new(),
            old: VecDeque::new(),
            packets: 0,
            bytes: 0,
        }
    }

    pub(super) const fn depth(&self) -> (usize, u64) {
        (self.packets, self.bytes)
    }

    /// A queue that gets no quantum would never have its turn.
    fn quantum(&self) -> i64 {
        i64::from(self.config.quantum.max(1))
    }

    /// §4.1: enqueue.
    pub(super) fn push(&mut self, packet: Packet, conversation: u64, ledger: &mut Ledger) {
        let place = self.classify(conversation);
        let quantum = self.quantum();
        let Some(queue) = self.queues.get_mut(place) else {
            return ledger.lose(packet, DropReason::WireQueueFull);
        };
        self.packets += 1;
        self.bytes += len(&packet);
        queue.fifo.push(packet);
        if !queue.active {
            queue.active = true;
            queue.credits = quantum;
            self.new.push_back(place);
        }
        if u32::try_from(self.packets).is_ok_and(|n| n > self.config.packets.max(1)) {
            self.drop_from_fattest(ledger);
        }
    }

    /// The queue of a conversation, made where it is the first of its hash.
    fn classify(&mut self, conversation: u64) -> usize {
        let flows = self.config.flows.max(1);
        if self.places.is_empty() {
            self.places.resize(usize::from(flows), 0);
        }
        let hash = scale(mix(conversation ^ self.key), u64::from(flows));
        let slot = usize::try_from(hash).unwrap_or(0);
        match self.places.get(slot) {
            Some(place @ 1..) => usize::from(place - 1),
            _ => {
                let place = self.queues.len();
                self.queues.push(FlowQueue::default());
                if let (Some(slot), Ok(next)) =
                    (self.places.get_mut(slot), u16::try_from(place + 1))
                {
                    *slot = next;
                }
                place
            }
        }
    }

    /// §4.1: half of what the queue with the most bytes holds, from its head.
    fn drop_from_fattest(&mut self, ledger: &mut Ledger) {
        // The first of equals, so that it does not depend on how the search goes.
        let fattest = self.queues.iter_mut().rev().max_by_key(|q| q.fifo.bytes);
        let Some(queue) = fattest else {
            return;
        };
        let batch = (queue.fifo.len() / 2).clamp(1, DROP_BATCH);
        for _ in 0..batch {
            let Some(packet) = queue.fifo.pop() else {
                break;
            };
            self.packets -= 1;
            self.bytes -= len(&packet);
            ledger.lose(packet, DropReason::WireQueueFull);
        }
    }

    /// §4.2: dequeue.
    pub(super) fn pop(&mut self, now: Instant, mtu: u64, ledger: &mut Ledger) -> Option<Packet> {
        let params = Params {
            target: self.config.target,
            interval: self.config.interval,
            ecn: self.config.ecn,
            max_packet: mtu,
        };
        loop {
            let is_new = !self.new.is_empty();
            let list = if is_new { &mut self.new } else { &mut self.old };
            let place = *list.front()?;
            let quantum = i64::from(self.config.quantum.max(1));
            let queue = self.queues.get_mut(place)?;
            // We differ: §4.2 says "negative", and that this means a quantum or more was sent,
            // which is also so at zero.
            if queue.credits <= 0 {
                queue.credits += quantum;
                list.pop_front();
                self.old.push_back(place);
                continue;
            }
            let (packets, bytes) = (queue.fifo.len(), queue.fifo.bytes);
            let packet = queue.control.dequeue(now, &params, &mut queue.fifo, ledger);
            self.packets -= packets - queue.fifo.len();
            self.bytes -= bytes - queue.fifo.bytes;
            if let Some(packet) = packet {
                queue.credits -= i64::try_from(len(&packet)).unwrap_or(i64::MAX);
                return Some(packet);
            }
            list.pop_front();
            if is_new {
                // Else it could come back as a new one before the old had their turn.
                self.old.push_back(place);
            } else {
                queue.active = false;
            }
        }
    }

    /// Takes out a packet from the first queue that has one.
    pub(super) fn take(&mut self) -> Option<Packet> {
        let packet = self.queues.iter_mut().find_map(|q| q.fifo.pop())?;
        self.packets -= 1;
        self.bytes -= len(&packet);
        Some(packet)
    }
}
