//! Programs that speak on a host: still pure, with no IO, no clock and no threads.
//!
//! ```text
//!   cli, lab   --now, &mut Host-->   a program   --socket calls-->   stack::host::Host
//! ```

pub mod services;
