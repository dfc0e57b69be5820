//! Routes: order of preference, and a plain scan as the obvious way.

use super::*;
use crate::rng::Rng;
use core::net::{Ipv4Addr, Ipv6Addr};
use std::string::ToString;

fn ip(s: &str) -> IpAddr {
    s.parse().unwrap()
}

fn on(prefix: &str, metric: u32, port: u16) -> Route {
    Route {
        metric,
        ..Route::on_link(prefix.parse().unwrap(), Port(port))
    }
}

fn port_of(table: &RouteTable, dst: &str) -> Option<u16> {
    table.lookup(ip(dst)).map(|r| r.port.0)
}

#[test]
fn longest_prefix_then_metric_then_port() {
    let mut t = RouteTable::default();
    for (prefix, metric, port) in [
        ("0.0.0.0/0", 5, 9),
        ("10.0.0.0/8", 0, 4),
        ("10.0.0.0/8", 0, 3),
        ("10.0.0.0/8", 7, 2),
        ("10.7.0.0/16", 100, 5),
        ("10.7.0.1/32", 100, 6),
        ("::/0", 0, 7),
        ("fd07::/64", 0, 8),
    ] {
        t.add(on(prefix, metric, port)).unwrap();
    }
    for (dst, port) in [
        ("192.0.2.1", 9),
        ("10.1.2.3", 3),
        ("10.7.255.255", 5),
        ("10.7.0.1", 6),
        ("2001:db8::1", 7),
        ("fd07::1", 8),
        // A v4 prefix never matches a v6 address that begins with the same bits.
        ("a07:1::", 7),
    ] {
        assert_eq!(port_of(&t, dst), Some(port), "{dst}");
    }
    assert_eq!(t.lookup_on(ip("10.7.0.1"), Port(2)).unwrap().metric, 7);
    assert_eq!(t.lookup_on(ip("10.7.0.1"), Port(77)), None);
}

#[test]
fn a_port_that_is_down_is_passed_over() {
    let mut t = RouteTable::default();
    t.add(on("10.0.0.0/8", 0, 1)).unwrap();
    t.add(on("10.0.0.0/8", 9, 2)).unwrap();
    t.add(on("0.0.0.0/0", 0, 3)).unwrap();
    let before = t.generation();
    t.set_port_up(Port(1), false);
    assert_ne!(t.generation(), before);
    assert_eq!(port_of(&t, "10.1.1.1"), Some(2));
    t.set_port_up(Port(2), false);
    assert_eq!(port_of(&t, "10.1.1.1"), Some(3));
    // Added while down: not used before the port is up.
    t.add(on("10.1.1.1/32", 0, 2)).unwrap();
    assert_eq!(port_of(&t, "10.1.1.1"), Some(3));
    t.set_port_up(Port(2), true);
    assert_eq!(
        t.lookup(ip("10.1.1.1")).unwrap().destination.prefix_len(),
        32
    );
    // What refuses does not hang on a port.
    t.set_port_up(Port(2), false);
    let refuse = Route {
        kind: RouteKind::Prohibited,
        ..on("10.1.0.0/16", 0, 2)
    };
    t.add(refuse).unwrap();
    assert_eq!(t.lookup(ip("10.1.1.1")), Some(&refuse));
    assert_eq!(refuse.next_hop(ip("10.1.1.1")), None);
}

#[test]
fn refusals() {
    let mut t = RouteTable::new(Config { max_routes: 1 });
    let via = |gw: &str| Route::via("10.0.0.0/8".parse().unwrap(), ip(gw), Port(0));
    for (route, error) in [
        (via("fe80::1"), RouteError::MixedFamilies),
        (via("0.0.0.0"), RouteError::BadGateway),
        (via("224.0.0.1"), RouteError::BadGateway),
        (via("255.255.255.255"), RouteError::BadGateway),
    ] {
        assert_eq!(t.add(route), Err(error), "{route}");
    }
    let source = Route {
        source: Some(ip("::1")),
        ..via("10.0.0.1")
    };
    assert_eq!(t.add(source), Err(RouteError::MixedFamilies));
    assert_eq!(t.generation(), 0);
    t.add(via("10.0.0.1")).unwrap();
    assert_eq!(t.add(via("10.0.0.2")), Err(RouteError::Exists));
    assert_eq!(t.add(on("11.0.0.0/8", 0, 0)), Err(RouteError::Full));
    assert_eq!(t.replace(via("10.0.0.2")), Ok(Some(via("10.0.0.1"))));
    assert_eq!(t.len(), 1);
}

#[test]
fn status_lists_in_order() {
    let mut t = RouteTable::default();
    for r in [
        on("fd07::/64", 0, 0),
        on("10.7.0.9/24", 4, 1),
        on("10.7.0.0/24", 4, 0),
        on("10.0.0.0/8", 0, 0),
        on("0.0.0.0/0", 0, 0),
    ] {
        t.add(r).unwrap();
    }
    let lines: Vec<_> = t.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "0.0.0.0/0 port 0",
            "10.0.0.0/8 port 0",
            "10.7.0.0/24 port 0 metric 4",
            "10.7.0.0/24 port 1 metric 4",
            "fd07::/64 port 0"
        ]
    );
    assert_eq!(t.retain(|r| r.port == Port(0)), 1);
    assert_eq!((t.iter().count(), t.len()), (4, 4));
}

fn naive(routes: &[Route], down: &[Port], dst: IpAddr) -> Option<Route> {
    routes
        .iter()
        .filter(|r| r.destination.contains(dst))
        .filter(|r| !r.kind.uses_port() || !down.contains(&r.port))
        .min_by_key(|r| {
            (
                core::cmp::Reverse(r.destination.prefix_len()),
                r.metric,
                r.port,
            )
        })
        .copied()
}

/// Addresses that share long prefixes often: bits are drawn from few.
fn random_ip(rng: &mut Rng) -> IpAddr {
    let dense = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
    let bits = match rng.below(3) {
        0 => dense,
        1 => dense & 0x0f00_0301_0000_0000_0000_0000_0000_0007,
        _ => dense & 0x0000_0013_0000_0000_8000_0000_0000_0001,
    };
    if rng.below(2) == 0 {
        IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits >> 96).unwrap()))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    }
}

fn random_route(rng: &mut Rng) -> Route {
    let addr = random_ip(rng);
    let max = if addr.is_ipv4() { 33 } else { 129 };
    let len = u8::try_from(rng.below(max)).unwrap();
    let kinds = [RouteKind::OnLink, RouteKind::OnLink, RouteKind::Blackhole];
    Route {
        kind: kinds[usize::try_from(rng.below(3)).unwrap()],
        metric: u32::try_from(rng.below(3)).unwrap(),
        ..Route::on_link(
            Cidr::new(addr, len).unwrap().network(),
            Port(u16::try_from(rng.below(4)).unwrap()),
        )
    }
}

#[test]
fn agrees_with_a_plain_scan() {
    let mut rng = Rng::from_seed(42);
    let (mut t, mut plain, mut down) = (RouteTable::default(), Vec::<Route>::new(), Vec::new());
    let mut peak = 0;
    for step in 0..12_000u32 {
        // Grow, then shrink to nothing, twice.
        let growing = step % 6000 < 3000;
        if growing == (rng.below(8) != 0) {
            let route = random_route(&mut rng);
            let same = |r: &Route| (r.destination, r.rank()) == (route.destination, route.rank());
            let held = plain.iter().position(same);
            let added = t.add(route);
            assert_eq!(added.is_err(), held.is_some());
            if held.is_none() {
                plain.push(route);
            }
        } else if !plain.is_empty() {
            let at = usize::try_from(rng.below(plain.len() as u64)).unwrap();
            let r = plain.swap_remove(at);
            assert_eq!(t.remove(r.destination, r.metric, r.port), Some(r));
            assert_eq!(t.remove(r.destination, r.metric, r.port), None);
        }
        if rng.below(100) == 0 {
            let port = Port(u16::try_from(rng.below(4)).unwrap());
            let up = down.contains(&port);
            t.set_port_up(port, up);
            down.retain(|p| *p != port);
            if !up {
                down.push(port);
            }
        }
        peak = peak.max(t.len());
        if step % 1000 == 0 {
            plain.sort_by_key(|r| {
                let (root, bits) = key(r.destination.addr());
                (root, bits, r.destination.prefix_len(), r.rank())
            });
            assert!(t.iter().eq(plain.iter()));
        }
        assert_eq!(t.len(), plain.len());
        let dst = random_ip(&mut rng);
        assert_eq!(t.lookup(dst).copied(), naive(&plain, &down, dst), "{dst}");
    }
    assert!(peak > 1500, "{peak}");
    t.retain(|_| false);
    // Every node is free again: nothing leaks.
    assert_eq!(t.roots, [NIL; 2]);
    let free = core::iter::successors(t.node(t.free_node), |n| t.node(n.child[0]));
    assert_eq!(free.count(), t.nodes.len());
    let free = core::iter::successors(t.entry(t.free_entry), |e| t.entry(e.next));
    assert_eq!(free.count(), t.entries.len());
    assert!(t.nodes.len() <= 2 * peak && t.entries.len() <= peak);
}

#[test]
fn a_route_takes_little() {
    for count in [3, 2000, 16_000] {
        let mut t = RouteTable::default();
        for i in 0..count {
            let net = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + (i << 8)));
            t.add(Route::on_link(Cidr::new(net, 24).unwrap(), Port(0)))
                .unwrap();
        }
        let nodes = t.nodes.capacity() * size_of::<Node>();
        let bytes = nodes + t.entries.capacity() * size_of::<Entry>();
        assert!(bytes <= 160 * (t.len() + 2), "{count}: {bytes}");
    }
}
