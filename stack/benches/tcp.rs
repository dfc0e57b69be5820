//! What TCP costs, a segment and a connection: Tapline and smoltcp side by side, in one process.
//!
//! ```text
//!   client --> full segments, up to a batch --> server
//!          <-- acknowledgments <--------------          beside idle connections, or none
//! ```
//!
//! `cargo bench -p tapline-stack --bench tcp` measures all of this, medians of rounds in which the
//! stacks take turns; with names behind `--` only those parts (`-- opens idle`):
//!
//! | part | figures |
//! |---|---|
//! | `segments` | nanoseconds for each full segment from a program's slice to another's, alone and beside 100, 1,000 and 4,000 idle connections; by chunks instead of slices |
//! | `opens` | nanoseconds to open a connection and break it off, and to open it and close it both ways, one after the other and 32 at a time |
//! | `live` | nanoseconds for each full segment where many connections carry one each in turn: 1,000 of either stack, 100,000 of ours; bytes a connection |
//! | `idle` | bytes of an idle connection, of 1,000 and of 1,000,000; nanoseconds for each full segment beside 4,000, 100,000 and 1,000,000 idle ones, against alone |
//! | `keepalives` | nanoseconds for each probe and its answer where 1,000,000 connections are probed within a virtual minute, and how many were |
//!
//! The terms: what crosses is one frame a segment with either, each with its own checksum that is
//! computed and verified; both copy the payload in from a slice and out to one; both have buffers of
//! 256 KiB for the busy connection. A turn of either is: the program fills the send buffer, the host
//! sends what it can, up to a batch of frames, the other takes them, its program reads all, it
//! answers, it is asked when to wake next. Frames lie in slots that are never freed; smoltcp writes
//! and reads whole frames where they lie, ours are headers in the slot and a reference to the
//! payload. Ours has an edge as devices without offload have: super-frames that leave the host are
//! cut into full segments, and the segments of a batch that have come are verified and joined before
//! the host sees them; it has none but for the busy connection. smoltcp has no congestion control here, its program knows its sockets'
//! handles, and its egress is polled only until the batch is full or nothing is left.
//!
//! Where connections are opened and closed, smoltcp's sockets and their buffers are made once and
//! used again, and its clock is moved past TIME-WAIT each time; ours makes a connection anew each
//! time, and keeps those in TIME-WAIT for their virtual minute, as many as a host may.
//! What smoltcp does with more than some thousand sockets is not measured: it walks all of them for
//! each frame, and would take hours. Figures for bytes are of the allocator, both hosts together
//! divided by connections and by two; `resident` is what the process takes of the machine.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on shall stop"
)]
#![expect(missing_docs, reason = "the allocator's name is nobody's interface")]

#[path = "tcp/scale.rs"]
mod scale;
#[path = "tcp/smol.rs"]
mod smol;
#[path = "tcp/tap.rs"]
mod tap;

use smol::Smoltcp;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::Duration;
use tap::Tapline;

#[global_allocator]
pub static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ADDRS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 7, 0, 1), Ipv4Addr::new(10, 7, 0, 2)];
/// The busy connection; the others' numbers follow.
const BUSY: u32 = 0;
/// Buffers of the busy connection, and of the others.
const BUFFER: usize = 256 << 10;
const IDLE_BUFFER: usize = 16 << 10;
/// Frames that one turn carries at most.
const BATCH: usize = 64;
/// Bytes of a frame that carries a full segment.
const FULL: usize = 1514;
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(30);
const START: u64 = 10_000_000_000;
/// Connections opened at a time: each has a frame or two for a batch.
const HANDFUL: u32 = 32;
/// Virtual nanoseconds of a turn.
const STEP: u64 = 20_000;

/// One host of either stack. Its connections are numbered.
trait Station {
    /// Frames in flight one way.
    type Wire: Default;
    const NAME: &'static str;
    /// How long a connection whose first end has closed must rest before its number is used again.
    const REST: u64;
    /// Data of a full segment.
    const SEGMENT: usize;
    /// With an edge that cuts and joins, where it has one.
    fn new(at: usize, sockets: usize, edge: bool) -> Self;
    fn listen(&mut self, id: u32, buffer: usize);
    fn connect(&mut self, now: u64, id: u32, buffer: usize);
    /// Whether a connection is established.
    fn is_established(&mut self, id: u32) -> bool;
    fn abort(&mut self, now: u64, id: u32);
    /// The program has nothing more to say or to hear.
    fn close(&mut self, now: u64, id: u32);
    /// Lets go of a connection that its peer has broken off.
    fn forget(&mut self, now: u64, id: u32);
    /// The program fills the send buffer.
    fn write(&mut self, now: u64, id: u32, data: &[u8]);
    /// The program reads all; how much.
    fn read(&mut self, now: u64, id: u32, room: &mut [u8]) -> usize;
    /// Takes all that has come.
    fn receive(&mut self, now: u64, rx: &mut Self::Wire);
    /// Sends what it can; how many frames of full size those are, and how many in all.
    fn transmit(&mut self, now: u64, tx: &mut Self::Wire) -> (usize, usize);
}

/// Two hosts of one stack, the first with connections to the second.
struct Pair<S: Station> {
    hosts: [S; 2],
    forth: S::Wire,
    back: S::Wire,
    now: u64,
    /// Connections opened so far.
    opened: u32,
    data: Vec<u8>,
    room: Vec<u8>,
}

impl<S: Station> Pair<S> {
    fn new(sockets: usize) -> Self {
        Self::with(sockets, true)
    }

    /// Whose hosts hand each other frames as they are.
    fn plain(sockets: usize) -> Self {
        Self::with(sockets, false)
    }

    fn with(sockets: usize, edge: bool) -> Self {
        let mut pair = Self {
            hosts: [S::new(0, sockets, edge), S::new(1, sockets, edge)],
            forth: S::Wire::default(),
            back: S::Wire::default(),
            now: START,
            opened: 1,
            data: vec![0xa5; BUFFER],
            room: vec![0; BUFFER],
        };
        pair.open(BUSY..BUSY + 1, BUFFER);
        pair.settle();
        pair
    }

    /// Frames cross, whatever they are, without a program's help; how many did.
    fn cross(&mut self) -> (usize, usize) {
        let [client, server] = &mut self.hosts;
        self.now += STEP;
        let forth = client.transmit(self.now, &mut self.forth);
        server.receive(self.now, &mut self.forth);
        let (_, back) = server.transmit(self.now, &mut self.back);
        client.receive(self.now, &mut self.back);
        (forth.0, forth.1 + back)
    }

    /// Until nobody has anything to say: delayed acknowledgments too.
    fn settle(&mut self) {
        for _ in 0..4 {
            while self.cross().1 > 0 {}
            self.now += 100_000_000;
        }
    }

    fn open(&mut self, ids: Range<u32>, buffer: usize) {
        for id in ids.clone() {
            self.hosts[1].listen(id, buffer);
            self.hosts[0].connect(self.now, id, buffer);
        }
        let stands = (0..100).any(|_| {
            self.cross();
            let [client, server] = &mut self.hosts;
            ids.clone()
                .all(|id| client.is_established(id) && server.is_established(id))
        });
        assert!(stands, "{} does not open {ids:?}", S::NAME);
    }

    /// Opens connections until there are `count` beside the busy one; between two handfuls so much
    /// virtual time passes.
    fn open_idle(&mut self, count: u32, pause: u64) {
        while self.opened <= count {
            let end = (self.opened + HANDFUL).min(count + 1);
            self.open(self.opened..end, IDLE_BUFFER);
            self.opened = end;
            self.now += pause;
        }
        self.settle();
    }

    /// One turn of a bulk transfer; how many full segments crossed.
    fn turn(&mut self) -> usize {
        let [client, server] = &mut self.hosts;
        self.now += STEP;
        client.write(self.now, BUSY, &self.data);
        let (full, _) = client.transmit(self.now, &mut self.forth);
        server.receive(self.now, &mut self.forth);
        server.read(self.now, BUSY, &mut self.room);
        server.transmit(self.now, &mut self.back);
        client.receive(self.now, &mut self.back);
        full
    }

    /// Nanoseconds for each full segment, over one round.
    fn bulk(&mut self) -> f64 {
        let (start, mut segments, mut turns) = (std::time::Instant::now(), 0, 0);
        while start.elapsed() < ROUND || turns < 4 {
            segments += self.turn();
            turns += 1;
        }
        each(start, segments)
    }
}

/// Nanoseconds since `start` for each of `count`.
#[expect(clippy::cast_precision_loss, reason = "a figure to print")]
fn each(start: std::time::Instant, count: usize) -> f64 {
    start.elapsed().as_nanos() as f64 / count.max(1) as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A measure of both stacks, in turns.
fn in_turns(mut ours: impl FnMut() -> f64, mut theirs: impl FnMut() -> f64) -> [f64; 2] {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        a.push(ours());
        b.push(theirs());
    }
    [median(a), median(b)]
}

/// Against idle connections, in turns with smoltcp.
fn segments() {
    println!("nanoseconds for each full segment, medians of {ROUNDS} rounds taken in turn");
    println!("idle connections   tapline  Gbit/s   smoltcp  Gbit/s   ratio");
    let mut alone = None;
    for idle in [0, 100, 1000, 4000] {
        let mut ours = Pair::<Tapline>::new(idle + 1);
        let mut theirs = Pair::<Smoltcp>::new(idle + 1);
        let count = u32::try_from(idle).unwrap();
        ours.open_idle(count, 0);
        theirs.open_idle(count, 0);
        ours.bulk();
        theirs.bulk();
        let [a, b] = in_turns(|| ours.bulk(), || theirs.bulk());
        println!(
            "{idle:>16} {a:>9.0} {:>7.2} {b:>9.0} {:>7.2} {:>7.2}",
            1448.0 * 8.0 / a,
            1460.0 * 8.0 / b,
            b / a
        );
        let alone = *alone.get_or_insert(a);
        if idle == 4000 {
            println!(
                "beside 4000 it takes {:.2} of what it takes alone",
                a / alone
            );
        }
    }
    let (mut slices, mut chunks) = (Pair::<Tapline>::new(1), Pair::<Tapline>::new(1));
    chunks.hosts.iter_mut().for_each(Tapline::use_chunks);
    let [a, b] = in_turns(|| slices.bulk(), || chunks.bulk());
    println!("from slice to slice {a:.0}, by chunks without a copy {b:.0}");
}

fn main() {
    let parts: [(&str, fn()); 5] = [
        ("segments", segments),
        ("opens", scale::opens),
        ("live", scale::live),
        ("idle", scale::idle),
        ("keepalives", scale::keepalives),
    ];
    // Cargo adds `--bench`.
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let known = |name: &String| parts.iter().any(|(part, _)| part == name);
    if let Some(other) = named.iter().find(|name| !known(name)) {
        let all: Vec<&str> = parts.iter().map(|(part, _)| *part).collect();
        eprintln!("{other}: no such part; there are {}", all.join(", "));
        std::process::exit(2);
    }
    for (part, run) in parts {
        if named.is_empty() || named.iter().any(|name| name == part) {
            run();
        }
    }
}
