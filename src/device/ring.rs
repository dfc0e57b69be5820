//! Buffers for receiving, reclaimed without asking the allocator.
//!
//! ```text
//!   arena  [ frame | frame | frame | 64 KiB to read into | room ]
//!            \_______ handed out as Bytes: shared, immutable
//! ```
//!
//! An arena is filled from front to back; each frame is split off it. When no room for a whole
//! frame is left, `reserve` takes the arena back from its start if every frame cut from it is gone,
//! and allocates a new one if a socket still holds some.
//!
//! A frame that is kept pins its whole arena, so that a peer who gets one fragment or datagram
//! kept in each could make a table cost far more than it counts. Small frames, which is what comes
//! cheap to a peer, are therefore copied into a small arena of their own: one that is kept pins at
//! most [`SMALL_ARENA`] bytes, and the big room that the kernel writes to stays in the cache. There
//! are two of those, used in turn: one rests while the frames of the last batch are on their way.

use bytes::{Bytes, BytesMut};
use std::io;
use std::mem::MaybeUninit;

/// Longest frame: an IP packet of 65,535 bytes, an Ethernet header and two VLAN tags, rounded up.
pub const FRAME_ROOM: usize = 65_536 + 64;
/// Bytes of the arena of frames that are not small.
pub const ARENA: usize = 2 * FRAME_ROOM;
/// A frame up to this long is small: what Ethernet carries, tags included.
pub const SMALL: usize = 1536;
/// Bytes of the arena that small frames share.
pub const SMALL_ARENA: usize = 8192;

/// A source of receive buffers.
#[derive(Debug, Default)]
pub struct Ring {
    arena: BytesMut,
    small: BytesMut,
    resting: BytesMut,
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
        if len > SMALL {
            return Ok(self.arena.split());
        }
        if self.small.capacity() < len {
            std::mem::swap(&mut self.small, &mut self.resting);
        }
        let small = Self::cut(&mut self.small, SMALL_ARENA, &self.arena);
        self.arena.clear();
        Ok(small)
    }

    /// A copy of `bytes` in an arena of at least `size` bytes.
    fn cut(arena: &mut BytesMut, size: usize, bytes: &[u8]) -> BytesMut {
        if arena.capacity() < bytes.len() {
            arena.reserve(size.max(bytes.len()));
        }
        arena.extend_from_slice(bytes);
        arena.split()
    }

    /// A copy of `bytes` in the arena: for devices that read from memory.
    pub fn copy(&mut self, bytes: &[u8]) -> Bytes {
        let copy = if bytes.len() > SMALL {
            Self::cut(&mut self.arena, ARENA, bytes)
        } else {
            Self::cut(&mut self.small, SMALL_ARENA, bytes)
        };
        copy.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(unsafe_code, reason = "plays the system call")]
    fn fill(ring: &mut Ring, byte: u8, len: usize) -> Bytes {
        // SAFETY: as many bytes are initialised as are said to be.
        let got = unsafe {
            ring.fill(|room| {
                room[..len].fill(MaybeUninit::new(byte));
                Ok(len)
            })
        };
        got.unwrap().freeze()
    }

    #[test]
    fn reclaims_what_was_let_go_and_spares_what_is_held() {
        for len in [60, SMALL, SMALL + 1, FRAME_ROOM] {
            let mut ring = Ring::default();
            let held = fill(&mut ring, b'k', len);
            let mut arenas = std::collections::BTreeSet::new();
            for i in 0..1000u32 {
                let byte = i.to_be_bytes()[3];
                let frame = fill(&mut ring, byte, len);
                assert!(
                    frame.len() == len && frame.iter().all(|b| *b == byte),
                    "{len}"
                );
                arenas.insert(frame.as_ptr().addr());
            }
            assert!(held.iter().all(|b| *b == b'k'), "{len}");
            // One arena is pinned by `held`; the two that take turns are used over and over.
            assert!(
                arenas.len() <= 3 * SMALL_ARENA / 60,
                "{len}: {}",
                arenas.len()
            );
        }
    }

    #[test]
    fn a_small_frame_that_is_kept_pins_no_big_arena() {
        let mut ring = Ring::default();
        let mut kept = Vec::new();
        let mut big = std::collections::BTreeSet::new();
        for _ in 0..100 {
            kept.push(fill(&mut ring, 1, 60));
            // A pinned arena could not be used again, and its addresses would not come back.
            big.insert(fill(&mut ring, 2, FRAME_ROOM).as_ptr().addr());
        }
        assert!(big.len() <= 2, "{} places", big.len());
        assert!(kept.iter().all(|f| f[..] == [1; 60]));
    }
}
