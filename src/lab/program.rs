//! What runs on a host of the lab: the programs of [`endpoint`](crate::endpoint), each with a name
//! and a moment at which it starts.
//!
//! ```text
//!   World --handle_event, handle_timeout--> Task { name, start, Program } --user calls--> Host
//!         <--poll_note, poll_timeout, poll_frame--
//! ```
//!
//! An enum and not a trait object: a world is cloned, and its programs with it.

use crate::endpoint::arp_forger::ArpForger;
use crate::endpoint::bulk::Bulk;
use crate::endpoint::measure::{Delays, ppm};
use crate::endpoint::ping::Pinger;
use crate::endpoint::scan::Scan;
use crate::endpoint::services::Server;
use crate::endpoint::tcp_attacker::TcpAttacker;
use crate::endpoint::traceroute::Traceroute;
use crate::endpoint::traffic::{Sender, Sink};
use crate::endpoint::{Endpoint, Hears, Note, StartError};
use stack::frame::Frame;
use stack::host::{Event, Host};
use stack::time::{Duration, Instant};
use std::collections::BTreeMap;

macro_rules! programs {
    ($($(#[$doc:meta])* $name:ident($kind:ty),)*) => {
        /// A program.
        #[derive(Clone, Debug)]
        pub enum Program { $($(#[$doc])* $name($kind),)* }

        $(impl From<$kind> for Program {
            fn from(program: $kind) -> Self {
                Self::$name(program)
            }
        })*

        impl Program {
            /// The names of everything that it measures.
            #[must_use]
            pub const fn metrics(&self) -> &'static [&'static str] {
                match self { $(Self::$name(_) => <$kind>::METRICS,)* }
            }

            /// A value that it measured; see [`Endpoint::measure`].
            #[must_use]
            pub fn measure(&self, metric: &str) -> Option<u64> {
                match self { $(Self::$name(p) => p.measure(metric),)* }
            }

            fn start(&mut self, now: Instant, host: &mut Host) -> Result<(), StartError> {
                match self { $(Self::$name(p) => p.start(now, host),)* }
            }

            pub(super) fn hears(&self) -> Hears {
                match self { $(Self::$name(p) => p.hears(),)* }
            }

            fn begin_life(&mut self, life: u32) {
                match self { $(Self::$name(p) => p.begin_life(life),)* }
            }

            fn handle_event(&mut self, now: Instant, host: &mut Host, event: &Event) {
                match self { $(Self::$name(p) => p.handle_event(now, host, event),)* }
            }

            fn handle_frame(&mut self, now: Instant, frame: &Frame) -> bool {
                match self { $(Self::$name(p) => p.handle_frame(now, frame),)* }
            }

            fn poll_timeout(&self) -> Option<Instant> {
                match self { $(Self::$name(p) => p.poll_timeout(),)* }
            }

            fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
                match self { $(Self::$name(p) => p.handle_timeout(now, host),)* }
            }

            fn poll_note(&mut self) -> Option<Note> {
                match self { $(Self::$name(p) => p.poll_note(),)* }
            }

            fn poll_frame(&mut self, now: Instant) -> Option<Frame> {
                match self { $(Self::$name(p) => p.poll_frame(now),)* }
            }
        }
    };
}

programs! {
    /// Echo, discard and chargen.
    Server(Box<Server>),
    /// Pings, and measures.
    Ping(Pinger),
    /// Sends datagrams at a pace, and measures what comes back.
    Sender(Sender),
    /// Takes datagrams, and measures or sends them back.
    Sink(Sink),
    /// Sends bytes over TCP, and measures the connection.
    Bulk(Box<Bulk>),
    /// Tries one port after another.
    Scan(Scan),
    /// Finds the routers on a way.
    Traceroute(Traceroute),
    /// Claims another's address.
    ArpForger(ArpForger),
    /// Attacks another's TCP.
    TcpAttacker(Box<TcpAttacker>),
}

impl From<Server> for Program {
    fn from(server: Server) -> Self {
        Self::Server(Box::new(server))
    }
}

impl Program {
    /// The round trips of one that asks others.
    #[must_use]
    pub fn round_trips(&self) -> Option<&Delays> {
        match self {
            Self::Ping(p) => Some(p.rtt()),
            Self::Sender(p) => Some(p.rtt()),
            Self::Bulk(p) => Some(p.rtt()),
            _ => None,
        }
    }
}

impl From<Bulk> for Program {
    fn from(program: Bulk) -> Self {
        Self::Bulk(Box::new(program))
    }
}

impl From<TcpAttacker> for Program {
    fn from(program: TcpAttacker) -> Self {
        Self::TcpAttacker(Box::new(program))
    }
}

/// What a program measured before its host began again.
#[derive(Clone, Debug)]
struct Former {
    /// By metric.
    counts: BTreeMap<&'static str, u64>,
    round_trips: Delays,
}

/// What is so at present, and not a count of what happened: of these the last life tells.
const STANDS: &[&str] = &[
    "size",
    "path-mtu",
    "goodput",
    "connect",
    "time",
    "cwnd",
    "in-flight",
    "ssthresh",
    "window",
    "mss",
    "delivery-rate",
    "pacing-rate",
    "srtt",
    "min-rtt",
    "rto",
    "checksum",
    "connections",
    "sink.goodput",
    "sink.checksum",
];

/// A program with its name and its start.
#[derive(Clone, Debug)]
pub(super) struct Task {
    name: String,
    /// How long after its host's beginning it starts.
    delay: Duration,
    start: Option<Instant>,
    program: Program,
    /// What it measured in former lives of its host.
    former: Option<Box<Former>>,
    /// Why it did not start, until told.
    failed: Option<StartError>,
}

impl Task {
    pub(super) fn new(name: &str, now: Instant, delay: Duration, program: Program) -> Self {
        Self {
            name: name.to_owned(),
            delay,
            start: Some(now + delay),
            program,
            former: None,
            failed: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn program(&self) -> &Program {
        &self.program
    }

    /// Its host begins again at `now`, and so does it, for the `life`-th time after the first.
    pub(super) fn begin_again(&mut self, now: Instant, life: u32) {
        self.start = Some(now + self.delay);
        self.program.begin_life(life);
    }

    /// Keeps what it measured before its host began again.
    pub(super) fn follow(&mut self, before: &Self) {
        let metrics = before.program.metrics().iter();
        let counts = metrics.filter_map(|m| Some((*m, before.measure(m)?)));
        let former = Former {
            counts: counts.collect(),
            round_trips: before.round_trips().unwrap_or_default(),
        };
        self.former = Some(Box::new(former));
    }

    /// The round trips of all lives, of one that asks others.
    pub(super) fn round_trips(&self) -> Option<Delays> {
        let present = self.program.round_trips()?;
        let former = self.former.as_ref();
        let mut all = former.map_or_else(Delays::default, |f| f.round_trips.clone());
        all.join(present);
        Some(all)
    }

    /// A value that it measured in all lives of its host together.
    pub(super) fn measure(&self, metric: &str) -> Option<u64> {
        let present = self.program.measure(metric);
        let Some(former) = &self.former else {
            return present;
        };
        let before = former.counts.get(metric).copied();
        if metric == "loss" {
            // Of what was sent in all.
            before.or(present)?;
            let all = self.measure("sent")?;
            let came = self.measure("received").unwrap_or(all);
            let lost = self.measure("silent").unwrap_or(all.saturating_sub(came));
            return ppm(lost, all);
        }
        if let Some(what) = metric.strip_prefix("rtt.")
            && let Some(all) = self.round_trips()
        {
            return all.measure(what);
        }
        let (Some(before), Some(present)) = (before, present) else {
            return present.or(before);
        };
        let last = metric.rsplit('.').next().unwrap_or(metric);
        Some(match last {
            "max" | "finished" | "reached" | "probes" | "hops" => present.max(before),
            "min" => present.min(before),
            _ if STANDS.contains(&metric) || matches!(last, "avg" | "mdev" | "p50" | "p99") => {
                present
            }
            _ => present.saturating_add(before),
        })
    }

    pub(super) fn handle_event(&mut self, now: Instant, host: &mut Host, event: &Event) {
        if self.start.is_none() {
            self.program.handle_event(now, host, event);
        }
    }

    /// Whether its program takes a frame before its host does.
    pub(super) fn handle_frame(&mut self, now: Instant, frame: &Frame) -> bool {
        self.start.is_none() && self.program.handle_frame(now, frame)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.start.or_else(|| self.program.poll_timeout())
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        match self.start {
            Some(at) if at > now => return,
            Some(_) => {
                self.start = None;
                self.failed = self.program.start(now, host).err();
            }
            None => {}
        }
        self.program.handle_timeout(now, host);
    }

    pub(super) fn poll_frame(&mut self, now: Instant) -> Option<Frame> {
        match self.start {
            Some(_) => None,
            None => self.program.poll_frame(now),
        }
    }

    /// What it has to say: a word and the rest.
    pub(super) fn poll_note(&mut self) -> Option<(&'static str, String)> {
        if let Some(error) = self.failed.take() {
            return Some(("failed", error.to_string()));
        }
        let note = self.program.poll_note()?;
        let fields = note
            .fields
            .iter()
            .map(|(name, field)| format!("{name}={field}"));
        Some((note.name, fields.collect::<Vec<_>>().join(" ")))
    }
}
