//! Packet scripts: packetdrill's language, run in virtual time over [`crate::posix`].
//!
//! ```text
//!  text -> lexer -> parse -> tree -> prepare ------------------> runner -> Report
//!                                    shell: blocks to settings    |  calls    -> posix::Process
//!                                    code, constants, names       |  packets <-> wire (bytes)
//! ```
//!
//! Read first: packetdrill's own description of its language, and RFC 9293 §3.
//!
//! Promises: a script runs as it was written for the original, or it is said which statement cannot
//! be run and why, before anything of it is; no shell is run; the same script gives the same
//! exchange each time, in no time that a clock could see; no text makes it panic.
//!
//! Left out: PSP, remote mode, and running another implementation. Unlike the original, ports written in a script name connections side by side,
//! a call that waits does not hold up the ones after it, `--tcp_ts_ecr_exact` also compares the
//! timestamps that are echoed, and `--define=PROFILE=freebsd` asks for FreeBSD's defaults.
//!
//! ```
//! use tools::pkt::{Options, Outcome, run};
//! # use tools::posix::{Mode, Profile};
//! let options = Options { profile: Profile::Linux, mode: Mode::V4, defines: Default::default() };
//! let report = run("example.pkt".as_ref(), "0 socket(..., SOCK_FROG, 0) = 3", &options);
//! let Outcome::Cannot { at, why } = report.outcome else { panic!() };
//! assert_eq!((at.line, why.as_str()), (1, "the constant SOCK_FROG is not known"));
//! ```

mod code;
mod conditional;
mod config;
mod constants;
mod icmp;
mod ip;
mod lexer;
mod notation;
mod outer;
pub mod parse;
mod place;
mod report;
mod runner;
mod shell;
pub mod tree;
mod wire;

pub use config::Options;
pub use parse::parse;
pub use place::{Place, Trouble};
pub use report::{Outcome, Report};
pub use shell::ReadFile;

use crate::posix::{Mode, Profile};
use config::{Config, mode_of};
use runner::Prepared;
use shell::Step;
use std::collections::BTreeMap;
use std::path::Path;
use tree::{Action, Body, Expr, Script};

/// The one mode that a script's head asks for, if it does.
#[must_use]
pub fn mode_asked(text: &str) -> Option<Mode> {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("--ip_version="))?;
    mode_of(line.split_whitespace().next()?)
}

/// The one profile that a script's head asks for, if it does: `--define=PROFILE=freebsd`, which
/// the original reads as well.
#[must_use]
pub fn profile_asked(text: &str) -> Option<Profile> {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("--define=PROFILE="))?;
    match line.split_whitespace().next()? {
        "linux" => Some(Profile::Linux),
        "freebsd" => Some(Profile::FreeBsd),
        _ => None,
    }
}

/// Runs a script that was read from `path`; files that its shell blocks call are read too.
#[must_use]
pub fn run(path: &Path, text: &str, options: &Options) -> Report {
    run_reading(path, text, options, &|path| {
        // A pipe would let us wait.
        let is_file = std::fs::metadata(path).is_ok_and(|about| about.is_file());
        is_file
            .then(|| std::fs::read_to_string(path).ok())
            .flatten()
    })
}

/// The same, with files from elsewhere.
#[must_use]
pub fn run_reading(path: &Path, text: &str, options: &Options, read: ReadFile<'_>) -> Report {
    let mut options = options.clone();
    options.profile = profile_asked(text).unwrap_or(options.profile);
    let selected = conditional::select(text, options.profile);
    let text = selected.as_ref();
    options.mode = mode_asked(text).unwrap_or(options.mode);
    let names = options.all_defines(options.mode);
    let cannot = |trouble: Trouble| Report {
        outcome: Outcome::Cannot {
            at: trouble.at,
            why: trouble.why,
        },
        exchange: Vec::new(),
    };
    let script = match parse(text, &names) {
        Ok(script) => script,
        Err(trouble) => return cannot(Trouble::at(trouble.at, format!("{trouble}"))),
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    match prepare(&script, text, folder, &options, read) {
        Ok(prepared) if prepared.config.dry => Report {
            outcome: Outcome::Pass,
            exchange: Vec::new(),
        },
        Ok(prepared) => runner::run(&prepared),
        Err(trouble) => cannot(trouble),
    }
}

/// Works out all that can be known before running: settings, shell blocks, names.
fn prepare<'a>(
    script: &'a Script,
    text: &'a str,
    folder: &Path,
    options: &Options,
    read: ReadFile<'_>,
) -> Result<Prepared<'a>, Trouble> {
    let head = Place { line: 1, column: 1 };
    let config = Config::new(&script.options, options).map_err(|why| Trouble::at(head, why))?;
    let steps = |at: Place, block: &str| -> Result<Vec<Step>, Trouble> {
        shell::steps(block, folder, read).map_err(|refused| {
            let at = Place {
                line: at.line + refused.line,
                ..at
            };
            Trouble::at(at, format!("{}: {}", refused.statement, refused.why))
        })
    };
    if script.events.is_empty() {
        return Err(Trouble::at(head, "there is nothing in it to run"));
    }
    let mut init = Vec::new();
    for path in &config.init_scripts {
        // The usual way to say that there is none.
        if path == "/dev/null" {
            continue;
        }
        let Some(block) = read(&folder.join(path)) else {
            return Err(Trouble::at(head, format!("{path} cannot be read")));
        };
        init.extend(steps(head, &block)?);
    }
    if let Some((at, block)) = &script.init {
        init.extend(steps(*at, block)?);
    }
    let mut blocks = BTreeMap::new();
    let (mut variables, mut understood) = (code::Variables::new(), true);
    for (number, event) in script.events.iter().enumerate() {
        let wrong = |why: String| Trouble::at(event.at, why);
        match &event.action {
            Action::Shell(block) => {
                blocks.insert(number, steps(event.at, block)?);
            }
            Action::Code(at, text) => {
                // What an earlier block did not come to, a later one may call.
                match code::check(text, &mut variables) {
                    Ok(to_its_end) => understood &= to_its_end,
                    Err(_) if !understood => {}
                    Err((line, why)) => {
                        let line = at.line + line;
                        return Err(Trouble::at(Place { line, ..*at }, why));
                    }
                }
            }
            Action::Call(call) => {
                if !runner::CALLS.contains(&call.name.as_str()) {
                    return Err(wrong(format!("the system call {} is not known", call.name)));
                }
                call.args
                    .iter()
                    .chain([&call.result])
                    .try_for_each(known)
                    .map_err(wrong)?;
                if let Some(errno) = &call.errno {
                    known(&Expr::Word(errno.clone())).map_err(wrong)?;
                }
            }
            Action::Packet(packet) => {
                outer::put(Vec::new(), &packet.outer).map_err(wrong)?;
                if let Body::Icmp { kind, code, .. } = &packet.body {
                    let v6 = options.mode == Mode::V6;
                    icmp::numbers(v6, kind, code.as_deref()).map_err(wrong)?;
                }
            }
        }
    }
    Ok(Prepared {
        script,
        text,
        init,
        blocks,
        config,
    })
}

/// Whether every name in an expression has a value.
fn known(expr: &Expr) -> Result<(), String> {
    match expr {
        Expr::Word(name) => match constants::value(name) {
            Some(_) => Ok(()),
            None => Err(format!("the constant {name} is not known")),
        },
        Expr::Or(left, right) => known(left).and_then(|()| known(right)),
        Expr::List(items) | Expr::Apply(_, items) => items.iter().try_for_each(known),
        Expr::Struct(fields) => fields.iter().try_for_each(|field| known(&field.value)),
        Expr::Named(_, value) => known(value),
        Expr::Ellipsis | Expr::Int(_) | Expr::Str(_) | Expr::Ip(_) => Ok(()),
    }
}
