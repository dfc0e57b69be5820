//! A trace as JSON lines: one object an event, and the contract of everything that reads one.
//!
//! ```text
//!   {"t":10000000,"seq":7,"node":"a","kind":"send","cause":6,"wire":"w","from":"a","to":"b",
//!    "text":"10.0.0.1 > 10.0.0.2  ICMP  echo request, id 1, seq 1, 56 bytes","packets":[
//!      {"id":"f7","layer":"ethernet","src":"02:…","dst":"02:…","len":98,"carries":["p2"]},
//!      {"id":"p2","layer":"ipv4","src":"10.0.0.1","dst":"10.0.0.2","len":84,
//!       "carries":["d2"],"carried_by":["f7"]},
//!      {"id":"d2","layer":"icmp","src":"10.0.0.1","dst":"10.0.0.2","len":64,"carried_by":["p2"]}]}
//! ```
//!
//! The keys are frozen: none changes its meaning or goes away, and a reader passes over keys that it
//! does not know. Each object begins with
//!
//! | key | value |
//! |---|---|
//! | `t` | nanoseconds since the run began |
//! | `seq` | number of the event, from 1 |
//! | `node` | name of the node where it happened; `null`: the whole world |
//! | `kind` | `send`, `arrive`, `drop`, `timer`, `note`, `state`, `fault` or `verdict` |
//! | `cause` | `seq` of the event that made it happen; `null` where none did; see [`trace`](crate::lab::trace) |
//!
//! and goes on by kind:
//!
//! | kind | key | value |
//! |---|---|---|
//! | `send` | `wire`, `from`, `to` | the wire, and the nodes at its ends in this direction |
//! | | `text` | the frame in words |
//! | | `hash` | of all its bytes, in 16 hexadecimal digits: equal where they are |
//! | | `packets` | its packets from the outside in, see below |
//! | `arrive` | `wire` | by which it came |
//! | | `packet` | `id` of the frame; `null` where its sending was not watched |
//! | | `sent` | when it was sent, in nanoseconds |
//! | | `fate` | `delivered`, `forwarded`, `held` (a fragment) or `dropped` |
//! | | `consumer` | where delivered: to whom, as `icmp` or `udp` |
//! | | `reason` | where dropped: why, as `ttl-expired` |
//! | | `hash` | of its bytes as they arrived |
//! | | `marks` | what befell it: `duplicate`, `corrupted`, `ce`, `reordered`, `delayed` |
//! | `drop` | `wire` | which wire lost it; `null` where the node refused it or gave it up |
//! | | `packet` | `id` of the frame; `null` where the node gave it up after it had taken it |
//! | | `reason`, `detail` | why, and more on that (may be empty) |
//! | | `count` | how many at once |
//! | `note` | `program`, `name`, `text` | who says what about what |
//! | `state` | `view` | what changed at the node, and what it is now: `running`, `paused`, `down`; `port 0: up` or `down`; `10.0.0.1: usable`, `in conflict with MAC` or `given up to MAC`; `path to 10.0.2.2: MTU 1400` |
//! | `fault` | `line`, `text` | line of the script, and what it did |
//! | `verdict` | `assertion`, `holds` | what was judged, and how |
//!
//! A packet has `id`, `layer`, `src`, `dst`, `len`, for a fragment `fragment` with `offset` and `more`,
//! and the lists `carries` and `carried_by` where there is such. An `id` is `f` and the `seq` of the
//! sending for a frame, `p…` for what it carries, `d…` for what IP carries; what keeps its `id` over
//! hops and fragments says [`packet`](super::packet).

use super::directory::Directory;
use super::packet::{Id, Named, Namer};
use super::text::phrase;
use crate::lab::digest::of_frame;
use crate::lab::trace::{Event, Kind, Seq};
use serde::Serialize;
use stack::frame::Frame;
use stack::machine::Fate;

/// Writes JSON lines.
#[derive(Clone, Debug, Default)]
pub struct Json {
    namer: Namer,
    out: Vec<u8>,
}

#[derive(Serialize)]
struct Line<'a> {
    t: u64,
    seq: Seq,
    node: Option<&'a str>,
    kind: &'static str,
    cause: Option<Seq>,
    #[serde(flatten)]
    rest: Rest<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Rest<'a> {
    Send {
        wire: &'a str,
        from: &'a str,
        to: &'a str,
        text: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        packets: Vec<Named>,
        hash: String,
    },
    Arrive {
        wire: &'a str,
        packet: Option<Id>,
        sent: u64,
        fate: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        consumer: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
        marks: Vec<&'static str>,
        hash: String,
    },
    Drop {
        wire: Option<&'a str>,
        packet: Option<Id>,
        reason: &'static str,
        detail: &'a str,
        count: u64,
    },
    Timer {},
    Note {
        program: &'a str,
        name: &'a str,
        text: &'a str,
    },
    State {
        view: &'a str,
    },
    Fault {
        line: u32,
        text: &'a str,
    },
    Verdict {
        assertion: &'a str,
        holds: bool,
    },
}

impl Json {
    /// Writes the line of an event.
    pub fn event(&mut self, names: &Directory, event: &Event) {
        let packets = self.namer.event(names, event);
        let line = Line {
            t: event.at.as_nanos(),
            seq: event.seq,
            node: event.node.map(|id| names.node(id)),
            kind: event.kind.name(),
            cause: number(event.cause),
            rest: rest(names, &event.kind, packets),
        };
        // Nothing in a line can fail to be written: no maps with odd keys, no failing writer.
        if serde_json::to_writer(&mut self.out, &line).is_ok() {
            self.out.push(b'\n');
        }
    }

    /// What was written since the last call.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}

fn hash(frame: &Frame) -> String {
    format!("{:016x}", of_frame(frame))
}

fn number(seq: Seq) -> Option<Seq> {
    (seq > 0).then_some(seq)
}

fn rest<'a>(names: &'a Directory, kind: &'a Kind, packets: Vec<Named>) -> Rest<'a> {
    match kind {
        Kind::Send { lane, frame, why } => {
            let [from, to] = names
                .between(*lane)
                .map_or(["?", "?"], |ends| ends.map(|n| names.node(n)));
            Rest::Send {
                wire: names.wire(lane.wire),
                from,
                to,
                text: phrase(frame),
                why: why.map(|why| why.to_string()),
                hash: hash(frame),
                packets,
            }
        }
        Kind::Arrive {
            lane,
            frame_id,
            sent,
            frame,
            marks,
            fate,
        } => Rest::Arrive {
            wire: names.wire(lane.wire),
            packet: number(*frame_id).map(Id::Frame),
            sent: sent.as_nanos(),
            fate: match fate {
                Fate::Delivered(_) => "delivered",
                Fate::Forwarded => "forwarded",
                Fate::Held => "held",
                Fate::Dropped(_) => "dropped",
            },
            consumer: match fate {
                Fate::Delivered(consumer) => Some(consumer.name()),
                _ => None,
            },
            reason: match fate {
                Fate::Dropped(reason) => Some(reason.name()),
                _ => None,
            },
            hash: hash(frame),
            marks: marks.names().collect(),
        },
        Kind::Drop {
            lane,
            frame_id,
            reason,
            detail,
            count,
            ..
        } => Rest::Drop {
            wire: lane.map(|lane| names.wire(lane.wire)),
            packet: number(*frame_id).map(Id::Frame),
            reason: reason.name(),
            detail,
            count: *count,
        },
        Kind::Timer => Rest::Timer {},
        Kind::Note {
            program,
            name,
            text,
        } => Rest::Note {
            program,
            name,
            text,
        },
        Kind::State { view } => Rest::State { view },
        Kind::Fault { line, text } => Rest::Fault { line: *line, text },
        Kind::Verdict { text, holds } => Rest::Verdict {
            assertion: text,
            holds: *holds,
        },
    }
}
