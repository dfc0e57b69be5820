//! What is in a capture, as an independent decoder states it: one JSON object a frame.
//!
//! ```text
//!   capture --tapline::dissect--> layers --here--> {"n": "1", ..., "ip_src": "10.0.0.1,10.9.0.1", ...}
//! ```
//!
//! Keys and text forms are those of tshark 4.0's fields, so that the two can be compared key by key:
//! a key with several values (tunnels, quotes) has them comma separated in order of appearance, and
//! a key is absent where the frame has no such field. Checksum codes: 0 bad, 1 good, 2 unverified,
//! 3 not present, 4 illegal.
//!
//! The walk is [`tapline::dissect`]'s; what stands here is the other decoder's manner of speaking:
//! which fields it still states of a header that is cut short, what it calls malformed, and how it
//! numbers TCP streams.

use stack::wire::ipv6::{DestinationOption, Extension, RoutingHeader};
use stack::wire::pcap::{Capture, LinkType, Record};
use stack::wire::{ParseError, Reader, arp, icmpv4, igmp, ipv4, tcp};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, Ipv6Addr};
use std::process::ExitCode;
use tapline::cli::progress::Progress;
use tapline::dissect::{Checksum, Dissector, Fault, Header, Kind, Layer, Visitor};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let (Some(path), None) = (args.next(), args.next()) else {
        eprintln!("usage: facts FILE    (a pcap or pcapng capture; one JSON object a frame)");
        return ExitCode::from(2);
    };
    let path = std::path::PathBuf::from(path);
    let file = match std::fs::read(&path) {
        Ok(file) => file,
        Err(e) => {
            eprintln!("facts: {}: {e}", path.display());
            return ExitCode::from(2);
        }
    };
    match facts(&file, &mut BufWriter::new(io::stdout().lock())) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("facts: {}: {e}", path.display());
            ExitCode::from(2)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Writes the facts of each frame. A file that ends too early, or is no capture, is told on
/// standard error; what was read of it stands.
fn facts(file: &[u8], out: &mut impl Write) -> io::Result<()> {
    let mut capture = match Capture::parse(file) {
        Ok(capture) => capture,
        Err(ParseError::Truncated(_)) => {
            eprintln!("facts: 0 packets: file ends within its header");
            return out.flush();
        }
        Err(e) => {
            eprintln!("facts: no capture: {e}");
            return out.flush();
        }
    };
    let mut dissector = Dissector::default();
    let mut streams = Streams::default();
    let mut progress = Progress::of(file.len() as u64, true);
    let mut i = 0;
    while let Some(record) = capture.next() {
        progress.reach((file.len() - capture.rest().len()) as u64);
        match record {
            Ok(record) => {
                let mut frame = Frame::new(i + 1, &record, &mut streams);
                dissector.walk(&record, &mut frame);
                writeln!(out, "{}", frame.json())?;
            }
            Err(e) => eprintln!("facts: after frame {i}: {e}"),
        }
        i += 1;
    }
    out.flush()
}

/// Every key, in the order of output.
const KEYS: [&str; 57] = [
    "n",
    "len",
    "cap",
    "proto",
    "link_type",
    "eth_src",
    "eth_dst",
    "vlan",
    "pcp",
    "arp_op",
    "arp_spa",
    "arp_tpa",
    "ip_src",
    "ip_dst",
    "ip_proto",
    "ip_len",
    "ip_id",
    "df",
    "mf",
    "frag_off",
    "ttl",
    "ip_ck",
    "ip_reass_len",
    "ip_overlap",
    "ip_overlap_conflict",
    "ip_toolong",
    "ip6_src",
    "ip6_dst",
    "ip6_plen",
    "ip6_nxt",
    "hlim",
    "frag6_off",
    "frag6_more",
    "frag6_id",
    "ip6_reass_len",
    "icmp_type",
    "icmp_code",
    "icmp_ck",
    "icmp6_type",
    "icmp6_code",
    "icmp6_ck",
    "igmp_type",
    "udp_sport",
    "udp_dport",
    "udp_len",
    "udp_ck",
    "tcp_sport",
    "tcp_dport",
    "tcp_stream",
    "seq",
    "ack",
    "tcp_flags",
    "win",
    "tcp_len",
    "tcp_ck",
    "urp",
    "mss",
];
/// Those of TCP's options, and the verdict on the whole.
const MORE_KEYS: [&str; 7] = [
    "wscale",
    "sack_ok",
    "sack_le",
    "sack_re",
    "tsval",
    "tsecr",
    "malformed",
];

/// One frame's facts, filled in as its layers come.
struct Frame<'s> {
    values: BTreeMap<&'static str, String>,
    proto: Vec<&'static str>,
    link_type: LinkType,
    /// The decoder gave up: nothing after this is stated.
    stopped: bool,
    streams: &'s mut Streams,
}

impl<'s> Frame<'s> {
    fn new(n: usize, record: &Record<'_>, streams: &'s mut Streams) -> Self {
        let mut frame = Self {
            values: BTreeMap::new(),
            proto: Vec::new(),
            link_type: record.link_type,
            stopped: false,
            streams,
        };
        frame.state("n", n);
        frame.state("len", record.original_len);
        frame.state("cap", record.data.len());
        if let LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD = record.link_type {
            frame.proto.push("raw");
        }
        frame
    }

    fn state(&mut self, key: &'static str, value: impl std::fmt::Display) {
        let text = self.values.entry(key).or_default();
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{value}");
    }

    /// Whether the value of `key` that came last is `value`.
    fn last(&self, key: &str, value: &str) -> bool {
        let all = self.values.get(key).map_or("", String::as_str);
        all.rsplit(',').next() == Some(value)
    }

    fn checksum(&mut self, key: &'static str, checksum: Checksum) {
        let code = match checksum {
            Checksum::None => return,
            Checksum::Bad => 0,
            Checksum::Good => 1,
            Checksum::Unverified => 2,
            Checksum::Absent => 3,
            Checksum::Illegal => 4,
        };
        self.state(key, code);
    }

    /// The decoder remarks that something is malformed, and goes on.
    fn remark(&mut self) {
        self.state("malformed", "_ws.malformed");
    }

    /// The decoder read beyond the end and gives up. Beyond the end of what was captured, or of a
    /// quote, it does so in silence.
    fn stop(&mut self, layer: &Layer<'_>, name: &str) {
        let silent = layer.place.quoted
            || layer.place.fragment
            || matches!(layer.fault, Some(Fault::Cut(_)))
            || layer.span.is_cut();
        if !silent {
            self.state("malformed", format_args!("[Malformed Packet: {name}]"));
            self.remark();
        }
        self.stopped = true;
    }

    fn json(mut self) -> String {
        let proto = self.proto.join(":");
        if !proto.is_empty() {
            self.values.insert("proto", proto);
        }
        let mut out = String::from("{");
        for key in KEYS.iter().chain(&MORE_KEYS) {
            if let Some(value) = self.values.get(key) {
                let comma = if out.len() > 1 { ", " } else { "" };
                // No value has a character that JSON would have escaped.
                let _ = write!(out, "{comma}\"{key}\": \"{value}\"");
            }
        }
        out.push('}');
        out
    }
}

impl Visitor for Frame<'_> {
    fn layer(&mut self, layer: &Layer<'_>) {
        let Layer { span, place, .. } = layer;
        // Of what a quote has less than four bytes of, nothing is said.
        let bare = place.quoted && span.bytes.len() < 4 && !span.is_cut();
        let upper = matches!(
            layer.kind,
            Kind::Udp | Kind::Tcp | Kind::Icmpv4 | Kind::Icmpv6
        );
        if self.stopped || bare && upper {
            return;
        }
        match layer.kind {
            Kind::Ethernet => self.ethernet(layer),
            Kind::Vlan | Kind::ServiceVlan => self.vlan(layer),
            Kind::Arp => self.arp(layer),
            Kind::Ipv4 => self.ipv4(layer),
            Kind::Ipv6 => self.ipv6(layer),
            Kind::HopByHop
            | Kind::DestinationOptions
            | Kind::Routing
            | Kind::Fragment
            | Kind::Authentication
            | Kind::Mobility
            | Kind::Hip
            | Kind::Shim6 => self.extension(layer),
            Kind::Reassembled => self.reassembled(layer),
            Kind::Icmpv4 => self.icmpv4(layer),
            Kind::Icmpv6 => self.icmpv6(layer),
            Kind::Igmp => self.igmp(layer),
            Kind::Udp | Kind::UdpLite => self.udp(layer),
            Kind::Tcp => self.tcp(layer),
            Kind::Payload => self.payload(layer),
            Kind::Unknown => {
                self.state("link_type", self.link_type.0);
                self.proto.push("data");
            }
            _ => self.other(layer),
        }
    }
}

impl Frame<'_> {
    fn ethernet(&mut self, layer: &Layer<'_>) {
        self.proto.push("eth");
        let Some(Header::Ethernet(header)) = layer.header else {
            return self.stop(layer, "Ethernet");
        };
        self.state("eth_dst", header.dst);
        self.state("eth_src", header.src);
        if layer.fault.is_some() {
            self.remark();
        }
        if !header.ethertype.is_length() || header.ethertype.0 == 0 {
            self.proto.push("ethertype");
        }
    }

    fn vlan(&mut self, layer: &Layer<'_>) {
        let service = layer.kind == Kind::ServiceVlan;
        // Two service tags in a row are one header to the decoder.
        if service && self.proto.ends_with(&["ieee8021ad", "ethertype"]) {
            return;
        }
        self.proto.push(if service { "ieee8021ad" } else { "vlan" });
        let mut r = Reader::new(layer.span.bytes);
        if let (Ok(tci), false) = (r.u16(""), service) {
            self.state("pcp", tci >> 13);
            self.state("vlan", tci & 0xfff);
        }
        match layer.header {
            Some(Header::Vlan(header)) if !header.ethertype.is_length() => {
                self.proto.push("ethertype");
            }
            Some(_) => {}
            None => self.stop(layer, if service { "IEEE 802.1ad" } else { "VLAN" }),
        }
    }

    fn arp(&mut self, layer: &Layer<'_>) {
        self.proto.push("arp");
        let bytes = layer.span.bytes;
        let at = |from: usize, n: usize| bytes.get(from..from + n);
        let (Some(&[_, _, p0, p1, hlen, plen]), Some(&[o0, o1])) = (at(0, 6), at(6, 2)) else {
            return self.stop(layer, "ARP/RARP");
        };
        self.state("arp_op", u16::from_be_bytes([o0, o1]));
        let (hlen, plen) = (usize::from(hlen), usize::from(plen));
        let ipv4 = [p0, p1] == [8, 0] && plen == 4;
        if arp::Header::parse(bytes).is_err() {
            return self.stop(layer, "ARP/RARP");
        }
        for (key, from) in [("arp_spa", 8 + hlen), ("arp_tpa", 8 + hlen + plen + hlen)] {
            if let (true, Some(&[a, b, c, d])) = (ipv4, at(from, plen)) {
                self.state(key, format_args!("{a}.{b}.{c}.{d}"));
            }
        }
    }

    fn ipv4(&mut self, layer: &Layer<'_>) {
        self.proto.push("ip");
        let bytes = layer.span.bytes;
        let Some(Header::Ipv4(header)) = layer.header else {
            return self.partial_ipv4(layer);
        };
        self.state("ip_len", header.total_len);
        self.state("ip_id", format_args!("0x{:04x}", header.ident));
        self.state("df", u8::from(header.dont_fragment));
        self.state("mf", u8::from(header.more_fragments));
        self.state("frag_off", header.fragment_offset / 8);
        self.state("ttl", header.ttl);
        self.state("ip_proto", header.protocol.0);
        self.checksum("ip_ck", layer.checksum);
        self.state("ip_src", header.src);
        self.state("ip_dst", layer.place.dst);
        if bytes.len() >= header.header_len() && short_option(header.options) {
            self.stop(layer, "IPv4");
        }
    }

    /// Of a header that is cut short, or whose lengths cannot be: what stands before that.
    fn partial_ipv4(&mut self, layer: &Layer<'_>) {
        let bytes = layer.span.bytes;
        let Some(first) = bytes.first() else {
            return self.stop(layer, "IPv4");
        };
        let header_len = u16::from(first & 15) * 4;
        if first >> 4 != 4 || header_len < 20 {
            return;
        }
        let mut r = Reader::new(bytes);
        let mut fields = || -> Result<(), ParseError> {
            r.u16("")?;
            let len = r.u16("")?;
            let total = if len == 0 {
                layer.span.wire_len
            } else {
                usize::from(len)
            };
            self.state("ip_len", total);
            if len < header_len && len != 0 {
                return Ok(());
            }
            let id = r.u16("")?;
            self.state("ip_id", format_args!("0x{id:04x}"));
            let flags = r.u16("")?;
            self.state("df", flags >> 14 & 1);
            self.state("mf", flags >> 13 & 1);
            self.state("frag_off", flags & 0x1fff);
            let ttl = r.u8("")?;
            self.state("ttl", ttl);
            let protocol = r.u8("")?;
            self.state("ip_proto", protocol);
            r.u16("")?;
            self.state("ip_ck", 2);
            let src = r.array::<4>("")?;
            self.state("ip_src", IpAddr::from(src));
            let dst = r.array::<4>("")?;
            // The destination waits for the options, which may name a later one.
            if options_end(bytes, usize::from(header_len)) {
                self.state("ip_dst", IpAddr::from(dst));
            }
            Err(ParseError::Truncated("IPv4 options"))
        };
        if fields().is_err() {
            self.stop(layer, "IPv4");
        } else {
            self.stopped = true;
        }
    }

    fn ipv6(&mut self, layer: &Layer<'_>) {
        let bytes = layer.span.bytes;
        if bytes.first().is_some_and(|b| b >> 4 != 6) {
            self.remark();
            self.stopped = self.proto.is_empty();
            return;
        }
        self.proto.push("ipv6");
        if layer.span.wire_len < 40 && !bytes.is_empty() {
            self.remark();
        }
        let mut r = Reader::new(bytes);
        let mut fields = || -> Result<(), ParseError> {
            r.u32("")?;
            let plen = r.u16("")?;
            let nxt = r.u8("")?;
            self.state("ip6_plen", plen);
            self.state("ip6_nxt", nxt);
            let hlim = r.u8("")?;
            self.state("hlim", hlim);
            let src = r.array::<16>("")?;
            self.state("ip6_src", ipv6_text(src));
            let dst = r.array::<16>("")?;
            self.state("ip6_dst", ipv6_text(dst));
            Ok(())
        };
        if fields().is_err() {
            self.stop(layer, "IPv6");
            if layer.span.is_cut() && layer.span.wire_len < 40 && !layer.place.quoted {
                self.state("malformed", "[Malformed Packet: IPv6]");
                self.remark();
            }
        }
    }

    fn extension(&mut self, layer: &Layer<'_>) {
        let (proto, name) = match layer.kind {
            Kind::HopByHop => ("ipv6.hopopts", "IPv6 Hop-by-Hop"),
            Kind::DestinationOptions => ("ipv6.dstopts", "IPv6 Destination"),
            Kind::Routing => ("ipv6.routing", "IPv6 Routing"),
            Kind::Fragment => ("ipv6.fraghdr", "IPv6 Fragment"),
            Kind::Authentication => ("ah", "AH"),
            Kind::Mobility => ("mipv6", "Mobile IPv6"),
            Kind::Hip => ("hip", "HIP"),
            _ => ("shim6", "SHIM6"),
        };
        self.proto.push(proto);
        let Some(Header::Extension(extension)) = layer.header else {
            // What there is of a routing header is shown as an item that is too long for its packet.
            let source_route = Some(&RoutingHeader::SOURCE);
            if layer.kind == Kind::Routing
                && layer.span.bytes.len() >= 4
                && layer.span.bytes.get(2) == source_route
            {
                return self.stop(
                    layer,
                    "IPv6 Routing: length of contained item exceeds length of containing item",
                );
            }
            return self.stop(layer, name);
        };
        match extension {
            Extension::HopByHop(h) | Extension::DestinationOptions(h) => {
                for (at, option) in h.options() {
                    match option {
                        Ok(DestinationOption::Unknown { kind, data })
                            if known_option_len(kind.0).is_some_and(|n| n != data.len()) =>
                        {
                            self.remark();
                        }
                        Ok(_) => {}
                        // The decoder follows an option beyond its header, to the packet's end.
                        Err(_) => {
                            let len = layer.span.bytes.get(at + 1).copied().map(usize::from);
                            if len.is_none_or(|len| at + 2 + len > layer.span.bytes.len()) {
                                self.stop(layer, name);
                            }
                            return;
                        }
                    }
                }
            }
            Extension::Routing(h) => self.routing(layer, &h),
            Extension::Fragment(h) => {
                self.state("frag6_off", h.offset / 8);
                self.state("frag6_more", u8::from(h.more));
                self.state("frag6_id", format_args!("0x{:08x}", h.ident));
                // Of a fragment that is cut short, even the first, the decoder reads no more.
                if !h.is_atomic() && layer.span.is_cut() {
                    if layer.span.bytes.len() > 8 {
                        self.proto.push("data");
                    }
                    self.stopped = true;
                }
            }
            _ => {}
        }
    }

    fn routing(&mut self, layer: &Layer<'_>, header: &RoutingHeader<'_>) {
        let addresses = header.data.len().saturating_sub(4);
        match header.routing_type {
            RoutingHeader::SOURCE if !addresses.is_multiple_of(16) => self.remark(),
            RoutingHeader::HOME_ADDRESS if addresses != 16 => {
                self.remark();
                if addresses < 16 {
                    self.stop(layer, "IPv6 Routing");
                }
            }
            _ => {}
        }
    }

    fn reassembled(&mut self, layer: &Layer<'_>) {
        let Some(Header::Reassembled(seen)) = layer.header else {
            return;
        };
        if layer.place.src.is_ipv6() {
            return self.state("ip6_reass_len", seen.len);
        }
        self.state("ip_reass_len", seen.len);
        let counts = [
            ("ip_overlap", seen.overlaps),
            ("ip_overlap_conflict", seen.conflicts),
            ("ip_toolong", seen.too_long),
        ];
        for (key, n) in counts {
            for _ in 0..n {
                self.state(key, 1);
            }
        }
    }

    fn icmpv4(&mut self, layer: &Layer<'_>) {
        self.proto.push("icmp");
        let [kind, code, _, _, _, _, ..] = *layer.span.bytes else {
            return self.stop(layer, "ICMP");
        };
        self.state("icmp_type", kind);
        self.state("icmp_code", code);
        self.checksum("icmp_ck", layer.checksum);
        let least = match kind {
            0 | 3 | 4 | 5 | 8 | 9 | 11 | 12 | 15 | 16 => 8,
            13 | 14 => 20,
            17 | 18 => 12,
            _ => 4,
        };
        if layer.span.bytes.len() < least {
            self.stop(layer, "ICMP");
        }
        if kind == icmpv4::kind::REDIRECT && layer.span.wire_len == 8 {
            self.stop(layer, "ICMP");
        }
    }

    fn icmpv6(&mut self, layer: &Layer<'_>) {
        self.proto.push("icmpv6");
        let bytes = layer.span.bytes;
        if let Some(kind) = bytes.first() {
            self.state("icmp6_type", kind);
        }
        if let Some(code) = bytes.get(1) {
            self.state("icmp6_code", code);
        }
        if layer.header.is_none() {
            return self.stop(layer, "ICMPv6");
        }
        self.checksum("icmp6_ck", layer.checksum);
        match self.icmpv6_body(bytes) {
            Ok(()) => {}
            Err(_) => self.stop(layer, "ICMPv6"),
        }
    }

    /// Goes through the body as the decoder does, to find where it would read beyond the end.
    fn icmpv6_body(&mut self, bytes: &[u8]) -> Result<(), ParseError> {
        let mut r = Reader::new(bytes);
        let kind = r.u8("")?;
        r.take(3, "")?;
        let fixed = match kind {
            1..=4 => 4,
            128 | 129 => 4,
            131 | 132 => 20,
            133 | 141 | 142 | 147 | 148 | 154 => 4,
            149 => 8,
            134 => 12,
            135 | 136 => 20,
            137 => 36,
            143 => 4,
            130 if bytes.len() < 28 => 20,
            130 => 24,
            _ => return Ok(()),
        };
        let body = r.take(fixed, "")?;
        match kind {
            1..=4 if r.is_empty() => Err(ParseError::Truncated("quote")),
            130 => match body {
                [.., a, b] if fixed == 24 => {
                    r.take(usize::from(u16::from_be_bytes([*a, *b])) * 16, "")?;
                    Ok(())
                }
                _ => Ok(()),
            },
            143 => listener_records(&mut r),
            133..=137 | 141 | 142 | 147..=149 | 154 => self.ndp_options(&mut r),
            _ => Ok(()),
        }
    }

    fn ndp_options(&mut self, r: &mut Reader<'_>) -> Result<(), ParseError> {
        while !r.is_empty() {
            let [kind, units] = r.array::<2>("")?;
            if units == 0 {
                self.remark();
                return Ok(());
            }
            let data = r.take(usize::from(units) * 8 - 2, "")?;
            let (least, most) = ndp_option_units(kind);
            // A list of addresses behind eight bytes.
            let uneven = matches!(kind, 9 | 10 | 25) && units.is_multiple_of(2);
            if units < least || uneven {
                return Err(ParseError::Truncated(""));
            }
            if units > most {
                self.remark();
            }
            // Those whose last field takes what is left say so of that field, too.
            if units > most && matches!(kind, 24 | 34) {
                self.remark();
            }
            if kind == PREF64 && (units != 2 || data[1] & 7 > 5) {
                self.remark();
            }
        }
        Ok(())
    }

    fn igmp(&mut self, layer: &Layer<'_>) {
        self.proto.push("igmp");
        let bytes = layer.span.bytes;
        let Some(kind) = bytes.first() else {
            return self.stop(layer, "IGMP");
        };
        match kind {
            0x13 => return self.proto.push("dvmrp"),
            0x14 => return self.proto.push("pim"),
            _ => {}
        }
        if *kind != igmp::kind::QUERY || bytes.len() > 1 {
            self.state("igmp_type", format_args!("0x{kind:02x}"));
        }
        if matches!(kind, 1..=4 | 0x11 | 0x12 | 0x16 | 0x17 | 0x1e | 0x1f | 0x22) {
            self.proto.push("igmp");
        }
        let traceroute = matches!(kind, 0x1e | 0x1f);
        if layer.fault.is_some() || traceroute && bytes.len() < 24 {
            self.stop(layer, "IGMP");
        }
    }

    fn udp(&mut self, layer: &Layer<'_>) {
        let lite = layer.kind == Kind::UdpLite;
        self.proto.push(if lite { "udplite" } else { "udp" });
        let mut r = Reader::new(layer.span.bytes);
        let mut fields = || -> Result<(), ParseError> {
            let ports = r.array::<4>("")?;
            self.state("udp_sport", u16::from_be_bytes([ports[0], ports[1]]));
            self.state("udp_dport", u16::from_be_bytes([ports[2], ports[3]]));
            let len = r.u16("")?;
            if lite {
                self.state("udp_len", layer.span.wire_len);
            } else {
                self.state("udp_len", len);
            }
            let beyond = usize::from(len) > layer.span.wire_len;
            let wrong = beyond && !layer.place.quoted && !layer.place.fragment;
            let none = len < 8 && (len != 0 || layer.place.src.is_ipv4());
            if (wrong || none) && !lite {
                self.remark();
            }
            if none && !lite {
                self.stopped = true;
                return Ok(());
            }
            r.u16("")?;
            self.checksum("udp_ck", layer.checksum);
            if beyond && r.is_empty() {
                return Err(ParseError::Truncated(""));
            }
            Ok(())
        };
        if fields().is_err() {
            self.stop(layer, if lite { "UDPlite" } else { "UDP" });
        }
    }

    fn tcp(&mut self, layer: &Layer<'_>) {
        self.proto.push("tcp");
        let bytes = layer.span.bytes;
        let mut r = Reader::new(bytes);
        if let Ok([a, b, c, d]) = r.array::<4>("") {
            self.state("tcp_sport", u16::from_be_bytes([a, b]));
            self.state("tcp_dport", u16::from_be_bytes([c, d]));
        }
        // The fixed fields are fetched before any is stated.
        let Some(fixed) = Fixed::parse(bytes) else {
            // Of a quote, the usual eight bytes.
            if let (true, true, Ok(seq)) =
                (layer.place.quoted, layer.place.src.is_ipv4(), r.u32(""))
            {
                self.state("seq", seq);
            }
            return self.stop(layer, "TCP");
        };
        let apart = layer.place.quoted || layer.place.fragment;
        let len = layer.span.wire_len.checked_sub(fixed.header_len);
        let known = len.is_some() && !apart;
        let ends = [
            (layer.place.src, fixed.src_port),
            (layer.place.dst, fixed.dst_port),
        ];
        let stream = self.streams.number(ends, &fixed, known);
        self.state("tcp_stream", stream);
        match len {
            Some(len) if !apart => self.state("tcp_len", len),
            None if !apart => self.remark(),
            _ => {}
        }
        self.state("seq", fixed.seq);
        if fixed.header_len < tcp::HEADER_LEN {
            self.stopped = true;
            return;
        }
        self.state("ack", fixed.ack);
        self.state("tcp_flags", format_args!("0x{:04x}", fixed.flags));
        self.state("win", fixed.window);
        if r.take(14, "").is_err() {
            return self.stop(layer, "TCP");
        }
        self.checksum("tcp_ck", layer.checksum);
        match r.u16("") {
            Ok(urgent) => self.state("urp", urgent),
            Err(_) => return self.stop(layer, "TCP"),
        }
        let claimed = fixed.header_len - tcp::HEADER_LEN;
        match self.tcp_options(claimed, r.rest()) {
            Ok(()) if r.rest().len() < claimed => self.stop(layer, "TCP"),
            Ok(()) => {}
            Err(Beyond::Packet) => self.stop(layer, "TCP"),
            Err(Beyond::Option) => self.stop(
                layer,
                "TCP: length of contained item exceeds length of containing item",
            ),
        }
    }

    /// Options by hand, since the decoder states those before the cut, and some of wrong length.
    /// `claimed` is how long they should be, `rest` what there is.
    fn tcp_options(&mut self, mut claimed: usize, mut rest: &[u8]) -> Result<(), Beyond> {
        while claimed > 0 {
            let kind = *rest.first().ok_or(Beyond::Packet)?;
            let len = match kind {
                tcp::kind::END_OF_LIST => return Ok(()),
                tcp::kind::NO_OPERATION => 1,
                _ if claimed == 1 => return Ok(()),
                _ => usize::from(*rest.get(1).ok_or(Beyond::Packet)?),
            };
            if kind != tcp::kind::NO_OPERATION {
                if len < 2 || len > claimed {
                    return Ok(());
                }
                let data = &rest[2..len.min(rest.len()).max(2)];
                self.tcp_option(kind, len - 2, data)?;
                if len > rest.len() {
                    return Err(Beyond::Option);
                }
            }
            claimed -= len;
            rest = rest.get(len..).unwrap_or_default();
        }
        Ok(())
    }

    /// `len` is how much data there should be, `data` what there is of it.
    fn tcp_option(&mut self, kind: u8, len: usize, data: &[u8]) -> Result<(), Beyond> {
        let mut r = Reader::new(data);
        match (kind, len) {
            (tcp::kind::MAXIMUM_SEGMENT_SIZE, 2) => {
                let mss = r.u16("").map_err(|_| Beyond::Option)?;
                self.state("mss", mss);
            }
            (tcp::kind::WINDOW_SCALE, 1) => {
                let shift = r.u8("").map_err(|_| Beyond::Option)?;
                self.state("wscale", shift);
            }
            (tcp::kind::SACK_PERMITTED, _) if data.len() == len => {
                let mut hex = format!("{kind:02x}{:02x}", len + 2);
                for byte in data {
                    let _ = write!(hex, "{byte:02x}");
                }
                self.state("sack_ok", hex);
            }
            (tcp::kind::TIMESTAMPS, 8) => {
                for key in ["tsval", "tsecr"] {
                    let value = r.u32("").map_err(|_| Beyond::Option)?;
                    self.state(key, value);
                }
            }
            (tcp::kind::SACK, _) => return self.sack(len, data),
            _ => {}
        }
        Ok(())
    }

    fn sack(&mut self, len: usize, data: &[u8]) -> Result<(), Beyond> {
        let mut r = Reader::new(data);
        'blocks: while len > data.len() - r.rest().len() {
            for key in ["sack_le", "sack_re"] {
                let left = len - (data.len() - r.rest().len());
                match r.u32("") {
                    Ok(edge) => self.state(key, edge),
                    Err(_) if left >= 4 => return Err(Beyond::Option),
                    Err(_) => {
                        self.remark();
                        break 'blocks;
                    }
                }
            }
        }
        if len < 8 {
            return Err(Beyond::Packet);
        }
        Ok(())
    }

    fn payload(&mut self, layer: &Layer<'_>) {
        if let Some(Header::Payload(name)) = layer.header {
            self.proto.push(name);
        }
    }

    fn encapsulation(&mut self, name: &'static str, layer: &Layer<'_>) {
        match name {
            "cfp" => self.proto.extend(["eth", name]),
            "pwethcw" | "pwethnocw" => self.proto.extend(["pwethheuristic", name]),
            // Behind a service tag the decoder takes it for part of that.
            "ieee8021ah" if self.proto.ends_with(&["ieee8021ad", "ethertype"]) => {}
            "vntag" | "cmd" | "ieee8021ah" => {
                self.proto.push(name);
                let at = match name {
                    "vntag" => 4,
                    "cmd" => 6,
                    _ => 16,
                };
                if layer.span.bytes.get(at).is_some_and(|high| *high > 5) {
                    self.proto.push("ethertype");
                }
            }
            _ => self.proto.push(name),
        }
    }

    /// Layers of which nothing but their presence is stated.
    fn other(&mut self, layer: &Layer<'_>) {
        if let Some(Header::Encapsulation(name)) = layer.header {
            return self.encapsulation(name, layer);
        }
        let (proto, name) = match layer.kind {
            Kind::Loopback => ("null", "Null"),
            Kind::RawIp => ("", "Raw"),
            Kind::Cooked => ("sll", "SLL"),
            Kind::FrameRelay => ("fr", "FR"),
            Kind::Llc => ("llc", "LLC"),
            Kind::Snap => ("", "LLC"),
            Kind::Mpls => ("mpls", "MPLS"),
            Kind::Pppoe => ("pppoes", "PPPoES"),
            Kind::Ppp => ("ppp", "PPP"),
            Kind::Gre => ("gre", "GRE"),
            // The generic protocol extension has a port of its own, and no name.
            Kind::Vxlan if self.last("udp_dport", "4790") || self.last("udp_sport", "4790") => {
                ("", "VXLAN")
            }
            Kind::Vxlan => ("vxlan", "VXLAN"),
            Kind::Geneve => ("geneve", "Geneve"),
            Kind::L2tp => ("l2tp", "L2TP"),
            Kind::Teredo => ("teredo", "Teredo"),
            Kind::Gtp => ("gtp", "GTP"),
            Kind::EtherIp => ("etherip", "ETHERIP"),
            Kind::Esp => ("esp", "ESP"),
            _ => ("", ""),
        };
        if !proto.is_empty() {
            self.proto.push(proto);
        }
        if layer.kind == Kind::Pppoe && wrong_session_len(layer) {
            self.remark();
        }
        match layer.header {
            None => self.stop(layer, name),
            Some(Header::Cooked(header)) if header.is_ethertype() => self.proto.push("ethertype"),
            Some(_) => {}
        }
    }
}

/// Whether a PPPoE session's length is not what there is, with a check sequence or without. Padding
/// is let pass, and what the protocols that only set up the link say.
fn wrong_session_len(layer: &Layer<'_>) -> bool {
    const PADDED: usize = 40;
    let &[_, _, _, _, a, b, protocol, ..] = layer.span.bytes else {
        return false;
    };
    let claimed = usize::from(u16::from_be_bytes([a, b]));
    let left = layer.span.wire_len - 6;
    protocol < 0x80 && left > PADDED && left != claimed && left != claimed + 4
}

/// The usual text, but an address with 96 zero bits in front ends like an IPv4 address.
fn ipv6_text(octets: [u8; 16]) -> String {
    match octets {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] if (a, b) != (0, 0) => {
            format!("::{a}.{b}.{c}.{d}")
        }
        _ => Ipv6Addr::from(octets).to_string(),
    }
}

/// The least and the most units of eight bytes that a neighbor discovery option can have, as far
/// as the decoder minds (the registry of RFC 4861 §4.6 tells the kinds).
const fn ndp_option_units(kind: u8) -> (u8, u8) {
    match kind {
        5 | 7 | 8 | 26 | 36 => (1, 1),
        6 => (0, 0),
        13 | 33 => (2, 2),
        17 | 18 | 23 | 35 => (3, 3),
        3 => (4, 4),
        12 | 32 => (3, u8::MAX),
        24 | 34 => (1, 3),
        PREF64 => (2, u8::MAX),
        _ => (1, u8::MAX),
    }
}

/// The option with the prefix of NAT64 (RFC 8781 §4).
const PREF64: u8 = 38;

/// The records of a version 2 listener report (RFC 3810 §5.2.4).
fn listener_records(r: &mut Reader<'_>) -> Result<(), ParseError> {
    while !r.is_empty() {
        let [_, aux, a, b] = r.array::<4>("")?;
        let sources = usize::from(u16::from_be_bytes([a, b])) * 16;
        r.take(16 + sources + usize::from(aux) * 4, "")?;
    }
    Ok(())
}

/// The data length of an IPv6 option that has only one.
const fn known_option_len(kind: u8) -> Option<usize> {
    match kind {
        0x04 => Some(1),
        0x05 => Some(2),
        0xc2 => Some(4),
        0xc9 => Some(16),
        _ => None,
    }
}

/// Whether an IPv4 option is too short for the fields that the decoder reads of it.
fn short_option(mut options: &[u8]) -> bool {
    loop {
        let (kind, len) = match *options {
            [ipv4::kind::END_OF_LIST, ..] | [] | [_] => return false,
            [ipv4::kind::NO_OPERATION, ..] => {
                options = options.get(1..).unwrap_or_default();
                continue;
            }
            [kind, len, ..] => (kind, usize::from(len)),
        };
        let least = match kind {
            ipv4::kind::RECORD_ROUTE
            | ipv4::kind::LOOSE_SOURCE_ROUTE
            | ipv4::kind::STRICT_SOURCE_ROUTE => 3,
            ipv4::kind::TIMESTAMP => 4,
            _ => 2,
        };
        if len < 2 || len > options.len() {
            return false;
        }
        if len < least {
            return true;
        }
        options = options.get(len..).unwrap_or_default();
    }
}

/// What the decoder read beyond the end of, which it tells apart.
enum Beyond {
    Packet,
    Option,
}

/// Whether a walk along the options of a header that is cut short comes to an end before the cut.
fn options_end(bytes: &[u8], header_len: usize) -> bool {
    let mut at = ipv4::HEADER_LEN;
    while at < header_len {
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(&ipv4::kind::END_OF_LIST), _) => return true,
            (Some(&ipv4::kind::NO_OPERATION), _) => at += 1,
            (Some(_), Some(0 | 1)) => return true,
            (Some(_), Some(&len)) => at += usize::from(len),
            _ => return false,
        }
    }
    true
}

/// The first 16 bytes of a TCP header.
struct Fixed {
    src_port: u16,
    dst_port: u16,
    seq: u32,
    ack: u32,
    header_len: usize,
    flags: u16,
    window: u16,
}

impl Fixed {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let (src_port, dst_port) = (r.u16("").ok()?, r.u16("").ok()?);
        let (seq, ack) = (r.u32("").ok()?, r.u32("").ok()?);
        let word = r.u16("").ok()?;
        Some(Self {
            src_port,
            dst_port,
            seq,
            ack,
            header_len: usize::from(word >> 12) * 4,
            flags: word & 0xfff,
            window: r.u16("").ok()?,
        })
    }
}

/// One end of a conversation.
type End = (IpAddr, u16);

/// How TCP streams are numbered: a new pair of ends is a new stream, and so is a SYN with another
/// sequence number than its sender began with.
#[derive(Default)]
struct Streams {
    by_ends: BTreeMap<[End; 2], Stream>,
    count: usize,
}

struct Stream {
    number: usize,
    /// The first sequence number of the lower and the higher end, once known.
    first: [Option<u32>; 2],
    saw_syn: [bool; 2],
}

impl Streams {
    fn number(&mut self, ends: [End; 2], seg: &Fixed, known: bool) -> usize {
        let [src, dst] = ends;
        let side = usize::from(src > dst);
        let key = if side == 0 { [src, dst] } else { [dst, src] };
        let syn = seg.flags & 0x12 == 0x02;
        let reused = self
            .by_ends
            .get(&key)
            .is_none_or(|stream| syn && stream.first[side].is_some_and(|first| first != seg.seq));
        if reused {
            let stream = Stream {
                number: self.count,
                first: [None; 2],
                saw_syn: [false; 2],
            };
            self.count += 1;
            self.by_ends.insert(key, stream);
        }
        let Some(stream) = self.by_ends.get_mut(&key) else {
            return 0;
        };
        if seg.flags & 0x12 == 0x12 && stream.first[side].is_some() {
            // A SYN that answers is no new stream, but its number counts from now on.
            stream.first[side] = Some(seg.seq);
        }
        if known {
            if !stream.saw_syn[side] && seg.flags & 0x02 != 0 {
                stream.first[side] = Some(seg.seq);
                stream.saw_syn[side] = true;
            }
            stream.first[side].get_or_insert(seg.seq.wrapping_sub(1));
            if seg.flags & 0x10 != 0 {
                stream.first[1 - side].get_or_insert(seg.ack.wrapping_sub(1));
            }
        }
        stream.number
    }
}
