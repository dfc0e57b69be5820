//! `up --tour`: a walk through a small network, asked by the kernel's own sockets, with every frame
//! that crosses the TAP explained.
//!
//! ```text
//!   kernel 10.7.0.1 --TAP-- [router A] --wire 1-- [router B] --wire 2-- [host C]
//!     sockets  ^                 |___________ chain: one Machine ___________|
//!        |     |
//!      asks ---+---> page: a heading, what is asked, the frames (printer), what was heard
//! ```
//!
//! Read first: the RFC section that each stop names.
//!
//! Promises: it needs no program, no file and no right beyond a namespace; it takes less than a few
//! seconds; what is printed comes in the same order each time; exit 0 only where each stop heard
//! what the RFC says.
//!
//! Left out: IPv6 and TCP connections, which the host does not have yet.

mod asks;
mod chain;
mod printer;

use super::config::{Device, Text};
use super::{Failure, command, sandbox, status};
use crate::device::namespace;
use crate::endpoint::services::{Service, Services};
use crate::runtime::clock::os_rng;
use crate::runtime::{Clock, Driver, Next, Wake};
use asks::{Asker, STOPS};
use chain::Chain;
use printer::{Page, Printer, SharedPage};
use serde_json::Value;
use stack::time::{Duration, Instant};
use stack::transport::tcp;
use std::process::ExitCode;

/// How long an answer may take; all of it happens on this machine.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the kernel's sockets are looked at.
const GLANCE: Duration = Duration::from_millis(1);

/// Where the chain's hosts are; the kernel is at `KERNEL`.
const KERNEL: &str = "10.7.0.1/24";

const PICTURE: &str = "  kernel           router A            router B            host C
  10.7.0.1 --TAP-- 10.7.0.2
                   10.8.0.1 --wire 1-- 10.8.0.2
                                       10.9.0.1 --wire 2-- 10.9.0.2     (wire 2: MTU 1280)

A, B and C are three Tapline hosts in this process. The kernel's own sockets ask,
and each frame is shown with what the host that got it did with it, and why:
  -->  from the kernel, through the TAP        <--  to the kernel
   1>  on a wire, away from the kernel         <1   on a wire, towards it
\"0..1480\" is which bytes of a datagram a fragment has.";

/// What to try next: a command line that goes behind `up --`, and what it shows.
const NEXT: &[(&str, &str)] = &[
    ("ping -c 3 10.7.0.2", "echo, as in stop 2"),
    (
        "ping -s 65507 -c 3 10.7.0.2",
        "the largest datagram, in 45 fragments",
    ),
    ("ping -R -c 1 10.7.0.2", "the record route option"),
    ("traceroute -n 10.7.0.2", "TTLs, as in stop 4"),
    ("tracepath -n 10.7.0.2", "the path MTU, as in stop 7"),
    ("arping -c 3 -I tap0 10.7.0.2", "ARP alone"),
    ("nc -u 10.7.0.2 7", "type a line: the host sends it back"),
    ("nmap -sU -p 7,9,19,99 10.7.0.2", "open and closed ports"),
    (
        "tcpdump -ni tap0",
        "the frames, as another program reads them",
    ),
];

/// Runs the tour.
///
/// # Errors
/// Exit code 1 where a stop did not hold, 3 where the machine lacks something.
pub fn run() -> Result<ExitCode, Failure> {
    let page = Page::shared();
    sandbox::enter()?;
    // What the kernel says of itself on IPv6 is not asked for here and would stand between.
    namespace::disable_ipv6("default");
    page.borrow_mut().title("A tour of a small network");
    page.borrow_mut().text(PICTURE);
    let device = sandbox::open(&tap(), true)?;
    let clock = Clock::start();
    let rng = os_rng()?;
    let mut chain = Chain::new(clock.now(), device.mtu(), page.clone())?;
    let services = chain.hosts_mut().map(|host| {
        let opened = Services::open(host, &[Service::Echo], &tcp::Options::default(), &rng);
        opened.map_err(|e| Failure::usage(format!("services: {e}")))
    });
    let mut tour = Tour {
        services: services.collect::<Result<_, _>>()?,
        page: page.clone(),
        asker: Asker::new()?,
        at: (0, 0),
        asked: None,
        wrong: Vec::new(),
    };
    let printer = Printer::new(device, page.clone());
    let mut driver = Driver::new(chain, clock, vec![Box::new(printer)])?;
    driver.catch_signals()?;
    driver.run(|chain, now, wake| tour.turn(chain, now, wake))??;
    tour.close(&driver.machine, driver.now())
}

fn tap() -> Device {
    let cidr = |text: &str| text.parse().ok().map(Text);
    Device {
        addresses: cidr("10.7.0.2/24").into_iter().collect(),
        kernel: cidr(KERNEL).into_iter().collect(),
        kernel_routes: ["10.8.0.0/24", "10.9.0.0/24"]
            .into_iter()
            .filter_map(cidr)
            .collect(),
        ..Device::tap0()
    }
}

/// Where the tour has got to.
struct Tour {
    services: Vec<Services>,
    page: SharedPage,
    asker: Asker,
    /// Stop, and question of that stop.
    at: (usize, usize),
    /// When the question was asked.
    asked: Option<Instant>,
    /// What did not hold.
    wrong: Vec<String>,
}

impl Tour {
    /// Once a turn: serve, listen, ask the next question.
    fn turn(&mut self, chain: &mut Chain, now: Instant, wake: &Wake) -> Next<Result<(), Failure>> {
        if wake.stop {
            return Next::Break(Err(Failure::unmet("interrupted")));
        }
        for (host, services) in chain.hosts_mut().zip(&mut self.services) {
            while let Some(event) = host.poll_event() {
                services.handle_event(now, host, &event);
            }
        }
        let (stop, question) = self.at;
        let Some(stop) = STOPS.get(stop) else {
            return Next::Break(Ok(()));
        };
        let Some(ask) = stop.asks.get(question) else {
            self.at = (self.at.0 + 1, 0);
            return Next::Continue(Some(now));
        };
        let Some(asked) = self.asked else {
            if question == 0 {
                self.page
                    .borrow_mut()
                    .stop(self.at.0 + 1, stop.title, stop.rfc, stop.text);
            }
            self.page.borrow_mut().ask(ask.what);
            self.asked = Some(now);
            if let Err(e) = self.asker.ask(&ask.send) {
                self.settle(
                    Err(format!("could not be asked ({e}), so it was not seen")),
                    ask.what,
                    ask.so,
                );
            }
            return Next::Continue(Some(now));
        };
        match self.asker.heard(&ask.hear, chain, &self.page) {
            Ok(true) => self.settle(Ok(()), ask.what, ask.so),
            Ok(false) if now.since(asked) > PATIENCE => {
                let why = format!("it was not seen within {} s", PATIENCE.as_secs());
                self.settle(Err(why), ask.what, ask.so);
            }
            Ok(false) => {}
            Err(why) => self.settle(Err(why), ask.what, ask.so),
        }
        Next::Continue(Some(now + GLANCE))
    }

    fn settle(&mut self, outcome: Result<(), String>, what: &str, so: &str) {
        self.page.borrow_mut().verdict(outcome.is_ok(), so);
        if let Err(why) = outcome {
            let (stop, _) = self.at;
            self.wrong
                .push(format!("stop {}, {what}: {why} that {so}", stop + 1));
        }
        self.at.1 += 1;
        self.asked = None;
    }

    /// The books, what did not hold, and what to try next.
    fn close(mut self, chain: &Chain, now: Instant) -> Result<ExitCode, Failure> {
        let mut page = self.page.borrow_mut();
        page.stop(STOPS.len() + 1, "The books", "", BOOKS);
        for (name, host) in chain.named() {
            let snapshot = status::snapshot(host, &[], now);
            let sums = status::render(&snapshot);
            for line in sums
                .lines()
                .filter(|l| BOOK_LINES.iter().any(|b| l.starts_with(b)))
            {
                page.frame("", &format!("{name:<9} {line}"), "");
            }
            let holds = snapshot["conserved"] == Value::Bool(true);
            page.verdict(holds, &format!("{name}: every frame is accounted for"));
            if !holds {
                self.wrong
                    .push(format!("{name}: a frame is not accounted for"));
            }
        }
        if self.wrong.is_empty() {
            page.title("What to try next");
            page.text(&next());
            return Ok(ExitCode::SUCCESS);
        }
        let list = self.wrong.join("\n  ");
        Err(Failure::unmet(format!("what did not hold:\n  {list}")))
    }
}

const BOOKS: &str = "\
Each frame that came in was delivered, forwarded, held or dropped for a reason, and
counted in exactly one place. `tapline status` shows this of a running host.";
const BOOK_LINES: [&str; 3] = ["delivered", "dropped in", "law"];

fn next() -> String {
    let mut text = String::from(
        "Behind `tapline up --` a program runs beside a host of 10.7.0.2, in a private network\n\
         (`tapline` is `cargo run --release --` here); `tapline up` alone gives a shell there:\n\n",
    );
    let mut missing: Vec<&str> = Vec::new();
    for (line, shows) in NEXT {
        let program = line.split(' ').next().unwrap_or_default();
        let package = command::package(program).unwrap_or_default();
        let there = command::is_there(program);
        if !there && !missing.contains(&package) {
            missing.push(package);
        }
        let from = if there {
            String::new()
        } else {
            format!("  ({package})")
        };
        text += &format!("  tapline up -- {line:<34} # {shows}{from}\n");
    }
    text +=
        "  tapline up --config lab.toml                     # routers, VLANs: tapline help up\n";
    if !missing.is_empty() {
        text += &format!(
            "\nNot on this machine yet: apt-get install {}\n",
            missing.join(" ")
        );
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stop_says_where_it_is_written_and_every_program_has_a_package() {
        for stop in STOPS {
            assert!(
                stop.rfc.starts_with("RFC ") && !stop.asks.is_empty(),
                "{}",
                stop.title
            );
            assert!(stop.text.lines().all(|l| l.len() < 90), "{}", stop.title);
        }
        for (line, _) in NEXT {
            let program = line.split(' ').next().unwrap();
            assert!(command::package(program).is_some(), "{program}");
        }
    }
}
