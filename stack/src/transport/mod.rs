//! From program to program: sockets, the table that finds them, and the ports they take.
//!
//! ```text
//!   packet --(protocol, local, remote)--> demux --> socket --> receive queue --> user
//!   ICMP error --its quote----------------^             \----> error queue
//! ```
//!
//! Read first: RFC 768, RFC 1122 §4.1, RFC 6056.
//!
//! Promises: finding a socket costs the same with one socket and with a million; a queue that is
//! full refuses the newest and says so; no socket asks for a route (the host does).

pub mod demux;
pub mod pool;
pub mod ports;
pub mod raw;
mod readiness;
pub mod sent;
pub mod slab;
pub mod tcp;
pub mod udp;

pub use pool::{Chain, Pool};
pub use readiness::Readiness;
pub use slab::{Key, Slab};

use crate::wire::{icmpv4, icmpv6};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Any address of a family: what a socket is bound to that is bound to a port only.
#[must_use]
#[inline]
pub const fn any_of(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// Whether this is the unspecified address of IPv6, which may stand for IPv4's as well.
#[must_use]
#[inline]
pub const fn is_any6(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(addr) if addr.is_unspecified())
}

/// Whether what is sent to `addr` is for who is bound to `bound`: all of a family where that is
/// unspecified, or with `dual` all there are.
//= RFC 3493 §5.3 a socket at all addresses of IPv6 is one at those of IPv4, too, unless it is told
//= otherwise.
// We differ: RFC 3493 §3.7 a peer of IPv4 is told as such and not as `::ffff:a.b.c.d`, since a
// [`SocketAddr`] says of which family it is. Who calls may give either form.
#[must_use]
#[inline]
pub fn covers(bound: IpAddr, dual: bool, addr: IpAddr) -> bool {
    bound == addr || bound == any_of(addr) || (dual && addr.is_ipv4())
}

/// An ICMP error that came back for something a socket sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// Who says so.
    pub offender: IpAddr,
    /// Where the packet was going; the port is the ICMP sequence number for echo sockets and zero
    /// where the protocol has no ports.
    pub to: SocketAddr,
    /// ICMP type, as received.
    pub icmp_type: u8,
    /// ICMP code, as received.
    pub icmp_code: u8,
}

/// ICMP errors that wait in a socket for its user, the oldest first. Few sockets ever have any:
/// those that have none are the smaller for it.
#[derive(Clone, Debug, Default)]
struct Errors(Option<Box<Kept>>);

#[derive(Clone, Debug, Default)]
struct Kept(VecDeque<SocketError>);

impl Errors {
    /// Kept for the user; the oldest goes where there are too many.
    const MAX: usize = 16;

    const fn new() -> Self {
        Self(None)
    }

    fn push(&mut self, error: SocketError) {
        let errors = &mut self.0.get_or_insert_default().0;
        if errors.len() == Self::MAX {
            errors.pop_front();
        }
        errors.push_back(error);
    }

    fn take(&mut self) -> Option<SocketError> {
        self.0.as_mut()?.0.pop_front()
    }

    /// Takes the oldest hard one.
    fn take_hard(&mut self) -> Option<SocketError> {
        let errors = &mut self.0.as_mut()?.0;
        let at = errors.iter().position(|e| e.kind.is_hard())?;
        errors.remove(at)
    }
}

/// ICMP errors by meaning, the same for both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No route to the network.
    NetUnreachable,
    /// No way to the host.
    HostUnreachable,
    /// The host does not speak the protocol.
    ProtocolUnreachable,
    /// Nobody listens there.
    PortUnreachable,
    /// Too big for a link on the way; the largest that fits.
    PacketTooBig {
        /// The next hop's MTU.
        mtu: u32,
    },
    /// A filter on the way refuses it.
    Prohibited,
    /// The time to live ran out on the way.
    TtlExpired,
    /// The destination did not get all fragments in time.
    ReassemblyTimeout,
    /// A header field is wrong; its offset.
    ParameterProblem {
        /// Byte offset into the packet.
        pointer: u32,
    },
    /// Any other code.
    Other,
}

impl ErrorKind {
    /// The meaning of an ICMPv4 error message; `None` for what is no error.
    #[must_use]
    pub fn from_icmpv4(message: &icmpv4::Message<'_>, code: u8) -> Option<Self> {
        Some(match message {
            icmpv4::Message::DestinationUnreachable { next_hop_mtu, .. } => match code {
                0 | 6 | 11 => Self::NetUnreachable,
                1 | 7 | 8 | 12 => Self::HostUnreachable,
                2 => Self::ProtocolUnreachable,
                3 => Self::PortUnreachable,
                4 => Self::PacketTooBig {
                    mtu: u32::from(*next_hop_mtu),
                },
                9 | 10 | 13..=15 => Self::Prohibited,
                _ => Self::Other,
            },
            icmpv4::Message::TimeExceeded { .. } if code == 1 => Self::ReassemblyTimeout,
            icmpv4::Message::TimeExceeded { .. } => Self::TtlExpired,
            icmpv4::Message::ParameterProblem { pointer, .. } => Self::ParameterProblem {
                pointer: u32::from(*pointer),
            },
            _ => return None,
        })
    }

    /// The meaning of an ICMPv6 error message; `None` for what is no error.
    #[must_use]
    pub const fn from_icmpv6(message: &icmpv6::Message<'_>) -> Option<Self> {
        Some(match message {
            icmpv6::Message::DestinationUnreachable { code, .. } => match code.0 {
                0 => Self::NetUnreachable,
                2 | 3 => Self::HostUnreachable,
                4 => Self::PortUnreachable,
                1 | 5 | 6 => Self::Prohibited,
                _ => Self::Other,
            },
            icmpv6::Message::PacketTooBig { mtu, .. } => Self::PacketTooBig { mtu: *mtu },
            icmpv6::Message::TimeExceeded { code, .. } if code.0 == 1 => Self::ReassemblyTimeout,
            icmpv6::Message::TimeExceeded { .. } => Self::TtlExpired,
            //= RFC 4443 §3.4 a next header that is not known there is what IPv4 calls a protocol
            //= that cannot be reached.
            icmpv6::Message::ParameterProblem { code, .. } if code.0 == 1 => {
                Self::ProtocolUnreachable
            }
            icmpv6::Message::ParameterProblem { pointer, .. } => {
                Self::ParameterProblem { pointer: *pointer }
            }
            //= RFC 4443 §2.4 (a) an error of a type that is not known is handed up all the same.
            icmpv6::Message::Unknown { kind, .. } if icmpv6::is_error(*kind) => Self::Other,
            _ => return None,
        })
    }

    /// Whether a connected socket's next call shall fail with it. RFC 1122 §4.2.3.9 calls the
    /// others soft: the path may heal.
    #[must_use]
    pub const fn is_hard(self) -> bool {
        matches!(self, Self::PortUnreachable | Self::ProtocolUnreachable)
    }
}
