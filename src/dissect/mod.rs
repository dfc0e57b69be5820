//! What a frame is made of: one walk that names its layers from the outside in.
//!
//! ```text
//!   pcap record --Dissector::walk--> Ethernet | VLAN | IPv4 | (reassembled) | UDP | payload
//!                                        |       |      |          |           |      |
//!                                   Visitor::layer  once for each, in this order
//! ```
//!
//! Read first: the module of each format in [`stack::wire`], which does the parsing. What stands
//! here is only what follows what.
//!
//! Promises:
//! - The walk allocates nothing for a frame, except for fragments that are kept or put together.
//! - Bytes that a snap length or an ICMP quote cut off are told apart from bytes that a sender
//!   left out: only the latter make a packet malformed ([`Fault`]).
//! - Nesting (tunnels, quotes, tags) is followed to [`MAX_DEPTH`] and no further, so hostile
//!   frames cost bounded time and stack.
//!
//! Left out: what TCP and UDP carry is one [`Header::Payload`] with the name that its port
//! suggests; an application's dissector joins in `transport.rs`, where ports are looked at.

mod fragments;
pub mod json;
mod link;
mod net;
pub mod text;
mod transport;

pub use fragments::Reassembled;
pub use link::Cooked;
pub use net::Gre;

use fragments::Fragments;
use stack::wire::pcap::{LinkType, Record};
use stack::wire::{
    ParseError, arp, ethernet, icmpv4, icmpv6, igmp, ipv4, ipv6, llc, tcp, udp, vlan,
};
use std::net::{IpAddr, Ipv4Addr};

/// The most headers that are followed in one frame.
pub const MAX_DEPTH: u8 = 40;

/// Bytes of a frame: those captured, and how many there were on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<'a> {
    /// What was captured.
    pub bytes: &'a [u8],
    /// Bytes there were; no less than `bytes.len()`.
    pub wire_len: usize,
}

impl<'a> Span<'a> {
    /// Bytes that are all there.
    #[must_use]
    pub const fn whole(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            wire_len: bytes.len(),
        }
    }

    /// All but the first `n` bytes.
    #[must_use]
    pub fn skip(self, n: usize) -> Self {
        Self {
            bytes: self.bytes.get(n..).unwrap_or_default(),
            wire_len: self.wire_len.saturating_sub(n),
        }
    }

    /// What follows a header, `rest` being the captured part of it.
    #[must_use]
    fn after(self, rest: &'a [u8]) -> Self {
        self.skip(self.bytes.len() - rest.len())
    }

    /// The first `n` bytes.
    #[must_use]
    pub fn limit(self, n: usize) -> Self {
        Self {
            bytes: self.bytes.get(..n).unwrap_or(self.bytes),
            wire_len: self.wire_len.min(n),
        }
    }

    /// Whether bytes are missing that were on the wire.
    #[must_use]
    pub const fn is_cut(self) -> bool {
        self.bytes.len() < self.wire_len
    }
}

/// What became of a checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// The layer has none.
    #[default]
    None,
    /// It holds.
    Good,
    /// It does not.
    Bad,
    /// The bytes that it covers are not all there.
    Unverified,
    /// The sender computed none, as UDP over IPv4 allows.
    Absent,
    /// The sender computed none where that is forbidden (RFC 8200 §8.1).
    Illegal,
}

/// What is wrong with a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The sender made it so.
    Malformed(ParseError),
    /// The capture, or the quote that this is in, ends too early to tell.
    Cut(ParseError),
}

/// Which kind of header a layer has, or should have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Ethernet.
    Ethernet,
    /// BSD loopback.
    Loopback,
    /// Raw IP: no header, only the wish for one.
    RawIp,
    /// Linux cooked capture.
    Cooked,
    /// Frame Relay.
    FrameRelay,
    /// LLC.
    Llc,
    /// SNAP.
    Snap,
    /// 802.1Q tag.
    Vlan,
    /// 802.1ad service tag.
    ServiceVlan,
    /// MPLS label stack.
    Mpls,
    /// PPPoE session.
    Pppoe,
    /// PPP.
    Ppp,
    /// ARP.
    Arp,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// IPv6 hop-by-hop options.
    HopByHop,
    /// IPv6 destination options.
    DestinationOptions,
    /// IPv6 routing header.
    Routing,
    /// IPv6 fragment header.
    Fragment,
    /// Authentication header.
    Authentication,
    /// Encapsulating security payload.
    Esp,
    /// IPv6 mobility header.
    Mobility,
    /// Host identity protocol.
    Hip,
    /// Shim6.
    Shim6,
    /// Not on the wire: fragments put together.
    Reassembled,
    /// GRE.
    Gre,
    /// VXLAN.
    Vxlan,
    /// Geneve.
    Geneve,
    /// L2TP.
    L2tp,
    /// Teredo.
    Teredo,
    /// GTP's user plane.
    Gtp,
    /// Ethernet in IP.
    EtherIp,
    /// A header of which only its name is told; what it carries is walked.
    Encapsulation,
    /// ICMP.
    Icmpv4,
    /// ICMPv6.
    Icmpv6,
    /// IGMP.
    Igmp,
    /// UDP.
    Udp,
    /// UDP-Lite.
    UdpLite,
    /// TCP.
    Tcp,
    /// Bytes that nothing here reads.
    Payload,
    /// A link type that nothing here reads.
    Unknown,
}

impl Kind {
    /// How many kinds there are.
    pub const COUNT: usize = Self::Unknown as usize + 1;

    /// Every kind, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Ethernet,
        Self::Loopback,
        Self::RawIp,
        Self::Cooked,
        Self::FrameRelay,
        Self::Llc,
        Self::Snap,
        Self::Vlan,
        Self::ServiceVlan,
        Self::Mpls,
        Self::Pppoe,
        Self::Ppp,
        Self::Arp,
        Self::Ipv4,
        Self::Ipv6,
        Self::HopByHop,
        Self::DestinationOptions,
        Self::Routing,
        Self::Fragment,
        Self::Authentication,
        Self::Esp,
        Self::Mobility,
        Self::Hip,
        Self::Shim6,
        Self::Reassembled,
        Self::Gre,
        Self::Vxlan,
        Self::Geneve,
        Self::L2tp,
        Self::Teredo,
        Self::Gtp,
        Self::EtherIp,
        Self::Encapsulation,
        Self::Icmpv4,
        Self::Icmpv6,
        Self::Igmp,
        Self::Udp,
        Self::UdpLite,
        Self::Tcp,
        Self::Payload,
        Self::Unknown,
    ];

    /// The name in JSON and counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ethernet => "ethernet",
            Self::Loopback => "loopback",
            Self::RawIp => "raw",
            Self::Cooked => "sll",
            Self::FrameRelay => "frame-relay",
            Self::Llc => "llc",
            Self::Snap => "snap",
            Self::Vlan => "vlan",
            Self::ServiceVlan => "service-vlan",
            Self::Mpls => "mpls",
            Self::Pppoe => "pppoe",
            Self::Ppp => "ppp",
            Self::Arp => "arp",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::HopByHop => "ipv6-hop-by-hop",
            Self::DestinationOptions => "ipv6-destination-options",
            Self::Routing => "ipv6-routing",
            Self::Fragment => "ipv6-fragment",
            Self::Authentication => "ah",
            Self::Esp => "esp",
            Self::Mobility => "mobility",
            Self::Hip => "hip",
            Self::Shim6 => "shim6",
            Self::Reassembled => "reassembled",
            Self::Gre => "gre",
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::L2tp => "l2tp",
            Self::Teredo => "teredo",
            Self::Gtp => "gtp",
            Self::EtherIp => "etherip",
            Self::Encapsulation => "encapsulation",
            Self::Icmpv4 => "icmp",
            Self::Icmpv6 => "icmpv6",
            Self::Igmp => "igmp",
            Self::Udp => "udp",
            Self::UdpLite => "udp-lite",
            Self::Tcp => "tcp",
            Self::Payload => "payload",
            Self::Unknown => "unknown",
        }
    }
}

/// A header as its format reads it.
#[derive(Clone, Copy, Debug)]
pub enum Header<'a> {
    /// Ethernet.
    Ethernet(ethernet::Header),
    /// BSD loopback: the address family of what follows, or its EtherType.
    Loopback(u32),
    /// Linux cooked capture.
    Cooked(Cooked<'a>),
    /// Frame Relay: the data link connection identifier.
    FrameRelay(u32),
    /// LLC.
    Llc(llc::Header),
    /// SNAP.
    Snap(llc::Snap),
    /// A tag, customer's or service's.
    Vlan(vlan::Header),
    /// The topmost MPLS label, and how many there are.
    Mpls {
        /// Label of the topmost entry.
        label: u32,
        /// Its time to live.
        ttl: u8,
        /// Entries in the stack.
        depth: usize,
    },
    /// PPPoE: the session.
    Pppoe(u16),
    /// PPP: the protocol.
    Ppp(u16),
    /// ARP.
    Arp(arp::Header<'a>),
    /// IPv4.
    Ipv4(ipv4::Header<'a>),
    /// IPv6.
    Ipv6(ipv6::Header),
    /// An extension header, or an authentication header in IPv4.
    Extension(ipv6::Extension<'a>),
    /// Encapsulating security payload.
    Esp(ipv6::SecurityPayload),
    /// Fragments put together.
    Reassembled(Reassembled),
    /// GRE.
    Gre(Gre),
    /// VXLAN or Geneve: the virtual network.
    Vni(u32),
    /// A tunnel that has nothing to tell but its identifier; zero where it has none.
    Tunnel(u32),
    /// The name of an encapsulation that has nothing else to tell.
    Encapsulation(&'static str),
    /// ICMP.
    Icmpv4(icmpv4::Header, Option<icmpv4::Message<'a>>),
    /// ICMPv6.
    Icmpv6(icmpv6::Header, Option<icmpv6::Message<'a>>),
    /// IGMP.
    Igmp(igmp::Message<'a>),
    /// UDP or UDP-Lite.
    Udp(udp::Header),
    /// TCP.
    Tcp(tcp::Header<'a>),
    /// Bytes that nothing here reads, and what they seem to be.
    Payload(&'static str),
}

/// One layer of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// Which kind.
    pub kind: Kind,
    /// From the first byte of the header to the end of what the layer outside gave it.
    pub span: Span<'a>,
    /// The header, where it could be read.
    pub header: Option<Header<'a>>,
    /// The checksum's verdict.
    pub checksum: Checksum,
    /// What is wrong: the reason where there is no header, else a remark.
    pub fault: Option<Fault>,
    /// Where in the frame this stands.
    pub place: Place,
}

/// What the layers outside say of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Quoted by an ICMP error.
    pub quoted: bool,
    /// In the first fragment of a datagram whose others are not there.
    pub fragment: bool,
    /// Source address of the innermost IP header passed.
    pub src: IpAddr,
    /// Its destination: the final one, where a route is given.
    pub dst: IpAddr,
    /// The innermost VLAN tag passed: fragments with other tags are other fragments.
    vlan: Option<u16>,
    depth: u8,
}

impl Place {
    const OUTERMOST: Self = Self {
        quoted: false,
        fragment: false,
        src: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        dst: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        vlan: None,
        depth: 0,
    };
}

impl Layer<'_> {
    /// Whether the sender made something wrong here, checksums apart.
    #[must_use]
    pub const fn is_malformed(&self) -> bool {
        matches!(self.fault, Some(Fault::Malformed(_)))
    }
}

/// Is told the layers of a frame, from the outside in.
pub trait Visitor {
    /// The next layer.
    fn layer(&mut self, layer: &Layer<'_>);
}

/// Walks frames. Remembers fragments from one frame to the next, nothing else.
///
/// ```
/// use stack::wire::pcap::LinkType;
/// use tapline::dissect::{Dissector, Kind, Layer, Span, Visitor};
///
/// struct Names(Vec<&'static str>);
/// impl Visitor for Names {
///     fn layer(&mut self, layer: &Layer<'_>) {
///         self.0.push(layer.kind.name());
///     }
/// }
/// let mut frame = [0; 42];
/// frame[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
/// let mut names = Names(Vec::new());
/// Dissector::default().frame(LinkType::ETHERNET, Span::whole(&frame), &mut names);
/// assert_eq!(names.0, ["ethernet", "arp"]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Dissector {
    fragments: Fragments,
}

impl Dissector {
    /// Tells `visitor` the layers of a captured packet.
    pub fn walk(&mut self, record: &Record<'_>, visitor: &mut impl Visitor) {
        let wire_len = usize::try_from(record.original_len).unwrap_or(usize::MAX);
        let span = Span {
            bytes: record.data,
            wire_len: wire_len.max(record.data.len()),
        };
        self.frame(record.link_type, span, visitor);
    }

    /// Tells `visitor` the layers of a frame that begins as `link_type` says.
    pub fn frame(&mut self, link_type: LinkType, span: Span<'_>, visitor: &mut impl Visitor) {
        let mut walk = Walk {
            fragments: &mut self.fragments,
            visitor,
        };
        walk.link(link_type, span, Place::OUTERMOST);
    }
}

/// One frame's walk.
struct Walk<'d, V> {
    fragments: &'d mut Fragments,
    visitor: &'d mut V,
}

impl<V: Visitor> Walk<'_, V> {
    /// A layer with nothing to say of its checksum or faults.
    #[inline]
    fn plain<'a>(&mut self, kind: Kind, span: Span<'a>, place: Place, header: Header<'a>) {
        self.visitor.layer(&Layer {
            kind,
            span,
            header: Some(header),
            checksum: Checksum::None,
            fault: None,
            place,
        });
    }

    /// A header that could not be read.
    fn fail(&mut self, kind: Kind, span: Span<'_>, place: Place, error: ParseError) {
        self.visitor.layer(&Layer {
            kind,
            span,
            header: None,
            checksum: Checksum::None,
            fault: Some(fault(error, span, place)),
            place,
        });
    }

    /// Bytes that nothing here reads, if there are any.
    fn payload(&mut self, name: &'static str, span: Span<'_>, place: Place) {
        if !span.bytes.is_empty() {
            self.plain(Kind::Payload, span, place, Header::Payload(name));
        }
    }
}

/// Whether `error` is the sender's doing.
fn fault(error: ParseError, span: Span<'_>, place: Place) -> Fault {
    match error {
        ParseError::Truncated(_) if span.is_cut() || place.quoted || place.fragment => {
            Fault::Cut(error)
        }
        _ => Fault::Malformed(error),
    }
}

/// One level further in; `None` where that would be too far.
fn deeper(place: Place) -> Option<Place> {
    (place.depth < MAX_DEPTH).then_some(Place {
        depth: place.depth + 1,
        ..place
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use stack::rng::Rng;

    const LINK_TYPES: [LinkType; 10] = [
        LinkType::ETHERNET,
        LinkType::NULL,
        LinkType::LOOP,
        LinkType::RAW,
        LinkType::IPV4,
        LinkType::IPV6,
        LinkType::LINUX_SLL,
        LinkType::LINUX_SLL2,
        LinkType::FRAME_RELAY,
        LinkType(9999),
    ];

    #[derive(Default)]
    struct Kinds(Vec<Kind>);

    impl Visitor for Kinds {
        fn layer(&mut self, layer: &Layer<'_>) {
            assert!(layer.span.bytes.len() <= layer.span.wire_len);
            self.0.push(layer.kind);
        }
    }

    fn kinds(link_type: LinkType, frame: &[u8]) -> Vec<Kind> {
        let mut kinds = Kinds::default();
        Dissector::default().frame(link_type, Span::whole(frame), &mut kinds);
        kinds.0
    }

    #[test]
    fn kinds_are_counted_right() {
        for (i, kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, i);
        }
    }

    #[test]
    fn nesting_is_bounded() {
        // IPv4 in IPv4, as deep as 64 KiB allow; tags likewise.
        let mut packet = Vec::new();
        for left in (1..=3000u16).rev() {
            let mut header = ipv4::Header {
                dscp: 0,
                ecn: 0,
                total_len: 20 * left,
                ident: 0,
                reserved_flag: false,
                dont_fragment: false,
                more_fragments: false,
                fragment_offset: 0,
                ttl: 1,
                protocol: stack::wire::Protocol::IPIP,
                checksum: 0,
                src: Ipv4Addr::LOCALHOST,
                dst: Ipv4Addr::LOCALHOST,
                options: &[],
            };
            header = header.with_checksum();
            let mut bytes = [0; 20];
            header
                .emit(&mut stack::wire::Writer::new(&mut bytes))
                .unwrap();
            packet.extend(bytes);
        }
        assert_eq!(kinds(LinkType::RAW, &packet).len(), usize::from(MAX_DEPTH));
        let tags = [[0; 12].as_slice(), &[0x81, 0, 0, 1].repeat(5000)].concat();
        assert!(kinds(LinkType::ETHERNET, &tags).len() <= usize::from(MAX_DEPTH));
    }

    #[test]
    fn garbage_of_every_link_type_is_walked_to_an_end() {
        let mut rng = Rng::from_seed(1);
        let mut dissector = Dissector::default();
        let mut out = String::new();
        for round in 0..20_000 {
            let len = usize::try_from(rng.below(120)).unwrap();
            let mut frame: Vec<u8> = (0..len).map(|_| rng.next_u64().to_le_bytes()[0]).collect();
            // Types and versions that lead on, at the places where they stand.
            for (at, values) in [
                (12, &[0x08, 0x86, 0x81][..]),
                (13, &[0, 0xdd, 6]),
                (14, &[0x45, 0x60]),
            ] {
                if let (Some(byte), true) = (frame.get_mut(at), rng.below(4) > 0) {
                    *byte = values[usize::try_from(rng.below(values.len() as u64)).unwrap()];
                }
            }
            let span = Span {
                bytes: &frame,
                wire_len: len + usize::try_from(rng.below(3) * 40).unwrap(),
            };
            let link_type = LINK_TYPES[round % LINK_TYPES.len()];
            dissector.frame(link_type, span, &mut Kinds::default());
        }
        // The views too, over a capture with bytes changed at random.
        let mut writer = stack::wire::pcap::Writer::new(&stack::wire::pcap::Section::default());
        let id = writer.interface("", LinkType::ETHERNET, 0);
        for _ in 0..200 {
            let data: Vec<u8> = (0..80).map(|_| rng.next_u64().to_le_bytes()[0]).collect();
            writer.packet(&stack::wire::pcap::Packet {
                interface: id,
                data: &data,
                ..Default::default()
            });
        }
        let file = writer.take();
        for record in stack::wire::pcap::Capture::parse(&file).unwrap() {
            json::write(&mut out, 1, &record.unwrap(), &mut dissector);
        }
        assert_eq!(out.lines().count(), 200);
        for line in out.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}
