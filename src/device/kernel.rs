//! The kernel's own raw sockets, which std does not open: another program's end of a
//! conversation with a host, without another program.
//!
//! ```text
//!   cli::tour --raw(ICMP)--> kernel's IP --> TAP --> host
//! ```
//!
//! Read first: raw(7). They need CAP_NET_RAW in the user namespace that owns the network, which
//! whoever made the network has.

use super::sys;
use std::io;
use std::net::UdpSocket;

/// A non-blocking raw socket for one IP protocol: it sends what follows the IP header and receives
/// whole packets. std's type for datagrams serves it; ports are zero and mean nothing.
///
/// # Errors
/// What the OS says: without CAP_NET_RAW it says no.
pub fn raw(protocol: u8) -> io::Result<UdpSocket> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK;
    sys::socket(libc::AF_INET, kind, i32::from(protocol)).map(UdpSocket::from)
}
