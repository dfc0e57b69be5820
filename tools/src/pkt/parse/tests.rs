use super::*;
use crate::pkt::tree::{About, Body, Expr, Packet, TcpOption, TosSpec};

fn script(text: &str) -> Script {
    parse(text, &Defines::new()).unwrap_or_else(|trouble| panic!("{text}: {trouble}"))
}

fn packet(text: &str) -> Packet {
    match script(&format!("0 {text}")).events.remove(0).action {
        Action::Packet(packet) => *packet,
        other => panic!("{other:?}"),
    }
}

fn call(text: &str) -> crate::pkt::tree::SystemCall {
    match script(&format!("0 {text}")).events.remove(0).action {
        Action::Call(call) => *call,
        other => panic!("{other:?}"),
    }
}

fn why(text: &str) -> String {
    parse(text, &Defines::new()).unwrap_err().to_string()
}

#[test]
fn times() {
    for (text, time) in [
        ("1.5", Time::At(1_500_000_000)),
        ("+.04", Time::After(40_000_000)),
        ("1~1.25", Time::Between(1_000_000_000, 1_250_000_000)),
        ("+0~+.1", Time::AfterBetween(0, 100_000_000)),
        ("*", Time::Any),
    ] {
        assert_eq!(
            script(&format!("{text} > . 1:1(0)")).events[0].time,
            time,
            "{text}"
        );
    }
}

#[test]
fn segments() {
    let Body::Tcp(tcp) = packet(
        "> [ect0] SW.  7:7(0) ack 1 win 9 urg 2 \
         <mss 1460,nop,wscale 8,sackOK,TS val 100 ecr 0,sack 1:2 5:9,FO 0a1b,FOEXP,md5 00,eol>",
    )
    .body
    else {
        panic!("not TCP")
    };
    assert_eq!(
        (tcp.flags, tcp.seq, tcp.ack, tcp.window, tcp.urgent),
        (0x92, 7, 1, Some(9), 2)
    );
    assert_eq!(
        tcp.options.unwrap(),
        [
            TcpOption::Mss(1460),
            TcpOption::Nop,
            TcpOption::Wscale(8),
            TcpOption::SackOk,
            TcpOption::Ts { val: 100, ecr: 0 },
            TcpOption::Sack(vec![(1, 2), (5, 9)]),
            TcpOption::FastOpen(vec![0x0a, 0x1b]),
            TcpOption::FastOpenExp(vec![]),
            TcpOption::Md5(vec![0]),
            TcpOption::Eol,
        ]
    );
    assert_eq!(packet("> [ect0] . 1:1(0)").ip.tos, TosSpec::Ecn(2));
    assert_eq!(packet("> (ttl 3) . 1:1(0)").ip.ttl, 3);
    let Body::Tcp(tcp) = packet("> P.5 1:2(1) <...>").body else {
        panic!("not TCP")
    };
    assert_eq!((tcp.flags, tcp.ace, tcp.options), (0x158, true, None));
    let Body::Tcp(tcp) = packet("< 8 > 9 - 4294967295:0(1)").body else {
        panic!("not TCP")
    };
    assert_eq!((tcp.flags, tcp.ports, tcp.len), (0, Some((8, 9)), 1));
}

#[test]
fn accurate_ecn_counters() {
    for (text, kind, counters) in [
        ("ECN e1b 1 ceb 0 e0b 2", 174, vec![1, 0, 2]),
        ("ECN e0b 1 ceb 0", 172, vec![1, 0]),
    ] {
        let Body::Tcp(tcp) = packet(&format!("> A. 1:1(0) <{text}>")).body else {
            panic!("not TCP")
        };
        assert_eq!(tcp.options.unwrap(), [TcpOption::AccEcn { kind, counters }]);
    }
    assert!(why("0 > . 1:1(0) <ECN ceb 1>").contains("e0b ceb e1b"));
}

#[test]
fn other_packets() {
    assert_eq!(
        packet("> udp 1 > 2 (10)").body,
        Body::Udp {
            ports: Some((1, 2)),
            len: 10
        }
    );
    assert_eq!(
        packet("< icmp unreachable frag_needed mtu 1200 [1:1461(1460)]").body,
        Body::Icmp {
            kind: "unreachable".into(),
            code: Some("frag_needed".into()),
            mtu: Some(1200),
            id: 0,
            about: About::Tcp { seq: 1, len: 1460 },
        }
    );
}

#[test]
fn packets_within_packets() {
    for text in [
        "ipv4 1.2.3.4 > 5.6.7.8: ",
        "ipv4 [ttl 3] 1.2.3.4 > 5.6.7.8: gre: ",
        "ipv6 1::1111 > 2::2222: gre flags 0xb000, sum 511, off 1023, key 0x80001234, seq 512: ",
        "ipv6 ::1 > ::2: mpls (label 0, tc 0, ttl 0) (label 1048575, tc 7, [S], ttl 255): ",
        "ipv6 ::1 > ::2: ipv6 ::3 > ::4: gre: mpls (label 5, tc 0, [S], ttl 9): ",
    ] {
        let read = packet(&format!("< {text}[ect0] . 1:11(10) ack 1 win 123"));
        let told: String = read.outer.iter().map(ToString::to_string).collect();
        assert_eq!(told, text);
        assert_eq!(read.ip.tos, TosSpec::Ecn(2));
    }
    for (text, wanted) in [
        ("ipv4 1::1 > 1::2: .", "an IPv4 address"),
        ("gre nonsense 3: .", "GRE has no field"),
        ("mpls (label 1, tc 0, ttl 3): .", "bottom"),
        ("mpls (label 1048576, tc 0, [S], ttl 3): .", "20 bits"),
        ("mpls (label 1, [S]) (label 2, [S]): .", "behind the bottom"),
        ("encap psp spi 12 .", "PSP"),
        ("ipv4 1.1.1.1 > 2.2.2.2 : psp spi 12: .", "PSP"),
    ] {
        let why = why(&format!("0 < {text} 1:1(0)"));
        assert!(why.contains(wanted), "{text}: {why}");
    }
}

#[test]
fn calls() {
    let connect = call("... 0.5 connect(3, ..., ...) = -1 ECONNREFUSED (Connection refused)");
    assert_eq!(connect.end, Some(500_000_000));
    assert_eq!(connect.errno.as_deref(), Some("ECONNREFUSED"));
    assert_eq!(connect.result, Expr::Int(-1));
    let flags = call("fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0x2 (flags O_RDWR)");
    assert!(matches!(&flags.args[2], Expr::Or(..)));
    assert_eq!(flags.result, Expr::Int(2));
    let message = call(
        "recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{...,7}], msg_flags=0, \
         msg_control=[{cmsg_level=SOL_TCP, cmsg_type=TCP_CM_INQ, cmsg_data=7}]}, 0) = 7",
    );
    let Expr::Struct(fields) = &message.args[1] else {
        panic!("{message:?}")
    };
    let names: Vec<_> = fields.iter().map(|f| f.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["msg_name", "msg_iov", "msg_flags", "msg_control"]);
    assert_eq!(fields[1].size, Some(Expr::Int(1)));
    let bind = call(
        "bind(3, {sa_family = AF_INET, sin_port = htons(8080), \
         sin_addr = inet_addr(\"1.2.3.4\")}, ...) = 0",
    );
    assert!(matches!(&bind.args[1], Expr::Struct(fields) if fields.len() == 3));
    assert_eq!(
        call("setsockopt(3, 0, 0, \"a\\x00\" \"b\", 3) = 0").args[3],
        Expr::Str(b"a\0b".to_vec())
    );
}

#[test]
fn blocks_and_options() {
    let found = script(
        "--mss=1000\n--ip_version=ipv4-mapped-ipv6\n--send_omit_free // why\n--define=N=7\n\
         `init`\n0 `during`\n+0 %{ assert 1 }%\n+0 listen(N, 1) = 0\n`after`",
    );
    assert_eq!(
        found.options[1],
        ("ip_version".into(), Some("ipv4-mapped-ipv6".into()))
    );
    assert_eq!(found.options[2], ("send_omit_free".into(), None));
    assert_eq!(found.init.unwrap().1, "init");
    assert_eq!(found.cleanup.unwrap().1, "after");
    assert!(matches!(&found.events[2].action, Action::Call(c) if c.args[0] == Expr::Int(7)));
}

#[test]
fn troubles_have_places() {
    for (text, expected) in [
        ("0 > S 0:5(0)", "1:7: 0 bytes from 0 do not end at 5"),
        (
            "0 > S 0:0(0)\n+0 foo(1 = 2",
            "2:10: expected `,` or `)`, found `=`",
        ),
        ("0 >", "1:4: expected TCP flags, udp or icmp, found the end"),
        (
            "* close(3) = 0",
            "1:1: the time * is for outbound packets only",
        ),
        ("2~1 > S 0:0(0)", "1:1: this range of times runs backwards"),
        (
            "0 < . 1:1(0) <...>",
            "1:14: <...> is for outbound packets only",
        ),
        (
            "0 < . 1:1(0) win 70000",
            "1:18: a window is out of range: 70000",
        ),
        ("0 close(3)", "1:11: expected `=`, found the end"),
        ("0 < . 1:1(0) <frog>", "1:15: unknown TCP option `frog`"),
        (
            "`a` `b` 0 close(3) = 0",
            "1:9: a time must stand before each event",
        ),
    ] {
        assert_eq!(why(text), expected);
    }
}

#[test]
fn brackets_have_a_limit() {
    assert!(why(&format!("0 f({}", "[".repeat(100_000))).contains("too many brackets"));
}
