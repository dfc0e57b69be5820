//! A connection that counts marks: what its segments say, and what it takes from others.
//!
//! ```text
//!   negotiate_ecn, ecn_of_syn, note_syn_again, take_third_ack      the handshake
//!   count_marks   <- segments in    ace_now, push_counters   -> segments out
//!   glance_at_counter, take_counters <- acknowledgments            capable: may it be marked?
//! ```
//!
//! Read first: RFC 9768 §3.1 and §3.2.
//!
//! Promises: as of [`super`].

use super::{
    ACE, Accurate, CE, CEP_INIT, ECT0, FIELDS, Fails, Feedback, Glance, NOT_ECT, News, Seen,
    ace_of, asks, fit, flags_of, reflection,
};
use crate::time::{Duration, Instant};
use crate::transport::tcp::ack::Acked;
use crate::transport::tcp::connection::Connection;
use crate::transport::tcp::options::{Ecn, EcnOption};
use crate::transport::tcp::recv::Need;
use crate::transport::tcp::segment::Segment;
use crate::transport::tcp::state::State;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, OptionBuffer};

impl Connection {
    /// Takes what the peer's SYN or SYN-ACK says of ECN.
    pub(in crate::transport::tcp) fn negotiate_ecn(&mut self, syn: &Segment) {
        let ace = ace_of(syn.flags);
        let policy = self.options.ecn;
        let opens = self.state == State::SynSent;
        let answers = opens && syn.has(Flags::ACK);
        self.ecn = match (opens, self.ecn) {
            (false, _) if policy == Ecn::Off => Feedback::None,
            (false, _) if policy.takes_accurate() && asks(syn.flags) => Feedback::Accurate,
            (false, _) if syn.has(Flags::ECE) && syn.has(Flags::CWR) => Feedback::Classic,
            //= RFC 9768 §3.1.1 table 2: what the SYN-ACK says, where counting was asked for.
            (true, Feedback::Accurate) if answers => match ace {
                0b000 | 0b111 => Feedback::None,
                0b001 => Feedback::Classic,
                //= RFC 9768 §3.1.3: what is reserved is taken for consent.
                _ => Feedback::Accurate,
            },
            (true, Feedback::Accurate) if asks(syn.flags) => Feedback::Accurate,
            // Where both open at once, the peer's asking is an answer to ours.
            (true, Feedback::Classic) if !answers && syn.has(Flags::ECE) && syn.has(Flags::CWR) => {
                Feedback::Classic
            }
            (true, Feedback::Classic) if answers && syn.has(Flags::ECE) && !syn.has(Flags::CWR) => {
                Feedback::Classic
            }
            _ => Feedback::None,
        };
        if self.ecn != Feedback::Accurate {
            return;
        }
        self.enter_accurate(syn.ecn);
        if !answers {
            return;
        }
        let checks = self.options.ecn_checks;
        let accurate = &mut self.aside.accurate;
        accurate.reflect = Some(syn.ecn);
        if let Some(option) = &syn.ecn_bytes {
            accurate.look_at(option);
            accurate.demand = 2;
        }
        //= RFC 9768 §3.2.2.2 a mark on the SYN-ACK is counted, once.
        accurate.received_ce = u32::from(syn.ecn == CE);
        accurate.pending = u8::from(syn.ecn == CE);
        //= RFC 9768 §3.2.2.3 our SYN was not ECN-capable: one that arrived so was changed on the way.
        if checks && matches!(ace, 0b011 | 0b100 | 0b110) {
            accurate.fails.0 |= Fails::MANGLED;
        }
    }

    /// Begins to count; the peer's SYN had these bits.
    pub(in crate::transport::tcp) fn enter_accurate(&mut self, syn: u8) {
        self.ecn = Feedback::Accurate;
        self.aside.accurate = Accurate {
            syn,
            last: syn,
            ..Accurate::EMPTY
        };
    }

    /// The flags of a SYN or SYN-ACK.
    pub(in crate::transport::tcp) fn ecn_of_syn(&mut self, reply: bool) -> Flags {
        let (fallback, times) = (self.options.ecn_fallback, self.syn_retries);
        match (self.ecn, reply) {
            //= RFC 3168 §6.1.1: both bits ask, ECE alone grants.
            //= RFC 3168 §6.1.1.1: sent again, a SYN no longer asks.
            (Feedback::Classic, false) if times <= self.options.ecn_retries || !fallback => {
                Flags::ECE | Flags::CWR
            }
            (Feedback::Classic, true) => Flags::ECE,
            //= RFC 9768 §3.1.1 all three ask. §3.1.4.1 they do once more, and then no longer.
            (Feedback::Accurate, false) if times <= 1 || !fallback => ACE,
            //= RFC 9768 §3.1.5 of several SYNs the latest is told of.
            (Feedback::Accurate, true) if times <= 1 => reflection(self.aside.accurate.syn),
            //= RFC 9768 §3.1.4.2, §3.2.3.2.2 in the end it is tried without. Whether the peer counts
            //= is not known then: nothing that we send is ECN-capable.
            (Feedback::Accurate, true) => {
                self.aside.accurate.fails.0 |= Fails::ASKED_TWICE;
                Flags::NONE
            }
            _ => Flags::NONE,
        }
    }

    /// The peer's SYN has come again, while the handshake lasts. Whether it may.
    pub(in crate::transport::tcp) fn note_syn_again(&mut self, syn: &Segment) -> bool {
        let ace = ace_of(syn.flags);
        match self.ecn {
            //= RFC 9768 §3.1.5 who asks for both kinds at once is reset.
            Feedback::Accurate if ace == 0b011 => return false,
            Feedback::Classic if self.options.ecn.takes_accurate() && asks(syn.flags) => {
                return false;
            }
            Feedback::Accurate => {
                let accurate = &mut self.aside.accurate;
                accurate.syn = syn.ecn;
                if ace == 0 {
                    //= RFC 9768 §3.1.5 after a SYN that does not ask, a server sets no ECT any more.
                    accurate.fails.0 |= Fails::ASKED_TWICE;
                }
            }
            _ => {}
        }
        true
    }

    /// A SYN-ACK came again, and is answered.
    pub(in crate::transport::tcp) fn reflect_again(&mut self, syn: &Segment) {
        //= RFC 9768 §3.2.2.1 the acknowledgment of each says what came with it.
        if self.ecn == Feedback::Accurate && self.active && self.rcv.need == Need::Now {
            self.aside.accurate.reflect = Some(syn.ecn);
        }
    }

    /// The acknowledgment of our SYN-ACK.
    pub(in crate::transport::tcp) fn take_third_ack(&mut self, seg: &Segment) {
        let bare = seg.len == 0 && !seg.has(Flags::FIN) && seg.sacks.as_slice().is_empty();
        if self.ecn != Feedback::Accurate || self.active || !bare {
            return;
        }
        let checks = self.options.ecn_checks;
        let accurate = &mut self.aside.accurate;
        //= RFC 9768 §3.2.2.1 table 4: it has no counter, but says what our SYN-ACK arrived with.
        let ace = ace_of(seg.flags);
        //= RFC 9768 §3.2.2.4 what is zero here was made so. (Other first segments may say zero, and we
        //= believe them.)
        if ace == 0 && checks {
            accurate.fails.0 |= Fails::ZEROED;
        }
        if ace == 0b110 {
            // We differ: RFC 9768 §3.2.2.2 would have the window reduced. As Linux and FreeBSD we count
            // it only: nobody could mark a SYN-ACK that was not ECN-capable, as ours are.
            accurate.delivered_ce = 1;
            self.snd.counters.delivered_ce += 1;
        }
        //= RFC 9768 §3.2.2.3 what was not ECN-capable was made so: we send nothing that is.
        if checks && matches!(ace, 0b011 | 0b100 | 0b110) {
            accurate.fails.0 |= Fails::MANGLED;
        }
    }

    /// Counts what came with an acceptable segment.
    pub(in crate::transport::tcp) fn count_marks(&mut self, seg: &Segment) {
        let unacked = self.rcv.need != Need::None;
        // Whose acknowledgments of acknowledgments have no blocks can tell them from duplicates.
        let told_apart = seg.len > 0 || self.snd.sack;
        let prompt = self.options.ecn_prompt;
        let accurate = &mut self.aside.accurate;
        if let Some(option) = &seg.ecn_bytes {
            accurate.look_at(option);
        }
        let (edge, enough) = accurate.count(seg, unacked);
        if edge && prompt || enough && told_apart {
            self.rcv.need = Need::Now;
        }
    }

    /// Slows down for an acknowledgment that tells of a mark for sure, before it is taken: lest it
    /// first makes the window grow.
    pub(in crate::transport::tcp) fn glance_at_counter(
        &mut self,
        now: Instant,
        seg: &Segment,
    ) -> Glance {
        let stamped = seg.timestamps.filter(|_| self.timestamps);
        let newer = stamped.is_some_and(|(value, _)| self.rcv.is_news(seg, value));
        let progress = newer || seg.ack.after(self.snd.una);
        let accurate = &self.aside.accurate;
        let marked = progress
            && !accurate.fails.has(Fails::ZEROED)
            && accurate.at_least(ace_of(seg.flags)) > 0;
        if marked {
            self.snd.on_marks(now, 0);
        }
        Glance { newer, marked }
    }

    /// Takes the peer's counters from an acknowledgment that has been taken.
    pub(in crate::transport::tcp) fn take_counters(
        &mut self,
        now: Instant,
        seg: &Segment,
        acked: &Acked,
        glance: Glance,
    ) {
        //= RFC 9768 appendix A.1 what another acknowledgment may have overtaken is not looked at.
        let progress = acked.advanced || acked.delivered > 0 || glance.newer;
        if !progress || self.aside.accurate.fails.has(Fails::ZEROED) {
            return;
        }
        let size = u32::from(self.room_in_segment()).max(1);
        let news = News {
            option: seg.ecn_bytes.as_ref(),
            bytes: acked.delivered,
            segments: acked.delivered.div_ceil(size),
            mss: u32::from(self.snd.mss),
            sent: self.snd.counters.bytes_sent,
            settled: self.snd.sack || self.snd.dupacks == 0,
        };
        let accurate = &mut self.aside.accurate;
        let marks = accurate.marks(ace_of(seg.flags), &news);
        accurate.delivered_ce = accurate.delivered_ce.wrapping_add(marks);
        if glance.marked {
            self.snd.counters.delivered_ce += u64::from(marks);
        } else if marks > 0 {
            //= RFC 9768 §3.1.5 marks are answered as RFC 3168 has it, but CWR is never said.
            self.snd.on_marks(now, u64::from(marks));
        }
    }

    /// ACE of a segment that leaves; `bare`: it has neither data nor FIN.
    pub(in crate::transport::tcp) fn ace_now(&mut self, bare: bool) -> Flags {
        if self.state == State::TimeWait {
            // As Linux and FreeBSD: what is left of a connection then counts nothing.
            return Flags::NONE;
        }
        let blocks = self.rcv.has_sacks();
        let accurate = &mut self.aside.accurate;
        accurate.pending = 0;
        //= RFC 9768 §3.2.2.1 only a bare acknowledgment without blocks reflects a SYN-ACK.
        match accurate.reflect.take().filter(|_| bare && !blocks) {
            Some(mark) => reflection(mark),
            //= RFC 9768 §3.2.2.2 all others have the counter's low bits.
            None => flags_of(accurate.received_ce.wrapping_add(CEP_INIT)),
        }
    }

    /// Whether ACE has the bit that devices take out of all segments of a burst but the first
    /// (RFC 9768 §3.3.4).
    #[inline]
    pub(in crate::transport::tcp) fn ace_divides(&self) -> bool {
        if self.ecn != Feedback::Accurate {
            return false;
        }
        let counter = self.aside.accurate.received_ce.wrapping_add(CEP_INIT);
        flags_of(counter).contains(Flags::CWR)
    }

    /// The IP header's bits for a segment; `data`: it is new data.
    pub(in crate::transport::tcp) fn capable(&self, data: bool) -> u8 {
        //= RFC 3168 §5.2, §6.1.5 what would not be missed, as a lone acknowledgment, and what is sent
        //= again is not ECN-capable.
        match self.ecn {
            Feedback::None => NOT_ECT,
            Feedback::Classic if data => ECT0,
            Feedback::Classic => NOT_ECT,
            Feedback::Accurate => {
                let no = Fails::ASKED_TWICE | Fails::MANGLED | Fails::ZEROED;
                // We differ: as Linux, where the user does not say otherwise, all is ECN-capable:
                // RFC 8311 §4.3 allows to try, and marks on all of it are counted and told.
                let able = data || self.options.ecn_control;
                if able && !self.aside.accurate.fails.has(no) {
                    ECT0
                } else {
                    NOT_ECT
                }
            }
        }
    }

    /// Whether options with counters are to be sent at all.
    fn tells_counters(&self) -> bool {
        let accurate = &self.aside.accurate;
        let works = match self.options.ecn_option {
            EcnOption::Never => false,
            EcnOption::Persistent => true,
            _ => !accurate.fails.has(Fails::OPTION_OUT),
        };
        // We differ: RFC 9768 §3.2.3.2.3 would have options sent though none comes. As Linux we take
        // a path that lets none through one way to let none through the other.
        self.ecn == Feedback::Accurate
            && works
            && accurate.seen != Seen::None
            && self.state != State::TimeWait
    }

    /// Bytes that a segment without blocks may need for counters.
    #[inline]
    pub(in crate::transport::tcp) fn counters_len(&self) -> u16 {
        if self.ecn == Feedback::Accurate && self.tells_counters() {
            12
        } else {
            0
        }
    }

    /// Appends counters, where they are due and fit beside `blocks` blocks; how many blocks are
    /// left room for.
    pub(in crate::transport::tcp) fn push_counters(
        &mut self,
        now: Instant,
        options: &mut OptionBuffer,
        duplicate: Option<SeqNum>,
        blocks: usize,
    ) -> usize {
        if !self.tells_counters() {
            return blocks;
        }
        let each = match self.options.ecn_beacons {
            0 => None,
            times => self.snd.rtt.srtt().map(|srtt| srtt / u32::from(times)),
        };
        let persists = self.options.ecn_option == EcnOption::Persistent;
        let sparing = self.options.ecn_option == EcnOption::Sparing;
        let accurate = &mut self.aside.accurate;
        //= RFC 9768 §3.2.3.2.2 data that comes again and again, though it was acknowledged with an
        //= option: the acknowledgments may be lost for that.
        if duplicate.is_some() && accurate.doubted == duplicate && !persists {
            accurate.fails.0 |= Fails::OPTION_OUT;
            return blocks;
        }
        let silent = now.since(accurate.told_at);
        let due = accurate.demand > 0 || each.is_some_and(|each: Duration| silent >= each);
        if sparing && !due {
            return blocks;
        }
        let Some((fields, blocks)) = fit(options.len(), usize::from(accurate.changed), blocks)
        else {
            return blocks;
        };
        let counters = accurate.counters();
        options.push_ecn_counters(counters.get(..fields).unwrap_or_default());
        accurate.changed = 0;
        accurate.demand = accurate.demand.saturating_sub(1);
        accurate.told_at = now;
        if duplicate.is_some() {
            accurate.doubted = duplicate;
        }
        blocks
    }

    /// Counters of a SYN-ACK, where there is room for them beside `rest` bytes.
    pub(in crate::transport::tcp) fn counters_of_syn(
        &self,
        rest: usize,
    ) -> Option<([u32; FIELDS], usize)> {
        //= RFC 9768 §3.2.3.2.1 never in a SYN.
        if self.ecn != Feedback::Accurate || self.options.ecn_option == EcnOption::Never {
            return None;
        }
        let (fields, _) = fit(rest, 0, 0)?;
        Some((self.aside.accurate.counters(), fields))
    }
}
