//! Who is at that address on this link: one neighbour cache per interface, for ARP and for NDP.
//!
//! ```text
//!                resolve()                        solicited answer
//!    (none) ---------------> INCOMPLETE ------------------------------> REACHABLE <---+
//!      |                      |      |                                   |    ^       |
//!      | request to us        |      | other claim         ReachableTime |    | hint, |
//!      |                      |      v                     passed        v    | answer|
//!      +------------------------> STALE <-------------------------------+    |       |
//!                             |      | use                                     |       |
//!            3 multicasts     |      v          5 s without a hint             |       |
//!            unanswered       |    DELAY ------------------> PROBE ------------+-------+
//!                             |                                | 3 unicasts unanswered
//!                             v                                v
//!                           FAILED --negative_time--> (none) <-+, or the rival's address, STALE
//!
//!    REACHABLE, DELAY, PROBE, confirmed STALE --claim of another MAC--> PROBE (old MAC, rival kept)
//! ```
//!
//! Read first: RFC 4861 §7.2.2, §7.2.5, §7.3; RFC 1122 §2.3.2.1-2; RFC 6583 §7.
//!
//! Promises:
//! - A look-up costs one compare for the neighbour asked last, else one keyed hash. Finding the
//!   next deadline and evicting cost O(log n). No call walks the cache but [`Cache::neighbors`] and
//!   [`Cache::flush`].
//! - At most `max_entries` neighbours, `max_incomplete` resolutions, `max_parked_total` bytes.
//! - A STALE neighbour that nobody uses is forgotten after `stale_time`; those that fall due within
//!   a sixteenth of that go together, so that they cost no wake-up each.
//! - Packets of one neighbour leave in the order they came, and each that does not leave comes
//!   back: at once from [`Cache::resolve`], or later in [`Action::Failed`].
//!
//! What is defended against a liar on the link:
//! - A *confirmed* neighbour (one that has answered a solicitation of ours or made forward
//!   progress) keeps its MAC until it has left three unicast probes, one a second, unanswered. A
//!   forged reply, request or announcement only starts these probes.
//! - A permanent entry never changes.
//! - No packet creates an entry but a request to us, which may evict only failed and never
//!   confirmed entries. So a flood of claims fills spare room and nothing else.
//! - A scan through us holds at most `max_incomplete` entries and `solicit_rate` solicitations a
//!   second, evicts no neighbour that is in use, and waits behind our own questions: a packet of
//!   ours is always asked for next, and only another of ours makes it give way.
//!
//! What is not, since neither ARP nor plain NDP authenticates anyone: who answers first while we
//! know nobody; who takes the address of a host that is silent, or that the liar silences; who
//! forges the source MAC itself, which is for switches to prevent; who claims a neighbour that we
//! only ever heard and never used. Where that matters, use [`Cache::set_static`].
//!
//! All this is for [`Claims::Verify`]. With [`Claims::Believe`] the newest claim wins, as the RFCs
//! have it.
//!
//! Left out: SEND (RFC 3971).

mod claims;
mod parking;
mod types;

pub use types::{
    Action, Census, Claim, Claims, Config, Lookup, Neighbor, Origin, Resolution, State, Stats,
};

use super::ip;
use super::rate::TokenBucket;
use crate::frame::Frame;
use crate::reason::DropReason;
use crate::rng::Rng;
use crate::time::{Duration, Instant, earliest, nanos};
use crate::wire::MacAddr;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::net::IpAddr;
use hashbrown::HashMap;
use siphasher::sip::SipHasher13;
use types::charge;

/// The neighbours of one interface.
///
/// ```
/// use stack::net::neighbor::{Action, Cache, Claim, Config, Lookup, Origin, Resolution};
/// use stack::{frame::Frame, rng::Rng, time::Instant, wire::MacAddr};
/// let (now, ip, mac) = (Instant::ZERO, "10.7.0.1".parse()?, MacAddr([2, 0, 0, 0, 0, 1]));
/// let mut cache = Cache::new(Config::default(), Rng::from_seed(1));
/// let parked = cache.resolve(now, ip, Frame::copy_from(b"hello"), Origin::Own);
/// assert!(matches!(parked, Resolution::Parked { .. }));
/// assert!(matches!(cache.poll_transmit(now), Some(Action::Solicit { to: None, .. })));
/// cache.handle_claim(now, ip, mac, Claim::Reply { overrides: true }).unwrap();
/// assert!(matches!(cache.poll_transmit(now), Some(Action::Packet { .. })));
/// assert_eq!(cache.lookup(now, ip), Lookup::Mac(mac));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cache {
    config: Config,
    rng: Rng,
    slots: Vec<Option<Entry>>,
    free: Vec<usize>,
    /// Look-ups only; never iterated.
    index: HashMap<IpAddr, usize, Keys>,
    /// The neighbour asked for last: a ping-pong never hashes.
    last: Option<(IpAddr, usize)>,
    /// One timer an entry at most.
    timers: BTreeSet<(Instant, usize)>,
    /// What may be evicted, in the order in which it is.
    idle: BTreeSet<(Class, Instant, usize)>,
    /// Who waits for a solicitation: by rank, then first come first served.
    wanting: BTreeSet<(Rank, u64, usize)>,
    next_want: u64,
    bucket: TokenBucket,
    ready: VecDeque<Ready>,
    failures: VecDeque<Failure>,
    parked_bytes: usize,
    /// IPv4's and IPv6's: routers set the latter's.
    times: [Times; 2],
    stats: Stats,
}

/// The times of one family.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// BaseReachableTime.
    base: Duration,
    /// RetransTimer.
    retrans: Duration,
    /// ReachableTime, as it was drawn last.
    reachable: Duration,
    redraw_at: Instant,
}

#[derive(Clone, Debug)]
struct Entry {
    ip: IpAddr,
    /// Zero while unknown.
    mac: MacAddr,
    state: State,
    since: Instant,
    confirmed: bool,
    router: bool,
    /// When REACHABLE or FAILED ends. A hint moves it without touching the timer, which then fires
    /// early and is set again: confirming costs no tree operation.
    until: Instant,
    timer: Option<Instant>,
    idle: Option<Class>,
    want: Option<(Rank, u64)>,
    /// On whose behalf it is resolved.
    origin: Origin,
    /// Solicitations sent in this state.
    sent: u32,
    last_solicit: Option<Instant>,
    /// A solicitation is out and unanswered.
    awaiting: bool,
    rival: Option<MacAddr>,
    parked: VecDeque<Frame>,
    parked_bytes: usize,
    /// Packets of this neighbour in `Cache::ready`: newer ones queue behind them.
    ready: usize,
}

#[derive(Clone, Debug)]
struct Ready {
    ip: IpAddr,
    mac: MacAddr,
    frame: Frame,
}

#[derive(Clone, Debug)]
struct Failure {
    ip: IpAddr,
    reason: DropReason,
    packets: VecDeque<Frame>,
    bytes: usize,
}

/// In the order of eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Failed,
    StaleUnconfirmed,
    StaleConfirmed,
    IncompleteForwarded,
    IncompleteOwn,
}

/// In the order of solicitation (RFC 6583 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Probe,
    Own,
    Forwarded,
}

impl Cache {
    /// An empty cache.
    #[must_use]
    pub fn new(config: Config, mut rng: Rng) -> Self {
        let [k0, k1] = rng.hash_keys();
        let times = Times {
            base: config.base_reachable_time,
            retrans: config.retrans_timer,
            reachable: Duration::ZERO,
            redraw_at: Instant::ZERO,
        };
        Self {
            times: [times; 2],
            bucket: TokenBucket::new(config.solicit_rate, config.solicit_burst),
            config,
            rng,
            slots: Vec::new(),
            free: Vec::new(),
            index: HashMap::with_hasher(Keys(k0, k1)),
            last: None,
            timers: BTreeSet::new(),
            idle: BTreeSet::new(),
            wanting: BTreeSet::new(),
            next_want: 0,
            ready: VecDeque::new(),
            failures: VecDeque::new(),
            parked_bytes: 0,
            stats: Stats::default(),
        }
    }

    /// The MAC of a neighbour whose use changes nothing here; for all others, see
    /// [`lookup`](Self::lookup).
    #[inline]
    pub fn glance(&mut self, now: Instant, ip: &IpAddr) -> Option<MacAddr> {
        let slot = match &self.last {
            Some((last, slot)) if last == ip => *slot,
            _ => self.find(*ip)?,
        };
        let e = self.entry(slot)?;
        let settled = match e.state {
            State::Permanent | State::Delay | State::Probe => true,
            State::Reachable => now < e.until,
            State::Stale | State::Incomplete | State::Failed => false,
        };
        (settled && e.ready == 0).then_some(e.mac)
    }

    /// Where to send a packet for `ip`. Using a STALE neighbour starts its verification.
    #[inline]
    pub fn lookup(&mut self, now: Instant, ip: IpAddr) -> Lookup {
        let Some(slot) = self.find(ip) else {
            return Lookup::Unresolved;
        };
        let Some(e) = self.entry(slot) else {
            return Lookup::Unresolved;
        };
        if e.ready > 0 {
            return Lookup::Unresolved;
        }
        let mac = e.mac;
        match e.state {
            State::Permanent | State::Delay | State::Probe => {}
            State::Reachable if now < e.until => {}
            //= RFC 4861 §7.3.3: The first packet to a STALE neighbour leaves at once and starts
            // the delay after which it is probed.
            State::Reachable | State::Stale => self.start_delay(now, slot),
            State::Incomplete | State::Failed => return Lookup::Unresolved,
        }
        Lookup::Mac(mac)
    }

    /// Takes a packet for `ip`: gives it back with the MAC, or parks it and asks for the MAC.
    pub fn resolve(
        &mut self,
        now: Instant,
        ip: IpAddr,
        packet: Frame,
        origin: Origin,
    ) -> Resolution {
        if let Lookup::Mac(mac) = self.lookup(now, ip) {
            return Resolution::Send(mac, packet);
        }
        let slot = match self.find(ip) {
            Some(slot) => slot,
            None => match self.start_resolution(now, ip, origin) {
                Some(slot) => slot,
                None => return self.refuse(DropReason::NeighborCacheFull, packet),
            },
        };
        match self.entry(slot).map(|e| (e.state, e.until)) {
            Some((State::Failed, until)) if now < until => {
                return self.refuse(DropReason::NeighborUnreachable, packet);
            }
            Some((State::Failed, _)) if !self.restart_resolution(now, slot, origin) => {
                return self.refuse(DropReason::NeighborCacheFull, packet);
            }
            Some((State::Failed, _)) | None => {}
            Some((State::Incomplete, _)) if origin == Origin::Own => self.promote(slot),
            Some((State::Incomplete, _)) => {}
            Some(_) => return self.queue_behind(slot, packet),
        }
        self.park(slot, packet)
    }

    /// Takes a hint of forward progress: what we sent to `ip` arrives (RFC 4861 §7.3.1).
    #[inline]
    pub fn confirm(&mut self, now: Instant, ip: IpAddr) {
        let Some(slot) = self.find(ip) else { return };
        let reachable_time = self.reachable_time(now, ip);
        let Some(e) = self.entry(slot) else { return };
        match e.state {
            //= RFC 4861 §7.3.3: A hint says nothing where no MAC is known.
            State::Permanent | State::Incomplete | State::Failed => {}
            State::Reachable if now < e.until => e.until = now + reachable_time,
            State::Reachable | State::Stale | State::Delay | State::Probe => {
                self.make_reachable(now, slot);
            }
        }
    }

    /// Takes a hint that what we send to `ip` may not arrive: it is verified when next used. The
    /// opposite of [`confirm`](Self::confirm).
    //= RFC 9293 §3.8.3 MUST-20 (b): negative advice, which starts dead gateway diagnosis.
    pub fn doubt(&mut self, now: Instant, ip: IpAddr) {
        let Some(slot) = self.find(ip) else { return };
        if let Some(e) = self.entry(slot).filter(|e| e.state == State::Reachable) {
            // Its timer finds out later, and its next use before.
            e.until = e.until.min(now);
        }
    }

    /// Sets an entry by hand. It stays until [`remove`](Self::remove).
    ///
    /// # Errors
    /// [`DropReason::NeighborCacheFull`] where nothing may be evicted for it.
    pub fn set_static(&mut self, now: Instant, ip: IpAddr, mac: MacAddr) -> Result<(), DropReason> {
        let slot = match self.find(ip) {
            Some(slot) => slot,
            None => self
                .create(now, ip, State::Permanent, Class::StaleConfirmed)
                .ok_or(DropReason::NeighborCacheFull)?,
        };
        if let Some(e) = self.entry(slot) {
            e.mac = mac;
            e.confirmed = true;
            e.rival = None;
        }
        self.enter(now, slot, State::Permanent, None);
        self.unpark(slot);
        Ok(())
    }

    /// Removes an entry, set by hand or not; false where there was none.
    pub fn remove(&mut self, ip: IpAddr) -> bool {
        let slot = self.find(ip);
        if let Some(slot) = slot {
            self.discard(slot, DropReason::NeighborUnreachable);
        }
        slot.is_some()
    }

    /// Forgets every neighbour but those set by hand (RFC 1122 §2.3.2.1 asks for a way to). What
    /// waits comes back in [`Action::Failed`] with `reason`.
    pub fn flush(&mut self, reason: DropReason) {
        for slot in 0..self.slots.len() {
            if self
                .entry(slot)
                .is_some_and(|e| e.state != State::Permanent)
            {
                self.discard(slot, reason);
            }
        }
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something now.
    #[must_use]
    #[inline]
    pub fn has_output(&self) -> bool {
        !(self.failures.is_empty() && self.ready.is_empty() && self.wanting.is_empty())
    }

    /// The next thing to send or to give up: what failed, then what may leave, then questions.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Action> {
        if let Some(Failure {
            ip,
            reason,
            packets,
            bytes,
        }) = self.failures.pop_front()
        {
            self.parked_bytes -= bytes.min(self.parked_bytes);
            return Some(Action::Failed {
                ip,
                reason,
                packets,
            });
        }
        if let Some(Ready { ip, mac, frame }) = self.ready.pop_front() {
            self.parked_bytes -= charge(&frame).min(self.parked_bytes);
            if let Some(e) = self.find(ip).and_then(|slot| self.entry(slot)) {
                e.ready = e.ready.saturating_sub(1);
            }
            return Some(Action::Packet { ip, mac, frame });
        }
        self.solicit(now)
    }

    /// When [`handle_timeout`](Self::handle_timeout) or, after a pause for the rate limit,
    /// [`poll_transmit`](Self::poll_transmit) has work next. Assumes that the latter has been
    /// called until it gave `None`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timer = self.timers.first().map(|&(at, _)| at);
        // As of the last refill, so that no `now` is needed: long ago where a token is there.
        let tokens = self
            .wanting
            .first()
            .and_then(|_| self.bucket.ready_at(Instant::ZERO));
        let stale = self.oldest_stale().map(|(at, _)| at);
        earliest(earliest(timer, tokens), stale)
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, slot)) = self.timers.first() {
            if at > now {
                break;
            }
            self.arm(slot, None);
            self.expire(now, slot);
        }
        while let Some((_, slot)) = self.oldest_stale().filter(|(at, _)| *at <= now) {
            self.stats.aged += 1;
            self.discard(slot, DropReason::NeighborUnreachable);
        }
    }

    /// The STALE neighbour that is to be forgotten first, and when. Their order of eviction has
    /// them by age already, so they need no timers of their own.
    fn oldest_stale(&self) -> Option<(Instant, usize)> {
        if self.idle.is_empty() {
            return None;
        }
        let first = |class| {
            let theirs = (class, Instant::ZERO, 0)..;
            let &(found, since, slot) = self.idle.range(theirs).next()?;
            (found == class).then_some((since, slot))
        };
        let oldest = [Class::StaleUnconfirmed, Class::StaleConfirmed].map(first);
        let (since, slot) = oldest.into_iter().flatten().min()?;
        Some((self.stale_until(since), slot))
    }

    /// When a neighbour that became STALE then is forgotten: on the stroke of a clock that all
    /// share.
    fn stale_until(&self, since: Instant) -> Instant {
        let until = (since + self.config.stale_time).as_nanos();
        let stroke = nanos(self.config.stale_time / 16).max(1);
        Instant::from_nanos(until.div_ceil(stroke).saturating_mul(stroke))
    }

    /// One neighbour, without using it.
    #[must_use]
    pub fn neighbor(&self, ip: IpAddr) -> Option<Neighbor> {
        let slot = *self.index.get(&ip)?;
        Some(self.slots.get(slot)?.as_ref()?.status())
    }

    /// Every neighbour, by address; for status.
    #[must_use]
    pub fn neighbors(&self) -> Vec<Neighbor> {
        let mut all: Vec<_> = self.slots.iter().flatten().map(Entry::status).collect();
        all.sort_unstable_by_key(|n| n.ip);
        all
    }

    /// How many neighbours are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no neighbour is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats;
        stats.parked_bytes = u64::try_from(self.parked_bytes).unwrap_or(u64::MAX);
        stats
    }

    #[inline]
    fn find(&mut self, ip: IpAddr) -> Option<usize> {
        if let Some((last, slot)) = self.last
            && last == ip
        {
            return Some(slot);
        }
        let slot = *self.index.get(&ip)?;
        self.last = Some((ip, slot));
        Some(slot)
    }

    #[inline]
    fn entry(&mut self, slot: usize) -> Option<&mut Entry> {
        self.slots.get_mut(slot)?.as_mut()
    }

    fn start_delay(&mut self, now: Instant, slot: usize) {
        let until = now + self.config.delay_first_probe;
        self.enter(now, slot, State::Delay, Some(until));
    }

    fn start_resolution(&mut self, now: Instant, ip: IpAddr, origin: Origin) -> Option<usize> {
        if !self.make_room_to_resolve(origin) {
            return None;
        }
        let slot = self.create(now, ip, State::Incomplete, evictable_by(origin))?;
        self.resolve_again(now, slot, origin);
        Some(slot)
    }

    fn restart_resolution(&mut self, now: Instant, slot: usize, origin: Origin) -> bool {
        let room = self.make_room_to_resolve(origin);
        if room {
            self.resolve_again(now, slot, origin);
        }
        room
    }

    fn resolve_again(&mut self, now: Instant, slot: usize, origin: Origin) {
        if let Some(e) = self.entry(slot) {
            e.origin = origin;
        }
        self.enter(now, slot, State::Incomplete, None);
        self.want(now, slot);
    }

    /// Where too many resolutions are under way, the oldest that was forwarded makes room, or for
    /// a packet of our own the oldest of all; nobody else does. A scan displaces itself.
    fn make_room_to_resolve(&mut self, origin: Origin) -> bool {
        let limit = u64::try_from(self.config.max_incomplete.max(1)).unwrap_or(u64::MAX);
        if self.stats.entries.incomplete < limit {
            return true;
        }
        let first = (Class::IncompleteForwarded, Instant::ZERO, 0);
        match self.idle.range(first..).next() {
            Some(&(class, _, slot)) if class <= evictable_by(origin) => {
                self.evict(slot);
                true
            }
            _ => {
                self.stats.refused += 1;
                false
            }
        }
    }

    /// What was asked for others' sake is now wanted for our own.
    fn promote(&mut self, slot: usize) {
        let Some(e) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        if e.origin == Origin::Own {
            return;
        }
        e.origin = Origin::Own;
        if let Some(class) = e.idle.replace(Class::IncompleteOwn) {
            self.idle.remove(&(class, e.since, slot));
            self.idle.insert((Class::IncompleteOwn, e.since, slot));
        }
        if let Some((rank, order)) = e.want {
            self.wanting.remove(&(rank, order, slot));
            self.wanting.insert((Rank::Own, order, slot));
            e.want = Some((Rank::Own, order));
        }
    }

    fn make_reachable(&mut self, now: Instant, slot: usize) {
        let Some(ip) = self.entry(slot).map(|e| e.ip) else {
            return;
        };
        let until = now + self.reachable_time(now, ip);
        let Some(e) = self.entry(slot) else { return };
        let defended = e.rival.take().is_some();
        e.confirmed = true;
        e.awaiting = false;
        e.until = until;
        self.stats.defended += u64::from(defended);
        self.enter(now, slot, State::Reachable, Some(until));
    }

    /// Takes the times that routers give to IPv6's neighbours on this link; `None`: as configured.
    //= RFC 4861 §6.3.4 BaseReachableTime and RetransTimer are taken over where they are given.
    pub fn set_times6(&mut self, base_reachable: Option<Duration>, retrans: Option<Duration>) {
        let [_, times] = &mut self.times;
        times.retrans = retrans.unwrap_or(self.config.retrans_timer);
        let base = base_reachable.unwrap_or(self.config.base_reachable_time);
        if base != times.base {
            times.base = base;
            //= RFC 4861 §6.3.4 a new one is drawn from when next it is asked for.
            times.redraw_at = Instant::ZERO;
        }
    }

    /// BaseReachableTime and RetransTimer of IPv6's neighbours.
    #[must_use]
    pub const fn times6(&self) -> (Duration, Duration) {
        let [_, times] = &self.times;
        (times.base, times.retrans)
    }

    const fn times(&mut self, ip: IpAddr) -> &mut Times {
        let [four, six] = &mut self.times;
        match ip {
            IpAddr::V4(_) => four,
            IpAddr::V6(_) => six,
        }
    }

    /// BaseReachableTime times 0.5 to 1.5, drawn anew every two hours.
    fn reachable_time(&mut self, now: Instant, ip: IpAddr) -> Duration {
        let Times {
            base,
            reachable,
            redraw_at,
            ..
        } = *self.times(ip);
        //= RFC 4861 §6.3.4: ReachableTime is drawn at random and again every few hours.
        if now < redraw_at {
            return reachable;
        }
        let drawn = self.rng.between(base / 2, base.saturating_add(base / 2));
        let times = self.times(ip);
        times.reachable = drawn;
        times.redraw_at = now + REDRAW;
        drawn
    }

    fn expire(&mut self, now: Instant, slot: usize) {
        let Config {
            max_multicast_solicit,
            max_unicast_solicit,
            negative_time,
            ..
        } = self.config;
        let Some(e) = self.entry(slot) else { return };
        match e.state {
            State::Reachable if now < e.until => {
                let until = e.until;
                self.arm(slot, Some(until));
            }
            State::Reachable => self.enter(now, slot, State::Stale, None),
            State::Delay => {
                self.enter(now, slot, State::Probe, None);
                self.want(now, slot);
            }
            State::Incomplete if e.sent < max_multicast_solicit => self.want(now, slot),
            State::Probe if e.sent < max_unicast_solicit => self.want(now, slot),
            State::Incomplete => {
                // We differ: RFC 4861 §7.3.3 deletes the entry. Kept for a while, it answers a
                // flood to a dead host without soliciting again.
                let until = now + negative_time;
                e.until = until;
                e.awaiting = false;
                self.stats.failures += 1;
                self.fail_parked(slot, DropReason::NeighborUnreachable);
                self.enter(now, slot, State::Failed, Some(until));
            }
            State::Probe => self.end_probe(now, slot),
            State::Failed => self.discard(slot, DropReason::NeighborUnreachable),
            State::Permanent | State::Stale => {}
        }
    }

    /// The known MAC has left every probe unanswered.
    fn end_probe(&mut self, now: Instant, slot: usize) {
        let Some(e) = self.entry(slot) else { return };
        let ip = e.ip;
        if let Some(rival) = e.rival.take() {
            e.mac = rival;
            e.confirmed = false;
            e.awaiting = false;
            self.stats.replaced += 1;
            self.enter(now, slot, State::Stale, None);
        } else {
            //= RFC 4861 §7.3.3: A neighbour that answers no probe is deleted, so that the next
            // packet chooses a next hop anew and asks everyone. Who chooses is told at once: there
            // may be another router.
            self.stats.failures += 1;
            self.discard(slot, DropReason::NeighborUnreachable);
            self.tell_of_silence(ip);
        }
    }

    /// Asks for a solicitation, no sooner than RetransTimer after the last one.
    fn want(&mut self, now: Instant, slot: usize) {
        let Some(ip) = self.entry(slot).map(|e| e.ip) else {
            return;
        };
        let retrans_timer = self.times(ip).retrans;
        let order = self.next_want;
        let Some(e) = self.entry(slot) else { return };
        //= RFC 4861 §7.3.3: No neighbour is solicited twice within RetransTimer.
        //= RFC 1122 §2.3.2.1: Nor within a second, whatever the traffic.
        let earliest = e.last_solicit.map_or(now, |at| at + retrans_timer);
        if earliest > now {
            self.arm(slot, Some(earliest));
        } else if e.want.is_none() {
            let rank = match (e.state, e.origin) {
                (State::Probe, _) => Rank::Probe,
                (_, Origin::Own) => Rank::Own,
                (_, Origin::Forwarded) => Rank::Forwarded,
            };
            e.want = Some((rank, order));
            self.next_want += 1;
            self.wanting.insert((rank, order, slot));
        }
    }

    fn solicit(&mut self, now: Instant) -> Option<Action> {
        let &(rank, order, slot) = self.wanting.first()?;
        if !self.bucket.take(now) {
            return None;
        }
        self.wanting.remove(&(rank, order, slot));
        let multicast = rank != Rank::Probe;
        let ip = self.entry(slot)?.ip;
        let next = now + self.times(ip).retrans;
        let e = self.entry(slot)?;
        e.want = None;
        e.sent += 1;
        e.last_solicit = Some(now);
        e.awaiting = true;
        let action = Action::Solicit {
            target: e.ip,
            to: (!multicast).then_some(e.mac),
            attempt: e.sent,
            packet_from: e.parked.front().and_then(ip::source),
        };
        self.arm(slot, Some(next));
        *(if multicast {
            &mut self.stats.multicast_solicits
        } else {
            &mut self.stats.unicast_solicits
        }) += 1;
        Some(action)
    }

    /// A new entry in `state`; evicts where needed, and only what is of class `up_to` or below.
    fn create(&mut self, now: Instant, ip: IpAddr, state: State, up_to: Class) -> Option<usize> {
        if self.index.len() >= self.config.max_entries {
            match self.idle.first() {
                Some(&(class, _, slot)) if class <= up_to => self.evict(slot),
                _ => {
                    self.stats.refused += 1;
                    return None;
                }
            }
        }
        let slot = self.free.pop().unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        *self.slots.get_mut(slot)? = Some(Entry::new(now, ip, state));
        self.index.insert(ip, slot);
        self.stats.created += 1;
        *self.stats.entries.of(state) += 1;
        self.enter(now, slot, state, None);
        Some(slot)
    }

    fn evict(&mut self, slot: usize) {
        self.stats.evictions += 1;
        self.discard(slot, DropReason::NeighborCacheFull);
    }

    fn discard(&mut self, slot: usize, reason: DropReason) {
        self.fail_parked(slot, reason);
        self.unschedule(slot);
        let Some(e) = self.slots.get_mut(slot).and_then(Option::take) else {
            return;
        };
        *self.stats.entries.of(e.state) -= 1;
        self.index.remove(&e.ip);
        self.free.push(slot);
        self.last = None;
    }

    /// The only writer of a state: takes the entry off every list, and puts it on those of the new
    /// state.
    fn enter(&mut self, now: Instant, slot: usize, state: State, timer: Option<Instant>) {
        self.unschedule(slot);
        let Some(e) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        *self.stats.entries.of(e.state) -= 1;
        *self.stats.entries.of(state) += 1;
        e.state = state;
        e.since = now;
        e.sent = 0;
        e.idle = match state {
            State::Failed => Some(Class::Failed),
            State::Stale if e.confirmed => Some(Class::StaleConfirmed),
            State::Stale => Some(Class::StaleUnconfirmed),
            State::Incomplete if e.origin == Origin::Own => Some(Class::IncompleteOwn),
            State::Incomplete => Some(Class::IncompleteForwarded),
            State::Permanent | State::Reachable | State::Delay | State::Probe => None,
        };
        if let Some(class) = e.idle {
            self.idle.insert((class, now, slot));
        }
        self.arm(slot, timer);
    }

    fn unschedule(&mut self, slot: usize) {
        self.arm(slot, None);
        let Some(e) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        if let Some(class) = e.idle.take() {
            self.idle.remove(&(class, e.since, slot));
        }
        if let Some((rank, order)) = e.want.take() {
            self.wanting.remove(&(rank, order, slot));
        }
    }

    fn arm(&mut self, slot: usize, at: Option<Instant>) {
        let Some(e) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        if let Some(old) = e.timer.take() {
            self.timers.remove(&(old, slot));
        }
        if let Some(at) = at {
            e.timer = Some(at);
            self.timers.insert((at, slot));
        }
    }
}

impl Entry {
    fn new(now: Instant, ip: IpAddr, state: State) -> Self {
        Self {
            ip,
            mac: MacAddr::ZERO,
            state,
            since: now,
            confirmed: false,
            router: false,
            until: now,
            timer: None,
            idle: None,
            want: None,
            origin: Origin::Own,
            sent: 0,
            last_solicit: None,
            awaiting: false,
            rival: None,
            parked: VecDeque::new(),
            parked_bytes: 0,
            ready: 0,
        }
    }

    fn status(&self) -> Neighbor {
        Neighbor {
            ip: self.ip,
            mac: (!matches!(self.state, State::Incomplete | State::Failed)).then_some(self.mac),
            state: self.state,
            since: self.since,
            confirmed: self.confirmed,
            router: self.router,
            rival: self.rival,
            parked: self.parked.len() + self.ready,
        }
    }
}

/// RFC 4861 §6.3.4: "every few hours".
const REDRAW: Duration = Duration::from_secs(2 * 60 * 60);

/// The last class that a packet may evict to have its next hop resolved.
const fn evictable_by(origin: Origin) -> Class {
    match origin {
        Origin::Own => Class::IncompleteOwn,
        Origin::Forwarded => Class::IncompleteForwarded,
    }
}

#[derive(Clone, Debug)]
struct Keys(u64, u64);

impl BuildHasher for Keys {
    type Hasher = SipHasher13;
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

#[cfg(test)]
mod tests;
