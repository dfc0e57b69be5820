//! A network as plain data: nodes, wires, who talks to whom, what goes wrong, what must hold.
//!
//! ```text
//!   file (TOML) --+                          +--> plan: addresses, routes, MACs --> the world
//!                 +--> Topology --check------+
//!   Rust ---------+        |                 +--> to_toml: a smaller world that still fails
//!                          +-- nodes (host, router, hub), wires, clients, faults, asserts
//! ```
//!
//! A node's ports are counted from zero in the order of the wires that end there. Everything not
//! said is chosen by [`plan`](super::plan::plan), and always the same way.
//!
//! Promises: nothing here draws, waits or reads anything; what [`to_toml`](Topology::to_toml)
//! writes is read back equal.

use super::assertion::Assertion;
use super::fault::{Party, Script, ScriptError};
use super::names::Names;
pub use super::settings::Congestion;
pub use super::settings::Settings;
pub use crate::endpoint::services::Service;
pub use crate::endpoint::tcp_attacker::Attack;
use serde::Deserialize;
use stack::host;
use stack::link::impair;
use stack::time::Duration;
use stack::wire::Cidr;
use std::fmt;
use std::net::IpAddr;

/// A network, what happens in it, and what is expected.
///
/// ```
/// use stack::link::impair;
/// use tapline::lab::topology::{Client, Topology, Wire};
/// let bad = impair::Config { loss: impair::Loss::Independent(impair::Chance::from_ppm(10_000)),
///     ..Default::default() };
/// let topology = Topology::new()
///     .host("a").router("r1").host("b")
///     .wire("a", "r1", bad)
///     .link("r1", "b")
///     .client(Client::ping("p", "a", "b").count(10))
///     .faults("at 2s down r1-b for 1s").unwrap()
///     .assert("p.received >= 5").unwrap();
/// assert_eq!(topology.wires[1].name, "r1-b");
/// assert!(topology.check().is_ok());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    /// One line: what it is.
    pub caption: String,
    /// What to look at.
    pub about: String,
    /// How long it runs; `None` is [`DEFAULT_UNTIL`](super::run::DEFAULT_UNTIL).
    pub until: Option<Duration>,
    /// The seed where none is asked for.
    pub seed: Option<u64>,
    /// Of which families are the addresses that nodes get without saying any.
    pub families: Families,
    /// Two nodes may hold one address: what a run about duplicates needs, and else a mistake.
    pub duplicate_addresses: bool,
    /// Who is there.
    pub nodes: Vec<Node>,
    /// What joins them.
    pub wires: Vec<Wire>,
    /// Programs that ask for something.
    pub clients: Vec<Client>,
    /// What goes wrong.
    pub faults: Script,
    /// What must hold at the end.
    pub asserts: Vec<Assertion>,
}

/// A host, a router or a hub.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Addresses of each port; a port without any gets one.
    pub addresses: Vec<Vec<Cidr>>,
    /// Whether it learns the shortest ways by itself.
    pub auto_routes: bool,
    /// Routes besides; one to the same destination wins over a learned one.
    pub routes: Vec<Route>,
    /// What it serves on UDP.
    pub services: Vec<Service>,
    /// How it differs from any other host.
    pub settings: Settings,
}

/// What a node is.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Takes and sends its own packets only.
    #[default]
    Host,
    /// Forwards others'.
    Router,
    /// Repeats each frame to all its other wires; has no address.
    Hub,
}

impl Kind {
    /// Its name in a file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Router => "router",
            Self::Hub => "hub",
        }
    }
}

/// A route that somebody set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination.
    pub to: Cidr,
    /// The next hop: a neighbour by name or address.
    pub via: Party,
}

/// Reverse path check (RFC 3704).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ReversePath {
    /// None.
    Off,
    /// Back by the same interface.
    Strict,
    /// Back by any.
    Loose,
}

/// A wire, and what it does to frames in each direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Wire {
    /// Its name; `A-B` where none is given.
    pub name: String,
    /// The nodes at its ends.
    pub between: [String; 2],
    /// From the first to the second, and back.
    pub ways: [impair::Config; 2],
}

/// A program that asks for something.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// Where it runs.
    pub node: String,
    /// What it does.
    pub kind: ClientKind,
    /// To whom.
    pub to: Party,
    /// When it begins.
    pub start: Duration,
    /// When it ends at the latest.
    pub stop: Option<Duration>,
    /// How many requests; `None` is what the kind usually does.
    pub count: Option<u64>,
    /// Between two requests.
    pub interval: Option<Duration>,
    /// Bytes of payload.
    pub size: Option<u32>,
    /// Time to live; for a traceroute, the last.
    pub ttl: Option<u8>,
    /// Forbid routers to cut its packets.
    pub dont_fragment: bool,
    /// Let routers cut its packets, always; else they may where the path is known to need it.
    pub fragment: bool,
    /// The port that is asked; of a scan, the first.
    pub port: Option<u16>,
    /// Of a scan, the last port.
    pub last_port: Option<u16>,
    /// Of a forger, and of an attacker on somebody's connection: whose address it says is its own.
    pub claims: Option<Party>,
    /// Of an attacker on TCP: how.
    pub attack: Option<Attack>,
    /// Over TCP: bytes to send in all; where neither they nor an end are given, a megabyte.
    pub bytes: Option<u64>,
    /// Over TCP: congestion control; `None` is that of its node.
    pub congestion: Option<Congestion>,
    /// Over TCP: how long after its start the goodput is counted from.
    pub warm_up: Option<Duration>,
    /// Over TCP: how its connection differs from others of its node.
    pub settings: Settings,
}

/// What a client does.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ClientKind {
    /// Echo requests.
    Ping,
    /// Datagrams to a service, and its answers.
    Udp,
    /// Bytes over TCP to a service.
    Tcp,
    /// One datagram to each of many ports.
    Scan,
    /// ARP replies that claim another's address.
    ArpForger,
    /// Segments that no honest TCP sends.
    TcpAttacker,
    /// Probes with growing time to live.
    Traceroute,
}

/// The families of addresses that are given without being said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Families {
    /// IPv4.
    #[default]
    Ipv4,
    /// IPv6.
    Ipv6,
    /// An address of each.
    Both,
}

impl Families {
    /// Its name in a file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Both => "both",
        }
    }
}

impl ClientKind {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::Ping,
        Self::Udp,
        Self::Tcp,
        Self::Scan,
        Self::ArpForger,
        Self::Traceroute,
    ];

    /// Its name in a file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Scan => "scan",
            Self::ArpForger => "arp-forger",
            Self::TcpAttacker => "tcp-attacker",
            Self::Traceroute => "traceroute",
        }
    }

    /// Whether it asks over IPv6 as well.
    #[must_use]
    pub const fn speaks_ipv6(self) -> bool {
        matches!(self, Self::Ping | Self::Udp | Self::Tcp | Self::Traceroute)
    }
}

impl ReversePath {
    /// Its name in a file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Strict => "strict",
            Self::Loose => "loose",
        }
    }
}

impl Node {
    /// A node without ports that differs in nothing.
    #[must_use]
    pub fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            auto_routes: true,
            ..Self::default()
        }
    }

    /// Whether it passes on packets of others.
    #[must_use]
    pub fn forwards(&self) -> bool {
        self.settings
            .forwarding
            .unwrap_or(self.kind == Kind::Router)
    }

    /// What a host is told at birth to be this node.
    #[must_use]
    pub fn host_config(&self) -> host::Config {
        let mut config = host::Config {
            forwarding: self.kind == Kind::Router,
            ..host::Config::default()
        };
        self.settings.apply(&mut config);
        config
    }
}

impl Wire {
    /// The wire `A-B` that does the same in both directions.
    #[must_use]
    pub fn new(a: &str, b: &str, config: impair::Config) -> Self {
        Self {
            name: format!("{a}-{b}"),
            between: [a.to_owned(), b.to_owned()],
            ways: [config.clone(), config],
        }
    }
}

impl Client {
    /// A client that does what its kind usually does.
    #[must_use]
    pub fn new(name: &str, node: &str, kind: ClientKind, to: Party) -> Self {
        Self {
            name: name.to_owned(),
            node: node.to_owned(),
            kind,
            to,
            start: Duration::ZERO,
            stop: None,
            count: None,
            interval: None,
            size: None,
            ttl: None,
            dont_fragment: false,
            fragment: false,
            port: None,
            last_port: None,
            claims: None,
            attack: None,
            bytes: None,
            congestion: None,
            warm_up: None,
            settings: Settings::default(),
        }
    }

    /// Echo requests from one node to another.
    #[must_use]
    pub fn ping(name: &str, node: &str, to: &str) -> Self {
        Self::new(name, node, ClientKind::Ping, Party::from(to))
    }

    /// Datagrams to the echo service of another node.
    #[must_use]
    pub fn udp(name: &str, node: &str, to: &str) -> Self {
        Self::new(name, node, ClientKind::Udp, Party::from(to))
    }

    /// Bytes to the sink of another node.
    #[must_use]
    pub fn tcp(name: &str, node: &str, to: &str) -> Self {
        Self::new(name, node, ClientKind::Tcp, Party::from(to))
    }

    /// So many bytes, over TCP.
    #[must_use]
    pub const fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// With this congestion control.
    #[must_use]
    pub const fn congestion(mut self, congestion: Congestion) -> Self {
        self.congestion = Some(congestion);
        self
    }

    /// So many requests.
    #[must_use]
    pub const fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// So far apart.
    #[must_use]
    pub const fn every(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// So large.
    #[must_use]
    pub const fn size(mut self, bytes: u32) -> Self {
        self.size = Some(bytes);
        self
    }

    /// From then on.
    #[must_use]
    pub const fn start(mut self, start: Duration) -> Self {
        self.start = start;
        self
    }
}

impl From<&str> for Party {
    /// An address where it is one, else a node's name.
    fn from(text: &str) -> Self {
        text.parse::<IpAddr>()
            .map_or_else(|_| Self::Node(text.to_owned()), Self::Addr)
    }
}

impl Topology {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more host.
    #[must_use]
    pub fn host(self, name: &str) -> Self {
        self.node(Node::new(name, Kind::Host))
    }

    /// One more router.
    #[must_use]
    pub fn router(self, name: &str) -> Self {
        self.node(Node::new(name, Kind::Router))
    }

    /// One more hub.
    #[must_use]
    pub fn hub(self, name: &str) -> Self {
        self.node(Node::new(name, Kind::Hub))
    }

    /// One more node of any kind.
    #[must_use]
    pub fn node(mut self, node: Node) -> Self {
        self.nodes.push(node);
        self
    }

    /// One more wire, the same in both directions. A second between two nodes is called `A-B-2`.
    #[must_use]
    pub fn wire(mut self, a: &str, b: &str, config: impair::Config) -> Self {
        let mut wire = Wire::new(a, b, config);
        wire.name = free_name(&wire.name, |name| self.wires.iter().any(|w| w.name == name));
        self.wires.push(wire);
        self
    }

    /// One more wire, with nothing bad about it.
    #[must_use]
    pub fn link(self, a: &str, b: &str) -> Self {
        self.wire(a, b, impair::Config::default())
    }

    /// What the last wire does to what `from` sends into it.
    #[must_use]
    pub fn way(mut self, from: &str, config: impair::Config) -> Self {
        if let Some(wire) = self.wires.last_mut() {
            let [first, _] = &wire.between;
            let [there, back] = &mut wire.ways;
            *(if first == from { there } else { back }) = config;
        }
        self
    }

    /// The last node serves this as well.
    #[must_use]
    pub fn serves(mut self, service: Service) -> Self {
        if let Some(node) = self.nodes.last_mut() {
            node.services.push(service);
        }
        self
    }

    /// How the last node differs from others.
    #[must_use]
    pub fn set(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        if let Some(node) = self.nodes.last_mut() {
            set(&mut node.settings);
        }
        self
    }

    /// One more client.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.clients.push(client);
        self
    }

    /// How long it runs.
    #[must_use]
    pub const fn until(mut self, until: Duration) -> Self {
        self.until = Some(until);
        self
    }

    /// What goes wrong besides.
    ///
    /// # Errors
    /// The first line of the script that makes no sense.
    pub fn faults(mut self, script: &str) -> Result<Self, ScriptError> {
        self.faults.lines.extend(Script::parse(script)?.lines);
        self.faults.renumber();
        Ok(self)
    }

    /// What must hold at the end besides.
    ///
    /// # Errors
    /// Why it is no assertion.
    pub fn assert(mut self, assertion: &str) -> Result<Self, String> {
        self.asserts.push(assertion.parse()?);
        Ok(self)
    }

    /// The position of a node.
    #[must_use]
    pub fn index_of(&self, node: &str) -> Option<usize> {
        self.nodes.iter().position(|n| n.name == node)
    }

    /// The wires that end at each node, with the side (0 or 1) that does, in the order of its
    /// ports: `ports()[node][port]`. A wire that names no node has no port.
    #[must_use]
    pub fn ports(&self) -> Vec<Vec<(usize, usize)>> {
        let by_name: std::collections::BTreeMap<&str, usize> = (0..)
            .zip(&self.nodes)
            .map(|(i, node)| (node.name.as_str(), i))
            .collect();
        let mut ports = vec![Vec::new(); self.nodes.len()];
        for (i, wire) in self.wires.iter().enumerate() {
            for (side, end) in wire.between.iter().enumerate() {
                if let Some(ports) = by_name.get(end.as_str()).and_then(|n| ports.get_mut(*n)) {
                    ports.push((i, side));
                }
            }
        }
        ports
    }

    /// What a fault script or an assertion may name.
    #[must_use]
    pub fn names(&self) -> Names {
        let ports = self.ports();
        let nodes = self.nodes.iter().zip(&ports);
        let wires = self.wires.iter();
        Names {
            nodes: nodes.map(|(n, p)| (n.name.clone(), p.len())).collect(),
            wires: wires.map(|w| (w.name.clone(), w.between.clone())).collect(),
            clients: self.clients.iter().map(|c| c.name.clone()).collect(),
            notes: std::collections::BTreeMap::new(),
        }
    }
}

/// `name`, or `name-2`, `name-3`, .. where it is taken.
pub(super) fn free_name(name: &str, taken: impl Fn(&str) -> bool) -> String {
    let others = (2..).map(|n: u32| format!("{name}-{n}"));
    std::iter::once(name.to_owned())
        .chain(others)
        .find(|name| !taken(name))
        .unwrap_or_default()
}

/// A part of a topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The whole.
    World,
    /// A node, by position.
    Node(usize),
    /// A wire.
    Wire(usize),
    /// A client.
    Client(usize),
    /// A line of the fault script, by its number.
    Fault(u32),
    /// An assertion.
    Assert(usize),
}

/// What is wrong with a topology, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyError {
    /// Where.
    pub place: Place,
    /// Under which of its keys, the first that it has; else it is about the whole.
    pub keys: &'static [&'static str],
    /// What, and what to do.
    pub what: String,
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Fault(line) => write!(f, "fault script, line {line}: {}", self.what),
            Place::Assert(i) => write!(f, "assertion {}: {}", i + 1, self.what),
            _ => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for TopologyError {}
