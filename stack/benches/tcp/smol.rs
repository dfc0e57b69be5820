//! smoltcp's side of the benchmark.

use crate::{ADDRS, BATCH, FULL, START, Station};
use smoltcp::iface::{self, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};
use std::collections::BTreeMap;

/// Room for one frame.
const SLOT: usize = 2048;

/// Slots that are filled, read and emptied, never freed.
pub(crate) struct Slots {
    slots: Vec<u8>,
    lens: Vec<usize>,
    taken: usize,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            slots: vec![0; BATCH * SLOT],
            lens: Vec::with_capacity(BATCH),
            taken: 0,
        }
    }
}

/// A device over what comes and what goes; a turn has but one of them.
struct Phy<'a> {
    rx: Option<&'a mut Slots>,
    tx: &'a mut Slots,
}

struct Rx<'a>(&'a [u8]);
struct Tx<'a>(&'a mut Slots);

impl phy::RxToken for Rx<'_> {
    #[inline]
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl phy::TxToken for Tx<'_> {
    #[inline]
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let at = self.0.lens.len() * SLOT;
        self.0.lens.push(len);
        f(&mut self.0.slots[at..at + len])
    }
}

impl phy::Device for Phy<'_> {
    type RxToken<'a>
        = Rx<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Tx<'a>
    where
        Self: 'a;

    #[inline]
    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Rx<'_>, Tx<'_>)> {
        let rx = self.rx.as_deref_mut()?;
        let &len = rx.lens.get(rx.taken)?;
        let at = rx.taken * SLOT;
        rx.taken += 1;
        Some((Rx(&rx.slots[at..at + len]), Tx(self.tx)))
    }

    #[inline]
    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Tx<'_>> {
        (self.tx.lens.len() < BATCH).then_some(Tx(self.tx))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        // Checksums are left as they are by default: computed and verified.
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = phy::Medium::Ethernet;
        capabilities.max_transmission_unit = FULL;
        capabilities
    }
}

fn at(now: u64) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros(i64::try_from(now / 1000).unwrap())
}

pub(crate) struct Smoltcp {
    iface: iface::Interface,
    set: SocketSet<'static>,
    handles: BTreeMap<u16, SocketHandle>,
    /// The port asked for last, and its socket: a program knows which one it is at.
    last: (u16, SocketHandle),
    /// Replies made while frames come in: they go with the next batch.
    early: Slots,
    peer: IpAddress,
}

impl Smoltcp {
    fn open(&mut self, port: u16, buffer: usize) -> SocketHandle {
        let set = &mut self.set;
        let new = || {
            let buffer = || SocketBuffer::new(vec![0; buffer]);
            let mut socket = Socket::new(buffer(), buffer());
            socket.set_congestion_control(CongestionControl::None);
            set.add(socket)
        };
        *self.handles.entry(port).or_insert_with(new)
    }

    fn socket(&mut self, port: u16) -> &mut Socket<'static> {
        if self.last.0 != port {
            self.last = (port, self.handles[&port]);
        }
        self.set.get_mut(self.last.1)
    }
}

impl Station for Smoltcp {
    type Wire = Slots;
    const NAME: &'static str = "smoltcp";

    fn new(at_: usize, sockets: usize) -> Self {
        let hardware = EthernetAddress([2, 0, 0, 0, 0, u8::try_from(at_).unwrap() + 1]);
        let mut early = Slots::default();
        let mut device = Phy {
            rx: None,
            tx: &mut early,
        };
        let config = iface::Config::new(hardware.into());
        let mut iface = iface::Interface::new(config, &mut device, at(START));
        let cidr = IpCidr::new(IpAddress::Ipv4(ADDRS[at_]), 24);
        iface.update_ip_addrs(|list| list.push(cidr).unwrap());
        Self {
            iface,
            set: SocketSet::new(Vec::with_capacity(sockets)),
            handles: BTreeMap::new(),
            last: (0, SocketHandle::default()),
            early,
            peer: IpAddress::Ipv4(ADDRS[1 - at_]),
        }
    }

    fn listen(&mut self, port: u16, buffer: usize) {
        self.open(port, buffer);
        let socket = self.socket(port);
        if !socket.is_listening() {
            socket.listen(port).unwrap();
        }
    }

    fn connect(&mut self, _: u64, port: u16, buffer: usize) {
        let handle = self.open(port, buffer);
        let socket = self.set.get_mut::<Socket<'_>>(handle);
        let cx = self.iface.context();
        socket.connect(cx, (self.peer, port), port).unwrap();
    }

    fn is_established(&mut self, port: u16) -> bool {
        self.socket(port).state() == State::Established
    }

    fn abort(&mut self, _: u64, port: u16) {
        self.socket(port).abort();
    }

    fn forget(&mut self, _: u64, _: u16) {}

    fn write(&mut self, _: u64, port: u16, data: &[u8]) {
        // A ring: what does not fit before its end goes to its start.
        let socket = self.socket(port);
        while socket.can_send() && socket.send_slice(data).unwrap() > 0 {}
    }

    fn read(&mut self, _: u64, port: u16, room: &mut [u8]) -> usize {
        let (socket, mut all) = (self.socket(port), 0);
        while socket.can_recv() {
            all += socket.recv_slice(room).unwrap();
        }
        all
    }

    fn receive(&mut self, now: u64, rx: &mut Slots) {
        let Self {
            iface, set, early, ..
        } = self;
        let mut device = Phy {
            rx: Some(rx),
            tx: early,
        };
        iface.poll_maintenance(at(now));
        while iface.poll_ingress_single(at(now), &mut device, set) != PollIngressSingleResult::None
        {
        }
        rx.lens.clear();
        rx.taken = 0;
    }

    fn transmit(&mut self, now: u64, tx: &mut Slots) -> (usize, usize) {
        std::mem::swap(tx, &mut self.early);
        let Self { iface, set, .. } = self;
        let mut device = Phy { rx: None, tx };
        while device.tx.lens.len() < BATCH
            && iface.poll_egress(at(now), &mut device, set) != PollResult::None
        {}
        std::hint::black_box(iface.poll_at(at(now), set));
        let full = tx.lens.iter().filter(|&&len| len == FULL).count();
        (full, tx.lens.len())
    }
}
