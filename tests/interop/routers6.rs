//! Tapline as a router of IPv6: kernels configure themselves by it, follow its redirects, and find the
//! path's MTU across three of it in a row.
//!
//! ```text
//!   left            r1              r2              r3              right
//!   fd01::1 ----- ::2  fd12::1 --- ::2  fd23::2 --- ::3  fd03::2 --- fd03::1
//!          MTU 1500        MTU 1400         MTU 1300        MTU 1500
//! ```

use crate::common::{Running, TempFile, World, loses_nothing, run, stand_in, tapline};
use crate::{Anyone, Test};

pub(crate) const TESTS: &[Test] = &[
    (
        Anyone,
        "routers6_a_kernel_configures_itself_by_us",
        a_kernel_configures_itself_by_us,
    ),
    (
        Anyone,
        "routers6_a_kernel_follows_our_redirect",
        a_kernel_follows_our_redirect,
    ),
    (
        Anyone,
        "routers6_rdisc_sees_what_radvd_says",
        rdisc_sees_what_radvd_says,
    ),
    (Anyone, "routers6_teach_the_path_mtu", teach_the_path_mtu),
    (
        Anyone,
        "routers6_pass_60000_bytes_in_fragments",
        pass_60000_bytes_in_fragments,
    ),
];

/// The kernel's end of tap0 is a host that does as routers say: it gets an address, a default route,
/// an MTU and a hop limit, `rdisc6` sees every option, and once we say so, there is no router.
fn a_kernel_configures_itself_by_us() {
    if stand_in() {
        return;
    }
    let config = "forwarding = true
        [[device]]\nname = 'tap0'\nmac = '02:00:00:00:00:07'\naddresses = ['fd07::2/64']
        [device.advertise]\nmin_interval = 3\nmax_interval = 4\nmtu = 1400\nhop_limit = 33
        dns = ['fd07::2']\nsearch = ['lab.example']\npreference = 'high'\nlifetime = 900
        [[device.advertise.prefix]]\nprefix = 'fd07::/64'\nvalid_lifetime = 5000
        preferred_lifetime = 4000
        [[device.advertise.route]]\nto = 'fd08::/48'";
    let file = TempFile::new("router.toml", config);
    let script = format!(
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            ip -6 addr show dev tap0 scope global | grep -q 'inet6 fd07:' && break
            sleep 0.3
        done
        ip -6 addr show dev tap0
        ip -6 route show
        cat /proc/sys/net/ipv6/conf/tap0/mtu /proc/sys/net/ipv6/conf/tap0/hop_limit
        rdisc6 -1 tap0
        ping -q -c 1 fd07::2
        {exe} status",
        exe = tapline(),
    );
    let ran = run(&["up", "--config", file.path(), "--", "sh", "-c", &script]).exits(0);
    let ran = ran
        .says("default via fe80::ff:fe00:7 dev tap0 proto ra")
        .says("fd07::/64 dev tap0 proto kernel")
        .says("pref high")
        .says("1400\n33\n")
        .says("Prefix                   : fd07::/64")
        .says("Recursive DNS server     : fd07::2")
        .says("DNS search list          : lab.example")
        .says("Route                    : fd08::/48")
        .says("Source link-layer address: 02:00:00:00:00:07")
        .says("  advertises  fd07::/64 for 900 s");
    let made = ran.lines_with("inet6 fd07:").next().unwrap_or_default();
    assert!(made.contains("dynamic"), "{ran}");
    drop(ran);
}

/// Two routers on a kernel's link; the default one forwards to the other, and says so.
fn a_kernel_follows_our_redirect() {
    let wires = "
        wire() { ip link add $2 netns $1 type veth peer name $4 netns $3
                 ip -n $1 link set $2 up; ip -n $3 link set $4 up; }
        ip -n hub link add br0 type bridge mcast_snooping 0
        ip -n hub link set br0 up
        for n in host r1 r2; do
            ip link add eth0 netns $n type veth peer name $n netns hub
            ip -n $n link set eth0 up
            ip -n hub link set $n up master br0
        done
        wire r2 east far eth0
        ip -n host addr add fd07::5/64 dev eth0 nodad
        ip -n far addr add fd09::1/64 dev eth0 nodad
        ip -n far route add default via fd09::2";
    let world = World::new(&["host", "r1", "r2", "far", "hub"], wires);
    let device = |name: &str, mac: &str, addr: &str| {
        format!(
            "[[device]]\nname = '{name}'\nkind = 'raw'\nmac = '{mac}'\naddresses = ['{addr}']\n"
        )
    };
    let first = String::from("forwarding = true\nduplicate_detection = 'off'\n")
        + &device("eth0", "02:00:00:00:00:01", "fd07::1/64")
        + "[[route]]\nto = 'fd09::/64'\nvia = 'fe80::ff:fe00:2'\n";
    let second = String::from("forwarding = true\nduplicate_detection = 'off'\n")
        + &device("eth0", "02:00:00:00:00:02", "fd07::2/64")
        + &device("east", "02:00:00:00:00:03", "fd09::2/64");
    let _routers = (world.tapline("r1", &first), world.tapline("r2", &second));
    let script = "ip -6 route add default via fe80::ff:fe00:1 dev eth0
        sysctl -qw net.ipv6.conf.eth0.accept_redirects=1
        for i in 1 2 3 4 5 6 7 8 9 10; do
            ping -q -c 1 -W 2 fd09::1 >/dev/null && break
        done
        ping -c 5 -i 0.2 fd09::1
        ip -6 route get fd09::1
        ip -6 route show cache";
    let ran = world.sh("host", script).exits(0);
    assert!(ran.out.contains("5 received"), "{ran}");
    assert!(ran.out.contains("via fe80::ff:fe00:2"), "{ran}");
}

/// A kernel with radvd on one end of a wire, and our own question on the other.
fn rdisc_sees_what_radvd_says() {
    if stand_in() {
        return;
    }
    let wires = "
        ip link add eth0 netns kernel type veth peer name host netns peer
        ip -n kernel addr add fd09::1/64 dev eth0 nodad
        ip -n kernel link set eth0 up
        ip -n peer link set host up";
    let world = World::new(&["kernel", "peer"], wires);
    let config = TempFile::new(
        "radvd.conf",
        "interface eth0 {
            AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvLinkMTU 1400;
            AdvDefaultPreference low; AdvOtherConfigFlag on;
            prefix fd09::/64 { AdvOnLink on; AdvAutonomous off; AdvValidLifetime 300;
                AdvPreferredLifetime 200; };
            route fd0a::/48 { AdvRouteLifetime 77; };
            RDNSS fd09::53 { AdvRDNSSLifetime 88; };
            DNSSL lab.example { AdvDNSSLLifetime 99; };
        };",
    );
    let radvd = format!(
        "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
        radvd -C {conf} -p {conf}.pid -n -m stderr & sleep 1; echo radvd runs; wait",
        conf = config.path(),
    );
    let _radvd = world.start("kernel", &radvd, "radvd runs");
    let ask = format!("{} rdisc -1 --raw host", tapline());
    let ran = world.sh("peer", &ask).exits(0);
    let ran = ran
        .says("other by DHCPv6        yes")
        .says("preference             low")
        .says("MTU                    1400")
        .says("prefix                 fd09::/64, on-link, valid 300 s, preferred 200 s")
        .says("fd0a::/48, medium, 77 s")
        .says("DNS server             fd09::53, 88 s")
        .says("DNS search list        lab.example, 99 s");
    drop(ran);
    let ran = world.sh("peer", &format!("{ask} --json")).exits(0);
    drop(ran.says("\"router_lifetime\":12"));
    // Where nobody routes, nobody answers.
    let ask = format!("{} rdisc -r 1 -w 1 --raw lo", tapline());
    assert_ne!(world.sh("peer", &ask).code, Some(0));
}

/// The wires, and the kernels' ends of them.
const WIRES: &str = "
    wire() { ip link add $2 netns $1 mtu $5 type veth peer name $4 mtu $5 netns $3
             ip -n $1 link set $2 up; ip -n $3 link set $4 up; }
    wire left eth0 r1 west 1500
    wire r1 east r2 west 1400
    wire r2 east r3 west 1300
    wire r3 east right eth0 1500
    ip -n left addr add fd01::1/64 dev eth0 nodad
    ip -n left route add default via fd01::2
    ip -n right addr add fd03::1/64 dev eth0 nodad
    ip -n right route add default via fd03::2";

/// Name, west address, east address, and routes: to where, by which next hop.
type Router = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const ROUTERS: &[Router] = &[
    (
        "r1",
        "fd01::2/64",
        "fd12::1/64",
        &[("fd23::/64", "fd12::2"), ("fd03::/64", "fd12::2")],
    ),
    (
        "r2",
        "fd12::2/64",
        "fd23::2/64",
        &[("fd01::/64", "fd12::1"), ("fd03::/64", "fd23::3")],
    ),
    (
        "r3",
        "fd23::3/64",
        "fd03::2/64",
        &[("fd01::/64", "fd23::2"), ("fd12::/64", "fd23::2")],
    ),
];

fn three_routers() -> (World, Vec<Running>) {
    let world = World::new(&["left", "r1", "r2", "r3", "right"], WIRES);
    let routers = ROUTERS.iter().map(|(name, west, east, routes)| {
        let mut config = format!(
            "forwarding = true\nduplicate_detection = 'off'\n\
             [[device]]\nname = 'west'\nkind = 'raw'\naddresses = ['{west}']\n\
             [[device]]\nname = 'east'\nkind = 'raw'\naddresses = ['{east}']\n"
        );
        for (to, via) in *routes {
            config += &format!("[[route]]\nto = '{to}'\nvia = '{via}'\n");
        }
        world.tapline(name, &config)
    });
    let routers = routers.collect();
    (world, routers)
}

/// RFC 8201, by ping, by TCP and by UDP.
fn teach_the_path_mtu() {
    let (world, routers) = three_routers();
    let ran = world.sh("left", "tracepath -6 -n fd03::1").exits(0);
    drop(
        ran.says("pmtu 1400")
            .says("pmtu 1300")
            .says("Resume: pmtu 1300 hops 4 back 4"),
    );
    let ping = "ping -6 -M do -s 1452 -c 3 -i 0.2 -W 1 fd01::1";
    let ran = world.sh("right", ping).exits(1);
    assert!(ran.out.contains("From fd03::2"), "{ran}");
    assert!(
        ran.out.contains("mtu=1300") || ran.out.contains("mtu = 1300"),
        "{ran}"
    );
    let fits = "ping -6 -M do -s 1252 -c 3 -i 0.01 -w 20 fd03::1";
    drop(loses_nothing(world.sh("left", fits), 3));
    let serve = "exec /usr/bin/python3 -c \"
import socket, threading
server = socket.create_server(('fd03::1', 5000), family=socket.AF_INET6)
echo = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
echo.bind(('fd03::1', 5000))
def answer():
    while True:
        data, who = echo.recvfrom(65536)
        echo.sendto(b'%d' % len(data), who)
threading.Thread(target=answer, daemon=True).start()
print('listening', flush=True)
connection, got = server.accept()[0], 0
while data := connection.recv(65536):
    got += len(data)
connection.sendall(b'%d' % got)
import time; time.sleep(60)\"";
    let _serving = world.start("right", serve, "listening");
    // What the kernels have learned by now is forgotten, so that each learns by itself: whoever knows
    // the path would tell the other a smaller segment.
    drop(world.sh("right", "ip -6 route flush cache").exits(0));
    let tcp = "ip -6 route flush cache
/usr/bin/python3 -c \"
import socket
s = socket.create_connection(('fd03::1', 5000), 20)
s.sendall(bytes(4_000_000))
s.shutdown(socket.SHUT_WR)
print('got', s.recv(20).decode())\"
ip -6 route get fd03::1";
    world
        .sh("left", tcp)
        .exits(0)
        .says("got 4000000")
        .says("mtu 1300");
    let udp = "ip -6 route flush cache
/usr/bin/python3 -c \"
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, 23, 2)   # IPV6_MTU_DISCOVER: IPV6_PMTUDISC_DO
s.settimeout(2)
s.connect(('fd03::1', 5000))
size = 1452
for _ in range(10):
    try:
        s.send(bytes(size))
        print('echoed', s.recv(20).decode())
        break
    except OSError:
        size = s.getsockopt(socket.IPPROTO_IPV6, 24) - 48   # IPV6_MTU
\"";
    world.sh("left", udp).exits(0).says("echoed 1252");
    for router in routers {
        router.status_at_end().has_no_bad_checksum();
    }
}

fn pass_60000_bytes_in_fragments() {
    let (world, _routers) = three_routers();
    for from_to in [("left", "fd03::1"), ("right", "fd01::1")] {
        // The first teach the path's MTU, and are lost.
        let teach = format!("ping -6 -q -s 60000 -c 4 -i 0.2 -W 1 {} || true", from_to.1);
        drop(world.sh(from_to.0, &teach));
        let ping = format!("ping -6 -s 60000 -c 10 -i 0.05 -w 20 {}", from_to.1);
        let ran = loses_nothing(world.sh(from_to.0, &ping), 10);
        let whole = format!("60008 bytes from {}", from_to.1);
        assert!(ran.lines_with(&whole).count() >= 10, "{ran}");
    }
}
