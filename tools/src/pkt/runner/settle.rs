//! Time and packets between a script's events.

use super::state::{Entry, Outgoing, Result, Runner, fail};
use crate::pkt::wire::{self};
use std::time::Duration;

/// Timers that are due at one instant: more than this is a loop without end.
const MOST_TURNS: u32 = 100_000;

impl Runner<'_> {
    /// Takes what leaves, and asks waiting calls again, until neither moves.
    pub(super) fn settle(&mut self) -> Result<()> {
        for _ in 0..MOST_TURNS {
            self.collect()?;
            if !self.ask_pending()? {
                return Ok(());
            }
        }
        fail("calls and packets go round without end")
    }

    fn collect(&mut self) -> Result<()> {
        while let Some(sent) = self.process.transmit() {
            let since = sent.at.saturating_sub(self.start);
            let at = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
            match wire::read(&sent.packet, sent.mss.is_none()) {
                Ok(seen) => self.queue.push_back(Outgoing {
                    at,
                    seen,
                    mss: sent.mss,
                }),
                Err(why) => return fail(format!("{why} left")),
            }
        }
        Ok(())
    }

    /// Lets time pass up to `at`, stopping at each timer.
    pub(super) fn advance(&mut self, at: u64) -> Result<()> {
        let goal = self.start + Duration::from_nanos(at);
        let mut turns = 0;
        while let Some(next) = self.process.next_timeout()
            && next <= goal
        {
            let before = self.process.now();
            self.process.advance(next.max(before));
            self.settle()?;
            turns = if next > before { 0 } else { turns + 1 };
            if turns > MOST_TURNS {
                return fail("timers go round without end");
            }
        }
        if goal > self.process.now() {
            self.process.advance(goal);
        }
        self.settle()
    }

    /// Lets time pass until the next timer; whether there is one before `limit`.
    pub(super) fn advance_to_next(&mut self, limit: u64) -> Result<bool> {
        let goal = self.start + Duration::from_nanos(limit);
        match self.process.next_timeout() {
            Some(next) if next <= goal => {
                let now = self.process.now();
                self.process.advance(next.max(now));
                self.settle()?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    pub(super) fn note(&mut self, text: impl Into<String>) {
        let now = self.now();
        self.exchange.push((now, Entry::Note(text.into())));
    }
}
