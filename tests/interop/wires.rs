//! Other wires than a TAP of one's own: a bridge between two stacks, a raw interface, VLANs.

use crate::common::{World, loses_nothing, run, scapy, tapline, udp_echo};
use crate::{Anyone, Root, Test};

pub(crate) const TESTS: &[Test] = &[
    (
        Root,
        "bridge_joins_two_stacks_on_two_taps",
        bridge_joins_two_stacks_on_two_taps,
    ),
    (
        Anyone,
        "bridge_joins_two_stacks_on_two_wires",
        bridge_joins_two_stacks_on_two_wires,
    ),
    (
        Anyone,
        "duplicate_address_of_a_kernel_is_seen",
        duplicate_address_of_a_kernel_is_seen,
    ),
    (
        Anyone,
        "duplicate_address_of_a_stack_is_seen",
        duplicate_address_of_a_stack_is_seen,
    ),
    (
        Anyone,
        "raw_world_answers_ping_of_any_size",
        raw_world_answers_ping_of_any_size,
    ),
    (
        Anyone,
        "raw_world_needs_but_one_option",
        raw_world_needs_but_one_option,
    ),
    (
        Anyone,
        "raw_world_cuts_super_frames",
        raw_world_cuts_super_frames,
    ),
    (
        Anyone,
        "raw_world_echoes_60_kilobytes",
        raw_world_echoes_60_kilobytes,
    ),
    (
        Anyone,
        "raw_world_answers_tagged_frames",
        raw_world_answers_tagged_frames,
    ),
    (
        Anyone,
        "vlans_answer_on_the_right_tag",
        vlans_answer_on_the_right_tag,
    ),
];

/// Two hosts on one bridge, each answering the kernel at 10.7.0.1 and a third stack.
fn stacks_on_a_bridge_answer(world: &World) {
    for address in ["10.7.0.11", "10.7.0.12"] {
        loses_nothing(
            world.sh("lan", &format!("ping -c 3 -i 0.01 -w 20 {address}")),
            3,
        );
        let attach = "--raw third --address 10.7.0.13/24";
        let ping = format!("{} ping {attach} -c 3 -i 0.01 {address}", tapline());
        loses_nothing(world.sh("third", &ping), 3);
    }
}

/// A kernel's bridge, and a wire from it to a namespace that no other kernel address is in: one
/// that had a bridge port and its other end would answer ARP at both.
const BRIDGE: &str = "
    ip -n lan link add br0 type bridge
    ip -n lan link set br0 up
    ip -n lan addr add 10.7.0.1/24 dev br0
    port() { ip link add $1 netns $1 type veth peer name $1 netns lan
             ip -n $1 link set $1 up; ip -n lan link set $1 up master br0; }
    port third";

/// A stack's configuration: its device's kind and name, and its address.
fn on_bridge(kind: &str, name: &str, address: &str) -> String {
    format!(
        "probe_addresses = true\n\
         [[device]]\nname = '{name}'\nkind = '{kind}'\naddresses = ['{address}/24']\n"
    )
}

fn bridge_joins_two_stacks_on_two_taps() {
    let world = World::new(&["lan", "third"], BRIDGE);
    let _one = world.tapline("lan", &on_bridge("tap", "one", "10.7.0.11"));
    let _two = world.tapline("lan", &on_bridge("tap", "two", "10.7.0.12"));
    world
        .sh(
            "lan",
            "ip link set one master br0 && ip link set two master br0",
        )
        .exits(0);
    stacks_on_a_bridge_answer(&world);
    // Planted: what one has, another wants.
    let planted = on_bridge("raw", "third", "10.7.0.12");
    let ran = world.up("third", &planted, "true").exits(1);
    assert!(
        ran.err.contains("10.7.0.12"),
        "it says which address: {ran}"
    );
}

fn bridge_joins_two_stacks_on_two_wires() {
    let wires = format!("{BRIDGE}\nport one\nport two");
    let world = World::new(&["lan", "third", "one", "two"], &wires);
    let _one = world.tapline("one", &on_bridge("raw", "one", "10.7.0.11"));
    let _two = world.tapline("two", &on_bridge("raw", "two", "10.7.0.12"));
    stacks_on_a_bridge_answer(&world);
}

/// RFC 5227 §2.1: before it uses an address, a host asks whether somebody has it.
fn duplicate_address_of_a_kernel_is_seen() {
    let config = "probe_addresses = true\n\
        [[device]]\nname = 'lan0'\nkind = 'veth'\n\
        addresses = ['10.7.0.1/24']\nkernel = ['10.7.0.1/24']\n";
    let world = World::new(&["lan"], "");
    let ran = world.up("lan", config, "ping -c 1 -W 1 10.7.0.1").exits(1);
    assert!(ran.err.contains("10.7.0.1"), "it says which address: {ran}");
}

fn duplicate_address_of_a_stack_is_seen() {
    let world = World::new(
        &["one", "two"],
        "ip link add w0 netns one type veth peer name w0 netns two\n\
         ip -n one link set w0 up; ip -n two link set w0 up",
    );
    let config = "probe_addresses = true\n\
        [[device]]\nname = 'w0'\nkind = 'raw'\naddresses = ['10.7.0.5/24']\n";
    let _first = world.tapline("one", config);
    let ran = world.up("two", config, "true").exits(1);
    assert!(ran.err.contains("10.7.0.5"), "it says which address: {ran}");
}

/// The kernel's end has its default offloads: checksums left out, frames above the MTU, tags
/// beside the frame. Ours has no address for the kernel.
fn raw_world() -> World {
    World::new(
        &["near", "far"],
        "ip link add w0 netns near type veth peer name w1 netns far\n\
         ip -n near addr add 10.7.0.1/24 dev w0\n\
         ip -n near link set w0 up\n\
         ip -n far link set w1 up",
    )
}

/// VLANs 10 and 20 beside what is untagged.
const RAW: &str = "
    [[device]]\nname = 'w1'\nkind = 'raw'\naddresses = ['10.7.0.2/24']
    [[device.vlan]]\nid = 10\naddresses = ['10.10.0.2/24']
    [[device.vlan]]\nid = 20\npriority = 5\naddresses = ['10.20.0.2/24']";

fn raw_world_answers_ping_of_any_size() {
    let world = raw_world();
    let host = world.tapline("far", RAW);
    loses_nothing(world.sh("near", "ping -c 500 -i 0.002 -w 20 10.7.0.2"), 500);
    loses_nothing(
        world.sh("near", "ping -s 65507 -c 20 -i 0.01 -w 20 10.7.0.2"),
        20,
    );
    let status = host.status_at_end();
    status.adds_up("the host");
    status.has_no_bad_checksum();
}

/// Without a file: `--raw` and the usual addresses, in the namespace it is started in.
fn raw_world_needs_but_one_option() {
    let world = raw_world();
    let host = world.serve("far", "--raw w1");
    loses_nothing(world.sh("near", "ping -c 3 -i 0.01 -w 20 10.7.0.2"), 3);
    let status = host.status_at_end();
    status.adds_up("the host");
    status.has_no_bad_checksum();
}

/// UDP_SEGMENT (udp(7)): ten datagrams reach a veth's other end as one frame of 10,000 bytes.
fn raw_world_cuts_super_frames() {
    let world = raw_world();
    let host = world.tapline("far", RAW);
    let script = "/usr/bin/python3 - <<'END'
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.setsockopt(socket.IPPROTO_UDP, 103, 1000)
s.connect(('10.7.0.2', 7))
s.send(b''.join(bytes([i]) * 1000 for i in range(10)))
got = sorted(s.recv(65536) for _ in range(10))
assert got == [bytes([i]) * 1000 for i in range(10)], [len(g) for g in got]
print('cut and echoed')
END";
    world.sh("near", script).exits(0).says("cut and echoed");
    host.status_at_end().has_no_bad_checksum();
}

fn raw_world_echoes_60_kilobytes() {
    let world = raw_world();
    let host = world.tapline("far", RAW);
    world
        .sh("near", &udp_echo("10.7.0.2", 1472))
        .exits(0)
        .says("echoed");
    let status = host.status_at_end();
    status.adds_up("the host");
    status.has_no_bad_checksum();
}

fn raw_world_answers_tagged_frames() {
    let world = raw_world();
    let host = world.tapline("far", RAW);
    world
        .sh("near", &scapy(&format!("dev = 'w0'\n{TAGS}")))
        .exits(0)
        .says("tags are right");
    host.status_at_end().has_no_bad_checksum();
}

fn vlans_answer_on_the_right_tag() {
    let config = "
        [[device]]\nname = 'tap0'\naddresses = ['10.7.0.2/24']\nkernel = ['10.7.0.1/24']
        [[device.vlan]]\nid = 10\naddresses = ['10.10.0.2/24']
        [[device.vlan]]\nid = 20\npriority = 5\naddresses = ['10.20.0.2/24']";
    let file = crate::common::TempFile::new("vlans.toml", config);
    let script = scapy(&format!("dev = 'tap0'\n{TAGS}"));
    let ran = run(&["up", "--config", file.path(), "--", "sh", "-c", &script]);
    ran.exits(0).says("tags are right");
}

/// Asks on each tag for each address; only the right pairs may answer, and on their own tag.
const TAGS: &str = "
import time
me = get_if_hwaddr(dev)
def tag(vid):
    ether = Ether(src=me, dst='ff:ff:ff:ff:ff:ff')
    return ether if vid is None else ether / Dot1Q(vlan=vid)
def tag_of(frame):
    return frame[Dot1Q].vlan if Dot1Q in frame else None
nets = {None: '10.7.0', 10: '10.10.0', 20: '10.20.0'}
for vid in [None, 10, 20, 30]:
    for home, net in nets.items():
        ask = tag(vid) / ARP(hwsrc=me, psrc=net + '.77', pdst=net + '.2')
        is_home = vid == home
        got = srp1(ask, iface=dev, timeout=5 if is_home else 0.5)
        assert (got is not None) == is_home, (vid, home, got)
        if not is_home:
            continue
        assert tag_of(got) == vid, got.show(dump=True)
        echo = tag(vid) / IP(src=net + '.77', dst=net + '.2') / ICMP(id=7, seq=1) / ('x' * 56)
        echo[Ether].dst = got[ARP].hwsrc
        got = srp1(echo, iface=dev, timeout=5)
        assert got is not None and got[ICMP].type == 0, vid
        assert tag_of(got) == vid, got.show(dump=True)
        if vid == 20:
            assert got[Dot1Q].prio == 5, got.show(dump=True)
# A tag of VLAN 0 is a priority and no VLAN (IEEE 802.1Q section 6.9.3).
ask = Ether(src=me, dst='ff:ff:ff:ff:ff:ff') / Dot1Q(vlan=0, prio=6)
sniffer = AsyncSniffer(iface=dev, lfilter=lambda f: ARP in f and f[ARP].op == 2)
sniffer.start()
time.sleep(0.3)
sendp(ask / ARP(hwsrc=me, psrc='10.7.0.77', pdst='10.7.0.2'), iface=dev)
time.sleep(0.5)
got = sniffer.stop()
assert len(got) == 1 and tag_of(got[0]) in (None, 0), got
print('tags are right')
";
