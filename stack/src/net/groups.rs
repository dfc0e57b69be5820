//! Multicast membership with source filters: the member's side of IGMPv3 and MLDv2, without a
//! wire format.
//!
//! ```text
//!   sockets' filters --merge (RFC 3376 §3.2)--> the interface's filter
//!                                                   | changes          ^ asked after by
//!                                                   v                  | a query
//!                                       state-change records   current-state records
//!                                       now, and robustness-1   after a random delay
//!                                       times more
//!                                                   \                 /
//!                                                    +-> poll_output <+
//! ```
//!
//! Read first: RFC 3376 §3 (state), §5 (the member's part), §7.2 (older queriers), RFC 2236 §3
//! (version 2); RFC 3810 §4 to §6 say the same of IPv6.
//!
//! Promises. One machine for both families: `A` is the address type. What is sent is computed when
//! it is pulled, from the state of that moment, so that changes merge and nothing queues up.
//! Groups, sources of one group and socket records have limits, which a join meets as an error;
//! leaving always works. A query makes no more work than one answer a group, whatever it asks.
//!
//! Left out: the router's part; suppression of version 3 reports by older ones, which §7.2.2 allows
//! and which only helps old snooping switches to lose members.

use crate::rng::Rng;
use crate::time::{Duration, Instant, earliest};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

/// An address family that has groups.
pub trait GroupAddr: Copy + Ord {
    /// Whether this is a multicast address.
    fn is_group(self) -> bool;
    /// Whether membership is told to routers: all-systems is not (RFC 3376 §5), nor in IPv6 what
    /// stays on the node (RFC 3810 §6).
    fn is_reported(self) -> bool;
}

impl GroupAddr for Ipv4Addr {
    fn is_group(self) -> bool {
        self.is_multicast()
    }
    fn is_reported(self) -> bool {
        self != Self::new(224, 0, 0, 1)
    }
}

impl GroupAddr for Ipv6Addr {
    fn is_group(self) -> bool {
        self.is_multicast()
    }
    fn is_reported(self) -> bool {
        let [_, flags_scope, ..] = self.octets();
        flags_scope & 0x0f > 1 && self != Self::new(0xff02, 0, 0, 0, 0, 0, 0, 1)
    }
}

/// Whether a filter's sources are those wanted or those not wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FilterMode {
    /// Only these sources.
    Include,
    /// All but these sources.
    Exclude,
}

/// Which sources of a group are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter<A> {
    /// How to read the sources.
    pub mode: FilterMode,
    /// The sources.
    pub sources: BTreeSet<A>,
}

impl<A: Copy + Ord> Filter<A> {
    /// Nothing is wanted, as of a group that was not joined.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            mode: FilterMode::Include,
            sources: BTreeSet::new(),
        }
    }

    /// A filter of these sources.
    #[must_use]
    pub fn new(mode: FilterMode, sources: &[A]) -> Self {
        let sources = sources.iter().copied().collect();
        Self { mode, sources }
    }

    /// Whether nothing is wanted.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.mode == FilterMode::Include && self.sources.is_empty()
    }

    /// Whether packets from `source` are wanted.
    #[must_use]
    pub fn accepts(&self, source: A) -> bool {
        self.sources.contains(&source) == (self.mode == FilterMode::Include)
    }

    /// What an interface must receive so that each of these gets what it wants.
    #[must_use]
    pub fn merge<'a>(filters: impl Iterator<Item = &'a Self> + Clone) -> Self
    where
        A: 'a,
    {
        //= RFC 3376 §3.2: with any EXCLUDE, the intersection of these less all that is included;
        // else the union of what is included
        let of = |mode| filters.clone().filter(move |f| f.mode == mode);
        let included: BTreeSet<A> = of(FilterMode::Include)
            .flat_map(|f| f.sources.iter().copied())
            .collect();
        let mut excluding = of(FilterMode::Exclude);
        let Some(first) = excluding.next() else {
            return Self {
                mode: FilterMode::Include,
                sources: included,
            };
        };
        let mut sources = &first.sources - &included;
        for filter in excluding {
            sources.retain(|s| filter.sources.contains(s));
        }
        Self {
            mode: FilterMode::Exclude,
            sources,
        }
    }
}

/// Limits and timers; defaults are RFC 3376 §8's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How often a change is reported, while no querier says otherwise (§8.1).
    pub robustness: u8,
    /// Changes are repeated within this time (§8.11).
    pub unsolicited_report_interval: Duration,
    /// The same towards version 1 and 2 queriers (RFC 2236 §8.10).
    pub unsolicited_report_interval_v2: Duration,
    /// Between general queries, while no querier says otherwise (§8.2).
    pub query_interval: Duration,
    /// Within which general queries are answered (§8.3); here for the time that an older querier
    /// is remembered (§8.12), and as what version 1 means by zero.
    pub query_response_interval: Duration,
    /// Most groups.
    pub max_groups: usize,
    /// Most sources in one filter, a socket's or the interface's, and of one query remembered.
    pub max_sources: usize,
    /// Most pairs of socket and group.
    pub max_memberships: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            robustness: 2,
            unsolicited_report_interval: Duration::from_secs(1),
            unsolicited_report_interval_v2: Duration::from_secs(10),
            query_interval: Duration::from_secs(125),
            query_response_interval: Duration::from_secs(10),
            max_groups: 256,
            max_sources: 64,
            max_memberships: 4096,
        }
    }
}

/// Why a membership was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupError {
    /// The address is not multicast.
    NotAGroup,
    /// The socket has joined already; change its filter instead.
    AlreadyMember,
    /// The socket has not joined.
    NotMember,
    /// There are as many groups or memberships as there may be.
    TooManyGroups,
    /// The group would have more sources than it may.
    TooManySources,
    /// A source is of another family than the group.
    MixedFamilies,
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAGroup => "not a multicast address",
            Self::AlreadyMember => "the socket has joined this group already",
            Self::NotMember => "the socket has not joined this group",
            Self::TooManyGroups => "too many groups are joined",
            Self::TooManySources => "too many sources for one group",
            Self::MixedFamilies => "a source is of another family than the group",
        })
    }
}

impl core::error::Error for GroupError {}

/// The protocol that an interface speaks, after the oldest querier heard. MLD has no first
/// version: its version 1 works as IGMP's 2, its version 2 as IGMP's 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Reports, but no leaving.
    V1,
    /// Reports and leaves, without sources.
    V2,
    /// Source filters.
    V3,
}

/// A question by a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<A> {
    /// The version it was asked in.
    pub version: Version,
    /// The group asked after; `None` for all.
    pub group: Option<A>,
    /// Answers may take this long.
    pub max_response: Duration,
    /// The querier's robustness variable, if its version has one; zero where it does not say.
    pub robustness: Option<u8>,
    /// The querier's query interval, if its version has one; zero where it does not say.
    pub interval: Option<Duration>,
}

/// What a record says (RFC 3376 §4.2.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// State: these sources only.
    IsIn,
    /// State: all but these.
    IsEx,
    /// Changed to these only.
    ToIn,
    /// Changed to all but these.
    ToEx,
    /// These also.
    Allow,
    /// These no longer.
    Block,
}

impl RecordKind {
    /// Its number, which IGMP and MLD have in common (RFC 3376 §4.2.12, RFC 3810 §5.2.12).
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::IsIn => 1,
            Self::IsEx => 2,
            Self::ToIn => 3,
            Self::ToEx => 4,
            Self::Allow => 5,
            Self::Block => 6,
        }
    }
}

/// Something to be told to routers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<A> {
    /// Version 3: a record of a report.
    Record(RecordKind, A, Vec<A>),
    /// Versions 1 and 2: a report of this group.
    Report(A),
    /// Version 2: this group is left.
    Leave(A),
}

/// What a [`Groups`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Queries taken.
    pub queries: u64,
    /// Version 3 records, and reports of older versions, told.
    pub reported: u64,
    /// Leaves told.
    pub left: u64,
    /// Answers of versions 1 and 2 not sent since another member had answered.
    pub suppressed: u64,
    /// Changes of the version spoken.
    pub version_changes: u64,
}

/// The memberships of one interface.
#[derive(Clone, Debug)]
pub struct Groups<A> {
    config: Config,
    rng: Rng,
    groups: BTreeMap<A, Group<A>>,
    memberships: usize,
    /// When the answer to a general query is due.
    general_at: Option<Instant>,
    version: Version,
    /// Until when a version 1, or 2, querier counts as present.
    v1_until: Option<Instant>,
    v2_until: Option<Instant>,
    robustness: u8,
    query_interval: Duration,
    /// The earliest of all deadlines.
    next: Option<Instant>,
    stats: Stats,
}

#[derive(Clone, Debug)]
struct Group<A> {
    sockets: BTreeMap<u32, Filter<A>>,
    /// The interface's state. A group that was left stays until that has been told.
    filter: Filter<A>,
    /// Change of mode (versions 1 and 2: of membership): reports still to be sent.
    changes_left: u8,
    /// The same for each source that was added or taken out.
    sources_left: BTreeMap<A, u8>,
    /// When the next of these is due.
    change_at: Option<Instant>,
    /// When the answer to a query about this group is due.
    answer_at: Option<Instant>,
    /// The sources asked after; none: the group as a whole.
    asked: BTreeSet<A>,
    /// Another member reported the group after we did.
    heard_other: bool,
}

impl<A: GroupAddr> Group<A> {
    const fn new() -> Self {
        Self {
            sockets: BTreeMap::new(),
            filter: Filter::none(),
            changes_left: 0,
            sources_left: BTreeMap::new(),
            change_at: None,
            answer_at: None,
            asked: BTreeSet::new(),
            heard_other: false,
        }
    }

    fn is_idle(&self) -> bool {
        self.sockets.is_empty() && self.change_at.is_none()
    }

    fn cancel(&mut self) {
        self.changes_left = 0;
        self.sources_left.clear();
        self.change_at = None;
        self.answer_at = None;
        self.asked.clear();
    }
}

impl<A: GroupAddr> Groups<A> {
    /// No memberships; version 3 is spoken until an older querier is heard.
    #[must_use]
    pub fn new(config: Config, rng: Rng) -> Self {
        Self {
            config,
            rng,
            groups: BTreeMap::new(),
            memberships: 0,
            general_at: None,
            version: Version::V3,
            v1_until: None,
            v2_until: None,
            robustness: config.robustness.max(1),
            query_interval: config.query_interval,
            next: None,
            stats: Stats::default(),
        }
    }

    /// Lets a socket receive a group: `Exclude` and no sources for all of it.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub fn join(
        &mut self,
        now: Instant,
        socket: u32,
        group: A,
        mode: FilterMode,
        sources: &[A],
    ) -> Result<(), GroupError> {
        if self.filter_of(socket, group).is_some() {
            return Err(GroupError::AlreadyMember);
        }
        self.listen(now, socket, group, Filter::new(mode, sources))
    }

    /// Changes which sources of a group a socket receives. `Include` and no sources is to leave.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub fn set_filter(
        &mut self,
        now: Instant,
        socket: u32,
        group: A,
        mode: FilterMode,
        sources: &[A],
    ) -> Result<(), GroupError> {
        if self.filter_of(socket, group).is_none() {
            return Err(GroupError::NotMember);
        }
        self.listen(now, socket, group, Filter::new(mode, sources))
    }

    /// Ends a socket's membership.
    ///
    /// # Errors
    /// [`GroupError::NotMember`].
    pub fn leave(&mut self, now: Instant, socket: u32, group: A) -> Result<(), GroupError> {
        self.set_filter(now, socket, group, FilterMode::Include, &[])
    }

    /// Ends all memberships of a socket, which is being closed.
    pub fn leave_all(&mut self, now: Instant, socket: u32) {
        let joined = self.groups.iter();
        let joined = joined.filter(|(_, g)| g.sockets.contains_key(&socket));
        for group in joined.map(|(a, _)| *a).collect::<Vec<_>>() {
            let left = self.leave(now, socket, group);
            debug_assert_eq!(left, Ok(()));
        }
    }

    /// Reports all memberships anew, as after the link came up.
    pub fn announce(&mut self, now: Instant) {
        for (addr, group) in &mut self.groups {
            if addr.is_reported() && !group.filter.is_none() {
                group.changes_left = self.robustness;
                group.change_at = Some(now);
            }
        }
        self.reschedule();
    }

    /// Whether any socket wants anything of the group; all-systems is always received.
    #[must_use]
    pub fn is_member(&self, group: A) -> bool {
        let joined = self.groups.get(&group);
        joined.is_some_and(|g| !g.filter.is_none()) || is_all_systems(group)
    }

    /// Whether any socket wants packets to the group from `source`.
    #[must_use]
    pub fn accepts(&self, group: A, source: A) -> bool {
        let joined = self.groups.get(&group);
        joined.is_some_and(|g| g.filter.accepts(source)) || is_all_systems(group)
    }

    /// Whether this socket wants packets to the group from `source`.
    #[must_use]
    pub fn socket_accepts(&self, socket: u32, group: A, source: A) -> bool {
        self.filter_of(socket, group)
            .is_some_and(|f| f.accepts(source))
    }

    /// The groups that the interface receives, with its filter.
    pub fn iter(&self) -> impl Iterator<Item = (A, &Filter<A>)> {
        let joined = self.groups.iter().map(|(a, g)| (*a, &g.filter));
        joined.filter(|(_, f)| !f.is_none())
    }

    /// The version spoken.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The counters.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Takes a query, and the sources it asks after.
    pub fn handle_query(
        &mut self,
        now: Instant,
        query: Query<A>,
        sources: impl Iterator<Item = A>,
    ) {
        self.stats.queries += 1;
        self.note_querier(now, &query);
        if self.version < Version::V3 {
            self.schedule_report(now, &query);
        } else {
            self.schedule_answer(now, &query, sources);
        }
        self.reschedule();
    }

    /// Notes another member's version 1 or 2 report. Says whether that spared us one.
    pub fn handle_report(&mut self, group: A) -> bool {
        if self.version == Version::V3 {
            return false;
        }
        let Some(group) = self.groups.get_mut(&group) else {
            return false;
        };
        // RFC 2236 §3: a report by another stops ours.
        group.heard_other = true;
        let spared = group.answer_at.take().is_some();
        self.stats.suppressed += u64::from(spared);
        self.reschedule();
        spared
    }

    /// Forgets older queriers whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.update_version(now);
        self.reschedule();
    }

    /// When there is something to tell, or an older querier to be forgotten.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Whether [`poll_output`](Self::poll_output) may have something at `now`.
    #[must_use]
    #[inline]
    pub fn has_output(&self, now: Instant) -> bool {
        self.next.is_some_and(|t| t <= now)
    }

    /// All that is to be told now.
    pub fn poll_output(&mut self, now: Instant) -> Vec<Output<A>> {
        let mut out = Vec::new();
        if !self.has_output(now) {
            return out;
        }
        self.update_version(now);
        let due = |at: Option<Instant>| at.is_some_and(|t| t <= now);
        let general = due(self.general_at);
        if general {
            self.general_at = None;
        }
        for (addr, group) in &mut self.groups {
            if due(group.change_at) {
                let later = self.version.repeat(&self.config, &mut self.rng);
                group.tell_change(*addr, self.version, now + later, &mut out);
            }
            if general && addr.is_reported() && !group.filter.is_none() {
                out.push(group.state(*addr));
            }
            if due(group.answer_at) {
                group.tell_answer(*addr, self.version, &mut out);
            }
        }
        self.groups.retain(|_, g| !g.is_idle());
        for output in &out {
            match output {
                Output::Leave(_) => self.stats.left += 1,
                _ => self.stats.reported += 1,
            }
        }
        self.reschedule();
        out
    }

    fn filter_of(&self, socket: u32, group: A) -> Option<&Filter<A>> {
        self.groups.get(&group)?.sockets.get(&socket)
    }

    /// RFC 3376 §2's IPMulticastListen.
    fn listen(
        &mut self,
        now: Instant,
        socket: u32,
        addr: A,
        filter: Filter<A>,
    ) -> Result<(), GroupError> {
        self.check(socket, addr, &filter)?;
        let group = self.groups.entry(addr).or_insert_with(Group::new);
        let before = group.sockets.len();
        if filter.is_none() {
            group.sockets.remove(&socket);
        } else {
            group.sockets.insert(socket, filter);
        }
        self.memberships = self.memberships + group.sockets.len() - before;
        let merged = Filter::merge(group.sockets.values());
        let old = core::mem::replace(&mut group.filter, merged);
        if addr.is_reported() && old != group.filter {
            group.note_change(&old, self.version, self.robustness, &self.config, now);
        }
        if group.is_idle() {
            self.groups.remove(&addr);
        }
        self.reschedule();
        Ok(())
    }

    /// Whether a filter may be set. All that a group's sockets include is counted even while one
    /// of them excludes, so that the limit holds when that one leaves.
    fn check(&mut self, socket: u32, addr: A, filter: &Filter<A>) -> Result<(), GroupError> {
        if !addr.is_group() {
            return Err(GroupError::NotAGroup);
        }
        if filter.is_none() {
            return Ok(());
        }
        let group = self.groups.get(&addr);
        let others = group.iter().flat_map(|g| &g.sockets);
        let others = others.filter(|(s, _)| **s != socket).map(|(_, f)| f);
        let including = others
            .chain([filter])
            .filter(|f| f.mode == FilterMode::Include);
        //= RFC 3376 §3.2: where a limit does not let the interface's list be kept, the caller is
        // told
        if Filter::merge(including).sources.len() > self.config.max_sources
            || filter.sources.len() > self.config.max_sources
        {
            return Err(GroupError::TooManySources);
        }
        let is_new = group.is_none_or(|g| !g.sockets.contains_key(&socket));
        if is_new && self.memberships >= self.config.max_memberships {
            return Err(GroupError::TooManyGroups);
        }
        if group.is_none() && self.groups.len() >= self.config.max_groups {
            // One that was left and only waits to be told of again makes room.
            let left = self.groups.iter().find(|(_, g)| g.sockets.is_empty());
            let left = left.map(|(a, _)| *a).ok_or(GroupError::TooManyGroups)?;
            self.groups.remove(&left);
        }
        Ok(())
    }

    fn note_querier(&mut self, now: Instant, query: &Query<A>) {
        //= RFC 3376 §4.1.6: the last query's robustness holds; zero means the configured one
        match query.robustness {
            Some(0) => self.robustness = self.config.robustness.max(1),
            Some(robustness) => self.robustness = robustness.min(7),
            None => {}
        }
        match query.interval {
            Some(Duration::ZERO) => self.query_interval = self.config.query_interval,
            Some(interval) => self.query_interval = interval,
            None => {}
        }
        //= RFC 3376 §8.12: robustness times the querier's interval, and one response interval
        let until = now
            + self.query_interval * u32::from(self.robustness)
            + self.config.query_response_interval;
        match (query.version, query.group) {
            (Version::V1, _) => self.v1_until = Some(until),
            (Version::V2, None) => self.v2_until = Some(until),
            _ => {}
        }
        self.update_version(now);
    }

    fn update_version(&mut self, now: Instant) {
        //= RFC 3376 §7.2.1: the oldest querier heard of late sets the version
        self.v1_until = self.v1_until.filter(|t| *t > now);
        self.v2_until = self.v2_until.filter(|t| *t > now);
        let version = match (self.v1_until, self.v2_until) {
            (Some(_), _) => Version::V1,
            (None, Some(_)) => Version::V2,
            (None, None) => Version::V3,
        };
        if version == self.version {
            return;
        }
        //= RFC 3376 §7.2.1: a change of version cancels all answers and repetitions
        self.version = version;
        self.stats.version_changes += 1;
        self.general_at = None;
        self.groups.values_mut().for_each(Group::cancel);
        self.groups.retain(|_, g| !g.is_idle());
    }

    /// RFC 3376 §5.2: an answer after a random delay, joined with one that is pending.
    fn schedule_answer(
        &mut self,
        now: Instant,
        query: &Query<A>,
        sources: impl Iterator<Item = A>,
    ) {
        let at = now + self.rng.between(Duration::ZERO, query.max_response);
        let Some(addr) = query.group else {
            // Rules 1 and 2.
            let told = self.iter().any(|(a, _)| a.is_reported());
            if told && self.general_at.is_none_or(|t| t > at) {
                self.general_at = Some(at);
            }
            return;
        };
        if !addr.is_reported() || !self.is_member(addr) || self.general_at.is_some_and(|t| t <= at)
        {
            return;
        }
        let limit = self.config.max_sources;
        let Some(group) = self.groups.get_mut(&addr) else {
            return;
        };
        let mut sources = sources.peekable();
        let whole = sources.peek().is_none();
        // Rules 3 to 5. What asks after more sources than we note is answered for the whole
        // group, which says more.
        if whole || (group.answer_at.is_some() && group.asked.is_empty()) {
            group.asked.clear();
        } else {
            group.asked.extend(sources.by_ref().take(limit));
            if group.asked.len() > limit || sources.next().is_some() {
                group.asked.clear();
            }
        }
        group.answer_at = earliest(group.answer_at, Some(at));
    }

    /// RFC 2236 §3: a timer for each group.
    fn schedule_report(&mut self, now: Instant, query: &Query<A>) {
        let within = match self.version {
            // RFC 1112 appendix I knows no other delay.
            Version::V1 => self.config.query_response_interval,
            _ => query.max_response,
        };
        for (addr, group) in &mut self.groups {
            let asked = query.group.is_none_or(|g| g == *addr) && addr.is_reported();
            if asked && !group.filter.is_none() && group.answer_at.is_none_or(|t| t > now + within)
            {
                group.answer_at = Some(now + self.rng.between(Duration::ZERO, within));
            }
        }
    }

    fn reschedule(&mut self) {
        let own = [self.general_at, self.v1_until, self.v2_until];
        let groups = self.groups.values();
        let all = groups.flat_map(|g| [g.change_at, g.answer_at]).chain(own);
        self.next = all.flatten().min();
    }
}

impl Version {
    /// How long until a change is told again.
    fn repeat(self, config: &Config, rng: &mut Rng) -> Duration {
        //= RFC 3376 §5.1: at random within the unsolicited report interval
        let within = match self {
            Self::V3 => config.unsolicited_report_interval,
            _ => config.unsolicited_report_interval_v2,
        };
        rng.between(Duration::ZERO, within)
    }
}

impl<A: GroupAddr> Group<A> {
    /// Marks what differs from the state before to be told, now and again.
    fn note_change(
        &mut self,
        old: &Filter<A>,
        version: Version,
        robustness: u8,
        config: &Config,
        now: Instant,
    ) {
        if version < Version::V3 {
            match (old.is_none(), self.filter.is_none()) {
                (true, false) => self.changes_left = robustness,
                // A leave goes out once, and not where another member has spoken since (RFC 2236
                // §3) or where nobody understands it.
                (false, true) => {
                    self.changes_left = u8::from(version == Version::V2 && !self.heard_other);
                    self.answer_at = None;
                }
                _ => return,
            }
            self.change_at = (self.changes_left > 0).then_some(now);
            return;
        }
        if old.mode == self.filter.mode {
            //= RFC 3376 §5.1: each source that came or went is told robustness times
            for source in old.sources.symmetric_difference(&self.filter.sources) {
                self.sources_left.insert(*source, robustness);
            }
        }
        // A change of mode tells all sources; and so we forget single ones where they are many.
        if old.mode != self.filter.mode || self.sources_left.len() > config.max_sources * 2 {
            self.changes_left = robustness;
            self.sources_left.clear();
        }
        self.change_at = Some(now);
    }

    /// Tells what changed, and sets the time to tell it again.
    fn tell_change(&mut self, addr: A, version: Version, later: Instant, out: &mut Vec<Output<A>>) {
        if version < Version::V3 {
            if self.filter.is_none() {
                out.push(Output::Leave(addr));
            } else {
                out.push(Output::Report(addr));
                self.heard_other = false;
            }
        } else if self.changes_left > 0 {
            let kind = match self.filter.mode {
                FilterMode::Include => RecordKind::ToIn,
                FilterMode::Exclude => RecordKind::ToEx,
            };
            let sources = self.filter.sources.iter().copied().collect();
            out.push(Output::Record(kind, addr, sources));
        } else {
            let (allow, block): (Vec<A>, Vec<A>) = self
                .sources_left
                .keys()
                .partition(|s| self.filter.accepts(**s));
            for (kind, sources) in [(RecordKind::Allow, allow), (RecordKind::Block, block)] {
                if !sources.is_empty() {
                    out.push(Output::Record(kind, addr, sources));
                }
            }
        }
        self.changes_left = self.changes_left.saturating_sub(1);
        self.sources_left.retain(|_, left| {
            *left -= 1;
            *left > 0
        });
        let more = self.changes_left > 0 || !self.sources_left.is_empty();
        self.change_at = more.then_some(later);
    }

    /// Answers a query about this group.
    fn tell_answer(&mut self, addr: A, version: Version, out: &mut Vec<Output<A>>) {
        self.answer_at = None;
        let asked = core::mem::take(&mut self.asked);
        if self.filter.is_none() {
            return;
        }
        if version < Version::V3 {
            self.heard_other = false;
            out.push(Output::Report(addr));
        } else if asked.is_empty() {
            out.push(self.state(addr));
        } else {
            //= RFC 3376 §5.2: of the sources asked after, those wanted
            let wanted = asked.into_iter().filter(|s| self.filter.accepts(*s));
            let wanted: Vec<A> = wanted.collect();
            if !wanted.is_empty() {
                out.push(Output::Record(RecordKind::IsIn, addr, wanted));
            }
        }
    }

    fn state(&self, addr: A) -> Output<A> {
        let kind = match self.filter.mode {
            FilterMode::Include => RecordKind::IsIn,
            FilterMode::Exclude => RecordKind::IsEx,
        };
        Output::Record(kind, addr, self.filter.sources.iter().copied().collect())
    }
}

/// Received by all, joined by none.
fn is_all_systems<A: GroupAddr>(group: A) -> bool {
    group.is_group() && !group.is_reported()
}

#[cfg(test)]
#[path = "tests/groups.rs"]
mod tests;
