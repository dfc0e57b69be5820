//! Packets in the script's notation, as messages show them.

use super::tree::{About, Body, IpSpec, Numbering, Packet, TcpOption, TcpSpec, TosSpec};
use std::fmt::{self, Display, Formatter};

impl Display for Packet {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.outbound { "> " } else { "< " })?;
        self.outer.iter().try_for_each(|header| header.fmt(f))?;
        self.ip.fmt(f)?;
        self.body.fmt(f)
    }
}

impl Display for IpSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut said = Vec::new();
        match self.tos {
            TosSpec::Unsaid => {}
            TosSpec::Ecn(bits) => said.push(ecn(bits).to_owned()),
            TosSpec::Ect01 => said.push("ect01".to_owned()),
            TosSpec::Dscp(byte) => said.push(format!("dscp {:#x}", byte >> 2)),
            TosSpec::DscpEct01(byte) => said.push(format!("dscp {:#x}, ecn ect01", byte >> 2)),
            TosSpec::Byte(byte) => said.push(format!("tos {byte:#x}")),
        }
        if self.ttl != 0 {
            said.push(format!("ttl {}", self.ttl));
        }
        if self.flow_label != 0 {
            said.push(format!("flowlabel {:#x}", self.flow_label));
        }
        if !said.is_empty() {
            write!(f, "[{}] ", said.join(", "))?;
        }
        Ok(())
    }
}

/// The name of the two bits.
pub(super) const fn ecn(bits: u8) -> &'static str {
    match bits & 3 {
        0 => "noecn",
        1 => "ect1",
        2 => "ect0",
        _ => "ce",
    }
}

impl Display for Body {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(tcp) => tcp.fmt(f),
            Self::Udp { len, .. } => write!(f, "udp ({len})"),
            Self::Icmp {
                kind,
                code,
                mtu,
                about,
                ..
            } => {
                write!(f, "icmp {kind}")?;
                if let Some(code) = code {
                    write!(f, " {code}")?;
                }
                if let Some(mtu) = mtu {
                    write!(f, " mtu {mtu}")?;
                }
                match about {
                    About::Tcp { seq, len } => {
                        write!(f, " [{seq}:{}({len})]", seq.wrapping_add(u32::from(*len)))
                    }
                    About::Udp { len } => write!(f, " [udp ({len})]"),
                    About::Raw { len } => write!(f, " [raw ({len})]"),
                }
            }
        }
    }
}

impl Display for TcpSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&flags(self.flags, self.ace))?;
        let end = self.seq.wrapping_add(u32::from(self.len));
        match self.numbering {
            Numbering::Any => write!(f, " ...({})", self.len)?,
            Numbering::Live => write!(f, " {}:{end}({})!", self.seq, self.len)?,
            Numbering::Relative => write!(f, " {}:{end}({})", self.seq, self.len)?,
        }
        if self.flags & 0x10 != 0 || self.ack != 0 {
            write!(f, " ack {}", self.ack)?;
        }
        if let Some(window) = self.window {
            write!(f, " win {window}")?;
        }
        if self.urgent != 0 {
            write!(f, " urg {}", self.urgent)?;
        }
        match &self.options {
            None => f.write_str(" <...>"),
            Some(options) if options.is_empty() => Ok(()),
            Some(options) => {
                let options: Vec<_> = options.iter().map(ToString::to_string).collect();
                write!(f, " <{}>", options.join(","))
            }
        }
    }
}

/// `SW.`, `P.5`, `-`.
pub(super) fn flags(flags: u16, ace: bool) -> String {
    let mut text = String::new();
    for (bit, letter) in [
        (0x02, 'S'),
        (0x01, 'F'),
        (0x04, 'R'),
        (0x08, 'P'),
        (0x20, 'U'),
    ] {
        if flags & bit != 0 {
            text.push(letter);
        }
    }
    if !ace {
        for (bit, letter) in [(0x40, 'E'), (0x80, 'W'), (0x100, 'A')] {
            if flags & bit != 0 {
                text.push(letter);
            }
        }
    }
    if flags & 0x10 != 0 {
        text.push('.');
        if ace {
            text.push_str(&(flags >> 6 & 7).to_string());
        }
    }
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

impl Display for TcpOption {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        match self {
            Self::Eol => f.write_str("eol"),
            Self::Nop => f.write_str("nop"),
            Self::Mss(mss) => write!(f, "mss {mss}"),
            Self::Wscale(shift) => write!(f, "wscale {shift}"),
            Self::SackOk => f.write_str("sackOK"),
            Self::Sack(blocks) => {
                f.write_str("sack")?;
                blocks
                    .iter()
                    .try_for_each(|(left, right)| write!(f, " {left}:{right}"))
            }
            Self::Ts { val, ecr } => write!(f, "TS val {val} ecr {ecr}"),
            Self::Md5(digest) => write!(f, "md5 {}", hex(digest)),
            Self::FastOpen(cookie) => f.write_str(format!("FO {}", hex(cookie)).trim_end()),
            Self::FastOpenExp(cookie) => f.write_str(format!("FOEXP {}", hex(cookie)).trim_end()),
            Self::AccEcn { kind, counters } => {
                let names = if *kind == 172 {
                    ["e0b", "ceb", "e1b"]
                } else {
                    ["e1b", "ceb", "e0b"]
                };
                f.write_str("ECN")?;
                names
                    .iter()
                    .zip(counters)
                    .try_for_each(|(name, n)| write!(f, " {name} {n}"))
            }
            Self::Other { kind, data } => write!(f, "option {kind} {}", hex(data)),
        }
    }
}
