//! Two ends of one wire: which frames are for us, and how ours are addressed.
//!
//! ```text
//!   device -> Frame -> ethernet::Filter -> packet      packet -> ethernet::encapsulate -> Frame
//! ```
//!
//! Read first: RFC 894, RFC 1042, IEEE 802.1Q.

pub mod ethernet;
pub mod impair;
pub mod offload;
