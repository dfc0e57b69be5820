//! Stories of calls and packets.

use super::*;
use stack::wire::checksum::Sum;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

const SYN: u8 = 2;
const FIN: u8 = 1;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// What a peer sends: ports 40000 to 8080 unless the story says otherwise.
#[derive(Clone, Default)]
struct Seg {
    flags: u8,
    seq: u32,
    ack: u32,
    win: u16,
    options: Vec<u8>,
    data: usize,
    ports: Option<(u16, u16)>,
}

fn seg(flags: u8, seq: u32, ack: u32) -> Seg {
    Seg {
        flags,
        seq,
        ack,
        win: 65_000,
        ..Seg::default()
    }
}

impl Seg {
    fn data(mut self, n: usize) -> Self {
        self.data = n;
        self
    }

    fn win(mut self, n: u16) -> Self {
        self.win = n;
        self
    }

    fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    fn bytes(&self, src: [u8; 4], dst: [u8; 4]) -> Vec<u8> {
        let (from, to) = self.ports.unwrap_or((40_000, 8080));
        let mut tcp = Vec::new();
        tcp.extend(from.to_be_bytes());
        tcp.extend(to.to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.push(u8::try_from((20 + self.options.len()) / 4 * 16).unwrap());
        tcp.push(self.flags);
        tcp.extend(self.win.to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(&self.options);
        tcp.resize(tcp.len() + self.data, 0);
        let mut sum = Sum::new();
        sum.add_pseudo4(
            src.into(),
            dst.into(),
            stack::wire::Protocol::TCP,
            tcp.len(),
        );
        sum.add(&tcp);
        let check = sum.finish().to_be_bytes();
        tcp[16..18].copy_from_slice(&check);
        let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0];
        ip.extend(src);
        ip.extend(dst);
        let total = u16::try_from(20 + tcp.len()).unwrap();
        ip[2..4].copy_from_slice(&total.to_be_bytes());
        let mut sum = Sum::new();
        sum.add(&ip);
        let check = sum.finish().to_be_bytes();
        ip[10..12].copy_from_slice(&check);
        ip.extend(tcp);
        ip
    }
}

const HERE: [u8; 4] = [192, 168, 0, 1];
const THERE: [u8; 4] = [192, 0, 2, 1];

/// What we sent, as far as stories look.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Out {
    flags: u8,
    seq: u32,
    ack: u32,
    win: u16,
    data: usize,
    options: Vec<u8>,
    port: u16,
}

fn parse(packet: &[u8]) -> Out {
    let tcp = &packet[20..];
    let word = |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().unwrap());
    let header = usize::from(tcp[12] >> 4) * 4;
    Out {
        flags: tcp[13],
        seq: word(4),
        ack: word(8),
        win: u16::from_be_bytes([tcp[14], tcp[15]]),
        data: tcp.len() - header,
        options: tcp[20..header].to_vec(),
        port: u16::from_be_bytes([tcp[0], tcp[1]]),
    }
}

struct Story {
    p: Process,
    /// Our first sequence number.
    iss: u32,
    /// Our port.
    port: u16,
}

impl Story {
    fn new() -> Self {
        Self::with(Setup::new(Profile::Linux, Mode::V4))
    }

    fn with(setup: Setup) -> Self {
        Self {
            p: Process::new(&setup),
            iss: 0,
            port: 8080,
        }
    }

    fn call(&mut self, op: Op) -> Poll<Answer> {
        self.p.call(&mut Call::from(op))
    }

    /// A call that answers at once.
    fn now(&mut self, op: Op) -> Answer {
        let shown = format!("{op:?}");
        match self.call(op) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("it waits: {shown}"),
        }
    }

    fn ok(&mut self, op: Op) -> i32 {
        let shown = format!("{op:?}");
        match self.now(op) {
            Ok(n) => i32::try_from(n).unwrap(),
            Err(e) => panic!("{e}: {shown}"),
        }
    }

    fn outs(&mut self) -> Vec<Out> {
        let mut all = Vec::new();
        while let Some(sent) = self.p.transmit() {
            all.push(parse(&sent.packet));
        }
        all
    }

    fn one(&mut self) -> Out {
        let all = self.outs();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    fn peer(&mut self, mut seg: Seg) {
        seg.ports.get_or_insert((40_000, self.port));
        self.p.deliver(&seg.bytes(THERE, HERE));
    }

    /// `ack` and `seq` are from our first number.
    fn ack(&self, seq: u32, ack: u32) -> Seg {
        seg(ACK, seq, self.iss.wrapping_add(ack))
    }

    fn pass(&mut self, millis: u64) {
        self.p.advance(self.p.now() + Duration::from_millis(millis));
    }

    fn socket(&mut self) -> i32 {
        let (domain, kind) = (libc::AF_INET, libc::SOCK_STREAM);
        let protocol = 0;
        self.ok(Op::Socket {
            domain,
            kind,
            protocol,
        })
    }

    fn nonblock(&mut self, fd: i32) {
        let (cmd, arg) = (libc::F_SETFL, i64::from(libc::O_RDWR | libc::O_NONBLOCK));
        self.ok(Op::Fcntl { fd, cmd, arg });
    }

    fn listener(&mut self, backlog: i32) -> i32 {
        let fd = self.socket();
        self.ok(Op::set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1));
        let addr = Some("0.0.0.0:8080".parse().unwrap());
        self.ok(Op::Bind { fd, addr });
        self.ok(Op::Listen { fd, backlog });
        fd
    }

    /// mss 1000, sackOK, wscale 7.
    fn syn_options() -> &'static [u8] {
        &[2, 4, 3, 232, 4, 2, 1, 1, 1, 3, 3, 7]
    }

    /// A connection by the peer; the peer's next number is 1.
    fn accepted(&mut self) -> i32 {
        let listener = self.listener(1);
        self.peer(seg(SYN, 0, 0).options(Self::syn_options()));
        let answer = self.one();
        assert_eq!(answer.flags, SYN | ACK);
        self.iss = answer.seq;
        let ack = self.ack(1, 1).win(257);
        self.peer(ack);
        assert_eq!(self.outs(), []);
        self.ok(Op::accept(listener))
    }

    /// A connection by us that waits for its answer.
    fn connecting(&mut self, fd: i32) -> Poll<Answer> {
        let to = Target::Addr("192.0.2.1:40000".parse().unwrap());
        let answer = self.call(Op::Connect { fd, to });
        let syn = self.one();
        assert_eq!(syn.flags, SYN);
        (self.iss, self.port) = (syn.seq, syn.port);
        answer
    }

    fn info(&self, fd: i32) -> TcpInfo {
        self.p.tcp_info(fd).unwrap()
    }
}

#[test]
fn a_server_accepts_reads_writes_and_closes() {
    let mut s = Story::new();
    let listener = s.listener(1);
    let mut accept = Call::from(Op::accept(listener));
    assert_eq!(s.p.call(&mut accept), Poll::Pending);
    s.peer(seg(SYN, 0, 0).options(Story::syn_options()));
    let answer = s.one();
    // mss 1460, two pads, sackOK, a pad, wscale 8; and a window of 64 KiB less one.
    assert_eq!(answer.options, [2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 8]);
    assert_eq!((answer.ack, answer.win), (1, 65_535));
    s.iss = answer.seq;
    assert_eq!(s.p.call(&mut accept), Poll::Pending);
    let ack = s.ack(1, 1);
    s.peer(ack);
    assert_eq!(s.p.call(&mut accept), Poll::Ready(Ok(4)));
    let Op::Accept { peer, .. } = accept.op else {
        panic!()
    };
    assert_eq!(peer, Some("192.0.2.1:40000".parse().unwrap()));

    let data = s.ack(1, 1).data(1000);
    s.peer(data);
    // The first segments are acknowledged at once.
    assert_eq!(s.one().ack, 1001);
    let mut read = Call::from(Op::recv(4, 5000, 0));
    assert_eq!(s.p.call(&mut read), Poll::Ready(Ok(1000)));
    assert_eq!(s.ok(Op::send(4, vec![7; 4000], 0)), 4000);
    let sent = s.p.transmit().unwrap();
    assert_eq!(sent.mss, Some(1000), "one packet, as a TUN device gets it");
    assert_eq!(parse(&sent.packet).data, 4000);
    let ack = s.ack(1001, 4001);
    s.peer(ack);

    let fin = s.ack(1001, 4001);
    s.peer(Seg {
        flags: FIN | ACK,
        ..fin
    });
    // After data its acknowledgment waits for company, as Linux's does.
    s.pass(40);
    assert_eq!(s.one().ack, 1002);
    assert_eq!(s.ok(Op::recv(4, 10, 0)), 0);
    assert_eq!(s.info(4).state, 8);
    assert_eq!(s.ok(Op::Close { fd: 4 }), 0);
    assert_eq!(s.one().flags, FIN | ACK);
    assert_eq!(s.now(Op::recv(4, 10, 0)), Err(Errno::EBADF));
}

#[test]
fn connect_says_what_it_is_at() {
    let mut s = Story::new();
    let fd = s.socket();
    s.nonblock(fd);
    assert_eq!(s.connecting(fd), Poll::Ready(Err(Errno::EINPROGRESS)));
    let to = Target::Addr("192.0.2.1:40000".parse().unwrap());
    assert_eq!(s.now(Op::Connect { fd, to }), Err(Errno::EALREADY));
    assert_eq!(s.now(Op::recv(fd, 9, 0)), Err(Errno::EAGAIN));
    assert_eq!(s.now(Op::send(fd, vec![0; 9], 0)), Err(Errno::EAGAIN));
    let answer = s.ack(0, 1);
    s.peer(
        Seg {
            flags: SYN | ACK,
            ..answer
        }
        .options(Story::syn_options()),
    );
    assert_eq!(s.one().flags, ACK);
    let mut error = Call::from(Op::get(fd, libc::SOL_SOCKET, libc::SO_ERROR, 4));
    assert_eq!(s.p.call(&mut error), Poll::Ready(Ok(0)));
    // The second connect hears of the success, the third that it is old news.
    assert_eq!(s.now(Op::Connect { fd, to }), Ok(0));
    assert_eq!(s.now(Op::Connect { fd, to }), Err(Errno::EISCONN));
    assert_eq!((s.info(fd).state, s.info(fd).snd_cwnd), (1, 10));
    assert_eq!(s.now(Op::Listen { fd, backlog: 1 }), Err(Errno::EINVAL));
}

#[test]
fn connect_hears_of_refusal_silence_and_no_way() {
    let mut s = Story::new();
    let fd = s.socket();
    let to = Target::Addr("192.0.2.1:40000".parse().unwrap());
    let mut connect = Call::from(Op::Connect { fd, to });
    assert_eq!(s.p.call(&mut connect), Poll::Pending);
    let syn = s.one();
    (s.iss, s.port) = (syn.seq, syn.port);
    let reset = s.ack(0, 1);
    s.peer(Seg {
        flags: RST | ACK,
        ..reset
    });
    assert_eq!(
        s.p.call(&mut connect),
        Poll::Ready(Err(Errno::ECONNREFUSED))
    );

    let fd = s.socket();
    let mut connect = Call::from(Op::Connect { fd, to });
    assert_eq!(s.p.call(&mut connect), Poll::Pending);
    s.pass(200_000);
    assert_eq!(
        s.outs().len(),
        11,
        "a SYN, four at a steady pace, and six more"
    );
    assert_eq!(s.p.call(&mut connect), Poll::Ready(Err(Errno::ETIMEDOUT)));

    let fd = s.socket();
    let to = Target::Addr("255.255.255.255:9".parse().unwrap());
    assert_eq!(s.now(Op::Connect { fd, to }), Err(Errno::ENETUNREACH));
    assert_eq!(
        s.now(Op::Connect {
            fd,
            to: Target::Null
        }),
        Err(Errno::EFAULT)
    );
}

#[test]
fn a_reset_is_told_once_and_a_pipe_stays_broken() {
    let mut s = Story::new();
    let fd = s.accepted();
    let reset = s.ack(1, 1);
    s.peer(Seg {
        flags: RST,
        ..reset
    });
    assert_eq!(s.now(Op::recv(fd, 9, 0)), Err(Errno::ECONNRESET));
    assert_eq!(s.now(Op::recv(fd, 9, 0)), Ok(0));
    assert_eq!(s.now(Op::send(fd, vec![0; 9], 0)), Err(Errno::EPIPE));
    assert_eq!(s.info(fd).state, 7);
}

#[test]
fn calls_refuse_what_linux_refuses() {
    let mut s = Story::new();
    assert_eq!(s.now(Op::recv(99, 1, 0)), Err(Errno::EBADF));
    let fd = s.socket();
    assert_eq!(s.now(Op::recv(fd, 1, 0)), Err(Errno::ENOTCONN));
    assert_eq!(s.now(Op::send(fd, vec![1], 0)), Err(Errno::EPIPE));
    assert_eq!(s.now(Op::accept(fd)), Err(Errno::EINVAL));
    let how = libc::SHUT_WR;
    assert_eq!(s.now(Op::Shutdown { fd, how }), Err(Errno::ENOTCONN));
    assert_eq!(s.now(Op::Bind { fd, addr: None }), Err(Errno::EFAULT));
    let addr = Some("10.9.8.7:1".parse().unwrap());
    assert_eq!(s.now(Op::Bind { fd, addr }), Err(Errno::EADDRNOTAVAIL));
    let addr = Some("192.168.0.1:1".parse().unwrap());
    assert_eq!(s.now(Op::Bind { fd, addr }), Ok(0));
    assert_eq!(s.now(Op::Bind { fd, addr }), Err(Errno::EINVAL));
    let second = s.socket();
    assert_eq!(s.now(Op::Bind { fd: second, addr }), Err(Errno::EADDRINUSE));
    assert_eq!(s.now(Op::set(fd, 6, 4711, 1)), Err(Errno::ENOPROTOOPT));
    assert_eq!(
        s.now(Op::set(fd, 6, libc::TCP_MAXSEG, 10)),
        Err(Errno::EINVAL)
    );
    let op = Op::SetSockOpt {
        fd,
        level: 6,
        name: libc::TCP_NODELAY,
        value: None,
    };
    assert_eq!(s.now(op), Err(Errno::EFAULT));
    let mut s = Story::new();
    let fd = s.accepted();
    let null = |mut op: Op| {
        if let Op::Send { null, .. } | Op::Recv { null, .. } = &mut op {
            *null = true;
        }
        op
    };
    assert_eq!(
        s.now(null(Op::send(fd, vec![0; 10], 0))),
        Err(Errno::EFAULT)
    );
    let data = s.ack(1, 1).data(10);
    s.peer(data);
    assert_eq!(s.now(null(Op::recv(fd, 10, 0))), Err(Errno::EFAULT));
    assert_eq!(s.now(Op::recv(fd, 10, 0)), Ok(10));
}

#[test]
fn buffers_are_counted_as_linux_counts_them() {
    let mut s = Story::new();
    let fd = s.accepted();
    s.ok(Op::set(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, 21_000));
    let mut get = Call::from(Op::get(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, 4));
    let _ = s.p.call(&mut get);
    let Op::GetSockOpt { value, .. } = get.op else {
        panic!()
    };
    assert_eq!(value.int(), Some(42_000));
    let mut write = Call::from(Op::send(fd, vec![0; 61_000], 0));
    assert_eq!(s.p.call(&mut write), Poll::Pending);
    let mut poll = Call::from(Op::Poll {
        fds: vec![PollFd {
            fd,
            events: libc::POLLOUT,
            revents: 0,
        }],
        timeout: 1000,
    });
    assert_eq!(s.p.call(&mut poll), Poll::Pending);
    s.pass(100);
    let _ = s.outs();
    let info = s.info(fd);
    assert!(info.busy_time >= 100_000, "{info:?}");
    let mut acked = 1;
    for _ in 0..3 {
        acked += 1000 * s.info(fd).unacked;
        let ack = s.ack(1, acked);
        s.peer(ack);
    }
    assert_eq!(s.p.call(&mut write), Poll::Ready(Ok(61_000)));
}

#[test]
fn time_limits_end_calls() {
    let mut s = Story::new();
    let fd = s.accepted();
    s.ok(Op::set(
        fd,
        libc::SOL_SOCKET,
        libc::SO_RCVTIMEO,
        OptVal::time(0, 250_000),
    ));
    let mut read = Call::from(Op::recv(fd, 9, 0));
    assert_eq!(s.p.call(&mut read), Poll::Pending);
    assert_eq!(s.p.next_timeout(), Some(Duration::from_millis(250)));
    s.pass(250);
    assert_eq!(s.p.call(&mut read), Poll::Ready(Err(Errno::EAGAIN)));
    let mut poll = Call::from(Op::Poll {
        fds: vec![PollFd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        }],
        timeout: 100,
    });
    assert_eq!(s.p.call(&mut poll), Poll::Pending);
    s.pass(100);
    assert_eq!(s.p.call(&mut poll), Poll::Ready(Ok(0)));
}

#[test]
fn peek_waitall_and_the_counts() {
    let mut s = Story::new();
    let fd = s.accepted();
    let data = s.ack(1, 1).data(600);
    s.peer(data);
    assert_eq!(s.ok(Op::recv(fd, 500, libc::MSG_PEEK)), 500);
    let mut inq = Call::from(Op::Ioctl {
        fd,
        request: 0x541B,
        value: 0,
    });
    let _ = s.p.call(&mut inq);
    assert!(matches!(inq.op, Op::Ioctl { value: 600, .. }));
    let mut all = Call::from(Op::recv(fd, 1000, libc::MSG_WAITALL));
    assert_eq!(s.p.call(&mut all), Poll::Pending);
    let data = s.ack(601, 1).data(600);
    s.peer(data);
    assert_eq!(s.p.call(&mut all), Poll::Ready(Ok(1000)));
    assert_eq!(s.ok(Op::recv(fd, 1000, libc::MSG_TRUNC)), 200);
    s.ok(Op::send(fd, vec![0; 300], 0));
    let mut outq = Call::from(Op::Ioctl {
        fd,
        request: 0x5411,
        value: 0,
    });
    let _ = s.p.call(&mut outq);
    assert!(matches!(outq.op, Op::Ioctl { value: 300, .. }));
}

#[test]
fn epoll_tells_by_level_by_edge_and_once() {
    let mut s = Story::new();
    let fd = s.accepted();
    let epfd = s.ok(Op::EpollCreate { flags: 0 });
    let ctl = |op: i32, events: i32| Op::EpollCtl {
        epfd,
        op,
        fd,
        event: Some(EpollEvent {
            events: events.cast_unsigned(),
            data: 5,
        }),
    };
    let wait = |s: &mut Story| {
        let op = Op::EpollWait {
            epfd,
            max: 4,
            timeout: 0,
            events: Vec::new(),
        };
        let mut call = Call::from(op);
        let _ = s.p.call(&mut call);
        match call.op {
            Op::EpollWait { events, .. } => events.first().map(|e| e.events.cast_signed()),
            _ => None,
        }
    };
    s.ok(ctl(libc::EPOLL_CTL_ADD, libc::EPOLLIN | libc::EPOLLET));
    assert_eq!(wait(&mut s), None);
    let data = s.ack(1, 1).data(10);
    s.peer(data);
    assert_eq!(wait(&mut s), Some(libc::EPOLLIN));
    assert_eq!(wait(&mut s), None, "an edge is told once");
    let data = s.ack(11, 1).data(10);
    s.peer(data);
    assert_eq!(wait(&mut s), Some(libc::EPOLLIN), "and again with more");
    s.ok(ctl(libc::EPOLL_CTL_MOD, libc::EPOLLIN));
    assert_eq!(wait(&mut s), Some(libc::EPOLLIN));
    assert_eq!(wait(&mut s), Some(libc::EPOLLIN));
    s.ok(ctl(libc::EPOLL_CTL_MOD, libc::EPOLLIN | libc::EPOLLONESHOT));
    assert_eq!(wait(&mut s), Some(libc::EPOLLIN));
    assert_eq!(wait(&mut s), None);
    assert_eq!(s.now(ctl(libc::EPOLL_CTL_ADD, 1)), Err(Errno::EEXIST));
}

#[test]
fn zerocopy_is_told_when_it_is_acknowledged() {
    let mut s = Story::new();
    let fd = s.accepted();
    s.ok(Op::set(fd, libc::SOL_SOCKET, option::SO_ZEROCOPY, 1));
    let queue = |s: &mut Story| {
        let mut call = Call::from(Op::recv(fd, 0, libc::MSG_ERRQUEUE));
        let answer = s.p.call(&mut call);
        match call.op {
            Op::Recv {
                control, out_flags, ..
            } => (answer, control, out_flags),
            _ => panic!(),
        }
    };
    s.ok(Op::send(fd, vec![0; 4000], libc::MSG_ZEROCOPY));
    s.ok(Op::send(fd, vec![0; 4000], libc::MSG_ZEROCOPY));
    assert_eq!(queue(&mut s).0, Poll::Ready(Err(Errno::EAGAIN)));
    let ack = s.ack(1, 8001);
    s.peer(ack);
    let (answer, control, flags) = queue(&mut s);
    assert_eq!((answer, flags), (Poll::Ready(Ok(0)), libc::MSG_ERRQUEUE));
    let data = &control[0].data;
    assert_eq!(
        (control[0].level, control[0].kind),
        (libc::SOL_IP, libc::IP_RECVERR)
    );
    assert_eq!(data[..8], [0, 0, 0, 0, 5, 0, 1, 0]);
    assert_eq!(data[8..16], [0, 0, 0, 0, 1, 0, 0, 0], "from 0 to 1");
}

#[test]
fn stamps_say_when_the_last_byte_left_and_was_acknowledged() {
    let mut s = Story::new();
    let fd = s.accepted();
    let flags = errqueue::TX_SCHED | errqueue::TX_ACK | errqueue::SOFTWARE | errqueue::OPT_ID;
    let flags = flags.cast_signed();
    s.ok(Op::set(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags));
    s.pass(10);
    s.ok(Op::send(fd, vec![0; 2000], 0));
    s.pass(10);
    let ack = s.ack(1, 2001);
    s.peer(ack);
    for (millis, info) in [(10, 1), (20, 2)] {
        let mut call = Call::from(Op::recv(fd, 0, libc::MSG_ERRQUEUE));
        assert_eq!(s.p.call(&mut call), Poll::Ready(Ok(0)));
        let Op::Recv {
            control, out_flags, ..
        } = call.op
        else {
            panic!()
        };
        assert_eq!(out_flags, libc::MSG_ERRQUEUE | libc::MSG_TRUNC);
        let nanos = i64::from_ne_bytes(control[0].data[8..16].try_into().unwrap());
        assert_eq!(nanos, millis * 1_000_000);
        assert_eq!(control[1].data[8], info);
        assert_eq!(control[1].data[12..16], 1999_u32.to_ne_bytes());
    }
}

#[test]
fn fast_open_asks_for_a_cookie_and_then_uses_it() {
    let mut s = Story::new();
    let send = |fd, n| Op::Send {
        fd,
        data: vec![0; n],
        flags: libc::MSG_FASTOPEN,
        to: Some("192.0.2.1:40000".parse().unwrap()),
        control: Vec::new(),
        parts: Vec::new(),
        null: false,
        done: 0,
    };
    let fd = s.socket();
    s.nonblock(fd);
    assert_eq!(s.now(send(fd, 500)), Err(Errno::EINPROGRESS));
    let syn = s.one();
    assert_eq!(syn.options[20..], [34, 2, 1, 1]);
    (s.iss, s.port) = (syn.seq, syn.port);
    let answer = s.ack(0, 1);
    let cookie = [2, 4, 3, 232, 34, 6, 0xab, 0xcd, 0x12, 0x34, 1, 1];
    s.peer(
        Seg {
            flags: SYN | ACK,
            ..answer
        }
        .options(&cookie),
    );
    assert_eq!(s.one().flags, ACK);
    s.ok(Op::Close { fd });
    let _ = s.outs();
    let fd = s.socket();
    s.nonblock(fd);
    assert_eq!(s.now(send(fd, 500)), Ok(500));
    assert_eq!(s.one().data, 500);
    s.ok(Op::Close { fd });
}

#[test]
fn a_mapped_socket_speaks_ipv4() {
    let mut s = Story::with(Setup::new(Profile::Linux, Mode::Mapped));
    let fd = s.ok(Op::Socket {
        domain: libc::AF_INET6,
        kind: libc::SOCK_STREAM,
        protocol: 0,
    });
    let addr: Option<SocketAddr> = Some("[::]:8080".parse().unwrap());
    s.ok(Op::Bind { fd, addr });
    s.ok(Op::Listen { fd, backlog: 1 });
    s.peer(seg(SYN, 0, 0).options(Story::syn_options()));
    s.iss = s.one().seq;
    let ack = s.ack(1, 1);
    s.peer(ack);
    let mut accept = Call::from(Op::accept(fd));
    assert_eq!(s.p.call(&mut accept), Poll::Ready(Ok(4)));
    let mapped = Some("[::ffff:192.0.2.1]:40000".parse().unwrap());
    assert!(matches!(accept.op, Op::Accept { peer, .. } if peer == mapped));
}

#[test]
fn linger_resets_or_waits() {
    let mut s = Story::new();
    let fd = s.accepted();
    s.ok(Op::set(
        fd,
        libc::SOL_SOCKET,
        libc::SO_LINGER,
        OptVal::linger(1, 0),
    ));
    s.ok(Op::Close { fd });
    assert_eq!(s.one().flags, RST | ACK);
    let mut s = Story::new();
    let fd = s.accepted();
    s.ok(Op::set(
        fd,
        libc::SOL_SOCKET,
        libc::SO_LINGER,
        OptVal::linger(1, 5),
    ));
    let mut close = Call::from(Op::Close { fd });
    assert_eq!(s.p.call(&mut close), Poll::Pending);
    assert_eq!(s.one().flags, FIN | ACK);
    let ack = s.ack(1, 2);
    s.peer(ack);
    assert_eq!(s.p.call(&mut close), Poll::Ready(Ok(0)));
}

#[test]
fn pipes_splice_and_sendfile_move_bytes() {
    let mut s = Story::new();
    let fd = s.accepted();
    let mut pipe = Call::from(Op::Pipe {
        flags: 0,
        fds: [0; 2],
    });
    assert_eq!(s.p.call(&mut pipe), Poll::Ready(Ok(0)));
    let Op::Pipe { fds: [out, to], .. } = pipe.op else {
        panic!()
    };
    let data = s.ack(1, 1).data(99);
    s.peer(data);
    let _ = s.outs();
    let splice = |from, to| Op::Splice {
        from,
        to,
        len: 1000,
        flags: 0,
        done: 0,
    };
    assert_eq!(s.ok(splice(fd, to)), 99);
    assert_eq!(s.ok(splice(out, fd)), 99);
    assert_eq!(s.one().data, 99);
    let from = s.ok(Op::Open { len: 5 });
    let op = Op::SendFile {
        to: fd,
        from,
        offset: Some(0),
        len: 5,
        done: 0,
    };
    assert_eq!(s.ok(op), 5);
}

#[test]
fn sysctls_reach_our_tcp_and_unknown_ones_say_so() {
    let mut s = Story::new();
    s.p.sysctl("net.ipv4.tcp_timestamps", "0").unwrap();
    s.p.sysctl("/proc/sys/net/ipv4/tcp_sack", "0").unwrap();
    let fd = s.socket();
    s.nonblock(fd);
    let to = Target::Addr("192.0.2.1:40000".parse().unwrap());
    let _ = s.call(Op::Connect { fd, to });
    assert_eq!(s.one().options, [2, 4, 5, 180, 1, 3, 3, 8]);
    assert!(s.p.sysctl("net.ipv4.tcp_bogus", "0").is_err());
    assert!(s.p.sysctl("net.ipv4.tcp_sack", "maybe").is_err());
}

#[test]
fn a_freebsd_says_its_own_options() {
    let mut s = Story::with(Setup::new(Profile::FreeBsd, Mode::V4));
    let fd = s.socket();
    s.nonblock(fd);
    let to = Target::Addr("192.0.2.1:40000".parse().unwrap());
    let _ = s.call(Op::Connect { fd, to });
    let syn = s.one();
    assert_eq!(syn.win, 65_535);
    assert_eq!(syn.options[..12], [2, 4, 5, 180, 1, 3, 3, 6, 4, 2, 8, 10]);
}

#[test]
fn errors_have_names_and_a_push_is_a_push() {
    assert_eq!(
        Errno::EAGAIN.to_string(),
        "EAGAIN (Resource temporarily unavailable)"
    );
    assert_eq!(Errno::from_name("EWOULDBLOCK"), Some(Errno::EAGAIN));
    assert_eq!(TcpInfo::default().to_bytes().len(), 280);
    let mut s = Story::new();
    let fd = s.accepted();
    s.ok(Op::set(fd, libc::IPPROTO_TCP, libc::TCP_CORK, 1));
    s.ok(Op::send(fd, vec![0; 300], 0));
    assert_eq!(s.outs(), []);
    s.ok(Op::set(fd, libc::IPPROTO_TCP, libc::TCP_CORK, 0));
    assert_eq!(s.one().flags, PSH | ACK);
}

#[test]
fn a_fast_open_server_writes_at_once_and_disconnects_with_a_reset() {
    let mut s = Story::new();
    s.p.sysctl("net.ipv4.tcp_fastopen", "0x202").unwrap();
    let fd = s.listener(1);
    s.ok(Op::set(fd, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, 1));
    s.peer(seg(SYN, 0, 0).options(Story::syn_options()).data(10));
    let answer = s.one();
    assert_eq!((answer.flags, answer.ack), (SYN | ACK, 11));
    let fd = s.ok(Op::accept(fd));
    assert_eq!((s.info(fd).state, s.info(fd).options & 32), (3, 32));
    assert_eq!(s.ok(Op::recv(fd, 512, 0)), 10);
    assert_eq!(s.ok(Op::send(fd, vec![0; 100], 0)), 100);
    assert_eq!(s.one().data, 100);
    let to = Target::Unspec;
    assert_eq!(s.ok(Op::Connect { fd, to }), 0);
    assert_eq!(s.one().flags, RST | ACK);
    assert_eq!(s.info(fd).state, 7);
}

#[test]
fn more_to_come_waits_for_an_acknowledgment_at_most() {
    let mut s = Story::new();
    let fd = s.accepted();
    s.ok(Op::set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1));
    s.ok(Op::send(fd, vec![0; 3100], libc::MSG_MORE));
    assert_eq!(s.one().data, 3000);
    s.ok(Op::send(fd, vec![0; 50], libc::MSG_MORE));
    assert_eq!(s.outs(), []);
    let ack = s.ack(1, 2001);
    s.peer(ack);
    assert_eq!(s.one().data, 150);
    s.ok(Op::set(fd, libc::IPPROTO_TCP, libc::TCP_CORK, 1));
    s.ok(Op::send(fd, vec![0; 40], 0));
    assert_eq!(s.outs(), []);
    s.ok(Op::set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1));
    assert_eq!(s.one().data, 40);
}
