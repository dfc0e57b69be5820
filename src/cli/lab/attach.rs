//! `lab run --attach`: the kernel in a node's place, and the world around it in real time.
//!
//! ```text
//!   CMD -- kernel: tap0 (the node's address, MAC, MTU, routes) --TAP--+
//!                                                                     World: port i is the i-th node
//!   ^C, --until, CMD's end --> driver ------ virtual time = real time +
//! ```
//!
//! As for `up`, the network is a private one unless --here is said, and a veth pair stands in for a
//! TAP that is not to be had. What happens later than its time is counted: the greatest lag is told.

use super::super::config::{self, Kind, Text};
use super::super::guest::Guest;
use super::super::{Failure, sandbox};
use super::play::{build, tell, title, verdict};
use super::record::{Files, Record};
use super::report::Report;
use super::subject::{Subject, quoted};
use crate::device::netlink::Netlink;
use crate::device::{self, namespace, process};
use crate::lab::World;
use crate::lab::export::directory::short as time;
use crate::lab::fault::Fault;
use crate::lab::names::unknown;
use crate::lab::plan::InterfacePlan;
use crate::lab::topology::{Kind as NodeKind, Topology};
use crate::runtime::{Clock, Driver, Next, Wake};
use stack::frame::Frame;
use stack::machine::{Fate, Machine, Port};
use stack::net::route::RouteKind;
use stack::time::{Duration, Instant, earliest};
use stack::wire::Cidr;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::net::IpAddr;
use std::process::ExitCode;

/// Which nodes the kernel takes the place of.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Real programs in a node's place")]
pub struct Options {
    /// The kernel is this node, by this TAP; may be repeated [default for TAP: tap0, tap1, ..]. Where
    /// several wires end at the node, PORT says at which of them the TAP is, as in a fault script:
    /// r1.0 is its first. What comes by the others is lost, unless they are attached too.
    #[arg(long, value_name = "NODE[.PORT][=TAP]")]
    attach: Vec<String>,

    /// With --attach: make the TAP in the network this is started in (needs root), which is yours
    /// to move: `ip link set tap0 netns NAME`.
    #[arg(long, requires = "attach")]
    here: bool,
}

impl Options {
    /// Whether there is any.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.attach.is_empty()
    }
}

/// What is asked for.
pub(super) struct Wish<'a> {
    pub(super) subject: &'a Subject,
    pub(super) seed: u64,
    /// Only what the command line says: a topology's own end is for runs in virtual time.
    pub(super) until: Option<Duration>,
    pub(super) files: &'a Files,
    pub(super) options: &'a Options,
    pub(super) command: &'a [OsString],
    pub(super) json: bool,
}

/// A node and its place in the kernel.
struct Place {
    node: String,
    device: config::Device,
    interface: InterfacePlan,
    /// Destinations and routers.
    routes: Vec<(Cidr, IpAddr)>,
}

/// Runs the world in real time.
///
/// # Errors
/// Exit code 2 where a node cannot be attached to, 3 with a remedy where the machine lacks
/// something; else as the command exits.
pub(super) fn run(wish: Wish<'_>) -> Result<ExitCode, Failure> {
    let private = !wish.options.here;
    let places = places(&wish)?;
    check_faults(&wish, &places)?;
    let outside = places.iter().map(|p| (p.node.clone(), p.interface.port));
    let outside = outside.collect();
    let mut world = build(wish.subject, wish.seed, wish.files.look(), outside)?;
    let record = wish.files.record(&world, &title(wish.subject, wish.seed))?;
    if private {
        sandbox::enter()?;
    }
    let devices = places.iter().map(|place| place.open(private));
    let devices = devices.collect::<Result<Vec<_>, _>>()?;
    let words = words(&wish, private);
    announce(&wish, &places, &words, private);
    // Nothing has happened yet: the first events are due at once.
    world.run_until(Instant::ZERO);
    let live = Live {
        world,
        record,
        lag: Lag::default(),
        broken: None,
    };
    let mut driver = Driver::new(live, Clock::start(), devices)?;
    driver.catch_signals()?;
    if private && let Err(e) = process::adopt_orphans() {
        log::warn!("what a program leaves behind will be left: {e}");
    }
    let guest = match words.is_empty() {
        true => None,
        false => Some(Guest::start(&words, &[], private)?),
    };
    let mut attended = Attended {
        guest,
        until: wish.until.map(|until| Instant::ZERO + until),
        timed_out: false,
    };
    let ended = driver.run(|live, now, wake| attended.turn(live, now, wake));
    let code = ended.map_err(Failure::from).and_then(|ended| ended)?;
    let end = match (code, attended.timed_out) {
        (None, _) => End::Alone,
        (Some(_), true) => End::TimedOut,
        (Some(code), false) => End::Exited(code),
    };
    finish(&wish, driver.machine, end)
}

/// How it ended.
#[derive(Clone, Copy)]
enum End {
    /// There was no command.
    Alone,
    /// The command ended.
    Exited(ExitCode),
    /// The command was ended, because it was time: as asked for, so that it did nothing wrong.
    TimedOut,
}

/// Says what came of it. A command that fails is what the shell is told of; else what the topology
/// asserts decides, with a command as without.
fn finish(wish: &Wish<'_>, mut live: Live, end: End) -> Result<ExitCode, Failure> {
    let (topology, skipped) = asserted(wish);
    let outcome = topology.judge(wish.seed, &mut live.world);
    if let Some(record) = live.record.take() {
        record.finish(&mut live.world)?;
    }
    let report = Report::of(wish.subject, &live.world, outcome);
    // Standard output is the command's, where there is one.
    let taken = !matches!(end, End::Alone) || wish.files.talk();
    tell(wish.subject, &report, None, wish.json, taken)?;
    for (assertion, why) in skipped {
        eprintln!("tapline: not judged: {assertion} ({why})");
    }
    if let (End::TimedOut, Some(until)) = (end, wish.until) {
        eprintln!("tapline: --until {}: the command was ended", time(until));
    }
    eprintln!("tapline: {}", live.lag.says());
    let judged = verdict(&report, &replay(wish));
    match end {
        End::Exited(code) if code != ExitCode::SUCCESS => {
            if let Err(failure) = judged {
                eprintln!(
                    "tapline: {}",
                    crate::lab::units::shown(&failure.to_string())
                );
            }
            Ok(code)
        }
        _ => judged,
    }
}

/// The command that does all of it again.
fn replay(wish: &Wish<'_>) -> String {
    let mut out = wish.subject.replay(wish.seed);
    for word in &wish.options.attach {
        out.push_str(&format!(" --attach {}", quoted(word)));
    }
    if wish.options.here {
        out.push_str(" --here");
    }
    let mut words = wish.command.iter().map(|w| w.to_string_lossy());
    if let Some(first) = words.next() {
        out.push_str(&format!(" -- {}", quoted(&first)));
    }
    words.for_each(|word| out.push_str(&format!(" {}", quoted(&word))));
    out
}

/// What the lab still counts of a node whose place the kernel has.
const COUNTED: &[&str] = &["arrived", "sent"];

/// The topology without assertions about what somebody else does now, and those with the reason.
fn asserted(wish: &Wish<'_>) -> (Topology, Vec<(String, String)>) {
    let mut topology = wish.subject.topology.clone();
    let mut skipped = Vec::new();
    let attached = |node: &str| {
        let mut words = wish.options.attach.iter();
        words.any(|word| word.split(['=', '.']).next() == Some(node))
    };
    let clients = topology.clients.iter().filter(|c| attached(&c.node));
    let clients: Vec<(String, String)> =
        clients.map(|c| (c.name.clone(), c.node.clone())).collect();
    topology.asserts.retain(|assertion| {
        let why = assertion.metrics().find_map(|m| {
            let client = clients.iter().find(|(name, _)| *name == m.subject);
            if let Some((name, node)) = client {
                return Some(format!("{name} does not run: {node} is the kernel"));
            }
            let unknown = attached(&m.subject) && !COUNTED.contains(&m.name.as_str());
            unknown.then(|| format!("{} is the kernel", m.subject))
        });
        let stays = why.is_none();
        skipped.extend(why.map(|why| (assertion.to_string(), why)));
        stays
    });
    (topology, skipped)
}

fn words(wish: &Wish<'_>, private: bool) -> Vec<OsString> {
    if !wish.command.is_empty() {
        return wish.command.to_vec();
    }
    if private && wish.until.is_none() && io::stdin().is_terminal() {
        let shell = std::env::var_os("SHELL").filter(|s| !s.is_empty());
        return vec![shell.unwrap_or_else(|| "/bin/sh".into())];
    }
    Vec::new()
}

/// That no fault stops or restarts a node whose place the kernel has: the lab has no hold of it.
fn check_faults(wish: &Wish<'_>, places: &[Place]) -> Result<(), Failure> {
    for line in &wish.subject.topology.faults.lines {
        let (Fault::Crash(node) | Fault::Restart(node) | Fault::Pause(node) | Fault::Resume(node)) =
            &line.fault
        else {
            continue;
        };
        if places.iter().any(|place| place.node == *node) {
            let what =
                format!("--attach {node}: the script says `{line}`, but {node} is the kernel");
            return Err(Failure {
                remedy: Some("leave that line out, or attach to another node".to_owned()),
                ..Failure::usage(what)
            });
        }
    }
    Ok(())
}

fn places(wish: &Wish<'_>) -> Result<Vec<Place>, Failure> {
    let mut places: Vec<Place> = Vec::new();
    for (i, word) in wish.options.attach.iter().enumerate() {
        let (seat, tap) = match word.split_once('=') {
            Some((seat, tap)) => (seat, tap.to_owned()),
            None => (word.as_str(), format!("tap{i}")),
        };
        let place = place(wish, seat, &tap)?;
        if places.iter().any(|p| {
            (&p.node, p.interface.port) == (&place.node, place.interface.port)
                || p.device.name == tap
        }) {
            return Err(Failure::usage(format!(
                "--attach {word}: it is there twice"
            )));
        }
        places.push(place);
    }
    Ok(places)
}

/// `seat` is a node, or one of its ports.
fn place(wish: &Wish<'_>, seat: &str, tap: &str) -> Result<Place, Failure> {
    let wrong = |what: String| Failure::usage(format!("--attach {seat}: {what}"));
    let (node, port) = match seat.split_once('.') {
        Some((node, port)) => (node, Some(port)),
        None => (seat, None),
    };
    let topology = &wish.subject.topology;
    let names = topology.nodes.iter().map(|n| n.name.as_str());
    let index = topology.index_of(node);
    let index = index.ok_or_else(|| wrong(unknown("node", node, names)))?;
    if topology
        .nodes
        .get(index)
        .is_some_and(|n| n.kind == NodeKind::Hub)
    {
        return Err(wrong("it is a hub: attach to a host".to_owned()));
    }
    let Some(planned) = wish.subject.plan.nodes.get(index) else {
        return Err(wrong("it is not in the plan".to_owned()));
    };
    let interfaces = planned.interfaces.as_slice();
    let chosen = match (port, interfaces) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(port), all) => all.iter().find(|i| i.port.0.to_string() == port),
    };
    let interface = chosen.ok_or_else(|| wrong(choices(topology, index)))?;
    if tap.is_empty() || tap.len() > 15 || tap.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(wrong(format!("'{tap}' is no interface name")));
    }
    let own = planned.routes.iter().filter(|r| r.port == interface.port);
    let routes = own.filter_map(|route| match route.kind {
        RouteKind::Via(via) => Some((route.destination, via)),
        _ => None,
    });
    let routes = routes.flat_map(
        |(to, via)| match to.prefix_len() == 0 && wish.options.here {
            // In somebody's own network a default route is theirs: only what the lab has is ours.
            true => beyond(wish.subject, interface, via),
            false => vec![(to, via)],
        },
    );
    Ok(Place {
        node: node.to_owned(),
        device: config::Device {
            name: tap.to_owned(),
            kind: Kind::Tap,
            mtu: u32::try_from(interface.mtu).ok(),
            mac: None,
            addresses: Vec::new(),
            kernel: interface.cidrs.iter().copied().map(Text).collect(),
            ..config::Device::tap0()
        },
        routes: routes.collect(),
        interface: interface.clone(),
    })
}

/// Where at a node one can attach.
fn choices(topology: &Topology, node: usize) -> String {
    let name = topology.nodes.get(node).map_or("", |n| n.name.as_str());
    let ports = topology.ports().into_iter().nth(node).unwrap_or_default();
    let wire = |wire: usize| topology.wires.get(wire).map_or("?", |w| w.name.as_str());
    let each = (0..).zip(&ports);
    let each: Vec<String> = each
        .map(|(port, (at, _))| format!("{name}.{port} (wire {})", wire(*at)))
        .collect();
    match each.as_slice() {
        [] => "no wire ends there".to_owned(),
        [only] => format!("one wire ends there: {only}"),
        several => format!(
            "{} wires end there: say {}",
            several.len(),
            several.join(" or ")
        ),
    }
}

/// All networks of the lab but that of the interface, by one router.
fn beyond(subject: &Subject, interface: &InterfacePlan, via: IpAddr) -> Vec<(Cidr, IpAddr)> {
    let segments = subject.plan.segments.iter().enumerate();
    let others = segments.filter(|(i, _)| *i != interface.segment);
    let networks = others.flat_map(|(_, s)| &s.networks);
    let same = networks.filter(|n| n.addr().is_ipv4() == via.is_ipv4());
    same.map(|network| (*network, via)).collect()
}

impl Place {
    /// Makes the device and gives the kernel's side what the node was to have.
    fn open(&self, private: bool) -> Result<Box<dyn device::Device>, Failure> {
        let name = &self.device.name;
        let opened = sandbox::open(&self.device, private)?;
        let configure = || {
            let mut netlink = Netlink::open()?;
            if self.interface.cidrs.iter().all(|c| c.addr().is_ipv4()) {
                // Only what was asked for shall be on the wires.
                namespace::disable_ipv6(name);
            }
            netlink.set_mac(name, self.interface.mac)?;
            for (to, via) in &self.routes {
                match netlink.add_route(*to, *via) {
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                        eprintln!("tapline: {name}: there is another route to {to}; it stays");
                    }
                    done => done?,
                }
            }
            Ok(())
        };
        configure().map_err(|e: io::Error| {
            let message = format!("cannot configure {name}: {e}");
            Failure::lacks(message, "run this as root, or without --here")
        })?;
        Ok(opened)
    }

    /// What was set, and how it is set again where the interface is moved.
    fn says(&self, private: bool) -> String {
        let name = &self.device.name;
        let addresses: Vec<_> = self.interface.cidrs.iter().map(Cidr::to_string).collect();
        let mut out = format!(
            "{} is the kernel's {name}: {}, MAC {}, MTU {}",
            self.node,
            addresses.join(" "),
            self.interface.mac,
            self.interface.mtu
        );
        for (to, via) in &self.routes {
            out.push_str(&format!(", {} via {via}", destination(to)));
        }
        if !private {
            out.push_str(&format!(
                "\n  to move it: ip link set {name} netns NAME; ip -n NAME link set {name} up"
            ));
            for address in &addresses {
                out.push_str(&format!("; ip -n NAME address add {address} dev {name}"));
            }
            for (to, via) in &self.routes {
                out.push_str(&format!(
                    "; ip -n NAME route add {} via {via}",
                    destination(to)
                ));
            }
        }
        out
    }
}

fn destination(to: &Cidr) -> String {
    match to.prefix_len() {
        0 => "default".to_owned(),
        _ => to.to_string(),
    }
}

/// On standard error: who is where, and how it ends.
fn announce(wish: &Wish<'_>, places: &[Place], words: &[OsString], private: bool) {
    for place in places {
        eprintln!("tapline: {}", place.says(private));
    }
    if words.is_empty() {
        let until = wish.until.map(|until| format!(", or for {}", time(until)));
        let until = until.unwrap_or_default();
        eprintln!("tapline: the lab runs until SIGINT (^C) or SIGTERM{until}");
    } else if wish.command.is_empty() {
        eprintln!("tapline: a shell in the same network; `exit` ends both");
    }
}

/// A world in real time: what is late is done at once, and counted.
struct Live {
    world: World,
    record: Option<Record>,
    lag: Lag,
    /// Why it does not go on: nothing more can be written, or the world holds too much.
    broken: Option<Failure>,
}

/// How far the world was behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lag {
    most: Duration,
    sum: Duration,
    turns: u32,
}

impl Lag {
    fn note(&mut self, lag: Duration) {
        self.most = self.most.max(lag);
        self.sum = self.sum.saturating_add(lag);
        self.turns = self.turns.saturating_add(1);
    }

    fn says(&self) -> String {
        let average = self.sum.checked_div(self.turns).unwrap_or_default();
        format!(
            "the lab was behind real time by {} at most, {} on average",
            time(self.most),
            time(average)
        )
    }
}

impl Live {
    /// Lets everything happen that is due by `now`.
    fn advance(&mut self, now: Instant) {
        match self.world.next_at() {
            Some(at) if at <= now => self.lag.note(now.since(at)),
            _ => return,
        }
        while self.world.step_until(now) {
            if let Some(record) = &mut self.record
                && let Err(failure) = record.pump(&mut self.world)
            {
                self.broken.get_or_insert(failure);
                self.record = None;
            }
        }
        if let Some(why) = self.world.given_up() {
            self.broken.get_or_insert(Failure::unmet(why));
        }
    }
}

impl Machine for Live {
    fn handle_frame(&mut self, now: Instant, port: Port, frame: Frame) -> Fate {
        self.advance(now);
        self.world.handle_frame(now, port, frame)
    }

    fn poll_transmit(&mut self, now: Instant, port: Port) -> Option<Frame> {
        self.advance(now);
        self.world.poll_transmit(now, port)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.world.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        self.world.handle_timeout(now);
    }
}

/// What goes on beside the world.
struct Attended {
    guest: Option<Guest>,
    until: Option<Instant>,
    /// The guest was asked to end because it was time.
    timed_out: bool,
}

impl Attended {
    /// The guest's exit code, once there is nothing more to do; none where there was no guest.
    fn turn(
        &mut self,
        live: &mut Live,
        now: Instant,
        wake: &Wake,
    ) -> Next<Result<Option<ExitCode>, Failure>> {
        if let Some(failure) = live.broken.take() {
            return Next::Break(Err(failure));
        }
        if wake.ended {
            let said = "an interface is gone: it, or its network, was deleted";
            let Some(guest) = &self.guest else {
                return Next::Break(Err(Failure::unmet(said)));
            };
            eprintln!("tapline: {said}");
            guest.terminate();
        }
        let mut deadline = self.until;
        match &mut self.guest {
            Some(guest) => {
                match guest.turn(now, wake) {
                    Ok(None) => {}
                    ended => return Next::Break(ended),
                }
                deadline = earliest(deadline, guest.deadline());
            }
            None if wake.stop => return Next::Break(Ok(None)),
            None => {}
        }
        if self.until.is_some_and(|until| until <= now) {
            let Some(guest) = &self.guest else {
                return Next::Break(Ok(None));
            };
            guest.terminate();
            self.until = None;
            self.timed_out = true;
        }
        Next::Continue(deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_that_outgrows_its_room_ends_the_run() {
        let text = r#"
[[node]]
name = "a"
[[node]]
name = "b"
[[wire]]
between = ["a", "b"]
rate = "1kbit"
queue = { kind = "drop-tail", packets = "unlimited" }
[[client]]
node = "a"
kind = "udp"
to = "b"
size = 1000
count = 5000
interval = "1ms"
"#;
        let topology = crate::lab::file::parse("x", text).unwrap().topology;
        let mut live = Live {
            world: topology.build(&Default::default()).unwrap(),
            record: None,
            lag: Lag::default(),
            broken: None,
        };
        live.world.set_room(1 << 20);
        live.advance(Instant::ZERO + Duration::from_secs(10));
        let said = live.broken.unwrap().to_string();
        assert!(said.contains("most of them on a-b"), "{said}");
    }

    #[test]
    fn lag_is_the_most_and_the_average() {
        let mut lag = Lag::default();
        assert!(lag.says().contains("by 0s at most"));
        lag.note(Duration::from_micros(100));
        lag.note(Duration::from_micros(300));
        assert_eq!(
            lag.says(),
            "the lab was behind real time by 300us at most, 200us on average"
        );
    }
}
