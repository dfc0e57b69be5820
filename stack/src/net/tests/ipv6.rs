//! Tables of packets that are refused, and packets made, cut and put together.

use super::*;
use crate::net::icmp::{self, Error};
use crate::wire::checksum::Sum;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

const A: &str = "2001:db8::1";
const B: &str = "2001:db8::2";

fn addr(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// A packet of these bytes behind the fixed header.
fn packet(src: &str, dst: &str, next: Protocol, rest: &[u8]) -> Frame {
    let mut bytes = vec![0; HEADER_LEN];
    let header = Header {
        dscp: 0,
        ecn: 0,
        flow_label: 0,
        payload_len: rest.len() as u16,
        next_header: next,
        hop_limit: 9,
        src: addr(src),
        dst: addr(dst),
    };
    header.emit(&mut Writer::new(&mut bytes)).unwrap();
    bytes.extend(rest);
    Frame::copy_from(&bytes)
}

#[test]
fn addresses_that_may_not_be_on_a_wire() {
    use DropReason::{Ipv6MartianDestination as Dst, Ipv6MartianSource as Src};
    for (src, dst, want) in [
        (A, B, None),
        (A, "ff02::1", None),
        ("::", "ff02::1", None),
        ("fe80::1", "fe80::2", None),
        ("::", B, Some(Src)),
        ("::1", B, Some(Src)),
        ("ff02::1", B, Some(Src)),
        ("::ffff:10.0.0.1", B, Some(Src)),
        (A, "::", Some(Dst)),
        (A, "::1", Some(Dst)),
        (A, "::ffff:10.0.0.1", Some(Dst)),
        (A, "ff00::1", Some(Dst)),
        (A, "ff01::1", Some(Dst)),
    ] {
        let got = accept(&mut packet(src, dst, Protocol::UDP, &[0; 8])).err();
        assert_eq!(got, want, "{src} {dst}");
    }
}

#[test]
fn lengths() {
    let whole = packet(A, B, Protocol::UDP, &[7; 20]).to_bytes();
    for len in 0..whole.len() {
        let mut cut = Frame::copy_from(&whole[..len]);
        assert_eq!(accept(&mut cut), Err(DropReason::Ipv6Malformed), "{len}");
    }
    let mut padded = Frame::copy_from(&[&whole[..], &[0; 6]].concat());
    let header = accept(&mut padded).unwrap();
    assert_eq!((padded.len(), header.ttl), (whole.len(), 9));
    let mut four = Frame::copy_from(&[&[0x45], &whole[1..]].concat());
    assert_eq!(accept(&mut four), Err(DropReason::Ipv6Malformed));
}

/// Why not, and the code and pointer that say so.
type Refused = (DropReason, Option<(u8, u32)>);

/// What the walk says of a packet: where it ends and with which protocol, or why not.
fn walked(next: u8, rest: &[u8], dst: &str) -> Result<(u8, usize), Refused> {
    let mut packet = packet(A, dst, Protocol(next), rest);
    let mut header = accept(&mut packet).unwrap();
    match walk(&mut packet, &mut header) {
        Ok(_) => Ok((header.protocol.0, header.header_len)),
        Err(refusal) => {
            let problem = refusal.problem.map(|(code, at)| (code.0, at));
            Err((refusal.reason, problem))
        }
    }
}

#[test]
fn extension_headers_do_what_they_ask() {
    use DropReason::{
        FragmentMalformed, FragmentTiny, Ipv6BadOption, Ipv6HeaderChain, Ipv6Malformed,
        Ipv6NoNextHeader, Ipv6RoutingHeader, Ipv6TooManyHeaders,
    };
    const HOP: u8 = 0;
    const DST: u8 = 60;
    const ROUTE: u8 = 43;
    const PIECE: u8 = 44;
    const UDP: u8 = 17;
    let options = |next: u8, list: [u8; 6]| {
        let [a, b, c, d, e, f] = list;
        [next, 0, a, b, c, d, e, f]
    };
    let pad = [1, 4, 0, 0, 0, 0];
    let two = |a: [u8; 8], b: [u8; 8]| [a, b, [9; 8]].concat();
    // Option types of the four actions, none of them known.
    let kinds = [0x1e, 0x5e, 0x9e, 0xde].map(|kind| [kind, 4, 0, 0, 0, 0]);
    let bad = |at| Err((Ipv6BadOption, Some((2, at))));
    for (next, rest, dst, want) in [
        (UDP, vec![0; 8], B, Ok((UDP, 40))),
        (
            HOP,
            two(options(DST, pad), options(UDP, pad)),
            B,
            Ok((UDP, 56)),
        ),
        (
            DST,
            two(options(DST, pad), options(UDP, pad)),
            B,
            Ok((UDP, 56)),
        ),
        // Hop-by-hop options behind anything else.
        (
            DST,
            two(options(HOP, pad), options(UDP, pad)),
            B,
            Err((Ipv6HeaderChain, Some((1, 40)))),
        ),
        (
            HOP,
            two(options(HOP, pad), options(UDP, pad)),
            B,
            Err((Ipv6HeaderChain, Some((1, 40)))),
        ),
        // Actions, to one host and to a group.
        (DST, two(options(UDP, kinds[0]), [0; 8]), B, Ok((UDP, 48))),
        (
            DST,
            two(options(UDP, kinds[1]), [0; 8]),
            B,
            Err((Ipv6BadOption, None)),
        ),
        (DST, two(options(UDP, kinds[2]), [0; 8]), B, bad(42)),
        (HOP, two(options(UDP, kinds[3]), [0; 8]), B, bad(42)),
        (DST, two(options(UDP, kinds[2]), [0; 8]), "ff02::1", bad(42)),
        (
            DST,
            two(options(UDP, kinds[3]), [0; 8]),
            "ff02::1",
            Err((Ipv6BadOption, None)),
        ),
        // The second of them, behind one byte of padding.
        (
            DST,
            two(options(DST, pad), options(UDP, [0, 0x9e, 3, 0, 0, 0])),
            B,
            bad(51),
        ),
        // A jumbogram's, which we take for none; router alert.
        (
            HOP,
            two(options(UDP, [0xc2, 4, 0, 1, 0, 0]), [0; 8]),
            B,
            bad(42),
        ),
        (
            HOP,
            two(options(UDP, [5, 2, 0, 0, 1, 0]), [0; 8]),
            B,
            Ok((UDP, 48)),
        ),
        // Longer than its header.
        (
            DST,
            two(options(UDP, [0x1e, 5, 0, 0, 0, 0]), [0; 8]),
            B,
            Err((Ipv6BadOption, Some((0, 42)))),
        ),
        // A header longer than the packet.
        (
            DST,
            vec![UDP, 9, 1, 4, 0, 0, 0, 0],
            B,
            Err((Ipv6Malformed, None)),
        ),
        (DST, vec![UDP], B, Err((Ipv6Malformed, None))),
        // Routing: of any type nothing may be left to do.
        (
            ROUTE,
            two([UDP, 0, 0, 0, 0, 0, 0, 0], [0; 8]),
            B,
            Ok((UDP, 48)),
        ),
        (
            ROUTE,
            two([UDP, 0, 0, 1, 0, 0, 0, 0], [0; 8]),
            B,
            Err((Ipv6RoutingHeader, Some((0, 42)))),
        ),
        (
            ROUTE,
            two([UDP, 0, 77, 2, 0, 0, 0, 0], [0; 8]),
            B,
            Err((Ipv6RoutingHeader, Some((0, 42)))),
        ),
        // Fragments: one that is whole, the first of several, and malformed ones.
        (
            PIECE,
            two([UDP, 0, 0, 0, 0, 0, 0, 7], [0; 8]),
            B,
            Ok((UDP, 48)),
        ),
        (
            PIECE,
            two([UDP, 0, 0, 1, 0, 0, 0, 7], [0; 8]),
            B,
            Ok((UDP, 48)),
        ),
        (
            PIECE,
            vec![UDP, 0, 0, 1, 0, 0, 0, 7, 1, 2],
            B,
            Err((FragmentMalformed, Some((0, 4)))),
        ),
        (
            PIECE,
            two([UDP, 0, 0xff, 0xf8, 0, 0, 0, 7], [0; 8]),
            B,
            Err((FragmentMalformed, Some((0, 42)))),
        ),
        // One of TCP without all of its header, and one without the end of its options.
        (
            PIECE,
            two([6, 0, 0, 1, 0, 0, 0, 7], [0; 8]),
            B,
            Err((FragmentTiny, Some((3, 0)))),
        ),
        (
            PIECE,
            two([DST, 0, 0, 1, 0, 0, 0, 7], [UDP, 9, 0, 0, 0, 0, 0, 0]),
            B,
            Err((FragmentTiny, Some((3, 0)))),
        ),
        (59, vec![1, 2, 3], B, Err((Ipv6NoNextHeader, None))),
        // What is no extension header, or one that we do not know, is the upper layer.
        (51, vec![0; 8], B, Ok((51, 40))),
        (200, vec![], B, Ok((200, 40))),
    ] {
        assert_eq!(walked(next, &rest, dst), want, "{next} {rest:02x?}");
    }
    let chain = |n: usize| {
        let mut all = options(DST, pad).repeat(n - 1);
        all.extend(options(UDP, pad));
        all
    };
    assert_eq!(walked(DST, &chain(16), B), Ok((UDP, 40 + 16 * 8)));
    assert_eq!(walked(DST, &chain(17), B), Err((Ipv6TooManyHeaders, None)));
    let mut many = vec![UDP, 7];
    many.extend([0; 62]);
    assert_eq!(walked(DST, &many, B), Ok((UDP, 104)));
    let mut too_many = vec![UDP, 8];
    too_many.extend([0; 70]);
    assert_eq!(walked(DST, &too_many, B), Err((Ipv6TooManyHeaders, None)));
}

#[test]
fn cut_and_put_together() {
    let mut rng = crate::rng::Rng::from_seed(1);
    for _ in 0..200 {
        let len = rng.below(5000) as usize;
        let mtu = 1280 + rng.below(300) as usize;
        let data: Vec<u8> = (0..len).map(|_| rng.next_u64() as u8).collect();
        let whole = packet(A, B, Protocol::UDP, &data);
        let mut cutter = Fragmenter::new(whole.clone(), mtu, 77).unwrap();
        let (mut got, mut first, mut n) = (Vec::new(), None, 0);
        while let Some(mut piece) = cutter.next_fragment() {
            assert!(piece.len() <= mtu);
            let mut header = accept(&mut piece).unwrap();
            let found = walk(&mut piece, &mut header).unwrap();
            let fragment = match found {
                Some(found) => found.fragment,
                // All of it went into one.
                None => continue,
            };
            assert_eq!(
                (usize::from(fragment.offset), fragment.ident),
                (got.len(), 77)
            );
            let bytes = piece.to_bytes();
            first.get_or_insert_with(|| bytes.slice(..header.header_len));
            got.extend(&bytes[header.header_len..]);
            n += 1;
        }
        if n > 0 {
            let payload = Payload::from(Bytes::from(got));
            let again = reassembled(&first.unwrap(), payload, false).unwrap();
            assert_eq!(again.to_bytes(), whole.to_bytes());
        }
    }
}

#[test]
fn reassembled_behind_other_headers() {
    // Hop-by-hop options, then the fragment header.
    let mut head = packet(A, B, Protocol::HOP_BY_HOP, &[]).to_bytes().to_vec();
    head.extend([44, 0, 1, 4, 0, 0, 0, 0]);
    head.extend([17, 0, 0, 1, 0, 0, 0, 9]);
    let payload = Payload::from(Bytes::from_static(&[5; 30]));
    let mut whole = reassembled(&head, payload, true).unwrap();
    let mut header = accept(&mut whole).unwrap();
    assert_eq!((header.tos & 3, whole.len()), (3, 40 + 8 + 30));
    assert_eq!(walk(&mut whole, &mut header), Ok(None));
    assert_eq!((header.protocol, header.header_len), (Protocol::UDP, 48));
}

#[test]
fn what_is_made_reads_as_meant() {
    let out = Outgoing {
        tos: 0xb9,
        flow_label: 0xa_bcde,
        hop_limit: 61,
        protocol: Protocol::TCP,
        src: addr(A),
        dst: addr(B),
    };
    let mut frame = Frame::copy_from(&[1; 5]);
    assert!(encapsulate(&mut frame, &out));
    let bytes = frame.to_bytes();
    let (header, rest) = Header::parse(&bytes).unwrap();
    let fields = (
        header.dscp,
        header.ecn,
        header.flow_label,
        header.payload_len,
    );
    assert_eq!((fields, rest), ((0x2e, 1, 0xa_bcde, 5), &[1; 5][..]));
    assert_eq!(
        (header.src, header.dst, header.hop_limit),
        (out.src, out.dst, 61)
    );
    let mut long = Frame::copy_from(&vec![0; 65_536]);
    assert!(!encapsulate(&mut long, &out));
    forward(&mut frame);
    assert_eq!(Header::parse(frame.front()).unwrap().0.hop_limit, 60);
    assert_eq!(frame.len(), bytes.len());
}

#[test]
fn errors_quote_as_much_as_fits_and_no_errors() {
    let ends = (IpAddr::V6(addr(B)), IpAddr::V6(addr(A)));
    for len in [0, 7, 8, 1183, 1184, 1185, 9000] {
        let bad = packet(A, B, Protocol::UDP, &vec![3; len]);
        let report = icmp::report(Error::TooBig(1400), bad, ends).to_bytes();
        assert_eq!(report.len(), (8 + 40 + len).min(1240));
        let mut sum = Sum::new();
        sum.add_pseudo(ends.0, ends.1, Protocol::ICMPV6, report.len());
        sum.add(&report);
        assert_eq!((sum.finish(), &report[..2]), (0, &[2, 0][..]));
        assert_eq!(&report[4..8], 1400_u32.to_be_bytes());
    }
    let option = Error::ParameterProblem(ParameterCode::OPTION, 42);
    for (error, src, dst, next, rest, may) in [
        (Error::PortUnreachable, A, B, 17, &[0; 8][..], true),
        (Error::PortUnreachable, A, B, 58, &[128, 0, 0, 0], true),
        (Error::PortUnreachable, A, B, 58, &[1, 0, 0, 0], false),
        (Error::PortUnreachable, A, B, 58, &[100, 0, 0, 0], false),
        (Error::PortUnreachable, A, B, 58, &[137, 0, 0, 0], false),
        (Error::PortUnreachable, A, B, 58, &[], false),
        // Behind options, too.
        (
            Error::PortUnreachable,
            A,
            B,
            60,
            &[58, 0, 1, 4, 0, 0, 0, 0, 3],
            false,
        ),
        (
            Error::PortUnreachable,
            A,
            B,
            60,
            &[58, 0, 1, 4, 0, 0, 0, 0, 129],
            true,
        ),
        (Error::PortUnreachable, "::", B, 17, &[0; 8], false),
        (Error::PortUnreachable, "ff02::9", B, 17, &[0; 8], false),
        (Error::PortUnreachable, A, "ff02::1", 17, &[0; 8], false),
        (Error::TooBig(1280), A, "ff02::1", 17, &[0; 8], true),
        (option, A, "ff02::1", 17, &[0; 8], true),
        // A later fragment: what stands where a type would be is data.
        (
            Error::TooBig(1280),
            A,
            B,
            44,
            &[58, 0, 0, 8, 0, 0, 0, 1, 1],
            true,
        ),
        (
            Error::PortUnreachable,
            A,
            B,
            44,
            &[17, 0, 0, 8, 0, 0, 0, 0, 1],
            true,
        ),
    ] {
        let packet = packet(src, dst, Protocol(next), rest);
        assert_eq!(
            icmp::may_report(error, &packet),
            may,
            "{error:?} {src} {dst} {rest:?}"
        );
    }
}

#[test]
fn an_answer_from_another_address_keeps_its_checksum() {
    let (asked, peer, ours) = (addr("ff02::1"), addr(A), addr(B));
    let mut request = vec![128, 0, 0, 0, 1, 2, 3, 4, 5];
    let sum = icmpv6::compute_checksum(peer, asked, &request);
    request[2..4].copy_from_slice(&sum.to_be_bytes());
    for src in [asked, ours] {
        let mut reply = Frame::copy_from(&request);
        icmp::echo_reply_v6(&mut reply, asked, src).unwrap();
        let reply = reply.to_bytes();
        assert!(icmpv6::verify(src, peer, &reply));
        assert_eq!((reply[0], &reply[4..]), (129, &request[4..]));
    }
}
