//! Tapline against its peers, over the OS.
//!
//! ```text
//!   bench ping [ROUNDS [COUNT]]      average round trip of `ping -f`, in turn from
//!     tapline     tapline up -- ping -f -c COUNT -q 10.7.0.2
//!     smoltcp     an interface on smoltcp's TAP, in the loop of its examples (poll, phy_wait)
//!     bare        read, swap addresses, write: what a TAP costs without any stack
//! ```
//!
//! `cargo build --release && cargo run --release -p tools --bin bench -- ping` (as root, with
//! `iputils-ping`). Each round starts every responder afresh, in a network namespace of its own.
//! What two stacks cost in memory, without an OS between them, is
//! `cargo bench -p tapline-stack --bench host`.

use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Medium, TunTapInterface, wait};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};
use std::error::Error;
use std::os::fd::AsRawFd as _;
use std::process::{Command, ExitCode, exit};
use std::{env, io, thread};
use tapline::device::namespace;
use tapline::device::netlink::Netlink;
use tun_tap::{Iface, Mode};

const HOST: &str = "10.7.0.2";
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const KINDS: [&str; 3] = ["tapline", "smoltcp", "bare"];

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["ping"] => compare(5, "50000"),
        ["ping", rounds] => rounds
            .parse()
            .map_or_else(|e| Err(Box::from(e)), |n| compare(n, "50000")),
        ["ping", rounds, count] => rounds
            .parse()
            .map_or_else(|e| Err(Box::from(e)), |n| compare(n, count)),
        ["respond", "smoltcp", count] => respond_smoltcp(count),
        ["respond", "bare", count] => respond_bare(count),
        _ => {
            eprintln!("usage: bench ping [ROUNDS [COUNT]]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench: {e}");
            ExitCode::from(3)
        }
    }
}

/// Runs all responders in turn and prints each round, then the medians.
fn compare(rounds: usize, count: &str) -> Outcome<()> {
    let mut averages = KINDS.map(|_| Vec::new());
    println!("average round trip of ping -f -c {count}, µs");
    println!("round {:>9} {:>9} {:>9}", KINDS[0], KINDS[1], KINDS[2]);
    for round in 1..=rounds {
        print!("{round:5}");
        for (kind, averages) in KINDS.iter().zip(&mut averages) {
            let micros = measure(kind, count)?;
            print!(" {micros:>9.1}");
            averages.push(micros);
        }
        println!();
    }
    let medians = averages.map(median);
    print!("median");
    for m in medians {
        print!(" {m:>8.1} ");
    }
    println!("\nsmoltcp / tapline {:.2}", medians[1] / medians[0]);
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The average that `ping` saw, in microseconds.
fn measure(kind: &str, count: &str) -> Outcome<f64> {
    let this = env::current_exe()?;
    let output = if kind == "tapline" {
        let tapline = this.with_file_name("tapline");
        if !tapline.exists() {
            return Err(format!(
                "no {}: run `cargo build --release` first",
                tapline.display()
            )
            .into());
        }
        let words = ["up", "--", "ping", "-f", "-c", count, "-q", HOST];
        Command::new(tapline).args(words).output()?
    } else {
        Command::new(this).args(["respond", kind, count]).output()?
    };
    let text = String::from_utf8_lossy(&output.stdout);
    if !text.contains(" 0% packet loss") {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{kind} lost packets: {text}{said}").into());
    }
    // rtt min/avg/max/mdev = 0.007/0.010/1.022/0.004 ms, ...
    let rtt = text.split_once("mdev = ").map(|(_, figures)| figures);
    let average = rtt.and_then(|figures| figures.split('/').nth(1));
    let average = average.ok_or_else(|| format!("what ping printed has no average: {text}"))?;
    Ok(average.parse::<f64>()? * 1000.0)
}

/// Runs ping beside the responder and ends with it.
fn ping(name: &str, count: &str) -> Outcome<()> {
    let mut netlink = Netlink::open()?;
    netlink.set_up(name)?;
    netlink.add_address(name, "10.7.0.1/24".parse()?)?;
    let count = count.to_owned();
    thread::spawn(move || {
        let words = ["-f", "-c", &count, "-q", HOST];
        let status = Command::new("ping").args(words).status();
        exit(i32::from(!status.is_ok_and(|s| s.success())));
    });
    Ok(())
}

fn respond_smoltcp(count: &str) -> Outcome<()> {
    namespace::enter()?;
    let mut device = TunTapInterface::new("tap0", Medium::Ethernet)?;
    let fd = device.as_raw_fd();
    let config = Config::new(EthernetAddress(MAC).into());
    let mut iface = Interface::new(config, &mut device, Instant::now());
    let cidr = IpCidr::new(IpAddress::v4(10, 7, 0, 2), 24);
    let mut added = Ok(());
    iface.update_ip_addrs(|list| added = list.push(cidr));
    added.map_err(|_| "no room for an address")?;
    let mut sockets = SocketSet::new(Vec::new());
    ping("tap0", count)?;
    loop {
        let now = Instant::now();
        iface.poll(now, &mut device, &mut sockets);
        wait(fd, iface.poll_delay(now, &sockets))?;
    }
}

fn respond_bare(count: &str) -> Outcome<()> {
    namespace::enter()?;
    let tap = Iface::without_packet_info("tap0", Mode::Tap)?;
    ping("tap0", count)?;
    let mut frame = [0; 2048];
    loop {
        let len = tap.recv(&mut frame)?;
        if answer(&mut frame[..len]).is_some() {
            send(&tap, &frame[..len])?;
        }
    }
}

fn send(tap: &Iface, frame: &[u8]) -> io::Result<()> {
    tap.send(frame).map(drop)
}

/// Turns a request for [`HOST`], ARP or echo, into the answer, without looking twice.
fn answer(frame: &mut [u8]) -> Option<()> {
    let (ethernet, packet) = frame.split_at_mut_checked(14)?;
    let (dst, rest) = ethernet.split_at_mut(6);
    let (src, ethertype) = rest.split_at_mut(6);
    match (&*ethertype, packet.len()) {
        ([8, 6], 28..) if packet[24..28] == [10, 7, 0, 2] => {
            packet[7] = 2;
            let (sender, target) = packet[8..28].split_at_mut(10);
            sender.swap_with_slice(target);
            sender[..6].copy_from_slice(&MAC);
        }
        ([8, 0], 28..) if packet[9] == 1 && packet[20] == 8 => {
            let (from, to) = packet[12..20].split_at_mut(4);
            from.swap_with_slice(to);
            packet[20] = 0;
            // One byte less by 8: the checksum grows by as much (RFC 1624).
            let sum = u16::from_be_bytes([packet[22], packet[23]]);
            let (sum, carry) = sum.overflowing_add(0x0800);
            packet[22..24].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
        }
        _ => return None,
    }
    dst.copy_from_slice(src);
    src.copy_from_slice(&MAC);
    Some(())
}
