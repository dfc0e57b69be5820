//! Both directions of a bad wire, as a machine that stands between two devices.
//!
//! ```text
//!   Port(0) handle_frame --> way 0 --> poll_transmit Port(1)
//!   Port(1) handle_frame --> way 1 --> poll_transmit Port(0)
//! ```
//!
//! Promises: a rule for so many packets ([`Rule::left`](super::Rule::left)) that lies on both ways
//! under one number takes so many of both together.

use super::{Config, Sent, Way};
use crate::frame::Frame;
use crate::link::offload;
use crate::machine::{Fate, Machine, Port};
use crate::reason::DropReason;
use crate::rng::Rng;
use crate::time::{Instant, earliest};

/// Two ways: what enters by `Port(0)` leaves by `Port(1)`, and back.
///
/// ```
/// use stack::link::impair::{Config, Wire};
/// use stack::machine::{Machine, Port};
/// use stack::time::{Duration, Instant};
/// use stack::{frame::Frame, rng::Rng};
///
/// let slow = Config { delay: Duration::from_millis(20), ..Config::default() };
/// let mut wire = Wire::new([slow, Config::default()], &Rng::from_seed(1));
/// wire.handle_frame(Instant::ZERO, Port(0), Frame::copy_from(&[0; 60]));
/// let arrives = wire.poll_timeout().unwrap();
/// assert_eq!(arrives, Instant::ZERO + Duration::from_millis(20));
/// assert!(wire.poll_transmit(Instant::ZERO, Port(1)).is_none());
/// assert_eq!(wire.poll_transmit(arrives, Port(1)).unwrap().len(), 60);
/// ```
#[derive(Clone, Debug)]
pub struct Wire {
    ways: [Way; 2],
}

impl Wire {
    /// A wire with a configuration for each direction: from `Port(0)`, and from `Port(1)`.
    #[must_use]
    pub fn new([there, back]: [Config; 2], rng: &Rng) -> Self {
        let key = |name| rng.fork(name).hash_keys();
        Self {
            ways: [Way::new(there, key("there")), Way::new(back, key("back"))],
        }
    }

    /// The way that begins at a port; `None` where there is no such port.
    #[must_use]
    pub fn way(&self, from: Port) -> Option<&Way> {
        self.ways.get(usize::from(from.0))
    }

    /// The same, to change.
    pub fn way_mut(&mut self, from: Port) -> Option<&mut Way> {
        self.ways.get_mut(usize::from(from.0))
    }
}

impl Machine for Wire {
    /// Each piece of a super-frame has a fate of its own, which the ways' counters tell; that of
    /// the whole is the last one's.
    fn handle_frame(&mut self, now: Instant, port: Port, frame: Frame) -> Fate {
        let [there, back] = &mut self.ways;
        let (way, other) = match port {
            Port(0) => (there, back),
            Port(1) => (back, there),
            _ => return Fate::Dropped(DropReason::InterfaceDown),
        };
        let mut sent = Sent::Queued;
        offload::cut(frame, false, |piece| {
            sent = way.send(now, piece, 0);
            if let Some(taken) = way.take_counted() {
                other.count_along(taken);
            }
        });
        match sent {
            Sent::Queued => Fate::Forwarded,
            Sent::Dropped(reason) => Fate::Dropped(reason),
        }
    }

    fn poll_transmit(&mut self, now: Instant, port: Port) -> Option<Frame> {
        let [there, back] = &mut self.ways;
        let way = match port {
            Port(0) => back,
            Port(1) => there,
            _ => return None,
        };
        way.poll_arrival(now).map(|arrival| arrival.frame)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let [there, back] = &self.ways;
        earliest(there.poll_timeout(), back.poll_timeout())
    }

    fn handle_timeout(&mut self, now: Instant) {
        for way in &mut self.ways {
            way.handle_timeout(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Checksum, Gso, GsoKind, Offload};
    use crate::link::impair::{Chance, Loss};
    use std::vec::Vec;

    /// UDP over IPv4, `data` bytes of it.
    fn udp(data: u16) -> Frame {
        let mut bytes = std::vec![0; 42 + usize::from(data)];
        bytes[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17]);
        bytes[16..18].copy_from_slice(&(28 + data).to_be_bytes());
        bytes[38..40].copy_from_slice(&(8 + data).to_be_bytes());
        Frame::copy_from(&bytes)
    }

    #[test]
    fn each_way_is_its_own() {
        let lossy = Config {
            loss: Loss::Independent(Chance::ALWAYS),
            ..Config::default()
        };
        let mut wire = Wire::new([Config::default(), lossy], &Rng::from_seed(1));
        let now = Instant::ZERO;
        assert_eq!(wire.handle_frame(now, Port(0), udp(9)), Fate::Forwarded);
        let lost = Fate::Dropped(DropReason::WireLoss);
        assert_eq!(wire.handle_frame(now, Port(1), udp(9)), lost);
        let nowhere = Fate::Dropped(DropReason::InterfaceDown);
        assert_eq!(wire.handle_frame(now, Port(2), udp(9)), nowhere);
        assert!(wire.poll_transmit(now, Port(0)).is_none());
        assert!(wire.poll_transmit(now, Port(2)).is_none());
        assert_eq!(wire.poll_transmit(now, Port(1)), Some(udp(9)));
        assert_eq!(wire.poll_timeout(), None);
    }

    #[test]
    fn a_super_frame_is_cut_before_it_is_counted() {
        let config = Config {
            loss: Loss::Scripted([1].into()),
            ..Config::default()
        };
        let mut wire = Wire::new([config.clone(), config], &Rng::from_seed(1));
        let mut whole = udp(2500);
        whole.offload = Offload {
            gso: Some(Gso {
                kind: GsoKind::Udp,
                size: 1000,
            }),
            checksum: Checksum::Partial {
                start: 34,
                offset: 6,
            },
        };
        let now = Instant::ZERO;
        assert_eq!(wire.handle_frame(now, Port(0), whole), Fate::Forwarded);
        let pieces: Vec<_> = core::iter::from_fn(|| wire.poll_transmit(now, Port(1))).collect();
        let lens: Vec<_> = pieces.iter().map(Frame::len).collect();
        assert_eq!(lens, [1042, 542], "the second of three is lost");
        let way = wire.way(Port(0)).unwrap();
        assert!(way.is_conserved() && way.stats().frames_in == 3);
    }
}
