//! The tables of a file, as serde reads them, and what they mean.
//!
//! ```text
//!   [[node]] --RawNode--> Node     [[wire]] + [wire.from.a] --RawWire--> Wire { ways: [there, back] }
//! ```

use super::lines::{Lines, key_below, line_at, reworded};
use super::scalar::{PortAddresses, Rate, RawRoutes, ScalarOr, Seed, Share, Text, share};
use crate::lab::assertion::Assertion;
use crate::lab::fault::{Party, Script};
use crate::lab::names::nearest;
use crate::lab::settings::{Bytes, Settings, Time, scalar};
use crate::lab::topology::{
    Attack, Client, ClientKind, Congestion, Families, Kind, Node, Route, Service, Topology, Wire,
};
use serde::Deserialize;
use serde::de::{self, Deserializer, IntoDeserializer};
use stack::link::impair::{self, Chance, Loss, Queue, codel, fq_codel};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use toml::Spanned;

/// What is wrong, at a line.
pub(super) type Located<T> = Result<T, (Option<u32>, String)>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTopology {
    #[serde(default)]
    caption: String,
    #[serde(default)]
    about: String,
    until: Option<Spanned<Time>>,
    seed: Option<Seed>,
    #[serde(default)]
    families: Families,
    #[serde(default)]
    duplicate_addresses: bool,
    #[serde(default, rename = "node")]
    nodes: Vec<Spanned<RawNode>>,
    #[serde(default, rename = "wire")]
    wires: Vec<Spanned<RawWire>>,
    #[serde(default, rename = "client")]
    clients: Vec<Spanned<RawClient>>,
    faults: Option<Spanned<String>>,
    #[serde(default)]
    asserts: Vec<Spanned<String>>,
}

impl RawTopology {
    pub(super) fn resolve(self, text: &str) -> Located<(Topology, Lines)> {
        // Counted once: a file of ten thousand nodes is a megabyte long.
        let breaks: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let line = |start: usize| {
            let before = breaks.partition_point(|at| *at < start);
            u32::try_from(before + 1).unwrap_or(u32::MAX)
        };
        let mut lines = Lines::default();
        if let Some(until) = &self.until
            && until.get_ref().0.is_zero()
        {
            let what = "a run takes some time".to_owned();
            return Err((Some(line(until.span().start)), what));
        }
        let mut topology = Topology {
            caption: self.caption,
            about: self.about,
            until: self.until.map(|t| t.into_inner().0),
            seed: self.seed.map(|s| s.0),
            families: self.families,
            duplicate_addresses: self.duplicate_addresses,
            ..Topology::default()
        };
        for node in self.nodes {
            lines.nodes.push(line(node.span().start));
            topology.nodes.push(node.into_inner().node());
        }
        let script = self.faults.as_ref().map_or("", |f| f.get_ref().as_str());
        for wire in self.wires {
            let at = line(wire.span().start);
            lines.wires.push(at);
            let wire = wire.into_inner().wire(script.contains("jitter"));
            let wire = wire.map_err(|(keys, what)| (Some(key_below(text, at, keys)), what))?;
            topology.wires.push(wire);
        }
        for client in self.clients {
            lines.clients.push(line(client.span().start));
            topology.clients.push(client.into_inner().client());
        }
        for assertion in self.asserts {
            let at = line(assertion.span().start);
            lines.asserts.push(at);
            let parsed: Result<Assertion, String> = assertion.get_ref().parse();
            topology.asserts.push(parsed.map_err(|e| (Some(at), e))?);
        }
        if let Some(script) = self.faults {
            topology.faults = faults(text, &script)?;
        }
        Ok((topology, lines))
    }
}

/// A script with its lines counted in the file.
fn faults(text: &str, script: &Spanned<String>) -> Located<Script> {
    let first = line_at(text, script.span().start);
    let raw = text.get(script.span()).unwrap_or_default();
    let quoted = |quote: &str| raw.strip_prefix(quote);
    let body = quoted("\"\"\"").or_else(|| quoted("'''"));
    // A newline right after the quotes does not count (TOML 1.0, "String"); a text on one line
    // stays on that line whatever it says.
    let line = |line: u32| match body {
        Some(body) if body.starts_with('\n') || body.starts_with("\r\n") => first + line,
        Some(_) => first + line - 1,
        None => first,
    };
    let parsed = Script::parse(script.get_ref());
    let mut parsed = parsed.map_err(|e| (Some(line(e.line)), e.what))?;
    for fault in &mut parsed.lines {
        fault.line = line(fault.line);
    }
    Ok(parsed)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNode {
    name: String,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    addresses: Vec<PortAddresses>,
    auto_routes: Option<bool>,
    #[serde(default)]
    routes: RawRoutes,
    #[serde(default)]
    services: Vec<Service>,
    #[serde(default)]
    settings: Settings,
}

impl RawNode {
    fn node(self) -> Node {
        let (learned, routes) = match self.routes {
            RawRoutes::Auto => (true, Vec::new()),
            RawRoutes::None => (false, Vec::new()),
            RawRoutes::List(routes) => (true, routes),
        };
        let routes = routes.into_iter().map(|r| Route {
            to: r.to.0,
            via: r.via.0,
        });
        Node {
            name: self.name,
            kind: self.kind,
            addresses: self.addresses.into_iter().map(|a| a.0).collect(),
            auto_routes: self.auto_routes.unwrap_or(learned),
            routes: routes.collect(),
            services: self.services,
            settings: self.settings,
        }
    }
}

/// One of the ways to lose packets.
struct RawLoss(Loss);

/// Losses that are not independent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LossTable {
    to_bad: Option<Share>,
    to_good: Option<Share>,
    loss_good: Option<Share>,
    loss_bad: Option<Share>,
    packets: Option<Vec<u64>>,
}

impl<'de> Deserialize<'de> for RawLoss {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(ScalarOr {
            want: "a probability, { to_bad, to_good, .. } or { packets = [..] }",
            text: |text: &str| {
                Ok(match share(text)? {
                    Chance::NEVER => Loss::None,
                    chance => Loss::Independent(chance),
                })
            },
            table: |table: LossTable| match table {
                LossTable {
                    to_bad: Some(Share(to_bad)),
                    to_good: Some(Share(to_good)),
                    loss_good,
                    loss_bad,
                    packets: None,
                } => Ok(Loss::GilbertElliott {
                    to_bad,
                    to_good,
                    loss_good: loss_good.map_or(Chance::NEVER, |s| s.0),
                    loss_bad: loss_bad.map_or(Chance::ALWAYS, |s| s.0),
                }),
                LossTable {
                    to_bad: None,
                    to_good: None,
                    loss_good: None,
                    loss_bad: None,
                    packets: Some(packets),
                } => Ok(Loss::Scripted(packets)),
                _ => Err("a loss has `to_bad` and `to_good`, or else `packets`".to_owned()),
            },
            value: PhantomData,
        })
        .map(Self)
    }
}

/// A queue; its kind alone, or a table.
struct RawQueue(Queue);

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum QueueKind {
    DropTail,
    Codel,
    FqCodel,
}

/// So many packets, or `"unlimited"`.
#[derive(Clone, Copy)]
struct Limit(Option<u32>);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let wrong = "a number of packets, or \"unlimited\"";
        scalar(d, wrong, |text| match text {
            "unlimited" => Ok(Self(None)),
            text => {
                let n = text
                    .parse()
                    .map_err(|_| format!("`{text}` is not {wrong}"))?;
                Ok(Self(Some(n)))
            }
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueTable {
    kind: QueueKind,
    packets: Option<Limit>,
    bytes: Option<Bytes>,
    mark: Option<u32>,
    target: Option<Time>,
    interval: Option<Time>,
    ecn: Option<bool>,
    flows: Option<u16>,
    quantum: Option<u32>,
}

impl QueueTable {
    const fn of(kind: QueueKind) -> Self {
        Self {
            kind,
            packets: None,
            bytes: None,
            mark: None,
            target: None,
            interval: None,
            ecn: None,
            flows: None,
            quantum: None,
        }
    }

    fn queue(self) -> Result<Queue, String> {
        let packets = self.packets.and_then(|p| p.0);
        let tail = self.bytes.is_some() || self.mark.is_some();
        let codel = self.target.is_some() || self.interval.is_some() || self.ecn.is_some();
        let fair = self.flows.is_some() || self.quantum.is_some();
        match self.kind {
            QueueKind::DropTail if codel || fair => {
                Err("a drop-tail queue has packets, bytes and mark".to_owned())
            }
            QueueKind::Codel if tail || fair => {
                Err("a codel queue has packets, target, interval and ecn".to_owned())
            }
            QueueKind::FqCodel if tail => Err(
                "an fq-codel queue has packets, target, interval, ecn, flows and quantum"
                    .to_owned(),
            ),
            QueueKind::DropTail => {
                let bytes = self.bytes.map(|b| b.0);
                let usual = match Queue::default() {
                    Queue::DropTail { packets, .. } if bytes.is_none() => packets,
                    _ => None,
                };
                Ok(Queue::DropTail {
                    packets: self.packets.map_or(usual, |p| p.0),
                    bytes,
                    mark: self.mark,
                })
            }
            QueueKind::Codel => {
                let usual = codel::Config::default();
                Ok(Queue::Codel(codel::Config {
                    target: self.target.map_or(usual.target, |t| t.0),
                    interval: self.interval.map_or(usual.interval, |t| t.0),
                    packets: packets.unwrap_or(usual.packets),
                    ecn: self.ecn.unwrap_or(usual.ecn),
                }))
            }
            QueueKind::FqCodel => {
                let usual = fq_codel::Config::default();
                Ok(Queue::FqCodel(fq_codel::Config {
                    target: self.target.map_or(usual.target, |t| t.0),
                    interval: self.interval.map_or(usual.interval, |t| t.0),
                    packets: packets.unwrap_or(usual.packets),
                    ecn: self.ecn.unwrap_or(usual.ecn),
                    flows: self.flows.unwrap_or(usual.flows),
                    quantum: self.quantum.unwrap_or(usual.quantum),
                }))
            }
        }
    }
}

impl<'de> Deserialize<'de> for RawQueue {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(ScalarOr {
            want: "a queue: { kind = \"drop-tail\", packets = 64 }, \"codel\", \"fq-codel\"",
            text: |text: &str| {
                let kind = QueueKind::deserialize(text.into_deserializer());
                let kind = kind.map_err(|e: de::value::Error| reworded(&e.to_string()))?;
                QueueTable::of(kind).queue()
            },
            table: QueueTable::queue,
            value: PhantomData,
        })
        .map(Self)
    }
}

/// The keys of a direction, which a wire has for both.
macro_rules! way_table {
    ($name:ident { $($extra:tt)* }) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name {
            $($extra)*
            rate: Option<Rate>,
            overhead: Option<u16>,
            delay: Option<Time>,
            jitter: Option<Time>,
            #[serde(alias = "in-order")]
            in_order: Option<bool>,
            loss: Option<RawLoss>,
            duplicate: Option<Share>,
            reorder: Option<Share>,
            #[serde(alias = "reorder-by")]
            reorder_by: Option<Time>,
            #[serde(alias = "bit-errors")]
            bit_errors: Option<Share>,
            #[serde(alias = "frame-check")]
            frame_check: Option<bool>,
            mtu: Option<Bytes>,
            queue: Option<RawQueue>,
        }

        impl $name {
            /// What is said here, over what was said before.
            fn over(&self, mut way: impair::Config) -> impair::Config {
                let Self { rate, overhead, delay, jitter, in_order, loss, duplicate, reorder,
                    reorder_by, bit_errors, frame_check, mtu, queue, .. } = self;
                set(&mut way.rate, rate.as_ref().map(|r| r.0));
                set(&mut way.overhead, *overhead);
                set(&mut way.delay, delay.map(|t| t.0));
                set(&mut way.jitter, jitter.map(|t| t.0));
                set(&mut way.in_order, *in_order);
                set(&mut way.loss, loss.as_ref().map(|l| l.0.clone()));
                set(&mut way.duplicate, duplicate.as_ref().map(|s| s.0));
                set(&mut way.reorder, reorder.as_ref().map(|s| s.0));
                set(&mut way.reorder_by, reorder_by.map(|t| t.0));
                set(&mut way.bit_errors, bit_errors.as_ref().map(|s| s.0));
                set(&mut way.frame_check, *frame_check);
                let mtu = mtu.map(|m| usize::try_from(m.0).unwrap_or(usize::MAX));
                set(&mut way.mtu, mtu);
                set(&mut way.queue, queue.as_ref().map(|q| q.0.clone()));
                way
            }
        }
    };
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

way_table!(RawWire {
    #[serde(default)]
    name: String,
    between: Ends,
    #[serde(default)]
    from: BTreeMap<String, RawWay>,
});
way_table!(RawWay {});

/// The two nodes that a wire joins.
struct Ends([String; 2]);

impl<'de> Deserialize<'de> for Ends {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let nodes: Vec<String> = Vec::deserialize(d)?;
        let ends = nodes.try_into().map(Self);
        ends.map_err(|nodes: Vec<String>| {
            let given = nodes.len();
            de::Error::custom(format!("a wire is between two nodes, not {given}"))
        })
    }
}

impl RawWire {
    /// `jitters`: the script may give it jitter that it does not have.
    fn wire(self, jitters: bool) -> Result<Wire, (&'static [&'static str], String)> {
        let both = self.over(impair::Config::default());
        let way = |end: &String| {
            let own = self.from.get(end);
            own.map_or_else(|| both.clone(), |own| own.over(both.clone()))
        };
        let Ends([a, b]) = &self.between;
        let ways = [way(a), way(b)];
        if let Some(other) = self.from.keys().find(|end| *end != a && *end != b) {
            let near = nearest(other, [a.as_str(), b.as_str()]).unwrap_or(a);
            let wrong = format!(
                "`from.{other}`: the wire is between `{a}` and `{b}`; did you mean `from.{near}`?"
            );
            return Err((&["from"], wrong));
        }
        // As options of a wire between two devices are.
        let said = |key: fn(&Self) -> bool, own: fn(&RawWay) -> bool| {
            key(&self) || self.from.values().any(own)
        };
        let reorders = ways.iter().any(|way| !way.reorder.is_never());
        if !reorders && said(|w| w.reorder_by.is_some(), |w| w.reorder_by.is_some()) {
            let wrong = "`reorder_by` is for `reorder`".to_owned();
            return Err((&["reorder_by", "reorder-by", "from"], wrong));
        }
        let jitters = jitters || ways.iter().any(|way| !way.jitter.is_zero());
        let in_order = said(|w| w.in_order == Some(true), |w| w.in_order == Some(true));
        if in_order && !jitters {
            let wrong = "`in_order` is for `jitter`".to_owned();
            return Err((&["in_order", "in-order", "from"], wrong));
        }
        let (name, Ends(between)) = (self.name, self.between);
        Ok(Wire {
            name,
            between,
            ways,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClient {
    #[serde(default)]
    name: String,
    node: String,
    kind: ClientKind,
    to: Text<Party>,
    start: Option<Time>,
    stop: Option<Time>,
    count: Option<u64>,
    interval: Option<Time>,
    size: Option<Bytes>,
    ttl: Option<u8>,
    #[serde(default, alias = "dont-fragment")]
    dont_fragment: bool,
    #[serde(default)]
    fragment: bool,
    port: Option<u16>,
    #[serde(alias = "last-port")]
    last_port: Option<u16>,
    claims: Option<Text<Party>>,
    attack: Option<Attack>,
    bytes: Option<Bytes>,
    congestion: Option<Congestion>,
    #[serde(alias = "warm-up")]
    warm_up: Option<Time>,
    #[serde(default)]
    settings: Settings,
}

impl RawClient {
    fn client(self) -> Client {
        Client {
            stop: self.stop.map(|t| t.0),
            count: self.count,
            interval: self.interval.map(|t| t.0),
            size: self.size.map(|s| u32::try_from(s.0).unwrap_or(u32::MAX)),
            ttl: self.ttl,
            dont_fragment: self.dont_fragment,
            fragment: self.fragment,
            port: self.port,
            last_port: self.last_port,
            claims: self.claims.map(|c| c.0),
            attack: self.attack,
            bytes: self.bytes.map(|b| b.0),
            congestion: self.congestion,
            warm_up: self.warm_up.map(|t| t.0),
            settings: self.settings,
            start: self.start.map(|t| t.0).unwrap_or_default(),
            ..Client::new(&self.name, &self.node, self.kind, self.to.0)
        }
    }
}
