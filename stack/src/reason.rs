//! Why a packet was refused: one list for the whole house, each counted in one place.
//!
//! ```text
//!   link | net | transport | host --DropReason--> host::Stats.drops[reason]  ("stats", JSON)
//!                                            \--> pcapng comment, `replay` line, lab trace
//! ```
//!
//! A name is stable: it is what JSON, captures and scripts show.

use core::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a packet was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum DropReason { $($(#[$doc])* $variant,)* }

        impl DropReason {
            /// Every reason, in the order of the layers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name: `udp-no-socket`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    // Link.
    /// The frame is too short for its link header.
    LinkTruncated = "link-truncated",
    /// A unicast frame for another station.
    LinkNotForUs = "link-not-for-us",
    /// A multicast frame for a group that was not joined.
    LinkGroupNotJoined = "link-group-not-joined",
    /// The source is a group address, or our own.
    LinkBadSource = "link-bad-source",
    /// A VLAN tag that no sub-interface has.
    VlanUnknown = "vlan-unknown",
    /// A VLAN tag that is cut short, or more tags than are understood.
    VlanMalformed = "vlan-malformed",
    /// An EtherType or LLC protocol that nothing here speaks.
    EtherTypeUnknown = "ethertype-unknown",
    /// The interface is down.
    InterfaceDown = "interface-down",
    /// The frame is longer than the interface may carry.
    FrameTooLong = "frame-too-long",

    // ARP and neighbours.
    /// An ARP packet that is cut short or of other than Ethernet and IPv4 form.
    ArpMalformed = "arp-malformed",
    /// ARP for an address that is not ours.
    ArpNotForUs = "arp-not-for-us",
    /// An ARP sender address that no host may have, or that is ours.
    ArpBadSender = "arp-bad-sender",
    /// ARP conflicts with an address that we hold or claim (RFC 5227).
    ArpConflict = "arp-conflict",
    /// An ARP reply that nobody asked for.
    ArpUnsolicited = "arp-unsolicited",
    /// An ARP claim against a confirmed neighbour, held back until a probe confirms it.
    NeighborProtected = "neighbor-protected",
    /// The next hop did not answer.
    NeighborUnreachable = "neighbor-unreachable",
    /// Too many packets wait for this next hop.
    NeighborQueueFull = "neighbor-queue-full",
    /// The neighbour cache is full of entries that may not be evicted.
    NeighborCacheFull = "neighbor-cache-full",
    /// An ARP request that we may not answer this soon: its sender asks too often.
    ArpRateLimited = "arp-rate-limited",
    /// A neighbour discovery message that its validity checks refuse (RFC 4861 §6.1, §7.1, §8.1).
    NdpMalformed = "ndp-malformed",
    /// One with a hop limit below 255: it may come from beyond the link.
    NdpHopLimit = "ndp-hop-limit",
    /// A solicitation for an address that is not ours, or not yet.
    NdpNotForUs = "ndp-not-for-us",
    /// It names a group or ourselves as a station.
    NdpBadSender = "ndp-bad-sender",
    /// It shows that another station has, or wants, an address of ours.
    NdpConflict = "ndp-conflict",
    /// Our own question about an address, come back (RFC 7527 §4.2).
    NdpLooped = "ndp-looped",
    /// An advertisement of a neighbour that nobody asked for.
    NdpUnsolicited = "ndp-unsolicited",
    /// A solicitation that we may not answer this soon: its sender asks too often.
    NdpRateLimited = "ndp-rate-limited",
    /// A neighbour discovery message that came with a fragment header (RFC 6980 §5).
    NdpFragmented = "ndp-fragmented",

    // IPv4.
    /// The packet is cut short within its header.
    Ipv4Truncated = "ipv4-truncated",
    /// The version is not 4.
    Ipv4BadVersion = "ipv4-bad-version",
    /// The header length is below 20 bytes or beyond the packet.
    Ipv4BadHeaderLength = "ipv4-bad-header-length",
    /// The total length is below the header's or beyond the frame.
    Ipv4BadTotalLength = "ipv4-bad-total-length",
    /// The header checksum is wrong.
    Ipv4BadChecksum = "ipv4-bad-checksum",
    /// An option is malformed.
    Ipv4BadOption = "ipv4-bad-option",
    /// A source route, which we refuse to follow.
    Ipv4SourceRoute = "ipv4-source-route",
    /// A source address that no packet may have here (RFC 1122 §3.2.1.3, RFC 1812 §5.3.7).
    Ipv4MartianSource = "ipv4-martian-source",
    /// A destination address that no packet may have here.
    Ipv4MartianDestination = "ipv4-martian-destination",
    /// The source is an address of ours.
    Ipv4SourceIsOurs = "ipv4-source-is-ours",
    /// The route back to the source leaves by another interface (RFC 3704).
    Ipv4ReversePath = "ipv4-reverse-path",
    /// Not our address, and we do not forward.
    Ipv4NotForUs = "ipv4-not-for-us",
    /// A unicast destination in a broadcast or multicast link frame (RFC 1122 §3.3.6).
    Ipv4UnicastInGroupFrame = "ipv4-unicast-in-group-frame",
    /// A multicast group that was not joined.
    Ipv4GroupNotJoined = "ipv4-group-not-joined",
    /// A broadcast, multicast or link-local packet that must not be forwarded.
    Ipv4NotForwardable = "ipv4-not-forwardable",
    /// The time to live ran out.
    TtlExpired = "ttl-expired",
    /// No route to the destination.
    NoRoute = "no-route",
    /// The route says unreachable or prohibited.
    RouteProhibited = "route-prohibited",
    /// Too big for the next link, and may not be fragmented.
    FragmentationNeeded = "fragmentation-needed",
    /// A protocol that nothing here speaks.
    ProtocolUnknown = "protocol-unknown",
    /// The forwarding queue of the outgoing interface is full.
    ForwardQueueFull = "forward-queue-full",
    /// The reply queue of the outgoing interface is full.
    ReplyQueueFull = "reply-queue-full",

    // IPv6.
    /// The host does not speak IPv6.
    Ipv6Disabled = "ipv6-disabled",
    /// The packet is cut short or its header malformed.
    Ipv6Malformed = "ipv6-malformed",
    /// A source address that no packet may have here (RFC 4291 §2.5 and §2.7).
    Ipv6MartianSource = "ipv6-martian-source",
    /// A destination address that no packet may have here.
    Ipv6MartianDestination = "ipv6-martian-destination",
    /// The source is an address of ours.
    Ipv6SourceIsOurs = "ipv6-source-is-ours",
    /// The route back to the source leaves by another interface (RFC 3704).
    Ipv6ReversePath = "ipv6-reverse-path",
    /// Not our address, and we do not forward.
    Ipv6NotForUs = "ipv6-not-for-us",
    /// A unicast destination in a multicast link frame.
    Ipv6UnicastInGroupFrame = "ipv6-unicast-in-group-frame",
    /// A multicast group that was not joined.
    Ipv6GroupNotJoined = "ipv6-group-not-joined",
    /// A multicast or link-local packet that must not be forwarded.
    Ipv6NotForwardable = "ipv6-not-forwardable",
    /// An extension header where there may be none (RFC 8200 §4.1).
    Ipv6HeaderChain = "ipv6-header-chain",
    /// More extension headers, bytes of them or options than we look at (RFC 8504 §5.3).
    Ipv6TooManyHeaders = "ipv6-too-many-headers",
    /// A routing header that would have us send the packet on (RFC 8200 §4.4, RFC 5095).
    Ipv6RoutingHeader = "ipv6-routing-header",
    /// An option that is malformed, or not known and not to be passed over.
    Ipv6BadOption = "ipv6-bad-option",
    /// Nothing follows the headers (RFC 8200 §4.7).
    Ipv6NoNextHeader = "ipv6-no-next-header",

    // Reassembly.
    /// A fragment that is empty, of odd length before the end, or beyond 65,535 bytes.
    FragmentMalformed = "fragment-malformed",
    /// A first fragment too small for its transport header, or one at offset 8 of TCP (RFC 1858,
    /// RFC 3128).
    FragmentTiny = "fragment-tiny",
    /// A fragment of a datagram in which two fragments overlap (RFC 5722).
    FragmentOverlap = "fragment-overlap",
    /// A fragment that is already there.
    FragmentDuplicate = "fragment-duplicate",
    /// A fragment of a datagram of which one has met congestion and another cannot be marked so
    /// (RFC 3168 §5.3).
    FragmentEcnMixed = "fragment-ecn-mixed",
    /// The other fragments did not arrive in time.
    ReassemblyTimeout = "reassembly-timeout",
    /// Given up to make room for newer fragments, or refused for want of room.
    ReassemblyFull = "reassembly-full",

    // ICMP and IGMP.
    /// An ICMP message that is cut short or malformed.
    IcmpMalformed = "icmp-malformed",
    /// The ICMP checksum is wrong.
    IcmpBadChecksum = "icmp-bad-checksum",
    /// An ICMP type that asks nothing of us.
    IcmpUnknownType = "icmp-unknown-type",
    /// An ICMP error whose quote matches nothing that we sent.
    IcmpQuoteUnmatched = "icmp-quote-unmatched",
    /// An echo or timestamp request to a broadcast or multicast address, or where switched off.
    IcmpIgnored = "icmp-ignored",
    /// An ICMP reply that no socket waits for.
    IcmpNoSocket = "icmp-no-socket",
    /// A redirect that is not from the current first hop, or not usable.
    IcmpRedirectRefused = "icmp-redirect-refused",
    /// An ICMP error that we may not send this soon (token bucket).
    IcmpRateLimited = "icmp-rate-limited",
    /// An IGMP message that is cut short or malformed.
    IgmpMalformed = "igmp-malformed",
    /// The IGMP checksum is wrong.
    IgmpBadChecksum = "igmp-bad-checksum",
    /// An IGMP message that asks nothing of a host, or with a TTL other than 1.
    IgmpIgnored = "igmp-ignored",
    /// A message of multicast listener discovery that is cut short or malformed.
    MldMalformed = "mld-malformed",
    /// One that asks nothing of a host, or that comes from elsewhere than its link.
    MldIgnored = "mld-ignored",

    // UDP, TCP, sockets.
    /// The UDP header is cut short, or its length disagrees with the packet.
    UdpMalformed = "udp-malformed",
    /// The UDP checksum is wrong.
    UdpBadChecksum = "udp-bad-checksum",
    /// No socket is bound to the port.
    UdpNoSocket = "udp-no-socket",
    /// The TCP header is cut short or malformed.
    TcpMalformed = "tcp-malformed",
    /// The TCP checksum is wrong.
    TcpBadChecksum = "tcp-bad-checksum",
    /// No connection or listener; a reset answers.
    TcpNoSocket = "tcp-no-socket",
    /// Outside the receive window; an acknowledgment answers.
    TcpOutOfWindow = "tcp-out-of-window",
    /// All of it had been received before.
    TcpDuplicate = "tcp-duplicate",
    /// Older than what was received last, by its timestamp (RFC 7323 §5).
    TcpPaws = "tcp-paws",
    /// It acknowledges what was not sent, or what was acknowledged long ago.
    TcpBadAck = "tcp-bad-ack",
    /// A reset or SYN that may be forged: an acknowledgment asks the peer (RFC 5961).
    TcpChallenged = "tcp-challenged",
    /// Flags that mean nothing in the connection's state.
    TcpUnexpected = "tcp-unexpected",
    /// Data behind the peer's FIN.
    TcpAfterFin = "tcp-after-fin",
    /// Data for a user who has let go; a reset answers.
    TcpAfterClose = "tcp-after-close",
    /// Data while the window is closed.
    TcpZeroWindow = "tcp-zero-window",
    /// It lies or ends beyond the window.
    TcpBeyondWindow = "tcp-beyond-window",
    /// The receive buffer has no memory left for it.
    TcpBufferFull = "tcp-buffer-full",
    /// Too much is held out of order.
    TcpOutOfOrderFull = "tcp-out-of-order-full",
    /// The socket's receive queue is full.
    SocketQueueFull = "socket-queue-full",
    /// The socket was closed while the packet waited.
    SocketClosed = "socket-closed",
    /// TCP to or from a broadcast or multicast address (RFC 9293 MUST-57).
    TcpNotUnicast = "tcp-not-unicast",
    /// The listener does not talk to this address; a reset answers.
    TcpFiltered = "tcp-filtered",
    /// As many connections as the listener lets wait to be accepted do.
    TcpBacklogFull = "tcp-backlog-full",
    /// The listener waits for data.
    TcpDeferred = "tcp-deferred",
    /// As many connections as the listener lets be half open are.
    TcpSynQueueFull = "tcp-syn-queue-full",
    /// The host has as many connections as it may have.
    TcpTooMany = "tcp-too-many",
    /// An acknowledgment for a listener that is no cookie of ours; a reset answers.
    TcpBadCookie = "tcp-bad-cookie",
    /// A segment for a listener that opens nothing.
    TcpNotSyn = "tcp-not-syn",
    /// All connections together hold as much as they may, and this one enough.
    TcpMemoryFull = "tcp-memory-full",

    // Wires and nodes of a lab.
    /// The wire is down, or went down while the frame was on it.
    WireDown = "wire-down",
    /// Lost on the wire, as its loss says.
    WireLoss = "wire-loss",
    /// Taken off the wire by a rule of the fault script.
    WireFault = "wire-fault",
    /// The queue in front of the wire is full.
    WireQueueFull = "wire-queue-full",
    /// The queue in front of the wire is too slow: dropped by CoDel (RFC 8289).
    WireCodel = "wire-codel",
    /// Bits were flipped on the wire, and the frame check found it.
    WireFrameCheck = "wire-frame-check",
    /// What is on the wire takes as much memory as it may.
    WireMemoryFull = "wire-memory-full",
    /// The node has crashed.
    NodeDown = "node-down",
    /// The node sleeps.
    NodePaused = "node-paused",
}

impl DropReason {
    /// The same of IPv6 where this is one of IPv4's, for checks that both families share.
    #[must_use]
    pub const fn of_ipv6(self) -> Self {
        match self {
            Self::ArpBadSender => Self::NdpBadSender,
            Self::ArpUnsolicited => Self::NdpUnsolicited,
            Self::Ipv4MartianSource => Self::Ipv6MartianSource,
            Self::Ipv4SourceIsOurs => Self::Ipv6SourceIsOurs,
            Self::Ipv4ReversePath => Self::Ipv6ReversePath,
            Self::Ipv4NotForUs => Self::Ipv6NotForUs,
            Self::Ipv4UnicastInGroupFrame => Self::Ipv6UnicastInGroupFrame,
            Self::Ipv4GroupNotJoined => Self::Ipv6GroupNotJoined,
            Self::Ipv4NotForwardable => Self::Ipv6NotForwardable,
            other => other,
        }
    }

    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Position in [`ALL`](Self::ALL), for tables of counters.
    #[must_use]
    #[allow(clippy::as_conversions)]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_is_position_and_names_differ() {
        for (i, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), i);
            assert!(
                !DropReason::ALL[..i]
                    .iter()
                    .any(|r| r.name() == reason.name())
            );
        }
    }
}
