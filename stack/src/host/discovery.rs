//! Neighbour discovery in a host: ICMPv6 to and from the machines of an interface, and the addresses
//! it makes and claims.
//!
//! ```text
//!   ingress --receive_discovery--> ndp::check -> Dad (a conflict?) -> Ndp -> neighbor::Cache
//!   egress <--discovery_frame-- Dad, Ndp, and what the cache asks of IPv6
//! ```
//!
//! Read first: RFC 4861 §6.2 and §7, RFC 4862 §5.3 and §5.4.
//!
//! Promises: a message counts only on a link with stations, where the frame was addressed as the
//! packet, and where there is no fragment header; others may stand in front of it.
//!
//! Left out: telling a router of which only a global address is known from others as a redirect's
//! target, where no neighbour of its station has a link-local one.

use super::config::{DuplicateDetection, InterfaceId, Medium};
use super::icmp::whose;
use super::interface::{Address, Hop, Interface};
use super::routing::Way;
use super::{Event, Host, ingress};
use crate::frame::Frame;
use crate::link::ethernet::Cast;
use crate::link::offload;
use crate::machine::{Consumer, Fate, Port};
use crate::net::dad::{Dad, Policy, Start};
use crate::net::groups::FilterMode;
use crate::net::ip::Accepted;
use crate::net::ndp::{self, Heard, Outgoing, Standing};
use crate::net::neighbor::{self, Claim};
use crate::net::route::{Route, RouteKind, RouteTable};
use crate::net::{advertiser, autoconf, ipv6, mld, routers, slaac};
use crate::reason::DropReason;
use crate::time::Instant;
use crate::wire::icmpv6::Message;
use crate::wire::ndp::solicited_node;
use crate::wire::{Cidr, EtherType, MacAddr, Protocol, icmpv6};
use core::net::{IpAddr, Ipv6Addr};

impl Host {
    /// Whether a packet is one of discovery's, for whoever hears it.
    #[inline]
    pub(super) fn is_discovery(&self, at: u16, header: &Accepted, packet: &mut Frame) -> bool {
        if header.protocol != Protocol::ICMPV6 {
            return false;
        }
        let kind = packet.pull_up(header.header_len + 1);
        let kind = kind.get(header.header_len);
        let (src, dst) = (header.src, header.dst);
        let ours = |i: &Interface| {
            i.holds(dst) || i.hears(dst, src) || i.is_anycast(dst) || self.is_proxied(i, dst)
        };
        kind.is_some_and(|kind| ndp::is_discovery(*kind)) && self.interface(at).is_some_and(ours)
    }

    /// The header of a message of discovery's that stands behind extension headers.
    //= RFC 4861 §6.1 and §7.1 ask for nothing of what stands between the header and the message.
    #[cold]
    pub(super) fn discovery_behind(
        &self,
        at: u16,
        header: &Accepted,
        packet: &mut Frame,
    ) -> Option<Accepted> {
        let mut inner = *header;
        let whole = matches!(ipv6::walk(packet, &mut inner), Ok(None));
        (whole && self.is_discovery(at, &inner, packet)).then_some(inner)
    }

    #[inline(never)]
    pub(super) fn receive_discovery(
        &mut self,
        now: Instant,
        at: u16,
        (cast, mac): (Cast, MacAddr),
        header: &Accepted,
        packet: &Frame,
    ) -> Result<Fate, DropReason> {
        if cast == Cast::Other {
            return Err(DropReason::LinkNotForUs);
        }
        let raw = self.is_raw_wanted(header.protocol) && self.deliver_raw(at, header, packet);
        match self.take_discovery(now, at, mac, header, packet) {
            Err(_) if raw => Ok(Fate::Delivered(Consumer::Raw)),
            fate => fate,
        }
    }

    fn take_discovery(
        &mut self,
        now: Instant,
        at: u16,
        mac: MacAddr,
        header: &Accepted,
        packet: &Frame,
    ) -> Result<Fate, DropReason> {
        self.calm = None;
        //= RFC 6980 §5 what came in fragments, or with a fragment header, MUST be ignored in silence.
        if header.fragmented {
            return Err(DropReason::NdpFragmented);
        }
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (header.src, header.dst) else {
            return Err(DropReason::NdpMalformed);
        };
        let bytes = packet.to_bytes().slice(header.header_len..);
        if !icmpv6::verify(src, dst, &bytes) {
            return Err(DropReason::IcmpBadChecksum);
        }
        let heard = Heard {
            src,
            dst,
            hop_limit: header.ttl,
            mac,
        };
        let valid = ndp::check(&bytes, &heard)?;
        // A hub or an access point may send our own packets back.
        let ours = self.interfaces.iter().any(|i| i.config.mac == mac);
        let Some(interface) = self.interfaces.get_mut(usize::from(at)) else {
            return Err(DropReason::InterfaceDown);
        };
        let checked = interface.dad.handle_message(now, &heard, &valid, ours);
        if checked.is_err() {
            self.pump_claims(now, at);
            return checked.map(|()| Fate::Delivered(Consumer::Icmp));
        }
        let Interface {
            dad,
            addresses,
            anycast,
            ndp,
            neighbors,
            routers,
            advertiser,
            config,
            ..
        } = interface;
        if let Message::RouterAdvertisement(said) = &valid.message
            && config.autoconfigure
            && !self.config.forwarding
        {
            let router = IpAddr::V6(src);
            //= RFC 4861 §6.3.4 a router's link-layer address is recorded, and that it is one.
            if let Some(mac) = valid.source_mac {
                let _ = neighbors.handle_claim(now, router, mac, Claim::Request);
            }
            neighbors.set_router(router, true);
            routers.handle_advertisement(now, src, said);
            // Whose prefix an address is of may have changed, and with it what it is chosen for.
            self.last_way = super::routing::LastWay::default();
            self.pump_routers(now, at);
            return Ok(Fate::Delivered(Consumer::Icmp));
        }
        if let Some(advertiser) = advertiser
            && advertiser.is_advertising()
        {
            match &valid.message {
                Message::RouterSolicitation(_) => {
                    return Ok(self.hear_solicitation(now, at, src, valid.source_mac));
                }
                Message::RouterAdvertisement(said) => {
                    advertiser.handle_advertisement(now, src, said);
                    self.pump_advertiser(at);
                    return Ok(Fate::Delivered(Consumer::Icmp));
                }
                _ => {}
            }
        }
        if let Message::Redirect(said) = &valid.message {
            let (to, dst) = (IpAddr::V6(said.target), IpAddr::V6(said.destination));
            self.redirect(now, at, header.src, dst, to)?;
            self.note_target(now, at, to, valid.target_mac, to != dst);
            return Ok(Fate::Delivered(Consumer::Icmp));
        }
        let local = LocalView {
            addresses,
            dad,
            anycast,
            proxied: &config.proxy_arp,
            routes: &self.routes,
            port: Port(at),
        };
        let gone = ndp.handle_message(now, &heard, &valid, &local, neighbors)?;
        if let Some(addr) = gone {
            //= RFC 4861 §7.2.5 who routes no more is a default router no more.
            routers.forget(addr);
            self.pump_routers(now, at);
        }
        Ok(Fate::Delivered(Consumer::Icmp))
    }

    /// Takes a router solicitation where we advertise ourselves.
    fn hear_solicitation(
        &mut self,
        now: Instant,
        at: u16,
        src: Ipv6Addr,
        mac: Option<MacAddr>,
    ) -> Fate {
        let Some(interface) = self.interface_mut(at) else {
            return Fate::Dropped(DropReason::InterfaceDown);
        };
        //= RFC 4861 §6.2.6 who asks from the unspecified address MUST NOT change the cache; who has an
        //= address is recorded, STALE where that is new, and is no router.
        if !src.is_unspecified() {
            let near = src.is_unicast_link_local()
                || ingress::is_own_net(&interface.addresses, IpAddr::V6(src));
            if let Some(mac) = mac.filter(|_| near) {
                let _ = interface
                    .neighbors
                    .handle_claim(now, src.into(), mac, Claim::Request);
            }
            interface.neighbors.set_router(src.into(), false);
        }
        if let Some(advertiser) = &mut interface.advertiser {
            advertiser.handle_solicitation(now, src);
        }
        Fate::Delivered(Consumer::Icmp)
    }

    /// Begins to advertise on an interface that shall, once it has an address to do so from.
    pub(super) fn start_advertising(&mut self, now: Instant, at: u16) {
        if let Some(interface) = self.interface_mut(at)
            && interface.up
            && interface.link_local().is_some()
            && let Some(advertiser) = &mut interface.advertiser
        {
            advertiser.start(now);
        }
    }

    /// Ends advertising on all interfaces, as before an interface is taken down or the host goes: who
    /// listens is told that there is no router any more (RFC 4861 §6.2.5), at once and, while it is
    /// driven, twice more.
    pub fn stop_advertising(&mut self, now: Instant) {
        self.calm = None;
        let all = self.interfaces.iter_mut().filter(|i| i.up);
        for advertiser in all.filter_map(|i| i.advertiser.as_mut()) {
            advertiser.stop(now);
        }
    }

    /// Takes the news of our advertisements.
    fn pump_advertiser(&mut self, at: u16) {
        while let Some(interface) = self.interfaces.get_mut(usize::from(at))
            && let Some(advertiser) = &mut interface.advertiser
            && let Some(event) = advertiser.poll_event()
        {
            let advertiser::Event::Disagrees(router, what) = event;
            self.tell(Event::RouterDisagrees {
                interface: at,
                router,
                what,
            });
        }
    }

    /// Records what a redirect says of its target.
    //= RFC 4861 §8.3 its link-layer address goes into the cache, STALE where it is new, and it is a
    //= router unless it is the destination itself.
    fn note_target(
        &mut self,
        now: Instant,
        at: u16,
        to: IpAddr,
        mac: Option<MacAddr>,
        routes: bool,
    ) {
        if let Some(interface) = self.interface_mut(at) {
            if let Some(mac) = mac {
                // What the cache refuses it counts, and it is asked for itself then.
                let _ = interface
                    .neighbors
                    .handle_claim(now, to, mac, Claim::Request);
            }
            if routes {
                interface.neighbors.set_router(to, true);
            }
        }
    }

    /// Tells a neighbour that forwards a packet from `src` to `dst` by us that `hop`, on the same link, is
    /// the better first hop. The packet is as it came.
    //= RFC 4861 §8.2 a router SHOULD redirect where the source is a neighbour and a better first hop
    //= is on its link.
    pub(super) fn send_redirect(
        &mut self,
        now: Instant,
        at: u16,
        (src, dst): (Ipv6Addr, Ipv6Addr),
        hop: Ipv6Addr,
        packet: &Frame,
    ) {
        //= RFC 5942 §4 who has an address of a prefix is a neighbour only where that is on the link.
        let back = self.routes.lookup(IpAddr::V6(src));
        if !back.is_some_and(|r| r.kind == RouteKind::OnLink && r.port == Port(at)) {
            return;
        }
        let Some(interface) = self.interface(at) else {
            return;
        };
        let station = |addr: Ipv6Addr| interface.neighbors.neighbor(addr.into())?.mac;
        //= RFC 4861 §8.2 a router's link-local address MUST be the target; a host is its own target.
        let target = match hop == dst || hop.is_unicast_link_local() {
            true => Some(hop),
            false => station(hop).and_then(|mac| link_local_at(&interface.neighbors, mac)),
        };
        //= RFC 4861 §4.5 the source MUST be the link-local address.
        let (Some(target), Some(from)) = (target, interface.link_local()) else {
            return;
        };
        let mac = station(hop);
        //= RFC 4861 §8.2 a router MUST limit the rate of redirects: as that of errors.
        if self.limiter.take(now, whose(IpAddr::V6(src))).is_err() {
            self.stats.drop_out(DropReason::IcmpRateLimited, 1);
            return;
        }
        let mut quote = offload::first(packet.clone());
        quote.complete_checksum();
        let better = (dst, target, mac);
        let out = ndp::redirect(from, src, better, &quote.to_bytes());
        self.stats.icmp_errors_out += 1;
        // Its receiver is asked for where it is not known, so that nothing is to be sent here.
        let frame = self.discovery_frame(at, out);
        debug_assert!(frame.is_none(), "it waits with the replies");
    }

    /// Begins to ask for routers, where an interface shall.
    pub(super) fn ask_routers(&mut self, now: Instant, at: u16) {
        //= RFC 4861 §6.3.7 hosts solicit; a router does not.
        let asks = !self.config.forwarding;
        if let Some(interface) = self.interface_mut(at)
            && interface.config.autoconfigure
            && interface.config.medium == Medium::Ethernet
            && asks
        {
            interface.routers.start(now);
        }
    }

    /// A neighbour did not answer: if it is the default router, another may be.
    pub(super) fn note_silent(&mut self, now: Instant, at: u16, addr: IpAddr) {
        if let IpAddr::V6(addr) = addr
            && let Some(interface) = self.interface_mut(at)
        {
            interface.routers.note_silent(addr);
            self.pump_routers(now, at);
        }
    }

    /// Does what routers have said: routes and addresses.
    pub(super) fn pump_routers(&mut self, now: Instant, at: u16) {
        let everywhere = Cidr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
        let port = Port(at);
        while let Some(interface) = self.interfaces.get_mut(usize::from(at))
            && let Some(event) = interface.routers.poll_event()
        {
            let learned = |route: Route| Route {
                metric: LEARNED_METRIC,
                ..route
            };
            match (event, everywhere) {
                (routers::Event::DefaultRouter(Some(addr)), Some(to)) => {
                    // A full table is to be seen in `routes`.
                    let route = Route::via(to, IpAddr::V6(addr), port);
                    let _ = self.routes.replace(learned(route));
                }
                (routers::Event::DefaultRouter(None), Some(to)) => {
                    self.routes.remove(to, LEARNED_METRIC, port);
                }
                (routers::Event::Route(to, Some(addr)), _) => {
                    let route = Route {
                        metric: LEARNED_METRIC + 1,
                        ..Route::via(to, IpAddr::V6(addr), port)
                    };
                    let _ = self.routes.replace(route);
                }
                (routers::Event::Route(to, None), _) => {
                    self.routes.remove(to, LEARNED_METRIC + 1, port);
                }
                (routers::Event::Link(link), _) => interface.take_link(link),
                (routers::Event::OnLink(prefix), _) => {
                    let _ = self.routes.replace(learned(Route::on_link(prefix, port)));
                }
                (routers::Event::OffLink(prefix), _) => {
                    self.routes.remove(prefix, LEARNED_METRIC, port);
                }
                (routers::Event::Own(event), _) => self.take_own(now, at, event),
                (routers::Event::DefaultRouter(_), None) => {}
            }
            self.forget_routes();
        }
    }

    /// Does what becomes of the addresses that an interface makes for itself.
    fn take_own(&mut self, now: Instant, at: u16, event: autoconf::Event) {
        let addr = match event {
            autoconf::Event::Address(cidr) | autoconf::Event::Temporary(cidr) => {
                let has = |a: &Address| a.cidr.addr() == cidr.addr();
                let held = self.interface(at).map(|i| i.addresses.iter().any(has));
                if held == Some(false) {
                    //= RFC 5942 §4 an address says nothing about what is on the link.
                    self.hold_address(now, at, cidr);
                }
                cidr.addr()
            }
            autoconf::Event::Gone(addr) => {
                self.drop_address(now, at, IpAddr::V6(addr));
                return;
            }
            autoconf::Event::Deprecated(addr, _) => IpAddr::V6(addr),
        };
        let interface = self.interface_mut(at).into_iter();
        let all = interface.flat_map(|i| &mut i.addresses);
        for address in all.filter(|a| a.cidr.addr() == addr) {
            match event {
                autoconf::Event::Deprecated(_, deprecated) => address.deprecated = deprecated,
                autoconf::Event::Temporary(_) => address.temporary = true,
                _ => {}
            }
        }
    }

    /// What discovery itself has to say on an interface.
    pub(super) fn poll_discovery(&mut self, now: Instant, at: u16) -> Option<Outgoing> {
        let router = self.config.forwarding;
        let interface = self.interfaces.get_mut(usize::from(at))?;
        let mac = interface.config.mac;
        let claim = interface.dad.poll_transmit(now, mac, router);
        if claim.is_some() {
            // With its announcement an address may be used.
            self.pump_claims(now, at);
            return claim;
        }
        let answer = interface.ndp.poll_transmit(mac, router);
        if answer.is_some() {
            return answer;
        }
        //= RFC 4861 §4.2 an advertisement's source MUST be the link-local address.
        let link_local = interface.link_local();
        let own = |addr: Ipv6Addr| interface.holds(addr) && !interface.dad.is_probing(addr);
        let wanted = interface
            .advertiser
            .as_ref()
            .and_then(|a| a.config().source);
        let speaker = wanted.map_or(link_local, |wanted| Some(wanted).filter(|src| own(*src)));
        if let Some(advertiser) = &mut interface.advertiser {
            match speaker {
                Some(src) => {
                    let said = advertiser.poll_transmit(now, mac, src);
                    if said.is_some() {
                        return said;
                    }
                }
                None => advertiser.halt(),
            }
        }
        if !interface.routers.poll_transmit(now) {
            return None;
        }
        //= RFC 4429 §3.2 no optimistic address tells where it is.
        Some(ndp::router_solicitation(mac, link_local))
    }

    /// A message of discovery's as a frame; `None` where its receiver has to be found first.
    pub(super) fn discovery_frame(&mut self, at: u16, out: Outgoing) -> Option<Frame> {
        let mut frame = Frame::from_bytes(out.message.into());
        let marks = ipv6::Outgoing {
            tos: 0,
            flow_label: 0,
            hop_limit: ndp::HOP_LIMIT,
            protocol: Protocol::ICMPV6,
            src: out.src,
            dst: out.dst,
        };
        if !ipv6::encapsulate(&mut frame, &marks) {
            return None;
        }
        let group = out.dst.is_multicast();
        let to = out
            .to
            .or(group.then(|| MacAddr::from_ipv6_multicast(out.dst)));
        let interface = self.interface(at)?;
        if let Some(mac) = to {
            interface.encapsulate(&mut frame, mac, EtherType::IPV6);
            return Some(frame);
        }
        let way = Way {
            interface: at,
            hop: Hop::Neighbor(IpAddr::V6(out.dst)),
            src: IpAddr::V6(out.src),
            mtu: interface.mtu_for(IpAddr::V6(out.dst)),
            local: false,
            broadcast: false,
        };
        self.reply(&way, &mut frame);
        None
    }

    /// Gives an interface that speaks IPv6 its link-local address, and hears the groups of an
    /// address.
    pub(super) fn join_ipv6(&mut self, now: Instant, interface: u16, addr: Ipv6Addr) {
        let Some(at) = self.interface(interface) else {
            return;
        };
        if at.config.medium != Medium::Ethernet {
            return;
        }
        let port = at.config.port;
        let has = |a: &Address| a.cidr.addr6().is_some_and(|a| a.is_unicast_link_local());
        let lacks = !at.addresses.iter().any(has);
        if let Some(filter) = self.filter_of(port) {
            //= RFC 4862 §5.4.2 before the first solicitation, an interface MUST join the groups of
            //= all nodes and of the address.
            for group in groups_of(addr) {
                filter.join(MacAddr::from_ipv6_multicast(group));
            }
        }
        let routes = self.config.forwarding;
        if routes
            && self
                .interface(interface)
                .is_some_and(|i| !i.mld.is_member(ndp::ALL_ROUTERS))
        {
            //= RFC 4861 §6.2.2 a router MUST join the group of all routers.
            if let Some(filter) = self.filter_of(port) {
                filter.join(MacAddr::from_ipv6_multicast(ndp::ALL_ROUTERS));
            }
            if let Some(at) = self.interface_mut(interface) {
                let all = FilterMode::Exclude;
                let _ = at.mld.join(now, THE_HOST, ndp::ALL_ROUTERS, all, &[]);
            }
        }
        if let Some(at) = self.interface_mut(interface) {
            // Addresses that end alike share a group, which has been joined then. Where there is no
            // room for it, the address is heard all the same: only routers are not told.
            let group = solicited_node(addr);
            let _ = at.mld.join(now, THE_HOST, group, FilterMode::Exclude, &[]);
        }
        if lacks {
            self.add_link_local(now, interface);
        }
    }

    //= RFC 4862 §5.3 an interface forms a link-local address whenever it becomes enabled.
    pub(super) fn add_link_local(&mut self, now: Instant, interface: u16) {
        let made = |i: &mut Interface| i.routers.autoconf_mut().link_local();
        if let Some(cidr) = self.interface_mut(interface).and_then(made) {
            self.add_address(now, interface, cidr);
        }
    }

    /// Whether a packet for `dst` may be one for whom we are a proxy of.
    fn is_proxied(&self, at: &Interface, dst: IpAddr) -> bool {
        dst.is_ipv6() && at.config.proxy_arp.iter().any(|net| net.contains(dst))
    }

    /// Takes the anycast addresses of an interface anew, since its addresses have changed.
    pub(super) fn update_anycast(&mut self, now: Instant, interface: u16) {
        let routes = self.config.forwarding;
        let Some(at) = self.interface_mut(interface) else {
            return;
        };
        let mut wanted = at.config.anycast.clone();
        //= RFC 4291 §2.6.1 all routers MUST support the anycast address of each subnet they are on;
        //= RFC 6164 §5.1 but not where that is one of two hosts'.
        let networks = at
            .addresses
            .iter()
            .filter(|a| routes && a.cidr.prefix_len() < 127);
        for addr in networks.filter_map(|a| a.cidr.network().addr6()) {
            if !wanted.contains(&addr) {
                wanted.push(addr);
            }
        }
        let ethernet = at.config.medium == Medium::Ethernet;
        let before = core::mem::replace(&mut at.anycast, wanted.clone());
        let port = at.config.port;
        if !ethernet || before == wanted {
            return;
        }
        for addr in wanted.iter().filter(|a| !before.contains(a)) {
            let group = solicited_node(*addr);
            if let Some(at) = self.interface_mut(interface) {
                let all = FilterMode::Exclude;
                let _ = at.mld.join(now, THE_HOST, group, all, &[]);
            }
            if let Some(filter) = self.filter_of(port) {
                filter.join(MacAddr::from_ipv6_multicast(group));
            }
        }
        for addr in before.iter().filter(|a| !wanted.contains(a)) {
            let group = solicited_node(*addr);
            if let Some(filter) = self.filter_of(port) {
                filter.leave(MacAddr::from_ipv6_multicast(group));
            }
            self.leave_group_of(now, interface, group);
        }
    }

    /// Leaves a group that went with an address, unless another address shares it.
    fn leave_group_of(&mut self, now: Instant, interface: u16, group: Ipv6Addr) {
        if let Some(at) = self.interface_mut(interface) {
            let of = |a: &Address| a.cidr.addr6().map(solicited_node);
            let shared = at.addresses.iter().any(|a| of(a) == Some(group))
                || at.anycast.iter().any(|a| solicited_node(*a) == group);
            if !shared {
                let _ = at.mld.leave(now, THE_HOST, group);
            }
        }
    }

    /// The groups of an address that was removed are heard for its sake no more.
    pub(super) fn leave_ipv6(&mut self, now: Instant, interface: u16, addr: Ipv6Addr) {
        let at = self.interface(interface);
        let Some(at) = at.filter(|i| i.config.medium == Medium::Ethernet) else {
            return;
        };
        let port = at.config.port;
        if let Some(filter) = self.filter_of(port) {
            for group in groups_of(addr) {
                filter.leave(MacAddr::from_ipv6_multicast(group));
            }
        }
        self.leave_group_of(now, interface, solicited_node(addr));
    }
}

/// In place of a socket's number: who joins the groups of our addresses.
const THE_HOST: u32 = u32::MAX;

const fn groups_of(addr: Ipv6Addr) -> [Ipv6Addr; 2] {
    [ndp::ALL_NODES, solicited_node(addr)]
}

impl Interface {
    /// Its link-local address, once that is known to be its own.
    fn link_local(&self) -> Option<Ipv6Addr> {
        let usable = self.addresses.iter().filter(|a| a.usable);
        let mut addrs = usable.filter_map(|a| a.cidr.addr6());
        addrs.find(|a| a.is_unicast_link_local() && !self.dad.is_probing(*a))
    }

    /// The next message of listener discovery.
    pub(super) fn transmit_listener(&mut self, now: Instant) -> Option<Frame> {
        let (dst, mut message) = self.mld.poll_transmit(now)?;
        //= RFC 3810 §5.2.13 reports come from a link-local address; RFC 3590 §4 until there is one,
        //= from the unspecified one, for those bridges that look.
        let src = self.link_local().unwrap_or(Ipv6Addr::UNSPECIFIED);
        mld::seal(&mut message, src, dst);
        let mut frame = Frame::from_bytes(message.into());
        frame.push_front(&mld::ROUTER_ALERT);
        let out = ipv6::Outgoing {
            tos: 0,
            flow_label: 0,
            hop_limit: mld::HOP_LIMIT,
            protocol: Protocol::HOP_BY_HOP,
            src,
            dst,
        };
        if !ipv6::encapsulate(&mut frame, &out) {
            return None;
        }
        self.encapsulate(
            &mut frame,
            MacAddr::from_ipv6_multicast(dst),
            EtherType::IPV6,
        );
        Some(frame)
    }

    /// Begins to claim an IPv6 address; whether it may be used at once.
    pub(super) fn claim_ipv6(&mut self, now: Instant, addr: Ipv6Addr, transmits: u32) -> bool {
        let start = match self.config.duplicate_detection {
            //= RFC 4862 §5.1 DupAddrDetectTransmits of zero: no duplicate address detection.
            _ if transmits == 0 => Start::Announce,
            DuplicateDetection::Off => Start::Announce,
            DuplicateDetection::Optimistic => Start::Optimistic,
            DuplicateDetection::Before => Start::Probe,
        };
        // A host that serves under a configured address keeps it, as in IPv4.
        let claimed = self.dad.claim(now, addr, start, Policy::Keep);
        !claimed || start != Start::Probe
    }

    /// Stops speaking IPv6 where the address that was lost is made from our MAC, which then is
    /// somebody else's too.
    //= RFC 4862 §5.4.5 IP operation on the interface SHOULD be disabled.
    pub(super) fn note_lost(&mut self, addr: Ipv6Addr) {
        let made = slaac::link_local(slaac::eui64(self.config.mac));
        if addr != made || self.config.interface_id != InterfaceId::Eui64 {
            return;
        }
        self.ipv6_disabled = true;
        for address in &mut self.addresses {
            if let Some(addr) = address.cidr.addr6() {
                self.dad.release(addr);
                address.usable = false;
            }
        }
    }

    /// Its address to solicit a neighbour from, on behalf of a packet from `packet_from`: none that
    /// is being probed for.
    pub(super) fn solicits_from(
        &self,
        target: Ipv6Addr,
        packet_from: Option<IpAddr>,
    ) -> Option<Ipv6Addr> {
        //= RFC 4861 §7.2.2 the packet's own source SHOULD be taken where that is ours, since the
        //= answer to the packet will come to it.
        let its = packet_from.and_then(|from| match from {
            IpAddr::V6(from) if self.holds(from) => Some(from),
            _ => None,
        });
        //= RFC 4429 §3.2 no solicitation has an optimistic source.
        let settled = |addr: Ipv6Addr| !self.dad.is_probing(addr);
        its.filter(|addr| settled(*addr))
            .or_else(|| self.source_among(target, settled))
    }
}

/// The link-local address of the router at a station, where that is known.
fn link_local_at(neighbors: &neighbor::Cache, mac: MacAddr) -> Option<Ipv6Addr> {
    let all = neighbors.neighbors();
    let mut there = all.iter().filter(|n| n.mac == Some(mac));
    there.find_map(|n| match n.ip {
        IpAddr::V6(addr) if addr.is_unicast_link_local() => Some(addr),
        _ => None,
    })
}

/// Routes that are learned come after those that are configured; of two to one prefix the link's
/// comes before a router's, which has the next number.
const LEARNED_METRIC: u32 = 1024;

/// What discovery asks about the interface it serves, without borrowing the whole of it.
struct LocalView<'a> {
    addresses: &'a [Address],
    dad: &'a Dad,
    anycast: &'a [Ipv6Addr],
    proxied: &'a [Cidr],
    routes: &'a RouteTable,
    port: Port,
}

impl ndp::Local for LocalView<'_> {
    fn standing(&self, addr: Ipv6Addr) -> Option<Standing> {
        let has = |a: &&Address| a.cidr.addr() == IpAddr::V6(addr);
        let Some(address) = self.addresses.iter().find(has) else {
            return self.anycast.contains(&addr).then_some(Standing::Anycast);
        };
        Some(match (address.usable, self.dad.is_probing(addr)) {
            (false, _) => Standing::Tentative,
            (true, true) => Standing::Optimistic,
            (true, false) => Standing::Assigned,
        })
    }

    fn is_on_link(&self, addr: Ipv6Addr) -> bool {
        addr.is_unicast_link_local() || ingress::is_own_net(self.addresses, IpAddr::V6(addr))
    }

    fn proxies(&self, addr: Ipv6Addr, asker: Ipv6Addr) -> bool {
        // As of ARP: only for what a route leads to by another interface. On the asker's own link the
        // owner answers.
        let elsewhere = |addr: Ipv6Addr| {
            let route = self.routes.lookup(IpAddr::V6(addr));
            route.is_some_and(|r| r.port != self.port)
        };
        let near = asker.is_unicast_link_local() || !elsewhere(asker);
        let listed = |net: &Cidr| net.contains(IpAddr::V6(addr));
        self.proxied.iter().any(listed) && elsewhere(addr) && near
    }

    fn source_to(&self, asker: Ipv6Addr) -> Option<Ipv6Addr> {
        let usable = || self.addresses.iter().filter(|a| a.usable);
        let near = usable().find(|a| a.cidr.contains(IpAddr::V6(asker)));
        let any = || usable().find(|a| a.cidr.addr().is_ipv6());
        near.or_else(any).and_then(|a| a.cidr.addr6())
    }
}
