//! `tapline ping`, `traceroute`, `arping` from the stack, held against the kernel's own tools in
//! the same place on the same wire.
//!
//! ```text
//!   stack  10.1.0.9 --\
//!                      br0 10.1.0.1 [router: a kernel] .12.1 -- .12.2 [second: a kernel] .2.1 ---- 10.2.0.2 far
//!   kernel 10.1.0.8 --/                               MTU 1400                           MTU 1300
//! ```

use crate::common::{Ran, World, loses_nothing, run, tapline};
use crate::{Anyone, Test};

pub(crate) const TESTS: &[Test] = &[
    (
        Anyone,
        "clients_reach_the_kernel_beside_them",
        clients_reach_the_kernel_beside_them,
    ),
    (
        Anyone,
        "clients_ping_through_kernel_routers",
        clients_ping_through_kernel_routers,
    ),
    (
        Anyone,
        "clients_trace_what_the_kernel_traces",
        clients_trace_what_the_kernel_traces,
    ),
    (
        Anyone,
        "clients_learn_the_path_mtu",
        clients_learn_the_path_mtu,
    ),
    (
        Anyone,
        "clients_arping_as_the_kernel_does",
        clients_arping_as_the_kernel_does,
    ),
];

const WIRES: &str = "
    wire() { ip link add $2 netns $1 mtu $5 type veth peer name $4 mtu $5 netns $3
             ip -n $1 link set $2 up; ip -n $3 link set $4 up; }
    ip -n router link add br0 type bridge
    ip -n router link set br0 up
    wire stack eth0 router p1 1500
    wire kernel eth0 router p2 1500
    wire router east second west 1400
    wire second east far eth0 1300
    ip -n router link set p1 master br0
    ip -n router link set p2 master br0
    ip -n router addr add 10.1.0.1/24 dev br0
    ip -n router addr add 10.12.0.1/24 dev east
    ip -n second addr add 10.12.0.2/24 dev west
    ip -n second addr add 10.2.0.1/24 dev east
    ip -n kernel addr add 10.1.0.8/24 dev eth0
    ip -n far addr add 10.2.0.2/24 dev eth0
    ip -n kernel route add default via 10.1.0.1
    ip -n far route add default via 10.2.0.1
    ip -n router route add default via 10.12.0.2
    ip -n second route add default via 10.12.0.1
    for one in router second; do
        ip netns exec $one sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
    done";

fn kernel_routers() -> World {
    World::new(&["stack", "kernel", "router", "second", "far"], WIRES)
}

/// Runs a client of the stack, attached where the kernel beside it is.
fn from_stack(world: &World, verb: &str, arguments: &str) -> Ran {
    let attach = "--raw eth0 --address 10.1.0.9/24 --gateway 10.1.0.1";
    world.sh(
        "stack",
        &format!("exec {} {verb} {attach} {arguments}", tapline()),
    )
}

fn clients_reach_the_kernel_beside_them() {
    loses_nothing(run(&["ping", "-c", "3", "-i", "0.01", "10.7.0.1"]), 3);
    let sizes = ["ping", "-c", "5", "-i", "0.01", "-s", "65507", "10.7.0.1"];
    loses_nothing(run(&sizes), 5).says("65515 bytes from 10.7.0.1");
    for how in [
        &["traceroute", "10.7.0.1"][..],
        &["traceroute", "-I", "10.7.0.1"],
    ] {
        let ran = run(how).exits(0);
        assert_eq!(hops(&ran), ["10.7.0.1"], "{ran}");
    }
    run(&["arping", "-c", "2", "10.7.0.1"])
        .exits(0)
        .says("Received 2 response");
    run(&["ping", "-c", "1", "-W", "0.2", "10.7.0.99"])
        .exits(1)
        .says("0 received");
}

fn clients_ping_through_kernel_routers() {
    let world = kernel_routers();
    for ran in [
        world.sh("kernel", "ping -c 20 -i 0.01 -w 20 10.2.0.2"),
        from_stack(&world, "ping", "-c 20 -i 0.01 10.2.0.2"),
    ] {
        loses_nothing(ran, 20).says("64 bytes from 10.2.0.2: icmp_seq=20 ttl=62");
    }
    for ran in [
        world.sh(
            "kernel",
            "ping -M dont -s 65507 -c 5 -i 0.01 -w 20 10.2.0.2",
        ),
        from_stack(&world, "ping", "-M dont -s 65507 -c 5 -i 0.01 10.2.0.2"),
    ] {
        loses_nothing(ran, 5).says("65515 bytes from 10.2.0.2");
    }
    for ran in [
        world.sh("kernel", "ping -c 1 -W 2 -t 1 10.2.0.2"),
        from_stack(&world, "ping", "-c 1 -W 2 -t 1 10.2.0.2"),
    ] {
        ran.exits(1)
            .says("From 10.1.0.1 icmp_seq=1 Time to live exceeded");
    }
}

fn clients_trace_what_the_kernel_traces() {
    let world = kernel_routers();
    for how in ["", "-I"] {
        let theirs = world
            .sh("kernel", &format!("traceroute -w 5 -n {how} 10.2.0.2"))
            .exits(0);
        let ours = from_stack(&world, "traceroute", &format!("{how} 10.2.0.2")).exits(0);
        assert_eq!(
            hops(&theirs),
            ["10.1.0.1", "10.12.0.2", "10.2.0.2"],
            "{theirs}"
        );
        assert_eq!(hops(&ours), hops(&theirs), "{ours}\n{theirs}");
    }
}

/// The address on each numbered line.
fn hops(ran: &Ran) -> Vec<&str> {
    let lines = ran
        .out
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let numbered = lines.filter(|words| words.first().is_some_and(|n| n.parse::<u8>().is_ok()));
    numbered.filter_map(|words| words.get(1).copied()).collect()
}

fn clients_learn_the_path_mtu() {
    let world = kernel_routers();
    for ran in [
        world.sh("kernel", "ping -M do -s 1472 -c 4 -i 0.2 -W 1 10.2.0.2"),
        from_stack(&world, "ping", "-M do -s 1472 -c 4 -i 0.2 -W 1 10.2.0.2"),
    ] {
        ran.exits(1)
            .says("From 10.1.0.1 icmp_seq=1")
            .says("mtu = 1400")
            .says("0 received");
    }
    loses_nothing(
        from_stack(&world, "ping", "-M do -s 1272 -c 3 -i 0.01 10.2.0.2"),
        3,
    );
}

fn clients_arping_as_the_kernel_does() {
    let world = kernel_routers();
    let kernel = |arguments: &str| world.sh("kernel", &format!("arping -I eth0 {arguments}"));
    let attach = "--raw eth0 --address 10.1.0.9/24";
    let stack = |arguments: &str| {
        world.sh(
            "stack",
            &format!("exec {} arping {attach} {arguments}", tapline()),
        )
    };
    for ran in [kernel("-c 3 10.1.0.1"), stack("-c 3 10.1.0.1")] {
        let ran = ran.exits(0).says("Received 3 response");
        assert_eq!(ran.lines_with("reply from 10.1.0.1 [").count(), 3, "{ran}");
    }
    // Taken, as both say; and free.
    for ran in [
        kernel("-D -c 2 -w 5 10.1.0.1"),
        stack("-D -c 2 -w 5 10.1.0.1"),
    ] {
        ran.exits(1).says("Received 1 response");
    }
    for ran in [
        kernel("-D -c 2 -w 5 10.1.0.77"),
        stack("-D -c 2 -w 5 10.1.0.77"),
    ] {
        ran.exits(0).says("Received 0 response");
    }
}
