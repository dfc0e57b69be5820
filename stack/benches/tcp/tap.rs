//! Our side of the benchmark.

use crate::{ADDRS, BATCH, FULL, START, Station};
use bytes::Bytes;
use stack::frame::Frame;
use stack::host::{Config, Host, InterfaceConfig, ListenHandle, TcpHandle};
use stack::link::offload::{Cutter, Joiner};
use stack::machine::{Machine, Port};
use stack::rng::Rng;
use stack::time::{Duration, Instant};
use stack::transport::tcp::options::Buffer;
use stack::transport::tcp::{self, ListenOptions, State, congestion::Algorithm};
use stack::wire::{Cidr, MacAddr};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

pub(crate) struct Tapline {
    host: Host,
    me: usize,
    listeners: BTreeMap<u16, ListenHandle>,
    handles: BTreeMap<u16, TcpHandle>,
    /// The port asked for last, and its connection: a program knows which one it is at.
    last: (u16, Option<TcpHandle>),
    /// The edge, as of a device that does neither: cuts what goes, joins what has come.
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

    fn handle(&mut self, port: u16) -> Option<TcpHandle> {
        if self.last.0 != port || self.last.1.is_none() {
            let accepted = || Some(self.host.tcp_accept(*self.listeners.get(&port)?)?.0);
            let handle = self.handles.get(&port).copied().or_else(accepted)?;
            self.handles.insert(port, handle);
            self.last = (port, Some(handle));
        }
        self.last.1
    }
}

impl Station for Tapline {
    type Wire = Slots;
    const NAME: &'static str = "tapline";

    fn new(me: usize, _: usize) -> Self {
        let mac = MacAddr([2, 0, 0, 0, 0, u8::try_from(me).unwrap() + 1]);
        let mut host = Host::new(Config::default(), Rng::from_seed(u64::from(mac.0[5])));
        let cidr = Cidr::new(IpAddr::V4(ADDRS[me]), 24).unwrap();
        let mut eth = InterfaceConfig::ethernet("eth0", Port(0), mac).with_address(cidr);
        eth.tso = true;
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
            listeners: BTreeMap::new(),
            handles: BTreeMap::new(),
            last: (0, None),
            cutter: None,
            joiner: Joiner::new(false),
            chunk: None,
        }
    }

    fn listen(&mut self, port: u16, buffer: usize) {
        let Self {
            host,
            listeners,
            me,
            ..
        } = self;
        listeners.entry(port).or_insert_with(|| {
            let listen = ListenOptions {
                options: options(buffer),
                ..ListenOptions::default()
            };
            let here = SocketAddr::from((ADDRS[*me], port));
            host.tcp_listen(here, listen).unwrap()
        });
    }

    fn connect(&mut self, now: u64, port: u16, buffer: usize) {
        let (to, from) = (ADDRS[1 - self.me], ADDRS[self.me]);
        let (to, from) = (SocketAddr::from((to, port)), SocketAddr::from((from, port)));
        let handle = self
            .host
            .tcp_connect(at(now), to, Some(from), options(buffer));
        self.handles.insert(port, handle.unwrap());
    }

    fn is_established(&mut self, port: u16) -> bool {
        let handle = self.handle(port);
        handle.is_some_and(|handle| self.host.tcp_state(handle) == Some(State::Established))
    }

    fn abort(&mut self, now: u64, port: u16) {
        if let Some(handle) = self.handle(port) {
            self.host.tcp_abort(at(now), handle);
        }
        self.forget(now, port);
    }

    fn forget(&mut self, now: u64, port: u16) {
        if let Some(handle) = self.handle(port) {
            self.host.tcp_close(at(now), handle);
        }
        self.handles.remove(&port);
        self.last = (0, None);
    }

    fn write(&mut self, now: u64, port: u16, data: &[u8]) {
        let Some(handle) = self.handle(port) else {
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

    fn read(&mut self, now: u64, port: u16, room: &mut [u8]) -> usize {
        let Some(handle) = self.handle(port) else {
            return 0;
        };
        let mut all = 0;
        if self.chunk.is_some() {
            let mut next = || self.host.tcp_recv_bytes(at(now), handle, room.len());
            while let Ok(piece) = next().map(std::hint::black_box) {
                all += piece.len();
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
            self.joiner.push(frame);
        }
        rx.len = 0;
        self.joiner.flush();
        while let Some(frame) = self.joiner.pop() {
            self.host.handle_frame(now, Port(0), frame);
        }
        while self.host.poll_event().is_some() {}
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
