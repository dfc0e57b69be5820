//! A frame comes in: link, network, transport, in that order, each refusing with a reason.
//!
//! ```text
//!   frame -> link (for us? tag?) -> ARP
//!                                -> IPv4, IPv6 (sane? mine? forward?) -> reassembly
//!                                          -> ICMP IGMP UDP TCP raw
//! ```
//!
//! Nothing is sent from here: replies are queued on the interface they leave by.

use super::config::{Medium, ReversePath};
use super::interface::LocalView;
use super::{Event, Host, Interface, zone_of};
use crate::frame::{Frame, Head, Payload};
use crate::link::ethernet::{self, Cast, Received};
use crate::machine::{Consumer, Fate, Port};
use crate::net::arp::Delivery;
use crate::net::icmp::{self, Error};
use crate::net::ip::{self, Accepted, Address, Plain};
use crate::net::reassembly::{Key as FragmentKey, Outcome, Place};
use crate::net::{claim, route::RouteKind};
use crate::net::{ipv4, ipv6};
use crate::reason::DropReason;
use crate::time::Instant;
use crate::transport::{Key, udp};
use crate::wire::ethernet::HEADER_LEN;
use crate::wire::icmpv6::ParameterCode;
use crate::wire::zone::{self, is_link_local};
use crate::wire::{EtherType, MacAddr, Protocol, arp, checksum, igmp};
use bytes::Bytes;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Whom a packet's destination address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Destination {
    Ours,
    Anycast,
    Broadcast,
    Group,
    Elsewhere,
}

/// A sender and one of our addresses: untagged unicast packets between them have passed the checks
/// that depend on nothing else. A conversation is checked once, and again when addresses, routes or
/// interfaces change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Familiar {
    port: Port,
    interface: u16,
    /// Generation of the routes, which the reverse path check asked.
    routes: u64,
    /// The whole link header.
    link: [u8; HEADER_LEN],
    ends: Ends,
}

/// Source and destination address.
#[derive(Clone, Copy, Debug)]
enum Ends {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, Ipv6Addr),
}

impl Host {
    /// Takes a packet of the familiar sender, whole and with nothing between its header and the upper
    /// layer. `None` for all others, and for what is wrong with a packet: the long way says why.
    #[inline(always)]
    fn receive_familiar(
        &mut self,
        now: Instant,
        port: Port,
        frame: &mut Frame,
    ) -> Option<Result<Fate, DropReason>> {
        let known = self.familiar.as_ref()?;
        let (link, packet) = frame.front().split_first_chunk()?;
        let same = known.link == *link && known.port == port;
        if !same || known.routes != self.routes.generation() {
            return None;
        }
        let at = known.interface;
        match known.ends {
            Ends::V4(src, dst) => {
                let header = ipv4::recognise(packet, (src, dst))?;
                self.deliver_familiar(now, at, (src, dst), &header, frame)
            }
            Ends::V6(src, dst) => {
                let header = ipv6::recognise(packet, (src, dst))?;
                self.deliver_familiar(now, at, (src, dst), &header, frame)
            }
        }
    }

    #[inline(always)]
    fn deliver_familiar<A: Address>(
        &mut self,
        now: Instant,
        at: u16,
        ends: (A, A),
        plain: &Plain,
        frame: &mut Frame,
    ) -> Option<Result<Fate, DropReason>> {
        let (src, dst) = (ends.0.into(), ends.1.into());
        let header = Accepted {
            header_len: ip::header_len(&src),
            tos: plain.tos,
            ttl: plain.ttl,
            protocol: plain.protocol,
            protocol_at: ip::protocol_at(&src),
            dont_fragment: plain.dont_fragment,
            fragmented: false,
            src,
            dst,
        };
        let total = plain.len;
        let bytes = frame.len();
        if !(header.header_len..=bytes - HEADER_LEN).contains(&total) {
            return None;
        }
        ethernet::strip(frame, HEADER_LEN);
        if total + HEADER_LEN < bytes {
            frame.truncate(total);
        }
        ipv4::check_note(frame, header.header_len);
        // Counting touches no machine.
        let interface = self.interfaces.get_mut(usize::from(at))?;
        interface.counters.rx_frames += 1;
        interface.counters.rx_bytes += bytes as u64;
        Some(self.deliver_between(now, at, Destination::Ours, ends, &header, frame))
    }

    /// Remembers the sender of a packet that has passed all checks; `link` is its link header,
    /// where that has no tag.
    fn remember(&mut self, at: u16, link: Option<[u8; HEADER_LEN]>, header: &Accepted) {
        let port = self.interface(at).map(|i| i.config.port);
        let ends = match (header.src, header.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => Ends::V4(src, dst),
            (IpAddr::V6(src), IpAddr::V6(dst)) => Ends::V6(src, dst),
            _ => return,
        };
        let (Some(port), Some(link)) = (port, link) else {
            return;
        };
        self.familiar = Some(Familiar {
            port,
            interface: at,
            routes: self.routes.generation(),
            link,
            ends,
        });
    }

    /// Takes a frame off a port: finds its interface, then its protocol.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        port: Port,
        frame: &mut Frame,
    ) -> Result<Fate, DropReason> {
        if let Some(fate) = self.receive_familiar(now, port, frame) {
            return fate;
        }
        let first = self.port_interfaces(port).first().copied();
        let Some(first) = first else {
            return Err(DropReason::InterfaceDown);
        };
        let bytes = frame.len();
        // Counters and the filter move no deadline: what is only forwarded leaves the host calm.
        let Some(interface) = self.interfaces.get_mut(usize::from(first)) else {
            return Err(DropReason::InterfaceDown);
        };
        if interface.config.medium == Medium::Ip {
            interface.counters.rx_frames += 1;
            interface.counters.rx_bytes += bytes as u64;
            if !interface.up {
                return Err(DropReason::InterfaceDown);
            }
            return match frame.front().first().map(|b| b >> 4) {
                Some(6) => self.receive_ipv6(now, first, Cast::Unicast, None, None, frame),
                _ => self.receive_ipv4(now, first, Cast::Unicast, None, frame),
            };
        }
        let link = frame.pull_up(HEADER_LEN).first_chunk().copied();
        let received = interface.filter.receive(frame)?;
        // Directly behind its addresses, the EtherType is the packet's own.
        let plain = bytes == frame.len() + HEADER_LEN;
        let at = self.pick_vlan(port, first, received.vlan)?;
        let Some(interface) = self.interfaces.get_mut(usize::from(at)) else {
            return Err(DropReason::VlanUnknown);
        };
        interface.counters.rx_frames += 1;
        interface.counters.rx_bytes += bytes as u64;
        if !interface.up {
            return Err(DropReason::InterfaceDown);
        }
        let (cast, station) = (received.cast, received.src);
        let link = link.filter(|_| plain && cast == Cast::Unicast);
        match received.ethertype {
            EtherType::IPV4 => self.receive_ipv4(now, at, cast, link, frame),
            EtherType::ARP => self.receive_arp(now, at, received, frame),
            EtherType::IPV6 => self.receive_ipv6(now, at, cast, link, Some(station), frame),
            _ => Err(DropReason::EtherTypeUnknown),
        }
    }

    /// The interface of `port` that a tag belongs to.
    #[inline]
    fn pick_vlan(&self, port: Port, first: u16, vlan: Option<u16>) -> Result<u16, DropReason> {
        let has = |at: u16| self.interface(at).is_some_and(|i| i.config.vlan == vlan);
        if has(first) {
            return Ok(first);
        }
        let found = self
            .port_interfaces(port)
            .iter()
            .copied()
            .find(|&at| has(at));
        found.ok_or(DropReason::VlanUnknown)
    }

    fn receive_arp(
        &mut self,
        now: Instant,
        at: u16,
        link: Received,
        frame: &mut Frame,
    ) -> Result<Fate, DropReason> {
        self.calm = None;
        let front = frame.pull_up(arp::LEN);
        let (packet, _) = arp::Packet::parse(front).map_err(|_| DropReason::ArpMalformed)?;
        let heard = self.hear_arp(at, &packet, link.cast == Cast::Broadcast);
        match self.take_arp(now, at, link, &packet) {
            // What a user asked for has been delivered, whatever else it is good for.
            Err(_) if heard => Ok(Fate::Delivered(Consumer::Arp)),
            fate => fate,
        }
    }

    fn take_arp(
        &mut self,
        now: Instant,
        at: u16,
        link: Received,
        packet: &arp::Packet,
    ) -> Result<Fate, DropReason> {
        self.check_claims(now, at, packet)?;
        let routes = &self.routes;
        let Some(interface) = self.interfaces.get_mut(usize::from(at)) else {
            return Err(DropReason::InterfaceDown);
        };
        let local = LocalView {
            mac: interface.config.mac,
            addresses: &interface.addresses,
            routes,
            interface: Port(at),
        };
        let delivery = match link.cast {
            Cast::Unicast => Delivery::Unicast,
            _ => Delivery::Broadcast,
        };
        interface
            .arp
            .handle_packet(now, packet, delivery, &local, &mut interface.neighbors)?;
        Ok(Fate::Delivered(Consumer::Arp))
    }

    /// Lets ACD see a packet first: it may conflict with an address of ours (RFC 5227 §2.4).
    fn check_claims(
        &mut self,
        now: Instant,
        at: u16,
        packet: &arp::Packet,
    ) -> Result<(), DropReason> {
        // A hub or an access point may send our own packets back.
        let ours = self
            .interfaces
            .iter()
            .any(|i| i.config.mac == packet.sender_mac);
        let Some(interface) = self.interface_mut(at) else {
            return Err(DropReason::InterfaceDown);
        };
        let checked = interface.acd.handle_packet(now, packet, |_| ours);
        if checked.is_err() {
            self.pump_claims(now, at);
        }
        checked
    }

    /// Takes the news of claims: an address became usable, or was lost.
    pub(super) fn pump_claims(&mut self, now: Instant, at: u16) {
        loop {
            let Some(interface) = self.interface_mut(at) else {
                return;
            };
            let event = interface.acd.poll_event().map(|e| e.map(IpAddr::V4));
            let event = event.or_else(|| interface.dad.poll_event().map(|e| e.map(IpAddr::V6)));
            let Some(event) = event else {
                return;
            };
            let interface = at;
            let (addr, usable, told) = match event {
                claim::Event::Usable { addr } => {
                    let told = Event::AddressUsable { interface, addr };
                    (addr, Some(true), told)
                }
                claim::Event::ConflictDetected { addr, mac } | claim::Event::Lost { addr, mac } => {
                    let lost = true;
                    let told = Event::AddressConflict {
                        interface,
                        addr,
                        mac,
                        lost,
                    };
                    (addr, Some(false), told)
                }
                claim::Event::Defended { addr, mac } => {
                    let lost = false;
                    let told = Event::AddressConflict {
                        interface,
                        addr,
                        mac,
                        lost,
                    };
                    (addr, None, told)
                }
            };
            let Some(interface) = self.interface_mut(at) else {
                return;
            };
            if let (IpAddr::V6(addr), Some(false)) = (addr, usable) {
                interface.note_lost(addr);
                interface.routers.autoconf_mut().note_duplicate(now, addr);
            }
            if let Some(usable) = usable {
                for a in &mut interface.addresses {
                    if a.cidr.addr() == addr {
                        a.usable = usable;
                    }
                }
                if let IpAddr::V6(addr) = addr
                    && usable
                    && addr.is_unicast_link_local()
                {
                    //= RFC 3590 §4 what was told from the unspecified address is told again.
                    interface.mld.announce(now);
                    self.start_advertising(now, at);
                }
                self.forget_routes();
            }
            self.tell(told);
            if usable == Some(false) {
                // Another address may be tried.
                self.pump_routers(now, at);
            }
        }
    }

    /// Takes a packet that this host sent to itself: every check but where it comes from.
    pub(super) fn receive_own(
        &mut self,
        now: Instant,
        at: u16,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        let header = match ip::ethertype_of(packet) {
            EtherType::IPV6 => ipv6::accept(packet)?,
            _ => (&ipv4::accept(packet)?).into(),
        };
        match self.classify(at, &header)? {
            Destination::Elsewhere => Err(of_family(DropReason::Ipv4NotForUs, header.dst)),
            destination => self.unfold(now, at, destination, header, true, packet),
        }
    }

    /// Takes an IPv4 packet, link header gone.
    #[inline]
    pub(super) fn receive_ipv4(
        &mut self,
        now: Instant,
        at: u16,
        cast: Cast,
        link: Option<[u8; HEADER_LEN]>,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        let accepted = match ipv4::accept(packet) {
            Ok(accepted) => accepted,
            Err(reason) => {
                if reason == DropReason::Ipv4BadOption && cast == Cast::Unicast {
                    self.report_option(now, at, packet.take());
                }
                return Err(reason);
            }
        };
        let header = Accepted::from(&accepted);
        match self.admit(at, cast, &header)? {
            Destination::Elsewhere => self.forward(now, at, &header, packet.take()),
            destination if accepted.is_fragment() => {
                self.receive_fragment(now, at, destination, &accepted, packet.take())
            }
            destination => {
                if destination == Destination::Ours {
                    self.remember(at, link, &header);
                }
                self.deliver(now, at, destination, &header, packet)
            }
        }
    }

    /// Takes an IPv6 packet, link header gone; `station` sent it, where the link has such.
    #[inline]
    fn receive_ipv6(
        &mut self,
        now: Instant,
        at: u16,
        cast: Cast,
        link: Option<[u8; HEADER_LEN]>,
        station: Option<MacAddr>,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        if !self.interface(at).is_some_and(Interface::speaks_ipv6) {
            return Err(DropReason::Ipv6Disabled);
        }
        let header = ipv6::accept(packet)?;
        // Before its origin is judged: who has an address of ours says so from that address.
        if let Some(mac) = station
            && self.is_discovery(at, &header, packet)
        {
            return self.receive_discovery(now, at, (cast, mac), &header, packet);
        }
        if let Some(mac) = station
            && ipv6::has_extension(&header)
            && let Some(inner) = self.discovery_behind(at, &header, packet)
        {
            return self.receive_discovery(now, at, (cast, mac), &inner, packet);
        }
        if station.is_some() && station == self.interface(at).map(|i| i.config.mac) {
            return Err(DropReason::LinkBadSource);
        }
        let admitted = self.admit(at, cast, &header);
        if admitted == Err(DropReason::Ipv6ReversePath) {
            self.tell_of_ingress(now, at, cast, packet.take());
        }
        match admitted? {
            Destination::Elsewhere => self.forward(now, at, &header, packet.take()),
            destination if is_to_group(cast) => {
                self.unfold_quietly(now, at, destination, header, packet)
            }
            destination => {
                if destination == Destination::Ours {
                    self.remember(at, link, &header);
                }
                self.unfold(now, at, destination, header, true, packet)
            }
        }
    }

    /// Whom a packet that came by a link is for, where that may be: to be forwarded only where we do.
    #[inline]
    fn admit(&self, at: u16, cast: Cast, header: &Accepted) -> Result<Destination, DropReason> {
        let refused = |reason| Err(of_family(reason, header.dst));
        let destination = self.classify(at, header)?;
        if destination == Destination::Ours && header.src == header.dst {
            return refused(DropReason::Ipv4SourceIsOurs);
        }
        self.check_origin(at, header.src)?;
        match destination {
            //= RFC 1122 §3.3.6 a unicast packet in a link broadcast MUST be dropped in silence.
            // Nothing says so of IPv6, where some who balance load send to a station that is a group;
            // but forwarded, one packet would become as many as there are routers.
            Destination::Ours | Destination::Anycast | Destination::Elsewhere
                if is_to_group(cast)
                    && (header.dst.is_ipv4() || destination == Destination::Elsewhere) =>
            {
                refused(DropReason::Ipv4UnicastInGroupFrame)
            }
            _ if cast == Cast::Other => Err(DropReason::LinkNotForUs),
            Destination::Elsewhere if !self.config.forwarding => refused(DropReason::Ipv4NotForUs),
            destination => Ok(destination),
        }
    }

    /// Takes a packet for us that came in a group's frame: as any other, but for the errors, of which
    /// everybody who got it would send one.
    #[cold]
    fn unfold_quietly(
        &mut self,
        now: Instant,
        at: u16,
        destination: Destination,
        header: Accepted,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        self.in_group_frame = true;
        let fate = self.unfold(now, at, destination, header, true, packet);
        self.in_group_frame = false;
        fate
    }

    /// Says that a packet came by another way than leads back to its source.
    //= RFC 4443 §3.1 code 5, where an ingress policy of a router's refuses the source.
    #[cold]
    fn tell_of_ingress(&mut self, now: Instant, at: u16, cast: Cast, packet: Frame) {
        if self.config.forwarding && cast == Cast::Unicast {
            self.report(now, at, Error::SourcePolicy, packet);
        }
    }

    /// Says what is wrong with a packet's headers, if its sender is to be told.
    pub(super) fn tell_of_refusal(
        &mut self,
        now: Instant,
        at: u16,
        refusal: &ipv6::Refusal,
        packet: Frame,
    ) {
        if let Some((code, pointer)) = refusal.problem {
            self.report(now, at, Error::ParameterProblem(code, pointer), packet);
        }
    }

    /// Takes a packet for us, as far as its extension headers, if it may have any. It may be a fragment
    /// but where it has been put together of some.
    #[inline]
    fn unfold(
        &mut self,
        now: Instant,
        at: u16,
        destination: Destination,
        mut header: Accepted,
        may_be_piece: bool,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        if header.src.is_ipv4() {
            return self.deliver(now, at, destination, &header, packet);
        }
        header.fragmented = !may_be_piece;
        match ipv6::walk(packet, &mut header) {
            Ok(None) => self.deliver(now, at, destination, &header, packet),
            // A fragment of fragments: nobody makes such, but to see what becomes of it.
            Ok(Some(_)) if !may_be_piece => Err(DropReason::FragmentMalformed),
            Ok(Some(piece)) => {
                self.receive_piece(now, at, destination, &header, &piece, packet.take())
            }
            Err(refusal) => {
                self.tell_of_refusal(now, at, &refusal, packet.take());
                Err(refusal.reason)
            }
        }
    }

    /// Says which byte of a packet's options is wrong, if the packet was for us to look at.
    fn report_option(&mut self, now: Instant, at: u16, packet: Frame) {
        let front = packet.front();
        let Ok((header, _)) = crate::wire::ipv4::Header::parse(front) else {
            return;
        };
        let mut options = header.options();
        while options.next().is_some_and(|o| o.is_ok()) {}
        let pointer = u32::try_from(20 + options.offset()).unwrap_or(0);
        let code = ParameterCode::ERRONEOUS_FIELD;
        // Who forges its source shall not have us report to ourselves, or to somebody else.
        if self.check_origin(at, IpAddr::V4(header.src)).is_err() {
            return;
        }
        //= RFC 1812 §4.3.3.5 parameter problem, where a header field is wrong.
        if self.config.forwarding || self.own(header.dst).is_some() {
            self.report(now, at, Error::ParameterProblem(code, pointer), packet);
        }
    }

    #[inline]
    fn classify(&self, at: u16, header: &Accepted) -> Result<Destination, DropReason> {
        let Some(interface) = self.interface(at) else {
            return Err(DropReason::InterfaceDown);
        };
        let dst = header.dst;
        if interface.holds(dst) {
            return Ok(Destination::Ours);
        }
        let everyone = IpAddr::V4(Ipv4Addr::BROADCAST);
        if dst == everyone || interface.is_directed_broadcast(dst) {
            return Ok(Destination::Broadcast);
        }
        if dst.is_multicast() {
            return if interface.hears(dst, header.src) {
                Ok(Destination::Group)
            } else {
                Err(of_family(DropReason::Ipv4GroupNotJoined, dst))
            };
        }
        if interface.is_anycast(dst) {
            return Ok(Destination::Anycast);
        }
        //= RFC 4007 §6 what is of link-local scope is of this link, whatever others have.
        if is_link_local(dst) {
            return Ok(Destination::Elsewhere);
        }
        // The weak host model (RFC 1122 §3.3.4.2): an address is the host's, not the interface's.
        if interface.config.any_ip || self.interfaces.iter().any(|i| i.holds(dst)) {
            return Ok(Destination::Ours);
        }
        if self.interfaces.iter().any(|i| i.is_anycast(dst)) {
            return Ok(Destination::Anycast);
        }
        Ok(Destination::Elsewhere)
    }

    /// Refuses packets that claim to come from us, from a broadcast, or the wrong way.
    #[inline]
    fn check_origin(&self, at: u16, src: IpAddr) -> Result<(), DropReason> {
        if src.is_unspecified() {
            return Ok(());
        }
        let one_link = is_link_local(src);
        for (n, interface) in self.interfaces.iter().enumerate() {
            if one_link && n != usize::from(at) {
                continue;
            }
            if interface.holds(src) {
                return Err(of_family(DropReason::Ipv4SourceIsOurs, src));
            }
            if interface.is_directed_broadcast(src) {
                return Err(DropReason::Ipv4MartianSource);
            }
        }
        let mode = self
            .interface(at)
            .map_or(ReversePath::Off, |i| i.config.reverse_path);
        if mode != ReversePath::Off {
            let back = self.routes.lookup(src);
            let right = match (mode, back) {
                (ReversePath::Strict, Some(route)) => route.port == Port(at),
                (_, Some(route)) => {
                    matches!(route.kind, RouteKind::OnLink | RouteKind::Via(_))
                }
                (_, None) => false,
            };
            if !right {
                return Err(of_family(DropReason::Ipv4ReversePath, src));
            }
        }
        Ok(())
    }

    fn receive_fragment(
        &mut self,
        now: Instant,
        at: u16,
        destination: Destination,
        header: &ipv4::Accepted,
        packet: Frame,
    ) -> Result<Fate, DropReason> {
        let key = FragmentKey::v4(header.src, header.dst, header.ident, header.protocol);
        let place = Place {
            offset: usize::from(header.fragment_offset),
            more: header.more_fragments,
            ecn: header.tos & 3,
        };
        self.collect(
            now,
            at,
            destination,
            (key, place),
            header.header_len,
            packet,
        )
    }

    /// A fragment of IPv6; `header` ends with the one that says so.
    fn receive_piece(
        &mut self,
        now: Instant,
        at: u16,
        destination: Destination,
        header: &Accepted,
        piece: &ipv6::Piece,
        packet: Frame,
    ) -> Result<Fate, DropReason> {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (header.src, header.dst) else {
            return Err(DropReason::FragmentMalformed);
        };
        let place = Place {
            offset: usize::from(piece.fragment.offset),
            more: piece.fragment.more,
            ecn: header.tos & 3,
        };
        if header.header_len > Head::CAPACITY {
            return Err(DropReason::Ipv6TooManyHeaders);
        }
        let key = FragmentKey::v6(src, dst, piece.fragment.ident);
        self.collect(
            now,
            at,
            destination,
            (key, place),
            header.header_len,
            packet,
        )
    }

    /// Keeps a fragment, which has `header_len` bytes of headers, or goes on with what it completes.
    fn collect(
        &mut self,
        now: Instant,
        at: u16,
        destination: Destination,
        (key, place): (FragmentKey, Place),
        header_len: usize,
        mut packet: Frame,
    ) -> Result<Fate, DropReason> {
        packet.complete_checksum();
        let first = (place.offset == 0).then(|| {
            let mut head = Head::default();
            packet.pull_up(header_len);
            if let Some(room) = head.push_front(header_len) {
                let bytes = packet.front().get(..header_len).unwrap_or_default();
                room.copy_from_slice(bytes);
            }
            let told = if self.in_group_frame { UNTOLD } else { at };
            (head, told)
        });
        packet.advance(header_len);
        let payload = packet.take_payload();
        self.calm = None;
        let outcome = self.reassembly.insert(now, key, place, payload, first);
        self.pump_reassembly(now);
        match outcome {
            Outcome::Held => Ok(Fate::Held),
            Outcome::Dropped(reason, released) => {
                self.stats
                    .settle(Fate::Dropped(reason), u64::from(released));
                Err(reason)
            }
            Outcome::Complete {
                head: (head, told),
                payload,
                fragments,
                congestion,
                ..
            } => {
                let before = u64::from(fragments.saturating_sub(1));
                let whole = match key.src() {
                    IpAddr::V4(_) => ipv4::reassembled(head.as_slice(), payload, congestion),
                    IpAddr::V6(_) => ipv6::reassembled(head.as_slice(), payload, congestion),
                };
                let (at, loud) = match told {
                    UNTOLD => (at, !core::mem::replace(&mut self.in_group_frame, true)),
                    first => (first, false),
                };
                let fate = whole
                    .ok_or(DropReason::FragmentMalformed)
                    .and_then(|mut whole| {
                        self.stats.reassembled += 1;
                        self.receive_whole(now, at, destination, &mut whole)
                    })
                    .unwrap_or_else(Fate::Dropped);
                self.in_group_frame &= !loud;
                self.stats.settle(fate, before);
                Ok(fate)
            }
        }
    }

    /// A packet that came in fragments.
    fn receive_whole(
        &mut self,
        now: Instant,
        at: u16,
        destination: Destination,
        whole: &mut Frame,
    ) -> Result<Fate, DropReason> {
        if ip::ethertype_of(whole) == EtherType::IPV4 {
            let header = Accepted::from(&ipv4::accept(whole)?);
            return self.deliver(now, at, destination, &header, whole);
        }
        let header = ipv6::accept(whole)?;
        self.unfold(now, at, destination, header, false, whole)
    }

    /// Takes reassembly's news: what was given up, of which the sender may have to be told.
    pub(super) fn pump_reassembly(&mut self, now: Instant) {
        while let Some(expired) = self.reassembly.poll_event() {
            let n = u64::from(expired.fragments);
            self.stats.settle(Fate::Dropped(expired.reason), n);
            let Some((head, at)) = expired.head else {
                continue;
            };
            if expired.reason == DropReason::ReassemblyTimeout {
                //= RFC 1122 §3.3.2 on a reassembly timeout, time exceeded code 1, if the first
                //= fragment came.
                let quote = Frame {
                    head,
                    payload: Payload::from(expired.quote),
                    ..Frame::default()
                };
                self.report(now, at, Error::ReassemblyTime, quote);
            }
        }
    }

    #[inline(always)]
    fn deliver(
        &mut self,
        now: Instant,
        at: u16,
        destination: Destination,
        header: &Accepted,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        match (header.src, header.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                self.deliver_between(now, at, destination, (src, dst), header, packet)
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                self.deliver_between(now, at, destination, (src, dst), header, packet)
            }
            _ => Err(DropReason::ProtocolUnknown),
        }
    }

    /// The same, compiled once for each family.
    #[inline(never)]
    fn deliver_between<A: Address>(
        &mut self,
        now: Instant,
        at: u16,
        destination: Destination,
        ends: (A, A),
        header: &Accepted,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        let src = ends.0.into();
        let raw = !self.raw.is_empty() && self.deliver_raw(at, header, packet);
        let unicast = destination == Destination::Ours;
        // What the others make an answer of is cut by nobody.
        if header.protocol != Protocol::TCP {
            packet.offload.gso = None;
        }
        let fate = match header.protocol {
            //= RFC 4443 §1 each family has its own.
            Protocol::ICMP | Protocol::ICMPV6 if header.protocol == icmp::echo(src).0 => {
                self.receive_icmp(now, at, unicast, ends, header, packet)
            }
            Protocol::UDP => {
                let one = unicast || destination == Destination::Anycast;
                self.receive_udp(now, at, one, ends, header, packet)
            }
            Protocol::TCP => {
                // A connection to an anycast address lasts as long as its routes (RFC 7094); who
                // gives us one answers for these. Of a subnet's routers (RFC 4291 §2.6.1) the next
                // segment may find another, so that no connection begins at their address.
                let ours = unicast || self.serves_anycast(header.dst);
                self.receive_tcp(now, at, ours, header, packet)
            }
            Protocol::IGMP if src.is_ipv4() => self.receive_igmp(now, at, header, packet),
            _ if raw => Ok(Fate::Delivered(Consumer::Raw)),
            _ => {
                if unicast {
                    let error = Error::UnknownProtocol(header.protocol_at);
                    self.report(now, at, error, packet.take());
                }
                Err(DropReason::ProtocolUnknown)
            }
        };
        // What a raw socket took has been delivered, whatever the protocol itself thinks of it.
        if raw && fate.is_err() {
            Ok(Fate::Delivered(Consumer::Raw))
        } else {
            fate
        }
    }

    /// Whether somebody has a raw socket of a protocol.
    pub(super) fn is_raw_wanted(&self, protocol: Protocol) -> bool {
        self.raw.contains_key(&protocol.0)
    }

    /// Gives each raw socket of the protocol its copy; whether there was one.
    #[inline(never)]
    pub(super) fn deliver_raw(&mut self, at: u16, header: &Accepted, packet: &Frame) -> bool {
        let Some(keys) = self.raw.get(&header.protocol.0) else {
            return false;
        };
        let mut taken = false;
        for key in keys.clone() {
            if let Ok(place) = self.push_raw(key, packet.len()) {
                *place = crate::transport::raw::Packet {
                    payload: packet.clone(),
                    from: header.src,
                    to: header.dst,
                    ttl: header.ttl,
                    interface: at,
                    options: Bytes::new(),
                };
                taken = true;
            }
        }
        taken
    }

    #[inline(never)]
    fn receive_igmp(
        &mut self,
        now: Instant,
        at: u16,
        header: &Accepted,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        //= RFC 3376 §4 IGMP messages have a time to live of 1; others have crossed a router.
        if header.ttl != crate::net::igmp::TTL {
            return Err(DropReason::IgmpIgnored);
        }
        packet.advance(header.header_len);
        let bytes = packet.to_bytes();
        if checksum::of(&bytes) != 0 {
            return Err(DropReason::IgmpBadChecksum);
        }
        let (_, message) = igmp::Message::parse(&bytes).map_err(|_| DropReason::IgmpMalformed)?;
        let Some(interface) = self.interface_mut(at) else {
            return Err(DropReason::InterfaceDown);
        };
        let IpAddr::V4(dst) = header.dst else {
            return Err(DropReason::IgmpIgnored);
        };
        interface.igmp.handle_message(now, &message, dst)?;
        Ok(Fate::Delivered(Consumer::Igmp))
    }

    #[inline(always)]
    fn receive_udp<A: Address>(
        &mut self,
        now: Instant,
        at: u16,
        unicast: bool,
        (src, dst): (A, A),
        header: &Accepted,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        let start = header.header_len;
        packet.pull_up(start + 8);
        let (src, dst) = (src.into(), dst.into());
        let udp = udp::check(packet, start, src, dst)?;
        //= RFC 4007 §8 the zones of both addresses go along with them.
        let zone = zone_of(at);
        let (from, to) = (
            zone::end(src, udp.src_port, zone),
            zone::end(dst, udp.dst_port, zone),
        );
        if unicast {
            let Some(key) = self
                .udp
                .find(to, from)
                .filter(|&key| self.udp_socket(key).is_some_and(|s| s.accepts(from)))
            else {
                //= RFC 1122 §4.1.3.1 a datagram for a port nobody has SHOULD be answered so.
                //= RFC 4443 §3.1 so in IPv6, code 4.
                self.report(now, at, Error::PortUnreachable, packet.take());
                return Err(DropReason::UdpNoSocket);
            };
            let len = usize::from(udp.len) - crate::wire::udp::HEADER_LEN;
            let place = self.push_udp(key, len)?;
            fill_datagram(place, packet, header, &udp, from, to, at);
            return Ok(Fate::Delivered(Consumer::Udp));
        }
        self.receive_udp_group(header, &udp, packet, from, to, at)
    }

    /// A group's or broadcast datagram goes to every socket on the port that wants it.
    #[inline(never)]
    fn receive_udp_group(
        &mut self,
        header: &Accepted,
        udp: &crate::wire::udp::Header,
        packet: &mut Frame,
        from: SocketAddr,
        to: SocketAddr,
        at: u16,
    ) -> Result<Fate, DropReason> {
        let mut fate = Err(DropReason::UdpNoSocket);
        let mut datagram = udp::Datagram::default();
        fill_datagram(&mut datagram, packet, header, udp, from, to, at);
        let keys: alloc::vec::Vec<_> = self.udp.on_port(to.port()).to_vec();
        for key in keys {
            let wanted = self
                .udp_socket(key)
                .is_some_and(|s| s.accepts(from) && s.is_at(to.ip()))
                && self.socket_hears(key, at, header);
            if wanted {
                let len = datagram.payload.len();
                match self.push_udp(key, len) {
                    Ok(place) => {
                        place.clone_from(&datagram);
                        fate = Ok(Fate::Delivered(Consumer::Udp));
                    }
                    Err(reason) => fate = fate.or(Err(reason)),
                }
            }
        }
        fate
    }

    /// Whether a socket asked for this group from this source on this interface (RFC 3376 §3.2).
    fn socket_hears(&self, key: Key, at: u16, header: &Accepted) -> bool {
        let one = !header.dst.is_multicast();
        self.interface(at).is_some_and(|i| {
            one && header.dst.is_ipv6() || i.socket_hears(key.number(), header.dst, header.src)
        })
    }
}

/// In place of the interface that a first fragment came by, where nobody is to be told of its fate.
pub(super) const UNTOLD: u16 = u16::MAX;

/// Whether a frame is for more than one station.
const fn is_to_group(cast: Cast) -> bool {
    matches!(cast, Cast::Broadcast | Cast::Multicast)
}

/// A reason of IPv4, or what is the same of IPv6.
pub(super) const fn of_family(reason: DropReason, addr: IpAddr) -> DropReason {
    match addr {
        IpAddr::V4(_) => reason,
        IpAddr::V6(_) => reason.of_ipv6(),
    }
}

/// Writes a datagram into an empty place. Always inline: a datagram is large.
#[inline(always)]
fn fill_datagram(
    place: &mut udp::Datagram,
    packet: &mut Frame,
    header: &Accepted,
    udp: &crate::wire::udp::Header,
    from: SocketAddr,
    to: SocketAddr,
    interface: u16,
) {
    let end = header.header_len + usize::from(udp.len);
    if end != packet.len() {
        packet.truncate(end);
    }
    packet.advance(header.header_len + crate::wire::udp::HEADER_LEN);
    if packet.head.is_empty() {
        core::mem::swap(&mut place.payload, &mut packet.payload);
    } else {
        place.payload = packet.take_payload();
    }
    place.from = from;
    place.to = to;
    place.interface = interface;
    place.ttl = header.ttl;
    place.tos = header.tos;
}

/// Whether a next hop may be the destination itself on its own link.
pub(super) fn is_own_net(addresses: &[super::Address], addr: IpAddr) -> bool {
    addresses.iter().any(|a| a.cidr.contains(addr))
}
