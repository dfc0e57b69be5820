//! TCP, IPv6 and ICMPv6 formats against two other decoders, on bytes from a fixed seed.
//!
//! Three claims for each format: what parses re-emits its bytes; what is emitted parses to the
//! same; and where `etherparse` or `smoltcp` accepts the bytes too, all fields are equal. Where
//! they reject what we accept (or the other way round) the test says why.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this file is a test, its shared checks too"
)]

use etherparse as ep;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use smoltcp::wire as sm;
use stack::wire::seq::SeqNum;
use stack::wire::{ParseError, Protocol, Writer, icmpv6, ipv6, mld, ndp, tcp};
use std::net::{IpAddr, Ipv6Addr};

const SRC: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const DST: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// The same inputs in every run, and few enough for a debug build.
fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 400,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(6),
        ..ProptestConfig::default()
    }
}

fn emitted(len: usize, emit: impl Fn(&mut Writer<'_>) -> Result<(), ParseError>) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut w = Writer::new(&mut bytes);
    emit(&mut w).unwrap();
    assert_eq!(w.room(), 0, "emit_len promises more than emit writes");
    for short in 0..len {
        assert_eq!(
            emit(&mut Writer::new(&mut bytes[..short].to_vec())),
            Err(ParseError::NoRoom)
        );
    }
    bytes
}

/// Bytes whose first few come from `heads`, so that random input gets past the first checks.
fn headed(heads: Vec<Vec<u8>>, len: usize) -> impl Strategy<Value = Vec<u8>> {
    let random = prop::collection::vec(any::<u8>(), 0..len);
    (prop::sample::select(heads), random).prop_map(|(head, mut bytes)| {
        for (byte, fixed) in bytes.iter_mut().zip(head) {
            *byte = fixed;
        }
        bytes
    })
}

fn addr() -> impl Strategy<Value = Ipv6Addr> {
    any::<[u8; 16]>().prop_map(Ipv6Addr::from)
}

// TCP

/// Option lists of mostly well-formed options, cut to a multiple of 4.
fn tcp_options() -> impl Strategy<Value = Vec<u8>> {
    let data = |kind: u8, len: usize| {
        prop::collection::vec(any::<u8>(), len).prop_map(move |data| {
            let mut option = vec![kind, u8::try_from(data.len() + 2).unwrap()];
            option.extend(data);
            option
        })
    };
    let option = prop_oneof![
        Just(vec![0]),
        Just(vec![1]),
        Just(vec![254, 8, 0xf9, 0x89, 1, 2, 3, 4]),
        data(2, 2),
        data(3, 1),
        data(4, 0),
        data(5, 8),
        data(5, 32),
        data(8, 8),
        data(19, 16),
        data(28, 2),
        data(29, 14),
        data(34, 0),
        data(34, 8),
        (any::<u8>(), 0..20_usize).prop_flat_map(move |(kind, len)| data(kind.max(2), len)),
        prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(option, 0..6).prop_map(|options| {
        let mut bytes = options.concat();
        bytes.truncate(40);
        bytes.truncate(bytes.len() / 4 * 4);
        bytes
    })
}

fn tcp_segment() -> impl Strategy<Value = Vec<u8>> {
    (any::<[u8; 20]>(), tcp_options(), any::<[u8; 5]>()).prop_map(|(mut head, options, data)| {
        let words = u8::try_from(5 + options.len() / 4).unwrap();
        head[12] = words << 4 | head[12] & 0xf;
        [&head[..], &options, &data].concat()
    })
}

fn check_tcp(bytes: &[u8]) {
    let ours = tcp::Header::parse(bytes);
    let theirs = ep::TcpHeaderSlice::from_slice(bytes);
    assert_eq!(ours.is_ok(), theirs.is_ok());
    let smol = sm::TcpPacket::new_checked(bytes);
    assert_eq!(ours.is_ok(), smol.is_ok());
    let (Ok((h, data)), Ok(e), Ok(s)) = (ours, theirs, smol) else {
        return;
    };
    assert_eq!(emitted(h.emit_len(), |w| h.emit(w)), bytes[..h.emit_len()]);
    assert_eq!(data, &bytes[h.header_len()..]);
    let ports = (h.src_port, h.dst_port);
    assert_eq!(ports, (e.source_port(), e.destination_port()));
    assert_eq!(ports, (s.src_port(), s.dst_port()));
    assert_eq!(
        (h.seq.0, h.ack.0),
        (e.sequence_number(), e.acknowledgment_number())
    );
    assert_eq!(h.seq.0.cast_signed(), s.seq_number().0);
    assert_eq!(h.ack.0.cast_signed(), s.ack_number().0);
    use tcp::Flags as F;
    for (flag, theirs, smol) in [
        (F::FIN, e.fin(), s.fin()),
        (F::SYN, e.syn(), s.syn()),
        (F::RST, e.rst(), s.rst()),
        (F::PSH, e.psh(), s.psh()),
        (F::ACK, e.ack(), s.ack()),
        (F::URG, e.urg(), s.urg()),
        (F::ECE, e.ece(), s.ece()),
        (F::CWR, e.cwr(), s.cwr()),
        (F::AE, e.ns(), s.ns()),
    ] {
        assert_eq!(h.flags.contains(flag), theirs, "{flag}");
        assert_eq!(h.flags.contains(flag), smol, "{flag}");
    }
    let fields = (h.window, h.checksum, h.urgent);
    assert_eq!(fields, (e.window_size(), e.checksum(), e.urgent_pointer()));
    assert_eq!(fields, (s.window_len(), s.checksum(), s.urgent_at()));
    assert_eq!(h.options, e.options());
    let (src, dst) = (IpAddr::from(SRC), IpAddr::from(DST));
    // etherparse drops the reserved bits before it sums.
    if !h.flags.intersects(F::RESERVED) {
        let whole = e.to_header();
        let want = whole.calc_checksum_ipv6_raw(SRC.octets(), DST.octets(), data);
        assert_eq!(h.checksum_over(src, dst, data), want.unwrap());
    }
    let sound = s.verify_checksum(&SRC.into(), &DST.into());
    assert_eq!(tcp::verify(src, dst, bytes), sound);
    check_tcp_options(&h);
}

fn check_tcp_options(h: &tcp::Header<'_>) {
    let mut at = 0;
    for option in h.options() {
        let rest = &h.options[at..];
        let smol = sm::TcpOption::parse(rest);
        let Ok(option) = option else {
            assert!(smol.is_err(), "{rest:?}");
            return;
        };
        let len = option.emit_len();
        assert_eq!(emitted(len, |w| option.emit(w)), rest[..len]);
        at += len;
        check_tcp_option(
            option,
            smol,
            ep::TcpOptionsIterator::from_slice(rest).next(),
        );
    }
    assert!(at == h.options.len() || h.options[at - 1] == 0);
}

fn check_tcp_option(
    ours: tcp::TcpOption<'_>,
    smol: smoltcp::wire::Result<(&[u8], sm::TcpOption<'_>)>,
    theirs: Option<Result<ep::TcpOptionElement, ep::TcpOptionReadError>>,
) {
    use ep::TcpOptionElement as E;
    use sm::TcpOption as S;
    use tcp::TcpOption as T;
    let smol = smol.map(|(_, option)| option);
    let theirs = theirs.map(Result::ok);
    match ours {
        T::EndOfList => assert_eq!((smol, theirs), (Ok(S::EndOfList), None)),
        T::NoOperation => assert_eq!((smol, theirs), (Ok(S::NoOperation), Some(Some(E::Noop)))),
        T::MaximumSegmentSize(n) => {
            assert_eq!(smol, Ok(S::MaxSegmentSize(n)));
            assert_eq!(theirs, Some(Some(E::MaximumSegmentSize(n))));
        }
        T::WindowScale(n) => {
            assert_eq!(smol, Ok(S::WindowScale(n)));
            assert_eq!(theirs, Some(Some(E::WindowScale(n))));
        }
        T::SackPermitted => {
            assert_eq!(smol, Ok(S::SackPermitted));
            assert_eq!(theirs, Some(Some(E::SelectiveAcknowledgementPermitted)));
        }
        T::Timestamps { value, echo_reply } => {
            let want = S::TimeStamp {
                tsval: value,
                tsecr: echo_reply,
            };
            assert_eq!(smol, Ok(want));
            assert_eq!(theirs, Some(Some(E::Timestamp(value, echo_reply))));
        }
        T::Sack(blocks) => {
            let blocks: Vec<_> = blocks.iter().map(|(l, r)| (l.0, r.0)).collect();
            let block = |n| blocks.get(n).copied();
            // smoltcp forgets a fourth block.
            assert_eq!(smol, Ok(S::SackRange([block(0), block(1), block(2)])));
            let rest = [block(1), block(2), block(3)];
            assert_eq!(
                theirs,
                Some(Some(E::SelectiveAcknowledgement(blocks[0], rest)))
            );
        }
        // Both reject known kinds of a wrong length, which we step over; etherparse also each
        // kind it does not know. smoltcp takes a SACK option of five blocks and more.
        T::Unknown { kind, data } => {
            match smol {
                Ok(smol) => assert!(smol == S::Unknown { kind, data } || kind == 5),
                Err(_) => assert!(matches!(kind, 2..=5)),
            }
            assert_eq!(theirs, Some(None));
        }
        other => {
            assert!(matches!(smol, Ok(S::Unknown { kind, .. }) if kind == other.kind()));
            assert_eq!(theirs, Some(None));
        }
    }
}

// IPv6

fn check_ipv6(bytes: &[u8]) {
    let ours = ipv6::Header::parse(bytes);
    let theirs = ep::Ipv6HeaderSlice::from_slice(bytes);
    assert_eq!(ours.is_ok(), theirs.is_ok());
    let (Ok((h, _)), Ok(e)) = (ours, theirs) else {
        return;
    };
    assert_eq!(emitted(h.emit_len(), |w| h.emit(w)), bytes[..40]);
    assert_eq!((h.dscp, h.ecn), (e.dscp().value(), e.ecn().value()));
    assert_eq!(h.flow_label, e.flow_label().value());
    assert_eq!(h.payload_len, e.payload_length());
    assert_eq!(
        (h.next_header.0, h.hop_limit),
        (e.next_header().0, e.hop_limit())
    );
    assert_eq!((h.src, h.dst), (e.source_addr(), e.destination_addr()));
    // Unchecked, since smoltcp rejects a packet shorter than its length field says.
    let s = sm::Ipv6Packet::new_unchecked(bytes);
    assert_eq!((s.version(), s.traffic_class()), (6, h.dscp << 2 | h.ecn));
    assert_eq!(
        (s.flow_label(), s.payload_len()),
        (h.flow_label, h.payload_len)
    );
    assert_eq!(u8::from(s.next_header()), h.next_header.0);
    assert_eq!(
        (s.hop_limit(), s.src_addr(), s.dst_addr()),
        (h.hop_limit, h.src, h.dst)
    );
}

/// A chain of extension headers of random kinds; the last announces an upper layer.
fn chain_bytes() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let kinds = prop::sample::select(vec![0_u8, 43, 44, 51, 60, 60, 60, 135, 139, 140]);
    let header = (kinds, 0..4_u8, prop::collection::vec(any::<u8>(), 40));
    let headers = prop::collection::vec(header, 0..6);
    let upper = prop::sample::select(vec![6_u8, 17, 50, 58, 59, 0, 253]);
    let tail = prop::collection::vec(any::<u8>(), 0..24);
    (headers, upper, tail, any::<bool>()).prop_map(|(headers, upper, tail, whole)| {
        let kinds: Vec<u8> = headers.iter().map(|h| h.0).chain([upper]).collect();
        let mut bytes = Vec::new();
        for ((kind, units, mut data), next) in headers.into_iter().zip(&kinds[1..]) {
            data[0] = *next;
            data[1] = units;
            data.truncate(match kind {
                44 => 8,
                51 => usize::from(units) * 4 + 8,
                _ => usize::from(units) * 8 + 8,
            });
            if kind == 44 && whole {
                data[2] = 0;
                data[3] &= 7;
            }
            bytes.extend(data);
        }
        bytes.extend(tail);
        (kinds[0], bytes)
    })
}

fn check_chain(first: u8, bytes: &[u8]) {
    let mut emitted_bytes = Vec::new();
    let mut extensions = Vec::new();
    let mut upper = None;
    let mut chain = ipv6::chain(Protocol(first), bytes);
    for link in chain.by_ref() {
        match link {
            Ok(ipv6::Link::Extension { offset, extension }) => {
                assert_eq!(offset, emitted_bytes.len());
                let out = emitted(extension.emit_len(), |w| extension.emit(w));
                check_extension(&extension, &out);
                emitted_bytes.extend(out);
                extensions.push(extension);
            }
            Ok(ipv6::Link::Upper(end)) => upper = Some(end),
            Err(_) => {
                assert!(upper.is_none());
            }
        }
    }
    assert_eq!(emitted_bytes, bytes[..emitted_bytes.len()]);
    assert_eq!(ipv6::upper(Protocol(first), bytes).ok(), upper);

    // etherparse stops at mobility, HIP and Shim6 as at an upper layer, and reads on in later
    // fragments; it refuses hop-by-hop options after another header, and a second one of them.
    let plain = |e: &ipv6::Extension<'_>| match e {
        ipv6::Extension::Fragment(f) => f.offset == 0,
        ipv6::Extension::Mobility(_) | ipv6::Extension::Hip(_) | ipv6::Extension::Shim6(_) => false,
        _ => true,
    };
    let late_hop_by_hop = extensions
        .iter()
        .skip(1)
        .any(|e| matches!(e, ipv6::Extension::HopByHop(_)));
    let theirs = ep::Ipv6ExtensionsSlice::from_slice(ep::IpNumber(first), bytes);
    let foreign = matches!(chain.here().protocol.0, 0 | 135 | 139 | 140);
    if !extensions.iter().all(plain) || late_hop_by_hop || foreign {
        return;
    }
    assert_eq!(upper.is_some(), theirs.is_ok());
    let (Some(upper), Ok((slice, next, rest))) = (upper, theirs) else {
        return;
    };
    assert_eq!(upper.protocol.0, next.0);
    assert_eq!(upper.bytes, rest);
    assert_eq!(slice.clone().into_iter().count(), extensions.len());
    let fragmented = extensions
        .iter()
        .any(|e| matches!(e, ipv6::Extension::Fragment(f) if !f.is_atomic()));
    assert_eq!(slice.is_fragmenting_payload(), fragmented);
}

fn check_extension(extension: &ipv6::Extension<'_>, bytes: &[u8]) {
    use ipv6::Extension as X;
    match extension {
        X::Fragment(f) => {
            let e = ep::Ipv6FragmentHeaderSlice::from_slice(bytes).unwrap();
            assert_eq!(
                u32::from(f.offset),
                u32::from(e.fragment_offset().value()) * 8
            );
            assert_eq!((f.more, f.ident), (e.more_fragments(), e.identification()));
            let s = sm::Ipv6FragmentHeader::new_checked(&bytes[2..]).unwrap();
            assert_eq!(f.offset, s.frag_offset() * 8);
            assert_eq!((f.more, f.ident), (s.more_frags(), s.ident()));
        }
        X::Authentication(ah) => {
            let e = ep::IpAuthHeaderSlice::from_slice(bytes).unwrap();
            assert_eq!(
                (ah.spi, ah.seq, ah.icv),
                (e.spi(), e.sequence_number(), e.raw_icv())
            );
            let s = sm::IpSecAuthHeaderPacket::new_checked(bytes).unwrap();
            let theirs = (s.security_parameters_index(), s.sequence_number());
            assert_eq!((ah.spi, ah.seq), theirs);
            assert_eq!(ah.icv, s.integrity_check_value());
            assert_eq!(ah.next_header.0, u8::from(s.next_header()));
        }
        X::HopByHop(h) | X::DestinationOptions(h) => check_options(h),
        X::Routing(r) => {
            let s = sm::Ipv6RoutingHeader::new_unchecked(&bytes[2..]);
            assert_eq!(u8::from(s.routing_type()), r.routing_type);
            assert_eq!(s.segments_left(), r.segments_left);
            if let ipv6::Routing::HomeAddress { addr, .. } = r.routing() {
                assert_eq!(s.home_address(), addr);
            }
        }
        X::Mobility(_) | X::Hip(_) | X::Shim6(_) => {}
    }
    if !matches!(extension, X::Fragment(_) | X::Authentication(_)) {
        let e = ep::Ipv6RawExtHeaderSlice::from_slice(bytes).unwrap();
        assert_eq!(
            (e.slice(), e.next_header().0),
            (bytes, extension.next_header().0)
        );
        let s = sm::Ipv6ExtHeader::new_checked(bytes).unwrap();
        assert_eq!(s.payload(), &bytes[2..]);
        assert_eq!(u8::from(s.next_header()), extension.next_header().0);
    }
}

fn check_options(header: &ipv6::OptionsHeader<'_>) {
    let mut at = 0;
    for (offset, option) in header.options() {
        assert_eq!(offset, at + 2);
        let rest = &header.options[at..];
        let smol = sm::Ipv6Option::new_checked(rest);
        assert_eq!(option.is_ok(), smol.is_ok());
        let (Ok(option), Ok(smol)) = (option, smol) else {
            return;
        };
        let len = option.emit_len();
        assert_eq!(emitted(len, |w| option.emit(w)), rest[..len]);
        at += len;
        let kind = option.kind();
        assert_eq!(u8::from(smol.option_type()), kind.0);
        if option != ipv6::DestinationOption::Pad1 {
            assert_eq!(usize::from(smol.data_len()), len - 2);
        }
        use ipv6::UnrecognizedAction as U;
        use sm::Ipv6OptionFailureType as S;
        let action = match S::from(kind.0 & 0xc0) {
            S::Skip => U::Skip,
            S::Discard => U::Discard,
            S::DiscardSendAll => U::DiscardAndReport,
            S::DiscardSendUnicast => U::DiscardAndReportUnicast,
        };
        assert_eq!(kind.action(), action);
        if let ipv6::DestinationOption::RouterAlert(value) = option {
            let alert = sm::Ipv6OptionRepr::RouterAlert(value.into());
            assert_eq!(sm::Ipv6OptionRepr::parse(&smol), Ok(alert));
        }
    }
    assert_eq!(at, header.options.len());
}

// ICMPv6

fn check_icmpv6(bytes: &[u8]) {
    let ours = icmpv6::Message::parse(bytes);
    if let Ok((header, message)) = ours {
        let out = emitted(message.emit_len(), |w| {
            header.emit(w)?;
            message.emit_body(w)
        });
        assert_eq!(out, bytes);
        let sum = message.compute_checksum(SRC, DST);
        let out = emitted(message.emit_len(), |w| message.emit(w, sum));
        assert!(icmpv6::verify(SRC, DST, &out));
        assert_eq!(icmpv6::Message::parse(&out).map(|m| m.1), Ok(message));
        check_icmpv6_etherparse(message, &out);
        check_icmpv6_smoltcp(message, &out);
    }
    if let Ok(e) = ep::Icmpv6Slice::from_slice(bytes) {
        let sound = e.is_checksum_valid(SRC.octets(), DST.octets());
        assert_eq!(icmpv6::verify(SRC, DST, bytes), sound);
        // It demands no more than 8 bytes of any message.
        assert!(ours.is_ok() || matches!(e.type_u8(), 130..=132 | 134..=137));
    }
}

/// `bytes` has our code in it, which etherparse demands to be zero or known.
fn check_icmpv6_etherparse(message: icmpv6::Message<'_>, bytes: &[u8]) {
    use ep::Icmpv6Type as E;
    use icmpv6::Message as M;
    let Ok(e) = ep::Icmpv6Slice::from_slice(bytes) else {
        assert!(bytes.len() < 8);
        return;
    };
    assert!(e.is_checksum_valid(SRC.octets(), DST.octets()));
    assert_eq!((e.type_u8(), e.code_u8()), (message.kind(), message.code()));
    match (message, e.icmp_type()) {
        (M::DestinationUnreachable { code, .. }, E::DestinationUnreachable(theirs)) => {
            assert_eq!(code.0, theirs.code_u8());
        }
        (M::PacketTooBig { mtu: ours, .. }, E::PacketTooBig { mtu }) => assert_eq!(ours, mtu),
        (M::TimeExceeded { code, .. }, E::TimeExceeded(theirs)) => {
            assert_eq!(code.0, theirs.code_u8());
        }
        (M::ParameterProblem { code, pointer, .. }, E::ParameterProblem(theirs)) => {
            assert_eq!((code.0, pointer), (theirs.code.code_u8(), theirs.pointer));
        }
        (M::EchoRequest { ident, seq, data }, E::EchoRequest(theirs))
        | (M::EchoReply { ident, seq, data }, E::EchoReply(theirs)) => {
            assert_eq!((ident, seq), (theirs.id, theirs.seq));
            assert_eq!(data, e.payload());
        }
        (M::RouterAdvertisement(ours), E::RouterAdvertisement(theirs)) => {
            assert_eq!(ours.cur_hop_limit, theirs.cur_hop_limit);
            assert_eq!(ours.router_lifetime, theirs.router_lifetime);
            let flags = ours.flags;
            let managed = flags.contains(ndp::RouterFlags::MANAGED);
            assert_eq!(managed, theirs.managed_address_config);
            let other = flags.contains(ndp::RouterFlags::OTHER_CONFIG);
            assert_eq!(other, theirs.other_config);
        }
        (M::NeighborAdvertisement(ours), E::NeighborAdvertisement(theirs)) => {
            let flags = (ours.router, ours.solicited, ours.override_);
            assert_eq!(flags, (theirs.router, theirs.solicited, theirs.r#override));
        }
        (M::RouterSolicitation(_), E::RouterSolicitation)
        | (M::NeighborSolicitation(_), E::NeighborSolicitation)
        | (M::Redirect(_), E::Redirect) => {}
        // It knows no listener messages and takes errors of unknown codes as unknown.
        (M::Unknown { .. }, E::Unknown { .. }) => {}
        (
            M::MldQuery(_) | M::MldReport(_) | M::MldDone(_) | M::MldReportV2(_),
            E::Unknown { .. },
        ) => {}
        (
            _,
            E::Unknown {
                type_u8: 1,
                code_u8: 7..,
                ..
            },
        ) => {}
        (
            _,
            E::Unknown {
                type_u8: 2,
                code_u8: 1..,
                ..
            },
        ) => {}
        (
            _,
            E::Unknown {
                type_u8: 3,
                code_u8: 2..,
                ..
            },
        ) => {}
        (
            _,
            E::Unknown {
                type_u8: 4,
                code_u8: 3..,
                ..
            },
        ) => {}
        (ours, theirs) => panic!("{ours:?} is {theirs:?} to etherparse"),
    }
    check_ndp_options(message);
}

fn check_icmpv6_smoltcp(message: icmpv6::Message<'_>, bytes: &[u8]) {
    use icmpv6::Message as M;
    let Ok(s) = sm::Icmpv6Packet::new_checked(bytes) else {
        // It refuses types it does not know, version 1 reports, and queries of version 1.
        let v1 = matches!(message, M::MldQuery(q) if q.v2.is_none());
        let unknown = matches!(message, M::Unknown { .. } | M::MldReport(_) | M::MldDone(_));
        assert!(v1 || unknown, "{message:?}");
        return;
    };
    assert!(s.verify_checksum(&SRC, &DST));
    assert_eq!(
        (u8::from(s.msg_type()), s.msg_code()),
        (message.kind(), message.code())
    );
    match message {
        M::EchoRequest { ident, seq, data } | M::EchoReply { ident, seq, data } => {
            assert_eq!(
                (ident, seq, data),
                (s.echo_ident(), s.echo_seq_no(), s.payload())
            );
        }
        M::PacketTooBig { mtu, quote, .. } => {
            assert_eq!((mtu, quote), (s.pkt_too_big_mtu(), s.payload()));
        }
        M::ParameterProblem { pointer, quote, .. } => {
            assert_eq!((pointer, quote), (s.param_problem_ptr(), s.payload()));
        }
        M::DestinationUnreachable { quote, .. } | M::TimeExceeded { quote, .. } => {
            assert_eq!(quote, s.payload());
        }
        M::RouterSolicitation(m) => assert_eq!(m.options, s.payload()),
        M::RouterAdvertisement(m) => {
            assert_eq!(m.cur_hop_limit, s.current_hop_limit());
            assert_eq!(u64::from(m.router_lifetime), s.router_lifetime().secs());
            assert_eq!(
                u64::from(m.reachable_time),
                s.reachable_time().total_millis()
            );
            assert_eq!(u64::from(m.retrans_timer), s.retrans_time().total_millis());
            // It knows M and O.
            assert_eq!(m.flags.0 & 0xc0, s.router_flags().bits() & 0xc0);
            assert_eq!(m.options, s.payload());
        }
        M::NeighborSolicitation(m) => {
            assert_eq!((m.target, m.options), (s.target_addr(), s.payload()));
        }
        M::NeighborAdvertisement(m) => {
            assert_eq!((m.target, m.options), (s.target_addr(), s.payload()));
            let flags = s.neighbor_flags();
            assert_eq!(m.router, flags.contains(sm::NdiscNeighborFlags::ROUTER));
            assert_eq!(
                m.solicited,
                flags.contains(sm::NdiscNeighborFlags::SOLICITED)
            );
            assert_eq!(
                m.override_,
                flags.contains(sm::NdiscNeighborFlags::OVERRIDE)
            );
        }
        M::Redirect(m) => {
            let ours = (m.target, m.destination, m.options);
            assert_eq!(ours, (s.target_addr(), s.dest_addr(), s.payload()));
        }
        M::MldQuery(m) => {
            let v2 = m.v2.unwrap();
            assert_eq!(
                (m.max_response_code, m.group),
                (s.max_resp_code(), s.mcast_addr())
            );
            assert_eq!(
                (v2.suppress, v2.qrv, v2.qqic),
                (s.s_flag(), s.qrv(), s.qqic())
            );
            assert_eq!(v2.sources.len(), usize::from(s.num_srcs()));
        }
        M::MldReportV2(m) => {
            assert_eq!((m.count, m.records), (s.nr_mcast_addr_rcrds(), s.payload()));
            check_records(m);
        }
        M::MldReport(_) | M::MldDone(_) | M::Unknown { .. } => {}
    }
}

fn check_records(report: mld::ReportV2<'_>) {
    let mut rest = report.records;
    for record in report.records() {
        let Ok(record) = record else {
            return;
        };
        let s = sm::MldAddressRecord::new_checked(rest).unwrap();
        assert_eq!(
            (record.kind.0, record.group),
            (s.record_type().into(), s.mcast_addr())
        );
        assert_eq!(record.sources.len(), usize::from(s.num_srcs()));
        assert_eq!(record.aux.len(), usize::from(s.aux_data_len()) * 4);
        let out = emitted(record.emit_len(), |w| record.emit(w));
        assert_eq!(out, rest[..out.len()]);
        rest = &rest[out.len()..];
    }
}

fn check_ndp_options(message: icmpv6::Message<'_>) {
    use icmpv6::Message as M;
    let mut rest = match message {
        M::RouterSolicitation(m) => m.options,
        M::RouterAdvertisement(m) => m.options,
        M::NeighborSolicitation(m) => m.options,
        M::NeighborAdvertisement(m) => m.options,
        M::Redirect(m) => m.options,
        _ => &[],
    };
    for option in message.ndp_options() {
        let smol = sm::NdiscOption::new_checked(rest);
        let theirs = ep::icmpv6::NdpOptionsIterator::from_slice(rest).next();
        let Ok(option) = option else {
            // smoltcp sees a zero length only when it uses the option.
            assert!(smol.is_err() || rest[1] == 0, "{rest:?}");
            assert!(matches!(theirs, Some(Err(_))), "{rest:?}");
            return;
        };
        let out = emitted(option.emit_len(), |w| option.emit(w));
        assert_eq!(out, rest[..out.len()]);
        let theirs = theirs.unwrap().ok();
        check_ndp_option(option, theirs, smol.ok(), &out);
        rest = &rest[out.len()..];
    }
}

fn check_ndp_option(
    ours: ndp::NdpOption<'_>,
    theirs: Option<ep::icmpv6::NdpOptionSlice<'_>>,
    smol: Option<sm::NdiscOption<&[u8]>>,
    bytes: &[u8],
) {
    use ep::icmpv6::NdpOptionSlice as E;
    use ndp::NdpOption as N;
    if let Some(smol) = &smol {
        assert_eq!(u8::from(smol.option_type()), ours.kind());
        assert_eq!(usize::from(smol.data_len()) * 8, bytes.len());
    }
    if let Some(theirs) = &theirs {
        assert_eq!(
            (theirs.option_type().0, theirs.as_bytes()),
            (ours.kind(), bytes)
        );
    }
    match (ours, theirs) {
        (N::SourceLinkLayerAddress(addr), Some(E::SourceLinkLayerAddress(e))) => {
            assert_eq!(addr, e.link_layer_address());
        }
        (N::TargetLinkLayerAddress(addr), Some(E::TargetLinkLayerAddress(e))) => {
            assert_eq!(addr, e.link_layer_address());
        }
        (N::PrefixInformation(p), Some(E::PrefixInformation(e))) => {
            let e = e.prefix_information();
            assert_eq!((p.prefix_len, p.on_link), (e.prefix_length, e.on_link));
            assert_eq!(p.autonomous, e.autonomous_address_configuration);
            assert_eq!(p.valid_lifetime, e.valid_lifetime);
            assert_eq!(p.preferred_lifetime, e.preferred_lifetime);
            assert_eq!(p.prefix.octets(), e.prefix);
            let s = smol.unwrap();
            assert_eq!((p.prefix_len, p.prefix), (s.prefix_len(), s.prefix()));
            assert_eq!(u64::from(p.valid_lifetime), s.valid_lifetime().secs());
        }
        (N::RedirectedHeader { packet, .. }, Some(E::RedirectedHeader(e))) => {
            assert_eq!(packet, e.redirected_packet());
        }
        (N::Mtu { mtu, .. }, Some(E::Mtu(e))) => {
            assert_eq!(mtu, e.mtu());
            assert_eq!(mtu, smol.unwrap().mtu());
        }
        // It refuses the prefix and MTU options of a wrong length that we step over.
        (N::Unknown { kind, .. }, None) => assert!(matches!(kind, 3 | 5), "type {kind}"),
        (_, Some(E::Unknown(e))) => assert_eq!(e.data(), &bytes[2..]),
        (ours, theirs) => panic!("{ours:?} is {theirs:?} to etherparse"),
    }
}

fn ndp_option_bytes() -> impl Strategy<Value = Vec<u8>> {
    let kinds = vec![
        1_u8, 2, 3, 4, 5, 7, 8, 14, 24, 25, 26, 31, 33, 34, 37, 38, 200,
    ];
    let natural = |kind: u8| match kind {
        3 => 4,
        25 | 24 => 3,
        31 | 38 => 2,
        4 => 6,
        _ => 1,
    };
    (
        prop::sample::select(kinds),
        0..8_u8,
        prop::collection::vec(any::<u8>(), 56),
    )
        .prop_map(move |(kind, units, mut data)| {
            // Mostly the length that belongs to the type.
            let units = if units < 6 { natural(kind) } else { units - 6 };
            data[0] = kind;
            data[1] = units;
            data.truncate((usize::from(units) * 8).max(8));
            data
        })
}

fn icmpv6_bytes() -> impl Strategy<Value = Vec<u8>> {
    let kinds = vec![
        1_u8, 2, 3, 4, 128, 129, 133, 134, 135, 136, 137, 139, 143, 200,
    ];
    let fixed = prop::collection::vec(any::<u8>(), 36);
    let options = prop::collection::vec(ndp_option_bytes(), 0..4);
    (prop::sample::select(kinds), 0..9_u8, fixed, options).prop_map(
        |(kind, code, mut fixed, options)| {
            fixed.truncate(match kind {
                134 => 12,
                135 | 136 => 20,
                137 => 36,
                _ => 4,
            });
            [&[kind, code, 0, 0][..], &fixed, &options.concat()].concat()
        },
    )
}

/// Listener messages whose counts fit.
fn mld_bytes() -> impl Strategy<Value = Vec<u8>> {
    let record = (any::<[u8; 20]>(), 0..3_u8, 0..3_u8).prop_map(|(mut head, aux, sources)| {
        head[1] = aux;
        head[2] = 0;
        head[3] = sources;
        let rest = usize::from(aux) * 4 + usize::from(sources) * 16;
        [&head[..], &vec![7; rest]].concat()
    });
    let records = prop::collection::vec(record, 0..4);
    let report = (records, 0..5_u8, any::<[u8; 3]>()).prop_map(|(records, count, head)| {
        let [a, b, code] = head;
        [&[143, code, 1, 2, a, b, 0, count][..], &records.concat()].concat()
    });
    let query = (any::<[u8; 24]>(), 0..3_u8, 0..60_usize).prop_map(|(mut body, count, rest)| {
        body[22] = 0;
        body[23] = count;
        [&[130, 0, 1, 2][..], &body, &vec![9; rest]].concat()
    });
    let v1 = (130..133_u8, any::<[u8; 20]>(), 0..6_usize)
        .prop_map(|(kind, body, rest)| [&[kind, 0, 1, 2][..], &body, &vec![9; rest]].concat());
    prop_oneof![report, query, v1]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn tcp_segments(bytes in tcp_segment()) {
        for len in 0..=bytes.len() {
            check_tcp(&bytes[..len]);
        }
    }

    #[test]
    fn tcp_garbage(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        check_tcp(&bytes);
        let _ = tcp::Options::new(&bytes).count();
    }

    #[test]
    fn tcp_headers(
        ports in any::<(u16, u16)>(),
        numbers in any::<(u32, u32)>(),
        words in any::<(u16, u16, u16, u16)>(),
        options in tcp_options(),
    ) {
        let header = tcp::Header {
            src_port: ports.0,
            dst_port: ports.1,
            seq: SeqNum(numbers.0),
            ack: SeqNum(numbers.1),
            flags: tcp::Flags::from_bits(words.0),
            window: words.1,
            checksum: words.2,
            urgent: words.3,
            options: &options,
        };
        let bytes = emitted(header.emit_len(), |w| header.emit(w));
        prop_assert_eq!(tcp::Header::parse(&bytes), Ok((header, &[][..])));
    }

    #[test]
    fn sequence_numbers(a in any::<u32>(), b in prop_oneof![any::<u32>(), 0..3_u32]) {
        let (ours, theirs) = (SeqNum(a), sm::TcpSeqNumber(a.cast_signed()));
        let step = sm::TcpSeqNumber(a.wrapping_add(b).cast_signed());
        // At half the circle smoltcp's order takes a side, ours none.
        if b != 1 << 31 {
            prop_assert_eq!((ours + b).after(ours), step > theirs);
            prop_assert_eq!((ours + b).at_or_before(ours), step <= theirs);
        }
        prop_assert_eq!((ours + b).since(ours), b);
        prop_assert_eq!((ours + b) - ours, b.cast_signed());
        prop_assert_eq!(ours + b - b, ours);
        prop_assert_eq!(ours.within(ours, ours + b), b != 0);
    }

    #[test]
    fn ipv6_fixed(bytes in headed(vec![vec![0x60], vec![0x6f], vec![0x45], vec![]], 60)) {
        check_ipv6(&bytes);
    }

    #[test]
    fn ipv6_headers(
        dscp in 0..64_u8,
        ecn in 0..4_u8,
        flow_label in 0..1_u32 << 20,
        rest in any::<(u16, u8, u8)>(),
        src in addr(),
        dst in addr(),
    ) {
        let header = ipv6::Header {
            dscp,
            ecn,
            flow_label,
            payload_len: rest.0,
            next_header: Protocol(rest.1),
            hop_limit: rest.2,
            src,
            dst,
        };
        let bytes = emitted(header.emit_len(), |w| header.emit(w));
        prop_assert_eq!(ipv6::Header::parse(&bytes), Ok((header, &[][..])));
        check_ipv6(&bytes);
    }

    #[test]
    fn ipv6_chains((first, bytes) in chain_bytes()) {
        for len in 0..=bytes.len() {
            check_chain(first, &bytes[..len]);
        }
    }

    #[test]
    fn ipv6_chain_garbage(
        first in prop::sample::select(vec![0_u8, 43, 44, 51, 60, 135, 6]),
        bytes in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..200),
    ) {
        check_chain(first, &bytes);
    }

    #[test]
    fn esp_headers(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
        let ours = ipv6::SecurityPayload::parse(&bytes);
        let smol = sm::IpSecEspPacket::new_checked(&bytes);
        prop_assert_eq!(ours.is_ok(), smol.is_ok());
        if let (Ok((h, _)), Ok(s)) = (ours, smol) {
            prop_assert_eq!(h.spi, s.security_parameters_index());
            prop_assert_eq!(h.seq, s.sequence_number());
            prop_assert_eq!(emitted(h.emit_len(), |w| h.emit(w)), &bytes[..8]);
        }
    }

    #[test]
    fn icmpv6_messages(bytes in prop_oneof![icmpv6_bytes(), mld_bytes()]) {
        for len in 0..=bytes.len() {
            check_icmpv6(&bytes[..len]);
        }
    }

    #[test]
    fn icmpv6_garbage(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        check_icmpv6(&bytes);
        let _ = ndp::options(&bytes).count();
        for name in ndp::DomainNames::new(&bytes).flatten() {
            prop_assert!(name.to_string().len() <= 4 * bytes.len());
        }
    }

    #[test]
    fn domain_names(labels in prop::collection::vec("[a-z0-9-]{1,12}", 1..8)) {
        let mut wire = Vec::new();
        for label in &labels {
            wire.push(u8::try_from(label.len()).unwrap());
            wire.extend(label.as_bytes());
        }
        wire.extend([0, 0, 0]);
        let names: Vec<_> = ndp::DomainNames::new(&wire).map(|n| n.unwrap().to_string()).collect();
        prop_assert_eq!(names, [labels.join(".")]);
    }
}
