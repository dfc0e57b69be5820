//! Tapline's protocols: a TCP/IP stack that does no IO, reads no clock and draws no randomness of
//! its own.
//!
//! ```text
//!                host            the only room that joins the three below
//!            /     |     \
//!         link    net    transport      siblings, blind to each other
//!            \     |     /
//!          wire  frame  reason          bytes <-> meaning; what travels; why it was dropped
//!            \     |     /
//!             time    rng               both come in as arguments
//! ```
//!
//! Everything here is plain data: a [`host::Host`] is `Clone`, so a whole run can be forked,
//! replayed and compared byte for byte. Every machine speaks the same five verbs (see
//! [`machine`]): `handle_*` and `handle_timeout` take input and never emit; `poll_transmit`,
//! `poll_timeout` and `poll_event` pull output.
//!
//! The crate is `no_std` with `alloc` and forbids unsafe code, so that a clock, a socket, a thread
//! or an unordered map inside a protocol is a compile error.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod frame;
pub mod host;
pub mod link;
pub mod machine;
pub mod net;
pub mod reason;
pub mod rng;
pub mod time;
pub mod transport;
pub mod wheel;
pub mod wire;
