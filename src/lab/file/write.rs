//! A topology as a file again: what a shrunk failure is printed as.
//!
//! ```text
//!   Topology --to_toml--> text --file::parse--> an equal Topology
//! ```
//!
//! Only what differs from the usual is written, so that a small world is a short text.

use crate::lab::fault::{Change, Fault, Party};
use crate::lab::topology::{Client, Families, Kind, Node, Topology, Wire};
use crate::lab::units::{is_hidden, write_chance, write_duration, write_rate, write_size};
use stack::link::impair::{Config, Loss, Queue};
use std::fmt::{Display, Write as _};

impl Topology {
    /// This as TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = Keys::default();
        out.text_if("caption", &self.caption);
        out.text_if("about", &self.about);
        out.some("until", self.until.map(|t| quote(&write_duration(t))));
        // Beyond TOML's own integers a seed is text.
        let seed = |seed: u64| match i64::try_from(seed) {
            Ok(seed) => seed.to_string(),
            Err(_) => quote(&seed.to_string()),
        };
        out.some("seed", self.seed.map(seed));
        let usual = quote(Families::default().name());
        out.differs("families", quote(self.families.name()), usual);
        out.differs("duplicate_addresses", self.duplicate_addresses, false);
        if !self.asserts.is_empty() {
            let lines = self.asserts.iter().map(|a| quote(&a.to_string()));
            let lines: String = lines.map(|line| format!("  {line},\n")).collect();
            out.key("asserts", format!("[\n{lines}]"));
        }
        if !self.faults.is_empty() {
            out.key("faults", format!("'''\n{}'''", self.faults));
        }
        self.nodes
            .iter()
            .for_each(|node| write_node(&mut out, node));
        let is_jitter = |fault: &Fault| {
            matches!(
                fault,
                Fault::Wire {
                    change: Change::Jitter(_),
                    ..
                }
            )
        };
        let jitters = self.faults.lines.iter().any(|line| is_jitter(&line.fault));
        self.wires
            .iter()
            .for_each(|wire| write_wire(&mut out, wire, jitters));
        let clients = self.clients.iter();
        clients.for_each(|client| write_client(&mut out, client));
        out.0
    }
}

/// Lines of `key = value`.
#[derive(Default)]
struct Keys(String);

impl Keys {
    fn table(&mut self, head: &str) {
        let _ = writeln!(self.0, "\n{head}");
    }

    fn key(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn some(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.key(key, value);
        }
    }

    fn text_if(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.key(key, quote(text));
        }
    }

    fn differs<T: PartialEq + Display>(&mut self, key: &str, value: T, usual: T) {
        if value != usual {
            self.key(key, value);
        }
    }
}

/// A basic string of TOML.
fn quote(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_hidden(c) => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    format!("[{}]", items.join(", "))
}

fn party(party: &Party) -> String {
    quote(&party.to_string())
}

fn write_node(out: &mut Keys, node: &Node) {
    out.table("[[node]]");
    out.key("name", quote(&node.name));
    if node.kind != Kind::Host {
        out.key("kind", quote(node.kind.name()));
    }
    if !node.addresses.is_empty() {
        let ports = node.addresses.iter().map(|port| match port.as_slice() {
            [] => quote("auto"),
            [one] => quote(&one.to_string()),
            many => list(many.iter().map(|c| quote(&c.to_string()))),
        });
        out.key("addresses", list(ports));
    }
    if !node.routes.is_empty() {
        let routes = node.routes.iter().map(|route| {
            let (to, via) = (quote(&route.to.to_string()), party(&route.via));
            format!("{{ to = {to}, via = {via} }}")
        });
        out.key("routes", list(routes));
        out.differs("auto_routes", node.auto_routes, true);
    } else if !node.auto_routes {
        out.key("routes", quote("none"));
    }
    if !node.services.is_empty() {
        let services = node.services.iter().map(|s| quote(s.name()));
        out.key("services", list(services));
    }
    let settings = node.settings.to_toml();
    if !settings.is_empty() {
        out.key("settings", format!("{{ {settings} }}"));
    }
}

/// `jitters`: the script gives wires jitter that they do not have.
fn write_wire(out: &mut Keys, wire: &Wire, jitters: bool) {
    let [a, b] = &wire.between;
    out.table("[[wire]]");
    if wire.name != format!("{a}-{b}") {
        out.key("name", quote(&wire.name));
    }
    out.key("between", list([quote(a), quote(b)]));
    let ways = wire.ways.each_ref();
    let [there, back] = ways.map(|way| {
        let mut way = way.clone();
        // What is for something that is not there is refused by whoever reads it.
        way.in_order &= jitters || !way.jitter.is_zero();
        if way.reorder.is_never() {
            way.reorder_by = Config::default().reorder_by;
        }
        differences(&way, &Config::default())
    });
    let (both, there): (Vec<_>, Vec<_>) = there.into_iter().partition(|k| back.contains(k));
    let back: Vec<_> = back.into_iter().filter(|k| !both.contains(k)).collect();
    for (key, value) in both {
        out.key(key, value);
    }
    for (end, own) in [(a, there), (b, back)] {
        let keys: Vec<_> = own.iter().map(|(k, v)| format!("{k} = {v}")).collect();
        if !keys.is_empty() {
            out.key(&format!("from.{end}"), format!("{{ {} }}", keys.join(", ")));
        }
    }
}

/// The keys in which a way differs from another.
fn differences(way: &Config, usual: &Config) -> Vec<(&'static str, String)> {
    let mut keys = Vec::new();
    let mut key = |differs: bool, key, value: String| {
        if differs {
            keys.push((key, value));
        }
    };
    let time = |d| quote(&write_duration(d));
    let share = |p| quote(&write_chance(p));
    let rate = way.rate.map_or_else(|| "unlimited".to_owned(), write_rate);
    key(way.delay != usual.delay, "delay", time(way.delay));
    key(way.jitter != usual.jitter, "jitter", time(way.jitter));
    let in_order = way.in_order.to_string();
    key(way.in_order != usual.in_order, "in_order", in_order);
    key(way.rate != usual.rate, "rate", quote(&rate));
    let overhead = way.overhead.to_string();
    key(way.overhead != usual.overhead, "overhead", overhead);
    key(way.loss != usual.loss, "loss", loss(&way.loss));
    let duplicate = share(way.duplicate);
    key(way.duplicate != usual.duplicate, "duplicate", duplicate);
    key(way.reorder != usual.reorder, "reorder", share(way.reorder));
    let by = time(way.reorder_by);
    key(way.reorder_by != usual.reorder_by, "reorder_by", by);
    let errors = share(way.bit_errors);
    key(way.bit_errors != usual.bit_errors, "bit_errors", errors);
    let check = way.frame_check.to_string();
    key(way.frame_check != usual.frame_check, "frame_check", check);
    key(way.mtu != usual.mtu, "mtu", way.mtu.to_string());
    key(way.queue != usual.queue, "queue", queue(&way.queue));
    keys
}

fn loss(loss: &Loss) -> String {
    match loss {
        Loss::None => "0".to_owned(),
        Loss::Independent(p) => quote(&write_chance(*p)),
        Loss::GilbertElliott {
            to_bad,
            to_good,
            loss_good,
            loss_bad,
        } => {
            let keys = [
                ("to_bad", to_bad),
                ("to_good", to_good),
                ("loss_good", loss_good),
                ("loss_bad", loss_bad),
            ];
            let keys = keys.map(|(key, p)| format!("{key} = {}", quote(&write_chance(*p))));
            format!("{{ {} }}", keys.join(", "))
        }
        Loss::Scripted(packets) => {
            let packets = list(packets.iter().map(u64::to_string));
            format!("{{ packets = {packets} }}")
        }
    }
}

fn queue(queue: &Queue) -> String {
    let mut keys = Vec::new();
    let mut key = |key: &str, value: String| keys.push(format!("{key} = {value}"));
    match queue {
        Queue::DropTail {
            packets,
            bytes,
            mark,
        } => {
            key("kind", quote("drop-tail"));
            let limits = [
                ("packets", packets.map(u64::from)),
                ("bytes", *bytes),
                ("mark", mark.map(u64::from)),
            ];
            if packets.is_none() && bytes.is_none() {
                key("packets", quote("unlimited"));
            }
            for (name, limit) in limits {
                limit.into_iter().for_each(|n| key(name, n.to_string()));
            }
        }
        Queue::Codel(c) => {
            key("kind", quote("codel"));
            key("packets", c.packets.to_string());
            key("target", quote(&write_duration(c.target)));
            key("interval", quote(&write_duration(c.interval)));
            key("ecn", c.ecn.to_string());
        }
        Queue::FqCodel(c) => {
            key("kind", quote("fq-codel"));
            key("packets", c.packets.to_string());
            key("target", quote(&write_duration(c.target)));
            key("interval", quote(&write_duration(c.interval)));
            key("ecn", c.ecn.to_string());
            key("flows", c.flows.to_string());
            key("quantum", c.quantum.to_string());
        }
    }
    format!("{{ {} }}", keys.join(", "))
}

fn write_client(out: &mut Keys, client: &Client) {
    out.table("[[client]]");
    out.key("name", quote(&client.name));
    out.key("node", quote(&client.node));
    out.key("kind", quote(client.kind.name()));
    out.key("to", party(&client.to));
    let time = |d| quote(&write_duration(d));
    let started = Some(client.start).filter(|start| !start.is_zero());
    out.some("start", started.map(time));
    out.some("stop", client.stop.map(time));
    out.some("count", client.count);
    out.some("interval", client.interval.map(time));
    out.some("size", client.size);
    out.some("ttl", client.ttl);
    out.differs("dont_fragment", client.dont_fragment, false);
    out.differs("fragment", client.fragment, false);
    out.some("port", client.port);
    out.some("last_port", client.last_port);
    out.some("claims", client.claims.as_ref().map(party));
    out.some("attack", client.attack.map(|a| quote(a.name())));
    out.some("bytes", client.bytes.map(|n| quote(&write_size(n))));
    out.some("congestion", client.congestion.map(|c| quote(c.name())));
    out.some("warm_up", client.warm_up.map(time));
    let settings = client.settings.to_toml();
    if !settings.is_empty() {
        out.key("settings", format!("{{ {settings} }}"));
    }
}
