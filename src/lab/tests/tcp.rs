//! TCP in worlds: its reasons in traces and captures, its log, and what faults do to it.

use super::*;
use crate::lab::build::Options;
use crate::lab::export::{Output, Recorder, Wanted, ladder};
use crate::lab::scenario;
use crate::lab::settings::{Bytes, Time};
use crate::lab::shrink::shrink;
use crate::lab::topology::{Client, Service, Topology};
use crate::lab::trace::Kind;
use impair::{Chance, Config, Loss};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// `a` sends to the sink of `b` through `r`, which loses some of it.
fn lossy(tso: bool) -> Topology {
    let back = Config {
        delay: 10 * MS,
        rate: Some(10_000_000),
        ..Config::default()
    };
    let way = Config {
        loss: Loss::Independent(Chance::from_ppm(30_000)),
        ..back.clone()
    };
    Topology::new()
        .until(Duration::from_secs(20))
        .host("a")
        .set(|s| s.tso = Some(tso))
        .router("r")
        .host("b")
        .serves(Service::Sink)
        .link("a", "r")
        .wire("r", "b", back)
        .way("r", way)
        .client(Client::tcp("t", "a", "b").bytes(300_000).start(100 * MS))
        .assert("b.services.sink.whole == 1")
        .unwrap()
}

fn built(topology: &Topology, seed: u64) -> World {
    let options = Options {
        seed,
        watch: true,
        digest: true,
        tcp_log: true,
        ..Options::default()
    };
    topology.build(&options).unwrap()
}

fn record(topology: &Topology, seed: u64) -> (BTreeMap<Output, Vec<u8>>, World) {
    let wanted = Wanted {
        json: true,
        pcapng: true,
        pcapng_each: true,
        ladder: Some(ladder::Config::default()),
        qlog: true,
        ..Wanted::default()
    };
    let mut world = built(topology, seed);
    let mut recorder = Recorder::new(&world, wanted);
    let mut written: BTreeMap<Output, Vec<u8>> = BTreeMap::new();
    let mut keep = |recorder: &mut Recorder| {
        for (output, bytes) in recorder.take() {
            written.entry(output).or_default().extend(bytes);
        }
    };
    while world.step_until(topology.end()) {
        recorder.pump(&mut world);
        keep(&mut recorder);
    }
    world.run_until(topology.end());
    recorder.finish(&mut world);
    keep(&mut recorder);
    (written, world)
}

#[test]
fn each_retransmission_has_its_reason_and_nothing_else_has() {
    for tso in [false, true] {
        let topology = lossy(tso);
        let mut world = built(&topology, 1);
        let mut whys = Vec::new();
        while world.step_until(topology.end()) {
            while let Some(event) = world.poll_trace() {
                if let Kind::Send { why: Some(why), .. } = event.kind {
                    let node = world.node(event.node.unwrap()).unwrap().name();
                    whys.push(format!("{node}: {why}"));
                }
            }
        }
        for node in ["a", "b"] {
            let counted = world.measure(node, "tcp.retransmitted").unwrap();
            let told = whys.iter().filter(|w| w.starts_with(node)).count();
            assert_eq!(i128::try_from(told), Ok(counted), "tso {tso}: {whys:?}");
        }
        assert!(whys.len() >= 3, "{whys:?}");
        assert!(whys.iter().any(|w| w.starts_with("a: retransmit: RACK")));
        assert_eq!(world.measure("b", "services.sink.whole"), Some(1));
        assert_eq!(world.measure("b", "services.sink.wrong"), Some(0));
    }
}

#[test]
fn captures_and_ladders_tell_the_reason() {
    let (written, world) = record(&lossy(false), 1);
    let text = |output: &Output| String::from_utf8(written[output].clone()).unwrap();
    let count = |node| world.measure(node, "tcp.retransmitted").unwrap();
    let counted = usize::try_from(count("a") + count("b")).unwrap();
    let lines: Vec<Value> = text(&Output::Json)
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let told = lines.iter().filter(|l| l.get("why").is_some());
    assert_eq!(told.count(), counted);
    let drawn = text(&Output::Ladder);
    assert!(drawn.matches("[retransmit: RACK").count() > 0, "{drawn}");
    assert!(drawn.matches("[retransmit:").count() + drawn.matches("[probe:").count() <= counted);
    if Command::new("tshark").arg("--version").output().is_err() {
        eprintln!("not run: tshark is not installed");
        return;
    }
    let ours = "frame.comment matches \"^(retransmit|probe): \"";
    assert_eq!(shown(&written[&Output::Pcapng], ours), counted);
    // A wire's own file has no frame twice: all that tshark takes for sent again is ours.
    let (wire, _) = world.wires().next().unwrap();
    let file = &written[&Output::PcapngOf(wire)];
    let (ours, theirs) = (
        shown(file, ours),
        shown(file, "tcp.analysis.retransmission"),
    );
    assert!(ours > 0 && theirs <= ours, "{theirs} where we say {ours}");
}

/// How many frames tshark shows through a filter; it has nothing to complain of.
fn shown(capture: &[u8], filter: &str) -> usize {
    let file = std::env::temp_dir().join(format!("tapline-tcp-{}.pcapng", std::process::id()));
    std::fs::write(&file, capture).unwrap();
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(&file).args(["-Y", filter]);
    let ran = tshark.args(["-T", "fields", "-e", "frame.number"]).output();
    std::fs::remove_file(&file).unwrap();
    let ran = ran.unwrap();
    let errors = String::from_utf8(ran.stderr).unwrap();
    let errors = errors.lines().filter(|l| !l.contains("Running as user"));
    assert_eq!(errors.collect::<Vec<_>>(), Vec::<&str>::new());
    ran.stdout.iter().filter(|b| **b == b'\n').count()
}

/// The events of one connection's file, and its head.
fn qlog(bytes: &[u8]) -> (Value, Vec<Value>) {
    let texts = bytes.split(|b| *b == 0x1e).skip(1);
    let mut values = texts.map(|t| serde_json::from_slice(t).unwrap());
    let head = values.next().unwrap();
    (head, values.collect())
}

#[test]
fn the_log_tells_the_window_over_time() {
    let (written, world) = record(&lossy(false), 1);
    let logs: Vec<_> = written
        .iter()
        .filter_map(|(output, bytes)| match output {
            Output::Qlog(name) => Some((name, qlog(bytes))),
            _ => None,
        })
        .collect();
    assert_eq!(logs.len(), 2, "one for each end");
    for (name, (head, events)) in &logs {
        assert!(name.ends_with(".sqlog"));
        assert_eq!(head["qlog_version"], "0.3");
        let times: Vec<f64> = events.iter().map(|e| e["time"].as_f64().unwrap()).collect();
        assert!(times.is_sorted(), "{name}");
        let names: BTreeSet<&str> = events.iter().map(|e| e["name"].as_str().unwrap()).collect();
        assert!(names.contains("connectivity:connection_started"));
        assert!(names.contains("connectivity:connection_state_updated"));
    }
    let (_, (_, events)) = logs.iter().find(|(n, _)| n.starts_with("a-")).unwrap();
    let count = |name: &str| events.iter().filter(|e| e["name"] == name).count() as i128;
    let phases = events
        .iter()
        .filter(|e| e["name"] == "recovery:congestion_state_updated");
    let recoveries = phases.filter(|e| e["data"]["new"] == "recovery").count() as i128;
    assert_eq!(Some(recoveries), world.measure("t", "recoveries"));
    assert!(count("recovery:packet_lost") >= recoveries && recoveries > 0);
    let windows = events
        .iter()
        .filter_map(|e| e["data"]["congestion_window"].as_u64());
    let most = windows.max().map(i128::from);
    assert!(most >= world.measure("t", "cwnd.max"));
}

#[test]
fn each_loss_is_told_once_whatever_found_it() {
    for (sack, lost) in [
        (true, 30_000),
        (false, 30_000),
        (false, 100_000),
        (true, 100_000),
    ] {
        let mut topology = lossy(false).until(Duration::from_secs(300));
        for client in &mut topology.clients {
            client.settings.tcp_sack = Some(sack);
        }
        let ways = topology.wires.iter_mut().flat_map(|wire| &mut wire.ways);
        for way in ways.filter(|way| way.rate.is_some()) {
            way.loss = Loss::Independent(Chance::from_ppm(lost));
        }
        let mut world = built(&topology, 1);
        let mut again = 0;
        while world.step_until(topology.end()) {
            while let Some(event) = world.poll_trace() {
                if let Kind::Send { why: Some(why), .. } = event.kind {
                    let node = world.node(event.node.unwrap()).unwrap().name();
                    let why = why.to_string();
                    let data = why.starts_with("retransmit") && !why.contains("handshake");
                    again += usize::from(node == "a" && data);
                }
            }
        }
        let (written, _) = record(&topology, 1);
        let of_a = |output: &Output| matches!(output, Output::Qlog(n) if n.starts_with("a-"));
        let (_, bytes) = written.iter().find(|(output, _)| of_a(output)).unwrap();
        let (_, events) = qlog(bytes);
        let told = events
            .iter()
            .filter(|e| e["name"] == "recovery:packet_lost");
        let told = told.count();
        assert!(
            told >= again && again > 3,
            "{sack} {lost}: {told} of {again}"
        );
        // Less later where timeouts look like a black hole.
        let mut mtus = events
            .iter()
            .filter(|e| e["name"] == "connectivity:mtu_updated");
        assert_eq!(mtus.next().unwrap()["data"]["new"], 1500);
    }
}

/// How the connection of a node ended, as its file says.
fn closed(written: &BTreeMap<Output, Vec<u8>>, node: &str) -> Value {
    let of_node = |output: &Output| matches!(output, Output::Qlog(name) if name.starts_with(node));
    let (_, bytes) = written.iter().find(|(output, _)| of_node(output)).unwrap();
    let (_, events) = qlog(bytes);
    let last = events.last().unwrap();
    assert_eq!(last["name"], "connectivity:connection_closed");
    last["data"].clone()
}

#[test]
fn the_log_tells_how_a_connection_ended() {
    let (written, _) = record(&lossy(false).until(Duration::from_secs(100)), 1);
    assert_eq!(closed(&written, "a-")["trigger"], "clean");
    assert_eq!(closed(&written, "b-")["trigger"], "clean");
    let mut client = Client::tcp("t", "a", "b").bytes(100_000_000);
    client.settings.tcp_retries = Some(3);
    let mut topology = lossy(false).client(client).faults("at 2s crash b").unwrap();
    topology.clients.remove(0);
    let (written, _) = record(&topology, 1);
    let told = closed(&written, "a-");
    assert_eq!(
        (&told["owner"], &told["trigger"]),
        (&"local".into(), &"error".into())
    );
    assert_eq!(
        told["reason"],
        stack::transport::tcp::Error::TimedOut.to_string()
    );
    assert_eq!(closed(&written, "b-")["reason"], "the host has crashed");
}

#[test]
fn who_looks_on_changes_nothing() {
    let topology = lossy(true);
    let mut watched = built(&topology, 3);
    watched.run_until(topology.end());
    let digest = topology.run(3).unwrap().digest;
    assert_eq!(watched.digest(), Some(digest));
}

/// `b` crashes in the midst of a transfer.
fn crash(script: &str, set: impl FnOnce(&mut crate::lab::settings::Settings)) -> World {
    let mut client = Client::tcp("t", "a", "b").bytes(100_000_000);
    set(&mut client.settings);
    let mut topology = lossy(false).client(client).faults(script).unwrap();
    topology.clients.remove(0);
    let mut world = built(&topology, 1);
    world.run_until(at(20_000));
    world.audit().unwrap();
    world
}

/// What the client said last.
fn last_note(world: &mut World) -> String {
    let mut last = String::new();
    while let Some(event) = world.poll_trace() {
        if let Kind::Note { program, name, .. } = event.kind
            && program == "t"
        {
            last = name;
        }
    }
    last
}

#[test]
fn a_crashed_peer_answers_with_a_reset_once_it_is_back() {
    let mut world = crash("between 2s and 3s crash b", |_| {});
    assert_eq!(last_note(&mut world), "reset");
    assert!(world.measure("t", "timeouts") > Some(0));
    assert!(world.measure("a", "tcp.resets-in") > Some(0));
    assert!(world.measure("b", "tcp.resets-out") > Some(0));
    assert_eq!(world.measure("t", "finished"), Some(0));
}

#[test]
fn patience_with_a_peer_that_stays_away_ends() {
    let few = |s: &mut crate::lab::settings::Settings| s.tcp_retries = Some(3);
    let mut world = crash("at 2s crash b", few);
    assert_eq!(last_note(&mut world), "timeout");
    let short = |s: &mut crate::lab::settings::Settings| s.tcp_user_timeout = Some(Time(700 * MS));
    let mut world = crash("at 2s crash b", short);
    assert_eq!(last_note(&mut world), "timeout");
    let mut world = crash("at 2s crash b", |_| {});
    assert_eq!(last_note(&mut world), "connected", "it has fifteen tries");
}

#[test]
fn a_world_with_tcp_becomes_small() {
    let mut topology = lossy(false)
        .client(Client::ping("p", "a", "b").count(5))
        .client(Client::tcp("u", "b", "a").bytes(5000))
        .faults("at 1s duplicate 10% on *\nat 120ms down r-b\nat 2s delay 5ms on a-r")
        .unwrap();
    topology.asserts = vec!["t.finished == 1".parse().unwrap()];
    let shrunk = shrink(&topology, 1, &mut |_| {}).unwrap();
    assert!(shrunk.failure.starts_with("t.finished == 1"));
    assert_eq!(shrunk.topology.clients.len(), 1);
    assert!(shrunk.topology.faults.lines.len() <= 1, "{shrunk}");
    assert!(shrunk.packets <= 20, "{shrunk}");
}

#[test]
fn a_client_may_differ_from_its_node() {
    let mut topology = lossy(false);
    topology.nodes[0].settings.tcp_mss = Some(1000);
    topology.nodes[0].settings.tcp_sack = Some(false);
    topology.clients[0].settings.tcp_mss = Some(500);
    let (world, outcome) = topology.play(1).unwrap();
    assert!(outcome.holds(), "{outcome:?}");
    // Timestamps take twelve bytes of what was announced.
    assert_eq!(world.measure("t", "mss"), Some(488));
    topology.clients[0].settings.tcp_fixed_window = Some(Bytes(3000));
    let (world, _) = topology.play(1).unwrap();
    assert_eq!(world.measure("t", "cwnd.max"), Some(3000));
}

#[test]
fn scenarios_with_tcp_tell_what_they_did() {
    for name in ["sack", "windows", "black-hole-tcp"] {
        let topology = scenario::find(name).unwrap().topology();
        let (written, _) = record(&topology, 1);
        let drawn = String::from_utf8(written[&Output::Ladder].clone()).unwrap();
        let want = match name {
            "windows" => "[probe: window closed]",
            "sack" => "[retransmit: partial acknowledgment]",
            _ => "[retransmit: path MTU is 1000]",
        };
        assert!(drawn.contains(want), "{name}");
    }
}
