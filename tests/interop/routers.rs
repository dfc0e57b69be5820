//! Three Tapline routers in a row between two kernels, with a narrower link at each step.
//!
//! ```text
//!   left            r1              r2              r3              right
//!   10.1.0.1 ---- .1.2  .12.1 ---- .12.2  .23.2 ---- .23.3  .3.2 ---- 10.3.0.1
//!          MTU 1500        MTU 1400         MTU 1300        MTU 1500
//! ```
//!
//! Each router is `up --here` in a namespace of its own, on the ends of two veth pairs.

use crate::common::{Running, World, loses_nothing, total};
use crate::{Anyone, Test};

pub(crate) const TESTS: &[Test] = &[
    (
        Anyone,
        "routers_are_each_named_by_traceroute",
        routers_are_each_named_by_traceroute,
    ),
    (
        Anyone,
        "routers_teach_the_path_mtu",
        routers_teach_the_path_mtu,
    ),
    (
        Anyone,
        "routers_pass_65507_bytes_in_fragments",
        routers_pass_65507_bytes_in_fragments,
    ),
    (
        Anyone,
        "routers_pass_tcp_of_kernels_that_offload",
        routers_pass_tcp_of_kernels_that_offload,
    ),
    (
        Anyone,
        "routers_end_a_loop_by_ttl",
        routers_end_a_loop_by_ttl,
    ),
    (
        Anyone,
        "routers_tell_of_no_route_and_no_host",
        routers_tell_of_no_route_and_no_host,
    ),
    (
        Anyone,
        "routers_count_what_they_pass",
        routers_count_what_they_pass,
    ),
];

/// The wires, and the kernels' ends of them.
const WIRES: &str = "
    wire() { ip link add $2 netns $1 mtu $5 type veth peer name $4 mtu $5 netns $3
             ip -n $1 link set $2 up; ip -n $3 link set $4 up; }
    wire left eth0 r1 west 1500
    wire r1 east r2 west 1400
    wire r2 east r3 west 1300
    wire r3 east right eth0 1500
    ip -n left addr add 10.1.0.1/24 dev eth0
    ip -n left route add default via 10.1.0.2
    ip -n right addr add 10.3.0.1/24 dev eth0
    ip -n right route add default via 10.3.0.2";

/// Name, west address, east address, and routes: to where, by which next hop.
type Router = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// The three. 10.99/16 goes round between r1 and r2 for ever.
const ROUTERS: &[Router] = &[
    (
        "r1",
        "10.1.0.2/24",
        "10.12.0.1/24",
        &[
            ("10.23.0.0/24", "10.12.0.2"),
            ("10.3.0.0/24", "10.12.0.2"),
            ("10.99.0.0/16", "10.12.0.2"),
        ],
    ),
    (
        "r2",
        "10.12.0.2/24",
        "10.23.0.2/24",
        &[
            ("10.1.0.0/24", "10.12.0.1"),
            ("10.3.0.0/24", "10.23.0.3"),
            ("10.99.0.0/16", "10.12.0.1"),
        ],
    ),
    (
        "r3",
        "10.23.0.3/24",
        "10.3.0.2/24",
        &[("10.1.0.0/24", "10.23.0.2"), ("10.12.0.0/24", "10.23.0.2")],
    ),
];

fn three_routers() -> (World, Vec<Running>) {
    let world = World::new(&["left", "r1", "r2", "r3", "right"], WIRES);
    let routers = ROUTERS.iter().map(|(name, west, east, routes)| {
        let mut config = format!(
            "forwarding = true\n\
             [[device]]\nname = 'west'\nkind = 'raw'\naddresses = ['{west}']\n\
             [[device]]\nname = 'east'\nkind = 'raw'\naddresses = ['{east}']\n"
        );
        for (to, via) in *routes {
            config += &format!("[[route]]\nto = '{to}'\nvia = '{via}'\n");
        }
        config += "[[route]]\nto = '10.88.0.0/16'\nrefuse = 'prohibited'\n";
        config += "[[route]]\nto = '10.89.0.0/16'\nrefuse = 'unreachable'\n";
        world.tapline(name, &config)
    });
    let routers = routers.collect();
    (world, routers)
}

fn routers_are_each_named_by_traceroute() {
    let (world, _routers) = three_routers();
    for how in ["", "-I"] {
        let ran = world
            .sh("left", &format!("traceroute -w 5 {how} -n 10.3.0.1"))
            .exits(0);
        let hops = ran
            .out
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().nth(1));
        let hops: Vec<_> = hops.collect();
        assert_eq!(
            hops,
            ["10.1.0.2", "10.12.0.2", "10.23.0.3", "10.3.0.1"],
            "{ran}"
        );
    }
    let ran = world.sh("right", "traceroute -w 5 -n 10.1.0.1").exits(0);
    for hop in [" 10.3.0.2 ", " 10.23.0.2 ", " 10.12.0.1 ", " 10.1.0.1 "] {
        assert!(ran.out.contains(hop), "{hop} is not on the way back: {ran}");
    }
}

/// RFC 1191: each narrower link is told of by the router before it.
fn routers_teach_the_path_mtu() {
    let (world, _routers) = three_routers();
    let ran = world.sh("left", "tracepath -n 10.3.0.1").exits(0);
    let ran = ran
        .says("pmtu 1400")
        .says("pmtu 1300")
        .says("Resume: pmtu 1300 hops 4 back 4");
    drop(ran);
    let ping = "ping -M do -s 1472 -c 3 -i 0.2 -W 1 10.1.0.1";
    world
        .sh("right", ping)
        .exits(1)
        .says("From 10.3.0.2")
        .says("mtu = 1300");
    world
        .sh("right", "ip route get 10.1.0.1")
        .exits(0)
        .never_says("mtu 1500");
    loses_nothing(
        world.sh("left", "ping -M do -s 1272 -c 3 -i 0.01 -w 20 10.3.0.1"),
        3,
    );
    world
        .sh("left", "ip route get 10.3.0.1")
        .exits(0)
        .says("mtu 1300");
}

fn routers_pass_65507_bytes_in_fragments() {
    let (world, _routers) = three_routers();
    for mode in ["dont", "want"] {
        let ping = format!("ping -M {mode} -s 65507 -c 10 -i 0.01 -w 20 10.3.0.1");
        let ran = loses_nothing(world.sh("left", &ping), 10);
        assert!(
            ran.lines_with("65515 bytes from 10.3.0.1").count() >= 10,
            "{ran}"
        );
    }
    loses_nothing(
        world.sh(
            "right",
            "ping -M dont -s 65507 -c 10 -i 0.01 -w 20 10.1.0.1",
        ),
        10,
    );
}

/// A kernel hands a veth up to 64 KiB of TCP as one frame; what leaves the router are segments, and
/// where those exceed the next link, the sender is told.
fn routers_pass_tcp_of_kernels_that_offload() {
    let (world, routers) = three_routers();
    let count = "exec /usr/bin/python3 -c \"
import socket
server = socket.create_server(('10.3.0.1', 5000))
print('listening', flush=True)
connection, got = server.accept()[0], 0
while data := connection.recv(65536):
    got += len(data)
connection.sendall(b'%d' % got)\"";
    let _counting = world.start("right", count, "listening");
    let send = "/usr/bin/python3 -c \"
import socket
s = socket.create_connection(('10.3.0.1', 5000), 20)
s.sendall(bytes(4_000_000))
s.shutdown(socket.SHUT_WR)
print('got', s.recv(20).decode())\"";
    world.sh("left", send).exits(0).says("got 4000000");
    for router in routers {
        router.status_at_end().has_no_bad_checksum();
    }
}

fn routers_end_a_loop_by_ttl() {
    let (world, routers) = three_routers();
    let ran = world.sh("left", "ping -c 2 -i 0.2 -W 2 10.99.0.1").exits(1);
    assert_eq!(ran.lines_with("Time to live exceeded").count(), 2, "{ran}");
    let expired: u64 = routers
        .into_iter()
        .map(|r| r.status_at_end().drops("ttl-expired"))
        .sum();
    assert_eq!(expired, 2, "each of two pings died once");
}

/// RFC 1812 §4.3.2.4: from the address of the interface that the error leaves by.
fn routers_tell_of_no_route_and_no_host() {
    let (world, _routers) = three_routers();
    world
        .sh("left", "ping -c 1 -W 2 10.77.0.1")
        .exits(1)
        .says("Destination Net Unreachable");
    let refused = "ping -c 1 -W 2 10.88.0.1; ping -c 1 -W 2 10.89.0.1";
    world
        .sh("left", refused)
        .exits(1)
        .says("From 10.1.0.2 icmp_seq=1 Packet filtered")
        .says("From 10.1.0.2 icmp_seq=1 Destination Host Unreachable");
    let ran = world.sh("left", "ping -c 1 -W 10 10.3.0.77").exits(1);
    ran.says("From 10.23.0.3 icmp_seq=1 Destination Host Unreachable");
}

/// What one router sends, the next receives; what comes in is delivered, forwarded, held or
/// dropped for a reason.
fn routers_count_what_they_pass() {
    let (world, routers) = three_routers();
    loses_nothing(world.sh("left", "ping -c 200 -i 0.002 -w 20 10.3.0.1"), 200);
    loses_nothing(
        world.sh("left", "ping -M dont -s 5000 -c 20 -i 0.01 -w 20 10.3.0.1"),
        20,
    );
    let ends: Vec<_> = routers.into_iter().map(Running::status_at_end).collect();
    for (status, (name, ..)) in ends.iter().zip(ROUTERS) {
        status.adds_up(name);
        assert!(
            status.count("forwarded") >= 440,
            "{name} forwarded too little: {status}"
        );
    }
    // Each whole ping there and back once, and what was cut on the way only more.
    let forwarded: Vec<_> = ends
        .iter()
        .map(|status| status.count("forwarded"))
        .collect();
    assert!(
        forwarded.is_sorted(),
        "links get narrower to the east: {forwarded:?}"
    );
    assert_eq!(total(&ends, "ttl-expired"), 0);
}
