//! Fast Open in the host: cookies of servers we know, cookies that we give, and how many clients
//! may be served before they have shown that they are there.
//!
//! ```text
//!   tcp_connect --plan--> Connection --outcome--> what is remembered of the server
//!   SYN, cookie --good, pending < limit--> Connection, at once to be accepted
//!                                            |-- ACK -----> no longer pending
//!                                            `-- reset ---> counts for a minute more
//! ```
//!
//! Read first: RFC 7413 §4.2 and §5.1.
//!
//! Promises: a listener that does not ask for it ignores the option; so does one that has as many
//! pending as it allows, or answers by SYN cookies.

use super::Ends;
use super::listen::Listener;
use crate::frame::Payload;
use crate::host::Host;
use crate::host::event::{ListenHandle, TcpHandle};
use crate::host::stats::TcpStats;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::transport::tcp::fastopen::{Check, Client, Server};
use crate::transport::tcp::segment::Cookie;
use crate::transport::tcp::{Connection, Outcome, Segment};
use crate::transport::{Key, Slab};
use alloc::collections::BTreeMap;
use core::net::{IpAddr, SocketAddr};

/// How long a client that was reset, or did not acknowledge, counts as one that is pending.
const PENANCE: Duration = Duration::from_secs(60);

/// Fast Open's memory.
#[derive(Clone, Debug)]
pub(in crate::host) struct FastOpen {
    pub(in crate::host) client: Client,
    server: Server,
    /// Connections that were served early, and whose listener counts them.
    pending: BTreeMap<Key, Key>,
}

fn server(key: [u8; 16], backup: Option<[u8; 16]>) -> Server {
    let server = Server::with_key(key);
    match backup {
        Some(backup) => server.with_backup(backup),
        None => server,
    }
}

impl FastOpen {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self {
            client: Client::new(),
            server: Server::new(rng),
            pending: BTreeMap::new(),
        }
    }

    /// How a handshake went.
    #[cold]
    pub(super) fn note(
        &mut self,
        now: Instant,
        (key, ends): (Key, &Ends),
        outcome: Outcome,
        listeners: &mut Slab<Listener>,
        stats: &mut TcpStats,
    ) {
        let (local, remote) = (ends.local, ends.remote());
        match outcome {
            Outcome::Answered { cookie, mss, works } => {
                self.client.learn(local, remote, cookie.as_ref(), mss);
                match works {
                    Some(true) => self.client.succeeded(local, remote),
                    Some(false) => {
                        stats.fast_opens_refused += 1;
                        self.client.failed(now, local, remote);
                    }
                    None => {}
                }
            }
            Outcome::Unanswered { experiment, mss } => {
                self.client.unanswered((local, remote), experiment, mss);
            }
            Outcome::Failed => {
                stats.fast_opens_refused += 1;
                self.client.failed(now, local, remote);
            }
            Outcome::Opened | Outcome::Abandoned => {
                let listener = self.pending.remove(&key);
                let Some(l) = listener.and_then(|l| listeners.get_mut(l)) else {
                    return;
                };
                l.pending.now = l.pending.now.saturating_sub(1);
                if outcome == Outcome::Abandoned {
                    //= RFC 7413 §5.1 one that was reset goes on counting, lest resets feed a flood.
                    l.pending.failed.push_back(now + PENANCE);
                }
            }
        }
    }
}

impl Host {
    /// Makes Fast Open cookies with a key that others know too; those of the `backup` are taken
    /// as well.
    pub fn tcp_set_fast_open_key(&mut self, key: [u8; 16], backup: Option<[u8; 16]>) {
        self.tcp.fast_open.server = server(key, backup);
    }

    /// The same for the cookies of one listener.
    pub fn tcp_set_listener_fast_open_key(
        &mut self,
        listener: ListenHandle,
        key: [u8; 16],
        backup: Option<[u8; 16]>,
    ) {
        if let Some(l) = self.tcp.listeners.get_mut(listener.0) {
            l.pending.server = Some(server(key, backup));
        }
    }

    /// Whether a server has given us a cookie that data may go with.
    #[must_use]
    pub fn tcp_has_fast_open_cookie(&self, now: Instant, to: SocketAddr) -> bool {
        self.tcp.fast_open.client.knows(now, to)
    }

    /// How much data goes with the SYN of a connection that has not sent it yet.
    #[must_use]
    pub fn tcp_fast_open_room(&self, handle: TcpHandle) -> usize {
        let connection = self.tcp.connections.get(handle.0);
        let room = connection.map_or(0, |entry| entry.connection.early_room());
        usize::try_from(room).unwrap_or(usize::MAX)
    }

    /// Forgets all servers' cookies, and how they answered.
    pub fn tcp_forget_fast_open(&mut self) {
        self.tcp.fast_open.client = Client::new();
    }

    /// Sees to the Fast Open option of a SYN that `connection` is to answer; whether its data was
    /// taken, and the connection may be accepted at once.
    pub(super) fn answer_early(
        &mut self,
        now: Instant,
        (listener, local, client): (Key, IpAddr, IpAddr),
        seg: &Segment,
        data: Payload,
        connection: &mut Connection,
    ) -> bool {
        let Some(l) = self.tcp.listeners.get_mut(listener) else {
            return false;
        };
        let open = l.pending.open && !data.is_empty();
        //= RFC 7413 §4.2 off, or with too many pending, all cookie options are ignored.
        if l.pending.limit == 0 || seg.fast_open.is_none() && !open {
            return false;
        }
        if !l.pending.has_room(now) {
            self.stats.tcp.fast_open_overflows += 1;
            return false;
        }
        let Some(offered) = seg.fast_open else {
            return connection.take_early(now, seg, data).is_ok();
        };
        let server = l.pending.server.as_ref();
        let server = server.unwrap_or(&self.tcp.fast_open.server);
        let check = server.check_at(now, client, local, offered.as_slice());
        if check != Check::Current
            && let Some(cookie) = Cookie::new(&server.cookie_at(now, client, local))
        {
            connection.give_cookie(cookie.in_experiment(offered.is_experimental()));
        }
        (check.accepts() || open) && connection.take_early(now, seg, data).is_ok()
    }

    /// A connection whose SYN's data was taken: it waits to be accepted, and is pending.
    pub(super) fn admit_early(&mut self, key: Key, listener: Key) {
        self.tcp.fast_open.pending.insert(key, listener);
        if let Some(l) = self.tcp.listeners.get_mut(listener) {
            l.pending.now += 1;
        }
        self.stats.tcp.fast_opens += 1;
        self.queue_accept(key, listener);
    }
}
