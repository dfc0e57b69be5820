//! `lab run`: one run to its end, or many seeds, or a world in real time.
//!
//! ```text
//!   subject --build--> World --step_until(end)--> judge --> report
//!                        \--pump--> record
//! ```

use super::super::Failure;
use super::play::{build, tell, title, verdict, walk};
use super::record::Files;
use super::report::Report;
use super::subject::Subject;
use super::{attach, seeds};
use crate::lab::export::directory::short;
use crate::lab::units::{self, shown};
use crate::runtime::{Clock, interrupt};
use stack::time::{Duration, Instant};
use std::ffi::OsString;
use std::ops::Range;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  tapline lab run arp
  tapline lab run arp --ladder -
  tapline lab run mine.toml --seed 7 --pcap wires --trace events.jsonl
  tapline lab run slow-start --qlog logs
  tapline lab run mine.toml --seeds 0..1000
  tapline lab run mine.toml --attach a=tap0 -- ping -c 3 10.0.1.2";

/// Run a network in virtual time and say what came of it.
///
/// The same topology and seed give the same bytes on every wire. Exits with 1 where an assertion
/// fails, and prints the command that runs it again.
///
/// With --attach the kernel takes the place of a node: a TAP (or a veth pair, where there is none
/// to be had) with the node's addresses, station address, MTU and routes, in a private network as
/// `up` makes one. The world then runs in real time until CMD ends (or the shell, on a terminal),
/// ^C, or --until; the topology's own end is for virtual time only.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A topology (TOML; "-" is standard input), or a scenario by its name.
    #[arg(value_name = "FILE|NAME")]
    subject: String,

    /// All chance comes from it [default: the topology's, else 1].
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,

    /// Run each of these seeds, side by side: 0..50 or 1..=50.
    #[arg(
        long, value_name = "A..B", value_parser = seed_range,
        conflicts_with_all = ["attach", "trace", "pcap", "ladder", "shiviz", "qlog", "svg"]
    )]
    seeds: Option<Range<u64>>,

    /// Threads for --seeds; the results do not depend on it [default: all cores].
    #[arg(long, value_name = "N", requires = "seeds", value_parser = threads)]
    jobs: Option<usize>,

    /// Virtual time at which it ends: 10s, 500ms [default: the topology's, else 60s].
    #[arg(long, value_name = "TIME", value_parser = virtual_time)]
    until: Option<Duration>,

    /// What came of it as JSON, one object a run.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    attach: attach::Options,

    /// With --attach: what to run beside the node's place.
    #[arg(last = true, value_name = "CMD", requires = "attach")]
    command: Vec<OsString>,
}

/// Runs it.
///
/// # Errors
/// Exit code 2 for a bad topology, 3 where a file cannot be written or a device cannot be had.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut subject = Subject::find(&args.subject)?;
    args.files.check(&subject.file())?;
    if let Some(cost) = costly(&subject) {
        eprintln!("tapline: {cost}");
    }
    subject.end_at(args.until);
    if !args.attach.any() {
        for late in subject.topology.too_late() {
            eprintln!("tapline: {}", shown(&subject.locate(late).message));
        }
    }
    if let Some(seeds) = &args.seeds {
        return seeds::run(&subject, seeds.clone(), args.jobs, args.json);
    }
    let seed = subject.seed(args.seed);
    if args.attach.any() {
        return attach::run(attach::Wish {
            subject: &subject,
            seed,
            until: args.until,
            files: &args.files,
            options: &args.attach,
            command: &args.command,
            json: args.json,
        });
    }
    let stop = interrupt::flag()?;
    let clock = Clock::start();
    let mut world = build(&subject, seed, args.files.look(), Vec::new())?;
    let mut record = args.files.record(&world, &title(&subject, seed))?;
    let whole = walk(&subject, &mut world, record.as_mut(), &stop)?;
    let outcome = subject.topology.judge(seed, &mut world);
    if let Some(record) = record {
        record.finish(&mut world)?;
    }
    let report = Report::of(&subject, &world, outcome);
    let took = clock.now().since(Instant::ZERO);
    // What a program is to read must not have a table at its end.
    let taken = args.files.talk();
    tell(&subject, &report, Some(took), args.json, taken)?;
    if !whole {
        let at = short(world.now().since(Instant::ZERO));
        let said = format!("stopped at {at} of virtual time: the rest was not run");
        return Err(Failure::stopped(said));
    }
    verdict(&report, &subject.replay(seed))
}

/// What a large hub costs, where it costs much: better said before than after.
fn costly(subject: &Subject) -> Option<String> {
    let copies = subject.plan.copies_at_start();
    (copies >= MANY_COPIES).then(|| {
        let megabytes = copies * BYTES_A_COPY / 1_000_000;
        format!(
            "{}: at its beginning hubs repeat what each host announces to each other, {copies} \
             frames at once, which takes about {megabytes} MB a run: put routers between",
            subject.word
        )
    })
}

/// Copies that are worth a word: a hub with a thousand hosts.
const MANY_COPIES: u64 = 900_000;
/// A frame under way and a flow of its wire, measured with a thousand hosts on a hub.
const BYTES_A_COPY: u64 = 290;

fn virtual_time(text: &str) -> Result<Duration, String> {
    match units::duration(text) {
        Ok(Duration::ZERO) => Err("a run takes some time".to_owned()),
        Ok(time) => Ok(time),
        Err(e) => Err(e.to_string()),
    }
}

/// Threads that any machine has cores for, and that any lets one start.
const MOST_THREADS: usize = 1024;

fn threads(text: &str) -> Result<usize, String> {
    let number = text.parse().ok();
    let number = number.filter(|n| (1..=MOST_THREADS).contains(n));
    number.ok_or_else(|| format!("a number of threads, 1 to {MOST_THREADS}"))
}

/// `A..B` without its end, `A..=B` with it.
fn seed_range(text: &str) -> Result<Range<u64>, String> {
    let wrong = || "two numbers, as 0..50 (without 50) or 1..=50".to_owned();
    let (first, last) = text.split_once("..").ok_or_else(wrong)?;
    let (last, more) = match last.strip_prefix('=') {
        Some(last) => (last, 1),
        None => (last, 0),
    };
    let first: u64 = first.trim().parse().map_err(|_| wrong())?;
    let last: u64 = last.trim().parse().map_err(|_| wrong())?;
    let beyond = || format!("{last} is one too many: --seed takes it alone");
    let range = first..last.checked_add(more).ok_or_else(beyond)?;
    match range.is_empty() {
        true => Err("there is no seed in it: the first comes before the last".to_owned()),
        false => Ok(range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_seeds() {
        assert_eq!(seed_range("0..50"), Ok(0..50));
        assert_eq!(seed_range("1..=50"), Ok(1..51));
        let last = u64::MAX;
        assert_eq!(seed_range(&format!("7..{last}")), Ok(7..last));
        assert!(seed_range(&format!("7..={last}")).is_err());
        for wrong in ["5", "5..5", "9..3", "a..b", "..", "1..=0"] {
            assert!(seed_range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn threads_are_some_and_not_too_many() {
        assert_eq!((threads("1"), threads("1024")), (Ok(1), Ok(1024)));
        for wrong in ["0", "1025", "99999", "-1", "x", ""] {
            let want = "a number of threads, 1 to 1024".to_owned();
            assert_eq!(threads(wrong), Err(want), "{wrong}");
        }
    }

    #[test]
    fn a_run_needs_time() {
        assert_eq!(virtual_time("10s"), Ok(Duration::from_secs(10)));
        assert!(virtual_time("0").is_err() && virtual_time("soon").is_err());
    }
}
