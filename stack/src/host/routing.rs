//! Where a packet goes and which address it goes from: routes, redirects, own addresses.

use super::interface::{Hop, at_link, is_link_scope};
use super::{Host, Interface};
use crate::frame::Frame;
use crate::link::offload::longest;
use crate::net::ip::{self, Address};
use crate::net::ipv4::MAX_LEN;
use crate::net::route::{Route, RouteError, RouteKind, RouteTable};
use crate::net::select::{self, Candidate, Destination};
use crate::reason::DropReason;
use crate::time::Instant;
use crate::wire::zone::is_link_local;
use crate::wire::{Cidr, EtherType, Protocol, Zoned};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

/// The way to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// The interface to leave by.
    pub(super) interface: u16,
    /// Who takes it next.
    pub(super) hop: Hop,
    /// The source address that fits.
    pub(super) src: IpAddr,
    /// The link's MTU, or the route's where that is smaller.
    pub(super) mtu: usize,
    /// The destination is this host.
    pub(super) local: bool,
    /// The destination is everyone on the link: only for sockets that asked for it.
    pub(super) broadcast: bool,
}

/// The way that was asked for last, where to, and under which generation of the routes: a
/// conversation asks for the same again and again. None to an address of a link.
#[derive(Clone, Debug, Default)]
pub(super) struct LastWay(Option<Last>);

#[derive(Clone, Debug)]
struct Last {
    dst: IpAddr,
    generation: u64,
    way: Way,
    /// The longest packet that leaves without a decision: none where it is not a neighbour that takes
    /// it next.
    longest: usize,
    /// The time to live of what nobody wants another of.
    ttl: u8,
}

/// What is to be known of a way where nothing is to be decided.
pub(super) struct Plain<A> {
    /// The interface to leave by.
    pub(super) interface: u16,
    /// Who takes it next.
    pub(super) hop: Hop,
    /// The source address that fits.
    pub(super) src: A,
    /// The time to live of what nobody wants another of.
    pub(super) ttl: u8,
}

impl LastWay {
    fn new(dst: IpAddr, routes: &RouteTable, way: Way, ttl: u8) -> Self {
        let plain = !way.local && matches!(way.hop, Hop::Neighbor(_));
        Self(Some(Last {
            dst,
            generation: routes.generation(),
            longest: if plain { way.mtu.min(MAX_LEN) } else { 0 },
            ttl,
            way,
        }))
    }

    #[inline(always)]
    fn last(&self, dst: IpAddr, routes: &RouteTable) -> Option<&Last> {
        let last = self.0.as_ref()?;
        (last.dst == dst && last.generation == routes.generation()).then_some(last)
    }

    /// The way of a packet of `len` bytes to `dst`, if that was the last, the routes are still those,
    /// and nothing is to be decided: by a neighbour, from an address of its family, which a route may
    /// say otherwise, and not too long.
    #[inline(always)]
    pub(super) fn plain<A: Address>(
        &self,
        dst: A,
        len: usize,
        routes: &RouteTable,
    ) -> Option<Plain<A>> {
        let last = self.last(dst.into(), routes)?;
        if len > last.longest {
            return None;
        }
        Some(Plain {
            interface: last.way.interface,
            hop: last.way.hop,
            src: A::of(last.way.src)?,
            ttl: last.ttl,
        })
    }
}

/// A first hop learned from a redirect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Redirect {
    pub(super) gateway: IpAddr,
    pub(super) interface: u16,
    pub(super) until: Instant,
}

impl Host {
    /// The way to `dst`.
    #[inline]
    pub(super) fn way(&mut self, dst: IpAddr) -> Result<Way, DropReason> {
        if let Some(last) = self.last_way.last(dst, &self.routes) {
            return Ok(last.way);
        }
        let way = self.find_way(dst)?;
        // The same address on another link is somebody else.
        if !is_link_local(dst) {
            let ttl = self.ttl(0, way.interface, dst);
            self.last_way = LastWay::new(dst, &self.routes, way, ttl);
        }
        Ok(way)
    }

    /// Whether the way to `dst` was asked for last.
    #[cfg(test)]
    pub(super) fn remembers(&self, dst: IpAddr) -> bool {
        self.last_way.last(dst, &self.routes).is_some()
    }

    fn find_way(&self, dst: IpAddr) -> Result<Way, DropReason> {
        if let Some(at) = self.own(dst) {
            let mtu = self.interface(at).map_or(1500, |i| i.config.mtu);
            let hop = Hop::Neighbor(dst);
            return Ok(Way {
                interface: at,
                hop,
                src: dst,
                mtu,
                local: true,
                broadcast: false,
            });
        }
        //= RFC 1122 §3.2.1.3: 0.0.0.0 is no destination, and loopback addresses MUST NOT appear
        //= outside a host; nor may the reserved ones, which everybody drops. (IPv6: RFC 4291 §2.5.)
        if !ip::is_sendable(dst) {
            return Err(DropReason::NoRoute);
        }
        if ip::is_group(dst) {
            let at = self.default_interface(dst).ok_or(DropReason::NoRoute)?;
            return self.way_by(at, dst);
        }
        let route = self.routes.lookup(dst).ok_or(DropReason::NoRoute)?;
        let gateway = match route.kind {
            RouteKind::OnLink => None,
            RouteKind::Via(gateway) => Some(gateway),
            RouteKind::Unreachable => return Err(DropReason::NoRoute),
            RouteKind::Prohibited | RouteKind::Blackhole => {
                return Err(DropReason::RouteProhibited);
            }
        };
        let mut way = self.way_by(route.port.0, gateway.unwrap_or(dst))?;
        // A router's address is often of its link, and ours on that link no source for what lies
        // beyond (RFC 6724 §5, rule 2).
        if let IpAddr::V6(to) = dst
            && gateway.is_some()
            && let Some(interface) = self.interface(way.interface)
            && let Some(src) = interface.source_via(to, gateway, None)
        {
            way.src = IpAddr::V6(src);
        }
        if let Some(src) = route.source {
            way.src = src;
        }
        if let Some(mtu) = route.mtu {
            way.mtu = way.mtu.min(usize::from(mtu));
        }
        self.follow(dst, &mut way);
        Ok(way)
    }

    /// Takes the first hop that a redirect has named for `dst`, if one has.
    //= RFC 1122 §3.2.2.2 a redirect replaces the first hop of the way that the table knows,
    //= and nothing else of it; where that way has moved, it says nothing any more.
    fn follow(&self, dst: IpAddr, way: &mut Way) {
        if let Some(redirect) = self.redirects.get(&at_link(dst, way.interface))
            && redirect.interface == way.interface
            && matches!(way.hop, Hop::Neighbor(_))
        {
            way.hop = Hop::Neighbor(redirect.gateway);
        }
    }

    /// The way back to who sent a packet that came by interface `at`.
    //= RFC 4007 §9 an address of link-local scope is reached by the link it was seen on.
    #[inline]
    pub(super) fn way_back(&mut self, at: u16, dst: IpAddr) -> Result<Way, DropReason> {
        match is_link_local(dst) {
            true => self.way_near(at, dst),
            false => self.way(dst),
        }
    }

    /// The way to an address of the link of an interface, by whom a redirect names for it.
    pub(super) fn way_near(&self, at: u16, dst: IpAddr) -> Result<Way, DropReason> {
        let mut way = self.way_by(at, dst)?;
        self.follow(dst, &mut way);
        Ok(way)
    }

    /// The way to `dst`, which lies on the link of an interface.
    pub(super) fn way_by(&self, at: u16, dst: IpAddr) -> Result<Way, DropReason> {
        let interface = self
            .interface(at)
            .filter(|i| i.up)
            .ok_or(DropReason::InterfaceDown)?;
        let src = match interface.source_to(dst) {
            Some(src) => src,
            //= RFC 1122 §3.3.4.3 the packet still needs an address of ours; any will do.
            None => self.source_elsewhere(dst).ok_or(DropReason::NoRoute)?,
        };
        let everyone = IpAddr::V4(Ipv4Addr::BROADCAST);
        let broadcast = dst == everyone || interface.is_directed_broadcast(dst);
        let hop = if broadcast {
            Hop::Broadcast
        } else if dst.is_multicast() {
            Hop::Group(dst)
        } else {
            Hop::Neighbor(dst)
        };
        let mtu = interface.mtu_for(dst);
        Ok(Way {
            interface: at,
            hop,
            src,
            mtu,
            local: false,
            broadcast,
        })
    }

    /// Our address for what goes to `dst` by a way, by a user's wish for a temporary one or another.
    //= RFC 6724 §5 rule 7: applications MUST be able to reverse the preference.
    pub(super) fn source_by(&self, way: &Way, dst: IpAddr, temporary: Option<bool>) -> IpAddr {
        let (IpAddr::V6(to), Some(_), false) = (dst, temporary, way.local) else {
            return way.src;
        };
        let router = match way.hop {
            Hop::Neighbor(hop) | Hop::Narrow(hop) if hop != dst => Some(hop),
            _ => None,
        };
        let interface = self.interface(way.interface);
        let src = interface.and_then(|i| i.source_via(to, router, temporary));
        src.map_or(way.src, IpAddr::V6)
    }

    /// The address that a packet to `to` would come from, of temporary ones or of others first, where
    /// that is asked for (RFC 5014's `IPV6_PREFER_SRC_TMP` and `IPV6_PREFER_SRC_PUBLIC`); for
    /// [`tcp_connect`](Self::tcp_connect) to be given. `None` without a way.
    pub fn source_for(&mut self, to: impl Into<Zoned>, temporary: Option<bool>) -> Option<IpAddr> {
        let to = self.in_zone(to.into().end(0), 0).ok()?;
        let way = self.way_to(to).ok()?;
        Some(self.source_by(&way, to.ip(), temporary))
    }

    /// An address of ours for a packet to `dst` that leaves by an interface which has none.
    fn source_elsewhere(&self, dst: IpAddr) -> Option<IpAddr> {
        let IpAddr::V6(to) = dst else {
            return self.interfaces.iter().find_map(|i| i.source_to(dst));
        };
        //= RFC 6724 §4 to one link or a group, a packet comes from that interface alone; and an
        //= address of another link means nothing there.
        if is_link_scope(to) || dst.is_multicast() {
            return None;
        }
        let all = self
            .interfaces
            .iter()
            .flat_map(|i| i.candidates(false, None));
        let far = |c: &Candidate| c.cidr.addr6().is_some_and(|a| !is_link_scope(a));
        let (policy, temporary) = (&self.config.address_policy, self.config.prefer_temporary);
        let best = select::source(policy, to, temporary, all.filter(far));
        best.map(|c| c.cidr.addr())
    }

    /// Puts those of a name's addresses in front that are to be tried first (RFC 6724 §6).
    pub fn order_destinations(&self, all: &mut [IpAddr]) {
        let destination = |addr: &IpAddr| {
            let src = self.find_way(*addr).ok().map(|way| way.src);
            let mut ours = self.interfaces.iter().flat_map(|i| i.addresses());
            let from = src.and_then(|src| ours.find(|a| a.cidr.addr() == src));
            Destination {
                addr: *addr,
                source: from.map(|a| a.cidr),
                deprecated: from.is_some_and(|a| a.deprecated),
                encapsulated: false,
            }
        };
        let mut list: Vec<Destination> = all.iter().map(destination).collect();
        select::order(&self.config.address_policy, &mut list);
        for (place, found) in all.iter_mut().zip(&list) {
            *place = found.addr;
        }
    }

    /// Where a packet goes next on its way, and whether it must be cut for it. A super-frame is judged
    /// by the longest packet that it stands for.
    #[inline]
    pub(super) fn hop_for(&self, way: &Way, packet: &Frame) -> Hop {
        if packet.len() <= way.mtu && self.pmtu.is_empty() {
            return way.hop;
        }
        self.narrow_hop(way, packet)
    }

    #[cold]
    fn narrow_hop(&self, way: &Way, packet: &Frame) -> Hop {
        match way.hop {
            //= RFC 8201 §5.2 what goes to a group fits the narrowest of the paths to it.
            Hop::Neighbor(ip) | Hop::Group(ip)
                if longest(packet) > self.carries(way.interface, packet) =>
            {
                Hop::Narrow(ip)
            }
            hop => hop,
        }
    }

    /// How long a packet that leaves by an interface may be without being cut here: as the link
    /// carries, or the route where that is less, and what is known of the path where the packet is
    /// our own. What must not be cut is held up by the link alone: it was looked at before.
    pub(super) fn carries(&self, at: u16, packet: &Frame) -> usize {
        let Some((src, dst)) = self.may_be_cut(packet) else {
            return self.interface(at).map_or(0, |i| i.config.mtu);
        };
        let link = self.interface(at).map_or(0, |i| i.mtu_for(dst));
        let way = self.find_way(dst).ok();
        let route = way.filter(|w| w.interface == at).map(|w| w.mtu);
        //= RFC 1812 §4.2.2.7 a router SHOULD make as few fragments as it can: it cuts for the next
        //= link, and what it knows of the path behind that concerns its own packets.
        let ours = self.own(src).is_some();
        let path = match ours {
            true => self.pmtu.lookup(at_link(dst, at)),
            false => None,
        };
        let known = route.into_iter().chain(path.map(usize::from));
        known.fold(link, usize::min)
    }

    /// The ends of a packet, where it may be cut here.
    fn may_be_cut(&self, packet: &Frame) -> Option<(IpAddr, IpAddr)> {
        let front = packet.front();
        if ip::ethertype_of(packet) == EtherType::IPV4 {
            let (header, _) = crate::wire::ipv4::Header::parse(front).ok()?;
            let ends = (IpAddr::V4(header.src), IpAddr::V4(header.dst));
            return (!header.dont_fragment).then_some(ends);
        }
        //= RFC 8200 §4.5 only the source cuts. (And TCP makes smaller segments instead.)
        let (header, _) = crate::wire::ipv6::Header::parse(front).ok()?;
        let ends = (IpAddr::V6(header.src), IpAddr::V6(header.dst));
        let may = header.next_header != Protocol::TCP && self.own(ends.0).is_some();
        may.then_some(ends)
    }

    /// The interface for groups and the limited broadcast: what the table says, else the first.
    fn default_interface(&self, dst: IpAddr) -> Option<u16> {
        let routed = self.routes.lookup(dst).map(|r| r.port.0);
        routed.or_else(|| {
            let usable = |i: &Interface| i.up && i.source_to(dst).is_some();
            self.interfaces
                .iter()
                .position(usable)
                .and_then(|at| u16::try_from(at).ok())
        })
    }

    /// The interface that holds `addr`.
    #[inline]
    pub(super) fn own(&self, addr: impl Into<IpAddr>) -> Option<u16> {
        let addr = addr.into();
        let at = self.interfaces.iter().position(|i| i.holds(addr))?;
        u16::try_from(at).ok()
    }

    /// Forgets the redirects to a gateway of an interface that does not answer.
    //= RFC 1122 §3.3.1.5: where a gateway fails, another is chosen.
    pub(super) fn forget_gateway(&mut self, at: u16, gateway: IpAddr) {
        let before = self.redirects.len();
        self.redirects
            .retain(|_, r| r.gateway != gateway || r.interface != at);
        if self.redirects.len() != before {
            self.forget_routes();
        }
    }

    /// The way to `dst` by `hop` is doubted: what a redirect said of it is forgotten, and the hop's
    /// answer is asked for when it is used next.
    //= RFC 1122 §3.3.1.4: advice of the transport's is one sign of a dead gateway.
    pub(super) fn doubt_way(&mut self, now: Instant, dst: IpAddr, interface: u16, hop: IpAddr) {
        if self.redirects.remove(&at_link(dst, interface)).is_some() {
            self.forget_routes();
        }
        // This may move a deadline of the cache.
        self.calm = None;
        if let Some(interface) = self.interfaces.get_mut(usize::from(interface)) {
            interface.neighbors.doubt(now, hop);
        }
    }

    /// Forgets remembered ways: addresses, redirects or interfaces changed.
    pub(super) fn forget_routes(&mut self) {
        self.last_way = LastWay::default();
        self.familiar = None;
        self.calm = None;
        self.moves += 1;
    }

    /// Adds a route; its `port` is the number of an interface.
    ///
    /// # Errors
    /// The table is full, or has the route.
    pub fn add_route(&mut self, route: Route) -> Result<(), RouteError> {
        self.forget_routes();
        self.routes.add(route)
    }

    /// Removes a route.
    pub fn remove_route(
        &mut self,
        destination: Cidr,
        metric: u32,
        interface: u16,
    ) -> Option<Route> {
        self.forget_routes();
        self.routes
            .remove(destination, metric, crate::machine::Port(interface))
    }

    /// Follows a redirect for `dst`, after RFC 1122 §3.2.2.2's checks, and RFC 4861 §8.1's that ask for
    /// the first hop. (What is told by neighbour discovery is on the link by definition.)
    pub(super) fn redirect(
        &mut self,
        now: Instant,
        at: u16,
        from: IpAddr,
        dst: IpAddr,
        gateway: IpAddr,
    ) -> Result<(), DropReason> {
        const REFUSED: DropReason = DropReason::IcmpRedirectRefused;
        if !self.config.accept_redirects || self.config.forwarding || self.config.max_redirects == 0
        {
            return Err(REFUSED);
        }
        let way = self.way_to(at_link(dst, at)).map_err(|_| REFUSED)?;
        let key = at_link(dst, at);
        let interface = self.interface(at).ok_or(REFUSED)?;
        let near = super::ingress::is_own_net(interface.addresses(), gateway);
        let on_link = (near || gateway.is_ipv6()) && !interface.is_directed_broadcast(gateway);
        //= RFC 1122 §3.2.2.2 discard a redirect whose gateway is not on the net it came by, or
        //= that is not from the current first hop.
        //= RFC 4861 §8.1 the source is the current first hop towards the destination.
        let from_first_hop = way.interface == at && way.hop == Hop::Neighbor(from);
        if !on_link || !from_first_hop || self.own(gateway).is_some() || way.local {
            return Err(REFUSED);
        }
        if self.redirects.len() >= self.config.max_redirects && !self.redirects.contains_key(&key) {
            let oldest = self
                .redirects
                .iter()
                .min_by_key(|(_, r)| r.until)
                .map(|(d, _)| *d);
            if let Some(oldest) = oldest {
                self.redirects.remove(&oldest);
            }
        }
        let until = now + self.config.redirect_lifetime;
        self.redirects.insert(
            key,
            Redirect {
                gateway,
                interface: at,
                until,
            },
        );
        self.forget_routes();
        self.stats.redirects_in += 1;
        Ok(())
    }
}
