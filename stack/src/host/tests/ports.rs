//! Which ports a driver has to ask.

use super::*;
use bytes::Bytes;

/// A router with ten ports, `10.0.N.1/24` on port N, and all of it at rest.
fn router() -> Host {
    let config = Config {
        forwarding: true,
        ..Config::default()
    };
    let mut router = Host::new(config, Rng::from_seed(9));
    for n in 0..10u8 {
        let eth = InterfaceConfig::ethernet("eth", Port(u16::from(n)), mac(100 + n));
        let cidr = std::format!("10.0.{n}.1/24").parse().unwrap();
        router.add_interface(Instant::ZERO, eth.with_address(cidr));
    }
    router
}

fn to_ask(host: &Host, now: Instant) -> Vec<u16> {
    let mut ports = Vec::new();
    host.ports_to_ask(now, &mut ports);
    ports.into_iter().map(|p| p.0).collect()
}

/// Takes what the ports on the list have, and sees that the others have nothing.
fn drain(host: &mut Host, now: Instant) -> usize {
    let listed = to_ask(host, now);
    let mut frames = 0;
    for port in (0..10).filter(|p| !listed.contains(p)) {
        assert!(host.poll_transmit(now, Port(port)).is_none(), "{port}");
    }
    for port in listed {
        while host.poll_transmit(now, Port(port)).is_some() {
            frames += 1;
        }
    }
    frames
}

#[test]
fn a_forwarded_packet_asks_for_its_own_port_alone() {
    let mut router = router();
    let mut now = Instant::ZERO;
    // Announcements, then nothing.
    for _ in 0..100 {
        drain(&mut router, now);
        now = router.poll_timeout().map_or(now, |t| t.max(now));
        router.handle_timeout(now);
    }
    while drain(&mut router, now) > 0 {}
    let mut ends = [host(1, "10.0.3.2/24"), host(2, "10.0.7.2/24")];
    for (end, gateway) in ends.iter_mut().zip(["10.0.3.1", "10.0.7.1"]) {
        let gateway: Ipv4Addr = gateway.parse().unwrap();
        let all = Route::via("0.0.0.0/0".parse().unwrap(), v4(gateway), Port(0));
        end.add_route(all).unwrap();
    }
    let [a, b] = &mut ends;
    let socket = a.udp_bind("10.0.3.2:5000".parse().unwrap()).unwrap();
    b.udp_bind("10.0.7.2:7".parse().unwrap()).unwrap();
    let mut listed = Vec::new();
    for _ in 0..5 {
        let to = "10.0.7.2:7".parse().unwrap();
        a.udp_send(now, socket, Bytes::from_static(b"x").into(), Some(to))
            .unwrap();
        for _ in 0..4 {
            while let Some(frame) = a.poll_transmit(now, Port(0)) {
                let _ = router.handle_frame(now, Port(3), frame);
                listed = to_ask(&router, now);
            }
            while let Some(frame) = router.poll_transmit(now, Port(7)) {
                let _ = b.handle_frame(now, Port(0), frame);
            }
            while let Some(frame) = b.poll_transmit(now, Port(0)) {
                let _ = router.handle_frame(now, Port(7), frame);
            }
            while let Some(frame) = router.poll_transmit(now, Port(3)) {
                let _ = a.handle_frame(now, Port(0), frame);
            }
            drain(&mut router, now);
        }
    }
    // By now all neighbours are known, and the last datagram touched no machine.
    assert_eq!(listed, [7]);
    assert_eq!(to_ask(&router, now), [] as [u16; 0]);
    assert_eq!(router.stats().forwarded, 5);
}
