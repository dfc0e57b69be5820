//! Headers around a packet: `ipv4 a > b:`, `gre …:`, `mpls (…):`.

use super::Parser;
use crate::pkt::lexer::Kind;
use crate::pkt::place::Trouble;
use crate::pkt::tree::{Label, Outer};
use std::net::IpAddr;

impl Parser {
    /// What stands before the packet itself, outermost first.
    pub(super) fn outer(&mut self) -> Result<Vec<Outer>, Trouble> {
        let mut found = Vec::new();
        loop {
            let header = if self.takes_word("ipv4") {
                self.outer_ip(false)?
            } else if self.takes_word("ipv6") {
                self.outer_ip(true)?
            } else if self.takes_word("gre") {
                self.gre()?
            } else if self.takes_word("mpls") {
                self.mpls()?
            } else if self.is_word("psp") || self.is_word("encap") {
                return Err(self.trouble("PSP, which encrypts, is not to be had"));
            } else {
                return Ok(found);
            };
            self.sign(':')?;
            found.push(header);
        }
    }

    fn outer_ip(&mut self, v6: bool) -> Result<Outer, Trouble> {
        let ip = self.ip_spec()?;
        let from = self.outer_address(v6)?;
        self.sign('>')?;
        let to = self.outer_address(v6)?;
        Ok(Outer::Ip { from, to, ip })
    }

    fn outer_address(&mut self, v6: bool) -> Result<IpAddr, Trouble> {
        let address = match self.peek() {
            Kind::V4(ip) if !v6 => IpAddr::from(*ip),
            Kind::V6(ip) if v6 => IpAddr::from(*ip),
            _ if v6 => return Err(self.expected("an IPv6 address")),
            _ => return Err(self.expected("an IPv4 address")),
        };
        self.skip();
        Ok(address)
    }

    /// `flags 0xb000, sum 1, off 2, key 3, seq 4`, or nothing of it.
    fn gre(&mut self) -> Result<Outer, Trouble> {
        let (mut flags, mut checksum, mut offset) = (0, 0, 0);
        let (mut key, mut sequence) = (0, 0);
        while self.peek() != &Kind::Sign(':') {
            const FIELDS: &str = "`:`, flags, sum, off, key or seq";
            match self.word(FIELDS)?.as_str() {
                "flags" => flags = self.number("flags")?,
                "sum" => checksum = self.number("a checksum")?,
                "off" => offset = self.number("an offset")?,
                "key" => key = self.number("a key")?,
                "seq" => sequence = self.number("a sequence number")?,
                other => return Err(self.trouble(format!("GRE has no field `{other}`"))),
            }
            self.takes(',');
        }
        Ok(Outer::Gre {
            flags,
            checksum,
            offset,
            key,
            sequence,
        })
    }

    /// `(label 1, tc 0, ttl 9) (label 2, tc 0, [S], ttl 9)`.
    fn mpls(&mut self) -> Result<Outer, Trouble> {
        let mut labels: Vec<Label> = Vec::new();
        while self.peek() != &Kind::Sign(':') {
            if labels.last().is_some_and(|label| label.bottom) {
                return Err(self.trouble("a label behind the bottom of the stack"));
            }
            self.sign('(')?;
            let mut label = Label::default();
            loop {
                if self.takes('[') {
                    if !self.takes_word("S") {
                        return Err(self.expected("`S`"));
                    }
                    self.sign(']')?;
                    label.bottom = true;
                } else {
                    match self.word("label, tc, [S] or ttl")?.as_str() {
                        "label" => label.label = self.number("a label")?,
                        "tc" => label.class = self.number("a class")?,
                        "ttl" => label.ttl = self.number("a time to live")?,
                        other => {
                            return Err(self.trouble(format!("MPLS has no field `{other}`")));
                        }
                    }
                }
                if !self.takes(',') {
                    break;
                }
            }
            if label.label > 0xf_ffff || label.class > 7 {
                return Err(self.trouble("a label has 20 bits, and a class three"));
            }
            self.sign(')')?;
            self.takes(',');
            labels.push(label);
        }
        match labels.last() {
            Some(label) if label.bottom => Ok(Outer::Mpls(labels)),
            _ => Err(self.expected("a label with [S], the bottom of the stack")),
        }
    }
}
