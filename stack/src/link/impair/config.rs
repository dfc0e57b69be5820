//! What a direction of a wire is like, and the rules that a fault script lays over it.

use super::Chance;
use super::queue::Queue;
use crate::time::Duration;
use crate::wire::Protocol;
use alloc::vec::Vec;
use core::net::IpAddr;

/// One direction of a wire. By default a perfect one: no delay, no limit, no loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Bits a second; `None`: as fast as frames come; `Some(0)`: the transmitter stands still and
    /// frames wait.
    pub rate: Option<u64>,
    /// Bytes that a frame takes on the wire besides its own, for timing only: 24 for Ethernet's
    /// preamble, check sequence and gap (IEEE 802.3 §3.1.1, §4.4.2). Default 0.
    pub overhead: u16,
    /// Propagation: from the last bit sent to the last bit received.
    pub delay: Duration,
    /// The delay is even in `delay ± jitter`, never below 0.
    pub jitter: Duration,
    /// Jitter does not reorder: an arrival is never before that of the frame sent before it, unless
    /// that one was held back on purpose. Default false.
    pub in_order: bool,
    /// Which frames are lost.
    pub loss: Loss,
    /// A frame arrives twice. The copy takes no time to send.
    pub duplicate: Chance,
    /// A frame is held back by [`reorder_by`](Self::reorder_by).
    pub reorder: Chance,
    /// How much later a reordered frame arrives. Default 10 ms.
    pub reorder_by: Duration,
    /// A bit is flipped: each bit of the frame and of its check sequence.
    pub bit_errors: Chance,
    /// Frames carry a check sequence: one with flipped bits is dropped at arrival, unless CRC-32
    /// really misses it. Default true.
    pub frame_check: bool,
    /// The largest packet, without Ethernet header and tags. Default 1500.
    pub mtu: usize,
    /// What waits for the transmitter.
    pub queue: Queue,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rate: None,
            overhead: 0,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            in_order: false,
            loss: Loss::None,
            duplicate: Chance::NEVER,
            reorder: Chance::NEVER,
            reorder_by: Duration::from_millis(10),
            bit_errors: Chance::NEVER,
            frame_check: true,
            mtu: 1500,
            queue: Queue::default(),
        }
    }
}

impl Config {
    /// The first of its fields that cannot be meant as it is, and why.
    ///
    /// ```
    /// use stack::link::impair::Config;
    /// assert_eq!(Config::default().contradiction(), None);
    /// let jitter = core::time::Duration::from_millis(3);
    /// let early = Config { jitter, ..Config::default() };
    /// assert_eq!(early.contradiction().map(|(field, _)| field), Some("jitter"));
    /// ```
    #[must_use]
    pub fn contradiction(&self) -> Option<(&'static str, &'static str)> {
        if self.jitter > self.delay {
            let why = "the jitter is more than the delay, and no frame arrives before it was sent";
            return Some(("jitter", why));
        }
        self.queue.contradiction().map(|why| ("queue", why))
    }
}

/// Which frames are lost. A lost frame never reaches the queue, so that what is lost does not
/// depend on what else is sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// Each frame by itself.
    Independent(Chance),
    /// Losses in bursts: a Markov chain of two states (Gilbert 1960, Elliott 1963), one for each
    /// flow, which begins in either as often as it is in it.
    GilbertElliott {
        /// From good to bad, after a frame.
        to_bad: Chance,
        /// From bad to good, after a frame: bursts are `1 / to_good` frames long on average.
        to_good: Chance,
        /// Loss while good.
        loss_good: Chance,
        /// Loss while bad.
        loss_bad: Chance,
    },
    /// The `k`-th frames of each flow, from 0.
    Scripted(Vec<u64>),
}

/// A rule laid over a way for a time: a line of a fault script. Rules are tried in order, and the
/// first whose verdict falls wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Names the rule: its draws belong to (id, flow, k).
    pub id: u64,
    /// Which frames it looks at.
    pub matches: Match,
    /// How often it takes one.
    pub chance: Chance,
    /// Takes only so many more.
    pub left: Option<u32>,
    /// What becomes of one that it takes.
    pub act: Act,
}

/// Which frames a rule looks at: all that agree with each part that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// ARP, or a protocol over IP.
    pub protocol: Option<Matched>,
    /// Source; of ARP, the sender.
    pub src: Option<IpAddr>,
    /// Destination; of ARP, the target.
    pub dst: Option<IpAddr>,
    /// Either port. A fragment has none.
    pub port: Option<u16>,
}

/// A protocol to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// ARP.
    Arp,
    /// Over IPv4 or IPv6.
    Ip(Protocol),
}

/// What a rule does to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Loses it.
    Drop,
    /// Lets it arrive twice.
    Duplicate,
    /// Flips one bit of it. Where there is a frame check, that catches it.
    Corrupt,
    /// Lets it arrive so much later.
    Delay(Duration),
    /// The same, to be told apart in a trace: it is meant to come after what was sent later.
    Reorder(Duration),
}
