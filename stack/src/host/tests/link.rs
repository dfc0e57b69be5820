use super::*;
use crate::frame::Payload;
use crate::reason::DropReason;
use crate::wire::{EtherType, Writer, arp, ethernet};
use bytes::Bytes;
use core::net::SocketAddr;

fn probing(last: u8, cidr: &str) -> Host {
    let mut host = Host::new(Config::default(), Rng::from_seed(u64::from(last)));
    let mut eth =
        InterfaceConfig::ethernet("eth0", Port(0), mac(last)).with_address(cidr.parse().unwrap());
    eth.probe_addresses = true;
    host.add_interface(Instant::ZERO, eth);
    host
}

#[test]
fn an_address_is_probed_for_before_it_is_used() {
    let mut net = Net::new(
        std::vec![probing(1, "10.7.0.1/24"), host(2, "10.7.0.2/24")],
        std::vec![[(0, 0), (1, 0)]],
    );
    assert!(
        net.hosts[0]
            .udp_bind("10.7.0.1:1".parse().unwrap())
            .is_err(),
        "not ours yet"
    );
    net.run(Duration::from_secs(10));
    let usable = Event::AddressUsable {
        interface: 0,
        addr: v4(A),
    };
    assert_eq!(net.hosts[0].poll_event(), Some(usable));
    assert!(net.hosts[0].udp_bind("10.7.0.1:1".parse().unwrap()).is_ok());
}

#[test]
fn a_duplicate_is_found_and_not_used() {
    let mut net = Net::new(
        std::vec![probing(1, "10.7.0.2/24"), host(2, "10.7.0.2/24")],
        std::vec![[(0, 0), (1, 0)]],
    );
    net.run(Duration::from_secs(10));
    let conflict = Event::AddressConflict {
        interface: 0,
        addr: v4(B),
        mac: mac(2),
        lost: true,
    };
    assert_eq!(net.hosts[0].poll_event(), Some(conflict));
    assert!(!net.hosts[0].interfaces()[0].addresses()[0].usable);
    assert!(
        net.hosts[1].interfaces()[0].addresses()[0].usable,
        "the holder keeps it"
    );
    // Nor is it used because the link went down and up: it is probed for again.
    for again in 0..2 {
        let now = net.now;
        net.hosts[0].set_up(now, 0, false);
        net.hosts[0].set_up(now, 0, true);
        let usable = |net: &Net| net.hosts[0].interfaces()[0].addresses()[0].usable;
        assert!(!usable(&net), "{again}");
        if again == 1 {
            net.hosts[1].remove_address(now, 0, v4(B));
        }
        net.run(Duration::from_secs(10));
        assert_eq!(usable(&net), again == 1, "its holder has gone");
    }
}

#[test]
fn vlans_of_one_port_do_not_mix() {
    let hosts = [1, 2].map(|last: u8| {
        let mut host = Host::new(Config::default(), Rng::from_seed(u64::from(last)));
        for vid in [5, 6] {
            let cidr = std::format!("10.{vid}.0.{last}/24");
            let mut eth =
                InterfaceConfig::ethernet(&std::format!("eth0.{vid}"), Port(0), mac(last))
                    .with_address(cidr.parse().unwrap());
            eth.vlan = Some(vid);
            host.add_interface(Instant::ZERO, eth);
        }
        host
    });
    let mut net = Net::new(hosts.into(), std::vec![[(0, 0), (1, 0)]]);
    let now = net.now;
    let server = net.hosts[1].udp_bind("0.0.0.0:7".parse().unwrap()).unwrap();
    let client = net.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    let data = Payload::from(Bytes::from_static(b"x"));
    let to = SocketAddr::from(([10, 6, 0, 2], 7));
    net.hosts[0].udp_send(now, client, data, Some(to)).unwrap();
    net.settle();
    assert_eq!(net.hosts[1].udp_recv(server).unwrap().interface, 1);
    assert!(
        net.log
            .iter()
            .all(|(_, f, _)| f.to_bytes()[12..16] == [0x81, 0, 0, 6])
    );
    let mut other = net.log.last().unwrap().1.to_bytes().to_vec();
    other[15] = 7;
    let fate = net.hosts[1].handle_frame(now, Port(0), Frame::copy_from(&other));
    assert_eq!(fate, Fate::Dropped(DropReason::VlanUnknown));
}

#[test]
fn a_poisoned_reply_does_not_divert_traffic() {
    let mut net = Net::pair();
    let now = net.now;
    let client = net.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    let to = Some(SocketAddr::new(v4(B), 9));
    let data = Payload::from(Bytes::from_static(b"x"));
    net.hosts[0]
        .udp_send(now, client, data.clone(), to)
        .unwrap();
    net.settle();
    let lie = arp::Packet {
        operation: arp::Operation::REPLY,
        sender_mac: mac(66),
        sender_ip: B,
        target_mac: mac(1),
        target_ip: A,
    };
    let mut bytes = [0; 60];
    let mut w = Writer::new(&mut bytes);
    ethernet::Header {
        dst: mac(1),
        src: mac(66),
        ethertype: EtherType::ARP,
    }
    .emit(&mut w)
    .unwrap();
    lie.emit(&mut w).unwrap();
    let fate = net.hosts[0].handle_frame(now, Port(0), Frame::copy_from(&bytes));
    assert_eq!(fate, Fate::Dropped(DropReason::NeighborProtected));
    net.log.clear();
    net.hosts[0].udp_send(now, client, data, to).unwrap();
    net.run(Duration::from_secs(60));
    let diverted = net
        .log
        .iter()
        .filter(|(_, f, _)| f.to_bytes()[..6] == mac(66).0)
        .count();
    assert_eq!(diverted, 0);
}

/// What the familiar way saves must not let anything through.
#[test]
fn a_familiar_sender_is_checked_again_when_something_changed() {
    let mut net = Net::pair();
    let (client, _) = net.hosts[0].echo_open(0).unwrap();
    let now = net.now;
    for seq in 0..3 {
        let data = Payload::from(Bytes::from_static(&[7; 56]));
        net.hosts[0]
            .echo_send(now, client, B, seq, data, &[])
            .unwrap();
        net.settle();
    }
    let to_us = |(to, frame, _): &&(usize, Frame, Fate)| *to == 1 && frame.len() > 60;
    let request = net.log.iter().find(to_us).unwrap().1.to_bytes();
    let host = &mut net.hosts[1];
    let hand = |host: &mut Host, at: usize, value: u8| {
        let mut bytes = request.to_vec();
        bytes[at] ^= value;
        host.handle_frame(now, Port(0), Frame::copy_from(&bytes))
    };
    let dropped = Fate::Dropped;
    assert!(matches!(hand(host, 0, 0), Fate::Delivered(_)));
    assert_eq!(hand(host, 5, 1), dropped(DropReason::LinkNotForUs));
    assert_eq!(hand(host, 24, 1), dropped(DropReason::Ipv4BadChecksum));
    assert_eq!(hand(host, 16, 1), dropped(DropReason::Ipv4BadTotalLength));
    assert_eq!(hand(host, 60, 1), dropped(DropReason::IcmpBadChecksum));
    host.set_up(now, 0, false);
    assert_eq!(hand(host, 0, 0), dropped(DropReason::InterfaceDown));
    host.set_up(now, 0, true);
    assert!(matches!(hand(host, 0, 0), Fate::Delivered(_)));
    assert!(matches!(hand(host, 0, 0), Fate::Delivered(_)));
    host.remove_address(Instant::ZERO, 0, v4(B));
    assert_eq!(hand(host, 0, 0), dropped(DropReason::Ipv4NotForUs));
    assert!(host.stats().is_conserved());
}

/// The same of IPv6, where discovery has checks of its own besides.
#[test]
fn a_familiar_sender_of_ipv6_is_checked_again_when_something_changed() {
    let mut net = Net::pair6();
    let peer: IpAddr = "fd07::2".parse().unwrap();
    let (client, _) = net.hosts[0].echo_open(0).unwrap();
    let now = net.now;
    for seq in 0..3 {
        let data = Payload::from(Bytes::from_static(&[7; 56]));
        net.hosts[0]
            .echo_send(now, client, peer, seq, data, &[])
            .unwrap();
        net.settle();
    }
    // Behind the link header the packet is 104 bytes; discovery's are shorter.
    let to_us = |(to, frame, _): &&(usize, Frame, Fate)| *to == 1 && frame.len() == 118;
    let request = net.log.iter().find(to_us).unwrap().1.to_bytes();
    let hand = |host: &mut Host, at: usize, value: u8| {
        let mut bytes = request.to_vec();
        bytes[at] ^= value;
        host.handle_frame(now, Port(0), Frame::copy_from(&bytes))
    };
    let dropped = Fate::Dropped;
    let host = &mut net.hosts[1];
    assert!(matches!(hand(host, 0, 0), Fate::Delivered(_)));
    for (at, value, reason) in [
        (5, 1, DropReason::LinkNotForUs),
        (14, 0x20, DropReason::Ipv6Malformed),
        (18, 1, DropReason::Ipv6Malformed),
        (60, 1, DropReason::IcmpBadChecksum),
        // No next header.
        (20, 58 ^ 59, DropReason::Ipv6NoNextHeader),
        (53, 1, DropReason::Ipv6NotForUs),
    ] {
        assert_eq!(hand(host, at, value), dropped(reason), "{at}");
        assert!(matches!(hand(host, 0, 0), Fate::Delivered(_)));
    }
    // A neighbour solicitation, its checksum right, as from beyond a router.
    let mut asks = request.to_vec();
    let sum = u16::from_be_bytes([asks[56], asks[57]]);
    let sum = crate::wire::checksum::update(sum, 128 << 8, 135 << 8);
    asks[54] = 135;
    asks[56..58].copy_from_slice(&sum.to_be_bytes());
    let fate = host.handle_frame(now, Port(0), Frame::copy_from(&asks));
    assert_eq!(fate, dropped(DropReason::NdpHopLimit));
    assert!(matches!(hand(host, 0, 0), Fate::Delivered(_)));
    host.set_up(now, 0, false);
    assert_eq!(hand(host, 0, 0), dropped(DropReason::InterfaceDown));
    host.set_up(now, 0, true);
    net.run(Duration::from_secs(10));
    let host = &mut net.hosts[1];
    assert!(matches!(hand(host, 0, 0), Fate::Delivered(_)));
    assert!(matches!(hand(host, 0, 0), Fate::Delivered(_)));
    host.remove_address(now, 0, peer);
    assert_eq!(hand(host, 0, 0), dropped(DropReason::Ipv6NotForUs));
    assert!(host.stats().is_conserved());
}

#[test]
fn a_vlan_hears_its_groups_and_its_own_mac() {
    let hosts = [1, 2].map(|last: u8| {
        let mut host = Host::new(Config::default(), Rng::from_seed(u64::from(last)));
        for vid in [5, 6] {
            let cidr = std::format!("10.{vid}.0.{last}/24");
            let name = std::format!("eth0.{vid}");
            let eth = InterfaceConfig::ethernet(&name, Port(0), mac(16 * vid as u8 + last));
            let mut eth = eth.with_address(cidr.parse().unwrap());
            eth.vlan = Some(vid);
            host.add_interface(Instant::ZERO, eth);
        }
        host
    });
    let mut net = Net::new(hosts.into(), std::vec![[(0, 0), (1, 0)]]);
    let now = net.now;
    let group = Ipv4Addr::new(239, 1, 1, 1);
    let server = net.hosts[1].udp_bind("0.0.0.0:7".parse().unwrap()).unwrap();
    let all = crate::net::groups::FilterMode::Exclude;
    net.hosts[1]
        .udp_join(now, server, 1, group, all, &[])
        .unwrap();
    let client = net.hosts[0].udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    net.hosts[0]
        .udp_options(client)
        .unwrap()
        .multicast_interface = Some(1);
    for to in [group, Ipv4Addr::new(10, 6, 0, 2)] {
        let to = Some(SocketAddr::new(v4(to), 7));
        net.hosts[0]
            .udp_send(now, client, Payload::new(), to)
            .unwrap();
        net.settle();
        assert_eq!(net.hosts[1].udp_recv(server).map(|d| d.interface), Some(1));
    }
    net.hosts[1].udp_leave(now, server, 1, group);
    assert!(!net.hosts[1].interfaces()[1].groups().is_member(group));
}
