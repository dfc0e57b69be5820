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

use super::{Chain, Errors, Pool, SocketError};
use crate::frame::Frame;
use crate::reason::DropReason;
use crate::wire::Protocol;
use core::net::{IpAddr, Ipv4Addr};

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

impl Default for Packet {
    /// None: what a place in the store holds before it is filled.
    fn default() -> Self {
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            payload: Frame::default(),
            from: nobody,
            to: nobody,
            ttl: 0,
            interface: 0,
            options: bytes::Bytes::new(),
        }
    }
}

/// What a queued packet costs beside its bytes.
const OVERHEAD: usize = 256;

/// A raw socket's state.
#[derive(Clone, Debug)]
pub struct Socket {
    /// What it listens to.
    pub kind: Kind,
    /// How it sends; the same knobs as UDP's.
    pub options: super::udp::Options,
    /// Counters, as UDP's.
    pub stats: super::udp::Stats,
    rx: Chain,
    rx_bytes: usize,
    errors: Errors,
}

impl Socket {
    /// A socket for `kind`.
    #[must_use]
    pub fn new(kind: Kind, options: super::udp::Options) -> Self {
        Self {
            kind,
            options,
            stats: super::udp::Stats::default(),
            rx: Chain::new(),
            rx_bytes: 0,
            errors: Errors::new(),
        }
    }

    /// Queues a packet of `len` bytes for the user: the place in the host's store where it goes.
    ///
    /// # Errors
    /// [`DropReason::SocketQueueFull`].
    #[inline]
    pub fn push<'a>(
        &mut self,
        store: &'a mut Pool<Packet>,
        len: usize,
    ) -> Result<&'a mut Packet, DropReason> {
        let cost = len + OVERHEAD;
        if self.rx_bytes + cost <= self.options.receive_limit
            && let Some(place) = store.push(&mut self.rx)
        {
            self.rx_bytes += cost;
            self.stats.received += 1;
            return Ok(place);
        }
        self.stats.overflowed += 1;
        Err(DropReason::SocketQueueFull)
    }

    /// The next packet.
    #[inline]
    pub fn recv(&mut self, store: &mut Pool<Packet>) -> Option<Packet> {
        let packet = store.pop(&mut self.rx)?;
        self.rx_bytes -= packet.payload.len() + OVERHEAD;
        Some(core::mem::take(packet))
    }

    /// Drops what waits.
    pub fn clear(&mut self, store: &mut Pool<Packet>) {
        store.clear(&mut self.rx);
        self.rx_bytes = 0;
    }

    /// Packets waiting.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.rx.len()
    }

    /// Notes an ICMP error for the user; the oldest goes where there are too many.
    pub fn push_error(&mut self, error: SocketError) {
        self.stats.errors += 1;
        self.errors.push(error);
    }

    /// The oldest error not yet seen.
    pub fn take_error(&mut self) -> Option<SocketError> {
        self.errors.take()
    }
}
