//! Headers around a packet: IPv4, IPv6, GRE (RFC 2784, RFC 2890) and MPLS (RFC 3032, RFC 4023).
//!
//! Left out: PSP, whose packets are encrypted. GRE's checksum is the one that a script says, also
//! where it does not hold: nothing but the script reads it.

use super::ip::{self, Ip};
use super::tree::{IpSpec, Label, Outer, TosSpec};
use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const MPLS: u16 = 0x8847;

const GRE_CHECKSUM: u16 = 0xc000;
const GRE_KEY: u16 = 0x2000;
const GRE_SEQUENCE: u16 = 0x1000;

/// Protocol number of IP and type of Ethernet for what may stand within a header.
const KINDS: [(u8, u16); 3] = [(4, IPV4), (41, IPV6), (137, MPLS)];
const GRE: u8 = 47;

/// What a packet without outer headers begins with.
fn ether_type(packet: &[u8]) -> u16 {
    match packet.first() {
        Some(first) if first >> 4 == 6 => IPV6,
        _ => IPV4,
    }
}

/// Puts headers, outermost first, around a packet.
pub(super) fn put(packet: Vec<u8>, outer: &[Outer]) -> Result<Vec<u8>, String> {
    let mut kind = Some(ether_type(&packet));
    let mut bytes = packet;
    for header in outer.iter().rev() {
        let (mut head, own) = match header {
            Outer::Ip { from, to, ip } => {
                let protocol = match kind {
                    None => GRE,
                    Some(kind) => KINDS
                        .iter()
                        .find(|(_, known)| *known == kind)
                        .map_or(4, |(number, _)| *number),
                };
                let head = ip::header(&live(*from, *to, ip), protocol, bytes.len());
                (head, Some(if from.is_ipv4() { IPV4 } else { IPV6 }))
            }
            Outer::Gre {
                flags,
                checksum,
                offset,
                key,
                sequence,
            } => {
                let Some(kind) = kind else {
                    return Err("GRE in GRE without an IP header between".into());
                };
                let mut head = [flags.to_be_bytes(), kind.to_be_bytes()].concat();
                if flags & GRE_CHECKSUM != 0 {
                    head.extend(checksum.to_be_bytes());
                    head.extend(offset.to_be_bytes());
                }
                if flags & GRE_KEY != 0 {
                    head.extend(key.to_be_bytes());
                }
                if flags & GRE_SEQUENCE != 0 {
                    head.extend(sequence.to_be_bytes());
                }
                (head, None)
            }
            Outer::Mpls(labels) => {
                let word = |l: &Label| {
                    let traffic = u32::from(l.class) << 9 | u32::from(l.bottom) << 8;
                    l.label << 12 | traffic | u32::from(l.ttl)
                };
                let words = labels.iter().map(word);
                (words.flat_map(u32::to_be_bytes).collect(), Some(MPLS))
            }
        };
        head.append(&mut bytes);
        (bytes, kind) = (head, own);
    }
    match outer.first() {
        None | Some(Outer::Ip { .. }) => Ok(bytes),
        Some(_) => Err("the outermost header is to be IPv4 or IPv6".into()),
    }
}

fn live(from: IpAddr, to: IpAddr, ip: &IpSpec) -> Ip {
    Ip {
        from,
        to,
        tos: ip.byte(),
        ttl: ip.ttl,
        flow_label: ip.flow_label,
    }
}

/// The headers around a packet, and where it begins; `None` where it is cut short.
pub(super) fn take(packet: &[u8]) -> Option<(Vec<Outer>, &[u8])> {
    let mut outer = Vec::new();
    let mut rest = packet;
    loop {
        // The reader of the packet says what is wrong with it.
        let Ok((ip, protocol, body)) = ip::parse_ip(rest)? else {
            return Some((outer, rest));
        };
        let mut kind = KINDS
            .iter()
            .find(|(number, _)| *number == protocol)
            .map(|(_, kind)| *kind);
        if kind.is_none() && protocol != GRE {
            return Some((outer, rest));
        }
        outer.push(Outer::Ip {
            from: ip.from,
            to: ip.to,
            ip: IpSpec {
                tos: TosSpec::Byte(ip.tos),
                ttl: ip.ttl,
                flow_label: ip.flow_label,
            },
        });
        rest = body;
        if protocol == GRE {
            let (header, inner, more) = gre(rest)?;
            outer.push(header);
            (kind, rest) = (Some(inner), more);
        }
        if kind == Some(MPLS) {
            let mut labels = Vec::new();
            while !labels.last().is_some_and(|l: &Label| l.bottom) {
                let (word, more) = rest.split_first_chunk()?;
                labels.push(label(u32::from_be_bytes(*word)));
                rest = more;
            }
            outer.push(Outer::Mpls(labels));
        }
    }
}

fn gre(bytes: &[u8]) -> Option<(Outer, u16, &[u8])> {
    let mut rest = bytes;
    let mut short = || -> Option<u16> {
        let (two, more) = rest.split_first_chunk()?;
        rest = more;
        Some(u16::from_be_bytes(*two))
    };
    let (flags, kind) = (short()?, short()?);
    let (checksum, offset) = if flags & GRE_CHECKSUM != 0 {
        (short()?, short()?)
    } else {
        (0, 0)
    };
    let mut word = |there: u16| -> Option<u32> {
        if flags & there == 0 {
            return Some(0);
        }
        Some(u32::from(short()?) << 16 | u32::from(short()?))
    };
    let header = Outer::Gre {
        flags,
        checksum,
        offset,
        key: word(GRE_KEY)?,
        sequence: word(GRE_SEQUENCE)?,
    };
    Some((header, kind, rest))
}

fn label(word: u32) -> Label {
    let low = |shift: u32, mask: u32| u8::try_from(word >> shift & mask).unwrap_or(0);
    Label {
        label: word >> 12,
        class: low(9, 7),
        bottom: low(8, 1) == 1,
        ttl: low(0, 0xff),
    }
}

impl Outer {
    /// Whether a header that left is what a script says of it.
    pub(super) fn fits(&self, left: &Self) -> bool {
        match (self, left) {
            (
                Self::Ip { from, to, ip },
                Self::Ip {
                    from: f,
                    to: t,
                    ip: live,
                },
            ) => {
                let tos = live.byte();
                let same_tos = match ip.tos {
                    TosSpec::Unsaid => true,
                    TosSpec::Ecn(bits) => bits == tos & 3,
                    TosSpec::Ect01 => matches!(tos & 3, 1 | 2),
                    TosSpec::Dscp(byte) => byte == tos & !3,
                    TosSpec::DscpEct01(byte) => byte == tos & !3 && matches!(tos & 3, 1 | 2),
                    TosSpec::Byte(byte) => byte == tos,
                };
                (from, to) == (f, t) && same_tos && (ip.ttl == 0 || ip.ttl == live.ttl)
            }
            (said, left) => said == left,
        }
    }
}

impl Display for Outer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip { from, to, ip } => {
                let name = if from.is_ipv4() { "ipv4" } else { "ipv6" };
                write!(f, "{name} {ip}{from} > {to}: ")
            }
            Self::Gre {
                flags,
                checksum,
                offset,
                key,
                sequence,
            } => {
                f.write_str("gre")?;
                if *flags != 0 {
                    write!(
                        f,
                        " flags {flags:#x}, sum {checksum}, off {offset}, key {key:#x}, seq {sequence}"
                    )?;
                }
                f.write_str(": ")
            }
            Self::Mpls(labels) => {
                f.write_str("mpls")?;
                for l in labels {
                    let bottom = if l.bottom { " [S]," } else { "" };
                    write!(
                        f,
                        " (label {}, tc {},{bottom} ttl {})",
                        l.label, l.class, l.ttl
                    )?;
                }
                f.write_str(": ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(from: &str, to: &str) -> Outer {
        let ip = IpSpec {
            tos: TosSpec::Byte(0),
            ttl: 255,
            flow_label: 0,
        };
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        Outer::Ip { from, to, ip }
    }

    fn gre(flags: u16) -> Outer {
        let there = |mask: u16, value: u16| if flags & mask != 0 { value } else { 0 };
        Outer::Gre {
            flags,
            checksum: there(GRE_CHECKSUM, 511),
            offset: there(GRE_CHECKSUM, 1023),
            key: u32::from(there(GRE_KEY, 9)),
            sequence: u32::from(there(GRE_SEQUENCE, 512)),
        }
    }

    #[test]
    fn what_is_put_around_is_taken_off() {
        let labels = |bottoms: &[bool]| {
            let label = |bottom: &bool| Label {
                label: 0xf_ffff,
                class: 7,
                bottom: *bottom,
                ttl: 3,
            };
            Outer::Mpls(bottoms.iter().map(label).collect())
        };
        let inner = Ip {
            from: "192.0.2.1".parse().unwrap(),
            to: "192.168.0.1".parse().unwrap(),
            tos: 0,
            ttl: 64,
            flow_label: 0,
        };
        let packet = [ip::header(&inner, 17, 5), vec![0; 5]].concat();
        let (four, six) = (ip("2.2.2.2", "1.1.1.1"), ip("2::2222", "1::1111"));
        for outer in [
            vec![],
            vec![four.clone()],
            vec![six.clone(), four.clone()],
            vec![six.clone(), gre(0)],
            vec![four.clone(), gre(0xb000), labels(&[true])],
            vec![four.clone(), labels(&[false, true])],
            vec![four.clone(), gre(0x2000), six, gre(0x1000)],
        ] {
            let whole = put(packet.clone(), &outer).unwrap();
            let (found, rest) = take(&whole).unwrap();
            assert_eq!((&found, rest), (&outer, packet.as_slice()));
            for len in 0..whole.len() {
                let _ = take(&whole[..len]);
            }
        }
        assert!(put(packet.clone(), &[gre(0)]).is_err());
        assert!(put(packet, &[four, gre(0), gre(0)]).is_err());
    }
}
