//! The five verbs of a machine that speaks frames, and what becomes of a frame.
//!
//! ```text
//!        now, port, frame                     now, port
//!   -----> handle_frame -----> Fate      ---> poll_transmit ---> Option<Frame>
//!        now                                                      deadline
//!   -----> handle_timeout                ---> poll_timeout -----> Option<Instant>
//! ```
//!
//! A driver pulls: after each `handle_*` it calls `poll_transmit` for each port until it gives
//! `None`, then waits for a frame or for `poll_timeout`. Input never emits.

use crate::frame::Frame;
use crate::reason::DropReason;
use crate::time::Instant;

/// One of a machine's attachments, counted from zero: a host's interface, a switch's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Port(pub u16);

/// What a machine did with a frame that it was handed. Each frame has exactly one fate at a time,
/// and only `Held` may change later: that is what makes the conservation law
/// `frames in = delivered + forwarded + held + Σ drops` hold at every moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Consumed here: by a protocol of the machine or by a socket.
    Delivered(Consumer),
    /// Accepted for another port.
    Forwarded,
    /// Kept until more arrives (a fragment).
    Held,
    /// Refused, and why.
    Dropped(DropReason),
}

/// Who consumed a delivered frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Consumer {
    /// ARP.
    Arp,
    /// ICMP itself: an echo request answered, an error noted.
    Icmp,
    /// IGMP.
    Igmp,
    /// A UDP socket.
    Udp,
    /// TCP.
    Tcp,
    /// A raw IP or ICMP socket.
    Raw,
}

impl Consumer {
    /// Every consumer.
    pub const ALL: [Self; 6] = [
        Self::Arp,
        Self::Icmp,
        Self::Igmp,
        Self::Udp,
        Self::Tcp,
        Self::Raw,
    ];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Position in [`ALL`](Self::ALL), for tables of counters.
    #[must_use]
    #[allow(clippy::as_conversions)]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The stable name: `udp`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arp => "arp",
            Self::Icmp => "icmp",
            Self::Igmp => "igmp",
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Raw => "raw",
        }
    }
}

impl core::fmt::Display for Fate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Delivered(to) => write!(f, "delivered to {}", to.name()),
            Self::Forwarded => f.write_str("forwarded"),
            Self::Held => f.write_str("held for reassembly"),
            Self::Dropped(reason) => write!(f, "dropped: {reason}"),
        }
    }
}

/// What a driver drives: a host, a switch, a bad wire, a whole world.
pub trait Machine {
    /// Takes a frame that arrived on `port`.
    fn handle_frame(&mut self, now: Instant, port: Port, frame: Frame) -> Fate;
    /// The next frame to leave by `port`, if any may leave now.
    fn poll_transmit(&mut self, now: Instant, port: Port) -> Option<Frame>;
    /// What the machine has to say of the frame that [`poll_transmit`](Machine::poll_transmit) gave
    /// last: why TCP sends a segment again, or to probe.
    fn transmit_comment(&self) -> Option<&dyn core::fmt::Display> {
        None
    }
    /// The earliest moment at which [`handle_timeout`](Machine::handle_timeout) has work to do;
    /// never later than the true minimum.
    fn poll_timeout(&self) -> Option<Instant>;
    /// Does what is due at `now`. Harmless when called early.
    fn handle_timeout(&mut self, now: Instant);
}
