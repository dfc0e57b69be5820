//! What users asked of one interface's ARP: packets that wait, and whose replies are told.
//!
//! ```text
//!   arping (the host's calls) -> Asked, a part of each interface -> egress, ingress
//! ```

use crate::wire::MacAddr;
use crate::wire::arp::{Operation, Packet};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv4Addr;

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
    #[inline]
    pub(super) fn has_output(&self) -> bool {
        !self.queue.is_empty()
    }

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

    pub(super) fn push(&mut self, packet: Packet) -> Result<(), AskError> {
        if self.queue.len() >= MAX_ASKED {
            return Err(AskError::Full);
        }
        self.queue.push_back(packet);
        Ok(())
    }

    pub(super) fn listen(&mut self, target: Ipv4Addr, probe: bool) -> Result<(), AskError> {
        if self.targets.contains(&(target, probe)) {
            return Ok(());
        }
        if self.targets.len() >= MAX_ASKED {
            return Err(AskError::Full);
        }
        self.targets.push((target, probe));
        Ok(())
    }

    pub(super) fn forget(&mut self, target: Ipv4Addr) {
        self.targets.retain(|(t, _)| *t != target);
    }
}
