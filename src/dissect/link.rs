//! From the first byte of a frame to the network layer.
//!
//! ```text
//!   Ethernet --EtherType--> VLAN, QinQ, MPLS, PPPoE --> IPv4 | IPv6 | ARP
//!            --length-----> LLC --SNAP--> EtherType
//!   NULL, LOOP --family-->   raw --first nibble-->   SLL, SLL2 --EtherType-->   FR --NLPID-->
//! ```

use super::{Fault, Header, Kind, Layer, Place, Span, Visitor, Walk, deeper};
use stack::wire::pcap::LinkType;
use stack::wire::{EtherType, ParseError, Reader, arp, ethernet, llc, vlan};

/// The pseudo-header that Linux puts in front where a device has none of its own ("SLL" and
/// "SLL2" of the tcpdump.org registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooked<'a> {
    /// Version 1 or 2.
    pub version: u8,
    /// 0 to us, 1 broadcast, 2 multicast, 3 to another, 4 sent by us.
    pub packet_type: u16,
    /// ARP hardware type of the device.
    pub hardware: u16,
    /// The device; version 2 only.
    pub interface: Option<u32>,
    /// The sender's link address.
    pub address: &'a [u8],
    /// An EtherType, or what the hardware type makes of it.
    pub protocol: u16,
}

impl<'a> Cooked<'a> {
    fn parse(bytes: &'a [u8], version: u8) -> Result<(Self, &'a [u8]), ParseError> {
        const WHAT: &str = "cooked header";
        let mut r = Reader::new(bytes);
        let mut header = Self {
            version,
            packet_type: 0,
            hardware: 0,
            interface: None,
            address: &[],
            protocol: 0,
        };
        let len;
        if version == 1 {
            header.packet_type = r.u16(WHAT)?;
            header.hardware = r.u16(WHAT)?;
            len = r.u16(WHAT)?;
            header.address = r.take(8, WHAT)?;
            header.protocol = r.u16(WHAT)?;
        } else {
            header.protocol = r.u16(WHAT)?;
            r.take(2, WHAT)?;
            header.interface = Some(r.u32(WHAT)?);
            header.hardware = r.u16(WHAT)?;
            header.packet_type = u16::from(r.u8(WHAT)?);
            len = u16::from(r.u8(WHAT)?);
            header.address = r.take(8, WHAT)?;
        }
        header.address = &header.address[..usize::from(len).min(8)];
        Ok((header, r.rest()))
    }

    /// Whether `protocol` is an EtherType.
    #[must_use]
    pub const fn is_ethertype(&self) -> bool {
        !matches!(self.hardware, HARDWARE_NETLINK | HARDWARE_GRE)
            && !EtherType(self.protocol).is_length()
    }
}

impl<V: Visitor> Walk<'_, V> {
    pub(super) fn link(&mut self, link_type: LinkType, span: Span<'_>, place: Place) {
        match link_type {
            LinkType::ETHERNET => self.ethernet(span, place),
            LinkType::NULL => self.loopback(span, place, true),
            LinkType::LOOP => self.loopback(span, place, false),
            LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => self.raw(span, place),
            LinkType::IPV4 => self.ipv4(span, place),
            LinkType::IPV6 => self.ipv6(span, place),
            LinkType::LINUX_SLL => self.cooked(span, place, 1),
            LinkType::LINUX_SLL2 => self.cooked(span, place, 2),
            LinkType::FRAME_RELAY => self.frame_relay(span, place),
            LinkType::PPP | LinkType::PPP_HDLC => self.ppp(span, place),
            _ => self.visitor.layer(&Layer {
                kind: Kind::Unknown,
                span,
                header: None,
                checksum: super::Checksum::None,
                fault: None,
                place,
            }),
        }
    }

    pub(super) fn ethernet(&mut self, span: Span<'_>, place: Place) {
        let Some(place) = deeper(place) else { return };
        let (header, rest) = match ethernet::Header::parse(span.bytes) {
            Ok(parsed) => parsed,
            Err(e) => return self.fail(Kind::Ethernet, span, place, e),
        };
        if header.ethertype.0 == FABRIC_PATH {
            return self.fabric_path(span, place);
        }
        let rest = span.after(rest);
        let claimed = usize::from(header.ethertype.0);
        let too_long = claimed <= MAX_LENGTH && claimed > rest.wire_len;
        self.visitor.layer(&Layer {
            kind: Kind::Ethernet,
            span,
            header: Some(Header::Ethernet(header)),
            checksum: super::Checksum::None,
            fault: too_long.then_some(Fault::Malformed(ParseError::Invalid("802.3 length"))),
            place,
        });
        match header.ethertype {
            EtherType(0) => self.payload("data", rest, place),
            field => self.type_or_length(field, rest, place),
        }
    }

    /// What follows the type or length field of Ethernet and of tags.
    fn type_or_length(&mut self, field: EtherType, rest: Span<'_>, place: Place) {
        let claimed = usize::from(field.0);
        if claimed <= MAX_LENGTH {
            let rest = rest.limit(claimed);
            // Novell's raw 802.3: IPX with a checksum of ones and no LLC header.
            if rest.bytes.starts_with(&[0xff, 0xff]) {
                self.payload("ipx", rest, place);
            } else {
                self.llc(rest, place);
            }
        } else if field.is_length() {
            self.payload("data", rest, place);
        } else {
            self.ethertype(field, rest, place);
        }
    }

    pub(super) fn ethertype(&mut self, ethertype: EtherType, span: Span<'_>, place: Place) {
        match ethertype.0 {
            0x0800 => self.ipv4(span, place),
            0x86dd => self.ipv6(span, place),
            0x0806 | REVERSE_ARP => self.arp(span, place),
            0x8100 | 0x9100 => self.vlan(Kind::Vlan, span, place),
            0x88a8 => self.vlan(Kind::ServiceVlan, span, place),
            0x8847 | 0x8848 => self.mpls(span, place),
            0x8864 => self.pppoe(span, place),
            0x880b => self.ppp(span, place),
            BRIDGED => self.ethernet(span, place),
            BACKBONE_TAG => self.backbone_tag(span, place),
            VN_TAG => self.shim("vntag", 4, span, place),
            METADATA => self.shim("cmd", 6, span, place),
            TRILL => self.trill(span, place),
            0x8863 => self.payload("pppoed", span, place),
            0x8809 => self.payload("slow", span, place),
            0x88cc => self.payload("lldp", span, place),
            0x888e => self.payload("eapol", span, place),
            0x9000 => self.payload("loop", span, place),
            _ => self.payload("data", span, place),
        }
    }

    fn vlan(&mut self, kind: Kind, span: Span<'_>, place: Place) {
        let Some(place) = deeper(place) else { return };
        match vlan::Header::parse(span.bytes) {
            Ok((header, rest)) => {
                self.plain(kind, span, place, Header::Vlan(header));
                let place = Place {
                    vlan: Some(header.vid),
                    ..place
                };
                self.type_or_length(header.ethertype, span.after(rest), place);
            }
            Err(e) => self.fail(kind, span, place, e),
        }
    }

    fn llc(&mut self, span: Span<'_>, place: Place) {
        let (header, rest) = match llc::Header::parse(span.bytes) {
            Ok(parsed) => parsed,
            Err(e) => return self.fail(Kind::Llc, span, place, e),
        };
        let rest = span.after(rest);
        self.plain(Kind::Llc, span, place, Header::Llc(header));
        if header.is_snap() {
            return self.snap(rest, place);
        }
        match header.dsap {
            SAP_IP => self.ipv4(rest, place),
            llc::sap::SPANNING_TREE => self.payload("stp", rest, place),
            llc::sap::IPX => self.payload("ipx", rest, place),
            llc::sap::ISO => self.payload("osi", rest, place),
            _ => self.payload("data", rest, place),
        }
    }

    fn snap(&mut self, span: Span<'_>, place: Place) {
        let (header, rest) = match llc::Snap::parse(span.bytes) {
            Ok(parsed) => parsed,
            Err(e) => return self.fail(Kind::Snap, span, place, e),
        };
        let rest = span.after(rest);
        self.plain(Kind::Snap, span, place, Header::Snap(header));
        match (header.ethertype(), header.oui, header.protocol.0) {
            (Some(ethertype), ..) => self.ethertype(ethertype, rest, place),
            // Cisco's other OUI has EtherTypes as zero has.
            (None, [0, 0, 0xf8], ethertype) => self.ethertype(EtherType(ethertype), rest, place),
            // RFC 2427 §4.2: bridged Ethernet with (1) and without (7) its check sequence.
            (None, [0, 0x80, 0xc2], 1 | 7) => self.ethernet(rest, place),
            (None, [0, 0, 0x0c], 0x2000) => self.payload("cdp", rest, place),
            _ => self.payload("data", rest, place),
        }
    }

    fn arp(&mut self, span: Span<'_>, place: Place) {
        match arp::Header::parse(span.bytes) {
            Ok((header, _)) => self.plain(Kind::Arp, span, place, Header::Arp(header)),
            Err(e) => self.fail(Kind::Arp, span, place, e),
        }
    }

    /// The family's byte order is that of the machine that captured, which the value itself shows:
    /// no family needs more than 16 bits.
    fn loopback(&mut self, span: Span<'_>, place: Place, any_order: bool) {
        let mut r = Reader::new(span.bytes);
        let family = match r.u32("loopback header") {
            Ok(v) if any_order && v > 0xffff => v.swap_bytes(),
            Ok(v) => v,
            Err(e) => return self.fail(Kind::Loopback, span, place, e),
        };
        self.plain(Kind::Loopback, span, place, Header::Loopback(family));
        let rest = span.skip(4);
        match family {
            AF_INET => self.ipv4(rest, place),
            // NetBSD and OpenBSD, FreeBSD, macOS.
            24 | 28 | 30 => self.ipv6(rest, place),
            _ => match u16::try_from(family).map(EtherType) {
                Ok(e) if !e.is_length() => self.ethertype(e, rest, place),
                _ => self.payload("data", rest, place),
            },
        }
    }

    fn raw(&mut self, span: Span<'_>, place: Place) {
        match *span.bytes {
            [] | [_] => self.fail(Kind::RawIp, span, place, ParseError::Truncated("IP header")),
            [first, ..] if first >> 4 == 4 => self.ipv4(span, place),
            [first, ..] if first >> 4 == 6 => self.ipv6(span, place),
            _ => self.payload("data", span, place),
        }
    }

    fn cooked(&mut self, span: Span<'_>, place: Place, version: u8) {
        let (header, rest) = match Cooked::parse(span.bytes, version) {
            Ok(parsed) => parsed,
            Err(e) => return self.fail(Kind::Cooked, span, place, e),
        };
        let rest = span.after(rest);
        self.plain(Kind::Cooked, span, place, Header::Cooked(header));
        match (header.hardware, header.protocol) {
            (HARDWARE_NETLINK, _) => self.payload("netlink", rest, place),
            (HARDWARE_GRE, protocol) => self.ethertype(EtherType(protocol), rest, place),
            (_, 1) => self.payload("ipx", rest, place),
            (_, 4) => self.llc(rest, place),
            (_, 0x0c) => self.payload("can", rest, place),
            (_, protocol) if EtherType(protocol).is_length() => self.payload("data", rest, place),
            (_, protocol) => self.ethertype(EtherType(protocol), rest, place),
        }
    }

    /// RFC 2427 §3; Cisco's encapsulation where an EtherType stands in place of the control field.
    fn frame_relay(&mut self, span: Span<'_>, place: Place) {
        let (dlci, after) = match frame_relay_address(span.bytes) {
            Ok(parsed) => parsed,
            Err(e) => return self.fail(Kind::FrameRelay, span, place, e),
        };
        self.plain(Kind::FrameRelay, span, place, Header::FrameRelay(dlci));
        let rest = span.after(after);
        let control = rest.skip(1);
        match *rest.bytes {
            [UNNUMBERED, 0, nlpid, ..] => self.nlpid(nlpid, control.skip(2), place),
            [UNNUMBERED, 0x08, ..] => self.payload("q933", control, place),
            [UNNUMBERED, nlpid, ..] => self.nlpid(nlpid, control.skip(1), place),
            [a, b, ..] => {
                self.ethertype(EtherType(u16::from_be_bytes([a, b])), rest.skip(2), place);
            }
            _ => self.payload("data", rest, place),
        }
    }

    fn nlpid(&mut self, nlpid: u8, span: Span<'_>, place: Place) {
        match nlpid {
            0xcc => self.ipv4(span, place),
            0x8e => self.ipv6(span, place),
            0x80 => self.snap(span, place),
            // RFC 1973 §3: the protocol follows at once.
            0xcf => self.ppp_protocol(span, place),
            _ => self.payload("data", span, place),
        }
    }

    /// A header of `len` bytes that ends with an EtherType of two more.
    fn shim(&mut self, name: &'static str, len: usize, span: Span<'_>, place: Place) {
        let Some(place) = deeper(place) else { return };
        let mut r = Reader::new(span.bytes);
        match r.take(len, "tag").and_then(|_| r.u16("EtherType")) {
            Ok(field) => {
                self.plain(
                    Kind::Encapsulation,
                    span,
                    place,
                    Header::Encapsulation(name),
                );
                self.type_or_length(EtherType(field), span.after(r.rest()), place);
            }
            Err(e) => self.fail(Kind::Encapsulation, span, place, e),
        }
    }

    /// IEEE 802.1ah (802.1Q-2018 §9.7): the service instance, then the customer's frame.
    fn backbone_tag(&mut self, span: Span<'_>, place: Place) {
        self.shim("ieee8021ah", 4 + 12, span, place);
    }

    /// RFC 6325 §3: flags, hop count and the two nicknames, then options, then the frame.
    fn trill(&mut self, span: Span<'_>, place: Place) {
        let mut r = Reader::new(span.bytes);
        let parsed = r.u16("TRILL header").and_then(|word| {
            let options = usize::from(word >> 6 & 0x1f) * 4;
            r.take(4 + options, "TRILL header")
        });
        match parsed {
            Ok(_) => {
                self.plain(
                    Kind::Encapsulation,
                    span,
                    place,
                    Header::Encapsulation("trill"),
                );
                self.ethernet(span.after(r.rest()), place);
            }
            Err(e) => self.fail(Kind::Encapsulation, span, place, e),
        }
    }

    /// Cisco's FabricPath: addresses that are switches' and not stations', its type, two bytes of
    /// tag, then the frame.
    fn fabric_path(&mut self, span: Span<'_>, place: Place) {
        if span.bytes.len() < 16 {
            let error = ParseError::Truncated("FabricPath header");
            return self.fail(Kind::Encapsulation, span, place, error);
        }
        self.plain(
            Kind::Encapsulation,
            span,
            place,
            Header::Encapsulation("cfp"),
        );
        self.ethernet(span.skip(16), place);
    }

    /// Ethernet under MPLS (RFC 4448 §4.6), with or without a control word: the one whose type
    /// field can be one.
    fn pseudowire(&mut self, span: Span<'_>, place: Place) {
        if span.wire_len < ethernet::HEADER_LEN {
            return self.payload("data", span, place);
        }
        let field = |at: usize| match span.bytes.get(at..at + 2) {
            Some(&[a, b]) => u16::from_be_bytes([a, b]),
            _ => u16::MAX,
        };
        let is_length = |at: usize| {
            let len = usize::from(field(at));
            (3..=MAX_LENGTH).contains(&len) && at + 2 + len <= span.wire_len
        };
        let behind_word = CARRIED.contains(&field(16)) || is_length(16);
        if CARRIED.contains(&field(12)) || is_length(12) && !behind_word {
            self.plain(
                Kind::Encapsulation,
                span,
                place,
                Header::Encapsulation("pwethnocw"),
            );
            return self.ethernet(span, place);
        }
        self.plain(
            Kind::Encapsulation,
            span,
            place,
            Header::Encapsulation("pwethcw"),
        );
        self.ethernet(span.skip(4), place);
    }

    /// A label stack says nothing of what is under it: the first nibble has to do (RFC 4928 §3).
    pub(super) fn mpls(&mut self, span: Span<'_>, place: Place) {
        let mut r = Reader::new(span.bytes);
        let mut top = None;
        let mut depth = 0;
        loop {
            let entry = match r.u32("MPLS label stack") {
                Ok(entry) => entry,
                Err(e) => return self.fail(Kind::Mpls, span, place, e),
            };
            top.get_or_insert(entry);
            depth += 1;
            if entry & 0x100 != 0 {
                break;
            }
        }
        let [.., ttl] = top.unwrap_or(0).to_be_bytes();
        let header = Header::Mpls {
            label: top.unwrap_or(0) >> 12,
            ttl,
            depth,
        };
        self.plain(Kind::Mpls, span, place, header);
        let rest = span.after(r.rest());
        match rest.bytes.first().map(|b| b >> 4) {
            Some(4) => self.ipv4(rest, place),
            Some(6) => self.ipv6(rest, place),
            Some(0) => self.pseudowire(rest, place),
            _ => self.payload("data", rest, place),
        }
    }

    /// RFC 2516 §4.
    fn pppoe(&mut self, span: Span<'_>, place: Place) {
        let mut r = Reader::new(span.bytes);
        let fields = (|| {
            r.take(2, "PPPoE header")?;
            Ok((r.u16("PPPoE session")?, r.u16("PPPoE length")?))
        })();
        match fields {
            Ok((session, len)) => {
                self.plain(Kind::Pppoe, span, place, Header::Pppoe(session));
                self.ppp(span.after(r.rest()).limit(usize::from(len)), place);
            }
            Err(e) => self.fail(Kind::Pppoe, span, place, e),
        }
    }

    /// RFC 1661 §2, with or without the address and control bytes of RFC 1662 §3.1.
    pub(super) fn ppp(&mut self, span: Span<'_>, place: Place) {
        match span.bytes {
            [0xff, 0x03, ..] => self.ppp_protocol(span.skip(2), place),
            _ => self.ppp_protocol(span, place),
        }
    }

    fn ppp_protocol(&mut self, span: Span<'_>, place: Place) {
        // A protocol below 256 may be compressed to one byte, which is odd (RFC 1661 §6.5).
        let (protocol, len) = match *span.bytes {
            [a, ..] if a & 1 == 1 => (u16::from(a), 1),
            [a, b, ..] => (u16::from_be_bytes([a, b]), 2),
            _ => {
                let error = ParseError::Truncated("PPP protocol");
                return self.fail(Kind::Ppp, span, place, error);
            }
        };
        self.plain(Kind::Ppp, span, place, Header::Ppp(protocol));
        let rest = span.skip(len);
        match protocol {
            0x0021 => self.ipv4(rest, place),
            0x0057 => self.ipv6(rest, place),
            0x0281 => self.mpls(rest, place),
            0xc021 => self.payload("lcp", rest, place),
            0x8021 => self.payload("ipcp", rest, place),
            _ => self.payload("data", rest, place),
        }
    }
}

/// The connection identifier (10, 16 or 23 bits) and the bytes after the address field.
fn frame_relay_address(bytes: &[u8]) -> Result<(u32, &[u8]), ParseError> {
    const WHAT: &str = "Frame Relay address";
    let mut r = Reader::new(bytes);
    let mut dlci = u32::from(r.u8(WHAT)? >> 2);
    let mut octet = r.u8(WHAT)?;
    dlci = dlci << 4 | u32::from(octet >> 4);
    // Q.922 §3.3: the lowest bit marks the last octet; there are two to four.
    for _ in 0..2 {
        if octet & 1 == 1 {
            break;
        }
        octet = r.u8(WHAT)?;
        dlci = dlci << 7 | u32::from(octet >> 1);
    }
    Ok((dlci, r.rest()))
}

/// The largest 802.3 length (IEEE 802.3 §3.2.6).
const MAX_LENGTH: usize = 1500;
const REVERSE_ARP: u16 = 0x8035;
/// Transparent Ethernet bridging.
const BRIDGED: u16 = 0x6558;
const SAP_IP: u8 = 0x06;
const BACKBONE_TAG: u16 = 0x88e7;
const VN_TAG: u16 = 0x8926;
const FABRIC_PATH: u16 = 0x8903;
/// Cisco's metadata, as TrustSec's security group tag.
const METADATA: u16 = 0x8909;
const TRILL: u16 = 0x22f3;
/// What Ethernet in a pseudowire is likely to carry.
const CARRIED: [u16; 12] = [
    0x0800, 0x0806, 0x86dd, 0x8100, 0x8847, 0x8848, 0x8863, 0x8864, 0x88a8, 0x88cc, 0x9000, 0x9100,
];
const AF_INET: u32 = 2;
const HARDWARE_NETLINK: u16 = 824;
const HARDWARE_GRE: u16 = 778;
/// The control byte of unnumbered information.
const UNNUMBERED: u8 = 0x03;
