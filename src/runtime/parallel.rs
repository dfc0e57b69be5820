//! Pieces of work side by side, and their results in order.
//!
//! ```text
//!   0 1 2 3 .. --next--> thread --+
//!              --next--> thread --+--> channel --> in order --> done(0) done(1) ..
//!      ^--- not further than WINDOW beyond what is done ----------------'
//! ```
//!
//! Promises: each piece is done once, and `done` sees the results by number, so that what it makes
//! of them does not depend on the number of threads. Threads end before this returns. At most
//! [`WINDOW`] results wait for a slow piece before them: then the other threads wait too.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// How many pieces may be begun, at most, beyond the last of those that are done in order.
pub const WINDOW: u64 = 1024;
/// How long a thread that waits for its turn goes without a look at `stop`.
const PATIENCE: Duration = Duration::from_millis(20);

/// How far the results have come in order.
#[derive(Default)]
struct Due {
    next: Mutex<u64>,
    moved: Condvar,
    /// A piece is lost: its thread panicked.
    broken: AtomicBool,
}

/// Says so where its thread panics: nobody shall wait for that piece.
struct Guard<'a>(&'a Due);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.broken.store(true, Ordering::Relaxed);
        }
    }
}

impl Due {
    fn reach(&self, next: u64) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = next;
        self.moved.notify_all();
    }

    /// Waits until the `i`-th may be begun; `false` where it was stopped before.
    fn wait(&self, i: u64, stop: &AtomicBool) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        while i - *next >= WINDOW {
            if stop.load(Ordering::Relaxed) || self.broken.load(Ordering::Relaxed) {
                return false;
            }
            let waited = self.moved.wait_timeout(next, PATIENCE);
            next = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// As many threads as the machine runs at once.
#[must_use]
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Does `work(0)` to `work(count - 1)` on `jobs` threads and calls `done` with each result, in the
/// order of their numbers; on fewer where the system refuses more. Once `stop` is set no further
/// piece is begun; results that lie beyond a piece that was never done are given at the end, in
/// order too.
#[expect(clippy::disallowed_methods, reason = "this is runtime/")]
pub fn in_order<T: Send>(
    jobs: usize,
    count: u64,
    stop: &AtomicBool,
    work: impl Fn(u64) -> T + Sync,
    mut done: impl FnMut(u64, T),
) {
    let (next, reached) = (AtomicU64::new(0), Due::default());
    let (send, results) = mpsc::channel();
    let turn = |send: mpsc::Sender<(u64, T)>| {
        let _guard = Guard(&reached);
        while !stop.load(Ordering::Relaxed) {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= count || !reached.wait(i, stop) || send.send((i, work(i))).is_err() {
                return;
            }
        }
    };
    let alone = || (0..count).map_while(|i| (!stop.load(Ordering::Relaxed)).then(|| work(i)));
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    thread::scope(|scope| {
        let running = crew(jobs.clamp(1, most.max(1)), || {
            let (send, builder) = (send.clone(), thread::Builder::new());
            builder.spawn_scoped(scope, || turn(send)).is_ok()
        });
        drop(send);
        if running == 0 {
            (0..).zip(alone()).for_each(|(i, result)| done(i, result));
        }
        let (mut early, mut due) = (BTreeMap::new(), 0);
        for (i, result) in results {
            early.insert(i, result);
            while let Some(result) = early.remove(&due) {
                done(due, result);
                due += 1;
                reached.reach(due);
            }
        }
        for (i, result) in early {
            done(i, result);
        }
    });
}

/// Starts `most` threads, or as many as the system gives: those do all.
fn crew(most: usize, mut start: impl FnMut() -> bool) -> usize {
    (0..most).take_while(|_| start()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_thread_is_not_asked_for_again() {
        let mut asked = 0;
        let mut start = |given| {
            asked += 1;
            asked <= given
        };
        assert_eq!(crew(7, || start(3)), 3);
        assert_eq!(asked, 4);
        assert_eq!(crew(7, || false), 0);
        assert_eq!(crew(7, || true), 7);
    }

    #[test]
    fn results_come_in_order_whatever_the_number_of_threads() {
        let want: Vec<(u64, u64)> = (0..100).map(|i| (i, i * i)).collect();
        for jobs in [0, 1, 2, 7, 1000] {
            let mut got = Vec::new();
            let stop = AtomicBool::new(false);
            in_order(jobs, 100, &stop, |i| i * i, |i, r| got.push((i, r)));
            assert_eq!(got, want, "{jobs} threads");
        }
    }

    #[test]
    fn nobody_runs_far_ahead_of_a_slow_piece() {
        let (begun, finished) = (AtomicU64::new(0), AtomicU64::new(0));
        let mut told = 0;
        let work = |i| {
            let ahead = i - finished.load(Ordering::SeqCst);
            assert!(ahead < WINDOW, "{i} is {ahead} ahead");
            begun.fetch_add(1, Ordering::SeqCst);
            // The first is done only after all that may be begun beside it, and then some.
            for _ in 0..if i == 0 { 1000 } else { 0 } {
                while begun.load(Ordering::SeqCst) < WINDOW {
                    thread::yield_now();
                }
                thread::yield_now();
            }
        };
        in_order(3, 3 * WINDOW, &AtomicBool::new(false), work, |_, ()| {
            finished.fetch_add(1, Ordering::SeqCst);
            told += 1;
        });
        assert_eq!(told, 3 * WINDOW);
    }

    #[test]
    fn a_panic_is_passed_on_and_nobody_waits_for_its_piece() {
        let all = std::panic::catch_unwind(|| {
            let work = |i| assert!(i > 0, "planted");
            in_order(2, 4 * WINDOW, &AtomicBool::new(false), work, |_, ()| {});
        });
        assert!(all.is_err());
    }

    #[test]
    fn a_stop_ends_it_and_what_was_done_is_told() {
        let stop = AtomicBool::new(false);
        let mut got = Vec::new();
        let work = |i| {
            stop.fetch_or(i == 5, Ordering::Relaxed);
            i
        };
        in_order(1, u64::MAX, &stop, work, |i, _| got.push(i));
        assert_eq!(got, [0, 1, 2, 3, 4, 5]);
    }
}
