//! smoltcp's side of the benchmark.

use crate::{ADDRS, BATCH, FULL, START, Station};
use smoltcp::iface::{self, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

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
    handles: Vec<Option<SocketHandle>>,
    /// Replies made while frames come in: they go with the next batch.
    early: Slots,
    peer: IpAddress,
}

/// A connection's port, at both ends: each server has a listener of its own.
fn port(id: u32) -> u16 {
    u16::try_from(10_000 + id).unwrap()
}

impl Smoltcp {
    fn open(&mut self, id: u32, buffer: usize) -> SocketHandle {
        let set = &mut self.set;
        let new = || {
            let buffer = || SocketBuffer::new(vec![0; buffer]);
            let mut socket = Socket::new(buffer(), buffer());
            socket.set_congestion_control(CongestionControl::None);
            set.add(socket)
        };
        let id = usize::try_from(id).unwrap();
        if self.handles.len() <= id {
            self.handles.resize(id + 1, None);
        }
        *self.handles[id].get_or_insert_with(new)
    }

    fn socket(&mut self, id: u32) -> &mut Socket<'static> {
        let handle = self.handles[usize::try_from(id).unwrap()].unwrap();
        self.set.get_mut(handle)
    }
}

impl Station for Smoltcp {
    type Wire = Slots;
    const NAME: &'static str = "smoltcp";
    /// Its TIME-WAIT lasts ten seconds.
    const REST: u64 = 11_000_000_000;
    const SEGMENT: usize = 1460;

    fn new(at_: usize, sockets: usize, _: bool) -> Self {
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
            handles: Vec::new(),
            early,
            peer: IpAddress::Ipv4(ADDRS[1 - at_]),
        }
    }

    fn listen(&mut self, id: u32, buffer: usize) {
        self.open(id, buffer);
        let socket = self.socket(id);
        if !socket.is_listening() {
            socket.listen(port(id)).unwrap();
        }
    }

    fn connect(&mut self, _: u64, id: u32, buffer: usize) {
        let handle = self.open(id, buffer);
        let socket = self.set.get_mut::<Socket<'_>>(handle);
        let cx = self.iface.context();
        let to = (self.peer, port(id));
        socket.connect(cx, to, port(id)).unwrap();
    }

    fn is_established(&mut self, id: u32) -> bool {
        self.socket(id).state() == State::Established
    }

    fn abort(&mut self, _: u64, id: u32) {
        self.socket(id).abort();
    }

    fn close(&mut self, _: u64, id: u32) {
        self.socket(id).close();
    }

    fn forget(&mut self, _: u64, _: u32) {}

    fn write(&mut self, _: u64, id: u32, data: &[u8]) {
        // A ring: what does not fit before its end goes to its start.
        let (socket, mut rest) = (self.socket(id), data);
        while socket.can_send() && !rest.is_empty() {
            let taken = socket.send_slice(rest).unwrap();
            rest = &rest[taken..];
        }
    }

    fn read(&mut self, _: u64, id: u32, room: &mut [u8]) -> usize {
        let (socket, mut all) = (self.socket(id), 0);
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
