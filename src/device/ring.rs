//! Buffers for receiving, reclaimed without asking the allocator.
//!
//! ```text
//!   arena  [ frame | frame | frame | 64 KiB to read into | room ]
//!            \_______ handed out as Bytes: shared, immutable
//! ```
//!
//! One arena is filled from front to back; each frame is split off it. When no room for a whole
//! frame is left, `reserve` takes the arena back from its start if every frame cut from it is gone,
//! and allocates a new one if a socket still holds some. A frame that is kept pins its arena: what
//! a table holds of received bytes can cost up to [`ARENA`] bytes an entry.

use bytes::{Bytes, BytesMut};
use std::io;
use std::mem::MaybeUninit;

/// Longest frame: an IP packet of 65,535 bytes, an Ethernet header and two VLAN tags, rounded up.
pub const FRAME_ROOM: usize = 65_536 + 64;
/// Bytes of an arena: small frames share it by the hundred, and it stays in the L2 cache.
pub const ARENA: usize = 2 * FRAME_ROOM;

/// A source of receive buffers.
#[derive(Debug, Default)]
pub struct Ring {
    arena: BytesMut,
}

impl Ring {
    /// Lets `read` fill a buffer of [`FRAME_ROOM`] bytes and cuts off as many as it says it wrote.
    ///
    /// # Errors
    /// What `read` gave.
    ///
    /// # Safety
    /// `read` must have initialised as many bytes, from the first on, as it returns.
    #[expect(unsafe_code, reason = "hands uninitialised memory to a system call")]
    pub unsafe fn fill(
        &mut self,
        read: impl FnOnce(&mut [MaybeUninit<u8>]) -> io::Result<usize>,
    ) -> io::Result<BytesMut> {
        debug_assert!(self.arena.is_empty());
        // Does nothing until the arena has less than that left.
        self.arena.reserve(if self.arena.capacity() < FRAME_ROOM {
            ARENA
        } else {
            FRAME_ROOM
        });
        let len = read(&mut self.arena.spare_capacity_mut()[..FRAME_ROOM])?.min(FRAME_ROOM);
        // SAFETY: `len` bytes of the spare capacity are initialised: the caller's promise.
        unsafe { self.arena.set_len(len) };
        Ok(self.arena.split())
    }

    /// A copy of `bytes` in the arena: for devices that read from memory.
    pub fn copy(&mut self, bytes: &[u8]) -> Bytes {
        self.arena.reserve(if self.arena.capacity() < bytes.len() {
            ARENA.max(bytes.len())
        } else {
            bytes.len()
        });
        self.arena.extend_from_slice(bytes);
        self.arena.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reclaims_what_was_let_go_and_spares_what_is_held() {
        let mut ring = Ring::default();
        let held = ring.copy(b"keep");
        let mut places = std::collections::BTreeSet::new();
        for i in 0..10_000u32 {
            let mut body = vec![0; 60_000];
            body[..4].copy_from_slice(&i.to_be_bytes());
            let frame = ring.copy(&body);
            assert_eq!(frame[..4], i.to_be_bytes());
            places.insert(frame.as_ptr().addr());
        }
        assert_eq!(&held[..], b"keep");
        // The first arena is pinned by `held`; the second is used over and over.
        assert!(places.len() <= 6, "{} places", places.len());
    }
}
