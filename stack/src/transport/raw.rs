//! Raw IP sockets, and echo sockets for ping.
//!
//! ```text
//!   packet --protocol--> each raw socket of that protocol gets a copy (the bytes are shared)
//!   echo reply --identifier--> echo socket          quote --identifier--> its error queue
//! ```
//!
//! Read first: RFC 792 (echo), RFC 1122 §3.2.2.6 and §3.4.
//!
//! Promises: a raw socket sees whole packets, header included, after the checks of the network
//! layer; queues are bounded and refuse the newest.
//!
//! Left out: writing the IP header oneself without any check; the host still fills in length,
//! checksum and, where zero, identification and source, as raw(7) does on Linux.

use super::SocketError;
use crate::frame::Frame;
use crate::reason::DropReason;
use crate::wire::Protocol;
use alloc::collections::VecDeque;
use core::net::IpAddr;

/// What a raw socket listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All packets of an IP protocol.
    Ip(Protocol),
    /// Echo replies with this identifier, and errors about its requests.
    Echo(u16),
}

/// A received packet or echo reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The whole IP packet for [`Kind::Ip`]; the ICMP message for [`Kind::Echo`]. As it came, so
    /// that nothing is copied on the way.
    pub payload: Frame,
    /// Source address.
    pub from: IpAddr,
    /// Destination address.
    pub to: IpAddr,
    /// Time to live on arrival.
    pub ttl: u8,
    /// The interface it came by.
    pub interface: u16,
    /// IP options on arrival (record route, timestamp), for ping to show.
    pub options: bytes::Bytes,
}

/// What a queued packet costs beside its bytes.
const OVERHEAD: usize = 256;
/// Errors kept for the user.
const MAX_ERRORS: usize = 16;

/// A raw socket's state.
#[derive(Clone, Debug)]
pub struct Socket {
    /// What it listens to.
    pub kind: Kind,
    /// How it sends; the same knobs as UDP's.
    pub options: super::udp::Options,
    /// Counters, as UDP's.
    pub stats: super::udp::Stats,
    rx: VecDeque<Packet>,
    rx_bytes: usize,
    errors: VecDeque<SocketError>,
}

impl Socket {
    /// A socket for `kind`.
    #[must_use]
    pub fn new(kind: Kind, options: super::udp::Options) -> Self {
        Self {
            kind,
            options,
            stats: super::udp::Stats::default(),
            rx: VecDeque::new(),
            rx_bytes: 0,
            errors: VecDeque::new(),
        }
    }

    /// Queues a packet for the user.
    ///
    /// # Errors
    /// [`DropReason::SocketQueueFull`].
    pub fn push(&mut self, packet: Packet) -> Result<(), DropReason> {
        let cost = packet.payload.len() + OVERHEAD;
        if self.rx_bytes + cost > self.options.receive_limit {
            self.stats.overflowed += 1;
            return Err(DropReason::SocketQueueFull);
        }
        self.rx_bytes += cost;
        self.stats.received += 1;
        self.rx.push_back(packet);
        Ok(())
    }

    /// The next packet.
    pub fn recv(&mut self) -> Option<Packet> {
        let packet = self.rx.pop_front()?;
        self.rx_bytes -= packet.payload.len() + OVERHEAD;
        Some(packet)
    }

    /// Packets waiting.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.rx.len()
    }

    /// Notes an ICMP error for the user; the oldest goes where there are too many.
    pub fn push_error(&mut self, error: SocketError) {
        self.stats.errors += 1;
        if self.errors.len() == MAX_ERRORS {
            self.errors.pop_front();
        }
        self.errors.push_back(error);
    }

    /// The oldest error not yet seen.
    pub fn take_error(&mut self) -> Option<SocketError> {
        self.errors.pop_front()
    }
}
