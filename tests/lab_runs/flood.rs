//! A flood of SYNs as large as can be waited for, and clients that come in the middle of it.

use stack::time::Duration;
use tapline::lab::fault::Party;
use tapline::lab::topology::{Attack, Client, ClientKind, Kind, Node, Route, Service, Topology};

/// SYNs and honest clients: with `TAPLINE_SEEDS`, as in `cargo ci --long`, the whole flood.
fn size() -> (u64, u64) {
    match std::env::var_os("TAPLINE_SEEDS") {
        Some(_) => (1_000_000, 1000),
        None => (10_000, 100),
    }
}

/// `b` serves `a`'s clients while `mallory` floods it.
fn flooded(syns: u64, clients: u64) -> Topology {
    let spoofed = Route {
        to: "198.18.0.0/15".parse().unwrap(),
        via: Party::from("mallory"),
    };
    let b = Node {
        routes: vec![spoofed],
        services: vec![Service::Sink],
        ..Node::new("b", Kind::Host)
    };
    let mut topology = Topology::new()
        .host("a")
        .node(b)
        .host("mallory")
        .router("r")
        .hub("hub")
        // What floods the hub does not reach `a`, whose every client would look at it.
        .link("a", "r")
        .link("r", "hub")
        .link("b", "hub")
        .link("mallory", "hub")
        .until(Duration::from_secs(200));
    let every = Duration::from_micros(10);
    let start = Duration::from_millis(500);
    let to = Party::from("b");
    let mut flood = Client::new("flood", "mallory", ClientKind::TcpAttacker, to);
    flood.attack = Some(Attack::SynFlood);
    flood.port = Some(Service::Sink.port());
    topology = topology.client(flood.count(syns).every(every).start(start));
    for i in 0..clients {
        // All come while it lasts.
        let micros = syns * 10 * i / clients;
        let at = start + Duration::from_millis(1) + Duration::from_micros(micros);
        let client = Client::tcp(&format!("p{i}"), "a", "b");
        topology = topology.client(client.bytes(10_000).start(at));
    }
    topology
}

#[test]
fn a_flood_of_syns_keeps_nobody_out_and_leaves_nothing() {
    let (syns, clients) = size();
    let topology = flooded(syns, clients);
    let mut world = super::world(&topology, 1);
    world.run_until(topology.end());
    let of = |subject: &str, metric: &str| world.measure(subject, metric).unwrap();
    assert_eq!(of("flood", "sent"), i128::from(syns));
    assert_eq!(of("b", "services.sink.whole"), i128::from(clients));
    assert_eq!(of("b", "services.sink.wrong"), 0);
    for i in 0..clients {
        assert_eq!(of(&format!("p{i}"), "finished"), 1, "client {i}");
    }
    // What it takes of memory does not depend on the flood's length.
    assert_eq!(of("b", "tcp.half-open-peak"), 256);
    assert!(of("b", "tcp.connections-peak") <= 256 + i128::from(clients));
    assert!(of("b", "tcp.cookies-sent") > i128::from(syns) * 9 / 10);
    assert_eq!(of("b", "tcp.connections"), 0);
    assert_eq!(of("b", "tcp.buffered"), 0);
    assert_eq!(of("b", "neighbors"), 2);
    world.audit().unwrap();
}
