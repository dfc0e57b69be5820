//! The command line: one verb a file in `cli/`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tapline::cli::main()
}
