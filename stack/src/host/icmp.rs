//! ICMP in both directions: questions answered, errors reported, errors handed to whom they
//! concern.

use super::flow::Marks;
use super::interface::at_link;
use super::routing::Way;
use super::{Host, Readiness, sockets, zone_of};
use crate::frame::{Checksum, Frame};
use crate::link::offload;
use crate::machine::{Consumer, Fate};
use crate::net::icmp::{self, Error};
use crate::net::ip::{self, Accepted, Address, Quoted};
use crate::net::pmtu::TooBig;
use crate::net::{ipv4, ipv6, mld, ndp};
use crate::reason::DropReason;
use crate::time::Instant;
use crate::transport::{ErrorKind, Key, SocketError, tcp};
use crate::wire::checksum::Sum;
use crate::wire::icmpv4::{self, Message};
use crate::wire::ipv6::MIN_MTU;
use crate::wire::seq::SeqNum;
use crate::wire::{Protocol, Writer, Zoned, icmpv6, tcp as tcp_wire, udp, zone};
use bytes::Bytes;
use core::net::{IpAddr, Ipv4Addr};

impl Host {
    /// ICMP of either family, but for neighbour discovery.
    #[inline(always)]
    pub(super) fn receive_icmp<A: Address>(
        &mut self,
        now: Instant,
        at: u16,
        unicast: bool,
        ends: (A, A),
        header: &Accepted,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        let start = header.header_len;
        packet.pull_up(start + 8);
        if packet.len() < start + 8 {
            return Err(DropReason::IcmpMalformed);
        }
        let mut sum = Sum::new();
        //= RFC 4443 §2.3 of ICMPv6, the checksum covers the addresses as well.
        let (src, dst) = (ends.0.into(), ends.1.into());
        if src.is_ipv6() {
            sum.add_pseudo(src, dst, Protocol::ICMPV6, packet.len() - start);
        }
        packet.sum_from(start, &mut sum);
        if sum.finish() != 0 {
            return Err(DropReason::IcmpBadChecksum);
        }
        let front = packet.front().get(start..).unwrap_or_default();
        let (_, request, reply) = icmp::echo(src);
        match front.first() {
            Some(&kind) if kind == request && !self.config.echo => Err(DropReason::IcmpIgnored),
            Some(&kind) if kind == request && unicast && start == ip::header_len(&src) => {
                self.answer_plain(now, at, ends, header, packet)
            }
            Some(&kind) if kind == request => self.answer_echo(now, at, unicast, header, packet),
            Some(&kind) if kind == reply => self.receive_echo_reply(at, header, packet),
            _ => self.receive_icmp_other(now, at, unicast, header, packet),
        }
    }

    #[inline(never)]
    fn receive_icmp_other(
        &mut self,
        now: Instant,
        at: u16,
        unicast: bool,
        header: &Accepted,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        let kind = packet.front().get(header.header_len).copied();
        match (header.src, kind.unwrap_or_default()) {
            (IpAddr::V4(_), icmpv4::kind::TIMESTAMP_REQUEST) if self.config.timestamps => {
                let millis = self.unix_time(now).millis_since_midnight();
                let reply = |request: &mut Frame| icmp::timestamp_reply(request, millis);
                self.answer(now, at, unicast, header, packet, reply)
            }
            (IpAddr::V4(_), _) => self.receive_icmpv4_error(now, at, header, packet),
            (IpAddr::V6(_), kind) if header.fragmented && ndp::is_discovery(kind) => {
                Err(DropReason::NdpFragmented)
            }
            (IpAddr::V6(_), kind) if mld::is_listener_discovery(kind) => {
                self.receive_mld(now, at, header, packet)
            }
            (IpAddr::V6(_), _) => self.receive_icmpv6_error(now, at, header, packet),
        }
    }

    fn receive_mld(
        &mut self,
        now: Instant,
        at: u16,
        header: &Accepted,
        packet: &Frame,
    ) -> Result<Fate, DropReason> {
        self.calm = None;
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (header.src, header.dst) else {
            return Err(DropReason::MldIgnored);
        };
        let bytes = packet.to_bytes();
        let heard = mld::Heard {
            src,
            dst,
            hop_limit: header.ttl,
            alert: ipv6::has_router_alert(&bytes),
        };
        let message = bytes.get(header.header_len..).unwrap_or_default();
        let interface = self.interface_mut(at).ok_or(DropReason::InterfaceDown)?;
        interface.mld.handle_message(now, message, &heard)?;
        Ok(Fate::Delivered(Consumer::Icmp))
    }

    fn receive_icmpv6_error(
        &mut self,
        now: Instant,
        at: u16,
        header: &Accepted,
        packet: &Frame,
    ) -> Result<Fate, DropReason> {
        self.calm = None;
        let bytes = packet.to_bytes().slice(header.header_len..);
        //= RFC 4443 §2.4 (b) what asks and is not known is dropped in silence.
        if bytes.first().is_none_or(|&kind| !icmpv6::is_error(kind)) {
            return Err(DropReason::IcmpUnknownType);
        }
        let (icmp, message) =
            icmpv6::Message::parse(&bytes).map_err(|_| DropReason::IcmpMalformed)?;
        let kind = ErrorKind::from_icmpv6(&message).ok_or(DropReason::IcmpUnknownType)?;
        let quote = bytes.get(8..).unwrap_or_default();
        self.receive_error(now, at, header, kind, (icmp.kind, icmp.code), quote)
    }

    /// Answers an echo request.
    #[inline(never)]
    fn answer_echo(
        &mut self,
        now: Instant,
        at: u16,
        unicast: bool,
        header: &Accepted,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        let IpAddr::V6(asked) = header.dst else {
            return self.answer(now, at, unicast, header, packet, icmp::echo_reply);
        };
        //= RFC 4443 §4.2 the reply's source is the request's destination, or one of ours where
        //= that was a group's.
        let ours = match unicast {
            true => asked,
            false => match self.way_back(at, header.src)?.src {
                IpAddr::V6(ours) => ours,
                IpAddr::V4(_) => return Err(DropReason::NoRoute),
            },
        };
        let reply = |request: &mut Frame| icmp::echo_reply_v6(request, asked, ours);
        self.answer(now, at, unicast, header, packet, reply)
    }

    /// The same for a request to us alone, without options, from whom the host has sent to last,
    /// and that fits its way: the usual one, made where it is queued.
    #[inline(never)]
    fn answer_plain<A: Address>(
        &mut self,
        now: Instant,
        at: u16,
        (peer, ours): (A, A),
        header: &Accepted,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        let way = self.last_way.plain(peer, packet.len(), &self.routes);
        let Some(way) = way.filter(|_| self.pmtu.is_empty()) else {
            return self.answer_echo(now, at, true, header, packet);
        };
        let (ours, peer) = (ours.into(), peer.into());
        let header_len = ip::header_len(&peer);
        let request = packet.front().get(header_len..);
        let request = request.and_then(<[u8]>::first_chunk);
        let (protocol, _, reply) = icmp::echo(peer);
        let reply = icmp::echo_reply_header(*request.ok_or(DropReason::IcmpMalformed)?, reply);
        let marks = Marks {
            tos: header.tos,
            dont_fragment: false,
            ttl: way.ttl,
            protocol,
            src: ours,
            dst: peer,
            options: &[],
        };
        self.stats.echoes += 1;
        self.note_answer(peer, packet.len());
        let fate = Ok(Fate::Delivered(Consumer::Icmp));
        let Some(interface) = self.interfaces.get_mut(usize::from(way.interface)) else {
            return fate;
        };
        let queues = &mut interface.queues;
        let bytes = queues.reply_bytes + packet.len();
        if queues.replies.len() >= self.config.max_replies || bytes > self.config.max_reply_bytes {
            self.stats.drop_out(DropReason::ReplyQueueFull, 1);
            return fate;
        }
        let Some(place) = self.packets.push(&mut queues.replies) else {
            return fate;
        };
        queues.reply_bytes = bytes;
        packet.advance(header_len + reply.len());
        place.hop = way.hop;
        place.frame.fill(packet);
        place.frame.offload.checksum = Checksum::Complete;
        // It is as long as the request, which was a packet.
        let numbers = &mut self.numbers;
        numbers.encapsulate(&mut place.frame, Some(reply), &marks);
        self.list(way.interface);
        fate
    }

    /// Notes to whom an echo of that many bytes goes, where an error may come back of it: in IPv4 it
    /// is cut on the way, and what fits the least MTU of IPv6 fits all links.
    #[inline]
    fn note_answer(&mut self, peer: IpAddr, len: usize) {
        if len > MIN_MTU && peer.is_ipv6() {
            self.answered.note(peer);
        }
    }

    /// Sends a request back as what `reply` makes of it.
    #[inline(never)]
    fn answer(
        &mut self,
        now: Instant,
        at: u16,
        unicast: bool,
        header: &Accepted,
        packet: &mut Frame,
        reply: impl FnOnce(&mut Frame) -> Option<()>,
    ) -> Result<Fate, DropReason> {
        let groups = match header.dst {
            IpAddr::V4(_) => self.config.echo_broadcast,
            IpAddr::V6(_) => self.config.echo_group,
        };
        // What is asked of an anycast address is asked of one alone.
        let anycast = header.dst.is_ipv6() && !header.dst.is_multicast();
        if !unicast && !groups && !anycast {
            return Err(DropReason::IcmpIgnored);
        }
        let mut options = [0; 40];
        // Those of IPv6 are asked for by their headers' receivers alone.
        let options_len = match header.src {
            IpAddr::V4(_) => header.header_len - 20,
            IpAddr::V6(_) => 0,
        };
        if options_len > 0
            && let (Some(to), Some(from)) = (
                options.get_mut(..options_len),
                packet.front().get(20..header.header_len),
            )
        {
            to.copy_from_slice(from);
        }
        self.note_answer(header.src, packet.len());
        packet.advance(header.header_len);
        reply(packet).ok_or(DropReason::IcmpMalformed)?;
        let way = self.way_back(at, header.src)?;
        //= RFC 1122 §3.2.2.6 the reply's source is the request's destination, where that is ours
        //= alone.
        let src = if unicast { header.dst } else { way.src };
        let options = options.get_mut(..options_len).unwrap_or_default();
        if let IpAddr::V4(src) = src {
            self.update_options(now, src, options);
        }
        let marks = Marks {
            //= RFC 1349 §5.1 a reply has the type of service of the request.
            tos: header.tos,
            dont_fragment: false,
            ttl: self.ttl(0, way.interface, header.src),
            protocol: header.protocol,
            src,
            dst: header.src,
            options,
        };
        if !self.encapsulate(packet, &marks) {
            return Err(DropReason::IcmpMalformed);
        }
        self.stats.echoes += 1;
        self.reply(&way, packet);
        Ok(Fate::Delivered(Consumer::Icmp))
    }

    /// Record route and timestamp: one entry for this host (RFC 1122 §3.2.2.6 and §3.2.1.8).
    pub(super) fn update_options(&self, now: Instant, addr: Ipv4Addr, options: &mut [u8]) {
        use crate::wire::ipv4::{record_route, stamp};
        if options.is_empty() {
            return;
        }
        let _ = record_route(options, addr);
        let millis = self.unix_time(now).millis_since_midnight();
        let _ = stamp(options, addr, |a| self.own(a).is_some(), millis);
    }

    fn receive_icmpv4_error(
        &mut self,
        now: Instant,
        at: u16,
        header: &Accepted,
        packet: &Frame,
    ) -> Result<Fate, DropReason> {
        self.calm = None;
        let bytes = packet.to_bytes().slice(header.header_len..);
        let (icmp, message) = Message::parse(&bytes).map_err(|_| DropReason::IcmpMalformed)?;
        match &message {
            Message::DestinationUnreachable { quote, .. }
            | Message::TimeExceeded { quote, .. }
            | Message::ParameterProblem { quote, .. } => {
                let Some(kind) = ErrorKind::from_icmpv4(&message, icmp.code) else {
                    return Err(DropReason::IcmpUnknownType);
                };
                self.receive_error(now, at, header, kind, (icmp.kind, icmp.code), quote)
            }
            Message::Redirect { gateway, quote, .. } => {
                let (quoted, _) = crate::wire::ipv4::Header::parse(quote)
                    .map_err(|_| DropReason::IcmpMalformed)?;
                if self.own(quoted.src).is_none() {
                    return Err(DropReason::IcmpRedirectRefused);
                }
                let (dst, gateway) = (IpAddr::V4(quoted.dst), IpAddr::V4(*gateway));
                self.redirect(now, at, header.src, dst, gateway)?;
                Ok(Fate::Delivered(Consumer::Icmp))
            }
            //= RFC 9293 §3.9.2.2 MUST-55: source quench is counted, and dropped without a word.
            _ => Err(DropReason::IcmpUnknownType),
        }
    }

    fn receive_echo_reply(
        &mut self,
        at: u16,
        header: &Accepted,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        let front = packet.front().get(header.header_len..);
        let [_, _, _, _, a, b, ..] = *front.unwrap_or_default() else {
            return Err(DropReason::IcmpMalformed);
        };
        let ident = u16::from_be_bytes([a, b]);
        let key = self
            .echo
            .get(&ident)
            .copied()
            .ok_or(DropReason::IcmpNoSocket)?;
        let fixed = ip::header_len(&header.src);
        let options = packet.front().get(fixed..header.header_len);
        let options = match options.unwrap_or_default() {
            [] => Bytes::new(),
            options => Bytes::copy_from_slice(options),
        };
        packet.advance(header.header_len);
        let place = self.push_raw(key, packet.len())?;
        place.payload.fill(packet);
        place.from = header.src;
        place.to = header.dst;
        place.ttl = header.ttl;
        place.interface = at;
        place.options = options;
        Ok(Fate::Delivered(Consumer::Raw))
    }

    /// Hands an error to the socket whose packet it quotes, if that packet is one of ours.
    fn receive_error(
        &mut self,
        now: Instant,
        at: u16,
        header: &Accepted,
        kind: ErrorKind,
        (icmp_type, icmp_code): (u8, u8),
        quote: &[u8],
    ) -> Result<Fate, DropReason> {
        const UNMATCHED: DropReason = DropReason::IcmpQuoteUnmatched;
        let (quoted, rest) = ip::quoted(quote).ok_or(UNMATCHED)?;
        //= RFC 5927 §4 an error is believed only about a packet that we may have sent.
        let may_be = quoted.first && !quoted.cut && quoted.src.is_ipv4() == header.src.is_ipv4();
        let ours = self.own(quoted.src).is_some() || self.serves_anycast(quoted.src);
        if !may_be || !ours {
            return Err(UNMATCHED);
        }
        if quoted.protocol == Protocol::TCP {
            return self.receive_tcp_error(now, at, kind, &quoted, rest);
        }
        //= RFC 8201 §4 MUST: the estimate is reduced, whoever sent what was too big; an echo that we
        //= returned belongs to no socket.
        let answer = quoted.protocol == Protocol::ICMPV6
            && rest.first() == Some(&icmpv6::kind::ECHO_REPLY)
            && self.answered.contains(quoted.dst);
        if let (true, ErrorKind::PacketTooBig { mtu }) = (answer, kind) {
            self.learn_mtu(now, at, &quoted, mtu);
            self.stats.icmp_errors_in += 1;
            return Ok(Fate::Delivered(Consumer::Icmp));
        }
        let (key, port) = self.quoted_socket(at, &quoted, rest).ok_or(UNMATCHED)?;
        let sent = |e: &sockets::Entry| e.sent_to.contains(quoted.dst);
        if !self.sockets.get(key).is_some_and(sent) {
            return Err(UNMATCHED);
        }
        let mut error = SocketError {
            kind,
            offender: header.src,
            to: zone::end(quoted.dst, port, zone_of(at)),
            icmp_type,
            icmp_code,
        };
        if let ErrorKind::PacketTooBig { mtu } = kind {
            let learned = self.learn_mtu(now, at, &quoted, mtu);
            error.kind = ErrorKind::PacketTooBig { mtu: learned };
        }
        self.push_error(key, error);
        self.stats.icmp_errors_in += 1;
        Ok(Fate::Delivered(Consumer::Icmp))
    }

    /// The socket that sent a quoted packet by interface `at`, and the port (or sequence number) it
    /// went to.
    pub(super) fn quoted_socket(
        &self,
        at: u16,
        quoted: &Quoted,
        rest: &[u8],
    ) -> Option<(Key, u16)> {
        let zone = zone_of(at);
        match quoted.protocol {
            Protocol::UDP => {
                let (udp, _) = udp::Header::parse(rest).ok()?;
                let local = zone::end(quoted.src, udp.src_port, zone);
                let remote = zone::end(quoted.dst, udp.dst_port, zone);
                let key = self.udp.find(local, remote)?;
                self.udp_socket(key).filter(|s| s.accepts(remote))?;
                Some((key, udp.dst_port))
            }
            Protocol::ICMP | Protocol::ICMPV6 => {
                let front = rest.first_chunk::<8>()?;
                let [kind, _, _, _, a, b, c, d] = *front;
                let ident = u16::from_be_bytes([a, b]);
                let key = *self.echo.get(&ident)?;
                let request = match quoted.src {
                    IpAddr::V4(_) => icmpv4::kind::ECHO_REQUEST,
                    IpAddr::V6(_) => icmpv6::kind::ECHO_REQUEST,
                };
                (kind == request).then_some((key, u16::from_be_bytes([c, d])))
            }
            other => {
                let key = *self.raw.get(&other.0)?.last()?;
                let port = rest.get(2..4).and_then(|p| p.first_chunk()).copied();
                Some((key, port.map_or(0, u16::from_be_bytes)))
            }
        }
    }

    /// Notes a next-hop MTU; gives what the path is now taken to carry.
    pub(super) fn learn_mtu(&mut self, now: Instant, at: u16, quoted: &Quoted, mtu: u32) -> u32 {
        let (src, dst) = (quoted.src, quoted.dst);
        let way = match dst.is_multicast() {
            true => self.way_of_group(at, src, dst),
            false => self.way_back(at, dst),
        };
        let Ok(way) = way else {
            return mtu;
        };
        let key = at_link(dst, way.interface);
        let link_mtu = u16::try_from(way.mtu).unwrap_or(u16::MAX);
        let report = TooBig {
            next_hop_mtu: u16::try_from(mtu).unwrap_or(u16::MAX),
            packet_len: quoted.total_len,
            header_len: quoted.header_len,
        };
        self.pmtu.update(now, key, link_mtu, report);
        self.pump_path_mtus();
        u32::from(self.pmtu.lookup(key).unwrap_or(link_mtu))
    }

    /// The way by which a packet to a group has left, going by its source: by the interface of which a
    /// report of it came, where that is its address.
    fn way_of_group(&self, at: u16, src: IpAddr, group: IpAddr) -> Result<Way, DropReason> {
        let near = self.interface(at).is_some_and(|i| i.holds(src));
        let by = if near { Some(at) } else { self.own(src) };
        self.way_by(by.unwrap_or(at), group)
    }

    /// Takes the path MTU cache's news.
    pub(super) fn pump_path_mtus(&mut self) {
        while let Some(change) = self.pmtu.poll_event() {
            let mtu = change.path.map(|p| p.mtu);
            self.tell(super::Event::PathMtu {
                dst: change.dst,
                mtu,
            });
        }
    }

    /// Reports an error about a packet that arrived on interface `at`, where that is allowed and
    /// not too often. The packet starts at its IP header, as it came.
    #[inline(never)]
    pub(super) fn report(&mut self, now: Instant, at: u16, error: Error, mut packet: Frame) {
        // A forwarded or reassembled packet has its IP header apart; whether it is an ICMP error
        // itself stands behind.
        packet.pull_up(ipv4::MAX_HEADER_LEN + 1);
        if ip::quoted(packet.front()).is_none_or(|(quoted, _)| quoted.cut) {
            // Extension headers may be longer than all that.
            packet.pull_up(packet.len());
        }
        let Some((quoted, _)) = ip::quoted(packet.front()) else {
            return;
        };
        let (src, dst) = (quoted.src, quoted.dst);
        let of_any =
            |i: &super::Interface| i.is_directed_broadcast(dst) || i.is_directed_broadcast(src);
        let about_broadcast = self.interface(at).is_none() || self.interfaces.iter().any(of_any);
        //= RFC 4443 §2.4 (e.4) and (e.5) a group's frame is as good as a group's address.
        let to_group = self.in_group_frame && !error.concerns_groups();
        if about_broadcast || to_group || !icmp::may_report(error, &packet) {
            return;
        }
        let Ok(way) = self.way_back(at, src) else {
            return;
        };
        if self.limiter.take(now, whose(src)).is_err() {
            self.stats.drop_out(DropReason::IcmpRateLimited, 1);
            return;
        }
        //= RFC 1812 §4.3.2.4 the source is the address the packet was sent to, where that is ours,
        //= else one of the interface that the error leaves by.
        //= (RFC 4443 §2.2 (a) and (d): the same.)
        let from = if self.own(dst).is_some() {
            dst
        } else {
            way.src
        };
        let mut frame = icmp::report(error, offload::first(packet), (from, src));
        let (tos, protocol) = match src {
            //= RFC 1812 §4.3.2.5 internetwork control precedence for errors of a router.
            IpAddr::V4(_) => (0xc0, Protocol::ICMP),
            IpAddr::V6(_) => (0, Protocol::ICMPV6),
        };
        let marks = Marks {
            tos,
            dont_fragment: false,
            ttl: self.ttl(0, way.interface, src),
            protocol,
            src: from,
            dst: src,
            options: &[],
        };
        if self.encapsulate(&mut frame, &marks) {
            self.stats.icmp_errors_out += 1;
            self.reply(&way, &mut frame);
        }
    }

    /// Sends a TCP reset in answer to a packet. It is no larger than what asked for it, so the
    /// reply queue's bound is all that limits it.
    pub(super) fn send_reset(&mut self, zone: u32, header: &Accepted, reset: &tcp::Reset) {
        let addr = header.src;
        let Ok(way) = self.way_to(Zoned { addr, zone }) else {
            return;
        };
        let flags = match reset.ack {
            Some(_) => tcp_wire::Flags::RST | tcp_wire::Flags::ACK,
            None => tcp_wire::Flags::RST,
        };
        let mut segment = tcp_wire::Header {
            src_port: reset.src_port,
            dst_port: reset.dst_port,
            seq: reset.seq,
            ack: reset.ack.unwrap_or(SeqNum(0)),
            flags,
            window: 0,
            checksum: 0,
            urgent: 0,
            options: &[],
        };
        let (src, dst) = (header.dst, header.src);
        segment.checksum = segment.checksum_over(src, dst, &[]);
        let mut frame = Frame::default();
        let Some(room) = frame.head.push_front(segment.emit_len()) else {
            return;
        };
        if segment.emit(&mut Writer::new(room)).is_err() {
            return;
        }
        let marks = Marks {
            tos: 0,
            dont_fragment: true,
            ttl: self.ttl(0, way.interface, dst),
            protocol: Protocol::TCP,
            src,
            dst,
            options: &[],
        };
        if self.encapsulate(&mut frame, &marks) {
            self.stats.resets_to_strangers_out += 1;
            self.reply(&way, &mut frame);
        }
    }

    /// Queues an answer of the host itself.
    #[inline]
    pub(super) fn reply(&mut self, way: &Way, frame: &mut Frame) {
        if way.local {
            self.loop_back(way.interface, frame.take());
            return;
        }
        let (limit, byte_limit) = (self.config.max_replies, self.config.max_reply_bytes);
        let hop = self.hop_for(way, frame);
        let Some(interface) = self.interfaces.get_mut(usize::from(way.interface)) else {
            return;
        };
        let queues = &mut interface.queues;
        let bytes = queues.reply_bytes + frame.len();
        if queues.replies.len() >= limit || bytes > byte_limit {
            self.stats.drop_out(DropReason::ReplyQueueFull, 1);
            return;
        }
        if let Some(place) = self.packets.push(&mut queues.replies) {
            queues.reply_bytes = bytes;
            place.hop = hop;
            place.frame.fill(frame);
        }
        self.list(way.interface);
    }

    pub(super) fn push_error(&mut self, key: Key, error: SocketError) {
        let Some(entry) = self.sockets.get_mut(key) else {
            return;
        };
        match &mut entry.kind {
            sockets::Kind::Udp(socket) => socket.push_error(error),
            sockets::Kind::Raw(socket) => socket.push_error(error),
        }
        self.mark(key, Readiness::ERROR);
    }
}

/// Whose rate of errors a packet's sender shares: of IPv6 a whole link has one, since whoever is on it
/// has as many addresses as it likes.
pub(super) fn whose(src: IpAddr) -> IpAddr {
    match src {
        IpAddr::V4(_) => src,
        IpAddr::V6(src) => IpAddr::V6((src.to_bits() >> 64 << 64).into()),
    }
}
