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
use crate::transport::demux::Keyed;
use crate::wire::Protocol;
use core::hash::{BuildHasher, Hasher};
use core::net::{IpAddr, Ipv6Addr};

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

/// Flow labels: a hash keyed by the stack's secret, so that they tell nobody about other flows.
//= RFC 6437 §3 a source SHOULD give each flow a label, of uniform distribution and hard to predict.
#[derive(Clone, Debug)]
pub(super) struct Labels(Keyed);

impl Labels {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self(Keyed::new(rng))
    }

    /// The label of a flow: never zero, which says that there is none.
    pub(super) fn of(&self, src: Ipv6Addr, dst: Ipv6Addr, protocol: Protocol, ports: u32) -> u32 {
        let mut h = self.0.build_hasher();
        h.write_u128(src.to_bits());
        h.write_u128(dst.to_bits());
        h.write_u64(u64::from(protocol.0) << 32 | u64::from(ports));
        u32::try_from(h.finish() & 0xf_ffff).unwrap_or(0).max(1)
    }
}

impl Host {
    /// Puts the IP header in front of a packet; `false` where that would be too long, or its ends are
    /// of two families.
    pub(super) fn encapsulate(&mut self, frame: &mut Frame, marks: &Marks<'_>) -> bool {
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
                ipv4::encapsulate(frame, &out)
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let ports = match marks.protocol {
                    Protocol::UDP | Protocol::TCP => frame.front().first_chunk().copied(),
                    _ => None,
                };
                let ports = u32::from_be_bytes(ports.unwrap_or_default());
                let out = ipv6::Outgoing {
                    tos: marks.tos,
                    flow_label: self.labels.of(src, dst, marks.protocol, ports),
                    hop_limit: marks.ttl,
                    protocol: marks.protocol,
                    src,
                    dst,
                };
                ipv6::encapsulate(frame, &out)
            }
            _ => false,
        }
    }
}
