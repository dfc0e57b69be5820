//! A capture file as a device: what was captured comes in, what is sent goes nowhere.
//!
//! ```text
//!   file --records of one medium--> recv, in order, each a slice of the file --> Ended
//!                                   send: counted (a tracer around this keeps it)
//! ```
//!
//! No clock: `recv` gives the next frame whenever asked. Who wants the capture's own pace asks
//! [`Playback::next_at`] and lets virtual time go there.
//!
//! Promises: nothing of the file is copied; a file that ends too early is played as far as it
//! goes ([`Playback::ended_early`]); each record is either played or counted as passed over, so
//! that a replay can account for every packet.
//!
//! Left out: link types that are neither Ethernet nor lead straight to IP, and, in a file with
//! several media, those that differ from the first playable one.

use super::{Device, Medium, Received};
use bytes::Bytes;
use stack::frame::Frame;
use stack::time::{Duration, Instant};
use stack::wire::ParseError;
use stack::wire::pcap::{Capture, LinkType};
use std::io;
use std::os::fd::RawFd;
use std::path::Path;

/// A capture being played.
#[derive(Clone, Debug)]
pub struct Playback {
    entries: Vec<Entry>,
    medium: Medium,
    next: usize,
    ended_early: Option<ParseError>,
    passed_over: u64,
    sent: u64,
}

/// One record of the capture that can be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the file, counted from 1.
    pub number: u64,
    /// Nanoseconds since 1970-01-01 UTC, where the file says.
    pub timestamp: Option<u64>,
    /// Bytes it had on the wire.
    pub original_len: u32,
    /// The interface it was captured on.
    pub interface: u32,
    bytes: Bytes,
}

impl Playback {
    /// Opens a capture file.
    ///
    /// # Errors
    /// What the OS says, or [`io::ErrorKind::InvalidData`] where this is no capture.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = Bytes::from(std::fs::read(path)?);
        Self::new(file).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }

    /// Plays a capture in memory.
    ///
    /// # Errors
    /// That of the file header.
    pub fn new(file: Bytes) -> Result<Self, ParseError> {
        let mut playback = Self {
            entries: Vec::new(),
            medium: Medium::Ethernet,
            next: 0,
            ended_early: None,
            passed_over: 0,
            sent: 0,
        };
        for (number, record) in (1..).zip(Capture::parse(&file)?) {
            let record = match record {
                Ok(record) => record,
                Err(e) => {
                    playback.ended_early = Some(e);
                    break;
                }
            };
            let Some((medium, skip)) = playable(record.link_type, record.data) else {
                playback.passed_over += 1;
                continue;
            };
            if playback.entries.is_empty() {
                playback.medium = medium;
            }
            if medium != playback.medium {
                playback.passed_over += 1;
                continue;
            }
            playback.entries.push(Entry {
                number,
                timestamp: record.timestamp,
                original_len: record.original_len,
                interface: record.interface,
                bytes: file.slice_ref(record.data.get(skip..).unwrap_or_default()),
            });
        }
        Ok(playback)
    }

    /// The record that `recv` gave last.
    #[must_use]
    pub fn current(&self) -> Option<&Entry> {
        self.entries.get(self.next.checked_sub(1)?)
    }

    /// When the next frame is due at the capture's own pace, `start` being when its first was;
    /// `None` at the end. Times that go back are due at once.
    #[must_use]
    pub fn next_at(&self, start: Instant) -> Option<Instant> {
        let next = self.entries.get(self.next)?;
        let first = self.entries.first().and_then(|e| e.timestamp);
        let since = next.timestamp.zip(first).map(|(t, f)| t.saturating_sub(f));
        Some(start + Duration::from_nanos(since.unwrap_or(0)))
    }

    /// Frames still to come.
    #[must_use]
    pub fn left(&self) -> usize {
        self.entries.len() - self.next
    }

    /// Records that are not played: their link type is not, or it differs from the others'.
    #[must_use]
    pub const fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// Frames that were sent into nowhere.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Why the file could not be read to its end, if so.
    #[must_use]
    pub const fn ended_early(&self) -> Option<ParseError> {
        self.ended_early
    }
}

/// The medium of a record and how much stands in front of what a machine wants to see.
fn playable(link_type: LinkType, data: &[u8]) -> Option<(Medium, usize)> {
    /// EtherTypes in a cooked header that lead to IP.
    const IP: [[u8; 2]; 2] = [[0x08, 0x00], [0x86, 0xdd]];
    let cooked = |at: usize, len| {
        let protocol = data.get(at..at + 2)?;
        (IP.iter().any(|p| p == protocol) && data.len() >= len).then_some((Medium::Ip, len))
    };
    match link_type {
        LinkType::ETHERNET => Some((Medium::Ethernet, 0)),
        LinkType::RAW
        | LinkType::RAW_BSD
        | LinkType::RAW_OPENBSD
        | LinkType::IPV4
        | LinkType::IPV6 => Some((Medium::Ip, 0)),
        LinkType::NULL | LinkType::LOOP if data.len() >= 4 => Some((Medium::Ip, 4)),
        LinkType::LINUX_SLL => cooked(14, 16),
        LinkType::LINUX_SLL2 => cooked(0, 20),
        _ => None,
    }
}

impl Device for Playback {
    fn recv(&mut self, _now: Instant) -> io::Result<Received> {
        let Some(entry) = self.entries.get(self.next) else {
            return Ok(Received::Ended);
        };
        self.next += 1;
        Ok(Received::Frame(Frame::from_bytes(entry.bytes.clone())))
    }

    fn send(&mut self, _now: Instant, _frame: &Frame) -> io::Result<()> {
        self.sent += 1;
        Ok(())
    }

    /// A capture may hold whatever its interface carried.
    fn mtu(&self) -> usize {
        65_535
    }

    fn medium(&self) -> Medium {
        self.medium
    }

    fn raw_fd(&self) -> Option<RawFd> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stack::wire::pcap::{Packet, Section, Writer};

    fn file() -> Vec<u8> {
        let mut w = Writer::new(&Section::default());
        let tap = w.interface("tap0", LinkType::ETHERNET, 0);
        let tun = w.interface("tun0", LinkType::RAW, 0);
        for (interface, timestamp, data) in [
            (tap, 1_000_000_000, &[1; 60][..]),
            (tun, 1_500_000_000, &[2; 40]),
            (tap, 3_000_000_000, &[3; 64]),
        ] {
            w.packet(&Packet {
                interface,
                timestamp,
                data,
                ..Packet::default()
            });
        }
        w.take()
    }

    #[test]
    fn plays_one_medium_in_order_and_accounts_for_the_rest() {
        let file = Bytes::from(file());
        let mut device = Playback::new(file.clone()).unwrap();
        let start = Instant::from_nanos(5);
        assert_eq!(device.medium(), Medium::Ethernet);
        assert_eq!((device.left(), device.passed_over()), (2, 1));
        assert_eq!(device.next_at(start), Some(start));
        let Received::Frame(first) = device.recv(start).unwrap() else {
            panic!("no frame");
        };
        assert_eq!(first.to_bytes()[..], [1; 60]);
        assert!(file.as_ptr_range().contains(&first.front().as_ptr()));
        assert_eq!(device.current().map(|e| e.number), Some(1));
        assert_eq!(device.next_at(start), Some(start + Duration::from_secs(2)));
        assert!(matches!(device.recv(start), Ok(Received::Frame(_))));
        assert_eq!(device.current().map(|e| e.number), Some(3));
        assert!(matches!(device.recv(start), Ok(Received::Ended)));
        assert_eq!(device.next_at(start), None);
    }

    #[test]
    fn a_file_cut_short_is_played_as_far_as_it_goes() {
        let file = file();
        let device = Playback::new(Bytes::from(file[..file.len() - 3].to_vec())).unwrap();
        assert_eq!(device.left(), 1);
        assert!(device.ended_early().is_some());
    }
}
