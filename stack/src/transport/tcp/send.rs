//! The sender: SND.*, what is in flight, and what was sent when.
//!
//! ```text
//!        1         2          3          4
//!   ----------|----------|----------|----------
//!          SND.UNA    SND.NXT    SND.UNA
//!                               +SND.WND
//!   1 acknowledged   2 in flight   3 may be sent   4 not yet
//!
//!   ack.rs: what an acknowledgment tells of it      episode.rs: what is lost of it, and when
//! ```
//!
//! Read first: RFC 9293 §3.3.1 and §3.4.
//!
//! Promises: knows nothing of addresses or of the receiver; sequence numbers in flight are those of
//! the [`Scoreboard`]; every byte that is sent again has a [`Why`].

use super::buffer::SendBuffer;
use super::congestion::{Congested, Controller as _};
use super::log::{LogEntry, What, Why};
use super::on_demand::{Empty, OnDemand};
use super::options::Options;
use super::pacing::Pacer;
use super::pieces::{Boundary, Measure, Pieces};
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

/// Log entries kept; the oldest goes where nobody listens.
const LOG: usize = 256;

/// The longest piece, as Linux's: what fits a packet with its headers.
const LONGEST_PIECE: u32 = 65_215;

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
pub(super) struct TailProbe {
    pub(super) end: SeqNum,
    pub(super) is_retrans: bool,
}

/// What comes along with an acknowledgment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    pub(super) options: &'a Options,
    /// Our timestamp clock's offset, where timestamps are in use.
    pub(super) ts_offset: Option<u32>,
    /// How long data may stay unacknowledged.
    pub(super) user_timeout: Option<Duration>,
}

impl Context<'_> {
    /// What our timestamp clock shows at `at`: milliseconds.
    pub(super) fn ts_at(&self, at: Instant) -> Option<u32> {
        self.ts_offset.map(|offset| timestamp(at, offset))
    }
}

//= RFC 7323 §5.8 with an offset of the pair's, it goes up from one incarnation to the next.
/// RFC 7323 §5.4: the timestamp clock ticks each millisecond, from an offset of the connection's.
#[allow(clippy::cast_possible_truncation, clippy::as_conversions)]
pub(super) fn timestamp(at: Instant, offset: u32) -> u32 {
    // Modulo 2^32 is what is wanted.
    ((at.as_nanos() / 1_000_000) as u32).wrapping_add(offset)
}

/// What is kept of what is in flight; made when something first is, and given back when nothing
/// has been for a while.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub(super) board: Scoreboard,
    pub(super) rack: Rack,
    pub(super) prr: Prr,
    /// What an episode would have to show to be found needless.
    pub(super) doubt: Option<Doubt>,
    pub(super) tail_probe: Option<TailProbe>,
    /// Why what is marked lost is.
    pub(super) why: Why,
}

impl Empty for Track {
    const NEW: Self = Self {
        board: Scoreboard::new(),
        rack: Rack::new(),
        prr: Prr::none(),
        doubt: None,
        tail_probe: None,
        why: Why::Duplicates,
    };
    const EMPTY: &'static Self = &Self::NEW;
}

/// The sender.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) iss: SeqNum,
    pub(super) una: SeqNum,
    pub(super) nxt: SeqNum,
    //= RFC 9293 §3.1 MUST-1, REC-1: unsigned, and of 32 bits once scaled.
    pub(super) wnd: u32,
    pub(super) wl1: SeqNum,
    pub(super) wl2: SeqNum,
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
    pub(super) high_seq: SeqNum,
    /// F-RTO looks at whether the timeout was spurious (RFC 5682).
    pub(super) frto: bool,
    /// F-RTO wants new data sent rather than what is marked lost.
    pub(super) prefer_new: bool,
    pub(super) dupacks: u16,
    /// A round trip has been timed since the last tail loss probe.
    pub(super) timed: bool,
    /// So many have left.
    pub(super) transmissions: SeqNum,
    /// Timeouts in a row.
    pub(super) retransmits: u8,
    /// Since when nothing has been acknowledged that is in flight or, with nothing in flight, a
    /// closed window has been probed.
    pub(super) stalled_since: Option<Instant>,
    pub(super) delivered: u64,
    pub(super) delivered_at: Instant,
    pub(super) first_at: Instant,
    /// Samples are limited by the application until so many bytes are delivered.
    pub(super) app_limited: u64,
    pub(super) delivery_rate: u64,
    pub(super) rate_app_limited: bool,
    /// Where the window of data ends that the next two fields are about.
    pub(super) usage_end: SeqNum,
    /// The congestion window was its limit.
    pub(super) cwnd_limited: bool,
    /// Most segments of it in flight at once.
    peak: u16,
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
            usage_end: iss,
            cwnd_limited: false,
            peak: 0,
            small: iss,
            cwr: false,
            counters: Counters::default(),
            log: Log::new(options.log),
        }
    }

    pub(super) fn controller(mss: u16, options: &Options, iss: SeqNum) -> Congested {
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

    /// Segments carry so much, of a path of this MTU.
    pub(super) fn set_mss(&mut self, now: Instant, mss: u16, mtu: u16) {
        if mss != self.mss {
            self.mss = mss;
            self.cc.set_mss(u32::from(mss));
            self.note(now, What::Mss { mss, mtu });
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
        // Our SYN is no segment of data: what goes with Fast Open has all the window.
        let gone = gone + u32::from(self.una == self.iss);
        self.flight().saturating_sub(gone)
    }

    /// Bytes found lost and not delivered, whether they were sent again or not.
    pub(super) fn lost(&self) -> u32 {
        let board = &self.track.board;
        match self.phase {
            // What was sent again without having been lost is a probe for a lost tail.
            Phase::Recovery | Phase::Loss => board.lost() + board.retrans(),
            _ => board.lost(),
        }
    }

    /// Without SACK, each duplicate acknowledgment says that a segment has left the network.
    pub(super) fn duplicates(&self) -> u32 {
        if self.sack {
            return 0;
        }
        let most = self.flight().saturating_sub(u32::from(self.mss));
        (u32::from(self.dupacks) * u32::from(self.mss)).min(most)
    }

    /// The first number of data that the buffer holds.
    pub(super) fn data_una(&self) -> SeqNum {
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

    /// The user's bytes between two numbers: SYN and FIN are none.
    fn data_within(&self, from: SeqNum, to: SeqNum) -> u32 {
        let from = from.later(self.iss + 1);
        let to = to.earlier(self.data_end());
        if from.before(to) { to.since(from) } else { 0 }
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

    /// How the user's bytes are held: in whole segments, and no more than half of what the peer has
    /// ever taken in one piece.
    pub(super) fn measure(&self) -> Measure {
        let mss = u32::from(self.mss).max(1);
        let half = self.max_wnd / 2;
        let most = match self.max_wnd {
            0 => LONGEST_PIECE,
            // A window this small is not halved.
            wnd @ ..=536 => wnd,
            _ => half.min(LONGEST_PIECE),
        };
        Measure {
            goal: (most / mss * mss).max(mss),
            unpushed: half,
        }
    }

    /// Notes how the last `len` bytes were handed over.
    pub(super) fn mark_written(&mut self, len: usize, boundary: Boundary) {
        let (sent, measure) = (self.sent_offset(), self.measure());
        self.buffer.mark(len, sent, measure, boundary);
    }

    /// Place in the stream of the first byte that was never sent.
    pub(super) fn sent_offset(&self) -> u64 {
        self.buffer.start() + u64::from(self.buffer.len() - self.unsent())
    }

    /// Of `len` bytes from `seq` on, those up to the end of a record that more follows.
    #[inline]
    pub(super) fn within_record(&self, seq: SeqNum, len: u32) -> u32 {
        self.within(seq, len, Pieces::record_end)
    }

    /// The same with the end of a piece.
    pub(super) fn within_piece(&self, seq: SeqNum, len: u32) -> u32 {
        self.within(seq, len, Pieces::piece_end)
    }

    #[inline]
    fn within(&self, seq: SeqNum, len: u32, find: impl FnOnce(&Pieces, u64) -> Option<u64>) -> u32 {
        let at = self.offset(seq);
        let end = self.buffer.pieces().and_then(|p| find(p, at));
        match end {
            Some(end) if end < self.buffer.start() + u64::from(self.buffer.len()) => {
                len.min(u32::try_from(end - at).unwrap_or(u32::MAX))
            }
            _ => len,
        }
    }

    /// Whether a segment of `len` bytes from `seq` on has the end of a write.
    #[inline]
    pub(super) fn is_pushed(&self, seq: SeqNum, len: u32) -> bool {
        let at = self.offset(seq);
        let pieces = self.buffer.pieces();
        pieces.is_some_and(|p| p.is_pushed(at, at + u64::from(len)))
    }

    /// Pieces that all which is not acknowledged lies in, how many of them wait, and the bytes that
    /// the last still takes.
    pub(super) fn pieces(&self) -> (u32, u32, u32) {
        let sent = self.sent_offset();
        let count = |p: &Pieces| (p.unsent(sent), p.open(sent, self.measure().goal));
        let (waiting, open) = self.buffer.pieces().map_or((0, 0), count);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let all = self.track.board.len() + waiting;
        (number(all), number(waiting), open)
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

    /// Of the `len` bytes in flight from `seq` on, those that may go again; `None` where they lie
    /// beyond a window that has shrunk.
    //= RFC 9293 §3.8.6 SHLD-16: what lies within the window goes again as always.
    // We differ: RFC 9293 §3.8.6 MAY-7 would let what lies beyond go again too. As Linux, only the
    // first in flight does, in place of a probe of the window; the rest waits for window or timeout.
    #[inline]
    pub(super) fn within_shrunk(&self, seq: SeqNum, len: u32, full: u32) -> Option<u32> {
        let edge = self.una + self.wnd;
        // A FIN takes no room.
        if (seq + len).earlier(self.data_end()).at_or_before(edge) {
            return Some(len);
        }
        let room = match edge.after(seq) {
            true => edge.since(seq),
            false if seq == self.una => full,
            false => return None,
        };
        let whole = room / full * full;
        Some(len.min(if whole > 0 { whole } else { room }))
    }

    /// Length of the last segment in flight as it was cut, in segments of `full` bytes: what is over
    /// a whole number of them, and the FIN.
    pub(super) fn tail(&self, full: u32) -> Option<u32> {
        let last = self.track.board.last()?;
        let data = last.end.earlier(self.data_end()).since(last.seq);
        Some(data - data.saturating_sub(1) / full * full + (last.len() - data))
    }

    /// Bytes that the congestion window still takes.
    #[inline]
    pub(super) fn congestion_room(&self) -> u32 {
        // The SYN-ACK of a connection that talks before it is open takes no data's place.
        let syn = u32::from(self.una == self.iss);
        self.cc
            .window()
            .saturating_sub(self.in_flight() - syn.min(self.in_flight()))
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
    pub(super) fn update_window(&mut self, seg: &Segment) -> bool {
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
        let flight = self.flight().div_ceil(u32::from(self.mss.max(1)));
        let flight = u16::try_from(flight).unwrap_or(u16::MAX);
        let over = !self.una.before(self.usage_end);
        // With no room for one more the window limits, and whoever asks for room will not come by
        // here again to be told so.
        let limited = self.congestion_room() < u32::from(self.mss);
        if over || limited || !self.cwnd_limited && flight > self.peak {
            self.cwnd_limited = limited;
            self.peak = flight;
            self.usage_end = end;
        }
        self.track.prr.on_sent(len);
        self.counters.bytes_sent += u64::from(self.data_within(seq, end));
        // As Linux, whose first segments are not spaced where it sizes bursts.
        let begun = u64::from(self.mss) * 10;
        if cx.options.burst_segments.is_none() || self.counters.bytes_sent >= begun {
            self.pacer.on_sent(now, len);
        }
        if !timers.runs(Timer::Retransmit) {
            self.arm(cx, timers);
        }
        if self.prefer_new && !self.in_flight_small() {
            self.prefer_new = false;
        }
        self.schedule_probe(cx, timers);
    }

    /// F-RTO sends at most two new segments before it sees what comes back.
    pub(super) fn in_flight_small(&self) -> bool {
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
        let data = u64::from(self.data_within(seq, seq + len));
        self.counters.bytes_sent += data;
        self.counters.bytes_retrans += data;
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

    /// The most that was in flight in this window or the one before, to whole segments.
    pub(super) fn peak_in_flight(&self) -> u32 {
        u32::from(self.peak).saturating_mul(u32::from(self.mss))
    }

    /// The window keeps back what could be sent.
    pub(super) fn note_cwnd_limited(&mut self) {
        self.cwnd_limited = true;
        self.usage_end = self.nxt;
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
        // Probes of a closed window back off and say nothing of the path.
        let rto = self.rtt.plain_rto();
        if self.flight() == 0 && idle > rto {
            self.cc.on_restart(now, idle, rto);
        }
    }

    /// RACK's view, for status.
    pub(super) fn reordering_seen(&self) -> bool {
        self.track.rack.reordering_seen
    }

    /// By how many segments delivery was out of order at most; `least`, which is what means loss,
    /// before it is known (RFC 4653's measure, as Linux tells it).
    pub(super) fn reordering_degree(&self, least: u16) -> u32 {
        let segments = self
            .track
            .rack
            .reordered
            .div_ceil(u32::from(self.mss).max(1));
        segments.min(300).max(u32::from(least))
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
