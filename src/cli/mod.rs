//! The command line: one binary, one verb a file.
//!
//! ```text
//!   tapline VERB ...  -->  cli/VERB.rs  run(&Args) -> Result<ExitCode, Failure>
//!                             |
//!            sandbox  config  advertise  build  command     what `up` is made of
//!            guest                               what it shares with `lab run --attach`
//!            attach   report                     what the clients (ping, nc, ...) share
//!                             |
//!            runtime  device  dissect  stack::host
//! ```
//!
//! Begin with [`tour`], which is what `up --tour` runs, and [`up`]. A verb is a file here, its line
//! in [`main`]'s match, and an example in its help.
//!
//! Exit codes: 0 done; 1 the thing asked for did not hold (no reply, assertion failed, capture
//! differs); 2 usage or configuration; 3 the machine lacks something, with the remedy in the
//! message. What a verb reports goes to standard output, what it says about itself to standard
//! error.

pub mod advertise;
pub mod arping;
pub mod attach;
pub mod build;
pub mod command;
pub mod config;
pub mod dissect;
pub mod family;
pub mod fetch;
pub mod guest;
pub mod iperf;
pub mod lab;
pub mod nc;
pub mod ping;
pub mod progress;
pub mod rdisc;
pub mod replay;
pub mod report;
pub mod sandbox;
pub mod status;
pub mod text;
pub mod tour;
pub mod traceroute;
pub mod up;
pub mod wire;

use crate::lab::units::shown;
use crate::runtime::interrupt;
use clap::{CommandFactory as _, Parser, Subcommand};
use log::LevelFilter;
use std::io::Write as _;
use std::process::ExitCode;

/// A whole network stack: on a TAP, a raw interface, a capture file, or a lab in virtual time.
#[derive(Debug, Parser)]
#[command(
    name = "tapline",
    version,
    disable_help_subcommand = true,
    after_help = "`tapline help` shows each verb with an example.\nExit codes: 0 done, \
                  1 did not hold, 2 usage or configuration, 3 the machine lacks something."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,

    /// Say more on standard error: -v what happens, -vv why, -vvv each frame (RUST_LOG is finer).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Up(up::Args),
    Status(status::Args),
    Dissect(dissect::Args),
    Ping(ping::Args),
    Traceroute(traceroute::Args),
    Arping(arping::Args),
    Rdisc(rdisc::Args),
    Nc(nc::Args),
    Fetch(fetch::Args),
    Iperf(iperf::Args),
    Replay(replay::Args),
    Wire(Box<wire::Args>),
    Lab(lab::Args),
    /// Each verb with an example.
    Help {
        /// Only this one, in full; `help lab run` for a verb of a verb.
        verb: Vec<String>,
    },
}

/// Why a verb did not do what it was asked: what to say, and what to exit with.
#[derive(Debug)]
pub struct Failure {
    /// Exit code: 1, 2 or 3; 130 where ^C ended it.
    pub code: u8,
    /// What went wrong; nothing is printed where it is empty.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Failure {
    /// The thing asked for did not hold.
    pub fn unmet(message: impl Into<String>) -> Self {
        Self::new(1, message)
    }

    /// Usage or configuration is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(2, message)
    }

    /// The machine lacks something; `remedy` says what to do.
    pub fn lacks(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..Self::new(3, message)
        }
    }

    /// ^C ended it before it was done; nothing is known to have failed.
    pub fn stopped(message: impl Into<String>) -> Self {
        Self::new(interrupt::CODE, message)
    }

    fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            remedy: None,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n  try: {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// An OS error that has no better reading: the machine lacks something that was not foreseen.
impl From<std::io::Error> for Failure {
    fn from(e: std::io::Error) -> Self {
        Self::new(3, e.to_string())
    }
}

/// Reads the arguments, runs the verb, tells the shell.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(cli.verbose);
    let result = match &cli.verb {
        Verb::Up(args) => up::run(args),
        Verb::Status(args) => status::run(args),
        Verb::Dissect(args) => dissect::run(args),
        Verb::Ping(args) => ping::run(args),
        Verb::Traceroute(args) => traceroute::run(args),
        Verb::Arping(args) => arping::run(args),
        Verb::Rdisc(args) => rdisc::run(args),
        Verb::Nc(args) => nc::run(args),
        Verb::Fetch(args) => fetch::run(args),
        Verb::Iperf(args) => iperf::run(args),
        Verb::Replay(args) => replay::run(args),
        Verb::Wire(args) => wire::run(args),
        Verb::Lab(args) => lab::run(args),
        Verb::Help { verb } => help(verb),
    };
    result.unwrap_or_else(|failure| {
        if !failure.message.is_empty() {
            // It may quote what somebody else has written.
            eprintln!("tapline: {}", shown(&failure.to_string()));
        }
        ExitCode::from(failure.code)
    })
}

/// Off unless asked for: a level that is off costs a comparison. What libraries say is only to be
/// had by RUST_LOG.
fn start_log(verbose: u8) {
    let mut builder = env_logger::Builder::new();
    let level = match verbose {
        0 => LevelFilter::Off,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    builder
        .filter_level(LevelFilter::Off)
        .filter_module("tapline", level)
        .filter_module("stack", level);
    if verbose == 0 {
        builder.parse_default_env();
    }
    builder.init();
}

fn help(verb: &[String]) -> Result<ExitCode, Failure> {
    let mut command = Cli::command();
    // Names each verb as it is called, and gives it the options of all.
    command.build();
    let mut out = Vec::new();
    if !verb.is_empty() {
        let mut found = &mut command;
        for name in verb {
            let unknown = || format!("there is no verb '{name}'; `tapline help` lists them");
            found = found
                .find_subcommand_mut(name)
                .ok_or_else(|| Failure::usage(unknown()))?;
        }
        write!(out, "{}", found.render_long_help())?;
    } else {
        writeln!(out, "{}\n", command.get_about().unwrap_or_default())?;
        for verb in command.get_subcommands() {
            let about = verb.get_about().unwrap_or_default();
            writeln!(out, "{:<11} {about}", verb.get_name())?;
            let examples = verb.get_after_help().map(ToString::to_string);
            for line in examples.iter().flat_map(|e| e.lines().skip(1)) {
                writeln!(out, "            {}", line.trim())?;
            }
        }
        let tail = command.get_after_help().map(ToString::to_string);
        let codes = tail.iter().flat_map(|t| t.lines().skip(1));
        writeln!(out, "\n`tapline help VERB` says all about one.")?;
        for line in codes {
            writeln!(out, "{line}")?;
        }
    }
    // A pager that was closed early is no failure.
    let _ = std::io::stdout().write_all(&out);
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_verb_has_an_example() {
        Cli::command().debug_assert();
        for verb in Cli::command().get_subcommands() {
            let name = verb.get_name();
            assert!(verb.get_about().is_some(), "{name}");
            let examples = verb.get_after_help().map(ToString::to_string);
            let good = |e: String| e.starts_with("Examples:\n") && e.lines().count() > 1;
            assert!(name == "help" || examples.is_some_and(good), "{name}");
        }
    }

    #[test]
    fn a_remedy_is_part_of_the_message() {
        let f = Failure::lacks("no TAP", "modprobe tun");
        let text = f.to_string();
        assert_eq!((f.code, text.as_str()), (3, "no TAP\n  try: modprobe tun"));
    }
}
