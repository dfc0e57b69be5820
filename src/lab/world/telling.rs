//! What happens in a world, told to whoever watches, each event with its cause.

use super::blame;
use super::{Kind, World};
use crate::lab::ids::{Lane, NodeId};
use crate::lab::queue::What;
use crate::lab::trace::{Culprit, Event, Kind as Told, Seq};
use stack::frame::Frame;
use stack::host;
use stack::reason::DropReason;
use std::sync::Arc;

impl World {
    /// Records what happened at a node, which is from now on the cause of what it does.
    pub(super) fn tell(&mut self, node: Option<NodeId>, cause: Seq, kind: Told) -> Seq {
        let seq = self.tell_caused(node, cause, kind);
        if let Some(node) = node.and_then(|id| self.nodes.get_mut(id.0 as usize)) {
            node.cause = seq;
        }
        seq
    }

    /// Records what happened; gives its number, 0 where nobody looks on.
    pub(super) fn tell_caused(&mut self, node: Option<NodeId>, cause: Seq, kind: Told) -> Seq {
        let Some(watch) = &mut self.watch else {
            return 0;
        };
        watch.seq += 1;
        let seq = watch.seq;
        watch.events.push_back(Event {
            at: self.now,
            seq,
            node,
            cause,
            kind,
        });
        seq
    }

    /// What programs noted is told, and starts the faults that wait for it.
    pub(super) fn collect_notes(&mut self, id: NodeId) {
        let wanted = self.watch.is_some() || self.script.as_ref().is_some_and(|s| s.waits());
        let Kind::Host(station) = &mut self.nodes[id.0 as usize].kind else {
            return;
        };
        let mut notes = Vec::new();
        station.tasks.poll_notes(|program, name, text| {
            if wanted {
                notes.push((program.to_owned(), name.to_owned(), text));
            }
        });
        for (program, name, text) in notes {
            let node = Arc::clone(&self.nodes[id.0 as usize].name);
            let script = self.script.as_mut();
            let due = script.map_or_else(Vec::new, |s| s.noted(&node, &program, &name));
            let kind = Told::Note {
                program,
                name,
                text,
            };
            let cause = self.nodes[id.0 as usize].cause;
            let note = self.tell_caused(Some(id), cause, kind);
            for line in due {
                self.blame_note(line, note);
                self.queue.plan(self.now, What::Fault(line));
            }
        }
    }

    /// A line of the fault script takes effect or ends, as planned under `number`; what happens before
    /// the script is done is its doing.
    pub(in crate::lab) fn tell_fault(&mut self, number: u32, line: u32, text: String) {
        let cause = self.note_behind(number);
        let fault = self.tell_caused(None, cause, Told::Fault { line, text });
        self.set_fault_now(Culprit { seq: fault, line });
    }

    /// A fault changed what a node shows: it is the cause of what the node does next.
    pub(super) fn tell_state(&mut self, id: NodeId, view: String) {
        if self.watch.is_none() {
            return;
        }
        let fault = self.fault_now().seq;
        let Some(node) = self.nodes.get_mut(id.0 as usize) else {
            return;
        };
        if fault > 0 {
            node.cause = fault;
        }
        let cause = node.cause;
        self.tell_caused(Some(id), cause, Told::State { view });
    }

    /// An assertion was judged.
    pub fn tell_verdict(&mut self, text: String, holds: bool) {
        self.tell_caused(None, 0, Told::Verdict { text, holds });
    }

    /// What a wire lost after it had taken it.
    pub(super) fn tell_lost(&mut self, i: usize) {
        while let Some(lost) = self.lanes[i].way.poll_drop() {
            self.tell_lost_frame(i, lost.tag, Some(lost.frame), lost.reason);
        }
    }

    pub(super) fn tell_lost_frame(
        &mut self,
        i: usize,
        tag: Seq,
        frame: Option<Frame>,
        reason: DropReason,
    ) {
        let direction = &self.lanes[i];
        let queued = direction.way.queued();
        let detail = match (reason, queued.limit_packets, queued.limit_bytes) {
            (DropReason::WireQueueFull, Some(limit), _) => {
                format!("queue {}/{limit} packets", queued.packets)
            }
            (DropReason::WireQueueFull, None, Some(limit)) => {
                format!("queue {}/{limit} bytes", queued.bytes)
            }
            (DropReason::WireCodel, ..) => format!("queue {} packets", queued.packets),
            (DropReason::FrameTooLong, ..) => format!("MTU {}", direction.way.config().mtu),
            _ => String::new(),
        };
        let from = direction.from;
        let fault = self.fault_on(Lane::of(i), reason);
        let kind = Told::Drop {
            lane: Some(Lane::of(i)),
            frame_id: tag,
            frame,
            reason,
            detail: blame::detail(detail, fault),
            count: 1,
        };
        let cause = fault.map_or(tag, |fault| fault.seq);
        self.tell_caused(Some(from), cause, kind);
    }

    /// What a host gave up after it had accepted it shows in its counters only.
    pub(super) fn tell_drops(&mut self, id: NodeId) {
        let (Some(watch), Some(Kind::Host(station))) = (
            &mut self.watch,
            self.nodes.get(id.0 as usize).map(|n| &n.kind),
        ) else {
            return;
        };
        let stats = station.host.stats();
        let told = watch
            .told
            .entry(id)
            .or_insert_with(|| Box::new(([0; DropReason::COUNT], [0; DropReason::COUNT])));
        if told.0 == stats.dropped_in && told.1 == stats.dropped_out {
            return;
        }
        let mut fresh = Vec::new();
        for &reason in DropReason::ALL {
            let at = reason.index();
            let more_in = stats.dropped_in[at].saturating_sub(told.0[at]);
            let more_out = stats.dropped_out[at].saturating_sub(told.1[at]);
            fresh.extend((more_in > 0).then_some((reason, more_in, "held")));
            fresh.extend((more_out > 0).then_some((reason, more_out, "unsent")));
        }
        **told = (stats.dropped_in, stats.dropped_out);
        let cause = self.nodes[id.0 as usize].cause;
        for (reason, count, detail) in fresh {
            let fault = self.fault_at(id, reason);
            let kind = Told::Drop {
                lane: None,
                frame_id: 0,
                frame: None,
                reason,
                detail: blame::detail(detail.to_owned(), fault),
                count,
            };
            let cause = fault.map_or(cause, |fault| fault.seq);
            self.tell_caused(Some(id), cause, kind);
        }
    }
}

/// What a host shows of itself, where an event changes that.
pub(super) fn view(event: &host::Event) -> Option<String> {
    match event {
        host::Event::AddressUsable { addr, .. } => Some(format!("{addr}: usable")),
        host::Event::AddressConflict {
            addr, mac, lost, ..
        } => {
            let how = if *lost {
                "given up to"
            } else {
                "in conflict with"
            };
            Some(format!("{addr}: {how} {mac}"))
        }
        host::Event::PathMtu { dst, mtu } => Some(match mtu {
            Some(mtu) => format!("path to {dst}: MTU {mtu}"),
            None => format!("path to {dst}: MTU of the link"),
        }),
        _ => None,
    }
}
