//! When the next segment may leave: a token bucket on departure times.
//!
//! ```text
//!   |<- bytes / rate ->|<- bytes / rate ->|
//!   burst              burst              burst        one burst: about a millisecond's worth
//! ```
//!
//! Read first: draft-cheng-iccrg-delivery-rate-estimation, draft-cardwell-iccrg-bbr-congestion-
//! control-00 §4.2.1 and §4.2.2, RFC 9438 §5.1 (why bursts hurt).
//!
//! Promises: over any span, no more leaves than `rate` times the span and two bursts; a driver that
//! wakes late may catch up half a burst, and no more.
//!
//! Left out: a queue. What may not leave yet stays where it is, and the connection asks again at
//! [`Pacer::ready_at`].

use crate::time::{Duration, Instant, nanos};

/// The longest burst: one super-segment.
const BURST_MAX: u32 = 65_536;

/// Spaces what a connection sends. Rate zero: no pacing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pacer {
    rate: u64,
    next: Instant,
}

impl Pacer {
    /// Without a rate: everything may leave at once.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            rate: 0,
            next: Instant::ZERO,
        }
    }

    /// Bytes per second from now on; zero switches pacing off.
    pub const fn set_rate(&mut self, bytes_per_second: u64) {
        self.rate = bytes_per_second;
    }

    /// Bytes per second; zero: not paced.
    #[must_use]
    pub const fn rate(&self) -> u64 {
        self.rate
    }

    /// When the next burst may leave: `now` where it may at once.
    #[must_use]
    pub fn ready_at(&self, now: Instant) -> Instant {
        if self.rate == 0 {
            now
        } else {
            self.next.max(now)
        }
    }

    /// `bytes` left at `now`.
    pub fn on_sent(&mut self, now: Instant, bytes: u32) {
        if self.rate == 0 {
            return;
        }
        let cost = self.time_for(bytes);
        // A timer that fired late is no reason to be slow for good; half a burst can be made up.
        let slack = Duration::from_nanos(nanos(cost) / 2);
        self.next = self.next.max(now - slack) + cost;
    }

    /// Bytes that may leave as one burst at this rate; see [`burst`].
    #[must_use]
    pub fn burst(&self, mss: u32) -> u32 {
        burst(self.rate, mss)
    }

    fn time_for(&self, bytes: u32) -> Duration {
        // Below 2^62.
        Duration::from_nanos(u64::from(bytes) * 1_000_000_000 / self.rate.max(1))
    }
}

/// Bytes that may leave as one burst, like Linux's sizing of super-segments: a millisecond's
/// worth, at least two segments, so that the peer's delayed ACK comes at once. Rate zero: the most.
#[must_use]
pub fn burst(rate: u64, mss: u32) -> u32 {
    if rate == 0 {
        return BURST_MAX;
    }
    let floor = mss.saturating_mul(2).min(BURST_MAX);
    u32::try_from(rate / 1000)
        .unwrap_or(u32::MAX)
        .clamp(floor, BURST_MAX)
}

/// The rate of a controller that gives none: the window over the round-trip time, doubled in slow
/// start, since the window doubles while it is sent, and a fifth more afterwards, so that pacing is
/// not what limits it (Linux's `tcp_pacing_ss_ratio` and `tcp_pacing_ca_ratio`). Zero, which is no
/// pacing, before the first sample.
#[must_use]
pub fn rate(window: u32, ssthresh: u32, srtt: Option<Duration>) -> u64 {
    let Some(srtt) = srtt.map(nanos).filter(|&n| n > 0) else {
        return 0;
    };
    let percent = if window < ssthresh / 2 { 200 } else { 120 };
    // The product is below 2^62.
    let per_second = u64::from(window) * 1_000_000_000 / srtt;
    per_second.saturating_mul(percent) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_late_wake_up_catches_up_half_a_burst_and_no_more() {
        let mut pacer = Pacer::new();
        pacer.set_rate(1_000_000);
        let start = Instant::ZERO + Duration::from_secs(1);
        assert_eq!(pacer.ready_at(start), start);
        pacer.on_sent(start, 2000);
        // The first burst has half its cost as credit.
        assert_eq!(pacer.ready_at(start), start + MS);
        pacer.on_sent(start + MS, 2000);
        assert_eq!(pacer.ready_at(start), start + 3 * MS);
        pacer.on_sent(start + 10 * MS, 2000);
        assert_eq!(pacer.ready_at(start), start + 11 * MS);
    }

    #[test]
    fn the_long_run_is_the_rate() {
        let mut pacer = Pacer::new();
        pacer.set_rate(12_500_000);
        let (start, mut now, mut sent) = (Instant::from_nanos(1), Instant::from_nanos(1), 0u64);
        while now < start + Duration::from_secs(1) {
            let burst = pacer.burst(1448);
            assert_eq!(burst, 12_500);
            pacer.on_sent(now, burst);
            sent += u64::from(burst);
            // Woken 100 us late each time, which it makes up.
            now = pacer.ready_at(now) + Duration::from_micros(100);
        }
        assert!((12_400_000..12_600_000).contains(&sent), "{sent}");
    }

    #[test]
    fn bursts_and_rates_by_table() {
        for (rate, mss, burst) in [
            (0, 1448, 65_536),
            (1000, 1448, 2896),
            (10_000_000, 1448, 10_000),
            (10_000_000_000, 1448, 65_536),
            (1000, 65_000, 65_536),
        ] {
            let mut pacer = Pacer::new();
            pacer.set_rate(rate);
            assert_eq!(pacer.burst(mss), burst, "rate {rate} mss {mss}");
        }
        assert_eq!(rate(100_000, u32::MAX, Some(100 * MS)), 2_000_000);
        assert_eq!(rate(100_000, 150_000, Some(100 * MS)), 1_200_000);
        assert_eq!(rate(100_000, 150_000, None), 0);
        assert!(rate(u32::MAX, 0, Some(Duration::from_nanos(1))) > 0);
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let mut pacer = Pacer::new();
        let now = Instant::from_nanos(5);
        pacer.on_sent(now, u32::MAX);
        assert_eq!(pacer.ready_at(now), now);
        pacer.set_rate(1);
        pacer.on_sent(now, u32::MAX);
        assert!(pacer.ready_at(now) > now + Duration::from_secs(1_000_000_000));
    }
}
