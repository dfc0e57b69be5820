//! What may be sent now, and the segment that says it.
//!
//! ```text
//!   reset -> SYN -> probe -> what is lost -> new data, FIN -> acknowledgment alone
//!                             \ congestion window, pacer /\ peer's window, Nagle
//! ```
//!
//! Read first: RFC 9293 §3.7.4 and §3.8.6 (Nagle, silly windows), RFC 5681 §3.1, RFC 7323 §3.2.
//!
//! Promises: every segment with an acknowledgment takes along what is due of it; no more is in
//! flight than both windows allow, but for the probes that the RFCs except.

use super::accurate::Feedback;
use super::congestion::Controller as _;
use super::connection::{Connection, PendingReset, Probe};
use super::log::Why;
use super::options::{Nagle, OptionOrder};
use super::recv::Need;
use super::scoreboard::Marks;
use super::segment::{Outgoing, Sacks};
use super::send::Fin;
use super::state::State;
use super::status::Phase;
use super::timers::Timer;
use crate::frame::Payload;
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, MAX_OPTIONS_LEN, OptionBuffer, TcpOption};

/// How long a corked segment waits at most, as Linux's.
const CORK: Duration = Duration::from_millis(200);

/// A burst that left so long ago has only just.
const JUST: Duration = Duration::from_millis(1);

/// More transmissions than this, or twice the window's worth of full ones, are not kept in flight:
/// tiny segments would cost more than they carry.
const MANY: usize = 64;

/// A segment of data that may be sent.
struct Plan {
    seq: SeqNum,
    len: u32,
    fin: bool,
    why: Option<Why>,
    /// Data of each segment.
    mss: u16,
    again: bool,
    /// Pushed, though the user's write did not end here.
    push: bool,
}

impl Connection {
    /// The next segment to leave, with at most `max` bytes of data (a super-segment where that is
    /// more than one segment carries); `None`: nothing may be sent now.
    //= RFC 9293 §3.10.7.4 MUST-58, MUST-59: input only notes that an acknowledgment is due. Whoever
    //= hands all that has come to `handle_segment` before it asks here has one for all of it.
    pub fn poll_transmit(&mut self, now: Instant, max: usize) -> Option<Outgoing> {
        if let Some(reset) = self.reset.take() {
            return Some(self.reset_segment(now, reset));
        }
        match self.state {
            State::Closed | State::Listen => return None,
            State::SynSent | State::SynReceived if self.syn_due || !self.may_talk() => {
                return self.handshake_segment(now);
            }
            _ => {}
        }
        if let Some(probe) = self.probe.take()
            && let Some(segment) = self.probe_segment(now, probe)
        {
            return Some(segment);
        }
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        if let Some(plan) = self.plan(now, max) {
            return Some(self.data_segment(now, &plan));
        }
        (self.rcv.need == Need::Now).then(|| self.bare(now, self.snd.nxt, None))
    }

    /// Whether what came last is to be answered by itself, before more is taken: a duplicate, or
    /// what is out of order. A peer without selective acknowledgments counts such answers, and one
    /// with them learns from each of what it tells alone.
    //= RFC 5681 §4.2 each segment out of order has its duplicate acknowledgment.
    //= RFC 2883 §4 a duplicate is told of in what answers it.
    #[must_use]
    #[inline]
    pub fn owes_answer(&self) -> bool {
        self.rcv.owes_answer() && self.reset.is_none() && !self.syn_due && self.may_talk()
    }

    /// That answer: an acknowledgment without data.
    pub fn poll_answer(&mut self, now: Instant) -> Option<Outgoing> {
        self.owes_answer()
            .then(|| self.bare(now, self.snd.nxt, None))
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) may have something; it may be true in vain.
    #[must_use]
    #[inline]
    pub fn has_output(&self, now: Instant) -> bool {
        if self.rcv.need == Need::Now
            || self.syn_due
            || self.reset.is_some()
            || self.probe.is_some()
        {
            return !matches!(self.state, State::Listen);
        }
        // A cork has the same timer, and keeps back no more than what fills no segment.
        let paced = !self.options.cork && self.timers.at(Timer::Pacing).is_some_and(|at| at > now);
        if paced || !self.may_talk() {
            return false;
        }
        let snd = &self.snd;
        let waits = snd.track.board.lost() > 0 || snd.unsent() > 0 || snd.fin == Fin::Queued;
        waits && (snd.congestion_room() > 0 || snd.flight() == 0 || snd.owes_retransmission())
    }

    fn reset_segment(&mut self, now: Instant, reset: PendingReset) -> Outgoing {
        self.snd.counters.segs_out += 1;
        let mut options = OptionBuffer::new();
        //= RFC 7323 §5.2 a reset that nothing but our user or our patience asked for has them.
        // We differ: one that answers a segment has none, as Linux's, which knows no connection
        // where it makes those.
        if reset.ack && self.timestamps {
            options.push_timestamps(self.clock(now), self.rcv.ts_recent);
        }
        let flags = if reset.ack {
            Flags::RST | Flags::ACK
        } else {
            Flags::RST
        };
        Outgoing {
            seq: reset.seq,
            ack: if reset.ack { self.rcv.nxt } else { SeqNum(0) },
            flags,
            // As Linux's: it is read by nobody, and tells a reset that was asked for from others.
            window: match reset.ack && !self.options.exact_window {
                true => self.rcv.offer(),
                false => 0,
            },
            urgent: 0,
            options,
            payload: Payload::new(),
            mss: self.snd.mss,
            ecn: 0,
            why: None,
        }
    }

    /// SYN or SYN-ACK.
    fn handshake_segment(&mut self, now: Instant) -> Option<Outgoing> {
        if !self.syn_due {
            // A challenge, or a keep-alive's answer: only once we know the peer's number.
            let answer = self.rcv.need == Need::Now && self.state == State::SynReceived;
            return answer.then(|| self.bare(now, self.snd.nxt, None));
        }
        self.syn_due = false;
        let reply = self.state == State::SynReceived;
        let mut flags = Flags::SYN;
        if reply {
            flags |= Flags::ACK;
        }
        flags |= self.ecn_of_syn(reply);
        let iss = self.snd.iss;
        let again = self.snd.nxt != iss;
        let options = self.syn_options(now, reply, again);
        let payload = self.send_syn(now, again);
        self.snd.counters.segs_out += 1;
        if !again {
            let rto = self.snd.rtt.rto();
            self.timers.set(Timer::Retransmit, now + rto);
        }
        let times = self.syn_retries;
        let window = self.rcv.offer_in_syn();
        if reply {
            self.rcv.on_acked();
            self.timers.stop(Timer::DelayedAck);
        }
        Some(Outgoing {
            seq: iss,
            ack: if reply { self.rcv.nxt } else { SeqNum(0) },
            flags,
            window,
            urgent: 0,
            options,
            payload,
            mss: self.snd.mss,
            ecn: 0,
            why: again.then_some(Why::Handshake { times }),
        })
    }

    /// Notes that a SYN leaves; gives the data that goes with it.
    fn send_syn(&mut self, now: Instant, again: bool) -> Payload {
        let iss = self.snd.iss;
        if again {
            //= RFC 7413 §4.2.2 a SYN or SYN-ACK that is sent again carries no data.
            self.with_sender(now, |snd, cx, t| snd.on_resent(cx, iss, 1, t));
            if self.active {
                self.snd.doubt_early(now);
            }
            return Payload::new();
        }
        let early = self.early_data();
        let end = iss + 1 + early;
        // Less than there was room for; a SYN alone keeps no small segment waiting.
        let small = early > 0 && early == self.snd.buffer.len();
        self.with_sender(now, |snd, cx, timers| {
            snd.on_sent(cx, iss + 1, Marks::NONE, timers);
            if early > 0 {
                snd.on_sent(cx, end, Marks::NONE, timers);
            }
            if small {
                snd.small = end;
            }
        });
        let len = usize::try_from(early).unwrap_or(0);
        let at = self.snd.offset(iss + 1);
        if early > 0 {
            // Sent again, it is a segment of its own.
            self.snd.buffer.push_at(at + u64::from(early));
        }
        self.snd.buffer.slice(at, len)
    }

    fn syn_options(&self, now: Instant, reply: bool, again: bool) -> OptionBuffer {
        if self.options.bare_syns {
            return OptionBuffer::new();
        }
        //= RFC 9293 §3.7.1 MUST-67: no more than what IP takes in one piece, less both headers.
        //= RFC 9293 §3.7.3 SHLD-6: of the interface, or of the path where that carries less.
        let mss = self.path.mtu.saturating_sub(self.path.ip_header + 20);
        let mss = mss.min(self.options.mss.unwrap_or(u16::MAX)).max(1);
        let sack = if reply {
            self.snd.sack
        } else {
            self.options.sack
        };
        let echo_reply = if reply { self.rcv.ts_recent } else { 0 };
        let value = self.clock(now);
        let timestamps = TcpOption::Timestamps { value, echo_reply };
        let scale = TcpOption::WindowScale(self.rcv.wscale);
        let mut all = OptionBuffer::new();
        let push = |all: &mut OptionBuffer, over: usize, option: &TcpOption<'_>| {
            all.align(over);
            let pushed = all.push(option);
            debug_assert!(pushed.is_ok(), "these fit");
        };
        //= RFC 9293 §3.7.1 MUST-14, SHLD-5, MAY-3: in every SYN; §3.2 MUST-65: and in nothing else.
        push(&mut all, 0, &TcpOption::MaximumSegmentSize(mss));
        match self.options.option_order {
            OptionOrder::Linux => {
                if sack && self.timestamps {
                    push(&mut all, 0, &TcpOption::SackPermitted);
                }
                if self.timestamps {
                    push(&mut all, 2, &timestamps);
                }
                if reply && !again {
                    self.push_counters_of_syn(&mut all);
                }
                if sack && !self.timestamps {
                    push(&mut all, 2, &TcpOption::SackPermitted);
                }
                if self.scaled {
                    push(&mut all, 1, &scale);
                }
            }
            OptionOrder::FreeBsd => {
                let after = self.options.plain_syn_after;
                let plain = !reply && after > 0 && self.syn_retries >= after;
                if self.scaled && !plain {
                    push(&mut all, 1, &scale);
                }
                if sack && !plain {
                    push(&mut all, 0, &TcpOption::SackPermitted);
                }
                if self.timestamps && !plain {
                    // Its numbers start at a multiple of four.
                    push(&mut all, 2, &timestamps);
                }
                if reply && !again {
                    self.push_counters_of_syn(&mut all);
                }
            }
        }
        //= RFC 7413 §4.2.1 a SYN or SYN-ACK that is sent again carries no cookie.
        if let Some(cookie) = self.cookie_to_send().filter(|_| !again) {
            let experimental = cookie.is_experimental();
            let cookie = cookie.as_slice();
            let option = TcpOption::FastOpen {
                cookie,
                experimental,
            };
            let at = all.len();
            push(&mut all, at, &option);
            // As Linux pads it; FreeBSD leaves that to the end.
            let pads = self.options.option_order == OptionOrder::Linux;
            if cookie.len() % 4 == 0 && !experimental && pads {
                all.align(0);
            }
        }
        self.push_timeout(&mut all);
        all
    }

    /// Counters of marks in a SYN-ACK, where there is room beside what else it has.
    fn push_counters_of_syn(&self, all: &mut OptionBuffer) {
        let cookie = self.cookie_to_send().map_or(0, |c| c.as_slice().len() + 4);
        let blocks = usize::from(self.snd.sack && !self.timestamps);
        let scale = usize::from(self.scaled);
        let rest = all.len() + 4 * (blocks + scale) + cookie.next_multiple_of(4);
        let rest = rest + usize::from(self.timeout_len());
        if let Some((counters, fields)) = self.counters_of_syn(rest) {
            all.push_ecn_counters(counters.get(..fields).unwrap_or_default());
        }
    }

    /// Options of any other segment: timestamps, and as many blocks as fit.
    #[inline]
    fn options_now(&mut self, now: Instant) -> OptionBuffer {
        let mut options = OptionBuffer::new();
        if self.timestamps {
            options.push_timestamps(self.clock(now), self.rcv.ts_recent);
        }
        if self.timeout_due {
            self.push_timeout(&mut options);
            self.timeout_due = false;
        }
        let duplicate = self.rcv.duplicate();
        let sacks = match self.rcv.has_sacks() && self.snd.sack {
            true => self.rcv.sacks(self.options.dsack),
            false => Sacks::default(),
        };
        let mut blocks = sacks.as_slice();
        if self.ecn == Feedback::Accurate {
            let room = self.push_counters(now, &mut options, duplicate, blocks.len());
            blocks = blocks.get(..room).unwrap_or(blocks);
            if blocks.is_empty() {
                options.align(0);
            }
        }
        options.push_sack(blocks);
        options
    }

    /// A segment without data.
    fn bare(&mut self, now: Instant, seq: SeqNum, why: Option<Why>) -> Outgoing {
        let options = self.options_now(now);
        self.segment(seq, Flags::ACK, options, Payload::new(), why)
    }

    /// A segment of a connection that is open: acknowledgment and window are added.
    #[inline]
    fn segment(
        &mut self,
        seq: SeqNum,
        flags: Flags,
        options: OptionBuffer,
        payload: Payload,
        why: Option<Why>,
    ) -> Outgoing {
        let mut flags = flags;
        match self.ecn {
            Feedback::None => {}
            Feedback::Classic if self.rcv.echo => flags |= Flags::ECE,
            Feedback::Classic => {}
            Feedback::Accurate => {
                flags |= self.ace_now(payload.is_empty() && flags == Flags::ACK);
            }
        }
        let window = self.rcv.offer();
        let ack = self.rcv.nxt;
        self.rcv.on_acked();
        self.timers.stop(Timer::DelayedAck);
        let mss = self.snd.mss;
        let len = u64::try_from(payload.len()).unwrap_or(0);
        self.snd.counters.segs_out += len.div_ceil(u64::from(mss.max(1))).max(1);
        Outgoing {
            seq,
            ack,
            flags,
            window,
            urgent: 0,
            options,
            payload,
            mss,
            ecn: self.capable(false),
            why,
        }
    }

    fn probe_segment(&mut self, now: Instant, probe: Probe) -> Option<Outgoing> {
        match probe {
            Probe::Tail => self.tail_probe(now),
            Probe::Fin => {
                let options = self.options_now(now);
                let (seq, flags) = (self.snd.nxt - 1, Flags::FIN | Flags::ACK);
                Some(self.segment(seq, flags, options, Payload::new(), None))
            }
            Probe::KeepAlive => {
                //= RFC 9293 §3.8.4: one below what the peer expects, so that it must answer.
                //= RFC 9293 §3.8.4 SHLD-12: without data.
                Some(self.bare(now, self.snd.nxt - 1, Some(Why::KeepAlive)))
            }
            Probe::Window => {
                let room = self.snd.window_room();
                let rto = self.snd.rtt.rto();
                if room > 0 && self.snd.unsent() > 0 {
                    //= RFC 9293 §3.8.6.2.1 the override: what fits is sent after all.
                    let mss = self.room_in_segment();
                    let len = self.snd.unsent().min(room).min(u32::from(mss));
                    let len = self.snd.within_record(self.snd.nxt, len);
                    let mut plan = self.new_plan(len, false, mss);
                    // Nothing follows it soon.
                    plan.push = true;
                    return Some(self.data_segment(now, &plan));
                }
                // The user's limit holds to the moment.
                let since = self.snd.stalled_since.unwrap_or(now);
                let end = self.options.user_timeout.map(|limit| since + limit);
                let at = end
                    .filter(|end| *end > now)
                    .map_or(now + rto, |end| end.min(now + rto));
                self.timers.set(Timer::Persist, at);
                Some(self.bare(now, self.snd.una - 1, Some(Why::WindowProbe)))
            }
        }
    }

    /// RFC 8985 §7.3: new data if there is some, else the last segment again.
    fn tail_probe(&mut self, now: Instant) -> Option<Outgoing> {
        let mss = self.room_in_segment();
        let full = u32::from(mss);
        let len = self.snd.unsent().min(full);
        let len = self.snd.within_record(self.snd.nxt, len);
        let new = len > 0 && self.snd.window_room() >= len;
        let mut plan = self.new_plan(len, false, mss);
        plan.why = Some(Why::TailLossProbe);
        if !new {
            let tail = self.snd.tail(full)?;
            let last = self.snd.track.board.tail(tail)?;
            let len = self.snd.within_shrunk(last.seq, last.len(), full)?;
            (plan.seq, plan.len, plan.again) = (last.seq, len, true);
            if (last.seq + len).after(self.snd.data_end()) {
                plan.fin = true;
                plan.len -= 1;
            }
        }
        let segment = self.data_segment(now, &plan);
        self.snd.on_probe_sent(now, !new);
        self.timers.stop(Timer::Probe);
        let rto = self.snd.rtt.rto();
        self.timers.set(Timer::Retransmit, now + rto);
        Some(segment)
    }

    /// Data that fits a segment beside the options it would have now.
    #[inline]
    pub(super) fn room_in_segment(&self) -> u16 {
        if !self.rcv.has_sacks() || !self.snd.sack {
            let options = self.timeout_len() + self.counters_len();
            return self.snd.mss.saturating_sub(options).max(8);
        }
        // At most four blocks, three beside timestamps: what the list has room for.
        let used = if self.timestamps { 12 } else { 0 };
        let most = u16::try_from(MAX_OPTIONS_LEN).unwrap_or(40) - used;
        self.snd.mss.saturating_sub(most).max(8)
    }

    /// The data that may be sent now.
    #[inline]
    fn plan(&mut self, now: Instant, max: u32) -> Option<Plan> {
        let sends = !matches!(self.state, State::FinWait2 | State::TimeWait);
        let waits =
            self.snd.track.board.lost() > 0 || self.snd.unsent() > 0 || self.snd.fin == Fin::Queued;
        if !sends || !waits {
            if sends {
                self.snd.note_app_limited();
            }
            return None;
        }
        if self.snd.pacer.rate() > 0 {
            let ready = self.snd.pacer.ready_at(now);
            if ready > now {
                self.timers.set(Timer::Pacing, ready);
                return None;
            }
        }
        if self.snd.track.board.lost() > 0 {
            if self.snd.prefer_new
                && let Some(plan) = self.plan_new(now, max)
            {
                return Some(plan);
            }
            return self.plan_lost(max);
        }
        self.plan_new(now, max)
    }

    fn plan_lost(&mut self, max: u32) -> Option<Plan> {
        let lost = self.snd.track.board.next_lost()?;
        let mss = self.room_in_segment();
        let full = u32::from(mss);
        let mut room = self.snd.congestion_room();
        if self.snd.owes_retransmission() {
            room = room.max(full);
        }
        let most = self.burst(max, full).min((room / full * full).max(full));
        let run = if self.options.burst_segments.is_some() && lost.len() >= full {
            most.min(lost.len())
        } else if self.options.burst_segments.is_some() {
            full
        } else {
            // What was sent in small pieces goes again in large ones.
            most
        };
        let run = self.snd.track.board.lost_run(lost.seq, run);
        let len = self.snd.within_record(lost.seq, run);
        let mut len = self.snd.within_shrunk(lost.seq, len, full)?;
        //= RFC 8985 §9.3 what is marked lost waits for the congestion window, too.
        if room < len.min(full) {
            self.snd.note_cwnd_limited();
            return None;
        }
        let end = lost.seq + len;
        let fin = end.after(self.snd.data_end());
        if fin {
            len -= 1;
        }
        Some(Plan {
            seq: lost.seq,
            len,
            fin,
            why: Some(self.snd.track.why),
            mss,
            again: true,
            push: false,
        })
    }

    /// The largest super-segment: of whole segments, and no more than the pacer lets go at once.
    #[inline]
    fn burst(&self, max: u32, full: u32) -> u32 {
        if self.snd.up.is_some() || self.ace_divides() {
            // Each segment points to the urgent byte from its own number; and devices let only the
            // first of a burst have CWR, which is a bit of ACE.
            return full;
        }
        let most = if self.snd.pacer.rate() > 0 {
            max.min(self.snd.pacer.burst(full))
        } else if let Some(least) = self.options.burst_segments {
            let cc = &self.snd.cc;
            let rate = super::pacing::rate(cc.window(), cc.ssthresh(), self.snd.rtt.srtt());
            let least = full.saturating_mul(u32::from(least));
            max.min(super::pacing::burst(rate, full).max(least))
        } else {
            max
        };
        (most / full * full).max(full)
    }

    /// New data, and the FIN.
    #[inline]
    fn plan_new(&mut self, now: Instant, max: u32) -> Option<Plan> {
        let snd = &self.snd;
        let unsent = snd.unsent();
        let window = snd.window_room();
        let mss = self.room_in_segment();
        let full = u32::from(mss);
        if unsent == 0 {
            return self.plan_fin(now, window, mss);
        }
        //= RFC 9293 §3.8.6 MUST-34, SHLD-15: beyond the window, wherever it now ends, nothing new goes.
        if window == 0 {
            self.wait_for_window(now);
            return None;
        }
        let mut room = snd.congestion_room();
        if snd.flight() == 0 {
            room = room.max(full);
        }
        let crowded = snd.track.board.len() >= MANY
            && snd.track.board.len() as u64 * u64::from(full) > 2 * u64::from(snd.cc.window());
        //= RFC 5681 §2 no more is in flight than the lesser of both windows.
        // Up to the end of a record, which what follows may not share a segment with.
        // Linux takes a burst from one piece.
        let bound = match self.options.burst_segments {
            Some(_) => snd.within_piece(snd.nxt, unsent),
            None => snd.within_record(snd.nxt, unsent),
        };
        if room < full.min(bound) || crowded {
            self.snd.note_cwnd_limited();
            return None;
        }
        if let Some(plan) = self.plan_mtu_probe(bound, window, room) {
            return Some(plan);
        }
        let mut most = self.burst(max, full);
        if self.options.burst_segments.is_some() {
            let half = snd.cc.window() / full / 2 * full;
            most = most.min(half.max(full));
        }
        if self.options.burst_segments.is_some()
            && self.defers(now, bound, (window, room), most, full)
        {
            return None;
        }
        let allowed = bound.min(window).min(room).min(most);
        //= RFC 9293 §3.9.1.2 SHLD-28: whole segments.
        let whole = allowed / full * full;
        // The rest, less than a segment, goes only where it is the last and need not wait.
        let last = allowed == bound;
        let rest = last && allowed > whole && (bound < unsent || self.may_send_small(now));
        let len = if rest { allowed } else { whole };
        if len == 0 {
            //= RFC 9293 §3.8.6.2.1 MUST-38: the sender avoids silly windows.
            //= RFC 9293 §3.8.6.2.1: less than a segment only if it is half the largest window.
            let half = allowed >= self.snd.max_wnd / 2 && window == allowed && !last;
            if !half {
                if !last || self.snd.flight() == 0 && window < unsent.min(full) {
                    self.wait_for_window(now);
                }
                return None;
            }
            return Some(self.new_plan(allowed, false, mss));
        }
        let fin = len == unsent && self.snd.fin == Fin::Queued && window > len;
        Some(self.new_plan(len, fin, mss))
    }

    /// Whether a burst waits for the next acknowledgment to become longer, where the last one has
    /// only just left (as Linux, whose `tcp_tso_win_divisor` is three): `bound` bytes are at hand.
    fn defers(
        &self,
        now: Instant,
        bound: u32,
        (window, room): (u32, u32),
        most: u32,
        full: u32,
    ) -> bool {
        let snd = &self.snd;
        let board = &snd.track.board;
        let (Some(first), Some(last)) = (board.first(), board.last()) else {
            return false;
        };
        // Limited transmit (RFC 3042) waits for nothing.
        let calm = matches!(snd.phase, Phase::Open | Phase::Cwr);
        let recent = now.since(last.at) <= JUST;
        // Half a round trip has passed: the next acknowledgment is near.
        let near = snd
            .rtt
            .srtt()
            .is_some_and(|srtt| now.since(first.at) >= srtt / 2);
        if bound <= full || !calm || !recent || !near || snd.fin == Fin::Queued {
            return false;
        }
        let limit = window.min(room);
        let rest = snd.unsent() > bound;
        let share = snd.wnd.min(snd.cc.window()) / u32::from(self.options.burst_share.max(1));
        if limit >= most || rest && limit >= bound || limit >= share {
            return false;
        }
        limit <= bound
    }

    const fn new_plan(&self, len: u32, fin: bool, mss: u16) -> Plan {
        Plan {
            seq: self.snd.nxt,
            len,
            fin,
            why: None,
            mss,
            again: false,
            push: false,
        }
    }

    /// A FIN alone.
    fn plan_fin(&mut self, now: Instant, window: u32, mss: u16) -> Option<Plan> {
        if self.snd.fin != Fin::Queued {
            self.snd.note_app_limited();
            return None;
        }
        if window == 0 && self.snd.wnd == 0 {
            self.wait_for_window(now);
            return None;
        }
        Some(self.new_plan(0, true, mss))
    }

    /// Bytes of a full packet that carry no data.
    fn overhead(&self) -> u16 {
        self.path.ip_header + 20 + self.counters_len() + if self.timestamps { 12 } else { 0 }
    }

    /// RFC 4821 §7: one segment that is larger than the path is known to carry.
    fn plan_mtu_probe(&self, unsent: u32, window: u32, room: u32) -> Option<Plan> {
        let size = self.search.next_probe()?;
        if self.rcv.has_sacks() || self.timeout_due {
            // Blocks to be told would make it larger than what is probed.
            return None;
        }
        let overhead = self.overhead();
        let mss = size.saturating_sub(overhead).min(self.peer_mss);
        let len = u32::from(mss);
        let calm = self.snd.phase == Phase::Open && self.snd.flight() > 0;
        if mss <= self.snd.mss || !calm || unsent.min(window).min(room) < len {
            return None;
        }
        Some(Plan {
            why: Some(Why::MtuProbe),
            ..self.new_plan(len, false, mss)
        })
    }

    /// Nagle's question: may less than a segment be sent?
    //= RFC 9293 §3.9.1.2 MUST-60, MAY-16: what is small waits for an acknowledgment, or 200 ms.
    //= RFC 9293 §3.7.4 SHLD-7, MUST-17: by Nagle's rule or Minshall's, or not at all.
    fn may_send_small(&mut self, now: Instant) -> bool {
        if self.snd.fin == Fin::Queued {
            return true;
        }
        if self.options.cork {
            if !self.uncork && !self.timers.runs(Timer::Pacing) {
                self.timers.set(Timer::Pacing, now + CORK);
                return false;
            }
            return self.uncork;
        }
        match self.options.nagle {
            Nagle::Off => true,
            Nagle::Classic => self.snd.flight() == 0,
            Nagle::Minshall => self.snd.small.at_or_before(self.snd.una),
        }
    }

    /// Nothing is in flight that would bring news of the window: it is asked for in time.
    fn wait_for_window(&mut self, now: Instant) {
        if self.snd.flight() == 0 && !self.timers.runs(Timer::Persist) {
            //= RFC 9293 §3.8.6.1 SHLD-29: the first probe after a timeout.
            let rto = self.snd.rtt.rto();
            self.timers.set(Timer::Persist, now + rto);
        }
    }

    /// Makes the segment of a plan, and notes that it was sent.
    #[inline]
    fn data_segment(&mut self, now: Instant, plan: &Plan) -> Outgoing {
        let at = self.snd.offset(plan.seq);
        let len = usize::try_from(plan.len).unwrap_or(usize::MAX);
        let payload = self.snd.buffer.slice(at, len);
        let end = plan.seq + plan.len + u32::from(plan.fin);
        let mut flags = Flags::ACK;
        if plan.fin {
            flags |= Flags::FIN;
        }
        // At the end of a burst as well: it tells a receiver that joins segments to hand them up. Of
        // what was held back for a while nothing follows soon.
        let burst = plan.len > u32::from(plan.mss);
        let push = burst || plan.push || self.uncork || self.snd.is_pushed(plan.seq, plan.len);
        if plan.len > 0 && push {
            flags |= Flags::PSH;
        }
        let fresh = !plan.again && plan.len > 0;
        let ecn = self.capable(fresh);
        let may_tell = fresh || self.options.loud_cwr && plan.len > 0;
        if self.ecn == Feedback::Classic && may_tell && core::mem::take(&mut self.snd.cwr) {
            flags |= Flags::CWR;
        }
        if plan.again {
            let len = end.since(plan.seq);
            self.with_sender(now, |snd, cx, t| snd.on_resent(cx, plan.seq, len, t));
        } else {
            self.on_new(now, plan, end);
        }
        let options = self.options_now(now);
        let mut out = self.segment(plan.seq, flags, options, payload, plan.why);
        out.mss = plan.mss;
        out.ecn = ecn;
        if let Some(up) = self.snd.up.filter(|up| up.after(plan.seq)) {
            out.flags |= Flags::URG;
            //= RFC 9293 §3.8.5 MUST-62: behind the last urgent byte, or as far as the field reaches.
            out.urgent = u16::try_from(up.since(plan.seq)).unwrap_or(u16::MAX);
        }
        out
    }

    fn on_new(&mut self, now: Instant, plan: &Plan, end: SeqNum) {
        let mut marks = Marks::NONE;
        if plan.why == Some(Why::MtuProbe) {
            marks = Marks::MTU_PROBE;
            let overhead = self.overhead();
            self.search.on_sent(plan.mss + overhead);
        }
        if plan.fin {
            self.snd.fin = Fin::Sent;
        }
        if !plan.len.is_multiple_of(u32::from(plan.mss).max(1)) {
            self.snd.small = end;
        }
        self.uncork = false;
        self.timers.stop(Timer::Persist);
        self.with_sender(now, |snd, cx, timers| snd.on_sent(cx, end, marks, timers));
        self.rcv.on_data_sent(now, self.options.delayed_ack);
    }
}
