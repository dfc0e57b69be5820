//! MLD: the bytes of reports, what is taken and ignored, and version 1.

use super::*;
use crate::net::groups::FilterMode;
use alloc::vec;

const T0: Instant = Instant::ZERO;
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

fn group(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, n)
}

fn mld() -> Mld {
    Mld::new(groups::Config::default(), 1452, Rng::from_seed(3))
}

/// Lets it say all that it has to say; when that is done.
fn silenced(m: &mut Mld) -> Instant {
    let mut now = T0;
    while let Some(at) = m.poll_timeout() {
        now = now.max(at);
        while m.poll_transmit(now).is_some() {}
    }
    now
}

/// A member of one group that has told its router so.
fn member() -> (Mld, Instant) {
    let mut m = mld();
    m.join(T0, 1, group(7), FilterMode::Exclude, &[]).unwrap();
    let now = silenced(&mut m);
    assert_eq!(m.groups().stats().reported, 2);
    (m, now)
}

fn heard(src: Ipv6Addr, dst: Ipv6Addr) -> Heard {
    Heard {
        src,
        dst,
        hop_limit: 1,
        alert: true,
    }
}

/// A query: of version 1, or 2 where it asks for sources.
fn query(millis: u16, group: Ipv6Addr, sources: Option<&[Ipv6Addr]>) -> Vec<u8> {
    let raw: Vec<u8> = sources
        .unwrap_or_default()
        .iter()
        .flat_map(Ipv6Addr::octets)
        .collect();
    let v2 = sources.map(|_| mld::QueryV2 {
        reserved: 0,
        suppress: false,
        qrv: 2,
        qqic: 125,
        sources: Addresses::new(&raw).unwrap(),
        rest: &[],
    });
    let query = mld::Query {
        max_response_code: millis,
        reserved: 0,
        group,
        v2,
    };
    emit(&Message::MldQuery(query)).unwrap()
}

/// The records of a report: type, group, number of sources.
fn records(bytes: &[u8]) -> Vec<(u8, Ipv6Addr, usize)> {
    let (_, Message::MldReportV2(report)) = Message::parse(bytes).unwrap() else {
        panic!("not a version 2 report")
    };
    let records = report.records().map(Result::unwrap);
    records
        .map(|r| (r.kind.0, r.group, r.sources.len()))
        .collect()
}

#[test]
fn a_join_is_reported_in_these_bytes() {
    let mut m = mld();
    m.join(T0, 1, group(7), FilterMode::Exclude, &[]).unwrap();
    assert_eq!(m.poll_timeout(), Some(T0));
    let mut want = vec![143, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0];
    want.extend(group(7).octets());
    let (dst, mut report) = m.poll_transmit(T0).unwrap();
    assert_eq!((dst, &report), (ALL_V2_ROUTERS, &want));
    assert_eq!(m.poll_transmit(T0), None);
    seal(&mut report, ROUTER, dst);
    let (header, message) = Message::parse(&report).unwrap();
    assert_eq!(header.checksum, message.compute_checksum(ROUTER, dst));
}

#[test]
fn records_are_packed_and_long_ones_split() {
    // Room for three sources in a report of one record.
    let mut m = Mld::new(groups::Config::default(), 8 + 20 + 48, Rng::from_seed(3));
    let sources: Vec<_> = (0..7)
        .map(|n| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n))
        .collect();
    m.join(T0, 1, group(1), FilterMode::Exclude, &[]).unwrap();
    m.join(T0, 1, group(2), FilterMode::Exclude, &[]).unwrap();
    m.join(T0, 1, group(3), FilterMode::Include, &sources)
        .unwrap();
    m.join(T0, 1, group(4), FilterMode::Exclude, &sources)
        .unwrap();
    let told: Vec<_> = core::iter::from_fn(|| m.poll_transmit(T0))
        .map(|(_, r)| records(&r))
        .collect();
    let want = vec![
        vec![(4, group(1), 0), (4, group(2), 0)],
        vec![(5, group(3), 3)],
        vec![(5, group(3), 3)],
        vec![(5, group(3), 1)],
        vec![(4, group(4), 3)],
    ];
    assert_eq!(told, want);
}

#[test]
fn what_stays_on_the_node_or_is_everyones_is_not_told() {
    let mut m = mld();
    for silent in [ALL_NODES, Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 9)] {
        m.join(T0, 1, silent, FilterMode::Exclude, &[]).unwrap();
        assert!(m.accepts(silent, ROUTER));
    }
    assert_eq!((m.poll_timeout(), m.poll_transmit(T0)), (None, None));
}

#[test]
fn a_query_counts_from_the_link_with_router_alert_only() {
    let good = heard(ROUTER, ALL_NODES);
    let bad = [
        (
            Heard {
                hop_limit: 2,
                ..good
            },
            DropReason::MldIgnored,
        ),
        (
            Heard {
                alert: false,
                ..good
            },
            DropReason::MldIgnored,
        ),
        (
            heard("2001:db8::1".parse().unwrap(), ALL_NODES),
            DropReason::MldIgnored,
        ),
        (
            heard(Ipv6Addr::UNSPECIFIED, ALL_NODES),
            DropReason::MldIgnored,
        ),
        (heard(ROUTER, group(8)), DropReason::MldIgnored),
    ];
    let (mut m, now) = member();
    let general = query(1000, Ipv6Addr::UNSPECIFIED, Some(&[]));
    for (heard, reason) in bad {
        assert_eq!(
            m.handle_message(now, &general, &heard),
            Err(reason),
            "{heard:?}"
        );
    }
    let of_unicast = query(1000, ROUTER, Some(&[]));
    let short = &general[..25];
    for bytes in [&of_unicast[..], short] {
        assert_eq!(
            m.handle_message(now, bytes, &good),
            Err(DropReason::MldMalformed)
        );
    }
    assert_eq!(m.poll_timeout(), None);
    assert_eq!(m.handle_message(now, &general, &good), Ok(()));
    let at = m.poll_timeout().unwrap();
    assert!(at > now && at <= now + Duration::from_secs(1), "{at:?}");
    let (dst, report) = m.poll_transmit(at).unwrap();
    assert_eq!(
        (dst, records(&report)),
        (ALL_V2_ROUTERS, vec![(2, group(7), 0)])
    );
    //= RFC 3810 §5.1.15 to a unicast address as well.
    let ours = heard(ROUTER, "fe80::2".parse().unwrap());
    assert_eq!(
        m.handle_message(at, &query(1000, group(7), Some(&[])), &ours),
        Ok(())
    );
    assert!(m.poll_timeout().is_some());
}

#[test]
fn sources_that_are_asked_after_are_answered_for() {
    let (a, b) = (
        "2001:db8::a".parse().unwrap(),
        "2001:db8::b".parse().unwrap(),
    );
    let mut m = mld();
    m.join(T0, 1, group(7), FilterMode::Include, &[a]).unwrap();
    let now = silenced(&mut m);
    let ask = query(1000, group(7), Some(&[a, b]));
    m.handle_message(now, &ask, &heard(ROUTER, group(7)))
        .unwrap();
    let at = m.poll_timeout().unwrap();
    let (_, report) = m.poll_transmit(at).unwrap();
    assert_eq!(records(&report), [(1, group(7), 1)]);
}

#[test]
fn an_old_querier_is_spoken_to_in_its_version() {
    let (mut m, now) = member();
    let old = query(1000, Ipv6Addr::UNSPECIFIED, None);
    m.handle_message(now, &old, &heard(ROUTER, ALL_NODES))
        .unwrap();
    let at = m.poll_timeout().unwrap();
    let (dst, report) = m.poll_transmit(at).unwrap();
    let (_, Message::MldReport(told)) = Message::parse(&report).unwrap() else {
        panic!("not a version 1 report")
    };
    assert_eq!((dst, told.group), (group(7), group(7)));
    // We were the last to report, and say that we leave.
    m.leave(at, 1, group(7)).unwrap();
    let (dst, done) = m.poll_transmit(at).unwrap();
    assert_eq!((dst, done[0]), (ALL_ROUTERS, icmpv6::kind::MLD_DONE));
}

#[test]
fn anothers_report_spares_ours() {
    let (mut m, now) = member();
    let old = query(10_000, group(7), None);
    let other = heard("fe80::9".parse().unwrap(), group(7));
    let report = emit(&Message::MldReport(about(group(7)))).unwrap();
    // Version 2 has no use for it.
    assert_eq!(
        m.handle_message(now, &report, &other),
        Err(DropReason::MldIgnored)
    );
    let general = query(10_000, Ipv6Addr::UNSPECIFIED, None);
    m.handle_message(now, &general, &heard(ROUTER, ALL_NODES))
        .unwrap();
    m.handle_message(now, &old, &heard(ROUTER, group(7)))
        .unwrap();
    let elsewhere = heard(other.src, group(8));
    assert_eq!(
        m.handle_message(now, &report, &elsewhere),
        Err(DropReason::MldIgnored)
    );
    assert_eq!(m.handle_message(now, &report, &other), Ok(()));
    let soon = now + Duration::from_secs(11);
    assert_eq!(m.poll_transmit(soon), None);
    assert_eq!(m.groups().stats().suppressed, 1);
}
