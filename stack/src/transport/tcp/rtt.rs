//! How long a round trip takes, and how long to wait before sending again.
//!
//! ```text
//!   ACK of a segment sent once, or with a timestamp          timer expires
//!               | R                                                |
//!               v                                                  v
//!   SRTT, RTTVAR, least RTT of 300 s --> RTO = SRTT + max(min, 4 RTTVAR), doubled each time
//! ```
//!
//! Read first: RFC 6298 §2, §5; RFC 8985 §6.2 step 1; RFC 7323 §4.2.
//!
//! Promises: the wait is never shorter than RFC 6298 §2.3 makes it, but for its floor; a backoff
//! lasts until a sample comes that no retransmission can have spoiled; state is at most 96 bytes.
//!
//! Left out: forgetting SRTT after many backoffs (RFC 6298 §5, a MAY): the next sample moves it
//! an eighth of the way at once, and RTTVAR covers the rest. Which segments may be timed (Karn,
//! RFC 6298 §3) the caller knows, which is where the transmissions are counted.

use crate::time::{Duration, Instant, nanos};
use core::num::NonZeroU64;

/// Bounds of the retransmission timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// RTO before there is a sample (RFC 6298 §2.1: one second).
    pub initial: Duration,
    /// The least that is added to SRTT for variation: 200 ms, as Linux, FreeBSD and Windows have
    /// it or nearly so. RFC 6298 §2.4 would round the sum up to one second.
    pub min: Duration,
    /// No RTO is longer (RFC 6298 §2.5: at least 60 s). 120 s as Linux.
    pub max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            min: Duration::from_millis(200),
            max: Duration::from_secs(120),
        }
    }
}

/// Half the window of [`Rtt::min_rtt`]: two halves are kept, and the older goes whole.
const HALF_WINDOW: Duration = Duration::from_secs(150);

/// RFC 6298 §5.7's RTO once a SYN's timer has expired and nothing has been timed since.
const AFTER_SYN_TIMEOUT: u64 = 3_000_000_000;

/// Round-trip times of one connection and its retransmission timeout.
///
/// ```
/// use stack::time::{Duration, Instant};
/// use stack::transport::tcp::rtt::{Config, Rtt};
/// let mut rtt = Rtt::new(&Config::default());
/// assert_eq!(rtt.rto(), Duration::from_secs(1));
/// rtt.on_sample(Instant::ZERO, Duration::from_millis(100));
/// assert_eq!(rtt.rto(), Duration::from_millis(300));
/// rtt.back_off();
/// assert_eq!(rtt.rto(), Duration::from_millis(600));
/// ```
//= RFC 6298 §4 in nanoseconds; only the timers of a driver are coarser.
#[derive(Clone, Debug)]
pub struct Rtt {
    initial: u64,
    min: u64,
    max: u64,
    srtt: Option<NonZeroU64>,
    rttvar: u64,
    /// The largest RTTVAR of this round.
    peak: u64,
    /// The RTTVAR that RTO uses: never below `rttvar`, a quarter nearer to `peak` each round.
    held: u64,
    round_end: Instant,
    /// Least samples of the half window since `half`, and of the one before.
    least: Option<NonZeroU64>,
    least_before: Option<NonZeroU64>,
    half: Instant,
    backoffs: u8,
    syn_timed_out: bool,
    established: bool,
}

impl Rtt {
    /// Nothing timed yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            initial: nanos(config.initial),
            min: nanos(config.min),
            max: nanos(config.max),
            srtt: None,
            rttvar: 0,
            peak: 0,
            held: 0,
            round_end: Instant::ZERO,
            least: None,
            least_before: None,
            half: Instant::ZERO,
            backoffs: 0,
            syn_timed_out: false,
            established: false,
        }
    }

    /// Other bounds, from now on.
    pub fn set_config(&mut self, config: &Config) {
        self.initial = nanos(config.initial);
        self.min = nanos(config.min);
        self.max = nanos(config.max);
    }

    /// A round trip took `sample`; ends any backoff.
    ///
    /// //= RFC 6298 §3 (Karn) the caller passes no sample of a segment sent more than once, unless
    /// a timestamp tells which transmission was acknowledged.
    pub fn on_sample(&mut self, now: Instant, sample: Duration) {
        // Bounded, so that no sum below can overflow: an hour is no round trip.
        let r = nanos(sample).clamp(1, 3_600_000_000_000);
        match self.srtt {
            //= RFC 6298 §2.2 SRTT <- R, RTTVAR <- R/2.
            None => {
                self.srtt = NonZeroU64::new(r);
                self.rttvar = r / 2;
                self.peak = self.rttvar;
                self.held = self.rttvar;
                self.round_end = now + Duration::from_nanos(r);
            }
            Some(srtt) => self.smooth(now, srtt.get(), r),
        }
        self.keep_least(now, r);
        //= RFC 6298 §5 a new measurement collapses a backed-off RTO.
        self.backoffs = 0;
    }

    //= RFC 6298 §2.3 RTTVAR first, by the SRTT before; alpha 1/8, beta 1/4.
    // RFC 7323 §4.2: with many samples a round these gains forget a spike within the round. Its
    // cure needs the flight's size; holding the round's largest RTTVAR for the RTO does the same
    // without, and errs only towards waiting.
    fn smooth(&mut self, now: Instant, srtt: u64, r: u64) {
        self.rttvar = self.rttvar - self.rttvar / 4 + srtt.abs_diff(r) / 4;
        let smoothed = srtt - srtt / 8 + r / 8;
        self.srtt = NonZeroU64::new(smoothed);
        self.peak = self.peak.max(self.rttvar);
        self.held = self.held.max(self.peak);
        if now >= self.round_end {
            self.held -= (self.held - self.peak) / 4;
            self.peak = self.rttvar;
            self.round_end = now + Duration::from_nanos(smoothed);
        }
    }

    fn keep_least(&mut self, now: Instant, r: u64) {
        let age = now.since(self.half);
        let r = NonZeroU64::new(r);
        if self.least.is_none() || age >= HALF_WINDOW {
            self.least_before = self.least.filter(|_| age < HALF_WINDOW * 2);
            self.least = r;
            self.half = now;
        } else if r < self.least {
            self.least = r;
        }
    }

    /// The smoothed round-trip time.
    #[must_use]
    pub fn srtt(&self) -> Option<Duration> {
        self.srtt.map(|n| Duration::from_nanos(n.get()))
    }

    /// The variation of the round-trip time (RFC 6298's RTTVAR; zero before a sample).
    #[must_use]
    pub const fn rttvar(&self) -> Duration {
        Duration::from_nanos(self.rttvar)
    }

    /// The least round-trip time of the last 150 to 300 seconds; where nothing was timed in them,
    /// of those before.
    //= RFC 8985 §6.2 step 1 a windowed minimum, so that a longer path is learned in time.
    #[must_use]
    pub fn min_rtt(&self, now: Instant) -> Option<Duration> {
        let least = self.least?;
        let least = match self.least_before {
            Some(before) if now.since(self.half) < HALF_WINDOW => least.min(before),
            _ => least,
        };
        Some(Duration::from_nanos(least.get()))
    }

    //= RFC 9293 §3.8.1 MUST-18: by RFC 6298, but for the lower bound (see `base`).
    /// How long to wait for an acknowledgement, backoff included.
    #[must_use]
    pub fn rto(&self) -> Duration {
        let doubled = self.base().saturating_mul(1 << self.backoffs.min(32));
        Duration::from_nanos(doubled.min(self.max))
    }

    /// The timeout as it would be had nothing timed out.
    #[must_use]
    pub fn plain_rto(&self) -> Duration {
        Duration::from_nanos(self.base().min(self.max))
    }

    /// RTO without backoff.
    fn base(&self) -> u64 {
        match self.srtt {
            // We differ: RFC 6298 §2.4 rounds RTO up to a second, and §1 has nothing less. A floor under the variation
            // instead is what Linux does; it costs nothing but a spurious retransmission on paths
            // that pause for longer, and F-RTO undoes those.
            Some(srtt) => srtt
                .get()
                .saturating_add(self.held.saturating_mul(4).max(self.min)),
            //= RFC 6298 §5.7 after a SYN's timeout data begins with 3 s.
            // Only while nothing has been timed: a timestamp on the SYN-ACK makes a true sample of
            // even a repeated SYN.
            None if self.syn_timed_out && self.established => self.initial.max(AFTER_SYN_TIMEOUT),
            //= RFC 6298 §2.1 one second until something has been measured.
            None => self.initial,
        }
    }

    /// The timer expired with data (or a FIN) outstanding: RTO doubles.
    //= RFC 9293 §3.8.2 MUST-19: exponential backoff.
    //= RFC 6298 §5.5 RTO <- RTO * 2.
    pub const fn back_off(&mut self) {
        self.backoffs = self.backoffs.saturating_add(1);
    }

    /// Expiries since the last sample.
    #[must_use]
    pub fn backoffs(&self) -> u32 {
        u32::from(self.backoffs)
    }

    /// RTO as it was before the expiries: they were spurious, or the path has healed.
    pub const fn reset_backoff(&mut self) {
        self.backoffs = 0;
    }

    /// The timer of a SYN or SYN-ACK expired: RTO doubles, unless told not to, and
    /// [`Self::on_established`] knows.
    pub const fn on_syn_timeout(&mut self, doubles: bool) {
        self.syn_timed_out = true;
        if doubles {
            self.back_off();
        }
    }

    /// The handshake is over, data transmission begins: no backoff, and 3 s where a SYN timed out
    /// and nothing could be measured.
    pub const fn on_established(&mut self) {
        self.established = true;
        self.backoffs = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn at(n: u64) -> Instant {
        Instant::ZERO + ms(n)
    }

    #[test]
    fn follows_the_arithmetic() {
        //= RFC 6298 §2.2, §2.3
        // Each sample a round of its own: sample in ms; SRTT, RTTVAR and RTO in microseconds.
        // By the second RTTVAR has fallen, and RTO still holds the round's largest.
        let table: [(u64, u64, u64, u64); 6] = [
            (1000, 1_000_000, 500_000, 3_000_000),
            (1000, 1_000_000, 375_000, 3_000_000),
            (2000, 1_125_000, 531_250, 3_250_000),
            (2000, 1_234_375, 617_187, 3_703_125),
            (2000, 1_330_078, 654_296, 3_947_265),
            (2000, 1_413_818, 658_203, 4_046_630),
        ];
        let mut rtt = Rtt::new(&Config::default());
        for (n, (sample, srtt, rttvar, rto)) in (0..).zip(table) {
            rtt.on_sample(at(3000 * n), ms(sample));
            let us = |d: Duration| u64::try_from(d.as_micros()).unwrap();
            let got = (us(rtt.srtt().unwrap()), us(rtt.rttvar()), us(rtt.rto()));
            assert_eq!(got, (srtt, rttvar, rto), "after sample {n}");
        }
    }

    #[test]
    fn the_wait_is_never_shorter_than_the_rfc_makes_it() {
        //= RFC 6298 §2.4, §1
        let mut rng = crate::rng::Rng::from_seed(1);
        let mut rtt = Rtt::new(&Config::default());
        let mut now = Instant::ZERO;
        for _ in 0..10_000 {
            let sample = rng.between(ms(0), ms(rng.clone().below(2000)));
            now += rng.between(ms(0), ms(100));
            rtt.on_sample(now, sample);
            let floor = rtt.srtt().unwrap() + (rtt.rttvar() * 4).max(ms(200));
            assert!(rtt.rto() >= floor);
        }
    }

    #[test]
    fn variation_decays_on_a_steady_path_to_the_floor() {
        let mut rtt = Rtt::new(&Config::default());
        for n in 0..100 {
            rtt.on_sample(at(n * 100), ms(100));
        }
        assert_eq!(rtt.rto(), ms(300));
    }

    #[test]
    fn a_spike_is_not_forgotten_within_its_round() {
        //= RFC 7323 §4.2
        let mut rtt = Rtt::new(&Config::default());
        for n in 0..100 {
            rtt.on_sample(at(n * 100), ms(100));
        }
        rtt.on_sample(at(10_000), ms(900));
        let spiked = rtt.rto();
        assert!(spiked >= ms(1000), "{spiked:?}");
        // Fifty more ACKs within the same round.
        for n in 0..50 {
            rtt.on_sample(at(10_000) + ms(n), ms(100));
        }
        assert!(rtt.rto() >= ms(900), "{:?}", rtt.rto());
        assert!(rtt.rttvar() < ms(10));
    }

    #[test]
    fn backs_off_to_the_maximum_and_back_by_a_sample() {
        //= RFC 6298 §5.5, §2.5
        let mut rtt = Rtt::new(&Config::default());
        rtt.on_sample(at(0), ms(500));
        let waits: alloc::vec::Vec<u64> = (0..9)
            .map(|_| {
                let rto = rtt.rto().as_millis();
                rtt.back_off();
                u64::try_from(rto).unwrap()
            })
            .collect();
        assert_eq!(
            waits,
            [
                1500, 3000, 6000, 12_000, 24_000, 48_000, 96_000, 120_000, 120_000
            ]
        );
        assert_eq!(rtt.backoffs(), 9);
        for _ in 0..1000 {
            rtt.back_off();
        }
        assert_eq!(rtt.rto(), Duration::from_secs(120));
        rtt.on_sample(at(1), ms(500));
        assert_eq!((rtt.backoffs(), rtt.rto() < ms(1600)), (0, true));
        rtt.back_off();
        rtt.reset_backoff();
        assert!(rtt.rto() < ms(1600));
    }

    #[test]
    fn a_lost_syn_makes_it_three_seconds() {
        //= RFC 6298 §5.7
        let s = Duration::from_secs;
        let mut rtt = Rtt::new(&Config::default());
        assert_eq!(rtt.rto(), s(1));
        rtt.on_syn_timeout(true);
        assert_eq!(rtt.rto(), s(2));
        rtt.on_syn_timeout(true);
        assert_eq!(rtt.rto(), s(4));
        let mut timed = rtt.clone();
        rtt.on_established();
        assert_eq!(rtt.rto(), s(3));
        timed.on_sample(at(0), ms(10));
        timed.on_established();
        assert_eq!(timed.rto(), ms(210));
        let mut smooth = Rtt::new(&Config::default());
        smooth.on_established();
        assert_eq!(smooth.rto(), s(1));
    }

    #[test]
    fn the_least_is_forgotten_after_the_window() {
        let mut rtt = Rtt::new(&Config::default());
        assert_eq!(rtt.min_rtt(at(0)), None);
        rtt.on_sample(at(0), ms(10));
        for s in 1..150 {
            rtt.on_sample(at(s * 1000), ms(40));
        }
        assert_eq!(rtt.min_rtt(at(149_000)), Some(ms(10)));
        for s in 150..300 {
            rtt.on_sample(at(s * 1000), ms(40));
            assert_eq!(rtt.min_rtt(at(s * 1000)), Some(ms(10)), "{s}");
        }
        rtt.on_sample(at(300_000), ms(40));
        assert_eq!(rtt.min_rtt(at(300_000)), Some(ms(40)));
        // Long silence leaves the last that is known, and forgets it by the next sample.
        assert_eq!(rtt.min_rtt(at(3_000_000)), Some(ms(40)));
        rtt.on_sample(at(3_000_000), ms(80));
        assert_eq!(rtt.min_rtt(at(3_000_000)), Some(ms(80)));
    }

    #[test]
    fn absurd_samples_and_bounds_do_no_harm() {
        let mut rtt = Rtt::new(&Config {
            initial: Duration::MAX,
            min: Duration::MAX,
            max: Duration::MAX,
        });
        rtt.back_off();
        let _ = rtt.rto();
        for sample in [Duration::ZERO, Duration::MAX, Duration::ZERO] {
            rtt.on_sample(Instant::FAR_FUTURE, sample);
            let _ = (rtt.rto(), rtt.min_rtt(Instant::ZERO));
        }
        assert!(rtt.srtt().unwrap() > Duration::ZERO);
        assert!(size_of::<Rtt>() <= 96);
    }
}
