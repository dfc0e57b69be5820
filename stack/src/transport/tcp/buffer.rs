//! What waits between the user and the net: bytes handed over and not acknowledged, and bytes
//! received in order and not read.
//!
//! ```text
//!   SendBuffer   start                 sent up to here             end
//!                |== chunk ==|== chunk ==|=== chunk ===|-- tail --|     slices share the chunks
//!   RecvBuffer   |== chunk ==|-- small ones, copied together --|== chunk ==|
//! ```
//!
//! Promises: bytes handed over in one piece are never copied; small ones are copied together, so
//! that memory is used for bytes and not for the places they lie in; an empty buffer gives its
//! memory back when it is told that it is idle.

use super::pieces::{Boundary, Measure, Pieces};
use crate::frame::Payload;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use bytes::{Buf as _, Bytes, BytesMut};

/// The largest place that small writes are gathered in.
const TAIL: usize = 64 << 10;

/// Pieces received that are no longer than this are copied together.
const SMALL: usize = 512;

/// The place for small pieces received.
const GATHER: usize = 4096;

/// What the user has handed over and the peer has not acknowledged. Bytes are counted from the
/// first of the stream.
#[derive(Clone, Debug, Default)]
pub(super) struct SendBuffer {
    queue: Option<Box<SendQueue>>,
    start: u64,
    end: u64,
}

#[derive(Clone, Debug)]
struct SendQueue {
    /// With the number of each one's first byte.
    chunks: VecDeque<(u64, Bytes)>,
    /// The last bytes, not in a chunk yet.
    tail: BytesMut,
    /// How many more go into the tail's place, whatever place a copy has.
    room: usize,
    pieces: Pieces,
}

impl SendBuffer {
    /// Bytes held.
    #[inline]
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.end - self.start).unwrap_or(u32::MAX)
    }

    /// Number of the first byte held.
    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    /// Appends a copy.
    pub(super) fn write(&mut self, data: &[u8]) {
        let in_use = usize::try_from(self.end - self.start).unwrap_or(TAIL);
        let start = self.start;
        let queue = self.queue();
        let mut rest = data;
        while !rest.is_empty() {
            if queue.room == 0 {
                queue.flush(start);
                // Twice what was in use last, so that a little costs little.
                queue.room = rest.len().max(in_use * 2).clamp(1024, TAIL);
                queue.tail = BytesMut::with_capacity(queue.room);
                continue;
            }
            let (here, after) = rest.split_at(queue.room.min(rest.len()));
            queue.tail.extend_from_slice(here);
            queue.room -= here.len();
            rest = after;
        }
        self.end += data.len() as u64;
    }

    /// Appends without a copy.
    pub(super) fn push(&mut self, data: Bytes) {
        if data.len() <= SMALL {
            return self.write(&data);
        }
        let len = data.len() as u64;
        let (start, at) = (self.start, self.end);
        let queue = self.queue();
        queue.flush(start);
        queue.chunks.push_back((at, data));
        self.end = at + len;
    }

    fn queue(&mut self) -> &mut SendQueue {
        let start = self.start;
        self.queue.get_or_insert_with(|| {
            Box::new(SendQueue {
                chunks: VecDeque::new(),
                tail: BytesMut::new(),
                room: 0,
                pieces: Pieces::new(start),
            })
        })
    }

    /// Notes that the last `len` bytes came in one write; before number `sent` all has been sent.
    pub(super) fn mark(&mut self, len: usize, sent: u64, measure: Measure, boundary: Boundary) {
        let end = self.end;
        if let Some(queue) = &mut self.queue {
            let from = end - len as u64;
            let pieces = &mut queue.pieces;
            pieces.on_written((from, end), sent, measure, boundary);
        }
    }

    /// The pieces that it came in.
    #[inline]
    pub(super) fn pieces(&self) -> Option<&Pieces> {
        self.queue.as_deref().map(|q| &q.pieces)
    }

    /// A segment ends at `at` that is pushed, whatever the user has said.
    pub(super) fn push_at(&mut self, at: u64) {
        if let Some(queue) = &mut self.queue {
            queue.pieces.push_at(at);
        }
    }

    /// `len` bytes from number `at`, shared; fewer where there are fewer.
    #[inline]
    pub(super) fn slice(&mut self, at: u64, len: usize) -> Payload {
        let mut out = Payload::new();
        let Some(queue) = &mut self.queue else {
            return out;
        };
        if at + len as u64 > queue.end(self.start) {
            queue.flush(self.start);
        }
        let first = queue.chunks.partition_point(|(start, _)| *start <= at);
        let (mut at, mut left) = (at, len);
        for (start, chunk) in queue.chunks.range(first.saturating_sub(1)..) {
            if left == 0 {
                break;
            }
            let skip = usize::try_from(at.saturating_sub(*start)).unwrap_or(usize::MAX);
            let from = skip.min(chunk.len());
            let to = from.saturating_add(left).min(chunk.len());
            if from < to {
                out.push(chunk.slice(from..to));
                left -= to - from;
                at += (to - from) as u64;
            }
        }
        out
    }

    /// Lets go of all before number `to`.
    pub(super) fn release(&mut self, to: u64) {
        let to = to.clamp(self.start, self.end);
        let Some(queue) = &mut self.queue else {
            return;
        };
        if queue.end(self.start) < to {
            // What is acknowledged was sent, and so lies in chunks.
            queue.flush(self.start);
        }
        self.start = to;
        queue.pieces.release(to);
        while let Some((at, bytes)) = queue.chunks.front()
            && at + bytes.len() as u64 <= self.start
        {
            queue.chunks.pop_front();
        }
    }

    /// Gives back the memory of an empty buffer.
    pub(super) fn shrink(&mut self) {
        if self.start == self.end {
            self.queue = None;
        }
    }

    /// Lets go of all. What was acknowledged stays counted, and the rest is not.
    pub(super) fn clear(&mut self) {
        self.end = self.start;
        self.queue = None;
    }
}

impl SendQueue {
    /// Makes a chunk of the tail, in a buffer that starts at number `start`.
    fn flush(&mut self, start: u64) {
        if !self.tail.is_empty() {
            let at = self.end(start);
            let bytes = self.tail.split().freeze();
            self.chunks.push_back((at, bytes));
        }
    }

    /// Number behind the last byte that lies in a chunk.
    #[inline]
    fn end(&self, start: u64) -> u64 {
        let last = self.chunks.back();
        last.map_or(start, |(at, bytes)| at + bytes.len() as u64)
    }
}

/// What has been received in order and not read.
#[derive(Clone, Debug, Default)]
pub(super) struct RecvBuffer {
    queue: Option<Box<RecvQueue>>,
    len: usize,
}

#[derive(Clone, Debug, Default)]
struct RecvQueue {
    chunks: VecDeque<Bytes>,
    /// The last bytes, copied together.
    tail: BytesMut,
    /// How many more go into the tail's place. A copy of the queue has a smaller place, and must not
    /// go by that: it is to do as the original.
    room: usize,
}

impl RecvBuffer {
    /// Bytes held.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Appends what came next.
    #[inline]
    pub(super) fn push(&mut self, payload: Payload) {
        let queue = self.queue.get_or_insert_default();
        payload.into_chunks(|bytes| {
            self.len += bytes.len();
            queue.push(bytes);
        });
    }

    /// Appends one piece.
    #[inline]
    pub(super) fn push_bytes(&mut self, bytes: Bytes) {
        self.len += bytes.len();
        self.queue.get_or_insert_default().push(bytes);
    }

    /// Takes up to `max` bytes in one piece.
    #[inline]
    pub(super) fn pop(&mut self, max: usize) -> Bytes {
        let Some(queue) = &mut self.queue else {
            return Bytes::new();
        };
        let out = queue.pop(max);
        self.len -= out.len();
        out
    }

    /// Takes up to `max` bytes, piece by piece; how many.
    pub(super) fn drain(&mut self, max: usize, mut each: impl FnMut(Bytes)) -> usize {
        let Some(queue) = &mut self.queue else {
            return 0;
        };
        let mut left = max.min(self.len);
        self.len -= left;
        let done = left;
        while left > 0 {
            let piece = queue.pop(left);
            left -= piece.len();
            each(piece);
        }
        done
    }

    /// Copies up to `room` full out.
    pub(super) fn read(&mut self, room: &mut [u8]) -> usize {
        // All is copied before any of it is let go: giving a reference back is atomic, and so waits
        // for whatever has been written by then.
        let done = self.peek(room);
        if let Some(queue) = &mut self.queue {
            queue.skip(done);
            self.len -= done;
        }
        done
    }

    /// Copies without taking.
    pub(super) fn peek(&self, room: &mut [u8]) -> usize {
        let mut done = 0;
        let Some(queue) = &self.queue else {
            return done;
        };
        let pieces = queue.chunks.iter().map(|b| &b[..]);
        for piece in pieces.chain(core::iter::once(&queue.tail[..])) {
            let rest = room.get_mut(done..).unwrap_or_default();
            let n = piece.len().min(rest.len());
            if let (Some(place), Some(piece)) = (rest.get_mut(..n), piece.get(..n)) {
                place.copy_from_slice(piece);
            }
            done += n;
        }
        done
    }

    /// Gives back the memory of an empty buffer.
    pub(super) fn shrink(&mut self) {
        if self.len == 0 {
            self.queue = None;
        }
    }
}

impl RecvQueue {
    #[inline(always)]
    fn push(&mut self, bytes: Bytes) {
        if bytes.len() > SMALL {
            self.flush();
            self.chunks.push_back(bytes);
        } else if !bytes.is_empty() {
            self.gather(&bytes);
        }
    }

    fn gather(&mut self, bytes: &[u8]) {
        if self.room < bytes.len() {
            self.flush();
            self.room = GATHER.max(bytes.len());
            self.tail = BytesMut::with_capacity(self.room);
        }
        self.tail.extend_from_slice(bytes);
        self.room -= bytes.len();
    }

    #[inline]
    fn flush(&mut self) {
        if !self.tail.is_empty() {
            self.flush_tail();
        }
    }

    #[cold]
    fn flush_tail(&mut self) {
        self.chunks.push_back(self.tail.split().freeze());
    }

    /// Lets go of the first `n` bytes.
    fn skip(&mut self, mut n: usize) {
        while let Some(front) = self.chunks.front_mut() {
            if front.len() > n {
                return front.advance(n);
            }
            n -= front.len();
            self.chunks.pop_front();
        }
        self.tail.advance(n.min(self.tail.len()));
    }

    #[inline]
    fn pop(&mut self, max: usize) -> Bytes {
        if self.chunks.is_empty() {
            self.flush();
        }
        match self.chunks.front_mut() {
            None => Bytes::new(),
            Some(front) if front.len() > max => front.split_to(max),
            Some(_) => self.chunks.pop_front().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::vec;
    use std::vec::Vec;

    fn byte(i: u64) -> u8 {
        u8::try_from(i * 7 % 251).unwrap()
    }

    #[test]
    fn a_send_buffer_gives_what_was_written() {
        let mut rng = Rng::from_seed(3);
        let mut buffer = SendBuffer::default();
        let mut acked = 0;
        for _ in 0..4000 {
            let n =
                rng.below(3000) as usize * usize::from(rng.below(9) == 0) + rng.below(9) as usize;
            let data: Vec<u8> = (0..n as u64).map(|i| byte(buffer.end + i)).collect();
            if rng.below(2) == 0 {
                buffer.write(&data);
            } else {
                buffer.push(Bytes::from(data));
            }
            let held = u64::from(buffer.len());
            let at = acked + rng.below(held + 1);
            let len = rng.below(2000);
            let got = buffer.slice(at, len as usize).to_bytes();
            let want: Vec<u8> = (at..(at + len).min(buffer.end)).map(byte).collect();
            assert_eq!(&got[..], &want[..]);
            if rng.below(3) == 0 {
                acked = at + got.len() as u64;
                buffer.release(acked);
            }
        }
        buffer.release(u64::MAX);
        buffer.shrink();
        assert!(buffer.len() == 0 && buffer.queue.is_none());
    }

    /// A world that was forked goes on as the unbroken one.
    #[test]
    fn a_copy_cuts_where_the_original_does() {
        let (mut recv, mut send) = (RecvBuffer::default(), SendBuffer::default());
        recv.push_bytes(vec![1; 300].into());
        send.write(&[1; 300]);
        let (mut recv2, mut send2) = (recv.clone(), send.clone());
        for (recv, send) in [(&mut recv, &mut send), (&mut recv2, &mut send2)] {
            for _ in 0..20 {
                recv.push_bytes(vec![2; 300].into());
                send.write(&[2; 300]);
            }
        }
        let read = |mut buffer: RecvBuffer| -> Vec<usize> {
            let pieces = core::iter::from_fn(|| Some(buffer.pop(9999).len()).filter(|n| *n > 0));
            pieces.collect()
        };
        assert_eq!(read(recv), read(recv2));
        let sent = |buffer: &mut SendBuffer| buffer.slice(0, 9999).chunks().count();
        assert_eq!(sent(&mut send), sent(&mut send2));
    }

    #[test]
    fn a_recv_buffer_gives_what_came() {
        let mut rng = Rng::from_seed(4);
        let mut buffer = RecvBuffer::default();
        let (mut written, mut read) = (0, 0);
        for _ in 0..5000 {
            let most = [20, 1500][rng.below(2) as usize];
            let n = rng.below(most);
            buffer.push_bytes((written..written + n).map(byte).collect::<Vec<_>>().into());
            written += n;
            let max = rng.below(3000);
            let mut room = vec![0; max as usize];
            let seen = buffer.peek(&mut room);
            assert_eq!(seen as u64, max.min(written - read));
            assert!(
                room[..seen]
                    .iter()
                    .copied()
                    .eq((read..).take(seen).map(byte))
            );
            let n = match rng.below(3) {
                0 => buffer.read(&mut room),
                1 => {
                    let bytes = buffer.pop(max as usize);
                    room[..bytes.len()].copy_from_slice(&bytes);
                    bytes.len()
                }
                _ => {
                    let mut pieces = Vec::new();
                    let n = buffer.drain(max as usize, |piece| pieces.extend_from_slice(&piece));
                    assert_eq!((n, pieces.len()), (seen, seen), "all that fits");
                    room[..n].copy_from_slice(&pieces);
                    n
                }
            };
            assert!(room[..n].iter().copied().eq((read..).take(n).map(byte)));
            read += n as u64;
            assert_eq!(buffer.len() as u64, written - read);
        }
    }
}
