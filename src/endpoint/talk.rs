//! What the conversations of [`streams`](super::streams) have in common.

use bytes::Bytes;
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

/// Takes `n` bytes off the front. What is then empty holds on to no buffer: a connection with
/// nothing to say keeps none alive.
pub(in crate::endpoint) fn consume(bytes: &mut Bytes, n: usize) {
    *bytes = bytes.split_off(n.min(bytes.len()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_up_holds_no_buffer() {
        let whole = Bytes::from(vec![7; 4096]);
        let mut held = whole.clone();
        consume(&mut held, 4000);
        assert_eq!(held.len(), 96);
        assert!(!whole.is_unique());
        consume(&mut held, 1000);
        assert!(held.is_empty() && whole.is_unique());
    }
}
