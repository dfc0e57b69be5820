//! A run as sequence text: a column a node, time downwards, an arrow for each frame.
//!
//! ```text
//!        time  took       a          r1         b
//!    0.015000  +5ms       |--------->|          |      10.0.0.1 > 10.0.1.2  ICMP  echo request, …
//!    0.015000             |          |----X     |      10.0.0.1 > … [drop: wire-loss]
//!    0.515000             o          |          |      p: timeout seq=1
//!    2.000000          ==================================  fault, line 3: down r1-b
//! ```
//!
//! An arrow stands where the frame arrives, with the time it took; one that is lost stands where it
//! is lost and ends in an `X` half way; one that its receiver refuses ends in an `X` at the receiver.
//! What is sent again, or to probe, says why: `[retransmit: RACK, reorder window 12ms]`.
//!
//! Promises: rows come in the order of events. Where all nodes find room, nothing is kept but what
//! [`take`](Ladder::take) has not fetched. Where they do not, the first [`LOOK`] rows are kept to find
//! the busiest nodes, and the head says which are not shown.
//!
//! Left out: timers, and frames that are under way at the end.

use super::directory::{Directory, short};
use super::text::short_phrase as phrase;
use crate::lab::ids::{Lane, NodeId};
use crate::lab::trace::{Event, Kind, Seq};
use stack::machine::Fate;
use stack::time::Instant;
use stack::transport::tcp::Why;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Rows that are looked at to find the busiest nodes.
pub const LOOK: usize = 10_000;
/// Retransmissions that are remembered until they arrive.
const UNDER_WAY: usize = 1 << 16;
/// Rows between two heads.
const PAGE: usize = 50;
/// Columns for the time and how long it took.
const GUTTER: usize = 23;
/// Columns that are kept for words.
const WORDS: usize = 44;
/// Columns that a node needs at least, and at most takes.
const NARROW: usize = 6;
const WIDE: usize = 12;

/// How a ladder looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Columns of text.
    pub width: usize,
    /// Which nodes, in this order; none: all that find room.
    pub nodes: Vec<NodeId>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            width: 120,
            nodes: Vec::new(),
        }
    }
}

/// Writes a ladder.
#[derive(Clone, Debug)]
pub struct Ladder {
    width: usize,
    /// The nodes shown; none yet while the busiest are looked for.
    shown: Option<Vec<NodeId>>,
    /// Why frames that are under way are retransmissions or probes.
    whys: BTreeMap<Seq, Why>,
    room: usize,
    kept: Vec<Row>,
    rows: usize,
    out: String,
}

#[derive(Clone, Debug)]
struct Row {
    at: Instant,
    took: String,
    mark: Mark,
    words: String,
}

#[derive(Clone, Copy, Debug)]
enum Mark {
    /// From, to, and how it ends.
    Arrow(NodeId, NodeId, End),
    /// Something at a node.
    At(NodeId),
    /// Something everywhere.
    Across,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Taken,
    Refused,
    Lost,
}

impl Ladder {
    /// Begins a ladder.
    #[must_use]
    pub fn new(names: &Directory, config: &Config) -> Self {
        let width = config.width.max(GUTTER + WORDS + NARROW);
        let room = (width - GUTTER - WORDS) / NARROW;
        let all: Vec<NodeId> = match config.nodes.as_slice() {
            [] => names.nodes().collect(),
            some => some.to_vec(),
        };
        let fits = all.len() <= room || !config.nodes.is_empty();
        Self {
            width,
            shown: fits.then_some(all),
            whys: BTreeMap::new(),
            room,
            kept: Vec::new(),
            rows: 0,
            out: String::new(),
        }
    }

    /// Draws an event, where it is one to be drawn.
    pub fn event(&mut self, names: &Directory, event: &Event) {
        self.remember(event);
        let Some(mut row) = row(names, event) else {
            return;
        };
        if let Some(why) = self.reason(event) {
            row.words = format!("[{why}]  {}", row.words);
        }
        if self.shown.is_some() {
            self.draw(names, &row);
            return;
        }
        self.kept.push(row);
        if self.kept.len() >= LOOK {
            self.choose(names);
        }
    }

    fn remember(&mut self, event: &Event) {
        if let Kind::Send { why: Some(why), .. } = event.kind {
            self.whys.insert(event.seq, why);
            if self.whys.len() > UNDER_WAY {
                self.whys.pop_first();
            }
        }
    }

    /// Why the frame that arrives, or that a wire loses, was sent; told once.
    fn reason(&mut self, event: &Event) -> Option<Why> {
        match event.kind {
            Kind::Arrive { frame_id, .. }
            | Kind::Drop {
                lane: Some(_),
                frame_id,
                ..
            } => self.whys.remove(&frame_id),
            _ => None,
        }
    }

    /// The run is over.
    pub fn finish(&mut self, names: &Directory) {
        if self.shown.is_none() {
            self.choose(names);
        }
    }

    /// What was written since the last call.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out).into_bytes()
    }

    /// Shows the nodes that most rows are about.
    fn choose(&mut self, names: &Directory) {
        let mut counts: BTreeMap<NodeId, usize> = names.nodes().map(|n| (n, 0)).collect();
        for row in &self.kept {
            let ends = match row.mark {
                // What a hub repeats to everybody makes nobody busy.
                Mark::Arrow(from, _, End::Refused) => vec![from],
                Mark::Arrow(from, to, _) => vec![from, to],
                Mark::At(node) => vec![node],
                Mark::Across => Vec::new(),
            };
            for node in ends {
                *counts.entry(node).or_default() += 1;
            }
        }
        let mut ranked: Vec<(usize, NodeId)> = counts.into_iter().map(|(n, c)| (c, n)).collect();
        ranked.sort_by_key(|(count, node)| (usize::MAX - count, *node));
        let (busy, idle) = ranked.split_at(self.room.min(ranked.len()));
        let mut shown: Vec<NodeId> = busy.iter().map(|(_, n)| *n).collect();
        shown.sort();
        let missing: Vec<&str> = idle.iter().take(8).map(|(_, n)| names.node(*n)).collect();
        let more = if idle.len() > missing.len() {
            ", …"
        } else {
            ""
        };
        let _ = writeln!(
            self.out,
            "{} of {} nodes are shown, the busiest in the first {} rows; not shown: {}{more}",
            shown.len(),
            ranked.len(),
            self.kept.len(),
            missing.join(", "),
        );
        self.shown = Some(shown);
        for row in std::mem::take(&mut self.kept) {
            self.draw(names, &row);
        }
    }

    fn draw(&mut self, names: &Directory, row: &Row) {
        let Some(shown) = self.shown.take() else {
            return;
        };
        let count = shown.len().max(1);
        let spacing = (self.width.saturating_sub(GUTTER + WORDS) / count).clamp(NARROW, WIDE);
        let paper = Paper { spacing, shown };
        if let Some((lines, unseen)) = paper.lines(names, row) {
            if self.rows.is_multiple_of(PAGE) {
                paper.head(names, &mut self.out);
            }
            self.rows += 1;
            let words = format!("{unseen}{}", row.words);
            let room = self.width.saturating_sub(GUTTER + lines.len() + 2);
            let time = micros(row.at);
            let lines: String = lines.into_iter().collect();
            let line = format!("{time:>12} {:<9} {lines}  {}", row.took, cut(&words, room));
            let _ = writeln!(self.out, "{}", line.trim_end());
        }
        self.shown = Some(paper.shown);
    }
}

/// Columns for nodes.
struct Paper {
    spacing: usize,
    shown: Vec<NodeId>,
}

impl Paper {
    fn column(&self, node: NodeId) -> Option<usize> {
        let place = self.shown.iter().position(|n| *n == node)?;
        Some(place * self.spacing + self.spacing / 2)
    }

    fn head(&self, names: &Directory, out: &mut String) {
        let mut line = format!("{:>12} {:<9} ", "time", "took");
        for node in &self.shown {
            let name = cut(names.node(*node), self.spacing - 1);
            let _ = write!(line, "{name:^width$}", width = self.spacing);
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }

    /// The life lines with the row's mark, and who of its nodes is not shown; `None` where none is.
    fn lines(&self, names: &Directory, row: &Row) -> Option<(Vec<char>, String)> {
        let mut line = vec![' '; self.spacing * self.shown.len()];
        for node in &self.shown {
            put(&mut line, self.column(*node), '|');
        }
        let mut unseen = String::new();
        match row.mark {
            Mark::Across => line.fill('='),
            Mark::At(node) => put(&mut line, Some(self.column(node)?), 'o'),
            Mark::Arrow(from, to, end) => match (self.column(from), self.column(to)) {
                (None, None) => return None,
                (Some(from), Some(to)) => arrow(&mut line, from, to, end),
                (Some(x), None) => {
                    put(&mut line, Some(x + 1), '-');
                    put(&mut line, Some(x + 2), if lost(end) { 'X' } else { '>' });
                    unseen = format!("(to {}) ", names.node(to));
                }
                (None, Some(x)) => {
                    put(&mut line, x.checked_sub(2), '-');
                    put(
                        &mut line,
                        x.checked_sub(1),
                        if lost(end) { 'X' } else { '>' },
                    );
                    unseen = format!("(from {}) ", names.node(from));
                }
            },
        }
        Some((line, unseen))
    }
}

const fn lost(end: End) -> bool {
    !matches!(end, End::Taken)
}

fn put(line: &mut [char], at: Option<usize>, c: char) {
    if let Some(place) = at.and_then(|at| line.get_mut(at)) {
        *place = c;
    }
}

fn arrow(line: &mut [char], from: usize, to: usize, end: End) {
    let right = to > from;
    let (low, high) = (from.min(to), from.max(to));
    if low == high {
        put(line, Some(low), '@');
        return;
    }
    let middle = low.midpoint(high);
    let span = match (end, right) {
        (End::Lost, true) => low + 1..middle,
        (End::Lost, false) => middle + 1..high,
        _ => low + 1..high,
    };
    for x in span {
        put(line, Some(x), '-');
    }
    let last = if right { to - 1 } else { to + 1 };
    let (at, head) = match end {
        End::Taken => (last, if right { '>' } else { '<' }),
        End::Refused => (last, 'X'),
        End::Lost => (middle, 'X'),
    };
    put(line, Some(at), head);
}

/// What an event looks like.
fn row(names: &Directory, event: &Event) -> Option<Row> {
    if event.kind.is_refusal() {
        // Its arrow ends in an X.
        return None;
    }
    let ends = |lane: Lane| names.between(lane);
    let (took, mark, words) = match &event.kind {
        Kind::Arrive {
            lane,
            sent,
            frame,
            marks,
            fate,
            ..
        } => {
            let mut words = phrase(frame);
            let marks: Vec<&str> = marks.names().collect();
            if !marks.is_empty() {
                let _ = write!(words, "  [{}]", marks.join(", "));
            }
            let end = match fate {
                Fate::Dropped(reason) => {
                    words = format!("[drop: {reason}]  {words}");
                    End::Refused
                }
                _ => End::Taken,
            };
            let [from, to] = ends(*lane)?;
            let took = format!("+{}", short(event.at.since(*sent)));
            (took, Mark::Arrow(from, to, end), words)
        }
        Kind::Drop {
            lane,
            frame,
            reason,
            detail,
            count,
            ..
        } => {
            let mut words = format!("[drop: {reason}");
            if !detail.is_empty() {
                let _ = write!(words, ", {detail}");
            }
            if *count > 1 {
                let _ = write!(words, ", {count} packets");
            }
            words.push_str("]  ");
            words.push_str(&frame.as_ref().map(phrase).unwrap_or_default());
            let mark = match lane {
                Some(lane) => {
                    let [from, to] = ends(*lane)?;
                    Mark::Arrow(from, to, End::Lost)
                }
                None => Mark::At(event.node?),
            };
            (String::new(), mark, words)
        }
        Kind::Note {
            program,
            name,
            text,
        } => {
            let words = format!("{program}: {name} {text}");
            (String::new(), Mark::At(event.node?), words)
        }
        Kind::State { view } => (String::new(), Mark::At(event.node?), view.clone()),
        Kind::Fault { line, text } => {
            let words = format!("fault, line {line}: {text}");
            (String::new(), Mark::Across, words)
        }
        Kind::Verdict { text, holds } => {
            let verdict = if *holds { "holds" } else { "does not hold" };
            (String::new(), Mark::Across, format!("{verdict}: {text}"))
        }
        Kind::Send { .. } | Kind::Timer => return None,
    };
    Some(Row {
        at: event.at,
        took,
        mark,
        words: words.replace(|c: char| c.is_control(), " "),
    })
}

fn micros(at: Instant) -> String {
    let n = at.as_nanos();
    format!("{}.{:06}", n / 1_000_000_000, n / 1000 % 1_000_000)
}

/// As much of a text as `room` columns hold.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(room.saturating_sub(1)).collect();
    out.push('…');
    out
}
