//! The addresses that an interface makes for itself: one of each prefix that stays, and temporary ones
//! that follow one another, each for as long as routers say.
//!
//! ```text
//!            valid |---------------------------------------------|   (what routers say of the prefix)
//!   stable         |== preferred ==============|-- deprecated ---|
//!   temporary      |== 1 =====|-- 1 -----|                           a day each, less some chance;
//!                          |== 2 =====|-- 2 -----|                   the next one a little before
//!                                  |== 3 =====|...                   the last one is deprecated
//!   a duplicate:   Gone, a random wait, and another address, a few times
//! ```
//!
//! Read first: RFC 4862 §5.5.3 and §5.5.4; RFC 7217 §5 and §6; RFC 8981 §3.4 to §3.8.
//!
//! Promises:
//! - Each list has a limit; when it is full what is new is ignored and counted, since what is
//!   there was there before whoever floods.
//! - An address never lives shorter by an advertisement than two hours (RFC 4862 §5.5.3 (e)).
//! - The same secret, prefix and interface make the same stable address, on any day.
//!
//! Left out: duplicate address detection itself, which is [`super::dad`]'s; remembering over a restart
//! how many were duplicates (RFC 7217 §6 allows either); temporary addresses for some prefixes and not
//! for others (RFC 8981 §3.7); noticing that the link is another one now, after which §3.6 would have
//! none of the old temporary addresses left: an interface that comes up again keeps them.

use super::slaac::{self, Identifiers};
use crate::rng::Rng;
use crate::time::{Duration, Instant, earliest, nanos};
use crate::wire::Cidr;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

/// The constants of RFC 7217 §7 and RFC 8981 §3.8, and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Prefixes of which addresses are made.
    pub max_addresses: usize,
    /// IDGEN_RETRIES: other stable addresses tried for one that is a duplicate.
    pub idgen_retries: u32,
    /// IDGEN_DELAY: each is tried after a random time within this.
    pub idgen_delay: Duration,
    /// TEMP_VALID_LIFETIME: no temporary address lives longer.
    pub temp_valid_lifetime: Duration,
    /// TEMP_PREFERRED_LIFETIME: none is preferred longer; and it is less than it lives.
    pub temp_preferred_lifetime: Duration,
    /// MAX_DESYNC_FACTOR, in percent of TEMP_PREFERRED_LIFETIME.
    pub max_desync_percent: u32,
    /// REGEN_ADVANCE: the next one is made so long before one is deprecated.
    pub regen_advance: Duration,
    /// TEMP_IDGEN_RETRIES: others tried for one that is a duplicate.
    pub temp_idgen_retries: u32,
    /// Temporary addresses kept, deprecated ones too.
    pub max_temporary: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_addresses: 16,
            idgen_retries: 3,
            idgen_delay: Duration::from_secs(1),
            temp_valid_lifetime: Duration::from_secs(2 * 24 * 60 * 60),
            temp_preferred_lifetime: Duration::from_secs(24 * 60 * 60),
            max_desync_percent: 40,
            // 2 and TEMP_IDGEN_RETRIES times a probe of a second.
            regen_advance: Duration::from_secs(5),
            temp_idgen_retries: 3,
            max_temporary: 32,
        }
    }
}

/// What the host must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An address to be claimed, with the prefix it was made from.
    Address(Cidr),
    /// The same, and it is a temporary one.
    Temporary(Cidr),
    /// An address that new conversations should not use, or with `false` may use again.
    Deprecated(Ipv6Addr, bool),
    /// An address is valid no more.
    Gone(Ipv6Addr),
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Prefixes and temporary addresses that found their list full.
    pub refused: u64,
    /// Addresses that were duplicates.
    pub duplicates: u64,
    /// Of these, the ones after which no other was tried.
    pub gave_up: u64,
}

/// An address made from a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// The address with its prefix.
    pub cidr: Cidr,
    /// One of those that follow one another.
    pub temporary: bool,
    /// When it is deprecated; `None`: never.
    pub preferred_until: Option<Instant>,
    /// When it is gone; `None`: never.
    pub valid_until: Option<Instant>,
    deprecated: bool,
}

/// A prefix and its stable address.
#[derive(Clone, Debug)]
struct Stable {
    made: Made,
    dad_counter: u32,
    /// When another address is tried.
    retry_at: Option<Instant>,
    /// No other is.
    failed: bool,
    /// Temporary addresses of it that were duplicates, one after another.
    temp_failures: u32,
}

#[derive(Clone, Debug)]
struct Temporary {
    made: Made,
    created: Instant,
    /// Of its TEMP_PREFERRED_LIFETIME, this was taken.
    desync: Duration,
}

/// The addresses of one interface.
#[derive(Clone, Debug)]
pub struct Autoconf {
    config: Config,
    identifiers: Identifiers,
    temporary: bool,
    rng: Rng,
    stable: Vec<Stable>,
    temporaries: Vec<Temporary>,
    events: VecDeque<Event>,
    stats: Stats,
}

/// RFC 4862 §5.5.3 (e): what an advertisement cannot shorten.
const TWO_HOURS: Duration = Duration::from_secs(2 * 60 * 60);

impl Autoconf {
    /// None yet; with `temporary`, each prefix will have temporary ones as well.
    #[must_use]
    pub fn new(mut config: Config, identifiers: Identifiers, temporary: bool, rng: Rng) -> Self {
        //= RFC 8981 §3.8 TEMP_PREFERRED_LIFETIME MUST be smaller than TEMP_VALID_LIFETIME.
        let most = config
            .temp_valid_lifetime
            .saturating_sub(Duration::from_secs(1));
        config.temp_preferred_lifetime = config.temp_preferred_lifetime.min(most);
        Self {
            config,
            identifiers,
            temporary,
            rng,
            stable: Vec::new(),
            temporaries: Vec::new(),
            events: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// The link-local address, where there is none yet; `None` where another one is still to be
    /// tried, or none is left.
    //= RFC 7217 §5 it is made as the others are.
    pub fn link_local(&mut self) -> Option<Cidr> {
        let link = Cidr::new(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 64)?;
        let made = match self.stable.iter().find(|s| s.made.cidr.network() == link) {
            Some(known) if known.failed || known.retry_at.is_some() => return None,
            Some(known) => return Some(known.made.cidr),
            None => self.make(link, (None, None))?,
        };
        let cidr = made.made.cidr;
        self.stable.push(made);
        Some(cidr)
    }

    /// Takes a prefix that addresses may be made from, its valid and preferred lifetimes in seconds.
    pub fn handle_prefix(&mut self, now: Instant, prefix: Cidr, valid: u32, preferred: u32) {
        let (valid_until, preferred_until) = (end(now, valid), end(now, preferred));
        let of = |s: &&mut Stable| s.made.cidr.network() == prefix;
        if let Some(known) = self.stable.iter_mut().find(of) {
            let made = &mut known.made;
            made.preferred_until = preferred_until;
            //= RFC 4862 §5.5.3 (e) the valid lifetime falls no lower than two hours, unless it is
            //= lower already, and then it does not fall.
            let floor = Some(now + TWO_HOURS);
            if longer(valid_until, floor) || longer(valid_until, made.valid_until) {
                made.valid_until = valid_until;
            } else if longer(made.valid_until, floor) {
                made.valid_until = floor;
            }
        } else if valid > 0 && prefix.prefix_len() == slaac::PREFIX_LEN {
            //= RFC 4862 §5.5.3 (d) a prefix that the identifier does not complete is ignored.
            let far = |s: &&Stable| !is_link_local(s.made.cidr);
            if self.stable.iter().filter(far).count() >= self.config.max_addresses {
                self.stats.refused += 1;
                return;
            }
            let Some(stable) = self.make(prefix, (preferred_until, valid_until)) else {
                return;
            };
            self.tell(Event::Address(stable.made.cidr));
            self.stable.push(stable);
        }
        self.adjust_temporaries(prefix);
        self.refresh(now, prefix);
        self.deprecate(now);
    }

    /// Notes that an address is another's.
    pub fn note_duplicate(&mut self, now: Instant, addr: Ipv6Addr) {
        let is = |m: &Made| m.cidr.addr6() == Some(addr);
        if let Some(at) = self.temporaries.iter().position(|t| is(&t.made)) {
            self.stats.duplicates += 1;
            let prefix = self.temporaries.remove(at).made.cidr.network();
            self.tell(Event::Gone(addr));
            self.replace_temporary(now, prefix);
        }
        let wait = self.config.idgen_delay;
        let retries = self.config.idgen_retries;
        let Some(known) = self.stable.iter_mut().find(|s| is(&s.made)) else {
            return;
        };
        self.stats.duplicates += 1;
        let prefix = known.made.cidr.network();
        let another = self.identifiers.of(prefix, known.dad_counter + 1);
        if known.dad_counter >= retries || another.is_none() {
            //= RFC 7217 §6 the number of attempts MUST be limited, and no other algorithm is fallen
            //= back to.
            known.failed = true;
            self.stats.gave_up += 1;
            log::warn!("{addr} is a duplicate, and no other address is tried");
            return;
        }
        //= RFC 7217 §6 the counter goes up by one, after a random delay of IDGEN_DELAY at most.
        known.dad_counter += 1;
        known.retry_at = Some(now + self.rng.between(Duration::ZERO, wait));
        self.tell(Event::Gone(addr));
    }

    /// When [`handle_timeout`](Self::handle_timeout) has work next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let made = self.all().flat_map(|m| {
            let preferred = m.preferred_until.filter(|_| !m.deprecated);
            [preferred, m.valid_until]
        });
        let retries = self.stable.iter().map(|s| s.retry_at);
        let regenerations = self.stable.iter().map(|s| self.regenerates_at(s));
        made.chain(retries)
            .chain(regenerations)
            .fold(None, earliest)
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        while let Some(at) = self.stable.iter().position(|s| passed(s.made.valid_until)) {
            let gone = self.stable.remove(at).made.cidr.addr6();
            self.events.extend(gone.map(Event::Gone));
        }
        let gone = |t: &Temporary| passed(t.made.valid_until);
        while let Some(at) = self.temporaries.iter().position(gone) {
            let gone = self.temporaries.remove(at).made.cidr.addr6();
            self.events.extend(gone.map(Event::Gone));
        }
        self.retry(now);
        // Where there was no room for one, there may be now.
        let none = |s: &Stable| self.last_preferred(s.made.cidr.network()).is_none();
        let due = |s: &&Stable| none(s) || passed(self.regenerates_at(s));
        let due: Vec<Cidr> = self
            .stable
            .iter()
            .filter(due)
            .map(|s| s.made.cidr.network())
            .collect();
        for prefix in due {
            if let Some(s) = self
                .stable
                .iter_mut()
                .find(|s| s.made.cidr.network() == prefix)
                && s.temp_failures < self.config.temp_idgen_retries
            {
                s.temp_failures = 0;
            }
            self.refresh(now, prefix);
        }
        self.deprecate(now);
    }

    /// What the host must do next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The addresses, stable ones first.
    pub fn made(&self) -> impl Iterator<Item = &Made> {
        let stable = self.stable.iter();
        let held = stable.filter(|s| s.retry_at.is_none()).map(|s| &s.made);
        held.chain(self.temporaries.iter().map(|t| &t.made))
    }

    /// What was made under this address.
    #[must_use]
    pub fn lifetimes(&self, addr: IpAddr) -> Option<&Made> {
        self.made().find(|m| m.cidr.addr() == addr)
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    fn all(&self) -> impl Iterator<Item = &Made> {
        let temporaries = self.temporaries.iter().map(|t| &t.made);
        self.stable.iter().map(|s| &s.made).chain(temporaries)
    }

    /// A prefix's stable address, which it has not had yet.
    fn make(
        &self,
        prefix: Cidr,
        (preferred_until, valid_until): (Option<Instant>, Option<Instant>),
    ) -> Option<Stable> {
        let (cidr, dad_counter) = self.identify(prefix, 0)?;
        Some(Stable {
            made: Made {
                cidr,
                temporary: false,
                preferred_until,
                valid_until,
                deprecated: false,
            },
            dad_counter,
            retry_at: None,
            failed: false,
            temp_failures: 0,
        })
    }

    /// A stable address by this counter, or the next that makes one that may be.
    //= RFC 7217 §5 what is reserved, or in use, is as a duplicate.
    fn identify(&self, prefix: Cidr, counter: u32) -> Option<(Cidr, u32)> {
        let counters = counter..=self.config.idgen_retries.max(counter);
        counters.into_iter().find_map(|counter| {
            let identifier = self.identifiers.of(prefix, counter)?;
            let cidr = slaac::complete(prefix, identifier)?;
            (!self.is_unfit(cidr, identifier)).then_some((cidr, counter))
        })
    }

    fn is_unfit(&self, cidr: Cidr, identifier: u64) -> bool {
        slaac::is_reserved(identifier) || self.all().any(|m| m.cidr == cidr)
    }

    /// Tries other stable addresses for those that were duplicates.
    fn retry(&mut self, now: Instant) {
        let due = |s: &Stable| s.retry_at.is_some_and(|at| at <= now);
        while let Some(at) = self.stable.iter().position(due) {
            let Some((prefix, counter)) = self
                .stable
                .get(at)
                .map(|s| (s.made.cidr.network(), s.dad_counter))
            else {
                return;
            };
            let found = self.identify(prefix, counter);
            let Some(known) = self.stable.get_mut(at) else {
                return;
            };
            known.retry_at = None;
            known.made.deprecated = false;
            match found {
                Some((cidr, counter)) => {
                    (known.made.cidr, known.dad_counter) = (cidr, counter);
                    self.tell(Event::Address(cidr));
                }
                None => {
                    known.failed = true;
                    self.stats.gave_up += 1;
                }
            }
        }
    }

    /// Lets temporary addresses live as their prefix does now, and no longer than they may.
    //= RFC 8981 §3.4 (1) and (2) they end with their prefix, or TEMP_VALID_LIFETIME and
    //= TEMP_PREFERRED_LIFETIME - DESYNC_FACTOR after they were made.
    fn adjust_temporaries(&mut self, prefix: Cidr) {
        let of = |s: &&Stable| s.made.cidr.network() == prefix;
        let Some(stable) = self.stable.iter().find(of).map(|s| s.made) else {
            return;
        };
        let config = &self.config;
        for t in &mut self.temporaries {
            if t.made.cidr.network() == prefix {
                let preferred = config.temp_preferred_lifetime.saturating_sub(t.desync);
                let preferred = Some(t.created + preferred);
                let valid = Some(t.created + config.temp_valid_lifetime);
                t.made.preferred_until = earliest(stable.preferred_until, preferred);
                t.made.valid_until = earliest(stable.valid_until, valid);
            }
        }
    }

    /// Until when the last of a prefix's temporary addresses is preferred.
    fn last_preferred(&self, prefix: Cidr) -> Option<Instant> {
        let of = self.temporaries.iter().map(|t| &t.made);
        let of = of.filter(|m| m.cidr.network() == prefix);
        of.filter_map(|m| m.preferred_until).max()
    }

    /// When the next temporary address of a prefix is to be made, where that is to come.
    //= RFC 8981 §3.5 REGEN_ADVANCE before the last one is deprecated.
    fn regenerates_at(&self, stable: &Stable) -> Option<Instant> {
        let regen = nanos(self.config.regen_advance);
        let last = self.last_preferred(stable.made.cidr.network())?;
        let at = Instant::from_nanos(last.as_nanos().saturating_sub(regen));
        // Where the prefix itself is deprecated then, only a router can change that.
        let outlives = longer(stable.made.preferred_until, Some(last));
        let may = stable.temp_failures < self.config.temp_idgen_retries;
        (self.temporary && outlives && may && !self.is_full()).then_some(at)
    }

    const fn is_full(&self) -> bool {
        self.temporaries.len() >= self.config.max_temporary
    }

    /// Makes a temporary address of a prefix where none is preferred for longer than REGEN_ADVANCE.
    fn refresh(&mut self, now: Instant, prefix: Cidr) {
        let soon = now + self.config.regen_advance;
        let has = self.last_preferred(prefix).is_some_and(|at| at > soon);
        let of = |s: &&Stable| s.made.cidr.network() == prefix;
        let Some(stable) = self.stable.iter().find(of) else {
            return;
        };
        let gave_up = stable.temp_failures >= self.config.temp_idgen_retries;
        if !self.temporary || has || gave_up || is_link_local(prefix) {
            return;
        }
        let made = stable.made;
        let most = self.config.temp_preferred_lifetime;
        //= RFC 8981 §3.8 DESYNC_FACTOR is below MAX_DESYNC_FACTOR and below
        //= TEMP_PREFERRED_LIFETIME - REGEN_ADVANCE.
        let bound = (most * self.config.max_desync_percent / 100)
            .min(most.saturating_sub(self.config.regen_advance));
        let desync = self.rng.between(Duration::ZERO, bound);
        let preferred_until = earliest(
            made.preferred_until,
            Some(now + most.saturating_sub(desync)),
        );
        //= RFC 8981 §3.4 (5) none is made that would be preferred for REGEN_ADVANCE or less.
        if preferred_until.is_none_or(|at| at <= soon) {
            return;
        }
        if self.is_full() {
            self.stats.refused += 1;
            return;
        }
        let Some(cidr) = self.draw(prefix) else {
            return;
        };
        self.temporaries.push(Temporary {
            made: Made {
                cidr,
                temporary: true,
                preferred_until,
                valid_until: earliest(
                    made.valid_until,
                    Some(now + self.config.temp_valid_lifetime),
                ),
                deprecated: false,
            },
            created: now,
            desync,
        });
        self.tell(Event::Temporary(cidr));
    }

    //= RFC 8981 §3.3.1 a random identifier, and another where that one is reserved or in use.
    fn draw(&mut self, prefix: Cidr) -> Option<Cidr> {
        (0..8).find_map(|_| {
            let identifier = self.rng.next_u64();
            let cidr = slaac::complete(prefix, identifier)?;
            (!self.is_unfit(cidr, identifier)).then_some(cidr)
        })
    }

    /// Makes a temporary address in place of one that was a duplicate.
    //= RFC 8981 §3.4 (7) up to TEMP_IDGEN_RETRIES times; then the host MUST log an error, and tries
    //= none of that prefix any more.
    fn replace_temporary(&mut self, now: Instant, prefix: Cidr) {
        let retries = self.config.temp_idgen_retries;
        let of = |s: &&mut Stable| s.made.cidr.network() == prefix;
        if let Some(stable) = self.stable.iter_mut().find(of) {
            stable.temp_failures += 1;
            if stable.temp_failures >= retries {
                self.stats.gave_up += 1;
                log::error!("every temporary address tried of {prefix} is a duplicate");
            }
            self.refresh(now, prefix);
        }
    }

    /// Tells of addresses that are preferred no more, or again.
    //= RFC 4862 §5.5.4 an address is deprecated when its preferred lifetime ends.
    fn deprecate(&mut self, now: Instant) {
        let stable = self.stable.iter_mut().map(|s| &mut s.made);
        let all = stable.chain(self.temporaries.iter_mut().map(|t| &mut t.made));
        for made in all {
            let deprecated = made.preferred_until.is_some_and(|at| at <= now);
            if deprecated != core::mem::replace(&mut made.deprecated, deprecated)
                && let Some(addr) = made.cidr.addr6()
            {
                self.events.push_back(Event::Deprecated(addr, deprecated));
            }
        }
    }

    /// The host takes events after each call, so that there are as many as one message makes.
    fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }
}

/// Whether the first of two ends is the later one; `None`: it does not end.
fn longer(a: Option<Instant>, b: Option<Instant>) -> bool {
    match (a, b) {
        (None, b) => b.is_some(),
        (Some(_), None) => false,
        (Some(a), Some(b)) => a > b,
    }
}

fn is_link_local(cidr: Cidr) -> bool {
    cidr.addr6().is_some_and(|a| a.is_unicast_link_local())
}

/// When a lifetime of so many seconds ends; all ones is for ever (RFC 4861 §4.6.2).
pub(super) fn end(now: Instant, lifetime: u32) -> Option<Instant> {
    let ends = lifetime != u32::MAX;
    ends.then(|| now + Duration::from_secs(u64::from(lifetime)))
}

#[cfg(test)]
#[path = "tests/autoconf.rs"]
mod tests;
