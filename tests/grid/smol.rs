//! smoltcp as an end.
//!
//! Its time is in microseconds, so it hears of a moment up to one later than it was. It has no
//! listener: a socket listens, and becomes the connection. It forgets what its program has not
//! read when TIME-WAIT ends, after ten seconds: that is kept here for a program that rests.

use super::end::{Algorithm, Conn, End, Io, Station, Tcp};
use smoltcp::iface::{self, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{CongestionControl, RecvError, Socket, SocketBuffer, State};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};
use stack::frame::Frame;
use stack::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::net::Ipv4Addr;

pub(crate) struct Smoltcp {
    iface: iface::Interface,
    set: SocketSet<'static>,
    device: Device,
    handles: Vec<SocketHandle>,
    /// What was rescued, and that it is the end, of connections in TIME-WAIT.
    kept: BTreeMap<Conn, VecDeque<u8>>,
}

/// One frame at a time in, and what was made of it out.
#[derive(Default)]
struct Device {
    rx: Option<Frame>,
    tx: VecDeque<Frame>,
}

struct Rx(Frame);
struct Tx<'a>(&'a mut VecDeque<Frame>);

impl phy::RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(mut self, f: F) -> R {
        let len = self.0.len();
        f(self.0.pull_up(len))
    }
}

impl phy::TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut bytes = vec![0; len];
        let result = f(&mut bytes);
        self.0.push_back(Frame::from_bytes(bytes.into()));
        result
    }
}

impl phy::Device for Device {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Rx, Tx<'_>)> {
        let frame = self.rx.take()?;
        Some((Rx(frame), Tx(&mut self.tx)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Tx<'_>> {
        Some(Tx(&mut self.tx))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

fn at(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros(i64::try_from(now.as_nanos() / 1000).unwrap())
}

impl Smoltcp {
    pub(crate) fn new(station: Station, seed: u64) -> Self {
        let mut device = Device::default();
        let mut config = iface::Config::new(EthernetAddress(station.mac.0).into());
        config.random_seed = seed;
        let mut iface = iface::Interface::new(config, &mut device, at(Instant::ZERO));
        iface.update_ip_addrs(|list| {
            list.push(IpCidr::new(IpAddress::Ipv4(station.addr), 24))
                .unwrap();
        });
        Self {
            iface,
            set: SocketSet::new(vec![]),
            device,
            handles: Vec::new(),
            kept: BTreeMap::new(),
        }
    }

    fn rescue(&mut self) {
        let Self {
            set, handles, kept, ..
        } = self;
        for (conn, handle) in handles.iter().enumerate() {
            let socket: &mut Socket<'_> = set.get_mut(*handle);
            if socket.state() == State::TimeWait && !kept.contains_key(&conn) {
                let mut rest = vec![0; socket.recv_queue()];
                let got = socket.recv_slice(&mut rest).unwrap_or(0);
                rest.truncate(got);
                kept.insert(conn, rest.into());
            }
        }
    }

    fn open(&mut self, tcp: &Tcp) -> Conn {
        let buffer = |len| SocketBuffer::new(vec![0; len]);
        let mut socket = Socket::new(buffer(tcp.window), buffer(tcp.unsent));
        socket.set_congestion_control(match tcp.algorithm {
            Algorithm::Reno => CongestionControl::Reno,
            Algorithm::Cubic => CongestionControl::Cubic,
            Algorithm::Bbr => unreachable!("smoltcp has none"),
        });
        self.handles.push(self.set.add(socket));
        self.handles.len() - 1
    }

    fn socket(&mut self, conn: Conn) -> &mut Socket<'static> {
        self.set.get_mut(self.handles[conn])
    }
}

impl End for Smoltcp {
    fn handle_frame(&mut self, now: Instant, frame: Frame) {
        let Self {
            iface, set, device, ..
        } = self;
        device.rx = Some(frame);
        while iface.poll_ingress_single(at(now), device, set) != PollIngressSingleResult::None {}
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Frame> {
        let Self {
            iface, set, device, ..
        } = self;
        while device.tx.is_empty() && iface.poll_egress(at(now), device, set) != PollResult::None {}
        device.tx.pop_front()
    }

    fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        let due = self.iface.poll_at(at(now), &self.set)?;
        // It was asked to send all that it could: what it calls due now comes with its next tick.
        let micros = u64::try_from(due.total_micros()).unwrap();
        let due = Instant::from_nanos(micros * 1000);
        Some(due.max(now + Duration::from_micros(1)))
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.rescue();
        self.iface.poll_maintenance(at(now));
    }

    fn listen(&mut self, _: Instant, port: u16, tcp: &Tcp) {
        let conn = self.open(tcp);
        self.socket(conn).listen(port).unwrap();
    }

    fn accept(&mut self, _: Instant, port: u16) -> Option<Conn> {
        let Self { set, handles, .. } = self;
        handles.iter().position(|&handle| {
            let socket: &Socket<'_> = set.get(handle);
            let here = socket.local_endpoint().map(|local| local.port) == Some(port);
            here && !matches!(socket.state(), State::Listen | State::SynReceived)
        })
    }

    fn connect(&mut self, _: Instant, to: Ipv4Addr, port: u16, tcp: &Tcp) -> Conn {
        let conn = self.open(tcp);
        let socket = self.set.get_mut::<Socket<'_>>(self.handles[conn]);
        socket
            .connect(self.iface.context(), (IpAddress::Ipv4(to), port), port)
            .unwrap();
        conn
    }

    fn send(&mut self, _: Instant, conn: Conn, data: &[u8]) -> Io {
        let socket = self.socket(conn);
        match socket.send_slice(data) {
            Ok(0) => Io::Wait,
            Ok(sent) => Io::Did(sent),
            Err(_) if matches!(socket.state(), State::SynSent | State::SynReceived) => Io::Wait,
            Err(_) => Io::Failed,
        }
    }

    fn recv(&mut self, _: Instant, conn: Conn, room: &mut [u8]) -> Io {
        if let Some(kept) = self.kept.get_mut(&conn) {
            return match kept.read(room) {
                Ok(got @ 1..) => Io::Did(got),
                _ => Io::Finished,
            };
        }
        let socket = self.socket(conn);
        match socket.recv_slice(room) {
            Ok(0) => Io::Wait,
            Ok(got) => Io::Did(got),
            Err(RecvError::Finished) => Io::Finished,
            Err(_) if matches!(socket.state(), State::SynSent | State::SynReceived) => Io::Wait,
            Err(_) => Io::Failed,
        }
    }

    fn shutdown(&mut self, _: Instant, conn: Conn) {
        self.socket(conn).close();
    }

    fn abort(&mut self, _: Instant, conn: Conn) {
        self.socket(conn).abort();
    }

    fn is_open(&mut self, conn: Conn) -> bool {
        !matches!(
            self.socket(conn).state(),
            State::SynSent | State::SynReceived
        )
    }

    fn state(&mut self, conn: Conn) -> String {
        let now = at(Instant::ZERO);
        let due = self.iface.poll_at(now, &self.set);
        let socket = self.socket(conn);
        let (state, unsent, unread) = (socket.state(), socket.send_queue(), socket.recv_queue());
        format!("{state:?}, {unsent} B unsent, {unread} B unread, next timer {due:?}")
    }

    fn is_over(&mut self, conn: Conn) -> bool {
        matches!(self.socket(conn).state(), State::Closed | State::TimeWait)
    }
}
