//! What a TCP segment costs: Tapline and smoltcp side by side, in one process.
//!
//! ```text
//!   client --> full segments, up to a batch --> server
//!          <-- acknowledgments <--------------          beside idle connections, or none
//! ```
//!
//! `cargo bench -p tapline-stack --bench tcp` prints nanoseconds for each full-size segment from a
//! program's slice to another program's slice, two hosts in memory, medians of rounds in which the
//! stacks take turns: alone, and beside 100, 1,000 and 4,000 connections that have nothing to say.
//! Then what ours takes where the programs hand over and take chunks instead of slices, what it
//! takes to open a connection and break it off, and how much memory an open one holds that says
//! nothing.
//!
//! The terms: what crosses is one frame a segment with either, each with its own checksum that is
//! computed and verified; both copy the payload in from a slice and out to one; both have buffers of
//! 256 KiB for the busy connection. A turn of either is: the program fills the send buffer, the host
//! sends what it can, up to a batch of frames, the other takes them, its program reads all, it
//! answers, it is asked when to wake next. Frames lie in slots that are never freed; smoltcp writes
//! and reads whole frames where they lie, ours are headers in the slot and a reference to the
//! payload. Ours has an edge as devices without offload have: super-frames that leave the host are
//! cut into full segments, and the segments of a batch that have come are verified and joined before
//! the host sees them. smoltcp has no congestion control here, its program knows its sockets'
//! handles, and its egress is polled only until the batch is full or nothing is left.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on shall stop"
)]
#![expect(missing_docs, reason = "the allocator's name is nobody's interface")]

#[path = "tcp/smol.rs"]
mod smol;
#[path = "tcp/tap.rs"]
mod tap;

use smol::Smoltcp;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::net::Ipv4Addr;
use std::time::Duration;
use tap::Tapline;

#[global_allocator]
pub static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ADDRS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 7, 0, 1), Ipv4Addr::new(10, 7, 0, 2)];
/// The busy connection's port; idle ones take those that follow.
const PORT: u16 = 10_000;
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
/// Virtual nanoseconds of a turn.
const STEP: u64 = 20_000;

/// One host of either stack.
trait Station {
    /// Frames in flight one way.
    type Wire: Default;
    const NAME: &'static str;
    fn new(at: usize, sockets: usize) -> Self;
    fn listen(&mut self, port: u16, buffer: usize);
    fn connect(&mut self, now: u64, port: u16, buffer: usize);
    /// Whether the connection of a port is established.
    fn is_established(&mut self, port: u16) -> bool;
    fn abort(&mut self, now: u64, port: u16);
    /// Lets go of a connection that its peer has broken off.
    fn forget(&mut self, now: u64, port: u16);
    /// The program fills the send buffer.
    fn write(&mut self, now: u64, port: u16, data: &[u8]);
    /// The program reads all; how much.
    fn read(&mut self, now: u64, port: u16, room: &mut [u8]) -> usize;
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
    data: Vec<u8>,
    room: Vec<u8>,
}

impl<S: Station> Pair<S> {
    fn new(sockets: usize) -> Self {
        let mut pair = Self {
            hosts: [S::new(0, sockets), S::new(1, sockets)],
            forth: S::Wire::default(),
            back: S::Wire::default(),
            now: START,
            data: vec![0xa5; BUFFER],
            room: vec![0; BUFFER],
        };
        pair.open(PORT, BUFFER);
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

    fn open(&mut self, port: u16, buffer: usize) {
        self.hosts[1].listen(port, buffer);
        self.hosts[0].connect(self.now, port, buffer);
        let stands = (0..100).any(|_| {
            self.cross();
            self.hosts.iter_mut().all(|host| host.is_established(port))
        });
        assert!(stands, "{} does not open port {port}", S::NAME);
    }

    fn open_idle(&mut self, count: u16) {
        for n in 0..count {
            self.open(PORT + 1 + n, IDLE_BUFFER);
        }
        self.settle();
    }

    /// One turn of a bulk transfer; how many full segments crossed.
    fn turn(&mut self) -> usize {
        let [client, server] = &mut self.hosts;
        self.now += STEP;
        client.write(self.now, PORT, &self.data);
        let (full, _) = client.transmit(self.now, &mut self.forth);
        server.receive(self.now, &mut self.forth);
        server.read(self.now, PORT, &mut self.room);
        server.transmit(self.now, &mut self.back);
        client.receive(self.now, &mut self.back);
        full
    }

    /// Nanoseconds for each full segment, over one round.
    #[expect(clippy::cast_precision_loss, reason = "a figure to print")]
    fn bulk(&mut self) -> f64 {
        let (start, mut segments, mut turns) = (std::time::Instant::now(), 0, 0);
        while start.elapsed() < ROUND || turns < 4 {
            segments += self.turn();
            turns += 1;
        }
        start.elapsed().as_nanos() as f64 / segments.max(1) as f64
    }

    /// Nanoseconds to open a connection and break it off.
    #[expect(clippy::cast_precision_loss, reason = "a figure to print")]
    fn setup(&mut self) -> f64 {
        let (start, mut opened) = (std::time::Instant::now(), 0);
        while start.elapsed() < ROUND {
            let port = PORT + 1;
            self.open(port, IDLE_BUFFER);
            self.hosts[0].abort(self.now, port);
            while self.cross().1 > 0 {}
            self.hosts[1].forget(self.now, port);
            opened += 1;
        }
        start.elapsed().as_nanos() as f64 / f64::from(opened)
    }
}

/// Bytes that an idle connection holds at one of its hosts, buffers and tables too.
fn memory<S: Station>(count: u16) -> usize {
    let held = |count: u16| {
        let region = Region::new(COUNTING);
        let mut pair = Pair::<S>::new(usize::from(count) + 1);
        pair.open_idle(count);
        let change = region.change();
        drop(pair);
        change.bytes_allocated - change.bytes_deallocated
    };
    (held(count) - held(0)) / usize::from(count) / 2
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

fn main() {
    println!("nanoseconds for each full segment, medians of {ROUNDS} rounds taken in turn");
    println!("idle connections   tapline  Gbit/s   smoltcp  Gbit/s   ratio");
    let mut alone = None;
    for idle in [0, 100, 1000, 4000] {
        let mut ours = Pair::<Tapline>::new(usize::from(idle) + 1);
        let mut theirs = Pair::<Smoltcp>::new(usize::from(idle) + 1);
        ours.open_idle(idle);
        theirs.open_idle(idle);
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
    let (mut ours, mut theirs) = (Pair::<Tapline>::new(2), Pair::<Smoltcp>::new(2));
    let [a, b] = in_turns(|| ours.setup(), || theirs.setup());
    println!("nanoseconds to open a connection and break it off: {a:.0}, smoltcp {b:.0}");
    let (a, b) = (memory::<Tapline>(1000), memory::<Smoltcp>(1000));
    println!("bytes of an idle connection: {a}, smoltcp {b} with both buffers of {IDLE_BUFFER}");
}
