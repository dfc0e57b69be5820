//! One interface: an attachment, or one VLAN of it, with its addresses and its link machines.

use super::asked::Asked;
use super::config::{DuplicateDetection, InterfaceConfig, InterfaceId, Medium};
use super::event::Who;
use crate::frame::Frame;
use crate::link::ethernet::{self, Filter};
use crate::link::offload::longest;
use crate::machine::Port;
use crate::net::acd::{self, Acd};
use crate::net::advertiser::{self, Advertiser};
use crate::net::arp::{self, Arp};
use crate::net::autoconf::Autoconf;
use crate::net::dad::Dad;
use crate::net::groups::{FilterMode, GroupError};
use crate::net::igmp::{self, Igmp};
use crate::net::ip::{self, Fragmenter};
use crate::net::mld::Mld;
use crate::net::ndp::{self, Ndp};
use crate::net::neighbor;
use crate::net::route::RouteTable;
use crate::net::routers::{Link, Routers, link_mtu};
use crate::net::select::{self, Candidate, Policy};
use crate::net::slaac::Identifiers;
use crate::rng::Rng;
use crate::time::{Instant, earliest};
use crate::transport::Chain;
use crate::wire::ipv6::HEADER_LEN;
use crate::wire::zone::zone_of;
use crate::wire::{Cidr, EtherType, MacAddr, Zoned, ndp::solicited_node, vlan};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An interface's state.
#[derive(Clone, Debug)]
pub struct Interface {
    pub(super) config: InterfaceConfig,
    pub(super) up: bool,
    pub(super) filter: Filter,
    pub(super) addresses: Vec<Address>,
    /// Addresses that others have as well: those configured, and as a router those of its networks.
    pub(super) anycast: Vec<Ipv6Addr>,
    pub(super) neighbors: neighbor::Cache,
    pub(super) arp: Arp,
    pub(super) acd: Acd,
    pub(super) ndp: Ndp,
    pub(super) dad: Dad,
    pub(super) routers: Routers,
    /// How source addresses of IPv6 are chosen.
    policy: Arc<Policy>,
    prefer_temporary: bool,
    /// Where we advertise ourselves; few interfaces do.
    pub(super) advertiser: Option<Box<Advertiser>>,
    /// Another station has our MAC, and with it our addresses.
    pub(super) ipv6_disabled: bool,
    pub(super) igmp: Igmp,
    pub(super) mld: Mld,
    pub(super) counters: Counters,
    pub(super) queues: Queues,
    /// What users asked of ARP themselves.
    pub(super) asked: Asked,
    /// A packet that is being cut, and where its pieces go.
    pub(super) cutting: Option<(Fragmenter, MacAddr)>,
}

/// An address and whether it may be used yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address with its network.
    pub cidr: Cidr,
    /// Not while it is being probed for (RFC 5227 §2.1).
    pub usable: bool,
    /// Another one is to be used for what is new (RFC 4862 §5.5.4).
    pub deprecated: bool,
    /// One of those that follow one another (RFC 8981).
    pub temporary: bool,
}

/// Traffic of one interface; bytes include link headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received.
    pub rx_frames: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
}

impl Counters {
    #[inline]
    pub(super) fn sent(&mut self, bytes: usize) {
        self.tx_frames += 1;
        self.tx_bytes += bytes as u64;
    }
}

/// Where a packet goes next on this link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hop {
    /// A neighbour, by its IP address.
    Neighbor(IpAddr),
    /// A neighbour or a group as well, and the packet is longer than the way beyond it carries, though perhaps
    /// not than the link: it must be cut.
    Narrow(IpAddr),
    /// A group's members.
    Group(IpAddr),
    /// Everyone.
    Broadcast,
}

/// A packet that waits to leave, in the host's store.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// Made ready where it lies, and then moved once.
    pub(super) frame: Frame,
    /// Where it goes next.
    pub(super) hop: Hop,
    /// The interface it leaves by.
    pub(super) interface: u16,
    /// What it takes of its socket's limit.
    pub(super) cost: u32,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            frame: Frame::default(),
            hop: Hop::Broadcast,
            interface: 0,
            cost: 0,
        }
    }
}

/// What waits to leave, most urgent first.
#[derive(Clone, Debug, Default)]
pub(super) struct Queues {
    pub(super) replies: Chain,
    /// Of the replies, as IP packets.
    pub(super) reply_bytes: usize,
    pub(super) forwarded: Chain,
    /// Sockets and connections whose next packet leaves by this interface, in turn.
    pub(super) sockets: VecDeque<Who>,
    /// Whether the host's list of waiting interfaces has this one.
    pub(super) listed: bool,
}

impl Interface {
    pub(super) fn new(config: InterfaceConfig, host: &super::Config, rng: &Rng) -> Self {
        let mut filter = Filter::new(config.mac);
        filter.promiscuous = config.promiscuous;
        // We differ from RFC 4861 §7.2.8, where a proxy tells with MLD which groups it hears: those of a
        // network are more than can be told, and switches that look at MLD may keep them from us.
        filter.all_solicited = config.proxy_arp.iter().any(|c| c.addr().is_ipv6());
        //= RFC 1112 §7.2 every host is in 224.0.0.1, on every interface.
        filter.join(MacAddr::from_ipv4_multicast(Ipv4Addr::new(224, 0, 0, 1)));
        let identifiers = match config.interface_id {
            InterfaceId::Eui64 => Identifiers::Eui64(config.mac),
            InterfaceId::Stable => Identifiers::Stable {
                key: host
                    .secret_key
                    .unwrap_or_else(|| rng.fork("stable identifiers").hash_keys()),
                interface: config.name.clone(),
            },
        };
        let rng = rng.fork(&config.name);
        let (own, draws) = (host.autoconf.clone(), rng.fork("temporary addresses"));
        let autoconf = Autoconf::new(own, identifiers, config.temporary, draws);
        let arp = arp::Config {
            proxy: config.proxy_arp.clone(),
            ..arp::Config::default()
        };
        let igmp = igmp::Config {
            // What is left of a packet beside an IP header with router alert.
            max_message: config.mtu.saturating_sub(24),
            ..host.igmp
        };
        let advertiser = advertiser(&config, host.forwarding, &rng);
        let mut interface = Self {
            up: true,
            filter,
            addresses: Vec::new(),
            anycast: Vec::new(),
            neighbors: neighbor::Cache::new(host.neighbor.clone(), rng.fork("neighbor")),
            arp: Arp::new(arp, rng.fork("arp")),
            acd: Acd::new(host.acd.clone(), rng.fork("acd")),
            ndp: Ndp::new(&host.ndp, rng.fork("ndp")),
            dad: Dad::new(host.dad.clone(), rng.fork("dad")),
            routers: Routers::new(host.routers.clone(), autoconf, rng.fork("routers")),
            policy: Arc::clone(&host.address_policy),
            prefer_temporary: host.prefer_temporary,
            advertiser,
            ipv6_disabled: false,
            igmp: Igmp::new(igmp, rng.fork("igmp")),
            mld: Mld::new(host.mld, listener_room(config.mtu), rng.fork("mld")),
            counters: Counters::default(),
            queues: Queues::default(),
            asked: Asked::default(),
            cutting: None,
            config,
        };
        interface.meet_link();
        interface
    }

    /// Comes to a link of which nothing is known but what we say of it ourselves.
    //= RFC 4861 §6.3.2 the variables of an interface have their defaults until a router is heard.
    pub(super) fn meet_link(&mut self) {
        let link = match &self.advertiser {
            Some(advertiser) => self.routers.go_by(advertiser.config()),
            None => self.routers.forget_link(),
        };
        self.take_link(link);
    }

    /// Goes by what is said of its link.
    pub(super) fn take_link(&mut self, link: Link) {
        let times = (link.reachable_time, link.retrans_timer);
        self.neighbors.set_times6(times.0, times.1);
        //= RFC 4862 §5.1 duplicates are looked for at intervals of RetransTimer.
        self.dad.set_retrans_timer(link.retrans_timer);
        let mtu = link.mtu.unwrap_or(self.config.mtu);
        self.mld
            .set_max_message(listener_room(mtu.min(self.config.mtu)));
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The attachment it lives on.
    #[must_use]
    pub const fn port(&self) -> Port {
        self.config.port
    }

    /// What it was told at birth.
    #[must_use]
    pub const fn config(&self) -> &InterfaceConfig {
        &self.config
    }

    /// The longest packet to `dst` that its link carries: of IPv6 what routers say, where they do.
    //= RFC 4861 §6.3.4 the MTU option's value is the LinkMTU, up to that of the link's kind.
    #[must_use]
    #[inline]
    pub fn mtu_for(&self, dst: IpAddr) -> usize {
        let said = self.routers.link().mtu.filter(|_| dst.is_ipv6());
        said.map_or(self.config.mtu, |mtu| mtu.min(self.config.mtu))
    }

    /// Whether it is up.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.up
    }

    /// Its addresses.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Its anycast addresses of IPv6.
    #[must_use]
    pub fn anycast(&self) -> &[Ipv6Addr] {
        &self.anycast
    }

    /// Whether `addr` is one of its anycast addresses.
    #[inline]
    pub(super) fn is_anycast(&self, addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(_) => false,
            IpAddr::V6(addr) => self.anycast.contains(&addr) && self.speaks_ipv6(),
        }
    }

    /// Whether it is one by its settings, and not as a router of its networks.
    pub(super) fn is_given_anycast(&self, addr: IpAddr) -> bool {
        let given = self.config.anycast.iter();
        given.copied().any(|given| IpAddr::V6(given) == addr)
    }

    /// Its neighbours.
    #[must_use]
    pub const fn neighbors(&self) -> &neighbor::Cache {
        &self.neighbors
    }

    /// Its groups.
    #[must_use]
    pub const fn groups(&self) -> &Igmp {
        &self.igmp
    }

    /// Its groups of IPv6.
    #[must_use]
    pub const fn groups6(&self) -> &Mld {
        &self.mld
    }

    /// Lets a socket hear a group.
    pub(super) fn join(
        &mut self,
        now: Instant,
        socket: u32,
        group: IpAddr,
        mode: FilterMode,
        sources: &[IpAddr],
    ) -> Result<(), GroupError> {
        fn all<A>(
            sources: &[IpAddr],
            of: impl Fn(&IpAddr) -> Option<A>,
        ) -> Result<Vec<A>, GroupError> {
            let sources = sources.iter().map(of).collect::<Option<_>>();
            sources.ok_or(GroupError::MixedFamilies)
        }
        match group {
            IpAddr::V4(group) => {
                let sources = all(sources, |s| match s {
                    IpAddr::V4(s) => Some(*s),
                    IpAddr::V6(_) => None,
                })?;
                self.igmp.join(now, socket, group, mode, &sources)
            }
            IpAddr::V6(group) => {
                let sources = all(sources, |s| match s {
                    IpAddr::V6(s) => Some(*s),
                    IpAddr::V4(_) => None,
                })?;
                self.mld.join(now, socket, group, mode, &sources)
            }
        }
    }

    /// Ends that. One that had not joined need not leave.
    pub(super) fn leave(&mut self, now: Instant, socket: u32, group: IpAddr) {
        let _ = match group {
            IpAddr::V4(group) => self.igmp.leave(now, socket, group),
            IpAddr::V6(group) => self.mld.leave(now, socket, group),
        };
    }

    /// Whether anyone has joined a group.
    pub(super) fn is_member(&self, group: IpAddr) -> bool {
        match group {
            IpAddr::V4(group) => self.igmp.is_member(group),
            IpAddr::V6(group) => self.mld.is_member(group),
        }
    }

    /// Whether a socket is to have what `src` sends to a group (RFC 3376 §3.2).
    pub(super) fn socket_hears(&self, socket: u32, group: IpAddr, src: IpAddr) -> bool {
        match (group, src) {
            (IpAddr::V4(group), IpAddr::V4(src)) if group.is_multicast() => {
                self.igmp.socket_accepts(socket, group, src)
            }
            // The groups of the host itself need not be joined.
            (IpAddr::V6(group), IpAddr::V6(src)) => {
                self.is_own_group(group) || self.mld.socket_accepts(socket, group, src)
            }
            _ => true,
        }
    }

    /// Its claims of addresses.
    #[must_use]
    pub const fn claims(&self) -> &Acd {
        &self.acd
    }

    /// Its claims of IPv6 addresses.
    #[must_use]
    pub const fn claims6(&self) -> &Dad {
        &self.dad
    }

    /// What routers have said on its link.
    #[must_use]
    pub const fn routers(&self) -> &Routers {
        &self.routers
    }

    /// Its advertisements as a router, where there are any.
    #[must_use]
    pub fn advertiser(&self) -> Option<&Advertiser> {
        self.advertiser.as_deref()
    }

    /// Its neighbour discovery.
    #[must_use]
    pub const fn discovery(&self) -> &Ndp {
        &self.ndp
    }

    /// Its ARP.
    #[must_use]
    pub const fn arp(&self) -> &Arp {
        &self.arp
    }

    /// Packets that wait to leave: replies, forwarded ones, and sockets that have some.
    #[must_use]
    pub fn queued(&self) -> [usize; 3] {
        let Queues {
            replies,
            forwarded,
            sockets,
            ..
        } = &self.queues;
        [replies.len(), forwarded.len(), sockets.len()]
    }

    /// Its traffic.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Its first usable IPv4 address.
    #[must_use]
    pub fn primary4(&self) -> Option<Ipv4Addr> {
        self.addresses
            .iter()
            .filter(|a| a.usable)
            .find_map(|a| a.cidr.addr4())
    }

    /// Its address towards `peer`: the one in the peer's network, else the first.
    #[must_use]
    pub fn source_for(&self, peer: Ipv4Addr) -> Option<Ipv4Addr> {
        self.addresses
            .iter()
            .filter(|a| a.usable)
            .find(|a| a.cidr.contains(IpAddr::V4(peer)))
            .and_then(|a| a.cidr.addr4())
            .or_else(|| self.primary4())
    }

    /// Its address towards `peer`, of the same family.
    pub(super) fn source_to(&self, peer: IpAddr) -> Option<IpAddr> {
        match peer {
            IpAddr::V4(peer) => self.source_for(peer).map(IpAddr::V4),
            IpAddr::V6(peer) => self.source_among(peer, |_| true).map(IpAddr::V6),
        }
    }

    /// The same of IPv6 by a router, and with temporary addresses or others first.
    pub(super) fn source_via(
        &self,
        peer: Ipv6Addr,
        router: Option<IpAddr>,
        temporary: Option<bool>,
    ) -> Option<Ipv6Addr> {
        let temporary = temporary.unwrap_or(self.prefer_temporary);
        let candidates = self.candidates(true, router);
        let best = select::source(&self.policy, peer, temporary, candidates);
        best.and_then(|c| c.cidr.addr6())
    }

    /// Its address towards `peer` among those that `may` be it.
    pub(super) fn source_among(
        &self,
        peer: Ipv6Addr,
        may: impl Fn(Ipv6Addr) -> bool,
    ) -> Option<Ipv6Addr> {
        let fits = |c: &Candidate| c.cidr.addr6().is_some_and(&may);
        let candidates = self.candidates(true, None).filter(fits);
        let best = select::source(&self.policy, peer, self.prefer_temporary, candidates);
        best.and_then(|c| c.cidr.addr6())
    }

    /// The addresses of IPv6 that packets may come from.
    pub(super) fn candidates(
        &self,
        outgoing: bool,
        router: Option<IpAddr>,
    ) -> impl Iterator<Item = Candidate> {
        let router = router.and_then(|hop| match hop {
            IpAddr::V6(hop) => Some(hop),
            IpAddr::V4(_) => None,
        });
        let usable = self.addresses.iter().filter(|a| a.usable);
        usable.filter_map(move |a| {
            let addr = a.cidr.addr6()?;
            Some(Candidate {
                cidr: a.cidr,
                //= RFC 4429 §2.1 an optimistic address is treated as a deprecated one here.
                deprecated: a.deprecated || self.dad.is_probing(addr),
                temporary: a.temporary,
                outgoing,
                by_next_hop: router.and_then(|r| self.routers.has_advertised(r, addr)),
            })
        })
    }

    /// Whether it has ceased to speak IPv6, since the address made from its MAC is somebody else's as
    /// well (RFC 4862 §5.4.5).
    #[must_use]
    pub const fn is_ipv6_disabled(&self) -> bool {
        self.ipv6_disabled
    }

    /// Whether it has an IPv6 address: what has none does not speak IPv6.
    #[inline]
    pub(super) fn speaks_ipv6(&self) -> bool {
        !self.ipv6_disabled && self.addresses.iter().any(|a| a.cidr.addr().is_ipv6())
    }

    /// Whether it hears what `src` sends to a group.
    #[inline]
    pub(super) fn hears(&self, group: IpAddr, src: IpAddr) -> bool {
        match (group, src) {
            (IpAddr::V4(group), IpAddr::V4(src)) => self.igmp.accepts(group, src),
            (IpAddr::V6(group), IpAddr::V6(src)) => {
                self.is_own_group(group) || self.mld.accepts(group, src)
            }
            _ => false,
        }
    }

    //= RFC 4291 §2.8 a host recognises the groups of all nodes, and those that go with its addresses.
    fn is_own_group(&self, group: Ipv6Addr) -> bool {
        let of = |a: &Address| a.cidr.addr6().map(solicited_node);
        group == ndp::ALL_NODES
            || self.addresses.iter().any(|a| of(a) == Some(group))
            || self.anycast.iter().any(|a| solicited_node(*a) == group)
            || self.filter.all_solicited && solicited_node(group) == group
    }

    /// Whether `addr` is one of its addresses, usable.
    #[must_use]
    #[inline]
    pub fn holds(&self, addr: impl Into<IpAddr>) -> bool {
        let addr = addr.into();
        self.addresses
            .iter()
            .any(|a| a.usable && a.cidr.addr() == addr)
    }

    /// Whether `addr` is the broadcast address of one of its networks, in either form: all ones,
    /// or the network itself (RFC 1122 §3.3.6).
    #[must_use]
    #[inline]
    pub fn is_directed_broadcast(&self, addr: impl Into<IpAddr>) -> bool {
        let IpAddr::V4(addr) = addr.into() else {
            return false;
        };
        self.addresses.iter().any(|a| {
            a.cidr.broadcast() == Some(addr)
                || (a.cidr.prefix_len() < 31 && a.cidr.network().addr() == IpAddr::V4(addr))
        })
    }

    /// Begins to claim an IPv4 address; whether it may be used at once.
    pub(super) fn claim_ipv4(&mut self, now: Instant, addr: Ipv4Addr) -> bool {
        let (start, policy) = claim_terms(self.config.probe_addresses);
        let claimed = self.acd.claim(now, addr, start, policy);
        !claimed || !self.config.probe_addresses
    }

    /// Says which addresses may be used now that the link has come up and claims were begun anew.
    /// Those that were lost are claimed again: who had them may be gone, or on another link.
    //= RFC 4862 §5.3 an interface that management enables again forms its addresses again, and
    //= §5.4 each is looked for before it is used.
    pub(super) fn reclaim(&mut self, now: Instant, transmits: u32) {
        self.ipv6_disabled = false;
        let ethernet = self.config.medium == Medium::Ethernet;
        let waits = self.config.duplicate_detection == DuplicateDetection::Before;
        for at in 0..self.addresses.len() {
            let Some(address) = self.addresses.get(at) else {
                break;
            };
            // What is probed for again may not be used meanwhile.
            let usable = match address.cidr.addr() {
                _ if !ethernet => true,
                IpAddr::V4(addr) => match self.acd.state(addr) {
                    None => self.claim_ipv4(now, addr),
                    Some(state) => state != acd::State::Probing,
                },
                IpAddr::V6(addr) => match self.dad.state(addr) {
                    None => self.claim_ipv6(now, addr, transmits),
                    Some(_) => !(waits && self.dad.is_probing(addr)),
                },
            };
            if let Some(address) = self.addresses.get_mut(at) {
                address.usable = usable;
            }
        }
    }

    /// Link header and padding for a packet.
    #[inline]
    pub(super) fn encapsulate(&self, frame: &mut Frame, dst: MacAddr, ethertype: EtherType) {
        encapsulate(&self.config, frame, dst, ethertype);
    }

    /// Whether anything waits that comes before queued packets.
    #[inline]
    pub(super) fn has_urgent(&self, now: Instant) -> bool {
        self.cutting.is_some()
            || self.acd.has_output()
            || self.arp.has_output()
            || self.has_discovery()
            || self.asked.has_output()
            || self.neighbors.has_output()
            || self.igmp.has_output(now)
            || self.mld.has_output(now)
    }

    /// Whether neighbour discovery has something to say itself.
    #[inline]
    pub(super) fn has_discovery(&self) -> bool {
        let advertises = self.advertiser.as_ref().is_some_and(|a| a.has_output());
        self.dad.has_output() || self.ndp.has_output() || self.routers.has_output() || advertises
    }

    /// When there is work next. Down, nothing can leave, and what is due waits for the link.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        if !self.up {
            return None;
        }
        let claims = earliest(self.acd.poll_timeout(), self.dad.poll_timeout());
        let routers = self.advertiser.as_ref().and_then(|a| a.poll_timeout());
        let routers = earliest(self.routers.poll_timeout(), routers);
        let claims = earliest(earliest(claims, routers), self.ndp.poll_timeout());
        let link = earliest(self.neighbors.poll_timeout(), claims);
        let groups = earliest(self.igmp.poll_timeout(), self.mld.poll_timeout());
        earliest(link, groups)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.neighbors.handle_timeout(now);
        self.acd.handle_timeout(now);
        self.dad.handle_timeout(now);
        self.ndp.handle_timeout(now);
        self.routers.handle_timeout(now);
        if let Some(advertiser) = &mut self.advertiser {
            advertiser.handle_timeout(now);
        }
        self.igmp.handle_timeout(now);
        self.mld.handle_timeout(now);
    }
}

/// What the MTU leaves for a message of listener discovery, beside the header and one with router
/// alert.
const fn listener_room(mtu: usize) -> usize {
    mtu.saturating_sub(48)
}

/// What an interface advertises; its own prefixes where no others are named.
//= RFC 4861 §6.2.4 a host MUST NOT send router advertisements at any time.
fn advertiser(config: &InterfaceConfig, forwards: bool, rng: &Rng) -> Option<Box<Advertiser>> {
    let medium = config.medium == Medium::Ethernet;
    let mut said = config.advertise.clone().filter(|_| forwards && medium)?;
    //= RFC 4861 §6.2.1 the default is every prefix that is on the link; the link-local one SHOULD NOT
    //= be among them.
    said.prefixes.get_or_insert_with(|| {
        let own = config.addresses.iter();
        let mut own: Vec<_> = own
            .filter(|c| c.addr6().is_some_and(|a| !a.is_unicast_link_local()))
            .filter(|c| c.prefix_len() < 127)
            .map(|c| c.network())
            .collect();
        own.dedup();
        own.into_iter().map(advertiser::Prefix::new).collect()
    });
    let mtu = said.mtu.and_then(link_mtu).unwrap_or(config.mtu);
    let room = mtu.min(config.mtu).saturating_sub(HEADER_LEN);
    let rng = rng.fork("advertiser");
    Some(Box::new(Advertiser::new(said, room, rng)))
}

/// Link header and padding for a packet of an interface.
fn encapsulate(config: &InterfaceConfig, frame: &mut Frame, dst: MacAddr, ethertype: EtherType) {
    if config.medium == Medium::Ip {
        return;
    }
    let tag = config.vlan.map(|vid| vlan::Header {
        pcp: config.priority,
        dei: false,
        vid,
        ethertype,
    });
    ethernet::encapsulate(frame, dst, config.mac, tag, ethertype);
}

/// Makes a packet ready for the wire in its place; `false`, and the packet is as it was, where its
/// next hop is not known, or is to be verified from now on, or it must be cut.
#[inline]
pub(super) fn make_ready(
    config: &InterfaceConfig,
    neighbors: &mut neighbor::Cache,
    now: Instant,
    hop: &Hop,
    frame: &mut Frame,
) -> bool {
    if frame.len() > config.mtu && longest(frame) > config.mtu {
        return false;
    }
    let Hop::Neighbor(ip) = hop else {
        let (mac, ethertype) = match hop {
            Hop::Group(group) => (group_mac(*group), ip::ethertype(group)),
            Hop::Neighbor(_) | Hop::Narrow(_) => return false,
            Hop::Broadcast => (MacAddr::BROADCAST, EtherType::IPV4),
        };
        encapsulate(config, frame, mac, ethertype);
        return true;
    };
    if config.medium == Medium::Ip {
        return true;
    }
    let Some(mac) = neighbors.glance(now, ip) else {
        return false;
    };
    if config.vlan.is_none() {
        // What `encapsulate` comes to where nothing else is to be looked at.
        ethernet::encapsulate(frame, mac, config.mac, None, ip::ethertype(ip));
    } else {
        encapsulate(config, frame, mac, ip::ethertype(ip));
    }
    true
}

/// The station address of a group.
pub(super) const fn group_mac(group: IpAddr) -> MacAddr {
    match group {
        IpAddr::V4(group) => MacAddr::from_ipv4_multicast(group),
        IpAddr::V6(group) => MacAddr::from_ipv6_multicast(group),
    }
}

/// Whether an address, or the members of a group, are on one link only.
pub(super) const fn is_link_scope(addr: Ipv6Addr) -> bool {
    addr.is_unicast_link_local() || matches!(addr.octets(), [0xff, scope, ..] if scope & 0xf <= 2)
}

/// A destination that packets leave for by interface `at`, as it is told from others: with the zone
/// where it is one of the link.
//= RFC 4007 §6 an address of a zone means nothing without it.
#[inline]
pub(super) const fn at_link(addr: IpAddr, at: u16) -> Zoned {
    let zone = match addr {
        IpAddr::V6(six) if is_link_scope(six) => zone_of(at),
        _ => 0,
    };
    Zoned { addr, zone }
}

/// What ARP asks about the interface it serves, without borrowing the whole of it.
pub(super) struct LocalView<'a> {
    pub(super) mac: MacAddr,
    pub(super) addresses: &'a [Address],
    pub(super) routes: &'a RouteTable,
    pub(super) interface: Port,
}

impl arp::Local for LocalView<'_> {
    fn mac(&self) -> MacAddr {
        self.mac
    }

    fn is_ours(&self, addr: Ipv4Addr) -> bool {
        self.addresses
            .iter()
            .any(|a| a.usable && a.cidr.addr() == IpAddr::V4(addr))
    }

    fn is_on_link(&self, addr: Ipv4Addr) -> bool {
        self.addresses
            .iter()
            .any(|a| a.cidr.contains(IpAddr::V4(addr)))
    }

    fn is_routed_elsewhere(&self, addr: Ipv4Addr) -> bool {
        self.routes
            .lookup(IpAddr::V4(addr))
            .is_some_and(|r| r.port != self.interface)
    }
}

/// How ACD shall hold the addresses of this host.
pub(super) const fn claim_terms(probe: bool) -> (acd::Start, acd::Policy) {
    // A host that serves under a configured address keeps it: RFC 5227 §2.4 (c).
    (
        if probe {
            acd::Start::Probe
        } else {
            acd::Start::Announce
        },
        acd::Policy::Keep,
    )
}
