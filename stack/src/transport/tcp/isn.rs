//! Where a connection's sequence numbers and timestamps begin.
//!
//! ```text
//!   now / 4 us ----------------------------+
//!   (local, remote) --keyed hash "isn"-----+--> ISS       one step per 4 us, per connection-id
//!                   --keyed hash "ts"---------> offset of the timestamp clock
//! ```
//!
//! Read first: RFC 6528 §3, RFC 9293 §3.4.1, RFC 7323 §5.4.
//!
//! Promises: for one pair of sockets the numbers go up with the clock, so that an old duplicate
//! lies behind a new incarnation and RFC 6191 can reuse TIME-WAIT; for another pair nothing can be
//! told from them without the key.
//!
//! Left out: changing the key as it runs. RFC 6528 §3 offers that, at the price of a quiet time of
//! two segment lifetimes; 128 bits that live as long as the host need it not.

use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::seq::SeqNum;
use core::hash::Hasher;
use core::net::{IpAddr, SocketAddr};
use siphasher::sip::SipHasher24;

/// Initial sequence numbers and timestamp offsets of one host.
///
/// ```
/// use stack::{rng::Rng, time::{Duration, Instant}, transport::tcp::isn::Isn};
/// let isn = Isn::new(&mut Rng::from_seed(1));
/// let (a, b) = ("10.0.0.1:80".parse().unwrap(), "10.0.0.2:1024".parse().unwrap());
/// let first = isn.generate(Instant::ZERO, a, b);
/// let later = isn.generate(Instant::ZERO + Duration::from_millis(4), a, b);
/// assert_eq!(later.since(first), 1000);
/// ```
#[derive(Clone, Debug)]
pub struct Isn {
    isn: [u64; 2],
    timestamps: [u64; 2],
}

impl Isn {
    /// With keys drawn from `rng`.
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            isn: rng.hash_keys(),
            timestamps: rng.hash_keys(),
        }
    }

    /// The initial sequence number of a connection that begins `now`.
    //= RFC 9293 §3.4.1 MUST-8, SHLD-1: a clock of 4 microseconds, and a keyed hash of the ends.
    //= RFC 6528 §3 ISN = M + F(connection-id, secret), M a timer of 4 microseconds.
    #[must_use]
    pub fn generate(&self, now: Instant, local: SocketAddr, remote: SocketAddr) -> SeqNum {
        SeqNum(low32(now.as_nanos() / 4000).wrapping_add(low32(pair(self.isn, local, remote))))
    }

    /// What a connection adds to the timestamp clock.
    //= RFC 7323 §5.4 the ISN's function with a key of its own.
    // The same for every incarnation of a pair, so that timestamps go up from one to the next.
    #[must_use]
    pub fn ts_offset(&self, local: SocketAddr, remote: SocketAddr) -> u32 {
        low32(pair(self.timestamps, local, remote))
    }
}

//= RFC 6528 §4 the key is of the host's own chance.
//= RFC 9293 §3.4.1 MUST-9: who has not the key, which is drawn at birth, cannot compute it.
/// A keyed hash of a connection-id. IPv4 goes in as its mapped form, which no packet carries.
fn pair(keys: [u64; 2], local: SocketAddr, remote: SocketAddr) -> u64 {
    let mut h = SipHasher24::new_with_keys(keys[0], keys[1]);
    write_pair(&mut h, local, remote);
    h.finish()
}

/// Feeds a connection-id to a hash.
pub(super) fn write_pair(h: &mut SipHasher24, local: SocketAddr, remote: SocketAddr) {
    let octets = |ip| match ip {
        IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
        IpAddr::V6(a) => a.octets(),
    };
    // In one piece, which is hashed several times faster than in four.
    let mut all = [0; 36];
    let (ips, ports) = all.split_at_mut(32);
    let (here, there) = ips.split_at_mut(16);
    here.copy_from_slice(&octets(local.ip()));
    there.copy_from_slice(&octets(remote.ip()));
    let (here, there) = ports.split_at_mut(2);
    here.copy_from_slice(&local.port().to_le_bytes());
    there.copy_from_slice(&remote.port().to_le_bytes());
    h.write(&all);
}

/// The low half.
#[allow(clippy::cast_possible_truncation)]
pub(super) const fn low32(n: u64) -> u32 {
    n as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    fn addr(s: &str) -> SocketAddr {
        s.parse().unwrap()
    }

    #[test]
    fn goes_up_by_one_every_four_microseconds() {
        //= RFC 9293 §3.4.1 MUST-8; RFC 6528 §3
        let isn = Isn::new(&mut Rng::from_seed(7));
        let (a, b) = (addr("10.0.0.1:80"), addr("10.0.0.2:5000"));
        let first = isn.generate(Instant::ZERO, a, b);
        // The clock comes round after 2^32 steps of 4 us: 4.77 hours.
        for (micros, steps) in [
            (0, 0),
            (3, 0),
            (4, 1),
            (1_000_000, 250_000),
            (4 << 31, 1 << 31),
            (4 << 32, 0),
        ] {
            let now = Instant::ZERO + Duration::from_micros(micros);
            assert_eq!(isn.generate(now, a, b).since(first), steps, "{micros} us");
        }
    }

    #[test]
    fn every_part_of_the_connection_id_and_the_key_matters() {
        //= RFC 9293 §3.4.1 MUST-9, SHLD-1; RFC 6528 §4; RFC 7323 §5.4
        let pairs = [
            ("10.0.0.1:80", "10.0.0.2:5000"),
            ("10.0.0.1:81", "10.0.0.2:5000"),
            ("10.0.0.1:80", "10.0.0.2:5001"),
            ("10.0.0.3:80", "10.0.0.2:5000"),
            ("10.0.0.1:80", "10.0.0.3:5000"),
            ("10.0.0.2:5000", "10.0.0.1:80"),
            ("[fd00::1]:80", "[fd00::2]:5000"),
            ("[fd00::1]:80", "[fd00::3]:5000"),
        ];
        let mut seen = BTreeSet::new();
        for seed in 0..4 {
            let isn = Isn::new(&mut Rng::from_seed(seed));
            for (a, b) in pairs {
                seen.insert(isn.generate(Instant::ZERO, addr(a), addr(b)).0);
                seen.insert(isn.ts_offset(addr(a), addr(b)));
            }
        }
        // 64 draws of 32 bits: no two alike, or this test is one in two million.
        assert_eq!(seen.len(), 64);
    }

    #[test]
    fn neighbouring_ports_tell_nothing() {
        let isn = Isn::new(&mut Rng::from_seed(3));
        let b = addr("10.0.0.2:5000");
        let isns: Vec<u32> = (1000..2000)
            .map(|port| {
                isn.generate(Instant::ZERO, SocketAddr::new(b.ip(), port), b)
                    .0
            })
            .collect();
        // Each bit of the step from one port to the next is set about half the time.
        for bit in 0..32 {
            let set = isns
                .windows(2)
                .filter(|w| (w[1].wrapping_sub(w[0]) >> bit) & 1 == 1);
            assert!((420..580).contains(&set.count()), "bit {bit}");
        }
    }
}
