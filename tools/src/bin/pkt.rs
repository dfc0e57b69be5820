//! `pkt`: runs packet scripts against this stack, in virtual time.

use clap::{Parser, ValueEnum};
use std::collections::BTreeSet;
use std::io::Write;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use tools::pkt::{Options, Outcome, Place, Report, mode_asked, run};
use tools::posix::{Mode, Profile};

/// Runs packetdrill scripts against this stack: no root, no device, virtual time.
///
/// Prints a line for each script (ok, FAIL and what differs, or "cannot run" and which statement
/// is why) as soon as it is done, then `N of M pass`. Ends with 0 only where all pass.
///
/// Folders are searched as find(1) does: links to folders are not followed.
#[derive(Parser)]
#[command(name = "pkt", after_help = EXAMPLES)]
struct Args {
    /// Scripts, and folders of scripts.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Whose defaults the stack takes.
    ///
    /// What a collection sets besides (its defaults.sh) holds for scripts that call it.
    #[arg(long, value_enum, default_value = "linux")]
    profile: ProfileArg,
    /// Which sockets over which wire.
    ///
    /// A script's own --ip_version comes first, and then its name: `…v6.pkt` runs in v6 alone,
    /// `…v4.pkt` in v4 and mapped alone.
    #[arg(long, value_enum, default_value = "v4")]
    mode: ModeArg,
    /// A name that scripts find defined.
    #[arg(short = 'D', long = "define", value_name = "NAME=VALUE")]
    defines: Vec<String>,
    /// Only scripts whose path has this in it.
    #[arg(long, value_name = "SUBSTR")]
    only: Option<String>,
    /// Print the whole exchange of each script.
    #[arg(short, long)]
    verbose: bool,
    /// One JSON object a script, then one for the sum.
    #[arg(long)]
    json: bool,
    /// Run them over and over for two seconds, and tell how many a second.
    #[arg(long)]
    bench: bool,
}

const EXAMPLES: &str = "Examples:
  pkt tests/scripts
  pkt --mode all --only sack path/to/linux/tools/testing/selftests/net/packetdrill
  pkt -v tests/scripts/rfc9293/3.5-passive-open.pkt
  pkt --profile freebsd --json collection/ > result.jsonl";

#[derive(Clone, Copy, ValueEnum)]
enum ProfileArg {
    Linux,
    Freebsd,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeArg {
    V4,
    Mapped,
    V6,
    All,
}

/// One script in one mode.
struct Case {
    path: PathBuf,
    /// Or why it cannot be read.
    text: Result<String, String>,
    options: Options,
}

impl Case {
    const fn mode(&self) -> &'static str {
        match self.options.mode {
            Mode::V4 => "v4",
            Mode::Mapped => "mapped",
            Mode::V6 => "v6",
        }
    }

    /// Runs it; a fault of the runner's own is no reason to leave others without a word.
    fn report(&self) -> Report {
        let cannot = |why: String| Report {
            outcome: Outcome::Cannot {
                at: Place { line: 1, column: 1 },
                why,
            },
            exchange: Vec::new(),
        };
        match &self.text {
            Err(why) => cannot(why.clone()),
            Ok(text) => catch_unwind(|| run(&self.path, text, &self.options))
                .unwrap_or_else(|_| cannot("the runner is at fault: it panicked".to_owned())),
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let cases = match cases(&args) {
        Ok(cases) => cases,
        Err(why) => {
            eprintln!("pkt: {why}");
            return ExitCode::from(2);
        }
    };
    if args.bench {
        return bench(&cases);
    }
    match list(&args, &cases) {
        Ok(code) => code,
        Err(why) if why.kind() == std::io::ErrorKind::BrokenPipe => UNREAD.into(),
        Err(why) => {
            eprintln!("pkt: {why}");
            ExitCode::from(2)
        }
    }
}

/// How a program ends that SIGPIPE ends: whoever reads has seen enough.
const UNREAD: u8 = 128 + 13;

/// Runs all, and tells of each when it is done: what comes after it may not end.
fn list(args: &Args, cases: &[Case]) -> std::io::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let several = args.mode == ModeArg::All;
    let (mut passed, mut failed, mut unable) = (0usize, 0usize, 0usize);
    for case in cases {
        let report = case.report();
        match report.outcome {
            Outcome::Pass => passed += 1,
            Outcome::Fail { .. } => failed += 1,
            Outcome::Cannot { .. } => unable += 1,
        }
        if args.json {
            writeln!(out, "{}", as_json(case, &report))?;
        } else {
            print(&mut out, case, &report, several, args.verbose)?;
        }
    }
    let total = cases.len();
    if args.json {
        let sum = serde_json::json!({
            "pass": passed, "of": total, "fail": failed, "cannot": unable
        });
        writeln!(out, "{sum}")?;
    } else {
        writeln!(out, "{passed} of {total} pass")?;
    }
    out.flush()?;
    Ok(ExitCode::from(u8::from(passed != total)))
}

/// Every script in every mode it is to run in, in the order of their names.
fn cases(args: &Args) -> Result<Vec<Case>, String> {
    let mut paths = Vec::new();
    let mut seen = BTreeSet::new();
    for path in &args.paths {
        std::fs::symlink_metadata(path)
            .and_then(|_| walk(path, &mut seen, &mut paths))
            .map_err(|why| format!("{}: {why}", path.display()))?;
    }
    if let Some(part) = &args.only {
        paths.retain(|path| path.to_string_lossy().contains(part.as_str()));
    }
    if paths.is_empty() {
        return Err("no script to run was found".to_owned());
    }
    let mut defines = tools::pkt::tree::Defines::new();
    for define in &args.defines {
        let Some((name, value)) = define.split_once('=') else {
            return Err(format!("-D {define}: not NAME=VALUE"));
        };
        defines.insert(name.to_owned(), value.to_owned());
    }
    let profile = match args.profile {
        ProfileArg::Linux => Profile::Linux,
        ProfileArg::Freebsd => Profile::FreeBsd,
    };
    let asked: &[Mode] = match args.mode {
        ModeArg::V4 => &[Mode::V4],
        ModeArg::Mapped => &[Mode::Mapped],
        ModeArg::V6 => &[Mode::V6],
        ModeArg::All => &[Mode::V4, Mode::Mapped, Mode::V6],
    };
    let mut cases = Vec::new();
    for path in paths {
        let text = read(&path);
        let only = text.as_deref().ok().and_then(mode_asked);
        let modes = only.map_or_else(|| named(&path, asked), |mode| vec![mode]);
        for mode in modes {
            let options = Options {
                profile,
                mode,
                defines: defines.clone(),
            };
            cases.push(Case {
                path: path.clone(),
                text: text.clone(),
                options,
            });
        }
    }
    Ok(cases)
}

/// The modes that a script's name leaves of those that are asked for, or those that it names.
fn named(path: &Path, asked: &[Mode]) -> Vec<Mode> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let fits = |mode: &Mode| match mode {
        Mode::V6 => !stem.ends_with("v4"),
        Mode::V4 | Mode::Mapped => !stem.ends_with("v6"),
    };
    let left: Vec<Mode> = asked.iter().copied().filter(fits).collect();
    match (left.is_empty(), stem.ends_with("v6")) {
        (false, _) => left,
        (true, true) => vec![Mode::V6],
        (true, false) => vec![Mode::V4],
    }
}

/// Longer than any script.
const LONGEST: u64 = 16 << 20;

/// A script's text. A pipe would let us wait, and a device would have no end.
fn read(path: &Path) -> Result<String, String> {
    let told = |why: std::io::Error| format!("it cannot be read: {why}");
    let about = std::fs::metadata(path).map_err(told)?;
    if about.is_dir() {
        return match std::fs::read_dir(path) {
            Err(why) => Err(format!("the folder cannot be read: {why}")),
            Ok(_) => Err("it is a folder".to_owned()),
        };
    }
    if !about.is_file() {
        return Err("it is no file".to_owned());
    }
    if about.len() > LONGEST {
        return Err(format!("it has {} bytes, which no script has", about.len()));
    }
    let bytes = std::fs::read(path).map_err(told)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Finds scripts; `seen` has the folders that were looked at, which may be named again. A link to a
/// folder is none of those within: it may lead anywhere.
fn walk(
    path: &Path,
    seen: &mut BTreeSet<PathBuf>,
    found: &mut Vec<PathBuf>,
) -> std::io::Result<()> {
    if !path.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    if !seen.insert(path.canonicalize()?) {
        return Ok(());
    }
    let mut inside = std::fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    inside.sort();
    for path in inside {
        let (real, link) = (path.is_dir(), path.is_symlink());
        if real && !link || !real && path.extension().is_some_and(|ext| ext == "pkt") {
            // One that cannot be opened is told of in the list.
            if walk(&path, seen, found).is_err() {
                found.push(path);
            }
        }
    }
    Ok(())
}

fn print(
    out: &mut impl Write,
    case: &Case,
    report: &Report,
    several: bool,
    verbose: bool,
) -> std::io::Result<()> {
    let name = case.path.display();
    let mode = if several {
        format!(" [{}]", case.mode())
    } else {
        String::new()
    };
    match &report.outcome {
        Outcome::Pass => writeln!(out, "ok         {name}{mode}")?,
        Outcome::Cannot { at, why } => {
            writeln!(out, "cannot run {name}{mode}: line {}: {why}", at.line)?;
        }
        Outcome::Fail { at, why, details } => {
            writeln!(out, "FAIL       {name}:{}{mode}: {why}", at.line)?;
            for line in details {
                writeln!(out, "             {line}")?;
            }
        }
    }
    if verbose {
        for line in &report.exchange {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(())
}

fn as_json(case: &Case, report: &Report) -> serde_json::Value {
    let (result, at, why, details) = match &report.outcome {
        Outcome::Pass => ("ok", None, None, None),
        Outcome::Cannot { at, why } => ("cannot run", Some(at), Some(why), None),
        Outcome::Fail { at, why, details } => ("FAIL", Some(at), Some(why), Some(details)),
    };
    serde_json::json!({
        "script": case.path.to_string_lossy(),
        "mode": case.mode(),
        "result": result,
        "line": at.map(|at| at.line),
        "why": why,
        "details": details,
    })
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn bench(cases: &[Case]) -> ExitCode {
    let start = Instant::now();
    let (mut runs, mut passed) = (0u64, 0u64);
    while start.elapsed().as_secs() < 2 && !cases.is_empty() {
        for case in cases {
            let report = case.report();
            passed += u64::from(report.outcome == Outcome::Pass);
            runs += 1;
        }
    }
    let secs = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate, rounded")]
    let rate = runs as f64 / secs.max(1e-9);
    println!("{runs} runs ({passed} pass) in {secs:.2} s on one core: {rate:.0} scripts a second");
    ExitCode::SUCCESS
}
