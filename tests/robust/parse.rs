//! Every parser on any bytes: no panic, and what was understood is written back and read again the
//! same.

use stack::wire::{
    Protocol, Writer, arp, checksum, ethernet, icmpv4, icmpv6, igmp, ipv4, ipv6, llc, mld, ndp,
    tcp, udp, vlan,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Parses, emits, parses again.
macro_rules! round {
    ($($what:ty),+ ; $bytes:expr) => {$(
        if let Ok((header, _)) = <$what>::parse($bytes) {
            let mut out = vec![0; header.emit_len()];
            if header.emit(&mut Writer::new(&mut out)).is_ok() {
                let again = <$what>::parse(&out).expect("what was emitted parses");
                assert_eq!(again.0, header, "{} from {:02x?}", stringify!($what), $bytes);
            }
        }
    )+};
}

/// The same for messages, whose checksum is an argument.
macro_rules! round_message {
    ($what:ty, $bytes:expr) => {
        if let Ok((_, message)) = <$what>::parse($bytes) {
            let mut out = vec![0; message.emit_len()];
            if message.emit(&mut Writer::new(&mut out), 0).is_ok() {
                let again = <$what>::parse(&out).expect("what was emitted parses");
                assert_eq!(
                    again.1,
                    message,
                    "{} from {:02x?}",
                    stringify!($what),
                    $bytes
                );
            }
        }
    };
}

/// All of the parsers, at several offsets of the bytes.
pub(crate) fn every_parser(bytes: &[u8]) {
    for at in [0, 1, 14, 18, 34, 54] {
        let Some(rest) = bytes.get(at..) else { return };
        headers(rest);
        lists(rest);
    }
}

fn headers(bytes: &[u8]) {
    round!(
        ethernet::Header, vlan::Header, llc::Header, llc::Snap, arp::Header<'_>, ipv4::Header<'_>,
        ipv6::Header, udp::Header, tcp::Header<'_>; bytes
    );
    round!(
        ipv6::GenericHeader<'_>, ipv6::OptionsHeader<'_>, ipv6::RoutingHeader<'_>, ipv6::Fragment,
        ipv6::AuthenticationHeader<'_>, ipv6::SecurityPayload; bytes
    );
    round_message!(icmpv4::Message<'_>, bytes);
    round_message!(icmpv6::Message<'_>, bytes);
    round_message!(igmp::Message<'_>, bytes);
    let _ = (
        arp::Packet::parse(bytes),
        icmpv4::Header::parse(bytes),
        icmpv6::Header::parse(bytes),
    );
    let (v4, v6) = (
        IpAddr::V4(Ipv4Addr::BROADCAST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    );
    for addr in [v4, v6] {
        let _ = (
            udp::verify(addr, addr, bytes),
            tcp::verify(addr, addr, bytes),
        );
    }
    let _ = (
        ipv4::verify(bytes),
        igmp::verify(bytes),
        icmpv4::verify(bytes),
        checksum::of(bytes),
    );
}

fn lists(bytes: &[u8]) {
    if let Ok((header, _)) = ipv4::Header::parse(bytes) {
        header.options().for_each(drop);
        let mut kept = [0; ipv4::MAX_OPTIONS_LEN];
        let n = ipv4::copied_options(header.options, &mut kept);
        assert!(n <= header.options.len() && n.is_multiple_of(4));
        // Whatever a router writes into options, they stay as long and the rest stays readable.
        let mut options = header.options.to_vec();
        let _ = ipv4::record_route(&mut options, Ipv4Addr::LOCALHOST);
        let _ = ipv4::stamp(&mut options, Ipv4Addr::LOCALHOST, |_| true, 7);
    }
    if let Ok((header, _)) = tcp::Header::parse(bytes) {
        header.options().for_each(drop);
        for option in header.options().flatten() {
            let mut out = [0; 64];
            let _ = option.emit(&mut Writer::new(&mut out));
        }
    }
    if let Ok((_, message)) = icmpv4::Message::parse(bytes) {
        message.routers().for_each(drop);
        if let (_, Some(extensions)) = message.quote_and_extensions() {
            let _ = extensions.verify();
            for object in extensions.objects().flatten() {
                object.mpls_labels().for_each(drop);
            }
        }
    }
    if let Ok((_, igmp::Message::V3Report(report))) = igmp::Message::parse(bytes) {
        report.records().for_each(drop);
    }
    for protocol in [
        Protocol::HOP_BY_HOP,
        Protocol::ROUTING,
        Protocol::FRAGMENT,
        Protocol::AH,
    ] {
        // An endless walk would be a hang: the chain is bounded.
        assert!(ipv6::chain(protocol, bytes).count() <= ipv6::MAX_EXTENSION_HEADERS + 2);
        let _ = ipv6::upper(protocol, bytes);
    }
    for option in ndp::options(bytes).flatten() {
        let mut out = vec![0; option.emit_len()];
        let _ = option.emit(&mut Writer::new(&mut out));
        let _ = (
            option.mac(),
            option.preference(),
            option.route_prefix(),
            option.uri(),
        );
    }
    for name in ndp::DomainNames::new(bytes).flatten() {
        name.labels().for_each(drop);
    }
    if let Ok(report) = mld::ReportV2::parse(bytes) {
        report.records().for_each(drop);
    }
    if let Ok(query) = mld::Query::parse(bytes) {
        let _ = query.max_response_delay();
    }
}
