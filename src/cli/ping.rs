//! `ping`: echo requests from the stack, with what comes back and how long it took.
//!
//! ```text
//!   Args --> endpoint::ping::Pinger --Outcome--> a line each, and the summary
//! ```
//!
//! Read first: [`ping`](crate::endpoint::ping); RFC 791 §3.1 (record route, timestamp).
//!
//! Lines are those of the ping that people and scripts know.

use super::Failure;
use super::attach::{self, Attach, Target};
use super::family::Family;
use super::report::{self, Millis, millis};
use crate::endpoint::Endpoint as _;
use crate::endpoint::measure::Delays;
use crate::endpoint::ping::{Config, HEADER, Outcome, Pinger, Reply, Stats};
use crate::runtime::Next;
use clap::ValueEnum;
use serde_json::json;
use stack::host::{Host, SendError};
use stack::time::{Duration, Instant};
use stack::transport::udp::PathMtu;
use stack::transport::{ErrorKind, SocketError};
use stack::wire::ipv4::{Ipv4Option, Options, kind};
use stack::wire::zone::is_link_local;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  tapline ping -c 3 10.7.0.1              # the kernel, from a host beside it
  tapline ping -6 -c 3 fd07::1            # the same over IPv6, which the address alone says too
  tapline ping --raw veth0 fe80::1%veth0  # who has this address on that link
  tapline ping -c 3 -M do -s 1472 10.7.0.1
  tapline ping -R 10.7.0.1                # the addresses on the way and back
  tapline ping --raw veth0 --address 10.1.0.9/24 --gateway 10.1.0.1 10.2.0.1";

/// What a datagram of IPv4 has room for: 65,535 less an IP header and an ICMP header; IPv6 has 20
/// more.
const MAX_SIZE: u16 = 65_507;
/// Flooding waits for an answer, but no longer than this.
const FLOOD_INTERVAL: Duration = Duration::from_millis(10);
/// Echo requests to a host, with what comes back.
///
/// Exits 0 if a reply came (with -c and -w: all that were asked for), 1 if none did.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Whom to ask.
    #[arg(value_parser = attach::destination)]
    dest: Target,

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
    family: Family,

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
    args.family.agrees(args.dest.addr)?;
    if args.dest.addr.is_ipv6() && !options(args).is_empty() {
        return Err(Failure::usage("-R and -T are options of IPv4"));
    }
    let mut attached = args.attach.open_to(args.dest.addr)?;
    let mut ping = Ping::new(args.clone(), io::stdout().lock());
    let code = attached
        .driver
        .run(|host, now, wake| ping.turn(host, now, wake.stop))??;
    Ok(ExitCode::from(code))
}

/// A run of requests, and where it is told.
struct Ping<W> {
    args: Args,
    out: W,
    pinger: Pinger,
    begun: bool,
    last_route: Vec<u8>,
}

impl<W: Write> Ping<W> {
    fn new(args: Args, out: W) -> Self {
        Self {
            pinger: Pinger::new(config(&args)),
            args,
            out,
            begun: false,
            last_route: Vec::new(),
        }
    }

    /// Once a turn: what came, whether that is all, what to send, when to look again.
    fn turn(&mut self, host: &mut Host, now: Instant, stop: bool) -> Next<Result<u8, Failure>> {
        match self.step(host, now, stop) {
            Ok(None) => ControlFlow::Continue(self.pinger.poll_timeout()),
            Ok(Some(code)) => ControlFlow::Break(Ok(code)),
            Err(failure) => ControlFlow::Break(Err(failure)),
        }
    }

    fn step(&mut self, host: &mut Host, now: Instant, stop: bool) -> Result<Option<u8>, Failure> {
        if !self.begun {
            self.begin(host, now)?;
        }
        attach::pass_events(host);
        while self.pinger.hear(now, host) {
            self.tell_all()?;
        }
        if !stop && !self.pinger.is_done(now) {
            self.pinger.handle_timeout(now, host);
            self.tell_all()?;
        }
        match stop || self.pinger.is_done(now) {
            true => self.summary(now).map(Some).map_err(report::untold),
            false => Ok(None),
        }
    }

    fn begin(&mut self, host: &mut Host, now: Instant) -> Result<(), Failure> {
        self.begun = true;
        let zone = self.args.dest.zone(host)?;
        self.pinger = Pinger::new(Config {
            zone,
            ..self.pinger.config().clone()
        });
        let started = self.pinger.start(now, host);
        started.map_err(|e| Failure::usage(e.to_string()))?;
        if self.args.json {
            return Ok(());
        }
        let (dest, size) = (&self.args.dest, self.args.size);
        let line = match dest.addr {
            IpAddr::V4(_) => {
                let total = usize::from(size) + HEADER + 20 + self.pinger.config().options.len();
                format!("PING {dest} ({dest}) {size}({total}) bytes of data.")
            }
            IpAddr::V6(_) => format!("PING {dest} ({dest}) {size} data bytes"),
        };
        writeln!(self.out, "{line}")
            .and_then(|()| self.out.flush())
            .map_err(report::untold)
    }

    fn tell_all(&mut self) -> Result<(), Failure> {
        while let Some(outcome) = self.pinger.poll_outcome() {
            let told = match outcome {
                Outcome::Sent { .. } => self.dot(),
                Outcome::Reply(reply) => self.tell(&reply),
                Outcome::Error { seq, error } => self.fail(seq, &error),
                Outcome::Refused { seq, error } => match error {
                    SendError::TooLong { max } => {
                        self.too_long(seq, max + HEADER + self.ip_header())
                    }
                    _ => return Err(attach::cannot_send(&self.args.dest, error)),
                },
                // The summary says it.
                Outcome::Timeout { .. } | Outcome::Done => Ok(()),
            };
            told.map_err(report::untold)?;
        }
        Ok(())
    }

    const fn ip_header(&self) -> usize {
        match self.args.dest.addr {
            IpAddr::V4(_) => 20,
            IpAddr::V6(_) => 40,
        }
    }

    /// In a flood, what is under way is a dot each.
    fn dot(&mut self) -> io::Result<()> {
        if !self.args.flood || self.args.quiet || self.args.json {
            return Ok(());
        }
        write!(self.out, ".")?;
        self.out.flush()
    }

    /// A request that was refused here, since the path is known not to carry it.
    fn too_long(&mut self, seq: u16, mtu: usize) -> io::Result<()> {
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

    fn tell(&mut self, reply: &Reply) -> io::Result<()> {
        if self.args.json {
            return report::json_line(&mut self.out, &reply_json(reply));
        }
        if self.args.quiet {
            return Ok(());
        }
        if self.args.flood {
            write!(self.out, "\u{8} \u{8}")?;
            return self.out.flush();
        }
        let mut line = reply_text(reply, self.args.dest.zone.as_deref());
        if !reply.options.is_empty() && *reply.options == *self.last_route {
            line.push_str("\t(same route)");
        } else {
            line.push_str(&recorded(&reply.options));
            // Times differ from one answer to the next; a way is worth naming once.
            if self.args.record_route {
                self.last_route = reply.options.to_vec();
            }
        }
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }

    fn fail(&mut self, seq: u16, error: &SocketError) -> io::Result<()> {
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
        let (stats, rtt) = (self.pinger.stats(), self.pinger.rtt());
        let time = now - self.pinger.started();
        if self.args.json {
            let line = summary_json(&self.args.dest, stats, rtt, time);
            report::json_line(&mut self.out, &line)?;
        } else {
            let dest = &self.args.dest;
            writeln!(self.out, "\n--- {dest} ping statistics ---")?;
            writeln!(self.out, "{}", summary_text(stats, rtt, time))?;
            self.out.flush()?;
        }
        let wanted = match (self.args.count, self.args.deadline) {
            (Some(n), Some(_)) => n,
            _ => 1,
        };
        Ok(u8::from(stats.received < wanted))
    }
}

/// What `args` ask for.
fn config(args: &Args) -> Config {
    let usual = match args.flood {
        true => FLOOD_INTERVAL,
        false => Duration::from_secs(1),
    };
    Config {
        count: args.count,
        interval: args.interval.unwrap_or(usual),
        flood: args.flood && args.interval.is_none(),
        size: usize::from(args.size),
        timeout: args.timeout,
        deadline: args.deadline,
        ttl: args.ttl,
        tos: args.tos,
        broadcast: args.broadcast,
        path_mtu: match args.pmtu {
            Discover::Do => PathMtu::Require,
            Discover::Want => PathMtu::Want,
            Discover::Dont => PathMtu::Off,
            Discover::Probe => PathMtu::Probe,
        },
        options: options(args),
        ..Config::new(args.dest.addr)
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

fn reply_text(reply: &Reply, zone: Option<&str>) -> String {
    let Reply {
        bytes, seq, ttl, ..
    } = reply;
    let (addr, zone) = (reply.from, zone.map(str::to_owned));
    let zone = zone.filter(|_| is_link_local(addr));
    let from = Target { addr, zone };
    let time = Millis(reply.rtt);
    let mut line = format!("{bytes} bytes from {from}: icmp_seq={seq} ttl={ttl} time={time} ms");
    if reply.duplicate {
        line.push_str(" (DUP!)");
    }
    if reply.altered {
        line.push_str(" (different data)");
    }
    line
}

fn reply_json(reply: &Reply) -> serde_json::Value {
    let mut value = json!({
        "event": "reply", "seq": reply.seq, "from": reply.from.to_string(),
        "bytes": reply.bytes, "ttl": reply.ttl, "ms": millis(reply.rtt),
        "duplicate": reply.duplicate, "altered": reply.altered,
    });
    for item in Options::new(&reply.options).flatten() {
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

/// Percent of requests without a reply.
#[expect(clippy::cast_precision_loss, reason = "a percentage needs no 52 bits")]
fn loss(stats: Stats) -> f64 {
    let lost = stats.sent.saturating_sub(stats.received);
    match stats.sent {
        0 => 0.0,
        all => lost as f64 * 100.0 / all as f64,
    }
}

fn summary_text(stats: Stats, rtt: &Delays, time: Duration) -> String {
    let mut text = format!(
        "{} packets transmitted, {} received",
        stats.sent, stats.received
    );
    for (n, what) in [(stats.duplicates, "duplicates"), (stats.errors, "errors")] {
        if n > 0 {
            let _ = write!(text, ", +{n} {what}");
        }
    }
    let loss = format!("{:.4}", loss(stats));
    let loss = loss.trim_end_matches('0').trim_end_matches('.');
    let _ = write!(text, ", {loss}% packet loss, time {}ms", time.as_millis());
    if stats.received > 0 {
        let [min, avg, max, mdev] = times(rtt);
        let _ = write!(
            text,
            "\nrtt min/avg/max/mdev = {min:.3}/{avg:.3}/{max:.3}/{mdev:.3} ms"
        );
    }
    text
}

fn summary_json(dest: &Target, stats: Stats, rtt: &Delays, time: Duration) -> serde_json::Value {
    let [min, avg, max, mdev] = times(rtt);
    let rtt = json!({"min": min, "avg": avg, "max": max, "mdev": mdev});
    let rtt = (stats.received > 0).then_some(rtt);
    json!({
        "event": "summary", "dest": dest.to_string(), "transmitted": stats.sent,
        "received": stats.received, "duplicates": stats.duplicates, "errors": stats.errors,
        "loss_percent": loss(stats), "ms": millis(time), "rtt_ms": rtt,
    })
}

/// Shortest, mean, longest and deviation, in milliseconds.
fn times(rtt: &Delays) -> [f64; 4] {
    [rtt.min(), rtt.mean(), rtt.max(), rtt.deviation()].map(millis)
}

#[cfg(test)]
mod tests {
    use super::super::attach::simulated;
    use super::*;

    fn args(line: &str) -> Result<Args, String> {
        simulated::args("ping", line).map_err(|e| e.to_string())
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
    fn over_ipv6() {
        let six = || {
            vec![
                simulated::host(1, &["fd07::2/64"], &[]),
                simulated::host(2, &["fd07::1/64"], &[]),
            ]
        };
        let (out, code) = ping("-c 2 -i 0.5 fd07::1", six());
        let [first, reply, ..] = out.lines().collect::<Vec<_>>()[..] else {
            panic!("{out}");
        };
        assert_eq!(first, "PING fd07::1 (fd07::1) 56 data bytes");
        let want = "64 bytes from fd07::1: icmp_seq=1 ttl=64 time=";
        assert!(reply.starts_with(want), "{out}");
        assert_eq!(code, 0);
        let (out, code) = ping("-c 1 fd07::9", six());
        let want = "From fd07::2 icmp_seq=1 Destination Host Unreachable\n";
        assert!(out.contains(want) && code == 1, "{out}");
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
    fn a_second_answer_and_other_data_are_marked() {
        let reply = |duplicate, altered| Reply {
            seq: 1,
            from: Ipv4Addr::new(10, 7, 0, 1).into(),
            rtt: Duration::from_micros(45),
            ttl: 64,
            bytes: 8,
            duplicate,
            altered,
            options: bytes::Bytes::new(),
        };
        let line = "8 bytes from 10.7.0.1: icmp_seq=1 ttl=64 time=0.045 ms";
        assert_eq!(reply_text(&reply(false, false), None), line);
        let want = format!("{line} (DUP!) (different data)");
        assert_eq!(reply_text(&reply(true, true), None), want);
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
            ("-s 65508 fd07::1", "65508 is not in"),
        ] {
            let e = args(line).unwrap_err();
            assert!(e.contains(want), "{line}: {e}");
        }
    }

    #[test]
    fn losses_are_said_as_briefly_as_they_are() {
        for (sent, received, want) in [
            (3, 2, "33.3333%"),
            (4, 3, "25%"),
            (10, 0, "100%"),
            (0, 0, "0%"),
            (1000, 999, "0.1%"),
        ] {
            let stats = Stats {
                sent,
                received,
                ..Stats::default()
            };
            let text = summary_text(stats, &Delays::default(), Duration::ZERO);
            assert!(text.contains(&format!(", {want} packet loss")), "{text}");
        }
    }
}
