//! `traceroute`: the routers on the way, by whom each time to live runs out.
//!
//! ```text
//!   probes  ttl 1 1 1 2 2 2 3 3 3 ...   at most -N under way, each told apart by UDP port or seq
//!   answer  time exceeded -> a router      port unreachable, echo reply, datagram -> the destination
//! ```
//!
//! Read first: RFC 792 (time exceeded, unreachable), RFC 1812 §5.3.1.
//!
//! A probe that waits while others of its hop, or later hops, have long been answered is given up
//! before its time: else one silent router costs every trace the full wait.
//!
//! Left out: names (there is no resolver yet, so `-n` holds in any case); TCP probes.

use super::Failure;
use super::attach::{self, Attach};
use super::report::{self, millis};
use crate::runtime::Next;
use bytes::Bytes;
use serde_json::json;
use stack::frame::Payload;
use stack::host::{BindError, Host, RawHandle, SendError, UdpHandle};
use stack::time::{Duration, Instant, earliest};
use stack::transport::udp::{Options, PathMtu};
use stack::transport::{ErrorKind, SocketError};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  tapline traceroute 10.7.0.1             # one hop: the kernel beside the host
  tapline traceroute --raw veth0 --address 10.1.0.9/24 --gateway 10.1.0.1 10.3.0.1
  tapline traceroute -I -q 1 --json --raw veth0 --address 10.1.0.9/24 10.1.0.1";

/// IP and UDP (or ICMP) headers of a probe.
const HEADERS: usize = 28;
/// How many times longer than an answer of its own hop a probe is waited for, and than one of a
/// later hop: a router that answers at all answers about as fast as its neighbours.
const PATIENCE_HERE: u32 = 3;
const PATIENCE_NEAR: u32 = 10;
/// But never shorter than this: queues and rate limits are not the path.
const PATIENCE_MIN: Duration = Duration::from_millis(250);

/// The routers on the way to a host.
///
/// Exits 0 if the destination answered, 1 if it never did.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where to.
    #[arg(value_parser = attach::destination)]
    dest: Ipv4Addr,

    /// Size of the probes with their headers.
    #[arg(value_name = "BYTES", default_value_t = 60, value_parser = clap::value_parser!(u16).range(28..))]
    size: u16,

    /// Probe with ICMP echo requests instead of UDP.
    #[arg(short = 'I', long)]
    icmp: bool,

    /// Addresses only; holds in any case, since there is no resolver yet.
    #[arg(short)]
    n: bool,

    /// First time to live.
    #[arg(short, long, value_name = "TTL", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    first: u8,

    /// Last time to live.
    #[arg(short, long, value_name = "TTL", default_value_t = 30, value_parser = clap::value_parser!(u8).range(1..))]
    max_hops: u8,

    /// Probes for each hop.
    #[arg(short, long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=10))]
    queries: u8,

    /// Probes under way at a time, 16 at most: so many errors a socket keeps.
    #[arg(short = 'N', long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..=16))]
    parallel: u8,

    /// Seconds to wait for an answer at most.
    #[arg(short, long, value_name = "S", default_value = "5", value_parser = report::seconds)]
    wait: Duration,

    /// Seconds between probes.
    #[arg(short = 'z', long, value_name = "S", default_value = "0", value_parser = report::seconds)]
    pause: Duration,

    /// UDP port of the first probe; each next one has the next.
    #[arg(short, long, value_name = "PORT", default_value_t = 33434)]
    port: u16,

    /// Forbid to fragment the probes.
    #[arg(short = 'F', long)]
    dont_fragment: bool,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    attach: Attach,
}

/// Runs the verb.
///
/// # Errors
/// Exit code 2 where there is no way, 3 with a remedy where the machine lacks something.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut trace = Trace::new(args.clone(), io::stdout().lock())?;
    let mut attached = args.attach.open()?;
    let code = attached
        .driver
        .run(|host, now, wake| trace.turn(host, now, wake.stop))??;
    Ok(ExitCode::from(code))
}

/// A way of probing: where the probes go out and their answers come in.
#[derive(Clone, Copy, Debug)]
enum Prober {
    Udp(UdpHandle),
    Echo(RawHandle),
}

/// One probe.
#[derive(Clone, Copy, Debug)]
struct Probe {
    sent: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Waiting,
    Answered {
        from: IpAddr,
        rtt: Duration,
        /// `None`: its time to live ran out. Else how this ends the trace.
        end: Option<End>,
    },
    Silent,
}

/// How an answer ends the trace.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// The destination itself answered.
    Reached,
    /// Somebody said that there is no further.
    Refused(ErrorKind, u8),
}

/// A trace under way.
struct Trace<W> {
    args: Args,
    out: W,
    data: Bytes,
    prober: Option<Prober>,
    /// In the order they were sent: `queries` of each hop.
    probes: Vec<Probe>,
    next_at: Instant,
    /// Hops that have been shown.
    shown: usize,
    reached: bool,
}

impl<W: Write> Trace<W> {
    fn new(args: Args, out: W) -> Result<Self, Failure> {
        if args.first > args.max_hops {
            return Err(Failure::usage("-f is beyond -m: there is no hop to probe"));
        }
        let hops = u32::from(args.max_hops - args.first) + 1;
        let last = u32::from(args.port) + hops * u32::from(args.queries) - 1;
        if !args.icmp && last > u32::from(u16::MAX) {
            return Err(Failure::usage(format!(
                "the last probe would go to port {last}: choose a lower -p, -m or -q"
            )));
        }
        let len = usize::from(args.size) - HEADERS;
        Ok(Self {
            data: (b'@'..=b'_').cycle().take(len).collect(),
            args,
            out,
            prober: None,
            probes: Vec::new(),
            next_at: Instant::ZERO,
            shown: 0,
            reached: false,
        })
    }

    fn turn(&mut self, host: &mut Host, now: Instant, stop: bool) -> Next<Result<u8, Failure>> {
        match self.step(host, now, stop) {
            Ok(None) => ControlFlow::Continue(self.wake_at()),
            Ok(Some(code)) => ControlFlow::Break(Ok(code)),
            Err(failure) => ControlFlow::Break(Err(failure)),
        }
    }

    fn step(&mut self, host: &mut Host, now: Instant, stop: bool) -> Result<Option<u8>, Failure> {
        let prober = match self.prober {
            Some(prober) => prober,
            None => self.open(host, now)?,
        };
        attach::pass_events(host);
        self.hear(host, prober, now);
        self.give_up(now);
        if self.show().map_err(report::untold)? || stop {
            return Ok(Some(u8::from(!self.reached)));
        }
        while self.may_send(now) {
            if !self.send(host, prober, now)? {
                break;
            }
        }
        Ok(None)
    }

    fn open(&mut self, host: &mut Host, now: Instant) -> Result<Prober, Failure> {
        let refused = |e: BindError| Failure::usage(e.to_string());
        let prober = match self.args.icmp {
            true => Prober::Echo(host.echo_open(0).map_err(refused)?.0),
            false => {
                let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
                Prober::Udp(host.udp_bind(any).map_err(refused)?)
            }
        };
        self.prober = Some(prober);
        self.next_at = now;
        let Args {
            dest,
            max_hops,
            size,
            ..
        } = self.args;
        if !self.args.json {
            let line =
                format!("traceroute to {dest} ({dest}), {max_hops} hops max, {size} byte packets");
            writeln!(self.out, "{line}")
                .and_then(|()| self.out.flush())
                .map_err(report::untold)?;
        }
        Ok(prober)
    }

    fn options<'h>(&self, host: &'h mut Host, prober: Prober) -> Option<&'h mut Options> {
        match prober {
            Prober::Udp(handle) => host.udp_options(handle),
            Prober::Echo(handle) => host.raw_options(handle),
        }
    }

    /// Probes in all, unless an answer ends it before.
    fn planned(&self) -> usize {
        let hops = usize::from(self.args.max_hops - self.args.first) + 1;
        hops * usize::from(self.args.queries)
    }

    fn may_send(&self, now: Instant) -> bool {
        let waiting = self.probes.iter().filter(|p| p.state == State::Waiting);
        // Once an answer ends it, only the hops up to there are of interest.
        let ends = self.probes.iter().position(|p| self.ends(p));
        let queries = usize::from(self.args.queries);
        let planned = ends.map_or(self.planned(), |i| (i / queries + 1) * queries);
        self.probes.len() < planned
            && waiting.count() < usize::from(self.args.parallel)
            && self.next_at <= now
    }

    fn ends(&self, probe: &Probe) -> bool {
        matches!(probe.state, State::Answered { end: Some(_), .. })
    }

    /// Sends the next probe; false where it must wait for room.
    fn send(&mut self, host: &mut Host, prober: Prober, now: Instant) -> Result<bool, Failure> {
        let n = u16::try_from(self.probes.len()).unwrap_or(u16::MAX);
        let hop = n / u16::from(self.args.queries) + u16::from(self.args.first);
        if let Some(options) = self.options(host, prober) {
            options.ttl = u8::try_from(hop).unwrap_or(u8::MAX);
            options.path_mtu = match self.args.dont_fragment {
                true => PathMtu::Probe,
                false => PathMtu::Off,
            };
        }
        let data = Payload::from(self.data.clone());
        let dest = self.args.dest;
        let sent = match prober {
            Prober::Udp(handle) => {
                let to = SocketAddr::new(IpAddr::V4(dest), self.args.port.saturating_add(n));
                host.udp_send(now, handle, data, Some(to))
            }
            Prober::Echo(handle) => host.echo_send(now, handle, dest, n + 1, data, &[]),
        };
        match sent {
            Ok(()) => {}
            Err(SendError::WouldBlock) => return Ok(false),
            Err(e) => return Err(attach::cannot_send(dest, e)),
        }
        self.probes.push(Probe {
            sent: now,
            state: State::Waiting,
        });
        self.next_at = now + self.args.pause;
        Ok(true)
    }

    fn hear(&mut self, host: &mut Host, prober: Prober, now: Instant) {
        match prober {
            Prober::Udp(handle) => {
                while let Some(datagram) = host.udp_recv(handle) {
                    let n = datagram.from.port().wrapping_sub(self.args.port);
                    self.answer(n, datagram.from.ip(), Some(End::Reached), now);
                }
                while let Some(error) = host.udp_take_error(handle) {
                    let n = error.to.port().wrapping_sub(self.args.port);
                    self.answer(n, error.offender, self.end_of(&error), now);
                }
            }
            Prober::Echo(handle) => {
                while let Some(packet) = host.raw_recv(handle) {
                    let message = packet.payload.to_bytes();
                    if let Some([_, _, _, _, _, _, a, b]) = message.first_chunk::<8>() {
                        let n = u16::from_be_bytes([*a, *b]).wrapping_sub(1);
                        self.answer(n, packet.from, Some(End::Reached), now);
                    }
                }
                while let Some(error) = host.raw_take_error(handle) {
                    let n = error.to.port().wrapping_sub(1);
                    self.answer(n, error.offender, self.end_of(&error), now);
                }
            }
        }
    }

    fn end_of(&self, error: &SocketError) -> Option<End> {
        let from_dest = error.offender == IpAddr::V4(self.args.dest);
        match error.kind {
            ErrorKind::TtlExpired => None,
            ErrorKind::PortUnreachable if from_dest => Some(End::Reached),
            kind => Some(End::Refused(kind, error.icmp_code)),
        }
    }

    fn answer(&mut self, n: u16, from: IpAddr, end: Option<End>, now: Instant) {
        let Some(probe) = self.probes.get_mut(usize::from(n)) else {
            return;
        };
        if probe.state == State::Waiting {
            probe.state = State::Answered {
                from,
                rtt: now - probe.sent,
                end,
            };
        }
    }

    /// Until when probe `i` is waited for.
    fn patience(&self, i: usize) -> Instant {
        let queries = usize::from(self.args.queries);
        let hop = i / queries;
        let answered = |probes: &[Probe]| -> Option<Duration> {
            let rtts = probes.iter().filter_map(|p| match p.state {
                State::Answered { rtt, .. } => Some(rtt),
                _ => None,
            });
            rtts.max()
        };
        let split = ((hop + 1) * queries).min(self.probes.len());
        let here = answered(self.probes.get(hop * queries..split).unwrap_or_default());
        let later = answered(self.probes.get(split..).unwrap_or_default());
        let expected = match (here, later) {
            (Some(rtt), _) => Some(rtt * PATIENCE_HERE),
            (None, Some(rtt)) => Some(rtt * PATIENCE_NEAR),
            (None, None) => None,
        };
        let wait = expected.map_or(self.args.wait, |e| e.max(PATIENCE_MIN).min(self.args.wait));
        self.probes.get(i).map_or(Instant::ZERO, |p| p.sent + wait)
    }

    fn give_up(&mut self, now: Instant) {
        let late = |i: &usize| {
            self.probes
                .get(*i)
                .is_some_and(|p| p.state == State::Waiting)
                && self.patience(*i) <= now
        };
        let late: Vec<usize> = (0..self.probes.len()).filter(late).collect();
        for i in late {
            if let Some(probe) = self.probes.get_mut(i) {
                probe.state = State::Silent;
            }
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        let waiting = (0..self.probes.len())
            .filter(|i| {
                self.probes
                    .get(*i)
                    .is_some_and(|p| p.state == State::Waiting)
            })
            .map(|i| self.patience(i))
            .min();
        let paused = self.probes.len() < self.planned() && !self.args.pause.is_zero();
        earliest(waiting, paused.then_some(self.next_at))
    }

    /// Shows the hops that are complete, in order; whether that was the last.
    fn show(&mut self) -> io::Result<bool> {
        let queries = usize::from(self.args.queries);
        loop {
            let from = self.shown * queries;
            let Some(hop) = self.probes.get(from..from + queries) else {
                return Ok(from >= self.planned());
            };
            if hop.iter().any(|p| p.state == State::Waiting) {
                return Ok(false);
            }
            let ttl = self.shown + usize::from(self.args.first);
            let ended = hop.iter().any(|p| self.ends(p));
            self.reached |= hop.iter().any(|p| {
                matches!(
                    p.state,
                    State::Answered {
                        end: Some(End::Reached),
                        ..
                    }
                )
            });
            if self.args.json {
                let line = json_hop(ttl, hop);
                report::json_line(&mut self.out, &line)?;
            } else {
                let line = text_hop(ttl, hop);
                writeln!(self.out, "{line}")?;
                self.out.flush()?;
            }
            self.shown += 1;
            let all = self.shown * queries >= self.planned();
            if ended || all {
                if self.args.json {
                    let line = json!({
                        "event": "summary", "dest": self.args.dest.to_string(),
                        "reached": self.reached, "hops": ttl,
                    });
                    report::json_line(&mut self.out, &line)?;
                }
                return Ok(true);
            }
        }
    }
}

/// A hop: each address once, before the first of its times.
fn text_hop(ttl: usize, hop: &[Probe]) -> String {
    let mut line = format!("{ttl:2} ");
    let mut last = None;
    for probe in hop {
        let State::Answered { from, rtt, end } = probe.state else {
            line.push_str(" *");
            continue;
        };
        if last != Some(from) {
            let _ = write!(line, " {from}");
            last = Some(from);
        }
        let _ = write!(line, "  {:.3} ms", millis(rtt));
        if let Some(End::Refused(kind, code)) = end {
            let _ = write!(line, " {}", mark(kind, code));
        }
    }
    line
}

fn json_hop(ttl: usize, hop: &[Probe]) -> serde_json::Value {
    let probes = hop.iter().map(|probe| match probe.state {
        State::Answered { from, rtt, end } => {
            let note = match end {
                Some(End::Refused(kind, code)) => Some(mark(kind, code)),
                _ => None,
            };
            json!({"from": from.to_string(), "ms": millis(rtt), "note": note})
        }
        _ => serde_json::Value::Null,
    });
    json!({"event": "hop", "ttl": ttl, "probes": probes.collect::<Vec<_>>()})
}

/// What an unreachable is marked with.
fn mark(kind: ErrorKind, code: u8) -> String {
    match kind {
        ErrorKind::NetUnreachable => "!N".to_owned(),
        ErrorKind::HostUnreachable => "!H".to_owned(),
        ErrorKind::ProtocolUnreachable => "!P".to_owned(),
        ErrorKind::PacketTooBig { mtu } => format!("!F-{mtu}"),
        ErrorKind::Prohibited if code == 13 => "!X".to_owned(),
        _ => format!("!<{code}>"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::attach::simulated;
    use super::*;
    use clap::Parser as _;
    use stack::machine::Port;
    use stack::net::route::{Route, RouteKind};

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn trace(line: &str, mut hosts: Vec<Host>) -> (String, Result<u8, Failure>) {
        let words = std::iter::once("traceroute").chain(line.split_whitespace());
        let args = Line::try_parse_from(words).unwrap().args;
        let mut trace = match Trace::new(args, Vec::new()) {
            Ok(trace) => trace,
            Err(failure) => return (String::new(), Err(failure)),
        };
        let (code, _) = simulated::run(&mut hosts, |h, now| trace.turn(h, now, false));
        (String::from_utf8(trace.out).unwrap(), code)
    }

    /// 10.0.0.1 -- router -- router -- 10.3.0.1 with links 10.1, 10.2; the last has an MTU of 1000.
    fn row() -> Vec<Host> {
        let mut hosts = vec![
            simulated::host(1, &["10.1.0.1/24"], &[]),
            simulated::host(2, &["10.1.0.2/24", "10.2.0.1/24"], &[]),
            simulated::host(3, &["10.2.0.2/24", "10.3.0.2/24"], &[1500, 1000]),
            simulated::host(4, &["10.3.0.1/24"], &[1000]),
        ];
        let ways = [
            (0, "0.0.0.0/0", "10.1.0.2", 0),
            (1, "10.3.0.0/24", "10.2.0.2", 1),
            (2, "10.1.0.0/24", "10.2.0.1", 0),
            (3, "0.0.0.0/0", "10.3.0.2", 0),
        ];
        for (host, to, via, port) in ways {
            let route = Route::via(to.parse().unwrap(), via.parse().unwrap(), Port(port));
            hosts[host].add_route(route).unwrap();
        }
        hosts
    }

    #[test]
    fn names_each_hop_by_udp_and_icmp() {
        for probes in ["-N 1", "-I -N 1"] {
            let (out, code) = trace(&format!("{probes} 10.3.0.1"), row());
            // The first probe of each hop waits for ARP on the way.
            assert_eq!(
                out,
                "traceroute to 10.3.0.1 (10.3.0.1), 30 hops max, 60 byte packets\n \
                 1  10.1.0.2  3.000 ms  2.000 ms  2.000 ms\n \
                 2  10.2.0.2  6.000 ms  4.000 ms  4.000 ms\n \
                 3  10.3.0.1  8.000 ms  6.000 ms  6.000 ms\n"
            );
            assert_eq!(code.unwrap(), 0);
        }
    }

    #[test]
    fn many_at_a_time_say_the_same() {
        let (out, code) = trace("-q 2 10.3.0.1", row());
        let hops: Vec<&str> = out
            .lines()
            .skip(1)
            .map(|l| l.split("  ").nth(1).unwrap())
            .collect();
        assert_eq!(hops, ["10.1.0.2", "10.2.0.2", "10.3.0.1"], "{out}");
        assert_eq!(code.unwrap(), 0);
    }

    #[test]
    fn what_ends_it_early_is_marked() {
        let mut hosts = row();
        let route = Route {
            kind: RouteKind::Prohibited,
            ..Route::on_link("10.9.0.0/24".parse().unwrap(), Port(1))
        };
        hosts[1].add_route(route).unwrap();
        for (line, want) in [
            ("-N 1 -q 1 10.8.0.1", "10.1.0.2  2.000 ms !N\n"),
            ("-N 1 -q 1 10.9.0.1", "10.1.0.2  2.000 ms !X\n"),
            ("-N 1 -q 1 -F 10.3.0.1 1200", " ms !F-1000\n"),
        ] {
            let (out, code) = trace(line, hosts.clone());
            assert!(out.ends_with(want), "{line}\n{out}");
            assert_eq!(code.unwrap(), 1);
        }
        let (out, _) = trace("-q 1 10.1.0.9", hosts);
        assert!(
            out.contains("10.1.0.1  ") && out.ends_with(" ms !H\n"),
            "{out}"
        );
    }

    #[test]
    fn silence_is_a_star_and_ends_with_the_last_hop() {
        let mut hosts = row();
        let lost = Route {
            kind: RouteKind::Blackhole,
            ..Route::on_link("10.9.0.0/24".parse().unwrap(), Port(1))
        };
        hosts[1].add_route(lost).unwrap();
        let (out, code) = trace("-q 2 -m 3 -w 1 10.9.0.1", hosts);
        assert!(out.contains(" 1  10.1.0.2  "), "{out}");
        assert!(out.ends_with("\n 2  * *\n 3  * *\n"), "{out}");
        assert_eq!(code.unwrap(), 1);
    }

    #[test]
    fn json_says_the_same() {
        let (out, _) = trace("--json -q 1 10.3.0.1", row());
        let lines: Vec<serde_json::Value> = out
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(lines[1]["probes"][0]["from"], "10.2.0.2");
        assert_eq!(
            (&lines[3]["reached"], &lines[3]["hops"]),
            (&true.into(), &3.into())
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (line, want) in [
            ("-f 9 -m 3 10.0.0.1", "beyond -m"),
            ("-p 65500 10.0.0.1", "port 65589"),
        ] {
            let (_, code) = trace(line, row());
            let failure = code.unwrap_err();
            assert!(
                failure.code == 2 && failure.message.contains(want),
                "{failure}"
            );
        }
    }

    #[test]
    fn a_hop_shows_an_address_once_and_again_where_it_changes() {
        let answered = |last, ms| Probe {
            sent: Instant::ZERO,
            state: State::Answered {
                from: Ipv4Addr::new(10, 0, 0, last).into(),
                rtt: Duration::from_millis(ms),
                end: None,
            },
        };
        let silent = Probe {
            sent: Instant::ZERO,
            state: State::Silent,
        };
        let hop = [answered(1, 5), silent, answered(1, 6), answered(2, 7)];
        assert_eq!(
            text_hop(7, &hop),
            " 7  10.0.0.1  5.000 ms *  6.000 ms 10.0.0.2  7.000 ms"
        );
    }
}
