//! An address and the zone that it means something in.
//!
//! ```text
//!   fe80::1%eth0      an address of one link, and which link
//!   ff02::1%2         a group, and the number of the zone that it is asked for in
//!   2001:db8::1       means the same everywhere: its zone is 0
//! ```
//!
//! Read first: RFC 4007 §6 (zone indices), §11 (how they are written).
//!
//! A zone's number is what `SocketAddrV6` calls the scope id: here an interface's number in its host,
//! counted from one. It stands in no packet.
//!
//! Left out: zones larger than a link.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// An address and the zone that it means something in; zero: none is given, or none is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zoned {
    /// The address.
    pub addr: IpAddr,
    /// The zone's number.
    pub zone: u32,
}

impl Zoned {
    /// An end of which the address is this, and the zone its scope id.
    #[must_use]
    pub const fn end(self, port: u16) -> SocketAddr {
        match self.addr {
            IpAddr::V6(addr) if self.zone != 0 => {
                SocketAddr::V6(SocketAddrV6::new(addr, port, 0, self.zone))
            }
            addr => SocketAddr::new(addr, port),
        }
    }
}

impl From<IpAddr> for Zoned {
    fn from(addr: IpAddr) -> Self {
        Self { addr, zone: 0 }
    }
}

impl From<Ipv4Addr> for Zoned {
    fn from(addr: Ipv4Addr) -> Self {
        IpAddr::V4(addr).into()
    }
}

impl From<Ipv6Addr> for Zoned {
    fn from(addr: Ipv6Addr) -> Self {
        IpAddr::V6(addr).into()
    }
}

impl From<SocketAddr> for Zoned {
    fn from(end: SocketAddr) -> Self {
        Self {
            addr: end.ip(),
            zone: of(end),
        }
    }
}

//= RFC 4007 §11.2 an address, a percent sign, the zone.
impl fmt::Display for Zoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.zone {
            0 => write!(f, "{}", self.addr),
            zone => write!(f, "{}%{zone}", self.addr),
        }
    }
}

/// The zone that an end is given with; zero where there is none.
#[must_use]
#[inline]
pub const fn of(end: SocketAddr) -> u32 {
    match end {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(end) => end.scope_id(),
    }
}

/// The zone of an interface: the scope id of ends on its link.
#[must_use]
pub const fn zone_of(interface: u16) -> u32 {
    #[expect(clippy::as_conversions, reason = "u16 to u32, in a constant function")]
    let at = interface as u32;
    at + 1
}

/// The interface of a zone; `None` where there is none.
#[must_use]
pub fn interface_of(zone: u32) -> Option<u16> {
    u16::try_from(zone.checked_sub(1)?).ok()
}

/// Whether an address is one of its link, and on another link somebody else's. (IPv4's are treated as
/// any other: RFC 3927 §2.6.2 leaves hosts with several links much choice.)
#[must_use]
#[inline]
pub const fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(_) => false,
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    }
}

/// An end, with the zone where its address is one of a link.
#[must_use]
#[inline]
pub const fn end(addr: IpAddr, port: u16, zone: u32) -> SocketAddr {
    match addr {
        IpAddr::V6(six) if six.is_unicast_link_local() => {
            SocketAddr::V6(SocketAddrV6::new(six, port, 0, zone))
        }
        addr => SocketAddr::new(addr, port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_zone_goes_with_addresses_of_a_link() {
        for (addr, want) in [
            ("fe80::1", "[fe80::1%3]:7"),
            ("ff02::1", "[ff02::1]:7"),
            ("fd07::1", "[fd07::1]:7"),
            ("10.0.0.1", "10.0.0.1:7"),
        ] {
            let got = end(addr.parse().unwrap(), 7, 3);
            assert_eq!(got.to_string(), want);
            assert_eq!(Zoned::from(got).end(7), got);
        }
        let group: SocketAddr = "[ff02::1%2]:0".parse().unwrap();
        assert_eq!(Zoned::from(group).to_string(), "ff02::1%2");
        assert_eq!(Zoned::from(group).end(0), group);
    }
}
