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
//! What floods of IPv6 do to a host on a TAP, as `tests/interop/floods6.rs` measures and prints it: a
//! thousand frames each, but for those with a number. After each the host answers pings, every frame
//! is counted once, and in all it has grown by less than 6 MiB.
//!
//! | flood | taken | dropped, and why | bounded by |
//! |---|---|---|---|
//! | denials of eight addresses that are probed | - | 8 `ndp-conflict` | the addresses stay unused |
//! | echo requests from random sources; to all nodes | all | answers: `neighbor-cache-full` 744; 1000 | 256 neighbours asked for at once, some at a time |
//! | neighbour solicitations from random sources | all | - | 1,024 neighbours, answers by rate |
//! | the same for others; from afar; malformed | - | all `ndp-not-for-us`; `ndp-hop-limit`; `ndp-malformed` | |
//! | advertisements of strangers; of the kernel; of the host | 0; 1; 0 | the others `ndp-unsolicited`; `neighbor-protected`; `ndp-conflict` | a neighbour that answers probes stays, an address is defended once in 10 s |
//! | router solicitations | - | all `icmp-ignored` or `link-group-not-joined` | |
//! | router advertisements of everything; that end it all | all | - | 16 routers, 32 prefixes and routes, 16 addresses; what is there is not ended |
//! | redirects from random sources | - | all `icmp-redirect-refused` | the first hop alone is believed |
//! | packet too big down to 0, of what was never sent | - | all `icmp-quote-unmatched` | |
//! | the same, of a datagram that was | all | - | never below 1,280 |
//! | errors about errors | - | all `icmp-quote-unmatched` | |
//! | fragments that overlap; tiny; of impossible lengths | - | all `fragment-overlap`; `fragment-tiny`; `fragment-malformed` | errors have a rate |
//! | atomic fragments of one number | all | - | nothing is kept |
//! | 4000 fragments without end, of one source; of random ones | some 630; 390 held | the others `reassembly-full` | 1 MiB a source, 1,024 datagrams |
//! | 1099 chains of headers in every order | 31 | `protocol-unknown` 636, `ipv6-routing-header` 318, `ipv6-header-chain` 114 | errors have a rate: `icmp-rate-limited` some 850 |
//! | 197 chains of up to a hundred headers | 16 | `ipv6-header-chain` 98, `ipv6-too-many-headers` 83 | 16 headers |
//! | 1024 options of every type, to the host and to a group | 256 | `ipv6-bad-option` 768 | errors have a rate |
//! | 3000 MLD reports; queries; 1000 of version 1 | 0; all; about half | the others `mld-ignored` or `link-group-not-joined` | 256 timers, 64 sources each |
//! | impossible sources | - | all `ipv6-martian-source` or `ipv6-source-is-ours` | |
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
