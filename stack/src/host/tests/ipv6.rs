//! IPv6 over interfaces without link header, with addresses that were given.

use super::*;
use crate::frame::Payload;
use crate::machine::Consumer;
use crate::transport::tcp::{Error, ListenOptions, Options, State};
use crate::transport::{ErrorKind, udp::PathMtu};
use crate::wire::{Cidr, Protocol, Writer, icmpv6, ipv6};
use bytes::Bytes;
use core::net::{Ipv6Addr, SocketAddr};
use std::vec;

/// A host on a link without link header, at this address.
fn bare(seed: u64, cidr: &str) -> Host {
    bare_with(seed, cidr, |_| {})
}

fn bare_with(seed: u64, cidr: &str, change: impl FnOnce(&mut InterfaceConfig)) -> Host {
    let mut host = Host::new(Config::default(), Rng::from_seed(seed));
    let mut tun = InterfaceConfig::ip("tun0", Port(0)).with_address(cidr.parse().unwrap());
    change(&mut tun);
    host.add_interface(Instant::ZERO, tun);
    host
}

fn pair() -> Net {
    let hosts = vec![bare(1, "fd07::1/64"), bare(2, "fd07::2/64")];
    Net::new(hosts, vec![[(0, 0), (1, 0)]])
}

fn a() -> Ipv6Addr {
    "fd07::1".parse().unwrap()
}

fn b() -> Ipv6Addr {
    "fd07::2".parse().unwrap()
}

fn sock(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn open(net: &mut Net, options: Options) -> (TcpHandle, TcpHandle) {
    let web = net.hosts[1].tcp_listen(sock("[::]:80"), ListenOptions::default());
    let now = net.now;
    let client = net.hosts[0].tcp_connect(now, sock("[fd07::2]:80"), None, options);
    net.settle();
    let (peer, from) = net.hosts[1].tcp_accept(web.unwrap()).unwrap();
    assert_eq!(Some(from), net.hosts[0].tcp_local(client.unwrap()));
    (client.unwrap(), peer)
}

/// Sends from host 0 to host 1 until all has come.
fn carry(net: &mut Net, from: TcpHandle, to: TcpHandle, data: &[u8]) {
    let (mut sent, mut got) = (0, Vec::new());
    let mut room = vec![0; 100_000];
    for _ in 0..100_000 {
        let now = net.now;
        match net.hosts[0].tcp_send(now, from, &data[sent..]) {
            Ok(n) => sent += n,
            Err(Error::WouldBlock) => {}
            Err(e) => panic!("{e:?}"),
        }
        net.settle();
        match net.hosts[1].tcp_recv(now, to, &mut room) {
            Ok(n) => got.extend_from_slice(&room[..n]),
            Err(Error::WouldBlock) => net.run(Duration::from_millis(50)),
            Err(e) => panic!("{e:?}"),
        }
        if got.len() == data.len() {
            assert!(got == data);
            return;
        }
    }
    panic!("{} of {}", got.len(), data.len());
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 253) as u8).collect()
}

#[test]
fn tcp_opens_talks_and_closes() {
    let mut net = pair();
    let (client, peer) = open(&mut net, Options::default());
    let (syn, _) = ipv6::Header::parse(net.log[0].1.front()).unwrap();
    assert_eq!((syn.src, syn.dst, syn.hop_limit), (a(), b(), 64));
    assert_ne!(syn.flow_label, 0);
    carry(&mut net, client, peer, &pattern(300_000));
    // Segments fill the link, and all of the flow have one label.
    let mine = net.log.iter().filter(|l| l.0 == 1).map(|l| l.1.to_bytes());
    let (mut longest, mut labels) = (0, Vec::new());
    for packet in mine {
        longest = longest.max(packet.len());
        labels.push(ipv6::Header::parse(&packet).unwrap().0.flow_label);
    }
    assert!(longest == 1500 && labels.iter().all(|l| *l == syn.flow_label));
    let now = net.now;
    net.hosts[0].tcp_close(now, client);
    net.run(Duration::from_secs(1));
    assert_eq!(net.hosts[1].tcp_recv(now, peer, &mut [0; 9]), Ok(0));
    net.hosts[1].tcp_close(now, peer);
    net.run(Duration::from_secs(62));
    assert!(net.hosts.iter().all(|h| h.tcp.books() == [0; 5]));
}

#[test]
fn the_mss_is_what_the_link_leaves() {
    let mut net = pair();
    let options = Options {
        timestamps: false,
        ..Options::default()
    };
    let (client, _) = open(&mut net, options);
    let now = net.now;
    let status = net.hosts[0].tcp_status(now, client).unwrap();
    assert_eq!(status.snd_mss, 1440);
    let syn = net.log[0].1.to_bytes();
    assert_eq!(&syn[60..64], [2, 4, 0x05, 0xa0], "1440");
}

#[test]
fn a_listener_hears_its_own_family() {
    let mut net = pair();
    let now = net.now;
    net.hosts[1].add_address(now, 0, "10.7.0.2/24".parse().unwrap());
    net.hosts[0].add_address(now, 0, "10.7.0.1/24".parse().unwrap());
    let six = net.hosts[1].tcp_listen(sock("[::]:80"), ListenOptions::default());
    let h = net.hosts[0].tcp_connect(now, sock("10.7.0.2:80"), None, Options::default());
    net.settle();
    assert_eq!(
        net.hosts[0].tcp_take_error(h.unwrap()),
        Some(Error::Refused)
    );
    // One of each may be on a port.
    let four = net.hosts[1].tcp_listen(sock("0.0.0.0:80"), ListenOptions::default());
    for to in ["10.7.0.2:80", "[fd07::2]:80"] {
        let h = net.hosts[0].tcp_connect(now, sock(to), None, Options::default());
        net.settle();
        let state = net.hosts[0].tcp_state(h.unwrap());
        assert_eq!(state, Some(State::Established), "{to}");
    }
    let (_, from) = net.hosts[1].tcp_accept(six.unwrap()).unwrap();
    assert!(from.is_ipv6());
    let (_, from) = net.hosts[1].tcp_accept(four.unwrap()).unwrap();
    assert!(from.is_ipv4());
    assert_eq!(
        net.hosts[1].tcp_listener_local(six.unwrap()),
        Some(sock("[::]:80"))
    );
    for (to, from, error) in [
        ("[fd08::1]:80", None, ConnectError::NoRoute),
        ("[ff02::1]:80", None, ConnectError::BadPeer),
        ("[::1]:80", None, ConnectError::NoRoute),
        ("[::ffff:10.7.0.2]:80", None, ConnectError::NoRoute),
        (
            "[fd07::2]:80",
            Some("[fd07::3]:0"),
            ConnectError::NotAvailable,
        ),
        (
            "[fd07::2]:80",
            Some("10.7.0.1:0"),
            ConnectError::NotAvailable,
        ),
    ] {
        let got = net.hosts[0].tcp_connect(now, sock(to), from.map(sock), Options::default());
        assert_eq!(got, Err(error), "{to}");
    }
}
