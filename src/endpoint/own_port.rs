//! Ports of a program's own, by its name.
//!
//! ```text
//!   name, life --hash--> candidate, candidate, ..   the first that is free; else an ephemeral one
//! ```
//!
//! Read first: RFC 6335 §6 (dynamic ports), RFC 6056 §3.5 (why ports are chosen by hash).
//!
//! Promises: the port follows from the name and how often the program has begun, and not from who
//! else asked the host for ports before: one client more or less changes nobody's flow. Two names at
//! one host get the same port once in 16,384 times; then whoever comes second has its next.

use stack::host::{BindError, Host, UdpHandle};
use std::net::SocketAddr;

/// Of the dynamic ports (RFC 6335 §6), which no service has.
const FIRST: u16 = 49_152;
/// So many are tried.
const TRIES: u64 = 64;

/// Where a program's ports come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnPort {
    name: u64,
    life: u32,
}

impl OwnPort {
    /// Those of a name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        // FNV-1a.
        let name = name.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { name, life: 0 }
    }

    /// Those of a later life, so that what was meant for a former one does not reach it.
    #[must_use]
    pub const fn in_life(self, life: u32) -> Self {
        Self { life, ..self }
    }

    /// The ports, best first.
    pub fn candidates(self) -> impl Iterator<Item = u16> {
        (0..TRIES).map(move |n| {
            let mut h =
                self.name ^ (u64::from(self.life) << 32 | n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            h = (h ^ h >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
            h = (h ^ h >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
            let dynamic = u16::try_from(h >> 50).unwrap_or(0);
            FIRST | dynamic
        })
    }

    /// A UDP socket on the first that is free, or on an ephemeral one.
    pub(super) fn bind(
        own: Option<Self>,
        host: &mut Host,
        any: SocketAddr,
    ) -> Result<UdpHandle, BindError> {
        for port in own.into_iter().flat_map(Self::candidates) {
            match host.udp_bind(SocketAddr::new(any.ip(), port)) {
                Err(BindError::InUse) => {}
                bound => return bound,
            }
        }
        host.udp_bind(any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_life_have_their_ports() {
        let first = |name: &str, life| OwnPort::of(name).in_life(life).candidates().next().unwrap();
        assert_eq!(first("u1", 0), first("u1", 0));
        assert_ne!(first("u1", 0), first("u1", 1));
        assert_ne!(first("u1", 0), first("u2", 0));
        assert!(OwnPort::of("x").candidates().all(|port| port >= FIRST));
        let many: std::collections::BTreeSet<u16> =
            (0..1000).map(|n| first(&format!("udp{n}"), 0)).collect();
        // Of 1,000 that fall on 16,384 by chance, some 30 fall together.
        assert!(many.len() > 940, "{}", many.len());
    }
}
