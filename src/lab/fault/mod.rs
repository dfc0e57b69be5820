//! The fault script: what goes wrong in a run, when, and for how long.
//!
//! ```text
//!   at 2s down a-r1                                   # from then on
//!   between 1s and 3s drop 5% of udp on a-r1 from a   # undone at the end
//!   on 3rd a.ping.reply crash b for 1s                # when node a notes it; undone after a second
//!   `------.----------' `----------.---------' `--.-'
//!         When                   Fault          lasting
//!
//!   text --parse--> Script --check(names)--> the world carries it out
//!     ^---Display------'                 \--> shrinking deletes lines and prints what is left
//! ```
//!
//! One fault a line; `#` begins a comment. What each line can say is the table in [`GRAMMAR`].
//!
//! Promises: what is printed parses back to an equal script. A line's [`id`](FaultLine::id) depends
//! on its own words and on how often they were said before, never on other lines, so that deleting
//! a line leaves the decisions of the others as they were (the world keys them by it).
//!
//! Left out: what needs parts that hosts here do not have yet (disks, clocks of their own, nodes
//! that lie). Such a line is understood and refused, and the message says which part is missing.

mod carry;
mod parse;
mod run;
#[cfg(test)]
mod tests;

pub(crate) use parse::is_name;
pub use parse::verbs;
pub(in crate::lab) use run::Run;

use super::names::{Names, unknown};
use super::units::{write_chance, write_duration, write_rate};
use stack::link::impair::{Act, Chance, Config, Loss, Matched};
use stack::reason::DropReason;
use stack::time::Duration;
use stack::wire::Protocol;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// The language, for `--help` and for errors.
pub const GRAMMAR: &str = "\
at T FAULT [for D]                    from T on, or for D
between T and T FAULT                 undone at the end
on [1st|2nd|..|every] NODE.NOTE FAULT [for D]    when a program on NODE (*: any) notes NOTE

drop|duplicate|corrupt P ON           P: 5%, 0.05, all, or `next 3` for the next three packets,
                                      on all of its wires together
delay D ON                            every packet D later
delay|reorder P by D ON               those chosen D later, overtaken by the others
blackhole LINK [from NODE] [WHICH]    drop all
    ON: [of PROTO] on LINK [from NODE] [WHICH]   WHICH: source WHO, to WHO, port N
    PROTO: arp icmp igmp udp tcp icmpv6 or a number    WHO: a node or an address
    LINK: a wire, NODE.PORT, or * for every wire       from: only what NODE sends into it
rate R|mtu N|loss P|jitter D on LINK [from NODE]       R: 1mbit, or unlimited
down LINK    up LINK    flap LINK every D [down D]
partition {a,b} | {c,d} [| ..]        no packets between the groups
partition {a,b} -> {c,d}              none from the first to the second
partition bridge {a,b} | c | {d,e}    c still hears both
partition majorities {a,b,c,d,e}      each hears a majority, no two the same
heal                                  end all partitions
clog a -> b    release a -> b         hold packets; let them go
crash|restart|pause|resume NODE";

/// A whole script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// Its lines, in the order written.
    pub lines: Vec<FaultLine>,
}

/// One line: a fault, and when.
///
/// Equal where the meaning is: the line's number is not compared.
#[derive(Clone, Debug)]
pub struct FaultLine {
    /// Where it was written, from 1; 0 where it was not.
    pub line: u32,
    /// A name that stays when other lines go. See [`Script::renumber`].
    pub id: u64,
    /// When it begins.
    pub when: When,
    /// After how long it is undone; `None` is never.
    pub lasting: Option<Duration>,
    /// What happens.
    pub fault: Fault,
}

impl PartialEq for FaultLine {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
            && self.when == other.when
            && self.lasting == other.lasting
            && self.fault == other.fault
    }
}

impl Eq for FaultLine {}

/// When a fault begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// So long after the run began.
    At(Duration),
    /// When a program makes a note.
    On(Trigger),
}

/// A note that sets a fault off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Which time it is made.
    pub occurrence: Occurrence,
    /// On which node; `None` is any.
    pub node: Option<String>,
    /// The note's name, as `ping.reply`.
    pub note: String,
}

/// Which of a note's occurrences counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurrence {
    /// The n-th, from 1.
    Nth(u32),
    /// All of them.
    Every,
}

impl Occurrence {
    /// Whether the `n`-th (from 1) is meant.
    #[must_use]
    pub const fn fires(self, n: u64) -> bool {
        match self {
            Self::Nth(want) => want as u64 == n,
            Self::Every => true,
        }
    }
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Something is done to single packets.
    Packets {
        /// What.
        harm: Harm,
        /// To which share of those that match.
        share: Share,
        /// Which match.
        only: Only,
        /// Where.
        place: Place,
    },
    /// A wire is given another property.
    Wire {
        /// Which property, and its value.
        change: Change,
        /// Where.
        place: Place,
    },
    /// A wire goes down: what it carries is lost.
    Down(Link),
    /// It comes back.
    Up(Link),
    /// It goes down and comes back, over and over.
    Flap {
        /// The wire.
        link: Link,
        /// From one going down to the next.
        every: Duration,
        /// How long it stays down each time.
        down: Duration,
    },
    /// Nodes do not hear each other.
    Partition(Partition),
    /// All partitions end.
    Heal,
    /// Packets from one group to the other are held.
    Clog(Vec<String>, Vec<String>),
    /// Those held arrive, and others pass again.
    Release(Vec<String>, Vec<String>),
    /// A node loses power, with all that it knew.
    Crash(String),
    /// It starts again, as at the beginning of the run.
    Restart(String),
    /// A node stands still: it takes no frame and no timer.
    Pause(String),
    /// It goes on, with the time that passed.
    Resume(String),
}

/// What is done to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// It is lost.
    Drop,
    /// It arrives twice.
    Duplicate,
    /// A bit of it is turned over.
    Corrupt,
    /// It takes so much longer.
    Delay(Duration),
    /// It takes so much longer, so that later ones overtake it.
    Reorder(Duration),
}

impl Harm {
    /// What a wire does to the packet.
    #[must_use]
    pub const fn act(self) -> Act {
        match self {
            Self::Drop => Act::Drop,
            Self::Duplicate => Act::Duplicate,
            Self::Corrupt => Act::Corrupt,
            Self::Delay(by) => Act::Delay(by),
            Self::Reorder(by) => Act::Reorder(by),
        }
    }
}

/// Which of the packets that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Each with this probability.
    Chance(Chance),
    /// The next so many, then no more.
    Next(u32),
}

impl Share {
    /// How often a wire takes one, and how many more it takes at most.
    #[must_use]
    pub const fn odds(self) -> (Chance, Option<u32>) {
        match self {
            Self::Chance(chance) => (chance, None),
            Self::Next(n) => (Chance::ALWAYS, Some(n)),
        }
    }
}

/// Which packets a fault is about; the default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only {
    /// Of this protocol.
    pub protocol: Option<Kind>,
    /// Sent by this address.
    pub source: Option<Party>,
    /// Sent to this address.
    pub to: Option<Party>,
    /// With this port as source or destination.
    pub port: Option<u16>,
}

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ARP.
    Arp,
    /// An IP protocol by number.
    Ip(u8),
}

impl Kind {
    /// What a wire looks for.
    #[must_use]
    pub const fn matched(self) -> Matched {
        match self {
            Self::Arp => Matched::Arp,
            Self::Ip(number) => Matched::Ip(Protocol(number)),
        }
    }
}

/// A node (any of its addresses), or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// A node by name.
    Node(String),
    /// An address.
    Addr(IpAddr),
}

/// One or both directions of one or all wires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which wire.
    pub link: Link,
    /// Only the direction that this node sends into; `None` is both.
    pub from: Option<String>,
}

/// A wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// By its name.
    Wire(String),
    /// The one at a port of a node.
    Port(String, u16),
    /// Every one.
    All,
}

/// A property of a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Bits a second; `None` is without limit.
    Rate(Option<u64>),
    /// The largest packet that passes; larger ones are lost without a word.
    Mtu(usize),
    /// Independent loss.
    Loss(Chance),
    /// Jitter.
    Jitter(Duration),
}

impl Change {
    /// Makes the change to a direction of a wire.
    pub fn apply(self, config: &mut Config) {
        match self {
            Self::Rate(rate) => config.rate = rate,
            Self::Mtu(mtu) => config.mtu = mtu,
            Self::Loss(chance) => config.loss = Loss::Independent(chance),
            Self::Jitter(jitter) => config.jitter = jitter,
        }
    }

    /// Why it cannot be made to a direction that is else as `config` says. No other change moves a
    /// delay, so that it does not depend on the order of lines.
    #[must_use]
    pub fn contradiction(self, config: &Config) -> Option<String> {
        match self {
            Self::Jitter(jitter) if jitter > config.delay => Some(format!(
                "a jitter of {} is more than the delay, which is {}, and no frame arrives before it \
                 was sent",
                write_duration(jitter),
                write_duration(config.delay)
            )),
            _ => None,
        }
    }

    /// Why packets are lost to it, where they are.
    const fn costs(self) -> Option<DropReason> {
        match self {
            Self::Mtu(_) => Some(DropReason::FrameTooLong),
            Self::Loss(_) => Some(DropReason::WireLoss),
            Self::Rate(_) | Self::Jitter(_) => None,
        }
    }
}

/// Who does not hear whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partition {
    /// Nobody hears anybody of another group.
    Split(Vec<Vec<String>>),
    /// The second group does not hear the first.
    OneWay(Vec<String>, Vec<String>),
    /// The first and the last do not hear each other; the middle hears and is heard by both.
    Bridge([Vec<String>; 3]),
    /// Each hears a majority around it in this ring, and no two hear the same one.
    Majorities(Vec<String>),
}

impl Partition {
    /// Each pair (sender, receiver) between which nothing passes.
    #[must_use]
    pub fn cuts(&self) -> Vec<(&str, &str)> {
        let mut cuts = Vec::new();
        match self {
            Self::Split(groups) => {
                for (i, a) in groups.iter().enumerate() {
                    for (_, b) in groups.iter().enumerate().filter(|(j, _)| *j != i) {
                        pairs(&mut cuts, a, b);
                    }
                }
            }
            Self::OneWay(a, b) => pairs(&mut cuts, a, b),
            Self::Bridge([a, _, c]) => {
                pairs(&mut cuts, a, c);
                pairs(&mut cuts, c, a);
            }
            Self::Majorities(ring) => {
                let n = ring.len();
                let majority = n / 2 + 1;
                for (i, receiver) in ring.iter().enumerate() {
                    // The window of a majority that has the receiver in its middle.
                    let first = i + n - majority / 2;
                    let heard = |j: usize| (j + 2 * n - first) % n < majority;
                    let deaf = ring.iter().enumerate().filter(|(j, _)| !heard(*j));
                    cuts.extend(deaf.map(|(_, sender)| (sender.as_str(), receiver.as_str())));
                }
            }
        }
        cuts
    }

    fn nodes(&self) -> Vec<&String> {
        match self {
            Self::Split(groups) => groups.iter().flatten().collect(),
            Self::OneWay(a, b) => a.iter().chain(b).collect(),
            Self::Bridge(groups) => groups.iter().flatten().collect(),
            Self::Majorities(ring) => ring.iter().collect(),
        }
    }
}

fn pairs<'a>(cuts: &mut Vec<(&'a str, &'a str)>, from: &'a [String], to: &'a [String]) {
    cuts.extend(
        from.iter()
            .flat_map(|a| to.iter().map(move |b| (a.as_str(), b.as_str()))),
    );
}

/// What is wrong with a script, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The line, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for ScriptError {}

impl Script {
    /// Parses a script.
    ///
    /// # Errors
    /// The first line that makes no sense, and why.
    ///
    /// ```
    /// use tapline::lab::fault::Script;
    /// let script = Script::parse("at 2s down a-b for 1s   # unplugged").unwrap();
    /// assert_eq!(script.to_string(), "between 2s and 3s down a-b\n");
    /// let e = Script::parse("\nat 2s dwon a-b").unwrap_err();
    /// assert_eq!(e.to_string(), "line 2: there is no fault `dwon`; did you mean `down`?");
    /// ```
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        parse::script(text)
    }

    /// Whether nothing goes wrong.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Gives each line its id: a hash of what it says and how often that was said before. Needed
    /// after lines were put in by hand; taking lines out keeps the ids of the others.
    pub fn renumber(&mut self) {
        let mut said: BTreeMap<String, u64> = BTreeMap::new();
        for line in &mut self.lines {
            let text = line.to_string();
            let times = said.entry(text.clone()).or_default();
            line.id = hash(&text, *times);
            *times += 1;
        }
    }

    /// That everything it names is there.
    ///
    /// # Errors
    /// The first line that names something unknown, with what may have been meant.
    pub fn check(&self, names: &Names) -> Result<(), ScriptError> {
        for FaultLine {
            line, when, fault, ..
        } in &self.lines
        {
            let checked = check_when(when, names).and_then(|()| fault.check(names));
            checked.map_err(|what| ScriptError { line: *line, what })?;
        }
        Ok(())
    }
}

/// FNV-1a over the words, then a finalizer so that near texts give far ids.
fn hash(text: &str, times: u64) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = text.bytes().chain(times.to_le_bytes());
    let mut h = bytes.fold(OFFSET, |h, b| (h ^ u64::from(b)).wrapping_mul(PRIME));
    h ^= h >> 32;
    h = h.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h ^ (h >> 29)
}

fn check_when(when: &When, names: &Names) -> Result<(), String> {
    let When::On(trigger) = when else {
        return Ok(());
    };
    if let Some(node) = &trigger.node {
        if names.clients.contains(node) {
            return Err(clients_note(node, &trigger.note, names));
        }
        names.node(node)?;
    }
    let note = &trigger.note;
    let is_there = |at: &String| trigger.node.as_ref().is_none_or(|node| node == at);
    let here = names.notes.iter().filter(|(at, _)| is_there(at));
    let here: BTreeSet<&str> = here
        .flat_map(|(_, notes)| notes)
        .map(String::as_str)
        .collect();
    if names.notes.is_empty() || here.contains(note.as_str()) {
        return Ok(());
    }
    let mut elsewhere = names.notes.iter().filter(|(_, notes)| notes.contains(note));
    match (&trigger.node, elsewhere.next()) {
        (Some(node), Some((other, _))) => Err(format!(
            "nobody at `{node}` notes `{note}`: say `{other}.{note}`"
        )),
        _ => Err(unknown("note", note, here)),
    }
}

/// A client stands where its node should: what to say instead.
fn clients_note(client: &str, note: &str, names: &Names) -> String {
    let prefix = format!("{client}.");
    let all = names.notes.values().flatten();
    let own: Vec<&str> = all.filter_map(|n| n.strip_prefix(&prefix)).collect();
    if own.contains(&note) {
        return format!("`{client}` is a client, and notes are of a node: say `*.{client}.{note}`");
    }
    let wrong = unknown("note", note, own.iter().copied());
    format!("{wrong} (`{client}` is a client: its notes are `*.{client}.NOTE`)")
}

impl Fault {
    /// Whether it can be undone; if not, it takes no duration.
    #[must_use]
    pub const fn lasts(&self) -> bool {
        !matches!(
            self,
            Self::Up(_) | Self::Heal | Self::Release(..) | Self::Restart(_) | Self::Resume(_)
        )
    }

    /// Whether a node may have to begin again.
    #[must_use]
    pub const fn needs_births(&self) -> bool {
        matches!(self, Self::Crash(_) | Self::Restart(_))
    }

    /// The word that it begins with.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Packets { harm, share, .. } => match harm {
                Harm::Drop if is_all(*share) => "blackhole",
                Harm::Drop => "drop",
                Harm::Duplicate => "duplicate",
                Harm::Corrupt => "corrupt",
                Harm::Delay(_) => "delay",
                Harm::Reorder(_) => "reorder",
            },
            Self::Wire { change, .. } => match change {
                Change::Rate(_) => "rate",
                Change::Mtu(_) => "mtu",
                Change::Loss(_) => "loss",
                Change::Jitter(_) => "jitter",
            },
            Self::Down(_) => "down",
            Self::Up(_) => "up",
            Self::Flap { .. } => "flap",
            Self::Partition(_) => "partition",
            Self::Heal => "heal",
            Self::Clog(..) => "clog",
            Self::Release(..) => "release",
            Self::Crash(_) => "crash",
            Self::Restart(_) => "restart",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
        }
    }

    fn check(&self, names: &Names) -> Result<(), String> {
        let all_nodes = |nodes: &[&String]| nodes.iter().try_for_each(|n| names.node(n).map(drop));
        match self {
            Self::Packets { only, place, .. } => {
                for party in [&only.source, &only.to].into_iter().flatten() {
                    if let Party::Node(node) = party {
                        names.node(node)?;
                    }
                }
                place.check(names)
            }
            Self::Wire { place, .. } => place.check(names),
            Self::Down(link) | Self::Up(link) | Self::Flap { link, .. } => {
                link.check(names).map(drop)
            }
            Self::Partition(partition) => all_nodes(&partition.nodes()),
            Self::Heal => Ok(()),
            Self::Clog(a, b) | Self::Release(a, b) => {
                all_nodes(&a.iter().chain(b).collect::<Vec<_>>())
            }
            Self::Crash(n) | Self::Restart(n) | Self::Pause(n) | Self::Resume(n) => {
                names.node(n).map(drop)
            }
        }
    }
}

fn is_all(share: Share) -> bool {
    share == Share::Chance(Chance::ALWAYS)
}

impl Place {
    fn check(&self, names: &Names) -> Result<(), String> {
        let ends = self.link.check(names)?;
        let Some(from) = &self.from else {
            return Ok(());
        };
        names.node(from)?;
        match ends {
            Some([a, b]) if from != a && from != b => Err(format!(
                "`{from}` is at no end of {}: say `from {a}` or `from {b}`",
                self.link
            )),
            _ => Ok(()),
        }
    }
}

impl Link {
    /// Its ends, where it is one wire by name.
    fn check<'a>(&self, names: &'a Names) -> Result<Option<&'a [String; 2]>, String> {
        match self {
            Self::Wire(wire) => names.wire(wire).map(Some),
            Self::All => Ok(None),
            Self::Port(node, port) => match names.node(node)? {
                0 => Err(format!("`{node}` has no ports: no wire ends there")),
                n if usize::from(*port) < n => Ok(None),
                n => Err(format!("`{node}` has the ports 0 to {}, no {port}", n - 1)),
            },
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Display for FaultLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = &self.fault;
        match (&self.when, self.lasting) {
            (When::At(at), None) => write!(f, "at {} {fault}", write_duration(*at)),
            (When::At(at), Some(lasting)) => {
                let end = write_duration(at.saturating_add(lasting));
                write!(f, "between {} and {end} {fault}", write_duration(*at))
            }
            (When::On(trigger), None) => write!(f, "on {trigger} {fault}"),
            (When::On(trigger), Some(lasting)) => {
                write!(f, "on {trigger} {fault} for {}", write_duration(lasting))
            }
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.occurrence {
            Occurrence::Nth(1) => {}
            Occurrence::Nth(n) => write!(f, "{} ", ordinal(n))?,
            Occurrence::Every => f.write_str("every ")?,
        }
        let node = self.node.as_deref().unwrap_or("*");
        write!(f, "{node}.{}", self.note)
    }
}

fn ordinal(n: u32) -> String {
    let ending = match (n % 100, n % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{n}{ending}")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = self.verb();
        match self {
            Self::Packets {
                harm,
                share,
                only,
                place,
            } => write_packets(f, verb, *harm, *share, only, place),
            Self::Wire { change, place } => write!(f, "{verb} {change} on {place}"),
            Self::Down(link) | Self::Up(link) => write!(f, "{verb} {link}"),
            Self::Flap { link, every, down } => {
                let (every, down) = (write_duration(*every), write_duration(*down));
                write!(f, "{verb} {link} every {every} down {down}")
            }
            Self::Partition(partition) => write!(f, "{verb} {partition}"),
            Self::Heal => f.write_str(verb),
            Self::Clog(a, b) | Self::Release(a, b) => {
                write!(f, "{verb} {} -> {}", Group(a), Group(b))
            }
            Self::Crash(n) | Self::Restart(n) | Self::Pause(n) | Self::Resume(n) => {
                write!(f, "{verb} {n}")
            }
        }
    }
}

fn write_packets(
    f: &mut fmt::Formatter<'_>,
    verb: &str,
    harm: Harm,
    share: Share,
    only: &Only,
    place: &Place,
) -> fmt::Result {
    f.write_str(verb)?;
    match (harm, share) {
        (Harm::Drop | Harm::Delay(_), share) if is_all(share) => {}
        (_, share) if is_all(share) => f.write_str(" all")?,
        (_, Share::Chance(p)) => write!(f, " {}", write_chance(p))?,
        (_, Share::Next(n)) => write!(f, " next {n}")?,
    }
    match harm {
        Harm::Delay(by) if is_all(share) => write!(f, " {}", write_duration(by))?,
        Harm::Delay(by) | Harm::Reorder(by) => write!(f, " by {}", write_duration(by))?,
        Harm::Drop | Harm::Duplicate | Harm::Corrupt => {}
    }
    let dark = verb == "blackhole";
    match only.protocol {
        Some(kind) if !dark => write!(f, " of {kind}")?,
        _ => {}
    }
    write!(f, " {}{place}", if dark { "" } else { "on " })?;
    match only.protocol {
        Some(kind) if dark => write!(f, " of {kind}")?,
        _ => {}
    }
    if let Some(source) = &only.source {
        write!(f, " source {source}")?;
    }
    if let Some(to) = &only.to {
        write!(f, " to {to}")?;
    }
    only.port.map_or(Ok(()), |port| write!(f, " port {port}"))
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(Some(bits)) => f.write_str(&write_rate(*bits)),
            Self::Rate(None) => f.write_str("unlimited"),
            Self::Mtu(bytes) => write!(f, "{bytes}"),
            Self::Loss(p) => f.write_str(&write_chance(*p)),
            Self::Jitter(d) => f.write_str(&write_duration(*d)),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = parse::PROTOCOLS.iter().find(|(_, kind)| kind == self);
        match (named, self) {
            (Some((name, _)), _) => f.write_str(name),
            (None, Self::Ip(n)) => write!(f, "{n}"),
            (None, Self::Arp) => f.write_str("arp"),
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => f.write_str(name),
            Self::Addr(addr) => write!(f, "{addr}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.from {
            Some(from) => write!(f, "{} from {from}", self.link),
            None => write!(f, "{}", self.link),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wire(name) => f.write_str(name),
            Self::Port(node, port) => write!(f, "{node}.{port}"),
            Self::All => f.write_str("*"),
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let split = |f: &mut fmt::Formatter<'_>, groups: &[Vec<String>]| {
            let groups: Vec<_> = groups.iter().map(|g| Group(g).to_string()).collect();
            f.write_str(&groups.join(" | "))
        };
        match self {
            Self::Split(groups) => split(f, groups),
            Self::OneWay(a, b) => write!(f, "{} -> {}", Group(a), Group(b)),
            Self::Bridge(groups) => {
                f.write_str("bridge ")?;
                split(f, groups)
            }
            Self::Majorities(ring) => write!(f, "majorities {}", Group(ring)),
        }
    }
}

/// Nodes in braces; one alone stands by itself.
struct Group<'a>(&'a [String]);

impl fmt::Display for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [one] => f.write_str(one),
            many => write!(f, "{{{}}}", many.join(",")),
        }
    }
}
