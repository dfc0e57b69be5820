//! What is in flight: each transmission, what the peer holds of it, what is thought lost of it.
//!
//! ```text
//!   SND.UNA                                                   SND.NXT
//!      | lost | sacked | sent again |  ...  | sacked |   ...    |
//!      `-- by sequence number, without gaps ---------------------'
//!      and once more by time of transmission, for RACK
//! ```
//!
//! Read first: RFC 6675 §2–4, RFC 8985 §5.2 and §6.2.
//!
//! Promises: the entries cover SND.UNA to SND.NXT without gap or overlap; the counts are those of
//! the entries (`check` in tests); finding an entry takes the logarithm of their number, and
//! looking for losses only looks at what was sent before the newest delivery.

use crate::time::Instant;
use crate::wire::seq::SeqNum;
use alloc::collections::VecDeque;

/// What is known of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(u8);

impl Marks {
    pub(super) const NONE: Self = Self(0);
    /// The peer holds it.
    pub(super) const SACKED: Self = Self(1);
    /// Thought lost, and not sent again yet.
    pub(super) const LOST: Self = Self(2);
    /// Sent more than once.
    pub(super) const RETRANSMITTED: Self = Self(4);
    /// Sent while there was not enough to send (delivery rate, §3.4 of its draft).
    pub(super) const APP_LIMITED: Self = Self(8);
    /// A probe for a larger path MTU: its loss says nothing of congestion.
    pub(super) const MTU_PROBE: Self = Self(16);

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

//= RFC 8985 §4, §5.2, §6.1: when each was last sent, and whether again.
/// One transmission: a segment, or a super-segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) seq: SeqNum,
    /// The number behind its last.
    pub(super) end: SeqNum,
    /// When it was sent last.
    pub(super) at: Instant,
    /// Bytes delivered when it was sent, when those were delivered, and when the transmission that
    /// they acknowledged had been sent (the delivery rate's P.delivered and so on).
    pub(super) delivered: u64,
    pub(super) delivered_at: Instant,
    pub(super) first_at: Instant,
    /// Number of the transmission: of those at one instant it says which came first.
    pub(super) nth: SeqNum,
    pub(super) marks: Marks,
}

impl Sent {
    pub(super) fn len(&self) -> u32 {
        self.end.since(self.seq)
    }
}

//= RFC 6675 §3 what was acknowledged selectively, byte by byte, until SND.UNA has passed it.
/// What is in flight.
#[derive(Clone, Debug, Default)]
pub(super) struct Scoreboard {
    queue: VecDeque<Sent>,
    /// Transmissions by time; an entry that was sent again or delivered since is in it in vain.
    order: VecDeque<(Instant, SeqNum)>,
    sacked: u32,
    lost: u32,
    /// Of what was sent more than once, what is neither delivered nor lost.
    retrans: u32,
    /// Nothing before this waits to be sent again.
    hint: SeqNum,
}

impl Scoreboard {
    /// Nothing is in flight.
    pub(super) const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            order: VecDeque::new(),
            sacked: 0,
            lost: 0,
            retrans: 0,
            hint: SeqNum(0),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Transmissions kept.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Bytes the peer holds beyond its acknowledgment.
    pub(super) const fn sacked(&self) -> u32 {
        self.sacked
    }

    /// Bytes thought lost and not sent again.
    pub(super) const fn lost(&self) -> u32 {
        self.lost
    }

    /// Bytes sent again and not delivered.
    pub(super) const fn retrans(&self) -> u32 {
        self.retrans
    }

    pub(super) fn first(&self) -> Option<&Sent> {
        self.queue.front()
    }

    pub(super) fn last(&self) -> Option<&Sent> {
        self.queue.back()
    }

    /// Notes a transmission of what follows all others.
    pub(super) fn push(&mut self, sent: Sent) {
        if self.queue.is_empty() {
            self.hint = sent.seq;
        }
        self.order.push_back((sent.at, sent.seq));
        self.queue.push_back(sent);
        self.tidy_order();
    }

    /// Lets go of all before `una`, and tells of each entry (or part of one) that was not known to
    /// be delivered before.
    pub(super) fn ack(&mut self, una: SeqNum, mut each: impl FnMut(&Sent)) {
        while let Some(front) = self.queue.front_mut() {
            if !una.after(front.seq) {
                break;
            }
            let mut gone = *front;
            if una.before(front.end) {
                gone.end = una;
                front.seq = una;
                let at = front.at;
                // Found again under its new number.
                match self.order.front_mut() {
                    Some(entry) if *entry == (at, gone.seq) => entry.1 = una,
                    _ => self.order_insert(at, una),
                }
            } else {
                self.queue.pop_front();
            }
            self.uncount(&gone);
            if !gone.marks.has(Marks::SACKED) {
                each(&gone);
            }
        }
        if self.queue.is_empty() {
            self.order.clear();
        }
        if self.hint.before(una) {
            self.hint = una;
        }
    }

    fn uncount(&mut self, gone: &Sent) {
        let len = gone.len();
        if gone.marks.has(Marks::SACKED) {
            self.sacked -= len;
        } else if gone.marks.has(Marks::LOST) {
            self.lost -= len;
        } else if gone.marks.has(Marks::RETRANSMITTED) {
            self.retrans -= len;
        }
    }

    /// Marks what the peer holds, and tells of each entry that was not known to be delivered.
    pub(super) fn sack(&mut self, left: SeqNum, right: SeqNum, mut each: impl FnMut(&Sent)) {
        self.split_at(left);
        self.split_at(right);
        let mut i = self.position(left);
        while let Some(&sent) = self.queue.get(i) {
            if !sent.end.at_or_before(right) {
                break;
            }
            if !sent.marks.has(Marks::SACKED) {
                self.uncount(&sent);
                self.sacked += sent.len();
                if let Some(entry) = self.queue.get_mut(i) {
                    entry.marks = sent.marks.with(Marks::SACKED).without(Marks::LOST);
                }
                each(&sent);
            }
            i += 1;
        }
    }

    /// Index of the first entry that starts at or after `seq`.
    fn position(&self, seq: SeqNum) -> usize {
        self.queue.partition_point(|s| s.seq.before(seq))
    }

    /// Parts the entry that `seq` lies within.
    fn split_at(&mut self, seq: SeqNum) {
        let i = self.position(seq);
        let Some(before) = i.checked_sub(1).and_then(|i| self.queue.get_mut(i)) else {
            return;
        };
        if !seq.before(before.end) {
            return;
        }
        let mut rest = *before;
        before.end = seq;
        rest.seq = seq;
        self.order_insert(rest.at, seq);
        self.queue.insert(i, rest);
    }

    /// Notes a part of a transmission in the order of time.
    fn order_insert(&mut self, at: Instant, seq: SeqNum) {
        let i = self.order.partition_point(|(t, _)| *t <= at);
        self.order.insert(i, (at, seq));
    }

    /// Marks as lost what was sent no later than `until`, as far as `lost` says so of each; gives
    /// the bytes. What is no longer of interest is dropped from the order of time.
    pub(super) fn mark_lost_by_time(
        &mut self,
        until: Instant,
        mut lost: impl FnMut(&Sent) -> bool,
    ) -> u32 {
        let mut marked = 0;
        let mut i = 0;
        while let Some(&(at, seq)) = self.order.get(i) {
            if at > until {
                break;
            }
            let place = self.position(seq);
            let current = self.queue.get(place).filter(|s| s.seq == seq && s.at == at);
            let waits = current.filter(|s| !s.marks.has(Marks::SACKED.with(Marks::LOST)));
            match waits.copied() {
                Some(sent) if !lost(&sent) => i += 1,
                Some(sent) => {
                    self.mark(place);
                    marked += sent.len();
                    self.remove_order(i);
                }
                None => self.remove_order(i),
            }
        }
        marked
    }

    fn remove_order(&mut self, i: usize) {
        if i == 0 {
            self.order.pop_front();
        } else {
            self.order.remove(i);
        }
    }

    /// Marks the first entry lost, where it is not delivered; at most `len` bytes of it.
    pub(super) fn mark_first_lost(&mut self, len: u32) -> u32 {
        let Some(&first) = self.queue.front() else {
            return 0;
        };
        if first.marks.has(Marks::SACKED.with(Marks::LOST)) {
            return 0;
        }
        if first.len() > len {
            self.split_at(first.seq + len);
        }
        self.mark(0);
        first.len().min(len)
    }

    /// Marks lost each entry that `lost` says so of, and that is neither delivered nor marked.
    pub(super) fn mark_lost(&mut self, mut lost: impl FnMut(&Sent) -> bool) -> u32 {
        let mut marked = 0;
        for i in 0..self.queue.len() {
            let Some(&sent) = self.queue.get(i) else {
                break;
            };
            if !sent.marks.has(Marks::SACKED.with(Marks::LOST)) && lost(&sent) {
                self.mark(i);
                marked += sent.len();
            }
        }
        marked
    }

    fn mark(&mut self, i: usize) {
        let Some(sent) = self.queue.get_mut(i) else {
            return;
        };
        let len = sent.len();
        if sent.marks.has(Marks::RETRANSMITTED) {
            self.retrans -= len;
        }
        sent.marks = sent.marks.with(Marks::LOST);
        self.lost += len;
        if sent.seq.before(self.hint) {
            self.hint = sent.seq;
        }
    }

    /// The peer holds nothing beyond its acknowledgment any more (RFC 2018 §8).
    pub(super) fn forget_sacks(&mut self) {
        for sent in &mut self.queue {
            if sent.marks.has(Marks::SACKED) {
                sent.marks = sent.marks.without(Marks::SACKED);
                if sent.marks.has(Marks::RETRANSMITTED) {
                    self.retrans += sent.len();
                }
            }
        }
        self.sacked = 0;
    }

    /// Nothing is thought lost any more.
    pub(super) fn forget_losses(&mut self) {
        let mut found = alloc::vec::Vec::new();
        for sent in &mut self.queue {
            if sent.marks.has(Marks::LOST) {
                sent.marks = sent.marks.without(Marks::LOST);
                if sent.marks.has(Marks::RETRANSMITTED) {
                    self.retrans += sent.len();
                }
                found.push((sent.at, sent.seq));
            }
        }
        self.lost = 0;
        for (at, seq) in found {
            self.order_insert(at, seq);
        }
    }

    /// The first entry that is lost and waits to be sent again.
    pub(super) fn next_lost(&mut self) -> Option<Sent> {
        if self.lost == 0 {
            return None;
        }
        let mut i = self.position(self.hint);
        while let Some(sent) = self.queue.get(i) {
            if sent.marks.has(Marks::LOST) {
                self.hint = sent.seq;
                return Some(*sent);
            }
            i += 1;
        }
        None
    }

    /// Bytes from `seq` on, where an entry starts, that are lost without a gap; up to `most`.
    pub(super) fn lost_run(&self, seq: SeqNum, most: u32) -> u32 {
        let mut run = 0;
        for sent in self.queue.range(self.position(seq)..) {
            if run >= most || !sent.marks.has(Marks::LOST) {
                break;
            }
            run += sent.len();
        }
        run.min(most)
    }

    /// Notes that the `len` bytes from `seq` on, where an entry starts, were sent again, all at
    /// once: they are one entry from now on. `stamp` gives it its new times.
    pub(super) fn resend(&mut self, seq: SeqNum, len: u32, stamp: impl FnOnce(&mut Sent)) {
        self.split_at(seq + len);
        let i = self.position(seq);
        let Some(&first) = self.queue.get(i).filter(|s| s.seq == seq) else {
            return;
        };
        let (mut whole, mut next) = (first, i);
        while let Some(sent) = self.queue.get(next)
            && sent.end.at_or_before(seq + len)
        {
            let len = sent.len();
            if sent.marks.has(Marks::LOST) {
                self.lost -= len;
                self.retrans += len;
            } else if !sent.marks.has(Marks::RETRANSMITTED.with(Marks::SACKED)) {
                self.retrans += len;
            }
            whole.end = sent.end;
            next += 1;
        }
        whole.marks = first
            .marks
            .with(Marks::RETRANSMITTED)
            .without(Marks::LOST.with(Marks::MTU_PROBE));
        stamp(&mut whole);
        if let Some(place) = self.queue.get_mut(i) {
            *place = whole;
        }
        if next > i + 1 {
            self.queue.drain(i + 1..next);
        }
        self.order.push_back((whole.at, seq));
        self.tidy_order();
    }

    /// Entries sent again leave their old place in vain; where most have, all are made anew.
    fn tidy_order(&mut self) {
        if self.order.len() <= 64 + 2 * self.queue.len() {
            return;
        }
        let mut order: alloc::vec::Vec<_> = self
            .queue
            .iter()
            .filter(|s| !s.marks.has(Marks::SACKED.with(Marks::LOST)))
            .map(|s| (s.at, s.seq))
            .collect();
        order.sort_by_key(|(at, _)| *at);
        self.order = order.into();
    }

    /// The last `len` bytes in flight, as an entry of its own.
    pub(super) fn tail(&mut self, len: u32) -> Option<Sent> {
        let last = *self.queue.back()?;
        if last.len() > len {
            self.split_at(last.end - len);
        }
        self.queue.back().copied()
    }

    /// How many segments of at most `mss` bytes the peer holds beyond its acknowledgment, counted
    /// up to `enough`.
    pub(super) fn sacked_segments(&self, mss: u32, enough: u32) -> u32 {
        if self.sacked == 0 {
            return 0;
        }
        let mut segments = 0;
        for sent in self.queue.iter().filter(|s| s.marks.has(Marks::SACKED)) {
            segments += sent.len().div_ceil(mss.max(1));
            if segments >= enough {
                break;
            }
        }
        segments
    }

    /// The number from which on the peer holds `segments` or more segments: all before it that it
    /// does not hold is lost by RFC 6675's IsLost.
    pub(super) fn lost_below(&self, mss: u32, segments: u32) -> Option<SeqNum> {
        let mut above = 0;
        for sent in self.queue.iter().rev() {
            if sent.marks.has(Marks::SACKED) {
                above += sent.len().div_ceil(mss.max(1));
                if above >= segments {
                    return Some(sent.seq);
                }
            }
        }
        None
    }

    #[cfg(test)]
    fn check(&self) {
        let mut sums = [0; 3];
        let mut next = self.queue.front().map(|s| s.seq);
        for s in &self.queue {
            assert_eq!(Some(s.seq), next);
            assert!(s.len() > 0 && s.len() < 1 << 30);
            next = Some(s.end);
            let m = s.marks;
            assert!(!(m.has(Marks::SACKED) && m.has(Marks::LOST)));
            let at = [
                m.has(Marks::SACKED),
                m.has(Marks::LOST),
                m.has(Marks::RETRANSMITTED) && !m.has(Marks::SACKED.with(Marks::LOST)),
            ];
            for (sum, _) in sums.iter_mut().zip(at).filter(|(_, on)| *on) {
                *sum += s.len();
            }
            if !m.has(Marks::SACKED.with(Marks::LOST)) {
                assert!(self.order.contains(&(s.at, s.seq)), "{s:?}");
            }
            if m.has(Marks::LOST) {
                assert!(!s.seq.before(self.hint));
            }
        }
        assert_eq!(sums, [self.sacked, self.lost, self.retrans]);
        assert!(self.order.iter().is_sorted_by_key(|(at, _)| *at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn sent(seq: SeqNum, len: u32, at: u64) -> Sent {
        let at = Instant::from_nanos(at);
        Sent {
            seq,
            end: seq + len,
            at,
            delivered: 0,
            delivered_at: at,
            first_at: at,
            nth: SeqNum(0),
            marks: Marks::NONE,
        }
    }

    #[test]
    fn keeps_its_books_whatever_happens() {
        for seed in 0..300 {
            let mut rng = Rng::from_seed(seed);
            let mut board = Scoreboard::default();
            let mut una = SeqNum(0_u32.wrapping_sub(5000));
            let mut nxt = una;
            let mut delivered = 0;
            for now in 0..300 {
                let flight = nxt.since(una);
                let within = |rng: &mut Rng| una + rng.below(u64::from(flight) + 1) as u32;
                match rng.below(9) {
                    0..3 => {
                        let len = 1 + rng.below(5000) as u32;
                        board.push(sent(nxt, len, now));
                        nxt += len;
                    }
                    3 => {
                        let to = within(&mut rng);
                        board.ack(to, |s| delivered += s.len());
                        una = to;
                    }
                    4 | 5 => {
                        let (a, b) = (within(&mut rng), within(&mut rng));
                        board.sack(a.earlier(b), a.later(b), |s| delivered += s.len());
                    }
                    6 => {
                        let half = rng.next_u64();
                        let until = Instant::from_nanos(rng.below(now + 1));
                        board.mark_lost_by_time(until, |s| s.seq.0 as u64 ^ half & 1 == 0);
                        board.mark_first_lost(1000);
                    }
                    7 => {
                        while let Some(lost) = board.next_lost() {
                            let len = board.lost_run(lost.seq, 1 + rng.below(5000) as u32);
                            let at = Instant::from_nanos(now);
                            board.resend(lost.seq, len, |s| s.at = at);
                        }
                        assert_eq!(board.lost(), 0);
                    }
                    _ if rng.below(10) == 0 => board.forget_losses(),
                    _ => {
                        board.tail(700);
                    }
                }
                board.check();
                assert_eq!(
                    board.queue.iter().map(Sent::len).sum::<u32>(),
                    nxt.since(una)
                );
            }
            board.ack(nxt, |s| delivered += s.len());
            board.check();
            assert!(board.is_empty() && delivered == nxt.since(SeqNum(0_u32.wrapping_sub(5000))));
        }
    }
}
