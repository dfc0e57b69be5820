//! A router makes itself known on a link: when it advertises itself there.
//!
//! ```text
//!            start()                                   stop()
//!   [silent] -------> [advertising] ------------------------> [ending] --> [silent]
//!                      |   ^  multicast, then at random within
//!                      v   |  the interval; sooner at first,
//!                     timer    and when somebody asks
//! ```
//!
//! Read first: RFC 4861 §6.2.4 to §6.2.7, §10.
//!
//! Promises:
//! - Nothing is said before [`start`](Advertiser::start), which only the host of an interface that
//!   forwards calls.
//! - Two advertisements to all nodes are never closer than MIN_DELAY_BETWEEN_RAS, whoever asks how
//!   often; but the first one that says that the router goes is sent at once, since there may be no
//!   later.
//! - Memory is fixed: whoever asks is answered by all nodes' group, and need not be remembered; where
//!   hosts are to be answered alone, so are no more at a time than `MAX_ASKED`, and others by the
//!   group.
//!
//! Left out: what is in an advertisement, which is [`super::advertisement`]'s.

use super::advertisement::{self, Disagreement, Occasion};
use super::ndp::{ALL_NODES, Outgoing};
use crate::rng::Rng;
use crate::time::{Duration, Instant, earliest};
use crate::wire::MacAddr;
use crate::wire::ndp::RouterAdvertisement;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::Ipv6Addr;

pub use super::advertisement::{Config, ConfigError, MoreSpecific, Names, Prefix};

/// RFC 4861 §10: the longest wait before one of the first advertisements.
const MAX_INITIAL_RTR_ADVERT_INTERVAL: Duration = Duration::from_secs(16);
/// How many are the first.
const MAX_INITIAL_RTR_ADVERTISEMENTS: u32 = 3;
/// How often it is said that the router goes.
const MAX_FINAL_RTR_ADVERTISEMENTS: u32 = 3;
/// The longest wait before an answer.
const MAX_RA_DELAY_TIME: Duration = Duration::from_millis(500);
/// Hosts that wait for an answer of their own.
const MAX_ASKED: usize = 16;
/// Contradictions of other routers that are told once.
const MAX_TOLD: usize = 64;

/// What the host must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Another router of the link contradicts what is advertised; told once of each.
    Disagrees(Ipv6Addr, Disagreement),
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Solicitations received, and valid.
    pub solicitations_in: u64,
    /// Advertisements given to the link; one that took several messages counts each.
    pub advertisements_out: u64,
    /// Of those, the ones to one host.
    pub unicast_out: u64,
    /// Advertisements of other routers, valid.
    pub advertisements_in: u64,
    /// What in them contradicted ours.
    pub disagreements: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Silent,
    /// With so many of the first advertisements still to come.
    Advertising(u32),
    /// With so many of the last.
    Ending(u32),
}

/// The advertisements of one interface.
#[derive(Clone, Debug)]
pub struct Advertiser {
    config: Config,
    rng: Rng,
    /// Bytes of a message that fit a packet of the link.
    room: usize,
    phase: Phase,
    began: Option<Instant>,
    next_at: Option<Instant>,
    /// Somebody asked, and `next_at` says when the answer comes.
    answering: bool,
    last_at: Option<Instant>,
    due: bool,
    /// Who is to be answered alone, and when.
    asked: VecDeque<(Instant, Ipv6Addr)>,
    /// Who is to be now.
    answers: VecDeque<Ipv6Addr>,
    /// The rest of an advertisement that takes several messages.
    parts: VecDeque<Outgoing>,
    told: Vec<(Ipv6Addr, Disagreement)>,
    events: VecDeque<Event>,
    stats: Stats,
}

impl Advertiser {
    /// Silent; messages have at most `room` bytes.
    #[must_use]
    pub fn new(config: Config, room: usize, rng: Rng) -> Self {
        Self {
            config,
            rng,
            room,
            phase: Phase::Silent,
            began: None,
            next_at: None,
            answering: false,
            last_at: None,
            due: false,
            asked: VecDeque::new(),
            answers: VecDeque::new(),
            parts: VecDeque::new(),
            told: Vec::new(),
            events: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Begins to advertise; without effect where it does.
    //= RFC 4861 §6.2.2 an interface becomes an advertising one when it is enabled, with an address.
    pub fn start(&mut self, now: Instant) {
        if self.is_advertising() {
            return;
        }
        self.phase = Phase::Advertising(MAX_INITIAL_RTR_ADVERTISEMENTS);
        self.began.get_or_insert(now);
        // The first at random as well: routers that come up together shall not all speak at once.
        let wait = self.rng.between(Duration::ZERO, MAX_RA_DELAY_TIME);
        self.schedule(self.earliest(now) + wait);
    }

    /// Ends it, and says so up to three times.
    //= RFC 4861 §6.2.5 a router SHOULD send final advertisements with a Router Lifetime of zero.
    pub fn stop(&mut self, now: Instant) {
        if self.is_advertising() {
            self.phase = Phase::Ending(MAX_FINAL_RTR_ADVERTISEMENTS);
            self.parts.clear();
            self.forget_asked();
            // We differ from §6.2.6's rate for the first of them: who asks us to stop may not wait.
            self.schedule(now);
            self.handle_timeout(now);
        }
    }

    /// Falls silent at once: the link is gone, or our address on it.
    pub fn halt(&mut self) {
        self.phase = Phase::Silent;
        self.next_at = None;
        self.answering = false;
        self.due = false;
        self.parts.clear();
        self.forget_asked();
    }

    /// Whether it advertises.
    #[must_use]
    pub const fn is_advertising(&self) -> bool {
        matches!(self.phase, Phase::Advertising(_))
    }

    /// What it advertises.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// When it advertises next by itself, and when it did last.
    #[must_use]
    pub const fn times(&self) -> (Option<Instant>, Option<Instant>) {
        (self.next_at, self.last_at)
    }

    /// Takes a valid solicitation from `src`.
    //= RFC 4861 §6.2.6 the answer is delayed at random up to MAX_RA_DELAY_TIME, after the first that
    //= asks; where the next advertisement is due sooner, that is the answer; and it is no sooner than
    //= MIN_DELAY_BETWEEN_RAS and the random time after the last.
    pub fn handle_solicitation(&mut self, now: Instant, src: Ipv6Addr) {
        self.stats.solicitations_in += 1;
        if !self.is_advertising() || self.answering || self.due || self.answers_alone(now, src) {
            return;
        }
        let wait = self.rng.between(Duration::ZERO, MAX_RA_DELAY_TIME);
        let at = self.earliest(now) + wait;
        if self.next_at.is_none_or(|next| at < next) {
            self.schedule(at);
            self.answering = true;
        }
    }

    /// Whether who asks gets an answer of its own.
    //= RFC 4861 §6.2.6 a router MAY answer by unicast, unless the source is the unspecified address;
    //= that is delayed at random as well, and held to no rate of messages to all nodes.
    fn answers_alone(&mut self, now: Instant, src: Ipv6Addr) -> bool {
        if !self.config.unicast_answers || src.is_unspecified() {
            return false;
        }
        if self.asked.iter().any(|(_, to)| *to == src) || self.answers.contains(&src) {
            return true;
        }
        let wait = self.rng.between(Duration::ZERO, MAX_RA_DELAY_TIME);
        let room = self.asked.len() + self.answers.len() < MAX_ASKED;
        if room {
            self.asked.push_back((now + wait, src));
        }
        room
    }

    /// Compares what another router says with our own.
    pub fn handle_advertisement(
        &mut self,
        now: Instant,
        src: Ipv6Addr,
        said: &RouterAdvertisement<'_>,
    ) {
        self.stats.advertisements_in += 1;
        let since = advertisement::since(self.began, now);
        for what in advertisement::disagreements(&self.config, since, said) {
            self.stats.disagreements += 1;
            //= RFC 4861 §6.2.7 inconsistencies SHOULD be logged; each once, or they fill the log.
            if self.told.len() < MAX_TOLD && !self.told.contains(&(src, what)) {
                self.told.push((src, what));
                self.events.push_back(Event::Disagrees(src, what));
            }
        }
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something now.
    #[must_use]
    #[inline]
    pub fn has_output(&self) -> bool {
        self.due || !self.parts.is_empty() || !self.answers.is_empty()
    }

    /// The next advertisement, from the station `mac` and its address on the link.
    pub fn poll_transmit(&mut self, now: Instant, mac: MacAddr, src: Ipv6Addr) -> Option<Outgoing> {
        if core::mem::take(&mut self.due) {
            self.compose(now, mac, src);
        } else if self.parts.is_empty()
            && let Some(to) = self.answers.pop_front()
        {
            self.write(now, mac, (src, to));
        }
        let part = self.parts.pop_front()?;
        self.stats.unicast_out += u64::from(part.dst != ALL_NODES);
        self.stats.advertisements_out += 1;
        Some(part)
    }

    fn compose(&mut self, now: Instant, mac: MacAddr, src: Ipv6Addr) {
        self.write(now, mac, (src, ALL_NODES));
        self.last_at = Some(now);
        self.answering = false;
        // Who waits hears it.
        self.forget_asked();
        //= RFC 4861 §6.2.4 the timer is set anew whenever one is sent to all nodes.
        let (low, high) = (self.config.shortest(), self.config.max_interval);
        let mut wait = self.rng.between(low, high);
        match self.phase {
            Phase::Advertising(first) if first > 1 => {
                //= RFC 4861 §6.2.4 the first few are no further apart than 16 seconds.
                wait = wait.min(MAX_INITIAL_RTR_ADVERT_INTERVAL);
                self.phase = Phase::Advertising(first - 1);
            }
            Phase::Ending(last) if last > 1 => {
                wait = self.config.min_delay;
                self.phase = Phase::Ending(last - 1);
            }
            Phase::Advertising(_) => {}
            Phase::Ending(_) | Phase::Silent => {
                self.phase = Phase::Silent;
                return;
            }
        }
        self.schedule(now + wait);
    }

    /// Puts an advertisement from and to these addresses behind what waits.
    fn write(&mut self, now: Instant, mac: MacAddr, ends: (Ipv6Addr, Ipv6Addr)) {
        let occasion = Occasion {
            since: advertisement::since(self.began, now),
            last: matches!(self.phase, Phase::Ending(_)),
        };
        let messages = advertisement::write(&self.config, occasion, mac, self.room, ends);
        self.parts
            .extend(messages.into_iter().map(|message| Outgoing {
                src: ends.0,
                dst: ends.1,
                to: None,
                message,
            }));
    }

    /// When [`handle_timeout`](Self::handle_timeout) has work next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let asked = self.asked.iter().map(|(at, _)| Some(*at));
        asked.fold(self.next_at, earliest)
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_at.is_some_and(|at| at <= now) {
            self.next_at = None;
            self.due = true;
        }
        while let Some(at) = self.asked.iter().position(|(at, _)| *at <= now) {
            let next = self.asked.remove(at).map(|(_, to)| to);
            self.answers.extend(next);
        }
    }

    fn forget_asked(&mut self) {
        self.asked.clear();
        self.answers.clear();
    }

    /// The next thing that the host must know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// When all nodes may be told again.
    //= RFC 4861 §6.2.6 no more than one advertisement every MIN_DELAY_BETWEEN_RAS to all nodes.
    fn earliest(&self, now: Instant) -> Instant {
        self.last_at
            .map_or(now, |last| now.max(last + self.config.min_delay))
    }

    const fn schedule(&mut self, at: Instant) {
        self.next_at = Some(at);
    }
}

#[cfg(test)]
#[path = "tests/advertiser.rs"]
mod tests;
