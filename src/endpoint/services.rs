//! Services of a host: echo (RFC 862), discard (RFC 863), chargen (RFC 864) on UDP and TCP, and a
//! page and a sink on TCP.
//!
//! ```text
//!   host.poll_event -> Udp(handle, READABLE) --> Services::handle_event --> udp_send
//!                   -> Listener, Tcp         --> Streams
//! ```
//!
//! Read first: RFC 862, 863, 864; [`streams`](super::streams) for TCP.
//!
//! Promises: an answer comes from the address that was asked (RFC 1122 §4.1.3.5), and broadcasts and
//! groups get none, but for those of a link of IPv6, as with echo requests. So IPv4 has a socket per address and service; IPv6, whose addresses come and go
//! as routers say, has one for all of them. Nothing is answered to a port below 1024: two such
//! services, one with a forged source, would otherwise talk to each other for ever.

use super::iperf::{self, server::Server as Iperf};
pub use super::service::Service;
use super::service::pattern;
use super::streams::Streams;
use super::{Endpoint, Note, StartError, Waiting};
use stack::frame::Payload;
use stack::host::{Address, BindError, Event, Host, Interface, UdpHandle};
use stack::rng::Rng;
use stack::time::{Duration, Instant, earliest};
use stack::transport::tcp;
use stack::transport::udp::{self, Datagram};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Ports of servers, who ask nothing (RFC 6335 §6).
const SYSTEM_PORTS: std::ops::Range<u16> = 0..1024;
/// RFC 864: between 0 and 512 characters in a datagram.
const CHARGEN_MAX: usize = 512;

/// The services and their sockets.
#[derive(Clone, Debug)]
pub struct Services {
    sockets: Vec<(UdpHandle, Service)>,
    streams: Streams,
    iperf: Option<Box<Iperf>>,
    rng: Rng,
    received: u64,
    answered: u64,
}

impl Services {
    /// Opens, for each service, a socket on each of the host's addresses of IPv4, one on all that it has
    /// and will have of IPv6, and a listener on all.
    ///
    /// # Errors
    /// Where one is taken.
    pub fn open(
        host: &mut Host,
        wanted: &[Service],
        options: &tcp::Options,
        rng: &Rng,
    ) -> Result<Self, BindError> {
        let interfaces = || host.interfaces().iter();
        let held = interfaces().flat_map(|i| i.addresses().iter().map(|a| a.cidr.addr()));
        let mut addresses: Vec<IpAddr> = Vec::new();
        for addr in held.filter(IpAddr::is_ipv4) {
            if !addresses.contains(&addr) {
                addresses.push(addr);
            }
        }
        let six = |i: &Interface| {
            let config = i.config();
            let has = |a: &Address| a.cidr.addr().is_ipv6();
            config.ipv6 || config.autoconfigure || i.addresses().iter().any(has)
        };
        let all6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        addresses.extend(interfaces().any(six).then_some(all6));
        let options6 = udp::Options {
            only_v6: true,
            ..host.config().udp
        };
        let mut sockets = Vec::new();
        for &service in wanted.iter().filter(|s| s.has_datagrams()) {
            for &addr in &addresses {
                let at = SocketAddr::new(addr, service.port());
                let handle = match addr {
                    IpAddr::V4(_) => host.udp_bind(at)?,
                    IpAddr::V6(_) => host.udp_bind_with(at, options6)?,
                };
                sockets.push((handle, service));
            }
        }
        Ok(Self {
            sockets,
            streams: Streams::open(host, wanted, options)?,
            iperf: match wanted.contains(&Service::Iperf) {
                true => Some(Box::new(Iperf::open(host, iperf::PORT, options)?)),
                false => None,
            },
            rng: rng.fork("chargen"),
            received: 0,
            answered: 0,
        })
    }

    /// Serves what an event is about, where it is one of ours.
    pub fn handle_event(&mut self, now: Instant, host: &mut Host, event: &Event) {
        match event {
            Event::Udp(handle, _) => self.datagrams(host, now, *handle),
            event => {
                self.streams.handle_event(now, host, event);
                if let Some(iperf) = &mut self.iperf {
                    iperf.handle_event(now, host, event);
                    while let Some(outcome) = iperf.poll_outcome() {
                        log::info!("iperf: {outcome:?}");
                    }
                }
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let iperf = self.iperf.as_ref().and_then(|iperf| iperf.poll_timeout());
        earliest(self.streams.poll_timeout(), iperf)
    }

    /// Ends connections that have been silent for too long.
    pub fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        self.streams.handle_timeout(now, host);
        if let Some(iperf) = &mut self.iperf {
            iperf.handle_timeout(now, host);
        }
    }

    /// Those on TCP.
    #[must_use]
    pub const fn streams(&self) -> &Streams {
        &self.streams
    }

    fn datagrams(&mut self, host: &mut Host, now: Instant, handle: UdpHandle) {
        let Some((_, service)) = self.sockets.iter().find(|(h, _)| *h == handle).copied() else {
            return;
        };
        while let Some(datagram) = host.udp_recv(handle) {
            self.received += 1;
            let (from, to) = (datagram.from, datagram.to);
            if SYSTEM_PORTS.contains(&from.port()) || is_of_many(to.ip()) {
                continue;
            }
            let Some(answer) = self.answer(service, datagram) else {
                continue;
            };
            match host.udp_answer(now, handle, answer, (from, to)) {
                Ok(()) => self.answered += 1,
                // As any datagram, an answer may be lost.
                Err(e) => log::debug!("{service:?} to {from}: {e}"),
            }
        }
    }

    fn answer(&mut self, service: Service, datagram: Datagram) -> Option<Payload> {
        match service {
            Service::Echo => Some(datagram.payload),
            Service::Chargen => {
                let bound = u64::try_from(CHARGEN_MAX).unwrap_or(0) + 1;
                let len = usize::try_from(self.rng.below(bound)).unwrap_or(0);
                let pattern = pattern();
                Some(pattern.slice(..len.min(pattern.len())).into())
            }
            _ => None,
        }
    }
}

/// Whether what is sent there may be answered by more than a link's hosts. (To all of those on its link
/// a host of IPv6 speaks, as it answers their echo requests.)
const fn is_of_many(to: IpAddr) -> bool {
    match to {
        IpAddr::V4(to) => to.is_multicast(),
        IpAddr::V6(to) => to.is_multicast() && !matches!(to.segments(), [0xff02, ..]),
    }
}

/// Services as a program of a host: opened once its addresses may be used.
#[derive(Clone, Debug)]
pub struct Server {
    wanted: Vec<Service>,
    options: tcp::Options,
    reading: Option<(usize, Duration)>,
    rng: Rng,
    services: Option<Services>,
    failed: Option<BindError>,
    notes: Waiting<Note>,
}

impl Server {
    /// A server of `wanted`.
    #[must_use]
    pub fn new(wanted: Vec<Service>, rng: &Rng) -> Self {
        Self {
            wanted,
            options: tcp::Options::default(),
            reading: None,
            rng: rng.clone(),
            services: None,
            failed: None,
            notes: Waiting::new(),
        }
    }

    /// The same, with connections that are not the usual.
    #[must_use]
    pub fn with_options(mut self, options: tcp::Options) -> Self {
        self.options = options;
        self
    }

    /// The same, with a discard and a sink that read at most so many bytes at a time and wait so long
    /// before each.
    #[must_use]
    pub const fn reading(mut self, reading: Option<(usize, Duration)>) -> Self {
        self.reading = reading;
        self
    }

    /// Opens the sockets, unless an address is still being probed for.
    fn open(&mut self, host: &mut Host) -> Result<(), BindError> {
        let mut addresses = host.interfaces().iter().flat_map(|i| i.addresses());
        if self.services.is_none() && addresses.all(|a| a.usable) {
            let mut services = Services::open(host, &self.wanted, &self.options, &self.rng)?;
            services.streams.set_reading(self.reading);
            self.services = Some(services);
            self.notes.push(Note::new("serving"));
        }
        Ok(())
    }
}

impl Endpoint for Server {
    const METRICS: &'static [&'static str] = &[
        "received",
        "answered",
        "accepted",
        "closed",
        "broken",
        "silent",
        "evicted",
        "connections",
        "bytes-in",
        "bytes-out",
        "requests",
        "sink.flows",
        "sink.whole",
        "sink.bytes",
        "sink.wrong",
        "sink.foreign",
        "sink.cut",
        "sink.goodput",
        "sink.checksum",
    ];

    const NOTES: &'static [&'static str] = &["serving", "failed"];

    fn start(&mut self, _: Instant, host: &mut Host) -> Result<(), StartError> {
        Ok(self.open(host)?)
    }

    fn handle_event(&mut self, now: Instant, host: &mut Host, event: &Event) {
        match (event, &mut self.services) {
            (event, Some(services)) => services.handle_event(now, host, event),
            (Event::AddressUsable { .. }, None) if self.failed.is_none() => {
                if let Err(error) = self.open(host) {
                    self.failed = Some(error);
                    self.notes.push(Note::new("failed"));
                }
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.services.as_ref().and_then(Services::poll_timeout)
    }

    fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        if let Some(services) = &mut self.services {
            services.handle_timeout(now, host);
        }
    }

    fn poll_note(&mut self) -> Option<Note> {
        self.notes.pop()
    }

    fn measure(&self, metric: &str) -> Option<u64> {
        let services = self.services.as_ref()?;
        let streams = &services.streams;
        let stats = streams.stats();
        Some(match metric {
            "received" => services.received,
            "answered" => services.answered,
            "accepted" => stats.accepted,
            "closed" => stats.closed,
            "broken" => stats.broken,
            "silent" => stats.silent,
            "evicted" => stats.evicted,
            "connections" => super::count(streams.len()),
            "bytes-in" => stats.bytes_in,
            "bytes-out" => stats.bytes_out,
            "requests" => stats.requests,
            _ => return streams.sunk().measure(metric.strip_prefix("sink.")?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::pair;
    use stack::machine::{Machine as _, Port};

    #[test]
    fn a_links_group_of_ipv6_is_answered_and_no_other() {
        for (ours, group, answers) in [
            ("fd07::1/64", "[ff02::1]:7", true),
            ("10.7.0.1/24", "224.0.0.1:7", false),
        ] {
            let mut hosts = [
                pair::host(1, ours),
                pair::host(2, &ours.replace("1/", "2/")),
            ];
            // Until the addresses may be used.
            for second in 0..5 {
                settle(&mut hosts, Instant::ZERO + Duration::from_secs(second));
            }
            let now = Instant::ZERO + Duration::from_secs(5);
            let rng = Rng::from_seed(1);
            let options = tcp::Options::default();
            let opened = Services::open(&mut hosts[1], &[Service::Echo], &options, &rng);
            let mut services = opened.unwrap();
            let from = if answers { "[::]:4000" } else { "0.0.0.0:4000" };
            let asker = hosts[0].udp_bind(from.parse().unwrap()).unwrap();
            let text = Payload::from(bytes::Bytes::from_static(b"who is there"));
            let to = Some(group.parse().unwrap());
            hosts[0].udp_send(now, asker, text, to).unwrap();
            settle(&mut hosts, now);
            while let Some(event) = hosts[1].poll_event() {
                services.handle_event(now, &mut hosts[1], &event);
            }
            settle(&mut hosts, now);
            let answer = hosts[0].udp_recv(asker);
            assert_eq!(answer.is_some(), answers, "{group}");
            if let Some(answer) = answer {
                assert_eq!(answer.payload.to_bytes().as_ref(), b"who is there");
                assert!(!answer.from.ip().is_multicast(), "{}", answer.from);
            }
        }
    }

    /// Passes frames until nobody has any.
    fn settle(hosts: &mut [Host; 2], now: Instant) {
        let mut moved = true;
        while moved {
            moved = false;
            for from in 0..2 {
                if hosts[from].poll_timeout().is_some_and(|at| at <= now) {
                    hosts[from].handle_timeout(now);
                }
                while let Some(frame) = hosts[from].poll_transmit(now, Port(0)) {
                    let _ = hosts[1 - from].handle_frame(now, Port(0), frame);
                    moved = true;
                }
            }
        }
    }
}
