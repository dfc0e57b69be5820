//! What a frame arrival costs in the lab: whole hosts, UDP echo through routers, virtual time.
//!
//! ```text
//!   an island:   h0 .. h4 -- r0 == r1 -- h5 .. h9      each of h0..h4 asks its opposite number
//!   a world:     1, 10, 100, 1000 of them, all busy, or all but one idle
//! ```
//!
//! `cargo bench --bench lab` prints frame arrivals a wall second (an arrival is a frame of at most
//! 1514 bytes at a port of a host or router; timers and departures are not counted), and what a node
//! of an island weighs after a second of virtual time: ten hosts and two routers of six ports, with
//! the wires between them. The last line is of plain hosts: ten thousand in pairs, each pair on a
//! wire of its own, and no router among them. Checksums are on and nothing is traced.
//!
//! What an arrival costs grows with the hosts that are busy by turns: a host's state is twelve
//! kilobytes, and those of ten thousand are in no cache. Where all but a few are idle, as in the
//! line with one busy island, it does not. With 1400 bytes of payload an arrival costs more than
//! with 64 by what it takes to sum them, at either end.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on shall stop"
)]
#![expect(missing_docs, reason = "the allocator's name is nobody's interface")]

use stack::host::{self, InterfaceConfig};
use stack::link::impair;
use stack::machine::Port;
use stack::net::route::Route;
use stack::time::{Duration, Instant};
use stack::wire::MacAddr;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use tapline::endpoint::services::{Server, Service};
use tapline::endpoint::traffic::{self, Pace, Sender};
use tapline::lab::{NodeId, World};

#[global_allocator]
pub static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Hosts on each side of an island.
const SIDE: u8 = 5;
/// Hosts and routers of an island.
const NODES: u32 = 12;
/// Bytes of a datagram: few, and a frame full.
const SMALL: usize = 64;
const LARGE: usize = 1400;
/// Hosts without a router.
const PLAIN: u32 = 10_000;

fn main() {
    println!("islands  hosts  busy  payload  arrivals/s  ns/arrival  bytes/node");
    // `ISLANDS=10,10` runs one case alone, for a profiler.
    let only = std::env::var("ISLANDS").ok().map(|only| {
        let (islands, busy) = only.split_once(',').unwrap();
        (islands.parse().unwrap(), busy.parse().unwrap())
    });
    let cases = [
        (1, 1, SMALL),
        (1, 1, LARGE),
        (10, 10, SMALL),
        (10, 10, LARGE),
        (100, 100, SMALL),
        (1000, 1000, SMALL),
        (1000, 1, SMALL),
    ];
    let size = std::env::var("SIZE").map_or(SMALL, |n| n.parse().unwrap());
    let alone = only.map(|(islands, busy)| vec![(islands, busy, size)]);
    for (islands, busy, size) in alone.clone().unwrap_or(cases.to_vec()) {
        let region = Region::new(COUNTING);
        let (mut world, total) = build(islands, busy, size);
        world.run_until(Instant::ZERO + Duration::from_secs(1));
        let weight = bytes(&region) / (islands * NODES);
        let (rate, cost) = measure(&mut world);
        world.audit().unwrap();
        println!("{islands:7}  {total:5}  {busy:4}  {size:7}  {rate:10}  {cost:10}  {weight:10}");
    }
    if alone.is_none() {
        println!("plain hosts: {PLAIN} of {} bytes each", plain());
    }
}

/// What a host weighs that has one interface and half a wire, after a second.
fn plain() -> u32 {
    let region = Region::new(COUNTING);
    let mut world = World::new(1);
    let hosts = usize::try_from(PLAIN).unwrap();
    world.reserve(hosts, hosts / 2);
    for pair in 0..PLAIN / 2 {
        let [_, _, i, j] = pair.to_be_bytes();
        let ends = [0_u8, 1].map(|end| {
            let name = format!("h{pair}.{end}");
            world.add_host(&name, host::Config::default())
        });
        let ways = [impair::Config::default(), impair::Config::default()];
        world.connect(&format!("w{pair}"), ends[0], ends[1], ways);
        for (end, host) in (1..).zip(ends) {
            put(
                &mut world,
                host,
                0,
                [i, j, end, 1],
                &format!("10.{i}.{j}.{end}/30"),
            );
        }
    }
    world.run_until(Instant::ZERO + Duration::from_secs(1));
    let each = bytes(&region) / PLAIN;
    world.audit().unwrap();
    each
}

/// The best of some rounds, each of 300,000 arrivals unless `ARRIVALS` says otherwise.
fn measure(world: &mut World) -> (u64, u64) {
    let arrivals = std::env::var("ARRIVALS").map_or(300_000, |n| n.parse().unwrap());
    let mut best = u64::MAX;
    for _ in 0..5 {
        let goal = world.arrivals() + arrivals;
        let start = std::time::Instant::now();
        world.run_while(|w| w.arrivals() < goal);
        best = best.min(u64::try_from(start.elapsed().as_nanos()).unwrap() / arrivals);
    }
    (1_000_000_000 / best, best)
}

fn build(islands: u32, busy: u32, size: usize) -> (World, u32) {
    let mut world = World::new(1);
    let count = usize::try_from(islands).unwrap();
    world.reserve(count * 12, count * 11);
    for island in 0..islands {
        // As many datagrams a virtual second, however many take part.
        add(
            &mut world,
            island,
            (island < busy).then_some(Duration::from_micros(100) * busy),
            size,
        );
    }
    (world, islands * u32::from(2 * SIDE))
}

fn add(world: &mut World, island: u32, pace: Option<Duration>, size: usize) {
    let [_, _, i, j] = island.to_be_bytes();
    let router = |world: &mut World, n: u8| {
        let config = host::Config {
            forwarding: true,
            ..host::Config::default()
        };
        world.add_host(&format!("r{island}.{n}"), config)
    };
    let routers = [router(world, 0), router(world, 1)];
    let way = impair::Config {
        delay: Duration::from_micros(50),
        ..impair::Config::default()
    };
    let ways = || [way.clone(), way.clone()];
    let middle = format!("{}.{}", 100 + i, j);
    world.connect(&format!("m{island}"), routers[0], routers[1], ways());
    for (n, &r) in routers.iter().enumerate() {
        let n = u8::try_from(n).unwrap();
        put(
            world,
            r,
            0,
            [i, j, 200 + n, 0],
            &format!("172.{middle}.{}/30", n + 1),
        );
        let other = format!("172.{middle}.{}", 2 - n).parse().unwrap();
        let rest = Route::via("0.0.0.0/0".parse().unwrap(), other, Port(0));
        world
            .with_host(r, |h, _| h.add_route(rest))
            .unwrap()
            .unwrap();
    }
    let mut targets = Vec::new();
    for side in (0..2).rev() {
        for n in 0..SIDE {
            let r = routers[usize::from(side)];
            let number = side * SIDE + n;
            let host = world.add_host(&format!("h{island}.{number}"), host::Config::default());
            world.connect(&format!("w{island}.{number}"), host, r, ways());
            let net = format!("10.{}.{j}", i * 10 + number);
            put(world, host, 0, [i, j, number, 1], &format!("{net}.1/24"));
            put(
                world,
                r,
                u16::from(n) + 1,
                [i, j, number, 2],
                &format!("{net}.2/24"),
            );
            let gateway = format!("{net}.2").parse().unwrap();
            let rest = Route::via("0.0.0.0/0".parse().unwrap(), gateway, Port(0));
            world
                .with_host(host, |h, _| h.add_route(rest))
                .unwrap()
                .unwrap();
            if side == 1 {
                let server = Server::new(vec![Service::Echo], &world.chance_of("echo"));
                world.add_program(host, "echo", Duration::ZERO, server);
                targets.push(format!("{net}.1:7"));
            } else if let Some(pace) = pace {
                let config = traffic::Config {
                    size,
                    pace: Pace::Every(pace),
                    echo: Some(Duration::from_secs(1)),
                    ..traffic::Config::new(targets[usize::from(n)].parse().unwrap())
                };
                // Spread evenly, or they would all speak at once.
                let delay = pace / (5 * u32::from(n) + 1) + Duration::from_nanos(island.into());
                world.add_program(host, "udp", delay, Sender::new(config));
            }
        }
    }
}

fn put(world: &mut World, node: NodeId, port: u16, [a, b, c, d]: [u8; 4], cidr: &str) {
    let mac = MacAddr([2, a, b, c, d, u8::try_from(port).unwrap()]);
    let interface = InterfaceConfig::ethernet(&format!("eth{port}"), Port(port), mac);
    let interface = interface.with_address(cidr.parse().unwrap());
    world.add_interface(node, interface).unwrap();
}

/// Bytes that were allocated since, and not freed.
fn bytes(region: &Region<'_, System>) -> u32 {
    let change = region.change();
    let grown = isize::try_from(change.bytes_allocated).unwrap() + change.bytes_reallocated
        - isize::try_from(change.bytes_deallocated).unwrap();
    u32::try_from(grown).unwrap()
}
