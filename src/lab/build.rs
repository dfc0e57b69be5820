//! From a topology to a world: the plan is carried out, the programs are installed, the script is
//! laid over it.
//!
//! ```text
//!   Topology --plan--> Plan --build--> World at its beginning
//! ```

use super::ids::NodeId;
use super::plan::Plan;
use super::program::Program;
use super::topology::{Client, ClientKind, Kind, Node, Place, Topology, TopologyError};
use super::world::World;
use crate::endpoint::arp_forger::{self, ArpForger};
use crate::endpoint::bulk::{self, Bulk};
use crate::endpoint::own_port::OwnPort;
use crate::endpoint::ping::{self, Pinger};
use crate::endpoint::scan::{self, Scan};
use crate::endpoint::services::{Server, Service};
use crate::endpoint::tcp_attacker::{self, Attack, TcpAttacker};
use crate::endpoint::traceroute::{self, Traceroute};
use crate::endpoint::traffic::{self, Pace, Sender};
use stack::machine::Port;
use stack::time::Duration;
use stack::transport::tcp;
use stack::transport::udp::PathMtu;
use stack::wire::{Cidr, MacAddr};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

/// How a world is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// All chance comes from it.
    pub seed: u64,
    /// Record events from the first on.
    pub watch: bool,
    /// Keep a digest of the whole run.
    pub digest: bool,
    /// Have TCP tell what it decides.
    pub tcp_log: bool,
    /// Nodes that live outside of the world, each with the port of its that is handed out, in the
    /// order of the world's own ports.
    pub outside: Vec<(String, Port)>,
}

/// How long a client of the echo service waits for what it sent.
const ECHO_PATIENCE: Duration = Duration::from_secs(1);
/// The least time between two requests of a ping.
const MIN_INTERVAL: Duration = Duration::from_micros(1);

impl Topology {
    /// The world of this topology at its beginning.
    ///
    /// # Errors
    /// What cannot be, with its line where it came from a file.
    ///
    /// ```
    /// use stack::time::{Duration, Instant};
    /// use tapline::lab::{build::Options, topology::{Client, Topology}};
    /// let topology = Topology::new().host("a").host("b").link("a", "b")
    ///     .client(Client::ping("p", "a", "b").count(3));
    /// let mut world = topology.build(&Options::default()).unwrap();
    /// world.run_until(Instant::ZERO + Duration::from_secs(5));
    /// assert_eq!(world.measure("p", "received"), Some(3));
    /// ```
    pub fn build(&self, options: &Options) -> Result<World, TopologyError> {
        self.build_as(&self.check()?, options)
    }

    /// As [`build`](Self::build), where [`check`](Self::check) has said already what is decided: that
    /// is the same for all seeds.
    ///
    /// # Errors
    /// What cannot be.
    pub fn build_as(&self, plan: &Plan, options: &Options) -> Result<World, TopologyError> {
        let mut world = World::new(options.seed);
        world.watch(options.watch);
        world.keep_tcp_log(options.tcp_log);
        if options.digest {
            world.keep_digest();
        }
        world.reserve(self.nodes.len(), self.wires.len());
        self.add_nodes(&mut world, options)?;
        for wire in &self.wires {
            let [Some(a), Some(b)] = [0, 1].map(|end| world.find(&wire.between[end])) else {
                continue;
            };
            world.connect(&wire.name, a, b, wire.ways.clone());
        }
        self.add_interfaces(&mut world, plan)?;
        for client in &self.clients {
            self.add_client(&mut world, plan, client)?;
        }
        if self
            .faults
            .lines
            .iter()
            .any(|line| line.fault.needs_births())
        {
            world.keep_births();
        }
        if !self.faults.is_empty() {
            world.set_script(self.faults.clone());
        }
        Ok(world)
    }

    fn add_nodes(&self, world: &mut World, options: &Options) -> Result<(), TopologyError> {
        for (name, _) in &options.outside {
            match self.nodes.iter().find(|n| n.name == *name) {
                Some(node) if node.kind != Kind::Hub => {}
                Some(_) => return Err(refuse(format!("{name} is a hub: attach to a host"))),
                None => return Err(refuse(format!("there is no node {name} to attach to"))),
            }
        }
        for node in &self.nodes {
            match node.kind {
                Kind::Hub => {
                    world.add_hub(&node.name);
                }
                _ if options.outside.iter().any(|(name, _)| *name == node.name) => {
                    world.add_outside(&node.name);
                }
                _ => {
                    world.add_host(&node.name, node.host_config());
                }
            }
        }
        for (name, port) in &options.outside {
            if let Some(node) = world.find(name) {
                world.hand_out(node, *port);
            }
        }
        Ok(())
    }

    fn add_interfaces(&self, world: &mut World, plan: &Plan) -> Result<(), TopologyError> {
        for (node, planned) in self.nodes.iter().zip(&plan.nodes) {
            let Some(id) = world.find(&node.name) else {
                continue;
            };
            if world.host(id).is_none() {
                continue;
            }
            for interface in &planned.interfaces {
                world.add_interface(id, interface.config(&node.settings));
            }
            let added = world.with_host(id, |host, _| {
                let mut routes = planned.routes.iter();
                routes.try_for_each(|route| {
                    let added = host.add_route(*route);
                    added.map_err(|e| (route.destination, e))
                })
            });
            if let Some(Err((to, e))) = added {
                return Err(refuse(format!("{}: route to {to}: {e}", node.name)));
            }
            serve(world, id, node);
        }
        Ok(())
    }

    fn add_client(
        &self,
        world: &mut World,
        plan: &Plan,
        client: &Client,
    ) -> Result<(), TopologyError> {
        let Some(id) = world.find(&client.node) else {
            return Err(refuse(format!(
                "client {}: no node {}",
                client.name, client.node
            )));
        };
        if world.host(id).is_none() {
            // Somebody outside asks for what they like themselves.
            return Ok(());
        }
        let address = |party| {
            let addr = plan.resolve(self, &client.node, party);
            addr.ok_or_else(|| refuse(format!("client {}: {party} has no address", client.name)))
        };
        let four = |party| match address(party)? {
            IpAddr::V4(addr) => Ok(addr),
            IpAddr::V6(_) => Err(refuse(format!(
                "client {}: {party} has no IPv4 address",
                client.name
            ))),
        };
        let to = &client.to;
        let program = match client.kind {
            ClientKind::Ping => self.pinger(client, address(to)?).into(),
            ClientKind::Udp => sender(client, address(to)?).into(),
            ClientKind::Tcp => self.bulk(world, client, address(to)?).into(),
            ClientKind::Traceroute => traceroute(client, address(to)?).into(),
            ClientKind::Scan => scanner(client, four(to)?).into(),
            ClientKind::TcpAttacker => {
                let claims = client.claims.as_ref().map(four).transpose()?;
                self.attacker(world, plan, client, (claims, four(to)?))
                    .into()
            }
            ClientKind::ArpForger => {
                let claim = client.claims.as_ref().unwrap_or(to);
                let ends = (four(claim)?, four(to)?);
                Program::from(self.forger(plan, client, ends))
            }
        };
        world.add_program(id, &client.name, client.start, program);
        Ok(())
    }

    fn pinger(&self, client: &Client, to: IpAddr) -> Pinger {
        let default = ping::Config::new(to);
        Pinger::new(ping::Config {
            ident: self.ident(client),
            count: client.count,
            // Time does not pass by itself here: requests without a pause would never end.
            interval: client
                .interval
                .unwrap_or(default.interval)
                .max(MIN_INTERVAL),
            size: size(client, default.size),
            deadline: span(client),
            ttl: client.ttl.unwrap_or(default.ttl),
            path_mtu: match (client.dont_fragment, client.fragment) {
                (true, _) => PathMtu::Require,
                (_, true) => PathMtu::Off,
                _ => default.path_mtu,
            },
            ..default
        })
    }

    /// That of the client's name, or the next that no ping before it at the same node has.
    fn ident(&self, client: &Client) -> u16 {
        let pings = self.clients.iter();
        let mut pings = pings.filter(|c| c.node == client.node && c.kind == ClientKind::Ping);
        let before = pings.by_ref().take_while(|c| c.name != client.name);
        let taken: Vec<u16> = before.map(|c| echo_ident(&c.name)).collect();
        let mut ident = echo_ident(&client.name);
        while taken.contains(&ident) {
            ident = ident.wrapping_add(1).max(1);
        }
        ident
    }

    /// Sends bytes over TCP as its node does.
    fn bulk(&self, world: &World, client: &Client, to: IpAddr) -> Bulk {
        let port = client.port.unwrap_or(Service::Sink.port());
        let default = bulk::Config::new(SocketAddr::new(to, port));
        let node = self.nodes.iter().find(|n| n.name == client.node);
        let settings = node.map(|n| n.settings.clone()).unwrap_or_default();
        let mut options = settings.tcp_of(&client.settings);
        options.log = world.keeps_tcp_log();
        if let Some(congestion) = client.congestion {
            options.congestion = congestion.into();
        }
        let mut chance = world.chance_of(&format!("tcp/{}", client.name));
        Bulk::new(bulk::Config {
            bytes: match (client.bytes, client.stop) {
                (None, None) => default.bytes,
                (bytes, _) => bytes,
            },
            until: span(client),
            warm_up: client.warm_up.unwrap_or(default.warm_up),
            seed: chance.next_u64(),
            own_port: Some(OwnPort::of(&client.name)),
            options,
            ..default
        })
    }

    /// Attacks a neighbour's TCP.
    fn attacker(
        &self,
        world: &World,
        plan: &Plan,
        client: &Client,
        (claims, to): (Option<Ipv4Addr>, Ipv4Addr),
    ) -> TcpAttacker {
        let attack = client.attack.unwrap_or(Attack::SynFlood);
        let port = client.port.unwrap_or(Service::Chargen.port());
        let default = tcp_attacker::Config::new(attack, SocketAddrV4::new(to, port));
        let mut chance = world.chance_of(&format!("attack/{}", client.name));
        TcpAttacker::new(tcp_attacker::Config {
            mac: station_of(plan, to),
            claims,
            count: client.count.unwrap_or(default.count),
            interval: client.interval.unwrap_or(default.interval),
            seed: chance.next_u32(),
            ..default
        })
    }

    /// Claims an address towards whoever it is to fool, or towards all.
    fn forger(&self, plan: &Plan, client: &Client, (claim, to): (Ipv4Addr, Ipv4Addr)) -> ArpForger {
        let victim = station_of(plan, to).map(|mac| (to, mac));
        let default = arp_forger::Config::new(claim);
        ArpForger::new(arp_forger::Config {
            form: match victim {
                Some(victim) if to != claim => arp_forger::Form::Reply {
                    victim: Some(victim),
                },
                _ => arp_forger::Form::Announcement,
            },
            interval: client.interval.unwrap_or(default.interval),
            count: client.count.or(default.count),
            ..default
        })
    }
}

/// The station that has an address.
fn station_of(plan: &Plan, addr: Ipv4Addr) -> Option<MacAddr> {
    let mut planned = plan.nodes.iter().flat_map(|n| &n.interfaces);
    let has = |c: &Cidr| c.addr() == IpAddr::V4(addr);
    planned.find(|i| i.cidrs.iter().any(has)).map(|i| i.mac)
}

fn serve(world: &mut World, id: NodeId, node: &Node) {
    if !node.services.is_empty() {
        let rng = world.chance_of(&format!("services/{}", node.name));
        let server = Server::new(node.services.clone(), &rng);
        let options = tcp::Options {
            log: world.keeps_tcp_log(),
            ..node.settings.tcp()
        };
        let server = server.with_options(options);
        let server = server.reading(node.settings.reading());
        let name = format!("{}.services", node.name);
        world.add_program(id, &name, Duration::ZERO, server);
    }
}

/// What is left of a client's time once it has begun.
fn span(client: &Client) -> Option<Duration> {
    client.stop.map(|stop| stop.saturating_sub(client.start))
}

fn size(client: &Client, default: usize) -> usize {
    let wanted = client.size.and_then(|size| usize::try_from(size).ok());
    wanted.unwrap_or(default)
}

/// The identifier of a ping's echoes. It belongs to the client's name alone: a wire tells flows
/// apart by it, and one client more or less shall not change what befalls another.
///
/// ```
/// use tapline::lab::build::echo_ident;
/// assert_eq!(echo_ident("p"), echo_ident("p"));
/// assert_ne!(echo_ident("p"), echo_ident("q"));
/// ```
#[must_use]
pub fn echo_ident(client: &str) -> u16 {
    let hash = client.bytes().fold(0x811c_9dc5_u32, |h, b| {
        (h ^ u32::from(b)).wrapping_mul(0x0100_0193)
    });
    // FNV-1a folded as its authors do, and never 0: that would be any.
    let [a, b, c, d] = hash.to_be_bytes();
    (u16::from_be_bytes([a, b]) ^ u16::from_be_bytes([c, d])).max(1)
}

fn sender(client: &Client, to: IpAddr) -> Sender {
    let port = client.port.unwrap_or(Service::Echo.port());
    let default = traffic::Config::new(SocketAddr::new(to, port));
    Sender::new(traffic::Config {
        size: size(client, default.size),
        pace: client.interval.map_or(default.pace, Pace::Every),
        count: client.count,
        until: span(client),
        fit: match (client.dont_fragment, client.fragment) {
            (true, _) => traffic::Fit::Shrink,
            (_, true) => traffic::Fit::Fragment,
            _ => default.fit,
        },
        ttl: client.ttl.unwrap_or(default.ttl),
        // Nothing else sends back what it gets.
        echo: (port == Service::Echo.port()).then_some(ECHO_PATIENCE),
        own_port: Some(OwnPort::of(&client.name)),
        ..default
    })
}

fn scanner(client: &Client, to: Ipv4Addr) -> Scan {
    let default = scan::Config::new(to);
    let first = client.port.unwrap_or(*default.ports.start());
    let last = client.last_port.unwrap_or(*default.ports.end());
    Scan::new(scan::Config {
        ports: first..=last.max(first),
        interval: client.interval.unwrap_or(default.interval),
        size: size(client, default.size),
        own_port: Some(OwnPort::of(&client.name)),
        ..default
    })
}

fn traceroute(client: &Client, to: IpAddr) -> Traceroute {
    let default = traceroute::Config::new(to);
    Traceroute::new(traceroute::Config {
        size: size(client, default.size),
        max_hops: client.ttl.unwrap_or(default.max_hops),
        port: client.port.unwrap_or(default.port),
        pause: client.interval.unwrap_or(default.pause),
        dont_fragment: client.dont_fragment,
        own_port: Some(OwnPort::of(&client.name)),
        ..default
    })
}

fn refuse(what: String) -> TopologyError {
    TopologyError {
        place: Place::World,
        keys: &[],
        what,
    }
}
