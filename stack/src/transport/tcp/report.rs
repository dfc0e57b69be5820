//! What a user is told of a connection that goes on all the same, and where it waits to be told.
//!
//! ```text
//!   ICMP, R1, the peer's user timeout --> Aside --take_report--> the user
//! ```
//!
//! Read first: RFC 9293 §3.9.1.8.

use super::accurate::Accurate;
use super::on_demand::Empty;
use crate::time::{Duration, Instant};
use crate::transport::ErrorKind;

/// What a user is told of a connection that goes on all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// ICMP says that the peer is not reached, which may pass (RFC 9293 §3.9.2.2).
    Unreachable(ErrorKind),
    /// The peer has not answered so many transmissions of one segment: R1 is reached, R2 is not
    /// (RFC 9293 §3.8.3).
    Silent {
        /// Timeouts in a row.
        timeouts: u8,
    },
    /// The peer says how long it waits for acknowledgments (RFC 5482 §3.1).
    UserTimeout(Duration),
}

/// What few connections ever have anything to keep of.
#[derive(Clone, Debug)]
pub(super) struct Aside {
    /// What ICMP said that ended nothing.
    pub(super) soft: Option<ErrorKind>,
    /// What the user has not been told.
    pub(super) report: Option<Report>,
    /// The peer's user timeout; zero: it has not told.
    pub(super) peer_timeout: Duration,
    /// When the next challenge may be answered (RFC 5961 §7).
    pub(super) challenge_at: Instant,
    /// The counters of Accurate ECN, where that was negotiated.
    pub(super) accurate: Accurate,
}

impl Empty for Aside {
    const NEW: Self = Self {
        soft: None,
        report: None,
        peer_timeout: Duration::ZERO,
        challenge_at: Instant::ZERO,
        accurate: Accurate::EMPTY,
    };
    const EMPTY: &'static Self = &Self::NEW;
}
