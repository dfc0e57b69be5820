//! Tapline against its peers, over the OS.
//!
//! ```text
//!   bench ping [ROUNDS [COUNT]]      average round trip of `ping -f`, in turn from
//!     tapline     tapline up -- ping -f -c COUNT -q 10.7.0.2
//!     smoltcp     an interface on smoltcp's TAP, in the loop of its examples (poll, phy_wait)
//!     bare        read, swap addresses, write: what a TAP costs without any stack
//!
//!   bench wire [SECONDS]             `tapline wire` between two kernels
//!     iperf3      bits a second each way, and the processor time that the wire took for them
//!     ping        by how much round trips are longer than was asked for, and how many were lost
//!
//!   bench tcp [ROUNDS [SECONDS]] [--json]      streams, turns and connections, in turn with
//!     tapline     tapline up: discard, chargen, echo
//!     responder   the smallest end that works, with a copy and checksums, on a TAP of the same kind
//!     veth        the kernel with itself
//!
//!   bench share [ROUNDS [SECONDS]]   two senders over one bottleneck, by congestion control
//!     tapline     beside the kernel
//!     kernel      beside itself: what is to be expected
//! ```
//!
//! `cargo build --release && cargo run --release -p tools --bin bench -- ping` (as root, with
//! `iputils-ping`; `wire` and `share` with `iperf3`). Each round starts every responder afresh, in a network namespace of its own.
//! What two stacks cost in memory, without an OS between them, is
//! `cargo bench -p tapline-stack --bench host`.

mod load;
mod responder;
mod share;
mod tcp;

use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Medium, TunTapInterface, wait};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};
use std::error::Error;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
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
        ["wire"] => wire(5),
        ["wire", seconds] => seconds.parse().map_err(Box::from).and_then(wire),
        ["tcp", ref rest @ ..] => tcp::Asked::parse(rest).and_then(|asked| tcp::compare(&asked)),
        ["share", ref rest @ ..] => share::compare(rest),
        ["load", "serve"] => load::serve(),
        ["load", "all", host, seconds] => seconds
            .parse()
            .map_err(Box::from)
            .and_then(|seconds| load::all(host, seconds)),
        ["respond", "tcp", seconds] => tcp::respond(seconds),
        ["respond", "smoltcp", count] => respond_smoltcp(count),
        ["respond", "bare", count] => respond_bare(count),
        _ => {
            eprintln!(
                "usage: bench ping [ROUNDS [COUNT]] | bench wire [SECONDS] | \
                 bench tcp [ROUNDS [SECONDS]] [--json] | bench share [ROUNDS [SECONDS]]"
            );
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
        let tapline = tapline_beside()?;
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

/// Namespaces a and b, the wire between them, and what is asked on it. `$1` is tapline, `$2` the
/// wire's options, `$3` the question. The wire's processor time is told before and after.
const WIRE: &str = r#"set -e
mount -t tmpfs none /run; mkdir /run/netns
for n in a b; do ip netns add $n; ip -n $n link set lo up; done
$1 wire wa wb $2 2>/run/said >/run/counts & wire=$!
tries=0
until grep -q 'wire is ready' /run/said; do
    tries=$((tries + 1)); [ $tries -lt 200 ] || { cat /run/said >&2; exit 1; }; sleep 0.05
done
ip link set wa netns a; ip link set wb netns b
ip -n a addr add 10.9.0.1/24 dev wa; ip -n a link set wa up
ip -n b addr add 10.9.0.2/24 dev wb; ip -n b link set wb up
ip netns exec b iperf3 -s -D -I /run/iperf.pid > /dev/null; sleep 0.5
ip netns exec a ping -q -c 1 10.9.0.2 > /dev/null || true
echo "ticks $(cut -d' ' -f14 /proc/$wire/stat) $(cut -d' ' -f15 /proc/$wire/stat)"
ip netns exec a $3 || true
echo "ticks $(cut -d' ' -f14 /proc/$wire/stat) $(cut -d' ' -f15 /proc/$wire/stat)"
kill $(tr -d '\0' < /run/iperf.pid); kill $wire; wait $wire; cat /run/counts"#;
/// Clock ticks of /proc a second.
const TICKS: f64 = 100.0;

/// What `tapline wire` carries at what cost, and how exact it is.
fn wire(seconds: u32) -> Outcome<()> {
    println!("iperf3, {seconds} s                                     Mbit/s  lost %  cores");
    for (options, question) in [
        ("", ""),
        ("", "-R"),
        ("--rate 1gbit", ""),
        ("--rate 1gbit --delay 1ms", ""),
        ("--rate 1gbit --delay 1ms", "-u -b 900m"),
        ("--rate 100mbit --delay 10ms --queue fq-codel", ""),
        ("--rate 100mbit --delay 10ms --loss 0.01%", ""),
        ("--loss 5%", "-u -b 100m"),
    ] {
        let asked = format!("iperf3 -c 10.9.0.2 -J -t {seconds} {question}");
        let (said, cpu) = over_wire(options, &asked)?;
        let said: serde_json::Value = serde_json::from_str(&said)?;
        let end = &said["end"];
        let sum = match end["sum_received"].is_object() {
            true => &end["sum_received"],
            false => &end["sum"],
        };
        let bits = sum["bits_per_second"].as_f64().unwrap_or(f64::NAN);
        let lost = end["sum"]["lost_percent"].as_f64().unwrap_or(0.0);
        let cores = cpu / f64::from(seconds);
        let what = format!(
            "{options} {}",
            if question.is_empty() { "TCP" } else { question }
        );
        println!(
            "  {:48} {:8.0} {lost:7.2} {cores:6.2}",
            what.trim(),
            bits / 1e6
        );
    }
    println!(
        "ping                                  lost %   later than asked, ms: least median 99 % most"
    );
    for (options, asked) in [
        ("", 0.0),
        ("--delay 1ms", 2.0),
        ("--delay 20ms", 40.0),
        ("--delay 5ms --loss 5% --seed 1", 10.0),
    ] {
        let (said, _) = over_wire(options, "ping -c 500 -i 0.01 -W 1 10.9.0.2")?;
        let times = said.split("time=").skip(1);
        let times = times.filter_map(|rest| rest.split_whitespace().next());
        let mut late: Vec<f64> = times
            .filter_map(|t| Some(t.parse::<f64>().ok()? - asked))
            .collect();
        late.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let place = (late.len() as f64 * part) as usize;
            let last = late.len().saturating_sub(1);
            late.get(place.min(last)).copied().unwrap_or(f64::NAN)
        };
        let lost = 100.0 - late.len() as f64 / 5.0;
        print!("  {options:34} {lost:7.1}                         ");
        println!(
            "{:6.2} {:6.2} {:5.2} {:5.2}",
            at(0.0),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    Ok(())
}

/// The program under test, beside this one.
fn tapline_beside() -> Outcome<PathBuf> {
    let tapline = env::current_exe()?.with_file_name("tapline");
    if tapline.exists() {
        return Ok(tapline);
    }
    let tapline = tapline.display();
    Err(format!("no {tapline}: run `cargo build --release` first").into())
}

/// What a question over a wire was answered, and the processor seconds that the wire took.
fn over_wire(options: &str, question: &str) -> Outcome<(String, f64)> {
    let tapline = tapline_beside()?;
    let output = Command::new("unshare")
        .args(["-n", "-m", "sh", "-c", WIRE, "sh"])
        .arg(tapline)
        .args([options, question])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let parts: Vec<&str> = text.split("ticks ").collect();
    let [_, before, after] = parts[..] else {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the wire {options} did not come about: {text}{said}").into());
    };
    let (before, said) = before.split_once('\n').unwrap_or((before, ""));
    let after = after.lines().next().unwrap_or_default();
    let sum = |words: &str| {
        let ticks = words
            .split_whitespace()
            .filter_map(|w| w.parse::<f64>().ok());
        ticks.sum::<f64>()
    };
    Ok((said.to_owned(), (sum(after) - sum(before)) / TICKS))
}

/// Runs ping beside the responder and ends with it.
fn ping(name: &str, count: &str) -> Outcome<()> {
    let mut netlink = Netlink::open()?;
    netlink.set_up(name)?;
    netlink.add_address(name, "10.7.0.1/24".parse()?)?;
    let count = count.to_owned();
    #[expect(
        clippy::disallowed_methods,
        reason = "ping runs beside what answers it"
    )]
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
