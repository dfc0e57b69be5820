//! A connection: the user's calls, and the marriage of sender and receiver.

use super::log::LogEntry;
use super::options::Options;
use super::segment::{CookieOptions, Outgoing, Segment};
use super::state::State;
use super::status::Status;
use crate::frame::Payload;
use crate::reason::DropReason;
use crate::time::Instant;
use crate::transport::ErrorKind;
use crate::wire::seq::SeqNum;
use alloc::sync::Arc;
use bytes::Bytes;
use core::fmt;
use core::ops::{BitOr, BitOrAssign};

/// What the path to the peer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Largest packet.
    pub mtu: u16,
    /// Bytes of the IP header in front of each segment: 20 or 40.
    pub ip_header: u16,
}

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

/// What a connection became ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready(u8);

impl Ready {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// There is something to read, or the peer has finished.
    pub const READABLE: Self = Self(1);
    /// There is room to write; the first time: it is open.
    pub const WRITABLE: Self = Self(2);
    /// It has ended by an error.
    pub const ERROR: Self = Self(4);

    /// Whether any of `other` is in this.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Ready {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Ready {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Connection {
    options: Arc<Options>,
    state: State,
}

#[allow(
    missing_docs,
    unused_variables,
    clippy::needless_pass_by_value,
    clippy::needless_pass_by_ref_mut
)]
impl Connection {
    pub fn connect(
        now: Instant,
        options: Arc<Options>,
        iss: SeqNum,
        ts_offset: u32,
        path: Path,
    ) -> Self {
        Self {
            options,
            state: State::SynSent,
        }
    }
    pub fn passive(
        now: Instant,
        options: Arc<Options>,
        syn: &Segment,
        iss: SeqNum,
        ts_offset: u32,
        path: Path,
    ) -> Self {
        Self {
            options,
            state: State::SynReceived,
        }
    }
    pub fn cookie(
        now: Instant,
        options: Arc<Options>,
        ack: &Segment,
        kept: &CookieOptions,
        ts_offset: u32,
        path: Path,
    ) -> Self {
        Self {
            options,
            state: State::SynReceived,
        }
    }
    pub fn handle_segment(
        &mut self,
        now: Instant,
        seg: &Segment,
        data: Payload,
    ) -> Result<(), DropReason> {
        Err(DropReason::TcpNoSocket)
    }
    pub fn handle_timeout(&mut self, now: Instant) {}
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    pub fn poll_transmit(&mut self, now: Instant, max: usize) -> Option<Outgoing> {
        None
    }
    pub fn has_output(&self, now: Instant) -> bool {
        false
    }
    pub fn take_ready(&mut self) -> Ready {
        Ready::NONE
    }
    pub const fn state(&self) -> State {
        self.state
    }
    pub fn error(&self) -> Option<Error> {
        None
    }
    pub fn take_error(&mut self) -> Option<Error> {
        None
    }
    pub fn send(&mut self, now: Instant, data: &[u8]) -> Result<usize, Error> {
        Err(Error::NotConnected)
    }
    pub fn send_bytes(&mut self, now: Instant, data: Bytes) -> Result<usize, Error> {
        Err(Error::NotConnected)
    }
    pub fn send_urgent(&mut self, now: Instant, data: &[u8]) -> Result<usize, Error> {
        Err(Error::NotConnected)
    }
    pub fn recv(&mut self, now: Instant, room: &mut [u8]) -> Result<usize, Error> {
        Err(Error::NotConnected)
    }
    pub fn recv_bytes(&mut self, now: Instant, max: usize) -> Result<Bytes, Error> {
        Err(Error::NotConnected)
    }
    pub fn peek(&self, room: &mut [u8]) -> usize {
        0
    }
    pub fn shutdown(&mut self, now: Instant) {}
    pub fn close(&mut self, now: Instant) {}
    pub fn abort(&mut self, now: Instant) {}
    pub fn set_options(&mut self, now: Instant, options: Arc<Options>) {
        self.options = options;
    }
    pub const fn options(&self) -> &Arc<Options> {
        &self.options
    }
    pub fn accepts_quote(&self, seq: SeqNum) -> bool {
        false
    }
    pub fn handle_icmp(&mut self, now: Instant, kind: ErrorKind) {}
    pub fn handle_path_mtu(&mut self, now: Instant, mtu: u16) {}
    pub fn take_progress(&mut self) -> bool {
        false
    }
    pub fn reusable(&self, now: Instant, syn: &Segment) -> bool {
        false
    }
    pub fn status(&self, now: Instant) -> Status {
        Status {
            state: self.state,
            ..Status::default()
        }
    }
    pub fn poll_log(&mut self) -> Option<LogEntry> {
        None
    }
}
