//! UDP datagram sockets.
//!
//! ```text
//!  0      7 8     15 16    23 24    31
//!  +--------+--------+--------+--------+
//!  |   source port   |  destination    |      demux -> push() -> receive queue -> recv()
//!  +--------+--------+--------+--------+      quote -> push_error() -> take_error()
//!  |     length      |    checksum     |
//!  +--------+--------+--------+--------+
//! ```
//!
//! Read first: RFC 768; RFC 1122 §4.1; RFC 8085 §3.4 (checksums).
//!
//! Promises: the receive queue is bounded by bytes as they are in memory, and a datagram that does
//! not fit is refused and counted, never one that is already there; errors are bounded, the oldest
//! goes first.
//!
//! Left out: UDP-Lite; sending without a checksum (RFC 1122 §4.1.3.4 lets a host always use it).

use super::{Chain, Errors, Pool, SocketError};
use crate::frame::{Checksum, Frame, Payload};
use crate::reason::DropReason;
use crate::wire::checksum::Sum;
use crate::wire::{Protocol, udp, zone};
use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

/// How a socket sends and how much it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Time to live of unicast; zero: the host's own, or in IPv6 what routers say (RFC 4861
    /// §6.3.4).
    pub ttl: u8,
    /// Time to live of multicast; RFC 1112 §6.1 says 1 unless asked.
    pub multicast_ttl: u8,
    /// Whether our own members of the group get what we send to it (RFC 1112 §6.1).
    pub multicast_loop: bool,
    /// The interface that multicast leaves by, where the route table shall not choose.
    pub multicast_interface: Option<u16>,
    /// Send from temporary addresses of IPv6 (RFC 8981), or from others, where there are both: RFC
    /// 5014's `IPV6_PREFER_SRC_TMP` and `IPV6_PREFER_SRC_PUBLIC`. `None`: as the host's settings say.
    pub prefer_temporary: Option<bool>,
    /// DSCP and ECN, as the byte in the header.
    pub tos: u8,
    /// May send to broadcast addresses; off, so that no typo floods a net.
    pub broadcast: bool,
    /// Whether and how to use don't-fragment.
    pub path_mtu: PathMtu,
    /// Other sockets with this set may take the same address and port.
    pub reuse: bool,
    /// Bound to `[::]`, the socket speaks IPv6 alone (`IPV6_V6ONLY`, RFC 3493 §5.3). It is taken at
    /// the bind; off, such a socket is at all addresses of both families.
    pub only_v6: bool,
    /// Most bytes that wait to be read, each datagram counted with its overhead.
    pub receive_limit: usize,
    /// Most bytes that wait to be sent.
    pub send_limit: usize,
}

/// What a socket does about datagrams larger than the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathMtu {
    /// Set don't-fragment while the datagram fits what is known of the path, else fragment.
    Want,
    /// Always set it; refuse what is larger than is known to fit.
    Require,
    /// Never set it.
    Off,
    /// Always set it and do not look at what is known: for path MTU probes.
    Probe,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ttl: 0,
            multicast_ttl: 1,
            multicast_loop: true,
            multicast_interface: None,
            prefer_temporary: None,
            tos: 0,
            broadcast: false,
            path_mtu: PathMtu::Want,
            reuse: false,
            only_v6: false,
            receive_limit: 256 * 1024,
            send_limit: 256 * 1024,
        }
    }
}

/// A received datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The user's bytes, shared with the frame they came in.
    pub payload: Payload,
    /// Who sent it.
    pub from: SocketAddr,
    /// Which of our addresses, group or broadcast it was sent to.
    pub to: SocketAddr,
    /// The interface it came by.
    pub interface: u16,
    /// Time to live on arrival.
    pub ttl: u8,
    /// DSCP and ECN on arrival.
    pub tos: u8,
}

impl Default for Datagram {
    /// None: what a place in the store holds before it is filled.
    fn default() -> Self {
        let nobody = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        Self {
            payload: Payload::new(),
            from: nobody,
            to: nobody,
            interface: 0,
            ttl: 0,
            tos: 0,
        }
    }
}

/// What a queued datagram costs beside its payload, so that empty ones fill a queue too.
const OVERHEAD: usize = 256;

/// A UDP socket's state; the host gives it packets and routes.
#[derive(Clone, Debug)]
pub struct Socket {
    /// Address it is bound to; the unspecified one is any of its family.
    pub local_addr: IpAddr,
    /// Port it is bound to.
    pub port: u16,
    /// The zone of that address, where it is one of a link.
    pub zone: u32,
    /// Where it is connected to.
    pub remote: Option<SocketAddr>,
    /// How it sends.
    pub options: Options,
    /// Counters.
    pub stats: Stats,
    rx: Chain,
    rx_bytes: usize,
    errors: Errors,
}

/// Counters of one socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams queued for the user.
    pub received: u64,
    /// Datagrams handed to the network.
    pub sent: u64,
    /// Datagrams refused since the queue was full.
    pub overflowed: u64,
    /// ICMP errors that came back.
    pub errors: u64,
}

impl Socket {
    /// A socket bound to a port, at one address or all.
    #[must_use]
    pub const fn new(local_addr: IpAddr, port: u16, options: Options) -> Self {
        Self {
            local_addr,
            port,
            zone: 0,
            remote: None,
            options,
            stats: Stats {
                received: 0,
                sent: 0,
                overflowed: 0,
                errors: 0,
            },
            rx: Chain::new(),
            rx_bytes: 0,
            errors: Errors::new(),
        }
    }

    /// Whether it takes a datagram from `from`: a connected socket hears its peer only.
    #[must_use]
    #[inline]
    pub fn accepts(&self, from: SocketAddr) -> bool {
        self.remote.is_none_or(|remote| remote == from)
    }

    /// Whether what is sent to `addr` is for it.
    #[must_use]
    #[inline]
    pub fn is_at(&self, addr: IpAddr) -> bool {
        super::covers(self.local_addr, self.is_dual(), addr)
    }

    /// The end that it is bound to.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        zone::end(self.local_addr, self.port, self.zone)
    }

    /// Whether there are packets that are for both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let one_link = self.zone == 0 || other.zone == 0 || self.zone == other.zone;
        one_link && (self.is_at(other.local_addr) || other.is_at(self.local_addr))
    }

    /// Whether it speaks both families.
    #[must_use]
    #[inline]
    pub const fn is_dual(&self) -> bool {
        !self.options.only_v6 && super::is_any6(self.local_addr)
    }

    /// Whether it can send to an address of this family.
    #[must_use]
    #[inline]
    pub const fn speaks(&self, addr: IpAddr) -> bool {
        self.local_addr.is_ipv4() == addr.is_ipv4() || (addr.is_ipv4() && self.is_dual())
    }

    /// Whether it can send to an address of this family, from any of ours and whoever that is.
    #[must_use]
    #[inline(always)]
    pub const fn is_free_to(&self, addr: IpAddr) -> bool {
        self.remote.is_none()
            && match (self.local_addr, addr) {
                (IpAddr::V4(local), IpAddr::V4(_)) => local.is_unspecified(),
                (IpAddr::V6(local), IpAddr::V6(_)) => local.is_unspecified(),
                (IpAddr::V6(local), IpAddr::V4(_)) => {
                    local.is_unspecified() && !self.options.only_v6
                }
                (IpAddr::V4(_), IpAddr::V6(_)) => false,
            }
    }

    /// Queues a datagram of `len` bytes for the user: the place in the host's store where it goes.
    ///
    /// # Errors
    /// [`DropReason::SocketQueueFull`].
    #[inline]
    pub fn push<'a>(
        &mut self,
        store: &'a mut Pool<Datagram>,
        len: usize,
    ) -> Result<&'a mut Datagram, DropReason> {
        let cost = len + OVERHEAD;
        if self.rx_bytes + cost <= self.options.receive_limit
            && let Some(place) = store.push(&mut self.rx)
        {
            self.rx_bytes += cost;
            self.stats.received += 1;
            return Ok(place);
        }
        self.stats.overflowed += 1;
        Err(DropReason::SocketQueueFull)
    }

    /// The next datagram.
    #[inline]
    pub fn recv(&mut self, store: &mut Pool<Datagram>) -> Option<Datagram> {
        let datagram = store.pop(&mut self.rx)?;
        self.rx_bytes -= datagram.payload.len() + OVERHEAD;
        Some(core::mem::take(datagram))
    }

    /// Drops what waits.
    pub fn clear(&mut self, store: &mut Pool<Datagram>) {
        store.clear(&mut self.rx);
        self.rx_bytes = 0;
    }

    /// Datagrams waiting.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.rx.len()
    }

    /// Notes an ICMP error for the user.
    pub fn push_error(&mut self, error: SocketError) {
        self.stats.errors += 1;
        self.errors.push(error);
    }

    /// The oldest error not yet seen.
    pub fn take_error(&mut self) -> Option<SocketError> {
        self.errors.take()
    }

    /// Takes the oldest error that shall fail the next call: hard ones, on a connected socket.
    #[inline]
    pub fn take_hard_error(&mut self) -> Option<SocketError> {
        self.remote?;
        self.errors.take_hard()
    }
}

/// Verifies a received datagram, which starts `at` bytes into `packet`: header, length, checksum.
///
/// # Errors
/// The reason to drop it.
#[inline(always)]
pub fn check(
    packet: &Frame,
    at: usize,
    src: IpAddr,
    dst: IpAddr,
) -> Result<udp::Header, DropReason> {
    let front = packet.front().get(at..).unwrap_or_default();
    let (header, _) = udp::Header::parse(front).map_err(|_| DropReason::UdpMalformed)?;
    let available = packet.len() - at;
    let len = usize::from(header.len);
    if len < udp::HEADER_LEN || len > available {
        return Err(DropReason::UdpMalformed);
    }
    let verified = matches!(
        packet.offload.checksum,
        Checksum::Verified | Checksum::Partial { .. }
    );
    //= RFC 1122 §4.1.3.4 a zero checksum over IPv4 means that the sender computed none.
    if !verified && (header.checksum != 0 || dst.is_ipv6()) {
        if header.checksum == 0 {
            return Err(DropReason::UdpBadChecksum);
        }
        let mut sum = Sum::new();
        sum.add_pseudo(src, dst, Protocol::UDP, len);
        match front.get(..len) {
            // As nearly every received frame is: in one piece.
            Some(datagram) => sum.add(datagram),
            None if len == available => packet.sum_from(at, &mut sum),
            None => {
                let mut cut = packet.clone();
                cut.truncate(at + len);
                cut.sum_from(at, &mut sum);
            }
        }
        if sum.finish() != 0 {
            return Err(DropReason::UdpBadChecksum);
        }
    }
    Ok(header)
}

/// Puts a UDP header with its checksum in front of a payload; the caller has checked its length.
pub fn encapsulate(frame: &mut Frame, src: SocketAddr, dst: SocketAddr) {
    let mut sum = Sum::new();
    let len = frame.len() + udp::HEADER_LEN;
    sum.add_pseudo(src.ip(), dst.ip(), Protocol::UDP, len);
    frame.sum_into(&mut sum);
    let header = header(sum, len, src.port(), dst.port());
    frame.push_front(&header);
    frame.offload.checksum = Checksum::Complete;
}

/// The header of a datagram of `len` bytes in all; `sum` holds the pseudo-header and the data. The
/// caller has checked its length.
#[inline(always)]
#[must_use]
pub fn header(mut sum: Sum, len: usize, src: u16, dst: u16) -> [u8; udp::HEADER_LEN] {
    let len = u16::try_from(len).unwrap_or(u16::MAX);
    let [s0, s1] = src.to_be_bytes();
    let [d0, d1] = dst.to_be_bytes();
    let [l0, l1] = len.to_be_bytes();
    sum.add_even([s0, s1, d0, d1]);
    sum.add_even([l0, l1, 0, 0]);
    // RFC 768: a sum that comes to zero is sent as all ones, since zero says "none".
    let [c0, c1] = match sum.finish() {
        0 => [0xff, 0xff],
        sum => sum.to_be_bytes(),
    };
    [s0, s1, d0, d1, l0, l1, c0, c1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn datagram(len: usize) -> Datagram {
        let any = SocketAddr::from(([10, 0, 0, 1], 7));
        let payload = Payload::from(Bytes::from(alloc::vec![0; len]));
        Datagram {
            payload,
            from: any,
            to: any,
            interface: 0,
            ttl: 64,
            tos: 0,
        }
    }

    #[test]
    fn the_queue_refuses_the_newest_and_counts_it() {
        let options = Options {
            receive_limit: 3 * (OVERHEAD + 10),
            ..Options::default()
        };
        let mut s = Socket::new(IpAddr::from([0; 4]), 7, options);
        let mut store = Pool::new();
        let push = |s: &mut Socket, store: &mut Pool<_>, len| {
            s.push(store, len).map(|place| *place = datagram(len))
        };
        for _ in 0..3 {
            push(&mut s, &mut store, 10).unwrap();
        }
        let full = push(&mut s, &mut store, 0);
        assert_eq!(full, Err(DropReason::SocketQueueFull));
        assert_eq!((s.waiting(), s.stats.overflowed), (3, 1));
        assert!(s.recv(&mut store).is_some());
        push(&mut s, &mut store, 10).unwrap();
        while s.recv(&mut store).is_some() {}
        assert_eq!(s.rx_bytes, 0);
    }

    #[test]
    fn checks_length_and_checksum() {
        let (src, dst) = (
            SocketAddr::from(([10, 0, 0, 1], 9)),
            SocketAddr::from(([10, 0, 0, 2], 7)),
        );
        let mut good = Frame::copy_from(b"hello");
        encapsulate(&mut good, src, dst);
        let mut good = Frame::from_bytes(good.to_bytes());
        assert_eq!(check(&good, 0, src.ip(), dst.ip()).unwrap().dst_port, 7);
        let at = |i: usize, v: u8| {
            let mut bytes = good.to_bytes().to_vec();
            bytes[i] = v;
            check(&Frame::copy_from(&bytes), 0, src.ip(), dst.ip()).map(|h| h.len)
        };
        assert_eq!(at(8, b'j'), Err(DropReason::UdpBadChecksum));
        assert_eq!(at(5, 7), Err(DropReason::UdpMalformed));
        assert_eq!(at(5, 14), Err(DropReason::UdpMalformed));
        assert_eq!(at(3, 9), Err(DropReason::UdpBadChecksum));
        good.truncate(7);
        assert_eq!(
            check(&good, 0, src.ip(), dst.ip()),
            Err(DropReason::UdpMalformed)
        );
    }

    #[test]
    fn zero_checksum_is_none_in_v4_and_wrong_in_v6() {
        let bytes = [0, 9, 0, 7, 0, 8, 0, 0];
        let f = Frame::copy_from(&bytes);
        let v4 = IpAddr::from([10, 0, 0, 1]);
        let v6 = IpAddr::from([1u16; 8]);
        assert!(check(&f, 0, v4, v4).is_ok());
        assert_eq!(check(&f, 0, v6, v6), Err(DropReason::UdpBadChecksum));
    }
}
