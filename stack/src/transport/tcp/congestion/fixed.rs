//! A window that nothing moves.
//!
//! ```text
//!   ACK, loss, timeout --> window = what it was born with
//! ```
//!
//! Read first: RFC 5681 §3 (what is switched off here).
//!
//! Promises: `window()` never changes.
//!
//! Left out: everything. It is for laboratories, where a mechanism is to be seen without a
//! controller's hand in it, and for paths whose capacity is known and reserved. Not for the
//! Internet.

use super::{Ack, Congestion, Controller};
use crate::time::{Duration, Instant};

/// A fixed congestion window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    window: u32,
}

impl Fixed {
    /// A window of `window` bytes for good.
    #[must_use]
    pub const fn new(window: u32) -> Self {
        Self { window }
    }
}

impl Controller for Fixed {
    fn on_ack(&mut self, _: &Ack) {}
    fn on_congestion(&mut self, _: Instant, _: Congestion, _: u32) {}
    fn on_recovery_exit(&mut self, _: Instant) {}
    fn on_timeout(&mut self, _: Instant, _: u32) {}
    fn on_undo(&mut self, _: Instant) {}
    fn on_restart(&mut self, _: Instant, _: Duration, _: Duration) {}
    fn set_mss(&mut self, _: u32) {}
    fn set_window(&mut self, _: u32) {}
    fn window(&self) -> u32 {
        self.window
    }
    fn ssthresh(&self) -> u32 {
        self.window
    }
    fn pacing_rate(&self) -> Option<u64> {
        None
    }
    fn in_slow_start(&self) -> bool {
        false
    }
    fn uses_prr(&self) -> bool {
        false
    }
}
