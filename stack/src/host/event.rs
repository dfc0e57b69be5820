//! What the host tells its driver: which sockets have something to do, and what became of
//! addresses. A ready list, never a growing queue: a socket is on it at most once.

use crate::transport::Key;
use crate::wire::MacAddr;
use core::net::IpAddr;
use core::ops::{BitOr, BitOrAssign};

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

/// What a socket is ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// There is something to receive.
    pub const READABLE: Self = Self(1);
    /// There is room to send again.
    pub const WRITABLE: Self = Self(2);
    /// There is an error to take.
    pub const ERROR: Self = Self(4);

    /// Whether any of `other` is in this.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Readiness {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Readiness {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
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
        dst: IpAddr,
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
