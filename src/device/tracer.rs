//! A device that writes down what crosses it: around any other, as pcapng.
//!
//! ```text
//!   machine <--recv-- Tracer <--recv-- device       each frame with its interface, its direction,
//!           --fate-->   |                           and, as a comment, what became of it
//!  --comment, send-->   |    --send-->
//!                     Trace --> file                one for all interfaces of a machine
//! ```
//!
//! A frame that came in is written when its fate is known, so that the drop's reason stands beside
//! it: `drop: udp-no-socket`. What is sent is written once the device has taken it. Frames whose
//! checksum or cutting is left to the device are written as they were handed over, and a comment
//! says so, since they look wrong otherwise. Beside a segment that is sent again, or to probe,
//! stands why: `retransmit: RACK, reorder window 12ms`.

use super::{Device, Medium, Offloads, Received};
use stack::frame::{Checksum, Frame};
use stack::machine::{Consumer, Fate};
use stack::time::{Instant, UnixTime};
use stack::wire::pcap::{Direction, LinkType, Packet, Section, Writer};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A trace being written: shared by the tracers of a machine's interfaces. The last to go flushes.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Shared>>);

struct Shared {
    writer: Writer,
    out: Box<dyn Write + Send>,
    /// Wall time at [`Instant::ZERO`].
    epoch: UnixTime,
    /// The first thing that went wrong; nothing is written after it.
    error: Option<io::Error>,
    packets: u64,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trace({} packets)", self.packets())
    }
}

impl Trace {
    /// A new file; `epoch` is the wall time at [`Instant::ZERO`].
    ///
    /// # Errors
    /// What the OS says.
    pub fn create(path: &Path, epoch: UnixTime) -> io::Result<Self> {
        Ok(Self::new(
            Box::new(BufWriter::new(File::create(path)?)),
            epoch,
        ))
    }

    /// A trace into any sink.
    #[must_use]
    pub fn new(out: Box<dyn Write + Send>, epoch: UnixTime) -> Self {
        let section = Section {
            hardware: std::env::consts::ARCH,
            os: std::env::consts::OS,
            application: concat!("tapline ", env!("CARGO_PKG_VERSION")),
        };
        Self(Arc::new(Mutex::new(Shared {
            writer: Writer::new(&section),
            out,
            epoch,
            error: None,
            packets: 0,
        })))
    }

    /// Packets written.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.lock().packets
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// The first error since the trace began.
    pub fn flush(&self) -> io::Result<()> {
        let mut shared = self.lock();
        shared.drain();
        if let Some(e) = shared.error.take() {
            return Err(e);
        }
        shared.out.flush()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A tracer that panicked has left at worst half a block behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn interface(&self, name: &str, medium: Medium) -> u32 {
        let link_type = match medium {
            Medium::Ethernet => LinkType::ETHERNET,
            Medium::Ip => LinkType::RAW,
        };
        self.lock().writer.interface(name, link_type, 0)
    }

    fn packet(
        &self,
        interface: u32,
        now: Instant,
        direction: Direction,
        frame: &Frame,
        comments: &[String],
    ) {
        let mut shared = self.lock();
        if shared.error.is_some() {
            return;
        }
        let timestamp = shared.epoch.0.saturating_add(now.as_nanos());
        let data = match frame.offload.checksum {
            Checksum::Partial { .. } => {
                // As the wire has it, so that whoever reads the trace need not know better.
                let mut frame = frame.clone();
                frame.complete_checksum();
                frame.to_bytes()
            }
            _ => frame.to_bytes(),
        };
        shared.writer.packet(&Packet {
            interface,
            timestamp,
            direction: Some(direction),
            data: &data,
            original_len: 0,
            comments,
        });
        shared.packets += 1;
        shared.drain();
    }
}

impl Shared {
    fn drain(&mut self) {
        if self.error.is_none() {
            self.error = self.out.write_all(self.writer.pending()).err();
        }
        self.writer.clear();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.drain();
        // Nobody is left to hear of an error.
        let _ = self.out.flush();
    }
}

/// A device around `D`.
#[derive(Debug)]
pub struct Tracer<D> {
    inner: D,
    trace: Trace,
    interface: u32,
    /// The frame received last, until its fate is known.
    waiting: Option<(Instant, Frame)>,
    /// What is said of the frame to be sent next.
    comment: Option<String>,
}

impl<D: Device> Tracer<D> {
    /// Writes what crosses `inner` to `trace`, under `name`.
    pub fn new(inner: D, trace: &Trace, name: &str) -> Self {
        let interface = trace.interface(name, inner.medium());
        Self {
            inner,
            trace: trace.clone(),
            interface,
            waiting: None,
            comment: None,
        }
    }

    /// The device inside.
    pub const fn inner(&self) -> &D {
        &self.inner
    }

    /// Writes the frame received last, with what became of it where that was told.
    fn settle(&mut self, fate: Option<Fate>) {
        let Some((at, frame)) = self.waiting.take() else {
            return;
        };
        let mut comments = notes(&frame, Direction::In);
        comments.extend(fate.map(|fate| comment(&fate)));
        self.trace
            .packet(self.interface, at, Direction::In, &frame, &comments);
    }
}

impl<D> Drop for Tracer<D> {
    fn drop(&mut self) {
        if let Some((at, frame)) = self.waiting.take() {
            self.trace
                .packet(self.interface, at, Direction::In, &frame, &[]);
        }
    }
}

/// What became of a received frame.
fn comment(fate: &Fate) -> String {
    match fate {
        Fate::Delivered(consumer) => {
            let to = match consumer {
                Consumer::Arp => "arp",
                Consumer::Icmp => "icmp",
                Consumer::Igmp => "igmp",
                Consumer::Udp => "udp",
                Consumer::Tcp => "tcp",
                Consumer::Raw => "raw",
            };
            format!("delivered: {to}")
        }
        Fate::Forwarded => "forwarded".to_owned(),
        Fate::Held => "held: more fragments are to come".to_owned(),
        Fate::Dropped(reason) => format!("drop: {reason}"),
    }
}

/// What makes a frame look other than it is on the wire.
fn notes(frame: &Frame, direction: Direction) -> Vec<String> {
    let mut notes = Vec::new();
    if let Checksum::Partial { .. } = frame.offload.checksum {
        notes.push(match direction {
            Direction::In => {
                "checksum: left open by the sender's kernel, filled in here".to_owned()
            }
            Direction::Out => "checksum: left to the device, filled in here".to_owned(),
        });
    }
    if let Some(gso) = frame.offload.gso {
        notes.push(format!("super-frame: pieces of {} bytes", gso.size));
    }
    notes
}

impl<D: Device> Device for Tracer<D> {
    fn recv(&mut self, now: Instant) -> io::Result<Received> {
        self.settle(None);
        let received = self.inner.recv(now)?;
        if let Received::Frame(frame) = &received {
            self.waiting = Some((now, frame.clone()));
        }
        Ok(received)
    }

    fn send(&mut self, now: Instant, frame: &Frame) -> io::Result<()> {
        self.inner.send(now, frame)?;
        let mut notes = notes(frame, Direction::Out);
        notes.extend(self.comment.take());
        self.trace
            .packet(self.interface, now, Direction::Out, frame, &notes);
        Ok(())
    }

    fn comment(&mut self, comment: Option<&dyn Display>) {
        self.comment = comment.map(ToString::to_string);
    }

    fn fate(&mut self, fate: Fate) {
        self.settle(Some(fate));
        self.inner.fate(fate);
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
    use crate::device::pcap::Playback;
    use bytes::Bytes;
    use stack::reason::DropReason;
    use stack::wire::pcap::Capture;

    /// A sink that can be looked into.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn played() -> Playback {
        let mut w = Writer::new(&Section::default());
        let id = w.interface("", LinkType::ETHERNET, 0);
        for data in [&[1; 60][..], &[2; 60]] {
            w.packet(&Packet {
                interface: id,
                data,
                ..Packet::default()
            });
        }
        Playback::new(Bytes::from(w.take())).unwrap()
    }

    #[test]
    fn writes_both_ways_with_fates_and_interfaces() {
        let sink = Sink::default();
        let trace = Trace::new(Box::new(sink.clone()), UnixTime(1_000));
        let mut a = Tracer::new(played(), &trace, "tap0");
        let mut b = Tracer::new(played(), &trace, "tap1");
        let at = Instant::from_nanos(5);
        assert!(matches!(a.recv(at), Ok(Received::Frame(_))));
        a.fate(Fate::Dropped(DropReason::UdpNoSocket));
        let mut reply = Frame::copy_from(&[3; 70]);
        reply.offload.checksum = Checksum::Partial {
            start: 34,
            offset: 16,
        };
        a.send(at, &reply).unwrap();
        // No fate is told of these two: they are written all the same, at the next or at the end.
        assert!(matches!(b.recv(at), Ok(Received::Frame(_))));
        assert!(matches!(b.recv(at), Ok(Received::Frame(_))));
        drop((a, b));
        trace.flush().unwrap();
        let bytes = sink.0.lock().unwrap().clone();
        let seen: Vec<_> = Capture::parse(&bytes)
            .unwrap()
            .map(Result::unwrap)
            .map(|r| {
                let comments: Vec<_> = r.comments().map(str::to_owned).collect();
                (r.interface, r.direction(), r.data[0], comments.join("; "))
            })
            .collect();
        let (inward, outward) = (Some(Direction::In), Some(Direction::Out));
        let want = [
            (0, inward, 1, "drop: udp-no-socket"),
            (
                0,
                outward,
                3,
                "checksum: left to the device, filled in here",
            ),
            (1, inward, 1, ""),
            (1, inward, 2, ""),
        ];
        assert_eq!(seen, want.map(|(i, d, b, c)| (i, d, b, c.to_owned())));
        let first = Capture::parse(&bytes).unwrap().next().unwrap().unwrap();
        assert_eq!(first.timestamp, Some(1_005));
    }
}
