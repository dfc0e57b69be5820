//! Packet scripts: packetdrill's language, run in virtual time.

mod lexer;
pub mod parse;
pub mod tree;

pub use lexer::Place;
pub use parse::parse;

use std::fmt;

/// What is wrong, and where in the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Where.
    pub at: Place,
    /// What.
    pub why: String,
}

impl Trouble {
    pub(crate) fn at(at: Place, why: impl Into<String>) -> Self {
        Self { at, why: why.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.at.line, self.at.column, self.why)
    }
}
