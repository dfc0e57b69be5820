//! An attacker on TCP: segments that no honest TCP sends, made by hand.
//!
//! ```text
//!   sources of its own: 198.18.0.0/15            somebody else's connection, heard on a hub
//!   SYN floods, peers that misbehave             ends are known, sequence numbers are guessed
//!          |                                                   |
//!          +----------- poll_frame ---> wire ---> victim <-----+
//!          <----------- handle_frame --- its answers: the host never sees them, so it resets none
//! ```
//!
//! The victim needs a route to 198.18.0.0/15 (RFC 2544, for benchmarks) by the attacker's host.
//! What bounds each attack is said in the host's `tcp` module.
//!
//! Read first: RFC 4987 (SYN floods), RFC 5961 (blind attacks), RFC 9293 §3.8.6.1 (closed windows).
//!
//! Promises: well formed where it does not say otherwise, so that it is TCP's rules that decide;
//! what it keeps is bounded by `count`; a seed gives the same numbers again.
//!
//! Left out: IPv6, victims that are no neighbours, timestamps of its own.

use super::{Endpoint, Hears, Note, StartError, Waiting, count};
use serde::Deserialize;
use stack::frame::Frame;
use stack::host::{AskError, Event, Host};
use stack::rng::Rng;
use stack::time::{Duration, Instant};
use stack::wire::checksum::Sum;
use stack::wire::seq::SeqNum;
use stack::wire::tcp::{self, Flags};
use stack::wire::{EtherType, MacAddr, Protocol, Writer, ethernet, ipv4};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

/// Its own addresses: RFC 2544's, 17 bits of them.
const SOURCES: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const SOURCE_BITS: u32 = 0x1_ffff;
/// Frames that wait to be taken.
const MAX_FRAMES: usize = 4096;
/// What a peer that speaks in crumbs acknowledges before, and what has to be in flight then.
const ACKED: u32 = 300_000;
const FLIGHT: u32 = 100_000;
/// What a peer with tiny segments takes before it goes.
const TINY_BYTES: u64 = 3_000;
/// Largest segment that it announces elsewhere.
const MSS: u16 = 1460;
const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
const SACK_PERMITTED: [u8; 4] = [4, 2, 1, 1];

macro_rules! attacks {
    ($($(#[$doc:meta])* $name:ident: $word:literal, $count:literal, $micros:literal,)*) => {
        /// How it attacks.
        #[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
        #[serde(rename_all = "kebab-case")]
        pub enum Attack { $($(#[$doc])* $name,)* }

        impl Attack {
            /// Each of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in a file.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// How often and how fast, where nothing is said.
            const fn usual(self) -> (u64, Duration) {
                match self { $(Self::$name => ($count, Duration::from_micros($micros)),)* }
            }
        }
    };
}

attacks! {
    /// SYNs from many addresses, of which nothing more is heard.
    SynFlood: "syn-flood", 10_000, 50,
    /// Resets on somebody's connection, their numbers guessed.
    BlindRst: "blind-rst", 4096, 500,
    /// SYNs on somebody's connection.
    BlindSyn: "blind-syn", 4096, 500,
    /// Data on somebody's connection, sequence and acknowledgment guessed.
    BlindData: "blind-data", 4096, 500,
    /// A byte to each end of a connection, its numbers heard: from then on the ends disagree, and
    /// each corrects the other.
    AckStorm: "ack-storm", 1, 1000,
    /// Peers that ask for a page and never open their window.
    Sockstress: "sockstress", 100, 1000,
    /// Peers that announce segments of 1 to 88 bytes and take a stream in them.
    TinyMss: "tiny-mss", 88, 1000,
    /// A peer that lets much be sent and then says byte by byte what it has.
    SackBomb: "sack-bomb", 4000, 500,
    /// A peer that acknowledges what it has not received, and what was not sent.
    OptimisticAck: "optimistic-ack", 2000, 500,
    /// A peer whose window shrinks, opens, and flaps.
    WindowLies: "window-lies", 2000, 500,
    /// Peers whose options are malformed, doubled or out of place in every segment.
    OptionGarbage: "option-garbage", 100, 1000,
    /// Connections that the victim is the first to close.
    TimeWait: "time-wait", 1000, 500,
    /// A SYN to each of many ports, and a reset where one is answered.
    PortScan: "port-scan", 1000, 500,
}

impl Attack {
    /// Whether it is on somebody else's connection.
    #[must_use]
    pub const fn needs_connection(self) -> bool {
        matches!(
            self,
            Self::BlindRst | Self::BlindSyn | Self::BlindData | Self::AckStorm
        )
    }
}

/// What to attack and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// The interface of the host.
    pub interface: u16,
    /// How.
    pub attack: Attack,
    /// Whom, and which service of theirs; of a scan, the first port.
    pub target: SocketAddrV4,
    /// The target's station.
    pub mac: Option<MacAddr>,
    /// On whose connection, where it is on one.
    pub claims: Option<Ipv4Addr>,
    /// Between two steps.
    pub interval: Duration,
    /// Steps in all: SYNs, guesses, peers or, of attacks with one peer, its segments.
    pub count: u64,
    /// Its numbers come from it.
    pub seed: u32,
}

impl Config {
    /// What is usual for an attack.
    #[must_use]
    pub const fn new(attack: Attack, target: SocketAddrV4) -> Self {
        let (count, interval) = attack.usual();
        Self {
            interface: 0,
            attack,
            target,
            mac: None,
            claims: None,
            interval,
            count,
            seed: 0,
        }
    }
}

/// An end of its own.
type Source = (Ipv4Addr, u16);

/// What is known of the other side's half of a connection of its own.
#[derive(Clone, Debug)]
struct Peer {
    /// Number of the step that opened it.
    nth: u64,
    port: u16,
    open: bool,
    gone: bool,
    next: SeqNum,
    /// In order up to here.
    received: SeqNum,
    /// What it was first told.
    start: SeqNum,
    /// Where its acknowledgments have stopped.
    held: Option<SeqNum>,
    /// Steps with it since it opened.
    steps: u32,
    bytes: u64,
    largest: usize,
}

/// A connection heard on a hub: its ends, and what each sends next.
#[derive(Clone, Copy, Debug)]
struct Heard {
    port: u16,
    /// The claimed end's station.
    mac: MacAddr,
    next: SeqNum,
    /// The target's next number.
    acked: SeqNum,
}

/// An attacker.
#[derive(Clone, Debug)]
pub struct TcpAttacker {
    config: Config,
    rng: Rng,
    mac: Option<MacAddr>,
    next_at: Instant,
    /// Steps taken.
    steps: u64,
    heard: Option<Heard>,
    peers: BTreeMap<Source, Peer>,
    frames: VecDeque<Frame>,
    sent: u64,
    answers: u64,
    opened: u64,
    resets: u64,
    bytes: u64,
    /// Segments with data that came, and the largest of the peer whose largest was least.
    segments: u64,
    least: Option<usize>,
    done: bool,
    notes: Waiting<Note>,
}

/// A segment to be sent; the rest is said by whose it is.
#[derive(Clone, Copy, Debug)]
struct Out<'a> {
    seq: SeqNum,
    ack: SeqNum,
    flags: Flags,
    window: u16,
    options: &'a [u8],
    data: &'a [u8],
    /// Words of the header, where that is a lie.
    offset: Option<u8>,
}

impl Default for Out<'_> {
    fn default() -> Self {
        Self {
            seq: SeqNum(0),
            ack: SeqNum(0),
            flags: Flags::ACK,
            window: u16::MAX,
            options: &[],
            data: &[],
            offset: None,
        }
    }
}

impl TcpAttacker {
    /// An attacker that has not begun.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            rng: Rng::from_seed(u64::from(config.seed)),
            config,
            mac: None,
            next_at: Instant::ZERO,
            steps: 0,
            heard: None,
            peers: BTreeMap::new(),
            frames: VecDeque::new(),
            sent: 0,
            answers: 0,
            opened: 0,
            resets: 0,
            bytes: 0,
            segments: 0,
            least: None,
            done: false,
            notes: Waiting::new(),
        }
    }

    fn has_more(&self) -> bool {
        self.steps < self.config.count
    }

    /// The `n`-th of its own ends: each has another address, as long as there are any.
    fn source(&self, n: u64) -> Source {
        let n = u32::try_from(n & u64::from(u32::MAX)).unwrap_or(0);
        // An odd factor visits every address once before the first comes again.
        let host = n.wrapping_mul(40_503).wrapping_add(1) & SOURCE_BITS;
        let host = host.clamp(1, SOURCE_BITS - 1);
        let port = 1024 + u16::try_from(n.wrapping_mul(7919) % 60_000).unwrap_or(0);
        (Ipv4Addr::from_bits(SOURCES.to_bits() | host), port)
    }

    /// One step of the attack.
    fn step(&mut self) {
        let n = self.steps;
        match self.config.attack {
            Attack::SynFlood => self.open(n, self.config.target.port(), MSS),
            Attack::PortScan => {
                let more = u16::try_from(n).unwrap_or(u16::MAX);
                let port = self.config.target.port().saturating_add(more);
                self.open(n, port, MSS);
            }
            Attack::BlindRst | Attack::BlindSyn | Attack::BlindData => {
                if !self.guess(n) {
                    return;
                }
            }
            Attack::AckStorm => {
                if !self.desynchronize() {
                    return;
                }
            }
            Attack::TinyMss => {
                let mss = u16::try_from(n % 88 + 1).unwrap_or(1);
                self.open(n, self.config.target.port(), mss);
            }
            Attack::Sockstress | Attack::OptionGarbage | Attack::TimeWait => {
                self.open(n, self.config.target.port(), MSS);
            }
            Attack::SackBomb | Attack::OptimisticAck | Attack::WindowLies => {
                if !self.misbehave() {
                    return;
                }
            }
        }
        self.steps += 1;
    }

    /// A SYN from an end of its own.
    fn open(&mut self, n: u64, port: u16, mss: u16) {
        let source = self.source(n);
        let seq = SeqNum(self.rng.next_u32());
        if self.config.attack != Attack::SynFlood {
            let peer = Peer {
                nth: n,
                port,
                open: false,
                gone: false,
                next: seq + 1,
                received: SeqNum(0),
                start: SeqNum(0),
                held: None,
                steps: 0,
                bytes: 0,
                largest: 0,
            };
            self.peers.insert(source, peer);
        }
        let [a, b] = mss.to_be_bytes();
        let [s0, s1, s2, s3] = SACK_PERMITTED;
        // Windows in KiB, for those who let much be sent.
        let scale = match self.config.attack {
            Attack::SackBomb | Attack::OptimisticAck | Attack::WindowLies => 10,
            _ => 0,
        };
        let usual = [2, 4, a, b, s0, s1, s2, s3, 1, 3, 3, scale];
        let options = match self.config.attack {
            Attack::OptionGarbage => garbage(n, true),
            _ => (&usual[..], None),
        };
        let out = Out {
            seq,
            flags: Flags::SYN,
            options: options.0,
            offset: options.1,
            ..Out::default()
        };
        self.send(source, port, out);
    }

    /// A guess on somebody's connection; `false` where none has been heard yet.
    fn guess(&mut self, n: u64) -> bool {
        let (Some(heard), Some(claims)) = (self.heard, self.config.claims) else {
            return false;
        };
        let low = |n: u64| u32::try_from(n & u64::from(u32::MAX)).unwrap_or(0);
        let seq = if n.is_multiple_of(2) {
            // All numbers there are, in strides.
            let stride = (1_u64 << 32) / self.config.count.max(1);
            SeqNum(low(n.wrapping_mul(stride)) ^ (self.config.seed & 0xff))
        } else {
            // 14 MB about the right one, of which any window is hit several times; never it itself.
            let near = (low(n / 2) % 2048).wrapping_sub(1024).wrapping_mul(7001);
            heard.next + near + 1
        };
        let ack = SeqNum(self.rng.next_u32());
        let out = match self.config.attack {
            Attack::BlindRst => Out {
                seq,
                flags: Flags::RST,
                ..Out::default()
            },
            Attack::BlindSyn => Out {
                seq,
                flags: Flags::SYN,
                ..Out::default()
            },
            _ => Out {
                seq,
                ack,
                flags: Flags::ACK | Flags::PSH,
                data: &[b'!'; 100],
                ..Out::default()
            },
        };
        self.send((claims, heard.port), self.config.target.port(), out);
        true
    }

    /// Data that neither end has sent, to both; `false` where no connection has been heard yet.
    fn desynchronize(&mut self) -> bool {
        let (Some(heard), Some(claims)) = (self.heard, self.config.claims) else {
            return false;
        };
        let flags = Flags::ACK | Flags::PSH;
        let data = &[b'!'; 10];
        let there = Out {
            seq: heard.next,
            ack: heard.acked,
            flags,
            data,
            ..Out::default()
        };
        let back = Out {
            seq: heard.acked,
            ack: heard.next,
            ..there
        };
        let target = self.config.target;
        self.send((claims, heard.port), target.port(), there);
        let ends = ((*target.ip(), target.port()), (claims, heard.port));
        self.put(heard.mac, ends, back);
        true
    }

    /// What a peer that is alone does each time; `false` where its time has not come.
    fn misbehave(&mut self) -> bool {
        let source = self.source(0);
        let Some(peer) = self.peers.get_mut(&source) else {
            self.open(0, self.config.target.port(), MSS);
            return false;
        };
        let arrived = peer.received.since(peer.start);
        if !peer.open || peer.gone {
            return false;
        }
        let (port, step) = (peer.port, peer.steps);
        let mut out = Out {
            seq: peer.next,
            ack: peer.received,
            ..Out::default()
        };
        let mut blocks = [0; 36];
        match self.config.attack {
            Attack::SackBomb => {
                if peer.held.is_none() || arrived < ACKED + FLIGHT {
                    return false;
                }
                out.ack = peer.held.unwrap_or(peer.received);
                crumbs(&mut blocks, out.ack, peer.received.since(out.ack), step);
                out.options = &blocks;
            }
            Attack::OptimisticAck => {
                // Now what is on its way, now what nobody has sent.
                let ahead = if step % 8 == 7 { 1 << 30 } else { 14_600 };
                out.ack = peer.received + ahead;
            }
            _ => out.window = LIES.get(step as usize % LIES.len()).copied().unwrap_or(0),
        }
        peer.steps += 1;
        // It goes with a bang, so that nothing is left of it.
        if self.steps + 1 == self.config.count {
            peer.gone = true;
            out.flags = Flags::RST;
        }
        self.send(source, port, out);
        true
    }

    /// A segment for one of its own ends.
    fn receive(&mut self, source: Source, header: &tcp::Header<'_>, len: usize) {
        self.answers += 1;
        let Some(peer) = self.peers.get_mut(&source).filter(|p| !p.gone) else {
            return;
        };
        if header.flags.contains(Flags::RST) {
            peer.gone = true;
            self.resets += 1;
            return;
        }
        let fin = header.flags.contains(Flags::FIN);
        if header.flags.contains(Flags::SYN) {
            if !peer.open {
                peer.open = true;
                peer.received = header.seq + 1;
                peer.start = peer.received;
                self.opened += 1;
                let note = Note::new("opened").with("port", peer.port);
                self.notes.push(note);
            }
            self.begin(source);
            return;
        }
        if len > 0 {
            peer.bytes += count(len);
            peer.largest = peer.largest.max(len);
            self.bytes += count(len);
            self.segments += 1;
        }
        let end = header.seq + u32::try_from(len).unwrap_or(0) + u32::from(fin);
        if header.seq.at_or_before(peer.received) && end.after(peer.received) {
            peer.received = end;
        }
        self.answer(source, len, fin);
    }

    /// What its end says once the victim has answered its SYN.
    fn begin(&mut self, source: Source) {
        let Some(peer) = self.peers.get_mut(&source) else {
            return;
        };
        let (port, seq, nth) = (peer.port, peer.next, peer.nth);
        let mut out = Out {
            seq,
            ack: peer.received,
            ..Out::default()
        };
        match self.config.attack {
            Attack::PortScan => {
                peer.gone = true;
                out.flags = Flags::RST;
            }
            Attack::Sockstress | Attack::TimeWait => {
                peer.next = seq + u32::try_from(REQUEST.len()).unwrap_or(0);
                out.data = REQUEST;
                if self.config.attack == Attack::Sockstress {
                    out.window = 0;
                }
            }
            Attack::OptionGarbage => {
                // The acknowledgment, then data, each with garbage of its own.
                for (k, data) in [&b""[..], b"one", b"two", b"six"].into_iter().enumerate() {
                    let (options, offset) = garbage(nth + count(k), false);
                    let lie = Out {
                        options,
                        offset,
                        data,
                        ..out
                    };
                    self.send(source, port, lie);
                    let flags = match k {
                        3 => Flags::FIN | Flags::ACK,
                        _ => out.flags,
                    };
                    self.send(source, port, Out { data, flags, ..out });
                    out.seq += u32::try_from(data.len()).unwrap_or(0);
                }
                if let Some(peer) = self.peers.get_mut(&source) {
                    peer.next = out.seq + 1;
                }
                return;
            }
            _ => {}
        }
        self.send(source, port, out);
    }

    /// What its end says to data, or to a probe.
    fn answer(&mut self, source: Source, len: usize, fin: bool) {
        let Some(peer) = self.peers.get_mut(&source) else {
            return;
        };
        let port = peer.port;
        let mut out = Out {
            seq: peer.next,
            ack: peer.received,
            ..Out::default()
        };
        match self.config.attack {
            Attack::SynFlood | Attack::PortScan => return,
            // It has no room, for ever, but it is alive.
            Attack::Sockstress => out.window = 0,
            Attack::TimeWait if fin => out.flags = Flags::ACK | Flags::FIN,
            Attack::TinyMss if peer.bytes >= TINY_BYTES => {
                peer.gone = true;
                let largest = peer.largest;
                self.least = Some(self.least.map_or(largest, |l| l.min(largest)));
                out.flags = Flags::RST;
            }
            // From here on it speaks in crumbs.
            Attack::SackBomb if peer.received.since(peer.start) >= ACKED => {
                if peer.held.is_some() {
                    return;
                }
                peer.held = Some(peer.received);
            }
            _ if len == 0 && !fin => return,
            _ => {}
        }
        self.send(source, port, out);
    }

    fn send(&mut self, source: Source, port: u16, out: Out<'_>) {
        let target = *self.config.target.ip();
        if let Some(mac) = self.config.mac {
            self.put(mac, (source, (target, port)), out);
        }
    }

    fn put(&mut self, to: MacAddr, ends: (Source, Source), out: Out<'_>) {
        let Some(mac) = self.mac.filter(|_| self.frames.len() < MAX_FRAMES) else {
            return;
        };
        let bytes = frame(mac, to, ends, &out);
        debug_assert!(bytes.is_some(), "{out:?}");
        if let Some(bytes) = bytes {
            self.sent += 1;
            self.frames.push_back(Frame::copy_from(&bytes));
        }
    }

    /// Listens to the connection that is attacked, where this is a segment of it.
    fn overhear(
        &mut self,
        src: MacAddr,
        ends: (Source, Source),
        tcp: &tcp::Header<'_>,
        len: usize,
    ) {
        let Some(claims) = self.config.claims else {
            return;
        };
        let target = (*self.config.target.ip(), self.config.target.port());
        let ((from, port), to) = ends;
        let len = u32::try_from(len).unwrap_or(0);
        let flags = tcp.flags;
        if (from, to) == (claims, target) && flags.contains(Flags::ACK) {
            let newer = |h: &Heard| h.port != port || tcp.seq.after(h.next);
            if self.heard.as_ref().is_none_or(newer) {
                self.heard = Some(Heard {
                    port,
                    mac: src,
                    next: tcp.seq + len,
                    acked: tcp.ack,
                });
            }
        }
    }

    /// A frame's segment: for an end of its own, or one of the connection it attacks.
    fn take(&mut self, bytes: &[u8]) -> Option<bool> {
        let (eth, rest) = ethernet::Header::parse(bytes).ok()?;
        let (ip, rest) = ipv4::Header::parse(rest).ok()?;
        let rest = rest.get(..ip.payload_len().min(rest.len()))?;
        if eth.ethertype != EtherType::IPV4 || ip.protocol != Protocol::TCP {
            return None;
        }
        let (tcp, data) = tcp::Header::parse(rest).ok()?;
        if ip.dst.to_bits() & !SOURCE_BITS == SOURCES.to_bits() {
            if ip.src == *self.config.target.ip() {
                self.receive((ip.dst, tcp.dst_port), &tcp, data.len());
            }
            return Some(true);
        }
        let ends = ((ip.src, tcp.src_port), (ip.dst, tcp.dst_port));
        self.overhear(eth.src, ends, &tcp, data.len());
        Some(false)
    }

    fn finish(&mut self) {
        if !self.done && !self.has_more() {
            self.done = true;
            let note = Note::new("done").with("sent", self.sent);
            self.notes.push(note.with("opened", self.opened));
        }
    }
}

/// Windows, as a liar tells them; in KiB.
const LIES: [u16; 12] = [64, 0, 1, 65_535, 2, 0, 0, 32_768, 3, 16, 0, 1024];

/// A SACK option with four blocks of a byte each, with a byte between any two; the first byte of
/// the flight stays missing. Now and then one that covers all.
fn crumbs(options: &mut [u8; 36], una: SeqNum, flight: u32, step: u32) {
    let mut blocks = [(SeqNum(0), SeqNum(0)); 4];
    for (i, block) in (0..).zip(&mut blocks) {
        let at = 1 + 2 * ((step * 4 + i) % (flight / 2).max(1));
        *block = (una + at, una + at + 1);
    }
    if step % 64 == 63 {
        blocks = [(una + 1, una + flight); 4];
    }
    let mut writer = Writer::new(options);
    let mut written = writer.put(&[1, 1, 5, 34]);
    for (left, right) in blocks {
        written = written
            .and_then(|()| writer.u32(left.0))
            .and_then(|()| writer.u32(right.0));
    }
    debug_assert!(written.is_ok(), "2 + 2 + 4 * 8 is 36");
}

/// Options that are wrong, each in another way, and a header length where that is the lie.
const fn garbage(n: u64, syn: bool) -> (&'static [u8], Option<u8>) {
    // A SYN must not be refused for its header, or there would be no connection.
    match n % if syn { 8 } else { 10 } {
        // MSS twice, and of nothing.
        0 => (&[2, 4, 0, 0, 2, 4, 5, 180], None),
        // A length of zero, and of one.
        1 => (&[8, 0, 1, 1], None),
        2 => (&[5, 1, 0, 0], None),
        // Longer than what there is.
        3 => (&[1, 1, 8, 40], None),
        // Window scales out of range and twice.
        4 => (&[3, 3, 255, 3, 3, 14, 1, 1], None),
        // Timestamps twice.
        5 => (
            &[8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 8, 10, 9, 9, 9, 9, 9, 9, 9, 9],
            None,
        ),
        // A block of SACK that ends before it starts, and half a one.
        6 => (&[5, 10, 255, 0, 0, 0, 0, 0, 0, 1, 5, 6, 1, 2, 3, 4], None),
        // Unknown ones, up to the end.
        7 => (
            &[
                254, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 30, 12, 0,
                0, 0, 0, 0, 0, 0, 0, 0, 0, 34, 4, 1, 2, 28, 4, 0, 0,
            ],
            None,
        ),
        // A header that is shorter, and longer, than it can be.
        8 => (&[], Some(4)),
        _ => (&[], Some(15)),
    }
}

/// A frame with a segment between two ends.
fn frame(
    src: MacAddr,
    dst: MacAddr,
    ((from, src_port), (to, dst_port)): (Source, Source),
    out: &Out<'_>,
) -> Option<Vec<u8>> {
    let header = tcp::Header {
        src_port,
        dst_port,
        seq: out.seq,
        ack: match out.flags.contains(Flags::ACK) {
            true => out.ack,
            false => SeqNum(0),
        },
        flags: out.flags,
        window: out.window,
        checksum: 0,
        urgent: 0,
        options: out.options,
    };
    let mut segment = vec![0; header.emit_len() + out.data.len()];
    let mut writer = Writer::new(&mut segment);
    header.emit(&mut writer).ok()?;
    writer.put(out.data).ok()?;
    if let Some(words) = out.offset {
        let byte = segment.get_mut(12)?;
        *byte = words << 4 | *byte & 0xf;
    }
    let mut sum = Sum::new();
    let (from_ip, to_ip) = (IpAddr::V4(from), IpAddr::V4(to));
    sum.add_pseudo(from_ip, to_ip, Protocol::TCP, segment.len());
    sum.add(&segment);
    let checksum = sum.finish().to_be_bytes();
    segment.get_mut(16..18)?.copy_from_slice(&checksum);
    let ip = ipv4::Header {
        dscp: 0,
        ecn: 0,
        total_len: u16::try_from(ipv4::HEADER_LEN + segment.len()).ok()?,
        ident: 0,
        reserved_flag: false,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol: Protocol::TCP,
        checksum: 0,
        src: from,
        dst: to,
        options: &[],
    };
    let eth = ethernet::Header {
        dst,
        src,
        ethertype: EtherType::IPV4,
    };
    let len = ethernet::HEADER_LEN + ipv4::HEADER_LEN + segment.len();
    let mut bytes = vec![0; len.max(ethernet::MIN_FRAME_LEN)];
    let mut writer = Writer::new(&mut bytes);
    eth.emit(&mut writer).ok()?;
    ip.with_checksum().emit(&mut writer).ok()?;
    writer.put(&segment).ok()?;
    Some(bytes)
}

impl Endpoint for TcpAttacker {
    const METRICS: &'static [&'static str] = &[
        "sent", "answers", "opened", "resets", "bytes", "segments", "least", "open",
    ];

    const NOTES: &'static [&'static str] = &["opened", "done"];

    fn start(&mut self, now: Instant, host: &mut Host) -> Result<(), StartError> {
        if self.config.interval.is_zero() {
            return Err(StartError::Settings("no time between steps"));
        }
        if self.config.mac.is_none() {
            return Err(StartError::Settings("the target is no neighbour"));
        }
        let interface = host.interfaces().get(usize::from(self.config.interface));
        self.mac = Some(interface.ok_or(AskError::NoLink)?.config().mac);
        self.next_at = now;
        Ok(())
    }

    fn hears(&self) -> Hears {
        Hears::Nothing
    }

    fn handle_event(&mut self, _: Instant, _: &mut Host, _: &Event) {}

    fn handle_frame(&mut self, _: Instant, frame: &Frame) -> bool {
        if self.mac.is_none() {
            return false;
        }
        // Most frames of others are told by their headers, which lie in one piece.
        let own = frame.front().get(30..32).is_none_or(|to| {
            let [a, b, ..] = SOURCES.octets();
            to == [a, b] || to == [a, b + 1]
        });
        if !own && !self.config.attack.needs_connection() {
            return false;
        }
        self.take(&frame.to_bytes()).unwrap_or(false)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.mac.filter(|_| self.has_more()).map(|_| self.next_at)
    }

    fn handle_timeout(&mut self, now: Instant, _: &mut Host) {
        if self.mac.is_none() || !self.has_more() || now < self.next_at {
            return;
        }
        self.step();
        self.next_at = (self.next_at + self.config.interval).max(now);
        if self.next_at <= now {
            self.next_at = now + self.config.interval;
        }
        self.finish();
    }

    fn poll_note(&mut self) -> Option<Note> {
        self.notes.pop()
    }

    fn poll_frame(&mut self, _: Instant) -> Option<Frame> {
        self.frames.pop_front()
    }

    fn measure(&self, metric: &str) -> Option<u64> {
        match metric {
            "sent" => Some(self.sent),
            "answers" => Some(self.answers),
            "opened" => Some(self.opened),
            "resets" => Some(self.resets),
            "bytes" => Some(self.bytes),
            "segments" => Some(self.segments),
            "least" => self.least.map(count),
            "open" => {
                let open = self.peers.values().filter(|p| p.open && !p.gone);
                Some(count(open.count()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pair::{World, faithful, hosts, mac};
    use super::super::services::{Server, Service};
    use super::*;
    use std::collections::BTreeSet;

    fn run(attack: Attack, service: Service, count: u64, secs: u64) -> World<TcpAttacker, Server> {
        let target = SocketAddrV4::new(Ipv4Addr::new(10, 7, 0, 2), service.port());
        let config = Config {
            mac: Some(mac(2)),
            count,
            ..Config::new(attack, target)
        };
        let mut hosts = hosts();
        let route = stack::net::route::Route::via(
            "198.18.0.0/15".parse().unwrap(),
            IpAddr::V4(Ipv4Addr::new(10, 7, 0, 1)),
            stack::machine::Port(0),
        );
        hosts[1].add_route(route).unwrap();
        let server = Server::new(vec![service], &Rng::from_seed(1));
        let mut world = World::new(hosts, TcpAttacker::new(config), server, faithful);
        world.run(Duration::from_secs(secs));
        world
    }

    #[test]
    fn each_has_a_name_and_a_pace() {
        let names: BTreeSet<&str> = Attack::ALL.iter().map(|a| a.name()).collect();
        assert_eq!(names.len(), Attack::ALL.len());
        for attack in Attack::ALL {
            let (count, interval) = attack.usual();
            assert!(count > 0 && !interval.is_zero(), "{attack:?}");
        }
    }

    #[test]
    fn its_frames_are_whole_and_each_syn_has_a_source_of_its_own() {
        let target = SocketAddrV4::new(Ipv4Addr::new(10, 7, 0, 2), 19);
        let config = Config {
            mac: Some(mac(2)),
            ..Config::new(Attack::SynFlood, target)
        };
        let [mut host, _] = hosts();
        let mut attacker = TcpAttacker::new(config);
        attacker.start(Instant::ZERO, &mut host).unwrap();
        let mut sources = BTreeSet::new();
        for i in 0..1000 {
            let now = Instant::ZERO + Duration::from_micros(50) * i;
            attacker.handle_timeout(now, &mut host);
            let frame = attacker.poll_frame(now).unwrap().to_bytes();
            let (_, rest) = ethernet::Header::parse(&frame).unwrap();
            assert!(ipv4::verify(&rest[..20]));
            let (ip, rest) = ipv4::Header::parse(rest).unwrap();
            let segment = &rest[..ip.payload_len()];
            assert!(tcp::verify(ip.src.into(), ip.dst.into(), segment));
            let (tcp, _) = tcp::Header::parse(segment).unwrap();
            assert_eq!(tcp.flags, Flags::SYN);
            assert_eq!(ip.src.octets()[..1], [198]);
            sources.insert(ip.src);
        }
        assert_eq!(sources.len(), 1000);
    }

    #[test]
    fn what_comes_for_its_own_ends_never_reaches_its_host() {
        let world = run(Attack::Sockstress, Service::Http, 5, 1);
        assert_eq!(world.left.measure("opened"), Some(5));
        assert_eq!(world.left.measure("open"), Some(5));
        assert_eq!(world.hosts[0].stats().resets_to_strangers_out, 0);
        assert_eq!(world.hosts[1].stats().tcp.accepted, 5);
    }

    #[test]
    fn tiny_segments_are_measured() {
        let world = run(Attack::TinyMss, Service::Chargen, 88, 2);
        assert_eq!(world.left.measure("least"), Some(48));
        for metric in TcpAttacker::METRICS {
            assert!(world.left.measure(metric).is_some(), "{metric}");
        }
        assert_eq!(world.told().last().unwrap(), "opened port=19");
        assert_eq!(world.left.poll_timeout(), None);
    }

    #[test]
    fn the_target_must_be_a_neighbour() {
        let [mut host, _] = hosts();
        let target = SocketAddrV4::new(Ipv4Addr::new(10, 9, 0, 2), 19);
        let mut attacker = TcpAttacker::new(Config::new(Attack::SynFlood, target));
        assert!(attacker.start(Instant::ZERO, &mut host).is_err());
        assert_eq!(attacker.poll_timeout(), None);
    }
}
