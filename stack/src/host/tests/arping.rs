//! A user asks ARP itself.

use super::*;
use crate::wire::arp::{Operation, Packet};
use std::vec::Vec;

fn replies(host: &mut Host) -> Vec<(IpAddr, MacAddr, bool)> {
    core::iter::from_fn(|| host.poll_event())
        .filter_map(|event| match event {
            Event::ArpReply {
                interface: 0,
                addr,
                mac,
                broadcast,
            } => Some((addr, mac, broadcast)),
            _ => None,
        })
        .collect()
}

fn packets(net: &Net, to: usize) -> Vec<Packet> {
    net.log
        .iter()
        .filter(|(at, ..)| *at == to)
        .map(|(_, frame, _)| Packet::parse(&frame.to_bytes()[14..]).unwrap().0)
        .collect()
}

#[test]
fn a_request_is_answered_each_time_and_told() {
    let mut net = Net::pair();
    for _ in 0..3 {
        net.hosts[0].arp_ask(0, B, false).unwrap();
        net.settle();
        assert_eq!(replies(&mut net.hosts[0]), [(v4(B), mac(2), false)]);
    }
    let asked = packets(&net, 1);
    assert!(asked.iter().all(|p| p.sender_ip == A && p.target_ip == B));
    assert_eq!(asked.len(), 3);
    net.hosts[0].arp_ask(0, B, false).unwrap();
    net.hosts[0].arp_forget(0, B);
    net.settle();
    assert_eq!(replies(&mut net.hosts[0]), []);
}

#[test]
fn a_probe_needs_no_address_and_leaves_no_trace() {
    let mut asker = Host::new(Config::default(), Rng::from_seed(3));
    asker.add_interface(
        Instant::ZERO,
        InterfaceConfig::ethernet("eth0", Port(0), mac(3)),
    );
    let mut net = Net::new(
        std::vec![asker, host(2, "10.7.0.2/24")],
        std::vec![[(0, 0), (1, 0)]],
    );
    assert_eq!(net.hosts[0].arp_ask(0, B, false), Err(AskError::NoAddress));
    net.hosts[0].arp_ask(0, B, true).unwrap();
    net.hosts[0].arp_ask(0, A, true).unwrap();
    net.settle();
    assert_eq!(replies(&mut net.hosts[0]), [(v4(B), mac(2), false)]);
    assert!(packets(&net, 1).iter().all(Packet::is_probe));
    assert_eq!(net.hosts[1].interfaces()[0].neighbors().len(), 0);
}

#[test]
fn a_rival_probe_is_told_to_who_probes_only() {
    let rival = Packet {
        operation: Operation::REQUEST,
        sender_mac: mac(9),
        sender_ip: Ipv4Addr::UNSPECIFIED,
        target_mac: MacAddr::ZERO,
        target_ip: B,
    };
    let mut asked = asked::Asked::default();
    for (probe, from, want) in [
        (false, mac(1), None),
        (true, mac(1), Some(B)),
        (true, mac(9), None),
    ] {
        let mut host = host(1, "10.7.0.1/24");
        host.arp_ask(0, B, probe).unwrap();
        core::mem::swap(&mut asked, &mut host.interfaces[0].asked);
        assert_eq!(asked.hears(&rival, from), want, "{probe} {from}");
    }
}

#[test]
fn an_announcement_says_what_it_is_told() {
    let mut net = Net::pair();
    let other = Ipv4Addr::new(10, 7, 0, 9);
    net.hosts[0].arp_announce(0, other).unwrap();
    net.settle();
    let said = packets(&net, 1);
    assert!(said[0].is_announcement() && said[0].sender_ip == other);
    assert_eq!(said.len(), 1);
}

#[test]
fn what_waits_is_bounded() {
    let mut host = host(1, "10.7.0.1/24");
    let asked = (0..=255).map(|i| host.arp_ask(0, Ipv4Addr::new(10, 7, 0, i), false));
    assert_eq!(asked.filter(Result::is_ok).count(), 64);
    assert_eq!(host.arp_announce(0, A), Err(AskError::Full));
    assert_eq!(host.arp_ask(7, B, false), Err(AskError::NoLink));
}
