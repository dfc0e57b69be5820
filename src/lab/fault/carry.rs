//! Carries out what a fault script says: lays rules on wires, changes them, stops nodes.
//!
//! ```text
//!   World::step -> turn_fault(number) -> begin: rules laid, wires changed, nodes stopped
//!                                        end:   the same undone; other lines' doings stay
//! ```
//!
//! Promises: a line undoes what it did and nothing else, in whatever order lines end. A rule's
//! decisions belong to its line's id, so that they stay when other lines go.

use super::run::{Phase, Run};
use super::{Fault, FaultLine, Harm, Kind, Link, Only, Party, Place, Share};
use crate::lab::ids::{Lane, NodeId, WireId};
use crate::lab::trace::Culprit;
use crate::lab::world::World;
use stack::link::impair::{Act, Chance, Match, Rule};
use stack::reason::DropReason;
use stack::time::{Duration, Instant};
use std::net::IpAddr;

/// Apart from a line's own id by this, its rules are told from each other.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

impl World {
    /// What the script planned under `number` is due.
    pub(in crate::lab) fn turn_fault(&mut self, number: u32) {
        self.with_script(|run, world| run.turn(world, number));
    }
}

impl Run {
    /// Carries out what was planned under `number`; gives what follows from it.
    fn turn(&mut self, world: &mut World, number: u32) -> Vec<(Instant, u32)> {
        let Some((i, phase)) = self.planned.remove(&number) else {
            return Vec::new();
        };
        let Some(line) = self.script.lines.get(i).cloned() else {
            return Vec::new();
        };
        let now = world.now();
        let mut follow = Vec::new();
        match phase {
            Phase::Begin => {
                world.tell_fault(number, line.line, line.fault.to_string());
                self.begin(world, i, &line);
                if let Fault::Flap { down, .. } = &line.fault {
                    follow.push((now + *down, self.plan(i, Phase::Flap(true))));
                }
                if let Some(lasting) = line.lasting {
                    follow.push((now + lasting, self.plan(i, Phase::End)));
                }
            }
            Phase::Flap(up) => {
                if let Fault::Flap { link, every, down } = &line.fault {
                    let word = if up { "up" } else { "down" };
                    world.tell_fault(number, line.line, format!("{word} {link}"));
                    set_link(world, link, up);
                    let wait = if up {
                        every.saturating_sub(*down)
                    } else {
                        *down
                    };
                    let wait = wait.max(Duration::from_nanos(1));
                    follow.push((now + wait, self.plan(i, Phase::Flap(!up))));
                }
            }
            Phase::End => {
                world.tell_fault(number, line.line, format!("end of {}", line.fault));
                self.planned.retain(|_, (of, _)| *of != i);
                self.end(world, i, &line);
            }
        }
        follow
    }

    fn begin(&mut self, world: &mut World, i: usize, line: &FaultLine) {
        match &line.fault {
            Fault::Packets {
                harm,
                share,
                only,
                place,
            } => {
                let lanes = lanes_of(world, place);
                let mut ids = Vec::new();
                for (n, matches) in expand(world, only).into_iter().enumerate() {
                    let rule = rule(line.id, n, *harm, *share, matches);
                    ids.push(rule.id);
                    for &lane in &lanes {
                        self.lay(world, i, lane, rule.clone());
                    }
                }
                if matches!(share, Share::Next(_)) {
                    world.share_quota(ids, lanes);
                }
            }
            Fault::Wire { change, place } => {
                for lane in lanes_of(world, place) {
                    self.changes.push((i, lane, *change, world.fault_now()));
                    self.recompute(world, lane);
                }
            }
            Fault::Down(link) => set_link(world, link, false),
            Fault::Up(link) => set_link(world, link, true),
            Fault::Flap { link, .. } => set_link(world, link, false),
            Fault::Partition(partition) => {
                for (n, (from, to)) in partition.cuts().into_iter().enumerate() {
                    self.cut(world, i, (line.id, n), (from, to));
                }
            }
            Fault::Heal => {
                let partition = |l: &FaultLine| matches!(l.fault, Fault::Partition(_));
                let lines = self.script.lines.iter().enumerate();
                let cut: Vec<usize> = lines.filter(|(_, l)| partition(l)).map(|l| l.0).collect();
                for i in cut {
                    self.lift(world, i);
                }
            }
            Fault::Clog(from, to) => {
                for (lane, matches) in between(world, from, to) {
                    world.hold_back(lane, matches.clone());
                    self.clogs.entry(i).or_default().push((lane, matches));
                }
            }
            Fault::Release(from, to) => {
                for (lane, matches) in between(world, from, to) {
                    world.let_go(lane, &matches);
                }
            }
            Fault::Crash(name) => with_node(world, name, World::crash),
            Fault::Restart(name) => with_node(world, name, |world, node| {
                // What cannot be restarted was refused when the script was checked.
                let _ = world.restart(node);
            }),
            Fault::Pause(name) => with_node(world, name, World::pause),
            Fault::Resume(name) => with_node(world, name, World::resume),
        }
    }

    fn end(&mut self, world: &mut World, i: usize, line: &FaultLine) {
        match &line.fault {
            Fault::Packets { .. } | Fault::Partition(_) => self.lift(world, i),
            Fault::Wire { .. } => {
                let mine: Vec<Lane> = self
                    .changes
                    .iter()
                    .filter(|c| c.0 == i)
                    .map(|c| c.1)
                    .collect();
                self.changes.retain(|c| c.0 != i);
                for lane in mine {
                    self.recompute(world, lane);
                }
            }
            Fault::Down(link) | Fault::Flap { link, .. } => set_link(world, link, true),
            Fault::Clog(..) => {
                for (lane, matches) in self.clogs.remove(&i).unwrap_or_default() {
                    world.let_go(lane, &matches);
                }
            }
            Fault::Crash(name) => with_node(world, name, |world, node| {
                let _ = world.restart(node);
            }),
            Fault::Pause(name) => with_node(world, name, World::resume),
            // What these do has no end.
            Fault::Up(_) | Fault::Heal | Fault::Release(..) => {}
            Fault::Restart(_) | Fault::Resume(_) => {}
        }
    }

    fn lay(&mut self, world: &mut World, i: usize, lane: Lane, rule: Rule) {
        self.rules.entry(i).or_default().insert(rule.id);
        world.blame_rule(rule.id);
        if rule.act == Act::Corrupt {
            world.blame_way(lane, DropReason::WireFrameCheck, world.fault_now());
        }
        world.with_way(lane, |way| way.rules_mut().push(rule));
    }

    /// Nothing of what one node sends reaches another.
    fn cut(
        &mut self,
        world: &mut World,
        i: usize,
        (id, n): (u64, usize),
        (from, to): (&str, &str),
    ) {
        let only = Only {
            source: Some(Party::Node(from.to_owned())),
            to: Some(Party::Node(to.to_owned())),
            ..Only::default()
        };
        let Some(node) = world.find(from) else { return };
        let lanes: Vec<Lane> = world.node(node).map_or(Vec::new(), |n| n.lanes().collect());
        for (m, matches) in expand(world, &only).into_iter().enumerate() {
            let rule = rule(
                id.wrapping_add(n as u64),
                m,
                Harm::Drop,
                Share::Chance(Chance::ALWAYS),
                matches,
            );
            for &lane in &lanes {
                self.lay(world, i, lane, rule.clone());
            }
        }
    }

    fn lift(&mut self, world: &mut World, i: usize) {
        let Some(ids) = self.rules.remove(&i) else {
            return;
        };
        for id in &ids {
            world.end_quota(*id);
        }
        for lane in all_lanes(world) {
            world.with_way(lane, |way| {
                if !way.rules_mut().is_empty() {
                    way.rules_mut().retain(|r| !ids.contains(&r.id));
                }
            });
        }
    }

    /// The wire as it was, with all changes in force.
    fn recompute(&mut self, world: &mut World, lane: Lane) {
        let Some(present) = world.way(lane).map(|w| w.config().clone()) else {
            return;
        };
        let mut config = self.base.entry(lane).or_insert(present).clone();
        for reason in [DropReason::WireLoss, DropReason::FrameTooLong] {
            world.blame_way(lane, reason, Culprit::NOBODY);
        }
        for (_, _, change, fault) in self.changes.iter().filter(|c| c.1 == lane) {
            change.apply(&mut config);
            if let Some(reason) = change.costs() {
                world.blame_way(lane, reason, *fault);
            }
        }
        world.set_way(lane, config);
    }
}

fn with_node(world: &mut World, name: &str, f: impl FnOnce(&mut World, NodeId)) {
    if let Some(node) = world.find(name) {
        f(world, node);
    }
}

fn rule(id: u64, n: usize, harm: Harm, share: Share, matches: Match) -> Rule {
    let (chance, left) = share.odds();
    Rule {
        id: id.wrapping_add((n as u64).wrapping_mul(STRIDE)),
        matches,
        chance,
        left,
        act: harm.act(),
    }
}

/// A match for each pair of addresses that the words stand for.
fn expand(world: &World, only: &Only) -> Vec<Match> {
    let protocol = only.protocol.map(Kind::matched);
    let sources = addresses_of(world, only.source.as_ref());
    let destinations = addresses_of(world, only.to.as_ref());
    let pairs = sources
        .iter()
        .flat_map(|src| destinations.iter().map(move |dst| (*src, *dst)));
    pairs
        .map(|(src, dst)| Match {
            protocol,
            src,
            dst,
            port: only.port,
        })
        .collect()
}

fn addresses_of(world: &World, party: Option<&Party>) -> Vec<Option<IpAddr>> {
    match party {
        None => vec![None],
        Some(Party::Addr(addr)) => vec![Some(*addr)],
        Some(Party::Node(name)) => {
            let host = world.find(name).and_then(|node| world.host(node));
            let interfaces = host.map_or(&[][..], |h| h.interfaces());
            let addresses = interfaces.iter().flat_map(|i| i.addresses());
            addresses.map(|a| Some(a.cidr.addr())).collect()
        }
    }
}

/// Where what `from` sends to `to` leaves.
fn between(world: &World, from: &[String], to: &[String]) -> Vec<(Lane, Match)> {
    let mut all = Vec::new();
    for (a, b) in from.iter().flat_map(|a| to.iter().map(move |b| (a, b))) {
        let only = Only {
            source: Some(Party::Node(a.clone())),
            to: Some(Party::Node(b.clone())),
            ..Only::default()
        };
        let Some(node) = world.find(a).and_then(|id| world.node(id)) else {
            continue;
        };
        for matches in expand(world, &only) {
            all.extend(node.lanes().map(|lane| (lane, matches.clone())));
        }
    }
    all
}

fn all_lanes(world: &World) -> Vec<Lane> {
    let wires = world.wires().map(|(wire, _)| wire);
    wires.flat_map(both).collect()
}

fn both(wire: WireId) -> [Lane; 2] {
    [Lane { wire, from: 0 }, Lane { wire, from: 1 }]
}

fn wires_of(world: &World, link: &Link) -> Vec<WireId> {
    match link {
        Link::Wire(name) => world.find_wire(name).into_iter().collect(),
        Link::Port(name, port) => {
            let node = world.find(name).and_then(|id| world.node(id));
            let lane = node.and_then(|n| n.lanes().nth(usize::from(*port)));
            lane.map(|l| l.wire).into_iter().collect()
        }
        Link::All => world.wires().map(|(wire, _)| wire).collect(),
    }
}

fn lanes_of(world: &World, place: &Place) -> Vec<Lane> {
    let wires = wires_of(world, &place.link).into_iter();
    let from = place.from.as_deref();
    let wanted = |lane: &Lane| from.is_none_or(|name| world.sender_of(*lane) == Some(name));
    wires.flat_map(both).filter(wanted).collect()
}

fn set_link(world: &mut World, link: &Link, up: bool) {
    for wire in wires_of(world, link) {
        world.set_wire_up(wire, up);
    }
}
