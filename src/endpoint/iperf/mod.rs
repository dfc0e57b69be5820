//! iperf3's protocol, TCP streams only: both ends of it.
//!
//! ```text
//!   client                       control connection                      server
//!     |-- cookie, 37 bytes ------------------------------------------------>|
//!     |<------------------------------------------------- PARAM_EXCHANGE ---|   a state: one byte
//!     |-- length, JSON of parameters -------------------------------------->|
//!     |<------------------------------------------------- CREATE_STREAMS ---|
//!     |== cookie on each stream ===========================================>|   connections of their own
//!     |<------------------------------------- TEST_START, TEST_RUNNING -----|
//!     |== bytes on the streams; the other way with "reverse" ==============>|
//!     |-- TEST_END -------------------------------------------------------->|
//!     |<----------------------------------------------- EXCHANGE_RESULTS ---|
//!     |-- length, JSON of results ----------------------------------------->|
//!     |<-------------------------- length, JSON of results, DISPLAY_RESULTS |
//!     |-- IPERF_DONE ------------------------------------------------------>|
//! ```
//!
//! There is no standard of it: this is what iperf 3.x says on the wire, found by listening.
//!
//! Promises: what a peer can make either end keep is one message of [`MAX_MESSAGE`] bytes and
//! [`MAX_STREAMS`] connections; a server serves one test at a time and gives up a silent one.
//!
//! Left out: UDP and SCTP, both directions at once, authentication, omitted seconds.

pub mod client;
pub mod server;

use super::count;
use super::service::{Service, pattern};
use bytes::Bytes;
use serde_json::{Value, json};
use stack::host::{Host, TcpHandle};
use stack::time::{Duration, Instant};
use stack::transport::tcp::{self, Algorithm, Error};
use std::fmt;

/// Where a server listens.
pub const PORT: u16 = Service::Iperf.port();
/// Streams of a test, at most; the same as the original's.
pub const MAX_STREAMS: u16 = 128;
/// Bytes of a JSON message, at most.
pub const MAX_MESSAGE: usize = 256 << 10;
/// What names a test: 36 characters and a zero.
const COOKIE: usize = 37;
/// Bytes read at a time.
const PIECE: usize = 1 << 20;

/// The states that the control connection names.
mod state {
    pub(super) const TEST_START: u8 = 1;
    pub(super) const TEST_RUNNING: u8 = 2;
    pub(super) const TEST_END: u8 = 4;
    pub(super) const PARAM_EXCHANGE: u8 = 9;
    pub(super) const CREATE_STREAMS: u8 = 10;
    pub(super) const SERVER_TERMINATE: u8 = 11;
    pub(super) const CLIENT_TERMINATE: u8 = 12;
    pub(super) const EXCHANGE_RESULTS: u8 = 13;
    pub(super) const DISPLAY_RESULTS: u8 = 14;
    pub(super) const IPERF_DONE: u8 = 16;
    pub(super) const ACCESS_DENIED: u8 = 0xff;
    pub(super) const SERVER_ERROR: u8 = 0xfe;
}

/// What a test is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// How long; zero: by `bytes`.
    pub time: Duration,
    /// How many bytes in all; `None`: by `time`.
    pub bytes: Option<u64>,
    /// Streams.
    pub parallel: u16,
    /// The server sends.
    pub reverse: bool,
    /// Congestion control of the sender; `None`: its own choice.
    pub congestion: Option<Algorithm>,
    /// Small segments do not wait.
    pub nodelay: bool,
    /// Largest segment.
    pub mss: Option<u16>,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(10),
            bytes: None,
            parallel: 1,
            reverse: false,
            congestion: None,
            nodelay: false,
            mss: None,
        }
    }
}

impl Params {
    fn to_json(&self) -> Value {
        let mut all = json!({
            "tcp": true, "omit": 0, "time": self.time.as_secs(), "num": self.bytes.unwrap_or(0),
            "blockcount": 0, "parallel": self.parallel, "len": 131_072, "pacing_timer": 1000,
            "client_version": "3.12",
        });
        let mut set = |key: &str, value: Value| {
            if let Some(all) = all.as_object_mut() {
                all.insert(key.to_owned(), value);
            }
        };
        if self.reverse {
            set("reverse", json!(true));
        }
        if self.nodelay {
            set("nodelay", json!(true));
        }
        if let Some(mss) = self.mss {
            set("MSS", json!(mss));
        }
        // No other program knows a fixed window.
        let known = |a: &Algorithm| !matches!(a, Algorithm::Fixed(_));
        if let Some(algorithm) = self.congestion.filter(known) {
            set("congestion", json!(algorithm.name()));
        }
        all
    }

    /// What a client wants; why not, where we do not do that.
    fn from_json(all: &Value) -> Result<Self, &'static str> {
        let flag = |key: &str| all.get(key).and_then(Value::as_bool).unwrap_or(false);
        let number = |key: &str| all.get(key).and_then(Value::as_u64).unwrap_or(0);
        if !flag("tcp") {
            return Err("only TCP is measured here");
        }
        if flag("bidirectional") {
            return Err("one direction at a time");
        }
        if number("omit") > 0 {
            return Err("no seconds are omitted here");
        }
        let parallel = u16::try_from(number("parallel")).unwrap_or(u16::MAX);
        if !(1..=MAX_STREAMS).contains(&parallel) {
            return Err("1 to 128 streams");
        }
        let congestion = all.get("congestion").and_then(Value::as_str);
        let blocks = number("blockcount").saturating_mul(number("len"));
        Ok(Self {
            time: Duration::from_secs(number("time").min(86_400)),
            bytes: Some(number("num").max(blocks)).filter(|n| *n > 0),
            parallel,
            reverse: flag("reverse"),
            congestion: congestion.and_then(Algorithm::by_name),
            nodelay: flag("nodelay"),
            mss: u16::try_from(number("MSS")).ok().filter(|mss| *mss > 0),
        })
    }

    /// The options of the streams' connections.
    fn options(&self, usual: &tcp::Options) -> tcp::Options {
        let mut options = usual.clone();
        if let Some(congestion) = self.congestion {
            options.congestion = congestion;
        }
        if self.nodelay {
            options.nagle = tcp::options::Nagle::Off;
        }
        if self.mss.is_some() {
            options.mss = self.mss;
        }
        options
    }
}

/// What one end counted of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamResult {
    /// Its number: 1, 3, 4, 5 ..., as the original counts.
    pub id: u64,
    /// Bytes sent or received.
    pub bytes: u64,
    /// Segments sent again, where it is the sender's.
    pub retransmits: Option<u64>,
}

/// The number of the `i`-th stream.
const fn stream_id(i: u64) -> u64 {
    match i {
        0 => 1,
        i => i + 2,
    }
}

/// The results of one end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Results {
    /// Of each stream.
    pub streams: Vec<StreamResult>,
    /// The sender's congestion control.
    pub congestion: String,
}

impl Results {
    /// Bytes of all streams.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.streams.iter().map(|s| s.bytes).sum()
    }

    /// Segments sent again, where this is the sender's.
    #[must_use]
    pub fn retransmits(&self) -> Option<u64> {
        let all = self.streams.iter().map(|s| s.retransmits);
        all.sum()
    }

    fn to_json(&self, time: Duration) -> Value {
        let seconds = time.as_secs_f64();
        let streams = self.streams.iter().map(|s| {
            let again = s.retransmits.map_or(json!(-1), |n| json!(n));
            json!({
                "id": s.id, "bytes": s.bytes, "retransmits": again, "jitter": 0, "errors": 0,
                "omitted_errors": 0, "packets": 0, "omitted_packets": 0, "start_time": 0,
                "end_time": seconds,
            })
        });
        let sender = i32::from(self.retransmits().is_some());
        json!({
            "cpu_util_total": 0.0, "cpu_util_user": 0.0, "cpu_util_system": 0.0,
            "sender_has_retransmits": if sender == 1 { 1 } else { -1 },
            "congestion_used": self.congestion, "streams": streams.collect::<Vec<_>>(),
        })
    }

    fn from_json(all: &Value) -> Self {
        let streams = all.get("streams").and_then(Value::as_array);
        let streams = streams.into_iter().flatten().take(usize::from(MAX_STREAMS));
        let number = |s: &Value, key: &str| s.get(key).and_then(Value::as_u64);
        let sender = all.get("sender_has_retransmits").and_then(Value::as_i64) == Some(1);
        Self {
            streams: streams
                .map(|s| StreamResult {
                    id: number(s, "id").unwrap_or(0),
                    bytes: number(s, "bytes").unwrap_or(0),
                    retransmits: number(s, "retransmits").filter(|_| sender),
                })
                .collect(),
            congestion: match all.get("congestion_used").and_then(Value::as_str) {
                Some(name) => name.chars().take(16).collect(),
                None => String::new(),
            },
        }
    }
}

/// Why a test came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The connection to the other end failed.
    Tcp(Error),
    /// The other end left in the middle.
    Gone,
    /// The server has another test.
    Busy,
    /// The server ended the connection before it said anything.
    Unheard,
    /// The server says that something is wrong, by its own number.
    Server(u32),
    /// What came is not this protocol.
    Nonsense,
    /// The other end says nothing.
    Silent,
    /// The test is one that we do not do.
    Refused(&'static str),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(error) => error.fmt(f),
            Self::Gone => f.write_str("the other end left in the middle"),
            Self::Busy => f.write_str("the server is busy with another test"),
            Self::Unheard => f.write_str(
                "the server is busy with another test, or no iperf3: it reset the connection at once",
            ),
            Self::Server(number) => write!(f, "the server reports its error {number}"),
            Self::Nonsense => f.write_str("the other end does not speak iperf3"),
            Self::Silent => f.write_str("the other end says nothing"),
            Self::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

impl std::error::Error for Broken {}

/// The control connection: what came and is not understood yet, what is to be said.
#[derive(Clone, Debug)]
struct Control {
    handle: TcpHandle,
    input: Vec<u8>,
    output: Vec<u8>,
    ended: bool,
}

impl Control {
    const fn new(handle: TcpHandle) -> Self {
        Self {
            handle,
            input: Vec::new(),
            output: Vec::new(),
            ended: false,
        }
    }

    fn say(&mut self, state: u8) {
        self.output.push(state);
    }

    fn say_json(&mut self, value: &Value) {
        let text = value.to_string();
        let len = u32::try_from(text.len()).unwrap_or(0);
        self.output.extend_from_slice(&len.to_be_bytes());
        self.output.extend_from_slice(text.as_bytes());
    }

    /// Says what is to be said, as far as there is room.
    fn flush(&mut self, now: Instant, host: &mut Host) -> Result<(), Broken> {
        while !self.output.is_empty() {
            match host.tcp_send(now, self.handle, &self.output) {
                Ok(0) | Err(Error::WouldBlock) => return Ok(()),
                Ok(n) => drop(self.output.drain(..n.min(self.output.len()))),
                Err(e) => return Err(Broken::Tcp(e)),
            }
        }
        Ok(())
    }

    /// Hears what there is, no more than a message.
    fn hear(&mut self, now: Instant, host: &mut Host) -> Result<(), Broken> {
        while !self.ended && self.input.len() < MAX_MESSAGE + 8 {
            match host.tcp_recv_bytes(now, self.handle, MAX_MESSAGE) {
                Ok(piece) if piece.is_empty() => self.ended = true,
                Ok(piece) => self.input.extend_from_slice(&piece),
                Err(Error::WouldBlock) => break,
                Err(e) => return Err(Broken::Tcp(e)),
            }
        }
        Ok(())
    }

    fn take(&mut self, n: usize) -> Option<Vec<u8>> {
        (self.input.len() >= n).then(|| self.input.drain(..n).collect())
    }

    fn take_state(&mut self) -> Option<u8> {
        self.take(1).and_then(|bytes| bytes.first().copied())
    }

    fn take_json(&mut self) -> Result<Option<Value>, Broken> {
        let Some(len) = self.input.first_chunk::<4>() else {
            return Ok(None);
        };
        let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
        if len > MAX_MESSAGE {
            return Err(Broken::Nonsense);
        }
        let Some(message) = self.take(len + 4) else {
            return Ok(None);
        };
        let text = message.get(4..).unwrap_or_default();
        let value = serde_json::from_slice(text);
        value.map(Some).map_err(|_| Broken::Nonsense)
    }
}

/// One stream of a test.
#[derive(Clone, Debug)]
struct Flow {
    handle: TcpHandle,
    id: u64,
    /// Bytes of the cookie still to be sent.
    cookie: Bytes,
    open: bool,
    bytes: u64,
    /// Where in the pattern.
    at: usize,
    status: tcp::Status,
    /// It has ended before the test.
    ended: bool,
}

impl Flow {
    fn new(handle: TcpHandle, i: usize) -> Self {
        Self {
            handle,
            id: stream_id(count(i)),
            cookie: Bytes::new(),
            open: false,
            bytes: 0,
            at: 0,
            status: tcp::Status::default(),
            ended: false,
        }
    }

    fn look(&mut self, now: Instant, host: &Host) {
        if let Some(status) = host.tcp_status(now, self.handle) {
            self.status = status;
        }
    }

    /// Sends what there is room for, up to `left` bytes.
    fn send(&mut self, now: Instant, host: &mut Host, left: &mut Option<u64>) {
        let pattern = pattern();
        while !self.ended && *left != Some(0) {
            let most = left.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
            let end = self.at.saturating_add(most).min(pattern.len());
            let piece = pattern.slice(self.at.min(end)..end);
            match host.tcp_send_bytes(now, self.handle, piece) {
                Ok(0) | Err(Error::WouldBlock) => return,
                Ok(n) => {
                    self.at = (self.at + n) % pattern.len().max(1);
                    self.bytes += count(n);
                    if let Some(left) = left {
                        *left = left.saturating_sub(count(n));
                    }
                }
                Err(_) => self.ended = true,
            }
        }
    }

    fn receive(&mut self, now: Instant, host: &mut Host) {
        while !self.ended {
            match host.tcp_recv_bytes(now, self.handle, PIECE) {
                Ok(piece) if piece.is_empty() => self.ended = true,
                Ok(piece) => self.bytes += count(piece.len()),
                Err(Error::WouldBlock) => return,
                Err(_) => self.ended = true,
            }
        }
    }

    const fn result(&self, sender: bool) -> StreamResult {
        StreamResult {
            id: self.id,
            bytes: self.bytes,
            retransmits: match sender {
                true => Some(self.status.total_retrans),
                false => None,
            },
        }
    }
}

fn results(flows: &[Flow], sender: bool) -> Results {
    let first = flows.first().map(|f| f.status.congestion);
    Results {
        streams: flows.iter().map(|f| f.result(sender)).collect(),
        congestion: first.unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::pair;
    use stack::machine::{Machine as _, Port};
    use stack::time::Instant;

    #[test]
    fn parameters_there_and_back() {
        let params = Params {
            time: Duration::from_secs(3),
            parallel: 4,
            reverse: true,
            congestion: Some(Algorithm::Bbr),
            nodelay: true,
            mss: Some(1000),
            bytes: None,
        };
        assert_eq!(Params::from_json(&params.to_json()), Ok(params));
        for (odd, why) in [
            (json!({"udp": true, "parallel": 1}), "only TCP"),
            (json!({"tcp": true, "parallel": 0}), "1 to 128"),
            (
                json!({"tcp": true, "parallel": 1, "bidirectional": true}),
                "one direction",
            ),
            (json!({"tcp": true, "parallel": 1, "omit": 1}), "omitted"),
            (json!([]), "only TCP"),
        ] {
            let refused = Params::from_json(&odd).unwrap_err();
            assert!(refused.contains(why), "{odd}: {refused}");
        }
    }

    /// The original's client reads a stream to its end before it hears what the server says next.
    #[test]
    fn a_server_that_sends_ends_its_streams() {
        let [mut near, mut peer] = pair::hosts();
        let mut server = server::Server::open(&mut peer, PORT, &tcp::Options::default()).unwrap();
        let to = "10.7.0.2:5201".parse().unwrap();
        let connect = |host: &mut Host, now| {
            let handle = host.tcp_connect(now, to, None, tcp::Options::default());
            handle.unwrap()
        };
        let mut control = Control::new(connect(&mut near, Instant::ZERO));
        control.output.extend_from_slice(&[b'x'; COOKIE]);
        let (mut stream, mut end, mut hears) = (None::<Flow>, None, true);
        for millis in 0..5000 {
            let now = Instant::ZERO + Duration::from_millis(millis);
            for host in [&mut near, &mut peer] {
                host.handle_timeout(now);
            }
            while let Some(frame) = near.poll_transmit(now, Port(0)) {
                peer.handle_frame(now, Port(0), frame);
            }
            while let Some(event) = peer.poll_event() {
                server.handle_event(now, &mut peer, &event);
            }
            server.handle_timeout(now, &mut peer);
            while let Some(frame) = peer.poll_transmit(now, Port(0)) {
                near.handle_frame(now, Port(0), frame);
            }
            control.hear(now, &mut near).unwrap();
            while let Some(said) = control.take_state().filter(|_| hears) {
                match said {
                    state::PARAM_EXCHANGE => {
                        let params = Params {
                            reverse: true,
                            ..Params::default()
                        };
                        control.say_json(&params.to_json());
                    }
                    state::CREATE_STREAMS => {
                        let handle = connect(&mut near, now);
                        stream = Some(Flow::new(handle, 0));
                        near.tcp_send(now, handle, &[b'x'; COOKIE]).unwrap();
                    }
                    state::TEST_RUNNING => end = Some(now + Duration::from_millis(20)),
                    _ => {}
                }
            }
            if end.take_if(|at| now >= *at).is_some() {
                control.say(state::TEST_END);
                hears = false;
            }
            control.flush(now, &mut near).unwrap();
            if let Some(flow) = &mut stream {
                flow.receive(now, &mut near);
                if flow.ended {
                    let state = near.tcp_state(flow.handle);
                    assert_eq!(state, Some(tcp::State::CloseWait), "the stream is cut");
                    return;
                }
            }
        }
        panic!("the stream does not end");
    }

    #[test]
    fn results_there_and_back() {
        let stream = |id, retransmits| StreamResult {
            id,
            bytes: id * 1000,
            retransmits,
        };
        for again in [Some(7), None] {
            let results = Results {
                streams: vec![stream(1, again), stream(3, again)],
                congestion: "cubic".to_owned(),
            };
            let back = Results::from_json(&results.to_json(Duration::from_secs(1)));
            assert_eq!(back, results);
            assert_eq!(back.retransmits(), again.map(|n| 2 * n));
        }
        assert_eq!([0, 1, 2].map(stream_id), [1, 3, 4]);
    }
}
