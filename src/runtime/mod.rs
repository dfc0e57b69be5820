//! The only loop that waits, and the only clock.
//!
//! ```text
//!   cli --hook--> driver --five verbs--> stack::Machine
//!                   |
//!                 device                 clock
//! ```

pub mod clock;
pub mod driver;
pub mod stdin;

pub use clock::Clock;
pub use driver::{Driver, Next, PortStats, Stop, Wake};
