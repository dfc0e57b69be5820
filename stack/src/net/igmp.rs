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
//! and timers are [`super::groups`]'s; here are the messages.
//!
//! Promises. All-systems (224.0.0.1) is always received and never reported. Records are packed
//! into as few reports as hold them, none longer than the configured length.
//!
//! Left out: checks of TTL, checksum and header, which the caller makes before a message is parsed
//! and handed in; sending: the caller adds the header, with [`TTL`], [`TOS`] and [`ROUTER_ALERT`].

use super::groups::{self, FilterMode, GroupError, Groups, Output, Query, RecordKind, Version};
use crate::reason::DropReason;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::Writer;
use crate::wire::igmp::{
    Message, Record, RecordType, Sources, V3Query, V3Report, decode_float, fill_checksum,
};
use alloc::collections::VecDeque;
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
#[derive(Clone, Debug)]
pub struct Igmp {
    max_message: usize,
    groups: Groups<Ipv4Addr>,
    /// What was computed in one go: at most a few messages a group.
    ready: VecDeque<(Ipv4Addr, Vec<u8>)>,
}

/// Bytes before the first record of a report.
const REPORT_HEAD: usize = 8;
/// Bytes before the sources of a record.
const RECORD_HEAD: usize = 8;

impl Igmp {
    /// No memberships.
    #[must_use]
    pub fn new(config: Config, rng: Rng) -> Self {
        Self {
            // One source at least must fit.
            max_message: config.max_message.max(REPORT_HEAD + RECORD_HEAD + 4),
            groups: Groups::new(config.groups, rng),
            ready: VecDeque::new(),
        }
    }

    /// Lets a socket receive a group: `Exclude` and no sources for all of it.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub fn join(
        &mut self,
        now: Instant,
        socket: u32,
        group: Ipv4Addr,
        mode: FilterMode,
        sources: &[Ipv4Addr],
    ) -> Result<(), GroupError> {
        self.groups.join(now, socket, group, mode, sources)
    }

    /// Changes which sources of a group a socket receives. `Include` and no sources is to leave.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub fn set_filter(
        &mut self,
        now: Instant,
        socket: u32,
        group: Ipv4Addr,
        mode: FilterMode,
        sources: &[Ipv4Addr],
    ) -> Result<(), GroupError> {
        self.groups.set_filter(now, socket, group, mode, sources)
    }

    /// Ends a socket's membership.
    ///
    /// # Errors
    /// [`GroupError::NotMember`].
    pub fn leave(&mut self, now: Instant, socket: u32, group: Ipv4Addr) -> Result<(), GroupError> {
        self.groups.leave(now, socket, group)
    }

    /// Ends all memberships of a socket, which is being closed.
    pub fn leave_all(&mut self, now: Instant, socket: u32) {
        self.groups.leave_all(now, socket);
    }

    /// Reports all memberships anew, as after the link came up.
    pub fn announce(&mut self, now: Instant) {
        self.groups.announce(now);
    }

    /// Whether packets to the group are received from anyone.
    #[must_use]
    pub fn is_member(&self, group: Ipv4Addr) -> bool {
        self.groups.is_member(group)
    }

    /// Whether packets to the group from `source` are received.
    #[must_use]
    pub fn accepts(&self, group: Ipv4Addr, source: Ipv4Addr) -> bool {
        self.groups.accepts(group, source)
    }

    /// Whether this socket receives packets to the group from `source`.
    #[must_use]
    pub fn socket_accepts(&self, socket: u32, group: Ipv4Addr, source: Ipv4Addr) -> bool {
        self.groups.socket_accepts(socket, group, source)
    }

    /// The memberships themselves, to look at.
    #[must_use]
    pub const fn groups(&self) -> &Groups<Ipv4Addr> {
        &self.groups
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
        if dst.is_multicast() && !self.groups.is_member(dst) {
            return Err(DropReason::IgmpIgnored);
        }
        match message {
            Message::V1Query { .. } => self.query(now, Version::V1, 100, Ipv4Addr::UNSPECIFIED),
            Message::V2Query { max_resp, group } => {
                self.query(now, Version::V2, u16::from(*max_resp), *group)
            }
            Message::V3Query(query) => self.query3(now, query),
            Message::V1Report { group, .. } | Message::V2Report { group, .. } => {
                if self.groups.handle_report(*group) {
                    Ok(())
                } else {
                    Err(DropReason::IgmpIgnored)
                }
            }
            //= RFC 3376 §5: other messages are ignored in silence
            _ => Err(DropReason::IgmpIgnored),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.groups.handle_timeout(now);
    }

    /// When there is something to send or to forget.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ready.is_empty() {
            self.groups.poll_timeout()
        } else {
            Some(Instant::ZERO)
        }
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) has something now.
    #[must_use]
    #[inline]
    pub fn has_output(&self, now: Instant) -> bool {
        !self.ready.is_empty() || self.groups.has_output(now)
    }

    /// The next message to send, and where to.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(Ipv4Addr, Vec<u8>)> {
        if self.ready.is_empty() {
            self.prepare(now);
        }
        self.ready.pop_front()
    }

    fn query(
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
        self.groups.handle_query(now, query, core::iter::empty());
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
        self.groups.handle_query(now, asked, query.sources.iter());
        Ok(())
    }

    fn prepare(&mut self, now: Instant) {
        let mut report = Report::new(self.max_message);
        for output in self.groups.poll_output(now) {
            let (unused, rest) = (0, &[][..]);
            match output {
                Output::Record(kind, group, sources) => {
                    report.add(kind, group, &sources, &mut self.ready);
                }
                Output::Report(group) if self.groups.version() == Version::V1 => {
                    let message = Message::V1Report {
                        unused,
                        group,
                        rest,
                    };
                    self.ready.extend(emit(&message).map(|m| (group, m)));
                }
                //= RFC 3376 §4.2.14: older reports go to the group they are about
                Output::Report(group) => {
                    let message = Message::V2Report {
                        unused,
                        group,
                        rest,
                    };
                    self.ready.extend(emit(&message).map(|m| (group, m)));
                }
                Output::Leave(group) => {
                    let message = Message::V2Leave {
                        unused,
                        group,
                        rest,
                    };
                    self.ready.extend(emit(&message).map(|m| (ALL_ROUTERS, m)));
                }
            }
        }
        report.finish(&mut self.ready);
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

/// A version 3 report being filled.
struct Report {
    room: usize,
    records: u16,
    body: Vec<u8>,
}

impl Report {
    const fn new(max_message: usize) -> Self {
        Self {
            room: max_message - REPORT_HEAD,
            records: 0,
            body: Vec::new(),
        }
    }

    fn add(
        &mut self,
        kind: RecordKind,
        group: Ipv4Addr,
        mut sources: &[Ipv4Addr],
        ready: &mut VecDeque<(Ipv4Addr, Vec<u8>)>,
    ) {
        let most = (self.room - RECORD_HEAD) / 4;
        //= RFC 3376 §4.2.16: what does not fit is split; but of those excluded, only so many are
        // told, since two such records would contradict each other
        if matches!(kind, RecordKind::IsEx | RecordKind::ToEx) {
            sources = sources.get(..most).unwrap_or(sources);
        }
        let empty: &[Ipv4Addr] = &[];
        let pieces = sources.chunks(most);
        let alone = sources.is_empty().then_some(empty);
        for piece in alone.into_iter().chain(pieces) {
            if self.body.len() + RECORD_HEAD + piece.len() * 4 > self.room {
                self.finish(ready);
            }
            let raw: Vec<u8> = piece.iter().flat_map(Ipv4Addr::octets).collect();
            let record = Record {
                record_type: wire_type(kind),
                group,
                sources: Sources(&raw),
                aux: &[],
            };
            let start = self.body.len();
            self.body.resize(start + record.emit_len(), 0);
            let place = self.body.get_mut(start..).unwrap_or_default();
            if record.emit(&mut Writer::new(place)).is_ok() {
                self.records += 1;
            } else {
                self.body.truncate(start);
            }
        }
    }

    fn finish(&mut self, ready: &mut VecDeque<(Ipv4Addr, Vec<u8>)>) {
        if self.records > 0 {
            let message = Message::V3Report(V3Report {
                reserved: 0,
                reserved2: 0,
                num_records: self.records,
                body: &self.body,
            });
            ready.extend(emit(&message).map(|m| (ALL_V3_ROUTERS, m)));
        }
        self.records = 0;
        self.body.clear();
    }
}

fn emit(message: &Message<'_>) -> Option<Vec<u8>> {
    let mut bytes = alloc::vec![0; message.emit_len()];
    message.emit(&mut Writer::new(&mut bytes), 0).ok()?;
    fill_checksum(&mut bytes);
    Some(bytes)
}

const fn wire_type(kind: RecordKind) -> RecordType {
    match kind {
        RecordKind::IsIn => RecordType::MODE_IS_INCLUDE,
        RecordKind::IsEx => RecordType::MODE_IS_EXCLUDE,
        RecordKind::ToIn => RecordType::CHANGE_TO_INCLUDE,
        RecordKind::ToEx => RecordType::CHANGE_TO_EXCLUDE,
        RecordKind::Allow => RecordType::ALLOW_NEW_SOURCES,
        RecordKind::Block => RecordType::BLOCK_OLD_SOURCES,
    }
}

#[cfg(test)]
#[path = "tests/igmp.rs"]
mod tests;
