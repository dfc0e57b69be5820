//! What a socket or connection is ready for: a set, so that news of it never queues.

use core::ops::{BitOr, BitOrAssign};

/// What a socket is ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// There is something to receive, or the peer of a connection has finished.
    pub const READABLE: Self = Self(1);
    /// There is room to send again; of a connection the first time: it is open.
    pub const WRITABLE: Self = Self(2);
    /// There is an error to take.
    pub const ERROR: Self = Self(4);
    /// A connection's peer points to urgent data, or further ahead than before.
    pub const URGENT: Self = Self(8);
    /// There is news of a connection that goes on all the same.
    pub const REPORT: Self = Self(16);

    /// Whether any of `other` is in this.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Readiness {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Readiness {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
