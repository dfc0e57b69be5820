//! `nc -u`: standard input to datagrams, and datagrams to standard output.
//!
//! ```text
//!   stdin --a read, a datagram--> udp_send        connected: to DEST; listening: to who spoke last
//!   stdout <--a datagram-- udp_recv               ICMP errors --> a line on standard error
//! ```

use super::attach::{self, Attach};
use super::{Failure, report};
use crate::runtime::stdin::{Chunk, Input};
use crate::runtime::{Next, Wake};
use bytes::Bytes;
use stack::frame::Payload;
use stack::host::{Host, SendError, UdpHandle};
use stack::net::groups::FilterMode;
use stack::time::{Duration, Instant};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  echo hello | tapline nc -u -w 1 10.7.0.1 7      # the kernel says that nobody listens there
  tapline nc -u --tap tap0 10.7.0.1 5000          # lines typed here become datagrams
  tapline nc -u -l -k -p 5000 --raw veth0 --address 10.1.0.9/24
  tapline nc -u -l -k -p 5000 --tap tap0 --join 239.1.2.3 --source 10.7.0.1   # only from there";

/// The most that one read becomes: what fits a datagram.
const MAX_DATAGRAM: usize = 65_507;
const DEFAULT_DATAGRAM: u16 = 16_384;

/// Standard input to UDP datagrams and back.
///
/// Each read of standard input becomes one datagram. Ends with ^C, after -w seconds of silence, or
/// when the peer's machine says that nobody listens (exit 1).
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where to; with -l, only who may speak to us, or just the PORT to listen on.
    #[arg(value_name = "HOST PORT", num_args = 0..=2)]
    dest: Vec<String>,

    /// UDP. TCP is not there yet.
    #[arg(short, long)]
    udp: bool,

    /// Listen, and answer who speaks first.
    #[arg(short, long)]
    listen: bool,

    /// Our port.
    #[arg(short, long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,

    /// With -l, hear everyone, and answer who spoke last.
    #[arg(short, long, requires = "listen")]
    keep: bool,

    /// End after this many seconds in which nothing came or went.
    #[arg(short, long, value_name = "S", value_parser = report::seconds)]
    wait: Option<Duration>,

    /// Bytes of standard input in a datagram, at most.
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_DATAGRAM,
          value_parser = clap::value_parser!(u16).range(1..=65_507))]
    datagram: u16,

    /// Allow a broadcast address.
    #[arg(short, long)]
    broadcast: bool,

    /// With -l, be in this multicast group too.
    #[arg(long, value_name = "GROUP", requires = "listen", value_parser = group)]
    join: Option<Ipv4Addr>,

    /// Of the group, hear only this source; give it again for more.
    #[arg(long, value_name = "IP", requires = "join")]
    source: Vec<Ipv4Addr>,

    #[command(flatten)]
    attach: Attach,
}

fn group(text: &str) -> Result<Ipv4Addr, String> {
    let addr = text.parse().ok();
    let group = addr.filter(Ipv4Addr::is_multicast);
    group.ok_or_else(|| "a group is 224.0.0.0 to 239.255.255.255".to_owned())
}

/// Runs the verb.
///
/// # Errors
/// Exit code 2 for bad usage, 3 with a remedy where the machine lacks something.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let ends = ends(args)?;
    let mut attached = args.attach.open()?;
    // After the namespace: a process with threads may not enter one.
    let input = Input::start(usize::from(args.datagram).min(MAX_DATAGRAM))?;
    attached.driver.watch(input.raw_fd())?;
    let at = attached.interface;
    let mut cat = Cat::new(args.clone(), ends, at, input, io::stdout().lock());
    let code = attached
        .driver
        .run(|host, now, wake| cat.turn(host, now, wake))??;
    Ok(ExitCode::from(code))
}

/// Our port, and the peer's end where there is one from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    port: u16,
    peer: Option<SocketAddr>,
}

fn ends(args: &Args) -> Result<Ends, Failure> {
    if !args.udp {
        return Err(Failure {
            remedy: Some("nc -u, for UDP".to_owned()),
            ..Failure::usage("there is no TCP yet")
        });
    }
    let port = |text: &str| match text.parse() {
        Ok(0) | Err(_) => Err(Failure::usage(format!("'{text}' is no port (1 to 65535)"))),
        Ok(port) => Ok(port),
    };
    let host = |text: &str| {
        let wrong = |why| Failure::usage(format!("'{text}': {why}"));
        attach::destination(text).map_err(wrong)
    };
    let wanted = |what: &str| Failure::usage(format!("{what}; `tapline help nc` has examples"));
    match (args.listen, args.dest.as_slice()) {
        (false, [to, at]) => {
            let peer = SocketAddr::new(host(to)?.into(), port(at)?);
            let port = args.port.unwrap_or(0);
            Ok(Ends {
                port,
                peer: Some(peer),
            })
        }
        (false, _) => Err(wanted("give HOST and PORT to send to, or -l to listen")),
        (true, []) => {
            let port = args
                .port
                .ok_or_else(|| wanted("give -p PORT to listen on"))?;
            Ok(Ends { port, peer: None })
        }
        (true, [at]) if args.port.is_none() => Ok(Ends {
            port: port(at)?,
            peer: None,
        }),
        (true, [from, at]) if args.port.is_some() => Ok(Ends {
            port: args.port.unwrap_or(0),
            peer: Some(SocketAddr::new(host(from)?.into(), port(at)?)),
        }),
        (true, _) => Err(wanted("with -l, give -p PORT or just PORT")),
    }
}

/// Where what is sent comes from.
trait Source {
    fn next_chunk(&mut self) -> io::Result<Chunk>;
}

impl Source for Input {
    fn next_chunk(&mut self) -> io::Result<Chunk> {
        self.recv()
    }
}

/// The two streams and the socket between them.
struct Cat<S, W> {
    args: Args,
    ends: Ends,
    /// Where a group is joined.
    interface: u16,
    input: S,
    out: W,
    socket: Option<UdpHandle>,
    /// Who is answered.
    peer: Option<SocketAddr>,
    /// Read, and not sent yet.
    unsent: Option<Bytes>,
    ended: bool,
    last_active: Instant,
}

impl<S: Source, W: Write> Cat<S, W> {
    fn new(args: Args, ends: Ends, interface: u16, input: S, out: W) -> Self {
        Self {
            args,
            peer: ends.peer,
            ends,
            interface,
            input,
            out,
            socket: None,
            unsent: None,
            ended: false,
            last_active: Instant::ZERO,
        }
    }

    fn turn(&mut self, host: &mut Host, now: Instant, wake: &Wake) -> Next<Result<u8, Failure>> {
        let ended = match self.step(host, now) {
            Ok(None) if wake.stop => Ok(0),
            Ok(None) => {
                return ControlFlow::Continue(self.args.wait.map(|w| self.last_active + w));
            }
            Ok(Some(code)) => Ok(code),
            Err(failure) => Err(failure),
        };
        // What the kernel does for a program that ends: routers hear that the group is left.
        if let (Some(socket), Some(group)) = (self.socket, self.args.join) {
            host.udp_leave(now, socket, self.interface, group);
        }
        ControlFlow::Break(ended)
    }

    fn step(&mut self, host: &mut Host, now: Instant) -> Result<Option<u8>, Failure> {
        let socket = match self.socket {
            Some(socket) => socket,
            None => self.open(host, now)?,
        };
        attach::pass_events(host);
        self.receive(host, socket, now)?;
        if let Some(code) = self.errors(host, socket) {
            return Ok(Some(code));
        }
        self.send_all(host, socket, now)?;
        let silent = self.args.wait.is_some_and(|w| now >= self.last_active + w);
        Ok(silent.then_some(0))
    }

    fn open(&mut self, host: &mut Host, now: Instant) -> Result<UdpHandle, Failure> {
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), self.ends.port);
        let refused = |e| Failure::usage(format!("port {}: {e}", self.ends.port));
        let socket = host.udp_bind(any).map_err(refused)?;
        if let Some(options) = host.udp_options(socket) {
            options.broadcast = self.args.broadcast;
        }
        if let Some(group) = self.args.join {
            let mode = match self.args.source.as_slice() {
                [] => FilterMode::Exclude,
                _ => FilterMode::Include,
            };
            host.udp_join(now, socket, self.interface, group, mode, &self.args.source)
                .map_err(|e| Failure::usage(format!("{group}: {e}")))?;
        }
        if let Some(peer) = self.ends.peer {
            connect(host, socket, peer)?;
        }
        self.socket = Some(socket);
        self.last_active = now;
        log::info!("port {:?}", host.udp_local(socket));
        Ok(socket)
    }

    fn receive(&mut self, host: &mut Host, socket: UdpHandle, now: Instant) -> Result<(), Failure> {
        while let Some(datagram) = host.udp_recv(socket) {
            self.last_active = now;
            if self.peer != Some(datagram.from) {
                log::info!("{} speaks", datagram.from);
                self.peer = Some(datagram.from);
                // Without -k, whoever speaks first is the only one heard from then on.
                if !self.args.keep && self.ends.peer.is_none() {
                    connect(host, socket, datagram.from)?;
                    self.ends.peer = self.peer;
                }
            }
            let bytes = datagram.payload.to_bytes();
            self.out
                .write_all(&bytes)
                .and_then(|()| self.out.flush())
                .map_err(report::untold)?;
        }
        Ok(())
    }

    /// Says what came back; the exit code where that ends it.
    fn errors(&self, host: &mut Host, socket: UdpHandle) -> Option<u8> {
        let mut code = None;
        while let Some(error) = host.udp_take_error(socket) {
            eprintln!(
                "tapline: {}: {:?}, says {}",
                error.to, error.kind, error.offender
            );
            if error.kind.is_hard() && !self.args.listen {
                code = Some(1);
            }
        }
        code
    }

    fn send_all(
        &mut self,
        host: &mut Host,
        socket: UdpHandle,
        now: Instant,
    ) -> Result<(), Failure> {
        // While nobody is known to send to, what is typed waits where it is.
        while let Some(peer) = self.peer {
            if self.unsent.is_none() && !self.ended {
                match self.input.next_chunk().map_err(report::untold)? {
                    Chunk::Bytes(bytes) => self.unsent = Some(bytes.into()),
                    Chunk::End => self.ended = true,
                    Chunk::Empty => {}
                }
            }
            let Some(bytes) = self.unsent.take() else {
                return Ok(());
            };
            self.last_active = now;
            match host.udp_send(now, socket, Payload::from(bytes.clone()), Some(peer)) {
                Ok(()) => {}
                Err(SendError::WouldBlock) => {
                    self.unsent = Some(bytes);
                    return Ok(());
                }
                Err(SendError::Failed(error)) => {
                    return Err(Failure::unmet(format!("{peer}: {:?}", error.kind)));
                }
                Err(e) => return Err(cannot_send(peer, e)),
            }
        }
        Ok(())
    }
}

fn connect(host: &mut Host, socket: UdpHandle, peer: SocketAddr) -> Result<(), Failure> {
    host.udp_connect(socket, peer)
        .map_err(|e| cannot_send(peer, e))
}

fn cannot_send(peer: SocketAddr, error: SendError) -> Failure {
    match (peer.ip(), error) {
        (_, SendError::BroadcastNotAllowed) => Failure {
            remedy: Some("nc -b, if everyone shall hear it".to_owned()),
            ..Failure::usage(format!("{peer}: {error}"))
        },
        (IpAddr::V4(addr), error) => attach::cannot_send(addr, error),
        (IpAddr::V6(_), error) => Failure::usage(format!("{peer}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::attach::simulated;
    use super::*;
    use clap::Parser as _;
    use std::collections::VecDeque;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &str) -> Args {
        let words = std::iter::once("nc").chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap().args
    }

    struct Script(VecDeque<Chunk>);

    impl Source for Script {
        fn next_chunk(&mut self) -> io::Result<Chunk> {
            Ok(self.0.pop_front().unwrap_or(Chunk::Empty))
        }
    }

    fn cat(line: &str, input: &[&str], peer: Host) -> (String, Result<u8, Failure>) {
        let args = args(line);
        let ends = ends(&args).unwrap();
        let chunks = input.iter().map(|t| Chunk::Bytes(t.as_bytes().to_vec()));
        let script = Script(chunks.chain([Chunk::End]).collect());
        let mut cat = Cat::new(args, ends, 0, script, Vec::new());
        let mut hosts = [simulated::host(1, &["10.7.0.2/24"], &[]), peer];
        let (code, _) = simulated::run(&mut hosts, |h, now| cat.turn(h, now, &Wake::default()));
        (String::from_utf8(cat.out).unwrap(), code)
    }

    #[test]
    fn our_words_wait_for_who_is_there() {
        let mut peer = simulated::host(2, &["10.7.0.1/24"], &[]);
        let socket = peer.udp_bind("10.7.0.1:40000".parse().unwrap()).unwrap();
        let to = "10.7.0.2:5000".parse().unwrap();
        for text in ["one ", "two"] {
            let text = Payload::from(Bytes::from(text));
            peer.udp_send(Instant::ZERO, socket, text, Some(to))
                .unwrap();
        }
        let (out, code) = cat("-u -l -p 5000 -w 1", &["hello"], peer);
        assert_eq!((out.as_str(), code.unwrap()), ("one two", 0));
    }

    #[test]
    fn a_group_is_heard_by_its_sources() {
        for (line, want) in [
            ("", ""),
            ("--join 239.1.2.3", "hello"),
            (
                "--join 239.1.2.3 --source 10.7.0.9 --source 10.7.0.1",
                "hello",
            ),
            ("--join 239.1.2.3 --source 10.7.0.9", ""),
        ] {
            let mut peer = simulated::host(2, &["10.7.0.1/24"], &[]);
            let socket = peer.udp_bind("10.7.0.1:40000".parse().unwrap()).unwrap();
            let to = "239.1.2.3:5000".parse().unwrap();
            let hello = Payload::from(Bytes::from("hello"));
            peer.udp_send(Instant::ZERO, socket, hello, Some(to))
                .unwrap();
            let (out, code) = cat(&format!("-u -l -p 5000 -w 1 {line}"), &[], peer);
            assert_eq!((out.as_str(), code.unwrap()), (want, 0), "{line}");
        }
    }

    #[test]
    fn nobody_listens() {
        let peer = simulated::host(2, &["10.7.0.1/24"], &[]);
        let (out, code) = cat("-u 10.7.0.1 9999", &["hello"], peer);
        assert_eq!((out.as_str(), code.unwrap()), ("", 1));
    }

    #[test]
    fn both_ends_are_read_from_the_line() {
        let to = |text: &str| Some(text.parse().unwrap());
        for (line, port, peer) in [
            ("-u 10.0.0.1 7", 0, to("10.0.0.1:7")),
            ("-u -p 9 10.0.0.1 7", 9, to("10.0.0.1:7")),
            ("-u -l 7", 7, None),
            ("-u -l -p 7", 7, None),
            ("-u -l -p 7 10.0.0.1 9", 7, to("10.0.0.1:9")),
        ] {
            let got = ends(&args(line)).unwrap();
            assert_eq!(got, Ends { port, peer }, "{line}");
        }
        for (line, want) in [
            ("10.0.0.1 7", "no TCP yet"),
            ("-u 10.0.0.1", "give HOST and PORT"),
            ("-u 10.0.0.1 0", "'0' is no port"),
            ("-u x 7", "names are not looked up"),
            ("-u -l", "give -p PORT"),
        ] {
            let f = ends(&args(line)).unwrap_err();
            assert!(f.code == 2 && f.message.contains(want), "{line}: {f}");
        }
    }
}
