//! TCP Fast Open's cookies: what a server hands out, and what a client remembers.
//!
//! ```text
//!   client                                                   server
//!     | SYN, empty option            -- Client::plan: Request   |
//!     |                                        Server::cookie --| SYN-ACK, cookie
//!     | (Client::learn: cookie, MSS)                            |
//!     .                                                         .
//!     | SYN, cookie, data            -- Client::plan: Open      |
//!     |                                         Server::check --| SYN-ACK of SYN and data
//!     | (Client::failed, where nothing came: a plain SYN for a while)
//! ```
//!
//! Read first: RFC 7413 §4.1.2 (server), §4.1.3 (client), §5 (what an attacker gains).
//!
//! Promises: a cookie says that its bearer has received packets at that address within the last
//! 12 to 24 hours, and only this host can make one; checking costs a hash or two and no memory;
//! the client's memory holds at most 1024 servers, of which the longest unused goes first; a path
//! on which Fast Open failed is left alone for a minute, then two, up to 17 hours.
//!
//! Left out: the count of pending requests (RFC 7413 §4.2), which a listener keeps; one cookie for
//! a whole network of clients (§7.3.2).

use super::segment::Cookie;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;
use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};
use siphasher::sip::SipHasher24;

/// How long one key makes cookies, in nanoseconds; they are good for as long again.
const KEY_LIFE: u64 = 12 * 3600 * 1_000_000_000;

/// What a client's cookie is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Of the current key: accept the data.
    Current,
    /// Of the key before: accept the data, and send a new cookie.
    Old,
    /// Ours no more, or never: a plain handshake, and send a new cookie.
    Invalid,
}

impl Check {
    /// Whether data in the SYN may be taken.
    #[must_use]
    pub const fn accepts(self) -> bool {
        matches!(self, Self::Current | Self::Old)
    }
}

/// Makes and checks the cookies of a server.
///
/// ```
/// use stack::{rng::Rng, time::Instant, transport::tcp::fastopen::{Check, Server}};
/// let server = Server::new(&mut Rng::from_seed(1));
/// let client = "192.0.2.7".parse().unwrap();
/// let cookie = server.cookie(Instant::ZERO, client);
/// assert_eq!(server.check(Instant::ZERO, client, &cookie), Check::Current);
/// assert_eq!(server.check(Instant::ZERO, client, &[0; 8]), Check::Invalid);
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    key: [u64; 2],
    /// The key before, whose cookies are still good.
    backup: Option<[u64; 2]>,
    /// The key is one that several servers share: it makes the cookies that all of them, and
    /// Linux with the same key, know.
    shared: bool,
}

impl Server {
    /// With a key drawn from `rng`.
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            key: rng.hash_keys(),
            backup: None,
            shared: false,
        }
    }

    /// With a key that other servers at the same address have too, as those behind a load balancer
    /// need (RFC 7413 §4.1.2). It stays until another is given.
    #[must_use]
    pub const fn with_key(key: [u8; 16]) -> Self {
        Self {
            key: words(key),
            backup: None,
            shared: true,
        }
    }

    /// With a key before that one, whose cookies are taken as well and answered with new ones: so
    /// keys can be changed on several servers one after the other.
    #[must_use]
    pub const fn with_backup(mut self, key: [u8; 16]) -> Self {
        self.backup = Some(words(key));
        self
    }

    /// [`cookie`](Self::cookie) at the address `local`, on which a shared key's depends.
    #[must_use]
    pub fn cookie_at(&self, now: Instant, client: IpAddr, local: IpAddr) -> [u8; 8] {
        if !self.shared {
            return self.cookie(now, client);
        }
        shared_cookie(self.key, client, local)
    }

    /// [`check`](Self::check) likewise.
    #[must_use]
    pub fn check_at(&self, now: Instant, client: IpAddr, local: IpAddr, cookie: &[u8]) -> Check {
        if !self.shared {
            return self.check(now, client, cookie);
        }
        let Ok(cookie) = <[u8; 8]>::try_from(cookie) else {
            return Check::Invalid;
        };
        let is = |key| {
            u64::from_le_bytes(shared_cookie(key, client, local)) == u64::from_le_bytes(cookie)
        };
        if is(self.key) {
            Check::Current
        } else if self.backup.is_some_and(is) {
            Check::Old
        } else {
            Check::Invalid
        }
    }

    /// The cookie of a client: RFC 7413's `GetCookie`.
    #[must_use]
    pub fn cookie(&self, now: Instant, client: IpAddr) -> [u8; 8] {
        self.tag(now.as_nanos() / KEY_LIFE, client)
    }

    /// What `cookie` is worth: RFC 7413's `IsCookieValid`. Always in the same time for cookies of
    /// the right length, right or wrong, but for which key made them.
    #[must_use]
    pub fn check(&self, now: Instant, client: IpAddr, cookie: &[u8]) -> Check {
        let Ok(cookie) = <[u8; 8]>::try_from(cookie) else {
            return Check::Invalid;
        };
        let cookie = u64::from_be_bytes(cookie);
        let period = now.as_nanos() / KEY_LIFE;
        let is = |period| u64::from_be_bytes(self.tag(period, client)) == cookie;
        if is(period) {
            Check::Current
        } else if period.checked_sub(1).is_some_and(is) {
            Check::Old
        } else {
            Check::Invalid
        }
    }

    //= RFC 7413 §4.1.2 a MAC over the client's address that expires.
    // The key of a period is drawn from the host's by a PRF, so rotation keeps no state and needs
    // no timer. SipHash where the RFC's example has AES: as fast, and made for such tags.
    fn tag(&self, period: u64, client: IpAddr) -> [u8; 8] {
        let derive = |half: u8| {
            let mut h = SipHasher24::new_with_keys(self.key[0], self.key[1]);
            h.write_u8(half);
            h.write_u64(period);
            h.finish()
        };
        let mut h = SipHasher24::new_with_keys(derive(0), derive(1));
        match client {
            IpAddr::V4(a) => h.write(&a.octets()),
            IpAddr::V6(a) => h.write(&a.octets()),
        }
        h.finish().to_be_bytes()
    }
}

/// A key as SipHash takes it.
const fn words(key: [u8; 16]) -> [u64; 2] {
    let all = u128::from_le_bytes(key);
    // The lower half and the upper.
    #[allow(clippy::cast_possible_truncation)]
    [all as u64, (all >> 64) as u64]
}

/// The cookie that a shared key makes.
fn shared_cookie(key: [u64; 2], client: IpAddr, local: IpAddr) -> [u8; 8] {
    let mut h = SipHasher24::new_with_keys(key[0], key[1]);
    for addr in [client, local] {
        match addr {
            IpAddr::V4(a) => h.write(&a.octets()),
            IpAddr::V6(a) => h.write(&a.octets()),
        }
    }
    h.finish().to_le_bytes()
}

/// How to begin a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Without Fast Open: it failed on this path not long ago.
    Plain,
    /// Ask for a cookie: an empty option, no data.
    Request,
    /// The same with the option's number in experiments, which some servers still go by.
    Experiment,
    /// Send the cookie, and data with the SYN.
    Open {
        /// The server's cookie.
        cookie: Cookie,
        /// So much data at most, were the option to take no room in the packet.
        data: u16,
    },
    /// Send data with the SYN, and no option: the server asks for no cookie.
    Bare {
        /// So much data at most.
        data: u16,
    },
}

/// Counts what happened to a client's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientStats {
    /// Servers forgotten for lack of room.
    pub evicted: u64,
    /// Paths that Fast Open failed on.
    pub failed: u64,
}

/// Whom a cookie is for. RFC 7413 §4.1.3: it depends on the client's address as well.
type Pair = (IpAddr, IpAddr);
/// A path for negative entries. RFC 7413 §4.1.3.1: with the server's port, since a server may have
/// Fast Open on one port and not on another.
type Path = (IpAddr, SocketAddr);

#[derive(Clone, Copy, Debug)]
struct Known {
    cookie: Cookie,
    mss: u16,
    asked: Asked,
    used: u64,
}

/// In which forms a server was asked for a cookie that it did not give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    No,
    /// In the one that has a number of its own.
    Once,
    /// In that of the experiment as well.
    Twice,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    until: Instant,
    times: u32,
    used: u64,
}

/// What a client remembers of servers.
#[derive(Clone, Debug, Default)]
pub struct Client {
    known: BTreeMap<Pair, Known>,
    failures: BTreeMap<Path, Failure>,
    /// Counts uses, to tell the longest unused.
    uses: u64,
    stats: ClientStats,
}

impl Client {
    /// The most servers remembered, and the most paths that failed.
    pub const MAX: usize = 1024;
    /// How long Fast Open rests after a failure; doubled by each further one, ten times at most.
    pub const REST: Duration = Duration::from_secs(60);

    /// Knows nobody.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            known: BTreeMap::new(),
            failures: BTreeMap::new(),
            uses: 0,
            stats: ClientStats {
                evicted: 0,
                failed: 0,
            },
        }
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> ClientStats {
        self.stats
    }

    /// Whether data may go with a SYN to `remote` from one of our addresses, as far as
    /// [`plan`](Self::plan) would say so.
    #[must_use]
    pub fn knows(&self, now: Instant, remote: SocketAddr) -> bool {
        let rests = |local: IpAddr| {
            let failure = self.failures.get(&(local, remote));
            failure.is_some_and(|f| now < f.until)
        };
        let mut known = self.known.iter().filter(|((_, peer), known)| {
            *peer == remote.ip() && !known.cookie.as_slice().is_empty()
        });
        known.any(|((local, _), _)| !rests(*local))
    }

    /// How to begin a connection from `local` to `remote`.
    pub fn plan(&mut self, now: Instant, local: IpAddr, remote: SocketAddr) -> Plan {
        self.uses += 1;
        if let Some(failure) = self.failures.get_mut(&(local, remote)) {
            failure.used = self.uses;
            if now < failure.until {
                return Plan::Plain;
            }
        }
        let Some(known) = self.known.get_mut(&(local, remote.ip())) else {
            return Plan::Request;
        };
        known.used = self.uses;
        if known.cookie.as_slice().is_empty() {
            return match known.asked {
                Asked::Once => Plan::Experiment,
                Asked::No | Asked::Twice => Plan::Request,
            };
        }
        Plan::Open {
            cookie: known.cookie,
            data: data_limit(remote.ip(), known.mss),
        }
    }

    /// [`plan`](Self::plan) for a server of which the user says that it asks for no cookie.
    pub fn plan_without(&mut self, now: Instant, local: IpAddr, remote: SocketAddr) -> Plan {
        if self.plan(now, local, remote) == Plan::Plain {
            return Plan::Plain;
        }
        // What the path carries, where nothing is known.
        let known = self.known.get(&(local, remote.ip()));
        Plan::Bare {
            data: data_limit(remote.ip(), known.map_or(u16::MAX, |known| known.mss)),
        }
    }

    /// A SYN-ACK came that carries `cookie` (empty or none: the server gave none) and `mss` (none:
    /// no option). Call it for the first SYN-ACK of a connection that wanted Fast Open.
    //= RFC 7413 §4.2.2 cookie and MSS are updated from the SYN-ACK.
    pub fn learn(
        &mut self,
        local: IpAddr,
        remote: SocketAddr,
        cookie: Option<&Cookie>,
        mss: Option<u16>,
    ) {
        self.uses += 1;
        let pair = (local, remote.ip());
        match cookie.filter(|c| !c.as_slice().is_empty()) {
            Some(&cookie) => {
                // A cookie has come through: the path is good.
                self.failures.remove(&(local, remote));
                self.make_room(pair);
                let known = Known {
                    cookie,
                    mss: mss.unwrap_or(0),
                    asked: Asked::No,
                    used: self.uses,
                };
                self.known.insert(pair, known);
            }
            None => {
                let Some(mss) = mss else { return };
                if let Some(known) = self.known.get_mut(&pair) {
                    known.mss = mss;
                    return;
                }
                self.make_room(pair);
                let known = Known {
                    cookie: Cookie::default(),
                    mss,
                    asked: Asked::No,
                    used: self.uses,
                };
                self.known.insert(pair, known);
            }
        }
    }

    /// A server that was asked gave none, and is to be asked again, in another form perhaps.
    pub fn unanswered(
        &mut self,
        (local, remote): (IpAddr, SocketAddr),
        experiment: bool,
        mss: Option<u16>,
    ) {
        self.learn(local, remote, None, Some(mss.unwrap_or(0)));
        if let Some(known) = self.known.get_mut(&(local, remote.ip())) {
            known.asked = match known.asked {
                _ if experiment => Asked::Twice,
                Asked::No => Asked::Once,
                asked => asked,
            };
        }
    }

    /// The server answered a request with no cookie, or took a plain SYN where it would not take
    /// one with Fast Open, or did not acknowledge the data, or an ICMP error came, or nothing at
    /// all.
    //= RFC 7413 §4.1.3.1 negative responses are remembered, and Fast Open is off on that path at
    // least for a time.
    pub fn failed(&mut self, now: Instant, local: IpAddr, remote: SocketAddr) {
        self.uses += 1;
        self.stats.failed += 1;
        let path = (local, remote);
        let times = match self.failures.get(&path) {
            Some(failure) => failure.times.saturating_add(1),
            None => 0,
        };
        if times == 0 && self.failures.len() >= Self::MAX {
            // A scan of 1024, on a failure that took a second or more to notice.
            let oldest = self.failures.iter().min_by_key(|(_, f)| f.used);
            if let Some(&oldest) = oldest.map(|(path, _)| path) {
                self.failures.remove(&oldest);
                self.stats.evicted += 1;
            }
        }
        let failure = Failure {
            until: now + Self::REST * (1 << times.min(10)),
            times,
            used: self.uses,
        };
        self.failures.insert(path, failure);
    }

    /// Data sent with a SYN was acknowledged: earlier failures no longer count.
    pub fn succeeded(&mut self, local: IpAddr, remote: SocketAddr) {
        self.failures.remove(&(local, remote));
    }

    /// Forgets a server's cookie, which it no longer takes.
    pub fn forget(&mut self, local: IpAddr, remote: IpAddr) {
        self.known.remove(&(local, remote));
    }

    fn make_room(&mut self, pair: Pair) {
        if self.known.len() < Self::MAX || self.known.contains_key(&pair) {
            return;
        }
        let oldest = self.known.iter().min_by_key(|(_, k)| k.used);
        if let Some(&oldest) = oldest.map(|(pair, _)| pair) {
            self.known.remove(&oldest);
            self.stats.evicted += 1;
        }
    }
}

/// How much data goes with a SYN to a server that gave `mss`, zero where it gave none.
//= RFC 7413 §4.1.3 at most 1460 and 1440, lest the SYN be fragmented; 536 and 1220 where unknown.
fn data_limit(server: IpAddr, mss: u16) -> u16 {
    let (default, most) = match server {
        IpAddr::V4(_) => (536, 1460),
        IpAddr::V6(_) => (1220, 1440),
    };
    if mss == 0 { default } else { mss.min(most) }
}

/// How a handshake with Fast Open went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A client's: the first SYN-ACK came.
    Answered {
        /// A new cookie.
        cookie: Option<Cookie>,
        /// The server's MSS.
        mss: Option<u16>,
        /// Whether the server, or the path, does Fast Open; `None` where that was not seen.
        works: Option<bool>,
    },
    /// A client's: it asked for a cookie, and the first SYN-ACK came with none; it goes on asking.
    Unanswered {
        /// It asked in the experiment's form.
        experiment: bool,
        /// The server's MSS.
        mss: Option<u16>,
    },
    /// A client's: nothing came but silence or an ICMP error.
    Failed,
    /// A server's: the client has acknowledged, so it is where it said it was.
    Opened,
    /// A server's: it ended before that.
    Abandoned,
}

/// Fast Open's state while a handshake lasts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Opening {
    /// We open.
    Client(Plan),
    /// We answer, with a cookie perhaps; `early`: and have taken the SYN's data.
    Server { cookie: Option<Cookie>, early: bool },
    /// The host is to be told.
    Over(Outcome),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(s: &str) -> IpAddr {
        s.parse().unwrap()
    }

    fn hours(n: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(3600 * n)
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn server(n: u16) -> SocketAddr {
        SocketAddr::new(
            IpAddr::from([10, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]]),
            80,
        )
    }

    #[test]
    fn a_cookie_is_good_for_its_key_and_the_next() {
        let server = Server::new(&mut Rng::from_seed(1));
        let client = ip("192.0.2.7");
        let table = [
            (0, 0, Check::Current),
            (0, 11, Check::Current),
            (0, 12, Check::Old),
            (0, 23, Check::Old),
            (0, 24, Check::Invalid),
            (11, 12, Check::Old),
            (11, 24, Check::Invalid),
            (24, 12, Check::Invalid),
        ];
        for (made, checked, worth) in table {
            let cookie = server.cookie(hours(made), client);
            let got = server.check(hours(checked), client, &cookie);
            assert_eq!(got, worth, "made at {made} h, checked at {checked} h");
            assert_eq!(got.accepts(), worth != Check::Invalid);
        }
    }

    #[test]
    fn a_shared_key_makes_linuxs_cookies() {
        let words = [0xa1_u8, 0xb2, 0xc3, 0xd4].map(|b| [b; 4]);
        let server = Server::with_key(words.as_flattened().try_into().unwrap());
        let (client, local) = (ip("192.0.2.1"), ip("192.168.0.1"));
        let cookie = server.cookie_at(hours(100), client, local);
        assert_eq!(u64::from_be_bytes(cookie), 0x3021_b9d8_8901_7eeb);
        assert_eq!(
            server.check_at(hours(0), client, local, &cookie),
            Check::Current
        );
        let other = server.cookie_at(hours(100), client, ip("192.168.0.2"));
        assert_eq!(
            server.check_at(hours(0), client, local, &other),
            Check::Invalid
        );
    }

    #[test]
    fn a_cookie_is_good_for_its_address_and_server_only() {
        //= RFC 7413 §4.1.2
        let mut rng = Rng::from_seed(1);
        let (server, other) = (Server::new(&mut rng), Server::new(&mut rng));
        for client in [ip("192.0.2.7"), ip("fd00::7")] {
            let cookie = server.cookie(Instant::ZERO, client);
            let check = |server: &Server, client, cookie: &[u8]| {
                server.check(Instant::ZERO, client, cookie)
            };
            assert_eq!(check(&server, client, &cookie), Check::Current);
            assert_eq!(check(&other, client, &cookie), Check::Invalid);
            assert_eq!(check(&server, ip("192.0.2.8"), &cookie), Check::Invalid);
            assert_eq!(check(&server, ip("fd00::8"), &cookie), Check::Invalid);
            for cut in [0, 4, 7] {
                assert_eq!(check(&server, client, &cookie[..cut]), Check::Invalid);
            }
            assert_eq!(check(&server, client, &[0; 16]), Check::Invalid);
            for bit in 0..64 {
                let forged = (u64::from_be_bytes(cookie) ^ 1 << bit).to_be_bytes();
                assert_eq!(check(&server, client, &forged), Check::Invalid, "bit {bit}");
            }
        }
    }

    #[test]
    fn a_client_asks_then_opens() {
        //= RFC 7413 §4.1.3, §4.2.1
        let mut client = Client::new();
        let (me, s) = (ip("10.0.0.1"), server(7));
        let plan = |c: &mut Client, s| c.plan(at(0), me, s);
        assert_eq!(plan(&mut client, s), Plan::Request);
        let cookie = Cookie::new(&[1, 2, 3, 4]).unwrap();
        client.learn(me, s, Some(&cookie), Some(1400));
        let open = |data| Plan::Open { cookie, data };
        assert_eq!(plan(&mut client, s), open(1400));
        // Cookies know no port, but are this pair's alone.
        assert_eq!(plan(&mut client, SocketAddr::new(s.ip(), 443)), open(1400));
        assert_eq!(plan(&mut client, server(8)), Plan::Request);
        assert_eq!(client.plan(at(0), ip("10.0.0.2"), s), Plan::Request);
        // A SYN-ACK without a cookie leaves it, and may bring another MSS.
        client.learn(me, s, None, Some(9000));
        assert_eq!(plan(&mut client, s), open(1460));
        client.learn(me, s, Some(&Cookie::default()), None);
        assert_eq!(plan(&mut client, s), open(1460));
        client.learn(me, s, Some(&cookie), None);
        assert_eq!(plan(&mut client, s), open(536));
        client.forget(me, s.ip());
        assert_eq!(plan(&mut client, s), Plan::Request);
        let s6 = SocketAddr::new(ip("fd00::1"), 80);
        for (mss, data) in [(None, 1220), (Some(1500), 1440), (Some(1300), 1300)] {
            client.learn(me, s6, Some(&cookie), mss);
            assert_eq!(plan(&mut client, s6), open(data));
        }
    }

    #[test]
    fn a_failure_rests_the_path_for_twice_as_long_each_time() {
        //= RFC 7413 §4.1.3.1
        let mut client = Client::new();
        let (me, s) = (ip("10.0.0.1"), server(7));
        let mut now = 0;
        for rest in [
            60, 120, 240, 480, 960, 1920, 3840, 7680, 15360, 30720, 61440, 61440,
        ] {
            client.failed(at(now), me, s);
            assert_eq!(client.plan(at(now + rest - 1), me, s), Plan::Plain);
            assert_eq!(client.plan(at(now + rest), me, s), Plan::Request);
            // Another port of that server is another path.
            let other = SocketAddr::new(s.ip(), 443);
            assert_eq!(client.plan(at(now), me, other), Plan::Request);
            now += rest;
        }
        assert_eq!(client.stats().failed, 12);
        client.succeeded(me, s);
        client.failed(at(now), me, s);
        assert_eq!(client.plan(at(now + 60), me, s), Plan::Request);
        client.learn(me, s, Some(&Cookie::new(&[1; 8]).unwrap()), None);
        assert_ne!(client.plan(at(now), me, s), Plan::Plain);
    }

    #[test]
    fn memory_is_bounded_and_the_longest_unused_goes() {
        let mut client = Client::new();
        let me = ip("10.0.0.1");
        let cookie = Cookie::new(&[9; 8]).unwrap();
        for n in 0..2000 {
            client.learn(me, server(n), Some(&cookie), None);
            client.failed(at(0), me, server(5000 + n));
            // The first is in use all the time.
            assert_ne!(client.plan(at(0), me, server(0)), Plan::Request, "{n}");
            assert_eq!(client.plan(at(0), me, server(5000)), Plan::Plain, "{n}");
        }
        assert_eq!((client.known.len(), client.failures.len()), (1024, 1024));
        assert_eq!(client.stats().evicted, 2 * (2000 - 1024));
        assert_eq!(client.plan(at(0), me, server(1)), Plan::Request);
        assert_ne!(client.plan(at(0), me, server(1999)), Plan::Request);
    }
}
