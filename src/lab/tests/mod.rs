//! Worlds under the eyes of a test, one file a story.

mod exports;
mod faults;
mod streams;
mod tcp;
mod worlds;

use super::{NodeId, World};
use crate::endpoint::ping::{self, Pinger};
use stack::host::{self, InterfaceConfig};
use stack::link::impair;
use stack::machine::Port;
use stack::time::{Duration, Instant};
use stack::wire::MacAddr;

pub(super) const MS: Duration = Duration::from_millis(1);

/// The moment `ms` milliseconds after the beginning.
pub(super) fn at(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

/// A wire that only takes time.
pub(super) fn slow(delay: Duration) -> [impair::Config; 2] {
    let way = impair::Config {
        delay,
        ..impair::Config::default()
    };
    [way.clone(), way]
}

/// Puts an address on a host's port.
pub(super) fn address(world: &mut World, node: NodeId, port: u16, cidr: &str) {
    let last = u8::try_from(node.0).unwrap();
    let mac = MacAddr([2, 0, 0, 0, u8::try_from(port).unwrap(), last + 1]);
    let interface = InterfaceConfig::ethernet(&format!("eth{port}"), Port(port), mac);
    let interface = interface.with_address(cidr.parse().unwrap());
    world.add_interface(node, interface).unwrap();
}

/// `a` (10.0.0.1) and `b` (10.0.0.2) on one wire `w`, 5 ms long; `a` pings `b` ten times.
pub(super) fn pair(seed: u64, ways: [impair::Config; 2]) -> World {
    let mut world = World::new(seed);
    let a = world.add_host("a", host::Config::default());
    let b = world.add_host("b", host::Config::default());
    world.connect("w", a, b, ways);
    address(&mut world, a, 0, "10.0.0.1/24");
    address(&mut world, b, 0, "10.0.0.2/24");
    let config = ping::Config {
        count: Some(10),
        interval: 100 * MS,
        ..ping::Config::new([10, 0, 0, 2])
    };
    world.add_program(a, "p", 10 * MS, Pinger::new(config));
    world
}
