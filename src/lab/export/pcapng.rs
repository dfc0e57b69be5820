//! A run as pcapng, with the reason on every frame that was lost: what passes on one wire, or what
//! captures at both ends of all wires would hold.
//!
//! ```text
//!         a  ------------- wire a-r1 ------------>  r1
//!     "a-r1 (a)"                                "a-r1 (r1)"      two interfaces a wire
//!     Out, when sent                             In, when it arrives, as it arrives
//!     # drop: wire-queue-full, queue 64/64       # duplicate   # drop at r1: ttl-expired
//!     # retransmit: RACK, reorder window 12 ms
//! ```
//!
//! A wire's own file has each frame once, when it is sent, with all that befell it; a second time only
//! if it arrives twice or damaged. So what an analyser finds there of retransmissions and losses is
//! the run's own. The file of all wires has both ends: each frame as it leaves and as it comes.
//!
//! Times count from the beginning of the run (1970 in Wireshark's eyes). The display filter
//! `frame.interface_name == "a-r1 (a)"` shows what `tcpdump` at that port would have seen; a frame
//! that was lost is there where it was sent, and `pkt_comment contains "drop"` shows all of these.
//!
//! A record is held back until it is known what became of its frame, so that the comment stands at
//! the frame itself, and those after it wait: up to [`HELD`] records. Beyond, it is written as it
//! is, and a loss that comes to light later is a further record at the time of the loss.
//!
//! A segment that is sent again, or to probe, says why where it is sent; `pkt_comment contains
//! "retransmit"` shows these.
//!
//! Left out: what a host gives up after it had taken it (there is no frame any more; the JSON trace
//! has it).

use super::directory::{Directory, short};
use super::text::bytes;
use crate::lab::ids::{Lane, WireId};
use crate::lab::trace::{Event, Kind, Seq};
use stack::frame::Frame;
use stack::link::impair::Marks;
use stack::machine::Fate;
use stack::time::Instant;
use stack::transport::tcp::Why;
use stack::wire::pcap::{Direction, LinkType, Packet, Section, Writer};
use std::collections::{BTreeMap, VecDeque};

/// Records that wait for what becomes of a frame.
pub const HELD: usize = 1 << 16;

/// Writes one pcapng file.
#[derive(Clone, Debug)]
pub struct Pcapng {
    writer: Writer,
    /// The one wire of this file.
    only: Option<WireId>,
    waiting: VecDeque<Record>,
    /// Number of the first that waits.
    first: u64,
    /// Frames whose end is not known, with the number of their record.
    open: BTreeMap<Seq, u64>,
}

#[derive(Clone, Debug)]
struct Record {
    interface: u32,
    at: Instant,
    direction: Direction,
    frame: Frame,
    comments: Vec<String>,
    /// The number of the sending, until it is known what became of it.
    open: Option<Seq>,
}

impl Pcapng {
    /// Begins a file for all wires.
    #[must_use]
    pub fn new(names: &Directory) -> Self {
        Self::begin(names, None)
    }

    /// Begins a file for one wire.
    #[must_use]
    pub fn of_wire(names: &Directory, wire: WireId) -> Self {
        Self::begin(names, Some(wire))
    }

    fn begin(names: &Directory, only: Option<WireId>) -> Self {
        let mut writer = Writer::new(&Section {
            application: "tapline lab",
            ..Section::default()
        });
        for wire in names.wires().filter(|w| only.is_none_or(|o| o == *w)) {
            for end in names.ends(wire).into_iter().flatten() {
                let name = format!("{} ({})", names.wire(wire), names.node(end));
                writer.interface(&name, LinkType::ETHERNET, 0);
            }
        }
        Self {
            writer,
            only,
            waiting: VecDeque::new(),
            first: 0,
            open: BTreeMap::new(),
        }
    }

    /// The interface at the end that sends into `lane`, or at the other.
    fn interface(&self, lane: Lane, sender: bool) -> u32 {
        let end = u32::from((lane.from == 0) != sender);
        match self.only {
            Some(_) => end,
            None => lane.wire.0.saturating_mul(2).saturating_add(end),
        }
    }

    /// Takes note of an event.
    pub fn event(&mut self, names: &Directory, event: &Event) {
        match &event.kind {
            Kind::Send { lane, frame, why } if self.is_mine(*lane) => {
                let record = Record {
                    interface: self.interface(*lane, true),
                    at: event.at,
                    direction: Direction::Out,
                    frame: frame.clone(),
                    comments: why.iter().map(Why::to_string).collect(),
                    open: Some(event.seq),
                };
                let number = self.first + self.waiting.len() as u64;
                self.open.insert(event.seq, number);
                self.waiting.push_back(record);
            }
            Kind::Arrive { lane, .. } if self.is_mine(*lane) => self.arrive(names, event),
            Kind::Drop {
                lane: Some(lane),
                frame_id,
                ..
            } if self.is_mine(*lane) => self.lose(*lane, *frame_id, event),
            _ => return,
        }
        self.write(false);
    }

    fn is_mine(&self, lane: Lane) -> bool {
        self.only.is_none_or(|wire| wire == lane.wire)
    }

    fn arrive(&mut self, names: &Directory, event: &Event) {
        let Kind::Arrive {
            lane,
            frame_id,
            sent,
            frame,
            marks,
            fate,
        } = &event.kind
        else {
            return;
        };
        let took = short(event.at.since(*sent));
        let marked = [
            (Marks::DUPLICATE, "duplicate: it came before".to_owned()),
            (Marks::CORRUPTED, "corrupted: bits flipped".to_owned()),
            (Marks::CE, "CE: congestion experienced".to_owned()),
            (Marks::REORDERED, format!("reordered: took {took}")),
            (Marks::DELAYED, format!("delayed: took {took}")),
        ];
        let marked = marked.into_iter().filter(|(m, _)| marks.contains(*m));
        let mut comments: Vec<String> = marked.map(|(_, text)| text).collect();
        if let (Fate::Dropped(reason), Some(node)) = (fate, event.node) {
            comments.push(format!("drop at {}: {reason}", names.node(node)));
        }
        let as_sent = !marks.contains(Marks::DUPLICATE) && !marks.contains(Marks::CORRUPTED);
        if self.only.is_some() && as_sent {
            // It is there as it was sent; where it is written already and there is something to say
            // of it, it is there again.
            if self.settle(*frame_id, comments.clone()) || comments.is_empty() {
                return;
            }
        } else if !marks.contains(Marks::DUPLICATE) {
            self.settle(*frame_id, Vec::new());
        }
        self.waiting.push_back(Record {
            interface: self.interface(*lane, false),
            at: event.at,
            direction: Direction::In,
            frame: frame.clone(),
            comments,
            open: None,
        });
    }

    fn lose(&mut self, lane: Lane, frame_id: Seq, event: &Event) {
        let Kind::Drop {
            frame,
            reason,
            detail,
            ..
        } = &event.kind
        else {
            return;
        };
        let mut comment = format!("drop: {reason}");
        if !detail.is_empty() {
            comment = format!("{comment}, {detail}");
        }
        if self.settle(frame_id, vec![comment.clone()]) {
            return;
        }
        if let Some(frame) = frame {
            self.waiting.push_back(Record {
                interface: self.interface(lane, true),
                at: event.at,
                direction: Direction::Out,
                frame: frame.clone(),
                comments: vec![format!("{comment} (sent earlier)")],
                open: None,
            });
        }
    }

    /// It is known what became of a frame; whether its record was still here.
    fn settle(&mut self, frame_id: Seq, comments: Vec<String>) -> bool {
        let Some(number) = self.open.remove(&frame_id) else {
            return false;
        };
        let place = number.checked_sub(self.first);
        let place = place.and_then(|n| usize::try_from(n).ok());
        let Some(record) = place.and_then(|n| self.waiting.get_mut(n)) else {
            return false;
        };
        record.open = None;
        record.comments.extend(comments);
        true
    }

    fn write(&mut self, all: bool) {
        while let Some(record) = self.waiting.front() {
            if record.open.is_some() && !all && self.waiting.len() <= HELD {
                return;
            }
            let data = bytes(&record.frame);
            self.writer.packet(&Packet {
                interface: record.interface,
                timestamp: record.at.as_nanos(),
                direction: Some(record.direction),
                data: &data,
                comments: &record.comments,
                ..Packet::default()
            });
            if let Some(seq) = record.open {
                self.open.remove(&seq);
            }
            self.waiting.pop_front();
            self.first += 1;
        }
    }

    /// The run is over: what is on a wire still is said to be so.
    pub fn finish(&mut self) {
        for record in self.waiting.iter_mut().filter(|r| r.open.is_some()) {
            record.comments.push("on the wire at the end".to_owned());
        }
        self.write(true);
    }

    /// What was written since the last call.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        self.writer.take()
    }
}

/// Writes a pcapng file for each wire on which anything was sent.
#[derive(Clone, Debug, Default)]
pub struct PerWire {
    files: BTreeMap<WireId, Pcapng>,
}

impl PerWire {
    /// Takes note of an event.
    pub fn event(&mut self, names: &Directory, event: &Event) {
        let lane = match &event.kind {
            Kind::Send { lane, .. } | Kind::Arrive { lane, .. } => *lane,
            Kind::Drop {
                lane: Some(lane), ..
            } => *lane,
            _ => return,
        };
        let file = self.files.entry(lane.wire);
        let file = file.or_insert_with(|| Pcapng::of_wire(names, lane.wire));
        file.event(names, event);
    }

    /// The run is over.
    pub fn finish(&mut self) {
        self.files.values_mut().for_each(Pcapng::finish);
    }

    /// What was written since the last call, by wire.
    pub fn take(&mut self) -> Vec<(WireId, Vec<u8>)> {
        let taken = self.files.iter_mut().map(|(w, f)| (*w, f.take()));
        taken.filter(|(_, bytes)| !bytes.is_empty()).collect()
    }
}

/// A name for the file of all wires.
pub const ALL_WIRES: &str = "all.pcapng";

/// A name for a wire's file: its own, of letters, digits, `.`, `_` and `-`. Where other characters had
/// to go it begins with `~` and the wire's number, so that no two wires share one, and
/// none has that of all.
#[must_use]
pub fn file_name(names: &Directory, wire: WireId) -> String {
    let own = names.wire(wire);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
    let plain: String = own
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect();
    let name = format!("{plain}.pcapng");
    if plain == own && !own.starts_with('.') && !own.is_empty() && name != ALL_WIRES {
        return name;
    }
    format!("~{}-{}.pcapng", wire.0, plain.trim_start_matches('.'))
}
