//! Address conflict detection: claiming an IPv4 address on a link, and defending it (RFC 5227).
//!
//! ```text
//!   claim() --> [claim::Claims] --probe, announce, defend--> poll_transmit --> (dst, arp::Packet)
//!                    ^  |
//!     handle_packet -+  +--> Usable, ConflictDetected, Lost, Defended
//! ```
//!
//! Read first: RFC 5227 §1.1, §2; RFC 3927 §2.5 differs only in always broadcasting.
//!
//! Promises:
//! - A conflict is a packet that names one of our addresses as its sender's, or that probes for an
//!   address while we do, and comes from another MAC than ours. Our own packets echoed back are not.
//! - What [`super::claim`] promises: bounded defence, slow probing after many conflicts.
//!
//! What is not defended: whoever sends one forged packet during probing keeps us from the address,
//! and two within DEFEND_INTERVAL take it away under [`Policy::DefendOnce`]. RFC 5227 §5 says so
//! too. [`Policy::Keep`] does not yield, and [`Start::Announce`] does not ask.
//!
//! Left out: the states, which are [`super::claim`]'s; resetting the connections of a lost address
//! (§2.4), which is the host's to do on [`Event::Lost`]; choosing another address, which is the
//! user's or DHCP's.

use super::arp;
use super::claim::{self, Claims, Say};
use crate::reason::DropReason;
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::MacAddr;
use crate::wire::arp::{Operation, Packet};
use core::net::Ipv4Addr;

pub use super::claim::{Config, Policy, Start, State, Stats};

/// What the user of an address must know.
pub type Event = claim::Event<Ipv4Addr>;

/// The IPv4 addresses that we claim on one interface.
///
/// ```
/// use stack::net::acd::{Acd, Config, Event, Policy, Start};
/// use stack::{rng::Rng, time::Instant, wire::MacAddr};
/// let (mac, addr) = (MacAddr([2, 0, 0, 0, 0, 1]), "10.7.0.2".parse()?);
/// let mut acd = Acd::new(Config::default(), Rng::from_seed(1));
/// assert!(acd.claim(Instant::ZERO, addr, Start::Probe, Policy::DefendOnce));
/// while let Some(now) = acd.poll_timeout() {
///     acd.handle_timeout(now);
///     while acd.poll_transmit(now, mac).is_some() {}
/// }
/// assert_eq!(acd.poll_event(), Some(Event::Usable { addr }));
/// assert!(acd.is_usable(addr));
/// # Ok::<(), core::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Acd(Claims<Ipv4Addr>);

impl Acd {
    /// No addresses yet.
    #[must_use]
    pub fn new(config: Config, rng: Rng) -> Self {
        Self(Claims::new(config, rng))
    }

    /// Begins to claim `addr`, anew where it is claimed already. False where there are too many.
    pub fn claim(&mut self, now: Instant, addr: Ipv4Addr, start: Start, policy: Policy) -> bool {
        self.0.claim(now, addr, start, policy)
    }

    /// Gives an address up in silence; false where it was not claimed.
    pub fn release(&mut self, addr: Ipv4Addr) -> bool {
        self.0.release(addr)
    }

    /// Claims every address anew, each as it began, since the link has come up or moved (RFC 5227
    /// §2.1). Those that are probed are not usable until [`Event::Usable`] comes again.
    pub fn restart(&mut self, now: Instant) {
        self.0.restart(now);
    }

    /// Where the claim of `addr` stands.
    #[must_use]
    pub fn state(&self, addr: Ipv4Addr) -> Option<State> {
        self.0.state(addr)
    }

    /// Whether `addr` is ours to use.
    #[must_use]
    pub fn is_usable(&self, addr: Ipv4Addr) -> bool {
        self.0.is_usable(addr)
    }

    /// Takes a packet that arrived on this interface. `is_our_mac` tells the MACs of all our
    /// interfaces, since a hub or an access point may send our own packets back.
    ///
    /// # Errors
    /// [`DropReason::ArpConflict`] where it conflicts with an address of ours. Any other packet is
    /// for [`super::arp`].
    pub fn handle_packet(
        &mut self,
        now: Instant,
        packet: &Packet,
        is_our_mac: impl Fn(MacAddr) -> bool,
    ) -> Result<(), DropReason> {
        let (mac, wants) = (packet.sender_mac, packet.is_probe());
        let addr = if wants {
            packet.target_ip
        } else {
            packet.sender_ip
        };
        let spoken = matches!(packet.operation, Operation::REQUEST | Operation::REPLY);
        if !spoken || !mac.is_unicast() || is_our_mac(mac) {
            return Ok(());
        }
        match self.0.handle_conflict(now, addr, mac, wants) {
            true => Err(DropReason::ArpConflict),
            false => Ok(()),
        }
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something now.
    #[must_use]
    #[inline]
    pub fn has_output(&self) -> bool {
        self.0.has_output()
    }

    /// The next packet to send, and to whom. `mac` is this interface's.
    pub fn poll_transmit(&mut self, now: Instant, mac: MacAddr) -> Option<(MacAddr, Packet)> {
        let (addr, say) = self.0.poll_transmit(now)?;
        let packet = match say {
            Say::Probe => arp::probe(mac, addr),
            Say::Announce | Say::Defend => arp::announcement(mac, addr),
        };
        Some((MacAddr::BROADCAST, packet))
    }

    /// When [`handle_timeout`](Self::handle_timeout) has work next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    /// The next thing that the user of an address must know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.0.poll_event()
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.0.stats()
    }
}

#[cfg(test)]
#[path = "tests/acd.rs"]
mod tests;
