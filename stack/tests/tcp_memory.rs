//! What connections that have nothing to do weigh.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use stack::host::{Config, Host, InterfaceConfig};
use stack::machine::{Machine as _, Port};
use stack::rng::Rng;
use stack::time::{Duration, Instant};
use stack::transport::tcp::{ListenOptions, Options};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn host(addr: &str, seed: u64) -> Host {
    let mut host = Host::new(Config::default(), Rng::from_seed(seed));
    let tun = InterfaceConfig::ip("tun0", Port(0)).with_address(addr.parse().unwrap());
    host.add_interface(Instant::ZERO, tun);
    host
}

/// Passes frames and time until nobody has anything to do.
fn settle(hosts: &mut [Host; 2], now: &mut Instant) {
    loop {
        let mut moved = false;
        for (from, to) in [(0, 1), (1, 0)] {
            while let Some(frame) = hosts[from].poll_transmit(*now, Port(0)) {
                hosts[to].handle_frame(*now, Port(0), frame);
                moved = true;
            }
        }
        if !moved {
            let next = hosts.iter().filter_map(|h| h.poll_timeout()).min();
            let Some(next) = next.filter(|t| *t < Instant::ZERO + Duration::from_secs(100)) else {
                return;
            };
            *now = next.max(*now);
            for host in hosts.iter_mut() {
                host.handle_timeout(*now);
            }
        }
    }
}

/// Bytes held now.
fn held(region: &Region<'_, System>) -> usize {
    let stats = region.change();
    stats.bytes_allocated - stats.bytes_deallocated
}

#[test]
fn an_idle_connection_weighs_at_most_a_kibibyte() {
    const COUNT: usize = 20_000;
    let (mut hosts, mut now) = (
        [host("10.7.0.1/24", 1), host("10.7.0.2/24", 2)],
        Instant::ZERO,
    );
    let options = Arc::new(Options::default());
    let listen = ListenOptions {
        backlog: COUNT,
        syn_backlog: COUNT,
        ..ListenOptions::default()
    };
    let web = hosts[1]
        .tcp_listen("0.0.0.0:80".parse().unwrap(), listen)
        .unwrap();
    settle(&mut hosts, &mut now);
    let region = Region::new(ALLOCATOR);
    let to = "10.7.0.2:80".parse().unwrap();
    let mut open = 0;
    while open < COUNT {
        for _ in 0..100 {
            hosts[0]
                .tcp_connect(now, to, None, Options::clone(&options))
                .unwrap();
        }
        settle(&mut hosts, &mut now);
        while hosts[1].tcp_accept(web).is_some() {
            open += 1;
        }
        while hosts.iter_mut().any(|h| h.poll_event().is_some()) {}
    }
    settle(&mut hosts, &mut now);
    // Both ends are here.
    let each = held(&region) / (2 * COUNT);
    eprintln!("{each} bytes a connection");
    assert!(each <= 1024, "{each}");
}
