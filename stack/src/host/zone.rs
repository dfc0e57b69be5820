//! Which link an address of one link is meant on.
//!
//! ```text
//!   connect, bind, send_to --in_zone--> an end whose zone is known --way_to--> Way by that interface
//!   recv_from, accept <-- the zone of the interface that it came by
//! ```
//!
//! Read first: RFC 4007 §6 to §8 and §11; RFC 3493 §3.3 (`sin6_scope_id`).
//!
//! Promises: within the host every end with an address of a link has a zone, no other unicast one
//! has, so that ends are equal where they are the same; nothing is sent to such an address by an
//! interface that was guessed.

use super::Host;
use super::interface::Hop;
use super::routing::Way;
use crate::reason::DropReason;
use crate::wire::zone::{self, Zoned, interface_of, is_link_local, zone_of};
use core::net::{IpAddr, SocketAddr};

/// Why an address has no zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoZone {
    /// None is given, and several interfaces would do.
    Ambiguous,
    /// There is no such interface.
    Unknown,
}

impl Host {
    /// The zone that is called so: by its interface's name, or by its number.
    //= RFC 4007 §11.2 a zone is named by a number at least; names of interfaces MAY be taken.
    #[must_use]
    pub fn zone(&self, name: &str) -> Option<u32> {
        let named = self.interfaces.iter().position(|i| i.name() == name);
        let at = named.and_then(|at| u16::try_from(at).ok());
        let numbered = || name.parse().ok().and_then(interface_of);
        let at = at.or_else(numbered)?;
        self.interface(at).map(|_| zone_of(at))
    }

    /// An end in the form in which the host keeps it: an address of a link with its zone, `bound` where
    /// none is given, or else that of the only link there is; a group with the zone that it is given
    /// with, if any, or `bound`.
    #[inline]
    pub(super) fn in_zone(&self, end: SocketAddr, bound: u32) -> Result<SocketAddr, NoZone> {
        let (addr, port) = (end.ip().to_canonical(), end.port());
        let IpAddr::V6(six) = addr else {
            return Ok(SocketAddr::new(addr, port));
        };
        let given = match zone::of(end) {
            0 => bound,
            zone => zone,
        };
        let scoped = six.is_unicast_link_local() || six.is_multicast();
        let zone = match given {
            _ if !scoped => 0,
            0 if six.is_multicast() => 0,
            0 => zone_of(self.only_link(addr)?),
            zone => {
                let at = interface_of(zone).and_then(|at| self.interface(at));
                at.map(|_| zone).ok_or(NoZone::Unknown)?
            }
        };
        Ok(Zoned { addr, zone }.end(port))
    }

    /// The only interface that an address of a link can be on.
    // We differ: RFC 4007 §6 would have a default zone. With several links there is none here, since the
    // wrong one could be somebody else.
    fn only_link(&self, addr: IpAddr) -> Result<u16, NoZone> {
        let only = |fits: &dyn Fn(&super::Interface) -> bool| {
            let mut all = (0u16..).zip(&self.interfaces).filter(|(_, i)| fits(i));
            let first = all.next().map(|(at, _)| at);
            (first, all.next().is_some())
        };
        let speaks = |i: &super::Interface| i.up && i.speaks_ipv6();
        match (only(&|i| i.holds(addr)), only(&speaks)) {
            ((Some(at), false), _) | ((None, _), (Some(at), false)) => Ok(at),
            ((None, _), (None, _)) => Err(NoZone::Unknown),
            _ => Err(NoZone::Ambiguous),
        }
    }

    /// Whether an end's address may be listened at: ours, or one that others have as well.
    pub(super) fn may_listen_at(&self, end: SocketAddr) -> bool {
        self.holds_end(end) || self.serves_anycast(end.ip())
    }

    /// Whether an address is an anycast one that we were given.
    pub(super) fn serves_anycast(&self, addr: IpAddr) -> bool {
        let given = |i: &super::Interface| i.is_anycast(addr) && i.is_given_anycast(addr);
        addr.is_ipv6() && self.interfaces.iter().any(given)
    }

    /// Whether an end's address is ours, in its zone.
    pub(super) fn holds_end(&self, end: SocketAddr) -> bool {
        match interface_of(zone::of(end)) {
            Some(at) => self.interface(at).is_some_and(|i| i.holds(end.ip())),
            None => self.own(end.ip()).is_some(),
        }
    }

    /// The way to an address in its zone.
    //= RFC 4007 §7 who sends says which zone is meant, and the packet leaves by an interface of it.
    #[inline]
    pub(super) fn way_to(&mut self, to: impl Into<Zoned>) -> Result<Way, DropReason> {
        let to = to.into();
        match interface_of(to.zone) {
            Some(at) if is_link_local(to.addr) || to.addr.is_multicast() => {
                self.way_on(at, to.addr)
            }
            _ => self.way(to.addr),
        }
    }

    /// The way to an address of an interface's link, which may be our own.
    fn way_on(&self, at: u16, dst: IpAddr) -> Result<Way, DropReason> {
        let ours = self.interface(at).filter(|i| i.holds(dst));
        match ours {
            Some(interface) => Ok(Way {
                interface: at,
                hop: Hop::Neighbor(dst),
                src: dst,
                mtu: interface.config.mtu,
                local: true,
                broadcast: false,
            }),
            None => self.way_near(at, dst),
        }
    }
}
