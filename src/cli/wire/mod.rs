//! `wire`: two interfaces, and a bad wire between them.
//!
//! ```text
//!   whoever uses A -- kernel -- TAP A --[ delay, loss, rate, ... ]-- TAP B -- kernel -- whoever uses B
//!                               impair::Wire, driven in real time
//! ```
//!
//! Read first: [`impair`](stack::link::impair).
//!
//! The interfaces are made in the network that the verb is started in, and brought up. They may be
//! moved to other namespaces while it runs: what holds them is a descriptor, not a name. When it
//! ends they are gone. Left out: frames with tags of their own on an access port, as a switch has.

mod counts;
mod script;
mod settings;

use super::command::{self, Running};
use super::{Failure, report, status};
use crate::device::netlink::Netlink;
use crate::device::tap::Tap;
use crate::device::{Device, namespace};
use crate::lab::units;
use crate::runtime::clock::os_rng;
use crate::runtime::{Clock, Driver, Next, Wake};
use counts::View;
use script::Faults;
use settings::{Settings, describe};
use stack::link::impair::{Config, Wire};
use stack::machine::Port;
use stack::rng::Rng;
use stack::time::{Duration, Instant};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  tapline wire west east --delay 20ms --loss 5%
  tapline wire west east --rate 100mbit --delay 10ms --queue fq-codel
  tapline wire west east --rate 10mbit --limit 64KiB --from east \"rate=1mbit\"
  tapline wire west east --delay 5ms --script faults.txt --status end.json
  unshare -Urn tapline wire west east -- ip link   # without root";

const MORE: &str = "\
The two interfaces come up in the network where this is started. Two addresses of one kernel talk to
each other without any wire, so move one end (or both) away, which takes it down and its addresses off:
  ip netns add far
  ip link set east netns far
  ip addr add 10.9.0.1/24 dev west
  ip -n far addr add 10.9.0.2/24 dev east
  ip -n far link set east up
  ping 10.9.0.2

SETTINGS of --from are the options below \"The wire\" without their dashes, separated by spaces:
  --from east \"rate=1mbit loss=2% in-order\"

A script has lines as these; the nodes are the interfaces, the wire is A-B or *:
  at 2s down * for 1s
  between 5s and 9s drop 10% of udp on * from west
  at 10s rate 1mbit on *
  at 12s duplicate next 3 of icmp on *
  at 20s flap * every 2s down 100ms";

/// Two interfaces joined by a bad wire: delay, loss, rate, queues, until ^C.
///
/// Makes TAPs A and B in this network and joins them. What is lost, doubled or held back depends on
/// the seed, the flow, and which packet of its flow it is, so that a run with the same seed treats
/// the same packets alike. SIGUSR1 prints the counters so far, and so does the end.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{MORE}"))]
pub struct Args {
    /// An interface to make.
    #[arg(value_name = "A")]
    a: String,

    /// The other one.
    #[arg(value_name = "B")]
    b: String,

    #[command(flatten)]
    settings: Settings,

    /// What is otherwise for frames that this interface sends.
    #[arg(long, num_args = 2, value_names = ["IF", "SETTINGS"], help_heading = "Options")]
    from: Vec<String>,

    /// Decides what chance does, so that it does it again [default: drawn, and told].
    #[arg(long, value_name = "N", help_heading = "Options")]
    seed: Option<u64>,

    /// What frames on their way may take of memory, each way; more are dropped (wire-memory-full).
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = units::size,
        help_heading = "Options")]
    memory: u64,

    /// Faults and when they come; see below.
    #[arg(long, value_name = "FILE", help_heading = "Options")]
    script: Option<PathBuf>,

    /// At the end, write all counters to this file, as JSON.
    #[arg(long, value_name = "FILE", help_heading = "Options")]
    status: Option<PathBuf>,

    /// Counters as JSON, one object a line.
    #[arg(long, help_heading = "Options")]
    json: bool,

    /// Run this in the same network, and end with it.
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Frames that wait in the kernel while this process is not running. All that is lost shall be lost
/// by the wire: this is 80 ms of full frames at 1 Gbit/s, where a TAP usually has 6 or 12.
const PATIENCE: u32 = 6667;
/// The error of a file whose mode is in the way.
const EACCES: i32 = 13;
/// How often `-v` tells how it stands.
const EVERY: Duration = Duration::from_secs(10);

/// Runs the verb.
///
/// # Errors
/// Exit code 2 for options that make no sense, 3 with a remedy where the machine lacks something.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let names = [args.a.clone(), args.b.clone()];
    let settings = args.settings(&names)?;
    let [there, back] = &settings;
    let configs = [there.config()?, back.config()?];
    let clock = Clock::start();
    let faults = args.faults(&names, &configs, clock.now())?;
    let seed = match args.seed {
        Some(seed) => seed,
        None => os_rng()?.next_u64(),
    };
    if let Some(path) = &args.status {
        status::may_write(path)?;
    }
    let devices = open(&names, &settings)?;
    let mut wire = Wire::new(configs.clone(), &Rng::from_seed(seed));
    for port in [Port(0), Port(1)] {
        if let Some(way) = wire.way_mut(port) {
            way.set_memory(args.memory);
        }
    }
    let mut driver = Driver::new(wire, clock, devices)?;
    driver.catch_signals()?;
    driver.catch_usr1()?;
    // Whoever cannot run is told before anything is said to be ready.
    let child = match args.command.is_empty() {
        true => None,
        false => Some(command::start(&args.command)?),
    };
    announce(args, &names, &configs, seed);
    if settings.iter().any(Settings::queues_in_vain) {
        eprintln!("tapline: nothing ever waits without --rate: the queue's options do nothing");
    }
    let mut attended = Attended {
        faults,
        child,
        told: clock.now(),
    };
    let outcome = loop {
        match driver.run(|wire, now, wake| attended.turn(wire, now, wake)) {
            Ok(Turn::Asked) => tell(args, &view(&driver, &names, seed), &mut io::stderr())?,
            Ok(Turn::Due) => {
                for line in view(&driver, &names, seed).text().lines() {
                    log::info!("{line}");
                }
            }
            Ok(Turn::Ended(outcome)) => break outcome,
            Err(e) => break Err(e.into()),
        }
    };
    let view = view(&driver, &names, seed);
    tell(args, &view, &mut io::stdout())?;
    if let Some(path) = &args.status {
        status::write(path, &view.json())?;
    }
    outcome
}

impl Args {
    /// What each end's frames meet.
    fn settings(&self, names: &[String; 2]) -> Result<[Settings; 2], Failure> {
        if self.a == self.b {
            return Err(Failure::usage(format!(
                "{}: a wire has two ends of different names",
                self.a
            )));
        }
        let mut settings = [self.settings.clone(), self.settings.clone()];
        for pair in self.from.chunks_exact(2) {
            let [name, text] = pair else { continue };
            let Some(i) = names.iter().position(|n| n == name) else {
                let [a, b] = names;
                let said = format!("--from {name}: the interfaces are {a} and {b}");
                return Err(Failure::usage(said));
            };
            let own =
                Settings::parse(text).map_err(|f| Failure::usage(format!("--from {name} {f}")))?;
            settings[i] = own.over(&settings[i]);
        }
        Ok(settings)
    }

    fn faults(
        &self,
        names: &[String; 2],
        configs: &[Config; 2],
        start: Instant,
    ) -> Result<Option<Faults>, Failure> {
        let Some(path) = &self.script else {
            return Ok(None);
        };
        let wrong = |what: String| Failure::usage(format!("{}: {what}", path.display()));
        let text = fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        let faults = Faults::new(&text, names, configs.clone(), start);
        faults.map(Some).map_err(|e| wrong(e.to_string()))
    }
}

/// Makes both interfaces and brings them up.
fn open(names: &[String; 2], settings: &[Settings; 2]) -> Result<Vec<Box<dyn Device>>, Failure> {
    let mut devices: Vec<Box<dyn Device>> = Vec::new();
    for (name, settings) in names.iter().zip(settings) {
        let tap = Tap::create(name, settings.mtu()).map_err(|e| no_tap(name, &e))?;
        devices.push(Box::new(tap));
    }
    for name in names {
        let up = Netlink::open().and_then(|mut netlink| {
            netlink.set_queue_len(name, PATIENCE)?;
            netlink.set_up(name)
        });
        up.map_err(|e| no_tap(name, &e))?;
    }
    Ok(devices)
}

fn no_tap(name: &str, e: &io::Error) -> Failure {
    let remedy = match e.kind() {
        io::ErrorKind::NotFound => {
            "modprobe tun (as root); in a container, start it with --device /dev/net/tun"
        }
        // The node itself, which no user namespace opens.
        io::ErrorKind::PermissionDenied if e.raw_os_error() == Some(EACCES) => {
            "run this as root (sudo), or open the node to all: chmod a+rw /dev/net/tun (as root)"
        }
        io::ErrorKind::PermissionDenied if namespace::is_root() => {
            "in a container, start it with --device /dev/net/tun --cap-add NET_ADMIN"
        }
        io::ErrorKind::PermissionDenied => {
            "run this as root (sudo), or in a network of your own: unshare -Urn tapline wire ..."
        }
        io::ErrorKind::ResourceBusy => {
            "that name is taken (`ip link` lists them): choose another name"
        }
        io::ErrorKind::InvalidInput => "give a name of 1 to 15 letters, without `/` or spaces",
        _ => "modprobe tun; run this as root",
    };
    let code = match e.kind() {
        io::ErrorKind::InvalidInput => 2,
        _ => 3,
    };
    Failure {
        code,
        ..Failure::lacks(format!("cannot make interface {name}: {e}"), remedy)
    }
}

/// On standard error: what there is now, and what to do with it.
fn announce(args: &Args, names: &[String; 2], configs: &[Config; 2], seed: u64) {
    let [a, b] = names;
    let [there, back] = configs;
    if there == back {
        eprintln!("tapline: {a} and {b} are joined: {}", describe(there));
    } else {
        eprintln!("tapline: {a} and {b} are joined");
        eprintln!("tapline:   {a} > {b}: {}", describe(there));
        eprintln!("tapline:   {b} > {a}: {}", describe(back));
    }
    if !args.command.is_empty() {
        eprintln!("tapline: the wire is ready (--seed {seed})");
        return;
    }
    eprintln!("tapline: now move an end to another network, for example");
    eprintln!("           ip netns add far; ip link set {b} netns far");
    eprintln!("           ip addr add 10.9.0.1/24 dev {a}");
    eprintln!("           ip -n far addr add 10.9.0.2/24 dev {b}; ip -n far link set {b} up");
    eprintln!("           ping 10.9.0.2");
    eprintln!(
        "tapline: kill -USR1 {} prints the counters",
        std::process::id()
    );
    eprintln!("tapline: the wire is ready until SIGINT (^C) or SIGTERM (--seed {seed})");
}

fn view<'a>(driver: &'a Driver<Wire>, names: &'a [String; 2], seed: u64) -> View<'a> {
    let refused = |port| driver.port_stats(Port(port)).map_or(0, |p| p.refused);
    View {
        names,
        seed,
        wire: &driver.machine,
        refused: [refused(0), refused(1)],
    }
}

fn tell(args: &Args, view: &View<'_>, out: &mut impl io::Write) -> Result<(), Failure> {
    let told = match args.json {
        true => report::json_line(out, &view.json()),
        false => out.write_all(view.text().as_bytes()),
    };
    told.map_err(report::untold)
}

/// Why the driver stopped turning.
enum Turn {
    /// Somebody wants to know how it stands.
    Asked,
    /// It is time to tell.
    Due,
    Ended(Result<ExitCode, Failure>),
}

/// What goes on beside the wire.
struct Attended {
    faults: Option<Faults>,
    child: Option<Running>,
    told: Instant,
}

impl Attended {
    fn turn(&mut self, wire: &mut Wire, now: Instant, wake: &Wake) -> Next<Turn> {
        let mut deadline = self.faults.as_mut().and_then(|f| f.turn(wire, now));
        if let Some(outcome) = self.end(wake) {
            return Next::Break(Turn::Ended(outcome));
        }
        if wake.asked {
            return Next::Break(Turn::Asked);
        }
        if log::log_enabled!(log::Level::Info) {
            let due = self.told + EVERY;
            if due <= now {
                self.told = now;
                return Next::Break(Turn::Due);
            }
            deadline = deadline.into_iter().chain([due]).min();
        }
        Next::Continue(deadline)
    }

    /// The exit code, once there is one.
    fn end(&mut self, wake: &Wake) -> Option<Result<ExitCode, Failure>> {
        if wake.ended {
            let said = "an interface is gone: it, or its network, was deleted";
            return Some(Err(Failure::unmet(said)));
        }
        let Some(child) = &mut self.child else {
            return wake.stop.then_some(Ok(ExitCode::SUCCESS));
        };
        for &stop in &wake.stops {
            child.pass_on(stop);
        }
        if !wake.child {
            return None;
        }
        match child.ended() {
            Ok(code) => code.map(|c| Ok(ExitCode::from(c))),
            Err(e) => Some(Err(e.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn settings(words: &[&str]) -> Result<[Config; 2], String> {
        let line = Line::try_parse_from([&["wire", "west", "east"], words].concat());
        let args = line.map_err(|e| e.to_string())?.args;
        let names = [args.a.clone(), args.b.clone()];
        let [there, back] = args.settings(&names).map_err(|f| f.to_string())?;
        Ok([there.config().unwrap(), back.config().unwrap()])
    }

    #[test]
    fn directions_may_differ() {
        let words = ["--delay", "5ms", "--from", "east", "rate=1mbit delay=9ms"];
        let [there, back] = settings(&words).unwrap();
        assert_eq!((there.rate, there.delay), (None, Duration::from_millis(5)));
        assert_eq!(back.rate, Some(1_000_000));
        assert_eq!(back.delay, Duration::from_millis(9));
        let said = settings(&["--from", "north", "rate=1mbit"]).unwrap_err();
        assert!(said.contains("the interfaces are west and east"), "{said}");
        let said = settings(&["--from", "east", "rate=x"]).unwrap_err();
        assert!(said.starts_with("--from east 'rate=x'"), "{said}");
    }
}
