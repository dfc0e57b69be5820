//! How an interface makes IPv6 addresses for itself (RFC 4862).
//!
//! ```text
//!   MAC  02:00:00:00:00:07  --flip the universal/local bit, ff:fe between-->  0000:00ff:fe00:0007
//!   prefix fe80::/64 + identifier --> fe80::ff:fe00:7
//!   secret + (prefix, interface, DAD counter)  --SipHash-2-4-->  b1e7:0c54:93d0:6a2f, say
//! ```
//!
//! Read first: RFC 4291 §2.5.1 and appendix A; RFC 2464 §4 and §5; RFC 7217 §5.
//!
//! Promises: pure functions of their arguments. Who does not know the secret cannot compute an opaque
//! identifier, nor the secret from identifiers: SipHash-2-4 is a pseudorandom function with a key of
//! 128 bits, as RFC 7217 §5 asks for.
//!
//! Left out: what routers advertise, which is [`super::routers`]'; when which address is made, and
//! temporary ones (RFC 8981), which is [`super::autoconf`]'s; a Network_ID, which Ethernet has none of.

use crate::wire::{Cidr, MacAddr};
use alloc::string::String;
use core::hash::Hasher as _;
use core::net::{IpAddr, Ipv6Addr};
use siphasher::sip::SipHasher24;

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

/// Where the identifiers of an interface come from.
#[derive(Clone, PartialEq, Eq)]
pub enum Identifiers {
    /// From its station address, the same in each network.
    Eui64(MacAddr),
    /// From a secret: another in each network, and always the same there (RFC 7217).
    Stable {
        /// The secret key.
        key: [u64; 2],
        /// Net_Iface: what the interface is called, which stays when its station address changes.
        interface: String,
    },
}

impl core::fmt::Debug for Identifiers {
    /// Without the secret.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Eui64(mac) => write!(f, "Eui64({mac})"),
            Self::Stable { interface, .. } => write!(f, "Stable({interface})"),
        }
    }
}

impl Identifiers {
    /// The identifier for a prefix, after so many of its addresses were duplicates; `None`: there is
    /// no other.
    #[must_use]
    pub fn of(&self, prefix: Cidr, dad_counter: u32) -> Option<u64> {
        match self {
            Self::Eui64(mac) => (dad_counter == 0).then(|| eui64(*mac)),
            //= RFC 7217 §5 F(Prefix, Net_Iface, Network_ID, DAD_Counter, secret_key).
            Self::Stable { key, interface } => {
                let mut f = SipHasher24::new_with_keys(key[0], key[1]);
                f.write(&prefix.network().addr6()?.octets());
                f.write(&[prefix.prefix_len()]);
                f.write(&dad_counter.to_be_bytes());
                f.write(interface.as_bytes());
                Some(f.finish())
            }
        }
    }
}

/// Whether no host's address may end in this (RFC 5453 §3, RFC 4291 §2.6.1, RFC 2526 §2).
#[must_use]
pub const fn is_reserved(identifier: u64) -> bool {
    matches!(
        identifier,
        0 | 0x0200_5eff_fe00_0000..=0x0200_5eff_feff_ffff
            | 0xfdff_ffff_ffff_ff80..=0xfdff_ffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opaque_identifiers_depend_on_all_of_it() {
        let of = |key, name: &str, prefix: &str, counter| {
            let ids = Identifiers::Stable {
                key: [key, 7],
                interface: String::from(name),
            };
            ids.of(prefix.parse().unwrap(), counter).unwrap()
        };
        let one = of(1, "eth0", "fd09::/64", 0);
        assert_eq!(
            one,
            of(1, "eth0", "fd09::77/64", 0),
            "host bits do not count"
        );
        let others = [
            of(2, "eth0", "fd09::/64", 0),
            of(1, "eth1", "fd09::/64", 0),
            of(1, "eth0", "fd0a::/64", 0),
            of(1, "eth0", "fd09::/64", 1),
        ];
        for (i, other) in others.iter().enumerate() {
            assert!(*other != one && !others[..i].contains(other), "{i}");
        }
        let mac = Identifiers::Eui64(MacAddr([2, 0, 0, 0, 0, 7]));
        let of = |counter| mac.of("fd09::/64".parse().unwrap(), counter);
        assert_eq!((of(0), of(1)), (Some(0xff_fe00_0007), None));
    }

    #[test]
    fn what_is_reserved() {
        for (identifier, reserved) in [
            (0, true),
            (1, false),
            (0x0200_5eff_fe00_5213, true),
            (0x0200_5eff_ff00_0000, false),
            (0xfdff_ffff_ffff_ff7f, false),
            (0xfdff_ffff_ffff_ff80, true),
            (u64::MAX, false),
        ] {
            assert_eq!(is_reserved(identifier), reserved, "{identifier:x}");
        }
    }

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
