//! A frame's layers as JSON: each layer an object, its fields by their RFC's names.
//!
//! ```text
//!   {"n":1,"t":12.5,"len":74,"layers":[{"layer":"ethernet","destination":"02:..",...},{...}]}
//! ```
//!
//! Addresses and hexadecimal fields are strings, counts and codes are numbers. `checksum` is
//! `good`, `bad`, `absent`, `illegal` (absent where that is forbidden) or `unverified`; `error`
//! says what is wrong with a layer, `cut` what could not be read for want of captured bytes.

use super::{Checksum, Dissector, Fault, Header, Kind, Layer, Visitor};
use stack::wire::ipv6::{Extension, Routing};
use stack::wire::pcap::{Direction, Record};
use stack::wire::{arp, icmpv4, icmpv6, igmp, ipv4, ipv6, tcp};
use std::fmt::{Display, Write as _};

/// Appends one line: the `n`-th record of a capture and its layers.
pub fn write(out: &mut String, n: u64, record: &Record<'_>, dissector: &mut Dissector) {
    let mut frame = Object::open(out);
    frame.number("n", n);
    match record.timestamp {
        Some(t) => frame.raw("t", format_args!("{}.{:09}", t / NANOS, t % NANOS)),
        None => frame.raw("t", "null"),
    }
    frame.number("len", record.original_len);
    if record.data.len() as u64 != u64::from(record.original_len) {
        frame.number("captured", record.data.len());
    }
    frame.number("interface", record.interface);
    if let Some(direction) = record.direction() {
        let text = match direction {
            Direction::In => "in",
            Direction::Out => "out",
        };
        frame.text("direction", text);
    }
    if record.comments().next().is_some() {
        frame.list("comments", record.comments());
    }
    frame.raw("layers", "[");
    let mut layers = Layers {
        out: frame.out,
        first: true,
    };
    dissector.walk(record, &mut layers);
    out.push_str("]}\n");
}

struct Layers<'o> {
    out: &'o mut String,
    first: bool,
}

impl Visitor for Layers<'_> {
    fn layer(&mut self, layer: &Layer<'_>) {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        let mut object = Object::open(self.out);
        object.text("layer", layer.kind.name());
        if layer.place.quoted {
            object.raw("quoted", true);
        }
        if let Some(header) = &layer.header {
            fields(&mut object, header);
        }
        if layer.kind == Kind::Payload {
            object.number("length", layer.span.wire_len);
        }
        let checksum = match layer.checksum {
            Checksum::None => None,
            Checksum::Good => Some("good"),
            Checksum::Bad => Some("bad"),
            Checksum::Unverified => Some("unverified"),
            Checksum::Absent => Some("absent"),
            Checksum::Illegal => Some("illegal"),
        };
        if let Some(verdict) = checksum {
            object.text("checksum", verdict);
        }
        match layer.fault {
            Some(Fault::Malformed(e)) => object.text("error", e),
            Some(Fault::Cut(e)) => object.text("cut", e),
            None if layer.kind == Kind::Unknown => object.text("error", "link type is not known"),
            None => {}
        }
        object.close();
    }
}

fn fields(o: &mut Object<'_>, header: &Header<'_>) {
    match header {
        Header::Ethernet(h) => {
            o.text("destination", h.dst);
            o.text("source", h.src);
            o.text("type", h.ethertype);
        }
        Header::Loopback(family) => o.number("family", family),
        Header::Cooked(h) => {
            o.number("version", h.version);
            o.number("packet_type", h.packet_type);
            o.number("arphrd_type", h.hardware);
            o.text("address", Hex(h.address));
            o.text("protocol", format_args!("0x{:04x}", h.protocol));
        }
        Header::FrameRelay(dlci) => o.number("dlci", dlci),
        Header::Llc(h) => {
            o.text("dsap", format_args!("0x{:02x}", h.dsap));
            o.text("ssap", format_args!("0x{:02x}", h.ssap));
        }
        Header::Snap(h) => {
            o.text("oui", Hex(&h.oui));
            o.text("protocol", h.protocol);
        }
        Header::Vlan(h) => {
            o.number("pcp", h.pcp);
            o.raw("dei", h.dei);
            o.number("vid", h.vid);
            o.text("type", h.ethertype);
        }
        Header::Mpls { label, ttl, depth } => {
            o.number("label", label);
            o.number("ttl", ttl);
            o.number("depth", depth);
        }
        Header::Pppoe(session) => o.number("session_id", session),
        Header::Ppp(protocol) => o.text("protocol", format_args!("0x{protocol:04x}")),
        Header::Arp(h) => arp_fields(o, h),
        Header::Ipv4(h) => ipv4_fields(o, h),
        Header::Ipv6(h) => ipv6_fields(o, h),
        Header::Extension(extension) => extension_fields(o, extension),
        Header::Esp(h) => {
            o.text("spi", format_args!("0x{:08x}", h.spi));
            o.number("sequence_number", h.seq);
        }
        Header::Reassembled(seen) => {
            o.number("length", seen.len);
            o.number("fragments", seen.fragments);
            o.number("overlaps", seen.overlaps);
            o.number("conflicts", seen.conflicts);
            o.number("too_long", seen.too_long);
        }
        Header::Gre(h) => {
            o.text("protocol_type", format_args!("0x{:04x}", h.protocol));
            if let Some(key) = h.key {
                o.number("key", key);
            }
            if let Some(sequence) = h.sequence {
                o.number("sequence_number", sequence);
            }
        }
        Header::Vni(vni) => o.number("vni", vni),
        Header::Tunnel(id) => o.number("id", id),
        Header::Encapsulation(name) => o.text("name", name),
        Header::Icmpv4(h, message) => icmpv4_fields(o, h, message.as_ref()),
        Header::Icmpv6(h, message) => icmpv6_fields(o, h, message.as_ref()),
        Header::Igmp(message) => igmp_fields(o, message),
        Header::Udp(h) => {
            o.number("source_port", h.src_port);
            o.number("destination_port", h.dst_port);
            o.number("length", h.len);
        }
        Header::Tcp(h) => tcp_fields(o, h),
        Header::Payload(name) => o.text("protocol", name),
    }
}

fn arp_fields(o: &mut Object<'_>, h: &arp::Header<'_>) {
    o.number("hardware_space", h.htype);
    o.text("protocol_space", h.ptype);
    o.number("operation", h.op.0);
    match arp::Packet::from_header(h) {
        Ok(p) => {
            o.text("sender_hardware_address", p.sender_mac);
            o.text("sender_protocol_address", p.sender_ip);
            o.text("target_hardware_address", p.target_mac);
            o.text("target_protocol_address", p.target_ip);
        }
        Err(_) => {
            o.text("sender_hardware_address", Hex(h.sha));
            o.text("sender_protocol_address", Hex(h.spa));
            o.text("target_hardware_address", Hex(h.tha));
            o.text("target_protocol_address", Hex(h.tpa));
        }
    }
}

fn ipv4_fields(o: &mut Object<'_>, h: &ipv4::Header<'_>) {
    o.number("ihl", h.header_len() / 4);
    o.number("dscp", h.dscp);
    o.number("ecn", h.ecn);
    o.number("total_length", h.total_len);
    o.number("identification", h.ident);
    o.raw("dont_fragment", h.dont_fragment);
    o.raw("more_fragments", h.more_fragments);
    o.number("fragment_offset", h.fragment_offset);
    o.number("time_to_live", h.ttl);
    o.number("protocol", h.protocol.0);
    o.text("source_address", h.src);
    o.text("destination_address", h.dst);
    if !h.options.is_empty() {
        let names = h.options().map_while(Result::ok);
        o.list("options", names.map(|item| ipv4_option(&item.option)));
    }
}

fn ipv4_option(option: &ipv4::Ipv4Option<'_>) -> String {
    use ipv4::Ipv4Option as O;
    match option {
        O::EndOfList => "end-of-list".into(),
        O::NoOperation => "no-operation".into(),
        O::RecordRoute { .. } => "record-route".into(),
        O::LooseSourceRoute { .. } => "loose-source-route".into(),
        O::StrictSourceRoute { .. } => "strict-source-route".into(),
        O::Timestamp { .. } => "timestamp".into(),
        O::RouterAlert(_) => "router-alert".into(),
        O::Security(_) => "security".into(),
        O::ExtendedSecurity(_) => "extended-security".into(),
        O::StreamId(_) => "stream-id".into(),
        O::Traceroute { .. } => "traceroute".into(),
        O::Unknown { kind, .. } => format!("option-{kind}"),
    }
}

fn ipv6_fields(o: &mut Object<'_>, h: &ipv6::Header) {
    o.number("dscp", h.dscp);
    o.number("ecn", h.ecn);
    o.number("flow_label", h.flow_label);
    o.number("payload_length", h.payload_len);
    o.number("next_header", h.next_header.0);
    o.number("hop_limit", h.hop_limit);
    o.text("source_address", h.src);
    o.text("destination_address", h.dst);
}

fn extension_fields(o: &mut Object<'_>, extension: &Extension<'_>) {
    o.number("next_header", extension.next_header().0);
    match extension {
        Extension::HopByHop(h) | Extension::DestinationOptions(h) => {
            let kinds = h.options().filter_map(|(_, option)| option.ok());
            o.list("options", kinds.map(|option| option.kind().0));
        }
        Extension::Routing(h) => {
            o.number("routing_type", h.routing_type);
            o.number("segments_left", h.segments_left);
            if let Routing::Source { addresses, .. }
            | Routing::Segments {
                segments: addresses,
                ..
            } = h.routing()
            {
                o.list("addresses", addresses.iter());
            }
        }
        Extension::Fragment(h) => {
            o.number("fragment_offset", h.offset);
            o.raw("more_fragments", h.more);
            o.text("identification", format_args!("0x{:08x}", h.ident));
        }
        Extension::Authentication(h) => {
            o.text("spi", format_args!("0x{:08x}", h.spi));
            o.number("sequence_number", h.seq);
        }
        Extension::Mobility(_) | Extension::Hip(_) | Extension::Shim6(_) => {}
    }
}

fn icmpv4_fields(
    o: &mut Object<'_>,
    header: &icmpv4::Header,
    message: Option<&icmpv4::Message<'_>>,
) {
    use icmpv4::Message as M;
    o.number("type", header.kind);
    o.number("code", header.code);
    match message {
        Some(M::EchoRequest { ident, seq, .. } | M::EchoReply { ident, seq, .. }) => {
            o.number("identifier", ident);
            o.number("sequence_number", seq);
        }
        Some(M::DestinationUnreachable { next_hop_mtu, .. }) if *next_hop_mtu != 0 => {
            o.number("next_hop_mtu", next_hop_mtu);
        }
        Some(M::Redirect { gateway, .. }) => o.text("gateway_internet_address", gateway),
        Some(M::ParameterProblem { pointer, .. }) => o.number("pointer", pointer),
        _ => {}
    }
}

fn icmpv6_fields(
    o: &mut Object<'_>,
    header: &icmpv6::Header,
    message: Option<&icmpv6::Message<'_>>,
) {
    use icmpv6::Message as M;
    o.number("type", header.kind);
    o.number("code", header.code);
    match message {
        Some(M::EchoRequest { ident, seq, .. } | M::EchoReply { ident, seq, .. }) => {
            o.number("identifier", ident);
            o.number("sequence_number", seq);
        }
        Some(M::PacketTooBig { mtu, .. }) => o.number("mtu", mtu),
        Some(M::NeighborSolicitation(m)) => o.text("target_address", m.target),
        Some(M::NeighborAdvertisement(m)) => o.text("target_address", m.target),
        Some(M::Redirect(m)) => {
            o.text("target_address", m.target);
            o.text("destination_address", m.destination);
        }
        _ => {}
    }
    if let Some(message) = message {
        let mut kinds = message.ndp_options().map_while(Result::ok).peekable();
        if kinds.peek().is_some() {
            o.list("options", kinds.map(|option| option.kind()));
        }
    }
}

fn igmp_fields(o: &mut Object<'_>, message: &igmp::Message<'_>) {
    use igmp::Message as M;
    o.text("type", format_args!("0x{:02x}", message.kind()));
    match message {
        M::V1Query { group }
        | M::V2Query { group, .. }
        | M::V1Report { group, .. }
        | M::V2Report { group, .. }
        | M::V2Leave { group, .. } => o.text("group_address", group),
        M::V3Query(q) => {
            o.text("group_address", q.group);
            o.list("sources", q.sources.iter());
        }
        M::V3Report(r) => o.list("groups", r.records().map_while(Result::ok).map(|r| r.group)),
        M::Unknown { .. } => {}
    }
}

fn tcp_fields(o: &mut Object<'_>, h: &tcp::Header<'_>) {
    o.number("source_port", h.src_port);
    o.number("destination_port", h.dst_port);
    o.number("sequence_number", h.seq.0);
    o.number("acknowledgment_number", h.ack.0);
    o.number("data_offset", h.header_len() / 4);
    o.text("flags", h.flags);
    o.number("window", h.window);
    o.number("urgent_pointer", h.urgent);
    if !h.options.is_empty() {
        let options = h.options().map_while(Result::ok);
        o.list("options", options.map(|item| tcp_option(&item)));
    }
}

fn tcp_option(option: &tcp::TcpOption<'_>) -> String {
    use tcp::TcpOption as O;
    match option {
        O::EndOfList => "end-of-list".into(),
        O::NoOperation => "no-operation".into(),
        O::MaximumSegmentSize(mss) => format!("mss {mss}"),
        O::WindowScale(shift) => format!("window-scale {shift}"),
        O::SackPermitted => "sack-permitted".into(),
        O::Sack(_) => "sack".into(),
        O::Timestamps { value, echo_reply } => format!("timestamps {value} {echo_reply}"),
        O::FastOpen { cookie, .. } => format!("fast-open {}", Hex(cookie)),
        O::UserTimeout { .. } => "user-timeout".into(),
        O::AccurateEcn(counters) => {
            let name = |mark: u8| ["", "e1b", "e0b", "ceb"].get(usize::from(mark)).copied();
            let said = |(mark, n)| format!(" {} {n}", name(mark).unwrap_or_default());
            format!(
                "accurate-ecn{}",
                counters.iter().map(said).collect::<String>()
            )
        }
        O::Md5Signature(_) => "md5-signature".into(),
        O::Authentication { .. } => "authentication".into(),
        O::Unknown { kind, .. } => format!("option-{kind}"),
    }
}

/// Bytes as hexadecimal digits.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// A JSON object being written.
struct Object<'o> {
    out: &'o mut String,
    first: bool,
}

impl<'o> Object<'o> {
    fn open(out: &'o mut String) -> Self {
        out.push('{');
        Self { out, first: true }
    }

    fn close(self) {
        self.out.push('}');
    }

    /// A value that is JSON as it stands.
    fn raw(&mut self, key: &str, value: impl Display) {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        // Writing into a string cannot fail.
        let _ = write!(self.out, "\"{key}\":{value}");
    }

    fn number(&mut self, key: &str, value: impl Display) {
        self.raw(key, value);
    }

    fn text(&mut self, key: &str, value: impl Display) {
        self.raw(key, "");
        quote(self.out, value);
    }

    fn list<T: Display>(&mut self, key: &str, values: impl Iterator<Item = T>) {
        self.raw(key, "[");
        for (i, value) in values.enumerate() {
            if i > 0 {
                self.out.push(',');
            }
            quote(self.out, value);
        }
        self.out.push(']');
    }
}

/// A JSON string (RFC 8259 §7).
fn quote(out: &mut String, value: impl Display) {
    out.push('"');
    let start = out.len();
    let _ = write!(out, "{value}");
    if out[start..].contains(|c: char| c == '"' || c == '\\' || c < ' ') {
        let text = out.split_off(start);
        for c in text.chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                c if c < ' ' => {
                    let _ = write!(out, "\\u{:04x}", u32::from(c));
                }
                c => out.push(c),
            }
        }
    }
    out.push('"');
}

const NANOS: u64 = 1_000_000_000;
