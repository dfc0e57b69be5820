//! A device that misbehaves: around any other, seeded.
//!
//! ```text
//!   machine <--recv-- Faults <--recv-- device        each way: drop, duplicate, corrupt, reorder
//!           --send-->        --send-->
//! ```
//!
//! A super-frame is cut first: a fault hits one packet, as on a wire.
//!
//! For trying a host by hand against a poor link. Each fault is drawn per frame and independently;
//! the same seed and the same frames give the same faults. Left out: delay, rate and queues, and
//! decisions that stay put when a flow is added: the bad wire has those.

use super::{Device, Medium, Offloads, Received};
use bytes::BytesMut;
use stack::frame::{Checksum, Frame, Payload};
use stack::link::offload;
use stack::machine::Fate;
use stack::rng::Rng;
use stack::time::{Duration, Instant};
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;

/// A reordered frame that nothing overtakes is let go after this long.
const HOLD: Duration = Duration::from_millis(20);
/// A frame that found no room is tried again after this long, where nothing comes first.
const RETRY: Duration = Duration::from_millis(1);
/// Chances are drawn in millionths.
const MILLION: u64 = 1_000_000;

/// How often, in millionths of all frames, each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Lost.
    pub drop_ppm: u32,
    /// Delivered twice.
    pub duplicate_ppm: u32,
    /// One bit flipped. What the kernel vouches for is then no longer vouched for.
    pub corrupt_ppm: u32,
    /// Overtaken by the next frame.
    pub reorder_ppm: u32,
}

/// What was done, each way together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames lost.
    pub dropped: u64,
    /// Frames delivered twice.
    pub duplicated: u64,
    /// Frames with a flipped bit.
    pub corrupted: u64,
    /// Frames overtaken.
    pub reordered: u64,
}

/// A device around `D`.
#[derive(Debug)]
pub struct Faults<D> {
    inner: D,
    config: Config,
    rng: Rng,
    stats: Stats,
    incoming: Lane,
    outgoing: Lane,
    /// When to try again what the device had no room for.
    retry: Option<Instant>,
}

/// One direction: frames due, in order, and one that waits to be overtaken.
#[derive(Debug, Default)]
struct Lane {
    due: VecDeque<Frame>,
    held: Option<(Instant, Frame)>,
}

impl<D: Device> Faults<D> {
    /// Puts faults around `inner`.
    pub fn new(inner: D, config: Config, rng: Rng) -> Self {
        Self {
            inner,
            config,
            rng,
            stats: Stats::default(),
            incoming: Lane::default(),
            outgoing: Lane::default(),
            retry: None,
        }
    }

    /// What was done so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Sends what is due; a frame that does not fit stays first in line.
    fn flush(&mut self, now: Instant) -> io::Result<()> {
        self.outgoing.release(now);
        self.retry = None;
        while let Some(frame) = self.outgoing.due.front() {
            match self.inner.send(now, frame) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.retry = Some(now + RETRY);
                    return Err(e);
                }
                // Sent, or refused for good: either way it is not first in line any more.
                _ => self.outgoing.due.pop_front(),
            };
        }
        Ok(())
    }
}

impl Lane {
    /// Lets the held frame go when its time has come.
    fn release(&mut self, now: Instant) {
        if self.held.as_ref().is_some_and(|(until, _)| *until <= now) {
            self.due.extend(self.held.take().map(|(_, f)| f));
        }
    }

    /// Passes one frame through the faults into `due`.
    fn pass(
        &mut self,
        now: Instant,
        mut frame: Frame,
        (config, rng, stats): (Config, &mut Rng, &mut Stats),
    ) {
        let mut hit = |ppm: u32, count: &mut u64| {
            // Drawn even where the chance is nil: one more fault does not move the others.
            let hit = rng.below(MILLION) < u64::from(ppm);
            *count += u64::from(hit);
            hit
        };
        if hit(config.drop_ppm, &mut stats.dropped) {
            return;
        }
        let twice = hit(config.duplicate_ppm, &mut stats.duplicated);
        let corrupt = hit(config.corrupt_ppm, &mut stats.corrupted);
        let late = self.held.is_none() && hit(config.reorder_ppm, &mut stats.reordered);
        if corrupt {
            frame = flip_a_bit(&frame, rng);
        }
        if late {
            self.held = Some((now + HOLD, frame));
            return;
        }
        if twice {
            self.due.push_back(frame.clone());
        }
        self.due.push_back(frame);
        self.due.extend(self.held.take().map(|(_, f)| f));
    }
}

fn flip_a_bit(frame: &Frame, rng: &mut Rng) -> Frame {
    let mut bytes = BytesMut::from(&frame.to_bytes()[..]);
    let bits = u64::try_from(bytes.len()).unwrap_or(0) * 8;
    let bit = usize::try_from(rng.below(bits)).unwrap_or(0);
    if let Some(byte) = bytes.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    let mut out = Frame {
        payload: Payload::from(bytes.freeze()),
        ..frame.clone()
    };
    out.head = stack::frame::Head::default();
    if out.offload.checksum == Checksum::Verified {
        out.offload.checksum = Checksum::Unchecked;
    }
    out
}

impl<D: Device> Device for Faults<D> {
    fn recv(&mut self, now: Instant) -> io::Result<Received> {
        self.incoming.release(now);
        // The driver calls on every turn, so this is also where late frames leave.
        let _ = self.flush(now);
        loop {
            if let Some(frame) = self.incoming.due.pop_front() {
                return Ok(Received::Frame(frame));
            }
            match self.inner.recv(now)? {
                Received::Frame(frame) => {
                    let bare = self.inner.medium() == Medium::Ip;
                    offload::cut(frame, bare, |frame| {
                        let how = (self.config, &mut self.rng, &mut self.stats);
                        self.incoming.pass(now, frame, how);
                    });
                }
                other => return Ok(other),
            }
        }
    }

    fn send(&mut self, now: Instant, frame: &Frame) -> io::Result<()> {
        self.flush(now)?;
        let bare = self.inner.medium() == Medium::Ip;
        offload::cut(frame.clone(), bare, |frame| {
            let how = (self.config, &mut self.rng, &mut self.stats);
            self.outgoing.pass(now, frame, how);
        });
        // Accepted in any case: what finds no room waits here, and a later call sends it.
        let _ = self.flush(now);
        Ok(())
    }

    fn fate(&mut self, fate: Fate) {
        self.inner.fate(fate);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let held = [&self.incoming, &self.outgoing]
            .into_iter()
            .filter_map(|lane| lane.held.as_ref().map(|(until, _)| *until));
        held.chain(self.retry)
            .chain(self.inner.poll_timeout())
            .min()
    }

    fn mtu(&self) -> usize {
        self.inner.mtu()
    }

    fn medium(&self) -> Medium {
        self.inner.medium()
    }

    fn offloads(&self) -> Offloads {
        self.inner.offloads()
    }

    fn raw_fd(&self) -> Option<RawFd> {
        self.inner.raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives numbered frames and swallows what is sent.
    struct Source {
        left: u32,
        sent: Vec<Frame>,
    }

    impl Device for Source {
        fn recv(&mut self, _: Instant) -> io::Result<Received> {
            if self.left == 0 {
                return Ok(Received::Empty);
            }
            self.left -= 1;
            Ok(Received::Frame(Frame::copy_from(&self.left.to_be_bytes())))
        }
        fn send(&mut self, _: Instant, frame: &Frame) -> io::Result<()> {
            self.sent.push(frame.clone());
            Ok(())
        }
        fn mtu(&self) -> usize {
            1500
        }
        fn medium(&self) -> Medium {
            Medium::Ip
        }
        fn raw_fd(&self) -> Option<RawFd> {
            None
        }
    }

    fn run(seed: u64) -> (Vec<Frame>, Stats) {
        let config = Config {
            drop_ppm: 100_000,
            duplicate_ppm: 50_000,
            corrupt_ppm: 20_000,
            reorder_ppm: 30_000,
        };
        let source = Source {
            left: 10_000,
            sent: Vec::new(),
        };
        let mut device = Faults::new(source, config, Rng::from_seed(seed));
        let mut now = Instant::ZERO;
        let mut got = Vec::new();
        loop {
            match device.recv(now).unwrap() {
                Received::Frame(f) => got.push(f),
                _ => match device.poll_timeout() {
                    Some(at) => now = at,
                    None => return (got, device.stats()),
                },
            }
        }
    }

    #[test]
    fn every_frame_is_accounted_for_and_a_seed_repeats() {
        let (got, stats) = run(5);
        let dropped = usize::try_from(stats.dropped).unwrap();
        assert!((800..1200).contains(&dropped), "{stats:?}");
        assert!(stats.duplicated > 300 && stats.corrupted > 100 && stats.reordered > 150);
        // A frame that is held back is delivered once even where a duplicate was drawn.
        assert!(got.len() <= 10_000 - dropped + usize::try_from(stats.duplicated).unwrap());
        assert!(got.len() >= 10_000 - dropped);
        assert_eq!(run(5), (got.clone(), stats));
        assert_ne!(run(6).0, got);
    }

    #[test]
    fn without_faults_all_passes_in_order() {
        let source = Source {
            left: 0,
            sent: Vec::new(),
        };
        let mut device = Faults::new(source, Config::default(), Rng::from_seed(1));
        for i in 0..100u8 {
            device.send(Instant::ZERO, &Frame::copy_from(&[i])).unwrap();
        }
        let sent: Vec<u8> = device.inner.sent.iter().map(|f| f.to_bytes()[0]).collect();
        assert_eq!(sent, (0..100).collect::<Vec<_>>());
    }
}
