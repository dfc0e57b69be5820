//! HyStart++: slow start that stops when the delay rises, before the queue overflows.
//!
//! ```text
//!                min RTT of the round >= last round's + eta
//!   Slow start -----------------------------------------------> Conservative slow start
//!       ^                                                        (a quarter of the growth)
//!       |      min RTT below what it was at entry                 |          |
//!       +---------------------------------------------------------+          | CSS_ROUNDS
//!                                                                            v
//!   loss, mark, timeout ---------------------------------------------------> Done
//! ```
//!
//! Read first: RFC 9406 §4.2, §4.3.
//!
//! On a queue deeper than the path this ends late, and is meant to: the rise shows in the round that
//! begins with a standing queue, when the window is twice the path's product; five rounds of a
//! quarter more each make that up to six times. Older HyStart stops at once, and is misled by jitter.
//!
//! Promises: rounds are counted by bytes delivered, so that neither retransmissions nor sequence
//! wrap disturb them. Only the first slow start is watched; the window knows which that is.
//!
//! Left out: the ACK-train half of the older HyStart, which pacing and joined frames mislead.

use super::Ack;
use crate::time::Duration;

/// RFC 9406 §4.3: a rise smaller than this is noise.
const MIN_RTT_THRESH: u32 = 4_000;
/// RFC 9406 §4.3: a rise larger than this is never noise.
const MAX_RTT_THRESH: u32 = 16_000;
/// RFC 9406 §4.3: between the two, an eighth of the round-trip time.
const MIN_RTT_DIVISOR: u32 = 8;
/// RFC 9406 §4.3: samples a round needs before it is judged.
const N_RTT_SAMPLE: u8 = 8;
/// RFC 9406 §4.3: growth in conservative slow start, as a part of slow start's.
pub const CSS_GROWTH_DIVISOR: u32 = 4;
/// RFC 9406 §4.3: rounds in conservative slow start before congestion avoidance.
const CSS_ROUNDS: u8 = 5;
/// No sample yet.
const INFINITY: u32 = u32::MAX;

/// Where a first slow start stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Doubling each round.
    SlowStart,
    /// The delay rose: growing slower, to see whether it was noise.
    Conservative,
    /// Over, for good.
    Done,
}

/// The delay of a first slow start, round by round; times in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct HyStart {
    mark: u64,
    last_round_min_rtt: u32,
    current_round_min_rtt: u32,
    css_baseline_min_rtt: u32,
    rtt_sample_count: u8,
    css_rounds: u8,
    phase: Phase,
}

impl HyStart {
    /// Watches from now on, or (`enabled` false) never.
    #[must_use]
    pub const fn new(enabled: bool) -> Self {
        Self {
            mark: 0,
            last_round_min_rtt: INFINITY,
            current_round_min_rtt: INFINITY,
            css_baseline_min_rtt: INFINITY,
            rtt_sample_count: 0,
            css_rounds: 0,
            phase: if enabled {
                Phase::SlowStart
            } else {
                Phase::Done
            },
        }
    }

    /// Where it stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether growth is to be divided by [`CSS_GROWTH_DIVISOR`].
    #[must_use]
    pub fn is_conservative(&self) -> bool {
        self.phase == Phase::Conservative
    }

    /// An ACK in the first slow start. True: the capacity is found, congestion avoidance begins.
    #[must_use]
    pub fn on_ack(&mut self, ack: &Ack) -> bool {
        if self.phase == Phase::Done {
            return false;
        }
        if ack.prior_delivered >= self.mark {
            self.mark = ack.delivered;
            self.on_round();
        }
        if self.phase == Phase::Done {
            return true;
        }
        if let Some(rtt) = ack.rtt {
            self.current_round_min_rtt = self.current_round_min_rtt.min(micros(rtt));
            self.rtt_sample_count = self.rtt_sample_count.saturating_add(1);
        }
        if self.rtt_sample_count >= N_RTT_SAMPLE {
            self.judge();
        }
        false
    }

    fn on_round(&mut self) {
        self.last_round_min_rtt = self.current_round_min_rtt;
        self.current_round_min_rtt = INFINITY;
        self.rtt_sample_count = 0;
        if self.phase == Phase::Conservative {
            //= RFC 9406 §4.2 the round in which it began counts as one, though part of it was
            // slow start.
            self.css_rounds += 1;
            if self.css_rounds >= CSS_ROUNDS {
                self.phase = Phase::Done;
            }
        }
    }

    fn judge(&mut self) {
        let (current, last) = (self.current_round_min_rtt, self.last_round_min_rtt);
        match self.phase {
            Phase::SlowStart if current != INFINITY && last != INFINITY => {
                let thresh = (last / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                if current >= last.saturating_add(thresh) {
                    self.css_baseline_min_rtt = current;
                    self.css_rounds = 0;
                    self.phase = Phase::Conservative;
                }
            }
            //= RFC 9406 §4.2 the delay fell again: the exit was spurious, slow start resumes.
            Phase::Conservative if current < self.css_baseline_min_rtt => {
                self.css_baseline_min_rtt = INFINITY;
                self.phase = Phase::SlowStart;
            }
            _ => {}
        }
    }
}

/// Microseconds; 71 minutes and more are all the same.
fn micros(d: Duration) -> u32 {
    u32::try_from(d.as_micros()).unwrap_or(INFINITY - 1)
}
