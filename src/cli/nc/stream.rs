//! `nc` over TCP: either end of a connection, each direction ended by itself.
//!
//! ```text
//!   stdin  --pieces--> tcp_send_bytes ... end of input --> FIN       what is not taken waits here
//!   stdout <--pieces-- tcp_recv_bytes ... peer's FIN                 and is not read before
//!                       both --> close, and stay until the peer has acknowledged it
//! ```

use super::args::{Args, Ends, Source};
use crate::cli::{Failure, attach, report};
use crate::runtime::stdin::Chunk;
use crate::runtime::{Next, Wake};
use bytes::{Buf as _, Bytes};
use stack::host::{Host, ListenHandle, TcpHandle};
use stack::time::{Duration, Instant, earliest};
use stack::transport::any_of;
use stack::transport::tcp::{self, Error, ListenOptions};
use stack::wire::Cidr;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;

/// How long the end of a connection may take: the host goes with this process.
const LINGER: Duration = Duration::from_secs(10);
/// The same where silence ended it: a peer that has said nothing so far need not be waited for twice.
const SHORT_LINGER: Duration = Duration::from_secs(1);
/// A listener whose peer has finished stays for so long for what else there is to say: standard input
/// may have no end.
const LAST_WORD: Duration = Duration::from_secs(1);
/// With Fast Open, connections that may wait whose client may be elsewhere than it says.
const EARLY: usize = 16;
/// Bytes written to standard output at a time.
const PIECE: usize = 256 << 10;

/// The two streams and the connection between them.
pub(super) struct Line<S, W> {
    args: Args,
    ends: Ends,
    input: S,
    pub(super) out: W,
    listener: Option<ListenHandle>,
    open: Option<Open>,
    begun: bool,
    /// Read, and not sent yet.
    unsent: Bytes,
    /// Standard input has ended.
    ended: bool,
    last_active: Instant,
    /// All is said: until when to wait for the last acknowledgments, and the exit code.
    closing: Option<(Instant, u8)>,
}

/// A connection.
struct Open {
    handle: TcpHandle,
    peer: SocketAddr,
    connected: bool,
    /// We have finished.
    shut: bool,
    /// The peer has.
    deaf: bool,
}

impl Open {
    const fn new(handle: TcpHandle, peer: SocketAddr) -> Self {
        Self {
            handle,
            peer,
            connected: false,
            shut: false,
            deaf: false,
        }
    }
}

impl<S: Source, W: Write> Line<S, W> {
    pub(super) fn new(args: Args, ends: Ends, input: S, out: W) -> Self {
        Self {
            args,
            ends,
            input,
            out,
            listener: None,
            open: None,
            begun: false,
            unsent: Bytes::new(),
            ended: false,
            last_active: Instant::ZERO,
            closing: None,
        }
    }

    pub(super) fn turn(
        &mut self,
        host: &mut Host,
        now: Instant,
        wake: &Wake,
    ) -> Next<Result<u8, Failure>> {
        match self.step(host, now) {
            Ok(()) => {}
            Err(failure) => {
                self.abandon(host, now);
                return ControlFlow::Break(Err(failure));
            }
        }
        if wake.stop {
            self.abandon(host, now);
            return ControlFlow::Break(Ok(0));
        }
        if let Some((until, code)) = self.closing {
            return match attach::is_quiet(host) || now >= until {
                true => ControlFlow::Break(Ok(code)),
                false => ControlFlow::Continue(Some(until)),
            };
        }
        let silence = self.args.wait.map(|w| self.last_active + w);
        if silence.is_some_and(|at| now >= at) {
            if let Some(open) = self.open.as_ref().filter(|o| !o.connected) {
                let waited = self.args.wait.unwrap_or_default();
                let failure = Failure::unmet(format!("{}: no answer in {waited:?}", open.peer));
                self.abandon(host, now);
                return ControlFlow::Break(Err(failure));
            }
            self.leave(host, now);
            self.closing = Some((now + SHORT_LINGER, 0));
            return ControlFlow::Continue(Some(now));
        }
        let deaf = self.open.as_ref().is_some_and(|open| open.deaf);
        let last_word = self.last_word().filter(|_| deaf);
        ControlFlow::Continue(earliest(silence, last_word))
    }

    /// Until when a listener waits for more to say to a peer that has finished.
    fn last_word(&self) -> Option<Instant> {
        (self.args.listen && self.unsent.is_empty()).then_some(self.last_active + LAST_WORD)
    }

    /// What the kernel does for a program that ends.
    fn leave(&mut self, host: &mut Host, now: Instant) {
        if let Some(open) = self.open.take() {
            host.tcp_close(now, open.handle);
        }
    }

    /// There is nobody left who could wait for the end of the connection: the peer is told.
    fn abandon(&mut self, host: &mut Host, now: Instant) {
        if let Some(open) = self.open.take() {
            host.tcp_abort(now, open.handle);
        }
    }

    fn step(&mut self, host: &mut Host, now: Instant) -> Result<(), Failure> {
        if !self.begun {
            self.begin(host, now)?;
        }
        attach::pass_events(host);
        if self.closing.is_some() {
            return Ok(());
        }
        if self.open.is_none() {
            self.accept(host, now);
        }
        let Some(mut open) = self.open.take() else {
            return Ok(());
        };
        // What came before the end is still to be read.
        if let Err(failed) = self.receive(host, now, &mut open) {
            self.open = Some(open);
            return Err(failed);
        }
        if let Some(error) = host.tcp_take_error(open.handle) {
            host.tcp_abort(now, open.handle);
            let failed = Failure::unmet(format!("{}: {error}", open.peer));
            return match self.args.listen && self.args.keep {
                true => {
                    eprintln!("tapline: {failed}");
                    Ok(())
                }
                false => Err(failed),
            };
        }
        let state = host.tcp_state(open.handle).unwrap_or_default();
        // What a listener gives may be spoken to, also before its handshake has ended.
        if !open.connected && !state.is_synchronized() && !self.args.listen {
            self.open = Some(open);
            return Ok(());
        }
        if !open.connected {
            open.connected = true;
            self.last_active = now;
            log::info!("{} is connected", open.peer);
        }
        let done = self.send(host, now, &mut open);
        let over = open.deaf && (open.shut || self.last_word().is_some_and(|at| now >= at));
        if over && done.is_ok() {
            host.tcp_close(now, open.handle);
            if !self.args.keep {
                self.closing = Some((now + LINGER, 0));
            }
        } else {
            self.open = Some(open);
        }
        done
    }

    fn begin(&mut self, host: &mut Host, now: Instant) -> Result<(), Failure> {
        self.begun = true;
        self.last_active = now;
        let any = SocketAddr::new(self.args.family.everywhere(), self.ends.port);
        if self.args.listen {
            let only = self.ends.peer.and_then(|peer| match peer.ip() {
                ip @ IpAddr::V4(_) => Cidr::new(ip, 32),
                ip @ IpAddr::V6(_) => Cidr::new(ip, 128),
            });
            let options = ListenOptions {
                accept_from: only.into_iter().collect(),
                only_v6: self.args.family.ipv6,
                fast_open: if self.args.fast_open { EARLY } else { 0 },
                ..ListenOptions::default()
            };
            let listener = host.tcp_listen(any, options);
            let refused = |e| Failure::usage(format!("port {}: {e}", self.ends.port));
            self.listener = Some(listener.map_err(refused)?);
            return Ok(());
        }
        let Some(peer) = self.ends.peer else {
            return Err(Failure::usage("nobody to connect to"));
        };
        let from = (self.ends.port != 0).then_some(SocketAddr::new(any_of(peer.ip()), any.port()));
        let options = tcp::Options {
            fast_open: self.args.fast_open,
            ..tcp::Options::default()
        };
        let connecting = host.tcp_connect(now, peer, from, options);
        let handle = connecting.map_err(|e| attach::cannot_connect(peer, e))?;
        self.open = Some(Open::new(handle, peer));
        if self.args.fast_open {
            self.send_early(host, now, handle)?;
        }
        Ok(())
    }

    /// Hands over what waits on standard input before the SYN leaves.
    fn send_early(&mut self, host: &mut Host, now: Instant, h: TcpHandle) -> Result<(), Failure> {
        match self.input.next_chunk().map_err(report::untold)? {
            Chunk::Bytes(bytes) => self.unsent = bytes.into(),
            Chunk::End => self.ended = true,
            Chunk::Empty => {}
        }
        if let Ok(n) = host.tcp_send_bytes(now, h, self.unsent.clone()) {
            self.unsent.advance(n.min(self.unsent.len()));
        }
        Ok(())
    }

    fn accept(&mut self, host: &mut Host, now: Instant) {
        let Some(listener) = self.listener else {
            return;
        };
        let Some((handle, peer)) = host.tcp_accept(listener) else {
            return;
        };
        self.last_active = now;
        self.open = Some(Open::new(handle, peer));
        if !self.args.keep {
            host.tcp_stop_listening(now, listener);
            self.listener = None;
        }
    }

    fn receive(&mut self, host: &mut Host, now: Instant, open: &mut Open) -> Result<(), Failure> {
        while !open.deaf {
            match host.tcp_recv_bytes(now, open.handle, PIECE) {
                Ok(piece) if piece.is_empty() => {
                    open.deaf = true;
                    self.last_active = now;
                }
                Ok(piece) => {
                    self.last_active = now;
                    self.out.write_all(&piece).map_err(report::untold)?;
                }
                Err(Error::WouldBlock) => break,
                // What ended it is taken, and told, after this.
                Err(_) => break,
            }
        }
        self.out.flush().map_err(report::untold)
    }

    fn send(&mut self, host: &mut Host, now: Instant, open: &mut Open) -> Result<(), Failure> {
        while !open.shut {
            if self.unsent.is_empty() && !self.ended {
                match self.input.next_chunk().map_err(report::untold)? {
                    Chunk::Bytes(bytes) => self.unsent = bytes.into(),
                    Chunk::End => self.ended = true,
                    Chunk::Empty => return Ok(()),
                }
            }
            if self.unsent.is_empty() {
                host.tcp_shutdown(now, open.handle);
                open.shut = true;
                return Ok(());
            }
            match host.tcp_send_bytes(now, open.handle, self.unsent.clone()) {
                Ok(0) | Err(_) => return Ok(()),
                Ok(n) => {
                    self.last_active = now;
                    self.unsent.advance(n.min(self.unsent.len()));
                }
            }
        }
        Ok(())
    }
}
