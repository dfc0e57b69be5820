//! A frame in one line: who to whom, by what protocol, and what it says.
//!
//! ```text
//!      1   0.000000  10.7.0.1 > 10.7.0.2  ICMP  echo request, id 7, seq 1, 56 bytes
//!      2   0.000105  10.7.0.2 > 10.7.0.1  UDP  9000 > 9001, 32 bytes  [bad UDP checksum]
//! ```

use super::json::Hex;
use super::{Checksum, Dissector, Fault, Header, Kind, Layer, Span, Visitor};
use stack::wire::ipv6::Extension;
use stack::wire::pcap::{LinkType, Record};
use stack::wire::{arp, icmpv4, icmpv6, igmp, tcp};
use std::fmt::Write as _;

/// Appends one line for the `n`-th record of a capture whose first has the time `start`.
pub fn write(out: &mut String, n: u64, start: u64, record: &Record<'_>, dissector: &mut Dissector) {
    let mut line = Line::default();
    dissector.walk(record, &mut line);
    // Writing into a string cannot fail.
    let _ = write!(out, "{n:>5} ");
    match record.timestamp {
        Some(t) if t >= start => {
            let _ = write!(out, "{:>11}  ", seconds(t - start));
        }
        Some(t) => {
            let _ = write!(out, "{:>11}  ", format!("-{}", seconds(start - t)));
        }
        None => out.push_str("          -  "),
    }
    line.finish(out, record);
}

/// What a frame that begins as `link_type` says is, without a number, a time or a line's end.
#[must_use]
pub fn phrase(link_type: LinkType, span: Span<'_>, dissector: &mut Dissector) -> String {
    let mut line = Line::default();
    dissector.frame(link_type, span, &mut line);
    let mut out = String::new();
    line.write(&mut out);
    out
}

fn seconds(nanos: u64) -> String {
    format!("{}.{:06}", nanos / 1_000_000_000, nanos / 1000 % 1_000_000)
}

/// What has been gathered of a frame.
#[derive(Default)]
struct Line {
    /// Tags and outer headers.
    outside: String,
    ends: String,
    protocol: &'static str,
    says: String,
    /// What an ICMP error quotes.
    quote: String,
    notes: Vec<String>,
    inside_ip: bool,
}

impl Line {
    fn finish(self, out: &mut String, record: &Record<'_>) {
        self.write(out);
        for comment in record.comments() {
            let printable = comment.replace(|c: char| c.is_control(), " ");
            let _ = write!(out, "  # {printable}");
        }
        out.push('\n');
    }

    fn write(&self, out: &mut String) {
        out.push_str(&self.outside);
        if !self.ends.is_empty() {
            let _ = write!(out, "{}  ", self.ends);
        }
        out.push_str(self.protocol);
        if !self.says.is_empty() {
            let _ = write!(out, "  {}", self.says);
        }
        if !self.quote.is_empty() {
            let _ = write!(out, "  (about {})", self.quote.trim_end());
        }
        for note in &self.notes {
            let _ = write!(out, "  [{note}]");
        }
    }

    fn note_faults(&mut self, layer: &Layer<'_>) {
        let name = layer.kind.name();
        match layer.checksum {
            Checksum::Bad => self.notes.push(format!("bad {name} checksum")),
            Checksum::Illegal => self.notes.push(format!("{name} checksum missing")),
            _ => {}
        }
        match layer.fault {
            Some(Fault::Malformed(e)) => self.notes.push(format!("malformed {name}: {e}")),
            Some(Fault::Cut(e)) if !layer.place.quoted => {
                self.notes.push(format!("captured too little: {e}"));
            }
            _ => {}
        }
    }

    /// A layer of a quote adds to what the quote is about.
    fn quoted(&mut self, layer: &Layer<'_>) {
        let out = &mut self.quote;
        let _ = match layer.header {
            Some(Header::Ipv4(h)) => write!(out, "{} > {} ", h.src, h.dst),
            Some(Header::Ipv6(h)) => write!(out, "{} > {} ", h.src, h.dst),
            Some(Header::Udp(h)) => write!(out, "UDP {} > {} ", h.src_port, h.dst_port),
            Some(Header::Tcp(h)) => write!(out, "TCP {} > {} ", h.src_port, h.dst_port),
            Some(Header::Icmpv4(h, _)) => write!(out, "ICMP type {} ", h.kind),
            Some(Header::Icmpv6(h, _)) => write!(out, "ICMPv6 type {} ", h.kind),
            _ => Ok(()),
        };
        if layer.kind == Kind::Tcp
            && layer.header.is_none()
            && let [a, b, c, d, ..] = *layer.span.bytes
        {
            let (from, to) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let _ = write!(out, "TCP {from} > {to} ");
        }
    }

    /// An IP header: what was said of one further out moves outside.
    fn network(&mut self, protocol: &'static str, ends: String) {
        if self.inside_ip {
            let _ = write!(self.outside, "{} {}: ", self.ends, self.protocol);
        }
        self.inside_ip = true;
        self.ends = ends;
        self.say(protocol, String::new());
    }

    /// A tunnel's header: all that was said so far moves outside.
    fn tunnel(&mut self, name: &'static str, says: String) {
        let _ = write!(self.outside, "{} {name}{says}: ", self.ends);
        self.ends.clear();
        self.inside_ip = false;
        self.say(name, String::new());
    }

    fn say(&mut self, protocol: &'static str, says: String) {
        self.protocol = protocol;
        self.says = says;
    }
}

impl Visitor for Line {
    fn layer(&mut self, layer: &Layer<'_>) {
        self.note_faults(layer);
        if layer.place.quoted {
            return self.quoted(layer);
        }
        let Some(header) = &layer.header else {
            let name = layer.kind.name();
            return match layer.kind {
                Kind::Unknown => self.say("unknown link type", String::new()),
                _ => self.say(name, String::new()),
            };
        };
        match header {
            Header::Ethernet(h) => {
                if self.ends.is_empty() {
                    self.ends = format!("{} > {}", h.src, h.dst);
                }
                self.say("Ethernet", format!("type {}", h.ethertype));
            }
            Header::Vlan(h) => {
                let _ = write!(self.outside, "vlan {}: ", h.vid);
            }
            Header::Mpls { label, .. } => {
                let _ = write!(self.outside, "mpls {label}: ");
            }
            Header::Pppoe(session) => {
                let _ = write!(self.outside, "pppoe {session}: ");
            }
            Header::Gre(_) => self.tunnel("gre", String::new()),
            Header::Encapsulation(name) => {
                let _ = write!(self.outside, "{name}: ");
            }
            Header::Tunnel(_) => self.tunnel(layer.kind.name(), String::new()),
            Header::Vni(vni) => self.tunnel(layer.kind.name(), format!(" {vni}")),
            Header::Llc(h) => self.say("LLC", format!("dsap 0x{:02x}", h.dsap)),
            Header::FrameRelay(dlci) => self.say("Frame Relay", format!("dlci {dlci}")),
            Header::Arp(h) => self.say("ARP", arp_says(h)),
            Header::Ipv4(h) => {
                self.network("IPv4", format!("{} > {}", h.src, h.dst));
                self.says = format!("{}", h.protocol);
                if h.is_fragment() {
                    let more = if h.more_fragments { "+" } else { "" };
                    let (id, at) = (h.ident, h.fragment_offset);
                    self.says = format!("fragment of 0x{id:04x} at {at}{more}, {}", h.protocol);
                }
            }
            Header::Ipv6(h) => {
                self.network("IPv6", format!("{} > {}", h.src, h.dst));
                self.says = format!("{}", h.next_header);
            }
            Header::Extension(Extension::Fragment(h)) => {
                let more = if h.more { "+" } else { "" };
                self.says = format!("fragment of 0x{:08x} at {}{more}", h.ident, h.offset);
            }
            Header::Esp(h) => self.say("ESP", format!("spi 0x{:08x}, seq {}", h.spi, h.seq)),
            Header::Icmpv4(h, message) => self.say("ICMP", icmpv4_says(h, message.as_ref())),
            Header::Icmpv6(h, message) => self.say("ICMPv6", icmpv6_says(h, message.as_ref())),
            Header::Igmp(message) => self.say("IGMP", igmp_says(message)),
            Header::Udp(h) => self.say("UDP", format!("{} > {}", h.src_port, h.dst_port)),
            Header::Tcp(h) => self.say("TCP", tcp_says(h)),
            Header::Payload(name) => {
                let comma = if self.says.is_empty() { "" } else { ", " };
                let _ = write!(self.says, "{comma}{} bytes", layer.span.wire_len);
                if *name != "data" {
                    let _ = write!(self.says, " of {name}");
                }
            }
            Header::Reassembled(seen) => {
                self.notes
                    .push(format!("{} fragments together", seen.fragments));
            }
            _ => {}
        }
    }
}

fn arp_says(h: &arp::Header<'_>) -> String {
    match (arp::Packet::from_header(h), h.op) {
        (Ok(p), arp::Operation::REQUEST) => {
            format!("who has {}? tell {}", p.target_ip, p.sender_ip)
        }
        (Ok(p), arp::Operation::REPLY) => format!("{} is at {}", p.sender_ip, p.sender_mac),
        _ => format!("operation {}, {} > {}", h.op.0, Hex(h.spa), Hex(h.tpa)),
    }
}

fn tcp_says(h: &tcp::Header<'_>) -> String {
    let mut says = format!("{} > {}  {}", h.src_port, h.dst_port, h.flags);
    let _ = write!(says, " seq {}", h.seq.0);
    if h.flags.contains(tcp::Flags::ACK) {
        let _ = write!(says, " ack {}", h.ack.0);
    }
    let _ = write!(says, " win {}", h.window);
    says
}

fn icmpv4_says(header: &icmpv4::Header, message: Option<&icmpv4::Message<'_>>) -> String {
    use icmpv4::Message as M;
    match message {
        Some(M::EchoRequest { ident, seq, .. }) => format!("echo request, id {ident}, seq {seq}"),
        Some(M::EchoReply { ident, seq, .. }) => format!("echo reply, id {ident}, seq {seq}"),
        Some(M::DestinationUnreachable {
            code, next_hop_mtu, ..
        }) => match (code.0, next_hop_mtu) {
            (0, _) => "net unreachable".into(),
            (1, _) => "host unreachable".into(),
            (2, _) => "protocol unreachable".into(),
            (3, _) => "port unreachable".into(),
            (4, mtu) => format!("fragmentation needed, next hop's MTU {mtu}"),
            (code, _) => format!("unreachable, code {code}"),
        },
        Some(M::Redirect { gateway, .. }) => format!("redirect to {gateway}"),
        Some(M::TimeExceeded { code, .. }) if code.0 == 1 => "reassembly time exceeded".into(),
        Some(M::TimeExceeded { .. }) => "time to live exceeded".into(),
        Some(M::ParameterProblem { pointer, .. }) => format!("parameter problem at {pointer}"),
        Some(M::SourceQuench { .. }) => "source quench".into(),
        Some(M::TimestampRequest(_)) => "timestamp request".into(),
        Some(M::TimestampReply(_)) => "timestamp reply".into(),
        Some(M::RouterAdvertisement { .. }) => "router advertisement".into(),
        Some(M::RouterSolicitation { .. }) => "router solicitation".into(),
        _ => format!("type {}, code {}", header.kind, header.code),
    }
}

fn icmpv6_says(header: &icmpv6::Header, message: Option<&icmpv6::Message<'_>>) -> String {
    use icmpv6::Message as M;
    match message {
        Some(M::EchoRequest { ident, seq, .. }) => format!("echo request, id {ident}, seq {seq}"),
        Some(M::EchoReply { ident, seq, .. }) => format!("echo reply, id {ident}, seq {seq}"),
        Some(M::DestinationUnreachable { code, .. }) => format!("unreachable, code {}", code.0),
        Some(M::PacketTooBig { mtu, .. }) => format!("packet too big, MTU {mtu}"),
        Some(M::TimeExceeded { .. }) => "time exceeded".into(),
        Some(M::ParameterProblem { pointer, .. }) => format!("parameter problem at {pointer}"),
        Some(M::MldQuery(_)) => "listener query".into(),
        Some(M::MldReport(_) | M::MldReportV2(_)) => "listener report".into(),
        Some(M::MldDone(_)) => "listener done".into(),
        Some(M::RouterSolicitation(_)) => "router solicitation".into(),
        Some(M::RouterAdvertisement(_)) => "router advertisement".into(),
        Some(M::NeighborSolicitation(m)) => format!("who has {}?", m.target),
        Some(M::NeighborAdvertisement(m)) => format!("{} is here", m.target),
        Some(M::Redirect(m)) => format!("redirect {} to {}", m.destination, m.target),
        _ => format!("type {}, code {}", header.kind, header.code),
    }
}

fn igmp_says(message: &igmp::Message<'_>) -> String {
    use igmp::Message as M;
    match message {
        M::V1Query { group } | M::V2Query { group, .. } => format!("query for {group}"),
        M::V3Query(q) => format!("v3 query for {}, {} sources", q.group, q.sources.len()),
        M::V1Report { group, .. } => format!("v1 report of {group}"),
        M::V2Report { group, .. } => format!("v2 report of {group}"),
        M::V2Leave { group, .. } => format!("leave {group}"),
        M::V3Report(r) => format!("v3 report, {} records", r.num_records),
        M::Unknown { kind, .. } => format!("type 0x{kind:02x}"),
    }
}
