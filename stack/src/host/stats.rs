//! The host's counters, and the law that ties them together.

use crate::machine::{Consumer, Fate};
use crate::reason::DropReason;

/// Counters of a host. At every moment
/// `frames_in + looped = delivered + forwarded + held + Σ dropped_in`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Frames handed to the host.
    pub frames_in: u64,
    /// Packets that the host sent to itself.
    pub looped: u64,
    /// Frames consumed, by consumer.
    pub delivered: [u64; Consumer::COUNT],
    /// Packets accepted for another interface.
    pub forwarded: u64,
    /// Fragments that wait for others now.
    pub held: u64,
    /// Frames refused on the way in, by reason.
    pub dropped_in: [u64; DropReason::COUNT],
    /// Packets of ours, or accepted for forwarding, that were given up before they left.
    pub dropped_out: [u64; DropReason::COUNT],
    /// Frames handed to devices.
    pub frames_out: u64,
    /// Echo requests answered.
    pub echoes: u64,
    /// ICMP errors sent.
    pub icmp_errors_out: u64,
    /// ICMP errors received and handed to a socket.
    pub icmp_errors_in: u64,
    /// Redirects followed.
    pub redirects_in: u64,
    /// TCP resets sent for segments of no connection.
    pub resets_out: u64,
    /// Packets cut for a smaller MTU.
    pub fragmented: u64,
    /// Fragments made of them.
    pub fragments_out: u64,
    /// Datagrams put together again.
    pub reassembled: u64,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            frames_in: 0,
            looped: 0,
            delivered: [0; Consumer::COUNT],
            forwarded: 0,
            held: 0,
            dropped_in: [0; DropReason::COUNT],
            dropped_out: [0; DropReason::COUNT],
            frames_out: 0,
            echoes: 0,
            icmp_errors_out: 0,
            icmp_errors_in: 0,
            redirects_in: 0,
            resets_out: 0,
            fragmented: 0,
            fragments_out: 0,
            reassembled: 0,
        }
    }
}

impl Stats {
    /// Counts `n` frames that met `fate`.
    #[inline]
    pub(super) fn count(&mut self, fate: Fate, n: u64) {
        match fate {
            Fate::Delivered(consumer) => bump(&mut self.delivered, consumer.index(), n),
            Fate::Forwarded => self.forwarded += n,
            Fate::Held => self.held += n,
            Fate::Dropped(reason) => bump(&mut self.dropped_in, reason.index(), n),
        }
    }

    /// `n` held frames have met another fate.
    pub(super) fn settle(&mut self, fate: Fate, n: u64) {
        self.held -= n.min(self.held);
        self.count(fate, n);
    }

    /// Counts `n` packets that did not leave.
    #[inline]
    pub(super) fn drop_out(&mut self, reason: DropReason, n: u64) {
        bump(&mut self.dropped_out, reason.index(), n);
    }

    /// Frames refused on the way in for `reason`.
    #[must_use]
    pub fn dropped_in(&self, reason: DropReason) -> u64 {
        self.dropped_in.get(reason.index()).copied().unwrap_or(0)
    }

    /// Packets given up on the way out for `reason`.
    #[must_use]
    pub fn dropped_out(&self, reason: DropReason) -> u64 {
        self.dropped_out.get(reason.index()).copied().unwrap_or(0)
    }

    /// Whether every frame that came in is accounted for exactly once.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        let out = self.delivered.iter().sum::<u64>()
            + self.forwarded
            + self.held
            + self.dropped_in.iter().sum::<u64>();
        self.frames_in + self.looped == out
    }
}

#[inline]
fn bump(table: &mut [u64], at: usize, n: u64) {
    if let Some(counter) = table.get_mut(at) {
        *counter += n;
    }
}
