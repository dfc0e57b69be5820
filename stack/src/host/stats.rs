//! The host's counters, and the law that ties them together.

use crate::machine::{Consumer, Fate};
use crate::reason::DropReason;

/// What all connections have done together (RFC 4022 has most of it). A super-segment counts as the
/// segments it stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpStats {
    /// Segments for connections and listeners.
    pub segments_in: u64,
    /// Segments of connections.
    pub segments_out: u64,
    /// Of these sent again, or to probe.
    pub retransmitted: u64,
    /// Connections opened by us.
    pub active_opens: u64,
    /// Connections opened by peers, as far as a SYN that was answered.
    pub passive_opens: u64,
    /// Connections of these that became open, and waited to be accepted.
    pub accepted: u64,
    /// The most connections in any state that there were at once.
    pub connections_peak: u64,
    /// The most half-open connections of one listener that there were at once.
    pub half_open_peak: u64,
    /// Resets received for connections.
    pub resets_in: u64,
    /// Resets sent by connections; those for no connection are in
    /// [`Stats::resets_to_strangers_out`].
    pub resets_of_connections_out: u64,
    /// SYNs and acknowledgments dropped since too many waited to be accepted.
    pub backlog_overflows: u64,
    /// SYNs dropped since too many connections were half open.
    pub syn_overflows: u64,
    /// SYNs answered by a cookie.
    pub cookies_sent: u64,
    /// Connections opened by a cookie.
    pub cookies_accepted: u64,
    /// Acknowledgments that were no cookie, where one might have come.
    pub cookies_failed: u64,
    /// Connections opened by data in a SYN with a good Fast Open cookie.
    pub fast_opens: u64,
    /// SYNs whose Fast Open option was ignored since too many such connections were half open.
    pub fast_open_overflows: u64,
    /// Connections opened by us on which Fast Open was asked for and did not work.
    pub fast_opens_refused: u64,
    /// Connections in TIME-WAIT that had to go before their time.
    pub time_wait_evicted: u64,
    /// Connections in TIME-WAIT whose ends were used again (RFC 6191).
    pub time_wait_reused: u64,
    /// Times that a next hop was doubted, since a connection's peer did not answer.
    pub doubts: u64,
    /// Connections reset since too many were left to close by themselves, or they held memory that
    /// there was none of.
    pub orphans_reset: u64,
    /// Times that all connections together came to hold more than the bound of
    /// [`pressure`](super::TcpMemory::pressure).
    pub memory_pressures: u64,
    /// Times that what a connection held out of order was given up for that.
    pub pruned: u64,
    /// Bytes of that.
    pub pruned_bytes: u64,
    /// The most bytes that all connections held together.
    pub memory_peak: u64,
}

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
    pub resets_to_strangers_out: u64,
    /// TCP.
    pub tcp: TcpStats,
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
            resets_to_strangers_out: 0,
            tcp: TcpStats::default(),
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
