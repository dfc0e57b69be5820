//! The programs of one host, of which an event turns only those that it concerns.
//!
//! ```text
//!   deadline  --due: (at, task)-----------> those whose time it is
//!   readiness --owners: socket -> task----> the one whose socket it is, and who hears of all
//!   news      ----------------------------> everyone           each that was turned may have notes
//! ```
//!
//! Promises: programs are turned in the order in which they were added, as if all were asked. Where
//! there are only a few, all are: most hosts run one, and then a list is all that is kept.

use super::program::{Program, Task};
use crate::endpoint::Hears;
use stack::frame::Frame;
use stack::host::{Event, Host};
use stack::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// So many are asked all.
const FEW: usize = 8;

/// Programs with their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks {
    list: Vec<Task>,
    index: Option<Box<Index>>,
}

/// Who is to be asked about what.
#[derive(Clone, Debug, Default)]
struct Index {
    due: BTreeSet<(Instant, usize)>,
    owners: BTreeMap<Hears, usize>,
    /// Those who hear of every socket.
    all: Vec<usize>,
    /// Those who put frames on the wire themselves, and take some.
    framers: Vec<usize>,
    /// What is above, by task.
    known: Vec<(Option<Instant>, Hears)>,
    /// Those who may have notes.
    turned: BTreeSet<usize>,
}

impl Tasks {
    pub(super) fn push(&mut self, task: Task) {
        // A vector would begin with room for four.
        if self.list.len() < FEW {
            self.list.reserve_exact(1);
        }
        self.list.push(task);
        self.keep_index();
    }

    /// Asks all from now on.
    #[cfg(test)]
    pub(super) fn ask_all(&mut self) {
        self.index = None;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn as_slice(&self) -> &[Task] {
        &self.list
    }

    /// Their host begins again at `now`, and so do they, for the `life`-th time after the first; what
    /// they measured `before` is kept.
    pub(super) fn begin_again(&mut self, now: Instant, life: u32, before: &Self) {
        for (task, before) in self.list.iter_mut().zip(&before.list) {
            task.begin_again(now, life);
            task.follow(before);
        }
        self.index = None;
        self.keep_index();
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.index {
            Some(index) => index.due.first().map(|(at, _)| *at),
            None => self.list.iter().filter_map(Task::poll_timeout).min(),
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        let Some(index) = &mut self.index else {
            for task in &mut self.list {
                task.handle_timeout(now, host);
            }
            return;
        };
        let due = index.due.iter().take_while(|(at, _)| *at <= now);
        let mut due: Vec<usize> = due.map(|(_, task)| *task).collect();
        due.sort_unstable();
        for i in due {
            if let Some(task) = self.list.get_mut(i) {
                task.handle_timeout(now, host);
                index.turned(i, task);
            }
        }
    }

    pub(super) fn handle_event(&mut self, now: Instant, host: &mut Host, event: &Event) {
        let Some(index) = &mut self.index else {
            for task in &mut self.list {
                task.handle_event(now, host, event);
            }
            return;
        };
        let mut who = match socket_of(event) {
            Some(socket) => {
                let mut who = index.all.clone();
                who.extend(index.owners.get(&socket));
                who
            }
            None => (0..self.list.len()).collect(),
        };
        who.sort_unstable();
        for i in who {
            if let Some(task) = self.list.get_mut(i) {
                task.handle_event(now, host, event);
                index.turned(i, task);
            }
        }
    }

    /// Whether a program takes a frame before its host does.
    pub(super) fn handle_frame(&mut self, now: Instant, frame: &Frame) -> bool {
        let Some(index) = &mut self.index else {
            return self.list.iter_mut().any(|t| t.handle_frame(now, frame));
        };
        for i in index.framers.clone() {
            if let Some(task) = self.list.get_mut(i) {
                let taken = task.handle_frame(now, frame);
                index.turned(i, task);
                if taken {
                    return true;
                }
            }
        }
        false
    }

    /// A program's own frame, where it makes such.
    pub(super) fn poll_frame(&mut self, now: Instant) -> Option<Frame> {
        let Some(index) = &self.index else {
            return self.list.iter_mut().find_map(|t| t.poll_frame(now));
        };
        let mut framers = index.framers.iter();
        framers.find_map(|i| self.list.get_mut(*i)?.poll_frame(now))
    }

    /// What they have to say: who, a word and the rest.
    pub(super) fn poll_notes(&mut self, mut tell: impl FnMut(&str, &'static str, String)) {
        let mut ask = |task: &mut Task| {
            while let Some((word, text)) = task.poll_note() {
                tell(task.name(), word, text);
            }
        };
        match &mut self.index {
            Some(index) => {
                for i in std::mem::take(&mut index.turned) {
                    self.list.get_mut(i).into_iter().for_each(&mut ask);
                }
            }
            None => self.list.iter_mut().for_each(ask),
        }
    }

    fn keep_index(&mut self) {
        if self.list.len() <= FEW {
            return;
        }
        let index = self.index.get_or_insert_default();
        for (i, task) in self.list.iter().enumerate().skip(index.known.len()) {
            index.known.push((None, Hears::Nothing));
            if task.program().hears() == Hears::All {
                index.all.push(i);
            }
            if has_frames(task.program()) {
                index.framers.push(i);
            }
            index.turned(i, task);
        }
    }
}

impl Index {
    /// Something happened to a program: it may wait for something else now.
    fn turned(&mut self, i: usize, task: &Task) {
        self.turned.insert(i);
        let now = (task.poll_timeout(), task.program().hears());
        let Some(known) = self.known.get_mut(i) else {
            return;
        };
        let was = std::mem::replace(known, now);
        if was.0 != now.0 {
            if let Some(at) = was.0 {
                self.due.remove(&(at, i));
            }
            if let Some(at) = now.0 {
                self.due.insert((at, i));
            }
        }
        if was.1 != now.1 {
            if self.owners.get(&was.1) == Some(&i) {
                self.owners.remove(&was.1);
            }
            if !matches!(now.1, Hears::Nothing | Hears::All) {
                self.owners.insert(now.1, i);
            }
        }
    }
}

/// Whose readiness an event tells, where it is no news for all.
const fn socket_of(event: &Event) -> Option<Hears> {
    match *event {
        Event::Udp(handle, _) => Some(Hears::Udp(handle)),
        Event::Raw(handle, _) => Some(Hears::Raw(handle)),
        Event::Tcp(handle, _) => Some(Hears::Tcp(handle)),
        // Of connections to be accepted only those hear who hear of all.
        Event::Listener(_) => Some(Hears::Nothing),
        _ => None,
    }
}

const fn has_frames(program: &Program) -> bool {
    matches!(program, Program::ArpForger(_) | Program::TcpAttacker(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::services::Service;
    use crate::endpoint::tcp_attacker::Attack;
    use crate::lab::build::Options;
    use crate::lab::topology::{Client, ClientKind, Topology};
    use crate::lab::world::World;
    use stack::time::Duration;

    /// Clients of all kinds at one host, most of them twice.
    fn busy() -> Topology {
        let mut topology = Topology::new()
            .host("a")
            .router("r")
            .host("b")
            .link("a", "r")
            .link("r", "b");
        topology.nodes[2].services = vec![Service::Echo, Service::Sink, Service::Chargen];
        for i in 0..40_u64 {
            let kinds = [ClientKind::TcpAttacker].into_iter().chain(ClientKind::ALL);
            let kind = kinds.cycle().nth(usize::try_from(i).unwrap()).unwrap();
            let mut client = Client::new(&format!("c{i}"), "a", kind, "b".into());
            client.start = Duration::from_millis(7 * (i / 12));
            client.interval = Some(Duration::from_millis(1 + i));
            if kind == ClientKind::Scan {
                (client.port, client.last_port) = (Some(5), Some(30));
            }
            if kind == ClientKind::TcpAttacker {
                client.attack = Some(Attack::SynFlood);
                client.count = Some(5);
            }
            if kind == ClientKind::ArpForger {
                client.claims = Some("10.0.1.77".into());
            }
            topology = topology.client(client);
        }
        topology
            .faults("between 1s and 2s loss 20% on a-r")
            .unwrap()
    }

    fn run(topology: &Topology, seed: u64, indexed: bool) -> World {
        let options = Options {
            seed,
            digest: true,
            watch: true,
            ..Options::default()
        };
        let mut world = topology.build(&options).unwrap();
        if !indexed {
            world.ask_all_tasks();
        }
        world.run_until(Instant::ZERO + Duration::from_secs(4));
        world
    }

    #[test]
    fn only_whom_it_concerns_is_as_good_as_all() {
        let topology = busy();
        for seed in 0..4 {
            let [one, all] = [true, false].map(|indexed| run(&topology, seed, indexed));
            assert_eq!(one.digest(), all.digest());
            assert_eq!(one.steps(), all.steps());
            for client in &topology.clients {
                for metric in client.kind.metrics() {
                    let [one, all] = [&one, &all].map(|w| w.measure(&client.name, metric));
                    assert_eq!(one, all, "{} {metric}", client.name);
                }
            }
        }
    }

    #[test]
    fn they_begin_again_with_their_host() {
        let mut topology = busy();
        topology.faults.lines.clear();
        let topology = topology.faults("at 500ms crash a for 300ms").unwrap();
        let mut world = run(&topology, 1, true);
        for client in &topology.clients {
            let sent = world.measure(&client.name, "sent");
            assert!(sent > Some(0), "{} {sent:?}", client.name);
        }
        let before = world.measure("c1", "sent");
        world.run_until(Instant::ZERO + Duration::from_secs(5));
        assert!(world.measure("c1", "sent") > before);
    }
}
