//! A timer that a descriptor stands for: what wakes a loop to the microsecond.
//!
//! ```text
//!   Timer::set(after) --> kernel's high-resolution timer --> raw_fd readable
//! ```
//!
//! `epoll_wait`, on which the loop sleeps, counts milliseconds. Read first: timerfd_create(2).

use super::sys;
use stack::time::Duration;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};

/// One timer, which runs off once each time it is set.
#[derive(Debug)]
pub struct Timer(File);

impl Timer {
    /// Makes one that is not set.
    ///
    /// # Errors
    /// What the OS says.
    pub fn new() -> io::Result<Self> {
        sys::timer().map(Self)
    }

    /// Sets it anew, so long from now. Its descriptor becomes readable then, and stays so until it
    /// is set again: watch for the edge.
    ///
    /// # Errors
    /// What the OS says.
    pub fn set(&self, after: Duration) -> io::Result<()> {
        sys::set_timer(&self.0, after)
    }

    /// The descriptor to wait on.
    #[must_use]
    pub fn raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
