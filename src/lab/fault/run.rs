//! A fault script under way: which lines are in force, what they changed, what is to come.
//!
//! ```text
//!   Script --> Run: At  -> planned at birth
//!                   On  -> planned when a program's note comes
//!   what is due is carried out by `carry`
//! ```

use super::{Change, Script, When};
use crate::lab::ids::Lane;
use crate::lab::trace::Culprit;
use stack::link::impair::{Config, Match};
use stack::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// A script under way.
#[derive(Clone, Debug)]
pub(in crate::lab) struct Run {
    pub(super) script: Script,
    /// What is planned, by the number in the queue.
    pub(super) planned: BTreeMap<u32, (usize, Phase)>,
    next: u32,
    /// How often each line's note came.
    heard: Vec<u64>,
    /// Wires as they were before any line changed them.
    pub(super) base: BTreeMap<Lane, Config>,
    /// What lines changed on wires, in the order of their beginning, and the events that tell of it.
    pub(super) changes: Vec<(usize, Lane, Change, Culprit)>,
    /// Rules laid, by line.
    pub(super) rules: BTreeMap<usize, BTreeSet<u64>>,
    /// Holding back, by line.
    pub(super) clogs: BTreeMap<usize, Vec<(Lane, Match)>>,
}

/// What is due for a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Begin,
    /// A flapping wire goes down, or comes up.
    Flap(bool),
    End,
}

impl Run {
    pub(in crate::lab) fn new(script: Script) -> Self {
        Self {
            heard: vec![0; script.lines.len()],
            script,
            planned: BTreeMap::new(),
            next: 0,
            base: BTreeMap::new(),
            changes: Vec::new(),
            rules: BTreeMap::new(),
            clogs: BTreeMap::new(),
        }
    }

    /// The lines that begin at a fixed time.
    pub(in crate::lab) fn beginnings(&mut self) -> Vec<(Instant, u32)> {
        let lines: Vec<_> = self.script.lines.iter().enumerate().collect();
        let fixed = lines.into_iter().filter_map(|(i, line)| match &line.when {
            When::At(at) => Some((i, Instant::ZERO + *at)),
            When::On(_) => None,
        });
        let fixed: Vec<_> = fixed.collect();
        let plans = fixed.into_iter();
        plans
            .map(|(i, at)| (at, self.plan(i, Phase::Begin)))
            .collect()
    }

    /// Whether any line waits for a note.
    pub(in crate::lab) fn waits(&self) -> bool {
        let mut lines = self.script.lines.iter();
        lines.any(|l| matches!(l.when, When::On(_)))
    }

    /// A program made a note: the lines that begin now.
    pub(in crate::lab) fn noted(&mut self, node: &str, program: &str, name: &str) -> Vec<u32> {
        let full = format!("{program}.{name}");
        let mut begin = Vec::new();
        for (i, line) in self.script.lines.iter().enumerate() {
            let When::On(trigger) = &line.when else {
                continue;
            };
            let here = trigger.node.as_deref().is_none_or(|n| n == node);
            if here && (trigger.note == full || trigger.note == name) {
                self.heard[i] += 1;
                if trigger.occurrence.fires(self.heard[i]) {
                    begin.push(i);
                }
            }
        }
        let begin = begin.into_iter();
        begin.map(|i| self.plan(i, Phase::Begin)).collect()
    }

    pub(super) fn plan(&mut self, line: usize, phase: Phase) -> u32 {
        self.next = self.next.wrapping_add(1);
        self.planned.insert(self.next, (line, phase));
        self.next
    }
}
