//! `lab list` and `lab show`: the scenarios by name, and the file of one.

use super::super::Failure;
use super::super::report::{json_line, untold};
use super::subject::Subject;
use crate::lab::scenario;
use serde_json::json;
use std::io::{self, Write as _};
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  tapline lab list
  tapline lab list --json";

const SHOW_EXAMPLES: &str = "Examples:
  tapline lab show arp > mine.toml; tapline lab run mine.toml";

/// The scenarios, each with what to look at.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// One object a line: `name` and `caption`.
    #[arg(long)]
    json: bool,
}

/// A scenario's file, to be read, copied and changed.
#[derive(Debug, clap::Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub struct ShowArgs {
    /// Which.
    #[arg(value_name = "NAME")]
    name: String,
}

/// Lists them.
///
/// # Errors
/// Where nobody can be told.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut out = io::stdout().lock();
    let all = scenario::all();
    let width = all.iter().map(|s| s.name.len()).max().unwrap_or(0);
    for scenario in all {
        let (name, caption) = (scenario.name, scenario.caption());
        let told = match args.json {
            true => json_line(&mut out, &json!({ "name": name, "caption": caption })),
            false => writeln!(out, "{name:width$}  {caption}"),
        };
        told.map_err(untold)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints one's file.
///
/// # Errors
/// Exit code 2 where there is none of that name.
pub fn show(args: &ShowArgs) -> Result<ExitCode, Failure> {
    let Some(scenario) = scenario::find(&args.name) else {
        // The same words as where one is run.
        let subject = Subject::find(&args.name)?;
        return Err(Failure::usage(format!("{} is a file", subject.word)));
    };
    let told = io::stdout().lock().write_all(scenario.toml.as_bytes());
    told.map_err(untold)?;
    Ok(ExitCode::SUCCESS)
}
