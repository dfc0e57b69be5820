//! One direction of a wire: decides, queues, sends, delivers.
//!
//! ```text
//!   send --> decide(flow, k) --> queue --> transmitter --> flight --> poll_arrival
//!              \ loss, rules      \ full, CoDel   (rate)     \ frame check
//!               `--------------------> dropped, counted <-----'
//! ```
//!
//! Read first: [the folder's docs](super).

use super::Chance;
use super::config::{Act, Config, Loss, Rule};
use super::damage::{self, Errors};
use super::draw::{self, Kind};
use super::flight::{Flight, len64};
use super::flow::{FLOWS, Flows, Key, Pieces, State};
use super::ledger::{Ledger, Lost, Marks, Packet, Plan, Stats};
use super::queue::Waiting;
use crate::frame::Frame;
use crate::reason::DropReason;
use crate::time::{Duration, Instant, earliest, nanos};
use crate::wire::{EtherType, ethernet, vlan};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// One direction of a wire.
#[derive(Clone, Debug)]
pub struct Way {
    config: Config,
    key: [u64; 2],
    flows: Flows,
    /// Whose fragments are, where nobody else knows.
    pieces: Pieces,
    rules: Vec<Rule>,
    /// What flips bits, if anything does.
    errors: Option<Box<Errors>>,
    queue: Waiting,
    transmitter: Transmitter,
    flight: Flight,
    /// The latest arrival of a frame that was not held back.
    last_arrival: Instant,
    /// The rule that dropped a frame last.
    dropped_by: u64,
    /// The rule for a number of packets that took one last.
    counted: Option<(u64, u32)>,
    up: bool,
    /// Bytes that what waits and is in flight may take.
    memory: u64,
    ledger: Ledger,
}

/// What sends frames, one bit after the other.
#[derive(Clone, Copy, Debug, Default)]
struct Transmitter {
    /// When the frame that is being sent is out.
    free: Instant,
    /// What division left over of frames sent without a pause, in units of `1 / rate` ns: the rate
    /// is kept to the nanosecond however long that lasts.
    carry: u64,
}

/// What became of a frame that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It waits or is on its way: it will arrive, or be told of by [`Way::poll_drop`].
    Queued,
    /// It is gone already.
    Dropped(DropReason),
}

/// A frame at the end of the way.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The frame.
    pub frame: Frame,
    /// The sender's name for it.
    pub tag: u64,
    /// When it was sent into the way.
    pub sent: Instant,
    /// What befell it.
    pub marks: Marks,
}

/// How much is on a way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// Frames that wait for the transmitter.
    pub packets: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that are being sent or have been, and have not arrived.
    pub in_flight: usize,
    /// Frames that may wait.
    pub limit_packets: Option<u32>,
    /// Bytes that may wait.
    pub limit_bytes: Option<u64>,
}

/// What a frame takes besides its bytes: measured, with its place in the queue.
pub const FRAME_COST: u64 = 256;

impl Way {
    /// A way that is up. `key` names seed, wire and direction: all chance comes from it.
    #[must_use]
    pub fn new(config: Config, key: [u64; 2]) -> Self {
        let key = draw::spread(key);
        let mut way = Self {
            queue: Waiting::new(&config.queue, key[0]),
            config,
            key,
            flows: Flows::new(FLOWS),
            pieces: Pieces::default(),
            rules: Vec::new(),
            errors: None,
            transmitter: Transmitter::default(),
            flight: Flight::default(),
            last_arrival: Instant::ZERO,
            dropped_by: 0,
            counted: None,
            up: true,
            memory: u64::MAX,
            ledger: Ledger::default(),
        };
        way.prepare();
        way
    }

    /// What it is like. A scripted loss is sorted.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Makes it another. What is in flight arrives when it would have; what waits moves to the new
    /// queue, as far as it has room.
    pub fn set_config(&mut self, now: Instant, config: Config) {
        self.advance(now);
        if self.config.rate == Some(0) {
            // It stood still until now.
            self.transmitter.free = self.transmitter.free.max(now);
        }
        if self.config.rate != config.rate {
            self.transmitter.carry = 0;
        }
        let requeue = self.config.queue != config.queue;
        self.config = config;
        self.prepare();
        if requeue {
            let fresh = Waiting::new(&self.config.queue, self.key[0]);
            let mut old = core::mem::replace(&mut self.queue, fresh);
            while let Some(mut packet) = old.take() {
                if self.queue.refuses(packet.frame.len()) {
                    self.ledger.lose(packet, DropReason::WireQueueFull);
                } else {
                    let conversation = Key::of(&mut packet.frame).conversation(self.key);
                    self.queue.push(packet, conversation, &mut self.ledger);
                }
            }
        }
        self.advance(now);
    }

    fn prepare(&mut self) {
        if let Loss::Scripted(which) = &mut self.config.loss {
            which.sort_unstable();
        }
        let chance = self.config.bit_errors;
        self.errors = (!chance.is_never()).then(|| Box::new(Errors::new(chance)));
    }

    /// The rules laid over it, first come first served.
    pub const fn rules_mut(&mut self) -> &mut Vec<Rule> {
        &mut self.rules
    }

    /// The id of the rule that dropped a frame last, for whoever asks right after
    /// [`send`](Self::send) said [`WireFault`](DropReason::WireFault).
    #[must_use]
    pub const fn dropped_by(&self) -> u64 {
        self.dropped_by
    }

    /// The rule for [so many packets](Rule::left) that took one since this was asked last, and how
    /// many more it takes: for whoever counts them on several ways together.
    pub const fn take_counted(&mut self) -> Option<(u64, u32)> {
        self.counted.take()
    }

    /// Another way's rule has taken a packet and has `left` to take: so has the one that counts
    /// with it here.
    pub fn count_along(&mut self, (id, left): (u64, u32)) {
        // A rule that is laid again lies beside the one that was, and has more left.
        let same = |rule: &&mut Rule| rule.id == id && rule.left == Some(left + 1);
        if let Some(rule) = self.rules_mut().iter_mut().find(same) {
            rule.left = Some(left);
        }
    }

    /// Takes it down or up. Down, what waits or is in flight is dropped, and what comes too; what
    /// has arrived by `now` may still be collected.
    pub fn set_up(&mut self, now: Instant, up: bool) {
        self.advance(now);
        self.up = up;
        if up {
            return;
        }
        while let Some(packet) = self.queue.take() {
            self.ledger.lose(packet, DropReason::WireDown);
        }
        self.queue = Waiting::new(&self.config.queue, self.key[0]);
        for packet in self.flight.cut(now) {
            self.ledger.lose(packet, DropReason::WireDown);
        }
        self.transmitter = Transmitter {
            free: now,
            carry: 0,
        };
        self.last_arrival = now;
    }

    /// What waits and is in flight takes no more memory than so many bytes, its own and
    /// [`FRAME_COST`] a frame: what comes then is dropped. Without this, there is no such bound.
    pub const fn set_memory(&mut self, bytes: u64) {
        self.memory = bytes;
    }

    /// Whether it is up.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.up
    }

    /// Whether the queue would take one more frame of full size and drop none. An empty queue
    /// always would.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.queue.is_empty() || self.queue.has_room(self.max_frame())
    }

    /// The longest frame, without tags.
    const fn max_frame(&self) -> usize {
        self.config.mtu.saturating_add(ethernet::HEADER_LEN)
    }

    /// Takes one frame; never a super-frame: the caller has cut it. `tag` is the caller's name for
    /// it. Where flow queues are full, the frame itself may be among those that
    /// [`poll_drop`](Self::poll_drop) tells of.
    #[inline]
    pub fn send(&mut self, now: Instant, frame: Frame, tag: u64) -> Sent {
        let mut pieces = core::mem::take(&mut self.pieces);
        let sent = self.send_among(now, frame, tag, &mut pieces);
        self.pieces = pieces;
        sent
    }

    /// The same, where `pieces` is shared with other ways that the frame has passed or will pass:
    /// they all know whose a fragment is.
    #[inline]
    pub fn send_among(
        &mut self,
        now: Instant,
        mut frame: Frame,
        tag: u64,
        pieces: &mut Pieces,
    ) -> Sent {
        self.advance(now);
        let stats = &mut self.ledger.stats;
        stats.frames_in += 1;
        stats.bytes_in += len64(&frame);
        let key = pieces.key_of(&mut frame);
        let plan = match self.decide(&key, &mut frame) {
            Ok(plan) => plan,
            Err(reason) => {
                self.ledger.count(reason);
                return Sent::Dropped(reason);
            }
        };
        if self.memory < u64::MAX && self.memory_with(&frame) > self.memory {
            self.ledger.count(DropReason::WireMemoryFull);
            return Sent::Dropped(DropReason::WireMemoryFull);
        }
        if self.queue.is_empty() {
            if self.transmitter.free < now {
                self.transmitter = Transmitter {
                    free: now,
                    carry: 0,
                };
            }
            if self.transmitter.free == now && self.skips_queue() {
                if self.errors.is_none() && plan.is_plain() {
                    // As nearly all do: a frame is large, and this way it is moved once.
                    self.transmit(&frame);
                    let arrival = self.arrival(plan);
                    self.flight
                        .push(arrival, Packet::new(frame, tag, now, plan));
                } else {
                    self.launch(Packet::new(frame, tag, now, plan));
                }
                return Sent::Queued;
            }
        }
        self.enqueue(now, &key, Packet::new(frame, tag, now, plan))
    }

    /// What it would hold with one frame more.
    fn memory_with(&self, frame: &Frame) -> u64 {
        let held = self.queue.depth().0 + self.flight.len() + 1;
        let held = u64::try_from(held).unwrap_or(u64::MAX);
        let bytes = self.held_bytes().saturating_add(len64(frame));
        bytes.saturating_add(held.saturating_mul(FRAME_COST))
    }

    fn enqueue(&mut self, now: Instant, key: &Key, packet: Packet) -> Sent {
        if self.queue.refuses(packet.frame.len()) {
            self.ledger.count(DropReason::WireQueueFull);
            return Sent::Dropped(DropReason::WireQueueFull);
        }
        let conversation = match &self.queue {
            Waiting::FqCodel(_) => key.conversation(self.key),
            _ => 0,
        };
        self.queue.push(packet, conversation, &mut self.ledger);
        self.advance(now);
        let waiting = u64::try_from(self.queue.depth().0).unwrap_or(u64::MAX);
        let peak = &mut self.ledger.stats.queue_peak;
        *peak = waiting.max(*peak);
        Sent::Queued
    }

    /// Whether a frame that finds the transmitter idle need not see the queue: flow queues and
    /// CoDel want to know of each.
    fn skips_queue(&self) -> bool {
        self.config.rate.is_none()
            || self.config.rate != Some(0) && matches!(self.queue, Waiting::DropTail(_))
    }

    /// All that chance decides about a frame but its latency and flipped bits, which follow from
    /// its seed. Comes before the queue, so that what the queue does to others changes nothing.
    #[inline]
    fn decide(&mut self, key: &Key, frame: &mut Frame) -> Result<Plan, DropReason> {
        let number = key.number(self.key);
        let (flow, evicted) = self.flows.flow(number);
        let k = flow.k;
        flow.k += 1;
        let mut plan = Plan {
            seed: draw::nth(number, k),
            ..Plan::default()
        };
        let lost = match &self.config.loss {
            Loss::None => false,
            loss => lost(loss, &mut flow.state, k, number, plan.seed),
        };
        self.ledger.stats.flows_evicted += u64::from(evicted);
        if !self.up {
            return Err(DropReason::WireDown);
        }
        if frame.len() > self.max_frame() && self.is_too_long(frame) {
            return Err(DropReason::FrameTooLong);
        }
        if !self.rules.is_empty() {
            self.rule(key, frame, &mut plan)?;
        }
        if lost {
            return Err(DropReason::WireLoss);
        }
        let hits =
            |chance: Chance, kind| !chance.is_never() && chance.hits(draw::of(plan.seed, kind));
        plan.twice |= hits(self.config.duplicate, Kind::Duplicate);
        if hits(self.config.reorder, Kind::Reorder) {
            plan.held = plan.held.saturating_add(nanos(self.config.reorder_by));
            plan.marks |= Marks::REORDERED;
        }
        Ok(plan)
    }

    /// Whether the packet within is longer than the MTU: tags do not count (IEEE 802.3 §3.2.7).
    #[cold]
    fn is_too_long(&self, frame: &mut Frame) -> bool {
        let mut header = ethernet::HEADER_LEN;
        while let Some(bytes) = frame.pull_up(header).get(header - 2..header)
            && let Some(ethertype) = bytes.first_chunk()
            && EtherType(u16::from_be_bytes(*ethertype)).is_vlan()
        {
            header += vlan::HEADER_LEN;
        }
        frame.len() - header.min(frame.len()) > self.config.mtu
    }

    /// The verdict of the first rule that takes the frame.
    #[cold]
    fn rule(&mut self, key: &Key, frame: &mut Frame, plan: &mut Plan) -> Result<(), DropReason> {
        let taken = self.rules.iter_mut().find(|rule| {
            let draw = draw::nth(draw::of(plan.seed, Kind::Rule), rule.id);
            rule.left != Some(0) && rule.chance.hits(draw) && key.matches(&rule.matches, frame)
        });
        let Some(rule) = taken else {
            return Ok(());
        };
        if let Some(left) = &mut rule.left {
            *left -= 1;
            self.counted = Some((rule.id, *left));
        }
        let (by, mark) = match rule.act {
            Act::Drop => {
                self.dropped_by = rule.id;
                return Err(DropReason::WireFault);
            }
            Act::Duplicate => {
                plan.twice = true;
                return Ok(());
            }
            Act::Corrupt => {
                plan.corrupt = true;
                return Ok(());
            }
            Act::Delay(by) => (by, Marks::DELAYED),
            Act::Reorder(by) => (by, Marks::REORDERED),
        };
        plan.held = nanos(by);
        plan.marks |= mark;
        Ok(())
    }

    /// Lets the transmitter do what it has done by `now`. A late caller changes nothing: each frame
    /// leaves when it would have.
    #[inline]
    fn advance(&mut self, now: Instant) {
        while !self.queue.is_empty() && self.transmitter.free <= now && self.config.rate != Some(0)
        {
            let at = self.transmitter.free;
            let mtu = u64::try_from(self.max_frame()).unwrap_or(u64::MAX);
            match self.queue.pop(at, mtu, &mut self.ledger) {
                Some(packet) => self.launch(packet),
                None => break,
            }
        }
    }

    /// Sends a frame from the moment when the transmitter is free.
    fn launch(&mut self, mut packet: Packet) {
        self.transmit(&packet.frame);
        let stats = &mut self.ledger.stats;
        stats.reordered += u64::from(packet.plan.marks.contains(Marks::REORDERED));
        stats.delayed += u64::from(packet.plan.marks.contains(Marks::DELAYED));
        let copy = packet.plan.twice.then(|| {
            stats.duplicated += 1;
            let mut copy = packet.clone();
            copy.plan.seed = draw::of(packet.plan.seed, Kind::Copy);
            copy.plan.marks |= Marks::DUPLICATE;
            copy
        });
        self.damage(&mut packet);
        let arrival = self.arrival(packet.plan);
        self.flight.push(arrival, packet);
        if let Some(mut copy) = copy {
            self.damage(&mut copy);
            let arrival = self.arrival(copy.plan);
            self.flight.push(arrival, copy);
        }
    }

    /// Keeps the transmitter busy for as long as a frame takes.
    #[inline]
    fn transmit(&mut self, frame: &Frame) {
        if let Some(rate) = self.config.rate {
            self.transmitter.send(rate, frame, self.config.overhead);
        }
    }

    /// Flips bits of a frame that leaves the transmitter, where chance or a rule says so.
    fn damage(&mut self, packet: &mut Packet) {
        if self.errors.is_none() && !packet.plan.corrupt {
            return;
        }
        let bits = damage::bits_on_wire(&packet.frame);
        let ruled = packet.plan.corrupt.then(|| {
            let draw = draw::of(packet.plan.seed, Kind::RuleBit);
            let bit = draw::below(draw, len64(&packet.frame) * 8);
            usize::try_from(bit).unwrap_or(0)
        });
        let seed = draw::of(packet.plan.seed, Kind::Bits);
        let flips = self.errors.iter().flat_map(|e| e.flips(seed, bits));
        let (count, caught) = damage::flip(&mut packet.frame, flips.chain(ruled));
        if count > 0 {
            self.ledger.stats.corrupted += 1;
            self.ledger.stats.flipped_bits += count;
            packet.plan.marks |= Marks::CORRUPTED;
            packet.caught = caught && self.config.frame_check;
        }
    }

    /// When a frame that leaves the transmitter arrives.
    #[inline]
    fn arrival(&mut self, plan: Plan) -> Instant {
        let arrival = self.transmitter.free + self.latency(plan.seed);
        if plan.held > 0 {
            return arrival + Duration::from_nanos(plan.held);
        }
        if self.config.in_order {
            self.last_arrival = self.last_arrival.max(arrival);
            return self.last_arrival;
        }
        arrival
    }

    #[inline]
    fn latency(&self, seed: u64) -> Duration {
        if self.config.jitter.is_zero() {
            return self.config.delay;
        }
        let (delay, jitter) = (nanos(self.config.delay), nanos(self.config.jitter));
        let span = jitter.saturating_mul(2).saturating_add(1);
        let late = draw::below(draw::of(seed, Kind::Jitter), span);
        Duration::from_nanos(delay.saturating_add(late).saturating_sub(jitter))
    }

    /// The next frame that has arrived by `now`.
    #[inline]
    pub fn poll_arrival(&mut self, now: Instant) -> Option<Arrival> {
        self.advance(now);
        loop {
            let packet = self.flight.pop(now)?;
            if packet.caught {
                self.ledger.lose(packet, DropReason::WireFrameCheck);
                continue;
            }
            let stats = &mut self.ledger.stats;
            stats.delivered += 1;
            stats.bytes_out += len64(&packet.frame);
            return Some(Arrival {
                frame: packet.frame,
                tag: packet.tag,
                sent: packet.sent,
                marks: packet.plan.marks,
            });
        }
    }

    /// The next frame that was lost after it was taken; kept only while [watched](Self::set_watched).
    pub fn poll_drop(&mut self) -> Option<Lost> {
        self.ledger.lost.pop_front()
    }

    /// Whether to keep lost frames for [`poll_drop`](Self::poll_drop). By default they are counted
    /// and forgotten.
    pub fn set_watched(&mut self, on: bool) {
        self.ledger.watched = on;
        if !on {
            self.ledger.lost.clear();
        }
    }

    /// When a frame arrives or the transmitter takes the next one, whichever is first.
    #[must_use]
    #[inline]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let departs = !self.queue.is_empty() && self.config.rate != Some(0);
        earliest(
            departs.then_some(self.transmitter.free),
            self.flight.next_arrival(),
        )
    }

    /// Lets the transmitter take what it can by `now`. Arrivals are collected by
    /// [`poll_arrival`](Self::poll_arrival).
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    /// What it counted.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.ledger.stats
    }

    /// How much is on it.
    #[must_use]
    pub fn queued(&self) -> Queued {
        let (packets, bytes) = self.queue.depth();
        let (limit_packets, limit_bytes) = self.queue.limits();
        Queued {
            packets,
            bytes,
            in_flight: self.flight.len(),
            limit_packets,
            limit_bytes,
        }
    }

    /// Bytes of the frames that wait or are in flight.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.queue.depth().1.saturating_add(self.flight.bytes())
    }

    /// Whether each frame is accounted for: sent + copied = delivered + waiting + in flight + Σ
    /// dropped.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        let (stats, queued) = (self.stats(), self.queued());
        let on_way = u64::try_from(queued.packets + queued.in_flight).unwrap_or(u64::MAX);
        stats.frames_in + stats.duplicated == stats.delivered + on_way + stats.dropped_in_all()
    }
}

impl Transmitter {
    /// Sends a frame: it is free again when that is done.
    fn send(&mut self, rate: u64, frame: &Frame, overhead: u16) {
        const NANOS: u64 = 1_000_000_000;
        let bits = (len64(frame) + u64::from(overhead)) * 8;
        let work = bits.saturating_mul(NANOS).saturating_add(self.carry);
        let rate = rate.max(1);
        self.carry = work % rate;
        self.free += Duration::from_nanos(work / rate);
    }
}

/// Whether the k-th frame of a flow is lost; moves the flow's state on.
fn lost(loss: &Loss, state: &mut State, k: u64, number: u64, seed: u64) -> bool {
    let draw = |kind| draw::of(seed, kind);
    match loss {
        Loss::None => false,
        Loss::Independent(chance) => chance.hits(draw(Kind::Loss)),
        Loss::Scripted(which) => which.binary_search(&k).is_ok(),
        Loss::GilbertElliott {
            to_bad,
            to_good,
            loss_good,
            loss_bad,
        } => {
            if *state == State::Unknown {
                // It is bad for to_bad / (to_bad + to_good) of the time.
                let sum = u128::from(to_bad.bits()) + u128::from(to_good.bits());
                let start = u128::from(draw::of(!number, Kind::Start));
                let bad = start * sum < u128::from(to_bad.bits()) << 64;
                *state = if bad { State::Bad } else { State::Good };
            }
            let (loss, next, change) = match state {
                State::Bad => (loss_bad, State::Good, to_good),
                _ => (loss_good, State::Bad, to_bad),
            };
            if change.hits(draw(Kind::Change)) {
                *state = next;
            }
            loss.hits(draw(Kind::Loss))
        }
    }
}
