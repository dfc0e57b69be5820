//! What a run knows: packets that left, calls that wait, connections, and what was exchanged.

use super::socket::Socket;
use crate::pkt::code::Variables;
use crate::pkt::config::Config;
use crate::pkt::place::Place;
use crate::pkt::shell::Step;
use crate::pkt::tree::{Packet, Script, SystemCall};
use crate::pkt::wire::Seen;
use crate::posix::{Call, Process};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

/// Why a run ends early.
#[derive(Clone, Debug)]
pub(super) enum Stop {
    /// Something is not as the script says.
    Fail(String, Vec<String>),
    /// It cannot be done here.
    Cannot(String),
}

pub(super) type Result<T> = std::result::Result<T, Stop>;

pub(super) fn fail<T>(why: impl Into<String>) -> Result<T> {
    Err(Stop::Fail(why.into(), Vec::new()))
}

pub(super) fn cannot<T>(why: impl Into<String>) -> Result<T> {
    Err(Stop::Cannot(why.into()))
}

/// A script made ready: every shell block as steps, by the event's number.
pub(crate) struct Prepared<'a> {
    pub(crate) script: &'a Script,
    pub(crate) text: &'a str,
    pub(crate) init: Vec<Step>,
    pub(crate) blocks: BTreeMap<usize, Vec<Step>>,
    pub(crate) config: Config,
}

/// One entry of the exchange, put into words only when asked.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Packet(Box<Packet>),
    Line(u32),
    Note(String),
}

pub(super) struct Runner<'a> {
    pub(super) prepared: &'a Prepared<'a>,
    pub(super) lines: Vec<&'a str>,
    pub(super) process: Process,
    pub(super) start: Duration,
    pub(super) sockets: Vec<Socket>,
    pub(super) under_test: Option<usize>,
    /// Script's descriptors and the process's.
    pub(super) fds: BTreeMap<i32, i32>,
    pub(super) queue: VecDeque<Outgoing>,
    pub(super) pending: Vec<Pending>,
    pub(super) variables: Variables,
    pub(super) files: BTreeMap<String, u64>,
    /// Counters as they were when they were looked at last.
    pub(super) counted: BTreeMap<String, u64>,
    pub(super) exchange: Vec<(u64, Entry)>,
    /// Time of the event before, and whether it was a packet that arrived.
    pub(super) last: Option<(u64, bool)>,
    /// Where in an event it stopped, if that is known better.
    pub(super) at: Option<Place>,
    /// Nothing but zero bytes was written so far.
    pub(super) zeros: bool,
    pub(super) next_port: u16,
}

/// A call that waits while the script goes on.
pub(super) struct Pending {
    pub(super) at: Place,
    pub(super) spec: SystemCall,
    pub(super) call: Call,
    /// When it was made, and when it should return.
    pub(super) begun: u64,
    pub(super) end: u64,
}

/// A packet that left and that no event has asked for yet.
pub(super) struct Outgoing {
    pub(super) at: u64,
    pub(super) seen: Seen,
    /// It stands for a run of segments of this size.
    pub(super) mss: Option<u16>,
}

/// Seconds with six digits.
pub(super) fn clock(nanos: u64) -> String {
    let mut text = String::new();
    let _ = write!(
        text,
        "{}.{:06}",
        nanos / 1_000_000_000,
        nanos / 1000 % 1_000_000
    );
    text
}
