//! Duplicate address detection: claiming an IPv6 address on a link, and defending it (RFC 4862).
//!
//! ```text
//!   claim() --> [claim::Claims] --probe, announce, defend--> poll_transmit --> ndp::Outgoing
//!                    ^  |
//!    handle_message -+  +--> Usable, ConflictDetected, Lost, Defended
//! ```
//!
//! Read first: RFC 4862 §5.4; RFC 7527 §4 (nonces); RFC 4429 §3 (optimistic); RFC 9131 §6
//! (announcing).
//!
//! Promises:
//! - A conflict is an advertisement of one of our addresses, or a solicitation from nobody for one
//!   that is still probed for. Our own probes, come back, are not, as their nonces tell.
//! - What [`super::claim`] promises: bounded defence, slow probing after many conflicts.
//!
//! What is not defended: whoever answers while we probe keeps us from any address. RFC 4862 §7 says
//! so too, and RFC 3971 is the answer that nobody deploys.
//!
//! Left out: the states, which are [`super::claim`]'s; making another address, which is the host's;
//! telling routers alone before an address is optimistic no more.

use super::claim::{self, Claims, Say};
use super::ndp::{self, Flags, Heard, Outgoing, Valid};
use crate::reason::DropReason;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::MacAddr;
use crate::wire::icmpv6::Message;
use alloc::collections::VecDeque;
use core::net::Ipv6Addr;

pub use super::claim::{Policy, Start, State};

/// What the user of an address must know.
pub type Event = claim::Event<Ipv6Addr>;

/// The constants of RFC 4862 §5.1 and RFC 4861 §10, and a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// DupAddrDetectTransmits: solicitations sent before an address is taken to be unique.
    pub transmits: u32,
    /// RETRANS_TIMER: between them, and quiet after the last.
    pub retrans_timer: Duration,
    /// MAX_RTR_SOLICITATION_DELAY: the first leaves at random within this time.
    pub max_delay: Duration,
    /// MAX_MULTICAST_SOLICIT: so many more after one that came back to us (RFC 7527 §4.1).
    pub more_when_looped: u32,
    /// Between two defences of an address; RFC 4862 §5.4.4 leaves it open, so RFC 5227's.
    pub defend_interval: Duration,
    /// Addresses claimed at most.
    pub max_addresses: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            transmits: 1,
            retrans_timer: Duration::from_secs(1),
            max_delay: Duration::from_secs(1),
            more_when_looped: 3,
            defend_interval: Duration::from_secs(10),
            max_addresses: 1024,
        }
    }
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Those of all claims.
    pub claims: claim::Stats,
    /// Probes of ours that came back.
    pub looped: u64,
}

/// The IPv6 addresses that we claim on one interface.
///
/// ```
/// use stack::net::dad::{Config, Dad, Event, Policy, Start};
/// use stack::{rng::Rng, time::Instant, wire::MacAddr};
/// let (mac, addr) = (MacAddr([2, 0, 0, 0, 0, 1]), "fe80::ff:fe00:1".parse()?);
/// let mut dad = Dad::new(Config::default(), Rng::from_seed(1));
/// assert!(dad.claim(Instant::ZERO, addr, Start::Probe, Policy::Keep));
/// while let Some(now) = dad.poll_timeout() {
///     dad.handle_timeout(now);
///     while dad.poll_transmit(now, mac, false).is_some() {}
/// }
/// assert_eq!(dad.poll_event(), Some(Event::Usable { addr }));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dad {
    claims: Claims<Ipv6Addr>,
    rng: Rng,
    /// Of the latest probes, whichever address they asked for (RFC 7527 §4.2).
    nonces: VecDeque<[u8; NONCE_LEN]>,
    more_when_looped: u32,
    /// As configured.
    retrans_timer: Duration,
    looped: u64,
}

/// The least that RFC 3971 §5.3.2 allows.
pub const NONCE_LEN: usize = 6;
/// Nonces kept: of more probes than are under way at once.
const MAX_NONCES: usize = 64;

impl Dad {
    /// No addresses yet.
    #[must_use]
    pub fn new(config: Config, rng: Rng) -> Self {
        let claims = claim::Config {
            probe_wait: config.max_delay,
            probe_num: config.transmits,
            probe_min: config.retrans_timer,
            probe_max: config.retrans_timer,
            //= RFC 4862 §5.4 an address is unique if nothing is heard within RetransTimer of the
            //= last solicitation.
            announce_wait: config.retrans_timer,
            announce_num: 1,
            defend_interval: config.defend_interval,
            max_addresses: config.max_addresses,
            ..claim::Config::default()
        };
        Self {
            claims: Claims::new(claims, rng.fork("claims")),
            rng,
            nonces: VecDeque::new(),
            more_when_looped: config.more_when_looped,
            retrans_timer: config.retrans_timer,
            looped: 0,
        }
    }

    /// Begins to claim `addr`, anew where it is claimed already. False where there are too many.
    /// The solicited-node group of `addr` must be heard from now on (RFC 4862 §5.4.2).
    pub fn claim(&mut self, now: Instant, addr: Ipv6Addr, start: Start, policy: Policy) -> bool {
        self.claims.claim(now, addr, start, policy)
    }

    /// Gives an address up in silence; false where it was not claimed.
    pub fn release(&mut self, addr: Ipv6Addr) -> bool {
        self.claims.release(addr)
    }

    /// Claims every address anew, each as it began, since the link has come up or moved.
    pub fn restart(&mut self, now: Instant) {
        self.claims.restart(now);
    }

    /// Takes another RetransTimer, as routers give it; `None`: as configured.
    pub fn set_retrans_timer(&mut self, retrans_timer: Option<Duration>) {
        let interval = retrans_timer.unwrap_or(self.retrans_timer);
        self.claims.set_interval(interval);
    }

    /// Where the claim of `addr` stands.
    #[must_use]
    pub fn state(&self, addr: Ipv6Addr) -> Option<State> {
        self.claims.state(addr)
    }

    /// Whether `addr` is being probed for: tentative, or optimistic where it is used meanwhile.
    #[must_use]
    pub fn is_probing(&self, addr: Ipv6Addr) -> bool {
        self.state(addr) == Some(State::Probing)
    }

    /// Takes a valid message that arrived on this interface; with `ours` another interface of this
    /// host sent it, or a hub has sent it back.
    ///
    /// # Errors
    /// [`DropReason::NdpConflict`] where it conflicts with an address of ours, and
    /// [`DropReason::NdpLooped`] for a probe of our own. Any other message is for [`super::ndp`].
    pub fn handle_message(
        &mut self,
        now: Instant,
        heard: &Heard,
        valid: &Valid<'_>,
        ours: bool,
    ) -> Result<(), DropReason> {
        let (addr, wants) = match valid.message {
            //= RFC 4862 §5.4.3 a solicitation from the unspecified address is from a node that does
            //= duplicate address detection, and one from a unicast address resolves.
            Message::NeighborSolicitation(ns) if heard.src.is_unspecified() => (ns.target, true),
            Message::NeighborAdvertisement(na) => (na.target, false),
            _ => return Ok(()),
        };
        let looped = |nonce| self.nonces.iter().any(|n| n.as_slice() == nonce);
        if wants && valid.nonce.is_some_and(looped) {
            //= RFC 7527 §4.2 a solicitation with a nonce of ours is counted and dropped, §4.1 and
            //= makes us ask again.
            self.looped += 1;
            self.claims.prolong(addr, self.more_when_looped);
            return Err(DropReason::NdpLooped);
        }
        // From our own station it may be another that has the same, or ourselves again. Of a probe the
        // nonce tells; and what is probed for is never advertised to a group by ourselves.
        let telling = match wants {
            true => valid.nonce.is_some(),
            false => heard.dst.is_multicast() && self.is_probing(addr),
        };
        let mac = valid.target_mac.unwrap_or(heard.mac);
        if (ours && !telling) || !self.claims.handle_conflict(now, addr, mac, wants) {
            return Ok(());
        }
        Err(DropReason::NdpConflict)
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something now.
    #[must_use]
    #[inline]
    pub fn has_output(&self) -> bool {
        self.claims.has_output()
    }

    /// The next message to send, from the station `mac`, which is a router's or not.
    pub fn poll_transmit(&mut self, now: Instant, mac: MacAddr, router: bool) -> Option<Outgoing> {
        let (addr, say) = self.claims.poll_transmit(now)?;
        let flags = Flags {
            router,
            solicited: false,
            overrides: say == Say::Defend,
        };
        Some(match say {
            Say::Probe => {
                let nonce = self.draw_nonce();
                ndp::probe(addr, &nonce)
            }
            //= RFC 9131 §6.1.2 a new address is told to all routers, Override clear, so that they
            //= need not ask when the first packet for it comes.
            Say::Announce => ndp::advertisement(mac, addr, ndp::ALL_ROUTERS, None, flags),
            Say::Defend => ndp::advertisement(mac, addr, ndp::ALL_NODES, None, flags),
        })
    }

    /// When [`handle_timeout`](Self::handle_timeout) has work next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.claims.poll_timeout()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.claims.handle_timeout(now);
    }

    /// The next thing that the user of an address must know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.claims.poll_event()
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        Stats {
            claims: self.claims.stats(),
            looped: self.looped,
        }
    }

    //= RFC 7527 §4.1 each probe has a nonce of its own, which is kept.
    fn draw_nonce(&mut self) -> [u8; NONCE_LEN] {
        let [a, b, c, d, e, f, ..] = self.rng.next_u64().to_be_bytes();
        let nonce = [a, b, c, d, e, f];
        if self.nonces.len() >= MAX_NONCES {
            self.nonces.pop_front();
        }
        self.nonces.push_back(nonce);
        nonce
    }
}

#[cfg(test)]
#[path = "tests/dad.rs"]
mod tests;
