//! Networks in virtual time: whole hosts, bad wires, and a reason on every packet.
//!
//! ```text
//!   topology (Rust or TOML) --> World --step()--> trace --> json, pcapng, ladder, ShiViz, SVG
//!   fault script -------------> |  ^                   \--> assertions, metrics, digest
//!                             Clone |
//!                           History-+  go back, go on, fork
//! ```
//!
//! Begin with [`world`]. Everything in a world is plain data, and nothing here reads a clock or
//! starts a thread: the same topology, script and seed give the same bytes on every wire.

pub mod assertion;
pub mod build;
pub mod export;
pub mod fault;
pub mod file;
pub mod harness;
pub mod history;
pub mod ids;
pub mod metric;
pub mod names;
pub mod plan;
pub mod program;
pub mod random;
pub mod run;
pub mod scenario;
pub mod settings;
pub mod shrink;
pub mod topology;
pub mod trace;
pub mod units;
pub mod world;

mod check;
mod digest;
mod known;
mod queue;
mod tasks;

pub use history::History;
pub use ids::{Lane, NodeId, WireId};
pub use program::Program;
pub use world::World;

#[cfg(test)]
mod tests;
