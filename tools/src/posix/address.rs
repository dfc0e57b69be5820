//! Addresses as the program has them, and as the wire does: an `AF_INET6` socket says
//! `::ffff:192.0.2.1` for an IPv4 peer (RFC 4291 §2.5.5.2).

use super::{Errno, Mode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The wire's address, for what a program gave a socket of `domain`.
pub(super) fn to_wire(mode: Mode, domain: i32, addr: SocketAddr) -> Result<SocketAddr, Errno> {
    let ip = match (addr.ip(), domain) {
        (IpAddr::V4(ip), libc::AF_INET) => IpAddr::V4(ip),
        (IpAddr::V6(ip), libc::AF_INET6) => match ip.to_ipv4_mapped() {
            Some(four) => IpAddr::V4(four),
            // Over IPv4 alone, "any" is any of IPv4's.
            None if ip.is_unspecified() && mode != Mode::V6 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            None => IpAddr::V6(ip),
        },
        _ => return Err(Errno::EAFNOSUPPORT),
    };
    Ok(SocketAddr::new(ip, addr.port()))
}

/// The program's, for one of the wire's.
pub(super) fn to_program(domain: i32, addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if domain == libc::AF_INET6 && ip.is_unspecified() => {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        }
        IpAddr::V4(ip) if domain == libc::AF_INET6 => IpAddr::V6(ip.to_ipv6_mapped()),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// Any address of the wire's kind.
pub(super) fn any(mode: Mode, domain: i32) -> IpAddr {
    if mode == Mode::V6 && domain == libc::AF_INET6 {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    }
}
