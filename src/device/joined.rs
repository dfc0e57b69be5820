//! A device that joins the segments it reads: around one whose kernel does not.
//!
//! ```text
//!   machine <--recv-- Joined <--recv-- device       A1 A2 B1 A3 arp  -->  A1+A2+A3  B1  arp
//!           --send-->        --send-->              as they are
//! ```
//!
//! What a host does for a frame it then does once for all those of a flow that waited together: as
//! Linux does behind an interface without receive offload. Checksums are verified on the way
//! ([`Joiner`]); a frame with a wrong one comes up alone, to be counted.
//!
//! Promises: nothing waits for time: what has been read is handed up once the device has no more, or
//! after [`MOST`] frames. What cannot be joined passes at once while nothing waits in front of it.
//! Goes directly around the device, inside of a tracer: that shows what the machine was given.

use super::{Device, Medium, Offloads, Received};
use stack::frame::Frame;
use stack::link::offload::Joiner;
use stack::time::Instant;
use std::io;
use std::os::fd::RawFd;

/// Frames read before some are handed up, whatever else waits: more than a super-frame has.
pub const MOST: usize = 64;

/// A device around `D`.
#[derive(Debug)]
pub struct Joined<D> {
    inner: D,
    joiner: Joiner,
    /// Frames read since all were flushed.
    read: usize,
    /// What the device said when it had no more, while frames from before that are handed up.
    last: Option<Received>,
}

impl<D: Device> Joined<D> {
    /// Joins what `inner` reads.
    pub fn new(inner: D) -> Self {
        Self {
            joiner: Joiner::new(inner.medium() == Medium::Ip),
            inner,
            read: 0,
            last: None,
        }
    }

    fn flush(&mut self) {
        self.joiner.flush();
        self.read = 0;
    }
}

impl<D: Device> Device for Joined<D> {
    fn recv(&mut self, now: Instant) -> io::Result<Received> {
        loop {
            if let Some(frame) = self.joiner.pop() {
                return Ok(Received::Frame(frame));
            }
            if let Some(last) = self.last.take() {
                return Ok(last);
            }
            match self.inner.recv(now)? {
                Received::Frame(mut frame) => {
                    self.joiner.push(&mut frame);
                    self.read += 1;
                    if self.read >= MOST {
                        self.flush();
                    }
                }
                last => {
                    self.flush();
                    self.last = Some(last);
                }
            }
        }
    }

    fn send(&mut self, now: Instant, frame: &Frame) -> io::Result<()> {
        self.inner.send(now, frame)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.inner.poll_timeout()
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
    use stack::frame::{Checksum, Gso, GsoKind, Offload};
    use stack::link::offload;
    use std::collections::VecDeque;

    /// Gives what it was told, and notes what it is asked.
    struct Script(VecDeque<Received>);

    impl Device for Script {
        fn recv(&mut self, _: Instant) -> io::Result<Received> {
            Ok(self.0.pop_front().expect("asked beyond the end"))
        }
        fn send(&mut self, _: Instant, _: &Frame) -> io::Result<()> {
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

    /// `n` segments of 100 bytes of one flow, as they would cross a wire.
    fn segments(n: u16) -> Vec<Frame> {
        let len = 40 + 100 * n;
        let mut bytes = vec![0; usize::from(len)];
        bytes[0] = 0x45;
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        bytes[8..10].copy_from_slice(&[64, 6]);
        bytes[12..20].copy_from_slice(&[10, 7, 0, 1, 10, 7, 0, 2]);
        bytes[32..34].copy_from_slice(&[0x50, 0x10]);
        let mut whole = Frame::copy_from(&bytes);
        whole.offload = Offload {
            gso: Some(Gso {
                kind: GsoKind::Tcp4,
                size: 100,
            }),
            checksum: Checksum::Partial {
                start: 20,
                offset: 16,
            },
        };
        let mut all = Vec::new();
        offload::cut(whole, true, |piece| {
            all.push(Frame::from_bytes(piece.to_bytes()));
        });
        all
    }

    fn lens(device: &mut Joined<Script>, n: usize) -> Vec<Option<usize>> {
        let one = |_| match device.recv(Instant::ZERO).unwrap() {
            Received::Frame(frame) => Some(frame.len()),
            Received::Empty | Received::Ended => None,
        };
        (0..n).map(one).collect()
    }

    #[test]
    fn what_waits_together_is_one_frame() {
        let other = || Received::Frame(Frame::copy_from(&[0x60; 50]));
        let mut script: VecDeque<_> = [other()].into();
        script.extend(segments(3).into_iter().map(Received::Frame));
        script.extend([other(), Received::Empty]);
        script.extend(segments(2).into_iter().map(Received::Frame));
        script.push_back(Received::Ended);
        let mut device = Joined::new(Script(script));
        assert_eq!(lens(&mut device, 1), [Some(50)]);
        assert_eq!(device.inner.0.len(), 8, "nothing else is read for it");
        let rest = [Some(340), Some(50), None, Some(240), None];
        assert_eq!(lens(&mut device, 5), rest);
    }

    #[test]
    fn what_never_ends_is_handed_up_in_between() {
        let all = segments(u16::try_from(MOST).unwrap() + 9).into_iter();
        let mut script: VecDeque<_> = all.map(Received::Frame).collect();
        script.push_back(Received::Empty);
        let mut device = Joined::new(Script(script));
        assert_eq!(lens(&mut device, 1), [Some(40 + 100 * MOST)]);
        assert_eq!(device.inner.0.len(), 10);
        assert_eq!(lens(&mut device, 2), [Some(940), None]);
    }
}
