//! What Reno and CUBIC share: the window, its threshold, slow start, idleness and undo.
//!
//! ```text
//!      cwnd < ssthresh         cwnd >= ssthresh
//!   slow start (here) --> congestion avoidance (Reno, CUBIC)
//!        ^                       |
//!        +---- timeout ----------+---- loss, mark --> ssthresh, cwnd by PRR
//! ```
//!
//! Read first: RFC 5681 §3.1 and §4.1, RFC 3465 §2, RFC 2861 §2, RFC 6928 §2.
//!
//! Promises: `cwnd` is at least one segment; `undo` never lowers anything.
//!
//! Left out: RFC 7661's pipeACK. The window does not grow unless it is used ([`Window::may_grow`])
//! and decays over idle time as RFC 2861 has it, which is what Linux does.

use super::hystart::{CSS_GROWTH_DIVISOR, HyStart};
use super::{Ack, Congestion, saturate};
use crate::time::{Duration, nanos};

/// Which episode lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Episode {
    /// None.
    Open,
    /// Fast recovery, or the window's reduction on a mark: PRR has the window.
    Recovery,
    /// After a timeout: slow start from the loss window.
    Loss,
}

/// A congestion window with its threshold, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The congestion window.
    pub cwnd: u32,
    /// The slow start threshold; `u32::MAX` before the first congestion.
    pub ssthresh: u32,
    /// A full segment.
    pub mss: u32,
    /// The initial window.
    pub initial: u32,
    /// RFC 3465's L: segments one ACK may count for in slow start.
    pub limit: u32,
    /// Which episode lasts.
    pub episode: Episode,
    prior_cwnd: u32,
    prior_ssthresh: u32,
    hystart: HyStart,
}

impl Window {
    /// The window of a new connection.
    #[must_use]
    pub fn new(mss: u32, initial: u32, hystart: bool) -> Self {
        let mss = mss.max(1);
        Self {
            cwnd: initial.max(mss),
            ssthresh: u32::MAX,
            mss,
            initial: initial.max(mss),
            // We differ: RFC 3465 §2.2, §2.3 have L = 2 at most, and §3.2 L = 1 after a timeout. Linux
            // sets no limit, since an ACK may stand for a joined frame's worth of segments; nor has
            // RFC 9406 §4.3 for a sender that paces, and eight segments for one that does not, as
            // ours unless it is asked to.
            limit: u32::MAX,
            episode: Episode::Open,
            prior_cwnd: 0,
            prior_ssthresh: 0,
            hystart: HyStart::new(hystart),
        }
    }

    /// Whether slow start governs.
    #[must_use]
    pub const fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// Whether this ACK may grow the window at all.
    #[must_use]
    pub fn may_grow(&self, ack: &Ack) -> bool {
        //= RFC 3042 §2 nor do duplicates grow it, whatever they say of blocks.
        // Where reordering is usual they are no sign of loss, and as good as others.
        let news = ack.cumulative > 0 || ack.reordered;
        if ack.acked == 0 || !news || self.episode == Episode::Recovery {
            return false;
        }
        // After a timeout the connection may still call it recovery; slow start runs all the same.
        if ack.in_recovery && self.episode != Episode::Loss {
            return false;
        }
        //= RFC 9438 §5.8 a window that is not used does not grow. Pacing keeps a doubling window
        // from being full at every ACK, so in slow start half of it in use within the round trip
        // counts, as in Linux.
        ack.cwnd_limited
            || (self.in_slow_start() && self.cwnd < ack.peak_in_flight.saturating_mul(2))
    }

    /// Grows by slow start and returns the bytes that are left for congestion avoidance.
    pub fn slow_start(&mut self, ack: &Ack) -> u32 {
        //= RFC 9406 §4.2 only the first slow start is watched, while no threshold is known.
        let first = self.ssthresh == u32::MAX;
        if first && self.hystart.on_ack(ack) {
            //= RFC 9406 §4.2 after CSS_ROUNDS, ssthresh is the window and avoidance begins.
            self.ssthresh = self.cwnd;
            return ack.acked;
        }
        //= RFC 3465 §2.1 slow start grows by the bytes acknowledged, limited to L segments.
        let mut growth = ack.acked.min(self.limit.saturating_mul(self.mss));
        if first && self.hystart.is_conservative() {
            growth /= CSS_GROWTH_DIVISOR;
        }
        let before = self.cwnd;
        self.cwnd = self.cwnd.saturating_add(growth).min(self.ssthresh);
        growth - (self.cwnd - before)
    }

    /// An episode begins: the threshold falls to `ssthresh` and what was is kept for undo.
    ///
    /// RFC 5681 §3.2 takes the threshold from the flight size. We differ, as Linux does, and take
    /// it from the window (RFC 9438 §4.6 allows it to those whose window does not grow unused).
    pub fn reduce(&mut self, ssthresh: u32, event: Congestion) {
        match event {
            Congestion::Loss => self.keep(),
            //= RFC 3168 §6.1.2 a mark tells of congestion, whatever turns out about losses beside it.
            Congestion::Ecn => self.prior_cwnd = 0,
        }
        self.ssthresh = self.floor(ssthresh);
        // Where PRR governs it sets its own at once; where it does not, this is the reduction.
        self.cwnd = self.cwnd.min(self.ssthresh);
        self.episode = Episode::Recovery;
    }

    /// The timer fired. True: a new reduction; false: the threshold had fallen for this window
    /// already (a timeout amid fast recovery).
    pub fn timeout(&mut self, ssthresh: u32) -> bool {
        let anew = self.episode != Episode::Recovery;
        if anew {
            self.keep();
            self.ssthresh = self.floor(ssthresh);
        }
        //= RFC 5681 §3.1 after a timeout the window is the loss window: one full segment.
        self.cwnd = self.mss;
        self.episode = Episode::Loss;
        anew
    }

    /// The episode is over.
    pub fn exit(&mut self) {
        //= RFC 6937 §3.1 PRR ends with the window at the threshold.
        if self.episode == Episode::Recovery {
            self.cwnd = self.ssthresh.max(self.mss);
        }
        self.episode = Episode::Open;
    }

    /// The episode was spurious. True: the window was lower than before it, and is restored.
    pub fn undo(&mut self) -> bool {
        self.episode = Episode::Open;
        if self.prior_cwnd == 0 {
            return false;
        }
        let lower = self.cwnd < self.prior_cwnd;
        self.cwnd = self.cwnd.max(self.prior_cwnd);
        self.ssthresh = self.ssthresh.max(self.prior_ssthresh);
        self.prior_cwnd = 0;
        lower
    }

    /// Sending starts again after `idle`: half the window for each RTO, not below the initial one.
    pub fn restart(&mut self, idle: Duration, rto: Duration) {
        let rto = nanos(rto).max(1);
        let halvings = nanos(idle) / rto;
        if halvings == 0 {
            return;
        }
        //= RFC 2861 §2 the threshold remembers three quarters of the window that was.
        let remembered = saturate(u64::from(self.cwnd) * 3 / 4);
        if self.ssthresh != u32::MAX {
            self.ssthresh = self.ssthresh.max(remembered);
        }
        //= RFC 5681 §4.1 after an RTO of silence, no more than the restart window min(IW, cwnd).
        let restart_window = self.initial.min(self.cwnd);
        let halved = u32::try_from(halvings)
            .ok()
            .and_then(|n| self.cwnd.checked_shr(n))
            .unwrap_or(0);
        self.cwnd = halved.max(restart_window);
    }

    /// Segments now carry `mss` bytes. A window nothing has moved yet is counted in segments.
    pub fn set_mss(&mut self, mss: u32) {
        let mss = mss.max(1);
        let initial = saturate(u64::from(self.initial) * u64::from(mss) / u64::from(self.mss));
        if self.cwnd == self.initial && self.ssthresh == u32::MAX {
            self.cwnd = initial;
        }
        self.initial = initial.max(mss);
        self.mss = mss;
        self.cwnd = self.cwnd.max(mss);
    }

    /// PRR's word, taken while fast recovery lasts.
    pub fn set(&mut self, cwnd: u32) {
        self.cwnd = cwnd.max(self.mss);
    }

    fn keep(&mut self) {
        self.prior_cwnd = self.cwnd;
        self.prior_ssthresh = self.ssthresh;
    }

    //= RFC 5681 §3.1 the threshold is never below two segments.
    fn floor(&self, ssthresh: u32) -> u32 {
        ssthresh.max(self.mss.saturating_mul(2))
    }
}
