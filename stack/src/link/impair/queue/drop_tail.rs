//! First in, first out, with a limit: what comes to a full queue is dropped.

use super::{Fifo, mark};
use crate::link::impair::ledger::{Ledger, Packet};

/// A queue limited by frames, by bytes, or by both.
#[derive(Clone, Debug)]
pub(in crate::link::impair) struct DropTail {
    pub(super) fifo: Fifo,
    packets: Option<u32>,
    bytes: Option<u64>,
    mark: Option<u32>,
}

impl DropTail {
    pub(super) fn new(packets: Option<u32>, bytes: Option<u64>, mark: Option<u32>) -> Self {
        Self {
            fifo: Fifo::default(),
            packets,
            bytes,
            mark,
        }
    }

    pub(super) const fn limits(&self) -> (Option<u32>, Option<u64>) {
        (self.packets, self.bytes)
    }

    pub(super) fn push(&mut self, mut packet: Packet, ledger: &mut Ledger) {
        let waiting = u32::try_from(self.fifo.len()).unwrap_or(u32::MAX);
        if self.mark.is_some_and(|threshold| waiting >= threshold) {
            mark(&mut packet, ledger);
        }
        self.fifo.push(packet);
    }
}
