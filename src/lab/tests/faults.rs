//! What each fault does to a run, and that its end undoes it.

use super::*;
use crate::lab::build::Options;
use crate::lab::topology::{Client, Topology};
use crate::lab::trace::{Event, Kind};
use crate::lab::{Lane, NodeId, World};
use stack::link::impair::{Config, Loss};

/// `a` and `b` on either side of `r`, 1 ms from it; `p` pings from `a` to `b` every 10 ms, so often.
fn net(pings: u64, script: &str) -> Topology {
    let way = Config {
        delay: MS,
        ..Config::default()
    };
    let mut ping = Client::ping("p", "a", "b").count(pings);
    ping.interval = Some(10 * MS);
    Topology::new()
        .host("a")
        .router("r")
        .host("b")
        .wire("a", "r", way.clone())
        .wire("r", "b", way)
        .client(ping)
        .faults(script)
        .unwrap()
}

/// A second of pings, and what was under way.
fn world(script: &str) -> World {
    let topology = net(100, script);
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
fn what_is_held_back_is_in_the_books() {
    let world = world("at 195ms clog a -> b");
    let count = |metric: &str| world.measure("a-r", metric).unwrap();
    assert_eq!(count("from.a.held-back"), 80);
    assert_eq!(count("held-back"), 80);
    let [taken, came, lost, queued] =
        ["frames-in", "delivered", "lost", "queued"].map(|m| count(&format!("from.a.{m}")));
    assert_eq!(taken, came + lost + queued + 80);
    let arrived = world.measure("r", "arrived").unwrap();
    let other = world.measure("r-b", "from.b.delivered").unwrap();
    assert_eq!(arrived, came + other);
    assert_eq!(world.audit(), Ok(()));
}

/// A frame has been under way until it is let go.
#[test]
fn what_was_held_back_took_long() {
    let world = world("between 195ms and 405ms clog a -> b");
    let most = world.measure("a-r", "delay.max").unwrap();
    assert_eq!(most, 205_000_000, "sent at 200 ms, let go at 405 ms");
    assert_eq!(world.measure("r-b", "delay.max"), Some(1_000_000));
}

#[test]
fn the_next_three_are_three_wherever_they_are() {
    for (script, lost) in [
        ("at 195ms drop next 3 of icmp on *", 3),
        ("at 195ms drop next 3 of icmp on a-r", 3),
        ("at 195ms drop next 3 of icmp on * source a", 3),
        (
            "at 195ms drop next 3 of icmp on * from a\nat 195ms drop next 2 of icmp on r-b",
            5,
        ),
        ("between 195ms and 199ms drop next 3 on *", 0),
    ] {
        let world = world(script);
        let drops = ["a-r", "r-b"].map(|w| world.measure(w, "drops.wire-fault").unwrap());
        assert_eq!(drops.iter().sum::<i128>(), lost, "{script}");
        assert_eq!(world.measure("p", "received"), Some(100 - lost), "{script}");
    }
}

/// What a client saw before its host crashed is not forgotten.
#[test]
fn a_client_measures_over_all_lives_of_its_host() {
    let world = world("at 105ms loss all on r-b from r for 20ms\nbetween 195ms and 405ms crash a");
    let count = |metric: &str| world.measure("p", metric).unwrap();
    // 20 before the crash, two of them lost, and as many as ever after it.
    assert_eq!((count("sent"), count("received")), (120, 118));
    assert_eq!(count("loss"), 2 * 1_000_000 / 120);
    assert_eq!(count("rtt.p50"), 4_000_000);
    let judged = |text: &str| {
        let assertion: crate::lab::assertion::Assertion = text.parse().unwrap();
        assertion.judge(&world).text
    };
    assert_eq!(judged("p.sent >= 119"), "p.sent >= 119: it is 120");
    let twice = self::world("between 195ms and 405ms crash a\nbetween 605ms and 705ms crash a");
    assert_eq!(twice.measure("p", "sent"), Some(20 + 20 + 100));
    assert_eq!(twice.measure("p", "rtt.min"), Some(4_000_000));
}

#[test]
fn a_timer_follows_from_what_set_it() {
    let options = Options {
        watch: true,
        ..Options::default()
    };
    let mut world = net(5, "").build(&options).unwrap();
    world.run_until(at(1000));
    let mut nodes = std::collections::BTreeMap::new();
    let (mut timers, mut caused) = (0, 0);
    while let Some(event) = world.poll_trace() {
        if matches!(event.kind, Kind::Timer) {
            timers += 1;
            if event.cause != 0 {
                caused += 1;
                assert_eq!(nodes.get(&event.cause), Some(&event.node), "{event:?}");
            }
        }
        nodes.insert(event.seq, event.node);
    }
    // The first has nothing before it.
    assert!(timers >= 5 && timers - caused <= 1, "{caused} of {timers}");
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

/// What was told of forty pings.
fn told(script: &str) -> Vec<Event> {
    let topology = net(40, script);
    let options = Options {
        watch: true,
        ..Options::default()
    };
    let mut world = topology.build(&options).unwrap();
    world.run_until(at(2000));
    std::iter::from_fn(|| world.poll_trace()).collect()
}

#[test]
fn what_a_fault_takes_names_the_fault() {
    for (script, reason) in [
        ("between 90500us and 205ms down a-r", "wire-down"),
        (
            "between 90500us and 205ms flap a-r every 40ms down 20ms",
            "wire-down",
        ),
        ("between 95ms and 205ms crash r", "node-down"),
        ("between 95ms and 205ms pause b", "node-paused"),
        (
            "between 95ms and 205ms drop all on r-b from b",
            "wire-fault",
        ),
        ("between 95ms and 205ms partition a | b", "wire-fault"),
        (
            "between 95ms and 205ms corrupt all on a-r",
            "wire-frame-check",
        ),
        ("between 95ms and 205ms loss all on a-r", "wire-loss"),
        ("between 95ms and 205ms mtu 70 on a-r", "frame-too-long"),
        ("on 9th a.p.reply drop next 5 on r-b from b", "wire-fault"),
    ] {
        let events = told(script);
        let by_seq = |seq: u64| &events[usize::try_from(seq).unwrap() - 1];
        let mut found = 0;
        for event in &events {
            let Kind::Drop { reason: r, .. } = &event.kind else {
                continue;
            };
            let fault = event.cause > 0 && matches!(by_seq(event.cause).kind, Kind::Fault { .. });
            assert_eq!(r.name() == reason, fault, "{script}: {event:?}");
            found += u32::from(fault);
        }
        assert!(found >= 1, "{script}: {found}");
    }
}

#[test]
fn a_fault_names_the_note_it_waited_for_and_is_the_cause_of_what_follows() {
    let events = told("on 9th a.p.reply crash b for 20ms");
    let by_seq = |seq: u64| &events[usize::try_from(seq).unwrap() - 1];
    let faults: Vec<&Event> = events
        .iter()
        .filter(|e| matches!(e.kind, Kind::Fault { .. }))
        .collect();
    assert_eq!(faults.len(), 2);
    assert!(matches!(&by_seq(faults[0].cause).kind, Kind::Note { name, .. } if name == "reply"));
    // What `b` says when it is back, it says because it is back.
    let first = events.iter().find(|e| {
        e.seq > faults[1].seq && e.node == Some(NodeId(2)) && matches!(e.kind, Kind::Send { .. })
    });
    assert_eq!(first.unwrap().cause, faults[1].seq);
}

#[test]
fn states_are_told_as_they_change() {
    let script = "at 95ms crash r\nat 105ms restart r\nbetween 200ms and 210ms pause b\n\
                  between 300ms and 305ms down a-r";
    let states: Vec<_> = told(script)
        .into_iter()
        .filter_map(|e| match e.kind {
            Kind::State { view } => Some((e.at.as_nanos() / 1_000_000, e.node.unwrap().0, view)),
            _ => None,
        })
        .collect();
    let usable = |at, node, addr: &str| (at, node, format!("{addr}: usable"));
    let says = |at, node, view: &str| (at, node, view.to_owned());
    let want = [
        usable(0, 0, "10.0.1.1"),
        usable(0, 1, "10.0.1.2"),
        usable(0, 1, "10.0.2.1"),
        usable(0, 2, "10.0.2.2"),
        says(95, 1, "down"),
        says(105, 1, "running"),
        usable(105, 1, "10.0.1.2"),
        usable(105, 1, "10.0.2.1"),
        says(200, 2, "paused"),
        says(210, 2, "running"),
        says(300, 0, "port 0: down"),
        says(300, 1, "port 0: down"),
        says(305, 0, "port 0: up"),
        says(305, 1, "port 0: up"),
    ];
    assert_eq!(states, want);
}
