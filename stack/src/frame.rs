//! What travels between a machine and a wire: a frame of up to 64 KiB, headers apart from payload.
//!
//! ```text
//!   Frame   head     inline, headers are pushed in front as the packet goes down
//!           payload  chunks by reference: from the user's write to the device, and back
//!           offload  what the device is asked to finish (out) or vouches for (in)
//!
//!           |<--- head --->|<-- payload[0] -->|<-- payload[1] -->| ...
//! ```
//!
//! A frame that was read from a device has an empty head and one chunk; one that a host made has
//! its headers in the head. Receivers do not care: [`Frame::pull_up`] makes the first bytes
//! contiguous (which they nearly always are) and [`Frame::advance`] eats them.

use crate::wire::checksum::Sum;
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::{Buf, Bytes, BytesMut};
use core::fmt;

/// A frame or packet, with what its device has done or shall do for it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Headers, contiguous and inline.
    pub head: Head,
    /// What follows the head, by reference.
    pub payload: Payload,
    /// Checksum and segmentation notes.
    pub offload: Offload,
}

/// What the device is asked to finish (going out) or vouches for (coming in): virtio-net's header
/// (Virtual I/O Device 1.2, §5.1.6), in our words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Offload {
    /// This is a super-frame to be cut into segments.
    pub gso: Option<Gso>,
    /// Who has checked, or will fill in, the transport checksum.
    pub checksum: Checksum,
}

/// How a super-frame is to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gso {
    /// Which headers each piece repeats.
    pub kind: GsoKind,
    /// Payload bytes of each piece but the last.
    pub size: u16,
}

/// The protocol of a super-frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GsoKind {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP (either family): pieces are datagrams of their own.
    Udp,
}

/// The state of the transport checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// Not looked at: a receiver verifies it.
    #[default]
    Unchecked,
    /// In: the device vouches for it.
    Verified,
    /// Out: complete, as on a wire.
    Complete,
    /// Holds the pseudo-header's sum only. Out: the device sums from `start` to the end and stores
    /// at `start + offset`. In: a sender on this machine left it so; it is as good as verified.
    Partial {
        /// Where summing starts, from the first byte of the frame.
        start: u16,
        /// Where the checksum field is, from `start`.
        offset: u16,
    },
}

impl Frame {
    /// A received frame: one chunk, no head.
    #[must_use]
    #[inline]
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self::from_payload(Payload::from(bytes))
    }

    /// A payload that waits for its headers.
    #[must_use]
    #[inline]
    pub fn from_payload(payload: Payload) -> Self {
        Self {
            head: Head::default(),
            payload,
            offload: Offload::default(),
        }
    }

    /// A copy of `bytes` as a frame; for tests and tools.
    #[must_use]
    pub fn copy_from(bytes: &[u8]) -> Self {
        Self::from_bytes(Bytes::copy_from_slice(bytes))
    }

    /// Takes the frame out and leaves none. Cheaper than `mem::take`, which would also write a
    /// fresh head.
    #[must_use]
    #[inline]
    pub fn take(&mut self) -> Self {
        let taken = Self {
            head: self.head,
            payload: core::mem::take(&mut self.payload),
            offload: self.offload,
        };
        self.head.clear();
        taken
    }

    /// Puts a payload that waits for its headers into this frame, which is empty.
    #[inline(always)]
    pub fn refill(&mut self, payload: Payload) {
        self.payload.refill(payload);
        self.head.clear();
        self.offload = Offload::default();
    }

    /// Moves all of `other` into this frame, which is empty, and leaves that one empty. Only those
    /// parts of a frame are moved that hold something.
    #[inline]
    pub fn fill(&mut self, other: &mut Self) {
        debug_assert!(self.payload.is_empty(), "it would be lost");
        core::mem::swap(&mut self.payload, &mut other.payload);
        self.offload = other.offload;
        if other.head.is_empty() {
            self.head.clear();
        } else {
            self.head = other.head;
            other.head.clear();
        }
    }

    /// Bytes in all.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.head.len() + self.payload.len()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first bytes, as many as lie in one piece.
    #[must_use]
    #[inline]
    pub fn front(&self) -> &[u8] {
        if self.head.is_empty() {
            self.payload.first()
        } else {
            self.head.as_slice()
        }
    }

    /// The first bytes, at least `n` of them in one piece where the frame has so many. Copies only
    /// where they straddle pieces.
    #[inline]
    pub fn pull_up(&mut self, n: usize) -> &[u8] {
        if self.front().len() < n {
            self.join(n);
        }
        self.front()
    }

    #[cold]
    fn join(&mut self, n: usize) {
        if self.front().len() < n.min(self.len()) {
            let all = self.to_bytes();
            self.head = Head::default();
            self.payload = Payload::from(all);
        }
    }

    /// Puts a header in front. Where the head has no room for it, what it holds moves to the
    /// payload first: a copy, for headers longer than any that are usual.
    #[inline]
    pub fn push_front<const N: usize>(&mut self, header: &[u8; N]) {
        if !self.head.push_array(header) {
            self.spill();
            let pushed = self.head.push_array(header);
            debug_assert!(pushed, "an empty head has room for any header");
        }
    }

    #[cold]
    fn spill(&mut self) {
        self.payload = self.take_payload();
    }

    /// Takes all bytes, the head's in front: those are copied, the others shared. It is empty then.
    #[inline]
    pub fn take_payload(&mut self) -> Payload {
        let rest = core::mem::take(&mut self.payload);
        if self.head.is_empty() {
            return rest;
        }
        let head = core::mem::take(&mut self.head);
        let mut payload = Payload::from(Bytes::copy_from_slice(head.as_slice()));
        payload.append(rest);
        payload
    }

    /// Drops the first `n` bytes (all, where there are fewer).
    #[inline(always)]
    pub fn advance(&mut self, n: usize) {
        let from_head = n.min(self.head.len());
        self.head.advance(from_head);
        if n > from_head {
            self.payload.advance(n - from_head);
        }
    }

    /// Keeps the first `len` bytes: cuts link padding and trailers.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        if len < self.head.len() {
            self.head.truncate(len);
        }
        self.payload.truncate(len.saturating_sub(self.head.len()));
    }

    /// All bytes in one piece; no copy where they already are.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        if self.head.is_empty() && self.payload.rest().is_empty() {
            return self.payload.first.clone();
        }
        let mut out = BytesMut::with_capacity(self.len());
        out.extend_from_slice(self.head.as_slice());
        for chunk in self.payload.chunks() {
            out.extend_from_slice(chunk);
        }
        out.freeze()
    }

    /// The pieces in order, for a gathering write.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        core::iter::once(self.head.as_slice()).chain(self.payload.chunks().map(|c| &c[..]))
    }

    /// Writes all bytes to the front of `room`, as many as fit; gives how many those are. For what
    /// cannot gather pieces.
    #[inline]
    pub fn copy_to(&self, room: &mut [u8]) -> usize {
        let (room, head) = fill(room, self.head.as_slice());
        let (mut room, first) = fill(room, &self.payload.first);
        let mut done = head + first;
        for chunk in self.payload.rest() {
            let copied;
            (room, copied) = fill(room, chunk);
            done += copied;
        }
        done
    }

    /// Adds all bytes to an Internet checksum.
    #[inline]
    pub fn sum_into(&self, sum: &mut Sum) {
        self.sum_from(0, sum);
    }

    /// Adds all bytes from offset `at` on to an Internet checksum.
    #[inline]
    pub fn sum_from(&self, at: usize, sum: &mut Sum) {
        let head = self.head.as_slice();
        let skip = at.saturating_sub(head.len());
        if at < head.len() {
            sum.add(head.get(at..).unwrap_or_default());
        }
        sum.add(self.payload.first.get(skip..).unwrap_or_default());
        if self.payload.rest.is_some() {
            self.payload.sum_rest(skip, sum);
        }
    }

    /// Fills in a checksum that was left to the device, for when there is no device to do it:
    /// a forwarded packet that will be fragmented, a quote, a capture.
    pub fn complete_checksum(&mut self) {
        let Checksum::Partial { start, offset } = self.offload.checksum else {
            return;
        };
        self.offload.checksum = Checksum::Complete;
        let (start, field) = (usize::from(start), usize::from(start) + usize::from(offset));
        let mut sum = Sum::new();
        self.sum_from(start, &mut sum);
        // A sum of zero is sent as all ones, which both UDP and TCP read as the same number.
        let value = match sum.finish() {
            0 => 0xffff_u16,
            sum => sum,
        };
        self.patch(field, value.to_be_bytes());
    }

    /// Overwrites two bytes, wherever they lie; beyond the end nothing happens. Copies only where
    /// they lie in shared bytes.
    fn patch(&mut self, at: usize, value: [u8; 2]) {
        if let Some(room) = self.head.as_mut_slice().get_mut(at..at + 2) {
            room.copy_from_slice(&value);
            return;
        }
        let mut flat = BytesMut::from(&self.to_bytes()[..]);
        if let Some(room) = flat.get_mut(at..at + 2) {
            room.copy_from_slice(&value);
            self.head = Head::default();
            self.payload = Payload::from(flat.freeze());
        }
    }
}

/// Copies what fits; gives the room that is left and how much was copied.
#[inline]
fn fill<'a>(room: &'a mut [u8], bytes: &[u8]) -> (&'a mut [u8], usize) {
    let n = bytes.len().min(room.len());
    let (here, rest) = room.split_at_mut(n);
    here.copy_from_slice(bytes.get(..n).unwrap_or_default());
    (rest, n)
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} B, {:02x?}…", self.len(), self.head.as_slice())?;
        write!(f, ", {:?})", self.offload)
    }
}

/// Room for the headers of one packet: Ethernet, a tag, IPv4 and TCP with all options take 98
/// bytes. It is moved with its frame, so it is no larger; see [`Frame::push_front`] for what is.
#[derive(Clone, Copy)]
pub struct Head {
    bytes: [u8; Self::CAPACITY],
    start: u8,
    end: u8,
}

impl Head {
    /// Bytes that fit.
    pub const CAPACITY: usize = 100;

    /// The bytes held.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes
            .get(usize::from(self.start)..usize::from(self.end))
            .unwrap_or_default()
    }

    /// The bytes held, to patch.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes
            .get_mut(usize::from(self.start)..usize::from(self.end))
            .unwrap_or_default()
    }

    /// Bytes held.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.end - self.start)
    }

    /// Whether no bytes are held.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Room left in front.
    #[must_use]
    #[inline]
    pub fn headroom(&self) -> usize {
        usize::from(self.start)
    }

    /// Makes room for `n` bytes in front and gives it to be filled; `None` where they do not fit.
    #[inline]
    pub fn push_front(&mut self, n: usize) -> Option<&mut [u8]> {
        let start = usize::from(self.start).checked_sub(n)?;
        let old = usize::from(self.start);
        self.start = u8::try_from(start).ok()?;
        self.bytes.get_mut(start..old)
    }

    /// Puts `bytes` in front; `false` where they do not fit.
    #[inline]
    fn push_array<const N: usize>(&mut self, bytes: &[u8; N]) -> bool {
        let front = self.bytes.get_mut(..usize::from(self.start));
        let Some(room) = front.and_then(|front| front.last_chunk_mut::<N>()) else {
            return false;
        };
        *room = *bytes;
        self.start = self.start.saturating_sub(u8::try_from(N).unwrap_or(0));
        true
    }

    /// Holds nothing, and has all its room in front.
    #[inline]
    pub const fn clear(&mut self) {
        self.start = HEAD_END;
        self.end = HEAD_END;
    }

    #[inline]
    fn advance(&mut self, n: usize) {
        let n = n.min(self.len());
        self.start += u8::try_from(n).unwrap_or(0);
    }

    fn truncate(&mut self, len: usize) {
        let len = len.min(self.len());
        self.end = self.start + u8::try_from(len).unwrap_or(0);
    }
}

#[allow(clippy::as_conversions, clippy::cast_possible_truncation)]
const HEAD_END: u8 = Head::CAPACITY as u8;

impl Default for Head {
    fn default() -> Self {
        Self {
            bytes: [0; Self::CAPACITY],
            start: HEAD_END,
            end: HEAD_END,
        }
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", self.as_slice())
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Head {}

/// Chunks of immutable, shared bytes in a row. Most packets have one; only a super-frame or a
/// reassembled datagram has more.
#[derive(Clone, Default)]
pub struct Payload {
    first: Bytes,
    /// The chunks after the first, boxed: a frame without them is smaller by two words, and quicker
    /// to move, measure and drop.
    rest: Option<Box<Rest>>,
}

#[derive(Clone, Default)]
struct Rest {
    chunks: Vec<Bytes>,
    /// Bytes in them: who counts them each time waits for them.
    len: usize,
}

impl Payload {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            first: Bytes::new(),
            rest: None,
        }
    }

    #[inline]
    fn rest(&self) -> &[Bytes] {
        self.rest.as_ref().map_or(&[], |rest| &rest.chunks)
    }

    /// Adds the chunks after the first to a checksum, but for what is left to skip of the payload.
    #[cold]
    fn sum_rest(&self, skip: usize, sum: &mut Sum) {
        let mut skip = skip.saturating_sub(self.first.len());
        for chunk in self.rest() {
            sum.add(chunk.get(skip..).unwrap_or_default());
            skip = skip.saturating_sub(chunk.len());
        }
    }

    /// The chunks after the first, to change; none left is noted by [`tidy`](Self::tidy).
    fn rest_mut(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    fn tidy(&mut self) {
        if self.rest().is_empty() {
            self.rest = None;
        }
    }

    /// Puts bytes where there are none. Spares what an assignment would do to drop those.
    #[inline(always)]
    fn refill(&mut self, payload: Self) {
        let empty = core::mem::replace(self, payload);
        debug_assert!(empty.is_empty(), "they would never be freed");
        core::mem::forget(empty);
    }

    /// Bytes in all.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        let first = self.first.len();
        match &self.rest {
            None => first,
            Some(rest) => first + rest.len,
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_empty() && self.rest().iter().all(Bytes::is_empty)
    }

    /// The first chunk.
    #[must_use]
    #[inline]
    pub fn first(&self) -> &[u8] {
        &self.first
    }

    /// The chunks in order; none of them empty but a lone first.
    pub fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        core::iter::once(&self.first).chain(self.rest())
    }

    /// Appends a chunk; an empty one is dropped.
    #[inline(always)]
    pub fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
        } else if self.first.is_empty() {
            self.first = chunk;
        } else {
            let rest = self.rest_mut();
            rest.len += chunk.len();
            rest.chunks.push(chunk);
        }
    }

    /// Makes room for so many chunks more.
    pub fn reserve(&mut self, chunks: usize) {
        self.rest_mut().chunks.reserve(chunks);
    }

    /// Hands over each chunk.
    #[inline]
    pub fn into_chunks(self, mut each: impl FnMut(Bytes)) {
        each(self.first);
        if let Some(rest) = self.rest {
            rest.chunks.into_iter().for_each(each);
        }
    }

    /// Appends all chunks of another payload.
    #[inline]
    pub fn append(&mut self, other: Self) {
        self.push(other.first);
        if let Some(rest) = other.rest {
            for chunk in rest.chunks {
                self.push(chunk);
            }
        }
    }

    /// Drops the first `n` bytes.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        if n < self.first.len() {
            self.first.advance(n);
        } else {
            self.drop_chunks(n);
        }
    }

    #[cold]
    fn drop_chunks(&mut self, mut n: usize) {
        while n > 0 {
            let here = n.min(self.first.len());
            self.first.advance(here);
            n -= here;
            if self.first.is_empty() {
                if self.rest().is_empty() {
                    return;
                }
                let rest = self.rest_mut();
                let next = rest.chunks.remove(0);
                rest.len -= next.len();
                self.first = next;
                self.tidy();
            }
        }
    }

    /// Keeps the first `len` bytes.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        if len <= self.first.len() {
            self.first.truncate(len);
            self.rest = None;
        } else if self.rest.is_some() {
            self.truncate_rest(len - self.first.len());
        }
    }

    fn truncate_rest(&mut self, mut left: usize) {
        let rest = self.rest_mut();
        rest.len = rest.len.min(left);
        rest.chunks.retain_mut(|chunk| {
            chunk.truncate(left);
            left -= chunk.len();
            !chunk.is_empty()
        });
        self.tidy();
    }

    /// Takes the first `n` bytes out, sharing the chunks; fewer where there are not so many.
    #[inline]
    pub fn split_to(&mut self, n: usize) -> Self {
        if n < self.first.len() {
            return Self::from(self.first.split_to(n));
        }
        if self.rest.is_none() {
            return core::mem::take(self);
        }
        self.split_chunks(n)
    }

    #[inline(never)]
    fn split_chunks(&mut self, n: usize) -> Self {
        let front = self.slice(0, n);
        self.drop_chunks(n);
        front
    }

    /// `len` bytes from `start`, sharing the chunks; shorter where there are fewer.
    #[must_use]
    pub fn slice(&self, start: usize, len: usize) -> Self {
        let (mut skip, mut left) = (start, len);
        let mut out = Self::new();
        for chunk in self.chunks() {
            if left == 0 {
                break;
            }
            let from = skip.min(chunk.len());
            let to = (from + left).min(chunk.len());
            skip -= from;
            left -= to - from;
            out.push(chunk.slice(from..to));
        }
        out
    }

    /// All bytes in one piece; no copy where they already are.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        if self.rest().is_empty() {
            return self.first.clone();
        }
        let mut out = BytesMut::with_capacity(self.len());
        for chunk in self.chunks() {
            out.extend_from_slice(chunk);
        }
        out.freeze()
    }

    /// Adds all bytes to an Internet checksum.
    #[inline]
    pub fn sum_into(&self, sum: &mut Sum) {
        sum.add(&self.first);
        if self.rest.is_some() {
            self.sum_rest(self.first.len(), sum);
        }
    }
}

impl From<Bytes> for Payload {
    fn from(first: Bytes) -> Self {
        Self { first, rest: None }
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .chunks()
                .flat_map(|c| c.iter())
                .eq(other.chunks().flat_map(|c| c.iter()))
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} B in {})", self.len(), 1 + self.rest().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunked(pieces: &[&[u8]]) -> Payload {
        let mut p = Payload::new();
        for piece in pieces {
            p.push(Bytes::copy_from_slice(piece));
        }
        p
    }

    #[test]
    fn slices_agree_with_one_flat_buffer() {
        let p = chunked(&[b"abc", b"d", b"efgh"]);
        let flat = b"abcdefgh";
        for start in 0..=9 {
            for len in 0..=9 {
                let want = &flat[start.min(8)..(start + len).min(8)];
                assert_eq!(&p.slice(start, len).to_bytes()[..], want, "{start}+{len}");
                let mut q = p.clone();
                q.advance(start);
                q.truncate(len);
                assert_eq!(&q.to_bytes()[..], want, "advance {start}, truncate {len}");
                let mut r = p.clone();
                assert_eq!(&r.split_to(start).to_bytes()[..], &flat[..start.min(8)]);
                assert_eq!(&r.to_bytes()[..], &flat[start.min(8)..], "split at {start}");
            }
        }
    }

    #[test]
    fn head_and_payload_read_as_one() {
        let mut f = Frame {
            payload: chunked(&[b"cd", b"ef"]),
            ..Frame::default()
        };
        f.head.push_front(2).unwrap().copy_from_slice(b"ab");
        assert_eq!(f.front(), b"ab");
        assert_eq!(f.clone().pull_up(3), b"abcdef");
        assert_eq!(f.clone().pull_up(2), b"ab");
        f.truncate(5);
        f.advance(1);
        assert_eq!(&f.to_bytes()[..], b"bcde");
        let mut room = [0; 6];
        assert_eq!((f.copy_to(&mut room), &room), (4, b"bcde\0\0"));
        assert_eq!((f.copy_to(&mut room[..2]), &room[..2]), (2, &b"bc"[..]));
        f.advance(2);
        assert_eq!(f.front(), b"d");
        f.advance(9);
        assert!(f.is_empty());
    }

    #[test]
    fn head_refuses_what_does_not_fit() {
        let mut h = Head::default();
        assert!(h.push_front(Head::CAPACITY).is_some());
        assert!(h.push_front(1).is_none());
        assert_eq!(h.len(), Head::CAPACITY);
    }

    #[test]
    fn sums_odd_chunks_as_one_buffer() {
        let p = chunked(&[b"\x01", b"\x02\x03\x04", b"\x05\x06"]);
        let mut split = Sum::new();
        p.sum_into(&mut split);
        let mut whole = Sum::new();
        whole.add(b"\x01\x02\x03\x04\x05\x06");
        assert_eq!(split.finish(), whole.finish());
    }
}
