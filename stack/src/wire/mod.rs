//! Bytes to meaning and back: no state, no clock, no allocation.
//!
//! ```text
//!   &[u8] --parse--> (Header, &payload)      Header --emit--> Writer
//! ```
//!
//! The contract of each format:
//!
//! - A header is a plain struct named by its RFC, in the RFC's order. `parse(&[u8])` gives the
//!   header and all bytes after it, or a [`ParseError`] that says what was wrong. It does not cut
//!   the rest to the length the header claims: the caller does, since only it knows whether the
//!   capture was short or the sender lied ([`ipv4::Header::payload_len`] and its like say how much
//!   should be there).
//! - `emit(&self, &mut Writer)` writes it; `emit_len` says how many bytes that takes. Checksum
//!   fields are carried as read and written as given, so that each well-formed header comes out
//!   with the bytes it went in with; `checksum` methods compute what it should be.
//! - Options and quotes stay raw slices until asked for, through an iterator that gives each
//!   option or the error that ends the list. Nothing is lost on the way through.
//! - `parse(emit(h)) == h`, and a parser neither panics nor indexes: [`Reader`] checks bounds.
//!
//! ```
//! use stack::wire::{MacAddr, EtherType, Writer, ethernet};
//! let header = ethernet::Header {
//!     dst: MacAddr::BROADCAST,
//!     src: MacAddr([2, 0, 0, 0, 0, 1]),
//!     ethertype: EtherType::ARP,
//! };
//! let mut bytes = [0; 20];
//! header.emit(&mut Writer::new(&mut bytes))?;
//! let (parsed, rest) = ethernet::Header::parse(&bytes)?;
//! assert_eq!((parsed, rest.len()), (header, 6));
//! # Ok::<(), stack::wire::ParseError>(())
//! ```
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::as_conversions))]

pub mod addr;
pub mod arp;
pub mod checksum;
pub mod codec;
pub mod ethernet;
mod icmp;
pub mod icmpv4;
pub mod icmpv6;
pub mod igmp;
pub mod ipv4;
pub mod ipv6;
pub mod llc;
pub mod mld;
pub mod ndp;
pub mod pcap;
pub mod seq;
pub mod tcp;
pub mod udp;
pub mod vlan;
pub mod zone;

pub use addr::{Cidr, EtherType, MacAddr, Protocol};
pub use codec::{ParseError, Reader, Writer};
pub use zone::Zoned;
