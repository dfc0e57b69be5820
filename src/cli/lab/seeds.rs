//! `lab run --seeds`: one topology with many seeds, side by side, told in the order of the seeds.
//!
//! ```text
//!   A..B --parallel::in_order--> (seed, outcome) --> a line each, or the failing ones and a sum
//! ```

use super::super::Failure;
use super::super::progress::Progress;
use super::super::report::{json_line, untold};
use super::play::execute;
use super::report::Report;
use super::subject::Subject;
use crate::lab::export::directory::short;
use crate::runtime::parallel::{cores, in_order};
use crate::runtime::{Clock, interrupt};
use stack::time::Instant;
use std::io::{self, Write};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

/// Failing seeds that are told one by one.
const TOLD: u64 = 10;

const TEMPLATE: &str = "[{bar:30}] {pos} of {len} seeds";

/// What the runs came to, all together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sum {
    held: u64,
    failed: u64,
    arrivals: u64,
    /// Stopped in the middle.
    stopped: u64,
}

/// Runs each seed of `range`.
///
/// # Errors
/// Exit code 1 where a run does not hold, 2 where the topology cannot be built, 130 where ^C came
/// before the end and nothing had failed.
pub(super) fn run(
    subject: &Subject,
    range: Range<u64>,
    jobs: Option<usize>,
    json: bool,
) -> Result<ExitCode, Failure> {
    let stop = interrupt::flag()?;
    let clock = Clock::start();
    let count = range.end - range.start;
    let jobs = jobs.unwrap_or_else(cores);
    let mut progress = Progress::counting(count, json, 1, TEMPLATE);
    let mut out = io::stdout();
    let mut sum = Sum::default();
    let mut failed = None;
    let work = |i| {
        let run = execute(subject, range.start + i, &stop)?;
        let report = run.map(|(world, outcome)| {
            // A summary needs no tables.
            let full = json.then(|| Report::of(subject, &world, outcome.clone()));
            (outcome, full)
        });
        Ok::<_, Failure>(report)
    };
    in_order(jobs, count, &stop, work, |_, result| {
        progress.advance(1);
        let told = result.and_then(|run| {
            let Some((outcome, report)) = run else {
                sum.stopped += 1;
                return Ok(());
            };
            sum.add(&outcome);
            match report {
                Some(report) => json_line(&mut out, &report.json(subject)).map_err(untold),
                None => tell_failure(&mut out, subject, &outcome, sum.failed).map_err(untold),
            }
        });
        if let Err(failure) = told {
            failed.get_or_insert(failure);
            stop.store(true, Ordering::Relaxed);
        }
    });
    drop(progress);
    match failed {
        // Whoever reads has read enough: what was run until then is what there is to say.
        Some(failure) if failure.message.is_empty() => {
            return Ok(match sum.failed {
                0 => ExitCode::SUCCESS,
                _ => ExitCode::FAILURE,
            });
        }
        Some(failure) => return Err(failure),
        None => {}
    }
    let took = short(clock.now().since(Instant::ZERO));
    let said = sum.says(count);
    let words = format!(
        "{}: {said}, {} arrivals in {took}",
        subject.word, sum.arrivals
    );
    match json {
        true => eprintln!("tapline: {words}"),
        false => writeln!(out, "{words}").map_err(untold)?,
    }
    Ok(match (sum.failed, sum.held == count) {
        (0, true) => ExitCode::SUCCESS,
        (0, false) => ExitCode::from(interrupt::CODE),
        _ => ExitCode::FAILURE,
    })
}

impl Sum {
    fn add(&mut self, outcome: &crate::lab::run::Outcome) {
        self.arrivals += outcome.arrivals;
        match outcome.holds() {
            true => self.held += 1,
            false => self.failed += 1,
        }
    }

    fn says(&self, count: u64) -> String {
        let done = self.held + self.failed;
        let mut said = match (self.failed, self.held) {
            (0, held) => format!("{held} of {done} seeds hold"),
            (failed, _) => format!("{failed} of {done} seeds FAIL"),
        };
        if done < count {
            said.push_str(&format!(" (stopped before the other {})", count - done));
        }
        if self.failed > TOLD {
            said.push_str(&format!(" (the first {TOLD} are above)"));
        }
        said
    }
}

/// A failing run, what fails in it, and how to see it again; `nth` counts from 1.
fn tell_failure(
    out: &mut impl Write,
    subject: &Subject,
    outcome: &crate::lab::run::Outcome,
    nth: u64,
) -> io::Result<()> {
    if outcome.holds() || nth > TOLD {
        return Ok(());
    }
    writeln!(out, "seed {} FAILS", outcome.seed)?;
    for failure in outcome.failures() {
        writeln!(out, "  {failure}")?;
    }
    writeln!(out, "  again: {}", subject.replay(outcome.seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_in_words() {
        let sum = |held, failed| Sum {
            held,
            failed,
            ..Sum::default()
        };
        assert_eq!(sum(50, 0).says(50), "50 of 50 seeds hold");
        assert_eq!(sum(48, 2).says(50), "2 of 50 seeds FAIL");
        assert_eq!(
            sum(7, 0).says(50),
            "7 of 7 seeds hold (stopped before the other 43)"
        );
        assert_eq!(
            sum(0, 50).says(50),
            "50 of 50 seeds FAIL (the first 10 are above)"
        );
    }
}
