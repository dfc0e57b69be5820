//! What a connection does where all connections of a host together hold much, or all that they may.
//!
//! ```text
//!   bytes held     0 ........ low ........ pressure ........ 7/8 high .... high, but for a segment
//!   supply           ample     |  as before   |    scarce      |  spent          |  gone
//! ```
//!
//! | supply | windows | what comes early | what is written | what comes in time |
//! |---|---|---|---|---|
//! | ample | as the options say | is kept, up to twice the buffer | as the options say | is taken |
//! | scarce | stop growing | is kept up to [`LEAST`] | is taken up to [`SCARCE_SEND`] | is taken |
//! | spent | promise no more than [`LEAST`] unread | the same | is taken up to [`LEAST`] | is dropped where that much waits |
//! | gone | as if spent | is dropped | is not taken | is dropped |
//!
//! Read first: RFC 9293 §3.8.6 (windows), RFC 2018 §8 (what was told of may be given up again).
//!
//! Promises: a window never shrinks; a connection that holds nothing makes progress, one segment at a
//! time, until all is gone; who waits for room to write is told of it when the buffer is empty at
//! the latest, or a quarter of a second after there is some again.
//!
//! Left out: a supply of each connection's own; its options bound it.

/// How much memory is left for the data of all connections of a host together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Supply {
    /// Enough: nothing is held back.
    #[default]
    Ample,
    /// Little: nothing grows any more.
    Scarce,
    /// None but for those that hold nearly nothing: no more is promised, and what was promised is not
    /// kept.
    Spent,
    /// None at all.
    Gone,
}

impl Supply {
    /// A word for it, for people and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ample => "ample",
            Self::Scarce => "scarce",
            Self::Spent => "spent",
            Self::Gone => "gone",
        }
    }
}

/// What a connection may hold all the same, each way, where nothing is left (Linux's lower bounds of
/// `tcp_rmem` and `tcp_wmem`).
pub(super) const LEAST: u32 = 4096;

/// What may wait to be acknowledged where little is left (as much as Linux's buffers begin with).
pub(super) const SCARCE_SEND: u32 = 16 << 10;
