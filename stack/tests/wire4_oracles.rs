//! The wire formats of IPv4's family against two other parsers, `etherparse` and `smoltcp::wire`,
//! and against their own laws: what parses re-emits its bytes, what is emitted parses back, and no
//! bytes make a parser panic.
//!
//! Where the oracles reject what we take, or the other way round, the test says which and why;
//! wherever both take the bytes, the fields must agree.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire as smol;
use stack::wire::{
    EtherType, MacAddr, ParseError, Protocol, Writer, arp, icmpv4, igmp, ipv4, llc, udp, vlan,
};
use std::net::{IpAddr, Ipv4Addr};

/// The same cases in every run.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 2048,
        rng_seed: RngSeed::Fixed(0x7461_706c_696e_6534),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// What `emit` writes into exactly `len` bytes; one byte less must not do.
fn written(len: usize, emit: impl Fn(&mut Writer<'_>) -> Result<(), ParseError>) -> Vec<u8> {
    let mut out = vec![0; len];
    if let Some(short) = len.checked_sub(1) {
        let mut w = Writer::new(&mut out[..short]);
        assert_eq!(emit(&mut w), Err(ParseError::NoRoom));
    }
    let mut w = Writer::new(&mut out);
    emit(&mut w).expect("emit_len bytes are room enough");
    assert_eq!(w.written(), len);
    out
}

fn addr() -> impl Strategy<Value = Ipv4Addr> {
    any::<[u8; 4]>().prop_map(Ipv4Addr::from)
}

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

fn smol_caps() -> ChecksumCapabilities {
    ChecksumCapabilities::ignored()
}

prop_compose! {
    /// Any bytes behind a first one that is taken from `firsts` in most cases.
    fn bytes_like(firsts: &'static [u8], max: usize)(
        first in prop_oneof![4 => proptest::sample::select(firsts), 1 => any::<u8>()],
        mut bytes in vec(any::<u8>(), 0..max),
    ) -> Vec<u8> {
        if let Some(b) = bytes.first_mut() {
            *b = first;
        }
        bytes
    }
}

// UDP.

proptest! {
    #![proptest_config(config())]

    #[test]
    fn udp_any_bytes(bytes in vec(any::<u8>(), 0..24)) {
        let ours = udp::Header::parse(&bytes);
        let theirs = etherparse::UdpHeader::from_slice(&bytes);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok());
        if let (Ok((ours, rest)), Ok((theirs, their_rest))) = (ours, theirs) {
            prop_assert_eq!(written(8, |w| ours.emit(w)), &bytes[..8]);
            prop_assert_eq!(rest, their_rest);
            prop_assert_eq!(
                (ours.src_port, ours.dst_port, ours.len, ours.checksum),
                (theirs.source_port, theirs.destination_port, theirs.length, theirs.checksum)
            );
            // smoltcp also demands that the length be right, which we leave to the caller.
            let len_right = (8..=bytes.len()).contains(&usize::from(ours.len));
            let smol = smol::UdpPacket::new_checked(&bytes[..]);
            prop_assert_eq!(smol.is_ok(), len_right);
            if let Ok(smol) = smol {
                prop_assert_eq!(
                    (ours.src_port, ours.dst_port, ours.len, ours.checksum),
                    (smol.src_port(), smol.dst_port(), smol.len(), smol.checksum())
                );
            }
        }
    }

    #[test]
    fn udp_checksum(
        src in addr(), dst in addr(), src_port: u16, dst_port: u16,
        payload in vec(any::<u8>(), 0..64),
    ) {
        let len = u16::try_from(8 + payload.len()).unwrap();
        let mut header = udp::Header { src_port, dst_port, len, checksum: 0 };
        header.checksum = header.checksum_over(src.into(), dst.into(), &payload);
        let mut bytes = written(8, |w| header.emit(w));
        prop_assert_eq!(udp::Header::parse(&bytes), Ok((header, &[][..])));
        bytes.extend(&payload);
        let theirs = etherparse::UdpHeader::from_slice(&bytes).unwrap().0;
        let want = theirs.calc_checksum_ipv4_raw(src.octets(), dst.octets(), &payload);
        prop_assert_eq!(header.checksum, want.unwrap());
        let smol = smol::UdpPacket::new_checked(&bytes[..]).unwrap();
        let (s, d) = (IpAddr::V4(src).into(), IpAddr::V4(dst).into());
        prop_assert!(smol.verify_checksum(&s, &d));
        prop_assert!(udp::verify(src.into(), dst.into(), &bytes));
    }
}

// ARP.

fn arp_packet() -> impl Strategy<Value = arp::Packet> {
    (any::<u16>(), mac(), addr(), mac(), addr()).prop_map(
        |(op, sender_mac, sender_ip, target_mac, target_ip)| arp::Packet {
            operation: arp::Operation(op),
            sender_mac,
            sender_ip,
            target_mac,
            target_ip,
        },
    )
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn arp_round_trip(packet in arp_packet()) {
        let bytes = written(arp::LEN, |w| packet.emit(w));
        prop_assert_eq!(arp::Packet::parse(&bytes), Ok((packet, &[][..])));
        for len in 0..bytes.len() {
            let short = arp::Packet::parse(&bytes[..len]);
            prop_assert!(matches!(short, Err(ParseError::Truncated(_))));
        }
        let smol = smol::ArpPacket::new_checked(&bytes[..]).unwrap();
        prop_assert_eq!(
            smol::ArpRepr::parse(&smol),
            Ok(smol::ArpRepr::EthernetIpv4 {
                operation: packet.operation.0.into(),
                source_hardware_addr: smol::EthernetAddress(packet.sender_mac.0),
                source_protocol_addr: packet.sender_ip,
                target_hardware_addr: smol::EthernetAddress(packet.target_mac.0),
                target_protocol_addr: packet.target_ip,
            })
        );
        let theirs = etherparse::ArpPacket::from_slice(&bytes).unwrap();
        let theirs = theirs.try_eth_ipv4().unwrap();
        prop_assert_eq!(
            (packet.operation.0, packet.sender_mac.0, packet.sender_ip.octets()),
            (theirs.operation.0, theirs.sender_mac, theirs.sender_ipv4)
        );
        prop_assert_eq!(
            (packet.target_mac.0, packet.target_ip.octets()),
            (theirs.target_mac, theirs.target_ipv4)
        );
    }

    #[test]
    fn arp_any_bytes(
        mut bytes in vec(any::<u8>(), 0..64),
        lens in any::<[u8; 2]>(),
        spaces in prop_oneof![Just([0, 1, 8, 0]), any::<[u8; 4]>()],
    ) {
        // Lengths that now and then fit the bytes there are.
        for (byte, len) in bytes.iter_mut().skip(4).zip(lens) {
            *byte = len % 16;
        }
        for (byte, space) in bytes.iter_mut().zip(spaces) {
            *byte = space;
        }
        let theirs = etherparse::ArpPacket::from_slice(&bytes);
        let smol = smol::ArpPacket::new_checked(&bytes[..]);
        let ours = arp::Header::parse(&bytes);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok());
        prop_assert_eq!(ours.is_ok(), smol.is_ok());
        prop_assert!(ours.is_ok() || arp::Packet::parse(&bytes).is_err());
        if let (Ok((ours, rest)), Ok(theirs), Ok(smol)) = (ours, theirs, smol) {
            let len = bytes.len() - rest.len();
            prop_assert_eq!(written(ours.emit_len(), |w| ours.emit(w)), &bytes[..len]);
            prop_assert_eq!(
                (ours.htype, ours.ptype.0, ours.op.0),
                (theirs.hw_addr_type.0, theirs.proto_addr_type.0, theirs.operation.0)
            );
            prop_assert_eq!((ours.sha, ours.spa), (theirs.sender_hw_addr(), theirs.sender_protocol_addr()));
            prop_assert_eq!((ours.tha, ours.tpa), (theirs.target_hw_addr(), theirs.target_protocol_addr()));
            prop_assert_eq!((ours.sha, ours.spa), (smol.source_hardware_addr(), smol.source_protocol_addr()));
            prop_assert_eq!((ours.tha, ours.tpa), (smol.target_hardware_addr(), smol.target_protocol_addr()));
            prop_assert_eq!(arp::Packet::parse(&bytes).is_ok(), smol::ArpRepr::parse(&smol).is_ok());
        }
    }
}

// VLAN, LLC and SNAP. Of these the oracles know VLAN tags only.

proptest! {
    #![proptest_config(config())]

    #[test]
    fn vlan_any_bytes(bytes in vec(any::<u8>(), 0..8)) {
        let ours = vlan::Header::parse(&bytes);
        let theirs = etherparse::SingleVlanHeader::from_slice(&bytes);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok());
        if let (Ok((ours, rest)), Ok((theirs, their_rest))) = (ours, theirs) {
            prop_assert_eq!(written(4, |w| ours.emit(w)), &bytes[..4]);
            prop_assert_eq!(rest, their_rest);
            prop_assert_eq!(
                (ours.pcp, ours.dei, ours.vid, ours.ethertype.0),
                (
                    theirs.pcp.value(),
                    theirs.drop_eligible_indicator,
                    theirs.vlan_id.value(),
                    theirs.ether_type.0
                )
            );
        }
    }

    #[test]
    fn vlan_round_trip(pcp in 0..8u8, dei: bool, vid in 0..4096u16, ethertype: u16) {
        let header = vlan::Header { pcp, dei, vid, ethertype: EtherType(ethertype) };
        let bytes = written(header.emit_len(), |w| header.emit(w));
        prop_assert_eq!(vlan::Header::parse(&bytes), Ok((header, &[][..])));
    }

    #[test]
    fn llc_and_snap_any_bytes(bytes in vec(any::<u8>(), 0..12)) {
        if let Ok((header, rest)) = llc::Header::parse(&bytes) {
            let len = bytes.len() - rest.len();
            prop_assert_eq!(written(header.emit_len(), |w| header.emit(w)), &bytes[..len]);
        } else {
            // A control of one byte needs 3, of two 4.
            prop_assert!(bytes.len() < 3 || bytes.len() < 4 && bytes[2] & 3 != 3);
        }
        let snap = llc::Snap::parse(&bytes);
        prop_assert_eq!(snap.is_ok(), bytes.len() >= llc::SNAP_LEN);
        if let Ok((snap, rest)) = snap {
            prop_assert_eq!(written(snap.emit_len(), |w| snap.emit(w)), &bytes[..5]);
            prop_assert_eq!(rest, &bytes[5..]);
        }
    }
}

// IPv4.

prop_compose! {
    fn ipv4_header()(
        (dscp, ecn, ident, ttl, protocol) in (0..64u8, 0..4u8, any::<u16>(), any::<u8>(), any::<u8>()),
        flags in any::<[bool; 3]>(),
        offset in 0..8192u16,
        checksum: u16,
        (src, dst) in (addr(), addr()),
        options in (0..=10usize).prop_flat_map(|words| vec(any::<u8>(), words * 4)),
        payload_len in 0..60_000u16,
    ) -> (ipv4::Header<'static>, Vec<u8>) {
        let [reserved_flag, dont_fragment, more_fragments] = flags;
        let header = ipv4::Header {
            dscp,
            ecn,
            total_len: payload_len + 20 + u16::try_from(options.len()).unwrap(),
            ident,
            reserved_flag,
            dont_fragment,
            more_fragments,
            fragment_offset: offset * 8,
            ttl,
            protocol: Protocol(protocol),
            checksum,
            src,
            dst,
            options: &[],
        };
        (header, options)
    }
}

fn agree_on_ipv4(bytes: &[u8]) -> Result<(), TestCaseError> {
    let ours = ipv4::Header::parse(bytes);
    let theirs = etherparse::Ipv4Header::from_slice(bytes);
    let Ok((ours, rest)) = ours else {
        // etherparse takes a header whose total length does not cover it; we call that invalid.
        let total_len = Err(ParseError::Invalid("IPv4 total length"));
        prop_assert!(theirs.is_err() || ours == total_len);
        return Ok(());
    };
    prop_assert!(theirs.is_ok());
    let (theirs, their_rest) = theirs.unwrap();
    let header_bytes = &bytes[..ours.header_len()];
    prop_assert_eq!(written(ours.emit_len(), |w| ours.emit(w)), header_bytes);
    prop_assert_eq!(rest, their_rest);
    prop_assert_eq!(
        (ours.dscp, ours.ecn, ours.total_len, ours.ident),
        (
            theirs.dscp.value(),
            theirs.ecn.value(),
            theirs.total_len,
            theirs.identification
        )
    );
    prop_assert_eq!(
        (
            ours.dont_fragment,
            ours.more_fragments,
            ours.fragment_offset
        ),
        (
            theirs.dont_fragment,
            theirs.more_fragments,
            theirs.fragment_offset.value() * 8
        )
    );
    prop_assert_eq!(
        (ours.ttl, ours.protocol.0, ours.checksum),
        (
            theirs.time_to_live,
            theirs.protocol.0,
            theirs.header_checksum
        )
    );
    prop_assert_eq!(
        (ours.src.octets(), ours.dst.octets(), ours.options),
        (theirs.source, theirs.destination, &theirs.options[..])
    );
    // etherparse forgets the reserved flag, so its checksum is right only without.
    if !ours.reserved_flag {
        prop_assert_eq!(ours.compute_checksum(), theirs.calc_header_checksum());
    }
    prop_assert_eq!(
        ipv4::verify(header_bytes),
        ours.compute_checksum() == ours.checksum
        // Both forms of zero are right.
        || ours.checksum == 0xffff && ours.compute_checksum() == 0
    );
    // smoltcp also demands that the whole packet be there, which we leave to the caller.
    let smol = smol::Ipv4Packet::new_checked(bytes);
    prop_assert_eq!(smol.is_ok(), bytes.len() >= usize::from(ours.total_len));
    if let Ok(smol) = smol {
        prop_assert_eq!(
            (ours.header_len(), ours.total_len, ours.payload_len()),
            (
                usize::from(smol.header_len()),
                smol.total_len(),
                smol.payload().len()
            )
        );
        prop_assert_eq!(
            (ours.dscp, ours.ecn, ours.ident, ours.ttl),
            (smol.dscp(), smol.ecn(), smol.ident(), smol.hop_limit())
        );
        prop_assert_eq!(
            (
                ours.dont_fragment,
                ours.more_fragments,
                ours.fragment_offset
            ),
            (smol.dont_frag(), smol.more_frags(), smol.frag_offset())
        );
        prop_assert_eq!(
            (ours.protocol.0, ours.checksum, ours.src, ours.dst),
            (
                u8::from(smol.next_header()),
                smol.checksum(),
                smol.src_addr(),
                smol.dst_addr()
            )
        );
        prop_assert_eq!(ipv4::verify(header_bytes), smol.verify_checksum());
    }
    Ok(())
}

/// Options in the form of their kinds, so that most of a list parses.
fn options_list() -> impl Strategy<Value = Vec<u8>> {
    let kinds =
        proptest::sample::select(&[0u8, 1, 7, 68, 82, 130, 131, 133, 136, 137, 148, 25][..]);
    vec((kinds, vec(any::<u8>(), 0..12), any::<u8>()), 0..5).prop_map(|items| {
        let mut out = Vec::new();
        for (kind, mut data, wrong) in items {
            match kind {
                136 | 148 => data.resize(2, 0),
                82 => data.resize(10, 0),
                _ => {}
            }
            out.push(kind);
            if kind > 1 {
                // One length in 32 is wrong.
                let len = u8::try_from(data.len() + 2).unwrap();
                out.push(if wrong < 8 { wrong } else { len });
                out.extend(data);
            }
        }
        out.resize(out.len().min(40).next_multiple_of(4), 0);
        out
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn ipv4_round_trip((header, options) in ipv4_header(), tail in vec(any::<u8>(), 0..8)) {
        let header = ipv4::Header { options: &options, ..header };
        let mut bytes = written(header.emit_len(), |w| header.emit(w));
        for len in 0..bytes.len() {
            let short = ipv4::Header::parse(&bytes[..len]);
            prop_assert!(matches!(short, Err(ParseError::Truncated(_))));
        }
        bytes.extend(&tail);
        prop_assert_eq!(ipv4::Header::parse(&bytes), Ok((header, &tail[..])));
        agree_on_ipv4(&bytes)?;
        let right = header.with_checksum();
        let bytes = written(right.emit_len(), |w| right.emit(w));
        prop_assert!(ipv4::verify(&bytes));
        agree_on_ipv4(&bytes)?;
    }

    #[test]
    fn ipv4_any_bytes(
        mut bytes in bytes_like(&[0x45, 0x45, 0x46, 0x4a, 0x4f, 0x44, 0x40], 100),
        short_len in any::<bool>(),
    ) {
        if short_len && bytes.len() > 2 {
            bytes[2] = 0;
        }
        agree_on_ipv4(&bytes)?;
    }

    #[test]
    fn ipv4_options_re_emit(options in prop_oneof![options_list(), vec(any::<u8>(), 0..=40)]) {
        let mut out = Vec::new();
        let mut list = ipv4::Options::new(&options);
        let mut whole = true;
        while let Some(item) = list.next() {
            let Ok(item) = item else {
                whole = false;
                prop_assert_eq!(list.next(), None);
                break;
            };
            prop_assert_eq!(item.offset, out.len());
            out.extend(written(item.option.emit_len(), |w| item.option.emit(w)));
            prop_assert_eq!(item.option.kind(), options[item.offset]);
        }
        if whole {
            // What is not re-emitted is padding behind an end of list.
            prop_assert_eq!(&out[..], &options[..out.len()]);
            prop_assert!(out.len() == options.len() || out.last() == Some(&0));
        }
        let mut copied = [0xff; ipv4::MAX_OPTIONS_LEN];
        let len = ipv4::copied_options(&options, &mut copied);
        prop_assert!(len.is_multiple_of(4) && len <= options.len().next_multiple_of(4));
        for item in ipv4::Options::new(&copied[..len]) {
            let kind = item.unwrap().option.kind();
            prop_assert!(ipv4::is_copied(kind) || kind == ipv4::kind::END_OF_LIST);
        }
    }

    #[test]
    fn ipv4_options_fill_in_place(
        options in prop_oneof![options_list(), vec(any::<u8>(), 0..=40)],
        ours in addr(), millis: u32, all_ours: bool,
    ) {
        let mut routed = options.clone();
        let route = ipv4::record_route(&mut routed, ours);
        let mut stamped = options.clone();
        let stamp = ipv4::stamp(&mut stamped, ours, |_| all_ours, millis);
        for (filled, after, room) in [(route, routed, 5), (stamp, stamped, 9)] {
            let changed = options.iter().zip(&after).filter(|(a, b)| a != b).count();
            match filled {
                ipv4::Fill::Filled => prop_assert!((1..=room).contains(&changed)),
                // Only a timestamp's overflow count may change.
                ipv4::Fill::Full => prop_assert!(changed <= 1),
                ipv4::Fill::Absent => prop_assert_eq!(changed, 0),
                ipv4::Fill::Invalid(at) => {
                    prop_assert_eq!(changed, 0);
                    prop_assert!(at < options.len());
                }
            }
        }
    }
}

// ICMPv4.

const ICMP_TYPES: &[u8] = &[
    0, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 30, 42, 43,
];

/// Compares the meaning with etherparse's. It takes an echo or timestamp with a stray code for
/// unknown, as it does codes it has no name for; we keep the type's meaning.
fn agree_on_icmpv4(
    header: icmpv4::Header,
    ours: &icmpv4::Message<'_>,
    theirs: &etherparse::Icmpv4Slice<'_>,
) -> Result<(), TestCaseError> {
    use etherparse::Icmpv4Type as T;
    use etherparse::icmpv4::{DestUnreachableHeader, ParameterProblemHeader};
    use icmpv4::Message as M;
    match (ours, theirs.icmp_type()) {
        (M::EchoRequest { ident, seq, data }, T::EchoRequest(echo))
        | (M::EchoReply { ident, seq, data }, T::EchoReply(echo)) => {
            prop_assert_eq!((*ident, *seq, *data), (echo.id, echo.seq, theirs.payload()));
        }
        (
            M::DestinationUnreachable {
                code,
                next_hop_mtu,
                quote,
                ..
            },
            T::DestinationUnreachable(theirs_code),
        ) => {
            prop_assert_eq!((code.0, *quote), (theirs_code.code_u8(), theirs.payload()));
            if let DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu } = theirs_code {
                prop_assert_eq!(*next_hop_mtu, mtu);
            }
        }
        (
            M::Redirect {
                code,
                gateway,
                quote,
            },
            T::Redirect(redirect),
        ) => {
            prop_assert_eq!(code.0, redirect.code.code_u8());
            prop_assert_eq!(gateway.octets(), redirect.gateway_internet_address);
            prop_assert_eq!(*quote, theirs.payload());
        }
        (M::TimeExceeded { code, quote, .. }, T::TimeExceeded(their_code)) => {
            prop_assert_eq!((code.0, *quote), (their_code.code_u8(), theirs.payload()));
        }
        (M::ParameterProblem { code, pointer, .. }, T::ParameterProblem(problem)) => {
            match problem {
                ParameterProblemHeader::PointerIndicatesError(at) => {
                    prop_assert_eq!((code.0, *pointer), (0, at));
                }
                ParameterProblemHeader::MissingRequiredOption => prop_assert_eq!(code.0, 1),
                ParameterProblemHeader::BadLength => prop_assert_eq!(code.0, 2),
            }
        }
        (M::TimestampRequest(t), T::TimestampRequest(their))
        | (M::TimestampReply(t), T::TimestampReply(their)) => {
            prop_assert_eq!((t.ident, t.seq), (their.id, their.seq));
            prop_assert_eq!(
                (t.originate, t.receive, t.transmit),
                (
                    their.originate_timestamp,
                    their.receive_timestamp,
                    their.transmit_timestamp
                )
            );
        }
        (
            _,
            T::Unknown {
                type_u8, code_u8, ..
            },
        ) => {
            prop_assert_eq!((header.kind, header.code), (type_u8, code_u8));
            let named = match type_u8 {
                0 | 8 | 13 | 14 => code_u8 == 0,
                3 => code_u8 < 16,
                5 => code_u8 < 4,
                11 => code_u8 < 2,
                12 => code_u8 < 3,
                _ => false,
            };
            prop_assert!(!named);
        }
        (ours, theirs) => prop_assert!(false, "{ours:?} is not {theirs:?}"),
    }
    Ok(())
}

/// Compares with smoltcp, which knows echoes with code 0, and unreachable and time exceeded where
/// the quote is a whole packet of ours with 8 bytes of payload.
fn agree_with_smoltcp_on_icmpv4(
    bytes: &[u8],
    ours: &icmpv4::Message<'_>,
) -> Result<(), TestCaseError> {
    use icmpv4::Message as M;
    let smol = smol::Icmpv4Packet::new_checked(bytes).unwrap();
    prop_assert_eq!(icmpv4::verify(bytes), smol.verify_checksum());
    match (ours, smol::Icmpv4Repr::parse(&smol, &smol_caps())) {
        (M::EchoRequest { ident, seq, data }, Ok(theirs)) => {
            let (ident, seq_no) = (*ident, *seq);
            prop_assert_eq!(
                theirs,
                smol::Icmpv4Repr::EchoRequest {
                    ident,
                    seq_no,
                    data
                }
            );
        }
        (M::EchoReply { ident, seq, data }, Ok(theirs)) => {
            let (ident, seq_no) = (*ident, *seq);
            prop_assert_eq!(
                theirs,
                smol::Icmpv4Repr::EchoReply {
                    ident,
                    seq_no,
                    data
                }
            );
        }
        (
            M::DestinationUnreachable { quote, .. } | M::TimeExceeded { quote, .. },
            Ok(
                smol::Icmpv4Repr::DstUnreachable { header, data, .. }
                | smol::Icmpv4Repr::TimeExceeded { header, data, .. },
            ),
        ) => {
            let (quoted, rest) = ipv4::Header::parse(quote).unwrap();
            prop_assert_eq!(
                (quoted.src, quoted.dst, rest),
                (header.src_addr, header.dst_addr, data)
            );
        }
        (M::EchoRequest { .. } | M::EchoReply { .. }, Err(_)) => prop_assert_ne!(bytes[1], 0),
        (_, theirs) => prop_assert!(theirs.is_err(), "{ours:?} is not {theirs:?}"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn icmpv4_any_bytes(
        mut bytes in bytes_like(ICMP_TYPES, 200),
        code in prop_oneof![Just(0), 0..16u8, any::<u8>()],
        quote in proptest::option::of((ipv4_header(), vec(any::<u8>(), 8..32))),
    ) {
        if bytes.len() > 1 {
            bytes[1] = code;
        }
        if let Some(((header, options), payload)) = quote && bytes.len() > 8 {
            // A quote as smoltcp wants it.
            let total_len = u16::try_from(20 + options.len() + payload.len()).unwrap();
            let header = ipv4::Header { options: &options, total_len, ..header };
            bytes.truncate(8);
            bytes.extend(written(header.emit_len(), |w| header.emit(w)));
            bytes.extend(payload);
        }
        let Ok((header, message)) = icmpv4::Message::parse(&bytes) else {
            let need = match bytes.first() {
                Some(13 | 14 | 30) => 20,
                Some(17 | 18) => 12,
                Some(kind) if ICMP_TYPES.contains(kind) => 8,
                _ => 4,
            };
            prop_assert!(bytes.len() < need);
            return Ok(());
        };
        let again = written(message.emit_len(), |w| {
            header.emit(w)?;
            message.emit_body(w)
        });
        prop_assert_eq!(&again, &bytes);
        // With the code its meaning has, it parses back to the same meaning.
        let checksum = message.compute_checksum();
        let emitted = written(message.emit_len(), |w| message.emit(w, checksum));
        prop_assert!(icmpv4::verify(&emitted));
        let (emitted_header, parsed) = icmpv4::Message::parse(&emitted).unwrap();
        prop_assert_eq!((emitted_header.kind, emitted_header.code), (message.kind(), message.code()));
        prop_assert_eq!((emitted_header.checksum, parsed), (checksum, message));
        prop_assert_eq!(message.routers().count() <= 255, true);
        let (quote, extensions) = message.quote_and_extensions();
        if let Some(extensions) = extensions {
            prop_assert_eq!(quote.len() + extensions.as_bytes().len(), bytes.len() - 8);
            let _ = (extensions.verify(), extensions.objects().count());
        }
        if bytes.len() >= 8 {
            // etherparse takes no bytes behind a timestamp.
            match etherparse::Icmpv4Slice::from_slice(&bytes) {
                Ok(theirs) => agree_on_icmpv4(header, &message, &theirs)?,
                Err(_) => prop_assert!(matches!(header.kind, 13 | 14) && bytes.len() != 20),
            }
            agree_with_smoltcp_on_icmpv4(&bytes, &message)?;
        }
    }

    #[test]
    fn icmpv4_extensions_round_trip(
        objects in vec((any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..24)), 1..4),
        quote_words in 0..64u8,
        flip in any::<proptest::sample::Index>(),
    ) {
        let objects: Vec<_> = objects
            .iter()
            .map(|(class, ctype, payload)| icmpv4::Object { class: *class, ctype: *ctype, payload })
            .collect();
        let len = 4 + objects.iter().map(|o| 4 + o.payload.len()).sum::<usize>();
        let structure = written(len, |w| icmpv4::Extensions::emit(&objects, w));
        let mut quote = vec![0x5a; usize::from(quote_words) * 4];
        quote.extend(&structure);
        let message = icmpv4::Message::DestinationUnreachable {
            code: icmpv4::UnreachableCode::PORT,
            unused: 0,
            length: quote_words,
            next_hop_mtu: 0,
            quote: &quote,
        };
        let (front, extensions) = message.quote_and_extensions();
        if quote_words == 0 {
            // No length, and the structure is not at 128: all of it is quote.
            prop_assert!(extensions.is_none() && front == quote);
        } else {
            let extensions = extensions.unwrap();
            prop_assert!(extensions.verify());
            prop_assert_eq!(front.len(), usize::from(quote_words) * 4);
            let parsed: Vec<_> = extensions.objects().map(Result::unwrap).collect();
            prop_assert_eq!(parsed, objects);
        }
        let mut broken = structure.clone();
        let at = flip.index(broken.len());
        broken[at] ^= 1;
        // The checksum catches one flipped bit wherever it is.
        prop_assert!(!icmpv4::Extensions::parse(&broken).unwrap().verify());
    }
}

// IGMP.

const IGMP_TYPES: &[u8] = &[0x11, 0x11, 0x12, 0x16, 0x17, 0x22, 0x22];

/// etherparse leaves the byte behind the type out of reports and leaves, and knows no version 1
/// query: it calls it a query with response time zero.
fn agree_on_igmp(bytes: &[u8], ours: &igmp::Message<'_>) -> Result<(), TestCaseError> {
    use etherparse::IgmpType as T;
    use igmp::Message as M;
    let Ok((theirs, rest)) = etherparse::IgmpHeader::from_slice(bytes) else {
        // It wants 8 bytes of types it does not know, too.
        let unknown = matches!(ours, M::Unknown { .. });
        prop_assert!(unknown && bytes.len() < 8);
        return Ok(());
    };
    match (ours, theirs.igmp_type) {
        (M::V1Query { group }, T::MembershipQuery(query)) => {
            prop_assert_eq!(
                (0, group.octets()),
                (query.max_response_time, query.group_address.octets)
            );
        }
        (M::V2Query { max_resp, group }, T::MembershipQuery(query)) => {
            prop_assert_eq!(
                (*max_resp, group.octets()),
                (query.max_response_time, query.group_address.octets)
            );
        }
        (M::V3Query(ours), T::MembershipQueryWithSources(query)) => {
            prop_assert_eq!(ours.max_resp_code, query.max_response_code.0);
            prop_assert_eq!(
                igmp::decode_float(ours.max_resp_code),
                query.max_response_code.as_10th_secs()
            );
            prop_assert_eq!(ours.group.octets(), query.group_address.octets);
            prop_assert_eq!(
                (ours.suppress, ours.qrv),
                (query.s_flag(), query.qrv().value())
            );
            prop_assert_eq!(ours.qqic, query.qqic);
            prop_assert_eq!(ours.sources.len(), usize::from(query.num_of_sources));
            prop_assert_eq!(ours.sources.0, &rest[..ours.sources.0.len()]);
        }
        (M::V1Report { group, .. }, T::MembershipReportV1(report)) => {
            prop_assert_eq!(group.octets(), report.group_address.octets);
        }
        (M::V2Report { group, .. }, T::MembershipReportV2(report)) => {
            prop_assert_eq!(group.octets(), report.group_address.octets);
        }
        (M::V2Leave { group, .. }, T::LeaveGroup(leave)) => {
            prop_assert_eq!(group.octets(), leave.group_address.octets);
        }
        (M::V3Report(ours), T::MembershipReportV3(report)) => {
            prop_assert_eq!(ours.num_records, report.num_of_records);
            prop_assert_eq!(ours.reserved2.to_be_bytes(), report.flags);
            let mut rest = rest;
            for record in ours.records() {
                let theirs = etherparse::igmp::ReportGroupRecordV3Slice::from_slice(rest);
                prop_assert_eq!(record.is_ok(), theirs.is_ok());
                let (Ok(record), Ok((theirs, after))) = (record, theirs) else {
                    break;
                };
                let len = rest.len() - after.len();
                prop_assert_eq!(record.emit_len(), len);
                prop_assert_eq!(written(len, |w| record.emit(w)), &rest[..len]);
                let header = theirs.header();
                prop_assert_eq!(record.record_type.0, header.record_type.0);
                prop_assert_eq!(record.group.octets(), header.multicast_address);
                prop_assert_eq!(record.sources.len(), usize::from(header.num_of_sources));
                rest = after;
            }
        }
        (M::Unknown { kind, code, .. }, T::Unknown(theirs)) => {
            prop_assert_eq!((*kind, *code), (theirs.igmp_type, theirs.raw_byte_1));
        }
        (ours, theirs) => prop_assert!(false, "{ours:?} is not {theirs:?}"),
    }
    Ok(())
}

/// smoltcp reads version 3 queries as older ones, no version 3 report, and demands a group address
/// or none.
fn agree_with_smoltcp_on_igmp(bytes: &[u8], ours: &igmp::Message<'_>) -> Result<(), TestCaseError> {
    use igmp::Message as M;
    use smol::{IgmpRepr as R, IgmpVersion as V};
    let Ok(packet) = smol::IgmpPacket::new_checked(bytes) else {
        return Ok(());
    };
    prop_assert_eq!(igmp::verify(bytes), packet.verify_checksum());
    let Ok(theirs) = R::parse(&packet) else {
        return Ok(());
    };
    let want = match *ours {
        M::V1Query { group: group_addr } => R::MembershipQuery {
            max_resp_time: smoltcp::time::Duration::ZERO,
            group_addr,
            version: V::Version1,
        },
        M::V2Query {
            max_resp,
            group: group_addr,
        } => R::MembershipQuery {
            max_resp_time: smoltcp::time::Duration::from_millis(
                100 * u64::from(igmp::decode_float(max_resp)),
            ),
            group_addr,
            version: V::Version2,
        },
        M::V1Report {
            group: group_addr, ..
        } => R::MembershipReport {
            group_addr,
            version: V::Version1,
        },
        M::V2Report {
            group: group_addr, ..
        } => R::MembershipReport {
            group_addr,
            version: V::Version2,
        },
        M::V2Leave {
            group: group_addr, ..
        } => R::LeaveGroup { group_addr },
        M::V3Query(_) => return Ok(()),
        _ => {
            prop_assert!(false, "{ours:?} is not {theirs:?}");
            return Ok(());
        }
    };
    prop_assert_eq!(theirs, want);
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn igmp_any_bytes(
        mut bytes in bytes_like(IGMP_TYPES, 80),
        count in 0..6u8,
        cut in prop_oneof![Just(8), Just(12), Just(80)],
        code in prop_oneof![Just(0), any::<u8>()],
        group in prop_oneof![Just([0; 4]), any::<[u8; 4]>().prop_map(|[_, b, c, d]| [239, b, c, d])],
    ) {
        bytes.truncate(cut);
        // Counts of sources and records, and lengths of auxiliary data, that can be met.
        for (at, byte) in bytes.iter_mut().enumerate() {
            let report = [6, 7, 9, 10, 11].contains(&at);
            match at {
                1 => *byte = code,
                4..8 if cut == 8 => *byte = group[at - 4],
                6 | 10 => *byte = 0,
                _ if report => *byte %= count + 1,
                _ => {}
            }
        }
        let Ok((checksum, message)) = igmp::Message::parse(&bytes) else {
            let query = bytes.first() == Some(&0x11);
            let sources = bytes.get(11).map_or(0, |n| usize::from(*n) * 4);
            prop_assert!(bytes.len() < 8 || query && bytes.len() != 8 && bytes.len() < 12 + sources);
            return Ok(());
        };
        let again = written(message.emit_len(), |w| message.emit(w, checksum));
        prop_assert_eq!(&again, &bytes);
        agree_on_igmp(&bytes, &message)?;
        agree_with_smoltcp_on_igmp(&bytes, &message)?;
        igmp::fill_checksum(&mut bytes);
        prop_assert!(igmp::verify(&bytes));
    }

    #[test]
    fn igmp_records_round_trip(
        record_type: u8, group in addr(),
        sources in vec(any::<[u8; 4]>(), 0..8), aux in vec(any::<[u8; 4]>(), 0..3),
    ) {
        let (sources, aux) = (sources.concat(), aux.concat());
        let record = igmp::Record {
            record_type: igmp::RecordType(record_type),
            group,
            sources: igmp::Sources(&sources),
            aux: &aux,
        };
        let body = written(record.emit_len(), |w| record.emit(w));
        let report = igmp::V3Report { reserved: 0, reserved2: 0, num_records: 1, body: &body };
        let parsed: Vec<_> = report.records().collect();
        prop_assert_eq!(parsed, [Ok(record)]);
        for len in 0..body.len() {
            let report = igmp::V3Report { body: &body[..len], ..report };
            prop_assert!(report.records().all(|record| record.is_err()));
        }
    }
}

// Captures.

/// The Ethernet frames of a classic pcap file; none of any other.
fn ethernet_frames(file: &[u8]) -> Vec<&[u8]> {
    let word = |at: usize| -> Option<u32> {
        let bytes = file.get(at..at + 4)?.try_into().ok()?;
        match file.first()? {
            0xd4 | 0x4d => Some(u32::from_le_bytes(bytes)),
            _ => Some(u32::from_be_bytes(bytes)),
        }
    };
    let mut frames = Vec::new();
    let classic = matches!(word(0), Some(0xa1b2_c3d4 | 0xa1b2_3c4d));
    if !classic || word(20) != Some(1) {
        return frames;
    }
    let mut at = 24;
    while let Some(len) = word(at + 8) {
        let len = usize::try_from(len).unwrap();
        let Some(frame) = file.get(at + 16..at + 16 + len) else {
            break;
        };
        frames.push(frame);
        at += 16 + len;
    }
    frames
}

/// Walks one frame, and says which formats re-emitted.
fn walk(mut ethertype: u16, mut bytes: &[u8]) -> Result<Vec<&'static str>, TestCaseError> {
    let mut seen = Vec::new();
    while EtherType(ethertype).is_vlan() {
        let Ok((tag, rest)) = vlan::Header::parse(bytes) else {
            return Ok(seen);
        };
        prop_assert_eq!(written(4, |w| tag.emit(w)), &bytes[..4]);
        (ethertype, bytes) = (tag.ethertype.0, rest);
        seen.push("vlan");
    }
    match ethertype {
        0..1536 => {
            if let Ok((header, rest)) = llc::Header::parse(bytes) {
                let len = bytes.len() - rest.len();
                prop_assert_eq!(written(len, |w| header.emit(w)), &bytes[..len]);
                seen.push("llc");
            }
        }
        0x0806 => {
            if let Ok((header, rest)) = arp::Header::parse(bytes) {
                let len = bytes.len() - rest.len();
                prop_assert_eq!(written(len, |w| header.emit(w)), &bytes[..len]);
                seen.push("arp");
            }
        }
        0x0800 => {
            agree_on_ipv4(bytes)?;
            if let Ok((header, rest)) = ipv4::Header::parse(bytes) {
                seen.push("ipv4");
                let whole = rest.get(..header.payload_len());
                if let Some(payload) = whole.filter(|_| !header.is_fragment()) {
                    seen.extend(walk_payload(&header, payload)?);
                }
            }
        }
        _ => {}
    }
    Ok(seen)
}

fn walk_payload(
    ip: &ipv4::Header<'_>,
    payload: &[u8],
) -> Result<Option<&'static str>, TestCaseError> {
    Ok(match ip.protocol {
        Protocol::ICMP => {
            let (header, message) = icmpv4::Message::parse(payload).unwrap();
            let again = written(message.emit_len(), |w| message.emit(w, header.checksum));
            prop_assert_eq!(&again, payload);
            let theirs = etherparse::Icmpv4Slice::from_slice(payload).unwrap();
            agree_on_icmpv4(header, &message, &theirs)?;
            agree_with_smoltcp_on_icmpv4(payload, &message)?;
            prop_assert_eq!(
                icmpv4::verify(payload),
                header.checksum == message.compute_checksum()
            );
            Some("icmpv4")
        }
        Protocol::IGMP => {
            let (checksum, message) = igmp::Message::parse(payload).unwrap();
            let again = written(message.emit_len(), |w| message.emit(w, checksum));
            prop_assert_eq!(&again, payload);
            agree_on_igmp(payload, &message)?;
            agree_with_smoltcp_on_igmp(payload, &message)?;
            Some("igmp")
        }
        Protocol::UDP => {
            let (header, rest) = udp::Header::parse(payload).unwrap();
            prop_assert_eq!(written(8, |w| header.emit(w)), &payload[..8]);
            if header.checksum != 0 && header.payload_len() == Some(rest.len()) {
                let (src, dst) = (ip.src.into(), ip.dst.into());
                let good = udp::verify(src, dst, payload);
                prop_assert_eq!(
                    good,
                    header.checksum_over(src, dst, rest) == header.checksum
                );
            }
            Some("udp")
        }
        _ => None,
    })
}

#[test]
fn captures_re_emit() {
    let folder = std::env::var_os("TAPLINE_SHARED").map_or_else(
        || std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        std::path::PathBuf::from,
    );
    let Ok(entries) = std::fs::read_dir(folder.join("pcaps")) else {
        eprintln!("captures_re_emit: no captures at {folder:?}, nothing checked");
        return;
    };
    let mut counts = std::collections::BTreeMap::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "pcap") {
            continue;
        }
        let file = std::fs::read(&path).unwrap();
        for (n, frame) in ethernet_frames(&file).into_iter().enumerate() {
            let Some((header, payload)) = frame.split_at_checked(14) else {
                continue;
            };
            let ethertype = u16::from_be_bytes([header[12], header[13]]);
            match walk(ethertype, payload) {
                Ok(seen) => seen
                    .into_iter()
                    .for_each(|s| *counts.entry(s).or_insert(0) += 1),
                Err(e) => panic!("{path:?}, frame {}: {e}", n + 1),
            }
        }
    }
    let seen: Vec<_> = counts.keys().copied().collect();
    let want = ["arp", "icmpv4", "igmp", "ipv4", "llc", "udp", "vlan"];
    assert_eq!(seen, want, "{counts:?}");
}
