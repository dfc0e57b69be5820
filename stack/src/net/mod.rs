//! From interface to interface: neighbours, routes, IPv4, fragments, ICMP, groups.
pub mod acd;
pub mod arp;
pub mod groups;
pub mod igmp;
pub mod neighbor;
pub mod pmtu;
pub mod rate;
pub mod reassembly;
pub mod route;
