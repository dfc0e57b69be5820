//! A run from its world's beginning to its verdict: what one run, many seeds and a world in real
//! time have in common.
//!
//! ```text
//!   build --> walk (files, progress, ^C) or execute (none of them) --> tell --> verdict: exit code
//! ```

use super::super::Failure;
use super::super::progress::Progress;
use super::super::report::{json_line, untold};
use super::record::{Look, Record};
use super::report::Report;
use super::subject::Subject;
use crate::lab::World;
use crate::lab::build::Options;
use crate::lab::run::Outcome;
use crate::lab::units::shown;
use stack::machine::Port;
use stack::time::Duration;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Prints a report.
pub(super) fn tell(
    subject: &Subject,
    report: &Report,
    took: Option<Duration>,
    json: bool,
    taken: bool,
) -> Result<(), Failure> {
    let mut out: Box<dyn io::Write> = match taken {
        true => Box::new(io::stderr()),
        false => Box::new(io::stdout()),
    };
    let told = match json {
        true => json_line(&mut out, &report.json(subject)),
        false => out.write_all(report.text(subject, took).as_bytes()),
    };
    match told {
        // Whoever reads has read enough: what the run came to is in the exit code.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        told => told.map_err(untold),
    }
}

/// The exit code; what does not hold comes with the command that shows it again.
pub(super) fn verdict(report: &Report, replay: &str) -> Result<ExitCode, Failure> {
    if report.outcome.holds() {
        return Ok(ExitCode::SUCCESS);
    }
    let mut message = String::from("does not hold:");
    for failure in report.outcome.failures() {
        message.push_str("\n  ");
        message.push_str(failure);
    }
    message.push_str("\n  again: ");
    message.push_str(replay);
    Err(Failure::unmet(message))
}

/// The world at its beginning.
pub(super) fn build(
    subject: &Subject,
    seed: u64,
    look: Look,
    outside: Vec<(String, Port)>,
) -> Result<World, Failure> {
    let options = Options {
        seed,
        watch: look.watch,
        digest: true,
        tcp_log: look.tcp_log,
        outside,
    };
    let built = subject.topology.build_as(&subject.plan, &options);
    built.map_err(|e| subject.locate(e))
}

/// What a picture is called.
pub(super) fn title(subject: &Subject, seed: u64) -> String {
    let title = match subject.topology.caption.as_str() {
        "" => format!("{}, seed {seed}", subject.word),
        caption => format!("{}, seed {seed}: {caption}", subject.word),
    };
    shown(&title)
}

/// Steps between two looks at whether to stop.
const LOOK: u64 = 1024;

/// To the end, or until `stop` is set: then this is false. The run is the one that
/// [`Topology::run`](crate::lab::topology::Topology::run) makes.
pub(super) fn walk(
    subject: &Subject,
    world: &mut World,
    mut record: Option<&mut Record>,
    stop: &AtomicBool,
) -> Result<bool, Failure> {
    let end = subject.topology.end();
    let len = end.as_nanos();
    let mut progress = Progress::counting(len, false, len / 1000 + 1, TEMPLATE);
    while world.step_until(end) {
        if let Some(record) = &mut record {
            record.pump(world)?;
        }
        progress.reach(world.now().as_nanos());
        if world.steps().is_multiple_of(LOOK) && stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
    }
    world.run_until(end);
    Ok(true)
}

const TEMPLATE: &str = "[{bar:30}] {percent}% of the virtual time";

/// A run without files; `None` where it was stopped.
pub(super) fn execute(
    subject: &Subject,
    seed: u64,
    stop: &AtomicBool,
) -> Result<Option<(World, Outcome)>, Failure> {
    let mut world = build(subject, seed, Look::default(), Vec::new())?;
    let end = subject.topology.end();
    while world.step_until(end) {
        if world.steps().is_multiple_of(LOOK) && stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
    }
    world.run_until(end);
    let outcome = subject.topology.judge(seed, &mut world);
    Ok(Some((world, outcome)))
}
