//! BBR: a model of the path, its bandwidth and its round-trip time, in place of a reaction to loss.
//!
//! ```text
//!   Startup --bandwidth flat for 3 rounds--> Drain --in flight <= BDP--> ProbeBw <-+
//!      ^   2.89 x bandwidth                  0.35 x                      5/4, 3/4, |
//!      |                                                                 6 times 1 |
//!      +--pipe never filled-- ProbeRtt <--no smaller RTT for 10 s-- (any)          |
//!                             4 segments for 200 ms ----------pipe filled----------+
//! ```
//!
//! Read first: draft-cardwell-iccrg-bbr-congestion-control-00 §3 and §4 (version 1), and
//! draft-cheng-iccrg-delivery-rate-estimation (the samples).
//!
//! Promises: the pacing rate follows the largest delivery rate of ten rounds, the window is at most
//! twice the bandwidth-delay product and three bursts once the pipe is filled; an application that
//! sends too little does not lower the model; the same seed gives the same phases.
//!
//! From Linux rather than the draft: pacing one percent below the estimate, so that a queue drains.
//!
//! Left out: versions 2 and 3 (loss and marks as bounds of the model), the estimate of policers
//! (Linux's long-term bandwidth) and of ACK aggregation. Marks are not heeded, nor by Linux's v1.

use super::window::Episode;
use super::{Ack, Congestion, Controller, saturate};
use crate::rng::Rng;
use crate::time::{Duration, Instant, nanos};
use crate::transport::tcp::pacing;

/// Gains count in 1/256.
const UNIT: u64 = 256;
/// BBRHighGain, 2 / ln 2: the least that doubles the rate each round.
const HIGH_GAIN: u64 = 739;
/// Its inverse, which drains in one round what Startup queued.
const DRAIN_GAIN: u64 = 88;
/// The window's gain in ProbeBw: room for delayed ACKs.
const CWND_GAIN: u64 = 512;
/// pacing_gain_cycle: probe for more, drain what that queued, cruise.
const CYCLE: [u64; 8] = [320, 192, 256, 256, 256, 256, 256, 256];
/// BtlBwFilterLen, in rounds.
const BTLBW_FILTER_LEN: u64 = 10;
/// RTpropFilterLen.
const RTPROP_FILTER_LEN: Duration = Duration::from_secs(10);
/// ProbeRTTDuration.
const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);
/// BBRMinPipeCwnd, in segments.
const MIN_PIPE_CWND: u32 = 4;
/// Rounds without a quarter more bandwidth after which the pipe is full.
const FULL_BW_COUNT: u8 = 3;

/// Where in its cycle of probing the flow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Doubling the rate to find the bandwidth.
    Startup,
    /// Draining what Startup queued.
    Drain,
    /// Cruising, with a probe for more every eight round trips.
    ProbeBw,
    /// Nearly silent, to see the path without a queue of our own.
    ProbeRtt,
}

/// The controller of draft-cardwell-iccrg-bbr-congestion-control-00.
#[derive(Clone, Debug)]
pub struct Bbr {
    mode: Mode,
    cwnd: u32,
    mss: u32,
    initial: u32,
    prior_cwnd: u32,
    episode: Episode,
    packet_conservation: bool,

    btlbw: MaxFilter,
    rtprop: Option<Duration>,
    rtprop_stamp: Instant,

    delivered: u64,
    next_round_delivered: u64,
    round_count: u64,
    round_start: bool,

    full_bw: u64,
    full_bw_count: u8,
    filled_pipe: bool,

    cycle_index: usize,
    cycle_stamp: Instant,
    rng: Rng,

    probe_rtt_done_stamp: Option<Instant>,
    probe_rtt_round_done: bool,
    /// Samples of segments sent before so much was delivered are limited by ProbeRtt.
    limited_until: u64,
    idle_restart: bool,

    pacing_gain: u64,
    cwnd_gain: u64,
    pacing_rate: u64,
}

impl Bbr {
    /// For a new connection; `seed` decides in which phase ProbeBw begins.
    #[must_use]
    pub fn new(mss: u32, initial_window: u32, seed: u64) -> Self {
        let mss = mss.max(1);
        let mut bbr = Self {
            mode: Mode::Startup,
            cwnd: initial_window.max(mss),
            mss,
            initial: initial_window.max(mss),
            prior_cwnd: 0,
            episode: Episode::Open,
            packet_conservation: false,
            btlbw: MaxFilter::default(),
            rtprop: None,
            rtprop_stamp: Instant::ZERO,
            delivered: 0,
            next_round_delivered: 0,
            round_count: 0,
            round_start: false,
            full_bw: 0,
            full_bw_count: 0,
            filled_pipe: false,
            cycle_index: 0,
            cycle_stamp: Instant::ZERO,
            rng: Rng::from_seed(seed),
            probe_rtt_done_stamp: None,
            probe_rtt_round_done: false,
            limited_until: 0,
            idle_restart: false,
            pacing_gain: HIGH_GAIN,
            cwnd_gain: HIGH_GAIN,
            pacing_rate: 0,
        };
        bbr.init_pacing_rate(None);
        bbr
    }

    /// Where it stands.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// BtlBw: the bottleneck's bandwidth as estimated, bytes per second.
    #[must_use]
    pub const fn bandwidth(&self) -> u64 {
        self.btlbw.max
    }

    /// RTprop: the path's round-trip time without queues, as estimated.
    #[must_use]
    pub const fn rtprop(&self) -> Option<Duration> {
        self.rtprop
    }

    /// The same with another seed, before it has run.
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Self {
        self.rng = Rng::from_seed(seed);
        self
    }

    fn update_round(&mut self, ack: &Ack) {
        self.delivered = ack.delivered;
        self.round_start = ack.prior_delivered >= self.next_round_delivered;
        if self.round_start {
            self.next_round_delivered = ack.delivered;
            self.round_count += 1;
            // What was lost in the round before has been made up for.
            self.packet_conservation = false;
        }
    }

    fn update_btlbw(&mut self, ack: &Ack, app_limited: bool) {
        let interval = nanos(ack.interval);
        if interval == 0 {
            return;
        }
        // Below 2^62.
        let bw = u64::from(ack.sampled) * 1_000_000_000 / interval;
        // A sample the application held down is evidence only where it is larger.
        if bw >= self.btlbw.max || !app_limited {
            self.btlbw.update(self.round_count, bw);
        }
    }

    fn check_cycle_phase(&mut self, ack: &Ack) {
        if self.mode != Mode::ProbeBw {
            return;
        }
        let full_length = ack.now.since(self.cycle_stamp) > self.rtprop.unwrap_or_default();
        let next = match self.pacing_gain {
            // Probe until the queue it makes is seen, or overflows.
            gain if gain > UNIT => {
                full_length && (ack.lost > 0 || ack.prior_in_flight >= self.bdp(gain))
            }
            gain if gain < UNIT => full_length || ack.prior_in_flight <= self.bdp(UNIT),
            _ => full_length,
        };
        if next {
            self.advance_cycle_phase(ack.now);
        }
    }

    fn advance_cycle_phase(&mut self, now: Instant) {
        self.cycle_stamp = now;
        self.cycle_index = (self.cycle_index + 1) % CYCLE.len();
        self.pacing_gain = CYCLE.get(self.cycle_index).copied().unwrap_or(UNIT);
    }

    fn check_full_pipe(&mut self, app_limited: bool) {
        if self.filled_pipe || !self.round_start || app_limited {
            return;
        }
        if self.btlbw.max >= self.full_bw.saturating_add(self.full_bw / 4) {
            self.full_bw = self.btlbw.max;
            self.full_bw_count = 0;
            return;
        }
        self.full_bw_count += 1;
        self.filled_pipe = self.full_bw_count >= FULL_BW_COUNT;
    }

    fn check_drain(&mut self, ack: &Ack) {
        if self.mode == Mode::Startup && self.filled_pipe {
            self.mode = Mode::Drain;
            self.pacing_gain = DRAIN_GAIN;
            self.cwnd_gain = HIGH_GAIN;
        }
        if self.mode == Mode::Drain && ack.in_flight <= self.bdp(UNIT) {
            self.enter_probe_bw(ack.now);
        }
    }

    fn enter_startup(&mut self) {
        self.mode = Mode::Startup;
        self.pacing_gain = HIGH_GAIN;
        self.cwnd_gain = HIGH_GAIN;
    }

    fn enter_probe_bw(&mut self, now: Instant) {
        self.mode = Mode::ProbeBw;
        self.cwnd_gain = CWND_GAIN;
        // Any phase but the draining one, so that flows which start together do not probe together.
        let back = usize::try_from(self.rng.below(7)).unwrap_or(0);
        self.cycle_index = CYCLE.len() - 1 - back;
        self.advance_cycle_phase(now);
    }

    /// Returns whether the estimate had expired.
    fn update_rtprop(&mut self, ack: &Ack) -> bool {
        let expired = self.rtprop.is_some() && ack.now > self.rtprop_stamp + RTPROP_FILTER_LEN;
        if let Some(rtt) = ack.rtt
            && (expired || self.rtprop.is_none_or(|least| rtt <= least))
        {
            self.rtprop = Some(rtt);
            self.rtprop_stamp = ack.now;
        }
        expired
    }

    fn check_probe_rtt(&mut self, ack: &Ack, expired: bool) {
        if self.mode != Mode::ProbeRtt && expired && !self.idle_restart {
            self.save_cwnd();
            self.mode = Mode::ProbeRtt;
            self.pacing_gain = UNIT;
            self.cwnd_gain = UNIT;
            self.probe_rtt_done_stamp = None;
        }
        if self.mode == Mode::ProbeRtt {
            self.handle_probe_rtt(ack);
        }
        if ack.acked > 0 {
            self.idle_restart = false;
        }
    }

    fn handle_probe_rtt(&mut self, ack: &Ack) {
        self.limited_until = ack.delivered.saturating_add(u64::from(ack.in_flight));
        match self.probe_rtt_done_stamp {
            None if ack.in_flight <= self.min_pipe() => {
                self.probe_rtt_done_stamp = Some(ack.now + PROBE_RTT_DURATION);
                self.probe_rtt_round_done = false;
                self.next_round_delivered = ack.delivered;
            }
            None => {}
            Some(_) => {
                self.probe_rtt_round_done |= self.round_start;
                if self.probe_rtt_round_done {
                    self.check_probe_rtt_done(ack.now);
                }
            }
        }
    }

    fn check_probe_rtt_done(&mut self, now: Instant) {
        if self.probe_rtt_done_stamp.is_none_or(|done| now <= done) {
            return;
        }
        self.rtprop_stamp = now;
        self.restore_cwnd();
        if self.filled_pipe {
            self.enter_probe_bw(now);
        } else {
            self.enter_startup();
        }
    }

    fn init_pacing_rate(&mut self, srtt: Option<Duration>) {
        let rtt = srtt.map_or(1_000_000, nanos).max(1);
        // Below 2^62, then below 2^64.
        let nominal = u64::from(self.initial) * 1_000_000_000 / rtt;
        self.pacing_rate = (nominal.saturating_mul(HIGH_GAIN) / UNIT).max(u64::from(self.mss));
    }

    fn set_pacing_rate(&mut self, gain: u64) {
        let rate = self.btlbw.max.saturating_mul(gain) / UNIT;
        // We differ, as Linux does: a hundredth less, or no queue would ever drain.
        let rate = rate - rate / 100;
        if self.filled_pipe || rate > self.pacing_rate {
            // A segment a second is the least: a wrong sample must not silence the connection, for
            // without ACKs there is no better one.
            self.pacing_rate = rate.max(u64::from(self.mss));
        }
    }

    fn set_cwnd(&mut self, ack: &Ack) {
        if ack.lost > 0 && self.episode != Episode::Open {
            self.cwnd = self.cwnd.saturating_sub(ack.lost).max(self.mss);
        }
        if self.packet_conservation {
            self.cwnd = self.cwnd.max(ack.in_flight.saturating_add(ack.acked));
        } else {
            let target = self.inflight(self.cwnd_gain);
            let grown = self.cwnd.saturating_add(ack.acked);
            if self.filled_pipe {
                self.cwnd = grown.min(target);
            } else if self.cwnd < target || ack.delivered < u64::from(self.initial) {
                self.cwnd = grown;
            }
            self.cwnd = self.cwnd.max(self.min_pipe());
        }
        if self.mode == Mode::ProbeRtt {
            self.cwnd = self.cwnd.min(self.min_pipe());
        }
    }

    /// The bandwidth-delay product times `gain`.
    fn bdp(&self, gain: u64) -> u32 {
        let Some(rtprop) = self.rtprop.filter(|_| self.btlbw.max > 0) else {
            return self.initial;
        };
        let micros = nanos(rtprop).div_ceil(1000);
        let bdp = self.btlbw.max.saturating_mul(micros) / 1_000_000;
        saturate(bdp.saturating_mul(gain) / UNIT)
    }

    /// BBRInflight: the window that takes, with room for the bursts which the sender's host, the
    /// wire and the receiver's host may each hold.
    ///
    /// We differ: the draft compares with this sum where it waits for the queue to drain, too. On
    /// a short path three bursts of a millisecond are a standing queue; there we use the product.
    fn inflight(&self, gain: u64) -> u32 {
        let burst = pacing::burst(self.pacing_rate, self.mss);
        self.bdp(gain).saturating_add(burst.saturating_mul(3))
    }

    fn min_pipe(&self) -> u32 {
        self.mss.saturating_mul(MIN_PIPE_CWND)
    }

    fn save_cwnd(&mut self) {
        let steady = self.episode == Episode::Open && self.mode != Mode::ProbeRtt;
        self.prior_cwnd = if steady {
            self.cwnd
        } else {
            self.prior_cwnd.max(self.cwnd)
        };
    }

    fn restore_cwnd(&mut self) {
        self.cwnd = self.cwnd.max(self.prior_cwnd);
    }
}

impl Controller for Bbr {
    fn on_ack(&mut self, ack: &Ack) {
        if self.rtprop.is_none() && ack.rtt.is_some() {
            self.init_pacing_rate(ack.srtt.or(ack.rtt));
        }
        self.update_round(ack);
        let held = self.mode == Mode::ProbeRtt || ack.prior_delivered < self.limited_until;
        let app_limited = ack.app_limited || held;
        self.update_btlbw(ack, app_limited);
        self.check_cycle_phase(ack);
        self.check_full_pipe(app_limited);
        self.check_drain(ack);
        let expired = self.update_rtprop(ack);
        self.check_probe_rtt(ack, expired);
        self.set_pacing_rate(self.pacing_gain);
        self.set_cwnd(ack);
    }

    fn on_congestion(&mut self, _now: Instant, event: Congestion, in_flight: u32) {
        if event == Congestion::Ecn {
            return;
        }
        self.save_cwnd();
        self.episode = Episode::Recovery;
        // For one round no more is sent than is delivered; the model then says what fits.
        self.cwnd = in_flight.saturating_add(self.mss);
        self.packet_conservation = true;
        self.next_round_delivered = self.delivered;
    }

    fn on_recovery_exit(&mut self, _now: Instant) {
        // A mark's episode was never one here.
        if self.episode != Episode::Open {
            self.episode = Episode::Open;
            self.packet_conservation = false;
            self.restore_cwnd();
        }
    }

    fn on_timeout(&mut self, _now: Instant, _in_flight: u32) {
        self.save_cwnd();
        self.episode = Episode::Loss;
        self.packet_conservation = false;
        self.cwnd = self.mss;
        // The path may have changed: Startup, if it is not over, judges anew.
        self.full_bw = 0;
        self.full_bw_count = 0;
    }

    fn on_undo(&mut self, _now: Instant) {
        if self.episode != Episode::Open {
            self.full_bw = 0;
            self.full_bw_count = 0;
            self.episode = Episode::Open;
            self.packet_conservation = false;
            self.restore_cwnd();
        }
    }

    fn on_restart(&mut self, now: Instant, _idle: Duration, _rto: Duration) {
        // The model ages by rounds and clocks of its own: no decay. Out of silence the first round
        // goes at the estimated rate, neither probing nor draining.
        self.idle_restart = true;
        match self.mode {
            Mode::ProbeBw => self.set_pacing_rate(UNIT),
            Mode::ProbeRtt => self.check_probe_rtt_done(now),
            _ => {}
        }
    }

    fn set_mss(&mut self, mss: u32) {
        let mss = mss.max(1);
        let initial = saturate(u64::from(self.initial) * u64::from(mss) / u64::from(self.mss));
        if self.round_count == 0 && self.cwnd == self.initial {
            self.cwnd = initial;
        }
        self.initial = initial.max(mss);
        self.mss = mss;
        self.cwnd = self.cwnd.max(mss);
    }

    fn set_window(&mut self, _cwnd: u32) {}

    fn window(&self) -> u32 {
        self.cwnd
    }

    fn ssthresh(&self) -> u32 {
        u32::MAX
    }

    fn pacing_rate(&self) -> Option<u64> {
        Some(self.pacing_rate)
    }

    fn in_slow_start(&self) -> bool {
        self.mode == Mode::Startup
    }

    fn uses_prr(&self) -> bool {
        false
    }
}

/// The largest rate of the last ten rounds: one maximum for each. A round without a sample ages
/// nothing, so that silence is not taken for a slow path.
#[derive(Clone, Debug, Default)]
struct MaxFilter {
    rounds: [u64; BTLBW_FILTER_LEN as usize],
    at: u64,
    max: u64,
}

impl MaxFilter {
    fn update(&mut self, round: u64, bw: u64) {
        let stale = round.saturating_sub(self.at).min(BTLBW_FILTER_LEN);
        for i in 0..stale {
            if let Some(slot) = self.slot(round - i) {
                *slot = 0;
            }
        }
        self.at = self.at.max(round);
        if let Some(slot) = self.slot(round) {
            *slot = (*slot).max(bw);
        }
        if stale > 0 {
            self.max = self.rounds.iter().copied().max().unwrap_or(0);
        }
        self.max = self.max.max(bw);
    }

    fn slot(&mut self, round: u64) -> Option<&mut u64> {
        usize::try_from(round % BTLBW_FILTER_LEN)
            .ok()
            .and_then(|i| self.rounds.get_mut(i))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::ack;
    use super::*;

    const MSS: u32 = 1000;

    /// A path that delivers `rate` bytes a second with `rtt` ms, one ACK a round.
    struct Path {
        bbr: Bbr,
        us: u64,
        delivered: u64,
    }

    impl Path {
        fn new(seed: u64) -> Self {
            Self {
                bbr: Bbr::new(MSS, 10 * MSS, seed),
                us: 0,
                delivered: 0,
            }
        }

        fn round(&mut self, rate: u32, rtt_ms: u64, in_flight: u32) -> &mut Bbr {
            self.ack(rate, rtt_ms, in_flight, false)
        }

        fn ack(&mut self, rate: u32, rtt_ms: u64, in_flight: u32, app_limited: bool) -> &mut Bbr {
            self.us += rtt_ms * 1000;
            let mut ack = ack(self.us, 10 * MSS, Some(rtt_ms));
            ack.prior_delivered = self.delivered;
            self.delivered += u64::from(ack.acked);
            ack.delivered = self.delivered;
            ack.interval = Duration::from_secs(1);
            ack.sampled = rate;
            ack.app_limited = app_limited;
            (ack.prior_in_flight, ack.in_flight) = (in_flight, in_flight);
            self.bbr.on_ack(&ack);
            &mut self.bbr
        }
    }

    #[test]
    fn walks_through_its_states() {
        let mut path = Path::new(1);
        assert_eq!(path.bbr.mode(), Mode::Startup);
        // 1 MB/s and 100 ms: a product of 100 kB. Doubling, then flat.
        for rate in [250_000, 500_000, 1_000_000, 1_000_000, 1_010_000] {
            assert_eq!(path.round(rate, 100, 200_000).mode(), Mode::Startup);
        }
        assert_eq!(path.round(1_000_000, 100, 200_000).mode(), Mode::Drain);
        let rate = path.bbr.pacing_rate().unwrap();
        assert!((330_000..350_000).contains(&rate), "{rate}");
        assert_eq!(path.round(1_000_000, 100, 150_000).mode(), Mode::Drain);
        assert_eq!(path.round(1_000_000, 100, 100_000).mode(), Mode::ProbeBw);
        assert_ne!(path.bbr.pacing_gain, 192, "never begins by draining");
        // Ten seconds without a smaller round-trip time.
        let mut rounds = 0;
        while path.round(1_000_000, 101, 130_000).mode() == Mode::ProbeBw {
            rounds += 1;
        }
        // The first of them came at 0.1 s, and equal samples kept it fresh until 0.8 s.
        assert!((98..=100).contains(&rounds), "{rounds}");
        assert_eq!(path.bbr.mode(), Mode::ProbeRtt);
        assert_eq!(path.bbr.window(), 4 * MSS);
        // Held for 200 ms from when the pipe is empty, and a round.
        assert_eq!(path.round(1_000_000, 100, 4 * MSS).mode(), Mode::ProbeRtt);
        assert_eq!(path.round(40_000, 100, 4 * MSS).mode(), Mode::ProbeRtt);
        assert_eq!(path.round(40_000, 100, 4 * MSS).mode(), Mode::ProbeRtt);
        assert_eq!(path.round(40_000, 100, 4 * MSS).mode(), Mode::ProbeBw);
        // Neither the window nor the bandwidth suffered.
        assert!(path.bbr.window() > 100_000);
        assert_eq!(path.bbr.bandwidth(), 1_000_000);
    }

    #[test]
    fn cycles_through_eight_phases() {
        let mut path = Path::new(1);
        for _ in 0..5 {
            path.round(1_000_000, 100, 10 * MSS);
        }
        assert_eq!(path.bbr.mode(), Mode::ProbeBw);
        let mut gains = std::vec::Vec::new();
        for _ in 0..16 {
            path.us += 1;
            gains.push(path.round(1_000_000, 100, 200_000).pacing_gain);
        }
        let start = gains.iter().position(|&g| g == 320).unwrap();
        assert_eq!(gains[start..start + 8], CYCLE);
        assert!(
            gains.iter().filter(|&&g| g == 320).count() == 2,
            "{gains:?}"
        );
    }

    #[test]
    fn seeds_spread_the_phases() {
        let phase = |seed| {
            let mut path = Path::new(seed);
            for _ in 0..5 {
                path.round(1_000_000, 100, 10 * MSS);
            }
            path.bbr.cycle_index
        };
        let mut seen = [0; 8];
        for seed in 0..200 {
            assert_eq!(phase(seed), phase(seed));
            seen[phase(seed)] += 1;
        }
        assert_eq!(seen[1], 0);
        assert!(seen.iter().filter(|&&n| n > 0).count() == 7, "{seen:?}");
    }

    #[test]
    fn the_filter_is_the_obvious_maximum() {
        let mut rng = Rng::from_seed(9);
        let mut filter = MaxFilter::default();
        let mut all: std::vec::Vec<(u64, u64)> = std::vec::Vec::new();
        let mut round = 0;
        for _ in 0..20_000 {
            round += [0, 0, 0, 1, 1, 2, 5, 30][usize::try_from(rng.below(8)).unwrap()];
            let bw = rng.next_u64() >> (34 + rng.below(30));
            filter.update(round, bw);
            all.push((round, bw));
            let of_ten = all.iter().rev().take_while(|(r, _)| round - r < 10);
            assert_eq!(filter.max, of_ten.map(|x| x.1).max().unwrap());
        }
    }

    #[test]
    fn an_idle_application_does_not_lower_the_model() {
        let mut path = Path::new(1);
        for _ in 0..6 {
            path.round(1_000_000, 100, 10 * MSS);
        }
        for _ in 0..50 {
            path.ack(10_000, 100, 10 * MSS, true);
        }
        assert_eq!(path.bbr.bandwidth(), 1_000_000);
        for _ in 0..11 {
            path.round(500_000, 100, 10 * MSS);
        }
        assert_eq!(path.bbr.bandwidth(), 500_000);
        // And does not end Startup.
        let mut path = Path::new(1);
        for _ in 0..50 {
            assert_eq!(path.ack(10_000, 100, MSS, true).mode(), Mode::Startup);
        }
    }

    #[test]
    fn out_of_silence_it_neither_probes_nor_measures_anew() {
        let mut path = Path::new(1);
        for _ in 0..6 {
            path.round(1_000_000, 100, 10 * MSS);
        }
        while path.round(1_000_000, 100, 200_000).pacing_gain != CYCLE[0] {}
        assert!(path.bbr.pacing_rate().unwrap() > 1_200_000);
        path.us += 11_000_000;
        let now = Instant::from_nanos(path.us * 1000);
        path.bbr
            .on_restart(now, Duration::from_secs(11), Duration::from_secs(1));
        assert_eq!(path.bbr.pacing_rate(), Some(990_000));
        // The estimate expired in silence, and the first ACK out of it is as good as a probe.
        assert_eq!(path.round(1_000_000, 110, 10 * MSS).mode(), Mode::ProbeBw);
        assert_eq!(path.bbr.rtprop(), Some(Duration::from_millis(110)));
    }

    #[test]
    fn what_was_sent_while_silent_does_not_lower_the_model() {
        let mut path = Path::new(1);
        for _ in 0..5 {
            path.round(1_000_000, 100, 10 * MSS);
        }
        while path.round(1_000_000, 101, 100_000).mode() == Mode::ProbeBw {}
        while path.round(1000, 100, 3 * MSS).mode() == Mode::ProbeRtt {}
        // Twenty rounds of ACKs for segments sent by then, in flight a megabyte.
        path.bbr.limited_until = path.delivered + 200_000;
        for _ in 0..20 {
            path.round(1000, 100, 3 * MSS);
        }
        assert_eq!(path.bbr.bandwidth(), 1_000_000);
        for _ in 0..11 {
            path.round(1000, 100, 3 * MSS);
        }
        assert_eq!(path.bbr.bandwidth(), 1000);
        // And the mark is set while it lasts.
        let mut path = Path::new(1);
        for _ in 0..5 {
            path.round(1_000_000, 100, 10 * MSS);
        }
        while path.round(1_000_000, 101, 100_000).mode() == Mode::ProbeBw {}
        assert_eq!(path.bbr.limited_until, path.delivered + 100_000);
    }

    #[test]
    fn loss_is_conserved_for_a_round_and_then_forgotten() {
        let mut path = Path::new(1);
        for _ in 0..40 {
            path.round(1_000_000, 100, 100_000);
        }
        let window = path.bbr.window();
        for undo in [false, true] {
            let now = Instant::from_nanos(path.us * 1000);
            path.bbr.on_congestion(now, Congestion::Loss, 50_000);
            assert_eq!(path.bbr.window(), 51_000);
            assert!(path.bbr.packet_conservation);
            path.round(1_000_000, 100, 50_000);
            assert!(!path.bbr.packet_conservation);
            if undo {
                path.bbr.on_undo(now);
            } else {
                path.bbr.on_recovery_exit(now);
            }
            assert_eq!(path.bbr.window(), window);
            path.bbr.on_timeout(now, 50_000);
            assert_eq!(path.bbr.window(), MSS);
            path.bbr.on_recovery_exit(now);
            assert_eq!(path.bbr.window(), window);
        }
        path.bbr.on_congestion(Instant::ZERO, Congestion::Ecn, 0);
        assert_eq!(path.bbr.window(), window);
    }

    #[test]
    fn extremes_do_no_harm() {
        for seed in 0..300 {
            let mut rng = Rng::from_seed(seed);
            let mut bbr = Bbr::new(rng.next_u32() >> rng.below(32), rng.next_u32(), seed);
            let mut now = Instant::ZERO;
            for _ in 0..50 {
                let mut ack = ack(0, rng.next_u32() >> rng.below(32), Some(rng.below(1 << 40)));
                now += Duration::from_nanos(rng.next_u64() >> rng.below(64) >> 8);
                ack.now = now;
                ack.delivered = rng.next_u64();
                ack.prior_delivered = rng.next_u64();
                ack.interval = Duration::from_nanos(rng.next_u64() >> rng.below(64));
                ack.sampled = rng.next_u32();
                ack.in_flight = rng.next_u32() >> rng.below(32);
                ack.lost = rng.next_u32() >> rng.below(32);
                match rng.below(8) {
                    0 => bbr.on_congestion(now, Congestion::Loss, rng.next_u32()),
                    1 => bbr.on_timeout(now, 0),
                    2 => bbr.on_restart(now, Duration::MAX, Duration::ZERO),
                    3 => bbr.on_recovery_exit(now),
                    4 => bbr.on_undo(now),
                    _ => {}
                }
                bbr.on_ack(&ack);
                assert!(bbr.window() > 0 && bbr.pacing_rate().unwrap() > 0);
            }
        }
    }
}
