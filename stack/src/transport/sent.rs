//! Whom a socket has sent to lately, so that ICMP errors about others are not believed.
//!
//! ```text
//!   send  --destination--> Destinations   the last 16, the latest first
//!   ICMP error --its quote's destination-----^ not among them: dropped, icmp-quote-unmatched
//! ```
//!
//! Read first: RFC 1122 §4.1.3.3 (errors are the application's to know), RFC 5927 §4 (what makes an
//! error worth believing).
//!
//! What is defended: whoever cannot see our packets must guess, beside the port or the identifier
//! of a socket, one of the last [`DESTINATIONS`] addresses that it sent to; the address of an
//! attacker's choice will not do. What is not: the far port is believed as quoted, since a tracer
//! has a hundred of them on the way at once; whoever knows our peers, or sees our packets, needs no
//! guess. A socket that talks to more peers at once than are kept here misses errors about the
//! rest, which UDP has to stand anyway: errors get lost as other packets do.
//!
//! Promises: 64 bytes, whatever is sent; one compare where the socket sends to the same as before.

use core::net::IpAddr;

/// How many destinations are kept: a cache line of them.
pub const DESTINATIONS: usize = 16;

/// The destinations sent to last, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destinations([u32; DESTINATIONS]);

impl Destinations {
    /// Notes that something is sent to `dst`.
    #[inline]
    pub fn note(&mut self, dst: IpAddr) {
        let dst = print(dst);
        let [latest, ..] = self.0;
        if latest != dst {
            self.move_up(dst);
        }
    }

    #[inline(never)]
    fn move_up(&mut self, dst: u32) {
        let known = self.0.iter().position(|&d| d == dst);
        let end = known.unwrap_or(DESTINATIONS - 1);
        if let Some(before) = self.0.get_mut(..=end) {
            before.rotate_right(1);
        }
        let [latest, ..] = &mut self.0;
        *latest = dst;
    }

    /// Whether `dst` is among them.
    #[must_use]
    pub fn contains(&self, dst: IpAddr) -> bool {
        self.0.contains(&print(dst))
    }
}

/// 32 bits of an address: all of an IPv4 one, those of an IPv6 one folded. Zero, which nothing is
/// sent to in IPv4, stands for none.
#[inline]
fn print(addr: IpAddr) -> u32 {
    match addr {
        IpAddr::V4(addr) => addr.to_bits(),
        IpAddr::V6(addr) => {
            let [a, b, c, d, e, f, g, h] = addr.segments().map(u32::from);
            ((a ^ c ^ e ^ g) << 16 | (b ^ d ^ f ^ h)).max(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn keeps_the_latest_of_each() {
        let addr = |n: u8| IpAddr::from([10, 0, 0, n]);
        let mut sent = Destinations::default();
        let kept = |sent: &Destinations| -> Vec<u8> {
            (0..=255).filter(|&n| sent.contains(addr(n))).collect()
        };
        assert_eq!(kept(&sent), []);
        for n in [1, 2, 1, 2, 2, 3] {
            sent.note(addr(n));
        }
        assert_eq!(kept(&sent), [1, 2, 3]);
        for n in 4..17 {
            sent.note(addr(n));
        }
        assert_eq!(kept(&sent), (1..17).collect::<Vec<_>>());
        // Used again, the oldest stays and the next one goes.
        for n in [1, 17] {
            sent.note(addr(n));
        }
        assert_eq!(
            kept(&sent),
            [&[1][..], &(3..18).collect::<Vec<_>>()].concat()
        );
        let v6 = |last| IpAddr::from([0xfd07, 0, 0, 0, 0, 0, 0, last]);
        sent.note(v6(1));
        assert!(sent.contains(v6(1)) && !sent.contains(v6(2)));
    }
}
