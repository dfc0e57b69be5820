//! Controlled delay: drops when frames have waited too long for too long.
//!
//! ```text
//!                  waited > target for an interval: drop one
//!     +---------+ ------------------------------------------> +----------+
//!     | forward |                                             | dropping |--+ drop one at
//!     +---------+ <------------------------------------------ +----------+<-+ last + interval/√count
//!                  waited < target, or a frame's worth left
//! ```
//!
//! Read first: RFC 8289 §5 (the pseudo-code; the names are its).
//!
//! Promises: the square root is exact to the nanosecond, rounded down.
//!
//! Left out: a threshold for marks apart from the target (RFC 8290 §5.2.7): drop-tail has one.

use super::{Fifo, mark};
use crate::link::impair::ledger::{Ledger, Packet};
use crate::reason::DropReason;
use crate::time::{Duration, Instant, nanos};

/// What CoDel aims at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// TARGET: the standing delay that is acceptable. Default 5 ms (RFC 8289 §4.4).
    pub target: Duration,
    /// INTERVAL: how long it may be exceeded; of the order of the worst usual round trip. Default
    /// 100 ms (RFC 8289 §4.3).
    pub interval: Duration,
    /// Frames that may wait, at least one. Default 1000.
    pub packets: u32,
    /// Mark frames whose transport is capable of ECN instead of dropping them. Default true.
    pub ecn: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
            packets: 1000,
            ecn: true,
        }
    }
}

/// One queue under control.
#[derive(Clone, Debug)]
pub(in crate::link::impair) struct Codel {
    pub(super) config: Config,
    pub(super) fifo: Fifo,
    control: Control,
}

impl Codel {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            fifo: Fifo::default(),
            control: Control::default(),
        }
    }

    pub(super) fn pop(&mut self, now: Instant, mtu: u64, ledger: &mut Ledger) -> Option<Packet> {
        let params = Params::new(&self.config, mtu);
        self.control.dequeue(now, &params, &mut self.fifo, ledger)
    }
}

/// What the control law needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Params {
    pub(super) target: Duration,
    pub(super) interval: Duration,
    pub(super) ecn: bool,
    //= RFC 8289 §5.3: maxpacket should be the interface's MTU.
    /// Bytes that may stand without being a queue.
    pub(super) max_packet: u64,
}

impl Params {
    fn new(config: &Config, max_packet: u64) -> Self {
        Self {
            target: config.target,
            interval: config.interval,
            ecn: config.ecn,
            max_packet,
        }
    }
}

/// RFC 8289 §5.2's state of a queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Control {
    /// When the sojourn time will have been above the target for an interval.
    first_above_time: Option<Instant>,
    drop_next: Instant,
    /// Packets dropped (or marked) since the drop state was entered.
    count: u32,
    last_count: u32,
    dropping: bool,
}

impl Control {
    /// §5.5. What is marked instead of dropped counts as dropped, and is sent.
    pub(super) fn dequeue(
        &mut self,
        now: Instant,
        params: &Params,
        fifo: &mut Fifo,
        ledger: &mut Ledger,
    ) -> Option<Packet> {
        let (packet, ok_to_drop) = self.dodequeue(now, params, fifo);
        let Some(mut packet) = packet else {
            self.dropping = false;
            return None;
        };
        if !self.dropping {
            return if ok_to_drop {
                self.enter(now, params, packet, fifo, ledger)
            } else {
                Some(packet)
            };
        }
        self.dropping = ok_to_drop;
        while self.dropping && now >= self.drop_next {
            self.count = self.count.saturating_add(1);
            if params.ecn && mark(&mut packet, ledger) {
                self.drop_next = control_law(self.drop_next, params.interval, self.count);
                break;
            }
            ledger.lose(packet, DropReason::WireCodel);
            let (next, ok_to_drop) = self.dodequeue(now, params, fifo);
            if ok_to_drop {
                self.drop_next = control_law(self.drop_next, params.interval, self.count);
            } else {
                self.dropping = false;
            }
            packet = next?;
        }
        Some(packet)
    }

    /// Enters the drop state, with the first drop or mark.
    fn enter(
        &mut self,
        now: Instant,
        params: &Params,
        mut packet: Packet,
        fifo: &mut Fifo,
        ledger: &mut Ledger,
    ) -> Option<Packet> {
        let sent = if params.ecn && mark(&mut packet, ledger) {
            Some(packet)
        } else {
            ledger.lose(packet, DropReason::WireCodel);
            self.dodequeue(now, params, fifo).0
        };
        self.dropping = true;
        // Where the queue was controlled not long ago, the rate that did it is where to begin.
        let delta = self.count.wrapping_sub(self.last_count);
        let recent = now.since(self.drop_next) < params.interval.saturating_mul(16);
        self.count = if delta > 1 && recent { delta } else { 1 };
        self.drop_next = control_law(now, params.interval, self.count);
        self.last_count = self.count;
        sent
    }

    /// §5.6: a packet, and whether it may be dropped.
    fn dodequeue(
        &mut self,
        now: Instant,
        params: &Params,
        fifo: &mut Fifo,
    ) -> (Option<Packet>, bool) {
        let Some(packet) = fifo.pop() else {
            self.first_above_time = None;
            return (None, false);
        };
        let sojourn_time = now.since(packet.sent);
        let mut ok_to_drop = false;
        if sojourn_time < params.target || fifo.bytes <= params.max_packet {
            self.first_above_time = None;
        } else {
            match self.first_above_time {
                None => self.first_above_time = Some(now + params.interval),
                Some(time) => ok_to_drop = now >= time,
            }
        }
        (Some(packet), ok_to_drop)
    }
}

/// When to drop next: `t + interval / √count`.
pub(in crate::link::impair) fn control_law(t: Instant, interval: Duration, count: u32) -> Instant {
    let interval = u128::from(nanos(interval));
    // The root of the quotient is the quotient by the root, and whole numbers lose less this way.
    let step = (interval * interval / u128::from(count.max(1))).isqrt();
    t + Duration::from_nanos(u64::try_from(step).unwrap_or(u64::MAX))
}
