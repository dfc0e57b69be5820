//! What routers say, and what a host makes of it over time.

use super::*;
use crate::net::autoconf::Event as Own;
use crate::wire::Writer;
use crate::wire::ndp::RouterFlags;
use std::vec;
use std::vec::Vec;

fn secs(n: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(n)
}

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn machine() -> Routers {
    let ids = crate::net::slaac::Identifiers::Eui64(crate::wire::MacAddr([2, 0, 0, 0, 0, 7]));
    let own = Autoconf::new(autoconf::Config::default(), ids, false, Rng::from_seed(2));
    Routers::new(Config::default(), own, Rng::from_seed(1))
}

fn prefix(text: &str, flags: &str, valid: u32, preferred: u32) -> PrefixInformation {
    let cidr = cidr(text);
    PrefixInformation {
        prefix_len: cidr.prefix_len(),
        on_link: flags.contains('L'),
        autonomous: flags.contains('A'),
        router_address: false,
        reserved: 0,
        valid_lifetime: valid,
        preferred_lifetime: preferred,
        reserved2: 0,
        prefix: cidr.addr6().unwrap(),
    }
}

/// An advertisement with these prefixes; what the machine tells.
fn say(
    m: &mut Routers,
    now: Instant,
    from: &str,
    (lifetime, preference): (u16, Preference),
    prefixes: &[PrefixInformation],
) -> Vec<Event> {
    let mut bytes = Vec::new();
    for prefix in prefixes {
        let option = NdpOption::PrefixInformation(*prefix);
        let mut room = vec![0; option.emit_len()];
        option.emit(&mut Writer::new(&mut room)).unwrap();
        bytes.extend(room);
    }
    let advertisement = RouterAdvertisement {
        cur_hop_limit: 0,
        flags: RouterFlags(0).with_preference(preference),
        router_lifetime: lifetime,
        reachable_time: 0,
        retrans_timer: 0,
        options: &bytes,
    };
    m.handle_advertisement(now, ip(from), &advertisement);
    events(m)
}

fn events(m: &mut Routers) -> Vec<Event> {
    core::iter::from_fn(|| m.poll_event()).collect()
}

#[test]
fn asks_until_a_router_answers() {
    let mut m = machine();
    m.start(secs(0));
    let mut at = vec![];
    for _ in 0..14 {
        let now = m.poll_timeout().unwrap();
        m.handle_timeout(now);
        assert!(m.poll_transmit(now) && !m.poll_transmit(now));
        at.push(now);
    }
    assert!(at[0] < secs(1));
    let gaps: Vec<_> = at.windows(2).map(|w| (w[1] - w[0]).as_millis()).collect();
    assert!((3600..=4400).contains(&gaps[0]), "{gaps:?}");
    assert!((7200..=8800).contains(&gaps[1]), "{gaps:?}");
    assert!((3_240_000..=3_960_000).contains(&gaps[12]), "{gaps:?}");
    let now = *at.last().unwrap();
    say(&mut m, now, "fe80::1", (0, Preference::Medium), &[]);
    assert!(m.poll_timeout().is_some(), "no default router yet");
    say(&mut m, now, "fe80::1", (1800, Preference::Medium), &[]);
    assert_eq!(m.poll_timeout(), Some(now + Duration::from_secs(1800)));
}

#[test]
fn the_best_router_is_used_and_stays() {
    use Preference::{High, Low, Medium, Reserved};
    let mut m = machine();
    let chosen = |addr: &str| vec![Event::DefaultRouter(Some(ip(addr)))];
    assert_eq!(
        say(&mut m, secs(0), "fe80::1", (100, Medium), &[]),
        chosen("fe80::1")
    );
    // As good, or worse: nothing changes.
    assert_eq!(say(&mut m, secs(0), "fe80::2", (900, Reserved), &[]), []);
    assert_eq!(say(&mut m, secs(0), "fe80::3", (900, Low), &[]), []);
    assert_eq!(
        say(&mut m, secs(0), "fe80::4", (50, High), &[]),
        chosen("fe80::4")
    );
    m.note_silent(ip("fe80::4"));
    assert_eq!(events(&mut m), chosen("fe80::1"));
    // It is heard again.
    assert_eq!(
        say(&mut m, secs(9), "fe80::4", (50, High), &[]),
        chosen("fe80::4")
    );
    m.handle_timeout(secs(59));
    assert_eq!(events(&mut m), chosen("fe80::1"));
    m.handle_timeout(secs(100));
    assert_eq!(events(&mut m), chosen("fe80::2"));
    m.forget(ip("fe80::2"));
    assert_eq!(events(&mut m), chosen("fe80::3"));
    assert_eq!(
        say(&mut m, secs(101), "fe80::3", (0, Low), &[]),
        [Event::DefaultRouter(None)]
    );
    // All silent: each is tried in turn.
    say(&mut m, secs(102), "fe80::1", (900, Medium), &[]);
    say(&mut m, secs(102), "fe80::2", (900, Medium), &[]);
    m.note_silent(ip("fe80::1"));
    assert_eq!(events(&mut m), chosen("fe80::2"));
    m.note_silent(ip("fe80::2"));
    assert_eq!(events(&mut m), chosen("fe80::1"));
    m.note_silent(ip("fe80::1"));
    assert_eq!(events(&mut m), chosen("fe80::2"));
}

#[test]
fn what_prefixes_do() {
    let none = (0, Preference::Medium);
    let made = Event::Own(Own::Address(cidr("fd09::ff:fe00:7/64")));
    let on = Event::OnLink(cidr("fd09::/64"));
    for (said, want) in [
        (prefix("fd09::/64", "LA", 900, 600), vec![on, made]),
        (prefix("fd09::77/64", "L", 900, 600), vec![on]),
        (prefix("fd09::/64", "A", 900, 600), vec![made]),
        (prefix("fd09::/64", "A", 600, 900), vec![]),
        (prefix("fd09::/64", "LA", 0, 0), vec![]),
        (prefix("fd09::/64", "", 900, 600), vec![]),
        (prefix("fe80::/64", "LA", 900, 600), vec![]),
        (prefix("ff02::/64", "LA", 900, 600), vec![]),
        (prefix("::/0", "L", 900, 600), vec![]),
        (
            prefix("fd09::/48", "LA", 900, 600),
            vec![Event::OnLink(cidr("fd09::/48"))],
        ),
    ] {
        let got = say(&mut machine(), secs(0), "fe80::1", none, &[said]);
        assert_eq!(got, want, "{said:?}");
    }
    // Their times pass.
    let mut m = machine();
    let said = prefix("fd09::/64", "LA", 900, 600);
    say(&mut m, secs(0), "fe80::1", none, &[said]);
    let addr = ip("fd09::ff:fe00:7");
    assert_eq!(m.poll_timeout(), Some(secs(600)));
    m.handle_timeout(secs(600));
    assert_eq!(events(&mut m), [Event::Own(Own::Deprecated(addr, true))]);
    assert_eq!(m.poll_timeout(), Some(secs(900)));
    // Preferred again.
    let again = say(&mut m, secs(700), "fe80::1", none, &[said]);
    assert_eq!(again, [Event::Own(Own::Deprecated(addr, false))]);
    m.handle_timeout(secs(1600));
    let off = Event::OffLink(cidr("fd09::/64"));
    assert_eq!(events(&mut m), [off, Event::Own(Own::Gone(addr))]);
    assert_eq!(m.poll_timeout(), None);
}

#[test]
fn floods_fill_no_more_than_the_lists() {
    let mut m = machine();
    for n in 0..5000_u32 {
        let from = std::format!("fe80::{n:x}");
        let said = prefix(&std::format!("fd09:{:x}::/64", n % 0xffff), "LA", 900, 600);
        say(&mut m, secs(0), &from, (900, Preference::Medium), &[said]);
    }
    assert_eq!((m.routers().len(), m.autoconf().made().count()), (16, 16));
    assert_eq!(m.prefixes.len(), 32);
    assert_eq!(m.stats().refused, 4984 + 4968);
    assert_eq!(m.autoconf().stats().refused, 4984);
    m.handle_timeout(secs(1000));
    assert_eq!((m.poll_timeout(), m.routers().len()), (None, 0));
}

/// What the machine tells after an advertisement that says all this.
fn told(
    m: &mut Routers,
    now: Instant,
    from: &str,
    (hops, reachable, retrans): (u8, u32, u32),
    said: &[NdpOption<'_>],
) -> Vec<Event> {
    let mut bytes = Vec::new();
    for option in said {
        let mut room = vec![0; option.emit_len()];
        option.emit(&mut Writer::new(&mut room)).unwrap();
        bytes.extend(room);
    }
    let advertisement = RouterAdvertisement {
        cur_hop_limit: hops,
        flags: RouterFlags(0),
        router_lifetime: 0,
        reachable_time: reachable,
        retrans_timer: retrans,
        options: &bytes,
    };
    m.handle_advertisement(now, ip(from), &advertisement);
    events(m)
}

#[test]
fn the_link_is_as_routers_say_within_limits() {
    let mut m = machine();
    let mtu = |mtu| [NdpOption::Mtu { reserved: 0, mtu }];
    let ms = Duration::from_millis;
    let mut want = Link {
        hop_limit: Some(42),
        mtu: Some(1400),
        reachable_time: Some(ms(10_000)),
        retrans_timer: Some(ms(500)),
    };
    let got = told(&mut m, secs(0), "fe80::1", (42, 10_000, 500), &mtu(1400));
    assert_eq!(got, [Event::Link(want)]);
    // What is not said, or is absurd, changes nothing.
    for (fields, option) in [((0, 0, 0), 1400), ((1, 0, 0), 1279), ((9, 0, 0), 0)] {
        let got = told(&mut m, secs(1), "fe80::1", fields, &mtu(option));
        assert_eq!(got, [], "{fields:?} {option}");
    }
    want.reachable_time = Some(Duration::from_secs(1));
    want.retrans_timer = Some(Duration::from_secs(10));
    let got = told(&mut m, secs(1), "fe80::1", (42, 1, u32::MAX), &[]);
    assert_eq!(got, [Event::Link(want)]);
}

#[test]
fn more_specific_routes_by_preference_and_reach() {
    use Preference::{High, Low, Medium};
    let flags = |preference| RouterFlags(0).with_preference(preference).0;
    let octets = |text: &str| cidr(text).addr6().unwrap().octets();
    let say = |m: &mut Routers, now: u64, from: &str, to: &str, preference, lifetime| {
        let prefix = octets(to);
        let option = NdpOption::RouteInformation {
            prefix_len: cidr(to).prefix_len(),
            flags: flags(preference),
            lifetime,
            prefix: &prefix,
        };
        told(m, secs(now), from, (0, 0, 0), &[option])
    };
    let route = |to: &str, by: &str| Event::Route(cidr(to), (!by.is_empty()).then(|| ip(by)));
    // RFC 4191 §3.6's example, with its host.
    let mut m = machine();
    let (w, x, y, z) = ("fe80::a", "fe80::b", "fe80::c", "fe80::d");
    let (two, db8) = ("2002::/16", "2001:db8::/32");
    let everywhere = say(&mut m, 0, w, "::/0", Medium, 600);
    assert_eq!(everywhere, [Event::DefaultRouter(Some(ip(w)))]);
    assert_eq!(say(&mut m, 0, x, two, Medium, 600), [route(two, x)]);
    assert_eq!(say(&mut m, 0, z, db8, Low, 900), [route(db8, z)]);
    assert_eq!(say(&mut m, 0, y, db8, High, 600), [route(db8, y)]);
    m.note_silent(ip(y));
    assert_eq!(events(&mut m), [route(db8, z)]);
    m.note_silent(ip(z));
    assert_eq!(events(&mut m), [route(db8, "")], "to W");
    m.note_silent(ip(w));
    assert_eq!(events(&mut m), [route(db8, y)], "the best after all");
    // Who is heard is not silent.
    assert_eq!(say(&mut m, 9, z, db8, Low, 900), [route(db8, z)]);
    m.handle_timeout(secs(600));
    let gone = [Event::DefaultRouter(None), route(two, "")];
    assert_eq!(events(&mut m), gone);
    assert_eq!(say(&mut m, 601, z, db8, Low, 0), [route(db8, "")]);
    // What may not be.
    let reserved = Preference::Reserved;
    assert_eq!(say(&mut m, 700, x, two, reserved, 600), []);
    assert_eq!(say(&mut m, 700, x, "fe80::/10", High, 600), []);
    assert_eq!(say(&mut m, 700, x, "ff00::/8", High, 600), []);
    for n in 0..100 {
        say(
            &mut m,
            700,
            x,
            &std::format!("2001:db8:{n:x}::/48"),
            High,
            60,
        );
    }
    assert_eq!((m.routes().len(), m.stats().refused), (32, 68));
    m.forget(ip(x));
    assert_eq!((m.routes().len(), events(&mut m).len()), (0, 32));
    assert_eq!(m.poll_timeout(), None);
}

#[test]
fn names_are_learned_and_end() {
    let mut m = machine();
    let servers = ip("fd09::53").octets();
    let said = [
        NdpOption::Rdnss {
            reserved: 0,
            lifetime: 60,
            servers: crate::wire::ipv6::Addresses::new(&servers).unwrap(),
        },
        NdpOption::Dnssl {
            reserved: 0,
            lifetime: 90,
            names: b"\x03lab\0\0\0\0",
        },
    ];
    told(&mut m, secs(0), "fe80::1", (0, 0, 0), &said);
    assert_eq!(m.dns().servers()[0].value, ip("fd09::53"));
    assert_eq!(m.dns().domains()[0].value, "lab");
    assert_eq!(m.poll_timeout(), Some(secs(60)));
    m.handle_timeout(secs(60));
    assert_eq!((m.dns().servers().len(), m.dns().domains().len()), (0, 1));
    m.handle_timeout(secs(90));
    assert_eq!((m.dns().domains().len(), m.poll_timeout()), (0, None));
}

//= RFC 6724 §5 rule 5.5
#[test]
fn who_advertised_a_prefix_is_known_while_it_is_valid() {
    let mut m = machine();
    let own = |m: &Routers, router: &str| {
        let said = m.has_advertised(ip(router), ip("fd09::7"));
        said == Some(true)
    };
    let usual = (1800, Preference::Medium);
    let said = |valid| [prefix("fd09::/64", "LA", valid, 0)];
    say(&mut m, secs(0), "fe80::1", usual, &said(100));
    say(
        &mut m,
        secs(0),
        "fe80::2",
        (0, Preference::Medium),
        &said(600),
    );
    assert!(own(&m, "fe80::1") && own(&m, "fe80::2") && !own(&m, "fe80::3"));
    assert_eq!(m.has_advertised(ip("fe80::1"), ip("fd0a::7")), None);
    assert_eq!(m.has_advertised(ip("fe80::3"), ip("fd09::7")), Some(false));
    m.handle_timeout(secs(101));
    assert!(!own(&m, "fe80::1") && own(&m, "fe80::2"));
    say(&mut m, secs(102), "fe80::2", usual, &said(0));
    assert!(!own(&m, "fe80::2"), "it takes it back");
    say(&mut m, secs(103), "fe80::1", usual, &said(100));
    m.forget(ip("fe80::1"));
    assert!(!own(&m, "fe80::1"));
    // A flood of routers fills no more than the list.
    for n in 0..5000u16 {
        let from = std::format!("fe80::{:x}", n + 16);
        say(
            &mut m,
            secs(104),
            &from,
            (0, Preference::Medium),
            &said(9000),
        );
    }
    assert_eq!(m.origins.len(), m.config.max_prefixes * 2);
}
