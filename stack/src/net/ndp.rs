//! Neighbour discovery on one interface: answers who asks for us, and tells the cache what others
//! say.
//!
//! ```text
//!   ICMPv6 bytes --check--> Valid --> handle_message --+--> neighbor::Cache::handle_claim
//!                                                      |
//!                                                      +--> answers, bounded --> poll_transmit
//!   neighbor::Action::Solicit ---> solicitation() -----------------------------> Outgoing
//! ```
//!
//! Read first: RFC 4861 §6.1, §7 and §8.1; RFC 4429 §3 (optimistic addresses); RFC 6583 (floods);
//! [`super::arp`], which is the same for IPv4.
//!
//! Promises:
//! - Each message that is refused says why. A solicitation that is answered is not refused, even
//!   where its sender contradicts the cache, which counts that as a conflict.
//! - Answers wait in a queue of bounded length, and each station that asks gets a bounded rate.
//!   Memory is fixed at birth.
//! - The cache learns of a stranger only from a solicitation for an address of ours by a sender on
//!   the link; everything else can at most contradict what is known, under the rules of
//!   [`super::neighbor`].
//!
//! Conflicts over our own addresses are [`super::dad`]'s; give it each message first.
//!
//! Left out: what routers advertise, which is checked here and taken by
//! [`super::routers`], and redirects, which the host follows; secure neighbour discovery (RFC 3971).

pub use crate::wire::icmpv6::is_discovery;

use super::neighbor::{Cache, Claim};
use super::rate::StationLimiter;
use crate::reason::DropReason;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::icmpv6::Message;
use crate::wire::ipv6::{HEADER_LEN, MIN_MTU};
use crate::wire::ndp::{
    NdpOption, NeighborAdvertisement, NeighborSolicitation, Redirect, RouterSolicitation, options,
    solicited_node,
};
use crate::wire::{MacAddr, Writer};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

/// What no router forwards, so that it comes from this link (RFC 4861 §6.1, §7.1).
pub const HOP_LIMIT: u8 = 255;
/// All nodes of a link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers of a link.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// RFC 4861 §10: the longest wait before an answer that others may give as well.
const MAX_ANYCAST_DELAY_TIME: Duration = Duration::from_secs(1);

/// How fast neighbour discovery may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Answers that wait for the link at most.
    pub max_answers: usize,
    /// Answers a second to one station.
    pub answer_rate: u32,
    /// Answers to one station in one burst: as many as ARP's.
    pub answer_burst: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_answers: 64,
            answer_rate: 1000,
            answer_burst: 1024,
        }
    }
}

/// What stands around a received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The packet's source.
    pub src: Ipv6Addr,
    /// Its destination.
    pub dst: Ipv6Addr,
    /// Its hop limit.
    pub hop_limit: u8,
    /// The station that sent the frame.
    pub mac: MacAddr,
}

/// A message that has passed its validity checks, and the options that such messages have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Valid<'a> {
    /// The message.
    pub message: Message<'a>,
    /// Its first source link-layer address.
    pub source_mac: Option<MacAddr>,
    /// Its first target link-layer address.
    pub target_mac: Option<MacAddr>,
    /// Its first nonce.
    pub nonce: Option<&'a [u8]>,
}

/// Checks a message, whose checksum has been verified.
///
/// # Errors
/// [`DropReason::NdpHopLimit`] or [`DropReason::NdpMalformed`].
//= RFC 4861 §6.1.1, §6.1.2, §7.1.1, §7.1.2 and §8.1: what does not satisfy all of these is dropped in
//= silence.
pub fn check<'a>(bytes: &'a [u8], heard: &Heard) -> Result<Valid<'a>, DropReason> {
    const BAD: DropReason = DropReason::NdpMalformed;
    if heard.hop_limit != HOP_LIMIT {
        return Err(DropReason::NdpHopLimit);
    }
    let (header, message) = Message::parse(bytes).map_err(|_| BAD)?;
    let from_nobody = heard.src.is_unspecified();
    let (fits, list) = match &message {
        Message::RouterSolicitation(m) => (true, m.options),
        Message::RouterAdvertisement(m) => (heard.src.is_unicast_link_local(), m.options),
        Message::NeighborSolicitation(m) => (fits_solicitation(m, heard), m.options),
        Message::NeighborAdvertisement(m) => (fits_advertisement(m, heard), m.options),
        Message::Redirect(m) => (fits_redirect(m, heard), m.options),
        _ => return Err(BAD),
    };
    if !fits || header.code != 0 {
        return Err(BAD);
    }
    let (mut source_mac, mut target_mac, mut nonce) = (None, None, None);
    for option in options(list) {
        //= RFC 4861 §7.1.1: an option of no length makes the whole message invalid; one that is not
        //= known, or not meant for this message, is passed over.
        let option = option.map_err(|_| BAD)?;
        match option {
            //= RFC 4861 §6.1.1 and §7.1.1: who has no address yet names no link-layer address.
            NdpOption::SourceLinkLayerAddress(_) if from_nobody => return Err(BAD),
            NdpOption::SourceLinkLayerAddress(_) => source_mac = source_mac.or(option.mac()),
            NdpOption::TargetLinkLayerAddress(_) => target_mac = target_mac.or(option.mac()),
            NdpOption::Nonce(bytes) => nonce = nonce.or(Some(bytes)),
            _ => {}
        }
    }
    Ok(Valid {
        message,
        source_mac,
        target_mac,
        nonce,
    })
}

fn fits_solicitation(message: &NeighborSolicitation<'_>, heard: &Heard) -> bool {
    let to_group = solicited_node(heard.dst) == heard.dst;
    !message.target.is_multicast() && (!heard.src.is_unspecified() || to_group)
}

fn fits_advertisement(message: &NeighborAdvertisement<'_>, heard: &Heard) -> bool {
    !(message.target.is_multicast() || heard.dst.is_multicast() && message.solicited)
}

fn fits_redirect(message: &Redirect<'_>, heard: &Heard) -> bool {
    let target = message.target;
    heard.src.is_unicast_link_local()
        && !message.destination.is_multicast()
        && (target.is_unicast_link_local() || target == message.destination)
}

/// How far an address of ours is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Being probed for, and not used.
    Tentative,
    /// Being probed for, and used with care (RFC 4429).
    Optimistic,
    /// Another's, for whom we take what comes (RFC 4861 §7.2.8).
    Proxied,
    /// Ours, and others' as well (RFC 4291 §2.6).
    Anycast,
    /// Ours.
    Assigned,
}

/// What neighbour discovery must know of the interface it serves.
pub trait Local {
    /// How an address stands that is this interface's.
    fn standing(&self, addr: Ipv6Addr) -> Option<Standing>;
    /// Whether `addr` lies on the link of this interface.
    fn is_on_link(&self, addr: Ipv6Addr) -> bool;
    /// Whether we answer for `addr` where `asker` asks, though it is another's.
    fn proxies(&self, addr: Ipv6Addr, asker: Ipv6Addr) -> bool {
        let _ = (addr, asker);
        false
    }
    /// Our own address to answer `asker` from, for what is not ours alone.
    fn source_to(&self, asker: Ipv6Addr) -> Option<Ipv6Addr> {
        let _ = asker;
        None
    }
}

/// A message to send: with a hop limit of [`HOP_LIMIT`], and its checksum filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// The station that gets it, where that is known; else the group's members, or who has the
    /// destination address.
    pub to: Option<MacAddr>,
    /// The message.
    pub message: Vec<u8>,
}

/// The flags of an advertisement (RFC 4861 §4.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// R: from a router.
    pub router: bool,
    /// S: an answer.
    pub solicited: bool,
    /// O: replaces what is known.
    pub overrides: bool,
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Neighbour solicitations received, and valid.
    pub solicitations_in: u64,
    /// Neighbour advertisements received, and valid.
    pub advertisements_in: u64,
    /// Answers given to the link.
    pub answers_out: u64,
    /// Those for addresses of others.
    pub proxied_out: u64,
    /// Solicitations that were not answered for their rate, or for a full queue.
    pub limited: u64,
}

/// Neighbour discovery on one interface.
#[derive(Clone, Debug)]
pub struct Ndp {
    max_answers: usize,
    limiter: StationLimiter,
    answers: VecDeque<Answer>,
    /// Answers that wait for their time, and take room as those do.
    delayed: Vec<(Instant, Answer)>,
    rng: Rng,
    stats: Stats,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    src: Ipv6Addr,
    standing: Standing,
    target: Ipv6Addr,
    dst: Ipv6Addr,
    to: Option<MacAddr>,
    solicited: bool,
}

impl Ndp {
    /// With nothing to say yet.
    #[must_use]
    pub fn new(config: &Config, mut rng: Rng) -> Self {
        Self {
            max_answers: config.max_answers,
            limiter: StationLimiter::new(config.answer_rate, config.answer_burst, &mut rng),
            answers: VecDeque::new(),
            delayed: Vec::new(),
            rng,
            stats: Stats::default(),
        }
    }

    /// Takes a valid message: updates the cache, and queues the answer where one is due. Gives the
    /// neighbour that says it routes no more, where one does.
    ///
    /// # Errors
    /// Why it was refused.
    pub fn handle_message(
        &mut self,
        now: Instant,
        heard: &Heard,
        valid: &Valid<'_>,
        local: &impl Local,
        cache: &mut Cache,
    ) -> Result<Option<Ipv6Addr>, DropReason> {
        match &valid.message {
            Message::NeighborSolicitation(message) => {
                self.stats.solicitations_in += 1;
                let asked = (message, valid.source_mac);
                self.handle_solicitation(now, heard, asked, local, cache)?;
                Ok(None)
            }
            Message::NeighborAdvertisement(message) => {
                self.stats.advertisements_in += 1;
                //= RFC 4862 §5.4.4: what tells of our own addresses is no news about a neighbour.
                if local.standing(message.target).is_some() {
                    return Err(DropReason::NdpNotForUs);
                }
                handle_advertisement(now, (message, valid.target_mac), cache)
            }
            //= RFC 4861 §6.1.1: hosts discard router solicitations in silence.
            _ => Err(DropReason::IcmpIgnored),
        }
    }

    fn handle_solicitation(
        &mut self,
        now: Instant,
        heard: &Heard,
        (message, source_mac): (&NeighborSolicitation<'_>, Option<MacAddr>),
        local: &impl Local,
        cache: &mut Cache,
    ) -> Result<(), DropReason> {
        //= RFC 4862 §5.4.3: a node MUST NOT answer for a tentative address.
        let standing = local
            .standing(message.target)
            .filter(|standing| *standing != Standing::Tentative);
        let from_nobody = heard.src.is_unspecified();
        // Who probes for an address may be whom we are a proxy of, come back: it gets no answer.
        let proxied = || {
            let proxies = !from_nobody && local.proxies(message.target, heard.src);
            proxies.then_some(Standing::Proxied)
        };
        let standing = standing.or_else(proxied).ok_or(DropReason::NdpNotForUs)?;
        //= RFC 4861 §4.4 and RFC 4443 §2.2 an answer comes from a unicast address of the interface.
        let src = match standing {
            Standing::Anycast | Standing::Proxied => local.source_to(heard.src),
            _ => Some(message.target),
        };
        let src = src.ok_or(DropReason::NdpNotForUs)?;
        //= RFC 4861 §7.2.3: who asks, and says where it is, is remembered as STALE before the answer;
        //= who has no address is not. What the cache refuses it counts; the answer is due all the same.
        if let Some(mac) = source_mac {
            let claim = match local.is_on_link(heard.src) {
                true => Claim::Request,
                false => Claim::Announcement { overrides: true },
            };
            let _ = cache.handle_claim(now, IpAddr::V6(heard.src), mac, claim);
        }
        if !self.limiter.take(now, source_mac.unwrap_or(heard.mac)) {
            self.stats.limited += 1;
            return Err(DropReason::NdpRateLimited);
        }
        if self.answers.len() + self.delayed.len() >= self.max_answers {
            self.stats.limited += 1;
            return Err(DropReason::ReplyQueueFull);
        }
        //= RFC 4861 §7.2.4: who has no address is answered by all nodes' group, Solicited clear;
        //= everyone else alone, Solicited set.
        let answer = Answer {
            src,
            standing,
            target: message.target,
            dst: if from_nobody { ALL_NODES } else { heard.src },
            to: source_mac.filter(|mac| mac.is_unicast()),
            solicited: !from_nobody,
        };
        match standing {
            //= RFC 4861 §7.2.7 and §7.2.8: several may answer, so each waits at random up to
            //= MAX_ANYCAST_DELAY_TIME; whom a probe names alone need not.
            Standing::Anycast | Standing::Proxied if heard.dst.is_multicast() => {
                let wait = self.rng.between(Duration::ZERO, MAX_ANYCAST_DELAY_TIME);
                self.delayed.push((now + wait, answer));
            }
            _ => self.answers.push_back(answer),
        }
        Ok(())
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something now.
    #[must_use]
    #[inline]
    pub fn has_output(&self) -> bool {
        !self.answers.is_empty()
    }

    /// The next message to send, from the station `mac`, which is a router's or not.
    pub fn poll_transmit(&mut self, mac: MacAddr, router: bool) -> Option<Outgoing> {
        let Answer {
            src,
            standing,
            target,
            dst,
            to,
            solicited,
        } = self.answers.pop_front()?;
        self.stats.answers_out += 1;
        if standing == Standing::Proxied {
            self.stats.proxied_out += 1;
        }
        let flags = Flags {
            router,
            solicited,
            //= RFC 4429 §3.3: an answer for an optimistic address has Override clear; RFC 4861 §7.2.7
            //= and §7.2.8: so have those for anycast addresses and for others.
            overrides: standing == Standing::Assigned,
        };
        Some(advertisement_from(src, mac, target, dst, to, flags))
    }

    /// When [`handle_timeout`](Self::handle_timeout) has work next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.delayed.iter().map(|(at, _)| *at).min()
    }

    /// Lets the answers go whose time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            let due = self.delayed.iter().filter(|(at, _)| *at <= now);
            self.answers.extend(due.map(|(_, answer)| *answer));
            self.delayed.retain(|(at, _)| *at > now);
        }
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }
}

fn handle_advertisement(
    now: Instant,
    (message, target_mac): (&NeighborAdvertisement<'_>, Option<MacAddr>),
    cache: &mut Cache,
) -> Result<Option<Ipv6Addr>, DropReason> {
    let target = IpAddr::V6(message.target);
    let known = cache.neighbor(target).and_then(|n| n.mac);
    //= RFC 4861 §7.2.5: without a link-layer address it says something about the one that is known,
    //= and nothing where none is.
    let mac = target_mac.or(known).ok_or(DropReason::NdpUnsolicited)?;
    let overrides = message.override_;
    let claim = match message.solicited {
        true => Claim::Reply { overrides },
        false => Claim::Announcement { overrides },
    };
    let told = cache.handle_claim(now, target, mac, claim);
    //= RFC 4861 §7.2.5 (I): what contradicts without Override updates nothing.
    told.map_err(DropReason::of_ipv6)?;
    let routes_no_more = cache.set_router(target, message.router);
    Ok(routes_no_more.then_some(message.target))
}

/// The solicitation of `target` from `src`: to its group, or to the MAC that is being probed.
/// `src` should be the address that the packet behind it comes from, and not an optimistic one.
//= RFC 4861 §7.2.2: the source link-layer address is in what goes to a group; we always tell it.
#[must_use]
pub fn solicitation(
    mac: MacAddr,
    src: Ipv6Addr,
    target: Ipv6Addr,
    to: Option<MacAddr>,
) -> Outgoing {
    let dst = match to {
        None => solicited_node(target),
        Some(_) => target,
    };
    let option = NdpOption::SourceLinkLayerAddress(&mac.0);
    solicit(src, dst, target, to, &option)
}

/// The question whether anyone has `target`, before it is ours (RFC 4862 §5.4.2), with a nonce
/// (RFC 7527 §4.1).
#[must_use]
pub fn probe(target: Ipv6Addr, nonce: &[u8]) -> Outgoing {
    let dst = solicited_node(target);
    let option = NdpOption::Nonce(nonce);
    solicit(Ipv6Addr::UNSPECIFIED, dst, target, None, &option)
}

/// The question for routers, from `src` where we have an address on the link to be answered at.
//= RFC 4861 §6.3.7 to all routers, and with our link-layer address unless the source is unspecified.
#[must_use]
pub fn router_solicitation(mac: MacAddr, src: Option<Ipv6Addr>) -> Outgoing {
    let bytes = match src {
        Some(_) => option_bytes(&NdpOption::SourceLinkLayerAddress(&mac.0)),
        None => Vec::new(),
    };
    let message = Message::RouterSolicitation(RouterSolicitation {
        reserved: 0,
        options: &bytes,
    });
    let src = src.unwrap_or(Ipv6Addr::UNSPECIFIED);
    outgoing(src, ALL_ROUTERS, None, &message)
}

fn solicit(
    src: Ipv6Addr,
    dst: Ipv6Addr,
    target: Ipv6Addr,
    to: Option<MacAddr>,
    option: &NdpOption<'_>,
) -> Outgoing {
    let bytes = option_bytes(option);
    let message = Message::NeighborSolicitation(NeighborSolicitation {
        reserved: 0,
        target,
        options: &bytes,
    });
    outgoing(src, dst, to, &message)
}

/// The advertisement of `target`, which is ours, at `mac`.
#[must_use]
pub fn advertisement(
    mac: MacAddr,
    target: Ipv6Addr,
    dst: Ipv6Addr,
    to: Option<MacAddr>,
    flags: Flags,
) -> Outgoing {
    advertisement_from(target, mac, target, dst, to, flags)
}

fn advertisement_from(
    src: Ipv6Addr,
    mac: MacAddr,
    target: Ipv6Addr,
    dst: Ipv6Addr,
    to: Option<MacAddr>,
    flags: Flags,
) -> Outgoing {
    let bytes = option_bytes(&NdpOption::TargetLinkLayerAddress(&mac.0));
    let message = Message::NeighborAdvertisement(NeighborAdvertisement {
        router: flags.router,
        solicited: flags.solicited,
        override_: flags.overrides,
        reserved: 0,
        target,
        options: &bytes,
    });
    outgoing(src, dst, to, &message)
}

/// Tells `neighbour`, whose packet this is, that what goes to a destination had better go to a
/// target, which is at a station where that is known.
//= RFC 4861 §8.2 with the target's link-layer address, if known, and as much of the packet as fits
//= the minimum MTU.
#[must_use]
pub fn redirect(
    src: Ipv6Addr,
    neighbour: Ipv6Addr,
    (destination, target, mac): (Ipv6Addr, Ipv6Addr, Option<MacAddr>),
    packet: &[u8],
) -> Outgoing {
    // Behind the IPv6 header, the fixed part, the station's option and the quote's own header.
    const ROOM: usize = MIN_MTU - HEADER_LEN - 40 - 8 - 8;
    let mut list = mac.map_or_else(Vec::new, |mac| {
        option_bytes(&NdpOption::TargetLinkLayerAddress(&mac.0))
    });
    //= RFC 4861 §4.6.3 the option is a multiple of eight long: what is longer is cut, else padded.
    let mut quote: Vec<u8> = packet.get(..ROOM).unwrap_or(packet).into();
    quote.resize(quote.len().next_multiple_of(8), 0);
    list.extend(option_bytes(&NdpOption::RedirectedHeader {
        reserved: [0; 6],
        packet: &quote,
    }));
    let message = Message::Redirect(Redirect {
        reserved: 0,
        target,
        destination,
        options: &list,
    });
    outgoing(src, neighbour, None, &message)
}

fn option_bytes(option: &NdpOption<'_>) -> Vec<u8> {
    let mut bytes = alloc::vec![0; option.emit_len()];
    let written = option.emit(&mut Writer::new(&mut bytes));
    debug_assert!(written.is_ok(), "room was made for it");
    bytes
}

fn outgoing(src: Ipv6Addr, dst: Ipv6Addr, to: Option<MacAddr>, message: &Message<'_>) -> Outgoing {
    let mut bytes = alloc::vec![0; message.emit_len()];
    let sum = message.compute_checksum(src, dst);
    let written = message.emit(&mut Writer::new(&mut bytes), sum);
    debug_assert!(written.is_ok(), "room was made for it");
    Outgoing {
        src,
        dst,
        to,
        message: bytes,
    }
}

#[cfg(test)]
#[path = "tests/ndp.rs"]
mod tests;
