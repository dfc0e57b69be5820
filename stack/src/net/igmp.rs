//! IGMP, the host's side: version 3 with source filters, and 2 and 1 where the querier is old.
//!
//! ```text
//!   socket --join, set_filter, leave--> [groups: who wants what] <--handle_message-- query
//!                                                |
//!                                          poll_transmit
//!                                                |
//!          version 3: reports to 224.0.0.22      |     version 2: to the group, leaves to 224.0.0.2
//! ```
//!
//! Read first: RFC 3376 §4.2 (reports), §5, §7.2; RFC 2236; RFC 1112 appendix I. The memberships
//! and timers are [`super::groups`]'s, what is told when [`super::listener`]'s; here are the bytes.
//!
//! Promises. All-systems (224.0.0.1) is always received and never reported.
//!
//! Left out: checks of TTL, checksum and header, which the caller makes before a message is parsed
//! and handed in; sending: the caller adds the header, with [`TTL`], [`TOS`] and [`ROUTER_ALERT`].

use super::groups::{self, Query, RecordKind, Version};
use super::listener::Listener;
use crate::reason::DropReason;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::Writer;
use crate::wire::igmp::{
    Message, Record, RecordType, Sources, V3Query, V3Report, decode_float, fill_checksum,
};
use alloc::vec::Vec;
use core::net::Ipv4Addr;

/// Messages stay on the link (RFC 3376 §4).
pub const TTL: u8 = 1;
/// Internetwork control (RFC 3376 §4).
pub const TOS: u8 = 0xc0;
/// The IPv4 option that each message carries (RFC 2113, RFC 3376 §4).
pub const ROUTER_ALERT: [u8; 4] = [0x94, 0x04, 0, 0];

/// All systems: asked, but never joined.
pub const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// All routers: where version 2 leaves go.
pub const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// All IGMPv3 routers: where version 3 reports go.
pub const ALL_V3_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);

/// Limits of an [`Igmp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Memberships and timers.
    pub groups: groups::Config,
    /// Longest message: what the link's MTU leaves after a header of 24 bytes.
    pub max_message: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            groups: groups::Config::default(),
            max_message: 1500 - 24,
        }
    }
}

/// IGMP on one interface.
///
/// ```
/// use stack::net::groups::FilterMode;
/// use stack::net::igmp::{ALL_V3_ROUTERS, Config, Igmp};
/// use stack::{rng::Rng, time::Instant};
/// let mut igmp = Igmp::new(Config::default(), Rng::from_seed(1));
/// let (now, group) = (Instant::ZERO, [239, 1, 2, 3].into());
/// igmp.join(now, 7, group, FilterMode::Exclude, &[]).unwrap();
/// assert!(igmp.accepts(group, [192, 0, 2, 1].into()));
/// let (dst, report) = igmp.poll_transmit(now).unwrap();
/// assert_eq!((dst, report[0]), (ALL_V3_ROUTERS, 0x22));
/// ```
pub type Igmp = Listener<Format>;

/// IGMP's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Format;

impl Igmp {
    /// No memberships.
    #[must_use]
    pub fn new(config: Config, rng: Rng) -> Self {
        Self::with_limits(config.groups, config.max_message, rng)
    }

    /// Takes a message that arrived for `dst`. The caller has checked its checksum and that its
    /// TTL was 1.
    ///
    /// # Errors
    /// Why the message is of no use here.
    pub fn handle_message(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        dst: Ipv4Addr,
    ) -> Result<(), DropReason> {
        //= RFC 3376 §4.1.12: a query to any address of ours counts, unicast included
        if dst.is_multicast() && !self.is_member(dst) {
            return Err(DropReason::IgmpIgnored);
        }
        match message {
            Message::V1Query { .. } => self.old_query(now, Version::V1, 100, Ipv4Addr::UNSPECIFIED),
            Message::V2Query { max_resp, group } => {
                self.old_query(now, Version::V2, u16::from(*max_resp), *group)
            }
            Message::V3Query(query) => self.query3(now, query),
            Message::V1Report { group, .. } | Message::V2Report { group, .. } => {
                if self.heard(*group) {
                    Ok(())
                } else {
                    Err(DropReason::IgmpIgnored)
                }
            }
            //= RFC 3376 §5: other messages are ignored in silence
            _ => Err(DropReason::IgmpIgnored),
        }
    }

    fn old_query(
        &mut self,
        now: Instant,
        version: Version,
        tenths: u16,
        group: Ipv4Addr,
    ) -> Result<(), DropReason> {
        let query = Query {
            version,
            group: asked_group(group)?,
            max_response: Duration::from_millis(u64::from(tenths) * 100),
            robustness: None,
            interval: None,
        };
        self.query(now, query, core::iter::empty());
        Ok(())
    }

    fn query3(&mut self, now: Instant, query: &V3Query<'_>) -> Result<(), DropReason> {
        let tenths = u64::from(decode_float(query.max_resp_code));
        let asked = Query {
            version: Version::V3,
            group: asked_group(query.group)?,
            max_response: Duration::from_millis(tenths * 100),
            robustness: Some(query.qrv),
            interval: Some(Duration::from_secs(u64::from(decode_float(query.qqic)))),
        };
        self.query(now, asked, query.sources.iter());
        Ok(())
    }
}

/// The group of a query: none is all of them.
fn asked_group(group: Ipv4Addr) -> Result<Option<Ipv4Addr>, DropReason> {
    match group {
        Ipv4Addr::UNSPECIFIED => Ok(None),
        group if group.is_multicast() => Ok(Some(group)),
        _ => Err(DropReason::IgmpMalformed),
    }
}

impl super::listener::Format for Format {
    type Addr = Ipv4Addr;
    const REPORT_HEAD: usize = 8;
    const RECORD_HEAD: usize = 8;
    const ADDR_LEN: usize = 4;

    fn record(kind: RecordKind, group: Ipv4Addr, sources: &[Ipv4Addr], to: &mut Vec<u8>) -> bool {
        let raw: Vec<u8> = sources.iter().flat_map(Ipv4Addr::octets).collect();
        let record = Record {
            record_type: RecordType(kind.number()),
            group,
            sources: Sources(&raw),
            aux: &[],
        };
        let start = to.len();
        to.resize(start + record.emit_len(), 0);
        let place = to.get_mut(start..).unwrap_or_default();
        record.emit(&mut Writer::new(place)).is_ok()
    }

    fn report(records: u16, body: &[u8]) -> Option<(Ipv4Addr, Vec<u8>)> {
        let message = Message::V3Report(V3Report {
            reserved: 0,
            reserved2: 0,
            num_records: records,
            body,
        });
        Some((ALL_V3_ROUTERS, emit(&message)?))
    }

    //= RFC 3376 §4.2.14: older reports go to the group they are about
    fn old_report(version: Version, group: Ipv4Addr) -> Option<(Ipv4Addr, Vec<u8>)> {
        let (unused, rest) = (0, &[][..]);
        let message = if version == Version::V1 {
            Message::V1Report {
                unused,
                group,
                rest,
            }
        } else {
            Message::V2Report {
                unused,
                group,
                rest,
            }
        };
        Some((group, emit(&message)?))
    }

    fn leave(group: Ipv4Addr) -> Option<(Ipv4Addr, Vec<u8>)> {
        let (unused, rest) = (0, &[][..]);
        let message = Message::V2Leave {
            unused,
            group,
            rest,
        };
        Some((ALL_ROUTERS, emit(&message)?))
    }
}

fn emit(message: &Message<'_>) -> Option<Vec<u8>> {
    let mut bytes = alloc::vec![0; message.emit_len()];
    message.emit(&mut Writer::new(&mut bytes), 0).ok()?;
    fill_checksum(&mut bytes);
    Some(bytes)
}

#[cfg(test)]
#[path = "tests/igmp.rs"]
mod tests;
