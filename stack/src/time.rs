//! Time as an argument: nanoseconds since the run began.
//!
//! ```text
//!   driver's clock --now--> handle_*(now, ..)      poll_timeout() --deadline--> driver waits
//! ```
//!
//! No machine reads a clock. The driver passes `now` into each call, the lab passes virtual time,
//! and the same inputs at the same instants give the same bytes. Nanoseconds, because pacing at
//! 10 Gbit/s spaces frames by about a microsecond.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

pub use core::time::Duration;

/// A moment of the run: nanoseconds since it began. Wraps after 584 years.
///
/// Arithmetic saturates: a deadline computed from a hostile lifetime field can be far away, but
/// never in the past.
///
/// ```
/// use stack::time::{Duration, Instant};
/// let t = Instant::ZERO + Duration::from_millis(1500);
/// assert_eq!(t - Instant::ZERO, Duration::from_millis(1500));
/// assert_eq!(t.to_string(), "1.500000000s");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The beginning of the run.
    pub const ZERO: Self = Self(0);
    /// Later than any deadline a machine sets.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after the run began.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the run began.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time passed since `earlier`; zero where `earlier` is in the future.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Nanoseconds of a duration, saturating at 584 years.
#[must_use]
pub fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(nanos(d)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(d)))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:09}s",
            self.0 / 1_000_000_000,
            self.0 % 1_000_000_000
        )
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Wall time, in nanoseconds since 1970-01-01 UTC, for what needs a calendar: ICMP timestamps,
/// leases, certificates. The driver gives the offset; no machine asks the OS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// Milliseconds since midnight UTC, as ICMP timestamps and the IPv4 timestamp option want
    /// (RFC 791 §3.1, RFC 792).
    #[must_use]
    pub const fn millis_since_midnight(self) -> u32 {
        // Less than 86,400,000, so it fits.
        #[allow(clippy::cast_possible_truncation)]
        {
            (self.0 / 1_000_000 % 86_400_000) as u32
        }
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(nanos(d)))
    }
}

/// The earlier of two optional deadlines.
#[must_use]
pub fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturates_at_both_ends() {
        assert_eq!(Instant::ZERO - Duration::from_secs(1), Instant::ZERO);
        assert_eq!(Instant::ZERO + Duration::MAX, Instant::FAR_FUTURE);
        assert_eq!(Instant::ZERO.since(Instant::FAR_FUTURE), Duration::ZERO);
    }

    #[test]
    fn midnight_wraps() {
        let day = 86_400_000_000_000;
        assert_eq!(
            UnixTime(day - 1_000_000).millis_since_midnight(),
            86_399_999
        );
        assert_eq!(UnixTime(day).millis_since_midnight(), 0);
    }

    #[test]
    fn earliest_of_options() {
        let (a, b) = (Instant::from_nanos(1), Instant::from_nanos(2));
        assert_eq!(earliest(Some(a), Some(b)), Some(a));
        assert_eq!(earliest(None, Some(b)), Some(b));
        assert_eq!(earliest(None, None), None);
    }
}
