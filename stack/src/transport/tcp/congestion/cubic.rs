//! CUBIC: the window as a cubic function of the time since it was last reduced.
//!
//! ```text
//!   cwnd                            /
//!   W_max - - - - - ___-----___- - /      W_cubic(t) = C (t - K)^3 + W_max
//!                 /    concave | convex
//!               /              |
//!   beta W_max /               |
//!             t = 0            K
//! ```
//!
//! Read first: RFC 9438 §4 (read as its last draft, draft-ietf-tcpm-rfc8312bis), RFC 9406.
//!
//! Promises: those of [`Window`]; the same curve on any machine: times are counted in 2^-14 s,
//! windows in bytes, all in integers, and nothing overflows for any window, time or segment size.
//!
//! Left out: RFC 8511's milder answer to a mark (Linux does without); §4.6's window of one segment
//! after a mark: two are the least, as in Linux.

use super::window::Window;
use super::{Ack, Congestion, Controller, saturate};
use crate::time::{Duration, Instant, nanos};

/// RFC 9438 §4.6: the window keeps seven tenths.
const BETA: (u64, u64) = (7, 10);
/// RFC 9438 §5.1: C is 0.4 segments per cubic second.
const C: (u64, u64) = (2, 5);
/// RFC 9438 §4.3: 3 (1 - beta) / (1 + beta), Reno's increase that matches beta.
const ALPHA: (u64, u64) = (9, 17);
/// Fractional bits of a second in the curve's clock: steps of 61 us.
const SHIFT: u32 = 14;
/// 256 s: beyond, the curve is higher than any window.
const TIME_MAX: u64 = 1 << (8 + SHIFT);

/// The variables of RFC 9438 §4.1.2 that an undone episode brings back (§4.9.2).
#[derive(Clone, Copy, Debug, Default)]
struct Curve {
    /// W_max, bytes.
    w_max: u32,
    /// K, in 2^-14 s.
    k: u32,
    /// W_est, bytes: the window Reno would have.
    w_est: u32,
    /// cwnd_prior, bytes: the window before the last reduction.
    cwnd_prior: u32,
    /// t_epoch: when congestion avoidance last began; none: it has yet to.
    epoch: Option<Instant>,
}

/// The controller of RFC 9438.
#[derive(Clone, Debug)]
pub struct Cubic {
    window: Window,
    curve: Curve,
    undo: Curve,
    /// What growth below a byte has gathered, in bytes times the window.
    carry: u32,
    /// The same for W_est, in bytes times the window times 17.
    est_carry: u64,
    /// When the window was last in use to its end.
    limited_at: Instant,
}

impl Cubic {
    /// For a new connection.
    #[must_use]
    pub fn new(mss: u32, initial_window: u32, hystart: bool) -> Self {
        Self {
            window: Window::new(mss, initial_window, hystart),
            curve: Curve::default(),
            undo: Curve::default(),
            carry: 0,
            est_carry: 0,
            limited_at: Instant::ZERO,
        }
    }

    fn avoid_congestion(&mut self, ack: &Ack, acked: u32) {
        let srtt = ack.srtt.unwrap_or_default();
        self.skip_unused(ack.now, srtt);
        let epoch = self.epoch(ack.now);
        let t = ack.now.since(epoch);
        self.grow_estimate(acked);
        let (cwnd, mss) = (self.window.cwnd, self.window.mss);
        if self.curve.at(t, mss) < self.curve.w_est {
            //= RFC 9438 §4.3 where Reno would have more, so has CUBIC.
            self.window.cwnd = cwnd.max(self.curve.w_est);
            return;
        }
        //= RFC 9438 §4.2 the target is a round trip ahead, and at most half as much again.
        let most = cwnd.saturating_add(cwnd / 2);
        let target = self.curve.at(t.saturating_add(srtt), mss).clamp(cwnd, most);
        //= RFC 9438 §4.4, §4.5 each ACK brings the window its part of the way to the target.
        let gain = u64::from(target - cwnd) * u64::from(acked) + u64::from(self.carry);
        let whole = u64::from(cwnd);
        self.carry = saturate(gain % whole);
        self.window.cwnd = cwnd.saturating_add(saturate(gain / whole));
    }

    /// RFC 9438 §5.8: time in which the window was not used does not count.
    fn skip_unused(&mut self, now: Instant, srtt: Duration) {
        let unused = now.since(self.limited_at);
        self.limited_at = now;
        // Within a round trip the window may well have been open between two ACKs.
        if unused > srtt
            && let Some(epoch) = &mut self.curve.epoch
        {
            *epoch = (*epoch + unused).min(now);
        }
    }

    /// The beginning of this stage of congestion avoidance; it may be now.
    fn epoch(&mut self, now: Instant) -> Instant {
        if let Some(epoch) = self.curve.epoch {
            return epoch;
        }
        let (cwnd, mss) = (self.window.cwnd, self.window.mss);
        let curve = &mut self.curve;
        //= RFC 9438 §4.8, §4.10 after a timeout, or a slow start that ended by itself, the curve
        // begins at its inflection: K is zero and W_max the present window.
        curve.w_max = curve.w_max.max(cwnd);
        curve.k = inflection(curve.w_max - cwnd, mss);
        curve.w_est = cwnd;
        if curve.cwnd_prior == 0 {
            curve.cwnd_prior = cwnd;
        }
        curve.epoch = Some(now);
        (self.carry, self.est_carry) = (0, 0);
        now
    }

    //= RFC 9438 §4.3 the estimate grows by alpha segments a window's worth of ACKs, and by one
    // once it has what the last reduction took.
    fn grow_estimate(&mut self, acked: u32) {
        let curve = &mut self.curve;
        let alpha = if curve.w_est < curve.cwnd_prior {
            ALPHA.0
        } else {
            ALPHA.1
        };
        let whole = u64::from(self.window.cwnd) * ALPHA.1;
        let gain = u64::from(self.window.mss)
            .saturating_mul(u64::from(acked))
            .saturating_mul(alpha)
            .saturating_add(self.est_carry);
        if gain < whole {
            self.est_carry = gain;
        } else {
            curve.w_est = curve.w_est.saturating_add(saturate(gain / whole));
            self.est_carry = gain % whole;
        }
    }

    fn beta(&self) -> u32 {
        saturate(u64::from(self.window.cwnd) * BETA.0 / BETA.1)
    }
}

impl Curve {
    /// W_cubic(t), bytes.
    fn at(&self, t: Duration, mss: u32) -> u32 {
        let t = ticks(t);
        let k = u64::from(self.k);
        let d = t.abs_diff(k).min(TIME_MAX);
        // d is at most 2^22, its square here 2^30 and its cube 2^38.
        let cube = (((d * d) >> SHIFT) * d) >> SHIFT;
        let offset = saturate((cube.saturating_mul(u64::from(mss) * C.0) / C.1) >> SHIFT);
        if t < k {
            self.w_max.saturating_sub(offset)
        } else {
            self.w_max.saturating_add(offset)
        }
    }
}

/// K: when the curve that starts `deficit` bytes below W_max reaches it, in 2^-14 s.
fn inflection(deficit: u32, mss: u32) -> u32 {
    // 32 bits, and 3 for 5/2, and 42: no more than 77.
    let cubed = ((u128::from(deficit) * u128::from(C.1)) << (3 * SHIFT))
        / (u128::from(C.0) * u128::from(mss.max(1)));
    saturate(cube_root(cubed).min(TIME_MAX))
}

/// The largest integer whose cube is not larger than `n`, bit by bit from the top; once an epoch.
fn cube_root(n: u128) -> u64 {
    let mut root = 0u128;
    for bit in (0..42).rev() {
        let tried = root | 1 << bit;
        if tried * tried * tried <= n {
            root = tried;
        }
    }
    u64::try_from(root).unwrap_or(u64::MAX)
}

/// A duration in 2^-14 s, up to 256 s.
fn ticks(d: Duration) -> u64 {
    (nanos(d).min(256_000_000_000) << SHIFT) / 1_000_000_000
}

impl Controller for Cubic {
    fn on_ack(&mut self, ack: &Ack) {
        if !self.window.may_grow(ack) {
            return;
        }
        let mut acked = ack.acked;
        if self.window.in_slow_start() {
            self.limited_at = ack.now;
            acked = self.window.slow_start(ack);
        }
        if !self.window.in_slow_start() && acked > 0 {
            self.avoid_congestion(ack, acked);
        }
    }

    fn on_congestion(&mut self, _now: Instant, event: Congestion, _in_flight: u32) {
        self.undo = self.curve;
        let cwnd = self.window.cwnd;
        //= RFC 9438 §4.7 a flow that did not get back to where it was leaves room for a new one.
        self.curve.w_max = if cwnd < self.curve.w_max {
            saturate(u64::from(cwnd) * (BETA.0 + BETA.1) / (2 * BETA.1))
        } else {
            cwnd
        };
        self.curve.cwnd_prior = cwnd;
        self.curve.epoch = None;
        //= RFC 9438 §4.6 threshold and window fall to beta of the window.
        self.window.reduce(self.beta(), event);
    }

    fn on_recovery_exit(&mut self, _now: Instant) {
        self.window.exit();
    }

    fn on_timeout(&mut self, _now: Instant, _in_flight: u32) {
        let (cwnd, before) = (self.window.cwnd, self.curve);
        if self.window.timeout(self.beta()) {
            self.undo = before;
            self.curve.cwnd_prior = cwnd;
        }
        self.curve.w_max = 0;
        self.curve.epoch = None;
    }

    fn on_undo(&mut self, _now: Instant) {
        //= RFC 9438 §4.9.2 the curve comes back too, unless the window has outgrown it.
        if self.window.undo() {
            self.curve = self.undo;
            (self.carry, self.est_carry) = (0, 0);
        }
    }

    fn on_restart(&mut self, _now: Instant, idle: Duration, rto: Duration) {
        let before = self.window.cwnd;
        self.window.restart(idle, rto);
        if self.window.cwnd < before {
            self.curve.epoch = None;
        }
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

#[cfg(test)]
mod tests {
    use super::super::tests::ack;
    use super::*;

    #[test]
    fn cube_roots() {
        for (n, root) in [
            (0, 0),
            (1, 1),
            (7, 1),
            (8, 2),
            (26, 2),
            (27, 3),
            (999, 9),
            (1_000_000_000, 1000),
            (u128::from(u64::MAX), 2_642_245),
            ((1 << 77) - 1, 53_264_340),
        ] {
            assert_eq!(cube_root(n), root, "{n}");
        }
    }

    #[test]
    fn the_curve_is_the_float_one() {
        for (w_max, cwnd, mss) in [
            (1_000_000u32, 700_000u32, 1448u32),
            (14_600, 10_220, 1460),
            (100_000_000, 70_000_000, 1448),
            (50_000_000, 35_000_000, 8948),
            (60_000, 42_000, 536),
        ] {
            let k = inflection(w_max - cwnd, mss);
            let k_float = (f64::from(w_max - cwnd) / f64::from(mss) / 0.4).cbrt();
            let close = (f64::from(k) / 16384.0 - k_float).abs();
            assert!(close < 0.0002, "K {close} off for {w_max}");
            let curve = Curve {
                w_max,
                k,
                ..Curve::default()
            };
            for ms in (0..40_000u32).step_by(137) {
                let t = f64::from(ms) / 1000.0 - k_float;
                let float = (0.4 * t * t * t) * f64::from(mss) + f64::from(w_max);
                let ours = f64::from(curve.at(Duration::from_millis(ms.into()), mss));
                if float < 4e9 {
                    let slack = f64::from(mss) + 0.001 * (float - f64::from(w_max)).abs();
                    assert!((ours - float).abs() < slack, "at {ms} ms {ours} {float}");
                }
            }
        }
    }

    #[test]
    fn nothing_overflows() {
        for mss in [1, 536, 65_535, u32::MAX] {
            let k = inflection(u32::MAX, mss);
            let curve = Curve {
                w_max: u32::MAX,
                k,
                ..Curve::default()
            };
            for t in [Duration::ZERO, Duration::from_secs(9), Duration::MAX] {
                curve.at(t, mss);
            }
            let mut cubic = Cubic::new(mss, u32::MAX, true);
            cubic.on_congestion(Instant::ZERO, Congestion::Loss, 0);
            cubic.on_recovery_exit(Instant::ZERO);
            for s in 0..100 {
                let mut ack = ack(s * 1000, u32::MAX, Some(u64::MAX / 1_000_000));
                ack.prior_in_flight = u32::MAX;
                ack.peak_in_flight = u32::MAX;
                cubic.on_ack(&ack);
            }
        }
    }

    /// A flow that acknowledges one window each round trip, like the fluid model, follows the
    /// float curve to within two segments.
    #[test]
    fn the_window_follows_the_curve() {
        let (mss, rtt_ms) = (1448u32, 100u64);
        let mut cubic = Cubic::new(mss, 1000 * mss, false);
        cubic.on_congestion(Instant::ZERO, Congestion::Loss, 1000 * mss);
        cubic.on_recovery_exit(Instant::ZERO);
        assert_eq!(cubic.window(), 700 * mss);
        let k = (300.0f64 / 0.4).cbrt();
        let mut now = 0.0;
        while now < 15.0 {
            // ACKs of two segments, spread over the round trip.
            let step = 2.0 * f64::from(mss) / f64::from(cubic.window()) * rtt_ms as f64 / 1000.0;
            cubic.on_ack(&ack((now * 1e6) as u64, 2 * mss, Some(rtt_ms)));
            now += step;
            let expected = 0.4 * (now - k).powi(3) + 1000.0;
            let ours = f64::from(cubic.window()) / f64::from(mss);
            assert!(
                (ours - expected).abs() < 2.0,
                "{now} s: {ours}, not {expected}"
            );
        }
    }

    #[test]
    fn reno_rules_on_short_paths() {
        // RFC 9438 §4.3: at 1 ms the curve is far slower than Reno.
        let mss = 1000;
        let mut cubic = Cubic::new(mss, 100 * mss, false);
        cubic.on_congestion(Instant::ZERO, Congestion::Loss, 0);
        cubic.on_recovery_exit(Instant::ZERO);
        let (mut us, mut rounds) = (0, 0);
        while cubic.window() < 100 * mss {
            let window = cubic.window();
            let mut acked = 0;
            while acked < window {
                us += 10;
                cubic.on_ack(&ack(us, mss, Some(1)));
                acked += mss;
            }
            rounds += 1;
        }
        // 30 segments at 9/17 a round: 57 rounds.
        assert!((54..=60).contains(&rounds), "{rounds}");
    }

    #[test]
    fn fast_convergence_gives_way() {
        let mut cubic = Cubic::new(1000, 100_000, false);
        cubic.on_congestion(Instant::ZERO, Congestion::Loss, 0);
        assert_eq!((cubic.curve.w_max, cubic.ssthresh()), (100_000, 70_000));
        cubic.on_recovery_exit(Instant::ZERO);
        cubic.on_congestion(Instant::ZERO, Congestion::Loss, 0);
        assert_eq!((cubic.curve.w_max, cubic.ssthresh()), (59_500, 49_000));
    }

    #[test]
    fn after_a_timeout_the_curve_begins_at_its_inflection() {
        let mut cubic = Cubic::new(1000, 100_000, false);
        cubic.on_congestion(Instant::ZERO, Congestion::Loss, 0);
        cubic.on_recovery_exit(Instant::ZERO);
        cubic.on_timeout(Instant::ZERO, 0);
        assert_eq!((cubic.window(), cubic.ssthresh()), (1000, 49_000));
        for us in 0..50 {
            cubic.on_ack(&ack(us, 1000, Some(50)));
        }
        assert!(cubic.curve.epoch.is_some());
        // Not the 100 segments from before the timeout.
        assert_eq!((cubic.curve.w_max, cubic.curve.k), (49_000, 0));
        assert_eq!(cubic.curve.cwnd_prior, 70_000);
    }

    #[test]
    fn undo_brings_the_curve_back() {
        let mut cubic = Cubic::new(1000, 100_000, false);
        cubic.on_congestion(Instant::ZERO, Congestion::Loss, 0);
        cubic.on_recovery_exit(Instant::ZERO);
        for us in 1..100 {
            cubic.on_ack(&ack(us * 1000, 1000, Some(50)));
        }
        let (window, ssthresh, curve) = (cubic.window(), cubic.ssthresh(), cubic.curve);
        let now = Instant::from_nanos(200_000_000);
        for timeout in [false, true] {
            if timeout {
                cubic.on_timeout(now, window);
                assert_eq!(cubic.window(), 1000);
            } else {
                cubic.on_congestion(now, Congestion::Loss, window);
                assert!(cubic.window() < window);
            }
            cubic.on_undo(now);
            assert_eq!((cubic.window(), cubic.ssthresh()), (window, ssthresh));
            assert_eq!(cubic.curve.w_max, curve.w_max);
            assert_eq!((cubic.curve.k, cubic.curve.epoch), (curve.k, curve.epoch));
        }
    }

    #[test]
    fn unused_time_does_not_count() {
        let run = |pause: u64| {
            let mut cubic = Cubic::new(1000, 1_000_000, false);
            cubic.on_congestion(Instant::ZERO, Congestion::Loss, 0);
            cubic.on_recovery_exit(Instant::ZERO);
            for i in 0..2000u64 {
                let at = i * 1000 + if i >= 1000 { pause } else { 0 };
                cubic.on_ack(&ack(at, 1000, Some(20)));
            }
            cubic.window()
        };
        // One step of the pause's end is lost with it.
        let (without, with) = (run(0), run(60_000_000));
        assert!(with.abs_diff(without) < 1000, "{without} {with}");
    }

    #[test]
    fn small() {
        assert!(size_of::<Cubic>() <= 160, "{}", size_of::<Cubic>());
    }
}
