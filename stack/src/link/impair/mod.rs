//! The bad wire: rate, delay, jitter, loss, duplication, reordering, bit errors and queues, each
//! decided by a number that belongs to the packet.
//!
//! ```text
//!                    one Way, one direction                          two Ways: a Wire
//!   send --> rules, loss --> queue --> rate --> bit errors --> delay, jitter --> poll_arrival
//!             |                |                     |
//!             |                drop-tail, CoDel,     FCS: dropped at arrival
//!             |                FQ-CoDel, ECN
//!             hash(key, flow, k, kind): key = seed, wire, direction
//! ```
//!
//! Read first: RFC 8289 §5, RFC 8290 §4; for loss in bursts, RFC 6534 §4.1 has Gilbert and Elliott.
//!
//! Promises:
//! - A decision about the k-th packet of a flow depends on the key, the flow and k, and on nothing
//!   else: no packet of another flow, no queue and no clock changes it. The count goes up also while
//!   nothing is impaired and while the wire is down.
//! - Sent + copied = delivered + waiting + in flight + Σ dropped by reason, at every moment
//!   ([`Way::is_conserved`]).
//! - The rate is kept exactly: what division leaves over is carried to the next frame.
//! - All is plain data; an idle way takes a few hundred bytes, and costs nothing else.
//! - A caller that comes late finds each frame where it would have been.
//!
//! Left out: a lost frame takes no time of the transmitter, as with Linux's netem, so that what is
//! lost does not depend on the queue; a copy takes none either. Links that are not Ethernet.

mod chance;
mod config;
mod damage;
mod draw;
mod ecn;
mod flight;
mod flow;
mod ledger;
pub mod queue;
#[cfg(test)]
mod tests;
mod way;
mod wire;

pub use chance::{Chance, ChanceError};
pub use config::{Act, Config, Loss, Match, Matched, Rule};
pub use flow::Pieces;
pub use ledger::{Lost, Marks, Stats};
pub use queue::{Queue, codel, fq_codel};
pub use way::{Arrival, FRAME_COST, Queued, Sent, Way};
pub use wire::Wire;
