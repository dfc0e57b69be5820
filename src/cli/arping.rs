//! `arping`: who has an address on this link, asked by ARP itself.
//!
//! ```text
//!   arping DEST      request from our address     a reply: it is there
//!   arping -D DEST   probe from 0.0.0.0           silence: it is free      (RFC 5227 §2.1.1)
//!   arping -U DEST   announcement                 nobody needs to answer   (RFC 5227 §2.3)
//! ```
//!
//! Read first: RFC 826; RFC 5227 §1.1 and §2.

use super::Failure;
use super::attach::{self, Attach};
use super::report::{self, millis};
use crate::runtime::Next;
use serde_json::json;
use stack::host::{AskError, Event, Host};
use stack::time::{Duration, Instant, earliest};
use stack::wire::MacAddr;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  tapline arping -c 3 10.7.0.1            # the kernel's MAC, and how fast it answers
  tapline arping -D -c 2 10.7.0.9         # is that address free? exits 0 if so
  tapline arping --raw veth0 --address 10.1.0.9/24 10.1.0.1
  tapline arping -U --raw veth0 10.1.0.9  # tell everyone where 10.1.0.9 is";

/// After the last request, so long for its answer.
const LINGER: Duration = Duration::from_secs(1);

/// ARP requests for an address, with who answers.
///
/// Exits 0 if there was an answer, 1 if none; with -D 0 if the address is free, 1 if it is taken;
/// with -U 0.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The address.
    #[arg(value_parser = of_ipv4)]
    dest: Ipv4Addr,

    /// Stop after this many requests.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Seconds after which to end in any case.
    #[arg(short = 'w', long, value_name = "S", value_parser = report::seconds)]
    deadline: Option<Duration>,

    /// Seconds between requests.
    #[arg(short, long, value_name = "S", default_value = "1", value_parser = report::seconds)]
    interval: Duration,

    /// Is the address taken? Probes without an address of our own; ends with the first answer,
    /// or after three probes where -c does not say.
    #[arg(short = 'D', long)]
    duplicate: bool,

    /// Announce that the address is ours, instead of asking for it.
    #[arg(short = 'U', long, conflicts_with = "duplicate")]
    announce: bool,

    /// End with the first answer.
    #[arg(short, long)]
    first: bool,

    /// Only the summary.
    #[arg(short, long)]
    quiet: bool,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    attach: Attach,
}

fn of_ipv4(text: &str) -> Result<Ipv4Addr, String> {
    match attach::destination(text)?.addr {
        IpAddr::V4(addr) => Ok(addr),
        IpAddr::V6(_) => Err("ARP finds IPv4 addresses alone: `ping` it".to_owned()),
    }
}

/// RFC 5227 §1.1, PROBE_NUM.
const PROBE_NUM: u64 = 3;

/// Runs the verb.
///
/// # Errors
/// Exit code 2 where there is nothing to ask from, 3 with a remedy where the machine lacks
/// something.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    // A host that held the address would answer for it, or announce it by itself.
    let hold = !args.duplicate && !args.announce;
    let mut attached = args.attach.open_with(hold)?;
    let at = (attached.interface, attached.name.clone());
    let mut arping = Arping::new(args.clone(), at, io::stdout().lock());
    let code = attached
        .driver
        .run(|host, now, wake| arping.turn(host, now, wake.stop))??;
    Ok(ExitCode::from(code))
}

/// A run of requests.
struct Arping<W> {
    args: Args,
    interface: u16,
    name: String,
    out: W,
    started: Option<Instant>,
    next_at: Instant,
    last_sent: Instant,
    sent: u64,
    received: u64,
    /// The last request has been answered.
    answered: bool,
}

impl<W: Write> Arping<W> {
    fn new(args: Args, (interface, name): (u16, String), out: W) -> Self {
        Self {
            args,
            interface,
            name,
            out,
            started: None,
            next_at: Instant::ZERO,
            last_sent: Instant::ZERO,
            sent: 0,
            received: 0,
            answered: false,
        }
    }

    fn turn(&mut self, host: &mut Host, now: Instant, stop: bool) -> Next<Result<u8, Failure>> {
        match self.step(host, now, stop) {
            Ok(None) => ControlFlow::Continue(self.wake_at()),
            Ok(Some(code)) => ControlFlow::Break(Ok(code)),
            Err(failure) => ControlFlow::Break(Err(failure)),
        }
    }

    fn step(&mut self, host: &mut Host, now: Instant, stop: bool) -> Result<Option<u8>, Failure> {
        if self.started.is_none() {
            self.started = Some(now);
            self.next_at = now;
            self.greet(host).map_err(report::untold)?;
        }
        while let Some(event) = host.poll_event() {
            attach::warn(&event);
            if let Event::ArpReply { mac, broadcast, .. } = event {
                self.hear(now, mac, broadcast).map_err(report::untold)?;
            }
        }
        if stop || self.is_done(now) {
            return self.summary().map(Some).map_err(report::untold);
        }
        if self.has_more() && self.next_at <= now {
            self.send(host, now)?;
        }
        Ok(None)
    }

    fn greet(&mut self, host: &mut Host) -> io::Result<()> {
        if self.args.json {
            return Ok(());
        }
        let from = match self.args.duplicate || self.args.announce {
            true => Some(Ipv4Addr::UNSPECIFIED),
            false => match host.route_to(self.args.dest.into()) {
                Some((_, IpAddr::V4(src))) => Some(src),
                _ => None,
            },
        };
        let from = from.unwrap_or(Ipv4Addr::UNSPECIFIED);
        writeln!(
            self.out,
            "ARPING {} from {from} {}",
            self.args.dest, self.name
        )?;
        self.out.flush()
    }

    fn count(&self) -> Option<u64> {
        let probes = self.args.duplicate.then_some(PROBE_NUM);
        self.args.count.or(probes)
    }

    fn has_more(&self) -> bool {
        self.count().is_none_or(|n| self.sent < n)
    }

    fn is_done(&self, now: Instant) -> bool {
        let started = self.started.unwrap_or(now);
        let enough = self.received > 0 && (self.args.first || self.args.duplicate);
        // Nobody answers an announcement.
        let settled = (self.answered && !self.args.duplicate) || self.args.announce;
        let late = now >= self.last_sent + LINGER;
        enough
            || self.args.deadline.is_some_and(|d| now >= started + d)
            || (!self.has_more() && (settled || late))
    }

    fn wake_at(&self) -> Option<Instant> {
        let next = match (self.has_more(), self.args.announce) {
            (true, _) => self.next_at,
            (false, true) => self.last_sent,
            (false, false) => self.last_sent + LINGER,
        };
        let started = self.started.unwrap_or(Instant::ZERO);
        earliest(Some(next), self.args.deadline.map(|d| started + d))
    }

    fn send(&mut self, host: &mut Host, now: Instant) -> Result<(), Failure> {
        let Args {
            dest,
            duplicate,
            announce,
            ..
        } = self.args;
        let asked = match announce {
            true => host.arp_announce(self.interface, dest),
            false => host.arp_ask(self.interface, dest, duplicate),
        };
        match asked {
            Ok(()) => {}
            // What waits will have left by the next turn.
            Err(AskError::Full) => {
                self.next_at = now + Duration::from_millis(1);
                return Ok(());
            }
            Err(e) => {
                return Err(Failure {
                    remedy: Some("an Ethernet interface: ARP is spoken on no other".to_owned()),
                    ..Failure::usage(format!("{}: {e}", self.name))
                });
            }
        }
        self.sent += 1;
        self.answered = false;
        self.last_sent = now;
        self.next_at = (self.next_at + self.args.interval).max(now);
        Ok(())
    }

    fn hear(&mut self, now: Instant, mac: MacAddr, broadcast: bool) -> io::Result<()> {
        self.received += 1;
        self.answered = true;
        let (dest, rtt) = (IpAddr::V4(self.args.dest), now - self.last_sent);
        if self.args.json {
            let line = json!({
                "event": "reply", "from": dest.to_string(), "mac": mac.to_string(),
                "ms": millis(rtt), "broadcast": broadcast,
            });
            return report::json_line(&mut self.out, &line);
        }
        if self.args.quiet {
            return Ok(());
        }
        let cast = if broadcast { "Broadcast" } else { "Unicast" };
        let time = millis(rtt);
        writeln!(self.out, "{cast} reply from {dest} [{mac}]  {time:.3}ms")?;
        self.out.flush()
    }

    fn summary(&mut self) -> io::Result<u8> {
        let (sent, received) = (self.sent, self.received);
        let taken = received > 0;
        if self.args.json {
            let line = json!({
                "event": "summary", "dest": self.args.dest.to_string(), "sent": sent,
                "received": received, "free": self.args.duplicate.then_some(!taken),
            });
            report::json_line(&mut self.out, &line)?;
        } else {
            let what = if self.args.announce {
                "announcement"
            } else {
                "probe"
            };
            writeln!(self.out, "Sent {sent} {what}{}", plural(sent))?;
            writeln!(self.out, "Received {received} response{}", plural(received))?;
            if self.args.duplicate {
                let verdict = if taken { "is taken" } else { "is free" };
                writeln!(self.out, "{} {verdict}", self.args.dest)?;
            }
            self.out.flush()?;
        }
        Ok(match (self.args.duplicate, self.args.announce) {
            (_, true) => 0,
            (true, _) => u8::from(taken),
            (false, _) => u8::from(!taken),
        })
    }
}

const fn plural(n: u64) -> &'static str {
    if n == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::super::attach::simulated;
    use super::*;

    fn arping(line: &str) -> (String, u8) {
        let args: Args = simulated::args("arping", line).unwrap();
        let ours: &[&str] = match args.duplicate || args.announce {
            true => &[],
            false => &["10.7.0.2/24"],
        };
        let mut hosts = [bare(ours), simulated::host(2, &["10.7.0.1/24"], &[])];
        let mut arping = Arping::new(args, (0, "tap0".to_owned()), Vec::new());
        let (code, _) = simulated::run(&mut hosts, |h, now| arping.turn(h, now, false));
        (String::from_utf8(arping.out).unwrap(), code.unwrap())
    }

    /// A host with one interface, and an address or none.
    fn bare(addresses: &[&str]) -> Host {
        use stack::host::{Config, InterfaceConfig};
        use stack::machine::Port;
        use stack::rng::Rng;
        let mut host = Host::new(Config::default(), Rng::from_seed(7));
        let mut eth = InterfaceConfig::ethernet("tap0", Port(0), MacAddr([2, 0, 0, 0, 0, 7]));
        eth.addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        host.add_interface(Instant::ZERO, eth);
        host
    }

    #[test]
    fn who_is_there_answers() {
        let (out, code) = arping("-c 2 10.7.0.1");
        assert_eq!(
            out,
            "ARPING 10.7.0.1 from 10.7.0.2 tap0\n\
             Unicast reply from 10.7.0.1 [02:00:00:00:02:00]  2.000ms\n\
             Unicast reply from 10.7.0.1 [02:00:00:00:02:00]  2.000ms\n\
             Sent 2 probes\nReceived 2 responses\n"
        );
        assert_eq!(code, 0);
        let (out, code) = arping("-c 1 -w 0.5 10.7.0.9");
        assert!(
            out.ends_with("Sent 1 probe\nReceived 0 responses\n"),
            "{out}"
        );
        assert_eq!(code, 1);
    }

    #[test]
    fn an_address_is_free_or_taken() {
        let (out, code) = arping("-D 10.7.0.1");
        assert!(
            out.ends_with("Sent 1 probe\nReceived 1 response\n10.7.0.1 is taken\n"),
            "{out}"
        );
        assert_eq!(code, 1);
        let (out, code) = arping("-D --json 10.7.0.9");
        let line: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((&line["sent"], &line["free"]), (&3.into(), &true.into()));
        assert_eq!(code, 0);
    }

    #[test]
    fn an_announcement_needs_no_answer() {
        let (out, code) = arping("-U -c 2 10.7.0.7");
        assert!(
            out.ends_with("Sent 2 announcements\nReceived 0 responses\n"),
            "{out}"
        );
        assert_eq!(code, 0);
    }
}
