//! Our host as an end.

use super::end::{Algorithm, Conn, End, Io, Station, Tcp};
use stack::frame::Frame;
use stack::host::{Config, Host, InterfaceConfig, ListenHandle, TcpHandle};
use stack::machine::{Machine, Port};
use stack::rng::Rng;
use stack::time::Instant;
use stack::transport::tcp::options::Buffer;
use stack::transport::tcp::{self, Error, ListenOptions, State, congestion};
use stack::wire::Cidr;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const PORT: Port = Port(0);

pub(crate) struct Tapline {
    host: Host,
    addr: Ipv4Addr,
    listeners: BTreeMap<u16, ListenHandle>,
    conns: Vec<TcpHandle>,
}

impl Tapline {
    pub(crate) fn new(station: Station, seed: u64) -> Self {
        let mut host = Host::new(Config::default(), Rng::from_seed(seed));
        let cidr = Cidr::new(IpAddr::V4(station.addr), 24).unwrap();
        let eth = InterfaceConfig::ethernet("eth0", PORT, station.mac).with_address(cidr);
        host.add_interface(Instant::ZERO, eth);
        Self {
            host,
            addr: station.addr,
            listeners: BTreeMap::new(),
            conns: Vec::new(),
        }
    }
}

fn options(tcp: &Tcp) -> tcp::Options {
    let buffer = |len| {
        let len = u32::try_from(len).unwrap();
        Buffer {
            initial: len,
            max: len,
        }
    };
    tcp::Options {
        recv_buffer: buffer(tcp.window),
        send_buffer: buffer(tcp.unsent),
        congestion: match tcp.algorithm {
            Algorithm::Reno => congestion::Algorithm::Reno,
            Algorithm::Cubic => congestion::Algorithm::Cubic,
            Algorithm::Bbr => congestion::Algorithm::Bbr,
        },
        ..tcp::Options::default()
    }
}

impl End for Tapline {
    fn handle_frame(&mut self, now: Instant, frame: Frame) {
        self.host.handle_frame(now, PORT, frame);
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Frame> {
        self.host.poll_transmit(now, PORT)
    }

    fn poll_timeout(&mut self, _: Instant) -> Option<Instant> {
        // The programs here ask each time; what the host tells them is only taken from its list.
        while self.host.poll_event().is_some() {}
        self.host.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.host.handle_timeout(now);
    }

    fn listen(&mut self, _: Instant, port: u16, tcp: &Tcp) {
        let listen = ListenOptions {
            options: options(tcp),
            ..ListenOptions::default()
        };
        let at = SocketAddr::from((self.addr, port));
        let listener = self.host.tcp_listen(at, listen).unwrap();
        self.listeners.insert(port, listener);
    }

    fn accept(&mut self, _: Instant, port: u16) -> Option<Conn> {
        let (handle, _) = self.host.tcp_accept(*self.listeners.get(&port)?)?;
        self.conns.push(handle);
        Some(self.conns.len() - 1)
    }

    fn connect(&mut self, now: Instant, to: Ipv4Addr, port: u16, tcp: &Tcp) -> Conn {
        let (to, from) = (
            SocketAddr::from((to, port)),
            SocketAddr::from((self.addr, port)),
        );
        let handle = self.host.tcp_connect(now, to, Some(from), options(tcp));
        self.conns.push(handle.unwrap());
        self.conns.len() - 1
    }

    fn send(&mut self, now: Instant, conn: Conn, data: &[u8]) -> Io {
        match self.host.tcp_send(now, self.conns[conn], data) {
            Ok(0) | Err(Error::WouldBlock) => Io::Wait,
            Ok(sent) => Io::Did(sent),
            Err(_) => Io::Failed,
        }
    }

    fn recv(&mut self, now: Instant, conn: Conn, room: &mut [u8]) -> Io {
        match self.host.tcp_recv(now, self.conns[conn], room) {
            Ok(0) => Io::Finished,
            Ok(got) => Io::Did(got),
            Err(Error::WouldBlock) => Io::Wait,
            Err(_) => Io::Failed,
        }
    }

    fn shutdown(&mut self, now: Instant, conn: Conn) {
        self.host.tcp_shutdown(now, self.conns[conn]);
    }

    fn abort(&mut self, now: Instant, conn: Conn) {
        self.host.tcp_abort(now, self.conns[conn]);
    }

    fn is_open(&mut self, conn: Conn) -> bool {
        self.host.tcp_state(self.conns[conn]) != Some(State::SynSent)
    }

    fn state(&mut self, conn: Conn) -> String {
        let status = self.host.tcp_status(Instant::ZERO, self.conns[conn]);
        format!("{status:?}, next timer {:?}", self.host.poll_timeout())
    }

    fn is_over(&mut self, conn: Conn) -> bool {
        let state = self.host.tcp_state(self.conns[conn]);
        matches!(state, None | Some(State::Closed | State::TimeWait))
    }
}
