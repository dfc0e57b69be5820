//! Listeners: SYNs become half-open connections, those become open and wait to be accepted.
//!
//! ```text
//!   SYN -->  half open (syn_backlog)  -- ACK -->  waiting (backlog)  -- tcp_accept --> a handle
//!             full: cookie or drop                 full: SYN and ACK are dropped
//! ```
//!
//! Read first: RFC 9293 §3.10.7.2; RFC 4987 §3; RFC 7413 §4.2.

use super::{Ends, Owner};
use crate::frame::{Frame, Payload};
use crate::host::event::{ListenHandle, TcpHandle, Who};
use crate::host::{BindError, Host};
use crate::machine::{Consumer, Fate};
use crate::net::ip::Accepted;
use crate::reason::DropReason;
use crate::time::Instant;
use crate::transport::tcp::options::{Ecn, SynFin};
use crate::transport::tcp::{self, Connection, CookieOptions, ListenOptions, Segment, cookies};
use crate::transport::{Key, is_any6};
use crate::wire::tcp::{Flags, OptionBuffer, Options, TcpOption};
use crate::wire::{Cidr, zone};
use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A listener.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    /// What it is bound to; the unspecified address is any of its family, or of both.
    local: SocketAddr,
    options: Arc<tcp::Options>,
    backlog: usize,
    syn_backlog: usize,
    cookies: tcp::Cookies,
    accept_from: Box<[Cidr]>,
    half_open: BTreeSet<Key>,
    waiting: VecDeque<Key>,
    reset_on_overflow: bool,
    pub(super) defer: u8,
    /// Connections whose SYN's data was taken.
    pub(super) pending: super::pending::Pending,
    /// On the host's ready list.
    pub(super) announced: bool,
}

impl Listener {
    fn talks_to(&self, addr: IpAddr) -> bool {
        self.accept_from.is_empty() || self.accept_from.iter().any(|c| c.contains(addr))
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= self.backlog
    }

    /// Whether it resets what it has no room for.
    pub(super) const fn resets(&self) -> bool {
        self.reset_on_overflow
    }
}

impl Host {
    /// Listens on an address of this host and a port (zero: an ephemeral one). `0.0.0.0` is all of
    /// IPv4, `[::]` all there are, unless [`only_v6`](ListenOptions::only_v6). Of several listeners
    /// on a port, the one that is bound to the segment's address gets it.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn tcp_listen(
        &mut self,
        addr: SocketAddr,
        options: ListenOptions,
    ) -> Result<ListenHandle, BindError> {
        let addr = self.in_zone(addr, 0)?;
        let bound = addr.ip();
        let dual = !options.only_v6 && is_any6(bound);
        if !bound.is_unspecified() && !self.may_be_local(addr) && !self.may_listen_at(addr) {
            return Err(BindError::NotAvailable);
        }
        let shared = self.tcp.share(options.options);
        let Self { ports, tcp, .. } = self;
        let port = match addr.port() {
            0 => ports
                .pick(None, |port| tcp.bound.on_port(port).is_empty())
                .ok_or(BindError::NoPort)?,
            port => port,
        };
        //= RFC 9293 §3.9.1.1 MUST-41, MUST-42: only another listener there is in the way; connections of
        //= that port, however far they are, go on and leave it free.
        let local = zone::end(bound, port, zone::of(addr));
        let four = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        if !tcp.bound.at(local).is_empty() || (dual && !tcp.bound.at(four).is_empty()) {
            return Err(BindError::InUse);
        }
        let listener = Listener {
            local,
            backlog: options.backlog.max(1),
            syn_backlog: options.syn_backlog,
            cookies: options.cookies,
            accept_from: options.accept_from.into(),
            reset_on_overflow: options.reset_on_overflow,
            defer: options.defer,
            options: shared,
            half_open: BTreeSet::new(),
            waiting: VecDeque::new(),
            pending: super::pending::Pending::new(
                options.fast_open,
                options.fast_open_without_cookie,
            ),
            announced: false,
        };
        let key = tcp
            .listeners
            .insert(listener)
            .map_err(|_| BindError::TooMany)?;
        match dual {
            true => tcp.bound.bind_dual(port, key),
            false => tcp.bound.bind(local, key),
        }
        Ok(ListenHandle(key))
    }

    /// Tells a listener other policies and limits, for the connections that come from now on.
    pub fn tcp_set_listen_options(&mut self, listener: ListenHandle, options: ListenOptions) {
        let shared = self.tcp.share(options.options);
        let Some(l) = self.tcp.listeners.get_mut(listener.0) else {
            return;
        };
        l.options = shared;
        l.backlog = options.backlog.max(1);
        l.syn_backlog = options.syn_backlog;
        l.cookies = options.cookies;
        l.accept_from = options.accept_from.into();
        l.reset_on_overflow = options.reset_on_overflow;
        l.defer = options.defer;
        l.pending.limit = options.fast_open;
        l.pending.open = options.fast_open_without_cookie;
    }

    /// The next connection that waits, with its peer; it may have been reset since.
    pub fn tcp_accept(&mut self, listener: ListenHandle) -> Option<(TcpHandle, SocketAddr)> {
        loop {
            let key = self
                .tcp
                .listeners
                .get_mut(listener.0)?
                .waiting
                .pop_front()?;
            let accepted = self.hand_over(key);
            if accepted.is_some() {
                return accepted;
            }
        }
    }

    /// Stops listening. Connections that nobody has accepted are reset.
    pub fn tcp_stop_listening(&mut self, now: Instant, listener: ListenHandle) {
        let Some(gone) = self.tcp.listeners.remove(listener.0) else {
            return;
        };
        self.tcp.bound.unbind(gone.local, listener.0);
        for key in gone.half_open.into_iter().chain(gone.waiting) {
            if let Some(entry) = self.tcp.connections.get_mut(key) {
                entry.connection.abort(now);
                self.orphan(now, key);
            }
        }
    }

    /// Where a listener listens.
    #[must_use]
    pub fn tcp_listener_local(&self, listener: ListenHandle) -> Option<SocketAddr> {
        self.tcp.listeners.get(listener.0).map(|l| l.local)
    }

    /// All listeners in order of place: handle, end, half-open and waiting connections.
    pub fn tcp_listeners(&self) -> impl Iterator<Item = (ListenHandle, SocketAddr, usize, usize)> {
        self.tcp.listeners.iter().map(|(key, l)| {
            (
                ListenHandle(key),
                l.local,
                l.half_open.len(),
                l.waiting.len(),
            )
        })
    }

    /// A segment for a listener.
    pub(super) fn receive_listen(
        &mut self,
        now: Instant,
        header: &Accepted,
        ends: Ends,
        listener: Key,
        seg: &Segment,
        data: Payload,
    ) -> Result<Fate, DropReason> {
        let Some(l) = self.tcp.listeners.get(listener) else {
            return Err(DropReason::TcpNoSocket);
        };
        //= RFC 9293 §3.9.2.3 MUST-63: sources that nobody can have are refused before (`check_source`).
        //= RFC 9293 §3.10.7.2 first, a reset is ignored.
        if seg.has(Flags::RST) {
            return Err(DropReason::TcpNotSyn);
        }
        if !l.talks_to(ends.remote) {
            self.answer_reset(header, ends.zone, seg);
            return Err(DropReason::TcpFiltered);
        }
        if seg.has(Flags::ACK) {
            return self.receive_cookie(now, header, ends, listener, seg, data);
        }
        //= RFC 9293 §3.10.7.2 third, a SYN opens; fourth, anything else is dropped.
        let odd = seg.has(Flags::FIN) && l.options.syn_fin != SynFin::Always;
        if !seg.has(Flags::SYN) || odd {
            return Err(DropReason::TcpNotSyn);
        }
        if l.is_full() {
            self.stats.tcp.backlog_overflows += 1;
            return Err(DropReason::TcpBacklogFull);
        }
        let full = l.half_open.len() >= l.syn_backlog;
        match l.cookies {
            tcp::Cookies::Always => return self.send_cookie(now, ends, listener, seg),
            tcp::Cookies::WhenFull if full => return self.send_cookie(now, ends, listener, seg),
            _ if full => {
                self.stats.tcp.syn_overflows += 1;
                return Err(DropReason::TcpSynQueueFull);
            }
            _ => {}
        }
        let options = Arc::clone(&l.options);
        let link = self.find_link(&ends);
        if let Some(reason) = link.none {
            return Err(reason);
        }
        let (local, remote) = (ends.local(), ends.remote());
        let iss = self.tcp.isn.generate(now, local, remote);
        let offset = self.tcp.isn.ts_offset(local, remote);
        let mut connection = Connection::passive(now, options, seg, iss, offset, link.path());
        let early = self.answer_early(
            now,
            (listener, ends.local, ends.remote),
            seg,
            data,
            &mut connection,
        );
        let key = self
            .add_connection(connection, ends, Owner::Half(listener), link)
            .ok_or(DropReason::TcpTooMany)?;
        if let Some(l) = self.tcp.listeners.get_mut(listener) {
            l.half_open.insert(key);
            let half_open = u64::try_from(l.half_open.len()).unwrap_or(u64::MAX);
            let peak = &mut self.stats.tcp.half_open_peak;
            *peak = half_open.max(*peak);
        }
        self.stats.tcp.passive_opens += 1;
        if early {
            self.admit_early(key, listener);
        }
        self.refresh(now, key);
        Ok(Fate::Delivered(Consumer::Tcp))
    }

    /// Answers a SYN and keeps nothing of it.
    fn send_cookie(
        &mut self,
        now: Instant,
        ends: Ends,
        listener: Key,
        seg: &Segment,
    ) -> Result<Fate, DropReason> {
        let Some(l) = self.tcp.listeners.get(listener) else {
            return Err(DropReason::TcpNoSocket);
        };
        let options = Arc::clone(&l.options);
        let link = self.find_link(&ends);
        if let Some(reason) = link.none {
            return Err(reason);
        }
        let (local, remote) = (ends.local(), ends.remote());
        let asked = cookies::Cookies::kept(&asked(&options, seg, link.path()));
        let made = &mut self.tcp.cookies;
        let (iss, bits) = made.make(now, local, remote, seg.seq, &asked);
        let offset = self.tcp.isn.ts_offset(local, remote);
        // It says what a connection would say, and goes.
        let syn = as_kept(seg, &asked);
        let ttl = self.ttl(options.ttl, link.interface, ends.remote);
        let marks = (options.tos & !3, ttl, self.label(&ends));
        let mut answer = Connection::passive(now, options, &syn, iss, offset, link.path());
        let Some(mut out) = answer.poll_transmit(now, 0) else {
            return Err(DropReason::TcpSynQueueFull);
        };
        if let Some(bits) = bits {
            out.options = with_bits(&out.options, bits);
        }
        let mut frame = Frame::default();
        if self.packet(&ends, &link, out, marks, false, &mut frame)
            && let Ok(way) = self.way_to(ends.remote())
        {
            self.stats.tcp.cookies_sent += 1;
            self.reply(&way, &mut frame);
        }
        Ok(Fate::Delivered(Consumer::Tcp))
    }

    /// An acknowledgment that may bring a cookie back: the connection that was not kept.
    fn receive_cookie(
        &mut self,
        now: Instant,
        header: &Accepted,
        ends: Ends,
        listener: Key,
        seg: &Segment,
        data: Payload,
    ) -> Result<Fate, DropReason> {
        let Some(l) = self.tcp.listeners.get(listener) else {
            return Err(DropReason::TcpNoSocket);
        };
        let (local, remote) = (ends.local(), ends.remote());
        let may_be = l.cookies != tcp::Cookies::Never
            && !seg.flags.contains(Flags::SYN)
            && self.stats.tcp.cookies_sent > 0;
        let tsecr = seg.timestamps.map(|(_, echo)| echo);
        let check = |c: &cookies::Cookies| c.check(now, local, remote, seg.seq, seg.ack, tsecr);
        let Some(kept) = Some(&self.tcp.cookies).filter(|_| may_be).and_then(check) else {
            //= RFC 9293 §3.10.7.2 second, an acknowledgment of nothing is answered with a reset.
            self.stats.tcp.cookies_failed += u64::from(may_be);
            self.answer_reset(header, ends.zone, seg);
            return Err(match may_be {
                true => DropReason::TcpBadCookie,
                false => DropReason::TcpNoSocket,
            });
        };
        if l.is_full() {
            self.stats.tcp.backlog_overflows += 1;
            return Err(DropReason::TcpBacklogFull);
        }
        let options = Arc::clone(&l.options);
        let link = self.find_link(&ends);
        let offset = self.tcp.isn.ts_offset(local, remote);
        let connection = Connection::cookie(now, options, seg, &kept, offset, link.path());
        let key = self
            .add_connection(connection, ends, Owner::Half(listener), link)
            .ok_or(DropReason::TcpTooMany)?;
        let Some(entry) = self.tcp.connections.get_mut(key) else {
            return Err(DropReason::TcpTooMany);
        };
        if let Err(reason) = entry.connection.handle_segment(now, seg, data) {
            self.free(key);
            return Err(reason);
        }
        self.stats.tcp.passive_opens += 1;
        self.stats.tcp.cookies_accepted += 1;
        self.refresh(now, key);
        Ok(Fate::Delivered(Consumer::Tcp))
    }

    /// A half-open connection has failed: its listener forgets it.
    pub(super) fn leave_listener(&mut self, key: Key, listener: Key) {
        if let Some(l) = self.tcp.listeners.get_mut(listener) {
            l.half_open.remove(&key);
        }
        if let Some(entry) = self.tcp.connections.get_mut(key) {
            entry.owner = Owner::Nobody;
        }
    }

    /// A half-open connection has become open: it waits to be accepted.
    pub(super) fn queue_accept(&mut self, key: Key, listener: Key) {
        let Some(l) = self.tcp.listeners.get_mut(listener) else {
            return;
        };
        l.half_open.remove(&key);
        l.waiting.push_back(key);
        if !core::mem::replace(&mut l.announced, true) {
            self.ready.push_back(Who::Listener(listener));
        }
        if let Some(entry) = self.tcp.connections.get_mut(key) {
            entry.owner = Owner::Waiting(listener);
        }
        self.stats.tcp.accepted += 1;
    }
}

/// The flags by which a SYN asks for congestion notification.
const ECN: Flags = Flags::from_bits(Flags::AE.bits() | Flags::CWR.bits() | Flags::ECE.bits());

/// What a SYN asks for that we would grant, as a cookie has room for it.
fn asked(options: &tcp::Options, seg: &Segment, path: tcp::Path) -> CookieOptions {
    // As Linux: over IPv4 a cookie promises no larger segments than Ethernet's.
    let most = if path.ip_header < 40 { 1460 } else { u16::MAX };
    CookieOptions {
        mss: seg.mss.unwrap_or(path.default_mss()).min(most),
        wscale: seg.wscale.filter(|_| options.window_scaling),
        sack: options.sack && seg.sack_permitted,
        timestamps: options.timestamps && seg.timestamps.is_some(),
        ecn: match options.ecn {
            Ecn::Off => false,
            //= RFC 9768 §5.1 the acknowledgment will say which kind.
            ecn if ecn.takes_accurate() => seg.flags.intersects(ECN),
            _ => seg.flags.contains(Flags::ECE | Flags::CWR),
        },
    }
}

/// A SYN that asks for no more than a cookie keeps.
fn as_kept(seg: &Segment, kept: &CookieOptions) -> Segment {
    let flags = match kept.ecn {
        true => seg.flags,
        false => seg.flags.without(ECN),
    };
    Segment {
        flags,
        wscale: kept.wscale,
        sack_permitted: kept.sack,
        timestamps: seg.timestamps.filter(|_| kept.timestamps),
        fast_open: None,
        ..*seg
    }
}

/// A SYN-ACK's options, with a cookie's low bits in the timestamp.
fn with_bits(options: &OptionBuffer, bits: u32) -> OptionBuffer {
    let mut changed = OptionBuffer::new();
    for option in Options::new(options.as_bytes()).flatten() {
        let option = match option {
            TcpOption::Timestamps { value, echo_reply } => TcpOption::Timestamps {
                value: cookies::Cookies::tsval(value, bits),
                echo_reply,
            },
            other => other,
        };
        // As long as what it takes the place of.
        let _ = changed.push(&option);
    }
    changed
}
