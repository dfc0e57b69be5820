//! The receiver: RCV.*, what came in and out of order, the window offered, and when to acknowledge.
//!
//! ```text
//!            1          2          3
//!   ---------------|---------|----------
//!              RCV.NXT    RCV.NXT
//!                        +RCV.WND
//!   1 received (read, or in the buffer)   2 may come, or came early   3 not allowed yet
//! ```
//!
//! Read first: RFC 9293 §3.3.1 and §3.8.6, RFC 2018 §4, RFC 2883 §4, RFC 7323 §4–5.
//!
//! Promises: knows nothing of addresses or of the sender; the right edge of the window never moves
//! back; what is held is bounded by the buffer's limit.

use super::assembler::{Assembler, Held};
use super::buffer::RecvBuffer;
use super::memory::{LEAST, Supply};
use super::options::{Accounting, Options};
use super::segment::{Sacks, Segment};
use crate::frame::Payload;
use crate::reason::DropReason;
use crate::time::{Duration, Instant, nanos};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::Flags;
use alloc::boxed::Box;
use bytes::Bytes;

/// How pressing an acknowledgment is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// Nothing to acknowledge.
    #[default]
    None,
    /// It may wait for company.
    Delayed,
    /// Now.
    Now,
}

/// What became of a segment's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// There is more to read.
    pub(super) readable: bool,
    /// The FIN's turn has come.
    pub(super) fin: bool,
}

/// RFC 7323 §5.5: a timestamp older than this says nothing any more.
const TS_RECENT_LIFE: Duration = Duration::from_secs(24 * 24 * 3600);

/// After so long without data the peer has timed out, or begins with a small window again.
const PAUSE: Duration = Duration::from_millis(200);

/// The receiver.
#[derive(Clone, Debug)]
pub(super) struct Receiver {
    pub(super) irs: SeqNum,
    pub(super) nxt: SeqNum,
    /// The right edge offered.
    adv: SeqNum,
    /// The number behind the last urgent byte.
    pub(super) up: Option<SeqNum>,
    /// Our window scale.
    pub(super) wscale: u8,
    /// What the buffer may hold.
    limit: u32,
    /// What it may ever.
    max: u32,
    /// How much memory is left for all connections.
    pub(super) supply: Supply,
    /// Packets are counted, not bytes: how, and how the window is bounded.
    packets: Option<Packets>,
    pub(super) buffer: RecvBuffer,
    held: Option<Box<Assembler>>,
    /// Bytes received in order.
    pub(super) received: u64,
    /// The peer's FIN, where it has come but not its turn.
    fin: Option<SeqNum>,
    /// The FIN has been taken.
    pub(super) finished: bool,
    /// All there is room for is offered.
    exact: bool,
    dsack: Option<(SeqNum, SeqNum)>,
    pub(super) ts_recent: u32,
    ts_recent_at: Instant,
    last_ack_sent: SeqNum,
    pub(super) need: Need,
    /// Segments that are acknowledged at once.
    quick: u8,
    /// So many where the peer begins anew.
    quick_most: u8,
    /// Bytes received since the last acknowledgment.
    unacked: u32,
    /// Data of the largest segment seen.
    pub(super) mss: u16,
    /// The peer shall be told of congestion until it says CWR (RFC 3168 §6.1.3).
    pub(super) echo: bool,
    /// Bytes read since the round trip that is measured began.
    copied: u32,
    measured_at: Instant,
    /// What was read in the round trip before.
    space: u32,
    /// The round trip as a receiver sees it, in nanoseconds.
    rtt: u64,
    pub(super) last_data_at: Instant,
}

/// What is kept where packets are counted ([`Accounting::Packets`]).
#[derive(Clone, Copy, Debug)]
struct Packets {
    /// Memory that what is held takes.
    charged: u32,
    /// What the window may be, however much room there is.
    clamp: u32,
    /// What it may ever be ([`Options::window_clamp`]).
    most: u32,
    /// The largest segment that we announced.
    mss: u16,
    /// Data in 256 units of memory, as the segments show that came.
    ratio: u8,
    /// Small segments, or pushed ones, since the last acknowledgment: one, or more.
    pushed: u8,
    /// Data goes both ways in turn: acknowledgments ride on it.
    talks: bool,
    /// Data has come on the open connection, so that there is a delay for acknowledgments.
    timed: bool,
    /// Somebody may read: the buffer grows.
    adopted: bool,
}

impl Packets {
    /// The window that so much memory is good for.
    const fn window(&self, memory: u32) -> u32 {
        // No more than `memory`, as the ratio is below one.
        ((memory as u64 * self.ratio as u64) >> 8) as u32
    }

    /// The memory that a window needs.
    fn memory(&self, window: u64) -> u32 {
        u32::try_from((window << 8) / u64::from(self.ratio.max(1))).unwrap_or(u32::MAX)
    }
}

/// The memory that Linux counts for a packet with `len` bytes of data from a device of frames: a
/// head of a power of two, and pages for what is longer.
fn cost(len: u32) -> u32 {
    const HEADERS: u32 = 52;
    const HEAD: u32 = 3712;
    const PAGE: u32 = 4096;
    let packet = len.saturating_add(HEADERS);
    if packet <= HEAD {
        return (packet + 384).next_power_of_two().max(704) + 256;
    }
    let mut left = packet - HEAD;
    let mut all = PAGE + 256;
    while left > 0 {
        let pages = left.div_ceil(PAGE);
        // As many pages in one piece as are filled, eight at most.
        let piece = PAGE << pages.ilog2().min(3);
        all += piece;
        left = left.saturating_sub(piece);
    }
    all
}

impl Receiver {
    pub(super) fn new(now: Instant, options: &Options) -> Self {
        let packets = options.accounting == Accounting::Packets;
        let (limit, max) = limits(options);
        // A buffer that does not grow never offers more than half of its memory.
        let most = match packets && max == limit {
            true => max / 2,
            false => max,
        };
        Self {
            irs: SeqNum(0),
            nxt: SeqNum(0),
            adv: SeqNum(0),
            up: None,
            wscale: if options.window_scaling {
                scale_for(most.min(options.window_clamp))
            } else {
                0
            },
            limit,
            max,
            supply: Supply::Ample,
            packets: packets.then_some(Packets {
                charged: 0,
                clamp: 65_535,
                most: options.window_clamp,
                mss: 1460,
                ratio: 128,
                pushed: 0,
                talks: false,
                timed: false,
                adopted: false,
            }),
            buffer: RecvBuffer::default(),
            held: None,
            received: 0,
            fin: None,
            finished: false,
            exact: options.exact_window,
            dsack: None,
            ts_recent: 0,
            ts_recent_at: now,
            last_ack_sent: SeqNum(0),
            need: Need::None,
            quick: options.quick_acks,
            quick_most: options.quick_acks,
            unacked: 0,
            mss: 536,
            echo: false,
            copied: 0,
            measured_at: now,
            space: 0,
            rtt: 0,
            last_data_at: now,
        }
    }

    /// Takes the peer's SYN.
    pub(super) fn on_syn(&mut self, now: Instant, seg: &Segment) {
        self.irs = seg.seq;
        self.nxt = seg.seq + 1;
        self.adv = self.nxt + self.room().min(65_535);
        self.last_ack_sent = self.nxt;
        if let Some((value, _)) = seg.timestamps {
            self.ts_recent = value;
            self.ts_recent_at = now;
        }
    }

    /// Before a SYN: the window of a buffer that is empty, in whole segments of `mss` bytes.
    pub(super) fn set_first_window(&mut self, mss: u16, timestamps: bool) {
        let Some(p) = &mut self.packets else { return };
        p.mss = mss.max(1);
        let len = u32::from(mss.saturating_sub(if timestamps { 12 } else { 0 }).max(1));
        let full = p.window(self.limit).min(p.most);
        let whole = if full > len { full / len * len } else { full };
        p.clamp = whole.min(65_535);
        self.space = p.clamp.min(10 * u32::from(p.mss));
    }

    /// Somebody may read what comes from now on.
    pub(super) const fn adopt(&mut self) {
        if let Some(p) = &mut self.packets {
            p.adopted = true;
        }
    }

    /// What the buffer may hold.
    pub(super) const fn limit(&self) -> u32 {
        self.limit
    }

    /// What a window may offer now, where bytes are counted; else in a SYN.
    fn room(&self) -> u32 {
        match &self.packets {
            Some(p) if self.supply < Supply::Spent => p.clamp,
            Some(p) => p.clamp.min(self.least()),
            None => self.limit_now().saturating_sub(len32(self.buffer.len())),
        }
    }

    /// What the buffer may hold, as far as it can be promised now.
    #[inline]
    fn limit_now(&self) -> u32 {
        match (self.supply, &self.packets) {
            (Supply::Spent | Supply::Gone, None) => self.limit.min(self.least()),
            (Supply::Spent | Supply::Gone, Some(p)) => {
                self.limit.min(p.memory(u64::from(self.least())))
            }
            _ => self.limit,
        }
    }

    /// What is promised though there is no memory: two segments, lest the peer wait for a timeout.
    fn least(&self) -> u32 {
        LEAST.max(2 * u32::from(self.mss))
    }

    /// What is held of the memory of all connections.
    #[inline]
    pub(super) fn memory(&self) -> u32 {
        let early = self.held.as_ref().map_or(0, |held| held.charged());
        let early = u32::try_from(early).unwrap_or(u32::MAX);
        len32(self.buffer.len()).saturating_add(early)
    }

    /// Whether something came before its time.
    #[inline]
    pub(super) const fn holds_early(&self) -> bool {
        self.held.is_some()
    }

    /// Gives up what came before its time; how many bytes.
    pub(super) fn prune(&mut self) -> u32 {
        let gone = self.out_of_order();
        self.held = None;
        let left = u64::from(len32(self.buffer.len()));
        if let Some(p) = &mut self.packets {
            let all = (left + u64::from(gone)).max(1);
            p.charged = u32::try_from(u64::from(p.charged) * left / all).unwrap_or(0);
        }
        gone
    }

    /// Whether `len` bytes more are refused, since nothing is left and enough waits.
    fn is_spent(&self, len: usize) -> bool {
        let held = self.memory();
        if self.supply == Supply::Gone {
            return true;
        }
        self.supply == Supply::Spent && held > 0 && held.saturating_add(len32(len)) > self.least()
    }

    /// The window that is worth to be offered: nothing rather than little, and in whole segments
    /// where it is not scaled.
    fn select(&mut self) -> u32 {
        let last = if self.adv.after(self.last_ack_sent) {
            self.adv.since(self.last_ack_sent)
        } else {
            0
        };
        let limit = self.limit_now();
        let Some(p) = &mut self.packets else {
            return self.room();
        };
        let full = p.window(limit);
        let mss = u32::from(self.mss).min(full);
        let mut free = p.window(limit.saturating_sub(p.charged));
        if mss == 0 {
            return 0;
        }
        if free < full / 2 {
            // Whoever reads slowly need not be hurried.
            self.quick = 0;
            free = free >> self.wscale << self.wscale;
            //= RFC 9293 §3.8.6.2.2 MUST-39: the receiver avoids silly windows.
            if free < full >> 4 || free < mss {
                return 0;
            }
        }
        free = free.min(p.clamp);
        if self.wscale > 0 {
            return free.next_multiple_of(1 << self.wscale);
        }
        if last.saturating_add(mss) <= free || last > free {
            free / mss * mss
        } else if mss == full && free > last + full / 2 {
            free
        } else {
            last
        }
    }

    /// Takes what a segment shows of the peer's: its size, and what such ones cost.
    fn measure(&mut self, seg: &Segment) {
        let per_segment = seg.len / u32::from(seg.segments).max(1);
        let size = u16::try_from(per_segment).unwrap_or(u16::MAX);
        let Some(p) = &mut self.packets else {
            self.mss = self.mss.max(size);
            return;
        };
        // What comes with a SYN has no acknowledgment.
        p.timed |= seg.has(Flags::ACK);
        if size >= self.mss {
            if size != self.mss {
                let ratio = (u64::from(seg.len) << 8) / u64::from(cost(seg.len));
                p.ratio = u8::try_from(ratio).unwrap_or(u8::MAX).max(1);
            }
            self.mss = size.min(p.mss);
            if seg.has(Flags::PSH) {
                p.pushed = p.pushed.max(1);
            }
        } else {
            p.pushed = (p.pushed + 1).min(2);
        }
    }

    /// Lets the window grow with what has come: twice as fast as it comes, where such segments fit.
    fn grow(&mut self, len: u32) {
        let Some(p) = &mut self.packets else { return };
        if self.supply > Supply::Ample {
            return;
        }
        let free = p.window(self.limit.saturating_sub(p.charged));
        let room = free.min(p.most).saturating_sub(p.clamp);
        if room == 0 {
            return;
        }
        let mut memory = p.window(cost(len));
        let more = if memory <= len {
            2 * u32::from(p.mss)
        } else {
            // Small ones fit in a window that is small beside what the buffer may become.
            let mut window = p.window(self.max) / 2;
            memory /= 2;
            while memory > len && p.clamp <= window {
                memory /= 2;
                window /= 2;
            }
            if memory <= len && p.clamp <= window {
                2 * u32::from(self.mss)
            } else {
                0
            }
        };
        if more > 0 {
            p.clamp += room.min(more.max(2 * len));
            if self.quick == 0 {
                self.quick = 1.min(self.quick_most);
            }
        }
    }

    /// Counts a packet that is kept.
    fn charge(&mut self, len: u32) {
        if let Some(p) = &mut self.packets {
            p.charged = p.charged.saturating_add(cost(len));
        }
    }

    /// Gives back what `n` bytes that were read have cost, `left` of all that is held behind them.
    fn release(&mut self, n: usize) {
        if self.packets.is_none() {
            return;
        }
        let left = u64::from(len32(self.buffer.len())) + u64::from(self.out_of_order());
        if let Some(p) = &mut self.packets {
            let all = (left + n as u64).max(1);
            p.charged = u32::try_from(u64::from(p.charged) * left / all).unwrap_or(0);
        }
    }

    /// Whether there is no memory for one packet more.
    fn is_full(&self) -> bool {
        let most = self.limit;
        self.packets.is_some_and(|p| p.charged > most)
    }

    /// Whether what comes is acknowledged at once.
    fn is_quick(&self) -> bool {
        self.quick > 0 && !self.packets.is_some_and(|p| p.talks)
    }

    /// Acknowledges at once for a while.
    fn hurry(&mut self) {
        self.quick = self.quick_most;
        if let Some(p) = &mut self.packets {
            p.talks = false;
        }
    }

    /// An acknowledgment has waited for company in vain.
    pub(super) const fn on_delay_over(&mut self) {
        if let Some(p) = &mut self.packets {
            p.talks = false;
        }
    }

    /// RCV.WND as the peer knows it.
    #[inline]
    pub(super) fn window(&self) -> u32 {
        if self.adv.after(self.nxt) {
            self.adv.since(self.nxt)
        } else {
            0
        }
    }

    /// What is accepted: what was offered, and where all room is offered as it comes, what could
    /// not be told for want of a scale.
    #[inline]
    fn acceptable(&self) -> u32 {
        let wnd = self.window();
        match self.exact {
            true => wnd.max(self.room()),
            false => wnd,
        }
    }

    /// Whether a number lies in the window; `half_open`: in what a SYN-ACK offered.
    pub(super) fn holds(&self, seq: SeqNum, half_open: bool) -> bool {
        let wnd = match half_open {
            true => self.window(),
            false => self.acceptable(),
        };
        seq == self.nxt || seq.within(self.nxt, self.nxt + wnd)
    }

    /// The first check: whether a segment lies in the window (RFC 9293 §3.10.7.4, table 6).
    #[inline]
    pub(super) fn is_acceptable(&self, seg: &Segment) -> bool {
        let (len, wnd) = (seg.seq_len(), self.acceptable());
        let edge = self.nxt + wnd;
        let inside = |seq: SeqNum| seq.within(self.nxt, edge);
        match (len, wnd) {
            (0, 0) => seg.seq == self.nxt,
            (0, _) => inside(seg.seq) || seg.seq == edge,
            (_, 0) => false,
            _ => inside(seg.seq) || inside(seg.seq + (len - 1)),
        }
    }

    /// RFC 7323 §5.3 R1: whether a segment is an old duplicate by its timestamp.
    #[inline]
    pub(super) fn is_old(&self, now: Instant, value: u32) -> bool {
        SeqNum(value).before(SeqNum(self.ts_recent))
            && now.since(self.ts_recent_at) < TS_RECENT_LIFE
    }

    /// RFC 7323 §4.3: which timestamp to echo.
    #[inline]
    pub(super) fn note_timestamp(&mut self, now: Instant, seg: &Segment, value: u32) {
        if SeqNum(value).at_or_after(SeqNum(self.ts_recent))
            && seg.seq.at_or_before(self.last_ack_sent)
        {
            self.ts_recent = value;
            self.ts_recent_at = now;
        }
    }

    /// Whether a timestamp is newer than the one to echo, and takes its place.
    pub(super) fn is_news(&self, seg: &Segment, value: u32) -> bool {
        SeqNum(value).after(SeqNum(self.ts_recent)) && seg.seq.at_or_before(self.last_ack_sent)
    }

    /// Whether a timestamp is no older than any before.
    #[inline]
    pub(super) fn is_newest(&self, value: u32) -> bool {
        SeqNum(value).at_or_after(SeqNum(self.ts_recent))
    }

    /// Whether `len` bytes that are next are taken whole, and nothing waits behind them.
    #[inline]
    pub(super) fn takes_whole(&self, len: u32) -> bool {
        len > 0
            && len <= self.window()
            && self.held.is_none()
            && self.fin.is_none()
            && self.supply < Supply::Spent
    }

    /// Takes data that is next, whole, with nothing behind it.
    #[inline]
    pub(super) fn on_expected(&mut self, now: Instant, seg: &Segment, data: Payload) {
        self.measure(seg);
        self.append(now, seg, data);
    }

    /// Takes the text and the FIN of an acceptable segment.
    pub(super) fn on_text(
        &mut self,
        now: Instant,
        seg: &Segment,
        mut data: Payload,
    ) -> Result<Taken, DropReason> {
        let (mut seq, mut fin) = (seg.seq, seg.has(Flags::FIN));
        let end = seg.seq + seg.len;
        if seq.before(self.nxt) {
            let old = self.nxt.since(seq).min(seg.len);
            if seg.len > 0 {
                self.dsack = Some((seq, seq + old));
                if self.packets.is_none() {
                    self.need = Need::Now;
                }
            }
            let last = fin && end == self.nxt && !self.finished;
            if !end.after(self.nxt) && !last {
                self.need = Need::Now;
                return Err(DropReason::TcpDuplicate);
            }
            data.advance(usize::try_from(old).unwrap_or(usize::MAX));
            seq = self.nxt;
        }
        let room = match self.adv.after(seq) {
            true => usize::try_from(self.adv.since(seq)).unwrap_or(usize::MAX),
            false => 0,
        };
        if data.len() > room {
            if self.packets.is_none() {
                // What lies beyond the window will come again, and the FIN with it.
                data.truncate(room);
                fin = false;
                self.need = Need::Now;
            } else if self.buffer.len() > 0 {
                self.hurry();
                self.need = Need::Now;
                return Err(DropReason::TcpBeyondWindow);
            }
            // While nothing waits to be read, one segment that begins in the window is taken whole:
            // the peer counts on more than it was offered, and cutting it would teach it nothing.
        }
        let in_order = seq == self.nxt;
        let any = !data.is_empty();
        if any && self.is_full() && (self.buffer.len() > 0 || !in_order) {
            self.need = Need::Now;
            return Err(DropReason::TcpBufferFull);
        }
        if any && in_order && self.is_spent(data.len()) {
            // What can be read is worth more than what cannot.
            self.prune();
        }
        if any && self.is_spent(data.len()) {
            self.need = Need::Now;
            return Err(DropReason::TcpMemoryFull);
        }
        if fin {
            self.fin = Some(seq + len32(data.len()));
        }
        if self.finished {
            return Err(DropReason::TcpAfterFin);
        }
        if any {
            self.measure(seg);
        }
        if let Some(p) = &mut self.packets
            && fin
            && in_order
            && self.held.is_none()
        {
            // It has said all: what we say next may acknowledge it.
            p.talks = true;
        }
        if in_order {
            self.append(now, seg, data);
        } else if any {
            self.hold(seq, &data)?;
        }
        let mut taken = Taken {
            readable: in_order && any,
            fin: false,
        };
        if !in_order {
            //= RFC 5681 §4.2 what is out of order is answered at once, a FIN alone as well.
            self.need = Need::Now;
        }
        if self.fin == Some(self.nxt) {
            // There is nothing behind a FIN.
            self.held = None;
            self.finished = true;
            self.nxt += 1;
            // It counts beside the bytes before it.
            let second = self.unacked >= u32::from(self.mss) && self.may_answer_second();
            self.need = self.need.max(match self.packets {
                // Nothing to wait for where nothing came before: it may be all there is.
                Some(p) if p.timed && !self.is_full() && !second => Need::Delayed,
                _ => Need::Now,
            });
            // Nothing of what was told before is of use any more.
            self.dsack = None;
            taken = Taken {
                readable: true,
                fin: true,
            };
        }
        Ok(taken)
    }

    /// Notes old data as a duplicate to be reported.
    pub(super) fn note_duplicate(&mut self, seg: &Segment) {
        self.hurry();
        let end = (seg.seq + seg.seq_len()).earlier(self.nxt);
        self.dsack = Some((seg.seq, end));
    }

    /// The peer's SYN has come once more, with an acknowledgment that is news.
    pub(super) fn note_syn_again(&mut self) {
        if !self.exact {
            self.dsack = Some((self.irs, self.irs + 1));
        }
    }

    /// Notes the first part of what came that is held already as a duplicate to be reported.
    fn note_overlap(&mut self, seq: SeqNum, len: u32) {
        let Some(held) = self.held.as_ref().filter(|_| self.dsack.is_none()) else {
            return;
        };
        //= RFC 2883 §4.2 of a segment that is partly new, the first old part.
        let at = self.received + u64::from(seq.since(self.nxt));
        if let Some((left, right)) = held.overlap(at, at + u64::from(len)) {
            let seq = |n: u64| seq + u32::try_from(n - at).unwrap_or(0);
            self.dsack = Some((seq(left), seq(right)));
        }
    }

    #[inline]
    fn append(&mut self, now: Instant, seg: &Segment, data: Payload) {
        let len = len32(data.len());
        if len == 0 {
            return;
        }
        self.note_overlap(self.nxt, len);
        if now.since(self.last_data_at) > PAUSE {
            self.quick = self.quick_most;
        }
        self.buffer.push(data);
        self.charge(len);
        self.advance(len);
        let filled = self.held.is_some();
        self.take_held();
        self.grow(len);
        self.last_data_at = now;
        self.unacked = self.unacked.saturating_add(len);
        let mut second = self.unacked > u32::from(self.mss);
        second &= self.packets.is_none() || self.may_answer_second();
        //= RFC 9293 §3.8.6.3 SHLD-19: every second full segment.
        //= RFC 5681 §4.2 at least every second full segment, and at once where a gap is filled.
        let now_due = filled || self.is_quick() || second || seg.ecn == 3;
        // A joined frame counts for the segments it stands for.
        let segments = u8::try_from(seg.segments).unwrap_or(u8::MAX);
        self.quick = self.quick.saturating_sub(segments);
        self.need = self
            .need
            .max(if now_due { Need::Now } else { Need::Delayed });
    }

    /// Whether the second segment is answered at once: while the window closes, what the peer may
    /// send next is for the reader to say.
    fn may_answer_second(&mut self) -> bool {
        let last = self.adv.later(self.last_ack_sent).since(self.last_ack_sent);
        self.select() >= last
    }

    /// Appends what is held and next by now.
    fn take_held(&mut self) {
        let Some(held) = &mut self.held else { return };
        while let Some(piece) = held.take(self.received) {
            let len = len32(piece.len());
            self.buffer.push_bytes(piece);
            self.nxt += len;
            self.received += u64::from(len);
        }
        if held.is_empty() {
            self.held = None;
        }
    }

    /// Keeps the data of a SYN that came while ours was on its way, until both are acknowledged.
    pub(super) fn defer(&mut self, data: &Payload) {
        // As Linux: where packets are counted it is left to come again.
        if self.packets.is_none() && !data.is_empty() && self.hold(self.nxt, data).is_ok() {
            (self.need, self.dsack) = (Need::None, None);
        }
    }

    /// Takes what was kept so; whether there is something to read.
    pub(super) fn take_deferred(&mut self) -> bool {
        if self.held.is_none() {
            return false;
        }
        let before = self.nxt;
        self.take_held();
        let any = self.nxt != before;
        if any {
            self.need = self.need.max(Need::Delayed);
        }
        any
    }

    fn advance(&mut self, len: u32) {
        self.nxt += len;
        self.received += u64::from(len);
    }

    fn hold(&mut self, seq: SeqNum, data: &Payload) -> Result<(), DropReason> {
        //= RFC 9293 §3.10.7.4 SHLD-31, MAY-13: kept, and acknowledged at once.
        //= RFC 5681 §4.2 a duplicate acknowledgment goes out at once.
        self.need = Need::Now;
        // The peer repairs a loss with a small window: each acknowledgment counts, as in Linux.
        self.hurry();
        let at = self.received + u64::from(seq.since(self.nxt));
        self.note_overlap(seq, len32(data.len()));
        let held = self.held.get_or_insert_default();
        let most = match self.supply {
            Supply::Ample => u64::from(self.limit) * 2,
            _ => u64::from(LEAST),
        };
        let outcome = held.insert(at, data, most);
        if held.is_empty() {
            self.held = None;
        }
        match outcome {
            Held::Yes => {
                let len = len32(data.len());
                self.charge(len);
                self.grow(len);
                self.fit_hole(seq + len);
                Ok(())
            }
            Held::Duplicate => Err(DropReason::TcpDuplicate),
            Held::Full if self.supply > Supply::Ample => Err(DropReason::TcpMemoryFull),
            Held::Full => Err(DropReason::TcpOutOfOrderFull),
        }
    }

    /// The buffer grows with what is held behind a hole, up to `end`.
    fn fit_hole(&mut self, end: SeqNum) {
        if let Some(p) = &self.packets
            && p.adopted
            && self.supply == Supply::Ample
        {
            let window = u64::from(self.space) * 2 + u64::from(end.since(self.nxt));
            self.limit = self.limit.max(p.memory(window).min(self.max));
        }
    }

    /// Bytes held out of order.
    pub(super) fn out_of_order(&self) -> u32 {
        let bytes = self.held.as_ref().map_or(0, |held| held.bytes());
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    /// The number behind all that has come, where there is a hole before it: the highest right edge
    /// of SACK blocks.
    pub(super) fn highest(&self) -> Option<SeqNum> {
        if let Some(fin) = self.early_fin() {
            return Some(fin + 1);
        }
        let end = self.held.as_ref()?.end()?;
        let ahead = u32::try_from(end.saturating_sub(self.received)).unwrap_or(0);
        Some(self.nxt + ahead)
    }

    /// The number of a FIN that came before its turn.
    #[inline]
    fn early_fin(&self) -> Option<SeqNum> {
        // Where windows are exact, as FreeBSD's, blocks tell of data alone.
        self.fin.filter(|fin| fin.after(self.nxt) && !self.exact)
    }

    /// The SACK blocks to send: a duplicate first, then what came last (RFC 2018 §4, RFC 2883 §4).
    pub(super) fn sacks(&mut self, dsack: bool) -> Sacks {
        let mut sacks = Sacks::default();
        let mut fin = self.early_fin();
        let Self {
            nxt,
            received,
            held,
            ..
        } = self;
        let seq = |n: u64| {
            let ahead = n.saturating_sub(*received);
            *nxt + u32::try_from(ahead).unwrap_or(0)
        };
        if let Some((left, right)) = self.dsack.take().filter(|_| dsack) {
            sacks.push(left, right);
            //= RFC 2883 §3, §4 a duplicate within a block held is followed by that block.
            let around = held
                .as_ref()
                .filter(|_| left.after(*nxt))
                .and_then(|held| held.block_of(*received + u64::from(left.since(*nxt))));
            if let Some((start, end)) = around {
                sacks.push(seq(start), seq(end));
            }
        }
        if let Some(held) = held {
            for (start, end) in held.blocks() {
                let mut block = (seq(start), seq(end));
                // The FIN's number follows the last byte's.
                if fin == Some(block.1) {
                    fin = None;
                    block.1 += 1;
                }
                if !sacks.as_slice().contains(&block) {
                    sacks.push(block.0, block.1);
                }
            }
        }
        if let Some(fin) = fin {
            sacks.push(fin, fin + 1);
        }
        sacks
    }

    /// Whether a duplicate, or what is out of order, waits for its answer.
    #[inline]
    pub(super) fn owes_answer(&self) -> bool {
        self.need == Need::Now && (self.dsack.is_some() || self.held.is_some())
    }

    /// The first number of a duplicate that waits to be reported.
    #[inline]
    pub(super) fn duplicate(&self) -> Option<SeqNum> {
        self.dsack.map(|(left, _)| left)
    }

    /// Whether a segment that ends here may have been on its way when its end was acknowledged last.
    pub(super) const fn has_just_acknowledged(&self, end: SeqNum) -> bool {
        end.at_or_after(self.last_ack_sent)
    }

    /// Whether there are blocks to tell.
    #[inline]
    pub(super) fn has_sacks(&self) -> bool {
        self.held.is_some() || self.dsack.is_some() || self.early_fin().is_some()
    }

    /// The window field of a segment that leaves now, and notes what it offers.
    pub(super) fn offer(&mut self) -> u16 {
        if self.packets.is_some() {
            let wnd = self.select().max(self.window());
            // Rounded up, where the edge would else move back.
            let units = wnd.div_ceil(1 << self.wscale);
            let units = u16::try_from(units).unwrap_or(u16::MAX);
            self.adv = self.adv.later(self.nxt + (u32::from(units) << self.wscale));
            return units;
        }
        let edge = self.nxt + self.room();
        //= RFC 9293 §3.8.6.2.2 MUST-39: the receiver avoids silly windows.
        //= RFC 9293 §3.8.6.1 MAY-8: while nobody reads, it stays closed.
        //= RFC 9293 §3.8.6.2.2 the edge moves by a full segment or half the buffer at least, lest
        //= small windows beget small segments.
        let least = u32::from(self.mss).min(self.limit / 2);
        let moves = edge.after(self.adv);
        let offered = if moves && (self.exact || edge.since(self.adv) >= least) {
            edge
        } else {
            self.adv
        };
        let wnd = if offered.after(self.nxt) {
            offered.since(self.nxt)
        } else {
            0
        };
        let mut units = wnd >> self.wscale;
        //= RFC 7323 §2.4 rounded up, where the edge would else move back.
        //= RFC 9293 §3.8.6 SHLD-14: a window never shrinks, not by rounding either.
        if (self.nxt + (units << self.wscale)).before(self.adv) {
            units += 1;
        }
        let units = u16::try_from(units).unwrap_or(u16::MAX);
        self.adv = self.adv.later(self.nxt + (u32::from(units) << self.wscale));
        units
    }

    /// The window field of a SYN, which is not scaled (RFC 7323 §2.2).
    pub(super) fn offer_in_syn(&mut self) -> u16 {
        // What came with a Fast Open SYN may wait to be read.
        let wnd = u16::try_from(self.room()).unwrap_or(u16::MAX);
        self.adv = self.adv.later(self.nxt + u32::from(wnd));
        wnd
    }

    /// An acknowledgment has left.
    #[inline]
    pub(super) fn on_acked(&mut self) {
        self.last_ack_sent = self.nxt;
        self.need = Need::None;
        self.unacked = 0;
        if let Some(p) = &mut self.packets {
            p.pushed = 0;
        }
    }

    /// Data has left: where it answers what came, acknowledgments may ride on such.
    #[inline]
    pub(super) fn on_data_sent(&mut self, now: Instant, delayed_ack: Duration) {
        if self.received > 0 && now.since(self.last_data_at) < delayed_ack {
            match &mut self.packets {
                Some(p) => p.talks = true,
                None => self.quick = 0,
            }
        }
    }

    /// The user waited to write: the handshake's last acknowledgment has data, as Linux counts on
    /// for those that follow.
    pub(super) fn on_waiting_data(&mut self) {
        if let Some(p) = &mut self.packets {
            p.talks = true;
        }
    }

    /// The user has taken `n` bytes: the window may open, and the buffer grow.
    pub(super) fn on_read(&mut self, now: Instant, n: usize) {
        self.copied = self.copied.saturating_add(len32(n));
        self.release(n);
        // What has been read past is behind for good: half the number space later it would seem
        // ahead again.
        if self
            .up
            .is_some_and(|up| up.at_or_before(self.unread_from()))
        {
            self.up = None;
        }
        self.tune(now);
        let window = self.window();
        if let Some(p) = self.packets {
            let answers = p.pushed > 1 || p.pushed == 1 && !p.talks;
            let company = self.unacked > u32::from(self.mss) || answers && p.charged == 0;
            let full = p.window(self.limit);
            if n == 0 || self.finished {
                // Nobody waits for a window.
            } else if self.need == Need::Delayed && company {
                self.need = Need::Now;
            } else if window.saturating_mul(2) <= full {
                let new = self.select();
                if new > 0 && new >= window.saturating_mul(2) {
                    self.need = Need::Now;
                }
            }
            return;
        }
        let free = self.room();
        // The peer is told of a window that has doubled, if it was small (and so may wait for it).
        let least = u32::from(self.mss).min(self.limit / 2);
        let opened = free.saturating_sub(window) >= window.max(least);
        if opened && window.saturating_mul(2) <= self.limit && !self.finished {
            self.need = Need::Now;
        }
    }

    /// The number of the first byte that the user has not read.
    pub(super) fn unread_from(&self) -> SeqNum {
        self.nxt - u32::from(self.finished) - len32(self.buffer.len())
    }

    /// Takes a sample of the round trip: the time since what a segment's timestamp answers.
    pub(super) fn on_echo(&mut self, sample: Duration) {
        let sample = sample.max(Duration::from_millis(1));
        let sample = nanos(sample);
        self.rtt = match self.rtt {
            0 => sample,
            rtt => rtt.saturating_mul(7).saturating_add(sample) / 8,
        };
    }

    /// The round trip, where acknowledgments time it better.
    pub(super) fn hint_rtt(&mut self, rtt: Option<Duration>) {
        if self.rtt == 0 {
            self.rtt = rtt.map_or(0, nanos);
        }
    }

    /// Dynamic right-sizing: the buffer holds twice what the user takes in a round trip, so that
    /// it never limits a sender that doubles its window each round trip.
    fn tune(&mut self, now: Instant) {
        let grows = self.limit < self.max && self.supply == Supply::Ample;
        if !grows || self.rtt == 0 || nanos(now.since(self.measured_at)) < self.rtt {
            return;
        }
        let read = self.copied;
        if let Some(p) = &self.packets {
            let read = read.saturating_sub(len32(self.buffer.len()));
            if read > self.space {
                let window = u64::from(read) * 2;
                let faster = window * u64::from(read - self.space) / u64::from(self.space.max(1));
                let wanted = p.memory((window + faster * 2).min(u64::from(u32::MAX)));
                self.limit = self.limit.max(wanted.min(self.max));
                self.space = read;
            }
        } else if read > self.space {
            let grow = u64::from(read) * 2 + 16 * u64::from(self.mss);
            let faster = u64::from(read - self.space) * grow / u64::from(self.space.max(1));
            let wanted = grow + 2 * faster.min(grow);
            let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
            self.limit = self.limit.max(wanted.min(self.max));
            self.space = read;
        }
        self.copied = 0;
        self.measured_at = now;
    }

    /// A buffer that offers all it has room for holds whole segments.
    pub(super) fn round_to(&mut self, mss: u16) {
        if self.exact {
            self.limit = self.limit.next_multiple_of(u32::from(mss).max(1));
            self.max = self.max.max(self.limit);
        }
    }

    /// Other limits, from now on; what is offered stays offered.
    pub(super) fn set_limits(&mut self, options: &Options) {
        let (limit, max) = limits(options);
        self.max = max;
        self.limit = self.limit.max(limit).min(self.max);
        if let Some(p) = &mut self.packets {
            p.most = options.window_clamp;
            p.clamp = p.clamp.min(p.most);
        }
    }

    /// Takes up to `max` bytes.
    pub(super) fn pop(&mut self, now: Instant, max: usize) -> Bytes {
        let bytes = self.buffer.pop(max);
        self.on_read(now, bytes.len());
        bytes
    }

    /// Acknowledges at once from now on, or waits for company.
    pub(super) const fn set_quick(&mut self, on: bool) {
        self.quick = if on { self.quick_most } else { 0 };
        if let Some(p) = &mut self.packets {
            p.talks = !on;
        }
    }

    /// Gives back what an idle receiver does not need.
    pub(super) fn shrink(&mut self) {
        self.buffer.shrink();
    }

    /// All is over: gives memory back.
    pub(super) fn clear(&mut self) {
        self.held = None;
        self.dsack = None;
    }
}

/// What a buffer may hold at the start, and ever. Where bytes are counted, the window is what it has
/// room for.
fn limits(options: &Options) -> (u32, u32) {
    let most = match options.accounting {
        Accounting::Bytes => options.window_clamp,
        Accounting::Packets => u32::MAX,
    };
    let buffer = options.recv_buffer;
    let initial = buffer.initial.min(most);
    (initial, buffer.max.min(most).max(initial))
}

/// The least scale with which `max` can be offered (RFC 7323 §2.3: at most 14).
fn scale_for(max: u32) -> u8 {
    (0..14).find(|s| max >> s <= 65_535).unwrap_or(14)
}

fn len32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(initial: u32, max: u32) -> Receiver {
        let options = Options {
            recv_buffer: super::super::options::Buffer { initial, max },
            ..Options::default()
        };
        let mut r = Receiver::new(Instant::ZERO, &options);
        let syn = Segment {
            seq: SeqNum(u32::MAX),
            ..Segment::default()
        };
        r.on_syn(Instant::ZERO, &syn);
        r
    }

    fn text(seq: u32, len: u32) -> (Segment, Payload) {
        let seg = Segment {
            seq: SeqNum(seq),
            len,
            segments: 1,
            ..Segment::default()
        };
        let bytes: std::vec::Vec<u8> = (seq..seq + len).map(|i| (i % 251) as u8).collect();
        (seg, Payload::from(Bytes::from(bytes)))
    }

    #[test]
    fn acceptability_as_in_table_6() {
        let mut r = receiver(1000, 1000);
        // SEG.SEQ, SEG.LEN, acceptable with a window of 1000
        for (seq, len, want) in [
            (0, 0, true),
            (999, 0, true),
            (1001, 0, false),
            (u32::MAX, 0, false),
            (0, 1, true),
            (999, 500, true),
            (1000, 1, false),
            (0_u32.wrapping_sub(5), 5, false),
            (0_u32.wrapping_sub(5), 6, true),
        ] {
            let mut seg = text(0, len).0;
            seg.seq = SeqNum(seq);
            assert_eq!(r.is_acceptable(&seg), want, "{seq} {len}");
        }
        let (seg, data) = text(0, 1000);
        r.on_text(Instant::ZERO, &seg, data).unwrap();
        assert_eq!(r.window(), 0);
        assert!(r.is_acceptable(&text(1000, 0).0) && !r.is_acceptable(&text(1000, 1).0));
    }

    #[test]
    fn the_window_never_shrinks_and_opens_by_segments() {
        let mut r = receiver(10_000, 10_000);
        assert_eq!(r.offer(), 10_000);
        let mut seq = 0;
        for len in [1000, 1, 3000] {
            let (seg, data) = text(seq, len);
            r.on_text(Instant::ZERO, &seg, data).unwrap();
            seq += len;
        }
        assert_eq!(r.offer(), 5999);
        r.pop(Instant::ZERO, 100);
        assert_eq!(r.offer(), 5999, "a hundred bytes are not worth a move");
        while !r.pop(Instant::ZERO, 4000).is_empty() {}
        assert_eq!(r.offer(), 10_000);
    }

    /// One whose buffer counts packets.
    fn counting(limit: u32) -> Receiver {
        let options = Options {
            recv_buffer: super::super::options::Buffer {
                initial: limit,
                max: limit,
            },
            accounting: Accounting::Packets,
            ..Options::default()
        };
        let mut r = Receiver::new(Instant::ZERO, &options);
        r.set_first_window(1460, false);
        let syn = Segment {
            seq: SeqNum(u32::MAX),
            ..Segment::default()
        };
        r.on_syn(Instant::ZERO, &syn);
        let _ = r.offer_in_syn();
        r
    }

    #[test]
    fn packets_cost_what_their_memory_does() {
        // A head up to a power of two, then pages; the greatest piece is of eight.
        let table = [
            (0, 960),
            (1000, 2304),
            (4000, 8448),
            (9000, 12_544),
            (10_000, 12_544),
            (39_000, 41_216),
            (60_000, 61_696),
        ];
        for (len, want) in table {
            assert_eq!(cost(len), want, "{len}");
        }
    }

    #[test]
    fn one_segment_is_taken_beyond_the_edge() {
        let mut r = counting(40_000);
        assert_eq!(r.offer_in_syn(), 18_980);
        let (seg, data) = text(0, 60_000);
        assert!(r.on_text(Instant::ZERO, &seg, data).unwrap().readable);
        assert_eq!((r.nxt, r.offer()), (SeqNum(60_000), 0));
        // What is not read keeps the next one out, whole.
        let mut r = counting(40_000);
        let (seg, data) = text(0, 1000);
        r.on_text(Instant::ZERO, &seg, data).unwrap();
        let (seg, data) = text(1000, 30_000);
        let got = r.on_text(Instant::ZERO, &seg, data);
        assert_eq!(got, Err(DropReason::TcpBeyondWindow));
        assert_eq!(r.nxt, SeqNum(1000));
    }

    #[test]
    fn memory_held_is_bounded_and_given_back() {
        let mut r = counting(40_000);
        let mut seq = 2000;
        let refused = (0..1000).find(|_| {
            let (seg, data) = text(seq, 10);
            seq += 20;
            r.on_text(Instant::ZERO, &seg, data).is_err()
        });
        assert!(refused.is_some_and(|n| n < 50), "{refused:?}");
        let charged = |r: &Receiver| r.packets.map_or(0, |p| p.charged);
        assert!(charged(&r) <= 40_000 + cost(10));
        let (seg, data) = text(0, 2000);
        r.held = None;
        if let Some(p) = &mut r.packets {
            p.charged = 0;
        }
        r.on_text(Instant::ZERO, &seg, data).unwrap();
        assert_eq!(charged(&r), cost(2000));
        r.pop(Instant::ZERO, 1000);
        assert_eq!(charged(&r), cost(2000) / 2);
        r.pop(Instant::ZERO, 1000);
        assert_eq!(charged(&r), 0);
    }

    #[test]
    fn rounding_does_not_move_the_edge_back() {
        let mut r = receiver(1 << 20, 1 << 20);
        assert_eq!(r.wscale, 5);
        let mut edge = r.nxt + (u32::from(r.offer()) << 5);
        for i in 0..100 {
            let (seg, data) = text(i * 7, 7);
            r.on_text(Instant::ZERO, &seg, data).unwrap();
            let next = r.nxt + (u32::from(r.offer()) << 5);
            assert!(next.at_or_after(edge));
            edge = next;
        }
    }

    #[test]
    fn the_fin_waits_for_its_turn() {
        let mut r = receiver(10_000, 10_000);
        let (mut seg, data) = text(100, 50);
        seg.flags = Flags::FIN;
        assert_eq!(
            r.on_text(Instant::ZERO, &seg, data).unwrap(),
            Taken::default()
        );
        assert_eq!(r.sacks(true).as_slice(), [(SeqNum(100), SeqNum(151))]);
        let (seg, data) = text(0, 120);
        let taken = r.on_text(Instant::ZERO, &seg, data).unwrap();
        assert!(taken.fin && r.nxt == SeqNum(151));
        let (seg, data) = text(0, 20);
        assert_eq!(
            r.on_text(Instant::ZERO, &seg, data),
            Err(DropReason::TcpDuplicate)
        );
        assert_eq!(r.sacks(true).as_slice(), [(SeqNum(0), SeqNum(20))]);
    }
}
