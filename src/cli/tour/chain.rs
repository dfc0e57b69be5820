//! Hosts in a row, joined by wires in memory, as one machine with one port: the first host's.
//!
//! ```text
//!   port 0 --[ A ]port 1 --wire 1-- port 0[ B ]port 1 --wire 2-- port 0[ C ]
//! ```
//!
//! A wire loses nothing and takes no time: what a host offers is at the next one in the same
//! `poll_transmit`.

use super::printer::{self, SharedPage};
use crate::cli::Failure;
use stack::frame::Frame;
use stack::host::{Config, Host, InterfaceConfig};
use stack::machine::{Fate, Machine, Port};
use stack::net::route::Route;
use stack::rng::Rng;
use stack::time::Instant;
use stack::wire::MacAddr;
use std::net::IpAddr;

/// Towards the kernel.
const NEAR: Port = Port(0);
/// Away from the kernel.
const FAR: Port = Port(1);
/// What wires carry: the second less than the first, so that there is a path MTU to be found.
const WIRE_MTU: [usize; 2] = [1500, 1280];

/// One host of the chain.
struct Plan {
    name: &'static str,
    near: &'static str,
    far: Option<&'static str>,
    /// Destination, router, and the side it is on.
    route: (&'static str, &'static str, Port),
}

const PLANS: [Plan; 3] = [
    Plan {
        name: "router A",
        near: "10.7.0.2/24",
        far: Some("10.8.0.1/24"),
        route: ("10.9.0.0/24", "10.8.0.2", FAR),
    },
    Plan {
        name: "router B",
        near: "10.8.0.2/24",
        far: Some("10.9.0.1/24"),
        route: ("0.0.0.0/0", "10.8.0.1", NEAR),
    },
    Plan {
        name: "host C",
        near: "10.9.0.2/24",
        far: None,
        route: ("0.0.0.0/0", "10.9.0.1", NEAR),
    },
];

/// The hosts.
pub(super) struct Chain {
    hosts: Vec<Host>,
    page: SharedPage,
}

impl Chain {
    /// Builds them; the first one's device carries `mtu`.
    pub(super) fn new(now: Instant, mtu: usize, page: SharedPage) -> Result<Self, Failure> {
        let build = |(i, plan)| host(now, i, mtu, plan);
        let hosts = PLANS.iter().enumerate().map(build);
        let hosts = hosts.collect::<Option<_>>();
        let hosts = hosts.ok_or_else(|| Failure::usage("the tour's own plan is wrong"))?;
        Ok(Self { hosts, page })
    }

    pub(super) fn hosts_mut(&mut self) -> impl Iterator<Item = &mut Host> {
        self.hosts.iter_mut()
    }

    pub(super) fn named(&self) -> impl Iterator<Item = (&'static str, &Host)> {
        PLANS.iter().map(|p| p.name).zip(&self.hosts)
    }

    /// The host that the kernel talks to.
    pub(super) fn first(&self) -> Option<&Host> {
        self.hosts.first()
    }

    /// Carries what waits on the wires, until they are quiet.
    fn carry(&mut self, now: Instant) {
        loop {
            let mut moved = false;
            for wire in 1..self.hosts.len() {
                moved |= self.pass(now, wire, (wire - 1, FAR), (wire, NEAR));
                moved |= self.pass(now, wire, (wire, NEAR), (wire - 1, FAR));
            }
            if !moved {
                return;
            }
        }
    }

    /// Carries all that one end of a wire has to the other; whether there was anything.
    fn pass(&mut self, now: Instant, wire: usize, from: (usize, Port), to: (usize, Port)) -> bool {
        let mut moved = false;
        while let Some(frame) = self
            .hosts
            .get_mut(from.0)
            .and_then(|h| h.poll_transmit(now, from.1))
        {
            moved = true;
            let said = printer::summary(&frame.to_bytes());
            let Some(host) = self.hosts.get_mut(to.0) else {
                break;
            };
            let fate = host.handle_frame(now, to.1, frame);
            // Resolving neighbours is shown once, on the TAP.
            if !said.starts_with("ARP") {
                let arrow = if to.0 > from.0 {
                    format!(" {wire}>")
                } else {
                    format!("<{wire}")
                };
                let who = PLANS.get(to.0).and_then(|p| p.name.chars().last());
                let fate = format!("{}: {fate}", who.unwrap_or_default());
                self.page.borrow_mut().frame(&arrow, &said, &fate);
            }
        }
        moved
    }
}

fn host(now: Instant, i: usize, tap_mtu: usize, plan: &Plan) -> Option<Host> {
    let policy = Config {
        forwarding: plan.far.is_some(),
        ..Config::default()
    };
    let seed = u64::try_from(i).ok()?;
    let mut host = Host::new(policy, Rng::from_seed(seed));
    let number = u8::try_from(i).ok()? + 1;
    let mtus = [tap_mtu].into_iter().chain(WIRE_MTU);
    let sides = [(NEAR, Some(plan.near)), (FAR, plan.far)];
    for ((port, address), mtu) in sides.into_iter().zip(mtus.skip(i)) {
        let Some(address) = address else { continue };
        let side = if port == NEAR { 0 } else { 1 };
        let mac = MacAddr([2, 0, 0, 0, number, side]);
        let config = InterfaceConfig {
            mtu,
            ..InterfaceConfig::ethernet(plan.name, port, mac)
        };
        host.add_interface(now, config.with_address(address.parse().ok()?));
    }
    let (to, router, side) = plan.route;
    let router: IpAddr = router.parse().ok()?;
    host.add_route(Route::via(to.parse().ok()?, router, side))
        .ok()?;
    Some(host)
}

impl Machine for Chain {
    fn handle_frame(&mut self, now: Instant, _: Port, frame: Frame) -> Fate {
        match self.hosts.first_mut() {
            Some(host) => host.handle_frame(now, NEAR, frame),
            None => Fate::Dropped(stack::reason::DropReason::InterfaceDown),
        }
    }

    fn poll_transmit(&mut self, now: Instant, _: Port) -> Option<Frame> {
        self.carry(now);
        self.hosts.first_mut()?.poll_transmit(now, NEAR)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.hosts.iter().filter_map(Host::poll_timeout).min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        for host in &mut self.hosts {
            host.handle_timeout(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::printer::Page;
    use super::*;
    use stack::frame::Payload;
    use stack::machine::Consumer;

    #[test]
    fn a_frame_goes_through_all_three_and_an_answer_comes_back() {
        let page = Page::on(Box::new(std::io::sink()), false);
        let mut chain = Chain::new(Instant::ZERO, 1500, page).unwrap();
        // The kernel's part is played by a fourth host.
        let mut kernel = Host::new(Config::default(), Rng::from_seed(9));
        let tap = InterfaceConfig::ethernet("tap0", Port(0), MacAddr([2, 0, 0, 0, 0, 1]));
        kernel.add_interface(
            Instant::ZERO,
            tap.with_address("10.7.0.1/24".parse().unwrap()),
        );
        let all = "0.0.0.0/0".parse().unwrap();
        let router = "10.7.0.2".parse().unwrap();
        kernel.add_route(Route::via(all, router, Port(0))).unwrap();
        let closed = "10.9.0.2:99".parse().unwrap();
        let socket = kernel.udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
        kernel.udp_connect(socket, closed).unwrap();
        kernel
            .udp_send(Instant::ZERO, socket, Payload::new(), None)
            .unwrap();
        for _ in 0..4 {
            while let Some(frame) = kernel.poll_transmit(Instant::ZERO, Port(0)) {
                chain.handle_frame(Instant::ZERO, Port(0), frame);
            }
            while let Some(frame) = chain.poll_transmit(Instant::ZERO, Port(0)) {
                kernel.handle_frame(Instant::ZERO, Port(0), frame);
            }
        }
        let error = kernel.udp_take_error(socket).unwrap();
        assert_eq!(error.offender.to_string(), "10.9.0.2");
        for (name, host) in chain.named() {
            assert!(host.stats().is_conserved(), "{name}");
        }
        let a = chain.first().unwrap().stats();
        assert_eq!((a.forwarded, a.delivered[Consumer::Udp.index()]), (2, 0));
    }
}
