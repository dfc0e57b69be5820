//! How an interface makes IPv6 addresses for itself (RFC 4862).
//!
//! ```text
//!   MAC  02:00:00:00:00:07  --flip the universal/local bit, ff:fe between-->  0000:00ff:fe00:0007
//!   prefix fe80::/64 + identifier --> fe80::ff:fe00:7
//! ```
//!
//! Read first: RFC 4291 §2.5.1 and appendix A; RFC 2464 §4 and §5.
//!
//! Promises: pure functions of their arguments.
//!
//! Left out: what routers advertise, which is [`super::routers`]'; stable opaque identifiers
//! (RFC 7217) and temporary ones (RFC 8981).

use crate::wire::{Cidr, MacAddr};
use core::net::{IpAddr, Ipv6Addr};

/// Bits of a prefix that an identifier completes.
pub const PREFIX_LEN: u8 = 64;

/// The modified EUI-64 identifier of a station (RFC 2464 §4).
#[must_use]
pub const fn eui64(mac: MacAddr) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// The link-local address with an interface identifier (RFC 2464 §5).
#[must_use]
pub const fn link_local(identifier: u64) -> Ipv6Addr {
    let [a, b, c, d, e, f, g, h] = identifier.to_be_bytes();
    let word = u16::from_be_bytes;
    let (w, x, y, z) = ([a, b], [c, d], [e, f], [g, h]);
    Ipv6Addr::new(0xfe80, 0, 0, 0, word(w), word(x), word(y), word(z))
}

/// The address that a prefix and an identifier make; `None` where they do not fit.
//= RFC 4862 §5.5.3 (d) their lengths MUST come to 128.
#[must_use]
pub fn complete(prefix: Cidr, identifier: u64) -> Option<Cidr> {
    let network = prefix.network().addr6()?;
    if prefix.prefix_len() != PREFIX_LEN {
        return None;
    }
    let addr = network.to_bits() | u128::from(identifier);
    Cidr::new(IpAddr::V6(addr.into()), PREFIX_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_2464s_examples() {
        // RFC 2464 §4's own: 34-56-78-9A-BC-DE.
        let mac = MacAddr([0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde]);
        assert_eq!(eui64(mac), 0x3656_78ff_fe9a_bcde);
        let want: Ipv6Addr = "fe80::3656:78ff:fe9a:bcde".parse().unwrap();
        assert_eq!(link_local(eui64(mac)), want);
        let ours = MacAddr([2, 0, 0, 0, 0, 7]);
        let want: Ipv6Addr = "fe80::ff:fe00:7".parse().unwrap();
        assert_eq!(link_local(eui64(ours)), want);
    }
}
