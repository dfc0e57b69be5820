//! Ephemeral ports (RFC 6056).
//!
//! ```text
//!   remote known:   min + (next++ + F(local, remote, secret)) mod range     algorithm 3 (§3.3.3)
//!   remote unknown: min + random, then upwards                              algorithm 1 (§3.3.1)
//! ```
//!
//! Read first: RFC 6056 §3.
//!
//! Promises: what one peer sees of our ports does not tell it which port another flow has; a port
//! is only given if the caller says it is free; the search is bounded by the range.

use crate::rng::Rng;
use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use siphasher::sip::SipHasher24;

/// Chooses ephemeral ports.
#[derive(Clone, Debug)]
pub struct Ports {
    range: RangeInclusive<u16>,
    keys: [u64; 2],
    next: u32,
    rng: Rng,
}

/// RFC 6056 §3.2: the whole range above the well-known ports, since a wider range is harder to
/// guess; what is bound already is skipped.
pub const EPHEMERAL: RangeInclusive<u16> = 1024..=65535;

/// Ports looked at for one that is free before one that will do is taken.
const PATIENCE: u32 = 128;

impl Ports {
    /// A chooser over `range`.
    #[must_use]
    pub fn new(range: RangeInclusive<u16>, mut rng: Rng) -> Self {
        let keys = rng.hash_keys();
        Self {
            range,
            keys,
            next: rng.next_u32(),
            rng,
        }
    }

    /// A port that `is_free`, for a flow to `remote` where that is known already; `None` where
    /// the whole range is taken.
    pub fn pick(
        &mut self,
        flow: Option<(IpAddr, SocketAddr)>,
        is_free: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        self.pick_or(flow, is_free, |_| false)
    }

    /// The same, or else a port that `will_do`: one that is free is looked for among `PATIENCE`
    /// ports before one that will do is taken.
    pub fn pick_or(
        &mut self,
        flow: Option<(IpAddr, SocketAddr)>,
        is_free: impl Fn(u16) -> bool,
        will_do: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        let (min, max) = (u32::from(*self.range.start()), u32::from(*self.range.end()));
        let span = max.checked_sub(min)? + 1;
        let offset = match flow {
            Some((local, remote)) => self.flow_offset(local, remote),
            None => self.rng.next_u32(),
        };
        let mut second = None;
        for looked in 0..span {
            if looked >= PATIENCE && second.is_some() {
                break;
            }
            let port = min + self.next.wrapping_add(offset) % span;
            self.next = self.next.wrapping_add(1);
            let port = u16::try_from(port).ok()?;
            if is_free(port) {
                return Some(port);
            }
            if second.is_none() && will_do(port) {
                second = Some(port);
            }
        }
        second
    }

    fn flow_offset(&self, local: IpAddr, remote: SocketAddr) -> u32 {
        let mut h = SipHasher24::new_with_keys(self.keys[0], self.keys[1]);
        for addr in [local, remote.ip()] {
            match addr {
                IpAddr::V4(a) => h.write(&a.octets()),
                IpAddr::V6(a) => h.write(&a.octets()),
            }
        }
        h.write_u16(remote.port());
        u32::try_from(h.finish() >> 32).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn gives_each_free_port_once_then_none() {
        let mut ports = Ports::new(100..=109, Rng::from_seed(1));
        let mut taken = BTreeSet::new();
        for _ in 0..10 {
            let port = ports.pick(None, |p| !taken.contains(&p)).unwrap();
            assert!((100..=109).contains(&port) && taken.insert(port));
        }
        assert_eq!(ports.pick(None, |p| !taken.contains(&p)), None);
    }

    #[test]
    fn what_will_do_is_found_soon_where_nothing_is_free() {
        let mut ports = Ports::new(EPHEMERAL, Rng::from_seed(1));
        let looked = core::cell::Cell::new(0);
        let look = |_| {
            looked.set(looked.get() + 1);
            false
        };
        assert!(ports.pick_or(None, look, |_| true).is_some());
        assert_eq!(looked.get(), PATIENCE);
        // Few of many will do: they are found all the same, and a free one is taken first.
        assert_eq!(
            ports.pick_or(None, |_| false, |p| p == 50_000),
            Some(50_000)
        );
        let mut few = Ports::new(100..=109, Rng::from_seed(1));
        assert_eq!(few.pick_or(None, |p| p == 105, |_| true), Some(105));
    }

    #[test]
    fn flows_to_one_peer_say_nothing_about_another() {
        let mut ports = Ports::new(EPHEMERAL, Rng::from_seed(1));
        let local = IpAddr::from([10, 7, 0, 2]);
        let to = |ports: &mut Ports, last| {
            ports
                .pick(
                    Some((local, SocketAddr::from(([10, 7, 0, last], 53)))),
                    |_| true,
                )
                .unwrap()
        };
        let (a, b) = (to(&mut ports, 1), to(&mut ports, 1));
        assert_eq!(
            b,
            a + 1,
            "one peer sees them count up: no early reuse (§3.3.3)"
        );
        let c = to(&mut ports, 9);
        assert!(c.abs_diff(b) > 100, "another peer's lie elsewhere: {b} {c}");
    }
}
