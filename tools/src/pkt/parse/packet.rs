//! Packets of a script.

use super::Parser;
use crate::pkt::lexer::Kind;
use crate::pkt::place::Trouble;
use crate::pkt::tree::{About, Body, IpSpec, Numbering, Packet, TcpOption, TcpSpec, TosSpec};

impl Parser {
    pub(super) fn packet(&mut self) -> Result<Packet, Trouble> {
        let outbound = self.peek() == &Kind::Sign('>');
        self.skip();
        let outer = self.outer()?;
        let at = self.place();
        let ip = self.ip_spec()?;
        if matches!(ip.tos, TosSpec::Ect01 | TosSpec::DscpEct01(_)) && !outbound {
            return Err(Trouble::at(at, "[ect01] is for outbound packets only"));
        }
        // What an ICMP message quotes, which older scripts say first.
        let quoted = match self.peek() {
            Kind::Sign('[') => self.about()?,
            _ => None,
        };
        let body = if self.takes_word("udp") {
            self.udp()?
        } else if self.takes_word("icmp") {
            self.icmp(quoted)?
        } else if quoted.is_some() {
            return Err(self.expected("icmp"));
        } else {
            Body::Tcp(self.segment(outbound)?)
        };
        Ok(Packet {
            outbound,
            outer,
            ip,
            body,
        })
    }

    /// `[ect0]`, `(ttl 3)`, `[tos 0x2, flowlabel 0x5]`, `(dscp af11, ecn ce, hlim 4)`.
    pub(super) fn ip_spec(&mut self) -> Result<IpSpec, Trouble> {
        let mut spec = IpSpec::default();
        let close = match self.peek() {
            Kind::Sign('[') if matches!(self.peek_at(1), Kind::Int(_)) => return Ok(spec),
            Kind::Sign('[') => ']',
            Kind::Sign('(') => ')',
            _ => return Ok(spec),
        };
        self.skip();
        loop {
            self.ip_field(&mut spec)?;
            if !self.takes(',') {
                break;
            }
        }
        self.sign(close)?;
        Ok(spec)
    }

    fn ip_field(&mut self, spec: &mut IpSpec) -> Result<(), Trouble> {
        const FIELDS: &str =
            "noecn, ect0, ect1, ect01, ce, ecn, dscp, tos, class, ttl, hlim or flowlabel";
        let mut name = self.word(FIELDS)?;
        if name == "ecn" {
            name = self.word("noecn, ect0, ect1, ect01 or ce")?;
        }
        let bits = match name.as_str() {
            "noecn" => 0,
            "ect1" => 1,
            "ect0" => 2,
            "ce" => 3,
            "ect01" => {
                spec.tos = match spec.tos {
                    TosSpec::Dscp(dscp) => TosSpec::DscpEct01(dscp),
                    _ => TosSpec::Ect01,
                };
                return Ok(());
            }
            "tos" | "class" => {
                spec.tos = TosSpec::Byte(self.number("a tos byte")?);
                return Ok(());
            }
            "dscp" => {
                spec.tos = TosSpec::Dscp(self.dscp()? << 2);
                return Ok(());
            }
            "ttl" | "hlim" => {
                spec.ttl = self.number("a time to live")?;
                return Ok(());
            }
            "flowlabel" => {
                spec.flow_label = self.number("a flow label")?;
                if spec.flow_label > 0xf_ffff {
                    return Err(self.trouble("a flow label has 20 bits"));
                }
                return Ok(());
            }
            other => return Err(self.trouble(format!("unknown IP field `{other}`"))),
        };
        spec.tos = match spec.tos {
            TosSpec::Dscp(dscp) => TosSpec::Byte(dscp | bits),
            _ => TosSpec::Ecn(bits),
        };
        Ok(())
    }

    /// `af11`, `cs3`, `0x2e`.
    fn dscp(&mut self) -> Result<u8, Trouble> {
        let Kind::Word(name) = self.peek() else {
            let value: u8 = self.number("a code point")?;
            return match value {
                0..64 => Ok(value),
                _ => Err(self.trouble("a code point has six bits")),
            };
        };
        let lower = name.to_ascii_lowercase();
        let digit = |text: &str, most: u32| {
            let value: u32 = text.parse().ok().filter(|n| *n <= most)?;
            u8::try_from(value).ok()
        };
        let classed = lower
            .strip_prefix("cs")
            .and_then(|n| digit(n, 7))
            .map(|n| n << 3);
        let assured = || {
            let (class, drop) = lower.strip_prefix("af")?.split_at_checked(1)?;
            let (class, drop) = (digit(class, 4)?, digit(drop, 3)?);
            (class > 0 && drop > 0).then_some(class << 3 | drop << 1)
        };
        let named = match lower.as_str() {
            "ef" => Some(46),
            "voice_admit" => Some(44),
            "le" => Some(1),
            _ => None,
        };
        let Some(value) = classed.or_else(assured).or(named) else {
            return Err(self.expected("a code point (cs1, af11, ef, 0x2e)"));
        };
        self.skip();
        Ok(value)
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

    fn icmp(&mut self, quoted: Option<About>) -> Result<Body, Trouble> {
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
        let about = match quoted {
            Some(quoted) => Some(quoted),
            None => self.about()?,
        };
        Ok(Body::Icmp {
            kind,
            code,
            mtu,
            id,
            about: about.unwrap_or(About::Tcp { seq: 0, len: 0 }),
        })
    }

    /// `[0:10(10)]`, `[udp (8)]`, `[raw (8)]`: what an ICMP error quotes.
    fn about(&mut self) -> Result<Option<About>, Trouble> {
        if !self.takes('[') {
            return Ok(None);
        }
        let about = if self.takes_word("udp") {
            About::Udp {
                len: self.bytes_in_parentheses()?,
            }
        } else if self.takes_word("raw") {
            About::Raw {
                len: self.bytes_in_parentheses()?,
            }
        } else {
            let (seq, len, _) = self.sequence()?;
            About::Tcp { seq, len }
        };
        self.udp_around()?;
        self.sign(']')?;
        Ok(Some(about))
    }

    /// `/udp(9899 > 9899)`: a datagram around the segment.
    fn udp_around(&self) -> Result<(), Trouble> {
        if self.peek() == &Kind::Sign('/') {
            return Err(self.trouble("segments within datagrams of UDP are not to be had"));
        }
        Ok(())
    }

    /// `1:1001(1000)`, `0:0(0)!`, `...(0)`.
    fn sequence(&mut self) -> Result<(u32, u16, Numbering), Trouble> {
        let at = self.place();
        if self.peek() == &Kind::Ellipsis {
            self.skip();
            return Ok((0, self.bytes_in_parentheses()?, Numbering::Any));
        }
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
        let numbering = match self.takes('!') {
            true => Numbering::Live,
            false => Numbering::Relative,
        };
        Ok((seq, len, numbering))
    }

    fn segment(&mut self, outbound: bool) -> Result<TcpSpec, Trouble> {
        let ports = self.ports()?;
        let (flags, ace) = self.flags()?;
        let (seq, len, numbering) = self.sequence()?;
        if numbering == Numbering::Any && !outbound {
            return Err(self.trouble("a sequence number `...` is for outbound packets only"));
        }
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
        self.udp_around()?;
        Ok(TcpSpec {
            ports,
            flags,
            ace,
            seq,
            numbering,
            len,
            ack,
            window,
            urgent,
            options,
            any_timestamp: core::mem::take(&mut self.any_timestamp),
            live_echo: core::mem::take(&mut self.live_echo),
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
        let mut name = self.word("a TCP option")?;
        if name == "exp" && self.takes('-') {
            name = format!("exp-{}", self.word("an experimental option")?);
        }
        Ok(match name.as_str() {
            "nop" => TcpOption::Nop,
            "eol" => TcpOption::Eol,
            "mss" => TcpOption::Mss(self.number("an MSS")?),
            "wscale" => TcpOption::Wscale(self.number("a window scale")?),
            "sackOK" => TcpOption::SackOk,
            "sack" => TcpOption::Sack(self.blocks()?),
            "md5" if self.is_word("valid") || self.is_word("invalid") => {
                return Err(Trouble::at(at, "no signatures of RFC 2385 can be made"));
            }
            "md5" => TcpOption::Md5(self.hex_bytes()?),
            "FO" => TcpOption::FastOpen(self.hex_bytes()?),
            "FOEXP" | "exp-FO" => TcpOption::FastOpenExp(self.hex_bytes()?),
            "TS" => {
                if !self.takes_word("val") {
                    return Err(self.expected("`val`"));
                }
                let val = match self.peek() {
                    Kind::Ellipsis => {
                        self.any_timestamp = true;
                        self.skip();
                        0
                    }
                    _ => self.number("a timestamp")?,
                };
                if !self.takes_word("ecr") {
                    return Err(self.expected("`ecr`"));
                }
                let ecr = self.number("a timestamp")?;
                self.live_echo = self.takes('!');
                TcpOption::Ts { val, ecr }
            }
            "ECN" => self.accurate_ecn(None)?,
            "AccECN0" => self.accurate_ecn(Some(172))?,
            "AccECN1" => self.accurate_ecn(Some(174))?,
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
        let Some(digits) = digits.filter(|d| d.len().is_multiple_of(2) && d.len() <= 80) else {
            return Err(self.expected("an even number of hexadecimal digits"));
        };
        self.skip();
        Ok(digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, d| byte << 4 | d))
            .collect())
    }

    /// `ECN e0b 1 ceb 0 e1b 1`, shortened from the right: the first counter tells the order.
    fn accurate_ecn(&mut self, order: Option<u8>) -> Result<TcpOption, Trouble> {
        const NAMES: [(&str, &str); 6] = [
            ("e0b", "e0b"),
            ("ceb", "ceb"),
            ("e1b", "e1b"),
            ("ee0b", "e0b"),
            ("eceb", "ceb"),
            ("ee1b", "e1b"),
        ];
        let at = self.place();
        let mut names = Vec::new();
        let mut counters = Vec::new();
        while let Some((_, name)) = NAMES.iter().find(|(name, _)| self.is_word(name)) {
            self.skip();
            names.push(*name);
            counters.push(self.number("a counter")?);
        }
        let orders = [(172, ["e0b", "ceb", "e1b"]), (174, ["e1b", "ceb", "e0b"])];
        let mut orders = orders
            .iter()
            .filter(|(kind, _)| order.is_none_or(|o| o == *kind));
        let Some((kind, _)) = orders.find(|(_, order)| order.starts_with(&names)) else {
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
