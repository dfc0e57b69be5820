//! One end of a wire: which frames are for us, and how ours are addressed.
pub mod ethernet;
