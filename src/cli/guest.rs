//! The program in a verb's private network, from its start to the end of what it leaves behind.
//!
//! ```text
//!   start --> running --ended--> what it left: SIGTERM --a second--> SIGKILL --> its exit code
//!               ^ signals that ask us to end are handed on
//! ```

use super::Failure;
use super::command::{self, Running};
use crate::device::process;
use crate::runtime::{Stop, Wake};
use signal_hook::consts::signal::{SIGKILL, SIGTERM};
use stack::time::{Duration, Instant};
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

/// How long what a program leaves behind may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// A program that was started, and its end.
#[derive(Debug)]
pub struct Guest {
    child: Running,
    /// The network is our own: nothing in it is to outlive it.
    private: bool,
    ending: Option<Ending>,
}

/// The program has ended, and what it left behind is to end as well.
#[derive(Debug)]
struct Ending {
    /// The program's exit code.
    code: ExitCode,
    /// What those are sent: first SIGTERM, then SIGKILL.
    signal: i32,
    /// How long they have after that.
    until: Instant,
}

impl Guest {
    /// Starts `words` with more in its environment. Where the network is `private`, orphans must
    /// have been adopted before ([`process::adopt_orphans`]).
    ///
    /// # Errors
    /// Exit code 3 where there is no such program, naming the package that has it.
    pub fn start(
        words: &[OsString],
        more: &[(&str, &OsStr)],
        private: bool,
    ) -> Result<Self, Failure> {
        Ok(Self {
            child: command::start_with(words, more)?,
            private,
            ending: None,
        })
    }

    /// By when [`turn`](Self::turn) is to be called again, if nothing wakes us.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.ending.as_ref().map(|ending| ending.until)
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) {
        self.child.pass_on(Stop {
            signal: SIGTERM,
            sent: true,
        });
    }

    /// Hands signals on and sees it end: its exit code, once nothing of it is left.
    ///
    /// # Errors
    /// What the OS says.
    pub fn turn(&mut self, now: Instant, wake: &Wake) -> Result<Option<ExitCode>, Failure> {
        if self.ending.is_some() {
            return Ok(self.end_children(now, wake.child));
        }
        for &stop in &wake.stops {
            self.child.pass_on(stop);
        }
        if !wake.child {
            return Ok(None);
        }
        let id = self.child.id();
        process::children()
            .into_iter()
            .filter(|&child| child != id)
            .for_each(process::reap);
        let Some(code) = self.child.ended()?.map(ExitCode::from) else {
            return Ok(None);
        };
        if !self.private {
            return Ok(Some(code));
        }
        self.ending = Some(Ending {
            code,
            signal: SIGTERM,
            until: now + GRACE,
        });
        Ok(self.end_children(now, true))
    }

    /// Ends what the program has left behind, while the network is still there; the exit code, once
    /// nothing is left.
    fn end_children(&mut self, now: Instant, changed: bool) -> Option<ExitCode> {
        let ending = self.ending.as_mut()?;
        let late = now >= ending.until;
        if !late && !changed {
            return None;
        }
        process::children().into_iter().for_each(process::reap);
        let left = process::children();
        if left.is_empty() || (late && ending.signal == SIGKILL) {
            return Some(ending.code);
        }
        if late {
            ending.signal = SIGKILL;
            ending.until = now + GRACE;
        }
        log::info!("{} left behind: signal {}", left.len(), ending.signal);
        for child in left {
            process::signal(child, false, ending.signal);
        }
        None
    }
}
