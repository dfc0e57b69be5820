//! The page that the tour writes, and the device around a device that writes frames on it.
//!
//! ```text
//!   driver --recv--> Printer --recv--> TAP          -->  what came in        A: its fate
//!          --fate--> Printer
//!          --send--> Printer --send--> TAP          <--  what went out
//! ```

use crate::device::{Device, Medium, Offloads, Received};
use stack::frame::Frame;
use stack::machine::Fate;
use stack::time::Instant;
use stack::wire::{EtherType, MacAddr, Protocol, arp, ethernet, icmpv4, ipv4, tcp, udp};
use std::cell::RefCell;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::os::fd::RawFd;
use std::rc::Rc;

/// Where the column of fates begins.
const FATES: usize = 65;

/// What is printed, by whoever has something to say.
pub(super) struct Page {
    out: Box<dyn io::Write>,
    colour: bool,
    /// Frames that left by the TAP.
    pub(super) sent: u64,
}

/// The one page.
pub(super) type SharedPage = Rc<RefCell<Page>>;

/// Whether the environment asks for no colour (no-color.org), or the terminal has none.
fn is_plain(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    variable("NO_COLOR").is_some_and(|v| !v.is_empty())
        || variable("TERM").is_none_or(|v| v.is_empty() || v == "dumb")
}

impl Page {
    /// A page on standard output; in colour where that is a terminal (and see no-color.org).
    pub(super) fn shared() -> SharedPage {
        let plain = is_plain(|name| std::env::var_os(name));
        let colour = io::stdout().is_terminal() && !plain;
        Self::on(Box::new(io::stdout()), colour)
    }

    /// A page on something else.
    pub(super) fn on(out: Box<dyn io::Write>, colour: bool) -> SharedPage {
        let sent = 0;
        Rc::new(RefCell::new(Self { out, colour, sent }))
    }

    fn print(&mut self, style: &str, line: &str) {
        // A reader that has gone away does not stop the tour: its exit code still says.
        let _ = if self.colour && !style.is_empty() {
            writeln!(self.out, "\x1b[{style}m{}\x1b[0m", line.trim_end())
        } else {
            writeln!(self.out, "{}", line.trim_end())
        };
    }

    /// A title over a part.
    pub(super) fn title(&mut self, title: &str) {
        log::info!("{title}");
        self.print("1", &format!("\n{title}\n"));
    }

    /// Plain words.
    pub(super) fn text(&mut self, text: &str) {
        self.print("", text);
    }

    /// The heading of a stop: what it is about, and where that is written.
    pub(super) fn stop(&mut self, number: usize, title: &str, rfc: &str, text: &str) {
        self.print("1", &format!("\n{number}. {title:<52} {rfc}"));
        self.print("", text);
    }

    /// What is asked.
    pub(super) fn ask(&mut self, what: &str) {
        self.print("36", &format!("\n  ? {what}"));
    }

    /// A frame and its fate.
    pub(super) fn frame(&mut self, arrow: &str, summary: &str, fate: &str) {
        let style = if fate.contains("dropped") { "33" } else { "2" };
        self.print(style, &format!("  {arrow:<4} {summary:<FATES$} {fate}"));
    }

    /// What came of it.
    pub(super) fn verdict(&mut self, holds: bool, so: &str) {
        let (style, word) = if holds { ("32", "=") } else { ("31", "NOT") };
        self.print(style, &format!("  {word} {so}"));
    }
}

/// A device that writes what passes on the page.
pub(super) struct Printer {
    inner: Box<dyn Device>,
    page: SharedPage,
    last: String,
}

impl Printer {
    pub(super) fn new(inner: Box<dyn Device>, page: SharedPage) -> Self {
        Self {
            inner,
            page,
            last: String::new(),
        }
    }
}

impl Device for Printer {
    fn recv(&mut self, now: Instant) -> io::Result<Received> {
        let received = self.inner.recv(now)?;
        if let Received::Frame(frame) = &received {
            self.last = summary(&frame.to_bytes());
        }
        Ok(received)
    }

    fn send(&mut self, now: Instant, frame: &Frame) -> io::Result<()> {
        self.inner.send(now, frame)?;
        let mut page = self.page.borrow_mut();
        page.frame("<--", &summary(&frame.to_bytes()), "");
        page.sent += 1;
        Ok(())
    }

    fn fate(&mut self, fate: Fate) {
        self.inner.fate(fate);
        let fate = format!("A: {fate}");
        self.page.borrow_mut().frame("-->", &self.last, &fate);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.inner.poll_timeout()
    }

    fn mtu(&self) -> usize {
        self.inner.mtu()
    }

    fn medium(&self) -> Medium {
        self.inner.medium()
    }

    fn offloads(&self) -> Offloads {
        self.inner.offloads()
    }

    fn raw_fd(&self) -> Option<RawFd> {
        self.inner.raw_fd()
    }
}

/// An Ethernet frame in one line. Shorter than `dissect`'s, and with the TTL and the fragment
/// fields in it, which is what the tour is about.
pub(super) fn summary(frame: &[u8]) -> String {
    let Ok((link, packet)) = ethernet::Header::parse(frame) else {
        return format!("{} bytes", frame.len());
    };
    match link.ethertype {
        EtherType::ARP => arp_summary(packet),
        EtherType::IPV4 => ipv4_summary(packet),
        other => format!("{} > {} {other}", link.src, link.dst),
    }
}

fn arp_summary(packet: &[u8]) -> String {
    let Ok((p, _)) = arp::Packet::parse(packet) else {
        return "ARP, malformed".to_owned();
    };
    match p.operation {
        arp::Operation::REQUEST if p.sender_ip == p.target_ip => {
            format!(
                "ARP  {} is at {}: an announcement",
                p.sender_ip, p.sender_mac
            )
        }
        arp::Operation::REQUEST => format!("ARP  who has {}? tell {}", p.target_ip, p.sender_ip),
        arp::Operation::REPLY if p.sender_mac != MacAddr::ZERO => {
            format!("ARP  {} is at {}", p.sender_ip, p.sender_mac)
        }
        other => format!("ARP  operation {}", other.0),
    }
}

fn ipv4_summary(packet: &[u8]) -> String {
    let Ok((ip, payload)) = ipv4::Header::parse(packet) else {
        return "IPv4, malformed".to_owned();
    };
    let mut out = format!("{} > {}  ttl {}", ip.src, ip.dst, ip.ttl);
    if ip.dont_fragment {
        out += " DF";
    }
    out += "  ";
    if ip.fragment_offset > 0 {
        let from = usize::from(ip.fragment_offset);
        let last = if ip.more_fragments { "" } else { ", the last" };
        let _ = write!(out, "{from}..{}{last}", from + payload.len());
        return out;
    }
    if ip.more_fragments {
        let _ = write!(out, "0..{} of ", payload.len());
    }
    out += &match ip.protocol {
        Protocol::ICMP => icmp_summary(payload),
        Protocol::UDP => udp::Header::parse(payload).map_or_else(
            |_| "UDP, malformed".to_owned(),
            |(u, _)| {
                let len = usize::from(u.len).saturating_sub(udp::HEADER_LEN);
                format!("UDP {} > {}, {len} bytes", u.src_port, u.dst_port)
            },
        ),
        Protocol::TCP => tcp::Header::parse(payload).map_or_else(
            |_| "TCP, malformed".to_owned(),
            |(t, _)| format!("TCP {} > {} {:?}", t.src_port, t.dst_port, t.flags),
        ),
        other => format!("{other}, {} bytes", payload.len()),
    };
    out
}

fn icmp_summary(bytes: &[u8]) -> String {
    use icmpv4::Message;
    let Ok((header, message)) = Message::parse(bytes) else {
        return "ICMP, malformed".to_owned();
    };
    match message {
        Message::EchoRequest { seq, .. } => format!("ICMP echo request {seq}"),
        Message::EchoReply { seq, .. } => format!("ICMP echo reply {seq}"),
        Message::TimeExceeded { .. } => "ICMP time exceeded".to_owned(),
        Message::DestinationUnreachable {
            code, next_hop_mtu, ..
        } => match code {
            icmpv4::UnreachableCode::PORT => "ICMP port unreachable".to_owned(),
            icmpv4::UnreachableCode::FRAGMENTATION_NEEDED => {
                format!("ICMP fragmentation needed: MTU {next_hop_mtu}")
            }
            code => format!("ICMP unreachable, code {}", code.0),
        },
        _ => format!("ICMP type {} code {}", header.kind, header.code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_not_for_every_terminal() {
        let with = |term: Option<&str>, no_color: &str| {
            is_plain(|name| match name {
                "TERM" => term.map(Into::into),
                _ => Some(no_color.into()),
            })
        };
        assert!(!with(Some("xterm"), ""));
        assert!(with(Some("dumb"), "") && with(None, "") && with(Some("xterm"), "1"));
    }

    #[test]
    fn a_frame_that_is_cut_short_anywhere_has_a_summary() {
        // 10.7.0.1 > 10.7.0.2, the second fragment of a datagram, and the first of a UDP one.
        let mut frame = vec![2; 12];
        frame.extend([8, 0, 0x45, 0, 0, 36, 0, 1, 0x20, 185, 9, 17, 0, 0]);
        frame.extend([10, 7, 0, 1, 10, 7, 0, 2]);
        frame.extend([0x9c, 0x40, 0, 7, 0x0f, 0xa8, 0, 0]);
        frame.extend([b'x'; 8]);
        assert_eq!(summary(&frame), "10.7.0.1 > 10.7.0.2  ttl 9  1480..1496");
        frame[20..22].copy_from_slice(&[0x20, 0]);
        let first = "10.7.0.1 > 10.7.0.2  ttl 9  0..16 of UDP 40000 > 7, 4000 bytes";
        assert_eq!(summary(&frame), first);
        for len in 0..frame.len() {
            assert!(!summary(&frame[..len]).is_empty());
        }
    }
}
