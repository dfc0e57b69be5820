//! Why a call did nothing, and what ended a connection.

use crate::transport::ErrorKind;
use core::fmt;

/// Why a user's call did nothing, or what ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Nothing to read, or no room to write, at the moment.
    WouldBlock,
    /// There is no such connection, or it is not open yet.
    NotConnected,
    /// The peer answered with a reset.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// The peer did not answer in time.
    TimedOut,
    /// The network says that the peer is not to be reached.
    Unreachable(ErrorKind),
    /// Our side has finished already.
    Closed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WouldBlock => "would block",
            Self::NotConnected => "not connected",
            Self::Refused => "connection refused",
            Self::Reset => "connection reset by peer",
            Self::TimedOut => "connection timed out",
            Self::Unreachable(_) => "peer unreachable",
            Self::Closed => "our side is closed",
        })
    }
}

impl core::error::Error for Error {}
