//! The eleven states and what leads from one to another: one table.
//!
//! ```text
//!                              +---------+ ---------\      active OPEN
//!                              |  CLOSED |            \    -----------
//!                              +---------+<---------\   \   snd SYN
//!                passive OPEN    |     ^   CLOSE      \   \
//!                                v     |                \   \
//!            rcv SYN           +---------+               \   +---------+
//!      ----------------------->|  LISTEN |                \->|   SYN-  |
//!      |      snd SYN,ACK      +---------+                   |   SENT  |
//!  +---------+           rcv SYN, snd SYN,ACK (both at once) +---------+
//!  | SYN-RCVD|<--------------------------------------------------/  | rcv SYN,ACK
//!  +---------+  rcv ACK of SYN  +---------+                         | snd ACK
//!      |  \-------------------->|  ESTAB  |<------------------------/
//!      | CLOSE                  +---------+
//!      v          CLOSE  /----------/ \----------\  rcv FIN
//!  +---------+<---------/                         \------->+---------+
//!  |FIN-WAIT1|------------------\ rcv FIN                  |CLOSE-WT |
//!  +---------+                   v                         +---------+
//!      | rcv ACK of FIN      +---------+                        | CLOSE
//!      v                     | CLOSING |                        v
//!  +---------+               +---------+                   +---------+
//!  |FIN-WAIT2|    rcv ACK of FIN |                         | LAST-ACK|
//!  +---------+                   v     2 MSL               +---------+
//!      \---- rcv FIN ------->+---------+                        | rcv ACK of FIN
//!                            |TIME-WAIT|------> CLOSED <--------/
//!                            +---------+
//! ```
//!
//! Read first: RFC 9293 §3.3.2.
//!
//! Promises: no other file changes a connection's state but through [`State::next`]; what the
//! figure does not show is [`Illegal`], and leaves the state as it was.

use core::fmt;

/// A connection's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum State {
    /// No connection.
    #[default]
    Closed,
    /// Waits for a SYN.
    Listen,
    /// Has sent a SYN and waits for its peer's.
    SynSent,
    /// Has both sent and received a SYN, and waits for the acknowledgment of its own.
    SynReceived,
    /// Open: data goes both ways.
    Established,
    /// Has sent a FIN.
    FinWait1,
    /// Its FIN is acknowledged; the peer may go on sending.
    FinWait2,
    /// The peer has sent a FIN; the user may go on sending.
    CloseWait,
    /// Both have sent a FIN at once; its own is not acknowledged yet.
    Closing,
    /// The peer's FIN came first; its own is not acknowledged yet.
    LastAck,
    /// Waits for what the net may still hold, and answers FINs sent again.
    TimeWait,
}

/// What moves a connection from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The user opens passively.
    PassiveOpen,
    /// The user opens actively: a SYN is sent.
    ActiveOpen,
    /// The user has nothing more to send: a FIN follows what waits.
    Close,
    /// A SYN came.
    RcvSyn,
    /// A SYN came that acknowledges ours.
    RcvSynAck,
    /// The acknowledgment of our SYN came.
    RcvAckOfSyn,
    /// The peer's FIN came, and all data before it.
    RcvFin,
    /// The acknowledgment of our FIN came.
    RcvAckOfFin,
    /// 2 MSL have passed.
    TimeWaitOver,
    /// A reset came, the user aborted, or patience ended.
    Delete,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 10] = [
        Self::PassiveOpen,
        Self::ActiveOpen,
        Self::Close,
        Self::RcvSyn,
        Self::RcvSynAck,
        Self::RcvAckOfSyn,
        Self::RcvFin,
        Self::RcvAckOfFin,
        Self::TimeWaitOver,
        Self::Delete,
    ];
}

/// An event that the figure does not show for a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Illegal {
    /// The state, which remains.
    pub state: State,
    /// What did not fit.
    pub event: Event,
}

impl State {
    /// Every state, in the figure's order.
    pub const ALL: [Self; 11] = [
        Self::Closed,
        Self::Listen,
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::FinWait1,
        Self::FinWait2,
        Self::CloseWait,
        Self::Closing,
        Self::LastAck,
        Self::TimeWait,
    ];

    /// The state after `event`.
    ///
    /// # Errors
    /// [`Illegal`] where RFC 9293 knows no such transition.
    pub const fn next(self, event: Event) -> Result<Self, Illegal> {
        Ok(match (self, event) {
            (Self::Closed, Event::PassiveOpen) => Self::Listen,
            (Self::Closed | Self::Listen, Event::ActiveOpen) => Self::SynSent,
            (Self::Listen | Self::SynSent, Event::RcvSyn) => Self::SynReceived,
            (Self::SynSent, Event::RcvSynAck) | (Self::SynReceived, Event::RcvAckOfSyn) => {
                Self::Established
            }
            (Self::Listen | Self::SynSent, Event::Close) => Self::Closed,
            (Self::SynReceived | Self::Established, Event::Close) => Self::FinWait1,
            (Self::SynReceived | Self::Established, Event::RcvFin) => Self::CloseWait,
            (Self::FinWait1, Event::RcvAckOfFin) => Self::FinWait2,
            (Self::FinWait1, Event::RcvFin) => Self::Closing,
            (Self::FinWait2, Event::RcvFin) | (Self::Closing, Event::RcvAckOfFin) => Self::TimeWait,
            (Self::CloseWait, Event::Close) => Self::LastAck,
            (Self::LastAck, Event::RcvAckOfFin) | (Self::TimeWait, Event::TimeWaitOver) => {
                Self::Closed
            }
            (state, Event::Delete) if !matches!(state, Self::Closed) => Self::Closed,
            (state, event) => return Err(Illegal { state, event }),
        })
    }

    /// Both SYNs have been exchanged and acknowledged (RFC 9293 §3.10: the synchronized states).
    #[must_use]
    pub const fn is_synchronized(self) -> bool {
        !matches!(
            self,
            Self::Closed | Self::Listen | Self::SynSent | Self::SynReceived
        )
    }

    /// The user may still hand over data.
    #[must_use]
    pub const fn may_send(self) -> bool {
        matches!(
            self,
            Self::SynSent | Self::SynReceived | Self::Established | Self::CloseWait
        )
    }

    /// The peer may still send data.
    #[must_use]
    pub const fn may_receive(self) -> bool {
        matches!(self, Self::Established | Self::FinWait1 | Self::FinWait2)
    }

    /// The RFC's name: `FIN-WAIT-1`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECEIVED",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns as in `Event::ALL`; a dot where the figure has no arrow.
    const TABLE: [(&str, &str); 11] = [
        ("CLOSED", "LISTEN SYN-SENT . . . . . . . ."),
        ("LISTEN", ". SYN-SENT CLOSED SYN-RECEIVED . . . . . CLOSED"),
        (
            "SYN-SENT",
            ". . CLOSED SYN-RECEIVED ESTABLISHED . . . . CLOSED",
        ),
        (
            "SYN-RECEIVED",
            ". . FIN-WAIT-1 . . ESTABLISHED CLOSE-WAIT . . CLOSED",
        ),
        ("ESTABLISHED", ". . FIN-WAIT-1 . . . CLOSE-WAIT . . CLOSED"),
        ("FIN-WAIT-1", ". . . . . . CLOSING FIN-WAIT-2 . CLOSED"),
        ("FIN-WAIT-2", ". . . . . . TIME-WAIT . . CLOSED"),
        ("CLOSE-WAIT", ". . LAST-ACK . . . . . . CLOSED"),
        ("CLOSING", ". . . . . . . TIME-WAIT . CLOSED"),
        ("LAST-ACK", ". . . . . . . CLOSED . CLOSED"),
        ("TIME-WAIT", ". . . . . . . . CLOSED CLOSED"),
    ];

    #[test]
    fn every_state_and_event_as_in_the_table() {
        for (state, (name, row)) in State::ALL.into_iter().zip(TABLE) {
            assert_eq!(state.name(), name);
            for (event, want) in Event::ALL.into_iter().zip(row.split(' ')) {
                let got = state.next(event).map_or(".", State::name);
                assert_eq!(got, want, "{state} {event:?}");
            }
        }
    }
}
