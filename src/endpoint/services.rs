//! Services on UDP: echo (RFC 862), discard (RFC 863), chargen (RFC 864).
//!
//! ```text
//!   host.poll_event -> Udp(handle, READABLE) --> Services::handle --> udp_send
//! ```
//!
//! Promises: one socket per address and service, so that an answer comes from the address that was
//! asked (RFC 1122 §4.1.3.5) and broadcasts get none. Nothing is answered to a port below 1024:
//! two such services, one with a forged source, would otherwise talk to each other for ever.

use super::{Endpoint, Note, StartError, Waiting};
use bytes::Bytes;
use serde::Deserialize;
use stack::frame::Payload;
use stack::host::{BindError, Event, Host, UdpHandle};
use stack::rng::Rng;
use stack::time::Instant;
use stack::transport::udp::Datagram;
use std::net::{IpAddr, SocketAddr};

/// Ports of servers, who ask nothing (RFC 6335 §6).
const SYSTEM_PORTS: std::ops::Range<u16> = 0..1024;
/// RFC 864: between 0 and 512 characters.
const CHARGEN_MAX: usize = 512;
/// RFC 864's pattern: lines of 72 out of the 95 printing characters, each begun one further.
const LINE: usize = 72;
const PRINTABLE: usize = 95;

/// A service on UDP (RFC 862, 863, 864).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Port 7: what comes is sent back.
    Echo,
    /// Port 9: what comes is thrown away.
    Discard,
    /// Port 19: characters for every datagram.
    Chargen,
}

/// The services and their sockets.
#[derive(Clone, Debug)]
pub struct Services {
    sockets: Vec<(UdpHandle, Service)>,
    /// Only where chargen is among them: there may be ten thousand of us.
    pattern: Bytes,
    rng: Rng,
    received: u64,
    answered: u64,
}

impl Service {
    /// Its name in a file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Discard => "discard",
            Self::Chargen => "chargen",
        }
    }

    /// Its well-known port.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Echo => 7,
            Self::Discard => 9,
            Self::Chargen => 19,
        }
    }
}

impl Services {
    /// Opens a socket for each service on each of the host's addresses.
    ///
    /// # Errors
    /// Where one is taken.
    pub fn open(host: &mut Host, wanted: &[Service], rng: &Rng) -> Result<Self, BindError> {
        let interfaces = host.interfaces().iter();
        let addresses: Vec<IpAddr> = interfaces
            .flat_map(|i| i.addresses().iter().map(|a| a.cidr.addr()))
            .collect();
        let mut sockets = Vec::new();
        for &service in wanted {
            for &addr in &addresses {
                let handle = host.udp_bind(SocketAddr::new(addr, service.port()))?;
                sockets.push((handle, service));
            }
        }
        Ok(Self {
            sockets,
            pattern: match wanted.contains(&Service::Chargen) {
                true => pattern(),
                false => Bytes::new(),
            },
            rng: rng.fork("chargen"),
            received: 0,
            answered: 0,
        })
    }

    /// Serves what waits on `handle`, where it is one of ours.
    pub fn handle(&mut self, host: &mut Host, now: Instant, handle: UdpHandle) {
        let Some((_, service)) = self.sockets.iter().find(|(h, _)| *h == handle).copied() else {
            return;
        };
        while let Some(datagram) = host.udp_recv(handle) {
            self.received += 1;
            let from = datagram.from;
            if SYSTEM_PORTS.contains(&from.port()) {
                continue;
            }
            let Some(answer) = self.answer(service, datagram) else {
                continue;
            };
            match host.udp_send(now, handle, answer, Some(from)) {
                Ok(()) => self.answered += 1,
                // As any datagram, an answer may be lost.
                Err(e) => log::debug!("{service:?} to {from}: {e}"),
            }
        }
    }

    fn answer(&mut self, service: Service, datagram: Datagram) -> Option<Payload> {
        match service {
            Service::Echo => Some(datagram.payload),
            Service::Discard => None,
            Service::Chargen => {
                let bound = u64::try_from(CHARGEN_MAX).unwrap_or(0) + 1;
                let len = usize::try_from(self.rng.below(bound)).unwrap_or(0);
                Some(self.pattern.slice(..len.min(self.pattern.len())).into())
            }
        }
    }
}

/// Services as a program of a host: opened once its addresses may be used.
#[derive(Clone, Debug)]
pub struct Server {
    wanted: Vec<Service>,
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
            rng: rng.clone(),
            services: None,
            failed: None,
            notes: Waiting::new(),
        }
    }

    /// Opens the sockets, unless an address is still being probed for.
    fn open(&mut self, host: &mut Host) -> Result<(), BindError> {
        let mut addresses = host.interfaces().iter().flat_map(|i| i.addresses());
        if self.services.is_none() && addresses.all(|a| a.usable) {
            let services = Services::open(host, &self.wanted, &self.rng)?;
            self.services = Some(services);
            self.notes.push(Note::new("serving"));
        }
        Ok(())
    }
}

impl Endpoint for Server {
    const METRICS: &'static [&'static str] = &["received", "answered"];

    const NOTES: &'static [&'static str] = &["serving", "failed"];

    fn start(&mut self, _: Instant, host: &mut Host) -> Result<(), StartError> {
        Ok(self.open(host)?)
    }

    fn handle_event(&mut self, now: Instant, host: &mut Host, event: &Event) {
        match (event, &mut self.services) {
            (Event::Udp(handle, _), Some(services)) => services.handle(host, now, *handle),
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
        None
    }

    fn handle_timeout(&mut self, _: Instant, _: &mut Host) {}

    fn poll_note(&mut self) -> Option<Note> {
        self.notes.pop()
    }

    fn measure(&self, metric: &str) -> Option<u64> {
        let services = self.services.as_ref()?;
        match metric {
            "received" => Some(services.received),
            "answered" => Some(services.answered),
            _ => None,
        }
    }
}

fn pattern() -> Bytes {
    let printable = (b' '..=b'~').cycle();
    let lines = (0..PRINTABLE).flat_map(|start| {
        let line = printable.clone().skip(start).take(LINE);
        line.chain(*b"\r\n")
    });
    lines.take(CHARGEN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_is_the_rfcs() {
        let bytes = pattern();
        assert_eq!(bytes.len(), CHARGEN_MAX);
        let lines: Vec<_> = bytes.split(|&b| b == b'\n').collect();
        assert!(lines[0].starts_with(b" !\"#$%&'()") && lines[0].len() == LINE + 1);
        assert!(lines[1].starts_with(b"!\"#") && lines[2].starts_with(b"\"#$"));
    }
}
