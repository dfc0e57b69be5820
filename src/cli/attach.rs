//! Where a client's host stands: in a private network beside the kernel, on a TAP, or on an
//! existing interface.
//!
//! ```text
//!   (nothing)    private namespace:  kernel 10.7.0.1 <--TAP--> 10.7.0.2 host
//!   --tap NAME   this namespace:     kernel's NAME   <--TAP--> --address host
//!   --raw IF     this namespace:     wire <--IF--raw socket--> --address host
//! ```

use super::config::{self, Config, Kind, Text};
use super::{Failure, build, sandbox};
use crate::runtime::clock::os_rng;
use crate::runtime::{Clock, Driver};
use stack::host::{self, ConnectError, Event, Host, SendError, TcpHandle};
use stack::machine::Port;
use stack::net::route::Route;
use stack::net::{select, slaac};
use stack::rng::Rng;
use stack::time::Instant;
use stack::transport::tcp::State;
use stack::wire::{Cidr, MacAddr, Zoned, ipv6, zone};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::ControlFlow;
use std::path::Path;

/// The kernel's address and the host's, where none are given.
const KERNEL: &str = "10.7.0.1/24";
const OURS: &str = "10.7.0.2/24";
/// The same of IPv6.
const KERNEL6: &str = "fd07::1/64";
const OURS6: &str = "fd07::2/64";

/// Where the host attaches; every client has these.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(
    next_help_heading = "Where the host attaches (default: a private network, as `up` makes)"
)]
pub struct Attach {
    /// To this TAP in the network this is started in, made where missing (needs root).
    #[arg(long, value_name = "NAME", conflicts_with = "raw")]
    pub tap: Option<String>,

    /// To this existing interface, with --address an unused one of its network (needs root).
    #[arg(long, value_name = "IF")]
    pub raw: Option<String>,

    /// The host's address with its network, 10.7.0.2/24 where not given, or fd07::2/64 where IPv6
    /// is asked for.
    #[arg(long, value_name = "CIDR")]
    pub address: Option<Cidr>,

    /// The kernel's address on a TAP that is made here; the first other one of --address.
    #[arg(long, value_name = "CIDR", conflicts_with = "raw")]
    pub kernel: Option<Cidr>,

    /// The router to all that is not on the host's link.
    #[arg(long, value_name = "IP", value_parser = destination)]
    pub gateway: Option<Target>,

    /// The host's station address; where not given, one that its interface and address determine,
    /// in a private network a random one.
    #[arg(long, value_name = "MAC")]
    pub mac: Option<MacAddr>,

    /// Largest packet, what the interface carries where not given.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(68..=65_521))]
    pub mtu: Option<u32>,

    /// Speak on this VLAN, with tagged frames.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u16).range(1..=4094))]
    pub vlan: Option<u16>,
}

/// A host that is attached and ready to be driven.
pub struct Attached {
    /// The loop, with the host in it.
    pub driver: Driver<Host>,
    /// The interface that the host's address is on.
    pub interface: u16,
    /// What it is called.
    pub name: String,
}

impl Attach {
    /// Attaches a host that holds its address: of IPv4, unless another is given.
    ///
    /// # Errors
    /// Exit code 2 where an address is missing or makes no sense, 3 with a remedy where the machine
    /// lacks something.
    pub fn open(&self) -> Result<Attached, Failure> {
        let ipv4 = self.address.is_none_or(|ours| ours.addr().is_ipv4());
        self.open_family(true, ipv4)
    }

    /// The same, with an address of the family of whom it is to speak to; on an interface of others
    /// one of its link is enough for who is on the link.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_to(&self, dest: IpAddr) -> Result<Attached, Failure> {
        let near = zone::is_link_local(dest) || is_link_group(dest);
        if near && self.raw.is_some() && self.address.is_none() {
            let mut attached = self.open_unnumbered6()?;
            attached.add_link_local()?;
            attached.settle()?;
            return Ok(attached);
        }
        self.open_family(true, dest.to_canonical().is_ipv4())
    }

    /// Attaches a host; with `hold` false it has no address, for what is asked from 0.0.0.0.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(&self, hold: bool) -> Result<Attached, Failure> {
        self.open_family(hold, true)
    }

    /// The same on IPv6, for what is asked from an address of the link.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_unnumbered6(&self) -> Result<Attached, Failure> {
        self.open_family(false, false)
    }

    fn open_family(&self, hold: bool, ipv4: bool) -> Result<Attached, Failure> {
        let private = self.tap.is_none() && self.raw.is_none();
        let made = self.tap.as_deref().is_none_or(|name| !exists(name));
        let config = self.config(hold, made, ipv4)?;
        if private {
            sandbox::enter()?;
        }
        let devices = config.devices.iter();
        let devices = devices.map(|d| sandbox::open_for_host(d, private));
        let devices = devices.collect::<Result<Vec<_>, _>>()?;
        let clock = Clock::start();
        let times = (clock.now(), clock.unix());
        let mut host = build::host(&config, &devices, times, &os_rng()?)?;
        let interface = u16::from(self.vlan.is_some());
        if hold {
            self.add_gateway(&mut host, interface)?;
        }
        let at = &host.interfaces()[usize::from(interface)];
        let name = at.name().to_owned();
        log::info!(
            "{name}: {:?}, MAC {}, MTU {}, {}",
            at.addresses().iter().map(|a| a.cidr).collect::<Vec<_>>(),
            at.config().mac,
            at.config().mtu,
            if private {
                "in a private network"
            } else {
                "in this network"
            },
        );
        let mut driver = Driver::new(host, clock, devices)?;
        driver.catch_signals()?;
        let mut attached = Attached {
            driver,
            interface,
            name,
        };
        attached.settle()?;
        Ok(attached)
    }

    /// Says that who listens here hears nobody.
    pub fn warn_if_alone(&self) {
        if self.tap.is_none() && self.raw.is_none() {
            eprintln!(
                "tapline: this listens in a private network that nobody else can enter: give --tap \
                 NAME or --raw IF"
            );
        }
    }

    /// The same as `up` would read from a file.
    fn config(&self, hold: bool, made: bool, ipv4: bool) -> Result<Config, Failure> {
        let ours = self.ours(hold, ipv4)?;
        let kernel = match (made && self.raw.is_none(), self.kernel) {
            (_, Some(kernel)) => vec![kernel],
            (true, None) => vec![peer_of(ours).ok_or_else(|| {
                Failure::usage(format!(
                    "{ours} leaves no address for the kernel: give --kernel"
                ))
            })?],
            (false, None) => Vec::new(),
        };
        let (kind, name) = match (&self.raw, &self.tap) {
            (Some(name), _) => (Kind::Raw, name.clone()),
            (None, Some(name)) => (Kind::Tap, name.clone()),
            (None, None) => (Kind::Tap, "tap0".to_owned()),
        };
        let held = if hold { vec![Text(ours)] } else { Vec::new() };
        let (addresses, vlans) = match self.vlan {
            None => (held, Vec::new()),
            Some(id) => {
                let tagged = config::Vlan {
                    id,
                    priority: 0,
                    addresses: held,
                    advertise: None,
                };
                (Vec::new(), vec![tagged])
            }
        };
        let device = config::Device {
            mac: self.mac.or_else(|| lasting_mac(&name, ours)).map(Text),
            name,
            kind,
            mtu: self.mtu,
            addresses,
            kernel: kernel.into_iter().map(Text).collect(),
            vlans,
            ..config::Device::tap0()
        };
        device.check_ipv6().map_err(Failure::usage)?;
        Ok(Config {
            services: Vec::new(),
            duplicate_detection: match made && self.raw.is_none() {
                // The kernel's end is all there is, and its address is known.
                true => Some(config::DuplicateDetection::Off),
                false => None,
            },
            devices: vec![device],
            ..Config::default()
        })
    }

    fn ours(&self, hold: bool, ipv4: bool) -> Result<Cidr, Failure> {
        let usual = match ipv4 {
            true => OURS,
            false => OURS6,
        };
        let usual = || usual.parse().map_err(|e| Failure::usage(format!("{e}")));
        match (self.address, &self.raw) {
            (Some(cidr), _) if cidr.addr().is_ipv4() == ipv4 => Ok(cidr),
            (Some(cidr), _) => {
                let [own, other] = match ipv4 {
                    true => ["IPv6", "IPv4"],
                    false => ["IPv4", "IPv6"],
                };
                let said = format!("{cidr} is of {own}, and whom it is to speak to of {other}");
                Err(Failure::usage(said))
            }
            (None, Some(name)) if hold => Err(Failure {
                remedy: Some(format!(
                    "--address CIDR with an unused address of {name}'s network \
                     (`ip {} address show {name}` says which), and --gateway IP for what is beyond",
                    if ipv4 { "-4" } else { "-6" }
                )),
                ..Failure::usage(format!("on {name} the host needs an address of its own"))
            }),
            (None, _) => usual(),
        }
    }

    fn add_gateway(&self, host: &mut Host, interface: u16) -> Result<(), Failure> {
        let Some(target) = &self.gateway else {
            return Ok(());
        };
        let gateway = target.addr;
        let refused = |why: &str| Failure::usage(format!("--gateway {target}: {why}"));
        let zone = target.zone(host)?;
        if zone != 0 && zone != host::zone_of(interface) {
            return Err(refused("it is of another link than --address"));
        }
        if host.route_to(gateway).is_none() {
            return Err(refused("it is not in the network of --address"));
        }
        let everywhere = Cidr::new(gateway, 0).map(Cidr::network);
        let everywhere = everywhere.ok_or_else(|| refused("no default route"))?;
        host.add_route(Route::via(everywhere, gateway, Port(interface)))
            .map_err(|e| refused(&e.to_string()))
    }
}

/// The first address of a network that is not `ours`: the kernel's.
fn peer_of(ours: Cidr) -> Option<Cidr> {
    if ours.to_string() == OURS {
        return KERNEL.parse().ok();
    }
    if ours.to_string() == OURS6 {
        return KERNEL6.parse().ok();
    }
    if let Some(six) = ours.addr6() {
        // The network itself is its routers' (RFC 4291 §2.6.1).
        let bits = six.to_bits() >> 2 << 2;
        let near = (bits..=bits.saturating_add(3)).map(Ipv6Addr::from_bits);
        let routers = ours.network().addr6();
        return near
            .filter(|a| *a != six && (Some(*a) != routers || ours.prefix_len() == 127))
            .find(|a| ours.contains(IpAddr::V6(*a)))
            .and_then(|a| Cidr::new(IpAddr::V6(a), ours.prefix_len()));
    }
    let network = ours.network().addr4()?.to_bits();
    let hosts = (network..=network.saturating_add(3)).map(Ipv4Addr::from_bits);
    hosts
        .filter(|a| ours.prefix_len() >= 31 || a.to_bits() != network)
        .filter(|a| Some(*a) != ours.addr4() && Some(*a) != ours.broadcast())
        .find(|a| ours.contains(IpAddr::V4(*a)))
        .and_then(|a| Cidr::new(IpAddr::V4(a), ours.prefix_len()))
}

/// A station address that is the same in each run: of an interface that others live on as well,
/// and of our address. Neighbours remember who had an address, Linux for a second against any
/// claim, and would send the answers of this run to the station of the last.
fn lasting_mac(interface: &str, ours: Cidr) -> Option<MacAddr> {
    let path = Path::new("/sys/class/net").join(interface).join("address");
    let theirs: MacAddr = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
    let [a, b, c, d, e, f] = theirs.0;
    let theirs = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    let ours = match ours.addr() {
        IpAddr::V4(ours) => u64::from(ours.to_bits()),
        IpAddr::V6(ours) => {
            let [.., e, f, g, h] = ours.segments();
            [e, f, g, h]
                .iter()
                .fold(0, |all, s| all << 16 | u64::from(*s))
        }
    };
    let drawn = Rng::from_key([theirs, ours]).fork("mac").next_u64();
    let [a, b, c, d, e, f, ..] = drawn.to_be_bytes();
    // IEEE 802 §8.4: locally administered, individual.
    Some(MacAddr([a & 0xfc | 0x02, b, c, d, e, f]))
}

fn exists(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

/// Whom to speak to: an address, and where it is one of a link, which link's (RFC 4007 §11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The address.
    pub addr: IpAddr,
    /// The zone as it is written: an interface's name, or its number counted from one.
    pub zone: Option<String>,
}

impl Target {
    /// The zone on this host; zero where none is given.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn zone(&self, host: &Host) -> Result<u32, Failure> {
        let Some(name) = &self.zone else {
            return Ok(0);
        };
        host.zone(name).ok_or_else(|| {
            let all = host.interfaces().iter().map(|i| i.name());
            let all = all.collect::<Vec<_>>().join(", ");
            Failure::usage(format!("{self}: no interface '{name}' here, but {all}"))
        })
    }

    /// An end on this host.
    ///
    /// # Errors
    /// As for [`zone`](Self::zone).
    pub fn end(&self, host: &Host, port: u16) -> Result<SocketAddr, Failure> {
        let (addr, zone) = (self.addr, self.zone(host)?);
        Ok(Zoned { addr, zone }.end(port))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => write!(f, "{}%{zone}", self.addr),
            None => self.addr.fmt(f),
        }
    }
}

/// Parses a destination of either family; names wait for a resolver.
///
/// # Errors
/// What to give instead.
pub fn destination(text: &str) -> Result<Target, String> {
    let (addr, zone) = match text.split_once('%') {
        Some((addr, zone)) => (addr, Some(zone.to_owned())),
        None => (text, None),
    };
    let addr = addr.parse().map(|addr: IpAddr| addr.to_canonical());
    let addr = addr.map_err(|_| {
        "not an IP address, as 10.7.0.1 or fd07::1 (names are not looked up yet)".to_owned()
    })?;
    //= RFC 4007 §11.2 what means the same everywhere has no zone.
    let scoped = zone::is_link_local(addr) || (addr.is_ipv6() && addr.is_multicast());
    match zone {
        Some(_) if !scoped => Err(format!(
            "{addr} is of no link: leave out what follows the %"
        )),
        zone => Ok(Target { addr, zone }),
    }
}

/// Whether the members of a group are on one link.
fn is_link_group(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(_) => false,
        IpAddr::V6(addr) => addr.is_multicast() && select::scope(addr.into()) <= LINK_SCOPE,
    }
}

impl Attached {
    /// [`add_link_local`] on its interface.
    ///
    /// # Errors
    /// Exit code 2 where it may have none.
    pub fn add_link_local(&mut self) -> Result<(), Failure> {
        let now = self.driver.now();
        match add_link_local(&mut self.driver.machine, now, self.interface) {
            true => Ok(()),
            false => Err(Failure {
                remedy: Some("an Ethernet interface with an MTU of 1280 at least".to_owned()),
                ..Failure::usage(format!("{}: no IPv6 on this link", self.name))
            }),
        }
    }

    /// Waits until nobody else is known to have our addresses of IPv6: before, the host may ask for
    /// nobody's station (RFC 4429 §3.3), and the user's patience is for the peer.
    fn settle(&mut self) -> Result<(), Failure> {
        let (at, name) = (usize::from(self.interface), self.name.clone());
        self.driver.run(|host, _, wake| {
            pass_events(host);
            let interface = &host.interfaces()[at];
            let own = interface.addresses().iter();
            let mut six = own.filter_map(|a| a.cidr.addr6().map(|addr| (addr, a.usable)));
            if wake.stop {
                return ControlFlow::Break(Err(Failure::unmet("interrupted")));
            }
            if six
                .clone()
                .any(|(addr, _)| interface.claims6().is_probing(addr))
            {
                return ControlFlow::Continue(None);
            }
            ControlFlow::Break(match six.find(|(_, usable)| !usable) {
                Some((addr, _)) => Err(Failure::unmet(format!("{name}: somebody has {addr}"))),
                None => Ok(()),
            })
        })?
    }
}

/// Gives an interface the address that its MAC makes (RFC 4862 §5.3); whether it may have one.
pub fn add_link_local(host: &mut Host, now: Instant, at: u16) -> bool {
    let Some(interface) = host.interfaces().get(usize::from(at)) else {
        return false;
    };
    let config = interface.config();
    let fits = config.medium == host::Medium::Ethernet && config.mtu >= ipv6::MIN_MTU;
    let addr = slaac::link_local(slaac::eui64(config.mac));
    let cidr = Cidr::new(IpAddr::V6(addr), slaac::PREFIX_LEN).filter(|_| fits);
    if let Some(cidr) = cidr {
        host.add_address(now, at, cidr);
    }
    cidr.is_some()
}

/// RFC 4291 §2.7.
const LINK_SCOPE: u8 = 2;

/// Takes what the host has to tell beside its sockets, and passes on what the user must know.
pub fn pass_events(host: &mut Host) {
    while let Some(event) = host.poll_event() {
        warn(&event);
    }
}

/// Says that an address is not ours alone: answers will go astray.
pub fn warn(event: &Event) {
    if let Event::AddressConflict { addr, mac, .. } = event {
        eprintln!("tapline: {addr} is taken by {mac} as well: give another --address");
    }
}

/// A connection that was not begun, as the user shall read it.
#[must_use]
pub fn cannot_connect(to: SocketAddr, error: ConnectError) -> Failure {
    let failure = Failure::usage(format!("{to}: {error}"));
    match error {
        ConnectError::NoRoute => Failure {
            remedy: Some("--gateway IP, or --address CIDR with a network that has it".to_owned()),
            ..failure
        },
        _ => failure,
    }
}

/// Whether all connections have ended, or wait only for what may still be on the way.
#[must_use]
pub fn is_quiet(host: &Host) -> bool {
    let mut states = host.tcp_connections().map(|(_, _, _, state)| state);
    states.all(|state| matches!(state, State::Closed | State::TimeWait))
}

/// Resets what is still open: the host goes with this process, and its peers would wait for it.
pub fn reset_all(driver: &mut Driver<Host>) {
    let now = driver.now();
    if reset(&mut driver.machine, now) {
        // Who does not hear it finds out as of a host that lost its power.
        if let Err(e) = driver.flush() {
            log::info!("what is open is not reset: {e}");
        }
    }
}

/// Aborts all connections; whether there were any.
fn reset(host: &mut Host, now: Instant) -> bool {
    let all = host.tcp_connections();
    let open: Vec<TcpHandle> = all
        .filter(|(.., state)| !matches!(state, State::Closed | State::TimeWait))
        .map(|(handle, ..)| handle)
        .collect();
    for &handle in &open {
        host.tcp_abort(now, handle);
    }
    !open.is_empty()
}

/// A failed send as the user shall read it.
#[must_use]
pub fn cannot_send(to: impl fmt::Display, error: SendError) -> Failure {
    let failure = Failure::usage(format!("{to}: {error}"));
    let remedy = match error {
        SendError::NoRoute => "--gateway IP, or --address CIDR with a network that has it",
        SendError::BroadcastNotAllowed => "`ping -b`, if everyone shall be asked",
        _ => return failure,
    };
    Failure {
        remedy: Some(remedy.to_owned()),
        ..failure
    }
}

/// Hosts in memory, for the tests of the verbs.
#[cfg(test)]
pub mod simulated {
    use crate::runtime::Next;
    use stack::host::{self, Host, InterfaceConfig, ListenHandle};
    use stack::machine::{Machine as _, Port};
    use stack::rng::Rng;
    use stack::time::{Duration, Instant, earliest};
    use stack::transport::tcp::ListenOptions;
    use stack::wire::MacAddr;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::ops::ControlFlow;

    /// What a verb is told by a line of words.
    pub fn args<A: clap::Args>(verb: &'static str, line: &str) -> Result<A, clap::Error> {
        let command = A::augment_args(clap::Command::new(verb).no_binary_name(true));
        let words = command.try_get_matches_from(line.split_whitespace())?;
        A::from_arg_matches(&words)
    }

    /// A host with an interface for each address, on ports of the same order.
    pub fn host(last: u8, addresses: &[&str], mtus: &[usize]) -> Host {
        let policy = host::Config {
            forwarding: addresses.len() > 1,
            ..host::Config::default()
        };
        let mut host = Host::new(policy, Rng::from_seed(u64::from(last)));
        for (i, address) in (0u8..).zip(addresses) {
            let mac = MacAddr([2, 0, 0, 0, last, i]);
            let mut eth = InterfaceConfig::ethernet("eth", Port(u16::from(i)), mac);
            eth.mtu = mtus.get(usize::from(i)).copied().unwrap_or(1500);
            eth.duplicate_detection = host::DuplicateDetection::Off;
            host.add_interface(Instant::ZERO, eth.with_address(address.parse().unwrap()));
        }
        host
    }

    /// Hosts in a row, port 1 of each wired to port 0 of the next (an end has only port 0), each
    /// frame a millisecond under way; the first host's user is `turn`.
    pub fn run<T>(
        hosts: &mut [Host],
        turn: impl FnMut(&mut Host, Instant) -> Next<T>,
    ) -> (T, Instant) {
        run_both(hosts, |_, _| {}, turn)
    }

    /// The same, with a user of the second host as well.
    pub fn run_both<T>(
        hosts: &mut [Host],
        mut serve: impl FnMut(&mut Host, Instant),
        mut turn: impl FnMut(&mut Host, Instant) -> Next<T>,
    ) -> (T, Instant) {
        let mut now = Instant::ZERO;
        let mut wire: Vec<(Instant, usize, u16, stack::frame::Frame)> = Vec::new();
        for _ in 0..1_000_000 {
            while let Some(i) = wire.iter().position(|(at, ..)| *at <= now) {
                let (_, to, port, frame) = wire.remove(i);
                hosts[to].handle_frame(now, Port(port), frame);
            }
            for host in hosts.iter_mut() {
                if host.poll_timeout().is_some_and(|at| at <= now) {
                    host.handle_timeout(now);
                }
            }
            if let Some(second) = hosts.get_mut(1) {
                serve(second, now);
            }
            let wanted = match turn(&mut hosts[0], now) {
                ControlFlow::Break(done) => return (done, now),
                ControlFlow::Continue(at) => at,
            };
            for i in 0..hosts.len() {
                let right = (u16::from(i != 0), i + 1, 0);
                let left = (0, i.wrapping_sub(1), u16::from(i != 1));
                let has_left = i != 0;
                let links = has_left.then_some(left).into_iter().chain([right]);
                for (port, to, peer) in links.filter(|l| l.1 < hosts.len()).collect::<Vec<_>>() {
                    while let Some(frame) = hosts[i].poll_transmit(now, Port(port)) {
                        wire.push((now + Duration::from_millis(1), to, peer, frame));
                    }
                }
            }
            let timers = hosts
                .iter()
                .map(|h| h.poll_timeout())
                .fold(wanted, earliest);
            let frames = wire.iter().map(|(at, ..)| *at).min();
            let next = earliest(timers, frames).expect("somebody waits for something");
            now = now.max(next);
        }
        unreachable!("the verb does not end");
    }

    /// Listens for connections on every address.
    pub fn listen(host: &mut Host, port: u16) -> ListenHandle {
        let at = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
        host.tcp_listen(at, ListenOptions::default()).unwrap()
    }

    /// As [`run`], against a user of the second host's that answers what comes and resets the
    /// connection once the answer has left; the first host's user sleeps until the reset is there.
    pub fn run_reset<T>(
        hosts: &mut [Host],
        listener: ListenHandle,
        answer: &[u8],
        mut turn: impl FnMut(&mut Host, Instant) -> Next<T>,
    ) -> T {
        let mut open = None;
        let serve = |host: &mut Host, now: Instant| {
            open = open.or_else(|| host.tcp_accept(listener).map(|(handle, _)| handle));
            let Some(handle) = open else {
                return;
            };
            let status = host.tcp_status(now, handle).unwrap_or_default();
            if status.unread > 0 {
                host.tcp_recv_bytes(now, handle, 9000).unwrap();
                host.tcp_send(now, handle, answer).unwrap();
            } else if status.bytes_sent > 0 {
                host.tcp_abort(now, handle);
            }
        };
        let wakes = |host: &mut Host, now: Instant| {
            let first = host.tcp_connections().next().map(|c| c.0);
            let status = first
                .and_then(|h| host.tcp_status(now, h))
                .unwrap_or_default();
            match status.bytes_sent > 0 && status.state.is_synchronized() {
                true => ControlFlow::Continue(Some(now + Duration::from_secs(1))),
                false => turn(host, now),
            }
        };
        run_both(hosts, serve, wakes).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use stack::time::Duration;
    use stack::transport::tcp::{self, ListenOptions};
    use std::cell::Cell;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        attach: Attach,
    }

    fn config(words: &[&str], made: bool) -> Result<config::Device, Failure> {
        let line = Line::try_parse_from([&["verb"], words].concat());
        let line = line.map_err(|e| Failure::usage(e.to_string()))?;
        Ok(line.attach.config(true, made, true)?.devices.remove(0))
    }

    #[test]
    fn the_kernel_gets_the_first_other_address() {
        for (ours, want) in [
            ("10.7.0.2/24", Some("10.7.0.1/24")),
            ("192.168.5.1/24", Some("192.168.5.2/24")),
            ("192.168.5.77/30", Some("192.168.5.78/30")),
            ("10.0.0.0/31", Some("10.0.0.1/31")),
            ("10.0.0.1/32", None),
            ("255.255.255.254/31", Some("255.255.255.255/31")),
            ("fd07::2/64", Some("fd07::1/64")),
            ("fd08::1/64", Some("fd08::2/64")),
            ("fd08::9/127", Some("fd08::8/127")),
            ("fd08::9/128", None),
        ] {
            let got = peer_of(ours.parse().unwrap()).map(|c| c.to_string());
            assert_eq!(got.as_deref(), want, "{ours}");
        }
    }

    #[test]
    fn where_it_attaches() {
        let usual = config(&[], true).unwrap();
        assert_eq!((usual.name.as_str(), usual.kernel.len()), ("tap0", 1));
        let there = config(&["--tap", "t1", "--mtu", "1400"], false).unwrap();
        assert_eq!((there.kernel.len(), there.mtu), (0, Some(1400)));
        let made = config(&["--tap", "t1", "--kernel", "10.7.0.9/24"], true).unwrap();
        assert_eq!(made.kernel[0].0.to_string(), "10.7.0.9/24");
        let raw = config(&["--raw", "eth0", "--address", "10.1.0.5/24"], true).unwrap();
        assert_eq!((raw.kind, raw.kernel.len()), (Kind::Raw, 0));
        let tagged = config(&["--vlan", "10"], true).unwrap();
        assert!(tagged.addresses.is_empty() && tagged.vlans[0].addresses.len() == 1);
    }

    #[test]
    fn what_is_missing_is_said() {
        for (words, want) in [
            (
                &["--raw", "eth0"][..],
                "--address CIDR with an unused address of eth0's network",
            ),
            (
                &["--address", "fd07::2/64"],
                "whom it is to speak to of IPv4",
            ),
            (&["--address", "10.0.0.1/32"], "give --kernel"),
            (&["--raw", "a", "--tap", "b"], "cannot be used with"),
            (&["--vlan", "4095"], "4095 is not in 1..=4094"),
        ] {
            let f = config(words, true).unwrap_err();
            assert!(
                f.code == 2 && f.to_string().contains(want),
                "{words:?}: {f}"
            );
        }
        assert!(
            destination("example.org")
                .unwrap_err()
                .contains("names are not")
        );
        assert!(
            destination("fd07::1%tap0")
                .unwrap_err()
                .contains("of no link")
        );
    }

    #[test]
    fn a_zone_is_one_of_the_hosts() {
        let host = simulated::host(1, &["fd07::2/64"], &[]);
        let zone = |text: &str| destination(text).unwrap().zone(&host);
        for (text, want) in [
            ("fe80::1%eth", 1),
            ("ff02::1%1", 1),
            ("fe80::1", 0),
            ("fd07::1", 0),
            ("10.0.0.1", 0),
        ] {
            assert_eq!(zone(text).unwrap(), want, "{text}");
            assert_eq!(destination(text).unwrap().to_string(), text);
        }
        let failure = zone("fe80::1%tap9").unwrap_err();
        assert!(
            failure.code == 2
                && failure
                    .message
                    .contains("no interface 'tap9' here, but eth"),
            "{failure}"
        );
    }

    #[test]
    fn what_is_open_is_reset_in_the_end() {
        let mut peer = simulated::host(2, &["10.7.0.1/24"], &[]);
        let options = ListenOptions::default();
        let listener = peer.tcp_listen("0.0.0.0:7".parse().unwrap(), options);
        let listener = listener.unwrap();
        let mut hosts = [simulated::host(1, &["10.7.0.2/24"], &[]), peer];
        let theirs = Cell::new(State::Closed);
        let (mut ours, mut over) = (None, false);
        let (reset_there, _) = simulated::run_both(
            &mut hosts,
            |host, _| {
                host.tcp_accept(listener);
                let mut all = host.tcp_connections();
                theirs.set(all.next().map_or(State::Closed, |(.., state)| state));
            },
            |host, now| {
                if ours.is_none() {
                    let to = "10.7.0.1:7".parse().unwrap();
                    let options = tcp::Options::default();
                    ours = Some(host.tcp_connect(now, to, None, options).unwrap());
                }
                if theirs.get() == State::Established && !over {
                    over = reset(host, now);
                    assert!(over && !reset(host, now), "all of them, once");
                }
                let gone = over && theirs.get() == State::Closed;
                match gone || now > Instant::ZERO + Duration::from_secs(5) {
                    true => ControlFlow::Break(gone),
                    false => ControlFlow::Continue(Some(now + Duration::from_millis(1))),
                }
            },
        );
        assert!(reset_there);
    }
}
