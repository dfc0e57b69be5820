//! Bytes over TCP: whole at the far end whatever the wire does, and told truly where they are not.

use crate::lab::build::Options;
use crate::lab::file;
use crate::lab::harness;
use crate::lab::topology::Topology;
use stack::time::{Duration, Instant};

/// A wire with everything bad, and a sink behind it. A burst may take ten retransmissions in a row,
/// and the last of those waits for two minutes.
const BAD: &str = r#"
until = "3000s"
asserts = [
  "t.acked == 300000", "t.retransmissions > 0",
  "b.services.sink.whole == 1", "b.services.sink.wrong == 0",
  "b.services.sink.bytes == 300000", "b.services.connections == 0",
  "e.acked == 50000", "e.back == 50024", "conserved",
]
faults = """
at 1100ms down r-b for 500ms
between 2s and 3s corrupt 5% on r-b
"""
[[node]]
name = "a"
[[node]]
name = "r"
kind = "router"
[[node]]
name = "b"
services = ["sink", "echo"]
[[wire]]
between = ["a", "r"]
delay = "3ms"
jitter = "2ms"
[[wire]]
between = ["r", "b"]
delay = "10ms"
rate = "5mbit"
loss = { to_bad = "1%", to_good = "30%" }
duplicate = "2%"
reorder = "2%"
mtu = 1400
queue = { kind = "drop-tail", packets = 30 }
[[client]]
name = "t"
node = "a"
kind = "tcp"
to = "b"
bytes = "300kB"
[[client]]
name = "e"
node = "a"
kind = "tcp"
to = "b"
port = 7
bytes = "50kB"
congestion = "bbr"
"#;

fn topology(text: &str) -> Topology {
    file::parse("streams.toml", text).unwrap().topology
}

#[test]
fn bytes_in_are_bytes_out() {
    harness::holds("streams", &topology(BAD), 0..20);
}

#[test]
fn a_fork_in_mid_transfer_goes_on_as_the_unbroken_run() {
    let options = Options {
        seed: 5,
        digest: true,
        ..Options::default()
    };
    let mut whole = topology(BAD).build(&options).unwrap();
    let mut half = whole.clone();
    let at = |ms| Instant::ZERO + Duration::from_millis(ms);
    whole.run_until(at(20_000));
    half.run_until(at(700));
    let mut fork = half.clone();
    half.run_until(at(20_000));
    fork.run_until(at(20_000));
    assert_eq!(whole.digest(), half.digest());
    assert_eq!(whole.digest(), fork.digest());
    assert_eq!(
        whole.measure("t", "checksum"),
        fork.measure("t", "checksum")
    );
}

#[test]
fn what_comes_to_nothing_is_told() {
    let net = |client: &str, fault: &str| {
        topology(&format!(
            "until = '2000s'\nfaults = '''{fault}'''\n[[node]]\nname = 'a'\n[[node]]\nname = 'b'\n\
             services = ['sink']\n[[wire]]\nbetween = ['a', 'b']\ndelay = '1ms'\nrate = '1mbit'\n\
             [[client]]\nname = 't'\nnode = 'a'\nkind = 'tcp'\nto = 'b'\n{client}"
        ))
    };
    for (client, fault, want) in [
        ("port = 99", "", "refused"),
        ("bytes = '10kB'", "", "finished"),
        ("start = '1s'", "at 0s drop 100% of tcp on a-b", "timeout"),
        // Its neighbour does not answer ARP either: that is why it is silent.
        ("stop = '10s'", "at 2s crash b", "unreachable"),
        ("stop = '10s'", "at 2s crash b\nat 3s restart b", "reset"),
    ] {
        let mut world = net(client, fault).build(&Options {
            watch: true,
            ..Options::default()
        });
        let world = world.as_mut().unwrap();
        world.run_until(Instant::ZERO + Duration::from_secs(2000));
        let mut told = Vec::new();
        while let Some(event) = world.poll_trace() {
            let text = format!("{:?}", event.kind);
            told.extend(text.starts_with("Note").then_some(text));
        }
        let found = told.iter().any(|t| t.contains(&format!("\"{want}\"")));
        assert!(found, "{client} {fault}: no {want} in {told:?}");
    }
}

/// A wire of 100 kbit/s that is cut after two seconds.
#[test]
fn what_was_acknowledged_sent_and_waits_is_told_apart_after_the_end() {
    let topology = topology(
        "until = '200s'\nfaults = 'at 2s down a-b'\n[[node]]\nname = 'a'\n\
         settings = { tcp_retries = 3 }\n[[node]]\nname = 'b'\nservices = ['discard']\n\
         [[wire]]\nbetween = ['a', 'b']\ndelay = '500ms'\nrate = '100kbit'\n\
         [[client]]\nname = 't'\nnode = 'a'\nkind = 'tcp'\nto = 'b'\nport = 9\nbytes = 500000",
    );
    let mut world = topology.build(&Options::default()).unwrap();
    world.run_until(Instant::ZERO + Duration::from_secs(200));
    let [acked, sent, waits] = ["acked", "sent", "waiting"].map(|m| world.measure("t", m).unwrap());
    // 25 kB a second at most, for one.
    assert!(acked <= 30_000 && sent > acked, "{acked} of {sent}");
    assert!(sent <= 100_000 && waits > 0, "{sent}, {waits}");
    assert_eq!(world.measure("t", "finished"), Some(0));
}

#[test]
fn a_user_timeout_ends_what_a_closed_window_keeps() {
    let topology = topology(
        "until = '1h'\nfaults = 'at 10s down a-b'\n[[node]]\nname = 'a'\n\
         settings = { tcp_user_timeout = '3s' }\n[[node]]\nname = 'b'\nservices = ['discard']\n\
         settings = { read_bytes = 1, read_every = '3000s', tcp_receive_buffer = 20000 }\n\
         [[wire]]\nbetween = ['a', 'b']\ndelay = '5ms'\n\
         [[client]]\nname = 't'\nnode = 'a'\nkind = 'tcp'\nto = 'b'\nport = 9\nbytes = 500000",
    );
    let mut world = topology.build(&Options::default()).unwrap();
    world.run_until(Instant::ZERO + Duration::from_secs(3600));
    let time = world.measure("t", "time").unwrap();
    assert!((3_000_000_000..4_000_000_000).contains(&time), "{time}");
}
