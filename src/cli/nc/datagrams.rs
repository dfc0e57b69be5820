//! `nc -u`: a read, a datagram.
//!
//! ```text
//!   stdin --a read, a datagram--> udp_send        connected: to DEST; listening: to who spoke last
//!   stdout <--a datagram-- udp_recv               ICMP errors --> a line on standard error
//! ```

use super::args::{Args, Ends, Source};
use crate::cli::{Failure, attach, report};
use crate::runtime::stdin::Chunk;
use crate::runtime::{Next, Wake};
use bytes::Bytes;
use stack::frame::Payload;
use stack::host::{Host, SendError, UdpHandle};
use stack::net::groups::FilterMode;
use stack::time::Instant;
use stack::transport::udp;
use std::io::Write;
use std::net::SocketAddr;
use std::ops::ControlFlow;

/// The two streams and the socket between them.
pub(super) struct Cat<S, W> {
    args: Args,
    ends: Ends,
    /// Where a group is joined.
    interface: u16,
    input: S,
    pub(super) out: W,
    socket: Option<UdpHandle>,
    /// Who is answered.
    peer: Option<SocketAddr>,
    /// Read, and not sent yet.
    unsent: Option<Bytes>,
    ended: bool,
    last_active: Instant,
}

impl<S: Source, W: Write> Cat<S, W> {
    pub(super) fn new(args: Args, ends: Ends, interface: u16, input: S, out: W) -> Self {
        Self {
            args,
            peer: ends.peer,
            ends,
            interface,
            input,
            out,
            socket: None,
            unsent: None,
            ended: false,
            last_active: Instant::ZERO,
        }
    }

    pub(super) fn turn(
        &mut self,
        host: &mut Host,
        now: Instant,
        wake: &Wake,
    ) -> Next<Result<u8, Failure>> {
        let ended = match self.step(host, now) {
            Ok(None) if wake.stop => Ok(0),
            Ok(None) => {
                return ControlFlow::Continue(self.args.wait.map(|w| self.last_active + w));
            }
            Ok(Some(code)) => Ok(code),
            Err(failure) => Err(failure),
        };
        // What the kernel does for a program that ends: routers hear that the group is left.
        if let (Some(socket), Some(group)) = (self.socket, self.args.join) {
            host.udp_leave(now, socket, self.interface, group);
        }
        ControlFlow::Break(ended)
    }

    fn step(&mut self, host: &mut Host, now: Instant) -> Result<Option<u8>, Failure> {
        let socket = match self.socket {
            Some(socket) => socket,
            None => self.open(host, now)?,
        };
        attach::pass_events(host);
        self.receive(host, socket, now)?;
        if let Some(code) = self.errors(host, socket) {
            return Ok(Some(code));
        }
        self.send_all(host, socket, now)?;
        let silent = self.args.wait.is_some_and(|w| now >= self.last_active + w);
        Ok(silent.then_some(0))
    }

    fn open(&mut self, host: &mut Host, now: Instant) -> Result<UdpHandle, Failure> {
        let any = SocketAddr::new(self.args.family.everywhere(), self.ends.port);
        let refused = |e| Failure::usage(format!("port {}: {e}", self.ends.port));
        let options = udp::Options {
            only_v6: self.args.family.ipv6,
            ..host.config().udp
        };
        let socket = host.udp_bind_with(any, options).map_err(refused)?;
        if let Some(options) = host.udp_options(socket) {
            options.broadcast = self.args.broadcast;
        }
        if let Some(group) = self.args.join {
            let mode = match self.args.source.as_slice() {
                [] => FilterMode::Exclude,
                _ => FilterMode::Include,
            };
            host.udp_join(now, socket, self.interface, group, mode, &self.args.source)
                .map_err(|e| Failure::usage(format!("{group}: {e}")))?;
        }
        if let Some(peer) = self.ends.peer {
            connect(host, socket, peer)?;
        }
        self.socket = Some(socket);
        self.last_active = now;
        log::info!("port {:?}", host.udp_local(socket));
        Ok(socket)
    }

    fn receive(&mut self, host: &mut Host, socket: UdpHandle, now: Instant) -> Result<(), Failure> {
        while let Some(datagram) = host.udp_recv(socket) {
            self.last_active = now;
            if self.peer != Some(datagram.from) {
                log::info!("{} speaks", datagram.from);
                self.peer = Some(datagram.from);
                // Without -k, whoever speaks first is the only one heard from then on.
                if !self.args.keep && self.ends.peer.is_none() {
                    connect(host, socket, datagram.from)?;
                    self.ends.peer = self.peer;
                }
            }
            let bytes = datagram.payload.to_bytes();
            self.out
                .write_all(&bytes)
                .and_then(|()| self.out.flush())
                .map_err(report::untold)?;
        }
        Ok(())
    }

    /// Says what came back; the exit code where that ends it.
    fn errors(&self, host: &mut Host, socket: UdpHandle) -> Option<u8> {
        let mut code = None;
        while let Some(error) = host.udp_take_error(socket) {
            eprintln!(
                "tapline: {}: {:?}, says {}",
                error.to, error.kind, error.offender
            );
            if error.kind.is_hard() && !self.args.listen {
                code = Some(1);
            }
        }
        code
    }

    fn send_all(
        &mut self,
        host: &mut Host,
        socket: UdpHandle,
        now: Instant,
    ) -> Result<(), Failure> {
        // While nobody is known to send to, what is typed waits where it is.
        while let Some(peer) = self.peer {
            if self.unsent.is_none() && !self.ended {
                match self.input.next_chunk().map_err(report::untold)? {
                    Chunk::Bytes(bytes) => self.unsent = Some(bytes.into()),
                    Chunk::End => self.ended = true,
                    Chunk::Empty => {}
                }
            }
            let Some(bytes) = self.unsent.take() else {
                return Ok(());
            };
            self.last_active = now;
            match host.udp_send(now, socket, Payload::from(bytes.clone()), Some(peer)) {
                Ok(()) => {}
                Err(SendError::WouldBlock) => {
                    self.unsent = Some(bytes);
                    return Ok(());
                }
                Err(SendError::Failed(error)) => {
                    return Err(Failure::unmet(format!("{peer}: {:?}", error.kind)));
                }
                Err(e) => return Err(cannot_send(peer, e)),
            }
        }
        Ok(())
    }
}

fn connect(host: &mut Host, socket: UdpHandle, peer: SocketAddr) -> Result<(), Failure> {
    host.udp_connect(socket, peer)
        .map_err(|e| cannot_send(peer, e))
}

fn cannot_send(peer: SocketAddr, error: SendError) -> Failure {
    match (peer.ip(), error) {
        (_, SendError::BroadcastNotAllowed) => Failure {
            remedy: Some("nc -b, if everyone shall hear it".to_owned()),
            ..Failure::usage(format!("{peer}: {error}"))
        },
        (addr, error) => attach::cannot_send(addr, error),
    }
}
