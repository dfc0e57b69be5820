//! Signals and child processes, as far as std leaves them out.
//!
//! ```text
//!   signal --> catch --> one byte on a pipe: FROM_KERNEL (a terminal's ^C) or FROM_PROCESS (kill)
//!   orphan --> adopt_orphans: ours --> children: who they are --> signal, reap
//! ```
//!
//! Read first: signal(7), credentials(7) on process groups, PR_SET_CHILD_SUBREAPER(2const).
//!
//! Left out: a process namespace, in which the first program would be its init: that one ignores
//! signals without a handler, and `/proc` would have to be mounted anew.

use super::sys;
use std::fs;
use std::io;
use std::os::unix::net::UnixStream;

pub use super::sys::{FROM_KERNEL, FROM_PROCESS};

/// From now on a signal is told by a byte on `pipe` instead of its default.
///
/// # Errors
/// What the OS says.
pub fn catch(signal: i32, pipe: UnixStream) -> io::Result<()> {
    pipe.set_nonblocking(true)?;
    sys::on_signal(signal, pipe)
}

/// Less than this is not worth giving back.
const KEPT: usize = 4 << 20;

/// Gives the machine back what is free of this process's memory: glibc keeps nearly all that was once
/// in use, and after ten thousand connections that is much. A walk over what is free: not for each turn.
pub fn give_back_memory() {
    sys::trim_heap(KEPT);
}

/// Whether this process was started with a signal ignored, as `nohup` does with SIGHUP.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    sys::is_ignored(signal)
}

/// Sends a signal to a child that has not been waited for, so that its number is still its own;
/// where the child leads a process group, to all of it.
pub fn signal(child: u32, is_leader: bool, signal: i32) {
    sys::kill(child, is_leader, signal);
}

/// Lets this process have so many files open, as far as it may; gives how many it may have.
///
/// # Errors
/// What the OS says.
pub fn raise_open_files(wanted: usize) -> io::Result<usize> {
    sys::raise_open_files(wanted)
}

/// Makes the children of children ours once their parents have ended.
///
/// # Errors
/// What the OS says.
pub fn adopt_orphans() -> io::Result<()> {
    sys::become_subreaper()
}

/// The children of this process, which has one thread. None where the kernel does not list them.
#[must_use]
pub fn children() -> Vec<u32> {
    let id = std::process::id();
    let list = fs::read_to_string(format!("/proc/self/task/{id}/children"));
    let list = list.unwrap_or_default();
    list.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

/// Lets a child that has ended go; one that runs goes on.
pub fn reap(child: u32) {
    sys::reap(child);
}
