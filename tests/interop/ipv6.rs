//! IPv6 on a TAP: the kernel and its tools find the host, and the host them.

use crate::common::{
    World, loses_nothing, run, stand_in, tapline, udp_echo, up, up_sh, up_with_status,
};
use crate::{Anyone, Root, Test};

pub(crate) const TESTS: &[Test] = &[
    (
        Anyone,
        "ipv6_ping_gets_every_answer",
        ping_gets_every_answer,
    ),
    (
        Anyone,
        "ipv6_ping_of_65000_bytes_loses_nothing",
        ping_of_65000_bytes_loses_nothing,
    ),
    (
        Anyone,
        "ipv6_all_nodes_are_the_kernel_and_the_host",
        all_nodes_are_the_kernel_and_the_host,
    ),
    (
        Anyone,
        "ipv6_traceroute_and_tracepath",
        traceroute_and_tracepath,
    ),
    (Anyone, "ipv6_ndisc6_finds_the_host", ndisc6_finds_the_host),
    (Anyone, "ipv6_curl_gets_the_page", curl_gets_the_page),
    (
        Anyone,
        "ipv6_udp_echo_of_60_kilobytes",
        udp_echo_of_60_kilobytes,
    ),
    (
        Anyone,
        "ipv6_the_kernel_probes_and_is_answered",
        the_kernel_probes_and_is_answered,
    ),
    (
        Anyone,
        "ipv6_the_kernel_may_not_have_our_address",
        the_kernel_may_not_have_our_address,
    ),
    (
        Anyone,
        "ipv6_we_may_not_have_the_kernels_address",
        we_may_not_have_the_kernels_address,
    ),
    (
        Anyone,
        "ipv6_ping_and_traceroute_of_ours",
        ping_and_traceroute_of_ours,
    ),
    (Root, "ipv6_clients_of_ours", clients_of_ours),
    (
        Root,
        "ipv6_a_bridge_hears_what_is_listened_to",
        a_bridge_hears_what_is_listened_to,
    ),
    (Root, "ipv6_zones_of_two_links", zones_of_two_links),
    (Root, "ipv6_zones_in_our_verbs", zones_in_our_verbs),
    (
        Root,
        "ipv6_silence_is_noticed_by_the_kernel",
        silence_is_noticed_by_the_kernel,
    ),
    (
        Root,
        "ipv6_silence_is_noticed_by_us",
        silence_is_noticed_by_us,
    ),
    (
        Root,
        "ipv6_services_answer_at_addresses_made_later",
        services_answer_at_addresses_made_later,
    ),
    (
        Root,
        "ipv6_discovery_in_fragments_is_not_heard",
        discovery_in_fragments_is_not_heard,
    ),
    (
        Anyone,
        "ipv6_forgeries_change_little",
        forgeries_change_little,
    ),
    (
        Anyone,
        "ipv6_radvd_configures_the_host",
        radvd_configures_the_host,
    ),
    (
        Anyone,
        "ipv6_radvd_renumbers_the_host",
        radvd_renumbers_the_host,
    ),
];

fn ping_gets_every_answer() {
    loses_nothing(up("ping -c 3 fd07::2"), 3).says("64 bytes from fd07::2: icmp_seq=3 ttl=64");
    loses_nothing(up("ping -q -f -c 20000 fd07::2"), 20000);
}

fn ping_of_65000_bytes_loses_nothing() {
    let ran = loses_nothing(up("ping -6 -s 65000 -c 50 -i 0.01 -w 20 fd07::2"), 50);
    assert!(
        ran.lines_with("65008 bytes from fd07::2").count() >= 50,
        "{ran}"
    );
}

/// The kernel hears itself as well, so that one of two answers is called a duplicate.
fn all_nodes_are_the_kernel_and_the_host() {
    let dev = if stand_in() { "" } else { "%tap0" };
    let ran = up(&format!("ping -c 3 -w 20 -i 0.3 ff02::1{dev}")).exits(0);
    let mut who: Vec<_> = ran
        .lines_with("64 bytes from fe80::")
        .filter_map(|line| line.split_whitespace().nth(3))
        .collect();
    who.sort_unstable();
    who.dedup();
    assert_eq!(who.len(), 2, "{ran}");
}

fn traceroute_and_tracepath() {
    for how in ["", "-I", "-T"] {
        let ran = up(&format!("traceroute -6 -w 5 {how} -n -q 3 fd07::2")).exits(0);
        let hops: Vec<_> = ran.out.lines().skip(1).collect();
        assert_eq!(hops.len(), 1, "one hop away: {ran}");
        assert!(hops[0].trim().starts_with("1  fd07::2 "), "{ran}");
        ran.never_says("*").never_says("!");
    }
    up("tracepath -6 -n fd07::2")
        .exits(0)
        .says("reached")
        .says("Resume: pmtu 1500 hops 1 back 1");
}

/// By a solicitation to the group, and by nothing where nobody is.
fn ndisc6_finds_the_host() {
    let script = "dev=$(ip -o -6 route get fd07::2 | sed 's/.* dev \\([^ ]*\\).*/\\1/')
        ndisc6 -1 fd07::2 $dev && ! ndisc6 -r 1 -w 200 fd07::9 $dev";
    up_sh(script)
        .exits(0)
        .says("Target link-layer address:")
        .says("from fd07::2")
        .says("No response.");
}

fn curl_gets_the_page() {
    if !stand_in() {
        up("curl -sSg http://[fd07::2]/")
            .exits(0)
            .says("fd07::2/64");
        let ran = up("curl -sSg http://[fd07::2]/bytes/3000000").exits(0);
        assert_eq!(ran.out.len(), 3_000_000);
    }
}

fn udp_echo_of_60_kilobytes() {
    if !stand_in() {
        up_sh(&udp_echo("fd07::2", 1452)).exits(0).says("echoed");
    }
}

/// A kernel that has not heard of the host for long asks it by unicast; one whose questions get no
/// answer says so.
fn the_kernel_probes_and_is_answered() {
    let script = "set -e
        dev=$(ip -o -6 route get fd07::2 | sed 's/.* dev \\([^ ]*\\).*/\\1/')
        ping -q -c 1 fd07::2 >/dev/null
        ip -6 neigh show fd07::2 dev $dev
        mac=$(ip -6 neigh show fd07::2 dev $dev | sed 's/.*lladdr \\([^ ]*\\).*/\\1/')
        ip -6 neigh replace fd07::2 lladdr $mac dev $dev nud probe
        sleep 1.5
        ip -6 neigh show fd07::2 dev $dev | sed 's/^/then: /'
        ping -q -c 1 -W 4 fd07::9 >/dev/null || true
        ip -6 neigh show fd07::9 dev $dev";
    let ran = up_sh(script).exits(0);
    let line = |words: &str| ran.lines_with(words).next().unwrap_or_default().to_owned();
    assert!(line("fd07::2 ").contains("REACHABLE"), "{ran}");
    assert!(line("then: fd07::2 ").contains("REACHABLE"), "{ran}");
    assert!(line("fd07::9 ").contains("FAILED"), "{ran}");
}

fn the_kernel_may_not_have_our_address() {
    let script = "dev=$(ip -o -6 route get fd07::2 | sed 's/.* dev \\([^ ]*\\).*/\\1/')
        echo 1 >/proc/sys/net/ipv6/conf/$dev/accept_dad
        ip addr add fd07::2/64 dev $dev
        for i in 1 2 3 4 5 6 7 8 9 10; do
            ip -6 addr show dev $dev | grep fd07::2 | grep dadfailed && break
            sleep 0.5
        done
        ip addr del fd07::2/64 dev $dev
        ping -q -c 1 fd07::2";
    let ran = up_sh(script).exits(0).says("dadfailed");
    loses_nothing(ran, 1);
}

/// Two on one link with one address: the kernel was first, and the host gives way.
fn we_may_not_have_the_kernels_address() {
    if stand_in() {
        return;
    }
    let config = "duplicate_detection = 'before'\n[[device]]\nname = 'tap0'
        addresses = ['fd07::1/64']\nkernel = ['fd07::1/64']";
    let file = crate::common::TempFile::new("same.toml", config);
    let ran = run(&["up", "--config", file.path(), "--", "true"]).exits(1);
    assert!(ran.err.contains("fd07::1 is held by"), "{ran}");
}

fn ping_and_traceroute_of_ours() {
    if stand_in() {
        return;
    }
    loses_nothing(run(&["ping", "-c", "3", "-i", "0.01", "fd07::1"]), 3);
    let ran = run(&["ping", "-c", "3", "-i", "0.01", "-s", "60000", "fd07::1"]);
    loses_nothing(ran, 3).says("60008 bytes from fd07::1");
    let ran = run(&["traceroute", "fd07::1"]).exits(0);
    assert!(ran.out.contains(" 1  fd07::1 "), "{ran}");
    run(&["ping", "-c", "1", "-W", "5", "fd07::9"])
        .exits(1)
        .says("Destination Host Unreachable");
}

/// `nc`, `fetch` and `iperf` with kernels, which listen to one family or both.
fn clients_of_ours() {
    let world = World::new(
        &["kernel", "stack"],
        "ip link add w0 netns kernel type veth peer name w1 netns stack
         ip -n kernel addr add fd01::1/64 dev w0 nodad
         ip -n kernel addr add 10.1.0.1/24 dev w0
         ip -n kernel link set w0 up
         ip -n stack link set w1 up",
    );
    let server = "exec python3 -u - <<'END'
import socket, threading
def listen(kind):
    s = socket.socket(socket.AF_INET6, kind)
    s.bind(('::', 5000))
    return s
tcp, udp = listen(socket.SOCK_STREAM), listen(socket.SOCK_DGRAM)
tcp.listen()
def datagrams():
    while True:
        data, who = udp.recvfrom(2048)
        udp.sendto(data.upper() + who[0].encode(), who)
threading.Thread(target=datagrams, daemon=True).start()
print('ready')
for _ in range(3):
    s, who = tcp.accept()
    data = b''.join(iter(lambda: s.recv(2048), b''))
    if data.startswith(b'GET'): raise SystemExit(data)
    s.sendall(data.upper() + who[0].encode())
    s.close()
page, who = tcp.accept()
page.recv(2048)
page.sendall(b'HTTP/1.0 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nhello')
page.close()
END";
    let server = world.start("kernel", server, "ready");
    let at = "--raw w1 --address fd01::2/64";
    let ours = tapline();
    let say = |rest: &str| world.sh("stack", &format!("echo hello | {ours} {rest}"));
    say(&format!("nc -w 5 {at} fd01::1 5000"))
        .exits(0)
        .says("HELLO\nfd01::2");
    // A second of patience, of which our own duplicate address detection takes none.
    say(&format!("nc -u -w 1 {at} fd01::1 5000"))
        .exits(0)
        .says("HELLO\nfd01::2");
    // The mapped form of an IPv4 address is that address (RFC 3493 §3.7).
    let four = "--raw w1 --address 10.1.0.2/24";
    for to in ["10.1.0.1", "::ffff:10.1.0.1"] {
        say(&format!("nc -w 5 {four} {to} 5000"))
            .exits(0)
            .says("HELLO\n::ffff:10.1.0.2");
    }
    say(&format!("fetch {at} http://[fd01::1]:5000/"))
        .exits(0)
        .says("hello");
    drop(server);
    let iperf = world.start("kernel", "exec iperf3 -s --forceflush", "Server listening");
    say(&format!("iperf -c fd01::1 -n 20MB {at}"))
        .exits(0)
        .says("19.07 MiB");
    drop(iperf);
    // A listener of ours takes both families.
    let both = format!("exec {ours} nc -l -k -w 20 -p 5000 {four} </dev/null 2>&1");
    let listener = world.start("stack", &both, "");
    let talk = "for i in $(seq 50); do echo to all | nc -4 -N -w 2 10.1.0.2 5000 && exit; sleep 0.1; done; exit 1";
    world.sh("kernel", talk).exits(0);
    assert!(listener.stop().contains("to all"));
}

/// RFC 3810: what a bridge that looks notes of whom a port listens to, with sources, and in version 1.
fn a_bridge_hears_what_is_listened_to() {
    for (version, source) in [(2, "--source fd01::1"), (1, "")] {
        let world = World::new(
            &["kernel", "stack"],
            &format!(
                "ip link add w0 netns kernel type veth peer name w1 netns stack
                 ip -n kernel link add br0 type bridge mcast_snooping 1 mcast_querier 1 \
                     mcast_mld_version {version} mcast_startup_query_interval 50 \
                     mcast_query_response_interval 50 mcast_last_member_interval 20
                 ip -n kernel link set w0 master br0
                 ip -n kernel addr add fd01::1/64 dev br0 nodad
                 ip -n kernel link set w0 up
                 ip -n kernel link set br0 up
                 ip -n stack link set w1 up"
            ),
        );
        let join = format!(
            "exec {} nc -u -l -k -w 8 -p 5000 --join ff05::7 {source} --raw w1 \
             --address fd01::2/64 </dev/null 2>&1",
            tapline()
        );
        let member = world.start("stack", &join, "");
        let wait = |test: &str| {
            format!(
                "for i in $(seq 150); do {test} && exit; sleep 0.1; done; \
                 bridge -d mdb show dev br0; exit 1"
            )
        };
        let listed = match source {
            "" => "bridge mdb show dev br0 | grep -q 'grp ff05::7 '",
            _ => "bridge -d mdb show dev br0 | grep -q 'grp ff05::7 .*fd01::1'",
        };
        world.sh("kernel", &wait(listed)).exits(0);
        world
            .sh(
                "kernel",
                &wait("bridge mdb show dev br0 | grep -q 'grp ff02::1:ff00:2 '"),
            )
            .exits(0);
        let send = "python3 -c \"import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex('br0'))
s.sendto(b'to the group', ('ff05::7', 5000))\"";
        world.sh("kernel", send).exits(0);
        let said = member.ended();
        assert!(said.contains("to the group"), "{said}");
        // It has said that it leaves.
        world
            .sh(
                "kernel",
                &wait("! bridge mdb show dev br0 | grep -q 'grp ff05::7 '"),
            )
            .exits(0);
    }
}

/// Advertisements that nobody asked for, of us and of strangers, from afar, malformed, and denials
/// of every address: the host answers after them, and counts each.
fn forgeries_change_little() {
    if stand_in() {
        return;
    }
    let script = crate::common::scapy(
        "e = Ether(src='02:00:00:00:00:99', dst='33:33:00:00:00:01')
all = IPv6(src='fe80::99', dst='ff02::1', hlim=255)
send = lambda p: sendp(p, iface='tap0')
for n in range(300):
    send(e/all/ICMPv6ND_NA(tgt='fd07::%x' % (n + 16), R=0, S=0, O=1)/ICMPv6NDOptDstLLAddr(lladdr='02:00:00:00:00:99'))
    send(e/all/ICMPv6ND_NA(tgt='fd07::1', R=0, S=0, O=1)/ICMPv6NDOptDstLLAddr(lladdr='02:00:00:00:00:99'))
    send(e/all/ICMPv6ND_NA(tgt='fd07::2', R=0, S=0, O=1)/ICMPv6NDOptDstLLAddr(lladdr='02:00:00:00:00:99'))
far = IPv6(src='fd07::1', dst='ff02::1:ff00:2', hlim=254)
g = Ether(src='02:00:00:00:00:99', dst='33:33:ff:00:00:02')
for n in range(100):
    send(g/far/ICMPv6ND_NS(tgt='fd07::2'))
    send(g/IPv6(src='fd07::1', dst='ff02::1:ff00:2', hlim=255)/ICMPv6ND_NS(tgt='fd07::2', code=1))
    send(g/IPv6(src='fd07::%x' % (n + 600), dst='ff02::1:ff00:2', hlim=255)/ICMPv6ND_NS(tgt='fd07::2')/ICMPv6NDOptSrcLLAddr(lladdr='02:00:00:00:00:99'))",
    );
    let script = format!("sleep 2; ping -q -c 1 fd07::2; {script}ping -q -c 3 -i 0.1 fd07::2");
    let (ran, status) = up_with_status(&script);
    loses_nothing(ran.exits(0), 3);
    assert_eq!(status.drops("ndp-unsolicited"), 300, "{status}");
    assert_eq!(status.drops("ndp-conflict"), 300, "{status}");
    assert_eq!(status.drops("ndp-hop-limit"), 100, "{status}");
    assert!(status.drops("ndp-malformed") >= 100, "{status}");
    status.adds_up("the host");
}

/// An address by the prefix, a default route by the router, both within the first seconds; a second
/// prefix that is deprecated from the start; and no default route once radvd has ended.
fn radvd_configures_the_host() {
    if stand_in() {
        return;
    }
    let config = "[[device]]\nname = 'tap0'\nmac = '02:00:00:00:00:07'\nautoconfigure = true
        kernel = ['fd09::1/64', 'fd0a::1/64']\nkernel_routes = []";
    let file = crate::common::TempFile::new("auto.toml", config);
    let radvd = "interface tap0 {
        AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;
        prefix fd09::/64 { AdvOnLink on; AdvAutonomous on; };
        prefix fd0a::/64 { AdvOnLink on; AdvAutonomous on; AdvPreferredLifetime 0; };
    };";
    let said = crate::common::TempFile::new("radvd.conf", radvd);
    let script = format!(
        "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
        radvd -C {conf} -p {conf}.pid -n -m stderr & radvd=$!
        for i in 1 2 3 4 5 6 7 8 9 10; do
            ping -q -c 1 -W 1 fd09::ff:fe00:7 >/dev/null && break
            sleep 0.5
        done
        ping -q -c 3 -i 0.1 fd09::ff:fe00:7 || exit 1
        ping -q -c 1 fd0a::ff:fe00:7 || exit 2
        {exe} status
        kill $radvd; wait; sleep 0.5
        echo radvd has ended
        {exe} status",
        conf = said.path(),
        exe = tapline(),
    );
    let ran = run(&["up", "--config", file.path(), "--", "sh", "-c", &script]).exits(0);
    let (before, after) = ran.out.split_once("radvd has ended").unwrap();
    assert!(before.contains(" 3 received"), "{ran}");
    let router = "route         ::/0 via fe80::";
    assert!(before.contains(router) && !after.contains(router), "{ran}");
    for (said, addr) in [
        (before, "fd09::ff:fe00:7/64"),
        (after, "fd0a::ff:fe00:7/64"),
    ] {
        assert!(said.contains(addr), "{addr}: {ran}");
    }
}

/// Stable and temporary addresses with their lifetimes, what the link is like, a route and DNS servers;
/// then another prefix takes the first one's place, and what is sent leaves from it.
fn radvd_renumbers_the_host() {
    if stand_in() {
        return;
    }
    let config = "secret_key = '00112233445566778899aabbccddeeff'
        [[device]]\nname = 'tap0'\nmac = '02:00:00:00:00:07'\nautoconfigure = true\ntemporary = true
        kernel = ['fd09::1/64', 'fd0a::1/64', 'fd0b::1/128']\nkernel_routes = []";
    let file = crate::common::TempFile::new("renumber.toml", config);
    let radvd = |old: u32, new: &str| {
        format!(
            "interface tap0 {{
            AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;
            AdvCurHopLimit 42; AdvLinkMTU 1400; AdvReachableTime 20000; AdvRetransTimer 500;
            prefix fd09::/64 {{ AdvPreferredLifetime {old}; AdvValidLifetime 9000; }};
            {new}
            route fd0b::/48 {{ AdvRouteLifetime 600; AdvRoutePreference high; }};
            RDNSS fd09::53 fd09::54 {{ AdvRDNSSLifetime 300; }};
            DNSSL lab.example {{ AdvDNSSLLifetime 300; }};
            }};"
        )
    };
    let first = crate::common::TempFile::new("first.conf", &radvd(3000, ""));
    let new = "prefix fd0a::/64 { AdvPreferredLifetime 3000; AdvValidLifetime 9000; };";
    let second = crate::common::TempFile::new("second.conf", &radvd(0, new));
    let script = format!(
        "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
        until_says() {{
            for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
                {exe} status | grep -q \"$1\" && break
                sleep 0.5
            done
            {exe} status
        }}
        radvd -C {first} -p {first}.pid -n -m stderr & radvd=$!
        until_says 'fd09.*temporary, pref'
        addr=$({exe} status | sed -n 's/.*address *\\(fd09[^/]*\\).*temporary.*/\\1/p')
        ping -q -c 1 $addr || exit 1
        kill -9 $radvd; wait
        echo renumbering
        radvd -C {second} -p {second}.pid -n -m stderr & radvd=$!
        until_says 'fd0a.*temporary, pref'
        kill $radvd; wait",
        first = first.path(),
        second = second.path(),
        exe = tapline(),
    );
    let ran = run(&["up", "--config", file.path(), "--", "sh", "-c", &script]).exits(0);
    let (before, after) = ran.out.split_once("renumbering").unwrap();
    // Each address: its prefix, whether temporary, and its state.
    let addresses = |said: &str| -> Vec<(String, bool, bool)> {
        let lines = said
            .lines()
            .filter_map(|l| l.trim().strip_prefix("address "));
        let far = lines.map(str::trim).filter(|l| l.starts_with("fd0"));
        let of = |l: &str| {
            (
                l[..4].to_owned(),
                l.contains("temporary"),
                l.contains("deprecated"),
            )
        };
        let mut all: Vec<_> = far.map(of).collect();
        all.sort();
        all
    };
    let own = |prefix: &str, temporary, deprecated| (prefix.to_owned(), temporary, deprecated);
    let one = [own("fd09", false, false), own("fd09", true, false)];
    assert_eq!(addresses(before), one, "{ran}");
    let both = [
        own("fd09", false, true),
        own("fd09", true, true),
        own("fd0a", false, false),
        own("fd0a", true, false),
    ];
    assert_eq!(addresses(after), both, "{ran}");
    for want in [
        "preferred for 29",
        "valid for 89",
        "hop limit 42  mtu 1400  reachable 20.0 s  retrans 0.5 s",
        "dns server  fd09::53, 2",
        "dns server  fd09::54, 2",
        "dns search  lab.example, 2",
        "fd0b::/48 via fe80::",
    ] {
        assert!(before.contains(want), "{want}: {ran}");
    }
    let of_mac = |l: &str| l.contains("address ") && l.contains("ff:fe00:7");
    assert!(!before.lines().any(of_mac), "{ran}");
}

/// Two kernels with the same address, each on a link of its own: what each asks of the host between
/// them is answered by its own link.
fn zones_of_two_links() {
    let world = World::new(
        &["left", "right", "stack"],
        "for n in left right; do
            ip link add eth0 netns $n address 02:00:00:00:00:01 type veth peer name $n netns stack
            ip -n $n link set eth0 addrgenmode none
            ip -n stack link set $n addrgenmode none
            ip -n $n addr add fe80::1/64 dev eth0 nodad
            ip -n $n link set eth0 up
            ip -n stack link set $n up
        done",
    );
    let device = |name: &str| {
        format!(
            "[[device]]\nname = '{name}'\nkind = 'raw'\nmac = '02:00:00:00:00:07'
             addresses = ['fe80::7/64']\n"
        )
    };
    let both = String::from("services = ['echo', 'http']\n") + &device("left") + &device("right");
    let host = world.tapline("stack", &both);
    for n in ["left", "right"] {
        let ran = world.sh(n, "ping -c 3 -i 0.1 fe80::7%eth0");
        loses_nothing(ran, 3).says("64 bytes from fe80::7%eth0");
        world
            .sh(n, &udp_echo("fe80::7%eth0", 1452))
            .exits(0)
            .says("echoed");
        world
            .sh(
                n,
                "curl -sSg -m 10 'http://[fe80::7%25eth0]/bytes/300000' | wc -c",
            )
            .exits(0)
            .says("300000");
        // Nobody listens there, and it is told.
        world
            .sh(n, "nc -6 -w 5 -v fe80::7%eth0 81 2>&1")
            .exits(1)
            .says("refused");
    }
    host.status_at_end().adds_up("the host");
}

/// The verbs with addresses of a link, for which the host needs no other than that link's.
fn zones_in_our_verbs() {
    let world = World::new(
        &["kernel", "stack"],
        "ip link add w0 netns kernel type veth peer name w1 netns stack
         ip -n kernel link set w0 addrgenmode none
         ip -n stack link set w1 addrgenmode none
         ip -n kernel addr add fe80::1/64 dev w0 nodad
         ip -n kernel link set w0 up
         ip -n stack link set w1 up",
    );
    let ours = tapline();
    let say = |rest: &str| world.sh("stack", &format!("echo hello | {ours} {rest} --raw w1"));
    let ran = say("ping -c 3 -i 0.1 fe80::1%w1");
    loses_nothing(ran, 3).says("64 bytes from fe80::1%w1: icmp_seq=3");
    loses_nothing(say("ping -c 1 fe80::1%1"), 1);
    // With one link there is no other; a group is of it as well.
    loses_nothing(say("ping -c 1 fe80::1"), 1);
    say("ping -c 1 ff02::1%w1").exits(0).says("from fe80::1%w1");
    let ran = say("ping -c 1 fe80::1%w9").exits(2);
    assert!(ran.err.contains("no interface 'w9' here, but w1"), "{ran}");
    let ran = say("ping -c 1 fd07::1%w1").exits(2);
    assert!(ran.err.contains("of no link"), "{ran}");
    let ran = say("traceroute fe80::1%w1").exits(0);
    assert!(ran.out.contains("traceroute to fe80::1%w1"), "{ran}");
    let page = "exec python3 -u - <<'END'
import http.server, socket
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = ('for ' + self.headers['Host']).encode()
        if self.path == '/next':
            self.send_response(302)
            self.send_header('Location', 'http://[fe80::1]:8000/page')
            text = b''
        else:
            self.send_response(200)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)
class Server(http.server.HTTPServer):
    address_family = socket.AF_INET6
server = Server(('::', 8000), Page)
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(('::', 5000))
import threading
def datagrams():
    while True:
        data, who = udp.recvfrom(2048)
        udp.sendto(data.upper(), who)
threading.Thread(target=datagrams, daemon=True).start()
print('ready')
server.serve_forever()
END";
    let _page = world.start("kernel", page, "ready");
    for url in [
        "'http://[fe80::1%25w1]:8000/'",
        "'http://[fe80::1%w1]:8000/next'",
    ] {
        say(&format!("fetch {url}"))
            .exits(0)
            .says("for [fe80::1]:8000");
    }
    say("nc -u -w 1 fe80::1%w1 5000").exits(0).says("HELLO");
    let iperf = world.start("kernel", "exec iperf3 -s --forceflush", "Server listening");
    say("iperf -c fe80::1%w1 -n 20MB")
        .exits(0)
        .says("19.07 MiB");
    drop(iperf);
}

/// The namespaces `kernel`, with `w0`, and `stack`, with `w1`.
fn wire() -> World {
    World::new(
        &["kernel", "stack"],
        "ip link add w0 netns kernel type veth peer name w1 netns stack
         ip -n kernel addr add fd01::1/64 dev w0 nodad
         ip -n kernel link set w0 up
         ip -n stack link set w1 up",
    )
}

/// Keeps everything from going by `w0`, whose device stays up.
const SILENCE: &str = "nft 'add table netdev silence
    add chain netdev silence in { type filter hook ingress device w0 priority 0; policy drop; }
    add chain netdev silence out { type filter hook egress device w0 priority 0; policy drop; }'";

/// RFC 4861 §7.3.2, as the kernel does it: of us, it hears nothing more.
fn silence_is_noticed_by_the_kernel() {
    let world = wire();
    let config = "duplicate_detection = 'off'\n[[device]]\nname = 'w1'\nkind = 'raw'
        addresses = ['fd01::2/64']";
    let _host = world.tapline("stack", config);
    let watch = "state() { ip -6 neigh show fd01::2 dev w0 | awk '{print $NF}'; }
        await() {
            for i in $(seq 400); do
                now=$(state)
                test \"$now\" = \"$last\" || echo \"state $now\"
                last=$now
                test \"$now\" = $1 && return
                sleep 0.05
            done
            exit 1
        }
        cd /proc/sys/net/ipv6/neigh/w0
        echo 4000 >base_reachable_time_ms
        echo 1 >delay_first_probe_time";
    let silent = format!(
        "{watch}
        ping -q -c 1 fd01::2 >/dev/null || exit 2
        await REACHABLE
        {SILENCE}
        await STALE
        ping -q -i 0.2 -w 30 fd01::2 >/dev/null &
        await DELAY
        await PROBE
        await FAILED
        kill $!
        nft delete table netdev silence
        ping -q -c 1 -W 5 fd01::2 >/dev/null || exit 3
        await REACHABLE"
    );
    let ran = world.sh("kernel", &silent).exits(0);
    let told: Vec<&str> = ran.lines_with("state ").collect();
    let want = [
        "REACHABLE",
        "STALE",
        "DELAY",
        "PROBE",
        "FAILED",
        "REACHABLE",
    ];
    let want = want.map(|state| format!("state {state}"));
    assert_eq!(told, want, "{ran}");
}

/// The same of the kernel by us, while we send to it: reachable, probed, and then forgotten.
//= RFC 4861 §7.3.3 an entry whose probes are not answered is deleted.
fn silence_is_noticed_by_us() {
    let world = wire();
    let config = "services = ['chargen']\nduplicate_detection = 'off'
        [[device]]\nname = 'w1'\nkind = 'raw'\naddresses = ['fd01::2/64']";
    let states = crate::common::TempFile::new("states", "");
    let host = crate::common::TempFile::new("silent.toml", config);
    let watch = format!(
        "import json, os, subprocess, time
last, out = '', open('{states}', 'a')
while not os.path.exists('{states}.end'):
    told = subprocess.run(['{exe}', 'status', '--json'], capture_output=True).stdout
    all = [n for i in json.loads(told)['interfaces'] for n in i['neighbors']]
    now = ([n['state'] for n in all if n['ip'] == 'fd01::1'] + ['none'])[0]
    if now != last:
        print('state', now, file=out, flush=True)
    last = now
    time.sleep(0.01)",
        exe = tapline(),
        states = states.path(),
    );
    let watch = crate::common::TempFile::new("watch.py", &watch);
    let watch = format!(
        "exec {exe} up --here --config {config} -- /usr/bin/python3 {watch}",
        exe = tapline(),
        config = host.path(),
        watch = watch.path(),
    );
    let watcher = world.start("stack", &watch, "");
    let silent = format!(
        "for i in $(seq 100); do ping -q -c 1 -W 1 fd01::2 >/dev/null && break; sleep 0.1; done
        nc -6 -d fd01::2 19 >/dev/null & peer=$!
        for i in $(seq 200); do grep -q 'state REACHABLE' {states} && break; sleep 0.05; done
        grep -q 'state REACHABLE' {states} || exit 2
        {SILENCE}
        for i in $(seq 1500); do
            sed -n '/state PROBE/,$p' {states} | grep -qE 'state (none|INCOMPLETE)' && break
            sleep 0.05
        done
        touch {states}.end
        kill $peer
        cat {states}",
        states = states.path(),
    );
    let ran = world.sh_for(150, "kernel", &silent).exits(0);
    let said = watcher.ended();
    let told: Vec<&str> = ran.lines_with("state ").collect();
    let at = |state: &str| told.iter().position(|t| *t == format!("state {state}"));
    let (reachable, probe) = (at("REACHABLE"), at("PROBE"));
    assert!(reachable.is_some() && reachable < probe, "{ran}\n{said}");
    let gone = told.get(probe.unwrap_or(0) + 1);
    assert!(
        matches!(gone, Some(&"state none" | &"state INCOMPLETE")),
        "{ran}\n{said}"
    );
}

/// Addresses that routers' prefixes bring once the services have been opened: each is answered from
/// where it was asked, the ones that the host itself would not send from as well.
fn services_answer_at_addresses_made_later() {
    let world = wire();
    let config = "services = ['echo', 'http']\nsecret_key = '00112233445566778899aabbccddeeff'
        [[device]]\nname = 'w1'\nkind = 'raw'\nautoconfigure = true\ntemporary = true";
    let radvd = "interface w0 {
        AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;
        prefix fd01::/64 { };
    };";
    let said = crate::common::TempFile::new("later.conf", radvd);
    let file = crate::common::TempFile::new("later.toml", config);
    let made = crate::common::TempFile::new("made", "");
    let up = format!(
        "exec {exe} up --here --config {file} -- sh -c '
        for i in $(seq 200); do
            {exe} status | grep -q \"fd01:.*temporary\" && break
            sleep 0.1
        done
        {exe} status | sed -n \"s,.*address *\\(fd01[^/]*\\)/.*,\\1,p\" >{made}
        echo all has been made
        exec sleep 900'",
        exe = tapline(),
        file = file.path(),
        made = made.path(),
    );
    let radvd = format!(
        "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
        exec radvd -C {conf} -p {conf}.pid -n -m stderr",
        conf = said.path()
    );
    let _radvd = world.start("kernel", &radvd, "");
    let _host = world.start("stack", &up, "all has been made");
    let made = std::fs::read_to_string(made.path()).unwrap();
    let made: Vec<&str> = made.lines().collect();
    assert_eq!(made.len(), 2, "{made:?}");
    for addr in made {
        world
            .sh("kernel", &udp_echo(addr, 1452))
            .exits(0)
            .says("echoed");
        let page = format!("curl -sSg -m 10 http://[{addr}]/");
        world.sh("kernel", &page).exits(0).says(addr);
    }
}

/// RFC 6980: questions for our station that come in pieces, or as one piece, are not answered; behind
/// options they are.
fn discovery_in_fragments_is_not_heard() {
    if stand_in() {
        return;
    }
    let script = crate::common::scapy(
        "e = Ether(src='02:00:00:00:00:99', dst='33:33:ff:00:00:02')
ip = IPv6(src='fd07::99', dst='ff02::1:ff00:2', hlim=255)
ask = ICMPv6ND_NS(tgt='fd07::2')/ICMPv6NDOptSrcLLAddr(lladdr='02:00:00:00:00:99')
ask = IPv6(bytes(ip/ask))[ICMPv6ND_NS]
def answers(p):
    sniffer = AsyncSniffer(iface='tap0', filter='icmp6 and ip6[40] == 136 and dst host fd07::99')
    sniffer.start(); time.sleep(0.3)
    for one in (p if isinstance(p, list) else [p]): sendp(one, iface='tap0')
    time.sleep(0.4)
    return len(sniffer.stop())
raw = Raw(bytes(ask))
options = PadN(optdata=bytes(4))
print('plain', answers(e/ip/ask))
print('hop-by-hop', answers(e/ip/IPv6ExtHdrHopByHop(nh=58, options=[options])/raw))
print('destination', answers(e/ip/IPv6ExtHdrDestOpt(nh=58, options=[options])/raw))
print('atomic', answers(e/ip/IPv6ExtHdrFragment(nh=58, id=1)/raw))
both = [e/ip/IPv6ExtHdrFragment(nh=58, id=2, m=1)/Raw(bytes(ask)[:16]),
        e/ip/IPv6ExtHdrFragment(nh=58, id=2, offset=2)/Raw(bytes(ask)[16:])]
print('fragments', answers(both))",
    );
    let (ran, status) = up_with_status(&script);
    let ran = ran.exits(0);
    let said: Vec<&str> = ran.out.lines().collect();
    let want = [
        "plain 1",
        "hop-by-hop 1",
        "destination 1",
        "atomic 0",
        "fragments 0",
    ];
    assert!(want.iter().all(|line| said.contains(line)), "{ran}");
    // Of the two pieces the first was held, and went with the second.
    assert_eq!(status.drops("ndp-fragmented"), 3, "{status}");
    status.adds_up("the host");
}
