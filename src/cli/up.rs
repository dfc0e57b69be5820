//! `up`: a host on a TAP, and a program or a shell in the same private network to talk to it.
//!
//! ```text
//!   up --> sandbox (namespace, devices, kernel's addresses)
//!      --> host (addresses, routes, services)
//!      --> driver ... until CMD ends, or SIGINT, SIGTERM or SIGHUP
//!      --> what CMD left behind, ended before its network goes
//! ```

use super::config::{Config, Device};
use super::guest::Guest;
use super::status::{self, Control};
use super::{Failure, attach, build, sandbox, tour};
use crate::device::tracer::{Trace, Tracer};
use crate::device::{self, process};
use crate::endpoint::services::{Service, Services};
use crate::runtime::clock::os_rng;
use crate::runtime::{Clock, Driver, Next, Wake};
use stack::host::{Event, Host};
use stack::rng::Rng;
use stack::time::{Duration, Instant, UnixTime, earliest};
use stack::transport::tcp;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  tapline up --tour                       # begin here: needs nothing installed
  tapline up -- ping -c 3 10.7.0.2
  tapline up -- ping -c 3 fd07::2
  tapline up -- ping -c 3 ff02::1%tap0    # everyone on the link
  tapline up                              # a shell with the host beside it
  tapline up --config lab.toml -- traceroute -n 10.9.0.1
  tapline up -- curl 'http://[fd07::2]/'
  tapline up --serve iperf -- iperf3 -c 10.7.0.2
  tapline up --pcap all.pcapng -- ping -c 3 10.7.0.2
  tapline up --status end.json -- ping -c 3 10.7.0.2
  tapline up --raw veth0                  # on an existing interface, until ^C";

/// A host on a TAP, in a private network of its own.
///
/// Makes a network namespace (without root a user namespace as well), puts a TAP into it, gives the
/// kernel's end 10.7.0.1/24 and fd07::1/64, and attaches a host at 10.7.0.2 and fd07::2. Then runs CMD
/// inside and exits as it does; without CMD, a shell on a terminal; else serves until SIGINT or SIGTERM.
/// Nothing of the machine's own network is touched, unless --here or --raw say so.
///
/// SIGINT, SIGTERM and SIGHUP are handed on to CMD. What CMD leaves running when it ends goes with
/// the private network: it gets SIGTERM and, a second later, SIGKILL. It stays with --here and
/// --raw, and where `up` itself is killed by SIGKILL.
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

    /// Show what a host does: the kernel's own sockets ask, every frame is printed and explained.
    #[arg(long, conflicts_with_all = ["config", "here", "raw", "status", "pcap", "command"])]
    tour: bool,

    /// At the end, write what the host knows and has counted to this file, as JSON ("-": standard
    /// output). Before the end, ask `tapline status`.
    #[arg(long, value_name = "FILE")]
    status: Option<PathBuf>,

    /// Write every frame to this file, as pcapng: with its interface, its direction and, as a
    /// comment, what became of it and why. Wireshark and `tapline dissect` read it.
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,

    /// Serve this as well, as a configuration's `services` would: `--serve iperf,sink`.
    #[arg(long, value_name = "SERVICE", value_delimiter = ',', value_parser = service)]
    serve: Vec<Service>,

    /// Let clients send data with their SYN, which saves a round trip (RFC 7413): for services on
    /// TCP, as a configuration's `fast_open` would.
    #[arg(long)]
    fast_open: bool,

    /// What to run inside, once every address is usable.
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

fn service(text: &str) -> Result<Service, String> {
    let named = Service::ALL.into_iter().find(|s| s.name() == text);
    named.ok_or_else(|| {
        let all = Service::ALL.map(Service::name).join(", ");
        format!("one of {all}")
    })
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
    if args.tour {
        return tour::run();
    }
    let mut config = read_config(args)?;
    let private = !args.here && args.raw.is_none();
    if private {
        // As of IPv4's addresses: the kernel's end has its own, and there is nobody else.
        let detection = &mut config.duplicate_detection;
        detection.get_or_insert(super::config::DuplicateDetection::Off);
    }
    let role = role(args, private);
    if private {
        sandbox::enter()?;
    }
    if let Some(path) = &args.status {
        status::may_write(path)?;
    }
    let mut devices = open_devices(&config, private)?;
    let clock = Clock::start();
    let trace = match &args.pcap {
        Some(path) => Some(trace(path, clock, &config, &mut devices)?),
        None => None,
    };
    let rng = os_rng()?;
    let times = (clock.now(), clock.unix());
    let host = build::host(&config, &devices, times, &rng)?;
    let control = open_control();
    if args.command.is_empty() {
        announce(&host, &config, &role, control.as_ref());
    }
    let mut driver = Driver::new(host, clock, devices)?;
    driver.catch_signals()?;
    if private && let Err(e) = process::adopt_orphans() {
        log::warn!("what a program leaves behind will be left: {e}");
    }
    let watched = |c: Control| driver.watch(c.fd()).map(|number| (number, c));
    let control = control.map(watched).transpose()?;
    let mut up = Up {
        config,
        role,
        rng,
        services: None,
        guest: None,
        private,
        control,
        tidy: None,
    };
    let outcome = loop {
        match driver.run(|host, now, wake| up.turn(host, now, wake)) {
            Ok(Turn::Asked) => up.answer(&driver),
            Ok(Turn::Ended(outcome)) => break outcome,
            Err(e) => break Err(e.into()),
        }
    };
    // Before what is open is reset, and told as it was.
    let end = args
        .status
        .as_ref()
        .map(|path| (path, snapshot(&driver, up.services.as_ref())));
    say_goodbye(&mut driver);
    attach::reset_all(&mut driver);
    if let (Some(trace), Some(path)) = (&trace, &args.pcap) {
        trace.flush().map_err(|e| unwritten(path, &e))?;
    }
    if let Some((path, snapshot)) = &end {
        status::write(path, snapshot)?;
    }
    outcome
}

/// Tells hosts that we are their router no more.
//= RFC 4861 §6.2.5 at the end a router SHOULD advertise a lifetime of zero.
fn say_goodbye(driver: &mut Driver<Host>) {
    let now = driver.now();
    if driver
        .machine
        .interfaces()
        .iter()
        .any(|i| i.advertiser().is_some())
    {
        driver.machine.stop_advertising(now);
        // Who does not hear it finds out when the router's lifetime ends.
        if let Err(e) = driver.flush() {
            log::info!("nobody hears that the router goes: {e}");
        }
    }
}

fn snapshot(driver: &Driver<Host>, services: Option<&Services>) -> serde_json::Value {
    let mut all = status::snapshot(&driver.machine, &driver.all_port_stats(), driver.now());
    if let Some(services) = services {
        all["services"] = status::services(*services.streams().stats());
    }
    all
}

/// Where `tapline status` asks; a host without one serves all the same.
fn open_control() -> Option<Control> {
    let opened = Control::open();
    let said = |e: &io::Error| log::warn!("no control socket: {e}");
    opened.inspect_err(said).ok()
}

fn read_config(args: &Args) -> Result<Config, Failure> {
    let mut config = match &args.config {
        Some(path) => Config::read(path)?,
        None => Config::usual(),
    };
    for service in &args.serve {
        if !config.services.contains(service) {
            config.services.push(*service);
        }
    }
    config.fast_open |= args.fast_open;
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
    } else if private && io::stdin().is_terminal() {
        let shell = std::env::var_os("SHELL").filter(|s| !s.is_empty());
        Role::Run(vec![shell.unwrap_or_else(|| "/bin/sh".into())])
    } else {
        Role::Serve
    }
}

fn open_devices(config: &Config, private: bool) -> Result<Vec<Box<dyn device::Device>>, Failure> {
    let wanted = config.devices.iter();
    wanted.map(|d| sandbox::open_for_host(d, private)).collect()
}

/// Puts a tracer around each device; all write to one file.
fn trace(
    path: &Path,
    clock: Clock,
    config: &Config,
    devices: &mut Vec<Box<dyn device::Device>>,
) -> Result<Trace, Failure> {
    let epoch = UnixTime(clock.unix().0.saturating_sub(clock.now().as_nanos()));
    let trace = Trace::create(path, epoch).map_err(|e| unwritten(path, &e))?;
    let named = config.devices.iter().zip(std::mem::take(devices));
    let around = named.map(|(wanted, inner)| Tracer::new(inner, &trace, &wanted.name));
    devices.extend(around.map(|tracer| Box::new(tracer) as Box<dyn device::Device>));
    Ok(trace)
}

fn unwritten(path: &Path, e: &io::Error) -> Failure {
    Failure::lacks(format!("{}: {e}", path.display()), "choose another file")
}

/// On standard error: who is where, and how it ends.
fn announce(host: &Host, config: &Config, role: &Role, control: Option<&Control>) {
    let texts = |cidrs: Vec<String>| match cidrs.is_empty() {
        true => "no address".to_owned(),
        false => cidrs.join(" "),
    };
    for interface in host.interfaces() {
        let addresses = interface.addresses().iter();
        let ours = texts(addresses.map(|a| a.cidr.to_string()).collect());
        let name = interface.name();
        let kernel = config.devices.iter().find(|d| d.name == name);
        match kernel.filter(|d| !d.kernel.is_empty()) {
            None => eprintln!("tapline: {name}: the host has {ours}"),
            Some(device) => {
                let theirs = texts(device.kernel.iter().map(|c| c.0.to_string()).collect());
                eprintln!("tapline: {name}: the host has {ours}, the kernel {theirs}");
            }
        }
    }
    match role {
        Role::Run(_) => eprintln!("tapline: a shell in the same network; `exit` ends both"),
        Role::Serve => {
            eprintln!("tapline: serving until SIGINT (^C) or SIGTERM");
            if let Some(path) = control.map(Control::path) {
                eprintln!(
                    "tapline: `tapline status --control {}` asks how it is",
                    path.display()
                );
            }
        }
    }
}

/// What `up` does besides driving the host.
struct Up {
    config: Config,
    role: Role,
    rng: Rng,
    /// Open once every address is usable.
    services: Option<Services>,
    guest: Option<Guest>,
    /// The network is our own: nothing in it is to outlive it.
    private: bool,
    /// Where others ask for its status, and the driver's number of it.
    control: Option<(usize, Control)>,
    /// When to give freed memory back; after a turn for that alone there is no need to.
    tidy: Option<Instant>,
}

/// After so long with something to do freed memory goes back to the machine.
const TIDY: Duration = Duration::from_secs(10);

/// Why the driver stopped turning.
enum Turn {
    /// Somebody asks for the status.
    Asked,
    /// There is nothing more to do.
    Ended(Result<ExitCode, Failure>),
}

impl Up {
    /// Once a turn: serve, start the program when the host is ready, see it end, mind signals.
    fn turn(&mut self, host: &mut Host, now: Instant, wake: &Wake) -> Next<Turn> {
        let done = self.events(host, now).and_then(|()| {
            self.open_services(host)?;
            if let Some(services) = &mut self.services {
                services.handle_timeout(now, host);
            }
            self.mind_program(now, wake)
        });
        match done {
            Ok(None) => {}
            Ok(Some(code)) => return Next::Break(Turn::Ended(Ok(code))),
            Err(failure) => return Next::Break(Turn::Ended(Err(failure))),
        }
        let grace = self.guest.as_ref().and_then(Guest::deadline);
        let served = self.services.as_ref().and_then(Services::poll_timeout);
        let grace = earliest(earliest(grace, served), self.tidy(now));
        match &mut self.control {
            Some((number, _)) if wake.readable.contains(number) => Next::Break(Turn::Asked),
            Some((_, control)) => Next::Continue(earliest(control.feed(now), grace)),
            None => Next::Continue(grace),
        }
    }

    /// Gives freed memory back now and then, and says when it would next.
    fn tidy(&mut self, now: Instant) -> Option<Instant> {
        self.tidy = match self.tidy {
            Some(at) if now >= at => {
                process::give_back_memory();
                None
            }
            planned => Some(planned.unwrap_or(now + TIDY)),
        };
        self.tidy
    }

    fn answer(&mut self, driver: &Driver<Host>) {
        let Self {
            control, services, ..
        } = self;
        if let Some((_, control)) = control {
            control.accept(|| snapshot(driver, services.as_ref()));
        }
    }

    fn events(&mut self, host: &mut Host, now: Instant) -> Result<(), Failure> {
        while let Some(event) = host.poll_event() {
            match event {
                Event::Udp(..) | Event::Tcp(..) | Event::Listener(_) => {
                    if let Some(services) = &mut self.services {
                        services.handle_event(now, host, &event);
                    }
                }
                Event::AddressConflict {
                    addr, mac, lost, ..
                } => {
                    let what = format!("{addr} is held by {mac} as well");
                    // Without it, what was asked for cannot begin. (Of those that the host makes for
                    // itself another is tried.)
                    let configured = self.config.holds(addr);
                    if lost && configured && self.services.is_none() {
                        return Err(Failure::unmet(what));
                    }
                    eprintln!("tapline: {what}{}", if lost { "; given up" } else { "" });
                }
                Event::RouterDisagrees {
                    interface,
                    router,
                    what,
                } => {
                    let at = host.interfaces().get(usize::from(interface));
                    let at = at.map_or("-", |i| i.name());
                    eprintln!("tapline: {at}: {router} advertises otherwise: {what}");
                }
                other => log::info!("{other:?}"),
            }
        }
        Ok(())
    }

    fn open_services(&mut self, host: &mut Host) -> Result<(), Failure> {
        let mut addresses = host.interfaces().iter().flat_map(|i| i.addresses());
        if self.services.is_some() || !addresses.all(|a| a.usable) {
            return Ok(());
        }
        let options = tcp::Options {
            fast_open: self.config.fast_open,
            ..tcp::Options::default()
        };
        let services = Services::open(host, &self.config.services, &options, &self.rng);
        self.services = Some(services.map_err(|e| Failure::usage(format!("services: {e}")))?);
        Ok(())
    }

    /// The exit code, once there is one.
    fn mind_program(&mut self, now: Instant, wake: &Wake) -> Result<Option<ExitCode>, Failure> {
        let Role::Run(words) = &self.role else {
            return Ok(wake.stop.then_some(ExitCode::SUCCESS));
        };
        if let Some(guest) = &mut self.guest {
            return guest.turn(now, wake);
        }
        if wake.stop {
            return Ok(Some(ExitCode::SUCCESS));
        }
        if self.services.is_some() {
            let control = self.control.as_ref().map(|(_, c)| c.path());
            let named = control
                .as_ref()
                .map(|path| (status::CONTROL, path.as_os_str()));
            self.guest = Some(Guest::start(words, named.as_slice(), self.private)?);
        }
        Ok(None)
    }
}
