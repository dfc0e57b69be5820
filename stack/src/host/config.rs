//! What a host is told at birth: limits, policies, interfaces. Plain data with defaults.

use crate::machine::Port;
use crate::net::{
    acd, advertiser, autoconf, dad, groups, igmp, ndp, neighbor, pmtu, rate, reassembly, route,
    routers, select,
};
use crate::time::Duration;
use crate::transport::{ports, udp};
use crate::wire::{Cidr, MacAddr};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use core::ops::RangeInclusive;

/// Policies and limits of a whole host.
#[derive(Clone, Debug)]
pub struct Config {
    /// Forward packets that are not for us (RFC 1812; RFC 1122 §3.3.1.1 wants it off by default).
    pub forwarding: bool,
    /// As a router, do what the hop-by-hop options of a packet of IPv6 ask that are not known, which
    /// may be to drop it and say so. Off: RFC 8200 §4.3 leaves them to those who were told to look.
    pub hop_by_hop: bool,
    /// Answer echo requests (RFC 1122 §3.2.2.6 wants it on).
    pub echo: bool,
    /// Answer echo and timestamp requests to broadcast and multicast addresses. Off: RFC 1122
    /// §3.2.2.6 allows silence, and an amplifier is nobody's friend.
    pub echo_broadcast: bool,
    /// Answer echo requests to groups of IPv6, as RFC 4443 §4.2 wants: who does it is found by
    /// `ping ff02::1%tap0`. The answers stay on the link that asks, unlike those of IPv4.
    pub echo_group: bool,
    /// Answer timestamp requests (RFC 1122 §3.2.2.8: may).
    pub timestamps: bool,
    /// Follow redirects from the current first hop (RFC 1122 §3.2.2.2; routers do not, RFC 1812
    /// §5.2.7.2).
    pub accept_redirects: bool,
    /// Send redirects when forwarding back out of the same interface (RFC 1812 §5.2.7.2).
    pub send_redirects: bool,
    /// Time to live of what the host itself sends (RFC 1122 §3.2.1.7; RFC 1700's value).
    pub ttl: u8,
    /// Rate of ICMP errors, in all and for one receiver (RFC 1812 §4.3.2.8).
    pub icmp_rate: rate::Config,
    /// Neighbour cache of each interface.
    pub neighbor: neighbor::Config,
    /// Claiming of addresses.
    pub acd: acd::Config,
    /// Claiming of IPv6 addresses.
    pub dad: dad::Config,
    /// Neighbour discovery.
    pub ndp: ndp::Config,
    /// What routers say of a link.
    pub routers: routers::Config,
    /// Addresses of our own that are made from it.
    pub autoconf: autoconf::Config,
    /// The policy table by which source addresses are chosen and destinations ordered (RFC 6724
    /// §2.1).
    pub address_policy: Arc<select::Policy>,
    /// Whether temporary addresses are preferred where there are some (RFC 6724 §5 rule 7's privacy
    /// preference flag).
    pub prefer_temporary: bool,
    /// What stable identifiers are made with (RFC 7217 §5), for nothing else; of 128 random bits,
    /// drawn once and kept. `None`: from the host's seed, and then they are as stable as that.
    pub secret_key: Option<[u64; 2]>,
    /// Routes kept.
    pub route: route::Config,
    /// Reassembly limits.
    pub reassembly: reassembly::Config,
    /// Path MTU cache.
    pub pmtu: pmtu::Config,
    /// Multicast groups.
    pub igmp: igmp::Config,
    /// Those of IPv6.
    pub mld: groups::Config,
    /// Ephemeral ports.
    pub ephemeral_ports: RangeInclusive<u16>,
    /// Sockets of all kinds together.
    pub max_sockets: usize,
    /// TCP connections in any state.
    pub max_connections: usize,
    /// What all TCP connections together may hold.
    pub tcp_memory: TcpMemory,
    /// Connections that nobody holds a handle of any more, and that are still to be closed in good
    /// order. One more is reset.
    pub max_orphans: usize,
    /// Of these the ones in TIME-WAIT, which have a limit of their own: the oldest goes.
    pub max_time_waits: usize,
    /// Replies (ICMP, resets) that wait for one interface.
    pub max_replies: usize,
    /// Bytes of such replies, of which 16 may be as long as the largest ping. What the host sends
    /// to itself is held to the same two limits.
    pub max_reply_bytes: usize,
    /// Forwarded packets that wait for one interface.
    pub max_forwarded: usize,
    /// First hops learned from redirects.
    pub max_redirects: usize,
    /// How long a redirect holds; a router that moved on is asked again after that.
    pub redirect_lifetime: Duration,
    /// What sockets start with.
    pub udp: udp::Options,
}

/// Bytes of data that all TCP connections together may hold: sent and not acknowledged, not sent,
/// not read, and out of order (Linux's `tcp_mem`, in bytes).
///
/// Above `pressure`, and from then on until it is less than `low`, nothing grows: windows stay as
/// large as they are, what comes out of order is given up, the longest held first, send buffers take
/// up to 16 KiB. At 7/8 of `high` no window promises more than 4 KiB or two segments of what is not read;
/// what comes beyond that is dropped, though it was promised, send buffers take 4 KiB, and the
/// oldest connections that nobody holds any more and that still have something to send are reset.
/// At `high`, but for the longest segment, nothing is taken at all, from the network or from users: no
/// more than `high` is ever held, with however many connections (where `high` is many times what a
/// user may write at once).
///
/// What lies around the data is not counted: a connection's own 1 KiB, and what buffers of a device
/// are larger than the frames in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpMemory {
    /// Below this all is well again.
    pub low: u64,
    /// Above this nothing grows.
    pub pressure: u64,
    /// So much is held at most.
    pub high: u64,
}

impl TcpMemory {
    /// Three bounds around `pressure`, in Linux's proportions: 3/4, 1 and 3/2.
    #[must_use]
    pub const fn around(pressure: u64) -> Self {
        Self {
            low: pressure / 4 * 3,
            pressure,
            high: pressure + pressure / 2,
        }
    }

    /// From here on only those are given something that hold nearly nothing.
    #[must_use]
    pub const fn spent(self) -> u64 {
        self.high / 8 * 7
    }

    /// From here on nothing is taken: the longest segment would be too much, or, where all is little,
    /// a few.
    #[must_use]
    pub const fn gone(self) -> u64 {
        let (little, longest) = (self.high / 16, 64 << 10);
        self.high - if little < longest { little } else { longest }
    }
}

impl Default for TcpMemory {
    /// 96, 128 and 192 MiB, as Linux has on a machine with 2 GiB.
    fn default() -> Self {
        Self::around(128 << 20)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            forwarding: false,
            hop_by_hop: false,
            echo: true,
            echo_broadcast: false,
            echo_group: true,
            timestamps: true,
            accept_redirects: true,
            send_redirects: true,
            ttl: 64,
            icmp_rate: rate::Config::default(),
            neighbor: neighbor::Config::default(),
            acd: acd::Config::default(),
            dad: dad::Config::default(),
            ndp: ndp::Config::default(),
            routers: routers::Config::default(),
            autoconf: autoconf::Config::default(),
            address_policy: Arc::default(),
            prefer_temporary: true,
            secret_key: None,
            route: route::Config::default(),
            reassembly: reassembly::Config::default(),
            pmtu: pmtu::Config::default(),
            igmp: igmp::Config::default(),
            mld: groups::Config::default(),
            ephemeral_ports: ports::EPHEMERAL,
            max_sockets: 65_536,
            max_connections: 1 << 20,
            tcp_memory: TcpMemory::default(),
            max_orphans: 65_536,
            max_time_waits: 262_144,
            max_replies: 1024,
            max_reply_bytes: 1 << 20,
            max_forwarded: 1024,
            max_redirects: 256,
            redirect_lifetime: Duration::from_secs(600),
            udp: udp::Options::default(),
        }
    }
}

/// What lies in front of the IP packet on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Medium {
    /// An Ethernet header: neighbours must be resolved.
    Ethernet,
    /// Nothing: one peer.
    Ip,
}

/// Whether a packet must come by the interface that leads back to its source (RFC 3704 §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// No check.
    #[default]
    Off,
    /// The best route back must leave by the interface it came by.
    Strict,
    /// There must be a route back.
    Loose,
}

/// Whether an IPv6 address waits for duplicate address detection (RFC 4862 §5.4) on a link with
/// stations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DuplicateDetection {
    /// It is not used before.
    #[default]
    Before,
    /// It is used meanwhile, with the care that RFC 4429 asks for. We differ where it was typed in
    /// by hand: §3.1 would have it wait.
    Optimistic,
    /// None is done, as of a DupAddrDetectTransmits of zero: for a link where nobody else gives
    /// addresses.
    Off,
}

/// What the addresses that an interface makes for itself end in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum InterfaceId {
    /// Its station address (RFC 4291, appendix A). The default, and we differ: RFC 8064 §3 would have
    /// stable ones. Those take a secret that is kept, which a host alone in a process or a lab has
    /// not; made from a seed that is drawn at each start, they would only look stable.
    #[default]
    Eui64,
    /// What a secret makes of the network: another in each, always the same there (RFC 7217).
    Stable,
}

/// One interface.
#[derive(Clone, Debug)]
pub struct InterfaceConfig {
    /// Name, for status and errors.
    pub name: String,
    /// The attachment it lives on.
    pub port: Port,
    /// Its VLAN, where it is a sub-interface; several may share a port.
    pub vlan: Option<u16>,
    /// Priority for the tags it sends (IEEE 802.1Q §6.9.3).
    pub priority: u8,
    /// What lies in front of its packets.
    pub medium: Medium,
    /// Its station address; of no use on [`Medium::Ip`].
    pub mac: MacAddr,
    /// Largest packet, in bytes, without link header.
    pub mtu: usize,
    /// TCP super-frames of up to 64 KiB may leave by it, their checksum left out: its device has
    /// them cut (a TAP's or a packet socket's kernel), or who takes its frames does, as
    /// [`offload::cut`](crate::link::offload::cut). Off: not every device can.
    pub tso: bool,
    /// Addresses with their networks; each makes an on-link route.
    pub addresses: Vec<Cidr>,
    /// Probe for other holders before using an address (RFC 5227); else it is announced and used
    /// at once.
    pub probe_addresses: bool,
    /// Speak IPv6 without an address being given: make a link-local one (RFC 4862 §5.3). An address
    /// of IPv6 has the same effect.
    pub ipv6: bool,
    /// Ask for routers, and take default routes, prefixes and addresses from them (RFC 4861 §6.3,
    /// RFC 4862 §5.5), unless the host itself forwards. Off: whoever is on the link could give them.
    pub autoconfigure: bool,
    /// What the addresses end in that it makes for itself.
    pub interface_id: InterfaceId,
    /// Beside each address from a prefix, have temporary ones that follow one another, and prefer
    /// them (RFC 8981). Off: RFC 8981 §3.7 leaves it to the user.
    pub temporary: bool,
    /// Advertise ourselves as a router of IPv6 (RFC 4861 §6.2), where the host forwards: what, and how
    /// often. Nothing is advertised where RFC 4861 §6.2.1 wants it off by default.
    pub advertise: Option<advertiser::Config>,
    /// How IPv6 addresses are taken.
    pub duplicate_detection: DuplicateDetection,
    /// Take frames for other stations.
    pub promiscuous: bool,
    /// Take packets for any destination as ours, as a transparent proxy needs.
    pub any_ip: bool,
    /// Reverse path check.
    pub reverse_path: ReversePath,
    /// Networks that we answer for on behalf of others: ARP (RFC 1027), and of IPv6 neighbour
    /// solicitations (RFC 4861 §7.2.8), where our route leads there by another interface.
    pub proxy_arp: Vec<Cidr>,
    /// Addresses that others have as well, the nearest of whom is to be reached (RFC 4291 §2.6): no
    /// duplicates are looked for, and nothing is sent from them. Those of all routers of a network
    /// (RFC 4291 §2.6.1) a host that forwards has without being told.
    pub anycast: Vec<Ipv6Addr>,
}

impl InterfaceConfig {
    /// An Ethernet interface on `port` with an MTU of 1500 and no addresses.
    #[must_use]
    pub fn ethernet(name: &str, port: Port, mac: MacAddr) -> Self {
        Self {
            name: String::from(name),
            port,
            vlan: None,
            priority: 0,
            medium: Medium::Ethernet,
            mac,
            mtu: 1500,
            tso: false,
            addresses: Vec::new(),
            probe_addresses: false,
            ipv6: false,
            autoconfigure: false,
            interface_id: InterfaceId::Eui64,
            temporary: false,
            advertise: None,
            duplicate_detection: DuplicateDetection::Before,
            promiscuous: false,
            any_ip: false,
            reverse_path: ReversePath::Off,
            proxy_arp: Vec::new(),
            anycast: Vec::new(),
        }
    }

    /// A point-to-point interface without link header (TUN).
    #[must_use]
    pub fn ip(name: &str, port: Port) -> Self {
        Self {
            medium: Medium::Ip,
            ..Self::ethernet(name, port, MacAddr::ZERO)
        }
    }

    /// The same with one more address.
    #[must_use]
    pub fn with_address(mut self, address: Cidr) -> Self {
        self.addresses.push(address);
        self
    }
}
