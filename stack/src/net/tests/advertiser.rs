//! When advertisements leave.

use super::*;
use crate::wire::icmpv6::Message;
use std::vec;

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
/// What RFC 4861 §10 has, and a default.
const MIN_DELAY_BETWEEN_RAS: Duration = Duration::from_secs(3);
const US: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

fn secs(n: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(n)
}

fn machine(seed: u64) -> Advertiser {
    Advertiser::new(Config::default(), 1460, Rng::from_seed(seed))
}

/// Lets time pass; when each advertisement left, and its lifetime.
fn run(m: &mut Advertiser, from: Instant, until: Instant) -> Vec<(Instant, u16)> {
    let (mut now, mut sent) = (from, Vec::new());
    loop {
        m.handle_timeout(now);
        while let Some(out) = m.poll_transmit(now, MAC, US) {
            assert_eq!((out.src, out.dst, out.to), (US, ALL_NODES, None));
            let (_, message) = Message::parse(&out.message).unwrap();
            let Message::RouterAdvertisement(said) = message else {
                panic!("{message:?}")
            };
            sent.push((now, said.router_lifetime));
        }
        match m.poll_timeout().filter(|at| *at <= until) {
            Some(at) => now = now.max(at),
            None => return sent,
        }
    }
}

fn gaps(sent: &[(Instant, u16)]) -> Vec<Duration> {
    sent.windows(2).map(|w| w[1].0.since(w[0].0)).collect()
}

#[test]
fn silent_until_it_is_started() {
    let mut m = machine(1);
    m.handle_solicitation(secs(1), Ipv6Addr::UNSPECIFIED);
    assert_eq!(run(&mut m, secs(1), secs(10_000)), []);
    m.stop(secs(10_000));
    assert!(!m.has_output(), "nothing to end");
}

#[test]
fn soon_at_first_and_at_random_then() {
    for seed in 0..50 {
        let mut m = machine(seed);
        m.start(secs(5));
        m.start(secs(5));
        let sent = run(&mut m, secs(5), secs(20_000));
        assert!(sent[0].0.since(secs(5)) < MAX_RA_DELAY_TIME);
        let gaps = gaps(&sent);
        let first = MAX_INITIAL_RTR_ADVERT_INTERVAL;
        assert_eq!(gaps[..2], [first, first], "seed {seed}");
        let within = Duration::from_secs(198)..Duration::from_secs(600);
        assert!(gaps[2..].iter().all(|g| within.contains(g)), "seed {seed}");
        assert!(gaps[2..].windows(2).any(|w| w[0] != w[1]));
        assert!(sent.iter().all(|(_, lifetime)| *lifetime == 1800));
    }
}

#[test]
fn who_asks_is_answered_within_half_a_second() {
    let mut delays = Vec::new();
    for seed in 0..50 {
        let mut m = machine(seed);
        m.start(secs(0));
        run(&mut m, secs(0), secs(100));
        let asked = secs(100);
        m.handle_solicitation(asked, Ipv6Addr::UNSPECIFIED);
        // Others who ask meanwhile change nothing.
        let at = m.poll_timeout().unwrap();
        m.handle_solicitation(asked + Duration::from_millis(1), Ipv6Addr::UNSPECIFIED);
        assert_eq!(m.poll_timeout(), Some(at));
        let sent = run(&mut m, asked, secs(101));
        assert_eq!(sent.len(), 1, "seed {seed}");
        let delay = sent[0].0.since(asked);
        assert!(delay < MAX_RA_DELAY_TIME, "seed {seed}");
        delays.push(delay);
        // The interval began anew.
        let next = m.poll_timeout().unwrap().since(sent[0].0);
        assert!(next >= Duration::from_secs(198), "seed {seed}");
    }
    delays.sort_unstable();
    delays.dedup();
    assert!(delays.len() > 40, "at random");
}

#[test]
fn a_flood_of_questions_has_an_answer_in_three_seconds() {
    let mut m = machine(7);
    m.start(secs(0));
    let mut sent = Vec::new();
    for n in 0..6000 {
        let now = Instant::ZERO + Duration::from_millis(10 * n);
        m.handle_solicitation(now, Ipv6Addr::UNSPECIFIED);
        sent.extend(run(&mut m, now, now));
    }
    assert!(gaps(&sent).iter().all(|g| *g >= MIN_DELAY_BETWEEN_RAS));
    assert!((15..=20).contains(&sent.len()), "{}", sent.len());
    assert_eq!(m.stats().solicitations_in, 6000);
    assert_eq!(m.stats().advertisements_out, sent.len() as u64);
}

#[test]
fn an_answer_is_no_later_than_what_is_due_anyway() {
    let mut m = machine(3);
    m.start(secs(0));
    run(&mut m, secs(0), secs(1));
    let due = m.poll_timeout().unwrap();
    let just_before = Instant::from_nanos(due.as_nanos() - 1_000_000);
    m.handle_solicitation(just_before, Ipv6Addr::UNSPECIFIED);
    assert!(m.poll_timeout().unwrap() <= due);
}

#[test]
fn the_end_is_told_three_times() {
    let mut m = machine(2);
    m.start(secs(0));
    run(&mut m, secs(0), secs(50));
    m.stop(secs(50));
    assert!(m.has_output(), "at once");
    m.handle_solicitation(secs(50), Ipv6Addr::UNSPECIFIED);
    let sent = run(&mut m, secs(50), secs(5000));
    assert_eq!(sent, [(secs(50), 0), (secs(53), 0), (secs(56), 0)]);
    // And it may begin again, as if it had never been.
    m.start(secs(57));
    let sent = run(&mut m, secs(57), secs(70));
    assert_eq!((sent.len(), sent[0].1), (1, 1800));
    assert!(sent[0].0 >= secs(59), "three seconds after the last");
    m.halt();
    assert_eq!(run(&mut m, secs(70), secs(9000)), []);
}

#[test]
fn a_contradiction_is_told_once_and_counted_each_time() {
    let mut m = machine(1);
    m.start(secs(0));
    let said = RouterAdvertisement {
        cur_hop_limit: 255,
        flags: crate::wire::ndp::RouterFlags(0),
        router_lifetime: 0,
        reachable_time: 0,
        retrans_timer: 0,
        options: &[],
    };
    for n in 0..3 {
        m.handle_advertisement(secs(n), US, &said);
    }
    let events: Vec<_> = core::iter::from_fn(|| m.poll_event()).collect();
    assert_eq!(events, vec![Event::Disagrees(US, Disagreement::HopLimit)]);
    assert_eq!(m.stats().disagreements, 3);
    // However many there are, few are told of.
    for n in 0..1000 {
        let from = Ipv6Addr::from_bits(US.to_bits() + n);
        m.handle_advertisement(secs(9), from, &said);
    }
    assert_eq!(core::iter::from_fn(|| m.poll_event()).count(), MAX_TOLD - 1);
}

//= RFC 4861 §6.2.6
#[test]
fn who_asks_may_be_answered_alone() {
    let host = |n: u16| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, n);
    let config = Config {
        unicast_answers: true,
        ..Config::default()
    };
    let mut m = Advertiser::new(config, 1460, Rng::from_seed(1));
    m.start(secs(0));
    run(&mut m, secs(0), secs(100));
    let all = m.stats().advertisements_out;
    // The next to all is minutes away; each is answered once, however often it asks.
    let asked = secs(100);
    for n in [1, 2, 1, 1] {
        m.handle_solicitation(asked, host(n));
    }
    let (mut now, mut sent) = (asked, Vec::new());
    while sent.len() < 2 {
        now = m.poll_timeout().unwrap().max(now);
        assert!(now.since(asked) <= MAX_RA_DELAY_TIME);
        m.handle_timeout(now);
        assert!(m.has_output());
        while let Some(out) = m.poll_transmit(now, MAC, US) {
            sent.push(out.dst);
        }
    }
    sent.sort();
    assert_eq!(sent, [host(1), host(2)]);
    assert!(!m.has_output());
    let stats = m.stats();
    assert_eq!((stats.unicast_out, stats.advertisements_out), (2, all + 2));
    // Who has no address, and who finds sixteen others waiting, is answered by all nodes' group.
    for n in 0..20 {
        m.handle_solicitation(now, host(n));
    }
    m.handle_solicitation(now, Ipv6Addr::UNSPECIFIED);
    let (start, mut kinds) = (now, [0, 0]);
    while let Some(at) = m
        .poll_timeout()
        .filter(|at| at.since(start) < secs(5).since(secs(0)))
    {
        now = now.max(at);
        m.handle_timeout(now);
        while let Some(out) = m.poll_transmit(now, MAC, US) {
            kinds[usize::from(out.dst == ALL_NODES)] += 1;
        }
    }
    assert!(kinds[0] <= MAX_ASKED && kinds[1] == 1, "{kinds:?}");
}

#[test]
fn the_least_delay_is_the_links() {
    let config = Config {
        min_delay: Duration::from_millis(100),
        ..Config::default()
    };
    assert_eq!(config.check(), Ok(()));
    let mut m = Advertiser::new(config, 1460, Rng::from_seed(7));
    m.start(secs(5));
    run(&mut m, secs(5), secs(100));
    // Whoever asks gets an answer, however soon after the last.
    let asked = |m: &mut Advertiser, now: Instant| {
        m.handle_solicitation(now, Ipv6Addr::UNSPECIFIED);
        run(m, now, now + Duration::from_millis(600))[0]
            .0
            .since(now)
    };
    let first = asked(&mut m, secs(100));
    let second = asked(&mut m, secs(100) + Duration::from_millis(700));
    assert!(
        first <= MAX_RA_DELAY_TIME && second <= MAX_RA_DELAY_TIME,
        "{first:?} {second:?}"
    );
}
