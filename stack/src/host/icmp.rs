//! ICMP in both directions: questions answered, errors reported, errors handed to whom they
//! concern.

use super::routing::Way;
use super::{Host, Readiness, sockets};
use crate::frame::{Checksum, Frame};
use crate::link::offload;
use crate::machine::{Consumer, Fate};
use crate::net::icmp::{self, Error};
use crate::net::ipv4::{self, Accepted};
use crate::net::pmtu::TooBig;
use crate::reason::DropReason;
use crate::time::Instant;
use crate::transport::{ErrorKind, Key, SocketError, tcp};
use crate::wire::checksum::Sum;
use crate::wire::icmpv4::{self, Message};
use crate::wire::seq::SeqNum;
use crate::wire::{Protocol, Writer, tcp as tcp_wire, udp};
use bytes::Bytes;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

impl Host {
    #[inline]
    pub(super) fn receive_icmp(
        &mut self,
        now: Instant,
        at: u16,
        unicast: bool,
        header: &Accepted,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        let start = header.header_len;
        packet.pull_up(start + 8);
        if packet.len() < start + 8 {
            return Err(DropReason::IcmpMalformed);
        }
        let mut sum = Sum::new();
        packet.sum_from(start, &mut sum);
        if sum.finish() != 0 {
            return Err(DropReason::IcmpBadChecksum);
        }
        let front = packet.front().get(start..).unwrap_or_default();
        match front.first() {
            Some(&icmpv4::kind::ECHO_REQUEST) if !self.config.echo => Err(DropReason::IcmpIgnored),
            Some(&icmpv4::kind::ECHO_REQUEST) if unicast && start == 20 => {
                self.answer_plain(now, header, packet)
            }
            Some(&icmpv4::kind::ECHO_REQUEST) => {
                self.answer(now, unicast, header, packet, icmp::echo_reply)
            }
            Some(&icmpv4::kind::TIMESTAMP_REQUEST) if self.config.timestamps => {
                let millis = self.unix_time(now).millis_since_midnight();
                let reply = |request: &mut Frame| icmp::timestamp_reply(request, millis);
                self.answer(now, unicast, header, packet, reply)
            }
            _ => self.receive_icmp_other(now, at, header, packet),
        }
    }

    /// [`answer`](Self::answer) to an echo request to us alone, without options, from whom the host
    /// has sent to last, and that fits its way: the usual one, made where it is queued.
    #[inline]
    fn answer_plain(
        &mut self,
        now: Instant,
        header: &Accepted,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        let way = self.last_way.to(header.src, &self.routes);
        let fits = |way: &&Way| !way.local && packet.len() <= way.mtu && self.pmtu.is_empty();
        let Some(way) = way.filter(fits) else {
            return self.answer(now, true, header, packet, icmp::echo_reply);
        };
        let request = packet.front().get(20..).and_then(<[u8]>::first_chunk);
        let reply = icmp::echo_reply_header(*request.ok_or(DropReason::IcmpMalformed)?);
        self.stats.echoes += 1;
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
        packet.advance(28);
        place.hop = way.hop;
        place.frame.fill(packet);
        place.frame.offload.checksum = Checksum::Complete;
        let out = ipv4::Outgoing {
            tos: header.tos,
            ident: self.idents.next(header.src),
            dont_fragment: false,
            ttl: self.config.ttl,
            protocol: Protocol::ICMP,
            src: header.dst,
            dst: header.src,
            options: &[],
        };
        // It is as long as the request, which was a packet.
        ipv4::encapsulate_with(&mut place.frame, reply, &out);
        self.list(way.interface);
        fate
    }

    /// Sends a request back as what `reply` makes of it.
    #[inline(never)]
    fn answer(
        &mut self,
        now: Instant,
        unicast: bool,
        header: &Accepted,
        packet: &mut Frame,
        reply: impl FnOnce(&mut Frame) -> Option<()>,
    ) -> Result<Fate, DropReason> {
        if !unicast && !self.config.echo_broadcast {
            return Err(DropReason::IcmpIgnored);
        }
        let mut options = [0; 40];
        let options_len = header.header_len - 20;
        if options_len > 0
            && let (Some(to), Some(from)) = (
                options.get_mut(..options_len),
                packet.front().get(20..header.header_len),
            )
        {
            to.copy_from_slice(from);
        }
        packet.advance(header.header_len);
        reply(packet).ok_or(DropReason::IcmpMalformed)?;
        let way = self.way(header.src)?;
        //= RFC 1122 §3.2.2.6 the reply's source is the request's destination, where that is ours
        //= alone.
        let src = if unicast { header.dst } else { way.src };
        let options = options.get_mut(..options_len).unwrap_or_default();
        self.update_options(now, src, options);
        let out = ipv4::Outgoing {
            //= RFC 1349 §5.1 a reply has the type of service of the request.
            tos: header.tos,
            ident: self.idents.next(header.src),
            dont_fragment: false,
            ttl: self.config.ttl,
            protocol: Protocol::ICMP,
            src,
            dst: header.src,
            options,
        };
        if !ipv4::encapsulate(packet, &out) {
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

    #[inline(never)]
    fn receive_icmp_other(
        &mut self,
        now: Instant,
        at: u16,
        header: &Accepted,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        let front = packet.front().get(header.header_len..).unwrap_or_default();
        if let [icmpv4::kind::ECHO_REPLY, _, _, _, a, b, ..] = *front {
            return self.receive_echo_reply(at, header, u16::from_be_bytes([a, b]), packet);
        }
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
                self.receive_error(now, header, kind, (icmp.kind, icmp.code), quote)
            }
            Message::Redirect { gateway, quote, .. } => {
                let (quoted, _) = crate::wire::ipv4::Header::parse(quote)
                    .map_err(|_| DropReason::IcmpMalformed)?;
                if self.own(quoted.src).is_none() {
                    return Err(DropReason::IcmpRedirectRefused);
                }
                self.redirect(now, at, header.src, quoted.dst, *gateway)?;
                Ok(Fate::Delivered(Consumer::Icmp))
            }
            _ => Err(DropReason::IcmpUnknownType),
        }
    }

    fn receive_echo_reply(
        &mut self,
        at: u16,
        header: &Accepted,
        ident: u16,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        let key = self
            .echo
            .get(&ident)
            .copied()
            .ok_or(DropReason::IcmpNoSocket)?;
        let options = packet.front().get(20..header.header_len);
        let options = match options.unwrap_or_default() {
            [] => Bytes::new(),
            options => Bytes::copy_from_slice(options),
        };
        packet.advance(header.header_len);
        let place = self.push_raw(key, packet.len())?;
        place.payload.fill(packet);
        place.from = IpAddr::V4(header.src);
        place.to = IpAddr::V4(header.dst);
        place.ttl = header.ttl;
        place.interface = at;
        place.options = options;
        Ok(Fate::Delivered(Consumer::Raw))
    }

    /// Hands an error to the socket whose packet it quotes, if that packet is one of ours.
    fn receive_error(
        &mut self,
        now: Instant,
        header: &Accepted,
        kind: ErrorKind,
        (icmp_type, icmp_code): (u8, u8),
        quote: &[u8],
    ) -> Result<Fate, DropReason> {
        const UNMATCHED: DropReason = DropReason::IcmpQuoteUnmatched;
        let (quoted, rest) = crate::wire::ipv4::Header::parse(quote).map_err(|_| UNMATCHED)?;
        //= RFC 5927 §4 an error is believed only about a packet that we may have sent.
        if self.own(quoted.src).is_none() || quoted.fragment_offset != 0 {
            return Err(UNMATCHED);
        }
        if quoted.protocol == Protocol::TCP {
            return self.receive_tcp_error(now, kind, &quoted, rest);
        }
        let (key, port) = self.quoted_socket(&quoted, rest).ok_or(UNMATCHED)?;
        let sent = |e: &sockets::Entry| e.sent_to.contains(IpAddr::V4(quoted.dst));
        if !self.sockets.get(key).is_some_and(sent) {
            return Err(UNMATCHED);
        }
        let mut error = SocketError {
            kind,
            offender: IpAddr::V4(header.src),
            to: SocketAddr::new(IpAddr::V4(quoted.dst), port),
            icmp_type,
            icmp_code,
        };
        if let ErrorKind::PacketTooBig { mtu } = kind {
            let learned = self.learn_mtu(now, &quoted, mtu);
            error.kind = ErrorKind::PacketTooBig { mtu: learned };
        }
        self.push_error(key, error);
        self.stats.icmp_errors_in += 1;
        Ok(Fate::Delivered(Consumer::Icmp))
    }

    /// The socket that sent a quoted packet, and the port (or sequence number) it went to.
    pub(super) fn quoted_socket(
        &self,
        quoted: &crate::wire::ipv4::Header<'_>,
        rest: &[u8],
    ) -> Option<(Key, u16)> {
        match quoted.protocol {
            Protocol::UDP => {
                let (udp, _) = udp::Header::parse(rest).ok()?;
                let local = SocketAddr::new(IpAddr::V4(quoted.src), udp.src_port);
                let remote = SocketAddr::new(IpAddr::V4(quoted.dst), udp.dst_port);
                let key = self.udp.find(local, remote)?;
                self.udp_socket(key).filter(|s| s.accepts(remote))?;
                Some((key, udp.dst_port))
            }
            Protocol::ICMP => {
                let front = rest.first_chunk::<8>()?;
                let [kind, _, _, _, a, b, c, d] = *front;
                let ident = u16::from_be_bytes([a, b]);
                let key = *self.echo.get(&ident)?;
                (kind == icmpv4::kind::ECHO_REQUEST).then_some((key, u16::from_be_bytes([c, d])))
            }
            other => {
                let key = *self.raw.get(&other.0)?.last()?;
                let port = rest.get(2..4).and_then(|p| p.first_chunk()).copied();
                Some((key, port.map_or(0, u16::from_be_bytes)))
            }
        }
    }

    /// Notes a next-hop MTU; gives what the path is now taken to carry.
    pub(super) fn learn_mtu(
        &mut self,
        now: Instant,
        quoted: &crate::wire::ipv4::Header<'_>,
        mtu: u32,
    ) -> u32 {
        let Ok(way) = self.way(quoted.dst) else {
            return mtu;
        };
        let link_mtu = u16::try_from(way.mtu).unwrap_or(u16::MAX);
        let report = TooBig {
            next_hop_mtu: u16::try_from(mtu).unwrap_or(u16::MAX),
            packet_len: quoted.total_len,
            header_len: u16::try_from(quoted.header_len()).unwrap_or(20),
        };
        self.pmtu
            .update(now, IpAddr::V4(quoted.dst), link_mtu, report);
        self.pump_path_mtus();
        u32::from(self.pmtu.lookup(IpAddr::V4(quoted.dst)).unwrap_or(link_mtu))
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
        let Ok((header, _)) = crate::wire::ipv4::Header::parse(packet.front()) else {
            return;
        };
        let (src, dst) = (header.src, header.dst);
        let of_any =
            |i: &super::Interface| i.is_directed_broadcast(dst) || i.is_directed_broadcast(src);
        let about_broadcast = self.interface(at).is_none() || self.interfaces.iter().any(of_any);
        if about_broadcast || !icmp::may_report(&packet) {
            return;
        }
        let Ok(way) = self.way(src) else { return };
        if self.limiter.take(now, IpAddr::V4(src)).is_err() {
            self.stats.drop_out(DropReason::IcmpRateLimited, 1);
            return;
        }
        //= RFC 1812 §4.3.2.4 the source is the address the packet was sent to, where that is ours,
        //= else one of the interface that the error leaves by.
        let from = if self.own(dst).is_some() {
            dst
        } else {
            way.src
        };
        let mut frame = icmp::report(error, offload::first(packet));
        let out = ipv4::Outgoing {
            //= RFC 1812 §4.3.2.5 internetwork control precedence for errors of a router.
            tos: 0xc0,
            ident: self.idents.next(src),
            dont_fragment: false,
            ttl: self.config.ttl,
            protocol: Protocol::ICMP,
            src: from,
            dst: src,
            options: &[],
        };
        if ipv4::encapsulate(&mut frame, &out) {
            self.stats.icmp_errors_out += 1;
            self.reply(&way, &mut frame);
        }
    }

    /// Sends a TCP reset in answer to a packet. It is no larger than what asked for it, so the
    /// reply queue's bound is all that limits it.
    pub(super) fn send_reset(&mut self, header: &Accepted, reset: &tcp::Reset) {
        let Ok(way) = self.way(header.src) else {
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
        segment.checksum = segment.checksum_over(IpAddr::V4(src), IpAddr::V4(dst), &[]);
        let mut frame = Frame::default();
        let Some(room) = frame.head.push_front(segment.emit_len()) else {
            return;
        };
        if segment.emit(&mut Writer::new(room)).is_err() {
            return;
        }
        let out = ipv4::Outgoing {
            tos: 0,
            ident: 0,
            dont_fragment: true,
            ttl: self.config.ttl,
            protocol: Protocol::TCP,
            src,
            dst,
            options: &[],
        };
        if ipv4::encapsulate(&mut frame, &out) {
            self.stats.resets_out += 1;
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
