//! One end of a path, of either stack: frames on one side, a program's calls on the other.
//!
//! ```text
//!   handle_frame --> +-----+ <-- listen connect send recv shutdown close abort
//!   poll_transmit <- | End |
//!   poll_timeout <-- +-----+ --> accept, is_over
//! ```

use stack::frame::Frame;
use stack::time::Instant;
use stack::wire::MacAddr;
use std::net::Ipv4Addr;

/// Who an end is.
#[derive(Clone, Copy)]
pub(crate) struct Station {
    pub(crate) mac: MacAddr,
    pub(crate) addr: Ipv4Addr,
}

/// The two ends of every path here: a sender and a receiver.
pub(crate) const STATIONS: [Station; 2] = [station(1), station(2)];

const fn station(n: u8) -> Station {
    Station {
        mac: MacAddr([2, 0, 0, 0, 0, n]),
        addr: Ipv4Addr::new(10, 7, 0, n),
    }
}

/// How a sender decides how much may be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Reno,
    Cubic,
    /// Ours only.
    Bbr,
}

/// What a connection is opened with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tcp {
    /// The receive buffer, which is the largest window.
    pub(crate) window: usize,
    /// The send buffer.
    pub(crate) unsent: usize,
    pub(crate) algorithm: Algorithm,
}

/// A connection of an end, by number.
pub(crate) type Conn = usize;

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Io {
    /// So many bytes were taken or given, at least one.
    Did(usize),
    /// Not now.
    Wait,
    /// The peer has finished; all that it sent was given.
    Finished,
    /// The connection is broken.
    Failed,
}

/// One end.
pub(crate) trait End {
    fn handle_frame(&mut self, now: Instant, frame: Frame);
    fn poll_transmit(&mut self, now: Instant) -> Option<Frame>;
    fn poll_timeout(&mut self, now: Instant) -> Option<Instant>;
    fn handle_timeout(&mut self, now: Instant);

    /// Waits for one connection to a port.
    fn listen(&mut self, now: Instant, port: u16, tcp: &Tcp);
    /// The connection that came to a port, if one is established.
    fn accept(&mut self, now: Instant, port: u16) -> Option<Conn>;
    /// Opens a connection from a port to the same port of the other end.
    fn connect(&mut self, now: Instant, to: Ipv4Addr, port: u16, tcp: &Tcp) -> Conn;
    fn send(&mut self, now: Instant, conn: Conn, data: &[u8]) -> Io;
    fn recv(&mut self, now: Instant, conn: Conn, room: &mut [u8]) -> Io;
    /// Nothing more will be sent.
    fn shutdown(&mut self, now: Instant, conn: Conn);
    fn abort(&mut self, now: Instant, conn: Conn);
    /// Whether it can be finished: before that, closing gives the attempt up (RFC 9293 §3.10.4).
    fn is_open(&mut self, conn: Conn) -> bool;
    /// Its state's name, for messages.
    fn state(&mut self, conn: Conn) -> String;
    /// Whether the connection is over: closed, reset, or only waiting for old segments to die.
    fn is_over(&mut self, conn: Conn) -> bool;
}

/// Which stack an end is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    Smoltcp,
    Tapline,
}

impl Stack {
    /// An end of it.
    pub(crate) fn end(self, station: Station, seed: u64) -> Box<dyn End> {
        match self {
            Self::Smoltcp => Box::new(super::smol::Smoltcp::new(station, seed)),
            Self::Tapline => Box::new(super::tap::Tapline::new(station, seed)),
        }
    }
}
