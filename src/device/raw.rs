//! An existing interface, shared with the kernel: an `AF_PACKET` socket with vnet headers.
//!
//! ```text
//!   wire or veth peer <==> interface <==> kernel's own stack
//!                              \=======> Raw: a machine's port (promiscuous, own MAC and IP)
//! ```
//!
//! A plain packet socket on a veth sees checksums that are not filled in, frames above the MTU and
//! stripped VLAN tags. So: `PACKET_VNET_HDR` (the checksum and segmentation note comes with each
//! frame and goes with each), `PACKET_AUXDATA` (the tag comes back), 64 KiB of room.
//!
//! Why our own socket and not `pnet`'s datalink around a descriptor of ours (`Config::socket_fd`,
//! `pnet_datalink` 0.35): it reads with `recvfrom` into one buffer, so it sees neither the control
//! message that holds the tag nor the truncation mark; it lends out that buffer, so that each frame
//! would be copied to be kept; it calls `poll` before every read and every write, where we want one
//! system call a frame and to be told that nothing is there; and it writes from one contiguous
//! buffer, where a frame is headers and chunks. What would be left of it is the call to `socket`.
//!
//! TCP super-frames are handed up whole, and go out whole: behind the socket, the kernel cuts them
//! where the interface does not. One of UDP (`UDP_SEGMENT`) is cut here into the packets that it
//! stands for: a socket must see each datagram.
//!
//! Promises: frames that this machine's kernel sends by the interface are not seen (they would look
//! like a duplicate of ours); nothing of the interface's own configuration is changed.

use super::ring::Ring;
use super::{Device, Medium, Offloads, Received, sys, vnet};
use bytes::Buf as _;
use stack::frame::{Frame, GsoKind};
use stack::link::offload::Cutter;
use stack::time::Instant;
use stack::wire::MacAddr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};

/// What the kernel may queue for us before we read: `rmem_max` caps it where we may not force it.
const RECEIVE_BYTES: libc::c_int = 4 << 20;

/// A packet socket on one interface.
#[derive(Debug)]
pub struct Raw {
    socket: File,
    mtu: usize,
    medium: Medium,
    mac: MacAddr,
    ring: Ring,
    /// What is left of a super-frame of UDP that is being handed up packet by packet.
    cutter: Option<Cutter>,
    truncated: u64,
}

impl Raw {
    /// Attaches to interface `name`, which must be up for frames to flow.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] without `CAP_NET_RAW`; what the OS says where there is
    /// no such interface.
    pub fn open(name: &str) -> io::Result<Self> {
        let index = sys::if_index(name)?;
        let (hardware, mac) = sys::if_hardware(name)?;
        let medium = match hardware {
            libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Medium::Ethernet,
            libc::ARPHRD_NONE => Medium::Ip,
            other => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!("{name} has hardware type {other}; Ethernet and TUN are understood"),
                ));
            }
        };
        // Protocol 0: nothing is queued before the options are set and the interface is bound.
        let socket = sys::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK, 0)?;
        let on: libc::c_int = 1;
        sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &on)?;
        sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA, &on)?;
        // Kernels before 4.20 lack it; `recv` looks at the packet type as well.
        let _ = sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &on);
        let sol = libc::SOL_SOCKET;
        if sys::set_option(&socket, sol, libc::SO_RCVBUFFORCE, &RECEIVE_BYTES).is_err() {
            sys::set_option(&socket, sol, libc::SO_RCVBUF, &RECEIVE_BYTES)?;
        }
        let promiscuous = libc::packet_mreq {
            mr_ifindex: libc::c_int::try_from(index).map_err(io::Error::other)?,
            mr_type: u16::try_from(libc::PACKET_MR_PROMISC).unwrap_or(0),
            mr_alen: 0,
            mr_address: [0; 8],
        };
        let join = libc::PACKET_ADD_MEMBERSHIP;
        sys::set_option(&socket, libc::SOL_PACKET, join, &promiscuous)?;
        sys::bind_packet(&socket, index)?;
        Ok(Self {
            socket: socket.into(),
            mtu: sys::if_mtu(name)?,
            medium,
            mac: MacAddr(mac),
            ring: Ring::default(),
            cutter: None,
            truncated: 0,
        })
    }

    /// Frames lost because they were longer than a frame may be (IPv6 jumbograms, "big TCP").
    #[must_use]
    pub fn truncated(&self) -> u64 {
        self.truncated
    }

    /// The kernel's own address on the interface; a machine behind this device has another.
    #[must_use]
    pub fn kernel_mac(&self) -> MacAddr {
        self.mac
    }
}

impl Device for Raw {
    fn recv(&mut self, _now: Instant) -> io::Result<Received> {
        loop {
            if let Some(piece) = self.cutter.as_mut().and_then(Cutter::next_piece) {
                return Ok(Received::Frame(piece));
            }
            self.cutter = None;
            let (packet, mut bytes) = match sys::recv_packet(&self.socket, &mut self.ring) {
                Ok(got) => got,
                Err(e) => return nothing_or(e),
            };
            if packet.outgoing {
                continue;
            }
            if packet.truncated {
                self.truncated += 1;
                log::debug!("a frame beyond 64 KiB was lost, {} so far", self.truncated);
                continue;
            }
            let shift = match packet.tag {
                Some((tpid, tci)) => {
                    vnet::restore_tag(&mut bytes, tpid, tci);
                    sys::TAG_ROOM
                }
                None => {
                    bytes.advance(sys::TAG_ROOM.min(bytes.len()));
                    0
                }
            };
            let mut frame = Frame::from_bytes(bytes.freeze());
            frame.offload = vnet::decode(&packet.vnet, u16::try_from(shift).unwrap_or(0));
            if frame.offload.gso.is_none_or(|gso| gso.kind != GsoKind::Udp) {
                return Ok(Received::Frame(frame));
            }
            match Cutter::new(frame, self.medium == Medium::Ip) {
                Ok(cutter) => self.cutter = Some(cutter),
                Err(frame) => return Ok(Received::Frame(*frame)),
            }
        }
    }

    fn send(&mut self, _now: Instant, frame: &Frame) -> io::Result<()> {
        sys::write_frame(&self.socket, &vnet::encode(frame), frame)
    }

    fn mtu(&self) -> usize {
        self.mtu
    }

    fn medium(&self) -> Medium {
        self.medium
    }

    fn offloads(&self) -> Offloads {
        Offloads {
            checksum: true,
            tcp4: true,
            tcp6: true,
            udp: false,
        }
    }

    fn raw_fd(&self) -> Option<RawFd> {
        Some(self.socket.as_raw_fd())
    }
}

/// A receive that failed: nothing there, nothing any more, or broken.
fn nothing_or(e: io::Error) -> io::Result<Received> {
    match e.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR) => Ok(Received::Empty),
        // Said once when the interface goes down; it may come up again.
        Some(libc::ENETDOWN) => Ok(Received::Empty),
        Some(libc::ENODEV | libc::ENXIO) => Ok(Received::Ended),
        _ => Err(e),
    }
}
