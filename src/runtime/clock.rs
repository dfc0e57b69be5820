//! What the OS knows and no machine may ask: the time, and chance.
//!
//! ```text
//!   CLOCK_MONOTONIC --now--> Instant     CLOCK_REALTIME --unix--> UnixTime     getrandom --rng--> Rng
//! ```
//!
//! The only caller of std's clock.

use stack::rng::Rng;
use stack::time::{Instant, UnixTime, nanos};
use std::io;
use std::time::{Duration, SystemTime};

/// Time since the run began.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
}

impl Clock {
    /// Begins a run.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn start() -> Self {
        Self {
            start: std::time::Instant::now(),
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::from_nanos(nanos(self.start.elapsed()))
    }

    /// Wall time now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn unix(&self) -> UnixTime {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            // A clock before 1970 is not set at all.
            .unwrap_or(Duration::ZERO);
        UnixTime(nanos(since))
    }
}

/// A source of chance that the OS has seeded.
///
/// # Errors
/// Where the OS has no randomness to give.
pub fn os_rng() -> io::Result<Rng> {
    let mut key = [0u8; 16];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let ([a, b], _) = key.as_chunks::<8>() else {
        return Err(io::Error::other("sixteen bytes are two words"));
    };
    Ok(Rng::from_key([
        u64::from_ne_bytes(*a),
        u64::from_ne_bytes(*b),
    ]))
}
