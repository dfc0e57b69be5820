//! Group membership messages of IPv4, versions 1 to 3 (RFC 1112 appendix I, RFC 2236, RFC 3376).
//!
//! ```text
//!  0                   1                   2                   3
//!  +---------------+---------------+-------------------------------+
//!  |     type      | max resp code |            checksum           |
//!  +---------------+---------------+-------------------------------+
//!  |                         group address                         |
//!  +-------+-+-----+---------------+-------------------------------+
//!  | resv  |S| QRV |     QQIC      |      number of sources        |   version 3 query only
//!  +-------+-+-----+---------------+-------------------------------+
//!  |  source addresses ...
//!
//!  +---------------+---------------+-------------------------------+
//!  |     0x22      |   reserved    |            checksum           |   version 3 report
//!  +---------------+---------------+-------------------------------+
//!  |           reserved            |       number of records       |
//!  +---------------+---------------+-------------------------------+
//!  |  record type  | aux data len  |      number of sources        |   each record
//!  +---------------+---------------+-------------------------------+
//!  |                         group address                         |
//!  +---------------------------------------------------------------+
//!  |  source addresses, auxiliary data ...
//! ```
//!
//! Read first: RFC 3376 §4 and §7.1 (how the version of a query shows); RFC 2236 §2.
//!
//! Lossless: reserved bits and bytes behind the message's end, which receivers ignore but whose
//! checksum they verify (RFC 3376 §4.1.10), are kept. Left out: DVMRP, PIM version 1 and mtrace,
//! which share the protocol number and come out as [`Message::Unknown`].

use super::checksum::{self, Sum};
use super::{ParseError, Reader, Writer};
use core::net::Ipv4Addr;

/// Length of a version 1 or 2 message.
pub const LEN: usize = 8;
/// The shortest version 3 query.
pub const V3_QUERY_LEN: usize = 12;

/// The type byte of each message that has a name here.
pub mod kind {
    /// Membership query, all versions.
    pub const QUERY: u8 = 0x11;
    /// Version 1 report.
    pub const V1_REPORT: u8 = 0x12;
    /// Version 2 report.
    pub const V2_REPORT: u8 = 0x16;
    /// Version 2 leave.
    pub const V2_LEAVE: u8 = 0x17;
    /// Version 3 report.
    pub const V3_REPORT: u8 = 0x22;
}

/// A message. `rest` is what follows its end, which should be nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message<'a> {
    /// Version 1 query: 8 bytes, maximum response code zero; answer within 10 s.
    V1Query {
        /// Should be zero: all groups.
        group: Ipv4Addr,
    },
    /// Version 2 query: 8 bytes.
    V2Query {
        /// Answer within this many tenths of a second; not zero.
        max_resp: u8,
        /// The group asked after; zero for all.
        group: Ipv4Addr,
    },
    /// Version 3 query: 12 bytes and more.
    V3Query(V3Query<'a>),
    /// Version 1 report: a host listens to the group.
    V1Report {
        /// Unused, should be zero.
        unused: u8,
        /// The group.
        group: Ipv4Addr,
        /// What follows.
        rest: &'a [u8],
    },
    /// Version 2 report: a host listens to the group.
    V2Report {
        /// Maximum response code, ignored; should be zero.
        unused: u8,
        /// The group.
        group: Ipv4Addr,
        /// What follows.
        rest: &'a [u8],
    },
    /// Version 2 leave: a host no longer listens to the group.
    V2Leave {
        /// Maximum response code, ignored; should be zero.
        unused: u8,
        /// The group.
        group: Ipv4Addr,
        /// What follows.
        rest: &'a [u8],
    },
    /// Version 3 report: a host's whole state, or how it changed.
    V3Report(V3Report<'a>),
    /// Any other.
    Unknown {
        /// Type.
        kind: u8,
        /// The byte behind the type.
        code: u8,
        /// Everything behind the checksum.
        rest: &'a [u8],
    },
}

/// A version 3 query (RFC 3376 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct V3Query<'a> {
    /// Maximum response code: tenths of a second in the form [`decode_float`] reads.
    pub max_resp_code: u8,
    /// The group asked after; zero for all.
    pub group: Ipv4Addr,
    /// Should be zero, 4 bits.
    pub reserved: u8,
    /// Other routers shall not update their timers.
    pub suppress: bool,
    /// Querier's robustness variable, 3 bits; zero where it exceeds 7.
    pub qrv: u8,
    /// Querier's query interval code: seconds in the form [`decode_float`] reads.
    pub qqic: u8,
    /// The sources asked after.
    pub sources: Sources<'a>,
    /// What follows.
    pub rest: &'a [u8],
}

/// A version 3 report (RFC 3376 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct V3Report<'a> {
    /// The byte behind the type, should be zero.
    pub reserved: u8,
    /// The bytes behind the checksum, should be zero.
    pub reserved2: u16,
    /// How many records there are said to be.
    pub num_records: u16,
    /// The records, raw, and what follows ([`records`](Self::records)).
    pub body: &'a [u8],
}

/// What a record says about its group (RFC 3376 §4.2.12; RFC 3810 §5.2.12 has the same).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordType(pub u8);

impl RecordType {
    /// State: these sources only.
    pub const MODE_IS_INCLUDE: Self = Self(1);
    /// State: all but these sources.
    pub const MODE_IS_EXCLUDE: Self = Self(2);
    /// Changed to: these sources only.
    pub const CHANGE_TO_INCLUDE: Self = Self(3);
    /// Changed to: all but these sources.
    pub const CHANGE_TO_EXCLUDE: Self = Self(4);
    /// These sources also.
    pub const ALLOW_NEW_SOURCES: Self = Self(5);
    /// These sources no longer.
    pub const BLOCK_OLD_SOURCES: Self = Self(6);
}

/// A group record of a version 3 report (RFC 3376 §4.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record<'a> {
    /// What it says.
    pub record_type: RecordType,
    /// Of which group.
    pub group: Ipv4Addr,
    /// The sources.
    pub sources: Sources<'a>,
    /// Auxiliary data, a multiple of 4 bytes; ignored, and never sent.
    pub aux: &'a [u8],
}

/// A list of source addresses, raw: a multiple of 4 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Sources<'a>(pub &'a [u8]);

impl<'a> Sources<'a> {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len() / 4
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The addresses.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Ipv4Addr> + use<'a> {
        self.0.as_chunks().0.iter().map(|&b: &[u8; 4]| b.into())
    }

    fn take(r: &mut Reader<'a>, count: u16) -> Result<Self, ParseError> {
        let bytes = r.take(usize::from(count) * 4, "IGMP sources")?;
        Ok(Self(bytes))
    }

    /// The count field.
    fn count(&self) -> Result<u16, ParseError> {
        if !self.0.len().is_multiple_of(4) {
            return Err(ParseError::Invalid("IGMP sources"));
        }
        u16::try_from(self.len()).map_err(|_| ParseError::Invalid("IGMP number of sources"))
    }
}

impl<'a> Message<'a> {
    /// Parses a whole message: `bytes` must end where the datagram does, since the length tells
    /// the version of a query. The number is the checksum as carried.
    ///
    /// # Errors
    /// [`ParseError::Truncated`] where its type needs more, [`ParseError::Invalid`] for a query
    /// longer than version 2's and shorter than version 3's.
    pub fn parse(bytes: &'a [u8]) -> Result<(u16, Self), ParseError> {
        let mut r = Reader::new(bytes);
        let [kind, code] = r.array("IGMP header")?;
        let checksum = r.u16("IGMP header")?;
        let message = match kind {
            kind::QUERY => Self::parse_query(code, &mut r)?,
            kind::V1_REPORT | kind::V2_REPORT | kind::V2_LEAVE => {
                let group = r.array::<4>("IGMP group")?.into();
                let (unused, rest) = (code, r.rest());
                match kind {
                    kind::V1_REPORT => Self::V1Report {
                        unused,
                        group,
                        rest,
                    },
                    kind::V2_REPORT => Self::V2Report {
                        unused,
                        group,
                        rest,
                    },
                    _ => Self::V2Leave {
                        unused,
                        group,
                        rest,
                    },
                }
            }
            kind::V3_REPORT => Self::V3Report(V3Report {
                reserved: code,
                reserved2: r.u16("IGMP report")?,
                num_records: r.u16("IGMP report")?,
                body: r.rest(),
            }),
            _ => Self::Unknown {
                kind,
                code,
                rest: r.rest(),
            },
        };
        Ok((checksum, message))
    }

    fn parse_query(code: u8, r: &mut Reader<'a>) -> Result<Self, ParseError> {
        let group = r.array::<4>("IGMP group")?.into();
        //= RFC 3376 §7.1: the length of a query tells its version, then the response code does
        if r.is_empty() {
            return Ok(match code {
                0 => Self::V1Query { group },
                max_resp => Self::V2Query { max_resp, group },
            });
        }
        let Ok([flags, qqic]) = r.array("IGMP query") else {
            return Err(ParseError::Invalid("IGMP query length"));
        };
        let count = r.u16("IGMP query");
        let count = count.map_err(|_| ParseError::Invalid("IGMP query length"))?;
        Ok(Self::V3Query(V3Query {
            max_resp_code: code,
            group,
            reserved: flags >> 4,
            suppress: flags & 8 != 0,
            qrv: flags & 7,
            qqic,
            sources: Sources::take(r, count)?,
            rest: r.rest(),
        }))
    }

    /// The type.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::V1Query { .. } | Self::V2Query { .. } | Self::V3Query(_) => kind::QUERY,
            Self::V1Report { .. } => kind::V1_REPORT,
            Self::V2Report { .. } => kind::V2_REPORT,
            Self::V2Leave { .. } => kind::V2_LEAVE,
            Self::V3Report(_) => kind::V3_REPORT,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// The byte behind the type.
    const fn code(&self) -> u8 {
        match self {
            Self::V1Query { .. } => 0,
            Self::V2Query { max_resp: code, .. }
            | Self::V1Report { unused: code, .. }
            | Self::V2Report { unused: code, .. }
            | Self::V2Leave { unused: code, .. }
            | Self::Unknown { code, .. } => *code,
            Self::V3Query(query) => query.max_resp_code,
            Self::V3Report(report) => report.reserved,
        }
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        match self {
            Self::V1Query { .. } | Self::V2Query { .. } => LEN,
            Self::V1Report { rest, .. }
            | Self::V2Report { rest, .. }
            | Self::V2Leave { rest, .. } => LEN + rest.len(),
            Self::V3Query(query) => V3_QUERY_LEN + query.sources.0.len() + query.rest.len(),
            Self::V3Report(report) => LEN + report.body.len(),
            Self::Unknown { rest, .. } => 4 + rest.len(),
        }
    }

    /// Writes the message with this checksum ([`fill_checksum`] sets the right one afterwards).
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], or [`ParseError::Invalid`] where a field does not fit its bits.
    pub fn emit(&self, w: &mut Writer<'_>, checksum: u16) -> Result<(), ParseError> {
        w.put(&[self.kind(), self.code()])?;
        w.u16(checksum)?;
        match self {
            Self::V1Query { group } => w.put(&group.octets()),
            Self::V2Query { max_resp: 0, .. } => {
                Err(ParseError::Invalid("IGMP maximum response time"))
            }
            Self::V2Query { group, .. } => w.put(&group.octets()),
            Self::V1Report { group, rest, .. }
            | Self::V2Report { group, rest, .. }
            | Self::V2Leave { group, rest, .. } => {
                w.put(&group.octets())?;
                w.put(rest)
            }
            Self::V3Query(query) => query.emit(w),
            Self::V3Report(report) => {
                w.u16(report.reserved2)?;
                w.u16(report.num_records)?;
                w.put(report.body)
            }
            Self::Unknown { rest, .. } => w.put(rest),
        }
    }
}

impl V3Query<'_> {
    fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        if self.reserved >= 16 || self.qrv >= 8 {
            return Err(ParseError::Invalid("IGMP query flags"));
        }
        w.put(&self.group.octets())?;
        let flags = self.reserved << 4 | u8::from(self.suppress) << 3 | self.qrv;
        w.put(&[flags, self.qqic])?;
        w.u16(self.sources.count()?)?;
        w.put(self.sources.0)?;
        w.put(self.rest)
    }
}

impl<'a> V3Report<'a> {
    /// The records one by one, as many as are counted; an error ends the list.
    #[must_use]
    pub const fn records(&self) -> Records<'a> {
        Records {
            left: self.num_records,
            reader: Reader::new(self.body),
        }
    }
}

impl<'a> Record<'a> {
    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        8 + self.sources.0.len() + self.aux.len()
    }

    /// Writes the record.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], or [`ParseError::Invalid`] where lengths do not fit their fields.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        const AUX: ParseError = ParseError::Invalid("IGMP auxiliary data length");
        if !self.aux.len().is_multiple_of(4) {
            return Err(AUX);
        }
        let aux_words = u8::try_from(self.aux.len() / 4).map_err(|_| AUX)?;
        w.put(&[self.record_type.0, aux_words])?;
        w.u16(self.sources.count()?)?;
        w.put(&self.group.octets())?;
        w.put(self.sources.0)?;
        w.put(self.aux)
    }

    fn parse(r: &mut Reader<'a>) -> Result<Self, ParseError> {
        let [record_type, aux_words] = r.array("IGMP record")?;
        let count = r.u16("IGMP record")?;
        let group = r.array::<4>("IGMP record")?.into();
        Ok(Self {
            record_type: RecordType(record_type),
            group,
            sources: Sources::take(r, count)?,
            aux: r.take(usize::from(aux_words) * 4, "IGMP auxiliary data")?,
        })
    }
}

/// Goes through the records of a report.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    left: u16,
    reader: Reader<'a>,
}

impl<'a> Records<'a> {
    /// What follows the records gone through so far.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.reader.rest()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let record = Record::parse(&mut self.reader);
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

/// Whether the checksum over `message` (all of it) holds.
#[must_use]
pub fn verify(message: &[u8]) -> bool {
    checksum::of(message) == 0
}

/// Sets the checksum of an emitted message; one below 4 bytes is left alone.
pub fn fill_checksum(message: &mut [u8]) {
    if let Some((head, rest)) = message.split_first_chunk_mut::<4>() {
        let [kind, code, ..] = *head;
        let mut sum = Sum::new();
        sum.add(&[kind, code]);
        sum.add(rest);
        let [c0, c1] = sum.finish().to_be_bytes();
        *head = [kind, code, c0, c1];
    }
}

/// The number that a response or interval code stands for (RFC 3376 §4.1.1, §4.1.7): itself below
/// 128, from there a mantissa of 4 bits under a leading one, shifted by an exponent.
#[must_use]
pub fn decode_float(code: u8) -> u16 {
    match code {
        0..128 => u16::from(code),
        _ => u16::from(code & 0x0f | 0x10) << (3 + (code >> 4 & 7)),
    }
}

/// The largest code that stands for no more than `value`; beyond the range, the largest there is.
#[must_use]
pub fn encode_float(value: u16) -> u8 {
    if let Ok(code @ 0..128) = u8::try_from(value) {
        return code;
    }
    // The leading one of at least 128 is at bit 7 or above: exponent zero.
    let exponent = (8 - value.leading_zeros()).min(7);
    let mantissa = (value >> (exponent + 3)).min(31) & 15;
    let [_, _, _, exponent] = exponent.to_be_bytes();
    let [_, mantissa] = mantissa.to_be_bytes();
    0x80 | exponent << 4 | mantissa
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

    fn round(bytes: &[u8]) -> Message<'_> {
        let (checksum, message) = Message::parse(bytes).unwrap();
        let mut out = std::vec![0; message.emit_len()];
        message.emit(&mut Writer::new(&mut out), checksum).unwrap();
        assert_eq!(out, bytes);
        message
    }

    #[test]
    fn versions_show() {
        let (group, rest) = (GROUP, &[][..]);
        let of = |kind, code| [kind, code, 0xaa, 0xbb, 239, 1, 2, 3];
        assert_eq!(round(&of(0x11, 0)), Message::V1Query { group });
        let max_resp = 100;
        let query = Message::V2Query { max_resp, group };
        assert_eq!(round(&of(0x11, 100)), query);
        let unused = 0;
        let (v1, v2, leave) = (
            Message::V1Report {
                unused,
                group,
                rest,
            },
            Message::V2Report {
                unused,
                group,
                rest,
            },
            Message::V2Leave {
                unused,
                group,
                rest,
            },
        );
        for (kind, want) in [(0x12, v1), (0x16, v2), (0x17, leave)] {
            assert_eq!(round(&of(kind, 0)), want);
            assert_eq!(want.kind(), kind);
        }
        assert!(matches!(round(&of(0x13, 1)), Message::Unknown { .. }));
        for len in 0..8 {
            assert!(Message::parse(&of(0x11, 0)[..len]).is_err());
        }
        // RFC 3376 §7.1: queries of 9 to 11 bytes are of no version.
        for len in 9..12 {
            let mut bytes = std::vec![0; len];
            bytes[0] = 0x11;
            let want = ParseError::Invalid("IGMP query length");
            assert_eq!(Message::parse(&bytes), Err(want));
        }
    }

    #[test]
    fn version_3_query() {
        let bytes = [
            0x11, 0x80, 0, 0, 239, 1, 2, 3, 0xad, 0x90, 0, 2, 10, 0, 0, 1, 10, 0, 0, 2, 9,
        ];
        let Message::V3Query(query) = round(&bytes) else {
            panic!("not a version 3 query");
        };
        assert_eq!((query.reserved, query.suppress, query.qrv), (10, true, 5));
        assert_eq!((query.max_resp_code, query.qqic), (0x80, 0x90));
        let sources: Vec<_> = query.sources.iter().collect();
        assert_eq!(sources, [[10, 0, 0, 1].into(), Ipv4Addr::new(10, 0, 0, 2)]);
        assert_eq!(query.rest, [9]);
        let want = ParseError::Truncated("IGMP sources");
        assert_eq!(Message::parse(&bytes[..19]), Err(want));
    }

    #[test]
    fn version_3_report() {
        let bytes = [
            0x22, 0, 0, 0, 0, 0, 0, 2, //
            4, 0, 0, 0, 239, 1, 2, 3, //
            6, 1, 0, 1, 239, 1, 2, 4, 10, 0, 0, 1, 1, 2, 3, 4, 0xee,
        ];
        let Message::V3Report(report) = round(&bytes) else {
            panic!("not a version 3 report");
        };
        let mut records = report.records();
        let mut out = std::vec![0; 24];
        let mut w = Writer::new(&mut out);
        let first = records.next().unwrap().unwrap();
        assert_eq!(first.record_type, RecordType::CHANGE_TO_EXCLUDE);
        assert_eq!((first.group, first.sources.is_empty()), (GROUP, true));
        let second = records.next().unwrap().unwrap();
        assert_eq!(second.record_type, RecordType::BLOCK_OLD_SOURCES);
        assert_eq!((second.sources.len(), second.aux), (1, &[1, 2, 3, 4][..]));
        assert_eq!((records.next(), records.rest()), (None, &[0xee][..]));
        first.emit(&mut w).unwrap();
        second.emit(&mut w).unwrap();
        assert_eq!(first.emit_len() + second.emit_len(), 24);
        assert_eq!(out, bytes[8..32]);
        // A count beyond what is there ends in one error.
        for len in 8..32 {
            let Message::V3Report(report) = round(&bytes[..len]) else {
                panic!("not a version 3 report");
            };
            let errors = report.records().filter(Result::is_err).count();
            assert_eq!(errors, 1, "{len}");
        }
    }

    #[test]
    fn emits_nothing_that_reads_as_something_else() {
        let query = V3Query {
            max_resp_code: 1,
            group: GROUP,
            reserved: 0,
            suppress: false,
            qrv: 2,
            qqic: 125,
            sources: Sources(&[]),
            rest: &[],
        };
        let bad = [
            Message::V2Query {
                max_resp: 0,
                group: GROUP,
            },
            Message::V3Query(V3Query { qrv: 8, ..query }),
            Message::V3Query(V3Query {
                reserved: 16,
                ..query
            }),
            Message::V3Query(V3Query {
                sources: Sources(&[1, 2, 3]),
                ..query
            }),
        ];
        for message in bad {
            let emitted = message.emit(&mut Writer::new(&mut [0; 64]), 0);
            assert!(
                matches!(emitted, Err(ParseError::Invalid(_))),
                "{message:?}"
            );
        }
    }

    #[test]
    fn checksum_fills_and_verifies() {
        let mut bytes = [0x16, 0, 9, 9, 239, 1, 2, 3];
        assert!(!verify(&bytes));
        fill_checksum(&mut bytes);
        assert!(verify(&bytes));
        fill_checksum(&mut bytes[..3]);
    }

    #[test]
    fn floats() {
        for (code, value) in [(0, 0), (127, 127), (0x80, 128), (0x81, 136), (0xff, 31744)] {
            assert_eq!(decode_float(code), value);
        }
        for code in 0..=255 {
            assert_eq!(encode_float(decode_float(code)), code);
        }
        for value in 0..=u16::MAX {
            let code = encode_float(value);
            assert!(decode_float(code) <= value);
            assert!(code == 255 || decode_float(code + 1) > value);
        }
    }
}
