//! SEGMENT ARRIVES: the RFC's checks, in the RFC's order.
//!
//! ```text
//!   SYN-SENT        ACK?  RST?  SYN?
//!   other states    (PAWS)  1 sequence number  2 RST  4 SYN  5 ACK  6 URG  7 text  8 FIN
//! ```
//!
//! Read first: RFC 9293 §3.10.7, RFC 5961 §3–5, RFC 7323 §5.
//!
//! Left out: check 3, security and compartment, which no network uses any more.

use super::accurate::{CE, Feedback};
use super::connection::{Connection, PendingReset, Probe};
use super::error::Error;
use super::options::SynFin;
use super::recv::Need;
use super::segment::Segment;
use super::send::Fin;
use super::state::{Event, State};
use super::timers::Timer;
use crate::frame::Payload;
use crate::reason::DropReason;
use crate::time::{Duration, Instant};
use crate::transport::Readiness;
use crate::wire::tcp::Flags;

/// The longest that an acknowledgment waits.
const MAX_ACK_DELAY: Duration = Duration::from_millis(499);

impl Connection {
    /// Takes a segment for this connection, with its data.
    ///
    /// # Errors
    /// Why it was refused; an answer may wait in [`poll_transmit`](Self::poll_transmit) all the
    /// same.
    pub fn handle_segment(
        &mut self,
        now: Instant,
        seg: &Segment,
        data: Payload,
    ) -> Result<(), DropReason> {
        self.segs_in += u64::from(seg.segments);
        if self.is_expected(seg) {
            self.take_expected(now, seg, data);
            return Ok(());
        }
        let outcome = match self.state {
            State::Closed | State::Listen => return Err(DropReason::TcpNoSocket),
            State::SynSent => self.in_syn_sent(now, seg, data),
            _ => self.in_other_states(now, seg, data),
        };
        self.note_room();
        self.arm_delayed_ack(now);
        outcome
    }

    /// Whether a segment is what a bulk transfer brings one after the other: the data that is next,
    /// and nothing else. All the checks below would let it pass and find nothing to do.
    #[inline]
    fn is_expected(&self, seg: &Segment) -> bool {
        //= RFC 7323 §5.6 first, whether it is older than what came.
        let timestamp = match seg.timestamps {
            Some((value, _)) => !self.timestamps || self.rcv.is_newest(value),
            None => !self.timestamps,
        };
        self.state == State::Established
            && seg.flags.without(Flags::PSH) == Flags::ACK
            && seg.seq == self.rcv.nxt
            && seg.ack == self.snd.una
            && self.snd.flight() == 0
            && self.rcv.takes_whole(seg.len)
            && timestamp
            && self.ecn == Feedback::None
            && !self.orphan
            && seg.sacks.as_slice().is_empty()
            && self.probes == 0
            && self.keepalives == 0
            && seg.user_timeout.is_none()
    }

    #[inline]
    fn take_expected(&mut self, now: Instant, seg: &Segment, data: Payload) {
        self.last_heard = now;
        self.snd.on_window(seg);
        if let Some((value, echo)) = seg.timestamps.filter(|_| self.timestamps) {
            self.rcv.note_timestamp(now, seg, value);
            self.note_echo(now, echo);
        }
        self.watch_idle(now);
        self.rcv.on_expected(now, seg, data);
        self.ready |= Readiness::READABLE;
        if self.timers.runs(Timer::Persist) && self.snd.window_room() > 0 {
            self.end_persist();
        }
        self.arm_delayed_ack(now);
    }

    /// What a timestamp answers times the round trip for the receive buffer.
    #[inline]
    fn note_echo(&mut self, now: Instant, echo: u32) {
        // Once an instant: segments that came together are one sample, joined or not.
        if echo == 0 || now <= self.rcv.last_data_at {
            return;
        }
        let ticks = self.clock(now).wrapping_sub(echo);
        if ticks < 1 << 16 {
            self.rcv.on_echo(Duration::from_millis(u64::from(ticks)));
        }
    }

    #[inline]
    fn arm_delayed_ack(&mut self, now: Instant) {
        match self.rcv.need {
            Need::Delayed if !self.timers.runs(Timer::DelayedAck) => {
                //= RFC 9293 §3.8.6.3 MUST-40: less than half a second, whatever the user says.
                let delay = self.options.delayed_ack.min(MAX_ACK_DELAY);
                self.timers.set(Timer::DelayedAck, now + delay);
            }
            Need::Delayed => {}
            Need::None | Need::Now => self.timers.stop(Timer::DelayedAck),
        }
    }

    /// RFC 9293 §3.10.7.3.
    fn in_syn_sent(
        &mut self,
        now: Instant,
        seg: &Segment,
        data: Payload,
    ) -> Result<(), DropReason> {
        let acks = seg.has(Flags::ACK);
        if acks && !(seg.ack.after(self.snd.iss) && seg.ack.at_or_before(self.snd.nxt)) {
            if !seg.has(Flags::RST) {
                self.reset = Some(PendingReset {
                    seq: seg.ack,
                    ack: false,
                });
            }
            return Err(DropReason::TcpBadAck);
        }
        if seg.has(Flags::RST) {
            //= RFC 9293 §3.10.7.3: believed only with an acceptable acknowledgment.
            if !acks {
                return Err(DropReason::TcpOutOfWindow);
            }
            self.finish(now, Some(Error::Refused));
            return Ok(());
        }
        let odd = seg.has(Flags::FIN) && self.options.syn_fin == SynFin::Never;
        if !seg.has(Flags::SYN) || odd {
            return Err(DropReason::TcpUnexpected);
        }
        self.negotiate(now, seg);
        self.last_heard = now;
        if !acks {
            // Both opened at once: our SYN goes out again, with an acknowledgment.
            self.note_opened();
            self.step(now, Event::RcvSyn);
            self.snd.first_window(seg);
            self.syn_due = true;
            //= RFC 9293 §3.10.7.3 its text is kept for when the connection is open.
            self.rcv.defer(&data);
            return Ok(());
        }
        self.snd.first_window(seg);
        self.note_answer(seg);
        self.on_syn_acked(now, seg);
        self.step(now, Event::RcvSynAck);
        self.rcv.need = Need::Now;
        if self.snd.unsent() > 0 {
            self.rcv.on_waiting_data();
        }
        self.on_open(now);
        if seg.len > 0 || seg.has(Flags::FIN) {
            // The data follows the SYN's own number.
            let rest = Segment {
                seq: seg.seq + 1,
                flags: seg.flags.without(Flags::SYN),
                ..*seg
            };
            return self.take_text(now, &rest, data);
        }
        Ok(())
    }

    /// Has an acknowledgment that is due repeat our FIN, where it is to.
    pub(super) fn repeat_fin(&mut self) {
        if self.options.repeats_fin && self.snd.fin == Fin::Sent && self.rcv.need == Need::Now {
            self.probe = Some(Probe::Fin);
        }
    }

    /// Our SYN is acknowledged, and what went with it or not.
    fn on_syn_acked(&mut self, now: Instant, seg: &Segment) {
        let retries = self.syn_retries;
        self.syn_due = false;
        self.timers.stop(Timer::Retransmit);
        let active = self.active;
        let refused = self.with_sender(now, |snd, cx, timers| {
            snd.on_syn_acked(cx, seg, retries, timers);
            if active && seg.ack.after(snd.una) {
                snd.on_ack(cx, seg, timers);
            }
            // Whoever answered has sent what is in flight after its SYN-ACK, not with it.
            active && snd.flight() > 0
        });
        self.rcv.hint_rtt(self.snd.rtt.srtt());
        if refused {
            self.snd.on_fast_open_refused(now);
        }
    }

    /// The connection is open.
    fn on_open(&mut self, now: Instant) {
        if self.active && self.options.open_timeout.is_some() && !self.orphan {
            self.timers.stop(Timer::End);
        }
        self.ready |= Readiness::WRITABLE;
        self.progress = true;
        self.last_heard = now;
        self.arm_keepalive(now);
        self.watch_idle(now);
        self.note_opened();
        if self.snd.fin != Fin::Open {
            self.step(now, Event::Close);
        }
    }

    /// RFC 9293 §3.10.7.4.
    fn in_other_states(
        &mut self,
        now: Instant,
        seg: &Segment,
        data: Payload,
    ) -> Result<(), DropReason> {
        if self.state == State::TimeWait && self.options.stern_time_wait {
            return self.in_time_wait(now, seg);
        }
        self.check_timestamp(now, seg)?;
        if self.crosses_ours(seg) {
            self.check_ack(now, seg)?;
            self.rcv.need = Need::Now;
            //= RFC 2883 §4 its number has come before.
            self.rcv.note_syn_again();
            return Ok(());
        }
        let text = self.check_sequence(now, seg)?;
        if seg.has(Flags::RST) {
            return self.check_reset(now, seg);
        }
        if seg.has(Flags::SYN) && self.options.trusts_syns && self.rcv.holds(seg.seq, false) {
            self.finish(now, Some(Error::Reset));
            self.reset = Some(PendingReset {
                seq: self.snd.nxt,
                ack: true,
            });
            return Ok(());
        }
        if seg.has(Flags::SYN) {
            //= RFC 9293 §3.10.7.4 fourth, RFC 5961 §4.2: a SYN is answered with a challenge.
            // We differ: in SYN-RECEIVED as well, where RFC 9293 would go back to LISTEN, lest a
            // guess from elsewhere undo a handshake.
            self.challenge(now);
            return Err(DropReason::TcpChallenged);
        }
        self.last_heard = now;
        self.probes = 0;
        self.keepalives = 0;
        let waited = self.state == State::TimeWait;
        self.check_ack(now, seg)?;
        if self.state == State::Closed {
            return Ok(());
        }
        if self.ecn == Feedback::Accurate {
            self.count_marks(seg);
        }
        // RFC 7323 §5.3 R3 asks for no more than a number in the window. We differ, and look at the
        // acknowledgment first: a guess could else set TS.Recent so high that PAWS drops all else.
        if let Some((value, echo)) = seg.timestamps.filter(|_| self.timestamps) {
            self.rcv.note_timestamp(now, seg, value);
            if seg.len > 0 {
                self.note_echo(now, echo);
            }
        }
        if let Some(timeout) = seg.user_timeout {
            self.take_peer_timeout(now, timeout);
        }
        //= RFC 9293 §3.4 MUST-66: the urgent pointer is looked at with a closed window, too.
        self.check_urgent(seg);
        if !text && seg.seq_len() > 0 {
            return Err(DropReason::TcpZeroWindow);
        }
        if !text {
            return Err(DropReason::TcpOutOfWindow);
        }
        if waited && seg.seq_len() > 0 {
            //= RFC 9293 §3.10.7.4 eighth: what comes is acknowledged, and 2 MSL begin anew.
            self.rcv.need = Need::Now;
            self.timers.set(Timer::End, now + self.options.time_wait);
            return Err(DropReason::TcpAfterFin);
        }
        if seg.len > 0 || seg.has(Flags::FIN) {
            return self.take_text(now, seg, data);
        }
        Ok(())
    }

    /// TIME-WAIT where it is kept sternly ([`Options::stern_time_wait`](super::Options)).
    fn in_time_wait(&mut self, now: Instant, seg: &Segment) -> Result<(), DropReason> {
        //= RFC 1337 §3 fix F1: a reset does not cut TIME-WAIT short.
        if seg.has(Flags::RST) || !seg.has(Flags::ACK) {
            return Err(DropReason::TcpUnexpected);
        }
        if seg.has(Flags::FIN) && seg.seq + seg.seq_len() == self.rcv.nxt {
            self.timers.set(Timer::End, now + self.options.time_wait);
        }
        let last = seg.flags.without(Flags::PSH) == Flags::ACK
            && seg.len == 0
            && seg.seq == self.rcv.nxt
            && seg.ack == self.snd.nxt;
        if last {
            return Ok(());
        }
        self.rcv.need = Need::Now;
        Err(DropReason::TcpAfterFin)
    }

    /// Whether this is the SYN-ACK of a peer that opened when we did: the SYN has been taken, its
    /// acknowledgment is news.
    fn crosses_ours(&self, seg: &Segment) -> bool {
        //= RFC 9293 §3.5 MUST-10, figure 8: the sixth line's segment opens the connection, though
        //= its number is one below RCV.NXT.
        self.state == State::SynReceived
            && self.active
            && seg.has(Flags::SYN)
            && seg.has(Flags::ACK)
            && !seg.has(Flags::RST)
            && seg.seq == self.rcv.irs
            && seg.ack.after(self.snd.una)
            && seg.ack.at_or_before(self.snd.nxt)
    }

    /// RFC 7323 §5.3 R1.
    fn check_timestamp(&mut self, now: Instant, seg: &Segment) -> Result<(), DropReason> {
        // We differ: RFC 7323 §3.2 would have segments without timestamps dropped where they are in
        // use. As Linux we take them: middleboxes that strip options are more common than guesses.
        let Some((value, _)) = seg.timestamps.filter(|_| self.timestamps) else {
            return Ok(());
        };
        // We differ: as Linux, one tick back is not old. Two processors of a sender may stamp in
        // another order than they send.
        if seg.has(Flags::RST) || !self.rcv.is_old(now, value.wrapping_add(1)) {
            return Ok(());
        }
        if seg.seq_len() > 0 {
            self.rcv.need = Need::Now;
            // As Linux: TIME-WAIT keeps no books of duplicates.
            if seg.seq.before(self.rcv.nxt) && self.state != State::TimeWait {
                //= RFC 2883 §4 what comes late, after it was sent again, is a duplicate as well.
                self.rcv.note_duplicate(seg);
            }
        } else {
            self.challenge(now);
        }
        Err(DropReason::TcpPaws)
    }

    /// First: whether it lies in the window. Whether its text may be looked at.
    fn check_sequence(&mut self, now: Instant, seg: &Segment) -> Result<bool, DropReason> {
        if self.state == State::SynReceived && seg.has(Flags::SYN) && seg.seq == self.rcv.irs {
            if !self.note_syn_again(seg) {
                self.finish(now, None);
                self.reset = Some(PendingReset {
                    seq: self.snd.nxt,
                    ack: true,
                });
                return Err(DropReason::TcpUnexpected);
            }
            // The peer did not get our SYN-ACK. Data that its SYN has and we did not take lies in
            // the window, but comes again.
            self.syn_due = true;
            return Err(DropReason::TcpDuplicate);
        }
        if self.rcv.is_acceptable(seg) {
            return Ok(true);
        }
        if seg.has(Flags::RST) {
            //= RFC 9293 §3.4 MUST-66: the RST bit counts, though the window be closed.
            //= RFC 9293 §3.10.7.4: resets are taken with a closed window, whatever they carry.
            return if seg.seq == self.rcv.nxt {
                Ok(false)
            } else {
                Err(DropReason::TcpOutOfWindow)
            };
        }
        //= RFC 9293 §3.10.7.4: with a closed window, valid acknowledgments are taken all the same.
        // Of an empty probe as well, whose number is one that was acknowledged (§3.8.4): while both
        // windows are closed, it may be all that the peer ever sends.
        let is_probe = seg.len == 0 && seg.seq + 1 == self.rcv.nxt && !seg.has(Flags::FIN);
        let is_next = seg.seq == self.rcv.nxt || is_probe;
        if self.rcv.window() == 0 && is_next && !seg.has(Flags::SYN) {
            self.rcv.need = Need::Now;
            // A FIN takes no room: refusing it, as Linux does not, would have it sent for ever.
            return Ok(seg.len == 0 && seg.has(Flags::FIN) && !self.rcv.finished);
        }
        if self.state == State::TimeWait && seg.has(Flags::FIN) {
            self.timers.set(Timer::End, now + self.options.time_wait);
        }
        let again = seg.seq_len() > 0 && !seg.has(Flags::SYN);
        if again && seg.seq.before(self.rcv.nxt) {
            if self.state != State::TimeWait {
                self.rcv.note_duplicate(seg);
            }
            // As Linux: what was acknowledged only just is acceptable, and its marks count.
            let counts = self.ecn == Feedback::Accurate && seg.ack.at_or_before(self.snd.nxt);
            if counts && self.rcv.has_just_acknowledged(seg.seq + seg.len) {
                self.count_marks(seg);
            }
        }
        if again {
            self.rcv.need = Need::Now;
        } else {
            self.challenge(now);
        }
        if seg.has(Flags::SYN) && seg.has(Flags::ACK) && seg.seq == self.rcv.irs {
            self.reflect_again(seg);
        }
        if seg.len > 0 && seg.seq.after(self.rcv.nxt) {
            return Err(DropReason::TcpBeyondWindow);
        }
        Err(DropReason::TcpOutOfWindow)
    }

    /// Answers with an acknowledgment, though not too often.
    fn challenge(&mut self, now: Instant) {
        if now >= self.aside.challenge_at {
            self.aside.challenge_at = now + self.options.challenge_interval;
            self.rcv.need = Need::Now;
        }
    }

    /// Second: the RST bit (RFC 5961 §3.2).
    fn check_reset(&mut self, now: Instant, seg: &Segment) -> Result<(), DropReason> {
        let half_open = self.state == State::SynReceived && !self.active;
        if self.options.exact_window && !self.rcv.holds(seg.seq, half_open) {
            return Err(DropReason::TcpOutOfWindow);
        }
        // We differ: RFC 5961 §3.2 believes RCV.NXT alone. As Linux (since 4.8), also what is the next
        // number for a peer that has sent all that it was told has come: the right edge of the
        // highest SACK block. Like RCV.NXT it is known to the two ends only.
        let next = seg.seq == self.rcv.nxt || self.snd.sack && self.rcv.highest() == Some(seg.seq);
        if !next && !self.options.trusts_resets {
            self.challenge(now);
            return Err(DropReason::TcpChallenged);
        }
        if self.state == State::TimeWait && self.options.lasting_time_wait {
            //= RFC 1337 §3 fix F1: a reset does not cut TIME-WAIT short.
            return Err(DropReason::TcpUnexpected);
        }
        //= RFC 9293 §3.5.3 SHLD-2: whatever data it carries.
        //= RFC 9293 §3.6 MUST-12: the user is told that it was aborted.
        //= RFC 9293 §3.5 MUST-11: opened by us, it ends; by the peer, the listener goes on.
        let error = match self.state {
            State::SynReceived if self.active => Some(Error::Refused),
            State::SynReceived if self.fast_opened => Some(Error::Reset),
            State::SynReceived | State::TimeWait => None,
            _ => Some(Error::Reset),
        };
        self.finish(now, error);
        Ok(())
    }

    /// Fifth: the ACK field.
    fn check_ack(&mut self, now: Instant, seg: &Segment) -> Result<(), DropReason> {
        if !seg.has(Flags::ACK) {
            return Err(DropReason::TcpUnexpected);
        }
        let opens = self.state == State::SynReceived;
        if opens {
            if !(seg.ack.after(self.snd.una) && seg.ack.at_or_before(self.snd.nxt)) {
                self.reset = Some(PendingReset {
                    seq: seg.ack,
                    ack: false,
                });
                return Err(DropReason::TcpBadAck);
            }
            self.take_third_ack(seg);
            if !self.active && !self.fast_opened {
                // As Linux, which knows no connection before: the SYN's window is forgotten.
                self.snd.max_wnd = 0;
            }
            self.on_syn_acked(now, seg);
            self.step(now, Event::RcvAckOfSyn);
            self.on_open(now);
            if self.active && self.rcv.take_deferred() {
                self.ready |= Readiness::READABLE;
            }
        }
        if seg.ack.after(self.snd.nxt) {
            self.challenge(now);
            return Err(DropReason::TcpBadAck);
        }
        if seg.ack.before(self.snd.una) {
            //= RFC 9293 §3.10.7.4 MAY-12: it guards against blind injection.
            //= RFC 5961 §5.2: too old an acknowledgment is no peer's.
            // Nor is one of what was never sent, however large the window, as Linux has it; a SYN that
            // opened the connection counts, and a FIN.
            let acked = u32::try_from(self.snd.buffer.start()).unwrap_or(u32::MAX);
            let signs = u32::from(self.active) + u32::from(self.snd.fin == Fin::Acked);
            let acked = acked.saturating_add(signs);
            if seg
                .ack
                .before(self.snd.una - self.snd.max_wnd.max(1).min(acked))
            {
                self.challenge(now);
                return Err(DropReason::TcpBadAck);
            }
            if self.snd.sack && !seg.sacks.as_slice().is_empty() && self.snd.flight() > 0 {
                let old = self.with_sender(now, |snd, cx, t| snd.on_old_ack(cx, seg, t));
                if old.probe_lost {
                    self.on_mtu_probe_lost(now);
                }
            }
            return Ok(());
        }
        if self.ecn == Feedback::Classic && seg.has(Flags::ECE) && !seg.has(Flags::SYN) {
            self.snd.on_marks(now, 1);
        }
        let counts = self.ecn == Feedback::Accurate && !opens && !seg.has(Flags::SYN);
        let announced = counts.then(|| self.glance_at_counter(now, seg));
        let una = self.snd.una;
        let acked = self.with_sender(now, |snd, cx, timers| snd.on_ack(cx, seg, timers));
        if let Some(announced) = announced {
            self.take_counters(now, seg, &acked, announced);
        }
        if acked.advanced {
            self.progress = true;
            self.heard_again();
            if self.snd.una.since(una) >= u32::from(self.snd.mss) {
                self.search.on_carried();
            }
            self.on_acked(now, acked.fin);
        }
        if acked.probe {
            self.search.on_arrived();
            self.size_segments(now);
        }
        if acked.probe_lost {
            self.on_mtu_probe_lost(now);
        }
        if self.snd.window_room() > 0 {
            self.end_persist();
        }
        Ok(())
    }

    /// The window is open. What was probed in vain before says nothing of the path.
    fn end_persist(&mut self) {
        //= RFC 9293 §3.8.6.1 SHLD-30: until then each probe waits twice as long, answered or not.
        if self.timers.runs(Timer::Persist) || self.probe == Some(Probe::Window) {
            self.snd.rtt.reset_backoff();
        }
        self.timers.stop(Timer::Persist);
        if self.snd.flight() == 0 {
            self.snd.stalled_since = None;
        }
    }

    fn on_acked(&mut self, now: Instant, fin: bool) {
        if !fin {
            return;
        }
        self.step(now, Event::RcvAckOfFin);
        match self.state {
            State::FinWait2 if self.orphan => {
                self.timers.set(Timer::End, now + self.options.fin_wait_2);
            }
            State::TimeWait => self.wait(now),
            State::Closed => self.finish(now, None),
            _ => {}
        }
    }

    /// TIME-WAIT begins: all other timers stop.
    fn wait(&mut self, now: Instant) {
        self.timers.stop_all();
        self.snd.clear();
        // The idle timer, which would see to it, has stopped too.
        self.rcv.shrink();
        //= RFC 9293 §3.6.1 MUST-13: it stays for as long as a segment of it may be about.
        self.timers.set(Timer::End, now + self.options.time_wait);
    }

    //= RFC 9293 §3.8.5 MUST-30: urgent data is pointed to, in line with all other.
    /// Sixth: the URG bit (RFC 6093: the data stays in line).
    fn check_urgent(&mut self, seg: &Segment) {
        if seg.has(Flags::URG) && seg.up > 0 && self.state.may_receive() {
            //= RFC 9293 §3.8.5 MUST-62: it points behind the last urgent byte.
            let up = seg.seq + u32::from(seg.up);
            let later = self.rcv.up.is_none_or(|known| up.after(known));
            if later && up.after(self.rcv.nxt) {
                //= RFC 9293 §3.8.5 MUST-32: the user is told of urgent data, and of more of it.
                self.rcv.up = Some(up);
                self.ready |= Readiness::URGENT | Readiness::READABLE;
            }
        }
    }

    /// Seventh and eighth: the text and the FIN.
    pub(super) fn take_text(
        &mut self,
        now: Instant,
        seg: &Segment,
        data: Payload,
    ) -> Result<(), DropReason> {
        if self.ecn == Feedback::Classic {
            self.note_congestion(seg);
        }
        let new = (seg.seq + seg.len).after(self.rcv.nxt);
        let nobody = self.orphan || self.deaf && !self.state.may_send();
        if nobody && new && seg.len > 0 && self.state.may_receive() {
            //= RFC 9293 §3.6.1 SHLD-3: what comes for nobody is lost, and the peer shall know.
            //= RFC 1122 §4.2.2.13: data for a user who has let go is answered with a reset.
            // It answers a segment, and so is numbered by what that acknowledges, as Linux's.
            let error = (!self.orphan).then_some(Error::Reset);
            self.finish(now, error);
            self.reset = Some(PendingReset {
                seq: seg.ack,
                ack: false,
            });
            return Err(DropReason::TcpAfterClose);
        }

        self.watch_idle(now);
        let taken = self.rcv.on_text(now, seg, data)?;
        if taken.readable {
            self.ready |= Readiness::READABLE;
        }
        if taken.fin {
            self.step(now, Event::RcvFin);
            if self.state != State::CloseWait {
                // Nothing that we say could take the acknowledgment along.
                self.rcv.need = Need::Now;
            }
            if self.state == State::TimeWait {
                self.wait(now);
            }
        }
        self.repeat_fin();
        Ok(())
    }

    /// RFC 3168 §6.1.3: a mark is echoed until the peer says that it has slowed down.
    fn note_congestion(&mut self, seg: &Segment) {
        if seg.has(Flags::CWR) {
            self.rcv.echo = false;
        }
        if seg.ecn == CE {
            if !self.rcv.echo {
                self.rcv.need = Need::Now;
            }
            self.rcv.echo = true;
        }
    }
}
