//! What a file says, what it is written back as, and what is refused at which line.

use super::{EXAMPLE, parse};
use crate::lab::fault::{Party, When};
use crate::lab::settings::Bytes;
use crate::lab::topology::{
    Attack, Client, ClientKind, Kind, Node, Route, Service, Topology, Wire,
};
use stack::link::impair::{Config, Loss, Queue, codel, fq_codel};
use stack::time::Duration;

#[test]
fn what_one_direction_does_is_not_said_of_the_other() {
    let mut topology = Topology::new().host("a").host("b").link("a", "b");
    topology.wires[0].ways[0].delay = Duration::from_millis(5);
    topology.wires[0].ways[0].mtu = 900;
    topology.wires[0].ways[1].mtu = 900;
    let text = topology.to_toml();
    assert!(
        text.contains("mtu = 900\nfrom.a = { delay = \"5ms\" }\n"),
        "{text}"
    );
    assert!(!text.contains("from.b"), "{text}");
    assert_eq!(parse("x", &text).unwrap().topology, topology);
}

#[test]
fn the_example_says_what_it_says() {
    let loaded = parse("e.toml", EXAMPLE).unwrap();
    let t = &loaded.topology;
    assert_eq!(t.until, Some(Duration::from_secs(10)));
    assert_eq!(t.nodes[1].kind, Kind::Router);
    assert_eq!(t.nodes[1].settings.icmp_rate, Some(100));
    assert_eq!(t.nodes[2].services.len(), 4);
    let [there, back] = &t.wires[1].ways;
    assert_eq!(t.wires[1].name, "r1-b");
    assert_eq!(there.delay, Duration::from_millis(20));
    assert_eq!(back.delay, Duration::from_millis(80));
    assert_eq!(back.loss, Loss::Independent("1%".parse().unwrap()));
    assert_eq!(there.reorder, "0.1%".parse().unwrap());
    assert_eq!(there.bit_errors, "1e-9".parse().unwrap());
    assert_eq!(t.clients[0].interval, Some(Duration::from_millis(500)));
    assert!(t.clients[0].dont_fragment);
    assert_eq!(t.asserts.len(), 3);
    // The lines of faults are those of the file.
    let at = |text: &str| {
        let line = EXAMPLE.lines().position(|l| l.contains(text)).unwrap();
        u32::try_from(line).unwrap() + 1
    };
    assert_eq!(t.faults.lines[0].line, at("between 2s and 3s"));
    assert_eq!(t.faults.lines[2].line, at("at 5s heal"));
    assert_eq!(t.faults.lines[2].when, When::At(Duration::from_secs(5)));
}

#[test]
fn what_is_written_is_read_back_equal() {
    let loaded = parse("e.toml", EXAMPLE).unwrap();
    let bad = Config {
        rate: Some(1_500_000),
        delay: Duration::from_micros(5),
        jitter: Duration::from_micros(3),
        in_order: true,
        loss: Loss::GilbertElliott {
            to_bad: "1%".parse().unwrap(),
            to_good: "30%".parse().unwrap(),
            loss_good: "0.0000001".parse().unwrap(),
            loss_bad: "1".parse().unwrap(),
        },
        frame_check: false,
        queue: Queue::FqCodel(fq_codel::Config {
            flows: 7,
            ..Default::default()
        }),
        ..Config::default()
    };
    let scripted = Config {
        loss: Loss::Scripted(vec![0, 3]),
        queue: Queue::DropTail {
            packets: None,
            bytes: None,
            mark: Some(3),
        },
        ..bad.clone()
    };
    let codel = Config {
        queue: Queue::Codel(codel::Config::default()),
        ..Config::default()
    };
    let route = Route {
        to: "10.9.0.0/16".parse().unwrap(),
        via: Party::from("a"),
    };
    let mut client = Client::new("forger", "b", ClientKind::ArpForger, Party::from("a"));
    client.claims = Some(Party::from("10.0.1.9"));
    let mut attacker = Client::new("attacker", "b", ClientKind::TcpAttacker, Party::from("a"));
    attacker.attack = Some(Attack::SackBomb);
    client.stop = Some(Duration::from_secs(3));
    let odd = Topology::new()
        .until(Duration::from_millis(1500))
        .node(Node {
            addresses: vec![
                vec![],
                vec![
                    "10.1.0.1/16".parse().unwrap(),
                    "10.2.0.1/16".parse().unwrap(),
                ],
            ],
            ..Node::new("a", Kind::Host)
        })
        .set(|s| s.udp_receive = Some(Bytes(65_536)))
        .serves(Service::Chargen)
        .node(Node {
            routes: vec![route],
            auto_routes: false,
            ..Node::new("r", Kind::Router)
        })
        .node(Node {
            auto_routes: false,
            ..Node::new("b", Kind::Host)
        })
        .hub("h")
        .wire("a", "r", bad.clone())
        .way("r", scripted)
        .wire("a", "h", codel)
        .way("h", Config::default())
        .link("h", "b")
        .wire("r", "a", bad)
        .client(client)
        .client(attacker)
        .client(
            Client::udp("u", "b", "a")
                .count(3)
                .size(29)
                .every(Duration::from_nanos(7)),
        )
        .faults("at 1s drop 1e-7 on a-r\nat 1s down a-r\nat 1s down a-r")
        .unwrap()
        .assert("u.received >= 3")
        .unwrap()
        .assert("u.loss <= 2.5%")
        .unwrap();
    let odd = Topology {
        caption: "a \"quoted\" \\ caption\twith\u{1}".to_owned(),
        about: "two\nlines".to_owned(),
        seed: Some(u64::MAX),
        ..odd
    };
    for topology in [loaded.topology, odd] {
        let text = topology.to_toml();
        let again = parse("again.toml", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(again.topology, topology, "{text}");
        assert_eq!(again.topology.to_toml(), text);
    }
    assert_eq!(Topology::new().to_toml(), "");
}

#[test]
fn a_second_wire_between_two_nodes_has_another_name() {
    let text = "[[node]]\nname='a'\n[[node]]\nname='b'\n\
        [[wire]]\nbetween=['a','b']\n[[wire]]\nbetween=['a','b']\n\
        [[client]]\nnode='a'\nkind='ping'\nto='b'\n[[client]]\nnode='b'\nkind='ping'\nto='a'";
    let t = parse("t", text).unwrap().topology;
    assert_eq!([&*t.wires[0].name, &t.wires[1].name], ["a-b", "a-b-2"]);
    assert_eq!(
        [&*t.clients[0].name, &t.clients[1].name],
        ["ping1", "ping2"]
    );
    let built = Topology::new()
        .host("a")
        .host("b")
        .link("a", "b")
        .link("a", "b");
    assert_eq!(built.wires, t.wires);
    assert_eq!(
        built.wires[1],
        Wire {
            name: "a-b-2".into(),
            ..Wire::new("a", "b", Config::default())
        }
    );
}

/// Put after two hosts and a wire, which take nine lines; and the line and message of the error.
const WRONG: &[(&str, u32, &str)] = &[
    (
        "[[client]]\nnode = 'a'\nkind = 'tcp'\nto = 'b'\nsettings = { tcp_sak = false }",
        14,
        "there is no key `tcp_sak`; did you mean `tcp_sack`?",
    ),
    (
        "[[client]]\nnode = 'a'\nkind = 'tcp'\nto = 'b'\nsettings = { icmp_rate = 3 }",
        14,
        "client `tcp1`: `icmp_rate` concerns all of its node: say it there",
    ),
    (
        "[[client]]\nnode = 'a'\nkind = 'ping'\nto = 'b'\nsettings = { tcp_sack = false }",
        14,
        "client `ping1`: only a tcp client has `settings`",
    ),
    (
        "[[client]]\nnode = 'a'\nkind = 'tcp'\nto = 'b'\nsettings = { tcp_rto_min = '2s', tcp_rto_max = '1s' }",
        14,
        "client `tcp1`: `tcp_rto_max`: it is less than `tcp_rto_min`",
    ),
    (
        "[[client]]\nnode = 'a'\nkind = 'tcp'\nto = 'b'\ncongestion = 'bbr'\nsettings = { tcp_fixed_window = 9000 }",
        15,
        "client `tcp1`: `tcp_fixed_window`: a fixed window and `congestion` exclude each other",
    ),
    (
        "[[client]]\nnode = 'a'\nkind = 'tcp'\nto = 'b'\nsettings = { tcp_ecn = 'on' }",
        14,
        "there is no value `on`; there is off, passive, active, accurate",
    ),
    (
        "[[node]]\nname = 'c'\nsettings = { tcp_mss = 20 }",
        12,
        "node `c`: `tcp_mss`: a segment takes at least 48 bytes",
    ),
    (
        "[[node]]\nname = 'c'\nsettings = { read_bytes = 20 }",
        12,
        "node `c`: `read_bytes`: `read_bytes` and `read_every` go together",
    ),
    (
        "[[node]]\nnmae = 'c'",
        11,
        "there is no key `nmae`; did you mean `name`?",
    ),
    (
        "[[node]]\nname = 'c'\nkind = 'swich'",
        12,
        "there is no value `swich`; there is host, router, hub",
    ),
    (
        "[[node]]\nname = 'a'",
        11,
        "a node cannot be called `a`: a node is called that",
    ),
    (
        "[[node]]\nname = 'world'",
        11,
        "a node cannot be called `world`: the whole world is called that",
    ),
    (
        "[[node]]\nname = 'a.b'",
        11,
        "a node cannot be called `a.b`: letters, digits, - and _, and no word of the fault script",
    ),
    (
        "[[node]]\nname = 'a-b'",
        7,
        "a wire cannot be called `a-b`: a node is called that",
    ),
    (
        "[[node]]\nname = 'c'\naddresses = ['10.0.0.300/24']",
        12,
        "`10.0.0.300/24`: not an IP address, as 10.7.0.2 or fd07::2",
    ),
    (
        "[[node]]\nname = 'c'\naddresses = ['10.0.0.3']",
        12,
        "`10.0.0.3`: say how long the prefix is, as 10.0.0.3/24",
    ),
    (
        "[[node]]\nname = 'c'\naddresses = ['10.0.9.3/24']",
        12,
        "node `c` has addresses for 1 ports, but 0 wires end there",
    ),
    (
        "[[node]]\nname = 'c'\naddresses = ['10.0.9.255/24']\n[[wire]]\nbetween = ['c', 'a']",
        12,
        "node `c`: 10.0.9.255/24 is no address that a host may have",
    ),
    (
        "[[node]]\nname = 'c'\naddresses = ['10.0.9.3/40']",
        12,
        "`10.0.9.3/40`: the prefix is longer than the address",
    ),
    (
        "[[node]]\nname = 'c'\naddresses = ['10.0.1.2/24']\n[[node]]\nname = 'd'\n[[wire]]\nbetween = ['c', 'd']\n[[wire]]\nbetween = ['a', 'd']\n[[node]]\nname = 'e'\naddresses = ['10.0.1.2/24']\n[[wire]]\nbetween = ['e', 'd']",
        21,
        "10.0.1.0/24 at node `e` overlaps 10.0.1.0/24 at node `c`, which is on another wire: each needs a network of its own",
    ),
    (
        "[[node]]\nname = 'c'\naddresses = ['10.3.0.1/16', '10.3.1.1/24']\n[[wire]]\nbetween = ['c', 'a']\n[[wire]]\nbetween = ['c', 'b']",
        12,
        "10.3.1.0/24 at node `c` overlaps 10.3.0.0/16 at node `c`, which is on another wire: each needs a network of its own",
    ),
    (
        "[[node]]\nname = 'c'\naddresses = ['10.3.0.1/30']\n[[node]]\nname = 'd'\n[[node]]\nname = 'e'\n[[node]]\nname = 'h'\nkind = 'hub'\n[[wire]]\nbetween = ['c', 'h']\n[[wire]]\nbetween = ['d', 'h']\n[[wire]]\nbetween = ['e', 'h']",
        15,
        "no address is left in 10.3.0.0/30 for node `e`: give it one",
    ),
    (
        "[[node]]\nname = 'c'\nroutes = [{ to = '10.9.0.0/16', via = '10.8.0.1' }]",
        12,
        "route to 10.9.0.0/16: `10.8.0.1` is no neighbour of node `c`",
    ),
    (
        "[[node]]\nname = 'c'\nroutes = 'best'",
        12,
        "`best`: routes are \"auto\", \"none\", or a list",
    ),
    (
        "[[node]]\nname = 'c'\nservices = ['ftp']",
        12,
        "there is no value `ftp`; there is echo, discard, chargen, http, sink, iperf",
    ),
    (
        "[[node]]\nname = 'c'\nservices = ['echo', 'echo']",
        12,
        "node `c` serves echo twice, but its port can be open once only",
    ),
    (
        "[[node]]\nname = 'c'\nsettings = { tll = 3 }",
        12,
        "there is no key `tll`; did you mean `ttl`?",
    ),
    (
        "[[node]]\nname = 'c'\n[[wire]]\nbetween = ['a', 'c']\nreorder_by = '1ms'",
        14,
        "`reorder_by` is for `reorder`",
    ),
    (
        "[[node]]\nname = 'c'\n[[wire]]\nbetween = ['a', 'c']\ndelay = '1ms'\nin_order = true",
        15,
        "`in_order` is for `jitter`",
    ),
    (
        "[[node]]\nname = 'c'\nsettings = { ttl = 0 }",
        12,
        "node `c`: a time to live of 0 leads nowhere",
    ),
    (
        "[[node]]\nname = 'c'\nsettings = { mtu = 20 }",
        12,
        "an MTU is 68 to 65535, not 20",
    ),
    (
        "[[node]]\nname = 'c'\n# mtu = 30\n[node.settings]\nttl = 3\nmtu = 20",
        15,
        "an MTU is 68 to 65535, not 20",
    ),
    (
        "[[node]]\nname = 'c'\nkind = 'hub'\nservices = ['echo']",
        13,
        "hub `c` only repeats frames: it has no services and no routes",
    ),
    (
        "[[wire]]\nbetween = ['a', 'c']",
        11,
        "wire `a-c`: there is no node `c`; there is a, b",
    ),
    (
        "[[wire]]\nbetween = ['a', 'a']",
        11,
        "wire `a-a` leads from `a` to itself",
    ),
    (
        "[[wire]]\nbetween = ['a']",
        11,
        "a wire is between two nodes, not 1",
    ),
    (
        "[[wire]]\nname = 'x'\nbetween = ['a', 'b']\n[[wire]]\nname = 'x'\nbetween = ['a', 'b']",
        14,
        "a wire cannot be called `x`: a wire is called that",
    ),
    (
        "[[wire]]\nbetween = ['a', 'b']\ndelya = '3ms'",
        12,
        "there is no key `delya`; did you mean `delay`?",
    ),
    (
        "[[wire]]\nbetween = ['a', 'b']\ndelay = '3 parsec'",
        12,
        "`3 parsec` has an unknown unit `parsec`: use ns, us, ms, s, min or h",
    ),
    (
        "[[wire]]\nbetween = ['a', 'b']\ndelay = 3",
        12,
        "`3` has no unit: use ns, us, ms, s, min or h",
    ),
    (
        "[[wire]]\nbetween = ['a', 'b']\nloss = 2",
        12,
        "`2`: a probability lies between 0 and 1 (0% and 100%)",
    ),
    (
        "[[wire]]\nbetween = ['a', 'b']\nloss = { to_bad = 0.1 }",
        12,
        "a loss has `to_bad` and `to_good`, or else `packets`",
    ),
    (
        "[[wire]]\nbetween = ['a', 'b']\nqueue = 'red'",
        12,
        "there is no value `red`; there is drop-tail, codel, fq-codel",
    ),
    (
        "[[wire]]\nbetween = ['a', 'b']\nqueue = { kind = 'codel', bytes = 3 }",
        12,
        "a codel queue has packets, target, interval and ecn",
    ),
    (
        "[[wire]]\nbetween = ['a', 'b']\nfrom.c = { delay = '3ms' }",
        12,
        "`from.c`: the wire is between `a` and `b`; did you mean `from.a`?",
    ),
    (
        "[[wire]]\nbetween = ['a', 'b']\nfrom.a = { dealy = '3ms' }",
        12,
        "there is no key `dealy`; did you mean `delay`?",
    ),
    (
        "[[wire]]\nbetween = ['a', 'b']\nmtu = 12",
        12,
        "wire `a-b-2`: an MTU is 68 to 65535, not 12",
    ),
    (
        "[[node]]\nname = 'h'\nkind = 'hub'\n[[node]]\nname = 'i'\nkind = 'hub'\n[[wire]]\nbetween = ['h', 'i']\n[[wire]]\nbetween = ['i', 'h']",
        19,
        "wire `i-h` closes a ring of hubs, in which frames would circle for ever: leave it out, or put a router between",
    ),
    (
        "[[client]]\nnode = 'a'\nkind = 'ping'\nto = 'z'",
        13,
        "client `ping1`: there is no node `z`; there is a, b",
    ),
    (
        "[[client]]\nnode = 'z9'\nkind = 'ping'\nto = 'a'",
        11,
        "client `ping1`: there is no node `z9`; there is a, b",
    ),
    (
        "[[client]]\nnode = 'a'\nkind = 'pnig'\nto = 'b'",
        12,
        "there is no value `pnig`; did you mean `ping`?",
    ),
    (
        "[[client]]\nnode = 'a'\nkind = 'ping'",
        10,
        "missing field `to`",
    ),
    (
        "[[client]]\nnode = 'a'\nkind = 'ping'\nto = '10.0.0.'",
        13,
        "`10.0.0.` is neither a node nor an address",
    ),
    (
        "[[client]]\nname = 'a'\nnode = 'a'\nkind = 'ping'\nto = 'b'",
        11,
        "a client cannot be called `a`: a node is called that",
    ),
    (
        "[[client]]\nnode = 'a'\nkind = 'udp'\nto = 'b'\nsize = 19",
        14,
        "client `udp1`: number and time take 20 bytes of a datagram",
    ),
    (
        "[[client]]\nnode = 'a'\nkind = 'ping'\nto = 'b'\nsize = '64KiB'",
        14,
        "client `ping1`: at most 65507 bytes fit in a datagram",
    ),
    (
        "[[client]]\nnode = 'a'\nkind = 'arp-forger'\nto = 'b'",
        12,
        "client `arp-forger1`: whose address does it forge? Say `claims`",
    ),
    (
        "[[client]]\nnode = 'a'\nkind = 'scan'\nto = 'b'\nport = 9\nlast_port = 3",
        15,
        "client `scan1`: the last port is below the first",
    ),
    (
        "[[client]]\nnode = 'a'\nkind = 'scan'\nto = 'b'\nport = 9\ncount = 3",
        15,
        "client `scan1`: a scan asks each port once: say `port` and `last_port`",
    ),
    (
        "[[client]]\nnode = 'a'\nkind = 'ping'\nto = 'fd00::1'",
        13,
        "client `ping1`: fd00::1 is asked over IPv6, of which `a` has no address",
    ),
    (
        "[[node]]\nname = 'c'\n[[client]]\nnode = 'a'\nkind = 'ping'\nto = 'c'",
        15,
        "client `ping1`: no wire ends at node `c`: it has no address",
    ),
    (
        "[[node]]\nname = 'c'\n[[client]]\nnode = 'c'\nkind = 'ping'\nto = 'a'",
        13,
        "client `ping1`: no wire ends at node `c`: it has no address",
    ),
    (
        "[[node]]\nname = 'c'\naddresses = ['fd00::1/64']\n[[wire]]\nbetween = ['c', 'a']\nmtu = 576",
        12,
        "node `c`: fd00::1/64: IPv6 needs an MTU of 1280, and its link has 576",
    ),
    (
        "[[node]]\nname = 'c'\naddresses = ['fd00::1/64']\n[[wire]]\nbetween = ['c', 'a']\n[[client]]\nnode = 'c'\nkind = 'scan'\nto = 'a'\nport = 1",
        18,
        "client `scan1`: fd00::2 is an IPv6 address, and scan asks IPv4",
    ),
    (
        "[[wire]]\nbetween = ['a', 'b', 'a']",
        11,
        "a wire is between two nodes, not 3",
    ),
    (
        "[[node]]\nname = 'c'\naddresses = ['10.3.0.1/24']\n[[node]]\nname = 'd'\naddresses = ['10.4.0.1/24']\n[[wire]]\nbetween = ['c', 'd']",
        15,
        "10.4.0.1/24 at node `d` and 10.3.0.1/24 at node `c` are on one wire, but in no common network",
    ),
    (
        "[[node]]\nname = 'all'",
        11,
        "a node cannot be called `all`: letters, digits, - and _, and no word of the fault script",
    ),
    (
        "[[node]]\nname = 'next'",
        11,
        "a node cannot be called `next`: letters, digits, - and _, and no word of the fault script",
    ),
    (
        "[[wire]]\nname = 'all'\nbetween = ['a', 'b']",
        11,
        "a wire cannot be called `all`: letters, digits, - and _, and no word of the fault script",
    ),
    (
        "[[wire]]\nbetween = ['a', 'b']\nqueue = { kind = 'fq-codel', flows = 0 }",
        12,
        "wire `a-b-2`: 0 flows have no queue",
    ),
    (
        "[[wire]]\nbetween = ['a', 'b']\nqueue = { kind = 'fq-codel', quantum = 0 }",
        12,
        "wire `a-b-2`: a quantum of 0 bytes sends nothing",
    ),
    (
        "[[wire]]\nbetween = ['a', 'b']\nqueue = { kind = 'drop-tail', packets = 0 }",
        12,
        "wire `a-b-2`: a queue of 0 packets holds nothing",
    ),
    (
        "[[wire]]\nbetween = ['a', 'b']\ndelay = '3ms'\njitter = '4ms'",
        13,
        "wire `a-b-2`: the jitter is more than the delay, and no frame arrives before it was sent",
    ),
    (
        "[[client]]\nnode = 'a'\nkind = 'ping'\nto = 'b'\ncount = -1",
        14,
        "`-1` is no whole number from 0 on",
    ),
    (
        "[[node]]\nname = 'c'\nsettings = { bogus = 1 }",
        12,
        "there is no key `bogus`; `tapline help lab` lists those that there are",
    ),
];

#[test]
fn bytes_may_have_a_unit_and_nothing_needs_one() {
    let text = "asserts = ['t.sent >= 1MB', 't.acked >= 1000', 'p.loss == 0', 'world.time > 1s',
        'a.tcp.retransmitted == 0', 't.sent == b.services.sink.bytes', 'p.rtt.max > 2 * p.rtt.min']
        [[node]]\nname = 'a'\n[[node]]\nname = 'b'\nservices = ['sink']
        [[wire]]\nbetween = ['a', 'b']
        [[client]]\nname = 't'\nnode = 'a'\nkind = 'tcp'\nto = 'b'
        [[client]]\nname = 'p'\nnode = 'a'\nkind = 'ping'\nto = 'b'";
    parse("t", text).unwrap();
    let wrong = text.replace("p.loss == 0'", "p.sent == 1MB'");
    let e = parse("t", &wrong).unwrap_err();
    assert_eq!(e.what, "`p.sent` is a number without a unit, as 5");
}

#[test]
fn a_name_is_of_a_readable_length_and_somebody_is_there() {
    let named = |name: &str| parse("t", &format!("[[node]]\nname = '{name}'"));
    assert!(named(&"n".repeat(64)).is_ok());
    let e = named(&"n".repeat(5000)).unwrap_err();
    assert_eq!((e.line, e.to_string().len() < 100), (Some(2), true), "{e}");
    for text in ["", "until = '1s'"] {
        let e = parse("t", text).unwrap_err();
        let want = "t:1: nobody is there: a topology has one [[node]] at least";
        assert_eq!(e.to_string(), want);
    }
}

#[test]
fn names_are_counted_for_each_kind_past_those_that_are_taken() {
    let mut text = String::from("[[node]]\nname='a'\n[[node]]\nname='b'\n");
    text.push_str("[[wire]]\nbetween=['a','b']\n");
    for (name, kind) in [
        ("", "ping"),
        ("ping2", "udp"),
        ("", "udp"),
        ("", "ping"),
        ("", "udp"),
    ] {
        let client = format!("[[client]]\nname='{name}'\nnode='a'\nkind='{kind}'\nto='b'\n");
        text.push_str(&client);
    }
    let clients = parse("t", &text).unwrap().topology.clients;
    let names: Vec<&str> = clients.iter().map(|c| &*c.name).collect();
    assert_eq!(names, ["ping1", "ping2", "udp1", "ping3", "udp2"]);
}

#[test]
fn what_comes_too_late_is_said_and_no_error() {
    let text = "until = '10s'\nfaults = '''\nat 10s heal\nat 20s heal\n'''\n[[node]]\nname = 'a'\n\
        [[node]]\nname = 'b'\n[[wire]]\nbetween = ['a', 'b']\n\
        [[client]]\nname = 'p'\nnode = 'a'\nkind = 'ping'\nto = 'b'\nstart = '11s'\n\
        [[client]]\nname = 'q'\nnode = 'a'\nkind = 'ping'\nto = 'b'\nstart = '9s'\n";
    let loaded = parse("t", text).unwrap();
    let late = loaded.topology.too_late().into_iter();
    let late: Vec<String> = late.map(|e| loaded.lines.locate(e).to_string()).collect();
    assert_eq!(
        late,
        [
            "t:17: client `p` starts at 11s, and the run ends at 10s",
            "t:4: `at 20s heal`: that is too late, and the run ends at 10s"
        ]
    );
}

#[test]
fn what_is_wrong_is_said_with_file_and_line() {
    let mut wrong = Vec::new();
    let good = "[[node]]\nname = 'a'\n\n[[node]]\nname = 'b'\n\n[[wire]]\nbetween = ['a', 'b']\n\n";
    for (text, line, what) in WRONG {
        let e = parse("net.toml", &format!("{good}{text}")).expect_err(text);
        let want = format!("net.toml:{line}: {what}");
        if e.to_string() != want {
            wrong.push(format!(
                "{text}
  {e}
  {want}"
            ));
        }
    }
    for (text, line, what) in [
        (
            "[[node]]\nname = 'a'\nservices = [{ udp = 7, kind = 'echo' }]",
            3,
            "a name is wanted here, not a table",
        ),
        (
            "[[node]]\nname = 'a'\nsettings = { ttl = 300 }",
            3,
            "`300` is no whole number from 0 to 255",
        ),
        ("until = '0s'", 1, "a run takes some time"),
        (
            "untill = '3s'",
            1,
            "there is no key `untill`; did you mean `until`?",
        ),
        (
            "until = '3y'",
            1,
            "`3y` has an unknown unit `y`: use ns, us, ms, s, min or h",
        ),
        (
            "asserts = [\n'conserved',\n'a.drops = 3']",
            3,
            "`=`: say <, <=, ==, !=, >= or >",
        ),
        (
            "asserts = [\n'conserved',\n'q.b == 3']",
            3,
            "there is no node, wire or client `q`; there is a, b, a-b, world",
        ),
        (
            "asserts = ['a.drops.ttl-expird == 3']",
            1,
            "`a` has no metric `drops.ttl-expird`; did you mean `drops.ttl-expired`?",
        ),
        (
            "asserts = ['a-b.from.a.lst == 3']",
            1,
            "`a-b` has no metric `from.a.lst`; did you mean `from.a.lost`?",
        ),
        (
            "asserts = ['world.peace == 3']",
            1,
            "`world` has no metric `peace`; it has arrivals, steps, conserved, time, sent, malformed",
        ),
        (
            "asserts = ['p.received >= 5s']\n[[client]]\nname='p'\nnode='a'\nkind='ping'\nto='b'",
            1,
            "`p.received` is a number without a unit, as 5",
        ),
        (
            "asserts = ['p.rtt.max <= 90']\n[[client]]\nname='p'\nnode='a'\nkind='ping'\nto='b'",
            1,
            "`p.rtt.max` is a time, as 90ms",
        ),
        (
            "asserts = ['p.received > p.rtt.max']\n[[client]]\nname='p'\nnode='a'\nkind='ping'\nto='b'",
            1,
            "`p.received` is a number without a unit, as 5; `p.rtt.max` is a time, as 90ms",
        ),
        (
            "asserts = ['a-b.from.a.wait.avg < 3%']",
            1,
            "`a-b.from.a.wait.avg` is a time, as 90ms",
        ),
        (
            "asserts = ['t.goodput > 9000']\n[[client]]\nname='t'\nnode='a'\nkind='tcp'\nto='b'",
            1,
            "`t.goodput` is a rate, as 10mbit",
        ),
        (
            "faults = 'on c.servin crash a'\n[[node]]\nname='c'\nservices=['echo']",
            1,
            "there is no note `servin`; did you mean `serving`?",
        ),
        (
            "faults = 'on p.nothing crash a'\n[[client]]\nname='p'\nnode='a'\nkind='traceroute'\nto='b'",
            1,
            "there is no note `nothing`; there is done, failed, hop, refused (`p` is a client: its notes are `*.p.NOTE`)",
        ),
        (
            "faults = 'on p.hop crash a'\n[[client]]\nname='p'\nnode='a'\nkind='traceroute'\nto='b'",
            1,
            "`p` is a client, and notes are of a node: say `*.p.hop`",
        ),
        (
            "seed = 18446744073709551616",
            1,
            "18446744073709551616 is beyond the numbers of TOML; of a seed, write it as a text",
        ),
        (
            "faults = 'at 1s jitter 3ms on *'",
            1,
            "wire `a-b` from `a`: a jitter of 3ms is more than the delay, which is 0s, and no frame \
             arrives before it was sent",
        ),
        (
            "\nfaults = '''\nat 1s heal\nat 1s dwon a-b\n'''",
            4,
            "there is no fault `dwon`; did you mean `down`?",
        ),
        (
            "\nfaults = '''\nat 1s heal\nat 1s down b-a\n'''",
            4,
            "there is no wire `b-a`; did you mean `a-b`?",
        ),
        (
            "\nfaults = \"\"\"at 1s heal\nat 1s x\"\"\"",
            3,
            "there is no fault `x`; there is drop, duplicate, corrupt, delay, reorder, blackhole, rate, mtu, loss, jitter, down, up, flap, partition, heal, clog, release, crash, restart, pause, resume",
        ),
        (
            "\nfaults = 'at 1s crash q7'",
            2,
            "there is no node `q7`; there is a, b",
        ),
        (
            "seed = -1",
            1,
            "`-1`: a seed is a whole number of at most 64 bits",
        ),
        (
            "caption = ",
            1,
            "string values must be quoted, expected literal string",
        ),
    ] {
        let e = parse("net.toml", &format!("{text}\n{good}")).expect_err(text);
        let want = format!("net.toml:{line}: {what}");
        if e.to_string() != want {
            wrong.push(format!(
                "{text}
  {e}
  {want}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn two_may_hold_one_address_where_that_is_the_point() {
    let text = "duplicate_addresses = true\n\
        [[node]]\nname = 'a'\naddresses = ['10.0.1.1/24']\n\
        [[node]]\nname = 'b'\naddresses = ['10.0.1.1/24']\n\
        [[wire]]\nbetween = ['a', 'b']";
    assert!(parse("t", text).is_ok());
    let without = text.replacen("true", "false", 1);
    assert!(
        parse("t", &without)
            .unwrap_err()
            .what
            .contains("10.0.1.1 is at node `a`")
    );
}
