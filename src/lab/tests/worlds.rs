//! A world runs, forks, and is the same again.

use super::super::build::Options;
use super::super::history::{Config, History};
use super::super::topology::{Client, Topology};
use super::super::trace::Kind;
use super::*;
use stack::link::impair::{Chance, Loss};

fn lossy() -> [impair::Config; 2] {
    let [way, _] = slow(5 * MS);
    let way = impair::Config {
        loss: Loss::Independent(Chance::from_ppm(300_000)),
        jitter: MS,
        ..way
    };
    [way.clone(), way]
}

#[test]
fn a_ping_takes_the_delay_there_and_back() {
    let mut world = pair(1, slow(5 * MS));
    world.keep_digest();
    world.run_until(at(3000));
    assert_eq!(world.measure("p", "received"), Some(10));
    // The first has to wait for ARP, the others do not.
    assert_eq!(world.measure("p", "rtt.min"), Some(10_000_000));
    assert_eq!(world.measure("p", "rtt.max"), Some(20_000_000));
    assert_eq!(world.now(), at(3000));
    world.audit().unwrap();
}

/// A host's own machines have deadlines that are met by a frame: they do not wait for room.
#[test]
fn time_passes_where_nothing_has_room() {
    for (rate, script) in [(100, ""), (1_000_000, "at 1ms rate 0 on *")] {
        let slow = impair::Config {
            rate: Some(rate),
            queue: impair::Queue::DropTail {
                packets: Some(1),
                bytes: None,
                mark: None,
            },
            ..impair::Config::default()
        };
        let topology = Topology::new()
            .host("a")
            .host("b")
            .wire("a", "b", slow)
            .client(Client::ping("p", "a", "b").count(16))
            .faults(script)
            .unwrap();
        let mut world = topology.build(&Options::default()).unwrap();
        let end = Instant::ZERO + Duration::from_secs(30);
        while world.step_until(end) {
            assert!(world.steps() < 10_000, "it stands at {:?}", world.now());
        }
        world.audit().unwrap();
        let lost = world.measure("a-b", "drops.wire-queue-full");
        assert!(lost > Some(0), "{lost:?}");
    }
}

#[test]
fn a_fork_goes_on_as_the_unbroken_run() {
    let mut whole = pair(7, lossy());
    whole.keep_digest();
    let mut half = whole.clone();
    whole.run_until(at(3000));
    half.run_until(at(512));
    let mut fork = half.clone();
    half.run_until(at(3000));
    fork.run_until(at(3000));
    assert_eq!(whole.digest(), half.digest());
    assert_eq!(whole.digest(), fork.digest());
    let mut other = pair(8, lossy());
    other.keep_digest();
    other.run_until(at(3000));
    assert_ne!(whole.digest(), other.digest(), "the seed decides");
    for world in [&whole, &fork, &other] {
        world.audit().unwrap();
    }
}

#[test]
fn nothing_that_comes_after_the_end_happens_before_it() {
    // Frames that overtake each other leave plans behind that say nothing of what is next.
    let [way, _] = slow(5 * MS);
    let way = impair::Config {
        jitter: 4 * MS,
        ..way
    };
    let mut world = pair(3, [way.clone(), way]);
    let a = world.find("a").unwrap();
    let often = ping::Config {
        count: Some(500),
        interval: MS,
        ..ping::Config::new([10, 0, 0, 2])
    };
    world.add_program(a, "often", 20 * MS, Pinger::new(often));
    let mut history = History::new(world.clone(), Config::default());
    for tenths in 0..6000 {
        let end = Instant::ZERO + tenths * (MS / 10);
        world.run_until(end);
        assert_eq!(world.now(), end);
        history.forward_until(end);
        assert!(
            history.world().now() <= end,
            "{tenths} tenths of a millisecond"
        );
        assert!(!world.step_until(end), "nothing is left");
    }
}

#[test]
fn going_back_and_forth_leads_to_the_same_worlds() {
    let config = Config {
        every: 8,
        checkpoints: 4,
    };
    let mut world = pair(3, lossy());
    world.keep_digest();
    let mut history = History::new(world, config);
    let mut digests = vec![history.world().digest()];
    while history.world().next_at().is_some_and(|t| t <= at(2000)) {
        history.forward();
        digests.push(history.world().digest());
    }
    let last = digests.len() - 1;
    for step in [0, last, 17, 16, 15, last / 2, last, 1] {
        assert!(history.go_to(step as u64));
        assert_eq!(history.world().digest(), digests[step], "step {step}");
    }
}

#[test]
fn every_event_knows_its_cause() {
    let mut world = pair(1, slow(5 * MS));
    world.watch(true);
    world.run_until(at(500));
    let mut events = Vec::new();
    while let Some(event) = world.poll_trace() {
        events.push(event);
    }
    assert!(events.iter().zip(1..).all(|(e, n)| e.seq == n));
    let mut arrivals = 0;
    for event in &events {
        assert!(event.cause < event.seq);
        // The hosts announced themselves before anybody watched.
        if let Kind::Arrive { frame_id, sent, .. } = &event.kind
            && *frame_id > 0
        {
            let cause = &events[usize::try_from(*frame_id).unwrap() - 1];
            assert!(matches!(cause.kind, Kind::Send { .. }) && cause.at == *sent);
            assert_eq!(event.cause, *frame_id);
            arrivals += 1;
        }
    }
    assert!(arrivals > 10);
    // An answer is caused by the arrival of what it answers.
    let answer = events.iter().rev().find_map(|e| match &e.kind {
        Kind::Send { .. } if e.node == Some(NodeId(1)) => Some(e.cause),
        _ => None,
    });
    let cause = &events[usize::try_from(answer.unwrap()).unwrap() - 1];
    assert!(matches!(cause.kind, Kind::Arrive { .. }));
}

#[test]
fn a_paused_host_hears_nothing_and_goes_on_later() {
    let mut world = pair(1, slow(5 * MS));
    let b = world.find("b").unwrap();
    world.run_until(at(300));
    world.pause(b);
    world.run_until(at(605));
    world.resume(b);
    world.run_until(at(3000));
    assert_eq!(world.measure("b", "drops.node-paused"), Some(3));
    assert_eq!(world.measure("p", "received"), Some(7));
    world.audit().unwrap();
}

#[test]
fn a_crashed_host_begins_again_without_its_neighbours() {
    let mut world = pair(1, slow(5 * MS));
    world.keep_births();
    let b = world.find("b").unwrap();
    world.run_until(at(300));
    assert_eq!(world.measure("b", "neighbors"), Some(1));
    world.crash(b);
    world.run_until(at(605));
    world.restart(b).unwrap();
    world.run_until(at(606));
    assert_eq!(world.measure("b", "neighbors"), Some(0));
    world.run_until(at(3000));
    assert_eq!(world.measure("b", "drops.node-down"), Some(3));
    assert_eq!(world.measure("p", "received"), Some(7));
    world.audit().unwrap();
}

#[test]
fn a_host_that_begins_again_draws_other_numbers() {
    // The identifiers of its echo requests.
    let idents = |crash: bool| {
        let mut world = pair(1, slow(5 * MS));
        world.keep_births();
        world.watch(true);
        let a = world.find("a").unwrap();
        if crash {
            world.crash(a);
            world.restart(a).unwrap();
        }
        world.run_until(at(500));
        let mut idents = Vec::new();
        while let Some(event) = world.poll_trace() {
            if let Kind::Send { frame, .. } = event.kind
                && event.node == Some(a)
                && frame.len() > 80
            {
                idents.push(frame.to_bytes().slice(38..40));
            }
        }
        idents
    };
    assert!(!idents(false).is_empty() && idents(false) == idents(false));
    assert_ne!(idents(false), idents(true));
}
