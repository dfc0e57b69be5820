//! User calls: UDP, echo and raw sockets by handle.
//!
//! A send finds its way at once, so that the caller learns what is wrong (no route, too long);
//! the packet then waits in the socket until its interface takes it, and a socket that has filled
//! its queue is told so instead of losing packets on its own host.

use super::event::{RawHandle, UdpHandle, Who};
use super::flow::Marks;
use super::interface::{Hop, Waiting, at_link, group_mac};
use super::routing::Way;
use super::zone::NoZone;
use super::{Event, Host, zone_of};
use crate::frame::{Checksum, Frame, Payload};
use crate::net::groups::{FilterMode, GroupError};
use crate::net::icmp::{self, Error};
use crate::net::ip::{self, Address};
use crate::net::ipv4;
use crate::reason::DropReason;
use crate::time::Instant;
use crate::transport::Readiness;
use crate::transport::raw::{self, Kind as RawKind};
use crate::transport::sent::Destinations;
use crate::transport::udp::{self, PathMtu};
use crate::transport::{Chain, ErrorKind, Key, Pool, SocketError};
use crate::wire::checksum::Sum;
use crate::wire::{Protocol, Zoned, udp as udp_wire, zone};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

/// A socket of any kind, with what waits to be sent.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) tx: Chain,
    pub(super) tx_bytes: usize,
    /// On an interface's list of sockets with something to send.
    in_turn: bool,
    ready: Readiness,
    /// On the host's ready list.
    announced: bool,
    /// A send was refused for want of room: say when there is some.
    wants_room: bool,
    /// Whom it has sent to, so that errors about others are not believed.
    pub(super) sent_to: Destinations,
    /// The pair of ends that it is found by, where it is connected.
    flow: Option<Box<(SocketAddr, SocketAddr)>>,
    /// Groups joined, with the interface.
    groups: Vec<(u16, IpAddr)>,
}

/// What kind of socket.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Udp(udp::Socket),
    Raw(raw::Socket),
}

/// What a socket is to send, apart from the payload.
#[derive(Clone, Copy, Debug)]
enum Message {
    Datagram { port: u16 },
    EchoRequest { seq: u16 },
}

impl Message {
    /// Its header, and the protocol it is of; `None` where the socket is of another kind, or bound
    /// to an address or connected.
    #[inline(always)]
    fn header(
        self,
        kind: &Kind,
        src: IpAddr,
        dst: IpAddr,
        payload: &Payload,
    ) -> Option<(Protocol, [u8; 8])> {
        let mut sum = Sum::new();
        match (self, kind) {
            (Self::Datagram { port }, Kind::Udp(socket)) => {
                if !socket.is_free_to(dst) {
                    return None;
                }
                let len = payload.len() + udp_wire::HEADER_LEN;
                payload.sum_into(&mut sum);
                sum.add_pseudo(src, dst, Protocol::UDP, len);
                Some((Protocol::UDP, udp::header(sum, len, socket.port, port)))
            }
            (Self::EchoRequest { seq }, Kind::Raw(socket)) => {
                let RawKind::Echo(ident) = socket.kind else {
                    return None;
                };
                payload.sum_into(&mut sum);
                let (protocol, kind, _) = icmp::echo(dst);
                //= RFC 4443 §2.3 of ICMPv6, the checksum covers the addresses as well.
                if protocol == Protocol::ICMPV6 {
                    sum.add_pseudo(src, dst, protocol, payload.len() + 8);
                }
                let ([a, b], [c, d]) = (ident.to_be_bytes(), seq.to_be_bytes());
                Some((protocol, icmp::header(sum, kind, 0, [a, b, c, d])))
            }
            _ => None,
        }
    }
}

impl Kind {
    #[inline]
    const fn options(&self) -> &udp::Options {
        match self {
            Self::Udp(socket) => &socket.options,
            Self::Raw(socket) => &socket.options,
        }
    }
}

impl Entry {
    /// Notes what the socket is ready for; whether it is to be put on the host's ready list.
    #[inline]
    fn becomes(&mut self, ready: Readiness) -> bool {
        self.ready |= ready;
        !core::mem::replace(&mut self.announced, true)
    }

    /// A place for a packet of `len` bytes; whether the socket is to be put in turn.
    #[inline(always)]
    fn place<'a>(
        &mut self,
        packets: &'a mut Pool<Waiting>,
        interface: u16,
        hop: Hop,
        len: usize,
    ) -> Option<(&'a mut Frame, bool)> {
        let place = packets.push(&mut self.tx)?;
        let cost = len + OVERHEAD;
        self.tx_bytes += cost;
        place.hop = hop;
        place.interface = interface;
        place.cost = u32::try_from(cost).unwrap_or(u32::MAX);
        self.count_sent();
        let first = !core::mem::replace(&mut self.in_turn, true);
        Some((&mut place.frame, first))
    }

    /// Its first packet has left its queue: the interface that the next one leaves by, and whether
    /// a send was refused for want of the room that there is now.
    #[inline]
    pub(super) fn has_sent(&mut self, cost: u32, packets: &Pool<Waiting>) -> (Option<u16>, bool) {
        let cost = usize::try_from(cost).unwrap_or(usize::MAX);
        self.tx_bytes = self.tx_bytes.saturating_sub(cost);
        let next = packets.first(&self.tx).map(|packet| packet.interface);
        self.in_turn = next.is_some();
        (next, core::mem::take(&mut self.wants_room))
    }

    #[inline]
    fn count_sent(&mut self) {
        match &mut self.kind {
            Kind::Udp(socket) => socket.stats.sent += 1,
            Kind::Raw(socket) => socket.stats.sent += 1,
        }
    }
}

/// Why a socket could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindError {
    /// Another socket has the address and port, and not both agreed to share.
    InUse,
    /// The address is not one of the host's.
    NotAvailable,
    /// An address of a link that several interfaces have, and no zone to tell which.
    NeedsZone,
    /// Every ephemeral port is taken.
    NoPort,
    /// The limit of [`Config::max_sockets`](super::Config::max_sockets).
    TooMany,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse => "address and port are in use",
            Self::NotAvailable => "not an address of this host",
            Self::NeedsZone => "an address of one link: say which, as fe80::1%eth0",
            Self::NoPort => "no ephemeral port is free",
            Self::TooMany => "too many sockets",
        })
    }
}

impl core::error::Error for BindError {}

impl From<NoZone> for BindError {
    fn from(why: NoZone) -> Self {
        match why {
            NoZone::Ambiguous => Self::NeedsZone,
            NoZone::Unknown => Self::NotAvailable,
        }
    }
}

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// No destination was given, and the socket is not connected.
    NotConnected,
    /// No route to the destination, or its interface is down.
    NoRoute,
    /// An address of a link, and no zone to tell which of several.
    NeedsZone,
    /// A route forbids it.
    Prohibited,
    /// A broadcast, which the socket has not asked to be allowed.
    BroadcastNotAllowed,
    /// More than a datagram holds, or than the path carries where fragments are forbidden; the
    /// largest payload that would do.
    TooLong {
        /// Bytes that fit.
        max: usize,
    },
    /// The send queue is full: wait for [`Readiness::WRITABLE`].
    WouldBlock,
    /// An ICMP error that came back for an earlier datagram of a connected socket.
    Failed(SocketError),
    /// The handle's socket is closed, or of the other family.
    NoSocket,
    /// An options area that is not four-byte aligned or longer than 40 bytes.
    BadOptions,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => f.write_str("no destination"),
            Self::NoRoute => f.write_str("no route to the destination"),
            Self::NeedsZone => f.write_str("an address of one link: say which, as fe80::1%eth0"),
            Self::Prohibited => f.write_str("the route forbids it"),
            Self::BroadcastNotAllowed => f.write_str("broadcast is not allowed on this socket"),
            Self::TooLong { max } => write!(f, "too long: at most {max} bytes"),
            Self::WouldBlock => f.write_str("the send queue is full"),
            Self::Failed(error) => write!(f, "{:?} from {}", error.kind, error.offender),
            Self::NoSocket => f.write_str("no such socket"),
            Self::BadOptions => f.write_str("malformed IP options"),
        }
    }
}

impl core::error::Error for SendError {}

impl From<NoZone> for SendError {
    fn from(why: NoZone) -> Self {
        match why {
            NoZone::Ambiguous => Self::NeedsZone,
            NoZone::Unknown => Self::NoRoute,
        }
    }
}

/// What a queued packet costs beside its payload.
const OVERHEAD: usize = 256;

impl Host {
    /// Opens a UDP socket on an address of this host and a port (zero: an ephemeral one). `0.0.0.0` is
    /// all of IPv4, `[::]` all there are, unless [`only_v6`](udp::Options::only_v6).
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn udp_bind(&mut self, local: SocketAddr) -> Result<UdpHandle, BindError> {
        self.udp_bind_with(local, self.config.udp)
    }

    /// [`udp_bind`](Self::udp_bind) with options from the start, as sharing a port needs.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn udp_bind_with(
        &mut self,
        local: SocketAddr,
        options: udp::Options,
    ) -> Result<UdpHandle, BindError> {
        let local = self.in_zone(local, 0)?;
        let addr = local.ip();
        if !addr.is_unspecified() && !ip::is_group(addr) && !self.may_listen_at(local) {
            return Err(BindError::NotAvailable);
        }
        let port = match local.port() {
            0 => self.ephemeral_port(None).ok_or(BindError::NoPort)?,
            port => port,
        };
        let mut socket = udp::Socket::new(addr, port, options);
        socket.zone = zone::of(local);
        let local = socket.local();
        if !self.may_bind(&socket) {
            return Err(BindError::InUse);
        }
        let dual = socket.is_dual();
        let key = self.open(Kind::Udp(socket))?;
        match dual {
            true => self.udp.bind_dual(port, key),
            false => self.udp.bind(local, key),
        }
        Ok(UdpHandle(key))
    }

    /// Whether a binding is free: nobody overlaps it, or all agreed to share.
    fn may_bind(&self, new: &udp::Socket) -> bool {
        // Most ports have no or one socket; those with thousands share or are connected.
        self.udp.on_port(new.port).iter().all(|&key| {
            let Some(socket) = self.udp_socket(key) else {
                return true;
            };
            !socket.overlaps(new) || (new.options.reuse && socket.options.reuse)
        })
    }

    fn ephemeral_port(&mut self, flow: Option<(IpAddr, SocketAddr)>) -> Option<u16> {
        let udp = &self.udp;
        self.ports.pick(flow, |port| udp.on_port(port).is_empty())
    }

    /// Connects a UDP socket: it sends to `remote`, hears nobody else, and gets ICMP errors as
    /// failures of its calls (RFC 1122 §4.1.3.3).
    ///
    /// # Errors
    /// No way to `remote`, or another socket has the same pair of ends.
    pub fn udp_connect(&mut self, handle: UdpHandle, remote: SocketAddr) -> Result<(), SendError> {
        let bound = self.udp_socket(handle.0).ok_or(SendError::NoSocket)?.zone;
        let remote = self.in_zone(remote, bound)?;
        let way = self.way_to(remote).map_err(refusal)?;
        let socket = self.udp_socket(handle.0).ok_or(SendError::NoSocket)?;
        if !socket.speaks(remote.ip()) {
            return Err(SendError::NoRoute);
        }
        if way.broadcast && !socket.options.broadcast {
            return Err(SendError::BroadcastNotAllowed);
        }
        let local_ip = match is_free(socket.local_addr) {
            true => self.source_by(&way, remote.ip(), socket.options.prefer_temporary),
            false => socket.local_addr,
        };
        if ![0, zone_of(way.interface)].contains(&socket.zone) {
            return Err(SendError::NoRoute);
        }
        let local = zone::end(local_ip, socket.port, zone_of(way.interface));
        let flow = (local, remote);
        let old = self
            .sockets
            .get(handle.0)
            .and_then(|e| e.flow.as_deref().copied());
        if old != Some(flow) && !self.udp.connect(local, remote, handle.0) {
            return Err(SendError::WouldBlock);
        }
        // The old pair may have had another address of ours.
        if let Some((local, remote)) = old.filter(|old| *old != flow) {
            self.udp.disconnect(local, remote, handle.0);
        }
        if let Some(entry) = self.sockets.get_mut(handle.0) {
            entry.flow = Some(Box::new(flow));
        }
        if let Some(socket) = self.udp_socket_mut(handle.0) {
            socket.remote = Some(remote);
        }
        Ok(())
    }

    /// Sends a datagram to where the socket is connected, or to `to`.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was sent.
    #[inline]
    pub fn udp_send(
        &mut self,
        now: Instant,
        handle: UdpHandle,
        payload: Payload,
        to: Option<SocketAddr>,
    ) -> Result<(), SendError> {
        let payload = match to {
            Some(to) => {
                let message = Message::Datagram { port: to.port() };
                match self.send_plain(handle.0, payload, to.ip(), message) {
                    Ok(()) => return Ok(()),
                    Err(payload) => payload,
                }
            }
            None => payload,
        };
        self.send_datagram(now, handle, payload, to, None)
    }

    /// Answers a datagram that came from `from` to `to`: from that address, where it is one host's, as
    /// a client expects of whom it has asked (RFC 1122 §4.1.3.5), and RFC 3542 §6's
    /// `IPV6_PKTINFO` is for.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was sent.
    pub fn udp_answer(
        &mut self,
        now: Instant,
        handle: UdpHandle,
        payload: Payload,
        (from, to): (SocketAddr, SocketAddr),
    ) -> Result<(), SendError> {
        let own = to.ip().is_ipv6() && self.may_listen_at(to);
        match own {
            true => self.send_datagram(now, handle, payload, Some(from), Some(to)),
            false => self.udp_send(now, handle, payload, Some(from)),
        }
    }

    /// Sends what is not plain; `asked` is an end of ours to send from.
    fn send_datagram(
        &mut self,
        now: Instant,
        handle: UdpHandle,
        payload: Payload,
        to: Option<SocketAddr>,
        asked: Option<SocketAddr>,
    ) -> Result<(), SendError> {
        let _ = now;
        let len = payload.len() + udp_wire::HEADER_LEN;
        let Some(entry) = self.sockets.get_mut(handle.0) else {
            return Err(SendError::NoSocket);
        };
        let Kind::Udp(socket) = &mut entry.kind else {
            return Err(SendError::NoSocket);
        };
        if let Some(error) = socket.take_hard_error() {
            return Err(SendError::Failed(error));
        }
        let dst = to.or(socket.remote).ok_or(SendError::NotConnected)?;
        let speaks = socket.speaks(dst.ip().to_canonical());
        let (local_addr, port, options) = (socket.local_addr, socket.port, socket.options);
        let bound = asked.map_or(socket.zone, zone::of);
        if entry.tx_bytes + len + OVERHEAD > options.send_limit.max(len + OVERHEAD) {
            entry.wants_room = true;
            return Err(SendError::WouldBlock);
        }
        if !speaks {
            return Err(SendError::NoRoute);
        }
        let dst = self.in_zone(dst, bound)?;
        let dst_ip = dst.ip();
        let way = self.way_for(&options, dst).map_err(refusal)?;
        //= RFC 4007 §7 nothing leaves a link with a source address of another.
        if ![0, zone_of(way.interface)].contains(&bound) {
            return Err(SendError::NoRoute);
        }
        if way.broadcast && !options.broadcast {
            return Err(SendError::BroadcastNotAllowed);
        }
        let src = match asked {
            Some(asked) => asked.ip(),
            None if is_free(local_addr) => self.source_by(&way, dst_ip, options.prefer_temporary),
            None => local_addr,
        };
        let dont_fragment = self.may_cut(&way, dst_ip, len, &options)?;
        let ttl = self.time_to_live(&options, way.interface, dst_ip);
        let mut frame = Frame::from_payload(payload);
        udp::encapsulate(&mut frame, SocketAddr::new(src, port), dst);
        let marks = Marks {
            tos: options.tos,
            dont_fragment,
            ttl,
            protocol: Protocol::UDP,
            src,
            dst: dst_ip,
            options: &[],
        };
        if len > max_len(dst_ip) || !self.encapsulate(&mut frame, &marks) {
            return Err(SendError::TooLong {
                max: max_len(dst_ip) - udp_wire::HEADER_LEN,
            });
        }
        if way.hop == Hop::Group(dst_ip) && options.multicast_loop && self.is_member(dst_ip) {
            self.loop_back(way.interface, frame.clone());
        }
        self.enqueue(handle.0, &way, &marks, &mut frame, len);
        Ok(())
    }

    /// Sends where nothing is to be decided: to whom the host has sent last, by a neighbour, on a
    /// path of which nothing special is known. All else gives the payload back.
    #[inline(always)]
    fn send_plain(
        &mut self,
        key: Key,
        payload: Payload,
        dst: IpAddr,
        message: Message,
    ) -> Result<(), Payload> {
        match dst {
            IpAddr::V4(dst) => self.send_plain_to(key, payload, dst, message),
            IpAddr::V6(dst) => self.send_plain_to(key, payload, dst, message),
        }
    }

    #[inline(always)]
    fn send_plain_to(
        &mut self,
        key: Key,
        payload: Payload,
        dst: impl Address,
        message: Message,
    ) -> Result<(), Payload> {
        let len = payload.len() + 8;
        let total = len + ip::header_len(&dst.into());
        let Some(way) = self.last_way.plain(dst, total, &self.routes) else {
            return Err(payload);
        };
        if !self.pmtu.is_empty() {
            return Err(payload);
        }
        let (src, dst) = (way.src.into(), dst.into());
        let Some(entry) = self.sockets.get_mut(key) else {
            return Err(payload);
        };
        let options = entry.kind.options();
        let usual = options.path_mtu == PathMtu::Want && options.prefer_temporary.is_none();
        if !usual || entry.tx_bytes + len + OVERHEAD > options.send_limit {
            return Err(payload);
        }
        let tos = options.tos;
        let ttl = match options.ttl {
            0 => way.ttl,
            wanted => wanted,
        };
        let Some((protocol, header)) = message.header(&entry.kind, src, dst, &payload) else {
            return Err(payload);
        };
        let place = entry.place(&mut self.packets, way.interface, way.hop, len);
        let Some((frame, first)) = place else {
            return Err(payload);
        };
        frame.refill(payload);
        frame.offload.checksum = Checksum::Complete;
        let marks = Marks {
            tos,
            // It fits all that is known of the path.
            dont_fragment: true,
            ttl,
            protocol,
            src,
            dst,
            options: &[],
        };
        self.numbers.encapsulate(frame, Some(header), &marks);
        entry.sent_to.note(dst);
        if first && let Some(interface) = self.interfaces.get_mut(usize::from(way.interface)) {
            interface.queues.sockets.push_back(Who::Socket(key));
            self.list(way.interface);
        }
        Ok(())
    }

    /// The way of a socket's packet.
    #[inline]
    fn way_for(&mut self, options: &udp::Options, to: SocketAddr) -> Result<Way, DropReason> {
        match options.multicast_interface {
            Some(at) if to.ip().is_multicast() && zone::of(to) == 0 => self.way_by(at, to.ip()),
            _ => self.way_to(to),
        }
    }

    /// Whether a packet must not be cut, by the socket's wish and what is known of the path.
    #[inline]
    fn may_cut(
        &self,
        way: &Way,
        dst: IpAddr,
        len: usize,
        options: &udp::Options,
    ) -> Result<bool, SendError> {
        let headers = ip::header_len(&dst);
        let total = len + headers;
        let known = self.pmtu.path(at_link(dst, way.interface));
        let mtu = known.map_or(way.mtu, |p| usize::from(p.mtu).min(way.mtu));
        match options.path_mtu {
            PathMtu::Off => Ok(false),
            PathMtu::Want => Ok(total <= mtu && known.is_none_or(|p| !p.fragment)),
            PathMtu::Require if total <= mtu => Ok(true),
            PathMtu::Probe if total <= way.mtu => Ok(true),
            PathMtu::Require => Err(SendError::TooLong {
                max: mtu.saturating_sub(headers + 8),
            }),
            PathMtu::Probe => Err(SendError::TooLong {
                max: way.mtu.saturating_sub(headers + 8),
            }),
        }
    }

    /// Packets of a UDP socket that wait to leave.
    #[must_use]
    pub fn udp_unsent(&self, handle: UdpHandle) -> usize {
        self.sockets.get(handle.0).map_or(0, |e| e.tx.len())
    }

    /// Packets of a raw or echo socket that wait to leave.
    #[must_use]
    pub fn raw_unsent(&self, handle: RawHandle) -> usize {
        self.sockets.get(handle.0).map_or(0, |e| e.tx.len())
    }

    /// The next datagram that waits.
    #[inline]
    pub fn udp_recv(&mut self, handle: UdpHandle) -> Option<udp::Datagram> {
        match &mut self.sockets.get_mut(handle.0)?.kind {
            Kind::Udp(socket) => socket.recv(&mut self.datagrams),
            Kind::Raw(_) => None,
        }
    }

    /// The oldest ICMP error that came back and has not been taken.
    pub fn udp_take_error(&mut self, handle: UdpHandle) -> Option<SocketError> {
        self.udp_socket_mut(handle.0)?.take_error()
    }

    /// The socket, to look at.
    #[must_use]
    pub fn udp(&self, handle: UdpHandle) -> Option<&udp::Socket> {
        self.udp_socket(handle.0)
    }

    /// The socket's options, to change.
    pub fn udp_options(&mut self, handle: UdpHandle) -> Option<&mut udp::Options> {
        self.udp_socket_mut(handle.0).map(|s| &mut s.options)
    }

    /// The address and port the socket is bound to.
    #[must_use]
    pub fn udp_local(&self, handle: UdpHandle) -> Option<SocketAddr> {
        let socket = self.udp_socket(handle.0)?;
        Some(socket.local())
    }

    /// Joins a group on an interface, for all sources or by a filter (RFC 3376 §2, RFC 3810 §3).
    ///
    /// # Errors
    /// See [`GroupError`].
    pub fn udp_join(
        &mut self,
        now: Instant,
        handle: UdpHandle,
        interface: u16,
        group: impl Into<IpAddr>,
        mode: FilterMode,
        sources: &[IpAddr],
    ) -> Result<(), GroupError> {
        let (key, group) = (handle.0, group.into());
        if self.udp_socket(key).is_none() {
            return Err(GroupError::NotMember);
        }
        self.calm = None;
        let at = self
            .interfaces
            .get_mut(usize::from(interface))
            .ok_or(GroupError::NotAGroup)?;
        let was = at.is_member(group);
        at.join(now, key.number(), group, mode, sources)?;
        let port = at.config.port;
        if !was && let Some(filter) = self.filter_of(port) {
            filter.join(group_mac(group));
        }
        if let Some(entry) = self.sockets.get_mut(key)
            && !entry.groups.contains(&(interface, group))
        {
            entry.groups.push((interface, group));
        }
        Ok(())
    }

    /// Leaves a group.
    pub fn udp_leave(
        &mut self,
        now: Instant,
        handle: UdpHandle,
        interface: u16,
        group: impl Into<IpAddr>,
    ) {
        let group = group.into();
        let Some(entry) = self.sockets.get_mut(handle.0) else {
            return;
        };
        entry.groups.retain(|g| *g != (interface, group));
        self.leave(now, handle.0, interface, group);
    }

    fn leave(&mut self, now: Instant, key: Key, interface: u16, group: IpAddr) {
        self.calm = None;
        let Some(at) = self.interfaces.get_mut(usize::from(interface)) else {
            return;
        };
        let was = at.is_member(group);
        at.leave(now, key.number(), group);
        let gone = was && !at.is_member(group);
        let port = at.config.port;
        if gone && let Some(filter) = self.filter_of(port) {
            filter.leave(group_mac(group));
        }
    }

    fn is_member(&self, group: IpAddr) -> bool {
        self.interfaces.iter().any(|i| i.is_member(group))
    }

    /// Closes a UDP socket: its groups are left, what waits is dropped and counted.
    pub fn udp_close(&mut self, now: Instant, handle: UdpHandle) {
        self.close(now, handle.0);
    }

    /// Opens an echo socket for ping; `ident` zero takes a free identifier.
    ///
    /// # Errors
    /// The identifier is in use, or there are too many sockets.
    pub fn echo_open(&mut self, ident: u16) -> Result<(RawHandle, u16), BindError> {
        let ident = match ident {
            0 => {
                let start = self.rng.next_u32() | 1;
                let free = |i: &u16| *i != 0 && !self.echo.contains_key(i);
                (0..u32::from(u16::MAX))
                    .map(|i| start.wrapping_add(i).to_be_bytes())
                    .map(|[_, _, high, low]| u16::from_be_bytes([high, low]))
                    .find(free)
                    .ok_or(BindError::NoPort)?
            }
            ident => ident,
        };
        if self.echo.contains_key(&ident) {
            return Err(BindError::InUse);
        }
        let socket = raw::Socket::new(RawKind::Echo(ident), self.config.udp);
        let key = self.open(Kind::Raw(socket))?;
        self.echo.insert(ident, key);
        Ok((RawHandle(key), ident))
    }

    /// Opens a raw socket for an IP protocol.
    ///
    /// # Errors
    /// There are too many sockets.
    pub fn raw_open(&mut self, protocol: Protocol) -> Result<RawHandle, BindError> {
        let socket = raw::Socket::new(RawKind::Ip(protocol), self.config.udp);
        let key = self.open(Kind::Raw(socket))?;
        self.raw.entry(protocol.0).or_default().push(key);
        Ok(RawHandle(key))
    }

    /// Sends an echo request from an echo socket.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was sent.
    pub fn echo_send(
        &mut self,
        now: Instant,
        handle: RawHandle,
        to: impl Into<Zoned>,
        seq: u16,
        data: Payload,
        ip_options: &[u8],
    ) -> Result<(), SendError> {
        let (message, mut data) = (Message::EchoRequest { seq }, data);
        let to = self.in_zone(to.into().end(0), 0)?;
        if ip_options.is_empty() {
            match self.send_plain(handle.0, data, to.ip(), message) {
                Ok(()) => return Ok(()),
                Err(back) => data = back,
            }
        }
        let entry = self.sockets.get(handle.0).ok_or(SendError::NoSocket)?;
        let options = *entry.kind.options();
        let src = self.way_for(&options, to).map_err(refusal)?.src;
        let entry = self.sockets.get(handle.0).ok_or(SendError::NoSocket)?;
        let header = message.header(&entry.kind, src, to.ip(), &data);
        let (protocol, header) = header.ok_or(SendError::NoSocket)?;
        let mut frame = Frame::from_payload(data);
        frame.push_front(&header);
        frame.offload.checksum = Checksum::Complete;
        self.raw_send_frame(now, handle, to, protocol, frame, ip_options)
    }

    /// Sends a packet of a raw socket's protocol; the host writes the IP header.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was sent.
    pub fn raw_send(
        &mut self,
        now: Instant,
        handle: RawHandle,
        to: impl Into<Zoned>,
        payload: Payload,
        ip_options: &[u8],
    ) -> Result<(), SendError> {
        let entry = self.sockets.get(handle.0).ok_or(SendError::NoSocket)?;
        let Kind::Raw(socket) = &entry.kind else {
            return Err(SendError::NoSocket);
        };
        let RawKind::Ip(protocol) = socket.kind else {
            return Err(SendError::NoSocket);
        };
        let to = self.in_zone(to.into().end(0), 0)?;
        let frame = Frame::from_payload(payload);
        self.raw_send_frame(now, handle, to, protocol, frame, ip_options)
    }

    fn raw_send_frame(
        &mut self,
        now: Instant,
        handle: RawHandle,
        to: SocketAddr,
        protocol: Protocol,
        mut frame: Frame,
        ip_options: &[u8],
    ) -> Result<(), SendError> {
        let dst = to.ip();
        let bad = dst.is_ipv6() && !ip_options.is_empty();
        if bad || ip_options.len() > 40 || !ip_options.len().is_multiple_of(4) {
            return Err(SendError::BadOptions);
        }
        let len = frame.len() + ip_options.len();
        let entry = self.sockets.get_mut(handle.0).ok_or(SendError::NoSocket)?;
        let Kind::Raw(socket) = &entry.kind else {
            return Err(SendError::NoSocket);
        };
        let options = socket.options;
        if entry.tx_bytes + len + OVERHEAD > options.send_limit.max(len + OVERHEAD) {
            entry.wants_room = true;
            return Err(SendError::WouldBlock);
        }
        let way = self.way_for(&options, to).map_err(refusal)?;
        if way.broadcast && !options.broadcast {
            return Err(SendError::BroadcastNotAllowed);
        }
        let dont_fragment = self.may_cut(&way, dst, len, &options)?;
        let mut area = [0; 40];
        let area = area.get_mut(..ip_options.len()).unwrap_or_default();
        area.copy_from_slice(ip_options);
        if let IpAddr::V4(src) = way.src {
            self.update_options(now, src, area);
        }
        let marks = Marks {
            tos: options.tos,
            dont_fragment,
            ttl: self.time_to_live(&options, way.interface, dst),
            protocol,
            src: way.src,
            dst,
            options: area,
        };
        if !self.encapsulate(&mut frame, &marks) {
            return Err(SendError::TooLong {
                max: max_len(dst) - ip_options.len(),
            });
        }
        self.enqueue(handle.0, &way, &marks, &mut frame, len);
        Ok(())
    }

    /// The next packet or echo reply that waits.
    pub fn raw_recv(&mut self, handle: RawHandle) -> Option<raw::Packet> {
        match &mut self.sockets.get_mut(handle.0)?.kind {
            Kind::Raw(socket) => socket.recv(&mut self.raw_packets),
            Kind::Udp(_) => None,
        }
    }

    /// The oldest ICMP error that came back and has not been taken.
    pub fn raw_take_error(&mut self, handle: RawHandle) -> Option<SocketError> {
        self.raw_socket_mut(handle.0)?.take_error()
    }

    /// The socket's options, to change.
    pub fn raw_options(&mut self, handle: RawHandle) -> Option<&mut udp::Options> {
        self.raw_socket_mut(handle.0).map(|s| &mut s.options)
    }

    /// Closes a raw or echo socket.
    pub fn raw_close(&mut self, now: Instant, handle: RawHandle) {
        self.close(now, handle.0);
    }

    /// The next thing the driver may want to know. Each socket comes up once, with all that it has
    /// become ready for since it last did.
    pub fn poll_event(&mut self) -> Option<Event> {
        while let Some(who) = self.ready.pop_front() {
            let key = match who {
                Who::Socket(key) => key,
                Who::Tcp(key) => match self.take_tcp_event(key) {
                    Some(event) => return Some(event),
                    None => continue,
                },
                Who::Listener(key) => match self.take_listener_event(key) {
                    Some(event) => return Some(event),
                    None => continue,
                },
            };
            let Some(entry) = self.sockets.get_mut(key) else {
                continue;
            };
            entry.announced = false;
            let ready = core::mem::take(&mut entry.ready);
            return Some(match entry.kind {
                Kind::Udp(_) => Event::Udp(UdpHandle(key), ready),
                Kind::Raw(_) => Event::Raw(RawHandle(key), ready),
            });
        }
        self.events.pop_front()
    }

    fn open(&mut self, kind: Kind) -> Result<Key, BindError> {
        let entry = Entry {
            kind,
            tx: Chain::new(),
            tx_bytes: 0,
            in_turn: false,
            ready: Readiness::NONE,
            announced: false,
            wants_room: false,
            sent_to: Destinations::default(),
            flow: None,
            groups: Vec::new(),
        };
        self.sockets.insert(entry).map_err(|_| BindError::TooMany)
    }

    fn close(&mut self, now: Instant, key: Key) {
        let Some(mut entry) = self.sockets.remove(key) else {
            return;
        };
        let unsent = self.packets.clear(&mut entry.tx);
        self.stats.drop_out(DropReason::SocketClosed, unsent as u64);
        for (interface, group) in entry.groups {
            self.leave(now, key, interface, group);
        }
        match entry.kind {
            Kind::Udp(mut socket) => {
                socket.clear(&mut self.datagrams);
                self.udp.unbind(socket.local(), key);
                if let Some((local, remote)) = entry.flow.map(|flow| *flow) {
                    self.udp.disconnect(local, remote, key);
                }
            }
            Kind::Raw(mut socket) => {
                socket.clear(&mut self.raw_packets);
                match socket.kind {
                    RawKind::Echo(ident) => {
                        self.echo.remove(&ident);
                    }
                    RawKind::Ip(protocol) => {
                        if let Some(keys) = self.raw.get_mut(&protocol.0) {
                            keys.retain(|&k| k != key);
                            if keys.is_empty() {
                                self.raw.remove(&protocol.0);
                            }
                        }
                    }
                }
            }
        }
    }

    /// Puts a packet into its socket's queue, and the socket in turn on the packet's interface.
    #[inline]
    fn enqueue(&mut self, key: Key, way: &Way, marks: &Marks<'_>, frame: &mut Frame, len: usize) {
        if let Some(entry) = self.sockets.get_mut(key) {
            entry.sent_to.note(marks.dst);
        }
        if way.local {
            self.count_sent(key);
            self.loop_back(way.interface, frame.take());
            return;
        }
        //= RFC 1112 §6.1: a group's packet with a time to live of zero stays within the host.
        if marks.ttl == 0 {
            self.count_sent(key);
            return;
        }
        // What must not be cut has been looked at; in IPv6 the packet itself does not say so.
        let hop = match marks.dont_fragment {
            true => way.hop,
            false => self.hop_for(way, frame),
        };
        let Some(entry) = self.sockets.get_mut(key) else {
            return;
        };
        let place = entry.place(&mut self.packets, way.interface, hop, len);
        let Some((place, first)) = place else {
            return;
        };
        place.fill(frame);
        if first && let Some(interface) = self.interfaces.get_mut(usize::from(way.interface)) {
            interface.queues.sockets.push_back(Who::Socket(key));
            self.list(way.interface);
        }
    }

    #[inline]
    fn count_sent(&mut self, key: Key) {
        if let Some(entry) = self.sockets.get_mut(key) {
            entry.count_sent();
        }
    }

    /// Drops what sockets wanted to send by an interface, lest it hold up what goes elsewhere.
    pub(super) fn drop_unsent(&mut self, interface: u16) {
        let keys: Vec<Key> = self.sockets.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some(entry) = self.sockets.get_mut(key) else {
                continue;
            };
            let was = self.packets.first(&entry.tx).map(|p| p.interface);
            let (mut freed, mut dropped) = (0, 0);
            for _ in 0..entry.tx.len() {
                let Some(packet) = self.packets.pop(&mut entry.tx).map(core::mem::take) else {
                    break;
                };
                if packet.interface == interface {
                    freed += usize::try_from(packet.cost).unwrap_or(usize::MAX);
                    dropped += 1;
                } else if let Some(place) = self.packets.push(&mut entry.tx) {
                    *place = packet;
                }
            }
            if dropped == 0 {
                continue;
            }
            entry.tx_bytes = entry.tx_bytes.saturating_sub(freed);
            let room = core::mem::take(&mut entry.wants_room);
            let next = self.packets.first(&entry.tx).map(|p| p.interface);
            entry.in_turn = next.is_some();
            self.stats.drop_out(DropReason::InterfaceDown, dropped);
            // Its turn was on the interface that went; it takes its turn on the next packet's.
            if was == Some(interface)
                && let Some(next) = next
                && let Some(interface) = self.interfaces.get_mut(usize::from(next))
            {
                interface.queues.sockets.push_back(Who::Socket(key));
                self.list(next);
            }
            if room {
                self.mark(key, Readiness::WRITABLE);
            }
        }
    }

    /// Marks a socket ready; it comes up in [`poll_event`](Self::poll_event) once.
    #[inline]
    pub(super) fn mark(&mut self, key: Key, ready: Readiness) {
        let Some(entry) = self.sockets.get_mut(key) else {
            return;
        };
        if entry.becomes(ready) {
            self.ready.push_back(Who::Socket(key));
        }
    }

    /// Marks a UDP socket readable: the place for a datagram of `len` bytes.
    #[inline(always)]
    pub(super) fn push_udp(
        &mut self,
        key: Key,
        len: usize,
    ) -> Result<&mut udp::Datagram, DropReason> {
        let Some(entry) = self.sockets.get_mut(key) else {
            return Err(DropReason::UdpNoSocket);
        };
        let Kind::Udp(socket) = &mut entry.kind else {
            return Err(DropReason::UdpNoSocket);
        };
        let place = socket.push(&mut self.datagrams, len)?;
        if entry.becomes(Readiness::READABLE) {
            self.ready.push_back(Who::Socket(key));
        }
        Ok(place)
    }

    /// Marks a raw or echo socket readable: the place for a packet of `len` bytes.
    #[inline(always)]
    pub(super) fn push_raw(
        &mut self,
        key: Key,
        len: usize,
    ) -> Result<&mut raw::Packet, DropReason> {
        let Some(entry) = self.sockets.get_mut(key) else {
            return Err(DropReason::IcmpNoSocket);
        };
        let Kind::Raw(socket) = &mut entry.kind else {
            return Err(DropReason::IcmpNoSocket);
        };
        let place = socket.push(&mut self.raw_packets, len)?;
        if entry.becomes(Readiness::READABLE) {
            self.ready.push_back(Who::Socket(key));
        }
        Ok(place)
    }

    #[inline]
    pub(super) fn udp_socket(&self, key: Key) -> Option<&udp::Socket> {
        match &self.sockets.get(key)?.kind {
            Kind::Udp(socket) => Some(socket),
            Kind::Raw(_) => None,
        }
    }

    #[inline]
    fn udp_socket_mut(&mut self, key: Key) -> Option<&mut udp::Socket> {
        match &mut self.sockets.get_mut(key)?.kind {
            Kind::Udp(socket) => Some(socket),
            Kind::Raw(_) => None,
        }
    }

    fn raw_socket_mut(&mut self, key: Key) -> Option<&mut raw::Socket> {
        match &mut self.sockets.get_mut(key)?.kind {
            Kind::Raw(socket) => Some(socket),
            Kind::Udp(_) => None,
        }
    }
}

/// Whether what is bound so has no address of its own to send from.
#[inline]
const fn is_free(local: IpAddr) -> bool {
    local.is_unspecified() || ip::is_group(local)
}

/// How much a packet to `dst` may hold behind its IP header: a UDP datagram, whose length says so, or
/// any other.
const fn max_len(dst: IpAddr) -> usize {
    match dst {
        IpAddr::V4(_) => ipv4::MAX_LEN - 20,
        IpAddr::V6(_) => ipv4::MAX_LEN,
    }
}

/// A socket's time to live, or where it has none the host's.
//= RFC 1122 §3.2.1.7: a host MUST NOT send with a time to live of zero.
const fn own_ttl(wanted: u8, hosts: u8) -> u8 {
    match (wanted, hosts) {
        (0, 0) => 1,
        (0, hosts) => hosts,
        (wanted, _) => wanted,
    }
}

impl Host {
    /// The time to live of a socket's packet to `dst`.
    fn time_to_live(&self, options: &udp::Options, at: u16, dst: IpAddr) -> u8 {
        match dst.is_multicast() {
            true => options.multicast_ttl,
            false => self.ttl(options.ttl, at, dst),
        }
    }

    /// The time to live of what leaves by an interface for `dst`; with `wanted` zero, the host's.
    //= RFC 4861 §6.3.4 in IPv6 it is what routers say, where they do.
    #[inline]
    pub(super) fn ttl(&self, wanted: u8, at: u16, dst: IpAddr) -> u8 {
        let said = match (wanted, dst) {
            (0, IpAddr::V6(_)) => self.interface(at).and_then(|i| i.routers.link().hop_limit),
            _ => None,
        };
        own_ttl(wanted, said.unwrap_or(self.config.ttl))
    }
}

/// Why there is no way, as the user's error.
fn refusal(reason: DropReason) -> SendError {
    match reason {
        DropReason::RouteProhibited => SendError::Prohibited,
        _ => SendError::NoRoute,
    }
}

/// Tells the socket that sent `packet` that its next hop does not answer.
pub(super) fn fail(host: &mut Host, now: Instant, at: u16, packet: &Frame) {
    let bytes = packet.to_bytes();
    let Some((header, rest)) = ip::quoted(&bytes) else {
        return;
    };
    if header.protocol == Protocol::TCP {
        return host.fail_segment(now, at, (header.src, header.dst), rest);
    }
    let Some((key, port)) = host.quoted_socket(at, &header, rest) else {
        return;
    };
    let unreachable = Error::HostUnreachable;
    let (icmp_type, icmp_code, _) = match header.dst {
        IpAddr::V4(_) => unreachable.v4(),
        IpAddr::V6(_) => unreachable.v6(),
    };
    let error = SocketError {
        kind: ErrorKind::HostUnreachable,
        offender: header.src,
        to: zone::end(header.dst, port, zone_of(at)),
        icmp_type,
        icmp_code,
    };
    host.push_error(key, error);
}
