//! ^C where no driver waits for it: a flag that a long computation looks at.
//!
//! ```text
//!   SIGINT, SIGTERM --first--> flag      --second--> the end, at once
//! ```

use signal_hook::consts::signal::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a shell reports of a program that ^C ended.
pub const CODE: u8 = 130;

/// A flag that is set by the first SIGINT or SIGTERM; the second ends the process.
///
/// # Errors
/// What the OS says.
pub fn flag() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset.
        flag::register_conditional_shutdown(signal, CODE.into(), Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
