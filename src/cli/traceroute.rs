//! `traceroute`: the routers on the way, by whom each time to live runs out.
//!
//! ```text
//!   Args --> endpoint::traceroute::Traceroute --Outcome--> a line for each hop
//! ```
//!
//! Read first: [`traceroute`](crate::endpoint::traceroute).
//!
//! Left out: names (there is no resolver yet, so `-n` holds in any case).

use super::Failure;
use super::attach::{self, Attach, Target};
use super::family::Family;
use super::report::{self, millis};
use crate::endpoint::Endpoint as _;
use crate::endpoint::traceroute::{Config, End, Outcome, Probe, State, Traceroute};
use crate::runtime::Next;
use serde_json::json;
use stack::host::Host;
use stack::time::{Duration, Instant};
use stack::transport::ErrorKind;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  tapline traceroute 10.7.0.1             # one hop: the kernel beside the host
  tapline traceroute -6 fd07::1           # the same over IPv6, which the address alone says too
  tapline traceroute --raw veth0 --address 10.1.0.9/24 --gateway 10.1.0.1 10.3.0.1
  tapline traceroute -I -q 1 --json --raw veth0 --address 10.1.0.9/24 10.1.0.1";

/// IP and UDP (or ICMP) headers of a probe.
const fn headers(dest: IpAddr) -> usize {
    match dest {
        IpAddr::V4(_) => 28,
        IpAddr::V6(_) => 48,
    }
}

/// The routers on the way to a host.
///
/// Exits 0 if the destination answered, 1 if it never did.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where to.
    #[arg(value_parser = attach::destination)]
    dest: Target,

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
    family: Family,

    #[command(flatten)]
    attach: Attach,
}

/// Runs the verb.
///
/// # Errors
/// Exit code 2 where there is no way, 3 with a remedy where the machine lacks something.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    args.family.agrees(args.dest.addr)?;
    let mut trace = Trace::new(args.clone(), io::stdout().lock())?;
    let mut attached = args.attach.open_to(args.dest.addr)?;
    let code = attached
        .driver
        .run(|host, now, wake| trace.turn(host, now, wake.stop))??;
    Ok(ExitCode::from(code))
}

/// A trace under way, and where it is told.
struct Trace<W> {
    args: Args,
    out: W,
    machine: Traceroute,
    begun: bool,
}

impl<W: Write> Trace<W> {
    fn new(args: Args, out: W) -> Result<Self, Failure> {
        if args.first > args.max_hops {
            return Err(Failure::usage("-f is beyond -m: there is no hop to probe"));
        }
        let config = config(&args);
        let last = config.last_port();
        if !args.icmp && last > u32::from(u16::MAX) {
            return Err(Failure::usage(format!(
                "the last probe would go to port {last}: choose a lower -p, -m or -q"
            )));
        }
        Ok(Self {
            machine: Traceroute::new(config),
            args,
            out,
            begun: false,
        })
    }

    fn turn(&mut self, host: &mut Host, now: Instant, stop: bool) -> Next<Result<u8, Failure>> {
        match self.step(host, now, stop) {
            Ok(None) => ControlFlow::Continue(self.machine.poll_timeout()),
            Ok(Some(code)) => ControlFlow::Break(Ok(code)),
            Err(failure) => ControlFlow::Break(Err(failure)),
        }
    }

    fn step(&mut self, host: &mut Host, now: Instant, stop: bool) -> Result<Option<u8>, Failure> {
        if !self.begun {
            self.begin(host, now)?;
        }
        attach::pass_events(host);
        self.machine.hear(now, host);
        self.machine.handle_timeout(now, host);
        let mut done = stop;
        while let Some(outcome) = self.machine.poll_outcome() {
            match outcome {
                Outcome::Hop { ttl, probes } => self.show(ttl, &probes),
                Outcome::Done { reached, hops } => {
                    done = true;
                    self.summary(reached, hops)
                }
                Outcome::Refused(error) => {
                    return Err(attach::cannot_send(&self.args.dest, error));
                }
            }
            .map_err(report::untold)?;
        }
        Ok(done.then(|| u8::from(!self.machine.reached())))
    }

    fn begin(&mut self, host: &mut Host, now: Instant) -> Result<(), Failure> {
        self.begun = true;
        let zone = self.args.dest.zone(host)?;
        self.machine = Traceroute::new(Config {
            zone,
            ..config(&self.args)
        });
        let started = self.machine.start(now, host);
        started.map_err(|e| Failure::usage(e.to_string()))?;
        if self.args.json {
            return Ok(());
        }
        let Args {
            dest,
            max_hops,
            size,
            ..
        } = &self.args;
        let line =
            format!("traceroute to {dest} ({dest}), {max_hops} hops max, {size} byte packets");
        writeln!(self.out, "{line}")
            .and_then(|()| self.out.flush())
            .map_err(report::untold)
    }

    fn show(&mut self, ttl: usize, hop: &[Probe]) -> io::Result<()> {
        if self.args.json {
            return report::json_line(&mut self.out, &json_hop(ttl, hop));
        }
        writeln!(self.out, "{}", text_hop(ttl, hop))?;
        self.out.flush()
    }

    fn summary(&mut self, reached: bool, hops: usize) -> io::Result<()> {
        if !self.args.json {
            return Ok(());
        }
        let line = json!({
            "event": "summary", "dest": self.args.dest.to_string(),
            "reached": reached, "hops": hops,
        });
        report::json_line(&mut self.out, &line)
    }
}

/// What `args` ask for.
fn config(args: &Args) -> Config {
    Config {
        icmp: args.icmp,
        size: usize::from(args.size).saturating_sub(headers(args.dest.addr)),
        first: args.first,
        max_hops: args.max_hops,
        queries: args.queries,
        parallel: args.parallel,
        wait: args.wait,
        pause: args.pause,
        port: args.port,
        dont_fragment: args.dont_fragment,
        ..Config::new(args.dest.addr)
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
    use stack::machine::Port;
    use stack::net::route::{Route, RouteKind};
    use std::net::Ipv4Addr;

    fn trace(line: &str, mut hosts: Vec<Host>) -> (String, Result<u8, Failure>) {
        let args: Args = simulated::args("traceroute", line).unwrap();
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
