//! IPv4 and IPv6: extension headers, fragments, tunnels.
//!
//! ```text
//!   IPv4 --whole?--> payload by protocol       IPv6 --next header--> extension --> ... --> payload
//!     \--fragment--> Fragments --complete--> Reassembled --> payload
//! ```
//!
//! We differ from a host, which drops what is wrong: a bad header checksum or a length beyond the
//! frame is told as a fault, and the walk goes on. A fragment under a bad header checksum is not
//! put together with others.

use super::fragments::{Key, Place as At};
use super::{Checksum, Fault, Header, Kind, Layer, Place, Span, Visitor, Walk, deeper, fault};
use stack::wire::ipv6::{DestinationOption, Extension};
use stack::wire::{EtherType, ParseError, Protocol, Reader, ipv4, ipv6};
use std::net::Ipv4Addr;

impl<V: Visitor> Walk<'_, V> {
    pub(super) fn ipv4(&mut self, span: Span<'_>, place: Place) {
        let Some(place) = deeper(place) else { return };
        let bytes = span.bytes;
        let header_len = bytes.first().map_or(0, |b| usize::from(b & 15) * 4);
        let checksum = match bytes.get(..header_len) {
            Some(header) if header_len >= ipv4::HEADER_LEN && ipv4::verify(header) => {
                Checksum::Good
            }
            Some(_) => Checksum::Bad,
            None => Checksum::Unverified,
        };
        // A zero total length is what segmentation offload leaves in captures of the sender.
        let mut patched = [0; 60];
        let parsed = match ipv4::Header::parse(bytes) {
            Err(ParseError::Invalid("IPv4 total length")) if bytes.get(2..4) == Some(&[0, 0]) => {
                let header = &mut patched[..header_len];
                header.copy_from_slice(&bytes[..header_len]);
                let len = u16::try_from(span.wire_len).unwrap_or(u16::MAX);
                header[2..4].copy_from_slice(&len.to_be_bytes());
                ipv4::Header::parse(header).map(|(header, _)| header)
            }
            other => other.map(|(header, _)| header),
        };
        let header = match parsed {
            Ok(header) => header,
            Err(error) => {
                self.visitor.layer(&Layer {
                    kind: Kind::Ipv4,
                    span,
                    header: None,
                    checksum,
                    fault: Some(fault(error, span, place)),
                    place,
                });
                // A tunnel or cooked capture that calls everything IPv4.
                if bytes.first().is_some_and(|b| b >> 4 == 6) {
                    self.ipv6(span, place);
                }
                return;
            }
        };
        let total_len = usize::from(header.total_len);
        let beyond = (total_len > span.wire_len && !place.quoted)
            .then_some(ParseError::Invalid("IPv4 total length"));
        let remark = header.options().find_map(|o| o.err()).or(beyond);
        let place = Place {
            src: header.src.into(),
            dst: final_destination(&header).into(),
            ..place
        };
        self.visitor.layer(&Layer {
            kind: Kind::Ipv4,
            span: span.limit(total_len),
            header: Some(Header::Ipv4(header)),
            checksum,
            fault: remark.map(Fault::Malformed),
            place,
        });
        let payload = span.limit(total_len).skip(header.header_len());
        if header.is_fragment() {
            self.fragment4(&header, checksum, payload, place);
        } else {
            self.upper(header.protocol, payload, place);
        }
    }

    fn fragment4(
        &mut self,
        header: &ipv4::Header<'_>,
        checksum: Checksum,
        payload: Span<'_>,
        place: Place,
    ) {
        let usable = checksum == Checksum::Good
            && header.payload_len() > 0
            && payload.bytes.len() >= header.payload_len();
        if usable {
            let key = Key {
                src: place.src,
                dst: place.dst,
                ident: u32::from(header.ident),
                protocol: header.protocol.0,
                vlan: place.vlan,
            };
            let at = At {
                offset: usize::from(header.fragment_offset),
                more: header.more_fragments,
            };
            self.collect(key, at, header.protocol, payload, place);
        } else if header.fragment_offset == 0 {
            let place = Place {
                fragment: true,
                ..place
            };
            self.upper(header.protocol, payload, place);
        } else {
            self.payload("data", payload, place);
        }
    }

    fn collect(&mut self, key: Key, at: At, protocol: Protocol, payload: Span<'_>, place: Place) {
        let Some((data, seen)) = self.fragments.add(key, at, payload.bytes) else {
            self.payload("data", payload, place);
            return;
        };
        let span = Span::whole(&data);
        self.visitor.layer(&Layer {
            kind: Kind::Reassembled,
            span,
            header: Some(Header::Reassembled(seen)),
            checksum: Checksum::None,
            fault: (seen.overlaps + seen.too_long > 0)
                .then_some(Fault::Malformed(ParseError::Invalid("fragment offsets"))),
            place,
        });
        let place = Place {
            fragment: false,
            ..place
        };
        self.extensions(protocol, span, place);
    }

    pub(super) fn ipv6(&mut self, span: Span<'_>, place: Place) {
        let Some(place) = deeper(place) else { return };
        // The version is judged even where the rest is missing.
        let version = span.bytes.first().map(|b| b >> 4);
        let parsed = match version {
            Some(6) | None => ipv6::Header::parse(span.bytes),
            Some(_) => Err(ParseError::Invalid("IPv6 version")),
        };
        let header = match parsed {
            Ok((header, _)) => header,
            Err(error) => {
                self.fail(Kind::Ipv6, span, place, error);
                if version.is_some_and(|v| v != 6) {
                    self.payload("data", span, place);
                }
                return;
            }
        };
        let rest = span.skip(ipv6::HEADER_LEN);
        let claimed = payload_len(&header, rest.bytes);
        let beyond = claimed > rest.wire_len && !place.quoted;
        let place = Place {
            src: header.src.into(),
            dst: header.dst.into(),
            ..place
        };
        self.visitor.layer(&Layer {
            kind: Kind::Ipv6,
            span: span.limit(ipv6::HEADER_LEN.saturating_add(claimed)),
            header: Some(Header::Ipv6(header)),
            checksum: Checksum::None,
            fault: beyond.then_some(Fault::Malformed(ParseError::Invalid("IPv6 payload length"))),
            place,
        });
        let rest = rest.limit(claimed);
        if !place.quoted || rest.wire_len > 0 {
            self.extensions(header.next_header, rest, place);
        }
    }

    /// Extension headers, then what they carry. IPv4 gets here too: nothing forbids them there.
    fn extensions(&mut self, protocol: Protocol, span: Span<'_>, place: Place) {
        let (mut protocol, mut span, mut place) = (protocol, span, place);
        for _ in 0..super::MAX_DEPTH {
            let Some(kind) = extension_kind(protocol) else {
                return self.upper_layer(protocol, span, place);
            };
            let (extension, rest) = match Extension::parse(protocol, span.bytes) {
                Ok(Some(parsed)) => parsed,
                Ok(None) => return self.upper_layer(protocol, span, place),
                Err(error) => return self.fail(kind, span, place, error),
            };
            self.visitor.layer(&Layer {
                kind,
                span,
                header: Some(Header::Extension(extension)),
                checksum: Checksum::None,
                fault: extension_fault(&extension),
                place,
            });
            let rest = span.after(rest);
            match extension {
                Extension::Routing(routing) => {
                    if let Some(dst) = routing.final_destination() {
                        place.dst = dst.into();
                    }
                }
                Extension::Fragment(fragment) if !fragment.is_atomic() => {
                    return self.fragment6(&fragment, rest, place);
                }
                _ => {}
            }
            (protocol, span) = (extension.next_header(), rest);
        }
        self.payload("data", span, place);
    }

    fn fragment6(&mut self, header: &ipv6::Fragment, payload: Span<'_>, place: Place) {
        if !payload.is_cut() {
            let key = Key {
                src: place.src,
                dst: place.dst,
                ident: header.ident,
                protocol: 0,
                vlan: place.vlan,
            };
            let at = At {
                offset: usize::from(header.offset),
                more: header.more,
            };
            self.collect(key, at, header.next_header, payload, place);
        } else if header.offset == 0 {
            let place = Place {
                fragment: true,
                ..place
            };
            self.extensions(header.next_header, payload, place);
        } else {
            self.payload("data", payload, place);
        }
    }

    /// What an IPv4 header carries.
    fn upper(&mut self, protocol: Protocol, span: Span<'_>, place: Place) {
        if span.wire_len > 0 {
            self.extensions(protocol, span, place);
        }
    }

    fn upper_layer(&mut self, protocol: Protocol, span: Span<'_>, place: Place) {
        match protocol {
            Protocol::TCP => self.tcp(span, place),
            Protocol::UDP => self.udp(Kind::Udp, span, place),
            UDP_LITE => self.udp(Kind::UdpLite, span, place),
            Protocol::ICMP => self.icmpv4(span, place),
            Protocol::ICMPV6 => self.icmpv6(span, place),
            Protocol::IGMP => self.igmp(span, place),
            Protocol::IPIP => self.ipv4(span, place),
            Protocol::IPV6 => self.ipv6(span, place),
            Protocol::GRE => self.gre(span, place),
            MPLS_IN_IP => self.mpls(span, place),
            ETHER_IP => self.ether_ip(span, place),
            ETHERNET => self.ethernet(span, place),
            Protocol::ESP => self.esp(span, place),
            Protocol::NO_NEXT_HEADER => self.payload("data", span, place),
            Protocol(n) => self.payload(protocol_name(n), span, place),
        }
    }

    fn esp(&mut self, span: Span<'_>, place: Place) {
        match ipv6::SecurityPayload::parse(span.bytes) {
            Ok((header, _)) => self.plain(Kind::Esp, span, place, Header::Esp(header)),
            Err(e) => self.fail(Kind::Esp, span, place, e),
        }
    }

    fn gre(&mut self, span: Span<'_>, place: Place) {
        let (header, rest) = match Gre::parse(span.bytes) {
            Ok(parsed) => parsed,
            Err(e) => return self.fail(Kind::Gre, span, place, e),
        };
        let rest = span.after(rest);
        self.plain(Kind::Gre, span, place, Header::Gre(header));
        if rest.wire_len == 0 {
            return;
        }
        match header.protocol {
            // Type II has eight bytes of its own, which the sequence number gives away.
            ERSPAN if header.sequence.is_some() => self.mirrored(8, rest, place),
            ERSPAN => self.mirrored(0, rest, place),
            // Type III has twelve, and eight more where its last bit is set.
            ERSPAN_III => match rest.bytes.get(11) {
                Some(last) if last & 1 == 1 => self.mirrored(20, rest, place),
                _ => self.mirrored(12, rest, place),
            },
            // Version 2 has a redirect header, which cannot be taken for an IP header.
            WCCP if rest.bytes.first().is_some_and(|b| b >> 4 != 4) => {
                self.ipv4(rest.skip(4), place);
            }
            WCCP => self.ipv4(rest, place),
            protocol => self.ethertype(EtherType(protocol), rest, place),
        }
    }
}

impl<V: Visitor> Walk<'_, V> {
    /// A switch's copy of a frame (draft-foschiano-erspan §4), behind a header of `len` bytes.
    fn mirrored(&mut self, len: usize, span: Span<'_>, place: Place) {
        if span.bytes.len() < len {
            let error = ParseError::Truncated("ERSPAN header");
            return self.fail(Kind::Encapsulation, span, place, error);
        }
        self.plain(
            Kind::Encapsulation,
            span,
            place,
            Header::Encapsulation("erspan"),
        );
        self.ethernet(span.skip(len), place);
    }

    /// draft-massar-v6ops-ayiya §4: identity and signature of lengths that the header gives, then a
    /// packet of the protocol it names.
    pub(super) fn ayiya(&mut self, span: Span<'_>, place: Place) {
        let Some(place) = deeper(place) else { return };
        let mut r = Reader::new(span.bytes);
        let parsed = (|| {
            let [identity, signature, operation, next] = r.array("AYIYA header")?;
            let len = (1 << (identity >> 4)) + usize::from(signature >> 4) * 4;
            r.take(4 + len, "AYIYA header")?;
            Ok((operation & 15, next))
        })();
        match parsed {
            Ok((operation, next)) => {
                self.plain(
                    Kind::Encapsulation,
                    span,
                    place,
                    Header::Encapsulation("ayiya"),
                );
                let rest = span.after(r.rest());
                // Operation 1 is the one that forwards.
                if operation == 1 {
                    self.upper(Protocol(next), rest, place);
                } else {
                    self.payload("data", rest, place);
                }
            }
            Err(e) => self.fail(Kind::Encapsulation, span, place, e),
        }
    }
}

/// A GRE header (RFC 2784 §2, RFC 2890 §2), with the acknowledgment of RFC 2637 §4.1 passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gre {
    /// What it carries, an EtherType.
    pub protocol: u16,
    /// Key, where there is one.
    pub key: Option<u32>,
    /// Sequence number, where there is one.
    pub sequence: Option<u32>,
}

impl Gre {
    fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        const WHAT: &str = "GRE header";
        let mut r = Reader::new(bytes);
        let flags = r.u16(WHAT)?;
        let protocol = r.u16(WHAT)?;
        let mut word = |mask| match flags & mask {
            0 => Ok(None),
            _ => r.u32(WHAT).map(Some),
        };
        word(GRE_CHECKSUM | GRE_ROUTING)?;
        let key = word(GRE_KEY)?;
        let sequence = word(GRE_SEQUENCE)?;
        word(GRE_ACKNOWLEDGMENT)?;
        let header = Self {
            protocol,
            key,
            sequence,
        };
        Ok((header, r.rest()))
    }
}

/// How much the packet says it carries: a jumbogram's length is in an option (RFC 2675 §2).
fn payload_len(header: &ipv6::Header, rest: &[u8]) -> usize {
    if header.payload_len != 0 || header.next_header != Protocol::HOP_BY_HOP {
        return usize::from(header.payload_len);
    }
    let Ok((options, _)) = ipv6::OptionsHeader::parse(rest) else {
        return 0;
    };
    let jumbo = options.options().find_map(|(_, option)| match option {
        Ok(DestinationOption::JumboPayload(len)) => usize::try_from(len).ok(),
        _ => None,
    });
    jumbo.unwrap_or(0)
}

/// Where the packet is bound to: a source route that is not used up says so at its end.
fn final_destination(header: &ipv4::Header<'_>) -> Ipv4Addr {
    let mut dst = header.dst;
    for item in header.options().map_while(Result::ok) {
        if let ipv4::Ipv4Option::LooseSourceRoute { pointer, route }
        | ipv4::Ipv4Option::StrictSourceRoute { pointer, route } = item.option
            && usize::from(pointer) < 4 + route.len()
            && let Some(last) = route.as_chunks::<4>().0.last()
        {
            dst = Ipv4Addr::from(*last);
        }
    }
    dst
}

fn extension_kind(protocol: Protocol) -> Option<Kind> {
    Some(match protocol {
        Protocol::HOP_BY_HOP => Kind::HopByHop,
        Protocol::DESTINATION_OPTIONS => Kind::DestinationOptions,
        Protocol::ROUTING => Kind::Routing,
        Protocol::FRAGMENT => Kind::Fragment,
        Protocol::AH => Kind::Authentication,
        Protocol::MOBILITY => Kind::Mobility,
        Protocol::HIP => Kind::Hip,
        Protocol::SHIM6 => Kind::Shim6,
        _ => return None,
    })
}

fn extension_fault(extension: &Extension<'_>) -> Option<Fault> {
    let error = match extension {
        Extension::HopByHop(h) | Extension::DestinationOptions(h) => {
            h.options().find_map(|(_, option)| option.err())?
        }
        _ => return None,
    };
    Some(Fault::Malformed(error))
}

/// What a protocol that nothing here reads is called.
const fn protocol_name(n: u8) -> &'static str {
    match n {
        33 => "dccp",
        46 => "rsvp",
        88 => "eigrp",
        89 => "ospf",
        103 => "pim",
        108 => "ipcomp",
        112 => "vrrp",
        132 => "sctp",
        _ => "data",
    }
}

const UDP_LITE: Protocol = Protocol(136);
const ETHER_IP: Protocol = Protocol(97);
/// RFC 8986 §4.9: SRv6's next header of an Ethernet frame.
const ETHERNET: Protocol = Protocol(143);
const MPLS_IN_IP: Protocol = Protocol(137);
const ERSPAN: u16 = 0x88be;
const ERSPAN_III: u16 = 0x22eb;
const WCCP: u16 = 0x883e;
const GRE_CHECKSUM: u16 = 0x8000;
const GRE_ROUTING: u16 = 0x4000;
const GRE_KEY: u16 = 0x2000;
const GRE_SEQUENCE: u16 = 0x1000;
const GRE_ACKNOWLEDGMENT: u16 = 0x0080;
