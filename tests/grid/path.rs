//! Two ends and the bad wire between them, in virtual time.
//!
//! ```text
//!   ends[0] --frames--> way 0: queue, rate, delay, loss --> ends[1]
//!           <---------- way 1 <----------------------------
//! ```
//!
//! The queue is the bottleneck's, not the sender's own: an end sends as fast as it may, and what
//! finds the queue full is lost.

use super::end::{End, STATIONS};
use stack::frame::Frame;
use stack::link::impair::{Chance, Config, Loss, Queue, Way};
use stack::link::offload;
use stack::rng::Rng;
use stack::time::{Duration, Instant, earliest};
use stack::wire::MacAddr;

/// Bytes of a full frame on the wire.
pub(crate) const FRAME: u64 = 1514;
/// A queue holds so many frames at least: a bandwidth-delay product of 8 would hold no window.
const QUEUE_MIN: u64 = 16;

/// More turns than that without a step in time, and there will never be one.
const IDLE: u32 = 100_000;

/// What lies between two ends; the same both ways.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// Bits a second.
    pub(crate) rate: u64,
    /// There and back, without queues.
    pub(crate) rtt: Duration,
    /// Lost each way, of a million.
    pub(crate) loss: u32,
    /// Held back by an eighth of a round trip, of a million.
    pub(crate) reorder: u32,
    /// Sent twice, of a million.
    pub(crate) duplicate: u32,
}

impl Path {
    /// Frames in one bandwidth-delay product.
    pub(crate) fn queue(&self) -> u64 {
        let bytes = u128::from(self.rate / 8) * self.rtt.as_nanos() / 1_000_000_000;
        (u64::try_from(bytes).unwrap() / FRAME).max(QUEUE_MIN)
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            rate: Some(self.rate),
            delay: self.rtt / 2,
            loss: match self.loss {
                0 => Loss::None,
                ppm => Loss::Independent(Chance::from_ppm(ppm)),
            },
            reorder: Chance::from_ppm(self.reorder),
            reorder_by: self.rtt / 8,
            duplicate: Chance::from_ppm(self.duplicate),
            queue: Queue::DropTail {
                packets: Some(u32::try_from(self.queue()).unwrap()),
                bytes: None,
                mark: None,
            },
            ..Config::default()
        }
    }
}

/// Two ends on a path.
pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) ends: [Box<dyn End>; 2],
    pub(crate) ways: [Way; 2],
    due: [Option<Instant>; 2],
    /// How long each frame from the first end took, where asked for.
    pub(crate) latencies: Option<Vec<(Instant, Duration)>>,
    /// Turns since time moved.
    idle: u32,
    /// Frames that arrived.
    pub(crate) frames: u64,
}

impl Net {
    pub(crate) fn new(path: &Path, ends: [Box<dyn End>; 2], seed: u64) -> Self {
        Self::with(path.config(), ends, seed)
    }

    pub(crate) fn with(config: Config, ends: [Box<dyn End>; 2], seed: u64) -> Self {
        let rng = Rng::from_seed(seed);
        let way = |name| Way::new(config.clone(), rng.fork(name).hash_keys());
        let mut net = Self {
            now: Instant::ZERO,
            ends,
            ways: [way("there"), way("back")],
            due: [None; 2],
            latencies: None,
            idle: 0,
            frames: 0,
        };
        net.introduce();
        net
    }

    /// Each end hears who the other is, and what either says before the path is there is lost.
    fn introduce(&mut self) {
        for at in 0..2 {
            let frame = arp_request(1 - at);
            self.ends[at].handle_timeout(self.now);
            self.ends[at].handle_frame(self.now, frame);
            while self.ends[at].poll_transmit(self.now).is_some() {}
        }
    }

    /// Goes on to the next thing that happens, at `until` at the latest, and lets it happen. The
    /// programs have their turn then, and after them [`flush`](Self::flush).
    pub(crate) fn advance(&mut self, until: Instant) {
        let ways = earliest(self.ways[0].poll_timeout(), self.ways[1].poll_timeout());
        let ends = earliest(self.due[0], self.due[1]);
        let next = earliest(ways, ends).unwrap_or(until);
        let next = next.min(until).max(self.now);
        self.idle = if next == self.now { self.idle + 1 } else { 0 };
        assert!(
            self.idle < IDLE,
            "time stands still at {next}: {:?}",
            self.due
        );
        self.now = next;
        for from in 0..2 {
            while let Some(arrival) = self.ways[from].poll_arrival(self.now) {
                self.frames += 1;
                if from == 0
                    && let Some(latencies) = &mut self.latencies
                {
                    latencies.push((self.now, self.now - arrival.sent));
                }
                self.ends[1 - from].handle_frame(self.now, arrival.frame);
            }
            if self.due[from].is_some_and(|due| due <= self.now) {
                self.ends[from].handle_timeout(self.now);
            }
        }
    }

    /// Goes on without programs: what is said after the end must come to an end too.
    pub(crate) fn linger(&mut self, time: Duration) -> Result<(), String> {
        let (end, before) = (self.now + time, self.frames);
        while self.now < end {
            self.advance(end);
            self.flush();
        }
        match self.frames - before {
            0..100 => Ok(()),
            n => Err(format!("{n} frames after the end")),
        }
    }

    /// Takes what the ends have to send.
    pub(crate) fn flush(&mut self) {
        let Self {
            now, ends, ways, ..
        } = self;
        for (end, way) in ends.iter_mut().zip(ways) {
            while let Some(frame) = end.poll_transmit(*now) {
                offload::cut(frame, false, |piece| {
                    way.send(*now, piece, 0);
                });
            }
        }
        for (due, end) in self.due.iter_mut().zip(&mut self.ends) {
            *due = end.poll_timeout(self.now);
        }
    }
}

/// "Who has you? Tell me": after this an end knows the other.
fn arp_request(from: usize) -> Frame {
    let (me, you) = (STATIONS[from], STATIONS[1 - from]);
    let mut bytes = Vec::from(MacAddr::BROADCAST.0);
    bytes.extend(me.mac.0);
    bytes.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
    bytes.extend(me.mac.0);
    bytes.extend(me.addr.octets());
    bytes.extend([0; 6]);
    bytes.extend(you.addr.octets());
    Frame::copy_from(&bytes)
}
