//! ARP asked by a user: requests and probes that leave as they are, and who answers them.
//!
//! ```text
//!   arp_ask, arp_announce -> queue -> poll_transmit      (beside the neighbour cache, not through it)
//!   reply from the target -> Event::ArpReply             (and to the cache, as any other)
//! ```
//!
//! Read first: RFC 826 "Packet Reception"; RFC 5227 §1.1, §2.1.1 and §2.3.
//!
//! Promises: asking changes nothing that the host knows or claims, so that a probe for an address
//! can be sent by an interface that has none; both tables are bounded, and a call that finds one
//! full says so; what a reply claims still passes the cache's own rules.
//!
//! Left out: retries and time limits, which are the caller's.

use super::interface::Interface;
use super::{Event, Host, Medium};
use crate::net::arp::{announcement, request};
use crate::wire::MacAddr;
use crate::wire::arp::{Operation, Packet};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr};

/// Requests that wait for one interface, and targets that are listened for.
const MAX_ASKED: usize = 64;

/// What users asked of one interface.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    queue: VecDeque<Packet>,
    /// Whose replies are told, and whether rival probes are too.
    targets: Vec<(Ipv4Addr, bool)>,
}

/// Why nothing was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskError {
    /// There is no such interface, it is down, or it has no link layer to resolve.
    NoLink,
    /// The interface has no address to ask from.
    NoAddress,
    /// Too many requests wait, or too many targets are listened for.
    Full,
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLink => "the interface has no link to ask on",
            Self::NoAddress => "the interface has no address to ask from",
            Self::Full => "too many ARP requests wait",
        })
    }
}

impl core::error::Error for AskError {}

impl Asked {
    pub(super) fn poll_transmit(&mut self) -> Option<(MacAddr, Packet)> {
        Some((MacAddr::BROADCAST, self.queue.pop_front()?))
    }

    /// The station that a packet shows to have, or to want, an address that is listened for.
    pub(super) fn hears(&self, packet: &Packet, our_mac: MacAddr) -> Option<Ipv4Addr> {
        let claims = |&&(target, probed): &&(Ipv4Addr, bool)| {
            let holds =
                packet.sender_ip == target && (probed || packet.operation == Operation::REPLY);
            //= RFC 5227 §2.1.1 while probing, a probe for the same address by another station is
            //= a conflict too.
            holds || (probed && packet.is_probe() && packet.target_ip == target)
        };
        let (target, _) = self.targets.iter().find(claims)?;
        (packet.sender_mac != our_mac).then_some(*target)
    }

    fn push(&mut self, packet: Packet) -> Result<(), AskError> {
        if self.queue.len() >= MAX_ASKED {
            return Err(AskError::Full);
        }
        self.queue.push_back(packet);
        Ok(())
    }

    fn listen(&mut self, target: Ipv4Addr, probe: bool) -> Result<(), AskError> {
        if self.targets.contains(&(target, probe)) {
            return Ok(());
        }
        if self.targets.len() >= MAX_ASKED {
            return Err(AskError::Full);
        }
        self.targets.push((target, probe));
        Ok(())
    }
}

impl Host {
    /// Broadcasts an ARP request for `target`, or with `probe` an ARP probe, whose sender address
    /// is zero (RFC 5227 §1.1). From then on [`Event::ArpReply`] tells who has the address (or, with
    /// `probe`, wants it as well), until [`arp_forget`](Self::arp_forget).
    ///
    /// # Errors
    /// See [`AskError`]; nothing was asked.
    pub fn arp_ask(
        &mut self,
        interface: u16,
        target: Ipv4Addr,
        probe: bool,
    ) -> Result<(), AskError> {
        let at = self.link(interface)?;
        let ours = match probe {
            true => Ipv4Addr::UNSPECIFIED,
            false => at.source_for(target).ok_or(AskError::NoAddress)?,
        };
        at.asked.listen(target, probe)?;
        let (_, packet) = request(at.config.mac, ours, target, None);
        at.asked.push(packet)
    }

    /// Broadcasts an ARP announcement: that `addr` is at this interface's MAC (RFC 5227 §2.3).
    /// Whether that is so, the caller must know.
    ///
    /// # Errors
    /// See [`AskError`]; nothing was announced.
    pub fn arp_announce(&mut self, interface: u16, addr: Ipv4Addr) -> Result<(), AskError> {
        let at = self.link(interface)?;
        let packet = announcement(at.config.mac, addr);
        at.asked.push(packet)
    }

    /// No longer tells who has `target`.
    pub fn arp_forget(&mut self, interface: u16, target: Ipv4Addr) {
        if let Some(at) = self.interface_mut(interface) {
            at.asked.targets.retain(|(t, _)| *t != target);
        }
    }

    fn link(&mut self, interface: u16) -> Result<&mut Interface, AskError> {
        self.interface_mut(interface)
            .filter(|i| i.up && i.config.medium == Medium::Ethernet)
            .ok_or(AskError::NoLink)
    }

    /// Tells the user about a packet that answers what was asked; whether it did.
    pub(super) fn hear_arp(&mut self, interface: u16, packet: &Packet, broadcast: bool) -> bool {
        let heard = self
            .interface(interface)
            .and_then(|at| at.asked.hears(packet, at.config.mac));
        let Some(addr) = heard else {
            return false;
        };
        self.tell(Event::ArpReply {
            interface,
            addr: IpAddr::V4(addr),
            mac: packet.sender_mac,
            broadcast,
        });
        true
    }
}
