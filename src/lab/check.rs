//! What a topology must not say: names twice, ends that are not there, clients of nobody.
//!
//! ```text
//!   Topology --check--> names, ends, clients, faults, asserts --plan--> networks, next hops
//!                 \--> TopologyError { place, what }: a file turns the place into a line
//! ```

use super::fault::{Fault, Link, Party, When, is_name};
use super::names::{WORLD, unknown};
use super::plan::{NodePlan, Plan, plan};
use super::topology::{
    Client, ClientKind, Kind, Node, Place, Service, Settings, Topology, TopologyError, Wire,
};
use super::units::write_duration;
use stack::link::impair::Config;
use stack::time::Instant;
use stack::wire::Cidr;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// The smallest IPv4 MTU (RFC 791 §3.2), and the largest packet of IPv4.
const MTU: RangeInclusive<usize> = 68..=65_535;
/// The longest name: a capture is called after a wire, and a wire after its ends.
const MOST_LETTERS: usize = 64;
/// What a datagram has room for: 65,535 less an IP header and a UDP or ICMP header.
const MOST_PAYLOAD: u32 = 65_507;
/// The shortest that a client over UDP sends.
const LEAST_UDP: u32 = 20;

impl Topology {
    /// That it makes sense; gives what is decided about the rest.
    ///
    /// # Errors
    /// The first thing that is wrong, where it is, and what to do.
    pub fn check(&self) -> Result<Plan, TopologyError> {
        self.check_nodes()?;
        self.check_wires()?;
        let ports = self.ports();
        for (i, (node, ports)) in self.nodes.iter().zip(&ports).enumerate() {
            check_addresses(node, ports.len())
                .map_err(|(keys, what)| at(Place::Node(i), keys, what))?;
        }
        let kinds = self.nodes.iter().map(|n| (n.name.as_str(), n.kind));
        let kinds: BTreeMap<&str, Kind> = kinds.collect();
        for (i, client) in self.clients.iter().enumerate() {
            check_client(client, &kinds)
                .map_err(|(keys, what)| at(Place::Client(i), keys, what))?;
        }
        let names = self.names_and_notes();
        let faults = self.faults.check(&names);
        faults.map_err(|e| at(Place::Fault(e.line), &[], e.what))?;
        self.check_changes(&ports)?;
        for (i, assertion) in self.asserts.iter().enumerate() {
            let checked = assertion.check(&names);
            let checked = checked.and_then(|()| self.check_metrics(assertion));
            checked.map_err(|what| at(Place::Assert(i), &[], what))?;
        }
        let plan = plan(self)?;
        let mut planned: Vec<_> = self.nodes.iter().zip(&plan.nodes).enumerate().collect();
        // Who said an address is told before who was given one beside it.
        planned.sort_by_key(|(_, (node, _))| node.addresses.iter().all(Vec::is_empty));
        for (i, (node, planned)) in planned {
            check_link_mtus(node, planned)
                .map_err(|(keys, what)| at(Place::Node(i), keys, what))?;
        }
        for (i, client) in self.clients.iter().enumerate() {
            self.check_reach(&plan, client)
                .map_err(|(keys, what)| at(Place::Client(i), keys, what))?;
        }
        Ok(plan)
    }

    /// What can do nothing since the run is over before it begins: no error, for a run may be made
    /// shorter for a while.
    #[must_use]
    pub fn too_late(&self) -> Vec<TopologyError> {
        let end = self.end() - Instant::ZERO;
        let over = format!("and the run ends at {}", write_duration(end));
        let clients = self.clients.iter().enumerate();
        let clients = clients.filter(|(_, c)| c.start > end).map(|(i, c)| {
            let (name, start) = (&c.name, write_duration(c.start));
            let what = format!("client `{name}` starts at {start}, {over}");
            at(Place::Client(i), &["start"], what)
        });
        let lines = self.faults.lines.iter();
        let lines = lines.filter_map(|line| match line.when {
            When::At(begins) if begins > end => {
                let what = format!("`{line}`: that is too late, {over}");
                Some(at(Place::Fault(line.line), &[], what))
            }
            _ => None,
        });
        clients.chain(lines).collect()
    }

    /// That what the script makes of wires agrees with what else they are.
    fn check_changes(&self, ports: &[Vec<(usize, usize)>]) -> Result<(), TopologyError> {
        for line in &self.faults.lines {
            let Fault::Wire { change, place } = &line.fault else {
                continue;
            };
            let at_port = match &place.link {
                Link::Port(node, port) => {
                    let ports = self.index_of(node).and_then(|n| ports.get(n));
                    ports.and_then(|ports| ports.get(usize::from(*port)))
                }
                _ => None,
            };
            let is_meant = |i: usize, wire: &Wire| match &place.link {
                Link::All => true,
                Link::Wire(name) => wire.name == *name,
                Link::Port(..) => at_port.is_some_and(|(wire, _)| *wire == i),
            };
            let wires = self.wires.iter().enumerate();
            for (_, wire) in wires.filter(|(i, wire)| is_meant(*i, wire)) {
                for (end, way) in wire.between.iter().zip(&wire.ways) {
                    let from = place.from.as_ref();
                    if from.is_some_and(|from| from != end) {
                        continue;
                    }
                    if let Some(why) = change.contradiction(way) {
                        let what = format!("wire `{}` from `{end}`: {why}", wire.name);
                        return Err(at(Place::Fault(line.line), &[], what));
                    }
                }
            }
        }
        Ok(())
    }

    /// That a client has a wire to ask by, and that whom it asks has an address.
    fn check_reach(&self, plan: &Plan, client: &Client) -> Checked {
        let from: (Keys, _) = (&["node"], Some(Party::Node(client.node.clone())));
        let to: (Keys, _) = (&["to"], Some(client.to.clone()));
        let claims: (Keys, _) = (&["claims"], client.claims.clone());
        for (keys, party) in [from, to, claims] {
            let Some(party) = party else { continue };
            let Some(addr) = plan.resolve(self, &client.node, &party) else {
                let why = format!("no wire ends at node `{party}`: it has no address");
                return Err((keys, format!("client `{}`: {why}", client.name)));
            };
            if keys == ["node"] {
                continue;
            }
            let from = self.index_of(&client.node);
            let family = if addr.is_ipv4() { "IPv4" } else { "IPv6" };
            let why = match from.is_some_and(|from| plan.speaks(from, addr)) {
                true if addr.is_ipv4() || client.kind.speaks_ipv6() => continue,
                true => format!(
                    "{addr} is an IPv6 address, and {} asks IPv4",
                    client.kind.name()
                ),
                false => format!(
                    "{addr} is asked over {family}, of which `{}` has no address",
                    client.node
                ),
            };
            return Err((keys, format!("client `{}`: {why}", client.name)));
        }
        Ok(())
    }

    fn check_nodes(&self) -> Result<(), TopologyError> {
        let mut taken: BTreeMap<&str, &str> = BTreeMap::from([(WORLD, "the whole world")]);
        let nodes = self.nodes.iter().enumerate();
        let nodes = nodes.map(|(i, n)| (Place::Node(i), "a node", n.name.as_str()));
        let wires = self.wires.iter().enumerate();
        let wires = wires.map(|(i, w)| (Place::Wire(i), "a wire", w.name.as_str()));
        let clients = self.clients.iter().enumerate();
        let clients = clients.map(|(i, c)| (Place::Client(i), "a client", c.name.as_str()));
        for (place, what, name) in nodes.chain(wires).chain(clients) {
            let most = match place {
                // By default it has the names of both ends, and a number.
                Place::Wire(_) => 2 * MOST_LETTERS + 8,
                _ => MOST_LETTERS,
            };
            if name.len() > most {
                let begins: String = name.chars().take(16).collect();
                let wrong =
                    format!("the name of {what}, `{begins}..`, is longer than {most} letters");
                return Err(at(place, &["name"], wrong));
            }
            if !is_name(name) {
                let rule = "letters, digits, - and _, and no word of the fault script";
                return Err(at(
                    place,
                    &["name"],
                    format!("{what} cannot be called `{name}`: {rule}"),
                ));
            }
            if let Some(other) = taken.insert(name, what) {
                let wrong = format!("{what} cannot be called `{name}`: {other} is called that");
                return Err(at(place, &["name"], wrong));
            }
        }
        for (i, node) in self.nodes.iter().enumerate() {
            check_node(node).map_err(|(keys, what)| at(Place::Node(i), keys, what))?;
        }
        Ok(())
    }

    fn check_wires(&self) -> Result<(), TopologyError> {
        let names: BTreeSet<&str> = self.nodes.iter().map(|n| n.name.as_str()).collect();
        for (i, wire) in self.wires.iter().enumerate() {
            check_wire(wire, &names).map_err(|(keys, what)| at(Place::Wire(i), keys, what))?;
        }
        Ok(())
    }
}

const fn at(place: Place, keys: Keys, what: String) -> TopologyError {
    TopologyError { place, keys, what }
}

/// The keys that an error may be about.
type Keys = &'static [&'static str];
/// What is wrong with a part, and under which of its keys.
type Checked = Result<(), (Keys, String)>;

fn check_node(node: &Node) -> Checked {
    let name = &node.name;
    if node.kind == Kind::Hub && !(node.services.is_empty() && node.routes.is_empty()) {
        let wrong = "only repeats frames: it has no services and no routes";
        return Err((&["services", "routes"], format!("hub `{name}` {wrong}")));
    }
    let mut services: BTreeSet<Service> = BTreeSet::new();
    if let Some(twice) = node.services.iter().find(|s| !services.insert(**s)) {
        let port = twice.name();
        let wrong = "twice, but its port can be open once only";
        return Err((
            &["services"],
            format!("node `{name}` serves {port} {wrong}"),
        ));
    }
    if node.settings.ttl == Some(0) {
        let wrong = "a time to live of 0 leads nowhere";
        return Err((&["ttl", "settings"], format!("node `{name}`: {wrong}")));
    }
    check_settings(&node.settings)
        .map_err(|(keys, wrong)| (keys, format!("node `{name}`: {wrong}")))?;
    let mtu = node.settings.mtu.and_then(|m| usize::try_from(m.0).ok());
    match mtu {
        Some(mtu) if !MTU.contains(&mtu) => Err((&["mtu", "settings"], bad_mtu(mtu))),
        _ => Ok(()),
    }
}

fn bad_mtu(mtu: usize) -> String {
    format!("an MTU is {} to {}, not {mtu}", MTU.start(), MTU.end())
}

fn check_addresses(node: &Node, ports: usize) -> Checked {
    let name = &node.name;
    if node.addresses.iter().flatten().next().is_some() && node.kind == Kind::Hub {
        let wrong = format!("hub `{name}` only repeats frames: it has no addresses");
        return Err((&["addresses"], wrong));
    }
    let given = node.addresses.len();
    if given > ports {
        let wrong =
            format!("node `{name}` has addresses for {given} ports, but {ports} wires end there");
        return Err((&["addresses"], wrong));
    }
    for cidr in node.addresses.iter().flatten() {
        if !is_a_hosts(*cidr) {
            let why = "is no address that a host may have";
            return Err((&["addresses"], format!("node `{name}`: {cidr} {why}")));
        }
    }
    Ok(())
}

/// That links on which IPv6 is spoken carry what it needs.
//= RFC 8200 §5 every link has an MTU of 1280 bytes or more.
fn check_link_mtus(node: &Node, planned: &NodePlan) -> Checked {
    for interface in &planned.interfaces {
        let mut six = interface.cidrs.iter().filter(|c| c.addr().is_ipv6());
        if let (Some(cidr), 0..1280) = (six.next(), interface.mtu) {
            let (name, mtu) = (&node.name, interface.mtu);
            let wrong = format!("IPv6 needs an MTU of 1280, and its link has {mtu}");
            return Err((&["addresses"], format!("node `{name}`: {cidr}: {wrong}")));
        }
    }
    Ok(())
}

/// Whether a host may have this as its own address (RFC 1122 §3.2.1.3, RFC 4291 §2.4).
fn is_a_hosts(cidr: Cidr) -> bool {
    match cidr.addr() {
        IpAddr::V4(addr) => {
            let [first, ..] = addr.octets();
            let of_all = cidr.prefix_len() < 31
                && (cidr.network().addr() == addr || cidr.broadcast() == Some(addr));
            !matches!(first, 0 | 127 | 224..) && !of_all
        }
        IpAddr::V6(addr) => !(addr.is_unspecified() || addr.is_loopback() || addr.is_multicast()),
    }
}

/// What is set of TCP, at a node or a client.
fn check_settings(settings: &Settings) -> Checked {
    match settings.wrong_tcp() {
        Some((key, wrong)) => Err((&["settings"], format!("`{key}`: {wrong}"))),
        None => Ok(()),
    }
}

fn check_own_settings(client: &Client) -> Checked {
    let keys: Keys = &["settings"];
    if let Some(key) = client.settings.besides_tcp() {
        let wrong = format!("`{key}` concerns all of its node: say it there");
        return Err((keys, wrong));
    }
    if client.kind != ClientKind::Tcp && client.settings != Settings::default() {
        return Err((keys, "only a tcp client has `settings`".to_owned()));
    }
    if client.congestion.is_some() && client.settings.tcp_fixed_window.is_some() {
        let wrong = "`tcp_fixed_window`: a fixed window and `congestion` exclude each other";
        return Err((keys, wrong.to_owned()));
    }
    check_settings(&client.settings)
}

fn check_tcp(client: &Client) -> Option<(Keys, &'static str)> {
    let tcp = client.kind == ClientKind::Tcp;
    let wrong: (Keys, _) = if !tcp && client.bytes.is_some() {
        (
            &["bytes"],
            "only over tcp are `bytes` sent; a datagram has a `size`",
        )
    } else if !tcp && client.congestion.is_some() {
        (&["congestion"], "only tcp has congestion control")
    } else if !tcp && client.warm_up.is_some() {
        (&["warm_up", "warm-up"], "only a tcp client has a `warm_up`")
    } else if tcp && (client.size.is_some() || client.count.is_some()) {
        (&["size", "count"], "over tcp, say `bytes`")
    } else if client.bytes == Some(0) {
        (&["bytes"], "0 bytes say nothing")
    } else {
        return None;
    };
    Some(wrong)
}

fn check_attack(client: &Client) -> Option<(Keys, &'static str)> {
    let attacker = client.kind == ClientKind::TcpAttacker;
    let wrong: (Keys, _) = match client.attack {
        None if attacker => (&["kind"], "how does it attack? Say `attack`"),
        Some(_) if !attacker => (&["attack"], "only a tcp-attacker has an `attack`"),
        Some(attack) if attack.needs_connection() && client.claims.is_none() => (
            &["attack"],
            "on whose connection? Say `claims`, the address it forges",
        ),
        Some(attack) if !attack.needs_connection() && client.claims.is_some() => (
            &["claims"],
            "this attack has addresses of its own: `claims` says nothing",
        ),
        None if client.kind != ClientKind::ArpForger && client.claims.is_some() => {
            (&["claims"], "only an arp-forger `claims` an address")
        }
        _ => return None,
    };
    Some(wrong)
}

fn check_wire(wire: &Wire, nodes: &BTreeSet<&str>) -> Checked {
    let name = &wire.name;
    for end in &wire.between {
        if !nodes.contains(end.as_str()) {
            let wrong = unknown("node", end, nodes.iter().copied());
            return Err((&["between"], format!("wire `{name}`: {wrong}")));
        }
    }
    let [a, b] = &wire.between;
    if a == b {
        let wrong = format!("wire `{name}` leads from `{a}` to itself");
        return Err((&["between"], wrong));
    }
    if let Some(way) = wire.ways.iter().find(|way| !MTU.contains(&way.mtu)) {
        let wrong = format!("wire `{name}`: {}", bad_mtu(way.mtu));
        return Err((&["mtu", "from"], wrong));
    }
    let mut wrong = wire.ways.iter().filter_map(Config::contradiction);
    match wrong.next() {
        Some(("queue", why)) => Err((&["queue", "from"], format!("wire `{name}`: {why}"))),
        Some((_, why)) => Err((&["jitter", "from"], format!("wire `{name}`: {why}"))),
        None => Ok(()),
    }
}

fn check_client(client: &Client, kinds: &BTreeMap<&str, Kind>) -> Checked {
    let name = &client.name;
    let mut named: Vec<(Keys, &String)> = vec![(&["node"], &client.node)];
    let to: (Keys, _) = (&["to"], Some(&client.to));
    let claims: (Keys, _) = (&["claims"], client.claims.as_ref());
    for (key, party) in [to, claims] {
        if let Some(Party::Node(node)) = party {
            named.push((key, node));
        }
    }
    for (key, node) in named {
        match kinds.get(node.as_str()) {
            None => {
                let wrong = unknown("node", node, kinds.keys().copied());
                return Err((key, format!("client `{name}`: {wrong}")));
            }
            Some(Kind::Hub) => {
                let wrong = format!("hub `{node}` only repeats frames: nobody is there");
                return Err((key, format!("client `{name}`: {wrong}")));
            }
            Some(_) => {}
        }
    }
    let (keys, wrong): (Keys, _) = if client.count == Some(0) {
        (&["count"], "a count of 0 asks nothing")
    } else if client.interval.is_some_and(|i| i.is_zero()) {
        (&["interval"], "an interval of 0 would never end")
    } else if client.size.is_some_and(|size| size > MOST_PAYLOAD) {
        (&["size"], "at most 65507 bytes fit in a datagram")
    } else if client.kind == ClientKind::Udp && client.size.is_some_and(|size| size < LEAST_UDP) {
        (&["size"], "number and time take 20 bytes of a datagram")
    } else if client.stop.is_some_and(|stop| stop <= client.start) {
        (&["stop"], "it stops before it starts")
    } else if client.ttl == Some(0) {
        (&["ttl"], "a time to live of 0 leads nowhere")
    } else if client.dont_fragment && client.fragment {
        (
            &["fragment"],
            "routers either may cut its packets or must not",
        )
    } else if matches!((client.port, client.last_port), (Some(a), Some(b)) if b < a) {
        (
            &["last_port", "last-port"],
            "the last port is below the first",
        )
    } else if client.kind == ClientKind::ArpForger && client.claims.is_none() {
        (&["kind"], "whose address does it forge? Say `claims`")
    } else if client.kind == ClientKind::Scan && client.count.is_some() {
        (
            &["count"],
            "a scan asks each port once: say `port` and `last_port`",
        )
    } else if client.kind == ClientKind::Traceroute && client.count.is_some() {
        (
            &["count"],
            "a traceroute asks three times a hop, to hop `ttl`",
        )
    } else if let Some(wrong) = check_attack(client) {
        wrong
    } else if client.kind != ClientKind::Scan && client.last_port.is_some() {
        (&["last_port", "last-port"], "only a scan has a `last_port`")
    } else if let Some(wrong) = check_tcp(client) {
        wrong
    } else {
        let checked = check_own_settings(client);
        return checked.map_err(|(keys, wrong)| (keys, format!("client `{name}`: {wrong}")));
    };
    Err((keys, format!("client `{name}`: {wrong}")))
}
