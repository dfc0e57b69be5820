//! The command line: one verb a file in `cli/`.
fn main() {}
