//! `tapline wire` between two kernels: each is as far away, as deaf and as slow as was asked for.
//!
//! ```text
//!   a 10.9.0.1 -- wa == TAP ==[ tapline wire wa wb ... ]== TAP == wb -- b 10.9.0.2
//! ```
//!
//! The TAPs are made in the world's middle and moved away while the wire runs. Nothing here asserts
//! on seconds but where more cannot be too much: a delay has a strict lower bound and a generous
//! upper one. What chance does is repeated by its seed: two runs lose the same packets.

use crate::common::{Ran, Running, TempFile, World, loses_nothing, tapline};
use crate::{Root, Test};
use serde_json::Value;

pub(crate) const TESTS: &[Test] = &[
    (Root, "wire_delays_both_ways", wire_delays_both_ways),
    (Root, "wire_loses_the_same_again", wire_loses_the_same_again),
    (
        Root,
        "wire_doubles_what_ping_sees",
        wire_doubles_what_ping_sees,
    ),
    (
        Root,
        "wire_drops_what_is_too_long",
        wire_drops_what_is_too_long,
    ),
    (Root, "wire_keeps_to_its_rate", wire_keeps_to_its_rate),
    (Root, "wire_cuts_super_frames", wire_cuts_super_frames),
    (
        Root,
        "wire_lets_iperf3_read_to_the_end",
        wire_lets_iperf3_read_to_the_end,
    ),
    (Root, "wire_flips_bits", wire_flips_bits),
    (Root, "wire_follows_a_script", wire_follows_a_script),
    (Root, "wire_says_what_is_wrong", wire_says_what_is_wrong),
    (Root, "wire_runs_a_program", wire_runs_a_program),
];

/// Two kernels and the wire between them.
struct Wired {
    // Dropped first: it ends before its world.
    wire: Running,
    world: World,
    status: TempFile,
}

impl Wired {
    fn new(options: &str) -> Self {
        let world = World::new(&["middle", "a", "b"], "");
        let status = TempFile::new("wire.json", "");
        let script = format!(
            "exec {} wire wa wb {options} --status {}",
            tapline(),
            status.path()
        );
        let wire = world.start("middle", &script, "the wire is ready");
        for (name, interface, address) in [("a", "wa", "10.9.0.1"), ("b", "wb", "10.9.0.2")] {
            let moved = format!(
                "ip -n middle link set {interface} netns {name}
                 ip netns exec {name} sh -c 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6'
                 ip -n {name} addr add {address}/24 dev {interface}
                 ip -n {name} link set {interface} up"
            );
            world.middle(&format!("set -e\n{moved}")).exits(0);
        }
        // Neighbours know each other: a lost ARP request would take a second of each test.
        let far = "cat /sys/class/net/$1/address";
        let mac = |ns: &str, dev: &str| {
            let ran = world.sh(
                ns,
                &format!("mount -t sysfs none /sys; {}", far.replace("$1", dev)),
            );
            ran.exits(0).out.trim().to_owned()
        };
        let (a, b) = (mac("a", "wa"), mac("b", "wb"));
        let known = format!(
            "ip -n a neigh replace 10.9.0.2 lladdr {b} dev wa nud permanent
             ip -n b neigh replace 10.9.0.1 lladdr {a} dev wb nud permanent"
        );
        world.middle(&known).exits(0);
        Self {
            wire,
            world,
            status,
        }
    }

    fn ping(&self, options: &str) -> Ran {
        self.world.sh("a", &format!("ping {options} 10.9.0.2"))
    }

    /// Ends the wire; its counters, which must add up.
    fn ends(self) -> Value {
        let said = self.wire.stop();
        assert!(!said.contains("panicked"), "{said}");
        assert!(said.contains("wa > wb: in "), "{said}");
        let status = std::fs::read_to_string(self.status.path()).unwrap();
        let status: Value = serde_json::from_str(&status).unwrap();
        for i in [0, 1] {
            let dropped = status["ways"][i]["dropped"].as_object().unwrap();
            let dropped: u64 = dropped.values().filter_map(Value::as_u64).sum();
            let of = |name| count(&status, i, name);
            assert_eq!(
                of("frames_in") + of("duplicated"),
                of("frames_out") + of("waiting") + of("in_flight") + dropped,
                "{status:#}"
            );
        }
        status
    }
}

fn count(status: &Value, way: usize, name: &str) -> u64 {
    let way = &status["ways"][way];
    let found = way[name].as_u64().or_else(|| way["dropped"][name].as_u64());
    found.unwrap_or_else(|| panic!("no counter {name}: {way:#}"))
}

/// The round trips that ping saw, in microseconds, in order of size.
fn times(ran: &Ran) -> Vec<u64> {
    let figures = ran.out.split("time=").skip(1);
    let figures = figures.filter_map(|rest| rest.split_whitespace().next());
    let mut times: Vec<u64> = figures
        .map(|text| {
            let (ms, rest) = text.split_once('.').unwrap_or((text, ""));
            format!("{ms}{rest:0<3}").parse().unwrap()
        })
        .collect();
    times.sort_unstable();
    times
}

/// The sequence numbers that ping got an answer to.
fn answered(ran: &Ran) -> Vec<u32> {
    let numbers = ran.out.split("icmp_seq=").skip(1);
    let numbers = numbers.filter_map(|rest| rest.split_whitespace().next());
    numbers.map(|n| n.parse().unwrap()).collect()
}

/// 20 ms there and 7 ms back. ping prints a millisecond's thousandths only below ten of them.
fn wire_delays_both_ways() {
    let wired = Wired::new("--delay 7ms --from wa delay=20ms");
    let ran = loses_nothing(wired.ping("-c 50 -i 0.01 -w 20"), 50);
    let times = times(&ran);
    assert!(times.len() >= 50, "{ran}");
    assert!(times[0] >= 26_900, "quicker than the wire: {ran}");
    assert!(times[25] < 60_000, "the median: {ran}");
    let status = wired.ends();
    // What a kernel says when an interface comes up may be among them.
    assert!(count(&status, 0, "frames_out") >= 50);
    assert!(count(&status, 1, "frames_out") >= 50);
}

/// Of 1000 packets at 10 %, 52 to 152 are lost in all but one of a hundred thousand seeds; and in
/// two runs with one seed the same.
fn wire_loses_the_same_again() {
    let runs = [1, 1, 2].map(|seed| {
        let wired = Wired::new(&format!("--from wa loss=10% --seed {seed}"));
        let ran = wired.ping("-c 1000 -i 0.001 -W 1").exits(0);
        let status = wired.ends();
        let came = answered(&ran);
        let lost = count(&status, 0, "wire-loss");
        assert_eq!(came.len() as u64 + lost, 1000, "{ran}");
        assert!((52..=152).contains(&lost), "{lost} of 1000 lost");
        came
    });
    assert_eq!(runs[0], runs[1], "one seed, two fates");
    assert_ne!(runs[0], runs[2], "two seeds, one fate");
}

fn wire_doubles_what_ping_sees() {
    let wired = Wired::new("--from wb duplicate=20% --seed 5");
    let ran = wired.ping("-c 200 -i 0.002").exits(0);
    let twice = ran.lines_with("(DUP!)").count() as u64;
    let status = wired.ends();
    assert_eq!(twice, count(&status, 1, "duplicated"), "{ran}");
    assert!(twice > 10, "{ran}");
    assert_eq!(count(&status, 0, "duplicated"), 0);
}

/// The interface lets a packet of 1500 bytes pass, the wire does not.
fn wire_drops_what_is_too_long() {
    let wired = Wired::new("--mtu 1000");
    let link = wired.world.sh("a", "ip link show wa").exits(0);
    let _ = link.says("mtu 1000 ");
    loses_nothing(wired.ping("-c 3 -i 0.01 -w 20 -M do -s 972"), 3);
    wired.world.sh("a", "ip link set wa mtu 1500").exits(0);
    let _ = wired.ping("-c 3 -i 0.01 -W 1 -M do -s 973").exits(1);
    loses_nothing(wired.ping("-c 3 -i 0.01 -w 20 -M do -s 972"), 3);
    let status = wired.ends();
    assert_eq!(count(&status, 0, "frame-too-long"), 3);
}

/// A burst of 200 packets of 1000 bytes at 1 Mbit/s takes 1.6 s; 8 wait, 2 more are being sent or
/// come when one has left. The ninth to leave is 9 x 8 ms after the first came, and it came later than
/// that by as long as ping took for all 200 at most.
fn wire_keeps_to_its_rate() {
    let wired = Wired::new("--from wa \"rate=1mbit limit=8\"");
    // 14 bytes of Ethernet, 20 of IP, 8 of ICMP.
    let ran = wired.ping("-c 200 -l 200 -s 958 -W 3");
    let times = times(&ran);
    let (first, last) = (times[0], times[times.len() - 1]);
    assert!(first >= 8_000, "a packet takes 8 ms: {ran}");
    let burst = ran.out.split(", time ").nth(1).and_then(|rest| {
        let (millis, _) = rest.split_once("ms")?;
        millis.parse::<u64>().ok()
    });
    let burst = 1000 * (burst.unwrap() + 1);
    assert!(last + burst >= 9 * 8_000, "the queue's end: {ran}");
    let status = wired.ends();
    assert_eq!(count(&status, 0, "queue_peak"), 8);
    let full = count(&status, 0, "wire-queue-full");
    assert_eq!(full + times.len() as u64, 200, "{ran}");
    assert!(full >= 100, "{full} found the queue full");
}

/// TCP hands over up to 64 KiB at once; what comes out is of the MTU, whole, and all of it.
fn wire_cuts_super_frames() {
    let wired = Wired::new("--delay 1ms --loss 1% --reorder 1% --reorder-by 3ms --seed 3");
    // 14,888,896 bytes.
    let script = "echo listening; socat -u TCP-LISTEN:9000 - | sha256sum";
    let server = wired.world.start("b", script, "listening");
    let send = "seq 2000000 > /run/sent; sha256sum < /run/sent
        socat -u FILE:/run/sent TCP:10.9.0.2:9000,retry=50,interval=0.1";
    let ran = wired.world.sh("a", send).exits(0);
    let sum = ran.out.split_whitespace().next().unwrap();
    let said = server.ended();
    assert!(said.contains(sum), "{said}\n{ran}");
    let status = wired.ends();
    assert!(count(&status, 0, "bytes_out") >= 14_000_000, "{status:#}");
    assert!(count(&status, 0, "frames_in") >= 14_000_000 / 1460);
    assert_eq!(count(&status, 0, "frame-too-long"), 0);
}

/// The original's client reads what was under way to its end, which losses put off.
fn wire_lets_iperf3_read_to_the_end() {
    let wired = Wired::new("--delay 10ms --loss 1% --seed 1");
    let config = "services = ['iperf']
        [[device]]
        name = 'wb'
        kind = 'raw'
        addresses = ['10.9.0.9/24']";
    let _up = wired.world.tapline("b", config);
    for _ in 0..2 {
        let ran = wired.world.sh("a", "iperf3 -c 10.9.0.9 -t 2 -R");
        ran.exits(0).says("receiver").says("iperf Done.");
    }
}

/// With a frame check each flipped bit is a lost frame; without, the kernel's checksums see it.
fn wire_flips_bits() {
    let wired = Wired::new("--from wa ber=1e-4 --seed 1");
    let ran = wired.ping("-c 200 -i 0.002 -W 1").exits(0);
    let status = wired.ends();
    let lost = count(&status, 0, "wire-frame-check");
    assert_eq!(lost, count(&status, 0, "corrupted"));
    assert!(lost > 0, "{ran}");
    assert_eq!(answered(&ran).len() as u64 + lost, 200, "{ran}");
    let wired = Wired::new("--from wa \"ber=1e-4 no-frame-check\" --seed 1");
    let ran = wired.ping("-c 200 -i 0.002 -W 1").exits(0);
    let status = wired.ends();
    assert_eq!(count(&status, 0, "wire-frame-check"), 0);
    assert_eq!(
        count(&status, 0, "corrupted"),
        lost,
        "the same seed, the same bits"
    );
    assert!(answered(&ran).len() < 200, "{ran}");
}

fn wire_follows_a_script() {
    let script =
        "at 0s drop next 3 of icmp on * from wa\nat 0s duplicate next 2 of icmp on * from wb";
    let file = TempFile::new("faults.txt", script);
    let wired = Wired::new(&format!("--script {}", file.path()));
    let ran = wired.ping("-c 10 -i 0.01 -W 1").exits(0);
    assert_eq!(answered(&ran), [4, 4, 5, 5, 6, 7, 8, 9, 10], "{ran}");
    let status = wired.ends();
    assert_eq!(count(&status, 0, "wire-fault"), 3);
}

fn wire_says_what_is_wrong() {
    let world = World::new(&["a"], "");
    let wrong = TempFile::new("faults.txt", "\nat 1s crash wa");
    let script = format!("wa wb --script {}", wrong.path());
    for (args, code, want) in [
        ("wa wb --loss 150%", 2, "between 0 and 1"),
        ("wa wb --rate 10mb", 2, "unknown unit `mb`"),
        ("wa wa", 2, "two ends"),
        ("wa wb --from wc loss=1%", 2, "the interfaces are wa and wb"),
        ("lo wb", 3, "that name is taken"),
        ("wa a-name-that-is-too-long", 2, "1 to 15"),
        ("wa wb --status /nowhere/x", 3, "/nowhere/x: No such file"),
        ("wa wb -- /nowhere/x", 3, "/nowhere/x"),
        (script.as_str(), 2, "line 2: what is at the ends"),
    ] {
        let ran = world.sh("a", &format!("exec {} wire {args}", tapline()));
        let ran = ran.exits(code);
        assert!(ran.err.contains(want), "{args}: {ran}");
        assert!(!ran.err.contains("ready"), "{args}: {ran}");
    }
}

/// It ends with the program, and the interfaces are gone.
fn wire_runs_a_program() {
    let world = World::new(&["a"], "");
    let wire = format!("{} wire wa wb --json -- sh -c 'ip link; exit 7'", tapline());
    let ran = world.sh("a", &wire).exits(7);
    assert!(
        ran.out.contains("wa: <") && ran.out.contains("\"from\":\"wa\""),
        "{ran}"
    );
    let _ = world.sh("a", "ip link").exits(0).never_says("wa");
}
