//! The DNS servers and search domains that routers advertise, for as long as they say (RFC 8106).
//!
//! ```text
//!   RDNSS, DNSSL --handle_*--> [servers] [domains], newest first --> who resolves names
//!                                   |
//!                      handle_timeout: what has lived its time goes
//! ```
//!
//! Read first: RFC 8106 §5.3.1 and §6.
//!
//! Promises: each list has a limit; where it is full, what would end first gives way (§6.2), and is
//! counted. An address that no server can have, or a name that is malformed, is not taken.
//!
//! Left out: servers from elsewhere, which whoever resolves joins with these.

use crate::time::{Duration, Instant, earliest};
use crate::wire::ipv6::Addresses;
use crate::wire::ndp::DomainNames;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::Ipv6Addr;

/// A server or a domain, and until when it is to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<T> {
    /// The server's address, or the domain's name.
    pub value: T,
    /// When it is to be used no more; `None`: never.
    pub until: Option<Instant>,
}

/// What is known of the names on one link.
#[derive(Clone, Debug, Default)]
pub struct Rdnss {
    max: usize,
    servers: Vec<Entry<Ipv6Addr>>,
    domains: Vec<Entry<String>>,
    evicted: u64,
}

impl Rdnss {
    /// Nothing yet; at most `max` of each.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self {
            max,
            servers: Vec::new(),
            domains: Vec::new(),
            evicted: 0,
        }
    }

    /// Takes the servers of one option.
    //= RFC 8106 §5.3.1 the addresses should be unicast ones.
    pub fn handle_servers(&mut self, now: Instant, lifetime: u32, servers: Addresses<'_>) {
        let fits = |a: &Ipv6Addr| !(a.is_multicast() || a.is_unspecified() || a.is_loopback());
        let said = servers.iter().filter(fits);
        self.evicted += take(&mut self.servers, self.max, until(now, lifetime), said);
    }

    /// Takes the names of one option.
    pub fn handle_domains(&mut self, now: Instant, lifetime: u32, names: &[u8]) {
        let said = DomainNames::new(names).flatten().map(|n| n.to_string());
        self.evicted += take(&mut self.domains, self.max, until(now, lifetime), said);
    }

    /// When [`handle_timeout`](Self::handle_timeout) has work next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let servers = self.servers.iter().map(|e| e.until);
        let domains = self.domains.iter().map(|e| e.until);
        servers.chain(domains).fold(None, earliest)
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let lives = |until: Option<Instant>| until.is_none_or(|until| until > now);
        self.servers.retain(|e| lives(e.until));
        self.domains.retain(|e| lives(e.until));
    }

    /// The servers, the one to ask first in front.
    #[must_use]
    pub fn servers(&self) -> &[Entry<Ipv6Addr>] {
        &self.servers
    }

    /// The domains to try for short names.
    #[must_use]
    pub fn domains(&self) -> &[Entry<String>] {
        &self.domains
    }

    /// How many gave way to others.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }
}

/// Until when a lifetime lasts; the outer `None`: it is over.
#[expect(clippy::option_option, reason = "over, for ever, or until then")]
fn until(now: Instant, lifetime: u32) -> Option<Option<Instant>> {
    match lifetime {
        0 => None,
        //= RFC 8106 §5.1 all ones is for ever.
        u32::MAX => Some(None),
        seconds => Some(Some(now + Duration::from_secs(u64::from(seconds)))),
    }
}

/// Puts what was said into a list, in its order before all else; how many gave way.
#[expect(clippy::option_option, reason = "over, for ever, or until then")]
fn take<T: PartialEq>(
    list: &mut Vec<Entry<T>>,
    max: usize,
    until: Option<Option<Instant>>,
    said: impl Iterator<Item = T>,
) -> u64 {
    let (mut place, mut evicted) = (0, 0);
    for value in said.take(max) {
        let known = list.iter().position(|e| e.value == value);
        match (known, until) {
            //= RFC 8106 §6.2 (b) a lifetime of zero ends it.
            (Some(at), None) => drop(list.remove(at)),
            //= RFC 8106 §6.2 (c) what is known lives as long as was said last.
            (Some(at), Some(until)) => {
                if let Some(entry) = list.get_mut(at) {
                    entry.until = until;
                }
            }
            (None, None) => {}
            //= RFC 8106 §6.2 (d) what is new comes first; where there is no room, what would end
            //= first gives way.
            (None, Some(until)) => {
                if list.len() >= max {
                    let ends = |e: &Entry<T>| e.until.unwrap_or(Instant::FAR_FUTURE);
                    let later = list.iter().enumerate().skip(place);
                    let Some((first, _)) = later.min_by_key(|(_, e)| ends(e)) else {
                        return evicted;
                    };
                    list.remove(first);
                    evicted += 1;
                }
                list.insert(place.min(list.len()), Entry { value, until });
                place += 1;
            }
        }
    }
    evicted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(n: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(n)
    }

    fn bytes(servers: &[&str]) -> Vec<u8> {
        let octets = |s: &&str| s.parse::<Ipv6Addr>().unwrap().octets();
        servers.iter().flat_map(octets).collect()
    }

    fn say(
        dns: &mut Rdnss,
        now: u64,
        lifetime: u32,
        servers: &[&str],
    ) -> Vec<(String, Option<u64>)> {
        let said = bytes(servers);
        dns.handle_servers(secs(now), lifetime, Addresses::new(&said).unwrap());
        dns.handle_timeout(secs(now));
        let until = |e: &Entry<Ipv6Addr>| e.until.map(|at| (at - Instant::ZERO).as_secs());
        let all = dns.servers().iter();
        all.map(|e| (e.value.to_string(), until(e))).collect()
    }

    fn entry(server: &str, until: u64) -> (String, Option<u64>) {
        (server.to_string(), Some(until))
    }

    #[test]
    fn servers_come_in_order_and_go_in_time() {
        let mut dns = Rdnss::new(3);
        let two = [entry("fd09::53", 60), entry("fd09::54", 60)];
        assert_eq!(say(&mut dns, 0, 60, &["fd09::53", "fd09::54"]), two);
        // Said again, they stay where they are.
        let later = [entry("fd09::53", 60), entry("fd09::54", 90)];
        assert_eq!(say(&mut dns, 10, 80, &["fd09::54"]), later);
        // What is new comes first; what would end first makes room.
        assert_eq!(
            say(&mut dns, 20, 100, &["fd0a::1", "fd0a::2"]),
            [
                entry("fd0a::1", 120),
                entry("fd0a::2", 120),
                entry("fd09::54", 90)
            ]
        );
        assert_eq!(dns.evicted(), 1);
        assert_eq!(dns.poll_timeout(), Some(secs(90)));
        assert_eq!(say(&mut dns, 21, 0, &["fd0a::1"]).len(), 2);
        assert_eq!(say(&mut dns, 90, 0, &[]), [entry("fd0a::2", 120)]);
        let forever = (String::from("fd0a::2"), None);
        assert_eq!(say(&mut dns, 91, u32::MAX, &["fd0a::2"]), [forever]);
        assert_eq!(dns.poll_timeout(), None);
    }

    #[test]
    fn what_cannot_be_is_not_taken() {
        let mut dns = Rdnss::new(3);
        assert_eq!(say(&mut dns, 0, 60, &["ff02::1", "::", "::1"]), []);
        for n in 0..1000_u32 {
            let server = std::format!("fd09::{n:x}");
            say(&mut dns, 0, 60, &[&server]);
        }
        assert_eq!((dns.servers().len(), dns.evicted()), (3, 997));
        let many: Vec<_> = (0..100).map(|n| std::format!("fd0b::{n:x}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let kept = say(&mut dns, 0, 60, &many);
        assert_eq!(kept, ["fd0b::", "fd0b::1", "fd0b::2"].map(|s| entry(s, 60)));
    }

    #[test]
    fn domains_are_kept_likewise() {
        let mut dns = Rdnss::new(3);
        let names = b"\x07example\x03org\0\x03lab\0\0\0";
        dns.handle_domains(secs(0), 60, names);
        let kept =
            |dns: &Rdnss| -> Vec<_> { dns.domains().iter().map(|d| d.value.clone()).collect() };
        assert_eq!(kept(&dns), ["example.org", "lab"]);
        dns.handle_domains(secs(1), 0, b"\x03lab\0\0\0\0");
        assert_eq!(kept(&dns), ["example.org"]);
        dns.handle_timeout(secs(60));
        assert_eq!(kept(&dns), [""; 0]);
    }
}
