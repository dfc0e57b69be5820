//! Memory stays flat under a flood: a counting allocator holds a host to the bounds that its docs
//! state (`stack::host`), while a hundred thousand strangers, fragments or destinations come in.
//!
//! `cargo test --test flood -- --nocapture` prints each bound beside the peak that was measured.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation
)]

use stack::frame::{Frame, Payload};
use stack::host::{Config, Host, InterfaceConfig, ListenHandle, TcpHandle};
use stack::machine::{Machine, Port};
use stack::net::groups::FilterMode;
use stack::net::route::Route;
use stack::rng::Rng;
use stack::time::{Duration, Instant};
use stack::transport::tcp::{Error, ListenOptions, Options};
use stack::wire::arp::{Operation, Packet};
use stack::wire::{EtherType, MacAddr, Protocol, Writer, ethernet, icmpv4, igmp, ipv4, tcp, udp};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const N: u32 = 100_000;
const MIB: usize = 1 << 20;
const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fn live() -> usize {
    let stats = GLOBAL.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

fn host(forwarding: bool) -> Host {
    let config = Config {
        forwarding,
        ..Config::default()
    };
    let mut host = Host::new(config, Rng::from_seed(1));
    for (port, mac, cidr) in [
        (0, OUR_MAC, "10.0.0.1/8"),
        (1, MacAddr([2, 0, 0, 0, 0, 2]), "172.16.0.1/12"),
    ] {
        let eth = InterfaceConfig::ethernet("eth", Port(port), mac);
        host.add_interface(Instant::ZERO, eth.with_address(cidr.parse().unwrap()));
    }
    host
}

fn peer(n: u32) -> (MacAddr, Ipv4Addr) {
    let [_, a, b, c] = n.to_be_bytes();
    (MacAddr([2, 1, 0, a, b, c]), Ipv4Addr::from(0x0a00_1000 + n))
}

fn emit(len: usize, f: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut room = vec![0; len];
    f(&mut Writer::new(&mut room));
    room
}

fn link(from: MacAddr, ethertype: EtherType, body: &[u8]) -> Frame {
    let header = ethernet::Header {
        dst: OUR_MAC,
        src: from,
        ethertype,
    };
    let header = emit(14, |w| header.emit(w).unwrap());
    Frame::copy_from(&[&header, body].concat())
}

/// An IPv4 packet in a frame, as stranger `n` would send it.
fn packet(
    n: u32,
    dst: Ipv4Addr,
    protocol: Protocol,
    ident: u16,
    cut: Option<u16>,
    body: &[u8],
) -> Frame {
    let (mac, src) = peer(n);
    let header = ipv4::Header {
        dscp: 0,
        ecn: 0,
        total_len: 20 + body.len() as u16,
        ident,
        reserved_flag: false,
        dont_fragment: false,
        more_fragments: cut.is_some(),
        fragment_offset: cut.unwrap_or(0),
        ttl: if protocol == Protocol::IGMP { 1 } else { 64 },
        protocol,
        checksum: 0,
        src,
        dst,
        options: &[],
    };
    let header = emit(20, |w| header.with_checksum().emit(w).unwrap());
    link(mac, EtherType::IPV4, &[&header, body].concat())
}

fn datagram(src: Ipv4Addr, dst: Ipv4Addr, port: u16, len: usize) -> Vec<u8> {
    let data = vec![0; len];
    let mut header = udp::Header {
        src_port: 9,
        dst_port: port,
        len: 8 + len as u16,
        checksum: 0,
    };
    header.checksum = header.checksum_over(IpAddr::V4(src), IpAddr::V4(dst), &data);
    [emit(8, |w| header.emit(w).unwrap()), data].concat()
}

/// A SYN of stranger `n`.
fn syn(n: u32, port: u16) -> Frame {
    let mut syn = tcp::Header {
        src_port: 9,
        dst_port: port,
        seq: stack::wire::seq::SeqNum(n),
        ack: stack::wire::seq::SeqNum(0),
        flags: tcp::Flags::SYN,
        window: 0,
        checksum: 0,
        urgent: 0,
        options: &[],
    };
    syn.checksum = syn.checksum_over(IpAddr::V4(peer(n).1), IpAddr::V4(US), &[]);
    let body = emit(20, |w| syn.emit(w).unwrap());
    packet(n, US, Protocol::TCP, 0, None, &body)
}

/// How often a driver pulls while the flood comes in.
#[derive(Clone, Copy)]
struct Pull {
    always: bool,
    /// Frames of the flood.
    many: u32,
}

/// Sends the flood to a host and holds what the host then has in memory to `bound`.
fn flood(
    name: &str,
    bound: usize,
    mut host: Host,
    pull: Pull,
    mut input: impl FnMut(&mut Host, Instant, u32),
) {
    let (mut now, mut peak) = (Instant::ZERO, 0);
    let before = live();
    // Without pulling the tables fill sooner; what is left to see is that they stay so.
    let many = if pull.always {
        pull.many
    } else {
        pull.many / 10
    };
    for n in 0..many {
        now += Duration::from_micros(20);
        input(&mut host, now, n);
        if pull.always {
            for port in [0, 1] {
                while host.poll_transmit(now, Port(port)).is_some() {}
            }
            while host.poll_event().is_some() {}
            if host.poll_timeout().is_some_and(|t| t <= now) {
                host.handle_timeout(now);
            }
        }
        if n % 64 == 0 {
            peak = peak.max(live().saturating_sub(before));
        }
    }
    assert!(host.stats().is_conserved());
    println!(
        "{name:44} bound {:>6} KiB   peak {:>6} KiB",
        bound / 1024,
        peak / 1024
    );
    assert!(peak > 0, "{name}: nothing was kept, so nothing was tested");
    assert!(
        peak <= bound,
        "{name}: {peak} bytes, but {bound} were promised"
    );
}

#[test]
fn memory_is_flat_under_every_flood() {
    for (always, how) in [(true, ""), (false, ", nothing pulled")] {
        let pull = |many| Pull { always, many };
        links(pull(N), how);
        fragments(pull(N), how);
        answers(pull(N / 5), how);
        sockets(pull(N / 5), how);
        listeners(pull(N), how);
    }
    honest_clients_beside_syns();
}

fn links(pull: Pull, how: &str) {
    let arp = |operation, n| {
        let (sender_mac, sender_ip) = peer(n);
        let packet = Packet {
            operation,
            sender_mac,
            sender_ip,
            target_mac: OUR_MAC,
            target_ip: US,
        };
        let body = emit(28, |w| packet.emit(w).unwrap());
        link(sender_mac, EtherType::ARP, &body)
    };
    flood(
        &format!("ARP requests of {N} stations{how}"),
        MIB,
        host(false),
        pull,
        |host, now, n| {
            host.handle_frame(now, Port(0), arp(Operation::REQUEST, n));
        },
    );
    // A router is asked for a network of hosts that are not there.
    flood(
        &format!("packets for {N} silent hosts{how}"),
        8 * MIB,
        host(true),
        pull,
        |host, now, n| {
            let dst = Ipv4Addr::from(0xac10_1000 + n);
            let body = datagram(peer(1).1, dst, 9, 1000);
            host.handle_frame(now, Port(0), packet(1, dst, Protocol::UDP, 0, None, &body));
        },
    );
    let mut own = host(false);
    let udp = own.udp_bind("0.0.0.0:9".parse().unwrap()).unwrap();
    flood(
        &format!("own datagrams to {N} silent hosts{how}"),
        8 * MIB,
        own,
        pull,
        |host, now, n| {
            let to = SocketAddr::new(IpAddr::V4(peer(n).1), 9);
            let data = Payload::from(bytes::Bytes::from(vec![0; 1000]));
            let _ = host.udp_send(now, udp, data, Some(to));
        },
    );
}

fn fragments(pull: Pull, how: &str) {
    for (name, sources) in [("one source", 1), ("as many sources", N)] {
        for (size, len) in [("small", 8), ("large", 1480)] {
            let body = vec![0; len];
            let name = format!("{N} {size} fragments, {name}{how}");
            flood(&name, 6 * MIB, host(false), pull, |host, now, n| {
                let body = packet(n % sources, US, Protocol::UDP, n as u16, Some(8), &body);
                host.handle_frame(now, Port(0), body);
            });
        }
    }
}

fn answers(pull: Pull, how: &str) {
    flood(
        &format!("datagrams to closed ports{how}"),
        3 * MIB,
        host(false),
        pull,
        |host, now, n| {
            let body = datagram(peer(n).1, US, n as u16, 18);
            host.handle_frame(now, Port(0), packet(n, US, Protocol::UDP, 0, None, &body));
        },
    );
    flood(
        &format!("SYNs to closed ports{how}"),
        3 * MIB,
        host(false),
        pull,
        |host, now, n| {
            host.handle_frame(now, Port(0), syn(n, n as u16));
        },
    );
    let data = vec![0; 1000];
    flood(
        &format!("pings{how}"),
        5 * MIB,
        host(false),
        pull,
        |host, now, n| {
            let echo = icmpv4::Message::EchoRequest {
                ident: 1,
                seq: n as u16,
                data: &data,
            };
            let body = emit(echo.emit_len(), |w| {
                echo.emit(w, echo.compute_checksum()).unwrap()
            });
            host.handle_frame(now, Port(0), packet(n, US, Protocol::ICMP, 0, None, &body));
        },
    );
}

fn sockets(pull: Pull, how: &str) {
    let mut reader = host(false);
    let _ = reader.udp_bind("0.0.0.0:9".parse().unwrap()).unwrap();
    flood(
        &format!("datagrams that nobody reads{how}"),
        2 * MIB,
        reader,
        pull,
        |host, now, n| {
            let body = datagram(peer(n).1, US, 9, (n % 3 * 500) as usize);
            host.handle_frame(now, Port(0), packet(n, US, Protocol::UDP, 0, None, &body));
        },
    );
    // Errors about what a socket did send, to ever new destinations: path MTUs and error queues.
    let mut sender = host(false);
    let udp = sender.udp_bind("0.0.0.0:9".parse().unwrap()).unwrap();
    let way = Route::via("0.0.0.0/0".parse().unwrap(), IpAddr::V4(peer(0).1), Port(0));
    sender.add_route(way).unwrap();
    flood(
        &format!("path MTUs of many destinations{how}"),
        2 * MIB,
        sender,
        pull,
        |host, now, n| {
            let dst = Ipv4Addr::from(0xc000_0000 + n);
            // An error is believed only about whom the socket has sent to.
            let to = Some(SocketAddr::new(IpAddr::V4(dst), 9));
            host.udp_send(now, udp, Payload::new(), to).unwrap();
            while host.poll_transmit(now, Port(0)).is_some() {}
            let quoted = ipv4::Header {
                dscp: 0,
                ecn: 0,
                total_len: 1500,
                ident: 0,
                reserved_flag: false,
                dont_fragment: true,
                more_fragments: false,
                fragment_offset: 0,
                ttl: 60,
                protocol: Protocol::UDP,
                checksum: 0,
                src: US,
                dst,
                options: &[],
            };
            let quote = [
                emit(20, |w| quoted.with_checksum().emit(w).unwrap()),
                datagram(US, dst, 9, 0),
            ]
            .concat();
            let error = icmpv4::Message::unreachable(icmpv4::UnreachableCode(4), 1400, &quote);
            let body = emit(error.emit_len(), |w| {
                error.emit(w, error.compute_checksum()).unwrap()
            });
            host.handle_frame(now, Port(0), packet(0, US, Protocol::ICMP, 0, None, &body));
            let _ = host.udp(udp);
        },
    );
    let mut member = host(false);
    let socket = member.udp_bind("0.0.0.0:9".parse().unwrap()).unwrap();
    for n in 0..64 {
        let group = Ipv4Addr::new(239, 0, 0, n);
        member
            .udp_join(Instant::ZERO, socket, 0, group, FilterMode::Exclude, &[])
            .unwrap();
    }
    flood(
        &format!("IGMP queries{how}"),
        MIB,
        member,
        pull,
        |host, now, n| {
            let sources: Vec<u8> = (0..64)
                .flat_map(|i| (0x0b00_0000 + n * 64 + i).to_be_bytes())
                .collect();
            let query = igmp::Message::V3Query(igmp::V3Query {
                max_resp_code: 127,
                group: Ipv4Addr::new(239, 0, 0, n as u8 % 64),
                reserved: 0,
                suppress: false,
                qrv: 7,
                qqic: 127,
                sources: igmp::Sources(&sources),
                rest: &[],
            });
            let mut body = emit(query.emit_len(), |w| query.emit(w, 0).unwrap());
            igmp::fill_checksum(&mut body);
            host.handle_frame(now, Port(0), packet(n, US, Protocol::IGMP, 0, None, &body));
        },
    );
}

fn listening() -> (Host, ListenHandle) {
    let mut web = host(false);
    let options = ListenOptions::default();
    let listener = web.tcp_listen("0.0.0.0:80".parse().unwrap(), options);
    (web, listener.unwrap())
}

fn listeners(pull: Pull, how: &str) {
    let name = format!("SYNs of {} strangers to a listener{how}", pull.many);
    flood(&name, LISTENER, listening().0, pull, |host, now, n| {
        host.handle_frame(now, Port(0), syn(n, 80));
    });
}

/// What a listener whose queues are full takes, with the neighbours that it looks for.
const LISTENER: usize = 3 * MIB;

/// Clients of another host on the link, who ask one after the other while the flood goes on.
struct Honest {
    station: Host,
    web: ListenHandle,
    /// Those who wait for their bytes to come back, with how many have.
    waiting: Vec<(TcpHandle, usize)>,
    /// The web's ends.
    open: Vec<TcpHandle>,
    served: u32,
}

/// What each of them sends.
const ASKED: usize = 3000;

impl Honest {
    fn new(web: ListenHandle) -> Self {
        let mut station = Host::new(Config::default(), Rng::from_seed(2));
        let eth = InterfaceConfig::ethernet("eth", Port(0), MacAddr([2, 9, 0, 0, 0, 9]));
        let eth = eth.with_address("10.0.0.9/8".parse().unwrap());
        station.add_interface(Instant::ZERO, eth);
        Self {
            station,
            web,
            waiting: Vec::new(),
            open: Vec::new(),
            served: 0,
        }
    }

    fn ask(&mut self, now: Instant) {
        let to = SocketAddr::new(IpAddr::V4(US), 80);
        let asked = self.station.tcp_connect(now, to, None, Options::default());
        let asked = asked.unwrap();
        let sent = self.station.tcp_send(now, asked, &[7; ASKED]);
        assert_eq!(sent, Ok(ASKED));
        self.waiting.push((asked, 0));
    }

    /// What both ends do about what came.
    fn turn(&mut self, host: &mut Host, now: Instant) {
        self.carry(host, now);
        self.open.extend(std::iter::from_fn(|| {
            host.tcp_accept(self.web).map(|(h, _)| h)
        }));
        let mut room = [0; 4096];
        self.open
            .retain(|h| match host.tcp_recv(now, *h, &mut room) {
                Ok(n) if n > 0 => host.tcp_send(now, *h, &room[..n]) == Ok(n),
                Err(Error::WouldBlock) => true,
                _ => {
                    host.tcp_close(now, *h);
                    false
                }
            });
        self.waiting.retain_mut(|(h, got)| {
            if let Ok(n) = self.station.tcp_recv(now, *h, &mut room) {
                *got += n;
            }
            if *got == ASKED {
                self.served += 1;
                self.station.tcp_close(now, *h);
            }
            *got < ASKED
        });
        self.carry(host, now);
    }

    /// Frames for others than the station are nobody's.
    fn carry(&mut self, host: &mut Host, now: Instant) {
        loop {
            let mut moved = false;
            while let Some(frame) = host.poll_transmit(now, Port(0)) {
                moved = true;
                self.station.handle_frame(now, Port(0), frame);
            }
            while let Some(frame) = self.station.poll_transmit(now, Port(0)) {
                moved = true;
                host.handle_frame(now, Port(0), frame);
            }
            while self.station.poll_event().is_some() {}
            if self.station.poll_timeout().is_some_and(|t| t <= now) {
                self.station.handle_timeout(now);
            }
            if !moved {
                return;
            }
        }
    }
}

/// A thousand SYNs for each client, all of whom are served at once, by cookies.
fn honest_clients_beside_syns() {
    let (web, listener) = listening();
    let mut honest = Honest::new(listener);
    let mut cookies = 0;
    let pull = Pull {
        always: true,
        many: N,
    };
    let name = format!("SYNs of {N} strangers, {} honest clients", N / 1000);
    flood(&name, LISTENER, web, pull, |host, now, n| {
        host.handle_frame(now, Port(0), syn(n, 80));
        if n % 1000 == 500 {
            honest.ask(now);
        }
        honest.turn(host, now);
        cookies = host.stats().tcp.cookies_accepted;
    });
    assert_eq!(honest.served, N / 1000, "{} wait", honest.waiting.len());
    assert!(cookies >= u64::from(N / 1000) - 1, "{cookies}");
}
