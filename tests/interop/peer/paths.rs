//! Paths that become narrower, and say so or do not.
//!
//! ```text
//!   kernel 10.1.0.1 -- veth -- router (a kernel) -- veth -- up --raw 10.2.0.2
//! ```

use super::{Far, PATIENCE, talk};
use crate::common::World;
use crate::{Anyone, Root, Test};

pub(crate) const TESTS: &[Test] = &[
    (Anyone, "peer_paths_narrow_with_icmp", narrow_with_icmp),
    (Root, "peer_paths_narrow_in_silence", narrow_in_silence),
    (
        Root,
        "peer_paths_are_narrow_from_the_start",
        are_narrow_from_the_start,
    ),
];

/// RFC 1191: in the middle of a transfer the router's links on both sides carry less; it says so to
/// each sender.
fn narrow_with_icmp() {
    let world = World::new(
        &["kernel", "router", "stack"],
        "ip link add w0 netns kernel type veth peer name r0 netns router
         ip link add w1 netns stack type veth peer name r1 netns router
         ip -n kernel addr add 10.1.0.1/24 dev w0
         ip -n router addr add 10.1.0.9/24 dev r0
         ip -n router addr add 10.2.0.9/24 dev r1
         for end in 'kernel w0' 'router r0' 'router r1' 'stack w1'; do
             set -- $end; ip -n $1 link set $2 up
         done
         ip -n kernel route add default via 10.1.0.9
         ip netns exec router sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'",
    );
    let config = "[[device]]\nname = 'w1'\nkind = 'raw'\naddresses = ['10.2.0.2/24']\n\
                  [[route]]\nto = '0.0.0.0/0'\nvia = '10.2.0.9'\n";
    let host = world.tapline("stack", config);
    let script = "def narrower():
    for link, mtu in [('r0', 1200), ('r1', 1000)]:
        subprocess.run(['ip', '-n', 'router', 'link', 'set', link, 'mtu', str(mtu)], check=True)
both(dial(ECHO), 24 * MIB, 24 * MIB, narrower)
assert counter('OutDestUnreachs') == 0";
    let ran = world.sh_for(PATIENCE, "kernel", &talk("10.2.0.2", script));
    ran.exits(0).says("all is well");
    let status = host.status_at_end();
    status.adds_up("the host");
    status.has_no_bad_checksum();
    assert_eq!(status.path_mtu("10.1.0.1"), Some(1200), "{status}");
}

/// RFC 4821: a black hole, four seconds after the wire has come up, for both ends.
fn narrow_in_silence() {
    let file = crate::common::TempFile::new("faults.txt", "at 4s mtu 1000 on *\n");
    let far = Far::new(&format!("--delay 1ms --script {}", file.path()));
    far.talk(
        "tell('tcp_mtu_probing', 1)
s, held = dial(ECHO), Held()
began = time.monotonic()
for k in range(80):
    giver = beside(pour, s, MIB, k)
    read(s, held, MIB)
    giver.join()
    time.sleep(0.1)
s.shutdown(socket.SHUT_WR)
assert s.recv(1) == b''",
    );
    let said = far.ends();
    assert!(said.contains("\"frame-too-long\":"), "{said}");
}

/// The same before the first full segment: both ends are told an MTU that the wire does not carry.
fn are_narrow_from_the_start() {
    let mut far = Far::wire("--delay 1ms --mtu 1000");
    for (name, link) in [("kernel", "wa"), ("stack", "wb")] {
        let wider = format!("ip -n {name} link set {link} mtu 1500");
        far.world.middle(&wider).exits(0);
    }
    far.serve();
    far.talk("tell('tcp_mtu_probing', 1)\nboth(dial(ECHO), 4 * MIB, 4 * MIB)");
    let said = far.ends();
    assert!(said.contains("\"frame-too-long\":"), "{said}");
}
