//! The queues of interfaces and sockets keep their books, whatever comes.

use super::event::Who;
use super::*;
use crate::frame::Payload;
use bytes::Bytes;
use core::net::SocketAddr;

/// What a queue holds: how many packets, their bytes, what they cost, and where the first goes.
fn sum(host: &Host, chain: &crate::transport::Chain) -> (usize, usize, usize, Option<u16>) {
    let (mut pool, mut chain) = (host.packets.clone(), chain.clone());
    let first = pool.first(&chain).map(|p| p.interface);
    let (len, mut n, mut bytes, mut cost) = (chain.len(), 0, 0, 0);
    while let Some(packet) = pool.pop(&mut chain) {
        n += 1;
        bytes += packet.frame.len();
        cost += usize::try_from(packet.cost).unwrap();
    }
    assert_eq!(n, len);
    (n, bytes, cost, first)
}

/// Compares every book with what it is kept of; gives how many packets wait.
fn check(host: &Host) -> usize {
    let mut waiting = 0;
    for (at, interface) in (0..).zip(host.interfaces()) {
        let queues = &interface.queues;
        let (replies, bytes, ..) = sum(host, &queues.replies);
        assert_eq!(bytes, queues.reply_bytes);
        waiting += replies + sum(host, &queues.forwarded).0;
        let listed = host.waiting.iter().filter(|w| **w == at).count();
        assert_eq!(listed, usize::from(queues.listed));
        let empty = queues.replies.is_empty() && queues.forwarded.is_empty();
        assert!(queues.listed || (empty && queues.sockets.is_empty()));
    }
    for (key, entry) in host.sockets.iter() {
        let (packets, _, cost, first) = sum(host, &entry.tx);
        assert_eq!(cost, entry.tx_bytes);
        waiting += packets;
        for (at, interface) in (0..).zip(host.interfaces()) {
            let turns = interface
                .queues
                .sockets
                .iter()
                .filter(|k| **k == Who::Socket(key));
            assert_eq!(turns.count(), usize::from(first == Some(at)), "its turn");
        }
    }
    waiting
}

#[test]
fn random_walks_keep_every_queue_and_place() {
    let mut rng = Rng::from_seed(11);
    let mut below = |n: u64| usize::try_from(rng.next_u64() % n).unwrap();
    let end = |n: u8| host(n, &std::format!("10.7.{n}.2/24"));
    let config = Config {
        forwarding: true,
        max_sockets: 8,
        ..Config::default()
    };
    let mut middle = Host::new(config, Rng::from_seed(3));
    let mut hosts = std::vec![];
    for n in 0..3u8 {
        let eth = InterfaceConfig::ethernet("eth", Port(u16::from(n)), mac(100 + n));
        let cidr = std::format!("10.7.{n}.1/24").parse().unwrap();
        middle.add_interface(Instant::ZERO, eth.with_address(cidr));
        let mut far = end(n);
        let gateway = v4(Ipv4Addr::new(10, 7, n, 1));
        far.add_route(Route::via("0.0.0.0/0".parse().unwrap(), gateway, Port(0)))
            .unwrap();
        let pinger = far.echo_open(7).unwrap().0;
        hosts.push((far, pinger));
    }
    let (mut now, mut most, mut open) = (Instant::ZERO, 0, Vec::<UdpHandle>::new());
    for step in 0..8_000u32 {
        let n = below(3);
        let port = Port(u16::try_from(n).unwrap());
        match below(32) {
            0 => open.extend(middle.udp_bind("0.0.0.0:0".parse().unwrap())),
            1 if !open.is_empty() => {
                let gone = open.swap_remove(below(open.len() as u64));
                middle.udp_close(now, gone);
            }
            2 => middle.set_up(now, port.0, below(4) > 0),
            3 => middle = middle.clone(),
            4 => now += Duration::from_millis(below(2000) as u64),
            5..12 if !open.is_empty() => {
                let from = open[below(open.len() as u64)];
                let last = u8::try_from(2 + below(2)).unwrap();
                let to = SocketAddr::from(([10, 7, port.0 as u8, last], 9));
                let data = Bytes::from(std::vec![0; [10, 3000][below(2)]]);
                let _ = middle.udp_send(now, from, data.into(), Some(to));
            }
            12..18 => {
                let (far, pinger) = &mut hosts[n];
                let to =
                    Ipv4Addr::new(10, 7, u8::try_from(below(3)).unwrap(), 1 + (step % 2) as u8);
                let data = Payload::from(Bytes::from(std::vec![0; [10, 3000][below(2)]]));
                let _ = far.echo_send(now, *pinger, to, 1, data, &[]);
            }
            18..24 => {
                let (far, pinger) = &mut hosts[n];
                far.handle_timeout(now);
                while let Some(frame) = far.poll_transmit(now, Port(0)) {
                    let _ = middle.handle_frame(now, port, frame);
                    most = most.max(check(&middle));
                }
                while far.raw_recv(*pinger).is_some() {}
            }
            24..30 => {
                for _ in 0..below(6) {
                    if let Some(frame) = middle.poll_transmit(now, port) {
                        let _ = hosts[n].0.handle_frame(now, Port(0), frame);
                    }
                }
            }
            _ => middle.handle_timeout(now),
        }
        let _ = middle.poll_timeout();
        most = most.max(check(&middle));
        assert!(middle.stats().is_conserved());
    }
    assert!(middle.packets.places() <= most + 1, "places are used again");
    assert!(most > 20, "queues were long: {most}");
    for udp in open {
        middle.udp_close(now, udp);
    }
    for port in 0..3 {
        middle.set_up(now, port, false);
    }
    assert_eq!(check(&middle), 0);
}
