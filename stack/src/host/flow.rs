//! Packets of our own get their IP header, of either family: identifications and flow labels.
//!
//! ```text
//!   upper layer + Marks --encapsulate--> IPv4: an identification, where it may be cut
//!                                        IPv6: a flow label of its ends, ports and protocol
//! ```
//!
//! Read first: RFC 6864 §4 (identification), RFC 6437 §3 (flow labels).

use super::Host;
use crate::frame::Frame;
use crate::net::{ipv4, ipv6};
use crate::rng::Rng;
use crate::transport::demux::{Keyed, split};
use crate::wire::Protocol;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hasher};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Identification counters; destinations share them by a keyed hash, so that what one peer sees
/// tells nothing about another (RFC 7739 §5 has the same concern for IPv6).
const IDENTS: u64 = 256;

/// What goes into the header of a packet of our own, whose ends are of one family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks<'a> {
    /// DSCP and ECN.
    pub(super) tos: u8,
    /// Time to live, or hop limit.
    pub(super) ttl: u8,
    pub(super) dont_fragment: bool,
    pub(super) protocol: Protocol,
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    /// Of IPv4, padded to four bytes.
    pub(super) options: &'a [u8],
}

/// What our own packets are told apart by.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    idents: Idents,
    labels: Labels,
}

impl Numbers {
    pub(super) fn new(idents: &mut Rng, labels: &mut Rng) -> Self {
        Self {
            idents: Idents::new(idents),
            labels: Labels::new(labels),
        }
    }

    /// The next identification towards `dst`.
    #[inline]
    pub(super) fn ident(&mut self, dst: Ipv4Addr) -> u16 {
        self.idents.next(dst)
    }

    /// The label of a flow.
    #[inline]
    pub(super) fn label(
        &mut self,
        ends: (Ipv6Addr, Ipv6Addr),
        protocol: Protocol,
        ports: u32,
    ) -> u32 {
        self.labels.of(ends, protocol, ports)
    }

    /// Puts the IP header in front of a packet, behind it the transport's where that is not there yet;
    /// `false` where that would be too long, or its ends are of two families.
    #[inline(always)]
    pub(super) fn encapsulate(
        &mut self,
        frame: &mut Frame,
        transport: Option<[u8; 8]>,
        marks: &Marks<'_>,
    ) -> bool {
        match (marks.src, marks.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let out = ipv4::Outgoing {
                    tos: marks.tos,
                    //= RFC 6864 §4.1 what cannot be cut needs no identification of its own.
                    ident: match marks.dont_fragment {
                        true => 0,
                        false => self.idents.next(dst),
                    },
                    dont_fragment: marks.dont_fragment,
                    ttl: marks.ttl,
                    protocol: marks.protocol,
                    src,
                    dst,
                    options: marks.options,
                };
                match transport {
                    Some(header) => ipv4::encapsulate_with(frame, header, &out),
                    None => ipv4::encapsulate(frame, &out),
                }
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let start = match &transport {
                    Some(header) => header,
                    None => frame.front(),
                };
                let ports = match marks.protocol {
                    Protocol::UDP | Protocol::TCP => start.first_chunk().copied(),
                    _ => None,
                };
                let ports = u32::from_be_bytes(ports.unwrap_or_default());
                let out = ipv6::Outgoing {
                    tos: marks.tos,
                    flow_label: self.labels.of((src, dst), marks.protocol, ports),
                    hop_limit: marks.ttl,
                    protocol: marks.protocol,
                    src,
                    dst,
                };
                match transport {
                    Some(header) => ipv6::encapsulate_with(frame, header, &out),
                    None => ipv6::encapsulate(frame, &out),
                }
            }
            _ => false,
        }
    }
}

/// Identification counters.
#[derive(Clone, Debug)]
struct Idents {
    /// Drawn when the first is asked for: a host that sends nothing does without.
    counters: Vec<u16>,
    rng: Rng,
    keys: Keyed,
    /// Whose counter was asked for last, and which it is.
    last: (Ipv4Addr, u64),
}

impl Idents {
    fn new(draws: &mut Rng) -> Self {
        Self {
            counters: Vec::new(),
            rng: draws.fork("idents"),
            keys: Keyed::new(draws),
            // Nobody has this address; what counter it leads to does not matter.
            last: (Ipv4Addr::UNSPECIFIED, 0),
        }
    }

    /// The next identification towards `dst`. Counting up keeps it from repeating within a
    /// packet's lifetime as long as 65,536 of them allow (RFC 6864 §4.3).
    #[inline(always)]
    fn next(&mut self, dst: Ipv4Addr) -> u16 {
        // A conversation asks for the same again and again.
        let slot = match self.last {
            (last, slot) if last == dst => slot,
            _ => self.other(dst),
        };
        self.last = (dst, slot);
        let counter = usize::try_from(slot)
            .ok()
            .and_then(|i| self.counters.get_mut(i));
        let Some(counter) = counter else { return 0 };
        *counter = counter.wrapping_add(1);
        *counter
    }

    fn other(&mut self, dst: Ipv4Addr) -> u64 {
        if self.counters.is_empty() {
            let Self { counters, rng, .. } = self;
            counters.extend((0..IDENTS).map(|_| low16(rng.next_u64())));
        }
        self.keys.hash_one(dst.to_bits()) % IDENTS
    }
}

fn low16(v: u64) -> u16 {
    let [.., a, b] = v.to_be_bytes();
    u16::from_be_bytes([a, b])
}

/// Flow labels: a hash keyed by the stack's secret, so that they tell nobody about other flows.
//= RFC 6437 §3 a source SHOULD give each flow a label, of uniform distribution and hard to predict.
#[derive(Clone, Debug)]
struct Labels {
    keys: Keyed,
    /// What the hash of two ends is multiplied by, with the ports in it: one product spreads them
    /// well, and who has not seen flows between the two does not know that hash.
    factor: u64,
    /// The ends asked for last, and their hash.
    last: ((Ipv6Addr, Ipv6Addr), u64),
}

impl Labels {
    fn new(rng: &mut Rng) -> Self {
        let keys = Keyed::new(rng);
        let nobody = (Ipv6Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED);
        Self {
            last: (nobody, Self::hash(&keys, nobody)),
            keys,
            factor: rng.next_u64() | 1,
        }
    }

    /// The label of a flow: never zero, which says that there is none.
    #[inline(always)]
    fn of(&mut self, ends: (Ipv6Addr, Ipv6Addr), protocol: Protocol, ports: u32) -> u32 {
        // As numbers they are compared in registers, where the ends of a packet often are in parts.
        let bits = |(src, dst): (Ipv6Addr, Ipv6Addr)| {
            let bits = |addr: Ipv6Addr| u128::from_ne_bytes(addr.octets());
            (bits(src), bits(dst))
        };
        // A conversation asks for the same again and again.
        if bits(self.last.0) != bits(ends) {
            self.last = (ends, Self::hash(&self.keys, ends));
        }
        let word = self.last.1 ^ (u64::from(protocol.0) << 32 | u64::from(ports));
        let [high, low] = split(u128::from(word) * u128::from(self.factor));
        u32::try_from((high ^ low) >> 44).unwrap_or(0).max(1)
    }

    #[cold]
    fn hash(keys: &Keyed, (src, dst): (Ipv6Addr, Ipv6Addr)) -> u64 {
        let mut h = keys.build_hasher();
        h.write_u128(src.to_bits());
        h.write_u128(dst.to_bits());
        h.finish()
    }
}

impl Host {
    /// Puts the IP header in front of a packet; `false` where that would be too long, or its ends are
    /// of two families.
    pub(super) fn encapsulate(&mut self, frame: &mut Frame, marks: &Marks<'_>) -> bool {
        self.numbers.encapsulate(frame, None, marks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    /// The labels of flows from `count` ports of one host to another's.
    fn labels(seed: u64, dst: u128, count: u32) -> Vec<u32> {
        let mut labels = Labels::new(&mut Rng::from_seed(seed));
        let ends = (Ipv6Addr::from_bits(1), Ipv6Addr::from_bits(dst));
        let ports = |n: u32| (40_000 + n) << 16 | 443;
        (0..count)
            .map(|n| labels.of(ends, Protocol::UDP, ports(n)))
            .collect()
    }

    #[test]
    fn labels_are_spread_evenly_and_keyed() {
        let all = labels(1, 2, 20_000);
        assert_eq!(all, labels(1, 2, 20_000), "a flow keeps its label");
        assert!(all.iter().all(|label| (1..1 << 20).contains(label)));
        // Of 20,000 drawn from 2^20, 190 are expected to be like another.
        let different: BTreeSet<_> = all.iter().collect();
        assert!(different.len() > 19_700, "{}", different.len());
        // By the upper or lower bits alone, flows go 32 ways equally, as routers choose by them.
        for shift in [0, 15] {
            let mut ways = [0; 32];
            for label in &all {
                ways[usize::try_from(label >> shift & 31).unwrap()] += 1;
            }
            assert!(ways.iter().all(|n| (500..750).contains(n)), "{ways:?}");
        }
        for (seed, dst) in [(2, 2), (1, 3)] {
            let others = labels(seed, dst, 20_000);
            let alike = others.iter().zip(&all).filter(|(a, b)| a == b).count();
            assert!(alike < 5, "{alike}");
        }
    }
}
