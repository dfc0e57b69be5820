//! State becomes frames: what waits on an interface, in order of urgency, through the neighbour
//! cache and the link, cut where the MTU asks for it.
//!
//! ```text
//!   ARP, ACD, DAD, NDP -> what the neighbour cache releases -> IGMP, MLD -> replies -> forwarded -> sockets in turn
//!                       \--> next hop's MAC known? else park --> cut to MTU --> link header
//! ```

use super::config::Medium;
use super::event::Who;
use super::ingress::{is_own_net, of_family};
use super::interface::{Hop, group_mac, make_ready};
use super::routing::Way;
use super::{Host, Interface, Readiness, sockets};
use crate::frame::{Frame, GsoKind};
use crate::link::offload;
use crate::machine::{Fate, Port};
use crate::net::arp::request;
use crate::net::icmp::Error;
use crate::net::ip::{self, Accepted, Fragmenter};
use crate::net::ndp::solicitation;
use crate::net::neighbor::{Action, Lookup, Origin, Resolution};
use crate::net::{igmp, ipv4, ipv6};
use crate::reason::DropReason;
use crate::time::Instant;
use crate::wire::zone::is_link_local;
use crate::wire::{EtherType, MacAddr, Protocol, Writer, arp};
use core::net::{IpAddr, Ipv4Addr};

impl Host {
    /// The next frame to leave by `port`.
    #[inline]
    pub(super) fn transmit(&mut self, now: Instant, port: Port) -> Option<Frame> {
        // A port has one interface, but for VLANs. (Frames are large: each function on the way
        // that looks at its result moves it once more.)
        match *self.port_interfaces(port) {
            [at] => self.transmit_interface(now, at),
            _ => self.transmit_vlans(now, port),
        }
    }

    /// As [`poll_transmit`](crate::machine::Machine::poll_transmit), but only what the host's own
    /// machines have to say: ARP, neighbour discovery, groups. Traffic stays where it waits. For a
    /// driver whose queue is full: a deadline that these have missed stays due until they are asked,
    /// so who does not ask goes round in circles. It may drop what it gets.
    pub fn poll_urgent(&mut self, now: Instant, port: Port) -> Option<Frame> {
        self.tcp.forget_note();
        let mut n = 0;
        while let Some(&at) = self.port_interfaces(port).get(n) {
            n += 1;
            let interface = self.interface(at)?;
            if interface.up
                && interface.has_urgent(now)
                && let Some(frame) = self.transmit_urgent(now, at)
            {
                self.count_out(at, frame.len());
                return Some(frame);
            }
        }
        None
    }

    fn transmit_vlans(&mut self, now: Instant, port: Port) -> Option<Frame> {
        let mut n = 0;
        while let Some(&at) = self.port_interfaces(port).get(n) {
            n += 1;
            let frame = self.transmit_interface(now, at);
            if frame.is_some() {
                return frame;
            }
        }
        None
    }

    pub(super) fn count_out(&mut self, at: u16, bytes: usize) {
        self.stats.frames_out += 1;
        if let Some(interface) = self.interfaces.get_mut(usize::from(at)) {
            interface.counters.sent(bytes);
        }
    }

    #[inline]
    fn transmit_interface(&mut self, now: Instant, at: u16) -> Option<Frame> {
        loop {
            let calm = self.is_calm(now);
            let interface = self.interfaces.get_mut(usize::from(at))?;
            if !interface.up {
                return None;
            }
            if !calm
                && interface.has_urgent(now)
                && let Some(frame) = self.transmit_urgent(now, at)
            {
                self.count_out(at, frame.len());
                return Some(frame);
            }
            let Interface {
                queues,
                config,
                neighbors,
                counters,
                ..
            } = self.interfaces.get_mut(usize::from(at))?;
            let mut sender = None;
            let is_reply = !queues.replies.is_empty();
            let chain = if is_reply {
                &mut queues.replies
            } else if !queues.forwarded.is_empty() {
                &mut queues.forwarded
            } else if let Some(who) = queues.sockets.pop_front() {
                let key = match who {
                    Who::Socket(key) => key,
                    Who::Tcp(key) => match self.transmit_tcp(now, at, key) {
                        Some(frame) => return Some(frame),
                        None => continue,
                    },
                    Who::Listener(_) => continue,
                };
                let Some(entry) = self.sockets.get_mut(key) else {
                    continue;
                };
                &mut sender.insert((key, entry)).1.tx
            } else {
                if !calm {
                    self.note_calm(now);
                }
                self.unlist(at);
                return None;
            };
            let Some(first) = self.packets.first_mut(chain) else {
                continue;
            };
            if is_reply {
                queues.reply_bytes -= first.frame.len();
            }
            let cost = first.cost;
            let ready = make_ready(config, neighbors, now, &first.hop, &mut first.frame);
            if ready {
                self.stats.frames_out += 1;
                counters.sent(first.frame.len());
            }
            let place = self.packets.unlink(chain)?;
            if let Some((key, entry)) = sender {
                let (next, room) = entry.has_sent(cost, &self.packets);
                if let Some(next) = next
                    && let Some(interface) = self.interfaces.get_mut(usize::from(next))
                {
                    interface.queues.sockets.push_back(Who::Socket(key));
                    self.list(next);
                }
                if room {
                    self.mark(key, Readiness::WRITABLE);
                }
            }
            let packet = self.packets.at(place)?;
            if ready {
                return Some(core::mem::take(&mut packet.frame));
            }
            let (hop, frame) = (packet.hop, packet.frame.take());
            if let Some(frame) = self.resolve(now, at, hop, frame) {
                self.count_out(at, frame.len());
                return Some(frame);
            }
        }
    }

    /// What comes before queued packets: pieces of one that has begun to leave, ARP and neighbour
    /// discovery, neighbours' parked packets, groups.
    #[cold]
    fn transmit_urgent(&mut self, now: Instant, at: u16) -> Option<Frame> {
        self.calm = None;
        if let Some(frame) = self.next_piece(at) {
            return Some(frame);
        }
        if self.interface(at)?.config.medium == Medium::Ethernet
            && let Some(frame) = self.transmit_link(now, at)
        {
            return Some(frame);
        }
        self.transmit_groups(now, at)
    }

    /// The next piece of the packet that is being cut.
    #[inline]
    fn next_piece(&mut self, at: u16) -> Option<Frame> {
        let interface = self.interface_mut(at)?;
        let (cutter, mac) = interface.cutting.as_mut()?;
        let mac = *mac;
        let Some(mut piece) = cutter.next_fragment() else {
            interface.cutting = None;
            return None;
        };
        let ethertype = ip::ethertype_of(&piece);
        interface.encapsulate(&mut piece, mac, ethertype);
        self.stats.fragments_out += 1;
        Some(piece)
    }

    /// What ARP and neighbour discovery have to say themselves, and what the neighbour cache lets go or gives up.
    #[inline]
    fn transmit_link(&mut self, now: Instant, at: u16) -> Option<Frame> {
        loop {
            let interface = self.interfaces.get_mut(usize::from(at))?;
            let mac = interface.config.mac;
            let packet = interface
                .acd
                .poll_transmit(now, mac)
                .or_else(|| interface.arp.poll_transmit())
                .or_else(|| interface.asked.poll_transmit());
            if let Some((dst, packet)) = packet {
                return Some(self.arp_frame(at, dst, &packet));
            }
            if interface.has_discovery() {
                let frame = self
                    .poll_discovery(now, at)
                    .and_then(|out| self.discovery_frame(at, out));
                match frame {
                    Some(frame) => return Some(frame),
                    None => continue,
                }
            }
            match interface.neighbors.poll_transmit(now)? {
                Action::Solicit {
                    target,
                    to,
                    packet_from,
                    ..
                } => {
                    let frame = match target {
                        IpAddr::V4(target) => interface.source_for(target).map(|src| {
                            let (dst, packet) = request(mac, src, target, to);
                            self.arp_frame(at, dst, &packet)
                        }),
                        IpAddr::V6(target) => interface
                            .solicits_from(target, packet_from)
                            .map(|src| solicitation(mac, src, target, to))
                            .and_then(|out| self.discovery_frame(at, out)),
                    };
                    match frame {
                        Some(frame) => return Some(frame),
                        None => continue,
                    }
                }
                Action::Packet { ip, mac, frame } => {
                    // The last of those that waited: those who wait with more may go on.
                    if self.has_held(at, ip) && self.is_known(now, at, ip) {
                        self.wake_held(now, at, ip);
                    }
                    if let Some(frame) = self.cut(at, mac, frame) {
                        return Some(frame);
                    }
                }
                Action::Failed {
                    ip,
                    reason,
                    packets,
                    ..
                } => {
                    self.stats.drop_out(reason, packets.len() as u64);
                    self.wake_held(now, at, ip);
                    if reason == DropReason::NeighborUnreachable {
                        self.forget_gateway(at, ip);
                        self.note_silent(now, at, ip);
                        for packet in packets {
                            self.unreachable(now, at, packet);
                        }
                    }
                }
            }
        }
    }

    /// Whether a packet for a neighbour could leave now.
    fn is_known(&mut self, now: Instant, at: u16, ip: IpAddr) -> bool {
        let interface = self.interfaces.get_mut(usize::from(at));
        interface.is_some_and(|i| i.neighbors.lookup(now, ip) != Lookup::Unresolved)
    }

    fn arp_frame(&self, at: u16, dst: MacAddr, packet: &arp::Packet) -> Frame {
        let mut frame = Frame::default();
        if let Some(room) = frame.head.push_front(arp::LEN) {
            let written = packet.emit(&mut Writer::new(room));
            debug_assert!(written.is_ok(), "room was made for it");
        }
        if let Some(interface) = self.interface(at) {
            interface.encapsulate(&mut frame, dst, EtherType::ARP);
        }
        frame
    }

    /// The next hop did not answer: tell whoever sent the packet, and the socket if it was ours.
    fn unreachable(&mut self, now: Instant, at: u16, packet: Frame) {
        if self.is_our_own(&packet) {
            self.fail_locally(now, at, &packet);
        } else {
            self.report(now, at, Error::HostUnreachable, packet);
        }
    }

    /// Whether a packet, which starts at its IP header, is from this host.
    fn is_our_own(&self, packet: &Frame) -> bool {
        ip::source(packet).is_some_and(|src| self.own(src).is_some())
    }

    /// Membership reports.
    fn transmit_groups(&mut self, now: Instant, at: u16) -> Option<Frame> {
        let interface = self.interfaces.get_mut(usize::from(at))?;
        let Some((dst, report)) = interface.igmp.poll_transmit(now) else {
            return interface.transmit_listener(now);
        };
        let mut frame = Frame::from_bytes(report.into());
        let out = ipv4::Outgoing {
            tos: igmp::TOS,
            ident: 0,
            dont_fragment: true,
            ttl: igmp::TTL,
            protocol: Protocol::IGMP,
            //= RFC 3376 §4.2.13 without an address yet, 0.0.0.0 is a valid source.
            src: interface.primary4().unwrap_or(Ipv4Addr::UNSPECIFIED),
            dst,
            options: &igmp::ROUTER_ALERT,
        };
        if !ipv4::encapsulate(&mut frame, &out) {
            return None;
        }
        let group = MacAddr::from_ipv4_multicast(dst);
        interface.encapsulate(&mut frame, group, EtherType::IPV4);
        Some(frame)
    }

    /// Adds the link header to a packet that could not be made ready in its place: parks it where
    /// the next hop's MAC is not known, cuts it where it is long.
    #[cold]
    pub(super) fn resolve(
        &mut self,
        now: Instant,
        at: u16,
        hop: Hop,
        frame: Frame,
    ) -> Option<Frame> {
        self.calm = None;
        let interface = self.interfaces.get_mut(usize::from(at))?;
        if interface.config.medium == Medium::Ip {
            return self.cut(at, MacAddr::ZERO, frame);
        }
        let mac = match hop {
            Hop::Broadcast => MacAddr::BROADCAST,
            Hop::Group(group) => group_mac(group),
            Hop::Narrow(group) if ip::is_group(group) => group_mac(group),
            Hop::Neighbor(ip) | Hop::Narrow(ip) => match interface.neighbors.lookup(now, ip) {
                Lookup::Mac(mac) => mac,
                Lookup::Unresolved => return self.park(now, at, ip, frame),
            },
        };
        self.cut(at, mac, frame)
    }

    /// Leaves a packet with the neighbour cache until its next hop is known.
    fn park(&mut self, now: Instant, at: u16, ip: IpAddr, frame: Frame) -> Option<Frame> {
        let origin = match self.is_our_own(&frame) {
            true => Origin::Own,
            false => Origin::Forwarded,
        };
        let interface = self.interfaces.get_mut(usize::from(at))?;
        match interface.neighbors.resolve(now, ip, frame, origin) {
            Resolution::Send(mac, frame) => self.cut(at, mac, frame),
            Resolution::Parked { displaced } => {
                let n = displaced.len() as u64;
                self.stats.drop_out(DropReason::NeighborQueueFull, n);
                self.transmit_link(now, at)
            }
            Resolution::Dropped(reason, frame) => {
                self.stats.drop_out(reason, 1);
                if reason == DropReason::NeighborUnreachable {
                    self.unreachable(now, at, frame);
                }
                None
            }
        }
    }

    /// Adds the link header; starts cutting where the packet exceeds what its way carries.
    #[inline]
    fn cut(&mut self, at: u16, mac: MacAddr, mut frame: Frame) -> Option<Frame> {
        let mtu = self.carries(at, &frame);
        let interface = self.interfaces.get_mut(usize::from(at))?;
        if offload::longest(&frame) <= mtu {
            let ethertype = ip::ethertype_of(&frame);
            interface.encapsulate(&mut frame, mac, ethertype);
            return Some(frame);
        }
        // A segment of a super-frame that fits no more, its path having got narrower since it was
        // made, comes again from its TCP.
        let whole = Some(frame).filter(|frame| frame.offload.gso.is_none());
        // An identification that nobody can foretell (RFC 7739 §5.1); the counters of IPv4 are older.
        let ident = self.rng.next_u32();
        match whole.and_then(|frame| Fragmenter::new(frame, mtu, ident)) {
            Some(cutter) => {
                let interface = self.interfaces.get_mut(usize::from(at))?;
                interface.cutting = Some((cutter, mac));
                self.stats.fragmented += 1;
                self.next_piece(at)
            }
            None => {
                self.stats.drop_out(DropReason::FragmentationNeeded, 1);
                None
            }
        }
    }

    /// Forwards a packet that arrived on interface `at` (RFC 1812 §5.2 and §5.3; RFC 8200 §3).
    pub(super) fn forward(
        &mut self,
        now: Instant,
        at: u16,
        header: &Accepted,
        mut packet: Frame,
    ) -> Result<Fate, DropReason> {
        if !ip::is_forwardable(header.src, header.dst) {
            return Err(of_family(DropReason::Ipv4NotForwardable, header.dst));
        }
        if self.config.hop_by_hop
            && let Err(refusal) = ipv6::check_hop_by_hop(&mut packet, header)
        {
            self.tell_of_refusal(now, at, &refusal, packet);
            return Err(refusal.reason);
        }
        if header.ttl <= 1 {
            //= RFC 1812 §5.3.1 discard at zero, and say so to the sender.
            self.report(now, at, Error::TimeExceeded, packet);
            return Err(DropReason::TtlExpired);
        }
        let way = match self.way(header.dst) {
            Ok(way) => way,
            Err(reason) => {
                self.report_no_way(now, at, header.dst, packet);
                return Err(reason);
            }
        };
        //= RFC 2644 §3 directed broadcasts are not forwarded.
        if way.broadcast || way.local {
            return Err(of_family(DropReason::Ipv4NotForwardable, header.dst));
        }
        //= RFC 4007 §9 a packet does not leave the zone of its source, who is told with code 2.
        if is_link_local(header.src) && way.interface != at {
            self.report(now, at, Error::BeyondScope, packet);
            return Err(of_family(DropReason::Ipv4NotForwardable, header.dst));
        }
        if self.comes_back(at, &way, header.dst) {
            self.report(now, at, Error::HostUnreachable, packet);
            return Err(of_family(DropReason::Ipv4NotForwardable, header.dst));
        }
        let limit = self.config.max_forwarded;
        let out = self
            .interface(way.interface)
            .ok_or(DropReason::InterfaceDown)?;
        if out.queues.forwarded.len() >= limit {
            return Err(DropReason::ForwardQueueFull);
        }
        offload::check(&mut packet);
        let longest = offload::longest(&packet);
        if let Some(gso) = packet.offload.gso {
            let tells = longest > way.mtu && header.dont_fragment;
            let leaves_whole = out.config.tso && gso.kind != GsoKind::Udp && longest <= way.mtu;
            if !tells && !leaves_whole {
                return self.forward_pieces(now, at, header, packet);
            }
        }
        if longest > way.mtu {
            if header.dont_fragment {
                let mtu = u16::try_from(way.mtu).unwrap_or(u16::MAX);
                self.report(now, at, Error::TooBig(mtu), packet);
                return Err(DropReason::FragmentationNeeded);
            }
            packet.complete_checksum();
        }
        self.maybe_redirect(now, at, header, &way, &packet);
        match way.src {
            IpAddr::V4(src) => ipv4::forward(&mut packet, |options| {
                self.update_options(now, src, options)
            }),
            IpAddr::V6(_) => ipv6::forward(&mut packet),
        }
        let hop = self.hop_for(&way, &packet);
        if let Some(interface) = self.interfaces.get_mut(usize::from(way.interface))
            && let Some(place) = self.packets.push(&mut interface.queues.forwarded)
        {
            place.hop = hop;
            place.frame.fill(&mut packet);
        }
        self.list(way.interface);
        Ok(Fate::Forwarded)
    }

    /// Whether a packet would go back by the point-to-point link that it came by, to an address of that
    /// link's that nobody has: the ends would throw it to and fro until its hop limit ends.
    //= RFC 4443 §3.1 it MUST NOT be forwarded back onto the link, and its sender is told with code 3.
    fn comes_back(&self, at: u16, way: &Way, dst: IpAddr) -> bool {
        way.interface == at
            && dst.is_ipv6()
            && self.interface(at).is_some_and(|link| {
                link.config.medium == Medium::Ip && is_own_net(&link.addresses, dst)
            })
    }

    /// Forwards each packet that a super-frame stands for. It counts as one that was forwarded where
    /// any is; the others then are drops on the way out.
    fn forward_pieces(
        &mut self,
        now: Instant,
        at: u16,
        header: &Accepted,
        packet: Frame,
    ) -> Result<Fate, DropReason> {
        let (mut forwarded, mut refused) = (false, None);
        offload::cut(packet, true, |piece| {
            match self.forward(now, at, header, piece) {
                Ok(_) => forwarded = true,
                Err(reason) => refused = Some((reason, refused.map_or(1, |(_, n)| n + 1))),
            }
        });
        match refused {
            Some((reason, pieces)) if forwarded => self.stats.drop_out(reason, pieces),
            Some((reason, _)) => return Err(reason),
            None => {}
        }
        Ok(Fate::Forwarded)
    }

    /// Says why there is no way to `dst`: the network, the host or a policy.
    fn report_no_way(&mut self, now: Instant, at: u16, dst: IpAddr, packet: Frame) {
        use crate::net::route::RouteKind;
        let error = match self.routes.lookup(dst).map(|r| r.kind) {
            Some(RouteKind::Blackhole) => return,
            Some(RouteKind::Unreachable) => Error::HostUnreachable,
            Some(RouteKind::Prohibited) => Error::Prohibited,
            _ => Error::NoRoute,
        };
        self.report(now, at, error, packet);
    }

    /// Tells a sender on the same net that the next hop is its neighbour too.
    fn maybe_redirect(
        &mut self,
        now: Instant,
        at: u16,
        header: &Accepted,
        way: &Way,
        packet: &Frame,
    ) {
        if !self.config.send_redirects || way.interface != at {
            return;
        }
        let hop = match (way.hop, header.src, header.dst) {
            (Hop::Neighbor(IpAddr::V4(hop)), ..) => hop,
            (Hop::Neighbor(IpAddr::V6(hop)), IpAddr::V6(src), IpAddr::V6(dst)) => {
                self.send_redirect(now, at, (src, dst), hop, packet);
                return;
            }
            _ => return,
        };
        //= RFC 1812 §5.2.7.2 when the packet leaves where it came from, and the sender is on the
        //= next hop's net, and there is no source route (those are refused).
        let same_net = |i: &Interface| {
            i.addresses()
                .iter()
                .any(|a| a.cidr.contains(header.src) && a.cidr.contains(IpAddr::V4(hop)))
        };
        if self.interface(at).is_some_and(same_net) {
            self.report(now, at, Error::Redirect(hop), packet.clone());
        }
    }

    /// Sends a packet of ours to ourselves. It is handled at the next timeout, which is due at
    /// once: input never emits, and a socket that answers itself must not recurse.
    pub(super) fn loop_back(&mut self, at: u16, mut frame: Frame) {
        let bytes = self.looped_bytes + frame.len();
        if self.looped.len() >= self.config.max_replies || bytes > self.config.max_reply_bytes {
            self.stats.drop_out(DropReason::ReplyQueueFull, 1);
            return;
        }
        // Of a super-frame it stays open, which is as good here: only so it can be cut.
        if frame.offload.gso.is_none() {
            frame.complete_checksum();
        }
        self.looped_bytes = bytes;
        self.looped.push_back((at, frame));
    }

    /// An error about a packet of our own that never left this host.
    fn fail_locally(&mut self, now: Instant, at: u16, packet: &Frame) {
        sockets::fail(self, now, at, packet);
    }
}
