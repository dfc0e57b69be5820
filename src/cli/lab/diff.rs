//! `lab diff`: the first event in which two runs differ.
//!
//! ```text
//!   A: World or trace --event--+
//!                              +-- equal: on     differ: the last few, then both
//!   B: World or trace --event--+
//! ```
//!
//! Promises: neither run is kept; what is remembered is the last few events. Two runs of worlds with
//! the same names are compared event by event, bytes and all; otherwise as the lines of a trace. Either
//! way what differs is told in words.

use super::super::Failure;
use super::super::progress::Progress;
use super::super::report::untold;
use super::subject::Subject;
use crate::dissect::{Dissector, Span, text};
use crate::lab::World;
use crate::lab::export::Directory;
use crate::lab::export::json::Json;
use crate::lab::trace::{Event, Kind};
use serde_json::{Map, Value};
use stack::frame::Frame;
use stack::time::Instant;
use stack::wire::pcap::LinkType;
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  tapline lab diff arp@1 arp@2
  tapline lab diff mine.toml changed.toml
  tapline lab diff monday.jsonl tuesday.jsonl";

/// The first event in which two runs differ, and a few before it.
///
/// Exits with 0 where they are equal, with 1 where they differ.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A topology or a scenario, with its seed after an `@`; or a trace (.jsonl).
    #[arg(value_name = "A")]
    a: String,

    /// The other.
    #[arg(value_name = "B")]
    b: String,

    /// Events to show before the one that differs.
    #[arg(long, value_name = "N", default_value_t = 5)]
    context: usize,
}

/// Compares them.
///
/// # Errors
/// Exit code 2 where one of them is not there or makes no sense.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let (a, b) = (Source::open(&args.a)?, Source::open(&args.b)?);
    let mut progress = Progress::counting(a.len(), false, a.len() / 1000 + 1, TEMPLATE);
    let told = match (a, b) {
        (Source::Run(mut a), Source::Run(mut b)) if a.names_are(&b) => {
            let mut seek = Seek::new(args.context);
            let found = seek.first(|| {
                let event = a.next();
                progress.reach(event.as_ref().map_or(0, |e: &Event| e.at.as_nanos()));
                Ok((event, b.next()))
            })?;
            seek.tell(args, found, |event| in_words(&a.names, event), why)
        }
        (mut a, mut b) => {
            let apart = apart(&a, &b);
            let mut seek = Seek::new(args.context);
            let found = seek.first(|| {
                let line = a.line()?;
                progress.reach(a.position());
                Ok((line, b.line()?))
            })?;
            let (text, equal) = seek.tell(args, found, |line| said(line), |a, b| keys(a, b));
            (format!("{apart}{text}"), equal)
        }
    };
    drop(progress);
    let (text, equal) = told;
    // Of a trace, any file may say anything.
    let text = crate::lab::units::shown(&text);
    io::stdout().write_all(text.as_bytes()).map_err(untold)?;
    Ok(if equal {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

const TEMPLATE: &str = "[{bar:30}] {percent}% of A";

/// Where events come from.
enum Source {
    Run(Box<Run>),
    File(Lines),
}

impl Source {
    fn open(word: &str) -> Result<Self, Failure> {
        if Path::new(word).is_dir() {
            return Err(Failure {
                remedy: Some("a trace in it, or a topology".to_owned()),
                ..Failure::usage(format!("{word} is a directory"))
            });
        }
        if Path::new(word).extension().is_some_and(|e| e == "jsonl") {
            return Lines::open(word).map(Self::File);
        }
        let (subject, seed) = Subject::find_with_seed(word)?;
        Run::new(subject, seed).map(|run| Self::Run(Box::new(run)))
    }

    fn line(&mut self) -> Result<Option<String>, Failure> {
        match self {
            Self::Run(run) => Ok(run.line()),
            Self::File(lines) => lines.next(),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Run(run) => run.end.as_nanos(),
            Self::File(lines) => lines.len,
        }
    }

    fn position(&self) -> u64 {
        match self {
            Self::Run(run) => run.world.now().as_nanos(),
            Self::File(lines) => lines.read,
        }
    }
}

/// A run that goes on as its events are asked for.
struct Run {
    subject: Subject,
    seed: u64,
    world: World,
    names: Directory,
    json: Json,
    end: Instant,
    over: bool,
}

impl Run {
    fn new(subject: Subject, seed: u64) -> Result<Self, Failure> {
        let look = super::record::Look {
            watch: true,
            tcp_log: false,
        };
        let world = super::play::build(&subject, seed, look, Vec::new())?;
        Ok(Self {
            names: Directory::of(&world),
            json: Json::default(),
            end: subject.topology.end(),
            over: false,
            subject,
            seed,
            world,
        })
    }

    /// Whether numbers of nodes and wires mean the same in both.
    fn names_are(&self, other: &Self) -> bool {
        self.nodes() == other.nodes() && self.wires() == other.wires()
    }

    fn nodes(&self) -> Vec<String> {
        let nodes = self.world.nodes();
        nodes.map(|(_, n)| n.name().to_owned()).collect()
    }

    fn wires(&self) -> Vec<String> {
        let wires = self.world.wires();
        wires.map(|(_, w)| w.name.to_string()).collect()
    }

    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.world.poll_trace() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            if !self.world.step_until(self.end) {
                self.over = true;
                self.world.run_until(self.end);
                let _ = self.subject.topology.judge(self.seed, &mut self.world);
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        let event = self.next()?;
        self.json.event(&self.names, &event);
        let bytes = self.json.take();
        Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }
}

/// The lines of a trace.
struct Lines {
    word: String,
    file: BufReader<File>,
    len: u64,
    read: u64,
}

impl Lines {
    fn open(word: &str) -> Result<Self, Failure> {
        let wrong = |e: io::Error| Failure::usage(format!("{word}: {e}"));
        let file = File::open(word).map_err(wrong)?;
        let about = file.metadata().map_err(wrong)?;
        if about.is_file() && about.len() == 0 {
            return Err(Failure::usage(format!("{word}: an empty file is no trace")));
        }
        Ok(Self {
            len: about.len(),
            word: word.to_owned(),
            file: BufReader::new(file),
            read: 0,
        })
    }

    fn next(&mut self) -> Result<Option<String>, Failure> {
        let mut line = String::new();
        let n = self.file.read_line(&mut line);
        let n = n.map_err(|e| Failure::usage(format!("{}: {e}", self.word)))?;
        self.read += n as u64;
        line.truncate(line.trim_end().len());
        Ok((n > 0).then_some(line))
    }
}

/// What each says next; nothing where it is over.
type Pair<T> = (Option<T>, Option<T>);

/// What both said last, and how much before that.
struct Seek<T> {
    context: usize,
    last: VecDeque<T>,
    equal: u64,
}

impl<T: PartialEq> Seek<T> {
    const fn new(context: usize) -> Self {
        Self {
            context,
            last: VecDeque::new(),
            equal: 0,
        }
    }

    /// The first pair that differs; `None` where both end as equals.
    fn first(
        &mut self,
        mut next: impl FnMut() -> Result<Pair<T>, Failure>,
    ) -> Result<Option<Pair<T>>, Failure> {
        loop {
            match next()? {
                (None, None) => return Ok(None),
                (Some(a), Some(b)) if a == b => {
                    self.equal += 1;
                    self.last.push_back(a);
                    if self.last.len() > self.context {
                        self.last.pop_front();
                    }
                }
                pair => return Ok(Some(pair)),
            }
        }
    }

    fn tell(
        &self,
        args: &Args,
        found: Option<Pair<T>>,
        words: impl Fn(&T) -> String,
        why: impl Fn(&T, &T) -> Option<String>,
    ) -> (String, bool) {
        let Some((a, b)) = found else {
            return (format!("equal: {} events\n", self.equal), true);
        };
        let mut out = format!("equal for {} events, then not:\n", self.equal);
        for event in &self.last {
            out.push_str(&format!("    {}\n", words(event)));
        }
        let side = |of: &Option<T>| match of {
            Some(event) => words(event),
            None => "(ends here)".to_owned(),
        };
        out.push_str(&format!("A   {}\nB   {}\n", side(&a), side(&b)));
        if let (Some(a), Some(b)) = (&a, &b)
            && let Some(why) = why(a, b)
        {
            out.push_str(&format!("differ in {why}\n"));
        }
        out.push_str(&format!("A is {}, B is {}\n", args.a, args.b));
        (out, false)
    }
}

/// That two runs are of different networks, and what only one of them has.
fn apart(a: &Source, b: &Source) -> String {
    let (Source::Run(a), Source::Run(b)) = (a, b) else {
        return String::new();
    };
    let mut parts = Vec::new();
    for (kind, of_a, of_b) in [
        ("node", a.nodes(), b.nodes()),
        ("wire", a.wires(), b.wires()),
    ] {
        for (side, of, other) in [("A", &of_a, &of_b), ("B", &of_b, &of_a)] {
            let other: BTreeSet<&String> = other.iter().collect();
            let only: Vec<&str> = of
                .iter()
                .filter(|n| !other.contains(n))
                .map(String::as_str)
                .collect();
            let more = only.len().saturating_sub(NAMED);
            if !only.is_empty() {
                let s = if only.len() == 1 { "" } else { "s" };
                let mut names = only
                    .iter()
                    .take(NAMED)
                    .copied()
                    .collect::<Vec<_>>()
                    .join(", ");
                if more > 0 {
                    names.push_str(&format!(" and {more} more"));
                }
                parts.push(format!("only {side} has the {kind}{s} {names}"));
            }
        }
    }
    if parts.is_empty() {
        parts.push("they have the same nodes and wires in another order".to_owned());
    }
    format!("these are two networks: {}\n", parts.join("; "))
}

/// Nodes or wires that are named one by one.
const NAMED: usize = 5;

/// A line of a trace in words; as it is, where it is none.
fn said(line: &str) -> String {
    let Ok(Value::Object(event)) = serde_json::from_str(line) else {
        return line.to_owned();
    };
    let text = |key: &str| match event.get(key) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let nanos = event.get("t").and_then(Value::as_u64).unwrap_or_default();
    let kind = text("kind");
    let what = match kind.as_str() {
        "send" => format!("{} to {}: {}", text("wire"), text("to"), text("text")),
        "arrive" => {
            let why = ["consumer", "reason"].map(|key| event.get(key).and_then(Value::as_str));
            let why: String = why.iter().flatten().map(|w| format!(" ({w})")).collect();
            let marks = event.get("marks").and_then(Value::as_array);
            let marks = marks.into_iter().flatten().filter_map(Value::as_str);
            let marks: String = marks.map(|m| format!(" [{m}]")).collect();
            let (wire, packet, fate) = (text("wire"), text("packet"), text("fate"));
            format!("{wire}: {packet}{marks}: {fate}{why}")
        }
        "drop" => {
            let place = match text("wire").as_str() {
                "-" => "here".to_owned(),
                wire => format!("on {wire}"),
            };
            let (packet, reason, count) = (text("packet"), text("reason"), text("count"));
            format!("{place}: {packet}: {reason} x{count} {}", text("detail"))
        }
        "note" => format!("{}: {} {}", text("program"), text("name"), text("text")),
        "state" => text("view"),
        "fault" => format!("line {}: {}", text("line"), text("text")),
        "verdict" => {
            let holds = event.get("holds") == Some(&Value::Bool(true));
            let holds = if holds { "holds" } else { "fails" };
            format!("{} ({holds})", text("assertion"))
        }
        _ => String::new(),
    };
    let time = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    let line = format!("{time} #{} {} {kind} {what}", text("seq"), text("node"));
    line.trim_end().to_owned()
}

/// The keys in which two lines of a trace differ.
fn keys(a: &str, b: &str) -> Option<String> {
    let parsed = |line| serde_json::from_str::<Map<String, Value>>(line).ok();
    let (a, b) = (parsed(a)?, parsed(b)?);
    let all: BTreeSet<&String> = match a.get("kind") == b.get("kind") {
        true => a.keys().chain(b.keys()).collect(),
        // What only one kind has says nothing more.
        false => a.keys().filter(|key| b.contains_key(*key)).collect(),
    };
    let differ = all.into_iter().filter(|key| a.get(*key) != b.get(*key));
    let differ: Vec<&str> = differ.map(String::as_str).collect();
    (!differ.is_empty()).then(|| differ.join(", "))
}

/// An event as one line.
fn in_words(names: &Directory, event: &Event) -> String {
    let node = event.node.map_or("-", |id| names.node(id));
    let nanos = event.at.as_nanos();
    let time = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    let (kind, what) = (event.kind.name(), what(names, &event.kind));
    let line = format!("{time} #{} {node} {kind} {what}", event.seq);
    line.trim_end().to_owned()
}

fn what(names: &Directory, kind: &Kind) -> String {
    match kind {
        Kind::Send { lane, frame, .. } => format!("{}: {}", names.lane(*lane), phrase(frame)),
        Kind::Arrive {
            lane,
            frame,
            marks,
            fate,
            ..
        } => {
            let marks: String = marks.names().map(|m| format!(" [{m}]")).collect();
            format!("{}: {}{marks}: {fate}", names.lane(*lane), phrase(frame))
        }
        Kind::Drop {
            lane,
            frame,
            reason,
            detail,
            count,
            ..
        } => {
            let lane = lane
                .map(|l| format!("{}: ", names.lane(l)))
                .unwrap_or_default();
            let frame = frame.as_ref().map(|f| format!("{}: ", phrase(f)));
            let frame = frame.unwrap_or_default();
            format!("{lane}{frame}{} x{count} {detail}", reason.name())
        }
        Kind::Timer => String::new(),
        Kind::Note {
            program,
            name,
            text,
        } => format!("{program}: {name} {text}"),
        Kind::State { view } => view.clone(),
        Kind::Fault { line, text } => format!("line {line}: {text}"),
        Kind::Verdict { text, holds } => {
            format!("{text} ({})", if *holds { "holds" } else { "fails" })
        }
    }
}

fn phrase(frame: &Frame) -> String {
    let mut frame = frame.clone();
    frame.complete_checksum();
    let bytes = frame.to_bytes();
    text::phrase(
        LinkType::ETHERNET,
        Span::whole(&bytes),
        &mut Dissector::default(),
    )
}

/// Where two events differ that look alike.
fn why(a: &Event, b: &Event) -> Option<String> {
    let mut parts = Vec::new();
    if a.at != b.at {
        let (first, then) = (a.at.min(b.at), a.at.max(b.at));
        parts.push(format!("time, by {} ns", then.since(first).as_nanos()));
    }
    if a.node != b.node {
        parts.push("node".to_owned());
    }
    if a.kind.name() != b.kind.name() {
        parts.push("kind".to_owned());
    } else if a.kind != b.kind {
        parts.push(match (frame_of(&a.kind), frame_of(&b.kind)) {
            (Some(a), Some(b)) if a != b => {
                let (a, b) = (a.to_bytes(), b.to_bytes());
                let at = a.iter().zip(&b).position(|(a, b)| a != b);
                let at = at.unwrap_or(a.len().min(b.len()));
                format!(
                    "the frame, from byte {at} on ({} and {} bytes)",
                    a.len(),
                    b.len()
                )
            }
            _ => "what it says".to_owned(),
        });
    }
    if a.cause != b.cause {
        parts.push(format!("cause (#{} and #{})", a.cause, b.cause));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

const fn frame_of(kind: &Kind) -> Option<&Frame> {
    match kind {
        Kind::Send { frame, .. } | Kind::Arrive { frame, .. } => Some(frame),
        Kind::Drop { frame, .. } => frame.as_ref(),
        _ => None,
    }
}
