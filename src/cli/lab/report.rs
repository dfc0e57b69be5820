//! What a run came to, as a table and as JSON.
//!
//! ```text
//!   Topology, World, Outcome --of--> Report --text--> clients, nodes, wires, asserts, run
//!                                           \--json--> one object a line
//! ```
//!
//! Promises: the JSON is a pure function of topology, script and seed: how long the run took is not
//! in it.

use super::subject::Subject;
use crate::lab::export::directory::short;
use crate::lab::metric::{Measured, SERVICES, Unit, unit_of};
use crate::lab::run::Outcome;
use crate::lab::units::{shown, write_rate};
use crate::lab::{self, Lane, World};
use serde_json::{Map, Value, json};
use stack::reason::DropReason;
use stack::time::{Duration, Instant};
use std::fmt::Write as _;

/// Nodes, and directions of wires, that a table still lists one by one.
const LISTED: usize = 40;

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it came to.
    pub outcome: Outcome,
    programs: Vec<Program>,
    nodes: Vec<Node>,
    ways: Vec<Way>,
    world: Vec<Measured>,
}

#[derive(Clone, Debug)]
struct Program {
    name: String,
    /// At which node it runs.
    node: String,
    /// Whether somebody asked for it, as against the services of a node.
    is_client: bool,
    /// `None` where there was nothing to measure.
    metrics: Vec<(&'static str, Option<u64>)>,
    /// There were too many round trips to keep each: quantiles are to 3 %.
    near: bool,
    /// How its connection ended.
    ended: Option<&'static str>,
    /// The congestion window over time.
    curve: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Node {
    name: String,
    kind: &'static str,
    arrived: u64,
    sent: u64,
    forwarded: u64,
    drops: Vec<(&'static str, u64)>,
    metrics: Vec<Measured>,
}

/// One direction of a wire.
#[derive(Clone, Debug)]
struct Way {
    wire: String,
    from: String,
    counts: Vec<(&'static str, u64)>,
    drops: Vec<(&'static str, u64)>,
    metrics: Vec<Measured>,
    /// Those of both directions together.
    of_both: Vec<Measured>,
}

impl Report {
    /// Looks at a world whose run is over.
    #[must_use]
    pub fn of(subject: &Subject, world: &World, outcome: Outcome) -> Self {
        let is_client = |name: &str| subject.topology.clients.iter().any(|c| c.name == name);
        let programs = world.nodes().flat_map(|(_, node)| {
            let programs = node.programs();
            programs.map(move |(name, program)| (node, name, program))
        });
        let programs = programs.map(|(node, name, program)| {
            let metrics = program.metrics().iter();
            Program {
                name: name.to_owned(),
                node: node.name().to_owned(),
                is_client: is_client(name),
                metrics: metrics
                    .map(|m| (*m, node.measure_program(name, m)))
                    .collect(),
                near: !node.measures_exactly(name),
                ended: match program {
                    lab::Program::Bulk(bulk) => bulk.ended(),
                    _ => None,
                },
                curve: match program {
                    lab::Program::Bulk(bulk) => bulk.curve().to_vec(),
                    _ => Vec::new(),
                },
            }
        });
        Self {
            programs: programs.collect(),
            nodes: nodes(world),
            ways: ways(world),
            world: world.measures_of_world().collect(),
            outcome,
        }
    }

    /// One object.
    #[must_use]
    pub fn json(&self, subject: &Subject) -> Value {
        let outcome = &self.outcome;
        let asserts = outcome.judged.iter();
        let asserts = asserts.map(|j| json!({ "text": j.text, "holds": j.holds }));
        json!({
            "lab": subject.word,
            "seed": outcome.seed,
            "digest": format!("{:016x}", outcome.digest),
            "steps": outcome.steps,
            "arrivals": outcome.arrivals,
            "ended": outcome.ended.as_nanos(),
            "holds": outcome.holds(),
            "asserts": asserts.collect::<Vec<_>>(),
            "unaccounted": outcome.unaccounted,
            "metrics": {
                "clients": object(self.programs.iter().filter(|p| p.is_client), |p| {
                    (&p.name, p.json())
                }),
                "nodes": self.nodes_json(),
                "wires": self.wires_json(),
                "world": measured(&self.world),
            },
        })
    }

    /// What services measured is of their node.
    fn nodes_json(&self) -> Value {
        let mut nodes = object(self.nodes.iter(), |n| (&n.name, n.json()));
        for program in self.programs.iter().filter(|p| !p.is_client) {
            let node = nodes.get_mut(&program.node);
            if let (Some(Value::Object(node)), Value::Object(own)) = (node, program.json()) {
                let own = own.into_iter();
                node.extend(own.map(|(name, value)| (format!("{SERVICES}{name}"), value)));
            }
        }
        nodes
    }

    fn wires_json(&self) -> Value {
        let mut wires = Map::new();
        for way in &self.ways {
            let both = || measured(&way.of_both);
            let wire = wires.entry(&way.wire).or_insert_with(both);
            if let Value::Object(wire) = wire {
                wire.insert(format!("from.{}", way.from), way.json());
            }
        }
        Value::Object(wires)
    }

    /// The table; `took` is how long it took on the wall's clock.
    #[must_use]
    pub fn text(&self, subject: &Subject, took: Option<Duration>) -> String {
        let mut out = String::new();
        self.write(&mut out, subject, took);
        // An empty last column leaves blanks.
        let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
        shown(&(lines.join("\n") + "\n"))
    }

    /// Writing into a string cannot fail.
    fn write(&self, out: &mut String, subject: &Subject, took: Option<Duration>) {
        let topology = &subject.topology;
        let _ = match topology.caption.as_str() {
            "" => writeln!(out, "{}", subject.word),
            caption => writeln!(out, "{}: {}", subject.word, caption.replace('\n', " ")),
        };
        for line in topology.about.lines() {
            let _ = writeln!(out, "  {}", line.trim());
        }
        self.write_programs(out);
        self.write_nodes(out);
        self.write_ways(out);
        let outcome = &self.outcome;
        if !outcome.judged.is_empty() || outcome.unaccounted.is_some() {
            out.push_str("\nasserts\n");
        }
        for judged in &outcome.judged {
            let verdict = if judged.holds { "holds" } else { "FAILS" };
            let _ = writeln!(out, "  {verdict}  {}", judged.text);
        }
        if let Some(what) = &outcome.unaccounted {
            let _ = writeln!(out, "  FAILS  conservation: {what}");
        }
        let _ = write!(
            out,
            "\nrun  seed {}  digest {:016x}  arrivals {}  steps {}  virtual {}",
            outcome.seed,
            outcome.digest,
            outcome.arrivals,
            outcome.steps,
            short(outcome.ended.since(Instant::ZERO)),
        );
        if let Some(took) = took {
            let _ = write!(out, "  wall {}", short(took));
        }
        out.push('\n');
    }

    fn write_programs(&self, out: &mut String) {
        let shown: Vec<_> = self.programs.iter().filter(|p| p.is_shown()).collect();
        if shown.is_empty() {
            return;
        }
        out.push_str("\nclients\n");
        let width = shown.iter().map(|p| p.name.len()).max().unwrap_or(0);
        for program in shown.iter().take(LISTED) {
            let _ = write!(out, "  {:width$}", program.name);
            if let Some(ended) = program.ended.filter(|ended| *ended != "finished") {
                let _ = write!(out, "  {ended}");
            }
            let nothing = program.metrics.contains(&("acked", Some(0)));
            for (name, value) in &program.metrics {
                match value {
                    Some(0) if is_needless(name) => {}
                    // That of nothing says nothing.
                    Some(_) if nothing && *name == "checksum" => {}
                    Some(value) => {
                        let _ = write!(out, "  {name} {}", in_unit(name, *value));
                    }
                    None => {}
                }
            }
            if program.near {
                out.push_str("  (p50 and p99 to 3%)");
            }
            out.push('\n');
            if let Some(most) = program.curve.iter().max().filter(|most| **most > 0) {
                let drawn = sparkline(&program.curve, *most);
                let _ = writeln!(out, "  {:width$}  cwnd over time {drawn} {most}", "");
            }
        }
        more(out, shown.len());
    }

    fn write_nodes(&self, out: &mut String) {
        let width = self.nodes.iter().take(LISTED).map(|n| n.name.len()).max();
        let width = width.unwrap_or(0).max(5);
        let _ = writeln!(
            out,
            "\n{:w$}  kind      arrived      sent  forwarded  drops",
            "nodes",
            w = width + 2
        );
        for node in self.nodes.iter().take(LISTED) {
            let _ = writeln!(
                out,
                "  {:width$}  {:7} {:>9} {:>9}  {:>9}  {}",
                node.name,
                node.kind,
                node.arrived,
                node.sent,
                node.forwarded,
                listed(&node.drops),
            );
        }
        more(out, self.nodes.len());
    }

    fn write_ways(&self, out: &mut String) {
        let labels: Vec<String> = self.ways.iter().map(Way::label).collect();
        let width = labels.iter().take(LISTED).map(String::len).max();
        let width = width.unwrap_or(0).max(5);
        let _ = writeln!(
            out,
            "\n{:w$}     frames       bytes  delivered  what befell the others",
            "wires",
            w = width + 2
        );
        for (way, label) in self.ways.iter().zip(&labels).take(LISTED) {
            let count = |name: &str| way.count(name);
            let befell: Vec<_> = way.drops.iter().copied().chain(way.others()).collect();
            let _ = writeln!(
                out,
                "  {label:width$}  {:>9} {:>11}  {:>9}  {}",
                count("frames-in"),
                count("bytes-in"),
                count("delivered"),
                listed(&befell),
            );
        }
        more(out, self.ways.len());
    }
}

impl Program {
    fn is_shown(&self) -> bool {
        self.is_client || self.metrics.iter().any(|(_, v)| v.is_some_and(|v| v > 0))
    }

    fn json(&self) -> Value {
        let metrics = self.metrics.iter();
        let mut value = object(metrics, |(name, value)| match (is_checksum(name), value) {
            // Beyond 2^53 a number is not the same to all readers of JSON (RFC 8259 §6).
            (true, Some(sum)) => (name, json!(format!("{sum:016x}"))),
            _ => (name, json!(value)),
        });
        if let (Value::Object(map), Some(ended)) = (&mut value, self.ended) {
            map.insert("ended".to_owned(), json!(ended));
        }
        if let (Value::Object(map), true) = (&mut value, self.near) {
            map.insert("rtt.near".to_owned(), json!("p50 and p99 to 3%"));
        }
        value
    }
}

impl Node {
    fn json(&self) -> Value {
        let mut value = measured(&self.metrics);
        if let Value::Object(map) = &mut value {
            map.insert("kind".to_owned(), json!(self.kind));
            // A hub repeats what comes.
            map.insert("forwarded".to_owned(), json!(self.forwarded));
            map.insert("drops".to_owned(), drops(&self.drops));
        }
        value
    }
}

impl Way {
    fn label(&self) -> String {
        format!("{} from {}", self.wire, self.from)
    }

    fn count(&self, name: &str) -> u64 {
        let found = self.counts.iter().find(|(n, _)| *n == name);
        found.map_or(0, |(_, n)| *n)
    }

    /// Counters that a table has no column for.
    fn others(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let columns = ["frames-in", "bytes-in", "delivered"];
        let others = self.counts.iter().copied();
        others.filter(move |(name, n)| *n > 0 && !columns.contains(name))
    }

    fn json(&self) -> Value {
        let mut value = measured(&self.metrics);
        if let Value::Object(map) = &mut value {
            map.insert("drops".to_owned(), drops(&self.drops));
        }
        value
    }
}

fn measured(metrics: &[Measured]) -> Value {
    object(metrics.iter(), |(name, value)| (name, json!(value)))
}

fn drops(by_reason: &[(&'static str, u64)]) -> Value {
    object(by_reason.iter(), |(name, n)| (name, json!(n)))
}

fn nodes(world: &World) -> Vec<Node> {
    let nodes = world.nodes().map(|(id, node)| {
        let counters = node.counters();
        let drops = DropReason::ALL.iter().map(|&reason| {
            let lost = match reason {
                DropReason::NodeDown => counters.down,
                DropReason::NodePaused => counters.paused,
                _ => 0,
            };
            let dropped = node.total(|s| s.dropped_in(reason) + s.dropped_out(reason));
            (reason.name(), dropped + lost)
        });
        Node {
            name: node.name().to_owned(),
            kind: match node.host() {
                Some(host) if host.config().forwarding => "router",
                Some(_) => "host",
                None if node.is_hub() => "hub",
                None => "outside",
            },
            arrived: counters.arrived,
            sent: counters.sent,
            forwarded: match node.is_hub() {
                true => counters.passed,
                false => node.total(|s| s.forwarded),
            },
            drops: drops.filter(|(_, n)| *n > 0).collect(),
            metrics: world.measures_of_node(id).collect(),
        }
    });
    nodes.collect()
}

fn ways(world: &World) -> Vec<Way> {
    let lanes = world
        .wires()
        .flat_map(|(id, wire)| [0, 1].map(|from| (Lane { wire: id, from }, wire)));
    let ways = lanes.filter_map(|(lane, wire)| {
        let way = world.way(lane)?;
        let stats = way.stats();
        let held = way.queued();
        let queued = u64::try_from(held.packets + held.in_flight).unwrap_or(u64::MAX);
        let held_back = world.held_back_on(lane);
        let drops = DropReason::ALL.iter();
        let drops = drops.map(|&reason| (reason.name(), stats.dropped(reason)));
        Some(Way {
            wire: wire.name.to_string(),
            from: world.sender_of(lane)?.to_owned(),
            counts: vec![
                ("frames-in", stats.frames_in),
                ("bytes-in", stats.bytes_in),
                ("delivered", stats.delivered.saturating_sub(held_back)),
                ("queued", queued),
                ("held-back", held_back),
                ("duplicated", stats.duplicated),
                ("reordered", stats.reordered),
                ("corrupted", stats.corrupted),
                ("marked", stats.marked),
                ("queue-peak", stats.queue_peak),
            ],
            drops: drops.filter(|(_, n)| *n > 0).collect(),
            metrics: world.measures_of_wire(lane.wire, Some(lane.from)).collect(),
            of_both: match lane.from {
                0 => world.measures_of_wire(lane.wire, None).collect(),
                _ => Vec::new(),
            },
        })
    });
    ways.collect()
}

fn object<'a, T: 'a>(
    items: impl Iterator<Item = &'a T>,
    pair: impl Fn(&'a T) -> (&'a str, Value),
) -> Value {
    let pairs = items
        .map(pair)
        .map(|(name, value)| (name.to_owned(), value));
    Value::Object(pairs.collect())
}

/// Whether it needs no words that it is 0: what did not happen; but that nothing was sent or came
/// back does, and so does a time that was measured.
fn is_needless(metric: &str) -> bool {
    !["sent", "received"].contains(&metric) && unit_of(metric) != Unit::Time
}

/// `wire-loss 3  duplicated 1`
fn listed(counts: &[(&str, u64)]) -> String {
    let words: Vec<_> = counts
        .iter()
        .map(|(name, n)| format!("{name} {n}"))
        .collect();
    words.join("  ")
}

fn more(out: &mut String, all: usize) {
    if all > LISTED {
        let _ = writeln!(out, "  ... and {} more (--json has all)", all - LISTED);
    }
}

/// Values as bars, the highest as high as a line.
fn sparkline(values: &[u32], most: u32) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let bar = |value: &u32| {
        let place = u64::from(*value) * 7 / u64::from(most.max(1));
        let place = usize::try_from(place).unwrap_or(0);
        BARS.get(place).copied().unwrap_or('█')
    };
    values.iter().map(bar).collect()
}

fn is_checksum(metric: &str) -> bool {
    metric == "checksum" || metric.ends_with(".checksum")
}

/// A metric as people read it: what it counts in shows in its name.
fn in_unit(name: &str, value: u64) -> String {
    match unit_of(name) {
        Unit::Time => short(Duration::from_nanos(value)),
        Unit::Share => {
            let text = format!("{}.{:04}", value / 10_000, value % 10_000);
            format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
        }
        Unit::Rate => write_rate(rounded(value)),
        _ if is_checksum(name) => format!("{value:016x}"),
        Unit::Plain | Unit::Size => value.to_string(),
    }
}

/// Four digits of it.
fn rounded(value: u64) -> u64 {
    let step = 10u64.pow(value.checked_ilog10().unwrap_or(0).saturating_sub(3));
    value / step * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_drawn_in_bars() {
        assert_eq!(sparkline(&[0, 1, 35, 70, 69], 70), "▁▁▄█▇");
        assert_eq!(sparkline(&[], 0), "");
    }

    fn report(text: &str) -> (Subject, Report) {
        let subject = Subject::parse("t", text).unwrap();
        let (world, outcome) = subject.topology.play(1).unwrap();
        let report = Report::of(&subject, &world, outcome);
        (subject, report)
    }

    const TWO: &str = "until = '2s'\n[[node]]\nname = 'a'\n[[node]]\nname = 'b'\n\
        [[wire]]\nbetween = ['a', 'b']\n[[client]]\nnode = 'a'\nto = 'b'\n";

    /// What a direction took in is what it gave out, lost, and holds still.
    #[test]
    fn frames_that_are_still_on_a_wire_are_shown() {
        let slow = TWO.replace("until = '2s'", "until = '2500ms'");
        let slow = slow.replace("[[client]]", "delay = '400ms'\n[[client]]");
        let (subject, report) = report(&format!("{slow}kind = 'ping'\ncount = 9"));
        let text = report.text(&subject, None);
        assert!(text.contains("queued 1"), "{text}");
        for way in &report.ways {
            let lost: u64 = way.drops.iter().map(|(_, n)| n).sum();
            let out = way.count("delivered") + lost + way.count("queued");
            assert_eq!(
                way.count("frames-in") + way.count("duplicated"),
                out,
                "{text}"
            );
        }
        let wire = &report.json(&subject)["metrics"]["wires"]["a-b"];
        let held = ["from.a", "from.b"].map(|way| wire[way]["queued"].as_u64().unwrap());
        assert_eq!(held.iter().sum::<u64>(), 1, "{wire}");
    }

    /// A terminal does what it is told, whoever tells it.
    #[test]
    fn no_text_of_a_file_reaches_the_terminal_as_it_is() {
        let bad = "\\u001b[31mred\\u001b]0;t\\u0007 \\u202e";
        let head = format!("caption = \"{bad}\"\nabout = \"{bad}\"\n");
        let (subject, run) = report(&format!("{head}{TWO}kind = 'ping'"));
        let text = run.text(&subject, None);
        let hidden = |c: char| c != '\n' && c.is_control() || c == '\u{202e}';
        assert!(!text.contains(hidden), "{text:?}");
        assert_eq!(text.matches(r"\u{1b}[31mred").count(), 2, "{text}");
        let title = super::super::play::title(&subject, 1);
        assert!(!title.contains(hidden), "{title:?}");
    }

    /// What the help says can be asked is in the JSON, and what came in can be added up from it.
    #[test]
    fn all_metrics_of_the_help_are_in_the_json() {
        use crate::endpoint::Endpoint as _;
        use crate::endpoint::services::Server;
        use crate::lab::metric::{NODE, WIRE, WORLD};
        let served = TWO.replace("name = 'b'", "name = 'b'\nservices = ['sink']");
        let (subject, run) = report(&format!("{served}kind = 'ping'\ncount = 3"));
        let json = run.json(&subject);
        let there = &json["metrics"]["nodes"]["b"];
        for name in Server::METRICS {
            let name = format!("{SERVICES}{name}");
            assert!(there.get(&name).is_some(), "{name} of {there}");
        }
        let clients = json["metrics"]["clients"].as_object().unwrap();
        assert_eq!(clients.keys().collect::<Vec<_>>(), ["ping1"]);
        let world = &json["metrics"]["world"];
        for name in WORLD {
            assert!(world.get(name).is_some(), "{name} of {world}");
        }
        assert_eq!(world["conserved"], 1);
        assert_eq!(world["arrivals"], json["arrivals"]);
        let lossy = TWO.replace("[[client]]", "loss = '20%'\n[[client]]");
        let (subject, report) = report(&format!(
            "{lossy}kind = 'ping'\ncount = 99\ninterval = '10ms'"
        ));
        let json = report.json(&subject);
        let node = &json["metrics"]["nodes"]["a"];
        for name in NODE {
            assert!(node.get(name).is_some(), "{name} of {node}");
        }
        let of = |value: &Value, name: &str| value[name].as_u64().unwrap();
        let sum = |value: &Value| {
            let drops = value["drops"].as_object().unwrap();
            drops.values().filter_map(Value::as_u64).sum::<u64>()
        };
        let out = of(node, "delivered") + of(node, "forwarded") + of(node, "held") + sum(node);
        assert_eq!(of(node, "frames-in"), out, "{node}");
        let wire = &json["metrics"]["wires"]["a-b"];
        for name in WIRE {
            assert!(wire.get(name).is_some(), "{name} of {wire}");
            assert!(wire["from.a"].get(name).is_some(), "{name} of {wire}");
        }
        assert_eq!(of(&wire["from.a"], "lost"), sum(&wire["from.a"]));
        assert!(of(wire, "lost") > 0 && of(wire, "conserved") == 1, "{wire}");
    }

    #[test]
    fn a_time_of_nothing_is_shown_and_a_refusal_is() {
        let (subject, pinged) = report(&format!("{TWO}kind = 'ping'\ncount = 2"));
        let text = pinged.text(&subject, None);
        assert!(text.contains("rtt.min 0"), "{text}");
        let (subject, refused) = report(&format!("{TWO}kind = 'tcp'"));
        let text = refused.text(&subject, None);
        assert!(text.contains("tcp1  refused  sent 0"), "{text}");
        assert!(!text.contains("checksum"), "{text}");
        let json = refused.json(&subject);
        assert_eq!(json["metrics"]["clients"]["tcp1"]["ended"], "refused");
    }

    #[test]
    fn a_checksum_is_a_text_in_json() {
        let text = TWO.replace("name = 'b'", "name = 'b'\nservices = ['sink']");
        let (subject, report) = report(&format!("{text}kind = 'tcp'\nbytes = 9000"));
        let json = report.json(&subject);
        let sum = &json["metrics"]["clients"]["tcp1"]["checksum"];
        assert_eq!(sum.as_str().map(str::len), Some(16), "{json}");
        let read = &json["metrics"]["nodes"]["b"]["services.sink.checksum"];
        assert_eq!(sum, read);
    }

    #[test]
    fn numbers_have_the_unit_of_their_metric() {
        for (name, value, want) in [
            ("rtt.max", 120_000_000, "120ms"),
            ("delay.p99", 1_230_000, "1.23ms"),
            ("loss", 50_000, "5%"),
            ("loss", 123_456, "12.3456%"),
            ("loss", 0, "0%"),
            ("sent", 120_000_000, "120000000"),
            ("goodput", 16_100_728, "16100kbit"),
            ("srtt", 1_230_000, "1.23ms"),
        ] {
            assert_eq!(in_unit(name, value), want, "{name} {value}");
        }
    }
}
