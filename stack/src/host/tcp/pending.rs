//! How many clients of a listener may be served before they have shown that they are there.

use crate::time::Instant;
use alloc::collections::VecDeque;

/// What a listener counts: RFC 7413's `PendingFastOpenRequests`.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    pub(super) limit: usize,
    /// Cookies are not asked for.
    pub(super) open: bool,
    pub(super) now: usize,
    /// Keys of its own that make its cookies.
    pub(super) server: Option<crate::transport::tcp::fastopen::Server>,
    /// Until when those count that ended badly.
    pub(super) failed: VecDeque<Instant>,
}

impl Pending {
    pub(super) fn new(limit: usize, open: bool) -> Self {
        Self {
            limit,
            open,
            ..Self::default()
        }
    }

    /// Whether one more may be served early.
    pub(super) fn has_room(&mut self, now: Instant) -> bool {
        while self.failed.front().is_some_and(|until| *until <= now) {
            self.failed.pop_front();
        }
        self.now + self.failed.len() < self.limit
    }
}
