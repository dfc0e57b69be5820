//! A connection: the user's calls, and the marriage of sender and receiver.
//!
//! ```text
//!   user   send  recv  shutdown  close  abort                       status
//!            \     \       |       /      /                            ^
//!             Sender  Receiver  Timers  State                          |
//!            /                            \                            |
//!   host   handle_segment (input.rs)       poll_transmit (output.rs)   poll_timeout, handle_timeout
//! ```
//!
//! Read first: RFC 9293 §3.9.1 (user calls), §3.10.
//!
//! Promises: input never emits; all output is pulled; the same calls at the same times give the
//! same segments. It knows neither addresses nor ports: those are the host's.

use super::accurate::{self, Feedback};
use super::error::Error;
use super::fastopen::Opening;
use super::log::{LogEntry, What};
use super::memory::{self, Supply};
use super::on_demand::OnDemand;
use super::options::{Ecn, OpeningErrors, Options, SynFin};
use super::pieces::Boundary;
use super::pmtud::Search;
use super::recv::{Need, Receiver};
use super::report::{Aside, Report};
use super::segment::{CookieOptions, Segment};
use super::send::{Context, Fin, Sender};
use super::state::{Event, State};
use super::status::{Phase, Status};
use super::timers::{Timer, Timers};
use crate::time::{Duration, Instant};
use crate::transport::{ErrorKind, Readiness};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::Flags;
use alloc::boxed::Box;
use alloc::sync::Arc;
use bytes::Bytes;

/// No peer makes us send smaller segments than this: it would be an attack, not a path.
const LEAST_MSS: u16 = 48;

/// RFC 4821 §7.7: how long a search that ended rests (ten minutes).
const MTU_SEARCH_REST: Duration = Duration::from_secs(600);

/// What a connection has in memory for traffic is given back after so long without any.
const IDLE: Duration = Duration::from_millis(250);
/// The longest between two looks at one whose peer has stalled.
const STALLED: Duration = Duration::from_secs(30);

/// What the path to the peer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Largest packet.
    pub mtu: u16,
    /// Bytes of the IP header in front of each segment: 20 or 40.
    pub ip_header: u16,
}

impl Path {
    /// What a peer takes that does not say.
    //= RFC 9293 §3.7.1 MUST-15: 536 bytes over IPv4, 1220 over IPv6.
    #[must_use]
    pub const fn default_mss(self) -> u16 {
        if self.ip_header < 40 { 536 } else { 1220 }
    }

    /// Data that a segment without options may carry in packets of `mtu` bytes.
    pub(super) fn mss_for(self, mtu: u16) -> u16 {
        mtu.saturating_sub(self.ip_header + 20).max(LEAST_MSS)
    }
}

/// A reset that waits to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingReset {
    pub(super) seq: SeqNum,
    pub(super) ack: bool,
}

/// A probe that is to leave at the next opportunity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// For a lost tail.
    Tail,
    /// Of a window that is closed or too small.
    Window,
    /// For a sign of life.
    KeepAlive,
    /// Not of anything: the FIN once more, with an acknowledgment.
    Fin,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(super) options: Arc<Options>,
    pub(super) state: State,
    pub(super) path: Path,
    pub(super) search: Search,
    /// What the peer's SYN says it takes.
    pub(super) peer_mss: u16,
    pub(super) snd: Sender,
    pub(super) rcv: Receiver,
    pub(super) timers: Timers,
    /// Offset of our timestamp clock.
    ts_offset: u32,
    /// Timestamps are in use.
    pub(super) timestamps: bool,
    /// Both sides scale their windows.
    pub(super) scaled: bool,
    /// How ECN is in use; while the handshake lasts: what is asked for.
    pub(super) ecn: Feedback,
    //= RFC 9293 §3.5 MUST-11: how SYN-RECEIVED was come to is kept, as who began.
    /// We opened it: a reset in SYN-RECEIVED is then an error.
    pub(super) active: bool,
    /// A SYN, or SYN-ACK, is to leave.
    pub(super) syn_due: bool,
    /// SYNs, or SYN-ACKs, sent again.
    pub(super) syn_retries: u8,
    /// SYN-ACKs that are not sent again, as the peer has answered: up to that number.
    deferred: u8,
    /// A corked segment has waited long enough.
    pub(super) uncork: bool,
    pub(super) probe: Option<Probe>,
    /// Probes of a window that were not answered.
    pub(super) probes: u8,
    /// The same for a sign of life.
    pub(super) keepalives: u8,
    /// The path is doubted, and nobody has been told.
    pub(super) doubt: bool,
    /// Our user timeout goes with the next segment.
    pub(super) timeout_due: bool,
    pub(super) aside: OnDemand<Aside>,
    /// The user has let go.
    pub(super) orphan: bool,
    /// The user reads no more.
    pub(super) deaf: bool,
    pub(super) error: Option<Error>,
    pub(super) ready: Readiness,
    /// The user wants to be told of room to write.
    wants_room: bool,
    /// There was none since all memory was gone.
    starved: bool,
    pub(super) reset: Option<PendingReset>,
    pub(super) last_heard: Instant,
    pub(super) segs_in: u64,
    pub(super) progress: bool,
    /// Fast Open: what the SYN carried was taken by its receiver.
    pub(super) fast_opened: bool,
    /// Fast Open while the handshake lasts.
    pub(super) opening: Option<Box<Opening>>,
}

impl Connection {
    fn new(now: Instant, options: Arc<Options>, iss: SeqNum, ts_offset: u32, path: Path) -> Self {
        let mss = path.mss_for(path.mtu).min(options.mss.unwrap_or(u16::MAX));
        let mut rcv = Receiver::new(now, &options);
        rcv.set_first_window(mss, false);
        Self {
            state: State::Closed,
            search: Search::new(options.mtu_probing, path.mtu),
            path,
            peer_mss: path.default_mss(),
            snd: Sender::new(now, iss, mss, &options),
            rcv,
            timers: Timers::new(),
            ts_offset,
            timestamps: options.timestamps,
            scaled: options.window_scaling,
            ecn: Feedback::None,
            active: false,
            syn_due: true,
            syn_retries: 0,
            deferred: 0,
            uncork: false,
            probe: None,
            probes: 0,
            keepalives: 0,
            doubt: false,
            timeout_due: options.user_timeout_option && options.user_timeout.is_some(),
            aside: OnDemand::default(),
            orphan: false,
            deaf: false,
            error: None,
            ready: Readiness::NONE,
            wants_room: false,
            starved: false,
            reset: None,
            last_heard: now,
            segs_in: 0,
            progress: false,
            fast_opened: false,
            opening: None,
            options,
        }
    }

    /// Opens actively: SYN-SENT. The SYN comes out of [`poll_transmit`](Self::poll_transmit).
    #[must_use]
    pub fn connect(
        now: Instant,
        options: Arc<Options>,
        iss: SeqNum,
        ts_offset: u32,
        path: Path,
    ) -> Self {
        let mut new = Self::new(now, options, iss, ts_offset, path);
        new.active = true;
        new.rcv.adopt();
        new.ecn = new.options.ecn.asks();
        new.step(now, Event::ActiveOpen);
        if let Some(limit) = new.options.open_timeout {
            new.timers.set(Timer::End, now + limit);
        }
        new
    }

    /// Answers a SYN: SYN-RECEIVED.
    #[must_use]
    pub fn passive(
        now: Instant,
        options: Arc<Options>,
        syn: &Segment,
        iss: SeqNum,
        ts_offset: u32,
        path: Path,
    ) -> Self {
        let mut new = Self::new(now, options, iss, ts_offset, path);
        new.step(now, Event::PassiveOpen);
        new.step(now, Event::RcvSyn);
        new.negotiate(now, syn);
        new.snd.first_window(syn);
        new
    }

    /// Takes up a handshake of which only a cookie was kept (RFC 4987 §3.6): as if its SYN-ACK had
    /// been sent. The acknowledgment `ack` is then given to
    /// [`handle_segment`](Self::handle_segment).
    #[must_use]
    pub fn cookie(
        now: Instant,
        options: Arc<Options>,
        ack: &Segment,
        kept: &CookieOptions,
        ts_offset: u32,
        path: Path,
    ) -> Self {
        let syn = Segment {
            seq: ack.seq - 1,
            flags: Flags::SYN,
            wnd: ack.wnd,
            mss: Some(kept.mss),
            wscale: kept.wscale,
            sack_permitted: kept.sack,
            timestamps: ack.timestamps.filter(|_| kept.timestamps),
            ..Segment::default()
        };
        let mut new = Self::passive(now, options, &syn, ack.ack - 1, ts_offset, path);
        let ecn = new.options.ecn;
        if kept.ecn && ecn.takes_accurate() && accurate::counts(ack.flags) {
            new.enter_accurate(accurate::NOT_ECT);
        } else if kept.ecn && ecn != Ecn::Off {
            new.ecn = Feedback::Classic;
        }
        new.syn_due = false;
        // The SYN-ACK offered as much as one of ours does at first.
        let _ = new.rcv.offer_in_syn();
        let end = new.snd.iss + 1;
        new.with_sender(now, |snd, cx, timers| {
            snd.on_sent(cx, end, super::scoreboard::Marks::NONE, timers);
            // When it left is not known: its round trip is not timed.
            snd.on_resent(cx, snd.iss, 1, timers);
        });
        new
    }

    pub(super) fn step(&mut self, now: Instant, event: Event) {
        let next = self.state.next(event);
        debug_assert!(next.is_ok(), "{next:?}");
        if let Ok(next) = next {
            self.state = next;
            self.snd.note(now, What::State(next));
        }
    }

    /// Calls into the sender with what it needs of the connection.
    #[inline]
    pub(super) fn with_sender<T>(
        &mut self,
        now: Instant,
        call: impl FnOnce(&mut Sender, &Context<'_>, &mut Timers) -> T,
    ) -> T {
        let cx = Context {
            now,
            options: &self.options,
            ts_offset: self.timestamps.then_some(self.ts_offset),
            user_timeout: self.user_timeout(),
        };
        call(&mut self.snd, &cx, &mut self.timers)
    }

    /// Our timestamp clock.
    pub(super) fn clock(&self, now: Instant) -> u32 {
        super::send::timestamp(now, self.ts_offset)
    }

    /// Takes what the peer's SYN offers.
    pub(super) fn negotiate(&mut self, now: Instant, syn: &Segment) {
        let bare = self.options.bare_syns.then_some(Segment {
            mss: None,
            wscale: None,
            sack_permitted: false,
            timestamps: None,
            user_timeout: None,
            ..*syn
        });
        let syn = bare.as_ref().unwrap_or(syn);
        if !self.active {
            let mss = self.path.mss_for(self.path.mtu);
            let mss = mss.min(self.options.mss.unwrap_or(u16::MAX));
            let timestamps = self.options.timestamps && syn.timestamps.is_some();
            self.rcv.set_first_window(mss, timestamps);
        }
        self.rcv.on_syn(now, syn);
        self.peer_mss = syn.mss.unwrap_or(self.path.default_mss()).max(LEAST_MSS);
        self.timestamps = self.options.timestamps && syn.timestamps.is_some();
        self.scaled = self.options.window_scaling && syn.wscale.is_some();
        //= RFC 7323 §2.3: a scale above 14 is taken for 14.
        self.snd.wscale = syn.wscale.filter(|_| self.scaled).unwrap_or(0).min(14);
        if !self.scaled {
            self.rcv.wscale = 0;
        }
        self.snd.sack = self.options.sack && syn.sack_permitted;
        self.negotiate_ecn(syn);
        self.size_segments(now);
        self.rcv
            .round_to(self.path.mss_for(self.path.mtu).min(self.peer_mss));
        self.snd.restart_control(&self.options);
        if let Some(timeout) = syn.user_timeout {
            self.take_peer_timeout(now, timeout);
        }
    }

    /// How much data a segment carries that has timestamps and nothing else.
    pub(super) fn size_segments(&mut self, now: Instant) {
        let mtu = self.search.mtu(self.path.mtu);
        //= RFC 9293 §3.7.1 MUST-16: the least of what the peer takes, the path carries and we want.
        let mss = self.path.mss_for(mtu).min(self.peer_mss);
        let mss = mss.min(self.options.mss.unwrap_or(u16::MAX)).max(LEAST_MSS);
        //= RFC 9293 §3.7.1 MUST-16: what options take is the sender's to subtract.
        let mss = mss - if self.timestamps { 12 } else { 0 };
        self.snd.set_mss(now, mss, mtu);
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// What it was told.
    #[must_use]
    pub const fn options(&self) -> &Arc<Options> {
        &self.options
    }

    /// Other policies, from now on; what was negotiated stays.
    pub fn set_options(&mut self, now: Instant, options: Arc<Options>) {
        let old = core::mem::replace(&mut self.options, options);
        if old.congestion != self.options.congestion {
            self.snd.restart_control(&self.options);
        }
        let limits = |o: &Options| (o.recv_buffer, o.window_clamp);
        if limits(&old) != limits(&self.options) {
            self.rcv.set_limits(&self.options);
        }
        if old.mss != self.options.mss && self.state.is_synchronized() {
            self.size_segments(now);
        }
        if old.keepalive != self.options.keepalive {
            self.arm_keepalive(now);
        }
        let told = |o: &Options| (o.user_timeout_option, o.user_timeout);
        if told(&old) != told(&self.options) {
            self.announce_timeout();
        }
        if old.cork && !self.options.cork {
            // What was held back need not wait for its 200 ms.
            self.timers.stop(Timer::Pacing);
            self.uncork = false;
        }
    }

    /// Acknowledges at once until the connection's own measure changes that (`TCP_QUICKACK`), and
    /// what waits to be acknowledged; or lets acknowledgments wait for company.
    pub fn set_quick_ack(&mut self, on: bool) {
        self.rcv.set_quick(on);
        if on && self.rcv.need == Need::Delayed {
            self.rcv.need = Need::Now;
        }
    }

    /// Takes note that the peer has acknowledged our SYN, and does nothing: it opens once data
    /// comes, or after so many timeouts of the SYN-ACK. Whether that is so.
    pub fn defer(&mut self, timeouts: u8) -> bool {
        let defers = self.state == State::SynReceived && self.syn_retries < timeouts;
        if defers {
            self.deferred = timeouts;
        }
        defers
    }

    /// Somebody has accepted it, and may read.
    pub const fn adopt(&mut self) {
        self.rcv.adopt();
    }

    /// What ended it, if an error did.
    #[must_use]
    pub const fn error(&self) -> Option<Error> {
        self.error
    }

    /// The same, once.
    pub fn take_error(&mut self) -> Option<Error> {
        self.error.take()
    }

    /// What it became ready for since this was asked last.
    #[inline]
    pub fn take_ready(&mut self) -> Readiness {
        core::mem::take(&mut self.ready)
    }

    /// Bytes that the send buffer still takes. It grows with the congestion window, so that a
    /// round trip's worth waits behind what is in flight.
    #[must_use]
    pub fn room(&self) -> usize {
        let room = self.send_limit().saturating_sub(self.snd.buffer.len());
        usize::try_from(room).unwrap_or(0)
    }

    /// Bytes that the send buffer may hold now.
    fn send_limit(&self) -> u32 {
        use super::congestion::Controller as _;
        let buffer = self.options.send_buffer;
        let wanted = self.snd.cc.window().saturating_mul(2);
        let limit = wanted.clamp(buffer.initial, buffer.max.max(buffer.initial));
        match self.rcv.supply {
            Supply::Ample => limit,
            Supply::Scarce => limit.min(memory::SCARCE_SEND),
            Supply::Spent => limit.min(memory::LEAST),
            Supply::Gone => 0,
        }
    }

    fn may_send(&mut self, now: Instant) -> Result<usize, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        match self.state {
            State::Closed | State::Listen => return Err(Error::NotConnected),
            state if !state.may_send() || self.snd.fin != Fin::Open => return Err(Error::Closed),
            _ => {}
        }
        let room = self.room();
        // Room for a byte or two is not worth a call.
        let least = usize::try_from(self.options.send_buffer.initial / 4).unwrap_or(0);
        if room == 0 || room < least.min(2048) {
            self.wants_room = true;
            if self.rcv.supply == Supply::Gone {
                // Others' memory is what is waited for: nothing that happens here tells of it.
                self.starved = true;
                self.timers.set(Timer::Idle, now + IDLE);
            }
            return Err(Error::WouldBlock);
        }
        Ok(room)
    }

    /// Hands over data to be sent, as much as fits; a copy.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] where nothing fits; [`Error::Closed`] after a shutdown; what ended the
    /// connection.
    pub fn send(&mut self, now: Instant, data: &[u8]) -> Result<usize, Error> {
        self.send_until(now, data, Boundary::Push)
    }

    /// The same, saying what follows. Where only a part fits, that part ends as `data` would.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_until(
        &mut self,
        now: Instant,
        data: &[u8],
        boundary: Boundary,
    ) -> Result<usize, Error> {
        let room = self.may_send(now)?;
        let n = room.min(data.len());
        self.before_send(now);
        self.snd.buffer.write(data.get(..n).unwrap_or_default());
        self.snd.mark_written(n, boundary);
        self.wants_room |= n < data.len();
        Ok(n)
    }

    /// What waits is pushed though more was to come ([`Boundary::More`]): it does not come for now.
    pub fn push(&mut self) {
        if self.snd.unsent() > 0 {
            let end = self.snd.buffer.start() + u64::from(self.snd.buffer.len());
            self.snd.buffer.push_at(end);
        }
    }

    /// As [`send`](Self::send) without a copy: the bytes are shared until they are acknowledged.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_bytes(&mut self, now: Instant, mut data: Bytes) -> Result<usize, Error> {
        let room = self.may_send(now)?;
        let n = room.min(data.len());
        self.wants_room |= n < data.len();
        self.before_send(now);
        data.truncate(n);
        self.snd.buffer.push(data);
        self.snd.mark_written(n, Boundary::Push);
        Ok(n)
    }

    /// Hands over urgent data: its last byte is what the urgent pointer points behind (RFC 6093).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    //= RFC 9293 §3.8.5 MUST-30, MUST-31: the mark moves to the end of what was sent last, however
    //= much that is.
    pub fn send_urgent(&mut self, now: Instant, data: &[u8]) -> Result<usize, Error> {
        let n = self.send(now, data)?;
        self.snd.up = Some(self.snd.data_end());
        Ok(n)
    }

    fn before_send(&mut self, now: Instant) {
        self.watch_idle(now);
        if self.snd.unsent() == 0 && self.options.slow_start_after_idle {
            self.snd.on_restart(now);
        }
    }

    /// From now on there is memory to give back.
    #[inline]
    pub(super) fn watch_idle(&mut self, now: Instant) {
        if !self.timers.runs(Timer::Idle) {
            self.timers.set(Timer::Idle, now + IDLE);
        }
    }

    //= RFC 9293 §3.6 MUST-12: zero bytes say that the peer has finished, an error that it has not.
    /// Takes what has been received, up to `room` full; 0: the peer has finished.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] where nothing waits; what ended the connection.
    pub fn recv(&mut self, now: Instant, room: &mut [u8]) -> Result<usize, Error> {
        self.may_receive()?;
        let n = self.rcv.buffer.read(room);
        self.rcv.on_read(now, n);
        Ok(n)
    }

    /// Takes up to `max` bytes that lie in one piece, without a copy; none: the peer has finished.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_bytes(&mut self, now: Instant, max: usize) -> Result<Bytes, Error> {
        self.may_receive()?;
        Ok(self.rcv.pop(now, max))
    }

    /// The same of all pieces there are, up to `max` bytes together; how many those are.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_pieces(
        &mut self,
        now: Instant,
        max: usize,
        each: impl FnMut(Bytes),
    ) -> Result<usize, Error> {
        self.may_receive()?;
        let n = self.rcv.buffer.drain(max, each);
        self.rcv.on_read(now, n);
        Ok(n)
    }

    /// Copies what waits, and leaves it.
    pub fn peek(&self, room: &mut [u8]) -> usize {
        self.rcv.buffer.peek(room)
    }

    fn may_receive(&self) -> Result<(), Error> {
        if self.rcv.buffer.len() > 0 || self.rcv.finished {
            return Ok(());
        }
        match (self.error, self.state) {
            (Some(error), _) => Err(error),
            (None, State::Closed | State::Listen) => Err(Error::NotConnected),
            _ => Err(Error::WouldBlock),
        }
    }

    /// Bytes up to the urgent mark, where there is one ahead (RFC 6093).
    //= RFC 9293 §3.8.5 MUST-33: the user can learn how much urgent data is left.
    #[must_use]
    pub fn urgent(&self) -> Option<u32> {
        let first = self.rcv.unread_from();
        let up = self.rcv.up.filter(|up| up.after(first))?;
        Some(up.since(first))
    }

    /// Our side has nothing more to send: a FIN follows what waits. The peer may go on.
    pub fn shutdown(&mut self, now: Instant) {
        if self.snd.fin != Fin::Open {
            return;
        }
        match self.state {
            State::SynSent => {
                //= RFC 9293 §3.10.4: queued until ESTABLISHED where there is data, else deleted.
                if self.snd.buffer.len() == 0 {
                    self.finish(now, None);
                } else {
                    self.snd.fin = Fin::Queued;
                }
            }
            // Our SYN comes first: the state follows when it is acknowledged.
            State::SynReceived => self.snd.fin = Fin::Queued,
            state if state.may_send() => {
                self.snd.fin = Fin::Queued;
                self.step(now, Event::Close);
            }
            _ => {}
        }
    }

    /// The user reads no more: once our side has finished too, what comes is answered with a reset.
    /// Until then it is acknowledged as before.
    //= RFC 1122 §4.2.2.13 (RFC 9293 §3.6.1 MAY-1): as Linux, where both directions are shut down.
    pub const fn shutdown_read(&mut self) {
        self.deaf = true;
    }

    /// The user lets go: what waits is sent, then a FIN, unless there is unread data or the user
    /// wants otherwise.
    pub fn close(&mut self, now: Instant) {
        self.orphan = true;
        //= RFC 9293 §3.6.1 MAY-1, SHLD-3: who closes reads no more; if that loses data, it resets.
        let unread = self.rcv.buffer.len() > 0 && !self.options.closes_over_unread;
        //= RFC 1122 §4.2.2.13: who closes with unread data resets, so that the peer knows of it.
        let reset = unread || self.options.linger.is_some_and(|l| l.is_zero());
        if reset && !matches!(self.state, State::Closed | State::TimeWait) {
            return self.abort(now);
        }
        if matches!(self.state, State::Listen | State::SynSent) {
            return self.finish(now, None);
        }
        self.shutdown(now);
        if matches!(self.state, State::Closed | State::TimeWait) {
            // Its end is set already.
        } else if let Some(linger) = self.options.linger {
            self.timers.set(Timer::End, now + linger);
        } else if self.state == State::FinWait2 {
            self.timers.set(Timer::End, now + self.options.fin_wait_2);
        }
    }

    /// Ends at once; the peer gets a reset.
    pub fn abort(&mut self, now: Instant) {
        //= RFC 9293 §3.10.5: where both have closed, or nothing was opened, there is none to tell.
        let tell = matches!(
            self.state,
            State::SynReceived
                | State::Established
                | State::FinWait1
                | State::FinWait2
                | State::CloseWait
        );
        let reset = PendingReset {
            seq: self.snd.nxt,
            ack: true,
        };
        self.finish(now, None);
        if tell {
            self.reset = Some(reset);
        }
    }

    /// Ends the connection.
    pub(super) fn finish(&mut self, now: Instant, error: Option<Error>) {
        if self.state != State::Closed {
            self.step(now, Event::Delete);
        }
        self.note_end(error);
        self.snd.note(now, What::Ended(error));
        self.timers.stop_all();
        self.snd.clear();
        self.rcv.clear();
        self.rcv.need = Need::None;
        self.syn_due = false;
        self.probe = None;
        if let Some(error) = error {
            self.error.get_or_insert(error);
            self.ready |= Readiness::ERROR | Readiness::READABLE | Readiness::WRITABLE;
        }
    }

    /// Tells the user that there is room, if that was missed.
    pub(super) fn note_room(&mut self) {
        if self.wants_room && self.state.may_send() && self.room() > 0 {
            // Where memory is short that may be more than an empty buffer has room for.
            let least = (self.options.send_buffer.initial / 4).min(self.send_limit());
            if self.room() >= usize::try_from(least).unwrap_or(0).max(1) {
                self.wants_room = false;
                self.ready |= Readiness::WRITABLE;
            }
        }
    }

    /// When there is something to do next.
    #[must_use]
    #[inline]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Timer::Retransmit => self.on_retransmit_timeout(now),
                // As Linux: the timeout sends again what may go.
                Timer::Probe if !self.tail_fits() => {}
                Timer::Probe => {
                    if self.snd.take_probe_turn(&self.options) {
                        self.probe = Some(Probe::Tail);
                    }
                    let rto = self.snd.rtt.rto();
                    self.timers.set(Timer::Retransmit, now + rto);
                }
                Timer::Reorder => {
                    let out = self.with_sender(now, |snd, cx, t| snd.on_reorder_timeout(cx, t));
                    if out.probe_lost {
                        self.on_mtu_probe_lost(now);
                    }
                }
                Timer::Persist => self.on_persist_timeout(now),
                Timer::DelayedAck => {
                    self.rcv.need = self.rcv.need.max(Need::Now);
                    self.rcv.on_delay_over();
                    self.repeat_fin();
                }
                Timer::KeepAlive => self.on_keepalive_timeout(now),
                Timer::PathMtu => self.search.restart(self.path.mtu),
                // poll_transmit looks at the pacer itself.
                Timer::Pacing => self.uncork = self.options.cork,
                Timer::End => self.on_end(now),
                Timer::Idle => self.on_idle(now),
            }
        }
    }

    /// Whether the window lets a tail loss probe go: it may have shrunk since the tail was sent.
    fn tail_fits(&self) -> bool {
        let (snd, full) = (&self.snd, u32::from(self.room_in_segment()));
        snd.window_room() > 0
            || snd.tail(full).is_none_or(|tail| {
                let seq = snd.nxt - tail;
                snd.within_shrunk(seq, tail, full).is_some()
            })
    }

    /// Gives memory back where nothing has happened for a while.
    fn on_idle(&mut self, now: Instant) {
        if self.starved && self.rcv.supply == Supply::Gone {
            return self.timers.set(Timer::Idle, now + IDLE);
        }
        if core::mem::take(&mut self.starved) {
            self.note_room();
        }
        let active = self.last_heard + IDLE;
        let busy = self.snd.flight() > 0 || self.snd.buffer.len() > 0;
        if busy || active > now {
            // A peer that stalls is looked at less and less often: it may have stalled thousands.
            let silent = now.since(self.last_heard).clamp(IDLE, STALLED);
            self.timers.set(Timer::Idle, active.max(now + silent));
        } else {
            self.snd.shrink();
            self.rcv.shrink();
        }
    }

    fn on_end(&mut self, now: Instant) {
        match self.state {
            State::TimeWait => {
                self.step(now, Event::TimeWaitOver);
                self.finish(now, None);
            }
            State::FinWait2 => self.finish(now, None),
            State::SynSent | State::SynReceived if self.active && !self.orphan => {
                self.finish(now, Some(self.why_silent()));
            }
            _ => self.abort(now),
        }
    }

    fn on_retransmit_timeout(&mut self, now: Instant) {
        if matches!(self.state, State::SynSent | State::SynReceived) && self.snd.una == self.snd.iss
        {
            return self.on_handshake_timeout(now);
        }
        if self.snd.flight() == 0 {
            return;
        }
        let stalled = self
            .snd
            .stalled_since
            .map_or(Duration::ZERO, |at| now.since(at));
        let tired = match self.user_timeout() {
            Some(limit) => stalled >= limit,
            None => self.snd.retransmits >= self.retries(),
        };
        //= RFC 9293 §3.8.6 SHLD-17: a peer that has shrunk its window, and says so, is not silent.
        let answers = self.snd.wnd == 0 && now.since(self.last_heard) < self.options.rto_max;
        // As Linux: unless the user has said how long that may take.
        let patient = answers && !self.orphan && self.options.user_timeout.is_none();
        let tired = tired && !patient;
        if tired {
            return self.finish(now, Some(self.why_silent()));
        }
        self.with_sender(now, |snd, cx, _| snd.on_timeout(cx));
        //= RFC 4821 §7.7: full segments that time out again and again may be too large.
        let doubtful = self.snd.retransmits >= self.options.retries1
            && self.options.mtu_probing != super::options::MtuProbing::Off
            && self
                .snd
                .track
                .board
                .first()
                .is_some_and(|s| s.len() > u32::from(LEAST_MSS) * 4);
        let timeouts = self.snd.retransmits;
        self.note_silence(timeouts);
        if doubtful && self.search.on_black_hole(self.path.mtu, timeouts) {
            self.size_segments(now);
            self.timers.set(Timer::PathMtu, now + MTU_SEARCH_REST);
        }
        self.with_sender(now, |snd, cx, timers| snd.arm(cx, timers));
        self.timers.stop(Timer::Probe);
    }

    /// The peer has answered: what ICMP said of it before is void.
    #[inline]
    pub(super) fn heard_again(&mut self) {
        if self.aside.soft.is_some() {
            self.aside.soft = None;
        }
    }

    /// What ended a connection whose peer is silent: what ICMP said of it, if anything.
    fn why_silent(&self) -> Error {
        //= RFC 9293 §3.9.2.2 SHLD-25: the user is told of what did not end it by itself.
        self.aside.soft.map_or(Error::TimedOut, Error::Unreachable)
    }

    fn on_handshake_timeout(&mut self, now: Instant) {
        let limit = if self.state == State::SynSent {
            let steady = self.options.syn_steady;
            self.options.syn_retries.saturating_add(steady)
        } else {
            self.options.syn_ack_retries
        };
        if self.syn_retries >= limit {
            // Of one that is half open and nobody's, nobody wants to know.
            let known = self.active || self.fast_opened;
            let error = known.then(|| self.why_silent());
            return self.finish(now, error);
        }
        self.syn_retries += 1;
        // The last time is a last chance.
        self.syn_due = self.deferred == 0 || self.syn_retries >= self.deferred;
        //= RFC 9293 §3.8.3 MUST-22: what is sent again too often is handled alike for SYNs.
        self.note_silence(self.syn_retries);
        // As Linux: at first a SYN goes again at a steady pace.
        let steady = self.state == State::SynSent && self.syn_retries <= self.options.syn_steady;
        self.snd.rtt.on_syn_timeout(!steady);
        let rto = self.snd.rtt.rto();
        self.timers.set(Timer::Retransmit, now + rto);
    }

    fn on_persist_timeout(&mut self, now: Instant) {
        //= RFC 9293 §3.8.6.1 MUST-36: probed for as long as the peer answers.
        if self.probes > self.retries() {
            return self.finish(now, Some(Error::TimedOut));
        }
        //= RFC 9293 §3.8.3 MUST-21: what the user has set as a time holds for data that may not be
        //= sent as well.
        // As Linux, from the first probe until the window opens, whether the peer answers or not: that
        // a closed window keeps a connection open is for who has set none, and RFC 6429 §4 leaves the
        // end to whose resources are held.
        let since = *self.snd.stalled_since.get_or_insert(now);
        let limit = self.options.user_timeout;
        if limit.is_some_and(|limit| now.since(since) >= limit) {
            return self.finish(now, Some(self.why_silent()));
        }
        // We differ: RFC 9293 §3.8.6.1 MUST-37 lets no answering peer's closed window end a
        // connection. As Linux we do not wait for ever where nobody is left to end it: a peer that
        // keeps its window closed could else hold memory with every connection it makes.
        let so_far = self.snd.rtt.backoffs();
        if self.orphan && so_far >= u32::from(self.options.orphan_retries) {
            return self.abort(now);
        }
        //= RFC 9293 §3.8.6 MUST-35: however it came to be closed.
        self.probes = self.probes.saturating_add(1);
        self.probe = Some(Probe::Window);
        self.snd.rtt.back_off();
    }

    pub(super) fn arm_keepalive(&mut self, now: Instant) {
        match self.options.keepalive {
            //= RFC 9293 §3.8.4 MUST-24: on or off, at any time.
            Some(keepalive) if self.state.is_synchronized() => {
                let idle = self.keepalive_idle(keepalive);
                self.timers.set(Timer::KeepAlive, now + idle);
            }
            _ => self.timers.stop(Timer::KeepAlive),
        }
    }

    fn on_keepalive_timeout(&mut self, now: Instant) {
        let Some(keepalive) = self.options.keepalive else {
            return;
        };
        let silent = now.since(self.last_heard);
        let idle = self.keepalive_idle(keepalive);
        if silent < idle {
            // It was heard of since: the timer is only moved here, not with each segment.
            return self.timers.set(Timer::KeepAlive, self.last_heard + idle);
        }
        let tired = self.user_timeout().is_some_and(|limit| silent >= limit);
        //= RFC 9293 §3.8.4 MUST-29: no single probe's silence ends it (unless the user says so).
        if self.keepalives >= keepalive.probes.max(1) || tired && self.keepalives > 0 {
            //= RFC 9293 §3.8.4: the peer is gone.
            self.snd.fin = Fin::Open;
            let reset = PendingReset {
                seq: self.snd.nxt,
                ack: true,
            };
            self.finish(now, Some(Error::TimedOut));
            self.reset = Some(reset);
            return;
        }
        //= RFC 9293 §3.8.4 MUST-26: only where nothing is in flight, and none of a closed window
        //= waits, whose own probes ask the same.
        if self.snd.flight() == 0 && !self.timers.runs(Timer::Persist) {
            self.keepalives += 1;
            self.probe = Some(Probe::KeepAlive);
        }
        self.timers.set(Timer::KeepAlive, now + keepalive.interval);
    }

    /// Whether an ICMP error that quotes a segment with this sequence number may be about us: what
    /// it quotes is in flight (RFC 5927 §4.1).
    #[must_use]
    pub fn accepts_quote(&self, seq: SeqNum) -> bool {
        self.state != State::Closed && seq.within(self.snd.una, self.snd.nxt)
    }

    /// Takes an ICMP error whose quote was accepted.
    pub fn handle_icmp(&mut self, now: Instant, kind: ErrorKind) {
        let handshake = matches!(self.state, State::SynSent | State::SynReceived);
        // We differ: RFC 9293 §3.9.2.2 SHLD-26 would have hard errors end any connection. RFC 5927 §5.2,
        // as Linux, lets them end a handshake only: else a blind guess would end what is open.
        //= RFC 5927 §5.2 hard errors end no connection that is synchronized; before, they do.
        if handshake
            && (self.active || self.fast_opened)
            && !matches!(kind, ErrorKind::PacketTooBig { .. })
        {
            let error = match kind {
                ErrorKind::PortUnreachable => Error::Refused,
                kind => Error::Unreachable(kind),
            };
            // We differ: RFC 9293 §3.9.2.2 MUST-56 would have a connection outlive soft errors while
            // it is opened, too. As Linux (and RFC 5461 §4.1) we tell the user at once, who may try
            // another address.
            let soft = matches!(kind, ErrorKind::HostUnreachable | ErrorKind::NetUnreachable);
            let hard = kind.is_hard() || kind == ErrorKind::Prohibited;
            let fatal = match self.options.opening_errors {
                OpeningErrors::All => hard || soft,
                OpeningErrors::Hard => hard || kind == ErrorKind::TtlExpired,
                OpeningErrors::None => false,
            };
            if fatal {
                return self.finish(now, Some(error));
            }
        }
        if self.state != State::Closed && !matches!(kind, ErrorKind::PacketTooBig { .. }) {
            //= RFC 9293 §3.9.2.2 MUST-56: and what is open goes on.
            self.aside.soft = Some(kind);
            //= RFC 9293 §3.9.2.2 SHLD-25: and the user is told of it.
            self.tell(Report::Unreachable(kind));
        }
    }

    /// The path carries so much: told by ICMP about a segment in flight, or by the routes.
    pub fn handle_path_mtu(&mut self, now: Instant, mtu: u16) {
        let mtu = mtu.max(self.path.ip_header + 20 + LEAST_MSS);
        let less = mtu < self.search.mtu(self.path.mtu);
        self.path.mtu = mtu;
        self.search.on_told(mtu);
        if matches!(self.state, State::Closed | State::Listen | State::SynSent) {
            // The peer's SYN sizes segments.
            return;
        }
        self.size_segments(now);
        if less {
            self.snd.on_too_big(now, mtu);
        } else {
            self.search.restart(mtu);
        }
    }

    pub(super) fn on_mtu_probe_lost(&mut self, now: Instant) {
        if self.search.on_lost() {
            self.timers.set(Timer::PathMtu, now + MTU_SEARCH_REST);
        }
    }

    /// Whether the peer has acknowledged something new since this was asked last.
    #[inline]
    pub fn take_progress(&mut self) -> bool {
        core::mem::take(&mut self.progress)
    }

    /// Whether a new SYN may take the place of this connection, which is in TIME-WAIT (RFC 6191 §2,
    /// RFC 9293 §3.6.1).
    //= RFC 6191 §2, RFC 9293 §3.6.1 SHLD-4: by timestamps, or else by numbers.
    #[must_use]
    pub fn reusable(&self, now: Instant, syn: &Segment) -> bool {
        if self.state != State::TimeWait || !syn.has(Flags::SYN) || syn.has(Flags::RST) {
            return false;
        }
        if self.options.stern_time_wait {
            let dropped = syn.has(Flags::FIN) && self.options.syn_fin == SynFin::Never;
            return syn.seq.after(self.rcv.nxt) && !syn.has(Flags::ACK) && !dropped;
        }
        let newer = syn.seq.at_or_after(self.rcv.nxt);
        match syn.timestamps.filter(|_| self.options.timestamps) {
            Some(_) if !self.timestamps => true,
            Some((value, _)) if value != self.rcv.ts_recent => !self.rcv.is_old(now, value),
            _ => newer,
        }
    }

    /// The log's next entry; there are none unless [`Options::log`] is set.
    pub fn poll_log(&mut self) -> Option<LogEntry> {
        self.snd.log.pop()
    }

    /// Whether the user has let go of it.
    #[must_use]
    pub const fn is_orphan(&self) -> bool {
        self.orphan
    }

    /// Its status.
    #[must_use]
    pub fn status(&self, now: Instant) -> Status {
        use super::congestion::Controller as _;
        let (snd, rcv) = (&self.snd, &self.rcv);
        let (pieces, waiting, open) = snd.pieces();
        Status {
            state: self.state,
            phase: snd.phase,
            congestion: snd.cc.algorithm().name(),
            timestamps: self.timestamps,
            sack: snd.sack,
            wscale: self.scaled.then_some((snd.wscale, rcv.wscale)),
            ecn: self.ecn != Feedback::None,
            accurate: (self.ecn == Feedback::Accurate).then(|| self.aside.accurate.status()),
            fast_open: self.fast_opened,
            snd_mss: snd.mss,
            rcv_mss: rcv.mss,
            pmtu: self.search.mtu(self.path.mtu),
            rto: snd.rtt.rto(),
            backoff: u8::try_from(snd.rtt.backoffs()).unwrap_or(u8::MAX),
            probes: self.probes.max(self.keepalives),
            srtt: snd.rtt.srtt(),
            rttvar: snd.rtt.rttvar(),
            min_rtt: snd.rtt.min_rtt(now),
            cwnd: snd.cc.window(),
            ssthresh: snd.cc.ssthresh(),
            unacked: snd.flight(),
            sacked: snd.track.board.sacked(),
            lost: snd.lost(),
            retrans: snd.track.board.retrans(),
            in_flight: snd.in_flight(),
            snd_wnd: snd.wnd,
            rcv_wnd: rcv.window(),
            not_sent: snd.unsent(),
            pieces,
            waiting,
            pushed: snd.is_pushed(snd.data_end() - 1, 1),
            piece: snd.measure().goal,
            open,
            unread: u32::try_from(rcv.buffer.len()).unwrap_or(u32::MAX),
            finished: rcv.finished,
            urgent: self.urgent(),
            out_of_order: rcv.out_of_order(),
            recv_limit: rcv.limit(),
            reordering: snd.reordering_seen(),
            reordering_events: snd.track.rack.events,
            reordering_degree: snd.reordering_degree(self.options.dup_thresh),
            bytes_sent: snd.counters.bytes_sent,
            bytes_retrans: snd.counters.bytes_retrans,
            bytes_acked: snd.buffer.start(),
            bytes_received: rcv.received,
            delivered: snd.delivered,
            delivered_ce: snd.counters.delivered_ce,
            segs_out: snd.counters.segs_out,
            segs_in: self.segs_in,
            total_retrans: u64::from(snd.counters.retrans),
            timeouts: u64::from(snd.counters.timeouts),
            recoveries: u64::from(snd.counters.recoveries),
            undos: u64::from(snd.counters.undos),
            dsack_dups: u64::from(snd.counters.dsacks),
            delivery_rate: snd.delivery_rate,
            pacing_rate: snd.pacer.rate(),
            last_data_sent: snd
                .track
                .board
                .last()
                .map_or(Duration::ZERO, |s| now.since(s.at)),
            last_data_received: now.since(rcv.last_data_at),
            app_limited: snd.rate_app_limited,
        }
    }

    /// Bytes of data that it holds, either way.
    #[must_use]
    pub fn buffered(&self) -> u64 {
        let unread = u64::try_from(self.rcv.buffer.len()).unwrap_or(u64::MAX);
        u64::from(self.snd.buffer.len()) + u64::from(self.rcv.out_of_order()) + unread
    }

    /// Tells it how much memory is left, before it is called for anything else.
    #[inline]
    pub const fn set_supply(&mut self, supply: Supply) {
        self.rcv.supply = supply;
    }

    /// What its data takes of the memory of all connections: bytes handed over and not acknowledged,
    /// bytes not read, and what is held out of order with its places.
    #[must_use]
    #[inline]
    pub fn memory(&self) -> u32 {
        self.snd.buffer.len().saturating_add(self.rcv.memory())
    }

    /// Whether it holds what came before its time.
    #[must_use]
    #[inline]
    pub const fn holds_early(&self) -> bool {
        self.rcv.holds_early()
    }

    /// Gives up what came before its time; gives how many bytes that was. The peer sends it again,
    /// though it has been told that it came.
    //= RFC 2018 §8 the receiver may discard what it has reported, as a last resort.
    pub fn prune(&mut self) -> u32 {
        self.rcv.prune()
    }

    /// Where congestion control stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.snd.phase
    }
}
