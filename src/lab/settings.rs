//! How one node differs from any other: the policies and limits of a host that a file may set.
//!
//! ```text
//!   [[node]]
//!   settings = { icmp_rate = 10, probe_addresses = true }  --apply--> host::Config
//!                                                          \--> InterfaceConfig of each port
//! ```
//!
//! Only what is set is changed. What each means is said at the field of
//! [`host::Config`] or [`tcp::Options`] that it goes to. A client over TCP may have some of its own:
//! those that begin with `tcp_`.

use super::units::{duration, size, write_duration, write_size};
use serde::Deserialize;
use stack::host::{self, InterfaceConfig};
use stack::net::neighbor;
use stack::time::Duration;
use stack::transport::tcp;
use std::fmt::{self, Write as _};
use std::marker::PhantomData;

macro_rules! words {
    ($($(#[$meta:meta])* $name:ident as $of:path { $($(#[$doc:meta])* $variant:ident: $word:literal,)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
            pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant,)* }

            impl $name {
                /// Its name in a file.
                #[must_use]
                pub const fn name(self) -> &'static str {
                    match self { $(Self::$variant => $word,)* }
                }
            }

            impl From<$name> for $of {
                fn from(word: $name) -> Self {
                    match word { $($name::$variant => Self::$variant,)* }
                }
            }

            impl Value for $name {
                fn write(&self) -> String {
                    format!("\"{}\"", self.name())
                }
            }
        )*
    };
}

words! {
    /// Congestion control.
    Congestion as tcp::Algorithm {
        /// RFC 5681.
        Reno: "reno",
        /// RFC 9438.
        Cubic: "cubic",
        /// BBR.
        Bbr: "bbr",
    }
    /// Whose defaults TCP has.
    System as Defaults {
        /// Linux's.
        Linux: "linux",
        /// FreeBSD's.
        FreeBsd: "freebsd",
    }
    /// Explicit congestion notification.
    Ecn as tcp::options::Ecn {
        /// Never.
        Off: "off",
        /// Where the peer asks for it.
        Passive: "passive",
        /// Asked for.
        Active: "active",
        /// Asked for, and counted where the peer can (RFC 9768).
        Accurate: "accurate",
    }
    /// When small segments wait.
    Nagle as tcp::options::Nagle {
        /// While anything is unacknowledged.
        Classic: "classic",
        /// While another small one is.
        Minshall: "minshall",
        /// Never.
        Off: "off",
    }
    /// Whom to believe where an address is claimed for another MAC.
    Claims as neighbor::Claims {
        /// Who is known, as long as it answers.
        Verify: "verify",
        /// Who says so last.
        Believe: "believe",
    }
    /// Path MTU discovery without ICMP.
    MtuProbing as tcp::options::MtuProbing {
        /// Never.
        Off: "off",
        /// Once the path looks like a black hole.
        BlackHole: "black-hole",
        /// From the start.
        Always: "always",
    }
}

/// Where TCP's options begin from.
enum Defaults {
    Linux,
    FreeBsd,
}

/// A value that a file can hold.
trait Value: Sized {
    /// As TOML.
    fn write(&self) -> String;
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])* $name:ident: $type:ty,)*) => {
        /// Policies and limits of one node; `None` is what any host has.
        #[derive(Clone, Debug, Default, Deserialize, PartialEq)]
        #[serde(deny_unknown_fields, default)]
        pub struct Settings { $($(#[doc = $doc])* pub $name: Option<$type>,)* }

        impl Settings {
            /// Each key, and what it is about.
            pub const ABOUT: &'static [(&'static str, &'static str)] =
                &[$((stringify!($name), concat!($($doc),*)),)*];

            /// As an inline table's content: `ttl = 3, echo = false`; empty where nothing is set.
            #[must_use]
            pub fn to_toml(&self) -> String {
                let mut text = String::new();
                $(if let Some(value) = &self.$name {
                    let comma = if text.is_empty() { "" } else { ", " };
                    let _ = write!(text, "{comma}{} = {}", stringify!($name), value.write());
                })*
                text
            }

            /// The keys that are set.
            fn keys(&self) -> impl Iterator<Item = &'static str> {
                let all = [$(self.$name.is_some().then_some(stringify!($name)),)*];
                all.into_iter().flatten()
            }
        }
    };
}

settings! {
    /// Forward packets that are not for us; a router does, a host does not.
    forwarding: bool,
    /// Answer echo requests.
    echo: bool,
    /// Answer echo requests to broadcast addresses.
    echo_broadcast: bool,
    /// Follow redirects.
    accept_redirects: bool,
    /// Send redirects.
    send_redirects: bool,
    /// Time to live of what it sends.
    ttl: u8,
    /// MTU of its ports; else that of the wires.
    mtu: Bytes,
    /// Probe for other holders before using an address (RFC 5227; RFC 4862 §5.4).
    probe_addresses: bool,
    /// Take frames for other stations.
    promiscuous: bool,
    /// TCP hands over up to 64 KiB at once, which is cut at the wire; else segment by segment.
    tso: bool,
    /// Reverse path check.
    reverse_path: super::topology::ReversePath,
    /// ICMP errors a second to all; 0 with `icmp_burst = 0` for a node that never says why.
    icmp_rate: u32,
    /// ICMP errors at once to all.
    icmp_burst: u32,
    /// ICMP errors a second to one peer.
    icmp_peer_rate: u32,
    /// ICMP errors at once to one peer.
    icmp_peer_burst: u32,
    /// How long fragments wait for the others.
    reassembly_timeout: Time,
    /// Bytes of fragments held.
    reassembly_bytes: Bytes,
    /// Bytes of fragments held of one source.
    reassembly_bytes_per_source: Bytes,
    /// Datagrams begun.
    reassembly_datagrams: Bytes,
    /// A bug planted in reassembly, for tests that must find one: fragments out of order are lost.
    planted_off_by_one: bool,
    /// Neighbours known.
    neighbor_entries: Bytes,
    /// Resolutions under way.
    neighbor_incomplete: Bytes,
    /// Packets that wait for one neighbour.
    neighbor_parked: Bytes,
    /// How long a neighbour counts as reachable.
    neighbor_reachable: Time,
    /// Between two requests for one neighbour.
    neighbor_retransmit: Time,
    /// Requests for an unknown neighbour.
    neighbor_solicits: u32,
    /// An address claimed for another MAC: verify, that the known one is silent, or believe.
    neighbor_claims: Claims,
    /// The least path MTU that is believed.
    pmtu_least: u16,
    /// How long a path MTU is believed.
    pmtu_age: Time,
    /// Bytes that wait in a socket to be read.
    udp_receive: Bytes,
    /// Bytes that wait in a socket to be sent.
    udp_send: Bytes,
    /// Bytes that its discard and its sink read at a time; with `read_every`.
    read_bytes: Bytes,
    /// How long they wait before they read again, the first time as well.
    read_every: Time,
    /// TCP connections in any state.
    max_connections: Bytes,
    /// Connections that nobody holds any more and that are still to be closed in good order.
    max_orphans: Bytes,
    /// Connections in TIME-WAIT.
    max_time_waits: Bytes,
    /// Data of all TCP connections together above which nothing grows; half more is the bound.
    tcp_memory: Bytes,
    /// TCP: whose defaults its clients and services begin from: linux or freebsd.
    tcp_system: System,
    /// TCP: congestion control.
    tcp_congestion: Congestion,
    /// TCP: a congestion window of so many bytes, which nothing moves.
    tcp_fixed_window: Bytes,
    /// TCP: explicit congestion notification: off, passive, active or accurate.
    tcp_ecn: Ecn,
    /// TCP: when small segments wait: classic, minshall or off (`TCP_NODELAY`).
    tcp_nagle: Nagle,
    /// TCP: send only full segments, for at most 200 ms.
    tcp_cork: bool,
    /// TCP: path MTU discovery without ICMP: off, black-hole or always.
    tcp_mtu_probing: MtuProbing,
    /// TCP: selective acknowledgments.
    tcp_sack: bool,
    /// TCP: report duplicates.
    tcp_dsack: bool,
    /// TCP: timestamps.
    tcp_timestamps: bool,
    /// TCP: window scaling.
    tcp_window_scaling: bool,
    /// TCP: find losses by time (RFC 8985); else by three duplicates.
    tcp_rack: bool,
    /// TCP: probe for a lost tail.
    tcp_tail_loss_probe: bool,
    /// TCP: detect spurious timeouts.
    tcp_frto: bool,
    /// TCP: leave slow start early.
    tcp_hystart: bool,
    /// TCP: spread segments over the round trip.
    tcp_pacing: bool,
    /// TCP: segments of the initial window.
    tcp_initial_window: u16,
    /// TCP: largest segment.
    tcp_mss: u16,
    /// TCP: most bytes of a receive buffer.
    tcp_receive_buffer: Bytes,
    /// TCP: most bytes of a send buffer.
    tcp_send_buffer: Bytes,
    /// TCP: how long an acknowledgment waits.
    tcp_delayed_ack: Time,
    /// TCP: segments that are acknowledged at once at the start.
    tcp_quick_acks: u8,
    /// TCP: silence after which the peer is probed; else it is not.
    tcp_keepalive: Time,
    /// TCP: between two of these probes.
    tcp_keepalive_interval: Time,
    /// TCP: probes without an answer that end a connection.
    tcp_keepalive_probes: u8,
    /// TCP: how long data may stay unacknowledged, or a closed window keep it here.
    tcp_user_timeout: Time,
    /// TCP: retransmission timeout before there is a sample.
    tcp_rto_initial: Time,
    /// TCP: lower bound of the retransmission timeout.
    tcp_rto_min: Time,
    /// TCP: upper bound of the retransmission timeout.
    tcp_rto_max: Time,
    /// TCP: timeouts in a row that end a connection.
    tcp_retries: u8,
    /// TCP: SYNs sent again before an attempt fails.
    tcp_syn_retries: u8,
    /// TCP: how long TIME-WAIT lasts.
    tcp_time_wait: Time,
    /// TCP: data in the SYN, where a cookie is known or wanted.
    tcp_fast_open: bool,
    /// Forwarded packets that wait for one port.
    forward_queue: Bytes,
    /// ICMP messages that wait for one port.
    reply_queue: Bytes,
}

impl Settings {
    /// Sets what is set.
    pub fn apply(&self, config: &mut host::Config) {
        set(&mut config.forwarding, self.forwarding);
        set(&mut config.echo, self.echo);
        set(&mut config.echo_broadcast, self.echo_broadcast);
        set(&mut config.accept_redirects, self.accept_redirects);
        set(&mut config.send_redirects, self.send_redirects);
        set(&mut config.ttl, self.ttl);
        set(&mut config.udp.ttl, self.ttl);
        set(&mut config.icmp_rate.rate, self.icmp_rate);
        set(&mut config.icmp_rate.burst, self.icmp_burst);
        set(&mut config.icmp_rate.peer_rate, self.icmp_peer_rate);
        set(&mut config.icmp_rate.peer_burst, self.icmp_peer_burst);
        let reassembly = &mut config.reassembly;
        set(
            &mut reassembly.timeout,
            self.reassembly_timeout.map(|t| t.0),
        );
        set(&mut reassembly.max_bytes, count(self.reassembly_bytes));
        let per_source = count(self.reassembly_bytes_per_source);
        set(&mut reassembly.max_bytes_per_source, per_source);
        set(
            &mut reassembly.max_datagrams,
            count(self.reassembly_datagrams),
        );
        set(&mut reassembly.planted_off_by_one, self.planted_off_by_one);
        let neighbor = &mut config.neighbor;
        set(&mut neighbor.max_entries, count(self.neighbor_entries));
        set(
            &mut neighbor.max_incomplete,
            count(self.neighbor_incomplete),
        );
        set(
            &mut neighbor.max_parked_per_entry,
            count(self.neighbor_parked),
        );
        let reachable = self.neighbor_reachable.map(|t| t.0);
        set(&mut neighbor.base_reachable_time, reachable);
        let retransmit = self.neighbor_retransmit.map(|t| t.0);
        set(&mut neighbor.retrans_timer, retransmit);
        set(&mut neighbor.max_multicast_solicit, self.neighbor_solicits);
        set(&mut neighbor.claims, self.neighbor_claims.map(Into::into));
        set(&mut config.pmtu.min_pmtu, self.pmtu_least);
        set(&mut config.pmtu.age, self.pmtu_age.map(|t| Some(t.0)));
        set(&mut config.udp.receive_limit, count(self.udp_receive));
        set(&mut config.udp.send_limit, count(self.udp_send));
        set(&mut config.max_forwarded, count(self.forward_queue));
        set(&mut config.max_replies, count(self.reply_queue));
        set(&mut config.max_connections, count(self.max_connections));
        set(&mut config.max_orphans, count(self.max_orphans));
        set(&mut config.max_time_waits, count(self.max_time_waits));
        let memory = self.tcp_memory.map(|Bytes(n)| host::TcpMemory::around(n));
        set(&mut config.tcp_memory, memory);
    }

    /// The options of its connections.
    #[must_use]
    pub fn tcp(&self) -> tcp::Options {
        let mut options = match self.tcp_system.map(Defaults::from) {
            Some(Defaults::FreeBsd) => tcp::Options::freebsd(),
            Some(Defaults::Linux) | None => tcp::Options::default(),
        };
        set(&mut options.ttl, self.ttl);
        self.apply_to_tcp(&mut options);
        options
    }

    /// Those of a client that has `own` settings besides.
    #[must_use]
    pub fn tcp_of(&self, own: &Self) -> tcp::Options {
        if own.tcp_system.is_none() {
            let mut options = self.tcp();
            own.apply_to_tcp(&mut options);
            return options;
        }
        let node = Self {
            tcp_system: own.tcp_system,
            ..self.clone()
        };
        let mut options = node.tcp();
        own.apply_to_tcp(&mut options);
        options
    }

    fn apply_to_tcp(&self, options: &mut tcp::Options) {
        let time = |t: Option<Time>| t.map(|t| t.0);
        set(&mut options.congestion, self.tcp_congestion.map(Into::into));
        let fixed = self.tcp_fixed_window.map(small);
        set(&mut options.congestion, fixed.map(tcp::Algorithm::Fixed));
        set(&mut options.ecn, self.tcp_ecn.map(Into::into));
        set(&mut options.nagle, self.tcp_nagle.map(Into::into));
        let probing = self.tcp_mtu_probing.map(Into::into);
        set(&mut options.mtu_probing, probing);
        set(&mut options.cork, self.tcp_cork);
        set(&mut options.sack, self.tcp_sack);
        set(&mut options.dsack, self.tcp_dsack);
        set(&mut options.timestamps, self.tcp_timestamps);
        set(&mut options.window_scaling, self.tcp_window_scaling);
        set(&mut options.rack, self.tcp_rack);
        set(&mut options.tail_loss_probe, self.tcp_tail_loss_probe);
        set(&mut options.frto, self.tcp_frto);
        set(&mut options.hystart, self.tcp_hystart);
        set(&mut options.pacing, self.tcp_pacing);
        set(&mut options.initial_window, self.tcp_initial_window);
        set(&mut options.mss, self.tcp_mss.map(Some));
        buffer(&mut options.recv_buffer, self.tcp_receive_buffer);
        buffer(&mut options.send_buffer, self.tcp_send_buffer);
        set(&mut options.delayed_ack, time(self.tcp_delayed_ack));
        set(&mut options.quick_acks, self.tcp_quick_acks);
        self.apply_to_keepalive(options);
        let patience = time(self.tcp_user_timeout).map(Some);
        set(&mut options.user_timeout, patience);
        set(&mut options.rto_initial, time(self.tcp_rto_initial));
        set(&mut options.rto_min, time(self.tcp_rto_min));
        set(&mut options.rto_max, time(self.tcp_rto_max));
        set(&mut options.retries2, self.tcp_retries);
        set(&mut options.syn_retries, self.tcp_syn_retries);
        set(&mut options.time_wait, time(self.tcp_time_wait));
        set(&mut options.fast_open, self.tcp_fast_open);
    }

    fn apply_to_keepalive(&self, options: &mut tcp::Options) {
        let (every, probes) = (self.tcp_keepalive_interval, self.tcp_keepalive_probes);
        if let Some(Time(idle)) = self.tcp_keepalive {
            options.keepalive.get_or_insert_default().idle = idle;
        }
        if let Some(keepalive) = &mut options.keepalive {
            set(&mut keepalive.interval, every.map(|t| t.0));
            set(&mut keepalive.probes, probes);
        }
    }

    /// The first key that is set and says nothing of TCP.
    #[must_use]
    pub fn besides_tcp(&self) -> Option<&'static str> {
        self.keys().find(|key| !key.starts_with("tcp_"))
    }

    /// The first key of TCP that cannot be as it is, and why.
    #[must_use]
    pub fn wrong_tcp(&self) -> Option<(&'static str, &'static str)> {
        let zero = |t: Option<Time>| t.is_some_and(|t| t.0.is_zero());
        let none = |b: Option<Bytes>| b == Some(Bytes(0));
        let shortest = self.tcp_rto_min.map(|t| t.0);
        let longest = self.tcp_rto_max.map(|t| t.0);
        let wrong: [(bool, &str, &str); 15] = [
            (
                self.tcp_mss.is_some_and(|mss| mss < 48),
                "tcp_mss",
                "a segment takes at least 48 bytes",
            ),
            (
                self.tcp_initial_window == Some(0),
                "tcp_initial_window",
                "a window of 0 segments sends nothing",
            ),
            (
                none(self.tcp_fixed_window),
                "tcp_fixed_window",
                "a window of 0 bytes sends nothing",
            ),
            (
                self.tcp_fixed_window.is_some() && self.tcp_congestion.is_some(),
                "tcp_fixed_window",
                "a fixed window and `tcp_congestion` exclude each other",
            ),
            (
                none(self.tcp_receive_buffer),
                "tcp_receive_buffer",
                "a buffer of 0 bytes takes nothing",
            ),
            (
                none(self.tcp_send_buffer),
                "tcp_send_buffer",
                "a buffer of 0 bytes takes nothing",
            ),
            (
                self.tcp_delayed_ack
                    .is_some_and(|t| t.0 > Duration::from_millis(500)),
                "tcp_delayed_ack",
                "an acknowledgment waits half a second at most",
            ),
            (
                zero(self.tcp_rto_min),
                "tcp_rto_min",
                "a timeout of 0 never ends",
            ),
            (
                zero(self.tcp_rto_initial),
                "tcp_rto_initial",
                "a timeout of 0 never ends",
            ),
            (
                zero(self.tcp_rto_max),
                "tcp_rto_max",
                "a timeout of 0 never ends",
            ),
            (
                matches!((shortest, longest), (Some(a), Some(b)) if a > b),
                "tcp_rto_max",
                "it is less than `tcp_rto_min`",
            ),
            (
                zero(self.tcp_keepalive) || zero(self.tcp_keepalive_interval),
                "tcp_keepalive",
                "probes without a pause never end",
            ),
            (
                self.tcp_keepalive_probes == Some(0),
                "tcp_keepalive_probes",
                "no probe can go unanswered where none is sent",
            ),
            (
                self.read_bytes.is_some() != self.read_every.is_some(),
                "read_bytes",
                "`read_bytes` and `read_every` go together",
            ),
            (
                none(self.read_bytes) || zero(self.read_every),
                "read_bytes",
                "a reader takes some bytes in some time",
            ),
        ];
        let found = wrong.into_iter().find(|(wrong, ..)| *wrong);
        found.map(|(_, key, why)| (key, why))
    }

    /// How its services read, where not at once.
    #[must_use]
    pub fn reading(&self) -> Option<(usize, Duration)> {
        count(self.read_bytes).zip(self.read_every.map(|t| t.0))
    }

    /// Sets what is set of one interface.
    pub fn apply_to_interface(&self, config: &mut InterfaceConfig) {
        use super::topology::ReversePath;
        set(&mut config.mtu, count(self.mtu));
        set(&mut config.probe_addresses, self.probe_addresses);
        set(&mut config.promiscuous, self.promiscuous);
        set(&mut config.tso, self.tso);
        let path = self.reverse_path.map(|path| match path {
            ReversePath::Off => host::ReversePath::Off,
            ReversePath::Strict => host::ReversePath::Strict,
            ReversePath::Loose => host::ReversePath::Loose,
        });
        set(&mut config.reverse_path, path);
    }
}

/// A buffer that grows no further.
fn buffer(place: &mut tcp::options::Buffer, max: Option<Bytes>) {
    if let Some(Bytes(max)) = max {
        place.max = small(Bytes(max));
        place.initial = place.initial.min(place.max);
    }
}

fn small(bytes: Bytes) -> u32 {
    u32::try_from(bytes.0).unwrap_or(u32::MAX)
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn count(bytes: Option<Bytes>) -> Option<usize> {
    bytes.map(|b| usize::try_from(b.0).unwrap_or(usize::MAX))
}

/// A duration in a file: `"20ms"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Duration);

/// A size or a number in a file: `1500` or `"64KiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl Value for bool {
    fn write(&self) -> String {
        self.to_string()
    }
}

impl Value for u8 {
    fn write(&self) -> String {
        self.to_string()
    }
}

impl Value for u16 {
    fn write(&self) -> String {
        self.to_string()
    }
}

impl Value for u32 {
    fn write(&self) -> String {
        self.to_string()
    }
}

impl Value for Time {
    fn write(&self) -> String {
        format!("\"{}\"", write_duration(self.0))
    }
}

impl Value for Bytes {
    fn write(&self) -> String {
        let text = write_size(self.0);
        match text.parse::<u64>() {
            Ok(plain) => plain.to_string(),
            Err(_) => format!("\"{text}\""),
        }
    }
}

impl Value for super::topology::ReversePath {
    fn write(&self) -> String {
        format!("\"{}\"", self.name())
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        scalar(d, "a duration, as \"20ms\"", |text| {
            duration(text).map(Self).map_err(|e| e.to_string())
        })
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        scalar(d, "a size, as 1500 or \"64KiB\"", |text| {
            size(text).map(Self).map_err(|e| e.to_string())
        })
    }
}

/// Reads a number or a text as the text that was written.
pub(super) fn scalar<'de, D: serde::Deserializer<'de>, T>(
    d: D,
    want: &'static str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    d.deserialize_any(Scalar {
        want,
        parse,
        value: PhantomData,
    })
}

struct Scalar<T, F> {
    want: &'static str,
    parse: F,
    value: PhantomData<T>,
}

impl<T, F: Fn(&str) -> Result<T, String>> serde::de::Visitor<'_> for Scalar<T, F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.want)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<T, E> {
        self.visit_str(&n.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, n: u64) -> Result<T, E> {
        self.visit_str(&n.to_string())
    }

    // The shortest decimal that means the same float is what was written.
    fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<T, E> {
        self.visit_str(&n.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_reaches_the_host_and_the_rest_stays() {
        let text = "ttl = 3\nicmp_rate = 7\nreassembly_timeout = '2s'\nudp_receive = '4KiB'\n\
            mtu = 600\nreverse_path = 'strict'";
        let settings: Settings = toml::from_str(text).unwrap();
        let (mut config, plain) = (host::Config::default(), host::Config::default());
        settings.apply(&mut config);
        assert_eq!((config.ttl, config.udp.ttl), (3, 3));
        assert_eq!(config.icmp_rate.rate, 7);
        assert_eq!(config.icmp_rate.burst, plain.icmp_rate.burst);
        assert_eq!(config.reassembly.timeout, Duration::from_secs(2));
        assert_eq!(config.udp.receive_limit, 4096);
        let mut port = InterfaceConfig::ip("p", stack::machine::Port(0));
        settings.apply_to_interface(&mut port);
        assert_eq!(port.mtu, 600);
        assert_eq!(port.reverse_path, host::ReversePath::Strict);
        let file: Settings = toml::from_str(
            "tcp_congestion = 'bbr'\ntcp_sack = false\ntcp_receive_buffer = '32KiB'",
        )
        .unwrap();
        let options = file.tcp();
        assert_eq!(options.congestion, tcp::Algorithm::Bbr);
        assert!(!options.sack && options.timestamps);
        let buffer = options.recv_buffer;
        assert_eq!((buffer.initial, buffer.max), (32 << 10, 32 << 10));
        let again: Settings = toml::from_str(&settings.to_toml().replace(", ", "\n")).unwrap();
        assert_eq!(again, settings);
    }
}
