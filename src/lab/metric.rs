//! Numbers that can be asked of a world, by name: what assertions and tables are made of.
//!
//! ```text
//!   r1.drops.ttl-expired     a node:    its host's counters
//!   b.services.sink.wrong               what its services measured
//!   a-r1.lost                a wire:    both directions together; a-r1.from.a.lost one of them
//!   r1-b.from.r1.wait.avg               how long frames queued there, without the propagation
//!   ping1.rtt.max            a program: what it measured
//!   world.arrivals           the whole
//! ```
//!
//! Times are nanoseconds, sizes bytes, shares millionths. A host that crashes and begins again keeps
//! its counts and those of its programs; what stands at an end, as a window, is the last life's.

use super::ids::{Lane, NodeId, WireId};
use super::world::{Delays, Node, World};
use stack::host::Host;
use stack::link::impair::Way;
use stack::reason::DropReason;

/// What can be asked of the whole world.
pub const WORLD: &[&str] = &[
    "arrivals",
    "steps",
    "conserved",
    "time",
    "sent",
    "malformed",
];
/// What can be asked of a node, besides `drops.REASON`.
pub const NODE: &[&str] = &[
    "arrived",
    "sent",
    "frames-in",
    "frames-out",
    "delivered",
    "forwarded",
    "held",
    "drops",
    "echoes",
    "icmp-errors-out",
    "icmp-errors-in",
    "redirects-in",
    "fragmented",
    "fragments-out",
    "reassembled",
    "neighbors",
    "addresses",
    "conflicts",
    "malformed",
    "tcp.segments-in",
    "tcp.segments-out",
    "tcp.retransmitted",
    "tcp.active-opens",
    "tcp.passive-opens",
    "tcp.accepted",
    "tcp.resets-in",
    "tcp.resets-out",
    "tcp.connections",
    "tcp.connections-peak",
    "tcp.half-open",
    "tcp.half-open-peak",
    "tcp.buffered",
    "tcp.memory-peak",
    "tcp.cookies-sent",
    "tcp.cookies-accepted",
    "tcp.time-waits-evicted",
    "tcp.orphans-reset",
    "conserved",
];
/// Before what a node's services measure.
pub const SERVICES: &str = "services.";
/// What can be asked of a wire, or of a direction of it, besides `drops.REASON`.
pub const WIRE: &[&str] = &[
    "frames-in",
    "bytes-in",
    "delivered",
    "queued",
    "held-back",
    "lost",
    "duplicated",
    "reordered",
    "corrupted",
    "marked",
    "queue-peak",
    "delay.max",
    "delay.avg",
    "wait.max",
    "wait.avg",
    "conserved",
];

/// The name of a metric, and its value where anything was measured.
pub type Measured = (&'static str, Option<i128>);

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Alone.
    Plain,
    /// A duration, in nanoseconds.
    Time,
    /// A rate, in bits a second.
    Rate,
    /// A size, in bytes.
    Size,
    /// A share, in millionths.
    Share,
}

/// What a metric counts in, which its name says.
#[must_use]
pub fn unit_of(metric: &str) -> Unit {
    let name = metric.strip_prefix(SERVICES).unwrap_or(metric);
    // from.NODE.METRIC: no name has a point in it.
    let way = name.strip_prefix("from.").and_then(|n| n.split_once('.'));
    let name = way.map_or(name, |(_, name)| name);
    let name = name.strip_prefix("sink.").unwrap_or(name);
    match name.split('.').next().unwrap_or(name) {
        "rtt" | "delay" | "wait" | "srtt" | "min-rtt" | "rto" | "time" | "connect" => Unit::Time,
        "goodput" | "delivery-rate" | "pacing-rate" => Unit::Rate,
        "loss" => Unit::Share,
        "bytes" | "bytes-in" | "bytes-out" | "waiting" | "acked" | "back" | "retransmitted"
        | "cwnd" | "in-flight" | "ssthresh" | "window" | "mss" | "path-mtu" | "size" => Unit::Size,
        _ => Unit::Plain,
    }
}

impl World {
    /// The metric of a node, wire, program or of the `world`; `None` where there is no such thing.
    #[must_use]
    pub fn measure(&self, subject: &str, metric: &str) -> Option<i128> {
        if subject == "world" {
            return self.measure_world(metric);
        }
        if let Some(node) = self.find(subject).and_then(|id| self.node(id)) {
            if let Some(metric) = metric.strip_prefix(SERVICES) {
                let name = format!("{subject}.services");
                return node.measure_program(&name, metric).map(i128::from);
            }
            return measure_node(node, metric);
        }
        if let Some(wire) = self.find_wire(subject) {
            return self.measure_wire(wire, metric);
        }
        let node = self.whose(subject)?;
        node.measure_program(subject, metric).map(i128::from)
    }

    /// Whether a metric is a quantile of more than can be kept, and so only near.
    #[must_use]
    pub fn is_near(&self, subject: &str, metric: &str) -> bool {
        let quantile = metric == "rtt.p50" || metric == "rtt.p99";
        let node = if quantile { self.whose(subject) } else { None };
        node.is_some_and(|node| !node.measures_exactly(subject))
    }

    /// The node at which a program runs.
    fn whose(&self, program: &str) -> Option<&Node> {
        let mut nodes = self.nodes().map(|(_, node)| node);
        nodes.find(|node| node.programs().any(|(name, _)| name == program))
    }

    fn measure_world(&self, metric: &str) -> Option<i128> {
        Some(match metric {
            "arrivals" => self.arrivals().into(),
            "steps" => self.steps().into(),
            "conserved" => self.audit().is_ok().into(),
            "time" => self.now().as_nanos().into(),
            "sent" => self
                .nodes()
                .map(|(_, n)| i128::from(n.counters().sent))
                .sum(),
            "malformed" => self.nodes().map(|(_, n)| i128::from(malformed(n))).sum(),
            _ => return None,
        })
    }

    /// Everything that can be asked of the whole, in the order of [`WORLD`].
    pub fn measures_of_world(&self) -> impl Iterator<Item = Measured> {
        WORLD.iter().map(|name| (*name, self.measure_world(name)))
    }

    /// Everything that can be asked of a node but its [`DropReason`]s, in the order of [`NODE`].
    pub fn measures_of_node(&self, node: NodeId) -> impl Iterator<Item = Measured> {
        let node = self.node(node);
        let names = NODE.iter();
        names.map(move |name| (*name, node.and_then(|node| measure_node(node, name))))
    }

    /// Everything that can be asked of a wire but its [`DropReason`]s, in the order of [`WIRE`]: of
    /// what goes from one end, or of both directions.
    pub fn measures_of_wire(
        &self,
        wire: WireId,
        from: Option<u8>,
    ) -> impl Iterator<Item = Measured> {
        let names = WIRE.iter();
        names.map(move |name| (*name, self.measure_lanes(wire, from, name)))
    }

    fn measure_wire(&self, wire: WireId, metric: &str) -> Option<i128> {
        let ends = self.wires().nth(wire.0 as usize)?.1.ends;
        let one = metric.strip_prefix("from.").and_then(|rest| {
            let from = |id: NodeId| {
                let name = self.node(id)?.name();
                rest.strip_prefix(name)?.strip_prefix('.')
            };
            let direction = ends.iter().position(|(id, _)| from(*id).is_some())?;
            Some((direction, from(ends.get(direction)?.0)?))
        });
        match one {
            Some((from, metric)) => self.measure_lanes(wire, u8::try_from(from).ok(), metric),
            None => self.measure_lanes(wire, None, metric),
        }
    }

    /// Of one direction, or of both together.
    fn measure_lanes(&self, wire: WireId, one: Option<u8>, metric: &str) -> Option<i128> {
        if let Some((what, which)) = delay_metric(metric) {
            let froms = (0..2).filter(|from| one.is_none_or(|one| one == *from));
            let delays = froms.filter_map(|from| self.delays(Lane { wire, from }));
            return measure_delays(delays, what, which);
        }
        let measure = |from: u8, metric: &str| {
            let lane = Lane { wire, from };
            measure_way(self.way(lane)?, self.held_back_on(lane), metric)
        };
        match one {
            Some(from) => measure(from, metric),
            None => {
                let (there, back) = (measure(0, metric)?, measure(1, metric)?);
                Some(match metric {
                    "conserved" => there & back,
                    "queue-peak" => there.max(back),
                    _ => there + back,
                })
            }
        }
    }
}

fn reason(metric: &str) -> Option<DropReason> {
    let name = metric.strip_prefix("drops.")?;
    DropReason::ALL.iter().copied().find(|r| r.name() == name)
}

fn measure_node(node: &Node, metric: &str) -> Option<i128> {
    if let Some(reason) = reason(metric) {
        let at = node.counters();
        let outside = match reason {
            DropReason::NodeDown => at.down,
            DropReason::NodePaused => at.paused,
            _ => 0,
        };
        let inside = node.total(|s| s.dropped_in(reason) + s.dropped_out(reason));
        return Some(i128::from(inside + outside));
    }
    let counters = node.counters();
    let number = match metric {
        "arrived" => counters.arrived,
        "sent" => counters.sent,
        "frames-in" => node.total(|s| s.frames_in),
        "frames-out" => node.total(|s| s.frames_out),
        "delivered" => node.total(|s| s.delivered.iter().sum()),
        "forwarded" => node.total(|s| s.forwarded),
        "held" => node.total(|s| s.held),
        "drops" => {
            let inside = |s: &stack::host::Stats| {
                s.dropped_in.iter().sum::<u64>() + s.dropped_out.iter().sum::<u64>()
            };
            node.total(inside) + counters.down + counters.paused
        }
        "echoes" => node.total(|s| s.echoes),
        "icmp-errors-out" => node.total(|s| s.icmp_errors_out),
        "icmp-errors-in" => node.total(|s| s.icmp_errors_in),
        "redirects-in" => node.total(|s| s.redirects_in),
        "fragmented" => node.total(|s| s.fragmented),
        "fragments-out" => node.total(|s| s.fragments_out),
        "reassembled" => node.total(|s| s.reassembled),
        "neighbors" => {
            let interfaces = node.host().map_or(&[][..], |h| h.interfaces());
            let known = interfaces.iter().map(|i| i.neighbors().len());
            known.sum::<usize>() as u64
        }
        "addresses" => {
            let interfaces = node.host().map_or(&[][..], |h| h.interfaces());
            let held = interfaces.iter().flat_map(|i| i.addresses());
            held.filter(|a| a.usable).count() as u64
        }
        "conflicts" => {
            let interfaces = node.host().map_or(&[][..], |h| h.interfaces());
            let seen = interfaces.iter().map(|i| i.claims().stats().conflicts);
            seen.sum()
        }
        "malformed" => malformed(node),
        "tcp.segments-in" => node.total(|s| s.tcp.segments_in),
        "tcp.segments-out" => node.total(|s| s.tcp.segments_out),
        "tcp.retransmitted" => node.total(|s| s.tcp.retransmitted),
        "tcp.active-opens" => node.total(|s| s.tcp.active_opens),
        "tcp.passive-opens" => node.total(|s| s.tcp.passive_opens),
        "tcp.accepted" => node.total(|s| s.tcp.accepted),
        "tcp.resets-in" => node.total(|s| s.tcp.resets_in),
        "tcp.resets-out" => {
            node.total(|s| s.tcp.resets_of_connections_out + s.resets_to_strangers_out)
        }
        "tcp.connections" => node.host().map_or(0, |h| h.tcp_connections().count()) as u64,
        "tcp.half-open" => {
            let listeners = node.host().map(Host::tcp_listeners).into_iter().flatten();
            listeners
                .map(|(_, _, half_open, _)| half_open)
                .sum::<usize>() as u64
        }
        "tcp.buffered" => node.host().map_or(0, Host::tcp_buffered),
        "tcp.memory-peak" => node.most(|s| s.tcp.memory_peak),
        "tcp.connections-peak" => node.most(|s| s.tcp.connections_peak),
        "tcp.half-open-peak" => node.most(|s| s.tcp.half_open_peak),
        "tcp.cookies-sent" => node.total(|s| s.tcp.cookies_sent),
        "tcp.cookies-accepted" => node.total(|s| s.tcp.cookies_accepted),
        "tcp.time-waits-evicted" => node.total(|s| s.tcp.time_wait_evicted),
        "tcp.orphans-reset" => node.total(|s| s.tcp.orphans_reset),
        "conserved" => node.is_conserved().into(),
        _ => return None,
    };
    Some(number.into())
}

/// What nobody here sends, and no wire that checks its frames makes of what is sent: where a node
/// refuses for one of these reasons, it or another is at fault.
const MALFORMED: &[DropReason] = &[
    DropReason::LinkTruncated,
    DropReason::VlanMalformed,
    DropReason::ArpMalformed,
    DropReason::ArpBadSender,
    DropReason::Ipv4Truncated,
    DropReason::Ipv4BadVersion,
    DropReason::Ipv4BadHeaderLength,
    DropReason::Ipv4BadTotalLength,
    DropReason::Ipv4BadChecksum,
    DropReason::Ipv4BadOption,
    DropReason::Ipv6Malformed,
    DropReason::FragmentMalformed,
    DropReason::FragmentTiny,
    DropReason::FragmentOverlap,
    DropReason::IcmpMalformed,
    DropReason::IcmpBadChecksum,
    DropReason::IgmpMalformed,
    DropReason::IgmpBadChecksum,
    DropReason::MldMalformed,
    DropReason::UdpMalformed,
    DropReason::UdpBadChecksum,
    DropReason::TcpMalformed,
    DropReason::TcpBadChecksum,
];

fn malformed(node: &Node) -> u64 {
    let of = |reason: &DropReason| node.total(|s| s.dropped_in(*reason));
    MALFORMED.iter().map(of).sum()
}

/// `delay` or `wait`, and what of it.
fn delay_metric(metric: &str) -> Option<(&str, &str)> {
    let (what, which) = metric.split_once('.')?;
    ["delay", "wait"].contains(&what).then_some((what, which))
}

/// How long frames took, or only how long they waited for others and for their own bits; nothing
/// where none arrived.
fn measure_delays(delays: impl Iterator<Item = Delays>, what: &str, which: &str) -> Option<i128> {
    let (mut count, mut sum, mut max) = (0, 0, 0);
    for of in delays {
        count += u128::from(of.count);
        let (most, all) = match what {
            "wait" => (of.wait_max, of.wait_sum),
            _ => (of.max, of.sum),
        };
        max = max.max(most);
        sum += all;
    }
    let mean = sum.checked_div(count)?;
    match which {
        "max" => Some(max.into()),
        "avg" => i128::try_from(mean).ok(),
        _ => None,
    }
}

fn measure_way(way: &Way, held_back: u64, metric: &str) -> Option<i128> {
    let stats = way.stats();
    if let Some(reason) = reason(metric) {
        return Some(stats.dropped(reason).into());
    }
    let number = match metric {
        "frames-in" => stats.frames_in,
        "bytes-in" => stats.bytes_in,
        "delivered" => stats.delivered.saturating_sub(held_back),
        "held-back" => held_back,
        "queued" => {
            let held = way.queued();
            u64::try_from(held.packets + held.in_flight).unwrap_or(u64::MAX)
        }
        "lost" => stats.dropped_in_all(),
        "duplicated" => stats.duplicated,
        "reordered" => stats.reordered,
        "corrupted" => stats.corrupted,
        "marked" => stats.marked,
        "queue-peak" => stats.queue_peak,
        "conserved" => way.is_conserved().into(),
        _ => return None,
    };
    Some(number.into())
}
