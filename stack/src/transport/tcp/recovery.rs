//! Two small parts of loss recovery: how fast to send while the window comes down, and what would
//! show that it need not have.
//!
//! Read first: RFC 6937 §3 (with the changes of draft-ietf-tcpm-prr-rfc6937bis), RFC 2883, RFC 3708,
//! RFC 4015.

use crate::wire::seq::SeqNum;

/// Proportional rate reduction: over one round trip, as many bytes leave as bring what is in flight
/// from what it was to the slow start threshold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prr {
    /// FlightSize when the episode began.
    recover_fs: u32,
    /// Delivered since.
    delivered: u32,
    /// Sent since.
    out: u32,
}

impl Prr {
    /// No episode.
    pub(super) const fn none() -> Self {
        Self {
            recover_fs: 1,
            delivered: 0,
            out: 0,
        }
    }

    pub(super) fn new(flight: u32) -> Self {
        Self {
            recover_fs: flight.max(1),
            delivered: 0,
            out: 0,
        }
    }

    pub(super) const fn sent(&self) -> u32 {
        self.out
    }

    pub(super) fn on_sent(&mut self, bytes: u32) {
        self.out = self.out.saturating_add(bytes);
    }

    /// How many bytes may be sent now. `progress`: the acknowledgment moved SND.UNA and found
    /// nothing more lost.
    pub(super) fn on_ack(
        &mut self,
        delivered: u32,
        progress: bool,
        in_flight: u32,
        ssthresh: u32,
        mss: u32,
    ) -> u32 {
        self.delivered = self.delivered.saturating_add(delivered);
        let room = if in_flight > ssthresh {
            //= RFC 6937 §3: CEIL(prr_delivered * ssthresh / RecoverFS) - prr_out
            let share = (u64::from(self.delivered) * u64::from(ssthresh))
                .div_ceil(u64::from(self.recover_fs));
            u32::try_from(share)
                .unwrap_or(u32::MAX)
                .saturating_sub(self.out)
        } else {
            // Conservative reduction bound; one segment more where things go well (6937bis).
            let bound = self.delivered.saturating_sub(self.out).max(delivered);
            let bound = if progress {
                bound.saturating_add(mss)
            } else {
                bound
            };
            bound.min(ssthresh - in_flight)
        };
        if self.out == 0 { room.max(mss) } else { room }
    }
}

/// What is kept about an episode to find out whether it was needless.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    /// SND.UNA when it began.
    marker: SeqNum,
    /// Bytes sent again that have not been reported as duplicates; `None` before the first.
    outstanding: Option<u32>,
    /// TSval of the first retransmission.
    stamp: Option<u32>,
}

impl Doubt {
    pub(super) const fn new(una: SeqNum) -> Self {
        Self {
            marker: una,
            outstanding: None,
            stamp: None,
        }
    }

    pub(super) fn on_resent(&mut self, bytes: u32, stamp: Option<u32>) {
        if self.outstanding.is_none() {
            self.stamp = stamp;
        }
        let outstanding = self.outstanding.get_or_insert(0);
        *outstanding = outstanding.saturating_add(bytes);
    }

    //= RFC 2883 §5 where all that was sent again arrived twice, none of it was lost (RFC 3708).
    pub(super) fn on_dsack(&mut self, left: SeqNum, right: SeqNum, una: SeqNum) {
        let within = left.at_or_after(self.marker) && right.at_or_before(una.later(right));
        if within && let Some(outstanding) = &mut self.outstanding {
            *outstanding = outstanding.saturating_sub(right.since(left));
        }
    }

    /// RFC 2883: both copies of all that was sent again have arrived.
    pub(super) fn all_duplicates(&self) -> bool {
        self.outstanding == Some(0)
    }

    /// RFC 3522: the acknowledgment answers what was sent before the first retransmission.
    pub(super) fn answered_original(&self, echo: u32, una: SeqNum) -> bool {
        una.after(self.marker)
            && self
                .stamp
                .is_some_and(|stamp| SeqNum(echo).before(SeqNum(stamp)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prr_sends_the_share_of_what_is_delivered() {
        //= RFC 6937 §3
        // RFC 6937 §4's setting: 20 segments in flight, one lost, ssthresh 10: each second
        // acknowledgment sends one.
        let mut prr = Prr::new(20_000);
        let mut sent = 0;
        let mut in_flight = 19_000;
        for _ in 0..19 {
            in_flight -= 1000;
            let room = prr.on_ack(1000, false, in_flight, 10_000, 1000);
            let send = room / 1000 * 1000;
            prr.on_sent(send);
            in_flight += send;
            sent += send;
        }
        assert_eq!((sent, in_flight), (10_000, 10_000));
        // Nothing left in flight but little: no burst, at most what was delivered and one more.
        let mut prr = Prr::new(20_000);
        prr.on_sent(1000);
        assert_eq!(prr.on_ack(1000, false, 2000, 10_000, 1000), 1000);
        assert_eq!(prr.on_ack(1000, true, 2000, 10_000, 1000), 2000);
    }

    #[test]
    fn doubts_are_settled_by_duplicates_or_timestamps() {
        let mut doubt = Doubt::new(SeqNum(100));
        assert!(!doubt.all_duplicates());
        doubt.on_resent(1000, Some(50));
        doubt.on_resent(1000, Some(60));
        doubt.on_dsack(SeqNum(100), SeqNum(1100), SeqNum(3100));
        assert!(!doubt.all_duplicates());
        doubt.on_dsack(SeqNum(1100), SeqNum(2100), SeqNum(3100));
        assert!(doubt.all_duplicates());
        assert!(doubt.answered_original(49, SeqNum(101)));
        assert!(!doubt.answered_original(50, SeqNum(101)));
        assert!(!doubt.answered_original(49, SeqNum(100)));
    }
}
