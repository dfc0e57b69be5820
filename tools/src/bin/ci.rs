//! The test command, `cargo ci`: every check that a change must pass, in the order in which a
//! reader wants to hear bad news.
//!
//! ```text
//!   packages -> fmt -> clippy -> test -> doctest -> doc -> interop -> grid      each commit
//!                                       seeds -> fuzz -> bulk -> bench          with --long
//! ```
//!
//! It stops at the first failure and says how to repeat it. All steps build the same workspace
//! with the same features and profile, so nothing but the lints is compiled twice; `cargo run`
//! has let go of the build lock before this program starts, so the cargo calls in here cannot wait
//! for the one that started them.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    match Request::parse(env::args().skip(1)) {
        Ok(Request::Help) => say(&help()),
        Ok(Request::List) => say(&list()),
        Ok(Request::Run(steps)) => {
            return if run_all(&steps, &Place::find()) {
                ExitCode::SUCCESS
            } else {
                1.into()
            };
        }
        Err(wrong) => {
            eprintln!("cargo ci: {wrong}\n{}", list());
            return 2.into();
        }
    }
    ExitCode::SUCCESS
}

/// One check.
struct Step {
    name: &'static str,
    about: &'static str,
    /// Only with `--long`, or by name.
    long: bool,
    run: fn(&Place) -> Outcome,
}

impl Step {
    const fn each(name: &'static str, about: &'static str, run: fn(&Place) -> Outcome) -> Self {
        let long = false;
        Self {
            name,
            about,
            long,
            run,
        }
    }

    const fn long(name: &'static str, about: &'static str, run: fn(&Place) -> Outcome) -> Self {
        let long = true;
        Self {
            name,
            about,
            long,
            run,
        }
    }
}

const STEPS: &[Step] = &[
    Step::each(
        "packages",
        "what the tests need of Debian; root installs it",
        packages,
    ),
    Step::each("fmt", "rustfmt has nothing to change", fmt_check),
    Step::each("clippy", "no warning in any target", clippy),
    Step::each("test", "unit tests, floors, replays, robustness", test),
    Step::each("doctest", "the examples in the docs run", doctest),
    Step::each("doc", "the docs build without a warning", doc),
    Step::each(
        "interop",
        "the kernel and real peers, in network namespaces",
        interop,
    ),
    Step::each("grid", "TCP over bad paths, smoltcp beside it", grid),
    Step::long(
        "seeds",
        "robustness tests and runs of the lab with many seeds",
        seeds,
    ),
    Step::long("fuzz", "a minute for each fuzz target", fuzz),
    Step::long(
        "bulk",
        "gibibytes of TCP between the kernel and us, over bad wires too",
        bulk,
    ),
    Step::long("bench", "all benchmarks, peers beside us", bench),
];

/// Debian's packages, a program of each, and what needs it.
const PACKAGES: &[(&str, &str, &str)] = &[
    ("iproute2", "ip", "namespaces, veth pairs, routes"),
    ("util-linux", "unshare", "namespaces without root"),
    ("iputils-ping", "ping", "echo"),
    ("iputils-tracepath", "tracepath", "path MTU"),
    ("iputils-arping", "arping", "ARP"),
    ("traceroute", "traceroute", "UDP, ICMP and TCP traces"),
    ("nmap", "nmap", "host, port and protocol scans"),
    ("hping3", "hping3", "packets that no kernel would send"),
    ("python3-scapy", "scapy", "malformed packets, VLAN peers"),
    ("socat", "socat", "datagrams of 60 KB"),
    ("tcpdump", "tcpdump", "what scapy compiles its filters with"),
    ("iperf3", "iperf3", "how much a wire carries"),
    ("curl", "curl", "pages over HTTP"),
    ("ndisc6", "ndisc6", "neighbour discovery"),
    ("radvd", "radvd", "a router that advertises"),
    ("wrk", "wrk", "a thousand connections"),
    ("netcat-openbsd", "nc.openbsd", "half-closed streams"),
];

/// How many seeds `--long` gives to tests that take `TAPLINE_SEEDS`.
const LONG_SEEDS: &str = "2000";
/// The same for runs of the lab, of which each is seconds of virtual time.
const LAB_SEEDS: &str = "1000";
/// Seconds for each fuzz target.
const FUZZ_SECONDS: u32 = 60;
/// Tests in namespaces start lines with this that name what they did not run: since only root can,
/// or since the product is known to fall short.
const NOT_RUN: &[&str] = &["left for root:", "not yet:"];

enum Request {
    Help,
    List,
    Run(Vec<&'static Step>),
}

impl Request {
    fn parse(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut long, mut named) = (false, BTreeSet::new());
        for arg in args {
            match arg.as_str() {
                "-h" | "--help" | "help" => return Ok(Self::Help),
                "--list" => return Ok(Self::List),
                "--long" => long = true,
                name => {
                    let at = STEPS.iter().position(|step| step.name == name);
                    named.insert(at.ok_or_else(|| format!("there is no step or option `{name}`"))?);
                }
            }
        }
        let wanted = |(at, step): &(usize, &Step)| {
            if named.is_empty() {
                long || !step.long
            } else {
                named.contains(at)
            }
        };
        Ok(Self::Run(
            STEPS
                .iter()
                .enumerate()
                .filter(wanted)
                .map(|(_, step)| step)
                .collect(),
        ))
    }
}

fn say(text: &str) {
    // A reader that closed the pipe (`cargo ci --help | head`) is no failure of ours.
    let _ = writeln!(io::stdout(), "{text}");
}

fn list() -> String {
    let line = |step: &Step| {
        format!(
            "  {:9} {}{}",
            step.name,
            step.about,
            if step.long { " (--long)" } else { "" }
        )
    };
    STEPS.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn help() -> String {
    format!(
        "Every check that a change must pass; stops at the first that fails.\n\n\
         usage: cargo ci [--long | STEP...]\n\n{}\n\n\
         examples:\n\
         \x20 cargo ci                everything that each commit must pass\n\
         \x20 cargo ci clippy test    only these, in the order above\n\
         \x20 cargo ci --long         and what takes long: seeds, fuzzing, benchmarks\n\
         \x20 cargo ci --list         the steps\n\n\
         Root gets missing Debian packages installed. An ordinary user is told the one line that\n\
         installs them, and which interop tests were left for root.",
        list()
    )
}

/// Why a step failed, and what repeats it.
struct Failure {
    what: String,
    again: Option<String>,
}

/// Lines for the closing summary, or why it failed.
type Outcome = Result<Vec<String>, Failure>;

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self { what, again: None }
    }
}

fn run_all(steps: &[&Step], place: &Place) -> bool {
    let start = Watch::start();
    let (mut times, mut notes) = (Vec::new(), Vec::new());
    for step in steps {
        say(&format!("\n== {}: {}", step.name, step.about));
        let watch = Watch::start();
        match (step.run)(place) {
            Ok(said) => notes.extend(said),
            Err(failure) => {
                say(&format!(
                    "\ncargo ci: {} failed after {watch}: {}",
                    step.name, failure.what
                ));
                if let Some(command) = failure.again {
                    say(&format!("  what it ran:  {command}"));
                }
                say(&format!("  to repeat it: cargo ci {}", step.name));
                return false;
            }
        }
        say(&format!("== {} ok, {watch}", step.name));
        times.push(format!("  {:9} {:>9}", step.name, watch.to_string()));
    }
    say(&format!("\n{}", times.join("\n")));
    for note in notes {
        say(&note);
    }
    say(&format!(
        "cargo ci: all {} steps passed in {start}",
        times.len()
    ));
    true
}

/// Where and as whom we run.
struct Place {
    root: PathBuf,
    cargo: OsString,
    is_root: bool,
}

impl Place {
    fn find() -> Self {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self {
            root: tools.parent().unwrap_or(tools).to_owned(),
            cargo: env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
            // The owner of /proc/self is the effective user, and asking takes no libc.
            is_root: fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0),
        }
    }

    fn cargo(&self, args: &str) -> Line {
        let mut command = Command::new(&self.cargo);
        command.args(args.split_whitespace());
        // What `cargo run` told us about the package `tools` is not true of what we start; left
        // in place it makes build scripts run again.
        for (key, _) in env::vars_os() {
            let name = key.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&key);
            }
        }
        Line::new(command, &self.root, format!("cargo {args}"))
    }

    fn program(&self, line: &str) -> Line {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        Line::new(command, &self.root, line.to_owned())
    }
}

/// A command and how a person would type it.
struct Line {
    command: Command,
    text: String,
}

impl Line {
    fn new(mut command: Command, dir: &Path, text: String) -> Self {
        command.current_dir(dir).stdin(Stdio::null());
        Self { command, text }
    }

    fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        let shown = if value.contains(' ') {
            format!("'{value}'")
        } else {
            value.to_owned()
        };
        self.text = format!("{key}={shown} {}", self.text);
        self
    }

    /// Runs it with our own output.
    fn run(mut self) -> Outcome {
        say(&format!("   {}", self.text));
        match self.command.status() {
            Ok(status) if status.success() => Ok(Vec::new()),
            Ok(status) => Err(self.failed(&status.to_string())),
            Err(error) => Err(self.failed(&error.to_string())),
        }
    }

    /// Runs it, shows its output, and keeps the lines that start with one of `marks`.
    fn run_and_keep(mut self, marks: &[&str]) -> Outcome {
        say(&format!("   {}", self.text));
        let mut child = match self.command.stdout(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) => return Err(self.failed(&error.to_string())),
        };
        let mut kept = Vec::new();
        for line in child
            .stdout
            .take()
            .into_iter()
            .flat_map(|out| BufReader::new(out).lines())
        {
            let line = line.unwrap_or_else(|error| format!("(unreadable line: {error})"));
            say(&line);
            if marks.iter().any(|mark| line.starts_with(mark)) {
                kept.push(line);
            }
        }
        match child.wait() {
            Ok(status) if status.success() => Ok(kept),
            Ok(status) => Err(self.failed(&status.to_string())),
            Err(error) => Err(self.failed(&error.to_string())),
        }
    }

    /// What it prints, or nothing where it cannot be run.
    fn output(mut self) -> Option<String> {
        let out = self.command.stderr(Stdio::null()).output().ok()?;
        Some(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    fn succeeds(mut self) -> bool {
        let quiet = self.command.stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    }

    fn failed(self, how: &str) -> Failure {
        Failure {
            what: how.to_owned(),
            again: Some(self.text),
        }
    }
}

fn packages(place: &Place) -> Outcome {
    let missing = missing_packages(place);
    if missing.is_empty() {
        say(&format!("   all {} are installed", PACKAGES.len()));
        return Ok(Vec::new());
    }
    let install = format!(
        "apt-get install -y --no-install-recommends {}",
        missing.join(" ")
    );
    for (package, _, why) in PACKAGES
        .iter()
        .filter(|(package, ..)| missing.contains(package))
    {
        say(&format!("   missing: {package} ({why})"));
    }
    if !place.is_root {
        return Err(format!("packages are missing. As root:\n\n  {install}\n").into());
    }
    // Old lists name versions that the archive has since dropped, so they are fetched anew.
    place
        .program("apt-get update -q")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()?;
    place
        .program(&install)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()?;
    match missing_packages(place).as_slice() {
        [] => Ok(Vec::new()),
        still => Err(format!("installed, and still not there: {}", still.join(" ")).into()),
    }
}

fn missing_packages(place: &Place) -> Vec<&'static str> {
    let names = PACKAGES
        .iter()
        .map(|(package, ..)| *package)
        .collect::<Vec<_>>()
        .join(" ");
    let query = format!("dpkg-query -W -f ${{Package}}:${{db:Status-Status}}\\n {names}");
    let installed = place.program(&query).output();
    let is_there = |package: &str, program: &str| match &installed {
        Some(list) => list
            .lines()
            .any(|line| line == format!("{package}:installed")),
        // Not Debian: then the program must do.
        None => in_path(program),
    };
    let missing = PACKAGES
        .iter()
        .filter(|(package, program, _)| !is_there(package, program));
    missing.map(|(package, ..)| *package).collect()
}

/// Looks where root's programs are too: an ordinary user's PATH may lack those folders.
fn in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders
        .into_iter()
        .any(|folder| folder.join(program).is_file())
}

fn fmt_check(place: &Place) -> Outcome {
    place.cargo("fmt --all --check").run()
}

fn clippy(place: &Place) -> Outcome {
    place
        .cargo("clippy --workspace --all-targets -- -D warnings")
        .run()
}

/// Not `--all-targets`, which would run the benchmarks; interop has a step of its own.
fn test(place: &Place) -> Outcome {
    place
        .cargo("test --workspace --lib --bins --tests -- --skip interop::")
        .run_and_keep(NOT_RUN)
}

fn doctest(place: &Place) -> Outcome {
    place.cargo("test --workspace --doc").run()
}

fn doc(place: &Place) -> Outcome {
    place
        .cargo("doc --workspace --no-deps")
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()
}

/// `--workspace` though it is one package's test: the features of all members hold, as in `test`,
/// and so nothing is built again.
fn interop(place: &Place) -> Outcome {
    place
        .cargo("test --workspace --test interop")
        .run_and_keep(NOT_RUN)
}

/// Minutes of virtual time in seconds of ours: only as the optimiser leaves it.
fn grid(place: &Place) -> Outcome {
    place
        .cargo("test --workspace --release --test grid")
        .run_and_keep(NOT_RUN)
}

fn seeds(place: &Place) -> Outcome {
    if !place.root.join("tests/robust.rs").is_file() {
        return Ok(vec!["seeds: there is no tests/robust.rs yet".to_owned()]);
    }
    let line = place.cargo("test --workspace --release --test robust");
    line.env("TAPLINE_SEEDS", LONG_SEEDS).run()?;
    let line = place.cargo("test -p tapline --release --test lab_runs");
    line.env("TAPLINE_SEEDS", LAB_SEEDS).run()?;
    let line = place.cargo("test --workspace --release --test grid");
    let line = line.env("TAPLINE_SEEDS", LONG_SEEDS);
    line.env("TAPLINE_GRID", "1").run()
}

/// cargo-fuzz asks for flags that only a nightly compiler takes; `RUSTC_BOOTSTRAP` lets the stable
/// one take them, in a target folder of its own so that nothing else is rebuilt.
fn fuzz(place: &Place) -> Outcome {
    if !place.root.join("tests/fuzz/Cargo.toml").is_file() {
        return Ok(vec![
            "fuzz: there are no targets in tests/fuzz yet".to_owned(),
        ]);
    }
    if !place.cargo("fuzz --version").succeeds() {
        place.cargo("install --locked cargo-fuzz").run()?;
    }
    let targets = place
        .cargo("fuzz list --fuzz-dir tests/fuzz")
        .output()
        .unwrap_or_default();
    if targets.trim().is_empty() {
        return Err("cargo fuzz lists no targets in tests/fuzz"
            .to_owned()
            .into());
    }
    for target in targets.split_whitespace() {
        // What the fuzzer finds worth keeping goes beside the build, not among the committed inputs.
        let found = format!("target/fuzz/corpus/{target}");
        fs::create_dir_all(place.root.join(&found)).map_err(|e| e.to_string())?;
        let args = format!(
            "fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz --sanitizer none {target} \
             {found} tests/fuzz/corpus/{target} -- \
             -max_total_time={FUZZ_SECONDS} -print_final_stats=1"
        );
        place.cargo(&args).env("RUSTC_BOOTSTRAP", "1").run()?;
    }
    Ok(Vec::new())
}

fn bulk(place: &Place) -> Outcome {
    let line = place.cargo("test --workspace --release --test interop -- interop::peer_bulk");
    line.env("TAPLINE_LONG", "1").run_and_keep(NOT_RUN)
}

fn bench(place: &Place) -> Outcome {
    let notes = place.cargo("bench --workspace --benches").run()?;
    if !place.is_root {
        let left = "left for root: bench ping over a TAP, bench wire, bench tcp";
        return Ok(vec![left.to_owned()]);
    }
    place.cargo("build --release").run()?;
    place
        .cargo("run --release -p tools --bin bench -- ping")
        .run()?;
    place
        .cargo("run --release -p tools --bin bench -- wire")
        .run()?;
    place
        .cargo("run --release -p tools --bin bench -- tcp")
        .run()?;
    Ok(notes)
}

/// Shows how long something took.
struct Watch(Instant);

impl Watch {
    #[expect(
        clippy::disallowed_methods,
        reason = "how long a step took is for people only"
    )]
    fn start() -> Self {
        Self(Instant::now())
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took: Duration = self.0.elapsed();
        match took.as_secs() {
            whole @ 100.. => write!(f, "{} min {:02} s", whole / 60, whole % 60),
            _ => write!(f, "{:.1} s", took.as_secs_f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PACKAGES, Request, STEPS, help};

    fn names(args: &[&str]) -> Result<Vec<&'static str>, String> {
        match Request::parse(args.iter().map(ToString::to_string))? {
            Request::Run(steps) => Ok(steps.iter().map(|step| step.name).collect()),
            _ => Ok(Vec::new()),
        }
    }

    #[test]
    fn steps_run_in_one_order_however_they_are_asked_for() {
        let usual = [
            "packages", "fmt", "clippy", "test", "doctest", "doc", "interop", "grid",
        ];
        assert_eq!(names(&[]).unwrap(), usual);
        assert_eq!(names(&["test", "fmt", "test"]).unwrap(), ["fmt", "test"]);
        assert_eq!(names(&["fuzz"]).unwrap(), ["fuzz"]);
        assert_eq!(names(&["--long"]).unwrap().len(), STEPS.len());
        assert!(names(&["tset"]).unwrap_err().contains("tset"));
    }

    #[test]
    fn help_names_each_step() {
        assert!(STEPS.iter().all(|step| help().contains(step.name)));
    }

    #[test]
    fn packages_are_named_once() {
        let mut seen: Vec<_> = PACKAGES.iter().map(|(package, ..)| package).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), PACKAGES.len());
    }
}
