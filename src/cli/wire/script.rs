//! A fault script, carried out on one wire in real time.
//!
//! ```text
//!   lab::fault::Script --for a wire A-B--> Faults --turn(now)--> rules, settings, up and down of ways
//! ```
//!
//! Read first: [`lab::fault`](crate::lab::fault), whose language it is. The nodes are the two
//! interfaces, the wire is `A-B`.
//!
//! Promises: a line undoes what it did and nothing else. What needs more than one wire (programs
//! that make notes, partitions, nodes that crash, addresses of nodes) is refused with its line.

use crate::lab::fault::{
    Change, Fault, FaultLine, Harm, Kind, Only, Party, Place, Script, ScriptError, Share, When,
};
use crate::lab::names::Names;
use stack::link::impair::{Config, Match, Rule, Way, Wire};
use stack::machine::Port;
use stack::time::{Duration, Instant};
use std::collections::BTreeMap;

/// A script under way.
#[derive(Debug)]
pub(super) struct Faults {
    names: [String; 2],
    /// The ways without any fault.
    base: [Config; 2],
    lines: Vec<FaultLine>,
    /// What is due when: the line, and what of it. The number keeps the order of equals.
    planned: BTreeMap<(Instant, u64), (usize, Phase)>,
    next: u64,
    /// Settings in force: by which line, of which way.
    changes: Vec<(usize, usize, Change)>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Begin,
    Flap(bool),
    End,
}

impl Faults {
    /// Reads a script for a wire of these ends; it begins at `start`.
    ///
    /// # Errors
    /// The first line that makes no sense here, and why.
    pub(super) fn new(
        text: &str,
        names: &[String; 2],
        base: [Config; 2],
        start: Instant,
    ) -> Result<Self, ScriptError> {
        let script = Script::parse(text)?;
        let [a, b] = names;
        script.check(&Names {
            nodes: vec![(a.clone(), 1), (b.clone(), 1)],
            wires: vec![(format!("{a}-{b}"), names.clone())],
            ..Names::default()
        })?;
        let mut faults = Self {
            names: names.clone(),
            base,
            lines: Vec::new(),
            planned: BTreeMap::new(),
            next: 0,
            changes: Vec::new(),
        };
        for (i, line) in script.lines.into_iter().enumerate() {
            let number = line.line;
            let wrong = |what| ScriptError { line: number, what };
            fits(&line).map_err(|what| wrong(what.to_owned()))?;
            if let Fault::Wire { change, place } = &line.fault {
                let ways = faults.ways_of(place).into_iter();
                let mut ways = ways.filter_map(|from| faults.base.get(from));
                if let Some(why) = ways.find_map(|way| change.contradiction(way)) {
                    return Err(wrong(why));
                }
            }
            if let When::At(after) = line.when {
                faults.plan(start + after, i, Phase::Begin);
            }
            faults.lines.push(line);
        }
        Ok(faults)
    }

    /// Does what is due, and says when there is more to do.
    pub(super) fn turn(&mut self, wire: &mut Wire, now: Instant) -> Option<Instant> {
        while let Some(first) = self.planned.first_entry() {
            if first.key().0 > now {
                return Some(first.key().0);
            }
            let ((at, _), (i, phase)) = first.remove_entry();
            if let Some(line) = self.lines.get(i).cloned() {
                self.step(wire, (at, now), i, &line, phase);
            }
        }
        None
    }

    fn plan(&mut self, at: Instant, line: usize, phase: Phase) {
        self.planned.insert((at, self.next), (line, phase));
        self.next += 1;
    }

    fn step(
        &mut self,
        wire: &mut Wire,
        (at, now): (Instant, Instant),
        i: usize,
        line: &FaultLine,
        phase: Phase,
    ) {
        match phase {
            Phase::Begin => {
                log::info!("fault: {}", line.fault);
                self.begin(wire, now, i, line);
                if let Fault::Flap { down, .. } = &line.fault {
                    self.plan(at + *down, i, Phase::Flap(true));
                }
                if let Some(lasting) = line.lasting {
                    self.plan(at + lasting, i, Phase::End);
                }
            }
            Phase::Flap(up) => {
                if let Fault::Flap { every, down, .. } = &line.fault {
                    set_up(wire, now, up);
                    let wait = if up {
                        every.saturating_sub(*down)
                    } else {
                        *down
                    };
                    let wait = wait.max(Duration::from_micros(1));
                    self.plan(at + wait, i, Phase::Flap(!up));
                }
            }
            Phase::End => {
                log::info!("end of fault: {}", line.fault);
                self.planned.retain(|_, (of, _)| *of != i);
                self.end(wire, now, i, line);
            }
        }
    }

    fn begin(&mut self, wire: &mut Wire, now: Instant, i: usize, line: &FaultLine) {
        match &line.fault {
            Fault::Packets {
                harm,
                share,
                only,
                place,
            } => {
                let rule = rule(line.id, *harm, *share, only);
                for from in self.ways_of(place) {
                    with(wire, from, |way| way.rules_mut().push(rule.clone()));
                }
            }
            Fault::Wire { change, place } => {
                for from in self.ways_of(place) {
                    self.changes.push((i, from, *change));
                    self.recompute(wire, now, from);
                }
            }
            Fault::Down(_) | Fault::Flap { .. } => set_up(wire, now, false),
            Fault::Up(_) => set_up(wire, now, true),
            // Refused by `fits`.
            _ => {}
        }
    }

    fn end(&mut self, wire: &mut Wire, now: Instant, i: usize, line: &FaultLine) {
        match &line.fault {
            Fault::Packets { .. } => {
                for from in [0, 1] {
                    with(wire, from, |way| {
                        way.rules_mut().retain(|r| r.id != line.id)
                    });
                }
            }
            Fault::Wire { .. } => {
                self.changes.retain(|c| c.0 != i);
                for from in [0, 1] {
                    self.recompute(wire, now, from);
                }
            }
            Fault::Down(_) | Fault::Flap { .. } => set_up(wire, now, true),
            _ => {}
        }
    }

    /// A way as it was, with all changes in force.
    fn recompute(&self, wire: &mut Wire, now: Instant, from: usize) {
        let Some(mut config) = self.base.get(from).cloned() else {
            return;
        };
        for (_, _, change) in self.changes.iter().filter(|c| c.1 == from) {
            change.apply(&mut config);
        }
        with(wire, from, |way| way.set_config(now, config));
    }

    fn ways_of(&self, place: &Place) -> Vec<usize> {
        let from = place.from.as_deref();
        let is_meant = |i: &usize| from.is_none_or(|name| self.names[*i] == name);
        [0, 1].into_iter().filter(is_meant).collect()
    }
}

/// Whether one wire can do it; if not, why.
fn fits(line: &FaultLine) -> Result<(), &'static str> {
    if let When::On(_) = line.when {
        return Err("no program makes notes on a wire: use `at` or `between`");
    }
    match &line.fault {
        Fault::Packets { only, .. } => {
            let named = |p: &Option<Party>| matches!(p, Some(Party::Node(_)));
            match named(&only.source) || named(&only.to) {
                true => Err("a wire does not know who has which address: give the address"),
                false => Ok(()),
            }
        }
        Fault::Wire { .. } | Fault::Down(_) | Fault::Up(_) | Fault::Flap { .. } => Ok(()),
        Fault::Partition(_) | Fault::Heal => Err("one wire has no partitions: use `down`"),
        Fault::Clog(..) | Fault::Release(..) => Err("use `rate 0 on *` to hold all packets"),
        Fault::Crash(_) | Fault::Restart(_) | Fault::Pause(_) | Fault::Resume(_) => {
            Err("what is at the ends of the wire is not ours to stop")
        }
    }
}

fn rule(id: u64, harm: Harm, share: Share, only: &Only) -> Rule {
    let (chance, left) = share.odds();
    let address = |party: &Option<Party>| match party {
        Some(Party::Addr(addr)) => Some(*addr),
        _ => None,
    };
    Rule {
        id,
        matches: Match {
            protocol: only.protocol.map(Kind::matched),
            src: address(&only.source),
            dst: address(&only.to),
            port: only.port,
        },
        chance,
        left,
        act: harm.act(),
    }
}

fn with(wire: &mut Wire, from: usize, f: impl FnOnce(&mut Way)) {
    let port = u16::try_from(from).map(Port);
    if let Some(way) = port.ok().and_then(|port| wire.way_mut(port)) {
        f(way);
    }
}

fn set_up(wire: &mut Wire, now: Instant, up: bool) {
    for from in [0, 1] {
        with(wire, from, |way| way.set_up(now, up));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stack::frame::Frame;
    use stack::machine::{Fate, Machine as _};
    use stack::reason::DropReason;
    use stack::rng::Rng;

    fn names() -> [String; 2] {
        ["west".to_owned(), "east".to_owned()]
    }

    fn faults(text: &str) -> Result<Faults, String> {
        let base = [Config::default(), Config::default()];
        Faults::new(text, &names(), base, Instant::ZERO).map_err(|e| e.to_string())
    }

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn lines_come_and_go() {
        let script = "at 10ms down west-east for 10ms\n\
            between 30ms and 40ms drop all on * from west\n\
            between 50ms and 60ms mtu 68 on west-east from east\n\
            at 70ms flap * every 10ms down 4ms";
        let mut faults = faults(script).unwrap();
        let mut wire = Wire::new([Config::default(), Config::default()], &Rng::from_seed(1));
        let mut seen = Vec::new();
        for ms in 0..90 {
            let more = faults.turn(&mut wire, at(ms));
            assert!(more.is_some_and(|next| next > at(ms)), "{ms}");
            let fates = [Port(0), Port(1)].map(|p| {
                match wire.handle_frame(at(ms), p, Frame::copy_from(&[9; 90])) {
                    Fate::Dropped(reason) => Some(reason),
                    _ => None,
                }
            });
            if seen.last().is_none_or(|(_, last)| *last != fates) {
                seen.push((ms, fates));
            }
        }
        let (down, fault) = (Some(DropReason::WireDown), Some(DropReason::WireFault));
        let long = Some(DropReason::FrameTooLong);
        let want = [
            (0, [None; 2]),
            (10, [down; 2]),
            (20, [None; 2]),
            (30, [fault, None]),
            (40, [None; 2]),
            (50, [None, long]),
            (60, [None; 2]),
            (70, [down; 2]),
            (74, [None; 2]),
            (80, [down; 2]),
            (84, [None; 2]),
        ];
        assert_eq!(seen, want);
    }

    #[test]
    fn so_many_packets_are_of_both_ways() {
        let mut faults = faults("at 0s drop next 3 on west-east").unwrap();
        let mut wire = Wire::new([Config::default(), Config::default()], &Rng::from_seed(1));
        faults.turn(&mut wire, at(0));
        let mut dropped = Vec::new();
        for n in 0..8 {
            let fate = wire.handle_frame(at(1), Port(n % 2), Frame::copy_from(&[9; 90]));
            dropped.push(fate == Fate::Dropped(DropReason::WireFault));
        }
        assert_eq!(
            dropped,
            [true, true, true, false, false, false, false, false]
        );
    }

    #[test]
    fn what_one_wire_cannot_do_is_refused_with_its_line() {
        for (text, want) in [
            ("\nat 1s crash west", "line 2: what is at the ends"),
            ("at 1s partition {west} | {east}", "line 1: one wire has no"),
            ("at 1s drop 5% on * to east", "line 1: a wire does not know"),
            ("at 1s down east-west", "did you mean `west-east`"),
            ("at 1s dwon *", "did you mean `down`"),
            (
                "at 1s jitter 1ms on *",
                "line 1: a jitter of 1ms is more than",
            ),
            ("on west.x.y down *", "line 1: no program makes notes"),
        ] {
            let said = faults(text).unwrap_err();
            assert!(said.contains(want), "{text}: {said}");
        }
    }
}
