//! Captures made here, and those of the shared folder where there is one.

use super::*;
use clap::Parser as _;
use stack::frame::Payload;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const OURS: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);

/// What the line says about a capture; none of its packets may get lost.
fn replay(line: &str, capture: &[u8]) -> String {
    let words = ["replay", "x.pcap"]
        .into_iter()
        .chain(line.split_whitespace());
    let args = Line::try_parse_from(words).unwrap().args;
    let mut replay = Replay::new(&args, "x.pcap", capture).unwrap();
    let mut out = Vec::new();
    replay.play(capture, &mut out, None).unwrap();
    assert!(replay.host.stats().is_conserved());
    assert_eq!(replay.fed + replay.not_taken, replay.packets);
    let counted = replay.counted();
    let lists = counted.delivered.iter().chain(&counted.dropped);
    let all = lists.map(|(_, n)| n).sum::<u64>() + counted.forwarded + counted.held;
    assert_eq!(all, replay.fed, "of what was fed, and of nothing else");
    String::from_utf8(out).unwrap()
}

/// Records of a link type, a second apart.
fn capture(link: LinkType, records: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = pcap::Writer::new(&pcap::Section::default());
    let interface = writer.interface("x", link, 65_535);
    for (t, data) in (0u64..).zip(records) {
        writer.packet(&pcap::Packet {
            interface,
            timestamp: t * 1_000_000_000,
            data,
            ..pcap::Packet::default()
        });
    }
    writer.take()
}

/// Echo requests of the peer's, as IP packets; of more than an MTU they come in fragments.
fn echo_requests(size: usize, n: u16) -> Vec<Vec<u8>> {
    let mut peer = Host::new(host::Config::default(), Rng::from_seed(9));
    let mut ip = InterfaceConfig::ip("ip0", Port(0));
    ip.addresses = vec!["10.7.0.9/24".parse().unwrap()];
    peer.add_interface(Instant::ZERO, ip);
    let (socket, _) = peer.echo_open(7).unwrap();
    let data = Payload::from(Bytes::from(vec![1; size]));
    for seq in 1..=n {
        peer.echo_send(Instant::ZERO, socket, OURS, seq, data.clone(), &[])
            .unwrap();
    }
    let sent = std::iter::from_fn(|| peer.poll_transmit(Instant::ZERO, Port(0)));
    sent.map(|f| f.to_bytes().to_vec()).collect()
}

fn ethernet(to: MacAddr, packet: &[u8]) -> Vec<u8> {
    let mut frame = Frame::copy_from(packet);
    stack::link::ethernet::encapsulate(&mut frame, to, PEER_MAC, None, EtherType::IPV4);
    frame.to_bytes().to_vec()
}

#[test]
fn each_packet_and_what_answers_it() {
    let requests = echo_requests(20, 2);
    let frames = [
        ethernet(OUR_MAC, &requests[0]),
        ethernet(MacAddr([2, 0, 0, 0, 0, 5]), &requests[1]),
        ethernet(OUR_MAC, &requests[1]),
    ];
    let out = replay("", &capture(LinkType::ETHERNET, &frames));
    let announced = "on its own: 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff  ARP  \
                     who has 10.7.0.1? tell 10.7.0.1 (60 B)";
    let want = format!(
        "x.pcap: the host is 10.7.0.1 at 02:00:00:00:00:01
      0.000000 {announced}
    1 0.000000  10.7.0.9 > 10.7.0.1  ICMP  echo request, id 7, seq 1, 20 bytes (62 B): delivered to icmp
      -> 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff  ARP  who has 10.7.0.9? tell 10.7.0.1 (60 B)
      -> 10.7.0.1 > 10.7.0.9  ICMP  echo reply, id 7, seq 1, 20 bytes (62 B)
    2 1.000000  10.7.0.9 > 10.7.0.1  ICMP  echo request, id 7, seq 2, 20 bytes (62 B): dropped: link-not-for-us
      2.000000 {announced}
    3 2.000000  10.7.0.9 > 10.7.0.1  ICMP  echo request, id 7, seq 2, 20 bytes (62 B): delivered to icmp
      -> 10.7.0.1 > 10.7.0.9  ICMP  echo reply, id 7, seq 2, 20 bytes (62 B)
x.pcap: 3 packets = 2 delivered + 0 forwarded + 0 held + 1 dropped + 0 not taken; 3 answers
  delivered: icmp 2
  dropped: link-not-for-us 1
"
    );
    assert_eq!(out, want);
}

#[test]
fn packets_without_a_link_and_those_that_no_interface_takes() {
    let requests = echo_requests(2000, 1);
    let out = replay("", &capture(LinkType::RAW, &requests));
    assert!(out.contains("[2 fragments together]"), "{out}");
    assert!(out.contains("(1500 B): held for reassembly\n"), "{out}");
    assert!(out.contains("2 packets = 2 delivered + 0"), "{out}");
    let loopback: Vec<Vec<u8>> = requests
        .iter()
        .map(|r| [&[2, 0, 0, 0], &r[..]].concat())
        .collect();
    let again = replay("--quiet", &capture(LinkType::NULL, &loopback));
    assert!(again.contains("2 packets = 2 delivered + 0"), "{again}");
    let out = replay("", &capture(LinkType::FRAME_RELAY, &requests));
    assert!(out.contains("Frame Relay frame: "), "{out}");
    assert!(
        out.contains("+ 0 dropped + 2 not taken; 0 answers"),
        "{out}"
    );
}

#[test]
fn held_fragments_and_other_addresses() {
    let requests = echo_requests(2000, 1);
    let out = replay("--quiet", &capture(LinkType::RAW, &requests[..1]));
    assert!(out.contains("0 forwarded + 1 held + 0 dropped"), "{out}");
    let out = replay("--quiet --as 10.9.0.1", &capture(LinkType::RAW, &requests));
    assert!(
        out.contains("the host is 10.9.0.1 at") && out.contains("ipv4-not-for-us 2"),
        "{out}"
    );
}

#[test]
fn json_lines_say_the_same() {
    let frames = [ethernet(OUR_MAC, &echo_requests(20, 1)[0])];
    let out = replay("--json", &capture(LinkType::ETHERNET, &frames));
    let lines = out.lines().map(serde_json::from_str::<serde_json::Value>);
    let lines = lines.collect::<Result<Vec<_>, _>>().unwrap();
    let packet = lines.iter().find(|l| l["event"] == "packet").unwrap();
    assert_eq!(
        (&packet["fate"], &packet["to"]),
        (&"delivered".into(), &"icmp".into())
    );
    assert_eq!(
        packet["answers"].as_array().map(Vec::len),
        Some(2),
        "{packet}"
    );
    let summary = lines.last().unwrap();
    assert_eq!(
        (&summary["packets"], &summary["delivered"]["icmp"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn garbage_is_accounted_for() {
    let mut rng = Rng::from_seed(4);
    let good = ethernet(OUR_MAC, &echo_requests(64, 1)[0]);
    for link in [0, 1, 12, 101, 107, 108, 113, 228, 229, 276, 999] {
        let records: Vec<Vec<u8>> = (0..200)
            .map(|i| {
                let mut bytes = good.clone();
                let at = usize::try_from(rng.below(bytes.len() as u64)).unwrap();
                bytes[at] = rng.next_u64().to_be_bytes()[0];
                bytes.truncate(at + i);
                bytes
            })
            .collect();
        let file = capture(LinkType(link), &records);
        replay("--quiet", &file);
        let out = replay("", &file[..file.len() - 10]);
        assert!(out.contains("the file is broken"), "{out}");
    }
}

#[test]
fn shared_captures_are_accounted_for() {
    let shared =
        std::env::var_os("TAPLINE_SHARED").map_or_else(|| "../shared".into(), PathBuf::from);
    let Ok(entries) = fs::read_dir(shared.join("pcaps")) else {
        eprintln!("{} has no captures: nothing replayed", shared.display());
        return;
    };
    for entry in entries
        .flatten()
        .filter(|e| e.path().extension().is_some_and(|x| x == "pcap"))
    {
        let bytes = fs::read(entry.path()).unwrap();
        for line in ["", "--forward --as 10.0.0.1", "--json --udp 53"] {
            let out = replay(line, &bytes);
            assert!(out.lines().count() >= 2, "{}", entry.path().display());
        }
    }
}

#[test]
fn an_address_without_a_prefix_has_24_bits() {
    assert_eq!(address("10.1.2.3"), Ok("10.1.2.3/24".parse().unwrap()));
    assert_eq!(address("10.1.2.3/8"), Ok("10.1.2.3/8".parse().unwrap()));
    assert!(address("fd07::1").is_err() && address("x").is_err());
}
