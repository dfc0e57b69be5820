//! Tapline: a whole network stack in safe Rust, and everything of it that stands on a host.
//!
//! ```text
//!    cli            one verb a file: up, its tour, status, dissect, ...
//!     |    \
//!     |    dissect  the layers of a frame, named from the outside in
//!     |    endpoint  programs that speak: services, ping, traffic; pure, driven by who has a host
//!   runtime         the only loop that waits, the only clock
//!     |
//!   device          the OS edge: the only unsafe code, the only file descriptors
//!  ===|=========    crate wall: below it no std, no clock, no socket, no thread
//!   stack           the protocols; `stack::host::Host` is the machine that runtime drives
//! ```
//!
//! An arrow goes down only; `tests/floors.rs` holds every import against that picture. To follow one
//! packet, begin at [`runtime::driver`], then [`stack::host`]. To see one, run
//! `tapline up --tour`, whose code is [`cli::tour`].
//!
//! The protocols need none of this: the crate `tapline-stack` alone is `no_std` and does no IO.

pub use stack;
pub mod cli;
pub mod device;
pub mod dissect;
pub mod endpoint;
pub mod lab;
pub mod runtime;
