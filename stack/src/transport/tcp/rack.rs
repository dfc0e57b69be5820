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
    /// Number of its transmission.
    nth: SeqNum,
    /// Its round trip.
    pub(super) rtt: Duration,
    /// The highest number delivered.
    fack: Option<SeqNum>,
    dsack_round: Option<SeqNum>,
    reo_wnd_mult: u8,
    reo_wnd_persist: u8,
    pub(super) reordering_seen: bool,
    /// Bytes between the highest number delivered and one that was delivered after it, at most.
    pub(super) reordered: u32,
    /// Acknowledgments that have shown such.
    pub(super) events: u16,
    /// The acknowledgment that is looked at does.
    late: bool,
}

impl Rack {
    pub(super) const fn new() -> Self {
        Self {
            xmit_ts: Instant::ZERO,
            end_seq: SeqNum(0),
            nth: SeqNum(0),
            rtt: Duration::ZERO,
            fack: None,
            dsack_round: None,
            reo_wnd_mult: 1,
            reo_wnd_persist: 0,
            reordering_seen: false,
            reordered: 0,
            events: 0,
            late: false,
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
                let late = sent.end.before(fack) && !again;
                self.reordering_seen |= late;
                if late {
                    self.reordered = self.reordered.max(fack.since(sent.seq));
                    self.late = true;
                }
            }
            _ => self.fack = Some(sent.end),
        }
        let rtt = now.since(sent.at);
        //= RFC 8985 §6.2 step 2: of a retransmission only what cannot be the original's is used.
        if again && (older || min_rtt.is_some_and(|min| rtt < min)) {
            return;
        }
        self.rtt = rtt;
        if self.is_later(sent) {
            self.xmit_ts = sent.at;
            self.nth = sent.nth;
            self.end_seq = sent.end;
        }
    }

    /// All that one acknowledgment delivers has been told.
    pub(super) fn end_ack(&mut self) {
        self.events = self.events.saturating_add(u16::from(self.late));
        self.late = false;
    }

    /// Whether a segment was sent after the newest that was delivered.
    fn is_later(&self, sent: &Sent) -> bool {
        // We differ: of what was sent at one instant, RFC 8985 §6.2 takes the higher number for the
        // later, which is wrong where new data went before a retransmission. Transmissions are
        // counted; only pieces of one are told apart by their numbers.
        let tie = sent.nth.after(self.nth) || sent.nth == self.nth && sent.end.after(self.end_seq);
        sent.at > self.xmit_ts || sent.at == self.xmit_ts && tie
    }

    //= RFC 8985 §3.3.2 the window grows with each round of duplicates, and shrinks after sixteen
    //= recoveries.
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
        let itself = self.nth == sent.nth && self.end_seq == sent.end;
        let before = self.xmit_ts >= sent.at && !itself && !self.is_later(sent);
        before.then(|| sent.at + self.rtt + reo_wnd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_instant_what_was_sent_first_is_lost_first() {
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        let sent = |seq: u32, nth, marks| Sent {
            seq: SeqNum(seq),
            end: SeqNum(seq + 100),
            at: at(200),
            delivered: 0,
            delivered_at: at(200),
            first_at: at(200),
            nth: SeqNum(nth),
            marks,
        };
        let (again, new) = (Marks::RETRANSMITTED, Marks::NONE);
        let zero = Duration::ZERO;
        let mut rack = Rack::new();
        // 900 was sent first, and 100 again at once after it; 200 again before it.
        rack.on_delivered(at(300), &sent(900, 7, new), false, Some(at(100) - at(0)));
        assert_eq!(rack.lost_at(&sent(100, 8, again), zero), None);
        assert_eq!(rack.lost_at(&sent(200, 6, again), zero), Some(at(300)));
        // Of one transmission the pieces before.
        assert_eq!(rack.lost_at(&sent(800, 7, new), zero), Some(at(300)));
        assert_eq!(rack.lost_at(&sent(1000, 7, new), zero), None);
        assert_eq!(rack.lost_at(&sent(900, 7, new), zero), None);
    }
}
