//! What routers say of a link: who is a default router, what is on the link, which addresses a host
//! may make for itself, and for how long.
//!
//! ```text
//!   start() --> solicitations, farther and farther apart, until a router answers --> poll_transmit
//!   advertisement --> [default routers] --the best of them--> Event::DefaultRouter
//!                 --> [routes]  --the best of each prefix----> Event::Route
//!                 --> hop limit, MTU, times -----------------> Event::Link
//!                 --> [DNS servers, domains] (rdnss)
//!                 --> [prefixes]  ---------------------------> Event::OnLink, OffLink
//!                 --> [addresses] (autoconf) ----------------> Event::Own
//! ```
//!
//! Read first: RFC 4861 §6.3; RFC 4862 §5.5; RFC 4191 §2 and §3 (preferences, routes); RFC 7559 (asking
//! again); RFC 5942 (what is on-link).
//!
//! Promises:
//! - Each list has a limit; when it is full what is new is ignored and counted, since what is
//!   there was there before whoever floods.
//! - The default router changes when the one in use falls silent, goes, or a better one comes, and
//!   at no other time.
//!
//! - What is said of the link is taken within limits, so that no word of a stranger's keeps packets
//!   from arriving (RFC 3756 §4.2.7).
//!
//! Left out: DHCPv6's flags, the router's own side; asking after better routers that have fallen silent
//! (RFC 4191 §3.5), which are tried again when they next advertise.

use super::advertisement;
use super::autoconf::{self, Autoconf, end};
use super::rdnss::Rdnss;
use crate::rng::Rng;
use crate::time::{Duration, Instant, earliest};
use crate::wire::Cidr;
use crate::wire::ipv6::MIN_MTU;
use crate::wire::ndp::{
    NdpOption, Preference, PrefixInformation, RouterAdvertisement, options as list,
};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

/// The constants of RFC 4861 §10 and RFC 7559 §2, and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// MAX_RTR_SOLICITATION_DELAY: the first solicitation leaves at random within this time.
    pub max_delay: Duration,
    /// RTR_SOLICITATION_INTERVAL: to the second one; each next interval is twice as long.
    pub interval: Duration,
    /// SOL_MAX_RT: no interval is longer (RFC 7559 §2).
    pub max_interval: Duration,
    /// Default routers kept; RFC 4861 §6.3.4 wants two at least.
    pub max_routers: usize,
    /// Prefixes known to be on the link.
    pub max_prefixes: usize,
    /// Routes to prefixes beyond the link, by all routers together.
    pub max_routes: usize,
    /// DNS servers, and search domains, kept; RFC 8106 §5.3.1 wants three at least.
    pub max_names: usize,
    /// A hop limit below this is not taken over: it would keep packets from far hosts (RFC 3756
    /// §4.2.7).
    pub min_hop_limit: u8,
    /// ReachableTime is taken as this where less is said, as each use would verify a neighbour.
    pub min_reachable_time: Duration,
    /// MAX_REACHABLE_TIME of RFC 4861 §10.
    pub max_time: Duration,
    /// RetransTimer is taken as this where more is said: one lost solicitation costs as much.
    pub max_retrans_timer: Duration,
    /// RetransTimer is taken as this where less is said.
    pub min_retrans_timer: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_delay: Duration::from_secs(1),
            interval: Duration::from_secs(4),
            max_interval: Duration::from_secs(3600),
            max_routers: 16,
            max_prefixes: 32,
            max_routes: 32,
            max_names: 8,
            min_hop_limit: 10,
            min_reachable_time: Duration::from_secs(1),
            max_time: Duration::from_secs(3600),
            max_retrans_timer: Duration::from_secs(10),
            min_retrans_timer: Duration::from_millis(100),
        }
    }
}

/// What the host must do or know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// What is beyond the link goes to this router, or has no way.
    DefaultRouter(Option<Ipv6Addr>),
    /// What is for a prefix goes to this router, or as everything else.
    Route(Cidr, Option<Ipv6Addr>),
    /// What is said of the link has changed.
    Link(Link),
    /// A prefix is on the link.
    OnLink(Cidr),
    /// It is so no more.
    OffLink(Cidr),
    /// Of addresses of our own.
    Own(autoconf::Event),
}

/// What routers say of the link itself; `None` where they do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// CurHopLimit.
    pub hop_limit: Option<u8>,
    /// LinkMTU, 1280 at least.
    pub mtu: Option<usize>,
    /// BaseReachableTime.
    pub reachable_time: Option<Duration>,
    /// RetransTimer.
    pub retrans_timer: Option<Duration>,
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Solicitations given to the link.
    pub solicitations_out: u64,
    /// Advertisements received, and valid.
    pub advertisements_in: u64,
    /// Routers, prefixes and routes that found their list full.
    pub refused: u64,
}

/// A default router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Router {
    /// Its address on the link.
    pub addr: Ipv6Addr,
    /// When it is none any more; `None`: never.
    pub until: Option<Instant>,
    /// How it ranks.
    pub preference: Preference,
    /// It did not answer when it was asked last.
    pub silent: bool,
}

/// A router for one prefix (RFC 4191 §3.1: a type C host's).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoreSpecific {
    /// What is routed.
    pub prefix: Cidr,
    /// By whom, and for how long.
    pub router: Router,
}

/// That a router has advertised a prefix.
#[derive(Clone, Copy, Debug)]
struct Origin {
    prefix: Cidr,
    router: Ipv6Addr,
    until: Option<Instant>,
}

/// What the routers of one link have said.
#[derive(Clone, Debug)]
pub struct Routers {
    config: Config,
    rng: Rng,
    routers: Vec<Router>,
    chosen: Option<Ipv6Addr>,
    routes: Vec<MoreSpecific>,
    /// The prefixes that have a route now, each with its router.
    routed: Vec<(Cidr, Ipv6Addr)>,
    link: Link,
    dns: Rdnss,
    /// With the time until which each is on the link.
    prefixes: Vec<(Cidr, Option<Instant>)>,
    /// Who has advertised which prefix, and until when it is valid.
    origins: Vec<Origin>,
    autoconf: Autoconf,
    /// When to solicit next, and how long to wait after that.
    solicit_at: Option<Instant>,
    interval: Duration,
    due: bool,
    events: VecDeque<Event>,
    stats: Stats,
}

impl Routers {
    /// Nobody has said anything, and nobody is asked.
    #[must_use]
    pub fn new(config: Config, autoconf: Autoconf, rng: Rng) -> Self {
        Self {
            interval: config.interval,
            dns: Rdnss::new(config.max_names),
            config,
            rng,
            routers: Vec::new(),
            chosen: None,
            routes: Vec::new(),
            routed: Vec::new(),
            link: Link::default(),
            prefixes: Vec::new(),
            origins: Vec::new(),
            autoconf,
            solicit_at: None,
            due: false,
            events: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Begins to ask for routers: the link came up.
    //= RFC 4861 §6.3.7 the first solicitation waits for a random time.
    pub fn start(&mut self, now: Instant) {
        let wait = self.rng.between(Duration::ZERO, self.config.max_delay);
        self.interval = self.config.interval;
        self.due = false;
        self.solicit_at = Some(now + wait);
    }

    /// Whether a solicitation is to be sent.
    #[must_use]
    #[inline]
    pub const fn has_output(&self) -> bool {
        self.due
    }

    /// Whether to send a solicitation now, to all routers.
    pub fn poll_transmit(&mut self, now: Instant) -> bool {
        if !core::mem::take(&mut self.due) {
            return false;
        }
        self.stats.solicitations_out += 1;
        //= RFC 7559 §2 the interval doubles with each, from 0.9 to 1.1 times, up to an hour.
        let tenth = self.interval / 10;
        let wait = self
            .rng
            .between(self.interval - tenth, self.interval + tenth);
        self.solicit_at = Some(now + wait);
        self.interval = (self.interval * 2).min(self.config.max_interval);
        true
    }

    /// Takes a valid advertisement from `src`.
    pub fn handle_advertisement(
        &mut self,
        now: Instant,
        src: Ipv6Addr,
        advertisement: &RouterAdvertisement<'_>,
    ) {
        self.stats.advertisements_in += 1;
        self.take_router(now, src, advertisement);
        if advertisement.router_lifetime > 0 {
            //= RFC 7559 §2.1 solicitations end with an advertisement of a default router.
            self.solicit_at = None;
            self.due = false;
        }
        let mut link = self.take_link(
            advertisement.cur_hop_limit,
            advertisement.reachable_time,
            advertisement.retrans_timer,
        );
        for option in list(advertisement.options).flatten() {
            match option {
                NdpOption::PrefixInformation(prefix) => self.take_prefix(now, src, &prefix),
                //= RFC 4861 §6.3.4 an MTU below the least of IPv6 is not one. (The most is the
                //= interface's to know.)
                NdpOption::Mtu { mtu, .. } => link.mtu = link_mtu(mtu).or(link.mtu),
                NdpOption::RouteInformation {
                    prefix_len,
                    lifetime,
                    ..
                } => {
                    let prefix = option.route_prefix().map(IpAddr::V6);
                    let prefix = prefix.and_then(|addr| Cidr::new(addr, prefix_len));
                    //= RFC 4191 §2.3 with the reserved preference it MUST be ignored.
                    let preference = option.preference().filter(|p| *p != Preference::Reserved);
                    if let (Some(prefix), Some(preference)) = (prefix, preference) {
                        let until = end(now, lifetime);
                        let router = Router {
                            addr: src,
                            until,
                            preference,
                            silent: false,
                        };
                        self.take_route(prefix.network(), (lifetime > 0).then_some(router), src);
                    }
                }
                NdpOption::Rdnss {
                    lifetime, servers, ..
                } => self.dns.handle_servers(now, lifetime, servers),
                NdpOption::Dnssl {
                    lifetime, names, ..
                } => self.dns.handle_domains(now, lifetime, names),
                _ => {}
            }
        }
        if link != self.link {
            self.link = link;
            self.tell(Event::Link(link));
        }
        self.choose();
    }

    /// What is said of the link in front of the options.
    //= RFC 4861 §6.3.4 a field of zero says nothing; what others say is taken over.
    fn take_link(&self, hop_limit: u8, reachable_time: u32, retrans_timer: u32) -> Link {
        let within = |millis: u32, least: Duration, most: Duration| {
            let said = Duration::from_millis(u64::from(millis));
            (millis > 0).then(|| said.clamp(least, most))
        };
        let (known, config) = (self.link, &self.config);
        let hop_limit = Some(hop_limit);
        let (least, most) = (config.min_reachable_time, config.max_time);
        let reachable_time = within(reachable_time, least, most);
        let (least, most) = (config.min_retrans_timer, config.max_retrans_timer);
        let retrans_timer = within(retrans_timer, least, most);
        Link {
            hop_limit: hop_limit
                .filter(|n| *n >= config.min_hop_limit.max(1))
                .or(known.hop_limit),
            mtu: known.mtu,
            reachable_time: reachable_time.or(known.reachable_time),
            retrans_timer: retrans_timer.or(known.retrans_timer),
        }
    }

    /// Takes what we say of the link as its router, as if another had said it. No event tells of it.
    //= RFC 4861 §6.2.1 a router's own behaviour MUST be a host's with respect to CurHopLimit,
    //= RetransTimer and ReachableTime; (and it would not be long before nothing that it sends fits, if
    //= not to the MTU as well).
    pub fn go_by(&mut self, said: &advertisement::Config) -> Link {
        let mut link = self.take_link(said.hop_limit, said.reachable_time, said.retrans_timer);
        link.mtu = said.mtu.and_then(link_mtu);
        self.link = link;
        link
    }

    /// Forgets what is said of the link: it may be another one.
    pub fn forget_link(&mut self) -> Link {
        self.link = Link::default();
        self.link
    }

    /// Takes what a router says of a prefix: that it routes it, or `None`, that it does not.
    fn take_route(&mut self, prefix: Cidr, said: Option<Router>, by: Ipv6Addr) {
        //= RFC 4191 §3.1 a route to everywhere overrides what the header says of the default router.
        if prefix.prefix_len() == 0 {
            self.take_default(by, said);
            return;
        }
        let near = |a: Ipv6Addr| a.is_unicast_link_local() || a.is_multicast();
        if prefix.addr6().is_none_or(near) {
            return;
        }
        let same = |r: &MoreSpecific| r.prefix == prefix && r.router.addr == by;
        let at = self.routes.iter().position(same);
        match (at, said) {
            (Some(at), None) => drop(self.routes.remove(at)),
            (Some(at), Some(router)) => {
                if let Some(known) = self.routes.get_mut(at) {
                    known.router = router;
                }
            }
            (None, None) => {}
            (None, Some(_)) if self.routes.len() >= self.config.max_routes => {
                self.stats.refused += 1;
            }
            (None, Some(router)) => self.routes.push(MoreSpecific { prefix, router }),
        }
    }

    /// Notes that a neighbour did not answer, or that it routes no more.
    //= RFC 4861 §6.3.6 routers that may be reachable are preferred, and the others tried in turn.
    pub fn note_silent(&mut self, addr: Ipv6Addr) {
        if let Some(at) = self.routers.iter().position(|r| r.addr == addr) {
            let mut router = self.routers.remove(at);
            router.silent = true;
            // Behind the other silent ones, so that each has its turn.
            self.routers.push(router);
        }
        let (heard, silent): (Vec<_>, Vec<_>) = core::mem::take(&mut self.routes)
            .into_iter()
            .partition(|r| r.router.addr != addr);
        self.routes = heard;
        self.routes.extend(silent.into_iter().map(|mut route| {
            route.router.silent = true;
            route
        }));
        self.choose();
    }

    /// Notes that a neighbour is a router no more (RFC 4861 §7.2.5).
    pub fn forget(&mut self, addr: Ipv6Addr) {
        self.routers.retain(|r| r.addr != addr);
        self.routes.retain(|r| r.router.addr != addr);
        self.origins.retain(|o| o.router != addr);
        self.choose();
    }

    /// When [`handle_timeout`](Self::handle_timeout) has work next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let routes = self.routes.iter().map(|r| &r.router);
        let routers = self.routers.iter().chain(routes).map(|r| r.until);
        let prefixes = self.prefixes.iter().map(|(_, until)| *until);
        let all = routers.chain(prefixes);
        let own = earliest(self.autoconf.poll_timeout(), self.dns.poll_timeout());
        let rest = earliest(self.solicit_at, own);
        all.fold(rest, earliest)
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.solicit_at.is_some_and(|at| at <= now) {
            self.solicit_at = None;
            self.due = true;
        }
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        //= RFC 4861 §6.3.5 what has lived its time is removed.
        let before = self.routers.len() + self.routes.len();
        self.routers.retain(|r| !passed(r.until));
        self.routes.retain(|r| !passed(r.router.until));
        if self.routers.len() + self.routes.len() != before {
            self.choose();
        }
        // It decides nothing by itself, and so needs no deadline of its own.
        self.origins.retain(|o| !passed(o.until));
        self.dns.handle_timeout(now);
        while let Some(at) = self.prefixes.iter().position(|(_, until)| passed(*until)) {
            let (prefix, _) = self.prefixes.remove(at);
            self.tell(Event::OffLink(prefix));
        }
        self.autoconf.handle_timeout(now);
    }

    /// What the host must do next.
    pub fn poll_event(&mut self) -> Option<Event> {
        let own = || self.autoconf.poll_event().map(Event::Own);
        self.events.pop_front().or_else(own)
    }

    /// Default routers, in no order.
    #[must_use]
    pub fn routers(&self) -> &[Router] {
        &self.routers
    }

    /// Routes to prefixes beyond the link, in no order.
    #[must_use]
    pub fn routes(&self) -> &[MoreSpecific] {
        &self.routes
    }

    /// What is said of the link itself.
    #[must_use]
    #[inline]
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// Whom to ask for names.
    #[must_use]
    pub const fn dns(&self) -> &Rdnss {
        &self.dns
    }

    /// Addresses of our own.
    #[must_use]
    #[inline]
    pub const fn autoconf(&self) -> &Autoconf {
        &self.autoconf
    }

    /// The same, to be told of duplicates.
    pub const fn autoconf_mut(&mut self) -> &mut Autoconf {
        &mut self.autoconf
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    fn take_router(&mut self, now: Instant, addr: Ipv6Addr, said: &RouterAdvertisement<'_>) {
        let lifetime = u64::from(said.router_lifetime);
        let router = Router {
            addr,
            until: Some(now + Duration::from_secs(lifetime)),
            //= RFC 4191 §2.2 a reserved preference is medium.
            preference: match said.flags.preference() {
                Preference::Reserved => Preference::Medium,
                told => told,
            },
            silent: false,
        };
        // What routes a prefix has its own lifetime, and stays; it was heard, however.
        for route in &mut self.routes {
            route.router.silent &= route.router.addr != addr;
        }
        self.take_default(addr, (lifetime > 0).then_some(router));
    }

    /// Takes a default router, or `None`, that it is none.
    fn take_default(&mut self, addr: Ipv6Addr, said: Option<Router>) {
        let full = self.routers.len() >= self.config.max_routers;
        let at = self.routers.iter().position(|r| r.addr == addr);
        match (at.and_then(|at| self.routers.get_mut(at)), said) {
            (_, None) => self.routers.retain(|r| r.addr != addr),
            (Some(known), Some(router)) => *known = router,
            (None, Some(_)) if full => self.stats.refused += 1,
            (None, Some(router)) => self.routers.push(router),
        }
    }

    /// Chooses among the routers anew; the ones in use stay where none is better.
    fn choose(&mut self) {
        let chosen = best(self.chosen, self.routers.iter()).map(|r| r.addr);
        if chosen != self.chosen {
            self.chosen = chosen;
            self.tell(Event::DefaultRouter(chosen));
        }
        let mut prefixes: Vec<Cidr> = self.routes.iter().map(|r| r.prefix).collect();
        prefixes.extend(self.routed.iter().map(|(prefix, _)| *prefix));
        prefixes.sort_unstable();
        prefixes.dedup();
        for prefix in prefixes {
            self.choose_route(prefix);
        }
    }

    fn choose_route(&mut self, prefix: Cidr) {
        let at = self.routed.iter().position(|(p, _)| *p == prefix);
        let used = at.and_then(|at| self.routed.get(at)).map(|(_, by)| *by);
        let all = self.routes.iter().filter(|r| r.prefix == prefix);
        let chosen = best(used, all.map(|r| &r.router));
        //= RFC 4191 §3.2 where all of a prefix's routers are silent, a shorter one's that is not
        //= takes their place.
        let chosen = chosen.filter(|r| !r.silent || !self.has_shorter(prefix));
        let chosen = chosen.map(|r| r.addr);
        if chosen == used {
            return;
        }
        if let Some(at) = at {
            self.routed.remove(at);
        }
        self.routed.extend(chosen.map(|by| (prefix, by)));
        self.tell(Event::Route(prefix, chosen));
    }

    /// Whether a router that is not silent routes more than this prefix, and that with it.
    fn has_shorter(&self, prefix: Cidr) -> bool {
        let covers = |r: &&MoreSpecific| {
            r.prefix.prefix_len() < prefix.prefix_len() && r.prefix.contains(prefix.addr())
        };
        let shorter = self.routes.iter().filter(covers).map(|r| &r.router);
        self.routers.iter().chain(shorter).any(|r| !r.silent)
    }

    fn take_prefix(&mut self, now: Instant, src: Ipv6Addr, said: &PrefixInformation) {
        let Some(prefix) = Cidr::new(IpAddr::V6(said.prefix), said.prefix_len) else {
            return;
        };
        let prefix = prefix.network();
        //= RFC 4861 §6.3.4 and RFC 4862 §5.5.3 (b): the link-local prefix is silently ignored.
        // So is what no host may have an address in.
        let unusable = said.prefix.is_unicast_link_local() || said.prefix.is_multicast();
        if unusable || said.prefix_len == 0 {
            return;
        }
        self.take_origin(now, prefix, src, said.valid_lifetime);
        if said.on_link {
            self.take_on_link(now, prefix, said.valid_lifetime);
        }
        //= RFC 4862 §5.5.3 (a) and (c).
        if said.autonomous && said.preferred_lifetime <= said.valid_lifetime {
            let (valid, preferred) = (said.valid_lifetime, said.preferred_lifetime);
            self.autoconf.handle_prefix(now, prefix, valid, preferred);
        }
    }

    /// Notes whose a prefix is.
    fn take_origin(&mut self, now: Instant, prefix: Cidr, router: Ipv6Addr, lifetime: u32) {
        let same = |o: &Origin| o.prefix == prefix && o.router == router;
        self.origins.retain(|o| !same(o));
        if lifetime == 0 {
            return;
        }
        // As many as there are prefixes, by two routers each.
        if self.origins.len() >= self.config.max_prefixes * 2 {
            return;
        }
        let until = end(now, lifetime);
        self.origins.push(Origin {
            prefix,
            router,
            until,
        });
    }

    /// Whether a router has advertised the prefix of an address (RFC 6724 §5, rule 5.5); `None` where
    /// nobody has.
    #[must_use]
    pub fn has_advertised(&self, router: Ipv6Addr, addr: Ipv6Addr) -> Option<bool> {
        let fits = |o: &&Origin| o.prefix.contains(IpAddr::V6(addr));
        let mut all = self.origins.iter().filter(fits).peekable();
        all.peek()?;
        Some(all.any(|o| o.router == router))
    }

    fn take_on_link(&mut self, now: Instant, prefix: Cidr, lifetime: u32) {
        let at = self.prefixes.iter().position(|(p, _)| *p == prefix);
        match (at, lifetime) {
            (Some(at), 0) => {
                self.prefixes.remove(at);
                self.tell(Event::OffLink(prefix));
            }
            (Some(at), _) => {
                if let Some(known) = self.prefixes.get_mut(at) {
                    known.1 = end(now, lifetime);
                }
            }
            (None, 0) => {}
            (None, _) if self.prefixes.len() >= self.config.max_prefixes => self.stats.refused += 1,
            (None, _) => {
                self.prefixes.push((prefix, end(now, lifetime)));
                self.tell(Event::OnLink(prefix));
            }
        }
    }

    /// The host takes events after each call, so that there are as many as one message makes.
    fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }
}

/// The best of some routers: the one in use where none is better.
fn best<'a>(
    used: Option<Ipv6Addr>,
    all: impl Iterator<Item = &'a Router> + Clone,
) -> Option<&'a Router> {
    let rank = |r: &Router| {
        let preference = match r.preference {
            Preference::High => 2,
            Preference::Low => 0,
            Preference::Medium | Preference::Reserved => 1,
        };
        //= RFC 4191 §3.2 reachable ones come first, then those preferred.
        (!r.silent, preference)
    };
    let best = all.clone().map(rank).max();
    let mut as_good = all.filter(|r| Some(rank(r)) == best);
    let stays = as_good.clone().find(|r| Some(r.addr) == used && !r.silent);
    stays.or_else(|| as_good.next())
}

/// An MTU that is said of a link, if it is one of IPv6.
#[must_use]
pub fn link_mtu(said: u32) -> Option<usize> {
    let mtu = usize::try_from(said).unwrap_or(usize::MAX);
    Some(mtu).filter(|mtu| *mtu >= MIN_MTU)
}

#[cfg(test)]
#[path = "tests/routers.rs"]
mod tests;
