//! Multicast listener discovery, the host's side: version 2 with source filters, and 1 where the
//! querier is old.
//!
//! ```text
//!   socket, address --join, leave--> [groups: who wants what] <--handle_message-- query
//!                                                |
//!                                          poll_transmit
//!                                                |
//!              version 2: reports to ff02::16    |     version 1: to the group, dones to ff02::2
//! ```
//!
//! Read first: RFC 3810 §5, §6, §8; RFC 2710 §3 to §5; RFC 3590 (before there is a link-local
//! address). The memberships and timers are those of IGMP, [`super::groups`]; version 1 works as
//! IGMP's 2, version 2 as IGMP's 3. What is told when is [`super::listener`]'s; here are the bytes.
//!
//! Promises. All nodes (ff02::1) is always received, and neither that nor what stays on the node
//! is reported.
//!
//! Left out: the ICMPv6 checksum of what arrives, which the caller has seen to; the header of what
//! leaves, with [`HOP_LIMIT`] and [`ROUTER_ALERT`], and its checksum, which needs the source: see
//! [`seal`].

use super::groups::{self, Query, RecordKind, Version};
use super::listener::Listener;
use crate::reason::DropReason;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::icmpv6::{self, Message};
use crate::wire::ipv6::Addresses;
use crate::wire::mld::{self, Record, RecordType, ReportV1, ReportV2, decode_interval};
use crate::wire::{Protocol, Writer};
use alloc::vec::Vec;
use core::net::Ipv6Addr;

/// Messages stay on the link (RFC 3810 §5).
pub const HOP_LIMIT: u8 = 1;
/// The hop-by-hop header that each message carries: ICMPv6 follows, router alert for MLD
/// (RFC 2711), and two bytes of padding.
pub const ROUTER_ALERT: [u8; 8] = [58, 0, 5, 2, 0, 0, 1, 0];

/// All routers: where version 1's dones go.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// All MLDv2-capable routers: where version 2's reports go.
pub const ALL_V2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Who sent it.
    pub src: Ipv6Addr,
    /// To whom.
    pub dst: Ipv6Addr,
    /// Its hop limit.
    pub hop_limit: u8,
    /// Whether it had the router alert option.
    pub alert: bool,
}

/// MLD on one interface.
///
/// ```
/// use stack::net::groups::{Config, FilterMode};
/// use stack::net::mld::{ALL_V2_ROUTERS, Mld};
/// use stack::{rng::Rng, time::Instant};
/// let mut mld = Mld::new(Config::default(), 1500 - 48, Rng::from_seed(1));
/// let (now, group) = (Instant::ZERO, "ff05::7".parse().unwrap());
/// mld.join(now, 7, group, FilterMode::Exclude, &[]).unwrap();
/// assert!(mld.accepts(group, "2001:db8::1".parse().unwrap()));
/// let (dst, report) = mld.poll_transmit(now).unwrap();
/// assert_eq!((dst, report[0]), (ALL_V2_ROUTERS, 143));
/// ```
pub type Mld = Listener<Format>;

/// MLD's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Format;

/// Whether a message of this type is MLD's.
#[must_use]
pub const fn is_listener_discovery(kind: u8) -> bool {
    use icmpv6::kind::{MLD_DONE, MLD_QUERY, MLD_REPORT, MLD_REPORT_V2};
    matches!(kind, MLD_QUERY | MLD_REPORT | MLD_DONE | MLD_REPORT_V2)
}

impl Mld {
    /// No memberships. `max_message` is what the link's MTU leaves after 48 bytes of headers.
    #[must_use]
    pub fn new(config: groups::Config, max_message: usize, rng: Rng) -> Self {
        Self::with_limits(config, max_message, rng)
    }

    /// Takes a message, from its ICMPv6 header on, whose checksum is right.
    ///
    /// # Errors
    /// Why the message is of no use here.
    pub fn handle_message(
        &mut self,
        now: Instant,
        bytes: &[u8],
        heard: &Heard,
    ) -> Result<(), DropReason> {
        let (_, message) = Message::parse(bytes).map_err(|_| DropReason::MldMalformed)?;
        //= RFC 3810 §5.1.14, §6.2 a query comes from a link-local address, with a hop limit of 1 and
        //= router alert; what does not is dropped without a trace.
        let on_link = heard.src.is_unicast_link_local() && heard.hop_limit == HOP_LIMIT;
        match message {
            Message::MldQuery(query) if on_link && heard.alert => {
                self.take_query(now, &query, heard)
            }
            //= RFC 2710 §4 another's report of version 1 makes ours unnecessary.
            Message::MldReport(report) if on_link && heard.dst == report.group => {
                if self.heard(report.group) {
                    Ok(())
                } else {
                    Err(DropReason::MldIgnored)
                }
            }
            _ => Err(DropReason::MldIgnored),
        }
    }

    fn take_query(
        &mut self,
        now: Instant,
        query: &mld::Query<'_>,
        heard: &Heard,
    ) -> Result<(), DropReason> {
        //= RFC 3810 §5.1.15 a query to any address of ours counts, unicast included.
        if heard.dst.is_multicast() && !self.is_member(heard.dst) {
            return Err(DropReason::MldIgnored);
        }
        let group = match query.group {
            Ipv6Addr::UNSPECIFIED => None,
            group if group.is_multicast() => Some(group),
            _ => return Err(DropReason::MldMalformed),
        };
        let asked = Query {
            version: query.v2.map_or(Version::V2, |_| Version::V3),
            group,
            max_response: Duration::from_millis(u64::from(query.max_response_delay())),
            robustness: query.v2.map(|v2| v2.qrv),
            interval: query
                .v2
                .map(|v2| Duration::from_secs(u64::from(decode_interval(v2.qqic)))),
        };
        let sources = query.v2.map(|v2| v2.sources).unwrap_or_default();
        self.query(now, asked, sources.iter());
        Ok(())
    }
}

impl super::listener::Format for Format {
    type Addr = Ipv6Addr;
    const REPORT_HEAD: usize = 8;
    const RECORD_HEAD: usize = 20;
    const ADDR_LEN: usize = 16;

    fn record(kind: RecordKind, group: Ipv6Addr, sources: &[Ipv6Addr], to: &mut Vec<u8>) -> bool {
        let raw: Vec<u8> = sources.iter().flat_map(Ipv6Addr::octets).collect();
        let record = Record {
            kind: RecordType(kind.number()),
            group,
            sources: Addresses::new(&raw).unwrap_or_default(),
            aux: &[],
        };
        let start = to.len();
        to.resize(start + record.emit_len(), 0);
        let place = to.get_mut(start..).unwrap_or_default();
        record.emit(&mut Writer::new(place)).is_ok()
    }

    fn report(records: u16, body: &[u8]) -> Option<(Ipv6Addr, Vec<u8>)> {
        let message = Message::MldReportV2(ReportV2 {
            reserved: 0,
            count: records,
            records: body,
        });
        Some((ALL_V2_ROUTERS, emit(&message)?))
    }

    //= RFC 2710 §3.6 a report of version 1 goes to the group that it is about.
    fn old_report(_: Version, group: Ipv6Addr) -> Option<(Ipv6Addr, Vec<u8>)> {
        Some((group, emit(&Message::MldReport(about(group)))?))
    }

    fn leave(group: Ipv6Addr) -> Option<(Ipv6Addr, Vec<u8>)> {
        Some((ALL_ROUTERS, emit(&Message::MldDone(about(group)))?))
    }
}

const fn about(group: Ipv6Addr) -> ReportV1<'static> {
    ReportV1 {
        max_response_delay: 0,
        reserved: 0,
        group,
        rest: &[],
    }
}

fn emit(message: &Message<'_>) -> Option<Vec<u8>> {
    let mut bytes = alloc::vec![0; message.emit_len()];
    message.emit(&mut Writer::new(&mut bytes), 0).ok()?;
    Some(bytes)
}

/// Gives a message its checksum, which covers the addresses that it leaves with.
pub fn seal(message: &mut [u8], src: Ipv6Addr, dst: Ipv6Addr) {
    let mut sum = crate::wire::checksum::Sum::new();
    sum.add_pseudo6(src, dst, Protocol::ICMPV6, message.len());
    sum.add(message);
    if let Some(place) = message.get_mut(2..4) {
        place.copy_from_slice(&sum.finish().to_be_bytes());
    }
}

#[cfg(test)]
#[path = "tests/mld.rs"]
mod tests;
