//! Data in SYNs between hosts: cookies learned, limits kept, failures remembered.

use super::*;
use crate::transport::tcp::{Error, ListenOptions, Options, State};
use crate::wire::tcp::{Flags, Header, TcpOption};
use core::net::SocketAddr;

const TO: SocketAddr = SocketAddr::new(IpAddr::V4(B), 80);

fn listen(net: &mut Net, fast_open: usize) -> ListenHandle {
    let options = ListenOptions {
        fast_open,
        ..ListenOptions::default()
    };
    net.hosts[1]
        .tcp_listen("0.0.0.0:80".parse().unwrap(), options)
        .unwrap()
}

/// Connects and hands over `data` before the SYN leaves.
fn connect(net: &mut Net, data: &[u8]) -> TcpHandle {
    let options = Options {
        fast_open: true,
        ..Options::default()
    };
    let now = net.now;
    let h = net.hosts[0].tcp_connect(now, TO, None, options).unwrap();
    assert_eq!(net.hosts[0].tcp_send(now, h, data), Ok(data.len()));
    h
}

/// One frame from host 0 that is for TCP, given to host 1, and nothing else.
fn carry_syn(net: &mut Net) -> (usize, Option<usize>) {
    let frame = net.hosts[0].poll_transmit(net.now, Port(0)).unwrap();
    let seen = syn(&frame);
    net.hosts[1].handle_frame(net.now, Port(0), frame);
    seen
}

/// A segment's data, and the length of its cookie.
fn syn(frame: &Frame) -> (usize, Option<usize>) {
    let bytes = frame.to_bytes();
    let total = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    let (header, data) = Header::parse(&bytes[34..14 + total]).unwrap();
    assert!(header.flags.contains(Flags::SYN), "{:?}", header.flags);
    let cookie = header.options().flatten().find_map(|o| match o {
        TcpOption::FastOpen { cookie, .. } => Some(cookie.len()),
        _ => None,
    });
    (data.len(), cookie)
}

/// Accepts what waits, reads it and closes; gives what was read.
fn serve(net: &mut Net, web: ListenHandle) -> Vec<u8> {
    let now = net.now;
    let (h, _) = net.hosts[1].tcp_accept(web).unwrap();
    let mut room = [0; 4000];
    let n = net.hosts[1].tcp_recv(now, h, &mut room).unwrap_or(0);
    net.hosts[1].tcp_close(now, h);
    room[..n].to_vec()
}

fn close(net: &mut Net, h: TcpHandle) {
    let now = net.now;
    net.settle();
    net.hosts[0].tcp_close(now, h);
    net.settle();
}

/// The first connection of a pair of hosts, which brings a cookie.
fn learn(net: &mut Net, web: ListenHandle) {
    let h = connect(net, b"first");
    net.settle();
    assert_eq!(serve(net, web), b"first");
    close(net, h);
}

#[test]
fn the_second_connection_is_served_before_the_first_round_trip_ends() {
    //= RFC 7413 §4.1.1, §4.2.1, §4.2.2
    let mut net = Net::pair();
    let web = listen(&mut net, 8);
    let first = connect(&mut net, b"first");
    net.settle();
    assert!(!net.hosts[0].tcp_status(net.now, first).unwrap().fast_open);
    assert_eq!(serve(&mut net, web), b"first");
    close(&mut net, first);
    let h = connect(&mut net, b"GET /");
    assert_eq!(carry_syn(&mut net), (5, Some(8)));
    let now = net.now;
    let (peer, _) = net.hosts[1].tcp_accept(web).unwrap();
    assert_eq!(net.hosts[1].tcp_state(peer), Some(State::SynReceived));
    let mut room = [0; 99];
    assert_eq!(net.hosts[1].tcp_recv(now, peer, &mut room), Ok(5));
    assert_eq!(&room[..5], b"GET /");
    assert_eq!(net.hosts[1].tcp_send(now, peer, &[9; 4000]), Ok(4000));
    // All of the answer leaves before anything more came from the client.
    let out: Vec<Frame> =
        core::iter::from_fn(|| net.hosts[1].poll_transmit(now, Port(0))).collect();
    assert_eq!(out.len(), 4);
    for frame in out {
        net.hosts[0].handle_frame(now, Port(0), frame);
    }
    let mut room = [0; 5000];
    assert_eq!(net.hosts[0].tcp_recv(now, h, &mut room), Ok(4000));
    net.settle();
    let open = |host: &Host, h| {
        let status = host.tcp_status(now, h).unwrap();
        (status.state, status.fast_open, status.total_retrans)
    };
    assert_eq!(open(&net.hosts[0], h), (State::Established, true, 0));
    assert_eq!(open(&net.hosts[1], peer), (State::Established, true, 0));
    assert_eq!(net.hosts[1].stats().tcp.fast_opens, 1);
    net.hosts[1].tcp_close(now, peer);
    close(&mut net, h);
    net.run(Duration::from_secs(200));
    assert!(net.hosts.iter().all(|h| h.tcp.books() == [0; 5]));
}

#[test]
fn nothing_of_it_unless_both_ask() {
    //= RFC 7413 §2, §2.1, §4.2
    // The server does not do it: the client leaves it alone for a minute.
    let mut net = Net::pair();
    let web = listen(&mut net, 0);
    for (wait, cookie) in [(0, Some(0)), (59, None), (1, Some(0))] {
        net.run(Duration::from_secs(wait));
        let h = connect(&mut net, b"x");
        net.log.clear();
        net.settle();
        let first = net.log.iter().find(|(to, f, _)| *to == 1 && f.len() > 60);
        assert_eq!(syn(&first.unwrap().1), (0, cookie), "{wait}");
        assert_eq!(serve(&mut net, web), b"x");
        close(&mut net, h);
    }
    assert_eq!(net.hosts[0].stats().tcp.fast_opens_refused, 2);
    // The client does not.
    let mut net = Net::pair();
    let web = listen(&mut net, 8);
    learn(&mut net, web);
    let now = net.now;
    let plain = Options::default();
    let h = net.hosts[0].tcp_connect(now, TO, None, plain).unwrap();
    net.hosts[0].tcp_send(now, h, b"x").unwrap();
    assert_eq!(carry_syn(&mut net), (0, None));
}

#[test]
fn so_many_may_be_pending_and_those_reset_count() {
    //= RFC 7413 §5.1
    let mut net = Net::pair();
    let web = listen(&mut net, 2);
    learn(&mut net, web);
    for n in 0..2 {
        let h = connect(&mut net, b"early");
        assert_eq!(carry_syn(&mut net), (5, Some(8)));
        // The client goes, and its host resets what it gets.
        let now = net.now;
        net.hosts[0].tcp_abort(now, h);
        assert_eq!(net.hosts[1].stats().tcp.fast_opens, n + 1);
    }
    let h = connect(&mut net, b"late");
    assert_eq!(carry_syn(&mut net), (4, Some(8)));
    assert_eq!(net.hosts[1].stats().tcp.fast_open_overflows, 1);
    net.settle();
    // Its data came with the handshake's end.
    let read: Vec<_> = (0..3).map(|_| serve(&mut net, web)).collect();
    assert_eq!(read, [&b"early"[..], b"early", b"late"]);
    close(&mut net, h);
    for (seconds, more) in [(58, 0), (4, 1)] {
        // Those that were reset count for a minute.
        net.run(Duration::from_secs(seconds));
        let before = net.hosts[1].stats().tcp.fast_opens;
        net.hosts[0].tcp.fast_open.client.succeeded(v4(A), TO);
        let h = connect(&mut net, b"again");
        net.settle();
        assert_eq!(serve(&mut net, web), b"again");
        close(&mut net, h);
        assert_eq!(
            net.hosts[1].stats().tcp.fast_opens,
            before + more,
            "{seconds}"
        );
    }
}

#[test]
fn a_path_that_drops_such_syns_costs_one_timeout() {
    let mut net = Net::pair();
    let web = listen(&mut net, 8);
    learn(&mut net, web);
    let h = connect(&mut net, b"data");
    assert!(net.hosts[0].poll_transmit(net.now, Port(0)).is_some());
    net.run(Duration::from_secs(2));
    assert_eq!(serve(&mut net, web), b"data");
    close(&mut net, h);
    assert_eq!(net.hosts[0].stats().tcp.fast_opens_refused, 1);
    let h = connect(&mut net, b"plain");
    assert_eq!(carry_syn(&mut net), (0, None));
    net.settle();
    assert_eq!(serve(&mut net, web), b"plain");
    close(&mut net, h);
}

#[test]
fn keys_rotate_and_a_stranger_has_none() {
    let mut net = Net::pair();
    let web = listen(&mut net, 8);
    learn(&mut net, web);
    // After one change the cookie is good, and replaced; after two it is not, and replaced.
    for (hours, fast) in [(12, true), (12, true), (30, false), (1, true)] {
        net.run(Duration::from_secs(hours * 3600));
        let before = net.hosts[1].stats().tcp.fast_opens;
        let h = connect(&mut net, b"x");
        net.settle();
        assert_eq!(serve(&mut net, web), b"x");
        close(&mut net, h);
        let now = net.hosts[1].stats().tcp.fast_opens;
        assert_eq!(now - before, u64::from(fast), "{hours}");
    }
    assert_eq!(net.hosts[0].stats().tcp.fast_opens_refused, 0);
    assert_eq!(net.hosts[0].stats().tcp.retransmitted, 1);
}

#[test]
fn an_unread_early_connection_that_is_reset_tells_its_user() {
    let mut net = Net::pair();
    let web = listen(&mut net, 8);
    learn(&mut net, web);
    let h = connect(&mut net, b"data");
    carry_syn(&mut net);
    let now = net.now;
    let (peer, _) = net.hosts[1].tcp_accept(web).unwrap();
    net.hosts[0].tcp_abort(now, h);
    net.settle();
    assert_eq!(net.hosts[1].tcp_take_error(peer), Some(Error::Reset));
    net.hosts[1].tcp_close(now, peer);
    net.run(Duration::from_secs(1));
    let left: Vec<_> = net.hosts[1].tcp_connections().map(|c| c.3).collect();
    assert_eq!(
        left,
        [State::TimeWait],
        "the first, which brought the cookie"
    );
}

#[test]
fn equal_options_are_kept_once() {
    let mut net = Net::pair();
    let now = net.now;
    let handles: Vec<_> = (0..50)
        .map(|_| {
            let options = Options::default();
            net.hosts[0].tcp_connect(now, TO, None, options).unwrap()
        })
        .collect();
    let places = handles
        .iter()
        .map(|h| core::ptr::from_ref(net.hosts[0].tcp_options(*h).unwrap()));
    assert_eq!(places.collect::<std::collections::BTreeSet<_>>().len(), 1);
}
