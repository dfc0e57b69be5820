//! Reno: one segment more each round trip, half the window on a loss.
//!
//! ```text
//!   cwnd     /|    /|    /
//!          /  |  /  |  /      halved on a loss (by PRR, over a round trip)
//!        /    |/    |/
//!      _/ slow start, then a line
//! ```
//!
//! Read first: RFC 5681 §3, RFC 3465 §2.1.
//!
//! Promises: those of [`Window`].
//!
//! Left out: RFC 5681's inflation of the window by duplicate ACKs; SACK, or NewReno in recovery,
//! and PRR do that better.

use super::window::Window;
use super::{Ack, Congestion, Controller};
use crate::time::{Duration, Instant};

/// The controller of RFC 5681 with byte counting.
#[derive(Clone, Debug)]
pub struct Reno {
    window: Window,
    /// Bytes acknowledged since the window last grew in congestion avoidance.
    bytes_acked: u32,
}

impl Reno {
    /// For a new connection.
    #[must_use]
    pub fn new(mss: u32, initial_window: u32, hystart: bool) -> Self {
        Self {
            window: Window::new(mss, initial_window, hystart),
            bytes_acked: 0,
        }
    }

    /// With RFC 3465's L: at most `segments` for each ACK in slow start.
    #[must_use]
    pub const fn with_limit(mut self, segments: u32) -> Self {
        self.window.limit = segments;
        self
    }

    //= RFC 3465 §2.1 when a window's worth of bytes has been acknowledged it grows by a segment.
    fn avoid_congestion(&mut self, acked: u32) {
        let w = &mut self.window;
        self.bytes_acked = self.bytes_acked.saturating_add(acked);
        while self.bytes_acked >= w.cwnd {
            self.bytes_acked -= w.cwnd;
            w.cwnd = w.cwnd.saturating_add(w.mss);
            if w.cwnd == u32::MAX {
                self.bytes_acked = 0;
            }
        }
    }
}

//= RFC 9293 §3.8.2 MUST-19: slow start and congestion avoidance, here and in the window that all
//= controllers have.
impl Controller for Reno {
    fn on_ack(&mut self, ack: &Ack) {
        if !self.window.may_grow(ack) {
            return;
        }
        let mut acked = ack.acked;
        if self.window.in_slow_start() {
            acked = self.window.slow_start(ack);
        }
        if !self.window.in_slow_start() {
            self.avoid_congestion(acked);
        }
    }

    fn on_congestion(&mut self, _now: Instant, event: Congestion, _in_flight: u32) {
        self.bytes_acked = 0;
        self.window.reduce(self.window.cwnd / 2, event);
    }

    fn on_recovery_exit(&mut self, _now: Instant) {
        self.window.exit();
    }

    fn on_timeout(&mut self, _now: Instant, _in_flight: u32) {
        self.bytes_acked = 0;
        self.window.timeout(self.window.cwnd / 2);
    }

    fn on_undo(&mut self, _now: Instant) {
        self.window.undo();
    }

    fn on_restart(&mut self, _now: Instant, idle: Duration, rto: Duration) {
        self.window.restart(idle, rto);
    }

    fn set_mss(&mut self, mss: u32) {
        self.window.set_mss(mss);
    }

    fn set_window(&mut self, cwnd: u32) {
        self.window.set(cwnd);
    }

    fn window(&self) -> u32 {
        self.window.cwnd
    }

    fn ssthresh(&self) -> u32 {
        self.window.ssthresh
    }

    fn pacing_rate(&self) -> Option<u64> {
        None
    }

    fn in_slow_start(&self) -> bool {
        self.window.in_slow_start()
    }
}
