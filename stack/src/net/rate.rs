//! How often something may be done: a token bucket, and one for each of many peers.
//!
//! ```text
//!                 rate tokens a second
//!                        |
//!                        v
//!              |~~~~~~~~~~~~~~~~~~~|  burst tokens at most
//!              |___________________|
//!                        |
//!   take(now) -----------+--> true: one token gone     false: none there
//! ```
//!
//! Read first: RFC 1812 §4.3.2.8 (limiting the rate of ICMP errors), RFC 4443 §2.4 (f) (a token
//! bucket, and why fixed spacing is worse).
//!
//! Promises. Exact integers: credit is counted in billionths of a token, so that no rate is
//! rounded and nothing is lost between calls that come close together. Time that runs backwards
//! gives no tokens. The table of peers never holds more than its limit; when it is full the peer
//! unused for longest is forgotten, which gives it a full bucket again. That is why there is a
//! bucket for all peers together as well: it alone bounds what many (or forged) addresses can
//! draw, and while it is empty no new peer is even remembered.
//!
//! Left out: queueing what was refused, and weights.

use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::MacAddr;
use alloc::collections::BTreeMap;
use core::hash::Hasher;
use siphasher::sip::SipHasher13;

/// A token bucket.
///
/// ```
/// use stack::net::rate::TokenBucket;
/// use stack::time::{Duration, Instant};
/// let mut bucket = TokenBucket::new(10, 2);
/// let t = Instant::ZERO;
/// assert!(bucket.take(t) && bucket.take(t) && !bucket.take(t));
/// assert!(bucket.take(t + Duration::from_millis(100)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenBucket {
    rate: u32,
    burst: u32,
    /// Billionths of a token, as of `updated`.
    credit: u64,
    updated: Instant,
}

/// Billionths in one token: a rate in tokens a second times nanoseconds gives these.
const TOKEN: u64 = 1_000_000_000;

impl TokenBucket {
    /// A full bucket of `burst` tokens that gains `rate_per_second`. With a rate of zero the burst
    /// is all there ever is; with a burst of zero nothing is ever allowed.
    #[must_use]
    pub fn new(rate_per_second: u32, burst: u32) -> Self {
        Self {
            rate: rate_per_second,
            burst,
            credit: u64::from(burst) * TOKEN,
            updated: Instant::ZERO,
        }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let left = self.credit.checked_sub(TOKEN);
        self.credit = left.unwrap_or(self.credit);
        left.is_some()
    }

    /// Whether a token is there.
    #[must_use]
    pub fn ready(&self, now: Instant) -> bool {
        let mut then = *self;
        then.take(now)
    }

    /// When the next token is there: `now` where one is, `None` where there will never be one.
    #[must_use]
    pub fn ready_at(&self, now: Instant) -> Option<Instant> {
        let mut then = *self;
        then.refill(now);
        let missing = TOKEN.saturating_sub(then.credit);
        if missing == 0 {
            return Some(now);
        }
        if self.rate == 0 || self.burst == 0 {
            return None;
        }
        Some(then.updated + Duration::from_nanos(missing.div_ceil(u64::from(self.rate))))
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.since(self.updated).as_nanos();
        let full = u64::from(self.burst) * TOKEN;
        let credit = u128::from(self.credit) + elapsed * u128::from(self.rate);
        self.credit = u64::try_from(credit).unwrap_or(full).min(full);
        self.updated = self.updated.max(now);
    }
}

/// Answers a second to each station that asks, which ARP and neighbour discovery share. Stations
/// share [`BUCKETS`] buckets by a keyed hash, so that nobody can fill the table or choose whom to
/// starve.
#[derive(Clone, Debug)]
pub struct StationLimiter {
    full: TokenBucket,
    keys: [u64; 2],
    /// Those that were ever used: most hosts are asked by few.
    stations: BTreeMap<u64, TokenBucket>,
}

/// Buckets that stations share.
pub const BUCKETS: u64 = 256;

impl StationLimiter {
    /// Full buckets.
    #[must_use]
    pub fn new(rate_per_second: u32, burst: u32, rng: &mut Rng) -> Self {
        Self {
            full: TokenBucket::new(rate_per_second, burst),
            keys: rng.hash_keys(),
            stations: BTreeMap::new(),
        }
    }

    /// Takes a token of a station's, if there is one.
    pub fn take(&mut self, now: Instant, station: MacAddr) -> bool {
        let mut hash = SipHasher13::new_with_keys(self.keys[0], self.keys[1]);
        hash.write(&station.0);
        let bucket = self.stations.entry(hash.finish() % BUCKETS);
        bucket.or_insert(self.full).take(now)
    }
}

/// The limits of a [`PeerLimiter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Tokens a second for all peers together. Linux allows 1,000 ICMP messages a second (its
    /// `icmp_msgs_per_sec`).
    pub rate: u32,
    /// Tokens at once for all peers together (Linux: `icmp_msgs_burst`, 50).
    pub burst: u32,
    /// Tokens a second for one peer. Linux gives one (`icmp_ratelimit`), which makes a scan of a
    /// thousand closed ports take a quarter of an hour; the bound on what we can be made to send
    /// is `rate`, so a peer may have a quarter of that.
    pub peer_rate: u32,
    /// Tokens at once for one peer: `traceroute` sends 16 probes at a time, and the last hop, which
    /// they all reach, owes an answer to each; a dozen runs in a row still get theirs.
    pub peer_burst: u32,
    /// Most peers remembered.
    pub max_peers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rate: 1000,
            burst: 400,
            peer_rate: 250,
            peer_burst: 200,
            max_peers: 1024,
        }
    }
}

/// Which bucket was empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limited {
    /// The one for all peers.
    Global,
    /// This peer's.
    Peer,
}

/// What a [`PeerLimiter`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Allowed.
    pub allowed: u64,
    /// Refused by the bucket for all.
    pub limited_global: u64,
    /// Refused by a peer's bucket.
    pub limited_peer: u64,
    /// Peers forgotten to make room.
    pub evicted: u64,
}

/// A bucket for all peers, and one for each.
#[derive(Clone, Debug)]
pub struct PeerLimiter<K> {
    config: Config,
    global: TokenBucket,
    peers: BTreeMap<K, Peer>,
    /// Peers by when they were last used, oldest first.
    used: BTreeMap<u64, K>,
    clock: u64,
    stats: Stats,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    bucket: TokenBucket,
    used: u64,
}

impl<K: Ord + Copy> PeerLimiter<K> {
    /// All buckets full, no peer known.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            global: TokenBucket::new(config.rate, config.burst),
            peers: BTreeMap::new(),
            used: BTreeMap::new(),
            clock: 0,
            stats: Stats::default(),
        }
    }

    /// Takes a token from the bucket for all and from the peer's, or from neither.
    ///
    /// # Errors
    /// Says which bucket was empty.
    pub fn take(&mut self, now: Instant, peer: K) -> Result<(), Limited> {
        if !self.global.ready(now) {
            self.stats.limited_global += 1;
            return Err(Limited::Global);
        }
        if !self.peer(peer).take(now) {
            self.stats.limited_peer += 1;
            return Err(Limited::Peer);
        }
        self.global.take(now);
        self.stats.allowed += 1;
        Ok(())
    }

    /// Peers remembered.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// The counters.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// The peer's bucket, marked as used.
    fn peer(&mut self, key: K) -> &mut TokenBucket {
        self.clock += 1;
        if let Some(known) = self.peers.get(&key) {
            self.used.remove(&known.used);
        } else if self.peers.len() >= self.config.max_peers.max(1)
            && let Some((_, oldest)) = self.used.pop_first()
        {
            self.peers.remove(&oldest);
            self.stats.evicted += 1;
        }
        self.used.insert(self.clock, key);
        let fresh = Peer {
            bucket: TokenBucket::new(self.config.peer_rate, self.config.peer_burst),
            used: 0,
        };
        let peer = self.peers.entry(key).or_insert(fresh);
        peer.used = self.clock;
        &mut peer.bucket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn a_rate_is_exact_over_a_long_time() {
        // rate, burst, spacing of attempts in ns, seconds, tokens to expect
        for (rate, burst, step, seconds, want) in [
            (1, 1, 1_000_000, 10, 10),
            (3, 1, 7_777, 1, 3),
            (7, 5, 1_000_003, 10, 5 + 70 - 1),
            (1000, 50, 333_333, 2, 50 + 2000 - 1),
            (0, 4, 1_000_000, 5, 4),
            (9, 0, 1_000_000, 5, 0),
        ] {
            let mut bucket = TokenBucket::new(rate, burst);
            let mut got = 0;
            let mut t = 0;
            while t < seconds * TOKEN {
                got += u32::from(bucket.take(at(t)));
                t += step;
            }
            assert!(got.abs_diff(want) <= 1, "{rate}/s burst {burst}: {got}");
        }
    }

    #[test]
    fn ready_at_is_the_first_moment() {
        let mut bucket = TokenBucket::new(3, 1);
        assert_eq!(bucket.ready_at(at(5)), Some(at(5)));
        assert!(bucket.take(at(5)));
        let next = bucket.ready_at(at(6)).unwrap();
        assert_eq!(next, at(5 + 333_333_334));
        assert!(!bucket.ready(at(next.as_nanos() - 1)) && bucket.ready(next));
        let mut never = TokenBucket::new(0, 1);
        never.take(at(0));
        assert_eq!(never.ready_at(at(1)), None);
        assert_eq!(TokenBucket::new(1, 0).ready_at(at(0)), None);
    }

    #[test]
    fn extremes_neither_panic_nor_overflow() {
        let mut bucket = TokenBucket::new(u32::MAX, u32::MAX);
        assert!(bucket.take(Instant::FAR_FUTURE));
        // Backwards: nothing is gained.
        let mut slow = TokenBucket::new(1, 1);
        assert!(slow.take(at(10 * TOKEN)));
        assert!(!slow.take(at(0)) && !slow.take(at(10 * TOKEN)));
        assert!(slow.take(at(11 * TOKEN)));
    }

    #[test]
    fn peers_are_bounded_and_the_idle_one_is_forgotten() {
        let mut limiter = PeerLimiter::new(Config {
            rate: 1,
            burst: 1000,
            peer_rate: 1,
            peer_burst: 1,
            max_peers: 3,
        });
        for peer in [1, 2, 3, 1] {
            let _ = limiter.take(at(0), peer);
        }
        assert_eq!(limiter.take(at(0), 4), Ok(()));
        assert_eq!(limiter.peers(), 3);
        // 2 was the oldest: it is new again, 1 is not.
        assert_eq!(limiter.take(at(0), 1), Err(Limited::Peer));
        assert_eq!(limiter.take(at(0), 2), Ok(()));
        let stats = limiter.stats();
        assert_eq!(
            (stats.allowed, stats.limited_peer, stats.evicted),
            (5, 2, 2)
        );
        for peer in 0..100_000u32 {
            let _ = limiter.take(at(1), peer);
        }
        assert_eq!((limiter.peers(), limiter.used.len()), (3, 3));
        // While all together have nothing left, new peers leave no trace.
        let evicted = limiter.stats().evicted;
        assert_eq!(limiter.take(at(1), 7_000_000), Err(Limited::Global));
        assert_eq!(limiter.stats().evicted, evicted);
        assert_eq!(limiter.stats().allowed, 1000);
    }
}
