//! `ping`: echo requests from the stack, with what comes back and how long it took.
//!
//! ```text
//!   timer --echo_send(seq)--> host ...                 sent[seq] = when
//!   host --reply or ICMP error, by seq--> a line       sent[seq] answered: another is a duplicate
//! ```
//!
//! Read first: RFC 792 (echo), RFC 791 §3.1 (record route, timestamp).
//!
//! Lines are those of the ping that people and scripts know.

use super::Failure;
use super::attach::{self, Attach};
use super::report::{self, Millis, millis};
use crate::runtime::Next;
use bytes::Bytes;
use clap::ValueEnum;
use serde_json::json;
use stack::frame::Payload;
use stack::host::{Host, RawHandle, SendError};
use stack::time::{Duration, Instant, earliest};
use stack::transport::udp::PathMtu;
use stack::transport::{ErrorKind, SocketError, raw};
use stack::wire::ipv4::{Ipv4Option, Options, kind};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  tapline ping -c 3 10.7.0.1              # the kernel, from a host beside it
  tapline ping -c 3 -M do -s 1472 10.7.0.1
  tapline ping -R 10.7.0.1                # the addresses on the way and back
  tapline ping --raw veth0 --address 10.1.0.9/24 --gateway 10.1.0.1 10.2.0.1";

/// What a datagram has room for: 65,535 less an IP header and an ICMP header.
const MAX_SIZE: u16 = 65_507;
/// ICMP header of an echo.
const ECHO_HEADER: usize = 8;
/// Flooding waits for an answer, but no longer than this.
const FLOOD_INTERVAL: Duration = Duration::from_millis(10);
/// After the last request, at least so long for its answer, where some have come.
const LINGER: Duration = Duration::from_secs(1);

/// Echo requests to a host, with what comes back.
///
/// Exits 0 if a reply came (with -c and -w: all that were asked for), 1 if none did.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Whom to ask.
    #[arg(value_parser = attach::destination)]
    dest: Ipv4Addr,

    /// Stop after this many requests.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Seconds between requests; 1, or with -f as fast as answers come.
    #[arg(short, long, value_name = "S", value_parser = report::seconds)]
    interval: Option<Duration>,

    /// Bytes of data.
    #[arg(short, long, default_value_t = 56, value_parser = clap::value_parser!(u16).range(..=i64::from(MAX_SIZE)))]
    size: u16,

    /// Time to live of the requests.
    #[arg(short, long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u8).range(1..))]
    ttl: u8,

    /// Seconds to wait for the answer to the last request [default: 10 where none has come yet].
    #[arg(short = 'W', long, value_name = "S", value_parser = report::seconds)]
    timeout: Option<Duration>,

    /// Seconds after which to end in any case.
    #[arg(short = 'w', long, value_name = "S", value_parser = report::seconds)]
    deadline: Option<Duration>,

    /// Don't-fragment: always, while the request fits the path, or never.
    #[arg(short = 'M', long, value_enum, default_value_t = Discover::Want)]
    pmtu: Discover,

    /// Type of service, the whole byte.
    #[arg(short = 'Q', long, value_name = "TOS", default_value_t = 0)]
    tos: u8,

    /// Have the way recorded by those on it (RFC 791 §3.1), nine addresses at most.
    #[arg(short = 'R', long, conflicts_with = "stamp")]
    record_route: bool,

    /// Have the time recorded by those on the way (RFC 791 §3.1).
    #[arg(short = 'T', long = "timestamp", value_enum, value_name = "WHAT")]
    stamp: Option<Stamp>,

    /// Flood: the next request as soon as an answer came, a dot sent and taken back for each.
    #[arg(short, long)]
    flood: bool,

    /// Allow a broadcast address.
    #[arg(short, long)]
    broadcast: bool,

    /// Only the first line and the summary.
    #[arg(short, long)]
    quiet: bool,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    attach: Attach,
}

/// What `-M` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Discover {
    /// Always; what does not fit the path is refused here.
    Do,
    /// While it fits.
    Want,
    /// Never.
    Dont,
    /// Always, whatever is known of the path.
    Probe,
}

/// What `-T` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stamp {
    /// Times.
    Tsonly,
    /// Addresses and times.
    Tsandaddr,
}

/// Runs the verb.
///
/// # Errors
/// Exit code 2 where there is no way, 3 with a remedy where the machine lacks something.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut attached = args.attach.open()?;
    let mut ping = Ping::new(args.clone(), io::stdout().lock());
    let code = attached
        .driver
        .run(|host, now, wake| ping.turn(host, now, wake.stop))??;
    Ok(ExitCode::from(code))
}

/// A run of requests.
struct Ping<W> {
    args: Args,
    out: W,
    data: Bytes,
    options: Vec<u8>,
    socket: Option<RawHandle>,
    sent: BTreeMap<u16, Sent>,
    started: Instant,
    last_sent: Instant,
    next_at: Instant,
    tally: Tally,
    last_route: Vec<u8>,
}

/// A request that was sent.
struct Sent {
    at: Instant,
    answered: bool,
}

/// What came of the requests.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    transmitted: u64,
    received: u64,
    duplicates: u64,
    errors: u64,
    /// Requests of which no more is expected: answered, failed, or their number was used again.
    settled: u64,
    min: Duration,
    max: Duration,
    sum: f64,
    sum_of_squares: f64,
}

impl<W: Write> Ping<W> {
    fn new(args: Args, out: W) -> Self {
        let data = (0u8..=255).cycle().take(usize::from(args.size)).collect();
        Self {
            options: options(&args),
            args,
            out,
            data,
            socket: None,
            sent: BTreeMap::new(),
            started: Instant::ZERO,
            last_sent: Instant::ZERO,
            next_at: Instant::ZERO,
            tally: Tally::default(),
            last_route: Vec::new(),
        }
    }

    /// Once a turn: what came, whether that is all, what to send, when to look again.
    fn turn(&mut self, host: &mut Host, now: Instant, stop: bool) -> Next<Result<u8, Failure>> {
        match self.step(host, now, stop) {
            Ok(None) => ControlFlow::Continue(self.wake_at()),
            Ok(Some(code)) => ControlFlow::Break(Ok(code)),
            Err(failure) => ControlFlow::Break(Err(failure)),
        }
    }

    fn step(&mut self, host: &mut Host, now: Instant, stop: bool) -> Result<Option<u8>, Failure> {
        let socket = match self.socket {
            Some(socket) => socket,
            None => self.open(host, now)?,
        };
        attach::pass_events(host);
        while let Some(packet) = host.raw_recv(socket) {
            self.hear(now, &packet).map_err(report::untold)?;
        }
        while let Some(error) = host.raw_take_error(socket) {
            self.fail(&error).map_err(report::untold)?;
        }
        if stop || self.is_done(now) {
            return self.summary(now).map(Some).map_err(report::untold);
        }
        if self.has_more() && self.next_at <= now {
            self.send(host, socket, now)?;
        }
        // A request that was refused here has no answer to be waited for.
        match self.is_done(now) {
            true => self.summary(now).map(Some).map_err(report::untold),
            false => Ok(None),
        }
    }

    fn open(&mut self, host: &mut Host, now: Instant) -> Result<RawHandle, Failure> {
        let (socket, _) = host
            .echo_open(0)
            .map_err(|e| Failure::usage(e.to_string()))?;
        if let Some(options) = host.raw_options(socket) {
            options.ttl = self.args.ttl;
            options.multicast_ttl = self.args.ttl;
            options.tos = self.args.tos;
            options.broadcast = self.args.broadcast;
            // A request and its answer have to fit, whatever their size.
            options.receive_limit = 4 << 20;
            options.path_mtu = match self.args.pmtu {
                Discover::Do => PathMtu::Require,
                Discover::Want => PathMtu::Want,
                Discover::Dont => PathMtu::Off,
                Discover::Probe => PathMtu::Probe,
            };
        }
        self.socket = Some(socket);
        self.started = now;
        self.next_at = now;
        if !self.args.json {
            let (dest, size) = (self.args.dest, self.data.len());
            let total = size + ECHO_HEADER + 20 + self.options.len();
            writeln!(
                self.out,
                "PING {dest} ({dest}) {size}({total}) bytes of data."
            )
            .and_then(|()| self.out.flush())
            .map_err(report::untold)?;
        }
        Ok(socket)
    }

    fn interval(&self) -> Duration {
        let usual = match self.args.flood {
            true => FLOOD_INTERVAL,
            false => Duration::from_secs(1),
        };
        self.args.interval.unwrap_or(usual)
    }

    fn has_more(&self) -> bool {
        self.args.count.is_none_or(|n| self.tally.transmitted < n)
    }

    /// How long an answer to the last request is waited for.
    fn patience(&self) -> Duration {
        match (self.args.timeout, self.tally.received) {
            (Some(given), _) => given,
            (None, 0) => Duration::from_secs(10),
            (None, _) => (self.tally.max * 2).max(LINGER),
        }
    }

    fn is_done(&self, now: Instant) -> bool {
        let settled = self.tally.settled >= self.tally.transmitted;
        let late = now >= self.last_sent + self.patience();
        let deadline = self.args.deadline.map(|d| self.started + d);
        deadline.is_some_and(|at| now >= at) || (!self.has_more() && (settled || late))
    }

    fn wake_at(&self) -> Option<Instant> {
        let next = match self.has_more() {
            true => self.next_at,
            false => self.last_sent + self.patience(),
        };
        earliest(Some(next), self.args.deadline.map(|d| self.started + d))
    }

    fn send(&mut self, host: &mut Host, socket: RawHandle, now: Instant) -> Result<(), Failure> {
        let seq = wrapped(self.tally.transmitted + 1);
        let data = Payload::from(self.data.clone());
        let dest = self.args.dest;
        match host.echo_send(now, socket, dest, seq, data, &self.options) {
            Ok(()) => {
                let at = Sent {
                    at: now,
                    answered: false,
                };
                let old = self.sent.insert(seq, at);
                self.tally.settled += u64::from(old.is_some_and(|o| !o.answered));
            }
            Err(SendError::WouldBlock) => {
                self.next_at = now + Duration::from_millis(1);
                return Ok(());
            }
            Err(SendError::TooLong { max }) => {
                self.too_long(seq, max + 28).map_err(report::untold)?;
            }
            Err(e) => return Err(attach::cannot_send(dest, e)),
        }
        self.tally.transmitted += 1;
        self.last_sent = now;
        self.next_at = (self.next_at + self.interval()).max(now);
        if self.args.flood {
            self.next_at = now + self.interval();
            if !self.args.quiet && !self.args.json {
                write!(self.out, ".")
                    .and_then(|()| self.out.flush())
                    .map_err(report::untold)?;
            }
        }
        Ok(())
    }

    /// A request that was refused here, since the path is known not to carry it.
    fn too_long(&mut self, seq: u16, mtu: usize) -> io::Result<()> {
        self.tally.errors += 1;
        self.tally.settled += 1;
        let what = format!("local error: message too long, mtu: {mtu}");
        if self.args.json {
            let line = json!({"event": "error", "seq": seq, "error": what, "mtu": mtu});
            return report::json_line(&mut self.out, &line);
        }
        match self.args.quiet {
            true => Ok(()),
            false => writeln!(self.out, "ping: {what}"),
        }
    }

    fn hear(&mut self, now: Instant, packet: &raw::Packet) -> io::Result<()> {
        let message = packet.payload.to_bytes();
        let Some([_, _, _, _, _, _, a, b]) = message.first_chunk::<8>() else {
            return Ok(());
        };
        let seq = u16::from_be_bytes([*a, *b]);
        // What was never asked is no answer.
        let Some(sent) = self.sent.get_mut(&seq) else {
            return Ok(());
        };
        let rtt = now - sent.at;
        let duplicate = std::mem::replace(&mut sent.answered, true);
        if duplicate {
            self.tally.duplicates += 1;
        } else {
            self.tally.received += 1;
            self.tally.settled += 1;
            self.tally.time(rtt);
        }
        if self.args.flood && self.args.interval.is_none() {
            self.next_at = now;
        }
        let reply = Reply {
            seq,
            rtt,
            duplicate,
            bytes: message.len(),
            altered: message[ECHO_HEADER..] != self.data,
        };
        self.tell(packet, &reply)
    }

    fn tell(&mut self, packet: &raw::Packet, reply: &Reply) -> io::Result<()> {
        if self.args.json {
            let line = reply.json(packet);
            return report::json_line(&mut self.out, &line);
        }
        if self.args.quiet {
            return Ok(());
        }
        if self.args.flood {
            write!(self.out, "\u{8} \u{8}")?;
            return self.out.flush();
        }
        let mut line = reply.text(packet.from, packet.ttl);
        if !packet.options.is_empty() && *packet.options == *self.last_route {
            line.push_str("\t(same route)");
        } else {
            line.push_str(&recorded(&packet.options));
            // Times differ from one answer to the next; a way is worth naming once.
            if self.args.record_route {
                self.last_route = packet.options.to_vec();
            }
        }
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }

    fn fail(&mut self, error: &SocketError) -> io::Result<()> {
        let seq = error.to.port();
        let Some(sent) = self.sent.get_mut(&seq) else {
            return Ok(());
        };
        self.tally.errors += 1;
        if !std::mem::replace(&mut sent.answered, true) {
            self.tally.settled += 1;
        }
        let (from, what) = (error.offender, meaning(error));
        if self.args.json {
            let mtu = match error.kind {
                ErrorKind::PacketTooBig { mtu } => Some(mtu),
                _ => None,
            };
            let line = json!({
                "event": "error", "seq": seq, "from": from.to_string(), "error": what, "mtu": mtu,
                "icmp_type": error.icmp_type, "icmp_code": error.icmp_code,
            });
            return report::json_line(&mut self.out, &line);
        }
        match (self.args.quiet, self.args.flood) {
            (true, _) => return Ok(()),
            (_, true) => write!(self.out, "\u{8}E")?,
            _ => writeln!(self.out, "From {from} icmp_seq={seq} {what}")?,
        }
        self.out.flush()
    }

    fn summary(&mut self, now: Instant) -> io::Result<u8> {
        let tally = self.tally;
        let time = now - self.started;
        if self.args.json {
            let line = tally.json(self.args.dest, time);
            report::json_line(&mut self.out, &line)?;
        } else {
            let dest = self.args.dest;
            writeln!(self.out, "\n--- {dest} ping statistics ---")?;
            writeln!(self.out, "{}", tally.text(time))?;
            self.out.flush()?;
        }
        let wanted = match (self.args.count, self.args.deadline) {
            (Some(n), Some(_)) => n,
            _ => 1,
        };
        Ok(u8::from(tally.received < wanted))
    }
}

/// The IP options that `args` ask for.
fn options(args: &Args) -> Vec<u8> {
    let mut area = match (args.record_route, args.stamp) {
        // A filler first, so that the addresses are aligned.
        (true, _) => vec![kind::NO_OPERATION, kind::RECORD_ROUTE, 39, 4],
        (_, Some(Stamp::Tsonly)) => vec![kind::TIMESTAMP, 40, 5, 0],
        (_, Some(Stamp::Tsandaddr)) => vec![kind::TIMESTAMP, 36, 5, 1],
        _ => return Vec::new(),
    };
    let len = if args.stamp == Some(Stamp::Tsandaddr) {
        36
    } else {
        40
    };
    area.resize(len, 0);
    area
}

/// Requests are counted from 1, and their numbers start again after 65,535.
fn wrapped(n: u64) -> u16 {
    u16::try_from(n & 0xffff).unwrap_or(0)
}

/// A reply, as it is shown.
struct Reply {
    seq: u16,
    rtt: Duration,
    duplicate: bool,
    bytes: usize,
    altered: bool,
}

impl Reply {
    fn text(&self, from: IpAddr, ttl: u8) -> String {
        let Self { bytes, seq, .. } = self;
        let time = Millis(self.rtt);
        let mut line =
            format!("{bytes} bytes from {from}: icmp_seq={seq} ttl={ttl} time={time} ms");
        if self.duplicate {
            line.push_str(" (DUP!)");
        }
        if self.altered {
            line.push_str(" (different data)");
        }
        line
    }

    fn json(&self, packet: &raw::Packet) -> serde_json::Value {
        let mut value = json!({
            "event": "reply", "seq": self.seq, "from": packet.from.to_string(),
            "bytes": self.bytes, "ttl": packet.ttl, "ms": millis(self.rtt),
            "duplicate": self.duplicate, "altered": self.altered,
        });
        for item in Options::new(&packet.options).flatten() {
            match item.option {
                Ipv4Option::RecordRoute { pointer, route } => {
                    let route = words(route, pointer, 4).map(|w| Ipv4Addr::from(w).to_string());
                    value["route"] = route.collect();
                }
                Ipv4Option::Timestamp { pointer, data, .. } => {
                    let words = words(data, pointer, 5).map(u32::from_be_bytes);
                    value["timestamps"] = words.collect();
                }
                _ => {}
            }
        }
        value
    }
}

/// The words of an option that have been filled in: all before its pointer.
fn words(data: &[u8], pointer: u8, first: usize) -> impl Iterator<Item = [u8; 4]> {
    let filled = usize::from(pointer).saturating_sub(first) / 4;
    let (words, _) = data.as_chunks::<4>();
    words.iter().take(filled).copied()
}

/// Record route and timestamps on arrival, in lines of their own.
fn recorded(options: &[u8]) -> String {
    let mut text = String::new();
    for item in Options::new(options).flatten() {
        match item.option {
            Ipv4Option::RecordRoute { pointer, route } => {
                text.push_str("\nRR: ");
                for word in words(route, pointer, 4) {
                    let _ = writeln!(text, "\t{}", Ipv4Addr::from(word));
                }
            }
            Ipv4Option::Timestamp {
                pointer,
                overflow,
                flag,
                data,
            } => {
                text.push_str("\nTS: ");
                stamps(&mut text, words(data, pointer, 5), flag != 0);
                if overflow > 0 {
                    let _ = writeln!(text, "Unrecorded hops: {overflow}");
                }
            }
            _ => {}
        }
    }
    text
}

/// The first time as it is, each next one as the difference to the one before.
fn stamps(text: &mut String, mut words: impl Iterator<Item = [u8; 4]>, addresses: bool) {
    let mut before: Option<i64> = None;
    loop {
        let addr = match addresses {
            true => words.next().map(|w| format!("\t{}", Ipv4Addr::from(w))),
            false => Some(String::new()),
        };
        let (Some(addr), Some(word)) = (addr, words.next()) else {
            return;
        };
        let time = u32::from_be_bytes(word);
        // RFC 791 §3.1: the top bit says that this is not milliseconds since midnight.
        let shown = match (time >> 31, before) {
            (1, _) => format!("{} not-standard", time & 0x7fff_ffff),
            (_, None) => format!("{time} absolute"),
            (_, Some(before)) => (i64::from(time) - before).to_string(),
        };
        if time >> 31 == 0 {
            before = Some(i64::from(time));
        }
        let _ = writeln!(text, "{addr}\t{shown}");
    }
}

/// An ICMP error in words.
fn meaning(error: &SocketError) -> String {
    match error.kind {
        ErrorKind::NetUnreachable => "Destination Net Unreachable".to_owned(),
        ErrorKind::HostUnreachable => "Destination Host Unreachable".to_owned(),
        ErrorKind::ProtocolUnreachable => "Destination Protocol Unreachable".to_owned(),
        ErrorKind::PortUnreachable => "Destination Port Unreachable".to_owned(),
        ErrorKind::PacketTooBig { mtu } => format!("Frag needed and DF set (mtu = {mtu})"),
        ErrorKind::Prohibited => format!("Packet filtered (code {})", error.icmp_code),
        ErrorKind::TtlExpired => "Time to live exceeded".to_owned(),
        ErrorKind::ReassemblyTimeout => "Frag reassembly time exceeded".to_owned(),
        ErrorKind::ParameterProblem { pointer } => {
            format!("Parameter problem: pointer = {pointer}")
        }
        ErrorKind::Other => format!("ICMP type {} code {}", error.icmp_type, error.icmp_code),
    }
}

impl Tally {
    fn time(&mut self, rtt: Duration) {
        self.min = match self.received {
            1 => rtt,
            _ => self.min.min(rtt),
        };
        self.max = self.max.max(rtt);
        self.sum += millis(rtt);
        self.sum_of_squares += millis(rtt).powi(2);
    }

    /// Percent of requests without a reply.
    #[expect(clippy::cast_precision_loss, reason = "a percentage needs no 52 bits")]
    fn loss(&self) -> f64 {
        let lost = self.transmitted.saturating_sub(self.received);
        match self.transmitted {
            0 => 0.0,
            all => lost as f64 * 100.0 / all as f64,
        }
    }

    /// Mean and mean deviation.
    #[expect(clippy::cast_precision_loss, reason = "a mean needs no 52 bits")]
    fn spread(&self) -> (f64, f64) {
        let n = self.received.max(1) as f64;
        let mean = self.sum / n;
        (
            mean,
            (self.sum_of_squares / n - mean * mean).max(0.0).sqrt(),
        )
    }

    fn text(&self, time: Duration) -> String {
        let mut text = format!(
            "{} packets transmitted, {} received",
            self.transmitted, self.received
        );
        for (n, what) in [(self.duplicates, "duplicates"), (self.errors, "errors")] {
            if n > 0 {
                let _ = write!(text, ", +{n} {what}");
            }
        }
        let loss = format!("{:.4}", self.loss());
        let loss = loss.trim_end_matches('0').trim_end_matches('.');
        let _ = write!(text, ", {loss}% packet loss, time {}ms", time.as_millis());
        if self.received > 0 {
            let (mean, mdev) = self.spread();
            let (min, max) = (millis(self.min), millis(self.max));
            let _ = write!(
                text,
                "\nrtt min/avg/max/mdev = {min:.3}/{mean:.3}/{max:.3}/{mdev:.3} ms"
            );
        }
        text
    }

    fn json(&self, dest: Ipv4Addr, time: Duration) -> serde_json::Value {
        let (mean, mdev) = self.spread();
        let rtt = (self.received > 0).then(
            || json!({"min": millis(self.min), "avg": mean, "max": millis(self.max), "mdev": mdev}),
        );
        json!({
            "event": "summary", "dest": dest.to_string(), "transmitted": self.transmitted,
            "received": self.received, "duplicates": self.duplicates, "errors": self.errors,
            "loss_percent": self.loss(), "ms": millis(time), "rtt_ms": rtt,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::attach::simulated;
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &str) -> Result<Args, String> {
        let words = std::iter::once("ping").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|e| e.to_string())?;
        Ok(line.args)
    }

    /// Pings along a row of hosts; what was printed, and the exit code.
    fn ping(line: &str, mut hosts: Vec<Host>) -> (String, u8) {
        let mut ping = Ping::new(args(line).unwrap(), Vec::new());
        let (code, _) = simulated::run(&mut hosts, |h, now| ping.turn(h, now, false));
        (String::from_utf8(ping.out).unwrap(), code.unwrap())
    }

    fn pair() -> Vec<Host> {
        let [a, b] = [(1, "10.7.0.2/24"), (2, "10.7.0.1/24")];
        vec![
            simulated::host(a.0, &[a.1], &[]),
            simulated::host(b.0, &[b.1], &[]),
        ]
    }

    /// 10.1.0.1 -- 10.1.0.2 router 10.2.0.2 -- 10.2.0.1, the second link with an MTU of 1000.
    fn routed() -> Vec<Host> {
        use stack::machine::Port;
        use stack::net::route::Route;
        let mut hosts = vec![
            simulated::host(1, &["10.1.0.1/24"], &[]),
            simulated::host(2, &["10.1.0.2/24", "10.2.0.2/24"], &[1500, 1000]),
            simulated::host(3, &["10.2.0.1/24"], &[1000]),
        ];
        let all = "0.0.0.0/0".parse().unwrap();
        for (host, via) in [(0, "10.1.0.2"), (2, "10.2.0.2")] {
            let route = Route::via(all, via.parse().unwrap(), Port(0));
            hosts[host].add_route(route).unwrap();
        }
        hosts
    }

    #[test]
    fn replies_and_the_summary() {
        let (out, code) = ping("-c 2 -i 0.5 10.7.0.1", pair());
        assert_eq!(
            out,
            "PING 10.7.0.1 (10.7.0.1) 56(84) bytes of data.\n\
             64 bytes from 10.7.0.1: icmp_seq=1 ttl=64 time=3.00 ms\n\
             64 bytes from 10.7.0.1: icmp_seq=2 ttl=64 time=2.00 ms\n\
             \n--- 10.7.0.1 ping statistics ---\n\
             2 packets transmitted, 2 received, 0% packet loss, time 502ms\n\
             rtt min/avg/max/mdev = 2.000/2.500/3.000/0.500 ms\n"
        );
        assert_eq!(code, 0);
    }

    #[test]
    fn nobody_there_and_no_way_there() {
        let (out, code) = ping("-c 1 10.7.0.9", pair());
        assert!(
            out.contains("From 10.7.0.2 icmp_seq=1 Destination Host Unreachable\n"),
            "{out}"
        );
        assert!(
            out.contains("0 received, +1 errors, 100% packet loss"),
            "{out}"
        );
        assert_eq!(code, 1);
        let mut ping = Ping::new(args("192.0.2.1").unwrap(), Vec::new());
        let (failed, _) = simulated::run(&mut pair(), |h, now| ping.turn(h, now, false));
        let failure = failed.unwrap_err();
        assert!(
            failure.code == 2 && failure.to_string().contains("--gateway"),
            "{failure}"
        );
    }

    #[test]
    fn errors_from_routers() {
        let (out, code) = ping("-c 1 -t 1 10.2.0.1", routed());
        assert!(
            out.contains("From 10.1.0.2 icmp_seq=1 Time to live exceeded\n"),
            "{out}"
        );
        assert_eq!(code, 1);
        let (out, _) = ping("-c 2 -i 0.1 -M do -s 1200 10.2.0.1", routed());
        assert!(
            out.contains("From 10.1.0.2 icmp_seq=1 Frag needed and DF set (mtu = 1000)\nping: local error: message too long, mtu: 1000\n"),
            "{out}"
        );
        let (out, code) = ping("-c 2 -i 0.1 -M dont -s 5000 10.2.0.1", routed());
        assert!(
            code == 0 && out.contains("5008 bytes from 10.2.0.1: icmp_seq=2 ttl=63"),
            "{out}"
        );
    }

    #[test]
    fn routes_and_times_are_shown() {
        let (out, _) = ping("-c 2 -i 0.1 -R 10.2.0.1", routed());
        let way = "RR: \t10.1.0.1\n\t10.2.0.2\n\t10.2.0.1\n\t10.1.0.2\n";
        assert!(out.contains("56(124) bytes") && out.contains(way), "{out}");
        assert!(out.contains("(same route)"), "{out}");
        let (out, _) = ping("-c 1 -T tsandaddr 10.7.0.1", pair());
        assert!(
            out.contains("TS: \t10.7.0.2\t0 absolute\n\t10.7.0.1\t"),
            "{out}"
        );
        let (out, _) = ping("-c 1 -T tsonly --json 10.7.0.1", pair());
        let reply: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
        assert!(
            reply["timestamps"].as_array().is_some_and(|t| t.len() >= 2),
            "{out}"
        );
    }

    #[test]
    fn a_second_answer_is_a_duplicate_and_a_stranger_none() {
        let mut ping = Ping::new(args("-c 1 10.7.0.1").unwrap(), Vec::new());
        let answered = Sent {
            at: Instant::ZERO,
            answered: false,
        };
        ping.sent.insert(1, answered);
        let packet = |seq| raw::Packet {
            payload: stack::frame::Frame::copy_from(&[0, 0, 0, 0, 0, 9, 0, seq]),
            from: IpAddr::V4(Ipv4Addr::new(10, 7, 0, 1)),
            to: IpAddr::V4(Ipv4Addr::new(10, 7, 0, 2)),
            ttl: 64,
            interface: 0,
            options: Bytes::new(),
        };
        for seq in [1, 1, 7] {
            ping.hear(Instant::from_nanos(45_000), &packet(seq))
                .unwrap();
        }
        let out = String::from_utf8(ping.out).unwrap();
        assert_eq!(
            out,
            "8 bytes from 10.7.0.1: icmp_seq=1 ttl=64 time=0.045 ms (different data)\n\
             8 bytes from 10.7.0.1: icmp_seq=1 ttl=64 time=0.045 ms (DUP!) (different data)\n"
        );
        assert_eq!((ping.tally.received, ping.tally.duplicates), (1, 1));
    }

    #[test]
    fn a_flood_waits_for_answers_only() {
        let (out, code) = ping("-f -q -c 1000 10.7.0.1", pair());
        assert!(
            out.contains("1000 received, 0% packet loss, time 2001ms"),
            "{out}"
        );
        assert_eq!(code, 0);
    }

    #[test]
    fn the_command_line_is_checked() {
        for (line, want) in [
            ("", "<DEST>"),
            ("-s 65508 10.0.0.1", "65508 is not in"),
            ("-t 0 10.0.0.1", "0 is not in 1"),
            (
                "-M maybe 10.0.0.1",
                "possible values: do, want, dont, probe",
            ),
            ("-R -T tsonly 10.0.0.1", "cannot be used with"),
            ("example.org", "names are not looked up yet"),
            ("fd07::1", "no IPv6 yet"),
        ] {
            let e = args(line).unwrap_err();
            assert!(e.contains(want), "{line}: {e}");
        }
    }

    #[test]
    fn losses_are_said_as_briefly_as_they_are() {
        for (transmitted, received, want) in [
            (3, 2, "33.3333%"),
            (4, 3, "25%"),
            (10, 0, "100%"),
            (0, 0, "0%"),
            (1000, 999, "0.1%"),
        ] {
            let tally = Tally {
                transmitted,
                received,
                ..Tally::default()
            };
            let text = tally.text(Duration::ZERO);
            assert!(text.contains(&format!(", {want} packet loss")), "{text}");
        }
    }
}
