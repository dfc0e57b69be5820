//! Services on TCP: echo (RFC 862), discard (RFC 863), chargen (RFC 864), a page over HTTP, and a
//! sink that checks what a [`bulk`](super::bulk) sender sends.
//!
//! ```text
//!   Listener(handle) --> tcp_accept --> Talk --+-- echo     recv_bytes --> send_bytes: one piece held
//!                                              +-- discard  recv_bytes
//!   Tcp(handle, ..) --> turn -->               +-- chargen  one pattern for all, sent by reference
//!                                              +-- http     super::http::server
//!                                              +-- sink     super::bulk::Intake
//!   watch: (when to look, handle) .. --> silent for too long: reset
//! ```
//!
//! Read first: RFC 862, 863, 864 (each "TCP Based").
//!
//! Promises: what comes is not read before what it caused has been taken by the host, so a peer
//! that does not read fills its own window and none of our memory; payload is passed on by
//! reference. At most [`MAX_TALKS`] are open: one more puts an end to the one that has been silent
//! longest, as far as is known (it is looked at when its time may be up, not at each segment).

use super::bulk::Intake;
use super::count;
use super::http::server::{self, Page};
use super::service::{Service, pattern};
use super::talk::{Stats, Turn, consume, stuck};
use bytes::Bytes;
use stack::host::{BindError, Event, Host, ListenHandle, Readiness, TcpHandle};
use stack::time::{Duration, Instant};
use stack::transport::tcp::{self, ListenOptions};
use std::collections::{BTreeMap, BTreeSet};

/// Connections open at a time, of all services together.
pub const MAX_TALKS: usize = 16_384;
/// Connections that wait to be accepted, of each service: `wrk` opens a thousand at once.
const BACKLOG: usize = 1024;
/// With Fast Open, connections served whose client may be elsewhere than it says.
const EARLY: usize = 64;
/// How long echo, discard, chargen and the sink bear silence.
const IDLE: Duration = Duration::from_secs(600);
/// Bytes taken from the host at a time.
const PIECE: usize = 256 << 10;

/// The listeners and their connections.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    listeners: Vec<(ListenHandle, Service)>,
    talks: BTreeMap<TcpHandle, Talk>,
    /// When to look whether a conversation is still alive; one entry each.
    watch: BTreeSet<(Instant, TcpHandle)>,
    page: Page,
    /// How much discard and the sink read at a time, and how long they wait before it.
    reading: Option<(usize, Duration)>,
    stats: Stats,
    /// What the sink has taken from senders that have ended.
    sunk: Sunk,
}

/// What a sink has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sunk {
    /// Senders.
    pub flows: u64,
    /// Of these such as ended after all they had announced.
    pub whole: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// Bytes that were not what the sender's seed gives.
    pub wrong: u64,
    /// Streams that were no sender's.
    pub foreign: u64,
    /// Streams that ended as they should, but before all they had announced: bytes are missing.
    pub cut: u64,
    /// Bits a second, of the flows together.
    pub goodput: u64,
    /// The sum of the checksums.
    pub checksum: u64,
}

#[derive(Clone, Debug)]
struct Talk {
    kind: Kind,
    /// When it last had something to say or to hear.
    last: Instant,
    /// Its entry in `watch`.
    watched: Instant,
    /// When it reads again, where it does not read at once.
    reads_at: Option<Instant>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// What was read and is not handed over yet.
    Echo(Bytes),
    Discard,
    Chargen {
        /// Where in the pattern.
        at: usize,
        /// The peer has finished: there is nothing more to throw away.
        deaf: bool,
    },
    Http(Box<server::Talk>),
    Sink(Box<Intake>),
}

/// What all conversations share, apart from their table.
struct Shared<'a> {
    page: &'a mut Page,
    reading: Option<(usize, Duration)>,
    stats: &'a mut Stats,
}

impl Streams {
    /// Listens for each of the services on every address.
    ///
    /// # Errors
    /// Where a port is taken.
    pub fn open(
        host: &mut Host,
        wanted: &[Service],
        options: &tcp::Options,
    ) -> Result<Self, BindError> {
        let mut listeners = Vec::new();
        for &service in wanted.iter().filter(|s| **s != Service::Iperf) {
            let at = super::everywhere(service.port());
            let handle = host.tcp_listen(at, listening(service, options))?;
            listeners.push((handle, service));
        }
        Ok(Self {
            listeners,
            ..Self::default()
        })
    }

    /// Has discard and the sink read at most so many bytes at a time, and wait so long before each.
    pub const fn set_reading(&mut self, reading: Option<(usize, Duration)>) {
        self.reading = reading;
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Connections open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.talks.len()
    }

    /// Whether no connection is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.talks.is_empty()
    }

    /// What the sink has taken, from senders that have ended and from those that are at it.
    #[must_use]
    pub fn sunk(&self) -> Sunk {
        let mut sum = self.sunk;
        for talk in self.talks.values() {
            if let Kind::Sink(intake) = &talk.kind {
                sum.add(intake);
            }
        }
        sum
    }

    /// Takes an event that concerns one of ours.
    pub fn handle_event(&mut self, now: Instant, host: &mut Host, event: &Event) {
        match *event {
            Event::Listener(handle) => {
                let found = self.listeners.iter().find(|(h, _)| *h == handle);
                if let Some((_, service)) = found.copied() {
                    self.accept(now, host, handle, service);
                }
            }
            Event::Tcp(handle, ready) => self.turn(now, host, handle, ready),
            _ => {}
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.watch.first().map(|(at, _)| *at)
    }

    /// Ends what has been silent for too long.
    pub fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        while let Some((at, handle)) = self.watch.first().copied().filter(|w| w.0 <= now) {
            let Some(talk) = self.talks.get_mut(&handle) else {
                self.watch.remove(&(at, handle));
                continue;
            };
            if talk.reads_at.is_some_and(|at| at <= now) {
                self.turn(now, host, handle, Readiness::NONE);
                if let Some(due) = self.talks.get(&handle).map(Talk::deadline) {
                    self.watch_until(handle, due);
                }
                continue;
            }
            let due = talk.deadline();
            if due > now {
                self.watch_until(handle, due);
                continue;
            }
            // A page's client is told why, and has a moment to read it.
            let told = match &mut talk.kind {
                Kind::Http(http) => http.expire(now),
                _ => false,
            };
            self.stats.silent += 1;
            match told {
                true => self.turn(now, host, handle, Readiness::NONE),
                false => self.end(now, host, handle, Turn::Broken),
            }
        }
    }

    fn accept(&mut self, now: Instant, host: &mut Host, listener: ListenHandle, service: Service) {
        while let Some((handle, peer)) = host.tcp_accept(listener) {
            self.stats.accepted += 1;
            log::debug!("{} to {peer}", service.name());
            if self.talks.len() >= MAX_TALKS {
                self.evict(now, host);
            }
            let talk = Talk::new(service, now);
            self.watch.insert((talk.watched, handle));
            self.talks.insert(handle, talk);
            self.turn(now, host, handle, Readiness::NONE);
        }
    }

    /// Ends the one whose time is up first. Entries of `watch` may be of before its last word, so
    /// those are set right on the way; each moves once for all that was said since.
    fn evict(&mut self, now: Instant, host: &mut Host) {
        while let Some((at, handle)) = self.watch.first().copied() {
            let due = self.talks.get(&handle).map_or(at, Talk::deadline);
            if due > at {
                self.watch_until(handle, due);
                continue;
            }
            self.stats.evicted += 1;
            self.end(now, host, handle, Turn::Broken);
            return;
        }
    }

    /// Moves a conversation's entry.
    fn watch_until(&mut self, handle: TcpHandle, due: Instant) {
        if let Some(talk) = self.talks.get_mut(&handle) {
            self.watch.remove(&(talk.watched, handle));
            self.watch.insert((due, handle));
            talk.watched = due;
        }
    }

    fn turn(&mut self, now: Instant, host: &mut Host, handle: TcpHandle, ready: Readiness) {
        let Some(talk) = self.talks.get_mut(&handle) else {
            return;
        };
        talk.last = now;
        let mut shared = Shared {
            page: &mut self.page,
            reading: self.reading,
            stats: &mut self.stats,
        };
        let turn = talk.turn(now, host, handle, &mut shared);
        let turn = match ready.has(Readiness::ERROR) {
            true => Turn::Broken,
            false => turn,
        };
        if turn != Turn::Open {
            self.end(now, host, handle, turn);
            return;
        }
        // It may have less time now than before: a request that has begun, for one.
        let due = talk.deadline();
        if due < talk.watched {
            self.watch_until(handle, due);
        }
    }

    fn end(&mut self, now: Instant, host: &mut Host, handle: TcpHandle, turn: Turn) {
        let Some(talk) = self.talks.remove(&handle) else {
            return;
        };
        self.watch.remove(&(talk.watched, handle));
        if let Kind::Sink(intake) = &talk.kind {
            self.sunk.add(intake);
        }
        if turn == Turn::Over {
            self.stats.closed += 1;
            host.tcp_close(now, handle);
            return;
        }
        self.stats.broken += 1;
        if let Some(error) = host.tcp_take_error(handle) {
            log::debug!("{:?}: {error}", host.tcp_remote(handle));
        }
        host.tcp_abort(now, handle);
    }
}

impl Sunk {
    fn add(&mut self, intake: &Intake) {
        self.flows += 1;
        self.whole += u64::from(intake.is_whole());
        self.bytes += intake.bytes();
        self.wrong += intake.wrong();
        self.foreign += u64::from(intake.is_foreign());
        self.cut += u64::from(intake.is_cut());
        self.goodput += intake.goodput();
        self.checksum = self.checksum.wrapping_add(intake.checksum());
    }

    /// A value by its name in [`METRICS`](super::services::Server::METRICS), without `sink.`.
    pub(super) fn measure(&self, what: &str) -> Option<u64> {
        Some(match what {
            "flows" => self.flows,
            "whole" => self.whole,
            "bytes" => self.bytes,
            "wrong" => self.wrong,
            "foreign" => self.foreign,
            "cut" => self.cut,
            "goodput" => self.goodput,
            "checksum" => self.checksum,
            _ => return None,
        })
    }
}

/// How a service listens: a page is one write, which must not wait for company.
fn listening(service: Service, options: &tcp::Options) -> ListenOptions {
    let mut options = options.clone();
    if service == Service::Http {
        options.nagle = tcp::options::Nagle::Off;
    }
    ListenOptions {
        backlog: BACKLOG,
        fast_open: if options.fast_open { EARLY } else { 0 },
        options,
        ..ListenOptions::default()
    }
}

impl Talk {
    fn new(service: Service, now: Instant) -> Self {
        let kind = match service {
            Service::Echo => Kind::Echo(Bytes::new()),
            // iperf has a listener of its own.
            Service::Discard | Service::Iperf => Kind::Discard,
            Service::Chargen => Kind::Chargen { at: 0, deaf: false },
            Service::Http => Kind::Http(Box::new(server::Talk::new(now))),
            Service::Sink => Kind::Sink(Box::new(Intake::new(now))),
        };
        let mut talk = Self {
            kind,
            last: now,
            watched: now,
            reads_at: None,
        };
        talk.watched = talk.deadline();
        talk
    }

    /// When it has been silent for too long.
    fn deadline(&self) -> Instant {
        match &self.kind {
            Kind::Http(http) => http.deadline(),
            _ => self.reads_at.unwrap_or(self.last + IDLE),
        }
    }

    fn turn(
        &mut self,
        now: Instant,
        host: &mut Host,
        handle: TcpHandle,
        shared: &mut Shared<'_>,
    ) -> Turn {
        let stats = &mut *shared.stats;
        let mut most = usize::MAX;
        if let (Some((bytes, every)), Kind::Discard | Kind::Sink(_)) = (shared.reading, &self.kind)
        {
            let at = *self.reads_at.get_or_insert(now + every);
            if now < at {
                return Turn::Open;
            }
            self.reads_at = Some(now + every);
            most = bytes;
        }
        match &mut self.kind {
            Kind::Echo(held) => echo(now, host, handle, held, stats),
            Kind::Discard => drain(now, host, handle, stats, most, |_| {}),
            Kind::Chargen { at, deaf } => {
                if !*deaf {
                    match drain(now, host, handle, stats, most, |_| {}) {
                        Turn::Open => {}
                        // Half-closed: it may still want to listen.
                        Turn::Over => *deaf = true,
                        Turn::Broken => return Turn::Broken,
                    }
                }
                chargen(now, host, handle, at, stats)
            }
            Kind::Http(http) => http.turn(now, host, handle, shared.page, stats),
            Kind::Sink(intake) => {
                let take = |piece: Bytes| intake.take(now, &piece);
                let turn = drain(now, host, handle, stats, most, take);
                if turn == Turn::Over {
                    intake.end();
                }
                turn
            }
        }
    }
}

/// Hands back what comes, a piece at a time.
fn echo(
    now: Instant,
    host: &mut Host,
    handle: TcpHandle,
    held: &mut Bytes,
    stats: &mut Stats,
) -> Turn {
    loop {
        if held.is_empty() {
            match host.tcp_recv_bytes(now, handle, PIECE) {
                Ok(piece) if piece.is_empty() => return Turn::Over,
                Ok(piece) => *held = piece,
                Err(e) => return stuck(e),
            }
            stats.bytes_in += count(held.len());
        }
        match host.tcp_send_bytes(now, handle, held.clone()) {
            Ok(0) => return Turn::Open,
            Ok(n) => {
                consume(held, n);
                stats.bytes_out += count(n);
            }
            Err(e) => return stuck(e),
        }
    }
}

/// Reads what there is, but no more than `most`; over once the peer has finished.
fn drain(
    now: Instant,
    host: &mut Host,
    handle: TcpHandle,
    stats: &mut Stats,
    mut most: usize,
    mut take: impl FnMut(Bytes),
) -> Turn {
    while most > 0 {
        match host.tcp_recv_bytes(now, handle, PIECE.min(most)) {
            Ok(piece) if piece.is_empty() => return Turn::Over,
            Ok(piece) => {
                stats.bytes_in += count(piece.len());
                most -= piece.len().min(most);
                take(piece);
            }
            Err(e) => return stuck(e),
        }
    }
    Turn::Open
}

/// Hands over characters while there is room.
fn chargen(
    now: Instant,
    host: &mut Host,
    handle: TcpHandle,
    at: &mut usize,
    stats: &mut Stats,
) -> Turn {
    let pattern = pattern();
    loop {
        match host.tcp_send_bytes(now, handle, pattern.slice((*at).min(pattern.len())..)) {
            Ok(0) => return Turn::Open,
            Ok(n) => {
                *at = (*at + n) % pattern.len().max(1);
                stats.bytes_out += count(n);
            }
            Err(e) => return stuck(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pair::hosts;
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn who_spoke_last_is_not_the_one_that_makes_room() {
        let [mut host, _] = hosts();
        let mut streams = Streams::default();
        let to = SocketAddr::from(([10, 7, 0, 2], 9));
        let at = |s| Instant::ZERO + Duration::from_secs(s);
        let mut open = |streams: &mut Streams, now| {
            let handle = host.tcp_connect(now, to, None, tcp::Options::default());
            let talk = Talk::new(Service::Discard, now);
            streams.watch.insert((talk.watched, handle.unwrap()));
            streams.talks.insert(handle.unwrap(), talk);
            handle.unwrap()
        };
        let busy = open(&mut streams, at(0));
        let silent = open(&mut streams, at(1));
        // It has read since; its entry still says otherwise.
        streams.talks.get_mut(&busy).unwrap().last = at(5);
        streams.evict(at(6), &mut host);
        assert!(streams.talks.contains_key(&busy) && !streams.talks.contains_key(&silent));
        assert_eq!((streams.stats.evicted, streams.watch.len()), (1, 1));
        streams.evict(at(6), &mut host);
        assert!(streams.is_empty() && streams.watch.is_empty());
    }
}
