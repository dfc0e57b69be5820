//! The smallest TCP end that works where nothing is lost: what a TAP leaves to a perfect stack.
//!
//! ```text
//!   port 9 reads, 19 writes, 7 sends back       one buffer for what came, one for what goes
//! ```
//!
//! It acknowledges and keeps a window. It copies each payload once, as a socket does, and sums it
//! up where a stack would, and has no timers but one that begins again after 20 ms of silence, no
//! congestion window, nothing for what comes out of order. Super-frames of up to 64 KiB either way.

use super::load::{CHARGEN, ECHO};
use super::{HOST, MAC, Outcome};
use smoltcp::phy::wait;
use smoltcp::time::Duration;
use std::fs::File;
use std::io::{IoSlice, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use tapline::device::tap::Tap;

/// Of `struct virtio_net_hdr`, in front of each frame.
const VNET: usize = 10;
const ETHERNET: usize = 14;
const IP: usize = 20;
const TCP: usize = 20;
/// What our window is, and how far it is scaled.
const WINDOW: u32 = 1 << 20;
const SCALE: u8 = 8;
const MSS: usize = 1460;
/// Payload of a super-frame.
const MOST: usize = 65_000 / MSS * MSS;
/// Frames read before all that is owed is acknowledged, and in one go at most.
const OWED: u32 = 4;
const BATCH: usize = 64;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

struct Talk {
    mac: [u8; 6],
    peer: [u8; 4],
    /// The peer's port, ours.
    ports: (u16, u16),
    /// What comes next.
    nxt: u32,
    una: u32,
    snd: u32,
    window: u32,
    scale: u8,
    owes: bool,
}

struct Responder<'a> {
    tap: &'a File,
    talks: Vec<Talk>,
    source: Vec<u8>,
    copy: Vec<u8>,
    owed: u32,
    sums: u64,
}

/// Serves on this TAP until it is killed.
pub(super) fn run(tap: &Tap) -> Outcome<()> {
    let file = tap.file();
    let mut all = Responder {
        tap: file,
        talks: Vec::new(),
        source: vec![b'z'; MOST],
        copy: vec![0; 1 << 17],
        owed: 0,
        sums: 0,
    };
    let mut room = vec![0; 1 << 17];
    let mut silent = false;
    loop {
        for _ in 0..BATCH {
            match (&mut &*file).read(&mut room) {
                Ok(len) => {
                    silent = false;
                    all.take(room.get_mut(..len).unwrap_or_default())?;
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    all.pay()?;
                    if std::mem::replace(&mut silent, true) {
                        all.begin_again()?;
                    }
                    wait(file.as_raw_fd(), Some(Duration::from_millis(20)))?;
                    break;
                }
                Err(e) => return Err(e.into()),
            }
        }
        all.pay()?;
    }
}

/// Big-endian numbers of a header that is long enough.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Eight lanes, so that the compiler can lay them side by side. The order of a machine's bytes does
/// not matter to the sum, but for its own bytes.
fn sum(bytes: &[u8]) -> u64 {
    let mut lanes = [0_u64; 8];
    let mut words = bytes.chunks_exact(32);
    for word in &mut words {
        for (lane, four) in lanes.iter_mut().zip(word.chunks_exact(4)) {
            *lane += u64::from(u32::from_ne_bytes([four[0], four[1], four[2], four[3]]));
        }
    }
    let rest = words.remainder().chunks(2);
    let rest = rest.map(|two| u64::from(u16::from_ne_bytes([two[0], *two.get(1).unwrap_or(&0)])));
    lanes.iter().sum::<u64>() + rest.sum::<u64>()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(0)
}

/// Addresses, protocol and length (RFC 9293 §3.1).
fn pseudo(addresses: &[u8], len: usize) -> u64 {
    let len = u16::try_from(len).unwrap_or(u16::MAX);
    sum(addresses) + u64::from(6_u16.to_be()) + u64::from(len.to_be())
}

impl Responder<'_> {
    fn take(&mut self, bytes: &mut [u8]) -> Outcome<()> {
        let Some((_, frame)) = bytes.split_at_mut_checked(VNET) else {
            return Ok(());
        };
        if frame.len() < ETHERNET + IP + TCP {
            return self.arp(frame);
        }
        let is_tcp = frame[12..14] == [8, 0] && frame[ETHERNET + 9] == 6;
        if is_tcp {
            self.segment(frame)
        } else {
            self.arp(frame)
        }
    }

    fn arp(&self, frame: &mut [u8]) -> Outcome<()> {
        let frame = frame.get_mut(..42).unwrap_or_default();
        if super::answer(frame).is_some() {
            let pieces = [IoSlice::new(&[0; VNET]), IoSlice::new(frame)];
            let _ = (&mut &*self.tap).write_vectored(&pieces)?;
        }
        Ok(())
    }

    fn segment(&mut self, frame: &[u8]) -> Outcome<()> {
        let (ip, tcp) = (&frame[ETHERNET..], &frame[ETHERNET + IP..]);
        let ports = (u16_at(tcp, 0), u16_at(tcp, 2));
        let (flags, header) = (tcp[13], usize::from(tcp[12] >> 4) * 4);
        let whole = usize::from(u16_at(ip, 2)).saturating_sub(IP).min(tcp.len());
        let text = tcp.get(header..whole).unwrap_or_default();
        if flags & SYN != 0 {
            return self.open(frame, ports, tcp.get(TCP..header).unwrap_or_default());
        }
        let Some(at) = self.talks.iter().position(|talk| talk.ports == ports) else {
            return Ok(());
        };
        if flags & RST != 0 {
            self.talks.swap_remove(at);
            return Ok(());
        }
        let (seq, ack) = (u32_at(tcp, 4), u32_at(tcp, 8));
        let talk = &mut self.talks[at];
        // Ahead of what was, and no older: half of the numbers are either.
        if ack.wrapping_sub(talk.una) < 1 << 31 {
            talk.una = ack;
        }
        talk.window = u32::from(u16_at(tcp, 14)) << talk.scale;
        if !text.is_empty() {
            self.sums += sum(&tcp[..whole]) + pseudo(&ip[12..20], whole);
            self.text(at, seq, text)?;
        }
        if flags & FIN != 0 {
            let talk = &mut self.talks[at];
            talk.nxt = talk.nxt.wrapping_add(1);
            self.send(at, FIN | ACK, 0)?;
            self.talks.swap_remove(at);
            return Ok(());
        }
        if ports.1 == CHARGEN {
            self.pump(at)
        } else {
            Ok(())
        }
    }

    fn open(&mut self, frame: &[u8], ports: (u16, u16), mut options: &[u8]) -> Outcome<()> {
        let mut scale = 0;
        while let [kind, rest @ ..] = options {
            options = match (kind, rest) {
                (0, _) => break,
                (1, _) => rest,
                (_, [len, ..]) if *len >= 2 => {
                    scale = if *kind == 3 { rest[1] } else { scale };
                    rest.get(usize::from(*len) - 1..).unwrap_or_default()
                }
                _ => break,
            };
        }
        let (mut mac, mut peer) = ([0; 6], [0; 4]);
        mac.copy_from_slice(&frame[6..12]);
        peer.copy_from_slice(&frame[ETHERNET + 12..ETHERNET + 16]);
        let nxt = u32_at(frame, ETHERNET + IP + 4).wrapping_add(1);
        self.talks.retain(|talk| talk.ports != ports);
        self.talks.push(Talk {
            mac,
            peer,
            ports,
            nxt,
            una: 1000,
            snd: 1000,
            window: 0,
            scale,
            owes: false,
        });
        let at = self.talks.len() - 1;
        self.send(at, SYN | ACK, 0)?;
        let talk = &mut self.talks[at];
        talk.snd += 1;
        talk.una += 1;
        Ok(())
    }

    fn text(&mut self, at: usize, seq: u32, text: &[u8]) -> Outcome<()> {
        let talk = &mut self.talks[at];
        let len = u32::try_from(text.len()).unwrap_or(0);
        if seq == talk.nxt {
            talk.nxt = talk.nxt.wrapping_add(len);
            self.copy[..text.len()].copy_from_slice(text);
            if talk.ports.1 == ECHO {
                self.source[..text.len()].copy_from_slice(text);
                return self.send(at, ACK | PSH, text.len());
            }
        }
        talk.owes = true;
        self.owed += 1;
        if self.owed >= OWED {
            self.pay()
        } else {
            Ok(())
        }
    }

    /// Acknowledges what has come.
    fn pay(&mut self) -> Outcome<()> {
        self.owed = 0;
        for at in 0..self.talks.len() {
            if std::mem::take(&mut self.talks[at].owes) {
                self.send(at, ACK, 0)?;
            }
        }
        Ok(())
    }

    /// Sends what is unacknowledged once more.
    fn begin_again(&mut self) -> Outcome<()> {
        for at in 0..self.talks.len() {
            let talk = &mut self.talks[at];
            if talk.ports.1 == CHARGEN {
                talk.snd = talk.una;
                self.pump(at)?;
            }
        }
        Ok(())
    }

    /// Fills the window.
    fn pump(&mut self, at: usize) -> Outcome<()> {
        loop {
            let talk = &self.talks[at];
            let window = talk.window.min(WINDOW);
            let free = window.saturating_sub(talk.snd.wrapping_sub(talk.una));
            let len = MOST.min(usize::try_from(free).unwrap_or(0));
            if len < MSS {
                return Ok(());
            }
            let filled = usize::try_from(talk.snd).unwrap_or(0) % (self.copy.len() - MOST);
            // As a program's write does.
            self.source
                .copy_from_slice(&self.copy[filled..filled + MOST]);
            self.send(at, ACK | PSH, len)?;
        }
    }

    /// Sends what is at the source's begin.
    fn send(&mut self, at: usize, flags: u8, len: usize) -> Outcome<()> {
        let talk = &mut self.talks[at];
        let syn: &[u8] = if flags & SYN == 0 {
            &[]
        } else {
            &[2, 4, (MSS >> 8) as u8, MSS as u8, 1, 3, 3, SCALE]
        };
        let text = &self.source[..len];
        let header = TCP + syn.len();
        let mut packet = [0; VNET + ETHERNET + IP + TCP + 8];
        let (vnet, frame) = packet.split_at_mut(VNET);
        frame[..6].copy_from_slice(&talk.mac);
        frame[6..12].copy_from_slice(&MAC);
        frame[12..18].copy_from_slice(&[8, 0, 0x45, 0, 0, 0]);
        let (_, ip) = frame.split_at_mut(ETHERNET);
        let total = u16::try_from(IP + header + len)?;
        ip[2..4].copy_from_slice(&total.to_be_bytes());
        ip[6..10].copy_from_slice(&[0x40, 0, 64, 6]);
        ip[12..16].copy_from_slice(&[10, 7, 0, 2]);
        ip[16..20].copy_from_slice(&talk.peer);
        let check = !fold(sum(&ip[..IP]));
        ip[10..12].copy_from_slice(&check.to_ne_bytes());
        let addresses = pseudo(&ip[12..20], header + len);
        let tcp = &mut ip[IP..];
        tcp[..2].copy_from_slice(&talk.ports.1.to_be_bytes());
        tcp[2..4].copy_from_slice(&talk.ports.0.to_be_bytes());
        tcp[4..8].copy_from_slice(&talk.snd.to_be_bytes());
        tcp[8..12].copy_from_slice(&talk.nxt.to_be_bytes());
        tcp[12] = (header as u8 / 4) << 4;
        tcp[13] = flags;
        let window = if syn.is_empty() {
            WINDOW >> SCALE
        } else {
            65_535
        };
        tcp[14..16].copy_from_slice(&u16::try_from(window)?.to_be_bytes());
        tcp[TCP..header].copy_from_slice(syn);
        let whole = sum(&tcp[..header]) + addresses + sum(text);
        let check = if len > MSS {
            // Cut by the kernel, which sums up the pieces: it wants the pseudo-header's.
            let size = MSS.to_ne_bytes();
            let note = [1, 1, (34 + header) as u8, 0, size[0], size[1], 34, 0, 16, 0];
            vnet.copy_from_slice(&note);
            self.sums += whole;
            fold(addresses)
        } else {
            !fold(whole)
        };
        tcp[16..18].copy_from_slice(&check.to_ne_bytes());
        talk.snd = talk.snd.wrapping_add(u32::try_from(len)?);
        let end = VNET + ETHERNET + IP + header;
        let pieces = [IoSlice::new(&packet[..end]), IoSlice::new(text)];
        match (&mut &*self.tap).write_vectored(&pieces) {
            // A frame is taken whole.
            Ok(sent) if sent == end + len => Ok(()),
            Ok(sent) => Err(format!("{sent} bytes of a frame were taken").into()),
            Err(e) => Err(format!("{HOST} cannot send: {e}").into()),
        }
    }
}
