//! What the conversations of [`streams`](super::streams) have in common.

use stack::transport::tcp::Error;

/// What a turn of a conversation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::endpoint) enum Turn {
    /// It goes on when the host says that there is more to read, or room.
    Open,
    /// All has been heard and handed over: close.
    Over,
    /// It cannot go on: reset.
    Broken,
}

/// What a user's call came to, where it gave nothing.
pub(in crate::endpoint) const fn stuck(error: Error) -> Turn {
    match error {
        Error::WouldBlock => Turn::Open,
        _ => Turn::Broken,
    }
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections that ended as they should.
    pub closed: u64,
    /// Connections that an error ended.
    pub broken: u64,
    /// Connections that were silent for too long.
    pub silent: u64,
    /// Connections that made room for others.
    pub evicted: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes handed over.
    pub bytes_out: u64,
    /// Requests that the page server answered.
    pub requests: u64,
}
