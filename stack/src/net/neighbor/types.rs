//! What goes into a neighbour cache and comes out of it.

use crate::frame::Frame;
use crate::reason::DropReason;
use crate::time::{Duration, Instant};
use crate::wire::MacAddr;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Limits and times of a neighbour cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Neighbours known at most. A /22 full of hosts fits; RFC 6583 §7 asks for limits.
    pub max_entries: usize,
    /// Resolutions under way at most, so that a scan cannot push out everybody else (RFC 6583
    /// §7.1).
    pub max_incomplete: usize,
    /// Packets that wait for one neighbour: RFC 4861 §7.2.2 wants a small number, of at least one;
    /// 256 hold the fragments of the largest datagram also after routers before us have cut each
    /// of its 45 pieces again for narrower links; `max_parked_bytes` is what bounds a flood.
    pub max_parked_per_entry: usize,
    /// Bytes that wait for one neighbour, each packet counted with what it occupies beside its
    /// bytes: two super-frames of 64 KiB and more.
    pub max_parked_bytes: usize,
    /// Bytes that wait in the whole cache, counted likewise.
    pub max_parked_total: usize,
    /// REACHABLE lasts this long times a random factor of 0.5 to 1.5 (RFC 4861 §10:
    /// REACHABLE_TIME, MIN_RANDOM_FACTOR, MAX_RANDOM_FACTOR).
    pub base_reachable_time: Duration,
    /// Between solicitations of one neighbour (RFC 4861 §10: RETRANS_TIMER; RFC 1122 §2.3.2.1 has
    /// the same one second).
    pub retrans_timer: Duration,
    /// From the first use of a STALE neighbour to its first probe (RFC 4861 §10:
    /// DELAY_FIRST_PROBE_TIME).
    pub delay_first_probe: Duration,
    /// Solicitations of an unknown neighbour (RFC 4861 §10: MAX_MULTICAST_SOLICIT).
    pub max_multicast_solicit: u32,
    /// Probes of a known neighbour (RFC 4861 §10: MAX_UNICAST_SOLICIT).
    pub max_unicast_solicit: u32,
    /// How long packets for a neighbour that did not answer are refused at once.
    pub negative_time: Duration,
    /// How long a STALE neighbour that nobody uses is kept. RFC 4861 §7.3.3 leaves it to the host,
    /// RFC 1122 §2.3.2.1 wants what is out of date flushed; 20 minutes are what BSD gave to ARP.
    /// Longer than most pauses in a conversation, which would cost a question; any use verifies
    /// the entry in any case.
    pub stale_time: Duration,
    /// What a claim of another MAC does to a neighbour that is known.
    pub claims: Claims,
    /// Solicitations a second over all neighbours: a scan through us costs the link no more.
    pub solicit_rate: u32,
    /// Solicitations that may leave in one burst.
    pub solicit_burst: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_entries: 1024,
            max_incomplete: 256,
            max_parked_per_entry: 256,
            max_parked_bytes: 256 << 10,
            max_parked_total: 4 << 20,
            base_reachable_time: Duration::from_secs(30),
            retrans_timer: Duration::from_secs(1),
            delay_first_probe: Duration::from_secs(5),
            max_multicast_solicit: 3,
            max_unicast_solicit: 3,
            negative_time: Duration::from_secs(3),
            stale_time: Duration::from_secs(20 * 60),
            claims: Claims::default(),
            solicit_rate: 256,
            solicit_burst: 128,
        }
    }
}

/// Whom to believe where somebody claims a neighbour's address for another MAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Claims {
    /// The one that is known, until it has left three probes unanswered. The default, and we differ from
    /// RFC 826 and RFC 4861 §7.2.5.
    #[default]
    Verify,
    /// Whoever claims it last, as those have it: what moves is followed at once, and any liar as well.
    Believe,
}

/// The state of a neighbour (RFC 4861 §7.3.2, and two of our own).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Set by hand; never changes by itself.
    Permanent,
    /// Asked for, not answered yet.
    Incomplete,
    /// Known to receive what we send.
    Reachable,
    /// Known, but not confirmed lately.
    Stale,
    /// Used while stale: a hint may still spare a probe.
    Delay,
    /// Being probed by unicast.
    Probe,
    /// Did not answer: packets are refused until the entry goes.
    Failed,
}

impl State {
    /// The name as `ip neighbour` prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permanent => "PERMANENT",
            Self::Incomplete => "INCOMPLETE",
            Self::Reachable => "REACHABLE",
            Self::Stale => "STALE",
            Self::Delay => "DELAY",
            Self::Probe => "PROBE",
            Self::Failed => "FAILED",
        }
    }
}

/// What a received packet says about a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// An answer directed at us: an ARP reply to our address, an NA with the Solicited flag. It
    /// confirms only where we have asked.
    Reply {
        /// Whether it may contradict what is known: true for ARP, the Override flag for NDP.
        overrides: bool,
    },
    /// The sender of a question directed at us.
    Request,
    /// Anything else that names the sender: a gratuitous ARP, an overheard request, an unsolicited
    /// NA. Creates nothing.
    Announcement {
        /// As of a reply.
        overrides: bool,
    },
}

/// Whose packet asks for a neighbour: RFC 6583 §7.1 ranks what we need before what others ask of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// This host's own.
    Own,
    /// One that we forward.
    Forwarded,
}

/// The answer of [`super::Cache::lookup`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Send it there.
    Mac(MacAddr),
    /// Not known, or packets are waiting before this one: call [`super::Cache::resolve`].
    Unresolved,
}

/// What became of a packet given to [`super::Cache::resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "the packet is handed through, not stored in this form"
)]
pub enum Resolution {
    /// Send it there.
    Send(MacAddr, Frame),
    /// It waits; [`super::Cache::poll_transmit`] gives it back.
    Parked {
        /// Older packets for the same neighbour that had to go ([`DropReason::NeighborQueueFull`]).
        displaced: Vec<Frame>,
    },
    /// It cannot wait.
    Dropped(DropReason, Frame),
}

/// What [`super::Cache::poll_transmit`] wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "the packet is handed through, not stored in this form"
)]
pub enum Action {
    /// Ask for a neighbour.
    Solicit {
        /// Whom.
        target: IpAddr,
        /// The MAC to probe by unicast; `None` asks everyone.
        to: Option<MacAddr>,
        /// The how manieth in this state, from 1.
        attempt: u32,
        /// Whom the oldest packet that waits is from.
        packet_from: Option<IpAddr>,
    },
    /// A packet that waited and may now leave.
    Packet {
        /// The next hop it waited for.
        ip: IpAddr,
        /// Its MAC.
        mac: MacAddr,
        /// The packet.
        frame: Frame,
    },
    /// Packets that waited in vain. With [`DropReason::NeighborUnreachable`] the next hop did not
    /// answer, so that next hops are to be chosen anew (RFC 4861 §7.3.3), and each packet wants an
    /// ICMP host unreachable (RFC 4861 §7.2.2, RFC 1812 §5.2.7.1).
    Failed {
        /// The next hop.
        ip: IpAddr,
        /// Why they do not leave.
        reason: DropReason,
        /// The packets, oldest first; none where it fell silent while it was known.
        packets: VecDeque<Frame>,
    },
}

/// One neighbour, for status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// Address.
    pub ip: IpAddr,
    /// MAC, where known.
    pub mac: Option<MacAddr>,
    /// State.
    pub state: State,
    /// When it came into this state.
    pub since: Instant,
    /// Whether this MAC has ever been confirmed.
    pub confirmed: bool,
    /// Whether it says that it is a router (RFC 4861 §7.3.2: IsRouter); ARP does not tell.
    pub router: bool,
    /// Another MAC that claims the address while the known one is probed.
    pub rival: Option<MacAddr>,
    /// Packets that wait.
    pub parked: usize,
}

/// Entries by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// In [`State::Permanent`].
    pub permanent: u64,
    /// In [`State::Incomplete`].
    pub incomplete: u64,
    /// In [`State::Reachable`].
    pub reachable: u64,
    /// In [`State::Stale`].
    pub stale: u64,
    /// In [`State::Delay`].
    pub delay: u64,
    /// In [`State::Probe`].
    pub probe: u64,
    /// In [`State::Failed`].
    pub failed: u64,
}

impl Census {
    pub(super) const fn of(&mut self, state: State) -> &mut u64 {
        match state {
            State::Permanent => &mut self.permanent,
            State::Incomplete => &mut self.incomplete,
            State::Reachable => &mut self.reachable,
            State::Stale => &mut self.stale,
            State::Delay => &mut self.delay,
            State::Probe => &mut self.probe,
            State::Failed => &mut self.failed,
        }
    }
}

/// Counters of a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries by state, now.
    pub entries: Census,
    /// Bytes waiting now, as charged against the limits.
    pub parked_bytes: u64,
    /// Entries created.
    pub created: u64,
    /// Entries pushed out by others.
    pub evictions: u64,
    /// STALE entries that went unused for [`Config::stale_time`].
    pub aged: u64,
    /// Entries refused for want of room.
    pub refused: u64,
    /// Solicitations to everyone.
    pub multicast_solicits: u64,
    /// Probes by unicast.
    pub unicast_solicits: u64,
    /// Packets that had to wait.
    pub parked: u64,
    /// Packets that could not wait, or waited in vain.
    pub parked_drops: u64,
    /// Neighbours that answered nothing, resolving or probed.
    pub failures: u64,
    /// Claims of another MAC for a protected neighbour.
    pub conflicts: u64,
    /// Conflicts that the known MAC won by answering.
    pub defended: u64,
    /// Conflicts that the known MAC lost by silence, or since claims are believed.
    pub replaced: u64,
}

/// What a parked packet is charged: its bytes and the room of its frame, so that many empty
/// packets are not free.
pub(super) fn charge(frame: &Frame) -> usize {
    frame.len() + size_of::<Frame>()
}
