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

use super::asked::AskError;
use super::interface::Interface;
use super::{Event, Host, Medium};
use crate::net::arp::{announcement, request};
use crate::wire::arp::Packet;
use core::net::{IpAddr, Ipv4Addr};

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
            at.asked.forget(target);
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
