//! What the TCP of a world's hosts decides, collected while it runs.
//!
//! ```text
//!   Options.log --> a connection's log --tcp_poll_log--> World --poll_tcp_log--> export::qlog
//! ```
//!
//! Nothing is collected unless asked for before the world is built
//! ([`Options::tcp_log`](crate::lab::build::Options)): each connection of a host is then looked at
//! after whatever happens at it. What a connection decides after its user has let go of it, closing
//! by itself, is not told any more: its handle is good for nothing then.

use super::{Kind, World};
use crate::lab::ids::NodeId;
use stack::host::TcpHandle;
use stack::time::Instant;
use stack::transport::tcp::{LogEntry, Options};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

/// Who a connection is between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its number in the world, from 1, in the order in which they were seen.
    pub number: u32,
    /// At which node.
    pub node: NodeId,
    /// Its end there.
    pub local: SocketAddr,
    /// Its other end.
    pub remote: SocketAddr,
}

/// Something that concerns a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpEvent {
    /// When.
    pub at: Instant,
    /// Which.
    pub connection: Connection,
    /// What.
    pub told: TcpTold,
}

/// What is told of a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum TcpTold {
    /// A program has it, with these options.
    Begins(Box<Options>),
    /// It decided something.
    Entry(LogEntry),
    /// It is gone.
    Ends,
}

/// What has been collected.
#[derive(Clone, Debug, Default)]
pub(super) struct TcpLog {
    known: BTreeMap<NodeId, BTreeMap<TcpHandle, Connection>>,
    next: u32,
    events: VecDeque<TcpEvent>,
}

impl TcpLog {
    fn tell(&mut self, at: Instant, connection: Connection, told: TcpTold) {
        self.events.push_back(TcpEvent {
            at,
            connection,
            told,
        });
    }
}

impl TcpLog {
    fn begin(
        &mut self,
        at: Instant,
        (node, handle): (NodeId, TcpHandle),
        (local, remote): (SocketAddr, SocketAddr),
        told: TcpTold,
    ) -> Connection {
        self.next += 1;
        let connection = Connection {
            number: self.next,
            node,
            local,
            remote,
        };
        let of_node = self.known.entry(node).or_default();
        of_node.insert(handle, connection);
        self.tell(at, connection, told);
        connection
    }

    fn end(&mut self, now: Instant, node: NodeId, gone: impl Fn(&TcpHandle) -> bool) {
        let Some(of_node) = self.known.get_mut(&node) else {
            return;
        };
        let gone: Vec<TcpHandle> = of_node.keys().filter(|h| gone(h)).copied().collect();
        let ended: Vec<Connection> = gone.iter().filter_map(|h| of_node.remove(h)).collect();
        for connection in ended {
            self.tell(now, connection, TcpTold::Ends);
        }
    }
}

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
        log.end(now, id, |handle| !here.contains(handle));
    }

    /// A host has crashed, and its connections with it.
    pub(super) fn end_tcp_log(&mut self, id: NodeId) {
        let now = self.now;
        if let Some(log) = &mut self.tcp_log {
            log.end(now, id, |_| true);
        }
    }
}
