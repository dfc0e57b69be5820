//! What the tools share.
//!
//! | folder | |
//! |---|---|
//! | [`posix`] | Linux's socket calls over one host in virtual time |

pub mod pkt;
pub mod posix;
