//! One connection, segments made by hand, and time by word of mouth.
//!
//! ```text
//!   s.rx("P. 1:1001 ack 1 win 500")     the peer's data, numbered from its SYN
//!   s.tx(&[". 1:1 ack 1001"])           all that comes out, numbered from ours
//! ```
//!
//! Flags are `S F R P . U E W A` (`.` is ACK, `A` is AE), then first number and the one behind the last, then
//! words: `ack N`, `win N` (unscaled as on the wire), `sack A:B ..`, `ts V/E`, `mss N`, `ws N`,
//! `sackok`, `urg N`, `uto S` (seconds), `ect0`, `ect1`, `ce`, `ecnb M:N,..` (counters by mark, or none),
//! `joined N`. Both first numbers lie just before the wrap of the sequence
//! space, so that every story crosses it.

use crate::frame::Payload;
use crate::reason::DropReason;
use crate::time::{Duration, Instant};
use crate::transport::tcp::segment::EcnBytes;
use crate::transport::tcp::{Connection, Options, Outgoing, Path, Segment, State};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Header, Options as Wire, TcpOption};
use alloc::sync::Arc;
use std::fmt::Write as _;
use std::format;
use std::string::{String, ToString as _};
use std::vec::Vec;

pub(super) const ISS: SeqNum = SeqNum(u32::MAX - 2500);
pub(super) const IRS: SeqNum = SeqNum(u32::MAX - 1200);

/// Our timestamp clock's offset, and the peer's.
const OFFSETS: [u32; 2] = [u32::MAX - 1_000_100, u32::MAX - 1_000_050];

const FLAGS: [(char, Flags); 9] = [
    ('S', Flags::SYN),
    ('F', Flags::FIN),
    ('R', Flags::RST),
    ('P', Flags::PSH),
    ('.', Flags::ACK),
    ('U', Flags::URG),
    ('E', Flags::ECE),
    ('W', Flags::CWR),
    ('A', Flags::AE),
];

#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) c: Connection,
    pub(super) now: Instant,
    start: Instant,
    /// Data bytes in one super-segment.
    pub(super) max: usize,
    /// What became of the last segment.
    pub(super) last: Result<(), DropReason>,
    /// The last segment that came out.
    pub(super) out: Option<Outgoing>,
    /// The newest TSval of ours.
    echo: u32,
    /// Largest right edge told.
    edge: Option<SeqNum>,
    /// Window field of segments that do not say.
    pub(super) win: u16,
    /// The peer's segments carry timestamps.
    pub(super) ts: bool,
}

/// Options under which little happens by itself.
pub(super) fn plain() -> Options {
    Options {
        timestamps: false,
        sack: false,
        window_scaling: false,
        tail_loss_probe: false,
        rack: false,
        quick_acks: 0,
        hystart: false,
        mtu_probing: crate::transport::tcp::options::MtuProbing::Off,
        congestion: crate::transport::tcp::Algorithm::Reno,
        mss: Some(1000),
        ..Options::default()
    }
}

/// SACK, RACK and timestamps, but no tail loss probe.
pub(super) fn modern() -> Options {
    Options {
        timestamps: true,
        sack: true,
        rack: true,
        window_scaling: true,
        mss: Some(1012),
        ..plain()
    }
}

pub(super) const PATH: Path = Path {
    mtu: 1500,
    ip_header: 20,
};

pub(super) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl Script {
    fn with(c: Connection, now: Instant) -> Self {
        Self {
            c,
            now,
            start: now,
            max: 1,
            last: Ok(()),
            out: None,
            echo: 0,
            edge: None,
            win: 65_535,
            ts: false,
        }
    }

    /// SYN-SENT; its SYN has not left.
    pub(super) fn connect(options: Options) -> Self {
        let now = Instant::from_nanos(1_000_000_000_000);
        let c = Connection::connect(now, Arc::new(options), ISS, OFFSETS[0], PATH);
        Self::with(c, now)
    }

    /// SYN-RECEIVED by this SYN; the SYN-ACK has not left.
    pub(super) fn passive(options: Options, syn: &str) -> Self {
        let now = Instant::from_nanos(1_000_000_000_000);
        let dummy = Self::connect(Options::default());
        let (syn, _) = dummy.parse(syn);
        let ts = syn.timestamps.is_some();
        let c = Connection::passive(now, Arc::new(options), &syn, ISS, OFFSETS[0], PATH);
        let mut s = Self::with(c, now);
        s.ts = ts;
        s
    }

    /// ESTABLISHED by an active open; the round trip takes 100 ms; MSS of 1000 data bytes.
    pub(super) fn open(options: Options) -> Self {
        Self::open_by(options, "mss 9000 ws 7 sackok ts 0/0")
    }

    /// The same with these options in the peer's SYN.
    pub(super) fn open_by(options: Options, with: &str) -> Self {
        let mut s = Self::connect(options);
        let n = s.drain().len();
        assert_eq!(n, 1);
        s.run(100);
        s.ts = s.c.options().timestamps && with.contains("ts");
        let with = with.replace("ts 0/0", "");
        s.rx(&format!("S. 0:0 ack 1 {with}"));
        assert_eq!((s.last, s.c.state()), (Ok(()), State::Established));
        s.tx(&[". 1:1 ack 1"]);
        let _ = s.c.take_ready();
        s
    }

    /// ESTABLISHED with `segments` full segments in flight that were sent at once.
    pub(super) fn sent(options: Options, segments: usize) -> Self {
        let mut s = Self::open(options);
        s.write(segments * 1000);
        assert_eq!(s.drain().len(), segments);
        s
    }

    /// In this state, by the usual way.
    pub(super) fn state(options: Options, state: State) -> Self {
        let mut s = match state {
            State::Closed => {
                let mut s = Self::connect(options);
                s.c.abort(s.now);
                return s;
            }
            State::SynSent => {
                let mut s = Self::connect(options);
                s.drain();
                return s;
            }
            State::SynReceived => {
                let mut s = Self::passive(options, "S 0:0 mss 9000 ws 7");
                s.drain();
                return s;
            }
            _ => Self::open_by(options, "mss 9000 ws 7"),
        };
        match state {
            State::FinWait1 | State::FinWait2 | State::Closing | State::TimeWait => {
                s.c.shutdown(s.now);
                s.tx(&["F. 1:1 ack 1"]);
            }
            State::CloseWait | State::LastAck => s.rx("F. 1:1 ack 1"),
            _ => {}
        }
        match state {
            State::FinWait2 => s.rx(". 1:1 ack 2"),
            State::Closing => s.rx("F. 1:1 ack 1"),
            State::TimeWait => s.rx("F. 1:1 ack 2"),
            State::LastAck => s.c.shutdown(s.now),
            _ => {}
        }
        s.drain();
        assert_eq!(s.c.state(), state);
        s
    }

    fn number(text: &str) -> u32 {
        text.parse().unwrap_or_else(|_| panic!("a number: {text}"))
    }

    fn range(base: SeqNum, text: &str) -> (SeqNum, SeqNum) {
        let (a, b) = text.split_once(':').unwrap();
        let at = |t: &str| match t.strip_prefix('-') {
            Some(t) => base - Self::number(t),
            None => base + Self::number(t),
        };
        (at(a), at(b))
    }

    pub(super) fn parse(&self, text: &str) -> (Segment, Payload) {
        let mut words = text.split_whitespace();
        let mut flags = Flags::NONE;
        for c in words.next().unwrap().chars() {
            flags |= FLAGS.iter().find(|(f, _)| *f == c).unwrap().1;
        }
        let (seq, end) = Self::range(IRS, words.next().unwrap());
        let len = end.since(seq);
        let mut seg = Segment {
            seq,
            len,
            flags,
            wnd: self.win,
            segments: 1,
            ..Segment::default()
        };
        if self.ts && !flags.contains(Flags::RST) {
            seg.timestamps = Some((self.peer_clock(), self.echo));
        }
        let mut word = words.next();
        while let Some(w) = word {
            let mut value = || words.next().unwrap();
            match w {
                "ack" => seg.ack = Self::range(ISS, &format!("{0}:{0}", value())).0,
                "win" => seg.wnd = value().parse().unwrap(),
                "mss" => seg.mss = Some(value().parse().unwrap()),
                "ws" => seg.wscale = Some(value().parse().unwrap()),
                "sackok" => seg.sack_permitted = true,
                "urg" => seg.up = value().parse().unwrap(),
                "uto" => {
                    let secs = value().parse().unwrap();
                    seg.user_timeout = Some(Duration::from_secs(secs));
                }
                "ect1" => seg.ecn = 1,
                "ect0" => seg.ecn = 2,
                "ce" => seg.ecn = 3,
                "ecnb" => {
                    word = words.next();
                    let list = word.filter(|w| w.contains(':'));
                    seg.ecn_bytes = Some(Self::counters(list.unwrap_or_default()));
                    if list.is_some() {
                        word = words.next();
                    }
                    continue;
                }
                "joined" => seg.segments = value().parse().unwrap(),
                "nots" => seg.timestamps = None,
                "ts" => {
                    let (v, e) = value().split_once('/').unwrap();
                    seg.timestamps = Some((
                        self.peer_clock().wrapping_add_signed(v.parse().unwrap()),
                        Self::number(e),
                    ));
                }
                "sack" => {
                    word = words.next();
                    while let Some(block) = word.filter(|b| b.contains(':')) {
                        let (l, r) = Self::range(ISS, block);
                        seg.sacks.push(l, r);
                        word = words.next();
                    }
                    continue;
                }
                other => panic!("what is {other}"),
            }
            word = words.next();
        }
        let data: Vec<u8> = (0..len).map(|i| byte((seg.seq + i).since(IRS))).collect();
        (seg, Payload::from(bytes::Bytes::from(data)))
    }

    /// Counters by mark: `2:1,3:0,1:1`.
    fn counters(list: &str) -> EcnBytes {
        let pairs = list.split(',').filter(|pair| !pair.is_empty());
        let mut kind = 172;
        let mut bytes: Vec<u8> = Vec::new();
        for pair in pairs {
            let (mark, value) = pair.split_once(':').unwrap();
            if bytes.is_empty() && mark == "1" {
                kind = 174;
            }
            bytes.extend(&Self::number(value).to_be_bytes()[1..]);
        }
        let mut option = std::vec![kind, bytes.len() as u8 + 2];
        option.extend(bytes);
        let Some(Ok(TcpOption::AccurateEcn(counters))) = Wire::new(&option).next() else {
            panic!("{list}");
        };
        let read = EcnBytes::new(&counters);
        let said: Vec<_> = read.iter().map(|(m, n)| format!("{m}:{n}")).collect();
        assert_eq!(said.join(","), list);
        read
    }

    fn peer_clock(&self) -> u32 {
        ((self.now.as_nanos() / 1_000_000) as u32).wrapping_add(OFFSETS[1])
    }

    /// Our TSval `before` milliseconds ago.
    pub(super) fn our_clock(&self, before: u32) -> u32 {
        ((self.now.as_nanos() / 1_000_000) as u32)
            .wrapping_add(OFFSETS[0])
            .wrapping_sub(before)
    }

    /// A segment arrives.
    pub(super) fn rx(&mut self, text: &str) {
        let (seg, data) = self.parse(text);
        self.last = self.c.handle_segment(self.now, &seg, data);
        self.check();
    }

    /// A segment arrives and is refused for this reason.
    pub(super) fn drops(&mut self, text: &str, why: DropReason) {
        self.rx(text);
        assert_eq!(self.last, Err(why), "{text}");
    }

    fn show(&mut self, out: &Outgoing) -> String {
        let mut text = String::new();
        for (c, flag) in FLAGS {
            if out.flags.contains(flag) {
                text.push(c);
            }
        }
        let len = u32::try_from(out.payload.len()).unwrap();
        let rel = |n: SeqNum, base: SeqNum| i64::from(n.since(base) as i32);
        write!(text, " {}:{}", rel(out.seq, ISS), rel(out.seq + len, ISS)).unwrap();
        if out.flags.contains(Flags::ACK) {
            write!(text, " ack {}", rel(out.ack, IRS)).unwrap();
        }
        let header = Header {
            src_port: 1,
            dst_port: 2,
            seq: out.seq,
            ack: out.ack,
            flags: out.flags,
            window: out.window,
            checksum: 0,
            urgent: out.urgent,
            options: out.options.as_bytes(),
        };
        let seg = Segment::new(&header, len, out.ecn, 1);
        if let Some((value, _)) = seg.timestamps {
            self.echo = value;
        }
        if !seg.sacks.as_slice().is_empty() {
            text.push_str(" sack");
            for (l, r) in seg.sacks.as_slice() {
                write!(text, " {}:{}", rel(*l, IRS), rel(*r, IRS)).unwrap();
            }
        }
        if out.flags.contains(Flags::URG) {
            write!(text, " urg {}", out.urgent).unwrap();
        }
        if let Some(timeout) = seg.user_timeout {
            write!(text, " uto {}", timeout.as_secs()).unwrap();
        }
        if out.ecn == 2 {
            text.push_str(" ect");
        }
        for (mark, value) in seg.ecn_bytes.iter().flat_map(EcnBytes::iter) {
            let name = ["", "e1b", "e0b", "ceb"][usize::from(mark)];
            write!(text, " {name} {value}").unwrap();
        }
        self.check_fits(out, &header, len);
        text
    }

    fn check_fits(&mut self, out: &Outgoing, header: &Header<'_>, len: u32) {
        let data = len.min(u32::from(out.mss));
        let size = u32::from(PATH.ip_header) + header.header_len() as u32 + data;
        let limit = self.c.path.mtu.min(PATH.mtu);
        assert!(size <= u32::from(limit), "{size} > {limit}: {out:?}");
        if !out.flags.intersects(Flags::SYN | Flags::RST) {
            let edge = out.ack + (u32::from(out.window) << self.c.rcv.wscale);
            let back = self.edge.is_some_and(|e| edge.before(e));
            assert!(!back, "the window shrank");
            self.edge = Some(edge);
        }
    }

    /// What is always true.
    pub(super) fn check(&self) {
        let c = &self.c;
        assert!(c.snd.una.at_or_before(c.snd.nxt));
        let status = c.status(self.now);
        assert!(status.in_flight <= status.unacked);
        assert!(status.sacked + status.lost <= status.unacked);
        let limit = c
            .options()
            .recv_buffer
            .max
            .max(c.options().recv_buffer.initial);
        assert!(status.unread + status.out_of_order <= limit + (1 << 14));
        if status.unacked > 0 && c.state() != State::Closed {
            assert!(
                c.poll_timeout().is_some() || c.has_output(self.now),
                "nothing will happen: {status:?}"
            );
        }
    }

    /// All that comes out now.
    pub(super) fn drain(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        // As a host does it, which asks nobody who says that there is nothing.
        while self.c.has_output(self.now)
            && let Some(out) = self.c.poll_transmit(self.now, self.max)
        {
            all.push(self.show(&out));
            self.out = Some(out);
            assert!(all.len() < 10_000, "it does not end");
            self.check();
        }
        all
    }

    /// This, and nothing else, comes out now.
    #[track_caller]
    pub(super) fn tx(&mut self, want: &[&str]) {
        let got = self.drain();
        assert_eq!(got, want);
    }

    /// Lets so many milliseconds pass; what comes out meanwhile, with its time.
    pub(super) fn run(&mut self, millis: u64) -> Vec<String> {
        let (from, until) = (self.now, self.now + ms(millis));
        let mut all: Vec<_> = self.drain().iter().map(|l| format!("0 {l}")).collect();
        let mut rounds = 0;
        while let Some(at) = self.c.poll_timeout().filter(|at| *at <= until) {
            rounds += 1;
            assert!(rounds < 100_000, "a timer that does not move");
            self.now = self.now.max(at);
            self.c.handle_timeout(self.now);
            let after = self.now.since(from).as_millis();
            for line in self.drain() {
                all.push(format!("{after} {line}"));
            }
        }
        self.now = until;
        all
    }

    /// The same, and it must be this.
    #[track_caller]
    pub(super) fn runs(&mut self, millis: u64, want: &[&str]) {
        let got = self.run(millis);
        assert_eq!(got, want);
    }

    pub(super) fn write(&mut self, len: usize) {
        let data: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let mut at = 0;
        while at < len {
            at += self.c.send(self.now, &data[at..]).unwrap();
        }
        self.check();
    }

    /// Reads so much, and checks that it is what the peer sent.
    pub(super) fn read(&mut self, len: usize) -> usize {
        let mut room = std::vec![0; len];
        let unread = self.c.status(self.now).unread;
        let from = (self.c.rcv.nxt - u32::from(self.c.rcv.finished) - unread).since(IRS);
        let n = self.c.recv(self.now, &mut room).unwrap_or(0);
        for (i, b) in room[..n].iter().enumerate() {
            assert_eq!(*b, byte(from + i as u32), "at {i}");
        }
        self.check();
        n
    }

    pub(super) fn cwnd(&self) -> u32 {
        self.c.status(self.now).cwnd
    }

    pub(super) fn elapsed(&self) -> String {
        self.now.since(self.start).as_millis().to_string()
    }
}

fn byte(n: u32) -> u8 {
    (n * 7 % 251) as u8
}
