//! What a line of a fault script, or a test, does to a world: wires change, packets are held, nodes
//! stop and begin again.

use super::{BuildError, Direction, Kind, Quota, State, Station, World};
use crate::lab::fault::Run;
use crate::lab::ids::{Lane, NodeId, WireId};
use crate::lab::queue::What;
use crate::lab::trace::Culprit;
use stack::host::Host;
use stack::link::impair::{Config as Impair, Match, Way};
use stack::machine::Port;
use stack::reason::DropReason;
use stack::rng::Rng;
use stack::time::Instant;
use std::sync::Arc;

impl World {
    /// Changes a direction of a wire; frames in flight keep their fate.
    pub fn set_way(&mut self, lane: Lane, config: Impair) {
        let now = self.now;
        self.with_way(lane, |way| way.set_config(now, config));
    }

    /// Calls `f` with a direction of a wire, and plans anew for it.
    pub fn with_way<T>(&mut self, lane: Lane, f: impl FnOnce(&mut Way) -> T) -> Option<T> {
        let i = lane.index();
        let result = f(&mut self.lanes.get_mut(i)?.way);
        if self.watch.is_some() {
            self.tell_lost(i);
        }
        self.replan_lane(i);
        Some(result)
    }

    /// Plugs a wire in or pulls it out: both ends notice at once, and what is on it is lost.
    pub fn set_wire_up(&mut self, wire: WireId, up: bool) {
        let now = self.now;
        let fault = if up {
            Culprit::NOBODY
        } else {
            self.fault_now()
        };
        for from in 0..2 {
            let lane = Lane { wire, from };
            self.blame_way(lane, DropReason::WireDown, fault);
            self.with_way(lane, |way| way.set_up(now, up));
            if let Some(direction) = self.lanes.get_mut(lane.index()) {
                direction.rest = None;
            }
        }
        let Some(ends) = self.wires.get(wire.0 as usize).map(|w| w.ends) else {
            return;
        };
        for (node, port) in ends {
            self.set_port_up(node, port, up);
        }
    }

    /// Takes the interfaces on a host's port up or down.
    pub fn set_port_up(&mut self, node: NodeId, port: Port, up: bool) {
        let Some(host) = self.host(node) else { return };
        let interfaces = (0..).zip(host.interfaces());
        let on_port = interfaces.filter(|(_, i)| i.port() == port && i.is_up() != up);
        let numbers: Vec<u16> = on_port.map(|(n, _)| n).collect();
        if !numbers.is_empty() {
            if !up {
                self.blame_node(node, DropReason::InterfaceDown);
            }
            let word = if up { "up" } else { "down" };
            self.tell_state(node, format!("port {}: {word}", port.0));
        }
        self.with_host(node, |host, now| {
            for number in numbers {
                host.set_up(now, number, up);
            }
        });
    }

    /// Holds back what of the frames that arrive by `lane` matches.
    pub fn hold_back(&mut self, lane: Lane, matches: Match) {
        if let Some(direction) = self.lanes.get_mut(lane.index()) {
            let holds = direction.holds.get_or_insert_default();
            holds.matches.push(matches);
        }
    }

    /// No longer holds back what matches; what waited for nothing else arrives now, in order.
    pub fn let_go(&mut self, lane: Lane, matches: &Match) {
        let i = lane.index();
        let Some(direction) = self.lanes.get_mut(i) else {
            return;
        };
        let Some(mut holds) = direction.holds.take() else {
            return;
        };
        holds.matches.retain(|m| m != matches);
        let mut free = Vec::new();
        holds.bytes = 0;
        for mut arrival in std::mem::take(&mut holds.waiting) {
            if holds.matches.iter().any(|m| m.matches(&mut arrival.frame)) {
                holds.push(arrival);
            } else {
                free.push(arrival);
            }
        }
        direction.holds = (!holds.matches.is_empty()).then_some(holds);
        for arrival in free {
            self.arrive(i, arrival);
        }
    }

    /// These rules, laid on these directions of wires, count packets together.
    pub(in crate::lab) fn share_quota(&mut self, rules: Vec<u64>, lanes: Vec<Lane>) {
        let quota = Arc::new(Quota { rules, lanes });
        for rule in &quota.rules {
            self.quotas.insert(*rule, Arc::clone(&quota));
        }
    }

    /// They no longer do.
    pub(in crate::lab) fn end_quota(&mut self, rule: u64) {
        self.quotas.remove(&rule);
    }

    /// Where a rule that counts has taken a packet, those that count with it have as many left.
    pub(super) fn count_quota(&mut self, i: usize) {
        let Some((taker, left)) = self.lanes[i].way.take_counted() else {
            return;
        };
        let Some(quota) = self.quotas.get(&taker).cloned() else {
            return;
        };
        for lane in &quota.lanes {
            let Some(direction) = self.lanes.get_mut(lane.index()) else {
                continue;
            };
            let others = quota.rules.iter();
            for id in others.filter(|id| lane.index() != i || **id != taker) {
                direction.way.count_along((*id, left));
            }
        }
    }

    /// Frames held back everywhere.
    #[must_use]
    pub fn held_back(&self) -> usize {
        self.lanes.iter().map(Direction::held_back).sum()
    }

    /// The node neither hears nor acts until it is resumed.
    pub fn pause(&mut self, node: NodeId) {
        if let Some(n) = self.nodes.get_mut(node.0 as usize)
            && n.state == State::Running
        {
            n.state = State::Paused;
            n.planned = Instant::FAR_FUTURE;
            self.blame_node(node, DropReason::NodePaused);
            self.tell_state(node, "paused".to_owned());
        }
    }

    /// The node goes on where it was paused; what it missed in time, it does now.
    pub fn resume(&mut self, node: NodeId) {
        if let Some(n) = self.nodes.get_mut(node.0 as usize)
            && n.state == State::Paused
        {
            n.state = State::Running;
            let ports = n.ports.clone();
            self.tell_state(node, "running".to_owned());
            for lane in ports {
                self.pull_rest(lane as usize);
            }
            self.attend(node);
        }
    }

    /// The node is gone, and all it knew.
    pub fn crash(&mut self, node: NodeId) {
        if let Some(n) = self.nodes.get_mut(node.0 as usize)
            && n.state != State::Down
        {
            n.state = State::Down;
            n.planned = Instant::FAR_FUTURE;
            for &lane in &n.ports {
                self.lanes[lane as usize].rest = None;
            }
            self.blame_node(node, DropReason::NodeDown);
            self.end_tcp_log(node);
            self.tell_state(node, "down".to_owned());
        }
    }

    /// The node begins again as it was when the world was built.
    ///
    /// # Errors
    /// Where [`keep_births`](Self::keep_births) was not called, or the node is no host.
    pub fn restart(&mut self, node: NodeId) -> Result<(), BuildError> {
        let now = self.now;
        let n = self.nodes.get_mut(node.0 as usize);
        let n = n.ok_or_else(|| BuildError("there is no such node".to_owned()))?;
        let Kind::Host(station) = &mut n.kind else {
            return Err(BuildError(format!("{} is no host", n.name)));
        };
        let Some(birth) = station.birth.clone() else {
            return Err(BuildError(format!("{} was not kept at birth", n.name)));
        };
        let mut past = std::mem::take(&mut station.past);
        past.push(*station.host.stats());
        // Another life draws other numbers, as a machine that boots again does.
        let rng = self.rng.fork(&format!("node/{}/{}", n.name, past.len()));
        let before = std::mem::take(&mut station.tasks);
        let life = u32::try_from(past.len()).unwrap_or(u32::MAX);
        **station = Station {
            host: reborn(&birth.host, now, rng),
            tasks: birth.tasks.clone(),
            birth: Some(Arc::clone(&birth)),
            past,
        };
        station.tasks.begin_again(now, life, &before);
        n.state = State::Running;
        if let Some(watch) = &mut self.watch {
            let fresh = station.host.stats();
            let told = Box::new((fresh.dropped_in, fresh.dropped_out));
            watch.told.insert(node, told);
        }
        self.tell_state(node, "running".to_owned());
        self.attend(node);
        Ok(())
    }

    /// Lets the script act on the world, and plans what follows.
    pub(in crate::lab) fn with_script(
        &mut self,
        f: impl FnOnce(&mut Run, &mut Self) -> Vec<(Instant, u32)>,
    ) {
        let Some(mut script) = self.script.take() else {
            return;
        };
        for (at, number) in f(&mut script, self) {
            self.queue.plan(at.max(self.now), What::Fault(number));
        }
        self.set_fault_now(Culprit::NOBODY);
        self.script = Some(script);
    }
}

/// A host with the same interfaces, addresses and routes, and nothing else of the old one.
fn reborn(old: &Host, now: Instant, rng: Rng) -> Host {
    let mut host = Host::new(old.config().clone(), rng);
    for interface in old.interfaces() {
        let mut config = interface.config().clone();
        config.addresses = interface.addresses().iter().map(|a| a.cidr).collect();
        host.add_interface(now, config);
    }
    for route in old.routes().iter() {
        // Those of its addresses are there already.
        let _ = host.add_route(*route);
    }
    host
}
