//! A Linux TAP: an Ethernet interface of the kernel whose other end is this process.
//!
//! ```text
//!   kernel: tap0 (10.7.0.1/24)  <=== Ethernet frames, a vnet header in front ===>  Tap: a machine's port
//! ```
//!
//! Why plain ioctls: opening a TAP is one `open` and three of them. `tun-tap` (0.1) knows `TUNSETIFF`
//! alone and sets neither `IFF_VNET_HDR` nor what follows from it; it also compiles C. `tun-rs`
//! (2.8) has one switch for vnet headers and segmentation offload together, where we want the one
//! without the other; it sets no `TUNSETVNETHDRSZ`, cuts and joins super-frames itself, into buffers
//! that it is lent, and brings some thirty crates with it. `rustix` has no call for these ioctls,
//! only its generic unsafe one, so that they would be ours all the same. They are in `sys.rs`,
//! through `libc`, which std needs anyway.
//!
//! Promises: opened with `IFF_VNET_HDR`, then `TUNSETVNETHDRSZ` and `TUNSETOFFLOAD` with checksums, TSO
//! for both families and TSO with ECN: the kernel leaves the checksums of what it hands us open, and
//! what its TCP wants cut comes as one super-frame of up to 64 KiB; both are taken from us likewise.
//! Where a kernel will not have that, nothing is offloaded towards us.
//!
//! Left out: USO, UDP's like: its datagrams come and go one by one.

use super::ring::Ring;
use super::{Device, Medium, Offloads, Received, netlink::Netlink, sys, vnet};
use stack::frame::Frame;
use stack::time::Instant;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;

/// A TAP, or with [`Tap::open_tun`] a TUN: the same descriptor without Ethernet headers.
#[derive(Debug)]
pub struct Tap {
    file: File,
    name: String,
    mtu: usize,
    medium: Medium,
    ring: Ring,
}

impl Tap {
    /// Makes interface `name`, or attaches to it where it exists and is ours to use. It is still
    /// down: see [`Netlink`].
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] where `/dev/net/tun` is closed to this user or the
    /// network is not ours to change, [`io::ErrorKind::NotFound`] where the kernel has no TUN.
    pub fn open(name: &str, mtu: Option<u32>) -> io::Result<Self> {
        Self::attach(name, mtu, Medium::Ethernet, 0)
    }

    /// Makes interface `name`, which must not exist.
    ///
    /// # Errors
    /// As for [`open`](Self::open); [`io::ErrorKind::ResourceBusy`] where the name is taken.
    pub fn create(name: &str, mtu: Option<u32>) -> io::Result<Self> {
        Self::attach(name, mtu, Medium::Ethernet, libc::IFF_TUN_EXCL)
    }

    /// The same for a TUN.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_tun(name: &str, mtu: Option<u32>) -> io::Result<Self> {
        Self::attach(name, mtu, Medium::Ip, 0)
    }

    fn attach(name: &str, mtu: Option<u32>, medium: Medium, more: libc::c_int) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")?;
        let kind = match medium {
            Medium::Ethernet => libc::IFF_TAP,
            Medium::Ip => libc::IFF_TUN,
        };
        let flags = kind | libc::IFF_NO_PI | libc::IFF_VNET_HDR | more;
        let name = sys::tun_attach(&file, name, flags)?;
        sys::tun_set_vnet_hdr_len(&file)?;
        let tcp = libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
        // An older owner may have left other settings: they are the interface's.
        sys::tun_set_offload(&file, libc::TUN_F_CSUM | tcp)
            .or_else(|_| sys::tun_set_offload(&file, 0))?;
        if let Some(mtu) = mtu {
            Netlink::open()?.set_mtu(&name, mtu)?;
        }
        Ok(Self {
            mtu: sys::if_mtu(&name)?,
            file,
            name,
            medium,
            ring: Ring::default(),
        })
    }

    /// The descriptor: frames as the kernel gives and takes them, a vnet header in front.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Device for Tap {
    fn recv(&mut self, _now: Instant) -> io::Result<Received> {
        match sys::read_frame(&self.file, &mut self.ring) {
            Ok((header, bytes)) => {
                let mut frame = Frame::from_bytes(bytes.freeze());
                frame.offload = vnet::decode(&header, 0);
                Ok(Received::Frame(frame))
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Received::Empty),
            // The interface was deleted under us, or is about to be.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EBADFD | libc::EIO)) => {
                Ok(Received::Ended)
            }
            Err(e) => Err(e),
        }
    }

    fn send(&mut self, _now: Instant, frame: &Frame) -> io::Result<()> {
        sys::write_frame(&self.file, &vnet::encode(frame), frame)
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
        Some(self.file.as_raw_fd())
    }
}
