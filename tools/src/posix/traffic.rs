//! What is counted of a connection's packets as they pass: Linux keeps these numbers in its TCP, ours
//! does not.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Our end and the other one.
pub(super) type Ends = (SocketAddr, SocketAddr);

/// What passed, by connection.
pub(super) type Traffic = BTreeMap<Ends, Counts>;

/// Of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// The peer's SYN has opened it, not ours.
    pub(super) passive: bool,
    /// Segments with data.
    pub(super) data_in: u32,
    pub(super) data_out: u32,
    /// Of the former, those that came ahead of others.
    pub(super) out_of_order: u32,
    /// When it opened.
    pub(super) opened_at: Option<Duration>,
    /// When data left last.
    pub(super) sent_at: Option<Duration>,
    /// When an acknowledgment came last.
    pub(super) acked_at: Duration,
    /// The number it had.
    acked: Option<u32>,
    /// The number of the peer's SYN.
    irs: Option<u32>,
}

impl Counts {
    /// A segment leaves; of one that stands for several, each of so many bytes is one.
    pub(super) fn on_sent(&mut self, now: Duration, segment: &Segment, size: Option<u16>) {
        if segment.syn && !segment.ack && self.irs.is_some() {
            *self = Self::default();
        }
        self.data_out += segment.pieces(size);
        if segment.data > 0 {
            self.sent_at = Some(now);
        }
    }

    /// A segment has come and was taken, or refused for what is in it; `expected` is the number
    /// that would have been next, and the window from there.
    pub(super) fn on_heard(
        &mut self,
        now: Duration,
        segment: &Segment,
        size: Option<u16>,
        expected: Option<(u32, u32)>,
    ) {
        if segment.syn && (self.irs != Some(segment.seq)) {
            if !segment.ack {
                *self = Self {
                    passive: true,
                    ..Self::default()
                };
            }
            self.irs = Some(segment.seq);
        }
        if segment.ack && (segment.syn || self.passive) {
            self.opened_at.get_or_insert(now);
        }
        let pieces = segment.pieces(size);
        self.data_in += pieces;
        if let Some((next, window)) = expected {
            let ahead = segment.seq.wrapping_sub(next);
            if (1..window.min(1 << 30)).contains(&ahead) {
                self.out_of_order += pieces;
            }
        }
        let old = |acked: u32| segment.number.wrapping_sub(acked) >= 1 << 31;
        if segment.ack && !segment.rst && !self.acked.is_some_and(old) {
            (self.acked_at, self.acked) = (now, Some(segment.number));
        }
    }

    /// The number after so many bytes in order.
    pub(super) fn next(&self, received: u64) -> Option<u32> {
        let irs = self.irs?;
        let received = u32::try_from(received & u64::from(u32::MAX)).ok()?;
        Some(irs.wrapping_add(1).wrapping_add(received))
    }
}

/// As much of a segment as is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    seq: u32,
    number: u32,
    syn: bool,
    ack: bool,
    rst: bool,
    data: usize,
}

impl Segment {
    /// Reads one in a raw IP packet.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        let (from, to, header, protocol): (IpAddr, IpAddr, usize, u8) = match packet.first()? >> 4 {
            4 => (
                Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?).into(),
                Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?).into(),
                usize::from(packet.first()? & 15) * 4,
                *packet.get(9)?,
            ),
            6 => (
                Ipv6Addr::from(*packet.get(8..)?.first_chunk::<16>()?).into(),
                Ipv6Addr::from(*packet.get(24..)?.first_chunk::<16>()?).into(),
                40,
                *packet.get(6)?,
            ),
            _ => return None,
        };
        let tcp = packet.get(header..).filter(|_| protocol == 6)?;
        let port = |at: usize| Some(u16::from_be_bytes(*tcp.get(at..)?.first_chunk::<2>()?));
        let number = |at: usize| Some(u32::from_be_bytes(*tcp.get(at..)?.first_chunk::<4>()?));
        let flags = *tcp.get(13)?;
        Some(Self {
            from: SocketAddr::new(from, port(0)?),
            to: SocketAddr::new(to, port(2)?),
            seq: number(4)?,
            number: number(8)?,
            syn: flags & 2 != 0,
            ack: flags & 16 != 0,
            rst: flags & 4 != 0,
            data: tcp.len().checked_sub(usize::from(*tcp.get(12)? >> 4) * 4)?,
        })
    }

    /// How many segments with data it is.
    fn pieces(&self, size: Option<u16>) -> u32 {
        let size = size.map_or(usize::MAX, |size| usize::from(size.max(1)));
        u32::try_from(self.data.div_ceil(size)).unwrap_or(u32::MAX)
    }
}

/// Retransmission timeouts, in runs of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timeouts {
    /// Runs.
    pub(super) runs: u16,
    /// How long those took that are over.
    pub(super) time: Duration,
    /// Since when the present one goes on.
    pub(super) since: Option<Duration>,
}

impl Timeouts {
    /// What a change of a connection's status tells: it has timed out, for the first time in a row,
    /// or it has recovered.
    pub(super) fn on_change(&mut self, at: Duration, timed_out: bool, recovering: bool) {
        if timed_out && self.since.is_none() {
            self.runs = self.runs.saturating_add(1);
            self.since = Some(at);
        } else if !recovering && let Some(since) = self.since.take() {
            self.time += at.saturating_sub(since);
        }
    }
}
