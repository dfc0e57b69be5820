//! From interface to interface: neighbours, routes, IPv4, fragments, ICMP, groups.
//!
//! ```text
//!   route        where to          neighbor <- arp   who has it       acd    may I have it
//!   ipv4 icmp    what to say       reassembly        put together     pmtu   how much fits
//!   igmp groups  what to hear      rate              how often
//! ```
//!
//! Machines and pure functions that know neither sockets nor devices; `host` joins them.
//!
//! Read first: RFC 1122 §3, RFC 1812 §5, RFC 4861 §7.3.

pub mod acd;
pub mod arp;
pub mod groups;
pub mod icmp;
pub mod igmp;
pub mod ipv4;
pub mod neighbor;
pub mod pmtu;
pub mod rate;
pub mod reassembly;
pub mod route;
