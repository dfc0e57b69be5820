//! What happened, as a list that only grows: the lab's contract with everything that looks at a run.
//!
//! ```text
//!   World --Event--> export::{json, pcapng, ladder, shiviz, svg}, assertions, `lab diff`
//!
//!   { t, seq, node, kind, cause, ... }     cause: the event that made this one happen
//! ```
//!
//! `cause` makes happened-before a matter of following numbers: an arrival's cause is the sending,
//! a sending's cause is what its node did last (an arrival, a timer, the start of a program, a fault),
//! a timer's is what its node had done last when it was set, a fault's cause is the note that it
//! waited for. A drop's cause is the fault that took the frame, where one did (a rule, a wire that is
//! down, a node that is, a loss or an MTU that a line set); else, on a wire, its sending, and at a
//! node its arrival. A frame on a wire is named by the `seq` of its [`Kind::Send`]; the same packet on
//! the next wire is another frame, whose cause leads back.
//!
//! What a node refuses is told twice: by its arrival, whose fate says so, and by a [`Kind::Drop`]
//! right after it, so that all drops are found by their kind.
//!
//! Nothing is recorded unless asked for ([`World::watch`](super::World::watch)).

use super::ids::{Lane, NodeId};
use stack::frame::Frame;
use stack::link::impair::Marks;
use stack::machine::Fate;
use stack::reason::DropReason;
use stack::time::Instant;
use stack::transport::tcp::Why;

/// Number of an event, from 1; 0 is none.
pub type Seq = u64;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// Its number.
    pub seq: Seq,
    /// Where; `None` for what concerns the whole world.
    pub node: Option<NodeId>,
    /// What made it happen; 0 where nothing within the run did.
    pub cause: Seq,
    /// What.
    pub kind: Kind,
}

/// A fault that was carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::lab) struct Culprit {
    /// The event that tells of it.
    pub(in crate::lab) seq: Seq,
    /// Its line in the script.
    pub(in crate::lab) line: u32,
}

impl Culprit {
    /// No fault.
    pub(in crate::lab) const NOBODY: Self = Self { seq: 0, line: 0 };
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// The node put a frame on a wire.
    Send {
        /// Which direction of which wire.
        lane: Lane,
        /// The bytes.
        frame: Frame,
        /// Why it is a retransmission or a probe, where it is one; of a super-frame that was cut,
        /// each piece has the reason of the whole.
        why: Option<Why>,
    },
    /// A frame came in at the node.
    Arrive {
        /// By which wire.
        lane: Lane,
        /// The number of its sending; 0 where that was not watched.
        frame_id: Seq,
        /// When it was sent.
        sent: Instant,
        /// The bytes as they came.
        frame: Frame,
        /// What the wire did to it.
        marks: Marks,
        /// What the node did with it.
        fate: Fate,
    },
    /// A frame was lost: on a wire, at a node that refused it, or in one that had accepted it.
    Drop {
        /// On which wire, where a wire lost it.
        lane: Option<Lane>,
        /// The number of its sending; 0 where it was never sent, or is not known any more.
        frame_id: Seq,
        /// The bytes, where they are known still; a node knows them of what it refused at once.
        frame: Option<Frame>,
        /// Why.
        reason: DropReason,
        /// More on that: `queue 64/64`.
        detail: String,
        /// How many at once.
        count: u64,
    },
    /// A deadline of the node came.
    Timer,
    /// A program at the node says something.
    Note {
        /// The program's name.
        program: String,
        /// What it is about, a word: `reply`.
        name: String,
        /// The rest: `seq=3 rtt=1.2ms`.
        text: String,
    },
    /// The node's state as it shows itself changed: whether it runs, whether a port is up, whether
    /// an address may be used, what a path carries.
    State {
        /// What changed, and what it is now: `down`, `port 0: up`, `10.0.0.1: usable`.
        view: String,
    },
    /// A line of the fault script took effect or ended.
    Fault {
        /// The line's number in its file.
        line: u32,
        /// What it did.
        text: String,
    },
    /// An assertion was judged.
    Verdict {
        /// The assertion.
        text: String,
        /// Whether it holds.
        holds: bool,
    },
}

impl Kind {
    /// The kind's name in a trace.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Send { .. } => "send",
            Self::Arrive { .. } => "arrive",
            Self::Drop { .. } => "drop",
            Self::Timer => "timer",
            Self::Note { .. } => "note",
            Self::State { .. } => "state",
            Self::Fault { .. } => "fault",
            Self::Verdict { .. } => "verdict",
        }
    }

    /// Whether it is the drop of a frame that a node refused when it came, which its arrival just
    /// before has told already.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Drop {
                lane: None,
                frame: Some(_),
                ..
            }
        )
    }
}
