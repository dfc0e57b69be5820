//! `lab shrink`: a failing run made small, and the command that shows it again.

use super::super::Failure;
use super::super::report::{json_line, untold};
use super::subject::{Subject, quoted};
use crate::lab::shrink::{Progress, ShrinkError, Shrunk, shrink_while};
use crate::runtime::{Clock, interrupt};
use indicatif::ProgressBar;
use serde_json::json;
use stack::time::{Duration, Instant};
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

const EXAMPLES: &str = "Examples:
  tapline lab shrink mine.toml --seed 7
  tapline lab shrink mine.toml --seed 7 --out small.toml";

/// Make a failing run small: fewer faults, clients, packets, nodes, and the same assertion fails.
///
/// Writes the smaller network to a file and prints its script, what in it is not only left out but
/// changed, and the command that runs it. Exits with 0 where there was something to shrink, with 1
/// where everything holds. ^C ends it with the smallest so far, and exits with 130.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A topology (TOML), or a scenario by its name.
    #[arg(value_name = "FILE|NAME")]
    subject: String,

    /// The seed that fails [default: the topology's, else 1].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Where to write the smaller network; "-" prints it only [default: NAME-SEED-small.toml].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Replace the file that is there; never the one that is shrunk.
    #[arg(long)]
    force: bool,

    /// One object: seed, failure, script, changed, topology, replay.
    #[arg(long)]
    json: bool,
}

/// Shrinks it.
///
/// # Errors
/// Exit code 1 where everything holds, 2 for a bad topology, 3 where the file cannot be written.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let subject = Subject::find(&args.subject)?;
    let seed = subject.seed(args.seed);
    let path = args
        .out
        .clone()
        .unwrap_or_else(|| name(&subject.word, seed));
    let printed = path.as_os_str() == "-";
    if !printed {
        spare(&path, Path::new(&subject.word), args.force)?;
    }
    let stop = interrupt::flag()?;
    let mut bar = Spinner::new();
    let shrunk = shrink_while(&subject.topology, seed, &mut |p| {
        bar.show(p);
        !stop.load(Ordering::Relaxed)
    });
    drop(bar);
    let shrunk = shrunk.map_err(|e| match e {
        ShrinkError::Topology(e) => subject.locate(e),
        ShrinkError::Stopped => Failure::stopped(e.to_string()),
        ShrinkError::Holds => Failure {
            remedy: Some(format!(
                "tapline lab run {} --seeds 0..1000   # finds seeds that fail",
                quoted(&subject.word)
            )),
            ..Failure::unmet(format!(
                "with seed {seed} everything holds: nothing to shrink"
            ))
        },
    })?;
    let toml = shrunk.topology.to_toml();
    if !printed {
        let written = fs::write(&path, &toml);
        let cannot = |e: io::Error| {
            Failure::lacks(
                format!("{}: {e}", path.display()),
                "--out with another file",
            )
        };
        written.map_err(cannot)?;
    }
    let replay = format!(
        "tapline lab run {} --seed {}",
        quoted(&path.to_string_lossy()),
        shrunk.seed
    );
    let mut out = io::stdout().lock();
    let told = match args.json {
        true => json_line(&mut out, &object(&shrunk, &toml, &replay)),
        false => out.write_all(words(&shrunk, &toml, &replay, printed).as_bytes()),
    };
    told.map_err(untold)?;
    match shrunk.stopped {
        true => Err(Failure::stopped("stopped: it may be made smaller yet")),
        false => Ok(ExitCode::SUCCESS),
    }
}

/// That nothing is lost by writing there: said before the work, not after it.
fn spare(path: &Path, input: &Path, force: bool) -> Result<(), Failure> {
    if !path.exists() {
        return Ok(());
    }
    let real = |path: &Path| fs::canonicalize(path).ok();
    let shown = path.display();
    if real(path) == real(input) {
        return Err(Failure {
            remedy: Some("--out with another file".to_owned()),
            ..Failure::usage(format!("{shown} is what is to be shrunk"))
        });
    }
    match force {
        true => Ok(()),
        false => Err(Failure {
            remedy: Some("--force to replace it, or --out with another file".to_owned()),
            ..Failure::usage(format!("{shown} is there already"))
        }),
    }
}

fn object(shrunk: &Shrunk, toml: &str, replay: &str) -> serde_json::Value {
    json!({
        "seed": shrunk.seed,
        "failure": shrunk.failure,
        "packets": shrunk.packets,
        "runs": shrunk.runs,
        "script": shrunk.topology.faults.to_string(),
        "changed": shrunk.changed,
        "topology": toml,
        "replay": replay,
    })
}

fn words(shrunk: &Shrunk, toml: &str, replay: &str, printed: bool) -> String {
    use crate::lab::units::many;
    let topology = &shrunk.topology;
    let mut out = format!(
        "seed {} fails still: {}\n{}, {}, {}, {}, {}, found in {}\n",
        shrunk.seed,
        shrunk.failure,
        many(shrunk.packets, "packet"),
        many(topology.faults.lines.len() as u64, "fault line"),
        many(topology.clients.len() as u64, "client"),
        many(topology.nodes.len() as u64, "node"),
        many(topology.wires.len() as u64, "wire"),
        many(shrunk.runs, "run"),
    );
    let script = topology.faults.to_string();
    out.push_str("\nscript\n");
    for line in script.lines() {
        out.push_str(&format!("  {line}\n"));
    }
    if script.is_empty() {
        out.push_str("  (none: it fails without any fault)\n");
    }
    if !shrunk.changed.is_empty() {
        out.push_str("\nchanged, besides what is left out\n");
    }
    for change in &shrunk.changed {
        out.push_str(&format!("  {change}\n"));
    }
    out.push_str("\ntopology\n");
    for line in toml.lines() {
        // What is printed only is to be cut out and kept.
        out.push_str(if printed || line.is_empty() { "" } else { "  " });
        out.push_str(line);
        out.push('\n');
    }
    match printed {
        true => out.push_str("\nagain: with the topology above in a file\n"),
        false => out.push_str(&format!("\nagain: {replay}\n")),
    }
    out
}

/// `mine.toml` and 7 give `mine-7-small.toml`, where we are.
fn name(word: &str, seed: u64) -> PathBuf {
    let stem = Path::new(word).file_stem().unwrap_or_default();
    PathBuf::from(format!("{}-{seed}-small.toml", stem.to_string_lossy()))
}

/// Shown where it takes more than a second: on a terminal all the time, elsewhere a line now and
/// then.
struct Spinner {
    clock: Clock,
    terminal: bool,
    /// When it is shown next.
    next: Instant,
    bar: Option<ProgressBar>,
}

/// Between two lines where standard error is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Between two looks of the bar.
const TICK: Duration = Duration::from_millis(100);

impl Spinner {
    fn new() -> Self {
        Self {
            clock: Clock::start(),
            terminal: io::stderr().is_terminal(),
            next: Instant::ZERO + Duration::from_secs(1),
            bar: None,
        }
    }

    fn show(&mut self, progress: &Progress) {
        let now = self.clock.now();
        if now < self.next {
            return;
        }
        let words = words_of(progress);
        if !self.terminal {
            eprintln!("tapline: {words}");
            self.next = now + LINE_EVERY;
            return;
        }
        self.next = now + TICK;
        let bar = self.bar.get_or_insert_with(ProgressBar::new_spinner);
        bar.set_message(words);
        bar.tick();
    }
}

fn words_of(progress: &Progress) -> String {
    let Progress { stage, runs, .. } = progress;
    if progress.packets == 0 {
        // Nothing has failed yet.
        return (*stage).to_owned();
    }
    format!(
        "{stage}: {runs} runs, {} packets, {} fault lines, {} clients, {} nodes left",
        progress.packets, progress.faults, progress.clients, progress.nodes,
    )
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_network_has_a_name_of_its_own() {
        assert_eq!(name("mine.toml", 7), PathBuf::from("mine-7-small.toml"));
        assert_eq!(name("dir/arp", 1), PathBuf::from("arp-1-small.toml"));
    }
}
