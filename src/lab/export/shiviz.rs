//! A run as a log for ShiViz, which draws who could have known what.
//!
//! ```text
//!   (?<host>\S+) (?<clock>\{\S*\}) (?<time>\S+) (?<event>.*)        line 1: how to read the others
//!                                                                   line 2: empty, one execution
//!   a {"a":1} 0.010000000s timer
//!   a {"a":2} 0.010000000s send w: 10.0.0.1 > 10.0.0.2  ICMP  echo request, id 1, seq 1, 56 bytes
//!   b {"a":2,"b":1} 0.015000000s arrive w
//! ```
//!
//! The clocks are computed from causes: an event knows what its node knew, and what the event that
//! caused it knew. A node is a process; a wire that loses a frame is one too (`wire:w`), since its
//! sender does not know of the loss; what concerns the whole world happens at `(world)`.
//!
//! Promises: of two events, one's clock is below the other's exactly where causes and the order of
//! each process lead from one to the other. Memory is bounded: the clocks of the last [`KEPT`]
//! sendings and faults are kept; an arrival whose sending was forgotten knows only what its node knew.

use super::directory::Directory;
use super::text::phrase;
use crate::lab::ids::{NodeId, WireId};
use crate::lab::trace::{Event, Kind, Seq};
use stack::machine::Fate;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// Sendings whose clocks are kept.
pub const KEPT: usize = 1 << 16;

/// How each line is read.
const REGEX: &str = r"(?<host>\S+) (?<clock>\{\S*\}) (?<time>\S+) (?<event>.*)";

/// Where things happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Process {
    Node(NodeId),
    Wire(WireId),
    World,
}

type Clock = BTreeMap<Process, u64>;

/// Writes a log.
#[derive(Clone, Debug)]
pub struct Shiviz {
    clocks: BTreeMap<Process, Arc<Clock>>,
    /// What is known by who hears of these events.
    causes: BTreeMap<Seq, Arc<Clock>>,
    out: String,
}

impl Default for Shiviz {
    fn default() -> Self {
        Self {
            clocks: BTreeMap::new(),
            causes: BTreeMap::new(),
            out: format!("{REGEX}\n\n"),
        }
    }
}

impl Shiviz {
    /// Writes the line of an event.
    pub fn event(&mut self, names: &Directory, event: &Event) {
        let process = match (&event.kind, event.node) {
            (
                Kind::Drop {
                    lane: Some(lane), ..
                },
                _,
            ) => Process::Wire(lane.wire),
            (_, Some(node)) => Process::Node(node),
            (_, None) => Process::World,
        };
        let mut clock = self.clocks.remove(&process).unwrap_or_default();
        let own = Arc::make_mut(&mut clock);
        // The cause of a local event is in the node's clock already. Whatever took a frame, it was
        // sent before.
        let sent = match event.kind {
            Kind::Drop { frame_id, .. } => frame_id,
            _ => 0,
        };
        for cause in [event.cause, sent] {
            for (who, when) in self.causes.get(&cause).into_iter().flat_map(|c| c.iter()) {
                let known = own.entry(*who).or_default();
                *known = (*known).max(*when);
            }
        }
        *own.entry(process).or_default() += 1;
        if matches!(event.kind, Kind::Send { .. } | Kind::Fault { .. }) {
            self.causes.insert(event.seq, Arc::clone(&clock));
            if self.causes.len() > KEPT {
                self.causes.pop_first();
            }
        }
        self.write(names, event, process, &clock);
        self.clocks.insert(process, clock);
    }

    fn write(&mut self, names: &Directory, event: &Event, process: Process, clock: &Clock) {
        let _ = write!(self.out, "{} {{", host(names, process));
        for (i, (who, when)) in clock.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let _ = write!(self.out, "{comma}\"{}\":{when}", host(names, *who));
        }
        let words = words(names, &event.kind).replace(|c: char| c.is_control(), " ");
        let _ = writeln!(self.out, "}} {} {words}", event.at);
    }

    /// What was written since the last call.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out).into_bytes()
    }
}

/// A process's name, without what a line or its clock is cut at; with its number where something
/// had to go, so that no two are one.
fn host(names: &Directory, process: Process) -> String {
    let (name, number) = match process {
        Process::Node(id) => (names.node(id).to_owned(), id.0),
        Process::Wire(id) => (format!("wire:{}", names.wire(id)), id.0),
        Process::World => return "(world)".to_owned(),
    };
    let is_bad = |c: char| c.is_whitespace() || c.is_control() || "{}\"\\#".contains(c);
    if name.contains(is_bad) || name.is_empty() {
        return format!("{}#{number}", name.replace(is_bad, "_"));
    }
    name
}

fn words(names: &Directory, kind: &Kind) -> String {
    match kind {
        Kind::Send { lane, frame, .. } => {
            format!("send {}: {}", names.wire(lane.wire), phrase(frame))
        }
        Kind::Arrive {
            lane, fate, frame, ..
        } => {
            let refused = match fate {
                Fate::Dropped(reason) => format!(" [drop: {reason}]"),
                _ => String::new(),
            };
            format!(
                "arrive {}{refused}: {}",
                names.wire(lane.wire),
                phrase(frame)
            )
        }
        Kind::Drop {
            frame,
            reason,
            detail,
            count,
            ..
        } => {
            let frame = frame.as_ref().map(phrase).unwrap_or_default();
            format!("drop {count}: {reason} {detail} {frame}")
        }
        Kind::Timer => "timer".to_owned(),
        Kind::Note {
            program,
            name,
            text,
        } => format!("{program}: {name} {text}"),
        Kind::State { view } => format!("state {view}"),
        Kind::Fault { line, text } => format!("fault, line {line}: {text}"),
        Kind::Verdict { text, holds } => format!("verdict {text}: {holds}"),
    }
}
