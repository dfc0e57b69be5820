//! TCP of two kernels through a router of ours, in super-frames of up to 64 KiB.
//!
//! ```text
//!   left 10.1.0.1 -- TAP or veth --[ router 10.1.0.2, 10.2.0.2 ]-- TAP or veth -- right 10.2.0.1
//! ```
//!
//! What counts is that the bytes are the same, that no frame was refused, and how many frames the
//! router took for them: a segment holds at most 1460 bytes.

use crate::common::{Running, Status, World};
use crate::{Anyone, Root, Test};

pub(crate) const TESTS: &[Test] = &[
    (
        Anyone,
        "offload_passes_raw_to_raw_whole",
        offload_passes_raw_to_raw_whole,
    ),
    (
        Anyone,
        "offload_fits_segments_to_a_narrower_link",
        offload_fits_segments_to_a_narrower_link,
    ),
    (
        Root,
        "offload_passes_tap_to_tap_whole",
        offload_passes_tap_to_tap_whole,
    ),
];

const BYTES: u64 = 64 << 20;

/// Addresses and ways of the two kernels, whose interfaces are there.
const KERNELS: &str = "
    ip -n left addr add 10.1.0.1/24 dev west
    ip -n left link set west up
    ip -n left route add default via 10.1.0.2
    ip -n right addr add 10.2.0.1/24 dev east
    ip -n right link set east up
    ip -n right route add default via 10.2.0.2";

fn config(kind: &str, [west, east]: [&str; 2]) -> String {
    format!(
        "forwarding = true\n\
         [[device]]\nname = '{west}'\nkind = '{kind}'\naddresses = ['10.1.0.2/24']\n\
         [[device]]\nname = '{east}'\nkind = '{kind}'\naddresses = ['10.2.0.2/24']\n"
    )
}

/// Two veth pairs; the east one carries `mtu`.
fn raw_router(mtu: u32) -> (World, Running) {
    let setup = format!(
        "ip link add west netns left type veth peer name to-west netns router
         ip link add east netns right type veth peer name to-east netns router
         ip -n right link set east mtu {mtu}
         ip -n router link set to-east mtu {mtu}
         ip -n router link set to-west up
         ip -n router link set to-east up
         {KERNELS}"
    );
    let world = World::new(&["left", "router", "right"], &setup);
    let router = world.tapline("router", &config("raw", ["to-west", "to-east"]));
    (world, router)
}

/// Two TAPs, made by the router and moved away while it runs.
fn tap_router() -> (World, Running) {
    let world = World::new(&["left", "router", "right"], "");
    let router = world.tapline("router", &config("tap", ["west", "east"]));
    let moved = format!(
        "set -e
         ip -n router link set west netns left
         ip -n router link set east netns right
         {KERNELS}"
    );
    world.middle(&moved).exits(0);
    (world, router)
}

/// One kernel sends, the other compares.
fn sends(world: &World, from: &str, to: &str, address: &str) {
    let sink = "exec /usr/bin/python3 -c \"
import socket, hashlib
server = socket.create_server(('0.0.0.0', 5000))
print('listening', flush=True)
connection, sum, got = server.accept()[0], hashlib.sha256(), 0
while data := connection.recv(1 << 18):
    sum.update(data)
    got += len(data)
connection.sendall(b'%d %s' % (got, sum.hexdigest().encode()))\"";
    let _sink = world.start(to, sink, "listening");
    let source = format!(
        "/usr/bin/python3 -c \"
import socket, hashlib, random
s = socket.create_connection(('{address}', 5000), 20)
s.settimeout(60)
block, sum = random.Random(7).randbytes(1 << 20), hashlib.sha256()
for _ in range({BYTES} >> 20):
    s.sendall(block)
    sum.update(block)
s.shutdown(socket.SHUT_WR)
said = s.recv(100).decode().split()
assert said == ['{BYTES}', sum.hexdigest()], said
print('the same')\""
    );
    world.sh(from, &source).exits(0).says("the same");
}

/// Its status, once it is sure that all is in order.
fn ends(router: Running) -> Status {
    let status = router.status_at_end();
    status.adds_up("the router");
    status.has_no_bad_checksum();
    status
}

fn both_ways(world: &World) {
    sends(world, "left", "right", "10.2.0.1");
    sends(world, "right", "left", "10.1.0.1");
}

/// Far fewer frames than segments, acknowledgements included.
fn are_few(status: &Status) {
    let (frames, segments) = (status.count("forwarded"), 2 * BYTES / 1460);
    assert!(
        frames < segments / 2,
        "{frames} frames, {segments} segments: {status}"
    );
}

fn offload_passes_raw_to_raw_whole() {
    let (world, router) = raw_router(1500);
    both_ways(&world);
    are_few(&ends(router));
}

fn offload_passes_tap_to_tap_whole() {
    let (world, router) = tap_router();
    for namespace in ["left", "right"] {
        let ecn = "echo 1 > /proc/sys/net/ipv4/tcp_ecn";
        world.sh(namespace, ecn).exits(0);
    }
    both_ways(&world);
    are_few(&ends(router));
}

/// RFC 1191 §4: the sender is told once a flight, and its next segments fit.
fn offload_fits_segments_to_a_narrower_link() {
    let (world, router) = raw_router(1300);
    // Else the peer's MSS would say it first.
    let route = "ip -n right route replace default via 10.2.0.2 advmss 1460";
    world.middle(route).exits(0);
    both_ways(&world);
    world
        .sh("left", "ip route get 10.2.0.1")
        .exits(0)
        .says("mtu 1300");
    let status = ends(router);
    assert!(status.drops("fragmentation-needed") > 0, "{status}");
    are_few(&status);
}
