//! TCP driven at random: a script leads a connection into a state; then its peer says anything, its
//! user does anything, and time passes. After each step the host is held to its promises.

use crate::chance::Chance;
use stack::frame::Frame;
use stack::host::{Config, Host, InterfaceConfig, ListenHandle, TcpHandle};
use stack::machine::{Machine, Port};
use stack::rng::Rng;
use stack::time::{Duration, Instant};
use stack::transport::tcp::{self, ListenOptions, State};
use stack::wire::checksum::Sum;
use stack::wire::seq::SeqNum;
use stack::wire::tcp::{Flags, Options, TcpOption};
use stack::wire::{Cidr, Protocol, ipv4, ipv6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where a script leads.
pub(crate) const STATES: [State; 10] = [
    State::Listen,
    State::SynSent,
    State::SynReceived,
    State::Established,
    State::FinWait1,
    State::FinWait2,
    State::CloseWait,
    State::Closing,
    State::LastAck,
    State::TimeWait,
];

/// The host and its peer, in either family.
pub(crate) const ENDS: [[IpAddr; 2]; 2] = [
    [
        IpAddr::V4(Ipv4Addr::new(10, 7, 0, 1)),
        IpAddr::V4(Ipv4Addr::new(10, 7, 0, 2)),
    ],
    [
        IpAddr::V6(Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 1)),
        IpAddr::V6(Ipv6Addr::new(0xfd07, 0, 0, 0, 0, 0, 0, 2)),
    ],
];
const SERVICE: u16 = 80;
/// Connections at a time.
const MOST: usize = 8;
/// Turns of timeouts and pulls at one instant, and frames of one pull.
const STUCK: u32 = 64;
const ENDLESS: u32 = 20_000;
/// After this an address may be used.
const AT_REST: Duration = Duration::from_secs(10);
/// Bytes of a buffer, either way; small, so that it fills.
const BUFFER: u32 = 64 << 10;
/// What a SYN may offer: MSS 1460, SACK, timestamps, window scale 7.
const OFFER: [u8; 20] = [
    2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
];

/// A host, its user, and the numbers of its peer.
pub(crate) struct Peer {
    pub(crate) host: Host,
    now: Instant,
    listener: Option<ListenHandle>,
    handles: Vec<TcpHandle>,
    /// The host's address and the peer's.
    ends: [IpAddr; 2],
    /// The host's port and the peer's.
    ports: (u16, u16),
    /// What the peer sends next.
    next: SeqNum,
    /// What the host sends next, and what the peer has acknowledged of it.
    nxt: SeqNum,
    acked: SeqNum,
    /// Both clocks, where there are timestamps.
    clock: u32,
    echo: Option<u32>,
    pub(crate) out: u64,
}

/// What the peer says.
#[derive(Default)]
struct Say {
    seq: SeqNum,
    ack: SeqNum,
    flags: Flags,
    window: u16,
    urgent: u16,
    options: Vec<u8>,
    data: Vec<u8>,
    /// The last word of options is cut off, or the header is longer than the segment.
    lie: Option<u8>,
}

impl Peer {
    fn new(ends: [IpAddr; 2], cookies: bool) -> Self {
        let config = Config {
            max_connections: MOST,
            max_orphans: MOST / 2,
            max_time_waits: MOST / 4,
            ..Config::default()
        };
        let mut host = Host::new(config, Rng::from_seed(7));
        let mut interface = InterfaceConfig::ip("tun0", Port(0));
        for [own, _] in ENDS {
            let prefix = if own.is_ipv4() { 24 } else { 64 };
            interface = interface.with_address(Cidr::new(own, prefix).unwrap());
        }
        host.add_interface(Instant::ZERO, interface);
        let now = Instant::ZERO + AT_REST;
        while host.poll_timeout().is_some_and(|due| due <= now) {
            host.handle_timeout(now);
            while host.poll_transmit(now, Port(0)).is_some() {}
        }
        let options = ListenOptions {
            backlog: 4,
            syn_backlog: if cookies { 0 } else { 3 },
            options: options(),
            ..ListenOptions::default()
        };
        let at = SocketAddr::from((ends[0], SERVICE));
        Self {
            listener: host.tcp_listen(at, options).ok(),
            host,
            now,
            handles: Vec::new(),
            ends,
            ports: (SERVICE, 4000),
            next: SeqNum(u32::MAX - 500),
            nxt: SeqNum(0),
            acked: SeqNum(0),
            clock: 1,
            echo: None,
            out: 0,
        }
    }

    /// A host whose connection, where there is one, has come to a state.
    pub(crate) fn in_state(state: State, ends: [IpAddr; 2], offer: bool) -> Self {
        let mut peer = Self::new(ends, false);
        let syn_options = if offer { OFFER.to_vec() } else { Vec::new() };
        match state {
            State::Listen => return peer,
            State::SynSent => {
                peer.connect(9);
                peer.settle();
                return peer;
            }
            _ => {}
        }
        peer.plain(Flags::SYN, syn_options, Vec::new());
        if state == State::SynReceived {
            return peer;
        }
        peer.plain(Flags::ACK, Vec::new(), Vec::new());
        peer.accept();
        let closes_first = matches!(
            state,
            State::FinWait1 | State::FinWait2 | State::Closing | State::TimeWait
        );
        if closes_first {
            let before = peer.acked;
            peer.shutdown(0);
            if state == State::Closing {
                // The peer's FIN crosses ours.
                let ack = std::mem::replace(&mut peer.nxt, before);
                peer.plain(Flags::FIN | Flags::ACK, Vec::new(), Vec::new());
                peer.nxt = peer.nxt.later(ack);
            } else if state != State::FinWait1 {
                peer.plain(Flags::ACK, Vec::new(), Vec::new());
            }
            if state == State::TimeWait {
                peer.plain(Flags::FIN | Flags::ACK, Vec::new(), Vec::new());
            }
        } else if matches!(state, State::CloseWait | State::LastAck) {
            peer.plain(Flags::FIN | Flags::ACK, Vec::new(), Vec::new());
            if state == State::LastAck {
                peer.shutdown(0);
            }
        }
        peer
    }

    /// The states that its connections are in.
    pub(crate) fn states(&self) -> Vec<State> {
        self.host.tcp_connections().map(|c| c.3).collect()
    }

    /// What a peer that means well says next.
    fn plain(&mut self, flags: Flags, mut options: Vec<u8>, data: Vec<u8>) {
        if let Some(echo) = self.echo.filter(|_| options.is_empty()) {
            options = timestamps(self.clock, echo);
        }
        let say = Say {
            seq: self.next,
            ack: self.nxt,
            flags,
            window: 60_000,
            options,
            data,
            ..Say::default()
        };
        self.say(&say);
        self.acked = self.nxt;
        self.settle();
    }

    fn say(&mut self, say: &Say) {
        let len = u32::try_from(say.data.len()).unwrap_or(0);
        let marks = u32::from(say.flags.contains(Flags::SYN));
        let marks = marks + u32::from(say.flags.contains(Flags::FIN));
        if say.seq == self.next && !say.flags.contains(Flags::RST) {
            self.next += len + marks;
        }
        let bytes = packet(self.ends, (self.ports.1, self.ports.0), say);
        let _ = self
            .host
            .handle_frame(self.now, Port(0), Frame::copy_from(&bytes));
        while self.host.poll_event().is_some() {}
    }

    /// Pulls until nothing more comes and nothing is due.
    fn settle(&mut self) {
        for _ in 0..STUCK {
            let mut pulled = 0;
            while let Some(mut frame) = self.host.poll_transmit(self.now, Port(0)) {
                pulled += 1;
                assert!(pulled < ENDLESS, "poll_transmit never gives None");
                let whole = frame.offload.gso.is_none();
                if whole {
                    frame.complete_checksum();
                }
                self.hear(&frame.to_bytes(), whole);
            }
            while self.host.poll_event().is_some() {}
            match self.host.poll_timeout() {
                Some(due) if due <= self.now => self.host.handle_timeout(self.now),
                _ => return self.check(),
            }
        }
        let due = self.host.poll_timeout();
        assert!(due.is_none(), "{due:?} stays due at {:?}", self.now);
    }

    /// A packet of the host's.
    fn hear(&mut self, bytes: &[u8], whole: bool) {
        self.out += 1;
        let (protocol, ends, rest) = if bytes.first().is_some_and(|first| first >> 4 == 6) {
            let (ip, rest) = ipv6::Header::parse(bytes).expect("the host sends packets");
            (ip.next_header, (ip.src.into(), ip.dst.into()), rest)
        } else {
            let (ip, rest) = ipv4::Header::parse(bytes).expect("the host sends packets");
            (ip.protocol, (ip.src.into(), ip.dst.into()), rest)
        };
        if protocol != Protocol::TCP {
            return;
        }
        let vouched = stack::wire::tcp::verify(ends.0, ends.1, rest);
        assert!(!whole || vouched, "a wrong checksum");
        let (tcp, data) = stack::wire::tcp::Header::parse(rest).expect("the host sends segments");
        let len = u32::try_from(data.len()).unwrap_or(0);
        if tcp.flags.contains(Flags::RST) || tcp.dst_port != self.ports.1 {
            return;
        }
        let end = tcp.seq + tcp.seq_len(len);
        if tcp.flags.contains(Flags::SYN) {
            self.ports.0 = tcp.src_port;
            self.nxt = end;
            self.acked = tcp.seq;
        }
        self.nxt = self.nxt.later(end);
        for option in Options::new(tcp.options).flatten() {
            if let TcpOption::Timestamps { value, .. } = option {
                self.echo = Some(value);
            }
        }
    }

    /// What holds whatever comes.
    fn check(&self) {
        let stats = self.host.stats();
        assert!(stats.is_conserved(), "{stats:?}");
        let connections = self.host.tcp_connections().count();
        assert!(connections <= MOST, "{connections} connections");
        // A buffer may exceed its bound by what was in flight when it was lowered, and a segment.
        let most = u64::from(BUFFER) * 4 * (connections as u64);
        assert!(self.host.tcp_buffered() <= most, "{most}");
    }

    fn connect(&mut self, port: u16) {
        let to = SocketAddr::from((self.ends[1], port));
        self.ports.1 = port;
        if let Ok(handle) = self.host.tcp_connect(self.now, to, None, options()) {
            self.handles.push(handle);
        }
    }

    fn accept(&mut self) {
        if let Some(listener) = self.listener
            && let Some((handle, _)) = self.host.tcp_accept(listener)
        {
            self.handles.push(handle);
        }
    }

    fn shutdown(&mut self, nth: usize) {
        if let Some(handle) = self.handles.get(nth).copied() {
            self.host.tcp_shutdown(self.now, handle);
        }
        self.settle();
    }

    /// One thing happens.
    pub(crate) fn step(&mut self, c: &mut Chance) {
        match c.below(16) {
            0..=8 => {
                let say = self.anything(c);
                self.say(&say);
            }
            9 => {
                let n = c.below(3000);
                let data = c.filler(n);
                self.plain(Flags::ACK | Flags::PSH, Vec::new(), data);
            }
            10 | 11 => self.call(c),
            12 => self.now += Duration::from_millis(c.below(500) as u64),
            13 => {
                if let Some(due) = self.host.poll_timeout() {
                    self.now = self.now.max(due);
                }
            }
            14 => {
                // Another connection, or the same ends again.
                self.ports = (SERVICE, 4000 + u16::from(c.byte() % 4));
                self.next = SeqNum(c.u32());
                let options = if c.one_in(2) {
                    OFFER.to_vec()
                } else {
                    Vec::new()
                };
                self.echo = None;
                // Half of them count marks.
                let asks = match self.ports.1 % 2 {
                    0 => Flags::NONE,
                    _ => Flags::AE | Flags::CWR | Flags::ECE,
                };
                self.plain(Flags::SYN | asks, options, Vec::new());
                self.plain(Flags::ACK, Vec::new(), Vec::new());
            }
            _ => self.clock = self.clock.wrapping_add(u32::from(c.u16())),
        }
        self.settle();
    }

    /// A segment of which hardly anything need be right.
    fn anything(&self, c: &mut Chance) -> Say {
        const FLAGS: [Flags; 9] = [
            Flags::ACK,
            Flags::SYN,
            Flags::RST,
            Flags::FIN,
            Flags::PSH,
            Flags::URG,
            Flags::ECE,
            Flags::CWR,
            Flags::AE,
        ];
        let flags = match c.below(4) {
            0 => Flags::from_bits(c.u16() & 0x1ff),
            1 => Flags::ACK | c.pick(&FLAGS).unwrap_or_default(),
            _ => Flags::ACK,
        };
        let len = match c.below(4) {
            0 => c.below(1461),
            1 => 1,
            _ => 0,
        };
        let near = |c: &mut Chance, base: SeqNum| match c.below(8) {
            0..=2 => base,
            3 => base - 1,
            4 => base + 1,
            5 => base + u32::from(c.u16()),
            6 => base - u32::from(c.u16()),
            _ => SeqNum(c.u32()),
        };
        let span = self.nxt.since(self.acked).max(1);
        Say {
            seq: near(c, self.next),
            ack: match c.below(4) {
                0 => near(c, self.acked),
                1 => self.acked + c.u32() % span,
                _ => near(c, self.nxt),
            },
            flags,
            window: c.pick(&[0, 1, 500, 1460, u16::MAX]).unwrap_or(0),
            urgent: if flags.contains(Flags::URG) {
                c.u16()
            } else {
                0
            },
            options: self.options(c),
            data: c.filler(len),
            lie: c.one_in(40).then(|| c.byte()),
        }
    }

    fn options(&self, c: &mut Chance) -> Vec<u8> {
        match c.below(7) {
            6 => {
                // Counters of marks: any number of any length.
                let n = c.below(14);
                let mut option = vec![172 + 2 * (c.byte() & 1), u8::try_from(2 + n).unwrap_or(2)];
                option.extend(c.bytes(n));
                option.resize(option.len().next_multiple_of(4), 1);
                option
            }
            0 => {
                let n = c.below(11) * 4;
                c.bytes(n)
            }
            1 => {
                // Up to three blocks of what is in flight, as large as they like.
                let n = 1 + c.below(3);
                let mut option = vec![1, 1, 5, u8::try_from(2 + 8 * n).unwrap_or(10)];
                let span = self.nxt.since(self.acked).max(1);
                for _ in 0..n {
                    let left = self.acked + c.u32() % span;
                    let len = if c.one_in(2) { 1 } else { c.u32() % span };
                    option.extend(left.0.to_be_bytes());
                    option.extend((left + len).0.to_be_bytes());
                }
                option
            }
            2 => OFFER.to_vec(),
            _ => match self.echo {
                Some(echo) => timestamps(self.clock, echo.wrapping_sub(u32::from(c.byte() / 64))),
                None => Vec::new(),
            },
        }
    }

    /// A user's call.
    fn call(&mut self, c: &mut Chance) {
        let now = self.now;
        let handle = c.pick(&self.handles);
        let Some(handle) = handle.filter(|_| !c.one_in(8)) else {
            match c.below(2) {
                0 => self.accept(),
                _ if self.handles.len() < MOST => self.connect(9),
                _ => {}
            }
            return;
        };
        match c.below(8) {
            0..=2 => {
                let n = c.below(40_000);
                let _ = self.host.tcp_send(now, handle, &c.filler(n));
            }
            3 | 4 => {
                let mut room = vec![0; c.below(20_000)];
                let _ = self.host.tcp_recv(now, handle, &mut room);
            }
            5 => self.host.tcp_shutdown(now, handle),
            6 => {
                let _ = self.host.tcp_send_urgent(now, handle, &c.filler(3));
            }
            _ => {
                self.handles.retain(|h| *h != handle);
                match c.below(2) {
                    0 => self.host.tcp_close(now, handle),
                    _ => self.host.tcp_abort(now, handle),
                }
            }
        }
    }
}

/// Runs a connection from a state on. The first byte says which, and what the SYN offered; the
/// second, in which family.
pub(crate) fn run(c: &mut Chance, steps: u32) -> Peer {
    let first = usize::from(c.byte());
    let ends = ENDS[usize::from(c.byte() % 2)];
    let state = STATES.get(first % STATES.len()).copied();
    let mut peer = match first {
        250.. => Peer::new(ends, true),
        _ => Peer::in_state(state.unwrap_or_default(), ends, first >= 128),
    };
    for _ in 0..steps {
        if c.is_spent() {
            break;
        }
        peer.step(c);
    }
    // Whoever waits long enough sees all that nobody holds go.
    for handle in std::mem::take(&mut peer.handles) {
        peer.host.tcp_close(peer.now, handle);
    }
    if let Some(listener) = peer.listener.take() {
        peer.host.tcp_stop_listening(peer.now, listener);
    }
    for _ in 0..2000 {
        peer.settle();
        let Some(due) = peer.host.poll_timeout() else {
            break;
        };
        peer.now = peer.now.max(due);
    }
    let left = peer.states();
    let told = peer.host.tcp_connections();
    let told: Vec<_> = told.map(|c| peer.host.tcp_status(peer.now, c.0)).collect();
    let due = peer.host.poll_timeout();
    assert!(
        left.is_empty(),
        "{left:?} at {:?}, due {due:?}: {told:?}",
        peer.now
    );
    peer
}

fn options() -> tcp::Options {
    let buffer = tcp::options::Buffer {
        initial: BUFFER,
        max: BUFFER,
    };
    tcp::Options {
        recv_buffer: buffer,
        send_buffer: buffer,
        ecn: tcp::options::Ecn::Accurate,
        ..tcp::Options::default()
    }
}

fn timestamps(value: u32, echo: u32) -> Vec<u8> {
    let mut option = vec![1, 1, 8, 10];
    option.extend(value.to_be_bytes());
    option.extend(echo.to_be_bytes());
    option
}

/// A segment of the peer's in its packet.
fn packet([host, peer]: [IpAddr; 2], (from, to): (u16, u16), say: &Say) -> Vec<u8> {
    let mut options = say.options.clone();
    options.resize(options.len().next_multiple_of(4).min(40), 0);
    let words = 5 + options.len() / 4;
    let offset = say.lie.map_or(words, |lie| usize::from(lie % 16));
    let mut tcp = Vec::new();
    tcp.extend(from.to_be_bytes());
    tcp.extend(to.to_be_bytes());
    tcp.extend(say.seq.0.to_be_bytes());
    tcp.extend(say.ack.0.to_be_bytes());
    let offset = u16::try_from(offset << 12).unwrap_or(0);
    tcp.extend((offset | say.flags.bits()).to_be_bytes());
    tcp.extend(say.window.to_be_bytes());
    tcp.extend([0, 0]);
    tcp.extend(say.urgent.to_be_bytes());
    tcp.extend(options);
    tcp.extend(&say.data);
    let mut sum = Sum::new();
    sum.add_pseudo(peer, host, Protocol::TCP, tcp.len());
    sum.add(&tcp);
    tcp[16..18].copy_from_slice(&sum.finish().to_be_bytes());
    let len = |more: usize| u16::try_from(more + tcp.len()).unwrap_or(u16::MAX);
    let mut ip = Vec::new();
    match (peer, host) {
        (IpAddr::V4(peer), IpAddr::V4(host)) => {
            let total = len(20).to_be_bytes();
            ip.extend([0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 6, 0, 0]);
            ip.extend(peer.octets());
            ip.extend(host.octets());
            let checksum = stack::wire::checksum::of(&ip).to_be_bytes();
            ip[10..12].copy_from_slice(&checksum);
        }
        (IpAddr::V6(peer), IpAddr::V6(host)) => {
            let payload = len(0).to_be_bytes();
            ip.extend([0x60, 0, 0, 0, payload[0], payload[1], 6, 64]);
            ip.extend(peer.octets());
            ip.extend(host.octets());
        }
        _ => unreachable!("both are of one family"),
    }
    ip.extend(tcp);
    ip
}
