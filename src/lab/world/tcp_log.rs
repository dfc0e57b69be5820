//! What the TCP of a world's hosts decides, collected while it runs.
//!
//! ```text
//!   Options.log --> a connection's log --tcp_poll_log--> World --poll_tcp_log--> export::qlog
//! ```
//!
//! Nothing is collected unless asked for before the world is built
//! ([`Options::tcp_log`](crate::lab::build::Options)): each connection of a host is then looked at
//! after whatever happens at it. So is what one decides after its user has let go of it, and how it
//! ended.

use super::tcp_event::{TcpEvent, TcpTold};
use super::{Kind, State, World};
use crate::lab::ids::NodeId;
use stack::host::TcpHandle;
use std::collections::BTreeSet;

impl World {
    /// Collects what TCP decides, where its options have it keep a log.
    pub fn keep_tcp_log(&mut self, on: bool) {
        self.tcp_log = on.then(Box::default);
    }

    /// Whether it does.
    #[must_use]
    pub const fn keeps_tcp_log(&self) -> bool {
        self.tcp_log.is_some()
    }

    /// The next of what TCP has decided.
    pub fn poll_tcp_log(&mut self) -> Option<TcpEvent> {
        self.tcp_log.as_mut()?.events.pop_front()
    }

    pub(super) fn collect_tcp_log(&mut self, id: NodeId) {
        // What a crash has ended does not begin again.
        let node = self.nodes.get(id.0 as usize);
        if node.is_some_and(|n| n.state == State::Down) {
            return;
        }
        let now = self.now;
        let (Some(log), Some(Kind::Host(station))) = (
            &mut self.tcp_log,
            self.nodes.get_mut(id.0 as usize).map(|n| &mut n.kind),
        ) else {
            return;
        };
        let host = &mut station.host;
        let open: Vec<_> = host.tcp_connections().collect();
        let here: BTreeSet<TcpHandle> = open.iter().map(|(handle, ..)| *handle).collect();
        for (handle, local, remote, _) in open {
            let known = log.known.get(&id).and_then(|of_node| of_node.get(&handle));
            let connection = match (known, host.tcp_options(handle)) {
                (Some(known), _) => *known,
                (None, Some(options)) => {
                    let told = TcpTold::Begins(Box::new(options.clone()));
                    // One that was accepted has begun before it was.
                    let first = host.tcp_poll_log(handle);
                    let at = first.map_or(now, |entry| entry.at);
                    let connection = log.begin(at, (id, handle), (local, remote), told);
                    if let Some(entry) = first {
                        log.tell(entry.at, connection, TcpTold::Entry(entry));
                    }
                    connection
                }
                // Nobody has accepted it yet.
                (None, None) => continue,
            };
            while let Some(entry) = host.tcp_poll_log(handle) {
                log.tell(entry.at, connection, TcpTold::Entry(entry));
            }
        }
        let known = log.known.get(&id).into_iter().flatten();
        let gone: Vec<_> = known
            .filter(|(handle, _)| !here.contains(handle))
            .map(|(handle, connection)| (*handle, *connection))
            .collect();
        for (handle, connection) in gone {
            while let Some(entry) = host.tcp_poll_log(handle) {
                log.tell(entry.at, connection, TcpTold::Entry(entry));
            }
        }
        log.end(now, id, &TcpTold::Ends, |handle| !here.contains(handle));
    }

    /// A host has crashed, and its connections with it.
    pub(super) fn end_tcp_log(&mut self, id: NodeId) {
        let now = self.now;
        if let Some(log) = &mut self.tcp_log {
            log.end(now, id, &TcpTold::Crashed, |_| true);
        }
    }
}
