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
    /// It was sent again.
    again: bool,
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
            again: false,
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
            self.again = again;
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
        // We differ: of what was sent at one instant, RFC 8985 §6.2 takes the higher number for the
        // later. A retransmission is not: it may follow new data of that instant, whose delivery
        // would then show it to be lost while it is still on its way.
        let later = |sent: &Sent| self.again || !sent.marks.has(Marks::RETRANSMITTED);
        let tie = self.xmit_ts == sent.at && self.end_seq.after(sent.end);
        let before = self.xmit_ts > sent.at || tie && later(sent);
        before.then(|| sent.at + self.rtt + reo_wnd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_data_of_the_same_instant_does_not_condemn_a_retransmission() {
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        let sent = |seq: u32, ms, marks| Sent {
            seq: SeqNum(seq),
            end: SeqNum(seq + 100),
            at: at(ms),
            delivered: 0,
            delivered_at: at(ms),
            first_at: at(ms),
            marks,
        };
        let (again, new) = (Marks::RETRANSMITTED, Marks::NONE);
        let mut rack = Rack::new();
        // 900 was sent first, and 100 again at once after it.
        rack.on_delivered(at(300), &sent(900, 200, new), false, Some(at(100) - at(0)));
        let zero = Duration::ZERO;
        assert_eq!(rack.lost_at(&sent(100, 200, again), zero), None);
        assert_eq!(rack.lost_at(&sent(800, 200, new), zero), Some(at(300)));
        assert_eq!(rack.lost_at(&sent(100, 199, again), zero), Some(at(299)));
        // Of two that were sent again, the higher number is the later.
        rack.on_delivered(at(310), &sent(950, 200, again), false, None);
        assert!(rack.lost_at(&sent(100, 200, again), zero).is_some());
    }
}
