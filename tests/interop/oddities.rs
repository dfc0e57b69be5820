//! Packets that no kernel would send: each is dropped with its own counter, and the host goes on
//! answering.

use crate::common::{Status, loses_nothing, scapy, up, up_sh, up_with_status};
use crate::{Anyone, Test};

pub(crate) const TESTS: &[Test] = &[
    (
        Anyone,
        "oddities_are_dropped_for_the_right_reason",
        oddities_are_dropped_for_a_reason,
    ),
    (
        Anyone,
        "oddities_in_fragments_are_dropped",
        oddities_in_fragments_are_dropped,
    ),
    (
        Anyone,
        "hping3_gets_truthful_answers",
        hping3_gets_truthful_answers,
    ),
    (
        Anyone,
        "hping3_oddities_leave_the_host_well",
        hping3_oddities_leave_the_host_well,
    ),
];

/// What scapy sends, and the reason that counts it. `ip` is a packet for the host, `e` a frame.
const ODDITIES: &[(&str, &str)] = &[
    ("e / ip(chksum=0xbeef) / ICMP()", "ipv4-bad-checksum"),
    ("e / ip(ihl=3) / ICMP()", "ipv4-bad-header-length"),
    ("e / ip(ihl=15) / ICMP()", "ipv4-bad-header-length"),
    ("e / ip(len=2000) / ICMP()", "ipv4-bad-total-length"),
    ("e / ip(len=10) / ICMP()", "ipv4-bad-total-length"),
    ("e / ip(version=5) / ICMP()", "ipv4-bad-version"),
    (
        "Ether(src=me, dst=host, type=0x800) / (b'E' + bytes(5))",
        "ipv4-truncated",
    ),
    (
        "e / ip(options=IPOption_LSRR(routers=['10.7.0.9'])) / ICMP()",
        "ipv4-source-route",
    ),
    (
        "e / ip(options=IPOption_SSRR(routers=['10.7.0.9'])) / ICMP()",
        "ipv4-source-route",
    ),
    (
        "e / ip(options=IPOption(bytes([0x07, 1, 4, 0]))) / ICMP()",
        "ipv4-bad-option",
    ),
    ("e / ip(src='127.0.0.1') / ICMP()", "ipv4-martian-source"),
    ("e / ip(src='224.0.0.5') / ICMP()", "ipv4-martian-source"),
    ("e / ip(src='240.0.0.1') / ICMP()", "ipv4-martian-source"),
    (
        "e / ip(src='255.255.255.255') / ICMP()",
        "ipv4-martian-source",
    ),
    (
        "e / ip(dst='127.0.0.1') / ICMP()",
        "ipv4-martian-destination",
    ),
    ("e / ip(src='10.7.0.2') / ICMP()", "ipv4-source-is-ours"),
    ("e / ip(dst='10.99.0.1') / ICMP()", "ipv4-not-for-us"),
    ("e / ip(proto=200) / b'what is this'", "protocol-unknown"),
    ("e / ip() / ICMP(chksum=1)", "icmp-bad-checksum"),
    ("e / ip(proto=1) / b'shor'", "icmp-malformed"),
    ("e / ip() / ICMP(type=250)", "icmp-unknown-type"),
    (
        "e / ip() / UDP(dport=7, chksum=0x1234) / b'hello'",
        "udp-bad-checksum",
    ),
    (
        "e / ip() / UDP(dport=7, len=999) / b'hello'",
        "udp-malformed",
    ),
    ("e / ip() / UDP(dport=4444) / b'hello'", "udp-no-socket"),
    (
        "e / ip() / TCP(dport=80, chksum=0x1234)",
        "tcp-bad-checksum",
    ),
    ("e / ip() / TCP(dport=81, flags='S')", "tcp-no-socket"),
    (
        "Ether(src=me, dst=host, type=0x806) / bytes(10)",
        "arp-malformed",
    ),
    (
        "Ether(src=me, dst=host) / ARP(hwsrc='ff:ff:ff:ff:ff:ff', psrc='10.7.0.8', pdst='10.7.0.2')",
        "arp-bad-sender",
    ),
    (
        "Ether(src=me, dst=host, type=0x88b5) / b'experiment'",
        "ethertype-unknown",
    ),
    (
        "Ether(src=me, dst='02:aa:aa:aa:aa:aa') / ip() / ICMP()",
        "link-not-for-us",
    ),
    (
        "Ether(src='01:00:5e:00:00:01', dst=host) / ip() / ICMP()",
        "link-bad-source",
    ),
    (
        "Ether(src=me, dst=host) / Dot1Q(vlan=77) / ip() / ICMP()",
        "vlan-unknown",
    ),
];

/// What each script starts with: who we are, who the host is.
const BEFORE: &str = "
got = srp1(Ether(dst='ff:ff:ff:ff:ff:ff') / ARP(pdst='10.7.0.2'), iface='tap0', timeout=5)
host, me = got[ARP].hwsrc, get_if_hwaddr('tap0')
e = Ether(src=me, dst=host)
def ip(**other):
    return IP(**{'src': '10.7.0.1', 'dst': '10.7.0.2', **other})
def send(*frames):
    sendp(list(frames), iface='tap0')
";

/// How often each is sent: a reason that counts each of them once counts this much.
const TIMES: u64 = 3;

fn oddities_are_dropped_for_a_reason() {
    let sends: String = ODDITIES
        .iter()
        .map(|(frame, _)| format!("send({frame})\n"))
        .collect();
    let script = scapy(&format!(
        "{BEFORE}for _ in range({TIMES}):\n{}",
        indent(&sends)
    ));
    let (ran, status) = up_with_status(&format!("{script}\nping -c 3 -i 0.01 -w 20 10.7.0.2"));
    loses_nothing(ran, 3);
    let mut wrong = Vec::new();
    for (frame, reason) in ODDITIES {
        let want = TIMES * ODDITIES.iter().filter(|(_, other)| other == reason).count() as u64;
        let got = status.drops(reason);
        // Others use the wire too: the kernel's own multicast, nmap's leftovers.
        let may_be_more = ["link-not-for-us", "ethertype-unknown"].contains(reason);
        if got < want || (got > want && !may_be_more) {
            wrong.push(format!("{reason}: {got}, not {want}: {frame}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n{status}", wrong.join("\n"));
    status.adds_up("the host");
}

fn indent(lines: &str) -> String {
    lines.lines().map(|line| format!("    {line}\n")).collect()
}

/// Overlaps, teardrops, datagrams that would be too long, and the fragments that hide a header.
fn oddities_in_fragments_are_dropped() {
    let script = "
data = bytes(ICMP(id=9, seq=9) / (b'A' * 64))
def part(ident, at, payload, more, proto=1):
    return e / ip(id=ident, proto=proto, frag=at // 8, flags='MF' if more else 0) / payload
# Two that overlap, in either order; the second may not be put into the first's place.
send(part(1, 0, data[:48], True), part(1, 40, data[40:], False))
send(part(2, 40, data[40:], False), part(2, 0, data[:48], True))
# Teardrop: the second lies wholly within the first.
send(part(3, 0, bytes(36 // 8 * 8), True), part(3, 24, bytes(4), False))
# Beyond 65,535 bytes; and one that is no multiple of eight though more follow.
send(part(4, 65528, bytes(100), False))
send(part(5, 0, bytes(13), True))
# A TCP header that does not fit into the first fragment, and one that starts in the second.
send(part(6, 0, bytes(TCP(dport=80))[:8], True, proto=6))
send(part(7, 8, bytes(TCP(dport=80))[8:], False, proto=6))
";
    let sniff = "
sniffer = AsyncSniffer(iface='tap0', filter='icmp[0] = 0 and icmp[4:2] = 9')
sniffer.start()
import time; time.sleep(0.3)
";
    let end = "
time.sleep(0.3)
assert len(sniffer.stop()) == 0, 'a datagram with overlapping fragments was answered'
";
    let script = scapy(&format!("{BEFORE}{sniff}{script}{end}"));
    let (ran, status) = up_with_status(&format!(
        "{script}\nping -c 3 -s 4000 -i 0.01 -w 20 10.7.0.2"
    ));
    loses_nothing(ran, 3);
    let at_least = |reason: &str, want: u64, status: &Status| {
        assert!(
            status.drops(reason) >= want,
            "{reason}: fewer than {want}\n{status}"
        );
    };
    at_least("fragment-overlap", 6, &status);
    at_least("fragment-malformed", 2, &status);
    at_least("fragment-tiny", 2, &status);
    status.adds_up("the host");
}

/// One packet a second: asked for microseconds, hping3 ends one interval after its last packet, and
/// a machine that stalls for that long would count as a loss.
fn hping3_gets_truthful_answers() {
    let answers = |ran: crate::common::Ran, word: &str| {
        assert_eq!(
            ran.out.lines().filter(|line| line.contains(word)).count(),
            3,
            "{ran}"
        );
    };
    answers(up("hping3 -1 -c 3 -i 1 10.7.0.2").exits(0), "icmp_seq=");
    answers(
        up("hping3 -S -p 81 -c 3 -i 1 10.7.0.2").exits(0),
        "flags=RA",
    );
    answers(
        up("hping3 -A -p 81 -c 3 -i 1 10.7.0.2").exits(0),
        "flags=R ",
    );
    let ran = up("hping3 -2 -p 40000 -c 3 -i 1 10.7.0.2");
    assert_eq!(ran.lines_with("Port Unreachable").count(), 3, "{ran}");
    answers(
        up("hping3 -2 -p 7 -d 20 -c 3 -i 1 10.7.0.2").exits(0),
        "ip=10.7.0.2",
    );
    // Timestamps (RFC 792) are answered with the host's own clock.
    answers(
        up("hping3 -1 --icmp-ts -c 3 -i 1 10.7.0.2").exits(0),
        "icmp_seq=",
    );
}

/// The switches of hping3 that make packets odd, one after the other.
fn hping3_oddities_leave_the_host_well() {
    let oddities = [
        "-2 -p 7 --badcksum",
        "-S -p 80 --badcksum",
        "-1 --icmp-ipver 7",
        "-1 -C 3 -K 0",
        "-0 -H 200",
        "-0 -H 1 -x",
        "-S -p 80 -f",
        "-S -p 80 -O 3",
        "-SFRPUXY -p 80",
        "-2 -p 7 -g 800",
        "-1 --ttl 0",
        "-1 -a 127.0.0.1",
        "-1 -a 10.7.0.2",
        "-1 --lsrr 10.7.0.9",
    ];
    let mut script = String::new();
    for odd in oddities {
        script += &format!("timeout 2 hping3 -q -c 5 -i u1000 {odd} 10.7.0.2 &\n");
    }
    let ran = up_sh(&format!("{script}wait\nping -c 3 -i 0.01 -w 20 10.7.0.2"));
    loses_nothing(ran, 3);
}
