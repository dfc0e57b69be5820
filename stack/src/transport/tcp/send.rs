//! The sender: SND.*, what is in flight, and what an acknowledgment tells of it.
//!
//! ```text
//!        1         2          3          4
//!   ----------|----------|----------|----------
//!          SND.UNA    SND.NXT    SND.UNA
//!                               +SND.WND
//!   1 acknowledged   2 in flight   3 may be sent   4 not yet
//!
//!   acknowledgment -> window -> delivered -> RTT -> probe -> recovery -> lost -> controller -> timers
//! ```
//!
//! Read first: RFC 9293 §3.3.1, RFC 6675 §5, RFC 8985 §6–7, RFC 6937 §3, RFC 5682 §3.
//!
//! Promises: knows nothing of addresses or of the receiver; sequence numbers in flight are those of
//! the [`Scoreboard`]; every byte that is sent again has a [`Why`].

use super::buffer::SendBuffer;
use super::congestion::{Ack, Congested, Congestion, Controller as _};
use super::log::{LogEntry, Undo, What, Why};
use super::on_demand::{Empty, OnDemand};
use super::options::Options;
use super::pacing::{self, Pacer};
use super::rack::Rack;
use super::recovery::{Doubt, Prr};
use super::rtt::{self, Rtt};
use super::scoreboard::{Marks, Scoreboard, Sent};
use super::segment::Segment;
use super::status::Phase;
use super::timers::{Timer, Timers};
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::Flags;
use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// RFC 5681 §3.2, RFC 6675 §2, RFC 8985 §3.3: duplicates that mean loss.
pub(super) const DUP_THRESH: u32 = 3;

/// RFC 8985 §7.2: the longest delay of an acknowledgment that a probe allows for.
const MAX_ACK_DELAY: Duration = Duration::from_millis(200);

/// Log entries kept; the oldest goes where nobody listens.
const LOG: usize = 256;

/// The decisions of one connection, where they are to be kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Log(Option<Box<Entries>>);

/// In a box of their own: nearly no connection keeps any.
#[derive(Clone, Debug, Default)]
struct Entries(VecDeque<LogEntry>);

impl Log {
    pub(super) fn new(on: bool) -> Self {
        Self(on.then(Box::default))
    }

    pub(super) const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    fn push(&mut self, entry: LogEntry) {
        if let Some(Entries(log)) = self.0.as_deref_mut() {
            if log.len() >= LOG {
                log.pop_front();
            }
            log.push_back(entry);
        }
    }

    pub(super) fn pop(&mut self) -> Option<LogEntry> {
        self.0.as_mut()?.0.pop_front()
    }
}

/// How far the end of our data has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fin {
    /// There may be more.
    #[default]
    Open,
    /// The user has finished; the FIN follows what waits.
    Queued,
    /// Sent.
    Sent,
    /// Acknowledged.
    Acked,
}

/// Counters of a sender.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) bytes_sent: u64,
    pub(super) bytes_retrans: u64,
    pub(super) delivered_ce: u64,
    pub(super) segs_out: u64,
    pub(super) retrans: u32,
    pub(super) timeouts: u32,
    pub(super) recoveries: u32,
    pub(super) undos: u32,
    pub(super) dsacks: u32,
}

/// A probe for a lost tail that is in flight (RFC 8985 §7.1).
#[derive(Clone, Copy, Debug)]
struct TailProbe {
    end: SeqNum,
    is_retrans: bool,
}

/// What comes along with an acknowledgment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    pub(super) options: &'a Options,
    /// Our timestamp clock's offset, where timestamps are in use.
    pub(super) ts_offset: Option<u32>,
}

impl Context<'_> {
    /// What our timestamp clock shows at `at`: milliseconds.
    pub(super) fn ts_at(&self, at: Instant) -> Option<u32> {
        self.ts_offset.map(|offset| timestamp(at, offset))
    }
}

/// RFC 7323 §5.4: the timestamp clock ticks each millisecond, from an offset of the connection's.
#[allow(clippy::cast_possible_truncation, clippy::as_conversions)]
pub(super) fn timestamp(at: Instant, offset: u32) -> u32 {
    // Modulo 2^32 is what is wanted.
    ((at.as_nanos() / 1_000_000) as u32).wrapping_add(offset)
}

/// What one acknowledgment has delivered.
#[derive(Clone, Copy, Debug, Default)]
struct News {
    delivered: u32,
    /// Bytes that have left the network, as far as can be told.
    left: u32,
    /// Of the entry sent last: the delivery rate's variables.
    newest: Option<Sent>,
    /// When the first was sent that was acknowledged and sent only once.
    first_once: Option<Instant>,
    /// The same for selective acknowledgments, and the last one.
    sacked_once: Option<Instant>,
    last_once: Option<Instant>,
    retrans_acked: bool,
    sacked: bool,
    /// Something was delivered that was in flight at the timeout and never sent again.
    original: bool,
    probe: bool,
}

impl News {
    #[inline]
    fn take(&mut self, sent: &Sent, high_seq: SeqNum, by_sack: bool) {
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
    /// Our FIN is.
    pub(super) fin: bool,
    /// A probe for a larger path MTU arrived.
    pub(super) probe: bool,
    /// A probe for a larger path MTU was lost.
    pub(super) probe_lost: bool,
}

/// What is kept of what is in flight; made when something first is, and given back when nothing
/// has been for a while.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub(super) board: Scoreboard,
    rack: Rack,
    prr: Prr,
    /// What an episode would have to show to be found needless.
    doubt: Option<Doubt>,
    tail_probe: Option<TailProbe>,
    /// Why what is marked lost is.
    pub(super) why: Why,
}

impl Empty for Track {
    const EMPTY: &'static Self = &Self {
        board: Scoreboard::new(),
        rack: Rack::new(),
        prr: Prr::none(),
        doubt: None,
        tail_probe: None,
        why: Why::Duplicates,
    };
}

/// The sender.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) iss: SeqNum,
    pub(super) una: SeqNum,
    pub(super) nxt: SeqNum,
    pub(super) wnd: u32,
    wl1: SeqNum,
    wl2: SeqNum,
    /// The largest window the peer has offered.
    pub(super) max_wnd: u32,
    /// The number behind the last urgent byte, while it is not acknowledged.
    pub(super) up: Option<SeqNum>,
    /// The peer's window scale.
    pub(super) wscale: u8,
    /// Data bytes of a full segment.
    pub(super) mss: u16,
    pub(super) sack: bool,
    pub(super) buffer: SendBuffer,
    pub(super) fin: Fin,
    pub(super) track: OnDemand<Track>,
    pub(super) rtt: Rtt,
    pub(super) cc: Congested,
    pub(super) pacer: Pacer,
    pub(super) phase: Phase,
    /// Where the episode that lasts ends (RFC 6675's RecoveryPoint).
    high_seq: SeqNum,
    /// F-RTO looks at whether the timeout was spurious (RFC 5682).
    frto: bool,
    /// F-RTO wants new data sent rather than what is marked lost.
    pub(super) prefer_new: bool,
    dupacks: u16,
    /// A round trip has been timed since the last tail loss probe.
    timed: bool,
    /// So many have left.
    transmissions: SeqNum,
    /// Timeouts in a row.
    pub(super) retransmits: u8,
    /// Since when nothing has been acknowledged that is in flight.
    pub(super) stalled_since: Option<Instant>,
    pub(super) delivered: u64,
    delivered_at: Instant,
    first_at: Instant,
    /// Samples are limited by the application until so many bytes are delivered.
    app_limited: u64,
    pub(super) delivery_rate: u64,
    pub(super) rate_app_limited: bool,
    /// The window was the limit for what ends here.
    cwnd_limited: Option<SeqNum>,
    /// End of the last segment sent that was not full (draft-minshall-nagle-01's SND.SML).
    pub(super) small: SeqNum,
    /// The next new data carries CWR (RFC 3168 §6.1.2).
    pub(super) cwr: bool,
    pub(super) counters: Counters,
    pub(super) log: Log,
}

impl Sender {
    pub(super) fn new(now: Instant, iss: SeqNum, mss: u16, options: &Options) -> Self {
        let config = rtt::Config {
            initial: options.rto_initial,
            min: options.rto_min,
            max: options.rto_max,
        };
        Self {
            iss,
            una: iss,
            nxt: iss,
            wnd: 0,
            wl1: SeqNum(0),
            wl2: SeqNum(0),
            max_wnd: 0,
            up: None,
            wscale: 0,
            mss,
            sack: false,
            buffer: SendBuffer::default(),
            fin: Fin::Open,
            track: OnDemand::default(),
            rtt: Rtt::new(&config),
            cc: Self::controller(mss, options, iss),
            pacer: Pacer::new(),
            phase: Phase::Open,
            high_seq: iss,
            frto: false,
            prefer_new: false,
            dupacks: 0,
            timed: true,
            transmissions: SeqNum(0),
            retransmits: 0,
            stalled_since: None,
            delivered: 0,
            delivered_at: now,
            first_at: now,
            app_limited: 0,
            delivery_rate: 0,
            rate_app_limited: false,
            cwnd_limited: None,
            small: iss,
            cwr: false,
            counters: Counters::default(),
            log: Log::new(options.log),
        }
    }

    fn controller(mss: u16, options: &Options, iss: SeqNum) -> Congested {
        let mss = u32::from(mss);
        let window = mss * u32::from(options.initial_window.max(1));
        // What is drawn must differ between connections, and the same seed give the same: the
        // initial sequence number does both.
        Congested::new(options.congestion, mss, window, options.hystart).seeded(u64::from(iss.0))
    }

    /// Another controller, or another size of segments before the first is sent.
    pub(super) fn restart_control(&mut self, options: &Options) {
        self.cc = Self::controller(self.mss, options, self.iss);
    }

    pub(super) fn set_mss(&mut self, now: Instant, mss: u16) {
        if mss != self.mss {
            self.mss = mss;
            self.cc.set_mss(u32::from(mss));
            self.note(now, What::Mss(mss));
        }
    }

    /// Bytes sent and not acknowledged: FlightSize, with SYN and FIN.
    #[inline]
    pub(super) fn flight(&self) -> u32 {
        self.nxt.since(self.una)
    }

    /// What is thought to be in the network: RFC 6675's pipe.
    #[inline]
    pub(super) fn in_flight(&self) -> u32 {
        let gone = self.track.board.sacked() + self.track.board.lost() + self.duplicates();
        self.flight().saturating_sub(gone)
    }

    /// Without SACK, each duplicate acknowledgment says that a segment has left the network.
    fn duplicates(&self) -> u32 {
        if self.sack {
            return 0;
        }
        let most = self.flight().saturating_sub(u32::from(self.mss));
        (u32::from(self.dupacks) * u32::from(self.mss)).min(most)
    }

    /// The first number of data that the buffer holds.
    fn data_una(&self) -> SeqNum {
        if self.una == self.iss {
            self.iss + 1
        } else {
            self.una
        }
    }

    /// The number behind the last byte handed over.
    #[inline]
    pub(super) fn data_end(&self) -> SeqNum {
        self.data_una() + self.buffer.len()
    }

    /// Bytes handed over and never sent.
    #[inline]
    pub(super) fn unsent(&self) -> u32 {
        let next = if self.nxt == self.iss {
            self.iss + 1
        } else {
            self.nxt
        };
        // With our FIN sent, SND.NXT is beyond the data.
        let end = self.data_end();
        if next.before(end) { end.since(next) } else { 0 }
    }

    /// The place of a number in the stream of bytes.
    pub(super) fn offset(&self, seq: SeqNum) -> u64 {
        self.buffer.start() + u64::from(seq.since(self.data_una()))
    }

    /// Bytes that the peer's window still takes.
    #[inline]
    pub(super) fn window_room(&self) -> u32 {
        let edge = self.una + self.wnd;
        if edge.after(self.nxt) {
            edge.since(self.nxt)
        } else {
            0
        }
    }

    /// Bytes that the congestion window still takes.
    #[inline]
    pub(super) fn congestion_room(&self) -> u32 {
        self.cc.window().saturating_sub(self.in_flight())
    }

    pub(super) fn note(&mut self, now: Instant, what: What) {
        if self.log.is_on() {
            let entry = LogEntry {
                at: now,
                what,
                cwnd: self.cc.window(),
                ssthresh: self.cc.ssthresh(),
                in_flight: self.in_flight(),
                srtt: self.rtt.srtt(),
            };
            self.log.push(entry);
        }
    }

    /// Takes the peer's first window, which is not scaled.
    pub(super) fn first_window(&mut self, seg: &Segment) {
        self.wnd = u32::from(seg.wnd);
        self.max_wnd = self.max_wnd.max(self.wnd);
        // A SYN alone acknowledges nothing: any acknowledgment is newer.
        let ack = if seg.has(Flags::ACK) {
            seg.ack
        } else {
            self.iss
        };
        (self.wl1, self.wl2) = (seg.seq, ack);
    }

    /// The window of a segment that acknowledges nothing while nothing is in flight.
    #[inline]
    pub(super) fn on_window(&mut self, seg: &Segment) {
        self.update_window(seg);
    }

    /// The window of a segment, where it is newer than what we know; whether it changed.
    #[inline]
    fn update_window(&mut self, seg: &Segment) -> bool {
        //= RFC 9293 §3.10.7.4 SND.WL1 and SND.WL2 keep old segments from setting the window.
        let newer =
            self.wl1.before(seg.seq) || self.wl1 == seg.seq && self.wl2.at_or_before(seg.ack);
        if !newer {
            return false;
        }
        //= RFC 7323 §2.2 the window of a SYN is never scaled.
        let shift = if seg.has(Flags::SYN) { 0 } else { self.wscale };
        let wnd = u32::from(seg.wnd) << shift;
        let changed = wnd != self.wnd;
        self.wnd = wnd;
        self.max_wnd = self.max_wnd.max(wnd);
        (self.wl1, self.wl2) = (seg.seq, seg.ack);
        changed
    }

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
    fn echoed(&self, cx: &Context<'_>, seg: &Segment) -> Option<Duration> {
        let ticks = cx.ts_at(cx.now)?.wrapping_sub(seg.timestamps?.1);
        // An echo from the future, or from before the clock's last half turn, is none.
        (ticks < 1 << 31).then(|| Duration::from_millis(u64::from(ticks).max(1)))
    }

    /// Takes an acceptable acknowledgment (SND.UNA =< SEG.ACK =< SND.NXT).
    pub(super) fn on_ack(&mut self, cx: &Context<'_>, seg: &Segment, timers: &mut Timers) -> Acked {
        let now = cx.now;
        let prior = (self.una, self.in_flight(), self.flight());
        let window_changed = self.update_window(seg);
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
        out
    }

    /// RFC 6582's `recover` follows behind, lest it seem ahead after half the number space.
    fn follow_recover(&mut self) {
        let open = matches!(self.phase, Phase::Open | Phase::Disorder);
        if open && self.una.after(self.high_seq) {
            self.high_seq = self.una - 1;
        }
    }

    /// Duplicate acknowledgments that a partial one leaves standing: the segments behind them are
    /// still with the peer. The first segment of what is acknowledged was missing, and so none of
    /// them; once all is acknowledged, none stands.
    fn still_duplicate(&self, cumulative: u32) -> u16 {
        if self.sack || self.phase != Phase::Recovery || self.una.at_or_after(self.high_seq) {
            return 0;
        }
        let segments = cumulative.div_ceil(u32::from(self.mss).max(1));
        let were_counted = u16::try_from(segments.saturating_sub(1)).unwrap_or(u16::MAX);
        self.dupacks.saturating_sub(were_counted)
    }

    /// Bytes that an acknowledgment says have left the network, each told once: without SACK a
    /// segment for each duplicate (RFC 6937 §3), of which `counted` stood before.
    fn left_network(&self, news: &News, counted: u16) -> u32 {
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
    fn advance(
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
        if self.cwnd_limited.is_some_and(|until| until.before(ack)) {
            self.cwnd_limited = None;
        }
    }

    /// Reads the SACK option; whether it reports a duplicate.
    fn take_sacks(
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
    fn time(
        &mut self,
        cx: &Context<'_>,
        news: &News,
        echo: Option<u32>,
        advanced: bool,
    ) -> Option<Duration> {
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

    /// RFC 8985 §7.4.2: whether a probe repaired a loss that nothing else tells of.
    fn end_tail_probe(
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
                self.cc
                    .on_congestion(cx.now, Congestion::Loss, self.flight());
                self.cc.set_window(self.cc.ssthresh());
                self.cc.on_recovery_exit(cx.now);
                self.counters.recoveries += 1;
            }
        }
    }

    /// Moves on with the episode that lasts.
    fn recover(
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
                    self.track.board.mark_first_lost(u32::from(self.mss));
                    self.track.why = Why::Partial;
                }
            }
            Phase::Loss => self.after_timeout(cx, news, duplicate, advanced, passed, timers),
        }
    }

    /// RFC 5682 §3: whether a timeout was spurious, told by what comes next.
    fn after_timeout(
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
            self.track.board.mark_first_lost(u32::from(self.mss));
        }
    }

    fn end_episode(&mut self, now: Instant) {
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
    fn undo(&mut self, now: Instant, how: Undo, timers: &mut Timers) {
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
    fn detect_losses(
        &mut self,
        cx: &Context<'_>,
        timers: &mut Timers,
        out: &mut Acked,
        flight: u32,
    ) -> u32 {
        let mss = u32::from(self.mss);
        let before = self.track.board.lost();
        if self.sack && cx.options.rack {
            out.probe_lost = self.detect_by_time(cx, timers);
        } else if self.sack {
            if let Some(below) = self.track.board.lost_below(mss, DUP_THRESH) {
                self.track.why = Why::Duplicates;
                //= RFC 6675 §4 NextSeg: what was sent again is not again, but by the timer.
                let once = |s: &Sent| !s.marks.has(Marks::RETRANSMITTED);
                self.track
                    .board
                    .mark_lost(|s| s.seq.before(below) && once(s));
            }
        } else if u32::from(self.dupacks) >= DUP_THRESH
            //= RFC 6582 §3.2 step 2: only beyond `recover`; before, they answer what was sent again.
            && self.una.after(self.high_seq)
            && matches!(self.phase, Phase::Open | Phase::Disorder | Phase::Cwr)
        {
            self.track.why = Why::Duplicates;
            self.track.board.mark_first_lost(mss);
        }
        let lost = self.track.board.lost().saturating_sub(before);
        if lost > 0 && !out.probe_lost {
            self.note(cx.now, What::Lost(lost, self.track.why));
            if matches!(self.phase, Phase::Open | Phase::Disorder | Phase::Cwr) {
                self.enter_recovery(cx.now, flight);
            }
        }
        lost
    }

    /// RFC 8985 §6.2 steps 4 and 5; whether all that was found lost is a probe of the path MTU.
    fn detect_by_time(&mut self, cx: &Context<'_>, timers: &mut Timers) -> bool {
        timers.stop(Timer::Reorder);
        if self.track.rack.xmit_ts == Instant::ZERO && self.track.board.sacked() == 0 {
            return false;
        }
        let recovering = matches!(self.phase, Phase::Recovery | Phase::Loss);
        let mss = u32::from(self.mss);
        let certain = recovering || self.track.board.sacked_segments(mss, DUP_THRESH) >= DUP_THRESH;
        let (min_rtt, srtt) = (self.rtt.min_rtt(cx.now), self.rtt.srtt());
        let reo_wnd = self.track.rack.reo_wnd(certain, min_rtt, srtt);
        let mut wait = None;
        let (mut probes, mut others) = (false, false);
        let Track { board, rack, .. } = &mut *self.track;
        let marked = board.mark_lost_by_time(rack.xmit_ts, |sent| {
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
        });
        if marked > 0 {
            self.track.why = Why::Rack { reo_wnd };
        }
        if let Some(at) = wait {
            timers.set(Timer::Reorder, at);
        }
        probes && !others
    }

    /// Fast recovery begins (RFC 5681 §3.2, RFC 6675 §5, RFC 6937 §3).
    fn enter_recovery(&mut self, now: Instant, flight: u32) {
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

    /// The peer has seen a congestion mark (RFC 3168 §6.1.2).
    pub(super) fn on_mark(&mut self, now: Instant) {
        self.counters.delivered_ce += 1;
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

    /// Tells the controller, or PRR while an episode lasts.
    #[allow(clippy::too_many_arguments)]
    fn control(
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
        let ack = Ack {
            now: cx.now,
            acked: news.delivered,
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
            in_flight,
            lost,
            cwnd_limited: self.cwnd_limited.is_some(),
            in_recovery: reducing,
        };
        self.cc.on_ack(&ack);
        //= RFC 6582 §3.2 step 3: what a partial acknowledgment shows to be lost is sent at once.
        let partial = !self.sack && advanced && self.track.board.lost() > 0;
        self.come_down(news.left, advanced && lost == 0, partial);
        self.set_pace(cx.options);
    }

    /// Sets the window by PRR while an episode lasts (RFC 6937 §3): `left` bytes have left the
    /// network, with `progress` or not; `owed`: at least one segment may go.
    fn come_down(&mut self, left: u32, progress: bool, owed: bool) {
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

    fn set_pace(&mut self, options: &Options) {
        let rate = match self.cc.pacing_rate() {
            Some(rate) => rate,
            None if options.pacing => {
                pacing::rate(self.cc.window(), self.cc.ssthresh(), self.rtt.srtt())
            }
            None => 0,
        };
        self.pacer.set_rate(rate);
    }

    /// draft-cheng-iccrg-delivery-rate-estimation §3.3: interval, bytes, P.delivered.
    fn sample_rate(&mut self, now: Instant, news: &News) -> (Duration, u32, u64) {
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

    /// Sets or stops the timers that wait for acknowledgments.
    pub(super) fn rearm(&self, cx: &Context<'_>, timers: &mut Timers, advanced: bool) {
        if self.flight() == 0 {
            timers.stop(Timer::Retransmit);
            timers.stop(Timer::Probe);
            timers.stop(Timer::Reorder);
            return;
        }
        if advanced || !timers.runs(Timer::Retransmit) {
            //= RFC 6298 §5.3 an acknowledgment of new data starts the timer anew.
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
        if let Some((limit, since)) = cx.options.user_timeout.zip(self.stalled_since) {
            //= RFC 9293 §3.8.3 MUST-21: the user's limit holds to the moment.
            // Once it has passed, only a peer that answers with a closed window is waited for.
            let end = since + limit;
            at = if end > cx.now { at.min(end) } else { at };
        }
        timers.set(Timer::Retransmit, at);
    }

    fn may_probe(&self, options: &Options) -> bool {
        options.tail_loss_probe
            && self.sack
            && self.una != self.iss
            && matches!(self.phase, Phase::Open | Phase::Cwr)
            && self.track.board.sacked() == 0
            && !self.track.board.is_empty()
    }

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
        self.track
            .board
            .mark_lost(|s| s.seq == una || !by_time || s.at + wait <= now);
        self.dupacks = 0;
        self.track.prr = Prr::new(self.flight());
        self.track.tail_probe = None;
        //= RFC 5682 §3.1 step 1: not where the timeout repeats within one series.
        self.frto = cx.options.frto && (fresh || self.retransmits > 1 && self.frto);
        self.prefer_new = false;
        self.high_seq = self.nxt;
        self.phase = Phase::Loss;
        self.rtt.back_off();
        self.note(now, What::Timeout(self.retransmits));
    }

    /// The path carries less: what is longer than that is lost, without any congestion (RFC 1191
    /// §6.5).
    pub(super) fn on_too_big(&mut self, mtu: u16) {
        let mss = u32::from(self.mss);
        self.track.why = Why::PathMtu { mtu };
        self.track.board.mark_lost(|s| s.len() > mss);
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
    pub(super) fn on_fast_open_refused(&mut self) {
        self.track.why = Why::FastOpen;
        self.track.board.mark_lost(|_| true);
    }

    /// Notes that new data (or SYN, or FIN) was sent up to `end`.
    pub(super) fn on_sent(
        &mut self,
        cx: &Context<'_>,
        end: SeqNum,
        marks: Marks,
        timers: &mut Timers,
    ) {
        let now = cx.now;
        let seq = self.nxt;
        if self.flight() == 0 {
            self.first_at = now;
            self.delivered_at = now;
            self.stalled_since = Some(now);
        }
        let mut marks = marks;
        if self.app_limited > 0 {
            marks = marks.with(Marks::APP_LIMITED);
        }
        self.transmissions += 1;
        self.track.board.push(Sent {
            seq,
            end,
            at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_at: self.first_at,
            nth: self.transmissions,
            marks,
        });
        self.nxt = end;
        let len = end.since(seq);
        self.track.prr.on_sent(len);
        self.counters.bytes_sent += u64::from(len);
        self.pacer.on_sent(now, len);
        if !timers.runs(Timer::Retransmit) {
            self.arm(cx, timers);
        }
        if self.prefer_new && !self.in_flight_small() {
            self.prefer_new = false;
        }
        self.schedule_probe(cx, timers);
    }

    /// F-RTO sends at most two new segments before it sees what comes back.
    fn in_flight_small(&self) -> bool {
        self.nxt.since(self.high_seq) < 2 * u32::from(self.mss)
    }

    /// Notes that the entry at `seq` was sent again, `len` bytes of it.
    pub(super) fn on_resent(
        &mut self,
        cx: &Context<'_>,
        seq: SeqNum,
        len: u32,
        timers: &mut Timers,
    ) {
        let now = cx.now;
        let (delivered, delivered_at, first_at) =
            (self.delivered, self.delivered_at, self.first_at);
        self.transmissions += 1;
        let nth = self.transmissions;
        self.track.board.resend(seq, len, |sent| {
            sent.nth = nth;
            sent.at = now;
            sent.delivered = delivered;
            sent.delivered_at = delivered_at;
            sent.first_at = first_at;
        });
        if let Some(doubt) = &mut self.track.doubt {
            doubt.on_resent(len, cx.ts_at(now));
        }
        self.track.prr.on_sent(len);
        self.pacer.on_sent(now, len);
        self.counters.bytes_sent += u64::from(len);
        self.counters.bytes_retrans += u64::from(len);
        self.counters.retrans += len.div_ceil(u32::from(self.mss).max(1)).max(1);
        if seq == self.una || !timers.runs(Timer::Retransmit) {
            //= RFC 6298 §5.1, and the first in flight has just been given another chance.
            self.arm(cx, timers);
        }
    }

    /// Whether fast recovery has sent nothing yet: its first retransmission waits for no room.
    pub(super) fn owes_retransmission(&self) -> bool {
        let first_lost = || {
            let first = self.track.board.first();
            first.is_some_and(|s| s.marks.has(Marks::LOST))
        };
        match self.phase {
            //= RFC 6582 §3.2 step 3: so does what a partial acknowledgment shows.
            Phase::Recovery => self.track.prr.sent() == 0 || !self.sack && first_lost(),
            //= RFC 6298 §5.4: whatever is in flight, the timeout sends the earliest again.
            Phase::Loss => self.in_flight() == 0 || self.track.prr.sent() == 0 && first_lost(),
            _ => false,
        }
    }

    /// The window keeps back what could be sent.
    pub(super) fn note_cwnd_limited(&mut self) {
        self.cwnd_limited = Some(self.nxt);
    }

    /// There is nothing to send though there is room (draft-cheng §3.4).
    pub(super) fn note_app_limited(&mut self) {
        if self.track.board.lost() == 0 && self.congestion_room() > 0 {
            self.app_limited = (self.delivered + u64::from(self.in_flight())).max(1);
        }
    }

    /// Sending starts again after a pause with nothing in flight (RFC 9293 §3.8.2, RFC 7661).
    pub(super) fn on_restart(&mut self, now: Instant) {
        let idle = now.since(self.delivered_at.max(self.first_at));
        let rto = self.rtt.rto();
        if self.flight() == 0 && idle > rto {
            self.cc.on_restart(now, idle, rto);
        }
    }

    /// RACK's view, for status.
    pub(super) fn reordering_seen(&self) -> bool {
        self.track.rack.reordering_seen
    }

    /// Gives back what an idle sender does not need.
    pub(super) fn shrink(&mut self) {
        if self.flight() == 0 && matches!(self.phase, Phase::Open | Phase::Disorder) {
            self.track.release();
            self.buffer.shrink();
        }
    }

    /// All is over: gives memory back.
    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.track.release();
        self.una = self.nxt;
    }
}

/// Whether the timestamp that an acknowledgment echoes is older than a transmission.
fn is_older(cx: &Context<'_>, echo: Option<u32>, sent_at: Instant) -> bool {
    let (Some(echo), Some(sent)) = (echo, cx.ts_at(sent_at)) else {
        return false;
    };
    SeqNum(echo).before(SeqNum(sent))
}
