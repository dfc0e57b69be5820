//! What a way counts, and what it tells about frames that it lost.

use crate::frame::Frame;
use crate::reason::DropReason;
use crate::time::Instant;
use alloc::collections::VecDeque;
use core::ops::{BitOr, BitOrAssign};

/// What befell a frame that arrives: a set.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Marks(u8);

impl Marks {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// It is the second of two.
    pub const DUPLICATE: Self = Self(1);
    /// Bits of it were flipped.
    pub const CORRUPTED: Self = Self(2);
    /// The queue marked it "congestion experienced".
    pub const CE: Self = Self(4);
    /// It was held back to come out of order.
    pub const REORDERED: Self = Self(8);
    /// A rule delayed it.
    pub const DELAYED: Self = Self(16);

    /// Whether all of `other` are in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing befell it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of what is in it, for a trace.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (Self::DUPLICATE, "duplicate"),
            (Self::CORRUPTED, "corrupted"),
            (Self::CE, "ce"),
            (Self::REORDERED, "reordered"),
            (Self::DELAYED, "delayed"),
        ];
        all.into_iter()
            .filter(move |(mark, _)| self.contains(*mark))
            .map(|(_, name)| name)
    }
}

impl BitOr for Marks {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Marks {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl core::fmt::Debug for Marks {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// A frame on its way, and what was decided about it when it was sent.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) frame: Frame,
    pub(super) tag: u64,
    pub(super) sent: Instant,
    pub(super) plan: Plan,
    /// The frame check will find that bits were flipped.
    pub(super) caught: bool,
}

impl Packet {
    #[inline]
    pub(super) const fn new(frame: Frame, tag: u64, sent: Instant, plan: Plan) -> Self {
        Self {
            frame,
            tag,
            sent,
            plan,
            caught: false,
        }
    }
}

/// What is to become of a frame.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plan {
    /// Names this packet of its flow: its further draws come from here.
    pub(super) seed: u64,
    /// Nanoseconds that it is held back.
    pub(super) held: u64,
    pub(super) marks: Marks,
    /// It arrives twice.
    pub(super) twice: bool,
    /// A rule flips a bit.
    pub(super) corrupt: bool,
}

impl Plan {
    /// Whether nothing befalls it.
    #[inline]
    pub(super) const fn is_plain(self) -> bool {
        self.marks.is_empty() && !self.twice && !self.corrupt
    }
}

/// A frame that was lost after [`Way::send`](super::Way::send) took it.
#[derive(Clone, Debug)]
pub struct Lost {
    /// The frame, as it was when it was lost.
    pub frame: Frame,
    /// The sender's name for it.
    pub tag: u64,
    /// Why.
    pub reason: DropReason,
}

/// What a way counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames sent into it, dropped ones too.
    pub frames_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Frames that arrived, duplicates too.
    pub delivered: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Copies made.
    pub duplicated: u64,
    /// Frames held back to come out of order.
    pub reordered: u64,
    /// Frames that a rule delayed.
    pub delayed: u64,
    /// Frames with flipped bits, whether or not a frame check caught them.
    pub corrupted: u64,
    /// Bits flipped.
    pub flipped_bits: u64,
    /// Frames marked "congestion experienced" by the queue.
    pub marked: u64,
    /// Most frames that ever waited at once.
    pub queue_peak: u64,
    /// Flows forgotten for want of room.
    pub flows_evicted: u64,
    /// Lost frames that nobody asked about in time.
    pub lost_untold: u64,
    dropped: [u64; REASONS.len()],
}

/// The reasons for which a way drops.
const REASONS: [DropReason; 8] = [
    DropReason::FrameTooLong,
    DropReason::WireDown,
    DropReason::WireLoss,
    DropReason::WireFault,
    DropReason::WireQueueFull,
    DropReason::WireCodel,
    DropReason::WireFrameCheck,
    DropReason::WireMemoryFull,
];

impl Stats {
    /// Frames dropped for that reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops().find(|d| d.0 == reason).map_or(0, |d| d.1)
    }

    /// Frames dropped, by reason; each reason for which a way drops, also where none were.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> {
        REASONS.into_iter().zip(self.dropped)
    }

    /// Frames dropped in all.
    #[must_use]
    pub fn dropped_in_all(&self) -> u64 {
        self.dropped.iter().sum()
    }
}

/// Lost frames that are kept to be asked about.
const UNTOLD: usize = 1 << 20;

/// Counts, and keeps what was lost while somebody watches.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) stats: Stats,
    pub(super) watched: bool,
    pub(super) lost: VecDeque<Lost>,
}

impl Ledger {
    /// Counts a frame that is refused.
    pub(super) fn count(&mut self, reason: DropReason) {
        let known = REASONS.iter().position(|r| *r == reason);
        debug_assert!(known.is_some(), "{reason} is in the table");
        if let Some(count) = known.and_then(|i| self.stats.dropped.get_mut(i)) {
            *count += 1;
        }
    }

    /// Counts a frame that was taken and is lost now.
    pub(super) fn lose(&mut self, packet: Packet, reason: DropReason) {
        self.count(reason);
        if !self.watched {
            return;
        }
        if self.lost.len() == UNTOLD {
            self.lost.pop_front();
            self.stats.lost_untold += 1;
        }
        self.lost.push_back(Lost {
            frame: packet.frame,
            tag: packet.tag,
            reason,
        });
    }
}
