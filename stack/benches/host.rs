//! What a frame costs: Tapline and smoltcp side by side, in one process, on the same bytes.
//!
//! ```text
//!   responder:  requests made beforehand --> server --> replies      (the server's cost alone)
//!   pair:       client --> request --> server --> reply --> client   (two hosts, a round trip)
//! ```
//!
//! `cargo bench -p tapline-stack --bench host` prints nanoseconds per answered request as medians
//! of rounds in which the two stacks take turns, for ICMP echo with 56 bytes of data and for UDP
//! datagrams of 64 bytes, with 1 and with 10,000 bound sockets, one request a turn and 32.
//!
//! The terms: both compute and verify every checksum. A turn of either is: take what has come, let
//! the program answer, send what there is, ask when to wake next. Each stack has the wire that it
//! takes frames from without a copy of its own: Tapline a list of `Frame`s, each moved in, as the
//! next host in memory takes it (in one piece, where it was made beforehand; what it takes to lay
//! those out again is not counted); smoltcp slots of bytes, which it reads where they lie and
//! writes in place. smoltcp's program is told which socket to look at, where an ordinary one would
//! walk them all; its egress is polled no more often than it takes to get the replies out.
//!
//! The last columns are of Tapline alone: the same over IPv6, and what that is of the time over IPv4.
//! Beside a datagram of 64 bytes a header of 40 instead of 20 is something, and ICMPv6 has a checksum
//! over addresses too where ICMP has none.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on shall stop"
)]
#![expect(missing_docs, reason = "the allocator's name is nobody's interface")]

use smoltcp::iface::{self, PollIngressSingleResult, SocketHandle, SocketSet};
use smoltcp::phy::{self, ChecksumCapabilities, DeviceCapabilities};
use smoltcp::socket::{icmp, udp};
use smoltcp::wire::{EthernetAddress, Icmpv4Packet, Icmpv4Repr, IpAddress, IpCidr, IpEndpoint};
use stack::frame::{Frame, Payload};
use stack::host::{Config, Event, Host, InterfaceConfig, RawHandle, Readiness, UdpHandle};
use stack::machine::{Machine, Port};
use stack::rng::Rng;
use stack::time::{Duration, Instant};
use stack::wire::{Cidr, MacAddr};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

#[global_allocator]
pub static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Client and server.
const V4: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 7, 0, 1)),
    IpAddr::V4(Ipv4Addr::new(10, 7, 0, 2)),
];
const V6: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 2)),
];
const CLIENT_PORT: u16 = 4000;
const FIRST_PORT: u16 = 10_000;
const IDENT: u16 = 0x22b;
const ECHO_DATA: [u8; 56] = [0xa5; 56];
const DATAGRAM: [u8; 64] = [0x5a; 64];
/// Room for one frame on the wire.
const SLOT: usize = 256;
/// Requests made beforehand, over which the responder's rounds go again and again.
const POOL: usize = 4096;
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(15);
/// Neighbours are confirmed by now and stay so for as long as a run takes in its own time.
const START: u64 = 10_000_000_000;
const STEP: u64 = 100;

/// Frames in flight one way, as a stack likes to be handed them.
trait Wire {
    fn new(frames: usize) -> Self;
    fn len(&self) -> usize;
    fn clear(&mut self);
    /// Makes the frames as a device gives them.
    fn settle(&mut self) {}
    /// Holds the same frames as `other`.
    fn refill(&mut self, other: &Self);
}

impl Wire for Vec<Frame> {
    fn new(frames: usize) -> Self {
        Self::with_capacity(frames)
    }
    fn len(&self) -> usize {
        self.len()
    }
    fn clear(&mut self) {
        self.clear();
    }
    fn settle(&mut self) {
        for frame in self {
            *frame = Frame::from_bytes(bytes::BytesMut::from(&frame.to_bytes()[..]).freeze());
        }
    }
    fn refill(&mut self, other: &Self) {
        self.clone_from(other);
    }
}

/// Slots that are filled, read and emptied, never freed.
struct Slots {
    slots: Vec<u8>,
    lens: Vec<usize>,
}

impl Wire for Slots {
    fn new(frames: usize) -> Self {
        Self {
            slots: vec![0; frames * SLOT],
            lens: Vec::with_capacity(frames),
        }
    }
    fn len(&self) -> usize {
        self.lens.len()
    }
    fn clear(&mut self) {
        self.lens.clear();
    }
    fn refill(&mut self, other: &Self) {
        self.slots.clone_from(&other.slots);
        self.lens.clone_from(&other.lens);
    }
}

impl Slots {
    /// The next slot, `len` bytes of it.
    #[inline]
    fn push(&mut self, len: usize) -> &mut [u8] {
        let at = self.lens.len() * SLOT;
        self.lens.push(len);
        &mut self.slots[at..at + len]
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    Echo,
    Udp,
}

/// One host of either stack.
trait Station {
    type Wire: Wire;
    /// The client (0) or the server (1) of two.
    fn new(me: u8, ends: [IpAddr; 2], sockets: usize) -> Self;
    /// A server's turn: `targets` are the sockets that `rx` is for.
    fn serve(&mut self, now: u64, rx: &mut Self::Wire, tx: &mut Self::Wire, targets: &[u16]);
    /// A client's turn: asks, once for each target.
    fn ask(&mut self, now: u64, work: Work, targets: &[u16], tx: &mut Self::Wire);
    /// A client's other turn: how many answers reached its socket.
    fn hear(&mut self, now: u64, rx: &mut Self::Wire, tx: &mut Self::Wire) -> usize;
}

struct Tapline {
    host: Host,
    echo: RawHandle,
    sockets: Vec<UdpHandle>,
    server: IpAddr,
    seq: u16,
}

impl Tapline {
    fn receive(&mut self, now: u64, rx: &mut Vec<Frame>) {
        let now = Instant::from_nanos(now);
        for frame in rx.drain(..) {
            self.host.handle_frame(now, Port(0), frame);
        }
    }

    fn transmit(&mut self, now: u64, tx: &mut Vec<Frame>) {
        let now = Instant::from_nanos(now);
        while let Some(frame) = self.host.poll_transmit(now, Port(0)) {
            tx.push(frame);
        }
        std::hint::black_box(self.host.poll_timeout());
    }
}

impl Station for Tapline {
    type Wire = Vec<Frame>;

    fn new(me: u8, ends: [IpAddr; 2], sockets: usize) -> Self {
        let mut host = Host::new(Config::default(), Rng::from_seed(u64::from(me)));
        let mac = MacAddr([2, 0, 0, 0, 0, me + 1]);
        let addr = ends[usize::from(me)];
        let cidr = Cidr::new(addr, if addr.is_ipv4() { 24 } else { 64 }).unwrap();
        let eth = InterfaceConfig::ethernet("eth0", Port(0), mac).with_address(cidr);
        host.add_interface(Instant::ZERO, eth);
        // The address is announced and at rest before anything is measured.
        let mut now = Instant::ZERO;
        while now.as_nanos() < START {
            host.handle_timeout(now);
            while host.poll_transmit(now, Port(0)).is_some() {}
            now += Duration::from_millis(500);
        }
        let (echo, _) = host.echo_open(IDENT).unwrap();
        let first = if sockets == 0 {
            CLIENT_PORT
        } else {
            FIRST_PORT
        };
        let ports = first..first + u16::try_from(sockets.max(1)).unwrap();
        let bind = |port| {
            let any = match addr {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            host.udp_bind(SocketAddr::new(any, port)).unwrap()
        };
        let sockets = ports.map(bind).collect();
        Self {
            host,
            echo,
            sockets,
            server: ends[1],
            seq: 0,
        }
    }

    fn serve(&mut self, now: u64, rx: &mut Vec<Frame>, tx: &mut Vec<Frame>, _targets: &[u16]) {
        self.receive(now, rx);
        let at = Instant::from_nanos(now);
        while let Some(event) = self.host.poll_event() {
            let Event::Udp(handle, ready) = event else {
                continue;
            };
            while ready.has(Readiness::READABLE)
                && let Some(datagram) = self.host.udp_recv(handle)
            {
                let (payload, from) = (datagram.payload, datagram.from);
                self.host.udp_send(at, handle, payload, Some(from)).unwrap();
            }
        }
        self.transmit(now, tx);
    }

    fn ask(&mut self, now: u64, work: Work, targets: &[u16], tx: &mut Vec<Frame>) {
        let at = Instant::from_nanos(now);
        for target in targets {
            self.seq = self.seq.wrapping_add(1);
            if work == Work::Echo {
                let data = Payload::from(bytes::Bytes::from_static(&ECHO_DATA));
                let sent = self
                    .host
                    .echo_send(at, self.echo, self.server, self.seq, data, &[]);
                sent.unwrap();
            } else {
                let to = SocketAddr::new(self.server, FIRST_PORT + target);
                let data = Payload::from(bytes::Bytes::from_static(&DATAGRAM));
                self.host
                    .udp_send(at, self.sockets[0], data, Some(to))
                    .unwrap();
            }
        }
        self.transmit(now, tx);
    }

    fn hear(&mut self, now: u64, rx: &mut Vec<Frame>, tx: &mut Vec<Frame>) -> usize {
        self.receive(now, rx);
        let mut heard = 0;
        while let Some(event) = self.host.poll_event() {
            match event {
                Event::Udp(handle, _) => {
                    while self.host.udp_recv(handle).is_some() {
                        heard += 1;
                    }
                }
                Event::Raw(handle, _) => {
                    while self.host.raw_recv(handle).is_some() {
                        heard += 1;
                    }
                }
                _ => {}
            }
        }
        self.transmit(now, tx);
        heard
    }
}

struct Smoltcp {
    iface: iface::Interface,
    set: SocketSet<'static>,
    echo: Option<SocketHandle>,
    sockets: Vec<SocketHandle>,
    server: IpAddress,
    seq: u16,
}

/// smoltcp's device over two wires.
struct Phy<'a> {
    rx: &'a Slots,
    taken: usize,
    tx: &'a mut Slots,
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
        let &len = self.rx.lens.get(self.taken)?;
        let at = self.taken * SLOT;
        self.taken += 1;
        Some((Rx(&self.rx.slots[at..at + len]), Tx(self.tx)))
    }

    #[inline]
    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Tx<'_>> {
        Some(Tx(self.tx))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        // Checksums are left as they are by default: computed and verified.
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = phy::Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

struct Rx<'a>(&'a [u8]);

impl phy::RxToken for Rx<'_> {
    #[inline]
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

struct Tx<'a>(&'a mut Slots);

impl phy::TxToken for Tx<'_> {
    #[inline]
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        f(self.0.push(len))
    }
}

fn at(now: u64) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros(i64::try_from(now / 1000).unwrap())
}

impl Smoltcp {
    fn receive(&mut self, now: u64, device: &mut Phy<'_>) {
        self.iface.poll_maintenance(at(now));
        while self
            .iface
            .poll_ingress_single(at(now), device, &mut self.set)
            != PollIngressSingleResult::None
        {}
    }

    /// One walk over the sockets for each frame that one of them has queued; at least one.
    fn transmit(&mut self, now: u64, device: &mut Phy<'_>, expected: usize) {
        for _ in 0..expected.max(1) {
            self.iface.poll_egress(at(now), device, &mut self.set);
            if device.tx.lens.len() >= expected {
                break;
            }
        }
        std::hint::black_box(self.iface.poll_at(at(now), &self.set));
    }
}

impl Station for Smoltcp {
    type Wire = Slots;

    fn new(me: u8, ends: [IpAddr; 2], sockets: usize) -> Self {
        let hardware = EthernetAddress([2, 0, 0, 0, 0, me + 1]);
        let (rx, mut tx) = (Slots::new(0), Slots::new(0));
        let mut device = Phy {
            rx: &rx,
            taken: 0,
            tx: &mut tx,
        };
        let config = iface::Config::new(hardware.into());
        let mut iface = iface::Interface::new(config, &mut device, at(START));
        iface.update_ip_addrs(|list| {
            let addr = IpAddress::from(ends[usize::from(me)]);
            list.push(IpCidr::new(addr, 24)).unwrap();
        });
        let mut set = SocketSet::new(vec![]);
        // A server that only answers pings needs no socket for it; a client does.
        let echo = (sockets == 0).then(|| {
            let buffer = || {
                icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 64], vec![0; 64 * 128])
            };
            let mut socket = icmp::Socket::new(buffer(), buffer());
            socket.bind(icmp::Endpoint::Ident(IDENT)).unwrap();
            set.add(socket)
        });
        let first = if sockets == 0 {
            CLIENT_PORT
        } else {
            FIRST_PORT
        };
        // Small buffers where there are many sockets: less memory to walk.
        let depth = if sockets > 1 { 4 } else { 64 };
        let bind = |port| {
            let buffer = || {
                udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; depth], vec![0; depth * 64])
            };
            let mut socket = udp::Socket::new(buffer(), buffer());
            socket.bind(port).unwrap();
            set.add(socket)
        };
        let ports = first..first + u16::try_from(sockets.max(1)).unwrap();
        let sockets = ports.map(bind).collect();
        Self {
            iface,
            set,
            echo,
            sockets,
            server: ends[1].into(),
            seq: 0,
        }
    }

    fn serve(&mut self, now: u64, rx: &mut Slots, tx: &mut Slots, targets: &[u16]) {
        let mut device = Phy { rx, taken: 0, tx };
        self.receive(now, &mut device);
        let mut buffer = [0; DATAGRAM.len()];
        for &target in targets {
            let socket = self
                .set
                .get_mut::<udp::Socket<'_>>(self.sockets[usize::from(target)]);
            while let Ok((len, meta)) = socket.recv_slice(&mut buffer) {
                socket.send_slice(&buffer[..len], meta.endpoint).unwrap();
            }
        }
        self.transmit(now, &mut device, rx.lens.len());
    }

    fn ask(&mut self, now: u64, work: Work, targets: &[u16], tx: &mut Slots) {
        for target in targets {
            self.seq = self.seq.wrapping_add(1);
            if work == Work::Echo {
                let socket = self.set.get_mut::<icmp::Socket<'_>>(self.echo.unwrap());
                let request = Icmpv4Repr::EchoRequest {
                    ident: IDENT,
                    seq_no: self.seq,
                    data: &ECHO_DATA,
                };
                let room = socket.send(request.buffer_len(), self.server).unwrap();
                let sums = ChecksumCapabilities::default();
                request.emit(&mut Icmpv4Packet::new_unchecked(room), &sums);
            } else {
                let to = IpEndpoint::new(self.server, FIRST_PORT + target);
                let socket = self.set.get_mut::<udp::Socket<'_>>(self.sockets[0]);
                socket.send_slice(&DATAGRAM, to).unwrap();
            }
        }
        let rx = Slots::new(0);
        let mut device = Phy {
            rx: &rx,
            taken: 0,
            tx,
        };
        self.transmit(now, &mut device, targets.len());
    }

    fn hear(&mut self, now: u64, rx: &mut Slots, tx: &mut Slots) -> usize {
        let mut device = Phy { rx, taken: 0, tx };
        self.receive(now, &mut device);
        let mut heard = 0;
        let socket = self.set.get_mut::<udp::Socket<'_>>(self.sockets[0]);
        while socket.recv().is_ok() {
            heard += 1;
        }
        let socket = self.set.get_mut::<icmp::Socket<'_>>(self.echo.unwrap());
        while let Ok((bytes, _)) = socket.recv() {
            let packet = Icmpv4Packet::new_checked(bytes).unwrap();
            Icmpv4Repr::parse(&packet, &ChecksumCapabilities::default()).unwrap();
            heard += 1;
        }
        self.transmit(now, &mut device, 0);
        heard
    }
}

/// A client and a server of one stack that know each other, and requests made beforehand.
struct Bench<S: Station> {
    client: S,
    server: S,
    forth: S::Wire,
    back: S::Wire,
    pool: Vec<S::Wire>,
    /// The pool laid out to be consumed.
    laid: Vec<S::Wire>,
    now: u64,
    next: usize,
    case: Case,
}

#[derive(Clone, Copy)]
struct Case {
    work: Work,
    pair: bool,
    sockets: usize,
    batch: usize,
}

impl<S: Station> Bench<S> {
    fn new(case: Case, ends: [IpAddr; 2], targets: &[u16]) -> Self {
        let mut bench = Self {
            client: S::new(0, ends, 0),
            server: S::new(1, ends, case.sockets),
            forth: S::Wire::new(case.batch + 8),
            back: S::Wire::new(case.batch + 8),
            pool: Vec::new(),
            laid: Vec::new(),
            now: START,
            next: 0,
            case,
        };
        bench.meet();
        for targets in targets.chunks(case.batch) {
            let mut wire = S::Wire::new(case.batch);
            bench.client.ask(bench.now, case.work, targets, &mut wire);
            assert_eq!(wire.len(), targets.len());
            wire.settle();
            bench.pool.push(wire);
            bench.laid.push(S::Wire::new(case.batch));
        }
        bench
    }

    /// Lets the two resolve each other's address, whatever it takes.
    fn meet(&mut self) {
        self.client.ask(self.now, Work::Echo, &[0], &mut self.forth);
        for _ in 0..8 {
            self.now += 1_000_000;
            self.back.clear();
            self.server
                .serve(self.now, &mut self.forth, &mut self.back, &[]);
            self.forth.clear();
            self.client.hear(self.now, &mut self.back, &mut self.forth);
        }
        assert_eq!((self.forth.len(), self.back.len()), (0, 0));
    }

    /// One batch; every request must be answered.
    fn step(&mut self, targets: &[u16]) {
        self.now += STEP;
        let batches = POOL / self.case.batch;
        self.next = (self.next + 1) % batches;
        let from = self.next * self.case.batch;
        let targets = &targets[from..from + self.case.batch];
        let served = match self.case.work {
            Work::Echo => &[][..],
            Work::Udp => targets,
        };
        self.back.clear();
        if !self.case.pair {
            let wire = &mut self.laid[self.next];
            self.server.serve(self.now, wire, &mut self.back, served);
            assert_eq!(self.back.len(), targets.len());
            return;
        }
        self.forth.clear();
        self.client
            .ask(self.now, self.case.work, targets, &mut self.forth);
        self.server
            .serve(self.now, &mut self.forth, &mut self.back, served);
        self.forth.clear();
        let heard = self.client.hear(self.now, &mut self.back, &mut self.forth);
        assert_eq!(heard, targets.len());
    }

    /// Nanoseconds per request over one round.
    #[expect(clippy::cast_precision_loss, reason = "a figure to print")]
    fn round(&mut self, targets: &[u16]) -> f64 {
        let (mut spent, mut done) = (Duration::ZERO, 0);
        while spent < ROUND {
            spent += self.run(targets, (128 / self.case.batch).max(1));
            done += (128 / self.case.batch).max(1) * self.case.batch;
        }
        spent.as_nanos() as f64 / done as f64
    }

    /// Lays out what the next `steps` take, then goes through them; what the latter took.
    fn run(&mut self, targets: &[u16], steps: usize) -> Duration {
        let batches = POOL / self.case.batch;
        if !self.case.pair {
            for step in 1..=steps {
                let at = (self.next + step) % batches;
                self.laid[at].refill(&self.pool[at]);
            }
        }
        let start = std::time::Instant::now();
        for _ in 0..steps {
            self.step(targets);
        }
        start.elapsed()
    }
}

/// The sockets that the pool's requests are for.
fn targets(sockets: usize) -> Vec<u16> {
    let mut rng = Rng::from_seed(7);
    let n = u64::try_from(sockets).unwrap();
    let mut draw = || u16::try_from(rng.next_u64() % n).unwrap();
    (0..POOL).map(|_| draw()).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs a case on both stacks in turn; prints its line and gives the ratio.
fn compare(case: Case) {
    let targets = targets(case.sockets);
    let mut ours = Bench::<Tapline>::new(case, V4, &targets);
    let mut six = Bench::<Tapline>::new(case, V6, &targets);
    let mut theirs = Bench::<Smoltcp>::new(case, V4, &targets);
    // Each socket's queues grow on its first datagram: warm is when all were asked.
    for _ in 0..2 * POOL / case.batch {
        ours.run(&targets, 1);
        six.run(&targets, 1);
    }
    theirs.round(&targets);
    let [mut a, mut b, mut c] = [(); 3].map(|()| Vec::with_capacity(ROUNDS));
    let mut allocations = 0;
    for _ in 0..ROUNDS {
        let region = Region::new(COUNTING);
        a.push(ours.round(&targets));
        c.push(six.round(&targets));
        allocations += region.change().allocations + region.change().reallocations;
        b.push(theirs.round(&targets));
    }
    let (a, b, c) = (median(a), median(b), median(c));
    println!(
        "{:5} {:9} {:>7} {:>5} {a:>9.0} {b:>9.0} {:>8.2} {allocations:>7} {c:>10.0} {:>5.2}",
        if case.work == Work::Echo {
            "echo"
        } else {
            "udp"
        },
        if case.pair { "pair" } else { "responder" },
        case.sockets,
        case.batch,
        b / a,
        c / a,
    );
    assert_eq!(allocations, 0, "nothing allocates once warm");
}

/// A fixed number of steps of one stack, for a profiler or an instruction counter to watch.
fn watch<S: Station>(case: Case, ends: [IpAddr; 2], steps: usize) {
    let targets = targets(case.sockets);
    let mut bench = Bench::<S>::new(case, ends, &targets);
    for _ in 0..steps {
        bench.run(&targets, 1);
    }
}

fn main() {
    let only: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    // WATCH=tapline:100000, tapline6:100000 over IPv6, or smoltcp:100000.
    let watched = std::env::var("WATCH").ok().and_then(|v| {
        let (stack, steps) = v.split_once(':')?;
        Some((stack.to_owned(), steps.parse().ok()?))
    });
    println!("nanoseconds per request, medians of {ROUNDS} rounds taken in turn");
    println!(
        "work  form      sockets batch   tapline   smoltcp    ratio  allocs  over IPv6  of v4"
    );
    for work in [Work::Echo, Work::Udp] {
        for pair in [false, true] {
            for sockets in [1, 10_000] {
                for batch in [1, 32] {
                    let case = Case {
                        work,
                        pair,
                        sockets,
                        batch,
                    };
                    let name = format!(
                        "{work:?}-{}-{sockets}-{batch}.",
                        if pair { "pair" } else { "responder" }
                    )
                    .to_lowercase();
                    if !only.iter().all(|o| name.contains(o.as_str())) {
                        continue;
                    }
                    match watched
                        .as_ref()
                        .map(|(stack, steps)| (stack.as_str(), *steps))
                    {
                        Some(("tapline", steps)) => watch::<Tapline>(case, V4, steps),
                        Some(("tapline6", steps)) => watch::<Tapline>(case, V6, steps),
                        Some((_, steps)) => watch::<Smoltcp>(case, V4, steps),
                        None => compare(case),
                    }
                }
            }
        }
    }
}
