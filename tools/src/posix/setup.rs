//! What a process is born with, and the packets that it sends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Whose defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Linux's.
    Linux,
    /// FreeBSD's.
    FreeBsd,
}

/// Which sockets over which wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `AF_INET` over IPv4.
    V4,
    /// `AF_INET6` over IPv4.
    Mapped,
    /// `AF_INET6` over IPv6.
    V6,
}

/// What a process is born with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Whose defaults.
    pub profile: Profile,
    /// Which sockets over which wire.
    pub mode: Mode,
    /// The host's address.
    pub local: IpAddr,
    /// Its network's length.
    pub prefix: u8,
    /// The peer's address.
    pub remote: IpAddr,
    /// Its address on the host's network.
    pub gateway: IpAddr,
    /// Largest packet.
    pub mtu: u16,
    /// Seed of everything random.
    pub seed: u64,
}

impl Setup {
    /// The addresses that packetdrill takes where it is told none.
    #[must_use]
    pub fn new(profile: Profile, mode: Mode) -> Self {
        let v6 = mode == Mode::V6;
        let pick = |four: [u8; 4], six: [u16; 8]| match v6 {
            true => IpAddr::V6(Ipv6Addr::from(six)),
            false => IpAddr::V4(Ipv4Addr::from(four)),
        };
        Self {
            profile,
            mode,
            local: pick([192, 168, 0, 1], [0xfd3d, 0x0a0b, 0x17d6, 0, 0, 0, 0, 1]),
            prefix: if v6 { 64 } else { 16 },
            remote: pick([192, 0, 2, 1], [0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 1]),
            gateway: pick(
                [192, 168, 0, 1],
                [0xfd3d, 0x0a0b, 0x17d6, 0x8888, 0, 0, 0, 1],
            ),
            // Twenty bytes more of header: segments are of one size either way.
            mtu: if v6 && profile == Profile::Linux {
                1520
            } else {
                1500
            },
            seed: 1,
        }
    }
}

/// A packet that leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: Duration,
    /// Raw IP.
    pub packet: Vec<u8>,
    /// Longest payload of a segment, where this one is longer: it stands for a run of segments.
    pub mss: Option<u16>,
}
