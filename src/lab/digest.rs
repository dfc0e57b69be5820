//! One number for a whole run: equal where every byte on every wire was, at the same instant.

use siphasher::sip::SipHasher13;
use stack::frame::Frame;
use stack::machine::Fate;
use stack::time::Instant;
use std::hash::Hasher as _;

/// A short hash of a frame's bytes.
pub(super) fn of_frame(frame: &Frame) -> u64 {
    let mut hash = SipHasher13::new_with_keys(0, 0);
    for piece in frame.pieces() {
        hash.write(piece);
    }
    hash.finish()
}

/// A running hash of what is sent and of what becomes of it.
#[derive(Clone, Debug)]
pub(super) struct Digest(SipHasher13);

impl Default for Digest {
    fn default() -> Self {
        Self(SipHasher13::new_with_keys(0, 0))
    }
}

impl Digest {
    /// A frame is put on direction `lane`.
    pub(super) fn sending(&mut self, now: Instant, lane: usize, frame: &Frame) {
        self.mark(now, lane, frame.len() as u64);
        for piece in frame.pieces() {
            self.0.write(piece);
        }
    }

    /// A frame arrives by direction `lane`.
    pub(super) fn arrival(&mut self, now: Instant, lane: usize, fate: Fate) {
        let fate = match fate {
            Fate::Delivered(consumer) => 0x100 + consumer.index(),
            Fate::Forwarded => 0x200,
            Fate::Held => 0x300,
            Fate::Dropped(reason) => 0x1_0000 + reason.index(),
        };
        self.mark(now, lane, (fate as u64) << 32);
    }

    fn mark(&mut self, now: Instant, lane: usize, what: u64) {
        self.0.write_u64(now.as_nanos());
        self.0.write_u64(lane as u64);
        self.0.write_u64(what);
    }

    /// The hash so far.
    pub(super) fn value(&self) -> u64 {
        self.0.clone().finish()
    }
}
