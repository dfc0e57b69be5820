//! Where the user's writes end: what a segment's PSH says, and what no segment may span.
//!
//! ```text
//!   written    |== 1 ==|= 2 =|=== 3, a record ===|= 4 =|
//!   pieces     |========= P == too long: P ======|= P =|       those that wait grow with the next
//!   segments   |-- . --|-- . --|-- P --|-- P ----|- P -|
//! ```
//!
//! Read first: RFC 9293 §3.9.1.2 (PUSH).
//!
//! Promises: a piece is no longer than half the peer's window, or 64 KiB; a record is never told in
//! one segment with what follows it; what is acknowledged is forgotten.

use alloc::collections::VecDeque;

/// What follows the bytes of one write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Boundary {
    /// Soon more: no push (`MSG_MORE`).
    More,
    /// Nothing that is known of: the receiver shall hand up what it has.
    #[default]
    Push,
    /// The end of a record: what follows goes in segments of its own (`MSG_EOR`).
    Record,
}

/// How long pieces may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// Bytes of one piece.
    pub(super) goal: u32,
    /// So many without a push are followed by one.
    pub(super) unpushed: u32,
}

/// Bytes written and sent alike, as far as that can be.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Number behind its last byte.
    end: u64,
    push: bool,
    record: bool,
}

/// The pieces of what is not acknowledged, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces {
    all: VecDeque<Piece>,
    /// Number behind the last byte that was pushed.
    pushed: u64,
    /// Of `all`, so many are records.
    records: usize,
    /// The last write said that more was to come.
    continues: bool,
}

impl Pieces {
    /// None yet, in a stream that has come to `start`.
    pub(super) fn new(start: u64) -> Self {
        Self {
            pushed: start,
            ..Self::default()
        }
    }

    /// Notes a write of the bytes from `from` to `end`; before `sent` all has been sent.
    //= RFC 9293 §3.9.1.2 MUST-61, SHLD-27: the last of a write is pushed, unless more of it waits.
    pub(super) fn on_written(
        &mut self,
        (from, end): (u64, u64),
        sent: u64,
        measure: Measure,
        boundary: Boundary,
    ) {
        if from == end {
            return;
        }
        let mut at = from;
        while at < end {
            let open = u64::from(self.open(sent, measure.goal));
            match self.all.back_mut() {
                Some(last) if open > 0 => {
                    at += open.min(end - at);
                    // Its push moves to the new end, unless another write begins there.
                    last.push &= self.continues;
                    last.end = at;
                }
                _ => {
                    at += u64::from(measure.goal.max(1)).min(end - at);
                    self.all.push_back(Piece {
                        end: at,
                        push: false,
                        record: false,
                    });
                }
            }
            self.continues = true;
            //= RFC 9293 §3.9.1.2: where writes are long, half of what the peer takes is pushed.
            let last = at == end && boundary != Boundary::More;
            if last || at - self.pushed.min(at) > u64::from(measure.unpushed) {
                self.pushed = at;
                if let Some(piece) = self.all.back_mut() {
                    piece.push = true;
                }
            }
        }
        self.continues = boundary == Boundary::More;
        if boundary == Boundary::Record
            && let Some(last) = self.all.back_mut()
            && !last.record
        {
            last.record = true;
            self.records += 1;
        }
    }

    /// How many bytes the last piece still takes.
    pub(super) fn open(&self, sent: u64, goal: u32) -> u32 {
        let Some(last) = self.all.back().filter(|p| p.end > sent && !p.record) else {
            return 0;
        };
        let before = self.all.len().checked_sub(2).and_then(|i| self.all.get(i));
        let start = before.map_or(sent, |p| p.end.max(sent));
        let held = u32::try_from(last.end - start).unwrap_or(u32::MAX);
        goal.saturating_sub(held)
    }

    /// A segment ends at `at` that is pushed, whatever the user has said.
    pub(super) fn push_at(&mut self, at: u64) {
        let i = self.all.partition_point(|p| p.end < at);
        match self.all.get_mut(i) {
            Some(piece) if piece.end == at => {
                piece.push = true;
                self.pushed = self.pushed.max(at);
            }
            Some(_) => self.all.insert(
                i,
                Piece {
                    end: at,
                    push: true,
                    record: false,
                },
            ),
            None => {}
        }
    }

    /// Whether a segment of the bytes from `from` to `to` is pushed.
    #[inline]
    pub(super) fn is_pushed(&self, from: u64, to: u64) -> bool {
        let first = self.all.partition_point(|p| p.end <= from);
        let within = self.all.range(first..).take_while(|p| p.end <= to);
        within.into_iter().any(|p| p.push)
    }

    /// Where the record ends that has the byte `at`.
    #[inline]
    pub(super) fn record_end(&self, at: u64) -> Option<u64> {
        if self.records == 0 {
            return None;
        }
        let first = self.all.partition_point(|p| p.end <= at);
        let mut rest = self.all.range(first..);
        rest.find(|p| p.record).map(|p| p.end)
    }

    /// Where the piece ends that has the byte `at`.
    pub(super) fn piece_end(&self, at: u64) -> Option<u64> {
        let i = self.all.partition_point(|p| p.end <= at);
        self.all.get(i).map(|p| p.end)
    }

    /// Pieces of which something has not been sent.
    pub(super) fn unsent(&self, sent: u64) -> usize {
        self.all.len() - self.all.partition_point(|p| p.end <= sent)
    }

    /// Forgets what ends at `to` or before.
    #[inline]
    pub(super) fn release(&mut self, to: u64) {
        while let Some(piece) = self.all.front().filter(|p| p.end <= to) {
            self.records -= usize::from(piece.record);
            self.all.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Measure = Measure {
        goal: 3000,
        unpushed: 4000,
    };

    #[test]
    fn writes_that_wait_share_a_push_and_long_ones_have_several() {
        let mut p = Pieces::new(0);
        p.on_written((0, 1000), 0, SMALL, Boundary::Push);
        p.on_written((1000, 1500), 0, SMALL, Boundary::Push);
        assert!(!p.is_pushed(0, 1000) && p.is_pushed(1000, 1500));
        // The first has been sent by now: it keeps its push.
        p.on_written((1500, 2000), 1500, SMALL, Boundary::More);
        assert!(p.is_pushed(0, 1500) && !p.is_pushed(1500, 2000));
        // 3,000 more fill the second piece, without a push; 6,000 have had none since.
        p.on_written((2000, 8000), 1500, SMALL, Boundary::More);
        assert!(!p.is_pushed(1500, 4500) && p.is_pushed(4500, 7500));
        assert_eq!((p.unsent(1500), p.open(1500, 3000)), (3, 2500));
        p.release(4500);
        assert_eq!(p.unsent(0), 2);
    }

    #[test]
    fn a_record_takes_nothing_more() {
        let mut p = Pieces::new(0);
        p.on_written((0, 400), 0, SMALL, Boundary::Push);
        p.on_written((400, 800), 0, SMALL, Boundary::Record);
        p.on_written((800, 1200), 0, SMALL, Boundary::Record);
        p.on_written((1200, 2000), 0, SMALL, Boundary::Push);
        assert_eq!(p.record_end(0), Some(800));
        assert_eq!(p.record_end(800), Some(1200));
        assert_eq!(p.record_end(1200), None);
        assert!(p.is_pushed(0, 800) && p.is_pushed(800, 1200) && !p.is_pushed(0, 799));
        p.release(1200);
        assert_eq!((p.records, p.unsent(0)), (0, 1));
        p.push_at(1600);
        assert!(p.is_pushed(1300, 1600) && p.is_pushed(1600, 2000));
    }
}
