//! TCP's place in the host: connections and listeners by handle, found, driven and timed.
//!
//! ```text
//!   segment --> demux: (local, remote) --> connection --+
//!                      local ------------> listener ----+--> refresh: ready list -> user
//!   user's call --handle--> connection -----------------+             in turn on its interface
//!   timer wheel ----------> connection -----------------+             timer wheel
//! ```
//!
//! A connection ([`tcp::Connection`]) knows neither IP nor host. Whoever has called one calls
//! `refresh` after it, which looks at what came of that: news for the user, a segment to send, an
//! earlier deadline, an end. So input never emits, and nobody ever walks all connections.
//!
//! Read first: RFC 9293 §3.9 (the calls), §3.10.7.1 and §3.10.7.2 (CLOSED and LISTEN); RFC 4987
//! (SYN floods); RFC 5927 (ICMP against TCP).
//!
//! Promises: one look-up finds a segment's connection, none where it is the last one's again; a
//! connection with nothing to do is in no list but the timers'; half-open, waiting, orphaned and
//! TIME-WAIT connections have limits of their own, and counters.
//!
//! What bounds an attack. Each has a scenario of the lab, `attack-NAME`.
//!
//! | attack | bounded by |
//! |---|---|
//! | `syn-flood` | `syn_backlog` half-open connections of a listener (256); any more SYNs are answered by a cookie, of which nothing is kept |
//! | `blind-rst`, `blind-syn` | RFC 5961 §3, §4: only a reset with the very next number ends a connection; others in the window, and SYNs, are asked about, once in 500 ms |
//! | `blind-data` | RFC 5961 §5: the acknowledgment must lie within the peer's largest window before SND.NXT. A segment outside of the window is answered by one acknowledgment, never by more or larger ones |
//! | `ack-storm` | the same 500 ms for each acknowledgment that corrects one |
//! | `sockstress` | `orphan_retries` probes of a window that stays shut (8), answered or not; `max_orphans` in all. Before its user lets go, a connection is the user's to bound: the services bear silence for ten minutes at most |
//! | `tiny-mss` | no segments below 48 bytes are sent, whatever is announced; the flight is bounded by the send buffer |
//! | `sack-bomb` | pieces of a flight: four for each full segment, and 256; blocks that would make more are ignored |
//! | `optimistic-ack` | nothing beyond SND.NXT is believed; the window grows no further than the send buffer. Acknowledging early what is on its way cannot be told from a short path |
//! | `window-lies` | the send buffer, whatever is promised; what was sent before a window shrank stays sent, a shut one is probed |
//! | `option-garbage` | the first option that cannot be read ends the list; MSS, window scale and SACK-permitted count in a SYN only |
//! | `time-wait` | `max_time_waits`, the oldest goes; ends in TIME-WAIT can be used again by a newer SYN (RFC 6191) |
//! | `port-scan` | a reset each, held to `max_replies` and `max_reply_bytes` of an interface |
//! | out-of-order crumbs | the receive buffer, of which each piece takes 256 bytes at least |
//! | peers that send and never read, or the reverse | `tcp_memory` for all connections together |
//!
//! Left out: IPv4 peers of IPv6 sockets (RFC 3493 §3.7).

mod calls;
pub(super) mod early;
mod input;
mod listen;
mod memory;
mod output;
mod pending;
mod table;

pub use calls::ConnectError;

use super::event::{ListenHandle, TcpHandle, Who};
use super::interface::{Hop, at_link};
use super::{Event, Host, Readiness, zone_of};
use crate::reason::DropReason;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::transport::demux::Demux;
use crate::transport::tcp::cookies::Cookies;
use crate::transport::tcp::isn::Isn;
use crate::transport::tcp::{self, Connection, State, Why};
use crate::transport::{ErrorKind, Key, Slab};
use crate::wheel::{Token, Wheel};
use crate::wire::{Protocol, zone};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// How often at most a connection tells the neighbour cache of its progress. What it spares lasts
/// for half a minute (RFC 4861 §10, `REACHABLE_TIME`).
const CONFIRM_EVERY: Duration = Duration::from_secs(1);
/// How long a connection waits for its next hop before it asks again itself.
const HOLD: Duration = Duration::from_secs(1);
/// Log entries kept of connections that are gone.
const MAX_LEFT: usize = 1024;

/// All of TCP that a host has.
#[derive(Clone, Debug)]
pub(super) struct Tcp {
    connections: Slab<Box<Entry>>,
    listeners: Slab<listen::Listener>,
    /// Connections by their ends.
    table: table::Table,
    /// Listeners by what they are bound to.
    bound: Demux,
    /// Whose segment came last.
    last: Option<(Ends, Key)>,
    /// Ends that were looked for last and are no connection's, with their hash: one is often made.
    missed: Option<(Ends, u64)>,
    wheel: Wheel<Key>,
    isn: Isn,
    cookies: Cookies,
    pub(super) fast_open: early::FastOpen,
    /// Connections that wait for a next hop on an interface to be known.
    held: BTreeMap<(u16, IpAddr), Vec<Key>>,
    /// Connections to ourselves that wait for what is on its way there to arrive.
    looping: Vec<Key>,
    /// Those in TIME-WAIT that nobody holds, the oldest first.
    time_waits: memory::Line,
    time_wait_count: usize,
    orphans: usize,
    /// Of the logs of connections that are gone, where they are kept at all.
    left: VecDeque<(Key, tcp::LogEntry)>,
    memory: memory::Memory,
    /// The options given last: most connections are given the same, and share them.
    options: Option<Arc<tcp::Options>>,
    /// Why the segment that left last was sent.
    pub(super) note: Option<Why>,
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    local: IpAddr,
    remote: IpAddr,
    local_port: u16,
    remote_port: u16,
    /// Where either address is one of a link, which one.
    zone: u16,
}

impl Ends {
    #[inline]
    fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        let zone = zone::of(local).max(zone::of(remote));
        Self {
            local: local.ip(),
            remote: remote.ip(),
            local_port: local.port(),
            remote_port: remote.port(),
            zone: u16::try_from(zone).unwrap_or(0),
        }
    }

    fn local(&self) -> SocketAddr {
        zone::end(self.local, self.local_port, self.zone.into())
    }

    fn remote(&self) -> SocketAddr {
        zone::end(self.remote, self.remote_port, self.zone.into())
    }
}

/// A connection and its place among the others.
#[derive(Clone, Debug)]
struct Entry {
    connection: Connection,
    ends: Ends,
    owner: Owner,
    link: Link,
    /// Of routes, addresses and path MTUs, as the link was found under.
    generation: u64,
    /// In the wheel, where `due` is not in the far future.
    timer: Token,
    /// No later than the connection's first deadline.
    due: Instant,
    /// When its progress was last told to the neighbour cache; when TIME-WAIT began.
    since: Instant,
    ready: Readiness,
    /// On the host's ready list.
    announced: bool,
    /// On an interface's list of those with something to send.
    in_turn: bool,
    /// Waits for its next hop.
    held: bool,
    /// In the demultiplexer.
    found: bool,
    class: Class,
    /// On the list of those that hold something out of order.
    early: bool,
    /// Bytes that it is counted with.
    charged: u32,
}

/// Who answers for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// It is half open, and its listener's.
    Half(Key),
    /// It is open and waits to be accepted.
    Waiting(Key),
    /// A handle.
    User,
    /// Nobody: it closes by itself.
    Nobody,
}

/// Which limit a connection counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Owned,
    Orphan,
    TimeWait,
}

/// The way of a connection's segments, as far as they need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    hop: IpAddr,
    interface: u16,
    mtu: u16,
    /// To ourselves.
    local: bool,
    /// The path carries less than can be learned: routers must be let fragment.
    fragment: bool,
    /// Why there is none.
    none: Option<DropReason>,
}

impl Link {
    const fn path(&self) -> tcp::Path {
        tcp::Path {
            mtu: self.mtu,
            ip_header: match self.hop {
                IpAddr::V4(_) => 20,
                IpAddr::V6(_) => 40,
            },
        }
    }
}

impl Tcp {
    pub(super) fn new(config: &super::Config, rng: &Rng) -> Self {
        let mut draws = rng.fork("tcp");
        Self {
            connections: Slab::new(config.max_connections),
            listeners: Slab::new(config.max_sockets),
            table: table::Table::new(&mut draws),
            bound: Demux::new(&mut draws),
            last: None,
            missed: None,
            wheel: Wheel::new(),
            isn: Isn::new(&mut draws),
            cookies: Cookies::new(&mut draws),
            fast_open: early::FastOpen::new(&mut draws),
            held: BTreeMap::new(),
            looping: Vec::new(),
            time_waits: memory::Line::default(),
            time_wait_count: 0,
            orphans: 0,
            memory: memory::Memory::default(),
            options: None,
            note: None,
            left: VecDeque::new(),
        }
    }

    /// Keeps what a connection that goes has decided last: how it ended is told to nobody else. Where
    /// nobody asks, the oldest goes.
    fn keep_log(&mut self, key: Key, connection: &mut Connection) {
        while let Some(entry) = connection.poll_log() {
            if self.left.len() >= MAX_LEFT {
                self.left.pop_front();
            }
            self.left.push_back((key, entry));
        }
    }

    /// How many connections, orphans, those in TIME-WAIT, held ones and timers there are.
    #[cfg(test)]
    pub(super) fn books(&self) -> [usize; 5] {
        let held = self.held.values().map(Vec::len).sum();
        let (all, timers) = (self.connections.len(), self.wheel.len());
        [all, self.orphans, self.time_wait_count, held, timers]
    }

    /// When the first connection has something to do.
    #[inline]
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.next()
    }

    /// Options to be shared.
    fn share(&mut self, options: tcp::Options) -> Arc<tcp::Options> {
        match &self.options {
            Some(last) if **last == options => Arc::clone(last),
            _ => Arc::clone(self.options.insert(Arc::new(options))),
        }
    }

    /// Forgets why a segment was sent: the next frame may be no segment.
    #[inline]
    pub(super) const fn forget_note(&mut self) {
        self.note = None;
    }

    /// The connection between two ends.
    #[inline]
    fn find(&mut self, ends: &Ends) -> Option<Key> {
        if let Some((last, key)) = &self.last
            && last == ends
            && self.connections.get(*key).is_some()
        {
            return Some(*key);
        }
        let hash = self.table.hash(ends);
        let found = self.table.find_hashed(hash, ends, &self.connections);
        match found {
            Some(key) => self.last = Some((*ends, key)),
            None => self.missed = Some((*ends, hash)),
        }
        found
    }

    /// A connection that nobody finds by its ends any more.
    fn hide(&mut self, key: Key) {
        let Some(entry) = self.connections.get_mut(key) else {
            return;
        };
        if core::mem::take(&mut entry.found) {
            let hash = self.table.hash(&entry.ends);
            self.table.remove(hash, key);
            self.last = None;
        }
    }

    /// Counts a connection as what it has become.
    fn count(&mut self, now: Instant, key: Key, class: Class) {
        let Some(entry) = self.connections.get_mut(key) else {
            return;
        };
        let was = core::mem::replace(&mut entry.class, class);
        if was == class {
            return;
        }
        if class == Class::TimeWait {
            entry.since = now;
            self.note_time_wait(key);
        } else if class == Class::Orphan && entry.charged > 0 {
            self.note_orphan(key);
        }
        match was {
            Class::Orphan => self.orphans -= 1,
            Class::TimeWait => self.time_wait_count -= 1,
            Class::Owned => {}
        }
        match class {
            Class::Orphan => self.orphans += 1,
            Class::TimeWait => self.time_wait_count += 1,
            Class::Owned => {}
        }
    }

    fn note_time_wait(&mut self, key: Key) {
        let connections = &self.connections;
        let waits = |key| {
            connections
                .get(key)
                .is_some_and(|e| e.class == Class::TimeWait)
        };
        self.time_waits.push(key, connections.len(), waits);
    }

    /// The one that has been in TIME-WAIT for longest, taken off the list.
    fn oldest_time_wait(&mut self) -> Option<Key> {
        while let Some(key) = self.time_waits.pop() {
            let waits = |e: &Entry| e.class == Class::TimeWait;
            if self.connections.get(key).is_some_and(|e| waits(e)) {
                return Some(key);
            }
        }
        None
    }
}

impl Host {
    /// A place for a connection; the oldest in TIME-WAIT makes room for it. `None` where there is
    /// none.
    fn add_connection(
        &mut self,
        mut connection: Connection,
        ends: Ends,
        owner: Owner,
        link: Link,
    ) -> Option<Key> {
        connection.set_supply(self.tcp.memory.supply);
        if self.tcp.connections.len() >= self.config.max_connections {
            let oldest = self.tcp.oldest_time_wait()?;
            self.stats.tcp.time_wait_evicted += 1;
            self.free(oldest);
        }
        let hash = match self.tcp.missed {
            Some((missed, hash)) if missed == ends => hash,
            _ => self.tcp.table.hash(&ends),
        };
        let entry = Entry {
            connection,
            ends,
            owner,
            link,
            generation: self.ways(),
            timer: Token::NONE,
            due: Instant::FAR_FUTURE,
            since: Instant::ZERO,
            ready: Readiness::NONE,
            announced: false,
            in_turn: false,
            held: false,
            found: true,
            class: Class::Owned,
            early: false,
            charged: 0,
        };
        let key = self.tcp.connections.insert(Box::new(entry)).ok()?;
        self.tcp.table.add(hash, key);
        let all = u64::try_from(self.tcp.connections.len()).unwrap_or(u64::MAX);
        let peak = &mut self.stats.tcp.connections_peak;
        *peak = all.max(*peak);
        Some(key)
    }

    /// The flow label of segments between two ends of IPv6.
    #[inline]
    fn label(&mut self, ends: &Ends) -> u32 {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (ends.local, ends.remote) else {
            return 0;
        };
        let ports = u32::from(ends.local_port) << 16 | u32::from(ends.remote_port);
        self.numbers.label((src, dst), Protocol::TCP, ports)
    }

    /// Changes with anything that a [`Link`] is made of. All three only grow, so that no two sums
    /// are alike.
    #[inline]
    fn ways(&self) -> u64 {
        self.moves + self.routes.generation() + self.pmtu.generation()
    }

    /// The link of a connection that is there already or is to be.
    fn find_link(&mut self, ends: &Ends) -> Link {
        let remote = ends.remote;
        let mut link = Link {
            hop: remote,
            interface: 0,
            mtu: 1500,
            local: false,
            fragment: false,
            none: Some(DropReason::NoRoute),
        };
        let way = match self.way_to(ends.remote()) {
            Ok(way) => way,
            Err(reason) => {
                link.none = Some(reason);
                return link;
            }
        };
        let Hop::Neighbor(hop) = way.hop else {
            return link;
        };
        let known = self.pmtu.path(at_link(remote, way.interface));
        let known = known.filter(|_| !way.local);
        let link_mtu = u16::try_from(way.mtu).unwrap_or(u16::MAX);
        Link {
            hop,
            interface: way.interface,
            mtu: known.map_or(link_mtu, |p| p.mtu.min(link_mtu)),
            local: way.local,
            fragment: known.is_some_and(|p| p.fragment),
            none: None,
        }
    }

    /// Finds a connection's link anew, where anything has changed since it was found.
    #[inline]
    fn update_link(&mut self, now: Instant, key: Key) {
        let generation = self.ways();
        if let Some(entry) = self.tcp.connections.get(key)
            && entry.generation != generation
        {
            self.move_link(now, key, generation);
        }
    }

    #[cold]
    fn move_link(&mut self, now: Instant, key: Key, generation: u64) {
        let Some(ends) = self.tcp.connections.get(key).map(|e| e.ends) else {
            return;
        };
        let mut link = self.find_link(&ends);
        let Some(entry) = self.tcp.connections.get_mut(key) else {
            return;
        };
        if link.none.is_some() {
            // What there was may come back: the size of segments is no news.
            link.mtu = entry.link.mtu;
            link.interface = entry.link.interface;
        }
        if link.mtu != entry.link.mtu {
            entry.connection.handle_path_mtu(now, link.mtu);
        }
        entry.link = link;
        entry.generation = generation;
    }

    /// Sees to what has come of a call into a connection.
    #[inline]
    fn refresh(&mut self, now: Instant, key: Key) {
        self.refresh_with(now, key, false);
    }

    /// [`refresh`](Self::refresh); `silent` where the connection has just said that it has nothing
    /// to send.
    fn refresh_with(&mut self, now: Instant, key: Key, silent: bool) {
        self.account(now, key);
        let Some(entry) = self.tcp.connections.get_mut(key) else {
            return;
        };
        let ready = entry.connection.take_ready();
        if ready != Readiness::NONE {
            entry.ready |= ready;
            if entry.owner == Owner::User && !core::mem::replace(&mut entry.announced, true) {
                self.ready.push_back(Who::Tcp(key));
            }
        }
        if entry.connection.take_progress()
            && !entry.link.local
            && now.since(entry.since) >= CONFIRM_EVERY
        {
            entry.since = now;
            let (interface, hop) = (entry.link.interface, entry.link.hop);
            // This may move a deadline of the cache.
            self.calm = None;
            if let Some(interface) = self.interfaces.get_mut(usize::from(interface)) {
                interface.neighbors.confirm(now, hop);
            }
        }
        if entry.connection.take_doubt() && !entry.link.local {
            let (interface, hop, dst) = (entry.link.interface, entry.link.hop, entry.ends.remote);
            self.stats.tcp.doubts += 1;
            self.doubt_way(now, dst, interface, hop);
            return self.refresh_with(now, key, silent);
        }
        if let Some(outcome) = entry.connection.take_outcome() {
            let whose = (key, &entry.ends);
            let (listeners, stats) = (&mut self.tcp.listeners, &mut self.stats.tcp);
            let memory = &mut self.tcp.fast_open;
            memory.note(now, whose, outcome, listeners, stats);
        }
        let state = entry.connection.state();
        let mut waits = entry.in_turn;
        if !silent && !waits && !entry.held && entry.connection.has_output(now) {
            waits = self.put_in_turn(now, key);
        }
        let Some(entry) = self.tcp.connections.get(key) else {
            return;
        };
        // Most calls change neither who answers for it nor its first deadline.
        if entry.owner != Owner::User || state == State::Closed {
            self.note_state(now, key, state, waits);
        }
        self.arm(now, key);
    }

    /// Sees to a connection's new state: who answers for it, whether it goes.
    #[inline]
    fn note_state(&mut self, now: Instant, key: Key, state: State, waits: bool) {
        let Some(entry) = self.tcp.connections.get(key) else {
            return;
        };
        if let Owner::Half(listener) = entry.owner {
            if state == State::Closed {
                self.leave_listener(key, listener);
            } else if state.is_synchronized() {
                self.queue_accept(key, listener);
                return;
            } else {
                return;
            }
        }
        if state == State::Closed {
            self.tcp.hide(key);
        }
        let Some(entry) = self.tcp.connections.get_mut(key) else {
            return;
        };
        if entry.owner != Owner::Nobody {
            return;
        }
        match state {
            State::Closed if !waits && !entry.held => self.free(key),
            State::Closed => {}
            State::TimeWait => self.keep_time_wait(now, key),
            _ => self.tcp.count(now, key, Class::Orphan),
        }
    }

    /// Counts one that nobody holds in TIME-WAIT; the oldest goes where there are too many.
    fn keep_time_wait(&mut self, now: Instant, key: Key) {
        self.tcp.count(now, key, Class::TimeWait);
        if self.tcp.time_wait_count > self.config.max_time_waits
            && let Some(oldest) = self.tcp.oldest_time_wait()
        {
            self.stats.tcp.time_wait_evicted += 1;
            self.free(oldest);
        }
    }

    /// Lets go of a connection on its user's behalf: it closes by itself, or goes.
    fn orphan(&mut self, now: Instant, key: Key) {
        let too_many = self.tcp.orphans >= self.config.max_orphans;
        let Some(entry) = self.tcp.connections.get_mut(key) else {
            return;
        };
        entry.owner = Owner::Nobody;
        let state = entry.connection.state();
        if too_many && !matches!(state, State::Closed | State::TimeWait) {
            entry.connection.abort(now);
            self.stats.tcp.orphans_reset += 1;
        }
        self.refresh(now, key);
    }

    /// Removes a connection from wherever it is.
    fn free(&mut self, key: Key) {
        self.tcp.hide(key);
        self.tcp.count(Instant::ZERO, key, Class::Owned);
        if let Some(mut entry) = self.tcp.connections.remove(key) {
            self.discharge(&entry);
            self.tcp.keep_log(key, &mut entry.connection);
            self.tcp.wheel.remove(entry.timer);
        }
    }

    /// Keeps a connection's entry in the wheel no later than its first deadline. An earlier one
    /// stays: it will find that nothing is due yet, and that is cheaper than moving it each time.
    #[inline]
    fn arm(&mut self, now: Instant, key: Key) {
        let Some(entry) = self.tcp.connections.get_mut(key) else {
            return;
        };
        let mut due = entry.connection.poll_timeout();
        if entry.held {
            due = Some(due.map_or(now + HOLD, |due| due.min(now + HOLD)));
        }
        let Some(due) = due else { return };
        if entry.due <= due {
            return;
        }
        self.tcp.wheel.remove(entry.timer);
        entry.timer = self.tcp.wheel.insert(due, key);
        entry.due = due;
    }

    /// Does what is due in connections.
    pub(super) fn handle_tcp_timeouts(&mut self, now: Instant) {
        while let Some((_, key)) = self.tcp.wheel.pop(now) {
            let Some(entry) = self.tcp.connections.get_mut(key) else {
                continue;
            };
            (entry.timer, entry.due) = (Token::NONE, Instant::FAR_FUTURE);
            if core::mem::take(&mut entry.held) {
                // Nobody has told of its next hop: all who wait for it try again.
                let (at, hop) = (entry.link.interface, entry.link.hop);
                self.wake_held(now, at, hop);
            }
            let Some(entry) = self.tcp.connections.get_mut(key) else {
                continue;
            };
            if entry.connection.poll_timeout().is_some_and(|t| t <= now) {
                entry.connection.set_supply(self.tcp.memory.supply);
                entry.connection.handle_timeout(now);
            }
            self.refresh(now, key);
        }
    }

    /// What connections sent to ourselves has arrived: they may send more.
    pub(super) fn resume_looping(&mut self, now: Instant) {
        for key in core::mem::take(&mut self.tcp.looping) {
            if let Some(entry) = self.tcp.connections.get_mut(key) {
                entry.in_turn = false;
            }
            self.refresh(now, key);
        }
    }

    /// What a connection became ready for, as it comes up in `poll_event`.
    pub(super) fn take_tcp_event(&mut self, key: Key) -> Option<Event> {
        let entry = self.tcp.connections.get_mut(key)?;
        entry.announced = false;
        let ready = core::mem::take(&mut entry.ready);
        (entry.owner == Owner::User).then_some(Event::Tcp(TcpHandle(key), ready))
    }

    /// That a connection waits to be accepted, as it comes up in `poll_event`.
    pub(super) fn take_listener_event(&mut self, key: Key) -> Option<Event> {
        self.tcp.listeners.get_mut(key)?.announced = false;
        Some(Event::Listener(ListenHandle(key)))
    }

    /// An ICMP error about a segment from `ends`, whose sequence number it quotes: `None` where we
    /// have not sent such a one.
    fn quoted_connection(&mut self, ends: &Ends, seq: crate::wire::seq::SeqNum) -> Option<Key> {
        let key = self.tcp.find(ends)?;
        //= RFC 5927 §4.1 an error is believed only about what is in flight.
        let entry = self.tcp.connections.get(key)?;
        entry.connection.accepts_quote(seq).then_some(key)
    }

    /// Tells the connection whose segment a packet holds that its next hop does not answer.
    pub(super) fn fail_segment(
        &mut self,
        now: Instant,
        at: u16,
        addrs: (IpAddr, IpAddr),
        rest: &[u8],
    ) {
        if let Some((ends, seq)) = quoted_ends(at, addrs, rest)
            && let Some(key) = self.quoted_connection(&ends, seq)
            && let Some(entry) = self.tcp.connections.get_mut(key)
        {
            entry
                .connection
                .handle_icmp(now, ErrorKind::HostUnreachable);
            self.refresh(now, key);
        }
    }
}

/// The ends and the sequence number of a segment of ours by interface `at` that somebody quotes.
fn quoted_ends(
    at: u16,
    (src, dst): (IpAddr, IpAddr),
    rest: &[u8],
) -> Option<(Ends, crate::wire::seq::SeqNum)> {
    let [a, b, c, d, s0, s1, s2, s3] = *rest.first_chunk::<8>()?;
    let zone = zone_of(at);
    let ends = Ends::new(
        zone::end(src, u16::from_be_bytes([a, b]), zone),
        zone::end(dst, u16::from_be_bytes([c, d]), zone),
    );
    let seq = crate::wire::seq::SeqNum(u32::from_be_bytes([s0, s1, s2, s3]));
    Some((ends, seq))
}
