//! How much may be in flight: one small trait, and the controllers that implement it.
//!
//! ```text
//!   input --Ack, Congestion, timeout, undo--> Controller --window(), pacing_rate()--> output
//!   recovery (PRR) --set_window()--------------^      \--ssthresh()--> recovery (PRR)
//! ```
//!
//! Read first: RFC 5681 §3, RFC 9438, RFC 9406, draft-cardwell-iccrg-bbr-congestion-control-00.
//!
//! Promises: windows are bytes; no floats; a controller is plain data, told the time, and the same
//! calls give the same windows. No window grows while the sender does not use it. What a spurious
//! episode took, `on_undo` gives back.
//!
//! Left out: which segments are lost (recovery decides that), how the window falls during an
//! episode (RFC 6937, recovery too), and when a paced segment may go ([`super::pacing`]).

pub mod bbr;
pub mod cubic;
pub mod fixed;
pub mod hystart;
pub mod reno;
pub mod window;

#[cfg(test)]
mod tests;

pub use bbr::Bbr;
pub use cubic::Cubic;
pub use fixed::Fixed;
pub use reno::Reno;

use crate::time::{Duration, Instant};
use alloc::boxed::Box;

/// One acknowledgement, as a controller sees it (the delivery rate fields are those of
/// draft-cheng-iccrg-delivery-rate-estimation).
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    /// When it came.
    pub now: Instant,
    /// Bytes newly delivered by this ACK, cumulatively or by SACK.
    pub acked: u32,
    /// Bytes by which SND.UNA moved.
    pub cumulative: u32,
    /// Bytes delivered in all, after this ACK.
    pub delivered: u64,
    /// `delivered` when the newest-sent segment acknowledged here was sent. Round trips are counted
    /// by it: a round ends when `prior_delivered >= mark`, then `mark = delivered`.
    pub prior_delivered: u64,
    /// The interval of the rate sample; zero where there is no valid sample.
    pub interval: Duration,
    /// Bytes delivered over that interval.
    pub sampled: u32,
    /// The sample was taken while the application had too little to send.
    pub app_limited: bool,
    /// This ACK's round-trip time sample.
    pub rtt: Option<Duration>,
    /// The smoothed round-trip time.
    pub srtt: Option<Duration>,
    /// The smallest round-trip time of late.
    pub min_rtt: Option<Duration>,
    /// Bytes in flight before this ACK.
    pub prior_in_flight: u32,
    /// The most that was in flight in this window or the one before.
    pub peak_in_flight: u32,
    /// Bytes in flight after it.
    pub in_flight: u32,
    /// Bytes newly marked lost on this ACK.
    pub lost: u32,
    /// The window was used up since the last ACK; without that it does not grow (RFC 7661 §4.3,
    /// RFC 9438 §5.8).
    pub cwnd_limited: bool,
    /// A recovery episode lasts.
    pub in_recovery: bool,
    /// More than three segments have been out of order: duplicates say nothing of loss.
    pub reordered: bool,
}

/// What announced congestion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Congestion {
    /// A segment was lost.
    Loss,
    /// The peer echoed a congestion mark (RFC 3168 §6.1.2).
    Ecn,
}

/// A congestion controller. The connection owns the mechanisms (what is lost, PRR, the timer, the
/// pacer) and tells the controller what happened; the controller answers with a window.
pub trait Controller {
    /// An acknowledgement arrived.
    fn on_ack(&mut self, ack: &Ack);
    /// A recovery episode begins, at most once a window. After it `ssthresh()` is the target.
    fn on_congestion(&mut self, now: Instant, event: Congestion, in_flight: u32);
    /// The episode, or the recovery after a timeout, is over.
    fn on_recovery_exit(&mut self, now: Instant);
    /// The retransmission timer fired, for the first time in its series: a loss window of one
    /// segment.
    fn on_timeout(&mut self, now: Instant, in_flight: u32);
    /// The last episode or timeout was spurious (F-RTO, Eifel, D-SACK): back to what was before.
    fn on_undo(&mut self, now: Instant);
    /// Sending starts again after `idle` with nothing in flight.
    fn on_restart(&mut self, now: Instant, idle: Duration, rto: Duration);
    /// Segments now carry `mss` bytes.
    fn set_mss(&mut self, mss: u32);
    /// PRR sets the window while a loss episode lasts; ignored where `uses_prr()` is false.
    fn set_window(&mut self, cwnd: u32);
    /// The congestion window, in bytes.
    fn window(&self) -> u32;
    /// The slow start threshold, in bytes.
    fn ssthresh(&self) -> u32;
    /// Bytes per second; `None`: the connection paces by window and round-trip time
    /// ([`super::pacing::rate`]).
    fn pacing_rate(&self) -> Option<u64>;
    /// Whether the window is still searching for the path's capacity.
    fn in_slow_start(&self) -> bool;
    /// Whether PRR governs the window in recovery (all but BBR and Fixed).
    fn uses_prr(&self) -> bool {
        true
    }
}

/// Which controller a connection uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// RFC 5681.
    Reno,
    /// RFC 9438, Linux's default.
    #[default]
    Cubic,
    /// BBR, version 1.
    Bbr,
    /// A window of so many bytes that nothing moves: for laboratories.
    Fixed(u32),
}

impl Algorithm {
    /// The usual name: `cubic`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reno => "reno",
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
            Self::Fixed(_) => "fixed",
        }
    }

    /// The one of a name; a fixed window is not to be had by its name alone.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        let all = [Self::Reno, Self::Cubic, Self::Bbr];
        all.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// A connection's controller. The large ones are boxed: an idle connection with a fixed window
/// pays nothing for BBR's filters.
#[derive(Clone, Debug)]
pub enum Congested {
    /// [`Algorithm::Reno`].
    Reno(Box<Reno>),
    /// [`Algorithm::Cubic`].
    Cubic(Box<Cubic>),
    /// [`Algorithm::Bbr`].
    Bbr(Box<Bbr>),
    /// [`Algorithm::Fixed`].
    Fixed(Fixed),
}

impl Congested {
    /// A controller for a new connection: `initial_window` in bytes (RFC 6928 §2), and whether
    /// slow start may end on rising delay (RFC 9406).
    #[must_use]
    pub fn new(algorithm: Algorithm, mss: u32, initial_window: u32, hystart: bool) -> Self {
        match algorithm {
            Algorithm::Reno => Self::Reno(Box::new(Reno::new(mss, initial_window, hystart))),
            Algorithm::Cubic => Self::Cubic(Box::new(Cubic::new(mss, initial_window, hystart))),
            Algorithm::Bbr => Self::Bbr(Box::new(Bbr::new(mss, initial_window, 0))),
            Algorithm::Fixed(window) => Self::Fixed(Fixed::new(window)),
        }
    }

    /// The same controller with its chance drawn from `seed` (only BBR has any: the phase in which
    /// it first probes, which should differ between flows).
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        match self {
            Self::Bbr(bbr) => Self::Bbr(Box::new(bbr.seeded(seed))),
            other => other,
        }
    }

    /// Which one it is.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Reno(_) => Algorithm::Reno,
            Self::Cubic(_) => Algorithm::Cubic,
            Self::Bbr(_) => Algorithm::Bbr,
            Self::Fixed(fixed) => Algorithm::Fixed(fixed.window()),
        }
    }

    fn get(&self) -> &dyn Controller {
        match self {
            Self::Reno(c) => &**c,
            Self::Cubic(c) => &**c,
            Self::Bbr(c) => &**c,
            Self::Fixed(c) => c,
        }
    }

    fn get_mut(&mut self) -> &mut dyn Controller {
        match self {
            Self::Reno(c) => &mut **c,
            Self::Cubic(c) => &mut **c,
            Self::Bbr(c) => &mut **c,
            Self::Fixed(c) => c,
        }
    }
}

impl Controller for Congested {
    fn on_ack(&mut self, ack: &Ack) {
        self.get_mut().on_ack(ack);
    }
    fn on_congestion(&mut self, now: Instant, event: Congestion, in_flight: u32) {
        self.get_mut().on_congestion(now, event, in_flight);
    }
    fn on_recovery_exit(&mut self, now: Instant) {
        self.get_mut().on_recovery_exit(now);
    }
    fn on_timeout(&mut self, now: Instant, in_flight: u32) {
        self.get_mut().on_timeout(now, in_flight);
    }
    fn on_undo(&mut self, now: Instant) {
        self.get_mut().on_undo(now);
    }
    fn on_restart(&mut self, now: Instant, idle: Duration, rto: Duration) {
        self.get_mut().on_restart(now, idle, rto);
    }
    fn set_mss(&mut self, mss: u32) {
        self.get_mut().set_mss(mss);
    }
    fn set_window(&mut self, cwnd: u32) {
        self.get_mut().set_window(cwnd);
    }
    fn window(&self) -> u32 {
        self.get().window()
    }
    fn ssthresh(&self) -> u32 {
        self.get().ssthresh()
    }
    fn pacing_rate(&self) -> Option<u64> {
        self.get().pacing_rate()
    }
    fn in_slow_start(&self) -> bool {
        self.get().in_slow_start()
    }
    fn uses_prr(&self) -> bool {
        self.get().uses_prr()
    }
}

/// Bytes that fit a window: what is larger is as good as unlimited.
fn saturate(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
