//! A header that was accepted, of either family: what is asked of it once that is done.

use crate::wire::Protocol;
use core::net::IpAddr;

/// The fields of an acceptable header, apart from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Bytes in front of the upper layer: options or extension headers included.
    pub header_len: usize,
    /// DSCP and ECN.
    pub tos: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// What it carries.
    pub protocol: Protocol,
    /// Offset of the byte that says so, which an error points at.
    pub protocol_at: u16,
    /// Routers must not cut it.
    pub dont_fragment: bool,
    /// It came with a fragment header, if only as one piece.
    pub fragmented: bool,
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
}

/// What differs between the headers of one conversation's plain packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// DSCP and ECN.
    pub tos: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// What it carries.
    pub protocol: Protocol,
    /// Routers must not cut it.
    pub dont_fragment: bool,
    /// How long it is in all, as it says.
    pub len: usize,
}
