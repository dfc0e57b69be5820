//! The only loop that waits, the only clock, and the only threads.
//!
//! ```text
//!   cli --hook--> driver --five verbs--> stack::Machine
//!                   |
//!                 device                 clock
//! ```

pub mod clock;
pub mod driver;
pub mod interrupt;
pub mod parallel;
pub mod stdin;

pub use clock::Clock;
pub use driver::{Driver, Next, PortStats, Stop, Wake};
