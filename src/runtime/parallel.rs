//! Pieces of work side by side, and their results in order.
//!
//! ```text
//!   0 1 2 3 .. --next--> thread --+
//!              --next--> thread --+--> channel --> in order --> done(0) done(1) ..
//! ```
//!
//! Promises: each piece is done once, and `done` sees the results by number, so that what it makes
//! of them does not depend on the number of threads. Threads end before this returns.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

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
    let next = AtomicU64::new(0);
    let (send, results) = mpsc::channel();
    let turn = |send: mpsc::Sender<(u64, T)>| {
        while !stop.load(Ordering::Relaxed) {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= count || send.send((i, work(i))).is_err() {
                return;
            }
        }
    };
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    thread::scope(|scope| {
        let running = crew(jobs.clamp(1, most.max(1)), || {
            let (send, builder) = (send.clone(), thread::Builder::new());
            builder.spawn_scoped(scope, || turn(send)).is_ok()
        });
        match running {
            0 => turn(send),
            _ => drop(send),
        }
        let (mut early, mut due) = (BTreeMap::new(), 0);
        for (i, result) in results {
            early.insert(i, result);
            while let Some(result) = early.remove(&due) {
                done(due, result);
                due += 1;
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
