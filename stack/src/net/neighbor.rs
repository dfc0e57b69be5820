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
//!   second, and evicts no neighbour that is in use.
//!
//! What is not, since neither ARP nor plain NDP authenticates anyone: who answers first while we
//! know nobody; who takes the address of a host that is silent, or that the liar silences; who
//! forges the source MAC itself, which is for switches to prevent; who claims a neighbour that we
//! only ever heard and never used. Where that matters, use [`Cache::set_static`].
//!
//! Left out: the IsRouter flag (the host's router list keeps it); SEND (RFC 3971); a life time for
//! STALE entries, since use verifies them and need of room evicts them.

use crate::frame::Frame;
use crate::reason::DropReason;
use crate::rng::Rng;
use crate::time::{Duration, Instant, earliest};
use crate::wire::MacAddr;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::hash::BuildHasher;
use core::net::IpAddr;
use hashbrown::HashMap;
use siphasher::sip::SipHasher13;

/// Limits and times of a neighbour cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Neighbours known at most. A /22 full of hosts fits (RFC 6583 §7.1 asks for a limit).
    pub max_entries: usize,
    /// Resolutions under way at most, so that a scan cannot push out everybody else (RFC 6583
    /// §7.2).
    pub max_incomplete: usize,
    /// Packets that wait for one neighbour: RFC 4861 §7.2.2 wants a small number, of at least one;
    /// 64 hold the fragments of the largest datagram at an MTU of 1,500.
    pub max_parked_per_entry: usize,
    /// Bytes that wait for one neighbour, each packet counted with what it occupies beside its
    /// bytes: two super-frames of 64 KiB and more.
    pub max_parked_bytes: usize,
    /// Bytes that wait in the whole cache, counted likewise.
    pub max_parked_total: usize,
    /// REACHABLE lasts this long times a random factor of 0.5 to 1.5 (RFC 4861 §10:
    /// REACHABLE_TIME, MIN_RANDOM_FACTOR, MAX_RANDOM_FACTOR).
    pub base_reachable_time: Duration,
    /// Between solicitations of one neighbour (RFC 4861 §10: RETRANS_TIMER; RFC 1122 §2.3.2.1 has
    /// the same one second).
    pub retrans_timer: Duration,
    /// From the first use of a STALE neighbour to its first probe (RFC 4861 §10:
    /// DELAY_FIRST_PROBE_TIME).
    pub delay_first_probe: Duration,
    /// Solicitations of an unknown neighbour (RFC 4861 §10: MAX_MULTICAST_SOLICIT).
    pub max_multicast_solicit: u32,
    /// Probes of a known neighbour (RFC 4861 §10: MAX_UNICAST_SOLICIT).
    pub max_unicast_solicit: u32,
    /// How long packets for a neighbour that did not answer are refused at once.
    pub negative_time: Duration,
    /// Solicitations a second over all neighbours: a scan through us costs the link no more.
    pub solicit_rate: u32,
    /// Solicitations that may leave in one burst.
    pub solicit_burst: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_entries: 1024,
            max_incomplete: 256,
            max_parked_per_entry: 64,
            max_parked_bytes: 256 << 10,
            max_parked_total: 4 << 20,
            base_reachable_time: Duration::from_secs(30),
            retrans_timer: Duration::from_secs(1),
            delay_first_probe: Duration::from_secs(5),
            max_multicast_solicit: 3,
            max_unicast_solicit: 3,
            negative_time: Duration::from_secs(3),
            solicit_rate: 256,
            solicit_burst: 128,
        }
    }
}

/// The state of a neighbour (RFC 4861 §7.3.2, and two of our own).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Set by hand; never changes by itself.
    Permanent,
    /// Asked for, not answered yet.
    Incomplete,
    /// Known to receive what we send.
    Reachable,
    /// Known, but not confirmed lately.
    Stale,
    /// Used while stale: a hint may still spare a probe.
    Delay,
    /// Being probed by unicast.
    Probe,
    /// Did not answer: packets are refused until the entry goes.
    Failed,
}

impl State {
    /// The name as `ip neighbour` prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permanent => "PERMANENT",
            Self::Incomplete => "INCOMPLETE",
            Self::Reachable => "REACHABLE",
            Self::Stale => "STALE",
            Self::Delay => "DELAY",
            Self::Probe => "PROBE",
            Self::Failed => "FAILED",
        }
    }
}

/// What a received packet says about a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// An answer directed at us: an ARP reply to our address, an NA with the Solicited flag. It
    /// confirms only where we have asked.
    Reply {
        /// Whether it may contradict what is known: true for ARP, the Override flag for NDP.
        overrides: bool,
    },
    /// The sender of a question directed at us.
    Request,
    /// Anything else that names the sender: a gratuitous ARP, an overheard request, an unsolicited
    /// NA. Creates nothing.
    Announcement,
}

/// The answer of [`Cache::lookup`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Send it there.
    Mac(MacAddr),
    /// Not known, or packets are waiting before this one: call [`Cache::resolve`].
    Unresolved,
}

/// What became of a packet given to [`Cache::resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "the packet is handed through, not stored in this form"
)]
pub enum Resolution {
    /// Send it there.
    Send(MacAddr, Frame),
    /// It waits; [`Cache::poll_transmit`] gives it back.
    Parked {
        /// Older packets for the same neighbour that had to go ([`DropReason::NeighborQueueFull`]).
        displaced: Vec<Frame>,
    },
    /// It cannot wait.
    Dropped(DropReason, Frame),
}

/// What [`Cache::poll_transmit`] wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "the packet is handed through, not stored in this form"
)]
pub enum Action {
    /// Ask for a neighbour.
    Solicit {
        /// Whom.
        target: IpAddr,
        /// The MAC to probe by unicast; `None` asks everyone.
        to: Option<MacAddr>,
        /// The how manieth in this state, from 1.
        attempt: u32,
    },
    /// A packet that waited and may now leave.
    Packet {
        /// The next hop it waited for.
        ip: IpAddr,
        /// Its MAC.
        mac: MacAddr,
        /// The packet.
        frame: Frame,
    },
    /// Packets that waited in vain. With [`DropReason::NeighborUnreachable`] the next hop did not
    /// answer, and each wants an ICMP host unreachable (RFC 4861 §7.2.2, RFC 1812 §5.2.7.1).
    Failed {
        /// The next hop.
        ip: IpAddr,
        /// Why they do not leave.
        reason: DropReason,
        /// The packets, oldest first; never none.
        packets: VecDeque<Frame>,
    },
}

/// One neighbour, for status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// Address.
    pub ip: IpAddr,
    /// MAC, where known.
    pub mac: Option<MacAddr>,
    /// State.
    pub state: State,
    /// When it came into this state.
    pub since: Instant,
    /// Whether this MAC has ever been confirmed.
    pub confirmed: bool,
    /// Another MAC that claims the address while the known one is probed.
    pub rival: Option<MacAddr>,
    /// Packets that wait.
    pub parked: usize,
}

/// Entries by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// In [`State::Permanent`].
    pub permanent: u64,
    /// In [`State::Incomplete`].
    pub incomplete: u64,
    /// In [`State::Reachable`].
    pub reachable: u64,
    /// In [`State::Stale`].
    pub stale: u64,
    /// In [`State::Delay`].
    pub delay: u64,
    /// In [`State::Probe`].
    pub probe: u64,
    /// In [`State::Failed`].
    pub failed: u64,
}

impl Census {
    const fn of(&mut self, state: State) -> &mut u64 {
        match state {
            State::Permanent => &mut self.permanent,
            State::Incomplete => &mut self.incomplete,
            State::Reachable => &mut self.reachable,
            State::Stale => &mut self.stale,
            State::Delay => &mut self.delay,
            State::Probe => &mut self.probe,
            State::Failed => &mut self.failed,
        }
    }
}

/// Counters of a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries by state, now.
    pub entries: Census,
    /// Bytes waiting now, as charged against the limits.
    pub parked_bytes: u64,
    /// Entries created.
    pub created: u64,
    /// Entries pushed out by others.
    pub evictions: u64,
    /// Entries refused for want of room.
    pub refused: u64,
    /// Solicitations to everyone.
    pub multicast_solicits: u64,
    /// Probes by unicast.
    pub unicast_solicits: u64,
    /// Packets that had to wait.
    pub parked: u64,
    /// Packets that could not wait, or waited in vain.
    pub parked_drops: u64,
    /// Neighbours that answered nothing, resolving or probed.
    pub failures: u64,
    /// Claims of another MAC for a protected neighbour.
    pub conflicts: u64,
    /// Conflicts that the known MAC won by answering.
    pub defended: u64,
    /// Conflicts that the known MAC lost by silence.
    pub replaced: u64,
}

/// The neighbours of one interface.
///
/// ```
/// use stack::net::neighbor::{Action, Cache, Claim, Config, Lookup, Resolution};
/// use stack::{frame::Frame, rng::Rng, time::Instant, wire::MacAddr};
/// let (now, ip, mac) = (Instant::ZERO, "10.7.0.1".parse()?, MacAddr([2, 0, 0, 0, 0, 1]));
/// let mut cache = Cache::new(Config::default(), Rng::from_seed(1));
/// let parked = cache.resolve(now, ip, Frame::copy_from(b"hello"));
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
    /// Who waits for a solicitation: probes before multicasts, then first come first served.
    wanting: BTreeSet<(bool, u64, usize)>,
    next_want: u64,
    bucket: Bucket,
    ready: VecDeque<Ready>,
    failures: VecDeque<Failure>,
    parked_bytes: usize,
    reachable_time: Duration,
    redraw_at: Instant,
    stats: Stats,
}

#[derive(Clone, Debug)]
struct Entry {
    ip: IpAddr,
    /// Zero while unknown.
    mac: MacAddr,
    state: State,
    since: Instant,
    confirmed: bool,
    /// When REACHABLE or FAILED ends. A hint moves it without touching the timer, which then fires
    /// early and is set again: confirming costs no tree operation.
    until: Instant,
    timer: Option<Instant>,
    idle: Option<Class>,
    want: Option<(bool, u64)>,
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
    Incomplete,
}

impl Cache {
    /// An empty cache.
    #[must_use]
    pub fn new(config: Config, mut rng: Rng) -> Self {
        let [k0, k1] = rng.hash_keys();
        Self {
            bucket: Bucket::new(config.solicit_rate, config.solicit_burst),
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
            reachable_time: Duration::ZERO,
            redraw_at: Instant::ZERO,
            stats: Stats::default(),
        }
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
            //= RFC 4861 §7.3.3 The first packet to a STALE neighbour leaves at once and starts
            // the delay after which it is probed.
            State::Reachable | State::Stale => self.start_delay(now, slot),
            State::Incomplete | State::Failed => return Lookup::Unresolved,
        }
        Lookup::Mac(mac)
    }

    /// Takes a packet for `ip`: gives it back with the MAC, or parks it and asks for the MAC.
    pub fn resolve(&mut self, now: Instant, ip: IpAddr, packet: Frame) -> Resolution {
        if let Lookup::Mac(mac) = self.lookup(now, ip) {
            return Resolution::Send(mac, packet);
        }
        let Some(slot) = self.find(ip).or_else(|| self.start_resolution(now, ip)) else {
            self.stats.parked_drops += 1;
            return Resolution::Dropped(DropReason::NeighborCacheFull, packet);
        };
        match self.entry(slot).map(|e| (e.state, e.until)) {
            Some((State::Failed, until)) if now < until => {
                self.stats.parked_drops += 1;
                return Resolution::Dropped(DropReason::NeighborUnreachable, packet);
            }
            Some((State::Failed, _)) => self.restart_resolution(now, slot),
            Some((State::Incomplete, _)) | None => {}
            Some(_) => return self.queue_behind(slot, packet),
        }
        self.park(slot, packet)
    }

    /// Takes a hint of forward progress: what we sent to `ip` arrives (RFC 4861 §7.3.1).
    #[inline]
    pub fn confirm(&mut self, now: Instant, ip: IpAddr) {
        let Some(slot) = self.find(ip) else { return };
        let reachable_time = self.reachable_time(now);
        let Some(e) = self.entry(slot) else { return };
        match e.state {
            //= RFC 4861 §7.3.3 A hint says nothing where no MAC is known.
            State::Permanent | State::Incomplete | State::Failed => {}
            State::Reachable if now < e.until => e.until = now + reachable_time,
            State::Reachable | State::Stale | State::Delay | State::Probe => {
                self.make_reachable(now, slot);
            }
        }
    }

    /// Takes what a received packet says about a neighbour.
    ///
    /// # Errors
    /// Why the claim changed nothing: nobody asked ([`DropReason::ArpUnsolicited`]), it
    /// contradicts a protected entry, which is now being probed
    /// ([`DropReason::NeighborProtected`]), there is no room ([`DropReason::NeighborCacheFull`]),
    /// or the MAC is a group's ([`DropReason::ArpBadSender`]).
    pub fn handle_claim(
        &mut self,
        now: Instant,
        ip: IpAddr,
        mac: MacAddr,
        claim: Claim,
    ) -> Result<(), DropReason> {
        if !mac.is_unicast() {
            return Err(DropReason::ArpBadSender);
        }
        let Some(slot) = self.find(ip) else {
            return self.learn(now, ip, mac, claim);
        };
        let Some(e) = self.entry(slot) else {
            return Err(DropReason::ArpUnsolicited);
        };
        match e.state {
            State::Permanent if e.mac == mac => Ok(()),
            State::Permanent => {
                self.stats.conflicts += 1;
                Err(DropReason::NeighborProtected)
            }
            State::Incomplete | State::Failed => {
                self.handle_first_claim(now, slot, mac, claim);
                Ok(())
            }
            _ if e.mac == mac => {
                //= RFC 4861 §7.3.1 Only an answer to our own question shows that the forward path
                // works; anything else proves the other direction at most.
                if e.awaiting && matches!(claim, Claim::Reply { .. }) {
                    self.make_reachable(now, slot);
                }
                Ok(())
            }
            _ => self.handle_other_mac(now, slot, mac, claim),
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
                .create(now, ip, State::Permanent, Class::Incomplete)
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
        let tokens = self.wanting.first().map(|_| self.bucket.ready_at());
        earliest(timer, tokens)
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, slot)) = self.timers.first() {
            if at > now {
                return;
            }
            self.arm(slot, None);
            self.expire(now, slot);
        }
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

    fn start_resolution(&mut self, now: Instant, ip: IpAddr) -> Option<usize> {
        self.cap_incomplete();
        let slot = self.create(now, ip, State::Incomplete, Class::Incomplete)?;
        self.want(now, slot);
        Some(slot)
    }

    fn restart_resolution(&mut self, now: Instant, slot: usize) {
        self.cap_incomplete();
        self.enter(now, slot, State::Incomplete, None);
        self.want(now, slot);
    }

    /// The oldest resolution makes room for a new one, and nothing else does: a scan displaces
    /// itself.
    fn cap_incomplete(&mut self) {
        let limit = u64::try_from(self.config.max_incomplete.max(1)).unwrap_or(u64::MAX);
        if self.stats.entries.incomplete >= limit
            && let Some(&(_, _, slot)) = self
                .idle
                .range((Class::Incomplete, Instant::ZERO, 0)..)
                .next()
        {
            self.evict(slot);
        }
    }

    /// A claim about a neighbour that is not there.
    fn learn(
        &mut self,
        now: Instant,
        ip: IpAddr,
        mac: MacAddr,
        claim: Claim,
    ) -> Result<(), DropReason> {
        //= RFC 4861 §7.2.5 Who is not in the cache was not asked for, and is not put there.
        if claim != Claim::Request {
            return Err(DropReason::ArpUnsolicited);
        }
        //= RFC 4861 §7.2.3 Who asks for us will be sent an answer, so is remembered as STALE.
        let slot = self
            .create(now, ip, State::Stale, Class::StaleUnconfirmed)
            .ok_or(DropReason::NeighborCacheFull)?;
        if let Some(e) = self.entry(slot) {
            e.mac = mac;
        }
        Ok(())
    }

    /// The first claim about a neighbour whose MAC is unknown.
    fn handle_first_claim(&mut self, now: Instant, slot: usize, mac: MacAddr, claim: Claim) {
        let Some(e) = self.entry(slot) else { return };
        e.mac = mac;
        e.confirmed = false;
        //= RFC 4861 §7.2.5 A solicited answer gives REACHABLE, any other STALE, and what was
        // queued leaves. The Override flag does not matter yet.
        let solicited =
            e.state == State::Incomplete && e.awaiting && matches!(claim, Claim::Reply { .. });
        let waiting = !e.parked.is_empty();
        if solicited {
            self.make_reachable(now, slot);
        } else if waiting {
            self.start_delay(now, slot);
        } else {
            self.enter(now, slot, State::Stale, None);
        }
        self.unpark(slot);
    }

    /// A claim of another MAC than the one in the cache.
    fn handle_other_mac(
        &mut self,
        now: Instant,
        slot: usize,
        mac: MacAddr,
        claim: Claim,
    ) -> Result<(), DropReason> {
        let Some(e) = self.entry(slot) else {
            return Err(DropReason::ArpUnsolicited);
        };
        let protected = e.confirmed || e.state != State::Stale;
        match claim {
            //= RFC 4861 §7.2.5 Without the Override flag a contradiction changes no MAC; it makes
            // a REACHABLE neighbour STALE and is ignored in any other state.
            Claim::Reply { overrides: false } => {
                if e.state == State::Reachable {
                    self.enter(now, slot, State::Stale, None);
                }
                return Err(DropReason::NeighborProtected);
            }
            // The answer to our question, where all we had was hearsay.
            Claim::Reply { overrides: true } if e.awaiting && !e.confirmed => {
                e.mac = mac;
                self.make_reachable(now, slot);
                return Ok(());
            }
            _ if !protected => {
                e.mac = mac;
                self.enter(now, slot, State::Stale, None);
                return Ok(());
            }
            _ => {}
        }
        // We differ: RFC 4861 §7.2.5 and RFC 826 ("Packet Reception") let the newest claim win. We
        // keep the first rival and ask the known MAC; only its silence lets the rival in.
        let probing = e.state == State::Probe;
        e.rival.get_or_insert(mac);
        self.stats.conflicts += 1;
        if !probing {
            self.enter(now, slot, State::Probe, None);
            self.want(now, slot);
        }
        Err(DropReason::NeighborProtected)
    }

    fn make_reachable(&mut self, now: Instant, slot: usize) {
        let until = now + self.reachable_time(now);
        let Some(e) = self.entry(slot) else { return };
        let defended = e.rival.take().is_some();
        e.confirmed = true;
        e.awaiting = false;
        e.until = until;
        self.stats.defended += u64::from(defended);
        self.enter(now, slot, State::Reachable, Some(until));
    }

    /// BaseReachableTime times 0.5 to 1.5, drawn anew every two hours.
    fn reachable_time(&mut self, now: Instant) -> Duration {
        //= RFC 4861 §6.3.4 ReachableTime is drawn at random and again every few hours.
        if now >= self.redraw_at {
            let base = self.config.base_reachable_time;
            self.reachable_time = self.rng.between(base / 2, base.saturating_add(base / 2));
            self.redraw_at = now + REDRAW;
        }
        self.reachable_time
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
        if let Some(rival) = e.rival.take() {
            e.mac = rival;
            e.confirmed = false;
            e.awaiting = false;
            self.stats.replaced += 1;
            self.enter(now, slot, State::Stale, None);
        } else {
            //= RFC 4861 §7.3.3 A neighbour that answers no probe is deleted, so that the next
            // packet chooses a next hop anew and asks everyone.
            self.stats.failures += 1;
            self.discard(slot, DropReason::NeighborUnreachable);
        }
    }

    /// Asks for a solicitation, no sooner than RetransTimer after the last one.
    fn want(&mut self, now: Instant, slot: usize) {
        let retrans_timer = self.config.retrans_timer;
        let order = self.next_want;
        let Some(e) = self.entry(slot) else { return };
        //= RFC 4861 §7.3.3 No neighbour is solicited twice within RetransTimer.
        //= RFC 1122 §2.3.2.1 Nor within a second, whatever the traffic.
        let earliest = e.last_solicit.map_or(now, |at| at + retrans_timer);
        if earliest > now {
            self.arm(slot, Some(earliest));
        } else if e.want.is_none() {
            let multicast = e.state != State::Probe;
            e.want = Some((multicast, order));
            self.next_want += 1;
            self.wanting.insert((multicast, order, slot));
        }
    }

    fn solicit(&mut self, now: Instant) -> Option<Action> {
        let &(multicast, order, slot) = self.wanting.first()?;
        if !self.bucket.take(now) {
            return None;
        }
        self.wanting.remove(&(multicast, order, slot));
        let next = now + self.config.retrans_timer;
        let e = self.entry(slot)?;
        e.want = None;
        e.sent += 1;
        e.last_solicit = Some(now);
        e.awaiting = true;
        let action = Action::Solicit {
            target: e.ip,
            to: (!multicast).then_some(e.mac),
            attempt: e.sent,
        };
        self.arm(slot, Some(next));
        *(if multicast {
            &mut self.stats.multicast_solicits
        } else {
            &mut self.stats.unicast_solicits
        }) += 1;
        Some(action)
    }

    fn park(&mut self, slot: usize, packet: Frame) -> Resolution {
        let Config {
            max_parked_per_entry,
            max_parked_bytes,
            max_parked_total,
            ..
        } = self.config;
        let cost = charge(&packet);
        let mut total = self.parked_bytes;
        let Some(e) = self.entry(slot) else {
            return Resolution::Dropped(DropReason::NeighborCacheFull, packet);
        };
        let others = total.saturating_sub(e.parked_bytes);
        if cost > max_parked_bytes || others.saturating_add(cost) > max_parked_total {
            self.stats.parked_drops += 1;
            return Resolution::Dropped(DropReason::NeighborQueueFull, packet);
        }
        //= RFC 4861 §7.2.2 A new packet takes the place of the oldest one.
        //= RFC 1122 §2.3.2.2 At least the latest packet is kept.
        let mut displaced = Vec::new();
        while e.parked.len() >= max_parked_per_entry.max(1)
            || e.parked_bytes + cost > max_parked_bytes
            || total + cost > max_parked_total
        {
            let Some(old) = e.parked.pop_front() else {
                break;
            };
            let freed = charge(&old);
            e.parked_bytes -= freed.min(e.parked_bytes);
            total -= freed.min(total);
            displaced.push(old);
        }
        e.parked.push_back(packet);
        e.parked_bytes += cost;
        self.parked_bytes = total + cost;
        self.stats.parked += 1;
        self.stats.parked_drops += u64::try_from(displaced.len()).unwrap_or(0);
        Resolution::Parked { displaced }
    }

    /// Resolved, but older packets have not been pulled yet.
    fn queue_behind(&mut self, slot: usize, frame: Frame) -> Resolution {
        let Config {
            max_parked_per_entry,
            max_parked_total,
            ..
        } = self.config;
        let total = self.parked_bytes + charge(&frame);
        match self.entry(slot) {
            Some(e) if e.ready < max_parked_per_entry && total <= max_parked_total => {
                e.ready += 1;
                let (ip, mac) = (e.ip, e.mac);
                self.ready.push_back(Ready { ip, mac, frame });
                self.parked_bytes = total;
                self.stats.parked += 1;
                Resolution::Parked {
                    displaced: Vec::new(),
                }
            }
            _ => {
                self.stats.parked_drops += 1;
                Resolution::Dropped(DropReason::NeighborQueueFull, frame)
            }
        }
    }

    fn unpark(&mut self, slot: usize) {
        let Some(e) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let (ip, mac) = (e.ip, e.mac);
        e.ready += e.parked.len();
        e.parked_bytes = 0;
        let parked = core::mem::take(&mut e.parked);
        self.ready
            .extend(parked.into_iter().map(|frame| Ready { ip, mac, frame }));
    }

    fn fail_parked(&mut self, slot: usize, reason: DropReason) {
        let Some(e) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        if e.parked.is_empty() {
            return;
        }
        let packets = core::mem::take(&mut e.parked);
        let bytes = core::mem::take(&mut e.parked_bytes);
        self.stats.parked_drops += u64::try_from(packets.len()).unwrap_or(0);
        self.failures.push_back(Failure {
            ip: e.ip,
            reason,
            packets,
            bytes,
        });
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
            State::Incomplete => Some(Class::Incomplete),
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
        if let Some((multicast, order)) = e.want.take() {
            self.wanting.remove(&(multicast, order, slot));
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
            until: now,
            timer: None,
            idle: None,
            want: None,
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
            rival: self.rival,
            parked: self.parked.len() + self.ready,
        }
    }
}

/// RFC 4861 §6.3.4: "every few hours".
const REDRAW: Duration = Duration::from_secs(2 * 60 * 60);

/// What a parked packet is charged: its bytes and the room of its frame, so that many empty
/// packets are not free.
fn charge(frame: &Frame) -> usize {
    frame.len() + size_of::<Frame>()
}

/// A token bucket as one moment: when it will be full again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    interval: Duration,
    depth: Duration,
    full_at: Instant,
}

impl Bucket {
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self {
            interval,
            depth: interval.saturating_mul(burst.saturating_sub(1)),
            full_at: Instant::ZERO,
        }
    }

    /// When it next holds a token.
    pub(super) fn ready_at(&self) -> Instant {
        self.full_at - self.depth
    }

    pub(super) fn take(&mut self, now: Instant) -> bool {
        let ready = self.ready_at() <= now;
        if ready {
            self.full_at = self.full_at.max(now) + self.interval;
        }
        ready
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
#[path = "tests/neighbor.rs"]
mod tests;
