//! What became of a script.

use super::place::Place;

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it says.
    Pass,
    /// Otherwise.
    Fail {
        /// The event.
        at: Place,
        /// What was expected and what was found.
        why: String,
        /// Expected and found in the script's notation, and what was before.
        details: Vec<String>,
    },
    /// It was not run, or not to its end, for want of something here.
    Cannot {
        /// The statement.
        at: Place,
        /// What is wanting.
        why: String,
    },
}

/// What became of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Calls and packets, each with its time.
    pub exchange: Vec<String>,
}
