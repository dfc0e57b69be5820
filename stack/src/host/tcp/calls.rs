//! User calls: RFC 9293 §3.9.1's, non-blocking, by handle.

use super::{Ends, Entry, Owner, Tcp};
use crate::host::event::{TcpHandle, Who};
use crate::host::routing::Way;
use crate::host::zone::NoZone;
use crate::host::{Host, Readiness, zone_of};
use crate::reason::DropReason;
use crate::time::{Duration, Instant};
use crate::transport::Key;
use crate::transport::tcp::{
    self, Boundary, Connection, Error, LogEntry, Report, State, Status, Why,
};
use crate::wire::zone;
use bytes::Bytes;
use core::fmt;
use core::net::SocketAddr;

/// Why no connection was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// No route to the peer, or its interface is down.
    NoRoute,
    /// A route forbids it.
    Prohibited,
    /// A broadcast or multicast address, or port zero: nobody to connect to.
    BadPeer,
    /// The address to connect from is not one of the host's.
    NotAvailable,
    /// There is a connection between these two ends.
    InUse,
    /// An address of a link, and no zone to tell which of several.
    NeedsZone,
    /// Every ephemeral port is taken.
    NoPort,
    /// The limit of [`Config::max_connections`](crate::host::Config::max_connections).
    TooMany,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRoute => "no route to the peer",
            Self::Prohibited => "the route forbids it",
            Self::BadPeer => "not an address and port to connect to",
            Self::NotAvailable => "not an address of this host",
            Self::InUse => "there is such a connection",
            Self::NeedsZone => "an address of one link: say which, as fe80::1%eth0",
            Self::NoPort => "no ephemeral port is free",
            Self::TooMany => "too many connections",
        })
    }
}

impl core::error::Error for ConnectError {}

impl From<NoZone> for ConnectError {
    fn from(why: NoZone) -> Self {
        match why {
            NoZone::Ambiguous => Self::NeedsZone,
            NoZone::Unknown => Self::NoRoute,
        }
    }
}

impl Tcp {
    /// Whether a connection's ends may be used again by us: it waits in TIME-WAIT for nobody, and
    /// timestamps tell its segments from the new one's.
    //= RFC 6191 §2 with timestamps, a new incarnation may begin once its timestamps are later.
    fn is_reusable(&self, now: Instant, key: Key) -> bool {
        self.connections.get(key).is_some_and(|entry| {
            entry.owner == Owner::Nobody
                && entry.connection.state() == State::TimeWait
                && now.since(entry.since) >= Duration::from_secs(1)
                && entry.connection.status(now).timestamps
        })
    }
}

impl Host {
    /// Begins a connection to `to`, from an address and port of this host or, where those are
    /// `None` or zero, from ones that fit. [`Readiness::WRITABLE`] says that it is open,
    /// [`Readiness::ERROR`] that it failed.
    ///
    /// With [`fast_open`](tcp::Options::fast_open), what [`tcp_send`](Self::tcp_send) is given
    /// before frames are next asked for goes with the SYN, as far as one segment holds it, once the
    /// server has given this host a cookie; until then, and where that failed lately, it follows
    /// the handshake as always. Whoever asks for it must be able to bear that the server sees these
    /// bytes twice (RFC 7413 §6.1).
    ///
    /// # Errors
    /// See [`ConnectError`].
    ///
    /// ```
    /// use stack::host::{Config, Event, Host, InterfaceConfig};
    /// use stack::machine::{Machine, Port};
    /// use stack::rng::Rng;
    /// use stack::time::{Duration, Instant};
    /// use stack::transport::tcp;
    ///
    /// let host = |addr: &str, seed| {
    ///     let mut host = Host::new(Config::default(), Rng::from_seed(seed));
    ///     let tun = InterfaceConfig::ip("tun0", Port(0)).with_address(addr.parse().unwrap());
    ///     host.add_interface(Instant::ZERO, tun);
    ///     host
    /// };
    /// let (mut a, mut b) = (host("10.7.0.1/24", 1), host("10.7.0.2/24", 2));
    /// let mut now = Instant::ZERO;
    /// # let step = |a: &mut Host, b: &mut Host, now: Instant| {
    /// #     for _ in 0..20 {
    /// #         while let Some(frame) = a.poll_transmit(now, Port(0)) { b.handle_frame(now, Port(0), frame); }
    /// #         while let Some(frame) = b.poll_transmit(now, Port(0)) { a.handle_frame(now, Port(0), frame); }
    /// #     }
    /// # };
    /// let web = b.tcp_listen("0.0.0.0:80".parse().unwrap(), tcp::ListenOptions::default())?;
    /// let to = "10.7.0.2:80".parse().unwrap();
    /// let client = a.tcp_connect(now, to, None, tcp::Options::default())?;
    /// // The driver carries frames from each to the other until neither has any.
    /// step(&mut a, &mut b, now);
    /// let (server, _) = b.tcp_accept(web).unwrap();
    /// assert_eq!(a.tcp_send(now, client, b"hello"), Ok(5));
    /// step(&mut a, &mut b, now);
    /// let mut room = [0; 16];
    /// assert_eq!(b.tcp_recv(now, server, &mut room), Ok(5));
    /// assert_eq!(&room[..5], b"hello");
    /// # now = now + Duration::ZERO;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        to: SocketAddr,
        from: Option<SocketAddr>,
        options: tcp::Options,
    ) -> Result<TcpHandle, ConnectError> {
        let from = from.map(|from| self.in_zone(from, 0)).transpose()?;
        let to = self.in_zone(to, from.map_or(0, zone::of))?;
        let way = self.way_to(to).map_err(|reason| match reason {
            DropReason::RouteProhibited => ConnectError::Prohibited,
            _ => ConnectError::NoRoute,
        })?;
        //= RFC 9293 §3.9.2.3 MUST-46: an OPEN to a broadcast or multicast address is refused.
        if way.broadcast || to.ip().is_multicast() || to.port() == 0 {
            return Err(ConnectError::BadPeer);
        }
        let local = self.local_end(now, to, from, &way)?;
        let ends = Ends::new(local, to);
        if let Some(old) = self.tcp.find(&ends) {
            if !self.tcp.is_reusable(now, old) {
                return Err(ConnectError::InUse);
            }
            self.stats.tcp.time_wait_reused += 1;
            self.free(old);
        }
        let link = self.find_link(&ends);
        let iss = self.tcp.isn.generate(now, local, to);
        let offset = self.tcp.isn.ts_offset(local, to);
        let (fast, bare) = (options.fast_open, options.fast_open_without_cookie);
        let options = self.tcp.share(options);
        let mut connection = Connection::connect(now, options, iss, offset, link.path());
        if fast {
            let client = &mut self.tcp.fast_open.client;
            connection.open_fast(match bare {
                true => client.plan_without(now, local.ip(), to),
                false => client.plan(now, local.ip(), to),
            });
        }
        let key = self
            .add_connection(connection, ends, Owner::User, link)
            .ok_or(ConnectError::TooMany)?;
        self.stats.tcp.active_opens += 1;
        self.refresh(now, key);
        Ok(TcpHandle(key))
    }

    /// The end of a connection that is to be begun: as asked for, or one that is free.
    fn local_end(
        &mut self,
        now: Instant,
        to: SocketAddr,
        from: Option<SocketAddr>,
        way: &Way,
    ) -> Result<SocketAddr, ConnectError> {
        let (usual, zone) = (way.src, zone_of(way.interface));
        //= RFC 9293 §3.9.1.1 MUST-43, MUST-44: the address asked for, or the one that the route has.
        //= RFC 9293 §3.9.1.1 MUST-45: it is the connection's, which all its segments are sent from.
        // We differ: RFC 9293 §3.9.2.1 MUST-51 and MUST-52 would let a source route be given. Routers drop
        // such packets (RFC 7126 §4.3): none would arrive.
        let addr = match from {
            None => usual,
            Some(from) if from.is_ipv4() != usual.is_ipv4() => {
                return Err(ConnectError::NotAvailable);
            }
            Some(from) if from.ip().is_unspecified() => usual,
            //= RFC 4007 §7 an address of another link than the packet leaves by is none to send from.
            Some(from) if ![0, zone].contains(&zone::of(from)) => {
                return Err(ConnectError::NotAvailable);
            }
            Some(from) if self.may_be_local(from) => from.ip(),
            Some(_) => return Err(ConnectError::NotAvailable),
        };
        let port = match from.map_or(0, |from| from.port()) {
            0 => {
                let free = self.free_port(now, zone::end(addr, 0, zone), to);
                free.ok_or(ConnectError::NoPort)?
            }
            port => port,
        };
        Ok(zone::end(addr, port, zone))
    }

    /// Whether a connection may have an end as its own: ours, or anything where an interface takes
    /// all.
    pub(super) fn may_be_local(&self, end: SocketAddr) -> bool {
        self.holds_end(end) || self.interfaces.iter().any(|i| i.config.any_ip)
    }

    /// An ephemeral port that nobody listens on and no connection to `to` has; as long as one is
    /// soon found, none that is in TIME-WAIT either. A client of one server has all its ports there
    /// before long, and does not look at all of them each time.
    fn free_port(&mut self, now: Instant, from: SocketAddr, to: SocketAddr) -> Option<u16> {
        let Self { ports, tcp, .. } = self;
        let flow = |port| {
            let local = zone::end(from.ip(), port, zone::of(from));
            let ends = Ends::new(local, to);
            tcp.table.find(&ends, &tcp.connections)
        };
        let listened = |port| !tcp.bound.on_port(port).is_empty();
        let free = |port| !listened(port) && flow(port).is_none();
        let reusable =
            |port| !listened(port) && flow(port).is_none_or(|key| tcp.is_reusable(now, key));
        let pair = Some((from.ip(), to));
        ports.pick_or(pair, free, reusable)
    }

    fn entry(&self, handle: TcpHandle) -> Option<&Entry> {
        let entry = self.tcp.connections.get(handle.0)?;
        (entry.owner == Owner::User).then_some(entry)
    }

    fn entry_mut(&mut self, handle: TcpHandle) -> Option<&mut Entry> {
        let entry = self.tcp.connections.get_mut(handle.0)?;
        (entry.owner == Owner::User).then_some(entry)
    }

    /// A user's call into a connection, and what comes of it.
    #[inline]
    fn call<R>(
        &mut self,
        now: Instant,
        handle: TcpHandle,
        call: impl FnOnce(&mut Connection) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let supply = self.tcp.memory.supply;
        let entry = self.entry_mut(handle).ok_or(Error::NotConnected)?;
        entry.connection.set_supply(supply);
        let result = call(&mut entry.connection);
        self.refresh(now, handle.0);
        result
    }

    /// A user's call that takes what has come. It moves no deadline and ends nothing: all that may
    /// come of it is a window to be told of.
    #[inline]
    fn read<R>(
        &mut self,
        now: Instant,
        handle: TcpHandle,
        read: impl FnOnce(&mut Connection) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let supply = self.tcp.memory.supply;
        let entry = self.entry_mut(handle).ok_or(Error::NotConnected)?;
        entry.connection.set_supply(supply);
        let result = read(&mut entry.connection);
        let speaks = !entry.in_turn && entry.connection.has_output(now);
        if speaks {
            self.refresh(now, handle.0);
        } else {
            self.account(now, handle.0);
        }
        result
    }

    /// Hands over bytes to be sent, as many as there is room for; gives how many those are.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] where there is no room: wait for [`Readiness::WRITABLE`]. Else why
    /// nothing can be sent any more.
    pub fn tcp_send(&mut self, now: Instant, h: TcpHandle, data: &[u8]) -> Result<usize, Error> {
        self.call(now, h, |c| c.send(now, data))
    }

    /// [`tcp_send`](Self::tcp_send), saying what follows: more soon, nothing, or another record.
    ///
    /// # Errors
    /// See [`tcp_send`](Self::tcp_send).
    pub fn tcp_send_until(
        &mut self,
        now: Instant,
        h: TcpHandle,
        data: &[u8],
        boundary: Boundary,
    ) -> Result<usize, Error> {
        self.call(now, h, |c| c.send_until(now, data, boundary))
    }

    /// What waits to be sent is pushed though more was to come: it does not come for now.
    pub fn tcp_push(&mut self, now: Instant, h: TcpHandle) {
        let _ = self.call(now, h, |c| {
            c.push();
            Ok(())
        });
    }

    /// [`tcp_send`](Self::tcp_send) without a copy: the bytes are kept by reference until the peer
    /// has acknowledged them.
    ///
    /// # Errors
    /// See [`tcp_send`](Self::tcp_send).
    pub fn tcp_send_bytes(
        &mut self,
        now: Instant,
        h: TcpHandle,
        data: Bytes,
    ) -> Result<usize, Error> {
        self.call(now, h, |c| c.send_bytes(now, data))
    }

    /// Sends bytes of which the last is urgent (RFC 9293 §3.8.5; RFC 6093 §6 advises against it).
    ///
    /// # Errors
    /// See [`tcp_send`](Self::tcp_send).
    pub fn tcp_send_urgent(
        &mut self,
        now: Instant,
        h: TcpHandle,
        data: &[u8],
    ) -> Result<usize, Error> {
        self.call(now, h, |c| c.send_urgent(now, data))
    }

    /// Bytes up to the urgent mark, where there is one ahead of what has been read; the byte before
    /// it is the last urgent one. [`Readiness::URGENT`] says that there is one, or one further
    /// ahead.
    #[must_use]
    pub fn tcp_urgent(&self, h: TcpHandle) -> Option<u32> {
        self.entry(h)?.connection.urgent()
    }

    /// What has happened to a connection that goes on all the same, the newest only; once.
    /// [`Readiness::REPORT`] says that there is something.
    //= RFC 9293 §3.9.1.8 MUST-47: soft errors, and R1.
    pub fn tcp_take_report(&mut self, h: TcpHandle) -> Option<Report> {
        self.entry_mut(h)?.connection.take_report()
    }

    /// Takes received bytes, as many as there are and fit; zero: the peer has finished.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] where there are none: wait for [`Readiness::READABLE`]. Else why
    /// there will be none.
    pub fn tcp_recv(
        &mut self,
        now: Instant,
        h: TcpHandle,
        room: &mut [u8],
    ) -> Result<usize, Error> {
        self.read(now, h, |c| c.recv(now, room))
    }

    /// [`tcp_recv`](Self::tcp_recv) without a copy: the next bytes that lie in one piece, at most
    /// `max`; none: the peer has finished.
    ///
    /// # Errors
    /// See [`tcp_recv`](Self::tcp_recv).
    pub fn tcp_recv_bytes(
        &mut self,
        now: Instant,
        h: TcpHandle,
        max: usize,
    ) -> Result<Bytes, Error> {
        self.read(now, h, |c| c.recv_bytes(now, max))
    }

    /// The same with all pieces that there are, at most `max` bytes together, for a reader who can
    /// gather them: one call for what one call each would cost several times as much. Gives how
    /// many bytes those are.
    ///
    /// # Errors
    /// See [`tcp_recv`](Self::tcp_recv).
    pub fn tcp_recv_pieces(
        &mut self,
        now: Instant,
        h: TcpHandle,
        max: usize,
        each: impl FnMut(Bytes),
    ) -> Result<usize, Error> {
        self.read(now, h, |c| c.recv_pieces(now, max, each))
    }

    /// Copies received bytes and leaves them to be taken; gives how many those are.
    #[must_use]
    pub fn tcp_peek(&self, h: TcpHandle, room: &mut [u8]) -> usize {
        self.entry(h).map_or(0, |e| e.connection.peek(room))
    }

    /// Says that nothing more will be sent: the peer is told after all that waits. It may go on
    /// sending.
    pub fn tcp_shutdown(&mut self, now: Instant, h: TcpHandle) {
        let shutdown = |c: &mut Connection| {
            c.shutdown(now);
            Ok(())
        };
        let _ = self.call(now, h, shutdown);
    }

    /// Says that nothing more will be read. Once nothing more will be sent either
    /// ([`tcp_shutdown`](Self::tcp_shutdown)), data that comes ends the connection with a reset
    /// (RFC 1122 §4.2.2.13); until then the peer is not told. What has come can still be read.
    pub fn tcp_shutdown_read(&mut self, h: TcpHandle) {
        if let Some(entry) = self.entry_mut(h) {
            entry.connection.shutdown_read();
        }
    }

    /// Lets go of a connection. What waits to be sent still is, and it closes by itself, unless
    /// something was left unread (RFC 9293 §3.6.1) or its `linger` says otherwise.
    pub fn tcp_close(&mut self, now: Instant, h: TcpHandle) {
        if let Some(entry) = self.entry_mut(h) {
            entry.connection.close(now);
            self.orphan(now, h.0);
        }
    }

    /// Lets go of a connection with a reset: nothing of it remains.
    pub fn tcp_abort(&mut self, now: Instant, h: TcpHandle) {
        if let Some(entry) = self.entry_mut(h) {
            entry.connection.abort(now);
            self.orphan(now, h.0);
        }
    }

    /// What ended a connection, once.
    pub fn tcp_take_error(&mut self, h: TcpHandle) -> Option<Error> {
        self.entry_mut(h)?.connection.take_error()
    }

    /// A connection's status; also of one that waits to be accepted, or closes by itself.
    #[must_use]
    pub fn tcp_status(&self, now: Instant, h: TcpHandle) -> Option<Status> {
        Some(self.tcp.connections.get(h.0)?.connection.status(now))
    }

    /// A connection's state, likewise.
    #[must_use]
    pub fn tcp_state(&self, h: TcpHandle) -> Option<State> {
        Some(self.tcp.connections.get(h.0)?.connection.state())
    }

    /// Our end of a connection.
    #[must_use]
    pub fn tcp_local(&self, h: TcpHandle) -> Option<SocketAddr> {
        Some(self.entry(h)?.ends.local())
    }

    /// The peer's end of a connection.
    #[must_use]
    pub fn tcp_remote(&self, h: TcpHandle) -> Option<SocketAddr> {
        Some(self.entry(h)?.ends.remote())
    }

    /// A connection's options.
    #[must_use]
    pub fn tcp_options(&self, h: TcpHandle) -> Option<&tcp::Options> {
        Some(self.entry(h)?.connection.options())
    }

    /// Changes a connection's options; what its handshake has settled stays.
    pub fn tcp_set_options(&mut self, now: Instant, h: TcpHandle, options: tcp::Options) {
        let options = self.tcp.share(options);
        let set = |c: &mut Connection| {
            c.set_options(now, options);
            Ok(())
        };
        let _ = self.call(now, h, set);
    }

    /// Acknowledges a connection's data at once for a while, or lets acknowledgments wait for
    /// company (`TCP_QUICKACK`).
    pub fn tcp_set_quick_ack(&mut self, now: Instant, h: TcpHandle, on: bool) {
        let set = |c: &mut Connection| {
            c.set_quick_ack(on);
            Ok(())
        };
        let _ = self.call(now, h, set);
    }

    /// The next entry of a connection's log, where its options ask for one; also of one that closes
    /// by itself, or is gone.
    pub fn tcp_poll_log(&mut self, h: TcpHandle) -> Option<LogEntry> {
        match self.tcp.connections.get_mut(h.0) {
            Some(entry) => entry.connection.poll_log(),
            None => {
                let left = &mut self.tcp.left;
                let first = left.iter().position(|(key, _)| *key == h.0)?;
                left.remove(first).map(|(_, entry)| entry)
            }
        }
    }

    /// All connections in order of place: also those that wait to be accepted, or close by
    /// themselves, whose handles are good for their status and nothing else.
    pub fn tcp_connections(
        &self,
    ) -> impl Iterator<Item = (TcpHandle, SocketAddr, SocketAddr, State)> {
        self.tcp.connections.iter().map(|(key, entry)| {
            let ends = &entry.ends;
            let state = entry.connection.state();
            (TcpHandle(key), ends.local(), ends.remote(), state)
        })
    }

    /// Bytes that all connections hold together: sent and not acknowledged, to be sent, not read,
    /// out of order. It walks them all.
    #[must_use]
    pub fn tcp_buffered(&self) -> u64 {
        let all = self.tcp.connections.iter();
        all.map(|(_, entry)| entry.connection.buffered()).sum()
    }

    /// Why the frame that [`poll_transmit`](crate::machine::Machine::poll_transmit) gave last was
    /// sent, where it holds a segment that is no new data and no plain acknowledgment.
    #[must_use]
    pub const fn transmit_note(&self) -> Option<Why> {
        self.tcp.note
    }

    /// Gives a connection that waited to be accepted to the user.
    pub(super) fn hand_over(&mut self, key: Key) -> Option<(TcpHandle, SocketAddr)> {
        let entry = self.tcp.connections.get_mut(key)?;
        entry.owner = Owner::User;
        entry.connection.adopt();
        let remote = entry.ends.remote();
        if entry.ready != Readiness::NONE && !core::mem::replace(&mut entry.announced, true) {
            self.ready.push_back(Who::Tcp(key));
        }
        Some((TcpHandle(key), remote))
    }
}
