//! What becomes of one flow's packets is decided by that flow, the seed and the wire alone.

use stack::link::impair::Marks;
use stack::time::Duration;
use std::collections::BTreeMap;
use tapline::lab::build::Options;
use tapline::lab::topology::Topology;
use tapline::lab::trace::Kind;
use tapline::lab::{Lane, file};

/// Wires with everything bad but a rate: behind a full wire, flows do wait for each other. The
/// faults last from beginning to end: when a packet is sent may well depend on others.
const NET: &str = r#"
until = "4s"
faults = """
at 0s drop 20% of udp on a-r
at 0s drop 30% on r-d source b
at 0s delay 10% by 7ms on *
at 0s duplicate 10% of icmp on b-r
at 0s loss 40% on c-r
at 0s corrupt 10% on r-d from r
"""

[[node]]
name = "a"

[[node]]
name = "b"

[[node]]
name = "c"

[[node]]
name = "r"
kind = "router"

[[node]]
name = "d"
services = ["echo"]

[[wire]]
between = ["a", "r"]
delay = "3ms"
loss = "5%"
jitter = "2ms"
duplicate = "5%"

[[wire]]
between = ["b", "r"]
delay = "5ms"
loss = { to_bad = "5%", to_good = "40%" }
reorder = "10%"

[[wire]]
between = ["c", "r"]
delay = "1ms"
bit_errors = 0.00001
jitter = "1ms"

[[wire]]
between = ["r", "d"]
delay = "2ms"
loss = "3%"
duplicate = "2%"
reorder = "5%"

[[client]]
name = "ca"
node = "a"
kind = "udp"
to = "d"
interval = "11ms"
count = 250

[[client]]
name = "cb"
node = "b"
kind = "ping"
to = "d"
interval = "13ms"
count = 200

[[client]]
name = "cc"
node = "c"
kind = "udp"
to = "d"
size = 300
interval = "17ms"
count = 180
"#;

/// What a wire did to a packet.
#[derive(Clone, Debug, PartialEq)]
enum Fate {
    Lost(&'static str),
    /// How long it took, and what else; of each copy.
    Came(Vec<(Duration, Marks)>),
}

/// The hosts whose flow it is, and by which direction of which wire: what each k-th packet met.
type Fates = BTreeMap<(String, Lane), Vec<Fate>>;

/// What tells whose the fragments of a packet are: its addresses, protocol and identification, and
/// the flow that its first fragment is of.
type Packets = BTreeMap<Vec<u8>, String>;

/// A flow by its addresses, protocol, and ports or identifier, from a frame's bytes; fragments are a
/// flow beside the whole packets of theirs.
fn flow(bytes: &[u8], packets: &mut Packets) -> Option<String> {
    let ip = bytes.get(14..)?;
    if bytes.get(12..14)? != [8, 0] || ip.len() < 28 {
        return None;
    }
    let (upper, error) = match (ip[9], ip[20]) {
        (1, 3 | 11) if ip.len() >= 56 => (&ip[48..], true),
        _ => (&ip[20..], false),
    };
    let protocol = if error { ip[37] } else { ip[9] };
    let lead = match protocol {
        1 => &upper[4..6],
        6 | 17 => &upper[..4],
        _ => &[],
    };
    let whole = format!("{:?}", (&ip[12..20], ip[9], lead, error));
    let place = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff;
    if place == 0 {
        return Some(whole);
    }
    let packet = [&ip[12..20], &ip[9..10], &ip[4..6]].concat();
    if place == 0x2000 {
        packets.insert(packet.clone(), format!("{whole}, in pieces"));
    }
    packets.get(&packet).cloned()
}

fn fates(topology: &Topology, seed: u64) -> Fates {
    let options = Options {
        seed,
        watch: true,
        ..Options::default()
    };
    let mut world = topology.build(&options).unwrap();
    world.run_until(topology.end());
    let mut sent = BTreeMap::new();
    let mut fates = Fates::new();
    let mut packets = Packets::new();
    while let Some(event) = world.poll_trace() {
        let (id, fate) = match event.kind {
            Kind::Send { lane, frame, .. } => {
                if let Some(flow) = flow(&frame.to_bytes(), &mut packets) {
                    let list = fates.entry((flow.clone(), lane)).or_default();
                    sent.insert(event.seq, ((flow, lane), list.len()));
                    list.push(Fate::Came(Vec::new()));
                }
                continue;
            }
            Kind::Arrive {
                frame_id,
                sent,
                marks,
                ..
            } => (frame_id, Ok((event.at - sent, marks))),
            Kind::Drop {
                lane: Some(_),
                frame_id,
                reason,
                ..
            } => (frame_id, Err(reason.name())),
            _ => continue,
        };
        let Some((key, k)) = sent.get(&id) else {
            continue;
        };
        let of = &mut fates.get_mut(key).unwrap()[*k];
        match (fate, of) {
            (Ok(came), Fate::Came(copies)) => copies.push(came),
            (Err(reason), of) => *of = Fate::Lost(reason),
            (Ok(_), Fate::Lost(_)) => {}
        }
    }
    fates
}

/// Of each flow in both, what as many packets as both have met.
fn differing(one: &Fates, two: &Fates) -> Vec<String> {
    let mut differ = Vec::new();
    for (key, ours) in one {
        let theirs = two.get(key).map_or(&[][..], Vec::as_slice);
        if let Some(k) = ours.iter().zip(theirs).position(|(a, b)| a != b) {
            let (a, b) = (&ours[k], &theirs[k]);
            differ.push(format!("{key:?}, packet {k}: {a:?}, {b:?}"));
        }
    }
    differ
}

fn net() -> Topology {
    file::parse("net", NET).unwrap().topology
}

#[test]
fn without_a_client_the_packets_of_others_fare_as_before() {
    for seed in 0..10 {
        let whole = fates(&net(), seed);
        assert!(whole.values().map(Vec::len).sum::<usize>() > 1500);
        let lost = whole
            .values()
            .flatten()
            .filter(|f| matches!(f, Fate::Lost(_)));
        assert!(lost.count() > 100);
        for gone in 0..3 {
            let mut fewer = net();
            fewer.clients.remove(gone);
            let fewer = fates(&fewer, seed);
            assert!(fewer.len() < whole.len());
            assert_eq!(
                differing(&whole, &fewer),
                [""; 0],
                "seed {seed}, client {gone}"
            );
            // Whoever is left sends as much, unless more or less comes to be answered.
            for (key, theirs) in &fewer {
                assert_eq!(whole[key].len(), theirs.len(), "seed {seed}, {key:?}");
            }
        }
    }
}

/// All clients on one host, several of each kind, and two wires between it and theirs. A flow of
/// fragments comes from the host itself, another is cut on the way.
const CROWD: &str = r#"
until = "5s"

[[node]]
name = "a"

[[node]]
name = "r"
kind = "router"

[[node]]
name = "d"
services = ["echo", "sink"]

[[node]]
name = "e"
services = ["echo", "sink"]

[[node]]
name = "h"
kind = "hub"

[[wire]]
between = ["a", "r"]
delay = "3ms"
loss = "10%"
jitter = "2ms"
duplicate = "5%"
mtu = 1000

[[wire]]
between = ["r", "h"]
delay = "2ms"
loss = { to_bad = "5%", to_good = "40%" }
reorder = "10%"
mtu = 600

[[wire]]
between = ["d", "h"]
loss = "3%"
mtu = 600

[[wire]]
between = ["e", "h"]
duplicate = "3%"
mtu = 600
"#;

/// Kind, to whom, and the rest.
const CROWD_CLIENTS: &[(&str, &str, &str)] = &[
    ("ping", "d", "interval = '31ms'\ncount = 60"),
    ("ping", "d", "interval = '29ms'\ncount = 60"),
    ("ping", "e", "interval = '37ms'\ncount = 60"),
    ("udp", "d", "interval = '23ms'\ncount = 80\nsize = 100"),
    ("udp", "d", "interval = '27ms'\ncount = 80\nsize = 100"),
    ("udp", "e", "interval = '19ms'\ncount = 80\nsize = 100"),
    (
        "udp",
        "d",
        "port = 99\ninterval = '43ms'\ncount = 40\nsize = 100",
    ),
    (
        "udp",
        "d",
        "port = 99\ninterval = '41ms'\ncount = 40\nsize = 100",
    ),
    ("tcp", "d", "bytes = '40kB'"),
    ("tcp", "d", "bytes = '40kB'"),
    ("tcp", "e", "bytes = '40kB'"),
    (
        "udp",
        "d",
        "interval = '33ms'\ncount = 50\nsize = 2000\nfragment = true",
    ),
    (
        "udp",
        "d",
        "interval = '35ms'\ncount = 50\nsize = 2000\nfragment = true",
    ),
    (
        "udp",
        "d",
        "interval = '39ms'\ncount = 50\nsize = 900\nfragment = true",
    ),
    (
        "ping",
        "d",
        "interval = '47ms'\ncount = 40\nsize = 2000\nfragment = true",
    ),
    (
        "ping",
        "d",
        "interval = '53ms'\ncount = 40\nsize = 2000\nfragment = true",
    ),
    (
        "ping",
        "e",
        "interval = '51ms'\ncount = 40\nsize = 900\nfragment = true",
    ),
    ("scan", "d", "port = 200\nlast_port = 230"),
    ("traceroute", "e", ""),
];

fn crowd(without: Option<usize>) -> Topology {
    let clients = CROWD_CLIENTS.iter().enumerate();
    let clients = clients.filter(|(i, _)| Some(*i) != without);
    let clients = clients.map(|(i, (kind, to, rest))| {
        let start = 10 * i;
        format!(
            "\n[[client]]\nname = 'c{i}'\nnode = 'a'\nkind = '{kind}'\nto = '{to}'\n\
             start = '{start}ms'\n{rest}\n"
        )
    });
    let text = CROWD.to_owned() + &clients.collect::<String>();
    file::parse("crowd", &text).unwrap().topology
}

#[test]
fn of_many_clients_on_one_host_none_is_missed_by_the_flows_of_others() {
    for seed in 0..2 {
        let whole = fates(&crowd(None), seed);
        let pieces = whole.iter().filter(|(key, _)| key.0.contains("pieces"));
        assert!(pieces.map(|(_, of)| of.len()).sum::<usize>() > 1000);
        for gone in 0..CROWD_CLIENTS.len() {
            let fewer = fates(&crowd(Some(gone)), seed);
            assert!(fewer.len() < whole.len(), "seed {seed}, client {gone}");
            let other: Vec<_> = fewer.keys().filter(|k| !whole.contains_key(k)).collect();
            assert!(other.is_empty(), "seed {seed}, client {gone}: {other:?}");
            assert_eq!(
                differing(&whole, &fewer),
                [""; 0],
                "seed {seed}, client {gone}"
            );
        }
    }
}

#[test]
fn two_pings_between_one_pair_of_hosts_are_two_flows() {
    let mut both = net();
    let mut other = both.clients[1].clone();
    other.name = "cb2".to_owned();
    other.start = Duration::from_millis(6);
    both.clients.push(other);
    for seed in 0..10 {
        let whole = fates(&both, seed);
        for gone in [1, 3] {
            let mut fewer = both.clone();
            fewer.clients.remove(gone);
            let fewer = fates(&fewer, seed);
            assert_eq!(differing(&whole, &fewer), [""; 0], "seed {seed}, {gone}");
            assert!(fewer.len() < whole.len(), "seed {seed}, {gone}");
        }
    }
}

#[test]
fn without_a_fault_line_only_what_it_was_about_fares_otherwise() {
    // Which flow each line is about, by the host's address; the others must not notice.
    let about: [&[&str]; 6] = [
        &["a"],
        &["b"],
        &["a", "b", "c"],
        &["b"],
        &["c"],
        &["a", "b", "c"],
    ];
    let plan = net().check().unwrap();
    let address = |name: &str| {
        let addr = plan
            .addresses(net().index_of(name).unwrap())
            .next()
            .unwrap();
        addr.to_string().replace('.', ", ")
    };
    for seed in 0..10 {
        let whole = fates(&net(), seed);
        for (line, about) in about.iter().enumerate() {
            let mut other = net();
            other.faults.lines.remove(line);
            let differ = differing(&whole, &fates(&other, seed));
            assert!(!differ.is_empty(), "seed {seed}: line {line} does nothing");
            let allowed: Vec<String> = about.iter().map(|name| address(name)).collect();
            for flow in &differ {
                assert!(
                    allowed.iter().any(|a| flow.contains(a)),
                    "seed {seed}, line {line}: {flow}"
                );
            }
        }
    }
}

#[test]
fn a_changed_fault_line_changes_only_what_it_is_about() {
    for seed in 0..10 {
        let whole = fates(&net(), seed);
        let text = NET.replace("drop 20% of udp on a-r", "drop 35% of udp on a-r");
        let other = file::parse("net", &text).unwrap().topology;
        let differ = differing(&whole, &fates(&other, seed));
        assert!(!differ.is_empty());
        // Only between a and d, which is 10.0.1.x.
        assert!(
            differ.iter().all(|flow| flow.contains("10, 0, 1, ")),
            "{differ:?}"
        );
    }
}
