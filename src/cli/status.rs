//! `status`: what a running host knows and has counted, as text and as JSON.
//!
//! ```text
//!   up:      Host --snapshot--> Value --Control--> Unix socket      (its path: TAPLINE_CONTROL)
//!                                  \--> FILE, at the end            (up --status FILE)
//!   status:  Unix socket --> Value --> JSON as it is, or render --> text
//! ```
//!
//! Promises: a snapshot has every counter there is (a new one that is forgotten here does not
//! compile); the text shows what is not zero. A control socket belongs to the user who started
//! `up`, in a directory that nobody else may enter. A reader that is slow is fed a piece a turn and
//! holds up nothing.
//!
//! Left out: asking for a part. A snapshot of thousands of sockets is long, and is asked for seldom.

use super::{Failure, report};
use crate::endpoint::talk;
use crate::runtime::PortStats;
use serde_json::{Map, Value, json};
use stack::host::{Host, Interface, Stats, TcpStats};
use stack::machine::Consumer;
use stack::net::advertiser::{self, Advertiser};
use stack::net::groups::{FilterMode, Version};
use stack::net::neighbor::{self, Census, Neighbor};
use stack::net::rdnss::Entry;
use stack::net::route::{Route, RouteKind};
use stack::net::{acd, arp, autoconf, groups, ndp, pmtu, rate, reassembly, routers};
use stack::reason::DropReason;
use stack::time::{Duration, Instant};
use stack::transport::{raw, tcp, udp};
use stack::wire::zone::is_link_local;
use std::fmt::{Display, Write as _};
use std::fs::{self, DirBuilder};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What `up` calls the variable that names its control socket.
pub const CONTROL: &str = "TAPLINE_CONTROL";
/// Readers served at a time; more are turned away.
const MAX_READERS: usize = 16;
/// How soon a reader that had no room is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// What a running host knows and has counted.
///
/// Interfaces, neighbours, routes, path MTUs, groups, sockets and every counter, with what was
/// dropped by reason. Run it in the shell or the command that `up` started, which finds its host
/// by TAPLINE_CONTROL; from elsewhere give --control.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tapline up -- tapline status
  tapline status --json | jq .host.dropped_in")]
pub struct Args {
    /// As JSON: every counter, zero or not.
    #[arg(long)]
    json: bool,

    /// The control socket, where TAPLINE_CONTROL does not name it.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// Exit code 2 where no host is named, 3 where it does not answer.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let named = std::env::var_os(CONTROL).map(PathBuf::from);
    let path = args.control.clone().or(named).ok_or_else(|| {
        Failure::usage(format!(
            "no host is named\n  try: run this inside `tapline up`, which sets {CONTROL}, or give --control PATH"
        ))
    })?;
    log::info!("asking {}", path.display());
    let text = ask(&path).map_err(|e| {
        let message = format!("no host answers at {}: {e}", path.display());
        Failure::lacks(message, "start one: tapline up")
    })?;
    log::debug!("{} bytes of answer", text.len());
    let out = if args.json {
        text
    } else {
        let parsed = serde_json::from_str(&text);
        render(&parsed.map_err(|e| Failure::unmet(format!("no status: {e}")))?)
    };
    // A pager that was closed early is no failure.
    let _ = io::stdout().write_all(out.as_bytes());
    Ok(ExitCode::SUCCESS)
}

fn ask(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    UnixStream::connect(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// That [`write()`] can write there: better found before the work than after it. What is there stays.
///
/// # Errors
/// Exit code 3 where it cannot.
pub fn may_write(path: &Path) -> Result<(), Failure> {
    if path == Path::new("-") {
        return Ok(());
    }
    let mut options = fs::OpenOptions::new();
    let opened = options.append(true).create(true).open(path);
    opened.map(drop).map_err(|e| unwritten(path, &e))
}

fn unwritten(path: &Path, e: &io::Error) -> Failure {
    Failure::lacks(format!("{}: {e}", path.display()), "choose another file")
}

/// Writes a snapshot to a file, or to standard output where it is called `-`.
///
/// # Errors
/// Exit code 3, naming the file.
pub fn write(path: &Path, snapshot: &Value) -> Result<(), Failure> {
    let text = format!("{snapshot:#}\n");
    if path == Path::new("-") {
        let _ = io::stdout().write_all(text.as_bytes());
        return Ok(());
    }
    fs::write(path, text).map_err(|e| unwritten(path, &e))
}

/// A socket at which a running host may be asked for its status.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    directory: PathBuf,
    readers: Vec<Reader>,
}

/// Someone who asked, and what is still to be said.
#[derive(Debug)]
struct Reader {
    stream: UnixStream,
    left: Vec<u8>,
}

impl Control {
    /// Opens a socket in a new directory of its own.
    ///
    /// # Errors
    /// What the OS says.
    pub fn open() -> io::Result<Self> {
        let base = std::env::temp_dir();
        let directory = base.join(format!("tapline-{}", std::process::id()));
        // Left by a process of the same number that was killed; another user's stays and is an error.
        let _ = fs::remove_file(directory.join("control"));
        let _ = fs::remove_dir(&directory);
        DirBuilder::new().mode(0o700).create(&directory)?;
        let listener = UnixListener::bind(directory.join("control"))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            directory,
            readers: Vec::new(),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.join("control")
    }

    /// What to watch.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.listener.as_raw_fd()
    }

    /// Takes in who asks: call when [`fd`](Self::fd) is readable.
    pub fn accept(&mut self, snapshot: impl Fn() -> Value) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.readers.len() < MAX_READERS && stream.set_nonblocking(true).is_ok() {
                let left = format!("{:#}\n", snapshot()).into_bytes();
                self.readers.push(Reader { stream, left });
            }
        }
    }

    /// Tells readers what they have room for. Call once a turn; gives when again at the latest.
    pub fn feed(&mut self, now: Instant) -> Option<Instant> {
        self.readers.retain_mut(Reader::feed);
        (!self.readers.is_empty()).then(|| now + RETRY)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path());
        let _ = fs::remove_dir(&self.directory);
    }
}

impl Reader {
    /// Writes what there is room for; false where there is nothing more to do.
    fn feed(&mut self) -> bool {
        loop {
            match self.stream.write(&self.left) {
                Ok(0) => return false,
                Ok(n) => drop(self.left.drain(..n)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return e.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }
}

/// Plain counters as an object, each by its own name; one that is left out does not compile.
macro_rules! counters {
    ($from:expr, $type:path { $($name:ident),* $(,)? }) => {{
        let $type { $($name),* } = $from;
        let mut all = Map::new();
        $(all.insert(stringify!($name).to_owned(), Count::value(&$name));)*
        Value::Object(all)
    }};
}

/// What a counter is in JSON.
trait Count {
    fn value(&self) -> Value;
}

impl Count for u64 {
    fn value(&self) -> Value {
        json!(self)
    }
}

/// A table; who asks for it fills in the names.
impl<const N: usize> Count for [u64; N] {
    fn value(&self) -> Value {
        Value::Null
    }
}

impl Count for TcpStats {
    fn value(&self) -> Value {
        counters!(
            *self,
            TcpStats {
                segments_in,
                segments_out,
                retransmitted,
                active_opens,
                passive_opens,
                accepted,
                resets_in,
                resets_of_connections_out,
                backlog_overflows,
                syn_overflows,
                cookies_sent,
                cookies_accepted,
                cookies_failed,
                fast_opens,
                fast_open_overflows,
                fast_opens_refused,
                connections_peak,
                half_open_peak,
                time_wait_evicted,
                time_wait_reused,
                doubts,
                orphans_reset,
                memory_pressures,
                pruned,
                pruned_bytes,
                memory_peak,
            }
        )
    }
}

impl Count for Census {
    fn value(&self) -> Value {
        counters!(
            *self,
            Census {
                permanent,
                incomplete,
                reachable,
                stale,
                delay,
                probe,
                failed,
            }
        )
    }
}

/// All that `host` knows and has counted, and its devices with it, at `now`.
#[must_use]
pub fn snapshot(host: &Host, ports: &[PortStats], now: Instant) -> Value {
    let interfaces = host.interfaces();
    let fragments = host.reassembly();
    let redirects = host.redirects().map(|(dst, gateway, at, until)| {
        json!({
            "to": text(dst), "via": text(gateway), "interface": name_of(host, at),
            "seconds_left": seconds(until.since(now)),
        })
    });
    let paths = host
        .path_mtus()
        .iter()
        .map(|(dst, path)| json!({ "to": text(dst), "mtu": path.mtu, "fragment": path.fragment }));
    json!({
        "uptime_seconds": seconds(now.since(Instant::ZERO)),
        "host": host_counters(host.stats()),
        "ports": ports.iter().map(|p| counters!(*p, PortStats {
            received, sent, refused, pushed_back,
        })).collect::<Value>(),
        "conserved": host.stats().is_conserved(),
        "interfaces": interfaces.iter().map(|i| interface(i, now)).collect::<Value>(),
        "routes": host.routes().iter().map(|r| route(host, r)).collect::<Value>(),
        "redirects": redirects.collect::<Value>(),
        "path_mtus": paths.collect::<Value>(),
        "path_mtu_counters": counters!(host.path_mtus().stats(),
            pmtu::Stats { lowered, raised, refused, stale, below_floor, evicted }),
        "reassembly": {
            "datagrams": fragments.datagrams(),
            "fragments": fragments.held(),
            "bytes": fragments.bytes(),
            "counters": counters!(fragments.stats(),
                reassembly::Stats { completed, poisoned, timed_out, evicted, copied }),
        },
        "icmp_rate": counters!(host.icmp_rate(),
            rate::Stats { allowed, limited_global, limited_peer, evicted }),
        "sockets": sockets(host),
        "tcp_memory": tcp_memory(host),
        "listeners": host.tcp_listeners().map(|(_, local, half_open, waiting)| json!({
            "local": text(local), "half_open": half_open, "waiting": waiting,
        })).collect::<Value>(),
        "connections": connections(host, now),
    })
}

/// What the data of all connections takes, and what it may.
fn tcp_memory(host: &Host) -> Value {
    let bounds = host.config().tcp_memory;
    json!({
        "bytes": host.tcp_memory(), "supply": host.tcp_supply().name(),
        "low": bounds.low, "pressure": bounds.pressure, "high": bounds.high,
    })
}

/// What the services on TCP have done.
#[must_use]
pub fn services(stats: talk::Stats) -> Value {
    counters!(
        stats,
        talk::Stats {
            accepted,
            closed,
            broken,
            silent,
            evicted,
            bytes_in,
            bytes_out,
            requests,
        }
    )
}

fn host_counters(stats: &Stats) -> Value {
    let mut all = counters!(
        *stats,
        Stats {
            frames_in,
            looped,
            delivered,
            forwarded,
            held,
            dropped_in,
            dropped_out,
            frames_out,
            echoes,
            icmp_errors_out,
            icmp_errors_in,
            redirects_in,
            resets_to_strangers_out,
            tcp,
            fragmented,
            fragments_out,
            reassembled,
        }
    );
    let delivered = Consumer::ALL.iter().map(|c| c.name()).zip(stats.delivered);
    all["delivered"] = table(delivered);
    let names = || DropReason::ALL.iter().map(|r| r.name());
    all["dropped_in"] = table(names().zip(stats.dropped_in));
    all["dropped_out"] = table(names().zip(stats.dropped_out));
    all
}

fn table<'a>(rows: impl Iterator<Item = (&'a str, u64)>) -> Value {
    let rows = rows.map(|(name, count)| (name.to_owned(), json!(count)));
    Value::Object(rows.collect())
}

const fn is_beyond_link(addr: IpAddr) -> bool {
    addr.is_ipv6() && !is_link_local(addr)
}

fn interface(i: &Interface, now: Instant) -> Value {
    let config = i.config();
    let [replies, forwarded, sockets] = i.queued();
    let traffic = i.counters();
    let addresses = i.addresses().iter().map(|a| {
        let claim = match a.cidr.addr() {
            IpAddr::V4(addr) => i.claims().state(addr),
            IpAddr::V6(addr) => i.claims6().state(addr),
        };
        let state = match claim {
            Some(acd::State::Probing) => "probing",
            Some(acd::State::Announcing) => "announcing",
            Some(_) => "claimed",
            None if a.usable => "configured",
            // What is claimed no more has been lost, alone or with the one made from the MAC.
            None if i.is_ipv6_disabled() && is_beyond_link(a.cidr.addr()) => "disabled",
            None => "duplicate",
        };
        let made = i.routers().autoconf().lifetimes(a.cidr.addr());
        let left = |until: Option<Option<Instant>>| seconds_left(until.flatten(), now);
        json!({
            "address": text(a.cidr), "usable": a.usable, "deprecated": a.deprecated, "state": state,
            "made": made.map(|m| if m.temporary { "temporary" } else { "stable" }),
            "preferred_seconds": left(made.map(|m| m.preferred_until)),
            "valid_seconds": left(made.map(|m| m.valid_until)),
        })
    });
    let (groups, groups6) = (i.groups().groups(), i.groups6().groups());
    let carries = i.mtu_for(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    json!({
        "name": i.name(),
        "port": i.port().0,
        "vlan": config.vlan,
        "up": i.is_up(),
        "mac": text(config.mac),
        "mtu": config.mtu,
        "promiscuous": config.promiscuous,
        "addresses": addresses.collect::<Value>(),
        "anycast": i.anycast().iter().map(text).collect::<Value>(),
        "rx": { "frames": traffic.rx_frames, "bytes": traffic.rx_bytes },
        "tx": { "frames": traffic.tx_frames, "bytes": traffic.tx_bytes },
        "queued": { "replies": replies, "forwarded": forwarded, "sockets": sockets },
        "neighbors": i.neighbors().neighbors().iter().map(|n| neighbor(n, now)).collect::<Value>(),
        "neighbor_counters": neighbor_counters(i.neighbors().stats()),
        "arp": counters!(i.arp().stats(), arp::Stats {
            requests_in, replies_in, announcements_in, replies_out, proxied_out,
            announcements_out, limited,
        }),
        "claims": counters!(i.claims().stats(), acd::Stats {
            probes_out, announcements_out, conflicts, refused, defended, lost,
        }),
        "claims6": counters!(i.claims6().stats().claims, acd::Stats {
            probes_out, announcements_out, conflicts, refused, defended, lost,
        }),
        "ndp": counters!(i.discovery().stats(), ndp::Stats {
            solicitations_in, advertisements_in, answers_out, proxied_out, limited,
        }),
        "routers": i.routers().routers().iter().map(|r| router(r, now)).collect::<Value>(),
        "router_routes": i.routers().routes().iter().map(|r| {
            let mut row = router(&r.router, now);
            row["to"] = json!(text(r.prefix));
            row
        }).collect::<Value>(),
        "own_addresses": counters!(i.routers().autoconf().stats(), autoconf::Stats {
            refused, duplicates, gave_up,
        }),
        "router_counters": counters!(i.routers().stats(), routers::Stats {
            solicitations_out, advertisements_in, refused,
        }),
        "link": link(i.routers().link(), carries),
        "dns_servers": names(i.routers().dns().servers(), now),
        "dns_search": names(i.routers().dns().domains(), now),
        "advertises": i.advertiser().map(|a| advertiser(a, now)),
        "igmp": match groups.version() { Version::V1 => 1, Version::V2 => 2, Version::V3 => 3 },
        "mld": match groups6.version() { Version::V1 | Version::V2 => 1, Version::V3 => 2 },
        "groups": groups.iter().map(membership).chain(groups6.iter().map(membership)).collect::<Value>(),
        "group_counters": group_counters(groups.stats()),
        "group6_counters": group_counters(groups6.stats()),
    })
}

fn router(r: &routers::Router, now: Instant) -> Value {
    json!({
        "router": text(r.addr),
        "preference": text(r.preference),
        "silent": r.silent,
        "seconds_left": seconds_left(r.until, now),
    })
}

/// What is taken of what routers say of the link, which `carries` so much; null where they say nothing.
//= RFC 4861 §6.3.4 more than the link carries is not taken.
fn link(said: &routers::Link, carries: usize) -> Value {
    json!({
        "hop_limit": said.hop_limit,
        "mtu": said.mtu.map(|said| said.min(carries)),
        "reachable_seconds": said.reachable_time.map(seconds),
        "retrans_seconds": said.retrans_timer.map(seconds),
    })
}

fn names<T: Display>(list: &[Entry<T>], now: Instant) -> Value {
    let row = |e: &Entry<T>| json!({ "name": text(&e.value), "seconds_left": seconds_left(e.until, now) });
    list.iter().map(row).collect()
}

/// Seconds to a time; null where it never comes.
fn seconds_left(until: Option<Instant>, now: Instant) -> Option<u64> {
    until.map(|until| until.since(now).as_secs())
}

fn advertiser(a: &Advertiser, now: Instant) -> Value {
    let config = a.config();
    let (next, last) = a.times();
    json!({
        "now": a.is_advertising(),
        "lifetime": config.router_lifetime(),
        "min_interval_seconds": seconds(config.shortest()),
        "max_interval_seconds": seconds(config.max_interval),
        "next_in_seconds": next.map(|at| seconds(at.since(now))),
        "last_seconds_ago": last.map(|at| seconds(now.since(at))),
        "prefixes": config.prefixes.iter().flatten().map(|p| text(p.prefix)).collect::<Value>(),
        "routes": config.routes.iter().map(|r| text(r.to)).collect::<Value>(),
        "dns": config.dns.iter().map(text).collect::<Value>(),
        "counters": counters!(a.stats(), advertiser::Stats {
            solicitations_in, advertisements_out, unicast_out, advertisements_in, disagreements,
        }),
    })
}

fn membership<A: ToString>((group, filter): (A, &groups::Filter<A>)) -> Value {
    json!({
        "group": group.to_string(),
        "mode": match filter.mode {
            FilterMode::Include => "include",
            FilterMode::Exclude => "exclude",
        },
        "sources": filter.sources.iter().map(A::to_string).collect::<Vec<_>>(),
    })
}

fn group_counters(stats: groups::Stats) -> Value {
    counters!(
        stats,
        groups::Stats {
            queries,
            reported,
            left,
            suppressed,
            version_changes
        }
    )
}

fn neighbor(n: &Neighbor, now: Instant) -> Value {
    json!({
        "ip": text(n.ip),
        "mac": n.mac.map(text),
        "state": n.state.name(),
        "seconds": seconds(now.since(n.since)),
        "confirmed": n.confirmed,
        "router": n.router,
        "rival": n.rival.map(text),
        "parked": n.parked,
    })
}

fn neighbor_counters(stats: neighbor::Stats) -> Value {
    counters!(
        stats,
        neighbor::Stats {
            entries,
            parked_bytes,
            created,
            evictions,
            aged,
            refused,
            multicast_solicits,
            unicast_solicits,
            parked,
            parked_drops,
            failures,
            conflicts,
            defended,
            replaced,
        }
    )
}

fn route(host: &Host, r: &Route) -> Value {
    let (kind, via) = match r.kind {
        RouteKind::OnLink => ("on-link", None),
        RouteKind::Via(router) => ("via", Some(text(router))),
        RouteKind::Unreachable => ("unreachable", None),
        RouteKind::Prohibited => ("prohibited", None),
        RouteKind::Blackhole => ("blackhole", None),
    };
    json!({
        "to": text(r.destination), "kind": kind, "via": via, "interface": name_of(host, r.port.0),
        "metric": r.metric, "source": r.source.map(text), "mtu": r.mtu,
    })
}

fn sockets(host: &Host) -> Value {
    let udp = host.udp_sockets().map(|(handle, s)| {
        let local = match s.local_addr {
            IpAddr::V4(any) if any.is_unspecified() => format!("*:{}", s.port),
            addr => text(SocketAddr::new(addr, s.port)),
        };
        socket(
            "udp",
            local,
            s.remote.map(text),
            (s.waiting(), host.udp_unsent(handle)),
            s.stats,
        )
    });
    let raw = host.raw_sockets().map(|(handle, s)| {
        let (kind, local) = match s.kind {
            raw::Kind::Ip(protocol) => ("raw", text(protocol)),
            raw::Kind::Echo(ident) => ("echo", ident.to_string()),
        };
        socket(
            kind,
            local,
            None,
            (s.waiting(), host.raw_unsent(handle)),
            s.stats,
        )
    });
    udp.chain(raw).collect()
}

fn socket(
    kind: &str,
    local: String,
    remote: Option<String>,
    (waiting, unsent): (usize, usize),
    stats: udp::Stats,
) -> Value {
    json!({
        "kind": kind, "local": local, "remote": remote, "waiting": waiting, "unsent": unsent,
        "counters": counters!(stats, udp::Stats { received, sent, overflowed, errors }),
    })
}

/// Connections in the words of Linux's `ss -ti`.
fn connections(host: &Host, now: Instant) -> Value {
    let all = host
        .tcp_connections()
        .map(|(handle, local, remote, state)| {
            let mut row = json!({
                "local": text(local), "remote": text(remote), "state": state.name(),
            });
            if let Some(s) = host.tcp_status(now, handle) {
                details(&mut row, &s);
                row["unread"] = json!(s.unread);
                row["unsent"] = json!(s.not_sent);
                row["unacked"] = json!(s.unacked);
                row["congestion"] = json!(s.congestion);
                row["phase"] = json!(s.phase.name());
                row["cwnd"] = json!(s.cwnd);
                row["ssthresh"] = json!(Some(s.ssthresh).filter(|n| *n < u32::MAX));
                row["mss"] = json!(s.snd_mss);
                row["pmtu"] = json!(s.pmtu);
                row["rtt_seconds"] = json!(s.srtt.map(|d| d.as_secs_f64()));
                row["rto_seconds"] = json!(seconds(s.rto));
                row["bytes_sent"] = json!(s.bytes_sent);
                row["bytes_received"] = json!(s.bytes_received);
                row["retransmitted"] = json!(s.total_retrans);
            }
            row
        });
    all.collect()
}

/// What Linux's `TCP_INFO` tells of a connection beside what people ask first. Sizes are bytes, rates
/// bytes a second.
fn details(row: &mut Value, s: &tcp::Status) {
    row["options"] = json!({
        "timestamps": s.timestamps, "sack": s.sack, "ecn": s.ecn, "accurate_ecn": s.accurate.is_some(),
        "snd_wscale": s.wscale.map(|(peer, _)| peer), "rcv_wscale": s.wscale.map(|(_, ours)| ours),
        "fast_open": s.fast_open,
    });
    row["rcv_mss"] = json!(s.rcv_mss);
    row["snd_wnd"] = json!(s.snd_wnd);
    row["rcv_wnd"] = json!(s.rcv_wnd);
    row["recv_limit"] = json!(s.recv_limit);
    row["in_flight"] = json!(s.in_flight);
    row["sacked"] = json!(s.sacked);
    row["lost"] = json!(s.lost);
    row["retrans"] = json!(s.retrans);
    row["out_of_order"] = json!(s.out_of_order);
    row["min_rtt_seconds"] = json!(s.min_rtt.map(|d| d.as_secs_f64()));
    row["rttvar_seconds"] = json!(s.rttvar.as_secs_f64());
    row["backoff"] = json!(s.backoff);
    row["probes"] = json!(s.probes);
    row["reordering"] = json!(s.reordering_degree);
    row["reordering_seen"] = json!(s.reordering_events);
    row["pacing_rate"] = json!(Some(s.pacing_rate).filter(|rate| *rate > 0));
    row["delivery_rate"] = json!(s.delivery_rate);
    row["app_limited"] = json!(s.app_limited);
    row["delivered"] = json!(s.delivered);
    row["delivered_ce"] = json!(s.delivered_ce);
    row["bytes_acked"] = json!(s.bytes_acked);
    row["bytes_retransmitted"] = json!(s.bytes_retrans);
    row["segments_out"] = json!(s.segs_out);
    row["segments_in"] = json!(s.segs_in);
    row["timeouts"] = json!(s.timeouts);
    row["recoveries"] = json!(s.recoveries);
    row["undos"] = json!(s.undos);
    row["duplicates_reported"] = json!(s.dsack_dups);
    row["last_data_sent_seconds"] = json!(seconds(s.last_data_sent));
    row["last_data_received_seconds"] = json!(seconds(s.last_data_received));
}

fn name_of(host: &Host, interface: u16) -> &str {
    let found = host.interfaces().get(usize::from(interface));
    found.map_or("-", Interface::name)
}

fn text(value: impl Display) -> String {
    value.to_string()
}

fn seconds(d: Duration) -> f64 {
    // Milliseconds are enough to read, and the same on each machine.
    f64::from(u32::try_from(d.as_millis()).unwrap_or(u32::MAX)) / 1000.0
}

/// A snapshot for people: what there is, and what is not zero.
#[must_use]
pub fn render(snapshot: &Value) -> String {
    let mut out = String::new();
    for i in rows(&snapshot["interfaces"]) {
        render_interface(&mut out, i);
    }
    for (number, port) in rows(&snapshot["ports"]).enumerate() {
        line(&mut out, &format!("port {number}"), &[counts(port)]);
    }
    render_tables(&mut out, snapshot);
    let host = &snapshot["host"];
    line(&mut out, "host", &[counts(host)]);
    for (title, key) in [
        ("tcp", "tcp"),
        ("delivered", "delivered"),
        ("dropped in", "dropped_in"),
        ("dropped out", "dropped_out"),
    ] {
        line(&mut out, title, &[counts(&host[key])]);
    }
    let memory = &snapshot["tcp_memory"];
    if host["tcp"]["memory_peak"] != 0 {
        let words = format!("{} of {} bytes", memory["bytes"], memory["high"]);
        line(&mut out, "tcp memory", &[words, word(&memory["supply"])]);
    }
    line(&mut out, "services", &[counts(&snapshot["services"])]);
    let fragments = &snapshot["reassembly"];
    line(
        &mut out,
        "reassembly",
        &[counts(fragments), counts(&fragments["counters"])],
    );
    line(
        &mut out,
        "path mtu",
        &[counts(&snapshot["path_mtu_counters"])],
    );
    line(&mut out, "icmp errors", &[counts(&snapshot["icmp_rate"])]);
    let total = |key: &str| -> u64 {
        let all = host[key].as_object().into_iter().flat_map(Map::values);
        all.filter_map(Value::as_u64).sum()
    };
    let _ = writeln!(
        out,
        "law           in {} + looped {} {} delivered {} + forwarded {} + held {} + dropped {}",
        host["frames_in"],
        host["looped"],
        match snapshot["conserved"].as_bool() {
            Some(true) => "=",
            _ => "IS NOT",
        },
        total("delivered"),
        host["forwarded"],
        host["held"],
        total("dropped_in"),
    );
    out
}

fn render_interface(out: &mut String, i: &Value) {
    let vlan = i["vlan"]
        .as_u64()
        .map_or_else(String::new, |v| format!(" vlan {v}"));
    let _ = writeln!(
        out,
        "{:<13} port {}{vlan} {} mac {} mtu {}",
        word(&i["name"]),
        i["port"],
        if i["up"] == true { "up" } else { "DOWN" },
        word(&i["mac"]),
        i["mtu"]
    );
    for a in rows(&i["addresses"]) {
        let usable = match a["state"].as_str() {
            Some("duplicate") => ": another station has it; given up",
            Some("disabled") => ": IPv6 is off, since the address made from the MAC is a duplicate",
            _ if a["usable"] == true => "",
            _ => ", not usable yet",
        };
        line(
            out,
            "  address",
            &[format!(
                "{} {}{usable}{}",
                word(&a["address"]),
                word(&a["state"]),
                life(a)
            )],
        );
    }
    let anycast: Vec<String> = rows(&i["anycast"]).map(word).collect();
    if !anycast.is_empty() {
        line(out, "  anycast", &[anycast.join(" ")]);
    }
    for (title, key) in [("  in", "rx"), ("  out", "tx"), ("  queued", "queued")] {
        line(out, title, &[counts(&i[key])]);
    }
    for n in rows(&i["neighbors"]) {
        let mut words = format!(
            "{} {} {} for {} s",
            word(&n["ip"]),
            word(&n["mac"]),
            word(&n["state"]),
            n["seconds"]
        );
        if n["confirmed"] == true {
            words += ", confirmed";
        }
        if n["router"] == true {
            words += ", a router";
        }
        if let Some(rival) = n["rival"].as_str() {
            let _ = write!(words, ", claimed by {rival}");
        }
        if n["parked"] != 0 {
            let _ = write!(words, ", {} waiting", n["parked"]);
        }
        line(out, "  neighbor", &[words]);
    }
    render_routers(out, i);
    let said = &i["advertises"];
    if said["now"] == true {
        let prefixes: Vec<String> = rows(&said["prefixes"]).map(word).collect();
        let words = format!(
            "{} for {} s, next in {} s",
            prefixes.join(" "),
            said["lifetime"],
            said["next_in_seconds"]
        );
        line(out, "  advertises", &[words, counts(&said["counters"])]);
    }
    for g in rows(&i["groups"]) {
        let sources: Vec<String> = rows(&g["sources"]).map(word).collect();
        let words = format!(
            "{} {} {}",
            word(&g["group"]),
            word(&g["mode"]),
            sources.join(" ")
        );
        line(out, "  group", &[words.trim_end().to_owned()]);
    }
    for (title, key) in [
        ("  neighbors", "neighbor_counters"),
        ("  arp", "arp"),
        ("  ndp", "ndp"),
        ("  routers", "router_counters"),
        ("  own addr", "own_addresses"),
        ("  claims", "claims"),
        ("  claims6", "claims6"),
        ("  groups", "group_counters"),
        ("  groups6", "group6_counters"),
    ] {
        line(out, title, &[counts(&i[key])]);
    }
}

/// `, temporary, preferred for 30 s, valid for 60 s`, of an address that the host made.
fn life(a: &Value) -> String {
    let mut words = String::new();
    if a["made"] == "temporary" {
        words += ", temporary";
    }
    match a["preferred_seconds"].as_u64() {
        _ if a["deprecated"] == true => words += ", deprecated",
        Some(left) => words += &format!(", preferred for {left} s"),
        None => {}
    }
    if let Some(left) = a["valid_seconds"].as_u64() {
        words += &format!(", valid for {left} s");
    }
    words
}

/// What routers on the interface's link have said, and for how long it holds.
fn render_routers(out: &mut String, i: &Value) {
    for r in rows(&i["routers"]) {
        let silent = if r["silent"] == true { ", silent" } else { "" };
        let words = format!(
            "{} {}{silent}{}",
            word(&r["router"]),
            word(&r["preference"]),
            for_how_long(r)
        );
        line(out, "  router", &[words]);
    }
    let said = &i["link"];
    let mut words = Vec::new();
    for (name, key, unit) in [
        ("hop limit", "hop_limit", ""),
        ("mtu", "mtu", ""),
        ("reachable", "reachable_seconds", " s"),
        ("retrans", "retrans_seconds", " s"),
    ] {
        if !said[key].is_null() {
            words.push(format!("{name} {}{unit}", said[key]));
        }
    }
    line(out, "  link", &words);
    for (title, key) in [
        ("  dns server", "dns_servers"),
        ("  dns search", "dns_search"),
    ] {
        for n in rows(&i[key]) {
            line(
                out,
                title,
                &[format!("{}{}", word(&n["name"]), for_how_long(n))],
            );
        }
    }
}

/// `, 30 s left`, where an end is known.
fn for_how_long(row: &Value) -> String {
    match row["seconds_left"].as_u64() {
        Some(left) => format!(", {left} s left"),
        None => String::new(),
    }
}

fn render_tables(out: &mut String, snapshot: &Value) {
    for r in rows(&snapshot["routes"]) {
        let mut words = word(&r["to"]);
        match r["via"].as_str() {
            Some(via) => words += &format!(" via {via}"),
            None => words += &format!(" {}", word(&r["kind"])),
        }
        let _ = write!(
            words,
            " by {} metric {}",
            word(&r["interface"]),
            r["metric"]
        );
        line(out, "route", &[words]);
    }
    for r in rows(&snapshot["redirects"]) {
        let words = format!(
            "{} via {} by {}",
            word(&r["to"]),
            word(&r["via"]),
            word(&r["interface"])
        );
        line(out, "redirect", &[words]);
    }
    for p in rows(&snapshot["path_mtus"]) {
        let cut = if p["fragment"] == true {
            ", fragments"
        } else {
            ""
        };
        line(
            out,
            "path",
            &[format!("{} carries {}{cut}", word(&p["to"]), p["mtu"])],
        );
    }
    for s in rows(&snapshot["sockets"]) {
        let remote = s["remote"]
            .as_str()
            .map_or_else(String::new, |r| format!(" to {r}"));
        let mut words = format!("{} {}{remote}", word(&s["kind"]), word(&s["local"]));
        for key in ["waiting", "unsent"] {
            if s[key] != 0 {
                let _ = write!(words, ", {} {key}", s[key]);
            }
        }
        line(out, "socket", &[words, counts(&s["counters"])]);
    }
    for l in rows(&snapshot["listeners"]) {
        let words = format!("tcp {}", word(&l["local"]));
        line(out, "listener", &[words, counts(l)]);
    }
    for c in rows(&snapshot["connections"]) {
        let (local, remote) = (word(&c["local"]), word(&c["remote"]));
        let words = format!("tcp {local} to {remote} {}", word(&c["state"]));
        line(out, "connection", &[words, path(c), counts(c)]);
    }
}

/// What a connection has measured of its path, and how it goes about it.
fn path(c: &Value) -> String {
    let millis = |v: &Value| {
        v.as_f64()
            .map(|s| report::Millis(Duration::from_secs_f64(s)))
    };
    let mut words = Vec::new();
    if let Some(name) = c["congestion"].as_str() {
        words.push(name.to_owned());
    }
    for (name, key) in [("rtt", "rtt_seconds"), ("rto", "rto_seconds")] {
        if let Some(time) = millis(&c[key]) {
            words.push(format!("{name} {time} ms"));
        }
    }
    // Slow start has met no bound yet.
    if c["ssthresh"].is_null() && c["cwnd"].is_u64() {
        words.push("ssthresh -".to_owned());
    }
    words.join("  ")
}

/// A line with a title, where there is something to say.
fn line(out: &mut String, title: &str, parts: &[String]) {
    let said: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|p| !p.is_empty())
        .collect();
    if !said.is_empty() {
        let _ = writeln!(out, "{title:<13} {}", said.join("  "));
    }
}

/// The counters of an object that are not zero: `frames_in 3  echoes 3`.
fn counts(table: &Value) -> String {
    let all = table.as_object().into_iter().flatten();
    let counted = all.filter(|(_, v)| v.as_u64().is_some_and(|n| n > 0));
    let words: Vec<String> = counted.map(|(name, n)| format!("{name} {n}")).collect();
    words.join("  ")
}

fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stack::frame::Frame;
    use stack::host::{Config, InterfaceConfig};
    use stack::machine::{Fate, Machine as _, Port};
    use stack::rng::Rng;
    use stack::wire::MacAddr;

    fn host() -> Host {
        let mut host = Host::new(Config::default(), Rng::from_seed(1));
        let eth0 = InterfaceConfig::ethernet("tap0", Port(0), MacAddr([2, 0, 0, 0, 0, 2]));
        let eth0 = eth0.with_address("10.7.0.2/24".parse().unwrap());
        host.add_interface(Instant::ZERO, eth0);
        host.udp_bind("0.0.0.0:7".parse().unwrap()).unwrap();
        host.handle_frame(Instant::ZERO, Port(0), Frame::copy_from(&[0; 5]));
        host
    }

    #[test]
    fn json_has_every_reason_and_text_what_happened() {
        let snapshot = snapshot(&host(), &[PortStats::default()], Instant::ZERO);
        let dropped = snapshot["host"]["dropped_in"].as_object().unwrap();
        assert_eq!(dropped.len(), DropReason::COUNT);
        assert_eq!(dropped["link-truncated"], 1);
        assert_eq!(snapshot["host"]["frames_in"], 1);
        assert_eq!(snapshot["conserved"], true);
        assert_eq!(snapshot["tcp_memory"]["high"], 192 << 20);
        assert_eq!(
            snapshot["interfaces"][0]["addresses"][0]["address"],
            "10.7.0.2/24"
        );
        let text = render(&serde_json::from_str(&snapshot.to_string()).unwrap());
        for want in [
            "tap0          port 0 up mac 02:00:00:00:00:02 mtu 1500\n",
            "dropped in    link-truncated 1\n",
            "route         10.7.0.0/24 on-link by tap0 metric 0\n",
            "socket        udp *:7\n",
            "in 1 + looped 0 = delivered 0 + forwarded 0 + held 0 + dropped 1\n",
        ] {
            assert!(text.contains(want), "{want:?} is not in\n{text}");
        }
        assert!(!text.contains("udp-no-socket"), "{text}");
    }

    #[test]
    fn a_duplicate_is_called_so_and_an_mtu_is_the_one_in_use() {
        let mut host = Host::new(Config::default(), Rng::from_seed(1));
        let mut eth = InterfaceConfig::ethernet("tap0", Port(0), MacAddr([2, 0, 0, 0, 0, 2]));
        eth.autoconfigure = true;
        let eth = eth.with_address("fd07::2/64".parse().unwrap());
        host.add_interface(Instant::ZERO, eth);
        let shown = |host: &Host, now| {
            let snapshot = snapshot(host, &[PortStats::default()], now);
            render(&serde_json::from_str(&snapshot.to_string()).unwrap())
        };
        let text = shown(&host, Instant::ZERO);
        assert!(
            text.contains("fd07::2/64 probing, not usable yet"),
            "{text}"
        );
        // Somebody says that it has the address made from the MAC, while that is probed for.
        let station = MacAddr([2, 0, 0, 0, 0, 9]);
        let flags = ndp::Flags {
            router: false,
            solicited: false,
            overrides: true,
        };
        let made = "fe80::ff:fe00:2".parse().unwrap();
        let told = ndp::advertisement(station, made, ndp::ALL_NODES, None, flags);
        let fate = host.handle_frame(Instant::ZERO, Port(0), icmp6(station, made, told.message));
        assert_eq!(fate, Fate::Dropped(DropReason::NdpConflict));
        let text = shown(&host, Instant::ZERO);
        let duplicate = "fe80::ff:fe00:2/64 duplicate: another station has it; given up\n";
        assert!(text.contains(duplicate), "{text}");
        assert!(text.contains("fd07::2/64 disabled: IPv6 is off"), "{text}");
        // A router says that the link carries 9000.
        let mut host = Host::new(Config::default(), Rng::from_seed(1));
        let mut eth = InterfaceConfig::ethernet("tap0", Port(0), MacAddr([2, 0, 0, 0, 0, 2]));
        eth.autoconfigure = true;
        host.add_interface(Instant::ZERO, eth);
        let mut said = vec![134, 0, 0, 0, 0, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        said.extend([5, 1, 0, 0, 0, 0, 0x23, 0x28]);
        let router = "fe80::9".parse().unwrap();
        let sum = stack::wire::icmpv6::compute_checksum(router, ndp::ALL_NODES, &said);
        said[2..4].copy_from_slice(&sum.to_be_bytes());
        let fate = host.handle_frame(Instant::ZERO, Port(0), icmp6(station, router, said));
        assert!(matches!(fate, Fate::Delivered(_)), "{fate:?}");
        let text = shown(&host, Instant::ZERO);
        assert!(text.contains("link        mtu 1500\n"), "{text}");
    }

    /// A message of discovery's to all nodes, as a frame.
    fn icmp6(station: MacAddr, src: Ipv6Addr, message: Vec<u8>) -> Frame {
        let mut frame = Frame::from_bytes(message.into());
        let out = stack::net::ipv6::Outgoing {
            tos: 0,
            flow_label: 0,
            hop_limit: ndp::HOP_LIMIT,
            protocol: stack::wire::Protocol::ICMPV6,
            src,
            dst: ndp::ALL_NODES,
        };
        assert!(stack::net::ipv6::encapsulate(&mut frame, &out));
        let all = MacAddr::from_ipv6_multicast(ndp::ALL_NODES);
        let kind = stack::wire::EtherType::IPV6;
        stack::link::ethernet::encapsulate(&mut frame, all, station, None, kind);
        frame
    }

    #[test]
    fn a_connection_has_no_bound_before_its_first_loss() {
        let mut host = host();
        let (to, options) = ("10.7.0.1:7".parse().unwrap(), tcp::Options::default());
        host.tcp_connect(Instant::ZERO, to, None, options).unwrap();
        let snapshot = snapshot(&host, &[PortStats::default()], Instant::ZERO);
        let row = &snapshot["connections"][0];
        assert!(row["ssthresh"].is_null());
        assert!(row["min_rtt_seconds"].is_null() && row["pacing_rate"].is_null());
        for (name, want) in [
            ("snd_wnd", 0),
            ("in_flight", 0),
            ("sacked", 0),
            ("lost", 0),
            ("retrans", 0),
            ("delivery_rate", 0),
            ("last_data_received_seconds", 0),
        ] {
            assert_eq!(row[name].as_f64(), Some(f64::from(want)), "{name}");
        }
        assert_eq!(row["options"]["timestamps"], true);
        assert!(row["rcv_wnd"].is_u64() && row["rttvar_seconds"].is_f64());
        let text = render(&serde_json::from_str(&snapshot.to_string()).unwrap());
        assert!(
            text.contains("SYN-SENT  cubic  rto 1000 ms  ssthresh -"),
            "{text}"
        );
    }

    #[test]
    fn a_reader_is_answered_and_nothing_is_left_behind() {
        let host = host();
        let mut control = Control::open().unwrap();
        let path = control.path();
        #[expect(clippy::disallowed_methods, reason = "the other side of a socket")]
        let reader = std::thread::spawn({
            let path = path.clone();
            move || ask(&path).unwrap()
        });
        while !reader.is_finished() {
            control.accept(|| snapshot(&host, &[], Instant::ZERO));
            control.feed(Instant::ZERO);
            std::thread::yield_now();
        }
        let said: Value = serde_json::from_str(&reader.join().unwrap()).unwrap();
        assert_eq!(said, snapshot(&host, &[], Instant::ZERO));
        drop(control);
        assert!(!path.exists() && !path.parent().unwrap().exists());
    }
}
