//! What a member of groups tells routers, and how it is packed: IGMP and MLD, but for the bytes.
//!
//! ```text
//!   socket --join, set_filter, leave--> [groups: who wants what] <--queries, others' reports
//!                                                |
//!                                          poll_transmit         [Format: IGMP's or MLD's bytes]
//!                                                |
//!          newest version: records in reports    |     older: a report or a leave for each group
//! ```
//!
//! Read first: RFC 3376 §4.2.16 and RFC 3810 §5.2.15 (what a report holds), both §5 or §6.
//!
//! Promises. Records are packed into as few reports as hold them, none longer than the configured
//! length. The group of all systems or nodes is always received and never reported.
//!
//! Left out: headers, checks of arriving messages and their checksums, see [`super::igmp`] and
//! [`super::mld`].

use super::groups::{
    FilterMode, GroupAddr, GroupError, Groups, Output, Query, RecordKind, Version,
};
use crate::rng::Rng;
use crate::time::Instant;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// The bytes of one protocol.
pub trait Format {
    /// Its addresses.
    type Addr: GroupAddr;
    /// Bytes before the first record of a report.
    const REPORT_HEAD: usize;
    /// Bytes before the sources of a record.
    const RECORD_HEAD: usize;
    /// Bytes of a source.
    const ADDR_LEN: usize;

    /// Appends a record. Whether it could be written.
    fn record(
        kind: RecordKind,
        group: Self::Addr,
        sources: &[Self::Addr],
        to: &mut Vec<u8>,
    ) -> bool;
    /// A report of so many records, and where it goes.
    fn report(records: u16, body: &[u8]) -> Option<(Self::Addr, Vec<u8>)>;
    /// A report of an older version.
    fn old_report(version: Version, group: Self::Addr) -> Option<(Self::Addr, Vec<u8>)>;
    /// A leave of an older version.
    fn leave(group: Self::Addr) -> Option<(Self::Addr, Vec<u8>)>;
}

/// The member's side on one interface.
#[derive(Clone, Debug)]
pub struct Listener<F: Format> {
    max_message: usize,
    groups: Groups<F::Addr>,
    /// What was computed in one go: at most a few messages a group.
    ready: VecDeque<(F::Addr, Vec<u8>)>,
}

impl<F: Format> Listener<F> {
    /// No memberships. No message is longer than `max_message`, but that one source fits.
    #[must_use]
    pub fn with_limits(config: super::groups::Config, max_message: usize, rng: Rng) -> Self {
        let mut listener = Self {
            max_message,
            groups: Groups::new(config, rng),
            ready: VecDeque::new(),
        };
        listener.set_max_message(max_message);
        listener
    }

    /// Takes another length for messages, since the link's MTU is another.
    pub fn set_max_message(&mut self, max_message: usize) {
        self.max_message = max_message.max(F::REPORT_HEAD + F::RECORD_HEAD + F::ADDR_LEN);
    }

    /// Lets a socket receive a group: `Exclude` and no sources for all of it.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub fn join(
        &mut self,
        now: Instant,
        socket: u32,
        group: F::Addr,
        mode: FilterMode,
        sources: &[F::Addr],
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
        group: F::Addr,
        mode: FilterMode,
        sources: &[F::Addr],
    ) -> Result<(), GroupError> {
        self.groups.set_filter(now, socket, group, mode, sources)
    }

    /// Ends a socket's membership.
    ///
    /// # Errors
    /// [`GroupError::NotMember`].
    pub fn leave(&mut self, now: Instant, socket: u32, group: F::Addr) -> Result<(), GroupError> {
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
    pub fn is_member(&self, group: F::Addr) -> bool {
        self.groups.is_member(group)
    }

    /// Whether packets to the group from `source` are received.
    #[must_use]
    pub fn accepts(&self, group: F::Addr, source: F::Addr) -> bool {
        self.groups.accepts(group, source)
    }

    /// Whether this socket receives packets to the group from `source`.
    #[must_use]
    pub fn socket_accepts(&self, socket: u32, group: F::Addr, source: F::Addr) -> bool {
        self.groups.socket_accepts(socket, group, source)
    }

    /// The memberships themselves, to look at.
    #[must_use]
    pub const fn groups(&self) -> &Groups<F::Addr> {
        &self.groups
    }

    /// Takes a query that has passed the protocol's own checks.
    pub(super) fn query(
        &mut self,
        now: Instant,
        query: Query<F::Addr>,
        sources: impl Iterator<Item = F::Addr>,
    ) {
        self.groups.handle_query(now, query, sources);
    }

    /// Takes another member's report of an older version. Whether it spared us one.
    pub(super) fn heard(&mut self, group: F::Addr) -> bool {
        self.groups.handle_report(group)
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
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(F::Addr, Vec<u8>)> {
        if self.ready.is_empty() {
            self.prepare(now);
        }
        self.ready.pop_front()
    }

    fn prepare(&mut self, now: Instant) {
        let mut report = Report::<F>::new(self.max_message);
        for output in self.groups.poll_output(now) {
            match output {
                Output::Record(kind, group, sources) => {
                    report.add(kind, group, &sources, &mut self.ready);
                }
                Output::Report(group) => {
                    let version = self.groups.version();
                    self.ready.extend(F::old_report(version, group));
                }
                Output::Leave(group) => self.ready.extend(F::leave(group)),
            }
        }
        report.finish(&mut self.ready);
    }
}

/// A report being filled.
struct Report<F: Format> {
    room: usize,
    records: u16,
    body: Vec<u8>,
    format: core::marker::PhantomData<F>,
}

impl<F: Format> Report<F> {
    const fn new(max_message: usize) -> Self {
        Self {
            room: max_message - F::REPORT_HEAD,
            records: 0,
            body: Vec::new(),
            format: core::marker::PhantomData,
        }
    }

    fn add(
        &mut self,
        kind: RecordKind,
        group: F::Addr,
        mut sources: &[F::Addr],
        ready: &mut VecDeque<(F::Addr, Vec<u8>)>,
    ) {
        let most = (self.room - F::RECORD_HEAD) / F::ADDR_LEN;
        //= RFC 3376 §4.2.16: what does not fit is split; but of those excluded, only so many are
        //= told, since two such records would contradict each other
        //= RFC 3810 §5.2.15 so in IPv6.
        if matches!(kind, RecordKind::IsEx | RecordKind::ToEx) {
            sources = sources.get(..most).unwrap_or(sources);
        }
        let empty: &[F::Addr] = &[];
        let pieces = sources.chunks(most);
        let alone = sources.is_empty().then_some(empty);
        for piece in alone.into_iter().chain(pieces) {
            if self.body.len() + F::RECORD_HEAD + piece.len() * F::ADDR_LEN > self.room {
                self.finish(ready);
            }
            let start = self.body.len();
            if F::record(kind, group, piece, &mut self.body) {
                self.records += 1;
            } else {
                self.body.truncate(start);
            }
        }
    }

    fn finish(&mut self, ready: &mut VecDeque<(F::Addr, Vec<u8>)>) {
        if self.records > 0 {
            ready.extend(F::report(self.records, &self.body));
        }
        self.records = 0;
        self.body.clear();
    }
}
