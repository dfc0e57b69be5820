//! `replay`: captures fed to a host in virtual time, with what it did with each packet and why.
//!
//! ```text
//!   FILE --survey--> which address, station and VLAN the host takes; who its neighbours are
//!   FILE --records, at their times--> Host --Fate--> a line each     --frames--> its answers, --out
//! ```
//!
//! The host has no sockets but those that `--udp` asks for, and every destination is on its link.
//! Where it asks by ARP for somebody who sends in the capture, replay answers with the station that
//! was seen to send: without that no answer would ever leave, since the capture's neighbours do not
//! hear us.
//!
//! Promises: every packet is accounted for: `packets = delivered + forwarded + held + dropped + not
//! taken`, checked at the end of each file against the host's own counters; the same file gives the
//! same lines each time.

mod survey;

use super::progress::Progress;
use super::{Failure, report};
use crate::dissect::{Dissector, Span, text};
use bytes::Bytes;
use serde_json::json;
use stack::frame::Frame;
use stack::host::{self, Host, InterfaceConfig, Stats};
use stack::machine::{Consumer, Fate, Machine as _, Port};
use stack::net::route::Route;
use stack::reason::DropReason;
use stack::rng::Rng;
use stack::time::{Duration, Instant, UnixTime};
use stack::wire::arp::{self, Operation};
use stack::wire::pcap::{self, Capture, Direction, LinkType, Record};
use stack::wire::{Cidr, EtherType, MacAddr, ParseError, Writer, ethernet, vlan};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use survey::{Carried, Survey};

const EXAMPLES: &str = "Examples:
  tapline replay pings.pcap               # the host takes the address most often sent to
  tapline replay --out answers.pcapng --address 192.168.1.10/24 trace.pcapng
  tapline replay --json *.pcap | grep '\"reason\":\"ipv4-bad-checksum\"'";

/// The host's station, where neither the user nor the capture says.
const USUAL_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const ETHERNET: Port = Port(0);
const IP: Port = Port(1);
/// Turns in which a host that has nothing new to handle may go on sending.
const MAX_TURNS: usize = 10_000;
/// Answers that are kept before they are written out.
const FLUSH_AT: usize = 1 << 20;

/// Captures fed to a host, with what it did with each packet and why.
///
/// Each file gets a new host, with the address that the capture most often sends to (or --address),
/// and time runs as the capture's timestamps say. Exits 0 when every file could be read.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Captures, pcap or pcapng.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Write what the host answers to this file, as pcapng.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// The host's address, a /24 where no prefix is given [default: the one most often sent to].
    #[arg(long, visible_alias = "as", value_name = "CIDR", value_parser = address)]
    address: Option<Cidr>,

    /// The host's station address [default: the one that its address is most often sent to at].
    #[arg(long, value_name = "MAC")]
    mac: Option<MacAddr>,

    /// The host's VLAN [default: the one that its address is most often seen in].
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u16).range(1..=4094))]
    vlan: Option<u16>,

    /// Have a socket on this UDP port; may be given again.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    udp: Vec<u16>,

    /// Forward what is not for the host.
    #[arg(long)]
    forward: bool,

    /// Only the summary of each file.
    #[arg(short, long)]
    quiet: bool,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

fn address(text: &str) -> Result<Cidr, String> {
    let bare = !text.contains('/');
    let full = if bare {
        format!("{text}/24")
    } else {
        text.to_owned()
    };
    match full.parse::<Cidr>() {
        Ok(cidr) if cidr.addr().is_ipv4() => Ok(cidr),
        Ok(_) => Err("a replay's host speaks no IPv6 yet: give an IPv4 address".to_owned()),
        Err(e) => Err(e.to_string()),
    }
}

/// Runs the verb.
///
/// # Errors
/// Exit code 2 where a file cannot be read or is no capture, 1 where packets are unaccounted for.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    match all(args) {
        // Whoever reads has gone, and has seen enough.
        Err(failure) if failure.message.is_empty() => Ok(ExitCode::SUCCESS),
        done => done,
    }
}

fn all(args: &Args) -> Result<ExitCode, Failure> {
    let mut answers = match &args.out {
        Some(path) => Some(Answers::create(path)?),
        None => None,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut unread = false;
    for path in &args.files {
        let bytes = match read(path) {
            // The other files are still wanted.
            Err(failure) if args.files.len() > 1 => {
                out.flush().map_err(report::untold)?;
                eprintln!("tapline: {}", failure.message);
                unread = true;
                continue;
            }
            bytes => bytes?,
        };
        one(args, path, &bytes, &mut out, answers.as_mut())?;
    }
    out.flush().map_err(report::untold)?;
    if let Some(mut answers) = answers {
        answers.flush().map_err(report::untold)?;
    }
    match unread {
        true => Err(Failure::usage("not all files could be read")),
        false => Ok(ExitCode::SUCCESS),
    }
}

/// A file that is a capture, if perhaps a broken one.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = fs::read(path).map_err(|e| unreadable(path, &e.to_string()))?;
    match Capture::parse(&bytes) {
        // Cut within its header, it has nothing to play, and is told so.
        Ok(_) | Err(ParseError::Truncated(_)) => Ok(bytes),
        Err(e) => Err(unreadable(path, &format!("no capture: {e}"))),
    }
}

fn one(
    args: &Args,
    path: &Path,
    bytes: &[u8],
    out: &mut impl Write,
    answers: Option<&mut Answers>,
) -> Result<(), Failure> {
    let name = path.display().to_string();
    let mut replay = Replay::new(args, &name, bytes)?;
    let played = replay.play(bytes, out, answers);
    played.map_err(report::untold)?;
    let conserved = replay.host.stats().is_conserved();
    if !conserved || replay.fed + replay.not_taken != replay.packets {
        let what = format!("{name}: packets are unaccounted for");
        return Err(Failure::unmet(what));
    }
    Ok(())
}

fn unreadable(path: &Path, why: &str) -> Failure {
    Failure {
        remedy: Some("give a pcap or pcapng file that this user may read".to_owned()),
        ..Failure::usage(format!("{}: {why}", path.display()))
    }
}

/// The file of answers.
struct Answers {
    file: File,
    writer: pcap::Writer,
    /// The numbers of the interfaces that have been declared.
    interfaces: BTreeMap<u16, u32>,
}

impl Answers {
    fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path)
            .map_err(|e| Failure::usage(format!("cannot write {}: {e}", path.display())))?;
        let section = pcap::Section {
            application: concat!("tapline ", env!("CARGO_PKG_VERSION")),
            ..pcap::Section::default()
        };
        Ok(Self {
            file,
            writer: pcap::Writer::new(&section),
            interfaces: BTreeMap::new(),
        })
    }

    fn add(&mut self, port: Port, timestamp: u64, data: &[u8], comment: String) -> io::Result<()> {
        let writer = &mut self.writer;
        let interface = *self.interfaces.entry(port.0).or_insert_with(|| {
            let (name, link) = match port {
                ETHERNET => ("eth0", LinkType::ETHERNET),
                _ => ("ip0", LinkType::RAW),
            };
            writer.interface(name, link, 65_535)
        });
        writer.packet(&pcap::Packet {
            interface,
            timestamp,
            direction: Some(Direction::Out),
            data,
            comments: &[comment],
            ..pcap::Packet::default()
        });
        match self.writer.pending().len() > FLUSH_AT {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.writer.take())
    }
}

/// A frame that the host sent.
struct Sent {
    port: Port,
    bytes: Bytes,
    /// What it is, in words.
    what: String,
}

/// One file's replay.
struct Replay<'a> {
    args: &'a Args,
    name: &'a str,
    survey: Survey,
    ours: Option<Ipv4Addr>,
    mac: MacAddr,
    vlan: Option<u16>,
    host: Host,
    /// Say what the frames of either direction are.
    received: Dissector,
    sent: Dissector,
    now: Instant,
    packets: u64,
    fed: u64,
    not_taken: u64,
    answered: u64,
    /// What became of the ARP replies that were made up here.
    made_up: Tally,
}

/// Fates of frames that are not the capture's.
#[derive(Clone, Debug)]
struct Tally {
    delivered: [u64; Consumer::COUNT],
    dropped: [u64; DropReason::COUNT],
}

impl<'a> Replay<'a> {
    fn new(args: &'a Args, name: &'a str, bytes: &[u8]) -> Result<Self, Failure> {
        let mut survey = Survey::default();
        let records = Capture::parse(bytes).into_iter().flatten().flatten();
        records.for_each(|record| survey.add(&record));
        let ours = match args.address {
            Some(cidr) => cidr.addr4(),
            None => survey.address(),
        };
        let found = |f: fn(&Survey, Ipv4Addr) -> Option<MacAddr>| ours.and_then(|a| f(&survey, a));
        let mac = args.mac.or_else(|| found(Survey::mac)).unwrap_or(USUAL_MAC);
        let vlan = args.vlan.or_else(|| ours.and_then(|a| survey.vlan(a)));
        let host = build(args, &survey, ours, mac, vlan)?;
        Ok(Self {
            args,
            name,
            ours,
            mac,
            vlan,
            host,
            survey,
            received: Dissector::default(),
            sent: Dissector::default(),
            now: Instant::ZERO,
            packets: 0,
            fed: 0,
            not_taken: 0,
            answered: 0,
            made_up: Tally {
                delivered: [0; Consumer::COUNT],
                dropped: [0; DropReason::COUNT],
            },
        })
    }

    /// Wall time of the run's beginning.
    fn epoch(&self) -> u64 {
        self.survey.first.unwrap_or(0)
    }

    fn play(
        &mut self,
        bytes: &[u8],
        out: &mut impl Write,
        mut answers: Option<&mut Answers>,
    ) -> io::Result<()> {
        self.introduce(out)?;
        let (seen, udp) = (self.survey.stations.len(), &self.args.udp);
        log::info!(
            "{}: {seen} stations seen, UDP sockets on {udp:?}",
            self.name
        );
        // The file was parsed before; a second reading finds the same.
        let Ok(mut capture) = Capture::parse(bytes) else {
            self.end_early(report::HEADER_CUT, out)?;
            return self.summary(out);
        };
        let mut progress = Progress::of(bytes.len() as u64, !self.args.quiet);
        while let Some(record) = capture.next() {
            progress.reach((bytes.len() - capture.rest().len()) as u64);
            let record = match record {
                Ok(record) => record,
                Err(e) => {
                    self.end_early(&e.to_string(), out)?;
                    break;
                }
            };
            let at = record.timestamp.map(|t| t.saturating_sub(self.epoch()));
            let at = at.map_or(self.now, Instant::from_nanos);
            for (when, sent) in self.pass_time(at) {
                self.on_its_own(when, &sent, out, answers.as_deref_mut())?;
            }
            self.packets += 1;
            self.feed(&record, out, answers.as_deref_mut())?;
        }
        drop(progress);
        self.summary(out)
    }

    /// Lets the host do what is due until `at`; what it sent, and when.
    fn pass_time(&mut self, at: Instant) -> Vec<(Instant, Sent)> {
        let mut all = Vec::new();
        for _ in 0..MAX_TURNS {
            let sent = self.drain();
            all.extend(sent.into_iter().map(|s| (self.now, s)));
            match self.host.poll_timeout() {
                Some(due) if due <= at => {
                    self.now = self.now.max(due);
                    self.host.handle_timeout(self.now);
                }
                _ => break,
            }
        }
        // A capture may step back; a host's time does not.
        self.now = self.now.max(at);
        all
    }

    /// What the host sends now. Where it asks for a neighbour that the capture knows, that is
    /// answered here, and what waited for it is among the rest.
    fn drain(&mut self) -> Vec<Sent> {
        let mut all = Vec::new();
        for port in [ETHERNET, IP] {
            for _ in 0..MAX_TURNS {
                let Some(mut frame) = self.host.poll_transmit(self.now, port) else {
                    break;
                };
                frame.complete_checksum();
                let bytes = frame.to_bytes();
                let link = match port {
                    ETHERNET => LinkType::ETHERNET,
                    _ => LinkType::RAW,
                };
                let what = match self.args.quiet {
                    true => String::new(),
                    false => text::phrase(link, Span::whole(&bytes), &mut self.sent),
                };
                let sent = Sent { port, bytes, what };
                if let Some(reply) = self.neighbor_reply(&sent) {
                    self.feed_made_up(reply);
                }
                all.push(sent);
            }
        }
        all
    }

    fn feed_made_up(&mut self, reply: Vec<u8>) {
        let frame = Frame::from_bytes(reply.into());
        match self.host.handle_frame(self.now, ETHERNET, frame) {
            Fate::Delivered(to) => self.made_up.delivered[to.index()] += 1,
            Fate::Dropped(why) => self.made_up.dropped[why.index()] += 1,
            // ARP is neither forwarded nor held.
            Fate::Forwarded | Fate::Held => {}
        }
    }

    /// The ARP reply of a neighbour that the capture knows.
    fn neighbor_reply(&self, sent: &Sent) -> Option<Vec<u8>> {
        if sent.port != ETHERNET {
            return None;
        }
        let (link, mut rest) = ethernet::Header::parse(&sent.bytes).ok()?;
        let mut ethertype = link.ethertype;
        if ethertype.is_vlan() {
            let (tag, after) = vlan::Header::parse(rest).ok()?;
            (ethertype, rest) = (tag.ethertype, after);
        }
        let (asked, _) = arp::Packet::parse(rest).ok()?;
        let question = ethertype == EtherType::ARP
            && asked.operation == Operation::REQUEST
            && !asked.is_probe()
            && !asked.is_announcement();
        let station = *self
            .survey
            .stations
            .get(&asked.target_ip)
            .filter(|_| question)?;
        let reply = arp::Packet {
            operation: Operation::REPLY,
            sender_mac: station,
            sender_ip: asked.target_ip,
            target_mac: asked.sender_mac,
            target_ip: asked.sender_ip,
        };
        let tag = self.vlan.map(|vid| vlan::Header {
            pcp: 0,
            dei: false,
            vid,
            ethertype: EtherType::ARP,
        });
        let mut frame = Frame::default();
        reply
            .emit(&mut Writer::new(frame.head.push_front(arp::LEN)?))
            .ok()?;
        let to = asked.sender_mac;
        stack::link::ethernet::encapsulate(&mut frame, to, station, tag, EtherType::ARP);
        Some(frame.to_bytes().to_vec())
    }

    fn feed(
        &mut self,
        record: &Record<'_>,
        out: &mut impl Write,
        answers: Option<&mut Answers>,
    ) -> io::Result<()> {
        let span = Span {
            bytes: record.data,
            wire_len: usize::try_from(record.original_len)
                .map_or(record.data.len(), |len| len.max(record.data.len())),
        };
        let what = match self.args.quiet {
            true => String::new(),
            false => text::phrase(record.link_type, span, &mut self.received),
        };
        let (port, bytes) = match survey::carried(record) {
            Carried::Ethernet(bytes) => (ETHERNET, bytes),
            Carried::Ip(bytes) => (IP, bytes),
            Carried::Not => {
                self.not_taken += 1;
                let what = format!("{} frame: {what}", record.link_type);
                return self.tell(record, &what, None, &[], out);
            }
        };
        self.fed += 1;
        let fate = self
            .host
            .handle_frame(self.now, port, Frame::copy_from(bytes));
        let level = match fate {
            Fate::Dropped(_) => log::Level::Debug,
            _ => log::Level::Trace,
        };
        log::log!(
            level,
            "packet {}: {} bytes: {fate}",
            self.packets,
            bytes.len()
        );
        let sent = self.drain();
        for answer in &sent {
            let len = answer.bytes.len();
            log::trace!("packet {}: answered with {len} bytes", self.packets);
        }
        self.tell(record, &what, Some(fate), &sent, out)?;
        self.answered += sent.len() as u64;
        let Some(answers) = answers else {
            return Ok(());
        };
        let timestamp = self.epoch().saturating_add(self.now.as_nanos());
        for answer in &sent {
            let comment = format!("answers packet {} of {}", self.packets, self.name);
            answers.add(answer.port, timestamp, &answer.bytes, comment)?;
        }
        Ok(())
    }

    fn introduce(&self, out: &mut impl Write) -> io::Result<()> {
        let (ours, mac) = (self.ours.map(|a| a.to_string()), self.mac);
        if self.args.json {
            let line = json!({
                "event": "file", "file": self.name, "address": ours, "mac": mac.to_string(),
                "vlan": self.vlan,
            });
            return writeln!(out, "{line}");
        }
        let vlan = self
            .vlan
            .map_or_else(String::new, |id| format!(", VLAN {id}"));
        let ours = ours.unwrap_or_else(|| "without an address".to_owned());
        writeln!(out, "{}: the host is {ours} at {mac}{vlan}", self.name)
    }

    fn tell(
        &self,
        record: &Record<'_>,
        what: &str,
        fate: Option<Fate>,
        sent: &[Sent],
        out: &mut impl Write,
    ) -> io::Result<()> {
        let (n, t) = (self.packets, self.now.since(Instant::ZERO));
        if self.args.quiet {
            return Ok(());
        }
        if self.args.json {
            let (name, consumer, reason) = match fate {
                Some(Fate::Delivered(to)) => ("delivered", Some(to.name()), None),
                Some(Fate::Forwarded) => ("forwarded", None, None),
                Some(Fate::Held) => ("held", None, None),
                Some(Fate::Dropped(why)) => ("dropped", None, Some(why.name())),
                None => ("not taken", None, Some("link-type")),
            };
            let answers = sent
                .iter()
                .map(|s| json!({"what": s.what, "len": s.bytes.len()}));
            let line = json!({
                "event": "packet", "file": self.name, "n": n, "t": t.as_secs_f64(),
                "len": record.original_len, "captured": record.data.len(),
                "link": record.link_type.to_string(), "what": what, "fate": name, "to": consumer,
                "reason": reason, "answers": answers.collect::<Vec<_>>(),
            });
            return writeln!(out, "{line}");
        }
        let fate = fate.map_or_else(|| "not taken: its link type".to_owned(), |f| f.to_string());
        let cut = match usize::try_from(record.original_len) {
            Ok(len) if len > record.data.len() => format!(", {} captured", record.data.len()),
            _ => String::new(),
        };
        let (t, len) = (seconds(t), record.original_len);
        writeln!(out, "{n:5} {t}  {what} ({len} B{cut}): {fate}")?;
        for answer in sent {
            writeln!(out, "      -> {} ({} B)", answer.what, answer.bytes.len())?;
        }
        Ok(())
    }

    /// What the host sends without a packet to answer: announcements, retries, timeouts.
    fn on_its_own(
        &self,
        when: Instant,
        sent: &Sent,
        out: &mut impl Write,
        answers: Option<&mut Answers>,
    ) -> io::Result<()> {
        let (t, what, len) = (
            when.since(Instant::ZERO),
            sent.what.as_str(),
            sent.bytes.len(),
        );
        if let Some(answers) = answers {
            let timestamp = self.epoch().saturating_add(when.as_nanos());
            let comment = "on its own".to_owned();
            answers.add(sent.port, timestamp, &sent.bytes, comment)?;
        }
        if self.args.quiet {
            return Ok(());
        }
        if self.args.json {
            let line = json!({
                "event": "sent", "file": self.name, "t": t.as_secs_f64(), "what": what, "len": len,
            });
            return writeln!(out, "{line}");
        }
        writeln!(out, "      {} on its own: {what} ({len} B)", seconds(t))
    }

    fn end_early(&self, why: &str, out: &mut impl Write) -> io::Result<()> {
        let n = self.packets;
        if self.args.json {
            let line = json!({"event": "end", "file": self.name, "n": n, "error": why});
            return writeln!(out, "{line}");
        }
        if n == 0 {
            return writeln!(out, "{}: {why}", self.name);
        }
        writeln!(
            out,
            "{}: after packet {n} the file is broken: {why}",
            self.name
        )
    }

    /// The host's counters without the replies that were made up here.
    fn counted(&self) -> Counted {
        let Stats {
            delivered,
            dropped_in,
            forwarded,
            held,
            ..
        } = *self.host.stats();
        let all = |total: &[u64], ours: &[u64]| -> Vec<u64> {
            let pairs = total.iter().zip(ours);
            pairs.map(|(all, ours)| all.saturating_sub(*ours)).collect()
        };
        let delivered = all(&delivered, &self.made_up.delivered);
        let dropped = all(&dropped_in, &self.made_up.dropped);
        let named = |(to, n): (&Consumer, u64)| (to.name(), n);
        let reasons = |(why, n): (&DropReason, u64)| (why.name(), n);
        let there = |(_, n): &(&'static str, u64)| *n > 0;
        Counted {
            delivered: Consumer::ALL
                .iter()
                .zip(delivered)
                .map(named)
                .filter(there)
                .collect(),
            dropped: DropReason::ALL
                .iter()
                .zip(dropped)
                .map(reasons)
                .filter(there)
                .collect(),
            forwarded,
            held,
        }
    }

    fn summary(&self, out: &mut impl Write) -> io::Result<()> {
        let counted = self.counted();
        let Self {
            name,
            packets,
            not_taken,
            answered,
            ..
        } = self;
        if self.args.json {
            let map =
                |list: &[(&'static str, u64)]| list.iter().copied().collect::<BTreeMap<_, _>>();
            let line = json!({
                "event": "summary", "file": name, "packets": packets,
                "delivered": map(&counted.delivered), "forwarded": counted.forwarded,
                "held": counted.held, "dropped": map(&counted.dropped), "not_taken": not_taken,
                "answers": answered,
            });
            return writeln!(out, "{line}");
        }
        let sum = |list: &[(&str, u64)]| list.iter().map(|(_, n)| n).sum::<u64>();
        let (delivered, dropped) = (sum(&counted.delivered), sum(&counted.dropped));
        let (forwarded, held) = (counted.forwarded, counted.held);
        writeln!(
            out,
            "{name}: {packets} packets = {delivered} delivered + {forwarded} forwarded + {held} \
             held + {dropped} dropped + {not_taken} not taken; {answered} answers"
        )?;
        for (title, list) in [
            ("delivered", counted.delivered),
            ("dropped", counted.dropped),
        ] {
            if !list.is_empty() {
                let each: Vec<String> =
                    list.iter().map(|(what, n)| format!("{what} {n}")).collect();
                writeln!(out, "  {title}: {}", each.join(", "))?;
            }
        }
        Ok(())
    }
}

/// What became of a file's packets.
struct Counted {
    delivered: Vec<(&'static str, u64)>,
    dropped: Vec<(&'static str, u64)>,
    forwarded: u64,
    held: u64,
}

fn seconds(t: Duration) -> String {
    format!("{}.{:06}", t.as_secs(), t.subsec_micros())
}

/// The host that a capture is fed to: an interface for each kind of packet there is.
fn build(
    args: &Args,
    survey: &Survey,
    ours: Option<Ipv4Addr>,
    mac: MacAddr,
    vlan: Option<u16>,
) -> Result<Host, Failure> {
    let policy = host::Config {
        forwarding: args.forward,
        ..host::Config::default()
    };
    let mut host = Host::new(policy, Rng::from_seed(0));
    host.set_unix_time(Instant::ZERO, UnixTime(survey.first.unwrap_or(0)));
    let own = ours.and_then(|addr| args.address.or_else(|| Cidr::new(IpAddr::V4(addr), 24)));
    let everywhere = Cidr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let kinds = [(survey.ethernet, ETHERNET), (survey.ip, IP)];
    for (_, port) in kinds.iter().filter(|(there, _)| *there) {
        let mut interface = match *port {
            ETHERNET => InterfaceConfig::ethernet("eth0", ETHERNET, mac),
            _ => InterfaceConfig::ip("ip0", IP),
        };
        interface.vlan = vlan.filter(|_| *port == ETHERNET);
        interface.addresses = own.into_iter().collect();
        let at = host.add_interface(Instant::ZERO, interface);
        if let Some(everywhere) = everywhere {
            // A second such route is refused: one way to everywhere is enough.
            let _ = host.add_route(Route::on_link(everywhere, Port(at)));
        }
    }
    for port in &args.udp {
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), *port);
        host.udp_bind(any)
            .map_err(|e| Failure::usage(format!("--udp {port}: {e}")))?;
    }
    Ok(host)
}

#[cfg(test)]
mod tests;
