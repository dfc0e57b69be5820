//! From a script's text to its lines.
//!
//! ```text
//!   line --words--> [between][1s][and][3s][drop][5%][of][udp][on][a-r1][from][a]
//!                    `-----when---------' `verb'`---share, then clauses in any order---'
//! ```
//!
//! Errors say what was expected, and where a word is nearly one that exists, which.

use super::{
    Change, Fault, FaultLine, Harm, Kind, Link, Occurrence, Only, Partition, Party, Place, Script,
    ScriptError, Share, Trigger, When,
};
use crate::lab::names::nearest;
use crate::lab::units;
use stack::link::impair::Chance;
use stack::time::Duration;

/// Every verb, and for those that nothing here can carry out, what is missing.
const VERBS: &[(&str, Option<&str>)] = &[
    ("drop", None),
    ("duplicate", None),
    ("corrupt", None),
    ("delay", None),
    ("reorder", None),
    ("blackhole", None),
    ("rate", None),
    ("mtu", None),
    ("loss", None),
    ("jitter", None),
    ("down", None),
    ("up", None),
    ("flap", None),
    ("partition", None),
    ("heal", None),
    ("clog", None),
    ("release", None),
    ("crash", None),
    ("restart", None),
    ("pause", None),
    ("resume", None),
    ("slow-disk", Some("a disk on the node")),
    ("torn-record", Some("a disk on the node")),
    ("clock", Some("a clock of the node's own")),
    ("byzantine", Some("a node that runs an algorithm")),
];

/// Every verb that this lab can carry out.
pub fn verbs() -> impl Iterator<Item = &'static str> + Clone {
    let known = VERBS.iter().filter(|(_, missing)| missing.is_none());
    known.map(|(name, _)| *name)
}

/// Protocols by name.
pub(super) const PROTOCOLS: &[(&str, Kind)] = &[
    ("arp", Kind::Arp),
    ("icmp", Kind::Ip(1)),
    ("igmp", Kind::Ip(2)),
    ("tcp", Kind::Ip(6)),
    ("udp", Kind::Ip(17)),
    ("icmpv6", Kind::Ip(58)),
];

/// What a reordered packet is late by where the line does not say.
const REORDER_BY: Duration = Duration::from_millis(10);
/// The least MTU of IPv4 (RFC 791 §3.2).
const LEAST_MTU: u64 = 68;
/// The largest packet of IPv4.
const MOST_MTU: u64 = 65_535;
/// The shortest time from one going down to the next: each costs two events, and nothing else ends
/// a run that is all flapping.
const LEAST_FLAP: Duration = Duration::from_millis(1);
/// What is wrong with a zero.
const NOTHING: &str = "a duration of zero does nothing";
/// Words that end the share of a fault on packets.
const CLAUSES: &[&str] = &["of", "on", "from", "source", "to", "port", "for"];
/// Other words that stand where a name could.
const OTHERS: &[&str] = &["bridge", "majorities", "all", "next", "every", "by"];

pub(super) fn script(text: &str) -> Result<Script, ScriptError> {
    let mut script = Script::default();
    for (number, text) in (1..).zip(text.lines()) {
        let text = text.split('#').next().unwrap_or_default();
        let mut words = Words::new(text);
        if words.peek().is_some() {
            let line = words.line(number);
            script
                .lines
                .push(line.map_err(|what| ScriptError { line: number, what })?);
        }
    }
    script.renumber();
    Ok(script)
}

/// Whether a node, wire or client can be called that: letters, digits, `-`, `_`, and no word that
/// means something else where a name can stand.
pub(crate) fn is_name(word: &str) -> bool {
    is_word(word) && !is_reserved(word)
}

fn is_word(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    word.starts_with(|c: char| c.is_ascii_alphanumeric()) && word.chars().all(plain)
}

fn is_reserved(word: &str) -> bool {
    CLAUSES.contains(&word) || OTHERS.contains(&word)
}

/// A share of packets: `5%`, `0.05`, `all`.
fn chance(word: &str) -> Result<Chance, String> {
    if word == "all" {
        return Ok(Chance::ALWAYS);
    }
    let parsed = word.parse();
    parsed.map_err(|_| format!("`{word}` is no share: say 5%, 0.05, all, or `next 3`"))
}

/// What is left of a line.
struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
}

type Parsed<T> = Result<T, String>;

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        let mut words = Vec::new();
        for mut word in text.split_whitespace() {
            while !word.is_empty() {
                let mark = word.find(['{', '}', ',', '|']);
                let arrow = word.find("->");
                let (cut, len) = match (mark, arrow) {
                    (Some(m), a) if a.is_none_or(|a| m < a) => (m, 1),
                    (_, Some(a)) => (a, 2),
                    _ => (word.len(), 0),
                };
                let (before, rest) = word.split_at(cut);
                let (mark, rest) = rest.split_at(len);
                words.extend([before, mark].into_iter().filter(|w| !w.is_empty()));
                word = rest;
            }
        }
        Self { words, at: 0 }
    }

    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    fn next(&mut self, want: &str) -> Parsed<&'a str> {
        let word = self.peek().ok_or_else(|| self.ends(want))?;
        self.at += 1;
        Ok(word)
    }

    fn ends(&self, want: &str) -> String {
        match self.words.last() {
            Some(last) => format!("after `{last}` comes {want}, but the line ends"),
            None => format!("the line ends before {want}"),
        }
    }

    fn eat(&mut self, word: &str) -> bool {
        let there = self.peek() == Some(word);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, word: &str) -> Parsed<()> {
        match self.next(&format!("`{word}`"))? {
            w if w == word => Ok(()),
            w => Err(format!("`{w}`: here comes `{word}`")),
        }
    }

    fn line(&mut self, line: u32) -> Parsed<FaultLine> {
        let (when, mut lasting) = self.when()?;
        let fault = self.fault()?;
        if self.eat("for") {
            if lasting.is_some() {
                return Err("`between` already says for how long".to_owned());
            }
            lasting = Some(self.above_zero("a duration")?);
        }
        if let Some(word) = self.peek() {
            return Err(format!("`{word}`: the line was complete before it"));
        }
        if lasting.is_some() && !fault.lasts() {
            let verb = fault.verb();
            return Err(format!(
                "`{verb}` has nothing to undo: say `at`, without an end"
            ));
        }
        if let (When::At(at), Some(lasting)) = (&when, lasting)
            && u64::try_from(at.saturating_add(lasting).as_nanos()).is_err()
        {
            return Err("the end is more than 584 years away".to_owned());
        }
        Ok(FaultLine {
            line,
            id: 0,
            when,
            lasting,
            fault,
        })
    }

    fn when(&mut self) -> Parsed<(When, Option<Duration>)> {
        match self.next("`at`, `between` or `on`")? {
            "at" => Ok((When::At(self.duration("a time")?), None)),
            "between" => {
                let from = self.duration("a time")?;
                self.expect("and")?;
                let to = self.duration("a time")?;
                match to.checked_sub(from) {
                    Some(lasting) if !lasting.is_zero() => Ok((When::At(from), Some(lasting))),
                    _ => Err("the end is not after the beginning".to_owned()),
                }
            }
            "on" => Ok((When::On(self.trigger()?), None)),
            word => {
                let rule = "a line begins with `at`, `between` or `on`";
                Err(match nearest(word, ["at", "between", "on"]) {
                    Some(near) => format!("{rule}, not `{word}`; did you mean `{near}`?"),
                    None => format!("{rule}, not `{word}`"),
                })
            }
        }
    }

    fn trigger(&mut self) -> Parsed<Trigger> {
        let mut word = self.next("NODE.NOTE")?;
        let mut occurrence = Occurrence::Nth(1);
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        if word == "every" {
            occurrence = Occurrence::Every;
            word = self.next("NODE.NOTE")?;
        } else if let (Ok(n), "st" | "nd" | "rd" | "th") =
            (digits.parse(), word.split_at(digits.len()).1)
        {
            if n == 0 {
                return Err(format!("`{word}`: the first is the 1st"));
            }
            occurrence = Occurrence::Nth(n);
            word = self.next("NODE.NOTE")?;
        }
        let Some((node, note)) = word.split_once('.') else {
            return Err(format!(
                "`{word}`: say who notes it, as `a.{word}`, or `*.{word}` for any node"
            ));
        };
        if !note.split('.').all(is_word) {
            return Err(format!("`{note}` is no note's name"));
        }
        Ok(Trigger {
            occurrence,
            node: (node != "*").then(|| name(node)).transpose()?,
            note: note.to_owned(),
        })
    }

    fn fault(&mut self) -> Parsed<Fault> {
        let verb = self.next("what happens")?;
        if let Some((_, Some(missing))) = VERBS.iter().find(|(name, _)| *name == verb) {
            return Err(format!(
                "`{verb}` needs {missing}, which this lab does not have yet"
            ));
        }
        match verb {
            "drop" | "duplicate" | "corrupt" | "delay" | "reorder" | "blackhole" => {
                self.packets(verb)
            }
            "rate" | "mtu" | "loss" | "jitter" => self.change(verb),
            "down" => Ok(Fault::Down(self.link()?)),
            "up" => Ok(Fault::Up(self.link()?)),
            "flap" => self.flap(),
            "partition" => Ok(Fault::Partition(self.partition()?)),
            "heal" => Ok(Fault::Heal),
            "clog" => self.way().map(|(a, b)| Fault::Clog(a, b)),
            "release" => self.way().map(|(a, b)| Fault::Release(a, b)),
            "crash" => Ok(Fault::Crash(self.node()?)),
            "pause" => Ok(Fault::Pause(self.node()?)),
            "resume" => Ok(Fault::Resume(self.node()?)),
            "restart" => {
                let node = self.node()?;
                match self.peek() {
                    Some(word @ ("with" | "keeping")) => Err(format!(
                        "`restart {node} {word} ..` needs a disk on the node, which this lab does \
                         not have yet: say `restart {node}`"
                    )),
                    _ => Ok(Fault::Restart(node)),
                }
            }
            _ => Err(match nearest(verb, VERBS.iter().map(|(name, _)| *name)) {
                Some(near) => format!("there is no fault `{verb}`; did you mean `{near}`?"),
                None => {
                    let known: Vec<_> = verbs().collect();
                    format!("there is no fault `{verb}`; there is {}", known.join(", "))
                }
            }),
        }
    }

    fn packets(&mut self, verb: &str) -> Parsed<Fault> {
        let all = Share::Chance(Chance::ALWAYS);
        let by_next = self.words.get(self.at + 1) == Some(&"by");
        let (harm, share) = match verb {
            "drop" => (Harm::Drop, self.share()?),
            "duplicate" => (Harm::Duplicate, self.share()?),
            "corrupt" => (Harm::Corrupt, self.share()?),
            "blackhole" => (Harm::Drop, all),
            "delay" if !by_next && self.peek() != Some("next") => {
                let word = self.next("a duration")?;
                let plain = word.strip_prefix('+').unwrap_or(word);
                let by = units::duration(plain).map_err(|e| e.to_string())?;
                if by.is_zero() {
                    return Err(NOTHING.to_owned());
                }
                (Harm::Delay(by), all)
            }
            "delay" => {
                let share = self.share()?;
                self.expect("by")?;
                (Harm::Delay(self.above_zero("a duration")?), share)
            }
            _ => {
                let share = self.share()?;
                let by = if self.eat("by") {
                    self.above_zero("a duration")?
                } else {
                    REORDER_BY
                };
                (Harm::Reorder(by), share)
            }
        };
        let mut link = match verb {
            "blackhole" if self.peek() != Some("on") => Some(self.link()?),
            _ => None,
        };
        let (only, from) = self.clauses(&mut link)?;
        let link = link.ok_or_else(|| format!("`{verb}` where? Say `on` and a wire"))?;
        let place = Place { link, from };
        Ok(Fault::Packets {
            harm,
            share,
            only,
            place,
        })
    }

    fn share(&mut self) -> Parsed<Share> {
        if self.peek().is_none_or(|word| CLAUSES.contains(&word)) {
            return Ok(Share::Chance(Chance::ALWAYS));
        }
        if self.eat("next") {
            let n = self.number("how many packets", 1, u64::from(u32::MAX))?;
            return Ok(Share::Next(u32::try_from(n).unwrap_or(u32::MAX)));
        }
        match chance(self.next("a share")?)? {
            Chance::NEVER => Err("a share of 0 does nothing".to_owned()),
            chance => Ok(Share::Chance(chance)),
        }
    }

    /// `of`, `on`, `from`, `source`, `to`, `port`, each once at most and in any order.
    fn clauses(&mut self, link: &mut Option<Link>) -> Parsed<(Only, Option<String>)> {
        let (mut only, mut from) = (Only::default(), None);
        while let Some(word) = self.peek().filter(|word| *word != "for") {
            self.at += 1;
            let fresh = match word {
                "on" => link.replace(self.link()?).is_none(),
                "from" => from.replace(self.node()?).is_none(),
                "of" => only.protocol.replace(self.protocol()?).is_none(),
                "source" => only.source.replace(self.party()?).is_none(),
                "to" => only.to.replace(self.party()?).is_none(),
                "port" => {
                    let port = self.number("a port", 0, u64::from(u16::MAX))?;
                    only.port
                        .replace(u16::try_from(port).unwrap_or(0))
                        .is_none()
                }
                _ => {
                    return Err(format!(
                        "`{word}`: here comes of, on, from, source, to, port or for"
                    ));
                }
            };
            if !fresh {
                return Err(format!("`{word}` is there twice"));
            }
        }
        let ported = matches!(only.protocol, None | Some(Kind::Ip(6 | 17)));
        if only.port.is_some() && !ported {
            return Err("only udp and tcp have ports".to_owned());
        }
        Ok((only, from))
    }

    fn change(&mut self, verb: &str) -> Parsed<Fault> {
        let change = match verb {
            "rate" => {
                let word = self.next("a rate, as 1mbit, or `unlimited`")?;
                match word {
                    "unlimited" => Change::Rate(None),
                    _ => Change::Rate(Some(units::rate(word).map_err(|e| e.to_string())?)),
                }
            }
            "mtu" => {
                let word = self.next("a size in bytes")?;
                let bytes = units::size(word).map_err(|e| e.to_string())?;
                if !(LEAST_MTU..=MOST_MTU).contains(&bytes) {
                    return Err(format!("an MTU is {LEAST_MTU} to {MOST_MTU}, not {word}"));
                }
                Change::Mtu(usize::try_from(bytes).unwrap_or(usize::MAX))
            }
            "loss" => Change::Loss(chance(self.next("a share, as 5%")?)?),
            _ => Change::Jitter(self.duration("a duration")?),
        };
        self.expect("on")?;
        let link = self.link()?;
        let from = self.eat("from").then(|| self.node()).transpose()?;
        let place = Place { link, from };
        Ok(Fault::Wire { change, place })
    }

    fn flap(&mut self) -> Parsed<Fault> {
        let link = self.link()?;
        self.expect("every")?;
        let every = self.above_zero("a duration")?;
        let down = if self.eat("down") {
            self.above_zero("a duration")?
        } else {
            every / 2
        };
        if every < LEAST_FLAP {
            return Err(format!(
                "a wire flaps every {} at most",
                units::write_duration(LEAST_FLAP)
            ));
        }
        if down.is_zero() || down >= every {
            return Err("it must be down for less than from one time to the next".to_owned());
        }
        Ok(Fault::Flap { link, every, down })
    }

    fn partition(&mut self) -> Parsed<Partition> {
        let kind = match self.peek() {
            Some(word @ ("bridge" | "majorities")) => {
                self.at += 1;
                word
            }
            _ => "",
        };
        let mut groups = vec![self.group()?];
        let arrow = self.eat("->");
        if arrow {
            groups.push(self.group()?);
        }
        while !arrow && self.eat("|") {
            groups.push(self.group()?);
        }
        let mut seen = Vec::new();
        for node in groups.iter().flatten() {
            if seen.contains(&node) {
                return Err(format!("`{node}` is there twice"));
            }
            seen.push(node);
        }
        let many = seen.len();
        match (kind, arrow, <[Vec<String>; 3]>::try_from(groups)) {
            ("bridge", false, Ok(three)) => Ok(Partition::Bridge(three)),
            ("bridge", ..) => Err("a bridge is `{a,b} | c | {d,e}`".to_owned()),
            ("majorities", false, Err(groups)) if groups.len() == 1 && many >= 3 => Ok(
                Partition::Majorities(groups.into_iter().flatten().collect()),
            ),
            ("majorities", ..) => {
                Err("majorities are of one group of three nodes or more: `{a,b,c}`".to_owned())
            }
            (_, true, Err(mut groups)) => match (groups.pop(), groups.pop()) {
                (Some(to), Some(from)) => Ok(Partition::OneWay(from, to)),
                _ => Err("one way is `{a} -> {b}`".to_owned()),
            },
            (_, _, Ok(three)) => Ok(Partition::Split(three.into())),
            (_, _, Err(groups)) if groups.len() < 2 => {
                Err("a partition has two groups or more: `{a,b} | {c}`".to_owned())
            }
            (_, _, Err(groups)) => Ok(Partition::Split(groups)),
        }
    }

    fn group(&mut self) -> Parsed<Vec<String>> {
        if !self.eat("{") {
            return Ok(vec![self.node()?]);
        }
        let mut nodes = vec![self.node()?];
        while !self.eat("}") {
            self.expect(",")
                .map_err(|_| "a group is `{a,b}`: a comma or `}` is missing".to_owned())?;
            nodes.push(self.node()?);
        }
        Ok(nodes)
    }

    fn way(&mut self) -> Parsed<(Vec<String>, Vec<String>)> {
        let from = self.group()?;
        self.expect("->")?;
        let to = self.group()?;
        match from.iter().find(|node| to.contains(node)) {
            Some(node) => Err(format!("`{node}` is on both sides")),
            None => Ok((from, to)),
        }
    }

    fn link(&mut self) -> Parsed<Link> {
        let word = self.next("a wire")?;
        match word.split_once('.') {
            None if word == "*" => Ok(Link::All),
            None => name(word).map(Link::Wire),
            Some((node, port)) => {
                let port = port.parse();
                let port = port.map_err(|_| format!("`{word}` is neither a wire nor NODE.PORT"))?;
                Ok(Link::Port(name(node)?, port))
            }
        }
    }

    fn node(&mut self) -> Parsed<String> {
        name(self.next("a node")?)
    }

    fn party(&mut self) -> Parsed<Party> {
        let word = self.next("a node or an address")?;
        match word.parse() {
            Ok(addr) => Ok(Party::Addr(addr)),
            Err(_) if is_name(word) => Ok(Party::Node(word.to_owned())),
            Err(_) => Err(format!("`{word}` is neither a node nor an address")),
        }
    }

    fn protocol(&mut self) -> Parsed<Kind> {
        let word = self.next("a protocol")?;
        if let Some((_, kind)) = PROTOCOLS.iter().find(|(name, _)| *name == word) {
            return Ok(*kind);
        }
        if let Ok(number) = word.parse() {
            return Ok(Kind::Ip(number));
        }
        let names = PROTOCOLS.iter().map(|(name, _)| *name);
        Err(match nearest(word, names.clone()) {
            Some(near) => format!("there is no protocol `{word}`; did you mean `{near}`?"),
            None => {
                let names: Vec<_> = names.collect();
                let names = names.join(", ");
                format!("there is no protocol `{word}`; there is {names}, or a number")
            }
        })
    }

    fn duration(&mut self, want: &str) -> Parsed<Duration> {
        units::duration(self.next(want)?).map_err(|e| e.to_string())
    }

    fn above_zero(&mut self, want: &str) -> Parsed<Duration> {
        let d = self.duration(want)?;
        if d.is_zero() {
            return Err(NOTHING.to_owned());
        }
        Ok(d)
    }

    fn number(&mut self, want: &str, least: u64, most: u64) -> Parsed<u64> {
        let word = self.next(want)?;
        let number = word.parse().ok().filter(|n| (least..=most).contains(n));
        number.ok_or_else(|| format!("`{word}`: here comes {want}, {least} to {most}"))
    }
}

fn name(word: &str) -> Parsed<String> {
    if is_name(word) {
        Ok(word.to_owned())
    } else if is_reserved(word) {
        Err(format!("`{word}`: a name is missing before it"))
    } else {
        Err(format!("`{word}` is no name: letters, digits, - and _"))
    }
}
