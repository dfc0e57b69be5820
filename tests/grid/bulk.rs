//! Programs that send without end and read all: how much came, and whether it is what was sent.

use super::end::{Conn, Io, STATIONS, Stack, Tcp};
use super::path::{Net, Path};
use stack::time::{Duration, Instant};
use std::sync::LazyLock;

/// What is sent, again and again: long, and no multiple of anything that TCP counts by.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let bytes = (0..PERIOD + CHUNK).map(|i| {
        let i = u32::try_from(i % PERIOD).unwrap();
        (i.wrapping_mul(2_654_435_761) >> 23).to_le_bytes()[0]
    });
    bytes.collect()
});
const PERIOD: usize = 65_521;
const CHUNK: usize = 1 << 16;
const PORT: u16 = 5000;

/// One stream from the first end to the second.
pub(crate) struct Flow {
    port: u16,
    sender: Conn,
    receiver: Option<Conn>,
    sent: usize,
    /// Bytes read.
    pub(crate) received: usize,
}

impl Flow {
    /// The n-th flow of a path begins.
    pub(crate) fn start(net: &mut Net, n: u16, tcp: &Tcp) -> Self {
        let port = PORT + n;
        net.ends[1].listen(net.now, port, tcp);
        let sender = net.ends[0].connect(net.now, STATIONS[1].addr, port, tcp);
        Self {
            port,
            sender,
            receiver: None,
            sent: 0,
            received: 0,
        }
    }

    /// Both programs have a turn.
    pub(crate) fn turn(&mut self, net: &mut Net, room: &mut [u8]) {
        while let Io::Did(took) = net.ends[0].send(net.now, self.sender, from(self.sent, CHUNK)) {
            self.sent += took;
        }
        if self.receiver.is_none() {
            self.receiver = net.ends[1].accept(net.now, self.port);
        }
        let Some(receiver) = self.receiver else {
            return;
        };
        while let Io::Did(got) = net.ends[1].recv(net.now, receiver, room) {
            assert!(room[..got] == *from(self.received, got), "other bytes came");
            self.received += got;
        }
    }
}

/// What is sent from an offset on.
pub(crate) fn from(offset: usize, len: usize) -> &'static [u8] {
    &PATTERN[offset % PERIOD..][..len.min(CHUNK)]
}

/// One flow, for so long: bytes that the receiver read.
pub(crate) fn run(path: &Path, stacks: [Stack; 2], tcp: &Tcp, time: Duration, seed: u64) -> u64 {
    let ends = [0, 1].map(|at| stacks[at].end(STATIONS[at], seed * 2 + at as u64));
    let mut net = Net::new(path, ends, seed);
    let mut flow = Flow::start(&mut net, 0, tcp);
    let (end, mut room) = (Instant::ZERO + time, vec![0; CHUNK]);
    net.flush();
    while net.now < end {
        net.advance(end);
        flow.turn(&mut net, &mut room);
        net.flush();
    }
    flow.received as u64
}
