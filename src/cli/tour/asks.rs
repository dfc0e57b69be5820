//! The stops of the tour, and the kernel's sockets that ask and hear.
//!
//! ```text
//!   Stop: title, RFC, why --> Ask: send this --> Hear: wait for that --> so it is
//! ```

use super::chain::Chain;
use super::printer::SharedPage;
use crate::device::kernel;
use stack::reason::DropReason;
use stack::wire::checksum::{self, Sum};
use stack::wire::{Protocol, icmpv4, ipv4, udp};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

/// A stop of the tour.
pub(super) struct Stop {
    pub(super) title: &'static str,
    pub(super) rfc: &'static str,
    pub(super) text: &'static str,
    pub(super) asks: &'static [Ask],
}

/// A question, what should be heard, and what that means.
pub(super) struct Ask {
    pub(super) what: &'static str,
    pub(super) send: Send,
    pub(super) hear: Hear,
    pub(super) so: &'static str,
}

/// What the kernel is made to send.
pub(super) enum Send {
    Nothing,
    /// An ICMP echo request.
    Echo(Ipv4Addr, u16),
    /// A datagram of so many bytes with a TTL.
    Datagram(SocketAddrV4, usize, u32),
    /// A datagram whose checksum is wrong.
    Damaged(SocketAddrV4),
    /// The opening of a TCP connection.
    Connect(SocketAddrV4),
}

/// What is to be heard, seen or found counted.
pub(super) enum Hear {
    /// Some frame left by the TAP.
    AnyFrame,
    EchoReply(Ipv4Addr, u16),
    /// An ICMP message from there, of a type and code.
    Icmp(Ipv4Addr, u8, u8),
    /// The datagram, sent back.
    Datagram,
    /// The asking socket's call fails so.
    Error(i32),
    /// Router A has dropped something for that.
    Dropped(DropReason),
}

const KERNEL: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
const A: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);
const B: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 2);
const C: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// The echo service's port (RFC 862), one where nobody listens, and traceroute's first.
const ECHO: u16 = 7;
const CLOSED: u16 = 99;
const TRACE: u16 = 33434;
/// The kernel's usual TTL.
const TTL: u32 = 64;
const UNREACHABLE: u8 = icmpv4::kind::DESTINATION_UNREACHABLE;
const EXCEEDED: u8 = icmpv4::kind::TIME_EXCEEDED;
const PORT: u8 = icmpv4::UnreachableCode::PORT.0;

const fn at(host: Ipv4Addr, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(host, port)
}

pub(super) const STOPS: &[Stop] = &[
    Stop {
        title: "A host comes up",
        rfc: "RFC 5227 §2.3",
        text: "\
It tells the link its address, so that whoever remembers another station under it
forgets that one.",
        asks: &[Ask {
            what: "nothing; only watch",
            send: Send::Nothing,
            hear: Hear::AnyFrame,
            so: "router A has announced itself",
        }],
    },
    Stop {
        title: "Ping",
        rfc: "RFC 826; RFC 1122 §3.2.2.6",
        text: "\
The kernel knows an IP address but needs a station's: it asks by ARP first. Then the
echo request goes out, and every host must send its data back. The second one finds
the station known.",
        asks: &[
            Ask {
                what: "an ICMP echo request to 10.7.0.2",
                send: Send::Echo(A, 1),
                hear: Hear::EchoReply(A, 1),
                so: "router A answers",
            },
            Ask {
                what: "another one, to host C, three hops away",
                send: Send::Echo(C, 2),
                hear: Hear::EchoReply(C, 2),
                so: "host C answers; each router on the way took one off the TTL",
            },
        ],
    },
    Stop {
        title: "A datagram",
        rfc: "RFC 768; RFC 862",
        text: "\
UDP adds ports to IP, so that a packet finds a program. The host serves echo on port 7.",
        asks: &[Ask {
            what: "32 bytes to 10.7.0.2, UDP port 7",
            send: Send::Datagram(at(A, ECHO), 32, TTL),
            hear: Hear::Datagram,
            so: "the same bytes came back",
        }],
    },
    Stop {
        title: "Trace",
        rfc: "RFC 1812 §5.3.1",
        text: "\
A router that takes the last one off a TTL drops the packet and says so to its sender.
Sending with TTL 1, 2, 3 makes each router on the way name itself: that is traceroute.
The last one is the destination, which has no program on that port.",
        asks: &[
            Ask {
                what: "a datagram to 10.9.0.2 with TTL 1",
                send: Send::Datagram(at(C, TRACE), 32, 1),
                hear: Hear::Icmp(A, EXCEEDED, 0),
                so: "hop 1 is 10.7.0.2",
            },
            Ask {
                what: "with TTL 2",
                send: Send::Datagram(at(C, TRACE + 1), 32, 2),
                hear: Hear::Icmp(B, EXCEEDED, 0),
                so: "hop 2 is 10.8.0.2",
            },
            Ask {
                what: "with TTL 3",
                send: Send::Datagram(at(C, TRACE + 2), 32, 3),
                hear: Hear::Icmp(C, UNREACHABLE, PORT),
                so: "hop 3 is 10.9.0.2, the destination",
            },
        ],
    },
    Stop {
        title: "Nobody listens",
        rfc: "RFC 1122 §3.2.2.1, §4.1.3.3",
        text: "\
A datagram for a port without a program is dropped and its sender told. The message
quotes the datagram's header, so the kernel finds the socket that sent it and fails
its next call.",
        asks: &[Ask {
            what: "a datagram to 10.7.0.2, UDP port 99",
            send: Send::Datagram(at(A, CLOSED), 32, TTL),
            hear: Hear::Error(libc::ECONNREFUSED),
            so: "the program hears \"connection refused\"",
        }],
    },
    Stop {
        title: "More than a frame",
        rfc: "RFC 791 §3.2; RFC 1122 §3.3.2",
        text: "\
4000 bytes do not fit the MTU of 1500. IP cuts them; fragments are held until the last
one is there, and only then does anyone above IP see them. The answer is cut as well.",
        asks: &[Ask {
            what: "4000 bytes to 10.7.0.2, UDP port 7",
            send: Send::Datagram(at(A, ECHO), 4000, TTL),
            hear: Hear::Datagram,
            so: "the same 4000 bytes came back",
        }],
    },
    Stop {
        title: "The narrowest wire",
        rfc: "RFC 1191 §3, §4",
        text: "\
Nobody knows the MTUs of a path beforehand. The kernel sends with \"don't fragment\" set;
the router before the narrow wire drops what is too long and says what would fit. The
kernel remembers, and cuts the next one by itself.",
        asks: &[
            Ask {
                what: "1400 bytes to 10.9.0.2, UDP port 7",
                send: Send::Datagram(at(C, ECHO), 1400, TTL),
                hear: Hear::Error(libc::EMSGSIZE),
                so: "the program hears \"message too long\"; the kernel has learned 1280",
            },
            Ask {
                what: "the same again",
                send: Send::Datagram(at(C, ECHO), 1400, TTL),
                hear: Hear::Datagram,
                so: "cut to fit, they crossed and came back",
            },
        ],
    },
    Stop {
        title: "A damaged packet",
        rfc: "RFC 1122 §4.1.3.4",
        text: "\
Sixteen bits sum up the datagram and its addresses. What does not add up is dropped
without a word: its sender's address may be what is damaged. But it is counted.",
        asks: &[Ask {
            what: "a datagram to 10.7.0.2, UDP port 7, with a wrong checksum",
            send: Send::Damaged(at(A, ECHO)),
            hear: Hear::Dropped(DropReason::UdpBadChecksum),
            so: "no answer, and router A counts one udp-bad-checksum",
        }],
    },
    Stop {
        title: "A connection",
        rfc: "RFC 9293 §3.5.2",
        text: "\
The host has no TCP yet. It says so as the RFC wants it of a closed port: a reset that
acknowledges the SYN.",
        asks: &[Ask {
            what: "a TCP connection to 10.7.0.2, port 80",
            send: Send::Connect(at(A, 80)),
            hear: Hear::Error(libc::ECONNREFUSED),
            so: "the program hears \"connection refused\" at once, not after minutes",
        }],
    },
];

/// The kernel's sockets.
pub(super) struct Asker {
    icmp: UdpSocket,
    /// The socket of the last datagram, and what it said.
    datagram: Option<(UdpSocket, Vec<u8>)>,
    connection: Option<mio::net::TcpStream>,
    /// The next port to ask from: the same ones in each run.
    port: u16,
}

/// Identifies our echo requests; the network is ours alone.
const IDENT: u16 = 7;
/// The first port to ask from.
const FIRST_PORT: u16 = 40_000;

impl Asker {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            icmp: kernel::raw(Protocol::ICMP.0)?,
            datagram: None,
            connection: None,
            port: FIRST_PORT,
        })
    }

    /// Asks.
    pub(super) fn ask(&mut self, what: &Send) -> io::Result<()> {
        self.datagram = None;
        self.connection = None;
        match *what {
            Send::Nothing => Ok(()),
            Send::Echo(to, seq) => {
                let request = echo_request(seq)?;
                self.icmp.send_to(&request, (to, 0)).map(drop)
            }
            Send::Datagram(to, len, ttl) => {
                let socket = UdpSocket::bind((KERNEL, self.port))?;
                self.port += 1;
                socket.connect(to)?;
                socket.set_ttl(ttl)?;
                socket.set_nonblocking(true)?;
                let words: Vec<u8> = (b'a'..=b'z').cycle().take(len).collect();
                socket.send(&words)?;
                self.datagram = Some((socket, words));
                Ok(())
            }
            Send::Damaged(to) => {
                let damaged = damaged(self.port, to)?;
                self.port += 1;
                let socket = kernel::raw(Protocol::UDP.0)?;
                socket.send_to(&damaged, (*to.ip(), 0)).map(drop)
            }
            Send::Connect(to) => {
                let stream = mio::net::TcpStream::connect(SocketAddr::V4(to))?;
                self.connection = Some(stream);
                Ok(())
            }
        }
    }

    /// Whether it has been heard by now.
    ///
    /// # Errors
    /// Something else was heard, that ends the waiting.
    pub(super) fn heard(
        &self,
        what: &Hear,
        chain: &Chain,
        page: &SharedPage,
    ) -> Result<bool, String> {
        match *what {
            Hear::AnyFrame => Ok(page.borrow().sent > 0),
            Hear::Dropped(reason) => {
                let first = chain.first();
                Ok(first.is_some_and(|h| h.stats().dropped_in(reason) > 0))
            }
            Hear::EchoReply(from, seq) => Ok(self.hears_icmp(|src, _, message| {
                let is = |ident: u16, s: u16| (ident, s) == (IDENT, seq);
                src == from
                    && matches!(message, icmpv4::Message::EchoReply { ident, seq, .. } if is(ident, seq))
            })),
            Hear::Icmp(from, kind, code) => Ok(self.hears_icmp(|src, header, _| {
                (src, header.kind, header.code) == (from, kind, code)
            })),
            Hear::Datagram => match self.answer()? {
                Ok(answer) => Ok(answer),
                Err(e) => Err(e.to_string()),
            },
            Hear::Error(errno) => match self.answer()? {
                Ok(false) => Ok(false),
                Ok(true) => Err("an answer came".to_owned()),
                Err(e) if e.raw_os_error() == Some(errno) => Ok(true),
                Err(e) => Err(e.to_string()),
            },
        }
    }

    /// Reads all that the ICMP socket has; whether some of it is what is waited for.
    fn hears_icmp(
        &self,
        is: impl Fn(Ipv4Addr, icmpv4::Header, icmpv4::Message<'_>) -> bool,
    ) -> bool {
        let mut buffer = [0; 2048];
        let mut heard = false;
        while let Ok(len) = self.icmp.recv(&mut buffer) {
            let packet = buffer.get(..len).unwrap_or_default();
            let parsed = ipv4::Header::parse(packet)
                .and_then(|(ip, payload)| Ok((ip.src, icmpv4::Message::parse(payload)?)));
            heard |= parsed.is_ok_and(|(src, (header, message))| is(src, header, message));
        }
        heard
    }

    /// What the asking socket has: an answer, none yet, or an error.
    fn answer(&self) -> Result<io::Result<bool>, String> {
        if let Some(stream) = &self.connection {
            return Ok(match stream.take_error() {
                Ok(Some(e)) | Err(e) => Err(e),
                Ok(None) => Ok(false),
            });
        }
        let Some((socket, words)) = &self.datagram else {
            return Err("nothing was asked".to_owned());
        };
        let mut buffer = vec![0; words.len() + 1];
        Ok(match socket.recv(&mut buffer) {
            Ok(len) if buffer.get(..len) == Some(words) => Ok(true),
            Ok(len) => return Err(format!("{len} other bytes came back")),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e),
        })
    }
}

fn echo_request(seq: u16) -> io::Result<Vec<u8>> {
    let request = icmpv4::Message::EchoRequest {
        ident: IDENT,
        seq,
        data: b"abcdefghijklmnopqrstuvwxyz012345",
    };
    let mut bytes = vec![0; request.emit_len()];
    let emit = |bytes: &mut [u8], sum| {
        let mut w = stack::wire::Writer::new(bytes);
        request.emit(&mut w, sum).map_err(io::Error::other)
    };
    emit(&mut bytes, 0)?;
    let sum = checksum::of(&bytes);
    emit(&mut bytes, sum)?;
    Ok(bytes)
}

/// A UDP datagram with a checksum that is one off.
fn damaged(port: u16, to: SocketAddrV4) -> io::Result<Vec<u8>> {
    let words = b"these words were changed on the way";
    let len = udp::HEADER_LEN + words.len();
    let mut header = udp::Header {
        src_port: port,
        dst_port: to.port(),
        len: u16::try_from(len).map_err(io::Error::other)?,
        checksum: 0,
    };
    let mut bytes = vec![0; len];
    let emit = |header: &udp::Header, bytes: &mut [u8]| {
        let mut w = stack::wire::Writer::new(bytes);
        let written = header.emit(&mut w).and_then(|()| w.put(words));
        written.map_err(io::Error::other)
    };
    emit(&header, &mut bytes)?;
    let mut sum = Sum::new();
    sum.add_pseudo4(KERNEL, *to.ip(), Protocol::UDP, len);
    sum.add(&bytes);
    // Zero would mean "no checksum".
    header.checksum = sum.finish().wrapping_add(1).max(1);
    emit(&header, &mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_does_not_add_up_and_what_is_not_does() {
        assert_eq!(checksum::of(&echo_request(1).unwrap()), 0);
        for port in 0..1000 {
            let bytes = damaged(port, at(A, ECHO)).unwrap();
            let mut sum = Sum::new();
            sum.add_pseudo4(KERNEL, A, Protocol::UDP, bytes.len());
            sum.add(&bytes);
            assert_ne!(sum.finish(), 0, "{port}");
            assert_ne!(bytes[6..8], [0, 0], "{port}");
        }
    }
}
