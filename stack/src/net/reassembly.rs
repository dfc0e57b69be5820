//! Fragments into datagrams, for both families, within fixed bounds.
//!
//! ```text
//!                  +-------------- first fragment to arrive: deadline set
//!                  v
//!   fragment --> Held ---- all bytes there ------------------------> Complete
//!                  |  \--- deadline, or evicted for room ----------> Expired (event)
//!                  |
//!                  +--- overlap, contradiction, too many pieces,
//!                       a mark of congestion lost -----------------> poisoned: all dropped, and
//!                                                                   what still comes until the
//!                                                                   deadline
//! ```
//!
//! Read first: RFC 791 §3.2 (fragmentation and reassembly), RFC 1122 §3.3.2, RFC 8200 §4.5,
//! RFC 5722 §3 and §4 (overlaps), RFC 3168 §5.3 (marks of congestion), RFC 1858 §3 and RFC 3128 §4 (tiny fragments), RFC 6946 §4
//! (a fragment that is a whole datagram), RFC 4963 (what identifiers of 16 bits are worth).
//!
//! Promises.
//! - Each fragment that was `Held` is reported exactly once more: in `Complete`, in the `released`
//!   of a `Dropped`, or in an `Expired` event. [`Reassembly::held`] is what is outstanding.
//! - Bytes never come from two fragments: an overlap kills the datagram, in v4 as in v6.
//! - A mark of congestion on any fragment is on the datagram, or there is none (RFC 3168 §5.3).
//! - Memory is bounded, whatever arrives: `max_bytes` of payload and bookkeeping, plus the device
//!   buffers of at most `max_shared` fragments. A fragment is a slice of the buffer it was
//!   received in, and keeping eight bytes of it keeps all of it (64 KiB as a rule); so only so
//!   many are kept by reference, and the others, and all small ones, are copied out to their size.
//!   In peace nothing is copied; a flood is copied, and counted byte by byte.
//! - Full means that the oldest give way, those of the same source first where it is the source
//!   that holds too much. Forged sources can therefore push others out; the deadline and the
//!   bounds are all that holds against that.
//!
//! Left out: the rule that an IPv6 first fragment holds all headers (RFC 7112), which needs a parser of
//! them; datagrams above 65,535 bytes (RFC 2675 §4 forbids fragments there).

use crate::frame::Payload;
use crate::reason::DropReason;
use crate::time::{Duration, Instant};
use crate::wire::Protocol;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the fragments of one datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    src: IpAddr,
    dst: IpAddr,
    id: u32,
    protocol: Protocol,
}

impl Key {
    /// Of IPv4: the protocol counts as well (RFC 791 §3.2).
    #[must_use]
    pub const fn v4(src: Ipv4Addr, dst: Ipv4Addr, id: u16, protocol: Protocol) -> Self {
        Self {
            src: IpAddr::V4(src),
            dst: IpAddr::V4(dst),
            // Widening; `From` is not const.
            #[allow(clippy::as_conversions)]
            id: id as u32,
            protocol,
        }
    }

    /// Of IPv6: the next header of later fragments means nothing (RFC 8200 §4.5).
    #[must_use]
    pub const fn v6(src: Ipv6Addr, dst: Ipv6Addr, id: u32) -> Self {
        Self {
            src: IpAddr::V6(src),
            dst: IpAddr::V6(dst),
            id,
            protocol: Protocol::FRAGMENT,
        }
    }

    /// The sender.
    #[must_use]
    pub const fn src(&self) -> IpAddr {
        self.src
    }

    /// The receiver.
    #[must_use]
    pub const fn dst(&self) -> IpAddr {
        self.dst
    }

    /// The identification.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The protocol (IPv6: [`Protocol::FRAGMENT`]).
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The most bytes that fragments can make up: with the smallest header for IPv4 (a larger one
    /// is the caller's to add and check), without one for IPv6, whose length field does not count
    /// it.
    const fn max_payload(&self) -> usize {
        match self.src {
            IpAddr::V4(_) => 65_535 - 20,
            IpAddr::V6(_) => 65_535,
        }
    }
}

/// Where a fragment belongs, and how it was marked on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its first byte within the datagram.
    pub offset: usize,
    /// Others come after it.
    pub more: bool,
    /// The ECN field of its header (RFC 3168 §5): 0 is Not-ECT, 3 is CE.
    pub ecn: u8,
}

impl Place {
    /// Of a fragment that knows nothing of congestion.
    #[must_use]
    pub const fn at(offset: usize, more: bool) -> Self {
        let ecn = NOT_ECT;
        Self { offset, more, ecn }
    }
}

/// The sender of this one could not be told of congestion.
const NOT_ECT: u8 = 0;
/// This one has met congestion.
const CE: u8 = 3;

/// Limits of a [`Reassembly`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long the other fragments may take, from the first to arrive. RFC 1122 §3.3.2
    /// recommends 60 to 120 s and RFC 8200 §4.5 fixes 60 s for IPv6; Linux takes 30 s for IPv4.
    pub timeout: Duration,
    /// Bytes held, bookkeeping included. Linux: `ipfrag_high_thresh`, 4 MiB.
    pub max_bytes: usize,
    /// Bytes held of one source, so that one cannot crowd out the others.
    pub max_bytes_per_source: usize,
    /// Datagrams begun, poisoned ones included.
    pub max_datagrams: usize,
    /// Fragments of one datagram. 65,535 bytes come in 45 over Ethernet, in 119 over links of 576
    /// bytes; a link of 68 would need 1,366, which nobody has seen.
    pub max_fragments: usize,
    /// Fragments kept by reference to the buffer they arrived in.
    pub max_shared: usize,
    /// Smaller fragments are always copied.
    pub share_from: usize,
    /// A bug planted on purpose, for tests that must find one: a fragment that comes before the one
    /// right after it was taken ought to fit, and counts as overlapping. False, always.
    #[doc(hidden)]
    pub planted_off_by_one: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            max_bytes: 4 << 20,
            max_bytes_per_source: 1 << 20,
            max_datagrams: 1024,
            max_fragments: 512,
            max_shared: 128,
            share_from: 512,
            planted_off_by_one: false,
        }
    }
}

/// What one fragment costs beside its bytes: its record, the allocator's share and slack.
const FRAGMENT_OVERHEAD: usize = 192;

/// A first fragment of TCP must hold the header without options: ports, sequence and flags.
const TCP_HEADER: usize = 20;

/// How much of the first fragment an [`Expired`] event gives back for quoting: an ICMP error is at
/// most 576 bytes long (RFC 1812 §4.3.2.3), 28 of them headers.
const QUOTE: usize = 548;

/// What became of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<H> {
    /// Kept until the others come.
    Held,
    /// It was the last one missing.
    Complete {
        /// As given with the first fragment.
        head: H,
        /// The datagram's bytes.
        payload: Payload,
        /// How many fragments it came in, this one included: one less was held.
        fragments: u32,
        /// Payload bytes of the largest fragment, which the path is known to carry.
        largest: usize,
        /// A fragment was marked as having met congestion: so must the datagram be.
        congestion: bool,
    },
    /// Refused, and how many fragments that were held go with it, for the same reason.
    Dropped(DropReason, u32),
}

/// A datagram that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired<H> {
    /// Which.
    pub key: Key,
    /// As given with the first fragment, if that was there. With the reason `ReassemblyTimeout`
    /// the source is then to be told (ICMP time exceeded, code 1).
    pub head: Option<H>,
    /// The beginning of the first fragment's payload, to quote; empty if it was not there.
    pub quote: Bytes,
    /// Fragments dropped.
    pub fragments: u32,
    /// `ReassemblyTimeout` or `ReassemblyFull`.
    pub reason: DropReason,
}

/// What a [`Reassembly`] has counted, in datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Put together.
    pub completed: u64,
    /// Dropped for overlapping or contradictory fragments, or too many.
    pub poisoned: u64,
    /// Given up for lack of time.
    pub timed_out: u64,
    /// Given up for lack of room.
    pub evicted: u64,
    /// Fragments (not datagrams) that were copied out of their buffer.
    pub copied: u64,
}

/// The datagrams in the making. `H` is what the caller wants to have kept of the first fragment:
/// its header.
///
/// ```
/// use stack::frame::Payload;
/// use stack::net::reassembly::{Config, Key, Outcome, Place, Reassembly};
/// use stack::time::Instant;
/// use stack::wire::Protocol;
/// let mut parts = Reassembly::new(Config::default());
/// let key = Key::v4([10, 7, 0, 1].into(), [10, 7, 0, 2].into(), 7, Protocol::UDP);
/// let bytes = |b: &'static [u8]| Payload::from(bytes::Bytes::from_static(b));
/// let now = Instant::ZERO;
/// assert_eq!(parts.insert(now, key, Place::at(8, false), bytes(b"end"), None), Outcome::Held);
/// let Outcome::Complete { head, payload, .. } =
///     parts.insert(now, key, Place::at(0, true), bytes(b"01234567"), Some("header"))
/// else { panic!() };
/// assert_eq!((head, &payload.to_bytes()[..]), ("header", &b"01234567end"[..]));
/// ```
#[derive(Clone, Debug)]
pub struct Reassembly<H> {
    config: Config,
    datagrams: BTreeMap<Key, Datagram<H>>,
    /// By age: the number that each datagram got when it began, oldest first.
    order: BTreeMap<u64, Key>,
    /// The same for each source, without the poisoned, which hold nothing.
    by_source: BTreeSet<(IpAddr, u64)>,
    /// What each source's fragments cost.
    source_cost: BTreeMap<IpAddr, usize>,
    cost: usize,
    held: usize,
    shared: usize,
    begun: u64,
    events: VecDeque<Expired<H>>,
    stats: Stats,
}

#[derive(Clone, Debug)]
struct Datagram<H> {
    number: u64,
    deadline: Instant,
    poison: Option<DropReason>,
    head: Option<H>,
    /// By start; no two share a byte.
    fragments: Vec<Fragment>,
    /// What fragments say of congestion: some are marked, some cannot be.
    marked: bool,
    unable: bool,
    bytes: usize,
    /// Known once the last fragment is there.
    total: Option<usize>,
}

#[derive(Clone, Debug)]
struct Fragment {
    start: usize,
    payload: Payload,
    shared: bool,
}

impl Fragment {
    fn end(&self) -> usize {
        self.start + self.payload.len()
    }
}

/// How a fragment fits among those that are there.
enum Fit {
    /// It goes to this place in the list.
    Gap(usize),
    Duplicate,
    /// The datagram must die.
    Poison(DropReason),
}

impl<H: Clone> Reassembly<H> {
    /// Nothing in the making.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            datagrams: BTreeMap::new(),
            order: BTreeMap::new(),
            by_source: BTreeSet::new(),
            source_cost: BTreeMap::new(),
            cost: 0,
            held: 0,
            shared: 0,
            begun: 0,
            events: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Takes a fragment: `payload` belongs at a `place` of the datagram. `first_head` is given with
    /// the fragment at offset 0, which is malformed without.
    pub fn insert(
        &mut self,
        now: Instant,
        key: Key,
        place: Place,
        payload: Payload,
        first_head: Option<H>,
    ) -> Outcome<H> {
        let Place { offset, more, ecn } = place;
        // What is overdue is over, even where the driver comes late.
        self.handle_timeout(now);
        let first_head = first_head.filter(|_| offset == 0);
        if let Some(reason) = malformed(&key, offset, more, &payload, first_head.is_some()) {
            return Outcome::Dropped(reason, 0);
        }
        if let (0, false, Some(head)) = (offset, more, &first_head) {
            //= RFC 6946 §4: a whole datagram in one fragment is not matched with any others
            let largest = payload.len();
            let head = head.clone();
            return Outcome::Complete {
                head,
                payload,
                fragments: 1,
                largest,
                congestion: ecn == CE,
            };
        }
        let index = match self.datagrams.get(&key) {
            None => 0,
            Some(datagram) => match datagram.fit(place, &payload, &self.config) {
                Fit::Gap(index) => index,
                Fit::Duplicate => return Outcome::Dropped(DropReason::FragmentDuplicate, 0),
                Fit::Poison(reason) => return self.poison(key, reason),
            },
        };
        if !self.make_room(&key, payload.len() + FRAGMENT_OVERHEAD) {
            return Outcome::Dropped(DropReason::ReassemblyFull, 0);
        }
        self.store(now, key, index, place, payload, first_head);
        self.complete(&key).unwrap_or(Outcome::Held)
    }

    /// Gives up the datagrams whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|t| t <= now) {
            let Some(key) = self.order.values().next().copied() else {
                return;
            };
            if !self.expire(&key, DropReason::ReassemblyTimeout) {
                return;
            }
        }
    }

    /// When the oldest datagram is to be given up.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let oldest = self.order.values().next()?;
        self.datagrams.get(oldest).map(|d| d.deadline)
    }

    /// The next datagram that was given up, by time or for room. At most as many wait here as
    /// there may be datagrams; beyond that nothing more is given up, and what needs room is
    /// refused.
    pub fn poll_event(&mut self) -> Option<Expired<H>> {
        self.events.pop_front()
    }

    /// Fragments kept.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Bytes kept, bookkeeping included.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.cost
    }

    /// Datagrams begun, poisoned ones included.
    #[must_use]
    pub fn datagrams(&self) -> usize {
        self.datagrams.len()
    }

    /// The counters.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Drops what is held of a datagram, and whatever comes of it until its deadline.
    fn poison(&mut self, key: Key, reason: DropReason) -> Outcome<H> {
        //= RFC 5722 §4: where fragments overlap, the whole datagram is discarded in silence, and
        // with it the fragments that have yet to come
        let Some(datagram) = self.datagrams.get_mut(&key) else {
            return Outcome::Dropped(reason, 0);
        };
        if datagram.poison.is_some() {
            return Outcome::Dropped(reason, 0);
        }
        datagram.poison = Some(reason);
        datagram.head = None;
        datagram.bytes = 0;
        let fragments = core::mem::take(&mut datagram.fragments);
        self.by_source.remove(&(key.src, datagram.number));
        self.stats.poisoned += 1;
        Outcome::Dropped(reason, self.release(key.src, &fragments))
    }

    /// Room for `cost` more bytes of a datagram, the oldest others giving way. No where there are
    /// none, or where nobody reads the events.
    fn make_room(&mut self, key: &Key, cost: usize) -> bool {
        while self.source_cost.get(&key.src).copied().unwrap_or(0) + cost
            > self.config.max_bytes_per_source
        {
            let theirs = (key.src, 0)..=(key.src, u64::MAX);
            let oldest = self.by_source.range(theirs).map(|(_, number)| *number);
            if !self.evict(key, oldest.take(2).collect()) {
                return false;
            }
        }
        let begins = !self.datagrams.contains_key(key);
        while self.cost + cost > self.config.max_bytes
            || (begins && self.datagrams.len() >= self.config.max_datagrams)
        {
            let oldest = self.order.keys().copied().take(2).collect();
            if !self.evict(key, oldest) {
                return false;
            }
        }
        true
    }

    /// Gives up the first of these that is not `key` itself.
    fn evict(&mut self, key: &Key, oldest: Vec<u64>) -> bool {
        let victim = oldest
            .iter()
            .filter_map(|number| self.order.get(number))
            .find(|k| *k != key)
            .copied();
        victim.is_some_and(|victim| self.expire(&victim, DropReason::ReassemblyFull))
    }

    /// Gives a datagram up and says so. No where the events are not read.
    fn expire(&mut self, key: &Key, reason: DropReason) -> bool {
        let tells = self.datagrams.get(key).is_some_and(|d| d.poison.is_none());
        if tells && self.events.len() >= self.config.max_datagrams {
            return false;
        }
        let Some(datagram) = self.take(key) else {
            return false;
        };
        if tells {
            let first = datagram.fragments.first().filter(|f| f.start == 0);
            let quote = first.map_or_else(Bytes::new, |f| copy(&f.payload.slice(0, QUOTE)));
            match reason {
                DropReason::ReassemblyTimeout => self.stats.timed_out += 1,
                _ => self.stats.evicted += 1,
            }
            let fragments = self.release(key.src, &datagram.fragments);
            self.events.push_back(Expired {
                key: *key,
                head: datagram.head,
                quote,
                fragments,
                reason,
            });
        }
        true
    }

    /// Takes a datagram out of all indexes; what it cost is still to be released.
    fn take(&mut self, key: &Key) -> Option<Datagram<H>> {
        let datagram = self.datagrams.remove(key)?;
        self.order.remove(&datagram.number);
        self.by_source.remove(&(key.src, datagram.number));
        Some(datagram)
    }

    /// Takes fragments off the books.
    fn release(&mut self, src: IpAddr, fragments: &[Fragment]) -> u32 {
        let cost: usize = fragments
            .iter()
            .map(|f| f.payload.len() + FRAGMENT_OVERHEAD)
            .sum();
        self.cost -= cost;
        self.held -= fragments.len();
        self.shared -= fragments.iter().filter(|f| f.shared).count();
        if let Some(of_source) = self.source_cost.get_mut(&src) {
            *of_source -= cost;
            if *of_source == 0 {
                self.source_cost.remove(&src);
            }
        }
        u32::try_from(fragments.len()).unwrap_or(u32::MAX)
    }

    #[allow(clippy::too_many_arguments)]
    fn store(
        &mut self,
        now: Instant,
        key: Key,
        index: usize,
        place: Place,
        payload: Payload,
        first_head: Option<H>,
    ) {
        let shared =
            payload.len() >= self.config.share_from && self.shared < self.config.max_shared;
        let payload = if shared {
            self.shared += 1;
            payload
        } else {
            self.stats.copied += 1;
            Payload::from(copy(&payload))
        };
        let cost = payload.len() + FRAGMENT_OVERHEAD;
        self.cost += cost;
        *self.source_cost.entry(key.src).or_default() += cost;
        self.held += 1;
        let (begun, deadline) = (&mut self.begun, now + self.config.timeout);
        let datagram = self.datagrams.entry(key).or_insert_with(|| {
            *begun += 1;
            self.order.insert(*begun, key);
            self.by_source.insert((key.src, *begun));
            Datagram::new(*begun, deadline)
        });
        datagram.bytes += payload.len();
        let start = place.offset;
        if !place.more {
            datagram.total = Some(start + payload.len());
        }
        datagram.marked |= place.ecn == CE;
        datagram.unable |= place.ecn == NOT_ECT;
        datagram.head = first_head.or(datagram.head.take());
        let fragment = Fragment {
            start,
            payload,
            shared,
        };
        datagram.fragments.insert(index, fragment);
    }

    /// Hands the datagram out if nothing is missing.
    fn complete(&mut self, key: &Key) -> Option<Outcome<H>> {
        let datagram = self.datagrams.get(key)?;
        // No two share a byte and none ends beyond the total: then so many bytes are all bytes.
        if datagram.total != Some(datagram.bytes) {
            return None;
        }
        let head = datagram.head.clone()?;
        let datagram = self.take(key)?;
        let fragments = self.release(key.src, &datagram.fragments);
        let lens = datagram.fragments.iter().map(|f| f.payload.len());
        let largest = lens.max().unwrap_or(0);
        let mut payload = Payload::new();
        for fragment in datagram.fragments {
            payload.append(fragment.payload);
        }
        self.stats.completed += 1;
        Some(Outcome::Complete {
            head,
            payload,
            fragments,
            largest,
            congestion: datagram.marked,
        })
    }
}

impl<H> Datagram<H> {
    const fn new(number: u64, deadline: Instant) -> Self {
        Self {
            number,
            deadline,
            poison: None,
            head: None,
            fragments: Vec::new(),
            marked: false,
            unable: false,
            bytes: 0,
            total: None,
        }
    }

    fn fit(&self, at: Place, payload: &Payload, config: &Config) -> Fit {
        if let Some(reason) = self.poison {
            return Fit::Poison(reason);
        }
        let (start, more) = (at.offset, at.more);
        let end = start + payload.len();
        let place = self.fragments.partition_point(|f| f.start < start);
        let next = self.fragments.get(place);
        let before = place.checked_sub(1).and_then(|p| self.fragments.get(p));
        let again = next.is_some_and(|f| f.start == start && f.payload == *payload);
        let overlaps = before.is_some_and(|f| f.end() > start)
            || next
                .is_some_and(|f| f.start < end + usize::from(config.planted_off_by_one) && !again);
        // Before the ends are compared: a teardrop is an overlap, whatever end it claims.
        if overlaps {
            return Fit::Poison(DropReason::FragmentOverlap);
        }
        if self.contradicts(end, more) {
            return Fit::Poison(DropReason::FragmentMalformed);
        }
        if again {
            //= RFC 8200 §4.5: a duplicate, unlike an overlap, may be dropped by itself
            return Fit::Duplicate;
        }
        //= RFC 3168 §5.3: a mark of congestion MUST NOT be lost, nor be put on a datagram of which a
        // fragment could not be marked; then the datagram is dropped
        let (marked, unable) = (
            self.marked || at.ecn == CE,
            self.unable || at.ecn == NOT_ECT,
        );
        if marked && unable {
            return Fit::Poison(DropReason::FragmentEcnMixed);
        }
        if self.fragments.len() >= config.max_fragments {
            return Fit::Poison(DropReason::ReassemblyFull);
        }
        Fit::Gap(place)
    }

    /// Whether a fragment and those that are there cannot be of one datagram: two ends, or bytes
    /// beyond the end.
    fn contradicts(&self, end: usize, more: bool) -> bool {
        match self.total {
            Some(total) if more => end >= total,
            Some(total) => end != total,
            // All that are there say that more follows them.
            None => !more && self.fragments.last().is_some_and(|f| f.end() >= end),
        }
    }
}

/// Why a fragment is refused for what it is by itself.
fn malformed(
    key: &Key,
    offset: usize,
    more: bool,
    payload: &Payload,
    has_head: bool,
) -> Option<DropReason> {
    let len = payload.len();
    let whole = offset == 0 && !more;
    let odd = !offset.is_multiple_of(8) || (more && !len.is_multiple_of(8));
    let empty = len == 0 && !whole;
    if odd || empty || offset.saturating_add(len) > key.max_payload() {
        return Some(DropReason::FragmentMalformed);
    }
    if offset == 0 && !has_head {
        return Some(DropReason::FragmentMalformed);
    }
    //= RFC 3128 §4: both tests, on the first fragment's length and against the offset of 8 bytes
    let tiny = (offset == 0 && more && len < TCP_HEADER) || offset == 8;
    (key.protocol == Protocol::TCP && tiny).then_some(DropReason::FragmentTiny)
}

/// The bytes in a buffer of just their size.
fn copy(payload: &Payload) -> Bytes {
    let mut out = BytesMut::with_capacity(payload.len());
    for chunk in payload.chunks() {
        out.extend_from_slice(chunk);
    }
    out.freeze()
}

#[cfg(test)]
#[path = "tests/reassembly.rs"]
mod tests;
