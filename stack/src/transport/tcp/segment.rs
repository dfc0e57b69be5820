//! A segment as the machines see it: what arrived, its options read, and what is to leave.

use super::log::Why;
use crate::frame::Payload;
use crate::time::Duration;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{EcnCounters, Flags, Header, OptionBuffer, TcpOption};

/// The blocks of a SACK option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sacks {
    blocks: [(SeqNum, SeqNum); 4],
    len: u8,
}

impl Sacks {
    /// The blocks: left edge, and the first number behind.
    #[must_use]
    pub fn as_slice(&self) -> &[(SeqNum, SeqNum)] {
        self.blocks.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Appends a block; a fifth is left out.
    pub fn push(&mut self, left: SeqNum, right: SeqNum) {
        if let Some(place) = self.blocks.get_mut(usize::from(self.len)) {
            *place = (left, right);
            self.len += 1;
        }
    }
}

/// A Fast Open cookie: up to 16 bytes; none is a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cookie {
    bytes: [u8; 16],
    len: u8,
    experimental: bool,
}

impl Cookie {
    /// A cookie of so many bytes; `None` where there are more than 16.
    #[must_use]
    pub fn new(cookie: &[u8]) -> Option<Self> {
        let mut bytes = [0; 16];
        bytes.get_mut(..cookie.len())?.copy_from_slice(cookie);
        let len = u8::try_from(cookie.len()).ok()?;
        Some(Self {
            bytes,
            len,
            experimental: false,
        })
    }

    /// The same in the option that was used before RFC 7413 had one (kind 254), or not.
    #[must_use]
    pub const fn in_experiment(mut self, experimental: bool) -> Self {
        self.experimental = experimental;
        self
    }

    /// Whether it stands in the option that was used before RFC 7413 had one.
    #[must_use]
    pub const fn is_experimental(&self) -> bool {
        self.experimental
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

/// The byte counters of an Accurate ECN option (RFC 9768 §3.2.3): up to three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EcnBytes {
    /// The two bits of the IP header that each counts, and 24 bits of it.
    counters: [(u8, u32); EcnCounters::MAX],
    len: u8,
}

impl EcnBytes {
    /// Those of an option.
    #[must_use]
    pub fn new(option: &EcnCounters<'_>) -> Self {
        let mut bytes = Self::default();
        for (place, counter) in bytes.counters.iter_mut().zip(option.iter()) {
            *place = counter;
            bytes.len += 1;
        }
        bytes
    }

    /// Each with the two bits of the IP header that it counts.
    pub fn iter(&self) -> impl Iterator<Item = (u8, u32)> + use<'_> {
        self.counters.iter().take(usize::from(self.len)).copied()
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A segment that arrived: the RFC's SEG variables, and its options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// SEG.SEQ.
    pub seq: SeqNum,
    /// SEG.ACK, where the flag is set.
    pub ack: SeqNum,
    /// SEG.CTL.
    pub flags: Flags,
    /// SEG.WND, before scaling.
    pub wnd: u16,
    /// SEG.UP, where the flag is set.
    pub up: u16,
    /// Bytes of data.
    pub len: u32,
    /// The largest segment that the peer takes.
    pub mss: Option<u16>,
    /// The peer's window scale.
    pub wscale: Option<u8>,
    /// The peer understands SACK.
    pub sack_permitted: bool,
    /// TSval and TSecr.
    pub timestamps: Option<(u32, u32)>,
    /// What the peer holds beyond its acknowledgment.
    pub sacks: Sacks,
    /// A Fast Open cookie, or the request for one.
    pub fast_open: Option<Cookie>,
    /// The peer's user timeout.
    pub user_timeout: Option<Duration>,
    /// What the peer says came with which mark.
    pub ecn_bytes: Option<EcnBytes>,
    /// The two ECN bits of the IP header.
    pub ecn: u8,
    /// How many segments of the wire it stands for, where they were joined on the way.
    pub segments: u16,
}

impl Segment {
    /// The segment of a header, with `len` bytes of data.
    #[must_use]
    #[inline]
    pub fn new(header: &Header<'_>, len: u32, ecn: u8, segments: u16) -> Self {
        let mut segment = Self {
            src_port: header.src_port,
            dst_port: header.dst_port,
            seq: header.seq,
            ack: header.ack,
            flags: header.flags,
            wnd: header.window,
            up: header.urgent,
            len,
            ecn,
            segments: segments.max(1),
            ..Self::default()
        };
        match header.options {
            [] => {}
            // Nearly all segments of a connection with timestamps look like this (RFC 7323,
            // appendix A).
            [1, 1, 8, 10, a, b, c, d, e, f, g, h] => {
                let value = u32::from_be_bytes([*a, *b, *c, *d]);
                segment.timestamps = Some((value, u32::from_be_bytes([*e, *f, *g, *h])));
            }
            _ => segment.read_options(header),
        }
        segment
    }

    fn read_options(&mut self, header: &Header<'_>) {
        //= RFC 9293 §3.1 MUST-5: in any segment, though some mean something in SYNs only.
        //= RFC 9293 §3.1 MUST-7: an illegal length ends the list, and what came before it counts.
        let syn = header.flags.contains(Flags::SYN);
        for option in header.options() {
            // An option list that breaks off is good up to there.
            let Ok(option) = option else { return };
            match option {
                //= RFC 9293 §3.7.1 MUST-14: what the peer takes.
                TcpOption::MaximumSegmentSize(mss) if syn => self.mss = Some(mss),
                TcpOption::WindowScale(shift) if syn => self.wscale = Some(shift),
                TcpOption::SackPermitted if syn => self.sack_permitted = true,
                TcpOption::Timestamps { value, echo_reply } => {
                    self.timestamps = Some((value, echo_reply));
                }
                TcpOption::Sack(blocks) => {
                    for (left, right) in blocks.iter() {
                        self.sacks.push(left, right);
                    }
                }
                TcpOption::FastOpen {
                    cookie,
                    experimental,
                } if syn => {
                    let cookie = Cookie::new(cookie);
                    self.fast_open = cookie.map(|c| c.in_experiment(experimental));
                }
                TcpOption::UserTimeout { minutes, timeout } => {
                    let unit = if minutes { 60 } else { 1 };
                    self.user_timeout = Some(Duration::from_secs(u64::from(timeout) * unit));
                }
                TcpOption::AccurateEcn(counters) => {
                    self.ecn_bytes = Some(EcnBytes::new(&counters));
                }
                _ => {}
            }
        }
    }

    /// SEG.LEN: the data, and one each for SYN and FIN (RFC 9293 §3.4).
    #[must_use]
    #[inline]
    pub fn seq_len(&self) -> u32 {
        let controls =
            u32::from(self.flags.contains(Flags::SYN)) + u32::from(self.flags.contains(Flags::FIN));
        self.len.wrapping_add(controls)
    }

    /// Whether a flag is set.
    #[must_use]
    #[inline]
    pub const fn has(&self, flag: Flags) -> bool {
        self.flags.contains(flag)
    }
}

/// A segment to send; ports, addresses and checksum are the host's to add.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// SEG.SEQ.
    pub seq: SeqNum,
    /// SEG.ACK.
    pub ack: SeqNum,
    /// SEG.CTL.
    pub flags: Flags,
    /// The window field, scaled.
    pub window: u16,
    /// The urgent pointer.
    pub urgent: u16,
    /// Options with their padding.
    pub options: OptionBuffer,
    /// The data.
    pub payload: Payload,
    /// Data of each segment: more than that is a super-segment, to be cut so.
    pub mss: u16,
    /// The two ECN bits for the IP header.
    pub ecn: u8,
    /// Why it is sent again, or to probe.
    pub why: Option<Why>,
}

/// What a SYN cookie keeps of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieOptions {
    /// The peer's MSS, rounded down to one of the few that a cookie can name.
    pub mss: u16,
    /// The peer's window scale.
    pub wscale: Option<u8>,
    /// The peer understands SACK.
    pub sack: bool,
    /// The peer sends timestamps.
    pub timestamps: bool,
    /// The peer asked for ECN.
    pub ecn: bool,
}
