use super::*;
use crate::frame::Payload;
use crate::reason::DropReason;
use core::net::SocketAddr;

/// Two interfaces on two ports.
fn two() -> Host {
    let mut host = Host::new(Config::default(), Rng::from_seed(1));
    for (port, cidr) in [(0, "10.1.0.1/24"), (1, "10.2.0.1/24")] {
        let eth = InterfaceConfig::ethernet("eth", Port(port), mac(10 + port as u8));
        host.add_interface(Instant::ZERO, eth.with_address(cidr.parse().unwrap()));
    }
    host
}

fn to(addr: [u8; 4]) -> Option<SocketAddr> {
    Some(SocketAddr::from((addr, 9)))
}

fn drain(host: &mut Host, port: u16) -> usize {
    core::iter::from_fn(|| host.poll_transmit(Instant::ZERO, Port(port))).count()
}

#[test]
fn what_waits_for_a_dead_link_does_not_hold_up_the_rest() {
    let now = Instant::ZERO;
    let mut host = two();
    drain(&mut host, 0);
    drain(&mut host, 1);
    let udp = host.udp_bind("0.0.0.0:5".parse().unwrap()).unwrap();
    for addr in [[10, 1, 0, 9], [10, 2, 0, 9], [10, 1, 0, 9]] {
        host.udp_send(now, udp, Payload::new(), to(addr)).unwrap();
    }
    host.set_up(now, 0, false);
    assert_eq!(host.stats().dropped_out(DropReason::InterfaceDown), 2);
    assert_eq!(drain(&mut host, 1), 1, "the question for 10.2.0.9");
    host.set_up(now, 0, true);
    host.udp_send(now, udp, Payload::new(), to([10, 1, 0, 9]))
        .unwrap();
    assert!(drain(&mut host, 0) > 0, "and the link works again");
}

#[test]
fn nothing_is_due_on_a_dead_link() {
    let now = Instant::ZERO;
    let mut host = two();
    let udp = host.udp_bind("0.0.0.0:5".parse().unwrap()).unwrap();
    let group = Ipv4Addr::new(239, 1, 1, 1);
    let all = crate::net::groups::FilterMode::Exclude;
    host.udp_join(now, udp, 0, group, all, &[]).unwrap();
    for port in [0, 1] {
        host.set_up(now, port, false);
    }
    // A driver that waits for this moment would wake for ever, with nothing to pull.
    let later = now + Duration::from_secs(60);
    host.handle_timeout(later);
    assert!(host.poll_timeout().is_none_or(|t| t > later));
}

#[test]
fn an_address_that_goes_leaves_the_network_to_the_others() {
    let mut host = two();
    let (first, second) = (
        "fd07::1/64".parse().unwrap(),
        "10.1.0.2/24".parse().unwrap(),
    );
    host.add_address(Instant::ZERO, 0, first);
    host.add_address(Instant::ZERO, 0, second);
    host.remove_address(Instant::ZERO, 0, v4([10, 1, 0, 1].into()));
    let way = host.route_to([10, 1, 0, 9].into());
    assert_eq!(way, Some((0, [10, 1, 0, 2].into())));
    let far = host.route_to(v4(Ipv4Addr::BROADCAST)).map(|w| w.1);
    assert_eq!(
        far,
        Some([10, 1, 0, 2].into()),
        "an IPv6 address before it is no obstacle"
    );
    host.remove_address(Instant::ZERO, 0, v4([10, 1, 0, 2].into()));
    assert_eq!(host.route_to([10, 1, 0, 9].into()), None);
}

#[test]
fn a_group_is_heard_by_its_own_members_on_any_link() {
    let now = Instant::ZERO;
    let mut host = two();
    let group = Ipv4Addr::new(239, 1, 1, 1);
    let udp = host.udp_bind("0.0.0.0:9".parse().unwrap()).unwrap();
    let all = crate::net::groups::FilterMode::Exclude;
    host.udp_join(now, udp, 1, group, all, &[]).unwrap();
    host.udp_options(udp).unwrap().multicast_interface = Some(1);
    host.udp_send(now, udp, Payload::new(), to(group.octets()))
        .unwrap();
    host.handle_timeout(now);
    assert_eq!(host.udp_recv(udp).map(|d| d.interface), Some(1));
}
