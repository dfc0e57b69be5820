//! Why a segment is sent again, and what was decided about congestion: for captures, traces and
//! people.

use super::error::Error;
use super::state::State;
use crate::time::{Duration, Instant};
use core::fmt;

/// Why a segment is sent that is no new data and no plain acknowledgment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The retransmission timer ran out, so many times in a row (RFC 6298 §5.4).
    Timeout {
        /// In a row, this one counted.
        times: u8,
        /// The timeout that passed.
        rto: Duration,
    },
    /// A later segment was delivered, and the reordering window has passed (RFC 8985 §6.2).
    Rack {
        /// The reordering window.
        reo_wnd: Duration,
    },
    /// Three duplicate acknowledgments (RFC 5681 §3.2), or their worth in SACK (RFC 6675 §5).
    Duplicates,
    /// An acknowledgment covered part of what was in flight (RFC 6582 §3.2 step 3).
    Partial,
    /// The tail may be lost (RFC 8985 §7.3).
    TailLossProbe,
    /// The peer dropped what it had acknowledged selectively (RFC 2018 §8).
    Reneged,
    /// The handshake's segment went unanswered.
    Handshake {
        /// In a row, this one counted.
        times: u8,
    },
    /// It went with a SYN and was not taken (RFC 7413 §4.2.2).
    FastOpen,
    /// The window is closed, or too small to use (RFC 9293 §3.8.6.1).
    WindowProbe,
    /// The peer has been silent (RFC 9293 §3.8.4).
    KeepAlive,
    /// Whether the path carries larger packets (RFC 4821 §7).
    MtuProbe,
    /// The path carries less than was sent (RFC 1191 §6.4).
    PathMtu {
        /// What it carries.
        mtu: u16,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout { times, rto } => {
                write!(f, "retransmit: timeout {times} in a row, RTO {rto:?}")
            }
            Self::Rack { reo_wnd } => write!(f, "retransmit: RACK, reorder window {reo_wnd:?}"),
            Self::Duplicates => f.write_str("retransmit: three duplicates"),
            Self::Partial => f.write_str("retransmit: partial acknowledgment"),
            Self::TailLossProbe => f.write_str("probe: tail loss"),
            Self::Reneged => f.write_str("retransmit: the receiver reneged"),
            Self::Handshake { times } => write!(f, "retransmit: handshake, {times} in a row"),
            Self::FastOpen => f.write_str("retransmit: not taken with the SYN"),
            Self::WindowProbe => f.write_str("probe: window closed"),
            Self::KeepAlive => f.write_str("probe: keep-alive"),
            Self::MtuProbe => f.write_str("probe: path MTU"),
            Self::PathMtu { mtu } => write!(f, "retransmit: path MTU is {mtu}"),
        }
    }
}

/// One entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When.
    pub at: Instant,
    /// What.
    pub what: What,
    /// The congestion window afterwards, in bytes.
    pub cwnd: u32,
    /// The slow start threshold afterwards, in bytes.
    pub ssthresh: u32,
    /// Bytes in flight.
    pub in_flight: u32,
    /// The smoothed round-trip time.
    pub srtt: Option<Duration>,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A new state.
    State(State),
    /// An acknowledgment of new data came.
    Acked(u32),
    /// Something was found lost.
    Lost {
        /// So many bytes.
        bytes: u32,
        /// In so many segments.
        segments: u32,
        /// Why it is thought to be.
        why: Why,
    },
    /// Fast recovery begins.
    Recovery,
    /// Congestion was marked, not dropped (RFC 3168 §6.1.2).
    CongestionMarked,
    /// The episode is over.
    Recovered,
    /// The retransmission timer ran out.
    Timeout(u8),
    /// What was taken for loss was none; the window is as before, and how it was noticed.
    Undone(Undo),
    /// A tail loss probe was sent.
    TailLossProbe,
    /// Reordering was seen; the reordering window from now on.
    Reordering(Duration),
    /// Segments of another size from now on.
    Mss {
        /// Data of a full one.
        mss: u16,
        /// Largest packet of the path.
        mtu: u16,
    },
    /// The window is limited by the receiver.
    WindowClosed,
    /// It has ended: what the user is told, where that is an error.
    Ended(Option<Error>),
}

/// How a reduction was found to be needless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// The acknowledgment is older than the retransmission, by its timestamp (RFC 3522).
    Timestamp,
    /// Every retransmission was reported as a duplicate (RFC 2883, RFC 3708).
    Dsack,
    /// F-RTO (RFC 5682).
    Frto,
}

impl What {
    /// The stable name: `recovery`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::State(_) => "state",
            Self::Acked(_) => "acked",
            Self::Lost { .. } => "lost",
            Self::Recovery => "recovery",
            Self::CongestionMarked => "congestion-marked",
            Self::Recovered => "recovered",
            Self::Timeout(_) => "timeout",
            Self::Undone(_) => "undone",
            Self::TailLossProbe => "tail-loss-probe",
            Self::Reordering(_) => "reordering",
            Self::Mss { .. } => "mss",
            Self::WindowClosed => "window-closed",
            Self::Ended(_) => "ended",
        }
    }
}
