//! `up`: a host on a TAP, and a program or a shell in the same private network to talk to it.
//!
//! ```text
//!   up --> sandbox (namespace, devices, kernel's addresses)
//!      --> host (addresses, routes, services)
//!      --> driver ... until CMD ends, or SIGINT or SIGTERM
//! ```

use super::command::{self, Running};
use super::config::{Config, Device, Text};
use super::toy::Toy;
use super::{Failure, sandbox};
use crate::device;
use crate::runtime::clock::os_rng;
use crate::runtime::{Clock, Driver, Next, Wake};
use stack::machine::Machine;
use stack::rng::Rng;
use stack::time::Instant;
use stack::wire::MacAddr;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  tapline up -- ping -c 3 10.7.0.2
  tapline up                              # a shell with the host beside it
  tapline up --config lab.toml -- traceroute -n 10.9.0.1
  tapline up --raw veth0                  # on an existing interface, until ^C";

/// A host on a TAP, in a private network of its own.
///
/// Makes a network namespace (without root a user namespace as well), puts a TAP into it, gives the
/// kernel's end 10.7.0.1/24 and fd07::1/64 and attaches a host at 10.7.0.2. Then runs CMD inside
/// and exits as it does; without CMD, a shell on a terminal; else serves until SIGINT or SIGTERM.
/// Nothing of the machine's own network is touched, unless --here or --raw say so.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{}", super::config::EXAMPLE)
)]
pub struct Args {
    /// Devices, addresses, routes, VLANs, forwarding and services, as TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Stay in the network this is started in (needs root).
    #[arg(long)]
    here: bool,

    /// Attach to this existing interface instead of making one; implies --here.
    #[arg(long, value_name = "IF")]
    raw: Option<String>,

    /// What to run inside, once every address is usable.
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// What `up` does besides driving the host.
enum Role {
    /// Runs a program, and ends with it.
    Run(Vec<OsString>),
    /// Serves until told to stop.
    Serve,
}

/// Runs the verb.
///
/// # Errors
/// Exit code 2 for a bad configuration, 3 with a remedy where the machine lacks something.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let config = read_config(args)?;
    let private = !args.here && args.raw.is_none();
    let role = role(args, private);
    if private {
        sandbox::enter()?;
    }
    let devices = open_devices(&config, private)?;
    let clock = Clock::start();
    let rng = os_rng()?;
    let machine = build(&config, &devices, &rng)?;
    if !matches!(&role, Role::Run(words) if *words == args.command) {
        announce(&config, &role);
    }
    let mut driver = Driver::new(machine, clock, devices)?;
    driver.catch_signals()?;
    let mut child = None;
    driver.run(|machine, now, wake| turn(machine, now, wake, &role, &mut child))?
}

fn read_config(args: &Args) -> Result<Config, Failure> {
    let mut config = match &args.config {
        Some(path) => Config::read(path)?,
        None => Config::usual(),
    };
    if let Some(name) = &args.raw {
        // With a file as well, the file says what the first device's addresses are.
        let first = config.devices.remove(0);
        let device = Device {
            kernel: Vec::new(),
            kernel_routes: Vec::new(),
            kind: super::config::Kind::Raw,
            name: name.clone(),
            ..first
        };
        config.devices.insert(0, device);
    }
    Ok(config)
}

fn role(args: &Args, private: bool) -> Role {
    if !args.command.is_empty() {
        Role::Run(args.command.clone())
    } else if private && std::io::stdin().is_terminal() {
        let shell = std::env::var_os("SHELL").filter(|s| !s.is_empty());
        Role::Run(vec![shell.unwrap_or_else(|| "/bin/sh".into())])
    } else {
        Role::Serve
    }
}

fn open_devices(config: &Config, private: bool) -> Result<Vec<Box<dyn device::Device>>, Failure> {
    let wanted = config.devices.iter();
    wanted.map(|d| sandbox::open(d, private)).collect()
}

/// The host that `config` describes.
fn build(config: &Config, _devices: &[Box<dyn device::Device>], rng: &Rng) -> Result<Toy, Failure> {
    let mut macs = rng.fork("mac");
    let stations = config.devices.iter().map(|d| {
        let mac = d.mac.map_or_else(|| random_mac(&mut macs), |Text(mac)| mac);
        match d.gateway(true) {
            Some(IpAddr::V4(addr)) => Ok((mac, addr)),
            _ => Err(Failure::usage(format!("{}: no IPv4 address", d.name))),
        }
    });
    Ok(Toy::new(stations.collect::<Result<_, _>>()?))
}

/// A station address of no vendor's (IEEE 802 §8.4: locally administered, individual).
fn random_mac(rng: &mut Rng) -> MacAddr {
    let [a, b, c, d, e, f, ..] = rng.next_u64().to_be_bytes();
    MacAddr([a & 0xfc | 0x02, b, c, d, e, f])
}

/// One line on standard error: who is where, and how it ends.
fn announce(config: &Config, role: &Role) {
    let list = |cidrs: &[Text<stack::wire::Cidr>]| {
        let texts: Vec<String> = cidrs.iter().map(|Text(c)| c.to_string()).collect();
        texts.join(" ")
    };
    for device in &config.devices {
        let (name, ours) = (&device.name, list(&device.addresses));
        match device.kernel.is_empty() {
            true => eprintln!("tapline: {name}: the host has {ours}"),
            false => eprintln!(
                "tapline: {name}: the host has {ours}, the kernel {}",
                list(&device.kernel)
            ),
        }
    }
    match role {
        Role::Run(_) => eprintln!("tapline: a shell in the same network; `exit` ends both"),
        Role::Serve => eprintln!("tapline: serving until SIGINT (^C) or SIGTERM"),
    }
}

/// What `up` does once a turn: start the program, see it end, mind signals.
fn turn<M: Machine>(
    _machine: &mut M,
    _now: Instant,
    wake: &Wake,
    role: &Role,
    child: &mut Option<Running>,
) -> Next<Result<ExitCode, Failure>> {
    match (role, child) {
        (Role::Serve, _) if wake.stop => Next::Break(Ok(ExitCode::SUCCESS)),
        (Role::Serve, _) => Next::Continue(None),
        (Role::Run(words), child @ None) => match command::start(words) {
            Ok(running) => {
                *child = Some(running);
                Next::Continue(None)
            }
            Err(failure) => Next::Break(Err(failure)),
        },
        (Role::Run(_), Some(running)) => {
            // ^C reaches the program by itself: it may want to say something before it ends.
            if wake.stop && !wake.interrupt {
                running.terminate();
            }
            match wake.child.then(|| running.ended()) {
                Some(Ok(Some(code))) => Next::Break(Ok(ExitCode::from(code))),
                Some(Err(e)) => Next::Break(Err(e.into())),
                _ => Next::Continue(None),
            }
        }
    }
}
