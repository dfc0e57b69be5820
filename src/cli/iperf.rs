//! `iperf`: how much a TCP path carries, in iperf3's own protocol, as client or server.
//!
//! ```text
//!   -c HOST   endpoint::iperf::client --Outcome--> a line an interval, and the sums of both ends
//!   -s        endpoint::iperf::server --Outcome--> a line a test
//! ```
//!
//! Read first: [`iperf`](crate::endpoint::iperf).

use super::attach::{self, Attach, Target};
use super::{Failure, report};
use crate::endpoint::iperf::client::{self, Client, Interval, Outcome, Summary};
use crate::endpoint::iperf::server::{self, Server};
use crate::endpoint::iperf::{MAX_STREAMS, PORT, Params, Results};
use crate::lab::units;
use crate::runtime::clock::os_rng;
use crate::runtime::{Next, Wake};
use serde_json::{Value, json};
use stack::host::Host;
use stack::time::{Duration, Instant};
use stack::transport::tcp;
use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  tapline up --serve iperf -- iperf3 -c 10.7.0.2      # the kernel measures us
  tapline iperf -c 10.7.0.1 --tap tap0                # we measure the kernel: iperf3 -s there
  tapline iperf -c 10.1.0.1 -R -P 4 -t 5 --raw veth0 --address 10.1.0.9/24
  tapline iperf -s --raw veth0 --address 10.1.0.9/24";

/// How long the end of a connection may take.
const LINGER: Duration = Duration::from_secs(2);

/// How much a TCP path carries, as iperf3 measures it; either end may be the real iperf3.
///
/// Exits 1 where the test came to nothing.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Measure to this server.
    #[arg(short, long, value_name = "HOST", value_parser = attach::destination,
          required_unless_present = "server", conflicts_with = "server")]
    client: Option<Target>,

    /// Be the server.
    #[arg(short, long)]
    server: bool,

    /// The server's port.
    #[arg(short, long, default_value_t = PORT, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,

    /// Seconds to measure.
    #[arg(short, long, value_name = "S", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    time: u32,

    /// So many bytes instead, as 100MB.
    #[arg(short = 'n', long, value_name = "BYTES", value_parser = bytes, conflicts_with = "time")]
    bytes: Option<u64>,

    /// Streams at once.
    #[arg(short = 'P', long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_STREAMS)))]
    parallel: u16,

    /// The server sends.
    #[arg(short = 'R', long)]
    reverse: bool,

    /// Seconds between two reports; 0: only the sums.
    #[arg(short, long, value_name = "S", default_value = "1", value_parser = report::seconds)]
    interval: Duration,

    /// The sender's congestion control: cubic, reno or bbr.
    #[arg(short = 'C', long, value_name = "NAME", value_parser = congestion)]
    congestion: Option<tcp::Algorithm>,

    /// Small segments do not wait (TCP_NODELAY).
    #[arg(short = 'N', long)]
    no_delay: bool,

    /// Largest segment.
    #[arg(short = 'M', long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(88..))]
    mss: Option<u16>,

    /// With -s, end after one test.
    #[arg(short = '1', long, requires = "server")]
    one_off: bool,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    attach: Attach,
}

fn bytes(text: &str) -> Result<u64, String> {
    let size = units::size(text).map_err(|e| e.to_string())?;
    match size {
        0 => Err("nothing to send".to_owned()),
        size => Ok(size),
    }
}

fn congestion(text: &str) -> Result<tcp::Algorithm, String> {
    tcp::Algorithm::by_name(text).ok_or_else(|| "cubic, reno or bbr".to_owned())
}

/// Runs the verb.
///
/// # Errors
/// Exit code 1 where the test came to nothing, 2 where there is no way, 3 with a remedy where the
/// machine lacks something.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let done = go(args);
    if let Err(failure) = &done
        && args.json
    {
        let line = json!({"event": "failed", "error": failure.message});
        report::json_line(&mut io::stdout().lock(), &line).map_err(report::untold)?;
    }
    done
}

fn go(args: &Args) -> Result<ExitCode, Failure> {
    let mut attached = match &args.client {
        Some(to) => args.attach.open_to(to.addr)?,
        None => args.attach.open()?,
    };
    let out = io::stdout().lock();
    let code = match &args.client {
        Some(to) => {
            let rng = os_rng()?;
            let to = to.end(&attached.driver.machine, args.port)?;
            let client = Client::new(config(args, to), &rng);
            let mut asking = Asking::new(args.clone(), to, client, out);
            attached
                .driver
                .run(|host, now, wake| asking.turn(host, now, wake))?
        }
        None => {
            args.attach.warn_if_alone();
            let mut serving = Serving {
                args: args.clone(),
                server: None,
                out,
                ending: None,
            };
            attached
                .driver
                .run(|host, now, wake| serving.turn(host, now, wake))?
        }
    };
    attach::reset_all(&mut attached.driver);
    Ok(ExitCode::from(code?))
}

fn config(args: &Args, to: SocketAddr) -> client::Config {
    client::Config {
        to,
        params: Params {
            time: match args.bytes {
                Some(_) => Duration::ZERO,
                None => Duration::from_secs(args.time.into()),
            },
            bytes: args.bytes,
            parallel: args.parallel,
            reverse: args.reverse,
            congestion: args.congestion,
            nodelay: args.no_delay,
            mss: args.mss,
        },
        interval: (!args.interval.is_zero()).then_some(args.interval),
        options: tcp::Options::default(),
    }
}

/// A client, and where it tells.
struct Asking<W> {
    args: Args,
    to: SocketAddr,
    client: Client,
    out: W,
    begun: bool,
    code: u8,
    /// Until when to wait for the last acknowledgments.
    ending: Option<Instant>,
}

impl<W: Write> Asking<W> {
    const fn new(args: Args, to: SocketAddr, client: Client, out: W) -> Self {
        Self {
            args,
            to,
            client,
            out,
            begun: false,
            code: 0,
            ending: None,
        }
    }

    fn turn(&mut self, host: &mut Host, now: Instant, wake: &Wake) -> Next<Result<u8, Failure>> {
        if let Err(failure) = self.step(host, now) {
            return ControlFlow::Break(Err(failure));
        }
        if wake.stop && !self.client.is_done() {
            self.client.stop(now, host);
            return ControlFlow::Break(Err(Failure::unmet("interrupted")));
        }
        if !self.client.is_done() {
            return ControlFlow::Continue(self.client.poll_timeout());
        }
        let until = *self.ending.get_or_insert(now + LINGER);
        match attach::is_quiet(host) || now >= until {
            true => ControlFlow::Break(Ok(self.code)),
            false => ControlFlow::Continue(Some(until)),
        }
    }

    fn step(&mut self, host: &mut Host, now: Instant) -> Result<(), Failure> {
        if !self.begun {
            self.begun = true;
            let started = self.client.start(now, host);
            started.map_err(|e| attach::cannot_connect(self.to, e))?;
        }
        while let Some(event) = host.poll_event() {
            attach::warn(&event);
            self.client.handle_event(now, host, &event);
        }
        self.client.handle_timeout(now, host);
        while let Some(outcome) = self.client.poll_outcome() {
            self.tell(outcome)?;
        }
        Ok(())
    }

    fn tell(&mut self, outcome: Outcome) -> Result<(), Failure> {
        let told = match &outcome {
            Outcome::Running => Ok(()),
            Outcome::Interval(i) if self.args.json => {
                report::json_line(&mut self.out, &interval_json(i))
            }
            Outcome::Interval(i) => writeln!(self.out, "{}", interval_text(i)),
            Outcome::Done(summary) if self.args.json => {
                report::json_line(&mut self.out, &summary_json(summary))
            }
            Outcome::Done(summary) => write!(self.out, "{}", summary_text(summary)),
            Outcome::Failed(broken) => return Err(Failure::unmet(broken.to_string())),
        };
        told.and_then(|()| self.out.flush()).map_err(report::untold)
    }
}

/// A server, and where it tells.
struct Serving<W> {
    args: Args,
    server: Option<Server>,
    out: W,
    ending: Option<Instant>,
}

impl<W: Write> Serving<W> {
    fn turn(&mut self, host: &mut Host, now: Instant, wake: &Wake) -> Next<Result<u8, Failure>> {
        if wake.stop {
            return ControlFlow::Break(Ok(0));
        }
        match self.step(host, now) {
            Ok(at) => match self.ending {
                Some(until) if attach::is_quiet(host) || now >= until => ControlFlow::Break(Ok(0)),
                Some(until) => ControlFlow::Continue(Some(until)),
                None => ControlFlow::Continue(at),
            },
            Err(failure) => ControlFlow::Break(Err(failure)),
        }
    }

    fn step(&mut self, host: &mut Host, now: Instant) -> Result<Option<Instant>, Failure> {
        let server = match &mut self.server {
            Some(server) => server,
            None => {
                let opened = Server::open(host, self.args.port, &tcp::Options::default());
                let refused = |e| Failure::usage(format!("port {}: {e}", self.args.port));
                let opened = opened.map_err(refused)?;
                eprintln!("tapline: an iperf3 server on port {}", self.args.port);
                self.server.insert(opened)
            }
        };
        while let Some(event) = host.poll_event() {
            attach::warn(&event);
            server.handle_event(now, host, &event);
        }
        server.handle_timeout(now, host);
        while let Some(outcome) = server.poll_outcome() {
            let done = !matches!(outcome, server::Outcome::Accepted(_));
            let told = match self.args.json {
                true => report::json_line(&mut self.out, &server_json(&outcome)),
                false => writeln!(self.out, "{}", server_text(&outcome)),
            };
            told.and_then(|()| self.out.flush())
                .map_err(report::untold)?;
            if done && self.args.one_off {
                self.ending = Some(now + LINGER);
            }
        }
        Ok(server.poll_timeout())
    }
}

/// Bytes as people read them.
struct Amount(u64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(n) = *self;
        let (unit, name) = match n {
            0x4000_0000.. => (30, "GiB"),
            0x10_0000.. => (20, "MiB"),
            0x400.. => (10, "KiB"),
            _ => return write!(f, "{n} B"),
        };
        let hundredths = (u128::from(n) * 100) >> unit;
        write!(f, "{}.{:02} {name}", hundredths / 100, hundredths % 100)
    }
}

/// So many bytes in so long, as people read it.
struct Rate(u64, Duration);

impl Rate {
    fn bits(&self) -> u64 {
        let bits = u128::from(self.0) * 8 * 1_000_000_000;
        let rate = bits.checked_div(self.1.as_nanos()).unwrap_or(0);
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.bits();
        let (unit, name) = match n {
            1_000_000_000.. => (1_000_000_000, "Gbit/s"),
            1_000_000.. => (1_000_000, "Mbit/s"),
            1000.. => (1000, "kbit/s"),
            _ => return write!(f, "{n} bit/s"),
        };
        let hundredths = u128::from(n) * 100 / unit;
        write!(f, "{}.{:02} {name}", hundredths / 100, hundredths % 100)
    }
}

fn interval_text(i: &Interval) -> String {
    let span = format!("{:.2}-{:.2} s", i.from.as_secs_f64(), i.to.as_secs_f64());
    let amount = Amount(i.bytes).to_string();
    let rate = Rate(i.bytes, i.to.saturating_sub(i.from)).to_string();
    let mut line = format!("{span:>14}  {amount:>12}  {rate:>14}");
    if let Some(again) = i.retransmits {
        line.push_str(&format!("  {again:>5} sent again"));
    }
    if let Some(cwnd) = i.cwnd {
        line.push_str(&format!("  cwnd {}", Amount(cwnd)));
    }
    if let Some(rtt) = i.rtt {
        line.push_str(&format!("  rtt {} ms", report::Millis(rtt)));
    }
    line
}

fn interval_json(i: &Interval) -> Value {
    json!({
        "event": "interval", "from": i.from.as_secs_f64(), "to": i.to.as_secs_f64(),
        "bytes": i.bytes, "bits_per_second": Rate(i.bytes, i.to.saturating_sub(i.from)).bits(),
        "retransmits": i.retransmits, "cwnd": i.cwnd, "rtt_ms": i.rtt.map(report::millis),
    })
}

fn ends(s: &Summary) -> [(&'static str, &Results); 2] {
    [("sender", &s.sender), ("receiver", &s.receiver)]
}

fn summary_text(s: &Summary) -> String {
    let mut text = String::new();
    for (who, results) in ends(s) {
        let amount = Amount(results.bytes()).to_string();
        let rate = Rate(results.bytes(), s.time).to_string();
        let span = format!("{:.2} s", s.time.as_secs_f64());
        text.push_str(&format!("{span:>14}  {amount:>12}  {rate:>14}  {who}"));
        if let Some(again) = results.retransmits() {
            text.push_str(&format!(", {again} sent again, {}", results.congestion));
        }
        text.push('\n');
    }
    text
}

fn end_json(results: &Results, time: Duration) -> Value {
    json!({
        "bytes": results.bytes(), "bits_per_second": Rate(results.bytes(), time).bits(),
        "retransmits": results.retransmits(), "congestion": results.congestion,
    })
}

fn summary_json(s: &Summary) -> Value {
    json!({
        "event": "end", "seconds": s.time.as_secs_f64(), "reverse": s.reverse,
        "streams": s.sender.streams.len(), "sender": end_json(&s.sender, s.time),
        "receiver": end_json(&s.receiver, s.time),
    })
}

fn server_text(outcome: &server::Outcome) -> String {
    match outcome {
        server::Outcome::Accepted(from) => format!("{from} asks"),
        server::Outcome::Done {
            time,
            reverse,
            ours,
            ..
        } => {
            let rate = Rate(ours.bytes(), *time);
            let what = if *reverse { "sent" } else { "received" };
            let (amount, seconds) = (Amount(ours.bytes()), time.as_secs_f64());
            format!("{what} {amount} in {seconds:.2} s, {rate}")
        }
        server::Outcome::Failed(broken) => format!("failed: {broken}"),
    }
}

fn server_json(outcome: &server::Outcome) -> Value {
    match outcome {
        server::Outcome::Accepted(from) => json!({"event": "accepted", "from": from.to_string()}),
        server::Outcome::Done {
            time,
            reverse,
            ours,
            theirs,
        } => json!({
            "event": "end", "seconds": time.as_secs_f64(), "reverse": reverse,
            "ours": end_json(ours, *time), "theirs": end_json(theirs, *time),
        }),
        server::Outcome::Failed(broken) => {
            json!({"event": "failed", "error": broken.to_string()})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::attach::simulated;
    use super::*;
    use stack::rng::Rng;

    /// A client against our own server, over a wire of a millisecond.
    fn measure(line: &str) -> Vec<Value> {
        let args: Args = simulated::args("iperf", line).unwrap();
        let mut peer = simulated::host(2, &["10.7.0.1/24"], &[]);
        let mut server = Server::open(&mut peer, PORT, &tcp::Options::default()).unwrap();
        let to = SocketAddr::from(([10, 7, 0, 1], args.port));
        let client = Client::new(config(&args, to), &Rng::from_seed(1));
        let mut asking = Asking::new(args, to, client, Vec::new());
        let mut hosts = [simulated::host(1, &["10.7.0.2/24"], &[]), peer];
        let (code, _) = simulated::run_both(
            &mut hosts,
            |host, now| {
                while let Some(event) = host.poll_event() {
                    server.handle_event(now, host, &event);
                }
            },
            |host, now| asking.turn(host, now, &Wake::default()),
        );
        assert_eq!(code.unwrap(), 0);
        assert_eq!(server.tests(), 1);
        let text = String::from_utf8(asking.out).unwrap();
        text.lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect()
    }

    #[test]
    fn so_many_bytes_arrive_either_way() {
        for line in [
            "-c 10.7.0.1 -n 3MB --json",
            "-c 10.7.0.1 -n 3MB -R --json",
            "-c 10.7.0.1 -n 3MB -P 3 --json",
        ] {
            let told = measure(line);
            let end = told.last().unwrap();
            assert_eq!(end["event"], "end", "{line}");
            assert_eq!(end["sender"]["bytes"], 3_000_000, "{line}: {end}");
            assert_eq!(end["receiver"]["bytes"], 3_000_000, "{line}: {end}");
        }
    }

    #[test]
    fn amounts_and_rates_are_read_by_people() {
        for (n, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.50 KiB"),
            (5 << 30, "5.00 GiB"),
        ] {
            assert_eq!(Amount(n).to_string(), want);
        }
        let second = Duration::from_secs(1);
        assert_eq!(Rate(125_000_000, second).to_string(), "1.00 Gbit/s");
        assert_eq!(Rate(1, Duration::ZERO).to_string(), "0 bit/s");
    }
}
