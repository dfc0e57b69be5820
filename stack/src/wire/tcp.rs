//! TCP segment headers and their options (RFC 9293 §3.1, §3.2).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!  +-------------------------------+-------------------------------+
//!  |          source port          |       destination port        |
//!  +-------------------------------+-------------------------------+
//!  |                        sequence number                        |
//!  +---------------------------------------------------------------+
//!  |                     acknowledgment number                     |
//!  +-------+-----+-+-+-+-+-+-+-+-+-+-------------------------------+
//!  | data  |     |A|C|E|U|A|P|R|S|F|                               |
//!  | offset|rsrvd|E|W|C|R|C|S|S|Y|I|            window             |
//!  |       |     | |R|E|G|K|H|T|N|N|                               |
//!  +-------+-----+-+-+-+-+-+-+-+-+-+-------------------------------+
//!  |           checksum            |        urgent pointer         |
//!  +-------------------------------+-------------------------------+
//!  |            options, 0 to 40 bytes, a multiple of 4            |
//!  +---------------------------------------------------------------+
//! ```
//!
//! Read first: RFC 9293 §3.1–3.2, RFC 7323 §2–3 (window scale, timestamps), RFC 2018 §2–3 (SACK),
//! RFC 7413 §4.1.1 (Fast Open cookie), RFC 9768 §3.2.3 (Accurate ECN's byte counters).
//!
//! Promises: the data offset is derived from the options, so it cannot disagree with them; the
//! reserved bits travel in [`Flags`]; an option of a known kind whose length its RFC forbids comes
//! out as [`TcpOption::Unknown`], to be stepped over like any other option one does not know.
//!
//! Left out: the inside of MPTCP and authentication options, which no machine here reads.

use super::checksum::Sum;
use super::seq::SeqNum;
use super::{ParseError, Protocol, Reader, Writer};
use core::fmt;
use core::net::IpAddr;
use core::ops::{BitOr, BitOrAssign};

/// Length of the header without options.
pub const HEADER_LEN: usize = 20;
/// The most option bytes that fit: the data offset counts 4-byte words in 4 bits.
pub const MAX_OPTIONS_LEN: usize = 40;

/// The 12 bits beside the data offset: the control bits of RFC 9293 §3.1, the accurate-ECN bit
/// (once NS, RFC 3540) and three that are still reserved.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u16);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// No more data from the sender.
    pub const FIN: Self = Self(0x001);
    /// Synchronize sequence numbers.
    pub const SYN: Self = Self(0x002);
    /// Reset the connection.
    pub const RST: Self = Self(0x004);
    /// Push.
    pub const PSH: Self = Self(0x008);
    /// The acknowledgment field is significant.
    pub const ACK: Self = Self(0x010);
    /// The urgent pointer is significant.
    pub const URG: Self = Self(0x020);
    /// ECN-Echo (RFC 3168 §6.1).
    pub const ECE: Self = Self(0x040);
    /// Congestion window reduced (RFC 3168 §6.1).
    pub const CWR: Self = Self(0x080);
    /// Accurate ECN; NS in the experiment of RFC 3540.
    pub const AE: Self = Self(0x100);
    /// The bits no RFC has given a meaning.
    pub const RESERVED: Self = Self(0xe00);

    const ALL: u16 = 0xfff;
    const NAMES: [(Self, &'static str); 9] = [
        (Self::FIN, "FIN"),
        (Self::SYN, "SYN"),
        (Self::RST, "RST"),
        (Self::PSH, "PSH"),
        (Self::ACK, "ACK"),
        (Self::URG, "URG"),
        (Self::ECE, "ECE"),
        (Self::CWR, "CWR"),
        (Self::AE, "AE"),
    ];

    /// The flags in the low 12 bits; the data offset above them is ignored.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & Self::ALL)
    }

    /// The 12 bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl fmt::Display for Flags {
    /// `SYN,ACK`; reserved bits as a number; `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("none");
        }
        let mut comma = "";
        for (flag, name) in Self::NAMES {
            if self.contains(flag) {
                write!(f, "{comma}{name}")?;
                comma = ",";
            }
        }
        match self.0 & Self::RESERVED.0 {
            0 => Ok(()),
            bits => write!(f, "{comma}0x{bits:x}"),
        }
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A segment's header.
///
/// ```
/// use stack::wire::{Writer, tcp, seq::SeqNum};
/// let mut options = tcp::OptionBuffer::new();
/// options.push(&tcp::TcpOption::MaximumSegmentSize(1460))?;
/// let syn = tcp::Header {
///     src_port: 40_000,
///     dst_port: 80,
///     seq: SeqNum(7),
///     ack: SeqNum(0),
///     flags: tcp::Flags::SYN,
///     window: 65_535,
///     checksum: 0,
///     urgent: 0,
///     options: options.as_bytes(),
/// };
/// let mut bytes = [0; 60];
/// syn.emit(&mut Writer::new(&mut bytes))?;
/// assert_eq!(tcp::Header::parse(&bytes)?.0, syn);
/// # Ok::<(), stack::wire::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Of the first byte of data; of the SYN itself where that flag is set.
    pub seq: SeqNum,
    /// The next sequence number the sender expects, where ACK is set.
    pub ack: SeqNum,
    /// The control bits.
    pub flags: Flags,
    /// The receive window, before scaling.
    pub window: u16,
    /// As on the wire; see [`sum`](Self::sum).
    pub checksum: u16,
    /// The urgent pointer, significant where URG is set.
    pub urgent: u16,
    /// All option bytes with their padding; see [`options`](Self::options).
    pub options: &'a [u8],
}

impl<'a> Header<'a> {
    /// Parses the header; the rest is the segment's data.
    ///
    /// # Errors
    /// [`ParseError::Truncated`], and [`ParseError::Invalid`] where the data offset is below 5.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let mut r = Reader::new(bytes);
        let src_port = r.u16("TCP source port")?;
        let dst_port = r.u16("TCP destination port")?;
        let seq = SeqNum(r.u32("TCP sequence number")?);
        let ack = SeqNum(r.u32("TCP acknowledgment number")?);
        let offset_flags = r.u16("TCP flags")?;
        let window = r.u16("TCP window")?;
        let checksum = r.u16("TCP checksum")?;
        let urgent = r.u16("TCP urgent pointer")?;
        let options_len = usize::from(offset_flags >> 12)
            .checked_sub(HEADER_LEN / 4)
            .ok_or(ParseError::Invalid("TCP data offset"))?
            * 4;
        let options = r.take(options_len, "TCP options")?;
        let header = Self {
            src_port,
            dst_port,
            seq,
            ack,
            flags: Flags::from_bits(offset_flags),
            window,
            checksum,
            urgent,
            options,
        };
        Ok((header, r.rest()))
    }

    /// Length of the header on the wire, options included.
    #[must_use]
    pub const fn header_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        self.header_len()
    }

    /// Writes the header.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], and [`ParseError::Invalid`] where the options are longer than
    /// [`MAX_OPTIONS_LEN`] or no multiple of 4.
    #[inline]
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        let offset_flags = self.offset_flags()?;
        w.u16(self.src_port)?;
        w.u16(self.dst_port)?;
        w.u32(self.seq.0)?;
        w.u32(self.ack.0)?;
        w.u16(offset_flags)?;
        w.u16(self.window)?;
        w.u16(self.checksum)?;
        w.u16(self.urgent)?;
        w.put(self.options)
    }

    /// The sum of pseudo-header and header with a zero checksum field, to which the data's sum is
    /// added: `finish` of that is what [`checksum`](Self::checksum) should be, `partial` before
    /// that is what a device wants that sums the data itself.
    //= RFC 9293 §3.1 the checksum covers a pseudo-header, the header and the data.
    #[must_use]
    pub fn sum(&self, src: IpAddr, dst: IpAddr, data_len: usize) -> Sum {
        let mut sum = Sum::new();
        sum.add_pseudo(src, dst, Protocol::TCP, self.header_len() + data_len);
        sum.add_u16(self.src_port);
        sum.add_u16(self.dst_port);
        sum.add(&self.seq.0.to_be_bytes());
        sum.add(&self.ack.0.to_be_bytes());
        // Options that cannot be emitted have no checksum worth computing.
        sum.add_u16(self.offset_flags().unwrap_or(0));
        sum.add_u16(self.window);
        sum.add_u16(self.urgent);
        sum.add(self.options);
        sum
    }

    /// What the checksum field should hold between `src` and `dst` over `data`.
    #[must_use]
    pub fn checksum_over(&self, src: IpAddr, dst: IpAddr, data: &[u8]) -> u16 {
        let mut sum = self.sum(src, dst, data.len());
        sum.add(data);
        sum.finish()
    }

    /// The options, up to the end-of-list option or the error that ends the list.
    #[must_use]
    pub const fn options(&self) -> Options<'a> {
        Options::new(self.options)
    }

    /// Sequence numbers that a segment with this header and `data_len` bytes of data takes up:
    /// SYN and FIN count one each (RFC 9293 §3.4).
    #[must_use]
    pub fn seq_len(&self, data_len: u32) -> u32 {
        data_len
            .wrapping_add(u32::from(self.flags.contains(Flags::SYN)))
            .wrapping_add(u32::from(self.flags.contains(Flags::FIN)))
    }

    fn offset_flags(&self) -> Result<u16, ParseError> {
        const BAD: ParseError = ParseError::Invalid("TCP options length");
        if self.options.len() > MAX_OPTIONS_LEN || !self.options.len().is_multiple_of(4) {
            return Err(BAD);
        }
        let words = u16::try_from(self.header_len() / 4).map_err(|_| BAD)?;
        Ok(words << 12 | self.flags.bits())
    }
}

/// Whether the checksum of `segment` (header and data) holds.
#[must_use]
pub fn verify(src: IpAddr, dst: IpAddr, segment: &[u8]) -> bool {
    let mut sum = Sum::new();
    sum.add_pseudo(src, dst, Protocol::TCP, segment.len());
    sum.add(segment);
    sum.finish() == 0
}

/// Option kinds (IANA "TCP Option Kind Numbers").
pub mod kind {
    /// End of option list (RFC 9293 §3.2).
    pub const END_OF_LIST: u8 = 0;
    /// No operation (RFC 9293 §3.2).
    pub const NO_OPERATION: u8 = 1;
    /// Maximum segment size (RFC 9293 §3.7.1).
    pub const MAXIMUM_SEGMENT_SIZE: u8 = 2;
    /// Window scale (RFC 7323 §2).
    pub const WINDOW_SCALE: u8 = 3;
    /// SACK permitted (RFC 2018 §2).
    pub const SACK_PERMITTED: u8 = 4;
    /// SACK (RFC 2018 §3).
    pub const SACK: u8 = 5;
    /// Timestamps (RFC 7323 §3).
    pub const TIMESTAMPS: u8 = 8;
    /// MD5 signature (RFC 2385).
    pub const MD5_SIGNATURE: u8 = 19;
    /// User timeout (RFC 5482 §4).
    pub const USER_TIMEOUT: u8 = 28;
    /// Authentication (RFC 5925 §2.2).
    pub const AUTHENTICATION: u8 = 29;
    /// Multipath TCP (RFC 8684 §3); kept raw.
    pub const MULTIPATH: u8 = 30;
    /// Fast Open cookie (RFC 7413 §4.1.1).
    pub const FAST_OPEN: u8 = 34;
    /// Accurate ECN, the bytes marked ECT(0) first (RFC 9768 §3.2.3).
    pub const ACCURATE_ECN_0: u8 = 172;
    /// Accurate ECN, the bytes marked ECT(1) first (RFC 9768 §3.2.3).
    pub const ACCURATE_ECN_1: u8 = 174;
    /// Experiment 2 (RFC 6994), told apart by a magic number.
    pub const EXPERIMENT: u8 = 254;
}

/// The magic number of Fast Open while it was an experiment (IANA "TCP Experimental Option
/// Experiment Identifiers").
const FAST_OPEN_MAGIC: u16 = 0xf989;

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcpOption<'a> {
    /// Ends the list; what follows is padding.
    EndOfList,
    /// One byte of padding.
    NoOperation,
    /// The largest segment the sender can take. Only in a SYN.
    MaximumSegmentSize(u16),
    /// The shift of the sender's windows, as sent: above 14 is read as 14 (RFC 7323 §2.3). Only in
    /// a SYN.
    WindowScale(u8),
    /// The sender can use SACK. Only in a SYN.
    SackPermitted,
    /// Blocks received out of order.
    Sack(SackBlocks<'a>),
    /// Timestamps (RFC 7323 §3.2).
    Timestamps {
        /// TSval: the sender's clock.
        value: u32,
        /// TSecr: the peer's clock, echoed.
        echo_reply: u32,
    },
    /// A Fast Open cookie, or a request for one where it is empty.
    FastOpen {
        /// Empty, or 4 to 16 bytes.
        cookie: &'a [u8],
        /// Sent as an experiment (kind 254), as before RFC 7413.
        experimental: bool,
    },
    /// The sender's user timeout.
    UserTimeout {
        /// The number counts minutes, not seconds.
        minutes: bool,
        /// 15 bits.
        timeout: u16,
    },
    /// How many bytes came with which mark.
    AccurateEcn(EcnCounters<'a>),
    /// An MD5 signature (RFC 2385).
    Md5Signature([u8; 16]),
    /// An authentication option (RFC 5925 §2.2).
    Authentication {
        /// Names the key that made the code.
        key_id: u8,
        /// Names the key the sender is ready to receive with.
        r_next_key_id: u8,
        /// The message authentication code.
        mac: &'a [u8],
    },
    /// Any other, or a known kind with a length that its RFC forbids. At most 38 bytes of data.
    Unknown {
        /// The kind byte.
        kind: u8,
        /// What follows the length byte.
        data: &'a [u8],
    },
}

impl<'a> TcpOption<'a> {
    /// The kind byte.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match *self {
            Self::EndOfList => kind::END_OF_LIST,
            Self::NoOperation => kind::NO_OPERATION,
            Self::MaximumSegmentSize(_) => kind::MAXIMUM_SEGMENT_SIZE,
            Self::WindowScale(_) => kind::WINDOW_SCALE,
            Self::SackPermitted => kind::SACK_PERMITTED,
            Self::Sack(_) => kind::SACK,
            Self::Timestamps { .. } => kind::TIMESTAMPS,
            Self::FastOpen {
                experimental: false,
                ..
            } => kind::FAST_OPEN,
            Self::FastOpen { .. } => kind::EXPERIMENT,
            Self::UserTimeout { .. } => kind::USER_TIMEOUT,
            Self::AccurateEcn(counters) => counters.kind(),
            Self::Md5Signature(_) => kind::MD5_SIGNATURE,
            Self::Authentication { .. } => kind::AUTHENTICATION,
            Self::Unknown { kind, .. } => kind,
        }
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        match *self {
            Self::EndOfList | Self::NoOperation => 1,
            Self::SackPermitted => 2,
            Self::WindowScale(_) => 3,
            Self::MaximumSegmentSize(_) | Self::UserTimeout { .. } => 4,
            Self::Timestamps { .. } => 10,
            Self::Md5Signature(_) => 18,
            Self::Sack(blocks) => 2 + blocks.0.len(),
            Self::AccurateEcn(counters) => 2 + counters.bytes.len(),
            Self::FastOpen {
                cookie,
                experimental: false,
            } => 2 + cookie.len(),
            Self::FastOpen { cookie, .. } => 4 + cookie.len(),
            Self::Authentication { mac, .. } => 4 + mac.len(),
            Self::Unknown { data, .. } => 2 + data.len(),
        }
    }

    /// Writes the option.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], and [`ParseError::Invalid`] where it is longer than 255 bytes.
    // Which option it is, is known where it is written: most of this then falls away.
    #[inline(always)]
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        w.u8(self.kind())?;
        if matches!(self, Self::EndOfList | Self::NoOperation) {
            return Ok(());
        }
        let len =
            u8::try_from(self.emit_len()).map_err(|_| ParseError::Invalid("TCP option length"))?;
        w.u8(len)?;
        match *self {
            Self::EndOfList | Self::NoOperation | Self::SackPermitted => Ok(()),
            Self::MaximumSegmentSize(size) => w.u16(size),
            Self::WindowScale(shift) => w.u8(shift),
            Self::Sack(blocks) => w.put(blocks.0),
            Self::AccurateEcn(counters) => w.put(counters.bytes),
            Self::Timestamps { value, echo_reply } => {
                w.u32(value)?;
                w.u32(echo_reply)
            }
            Self::FastOpen {
                cookie,
                experimental,
            } => {
                if experimental {
                    w.u16(FAST_OPEN_MAGIC)?;
                }
                w.put(cookie)
            }
            Self::UserTimeout { minutes, timeout } => {
                w.u16(u16::from(minutes) << 15 | timeout & 0x7fff)
            }
            Self::Md5Signature(digest) => w.put(&digest),
            Self::Authentication {
                key_id,
                r_next_key_id,
                mac,
            } => {
                w.put(&[key_id, r_next_key_id])?;
                w.put(mac)
            }
            Self::Unknown { data, .. } => w.put(data),
        }
    }

    /// What `kind` and the bytes after the length byte mean.
    fn from_data(kind: u8, data: &'a [u8]) -> Self {
        Self::known(kind, data).unwrap_or(Self::Unknown { kind, data })
    }

    fn known(kind: u8, data: &'a [u8]) -> Option<Self> {
        let option = match (kind, data) {
            (kind::MAXIMUM_SEGMENT_SIZE, &[a, b]) => {
                Self::MaximumSegmentSize(u16::from_be_bytes([a, b]))
            }
            (kind::WINDOW_SCALE, &[shift]) => Self::WindowScale(shift),
            (kind::SACK_PERMITTED, []) => Self::SackPermitted,
            (kind::SACK, blocks) => Self::Sack(SackBlocks::new(blocks)?),
            (kind::TIMESTAMPS, &[a, b, c, d, e, f, g, h]) => Self::Timestamps {
                value: u32::from_be_bytes([a, b, c, d]),
                echo_reply: u32::from_be_bytes([e, f, g, h]),
            },
            (kind::USER_TIMEOUT, &[a, b]) => Self::UserTimeout {
                minutes: a & 0x80 != 0,
                timeout: u16::from_be_bytes([a & 0x7f, b]),
            },
            //= RFC 9768 §3.2.3 an option of any length is read, as far as it has whole fields.
            (kind::ACCURATE_ECN_0 | kind::ACCURATE_ECN_1, bytes) => {
                let ect1_first = kind == kind::ACCURATE_ECN_1;
                Self::AccurateEcn(EcnCounters { ect1_first, bytes })
            }
            (kind::MD5_SIGNATURE, digest) => Self::Md5Signature(digest.try_into().ok()?),
            (kind::AUTHENTICATION, [key_id, r_next_key_id, mac @ ..]) => Self::Authentication {
                key_id: *key_id,
                r_next_key_id: *r_next_key_id,
                mac,
            },
            (kind::FAST_OPEN, cookie) if is_cookie(cookie) => Self::FastOpen {
                cookie,
                experimental: false,
            },
            (kind::EXPERIMENT, [0xf9, 0x89, cookie @ ..]) if is_cookie(cookie) => Self::FastOpen {
                cookie,
                experimental: true,
            },
            _ => return None,
        };
        Some(option)
    }
}

//= RFC 7413 §4.1.1 a cookie is 4 to 16 bytes and of even length; any other is ignored.
fn is_cookie(cookie: &[u8]) -> bool {
    cookie.is_empty() || (4..=16).contains(&cookie.len()) && cookie.len().is_multiple_of(2)
}

/// The blocks of a SACK option: 8 bytes each, one to four of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SackBlocks<'a>(&'a [u8]);

impl<'a> SackBlocks<'a> {
    /// The most that fit an option list.
    pub const MAX: usize = 4;

    /// Blocks as they stand on the wire; `None` where the length is none that one to four blocks
    /// have.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        matches!(bytes.len(), 8 | 16 | 24 | 32).then_some(Self(bytes))
    }

    /// The bytes on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Each block's left edge and right edge; the right edge is the first number not received.
    pub fn iter(&self) -> impl Iterator<Item = (SeqNum, SeqNum)> + use<'a> {
        let (blocks, _) = self.0.as_chunks::<8>();
        blocks.iter().map(|&[a, b, c, d, e, f, g, h]| {
            let left = SeqNum(u32::from_be_bytes([a, b, c, d]));
            (left, SeqNum(u32::from_be_bytes([e, f, g, h])))
        })
    }
}

impl fmt::Debug for SackBlocks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The counters of an Accurate ECN option, 24 bits each: as many as there is room for, in one of
/// two orders (RFC 9768 §3.2.3, figure 4).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EcnCounters<'a> {
    ect1_first: bool,
    bytes: &'a [u8],
}

impl<'a> EcnCounters<'a> {
    /// The most that one option has.
    pub const MAX: usize = 3;

    /// Which mark of the IP header each field counts, by its two bits: CE is in the middle.
    const ORDERS: [[u8; 3]; 2] = [[0b10, 0b11, 0b01], [0b01, 0b11, 0b10]];

    /// Each counter with the two bits of the IP header that it counts; what is left behind whole
    /// fields, or behind the third, is padding.
    pub fn iter(&self) -> impl Iterator<Item = (u8, u32)> + use<'a> {
        let [zero, one] = Self::ORDERS;
        let order = if self.ect1_first { one } else { zero };
        let (fields, _) = self.bytes.as_chunks::<3>();
        let values = fields
            .iter()
            .map(|&[a, b, c]| u32::from_be_bytes([0, a, b, c]));
        order.into_iter().zip(values)
    }

    const fn kind(&self) -> u8 {
        if self.ect1_first {
            kind::ACCURATE_ECN_1
        } else {
            kind::ACCURATE_ECN_0
        }
    }
}

impl fmt::Debug for EcnCounters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Walks an option list. An error ends it, and so does the end-of-list option, which is yielded.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    reader: Reader<'a>,
}

impl<'a> Options<'a> {
    /// Walks `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            reader: Reader::new(bytes),
        }
    }

    fn read(&mut self) -> Result<TcpOption<'a>, ParseError> {
        //= RFC 9293 §3.1 MUST-4: the two options of one byte, and all others by their length.
        //= RFC 9293 §3.2 MUST-64: byte by byte, aligned or not.
        match self.reader.u8("TCP option kind")? {
            kind::END_OF_LIST => Ok(TcpOption::EndOfList),
            kind::NO_OPERATION => Ok(TcpOption::NoOperation),
            kind => {
                //= RFC 9293 §3.1 (MUST-6, MUST-7) step over options not known; be ready for an illegal option length, as zero.
                let len = usize::from(self.reader.u8("TCP option length")?)
                    .checked_sub(2)
                    .ok_or(ParseError::Invalid("TCP option length"))?;
                let data = self.reader.take(len, "TCP option")?;
                Ok(TcpOption::from_data(kind, data))
            }
        }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<TcpOption<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let option = self.read();
        match option {
            // What follows the end of the list is padding, not options.
            Err(_) | Ok(TcpOption::EndOfList) => self.reader = Reader::new(&[]),
            Ok(_) => {}
        }
        Some(option)
    }
}

/// An option list being built: 40 bytes without allocation, always padded to a multiple of 4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptionBuffer {
    //= RFC 9293 §3.1 MUST-69: what follows the last option is zero.
    /// The padding is zeros: the end-of-list option.
    bytes: Padded,
    len: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Padded([u8; MAX_OPTIONS_LEN]);

impl Default for Padded {
    fn default() -> Self {
        Self([0; MAX_OPTIONS_LEN])
    }
}

impl OptionBuffer {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `option`; on an error the list is as before.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`].
    #[inline(always)]
    pub fn push(&mut self, option: &TcpOption<'_>) -> Result<(), ParseError> {
        let room = self.bytes.0.get_mut(self.len..).unwrap_or_default();
        if option.emit_len() > room.len() {
            return Err(ParseError::NoRoom);
        }
        option.emit(&mut Writer::new(room))?;
        self.len += option.emit_len();
        Ok(())
    }

    /// Appends timestamps behind two no-operations that align them (RFC 7323, appendix A), where
    /// there is room.
    #[inline]
    pub fn push_timestamps(&mut self, value: u32, echo_reply: u32) {
        let room = self.bytes.0.get_mut(self.len..).unwrap_or_default();
        let Some(room) = room.first_chunk_mut::<12>() else {
            return;
        };
        let [a, b, c, d] = value.to_be_bytes();
        let [e, f, g, h] = echo_reply.to_be_bytes();
        let (nop, kind) = (kind::NO_OPERATION, kind::TIMESTAMPS);
        *room = [nop, nop, kind, 10, a, b, c, d, e, f, g, h];
        self.len += room.len();
    }

    /// Appends no-operations until the list is so many bytes longer than a multiple of 4.
    pub fn align(&mut self, over: usize) {
        let padding = over.wrapping_sub(self.len) % 4;
        let room = self.bytes.0.get_mut(self.len..).unwrap_or_default();
        for byte in room.iter_mut().take(padding) {
            *byte = kind::NO_OPERATION;
            self.len += 1;
        }
    }

    /// Bytes of the list so far, without padding.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was appended yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends an Accurate ECN option, ECT(1) first, of these counters: at most three, of each the
    /// low 24 bits (RFC 9768 §3.2.3). Whether it fitted.
    pub fn push_ecn_counters(&mut self, counters: &[u32]) -> bool {
        let mut raw = [0; 3 * EcnCounters::MAX];
        let mut w = Writer::new(&mut raw);
        let counters = counters.get(..EcnCounters::MAX).unwrap_or(counters);
        for counter in counters {
            let [_, a, b, c] = counter.to_be_bytes();
            if w.put(&[a, b, c]).is_err() {
                return false;
            }
        }
        let bytes = raw.get(..3 * counters.len()).unwrap_or_default();
        let ect1_first = true;
        self.push(&TcpOption::AccurateEcn(EcnCounters { ect1_first, bytes }))
            .is_ok()
    }

    /// Appends a SACK option of as many of `blocks` as fit, in their order, behind as many
    /// no-operations as align it, two where the list is (RFC 2018 §3, appendix A of RFC 7323).
    /// Returns how many fitted.
    pub fn push_sack(&mut self, blocks: &[(SeqNum, SeqNum)]) -> usize {
        let padding = 2_usize.wrapping_sub(self.len) % 4;
        let overhead = padding + 2;
        let room = (MAX_OPTIONS_LEN - self.len).saturating_sub(overhead) / 8;
        let mut raw = [0; 8 * SackBlocks::MAX];
        let mut w = Writer::new(&mut raw);
        let mut count = 0;
        for (left, right) in blocks.iter().take(room.min(SackBlocks::MAX)) {
            let both = u64::from(left.0) << 32 | u64::from(right.0);
            if w.u64(both).is_err() {
                break;
            }
            count += 1;
        }
        let Some(sack) = raw.get(..8 * count).and_then(SackBlocks::new) else {
            return 0;
        };
        // The room was counted above, so neither fails.
        self.align(2);
        if self.push(&TcpOption::Sack(sack)).is_ok() {
            count
        } else {
            0
        }
    }

    /// The list, padded to a multiple of 4 with zeros.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .0
            .get(..self.len.next_multiple_of(4))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};
    use std::string::ToString;
    use std::vec;
    use std::vec::Vec;

    const SYN_OPTIONS: &[u8] = &[
        2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 3, 3, 15, 34, 6, 1, 2, 3, 4, 254, 4,
        0xf9, 0x89, 0, 77,
    ];

    fn header(options: &[u8]) -> Header<'_> {
        Header {
            src_port: 1,
            dst_port: 65_535,
            seq: SeqNum(0x0102_0304),
            ack: SeqNum(0xfffe_fdfc),
            flags: Flags::from_bits(0xfff),
            window: 512,
            checksum: 0xabcd,
            urgent: 3,
            options,
        }
    }

    #[test]
    fn round_trip_and_truncation() {
        for options in [&[][..], SYN_OPTIONS, &[1; 40]] {
            let h = header(options);
            let mut bytes = vec![0; h.emit_len()];
            h.emit(&mut Writer::new(&mut bytes)).unwrap();
            bytes.push(0xee);
            assert_eq!(Header::parse(&bytes), Ok((h, &[0xee][..])));
            for len in 0..h.emit_len() {
                assert!(Header::parse(&bytes[..len]).is_err(), "{len}");
                let mut short = vec![0; len];
                assert!(h.emit(&mut Writer::new(&mut short)).is_err(), "{len}");
            }
        }
        for bad in [&[1; 44][..], &[1; 3]] {
            let result = header(bad).emit(&mut Writer::new(&mut [0; 80]));
            assert_eq!(result, Err(ParseError::Invalid("TCP options length")));
        }
        let mut bytes = [0; 20];
        bytes[12] = 0x40;
        assert_eq!(
            Header::parse(&bytes),
            Err(ParseError::Invalid("TCP data offset"))
        );
    }

    #[test]
    fn options_of_a_syn() {
        let got: Vec<_> = header(SYN_OPTIONS).options().map(Result::unwrap).collect();
        let want = [
            TcpOption::MaximumSegmentSize(1460),
            TcpOption::SackPermitted,
            TcpOption::Timestamps {
                value: 7,
                echo_reply: 9,
            },
            TcpOption::NoOperation,
            TcpOption::WindowScale(15),
            TcpOption::FastOpen {
                cookie: &[1, 2, 3, 4],
                experimental: false,
            },
            TcpOption::FastOpen {
                cookie: &[],
                experimental: true,
            },
            TcpOption::EndOfList,
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn options_that_end_the_list() {
        //= RFC 9293 §3.1 MUST-4, MUST-6, MUST-7
        let table: [(&[u8], usize, ParseError); 4] = [
            (&[1, 2, 0], 1, ParseError::Invalid("TCP option length")),
            (&[9, 1, 1], 0, ParseError::Invalid("TCP option length")),
            (&[1, 1, 8], 2, ParseError::Truncated("TCP option length")),
            (&[4, 2, 8, 10, 0], 1, ParseError::Truncated("TCP option")),
        ];
        for (bytes, good, error) in table {
            let got: Vec<_> = Options::new(bytes).collect();
            assert_eq!(got.len(), good + 1, "{bytes:?}");
            assert_eq!(got.last(), Some(&Err(error)), "{bytes:?}");
        }
        // A wrong length of a known kind ends nothing.
        let got: Vec<_> = Options::new(&[2, 3, 9, 3, 3, 1]).collect();
        let unknown = TcpOption::Unknown {
            kind: 2,
            data: &[9],
        };
        assert_eq!(got, [Ok(unknown), Ok(TcpOption::WindowScale(1))]);
    }

    #[test]
    fn building_options() {
        //= RFC 9293 §3.1 MUST-69
        let mut list = OptionBuffer::new();
        let stamps = TcpOption::Timestamps {
            value: 1,
            echo_reply: 2,
        };
        list.push(&stamps).unwrap();
        let block = |n| (SeqNum(n), SeqNum(n + 1));
        let blocks = [block(10), block(20), block(30), block(40)];
        assert_eq!(list.push_sack(&blocks), 3);
        assert_eq!(list.push(&stamps), Err(ParseError::NoRoom));
        let Some(Ok(TcpOption::Sack(sack))) = Options::new(list.as_bytes()).nth(1) else {
            panic!("{list:?}");
        };
        assert_eq!(sack.iter().collect::<Vec<_>>(), blocks[..3]);
        assert_eq!(list.as_bytes().len(), 36);
        assert_eq!(OptionBuffer::new().push_sack(&blocks), 4);
        assert_eq!(OptionBuffer::new().push_sack(&[]), 0);
    }

    #[test]
    fn counters_of_accurate_ecn() {
        //= RFC 9768 §3.2.3: both orders, each length, what is over, and lengths that end the list.
        let all = [0, 0, 1, 0, 1, 0, 1, 0, 0, 7, 7, 7];
        type Case = (u8, usize, &'static [(u8, u32)]);
        let table: [Case; 8] = [
            (172, 9, &[(2, 1), (3, 256), (1, 65_536)]),
            (174, 9, &[(1, 1), (3, 256), (2, 65_536)]),
            (174, 6, &[(1, 1), (3, 256)]),
            (172, 3, &[(2, 1)]),
            (172, 0, &[]),
            (174, 2, &[]),
            (174, 5, &[(1, 1)]),
            (172, 12, &[(2, 1), (3, 256), (1, 65_536)]),
        ];
        for (kind, len, want) in table {
            let mut bytes = vec![kind, len as u8 + 2];
            bytes.extend(&all[..len]);
            let got = Options::new(&bytes).next().unwrap().unwrap();
            let TcpOption::AccurateEcn(counters) = got else {
                panic!("{got:?}");
            };
            assert_eq!(counters.iter().collect::<Vec<_>>(), want, "{kind} {len}");
            // What was read is written again as it was, padding and all.
            let mut again = OptionBuffer::new();
            again.push(&got).unwrap();
            assert_eq!(again.as_bytes()[..bytes.len()], bytes);
            for cut in 1..bytes.len() {
                let cut = Options::new(&bytes[..cut]).next();
                assert!(cut.unwrap().is_err(), "{kind} {len} {cut:?}");
            }
        }
    }

    #[test]
    fn counters_share_the_room_with_blocks() {
        let block = |n| (SeqNum(n), SeqNum(n + 1));
        let blocks = [block(10), block(20), block(30), block(40)];
        // Counters, no-operations in front of the blocks, blocks that fit.
        for (counters, padding, fit) in [(3, 3, 3), (2, 2, 3), (1, 1, 4), (0, 0, 4)] {
            let mut list = OptionBuffer::new();
            assert!(list.push_ecn_counters(&[1 << 24 | 5, 6, 7][..counters]));
            let before = list.len();
            assert_eq!(list.push_sack(&blocks), fit);
            assert_eq!(list.len(), before + padding + 2 + 8 * fit);
            assert_eq!(list.len() % 4, 0);
            if let Some(Ok(TcpOption::AccurateEcn(got))) = Options::new(list.as_bytes()).next() {
                let want = [(1, 5), (3, 6), (2, 7)];
                assert_eq!(got.iter().collect::<Vec<_>>(), want[..counters]);
            }
        }
        let mut full = OptionBuffer::new();
        assert_eq!(full.push_sack(&blocks), 4);
        assert!(full.push_ecn_counters(&[]) && !full.push_ecn_counters(&[1]));
    }

    #[test]
    fn checksum_closes_the_sum() {
        //= RFC 9293 §3.1 MUST-2, MUST-3
        let data = [1, 2, 3];
        let hosts: [(IpAddr, IpAddr); 2] = [
            (
                Ipv4Addr::new(10, 7, 0, 1).into(),
                Ipv4Addr::BROADCAST.into(),
            ),
            (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::UNSPECIFIED.into()),
        ];
        for (src, dst) in hosts {
            let mut h = header(SYN_OPTIONS);
            h.checksum = h.checksum_over(src, dst, &data);
            let mut bytes = vec![0; h.emit_len()];
            h.emit(&mut Writer::new(&mut bytes)).unwrap();
            bytes.extend(data);
            assert!(verify(src, dst, &bytes));
            bytes[21] ^= 1;
            assert!(!verify(src, dst, &bytes));
        }
    }

    #[test]
    fn flags_read_well() {
        assert_eq!((Flags::SYN | Flags::ACK).to_string(), "SYN,ACK");
        assert_eq!(Flags::NONE.to_string(), "none");
        assert_eq!(Flags::from_bits(0xf211).to_string(), "FIN,ACK,0x200");
        assert_eq!(header(&[]).seq_len(5), 7);
        assert!(!Flags::SYN.contains(Flags::SYN | Flags::ACK));
    }
}
