//! ARP on one interface: answers who asks for us, and tells the cache what others say.
//!
//! ```text
//!   arp::Packet --> handle_packet --+--> neighbor::Cache::handle_claim   (who has which MAC)
//!                                   |
//!                                   +--> replies, bounded --> poll_transmit --> (dst, arp::Packet)
//!
//!   neighbor::Action::Solicit ----> request()  -----------------------------> (dst, arp::Packet)
//! ```
//!
//! Read first: RFC 826 "Packet Reception"; RFC 1122 §2.3.2; RFC 1812 §3.3.2; RFC 5227 §2.5-2.6.
//!
//! Promises:
//! - Each packet that is refused says why. A request that is answered is not refused, even where
//!   its sender contradicts the cache, which counts that as a conflict.
//! - Replies wait in a queue of bounded length, each source gets a bounded rate, and so do all
//!   proxied answers together. Memory is fixed at birth.
//! - The cache learns of a stranger only from a request for an address of ours by a sender on the
//!   link; everything else can at most contradict what is known, under the rules of
//!   [`super::neighbor`].
//!
//! Conflicts over our own addresses are [`super::acd`]'s; give it each packet first.
//!
//! Left out: RARP, InARP and other hardware than Ethernet; learning from the Ethernet header, which
//! a bridge may have rewritten; guessing at a proxy's prefixes: proxy ARP answers for a configured
//! list only.

use super::neighbor::{Cache, Claim};
use super::rate::{StationLimiter, TokenBucket};
use crate::reason::DropReason;
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::arp::{Operation, Packet};
use crate::wire::{Cidr, MacAddr};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

/// What ARP may answer, and how fast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Replies that wait for the link at most.
    pub max_replies: usize,
    /// Replies a second to one source.
    pub reply_rate: u32,
    /// Replies to one source in one burst: as a scan of a whole /24 asks, some of it twice.
    pub reply_burst: u32,
    /// Networks that we answer for where they lie behind another interface of ours (proxy ARP).
    /// None by default: it hides mistakes.
    pub proxy: Vec<Cidr>,
    /// Proxied replies a second, over all sources.
    pub proxy_rate: u32,
    /// Proxied replies in one burst.
    pub proxy_burst: u32,
    /// Replies go to everyone: two hosts with one address then find out sooner, at the price of
    /// twice the broadcasts (RFC 5227 §2.6 does not recommend it). Replies about link-local
    /// addresses always do (RFC 3927 §2.5).
    pub broadcast_replies: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_replies: 64,
            reply_rate: 1000,
            reply_burst: 1024,
            proxy: Vec::new(),
            proxy_rate: 1000,
            proxy_burst: 1024,
            broadcast_replies: false,
        }
    }
}

/// How the frame around the packet was addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// To our MAC.
    Unicast,
    /// To a group or to everyone.
    Broadcast,
}

/// What ARP must know of the interface it serves.
pub trait Local {
    /// Our MAC.
    fn mac(&self) -> MacAddr;
    /// Whether we may use `addr` on this interface: assigned, and no longer being probed for.
    fn is_ours(&self, addr: Ipv4Addr) -> bool;
    /// Whether `addr` lies in a network of this interface.
    fn is_on_link(&self, addr: Ipv4Addr) -> bool;
    /// Whether our best route to `addr` leaves by another interface: only then may we be its proxy.
    fn is_routed_elsewhere(&self, addr: Ipv4Addr) -> bool {
        let _ = addr;
        false
    }
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests received, probes included.
    pub requests_in: u64,
    /// Replies received.
    pub replies_in: u64,
    /// Announcements received: gratuitous ARP of either operation.
    pub announcements_in: u64,
    /// Replies given to the link, proxied ones included.
    pub replies_out: u64,
    /// Replies given to the link on behalf of others.
    pub proxied_out: u64,
    /// Announcements given to the link.
    pub announcements_out: u64,
    /// Requests that were not answered for their rate, or for a full queue.
    pub limited: u64,
}

/// ARP on one interface.
#[derive(Clone, Debug)]
pub struct Arp {
    config: Config,
    sources: StationLimiter,
    proxied: TokenBucket,
    queue: VecDeque<(MacAddr, Packet)>,
    stats: Stats,
}

impl Arp {
    /// ARP with nothing to say yet.
    #[must_use]
    pub fn new(config: Config, mut rng: Rng) -> Self {
        Self {
            sources: StationLimiter::new(config.reply_rate, config.reply_burst, &mut rng),
            proxied: TokenBucket::new(config.proxy_rate, config.proxy_burst),
            queue: VecDeque::new(),
            stats: Stats::default(),
            config,
        }
    }

    /// Takes a packet: updates the cache, and queues the reply where one is due.
    ///
    /// # Errors
    /// Why it was refused.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        packet: &Packet,
        delivery: Delivery,
        local: &impl Local,
        cache: &mut Cache,
    ) -> Result<(), DropReason> {
        let announcement = packet.is_announcement();
        match packet.operation {
            _ if announcement => self.stats.announcements_in += 1,
            Operation::REQUEST => self.stats.requests_in += 1,
            Operation::REPLY => self.stats.replies_in += 1,
            _ => return Err(DropReason::ArpMalformed),
        }
        check_sender(packet, local)?;
        let for_us = local.is_ours(packet.target_ip);
        if packet.is_probe() {
            //= RFC 5227 §2.5: A probe for an address in use is answered like any request. A proxy
            // stays silent, or nobody could ever take the address.
            return if for_us {
                self.reply(now, packet, local)
            } else {
                Err(DropReason::ArpNotForUs)
            };
        }
        let ip = IpAddr::V4(packet.sender_ip);
        let mut tell = |claim| cache.handle_claim(now, ip, packet.sender_mac, claim);
        match packet.operation {
            _ if announcement => tell(Claim::Announcement { overrides: true }),
            Operation::REQUEST if for_us => {
                //= RFC 826 "Packet Reception": who asks for us is merged into the table before the
                // answer. What the cache refuses it counts; the answer is due all the same.
                let _ = tell(if local.is_on_link(packet.sender_ip) {
                    Claim::Request
                } else {
                    Claim::Announcement { overrides: true }
                });
                self.reply(now, packet, local)
            }
            Operation::REQUEST if self.proxies(packet, local) => {
                self.reply_as_proxy(now, packet, local)
            }
            Operation::REPLY if for_us => tell(Claim::Reply { overrides: true }),
            //= RFC 826 "Packet Reception": an overheard packet updates a pair that is known.
            _ if delivery == Delivery::Broadcast => {
                match tell(Claim::Announcement { overrides: true }) {
                    Err(DropReason::NeighborProtected) => Err(DropReason::NeighborProtected),
                    _ => Err(DropReason::ArpNotForUs),
                }
            }
            _ => Err(DropReason::ArpNotForUs),
        }
    }

    /// Queues an announcement that `addr` is at `mac`: after our MAC changed, say. Claiming an
    /// address announces by itself ([`super::acd`]). False where the queue is full.
    pub fn announce(&mut self, mac: MacAddr, addr: Ipv4Addr) -> bool {
        self.push(MacAddr::BROADCAST, announcement(mac, addr))
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something now.
    #[must_use]
    #[inline]
    pub fn has_output(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next packet to send, and to whom.
    pub fn poll_transmit(&mut self) -> Option<(MacAddr, Packet)> {
        let (dst, packet) = self.queue.pop_front()?;
        if packet.operation == Operation::REPLY {
            self.stats.replies_out += 1;
        } else {
            self.stats.announcements_out += 1;
        }
        Some((dst, packet))
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    fn proxies(&self, packet: &Packet, local: &impl Local) -> bool {
        let target = packet.target_ip;
        self.config.proxy.iter().any(|p| p.contains(IpAddr::V4(target)))
            && is_host(target)
            // Only for what a route leads to by another interface: on the asker's own link the owner
            // answers, and two answers would be a conflict.
            && local.is_routed_elsewhere(target)
            && !local.is_routed_elsewhere(packet.sender_ip)
    }

    fn reply_as_proxy(
        &mut self,
        now: Instant,
        packet: &Packet,
        local: &impl Local,
    ) -> Result<(), DropReason> {
        if !self.proxied.take(now) {
            self.stats.limited += 1;
            return Err(DropReason::ArpRateLimited);
        }
        self.reply(now, packet, local)?;
        self.stats.proxied_out += 1;
        Ok(())
    }

    fn reply(
        &mut self,
        now: Instant,
        request: &Packet,
        local: &impl Local,
    ) -> Result<(), DropReason> {
        if !self.sources.take(now, request.sender_mac) {
            self.stats.limited += 1;
            return Err(DropReason::ArpRateLimited);
        }
        //= RFC 826 "Packet Reception": swap sender and target, fill in our MAC, and send it to the
        // new target.
        let reply = Packet {
            operation: Operation::REPLY,
            sender_mac: local.mac(),
            sender_ip: request.target_ip,
            target_mac: request.sender_mac,
            target_ip: request.sender_ip,
        };
        let everyone = self.config.broadcast_replies || request.target_ip.is_link_local();
        let dst = if everyone {
            MacAddr::BROADCAST
        } else {
            request.sender_mac
        };
        if self.push(dst, reply) {
            Ok(())
        } else {
            self.stats.limited += 1;
            Err(DropReason::ReplyQueueFull)
        }
    }

    fn push(&mut self, dst: MacAddr, packet: Packet) -> bool {
        let room = self.queue.len() < self.config.max_replies;
        if room {
            self.queue.push_back((dst, packet));
        }
        room
    }
}

/// The request for `target`, and to whom it goes: to everyone, or to the MAC that is being probed
/// (RFC 1122 §2.3.2.1's unicast poll). `our_ip` should be the address that the packet behind it
/// comes from, or one of the target's network.
#[must_use]
pub fn request(
    our_mac: MacAddr,
    our_ip: Ipv4Addr,
    target: Ipv4Addr,
    to: Option<MacAddr>,
) -> (MacAddr, Packet) {
    let packet = Packet {
        operation: Operation::REQUEST,
        sender_mac: our_mac,
        sender_ip: our_ip,
        target_mac: MacAddr::ZERO,
        target_ip: target,
    };
    //= RFC 3927 §2.5: What names a link-local sender goes to everyone.
    let dst = to.filter(|_| !our_ip.is_link_local());
    (dst.unwrap_or(MacAddr::BROADCAST), packet)
}

/// The ARP announcement of `addr` at `mac` (RFC 5227 §2.3): a request, since more receivers
/// understand it than a reply (§3).
#[must_use]
pub const fn announcement(mac: MacAddr, addr: Ipv4Addr) -> Packet {
    Packet {
        operation: Operation::REQUEST,
        sender_mac: mac,
        sender_ip: addr,
        target_mac: MacAddr::ZERO,
        target_ip: addr,
    }
}

/// The ARP probe for `addr` (RFC 5227 §2.1.1): it names no sender address, so no cache learns it.
#[must_use]
pub const fn probe(mac: MacAddr, addr: Ipv4Addr) -> Packet {
    Packet {
        operation: Operation::REQUEST,
        sender_mac: mac,
        sender_ip: Ipv4Addr::UNSPECIFIED,
        target_mac: MacAddr::ZERO,
        target_ip: addr,
    }
}

fn check_sender(packet: &Packet, local: &impl Local) -> Result<(), DropReason> {
    //= RFC 1812 §3.3.2: No claim that a host's MAC is a group's is believed.
    if !packet.sender_mac.is_unicast() || packet.sender_mac == local.mac() {
        return Err(DropReason::ArpBadSender);
    }
    if packet.is_probe() || is_host(packet.sender_ip) {
        if local.is_ours(packet.sender_ip) {
            return Err(DropReason::ArpConflict);
        }
        return Ok(());
    }
    Err(DropReason::ArpBadSender)
}

/// Whether one host of the link can have this address (RFC 1122 §3.2.1.3).
const fn is_host(addr: Ipv4Addr) -> bool {
    let [first, ..] = addr.octets();
    !matches!(first, 0 | 127 | 224..)
}

#[cfg(test)]
#[path = "tests/arp.rs"]
mod tests;
