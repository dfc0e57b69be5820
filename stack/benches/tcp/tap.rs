//! Our side of the benchmark.

use crate::{ADDRS, BATCH, BUSY, FULL, START, Station};
use bytes::Bytes;
use stack::frame::Frame;
use stack::host::{Config, Event, Host, InterfaceConfig, ListenHandle, Stats, TcpHandle};
use stack::link::offload::{Cutter, Joiner};
use stack::machine::{Machine, Port};
use stack::rng::Rng;
use stack::time::{Duration, Instant};
use stack::transport::tcp::options::{Buffer, KeepAlive};
use stack::transport::tcp::{self, ListenOptions, State, congestion::Algorithm};
use stack::wire::{Cidr, MacAddr};
use std::net::{IpAddr, SocketAddr};

pub(crate) struct Tapline {
    host: Host,
    me: usize,
    /// By port, from [`FIRST`] on.
    listeners: Vec<Option<ListenHandle>>,
    handles: Vec<Option<TcpHandle>>,
    keepalive: Option<KeepAlive>,
    /// The edge, as of a device that does neither: cuts what goes, joins what has come.
    edge: bool,
    cutter: Option<Cutter>,
    joiner: Joiner,
    /// What the program hands over piece by piece, where it has chunks instead of a slice.
    chunk: Option<Bytes>,
}

/// Frames in flight one way, in places that are never freed.
pub(crate) struct Slots {
    frames: Vec<Frame>,
    len: usize,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            frames: vec![Frame::default(); BATCH],
            len: 0,
        }
    }
}

/// The port of the busy connection's server; the others' follow, each for so many clients.
const FIRST: u16 = 9_000;
const CLIENTS: u32 = 50_000;

/// A connection's ports: its server's and its client's.
fn ports(id: u32) -> (u16, u16) {
    let low = |n: u32| u16::try_from(n).unwrap();
    let listener = if id == BUSY { 0 } else { 1 + id / CLIENTS };
    (FIRST + low(listener), low(10_000 + id % CLIENTS))
}

/// The connection that has these ports.
fn id_of(server: u16, client: u16) -> u32 {
    let listener = u32::from(server - FIRST);
    let place = u32::from(client) - 10_000;
    if listener == 0 {
        BUSY
    } else {
        (listener - 1) * CLIENTS + place
    }
}

fn at(now: u64) -> Instant {
    Instant::from_nanos(now)
}

fn options(buffer: usize) -> tcp::Options {
    let len = u32::try_from(buffer).unwrap();
    let buffer = Buffer {
        initial: len,
        max: len,
    };
    tcp::Options {
        recv_buffer: buffer,
        send_buffer: buffer,
        // As smoltcp without congestion control.
        congestion: Algorithm::Fixed(u32::MAX / 4),
        ..tcp::Options::default()
    }
}

impl Tapline {
    /// From now on the program neither copies in nor out.
    pub(crate) fn use_chunks(&mut self) {
        self.chunk = Some(vec![0xa5; 64 << 10].into());
    }

    /// Connections begun from now on probe a silent peer.
    pub(crate) fn keep_alive(&mut self, keepalive: KeepAlive) {
        self.keepalive = Some(keepalive);
    }

    pub(crate) fn stats(&self) -> &Stats {
        self.host.stats()
    }

    /// When it wants to be woken.
    pub(crate) fn wakes(&self) -> Option<u64> {
        self.host.poll_timeout().map(Instant::as_nanos)
    }

    fn handle(&self, id: u32) -> Option<TcpHandle> {
        *self.handles.get(usize::try_from(id).unwrap())?
    }

    fn set(&mut self, id: u32, handle: Option<TcpHandle>) {
        let id = usize::try_from(id).unwrap();
        if self.handles.len() <= id {
            self.handles.resize(id + 1, None);
        }
        self.handles[id] = handle;
    }

    fn accept(&mut self, listener: ListenHandle) {
        let here = self.host.tcp_listener_local(listener).unwrap();
        while let Some((handle, from)) = self.host.tcp_accept(listener) {
            self.set(id_of(here.port(), from.port()), Some(handle));
        }
    }
}

impl Station for Tapline {
    type Wire = Slots;
    const NAME: &'static str = "tapline";
    const REST: u64 = 0;
    /// There are timestamps.
    const SEGMENT: usize = 1448;

    fn new(me: usize, _: usize, edge: bool) -> Self {
        let mac = MacAddr([2, 0, 0, 0, 0, u8::try_from(me).unwrap() + 1]);
        let mut host = Host::new(Config::default(), Rng::from_seed(u64::from(mac.0[5])));
        let cidr = Cidr::new(IpAddr::V4(ADDRS[me]), 24).unwrap();
        let mut eth = InterfaceConfig::ethernet("eth0", Port(0), mac).with_address(cidr);
        eth.tso = edge;
        host.add_interface(Instant::ZERO, eth);
        // The address is announced and at rest before anything is measured.
        let mut now = Instant::ZERO;
        while now < at(START) {
            host.handle_timeout(now);
            while host.poll_transmit(now, Port(0)).is_some() {}
            now += Duration::from_millis(500);
        }
        Self {
            host,
            me,
            listeners: Vec::new(),
            handles: Vec::new(),
            keepalive: None,
            edge,
            cutter: None,
            joiner: Joiner::new(false),
            chunk: None,
        }
    }

    fn listen(&mut self, id: u32, buffer: usize) {
        let port = ports(id).0;
        let place = usize::from(port - FIRST);
        if self.listeners.len() <= place {
            self.listeners.resize(place + 1, None);
        }
        let Self {
            host,
            listeners,
            me,
            ..
        } = self;
        listeners[place].get_or_insert_with(|| {
            let listen = ListenOptions {
                options: options(buffer),
                ..ListenOptions::default()
            };
            let here = SocketAddr::from((ADDRS[*me], port));
            host.tcp_listen(here, listen).unwrap()
        });
    }

    fn connect(&mut self, now: u64, id: u32, buffer: usize) {
        let (server, client) = ports(id);
        let to = SocketAddr::from((ADDRS[1 - self.me], server));
        let from = SocketAddr::from((ADDRS[self.me], client));
        let options = tcp::Options {
            keepalive: self.keepalive,
            ..options(buffer)
        };
        let handle = self.host.tcp_connect(at(now), to, Some(from), options);
        self.set(id, Some(handle.unwrap()));
    }

    fn is_established(&mut self, id: u32) -> bool {
        let handle = self.handle(id);
        handle.is_some_and(|handle| self.host.tcp_state(handle) == Some(State::Established))
    }

    fn abort(&mut self, now: u64, id: u32) {
        if let Some(handle) = self.handle(id) {
            self.host.tcp_abort(at(now), handle);
        }
        self.set(id, None);
    }

    fn close(&mut self, now: u64, id: u32) {
        if let Some(handle) = self.handle(id) {
            self.host.tcp_close(at(now), handle);
        }
        self.set(id, None);
    }

    fn forget(&mut self, now: u64, id: u32) {
        self.close(now, id);
    }

    fn write(&mut self, now: u64, id: u32, data: &[u8]) {
        let Some(handle) = self.handle(id) else {
            return;
        };
        match &self.chunk {
            None => {
                let _ = self.host.tcp_send(at(now), handle, data);
            }
            Some(chunk) => {
                let mut send = || self.host.tcp_send_bytes(at(now), handle, chunk.clone());
                while send().is_ok() {}
            }
        }
    }

    fn read(&mut self, now: u64, id: u32, room: &mut [u8]) -> usize {
        let Some(handle) = self.handle(id) else {
            return 0;
        };
        let mut all = 0;
        if self.chunk.is_some() {
            let most = room.len();
            let take = |piece: Bytes| drop(std::hint::black_box(piece));
            while let Ok(got @ 1..) = self.host.tcp_recv_pieces(at(now), handle, most, take) {
                all += got;
            }
            return all;
        }
        while let Ok(got @ 1..) = self.host.tcp_recv(at(now), handle, room) {
            all += got;
        }
        all
    }

    fn receive(&mut self, now: u64, rx: &mut Slots) {
        let now = at(now);
        if self.host.poll_timeout().is_some_and(|due| due <= now) {
            self.host.handle_timeout(now);
        }
        for frame in &mut rx.frames[..rx.len] {
            if self.edge {
                self.joiner.push(frame);
            } else {
                self.host.handle_frame(now, Port(0), frame.take());
            }
        }
        rx.len = 0;
        self.joiner.flush();
        while let Some(frame) = self.joiner.pop() {
            self.host.handle_frame(now, Port(0), frame);
        }
        while let Some(event) = self.host.poll_event() {
            if let Event::Listener(listener) = event {
                self.accept(listener);
            }
        }
    }

    fn transmit(&mut self, now: u64, tx: &mut Slots) -> (usize, usize) {
        while let Some(slot) = tx.frames.get_mut(tx.len) {
            tx.len += 1;
            if self.cutter.as_mut().is_some_and(|c| c.next_into(slot)) {
                continue;
            }
            self.cutter = None;
            let Some(frame) = self.host.poll_transmit(at(now), Port(0)) else {
                tx.len -= 1;
                break;
            };
            if !self.edge || frame.offload.gso.is_none() {
                *slot = frame;
                continue;
            }
            match Cutter::new(frame, false) {
                Ok(cutter) => {
                    self.cutter = Some(cutter);
                    tx.len -= 1;
                }
                Err(frame) => *slot = *frame,
            }
        }
        std::hint::black_box(self.host.poll_timeout());
        let sent = tx.frames[..tx.len].iter();
        let full = sent.filter(|frame| frame.len() == FULL).count();
        (full, tx.len)
    }
}
