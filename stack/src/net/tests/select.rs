//! RFC 6724's own examples (§10), and each rule where they show nothing of it.

use super::*;
use std::string::{String, ToString as _};

/// `+` in front: temporary; `!`: deprecated; `?`: of another interface; `^`: of the next hop's prefix;
/// `*`: of another router's.
fn candidate(text: &str) -> Candidate {
    let addr = text.trim_start_matches(['+', '!', '?', '^', '*']);
    let cidr = match addr.contains('/') {
        true => addr.parse(),
        false => std::format!("{addr}/64").parse(),
    };
    Candidate {
        cidr: cidr.unwrap(),
        deprecated: text.contains('!'),
        temporary: text.contains('+'),
        outgoing: !text.contains('?'),
        by_next_hop: match (text.contains('^'), text.contains('*')) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        },
    }
}

fn chosen(dst: &str, ours: &[&str], prefer_temporary: bool) -> String {
    let candidates = ours.iter().map(|text| candidate(text));
    let dst = dst.parse().unwrap();
    let best = source(&Policy::default(), dst, prefer_temporary, candidates);
    best.map_or_else(String::new, |c| c.cidr.addr().to_string())
}

#[test]
fn sources_by_each_rule() {
    for (dst, ours, want) in [
        // RFC 6724 §10.1.
        (
            "2001:db8:1::1",
            &["2001:db8:3::1", "fe80::1"][..],
            "2001:db8:3::1",
        ),
        ("ff05::1", &["2001:db8:3::1", "fe80::1"], "2001:db8:3::1"),
        (
            "2001:db8:1::1",
            &["2001:db8:1::1", "!2001:db8:2::1"],
            "2001:db8:1::1",
        ),
        ("fe80::1", &["!fe80::2", "2001:db8:1::1"], "fe80::2"),
        (
            "2001:db8:1::1",
            &["2001:db8:1::2", "2001:db8:3::2"],
            "2001:db8:1::2",
        ),
        (
            "2002:c633:6401::1",
            &["2002:c633:6401::d5e3:7953:13eb:22e8", "2001:db8:1::2"],
            "2002:c633:6401:0:d5e3:7953:13eb:22e8",
        ),
        (
            "2001:db8:1::d5e3:0:0:1",
            &["2001:db8:1::2", "+2001:db8:1::d5e3:7953:13eb:22e8"],
            "2001:db8:1:0:d5e3:7953:13eb:22e8",
        ),
        // The same address, though it is deprecated.
        ("fd07::1", &["fd07::2", "!fd07::1"], "fd07::1"),
        // A scope that does not reach is worse than a deprecated address.
        (
            "2001:db8::1",
            &["fe80::1", "!2001:db8:9::1"],
            "2001:db8:9::1",
        ),
        ("ff02::1", &["2001:db8:9::1", "fe80::1"], "fe80::1"),
        (
            "ff05::1",
            &["fe80::1", "fec0::1", "2001:db8:9::1"],
            "fec0::1",
        ),
        (
            "2001:db8::1",
            &["!2001:db8::2", "2001:db8:9::1"],
            "2001:db8:9::1",
        ),
        (
            "2001:db8::1",
            &["?2001:db8::2", "2001:db8:9::1"],
            "2001:db8:9::1",
        ),
        // The next hop's prefix: behind the interface, in front of labels and longer prefixes.
        (
            "2001:db8::1",
            &["*2001:db8::2", "^2001:db8:9::1"],
            "2001:db8:9::1",
        ),
        (
            "2001:db8::1",
            &["?^2001:db8:8::2", "*2001:db8:9::1"],
            "2001:db8:9::1",
        ),
        // Of what no router has given it says nothing.
        (
            "2001:db8::1",
            &["2001:db8::2", "^2001:db8:9::1"],
            "2001:db8::2",
        ),
        ("fd09::1", &["^2001:db8:9::1", "*fd77::1"], "2001:db8:9::1"),
        // Labels: unique local to unique local.
        ("fd09::1", &["2001:db8:9::1", "fd77::1"], "fd77::1"),
        ("2001:db8::1", &["fd77::1", "2620::1"], "2620::1"),
        // Up to our prefix: these two have as much in common.
        ("fd07::2", &["fd07::1", "fd07::3"], "fd07::1"),
        (
            "fd07:0:0:4::2",
            &["fd07:0:0:8::1/56", "fd07:0:0:5::1"],
            "fd07:0:0:5::1",
        ),
        ("fd07::2", &[], ""),
    ] {
        assert_eq!(chosen(dst, ours, true), want, "{dst} {ours:?}");
        let mut turned = ours.to_vec();
        turned.reverse();
        if dst != "fd07::2" {
            assert_eq!(chosen(dst, &turned, true), want, "{dst} {turned:?}");
        }
    }
    let both = ["+fd07::5", "fd07::1"];
    assert_eq!(chosen("fd09::2", &both, true), "fd07::5");
    assert_eq!(chosen("fd09::2", &both, false), "fd07::1");
}

/// Destinations as `address<source`; what comes of them.
fn ordered(policy: &Policy, all: &[&str]) -> Vec<String> {
    let mut all: Vec<_> = all
        .iter()
        .map(|text| {
            let (addr, from) = text.split_once('<').unwrap_or((text, ""));
            let from_is = |c: char| from.contains(c);
            let plain = from.trim_start_matches(['!', '~']);
            let len = if plain.contains(':') { 64 } else { 24 };
            let plain = match plain.contains('/') {
                true => plain.to_string(),
                false => std::format!("{plain}/{len}"),
            };
            Destination {
                addr: addr.parse().unwrap(),
                source: plain.parse().ok(),
                deprecated: from_is('!'),
                encapsulated: from_is('~'),
            }
        })
        .collect();
    order(policy, &mut all);
    all.iter().map(|d| d.addr.to_string()).collect()
}

#[test]
fn destinations_by_each_rule() {
    let policy = Policy::default();
    for (all, want) in [
        // RFC 6724 §10.2.
        (
            &[
                "198.51.100.121<169.254.13.78/16",
                "2001:db8:1::1<2001:db8:1::2",
            ][..],
            &["2001:db8:1::1", "198.51.100.121"][..],
        ),
        (
            &["2001:db8:1::1<fe80::1", "198.51.100.121<198.51.100.117"],
            &["198.51.100.121", "2001:db8:1::1"],
        ),
        (
            &["10.1.2.3<10.1.2.4", "2001:db8:1::1<2001:db8:1::2"],
            &["2001:db8:1::1", "10.1.2.3"],
        ),
        (
            &["2001:db8:1::1<2001:db8:1::2", "fe80::1<fe80::2"],
            &["fe80::1", "2001:db8:1::1"],
        ),
        (
            &[
                "2001:db8:1::1<!2001:db8:1::2",
                "2001:db8:9::1<2001:db8:9::2",
            ],
            &["2001:db8:9::1", "2001:db8:1::1"],
        ),
        (
            &[
                "2001:db8:3ffe::1<2001:db8:3f44::2",
                "2001:db8:1::1<2001:db8:1::2",
            ],
            &["2001:db8:1::1", "2001:db8:3ffe::1"],
        ),
        (
            &[
                "2001:db8:1::1<2002:c633:6401::2",
                "2002:c633:6401::1<2002:c633:6401::2",
            ],
            &["2002:c633:6401::1", "2001:db8:1::1"],
        ),
        (
            &[
                "2002:c633:6401::1<2002:c633:6401::2",
                "2001:db8:1::1<2001:db8:1::2",
            ],
            &["2001:db8:1::1", "2002:c633:6401::1"],
        ),
        // What cannot be reached comes last, however good it is.
        (
            &["2001:db8:1::1", "10.1.2.3<10.1.2.4"],
            &["10.1.2.3", "2001:db8:1::1"],
        ),
        (
            &[
                "2001:db8:1::1<~2001:db8:1::2",
                "2001:db8:9::1<2001:db8:9::2",
            ],
            &["2001:db8:9::1", "2001:db8:1::1"],
        ),
        // As they came.
        (
            &["2001:db8:1::7<2001:db8:1::2", "2001:db8:1::5<2001:db8:1::2"],
            &["2001:db8:1::7", "2001:db8:1::5"],
        ),
        (
            &["10.1.2.9<10.1.2.4", "10.1.2.3<10.1.2.4"],
            &["10.1.2.9", "10.1.2.3"],
        ),
    ] {
        assert_eq!(ordered(&policy, all), want, "{all:?}");
    }
    // RFC 6724 §10.3: IPv4 first.
    let mut rows = policy.0;
    let v4 = rows.iter_mut().find(|r| r.label == 4).unwrap();
    v4.precedence = 100;
    let both = [
        "2001:db8:1::1<2001:db8:1::2",
        "198.51.100.121<198.51.100.117",
    ];
    assert_eq!(
        ordered(&Policy(rows), &both),
        ["198.51.100.121", "2001:db8:1::1"]
    );
}
