//! Tapline: a whole network stack in safe Rust.
pub use stack;
pub mod cli;
pub mod device;
pub mod dissect;
pub mod runtime;
