//! A host: the only room that joins link, net and transport.
//!
//! ```text
//!   handle_frame ->  ingress: link -> net -> transport -> socket, or a queued reply, or a forward
//!   poll_transmit <- egress:  ARP, replies, forwarded, sockets -> neighbour -> cut -> link
//!   udp_*, tcp_*, raw_*, echo_*   user calls, by handle
//!   poll_event                    which sockets became ready, what became of addresses
//! ```
//!
//! Read first: RFC 1122 §3 (hosts), RFC 1812 §5 (routers).
//!
//! Promises: `Clone` forks it, sockets, queues and all; no call panics, whatever a peer sends;
//! every frame in has exactly one fate ([`Stats::is_conserved`]); the cost of a packet does not
//! depend on the number of sockets; every table has a limit.
//!
//! What a peer can make a host keep, with the limits of [`Config::default`]; `tests/flood.rs` holds
//! it to these under floods of a hundred thousand. A packet that waits is kept by reference, so
//! add what a device's buffers are larger than the frames in them (small fragments are copied).
//! All queues of packets and datagrams lie in stores of the host's own, which stay as large as
//! what has once waited at the same time (some 200 bytes a packet, counted in the limits below).
//!
//! | table | limit | what goes when it is full | most bytes |
//! |---|---|---|---|
//! | neighbours, each interface | 1,024, of which 256 unresolved | failed, then stale, then unresolved ones | 1 MiB |
//! | packets parked for them | 64 and 256 KiB a neighbour, 4 MiB an interface | the neighbour's oldest; else the newest | 4 MiB |
//! | ARP replies, each interface | 64, by rate | the newest | 8 KiB |
//! | answers of neighbour discovery, each interface | 64, by rate | the newest | 16 KiB |
//! | routers, prefixes, routes, addresses from them and temporary ones, each interface | 16, 32, 32, 16, 32 | the newest | 16 KiB |
//! | whose prefix which is, each interface | 64 | the newest | 4 KiB |
//! | DNS servers and search domains, each interface | 8, 8 | the one that ends first | 3 KiB |
//! | other routers' contradictions, each interface that advertises | 64 | the newest | 4 KiB |
//! | hosts to be answered alone, each interface that advertises so | 16 | the newest is answered with all | 1 KiB |
//! | fragments | 4 MiB, 1 MiB a source, 1,024 datagrams | the source's oldest datagram, then the oldest | 5 MiB |
//! | path MTUs | 4,096 | the one lowered longest ago | 1 MiB |
//! | redirects | 256 | the one that ends first | 32 KiB |
//! | rates of ICMP errors | 1,024 peers | the one unused for longest | 256 KiB |
//! | replies, each interface | 1,024 and 1 MiB | the newest | 2 MiB |
//! | forwarded packets, each interface | 1,024 | the newest | 2 MiB at an MTU of 1,500 |
//! | packets to ourselves | 1,024 and 1 MiB | the newest | 2 MiB |
//! | IGMP and MLD timers | 256 groups each, 64 sources each | the query is answered for the whole group | 1.3 MiB |
//! | a socket's queues | 256 KiB in, 256 KiB out, 16 errors | the newest; of errors the oldest | 512 KiB |
//! | whom a socket sent to, of whom errors are believed | 16 | the one sent to longest ago | 64 B |
//! | TCP connections | 1,048,576, 1 KiB each beyond buffers | the oldest that nobody holds in TIME-WAIT; else the newest | 1 GiB |
//! | a connection's buffers | `tcp::Options`: 4 MiB out, 6 MiB in | what does not fit: a call would block, the window closes | 10 MiB |
//! | all connections' data | `tcp_memory`: 192 MiB | nothing grows from 128 MiB on, what is out of order goes; from 168 MiB on each keeps 4 KiB each way, and orphans go; at the bound what comes is dropped | 192 MiB |
//! | half-open connections, each listener | `ListenOptions`: 256 | the newest, which gets a cookie | 256 KiB |
//! | connections to be accepted, each listener | `ListenOptions`: 128 | the newest SYN or acknowledgment | their buffers |
//! | connections that close by themselves | 65,536, and 262,144 in TIME-WAIT | the newest is reset; of TIME-WAIT the oldest goes | of all connections |
//! | events | 64, and each socket once | the oldest | 8 KiB |
//!
//! Left out: fragments of IPv6 whose headers in front exceed what a [`Head`] holds.
//!
//! ```
//! use stack::host::{Config, Host, InterfaceConfig};
//! use stack::machine::{Machine, Port};
//! use stack::rng::Rng;
//! use stack::time::Instant;
//! use stack::wire::MacAddr;
//!
//! let mut host = Host::new(Config::default(), Rng::from_seed(1));
//! let mac = MacAddr([2, 0, 0, 0, 0, 2]);
//! let eth0 = InterfaceConfig::ethernet("eth0", Port(0), mac)
//!     .with_address("10.7.0.2/24".parse().unwrap());
//! host.add_interface(Instant::ZERO, eth0);
//! let echo = host.udp_bind("0.0.0.0:7".parse().unwrap()).unwrap();
//! // Its first frame announces the address (RFC 5227 §2.3).
//! assert!(host.poll_transmit(Instant::ZERO, Port(0)).is_some());
//! # let _ = echo;
//! ```

mod arping;
mod asked;
mod config;
mod discovery;
mod egress;
mod event;
mod flow;
mod icmp;
mod ingress;
mod interface;
mod routing;
mod sockets;
mod stats;
mod tcp;
mod zone;

pub use crate::transport::Readiness;
pub use crate::wire::zone::{interface_of, zone_of};
pub use asked::AskError;
pub use config::{
    Config, DuplicateDetection, InterfaceConfig, InterfaceId, Medium, ReversePath, TcpMemory,
};
pub use event::{Event, ListenHandle, RawHandle, TcpHandle, UdpHandle};
pub use interface::{Address, Counters, Interface};
pub use sockets::{BindError, SendError};
pub use stats::{Stats, TcpStats};
pub use tcp::ConnectError;

use crate::frame::{Frame, Head};
use crate::machine::{Fate, Machine, Port};
use crate::net::pmtu::PathMtus;
use crate::net::rate::PeerLimiter;
use crate::net::reassembly::Reassembly;
use crate::net::route::{Route, RouteTable};
use crate::reason::DropReason;
use crate::rng::Rng;
use crate::time::{Instant, UnixTime, earliest};
use crate::transport::demux::Demux;
use crate::transport::ports::Ports;
use crate::transport::sent::Destinations;
use crate::transport::{Key, Pool, Slab};
use crate::wire::{Cidr, Zoned};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

/// News of addresses that wait to be told; the oldest goes where nobody listens.
const MAX_EVENTS: usize = 64;

/// A host.
#[derive(Clone, Debug)]
pub struct Host {
    config: Config,
    rng: Rng,
    /// Wall time when the run began.
    epoch: UnixTime,
    interfaces: Vec<Interface>,
    /// Interfaces by port.
    ports_map: Vec<Vec<u16>>,
    /// Interfaces on which packets wait, each once; one may be on it in vain.
    waiting: Vec<u16>,
    routes: RouteTable,
    redirects: BTreeMap<Zoned, routing::Redirect>,
    last_way: routing::LastWay,
    /// Counts what changes ways and is not counted by the routes themselves.
    moves: u64,
    /// The sender whose packets have last passed all checks.
    familiar: Option<ingress::Familiar>,
    /// What is being received came in a frame for a group of the link, but for an address of ours: its
    /// sender is told of no error.
    in_group_frame: bool,
    /// First fragment's header, and the interface it came by, or
    /// [`UNTOLD`](ingress::UNTOLD).
    reassembly: Reassembly<(Head, u16)>,
    pmtu: PathMtus,
    limiter: PeerLimiter<IpAddr>,
    /// Whom echoes of IPv6 were returned to lately that a link may have been too narrow for.
    answered: Destinations,
    numbers: flow::Numbers,
    sockets: Slab<sockets::Entry>,
    /// What waits to leave, in the queues of interfaces and sockets.
    packets: Pool<interface::Waiting>,
    /// What waits in sockets to be read.
    datagrams: Pool<crate::transport::udp::Datagram>,
    raw_packets: Pool<crate::transport::raw::Packet>,
    udp: Demux,
    tcp: tcp::Tcp,
    raw: BTreeMap<u8, Vec<Key>>,
    echo: BTreeMap<u16, Key>,
    ports: Ports,
    ready: VecDeque<event::Who>,
    events: VecDeque<Event>,
    /// With the interface that it would have left by.
    looped: VecDeque<(u16, Frame)>,
    looped_bytes: usize,
    /// Until when no machine has anything to send or to do, where they have been asked. What touches
    /// a machine forgets it; the packets of a conversation touch none, and need not ask them all.
    calm: Option<Instant>,
    stats: Stats,
}

impl Host {
    /// A host without interfaces.
    #[must_use]
    pub fn new(config: Config, rng: Rng) -> Self {
        let mut draws = rng.fork("host");
        let numbers = flow::Numbers::new(&mut draws, &mut rng.fork("flow labels"));
        Self {
            epoch: UnixTime(0),
            interfaces: Vec::new(),
            ports_map: Vec::new(),
            waiting: Vec::new(),
            routes: RouteTable::new(config.route),
            redirects: BTreeMap::new(),
            last_way: routing::LastWay::default(),
            familiar: None,
            in_group_frame: false,
            reassembly: Reassembly::new(config.reassembly),
            pmtu: PathMtus::new(config.pmtu),
            limiter: PeerLimiter::new(config.icmp_rate),
            answered: Destinations::default(),
            numbers,
            sockets: Slab::new(config.max_sockets),
            packets: Pool::new(),
            datagrams: Pool::new(),
            raw_packets: Pool::new(),
            udp: Demux::new(&mut draws),
            tcp: tcp::Tcp::new(&config, &rng),
            moves: 0,
            raw: BTreeMap::new(),
            echo: BTreeMap::new(),
            ports: Ports::new(config.ephemeral_ports.clone(), rng.fork("ports")),
            ready: VecDeque::new(),
            events: VecDeque::new(),
            looped: VecDeque::new(),
            looped_bytes: 0,
            calm: None,
            stats: Stats::default(),
            config,
            rng,
        }
    }

    /// Adds an interface with its addresses and their on-link routes; gives its number. Interfaces
    /// on one port differ by VLAN.
    pub fn add_interface(&mut self, now: Instant, config: InterfaceConfig) -> u16 {
        self.calm = None;
        let at = u16::try_from(self.interfaces.len()).unwrap_or(u16::MAX);
        let port = usize::from(config.port.0);
        if self.ports_map.len() <= port {
            self.ports_map.resize(port + 1, Vec::new());
        }
        if let Some(list) = self.ports_map.get_mut(port) {
            list.push(at);
        }
        if let Some(filter) = self.filter_of(config.port) {
            filter.add_station(config.mac);
        }
        let addresses = config.addresses.clone();
        if self.interfaces.len() == self.interfaces.capacity() {
            // They are large and rarely added: a vector would make room for twice as many.
            self.interfaces.reserve_exact(self.interfaces.len() / 4 + 1);
        }
        self.interfaces
            .push(Interface::new(config, &self.config, &self.rng));
        for cidr in addresses {
            self.add_address(now, at, cidr);
        }
        let wants = |i: &Interface| i.config.ipv6 || i.config.autoconfigure;
        let lacks = |i: &&Interface| wants(i) && !i.speaks_ipv6();
        if self.interface(at).is_some_and(|i| lacks(&i)) {
            self.add_link_local(now, at);
        }
        self.ask_routers(now, at);
        self.start_advertising(now, at);
        at
    }

    /// Adds an address to an interface and claims it (RFC 5227, RFC 4862 §5.4); it is usable at
    /// once, or after probing where the interface says so. On Ethernet the first one of IPv6 brings
    /// a link-local one with it.
    pub fn add_address(&mut self, now: Instant, interface: u16, cidr: Cidr) {
        // The connected network; a full table is the caller's to see in `routes`.
        if self.interface(interface).is_some() {
            let _ = self
                .routes
                .add(Route::on_link(cidr.network(), Port(interface)));
        }
        self.hold_address(now, interface, cidr);
    }

    /// The same, of which no route comes.
    fn hold_address(&mut self, now: Instant, interface: u16, cidr: Cidr) {
        self.calm = None;
        let Some(at) = self.interfaces.get_mut(usize::from(interface)) else {
            return;
        };
        let usable = match (cidr.addr(), at.config.medium) {
            (IpAddr::V4(addr), Medium::Ethernet) => at.claim_ipv4(now, addr),
            (IpAddr::V6(_), _) if at.ipv6_disabled => false,
            (IpAddr::V6(addr), Medium::Ethernet) => {
                at.claim_ipv6(now, addr, self.config.dad.transmits)
            }
            (_, Medium::Ip) => true,
        };
        at.addresses.push(Address {
            cidr,
            usable,
            deprecated: false,
            temporary: false,
        });
        self.forget_routes();
        self.pump_claims(now, interface);
        if let Some(addr) = cidr.addr6() {
            self.join_ipv6(now, interface, addr);
            self.update_anycast(now, interface);
        }
    }

    /// Removes an address and its on-link route.
    pub fn remove_address(&mut self, now: Instant, interface: u16, addr: IpAddr) {
        let gone = self.drop_address(now, interface, addr);
        let left = self.interface(interface).map_or(&[][..], |i| &i.addresses);
        let kept = |cidr: &Cidr| left.iter().any(|a| a.cidr.network() == cidr.network());
        // Another address may lie in the same network, whose route stays then.
        let lonely: Vec<Cidr> = gone.into_iter().filter(|cidr| !kept(cidr)).collect();
        for cidr in lonely {
            self.routes.remove(cidr.network(), 0, Port(interface));
        }
        self.forget_routes();
    }

    /// The same, and its route stays; gives what was removed.
    fn drop_address(&mut self, now: Instant, interface: u16, addr: IpAddr) -> Vec<Cidr> {
        self.calm = None;
        let Some(at) = self.interfaces.get_mut(usize::from(interface)) else {
            return Vec::new();
        };
        let gone: Vec<Cidr> = at
            .addresses
            .iter()
            .filter(|a| a.cidr.addr() == addr)
            .map(|a| a.cidr)
            .collect();
        at.addresses.retain(|a| a.cidr.addr() != addr);
        match addr {
            IpAddr::V4(addr) => drop(at.acd.release(addr)),
            IpAddr::V6(addr) => drop(at.dad.release(addr)),
        }
        for addr in gone.iter().filter_map(|cidr| cidr.addr6()) {
            self.leave_ipv6(now, interface, addr);
            self.update_anycast(now, interface);
        }
        self.forget_routes();
        gone
    }

    /// Takes an interface up or down. Down, its neighbours are forgotten, what waits for it is
    /// dropped, and its routes pass.
    pub fn set_up(&mut self, now: Instant, interface: u16, up: bool) {
        self.calm = None;
        let Some(at) = self.interfaces.get_mut(usize::from(interface)) else {
            return;
        };
        if at.up == up {
            return;
        }
        at.up = up;
        let mut turns = VecDeque::new();
        if up {
            at.meet_link();
            at.acd.restart(now);
            at.dad.restart(now);
            at.reclaim(now, self.config.dad.transmits);
            at.igmp.announce(now);
            at.mld.announce(now);
        } else {
            at.neighbors.flush(DropReason::InterfaceDown);
            if let Some(advertiser) = &mut at.advertiser {
                advertiser.halt();
            }
            let mut queues = core::mem::take(&mut at.queues);
            self.waiting.retain(|w| *w != interface);
            let dropped = self.packets.clear(&mut queues.replies)
                + self.packets.clear(&mut queues.forwarded)
                + usize::from(at.cutting.take().is_some());
            self.stats
                .drop_out(DropReason::InterfaceDown, dropped as u64);
            self.drop_unsent(interface);
            turns = queues.sockets;
        }
        self.routes.set_port_up(Port(interface), up);
        self.forget_routes();
        if up {
            self.ask_routers(now, interface);
            self.start_advertising(now, interface);
        }
        // Connections stay: they may find another way, or wait for this one.
        self.requeue(now, turns);
    }

    /// Tells the host what the wall clock shows at `now`; for ICMP and IP timestamps.
    pub fn set_unix_time(&mut self, now: Instant, unix: UnixTime) {
        self.epoch = UnixTime(unix.0.saturating_sub(now.as_nanos()));
    }

    fn unix_time(&self, now: Instant) -> UnixTime {
        UnixTime(self.epoch.0.saturating_add(now.as_nanos()))
    }

    /// The policies and limits it was given.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Its interfaces, by number.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Its routes.
    #[must_use]
    pub const fn routes(&self) -> &RouteTable {
        &self.routes
    }

    /// What it knows of path MTUs.
    #[must_use]
    pub const fn path_mtus(&self) -> &PathMtus {
        &self.pmtu
    }

    /// Whom to ask for names, as routers say: with the interface by which, those to ask first in
    /// front (RFC 8106).
    pub fn dns_servers(&self) -> impl Iterator<Item = (u16, Ipv6Addr)> {
        let each = self.interfaces.iter().zip(0..);
        each.flat_map(|(i, at)| i.routers.dns().servers().iter().map(move |e| (at, e.value)))
    }

    /// The domains to try for short names, as routers say.
    pub fn dns_search(&self) -> impl Iterator<Item = &str> {
        let each = self.interfaces.iter();
        each.flat_map(|i| i.routers.dns().domains().iter().map(|e| &*e.value))
    }

    /// First hops learned from redirects: destination, router, interface, and until when.
    pub fn redirects(&self) -> impl Iterator<Item = (Zoned, IpAddr, u16, Instant)> {
        let all = self.redirects.iter();
        all.map(|(dst, r)| (*dst, r.gateway, r.interface, r.until))
    }

    /// The fragments that wait for others.
    #[must_use]
    pub const fn reassembly(&self) -> &Reassembly<(Head, u16)> {
        &self.reassembly
    }

    /// What the limit on ICMP errors has let through and held back.
    #[must_use]
    pub const fn icmp_rate(&self) -> crate::net::rate::Stats {
        self.limiter.stats()
    }

    /// Its counters.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Its UDP sockets, in order of place.
    pub fn udp_sockets(&self) -> impl Iterator<Item = (UdpHandle, &crate::transport::udp::Socket)> {
        self.sockets
            .iter()
            .filter_map(|(key, entry)| match &entry.kind {
                sockets::Kind::Udp(socket) => Some((UdpHandle(key), socket)),
                sockets::Kind::Raw(_) => None,
            })
    }

    /// Its raw and echo sockets, in order of place.
    pub fn raw_sockets(&self) -> impl Iterator<Item = (RawHandle, &crate::transport::raw::Socket)> {
        self.sockets
            .iter()
            .filter_map(|(key, entry)| match &entry.kind {
                sockets::Kind::Raw(socket) => Some((RawHandle(key), socket)),
                sockets::Kind::Udp(_) => None,
            })
    }

    /// The source address and interface that a packet to `dst` would have; `None` without a way.
    #[must_use]
    pub fn route_to(&mut self, dst: IpAddr) -> Option<(u16, IpAddr)> {
        self.way(dst).ok().map(|way| (way.interface, way.src))
    }

    #[inline]
    fn interface(&self, at: u16) -> Option<&Interface> {
        self.interfaces.get(usize::from(at))
    }

    #[inline]
    fn interface_mut(&mut self, at: u16) -> Option<&mut Interface> {
        self.calm = None;
        self.interfaces.get_mut(usize::from(at))
    }

    /// The filter of an attachment: its first interface's, which sees the frames of all VLANs.
    fn filter_of(&mut self, port: Port) -> Option<&mut crate::link::ethernet::Filter> {
        let first = *self.port_interfaces(port).first()?;
        self.interface_mut(first).map(|i| &mut i.filter)
    }

    #[inline]
    fn port_interfaces(&self, port: Port) -> &[u16] {
        self.ports_map
            .get(usize::from(port.0))
            .map_or(&[], Vec::as_slice)
    }

    /// When the first machine has work next.
    fn deadline(&self) -> Option<Instant> {
        let tables = earliest(self.reassembly.poll_timeout(), self.pmtu.poll_timeout());
        let redirects = match self.redirects.len() {
            0 => None,
            _ => self.redirects.values().map(|r| r.until).min(),
        };
        let interfaces = self.interfaces.iter().map(Interface::poll_timeout);
        interfaces.fold(earliest(tables, redirects), earliest)
    }

    /// Appends the ports at which [`poll_transmit`](Machine::poll_transmit) may have a frame now; at
    /// all others it has none. For drivers of hosts with many ports: what it costs does not depend
    /// on them while only packets pass that touch no machine.
    pub fn ports_to_ask(&self, now: Instant, ports: &mut Vec<Port>) {
        if self.is_calm(now) {
            let waiting = self.waiting.iter().filter_map(|at| self.interface(*at));
            ports.extend(waiting.map(|i| i.config.port));
        } else {
            ports.extend((0..).map(Port).take(self.ports_map.len()));
        }
    }

    /// Notes that something waits on an interface.
    #[inline]
    fn list(&mut self, at: u16) {
        if let Some(interface) = self.interfaces.get_mut(usize::from(at))
            && !interface.queues.listed
        {
            interface.queues.listed = true;
            self.waiting.push(at);
        }
    }

    /// Notes that nothing waits on an interface any more.
    #[inline]
    fn unlist(&mut self, at: u16) {
        if let Some(interface) = self.interfaces.get_mut(usize::from(at))
            && interface.queues.listed
        {
            interface.queues.listed = false;
            self.waiting.retain(|w| *w != at);
        }
    }

    /// Whether no machine has anything to send at `now`.
    #[inline]
    fn is_calm(&self, now: Instant) -> bool {
        self.calm.is_some_and(|deadline| now < deadline)
    }

    /// Notes whether no machine has anything to send, and when the first will.
    fn note_calm(&mut self, now: Instant) {
        let urgent = |i: &Interface| i.up && i.has_urgent(now);
        if !self.interfaces.iter().any(urgent) {
            self.calm = Some(self.deadline().unwrap_or(Instant::FAR_FUTURE));
        }
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

impl Machine for Host {
    #[inline]
    fn handle_frame(&mut self, now: Instant, port: Port, mut frame: Frame) -> Fate {
        self.stats.frames_in += 1;
        let fate = self
            .receive(now, port, &mut frame)
            .unwrap_or_else(Fate::Dropped);
        self.stats.count(fate, 1);
        fate
    }

    #[inline]
    fn poll_transmit(&mut self, now: Instant, port: Port) -> Option<Frame> {
        self.tcp.forget_note();
        self.transmit(now, port)
    }

    fn transmit_comment(&self) -> Option<&dyn fmt::Display> {
        self.tcp.note.as_ref().map(|why| why as &dyn fmt::Display)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if !self.looped.is_empty() {
            return Some(Instant::ZERO);
        }
        // The wheel knows its first by itself, whatever becomes of the others.
        let timers = self.tcp.poll_timeout();
        let Some(calm) = self.calm else {
            return earliest(self.deadline(), timers);
        };
        let deadline = (calm < Instant::FAR_FUTURE).then_some(calm);
        debug_assert_eq!(
            deadline,
            self.deadline(),
            "a machine was touched in silence"
        );
        earliest(deadline, timers)
    }

    fn handle_timeout(&mut self, now: Instant) {
        if !self.is_calm(now) {
            self.handle_machines(now);
        }
        self.handle_tcp_timeouts(now);
        // Only what is there now: an answer to ourselves waits for the next turn.
        for _ in 0..self.looped.len() {
            let Some((at, mut frame)) = self.looped.pop_front() else {
                break;
            };
            self.looped_bytes -= frame.len();
            self.stats.looped += 1;
            let fate = self
                .receive_own(now, at, &mut frame)
                .unwrap_or_else(Fate::Dropped);
            self.stats.count(fate, 1);
        }
        self.resume_looping(now);
    }
}

impl Host {
    /// Does what is due in all machines but connections.
    fn handle_machines(&mut self, now: Instant) {
        self.calm = None;
        for at in 0..self.interfaces.len() {
            if let Some(interface) = self.interfaces.get_mut(at) {
                interface.handle_timeout(now);
            }
            let at = u16::try_from(at).unwrap_or(u16::MAX);
            self.pump_claims(now, at);
            self.pump_routers(now, at);
        }
        self.reassembly.handle_timeout(now);
        self.pump_reassembly(now);
        self.pmtu.handle_timeout(now);
        self.pump_path_mtus();
        if self.redirects.values().any(|r| r.until <= now) {
            self.redirects.retain(|_, r| r.until > now);
            self.forget_routes();
        }
    }
}

#[cfg(test)]
mod tests;
