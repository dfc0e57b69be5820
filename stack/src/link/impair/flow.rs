//! Which flow a frame belongs to, and how many of it there were.
//!
//! ```text
//!   IP, whole       source, destination, protocol, ports; of an echo, the identifier
//!   ICMP error      source, destination, protocol, ports of the packet that it quotes
//!   IP, fragment    as the first of its packet, which has the ports; where that was not seen:
//!                   source, destination, protocol, identification
//!   else            MAC addresses, EtherType
//! ```
//!
//! Promises: a flow's count goes up with each of its frames, impaired or not, so that the k-th
//! frame of a flow is the k-th in every run in which its sender does the same. A host counts its
//! identifications up for all it sends: they say which fragments are of one packet, and whose that
//! is, but chance does not hang on them.

use super::config::{Match, Matched};
use super::draw::{fold, mix};
use crate::frame::Frame;
use crate::wire::{EtherType, Protocol, ethernet, ipv6, vlan};
use alloc::collections::{BTreeMap, VecDeque};
use core::hash::{BuildHasherDefault, Hasher};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use hashbrown::HashMap;

/// What tells flows apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    addresses: Addresses,
    /// IP's protocol, or the EtherType where there is no IP.
    protocol: u16,
    rest: Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Addresses {
    Link { dst: u64, src: u64 },
    V4 { src: u32, dst: u32 },
    V6 { src: u128, dst: u128 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    None,
    Ports(u16, u16),
    /// The identifier of an echo request or reply: what tells two pings apart (RFC 792).
    Echo(u16),
    /// The ports, or the identifier of an echo, in the packet that an ICMP error is about.
    Quoted(u32),
    /// A first fragment: its identification, and the ports or the identifier of an echo in it.
    First(u32, u32),
    /// Another fragment, by its identification.
    Fragment(u32),
    /// A fragment of a packet with these ports or this identifier.
    Piece(u32),
}

impl Match {
    /// Whether it looks at this frame.
    #[must_use]
    pub fn matches(&self, frame: &mut Frame) -> bool {
        Key::of(frame).matches(self, frame)
    }
}

impl Key {
    /// The flow of a frame.
    #[inline]
    pub(super) fn of(frame: &mut Frame) -> Self {
        match Self::parse(frame.front()) {
            Some(key) => key,
            None => Self::of_pieces(frame),
        }
    }

    /// Where the front piece ends within the headers.
    #[cold]
    fn of_pieces(frame: &mut Frame) -> Self {
        // More than all headers that anybody sends, but a whole frame where it is shorter.
        const ENOUGH: usize = 512;
        let len = frame.len().min(ENOUGH);
        let front = frame.pull_up(len);
        Self::parse(front).unwrap_or_else(|| Self::of_link(front, ethernet::HEADER_LEN))
    }

    /// `None` where headers are cut short.
    #[inline]
    fn parse(front: &[u8]) -> Option<Self> {
        let mut at = ethernet::HEADER_LEN;
        let mut ethertype = word(front, at - 2)?;
        while EtherType(ethertype).is_vlan() {
            at += vlan::HEADER_LEN;
            ethertype = word(front, at - 2)?;
        }
        match EtherType(ethertype) {
            EtherType::IPV4 => Self::parse4(front.get(at..)?),
            EtherType::IPV6 => Self::parse6(front.get(at..)?),
            _ => Some(Self::of_link(front, at)),
        }
    }

    fn of_link(front: &[u8], at: usize) -> Self {
        let address = |at: usize| {
            let bytes = front.get(at..).and_then(<[u8]>::first_chunk::<6>);
            let [a, b, c, d, e, f] = bytes.copied().unwrap_or_default();
            u64::from_be_bytes([0, 0, a, b, c, d, e, f])
        };
        Self {
            addresses: Addresses::Link {
                dst: address(0),
                src: address(6),
            },
            protocol: word(front, at - 2).unwrap_or(0),
            rest: Rest::None,
        }
    }

    #[inline]
    fn parse4(packet: &[u8]) -> Option<Self> {
        let header = packet.first_chunk::<20>()?;
        let at =
            |i: usize| u32::from_be_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]);
        let protocol = Protocol(header[9]);
        // More fragments to come, or an offset.
        let rest = if at(4) & 0x1fff != 0 {
            Rest::Fragment(at(4) >> 16)
        } else {
            let header_len = usize::from(header[0] & 15) * 4;
            let total_len = usize::from(word(packet, 2)?);
            let rest = Rest::ports(protocol, packet, header_len, total_len)?;
            match at(4) & 0x2000 {
                0 => rest,
                _ => Rest::First(at(4) >> 16, rest.lead()),
            }
        };
        Some(Self {
            addresses: Addresses::V4 {
                src: at(12),
                dst: at(16),
            },
            protocol: u16::from(protocol.0),
            rest,
        })
    }

    #[inline]
    fn parse6(packet: &[u8]) -> Option<Self> {
        let header = packet.first_chunk::<{ ipv6::HEADER_LEN }>()?;
        let address = |i: usize| {
            header
                .get(i..)?
                .first_chunk()
                .copied()
                .map(u128::from_be_bytes)
        };
        let (src, dst) = (address(8)?, address(24)?);
        let mut protocol = Protocol(header[6]);
        let total_len = ipv6::HEADER_LEN + usize::from(word(packet, 4)?);
        let rest = if Rest::is_final(protocol) {
            Rest::ports(protocol, packet, ipv6::HEADER_LEN, total_len)?
        } else {
            let upper = ipv6::upper(protocol, packet.get(ipv6::HEADER_LEN..)?).ok()?;
            protocol = upper.protocol;
            let at = ipv6::HEADER_LEN + upper.offset;
            match upper.fragment.filter(|f| !f.is_atomic()) {
                Some(fragment) if fragment.offset != 0 => Rest::Fragment(fragment.ident),
                Some(fragment) => {
                    let rest = Rest::ports(protocol, packet, at, total_len)?;
                    Rest::First(fragment.ident, rest.lead())
                }
                None => Rest::ports(protocol, packet, at, total_len)?,
            }
        };
        Some(Self {
            addresses: Addresses::V6 { src, dst },
            protocol: u16::from(protocol.0),
            rest,
        })
    }

    /// The flow as a number: equal for equal flows, and as good as different for others.
    #[inline]
    pub(super) fn number(&self, key: [u64; 2]) -> u64 {
        let (tag, rest) = match self.rest {
            Rest::None => (0, 0),
            Rest::Ports(src, dst) => (1, u32::from(src) << 16 | u32::from(dst)),
            Rest::Fragment(ident) | Rest::First(ident, _) => (2, ident),
            Rest::Echo(ident) => (3, u32::from(ident)),
            Rest::Piece(lead) => (4, lead),
            Rest::Quoted(lead) => (5, lead),
        };
        let word = u64::from(rest) | u64::from(self.protocol) << 32 | tag << 48;
        let [a, b] = key;
        match self.addresses {
            Addresses::V4 { src, dst } => {
                fold(a ^ (u64::from(src) << 32 | u64::from(dst)), b ^ word)
            }
            Addresses::Link { dst, src } => {
                let addresses = fold(a ^ dst, b ^ src);
                fold(!a ^ addresses, b ^ word ^ 1 << 52)
            }
            Addresses::V6 { src, dst } => {
                let (src, dst) = (halves(src), halves(dst));
                let addresses = mix(fold(a ^ src[0], b ^ src[1])) ^ fold(!a ^ dst[0], !b ^ dst[1]);
                fold(a ^ addresses, b ^ word ^ 1 << 53)
            }
        }
    }

    /// The same, but what has no ports counts with its addresses and protocol: who shares a queue.
    //= RFC 8290 §4.1.1: where there are no ports, a queue belongs to addresses and protocol.
    pub(super) fn conversation(mut self, key: [u64; 2]) -> u64 {
        if !matches!(self.rest, Rest::Ports(..)) {
            self.rest = Rest::None;
        }
        mix(self.number(key))
    }

    /// Whether a rule looks at this frame.
    pub(super) fn matches(&self, rule: &Match, frame: &mut Frame) -> bool {
        let is_arp =
            matches!(self.addresses, Addresses::Link { .. }) && self.protocol == EtherType::ARP.0;
        let (src, dst) = match self.addresses {
            Addresses::V4 { src, dst } => (
                Some(IpAddr::from(Ipv4Addr::from_bits(src))),
                Some(IpAddr::from(Ipv4Addr::from_bits(dst))),
            ),
            Addresses::V6 { src, dst } => (
                Some(IpAddr::from(Ipv6Addr::from_bits(src))),
                Some(IpAddr::from(Ipv6Addr::from_bits(dst))),
            ),
            Addresses::Link { .. } if is_arp && (rule.src.is_some() || rule.dst.is_some()) => {
                arp_addresses(frame)
            }
            Addresses::Link { .. } => (None, None),
        };
        let protocol = match rule.protocol {
            None => true,
            Some(Matched::Arp) => is_arp,
            Some(Matched::Ip(protocol)) => {
                !matches!(self.addresses, Addresses::Link { .. })
                    && self.protocol == u16::from(protocol.0)
            }
        };
        protocol
            && rule.src.is_none_or(|want| src == Some(want))
            && rule.dst.is_none_or(|want| dst == Some(want))
            && rule.port.is_none_or(
                |want| matches!(self.rest, Rest::Ports(src, dst) if src == want || dst == want),
            )
    }
}

impl Rest {
    /// Protocols that end IPv6's chain at a glance.
    #[inline]
    fn is_final(protocol: Protocol) -> bool {
        matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::ICMPV6)
    }

    /// The ports behind an IP header, or the identifier of an echo; `None` where the bytes at hand
    /// end before them, and the packet does not.
    #[inline]
    fn ports(protocol: Protocol, packet: &[u8], at: usize, total_len: usize) -> Option<Self> {
        if !matches!(protocol, Protocol::TCP | Protocol::UDP) {
            return Self::echo(protocol, packet, at, total_len);
        }
        if total_len < at + 4 {
            return Some(Self::None);
        }
        Some(Self::Ports(word(packet, at)?, word(packet, at + 2)?))
    }

    /// The ports, or the identifier, as one number.
    fn lead(self) -> u32 {
        match self {
            Self::Ports(src, dst) => u32::from(src) << 16 | u32::from(dst),
            Self::Echo(ident) => u32::from(ident),
            Self::Quoted(lead) => lead,
            _ => 0,
        }
    }

    //= RFC 792, Echo: the identifier is to echoes what a port is to TCP and UDP. RFC 4443 §4.1 has
    // it at the same place.
    fn echo(protocol: Protocol, packet: &[u8], at: usize, total_len: usize) -> Option<Self> {
        if !matches!(protocol, Protocol::ICMP | Protocol::ICMPV6) || total_len < at + 8 {
            return Some(Self::None);
        }
        let echo: &[u8] = match protocol {
            Protocol::ICMP => &[8, 0],
            _ => &[128, 129],
        };
        let kind = *packet.get(at)?;
        if echo.contains(&kind) {
            return Some(Self::Echo(word(packet, at + 4)?));
        }
        let error = match protocol {
            Protocol::ICMP => matches!(kind, 3..=5 | 11 | 12),
            _ => kind < 128,
        };
        match error {
            true => Self::quoted(protocol, packet, at + 8, total_len),
            false => Some(Self::None),
        }
    }

    //= RFC 792 an error quotes the header and eight bytes of the packet that it is about, so that its
    // sender can tell whose it was; RFC 4443 §3 quotes no less.
    fn quoted(icmp: Protocol, packet: &[u8], at: usize, total_len: usize) -> Option<Self> {
        if total_len < at + 20 {
            return Some(Self::None);
        }
        let (protocol, header_len) = match icmp {
            Protocol::ICMP if word(packet, at + 6)? & 0x1fff != 0 => return Some(Self::None),
            Protocol::ICMP => (*packet.get(at + 9)?, usize::from(*packet.get(at)? & 15) * 4),
            _ => (*packet.get(at + 6)?, ipv6::HEADER_LEN),
        };
        let upper = at + header_len;
        if total_len < upper + 8 {
            return Some(Self::None);
        }
        let lead = match Protocol(protocol) {
            Protocol::TCP | Protocol::UDP => {
                Self::Ports(word(packet, upper)?, word(packet, upper + 2)?)
            }
            Protocol::ICMP | Protocol::ICMPV6 => Self::Echo(word(packet, upper + 4)?),
            _ => Self::None,
        };
        Some(Self::Quoted(lead.lead()))
    }
}

/// ARP's sender and target (RFC 826).
fn arp_addresses(frame: &mut Frame) -> (Option<IpAddr>, Option<IpAddr>) {
    const ARP_LEN: usize = 28;
    let front = frame.pull_up(ethernet::HEADER_LEN + ARP_LEN);
    let at = |at: usize| {
        let bytes = front.get(ethernet::HEADER_LEN + at..)?.first_chunk::<4>()?;
        Some(IpAddr::from(*bytes))
    };
    (at(14), at(24))
}

#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*word))
}

#[inline]
#[allow(clippy::as_conversions, clippy::cast_possible_truncation)]
const fn halves(wide: u128) -> [u64; 2] {
    [(wide >> 64) as u64, wide as u64]
}

/// Packets in fragments whose flow is remembered; the oldest is forgotten for one more.
const PIECES: usize = 1 << 14;

/// Whose fragments are. Only the first of a packet says so; who shares this among ways remembers it
/// also where the first is lost, or overtaken, before it comes to a way.
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    /// By addresses, protocol and identification.
    table: BTreeMap<(Addresses, u16, u32), u32>,
    /// Oldest first, for eviction.
    order: VecDeque<(Addresses, u16, u32)>,
}

impl Pieces {
    /// The flow of a frame.
    #[inline]
    pub(super) fn key_of(&mut self, frame: &mut Frame) -> Key {
        let key = Key::of(frame);
        match key.rest {
            Rest::First(..) | Rest::Fragment(_) => self.whose(key),
            _ => key,
        }
    }

    #[cold]
    fn whose(&mut self, mut key: Key) -> Key {
        let (ident, lead) = match key.rest {
            Rest::First(ident, lead) => (ident, Some(lead)),
            Rest::Fragment(ident) => (ident, None),
            _ => return key,
        };
        let packet = (key.addresses, key.protocol, ident);
        if let Some(lead) = lead {
            if self.table.insert(packet, lead).is_none() {
                self.order.push_back(packet);
            }
            if self.order.len() > PIECES
                && let Some(oldest) = self.order.pop_front()
            {
                self.table.remove(&oldest);
            }
        }
        if let Some(lead) = self.table.get(&packet) {
            key.rest = Rest::Piece(*lead);
        }
        key
    }
}

/// Flows that a way remembers. One beyond it and a flow that was not seen for long is forgotten:
/// its count begins anew.
pub(super) const FLOWS: usize = 1 << 20;

/// What a way knows about a flow.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flow {
    /// Frames so far.
    pub(super) k: u64,
    /// Where the flow's loss stands.
    pub(super) state: State,
    /// Seen since it was last considered for eviction.
    seen: bool,
}

/// Where a Gilbert–Elliott chain stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Not drawn yet.
    #[default]
    Unknown,
    /// Few losses.
    Good,
    /// Many losses.
    Bad,
}

/// The flows of one way. Empty until the first frame, and then as large as it has flows.
#[derive(Clone, Debug)]
pub(super) struct Flows {
    /// By number; look-ups only, never iterated.
    table: HashMap<u64, Flow, BuildHasherDefault<Ready>>,
    /// Oldest first, for eviction.
    order: VecDeque<u64>,
    limit: usize,
}

impl Flows {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            table: HashMap::default(),
            order: VecDeque::new(),
            limit,
        }
    }

    /// The flow of that number, made where it is new; and whether another was evicted for it.
    #[inline]
    pub(super) fn flow(&mut self, number: u64) -> (&mut Flow, bool) {
        let evicts = self.table.len() >= self.limit && self.make_room(number);
        let order = &mut self.order;
        let flow = self.table.entry(number).or_insert_with(|| {
            order.push_back(number);
            Flow::default()
        });
        flow.seen = true;
        (flow, evicts)
    }

    /// Takes the oldest that was not seen since the last time round (a clock's hand): a busy flow
    /// is not forgotten for the sake of a thousand fragments.
    #[cold]
    fn make_room(&mut self, number: u64) -> bool {
        if self.table.contains_key(&number) {
            return false;
        }
        while let Some(oldest) = self.order.pop_front() {
            match self.table.get_mut(&oldest) {
                Some(flow) if flow.seen => {
                    flow.seen = false;
                    self.order.push_back(oldest);
                }
                _ => {
                    self.table.remove(&oldest);
                    break;
                }
            }
        }
        true
    }
}

/// A hasher for what is hashed already.
#[derive(Clone, Copy, Default)]
pub(super) struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = mix(self.0 ^ u64::from(*byte));
        }
    }
    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
