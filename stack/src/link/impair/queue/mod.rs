//! What waits for a transmitter: a queue of frames, and who of them goes next.
//!
//! ```text
//!   send --refuses?--push--> | | | | | --pop(now)--> transmitter
//!                              \--> dropped: no room, or too long in the queue (CoDel)
//! ```

pub mod codel;
mod drop_tail;
pub mod fq_codel;

use super::ecn;
use super::ledger::{Ledger, Marks, Packet};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// The queue in front of a transmitter. It holds only what waits: a frame that is being sent is in
/// flight.
#[derive(Clone, Debug, PartialEq)]
pub enum Queue {
    /// First in, first out; what comes to a full queue is dropped.
    DropTail {
        /// Frames that may wait.
        packets: Option<u32>,
        /// Bytes that may wait.
        bytes: Option<u64>,
        /// A frame that finds so many waiting is marked "congestion experienced", if its transport
        /// knows what that means (RFC 3168 §5). One that is sent at once found no queue.
        mark: Option<u32>,
    },
    /// Controlled delay (RFC 8289).
    Codel(codel::Config),
    /// Flow queues, each with controlled delay (RFC 8290).
    FqCodel(fq_codel::Config),
}

impl Default for Queue {
    /// Drop-tail, 1000 frames: Linux's default `txqueuelen`.
    fn default() -> Self {
        Self::DropTail {
            packets: Some(1000),
            bytes: None,
            mark: None,
        }
    }
}

impl Queue {
    /// Why it cannot be meant as it is.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let (packets, codel, fair) = match self {
            Self::DropTail {
                packets,
                bytes: Some(0),
                ..
            } if *packets != Some(0) => return Some("a queue of 0 bytes holds nothing"),
            Self::DropTail { packets, .. } => (*packets, None, None),
            Self::Codel(c) => (Some(c.packets), Some(c.interval), None),
            Self::FqCodel(c) => (Some(c.packets), Some(c.interval), Some(c)),
        };
        if packets == Some(0) {
            Some("a queue of 0 packets holds nothing")
        } else if codel.is_some_and(|interval| interval.is_zero()) {
            Some("an interval of 0 never ends")
        } else if fair.is_some_and(|c| c.flows == 0) {
            Some("0 flows have no queue")
        } else if fair.is_some_and(|c| c.quantum == 0) {
            Some("a quantum of 0 bytes sends nothing")
        } else {
            None
        }
    }
}

/// Frames in a row, and their bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Fifo {
    packets: VecDeque<Packet>,
    bytes: u64,
}

impl Fifo {
    fn push(&mut self, packet: Packet) {
        self.bytes += len(&packet);
        self.packets.push_back(packet);
    }

    fn pop(&mut self) -> Option<Packet> {
        let packet = self.packets.pop_front()?;
        self.bytes -= len(&packet);
        Some(packet)
    }

    fn len(&self) -> usize {
        self.packets.len()
    }
}

fn len(packet: &Packet) -> u64 {
    u64::try_from(packet.frame.len()).unwrap_or(u64::MAX)
}

/// Marks a packet "congestion experienced", if its transport is capable of ECN.
fn mark(packet: &mut Packet, ledger: &mut Ledger) -> bool {
    let marked = ecn::mark(&mut packet.frame);
    if marked {
        packet.plan.marks |= Marks::CE;
        ledger.stats.marked += 1;
    }
    marked
}

/// A queue of any kind.
#[derive(Clone, Debug)]
pub(super) enum Waiting {
    DropTail(drop_tail::DropTail),
    Codel(Box<codel::Codel>),
    FqCodel(Box<fq_codel::FqCodel>),
}

impl Waiting {
    pub(super) fn new(config: &Queue, key: u64) -> Self {
        match config {
            Queue::DropTail {
                packets,
                bytes,
                mark,
            } => Self::DropTail(drop_tail::DropTail::new(*packets, *bytes, *mark)),
            Queue::Codel(config) => Self::Codel(codel::Codel::new(*config).into()),
            Queue::FqCodel(config) => Self::FqCodel(fq_codel::FqCodel::new(*config, key).into()),
        }
    }

    /// Frames that wait, and their bytes.
    #[inline]
    pub(super) fn depth(&self) -> (usize, u64) {
        match self {
            Self::DropTail(queue) => (queue.fifo.len(), queue.fifo.bytes),
            Self::Codel(queue) => (queue.fifo.len(), queue.fifo.bytes),
            Self::FqCodel(queue) => queue.depth(),
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.depth().0 == 0
    }

    /// The most that may wait: frames, bytes.
    pub(super) fn limits(&self) -> (Option<u32>, Option<u64>) {
        match self {
            Self::DropTail(queue) => queue.limits(),
            Self::Codel(queue) => (Some(queue.config.packets.max(1)), None),
            Self::FqCodel(queue) => (Some(queue.config.packets.max(1)), None),
        }
    }

    /// Whether one more frame of `len` bytes finds room without another being dropped for it.
    pub(super) fn has_room(&self, len: usize) -> bool {
        let (packets, bytes) = self.depth();
        let (max_packets, max_bytes) = self.limits();
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        max_packets.is_none_or(|max| u32::try_from(packets).is_ok_and(|n| n < max))
            && max_bytes.is_none_or(|max| bytes.saturating_add(len) <= max)
    }

    /// Whether a frame is turned away: flow queues take each, and drop from the fattest.
    pub(super) fn refuses(&self, len: usize) -> bool {
        !matches!(self, Self::FqCodel(_)) && !self.has_room(len)
    }

    /// Takes a packet that is not refused. `conversation` says whose it is.
    pub(super) fn push(&mut self, packet: Packet, conversation: u64, ledger: &mut Ledger) {
        match self {
            Self::DropTail(queue) => queue.push(packet, ledger),
            Self::Codel(queue) => queue.fifo.push(packet),
            Self::FqCodel(queue) => queue.push(packet, conversation, ledger),
        }
    }

    /// The next packet to send at `now`. `mtu` is the longest frame.
    pub(super) fn pop(&mut self, now: Instant, mtu: u64, ledger: &mut Ledger) -> Option<Packet> {
        match self {
            Self::DropTail(queue) => queue.fifo.pop(),
            Self::Codel(queue) => queue.pop(now, mtu, ledger),
            Self::FqCodel(queue) => queue.pop(now, mtu, ledger),
        }
    }

    /// Takes out the next packet whatever it is, to be moved or dropped.
    pub(super) fn take(&mut self) -> Option<Packet> {
        match self {
            Self::DropTail(queue) => queue.fifo.pop(),
            Self::Codel(queue) => queue.fifo.pop(),
            Self::FqCodel(queue) => queue.take(),
        }
    }
}
