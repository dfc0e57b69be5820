//! What the host tells its driver: which sockets have something to do, and what became of
//! addresses. A ready list, never a growing queue: a socket is on it at most once.

use crate::net::advertisement::Disagreement;
use crate::transport::{Key, Readiness};
use crate::wire::{MacAddr, Zoned};
use core::net::{IpAddr, Ipv6Addr};

/// A UDP socket of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UdpHandle(pub(super) Key);

/// A raw or echo socket of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawHandle(pub(super) Key);

/// A TCP connection of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TcpHandle(pub(super) Key);

/// A TCP listener of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenHandle(pub(super) Key);

/// Who is on a list: one of the three tables, and a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// A UDP, raw or echo socket.
    Socket(Key),
    /// A connection.
    Tcp(Key),
    /// A listener.
    Listener(Key),
}

/// Something the driver may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A UDP socket became ready.
    Udp(UdpHandle, Readiness),
    /// A raw or echo socket became ready.
    Raw(RawHandle, Readiness),
    /// A connection became ready: the first time for writing is when it is open.
    Tcp(TcpHandle, Readiness),
    /// A connection waits to be accepted.
    Listener(ListenHandle),
    /// An address of an interface may be used now.
    AddressUsable {
        /// The interface.
        interface: u16,
        /// The address.
        addr: IpAddr,
    },
    /// What a path is known to carry changed (RFC 1191). Sockets look it up at each send; this is
    /// for whoever sizes datagrams beforehand.
    PathMtu {
        /// The destination.
        dst: Zoned,
        /// The path's MTU; `None`: the link's again.
        mtu: Option<u16>,
    },
    /// Another station has an address of ours.
    AddressConflict {
        /// The interface.
        interface: u16,
        /// The address.
        addr: IpAddr,
        /// Who.
        mac: MacAddr,
        /// Whether we gave it up.
        lost: bool,
    },
    /// Another router of a link advertises what contradicts us (RFC 4861 §6.2.7): hosts change their
    /// minds with each advertisement.
    RouterDisagrees {
        /// The interface.
        interface: u16,
        /// The other router.
        router: Ipv6Addr,
        /// What it says otherwise.
        what: Disagreement,
    },
    /// Someone answered what [`Host::arp_ask`](super::Host::arp_ask) asked.
    ArpReply {
        /// The interface.
        interface: u16,
        /// The address asked for.
        addr: IpAddr,
        /// Who has it, or probes for it too.
        mac: MacAddr,
        /// The answer went to everyone.
        broadcast: bool,
    },
}
