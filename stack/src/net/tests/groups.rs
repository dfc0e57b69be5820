//! Memberships: RFC 3376's examples and tables, and a router that believes what it is told.

use super::*;
use FilterMode::{Exclude, Include};
use RecordKind::{Allow, Block, IsEx, IsIn, ToEx, ToIn};
use alloc::vec;

type A = Ipv4Addr;

const GROUP: A = A::new(239, 1, 1, 1);

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

/// The RFC names sources by letters.
fn sources(letters: &str) -> Vec<A> {
    letters.bytes().map(|b| A::new(10, 0, 0, b)).collect()
}

fn filter(mode: FilterMode, letters: &str) -> Filter<A> {
    Filter::new(mode, &sources(letters))
}

fn groups() -> Groups<A> {
    Groups::new(Config::default(), Rng::from_seed(7))
}

fn record(kind: RecordKind, letters: &str) -> Output<A> {
    Output::Record(kind, GROUP, sources(letters))
}

/// Everything told until nothing more is due, with the times.
fn drain(g: &mut Groups<A>) -> Vec<(Instant, Output<A>)> {
    let mut told = Vec::new();
    while let Some(t) = g.poll_timeout() {
        told.extend(g.poll_output(t).into_iter().map(|o| (t, o)));
    }
    told
}

fn query(version: Version, group: Option<A>, millis: u64) -> Query<A> {
    Query {
        version,
        group,
        max_response: Duration::from_millis(millis),
        robustness: None,
        interval: None,
    }
}

#[test]
fn interface_state_is_merged_as_in_section_3_2() {
    let (s1, s2, s3) = (Exclude, Exclude, Include);
    for (records, want) in [
        (&[(Include, "abc"), (Include, "bcd")][..], (Include, "abcd")),
        (&[(s1, "abcd"), (s2, "bcde"), (s3, "def")], (Exclude, "bc")),
        (
            &[(s1, "abcd"), (s2, "bcde"), (s3, "def"), (Exclude, "")],
            (Exclude, ""),
        ),
        (
            &[(Include, "abc"), (Include, "bcd"), (Include, "ef")],
            (Include, "abcdef"),
        ),
        (&[], (Include, "")),
    ] {
        let mut g = groups();
        for (socket, (mode, letters)) in (0..).zip(records) {
            g.join(at(0), socket, GROUP, *mode, &sources(letters))
                .unwrap();
        }
        let merged = g
            .groups
            .get(&GROUP)
            .map_or(Filter::none(), |g| g.filter.clone());
        assert_eq!(merged, filter(want.0, want.1), "{records:?}");
        for source in sources("abcdefg") {
            let wanted = (0..4).any(|s| g.socket_accepts(s, GROUP, source));
            // The interface lets through what any socket wants.
            assert_eq!(g.accepts(GROUP, source), wanted, "{records:?} {source}");
        }
    }
}

#[test]
fn changes_are_told_as_in_the_table_of_section_5_1() {
    for (old, new, want) in [
        (
            (Include, "abc"),
            (Include, "bcd"),
            vec![(Allow, "d"), (Block, "a")],
        ),
        ((Include, "ab"), (Include, "abc"), vec![(Allow, "c")]),
        (
            (Exclude, "abc"),
            (Exclude, "bcd"),
            vec![(Allow, "a"), (Block, "d")],
        ),
        ((Exclude, "abc"), (Exclude, "ab"), vec![(Allow, "c")]),
        ((Include, "ab"), (Exclude, "bc"), vec![(ToEx, "bc")]),
        ((Exclude, "ab"), (Include, "bc"), vec![(ToIn, "bc")]),
        // What is not there includes nothing.
        ((Include, ""), (Exclude, ""), vec![(ToEx, "")]),
        ((Include, ""), (Include, "a"), vec![(Allow, "a")]),
        ((Exclude, ""), (Include, ""), vec![(ToIn, "")]),
        ((Include, "ab"), (Include, ""), vec![(Block, "ab")]),
        ((Include, "ab"), (Include, "ab"), vec![]),
    ] {
        let mut g = groups();
        g.listen(at(0), 1, GROUP, filter(old.0, old.1)).unwrap();
        drain(&mut g);
        g.listen(at(10_000), 1, GROUP, filter(new.0, new.1))
            .unwrap();
        let told = drain(&mut g);
        let want: Vec<_> = want.iter().map(|(k, s)| record(*k, s)).collect();
        let first: Vec<_> = told.iter().filter(|(t, _)| *t == at(10_000)).collect();
        assert!(
            first.iter().map(|(_, o)| o).eq(&want),
            "{old:?} {new:?}: {told:?}"
        );
        // And once more (robustness 2), within a second.
        let again: Vec<_> = told.iter().filter(|(t, _)| *t > at(10_000)).collect();
        assert!(again.iter().map(|(_, o)| o).eq(&want), "{told:?}");
        assert!(again.iter().all(|(t, _)| *t < at(11_000)));
    }
}

#[test]
fn changes_merge_with_what_is_still_to_be_told() {
    let mut g = groups();
    g.join(at(0), 1, GROUP, Exclude, &[]).unwrap();
    assert_eq!(g.poll_output(at(0)), [record(ToEx, "")]);
    // The mode is told once more, now with the source; the source then once alone.
    g.set_filter(at(0), 1, GROUP, Exclude, &sources("a"))
        .unwrap();
    assert_eq!(g.poll_output(at(0)), [record(ToEx, "a")]);
    let told: Vec<_> = drain(&mut g).into_iter().map(|(_, o)| o).collect();
    assert_eq!(told, [record(Block, "a")]);
    // A source that comes and goes before it is told is told as gone.
    g.set_filter(at(5000), 1, GROUP, Exclude, &sources("ab"))
        .unwrap();
    g.set_filter(at(5000), 1, GROUP, Exclude, &sources("a"))
        .unwrap();
    assert_eq!(g.poll_output(at(5000)), [record(Allow, "b")]);
    // The whole group left and joined again: the state that holds is told.
    g.leave(at(5000), 1, GROUP).unwrap();
    g.join(at(5000), 1, GROUP, Include, &sources("c")).unwrap();
    assert_eq!(g.poll_output(at(5000)), [record(ToIn, "c")]);
}

#[test]
fn queries_are_answered_as_in_section_5_2() {
    let other = A::new(239, 9, 9, 9);
    let (general, group) = (None, Some(GROUP));
    // state, queries (group, sources) at once, answers
    for (state, queries, want) in [
        ((Exclude, "a"), &[(general, "")][..], vec![(IsEx, "a")]),
        ((Include, "ab"), &[(general, "")], vec![(IsIn, "ab")]),
        ((Include, "ab"), &[(group, "")], vec![(IsIn, "ab")]),
        ((Include, "abc"), &[(group, "bcd")], vec![(IsIn, "bc")]),
        ((Exclude, "abc"), &[(group, "bcd")], vec![(IsIn, "d")]),
        ((Include, "a"), &[(group, "bcd")], vec![]),
        ((Exclude, "a"), &[(Some(other), "")], vec![]),
        // Rules 4 and 5: one answer, to the widest question.
        (
            (Exclude, "a"),
            &[(group, "b"), (group, "c")],
            vec![(IsIn, "bc")],
        ),
        (
            (Exclude, "a"),
            &[(group, "b"), (group, "")],
            vec![(IsEx, "a")],
        ),
        (
            (Exclude, "a"),
            &[(group, ""), (group, "b")],
            vec![(IsEx, "a")],
        ),
    ] {
        let mut g = groups();
        g.join(at(0), 1, GROUP, state.0, &sources(state.1)).unwrap();
        g.join(at(0), 1, A::new(224, 0, 0, 1), Exclude, &[])
            .unwrap();
        drain(&mut g);
        let now = at(20_000);
        for (group, asked) in queries {
            let query = query(Version::V3, *group, 1000);
            g.handle_query(now, query, sources(asked).into_iter());
        }
        let told = drain(&mut g);
        assert!(
            told.iter()
                .all(|(t, _)| *t > now && *t < now + Duration::from_secs(1))
        );
        let told: Vec<_> = told.into_iter().map(|(_, o)| o).collect();
        let want: Vec<_> = want.iter().map(|(k, s)| record(*k, s)).collect();
        assert_eq!(told, want, "{state:?} {queries:?}");
    }
}

#[test]
fn a_general_answer_that_comes_sooner_is_enough() {
    for seed in 0..50 {
        let mut g = Groups::new(Config::default(), Rng::from_seed(seed));
        g.join(at(0), 1, GROUP, Exclude, &[]).unwrap();
        drain(&mut g);
        // Rule 2: of two general queries the sooner answer stands; rule 1: nothing beside it.
        g.handle_query(at(10_000), query(Version::V3, None, 100), [].into_iter());
        let first = g.poll_timeout().unwrap();
        g.handle_query(at(10_000), query(Version::V3, None, 10_000), [].into_iter());
        assert!(g.poll_timeout().unwrap() <= first);
        g.handle_query(
            at(10_100),
            query(Version::V3, Some(GROUP), 500),
            [].into_iter(),
        );
        assert_eq!(drain(&mut g).len(), 1);
    }
}

#[test]
fn what_asks_for_too_much_gets_the_whole() {
    let mut g = groups();
    g.join(at(0), 1, GROUP, Exclude, &sources("a")).unwrap();
    drain(&mut g);
    for count in [64, 65] {
        let asked = (0..count).map(|n| A::new(10, 1, 0, n));
        g.handle_query(at(9000), query(Version::V3, Some(GROUP), 10), asked);
        let told = drain(&mut g);
        let whole = told[0].1 == record(IsEx, "a");
        assert_eq!((told.len(), whole), (1, count == 65));
    }
}

#[test]
fn an_older_querier_is_spoken_to_in_its_version() {
    let mut g = groups();
    let other = A::new(239, 9, 9, 9);
    g.join(at(0), 1, GROUP, Exclude, &sources("a")).unwrap();
    assert_eq!(g.poll_output(at(0)), [record(ToEx, "a")]);
    // The version changes at once, and what was pending is cancelled.
    g.handle_query(at(1), query(Version::V2, None, 1000), [].into_iter());
    assert_eq!(g.version(), Version::V2);
    // Two times 125 s and 10 s.
    assert_eq!(g.v2_until, Some(at(260_001)));
    let answer = g.poll_timeout().unwrap();
    assert!(answer < at(1001));
    assert_eq!(g.poll_output(answer), [Output::Report(GROUP)]);
    assert_eq!(g.poll_timeout(), Some(at(260_001)));

    // Joined: told at once, and again within ten seconds; filters mean nothing.
    g.join(at(2000), 1, other, Include, &sources("b")).unwrap();
    g.set_filter(at(2000), 1, GROUP, Exclude, &sources("abc"))
        .unwrap();
    assert_eq!(g.poll_output(at(2000)), [Output::Report(other)]);
    let again = g.poll_timeout().unwrap();
    assert!(again < at(12_000));
    assert_eq!(g.poll_output(again), [Output::Report(other)]);
    // A running timer is not set anew but by a query that wants its answer sooner.
    g.handle_query(
        at(13_000),
        query(Version::V2, Some(other), 5000),
        [].into_iter(),
    );
    let running = g.poll_timeout();
    g.handle_query(
        at(13_000),
        query(Version::V2, Some(other), 5000),
        [].into_iter(),
    );
    assert_eq!(g.poll_timeout(), running);
    g.handle_query(
        at(13_000),
        query(Version::V2, Some(other), 1),
        [].into_iter(),
    );
    let sooner = g.poll_timeout().unwrap();
    assert!(sooner < at(13_001));
    assert_eq!(g.poll_output(sooner), [Output::Report(other)]);
    g.handle_query(at(15_000), query(Version::V2, None, 1000), [].into_iter());
    while g.poll_timeout() < Some(at(16_000)) {
        g.poll_output(at(16_000));
    }
    // Left: told once, but not where another member has spoken last.
    g.leave(at(20_000), 1, other).unwrap();
    assert_eq!(g.poll_output(at(20_000)), [Output::Leave(other)]);
    assert_eq!(g.poll_timeout(), Some(at(275_000)));
    g.handle_query(
        at(30_000),
        query(Version::V2, Some(GROUP), 1000),
        [].into_iter(),
    );
    assert!(g.handle_report(GROUP));
    assert_eq!(
        (g.poll_output(at(40_000)), g.stats().suppressed),
        (vec![], 1)
    );
    g.leave(at(40_000), 1, GROUP).unwrap();
    assert_eq!(g.poll_timeout(), Some(at(275_000)));

    // A version 1 querier: no leaves, and only general queries reset version 2's time.
    g.join(at(50_000), 1, GROUP, Exclude, &[]).unwrap();
    g.handle_query(at(50_000), query(Version::V1, None, 10_000), [].into_iter());
    g.handle_query(
        at(50_000),
        query(Version::V2, Some(GROUP), 100),
        [].into_iter(),
    );
    assert_eq!((g.version(), g.v2_until), (Version::V1, Some(at(275_000))));
    g.leave(at(50_000), 1, GROUP).unwrap();
    assert_eq!(g.poll_output(at(51_000)), []);
    // Both times run out, each by itself.
    g.handle_timeout(at(275_000));
    assert_eq!((g.version(), g.v2_until), (Version::V1, None));
    g.handle_timeout(at(310_000));
    assert_eq!((g.version(), g.poll_timeout()), (Version::V3, None));
}

#[test]
fn the_querier_sets_robustness_and_interval() {
    let mut g = groups();
    let said = Query {
        robustness: Some(5),
        interval: Some(Duration::from_secs(10)),
        ..query(Version::V3, None, 100)
    };
    g.handle_query(at(0), said, [].into_iter());
    g.join(at(0), 1, GROUP, Exclude, &[]).unwrap();
    assert_eq!(drain(&mut g).len(), 5);
    g.handle_query(at(0), query(Version::V2, None, 100), [].into_iter());
    assert_eq!(g.v2_until, Some(at(60_000)));
    let silent = Query {
        robustness: Some(0),
        interval: Some(Duration::ZERO),
        ..query(Version::V3, None, 100)
    };
    g.handle_query(at(1000), silent, [].into_iter());
    g.handle_query(at(1000), query(Version::V2, None, 100), [].into_iter());
    assert_eq!(g.v2_until, Some(at(261_000)));
}

#[test]
fn limits_are_errors_to_who_joins_and_none_to_who_leaves() {
    let config = Config {
        max_groups: 3,
        max_sources: 4,
        max_memberships: 5,
        ..Config::default()
    };
    let mut g = Groups::new(config, Rng::from_seed(1));
    let group = |n| A::new(239, 0, 0, n);
    assert_eq!(
        g.join(at(0), 1, A::new(10, 0, 0, 1), Exclude, &[]),
        Err(GroupError::NotAGroup)
    );
    g.join(at(0), 1, group(1), Include, &sources("ab")).unwrap();
    g.join(at(0), 2, group(1), Include, &sources("bcd"))
        .unwrap();
    for mode in [Include, Exclude] {
        let many = g.join(at(0), 3, group(1), mode, &sources("abcde"));
        assert_eq!(many, Err(GroupError::TooManySources));
    }
    // Hidden behind an EXCLUDE the sum still counts.
    g.join(at(0), 3, group(1), Exclude, &[]).unwrap();
    let hidden = g.join(at(0), 4, group(1), Include, &sources("e"));
    assert_eq!(hidden, Err(GroupError::TooManySources));
    g.join(at(0), 1, group(2), Exclude, &[]).unwrap();
    g.join(at(0), 1, group(3), Exclude, &[]).unwrap();
    assert_eq!(
        g.join(at(0), 9, group(3), Exclude, &[]),
        Err(GroupError::TooManyGroups)
    );
    assert_eq!(
        g.join(at(0), 1, group(3), Exclude, &[]),
        Err(GroupError::AlreadyMember)
    );
    g.leave_all(at(0), 3);
    assert_eq!(
        g.join(at(0), 1, group(4), Exclude, &[]),
        Err(GroupError::TooManyGroups)
    );
    g.leave(at(0), 1, group(3)).unwrap();
    assert_eq!(g.leave(at(0), 1, group(3)), Err(GroupError::NotMember));
    // Still waiting to be told as left: it makes room.
    assert_eq!(g.groups.len(), 3);
    g.join(at(0), 1, group(4), Exclude, &[]).unwrap();
    assert_eq!((g.groups.len(), g.memberships), (3, 4));
}

#[test]
fn many_single_changes_are_told_as_one_state() {
    let config = Config {
        max_sources: 4,
        ..Config::default()
    };
    let mut g = Groups::new(config, Rng::from_seed(1));
    for letters in ["abcd", "efgh", "ijkl", "mnop"] {
        let told = g.listen(at(0), 1, GROUP, filter(Include, letters));
        assert_eq!(told, Ok(()));
        assert!(g.groups[&GROUP].sources_left.len() <= 8);
    }
    assert_eq!(g.poll_output(at(0)), [record(ToIn, "mnop")]);
    let again: Vec<_> = drain(&mut g).into_iter().map(|(_, o)| o).collect();
    assert_eq!(again[0], record(ToIn, "mnop"));
}

#[test]
fn all_systems_is_received_and_not_reported() {
    let mut g = groups();
    let all = A::new(224, 0, 0, 1);
    assert!(g.is_member(all) && g.accepts(all, A::new(1, 2, 3, 4)));
    g.join(at(0), 1, all, Exclude, &[]).unwrap();
    g.announce(at(0));
    g.handle_query(at(0), query(Version::V3, None, 100), [].into_iter());
    assert_eq!(g.poll_timeout(), None);
    g.leave(at(0), 1, all).unwrap();
    assert!(g.groups.is_empty() && g.is_member(all));
    let reported = |s: &str| s.parse::<Ipv6Addr>().unwrap().is_reported();
    assert!(reported("ff02::2") && reported("ff0e::1"));
    assert!(!reported("ff02::1") && !reported("ff01::5"));
}

/// A router's view, moved by what it hears (RFC 3376 §6.4, without its timers).
fn hear(view: &mut BTreeMap<A, Filter<A>>, output: Output<A>) {
    let Output::Record(kind, group, sources) = output else {
        panic!("version 3 only")
    };
    let told = |mode| Filter::new(mode, &sources);
    let held = view.entry(group).or_insert_with(Filter::none);
    match (kind, held.mode) {
        (IsIn | ToIn, _) => *held = told(Include),
        (IsEx | ToEx, _) => *held = told(Exclude),
        (Allow, Include) | (Block, Exclude) => held.sources.extend(sources),
        (Allow, Exclude) | (Block, Include) => held.sources.retain(|s| !sources.contains(s)),
    }
    view.retain(|_, f| !f.is_none());
}

#[test]
fn a_router_that_misses_every_other_report_ends_up_knowing() {
    let mut rng = Rng::from_seed(99);
    for lossy in [false, true] {
        let mut g = groups();
        let (mut view, mut heard) = (BTreeMap::new(), BTreeMap::<(A, Instant), bool>::new());
        let mut turn = BTreeMap::<A, bool>::new();
        let mut now = at(0);
        for step in 0..6000u32 {
            now += Duration::from_millis(rng.below(400));
            let letters: Vec<A> = sources("abcdef")
                .into_iter()
                .filter(|_| rng.below(3) == 0)
                .collect();
            let mode = if rng.below(2) == 0 { Include } else { Exclude };
            let socket = u32::try_from(rng.below(3)).unwrap();
            let group = A::new(239, 0, 0, u8::from(rng.below(2) == 0));
            g.listen(now, socket, group, Filter::new(mode, &letters))
                .unwrap();
            let calm = step % 50 == 49;
            loop {
                for output in g.poll_output(now) {
                    let Output::Record(_, addr, _) = &output else {
                        panic!()
                    };
                    let lost = *heard.entry((*addr, now)).or_insert_with(|| {
                        let turn = turn.entry(*addr).or_default();
                        *turn = !*turn;
                        *turn
                    });
                    if !(lossy && lost) {
                        hear(&mut view, output);
                    }
                }
                match g.poll_timeout() {
                    Some(t) if calm => now = t,
                    _ => break,
                }
            }
            if calm || !lossy {
                assert!(
                    g.iter().eq(view.iter().map(|(a, f)| (*a, f))),
                    "step {step}"
                );
            }
        }
        assert!(g.stats().reported > 3000, "{:?}", g.stats());
    }
}
