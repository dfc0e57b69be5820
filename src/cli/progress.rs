//! How far a long reading or a long run has come, as a bar on the terminal.
//!
//! ```text
//!   bytes read --> a second later, on a terminal: [####------] 1.20 GiB of 3.00 GiB
//! ```
//!
//! Promises: nothing is shown within the first second, where standard error is no terminal, or
//! where standard output is one that lines are written to meanwhile; the bar is gone when it ends.
//! Asked for each packet, it costs a comparison.

use crate::runtime::Clock;
use indicatif::{ProgressBar, ProgressStyle};
use stack::time::{Duration, Instant};
use std::io::{self, IsTerminal as _};

/// What takes less needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bytes between two looks at the clock.
const STEP: u64 = 1 << 20;

/// How a reading's bar looks.
const BYTES: &str = "[{bar:30}] {binary_bytes} of {binary_total_bytes}";

/// The progress of one reading, or of anything else that is counted.
#[derive(Debug)]
pub struct Progress {
    /// None where no bar is wanted at all.
    clock: Option<Clock>,
    /// How it looks.
    template: &'static str,
    /// What is done between two looks at the clock.
    step: u64,
    len: u64,
    done: u64,
    /// What has been done when the clock is looked at next.
    next: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Of a reading of `len` bytes; `talks` says that lines come out on standard output meanwhile.
    #[must_use]
    pub fn of(len: u64, talks: bool) -> Self {
        Self::counting(len, talks, STEP, BYTES)
    }

    /// Of `len` things, with a look at the clock every `step`; `template` is indicatif's.
    #[must_use]
    pub fn counting(len: u64, talks: bool, step: u64, template: &'static str) -> Self {
        let free = !talks || !io::stdout().is_terminal();
        let wanted = len > 0 && free && io::stderr().is_terminal();
        Self {
            clock: wanted.then(Clock::start),
            template,
            step,
            len,
            done: 0,
            next: step,
            bar: None,
        }
    }

    /// So many bytes more have been read, or things done.
    #[inline]
    pub fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        if self.done >= self.next {
            self.look();
        }
    }

    /// So many in all.
    #[inline]
    pub fn reach(&mut self, done: u64) {
        self.advance(done.saturating_sub(self.done));
    }

    #[cold]
    fn look(&mut self) {
        self.next = self.done + self.step;
        if let Some(clock) = self.clock {
            self.show(clock.now());
        }
    }

    /// `now` is counted from the beginning of the reading.
    fn show(&mut self, now: Instant) {
        if self.bar.is_none() && now.since(Instant::ZERO) < PATIENCE {
            return;
        }
        let (len, done, template) = (self.len, self.done, self.template);
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(len).with_elapsed(now.since(Instant::ZERO));
            bar.with_style(style(template))
        });
        bar.set_position(done.min(len));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style.map_or_else(
        |_| ProgressStyle::default_bar(),
        |s| s.progress_chars("##-"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_only_what_takes_long_on_a_terminal() {
        let mut progress = Progress {
            clock: None,
            template: BYTES,
            step: STEP,
            len: 10 * STEP,
            done: 0,
            next: STEP,
            bar: None,
        };
        progress.reach(3 * STEP);
        assert!(progress.bar.is_none(), "no terminal");
        progress.show(Instant::from_nanos(999_999_999));
        assert!(progress.bar.is_none(), "too soon");
        progress.show(Instant::from_nanos(1_000_000_000));
        let at = |p: &Progress| p.bar.as_ref().map(ProgressBar::position);
        assert_eq!(at(&progress), Some(3 * STEP));
        progress.advance(20 * STEP);
        progress.show(Instant::from_nanos(1_000_000_001));
        assert_eq!(at(&progress), Some(10 * STEP), "a file that grows");
        assert!(ProgressStyle::with_template(BYTES).is_ok());
    }

    #[test]
    fn tests_have_no_terminal_or_lines_of_their_own() {
        let talks = Progress::of(1, true);
        assert!(talks.clock.is_none() || !io::stdout().is_terminal());
        assert!(Progress::of(0, false).clock.is_none());
    }
}
