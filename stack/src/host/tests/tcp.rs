//! Connections and listeners in hosts that are wired together.

use super::*;
use crate::reason::DropReason;
use crate::transport::tcp::{self, Error, ListenOptions, Options, State};
use crate::wire::tcp::TcpOption;
use bytes::Bytes;
use core::net::SocketAddr;
use std::vec;

const PORT: u16 = 80;

fn server() -> SocketAddr {
    SocketAddr::new(v4(B), PORT)
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

fn listen(net: &mut Net, options: ListenOptions) -> ListenHandle {
    net.hosts[1].tcp_listen(any(PORT), options).unwrap()
}

fn connect(net: &mut Net) -> TcpHandle {
    let now = net.now;
    net.hosts[0]
        .tcp_connect(now, server(), None, Options::default())
        .unwrap()
}

/// An open connection: the client's handle and the server's.
fn open(net: &mut Net) -> (ListenHandle, TcpHandle, TcpHandle) {
    let web = listen(net, ListenOptions::default());
    let client = connect(net);
    net.settle();
    let (peer, from) = net.hosts[1].tcp_accept(web).unwrap();
    assert_eq!(Some(from), net.hosts[0].tcp_local(client));
    (web, client, peer)
}

fn events(host: &mut Host) -> Vec<Event> {
    core::iter::from_fn(|| host.poll_event())
        .filter(|e| matches!(e, Event::Tcp(..) | Event::Listener(_)))
        .collect()
}

fn state(host: &Host, h: TcpHandle) -> Option<State> {
    host.tcp_state(h)
}

/// Sends from one to the other until all has come; gives what came.
fn carry(
    net: &mut Net,
    (a, from): (usize, TcpHandle),
    (b, to): (usize, TcpHandle),
    data: &[u8],
) -> Vec<u8> {
    let (mut sent, mut got) = (0, Vec::new());
    let mut room = vec![0; 100_000];
    for _ in 0..100_000 {
        let now = net.now;
        if sent < data.len() {
            match net.hosts[a].tcp_send(now, from, &data[sent..]) {
                Ok(n) => sent += n,
                Err(Error::WouldBlock) => {}
                Err(e) => panic!("{e:?}"),
            }
        }
        net.settle();
        match net.hosts[b].tcp_recv(now, to, &mut room) {
            Ok(n) => got.extend_from_slice(&room[..n]),
            Err(Error::WouldBlock) => net.run(Duration::from_millis(50)),
            Err(e) => panic!("{e:?}"),
        }
        if got.len() == data.len() {
            return got;
        }
    }
    panic!("{} of {}", got.len(), data.len());
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 253) as u8).collect()
}

#[test]
fn opens_talks_and_closes_both_ways() {
    let mut net = Net::pair();
    let (web, client, peer) = open(&mut net);
    assert_eq!(
        events(&mut net.hosts[1]),
        [Event::Listener(web), Event::Tcp(peer, Readiness::WRITABLE)]
    );
    assert!(matches!(events(&mut net.hosts[0])[..],
        [Event::Tcp(h, r)] if h == client && r.has(Readiness::WRITABLE)));
    let data = pattern(300_000);
    assert_eq!(carry(&mut net, (0, client), (1, peer), &data), data);
    assert_eq!(carry(&mut net, (1, peer), (0, client), &data), data);
    let now = net.now;
    net.hosts[0].tcp_close(now, client);
    net.run(Duration::from_secs(1));
    assert_eq!(net.hosts[1].tcp_recv(now, peer, &mut [0; 9]), Ok(0));
    assert_eq!(state(&net.hosts[1], peer), Some(State::CloseWait));
    assert_eq!(
        net.hosts[0].tcp_send(now, client, b"x"),
        Err(Error::NotConnected)
    );
    net.hosts[1].tcp_close(now, peer);
    net.run(Duration::from_secs(1));
    assert_eq!(net.hosts[1].tcp_connections().count(), 0);
    let left: Vec<_> = net.hosts[0].tcp_connections().map(|c| c.3).collect();
    assert_eq!(left, [State::TimeWait]);
    net.run(Duration::from_secs(61));
    assert_eq!(net.hosts[0].tcp_connections().count(), 0);
    assert_eq!(net.hosts[0].stats().tcp.active_opens, 1);
    assert_eq!(net.hosts[1].stats().tcp.accepted, 1);
    assert!(
        net.hosts.iter().all(|h| h.tcp.books() == [0; 5]),
        "no timer is left"
    );
}

/// Carries data to a reader that takes it so; how many segments crossed.
fn carry_to(read: fn(&mut Host, Instant, TcpHandle) -> Result<Vec<u8>, Error>) -> [u64; 2] {
    let mut net = Net::pair();
    let (_, client, peer) = open(&mut net);
    let data = pattern(300_000);
    let (mut sent, mut got) = (0, Vec::new());
    while got.len() < data.len() {
        let now = net.now;
        sent += net.hosts[0]
            .tcp_send(now, client, &data[sent..])
            .unwrap_or(0);
        net.run(Duration::from_millis(5));
        let now = net.now;
        while let Ok(more) = read(&mut net.hosts[1], now, peer) {
            assert!((1..=5000).contains(&more.len()));
            got.extend_from_slice(&more);
        }
    }
    assert!(got == data, "in order");
    let now = net.now;
    let nothing = read(&mut net.hosts[1], now, peer);
    assert_eq!(nothing, Err(Error::WouldBlock));
    net.hosts[0].tcp_close(now, client);
    net.run(Duration::from_secs(1));
    let now = net.now;
    assert_eq!(read(&mut net.hosts[1], now, peer), Ok(Vec::new()));
    assert_eq!(net.hosts[1].tcp_memory(), 0);
    [0, 1].map(|i| net.hosts[i].stats().tcp.segments_out)
}

#[test]
fn however_it_is_read_the_same_crosses() {
    let copied = carry_to(|host, now, h| {
        let mut room = vec![0; 5000];
        let n = host.tcp_recv(now, h, &mut room)?;
        room.truncate(n);
        Ok(room)
    });
    let gathered = carry_to(|host, now, h| {
        let mut all = Vec::new();
        let n = host.tcp_recv_pieces(now, h, 5000, |piece| all.extend_from_slice(&piece))?;
        assert_eq!(n, all.len());
        Ok(all)
    });
    assert_eq!(copied, gathered);
    carry_to(|host, now, h| Ok(host.tcp_recv_bytes(now, h, 5000)?.to_vec()));
}

#[test]
fn no_segment_is_parked_but_the_first() {
    let mut net = Net::pair();
    let (_, client, peer) = open(&mut net);
    // The neighbour is forgotten in mid-transfer.
    net.hosts[0]
        .interface_mut(0)
        .unwrap()
        .neighbors
        .remove(v4(B));
    let data = pattern(200_000);
    assert_eq!(carry(&mut net, (0, client), (1, peer), &data), data);
    assert_eq!(net.hosts[0].stats().tcp.retransmitted, 0);
    assert_eq!(net.hosts[0].tcp.books()[3], 0);
}

#[test]
fn nobody_home() {
    let mut net = Net::pair();
    // Nobody listens.
    let client = connect(&mut net);
    net.settle();
    assert_eq!(net.hosts[0].tcp_take_error(client), Some(Error::Refused));
    assert_eq!(net.hosts[1].stats().resets_to_strangers_out, 1);
    // Nobody has the address.
    let now = net.now;
    let nobody = SocketAddr::from(([10, 7, 0, 77], 80));
    let h = net.hosts[0]
        .tcp_connect(now, nobody, None, Options::default())
        .unwrap();
    net.run(Duration::from_secs(10));
    assert!(matches!(
        net.hosts[0].tcp_take_error(h),
        Some(Error::Unreachable(_))
    ));
    // There is no way, or nobody to connect to.
    for (to, error) in [
        ("192.0.2.1:80", ConnectError::NoRoute),
        ("10.7.0.255:80", ConnectError::BadPeer),
        ("224.0.0.1:80", ConnectError::BadPeer),
        ("10.7.0.2:0", ConnectError::BadPeer),
    ] {
        let got = net.hosts[0].tcp_connect(now, to.parse().unwrap(), None, Options::default());
        assert_eq!(got, Err(error), "{to}");
    }
    let from = Some("10.7.0.9:0".parse().unwrap());
    let got = net.hosts[0].tcp_connect(now, server(), from, Options::default());
    assert_eq!(got, Err(ConnectError::NotAvailable));
}

#[test]
fn the_backlog_holds_so_many_and_no_more() {
    let mut net = Net::pair();
    let options = ListenOptions {
        backlog: 3,
        ..ListenOptions::default()
    };
    let web = listen(&mut net, options);
    let clients: Vec<_> = (0..6).map(|_| connect(&mut net)).collect();
    net.run(Duration::from_millis(500));
    let stats = net.hosts[1].stats().tcp;
    assert_eq!(stats.accepted, 3);
    assert!(stats.backlog_overflows >= 3, "{stats:?}");
    // Those who could not be told otherwise believe that they are connected, or ask again.
    let mut accepted = 0;
    for _ in 0..20 {
        while let Some((h, _)) = net.hosts[1].tcp_accept(web) {
            accepted += 1;
            assert_eq!(state(&net.hosts[1], h), Some(State::Established));
        }
        net.run(Duration::from_secs(1));
    }
    assert_eq!(accepted, 6);
    for client in clients {
        assert_eq!(state(&net.hosts[0], client), Some(State::Established));
    }
}

#[test]
fn cookies_open_connections_that_were_not_kept() {
    for (policy, syn_backlog, timestamps) in [
        (tcp::Cookies::Always, 9, true),
        (tcp::Cookies::WhenFull, 0, true),
        (tcp::Cookies::WhenFull, 0, false),
    ] {
        let mut net = Net::pair();
        let options = ListenOptions {
            cookies: policy,
            syn_backlog,
            ..ListenOptions::default()
        };
        let web = listen(&mut net, options);
        let now = net.now;
        let options = Options {
            timestamps,
            ..Options::default()
        };
        let client = net.hosts[0]
            .tcp_connect(now, server(), None, options)
            .unwrap();
        net.settle();
        let stats = net.hosts[1].stats().tcp;
        assert_eq!(
            (stats.cookies_sent, stats.cookies_accepted),
            (1, 1),
            "{timestamps}"
        );
        let (peer, _) = net.hosts[1].tcp_accept(web).unwrap();
        let [a, b] =
            [(0, client), (1, peer)].map(|(i, h)| net.hosts[i].tcp_status(now, h).unwrap());
        assert_eq!(
            (a.sack, a.timestamps, a.wscale.is_some()),
            (timestamps, timestamps, timestamps)
        );
        assert_eq!(
            (b.sack, b.timestamps, b.wscale),
            (a.sack, a.timestamps, a.wscale.map(|(x, y)| (y, x)))
        );
        let data = pattern(200_000);
        assert_eq!(carry(&mut net, (0, client), (1, peer), &data), data);
        assert_eq!(carry(&mut net, (1, peer), (0, client), &data), data);
        assert_eq!(net.hosts[0].stats().tcp.retransmitted, 0);
    }
}

#[test]
fn a_full_syn_queue_without_cookies_drops() {
    let mut net = Net::pair();
    let options = ListenOptions {
        cookies: tcp::Cookies::Never,
        syn_backlog: 0,
        ..ListenOptions::default()
    };
    listen(&mut net, options);
    connect(&mut net);
    net.settle();
    assert_eq!(net.hosts[1].stats().tcp.syn_overflows, 1);
    assert_eq!(
        net.hosts[1].stats().dropped_in(DropReason::TcpSynQueueFull),
        1
    );
}

#[test]
fn listeners_are_chosen_by_address_and_choose_their_peers() {
    let mut net = Net::pair();
    let open = net.hosts[1]
        .tcp_listen(any(80), ListenOptions::default())
        .unwrap();
    let here = net.hosts[1]
        .tcp_listen(server(), ListenOptions::default())
        .unwrap();
    let again = net.hosts[1].tcp_listen(server(), ListenOptions::default());
    assert_eq!(again, Err(BindError::InUse));
    connect(&mut net);
    net.settle();
    assert!(net.hosts[1].tcp_accept(open).is_none());
    assert!(net.hosts[1].tcp_accept(here).is_some());
    let filter = ListenOptions {
        accept_from: vec!["10.9.0.0/16".parse().unwrap()],
        ..ListenOptions::default()
    };
    let picky = net.hosts[1].tcp_listen(any(81), filter).unwrap();
    let now = net.now;
    let to = SocketAddr::new(v4(B), 81);
    let h = net.hosts[0]
        .tcp_connect(now, to, None, Options::default())
        .unwrap();
    net.settle();
    assert_eq!(net.hosts[0].tcp_take_error(h), Some(Error::Refused));
    assert_eq!(net.hosts[1].stats().dropped_in(DropReason::TcpFiltered), 1);
    assert!(net.hosts[1].tcp_accept(picky).is_none());
}

#[test]
fn who_stops_listening_resets_whom_nobody_accepted() {
    let mut net = Net::pair();
    let web = listen(&mut net, ListenOptions::default());
    let client = connect(&mut net);
    net.settle();
    let now = net.now;
    net.hosts[1].tcp_stop_listening(now, web);
    net.settle();
    assert_eq!(net.hosts[0].tcp_take_error(client), Some(Error::Reset));
    assert_eq!(net.hosts[1].tcp_connections().count(), 0);
    let again = connect(&mut net);
    net.settle();
    assert_eq!(net.hosts[0].tcp_take_error(again), Some(Error::Refused));
}

#[test]
fn abort_leaves_nothing() {
    let mut net = Net::pair();
    let (_, client, peer) = open(&mut net);
    let now = net.now;
    net.hosts[0].tcp_abort(now, client);
    net.settle();
    assert_eq!(net.hosts[0].tcp_connections().count(), 0);
    assert_eq!(net.hosts[1].tcp_take_error(peer), Some(Error::Reset));
    assert_eq!(state(&net.hosts[1], peer), Some(State::Closed));
    net.hosts[1].tcp_close(now, peer);
    assert_eq!(net.hosts[1].tcp_connections().count(), 0);
    assert_eq!(net.hosts[0].stats().tcp.resets_of_connections_out, 1);
    assert_eq!(net.hosts[1].stats().tcp.resets_in, 1);
}

#[test]
fn talks_to_itself() {
    let mut net = Net::pair();
    let web = listen(&mut net, ListenOptions::default());
    let now = net.now;
    let client = net.hosts[1]
        .tcp_connect(now, server(), None, Options::default())
        .unwrap();
    net.settle();
    let (peer, _) = net.hosts[1].tcp_accept(web).unwrap();
    let data = pattern(3_000_000);
    let got = carry(&mut net, (1, client), (1, peer), &data);
    assert!(got == data);
    assert_eq!(net.hosts[1].stats().tcp.retransmitted, 0);
}

#[test]
fn time_wait_is_used_again() {
    let mut net = Net::pair();
    let web = listen(&mut net, ListenOptions::default());
    let from = Some("10.7.0.1:5000".parse().unwrap());
    for closer in [0, 1, 0, 1] {
        let now = net.now;
        let got = net.hosts[0].tcp_connect(now, server(), from, Options::default());
        let client = got.unwrap();
        net.settle();
        let (peer, _) = net.hosts[1].tcp_accept(web).unwrap();
        let data = pattern(5000);
        assert_eq!(carry(&mut net, (0, client), (1, peer), &data), data);
        let now = net.now;
        let both = [client, peer];
        net.hosts[closer].tcp_close(now, both[closer]);
        net.settle();
        net.hosts[1 - closer].tcp_close(now, both[1 - closer]);
        net.run(Duration::from_secs(2));
        let left: Vec<_> = net.hosts[closer].tcp_connections().map(|c| c.3).collect();
        assert_eq!(left, [State::TimeWait], "{closer}");
    }
    let reused = [0, 1].map(|i: usize| net.hosts[i].stats().tcp.time_wait_reused);
    // The fourth began while the third was in TIME-WAIT on the client, and the second on neither.
    assert_eq!(reused.iter().sum::<u64>(), 3, "{reused:?}");
}

#[test]
fn orphans_and_time_waits_are_limited() {
    let mut net = Net::pair();
    net.hosts[0].config.max_time_waits = 3;
    net.hosts[0].config.max_orphans = 2;
    let web = listen(&mut net, ListenOptions::default());
    let clients: Vec<_> = (0..8).map(|_| connect(&mut net)).collect();
    net.settle();
    let mut peers = Vec::new();
    while let Some((peer, _)) = net.hosts[1].tcp_accept(web) {
        peers.push(peer);
    }
    let now = net.now;
    for client in &clients {
        net.hosts[0].tcp_close(now, *client);
    }
    net.settle();
    // Two are in FIN-WAIT-2; the others were reset.
    assert_eq!(net.hosts[0].stats().tcp.orphans_reset, 6);
    assert_eq!(net.hosts[0].tcp_connections().count(), 2);
    for peer in peers {
        net.hosts[1].tcp_close(now, peer);
    }
    net.settle();
    assert_eq!(net.hosts[0].tcp.books()[1], 0);
    for _ in 0..5 {
        let client = connect(&mut net);
        net.settle();
        let (peer, _) = net.hosts[1].tcp_accept(web).unwrap();
        let now = net.now;
        net.hosts[0].tcp_close(now, client);
        net.settle();
        net.hosts[1].tcp_close(now, peer);
        net.settle();
    }
    assert_eq!(net.hosts[0].stats().tcp.time_wait_evicted, 4);
    assert_eq!(net.hosts[0].tcp_connections().count(), 3);
    assert_eq!(net.hosts[0].tcp.books()[2], 3);
    net.run(Duration::from_secs(61));
    assert_eq!(net.hosts[0].tcp.books(), [0; 5]);
}

#[test]
fn thousands_of_connections() {
    let mut net = Net::pair();
    let web = listen(
        &mut net,
        ListenOptions {
            backlog: 4000,
            syn_backlog: 4000,
            ..ListenOptions::default()
        },
    );
    let clients: Vec<_> = (0..3000).map(|_| connect(&mut net)).collect();
    net.settle();
    let mut peers = BTreeMap::new();
    while let Some((peer, from)) = net.hosts[1].tcp_accept(web) {
        peers.insert(from, peer);
    }
    assert_eq!(peers.len(), 3000);
    let now = net.now;
    for (i, client) in clients.iter().enumerate() {
        let n = u32::try_from(i).unwrap();
        assert_eq!(net.hosts[0].tcp_send(now, *client, &n.to_be_bytes()), Ok(4));
    }
    net.settle();
    for (i, client) in clients.iter().enumerate() {
        let local = net.hosts[0].tcp_local(*client).unwrap();
        let mut room = [0; 9];
        assert_eq!(net.hosts[1].tcp_recv(now, peers[&local], &mut room), Ok(4));
        assert_eq!(room[..4], u32::try_from(i).unwrap().to_be_bytes());
    }
    net.run(Duration::from_secs(1));
    for host in &net.hosts {
        assert_eq!(host.tcp.books()[4], 0, "idle connections have no timers");
    }
    for client in clients {
        net.hosts[0].tcp_abort(now, client);
    }
    net.settle();
    assert_eq!(net.hosts[0].tcp_connections().count(), 0);
}

#[test]
fn a_clone_in_mid_transfer_goes_on_equally() {
    let mut net = Net::pair();
    let (_, client, peer) = open(&mut net);
    let now = net.now;
    net.hosts[0]
        .tcp_send_bytes(now, client, Bytes::from(pattern(60_000)))
        .unwrap();
    // Some frames have crossed, not all.
    for _ in 0..3 {
        let frame = net.hosts[0].poll_transmit(now, Port(0)).unwrap();
        net.hosts[1].handle_frame(now, Port(0), frame);
    }
    let mut fork = Net {
        now,
        hosts: net.hosts.clone(),
        wires: vec![vec![(0, 0), (1, 0)]],
        log: Vec::new(),
    };
    net.log.clear();
    for net in [&mut net, &mut fork] {
        net.run(Duration::from_secs(1));
    }
    assert!(!net.log.is_empty());
    assert_eq!(net.log, fork.log);
    let mut room = vec![0; 70_000];
    assert_eq!(net.hosts[1].tcp_recv(net.now, peer, &mut room), Ok(60_000));
    assert_eq!(fork.hosts[1].tcp_recv(net.now, peer, &mut room), Ok(60_000));
}

#[test]
fn down_and_up_again() {
    let mut net = Net::pair();
    let (_, client, peer) = open(&mut net);
    let now = net.now;
    let data = pattern(50_000);
    net.hosts[0].tcp_send(now, client, &data).unwrap();
    net.hosts[0].set_up(now, 0, false);
    net.run(Duration::from_secs(3));
    assert!(net.hosts[0].stats().dropped_out(DropReason::NoRoute) > 0);
    let now = net.now;
    net.hosts[0].set_up(now, 0, true);
    net.run(Duration::from_secs(10));
    let mut room = vec![0; 70_000];
    assert_eq!(net.hosts[1].tcp_recv(net.now, peer, &mut room), Ok(50_000));
    assert_eq!(room[..50_000], data);
}

/// A segment of the client's as an ICMP error would quote it.
fn quote(net: &Net, len: u16, seq: u32) -> Vec<u8> {
    let from = net.hosts[0].tcp_connections().next().unwrap().1.port();
    let mut quote = vec![
        0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 7, 0, 1, 10, 7, 0, 2,
    ];
    quote[2..4].copy_from_slice(&len.to_be_bytes());
    quote.extend(from.to_be_bytes());
    quote.extend(PORT.to_be_bytes());
    quote.extend(seq.to_be_bytes());
    quote
}

/// Hands the client an ICMP error about a segment.
fn report(net: &mut Net, (kind, code): (u8, u8), mtu: u16, quote: &[u8]) -> Fate {
    let mut message = vec![kind, code, 0, 0, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend(quote);
    let sum = crate::wire::checksum::of(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = Frame::copy_from(&message);
    let out = crate::net::ipv4::Outgoing {
        tos: 0,
        ident: 1,
        dont_fragment: false,
        ttl: 64,
        protocol: crate::wire::Protocol::ICMP,
        src: B,
        dst: A,
        options: &[],
    };
    assert!(crate::net::ipv4::encapsulate(&mut frame, &out));
    let (dst, src) = (mac(1), mac(2));
    let kind = crate::wire::EtherType::IPV4;
    crate::link::ethernet::encapsulate(&mut frame, dst, src, None, kind);
    let now = net.now;
    net.hosts[0].handle_frame(now, Port(0), frame)
}

/// The sequence number of the frame's segment.
fn seq_of(frame: &Frame) -> u32 {
    let bytes = frame.to_bytes();
    u32::from_be_bytes(bytes[38..42].try_into().unwrap())
}

#[test]
fn segments_that_come_together_are_answered_one_by_one() {
    //= RFC 5681 §4.2; RFC 2883 §4
    let mut net = Net::pair();
    let (_, client, _) = open(&mut net);
    let now = net.now;
    let data = pattern(4 * 1448);
    assert_eq!(net.hosts[0].tcp_send(now, client, &data), Ok(data.len()));
    let frames: Vec<Frame> =
        core::iter::from_fn(|| net.hosts[0].poll_transmit(now, Port(0))).collect();
    assert_eq!(frames.len(), 4);
    let first = seq_of(&frames[0]);
    // What each answer acknowledges, and the first block that it reports.
    let mut answers = |some: &[Frame]| -> Vec<(u32, Option<(u32, u32)>)> {
        for frame in some {
            net.hosts[1].handle_frame(now, Port(0), frame.clone());
        }
        let out = core::iter::from_fn(|| net.hosts[1].poll_transmit(now, Port(0)));
        let told = out.map(|frame| {
            let bytes = frame.to_bytes();
            let (header, _) = crate::wire::tcp::Header::parse(&bytes[34..]).unwrap();
            let block = header.options().find_map(|option| match option {
                Ok(TcpOption::Sack(blocks)) => blocks.iter().next(),
                _ => None,
            });
            let at = |n: crate::wire::seq::SeqNum| n.0.wrapping_sub(first) / 1448;
            (at(header.ack), block.map(|(l, r)| (at(l), at(r))))
        });
        told.collect()
    };
    let held = [(0, Some((1, 2))), (0, Some((1, 3))), (0, Some((1, 4)))];
    assert_eq!(answers(&frames[1..]), held);
    assert_eq!(answers(&frames[..1]), [(4, None)]);
    let old = [(0, 1), (1, 2), (2, 3), (3, 4)].map(|block| (4, Some(block)));
    assert_eq!(answers(&frames), old);
}

#[test]
fn errors_are_believed_about_what_is_in_flight() {
    //= RFC 9293 §3.9.2.2 MUST-54; RFC 5927 §4.1
    let unmatched = Fate::Dropped(DropReason::IcmpQuoteUnmatched);
    let mut net = Net::pair();
    let (_, client, _) = open(&mut net);
    let now = net.now;
    net.hosts[0].tcp_send(now, client, &pattern(5000)).unwrap();
    let first = net.hosts[0].poll_transmit(now, Port(0)).unwrap();
    let seq = seq_of(&first);
    // What is not in flight is not believed.
    for off in [-1i32, 100_000, i32::MIN] {
        let quote = quote(&net, 1500, seq.wrapping_add_signed(off));
        assert_eq!(report(&mut net, (3, 4), 1000, &quote), unmatched, "{off}");
    }
    assert!(net.hosts[0].path_mtus().is_empty());
    // A hard error ends no connection that is open (RFC 5927 §5.2).
    let about = quote(&net, 1500, seq);
    assert_ne!(report(&mut net, (3, 2), 0, &about), unmatched);
    assert_eq!(state(&net.hosts[0], client), Some(State::Established));
    assert_ne!(report(&mut net, (3, 4), 1000, &about), unmatched);
    let status = net.hosts[0].tcp_status(now, client).unwrap();
    assert_eq!(status.pmtu, 1000);
    while let Some(frame) = net.hosts[0].poll_transmit(now, Port(0)) {
        assert!(frame.len() <= 1014, "{}", frame.len());
    }
}

#[test]
fn a_hard_error_ends_a_handshake() {
    //= RFC 9293 §3.9.2.2 MUST-54; RFC 5927 §5.2
    let mut net = Net::pair();
    net.hosts[0]
        .tcp_connect(net.now, server(), None, Options::default())
        .unwrap();
    let now = net.now;
    let mut syn = None;
    while let Some(frame) = net.hosts[0].poll_transmit(now, Port(0)) {
        if frame.to_bytes()[12..14] == [0x08, 0x06] {
            net.hosts[1].handle_frame(now, Port(0), frame);
            let reply = net.hosts[1].poll_transmit(now, Port(0)).unwrap();
            net.hosts[0].handle_frame(now, Port(0), reply);
        } else {
            syn = Some(frame);
        }
    }
    let about = quote(&net, 60, seq_of(&syn.unwrap()));
    report(&mut net, (3, 3), 0, &about);
    let handle = net.hosts[0].tcp_connections().next().unwrap().0;
    assert_eq!(net.hosts[0].tcp_take_error(handle), Some(Error::Refused));
}

#[test]
fn a_narrow_path_is_discovered_and_told_to_all() {
    //= RFC 9293 §3.7.3 SHLD-6
    let mut net = forward::routed(600);
    let web = net.hosts[2]
        .tcp_listen(any(PORT), ListenOptions::default())
        .unwrap();
    let to = SocketAddr::new(v4(forward::FAR), PORT);
    let now = net.now;
    let clients = [0; 3].map(|_| {
        // Its MSS lets the peer's link be no secret otherwise.
        net.hosts[0]
            .tcp_connect(now, to, None, Options::default())
            .unwrap()
    });
    net.hosts[2].interfaces[0].config.mtu = 1500;
    net.hosts[2].forget_routes();
    net.settle();
    let data = pattern(100_000);
    for client in clients {
        let (peer, _) = net.hosts[2].tcp_accept(web).unwrap();
        // Which of the three it is shows in its port.
        let peer_of = |net: &Net, h| net.hosts[2].tcp_remote(h);
        assert_eq!(peer_of(&net, peer), net.hosts[0].tcp_local(client));
        let got = carry(&mut net, (0, client), (2, peer), &data);
        assert!(got == data);
        let status = net.hosts[0].tcp_status(net.now, client).unwrap();
        assert_eq!(status.pmtu, 600);
    }
    // One report told them all: the router has refused nothing of the second and third.
    let refused = net.hosts[1]
        .stats()
        .dropped_in(DropReason::FragmentationNeeded);
    assert!(refused > 0 && refused <= 10, "{refused}");
}

#[test]
fn super_segments_leave_where_the_device_cuts() {
    let mut net = Net::pair();
    net.hosts[0].interfaces[0].config.tso = true;
    let (_, client, peer) = open(&mut net);
    let now = net.now;
    net.hosts[0]
        .tcp_send(now, client, &pattern(14_000))
        .unwrap();
    let frame = net.hosts[0].poll_transmit(now, Port(0)).unwrap();
    let gso = frame.offload.gso.unwrap();
    assert_eq!((gso.size, frame.len()), (1448, 14 + 20 + 32 + 14_000));
    // Whole, as one frame, or cut on the way: the peer gets the same.
    let mut cut = net.hosts[1].clone();
    net.hosts[1].handle_frame(now, Port(0), frame.clone());
    crate::link::offload::cut(frame, false, |piece| {
        assert_eq!(
            cut.handle_frame(now, Port(0), piece),
            Fate::Delivered(crate::machine::Consumer::Tcp)
        );
    });
    let [a, b] = [&net.hosts[1], &cut].map(|h| h.tcp_status(now, peer).unwrap());
    assert_eq!(a.unread, 14_000);
    assert_eq!(
        (a.unread, a.segs_in, a.rcv_wnd),
        (b.unread, b.segs_in, b.rcv_wnd)
    );
    let stats = net.hosts[0].stats().tcp;
    assert_eq!(stats.segments_out, 2 + 10);
}

#[test]
fn no_segment_to_or_from_everyone() {
    //= RFC 9293 §3.9.2.3 MUST-57
    let mut net = Net::pair();
    listen(&mut net, ListenOptions::default());
    let now = net.now;
    connect(&mut net);
    net.settle();
    let is_segment = |f: &Frame| f.to_bytes()[12..14] == [8, 0] && f.to_bytes()[23] == 6;
    let syn = net.log.iter().find(|(_, f, _)| is_segment(f));
    let mut syn = syn.unwrap().1.to_bytes().to_vec();
    syn[0..6].copy_from_slice(&[255; 6]);
    syn[30..34].copy_from_slice(&[10, 7, 0, 255]);
    syn[24..26].fill(0);
    let sum = crate::wire::checksum::of(&syn[14..34]);
    syn[24..26].copy_from_slice(&sum.to_be_bytes());
    let mut frame = Frame::copy_from(&syn);
    frame.offload.checksum = crate::frame::Checksum::Verified;
    let fate = net.hosts[1].handle_frame(now, Port(0), frame);
    assert_eq!(fate, Fate::Dropped(DropReason::TcpNotUnicast));
}

/// Passes frames for so long, of which one in `loss` is lost.
fn run_lossy(net: &mut Net, rng: &mut Rng, loss: u64, duration: Duration) {
    let end = net.now + duration;
    loop {
        let now = net.now;
        let mut moved = true;
        while core::mem::take(&mut moved) {
            for (from, to) in [(0, 1), (1, 0)] {
                while let Some(frame) = net.hosts[from].poll_transmit(now, Port(0)) {
                    moved = true;
                    if rng.below(loss) != 0 {
                        net.hosts[to].handle_frame(now, Port(0), frame);
                    }
                }
            }
            for host in &mut net.hosts {
                if host.poll_timeout().is_some_and(|t| t <= now) {
                    host.handle_timeout(now);
                    moved = true;
                }
            }
        }
        let next = net.hosts.iter().filter_map(Machine::poll_timeout).min();
        match next.filter(|t| *t <= end) {
            Some(next) => net.now = next,
            None => break,
        }
    }
    net.now = end;
}

#[test]
fn lives_at_random_over_a_bad_wire_leave_nothing_behind() {
    for seed in 0..12 {
        let mut rng = Rng::from_seed(seed);
        let mut net = Net::pair();
        let options = ListenOptions {
            backlog: 3,
            syn_backlog: 3,
            ..ListenOptions::default()
        };
        let mut web = listen(&mut net, options.clone());
        let mut held = [Vec::new(), Vec::new()];
        for _ in 0..400 {
            let now = net.now;
            let side = usize::try_from(rng.below(2)).unwrap();
            let any = |rng: &mut Rng, of: &[TcpHandle]| {
                let at = rng.below(of.len() as u64);
                of.get(usize::try_from(at).unwrap()).copied()
            };
            match rng.below(16) {
                0..4 => held[0].push(connect(&mut net)),
                4..7 => held[1].extend(net.hosts[1].tcp_accept(web).map(|(h, _)| h)),
                7..10 => {
                    if let Some(h) = any(&mut rng, &held[side]) {
                        let _ = net.hosts[side].tcp_send(now, h, &pattern(20_000));
                    }
                }
                10..12 => {
                    if let Some(h) = any(&mut rng, &held[side]) {
                        let _ = net.hosts[side].tcp_recv(now, h, &mut [0; 9000]);
                    }
                }
                12 => {
                    if let Some(h) = any(&mut rng, &held[side]) {
                        net.hosts[side].tcp_shutdown(now, h);
                    }
                }
                13 | 14 => {
                    if let Some(h) = any(&mut rng, &held[side]) {
                        held[side].retain(|k| *k != h);
                        match rng.below(4) {
                            0 => net.hosts[side].tcp_abort(now, h),
                            _ => net.hosts[side].tcp_close(now, h),
                        }
                    }
                }
                _ if rng.below(8) == 0 => {
                    net.hosts[1].tcp_stop_listening(now, web);
                    web = listen(&mut net, options.clone());
                }
                _ if rng.below(8) == 0 => {
                    net.hosts[side].set_up(now, 0, false);
                    run_lossy(&mut net, &mut rng, 10, Duration::from_secs(2));
                    let now = net.now;
                    net.hosts[side].set_up(now, 0, true);
                }
                _ => {}
            }
            let pause = Duration::from_millis(rng.below(300));
            run_lossy(&mut net, &mut rng, 10, pause);
            let of = [0, 1].map(|i: usize| net.hosts[i].tcp_connections().count());
            assert!(of[0] < 200 && of[1] < 200, "{of:?}");
        }
        let now = net.now;
        net.hosts[1].tcp_stop_listening(now, web);
        for (side, handles) in held.iter().enumerate() {
            for h in handles {
                net.hosts[side].tcp_close(now, *h);
            }
        }
        run_lossy(&mut net, &mut rng, 10, Duration::from_secs(3600));
        for host in &net.hosts {
            let left: Vec<_> = host.tcp_connections().map(|c| c.3).collect();
            assert_eq!(host.tcp.books(), [0; 5], "seed {seed}: {left:?}");
            assert!(host.stats().is_conserved());
        }
    }
}

#[test]
fn a_silent_peer_makes_the_next_hop_doubtful() {
    use crate::net::neighbor::State as Neighbor;
    let mut net = Net::pair();
    let (_, client, _) = open(&mut net);
    let hop = v4(B);
    let known = |net: &Net| {
        let all = net.hosts[0].interfaces();
        all[0].neighbors().neighbor(hop).map(|n| n.state)
    };
    assert_eq!(known(&net), Some(Neighbor::Reachable));
    let now = net.now;
    net.hosts[0].tcp_send(now, client, b"hello").unwrap();
    // Nothing arrives any more.
    let mut rng = Rng::from_seed(1);
    run_lossy(&mut net, &mut rng, 1, Duration::from_secs(1));
    //= RFC 9293 §3.8.3 MUST-20 (b): IP is told at R1, and asks the next hop itself.
    assert_eq!(net.hosts[0].stats().tcp.doubts, 0);
    run_lossy(&mut net, &mut rng, 1, Duration::from_secs(12));
    assert!(net.hosts[0].stats().tcp.doubts >= 2);
    assert_ne!(known(&net), Some(Neighbor::Reachable));
    let report = net.hosts[0].tcp_take_report(client);
    assert!(matches!(
        report,
        Some(tcp::Report::Silent { timeouts: 3.. })
    ));
}
