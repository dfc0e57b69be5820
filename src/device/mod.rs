//! The OS edge: the only unsafe code, the only file descriptors.
//!
//! ```text
//!            runtime::driver        waits on raw_fd, turns the crank
//!                  |
//!            trait Device           recv, send, mtu, medium, offloads, fate
//!        /     |     |     \
//!      tap    tun   raw   capture   a kernel interface, or a file
//!
//!      faults(device), tracer(device), joined(device)     devices around devices, at the edge
//! ```
//!
//! A device moves frames and knows nothing of what is in them. It says what of a frame's
//! [`Offload`](stack::frame::Offload) it can finish itself ([`Device::offloads`]), and vouches for
//! what the kernel has checked already.
//!
//! Promises: no call blocks; `recv` hands out each frame once and in order; a refused `send` has
//! sent nothing, so the caller may offer the same frame again. Buffers belong to the device and are
//! reclaimed when the last reference to a frame's bytes is gone ([`ring`]).
//!
//! Of our own code only `stack::{time, rng, frame, machine, wire, link}` are imported here.

pub mod faults;
pub mod joined;
pub mod kernel;
pub mod namespace;
pub mod netlink;
pub mod pcap;
pub mod process;
pub mod raw;
pub mod ring;
mod sys;
pub mod tap;
pub mod timer;
pub mod tracer;
pub mod tun;
mod vnet;

use stack::frame::Frame;
use stack::machine::Fate;
use stack::time::Instant;
use std::fmt::Display;
use std::io;
use std::os::fd::RawFd;

/// What lies in front of the IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Medium {
    /// An Ethernet header: neighbours must be resolved.
    Ethernet,
    /// Nothing: one peer, no addresses below IP.
    Ip,
}

/// What [`Device::send`] accepts beyond frames that are ready for the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Offloads {
    /// Frames with [`Checksum::Partial`](stack::frame::Checksum::Partial).
    pub checksum: bool,
    /// Super-frames of TCP over IPv4.
    pub tcp4: bool,
    /// Super-frames of TCP over IPv6.
    pub tcp6: bool,
    /// Super-frames of UDP, either family.
    pub udp: bool,
}

/// What [`Device::recv`] found.
#[derive(Debug)]
pub enum Received {
    /// A frame.
    Frame(Frame),
    /// Nothing at the moment: wait for the descriptor.
    Empty,
    /// Nothing ever again: the capture is at its end, the interface is gone.
    Ended,
}

/// One attachment to the world. `now` is passed for the devices that stamp or delay frames; plain
/// ones ignore it.
pub trait Device {
    /// The next frame that waits. Called until it gives [`Received::Empty`]; many frames a wake-up.
    ///
    /// # Errors
    /// What the OS says; the device is then of no further use.
    fn recv(&mut self, now: Instant) -> io::Result<Received>;

    /// Hands over one frame, all pieces in one gathering write.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`]: no room, nothing was sent; offer the frame again once the
    /// descriptor is writable. Any other error concerns this frame alone (too long, link down).
    fn send(&mut self, now: Instant, frame: &Frame) -> io::Result<()>;

    /// What the machine says of the frame that is handed over next. Called once before the first
    /// `send` of each; a tracer writes it beside the frame.
    fn comment(&mut self, _comment: Option<&dyn Display>) {}

    /// What became of the frame that `recv` gave last. Called once for each, before the next
    /// `recv`; a tracer writes it beside the frame.
    fn fate(&mut self, _fate: Fate) {}

    /// When `recv` or `send` has work to do although the descriptor is silent: a device that holds
    /// frames back says so here.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Largest packet carried, without link header.
    fn mtu(&self) -> usize;

    /// What lies in front of the IP packet.
    fn medium(&self) -> Medium;

    /// What `send` can finish.
    fn offloads(&self) -> Offloads {
        Offloads::default()
    }

    /// The descriptor to wait on; `None` where `recv` never gives [`Received::Empty`].
    fn raw_fd(&self) -> Option<RawFd>;
}

impl<D: Device + ?Sized> Device for Box<D> {
    fn recv(&mut self, now: Instant) -> io::Result<Received> {
        (**self).recv(now)
    }
    fn send(&mut self, now: Instant, frame: &Frame) -> io::Result<()> {
        (**self).send(now, frame)
    }
    fn comment(&mut self, comment: Option<&dyn Display>) {
        (**self).comment(comment);
    }
    fn fate(&mut self, fate: Fate) {
        (**self).fate(fate);
    }
    fn poll_timeout(&self) -> Option<Instant> {
        (**self).poll_timeout()
    }
    fn mtu(&self) -> usize {
        (**self).mtu()
    }
    fn medium(&self) -> Medium {
        (**self).medium()
    }
    fn offloads(&self) -> Offloads {
        (**self).offloads()
    }
    fn raw_fd(&self) -> Option<RawFd> {
        (**self).raw_fd()
    }
}
