//! IGMP: the bytes of reports, how they are packed, and what is taken and ignored.

use super::*;
use crate::net::groups::FilterMode;
use crate::wire::igmp::verify;
use alloc::vec;

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const T0: Instant = Instant::ZERO;

fn igmp(max_message: usize) -> Igmp {
    let groups = groups::Config {
        max_sources: 1000,
        ..groups::Config::default()
    };
    let config = Config {
        groups,
        max_message,
    };
    Igmp::new(config, Rng::from_seed(3))
}

/// The records of a report: type, group, number of sources.
fn records(bytes: &[u8]) -> Vec<(u8, Ipv4Addr, usize)> {
    assert!(verify(bytes));
    let (_, Message::V3Report(report)) = Message::parse(bytes).unwrap() else {
        panic!("not a version 3 report")
    };
    let records = report.records().map(Result::unwrap);
    records
        .map(|r| (r.record_type.0, r.group, r.sources.len()))
        .collect()
}

fn many(count: u16) -> Vec<Ipv4Addr> {
    (0..count)
        .map(|n| Ipv4Addr::from_bits(0x0a00_0000 + u32::from(n)))
        .collect()
}

#[test]
fn a_join_is_reported_in_these_bytes() {
    let mut i = igmp(1476);
    i.join(T0, 1, GROUP, FilterMode::Exclude, &[]).unwrap();
    assert_eq!(i.poll_timeout(), Some(T0));
    let want = vec![0x22, 0, 0xe8, 0xf9, 0, 0, 0, 1, 4, 0, 0, 0, 239, 1, 2, 3];
    assert_eq!(i.poll_transmit(T0), Some((ALL_V3_ROUTERS, want)));
    assert_eq!(i.poll_transmit(T0), None);
}

#[test]
fn records_are_packed_and_long_ones_split() {
    // Room for 13 sources in a report of one record.
    let mut i = igmp(8 + 8 + 13 * 4);
    for n in 0..8 {
        i.join(T0, 1, Ipv4Addr::new(239, 0, 0, n), FilterMode::Exclude, &[])
            .unwrap();
    }
    i.join(T0, 1, GROUP, FilterMode::Include, &many(30))
        .unwrap();
    let far = Ipv4Addr::new(239, 9, 9, 9);
    i.join(T0, 1, far, FilterMode::Exclude, &many(30)).unwrap();
    let reports: Vec<_> = core::iter::from_fn(|| i.poll_transmit(T0)).collect();
    assert!(
        reports
            .iter()
            .all(|(dst, r)| *dst == ALL_V3_ROUTERS && r.len() <= 68)
    );
    let told: Vec<Vec<_>> = reports.iter().map(|(_, r)| records(r)).collect();
    let small: Vec<(u8, Ipv4Addr, usize)> = (0..8)
        .map(|n| (4, Ipv4Addr::new(239, 0, 0, n), 0))
        .collect();
    let want = vec![
        // Seven take 56 of 60 bytes.
        small[..7].to_vec(),
        small[7..].to_vec(),
        vec![(5, GROUP, 13)],
        vec![(5, GROUP, 13)],
        vec![(5, GROUP, 4)],
        // Of those excluded, as many as fit, and no second record.
        vec![(4, far, 13)],
    ];
    assert_eq!(told, want);
    // A limit too small for anything is taken as one source's.
    let mut tiny = igmp(0);
    tiny.join(T0, 1, GROUP, FilterMode::Include, &many(2))
        .unwrap();
    assert_eq!(core::iter::from_fn(|| tiny.poll_transmit(T0)).count(), 2);
}

#[test]
fn messages_taken_and_ignored() {
    let ignored = Err(DropReason::IgmpIgnored);
    let other = Ipv4Addr::new(239, 9, 9, 9);
    let ours = Ipv4Addr::new(10, 7, 0, 2);
    let v2 = |group| vec![0x11, 10, 0, 0, group, 1, 2, 3];
    let report = |kind| vec![kind, 0, 0, 0, 239, 1, 2, 3];
    for (bytes, dst, want) in [
        (vec![0x11, 0, 0, 0, 0, 0, 0, 0], ALL_SYSTEMS, Ok(())),
        (v2(239), GROUP, Ok(())),
        (v2(239), ours, Ok(())),
        (v2(239), other, ignored),
        (v2(10), ALL_SYSTEMS, Err(DropReason::IgmpMalformed)),
        (report(0x12), GROUP, ignored),
        (report(0x16), GROUP, ignored),
        (report(0x17), ALL_SYSTEMS, ignored),
        (report(0x22), ALL_SYSTEMS, ignored),
        (report(0x99), ALL_SYSTEMS, ignored),
    ] {
        let mut i = igmp(1476);
        i.join(T0, 1, GROUP, FilterMode::Exclude, &[]).unwrap();
        let (_, message) = Message::parse(&bytes).unwrap();
        assert_eq!(
            i.handle_message(T0, &message, dst),
            want,
            "{bytes:02x?} {dst}"
        );
    }
}

#[test]
fn version_3_queries_carry_times_and_sources() {
    let mut i = igmp(1476);
    i.join(T0, 1, GROUP, FilterMode::Exclude, &[]).unwrap();
    while let Some(t) = i.poll_timeout() {
        i.poll_transmit(t);
    }
    let now = T0 + Duration::from_secs(60);
    // Code 0x80 is 12.8 s; robustness 3; interval 20 s; one source.
    let bytes = [0x11, 0x80, 0, 0, 239, 1, 2, 3, 3, 20, 0, 1, 10, 0, 0, 9];
    let (_, message) = Message::parse(&bytes).unwrap();
    i.handle_message(now, &message, GROUP).unwrap();
    let due = i.poll_timeout().unwrap();
    assert!(due > now && due < now + Duration::from_millis(12_800));
    assert_eq!(i.poll_transmit(now), None);
    let (dst, answer) = i.poll_transmit(due).unwrap();
    assert_eq!(
        (dst, records(&answer)),
        (ALL_V3_ROUTERS, vec![(1, GROUP, 1)])
    );
    // The querier's robustness holds for the next change.
    i.leave(due, 1, GROUP).unwrap();
    let mut times = 0;
    while let Some(t) = i.poll_timeout() {
        times += usize::from(i.poll_transmit(t).is_some());
    }
    assert_eq!(times, 3);
}

#[test]
fn older_versions_have_their_own_types_and_places() {
    for (code, kind, leaves) in [(10, 0x16, true), (0, 0x12, false)] {
        let mut i = igmp(1476);
        let query = [0x11, code, 0, 0, 0, 0, 0, 0];
        let (_, message) = Message::parse(&query).unwrap();
        i.handle_message(T0, &message, ALL_SYSTEMS).unwrap();
        i.join(T0, 1, GROUP, FilterMode::Exclude, &[]).unwrap();
        let (dst, report) = i.poll_transmit(T0).unwrap();
        assert_eq!(
            (dst, report[0], &report[4..]),
            (GROUP, kind, &GROUP.octets()[..])
        );
        assert!(verify(&report));
        i.leave(T0, 1, GROUP).unwrap();
        let left = i.poll_transmit(T0).map(|(dst, m)| (dst, m[0]));
        assert_eq!(left, leaves.then_some((ALL_ROUTERS, 0x17)));
    }
}
