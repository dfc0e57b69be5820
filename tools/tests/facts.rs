//! `facts` against what an independent decoder said of the same captures, key by key.
#![expect(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::process::Command;

type Frame = Map<String, Value>;

/// The layers that are dissected; others are applications, or come with their issues.
const LAYERS: &[&str] = &[
    "eth",
    "ethertype",
    "vlan",
    "ieee8021ad",
    "llc",
    "null",
    "raw",
    "sll",
    "fr",
    "mpls",
    "pppoes",
    "ppp",
    "arp",
    "ip",
    "ipv6",
    "ipv6.hopopts",
    "ipv6.dstopts",
    "ipv6.routing",
    "ipv6.fraghdr",
    "ah",
    "esp",
    "mipv6",
    "hip",
    "shim6",
    "gre",
    "vxlan",
    "geneve",
    "teredo",
    "gtp",
    "etherip",
    "ieee8021ah",
    "vntag",
    "cmd",
    "cfp",
    "trill",
    "erspan",
    "ayiya",
    "pwethheuristic",
    "pwethcw",
    "pwethnocw",
    "l2tp",
    "icmp",
    "icmpv6",
    "igmp",
    "udp",
    "udplite",
    "tcp",
    "data",
];

/// The keys that `facts` states; `proto` and `malformed` are compared apart.
const KEYS: &[&str] = &[
    "n",
    "len",
    "cap",
    "eth_src",
    "eth_dst",
    "vlan",
    "pcp",
    "arp_op",
    "arp_spa",
    "arp_tpa",
    "ip_src",
    "ip_dst",
    "ip_proto",
    "ip_len",
    "ip_id",
    "df",
    "mf",
    "frag_off",
    "ttl",
    "ip_ck",
    "ip_reass_len",
    "ip_overlap",
    "ip_overlap_conflict",
    "ip_toolong",
    "ip6_src",
    "ip6_dst",
    "ip6_plen",
    "ip6_nxt",
    "hlim",
    "frag6_off",
    "frag6_more",
    "frag6_id",
    "ip6_reass_len",
    "icmp_type",
    "icmp_code",
    "icmp_ck",
    "icmp6_type",
    "icmp6_code",
    "icmp6_ck",
    "igmp_type",
    "udp_sport",
    "udp_dport",
    "udp_len",
    "udp_ck",
    "tcp_sport",
    "tcp_dport",
    "tcp_stream",
    "seq",
    "ack",
    "tcp_flags",
    "win",
    "tcp_len",
    "tcp_ck",
    "urp",
    "mss",
    "wscale",
    "sack_ok",
    "sack_le",
    "sack_re",
    "tsval",
    "tsecr",
];

fn facts(capture: &Path) -> Vec<Frame> {
    let output = Command::new(env!("CARGO_BIN_EXE_facts"))
        .arg(capture)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}: {output:?}", capture.display());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The chain of layers up to the first that is not ours.
fn chain(frame: &Frame) -> (Vec<&str>, bool) {
    let proto = frame.get("proto").and_then(Value::as_str).unwrap_or("");
    let all: Vec<_> = proto.split(':').filter(|p| *p != "data").collect();
    let known = all.iter().take_while(|p| LAYERS.contains(p)).count();
    (all[..known].to_vec(), known < all.len())
}

fn compare(capture: &Path, expected: &Path, faults: &mut Vec<String>) -> usize {
    let expected: Value = serde_json::from_slice(&std::fs::read(expected).unwrap()).unwrap();
    let expected = expected["frames"].as_array().unwrap();
    let ours = facts(capture);
    assert!(ours.len() >= expected.len(), "{}", capture.display());
    let name = capture.file_name().unwrap().to_string_lossy();
    for (theirs, ours) in expected.iter().zip(&ours) {
        let theirs = theirs.as_object().unwrap();
        let mut differ = |key: &str| {
            let (n, a, b) = (&theirs["n"], theirs.get(key), ours.get(key));
            faults.push(format!("{name} {n} {key}: expected {a:?}, got {b:?}"));
        };
        for key in KEYS {
            if theirs.get(*key) != ours.get(*key) {
                differ(key);
            }
        }
        let (their_chain, application) = chain(theirs);
        if their_chain != chain(ours).0 {
            differ("proto");
        }
        if !application && theirs.get("malformed") != ours.get("malformed") {
            differ("malformed");
        }
    }
    expected.len()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Compares each capture of `folder` that has expectations beside it.
fn folder(folder: &Path, expected_name: impl Fn(&str) -> String) -> usize {
    let mut faults = Vec::new();
    let mut frames = 0;
    let mut captures: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "pcap" || e == "pcapng"))
        .collect();
    captures.sort();
    for capture in captures {
        let name = expected_name(capture.file_name().unwrap().to_str().unwrap());
        let expected = folder.join("expected").join(name);
        assert!(expected.exists(), "{} is missing", expected.display());
        frames += compare(&capture, &expected, &mut faults);
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    frames
}

#[test]
fn our_own_captures() {
    let stem = |name: &str| format!("{}.json", name.rsplit_once('.').unwrap().0);
    let frames = folder(&root().join("pcaps"), stem);
    assert!(frames > 1000, "{frames}");
}

#[test]
fn the_shared_captures() {
    let shared = std::env::var_os("TAPLINE_SHARED")
        .map_or_else(|| root().join("../shared"), PathBuf::from)
        .join("pcaps");
    if !shared.join("expected").is_dir() {
        eprintln!(
            "{} is not there: the shared captures were not compared",
            shared.display()
        );
        return;
    }
    let frames = folder(&shared, |name| format!("{name}.json"));
    assert!(frames > 900, "{frames}");
}

#[test]
fn a_file_that_is_no_capture_is_said_to_be_none() {
    let none = facts(&root().join("pcaps/README.md"));
    assert!(none.is_empty());
}

#[test]
fn a_capture_cut_anywhere_is_no_failure() {
    let whole = std::fs::read(root().join("pcaps/udp.pcap")).unwrap();
    let path = std::env::temp_dir().join(format!("tapline-facts-{}.pcap", std::process::id()));
    for len in [0, 3, 23, 24, 50, whole.len() - 1] {
        std::fs::write(&path, &whole[..len]).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_facts"))
            .arg(&path)
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{len}: {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let within = said.contains("0 packets: file ends within its header");
        assert_eq!(within, len < 24, "{len}: {said}");
    }
    std::fs::remove_file(&path).unwrap();
}
