//! Which segments are lost, told by time: if one sent later has been delivered, and the reordering
//! window has passed.
//!
//! ```text
//!   sent    1   2   3   4   5                       time -->
//!               x           |-- RACK.rtt --> delivered
//!               |-- RACK.rtt --|-- reo_wnd --> 2 is lost
//! ```
//!
//! Read first: RFC 8985 §6.2.
//!
//! Promises: a segment that is only late by less than the reordering window is not sent again; the
//! window grows with each round trip that reports duplicates, and shrinks after sixteen recoveries.

use super::scoreboard::{Marks, Sent};
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNum;

/// RFC 8985 §6.2 step 4: recoveries for which a grown window holds.
const PERSIST: u8 = 16;

/// RACK's variables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rack {
    /// When the newest delivered segment was sent, and where it ended.
    pub(super) xmit_ts: Instant,
    end_seq: SeqNum,
    /// Its round trip.
    pub(super) rtt: Duration,
    /// The highest number delivered.
    fack: Option<SeqNum>,
    dsack_round: Option<SeqNum>,
    reo_wnd_mult: u8,
    reo_wnd_persist: u8,
    pub(super) reordering_seen: bool,
}

impl Rack {
    pub(super) const fn new() -> Self {
        Self {
            xmit_ts: Instant::ZERO,
            end_seq: SeqNum(0),
            rtt: Duration::ZERO,
            fack: None,
            dsack_round: None,
            reo_wnd_mult: 1,
            reo_wnd_persist: 0,
            reordering_seen: false,
        }
    }

    /// Steps 2 and 3 for one segment that was newly delivered. `older` says that the timestamp
    /// echoed is older than its last transmission.
    pub(super) fn on_delivered(
        &mut self,
        now: Instant,
        sent: &Sent,
        older: bool,
        min_rtt: Option<Duration>,
    ) {
        let again = sent.marks.has(Marks::RETRANSMITTED);
        match self.fack {
            Some(fack) if !sent.end.after(fack) => {
                self.reordering_seen |= sent.end.before(fack) && !again;
            }
            _ => self.fack = Some(sent.end),
        }
        let rtt = now.since(sent.at);
        //= RFC 8985 §6.2 step 2: of a retransmission only what cannot be the original's is used.
        if again && (older || min_rtt.is_some_and(|min| rtt < min)) {
            return;
        }
        self.rtt = rtt;
        let newer =
            sent.at > self.xmit_ts || sent.at == self.xmit_ts && sent.end.after(self.end_seq);
        if newer {
            self.xmit_ts = sent.at;
            self.end_seq = sent.end;
        }
    }

    /// Step 4, the part that adapts to duplicates.
    pub(super) fn on_dsack(&mut self, una: SeqNum, nxt: SeqNum, dsack: bool) {
        if self.dsack_round.is_some_and(|round| una.at_or_after(round)) {
            self.dsack_round = None;
        }
        if dsack && self.dsack_round.is_none() {
            self.dsack_round = Some(nxt);
            self.reo_wnd_mult = self.reo_wnd_mult.saturating_add(1);
            self.reo_wnd_persist = PERSIST;
        }
    }

    /// A recovery is over.
    pub(super) fn on_recovered(&mut self) {
        self.reo_wnd_persist = self.reo_wnd_persist.saturating_sub(1);
        if self.reo_wnd_persist == 0 {
            self.reo_wnd_mult = 1;
        }
    }

    /// The reordering window; `certain` while nothing has been seen reordered and losses are: in a
    /// recovery, or with three segments delivered out of order.
    pub(super) fn reo_wnd(
        &self,
        certain: bool,
        min_rtt: Option<Duration>,
        srtt: Option<Duration>,
    ) -> Duration {
        if !self.reordering_seen && certain {
            return Duration::ZERO;
        }
        let quarter = min_rtt.unwrap_or_default() / 4;
        let grown = quarter * u32::from(self.reo_wnd_mult);
        grown.min(srtt.unwrap_or(grown))
    }

    /// Step 5 for one segment: whether it was sent before the newest that was delivered, and when
    /// it is to be taken for lost.
    pub(super) fn lost_at(&self, sent: &Sent, reo_wnd: Duration) -> Option<Instant> {
        let before =
            self.xmit_ts > sent.at || self.xmit_ts == sent.at && self.end_seq.after(sent.end);
        before.then(|| sent.at + self.rtt + reo_wnd)
    }
}
