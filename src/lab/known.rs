//! What there is to measure and to wait for, so that an unknown word is found before a run begins.
//!
//! ```text
//!   assertion "p.rtt.mx < 1ms" --check--> metrics of p (a ping): rtt.max, ..   "did you mean?"
//!   fault "on a.p.repyl .."    --check--> notes of all clients:  p.reply, ..
//! ```

use super::assertion::{Assertion, Metric};
use super::metric::{NODE, SERVICES, Unit, WIRE, WORLD, unit_of};
use super::names::{self, Names};
use super::topology::{Client, ClientKind, Node, Topology};
use crate::endpoint::Endpoint;
use crate::endpoint::arp_forger::ArpForger;
use crate::endpoint::bulk::Bulk;
use crate::endpoint::ping::Pinger;
use crate::endpoint::scan::Scan;
use crate::endpoint::services::Server;
use crate::endpoint::tcp_attacker::TcpAttacker;
use crate::endpoint::traceroute::Traceroute;
use crate::endpoint::traffic::Sender;
use stack::reason::DropReason;

/// What a program notes that could not start.
const FAILED: &str = "failed";

impl ClientKind {
    /// Everything that such a client measures.
    #[must_use]
    pub const fn metrics(self) -> &'static [&'static str] {
        match self {
            Self::Ping => Pinger::METRICS,
            Self::Udp => Sender::METRICS,
            Self::Tcp => Bulk::METRICS,
            Self::Scan => Scan::METRICS,
            Self::ArpForger => ArpForger::METRICS,
            Self::TcpAttacker => TcpAttacker::METRICS,
            Self::Traceroute => Traceroute::METRICS,
        }
    }

    /// Every note that it can make.
    #[must_use]
    pub const fn notes(self) -> &'static [&'static str] {
        match self {
            Self::Ping => Pinger::NOTES,
            Self::Udp => Sender::NOTES,
            Self::Tcp => Bulk::NOTES,
            Self::Scan => Scan::NOTES,
            Self::ArpForger => ArpForger::NOTES,
            Self::TcpAttacker => TcpAttacker::NOTES,
            Self::Traceroute => Traceroute::NOTES,
        }
    }
}

impl Topology {
    /// The names with the notes that its programs can make, each alone and with its client.
    pub(super) fn names_and_notes(&self) -> Names {
        let mut names = self.names();
        let mut add = |node: &str, note: String| {
            let of = names.notes.entry(node.to_owned()).or_default();
            of.insert(note);
        };
        for client in &self.clients {
            // Any program may fail to start.
            for note in client.kind.notes().iter().chain(&[FAILED]) {
                add(&client.node, (*note).to_owned());
                add(&client.node, format!("{}.{note}", client.name));
            }
        }
        for node in self.nodes.iter().filter(|n| !n.services.is_empty()) {
            for note in Server::NOTES {
                add(&node.name, (*note).to_owned());
            }
        }
        names
    }

    /// That each metric of an assertion exists, and that they compare.
    pub(super) fn check_metrics(&self, assertion: &Assertion) -> Result<(), String> {
        assertion.check_metrics(|subject| self.known(subject))?;
        assertion.check_units(|metric| self.unit(metric))
    }

    /// What a metric counts in. Most names say it themselves.
    fn unit(&self, metric: &Metric) -> Unit {
        let is_it = |c: &&Client| c.name == metric.subject && c.kind == ClientKind::Tcp;
        match metric.name.as_str() {
            // Others send packets.
            "sent" if self.clients.iter().any(|c| is_it(&c)) => Unit::Size,
            // Of a node these are segments.
            "tcp.retransmitted" => Unit::Plain,
            name => unit_of(name),
        }
    }

    /// The metrics that a subject has in a world of this topology.
    fn known(&self, subject: &str) -> Vec<String> {
        if let Some(client) = self.clients.iter().find(|c| c.name == subject) {
            return owned(client.kind.metrics());
        }
        if let Some(wire) = self.wires.iter().find(|w| w.name == subject) {
            return of_wire(&wire.between);
        }
        match subject {
            names::WORLD => owned(WORLD),
            node => {
                let mut all = with_drops(NODE);
                let serves = |n: &&Node| n.name == node && !n.services.is_empty();
                if self.nodes.iter().any(|n| serves(&n)) {
                    all.extend(Server::METRICS.iter().map(|m| format!("{SERVICES}{m}")));
                }
                all
            }
        }
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn with_drops(names: &[&str]) -> Vec<String> {
    let drops = DropReason::ALL.iter().map(|r| format!("drops.{r}"));
    owned(names).into_iter().chain(drops).collect()
}

fn of_wire(ends: &[String; 2]) -> Vec<String> {
    let both = with_drops(WIRE);
    let one = |end: &String| {
        let prefix = format!("from.{end}.");
        both.iter()
            .map(|metric| format!("{prefix}{metric}"))
            .collect::<Vec<_>>()
    };
    let each: Vec<String> = ends.iter().flat_map(one).collect();
    both.into_iter().chain(each).collect()
}
