//! All connections together hold no more than they may, and all goes on.

use super::*;
use crate::reason::DropReason;
use crate::transport::tcp::{self, Error, ListenOptions, Options, Supply};
use core::net::SocketAddr;
use std::vec;

const COUNT: usize = 40;
/// Of the second host.
const BOUND: TcpMemory = TcpMemory::around(256 << 10);
/// What each may hold where all is nearly spent: the segment that came when there was room, and what
/// is left to it.
const EACH: u64 = 2 * 1460 + 4096;

/// Two hosts with connections: handles at the first and at the second.
struct Crowd {
    net: Net,
    clients: Vec<TcpHandle>,
    servers: Vec<TcpHandle>,
}

fn crowd(options: &Options) -> Crowd {
    let mut net = Net::pair();
    net.hosts[1].config.tcp_memory = BOUND;
    let listen = ListenOptions {
        options: options.clone(),
        ..ListenOptions::default()
    };
    let any = SocketAddr::from(([0, 0, 0, 0], 80));
    let web = net.hosts[1].tcp_listen(any, listen).unwrap();
    let (mut clients, mut servers) = (Vec::new(), Vec::new());
    for _ in 0..COUNT {
        let (now, to) = (net.now, SocketAddr::new(v4(B), 80));
        let client = net.hosts[0].tcp_connect(now, to, None, Options::default());
        clients.push(client.unwrap());
        net.settle();
        servers.push(net.hosts[1].tcp_accept(web).unwrap().0);
    }
    Crowd {
        net,
        clients,
        servers,
    }
}

impl Crowd {
    fn check(&self) {
        let host = &self.net.hosts[1];
        assert_eq!(host.tcp_memory(), host.tcp.audit(), "the account is true");
        let most = host.config.tcp_memory.high;
        assert!(host.tcp_memory() <= most, "{} of {most}", host.tcp_memory());
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.net.run(Duration::from_millis(100));
            self.check();
        }
        self.net.log.clear();
    }

    /// The first host's programs write `len` bytes each, the second's read them where `read`.
    fn write(&mut self, sent: &mut [usize], len: usize) {
        for (n, client) in self.clients.iter().enumerate() {
            let now = self.net.now;
            while sent[n] < len {
                let data: Vec<u8> = (sent[n]..len.min(sent[n] + 5000)).map(byte).collect();
                match self.net.hosts[0].tcp_send(now, *client, &data) {
                    Ok(taken) => sent[n] += taken,
                    Err(Error::WouldBlock) => break,
                    Err(e) => panic!("{e:?}"),
                }
            }
        }
    }

    fn read(&mut self, got: &mut [usize]) {
        let mut room = vec![0; 10_000];
        for (n, server) in self.servers.iter().enumerate() {
            let now = self.net.now;
            while let Ok(taken @ 1..) = self.net.hosts[1].tcp_recv(now, *server, &mut room) {
                let want = (got[n]..).take(taken).map(byte);
                assert!(room[..taken].iter().copied().eq(want), "in order and whole");
                got[n] += taken;
            }
        }
    }
}

fn byte(at: usize) -> u8 {
    (at * 31 + at / 253) as u8
}

#[test]
fn what_nobody_reads_is_bounded_and_arrives_when_somebody_does() {
    let mut crowd = crowd(&Options::default());
    let (mut sent, mut got) = (vec![0; COUNT], vec![0; COUNT]);
    const LEN: usize = 100_000;
    for _ in 0..20 {
        crowd.write(&mut sent, LEN);
        crowd.run(1);
    }
    let host = &crowd.net.hosts[1];
    // Unbounded it would hold 64 KiB of each.
    assert!(host.tcp_memory() >= BOUND.spent(), "{}", host.tcp_memory());
    assert!(host.tcp_supply() >= Supply::Spent);
    assert!(host.stats().dropped_in(DropReason::TcpMemoryFull) > 0);
    assert_eq!(host.stats().tcp.memory_pressures, 1);
    for _ in 0..600 {
        crowd.read(&mut got);
        crowd.write(&mut sent, LEN);
        crowd.run(1);
        if got.iter().all(|n| *n == LEN) {
            break;
        }
    }
    assert_eq!(got, [LEN; COUNT]);
    let host = &crowd.net.hosts[1];
    assert_eq!((host.tcp_memory(), host.tcp_supply()), (0, Supply::Ample));
    assert!(host.stats().tcp.memory_peak >= BOUND.spent());
}

/// So many that 4 KiB for each would be more than all may hold.
#[test]
fn the_bound_holds_however_many_there_are() {
    let mut crowd = crowd(&Options::default());
    crowd.net.hosts[1].config.tcp_memory = TcpMemory::around(64 << 10);
    let (mut sent, mut got) = (vec![0; COUNT], vec![0; COUNT]);
    const LEN: usize = 20_000;
    for _ in 0..20 {
        crowd.write(&mut sent, LEN);
        crowd.run(1);
    }
    assert_eq!(crowd.net.hosts[1].tcp_supply(), Supply::Gone);
    // Nobody may write either, whatever it holds, ..
    let now = crowd.net.now;
    for server in crowd.servers.clone() {
        let taken = crowd.net.hosts[1].tcp_send(now, server, &[7; 100]);
        assert_eq!(taken, Err(Error::WouldBlock));
    }
    while crowd.net.hosts[1].poll_event().is_some() {}
    for _ in 0..600 {
        crowd.read(&mut got);
        crowd.write(&mut sent, LEN);
        crowd.run(1);
    }
    assert_eq!(got, [LEN; COUNT]);
    // .. and each is told once there is room again.
    let host = &mut crowd.net.hosts[1];
    assert_eq!((host.tcp_memory(), host.tcp_supply()), (0, Supply::Ample));
    let told = core::iter::from_fn(|| host.poll_event());
    let writable = |e: &Event| matches!(e, Event::Tcp(_, r) if r.has(Readiness::WRITABLE));
    assert_eq!(told.filter(writable).count(), COUNT);
}

#[test]
fn windows_and_limits_are_as_ever_where_there_is_enough() {
    let mut crowd = crowd(&Options::default());
    crowd.net.hosts[1].config.tcp_memory = TcpMemory::default();
    let mut sent = vec![0; COUNT];
    crowd.write(&mut sent, 1_000_000);
    for _ in 0..100 {
        crowd.net.run(Duration::from_millis(100));
    }
    let host = &crowd.net.hosts[1];
    assert_eq!(
        host.tcp_memory(),
        65_000 * COUNT as u64,
        "64 KiB each, but for a segment"
    );
    assert_eq!(host.stats().dropped_in(DropReason::TcpMemoryFull), 0);
    assert_eq!(host.stats().tcp.memory_pressures, 0);
}

#[test]
fn what_is_written_and_not_taken_is_bounded() {
    let buffer = tcp::options::Buffer {
        initial: 256 << 10,
        max: 1 << 20,
    };
    let mut crowd = crowd(&Options {
        send_buffer: buffer,
        ..Options::default()
    });
    let data = vec![7; 30_000];
    for _ in 0..30 {
        for server in crowd.servers.clone() {
            let now = crowd.net.now;
            while crowd.net.hosts[1].tcp_send(now, server, &data).is_ok() {
                crowd.check_written();
            }
        }
        crowd.run_freely(1);
    }
    // Whose client reads hears of room, though there is less of it than is usually told of; and so
    // does who was refused for others' sake.
    while crowd.net.hosts[1].poll_event().is_some() {}
    let clients = crowd.clients.clone();
    let told = crowd.told_of_room(&clients[..2]);
    assert!(told >= 2, "{told}");
    assert!(crowd.net.hosts[1].tcp_supply() < Supply::Spent);
    assert_eq!(told + crowd.told_of_room(&clients[2..]), COUNT);
    let host = &crowd.net.hosts[1];
    assert_eq!((host.tcp_memory(), host.tcp_supply()), (0, Supply::Ample));
}

impl Crowd {
    /// A write may have been taken while there was room for it.
    fn check_written(&self) {
        let host = &self.net.hosts[1];
        assert_eq!(host.tcp_memory(), host.tcp.audit());
        let most = host.config.tcp_memory.high;
        assert!(host.tcp_memory() <= most, "{} of {most}", host.tcp_memory());
    }

    /// These clients read all; how many writers are told.
    fn told_of_room(&mut self, clients: &[TcpHandle]) -> usize {
        let mut room = vec![0; 1 << 20];
        for _ in 0..30 {
            for client in clients {
                let now = self.net.now;
                while let Ok(1..) = self.net.hosts[0].tcp_recv(now, *client, &mut room) {}
            }
            self.run_freely(1);
        }
        let host = &mut self.net.hosts[1];
        let told = core::iter::from_fn(|| host.poll_event());
        let writable = |e: &Event| matches!(e, Event::Tcp(_, r) if r.has(Readiness::WRITABLE));
        told.filter(writable).count()
    }

    fn run_freely(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.net.run(Duration::from_millis(100));
            self.check_written();
        }
        self.net.log.clear();
    }
}

#[test]
fn orphans_go_first() {
    let buffer = tcp::options::Buffer {
        initial: 64 << 10,
        max: 64 << 10,
    };
    let mut crowd = crowd(&Options {
        send_buffer: buffer,
        ..Options::default()
    });
    // The clients take 64 KiB and read nothing: as much again waits at the server.
    let data = vec![7; 128 << 10];
    let servers = crowd.servers.clone();
    let (first, others) = servers.split_at(3);
    let fill = |crowd: &mut Crowd, server: TcpHandle| {
        for _ in 0..20 {
            let now = crowd.net.now;
            let _ = crowd.net.hosts[1].tcp_send(now, server, &data);
            crowd.net.run(Duration::from_millis(50));
        }
    };
    for server in first {
        fill(&mut crowd, *server);
        let now = crowd.net.now;
        crowd.net.hosts[1].tcp_close(now, *server);
    }
    assert_eq!(
        crowd.net.hosts[1].tcp.books()[1],
        3,
        "they have much to send"
    );
    assert_eq!(crowd.net.hosts[1].stats().tcp.orphans_reset, 0);
    for server in others {
        fill(&mut crowd, *server);
        crowd.check_written();
    }
    let host = &crowd.net.hosts[1];
    assert_eq!(host.stats().tcp.orphans_reset, 3);
    assert_eq!(host.tcp.books()[1], 0);
    assert!(
        others.iter().all(|h| host.tcp_state(*h).is_some()),
        "all else stays"
    );
}

#[test]
fn what_came_early_is_given_up_and_comes_again() {
    let mut crowd = crowd(&Options::default());
    let (mut sent, mut got) = (vec![0; COUNT], vec![0; COUNT]);
    const LEN: usize = 40_000;
    crowd.write(&mut sent, LEN);
    // The first segment of each is lost.
    let now = crowd.net.now;
    let mut lost = std::collections::BTreeSet::new();
    for _ in 0..10 {
        while let Some(frame) = crowd.net.hosts[0].poll_transmit(now, Port(0)) {
            let head = frame.to_bytes();
            let port = [head[34], head[35]];
            if frame.len() > 1000 && lost.insert(port) {
                continue;
            }
            crowd.net.hosts[1].handle_frame(now, Port(0), frame);
            crowd.check();
        }
        while let Some(frame) = crowd.net.hosts[1].poll_transmit(now, Port(0)) {
            crowd.net.hosts[0].handle_frame(now, Port(0), frame);
        }
    }
    assert_eq!(lost.len(), COUNT);
    let stats = crowd.net.hosts[1].stats().tcp;
    assert!(stats.pruned > 0 && stats.pruned_bytes > 0, "{stats:?}");
    assert!(crowd.net.hosts[1].tcp_memory() <= BOUND.pressure + EACH * COUNT as u64);
    for _ in 0..100 {
        crowd.write(&mut sent, LEN);
        crowd.run(1);
        crowd.read(&mut got);
    }
    assert_eq!(
        got, [LEN; COUNT],
        "what was told of and given up comes again"
    );
}
