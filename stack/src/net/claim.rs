//! Claiming addresses on a link and defending them: the states of RFC 5227, which IPv6's duplicate
//! address detection (RFC 4862) shares, without a wire format.
//!
//! ```text
//!             claim()                       claim(), Start::Announce
//!                |                                     |  (Usable at once)
//!                v       probes, then quiet            v        announcements
//!   (none) -> PROBING ---------------------------> ANNOUNCING -----------------> CLAIMED
//!                |                     (Usable with the   |                         |
//!                |                  first announcement)   +------------+------------+
//!                | conflict                                            | conflict
//!                v                                                     v
//!            (none), ConflictDetected          policy: (none), Lost  or  announce, Defended
//! ```
//!
//! Read first: RFC 5227 §1.1, §2; RFC 4862 §5.4; RFC 4429 §3 (optimistic addresses).
//!
//! Promises:
//! - One defence per address and DEFEND_INTERVAL, whatever arrives; one notice to the user with it.
//! - After MAX_CONFLICTS on the interface, probing begins at most once per RATE_LIMIT_INTERVAL.
//! - Finding the next deadline costs O(log n) in addresses.
//!
//! Left out: which packets mean a conflict, and what is sent, which [`super::acd`] and
//! [`super::dad`] know; choosing another address.

use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::MacAddr;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

/// The constants of RFC 5227 §1.1, and a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// PROBE_WAIT: the first probe leaves at random within this time.
    pub probe_wait: Duration,
    /// PROBE_NUM: probes sent.
    pub probe_num: u32,
    /// PROBE_MIN: probes are at least this far apart.
    pub probe_min: Duration,
    /// PROBE_MAX: and at most this far.
    pub probe_max: Duration,
    /// ANNOUNCE_WAIT: quiet after the last probe.
    pub announce_wait: Duration,
    /// ANNOUNCE_NUM: announcements sent.
    pub announce_num: u32,
    /// ANNOUNCE_INTERVAL: between announcements.
    pub announce_interval: Duration,
    /// MAX_CONFLICTS: so many on the interface, and probing slows down.
    pub max_conflicts: u32,
    /// RATE_LIMIT_INTERVAL: between the starts of probing when it has.
    pub rate_limit_interval: Duration,
    /// DEFEND_INTERVAL: between defensive announcements.
    pub defend_interval: Duration,
    /// Addresses claimed at most; the user's own, so this guards against mistakes only.
    pub max_addresses: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            probe_wait: Duration::from_secs(1),
            probe_num: 3,
            probe_min: Duration::from_secs(1),
            probe_max: Duration::from_secs(2),
            announce_wait: Duration::from_secs(2),
            announce_num: 2,
            announce_interval: Duration::from_secs(2),
            max_conflicts: 10,
            rate_limit_interval: Duration::from_secs(60),
            defend_interval: Duration::from_secs(10),
            max_addresses: 1024,
        }
    }
}

/// How a claim begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Start {
    /// Probe first, as RFC 5227 §2.1 demands.
    #[default]
    Probe,
    /// Announce at once and use the address from the start, for a link where nobody else gives
    /// addresses. We differ: RFC 5227 §2.1 wants probes always.
    Announce,
    /// Probe, without waiting first, while the address is in use already: its user keeps to what
    /// RFC 4429 allows of an optimistic address.
    Optimistic,
}

/// What to do about a conflict over an address in use: RFC 5227 §2.4's three options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// (a) Give the address up at once.
    Yield,
    /// (b) Defend it, but give it up at a second conflict within DEFEND_INTERVAL.
    #[default]
    DefendOnce,
    /// (c) Never give it up, and defend it once per DEFEND_INTERVAL: for routers and servers.
    Keep,
}

/// Where the claim of an address stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Asking whether anyone has it. Not usable yet.
    Probing,
    /// Probed without conflict, or claimed without asking; announcements are being sent.
    Announcing,
    /// Announced.
    Claimed,
}

/// What the user of an address must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event<A> {
    /// The address may be used.
    Usable {
        /// Which.
        addr: A,
    },
    /// Somebody else has, or wants, the address we probed for. The claim is over.
    ConflictDetected {
        /// Which.
        addr: A,
        /// Whose MAC.
        mac: MacAddr,
    },
    /// The address is given up: reset its connections and use it no more.
    Lost {
        /// Which.
        addr: A,
        /// Whose MAC.
        mac: MacAddr,
    },
    /// Somebody else uses the address, and we have spoken up.
    Defended {
        /// Which.
        addr: A,
        /// Whose MAC.
        mac: MacAddr,
    },
}

impl<A> Event<A> {
    /// The same of an address that `f` makes of this one.
    pub fn map<B>(self, f: impl FnOnce(A) -> B) -> Event<B> {
        match self {
            Self::Usable { addr } => Event::Usable { addr: f(addr) },
            Self::ConflictDetected { addr, mac } => {
                let addr = f(addr);
                Event::ConflictDetected { addr, mac }
            }
            Self::Lost { addr, mac } => Event::Lost { addr: f(addr), mac },
            Self::Defended { addr, mac } => Event::Defended { addr: f(addr), mac },
        }
    }
}

/// What a claim has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Say {
    /// Does anyone have this address?
    Probe,
    /// We have it.
    Announce,
    /// We have it, whatever somebody else has just said.
    Defend,
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Probes given to the link.
    pub probes_out: u64,
    /// Announcements given to the link, defensive ones included.
    pub announcements_out: u64,
    /// Conflicting packets received.
    pub conflicts: u64,
    /// Addresses refused while probing.
    pub refused: u64,
    /// Addresses defended.
    pub defended: u64,
    /// Addresses given up.
    pub lost: u64,
}

/// The addresses of one family that we claim on one interface.
#[derive(Clone, Debug)]
pub struct Claims<A> {
    config: Config,
    rng: Rng,
    table: Table<A>,
    timers: BTreeSet<(Instant, A)>,
    /// Who has packets due; each address once at most.
    due: VecDeque<A>,
    events: VecDeque<Event<A>>,
    conflicts: u32,
    last_attempt: Option<Instant>,
    stats: Stats,
}

/// Claims by address, in order. Most interfaces have one, for which a tree's node would have room
/// for eleven.
#[derive(Clone, Debug)]
struct Table<A>(Vec<(A, Claim)>);

impl<A: Copy + Ord> Table<A> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn iter(&self) -> impl Iterator<Item = &(A, Claim)> {
        self.0.iter()
    }

    fn place(&self, addr: A) -> Result<usize, usize> {
        self.0.binary_search_by_key(&addr, |(addr, _)| *addr)
    }

    fn get(&self, addr: &A) -> Option<&Claim> {
        let at = self.place(*addr).ok()?;
        self.0.get(at).map(|(_, claim)| claim)
    }

    fn get_mut(&mut self, addr: &A) -> Option<&mut Claim> {
        let at = self.place(*addr).ok()?;
        self.0.get_mut(at).map(|(_, claim)| claim)
    }

    fn insert(&mut self, addr: A, claim: Claim) {
        match self.place(addr) {
            Ok(at) => {
                if let Some(old) = self.0.get_mut(at) {
                    old.1 = claim;
                }
            }
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (addr, claim));
            }
        }
    }

    fn remove(&mut self, addr: &A) -> Option<Claim> {
        let at = self.place(*addr).ok()?;
        Some(self.0.remove(at).1)
    }
}

#[derive(Clone, Debug)]
struct Claim {
    state: State,
    start: Start,
    policy: Policy,
    /// Packets sent in this state.
    sent: u32,
    /// Probes to be sent.
    probes: u32,
    timer: Option<Instant>,
    /// The next packet of the series is due.
    due: bool,
    /// A defensive announcement is due.
    defend: bool,
    /// When the conflict was received that we last answered.
    last_conflict: Option<Instant>,
}

impl<A: Copy + Ord> Claims<A> {
    /// No addresses yet.
    #[must_use]
    pub fn new(config: Config, rng: Rng) -> Self {
        Self {
            config,
            rng,
            table: Table(Vec::new()),
            timers: BTreeSet::new(),
            due: VecDeque::new(),
            events: VecDeque::new(),
            conflicts: 0,
            last_attempt: None,
            stats: Stats::default(),
        }
    }

    /// Begins to claim `addr`, anew where it is claimed already. False where there are too many.
    pub fn claim(&mut self, now: Instant, addr: A, start: Start, policy: Policy) -> bool {
        self.release(addr);
        if self.table.len() >= self.config.max_addresses {
            return false;
        }
        let state = match start {
            Start::Probe | Start::Optimistic => State::Probing,
            Start::Announce => State::Announcing,
        };
        self.table.insert(
            addr,
            Claim {
                state,
                start,
                policy,
                sent: 0,
                probes: self.config.probe_num,
                timer: None,
                due: false,
                last_conflict: None,
                defend: false,
            },
        );
        match start {
            Start::Probe => {
                //= RFC 5227 §2.1.1: A random wait, so that hosts powered on together do not probe
                // together.
                let start = self.limited_until().map_or(now, |at| at.max(now));
                let wait = self.rng.between(Duration::ZERO, self.config.probe_wait);
                self.arm(addr, Some(start + wait));
            }
            Start::Announce => {
                self.events.push_back(Event::Usable { addr });
                self.make_due(addr);
            }
            //= RFC 4429 §3.3 an optimistic address is probed for without delay.
            Start::Optimistic => {
                let start = self.limited_until().map_or(now, |at| at.max(now));
                self.arm(addr, Some(start));
            }
        }
        true
    }

    /// Gives an address up in silence; false where it was not claimed.
    pub fn release(&mut self, addr: A) -> bool {
        self.arm(addr, None);
        self.due.retain(|a| *a != addr);
        self.table.remove(&addr).is_some()
    }

    /// Claims every address anew, each as it began, since the link has come up or moved (RFC 5227
    /// §2.1). Those that are probed are not usable until [`Event::Usable`] comes again.
    pub fn restart(&mut self, now: Instant) {
        let all: Vec<_> = self
            .table
            .iter()
            .map(|(addr, claim)| (*addr, claim.start, claim.policy))
            .collect();
        for (addr, start, policy) in all {
            self.claim(now, addr, start, policy);
        }
    }

    /// Where the claim of `addr` stands.
    #[must_use]
    pub fn state(&self, addr: A) -> Option<State> {
        self.table.get(&addr).map(|c| c.state)
    }

    /// Whether `addr` is ours to use.
    #[must_use]
    pub fn is_usable(&self, addr: A) -> bool {
        matches!(self.state(addr), Some(State::Announcing | State::Claimed))
    }

    /// Takes a sign that the station `mac` has `addr` too, or with `wants` that it probes for it.
    /// Whether that is a conflict with a claim of ours; another's probe for an address in use is
    /// answered, not fought (RFC 5227 §2.5).
    pub fn handle_conflict(&mut self, now: Instant, addr: A, mac: MacAddr, wants: bool) -> bool {
        let Some(claim) = self.table.get(&addr) else {
            return false;
        };
        let probing = claim.state == State::Probing;
        if wants && !probing {
            return false;
        }
        self.stats.conflicts += 1;
        if probing {
            //= RFC 5227 §2.1.1: While we probe, a packet from the address or another's probe for it
            // means that it is taken.
            //= RFC 4862 §5.4.3 and §5.4.4: so do a solicitation and an advertisement.
            self.conflicts = self.conflicts.saturating_add(1);
            self.stats.refused += 1;
            self.release(addr);
            self.events.push_back(Event::ConflictDetected { addr, mac });
        } else {
            self.handle_conflict_in_use(now, addr, mac);
        }
        true
    }

    /// Takes another time between probes, and between the last and the first announcement.
    pub const fn set_interval(&mut self, interval: Duration) {
        self.config.probe_min = interval;
        self.config.probe_max = interval;
        self.config.announce_wait = interval;
    }

    /// Asks `more` times again, where no probe for `addr` is left to be sent: the last have told
    /// nothing.
    pub fn prolong(&mut self, addr: A, more: u32) {
        if let Some(claim) = self.table.get_mut(&addr)
            && claim.state == State::Probing
            && claim.sent >= claim.probes
        {
            claim.probes = claim.sent.saturating_add(more);
        }
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something now.
    #[must_use]
    #[inline]
    pub fn has_output(&self) -> bool {
        !self.due.is_empty()
    }

    /// What to send next, and of which address.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(A, Say)> {
        let addr = self.due.pop_front()?;
        let claim = self.table.get_mut(&addr)?;
        if core::mem::take(&mut claim.defend) {
            if claim.due {
                self.due.push_back(addr);
            }
            self.stats.announcements_out += 1;
            return Some((addr, Say::Defend));
        }
        claim.due = false;
        if claim.state == State::Probing && claim.sent < claim.probes {
            claim.sent += 1;
            //= RFC 5227 §2.1.1: PROBE_NUM probes, PROBE_MIN to PROBE_MAX apart, then ANNOUNCE_WAIT.
            let wait = if claim.sent < claim.probes {
                self.rng
                    .between(self.config.probe_min, self.config.probe_max)
            } else {
                self.config.announce_wait
            };
            self.stats.probes_out += 1;
            self.arm(addr, Some(now + wait));
            return Some((addr, Say::Probe));
        }
        if claim.state == State::Probing {
            //= RFC 5227 §2.3: The address may be used once the first announcement has left.
            claim.state = State::Announcing;
            claim.sent = 0;
            self.events.push_back(Event::Usable { addr });
        }
        //= RFC 5227 §2.3: ANNOUNCE_NUM announcements, ANNOUNCE_INTERVAL apart.
        claim.sent += 1;
        let next = if claim.sent < self.config.announce_num {
            Some(now + self.config.announce_interval)
        } else {
            claim.state = State::Claimed;
            None
        };
        self.stats.announcements_out += 1;
        self.arm(addr, next);
        Some((addr, Say::Announce))
    }

    /// When [`handle_timeout`](Self::handle_timeout) has work next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|&(at, _)| at)
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, addr)) = self.timers.first() {
            if at > now {
                return;
            }
            self.arm(addr, None);
            self.expire(now, addr);
        }
    }

    /// The next thing that the user of an address must know.
    pub fn poll_event(&mut self) -> Option<Event<A>> {
        self.events.pop_front()
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    fn expire(&mut self, now: Instant, addr: A) {
        let limited = self.limited_until().filter(|at| *at > now);
        let Some(claim) = self.table.get(&addr) else {
            return;
        };
        if claim.state == State::Probing && claim.sent == 0 {
            if limited.is_some() {
                return self.arm(addr, limited);
            }
            self.last_attempt = Some(now);
        }
        self.make_due(addr);
    }

    /// Before when no probing may begin.
    fn limited_until(&self) -> Option<Instant> {
        //= RFC 5227 §2.1.1: After MAX_CONFLICTS, at most one new attempt per RATE_LIMIT_INTERVAL.
        let limited = self.conflicts >= self.config.max_conflicts;
        let last = self.last_attempt.filter(|_| limited)?;
        Some(last + self.config.rate_limit_interval)
    }

    fn handle_conflict_in_use(&mut self, now: Instant, addr: A, mac: MacAddr) {
        let interval = self.config.defend_interval;
        let Some(claim) = self.table.get_mut(&addr) else {
            return;
        };
        let recent = claim
            .last_conflict
            .is_some_and(|at| now.since(at) < interval);
        match claim.policy {
            //= RFC 5227 §2.4 (c): No second defence within DEFEND_INTERVAL.
            Policy::Keep if recent => return,
            //= RFC 5227 §2.4 (b): A second conflict within DEFEND_INTERVAL ends the claim, so that
            // two hosts do not defend against each other for ever.
            Policy::DefendOnce if recent => self.lose(addr, mac),
            Policy::Yield => self.lose(addr, mac),
            Policy::DefendOnce | Policy::Keep => {
                claim.last_conflict = Some(now);
                if !claim.due && !claim.defend {
                    self.due.push_back(addr);
                }
                claim.defend = true;
                self.stats.defended += 1;
                if self.events.len() < MAX_EVENTS {
                    self.events.push_back(Event::Defended { addr, mac });
                }
            }
        }
        self.conflicts = self.conflicts.saturating_add(1);
    }

    fn lose(&mut self, addr: A, mac: MacAddr) {
        self.release(addr);
        self.stats.lost += 1;
        self.events.push_back(Event::Lost { addr, mac });
    }

    fn make_due(&mut self, addr: A) {
        let Some(claim) = self.table.get_mut(&addr) else {
            return;
        };
        if !claim.due && !claim.defend {
            self.due.push_back(addr);
        }
        claim.due = true;
    }

    fn arm(&mut self, addr: A, at: Option<Instant>) {
        let Some(claim) = self.table.get_mut(&addr) else {
            return;
        };
        if let Some(old) = claim.timer.take() {
            self.timers.remove(&(old, addr));
        }
        if let Some(at) = at {
            claim.timer = Some(at);
            self.timers.insert((at, addr));
        }
    }
}

/// Notices of defence that wait for a user who does not read them; the others are one per claim.
pub(super) const MAX_EVENTS: usize = 64;
