//! Episodes of loss: how one is noticed, lasts, ends, and is taken back.
//!
//! ```text
//!             lost                    SND.UNA passes
//!   Open ------------> Recovery -----------------------> Open
//!    |   mark -------> Cwr -----------------------------> |
//!    |   timeout ----> Loss  (F-RTO: was it spurious?) --> |
//!    `-- probe for a lost tail, before the timeout         `-- undo: it was needless
//! ```
//!
//! Read first: RFC 8985 §6–7, RFC 6675 §5, RFC 6582 §3.2, RFC 5682 §3, RFC 6298 §5, RFC 3168 §6.1.2.
//!
//! Promises: the window is reduced at most once a window of data; every loss has a [`Why`].

use super::ack::{Acked, News};
use super::congestion::{Congestion, Controller as _};
use super::log::{Undo, What, Why};
use super::options::Options;
use super::recovery::{Doubt, Prr};
use super::scoreboard::{Marks, Sent};
use super::segment::Segment;
use super::send::{Context, Sender, TailProbe, Track};
use super::status::Phase;
use super::timers::{Timer, Timers};
use crate::time::{Duration, Instant};

/// RFC 8985 §7.2: the longest delay of an acknowledgment that a probe allows for.
const MAX_ACK_DELAY: Duration = Duration::from_millis(200);

/// The shortest time for which a peer is only suspected of having dropped what it held.
const LEAST_DOUBT: Duration = Duration::from_millis(10);

impl Sender {
    /// RFC 8985 §7.4.2: whether a probe repaired a loss that nothing else tells of.
    pub(super) fn end_tail_probe(
        &mut self,
        cx: &Context<'_>,
        seg: &Segment,
        dsack: bool,
        plain_duplicate: bool,
    ) {
        let Some(probe) = self.track.tail_probe else {
            return;
        };
        if seg.ack.before(probe.end) {
            return;
        }
        if !probe.is_retrans || dsack || plain_duplicate && seg.ack == probe.end {
            self.track.tail_probe = None;
        } else if seg.ack.after(probe.end) {
            self.track.tail_probe = None;
            if matches!(self.phase, Phase::Open | Phase::Disorder) {
                // An episode that has passed says nothing about this loss.
                self.track.doubt = None;
                self.cc
                    .on_congestion(cx.now, Congestion::Loss, self.flight());
                self.cc.set_window(self.cc.ssthresh());
                self.cc.on_recovery_exit(cx.now);
                self.counters.recoveries += 1;
            }
        }
    }

    /// Moves on with the episode that lasts.
    pub(super) fn recover(
        &mut self,
        cx: &Context<'_>,
        echo: Option<u32>,
        news: &News,
        duplicate: bool,
        advanced: bool,
        timers: &mut Timers,
    ) {
        let now = cx.now;
        let passed = self.una.at_or_after(self.high_seq);
        if advanced
            && let Some(echo) = echo
            && self
                .track
                .doubt
                .is_some_and(|d| d.answered_original(echo, self.una))
            && self.phase != Phase::Open
        {
            return self.undo(now, Undo::Timestamp, timers);
        }
        if self.track.doubt.is_some_and(|d| d.all_duplicates()) {
            return self.undo(now, Undo::Dsack, timers);
        }
        match self.phase {
            Phase::Open | Phase::Disorder => {}
            Phase::Cwr | Phase::Recovery if passed => self.end_episode(now),
            Phase::Cwr => {}
            Phase::Recovery => {
                if advanced && !self.sack {
                    //= RFC 6582 §3.2 step 3: a partial acknowledgment says that the next segment is
                    //= lost as well.
                    self.track.why = Why::Partial;
                    self.lose_first(now);
                }
            }
            Phase::Loss => self.after_timeout(cx, news, duplicate, advanced, passed, timers),
        }
    }

    /// RFC 5682 §3: whether a timeout was spurious, told by what comes next.
    pub(super) fn after_timeout(
        &mut self,
        cx: &Context<'_>,
        news: &News,
        duplicate: bool,
        advanced: bool,
        passed: bool,
        timers: &mut Timers,
    ) {
        if self.frto {
            if news.original {
                // Step 3b: what was not sent again has been delivered.
                return self.undo(cx.now, Undo::Frto, timers);
            }
            if self.nxt.after(self.high_seq) {
                if news.sacked || duplicate {
                    self.frto = false;
                    self.prefer_new = false;
                }
            } else if advanced && !passed {
                // Step 2b: send what is new, and see what it is answered with.
                self.prefer_new = self.unsent() > 0 && self.window_room() > 0;
                self.frto = self.prefer_new;
                self.high_seq = self.nxt;
                if self.prefer_new {
                    return;
                }
            }
        }
        if passed {
            self.end_episode(cx.now);
        } else if advanced && !self.sack {
            self.lose_first(cx.now);
        }
    }

    /// The first segment in flight is lost.
    fn lose_first(&mut self, now: Instant) {
        let bytes = self.track.board.mark_first_lost(u32::from(self.mss));
        self.note_lost(now, bytes, 1);
    }

    /// Every loss is told once, whatever found it.
    fn note_lost(&mut self, now: Instant, bytes: u32, segments: u32) {
        if bytes > 0 {
            let why = self.track.why;
            let segments = segments.max(1);
            self.note(
                now,
                What::Lost {
                    bytes,
                    segments,
                    why,
                },
            );
        }
    }

    pub(super) fn end_episode(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Recovery | Phase::Cwr) && self.cc.uses_prr() {
            self.cc.set_window(self.cc.ssthresh());
        }
        self.phase = Phase::Open;
        self.frto = false;
        self.prefer_new = false;
        // The doubt stays: that the last retransmission was a duplicate is often told only now.
        self.track.rack.on_recovered();
        self.cc.on_recovery_exit(now);
        self.note(now, What::Recovered);
    }

    /// Takes back a reduction that was needless.
    pub(super) fn undo(&mut self, now: Instant, how: Undo, timers: &mut Timers) {
        self.track.doubt = None;
        self.frto = false;
        self.prefer_new = false;
        // We differ: RFC 8985 §6.2 step 3 sees reordering only where nothing was sent again. That what
        // was taken for lost was late is as good a sign, and the only one where segments are later
        // than three others: without it each of them is sent twice.
        if how != Undo::Frto && self.phase != Phase::Loss {
            self.track.rack.reordering_seen = true;
        }
        self.cc.on_undo(now);
        self.counters.undos += 1;
        if !matches!(self.phase, Phase::Open | Phase::Disorder) {
            self.track.board.forget_losses();
            self.phase = Phase::Open;
            self.cc.on_recovery_exit(now);
        }
        timers.stop(Timer::Reorder);
        self.note(now, What::Undone(how));
    }

    /// Looks for losses; the bytes newly found lost.
    pub(super) fn detect_losses(
        &mut self,
        cx: &Context<'_>,
        timers: &mut Timers,
        out: &mut Acked,
        flight: u32,
    ) -> u32 {
        let mss = u32::from(self.mss);
        let before = self.track.board.lost();
        let mut segments = 0;
        //= RFC 5681 §3.2, RFC 6675 §2, RFC 8985 §3.3: three duplicates mean loss, unless told otherwise.
        let enough = u32::from(cx.options.dup_thresh.max(1));
        if self.sack && cx.options.rack {
            out.probe_lost = self.detect_by_time(cx, timers, &mut segments);
        } else if self.sack {
            if let Some(below) = self.track.board.lost_below(mss, enough) {
                self.track.why = Why::Duplicates;
                //= RFC 6675 §4 NextSeg: what was sent again is not again, but by the timer.
                let once = |s: &Sent| !s.marks.has(Marks::RETRANSMITTED);
                let lost = |s: &Sent| s.seq.before(below) && once(s);
                let lost = counting(&mut segments, mss, lost);
                self.track.board.mark_lost(lost);
            }
        } else if u32::from(self.dupacks) >= enough
            //= RFC 6582 §3.2 step 2: only beyond `recover`; before, they answer what was sent again.
            && self.una.after(self.high_seq)
            && matches!(self.phase, Phase::Open | Phase::Disorder | Phase::Cwr)
        {
            self.track.why = Why::Duplicates;
            self.track.board.mark_first_lost(mss);
        }
        let lost = self.track.board.lost().saturating_sub(before);
        self.note_lost(cx.now, lost, segments);
        let calm = matches!(self.phase, Phase::Open | Phase::Disorder | Phase::Cwr);
        if lost > 0 && !out.probe_lost && calm {
            self.cwr |= cx.options.loud_cwr && self.phase != Phase::Cwr;
            self.enter_recovery(cx.now, flight);
        }
        lost
    }

    /// RFC 8985 §6.2 steps 4 and 5; whether all that was found lost is a probe of the path MTU.
    pub(super) fn detect_by_time(
        &mut self,
        cx: &Context<'_>,
        timers: &mut Timers,
        segments: &mut u32,
    ) -> bool {
        timers.stop(Timer::Reorder);
        if self.track.rack.xmit_ts == Instant::ZERO && self.track.board.sacked() == 0 {
            return false;
        }
        //= RFC 8985 §7.4.1 an acknowledgment of a probe shows what was lost before it, as any other.
        let recovering = matches!(self.phase, Phase::Recovery | Phase::Loss);
        let mss = u32::from(self.mss);
        let enough = u32::from(cx.options.dup_thresh.max(1));
        let certain = recovering || self.track.board.sacked_segments(mss, enough) >= enough;
        let (min_rtt, srtt) = (self.rtt.min_rtt(cx.now), self.rtt.srtt());
        let reo_wnd = self.track.rack.reo_wnd(certain, min_rtt, srtt);
        let mut wait = None;
        let (mut probes, mut others) = (false, false);
        let Track { board, rack, .. } = &mut *self.track;
        let judge = |sent: &Sent| {
            let Some(at) = rack.lost_at(sent, reo_wnd) else {
                return false;
            };
            let lost = at <= cx.now;
            if lost && sent.marks.has(Marks::MTU_PROBE) {
                probes = true;
            } else if lost {
                others = true;
            } else {
                wait = wait.max(Some(at));
            }
            lost
        };
        let marked = board.mark_lost_by_time(rack.xmit_ts, counting(segments, mss, judge));
        if marked > 0 {
            self.track.why = Why::Rack { reo_wnd };
        }
        if let Some(at) = wait {
            timers.set(Timer::Reorder, at);
        }
        probes && !others
    }

    //= RFC 5681 §4.3 by RFC 6675 with RACK where the peer has SACK, else by NewReno.
    /// Fast recovery begins (RFC 5681 §3.2, RFC 6675 §5, RFC 6937 §3).
    pub(super) fn enter_recovery(&mut self, now: Instant, flight: u32) {
        let reduced = self.phase == Phase::Cwr;
        self.high_seq = self.nxt;
        self.track.doubt = Some(Doubt::new(self.una));
        self.track.tail_probe = None;
        if !reduced {
            // A mark in the same window has reduced it already.
            self.cc.on_congestion(now, Congestion::Loss, flight);
            self.track.prr = Prr::new(flight);
        }
        self.phase = Phase::Recovery;
        self.counters.recoveries += 1;
        self.note(now, What::Recovery);
    }

    /// The peer has seen so many congestion marks (RFC 3168 §6.1.2).
    pub(super) fn on_marks(&mut self, now: Instant, marks: u64) {
        self.counters.delivered_ce += marks;
        //= RFC 3168 §6.1.2 the window is reduced at most once in a round trip.
        if !matches!(self.phase, Phase::Open | Phase::Disorder) {
            return;
        }
        self.high_seq = self.nxt;
        self.phase = Phase::Cwr;
        self.track.doubt = None;
        self.track.prr = Prr::new(self.flight());
        self.cc.on_congestion(now, Congestion::Ecn, self.flight());
        self.cwr = true;
        self.note(now, What::CongestionMarked);
    }

    /// Sets or stops the timers that wait for acknowledgments.
    pub(super) fn rearm(&self, cx: &Context<'_>, timers: &mut Timers, advanced: bool) {
        if self.flight() == 0 {
            //= RFC 6298 §5.2 with nothing in flight, nothing is waited for.
            timers.stop(Timer::Retransmit);
            timers.stop(Timer::Probe);
            timers.stop(Timer::Reorder);
            return;
        }
        if advanced || !timers.runs(Timer::Retransmit) {
            //= RFC 6298 §5.3 an acknowledgment of new data starts the timer anew.
            //= RFC 6675 §6 in recovery as well.
            self.arm(cx, timers);
        }
        if advanced {
            self.schedule_probe(cx, timers);
        } else if !self.may_probe(cx.options) {
            timers.stop(Timer::Probe);
        }
    }

    /// Starts the retransmission timer.
    pub(super) fn arm(&self, cx: &Context<'_>, timers: &mut Timers) {
        let mut at = cx.now + self.rtt.rto();
        if let Some((limit, since)) = cx.user_timeout.zip(self.stalled_since) {
            //= RFC 9293 §3.8.3 MUST-21: the user's limit holds to the moment.
            // Once it has passed, only a peer that answers with a closed window is waited for.
            let end = since + limit;
            at = if end > cx.now { at.min(end) } else { at };
        }
        timers.set(Timer::Retransmit, at);
    }

    /// An acknowledgment that stops before what the peer said it holds: it may have dropped that
    /// (RFC 2018 §8), or a newer one is on its way.
    // We differ: RFC 2018 §8 and RFC 6675 §5.1 leave it to the timeout. As Linux, the timeout comes
    // after half a round trip, 10 ms at least.
    pub(super) fn suspect_reneging(&self, cx: &Context<'_>, timers: &mut Timers) {
        let first = self.track.board.first();
        if !first.is_some_and(|s| s.marks.has(Marks::SACKED)) {
            return;
        }
        let half = self.rtt.srtt().map_or(Duration::ZERO, |srtt| srtt / 2);
        timers.set(Timer::Retransmit, cx.now + half.max(LEAST_DOUBT));
    }

    pub(super) fn may_probe(&self, options: &Options) -> bool {
        options.tail_loss_probe
            && self.sack
            && self.una != self.iss
            && matches!(self.phase, Phase::Open | Phase::Cwr)
            && self.track.board.sacked() == 0
            && !self.track.board.is_empty()
    }

    //= RFC 8985 §8 the probe's timer never runs past the retransmission timer.
    /// RFC 8985 §7.2.
    pub(super) fn schedule_probe(&self, cx: &Context<'_>, timers: &mut Timers) {
        if !self.may_probe(cx.options) {
            return timers.stop(Timer::Probe);
        }
        let pto = match self.rtt.srtt() {
            Some(srtt) if self.flight() <= u32::from(self.mss) => srtt * 2 + MAX_ACK_DELAY,
            // Two ticks of slack for very short round trips, as timers are coarse elsewhere.
            Some(srtt) => srtt * 2 + Duration::from_millis(2),
            None => Duration::from_secs(1),
        };
        let at = cx.now + pto;
        let at = timers.at(Timer::Retransmit).map_or(at, |rto| rto.min(at));
        timers.set(Timer::Probe, at);
    }

    /// Whether a probe may be sent now (RFC 8985 §7.3).
    pub(super) fn take_probe_turn(&mut self, options: &Options) -> bool {
        let may = self.track.tail_probe.is_none() && self.timed && self.may_probe(options);
        if may {
            self.timed = false;
        }
        may
    }

    pub(super) fn on_probe_sent(&mut self, now: Instant, is_retrans: bool) {
        let end = self.nxt;
        self.track.tail_probe = Some(TailProbe { end, is_retrans });
        self.note(now, What::TailLossProbe);
    }

    /// The reordering timer ran out.
    pub(super) fn on_reorder_timeout(&mut self, cx: &Context<'_>, timers: &mut Timers) -> Acked {
        let mut out = Acked::default();
        let flight = self.flight();
        let lost = self.detect_losses(cx, timers, &mut out, flight);
        if lost > 0 {
            self.come_down(0, false, false);
        }
        out
    }

    /// The retransmission timer ran out with data in flight (RFC 6298 §5.4–5.6, RFC 8985 §6.3).
    pub(super) fn on_timeout(&mut self, cx: &Context<'_>) {
        let now = cx.now;
        let rto = self.rtt.rto();
        let fresh = self.phase != Phase::Loss || self.una.at_or_after(self.high_seq);
        self.retransmits = self.retransmits.saturating_add(1);
        self.counters.timeouts += 1;
        if fresh || self.retransmits == 1 {
            self.track.doubt = Some(Doubt::new(self.una));
        }
        if fresh {
            self.cwr |= cx.options.loud_cwr;
            self.cc.on_timeout(now, self.flight());
        } else {
            self.cc.set_window(u32::from(self.mss));
        }
        if self
            .track
            .board
            .first()
            .is_some_and(|s| s.marks.has(Marks::SACKED))
        {
            // We differ: RFC 2018 §5.1 would have it forgotten at each timeout. As RFC 6675 §5.1 allows
            // and Linux does, only where the peer contradicts itself.
            //= RFC 2018 §8 what was acknowledged selectively may have been dropped again.
            self.track.board.forget_sacks();
            self.track.why = Why::Reneged;
        } else {
            let times = self.retransmits;
            self.track.why = Why::Timeout { times, rto };
        }
        let una = self.una;
        let (min_rtt, srtt) = (self.rtt.min_rtt(now), self.rtt.srtt());
        let wait = self.track.rack.rtt + self.track.rack.reo_wnd(true, min_rtt, srtt);
        let by_time = self.sack && cx.options.rack && self.track.rack.xmit_ts > Instant::ZERO;
        let mut segments = 0;
        let lost = |s: &Sent| s.seq == una || !by_time || s.at + wait <= now;
        let lost = counting(&mut segments, u32::from(self.mss), lost);
        let bytes = self.track.board.mark_lost(lost);
        self.dupacks = 0;
        self.track.prr = Prr::new(self.flight());
        self.track.tail_probe = None;
        //= RFC 5682 §3.1 step 1: not where the timeout repeats within one series.
        self.frto = cx.options.frto && (fresh || self.retransmits > 1 && self.frto);
        self.prefer_new = false;
        //= RFC 6675 §5.1 what is marked lost goes again, and is not slowed down for a second time.
        self.high_seq = self.nxt;
        self.phase = Phase::Loss;
        self.rtt.back_off();
        self.note(now, What::Timeout(self.retransmits));
        self.note_lost(now, bytes, segments);
    }

    /// The path carries less: what is longer than that is lost, without any congestion (RFC 1191
    /// §6.5).
    pub(super) fn on_too_big(&mut self, now: Instant, mtu: u16) {
        let mss = u32::from(self.mss);
        self.track.why = Why::PathMtu { mtu };
        let mut segments = 0;
        let lost = counting(&mut segments, mss, |s| s.len() > mss);
        let bytes = self.track.board.mark_lost(lost);
        self.note_lost(now, bytes, segments);
    }

    /// Our SYN is sent again, without the data that went with it: what acknowledges that data may
    /// answer either, and times nothing (Karn).
    pub(super) fn doubt_early(&mut self, now: Instant) {
        let first = self.iss + 1;
        if self.nxt.after(first) {
            let len = self.nxt.since(first);
            self.track.board.resend(first, len, |sent| sent.at = now);
        }
    }

    /// Our data in the SYN was not acknowledged with it: it is lost, and says nothing of
    /// congestion, so the window stays.
    //= RFC 7413 §4.2.2 client: what is not acknowledged goes along with the first acknowledgment.
    pub(super) fn on_fast_open_refused(&mut self, now: Instant) {
        self.track.why = Why::FastOpen;
        let bytes = self.track.board.mark_lost(|_| true);
        self.note_lost(now, bytes, 1);
    }
}

/// Counts the segments of `mss` bytes in what `lost` says is.
fn counting<'a>(
    segments: &'a mut u32,
    mss: u32,
    mut lost: impl FnMut(&Sent) -> bool + 'a,
) -> impl FnMut(&Sent) -> bool + 'a {
    move |sent| {
        let lost = lost(sent);
        if lost {
            *segments += sent.len().div_ceil(mss.max(1));
        }
        lost
    }
}
