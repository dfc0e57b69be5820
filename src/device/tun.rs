//! A Linux TUN: an interface of the kernel without link layer, whose other end is this process.
//!
//! ```text
//!   kernel: tun0  <=== IP packets, a vnet header in front ===>  Tun: a machine's port
//! ```
//!
//! The same character device as a [`Tap`] with one flag changed, so it is the same code; this file
//! only gives it its name.

use super::tap::Tap;
use std::io;

/// A TUN is a [`Tap`] whose medium is [`Medium::Ip`](super::Medium::Ip).
pub type Tun = Tap;

/// Makes TUN interface `name`, or attaches to it.
///
/// # Errors
/// As for [`Tap::open`].
pub fn open(name: &str, mtu: Option<u32>) -> io::Result<Tun> {
    Tap::open_tun(name, mtu)
}
