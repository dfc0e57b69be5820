//! The only loop that waits.
