//! Each well-formed IPv6, ICMPv6 and TCP header of real captures re-emits its bytes.
//!
//! The captures are not part of the repository: `TAPLINE_SHARED`, or `../shared` beside the
//! workspace, is where they lie. Where they do not, the test says so and passes.
#![expect(
    clippy::unwrap_used,
    reason = "all of this file is a test, its shared checks too"
)]

use stack::wire::{EtherType, ParseError, Protocol, Writer, ethernet, icmpv6, ipv6, mld, ndp, tcp};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// How often each thing was seen and found whole.
type Seen = BTreeMap<&'static str, usize>;

#[test]
fn headers_come_out_as_they_went_in() {
    let shared = std::env::var_os("TAPLINE_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let Ok(files) = shared.join("pcaps").read_dir() else {
        eprintln!("no captures in {}: nothing was tested", shared.display());
        return;
    };
    let mut seen = Seen::new();
    for file in files {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|e| e == "pcap") {
            for frame in ethernet_frames(&std::fs::read(&path).unwrap()) {
                check_frame(&frame, &mut seen);
            }
        }
    }
    eprintln!("{seen:#?}");
    // Counted once from the set this was written with: a walk that sees nothing proves nothing.
    for (what, least) in [
        ("IPv6", 100),
        ("extension", 30),
        ("ICMPv6", 40),
        ("ICMPv6 checksum", 30),
        ("NDP option", 30),
        ("MLD record", 5),
        ("TCP", 300),
        ("TCP option", 300),
        ("TCP checksum", 200),
    ] {
        let count = seen.get(what).copied().unwrap_or(0);
        assert!(count >= least, "{count} times {what}");
    }
}

/// The whole frames of an Ethernet capture of either byte order; none of any other file.
fn ethernet_frames(file: &[u8]) -> Vec<Vec<u8>> {
    let word = |at: usize, big: bool| -> Option<usize> {
        let bytes: [u8; 4] = file.get(at..at + 4)?.try_into().ok()?;
        let n = if big {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        };
        usize::try_from(n).ok()
    };
    let mut frames = Vec::new();
    let Some(big) = [true, false]
        .into_iter()
        .find(|&big| matches!(word(0, big), Some(0xa1b2_c3d4 | 0xa1b2_3c4d)))
    else {
        return frames;
    };
    if word(20, big) != Some(1) {
        return frames;
    }
    let mut at = 24;
    while let (Some(captured), Some(len)) = (word(at + 8, big), word(at + 12, big)) {
        let Some(frame) = file.get(at + 16..at + 16 + captured) else {
            break;
        };
        if captured == len {
            frames.push(frame.to_vec());
        }
        at += 16 + captured;
    }
    frames
}

fn check_frame(frame: &[u8], seen: &mut Seen) {
    let Ok((header, mut rest)) = ethernet::Header::parse(frame) else {
        return;
    };
    let mut ethertype = header.ethertype;
    while let (true, [_, _, a, b, inner @ ..]) = (ethertype.is_vlan(), rest) {
        ethertype = EtherType(u16::from_be_bytes([*a, *b]));
        rest = inner;
    }
    match ethertype {
        EtherType::IPV4 => check_ipv4(rest, seen),
        EtherType::IPV6 => check_ipv6(rest, seen),
        _ => {}
    }
}

/// Just enough of IPv4 to find whole TCP segments.
fn check_ipv4(packet: &[u8], seen: &mut Seen) {
    let Some(&fixed) = packet.first_chunk::<20>() else {
        return;
    };
    let header_len = usize::from(fixed[0] & 0xf) * 4;
    let total_len = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    let whole = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff == 0;
    if let Some(segment) = packet.get(header_len..total_len)
        && whole
        && fixed[9] == Protocol::TCP.0
    {
        let src = Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]);
        let dst = Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]);
        check_tcp(src.into(), dst.into(), segment, seen);
    }
}

fn check_ipv6(packet: &[u8], seen: &mut Seen) {
    let Ok((header, rest)) = ipv6::Header::parse(packet) else {
        return;
    };
    let bytes = &packet[..ipv6::HEADER_LEN];
    check(bytes, header.emit_len(), |w| header.emit(w), "IPv6", seen);
    let Some(rest) = rest.get(..usize::from(header.payload_len)) else {
        return;
    };
    for link in ipv6::chain(header.next_header, rest).flatten() {
        match link {
            ipv6::Link::Extension { offset, extension } => {
                let len = extension.emit_len();
                let bytes = &rest[offset..offset + len];
                check(bytes, len, |w| extension.emit(w), "extension", seen);
            }
            ipv6::Link::Upper(upper) if upper.fragment.is_none_or(|f| f.is_atomic()) => {
                let dst = upper.final_destination.unwrap_or(header.dst);
                match upper.protocol {
                    Protocol::TCP => check_tcp(header.src.into(), dst.into(), upper.bytes, seen),
                    Protocol::ICMPV6 => check_icmpv6(header.src, dst, upper.bytes, seen),
                    _ => {}
                }
            }
            ipv6::Link::Upper(_) => {}
        }
    }
}

fn check_icmpv6(src: Ipv6Addr, dst: Ipv6Addr, bytes: &[u8], seen: &mut Seen) {
    let Ok((header, message)) = icmpv6::Message::parse(bytes) else {
        return;
    };
    let emit = |w: &mut Writer<'_>| {
        header.emit(w)?;
        message.emit_body(w)
    };
    check(bytes, message.emit_len(), emit, "ICMPv6", seen);
    if icmpv6::verify(src, dst, bytes) {
        assert_eq!(message.compute_checksum(src, dst), header.checksum);
        *seen.entry("ICMPv6 checksum").or_default() += 1;
    }
    let options = match message {
        icmpv6::Message::RouterSolicitation(m) => m.options,
        icmpv6::Message::RouterAdvertisement(m) => m.options,
        icmpv6::Message::NeighborSolicitation(m) => m.options,
        icmpv6::Message::NeighborAdvertisement(m) => m.options,
        icmpv6::Message::Redirect(m) => m.options,
        icmpv6::Message::MldReportV2(m) => return check_records(m, seen),
        _ => return,
    };
    let mut at = 0;
    for option in ndp::options(options).flatten() {
        let len = option.emit_len();
        let bytes = &options[at..at + len];
        check(bytes, len, |w| option.emit(w), "NDP option", seen);
        at += len;
    }
}

fn check_records(report: mld::ReportV2<'_>, seen: &mut Seen) {
    let mut at = 0;
    for record in report.records().flatten() {
        let len = record.emit_len();
        let bytes = &report.records[at..at + len];
        check(bytes, len, |w| record.emit(w), "MLD record", seen);
        at += len;
    }
}

fn check_tcp(src: IpAddr, dst: IpAddr, segment: &[u8], seen: &mut Seen) {
    let Ok((header, data)) = tcp::Header::parse(segment) else {
        return;
    };
    let len = header.emit_len();
    check(&segment[..len], len, |w| header.emit(w), "TCP", seen);
    if tcp::verify(src, dst, segment) {
        assert_eq!(header.checksum_over(src, dst, data), header.checksum);
        *seen.entry("TCP checksum").or_default() += 1;
    }
    let mut at = 0;
    for option in header.options().flatten() {
        let len = option.emit_len();
        let bytes = &header.options[at..at + len];
        check(bytes, len, |w| option.emit(w), "TCP option", seen);
        at += len;
    }
}

fn check(
    bytes: &[u8],
    len: usize,
    emit: impl Fn(&mut Writer<'_>) -> Result<(), ParseError>,
    what: &'static str,
    seen: &mut Seen,
) {
    let mut out = vec![0; len];
    let mut w = Writer::new(&mut out);
    emit(&mut w).unwrap();
    assert_eq!(w.room(), 0, "{what}");
    assert_eq!(out, bytes, "{what}");
    *seen.entry(what).or_default() += 1;
}
