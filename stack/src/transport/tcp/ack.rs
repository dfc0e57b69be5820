//! An acknowledgment comes: what it delivers, what it times, and what the controller is told.
//!
//! ```text
//!   window -> delivered -> round trip -> episode (episode.rs) -> controller, PRR -> timers
//! ```
//!
//! Read first: RFC 9293 §3.10.7.4 (fifth), RFC 6675 §4, RFC 6298 §3, RFC 6937 §3; the delivery rate is
//! draft-cheng-iccrg-delivery-rate-estimation's.
//!
//! Promises: what is told twice is counted once.

use super::congestion::{Ack, Controller as _};
use super::log::What;
use super::options::Options;
use super::pacing;
use super::scoreboard::{Marks, Sent};
use super::segment::Segment;
use super::send::{Context, Fin, Sender, Track};
use super::status::Phase;
use super::timers::Timers;
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::Flags;

/// What one acknowledgment has delivered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct News {
    pub(super) delivered: u32,
    /// Bytes that have left the network, as far as can be told.
    pub(super) left: u32,
    /// Of the entry sent last: the delivery rate's variables.
    pub(super) newest: Option<Sent>,
    /// When the first was sent that was acknowledged and sent only once.
    pub(super) first_once: Option<Instant>,
    /// The same for selective acknowledgments, and the last one.
    pub(super) sacked_once: Option<Instant>,
    pub(super) last_once: Option<Instant>,
    pub(super) retrans_acked: bool,
    pub(super) sacked: bool,
    /// Something was delivered that was in flight at the timeout and never sent again.
    pub(super) original: bool,
    pub(super) probe: bool,
}

impl News {
    #[inline]
    pub(super) fn take(&mut self, sent: &Sent, high_seq: SeqNum, by_sack: bool) {
        self.delivered += sent.len();
        self.sacked |= by_sack;
        self.probe |= sent.marks.has(Marks::MTU_PROBE);
        if self.newest.is_none_or(|n| sent.at >= n.at) {
            self.newest = Some(*sent);
        }
        if sent.marks.has(Marks::RETRANSMITTED) {
            self.retrans_acked = true;
            return;
        }
        self.original |= sent.end.at_or_before(high_seq);
        let first = if by_sack {
            &mut self.sacked_once
        } else {
            &mut self.first_once
        };
        first.get_or_insert(sent.at);
        self.last_once = self.last_once.max(Some(sent.at));
    }
}

/// What an acknowledgment meant for the rest of the connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Acked {
    /// SND.UNA moved.
    pub(super) advanced: bool,
    /// Bytes delivered that were not known to be.
    pub(super) delivered: u32,
    /// Our FIN is.
    pub(super) fin: bool,
    /// A probe for a larger path MTU arrived.
    pub(super) probe: bool,
    /// A probe for a larger path MTU was lost.
    pub(super) probe_lost: bool,
}

impl Sender {
    /// Our SYN is acknowledged; what else is, [`on_ack`](Self::on_ack) sees to.
    pub(super) fn on_syn_acked(
        &mut self,
        cx: &Context<'_>,
        seg: &Segment,
        retries: u8,
        timers: &mut Timers,
    ) {
        let syn = self.track.board.first().copied();
        let una = self.iss + 1;
        self.track.board.ack(una, |_| {});
        self.una = una;
        self.retransmits = 0;
        self.stalled_since = (self.flight() > 0).then_some(cx.now);
        (self.delivered_at, self.first_at) = (cx.now, cx.now);
        // A SYN-ACK that only a cookie remembers counts as sent again: it is not timed.
        let once = syn.filter(|s| !s.marks.has(Marks::RETRANSMITTED));
        let sample = match once {
            Some(syn) => Some(cx.now.since(syn.at)),
            //= RFC 7323 §4.1 the echo says which of several it was that arrived.
            None if retries > 0 => self.echoed(cx, seg),
            None => None,
        };
        if let Some(sample) = sample {
            self.rtt.on_sample(cx.now, sample);
        }
        self.rtt.on_established();
        if retries > 1 {
            //= RFC 5681 §3.1: after a SYN was lost, slow start begins with one segment.
            //= RFC 6928 §2: one that was sent again once may only have been late.
            self.cc.set_window(u32::from(self.mss));
        }
        self.set_pace(cx.options);
        self.rearm(cx, timers, true);
    }

    /// The round trip that a segment's echo tells of.
    pub(super) fn echoed(&self, cx: &Context<'_>, seg: &Segment) -> Option<Duration> {
        let ticks = cx.ts_at(cx.now)?.wrapping_sub(seg.timestamps?.1);
        // An echo from the future, or from before the clock's last half turn, is none.
        (ticks < 1 << 31).then(|| Duration::from_millis(u64::from(ticks).max(1)))
    }

    /// Takes an acceptable acknowledgment (SND.UNA =< SEG.ACK =< SND.NXT).
    pub(super) fn on_ack(&mut self, cx: &Context<'_>, seg: &Segment, timers: &mut Timers) -> Acked {
        let now = cx.now;
        let prior = (self.una, self.in_flight(), self.flight());
        let closed = self.wnd == 0;
        let window_changed = self.update_window(seg);
        if closed && window_changed && cx.options.slow_start_after_idle {
            // What waited for the window finds the path as unknown as what was just written.
            self.on_restart(cx.now);
        }
        let mut out = Acked::default();
        let mut news = News::default();
        let echo = seg
            .timestamps
            .map(|(_, echo)| echo)
            .filter(|_| cx.ts_offset.is_some());
        self.advance(cx, seg.ack, echo, &mut news, &mut out);
        let dsack = self.take_sacks(cx, seg, echo, &mut news);
        //= RFC 5682 §2.1: without SACK the rest may have arrived long ago, and only now be told of.
        news.original &= self.sack || !news.retrans_acked;
        let cumulative = self.una.since(prior.0);
        self.delivered += u64::from(news.delivered);
        out.delivered = news.delivered;
        if news.delivered > 0 {
            self.delivered_at = now;
        }
        if out.advanced {
            self.retransmits = 0;
            self.rtt.reset_backoff();
            self.stalled_since = (self.flight() > 0).then_some(now);
        }
        let counted = self.dupacks;
        if out.advanced {
            self.dupacks = self.still_duplicate(cumulative);
            self.follow_recover();
        }
        let duplicate = !out.advanced
            && seg.len == 0
            && !seg.flags.intersects(Flags::SYN | Flags::FIN)
            && !window_changed
            && self.flight() > 0;
        if duplicate && !self.sack {
            self.dupacks = self.dupacks.saturating_add(1);
        }
        news.left = self.left_network(&news, counted);
        let rtt = self.time(cx, &news, echo, out.advanced);
        out.probe = news.probe;
        let plain = !out.advanced
            && seg.len == 0
            && !seg.flags.intersects(Flags::SYN | Flags::FIN)
            && !window_changed
            && !news.sacked;
        self.end_tail_probe(cx, seg, dsack, plain);
        // A pure window update, or data that acknowledges nothing: most of what a receiver gets.
        if news.delivered == 0 && !duplicate && !dsack && self.flight() == 0 {
            self.rearm(cx, timers, out.advanced);
            return out;
        }
        self.track.rack.on_dsack(self.una, self.nxt, dsack);
        self.track.rack.end_ack();
        let saw_reordering = self.track.rack.reordering_seen;
        self.recover(cx, echo, &news, duplicate, out.advanced, timers);
        let lost = self.detect_losses(cx, timers, &mut out, prior.2);
        if saw_reordering != self.track.rack.reordering_seen {
            let window = self
                .track
                .rack
                .reo_wnd(false, self.rtt.min_rtt(now), self.rtt.srtt());
            self.note(now, What::Reordering(window));
        }
        self.control(cx, &news, cumulative, rtt, lost, prior.1, out.advanced);
        if self.phase == Phase::Open || self.phase == Phase::Disorder {
            self.phase = if self.track.board.sacked() > 0 || self.dupacks > 0 {
                Phase::Disorder
            } else {
                Phase::Open
            };
        }
        if out.advanced {
            self.note(now, What::Acked(cumulative));
        }
        self.rearm(cx, timers, out.advanced);
        if out.advanced {
            self.suspect_reneging(cx, timers);
        }
        out
    }

    /// Takes what an acknowledgment that came late, behind a newer one, tells of blocks.
    pub(super) fn on_old_ack(
        &mut self,
        cx: &Context<'_>,
        seg: &Segment,
        timers: &mut Timers,
    ) -> Acked {
        let mut out = Acked::default();
        let mut news = News::default();
        let echo = seg.timestamps.map(|(_, echo)| echo);
        let echo = echo.filter(|_| cx.ts_offset.is_some());
        let dsack = self.take_sacks(cx, seg, echo, &mut news);
        self.track.rack.on_dsack(self.una, self.nxt, dsack);
        self.track.rack.end_ack();
        if news.delivered == 0 {
            return out;
        }
        self.delivered += u64::from(news.delivered);
        self.delivered_at = cx.now;
        let flight = self.flight();
        self.detect_losses(cx, timers, &mut out, flight);
        if self.phase == Phase::Open {
            self.phase = Phase::Disorder;
        }
        out
    }

    /// RFC 6582's `recover` follows behind, lest it seem ahead after half the number space.
    pub(super) fn follow_recover(&mut self) {
        let open = matches!(self.phase, Phase::Open | Phase::Disorder);
        if open && self.una.after(self.high_seq) {
            self.high_seq = self.una - 1;
        }
    }

    /// Duplicate acknowledgments that a partial one leaves standing: the segments behind them are
    /// still with the peer. The first segment of what is acknowledged was missing, and so none of
    /// them; once all is acknowledged, none stands.
    pub(super) fn still_duplicate(&self, cumulative: u32) -> u16 {
        if self.sack || self.phase != Phase::Recovery || self.una.at_or_after(self.high_seq) {
            return 0;
        }
        let segments = cumulative.div_ceil(u32::from(self.mss).max(1));
        let were_counted = u16::try_from(segments.saturating_sub(1)).unwrap_or(u16::MAX);
        self.dupacks.saturating_sub(were_counted)
    }

    /// Bytes that an acknowledgment says have left the network, each told once: without SACK a
    /// segment for each duplicate (RFC 6937 §3), of which `counted` stood before.
    pub(super) fn left_network(&self, news: &News, counted: u16) -> u32 {
        if self.sack {
            return news.delivered;
        }
        let mss = u32::from(self.mss);
        let fresh = self.dupacks.saturating_sub(counted);
        let settled = counted.saturating_sub(self.dupacks);
        let told = news.delivered + u32::from(fresh) * mss;
        told.saturating_sub(u32::from(settled) * mss)
    }

    /// Moves SND.UNA.
    pub(super) fn advance(
        &mut self,
        cx: &Context<'_>,
        ack: SeqNum,
        echo: Option<u32>,
        news: &mut News,
        out: &mut Acked,
    ) {
        if !ack.after(self.una) {
            return;
        }
        let end = self.data_end();
        let released = self.offset(ack.earlier(end).later(self.data_una()));
        out.advanced = true;
        out.fin = self.fin == Fin::Sent && ack.after(end);
        let min_rtt = self.rtt.min_rtt(cx.now);
        let high_seq = self.high_seq;
        let Track { board, rack, .. } = &mut *self.track;
        board.ack(ack, |sent| {
            rack.on_delivered(cx.now, sent, is_older(cx, echo, sent.at), min_rtt);
            news.take(sent, high_seq, false);
        });
        self.buffer.release(released);
        self.una = ack;
        if out.fin {
            self.fin = Fin::Acked;
        }
        if self.up.is_some_and(|up| up.at_or_before(ack)) {
            self.up = None;
        }
        if self.usage_end.before(ack) {
            self.cwnd_limited = false;
        }
    }

    /// Reads the SACK option; whether it reports a duplicate.
    pub(super) fn take_sacks(
        &mut self,
        cx: &Context<'_>,
        seg: &Segment,
        echo: Option<u32>,
        news: &mut News,
    ) -> bool {
        let blocks = seg.sacks.as_slice();
        let Some(&(left, right)) = blocks.first().filter(|_| self.sack) else {
            return false;
        };
        //= RFC 2883 §4 a first block below the acknowledgment, or within the second block, reports
        //= a duplicate.
        let inside = |&(l, r): &(SeqNum, SeqNum)| l.at_or_before(left) && right.at_or_before(r);
        let dsack = right.at_or_before(seg.ack) || blocks.get(1).is_some_and(inside);
        if dsack {
            self.counters.dsacks += 1;
            if let Some(doubt) = &mut self.track.doubt {
                doubt.on_dsack(left, right, self.una);
            }
        }
        let min_rtt = self.rtt.min_rtt(cx.now);
        let high_seq = self.high_seq;
        let (una, nxt) = (self.una, self.nxt);
        let full = self.flight() / u32::from(self.mss).max(1);
        let most = 256 + 4 * usize::try_from(full).unwrap_or(0);
        let Track { board, rack, .. } = &mut *self.track;
        for &(left, right) in blocks.iter().skip(usize::from(dsack)) {
            //= RFC 2018 §5 blocks are believed only within what is in flight.
            if !left.before(right) || right.after(nxt) || !right.after(una) {
                continue;
            }
            // Blocks that cut segments to crumbs would make each byte an entry.
            if board.len() > most {
                continue;
            }
            board.sack(left.later(una), right, |sent| {
                rack.on_delivered(cx.now, sent, is_older(cx, echo, sent.at), min_rtt);
                news.take(sent, high_seq, true);
            });
        }
        dsack
    }

    /// Times a round trip.
    pub(super) fn time(
        &mut self,
        cx: &Context<'_>,
        news: &News,
        echo: Option<u32>,
        advanced: bool,
    ) -> Option<Duration> {
        //= RFC 9293 §3.8.1 MUST-18: Karn's rule.
        //= RFC 6298 §3 (Karn): what was sent more than once is not timed, unless by a timestamp.
        let once = if news.retrans_acked {
            None
        } else {
            news.first_once
        };
        let by_echo = || {
            let echo = echo.filter(|_| advanced)?;
            // Of several transmissions an older one is echoed: it arrived, but that an
            // acknowledgment of it was lost may be what took the time.
            if news
                .newest
                .is_some_and(|sent| is_older(cx, Some(echo), sent.at))
            {
                return None;
            }
            let ticks = cx.ts_at(cx.now)?.wrapping_sub(echo);
            // An echo from the future, or from before the clock's last half turn, is none.
            (ticks < 1 << 31).then(|| Duration::from_millis(u64::from(ticks).max(1)))
        };
        let sample = once
            .or(news.sacked_once)
            .map(|at| cx.now.since(at))
            .or_else(by_echo)?;
        self.rtt.on_sample(cx.now, sample);
        self.timed = true;
        Some(news.last_once.map_or(sample, |at| cx.now.since(at)))
    }

    /// Tells the controller, or PRR while an episode lasts.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn control(
        &mut self,
        cx: &Context<'_>,
        news: &News,
        cumulative: u32,
        rtt: Option<Duration>,
        lost: u32,
        prior_in_flight: u32,
        advanced: bool,
    ) {
        let reducing = matches!(self.phase, Phase::Recovery | Phase::Cwr);
        let in_flight = self.in_flight();
        let (interval, sampled, prior_delivered) = self.sample_rate(cx.now, news);
        let acked = if self.sack || reducing || !advanced {
            news.delivered
        } else {
            // What duplicates have told of before counts once; at least a segment is news.
            let least = news.delivered.min(u32::from(self.mss));
            news.left.max(least)
        };
        let ack = Ack {
            now: cx.now,
            acked,
            cumulative,
            delivered: self.delivered,
            prior_delivered,
            interval,
            sampled,
            app_limited: self.rate_app_limited,
            rtt,
            srtt: self.rtt.srtt(),
            min_rtt: self.rtt.min_rtt(cx.now),
            prior_in_flight,
            peak_in_flight: self.peak_in_flight().max(prior_in_flight),
            in_flight,
            lost,
            cwnd_limited: self.cwnd_limited,
            in_recovery: reducing,
            reordered: self.reordering_degree(cx.options.dup_thresh)
                > u32::from(cx.options.dup_thresh),
        };
        self.cc.on_ack(&ack);
        //= RFC 6582 §3.2 step 3: what a partial acknowledgment shows to be lost is sent at once.
        let partial = !self.sack && advanced && self.track.board.lost() > 0;
        self.come_down(news.left, advanced && lost == 0, partial);
        self.set_pace(cx.options);
    }

    /// Sets the window by PRR while an episode lasts (RFC 6937 §3): `left` bytes have left the
    /// network, with `progress` or not; `owed`: at least one segment may go.
    pub(super) fn come_down(&mut self, left: u32, progress: bool, owed: bool) {
        if !matches!(self.phase, Phase::Recovery | Phase::Cwr) || !self.cc.uses_prr() {
            return;
        }
        let (in_flight, mss) = (self.in_flight(), u32::from(self.mss));
        let ssthresh = self.cc.ssthresh();
        let prr = &mut self.track.prr;
        let room = prr.on_ack(left, progress, in_flight, ssthresh, mss);
        let room = if owed { room.max(mss) } else { room };
        self.cc.set_window(in_flight.saturating_add(room).max(mss));
    }

    pub(super) fn set_pace(&mut self, options: &Options) {
        let rate = match self.cc.pacing_rate() {
            Some(rate) => rate,
            None if options.pacing => {
                pacing::rate(self.cc.window(), self.cc.ssthresh(), self.rtt.srtt())
            }
            None => 0,
        };
        self.pacer.set_rate(rate.min(options.max_pacing_rate));
    }

    /// draft-cheng-iccrg-delivery-rate-estimation §3.3: interval, bytes, P.delivered.
    pub(super) fn sample_rate(&mut self, now: Instant, news: &News) -> (Duration, u32, u64) {
        if self.app_limited > 0 && self.delivered > self.app_limited {
            self.app_limited = 0;
        }
        let Some(newest) = news.newest else {
            return (Duration::ZERO, 0, self.delivered);
        };
        self.first_at = newest.at;
        let send_elapsed = newest.at.since(newest.first_at);
        let ack_elapsed = now.since(newest.delivered_at);
        let interval = send_elapsed.max(ack_elapsed);
        let sampled = self.delivered - newest.delivered;
        self.rate_app_limited = newest.marks.has(Marks::APP_LIMITED);
        // Shorter than any round trip: acknowledgments were compressed, or a retransmission's
        // acknowledgment was the original's.
        if self.rtt.min_rtt(now).is_some_and(|min| interval < min) || interval.is_zero() {
            return (Duration::ZERO, 0, newest.delivered);
        }
        let rate = u128::from(sampled) * 1_000_000_000 / interval.as_nanos().max(1);
        self.delivery_rate = u64::try_from(rate).unwrap_or(u64::MAX);
        let sampled = u32::try_from(sampled).unwrap_or(u32::MAX);
        (interval, sampled, newest.delivered)
    }
}

/// Whether the timestamp that an acknowledgment echoes is older than a transmission.
fn is_older(cx: &Context<'_>, echo: Option<u32>, sent_at: Instant) -> bool {
    let (Some(echo), Some(sent)) = (echo, cx.ts_at(sent_at)) else {
        return false;
    };
    SeqNum(echo).before(SeqNum(sent))
}
