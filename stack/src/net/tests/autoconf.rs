//! What becomes of prefixes: addresses, and their lives.

use super::*;
use crate::wire::MacAddr;
use std::string::String;
use std::vec;

const HOUR: u32 = 3600;
const DAY: u32 = 24 * HOUR;

fn secs(n: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(n)
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn fixed() -> Identifiers {
    Identifiers::Eui64(MacAddr([2, 0, 0, 0, 0, 7]))
}

fn secret() -> Identifiers {
    Identifiers::Stable {
        key: [1, 2],
        interface: String::from("eth0"),
    }
}

fn machine(ids: Identifiers, temporary: bool) -> Autoconf {
    Autoconf::new(Config::default(), ids, temporary, Rng::from_seed(1))
}

fn events(m: &mut Autoconf) -> Vec<Event> {
    core::iter::from_fn(|| m.poll_event()).collect()
}

fn say(m: &mut Autoconf, now: u64, prefix: &str, valid: u32, preferred: u32) -> Vec<Event> {
    m.handle_prefix(secs(now), cidr(prefix), valid, preferred);
    events(m)
}

/// Lets time pass; what was told, and when.
fn run(m: &mut Autoconf, until: u64) -> Vec<(u64, Event)> {
    let mut told = vec![];
    for _ in 0..10_000 {
        let Some(at) = m.poll_timeout().filter(|at| *at <= secs(until)) else {
            return told;
        };
        m.handle_timeout(at);
        let at = (at - Instant::ZERO).as_secs();
        told.extend(events(m).into_iter().map(|e| (at, e)));
    }
    panic!("it never rests");
}

fn temporary(events: &[Event]) -> Cidr {
    let mut all = events.iter().filter_map(|e| match e {
        Event::Temporary(cidr) => Some(*cidr),
        _ => None,
    });
    let first = all.next().expect("a temporary address");
    assert_eq!(all.next(), None);
    first
}

#[test]
fn an_advertisement_does_not_end_an_address() {
    const FOR_EVER: u32 = u32::MAX;
    // Valid for so long, then told so: valid for so long (RFC 4862 §5.5.3 (e)).
    for (had, told, want) in [
        (HOUR, 3 * HOUR, Some(3 * HOUR)),
        (HOUR, 60, Some(HOUR)),
        (3 * HOUR, 60, Some(2 * HOUR)),
        (3 * HOUR, 0, Some(2 * HOUR)),
        (HOUR, 0, Some(HOUR)),
        (HOUR, HOUR + 60, Some(HOUR + 60)),
        (FOR_EVER, 60, Some(2 * HOUR)),
        (HOUR, FOR_EVER, None),
        (FOR_EVER, FOR_EVER, None),
    ] {
        let mut m = machine(fixed(), false);
        for lifetime in [had, told] {
            say(&mut m, 0, "fd09::/64", lifetime, lifetime.min(30));
        }
        let until = want.map(|s| secs(u64::from(s)));
        assert_eq!(m.made().next().unwrap().valid_until, until, "{had} {told}");
    }
}

#[test]
fn stable_addresses_are_the_same_each_time() {
    let made = |prefix: &str| say(&mut machine(secret(), false), 0, prefix, HOUR, HOUR);
    let one = made("fd09::/64");
    assert_eq!(one, made("fd09::/64"));
    let (Event::Address(a), Event::Address(b)) = (one[0], made("fd0a::/64")[0]) else {
        panic!("{one:?}");
    };
    let low = |c: Cidr| c.addr6().unwrap().to_bits() as u64;
    assert_ne!(low(a), low(b), "another network, another identifier");
    let link = machine(secret(), false).link_local().unwrap();
    assert!(link.addr6().unwrap().is_unicast_link_local());
    assert!(low(link) != low(a) && link == machine(secret(), false).link_local().unwrap());
    assert_eq!(
        machine(fixed(), false).link_local(),
        Some(cidr("fe80::ff:fe00:7/64"))
    );
}

#[test]
fn duplicates_are_replaced_a_few_times() {
    let mut m = machine(secret(), false);
    let mut tried = vec![m.link_local().unwrap()];
    for n in 0..4_u64 {
        let now = secs(n * 10);
        m.note_duplicate(now, tried.last().unwrap().addr6().unwrap());
        assert_eq!(m.link_local(), None, "not at once");
        let told = run(&mut m, n * 10 + 1);
        match told[..] {
            [(_, Event::Gone(_)), (at, Event::Address(next))] if n < 3 => {
                assert!(at <= n * 10 + 1 && !tried.contains(&next), "{told:?}");
                assert_eq!(m.link_local(), Some(next));
                tried.push(next);
            }
            _ => assert_eq!((n, &told[..]), (3, &[][..])),
        }
    }
    let Stats {
        duplicates,
        gave_up,
        ..
    } = m.stats();
    assert_eq!((duplicates, gave_up, m.poll_timeout()), (4, 1, None));
    // The counter goes up by one, whoever counts.
    let Identifiers::Stable { .. } = secret() else {
        unreachable!()
    };
    let link = cidr("fe80::/64");
    for (counter, tried) in (0..).zip(&tried) {
        let identifier = secret().of(link, counter).unwrap();
        assert_eq!(slaac::complete(link, identifier), Some(*tried));
    }
    // Of a station address there is only one.
    let mut m = machine(fixed(), false);
    say(&mut m, 0, "fd09::/64", HOUR, HOUR);
    m.note_duplicate(secs(1), "fd09::ff:fe00:7".parse().unwrap());
    assert_eq!((events(&mut m).len(), m.stats().gave_up), (0, 1));
    assert_eq!(
        m.poll_timeout(),
        Some(secs(3600)),
        "its time passes as before"
    );
}

#[test]
fn temporary_addresses_follow_one_another() {
    let mut m = machine(fixed(), true);
    let mut last = temporary(&say(&mut m, 0, "fd09::/64", u32::MAX, u32::MAX));
    let mut born = 0;
    let mut deprecated = vec![];
    // For three weeks: each is made 5 s before the last is deprecated, 0.6 to 1 day after that was
    // made, and is gone after two days.
    for (at, event) in run(&mut m, 21 * u64::from(DAY)) {
        match event {
            Event::Temporary(next) => {
                let age = at + 5 - born;
                assert!((51_840..=86_400).contains(&age), "{age}");
                assert_ne!(next, last);
                deprecated.push((last.addr6().unwrap(), at + 5, born));
                (last, born) = (next, at);
            }
            Event::Deprecated(addr, true) => {
                let (of, when, _) = *deprecated.iter().find(|d| d.0 == addr).unwrap();
                assert_eq!((of, when), (addr, at));
            }
            Event::Gone(addr) => {
                let (.., born) = *deprecated.iter().find(|d| d.0 == addr).unwrap();
                assert_eq!(at, born + 2 * u64::from(DAY));
            }
            _ => panic!("{event:?}"),
        }
        assert!(
            m.made().count() <= 5,
            "one stable, one preferred, few deprecated"
        );
    }
    assert!(
        (21..=35).contains(&deprecated.len()),
        "{}",
        deprecated.len()
    );
    let ages: Vec<_> = deprecated.iter().map(|d| d.1 - d.2).collect();
    assert!(ages.iter().any(|a| *a != ages[0]), "each by chance");
}

#[test]
fn temporary_addresses_end_with_their_prefix() {
    let mut m = machine(fixed(), true);
    let one = temporary(&say(&mut m, 0, "fd09::/64", HOUR, 1800));
    let of = |m: &Autoconf, cidr: Cidr| *m.lifetimes(cidr.addr()).unwrap();
    let lives = |m: &Autoconf| (of(m, one).preferred_until, of(m, one).valid_until);
    assert_eq!(lives(&m), (Some(secs(1800)), Some(secs(3600))));
    // Told again, it lives longer, and no second one is made.
    assert_eq!(say(&mut m, 60, "fd09::/64", HOUR, 1800), []);
    assert_eq!(lives(&m), (Some(secs(1860)), Some(secs(3660))));
    // Renumbering: all of it is deprecated at once, and nothing new is made of it.
    let told = say(&mut m, 100, "fd09::/64", HOUR, 0);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|e| matches!(e, Event::Deprecated(_, true))));
    assert_eq!(run(&mut m, 3699), []);
    let told = run(&mut m, 3700);
    assert_eq!((told.len(), m.made().count()), (2, 0), "{told:?}");
    // Too short to be worth it.
    assert_eq!(say(&mut m, 4000, "fd09::/64", HOUR, 5).len(), 1);
    assert_eq!(m.made().filter(|m| m.temporary).count(), 0);
    temporary(&say(&mut m, 4001, "fd09::/64", HOUR, 6));
    // However long a router says, two days are the most.
    let mut m = machine(fixed(), true);
    let two = temporary(&say(&mut m, 0, "fd09::/64", u32::MAX, u32::MAX));
    say(&mut m, 9 * 3600, "fd09::/64", u32::MAX, u32::MAX);
    let Made {
        preferred_until,
        valid_until,
        ..
    } = of(&m, two);
    assert_eq!(valid_until, Some(secs(2 * u64::from(DAY))));
    assert!(preferred_until.unwrap() <= secs(u64::from(DAY)));
}

#[test]
fn temporary_duplicates_are_replaced_a_few_times() {
    let mut m = machine(fixed(), true);
    let mut last = temporary(&say(&mut m, 0, "fd09::/64", DAY, DAY));
    for n in 1..=3 {
        m.note_duplicate(secs(n), last.addr6().unwrap());
        let told = events(&mut m);
        assert_eq!(told[0], Event::Gone(last.addr6().unwrap()));
        assert_eq!(told.len(), if n < 3 { 2 } else { 1 }, "{told:?}");
        if n < 3 {
            last = temporary(&told);
        }
    }
    assert_eq!((m.stats().duplicates, m.stats().gave_up), (3, 1));
    // None of this prefix any more; another prefix is another matter.
    assert_eq!(say(&mut m, 60, "fd09::/64", DAY, DAY), []);
    temporary(&say(&mut m, 60, "fd0a::/64", DAY, DAY));
    // One that was unlucky once begins anew with the next.
    let mut m = machine(fixed(), true);
    let first = temporary(&say(&mut m, 0, "fd09::/64", u32::MAX, u32::MAX));
    m.note_duplicate(secs(1), first.addr6().unwrap());
    events(&mut m);
    let made = run(&mut m, 30 * u64::from(DAY));
    assert!(
        made.iter()
            .filter(|(_, e)| matches!(e, Event::Temporary(_)))
            .count()
            >= 30
    );
}

#[test]
fn floods_fill_no_more_than_the_lists() {
    let mut m = machine(secret(), true);
    m.link_local();
    for n in 0..5000 {
        say(&mut m, 0, &std::format!("fd09:{n:x}::/64"), DAY, DAY);
    }
    let count = |temporary| m.made().filter(|m| m.temporary == temporary).count();
    assert_eq!((count(false), count(true)), (17, 16));
    let small = Config {
        max_temporary: 4,
        ..Config::default()
    };
    let mut m = Autoconf::new(small, secret(), true, Rng::from_seed(1));
    for n in 0..10 {
        say(
            &mut m,
            0,
            &std::format!("fd09:{n:x}::/64"),
            u32::MAX,
            u32::MAX,
        );
    }
    run(&mut m, 9 * u64::from(DAY));
    assert_eq!(m.made().filter(|m| m.temporary).count(), 4);
}
