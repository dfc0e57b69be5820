//! What is told of the connections of a world's hosts, and the place where it is collected.

use crate::lab::ids::NodeId;
use stack::host::TcpHandle;
use stack::time::Instant;
use stack::transport::tcp::{LogEntry, Options};
use std::collections::{BTreeMap, VecDeque};
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
    /// So is its host.
    Crashed,
}

/// What has been collected.
#[derive(Clone, Debug, Default)]
pub(super) struct TcpLog {
    pub(super) known: BTreeMap<NodeId, BTreeMap<TcpHandle, Connection>>,
    pub(super) next: u32,
    pub(super) events: VecDeque<TcpEvent>,
}

impl TcpLog {
    pub(super) fn tell(&mut self, at: Instant, connection: Connection, told: TcpTold) {
        self.events.push_back(TcpEvent {
            at,
            connection,
            told,
        });
    }

    pub(super) fn begin(
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

    pub(super) fn end(
        &mut self,
        now: Instant,
        node: NodeId,
        told: &TcpTold,
        gone: impl Fn(&TcpHandle) -> bool,
    ) {
        let Some(of_node) = self.known.get_mut(&node) else {
            return;
        };
        let gone: Vec<TcpHandle> = of_node.keys().filter(|h| gone(h)).copied().collect();
        let ended: Vec<Connection> = gone.iter().filter_map(|h| of_node.remove(h)).collect();
        for connection in ended {
            self.tell(now, connection, told.clone());
        }
    }
}
