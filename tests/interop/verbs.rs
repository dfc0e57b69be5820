//! The clients against the kernel, and through kernels as routers; beside the kernel's own tools.
//!
//! ```text
//!   left                        r1                  r2                  right
//!   10.1.0.8 kernel  --------  .1.1  .2.1 -------- .2.2  .3.2 -------- 10.3.0.1
//!   10.1.0.9 Tapline, on the same interface               MTU 1300
//! ```

use crate::common::{Ran, World, loses_nothing, run, tapline};
use crate::{Anyone, Root, Test};

pub(crate) const TESTS: &[Test] = &[
    (
        Anyone,
        "verbs_work_out_of_the_box",
        verbs_work_out_of_the_box,
    ),
    (
        Anyone,
        "verbs_ping_like_the_kernels",
        verbs_ping_like_the_kernels,
    ),
    (
        Anyone,
        "verbs_ping_shows_errors_like_the_kernels",
        verbs_ping_shows_errors_like_the_kernels,
    ),
    (
        Anyone,
        "verbs_ping_records_the_kernels_route",
        verbs_ping_records_the_kernels_route,
    ),
    (
        Anyone,
        "verbs_trace_like_the_kernels",
        verbs_trace_like_the_kernels,
    ),
    (
        Anyone,
        "verbs_arping_finds_probes_and_announces",
        verbs_arping_finds_probes_and_announces,
    ),
    (Anyone, "verbs_nc_talks_both_ways", verbs_nc_talks_both_ways),
    (Anyone, "verbs_exit_as_documented", verbs_exit_as_documented),
    (
        Anyone,
        "verbs_nc_joins_groups_that_kernels_hear_of",
        verbs_nc_joins_groups_that_kernels_hear_of,
    ),
    (
        Root,
        "verbs_open_a_tap_that_is_there",
        verbs_open_a_tap_that_is_there,
    ),
];

/// The wires; kernels that may say as many errors as they are asked for.
const WIRES: &str = "
    wire() { ip link add $2 netns $1 mtu $5 type veth peer name $4 mtu $5 netns $3
             ip -n $1 link set $2 up; ip -n $3 link set $4 up; }
    wire left eth0 r1 west 1500
    wire r1 east r2 west 1500
    wire r2 east right eth0 1300
    ip -n left addr add 10.1.0.8/24 dev eth0
    ip -n left route add default via 10.1.0.1
    ip -n r1 addr add 10.1.0.1/24 dev west
    ip -n r1 addr add 10.2.0.1/24 dev east
    ip -n r1 route add 10.3.0.0/24 via 10.2.0.2
    ip -n r2 addr add 10.2.0.2/24 dev west
    ip -n r2 addr add 10.3.0.2/24 dev east
    ip -n r2 route add 10.1.0.0/24 via 10.2.0.1
    ip -n right addr add 10.3.0.1/24 dev eth0
    ip -n right route add default via 10.3.0.2
    for n in r1 r2 right; do
        ip netns exec $n sysctl -qw net.ipv4.ip_forward=1 net.ipv4.icmp_ratemask=0
    done";

fn two_routers() -> World {
    World::new(&["left", "r1", "r2", "right"], WIRES)
}

/// Runs a client on the interface that the kernel uses too.
fn client(world: &World, verb: &str, rest: &str) -> Ran {
    let at = "--raw eth0 --address 10.1.0.9/24 --gateway 10.1.0.1";
    world.sh("left", &format!("{} {verb} {at} {rest}", tapline()))
}

/// The words of each line that start so.
fn words(ran: &Ran, start: &str) -> Vec<String> {
    let all = ran.out.split_whitespace().map(str::to_owned);
    all.filter(|w| w.starts_with(start)).collect()
}

fn verbs_work_out_of_the_box() {
    let ran = run(&["ping", "-c", "3", "-i", "0.05", "10.7.0.1"]).exits(0);
    loses_nothing(ran, 3);
    run(&["traceroute", "10.7.0.1"])
        .exits(0)
        .says(" 1  10.7.0.1  ");
    run(&["arping", "-c", "1", "10.7.0.1"])
        .exits(0)
        .says("Unicast reply from 10.7.0.1 [");
    run(&["ping", "-c", "1", "--vlan", "10", "-W", "0.2", "10.7.0.1"]).exits(1);
}

fn verbs_ping_like_the_kernels() {
    let world = two_routers();
    for how in [
        "-c 5 -i 0.01",
        "-c 5 -i 0.01 -s 5000",
        "-c 2 -i 0.1 -s 65507",
    ] {
        let ours = client(&world, "ping", &format!("{how} 10.3.0.1")).exits(0);
        let kernels = world.sh("left", &format!("ping {how} 10.3.0.1")).exits(0);
        assert_eq!(words(&ours, "ttl="), words(&kernels, "ttl="));
        assert_eq!(words(&ours, "icmp_seq="), words(&kernels, "icmp_seq="));
        let header = |ran: &Ran| ran.out.lines().next().map(str::to_owned);
        assert_eq!(header(&ours), header(&kernels));
        let count = if how.contains("-c 2") { 2 } else { 5 };
        loses_nothing(ours, count);
    }
    let flood = client(&world, "ping", "-f -q -c 2000 10.3.0.1").exits(0);
    loses_nothing(flood, 2000);
}

fn verbs_ping_shows_errors_like_the_kernels() {
    let world = two_routers();
    for (how, code) in [
        ("-c 1 -t 1 -W 2 10.3.0.1", 1),
        ("-c 1 -t 2 -W 2 10.3.0.1", 1),
        ("-c 1 -W 2 10.9.0.1", 1),
        ("-c 1 -W 8 10.3.0.77", 1),
        ("-c 1 -M do -s 1400 -W 2 10.3.0.1", 1),
    ] {
        let ours = client(&world, "ping", how).exits(code);
        let kernels = world.sh("left", &format!("ping {how}")).exits(code);
        let froms = |ran: &Ran| {
            ran.lines_with("From ")
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(froms(&ours), froms(&kernels), "{how}");
        assert!(!froms(&ours).is_empty(), "{ours}");
    }
    let learned = client(&world, "ping", "-c 3 -i 0.1 -M do -s 1400 10.3.0.1").exits(1);
    learned.says("local error: message too long, mtu: 1300");
}

fn verbs_ping_records_the_kernels_route() {
    let world = two_routers();
    // Our own kernel writes itself down once more when the answer is there.
    let way = |ran: &Ran| {
        let lines = ran.out.lines().skip_while(|l| !l.starts_with("RR:"));
        let hops = lines.map(|l| l.trim_start_matches("RR:").trim().to_owned());
        let mut hops: Vec<_> = hops.take_while(|l| !l.is_empty()).collect();
        hops.retain(|h| h != "10.1.0.8" && h != "10.1.0.9");
        hops
    };
    let ours = client(&world, "ping", "-c 1 -R 10.3.0.1").exits(0);
    let kernels = world.sh("left", "ping -c 1 -R 10.3.0.1").exits(0);
    assert_eq!(way(&ours), way(&kernels), "{ours}");
    assert!(way(&ours).len() >= 5, "{ours}");
    client(&world, "ping", "-c 1 -T tsonly 10.3.0.1")
        .exits(0)
        .says(" absolute");
    client(&world, "ping", "-c 1 -T tsandaddr 10.3.0.1")
        .exits(0)
        .says("\t10.2.0.2\t");
}

fn verbs_trace_like_the_kernels() {
    let world = two_routers();
    for how in [
        "10.3.0.1",
        "-I 10.3.0.1",
        "-q 1 -N 1 10.3.0.1",
        "10.9.0.1",
        "-F 10.3.0.1 1400",
    ] {
        let ours = client(&world, "traceroute", how);
        let kernels = world.sh("left", &format!("traceroute -w 5 -n {how}"));
        // Everything but the times.
        let hops = |ran: &Ran| -> Vec<String> {
            let lines = ran.out.lines().skip(1);
            let words = lines.map(|l| {
                let words = l.split_whitespace();
                let kept =
                    words.filter(|w| *w != "ms" && (w.len() < 4 || w.matches('.').count() != 1));
                kept.collect::<Vec<_>>().join(" ")
            });
            words.collect()
        };
        assert_eq!(hops(&ours), hops(&kernels), "{how}\n{ours}\n{kernels}");
        assert_eq!(
            ours.code,
            Some(i32::from(how.contains("10.9") || how.contains("-F"))),
            "{ours}"
        );
    }
}

fn verbs_arping_finds_probes_and_announces() {
    let world = two_routers();
    let mac = world.sh("r1", "cat /sys/class/net/west/address").exits(0);
    client(&world, "arping", "-c 2 -i 0.1 10.1.0.1")
        .exits(0)
        .says(&format!("[{}]", mac.out.trim()))
        .says("Received 2 responses");
    client(&world, "arping", "-c 1 10.1.0.77").exits(1);
    client(&world, "arping", "-D 10.1.0.1")
        .exits(1)
        .says("is taken");
    client(&world, "arping", "-D -i 0.1 10.1.0.77")
        .exits(0)
        .says("is free");
    let stale = "ip neigh add 10.1.0.66 lladdr 02:00:00:00:00:66 dev west nud stale";
    world.sh("r1", stale).exits(0);
    let said = "-U -c 3 --mac 02:00:00:00:00:99 10.1.0.66";
    client(&world, "arping", said).exits(0);
    world
        .sh("r1", "ip neigh show 10.1.0.66")
        .says("02:00:00:00:00:99");
}

fn verbs_nc_talks_both_ways() {
    let world = two_routers();
    let echo = "python3 -u -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((\"10.3.0.1\", 5000))
print(\"ready\")
while True:
    data, peer = s.recvfrom(65535)
    s.sendto(data.upper(), peer)'";
    let _echo = world.start("right", echo, "ready");
    let at = "--raw eth0 --address 10.1.0.9/24 --gateway 10.1.0.1";
    let ours = tapline();
    let talk = format!("echo hello | {ours} nc -u -w 1 {at} 10.3.0.1 5000");
    world.sh("left", &talk).exits(0).says("HELLO");
    let alone = format!("echo hello | {ours} nc -u -w 2 {at} 10.3.0.1 5001");
    let ran = world.sh("left", &alone).exits(1);
    assert!(ran.err.contains("10.3.0.1:5001: PortUnreachable"), "{ran}");
}

/// RFC 3376: a router hears that a group is joined from one source, asks who is there, and hears
/// that it is left.
fn verbs_nc_joins_groups_that_kernels_hear_of() {
    let world = two_routers();
    let router = "exec 2>&1; exec python3 -u -c 'import socket, struct
me, all_routers, group = [socket.inet_aton(a) for a in (\"10.1.0.1\", \"224.0.0.22\", \"239.1.2.3\")]
igmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, 2)
igmp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, all_routers + me)
igmp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, me)
igmp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
igmp.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([0x94, 4, 0, 0]))
igmp.settimeout(20)
print(\"ready\")
def hear(kind):
    while True:
        data, (who, _) = igmp.recvfrom(2048)
        report = data[(data[0] & 15) * 4:]
        if who != \"10.1.0.9\" or report[0] != 0x22:
            continue
        alert, at = data[20:24].hex(), 8
        for _ in range(struct.unpack(\"!H\", report[6:8])[0]):
            sources = struct.unpack(\"!H\", report[at + 2:at + 4])[0]
            if report[at] == kind and report[at + 4:at + 8] == group:
                listed = report[at + 8:at + 8 + 4 * sources]
                return print(\"record\", kind, listed.hex(), alert)
            at += 8 + 4 * sources
hear(5)
query = bytes.fromhex(\"110a000000000000020a0000\")
total = sum(struct.unpack(\"!6H\", query))
query = query[:2] + struct.pack(\"!H\", 0xffff & ~(total + (total >> 16))) + query[4:]
igmp.sendto(query, (\"224.0.0.1\", 0))
hear(1)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, me)
udp.sendto(b\"to all who listen\", (\"239.1.2.3\", 5000))
hear(6)
print(\"that was all\")'";
    let router = world.start("r1", router, "ready");
    let at = "--raw eth0 --address 10.1.0.9/24";
    let listen = "nc -u -l -p 5000 --join 239.1.2.3 --source 10.1.0.1 -w 6";
    let ran = world.sh("left", &format!("{} {listen} {at}", tapline()));
    ran.exits(0).says("to all who listen");
    let said = router.ended();
    for record in ["record 5", "record 1", "record 6"] {
        let line = format!("{record} 0a010001 94040000");
        assert!(said.contains(&line), "{line}: {said}");
    }
    assert!(said.contains("that was all"), "{said}");
}

fn verbs_exit_as_documented() {
    run(&["ping", "-c", "1", "-W", "0.2", "10.7.0.99"]).exits(1);
    run(&["ping", "192.0.2.1"]).exits(2);
    run(&["ping", "--raw", "lo", "10.0.0.1"]).exits(2);
    run(&["traceroute", "example.org"]).exits(2);
    // Nobody serves echo over TCP there.
    run(&["nc", "10.7.0.1", "7"]).exits(1);
    run(&["replay", "/no/such/file"]).exits(2);
    run(&["replay", "/etc/hostname"]).exits(2);
    run(&[
        "ping",
        "--raw",
        "no-such-if",
        "--address",
        "10.0.0.1/24",
        "10.0.0.2",
    ])
    .exits(3);
}

fn verbs_open_a_tap_that_is_there() {
    let world = World::new(&["left"], "");
    let ready = "ip tuntap add tap5 mode tap vnet_hdr && ip addr add 10.5.0.1/24 dev tap5";
    world.sh("left", ready).exits(0);
    let ours = tapline();
    for verb in [
        "ping --tap tap5 --address 10.5.0.2/24 -c 2 -i 0.1 10.5.0.1",
        "ping --tap tap6 -c 2 -i 0.1 10.7.0.1",
    ] {
        let ran = world.sh("left", &format!("{ours} {verb}")).exits(0);
        loses_nothing(ran, 2);
    }
}
