//! A forger of ARP: claims another's address with its own MAC, again and again.
//!
//! ```text
//!   victim                     forger                      who is claimed
//!   10.7.0.2 --to 10.7.0.1-->  02:..:66                    10.7.0.1 at 02:..:01
//!      ^                          |
//!      +-- "10.7.0.1 is at 02:..:66" --- each interval
//!
//!   Form::Announcement   a broadcast request for one's own address; the host sends it for us
//!   Form::Reply          an answer that nobody asked for, to one station or all: poll_frame
//! ```
//!
//! Read first: RFC 826 "Packet Reception" (why it works), RFC 5227 §2.4 (how its owner defends
//! the address), RFC 1122 §2.3.2.1.
//!
//! Promises: nothing else of the host changes; the frames are well formed, so it is the receivers'
//! rules that decide, not their parsers.
//!
//! Left out: passing on what is caught, and answering the requests of others: a host only hears
//! those for its own addresses.

use super::{Endpoint, Hears, Note, StartError, Waiting};
use stack::frame::Frame;
use stack::host::{AskError, Event, Host};
use stack::time::{Duration, Instant};
use stack::wire::arp::{self, Operation, Packet};
use stack::wire::{EtherType, MacAddr, Writer, ethernet};
use std::collections::VecDeque;
use std::net::Ipv4Addr;

/// Frames that wait to be taken.
const MAX_FRAMES: usize = 16;

/// How the claim is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An ARP announcement, to all (RFC 5227 §2.3).
    Announcement,
    /// A reply that nobody asked for.
    Reply {
        /// Whom it tells; `None`: all.
        victim: Option<(Ipv4Addr, MacAddr)>,
    },
}

/// What to claim and how often.
#[derive(Clone, Debug)]
pub struct Config {
    /// The interface of the host.
    pub interface: u16,
    /// The address to claim.
    pub claim: Ipv4Addr,
    /// How.
    pub form: Form,
    /// How long after `start` the first claim leaves.
    pub start: Duration,
    /// Between claims.
    pub interval: Duration,
    /// Claims in all; `None`: no limit.
    pub count: Option<u64>,
}

impl Config {
    /// A reply to all, each second.
    #[must_use]
    pub const fn new(claim: Ipv4Addr) -> Self {
        Self {
            interface: 0,
            claim,
            form: Form::Reply { victim: None },
            start: Duration::ZERO,
            interval: Duration::from_secs(1),
            count: None,
        }
    }
}

/// A forger.
#[derive(Clone, Debug)]
pub struct ArpForger {
    config: Config,
    mac: Option<MacAddr>,
    next_at: Instant,
    sent: u64,
    refused: u64,
    frames: VecDeque<Frame>,
    notes: Waiting<Note>,
}

impl ArpForger {
    /// A forger that has not begun.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self {
            config,
            mac: None,
            next_at: Instant::ZERO,
            sent: 0,
            refused: 0,
            frames: VecDeque::new(),
            notes: Waiting::new(),
        }
    }

    /// The interface that [`poll_frame`](Endpoint::poll_frame)'s frames leave by.
    #[must_use]
    pub const fn interface(&self) -> u16 {
        self.config.interface
    }

    fn has_more(&self) -> bool {
        self.config.count.is_none_or(|n| self.sent < n)
    }

    fn forge(&mut self, host: &mut Host, mac: MacAddr) {
        let claim = self.config.claim;
        let done = match self.config.form {
            Form::Announcement => host.arp_announce(self.config.interface, claim),
            Form::Reply { victim } => {
                // To all: about the address itself, as a gratuitous reply is.
                let (ip, to) = victim.unwrap_or((claim, MacAddr::BROADCAST));
                let packet = Packet {
                    operation: Operation::REPLY,
                    sender_mac: mac,
                    sender_ip: claim,
                    target_mac: to,
                    target_ip: ip,
                };
                self.queue(to, &packet)
            }
        };
        match done {
            Ok(()) => {
                self.sent += 1;
                let note = Note::new("forged").with("claim", std::net::IpAddr::V4(claim));
                self.notes.push(note);
            }
            Err(_) => self.refused += 1,
        }
    }

    fn queue(&mut self, to: MacAddr, packet: &Packet) -> Result<(), AskError> {
        if self.frames.len() >= MAX_FRAMES {
            return Err(AskError::Full);
        }
        let header = ethernet::Header {
            dst: to,
            src: packet.sender_mac,
            ethertype: EtherType::ARP,
        };
        let mut bytes = [0; ethernet::MIN_FRAME_LEN];
        let mut writer = Writer::new(&mut bytes);
        let written = header
            .emit(&mut writer)
            .and_then(|()| packet.emit(&mut writer));
        const { assert!(ethernet::HEADER_LEN + arp::LEN <= ethernet::MIN_FRAME_LEN) };
        debug_assert!(written.is_ok(), "{written:?}");
        self.frames.push_back(Frame::copy_from(&bytes));
        Ok(())
    }
}

impl Endpoint for ArpForger {
    const METRICS: &'static [&'static str] = &["sent", "refused"];

    const NOTES: &'static [&'static str] = &["forged"];

    fn start(&mut self, now: Instant, host: &mut Host) -> Result<(), StartError> {
        if self.config.interval.is_zero() {
            return Err(StartError::Settings("no time between claims"));
        }
        let interface = host.interfaces().get(usize::from(self.config.interface));
        self.mac = Some(interface.ok_or(AskError::NoLink)?.config().mac);
        self.next_at = now + self.config.start;
        Ok(())
    }

    fn hears(&self) -> Hears {
        Hears::Nothing
    }

    fn handle_event(&mut self, _: Instant, _: &mut Host, _: &Event) {}

    fn poll_timeout(&self) -> Option<Instant> {
        self.mac.filter(|_| self.has_more()).map(|_| self.next_at)
    }

    fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        let Some(mac) = self.mac.filter(|_| self.has_more() && self.next_at <= now) else {
            return;
        };
        self.forge(host, mac);
        let next = self.next_at + self.config.interval;
        self.next_at = if next <= now {
            now + self.config.interval
        } else {
            next
        };
    }

    fn poll_note(&mut self) -> Option<Note> {
        self.notes.pop()
    }

    fn poll_frame(&mut self, _: Instant) -> Option<Frame> {
        self.frames.pop_front()
    }

    fn measure(&self, metric: &str) -> Option<u64> {
        match metric {
            "sent" => Some(self.sent),
            "refused" => Some(self.refused),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pair::{World, faithful, hosts, mac};
    use super::super::traffic::{self, Sender};
    use super::*;
    use std::net::{IpAddr, SocketAddr};

    /// Nobody's, but of the network.
    const CLAIM: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 99);

    /// The victim talks to the claimed address all the time, so it wants to know who has it.
    fn run(form: Form) -> World<ArpForger, Sender> {
        let config = Config {
            form,
            count: Some(5),
            start: Duration::from_millis(1500),
            ..Config::new(CLAIM)
        };
        let talk = traffic::Config::new(SocketAddr::from((CLAIM, 9)));
        let mut world = World::new(hosts(), ArpForger::new(config), Sender::new(talk), faithful);
        world.run(Duration::from_millis(1600));
        world
    }

    #[test]
    fn who_believes_it_sends_to_the_forger() {
        for form in [
            Form::Announcement,
            Form::Reply { victim: None },
            Form::Reply {
                victim: Some((Ipv4Addr::new(10, 7, 0, 2), mac(2))),
            },
        ] {
            let mut world = run(form);
            let cache = world.hosts[1].interfaces()[0].neighbors();
            let found = cache.neighbor(IpAddr::V4(CLAIM)).and_then(|n| n.mac);
            assert_eq!(found, Some(mac(1)), "{form:?}");
            assert_eq!(world.told(), ["forged claim=10.7.0.99"]);
            world.run(Duration::from_secs(10));
            assert_eq!(world.left.measure("sent"), Some(5), "{form:?}");
            assert_eq!(world.left.measure("refused"), Some(0));
            assert_eq!(world.left.poll_timeout(), None);
        }
    }

    #[test]
    fn its_owner_notices() {
        let config = Config::new(Ipv4Addr::new(10, 7, 0, 2));
        let talk = traffic::Config::new(SocketAddr::from(([10, 7, 0, 1], 9)));
        let mut world = World::new(hosts(), ArpForger::new(config), Sender::new(talk), faithful);
        world.run(Duration::from_millis(500));
        let claims = world.hosts[1].interfaces()[0].claims();
        assert!(claims.stats().conflicts > 0);
    }

    #[test]
    fn a_frame_is_whole() {
        let mut world = run(Form::Reply { victim: None });
        let config = Config::new(CLAIM);
        let mut forger = ArpForger::new(config);
        forger.start(world.now, &mut world.hosts[0]).unwrap();
        forger.handle_timeout(world.now, &mut world.hosts[0]);
        let frame = forger.poll_frame(world.now).unwrap().to_bytes();
        assert_eq!(frame.len(), 60);
        let (header, rest) = ethernet::Header::parse(&frame).unwrap();
        assert_eq!((header.dst, header.src), (MacAddr::BROADCAST, mac(1)));
        let (packet, _) = Packet::parse(rest).unwrap();
        assert_eq!((packet.sender_ip, packet.sender_mac), (CLAIM, mac(1)));
        assert!(packet.operation == Operation::REPLY && packet.is_announcement());
    }

    #[test]
    fn there_must_be_a_link() {
        let [mut host, _] = hosts();
        let config = Config {
            interface: 7,
            ..Config::new(CLAIM)
        };
        let started = ArpForger::new(config).start(Instant::ZERO, &mut host);
        assert_eq!(started, Err(StartError::Link(AskError::NoLink)));
    }
}
