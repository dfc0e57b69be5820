//! What `nc` is told, and where its input comes from.

use crate::cli::attach::Attach;
use crate::cli::family::Family;
use crate::cli::report;
use crate::runtime::stdin::{Chunk, Input};
use stack::time::Duration;
use std::io;
use std::net::{IpAddr, SocketAddr};

const EXAMPLES: &str = "Examples:
  echo hello | tapline nc 10.7.0.1 7              # the kernel refuses: nobody listens there
  tapline nc --tap tap0 10.7.0.1 5000             # lines typed here, answers from there
  tapline nc --tap tap0 fd07::1 5000              # the same over IPv6
  tapline nc -l -p 5000 --raw veth0 --address 10.1.0.9/24 >file
  tapline nc -u -l -k -p 5000 --raw veth0 --address 10.1.0.9/24
  tapline nc -u -l -k -p 5000 --tap tap0 --join 239.1.2.3 --source 10.7.0.1   # only from there";

const DEFAULT_DATAGRAM: u16 = 16_384;

/// Standard input to a TCP connection and back; with -u, to UDP datagrams.
///
/// Over TCP, the end of standard input closes our direction (a half-close), and what the peer still
/// sends is written until it has finished too. Ends then, with ^C, or after -w seconds of silence;
/// exit 1 where the connection was refused, reset or timed out. A listener (-l) takes one
/// connection, or with -k one after another.
///
/// Over UDP, each read of standard input becomes one datagram, and it ends with ^C, after -w
/// seconds of silence, or when the peer's machine says that nobody listens (exit 1).
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Where to; with -l, only who may speak to us, or just the PORT to listen on.
    #[arg(value_name = "HOST PORT", num_args = 0..=2)]
    pub(super) dest: Vec<String>,

    /// UDP instead of TCP.
    #[arg(short, long)]
    pub(super) udp: bool,

    /// Listen, and answer who speaks first.
    #[arg(short, long)]
    pub(super) listen: bool,

    /// Our port.
    #[arg(short, long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: Option<u16>,

    /// With -l, take the next connection when one has ended; with -u, hear everyone, and answer who
    /// spoke last.
    #[arg(short, long, requires = "listen")]
    pub(super) keep: bool,

    /// With -l, take data that comes with a SYN, and answer it at once (TCP Fast Open, RFC 7413):
    /// from clients that were here before, as with -k. Without, ask the server for a cookie; where
    /// this host has one, what waits on standard input goes with the SYN.
    #[arg(long, conflicts_with = "udp")]
    pub(super) fast_open: bool,

    /// End after this many seconds in which nothing came or went; over TCP, a peer that does not end
    /// its side then has one second more.
    #[arg(short, long, value_name = "S", value_parser = report::seconds)]
    pub(super) wait: Option<Duration>,

    /// Bytes of standard input in a datagram, at most.
    #[arg(long, requires = "udp", value_name = "BYTES", default_value_t = DEFAULT_DATAGRAM,
          value_parser = clap::value_parser!(u16).range(1..=65_507))]
    pub(super) datagram: u16,

    /// Allow a broadcast address.
    #[arg(short, long, requires = "udp")]
    pub(super) broadcast: bool,

    /// With -l, be in this multicast group too.
    #[arg(long, value_name = "GROUP", requires_all = ["listen", "udp"], value_parser = group)]
    pub(super) join: Option<IpAddr>,

    /// Of the group, hear only this source; give it again for more.
    #[arg(long, value_name = "IP", requires = "join")]
    pub(super) source: Vec<IpAddr>,

    #[command(flatten)]
    pub(super) family: Family,

    #[command(flatten)]
    pub(super) attach: Attach,
}

fn group(text: &str) -> Result<IpAddr, String> {
    let addr = text.parse().ok();
    let group = addr.filter(IpAddr::is_multicast);
    group.ok_or_else(|| "a group is 224.0.0.0 to 239.255.255.255, or begins with ff".to_owned())
}

/// Our port, and the peer's end where there is one from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) port: u16,
    pub(super) peer: Option<SocketAddr>,
}

/// Where what is sent comes from.
pub(super) trait Source {
    fn next_chunk(&mut self) -> io::Result<Chunk>;
}

impl Source for Input {
    fn next_chunk(&mut self) -> io::Result<Chunk> {
        self.recv()
    }
}
