//! TCP: a reliable stream over an unreliable net, as Linux does it.
//!
//! ```text
//!   handle_segment -> input   checks 1 to 8 in the RFC's order
//!                       |-- acknowledgment --> send   ack, episode: scoreboard, rack, recovery, rtt, congestion
//!                       `-- text, FIN -------> recv   assembler, buffer, window, acknowledgments
//!   user: send, recv, shutdown, close, abort                              connection
//!   poll_transmit  <- output  reset, SYN, probes, what is lost, new data, acknowledgments
//!   poll_timeout, handle_timeout   timers, by name
//! ```
//!
//! | to read | file |
//! |---|---|
//! | RFC 9293: states, checks, sending | [`state`], `input`, `output`, [`connection`] |
//! | RFC 6298 round trips and timeouts | [`rtt`] |
//! | RFC 2018, 2883, 6675 selective acknowledgments | `scoreboard`, `assembler` |
//! | RFC 8985 loss by time, probes for a lost tail | `rack`, `episode` |
//! | RFC 6937, 5682, 3522, 3708 slowing down, and taking it back | `recovery`, `episode` |
//! | RFC 5482 how long a silent peer is borne with, and who is told | `patience`, [`report`] |
//! | RFC 5681, 3465, 6928, 9438, 9406, BBR | [`congestion`], [`pacing`] |
//! | RFC 7323 windows, timestamps, PAWS | `recv`, `input` |
//! | RFC 4821 path MTU without ICMP | `pmtud` |
//! | where all connections together hold too much | `memory` |
//! | RFC 3168, 9768 congestion marks, echoed or counted | `input`, `episode`, `accurate` |
//! | RFC 6528, 4987, 7413 first numbers, SYN cookies, Fast Open | [`isn`], [`cookies`], [`fastopen`], `opening` |
//!
//! Read first: RFC 9293 §3.3, §3.8 and §3.10. `tests/requirements.md` has each requirement of theirs,
//! with where it is met, what shows it, and where we differ.
//!
//! Promises: a [`Connection`] is plain data that knows neither addresses nor a clock; input never
//! emits; every segment that is sent again says [`Why`]; what a peer can make it hold is bounded by
//! its [`Options`]; a super-frame counts as the segments it stands for.
//!
//! Left out: security and compartment (no network uses them), MD5 and AO signatures, multipath;
//! ECN on SYNs and SYN-ACKs (ECN++, RFC 8311's experiments); silly values of another age: source
//! quench, the quiet time after a crash (timestamps and RFC 6528 stand for it).

mod accurate;
mod ack;
mod assembler;
mod buffer;
pub mod congestion;
pub mod connection;
pub mod cookies;
mod episode;
mod error;
pub mod fastopen;
mod input;
pub mod isn;
pub mod listen;
pub mod log;
mod memory;
mod on_demand;
mod opening;
pub mod options;
mod output;
pub mod pacing;
mod patience;
mod pieces;
mod pmtud;
mod rack;
mod recovery;
mod recv;
pub mod report;
pub mod rtt;
mod scoreboard;
pub mod segment;
mod send;
pub mod state;
pub mod status;
pub mod timers;

pub use congestion::Algorithm;
pub use connection::{Connection, Path};
pub use error::Error;
pub use fastopen::Outcome;
pub use listen::{Cookies, ListenOptions};
pub use log::{LogEntry, Why};
pub use memory::Supply;
pub use options::Options;
pub use pieces::Boundary;
pub use report::Report;
pub use segment::{CookieOptions, Outgoing, Segment};
pub use state::State;
pub use status::{AccurateStatus, Status};

use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Header};

/// A reset to send: the fields that answer a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Our port: the one the segment was sent to.
    pub src_port: u16,
    /// The sender's.
    pub dst_port: u16,
    /// SEQ.
    pub seq: SeqNum,
    /// ACK, where the segment had none.
    pub ack: Option<SeqNum>,
}

/// The reset for a segment with `len` bytes of data that belongs to no connection; none for a
/// reset.
#[must_use]
pub fn reset_for(seg: &Header<'_>, len: usize) -> Option<Reset> {
    //= RFC 9293 §3.10.7.1 a reset is never answered with a reset.
    if seg.flags.contains(Flags::RST) {
        return None;
    }
    let (src_port, dst_port) = (seg.dst_port, seg.src_port);
    if seg.flags.contains(Flags::ACK) {
        return Some(Reset {
            src_port,
            dst_port,
            seq: seg.ack,
            ack: None,
        });
    }
    let controls =
        u32::from(seg.flags.contains(Flags::SYN)) + u32::from(seg.flags.contains(Flags::FIN));
    let seg_len = u32::try_from(len)
        .unwrap_or(u32::MAX)
        .wrapping_add(controls);
    Some(Reset {
        src_port,
        dst_port,
        seq: SeqNum(0),
        ack: Some(seg.seq + seg_len),
    })
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod reset_tests {
    use super::*;

    fn segment(flags: Flags) -> Header<'static> {
        Header {
            src_port: 1000,
            dst_port: 80,
            seq: SeqNum(u32::MAX),
            ack: SeqNum(77),
            flags,
            window: 100,
            checksum: 0,
            urgent: 0,
            options: &[],
        }
    }

    #[test]
    fn answers_as_the_closed_state_does() {
        let answer =
            |flags, len| reset_for(&segment(flags), len).map(|r| (r.seq.0, r.ack.map(|a| a.0)));
        assert_eq!(answer(Flags::RST, 0), None);
        assert_eq!(answer(Flags::RST | Flags::ACK, 0), None);
        assert_eq!(answer(Flags::SYN, 0), Some((0, Some(0))));
        assert_eq!(answer(Flags::SYN, 5), Some((0, Some(5))));
        assert_eq!(answer(Flags::FIN, 1), Some((0, Some(1))));
        assert_eq!(answer(Flags::SYN | Flags::ACK, 0), Some((77, None)));
        assert_eq!(answer(Flags::ACK, 9), Some((77, None)));
    }
}
