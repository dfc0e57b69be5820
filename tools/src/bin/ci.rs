//! The test command: `cargo ci`.
fn main() {}
