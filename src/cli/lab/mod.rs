//! `lab`: networks in virtual time, from a file or by the name of a scenario.
//!
//! ```text
//!   FILE|NAME --subject--> Topology --run-----> record (files), report (table, JSON)
//!                                   --seeds---> runtime::parallel, a run a thread
//!                                   --diff----> two runs side by side
//!                                   --shrink--> a smaller one that fails still
//!                                   --attach--> runtime::Driver, in real time
//! ```
//!
//! Begin with [`run`](mod@run). Threads are started only for seeds, a clock is read only for `--attach` and to
//! say how long a run took: what a run comes to depends on neither.

pub mod attach;
pub mod diff;
pub mod help;
pub mod list;
mod play;
pub mod record;
pub mod report;
pub mod run;
pub mod seeds;
pub mod shrink;
pub mod subject;

use super::Failure;
use clap::Subcommand;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  tapline lab list                        # begin here: the scenarios
  tapline lab run arp --ladder -          # one of them, and what crossed the wires
  tapline lab show arp > mine.toml        # its network, to be changed
  tapline lab run mine.toml --seeds 0..100
  tapline lab run mine.toml --pcap wires --svg picture.svg
  tapline lab diff mine.toml@1 mine.toml@2
  tapline lab shrink mine.toml --seed 7
  tapline lab run mine.toml --attach a=tap0 -- ping -c 3 10.0.1.2";

/// Networks in virtual time: hosts, routers, bad wires, faults; a seed repeats a run to the byte.
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{}", help::text()),
    disable_help_subcommand = true
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(Box<run::Args>),
    List(list::Args),
    Show(list::ShowArgs),
    Diff(diff::Args),
    Shrink(shrink::Args),
}

/// Runs the verb.
///
/// # Errors
/// Exit code 1 where an assertion fails or runs differ, 2 for a bad topology, 3 where the machine
/// lacks something.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    match &args.verb {
        Verb::Run(args) => run::run(args),
        Verb::List(args) => list::run(args),
        Verb::Show(args) => list::show(args),
        Verb::Diff(args) => diff::run(args),
        Verb::Shrink(args) => shrink::run(args),
    }
}
