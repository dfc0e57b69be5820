//! Settings as messages, what must not be set, and what routers disagree in.

use super::*;
use crate::net::ndp::{ALL_NODES, Heard, check};
use crate::wire::ndp::{DomainNames, options as list};
use std::borrow::ToOwned as _;
use std::string::ToString as _;
use std::vec;

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn usual() -> Occasion {
    Occasion {
        since: Duration::ZERO,
        last: false,
    }
}

/// All that can be said.
fn everything() -> Config {
    Config {
        hop_limit: 33,
        managed: true,
        other_config: true,
        preference: Preference::High,
        lifetime: Some(1800),
        reachable_time: 30_000,
        retrans_timer: 2000,
        mtu: Some(1400),
        interval_option: true,
        prefixes: Some(vec![
            Prefix::new(cidr("fd01::/64")),
            Prefix {
                on_link: false,
                autonomous: false,
                valid_lifetime: 100,
                preferred_lifetime: 50,
                decrement: true,
                ..Prefix::new(cidr("fd02::/48"))
            },
        ]),
        routes: ["::/0", "fd00:1::/48", "fd00:2::1/128"]
            .map(|to| MoreSpecific {
                to: cidr(to),
                preference: Preference::Low,
                lifetime: Some(77),
            })
            .to_vec(),
        dns: vec![ip("fd01::53"), ip("fd02::53")],
        search: vec!["lab.example".to_owned(), "example.".to_owned()],
        captive_portal: Some("https://portal.example/".to_owned()),
        nat64: Some(cidr("64:ff9b::/96")),
        ..Config::default()
    }
}

fn messages(config: &Config, occasion: Occasion, room: usize) -> Vec<Vec<u8>> {
    write(config, occasion, MAC, room, (ip("fe80::1"), ALL_NODES))
}

/// The fixed part and the options of the only message, checked as a host would.
fn only(config: &Config, occasion: Occasion, see: impl FnOnce(&RouterAdvertisement<'_>)) {
    let all = messages(config, occasion, 1460);
    assert_eq!(all.len(), 1);
    let heard = Heard {
        src: ip("fe80::1"),
        dst: ALL_NODES,
        hop_limit: 255,
        mac: MAC,
    };
    assert!(crate::wire::icmpv6::verify(heard.src, heard.dst, &all[0]));
    let valid = check(&all[0], &heard).unwrap();
    assert_eq!(valid.source_mac, config.source_mac.then_some(MAC));
    let Message::RouterAdvertisement(said) = valid.message else {
        panic!("{valid:?}")
    };
    see(&said);
}

#[test]
fn everything_is_said() {
    only(&everything(), usual(), |said| {
        let flags = RouterFlags::MANAGED.0 | RouterFlags::OTHER_CONFIG.0;
        let flags = RouterFlags(flags).with_preference(Preference::High);
        assert_eq!((said.cur_hop_limit, said.flags), (33, flags));
        assert_eq!(
            (
                said.router_lifetime,
                said.reachable_time,
                said.retrans_timer
            ),
            (1800, 30_000, 2000)
        );
        let all: Vec<_> = list(said.options).map(Result::unwrap).collect();
        assert_eq!(all.len(), 12, "{all:?}");
        assert!(all.contains(&NdpOption::Mtu {
            reserved: 0,
            mtu: 1400
        }));
        let prefixes = all.iter().filter_map(|o| match o {
            NdpOption::PrefixInformation(p) => Some((
                p.prefix.to_string(),
                p.prefix_len,
                (p.on_link, p.autonomous),
                (p.valid_lifetime, p.preferred_lifetime),
            )),
            _ => None,
        });
        let want = [
            ("fd01::".to_owned(), 64, (true, true), (2_592_000, 604_800)),
            ("fd02::".to_owned(), 48, (false, false), (100, 50)),
        ];
        assert!(prefixes.eq(want));
        let routes = all.iter().filter_map(|o| match o {
            NdpOption::RouteInformation {
                prefix_len,
                lifetime: 77,
                prefix,
                ..
            } => Some((*prefix_len, prefix.len(), o.preference())),
            _ => None,
        });
        let low = Some(Preference::Low);
        assert!(routes.eq([(0, 0, low), (48, 8, low), (128, 16, low)]));
        let names = all.iter().find_map(|o| match o {
            NdpOption::Dnssl {
                names, lifetime, ..
            } => Some((*names, *lifetime)),
            _ => None,
        });
        let (names, lifetime) = names.unwrap();
        let names: Vec<_> = DomainNames::new(names)
            .map(|n| n.unwrap().to_string())
            .collect();
        assert_eq!(
            (names.join(" ").as_str(), lifetime),
            ("lab.example example", 1800)
        );
        let uri = all.iter().find_map(NdpOption::uri);
        assert_eq!(uri, Some("https://portal.example/"));
        let nat64 = |o: &&NdpOption<'_>| {
            matches!(
                o,
                NdpOption::Pref64 {
                    lifetime: 1800,
                    length_code: 0,
                    ..
                }
            )
        };
        assert!(all.iter().any(|o| nat64(&o)));
    });
}

#[test]
fn the_least_is_said() {
    let config = Config {
        source_mac: false,
        ..Config::default()
    };
    only(&config, usual(), |said| {
        assert_eq!((said.router_lifetime, said.options), (1800, &[][..]));
        assert_eq!(said.flags, RouterFlags(0));
    });
}

#[test]
fn the_last_one_ends_what_goes_by_the_router() {
    let last = Occasion {
        last: true,
        ..usual()
    };
    only(&everything(), last, |said| {
        assert_eq!(said.router_lifetime, 0);
        assert_eq!(said.flags.preference(), Preference::Medium);
        for option in list(said.options).map(Result::unwrap) {
            match option {
                NdpOption::RouteInformation { lifetime, .. }
                | NdpOption::Rdnss { lifetime, .. }
                | NdpOption::Dnssl { lifetime, .. } => assert_eq!(lifetime, 0),
                NdpOption::Pref64 { lifetime, .. } => assert_eq!(lifetime, 0),
                NdpOption::PrefixInformation(p) => assert!(p.valid_lifetime > 0),
                _ => {}
            }
        }
    });
}

#[test]
fn lifetimes_run_down_where_they_shall() {
    let mut prefix = Prefix {
        valid_lifetime: 100,
        preferred_lifetime: 50,
        ..Prefix::new(cidr("fd01::/64"))
    };
    let at = |prefix: Prefix, secs| prefix.lifetimes(Duration::from_secs(secs));
    assert_eq!(at(prefix, 70), (100, 50));
    prefix.decrement = true;
    for (secs, want) in [(0, (100, 50)), (20, (80, 30)), (70, (30, 0)), (900, (0, 0))] {
        assert_eq!(at(prefix, secs), want, "{secs}");
    }
    prefix.valid_lifetime = FOR_EVER;
    assert_eq!(at(prefix, 70), (FOR_EVER, 0));
}

#[test]
fn what_is_long_takes_several_messages() {
    let config = Config {
        prefixes: Some(
            (0..60)
                .map(|n| Prefix::new(cidr(&std::format!("fd01:{n:x}::/64"))))
                .collect(),
        ),
        ..everything()
    };
    let all = messages(&config, usual(), 1240);
    assert!(all.len() > 1 && all.iter().all(|m| m.len() <= 1240));
    let mut prefixes = 0;
    for message in &all {
        let Message::RouterAdvertisement(said) = Message::parse(message).unwrap().1 else {
            panic!()
        };
        assert_eq!(said.router_lifetime, 1800);
        let infos = list(said.options).map(Result::unwrap);
        prefixes += infos
            .filter(|o| matches!(o, NdpOption::PrefixInformation(_)))
            .count();
    }
    assert_eq!(prefixes, 60);
}

#[test]
fn settings_out_of_bounds_are_refused() {
    let secs = Duration::from_secs;
    let prefix = Prefix {
        valid_lifetime: 1,
        ..Prefix::new(cidr("fd01::/64"))
    };
    let bad: &[(&str, Config)] = &[
        (
            "longest",
            Config {
                max_interval: secs(3),
                ..Config::default()
            },
        ),
        (
            "longest",
            Config {
                max_interval: secs(1801),
                ..Config::default()
            },
        ),
        (
            "shortest",
            Config {
                min_interval: Some(secs(2)),
                ..Config::default()
            },
        ),
        (
            "shortest",
            Config {
                min_interval: Some(secs(451)),
                ..Config::default()
            },
        ),
        (
            "lifetime",
            Config {
                lifetime: Some(599),
                ..Config::default()
            },
        ),
        (
            "lifetime",
            Config {
                lifetime: Some(9001),
                ..Config::default()
            },
        ),
        (
            "reachable",
            Config {
                reachable_time: 3_600_001,
                ..Config::default()
            },
        ),
        (
            "preferred",
            Config {
                prefixes: Some(vec![prefix]),
                ..Config::default()
            },
        ),
        (
            "search",
            Config {
                search: vec!["a..b".to_owned()],
                ..Config::default()
            },
        ),
        (
            "search",
            Config {
                search: vec!["a".repeat(64)],
                ..Config::default()
            },
        ),
        (
            "too long",
            Config {
                dns: vec![ip("::1"); 128],
                ..Config::default()
            },
        ),
        (
            "NAT64",
            Config {
                nat64: Some(cidr("64:ff9b::/80")),
                ..Config::default()
            },
        ),
    ];
    for (want, config) in bad {
        let said = config.check().unwrap_err().to_string();
        assert!(said.contains(want), "{said}: {want}");
    }
    for max in [4, 9, 1800] {
        let config = Config {
            max_interval: secs(max),
            ..everything()
        };
        assert_eq!(config.check(), Ok(()), "{max}");
    }
    let zero = Config {
        lifetime: Some(0),
        ..Config::default()
    };
    assert_eq!(zero.check(), Ok(()));
}

#[test]
fn contradictions_are_found_and_differences_are_none() {
    let ours = everything();
    let of = |theirs: &Config, since: u64| {
        let mut found = Vec::new();
        only(theirs, usual(), |said| {
            found = disagreements(&ours, Duration::from_secs(since), said);
        });
        found
    };
    assert_eq!(of(&ours, 0), []);
    // With time the second prefix's end is elsewhere, but not at once.
    assert_eq!(of(&ours, 10), []);
    let which = cidr("fd02::/48");
    let ends = [
        Disagreement::ValidLifetime(which),
        Disagreement::PreferredLifetime(which),
    ];
    assert_eq!(of(&ours, 11), ends);
    let unsaid = Config {
        hop_limit: 0,
        reachable_time: 0,
        retrans_timer: 0,
        mtu: None,
        lifetime: Some(0),
        prefixes: Some(vec![Prefix::new(cidr("fd09::/64"))]),
        ..ours.clone()
    };
    assert_eq!(of(&unsaid, 0), []);
    let other = Config {
        hop_limit: 34,
        managed: false,
        other_config: false,
        reachable_time: 1,
        retrans_timer: 1,
        mtu: Some(1401),
        prefixes: Some(vec![Prefix {
            preferred_lifetime: 1,
            ..Prefix::new(cidr("fd01::/64"))
        }]),
        ..ours.clone()
    };
    let want = [
        Disagreement::HopLimit,
        Disagreement::Managed,
        Disagreement::OtherConfig,
        Disagreement::ReachableTime,
        Disagreement::RetransTimer,
        Disagreement::Mtu,
        Disagreement::PreferredLifetime(cidr("fd01::/64")),
    ];
    assert_eq!(of(&other, 0), want);
}

#[test]
fn a_home_agent_and_its_address_are_said() {
    let own = Prefix {
        router_address: true,
        ..Prefix::new(cidr("fd01::7/64"))
    };
    let config = Config {
        home_agent: true,
        home_agent_preference: 9,
        prefixes: Some(vec![own, Prefix::new(cidr("fd02::7/64"))]),
        ..Config::default()
    };
    assert_eq!(config.check(), Ok(()));
    only(&config, usual(), |said| {
        assert!(said.flags.contains(RouterFlags::HOME_AGENT));
        let all: Vec<_> = list(said.options).map(Result::unwrap).collect();
        assert!(all.contains(&NdpOption::HomeAgentInformation {
            reserved: 0,
            preference: 9,
            lifetime: 1800,
        }));
        let prefixes = all.iter().filter_map(|o| match o {
            NdpOption::PrefixInformation(p) => Some((p.router_address, p.prefix)),
            _ => None,
        });
        assert!(prefixes.eq([(true, ip("fd01::7")), (false, ip("fd02::"))]));
        assert!(disagreements(&config, Duration::ZERO, said).is_empty());
    });
    // Without more to say than that it is one, the flag is all; and one that goes is none.
    let mut plain = config.clone();
    plain.home_agent_preference = 0;
    let home = |said: &RouterAdvertisement<'_>| {
        let option = |o| matches!(o, Ok(NdpOption::HomeAgentInformation { .. }));
        (
            said.flags.contains(RouterFlags::HOME_AGENT),
            list(said.options).any(option),
        )
    };
    only(&plain, usual(), |said| {
        assert_eq!(home(said), (true, false))
    });
    let going = Occasion {
        last: true,
        ..usual()
    };
    only(&config, going, |said| {
        assert_eq!(home(said), (false, false))
    });
}

#[test]
fn a_router_that_goes_deprecates_what_it_was_told_to() {
    let deprecated = Prefix {
        deprecate: true,
        ..Prefix::new(cidr("fd01::/64"))
    };
    let short = Prefix {
        valid_lifetime: 100,
        preferred_lifetime: 50,
        prefix: cidr("fd03::/64"),
        ..deprecated
    };
    let config = Config {
        prefixes: Some(vec![deprecated, Prefix::new(cidr("fd02::/64")), short]),
        ..Config::default()
    };
    for (last, want) in [
        (
            false,
            [(2_592_000, 604_800), (2_592_000, 604_800), (100, 50)],
        ),
        (true, [(7203, 0), (2_592_000, 604_800), (100, 0)]),
    ] {
        only(&config, Occasion { last, ..usual() }, |said| {
            let prefixes = list(said.options).filter_map(|o| match o.unwrap() {
                NdpOption::PrefixInformation(p) => Some((p.valid_lifetime, p.preferred_lifetime)),
                _ => None,
            });
            assert!(prefixes.eq(want), "{last}");
        });
    }
}

#[test]
fn names_may_have_lifetimes_of_their_own() {
    let more = |server: &str, name: &str, lifetime| Names {
        servers: vec![ip(server)],
        search: vec![name.to_owned()],
        lifetime,
    };
    let config = Config {
        dns: vec![ip("fd01::53")],
        dns_lifetime: Some(7),
        more_names: vec![more("fd02::53", "a", Some(8)), more("fd03::53", "b", None)],
        ..Config::default()
    };
    only(&config, usual(), |said| {
        let all = list(said.options).filter_map(|o| match o.unwrap() {
            NdpOption::Rdnss {
                lifetime, servers, ..
            } => Some((lifetime, servers.as_bytes().to_vec())),
            NdpOption::Dnssl {
                lifetime, names, ..
            } => {
                let name = DomainNames::new(names).next();
                Some((lifetime, name.unwrap().unwrap().to_string().into_bytes()))
            }
            _ => None,
        });
        let server = |text: &str| ip(text).octets().to_vec();
        let want = [
            (7, server("fd01::53")),
            (8, server("fd02::53")),
            (8, b"a".to_vec()),
            (1800, server("fd03::53")),
            (1800, b"b".to_vec()),
        ];
        assert!(all.eq(want));
    });
}

#[test]
fn what_mobile_nodes_need_has_bounds() {
    let network = Prefix {
        router_address: true,
        ..Prefix::new(cidr("fd01::/64"))
    };
    let change: [fn(&mut Config, Prefix); 5] = [
        |c, network| c.prefixes = Some(vec![network]),
        |c, _| c.min_delay = Duration::from_millis(29),
        |c, _| c.min_delay = Duration::from_secs(601),
        |c, _| c.source = Some(Ipv6Addr::LOCALHOST),
        |c, _| c.home_agent_lifetime = Some(0),
    ];
    for (n, change) in change.into_iter().enumerate() {
        let mut config = Config::default();
        change(&mut config, network);
        assert!(config.check().is_err(), "{n}");
    }
}
