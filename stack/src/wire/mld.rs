//! Multicast Listener Discovery, versions 1 and 2, as ICMPv6 bodies (RFC 2710, RFC 3810).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!  +-------------------------------+-------------------------------+
//!  |     maximum response code     |           reserved            |  all but
//!  +-------------------------------+-------------------------------+  version 2
//!  |                 multicast address (128 bits)                  |  reports
//!  +-------+-+-----+---------------+-------------------------------+
//!  | resv  |S| QRV |     QQIC      |       number of sources       |  version 2
//!  +-------+-+-----+---------------+-------------------------------+  queries
//!  |                   source addresses ...                        |  only
//!  +---------------------------------------------------------------+
//! ```
//!
//! Read first: RFC 2710 §3 (version 1), RFC 3810 §5 (version 2), §8.1 (telling queries apart).
//!
//! Promises: reserved fields, auxiliary data and bytes beyond the message are kept, so that each
//! message re-emits its bytes.
//!
//! Left out: the checks on source address, hop limit and router alert (RFC 3810 §5.1.14, §6.2),
//! which are the machine's.

pub use super::igmp::RecordType;
use super::ipv6::Addresses;
use super::{ParseError, Reader, Writer};
use core::net::Ipv6Addr;

/// A query of either version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Query<'a> {
    /// See [`max_response_delay`](Self::max_response_delay).
    pub max_response_code: u16,
    /// Zero when sent.
    pub reserved: u16,
    /// The group asked for; unspecified in a general query.
    pub group: Ipv6Addr,
    /// What version 2 adds.
    pub v2: Option<QueryV2<'a>>,
}

/// What a version 2 query adds (RFC 3810 §5.1.7–5.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueryV2<'a> {
    /// 4 bits, zero when sent.
    pub reserved: u8,
    /// S: routers are not to update their timers.
    pub suppress: bool,
    /// The querier's robustness variable, 3 bits; zero where it exceeds 7.
    pub qrv: u8,
    /// The querier's query interval, coded; see [`decode_interval`].
    pub qqic: u8,
    /// The sources asked for.
    pub sources: Addresses<'a>,
    /// Bytes beyond the message: ignored, but part of its checksum (RFC 3810 §5.1.12).
    pub rest: &'a [u8],
}

impl<'a> Query<'a> {
    /// Parses what follows the ICMPv6 header. The length tells the version.
    ///
    /// # Errors
    /// [`ParseError::Truncated`], and [`ParseError::Invalid`] for a length of neither version.
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        let max_response_code = r.u16("MLD maximum response code")?;
        let reserved = r.u16("MLD reserved field")?;
        let group = r.array::<16>("MLD multicast address")?.into();
        //= RFC 3810 §8.1 24 bytes with the ICMPv6 header are version 1, 28 and more version 2, a
        // query of any other length is ignored.
        let v2 = match r.rest().len() {
            0 => None,
            1..4 => return Err(ParseError::Invalid("MLD query length")),
            _ => Some(QueryV2::parse(r)?),
        };
        Ok(Self {
            max_response_code,
            reserved,
            group,
            v2,
        })
    }

    /// Milliseconds within which to answer: coded in version 2 only (RFC 2710 §3.4, RFC 3810
    /// §5.1.3).
    #[must_use]
    pub fn max_response_delay(&self) -> u32 {
        match self.v2 {
            None => u32::from(self.max_response_code),
            Some(_) => decode_delay(self.max_response_code),
        }
    }

    /// Writes what precedes [`tails`](Self::tails).
    pub(super) fn emit_fixed(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        w.u16(self.max_response_code)?;
        w.u16(self.reserved)?;
        w.put(&self.group.octets())?;
        let Some(v2) = self.v2 else {
            return Ok(());
        };
        if v2.reserved > 0xf || v2.qrv > 7 {
            return Err(ParseError::Invalid("MLD robustness variable"));
        }
        let count =
            u16::try_from(v2.sources.len()).map_err(|_| ParseError::Invalid("MLD source count"))?;
        w.u8(v2.reserved << 4 | u8::from(v2.suppress) << 3 | v2.qrv)?;
        w.u8(v2.qqic)?;
        w.u16(count)
    }

    pub(super) const fn tails(&self) -> [&'a [u8]; 2] {
        match self.v2 {
            None => [&[], &[]],
            Some(v2) => [v2.sources.as_bytes(), v2.rest],
        }
    }
}

impl<'a> QueryV2<'a> {
    fn parse(mut r: Reader<'a>) -> Result<Self, ParseError> {
        let flags = r.u8("MLD flags")?;
        let qqic = r.u8("MLD query interval")?;
        let sources = read_addresses(&mut r)?;
        Ok(Self {
            reserved: flags >> 4,
            suppress: flags & 8 != 0,
            qrv: flags & 7,
            qqic,
            sources,
            rest: r.rest(),
        })
    }
}

/// A 16-bit count and that many sources.
fn read_addresses<'a>(r: &mut Reader<'a>) -> Result<Addresses<'a>, ParseError> {
    let count = r.u16("MLD source count")?;
    let bytes = r.take(usize::from(count) * 16, "MLD sources")?;
    Addresses::new(bytes).ok_or(ParseError::Invalid("MLD sources"))
}

/// A version 1 report or done message (RFC 2710 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReportV1<'a> {
    /// Zero when sent.
    pub max_response_delay: u16,
    /// Zero when sent.
    pub reserved: u16,
    /// The group listened to, or no longer.
    pub group: Ipv6Addr,
    /// Bytes beyond the message: ignored (RFC 2710 §3.7).
    pub rest: &'a [u8],
}

impl<'a> ReportV1<'a> {
    /// Parses what follows the ICMPv6 header.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        Ok(Self {
            max_response_delay: r.u16("MLD maximum response delay")?,
            reserved: r.u16("MLD reserved field")?,
            group: r.array::<16>("MLD multicast address")?.into(),
            rest: r.rest(),
        })
    }

    /// Writes what precedes `rest`.
    pub(super) fn emit_fixed(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        w.u16(self.max_response_delay)?;
        w.u16(self.reserved)?;
        w.put(&self.group.octets())
    }
}

/// A version 2 report (RFC 3810 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReportV2<'a> {
    /// Zero when sent.
    pub reserved: u16,
    /// How many records follow.
    pub count: u16,
    /// The records, and bytes beyond the message; see [`records`](Self::records).
    pub records: &'a [u8],
}

impl<'a> ReportV2<'a> {
    /// Parses what follows the ICMPv6 header.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        Ok(Self {
            reserved: r.u16("MLD reserved field")?,
            count: r.u16("MLD record count")?,
            records: r.rest(),
        })
    }

    /// Writes what precedes the records.
    pub(super) fn emit_fixed(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        w.u16(self.reserved)?;
        w.u16(self.count)
    }

    /// The records, as many as announced, or up to the error that ends them.
    #[must_use]
    pub const fn records(&self) -> Records<'a> {
        Records {
            reader: Reader::new(self.records),
            left: self.count,
        }
    }
}

/// A multicast address record (RFC 3810 §5.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record<'a> {
    /// What it says.
    pub kind: RecordType,
    /// The group.
    pub group: Ipv6Addr,
    /// The sources it is said about.
    pub sources: Addresses<'a>,
    /// Auxiliary data, a multiple of 4 long; none is defined.
    pub aux: &'a [u8],
}

impl<'a> Record<'a> {
    fn read(r: &mut Reader<'a>) -> Result<Self, ParseError> {
        let kind = RecordType(r.u8("MLD record type")?);
        let aux_words = r.u8("MLD auxiliary data length")?;
        let count = r.u16("MLD source count")?;
        let group = r.array::<16>("MLD record's address")?.into();
        let sources = r.take(usize::from(count) * 16, "MLD sources")?;
        Ok(Self {
            kind,
            group,
            sources: Addresses::new(sources).ok_or(ParseError::Invalid("MLD sources"))?,
            aux: r.take(usize::from(aux_words) * 4, "MLD auxiliary data")?,
        })
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        20 + self.sources.as_bytes().len() + self.aux.len()
    }

    /// Writes the record.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], and [`ParseError::Invalid`] where a length cannot be told.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        const BAD_AUX: ParseError = ParseError::Invalid("MLD auxiliary data length");
        if !self.aux.len().is_multiple_of(4) {
            return Err(BAD_AUX);
        }
        let count = u16::try_from(self.sources.len())
            .map_err(|_| ParseError::Invalid("MLD source count"))?;
        w.u8(self.kind.0)?;
        w.u8(u8::try_from(self.aux.len() / 4).map_err(|_| BAD_AUX)?)?;
        w.u16(count)?;
        w.put(&self.group.octets())?;
        w.put(self.sources.as_bytes())?;
        w.put(self.aux)
    }
}

/// The walk that [`ReportV2::records`] starts.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    reader: Reader<'a>,
    left: u16,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let record = Record::read(&mut self.reader);
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

/// Milliseconds that a version 2 maximum response code stands for (RFC 3810 §5.1.3).
#[must_use]
pub fn decode_delay(code: u16) -> u32 {
    if code < 1 << 15 {
        return u32::from(code);
    }
    (u32::from(code & 0xfff) | 0x1000) << ((code >> 12 & 7) + 3)
}

/// The code for the longest delay that can be told and does not exceed `millis`.
#[must_use]
pub fn encode_delay(millis: u32) -> u16 {
    if let Ok(code) = u16::try_from(millis)
        && code < 1 << 15
    {
        return code;
    }
    let millis = millis.min(decode_delay(u16::MAX));
    // The top bit stands for 0x1000 in the mantissa; it is bit 15 at least.
    let exponent = 16_u32.saturating_sub(millis.leading_zeros());
    let mantissa = (millis >> (exponent + 3)) & 0xfff;
    u16::try_from(1 << 15 | exponent << 12 | mantissa).unwrap_or(u16::MAX)
}

/// Seconds that a querier's query interval code stands for (RFC 3810 §5.1.9).
#[must_use]
pub fn decode_interval(code: u8) -> u32 {
    if code < 1 << 7 {
        return u32::from(code);
    }
    (u32::from(code & 0xf) | 0x10) << ((code >> 4 & 7) + 3)
}

/// The code for the longest interval that can be told and does not exceed `secs`.
#[must_use]
pub fn encode_interval(secs: u32) -> u8 {
    if let Ok(code) = u8::try_from(secs)
        && code < 1 << 7
    {
        return code;
    }
    let secs = secs.min(decode_interval(u8::MAX));
    // The top bit stands for 0x10 in the mantissa; it is bit 7 at least.
    let exponent = 24_u32.saturating_sub(secs.leading_zeros());
    let mantissa = (secs >> (exponent + 3)) & 0xf;
    u8::try_from(1 << 7 | exponent << 4 | mantissa).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn delays_and_intervals() {
        for (code, millis) in [
            (0, 0),
            (32_767, 32_767),
            (0x8000, 32_768),
            (0x8001, 32_776),
            (0x9000, 65_536),
            (0xffff, 8_387_584),
        ] {
            assert_eq!(decode_delay(code), millis, "{code:#x}");
            assert_eq!(encode_delay(millis), code, "{millis}");
        }
        for code in 0..=u16::MAX {
            assert_eq!(encode_delay(decode_delay(code)), code);
        }
        for code in 0..=u8::MAX {
            assert_eq!(encode_interval(decode_interval(code)), code);
        }
        assert_eq!(encode_delay(32_775), 0x8000);
        assert_eq!(encode_delay(u32::MAX), u16::MAX);
        assert_eq!(decode_interval(0x80), 128);
        assert_eq!(encode_interval(u32::MAX), u8::MAX);
    }

    #[test]
    fn the_length_tells_the_version() {
        let mut body = vec![0; 20];
        body[0] = 0x80;
        let v1 = Query::parse(&body).unwrap();
        assert_eq!((v1.v2, v1.max_response_delay()), (None, 32_768));
        for len in 21..24 {
            body.resize(len, 0);
            let error = Err(ParseError::Invalid("MLD query length"));
            assert_eq!(Query::parse(&body), error);
        }
        body[1] = 1;
        body.extend([0x5a, 7, 0, 1]);
        body.remove(20);
        body.remove(20);
        body.remove(20);
        assert!(Query::parse(&body).is_err());
        body.extend([9; 17]);
        let v2 = Query::parse(&body).unwrap();
        assert_eq!(v2.max_response_delay(), 32_776);
        let added = v2.v2.unwrap();
        assert_eq!((added.reserved, added.suppress, added.qrv), (5, true, 2));
        assert_eq!((added.sources.len(), added.rest.len()), (1, 1));
    }

    #[test]
    fn records_round_trip_and_end_at_an_error() {
        let sources = [7; 32];
        let records = [
            Record {
                kind: RecordType::CHANGE_TO_EXCLUDE,
                group: Ipv6Addr::from([0xff; 16]),
                sources: Addresses::default(),
                aux: &[],
            },
            Record {
                kind: RecordType::ALLOW_NEW_SOURCES,
                group: Ipv6Addr::from([0xfe; 16]),
                sources: Addresses::new(&sources).unwrap(),
                aux: &[1; 8],
            },
        ];
        let mut bytes = vec![0; records.iter().map(Record::emit_len).sum()];
        let mut w = Writer::new(&mut bytes);
        for record in &records {
            record.emit(&mut w).unwrap();
        }
        let mut report = ReportV2 {
            reserved: 0,
            count: 2,
            records: &bytes,
        };
        let got: Vec<_> = report.records().map(Result::unwrap).collect();
        assert_eq!(got, records);
        report.count = 9;
        let got: Vec<_> = report.records().collect();
        assert!(got.len() == 3 && got[2].is_err(), "{got:?}");
    }
}
