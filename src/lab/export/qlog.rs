//! What TCP decided, one file a connection: a stream in the manner of qlog, to draw windows and
//! round-trip times over time from.
//!
//! ```text
//!   World::poll_tcp_log --TcpEvent--> Qlog --take--> a-10.0.0.1_49153-10.0.1.2_5001.sqlog
//!
//!   RS { qlog_format: "JSON-SEQ", qlog_version: "0.3", title, trace: { vantage_point, common_fields } }
//!   RS { time: 12.5, name: "recovery:metrics_updated", data: { congestion_window: 14480, .. } }
//! ```
//!
//! Read first: draft-ietf-quic-qlog-main-schema-07 §5 (JSON text sequences, RFC 7464),
//! draft-ietf-quic-qlog-quic-events-07 §6 (recovery events), both of "qlog 0.3".
//!
//! The file is a qlog 0.3 JSON-SEQ: a record separator (0x1E) before each object, times in
//! milliseconds since the beginning of the run. Names and fields are those of the QUIC schema where
//! TCP has the same thing:
//!
//! | event | when | fields |
//! |---|---|---|
//! | `connectivity:connection_started` | it is there | `ip_version`, `src_ip`, `dst_ip`, `src_port`, `dst_port`, `protocol` = `TCP` |
//! | `recovery:parameters_set` | right after | `congestion_control`, `initial_window` (segments), `sack`, `rack`, `timestamps`, `ecn`, `pacing` |
//! | `connectivity:connection_state_updated` | a new state | `old`, `new`: RFC 9293's names |
//! | `connectivity:connection_closed` | it is gone | `owner`: `local` or `remote`, who ended it; `trigger`: `clean`, `error` (`reason` says which), `application` (the user let go of it) |
//! | `recovery:metrics_updated` | any of them changed | `congestion_window`, `bytes_in_flight`, `ssthresh`, `smoothed_rtt` (ms) |
//! | `recovery:congestion_state_updated` | as its name says | `old`, `new`: `slow_start`, `congestion_avoidance`, `recovery`, `loss`; `trigger` |
//! | `recovery:packet_lost` | a segment was found lost, by whatever | `bytes`, `trigger`: `reordering_threshold`, `time_threshold`, `pto_expired`, `other`; `details` |
//! | `recovery:loss_timer_updated` | a timer ran out | `event_type` = `expired`, `timer_type`: `rto` or `pto`; `times` |
//! | `connectivity:mtu_updated` | other segments from now on | `new`: the path's MTU; `mss`: bytes of data in a segment |
//! | `tapline:reordering_window_updated` | reordering was seen | `window` (ms) |
//! | `tapline:window_closed` | the receiver takes no more | |
//!
//! It differs from the schema in this: TCP has no packet numbers, so what is lost is told in bytes;
//! states are TCP's; `ssthresh` is left out while it is without bound, as there; the two events that
//! begin with `tapline:` are our own. A tool that only draws metrics needs to know none of that.

use super::directory::Directory;
use crate::lab::world::{Connection, TcpEvent, TcpTold};
use serde_json::{Map, Value, json};
use stack::time::{Duration, Instant, nanos};
use stack::transport::tcp::log::{Undo, What};
use stack::transport::tcp::{Error, LogEntry, Options, State, Why};
use std::collections::BTreeMap;

/// RFC 7464 §2.2: before each text.
const RECORD_SEPARATOR: u8 = 0x1e;
/// A threshold that nothing has set yet.
const UNBOUNDED: u32 = u32::MAX / 2;

/// Writes a file for each connection.
#[derive(Clone, Debug, Default)]
pub struct Qlog {
    files: BTreeMap<u32, File>,
    /// Files with something to fetch, or at an end.
    fresh: Vec<u32>,
    /// How often a name was given.
    names: BTreeMap<String, u32>,
}

/// One connection's file, while it is open.
#[derive(Clone, Debug)]
struct File {
    name: String,
    out: Vec<u8>,
    state: State,
    phase: &'static str,
    metrics: Map<String, Value>,
    /// How it ended, once it is known.
    ended: Option<Option<Error>>,
    over: bool,
}

impl Qlog {
    /// Writes an event.
    pub fn event(&mut self, names: &Directory, event: &TcpEvent) {
        let connection = event.connection;
        let number = connection.number;
        if matches!(event.told, TcpTold::Begins(_)) {
            let name = self.name(names, &connection);
            let file = File::begin(name, names.node(connection.node), event.at, &connection);
            self.files.insert(number, file);
        }
        let Some(file) = self.files.get_mut(&number) else {
            return;
        };
        if file.out.is_empty() || matches!(event.told, TcpTold::Begins(_)) {
            self.fresh.push(number);
        }
        match &event.told {
            TcpTold::Begins(options) => {
                file.write(event.at, "recovery:parameters_set", parameters(options));
            }
            TcpTold::Entry(entry) => file.entry(entry),
            TcpTold::Ends => {
                let data = file.closed();
                file.write(event.at, "connectivity:connection_closed", data);
                file.over = true;
            }
            TcpTold::Crashed => {
                let data = json!({
                    "owner": "local", "trigger": "error", "reason": "the host has crashed",
                });
                file.write(event.at, "connectivity:connection_closed", data);
                file.over = true;
            }
        }
    }

    /// What was written since the last call, by file.
    pub fn take(&mut self) -> Vec<(String, Vec<u8>)> {
        let mut taken = Vec::new();
        for number in std::mem::take(&mut self.fresh) {
            let Some(file) = self.files.get_mut(&number) else {
                continue;
            };
            taken.push((file.name.clone(), std::mem::take(&mut file.out)));
            if file.over {
                self.files.remove(&number);
            }
        }
        taken
    }

    /// The node and the ends; what was there before is told apart by a number.
    fn name(&mut self, names: &Directory, connection: &Connection) -> String {
        let Connection { local, remote, .. } = connection;
        let name = format!(
            "{}-{}_{}-{}_{}",
            names.node(connection.node),
            local.ip(),
            local.port(),
            remote.ip(),
            remote.port()
        );
        let count = self.names.entry(name.clone()).or_default();
        *count += 1;
        match *count {
            1 => format!("{name}.sqlog"),
            n => format!("{name}-{n}.sqlog"),
        }
    }
}

impl File {
    fn begin(name: String, node: &str, at: Instant, connection: &Connection) -> Self {
        let mut file = Self {
            name,
            out: Vec::new(),
            state: State::Closed,
            phase: "slow_start",
            metrics: Map::new(),
            ended: None,
            over: false,
        };
        let Connection { local, remote, .. } = connection;
        file.put(&json!({
            "qlog_format": "JSON-SEQ",
            "qlog_version": "0.3",
            "title": format!("{local} to {remote}, as {node} saw it"),
            "trace": {
                "vantage_point": { "name": node, "type": "unknown" },
                "common_fields": {
                    "protocol_type": ["TCP"],
                    "time_format": "relative",
                    "reference_time": 0,
                },
            },
        }));
        let version = if local.is_ipv4() { "v4" } else { "v6" };
        let data = json!({
            "ip_version": version,
            "src_ip": local.ip().to_string(),
            "dst_ip": remote.ip().to_string(),
            "protocol": "TCP",
            "src_port": local.port(),
            "dst_port": remote.port(),
        });
        file.write(at, "connectivity:connection_started", data);
        file
    }

    fn put(&mut self, value: &Value) {
        self.out.push(RECORD_SEPARATOR);
        // Nothing in it can fail to be written: all keys are texts, and the writer is a vector.
        if serde_json::to_writer(&mut self.out, value).is_ok() {
            self.out.push(b'\n');
        }
    }

    fn write(&mut self, at: Instant, name: &str, data: Value) {
        let time = millis(at.since(Instant::ZERO));
        self.put(&json!({ "time": time, "name": name, "data": data }));
    }

    fn entry(&mut self, entry: &LogEntry) {
        let at = entry.at;
        match entry.what {
            What::State(new) => {
                let data = json!({ "old": self.state.name(), "new": new.name() });
                // What it was in before it was closed says how it ended.
                if new != State::Closed {
                    self.state = new;
                }
                self.write(at, "connectivity:connection_state_updated", data);
            }
            What::Lost {
                bytes,
                segments,
                why,
            } => {
                // Of several at once each has the mean length.
                for i in 0..segments {
                    let before = u64::from(bytes) * u64::from(i) / u64::from(segments);
                    let after = u64::from(bytes) * u64::from(i + 1) / u64::from(segments);
                    let data = json!({
                        "bytes": after - before,
                        "trigger": trigger(why),
                        "details": why.to_string(),
                    });
                    self.write(at, "recovery:packet_lost", data);
                }
            }
            What::Recovery => self.phase(at, "recovery", Some("packet_loss")),
            What::CongestionMarked => self.phase(at, "recovery", Some("ecn")),
            What::Recovered => self.phase(at, growth(entry), None),
            What::Undone(how) => self.phase(at, growth(entry), Some(undo(how))),
            What::Timeout(times) => {
                self.timer(at, "rto", Some(times));
                self.phase(at, "loss", Some("rto_expired"));
            }
            What::TailLossProbe => self.timer(at, "pto", None),
            What::Reordering(window) => {
                let data = json!({ "window": millis(window) });
                self.write(at, "tapline:reordering_window_updated", data);
            }
            What::Mss { mss, mtu } => {
                let data = json!({ "new": mtu, "mss": mss });
                self.write(at, "connectivity:mtu_updated", data);
            }
            // The first says why; what follows is that the user lets go of it.
            What::Ended(error) => {
                self.ended.get_or_insert(error);
            }
            What::WindowClosed => self.write(at, "tapline:window_closed", json!({})),
            What::Acked(_) => {
                let in_episode = ["recovery", "loss"].contains(&self.phase);
                let over = self.phase == "loss" && growth(entry) == "congestion_avoidance";
                if !in_episode || over {
                    self.phase(at, growth(entry), None);
                }
            }
        }
        self.metrics(entry);
    }

    /// Who ended it, and why.
    fn closed(&self) -> Value {
        match self.ended.flatten() {
            Some(error @ (Error::Reset | Error::Refused)) => {
                json!({ "owner": "remote", "trigger": "error", "reason": error.to_string() })
            }
            Some(error) => {
                json!({ "owner": "local", "trigger": "error", "reason": error.to_string() })
            }
            // Both have finished, and know it of each other.
            None if matches!(self.state, State::TimeWait | State::LastAck) => {
                json!({ "trigger": "clean" })
            }
            None => json!({ "owner": "local", "trigger": "application" }),
        }
    }

    fn timer(&mut self, at: Instant, kind: &str, times: Option<u8>) {
        let mut data = json!({ "event_type": "expired", "timer_type": kind });
        if let (Value::Object(data), Some(times)) = (&mut data, times) {
            data.insert("times".to_owned(), times.into());
        }
        self.write(at, "recovery:loss_timer_updated", data);
    }

    fn phase(&mut self, at: Instant, new: &'static str, trigger: Option<&str>) {
        if self.phase == new && trigger.is_none() {
            return;
        }
        let mut data = json!({ "old": self.phase, "new": new });
        if let (Value::Object(data), Some(trigger)) = (&mut data, trigger) {
            data.insert("trigger".to_owned(), trigger.into());
        }
        self.phase = new;
        self.write(at, "recovery:congestion_state_updated", data);
    }

    /// What of the metrics is not as it was told last.
    fn metrics(&mut self, entry: &LogEntry) {
        let bounded = (entry.ssthresh < UNBOUNDED).then_some(entry.ssthresh);
        let all = [
            ("congestion_window", Some(entry.cwnd.into())),
            ("bytes_in_flight", Some(entry.in_flight.into())),
            ("ssthresh", bounded.map(Value::from)),
            ("smoothed_rtt", entry.srtt.map(millis)),
        ];
        let mut data = Map::new();
        for (name, value) in all {
            if let Some(value) = value
                && self.metrics.get(name) != Some(&value)
            {
                self.metrics.insert(name.to_owned(), value.clone());
                data.insert(name.to_owned(), value);
            }
        }
        if !data.is_empty() {
            self.write(entry.at, "recovery:metrics_updated", data.into());
        }
    }
}

fn parameters(options: &Options) -> Value {
    json!({
        "congestion_control": format!("{:?}", options.congestion).to_lowercase(),
        "initial_window": options.initial_window,
        "sack": options.sack,
        "rack": options.rack,
        "timestamps": options.timestamps,
        "ecn": format!("{:?}", options.ecn).to_lowercase(),
        "pacing": options.pacing,
    })
}

/// How the window grows where nothing is wrong.
const fn growth(entry: &LogEntry) -> &'static str {
    match entry.cwnd < entry.ssthresh {
        true => "slow_start",
        false => "congestion_avoidance",
    }
}

const fn trigger(why: Why) -> &'static str {
    match why {
        Why::Duplicates | Why::Partial => "reordering_threshold",
        Why::Rack { .. } => "time_threshold",
        Why::Timeout { .. } | Why::TailLossProbe => "pto_expired",
        _ => "other",
    }
}

const fn undo(how: Undo) -> &'static str {
    match how {
        Undo::Timestamp => "spurious: timestamp",
        Undo::Dsack => "spurious: D-SACK",
        Undo::Frto => "spurious: F-RTO",
    }
}

/// Milliseconds, exactly to the nanosecond.
fn millis(time: Duration) -> Value {
    let n = nanos(time);
    let text = format!("{}.{:06}", n / 1_000_000, n % 1_000_000);
    text.parse::<f64>().map_or(Value::Null, Value::from)
}
