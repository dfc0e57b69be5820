//! A connection's timers, by name: a small table, no callbacks.
//!
//! Read first: RFC 6298 §5, RFC 8985 §6.2 and §7.2, RFC 9293 §3.8.
//!
//! Promises: setting and stopping touches nothing else; the host keeps one wheel over all
//! connections and asks each for its earliest.

use crate::time::Instant;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// An acknowledgment of what is in flight, or of the handshake (RFC 6298).
    Retransmit,
    /// The same, before the timeout: a probe for a lost tail (RFC 8985 §7).
    Probe,
    /// Segments that may only be reordered (RFC 8985 §6.2).
    Reorder,
    /// A window to open (RFC 9293 §3.8.6.1).
    Persist,
    /// Company for an acknowledgment (RFC 9293 §3.8.6.3).
    DelayedAck,
    /// A sign of life (RFC 9293 §3.8.4).
    KeepAlive,
    /// The end: of TIME-WAIT, of FIN-WAIT-2 or of lingering, where nobody holds the connection.
    End,
    /// The pacer's next turn, or the end of a cork.
    Pacing,
    /// The next attempt to find a larger path MTU (RFC 4821 §7.7).
    PathMtu,
    /// A look at whether memory can be given back.
    Idle,
}

impl Timer {
    /// Every timer, in the order in which those due at once are handled.
    pub const ALL: [Self; 10] = [
        Self::Reorder,
        Self::Probe,
        Self::Retransmit,
        Self::Persist,
        Self::DelayedAck,
        Self::KeepAlive,
        Self::PathMtu,
        Self::Pacing,
        Self::End,
        Self::Idle,
    ];

    #[allow(clippy::as_conversions)]
    const fn index(self) -> usize {
        self as usize
    }
}

/// When each timer runs out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timers([Instant; 10]);

impl Timers {
    pub(super) const fn new() -> Self {
        Self([Instant::FAR_FUTURE; 10])
    }

    #[inline]
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        if let Some(place) = self.0.get_mut(timer.index()) {
            *place = at;
        }
    }

    #[inline]
    pub(super) fn stop(&mut self, timer: Timer) {
        self.set(timer, Instant::FAR_FUTURE);
    }

    #[inline]
    pub(super) fn at(&self, timer: Timer) -> Option<Instant> {
        self.0
            .get(timer.index())
            .copied()
            .filter(|at| *at != Instant::FAR_FUTURE)
    }

    #[inline]
    pub(super) fn runs(&self, timer: Timer) -> bool {
        self.at(timer).is_some()
    }

    pub(super) fn stop_all(&mut self) {
        *self = Self::new();
    }

    /// The earliest.
    #[inline]
    pub(super) fn next(&self) -> Option<Instant> {
        let first = self.0.iter().copied().min()?;
        (first != Instant::FAR_FUTURE).then_some(first)
    }

    /// Stops a timer that is due and gives it; `None` when none is.
    pub(super) fn expired(&mut self, now: Instant) -> Option<Timer> {
        let due = Timer::ALL
            .into_iter()
            .find(|t| self.at(*t).is_some_and(|at| at <= now))?;
        self.stop(due);
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_first_and_each_once() {
        let mut timers = Timers::new();
        assert_eq!((timers.next(), timers.expired(Instant::ZERO)), (None, None));
        for (n, timer) in Timer::ALL.into_iter().enumerate() {
            timers.set(timer, Instant::from_nanos(11 - n as u64));
        }
        timers.stop(Timer::End);
        timers.stop(Timer::Idle);
        assert_eq!(timers.next(), Some(Instant::from_nanos(4)));
        assert_eq!(timers.expired(Instant::from_nanos(3)), None);
        let now = Instant::from_nanos(5);
        assert_eq!(timers.expired(now), Some(Timer::PathMtu));
        assert_eq!(timers.expired(now), Some(Timer::Pacing));
        assert_eq!(timers.expired(now), None);
        assert!(timers.runs(Timer::Retransmit) && !timers.runs(Timer::End));
    }
}
