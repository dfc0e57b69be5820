//! What each fault does to a run, and that its end undoes it.

use super::*;
use crate::lab::build::Options;
use crate::lab::topology::{Client, Topology};
use crate::lab::trace::Kind;
use crate::lab::{Lane, World};
use stack::link::impair::{Config, Loss};

/// `a` and `b` on either side of `r`, 1 ms from it; `p` pings from `a` to `b` every 10 ms for a
/// second.
fn world(script: &str) -> World {
    let way = Config {
        delay: MS,
        ..Config::default()
    };
    let mut ping = Client::ping("p", "a", "b").count(100);
    ping.interval = Some(10 * MS);
    let topology = Topology::new()
        .host("a")
        .router("r")
        .host("b")
        .wire("a", "r", way.clone())
        .wire("r", "b", way)
        .client(ping)
        .faults(script)
        .unwrap();
    let mut world = topology.build(&Options::default()).unwrap();
    world.run_until(at(5000));
    world.audit().unwrap();
    world
}

fn received(script: &str) -> i128 {
    world(script).measure("p", "received").unwrap()
}

#[test]
fn nothing_is_lost_without_a_fault() {
    assert_eq!(received(""), 100);
}

/// Requests leave at 0, 10, 20, ..; a fault between 195 ms and 405 ms meets those from 200 to 400.
#[test]
fn each_fault_costs_the_packets_of_its_time_and_no_more() {
    let cases = [
        ("between 195ms and 405ms drop all on a-r", 79),
        ("between 195ms and 405ms drop all on a-r from a", 79),
        ("between 195ms and 405ms blackhole r-b from b", 79),
        ("between 195ms and 405ms drop all of icmp on *", 79),
        ("between 195ms and 405ms drop all of udp on *", 100),
        ("between 195ms and 405ms drop all on * source b", 79),
        ("between 195ms and 405ms drop all on a-r to b", 79),
        ("between 195ms and 405ms mtu 70 on a-r", 79),
        ("between 195ms and 405ms loss all on r-b", 79),
        ("between 195ms and 405ms corrupt all on a-r from a", 79),
        ("at 195ms drop next 3 on a-r from a", 97),
        ("between 195ms and 405ms partition a | b", 79),
        ("between 195ms and 405ms partition {a} -> {b}", 79),
        ("between 195ms and 405ms partition a | r", 100),
        ("at 195ms partition a | b\nat 405ms heal", 79),
        ("between 195ms and 405ms pause r", 79),
        ("between 195ms and 405ms crash r", 79),
        ("at 195ms crash r\nat 405ms restart r", 79),
        ("between 195ms and 405ms down a-r", 79),
        ("at 195ms down a.0\nat 405ms up a.0", 79),
        ("between 195ms and 405ms clog a -> b", 100),
        ("at 195ms clog a -> b\nat 405ms release a -> b", 100),
        ("between 195ms and 405ms delay 1ms on a-r", 100),
    ];
    for (script, want) in cases {
        assert_eq!(received(script), want, "{script}");
    }
}

#[test]
fn clogged_packets_arrive_when_released() {
    let world = world("between 195ms and 405ms clog a -> b");
    // The one sent at 200 ms waited before the router until 405 ms, and had 3 ms to go.
    assert_eq!(world.measure("p", "rtt.max"), Some(208_000_000));
    assert_eq!(world.held_back(), 0);
}

#[test]
fn a_flapping_wire_comes_and_goes_until_its_end() {
    let world = world("between 195ms and 495ms flap a-r every 100ms down 50ms");
    assert_eq!(world.measure("p", "received"), Some(85));
    let lane = Lane {
        wire: world.find_wire("a-r").unwrap(),
        from: 0,
    };
    assert!(world.way(lane).unwrap().is_up());
}

#[test]
fn a_note_sets_a_fault_off() {
    // The fifth answer comes at 44 ms; the requests of 50, 60 and 70 ms are lost.
    assert_eq!(received("on 5th a.p.reply drop next 3 on a-r from a"), 97);
    assert_eq!(received("on a.p.reply crash b for 100ms"), 90);
}

#[test]
fn lines_end_in_any_order_and_leave_the_wire_as_it_was() {
    let script = "between 100ms and 300ms loss 50% on a-r\n\
                  between 200ms and 400ms mtu 600 on a-r\n\
                  between 250ms and 350ms loss 10% on a-r from a\n\
                  between 150ms and 450ms rate 1mbit on a-r";
    let mut world = world(script);
    for from in 0..2 {
        let wire = world.find_wire("a-r").unwrap();
        let lane = Lane { wire, from };
        let config = world.way(lane).unwrap().config().clone();
        assert_eq!(
            (config.loss, config.mtu, config.rate),
            (Loss::None, 1500, None)
        );
        assert!(world.with_way(lane, |w| w.rules_mut().is_empty()).unwrap());
    }
}

#[test]
fn the_script_is_told_in_the_trace() {
    let way = Config::default();
    let topology = Topology::new()
        .host("a")
        .host("b")
        .wire("a", "b", way)
        .faults("# plugs\n\nat 2ms down a-b for 3ms")
        .unwrap();
    let options = Options {
        watch: true,
        ..Options::default()
    };
    let mut world = topology.build(&options).unwrap();
    world.run_until(at(10));
    let mut told = Vec::new();
    while let Some(event) = world.poll_trace() {
        if let Kind::Fault { line, text } = event.kind {
            told.push((event.at, line, text));
        }
    }
    let line = |ms, text: &str| (at(ms), 3, text.to_owned());
    assert_eq!(told, [line(2, "down a-b"), line(5, "end of down a-b")]);
}
