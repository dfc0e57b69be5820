//! Accurate ECN: how many marks came is counted, and told with each segment.
//!
//! ```text
//!   marks on what comes  --> r.cep ------ & 7 --> ACE: the flags AE, CWR, ECE --> peer
//!     of its bytes       --> r.e1b r.ceb r.e0b -> the option, where it passes --> peer
//!
//!   peer --> ACE ------> how far did it count, did it wrap? --> s.cep --> congestion control
//!   peer --> the option -> bytes marked so far -------^
//!
//!   ACE while the handshake lasts says what the IP header of the other's SYN had (`reflection`):
//!     not ECT 010   ECT(1) 011   ECT(0) 100   CE 110
//! ```
//!
//! Read first: RFC 9768 §3 and appendix A.2 (read as draft-ietf-tcpm-accurate-ecn-34, which became
//! that RFC); RFC 3168 §18 (changes that no honest network makes).
//!
//! Promises: once entered, the mode stays; what a peer claims is taken modulo its width, so that no
//! claim can do more than mark all that it acknowledges; the state of it exists only where it was
//! negotiated; a super-segment says one ACE, and so leaves in one piece only where no device would
//! take the CWR bit out of it.
//!
//! Left out: ECN-capable SYNs (ECN++), more than one counter scheme (order 0 is read, not written),
//! a memory of paths on which negotiation failed (§3.1.4.1), watching for marks that never end
//! (§3.2.2.3).

mod connection;

use super::segment::{EcnBytes, Segment};
use super::status::AccurateStatus;
use crate::time::Instant;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{EcnCounters, Flags, MAX_OPTIONS_LEN};

/// The two bits of the IP header (RFC 3168 §5).
pub(super) const NOT_ECT: u8 = 0;
pub(super) const ECT1: u8 = 1;
pub(super) const ECT0: u8 = 2;
pub(super) const CE: u8 = 3;

/// AE, CWR and ECE as one field.
const ACE: Flags = Flags::from_bits(0x1c0);
const ACE_SHIFT: u16 = 6;
/// The counter's bits that the field has room for.
const ACE_MASK: u32 = 7;

//= RFC 9768 §3.2.1 r.cep begins with 5, r.e0b and r.e1b with 1, r.ceb with 0.
/// What r.cep and s.cep are more than the marks that were counted.
const CEP_INIT: u32 = 5;
/// The same of the byte counters, in the option's order: e1b, ceb, e0b.
const BYTES_INIT: [u32; FIELDS] = [1, 0, 1];
const FIELDS: usize = EcnCounters::MAX;
/// Where the bytes with CE stand.
const CEB: usize = 1;

/// A byte counter has gone through a quarter of what the option can tell apart (§3.2.3.3).
const OVERFLOW_SHIFT: u32 = 22;
/// Nothing is learned from options that begin after so many bytes: the counters may have wrapped.
const TOO_LATE: u64 = (1 << 23) - 1;
/// Acknowledgments that cover more segments than this on average are thinned out, so that a jump
/// is no sign of loss.
const THINNED: u32 = 4;
/// The average of segments acknowledged at once: fraction bits, and its weight as a shift.
const AVERAGE_BITS: u32 = 6;

/// How marks are told, once the handshake is over; during it, what was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Feedback {
    /// Not at all.
    #[default]
    None,
    /// By ECN-Echo (RFC 3168).
    Classic,
    /// By counting (RFC 9768).
    Accurate,
}

/// Which options the peer has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    #[default]
    None,
    Empty,
    Counters,
    /// With counters that somebody has set to zero.
    Zeroed,
}

/// What is known not to work, in Linux's bits (`tcpi_accecn_fail_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fails(u8);

impl Fails {
    /// The peer may not be counting: it was told in two ways that we do, or do not.
    const ASKED_TWICE: u8 = 1;
    /// What comes back is not what was sent.
    const MANGLED: u8 = 2;
    /// Our options do not arrive.
    const OPTION_OUT: u8 = 4;
    /// The peer's options are not to be believed.
    const OPTION_IN: u8 = 8;
    /// The peer's counter is not to be believed.
    const ZEROED: u8 = 16;

    const fn has(self, any: u8) -> bool {
        self.0 & any != 0
    }
}

/// The counters of both directions.
#[derive(Clone, Debug)]
pub(super) struct Accurate {
    /// r.cep, above where it began.
    received_ce: u32,
    /// r.e1b, r.ceb, r.e0b, above where they began.
    received: [u32; FIELDS],
    /// Marks that no segment of ours has told yet.
    pending: u8,
    /// The IP header's bits on what came last.
    last: u8,
    /// Fields that the next option must have, lest a change be missed.
    changed: u8,
    /// So many options are due.
    demand: u8,
    /// When an option left last.
    told_at: Instant,
    /// What the next bare acknowledgment reflects, instead of the counter.
    reflect: Option<u8>,
    /// What the peer's SYN had.
    syn: u8,
    /// A duplicate that was reported beside an option.
    doubted: Option<SeqNum>,

    /// s.cep, above where it began.
    delivered_ce: u32,
    /// s.e1b, s.ceb, s.e0b, above where they began.
    delivered: [u32; FIELDS],
    /// The one counter that what is delivered lately goes to.
    estimate: Option<u8>,
    /// Segments acknowledged at once, on average.
    at_once: u32,
    /// An acknowledgment has covered so much that ACE may have wrapped.
    unsure: bool,
    seen: Seen,
    fails: Fails,
}

impl Accurate {
    pub(super) const EMPTY: Self = Self {
        received_ce: 0,
        received: [0; FIELDS],
        pending: 0,
        last: NOT_ECT,
        changed: 0,
        demand: 0,
        told_at: Instant::ZERO,
        reflect: None,
        syn: NOT_ECT,
        doubted: None,
        delivered_ce: 0,
        delivered: [0; FIELDS],
        estimate: None,
        at_once: 0,
        unsure: false,
        seen: Seen::None,
        fails: Fails(0),
    };

    /// The values that an option says.
    fn counters(&self) -> [u32; FIELDS] {
        let mut values = self.received;
        for (value, init) in values.iter_mut().zip(BYTES_INIT) {
            *value = value.wrapping_add(init);
        }
        values
    }

    /// A segment came: counts its marks. Whether it has data and they differ from those before, and
    /// whether so many have come that an acknowledgment must say so.
    fn count(&mut self, seg: &Segment, unacked: bool) -> (bool, bool) {
        if let Some(at) = field_of(seg.ecn) {
            //= RFC 9768 §3.2 r.cep counts marked packets of every kind, and the byte counters their
            //= data, sent again or not.
            if seg.ecn == CE {
                let segments = u32::from(seg.segments);
                self.received_ce = self.received_ce.wrapping_add(segments);
                let segments = u8::try_from(segments).unwrap_or(u8::MAX);
                self.pending = self.pending.saturating_add(segments);
            }
            if let Some(bytes) = self.received.get_mut(at).filter(|_| seg.len > 0) {
                let before = *bytes;
                *bytes = before.wrapping_add(seg.len);
                let needed = u8::try_from(at + 1).unwrap_or(0);
                self.changed = self.changed.max(needed);
                //= RFC 9768 §3.2.3.3 each counter is told once in 2^22 bytes at least.
                if (before ^ *bytes) >> OVERFLOW_SHIFT != 0 {
                    self.demand = self.demand.max(1);
                }
            }
        }
        let edge = seg.ecn != core::mem::replace(&mut self.last, seg.ecn);
        //= RFC 9768 §3.2.3.3 what has changed, or is CE, is told, and told once more.
        if edge || seg.ecn == CE {
            self.demand = 2;
        }
        //= RFC 9768 §3.2.2.5.1 data that is the first with CE is acknowledged at once, and two marks
        //= are, or three where there is nothing else to acknowledge.
        // We differ: as Linux we say so of any change, where the RFC asks for it with CE only.
        let enough = if unacked || seg.len > 0 { 2 } else { 3 };
        (edge && seg.len > 0, self.pending >= enough)
    }

    /// Looks at the first option with counters.
    fn look_at(&mut self, option: &EcnBytes) {
        if self.seen >= Seen::Counters {
            return;
        }
        //= RFC 9768 §3.2.3.2.4 counters that do not begin with zero were zeroed where they do.
        let zeroed = option.iter().any(|(mark, value)| mark != CE && value == 0);
        self.seen = if option.is_empty() {
            Seen::Empty
        } else if zeroed {
            self.fails.0 |= Fails::OPTION_IN;
            Seen::Zeroed
        } else {
            Seen::Counters
        };
    }

    /// Takes the byte counters of an acknowledgment that delivered so much. Whether the difference
    /// says all of it.
    fn take_option(&mut self, option: Option<&EcnBytes>, delivered: u32, sent: u64) -> bool {
        if self.fails.has(Fails::OPTION_IN) {
            return false;
        }
        let Some(option) = option else {
            if self.seen == Seen::None && sent >= TOO_LATE {
                self.fails.0 |= Fails::OPTION_IN;
                self.seen = Seen::Zeroed;
            }
            let place = self.estimate.filter(|_| self.seen != Seen::None);
            let place = place.and_then(|at| self.delivered.get_mut(usize::from(at)));
            let Some(bytes) = place else { return false };
            // What the last option saw grow is taken to have grown on.
            *bytes = bytes.wrapping_add(delivered);
            return true;
        };
        let estimate = self.estimate;
        let (mut whole, mut clear, mut grown) = (estimate.is_some(), true, None);
        for (mark, value) in option.iter() {
            let Some(at) = field_of(mark) else { continue };
            let (Some(bytes), Some(init)) = (self.delivered.get_mut(at), BYTES_INIT.get(at)) else {
                continue;
            };
            //= RFC 9768 §3.2.3.1 24 bits are told, and taken as a difference.
            let now = value.wrapping_sub(*init);
            let more = now.wrapping_sub(*bytes) << 8;
            let more = more.cast_signed() >> 8;
            if more == 0 {
                continue;
            }
            *bytes = bytes.wrapping_add_signed(more);
            let at = u8::try_from(at).unwrap_or(0);
            if more < 0 {
                (whole, clear) = (false, false);
            }
            if estimate != Some(at) {
                if grown.is_some() {
                    (whole, clear) = (false, false);
                }
                grown = grown.or(Some(at));
            }
        }
        self.estimate = grown.or(estimate).filter(|_| clear);
        whole
    }

    /// New marks that ACE tells of, if it has not wrapped.
    fn at_least(&self, ace: u32) -> u32 {
        //= RFC 9768 §3.2.2.2 three bits are told: at least so many are new.
        ace.wrapping_sub(CEP_INIT).wrapping_sub(self.delivered_ce) & ACE_MASK
    }

    /// New marks that an acknowledgment tells of (appendix A.2).
    fn marks(&mut self, ace: u32, news: &News<'_>) -> u32 {
        let before = self.delivered[CEB];
        let certain = self.take_option(news.option, news.bytes, news.sent);
        if news.segments > 0 {
            let now = news.segments.min(u32::from(u16::MAX)) << AVERAGE_BITS;
            self.at_once = match self.at_once {
                0 => now,
                average => average - (average >> AVERAGE_BITS) + (now >> AVERAGE_BITS),
            };
        }
        let least = self.at_least(ace);
        self.unsure |= news.segments > ACE_MASK;
        //= RFC 9768 §3.2.3.2.5 bytes that were marked in packets of which none was: somebody changes
        //= what is told, and nothing is ECN-capable any more.
        let none = least == 0 && self.delivered_ce == 0 && !self.unsure;
        if none && self.delivered[CEB].cast_signed() > 0 {
            self.fails.0 |= Fails::MANGLED;
        }
        if news.segments <= ACE_MASK {
            return least;
        }
        //= RFC 9768 §3.2.2.5.2 where the field may have wrapped, the safest likely case is taken:
        //= as many turns as the acknowledged segments have room for, where nothing speaks against it.
        let most = news.segments - (news.segments.wrapping_sub(least) & ACE_MASK);
        if !certain {
            let thinned = self.at_once > THINNED << AVERAGE_BITS;
            return if thinned { least } else { most };
        }
        let marked = self.delivered[CEB].wrapping_sub(before);
        if marked == 0 {
            return least;
        }
        if news.segments > 2 * ACE_MASK + 1 && news.settled {
            // By the share of the bytes.
            if news.bytes <= marked {
                return most;
            }
            let share = u64::from(marked) * u64::from(news.segments);
            let share = share.div_ceil(u64::from(news.bytes));
            let turns = u32::try_from(share).unwrap_or(u32::MAX) & !ACE_MASK;
            return most.min(least.saturating_add(turns));
        }
        let marked = u64::from(marked);
        if marked > u64::from(least) * u64::from(news.mss) {
            return most;
        }
        //= RFC 9768 appendix A.2.2: half as much as the safe case would need is too little for it.
        if marked < u64::from(most) * u64::from(news.mss) / 2 {
            return least;
        }
        most
    }

    /// What stands in the status.
    pub(super) fn status(&self) -> AccurateStatus {
        let [received_e1_bytes, received_ce_bytes, received_e0_bytes] = self.received;
        let [delivered_e1_bytes, delivered_ce_bytes, delivered_e0_bytes] = self.delivered;
        let shown = Fails::ASKED_TWICE | Fails::MANGLED | Fails::OPTION_OUT | Fails::OPTION_IN;
        let zeroed = if self.fails.has(Fails::ZEROED) {
            Fails::MANGLED
        } else {
            0
        };
        AccurateStatus {
            received_ce: self.received_ce,
            received_e1_bytes,
            received_e0_bytes,
            received_ce_bytes,
            delivered_e1_bytes,
            delivered_e0_bytes,
            delivered_ce_bytes,
            options_seen: self.seen as u8,
            failures: self.fails.0 & shown | zeroed,
        }
    }
}

/// What an acknowledgment says before it is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance {
    /// By its timestamp it is newer than all before.
    newer: bool,
    /// It tells of a mark, and was answered.
    marked: bool,
}

/// What an acknowledgment brings.
struct News<'a> {
    option: Option<&'a EcnBytes>,
    /// Data delivered, and the segments that may have been.
    bytes: u32,
    segments: u32,
    mss: u32,
    /// All bytes sent ever.
    sent: u64,
    /// What is delivered is known, not guessed from duplicates.
    settled: bool,
}

/// Where the option counts bytes with these bits.
const fn field_of(mark: u8) -> Option<usize> {
    match mark {
        ECT1 => Some(0),
        CE => Some(CEB),
        ECT0 => Some(2),
        _ => None,
    }
}

/// A counter's low bits as flags.
const fn flags_of(counter: u32) -> Flags {
    // Three bits fit.
    #[allow(clippy::cast_possible_truncation)]
    let bits = (counter & ACE_MASK) as u16;
    Flags::from_bits(bits << ACE_SHIFT)
}

/// The field of flags.
fn ace_of(flags: Flags) -> u32 {
    u32::from((flags.bits() & ACE.bits()) >> ACE_SHIFT)
}

//= RFC 9768 §3.1.1 table 2, §3.2.2.1 table 3: what says which bits came with a SYN or SYN-ACK.
const fn reflection(mark: u8) -> Flags {
    flags_of(match mark {
        ECT1 => 0b011,
        ECT0 => 0b100,
        CE => 0b110,
        _ => 0b010,
    })
}

//= RFC 9768 §3.1.2 any combination asks for it but none at all and the two of RFC 3168.
/// Whether a SYN asks for accurate feedback.
pub(super) fn asks(syn: Flags) -> bool {
    !matches!(ace_of(syn), 0b000 | 0b011)
}

/// Whether the acknowledgment that brings a cookie back is of a peer that counts.
//= RFC 9768 §5.1 it has neither 000 nor 001.
pub(super) fn counts(ack: Flags) -> bool {
    ace_of(ack) > 1
}

/// As many fields as fit behind `used` bytes of options, `least` at the least, beside `blocks`
/// SACK blocks, or fewer blocks where that is what it takes.
//= RFC 9768 §3.2.3.3 two blocks come first; a counter that has changed is in it, or there is no
//= option.
fn fit(used: usize, least: usize, blocks: usize) -> Option<(usize, usize)> {
    let fewest = if least > 0 { blocks.min(2) } else { blocks };
    for blocks in (fewest..=blocks).rev() {
        for fields in (least.max(1)..=FIELDS).rev() {
            let mut end = used + 2 + 3 * fields;
            if blocks > 0 {
                // The blocks begin two bytes behind a multiple of four.
                end += 2_usize.wrapping_sub(end) % 4 + 2 + 8 * blocks;
            }
            if end.next_multiple_of(4) <= MAX_OPTIONS_LEN {
                return Some((fields, blocks));
            }
        }
    }
    None
}
