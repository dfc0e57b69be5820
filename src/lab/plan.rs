//! What a topology leaves open, decided: addresses, station addresses, MTUs and routes.
//!
//! ```text
//!   wires joined by hubs --> segments, in the order of their first wires
//!      segment --> 10.0.1.0/24, 10.0.2.0/24, ..   (wider where it has more nodes)
//!                  fd00:0:0:1::/64, fd00:0:0:2::/64, ..   where the topology's families have IPv6
//!        node  --> .1, .2, .. in the order of the nodes
//!   routers     --> the fewest hops to each segment, ties by name
//!   hosts       --> a default route by a router on their segment, the first by name
//! ```
//!
//! Promises: a pure function of the topology. What the topology does say stands: an automatic
//! address never takes one that is given, nor a network; a route that is given wins over a learned
//! one to the same destination.

use super::fault::Party;
use super::settings::Settings;
use super::topology::{Families, Kind, Place, Topology, TopologyError};
use stack::host::{DuplicateDetection, InterfaceConfig};
use stack::machine::Port;
use stack::net::route::Route;
use stack::wire::{Cidr, MacAddr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Everything decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Of each node, in the topology's order.
    pub nodes: Vec<NodePlan>,
    /// Wires that hear each other.
    pub segments: Vec<Segment>,
}

/// What is decided about a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodePlan {
    /// Its ports, from zero; a hub's have no addresses.
    pub interfaces: Vec<InterfacePlan>,
    /// Its routes besides those of its addresses.
    pub routes: Vec<Route>,
}

/// What is decided about a port.
#[derive(Clone, Debug, PartialEq)]
pub struct InterfacePlan {
    /// Its number at the node.
    pub port: Port,
    /// The wire that ends there, as a position in the topology.
    pub wire: usize,
    /// Which of the wire's ends: what the node sends takes `ways[side]`.
    pub side: usize,
    /// The segment that the wire belongs to.
    pub segment: usize,
    /// The station's address: 02:00:00, two bytes of node, one of port.
    pub mac: MacAddr,
    /// Its addresses.
    pub cidrs: Vec<Cidr>,
    /// The largest packet that every wire of its segment carries, unless set.
    pub mtu: usize,
}

/// Wires that are joined by hubs: who hears whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// Its wires.
    pub wires: Vec<usize>,
    /// Nodes on it that are no hubs, each with its port.
    pub members: Vec<(usize, usize)>,
    /// Networks that its members' addresses are in.
    pub networks: Vec<Cidr>,
}

impl InterfacePlan {
    /// What a host is told at birth about this port.
    #[must_use]
    pub fn config(&self, settings: &Settings) -> InterfaceConfig {
        let name = format!("eth{}", self.port.0);
        let mut config = InterfaceConfig::ethernet(&name, self.port, self.mac);
        config.mtu = self.mtu;
        // As of IPv4's: used at once, or looked for first.
        config.duplicate_detection = match settings.probe_addresses {
            Some(true) => DuplicateDetection::Before,
            _ => DuplicateDetection::Off,
        };
        settings.apply_to_interface(&mut config);
        config.addresses.clone_from(&self.cidrs);
        config
    }
}

impl Plan {
    /// All addresses of a node.
    pub fn addresses(&self, node: usize) -> impl Iterator<Item = IpAddr> {
        let interfaces = self.nodes.get(node).map(|n| n.interfaces.iter());
        let cidrs = interfaces.into_iter().flatten().flat_map(|i| &i.cidrs);
        cidrs.map(|c| c.addr())
    }

    /// Frames that hubs make of what all hosts announce at the beginning: each of `n` on a segment is
    /// heard by all others, which is `n * (n - 1)`, all under way at once.
    #[must_use]
    pub fn copies_at_start(&self) -> u64 {
        let members = self.segments.iter().map(|s| s.members.len() as u64);
        members.filter(|n| *n > 2).map(|n| n * (n - 1)).sum()
    }

    /// The address that a name means to who asks: the node's first of a family that both have, or
    /// else its first.
    #[must_use]
    pub fn resolve(&self, topology: &Topology, from: &str, party: &Party) -> Option<IpAddr> {
        let name = match party {
            Party::Addr(addr) => return Some(*addr),
            Party::Node(name) => name,
        };
        let to = topology.index_of(name)?;
        let spoken = |addr: &IpAddr| {
            let from = topology.index_of(from);
            from.is_some_and(|from| self.speaks(from, *addr))
        };
        let mut both = self.addresses(to).filter(spoken);
        both.next().or_else(|| self.addresses(to).next())
    }

    /// Whether a node has an address of that family.
    #[must_use]
    pub fn speaks(&self, node: usize, family: IpAddr) -> bool {
        let mut own = self.addresses(node);
        own.any(|own| own.is_ipv4() == family.is_ipv4())
    }
}

/// Decides what a topology leaves open.
///
/// # Errors
/// Networks that overlap, an address twice, a segment that is full, a next hop that is nobody's.
///
/// ```
/// use tapline::lab::{plan::plan, topology::Topology};
/// let topology = Topology::new().host("a").router("r").host("b").link("a", "r").link("r", "b");
/// let plan = plan(&topology).unwrap();
/// assert_eq!(plan.nodes[0].interfaces[0].cidrs[0].to_string(), "10.0.1.1/24");
/// assert_eq!(plan.nodes[1].interfaces[1].cidrs[0].to_string(), "10.0.2.1/24");
/// assert_eq!(plan.nodes[2].routes[0].destination.to_string(), "0.0.0.0/0");
/// ```
pub fn plan(topology: &Topology) -> Result<Plan, TopologyError> {
    let mut plan = lay_out(topology)?;
    give_addresses(topology, &mut plan)?;
    check_networks(topology, &mut plan)?;
    let ways = Ways::of(topology, &plan);
    for node in 0..topology.nodes.len() {
        let routes = routes_of(topology, &plan, &ways, node)?;
        if let Some(node) = plan.nodes.get_mut(node) {
            node.routes = routes;
        }
    }
    Ok(plan)
}

/// Ports, station addresses, segments.
fn lay_out(topology: &Topology) -> Result<Plan, TopologyError> {
    let ports = topology.ports();
    let segment_of = segments(topology, &ports)?;
    let count = segment_of.iter().max().map_or(0, |most| most + 1);
    let mut segments = vec![Segment::default(); count];
    let mut mtus = vec![usize::MAX; count];
    for (wire, segment) in segment_of.iter().enumerate() {
        segments[*segment].wires.push(wire);
        let least = topology.wires[wire].ways.iter().map(|w| w.mtu).min();
        mtus[*segment] = mtus[*segment].min(least.unwrap_or(usize::MAX));
    }
    let mut nodes = Vec::new();
    for (n, (node, ports)) in topology.nodes.iter().zip(&ports).enumerate() {
        let mut interfaces = Vec::new();
        for (p, &(wire, side)) in ports.iter().enumerate() {
            let segment = segment_of[wire];
            if node.kind != Kind::Hub {
                segments[segment].members.push((n, p));
            }
            let number = u16::try_from(p).map_err(|_| TopologyError {
                place: Place::Node(n),
                keys: &[],
                what: format!("node `{}` has more than 65,536 ports", node.name),
            })?;
            let set = node.settings.mtu.and_then(|m| usize::try_from(m.0).ok());
            interfaces.push(InterfacePlan {
                port: Port(number),
                wire,
                side,
                segment,
                mac: station(n, p),
                cidrs: node.addresses.get(p).cloned().unwrap_or_default(),
                mtu: set.unwrap_or(mtus[segment]),
            });
        }
        let routes = Vec::new();
        nodes.push(NodePlan { interfaces, routes });
    }
    Ok(Plan { nodes, segments })
}

/// 02:00:00:NN:NN:PP; the zeros take what does not fit, and bit 1 of the first byte says that it
/// is of nobody's allotment (IEEE 802 §8.4).
fn station(node: usize, port: usize) -> MacAddr {
    let [.., n2, n1, n0] = node.to_be_bytes();
    let [.., p1, p0] = port.to_be_bytes();
    MacAddr([0x02, n2, p1, n1, n0, p0])
}

/// The segment of each wire, counted in the order of their first wires.
fn segments(
    topology: &Topology,
    ports: &[Vec<(usize, usize)>],
) -> Result<Vec<usize>, TopologyError> {
    let mut hubs = Groups::new(topology.nodes.len());
    let mut wires = Groups::new(topology.wires.len());
    let mut entered: Vec<Option<usize>> = vec![None; topology.wires.len()];
    for (hub, ports) in ports.iter().enumerate() {
        if topology.nodes[hub].kind != Kind::Hub {
            continue;
        }
        for &(wire, _) in ports {
            wires.join(ports[0].0, wire);
            // The second hub that has this wire is joined with the first.
            if let Some(other) = entered[wire].replace(hub)
                && !hubs.join(other, hub)
            {
                let name = &topology.wires[wire].name;
                return Err(TopologyError {
                    keys: &["between"],
                    place: Place::Wire(wire),
                    what: format!(
                        "wire `{name}` closes a ring of hubs, in which frames would circle for \
                         ever: leave it out, or put a router between"
                    ),
                });
            }
        }
    }
    let mut numbers = BTreeMap::new();
    let mut number = |wire| {
        let next = numbers.len();
        *numbers.entry(wires.of(wire)).or_insert(next)
    };
    Ok((0..topology.wires.len()).map(&mut number).collect())
}

/// Things that belong together, by their first member (union and find).
struct Groups(Vec<usize>);

impl Groups {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn of(&mut self, mut item: usize) -> usize {
        while self.0[item] != item {
            // Halve the way for the next who asks.
            self.0[item] = self.0[self.0[item]];
            item = self.0[item];
        }
        item
    }

    /// Whether they were apart before.
    fn join(&mut self, a: usize, b: usize) -> bool {
        let (a, b) = (self.of(a), self.of(b));
        self.0[a.max(b)] = a.min(b);
        a != b
    }
}

fn give_addresses(topology: &Topology, plan: &mut Plan) -> Result<(), TopologyError> {
    let mut pool = Pool::beside(plan);
    for segment in &plan.segments {
        let cidrs = |(n, p): &(usize, usize)| &plan.nodes[*n].interfaces[*p].cidrs;
        let said: Vec<Cidr> = segment.members.iter().flat_map(cidrs).copied().collect();
        let bare = |member: &&(usize, usize)| cidrs(member).is_empty();
        let bare: Vec<_> = segment.members.iter().filter(bare).copied().collect();
        if bare.is_empty() {
            continue;
        }
        for four in families(topology, &said) {
            let mut said = said.iter().filter(|c| c.addr().is_ipv4() == four);
            let used: BTreeSet<IpAddr> = said.clone().map(|c| c.addr()).collect();
            let network = match said.next() {
                Some(first) => Some(first.network()),
                None if four => pool.network4(segment.members.len()),
                None => pool.network6(),
            };
            let mut free = network.into_iter().flat_map(hosts);
            for &(n, p) in &bare {
                let next = free.find(|c| !used.contains(&c.addr()));
                let cidr = next.ok_or_else(|| TopologyError {
                    place: Place::Node(n),
                    keys: &["addresses"],
                    what: match network {
                        Some(network) => format!(
                            "no address is left in {network} for node `{}`: give it one",
                            topology.nodes[n].name
                        ),
                        None => "there are more networks than 10.0.0.0/8 holds".to_owned(),
                    },
                })?;
                plan.nodes[n].interfaces[p].cidrs.push(cidr);
            }
        }
    }
    Ok(())
}

/// The families of which whoever says nothing gets addresses on a segment, IPv4 (`true`) first: those
/// of the topology, as far as others there have said some; else theirs.
fn families(topology: &Topology, said: &[Cidr]) -> Vec<bool> {
    let wanted = match topology.families {
        Families::Ipv4 => &[true][..],
        Families::Ipv6 => &[false],
        Families::Both => &[true, false],
    };
    let is_said = |four: bool| said.iter().any(|c| c.addr().is_ipv4() == four);
    let both: Vec<bool> = wanted.iter().copied().filter(|f| is_said(*f)).collect();
    match (said.first(), both.is_empty()) {
        (None, _) => wanted.to_vec(),
        (Some(first), true) => vec![first.addr().is_ipv4()],
        (Some(_), false) => both,
    }
}

/// Networks of 10.0.0.0/8 and of fd00::/32 that nobody has.
struct Pool {
    next4: u32,
    next6: u32,
    given: BTreeSet<Cidr>,
}

impl Pool {
    fn beside(plan: &Plan) -> Self {
        let given = plan.nodes.iter().flat_map(|n| &n.interfaces);
        Self {
            next4: u32::from(Ipv4Addr::new(10, 0, 1, 0)),
            next6: 1,
            given: given.flat_map(|i| &i.cidrs).map(|c| c.network()).collect(),
        }
    }

    /// The next one of IPv4 with room for so many hosts.
    fn network4(&mut self, hosts: usize) -> Option<Cidr> {
        let bits = (8..24).find(|bits| hosts + 2 <= 1 << bits)?;
        let block = 1_u32 << bits;
        loop {
            let start = self.next4.checked_next_multiple_of(block)?;
            let prefix = 32 - u8::try_from(bits).ok()?;
            let cidr = Cidr::new(IpAddr::V4(start.into()), prefix)?;
            if start >> 24 != 10 {
                return None;
            }
            self.next4 = start + block;
            if self.is_free(cidr) {
                return Some(cidr);
            }
        }
    }

    /// The next one of IPv6: fd00:0:0:1::/64, fd00:0:0:2::/64, ..
    fn network6(&mut self) -> Option<Cidr> {
        loop {
            let start = 0xfd00 << 112 | u128::from(self.next6) << 64;
            self.next6 = self.next6.checked_add(1)?;
            let cidr = Cidr::new(IpAddr::V6(start.into()), 64)?;
            if self.is_free(cidr) {
                return Some(cidr);
            }
        }
    }

    fn is_free(&self, cidr: Cidr) -> bool {
        let taken = |given: &Cidr| given.contains(cidr.addr()) || cidr.contains(given.addr());
        !self.given.iter().any(taken)
    }
}

/// The addresses of a network that a host may have, in order.
fn hosts(network: Cidr) -> impl Iterator<Item = Cidr> {
    let prefix = network.prefix_len();
    let bits: u32 = if network.addr().is_ipv4() { 32 } else { 128 };
    // No network of ours has more than that.
    let size = 1_u64 << bits.saturating_sub(u32::from(prefix)).min(32);
    let (first, last) = match network.addr() {
        // A link of two or one has no broadcast (RFC 3021).
        IpAddr::V4(_) if prefix < 31 => (1, size - 1),
        // The first is that of all routers (RFC 4291 §2.6.1), but of a link of two (RFC 6164).
        IpAddr::V6(_) if prefix < 127 => (1, size),
        _ => (0, size),
    };
    (first..last).filter_map(move |i| {
        let addr = match network.addr() {
            IpAddr::V4(base) => {
                IpAddr::V4(base.to_bits().checked_add(u32::try_from(i).ok()?)?.into())
            }
            IpAddr::V6(base) => IpAddr::V6(base.to_bits().checked_add(i.into())?.into()),
        };
        Cidr::new(addr, prefix)
    })
}

/// Fills in each segment's networks; no two segments may share one, and no two nodes an address.
fn check_networks(topology: &Topology, plan: &mut Plan) -> Result<(), TopologyError> {
    let mut all = Vec::new();
    let said = |n: usize, p: usize| {
        let given = topology.nodes[n].addresses.get(p);
        given.is_some_and(|given| !given.is_empty())
    };
    for (s, segment) in plan.segments.iter_mut().enumerate() {
        // Who said which network it is comes before who was given an address in it.
        let (given, chosen): (Vec<_>, Vec<_>) =
            segment.members.iter().partition(|(n, p)| said(*n, *p));
        for (n, p) in given.into_iter().chain(chosen) {
            for cidr in &plan.nodes[n].interfaces[p].cidrs {
                let network = cidr.network();
                if !segment.networks.contains(&network) {
                    segment.networks.push(network);
                    all.push((network, s, n));
                }
            }
        }
        segment.networks.sort_by_key(|n| (n.addr(), n.prefix_len()));
    }
    for segment in &plan.segments {
        in_common(topology, plan, segment)?;
    }
    if topology.duplicate_addresses {
        return Ok(());
    }
    no_overlap(topology, all)?;
    no_duplicate(topology, plan)
}

/// That each who has neighbours on its wire has an address in the network of one of them.
fn in_common(topology: &Topology, plan: &Plan, segment: &Segment) -> Result<(), TopologyError> {
    let of = |(n, p): (usize, usize)| plan.nodes[n].interfaces[p].cidrs.as_slice();
    let hears = |ours: &[Cidr], theirs: &[Cidr]| {
        ours.iter().any(|a| {
            theirs
                .iter()
                .any(|b| a.contains(b.addr()) || b.contains(a.addr()))
        })
    };
    // On a hub of a thousand all have the network of the first.
    let first = segment.members.first().copied();
    for &member in &segment.members {
        let others = segment.members.iter().filter(|other| **other != member);
        let mut others = first.iter().chain(others).filter(|other| **other != member);
        let Some(&one) = others.clone().next() else {
            return Ok(());
        };
        if others.any(|other| hears(of(member), of(*other))) {
            continue;
        }
        let said = |member| of(member).first().map_or_else(String::new, Cidr::to_string);
        let (n, m) = (member.0.max(one.0), member.0.min(one.0));
        let [at_n, at_m] = [n, m].map(|n| if n == member.0 { member } else { one });
        return Err(TopologyError {
            place: Place::Node(n),
            keys: &["addresses"],
            what: format!(
                "{} at node `{}` and {} at node `{}` are on one wire, but in no common network",
                said(at_n),
                topology.nodes[n].name,
                said(at_m),
                topology.nodes[m].name,
            ),
        });
    }
    Ok(())
}

fn no_overlap(
    topology: &Topology,
    mut all: Vec<(Cidr, usize, usize)>,
) -> Result<(), TopologyError> {
    all.sort_by_key(|(network, s, _)| (network.addr(), network.prefix_len(), *s));
    let mut widest: Option<(Cidr, usize, usize)> = None;
    for (network, s, n) in all {
        match widest {
            Some((wide, other, m)) if wide.contains(network.addr()) => {
                if other != s {
                    let (name, holder) = (&topology.nodes[n].name, &topology.nodes[m].name);
                    return Err(TopologyError {
                        place: Place::Node(n.max(m)),
                        keys: &["addresses"],
                        what: format!(
                            "{network} at node `{name}` overlaps {wide} at node `{holder}`, which \
                             is on another wire: each needs a network of its own"
                        ),
                    });
                }
            }
            _ => widest = Some((network, s, n)),
        }
    }
    Ok(())
}

fn no_duplicate(topology: &Topology, plan: &Plan) -> Result<(), TopologyError> {
    let mut holders: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for n in 0..plan.nodes.len() {
        for addr in plan.addresses(n) {
            let Some(before) = holders.insert(addr, n) else {
                continue;
            };
            let (first, second) = (&topology.nodes[before].name, &topology.nodes[n].name);
            return Err(TopologyError {
                place: Place::Node(n),
                keys: &["addresses"],
                what: format!(
                    "{addr} is at node `{first}` and at node `{second}`: change one, or say \
                     `duplicate_addresses = true` where that is the point"
                ),
            });
        }
    }
    Ok(())
}

fn routes_of(
    topology: &Topology,
    plan: &Plan,
    ways: &Ways,
    node: usize,
) -> Result<Vec<Route>, TopologyError> {
    let spec = &topology.nodes[node];
    let mut routes = Vec::new();
    for route in &spec.routes {
        let hop = match &route.via {
            Party::Addr(addr) => on_link(plan, node, *addr).map(|port| (port, *addr)),
            Party::Node(name) => topology.index_of(name).and_then(|other| {
                let mut addrs = plan.addresses(other);
                addrs.find_map(|addr| {
                    let fits = addr.is_ipv4() == route.to.addr().is_ipv4();
                    on_link(plan, node, addr)
                        .filter(|_| fits)
                        .map(|p| (p, addr))
                })
            }),
        };
        let Some((port, via)) = hop else {
            return Err(TopologyError {
                place: Place::Node(node),
                keys: &["routes"],
                what: format!(
                    "route to {}: `{}` is no neighbour of node `{}`",
                    route.to, route.via, spec.name
                ),
            });
        };
        routes.push(Route::via(route.to.network(), via, port));
    }
    if spec.auto_routes && spec.kind != Kind::Hub {
        let learned = if spec.forwards() {
            shortest(plan, ways, node)
        } else {
            defaults(plan, ways, node)
        };
        // Who says routes decides about those networks, as they are.
        let learned = match routes.as_slice() {
            [] => merged(learned),
            _ => learned,
        };
        let said: BTreeSet<Cidr> = routes.iter().map(|r| r.destination).collect();
        let fresh = learned
            .into_iter()
            .filter(|r| !said.contains(&r.destination));
        routes.extend(fresh);
    }
    Ok(routes)
}

/// The port on whose network an address is.
fn on_link(plan: &Plan, node: usize, addr: IpAddr) -> Option<Port> {
    let mut interfaces = plan.nodes[node].interfaces.iter();
    let here = |c: &Cidr| c.contains(addr) && c.addr() != addr;
    interfaces
        .find(|i| i.cidrs.iter().any(here))
        .map(|i| i.port)
}

/// What the ways from all nodes have in common.
struct Ways {
    /// The routers that each node hears, by name.
    hops: Vec<Vec<Hop>>,
    /// All networks in order, each with its segment.
    networks: Vec<(Cidr, usize)>,
}

impl Ways {
    fn of(topology: &Topology, plan: &Plan) -> Self {
        let nodes = 0..topology.nodes.len();
        let segments = (0..).zip(&plan.segments);
        let networks = segments.flat_map(|(s, segment)| {
            let networks = segment.networks.iter();
            networks.map(move |network| (*network, s))
        });
        let mut networks: Vec<(Cidr, usize)> = networks.collect();
        networks.sort_by_key(|(network, s)| (network.addr(), network.prefix_len(), *s));
        Self {
            hops: nodes.map(|n| neighbours(topology, plan, n)).collect(),
            networks,
        }
    }
}

/// A neighbour that forwards: itself, its port, and the port towards it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hop {
    router: usize,
    its_port: usize,
    port: usize,
}

/// Routers that a node hears, by name.
fn neighbours(topology: &Topology, plan: &Plan, node: usize) -> Vec<Hop> {
    let mut hops = Vec::new();
    for (port, interface) in plan.nodes[node].interfaces.iter().enumerate() {
        let members = plan.segments[interface.segment].members.iter();
        let others = members.filter(|(n, _)| *n != node && topology.nodes[*n].forwards());
        hops.extend(others.map(|&(router, its_port)| Hop {
            router,
            its_port,
            port,
        }));
    }
    hops.sort_by_key(|hop| (&topology.nodes[hop.router].name, hop.port, hop.its_port));
    hops
}

/// The route to `network` by a neighbour, where both have an address of that family.
fn by(plan: &Plan, node: usize, hop: Hop, network: Cidr) -> Option<Route> {
    let ours = &plan.nodes[node].interfaces[hop.port];
    let theirs = &plan.nodes[hop.router].interfaces[hop.its_port].cidrs;
    let via = theirs.iter().map(|c| c.addr()).find(|addr| {
        let same = addr.is_ipv4() == network.addr().is_ipv4();
        same && ours.cidrs.iter().any(|c| c.contains(*addr))
    });
    via.map(|via| Route::via(network, via, ours.port))
}

/// Of a host: everything by the first router that it hears.
fn defaults(plan: &Plan, ways: &Ways, node: usize) -> Vec<Route> {
    let all = [
        Cidr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        Cidr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
    ];
    let hops = &ways.hops[node];
    let first = |network: Cidr| hops.iter().find_map(|hop| by(plan, node, *hop, network));
    all.into_iter().flatten().filter_map(first).collect()
}

/// Of a router: each segment by the fewest hops, in the order of their networks. Breadth first with
/// neighbours by name, so that of equally long ways the one whose first router comes first by name is
/// found first. One walk over all wires for each router.
fn shortest(plan: &Plan, ways: &Ways, node: usize) -> Vec<Route> {
    let segments_of = |n: usize| plan.nodes[n].interfaces.iter().map(|i| i.segment);
    // Where a segment is reached by one of the node's own hops; its own are by none.
    let mut reached: Vec<Option<Option<Hop>>> = vec![None; plan.segments.len()];
    for segment in segments_of(node) {
        reached[segment] = Some(None);
    }
    let mut seen = vec![false; plan.nodes.len()];
    seen[node] = true;
    let mut queue = VecDeque::new();
    for hop in &ways.hops[node] {
        if !std::mem::replace(&mut seen[hop.router], true) {
            queue.push_back((hop.router, *hop));
        }
    }
    while let Some((router, first)) = queue.pop_front() {
        for segment in segments_of(router) {
            reached[segment].get_or_insert(Some(first));
        }
        for hop in &ways.hops[router] {
            if !std::mem::replace(&mut seen[hop.router], true) {
                queue.push_back((hop.router, first));
            }
        }
    }
    let networks = ways.networks.iter();
    let far = networks.filter_map(|(network, segment)| Some((network, reached[*segment]??)));
    far.filter_map(|(network, first)| by(plan, node, first, *network))
        .collect()
}

/// The same ways in fewer routes: two halves of a prefix that lie the same way become one (RFC 4632
/// §3.1), over and over. Nothing is covered that was not before. A line of routers knows two ways
/// only, and keeps a handful of routes for each instead of one a network.
fn merged(mut routes: Vec<Route>) -> Vec<Route> {
    routes.sort_by_key(|r| {
        let (addr, len) = (r.destination.addr(), r.destination.prefix_len());
        (addr, len)
    });
    let mut whole: Vec<Route> = Vec::new();
    for mut right in routes {
        while let Some(left) = whole.last()
            && let Some(both) = parent(left, &right)
        {
            right.destination = both;
            whole.pop();
        }
        whole.push(right);
    }
    whole
}

/// The prefix whose halves two routes lead to, where they lead the same way.
fn parent(left: &Route, right: &Route) -> Option<Cidr> {
    let (a, b) = (left.destination, right.destination);
    let len = a.prefix_len().checked_sub(1)?;
    let up = |cidr: Cidr| Cidr::new(cidr.addr(), len).map(|c| c.network());
    let both = up(a).filter(|both| up(b) == Some(*both))?;
    let halves = a != b && a.prefix_len() == b.prefix_len();
    let same = (left.kind, left.port) == (right.kind, right.port);
    (halves && same).then_some(both)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::topology::Node;
    use stack::link::impair;
    use stack::net::route::RouteKind;

    fn addresses(plan: &Plan, node: usize) -> Vec<String> {
        let interfaces = plan.nodes[node].interfaces.iter();
        interfaces
            .flat_map(|i| i.cidrs.iter().map(ToString::to_string))
            .collect()
    }

    fn routes(plan: &Plan, node: usize) -> Vec<String> {
        let routes = plan.nodes[node].routes.iter();
        let routes = routes.map(|r| match r.kind {
            RouteKind::Via(via) => format!("{} {via} {}", r.destination, r.port.0),
            _ => r.destination.to_string(),
        });
        routes.collect()
    }

    #[test]
    fn halves_that_lie_one_way_are_one_route() {
        let mut topology = Topology::new();
        for i in 0..40 {
            topology = topology.router(&format!("r{i:02}"));
        }
        for i in 1..40 {
            topology = topology.link(&format!("r{:02}", i - 1), &format!("r{i:02}"));
        }
        let plan = plan(&topology).unwrap();
        // Networks 1 to 39 in order; node 20 is on 20 and 21.
        let want = [
            "10.0.1.0/24 10.0.20.1 0",
            "10.0.2.0/23 10.0.20.1 0",
            "10.0.4.0/22 10.0.20.1 0",
            "10.0.8.0/21 10.0.20.1 0",
            "10.0.16.0/22 10.0.20.1 0",
            "10.0.22.0/23 10.0.21.2 1",
            "10.0.24.0/21 10.0.21.2 1",
            "10.0.32.0/21 10.0.21.2 1",
        ];
        assert_eq!(routes(&plan, 20), want);
        // What is said may be about a half, or the whole: then nothing is merged.
        topology.nodes[20].routes.push(crate::lab::topology::Route {
            to: "10.0.2.0/23".parse().unwrap(),
            via: Party::from("r21"),
        });
        let plan = super::plan(&topology).unwrap();
        assert_eq!(routes(&plan, 20).len(), 1 + 37);
    }

    #[test]
    fn addresses_are_of_the_families_asked_for() {
        let mut topology = Topology::new()
            .host("a")
            .router("r")
            .host("b")
            .link("a", "r")
            .link("r", "b");
        topology.families = Families::Both;
        let planned = topology.check().unwrap();
        assert_eq!(
            addresses(&planned, 1),
            [
                "10.0.1.2/24",
                "fd00:0:0:1::2/64",
                "10.0.2.1/24",
                "fd00:0:0:2::1/64"
            ]
        );
        let everywhere = ["0.0.0.0/0 10.0.1.2 0", "::/0 fd00:0:0:1::2 0"];
        assert_eq!(routes(&planned, 0), everywhere);
        // What somebody says of a link holds for it, and nobody else has that network.
        let said = Cidr::new("fd00:0:0:1::9".parse().unwrap(), 64).unwrap();
        topology.nodes[2].addresses = vec![vec![said]];
        let planned = topology.check().unwrap();
        assert_eq!(
            addresses(&planned, 1),
            ["10.0.1.2/24", "fd00:0:0:2::2/64", "fd00:0:0:1::1/64"]
        );
        // A name means an address of a family that both have.
        let to = |plan: &Plan, from| plan.resolve(&topology, from, &Party::from("r"));
        assert_eq!(to(&planned, "a").unwrap().to_string(), "10.0.1.2");
        assert_eq!(to(&planned, "b").unwrap().to_string(), "fd00:0:0:2::2");
    }

    #[test]
    fn segments_are_numbered_and_hosts_in_them() {
        // a -- r1 -- r2 -- h (hub) -- b, c
        let topology = Topology::new()
            .host("a")
            .router("r1")
            .router("r2")
            .host("b")
            .host("c")
            .hub("h")
            .link("a", "r1")
            .link("h", "c")
            .link("r1", "r2")
            .link("b", "h")
            .wire(
                "r2",
                "h",
                impair::Config {
                    mtu: 600,
                    ..Default::default()
                },
            );
        let plan = topology.check().unwrap();
        assert_eq!(addresses(&plan, 0), ["10.0.1.1/24"]);
        assert_eq!(addresses(&plan, 1), ["10.0.1.2/24", "10.0.3.1/24"]);
        assert_eq!(addresses(&plan, 2), ["10.0.3.2/24", "10.0.2.1/24"]);
        assert_eq!(addresses(&plan, 3), ["10.0.2.2/24"]);
        assert_eq!(addresses(&plan, 4), ["10.0.2.3/24"]);
        assert!(addresses(&plan, 5).is_empty());
        assert_eq!(plan.segments[1].wires, [1, 3, 4]);
        assert_eq!(plan.segments[1].members, [(2, 1), (3, 0), (4, 0)]);
        // One narrow wire of a hub narrows them all, since nobody would say so.
        assert_eq!(plan.nodes[4].interfaces[0].mtu, 600);
        assert_eq!(plan.nodes[1].interfaces[0].mtu, 1500);
        let mac = plan.nodes[2].interfaces[1].mac;
        assert_eq!(mac.to_string(), "02:00:00:00:02:01");
        assert_eq!(routes(&plan, 0), ["0.0.0.0/0 10.0.1.2 0"]);
        assert_eq!(routes(&plan, 1), ["10.0.2.0/24 10.0.3.2 1"]);
        assert_eq!(routes(&plan, 2), ["10.0.1.0/24 10.0.3.1 0"]);
        assert_eq!(routes(&plan, 3), ["0.0.0.0/0 10.0.2.1 0"]);
        assert_eq!(
            plan.resolve(&topology, "a", &Party::from("c")),
            "10.0.2.3".parse().ok()
        );
    }

    #[test]
    fn the_fewest_hops_and_then_the_first_name() {
        // A square r1 r2 r3 r4; from r1 to the far corner's net both ways are as long.
        let topology = Topology::new()
            .router("r1")
            .router("r4")
            .router("r2")
            .router("r3")
            .host("b")
            .link("r1", "r4")
            .link("r4", "r3")
            .link("r1", "r2")
            .link("r2", "r3")
            .link("r3", "b");
        let plan = topology.check().unwrap();
        assert_eq!(
            routes(&plan, 0),
            ["10.0.2.0/24 10.0.1.2 0", "10.0.4.0/23 10.0.3.2 1"]
        );
    }

    #[test]
    fn what_is_given_stands() {
        let given = |name: &str, kind, cidr: &str| Node {
            addresses: vec![vec![cidr.parse().unwrap()]],
            ..Node::new(name, kind)
        };
        let mut r1 = Node::new("r1", Kind::Router);
        r1.routes = ["10.0.2.0/24", "10.9.0.0/16"]
            .map(|to| super::super::topology::Route {
                to: to.parse().unwrap(),
                via: Party::from("a"),
            })
            .into();
        let topology = Topology::new()
            .node(given("a", Kind::Host, "10.0.1.7/28"))
            .node(r1)
            .router("r2")
            .host("b")
            .node(given("c", Kind::Host, "192.0.2.1/31"))
            .link("a", "r1")
            .link("r1", "r2")
            .link("r2", "b")
            .link("r2", "c");
        let plan = topology.check().unwrap();
        // The first free address of a's network; the pool leaves that network out.
        assert_eq!(addresses(&plan, 1), ["10.0.1.1/28", "10.0.2.1/24"]);
        assert_eq!(addresses(&plan, 3), ["10.0.3.2/24"]);
        assert_eq!(addresses(&plan, 2)[2], "192.0.2.0/31");
        assert_eq!(
            routes(&plan, 1),
            [
                "10.0.2.0/24 10.0.1.7 0",
                "10.9.0.0/16 10.0.1.7 0",
                "10.0.3.0/24 10.0.2.2 1",
                "192.0.2.0/31 10.0.2.2 1",
            ]
        );
    }

    #[test]
    fn a_crowded_hub_gets_a_wider_network() {
        let mut topology = Topology::new().hub("h").host("x").host("y").link("x", "y");
        for i in 0..1000 {
            let name = format!("n{i}");
            topology = topology.host(&name);
            topology.wires.push(super::super::topology::Wire::new(
                "h",
                &name,
                impair::Config::default(),
            ));
        }
        let plan = topology.check().unwrap();
        assert_eq!(addresses(&plan, 3), ["10.0.4.1/22"]);
        assert_eq!(addresses(&plan, 1002), ["10.0.7.232/22"]);
        assert_eq!(plan.nodes[0].interfaces.len(), 1000);
        assert_eq!(
            plan.nodes[0].interfaces[999].mac.to_string(),
            "02:00:03:00:00:e7"
        );
    }
}
