//! Two connections and a bad wire between them, in virtual time.

use crate::frame::Payload;
use crate::rng::Rng;
use crate::time::{Duration, Instant, earliest};
use crate::transport::tcp::options::{Ecn, MtuProbing, Nagle};
use crate::transport::tcp::{
    Algorithm, Connection, Error, Options, Outgoing, Path, Segment, State,
};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Header};
use alloc::sync::Arc;
use std::collections::BTreeMap;
use std::vec::Vec;

pub(super) const PATH: Path = Path {
    mtu: 1500,
    ip_header: 20,
};

/// A segment on the wire.
#[derive(Clone, Debug)]
pub(super) struct Flying {
    pub(super) seg: Segment,
    pub(super) data: Payload,
}

/// What the wire does to segments, each way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire {
    pub(super) delay: Duration,
    /// Bytes a second; 0: at once.
    pub(super) rate: u64,
    /// Segments that wait for the wire at most.
    pub(super) queue: usize,
    /// Out of a thousand.
    pub(super) loss: u64,
    pub(super) duplicate: u64,
    pub(super) reorder: u64,
    pub(super) mtu: u16,
}

impl Wire {
    pub(super) fn clean(delay_ms: u64) -> Self {
        Self {
            delay: Duration::from_millis(delay_ms),
            rate: 0,
            queue: 10_000,
            loss: 0,
            duplicate: 0,
            reorder: 0,
            mtu: u16::MAX,
        }
    }
}

/// Two ends and the wire.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) now: Instant,
    pub(super) ends: [Connection; 2],
    pub(super) wire: Wire,
    pub(super) rng: Rng,
    /// Arrivals: to which end.
    flying: BTreeMap<(Instant, u64), (usize, Flying)>,
    count: u64,
    /// When each way's wire is free again.
    free: [Instant; 2],
    /// Every segment sent, for tests to look at.
    pub(super) sent: Vec<(Instant, usize, Segment, Option<super::super::Why>)>,
    /// Of each end: the largest right edge of the window told.
    edges: [Option<SeqNum>; 2],
    pub(super) max: usize,
    pub(super) dropped: u64,
}

pub(super) fn segment(out: &Outgoing, piece: core::ops::Range<usize>) -> Flying {
    let last = piece.end == out.payload.len();
    let mut flags = out.flags;
    if !last {
        flags = flags.without(Flags::FIN | Flags::PSH);
    }
    if piece.start > 0 {
        flags = flags.without(Flags::CWR);
    }
    let data = out.payload.slice(piece.start, piece.len());
    let header = Header {
        src_port: 1,
        dst_port: 2,
        seq: out.seq + u32::try_from(piece.start).unwrap(),
        ack: out.ack,
        flags,
        window: out.window,
        checksum: 0,
        urgent: out.urgent,
        options: out.options.as_bytes(),
    };
    let len = u32::try_from(data.len()).unwrap();
    let seg = Segment::new(&header, len, out.ecn, 1);
    assert_eq!(header.header_len() % 4, 0);
    Flying { seg, data }
}

impl Pair {
    /// The first end opens towards the second, which answers the SYN when it comes.
    pub(super) fn new(seed: u64, wire: Wire, client: Options, server: Options) -> Self {
        let now = Instant::from_nanos(1_000_000_000);
        let mut rng = Rng::from_seed(seed);
        let iss = [rng.next_u32(), rng.next_u32()];
        let mut a = Connection::connect(now, Arc::new(client), SeqNum(iss[0]), iss[1], PATH);
        let out = a.poll_transmit(now, 1460).unwrap();
        let syn = segment(&out, 0..0);
        let b = Connection::passive(
            now,
            Arc::new(server),
            &syn.seg,
            SeqNum(iss[1]),
            iss[0],
            PATH,
        );
        Self {
            now,
            ends: [a, b],
            wire,
            rng,
            flying: BTreeMap::new(),
            count: 0,
            free: [now; 2],
            sent: Vec::new(),
            edges: [None; 2],
            max: 1460 * 4,
            dropped: 0,
        }
    }

    /// Takes what both ends have to send, and puts it on the wire.
    pub(super) fn pump(&mut self) {
        for from in 0..2 {
            while let Some(out) = self.ends[from].poll_transmit(self.now, self.max) {
                self.check_window(from, &out);
                let len = out.payload.len();
                let mss = usize::from(out.mss);
                let mut at = 0;
                loop {
                    let end = (at + mss).min(len);
                    let flying = segment(&out, at..end);
                    self.launch(from, flying, out.why);
                    at = end;
                    if at >= len {
                        break;
                    }
                }
            }
            assert!(
                self.ends[from].poll_transmit(self.now, self.max).is_none(),
                "asked again it has nothing more"
            );
        }
    }

    fn check_window(&mut self, from: usize, out: &Outgoing) {
        let end = &self.ends[from];
        if out.flags.intersects(Flags::SYN | Flags::RST) {
            return;
        }
        let scale = end.status(self.now).wscale.map_or(0, |(_, ours)| ours);
        let edge = out.ack + (u32::from(out.window) << scale);
        if let Some(before) = self.edges[from] {
            assert!(
                edge.at_or_after(before),
                "a window shrank: {before:?} {edge:?}"
            );
        }
        self.edges[from] = Some(edge);
    }

    fn launch(&mut self, from: usize, flying: Flying, why: Option<super::super::Why>) {
        self.sent.push((self.now, from, flying.seg, why));
        let size = 20 + 20 + flying.data.len();
        if size > usize::from(self.wire.mtu) || self.rng.below(1000) < self.wire.loss {
            self.dropped += 1;
            return;
        }
        let start = self.free[from].max(self.now);
        let busy = match self.wire.rate {
            0 => Duration::ZERO,
            rate => Duration::from_nanos((size as u64 + 38) * 1_000_000_000 / rate),
        };
        let backlog = start.since(self.now).as_nanos() / busy.as_nanos().max(1);
        if backlog > self.wire.queue as u128 {
            self.dropped += 1;
            return;
        }
        self.free[from] = start + busy;
        let mut at = start + busy + self.wire.delay;
        if self.rng.below(1000) < self.wire.reorder {
            at += self.wire.delay / 4 + Duration::from_micros(self.rng.below(3000));
        }
        let copies = 1 + u64::from(self.rng.below(1000) < self.wire.duplicate);
        for _ in 0..copies {
            self.count += 1;
            self.flying
                .insert((at, self.count), (1 - from, flying.clone()));
        }
    }

    /// When something happens next.
    pub(super) fn next(&self) -> Option<Instant> {
        let arrival = self.flying.keys().next().map(|(at, _)| *at);
        let timers = earliest(self.ends[0].poll_timeout(), self.ends[1].poll_timeout());
        earliest(arrival, timers)
    }

    /// Goes to the next event; `false` where there is none up to `until`.
    pub(super) fn step(&mut self, until: Instant) -> bool {
        self.pump();
        let Some(next) = self.next().filter(|at| *at <= until) else {
            self.now = until;
            return false;
        };
        self.now = self.now.max(next);
        for end in &mut self.ends {
            end.handle_timeout(self.now);
        }
        while let Some((&(at, n), _)) = self.flying.iter().next()
            && at <= self.now
        {
            let (to, flying) = self.flying.remove(&(at, n)).unwrap();
            let _ = self.ends[to].handle_segment(self.now, &flying.seg, flying.data);
        }
        self.pump();
        true
    }

    pub(super) fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.step(until) {}
    }

    pub(super) fn open(&mut self) {
        let until = self.now + Duration::from_secs(600);
        while self.ends.iter().any(|e| e.state() != State::Established) {
            assert!(
                self.step(until),
                "{:?}",
                self.ends.each_ref().map(Connection::state)
            );
        }
    }
}

/// A stream of bytes that both ends know.
pub(super) fn pattern(at: u64) -> u8 {
    (at.wrapping_mul(2_654_435_761) >> 16) as u8
}

/// Writes to one end what fits, up to `total`, and reads all at the other; gives how far each is.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    pub(super) written: u64,
    pub(super) read: u64,
    pub(super) finished: bool,
}

impl Flow {
    pub(super) fn drive(&mut self, pair: &mut Pair, from: usize, total: u64, chunk: usize) {
        let now = pair.now;
        while self.written < total {
            let n = chunk.min((total - self.written) as usize);
            let data: Vec<u8> = (0..n as u64).map(|i| pattern(self.written + i)).collect();
            match pair.ends[from].send(now, &data) {
                Ok(0) | Err(Error::WouldBlock) => break,
                Ok(n) => self.written += n as u64,
                Err(error) => panic!("{error}"),
            }
        }
        if self.written == total {
            pair.ends[from].shutdown(now);
        }
        self.drain(pair, 1 - from);
    }

    pub(super) fn drain(&mut self, pair: &mut Pair, to: usize) {
        let mut room = [0; 5000];
        loop {
            match pair.ends[to].recv(pair.now, &mut room) {
                Ok(0) => {
                    self.finished = true;
                    break;
                }
                Ok(n) => {
                    for (i, byte) in room[..n].iter().enumerate() {
                        assert_eq!(*byte, pattern(self.read + i as u64), "at {}", self.read);
                    }
                    self.read += n as u64;
                }
                Err(Error::WouldBlock) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Any mixture of mechanisms, each of them more often on than off.
pub(super) fn mechanisms(rng: &mut Rng) -> Options {
    let on = |rng: &mut Rng| rng.below(4) > 0;
    Options {
        timestamps: on(rng),
        sack: on(rng),
        window_scaling: on(rng),
        rack: on(rng),
        frto: on(rng),
        dsack: on(rng),
        tail_loss_probe: on(rng),
        hystart: on(rng),
        pacing: !on(rng),
        ecn: [Ecn::Off, Ecn::Passive, Ecn::Active][rng.below(3) as usize],
        nagle: [Nagle::Classic, Nagle::Minshall, Nagle::Off][rng.below(3) as usize],
        mtu_probing: [MtuProbing::Off, MtuProbing::BlackHole, MtuProbing::Always]
            [rng.below(3) as usize],
        congestion: [
            Algorithm::Cubic,
            Algorithm::Reno,
            Algorithm::Bbr,
            Algorithm::Fixed(20_000),
        ][rng.below(4) as usize],
        ..Options::default()
    }
}
