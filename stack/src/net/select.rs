//! Which of our addresses a packet of IPv6 leaves from, and which of a name's addresses is tried first
//! (RFC 6724).
//!
//! ```text
//!   to D, one of ours:  D itself > scope that reaches > not deprecated > of the way's interface
//!                       > of the next hop's prefix > label of D's > temporary
//!                       > longest prefix in common
//!   of D1, D2 ..:       has a source > its scope > not deprecated > its label > precedence
//!                       > native > smaller scope > longest prefix in common > as they came
//! ```
//!
//! Read first: RFC 6724 §2.1, §3.1, §5 and §6.
//!
//! Promises: pure functions of their arguments; equals stay in the order in which they came.
//!
//! Left out: home addresses (rule 4 of both: mobile IPv6).

use crate::wire::Cidr;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::net::{IpAddr, Ipv6Addr};

/// A row of the policy table (RFC 6724 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// To whom it applies; IPv4's addresses are `::ffff:0:0/96`.
    pub prefix: Cidr,
    /// Destinations with more are tried first.
    pub precedence: u8,
    /// Destinations are reached from addresses with the same.
    pub label: u8,
}

/// The policy table: of several rows that apply, the longest prefix does.
///
/// ```
/// use stack::net::select::Policy;
/// let policy = Policy::default();
/// assert_eq!(policy.of("fd07::2".parse().unwrap()), (3, 13));
/// assert_eq!(policy.of("10.7.0.2".parse().unwrap()), (35, 4));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy(pub Vec<Row>);

impl Default for Policy {
    /// The default table of RFC 6724 §2.1.
    fn default() -> Self {
        let row = |(words, prefix_len, precedence, label): ([u16; 8], u8, u8, u8)| {
            let prefix = Cidr::new(IpAddr::V6(words.into()), prefix_len)?;
            Some(Row {
                prefix,
                precedence,
                label,
            })
        };
        let rows = [
            ([0, 0, 0, 0, 0, 0, 0, 1], 128, 50, 0),
            ([0; 8], 0, 40, 1),
            ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, 35, 4),
            ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, 30, 2),
            ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, 5, 5),
            ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, 3, 13),
            ([0; 8], 96, 1, 3),
            ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, 1, 11),
            ([0x3ffe, 0, 0, 0, 0, 0, 0, 0], 16, 1, 12),
        ];
        Self(rows.into_iter().filter_map(row).collect())
    }
}

impl Policy {
    /// The precedence and label of an address; both zero where no row applies.
    #[must_use]
    pub fn of(&self, addr: IpAddr) -> (u8, u8) {
        //= RFC 6724 §3.2 IPv4 addresses MUST be represented as IPv4-mapped ones.
        let addr = IpAddr::V6(as_v6(addr));
        let rows = self.0.iter().filter(|r| r.prefix.contains(addr));
        let row = rows.max_by_key(|r| r.prefix.prefix_len());
        row.map_or((0, 0), |r| (r.precedence, r.label))
    }

    fn label(&self, addr: IpAddr) -> u8 {
        self.of(addr).1
    }
}

/// An address of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// It, with its network.
    pub cidr: Cidr,
    /// Another one should be used for what is new; RFC 4429 §3.1 has one that is being probed for
    /// stand behind others likewise.
    pub deprecated: bool,
    /// One of those that follow one another (RFC 8981).
    pub temporary: bool,
    /// Of the interface that the packet leaves by.
    pub outgoing: bool,
    /// Whether it is of a prefix that the next hop has advertised, where routers have.
    pub by_next_hop: Option<bool>,
}

/// The address for a packet to `dst`; `None` where there are no candidates.
//= RFC 6724 §5 the first rule that tells two candidates apart decides between them.
#[must_use]
pub fn source(
    policy: &Policy,
    dst: Ipv6Addr,
    prefer_temporary: bool,
    candidates: impl Iterator<Item = Candidate>,
) -> Option<Candidate> {
    let to = IpAddr::V6(dst);
    let label = policy.label(to);
    let fits = |c: &Candidate| policy.label(c.cidr.addr()) == label;
    let better = |a: &Candidate, b: &Candidate| {
        let same = |c: &Candidate| c.cidr.addr() == to;
        same(a)
            .cmp(&same(b))
            .then_with(|| by_scope(scope(a.cidr.addr()), scope(b.cidr.addr()), scope(to)))
            .then_with(|| b.deprecated.cmp(&a.deprecated))
            //= RFC 6724 §5 rule 4 is void: no address is a home address, as there is no mobile IPv6.
            .then_with(|| a.outgoing.cmp(&b.outgoing))
            //= RFC 6724 §5 rule 5.5: who gave the prefix lets its packets through, others may not.
            .then_with(|| match (a.by_next_hop, b.by_next_hop) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => Ordering::Equal,
            })
            .then_with(|| fits(a).cmp(&fits(b)))
            .then_with(|| match prefer_temporary {
                true => a.temporary.cmp(&b.temporary),
                false => b.temporary.cmp(&a.temporary),
            })
            .then_with(|| common_prefix_len(a.cidr, to).cmp(&common_prefix_len(b.cidr, to)))
    };
    candidates.reduce(|best, next| match better(&next, &best) {
        Ordering::Greater => next,
        _ => best,
    })
}

/// Rule 2 of RFC 6724 §5: of two scopes the smaller one that still reaches.
fn by_scope(a: u8, b: u8, dst: u8) -> Ordering {
    match a.cmp(&b) {
        Ordering::Less if a < dst => Ordering::Less,
        Ordering::Less => Ordering::Greater,
        Ordering::Greater if b < dst => Ordering::Greater,
        Ordering::Greater => Ordering::Less,
        Ordering::Equal => Ordering::Equal,
    }
}

/// An address that a name has, and how we would send to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The address.
    pub addr: IpAddr,
    /// Our address towards it, with its network; `None` where it cannot be reached.
    pub source: Option<Cidr>,
    /// That one should not be used for what is new.
    pub deprecated: bool,
    /// By a tunnel.
    pub encapsulated: bool,
}

/// Puts what is to be tried first in front.
//= RFC 6724 §6 the ten rules, in order.
pub fn order(policy: &Policy, all: &mut [Destination]) {
    // Rule 9 leaves some pairs undecided between which others decide, so that this is no order that
    // a library may sort by: what comes later moves up past each neighbour that it is better than.
    for end in 1..all.len() {
        for at in (0..end).rev() {
            let Some([a, b]) = all.get_mut(at..at + 2) else {
                break;
            };
            if before(policy, b, a) != Ordering::Greater {
                break;
            }
            core::mem::swap(a, b);
        }
    }
}

/// `Greater` where `a` is to be tried before `b`.
fn before(policy: &Policy, a: &Destination, b: &Destination) -> Ordering {
    let reached = a.source.is_some().cmp(&b.source.is_some());
    let (Some(from_a), Some(from_b)) = (a.source, b.source) else {
        return reached;
    };
    let in_scope = |d: &Destination, from: Cidr| scope(d.addr) == scope(from.addr());
    let ((first_a, label_a), (first_b, label_b)) = (policy.of(a.addr), policy.of(b.addr));
    let fits = |label, from: Cidr| policy.label(from.addr()) == label;
    in_scope(a, from_a)
        .cmp(&in_scope(b, from_b))
        .then_with(|| b.deprecated.cmp(&a.deprecated))
        .then_with(|| fits(label_a, from_a).cmp(&fits(label_b, from_b)))
        .then_with(|| first_a.cmp(&first_b))
        .then_with(|| b.encapsulated.cmp(&a.encapsulated))
        .then_with(|| scope(b.addr).cmp(&scope(a.addr)))
        .then_with(|| match a.addr.is_ipv6() == b.addr.is_ipv6() {
            true => common_prefix_len(from_a, a.addr).cmp(&common_prefix_len(from_b, b.addr)),
            false => Ordering::Equal,
        })
}

/// How far an address reaches, in the numbers of multicast (RFC 6724 §3.1 and §3.2, RFC 4291 §2.7).
#[must_use]
pub const fn scope(addr: IpAddr) -> u8 {
    const LINK: u8 = 2;
    const SITE: u8 = 5;
    const GLOBAL: u8 = 0xe;
    match addr {
        IpAddr::V4(addr) if addr.is_link_local() || addr.is_loopback() => LINK,
        IpAddr::V4(_) => GLOBAL,
        IpAddr::V6(addr) => match addr.octets() {
            [0xff, scope, ..] => scope & 0xf,
            //= RFC 4007 §4 the loopback address is treated as of link-local scope.
            _ if addr.is_unicast_link_local() || addr.is_loopback() => LINK,
            [0xfe, 0xc0..=0xff, ..] => SITE,
            _ => GLOBAL,
        },
    }
}

/// Bits that an address of ours and another share, up to the length of our network's prefix (RFC 6724
/// §2.2).
fn common_prefix_len(ours: Cidr, other: IpAddr) -> u32 {
    let most = match ours.addr() {
        IpAddr::V4(_) => 96,
        IpAddr::V6(_) => 0,
    };
    let differ = as_v6(ours.addr()).to_bits() ^ as_v6(other).to_bits();
    differ
        .leading_zeros()
        .min(most + u32::from(ours.prefix_len()))
}

const fn as_v6(addr: IpAddr) -> Ipv6Addr {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped(),
        IpAddr::V6(addr) => addr,
    }
}

#[cfg(test)]
#[path = "tests/select.rs"]
mod tests;
