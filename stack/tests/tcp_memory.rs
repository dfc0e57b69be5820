//! What connections that have nothing to do weigh: open ones, and those in TIME-WAIT.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use stack::host::{Config, Host, InterfaceConfig};
use stack::machine::{Machine as _, Port};
use stack::rng::Rng;
use stack::time::{Duration, Instant};
use stack::transport::tcp::{ListenOptions, Options};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::{Arc, Mutex, PoisonError};

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

/// Passes frames, at one moment.
fn pass(hosts: &mut [Host; 2], now: Instant) {
    let mut moved = true;
    while std::mem::take(&mut moved) {
        for (from, to) in [(0, 1), (1, 0)] {
            while let Some(frame) = hosts[from].poll_transmit(now, Port(0)) {
                hosts[to].handle_frame(now, Port(0), frame);
                moved = true;
            }
        }
    }
}

/// The allocator counts for all threads: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Bytes held now.
fn held(region: &Region<'_, System>) -> usize {
    let stats = region.change();
    stats.bytes_allocated - stats.bytes_deallocated
}

#[test]
fn an_idle_connection_weighs_at_most_a_kibibyte() {
    const COUNT: usize = 20_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
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

/// Those that have carried something, and whose user has let go: thousands an hour on a server that
/// closes first.
#[test]
fn time_wait_weighs_no_more() {
    const COUNT: usize = 10_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut hosts, mut now) = (
        [host("10.7.0.1/24", 1), host("10.7.0.2/24", 2)],
        Instant::ZERO,
    );
    let listen = ListenOptions {
        backlog: COUNT,
        ..ListenOptions::default()
    };
    let web = hosts[1]
        .tcp_listen("0.0.0.0:80".parse().unwrap(), listen)
        .unwrap();
    let options = Arc::new(Options::default());
    let to = "10.7.0.2:80".parse().unwrap();
    settle(&mut hosts, &mut now);
    let region = Region::new(ALLOCATOR);
    for _ in 0..COUNT {
        let client = hosts[0]
            .tcp_connect(now, to, None, Options::clone(&options))
            .unwrap();
        pass(&mut hosts, now);
        let (server, _) = hosts[1].tcp_accept(web).unwrap();
        hosts[0].tcp_send(now, client, b"a question").unwrap();
        pass(&mut hosts, now);
        let mut room = [0; 4000];
        assert_eq!(hosts[1].tcp_recv(now, server, &mut room).unwrap(), 10);
        hosts[1].tcp_send(now, server, &room).unwrap();
        // The server closes first, and so is the one who waits.
        hosts[1].tcp_close(now, server);
        pass(&mut hosts, now);
        while hosts[0].tcp_recv(now, client, &mut room).unwrap() > 0 {}
        hosts[0].tcp_close(now, client);
        pass(&mut hosts, now);
        while hosts.iter_mut().any(|h| h.poll_event().is_some()) {}
    }
    let waiting = hosts[1].tcp_connections().count();
    assert_eq!(waiting, COUNT);
    let each = held(&region) / COUNT;
    eprintln!("{each} bytes a connection in TIME-WAIT");
    // Besides, each has a place in the list from which the oldest goes.
    assert!(each <= 1024 + 96, "{each}");
}
