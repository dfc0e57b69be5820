//! What IP carries: UDP, TCP, ICMP of both families, IGMP; and the seam to what they carry.
//!
//! ```text
//!   UDP --port--> VXLAN, Geneve --> a frame again        ICMP error --> the quoted packet
//!       --------> payload, named by its port
//! ```
//!
//! A new application's dissector joins at [`application`]: a port gives a name, and the name's
//! dissector is called where `payload` is now.

use super::{Checksum, Fault, Header, Kind, Layer, Place, Span, Visitor, Walk, deeper, fault};
use stack::wire::checksum::Sum;
use stack::wire::{EtherType, ParseError, Protocol, Reader, icmpv4, icmpv6, igmp, ndp, tcp, udp};
use std::net::IpAddr;

impl<V: Visitor> Walk<'_, V> {
    pub(super) fn udp(&mut self, kind: Kind, span: Span<'_>, place: Place) {
        let header = match udp::Header::parse(span.bytes) {
            Ok((header, _)) => header,
            Err(e) => return self.fail(kind, span, place, e),
        };
        let len = match (kind, header.len) {
            (Kind::UdpLite, _) => span.wire_len,
            // RFC 2675 §4: a jumbogram's length is that of the packet.
            (_, 0) if place.src.is_ipv6() => span.wire_len,
            (_, len) => usize::from(len),
        };
        let whole = len <= span.wire_len || place.quoted || place.fragment;
        let wrong = len < udp::HEADER_LEN || !whole;
        self.visitor.layer(&Layer {
            kind,
            span,
            header: Some(Header::Udp(header)),
            checksum: udp_checksum(kind, &header, len, span, place),
            fault: wrong.then_some(Fault::Malformed(ParseError::Invalid("UDP length"))),
            place,
        });
        if len < udp::HEADER_LEN {
            return;
        }
        let rest = span.limit(len).skip(udp::HEADER_LEN);
        if rest.bytes.is_empty() {
            return;
        }
        match application(Protocol::UDP, header.src_port, header.dst_port) {
            "vxlan" => self.vxlan(rest, place),
            "geneve" => self.geneve(rest, place),
            "vxlan-gpe" => self.vxlan_gpe(rest, place),
            "l2tp" => self.l2tp(rest, place),
            "teredo" => self.teredo(rest, place),
            "gtp" => self.gtp(rest, place),
            "ayiya" => self.ayiya(rest, place),
            "mpls" => self.mpls(rest, place),
            name => self.payload(name, rest, place),
        }
    }

    pub(super) fn tcp(&mut self, span: Span<'_>, place: Place) {
        let checksum = if place.fragment || span.is_cut() {
            Checksum::Unverified
        } else {
            verdict(transport_sum(Protocol::TCP, span, place).finish() == 0)
        };
        let (header, rest) = match tcp::Header::parse(span.bytes) {
            Ok(parsed) => parsed,
            Err(error) => {
                return self.visitor.layer(&Layer {
                    kind: Kind::Tcp,
                    span,
                    header: None,
                    checksum,
                    fault: Some(fault(error, span, place)),
                    place,
                });
            }
        };
        let option_error = header.options().find_map(|o| o.err());
        self.visitor.layer(&Layer {
            kind: Kind::Tcp,
            span,
            header: Some(Header::Tcp(header)),
            checksum,
            fault: option_error.map(Fault::Malformed),
            place,
        });
        let name = application(Protocol::TCP, header.src_port, header.dst_port);
        self.payload(name, span.after(rest), place);
    }

    pub(super) fn icmpv4(&mut self, span: Span<'_>, place: Place) {
        let header = match icmpv4::Header::parse(span.bytes) {
            Ok((header, _)) => header,
            Err(e) => return self.fail(Kind::Icmpv4, span, place, e),
        };
        let message = icmpv4::Message::parse(span.bytes).map(|(_, message)| message);
        let checksum = if unverifiable(span, place) {
            Checksum::Unverified
        } else {
            verdict(icmpv4::verify(span.bytes))
        };
        self.visitor.layer(&Layer {
            kind: Kind::Icmpv4,
            span,
            header: Some(Header::Icmpv4(header, message.ok())),
            checksum,
            fault: message.err().map(|e| fault(e, span, place)),
            place,
        });
        let Ok(message) = message else { return };
        if !icmpv4::is_error(header.kind) {
            if let icmpv4::Message::EchoRequest { .. } | icmpv4::Message::EchoReply { .. } = message
            {
                self.payload("data", span.skip(icmpv4::QUOTE_OFFSET), place);
            }
            return;
        }
        let (quote, extensions) = message.quote_and_extensions();
        let mut quoted = span.skip(icmpv4::QUOTE_OFFSET);
        if extensions.is_some() {
            quoted = quoted.limit(quote.len());
        }
        if let icmpv4::Message::Redirect { .. } = message {
            // RFC 792: the header and 64 bits. What a longer quote has behind is not looked at.
            let header = quoted.bytes.first().map_or(0, |b| usize::from(b & 15) * 4);
            quoted = quoted.limit(header + 8);
        }
        if quoted.wire_len > 0
            && let Some(place) = deeper(place)
        {
            let place = Place {
                quoted: true,
                ..place
            };
            self.ipv4(quoted, place);
        }
    }

    pub(super) fn icmpv6(&mut self, span: Span<'_>, place: Place) {
        let header = match icmpv6::Header::parse(span.bytes) {
            Ok((header, _)) => header,
            Err(e) => return self.fail(Kind::Icmpv6, span, place, e),
        };
        let parsed = icmpv6::Message::parse(span.bytes).map(|(_, message)| message);
        let checksum = if unverifiable(span, place) {
            Checksum::Unverified
        } else {
            verdict(transport_sum(Protocol::ICMPV6, span, place).finish() == 0)
        };
        let inside = parsed.as_ref().map_or_else(|e| Some(*e), list_error);
        self.visitor.layer(&Layer {
            kind: Kind::Icmpv6,
            span,
            header: Some(Header::Icmpv6(header, parsed.ok())),
            checksum,
            fault: inside.map(|e| fault(e, span, place)),
            place,
        });
        let Ok(message) = parsed else { return };
        if let icmpv6::Message::EchoRequest { .. } | icmpv6::Message::EchoReply { .. } = message {
            return self.payload("data", span.skip(8), place);
        }
        let quoted = if icmpv6::is_error(header.kind)
            && !matches!(message, icmpv6::Message::Unknown { .. })
        {
            let (quote, extensions) = message.quote_and_extensions();
            let quoted = span.skip(8);
            match extensions {
                Some(_) => quoted.limit(quote.len()),
                None => quoted,
            }
        } else {
            let Some(quote) = redirected(&message) else {
                return;
            };
            Span::whole(quote)
        };
        let Some(place) = deeper(place) else { return };
        match quoted.bytes.first().map(|b| b >> 4) {
            Some(6) => self.ipv6(
                quoted,
                Place {
                    quoted: true,
                    ..place
                },
            ),
            _ => self.payload("data", quoted, place),
        }
    }

    pub(super) fn igmp(&mut self, span: Span<'_>, place: Place) {
        let message = match igmp::Message::parse(span.bytes) {
            Ok((_, message)) => message,
            Err(e) => return self.fail(Kind::Igmp, span, place, e),
        };
        let checksum = if unverifiable(span, place) {
            Checksum::Unverified
        } else {
            verdict(igmp::verify(span.bytes))
        };
        let error = match &message {
            igmp::Message::V3Report(report) => report.records().find_map(|r| r.err()),
            _ => None,
        };
        self.visitor.layer(&Layer {
            kind: Kind::Igmp,
            span,
            header: Some(Header::Igmp(message)),
            checksum,
            fault: error.map(|e| fault(e, span, place)),
            place,
        });
    }

    /// RFC 7348 §5.
    fn vxlan(&mut self, span: Span<'_>, place: Place) {
        let mut r = Reader::new(span.bytes);
        match r
            .take(4, "VXLAN header")
            .and_then(|_| r.u32("VXLAN header"))
        {
            Ok(vni) => {
                self.plain(Kind::Vxlan, span, place, Header::Vni(vni >> 8));
                self.ethernet(span.after(r.rest()), place);
            }
            Err(e) => self.fail(Kind::Vxlan, span, place, e),
        }
    }

    /// draft-ietf-nvo3-vxlan-gpe §3: VXLAN that says what it carries.
    fn vxlan_gpe(&mut self, span: Span<'_>, place: Place) {
        let mut r = Reader::new(span.bytes);
        let parsed = r.array::<4>("VXLAN header");
        match parsed.and_then(|[.., next]| Ok((next, r.u32("VXLAN header")?))) {
            Ok((next, vni)) => {
                self.plain(Kind::Vxlan, span, place, Header::Vni(vni >> 8));
                let rest = span.after(r.rest());
                match next {
                    1 => self.ipv4(rest, place),
                    2 => self.ipv6(rest, place),
                    3 => self.ethernet(rest, place),
                    _ => self.payload("data", rest, place),
                }
            }
            Err(e) => self.fail(Kind::Vxlan, span, place, e),
        }
    }

    fn l2tp(&mut self, span: Span<'_>, place: Place) {
        match l2tp_header(span.bytes) {
            Ok(header) => {
                let end = header.len.map_or(span.wire_len, usize::from);
                self.plain(Kind::L2tp, span, place, Header::Tunnel(header.id));
                let rest = span.limit(end).skip(header.header_len);
                if !header.control && rest.wire_len > 0 {
                    self.ppp(rest, place);
                }
            }
            Err(e) => self.fail(Kind::L2tp, span, place, e),
        }
    }

    fn teredo(&mut self, span: Span<'_>, place: Place) {
        match teredo_header(span.bytes) {
            Ok(rest) => {
                self.plain(Kind::Teredo, span, place, Header::Tunnel(0));
                self.any_ip(span.after(rest), place);
            }
            Err(e) => self.fail(Kind::Teredo, span, place, e),
        }
    }

    fn gtp(&mut self, span: Span<'_>, place: Place) {
        match gtp_header(span.bytes) {
            Ok((teid, rest)) => {
                self.plain(Kind::Gtp, span, place, Header::Tunnel(teid));
                // The length is of what follows the first eight bytes.
                let len = match *span.bytes {
                    [_, _, a, b, ..] => usize::from(u16::from_be_bytes([a, b])),
                    _ => 0,
                };
                let header_len = span.bytes.len() - rest.len();
                self.any_ip(span.limit(8 + len).skip(header_len), place);
            }
            Err(e) => self.fail(Kind::Gtp, span, place, e),
        }
    }

    fn any_ip(&mut self, span: Span<'_>, place: Place) {
        match span.bytes.first().map(|b| b >> 4) {
            Some(4) => self.ipv4(span, place),
            Some(6) => self.ipv6(span, place),
            _ => self.payload("data", span, place),
        }
    }

    /// RFC 3378 §3.
    pub(super) fn ether_ip(&mut self, span: Span<'_>, place: Place) {
        if span.bytes.len() < 2 {
            let error = ParseError::Truncated("EtherIP header");
            return self.fail(Kind::EtherIp, span, place, error);
        }
        self.plain(Kind::EtherIp, span, place, Header::Tunnel(0));
        self.ethernet(span.skip(2), place);
    }

    /// RFC 8926 §3.4.
    fn geneve(&mut self, span: Span<'_>, place: Place) {
        const WHAT: &str = "Geneve header";
        let mut r = Reader::new(span.bytes);
        let parsed = (|| {
            let options = usize::from(r.array::<2>(WHAT)?[0] & 0x3f) * 4;
            let protocol = r.u16(WHAT)?;
            let vni = r.u32(WHAT)? >> 8;
            r.take(options, "Geneve options")?;
            Ok((protocol, vni))
        })();
        match parsed {
            Ok((protocol, vni)) => {
                self.plain(Kind::Geneve, span, place, Header::Vni(vni));
                self.ethertype(EtherType(protocol), span.after(r.rest()), place);
            }
            Err(e) => self.fail(Kind::Geneve, span, place, e),
        }
    }
}

/// The bytes that Teredo puts in front of its packet (RFC 4380 §5.1.1).
fn teredo_header(bytes: &[u8]) -> Result<&[u8], ParseError> {
    const WHAT: &str = "Teredo header";
    let mut r = Reader::new(bytes);
    if r.rest().starts_with(&[0, 1]) {
        let [_, _, client, value] = r.array(WHAT)?;
        r.take(usize::from(client) + usize::from(value) + 9, WHAT)?;
    }
    if r.rest().starts_with(&[0, 0]) {
        r.take(8, WHAT)?;
    }
    Ok(r.rest())
}

/// What is read of an L2TP header (RFC 2661 §3.1).
struct L2tp {
    /// Tunnel and session.
    id: u32,
    /// Of the whole message, where it says so.
    len: Option<u16>,
    control: bool,
    header_len: usize,
}

fn l2tp_header(bytes: &[u8]) -> Result<L2tp, ParseError> {
    const WHAT: &str = "L2TP header";
    let mut r = Reader::new(bytes);
    let flags = r.u16(WHAT)?;
    let len = match flags & 0x4000 {
        0 => None,
        _ => Some(r.u16(WHAT)?),
    };
    let id = r.u32(WHAT)?;
    if flags & 0x0800 != 0 {
        r.u32(WHAT)?;
    }
    if flags & 0x0200 != 0 {
        let offset = r.u16(WHAT)?;
        r.take(usize::from(offset), WHAT)?;
    }
    Ok(L2tp {
        id,
        len,
        control: flags & 0x8000 != 0,
        header_len: bytes.len() - r.rest().len(),
    })
}

/// Tunnel endpoint identifier and packet of a G-PDU (3GPP TS 29.281 §5.1); other messages carry
/// none.
fn gtp_header(bytes: &[u8]) -> Result<(u32, &[u8]), ParseError> {
    const WHAT: &str = "GTP header";
    let mut r = Reader::new(bytes);
    let [flags, kind] = r.array(WHAT)?;
    r.u16(WHAT)?;
    let teid = r.u32(WHAT)?;
    if flags >> 5 != 1 || kind != GTP_PACKET {
        return Ok((teid, &[]));
    }
    if flags & 7 != 0 {
        let [_, _, _, mut next] = r.array(WHAT)?;
        while next != 0 {
            let words = usize::from(r.u8(WHAT)?);
            let len = (words * 4)
                .checked_sub(1)
                .ok_or(ParseError::Invalid("GTP extension header"))?;
            next = *r.take(len, WHAT)?.last().unwrap_or(&0);
        }
    }
    Ok((teid, r.rest()))
}

const GTP_PACKET: u8 = 255;

/// What a port suggests. The lower port is asked first: it is more often the server's.
fn application(transport: Protocol, a: u16, b: u16) -> &'static str {
    let name = |port| {
        if transport == Protocol::TCP {
            tcp_application(port)
        } else {
            udp_application(port)
        }
    };
    name(a.min(b)).or_else(|| name(a.max(b))).unwrap_or("data")
}

const fn tcp_application(port: u16) -> Option<&'static str> {
    Some(match port {
        7 => "echo",
        22 => "ssh",
        25 => "smtp",
        53 => "dns",
        80 | 8080 => "http",
        179 => "bgp",
        443 => "tls",
        1883 => "mqtt",
        _ => return None,
    })
}

const fn udp_application(port: u16) -> Option<&'static str> {
    Some(match port {
        7 => "echo",
        53 => "dns",
        67 | 68 => "dhcp",
        69 => "tftp",
        123 => "ntp",
        161 | 162 => "snmp",
        443 => "quic",
        520 => "rip",
        1701 => "l2tp",
        2152 => "gtp",
        3544 => "teredo",
        546 | 547 => "dhcpv6",
        4789 => "vxlan",
        4790 => "vxlan-gpe",
        5072 => "ayiya",
        5353 => "mdns",
        5683 => "coap",
        6081 => "geneve",
        // RFC 7510 §3.
        6635 => "mpls",
        _ => return None,
    })
}

const fn verdict(holds: bool) -> Checksum {
    if holds { Checksum::Good } else { Checksum::Bad }
}

/// Messages in quotes are not verified: the quote's end is rarely theirs.
const fn unverifiable(span: Span<'_>, place: Place) -> bool {
    place.fragment || place.quoted || span.is_cut()
}

fn transport_sum(protocol: Protocol, span: Span<'_>, place: Place) -> Sum {
    let mut sum = Sum::new();
    sum.add_pseudo(place.src, place.dst, protocol, span.wire_len);
    sum.add(span.bytes);
    sum
}

fn udp_checksum(
    kind: Kind,
    header: &udp::Header,
    len: usize,
    span: Span<'_>,
    place: Place,
) -> Checksum {
    if kind == Kind::UdpLite {
        // What it covers is the sender's choice (RFC 3828 §3.1); not looked into.
        return Checksum::Unverified;
    }
    if len < udp::HEADER_LEN {
        return Checksum::None;
    }
    if header.checksum == 0 {
        return match place.dst {
            IpAddr::V4(_) => Checksum::Absent,
            IpAddr::V6(_) => Checksum::Illegal,
        };
    }
    match span.bytes.get(..len) {
        Some(datagram) if !place.fragment && !span.is_cut() => {
            verdict(udp::verify(place.src, place.dst, datagram))
        }
        _ => Checksum::Unverified,
    }
}

/// What is wrong in the list that ends a message: options of neighbor discovery, records of a
/// listener report.
fn list_error(message: &icmpv6::Message<'_>) -> Option<ParseError> {
    match message {
        icmpv6::Message::MldReportV2(report) => report.records().find_map(|r| r.err()),
        other => other.ndp_options().find_map(|o| o.err()),
    }
}

/// The packet that a redirect quotes.
fn redirected<'a>(message: &icmpv6::Message<'a>) -> Option<&'a [u8]> {
    if !matches!(message, icmpv6::Message::Redirect(_)) {
        return None;
    }
    message.ndp_options().find_map(|option| match option {
        Ok(ndp::NdpOption::RedirectedHeader { packet, .. }) => Some(packet),
        _ => None,
    })
}
