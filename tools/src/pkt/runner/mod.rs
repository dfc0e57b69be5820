//! Runs a script: makes its calls, injects its packets, and compares what leaves.
//!
//! ```text
//!  events in order:  <  map numbers to live ones -> Process::deliver
//!                    >  Process::transmit -> map to the script's numbers -> compare, with time
//!                    call -> Process::call -> compare; a waiting one is asked again at each step
//!  between events:   Process::advance through each timer, at virtual speed
//! ```
//!
//! Rules, all packetdrill's: one socket is under test at a time (the latest made by `socket()`,
//! by a SYN to a listener, or by a packet where there is none); sequence numbers outside SYN
//! segments are relative to the initial ones; timestamps map by the first one seen; the window is
//! the header's field, unscaled; a packet may come 4 ms or an eighth of the time since the event
//! before too early or too late.

mod calls;
mod packets;
mod settle;
mod socket;
mod state;

pub(super) use calls::NAMES as CALLS;
pub(super) use state::Prepared;

use super::code::{self, CodeError, Variables};
use super::place::Place;
use super::report::{Outcome, Report};
use super::shell::Step;
use super::tree::{Action, Event, Time};
use crate::posix::Process;
use state::{Entry, Result, Runner, Stop, cannot, clock, fail};
use std::collections::{BTreeMap, VecDeque};

/// Runs what is ready.
pub(super) fn run(prepared: &Prepared<'_>) -> Report {
    let mut setup = prepared.config.setup.clone();
    for step in &prepared.init {
        if let Step::Mtu(mtu) = step {
            setup.mtu = *mtu;
        }
    }
    let mut process = Process::new(&setup);
    process.set_joined(prepared.config.joined);
    let mut runner = Runner {
        prepared,
        lines: prepared.text.lines().collect(),
        start: process.now(),
        process,
        sockets: Vec::new(),
        under_test: None,
        fds: BTreeMap::new(),
        queue: VecDeque::new(),
        pending: Vec::new(),
        variables: Variables::new(),
        files: BTreeMap::new(),
        counted: BTreeMap::new(),
        exchange: Vec::new(),
        last: None,
        at: None,
        zeros: true,
        next_port: 36_000,
    };
    let outcome = match runner.go() {
        Ok(()) => Outcome::Pass,
        Err((at, Stop::Cannot(why))) => Outcome::Cannot { at, why },
        Err((at, Stop::Fail(why, mut details))) => {
            details.extend(runner.tail());
            Outcome::Fail { at, why, details }
        }
    };
    Report {
        outcome,
        exchange: runner.told(0),
    }
}

/// `SK_MEMINFO_…`, in the order of what `SO_MEMINFO` gives.
const MEMINFO: [&str; 9] = [
    "SK_MEMINFO_RMEM_ALLOC",
    "SK_MEMINFO_RCVBUF",
    "SK_MEMINFO_WMEM_ALLOC",
    "SK_MEMINFO_SNDBUF",
    "SK_MEMINFO_FWD_ALLOC",
    "SK_MEMINFO_WMEM_QUEUED",
    "SK_MEMINFO_OPTMEM",
    "SK_MEMINFO_BACKLOG",
    "SK_MEMINFO_DROPS",
];

impl Runner<'_> {
    fn go(&mut self) -> std::result::Result<(), (Place, Stop)> {
        let init = self
            .prepared
            .script
            .init
            .as_ref()
            .map_or(Place::default(), |(at, _)| *at);
        let before: Vec<Step> = self.prepared.init.clone();
        for step in before {
            if !matches!(step, Step::Mtu(_)) {
                self.step(&step).map_err(|stop| (init, stop))?;
            }
        }
        self.settle().map_err(|stop| (init, stop))?;
        self.start = self.process.now();
        for (number, event) in self.prepared.script.events.iter().enumerate() {
            self.event(number, event)
                .map_err(|stop| (self.at.unwrap_or(event.at), stop))?;
        }
        self.finish_calls()
    }

    /// Nanoseconds since the first event.
    fn now(&self) -> u64 {
        let since = self.process.now().saturating_sub(self.start);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn event(&mut self, number: usize, event: &Event) -> Result<()> {
        let inbound = matches!(&event.action, Action::Packet(packet) if !packet.outbound);
        let offset = match self.last {
            // Packets that arrive one after another are timed from one another.
            Some((last, true)) if inbound => last,
            _ => self.now(),
        };
        let (from, to) = match event.time {
            Time::At(at) => (at, at),
            Time::After(after) => (offset.saturating_add(after), offset.saturating_add(after)),
            Time::Between(from, to) => (from, to),
            Time::AfterBetween(from, to) => {
                (offset.saturating_add(from), offset.saturating_add(to))
            }
            Time::Any => (offset, u64::MAX),
        };
        let started = match &event.action {
            Action::Packet(packet) if packet.outbound => {
                self.outbound(packet, (from, to), event.time == Time::Any)
            }
            _ => self.reach(from),
        };
        started?;
        match &event.action {
            Action::Packet(packet) if packet.outbound => {}
            Action::Packet(packet) => self.inbound(packet)?,
            Action::Call(call) => {
                let relative = matches!(event.time, Time::After(_));
                let end = call.end.map(|end| {
                    if relative {
                        offset.saturating_add(end)
                    } else {
                        end
                    }
                });
                self.exchange.push((self.now(), Entry::Line(event.at.line)));
                self.call(event.at, call, end)?;
            }
            Action::Shell(_) => {
                self.exchange.push((self.now(), Entry::Line(event.at.line)));
                for step in self
                    .prepared
                    .blocks
                    .get(&number)
                    .cloned()
                    .unwrap_or_default()
                {
                    self.step(&step)?;
                }
                self.settle()?;
            }
            Action::Code(at, text) => self.code(*at, text)?,
        }
        self.last = Some((from, inbound));
        Ok(())
    }

    /// How early or late something expected at `at` may come.
    fn tolerance(&self, at: u64) -> u64 {
        let since = at.saturating_sub(self.last.map_or(at, |(last, _)| last));
        let share = since / 1000 * self.prepared.config.tolerance_mille;
        self.prepared.config.tolerance.max(share)
    }

    /// Lets time pass until `at`, where it has not come too far already.
    fn reach(&mut self, at: u64) -> Result<()> {
        let now = self.now();
        if self.last.is_some() && now > at.saturating_add(self.tolerance(at)) {
            return fail(format!(
                "is at {}, but it is {} by now",
                clock(at),
                clock(now)
            ));
        }
        self.advance(at)
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Sysctl {
                name,
                value,
                lenient,
            } => match self.process.sysctl(name, value) {
                Err(why) if !lenient => cannot(format!("sysctl {name}={value}: {why}")),
                _ => Ok(()),
            },
            Step::Defaults => {
                self.process.take_collection_defaults();
                Ok(())
            }
            Step::Mtu(_) => cannot("the MTU can only be set before the first event"),
            Step::File(name, len) => {
                self.files.insert(name.clone(), *len);
                Ok(())
            }
            Step::States(state, count) => match self.process.connections_in(state) {
                is if is == *count => Ok(()),
                is => fail(format!("{count} connections should be {state}, not {is}")),
            },
            Step::CountAnew => {
                self.counted.clear();
                self.count_anew();
                Ok(())
            }
            Step::Counter { name, by, anew } => {
                let Some(is) = self.process.counter(name) else {
                    return cannot(format!("nstat: {name} is not counted here"));
                };
                let grown = is - self.counted.get(name).copied().unwrap_or(0).min(is);
                if *anew {
                    self.count_anew();
                }
                match by {
                    Some(by) if *by != grown => fail(format!(
                        "{name}: expected to have grown by {by}, not by {grown}"
                    )),
                    None if grown == 0 => fail(format!("{name} has not grown")),
                    _ => Ok(()),
                }
            }
            Step::Forget => {
                self.process.forget_servers();
                Ok(())
            }
            Step::Sleep(time) => self.advance(self.now() + time),
        }
    }

    /// Notes what the counters are that the script looks at.
    fn count_anew(&mut self) {
        for step in self.prepared.blocks.values().flatten() {
            if let Step::Counter { name, .. } = step
                && let Some(is) = self.process.counter(name)
            {
                self.counted.insert(name.clone(), is);
            }
        }
    }

    fn code(&mut self, at: Place, text: &str) -> Result<()> {
        let fd = self
            .under_test
            .and_then(|index| self.sockets.get(index))
            .and_then(|s| s.live_fd);
        let info = fd.and_then(|fd| self.process.tcp_info(fd));
        let Some(info) = info else {
            return fail("there is no connection with a descriptor to tell about");
        };
        let memory = fd
            .and_then(|fd| self.process.memory_info(fd))
            .unwrap_or_default();
        let field = |name: &str| {
            let place = MEMINFO.iter().position(|known| *known == name);
            let memory = place.and_then(|at| memory.get(at).copied()).map(u64::from);
            let counted = || info.get(name).filter(|_| info.is_counted(name));
            memory.or_else(counted).map(i128::from)
        };
        let Err(trouble) = code::run(text, &field, &mut self.variables) else {
            return Ok(());
        };
        self.at = Some(Place {
            line: at.line + trouble.line,
            ..at
        });
        match trouble.error {
            CodeError::Failed(why) => fail(why),
            CodeError::Unknown(why) => cannot(why),
            CodeError::Endless => cannot("a block without end in code"),
        }
    }

    /// The exchange from an entry on, in words.
    fn told(&self, from: usize) -> Vec<String> {
        let entries = self.exchange.iter().skip(from);
        entries
            .map(|(at, entry)| match entry {
                Entry::Packet(packet) => format!("{} {packet}", clock(*at)),
                Entry::Note(note) => format!("{} {note}", clock(*at)),
                Entry::Line(line) => {
                    let index = usize::try_from(*line).unwrap_or(1).saturating_sub(1);
                    let text = self.lines.get(index).copied().unwrap_or_default();
                    // Its time is told already.
                    let start = text.find(|c: char| !"+-~*. \t0123456789".contains(c));
                    format!(
                        "{} {}",
                        clock(*at),
                        text.get(start.unwrap_or(0)..).unwrap_or(text)
                    )
                }
            })
            .collect()
    }

    /// The end of the exchange, for a failure.
    fn tail(&self) -> Vec<String> {
        const SHOWN: usize = 6;
        let from = self.exchange.len().saturating_sub(SHOWN);
        let mut lines = vec!["before it:".to_owned()];
        lines.extend(self.told(from).into_iter().map(|line| format!("  {line}")));
        lines
    }
}
