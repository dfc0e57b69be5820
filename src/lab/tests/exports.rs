//! What exporters write of a run: golden texts, and what must hold of any run.
//!
//! With `TAPLINE_REWRITE=1` in the environment the golden texts in `exports/` are written anew; with
//! `TAPLINE_PICTURES=DIR` a run is left there to be looked at.

use super::*;
use crate::lab::Lane;
use crate::lab::build::Options;
use crate::lab::export::{Output, Recorder, Wanted};
use crate::lab::export::{ladder, pcapng};
use crate::lab::fault::Script;
use crate::lab::topology::{Client, Service, Topology};
use impair::{Chance, Config, Loss, Queue};
use serde_json::Value;
use stack::reason::DropReason;
use stack::transport::udp::PathMtu;
use stack::wire::pcap::{Capture, Direction};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything that there is.
fn all() -> Wanted {
    Wanted {
        json: true,
        pcapng: true,
        pcapng_each: true,
        ladder: Some(ladder::Config::default()),
        shiviz: true,
        qlog: true,
        svg: Some("a run".to_owned()),
    }
}

type Written = BTreeMap<Output, Vec<u8>>;

/// Runs it to its end; gives what was written, and the recorder for its names.
fn record(topology: &Topology, seed: u64, wanted: Wanted) -> (Written, Recorder, World) {
    run(topology, watched(topology, seed), seed, wanted)
}

fn watched(topology: &Topology, seed: u64) -> World {
    let options = Options {
        seed,
        watch: true,
        ..Options::default()
    };
    topology.build(&options).unwrap()
}

fn run(
    topology: &Topology,
    mut world: World,
    seed: u64,
    wanted: Wanted,
) -> (Written, Recorder, World) {
    let mut recorder = Recorder::new(&world, wanted);
    let mut written = Written::new();
    let mut keep = |recorder: &mut Recorder| {
        for (output, bytes) in recorder.take() {
            written.entry(output).or_default().extend(bytes);
        }
    };
    while world.next_at().is_some_and(|t| t <= topology.end()) {
        world.step();
        recorder.pump(&mut world);
        keep(&mut recorder);
    }
    topology.judge(seed, &mut world);
    recorder.finish(&mut world);
    keep(&mut recorder);
    (written, recorder, world)
}

fn text(written: &Written, output: &Output) -> String {
    String::from_utf8(written[output].clone()).unwrap()
}

fn golden(name: &str, found: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lab/tests/exports");
    let file = file.join(name);
    if std::env::var_os("TAPLINE_REWRITE").is_some() {
        std::fs::write(&file, found).unwrap();
    }
    let want = std::fs::read_to_string(&file).unwrap_or_default();
    for (n, (want, found)) in want.lines().zip(found.lines()).enumerate() {
        assert_eq!(want, found, "line {} of {name}", n + 1);
    }
    assert_eq!(want, found, "{name}");
}

/// Large pings over a router that has to cut them; one fragment is lost.
fn cut() -> Written {
    let way = Config {
        delay: 5 * MS,
        ..Config::default()
    };
    let narrow = Config {
        mtu: 600,
        ..way.clone()
    };
    let topology = Topology::new()
        .host("a")
        .router("r")
        .host("b")
        .wire("a", "r", way)
        .wire("r", "b", narrow)
        .faults("at 190ms drop next 1 on r-b from r")
        .unwrap();
    let mut topology = topology.assert("b.reassembled >= 4").unwrap();
    topology.until = Some(Duration::from_millis(400));
    let mut world = watched(&topology, 1);
    let config = ping::Config {
        count: Some(3),
        interval: 100 * MS,
        size: 1000,
        ident: 7,
        path_mtu: PathMtu::Off,
        ..ping::Config::new([10, 0, 2, 2])
    };
    let a = world.find("a").unwrap();
    world.add_program(a, "p", Duration::ZERO, Pinger::new(config));
    run(&topology, world, 1, all()).0
}

#[test]
fn a_small_run_is_told_as_it_always_was() {
    let written = cut();
    golden("cut.jsonl", &text(&written, &Output::Json));
    golden("cut.ladder", &text(&written, &Output::Ladder));
    golden("cut.shiviz", &text(&written, &Output::Shiviz));
}

/// Bad wires, a queue that overflows, a duplicate or two, and everybody says something.
fn busy(seed: u64) -> Topology {
    let bad = Config {
        delay: 3 * MS,
        jitter: MS,
        loss: Loss::Independent(Chance::from_ppm(50_000)),
        duplicate: Chance::from_ppm(50_000),
        reorder: Chance::from_ppm(50_000),
        bit_errors: Chance::from_ppm(20),
        frame_check: seed.is_multiple_of(2),
        rate: Some(1_200_000),
        queue: Queue::DropTail {
            packets: Some(3),
            bytes: None,
            mark: Some(2),
        },
        ..Config::default()
    };
    let mut topology = Topology::new()
        .host("a")
        .serves(Service::Echo)
        .host("c")
        .hub("h")
        .router("r1")
        .router("r2")
        .host("b")
        .serves(Service::Echo)
        .link("a", "h")
        .link("c", "h")
        .link("h", "r1")
        .wire("r1", "r2", bad)
        .wire(
            "r2",
            "b",
            Config {
                mtu: 700,
                ..Config::default()
            },
        )
        .client(
            Client::ping("p", "a", "b")
                .count(20)
                .every(20 * MS)
                .size(1200),
        )
        .client(Client::udp("u", "c", "b").count(60).every(5 * MS).size(400))
        .client(Client::ping("q", "b", "c").count(20).every(15 * MS))
        .faults("between 200ms and 250ms down r2-b")
        .unwrap();
    topology.until = Some(Duration::from_millis(600));
    topology
}

#[test]
fn equal_runs_give_equal_bytes() {
    let (first, ..) = record(&busy(1), 1, all());
    let (second, ..) = record(&busy(1), 1, all());
    assert!(first.len() >= 4 + 5, "{:?}", first.keys());
    assert!(first == second);
    let (other, ..) = record(&busy(1), 2, all());
    for output in [Output::Json, Output::Pcapng, Output::Ladder, Output::Shiviz] {
        assert!(
            first[&output] != other[&output],
            "{output:?} depends on the run"
        );
    }
}

/// The lines of a JSON trace.
fn lines(written: &Written) -> Vec<Value> {
    let text = text(written, &Output::Json);
    text.lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

#[test]
fn every_line_has_the_keys_of_its_kind() {
    let keys = |kind: &str| -> &[&str] {
        match kind {
            "send" => &["wire", "from", "to", "text", "packets", "hash"],
            "arrive" => &["wire", "packet", "sent", "fate", "marks", "hash"],
            "drop" => &["wire", "packet", "reason", "detail", "count"],
            "timer" => &[],
            "note" => &["program", "name", "text"],
            "state" => &["view"],
            "fault" => &["line", "text"],
            "verdict" => &["assertion", "holds"],
            other => panic!("{other}"),
        }
    };
    let mut kinds = BTreeSet::new();
    for written in [record(&busy(1), 1, all()).0, cut()] {
        for (line, n) in lines(&written).iter().zip(1..) {
            assert_eq!(line["seq"], n);
            let kind = line["kind"].as_str().unwrap();
            kinds.insert(kind.to_owned());
            let head = ["t", "seq", "node", "kind", "cause"];
            let found: Vec<&str> = line
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            let fixed = found
                .iter()
                .filter(|k| !["consumer", "reason"].contains(k) || kind == "drop");
            let want: Vec<&str> = head.iter().chain(keys(kind)).copied().collect();
            assert_eq!(fixed.copied().collect::<Vec<_>>(), want);
            assert_eq!(found.contains(&"consumer"), line["fate"] == "delivered");
        }
    }
    assert_eq!(kinds.len(), 8, "{kinds:?}");
}

/// Found by its kind alone: each drop at a node or on a wire, with its reason.
#[test]
fn the_drops_of_a_trace_are_those_that_were_counted() {
    for seed in 1..4 {
        let mut topology = busy(seed);
        let script = "between 100ms and 150ms crash c\nbetween 300ms and 340ms pause b\n\
                      between 400ms and 450ms partition a | b";
        topology.faults = Script::parse(script).unwrap();
        let (written, _, world) = record(&topology, seed, all());
        let mut told: BTreeMap<String, u64> = BTreeMap::new();
        for line in lines(&written).iter().filter(|l| l["kind"] == "drop") {
            let reason = line["reason"].as_str().unwrap().to_owned();
            *told.entry(reason).or_default() += line["count"].as_u64().unwrap();
        }
        let mut counted: BTreeMap<String, u64> = BTreeMap::new();
        for reason in DropReason::ALL {
            let nodes = world.nodes().map(|(_, n)| {
                let host = n.total(|s| s.dropped_in(*reason) + s.dropped_out(*reason));
                host + match reason {
                    DropReason::NodeDown => n.counters().down,
                    DropReason::NodePaused => n.counters().paused,
                    _ => 0,
                }
            });
            let wires = world
                .wires()
                .flat_map(|(wire, _)| [0, 1].map(|from| Lane { wire, from }));
            let wires = wires.map(|lane| world.way(lane).unwrap().stats().dropped(*reason));
            let sum: u64 = nodes.chain(wires).sum();
            if sum > 0 {
                counted.insert(reason.to_string(), sum);
            }
        }
        assert!(counted.len() >= 8, "{counted:?}");
        assert_eq!(told, counted, "seed {seed}");
    }
}

/// An identification that no two packets of a test share tells by itself what is one packet.
#[test]
fn a_packet_keeps_its_name_over_hops_and_a_datagram_over_fragments() {
    let written = cut();
    let lines = lines(&written);
    // The requests of `a`: which packets carried each datagram, on which wires.
    let mut carried: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for line in lines.iter().filter(|l| l["kind"] == "send") {
        let packets = line["packets"].as_array().unwrap();
        assert_eq!(packets[0]["id"], format!("f{}", line["seq"]));
        for pair in packets.windows(2) {
            assert_eq!(pair[0]["carries"][0], pair[1]["id"]);
            assert_eq!(pair[1]["carried_by"][0], pair[0]["id"]);
        }
        if let [_, ip, datagram] = &packets[..]
            && datagram["layer"] == "icmp"
        {
            let name = |v: &Value| v["id"].as_str().unwrap().to_owned();
            let wire = line["wire"].as_str().unwrap().to_owned();
            carried
                .entry(name(datagram))
                .or_default()
                .insert((wire, name(ip)));
        }
    }
    // Requests: whole on one wire, in two pieces on the other; replies, which `b` itself cuts, stay
    // cut. One request loses a piece and is not answered.
    let shape = |set: &BTreeSet<(String, String)>| {
        let on = |w: &str| set.iter().filter(|(wire, _)| wire == w).count();
        let names: BTreeSet<_> = set.iter().map(|(_, p)| p).collect();
        (on("a-r"), on("r-b"), names.len())
    };
    let mut shapes: Vec<_> = carried.values().map(shape).collect();
    shapes.sort_unstable();
    let (request, reply) = ((1, 2, 3), (2, 2, 2));
    let want = [request, request, request, reply, reply];
    assert_eq!(shapes, want, "{carried:?}");
}

#[test]
fn names_do_not_mix_packets_up() {
    // Told by their bytes: an echo's number and length, a datagram's number.
    for seed in 1..6 {
        let mut topology = busy(seed);
        // Bits that flip make packets of their own.
        for way in topology.wires.iter_mut().flat_map(|w| &mut w.ways) {
            way.bit_errors = Chance::NEVER;
        }
        let (written, ..) = record(&topology, seed, all());
        let mut seen: BTreeMap<(String, String), String> = BTreeMap::new();
        let mut origin: BTreeMap<String, String> = BTreeMap::new();
        for line in lines(&written).iter().filter(|l| l["kind"] == "send") {
            let packets = line["packets"].as_array().unwrap();
            let [_, ip, _] = &packets[..] else { continue };
            let name = ip["id"].as_str().unwrap().to_owned();
            // Once on each wire, except where the wire before delivered it twice.
            let wire = line["wire"].as_str().unwrap().to_owned();
            let says = line["text"].as_str().unwrap().to_owned();
            let before = seen.insert((name.clone(), wire), says.clone());
            assert!(before.is_none_or(|b| b == says), "{name}");
            let first = origin.entry(name).or_insert_with(|| says.clone());
            assert_eq!(*first, says);
        }
        assert!(origin.len() > 50);
    }
}

#[test]
fn captures_hold_every_frame_with_what_became_of_it() {
    let (written, recorder, world) = record(&busy(1), 1, all());
    let trace = lines(&written);
    let of = |kind: &str| trace.iter().filter(|l| l["kind"] == kind).count();
    let lost = trace
        .iter()
        .filter(|l| l["kind"] == "drop" && !l["wire"].is_null());
    let lost: Vec<&Value> = lost.collect();
    let (mut out, mut heard, mut drops, mut last) = (0, 0, 0, 0);
    for record in Capture::parse(&written[&Output::Pcapng]).unwrap() {
        let record = record.unwrap();
        let time = record.timestamp.unwrap();
        assert!(time >= last, "in order of time");
        last = time;
        match record.direction().unwrap() {
            Direction::Out => out += 1,
            Direction::In => heard += 1,
        }
        let mut comments = record.comments();
        drops += usize::from(comments.any(|c| c.starts_with("drop: ")));
    }
    assert_eq!((out, heard), (of("send"), of("arrive")));
    assert_eq!(drops, lost.len());
    assert!(lost.iter().any(|l| l["reason"] == "wire-queue-full"));
    // The files of the wires hold each frame once, and what came twice or damaged again.
    let mut records = 0;
    for (wire, _) in world.wires() {
        let file = &written[&Output::PcapngOf(wire)];
        records += Capture::parse(file).unwrap().count();
        let name = pcapng::file_name(recorder.names(), wire);
        assert_eq!(name, format!("{}.pcapng", recorder.names().wire(wire)));
    }
    let odd = |l: &&Value| {
        let marks = l["marks"].as_array();
        marks.is_some_and(|m| m.iter().any(|m| m == "duplicate" || m == "corrupted"))
    };
    let again = trace.iter().filter(odd).count();
    assert!(again > 0);
    assert_eq!(records, out + again);
}

#[test]
fn tshark_reads_captures_and_shows_their_comments() {
    if Command::new("tshark").arg("--version").output().is_err() {
        eprintln!("not run: tshark is not installed");
        return;
    }
    let (written, ..) = record(&busy(1), 1, all());
    let keep = std::env::var_os("TAPLINE_PICTURES").map(PathBuf::from);
    if let Some(dir) = keep {
        std::fs::write(dir.join("busy.pcapng"), &written[&Output::Pcapng]).unwrap();
        std::fs::write(dir.join("busy.ladder"), &written[&Output::Ladder]).unwrap();
    }
    let dir = std::env::temp_dir().join(format!("tapline-exports-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for (i, (output, bytes)) in written.iter().enumerate() {
        if !matches!(output, Output::Pcapng | Output::PcapngOf(_)) {
            continue;
        }
        let file = dir.join(format!("{i}.pcapng"));
        std::fs::write(&file, bytes).unwrap();
        let fields = [
            "frame.interface_name",
            "frame.comment",
            "_ws.malformed",
            "frame.time_epoch",
        ];
        let mut tshark = Command::new("tshark");
        tshark.arg("-r").arg(&file).args(["-T", "fields"]);
        tshark.args(fields.iter().flat_map(|f| ["-e", f]));
        let ran = tshark.output().unwrap();
        let errors = String::from_utf8(ran.stderr).unwrap();
        let errors = errors.lines().filter(|l| !l.contains("Running as user"));
        assert_eq!(errors.collect::<Vec<_>>(), Vec::<&str>::new());
        assert!(ran.status.success());
        let rows = String::from_utf8(ran.stdout).unwrap();
        assert_eq!(rows.lines().count(), Capture::parse(bytes).unwrap().count());
        if *output == Output::Pcapng {
            for part in [
                "r1-r2 (r1)\tdrop: wire-loss\t",
                "drop: wire-queue-full, queue 3/3 packets",
                "r1-r2 (r2)\tduplicate: it came before",
                "h-r1 (h)\t\t",
            ] {
                assert!(rows.contains(part), "{part}");
            }
        }
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn clocks_agree_with_causes() {
    for seed in 1..4 {
        let mut topology = busy(seed);
        topology.until = Some(Duration::from_millis(120));
        let script = "between 60ms and 70ms down r2-b\nbetween 80ms and 90ms crash r1";
        topology.faults = Script::parse(script).unwrap();
        let (written, ..) = record(&topology, seed, all());
        let trace = lines(&written);
        let log = text(&written, &Output::Shiviz);
        let mut log = log.lines();
        let head = [log.next().unwrap(), log.next().unwrap()];
        assert_eq!(
            head,
            [
                r"(?<host>\S+) (?<clock>\{\S*\}) (?<time>\S+) (?<event>.*)",
                ""
            ]
        );
        let parsed: Vec<(&str, BTreeMap<String, u64>)> = log
            .map(|line| {
                let (host, rest) = line.split_once(' ').unwrap();
                let (clock, _) = rest.split_once(' ').unwrap();
                (host, serde_json::from_str(clock).unwrap())
            })
            .collect();
        assert_eq!(parsed.len(), trace.len());
        // What leads to each event: its cause, and what its process did before.
        let mut before: Vec<BTreeSet<usize>> = Vec::new();
        let mut last: BTreeMap<&str, usize> = BTreeMap::new();
        for (i, (line, (host, _))) in trace.iter().zip(&parsed).enumerate() {
            let cause = line["cause"]
                .as_u64()
                .map(|c| usize::try_from(c).unwrap() - 1);
            let own = last.insert(host, i);
            let mut all = BTreeSet::new();
            // Whatever took a frame, it was sent before.
            let sent = (line["kind"] == "drop")
                .then(|| line["packet"].as_str())
                .flatten();
            let sent = sent.map(|id| id[1..].parse::<usize>().unwrap() - 1);
            for j in cause.into_iter().chain(sent).chain(own) {
                all.insert(j);
                all.extend(before[j].iter().copied());
            }
            before.push(all);
        }
        let below = |a: &BTreeMap<String, u64>, b: &BTreeMap<String, u64>| {
            a != b && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| v <= w))
        };
        let mut concurrent = 0;
        for (i, (_, later)) in parsed.iter().enumerate() {
            for (j, (_, earlier)) in parsed.iter().enumerate().take(i) {
                let leads = before[i].contains(&j);
                assert_eq!(below(earlier, later), leads, "seed {seed}: {j} and {i}");
                assert!(!below(later, earlier));
                concurrent += usize::from(!leads);
            }
        }
        assert!(parsed.len() > 100 && concurrent > 100);
    }
}

#[test]
fn a_ladder_too_narrow_for_all_shows_the_busiest_and_says_so() {
    let mut topology = Topology::new().hub("h");
    for i in 0..12 {
        let name = format!("n{i}");
        topology = topology.host(&name).link("h", &name);
    }
    topology = topology.client(Client::ping("p", "n3", "n7").count(30).every(10 * MS));
    topology.until = Some(Duration::from_millis(400));
    let (written, ..) = record(&topology, 1, all());
    let ladder = text(&written, &Output::Ladder);
    let mut rows = ladder.lines();
    let head = rows.next().unwrap();
    assert!(
        head.starts_with("8 of 13 nodes are shown, the busiest"),
        "{head}"
    );
    let names = rows.next().unwrap();
    assert!(
        ["h", "n3", "n7"].iter().all(|n| names.contains(n)),
        "{names}"
    );
    assert!(ladder.lines().all(|l| l.chars().count() <= 120));
    let wide = ladder::Config {
        width: 200,
        ..ladder::Config::default()
    };
    let wanted = Wanted {
        ladder: Some(wide),
        ..Wanted::default()
    };
    let (written, ..) = record(&topology, 1, wanted);
    assert!(!text(&written, &Output::Ladder).contains("are shown"));
}

#[test]
fn a_picture_shows_wires_and_charts() {
    let (written, ..) = record(&busy(1), 1, all());
    let svg = text(&written, &Output::Svg);
    for part in ["<svg", "r1", "lost", "Queue", "Losses", "Delay", "</svg>"] {
        assert!(svg.contains(part), "{part}");
    }
    if let Some(dir) = std::env::var_os("TAPLINE_PICTURES") {
        std::fs::write(Path::new(&dir).join("busy.svg"), svg).unwrap();
    }
}

#[test]
fn each_wire_has_a_file_of_its_own() {
    let mut world = World::new(1);
    let [a, b] = ["a", "b"].map(|name| world.add_host(name, host::Config::default()));
    for name in ["all", "x/y", "x_y", "..\u{e4}"] {
        world.connect(name, a, b, slow(MS));
    }
    let names = crate::lab::export::Directory::of(&world);
    let files: Vec<String> = names
        .wires()
        .map(|w| pcapng::file_name(&names, w))
        .collect();
    assert_eq!(
        files,
        [
            "~0-all.pcapng",
            "~1-x_y.pcapng",
            "x_y.pcapng",
            "~3-_.pcapng"
        ]
    );
}
