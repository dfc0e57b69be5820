//! The path MTU cache: how large a packet may be on its way to a destination, as far as known.
//!
//! ```text
//!                       too big (smaller MTU)               10 min without another
//!     link's MTU  -------------------------------> learnt --------------------------+
//!     (no entry) <--- it is the link's again --+     ^                              |
//!                                              |     | too big            next plateau up
//!                                              |     |                              |
//!                                              +--- trying <------------------------+
//!                                                     \___ 2 min: next plateau up _/
//! ```
//!
//! Read first: RFC 1191 §3 (what a host must and must not), §5 (routers that do not say the MTU),
//! §6.3 (ageing), §7 (plateaus); RFC 8201 §4 (IPv6).
//!
//! Promises. A report never raises an estimate. Estimates do not fall below 68 bytes in IPv4 and
//! 1,280 in IPv6, and in IPv4 not below `min_pmtu`, which is higher: an attacker who gets a forged
//! report past the check of its quote would otherwise have us send 28 bytes of TCP a packet. A
//! path that reports less is written down at `min_pmtu` and marked to be sent without
//! don't-fragment, so that it still works. The cache does not grow beyond its limit: what was
//! learnt longest ago goes. An address of one link is another destination on each link: whoever asks
//! says its zone with it. A group's path stands for those to all its members: the least that was
//! reported of any of them. Each change comes out of [`PathMtus::poll_event`] once, at its latest
//! value, so that the host can tell the sockets.
//!
//! Left out: the check that a report quotes what we sent (the host's, which knows the sockets);
//! packetization layer discovery (RFC 4821, RFC 8899), which needs no reports and belongs to the
//! transports; estimates by source address or traffic class.

use crate::time::{Duration, Instant};
use crate::wire::Zoned;
use alloc::collections::{BTreeMap, BTreeSet};
use core::net::IpAddr;

/// Limits of a [`PathMtus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most destinations remembered.
    pub max_entries: usize,
    /// The least estimate for IPv4; below it routers fragment for us. 552 is 512 bytes of TCP with
    /// both headers, and what Linux takes (`min_pmtu`).
    pub min_pmtu: u16,
    /// How long a smaller estimate stands before a larger one is tried; `None` for ever (RFC 1191
    /// §6.3). Twice the five minutes that §3 sets as the least.
    pub age: Option<Duration>,
    /// How long after one larger estimate the next is tried. Twice the minute of RFC 1191 §3.
    pub retry: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_entries: 4096,
            min_pmtu: 552,
            age: Some(Duration::from_secs(600)),
            retry: Duration::from_secs(120),
        }
    }
}

/// What a router said: ICMP "fragmentation needed", or ICMPv6 "packet too big".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBig {
    /// The MTU of the next hop; zero from a router older than RFC 1191.
    pub next_hop_mtu: u16,
    /// The quoted packet's total length.
    pub packet_len: u16,
    /// The quoted packet's header length in bytes.
    pub header_len: u16,
}

/// A path with an estimate below its link's MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The estimate.
    pub mtu: u16,
    /// The path carries less than we go down to: send without don't-fragment.
    pub fragment: bool,
}

/// An estimate that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// For packets to this address.
    pub dst: Zoned,
    /// The estimate now; `None` for the MTU of the link again.
    pub path: Option<Path>,
}

/// What a [`PathMtus`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Estimates lowered.
    pub lowered: u64,
    /// Estimates raised to try a larger packet.
    pub raised: u64,
    /// Reports below what the protocol allows, or no smaller than the packet they quote.
    pub refused: u64,
    /// Reports that said nothing new.
    pub stale: u64,
    /// Reports below `min_pmtu`.
    pub below_floor: u64,
    /// Destinations forgotten to make room.
    pub evicted: u64,
}

/// The cache.
///
/// ```
/// use stack::net::pmtu::{Config, PathMtus, TooBig};
/// use stack::time::Instant;
/// let mut paths = PathMtus::new(Config::default());
/// let dst: std::net::IpAddr = "192.0.2.1".parse().unwrap();
/// let report = TooBig { next_hop_mtu: 1400, packet_len: 1500, header_len: 20 };
/// paths.update(Instant::ZERO, dst, 1500, report).unwrap();
/// assert_eq!(paths.lookup(dst), Some(1400));
/// ```
#[derive(Clone, Debug)]
pub struct PathMtus {
    config: Config,
    entries: BTreeMap<Zoned, Entry>,
    /// When each is tried larger.
    due: BTreeSet<(Instant, Zoned)>,
    /// By when they were last lowered, longest ago first.
    order: BTreeMap<u64, Zoned>,
    clock: u64,
    /// Changed since last polled.
    changed: BTreeSet<Zoned>,
    generation: u64,
    stats: Stats,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    path: Path,
    link_mtu: u16,
    number: u64,
    due: Option<Instant>,
}

/// RFC 1191 §7, table 7-1: the lowest of each group of MTUs in use.
const PLATEAUS: [u16; 11] = [
    65_535, 32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68,
];

/// RFC 791 §3.2: what every link carries.
const MIN_IPV4: u16 = 68;

/// RFC 8200 §5.
const MIN_IPV6: u16 = 1280;

impl PathMtus {
    /// Nothing known.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            order: BTreeMap::new(),
            clock: 0,
            changed: BTreeSet::new(),
            generation: 0,
            stats: Stats::default(),
        }
    }

    /// The estimate for a destination; `None` where the link's MTU holds.
    #[must_use]
    pub fn lookup(&self, dst: impl Into<Zoned>) -> Option<u16> {
        self.path(dst).map(|p| p.mtu)
    }

    /// The same, with whether routers must be let fragment.
    #[must_use]
    pub fn path(&self, dst: impl Into<Zoned>) -> Option<Path> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries.get(&dst.into()).map(|e| e.path)
    }

    /// Takes a report about a packet to `dst`, which leaves by a link of `link_mtu`. The caller
    /// has checked that the packet quoted is one of ours. Gives the change, if it is one; it is
    /// told by [`poll_event`](Self::poll_event) as well.
    pub fn update(
        &mut self,
        now: Instant,
        dst: impl Into<Zoned>,
        link_mtu: u16,
        report: TooBig,
    ) -> Option<Change> {
        let dst = dst.into();
        let current = self.lookup(dst).unwrap_or(link_mtu).min(link_mtu);
        let Some(mtu) = reported(dst.addr, current, report) else {
            self.stats.refused += 1;
            return None;
        };
        //= RFC 1191 §3: a report never raises the estimate
        let known = self.path(dst);
        let floor = match dst.addr {
            IpAddr::V4(_) => self.config.min_pmtu.max(MIN_IPV4),
            IpAddr::V6(_) => MIN_IPV6,
        };
        let path = Path {
            mtu: mtu.max(floor).min(current),
            fragment: mtu < floor || known.is_some_and(|p| p.fragment),
        };
        self.stats.below_floor += u64::from(mtu < floor);
        if known == Some(path) || (path.mtu >= link_mtu && !path.fragment) {
            self.stats.stale += 1;
            self.postpone(now, dst);
            return None;
        }
        self.stats.lowered += 1;
        self.set(now, dst, path, link_mtu);
        let path = Some(path);
        Some(Change { dst, path })
    }

    /// Tries larger estimates where the time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, dst)) = self.due.first().copied()
            && at <= now
            && self.changed.len() < self.config.max_entries.saturating_mul(2)
        {
            self.due.pop_first();
            self.raise(now, dst);
        }
    }

    /// When a larger estimate is to be tried next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The next estimate that changed.
    pub fn poll_event(&mut self) -> Option<Change> {
        let dst = self.changed.pop_first()?;
        let path = self.path(dst);
        Some(Change { dst, path })
    }

    /// Keeps the destinations for which `keep` says so, as when routes changed. This raises no
    /// events: the host that changed the routes tells the sockets.
    pub fn retain(&mut self, mut keep: impl FnMut(Zoned) -> bool) {
        let gone = self.entries.keys().copied().filter(|d| !keep(*d));
        for dst in gone.collect::<alloc::vec::Vec<_>>() {
            self.forget(dst);
            self.changed.remove(&dst);
        }
    }

    /// Changes whenever a look-up might give another answer.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Every estimate, by address.
    pub fn iter(&self) -> impl Iterator<Item = (Zoned, Path)> {
        self.entries.iter().map(|(dst, e)| (*dst, e.path))
    }

    /// Destinations remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The counters.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    fn set(&mut self, now: Instant, dst: Zoned, path: Path, link_mtu: u16) {
        self.forget(dst);
        if self.entries.len() >= self.config.max_entries.max(1)
            && let Some(oldest) = self.order.values().next().copied()
        {
            self.forget(oldest);
            self.changed.remove(&oldest);
            self.stats.evicted += 1;
        }
        //= RFC 1191 §3: no larger packet is tried within five minutes of a report
        let due = self.config.age.map(|age| now + age);
        self.clock += 1;
        self.order.insert(self.clock, dst);
        self.due.extend(due.map(|at| (at, dst)));
        let entry = Entry {
            path,
            link_mtu,
            number: self.clock,
            due,
        };
        self.entries.insert(dst, entry);
        self.changed.insert(dst);
        self.generation += 1;
    }

    fn forget(&mut self, dst: Zoned) {
        if let Some(entry) = self.entries.remove(&dst) {
            self.order.remove(&entry.number);
            if let Some(at) = entry.due {
                self.due.remove(&(at, dst));
            }
            self.generation += 1;
        }
    }

    /// A report came again: the time starts anew.
    fn postpone(&mut self, now: Instant, dst: Zoned) {
        let later = self.config.age.map(|age| now + age);
        self.schedule(dst, later);
    }

    fn schedule(&mut self, dst: Zoned, later: Option<Instant>) {
        if let Some(entry) = self.entries.get_mut(&dst) {
            if let Some(at) = entry.due {
                self.due.remove(&(at, dst));
            }
            entry.due = later;
            self.due.extend(later.map(|at| (at, dst)));
        }
    }

    /// One plateau up, or back to the link's MTU.
    fn raise(&mut self, now: Instant, dst: Zoned) {
        let Some(entry) = self.entries.get_mut(&dst) else {
            return;
        };
        // RFC 1191 §7.1: by plateaus, so that a path as narrow as before costs one packet, and
        // not one at each size.
        let higher = PLATEAUS.iter().rev().find(|p| **p > entry.path.mtu);
        let mtu = higher.copied().unwrap_or(u16::MAX);
        self.stats.raised += 1;
        self.generation += 1;
        self.changed.insert(dst);
        if mtu >= entry.link_mtu {
            self.forget(dst);
        } else {
            entry.path = Path {
                mtu,
                fragment: false,
            };
            let later = now + self.config.retry;
            self.schedule(dst, Some(later));
        }
    }
}

/// What a report says of the path, if it can be true.
fn reported(dst: IpAddr, current: u16, report: TooBig) -> Option<u16> {
    match (dst, report.next_hop_mtu) {
        (IpAddr::V4(_), 0) => {
            // RFC 1191 §5: some old routers quote the length with the header counted twice.
            let len = match report.packet_len {
                len if len >= current => len.saturating_sub(report.header_len),
                len => len,
            };
            PLATEAUS.iter().copied().find(|p| *p < len)
        }
        //= RFC 1191 §3: never below 68 bytes
        (IpAddr::V4(_), mtu) if mtu < MIN_IPV4 => None,
        //= RFC 8201 §4: a report below 1,280 bytes is discarded
        (IpAddr::V6(_), mtu) if mtu < MIN_IPV6 => None,
        // A packet that would have fitted was not too big: the report is not to be believed.
        (_, mtu) if mtu >= report.packet_len => None,
        (_, mtu) => Some(mtu),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn too_big(next_hop_mtu: u16, packet_len: u16) -> TooBig {
        TooBig {
            next_hop_mtu,
            packet_len,
            header_len: 20,
        }
    }

    #[test]
    fn what_reports_do() {
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        // destination, reports in order (MTU, quoted length), estimate, without don't-fragment
        for (dst, reports, want) in [
            (ip(1), &[(1400, 1500)][..], Some((1400, false))),
            (ip(1), &[(1400, 1500), (1300, 1400)], Some((1300, false))),
            // Never up, and nothing from a packet that would have fitted.
            (ip(1), &[(1300, 1500), (1400, 1500)], Some((1300, false))),
            (ip(1), &[(1400, 1400)], None),
            (ip(1), &[(1500, 1501)], None),
            (ip(1), &[(9000, 9001)], None),
            // The floors.
            (ip(1), &[(67, 1500)], None),
            (ip(1), &[(68, 1500)], Some((552, true))),
            (ip(1), &[(551, 1500)], Some((552, true))),
            (ip(1), &[(552, 1500)], Some((552, false))),
            (ip(1), &[(600, 1500), (100, 600)], Some((552, true))),
            (v6, &[(1279, 1500)], None),
            (v6, &[(0, 1500)], None),
            (v6, &[(1280, 1500)], Some((1280, false))),
            // Old routers: 1500 may be 1480 with its header counted twice; below the estimate it
            // is what it says.
            (ip(1), &[(0, 1500)], Some((1006, false))),
            (ip(1), &[(0, 1499)], Some((1492, false))),
            (ip(1), &[(0, 1499), (0, 1400)], Some((1006, false))),
            (ip(1), &[(0, 600)], Some((552, true))),
            (ip(1), &[(0, 60)], None),
        ] {
            let mut p = PathMtus::new(Config::default());
            for (mtu, len) in reports {
                p.update(at(0), dst, 1500, too_big(*mtu, *len));
            }
            let want = want.map(|(mtu, fragment)| Path { mtu, fragment });
            assert_eq!(p.path(dst), want, "{reports:?}");
            let change = |p| Change {
                dst: dst.into(),
                path: Some(p),
            };
            assert_eq!(p.poll_event(), want.map(change));
            assert_eq!(p.poll_event(), None);
        }
    }

    #[test]
    fn ages_upward_by_plateaus() {
        let mut p = PathMtus::new(Config::default());
        p.update(at(0), ip(1), 1500, too_big(600, 1500)).unwrap();
        p.poll_event();
        // The same again: nothing new, but the ten minutes start over.
        assert_eq!(p.update(at(100), ip(1), 1500, too_big(600, 1500)), None);
        assert_eq!(p.poll_timeout(), Some(at(700)));
        p.handle_timeout(at(699));
        assert_eq!(p.poll_event(), None);
        for (second, mtu) in [(700, Some(1006)), (820, Some(1492)), (940, None)] {
            assert_eq!(p.poll_timeout(), Some(at(second)));
            p.handle_timeout(at(second));
            let path = mtu.map(|mtu| Path {
                mtu,
                fragment: false,
            });
            assert_eq!(
                p.poll_event(),
                Some(Change {
                    dst: ip(1).into(),
                    path
                })
            );
        }
        assert_eq!((p.len(), p.poll_timeout()), (0, None));
        let s = p.stats();
        assert_eq!((s.lowered, s.raised, s.stale), (1, 3, 1));
        // For ever, where so configured.
        let config = Config {
            age: None,
            ..Config::default()
        };
        let mut p = PathMtus::new(config);
        p.update(at(0), ip(1), 1500, too_big(600, 1500)).unwrap();
        assert_eq!(p.poll_timeout(), None);
    }

    #[test]
    fn a_narrow_path_is_tried_with_dont_fragment_again() {
        let mut p = PathMtus::new(Config::default());
        p.update(at(0), ip(1), 1500, too_big(296, 1500)).unwrap();
        assert!(p.path(ip(1)).unwrap().fragment);
        p.handle_timeout(at(600));
        assert!(!p.path(ip(1)).unwrap().fragment);
        // A link that is itself below the floor.
        p.update(at(0), ip(2), 296, too_big(100, 296)).unwrap();
        let path = Path {
            mtu: 296,
            fragment: true,
        };
        assert_eq!(p.path(ip(2)), Some(path));
        assert_eq!(p.update(at(1), ip(2), 296, too_big(100, 296)), None);
    }

    #[test]
    fn stays_within_its_limit() {
        let config = Config {
            max_entries: 20,
            ..Config::default()
        };
        let mut p = PathMtus::new(config);
        let mut rng = Rng::from_seed(1);
        for second in 0..20_000 {
            let dst = ip(rng.next_u64() as u8);
            let mtu = 500 + rng.below(1000) as u16;
            if rng.below(if second < 10_000 { 3 } else { 200 }) == 0 {
                p.update(at(second), dst, 1500, too_big(mtu, 1500));
                assert!(p.lookup(dst).is_some_and(|m| m <= mtu.max(552)));
            }
            p.handle_timeout(at(second));
            if rng.below(9) == 0 {
                p.poll_event();
            }
            assert!(p.len() <= 20 && p.changed.len() <= 40);
            assert_eq!((p.order.len(), p.due.len()), (p.len(), p.len()));
        }
        assert!(
            p.stats().evicted > 1000 && p.stats().raised > 50,
            "{:?}",
            p.stats()
        );
        p.retain(|dst| dst == ip(0).into());
        assert!(p.len() <= 1);
    }
}
