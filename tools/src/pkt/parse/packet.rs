//! Packets of a script.

use super::Parser;
use crate::pkt::lexer::Kind;
use crate::pkt::place::Trouble;
use crate::pkt::tree::{About, Body, IpSpec, Packet, TcpOption, TcpSpec, TosSpec};

impl Parser {
    pub(super) fn packet(&mut self) -> Result<Packet, Trouble> {
        let outbound = self.peek() == &Kind::Sign('>');
        self.skip();
        let wrapped = self.wrappers()?;
        let at = self.place();
        let ip = self.ip_spec()?;
        if ip.tos == TosSpec::Ect01 && !outbound {
            return Err(Trouble::at(at, "[ect01] is for outbound packets only"));
        }
        let body = if self.takes_word("udp") {
            self.udp()?
        } else if self.takes_word("icmp") {
            self.icmp()?
        } else {
            Body::Tcp(self.segment(outbound)?)
        };
        Ok(Packet {
            outbound,
            wrapped,
            ip,
            body,
        })
    }

    /// Headers around the packet, `name … :`; the name of the outermost.
    fn wrappers(&mut self) -> Result<Option<&'static str>, Trouble> {
        const NAMES: [(&str, &str); 5] = [
            ("ipv4", "IPv4 in IP"),
            ("ipv6", "IPv6 in IP"),
            ("gre", "GRE"),
            ("GREv0", "GRE"),
            ("mpls", "MPLS"),
        ];
        let mut outermost = None;
        while let Some((_, name)) = NAMES.iter().find(|(word, _)| self.is_word(word)) {
            outermost = outermost.or(Some(*name));
            while self.peek() != &Kind::Sign(':') {
                if self.peek() == &Kind::End {
                    return Err(self.expected("`:` after an outer header"));
                }
                self.skip();
            }
            self.skip();
        }
        Ok(outermost)
    }

    /// `[ect0]`, `(ttl 3)`, `[tos 0x2, flowlabel 0x5]`.
    fn ip_spec(&mut self) -> Result<IpSpec, Trouble> {
        let mut spec = IpSpec::default();
        let close = match self.peek() {
            Kind::Sign('[') => ']',
            Kind::Sign('(') => ')',
            _ => return Ok(spec),
        };
        self.skip();
        loop {
            match self
                .word("noecn, ect0, ect1, ect01, ce, tos, ttl or flowlabel")?
                .as_str()
            {
                "noecn" => spec.tos = TosSpec::Ecn(0),
                "ect1" => spec.tos = TosSpec::Ecn(1),
                "ect0" => spec.tos = TosSpec::Ecn(2),
                "ce" => spec.tos = TosSpec::Ecn(3),
                "ect01" => spec.tos = TosSpec::Ect01,
                "tos" => spec.tos = TosSpec::Byte(self.number("a tos byte")?),
                "ttl" => spec.ttl = self.number("a time to live")?,
                "flowlabel" => {
                    spec.flow_label = self.number("a flow label")?;
                    if spec.flow_label > 0xf_ffff {
                        return Err(self.trouble("a flow label has 20 bits"));
                    }
                }
                other => return Err(self.trouble(format!("unknown IP field `{other}`"))),
            }
            if !self.takes(',') {
                break;
            }
        }
        self.sign(close)?;
        Ok(spec)
    }

    fn ports(&mut self) -> Result<Option<(u16, u16)>, Trouble> {
        if !matches!(self.peek(), Kind::Int(_)) || self.peek_at(1) != &Kind::Sign('>') {
            return Ok(None);
        }
        let from = self.number("a port")?;
        self.skip();
        Ok(Some((from, self.number("a port")?)))
    }

    fn bytes_in_parentheses(&mut self) -> Result<u16, Trouble> {
        self.sign('(')?;
        let len = self.number("a number of bytes")?;
        self.sign(')')?;
        Ok(len)
    }

    fn udp(&mut self) -> Result<Body, Trouble> {
        Ok(Body::Udp {
            ports: self.ports()?,
            len: self.bytes_in_parentheses()?,
        })
    }

    fn icmp(&mut self) -> Result<Body, Trouble> {
        let kind = self.word("an ICMP type")?;
        let code = match self.peek() {
            Kind::Word(word) if word != "mtu" && word != "id" => {
                let word = word.clone();
                self.skip();
                Some(word)
            }
            _ => None,
        };
        let mtu = if self.takes_word("mtu") {
            Some(self.number("an MTU")?)
        } else {
            None
        };
        let id = if self.takes_word("id") {
            self.number("an identifier")?
        } else {
            0
        };
        let mut about = About::Tcp { seq: 0, len: 0 };
        if self.takes('[') {
            about = if self.takes_word("udp") {
                About::Udp {
                    len: self.bytes_in_parentheses()?,
                }
            } else if self.takes_word("raw") {
                About::Raw {
                    len: self.bytes_in_parentheses()?,
                }
            } else {
                let (seq, len) = self.sequence()?;
                About::Tcp { seq, len }
            };
            self.sign(']')?;
        }
        Ok(Body::Icmp {
            kind,
            code,
            mtu,
            id,
            about,
        })
    }

    /// `1:1001(1000)`.
    fn sequence(&mut self) -> Result<(u32, u16), Trouble> {
        let at = self.place();
        let seq: u32 = self.number("a sequence number")?;
        self.sign(':')?;
        let end: u32 = self.number("a sequence number")?;
        let len = self.bytes_in_parentheses()?;
        if seq.wrapping_add(u32::from(len)) != end {
            return Err(Trouble::at(
                at,
                format!("{len} bytes from {seq} do not end at {end}"),
            ));
        }
        Ok((seq, len))
    }

    fn segment(&mut self, outbound: bool) -> Result<TcpSpec, Trouble> {
        let ports = self.ports()?;
        let (flags, ace) = self.flags()?;
        let (seq, len) = self.sequence()?;
        let ack = if self.takes_word("ack") {
            self.number("an ACK number")?
        } else {
            0
        };
        let window = if self.takes_word("win") {
            Some(self.number("a window")?)
        } else {
            None
        };
        let urgent = if self.takes_word("urg") {
            self.number("an urgent pointer")?
        } else {
            0
        };
        let at = self.place();
        let mut options = Some(Vec::new());
        if self.takes('<') {
            if self.peek() == &Kind::Ellipsis {
                self.skip();
                options = None;
            } else {
                options = Some(self.tcp_options()?);
            }
            self.sign('>')?;
        }
        if options.is_none() && !outbound {
            return Err(Trouble::at(at, "<...> is for outbound packets only"));
        }
        Ok(TcpSpec {
            ports,
            flags,
            ace,
            seq,
            len,
            ack,
            window,
            urgent,
            options,
        })
    }

    /// Flags, and whether ACE stands there as a digit: `S.`, `P.5`, `P5.`, `-`.
    fn flags(&mut self) -> Result<(u16, bool), Trouble> {
        let mut flags = 0;
        if self.takes('-') {
            return Ok((0, false));
        }
        let mut any = false;
        let mut ace = false;
        if let (Kind::Int(digit), Kind::Sign('.')) = (self.peek(), self.peek_at(1))
            && let Ok(digit) = u16::try_from(*digit)
            && digit < 8
        {
            (flags, ace) = (digit << 6, true);
            self.skip();
        } else if let Kind::Word(letters) = self.peek() {
            for letter in letters.chars() {
                flags |= match letter {
                    '0'..='7' => {
                        ace = true;
                        (u16::try_from(u32::from(letter)).unwrap_or(0) & 7) << 6
                    }
                    'F' => 0x001,
                    'S' => 0x002,
                    'R' => 0x004,
                    'P' => 0x008,
                    'U' => 0x020,
                    'E' => 0x040,
                    'W' => 0x080,
                    'A' => 0x100,
                    _ => return Err(self.expected("TCP flags (FSRP.UEWA)")),
                };
            }
            self.skip();
            any = true;
        }
        if self.takes('.') {
            return Ok((flags | 0x010, ace));
        }
        if let Kind::Float(text) = self.peek() {
            let ace: Option<u16> = text.strip_prefix('.').and_then(|digit| digit.parse().ok());
            let Some(ace) = ace.filter(|ace| *ace < 8) else {
                return Err(self.expected("TCP flags with an ACE field (.0 to .7)"));
            };
            self.skip();
            return Ok((flags | 0x010 | ace << 6, true));
        }
        if any {
            Ok((flags, false))
        } else {
            Err(self.expected("TCP flags, udp or icmp"))
        }
    }

    fn tcp_options(&mut self) -> Result<Vec<TcpOption>, Trouble> {
        let mut options = vec![self.tcp_option()?];
        while self.takes(',') {
            options.push(self.tcp_option()?);
        }
        Ok(options)
    }

    fn tcp_option(&mut self) -> Result<TcpOption, Trouble> {
        let at = self.place();
        Ok(match self.word("a TCP option")?.as_str() {
            "nop" => TcpOption::Nop,
            "eol" => TcpOption::Eol,
            "mss" => TcpOption::Mss(self.number("an MSS")?),
            "wscale" => TcpOption::Wscale(self.number("a window scale")?),
            "sackOK" => TcpOption::SackOk,
            "sack" => TcpOption::Sack(self.blocks()?),
            "md5" => TcpOption::Md5(self.hex_bytes()?),
            "FO" => TcpOption::FastOpen(self.hex_bytes()?),
            "FOEXP" => TcpOption::FastOpenExp(self.hex_bytes()?),
            "TS" => {
                if !self.takes_word("val") {
                    return Err(self.expected("`val`"));
                }
                let val = self.number("a timestamp")?;
                if !self.takes_word("ecr") {
                    return Err(self.expected("`ecr`"));
                }
                TcpOption::Ts {
                    val,
                    ecr: self.number("a timestamp")?,
                }
            }
            "ECN" => self.accurate_ecn()?,
            other => return Err(Trouble::at(at, format!("unknown TCP option `{other}`"))),
        })
    }

    fn blocks(&mut self) -> Result<Vec<(u32, u32)>, Trouble> {
        let mut blocks = Vec::new();
        loop {
            let left = self.number("a SACK block")?;
            self.sign(':')?;
            blocks.push((left, self.number("a SACK block's end")?));
            if !matches!(self.peek(), Kind::Int(_)) {
                return Ok(blocks);
            }
            if blocks.len() == 4 {
                return Err(self.trouble("no room for more than four SACK blocks"));
            }
        }
    }

    /// A run of hexadecimal digits, which may be none.
    fn hex_bytes(&mut self) -> Result<Vec<u8>, Trouble> {
        if !matches!(self.peek(), Kind::Word(_) | Kind::Int(_) | Kind::Hex(_)) {
            return Ok(Vec::new());
        }
        let text = self.token().map(|t| t.text.clone()).unwrap_or_default();
        let digits: Option<Vec<u8>> = text
            .chars()
            .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect();
        let Some(digits) = digits.filter(|d| d.len().is_multiple_of(2) && d.len() <= 64) else {
            return Err(self.expected("an even number of hexadecimal digits"));
        };
        self.skip();
        Ok(digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, d| byte << 4 | d))
            .collect())
    }

    /// `ECN e0b 1 ceb 0 e1b 1`, shortened from the right: the first counter tells the order.
    fn accurate_ecn(&mut self) -> Result<TcpOption, Trouble> {
        let at = self.place();
        let mut names = Vec::new();
        let mut counters = Vec::new();
        while let Some(name) = ["e0b", "ceb", "e1b"].iter().find(|name| self.is_word(name)) {
            self.skip();
            names.push(*name);
            counters.push(self.number("a counter")?);
        }
        let orders = [(172, ["e0b", "ceb", "e1b"]), (174, ["e1b", "ceb", "e0b"])];
        let Some((kind, _)) = orders.iter().find(|(_, order)| order.starts_with(&names)) else {
            return Err(Trouble::at(
                at,
                "expected counters as e0b ceb e1b or as e1b ceb e0b",
            ));
        };
        if counters.iter().any(|c: &u32| *c > 0xff_ffff) {
            return Err(Trouble::at(at, "a counter has 24 bits"));
        }
        Ok(TcpOption::AccEcn {
            kind: *kind,
            counters,
        })
    }
}
