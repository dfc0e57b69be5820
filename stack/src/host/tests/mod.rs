//! Hosts wired together in memory, one file a story.

mod arping;
mod discovery;
mod down;
mod fast_open;
mod forward;
mod icmp;
mod ipv6;
mod link;
mod memory;
mod ports;
mod queues;
mod requirements;
mod router;
mod rules6;
mod tcp;
mod udp;
mod zone;

use super::*;
use crate::time::Duration;
use crate::wire::MacAddr;
use core::net::Ipv4Addr;

pub(super) const A: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
pub(super) const B: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);

pub(super) fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

/// A host with one Ethernet interface on port 0.
pub(super) fn host(last: u8, cidr: &str) -> Host {
    let mut host = Host::new(Config::default(), Rng::from_seed(u64::from(last)));
    let eth =
        InterfaceConfig::ethernet("eth0", Port(0), mac(last)).with_address(cidr.parse().unwrap());
    host.add_interface(Instant::ZERO, eth);
    host
}

/// Hosts and the wires between their ports; frames arrive at once, in order.
pub(super) struct Net {
    pub(super) now: Instant,
    pub(super) hosts: Vec<Host>,
    /// Two ends each, or all that are on one link.
    wires: Vec<Vec<(usize, u16)>>,
    /// Every frame that crossed, with the host that got it and its fate there.
    pub(super) log: Vec<(usize, Frame, Fate)>,
}

impl Net {
    pub(super) fn new(hosts: Vec<Host>, wires: Vec<[(usize, u16); 2]>) -> Self {
        Self::wired(hosts, wires.into_iter().map(Vec::from).collect())
    }

    /// With hubs, on which more than two ports may be.
    pub(super) fn wired(hosts: Vec<Host>, wires: Vec<Vec<(usize, u16)>>) -> Self {
        let mut net = Self {
            now: Instant::ZERO,
            hosts,
            wires,
            log: Vec::new(),
        };
        net.settle();
        net.log.clear();
        net
    }

    pub(super) fn pair() -> Self {
        Self::new(
            std::vec![host(1, "10.7.0.1/24"), host(2, "10.7.0.2/24")],
            std::vec![[(0, 0), (1, 0)]],
        )
    }

    /// The same of IPv6, past the search for duplicates.
    pub(super) fn pair6() -> Self {
        let mut net = Self::new(
            std::vec![host(1, "fd07::1/64"), host(2, "fd07::2/64")],
            std::vec![[(0, 0), (1, 0)]],
        );
        net.run(Duration::from_secs(10));
        net.log.clear();
        net
    }

    /// Passes frames until nobody has any.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            let mut moved = false;
            for host in &mut self.hosts {
                if host.poll_timeout().is_some_and(|t| t <= self.now) {
                    host.handle_timeout(self.now);
                }
            }
            for wire in self.wires.clone() {
                for from in wire.iter().copied() {
                    while let Some(frame) = self.hosts[from.0].poll_transmit(self.now, Port(from.1))
                    {
                        let bare = self.hosts[from.0].interfaces()[0].config().medium == Medium::Ip;
                        assert!(bare || frame.len() >= 60, "padded");
                        for to in wire.iter().copied().filter(|to| *to != from) {
                            let fate =
                                self.hosts[to.0].handle_frame(self.now, Port(to.1), frame.clone());
                            self.log.push((to.0, frame.clone(), fate));
                        }
                        moved = true;
                    }
                }
            }
            if !moved
                && self
                    .hosts
                    .iter()
                    .all(|h| h.poll_timeout() != Some(Instant::ZERO))
            {
                for host in &self.hosts {
                    assert!(host.stats().is_conserved(), "{:?}", host.stats());
                }
                return;
            }
        }
        panic!("the net does not settle");
    }

    /// Lets time pass, stopping at each deadline.
    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.settle();
            let next = self.hosts.iter().filter_map(Machine::poll_timeout).min();
            match next.filter(|t| *t <= end) {
                Some(t) => self.now = self.now.max(t),
                None => break,
            }
        }
        self.now = end;
        self.settle();
    }
}

pub(super) fn v4(addr: Ipv4Addr) -> IpAddr {
    IpAddr::V4(addr)
}
