//! Capture records: classic pcap and pcapng read without a copy, pcapng written.
//!
//! ```text
//!  pcap     | file header 24 B | record 16 B, bytes | record 16 B, bytes | ...
//!
//!  pcapng    0                   1                   2                   3
//!           +---------------------------------------------------------------+
//!           |                          block type                           |
//!           +---------------------------------------------------------------+
//!           |                      block total length                       |
//!           +---------------------------------------------------------------+
//!           |                 body, padded to 32 bits ...                   |
//!           +---------------------------------------------------------------+
//!           |                      block total length                       |
//!           +---------------------------------------------------------------+
//!
//!           SHB  IDB IDB ..  EPB EPB ..  | SHB  IDB ..  EPB ..     (sections follow one another)
//! ```
//!
//! Read first: draft-ietf-opsawg-pcap §4–5 and draft-ietf-opsawg-pcapng §3–4.
//!
//! Promises: a record borrows its bytes from the file; hostile files neither panic nor loop, since
//! each step eats at least eight bytes, and the only thing kept is an entry per interface, of
//! which there is at most one per 20 bytes of file. A record or block that the file's end cuts
//! short is reported once, after all that came before it.
//!
//! Left out: names, statistics, secrets and custom blocks are skipped, since nothing here shows
//! them; writing classic pcap, which has no room for comments, directions or interfaces.

use super::{ParseError, Reader};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What kind of frame a capture holds ("LINKTYPE_" values of the tcpdump.org registry).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: a 32-bit address family in the byte order of the capturing machine.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// PPP, with or without address and control bytes.
    pub const PPP: Self = Self(9);
    /// PPP in HDLC-like framing.
    pub const PPP_HDLC: Self = Self(50);
    /// Raw IP, as some BSDs number it.
    pub const RAW_BSD: Self = Self(12);
    /// Raw IP, as OpenBSD numbers it.
    pub const RAW_OPENBSD: Self = Self(14);
    /// Raw IP: the first nibble says which.
    pub const RAW: Self = Self(101);
    /// Frame Relay.
    pub const FRAME_RELAY: Self = Self(107);
    /// OpenBSD loopback: a 32-bit address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux "cooked" capture.
    pub const LINUX_SLL: Self = Self(113);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux "cooked" capture, version 2.
    pub const LINUX_SLL2: Self = Self(276);
}

impl fmt::Debug for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::NULL => "NULL",
            Self::ETHERNET => "Ethernet",
            Self::PPP | Self::PPP_HDLC => "PPP",
            Self::RAW | Self::RAW_BSD | Self::RAW_OPENBSD => "raw IP",
            Self::FRAME_RELAY => "Frame Relay",
            Self::LOOP => "LOOP",
            Self::LINUX_SLL => "Linux SLL",
            Self::IPV4 => "raw IPv4",
            Self::IPV6 => "raw IPv6",
            Self::LINUX_SLL2 => "Linux SLL2",
            Self(n) => return write!(f, "link type {n}"),
        };
        f.write_str(name)
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Which way a packet crossed its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Received by the machine that captured it.
    In,
    /// Sent by it.
    Out,
}

/// One captured packet.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Nanoseconds since 1970-01-01 UTC, where the format has a time (a simple packet block has
    /// none) and it is not before 1970 nor after 2554.
    pub timestamp: Option<u64>,
    /// Bytes that the packet had on the wire.
    pub original_len: u32,
    /// The bytes captured of it.
    pub data: &'a [u8],
    /// What the bytes begin with.
    pub link_type: LinkType,
    /// The interface, counted from zero within its section; zero in classic pcap.
    pub interface: u32,
    options: Options<'a>,
}

impl<'a> Record<'a> {
    /// The comments on this packet. Those that are not UTF-8 are passed over.
    pub fn comments(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.options
            .filter(|(code, _)| *code == OPT_COMMENT)
            .filter_map(|(_, value)| core::str::from_utf8(value).ok())
    }

    /// Which way the packet went, where the capture says.
    #[must_use]
    pub fn direction(&self) -> Option<Direction> {
        let mut options = self.options;
        let (_, flags) = options.find(|(code, _)| *code == EPB_FLAGS)?;
        match self.options.order.u32(*flags.first_chunk()?) & 3 {
            1 => Some(Direction::In),
            2 => Some(Direction::Out),
            _ => None,
        }
    }
}

/// A capture file in memory: an iterator over its records.
///
/// An error ends it: what follows a malformed block cannot be found.
///
/// ```
/// use stack::wire::pcap::{self, Capture, LinkType};
/// let mut file = pcap::Writer::new(&pcap::Section::default());
/// let tap0 = file.interface("tap0", LinkType::ETHERNET, 65535);
/// file.packet(&pcap::Packet { interface: tap0, data: &[1, 2, 3], ..pcap::Packet::default() });
/// let bytes = file.take();
/// let records: Vec<_> = Capture::parse(&bytes)?.collect::<Result<_, _>>()?;
/// assert_eq!(records[0].data, [1, 2, 3]);
/// # Ok::<(), stack::wire::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Capture<'a> {
    rest: &'a [u8],
    order: Order,
    format: Format,
    /// Interfaces of the current section, where there are sections.
    interfaces: Vec<Interface>,
    failed: bool,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Classic {
        link_type: LinkType,
        /// Nanoseconds of one unit of the record's second time field.
        unit: u64,
        /// Bytes of a record header that come after the usual sixteen.
        extra: usize,
    },
    Blocks,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link_type: LinkType,
    snap_len: u32,
    resolution: Resolution,
    /// Seconds to add to each time.
    offset: i64,
}

/// Units of time per second.
#[derive(Clone, Copy, Debug)]
enum Resolution {
    PowerOfTen(u8),
    PowerOfTwo(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Big,
    Little,
}

impl Order {
    const fn u16(self, b: [u8; 2]) -> u16 {
        match self {
            Self::Big => u16::from_be_bytes(b),
            Self::Little => u16::from_le_bytes(b),
        }
    }

    const fn u32(self, b: [u8; 4]) -> u32 {
        match self {
            Self::Big => u32::from_be_bytes(b),
            Self::Little => u32::from_le_bytes(b),
        }
    }
}

impl<'a> Capture<'a> {
    /// Reads the file header.
    ///
    /// # Errors
    /// [`ParseError::Invalid`] where this is neither pcap nor pcapng, [`ParseError::Truncated`]
    /// where it ends within its header.
    pub fn parse(file: &'a [u8]) -> Result<Self, ParseError> {
        let Some(&magic) = file.first_chunk() else {
            return Err(match is_cut_magic(file) {
                true => ParseError::Truncated("capture file header"),
                false => ParseError::Invalid("capture file magic"),
            });
        };
        if u32::from_be_bytes(magic) == BLOCK_SECTION {
            let mut capture = Self {
                rest: file,
                order: Order::Little,
                format: Format::Blocks,
                interfaces: Vec::new(),
                failed: false,
            };
            // The first block must be readable, or this is no capture at all.
            capture.block()?;
            return Ok(capture);
        }
        let (order, unit, extra) = match u32::from_be_bytes(magic) {
            MAGIC_MICROS => (Order::Big, 1000, 0),
            MAGIC_NANOS => (Order::Big, 1, 0),
            MAGIC_MODIFIED => (Order::Big, 1000, MODIFIED_EXTRA),
            m => match m.swap_bytes() {
                MAGIC_MICROS => (Order::Little, 1000, 0),
                MAGIC_NANOS => (Order::Little, 1, 0),
                MAGIC_MODIFIED => (Order::Little, 1000, MODIFIED_EXTRA),
                _ => return Err(ParseError::Invalid("capture file magic")),
            },
        };
        let mut r = Reader::new(file);
        r.take(20, "capture file header")?;
        // The upper bits tell the length of a frame check sequence.
        let network = order.u32(r.array("capture file header")?) & 0xffff;
        Ok(Self {
            rest: r.rest(),
            order,
            format: Format::Classic {
                link_type: LinkType(u16::try_from(network).unwrap_or(0)),
                unit,
                extra,
            },
            interfaces: Vec::new(),
            failed: false,
        })
    }

    /// What has not been read yet; after an error, from the record or block that caused it.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Goes on in `bytes`, which must begin with what [`rest`](Self::rest) gave: for files that
    /// are read in pieces, where a record cut short is only one whose end is still to come.
    #[must_use]
    pub fn resume(self, bytes: &[u8]) -> Capture<'_> {
        Capture {
            rest: bytes,
            order: self.order,
            format: self.format,
            interfaces: self.interfaces,
            failed: false,
        }
    }

    fn classic(
        &mut self,
        link_type: LinkType,
        unit: u64,
        extra: usize,
    ) -> Result<Record<'a>, ParseError> {
        let mut r = Fields::new(self.rest, self.order);
        let seconds = r.u32("record header")?;
        let fraction = r.u32("record header")?;
        let captured = r.u32("record header")?;
        let original_len = r.u32("record header")?;
        r.take(extra, "record header")?;
        let data = r.take(size(captured), "record")?;
        self.rest = r.rest();
        Ok(Record {
            timestamp: Some(u64::from(seconds) * NANOS + u64::from(fraction) * unit),
            original_len,
            data,
            link_type,
            interface: 0,
            options: Options::none(self.order),
        })
    }

    /// The next block's record, if it holds one.
    fn block(&mut self) -> Result<Option<Record<'a>>, ParseError> {
        let mut r = Fields::new(self.rest, self.order);
        let kind = r.u32("block header")?;
        let length = r.array("block header")?;
        if kind == BLOCK_SECTION {
            // The type reads the same in both orders; the magic after the length says which.
            self.order = match u32::from_be_bytes(r.array("section header")?) {
                BYTE_ORDER_MAGIC => Order::Big,
                m if m.swap_bytes() == BYTE_ORDER_MAGIC => Order::Little,
                _ => return Err(ParseError::Invalid("section byte-order magic")),
            };
        }
        let length = size(self.order.u32(length));
        if length < BLOCK_OVERHEAD {
            return Err(ParseError::Invalid("block length"));
        }
        let mut whole = Fields::new(self.rest, self.order);
        whole.take(8, "block")?;
        let body = whole.take(padded(length) - BLOCK_OVERHEAD, "block")?;
        if size(whole.u32("block")?) != length {
            return Err(ParseError::Invalid("block length"));
        }
        self.rest = whole.rest();
        match kind {
            BLOCK_SECTION => self.section(body).map(|()| None),
            BLOCK_INTERFACE => self.interface(body).map(|()| None),
            BLOCK_ENHANCED => self.enhanced(body).map(Some),
            BLOCK_SIMPLE => self.simple(body).map(Some),
            BLOCK_OBSOLETE => self.obsolete(body).map(Some),
            _ => Ok(None),
        }
    }

    fn section(&mut self, body: &[u8]) -> Result<(), ParseError> {
        let mut r = Fields::new(body, self.order);
        r.take(4, "section header")?;
        if r.u16("section header")? != 1 {
            return Err(ParseError::Invalid("section version"));
        }
        self.interfaces.clear();
        Ok(())
    }

    fn interface(&mut self, body: &[u8]) -> Result<(), ParseError> {
        let mut r = Fields::new(body, self.order);
        let link_type = LinkType(r.u16("interface block")?);
        r.take(2, "interface block")?;
        let mut interface = Interface {
            link_type,
            snap_len: r.u32("interface block")?,
            resolution: Resolution::PowerOfTen(6),
            offset: 0,
        };
        let options = Options {
            rest: r.rest(),
            order: self.order,
        };
        for (code, value) in options {
            match (code, value) {
                (IF_TSRESOL, [r, ..]) if r & 0x80 == 0 => {
                    interface.resolution = Resolution::PowerOfTen(*r);
                }
                (IF_TSRESOL, [r, ..]) => interface.resolution = Resolution::PowerOfTwo(r & 0x7f),
                (IF_TSOFFSET, value) => {
                    if let Some(b) = value.first_chunk() {
                        interface.offset = match self.order {
                            Order::Big => i64::from_be_bytes(*b),
                            Order::Little => i64::from_le_bytes(*b),
                        };
                    }
                }
                _ => {}
            }
        }
        self.interfaces.push(interface);
        Ok(())
    }

    fn find(&self, id: u32) -> Result<&Interface, ParseError> {
        self.interfaces
            .get(size(id))
            .ok_or(ParseError::Invalid("interface of a packet block"))
    }

    fn enhanced(&self, body: &'a [u8]) -> Result<Record<'a>, ParseError> {
        let mut r = Fields::new(body, self.order);
        let id = r.u32("packet block")?;
        self.timed(id, r)
    }

    fn obsolete(&self, body: &'a [u8]) -> Result<Record<'a>, ParseError> {
        let mut r = Fields::new(body, self.order);
        let id = r.u16("packet block")?;
        r.take(2, "packet block")?;
        self.timed(u32::from(id), r)
    }

    /// What the enhanced and the obsolete packet block have in common.
    fn timed(&self, id: u32, mut r: Fields<'a>) -> Result<Record<'a>, ParseError> {
        let interface = self.find(id)?;
        let high = r.u32("packet block")?;
        let low = r.u32("packet block")?;
        let captured = size(r.u32("packet block")?);
        let original_len = r.u32("packet block")?;
        let data = r.take(captured, "packet block")?;
        // A last packet without padding is tolerated: it can have no options either.
        let padding = padded(captured) - captured;
        let rest = r.rest().get(padding..).unwrap_or_default();
        let units = u64::from(high) << 32 | u64::from(low);
        Ok(Record {
            timestamp: interface.nanos(units),
            original_len,
            data,
            link_type: interface.link_type,
            interface: id,
            options: Options {
                rest,
                order: self.order,
            },
        })
    }

    fn simple(&self, body: &'a [u8]) -> Result<Record<'a>, ParseError> {
        let interface = self.find(0)?;
        let mut r = Fields::new(body, self.order);
        let original_len = r.u32("simple packet block")?;
        let mut captured = original_len;
        if interface.snap_len != 0 {
            captured = captured.min(interface.snap_len);
        }
        Ok(Record {
            timestamp: None,
            original_len,
            data: r.take(size(captured), "simple packet block")?,
            link_type: interface.link_type,
            interface: 0,
            options: Options::none(self.order),
        })
    }
}

impl<'a> Iterator for Capture<'a> {
    type Item = Result<Record<'a>, ParseError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed && !self.rest.is_empty() {
            let step = match self.format {
                Format::Classic {
                    link_type,
                    unit,
                    extra,
                } => self.classic(link_type, unit, extra).map(Some),
                Format::Blocks => self.block(),
            };
            self.failed = step.is_err();
            if let Some(item) = step.transpose() {
                return Some(item);
            }
        }
        None
    }
}

impl Interface {
    fn nanos(&self, units: u64) -> Option<u64> {
        let units = i128::from(units);
        let nanos = match self.resolution {
            Resolution::PowerOfTen(n @ 0..=9) => units * 10i128.pow(9 - u32::from(n)),
            Resolution::PowerOfTen(n) => units / 10i128.checked_pow(u32::from(n) - 9)?,
            Resolution::PowerOfTwo(n) => (units * i128::from(NANOS)) >> n,
        };
        u64::try_from(nanos + i128::from(self.offset) * i128::from(NANOS)).ok()
    }
}

/// Reads fields in the byte order of a section.
#[derive(Clone, Copy)]
struct Fields<'a> {
    reader: Reader<'a>,
    order: Order,
}

impl<'a> Fields<'a> {
    const fn new(bytes: &'a [u8], order: Order) -> Self {
        Self {
            reader: Reader::new(bytes),
            order,
        }
    }

    const fn rest(&self) -> &'a [u8] {
        self.reader.rest()
    }

    #[inline]
    fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], ParseError> {
        self.reader.take(n, what)
    }

    #[inline]
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], ParseError> {
        self.reader.array(what)
    }

    #[inline]
    fn u16(&mut self, what: &'static str) -> Result<u16, ParseError> {
        Ok(self.order.u16(self.reader.array(what)?))
    }

    #[inline]
    fn u32(&mut self, what: &'static str) -> Result<u32, ParseError> {
        Ok(self.order.u32(self.reader.array(what)?))
    }
}

/// The options of a block. Ends at the end mark, or where an option is cut short.
#[derive(Clone, Copy, Debug)]
struct Options<'a> {
    rest: &'a [u8],
    order: Order,
}

impl Options<'_> {
    const fn none(order: Order) -> Self {
        Self { rest: &[], order }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let mut r = Fields::new(self.rest, self.order);
        let code = r.u16("option").ok().filter(|code| *code != 0)?;
        let len = usize::from(r.u16("option").ok()?);
        let value = r.take(len, "option").ok()?;
        self.rest = r.rest().get(padded(len) - len..).unwrap_or_default();
        Some((code, value))
    }
}

/// What a section says of its origin; empty texts are left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Section<'a> {
    /// The machine.
    pub hardware: &'a str,
    /// Its operating system.
    pub os: &'a str,
    /// The program that writes.
    pub application: &'a str,
}

/// A packet to write.
#[derive(Clone, Copy, Debug, Default)]
pub struct Packet<'a> {
    /// The number that [`Writer::interface`] gave.
    pub interface: u32,
    /// Nanoseconds since 1970-01-01 UTC.
    pub timestamp: u64,
    /// Which way it went, where known.
    pub direction: Option<Direction>,
    /// The bytes, as far as captured.
    pub data: &'a [u8],
    /// Bytes on the wire; less than `data.len()` means the same as `data.len()`.
    pub original_len: u32,
    /// Comments, one option each. What exceeds an option's 65,535 bytes is cut.
    pub comments: &'a [String],
}

/// Writes pcapng, little-endian, with times in nanoseconds, into a buffer that the caller empties.
#[derive(Clone, Debug)]
pub struct Writer {
    out: Vec<u8>,
    interfaces: u32,
}

impl Writer {
    /// Begins a file, or a further section of one.
    #[must_use]
    pub fn new(section: &Section<'_>) -> Self {
        let mut writer = Self {
            out: Vec::new(),
            interfaces: 0,
        };
        writer.block(BLOCK_SECTION, |out| {
            out.extend(BYTE_ORDER_MAGIC.to_le_bytes());
            out.extend([1, 0, 0, 0]);
            // The section's length is not known while it grows.
            out.extend([0xff; 8]);
            let texts = [
                (SHB_HARDWARE, section.hardware),
                (SHB_OS, section.os),
                (SHB_USERAPPL, section.application),
            ];
            let mut any = false;
            for (code, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
                option(out, code, text_of(text));
                any = true;
            }
            end_of_options(out, any);
        });
        writer
    }

    /// Declares an interface and gives its number in this section.
    pub fn interface(&mut self, name: &str, link_type: LinkType, snap_len: u32) -> u32 {
        self.block(BLOCK_INTERFACE, |out| {
            out.extend(link_type.0.to_le_bytes());
            out.extend([0, 0]);
            out.extend(snap_len.to_le_bytes());
            if !name.is_empty() {
                option(out, IF_NAME, text_of(name));
            }
            option(out, IF_TSRESOL, &[9]);
            end_of_options(out, true);
        });
        let id = self.interfaces;
        self.interfaces = id.saturating_add(1);
        id
    }

    /// Writes a packet.
    pub fn packet(&mut self, packet: &Packet<'_>) {
        self.block(BLOCK_ENHANCED, |out| {
            let captured = u32::try_from(packet.data.len()).unwrap_or(u32::MAX);
            let data = packet.data.get(..size(captured)).unwrap_or(packet.data);
            out.extend(packet.interface.to_le_bytes());
            // The upper half of the time comes first, each half in the section's byte order.
            let high = u32::try_from(packet.timestamp >> 32).unwrap_or(0);
            let low = u32::try_from(packet.timestamp & 0xffff_ffff).unwrap_or(0);
            out.extend(high.to_le_bytes());
            out.extend(low.to_le_bytes());
            out.extend(captured.to_le_bytes());
            out.extend(captured.max(packet.original_len).to_le_bytes());
            out.extend_from_slice(data);
            pad(out, data.len());
            if let Some(direction) = packet.direction {
                let flags: u32 = match direction {
                    Direction::In => 1,
                    Direction::Out => 2,
                };
                option(out, EPB_FLAGS, &flags.to_le_bytes());
            }
            for comment in packet.comments {
                option(out, OPT_COMMENT, text_of(comment));
            }
            end_of_options(
                out,
                packet.direction.is_some() || !packet.comments.is_empty(),
            );
        });
    }

    /// What has been written since the last call: hand it to the file.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.out)
    }

    /// What has been written and not taken.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        &self.out
    }

    /// Forgets what [`pending`](Self::pending) gave, and keeps its room.
    pub fn clear(&mut self) {
        self.out.clear();
    }

    fn block(&mut self, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.out.len();
        self.out.extend(kind.to_le_bytes());
        self.out.extend([0; 4]);
        body(&mut self.out);
        let length = self.out.len() - start + 4;
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
        self.out.extend(length);
        if let Some(field) = self.out.get_mut(start + 4..start + 8) {
            field.copy_from_slice(&length);
        }
    }
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    out.extend(u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(value);
    pad(out, value.len());
}

fn end_of_options(out: &mut Vec<u8>, any: bool) {
    if any {
        out.extend([0; 4]);
    }
}

fn pad(out: &mut Vec<u8>, len: usize) {
    out.extend(core::iter::repeat_n(0, padded(len) - len));
}

/// As much of a text as an option can hold, cut between characters.
fn text_of(text: &str) -> &[u8] {
    let mut end = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().as_bytes()
}

/// `len` rounded up to 32 bits.
const fn padded(len: usize) -> usize {
    len.saturating_add(3) & !3
}

/// A length field as a size; where it does not fit, no slice is that long either.
fn size(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

const NANOS: u64 = 1_000_000_000;
const MAGIC_MICROS: u32 = 0xa1b2_c3d4;
const MAGIC_NANOS: u32 = 0xa1b2_3c4d;
/// The variant of old Linux distributions, whose records carry eight bytes more.
const MAGIC_MODIFIED: u32 = 0xa1b2_cd34;
const MODIFIED_EXTRA: usize = 8;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Type and both lengths.
const BLOCK_OVERHEAD: usize = 12;
const BLOCK_SECTION: u32 = 0x0a0d_0d0a;
const BLOCK_INTERFACE: u32 = 1;
const BLOCK_OBSOLETE: u32 = 2;
const BLOCK_SIMPLE: u32 = 3;
const BLOCK_ENHANCED: u32 = 6;
const OPT_COMMENT: u16 = 1;
const SHB_HARDWARE: u16 = 2;
const SHB_OS: u16 = 3;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;
const EPB_FLAGS: u16 = 2;

/// Whether so few bytes may be the beginning of a capture.
fn is_cut_magic(bytes: &[u8]) -> bool {
    let classic = [MAGIC_MICROS, MAGIC_NANOS, MAGIC_MODIFIED];
    let mut all = classic.into_iter().chain([BLOCK_SECTION]);
    all.any(|m| m.to_be_bytes().starts_with(bytes) || m.to_le_bytes().starts_with(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::{vec, vec::Vec};

    type Row = (Option<u64>, u32, Vec<u8>, LinkType);

    fn rows(file: &[u8]) -> (Vec<Row>, Option<ParseError>) {
        let mut out = vec![];
        for record in Capture::parse(file).unwrap() {
            match record {
                Ok(r) => out.push((r.timestamp, r.original_len, r.data.to_vec(), r.link_type)),
                Err(e) => return (out, Some(e)),
            }
        }
        (out, None)
    }

    fn word(order: Order, v: u32) -> [u8; 4] {
        match order {
            Order::Big => v.to_be_bytes(),
            Order::Little => v.to_le_bytes(),
        }
    }

    fn words(order: Order, vs: &[u32]) -> Vec<u8> {
        vs.iter().flat_map(|v| word(order, *v)).collect()
    }

    #[test]
    fn what_is_shorter_than_a_magic_may_begin_one() {
        let cut = ParseError::Truncated("capture file header");
        let none = ParseError::Invalid("capture file magic");
        for (bytes, want) in [
            (&b""[..], cut),
            (&[0xd4, 0xc3], cut),
            (&[0xa1], cut),
            (&[0x0a, 0x0d, 0x0d], cut),
            (b"a\n", none),
            (&[0xd4, 0xc4], none),
            (&[0xd4, 0xc3, 0xb2, 0xa1, 2], cut),
        ] {
            assert_eq!(Capture::parse(bytes).err(), Some(want), "{bytes:?}");
        }
    }

    #[test]
    fn classic_in_both_orders_and_units() {
        for order in [Order::Big, Order::Little] {
            for (magic, ns) in [
                (MAGIC_MICROS, 5_000),
                (MAGIC_NANOS, 5),
                (MAGIC_MODIFIED, 5_000),
            ] {
                let mut file = words(order, &[magic, 0, 0, 0, 65535, 113]);
                file.extend(words(order, &[3, 5, 4, 60]));
                if magic == MAGIC_MODIFIED {
                    file.extend([0; 8]);
                }
                file.extend([9, 8, 7, 6]);
                let want = (
                    Some(3_000_000_000 + ns),
                    60,
                    vec![9, 8, 7, 6],
                    LinkType::LINUX_SLL,
                );
                assert_eq!(rows(&file), (vec![want.clone()], None));
                // A second record that the end of the file cuts short.
                file.extend(words(order, &[3, 5, 4, 60]));
                let cut = Some(ParseError::Truncated(if magic == MAGIC_MODIFIED {
                    "record header"
                } else {
                    "record"
                }));
                assert_eq!(rows(&file), (vec![want], cut));
            }
        }
    }

    fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(body.len() + 12).unwrap();
        let mut out = words(order, &[kind, len]);
        out.extend(body);
        out.extend(word(order, len));
        out
    }

    fn section(order: Order) -> Vec<u8> {
        let mut body = words(order, &[BYTE_ORDER_MAGIC]);
        body.extend(match order {
            Order::Big => [0, 1, 0, 0],
            Order::Little => [1, 0, 0, 0],
        });
        body.extend([0xff; 8]);
        block(order, BLOCK_SECTION, &body)
    }

    /// An interface block with options given as code, value.
    fn idb(order: Order, link: u16, snap: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
        let two = |v: u16| match order {
            Order::Big => v.to_be_bytes(),
            Order::Little => v.to_le_bytes(),
        };
        let mut body = two(link).to_vec();
        body.extend([0, 0]);
        body.extend(word(order, snap));
        for (code, value) in options {
            body.extend(two(*code));
            body.extend(two(u16::try_from(value.len()).unwrap()));
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        block(order, BLOCK_INTERFACE, &body)
    }

    #[test]
    fn blocks_of_all_kinds_in_sections_of_both_orders() {
        let mut file = vec![];
        for order in [Order::Big, Order::Little] {
            let offset = match order {
                Order::Big => 7i64.to_be_bytes(),
                Order::Little => 7i64.to_le_bytes(),
            };
            file.extend(section(order));
            file.extend(idb(order, 1, 3, &[]));
            file.extend(idb(order, 101, 0, &[(9, &[0x8a]), (14, &offset)]));
            file.extend(block(order, 0xbad, &[1, 2, 3, 4]));
            let epb = words(order, &[0, 0, 2_000_000, 1, 9]);
            file.extend(block(
                order,
                BLOCK_ENHANCED,
                &[&epb[..], &[0xaa, 0, 0, 0]].concat(),
            ));
            let epb = words(order, &[1, 0, 512, 1, 9]);
            file.extend(block(
                order,
                BLOCK_ENHANCED,
                &[&epb[..], &[0xbb, 0, 0, 0]].concat(),
            ));
            let spb = words(order, &[60]);
            file.extend(block(
                order,
                BLOCK_SIMPLE,
                &[&spb[..], &[1, 2, 3, 0]].concat(),
            ));
            let mut pb = idb(order, 1, 0, &[])[8..12].to_vec();
            pb[0..4].copy_from_slice(match order {
                Order::Big => &[0, 1, 0, 0],
                Order::Little => &[1, 0, 0, 0],
            });
            pb.extend(words(order, &[0, 1024, 4, 4]));
            file.extend(block(
                order,
                BLOCK_OBSOLETE,
                &[&pb[..], &[4, 3, 2, 1]].concat(),
            ));
        }
        let one = vec![
            (Some(2_000_000_000), 9, vec![0xaa], LinkType::ETHERNET),
            (Some(7_500_000_000), 9, vec![0xbb], LinkType::RAW),
            (None, 60, vec![1, 2, 3], LinkType::ETHERNET),
            (Some(8_000_000_000), 4, vec![4, 3, 2, 1], LinkType::RAW),
        ];
        assert_eq!(rows(&file), ([one.clone(), one].concat(), None));
    }

    fn written() -> Vec<u8> {
        let mut w = Writer::new(&Section {
            hardware: "",
            os: "x",
            application: "tapline",
        });
        let a = w.interface("tap0", LinkType::ETHERNET, 65535);
        let b = w.interface("tun0", LinkType::RAW, 0);
        w.packet(&Packet {
            interface: b,
            timestamp: 1_700_000_000_123_456_789,
            direction: Some(Direction::Out),
            data: &[1, 2, 3, 4, 5],
            original_len: 77,
            comments: &["drop: udp-no-socket".to_string(), "é".repeat(40_000)],
        });
        w.packet(&Packet {
            interface: a,
            data: &[6; 60],
            ..Packet::default()
        });
        w.take()
    }

    #[test]
    fn reads_what_it_wrote() {
        let file = written();
        let records: Vec<_> = Capture::parse(&file).unwrap().map(Result::unwrap).collect();
        let [first, second] = &records[..] else {
            panic!("{records:?}");
        };
        assert_eq!(first.timestamp, Some(1_700_000_000_123_456_789));
        assert_eq!((first.interface, first.link_type), (1, LinkType::RAW));
        assert_eq!((first.original_len, first.data), (77, &[1, 2, 3, 4, 5][..]));
        assert_eq!(first.direction(), Some(Direction::Out));
        let comments: Vec<_> = first.comments().collect();
        assert_eq!(comments[0], "drop: udp-no-socket");
        // Cut at 65,535 bytes would split a character of two: one byte less.
        assert_eq!(comments[1].len(), 65534);
        assert_eq!(second.direction(), None);
        assert_eq!(second.original_len, 60);
    }

    #[test]
    fn pieces_read_like_the_whole() {
        let mut big = section(Order::Big);
        big.extend(idb(Order::Big, 1, 0, &[]));
        let epb = words(Order::Big, &[0, 0, 1, 4, 4, 7]);
        big.extend(block(Order::Big, BLOCK_ENHANCED, &epb));
        let file = [written(), big].concat();
        for piece in [1, 7, 64, 70_000] {
            let mut out = vec![];
            let mut from;
            // Enough for the first block.
            let mut to = 100;
            let mut capture = Capture::parse(&file[..to]).unwrap();
            loop {
                for record in capture.by_ref() {
                    match record {
                        Ok(r) => {
                            out.push((r.timestamp, r.original_len, r.data.to_vec(), r.link_type))
                        }
                        Err(e) => assert!(matches!(e, ParseError::Truncated(_)), "{e}"),
                    }
                }
                from = to - capture.rest().len();
                if to == file.len() {
                    break;
                }
                to = (to + piece).min(file.len());
                capture = capture.resume(&file[from..to]);
            }
            assert_eq!(
                (from, out),
                (file.len(), rows(&file).0),
                "pieces of {piece}"
            );
        }
    }

    #[test]
    fn truncation_and_garbage_never_panic_and_end() {
        let file = written();
        for len in 0..file.len().min(400) {
            if let Ok(capture) = Capture::parse(&file[..len]) {
                assert!(capture.count() <= 3);
            }
        }
        let mut rng = crate::rng::Rng::from_seed(7);
        for _ in 0..2000 {
            let mut bytes = file[..300].to_vec();
            for _ in 0..4 {
                let at = usize::try_from(rng.next_u64() % 300).unwrap();
                bytes[at] = u8::try_from(rng.next_u64() & 0xff).unwrap();
            }
            if let Ok(capture) = Capture::parse(&bytes) {
                assert!(capture.count() <= 300);
            }
        }
    }
}
