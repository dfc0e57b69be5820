//! Packets as bytes: what arrives is built here, what leaves is read here.
//!
//! Apart from the stack's own codecs on purpose: one slip in both would be seen by nobody.

use super::ip::{Ip, be16, be32, checksum, header, octets, parse_ip};
use super::outer;
use super::tree::{Outer, TcpOption, TcpSpec};

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// A packet as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Headers around it, outermost first.
    pub(super) outer: Vec<Outer>,
    pub(super) ip: Ip,
    pub(super) body: SeenBody,
}

/// What it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SeenBody {
    Tcp {
        /// Ports are always said, the window and the options too.
        spec: TcpSpec,
        payload: Vec<u8>,
        /// The three bits that have no name.
        reserved: u8,
    },
    Udp {
        ports: (u16, u16),
        payload: Vec<u8>,
    },
    Icmp {
        kind: u8,
        code: u8,
    },
    Other(u8),
}

impl Seen {
    /// Source and destination port.
    pub(super) fn ports(&self) -> Option<(u16, u16)> {
        match &self.body {
            SeenBody::Tcp { spec, .. } => spec.ports,
            SeenBody::Udp { ports, .. } => Some(*ports),
            SeenBody::Icmp { .. } | SeenBody::Other(_) => None,
        }
    }
}

/// Addresses, length and protocol, as both pseudo-headers sum up alike.
fn pseudo(ip: &Ip, protocol: u8, len: usize) -> Vec<u8> {
    let mut bytes = octets(ip.from);
    bytes.extend(octets(ip.to));
    bytes.extend(u32::try_from(len).unwrap_or(0).to_be_bytes());
    bytes.extend([0, 0, 0, protocol]);
    bytes
}

/// An IP packet around `body`, whose checksum stands at `sum_at`.
fn wrap(ip: &Ip, protocol: u8, mut body: Vec<u8>, sum_at: usize) -> Vec<u8> {
    let pseudo = if protocol == ICMP {
        Vec::new()
    } else {
        pseudo(ip, protocol, body.len())
    };
    let sum = match checksum(&[&pseudo, &body]) {
        0 if protocol == UDP => 0xffff,
        sum => sum,
    };
    if let Some(place) = body.get_mut(sum_at..sum_at + 2) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    let mut packet = header(ip, protocol, body.len());
    packet.extend(body);
    packet
}

/// A TCP segment of zero bytes.
pub(super) fn tcp(ip: &Ip, ports: (u16, u16), spec: &TcpSpec) -> Result<Vec<u8>, String> {
    let mut options = Vec::new();
    for option in spec.options.iter().flatten() {
        emit_option(option, &mut options);
    }
    options.resize(options.len().next_multiple_of(4), 0);
    let Some(words) = u8::try_from(5 + options.len() / 4)
        .ok()
        .filter(|words| *words < 16)
    else {
        return Err(format!(
            "{} bytes of TCP options have no room",
            options.len()
        ));
    };
    let mut bytes = Vec::with_capacity(60 + usize::from(spec.len));
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    bytes.extend(spec.seq.to_be_bytes());
    bytes.extend(spec.ack.to_be_bytes());
    bytes.extend((u16::from(words) << 12 | spec.flags & 0x1ff).to_be_bytes());
    bytes.extend(spec.window.unwrap_or(0).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(spec.urgent.to_be_bytes());
    bytes.extend(options);
    bytes.resize(bytes.len() + usize::from(spec.len), 0);
    Ok(wrap(ip, TCP, bytes, 16))
}

/// A datagram of zero bytes.
pub(super) fn udp(ip: &Ip, ports: (u16, u16), len: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    bytes.extend(len.saturating_add(8).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.resize(8 + usize::from(len), 0);
    wrap(ip, UDP, bytes, 6)
}

/// The packet an ICMP error quotes: its header and the first eight bytes after it.
pub(super) fn quote(
    ip: &Ip,
    protocol_is_tcp: bool,
    ports: (u16, u16),
    seq: u32,
    len: u16,
) -> Vec<u8> {
    let (protocol, head) = if protocol_is_tcp { (TCP, 20) } else { (UDP, 8) };
    let mut bytes = header(ip, protocol, head + usize::from(len));
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    if protocol_is_tcp {
        bytes.extend(seq.to_be_bytes());
    } else {
        bytes.extend((len.saturating_add(8)).to_be_bytes());
        bytes.extend([0, 0]);
    }
    bytes
}

/// An ICMP message: type, code, four bytes, and what follows.
pub(super) fn icmp(ip: &Ip, kind: u8, code: u8, word: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0];
    bytes.extend(word.to_be_bytes());
    bytes.extend(rest);
    wrap(ip, if ip.from.is_ipv4() { ICMP } else { ICMPV6 }, bytes, 2)
}

fn emit_option(option: &TcpOption, out: &mut Vec<u8>) {
    let mut put = |kind: u8, data: &[u8]| {
        out.push(kind);
        out.push(u8::try_from(data.len() + 2).unwrap_or(u8::MAX));
        out.extend(data);
    };
    match option {
        TcpOption::Eol => out.push(0),
        TcpOption::Nop => out.push(1),
        TcpOption::Mss(mss) => put(2, &mss.to_be_bytes()),
        TcpOption::Wscale(shift) => put(3, &[*shift]),
        TcpOption::SackOk => put(4, &[]),
        TcpOption::Sack(blocks) => {
            let words = blocks.iter().flat_map(|(left, right)| [*left, *right]);
            put(5, &words.flat_map(u32::to_be_bytes).collect::<Vec<_>>());
        }
        TcpOption::Ts { val, ecr } => put(8, &[val.to_be_bytes(), ecr.to_be_bytes()].concat()),
        TcpOption::Md5(digest) => put(19, digest),
        TcpOption::FastOpen(cookie) => put(34, cookie),
        TcpOption::FastOpenExp(cookie) => put(254, &[&[0xf9, 0x89], cookie.as_slice()].concat()),
        TcpOption::AccEcn { kind, counters } => {
            let bytes = counters
                .iter()
                .flat_map(|n| n.to_be_bytes().into_iter().skip(1));
            put(*kind, &bytes.collect::<Vec<_>>());
        }
        TcpOption::Other { kind, data } => put(*kind, data),
    }
}

/// Reads a packet; `whole` where its checksums must hold.
pub(super) fn read(packet: &[u8], whole: bool) -> Result<Seen, String> {
    parse(packet, whole).unwrap_or_else(|| Err("a packet that is cut short".into()))
}

fn parse(packet: &[u8], whole: bool) -> Option<Result<Seen, String>> {
    let (outer, packet) = outer::take(packet)?;
    let (ip, protocol, body) = match parse_ip(packet)? {
        Ok(parts) => parts,
        Err(why) => return Some(Err(why)),
    };
    if whole && matches!(protocol, TCP | UDP | ICMP | ICMPV6) {
        let pseudo = if protocol == ICMP {
            vec![]
        } else {
            pseudo(&ip, protocol, body.len())
        };
        if checksum(&[&pseudo, body]) != 0 {
            return Some(Err(format!(
                "a wrong checksum in a packet of protocol {protocol}"
            )));
        }
    }
    let body = match protocol {
        TCP => parse_tcp(body)?,
        UDP => SeenBody::Udp {
            ports: (be16(body, 0)?, be16(body, 2)?),
            payload: body.get(8..)?.to_vec(),
        },
        ICMP | ICMPV6 => SeenBody::Icmp {
            kind: *body.first()?,
            code: *body.get(1)?,
        },
        other => SeenBody::Other(other),
    };
    Some(Ok(Seen { outer, ip, body }))
}

fn parse_tcp(body: &[u8]) -> Option<SeenBody> {
    let word = be16(body, 12)?;
    let head = usize::from(word >> 12) * 4;
    let payload = body.get(head..)?.to_vec();
    let spec = TcpSpec {
        ports: Some((be16(body, 0)?, be16(body, 2)?)),
        flags: word & 0x1ff,
        ace: false,
        seq: be32(body, 4)?,
        len: u16::try_from(payload.len()).ok()?,
        ack: be32(body, 8)?,
        window: Some(be16(body, 14)?),
        urgent: be16(body, 18)?,
        options: Some(parse_options(body.get(20..head)?)?),
        ..TcpSpec::default()
    };
    Some(SeenBody::Tcp {
        spec,
        payload,
        reserved: u8::try_from(word >> 9 & 7).ok()?,
    })
}

fn parse_options(mut bytes: &[u8]) -> Option<Vec<TcpOption>> {
    let mut options = Vec::new();
    while let Some((kind, rest)) = bytes.split_first() {
        if *kind <= 1 {
            options.push(if *kind == 0 {
                TcpOption::Eol
            } else {
                TcpOption::Nop
            });
            bytes = rest;
            continue;
        }
        let len = usize::from(*rest.first()?);
        let data = bytes.get(2..len)?;
        options.push(option(*kind, data));
        bytes = bytes.get(len..)?;
    }
    Some(options)
}

fn option(kind: u8, data: &[u8]) -> TcpOption {
    let read = match (kind, data.len()) {
        (2, 2) => be16(data, 0).map(TcpOption::Mss),
        (3, 1) => data.first().copied().map(TcpOption::Wscale),
        (4, 0) => Some(TcpOption::SackOk),
        (5, len) if len % 8 == 0 => data
            .chunks(8)
            .map(|block| be32(block, 0).zip(be32(block, 4)))
            .collect::<Option<_>>()
            .map(TcpOption::Sack),
        (8, 8) => be32(data, 0)
            .zip(be32(data, 4))
            .map(|(val, ecr)| TcpOption::Ts { val, ecr }),
        (19, _) => Some(TcpOption::Md5(data.to_vec())),
        (34, _) => Some(TcpOption::FastOpen(data.to_vec())),
        (254, _) => data
            .strip_prefix(&[0xf9, 0x89])
            .map(|cookie| TcpOption::FastOpenExp(cookie.to_vec())),
        (172 | 174, len) if len % 3 == 0 => {
            let join = |three: &[u8]| {
                three
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
            };
            Some(TcpOption::AccEcn {
                kind,
                counters: data.chunks(3).map(join).collect(),
            })
        }
        _ => None,
    };
    read.unwrap_or_else(|| TcpOption::Other {
        kind,
        data: data.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(v6: bool) -> Ip {
        let pick = |four: &str, six: &str| if v6 { six.parse() } else { four.parse() }.unwrap();
        Ip {
            from: pick("192.0.2.1", "fd00::1"),
            to: pick("192.168.0.1", "fd00::2"),
            tos: 2,
            ttl: 9,
            flow_label: if v6 { 0x12345 } else { 0 },
        }
    }

    #[test]
    fn what_is_built_is_read_again() {
        let spec = TcpSpec {
            ports: Some((1, 2)),
            flags: 0x1d2,
            seq: 7,
            len: 3,
            ack: 9,
            window: Some(5),
            urgent: 1,
            options: Some(vec![
                TcpOption::Mss(1000),
                TcpOption::Nop,
                TcpOption::Wscale(7),
                TcpOption::Ts { val: 1, ecr: 2 },
                TcpOption::Sack(vec![(1, 2)]),
                TcpOption::SackOk,
                TcpOption::AccEcn {
                    kind: 172,
                    counters: vec![1],
                },
                TcpOption::Eol,
            ]),
            ..TcpSpec::default()
        };
        for v6 in [false, true] {
            let packet = tcp(&ip(v6), (1, 2), &spec).unwrap();
            let seen = read(&packet, true).unwrap();
            assert_eq!(seen.ip, ip(v6));
            let SeenBody::Tcp {
                spec: read_again,
                payload,
                ..
            } = seen.body
            else {
                panic!()
            };
            assert_eq!(read_again, spec);
            assert_eq!(payload, [0; 3]);
            let mut wrong = packet.clone();
            *wrong.last_mut().unwrap() = 1;
            assert!(read(&wrong, true).is_err());
            for len in 0..packet.len() {
                assert!(read(&packet[..len], true).is_err(), "{len}");
            }
            let datagram = read(&udp(&ip(v6), (3, 4), 5), true).unwrap();
            assert_eq!(
                datagram.body,
                SeenBody::Udp {
                    ports: (3, 4),
                    payload: vec![0; 5]
                }
            );
            let message = icmp(&ip(v6), 3, 4, 0, &quote(&ip(v6), true, (1, 2), 3, 4));
            assert_eq!(
                read(&message, true).unwrap().body,
                SeenBody::Icmp { kind: 3, code: 4 }
            );
        }
    }
}
