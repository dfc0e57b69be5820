//! From interface to interface: neighbours, routes, IPv4, fragments, ICMP, groups.
//!
//! ```text
//!   route        where to          neighbor <- arp ndp  who has it    claim <- acd dad  may I have it
//!   ipv4 ipv6 ip what is sane      reassembly        put together     pmtu   how much fits
//!   icmp         what to say          routers slaac    who routes, which addresses
//!   rdnss autoconf <- routers        names, addresses that one makes
//!   advertiser <- advertisement  what we say as a router, and when
//!   groups listener <- igmp mld  what to hear and to tell        rate     how often
//! ```
//!
//! Machines and pure functions that know neither sockets nor devices; `host` joins them.
//!
//! Read first: RFC 1122 §3, RFC 1812 §5, RFC 4861 §7.3, RFC 8200 §4.

mod accepted;
pub mod acd;
pub mod advertisement;
pub mod advertiser;
pub mod arp;
pub mod autoconf;
pub mod claim;
pub mod dad;
pub mod groups;
pub mod icmp;
pub mod igmp;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod listener;
pub mod mld;
pub mod ndp;
pub mod neighbor;
pub mod pmtu;
pub mod rate;
pub mod rdnss;
pub mod reassembly;
pub mod route;
pub mod routers;
pub mod select;
pub mod slaac;
