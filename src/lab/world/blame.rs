//! Which line of the fault script is to blame for what is lost, while somebody looks on.
//!
//! ```text
//!   a fault begins --> way 3, wire-down: #17    rule 0x9e..: #21    node b, node-down: #30
//!                              |                      |                   |
//!   a frame is lost for that reason there --> its drop's cause is #17, #21, #30
//!                                             and its line is told with it
//! ```

use super::World;
use crate::lab::ids::{Lane, NodeId};
use crate::lab::trace::{Culprit, Seq};
use stack::link::impair::Chance;
use stack::reason::DropReason;
use std::collections::BTreeMap;

impl World {
    /// The fault that is being carried out; nobody where there is none, or nobody looks on.
    pub(in crate::lab) fn fault_now(&self) -> Culprit {
        self.watch.as_ref().map_or(Culprit::NOBODY, |w| w.blame.now)
    }

    /// From now on (until it is nobody) a fault is being carried out.
    pub(super) fn set_fault_now(&mut self, fault: Culprit) {
        if let Some(watch) = &mut self.watch {
            watch.blame.now = fault;
        }
    }

    /// What the script plans under a number follows from a note.
    pub(super) fn blame_note(&mut self, number: u32, note: Seq) {
        if let Some(watch) = &mut self.watch {
            watch.blame.notes.insert(number, note);
        }
    }

    /// The note that it follows from.
    pub(super) fn note_behind(&mut self, number: u32) -> Seq {
        let watch = self.watch.as_mut();
        watch
            .and_then(|w| w.blame.notes.remove(&number))
            .unwrap_or_default()
    }

    /// What a direction of a wire loses for this reason is this fault's doing; nobody's as well.
    pub(in crate::lab) fn blame_way(&mut self, lane: Lane, reason: DropReason, fault: Culprit) {
        if let Some(watch) = &mut self.watch {
            set(&mut watch.blame.ways, (lane, reason), fault);
        }
    }

    /// What a node loses for this reason is the doing of the fault that is being carried out.
    pub(super) fn blame_node(&mut self, node: NodeId, reason: DropReason) {
        if let Some(watch) = &mut self.watch {
            set(&mut watch.blame.nodes, (node, reason), watch.blame.now);
        }
    }

    /// What a rule drops is the doing of the fault that is being carried out.
    pub(in crate::lab) fn blame_rule(&mut self, rule: u64) {
        if let Some(watch) = &mut self.watch {
            set(&mut watch.blame.rules, rule, watch.blame.now);
        }
    }

    /// The fault by which a way lost a frame just now, if it was one.
    pub(super) fn fault_on(&self, lane: Lane, reason: DropReason) -> Option<Culprit> {
        let blame = &self.watch.as_ref()?.blame;
        if reason == DropReason::WireFault {
            return blame.rules.get(&self.way(lane)?.dropped_by()).copied();
        }
        let way = self.way(lane)?;
        if reason == DropReason::WireFrameCheck && way.config().bit_errors != Chance::NEVER {
            // Whose bits they were is not known.
            return None;
        }
        blame.ways.get(&(lane, reason)).copied()
    }

    /// The fault by which a node lost a frame just now, if it was one.
    pub(super) fn fault_at(&self, node: NodeId, reason: DropReason) -> Option<Culprit> {
        let blame = &self.watch.as_ref()?.blame;
        blame.nodes.get(&(node, reason)).copied()
    }
}

/// What is told of a drop, with the line that is to blame for it.
pub(super) fn detail(detail: String, fault: Option<Culprit>) -> String {
    match fault {
        None => detail,
        Some(Culprit { line, .. }) if detail.is_empty() => format!("fault line {line}"),
        Some(Culprit { line, .. }) => format!("{detail}, fault line {line}"),
    }
}

fn set<K: Ord>(map: &mut BTreeMap<K, Culprit>, key: K, fault: Culprit) {
    match fault {
        Culprit::NOBODY => map.remove(&key),
        _ => map.insert(key, fault),
    };
}
