//! Segments become packets: a connection's turn, its next hop, its headers.

use super::{Ends, Link};
use crate::frame::{Checksum, Frame, Gso, GsoKind};
use crate::host::Host;
use crate::host::config::Medium;
use crate::host::event::Who;
use crate::host::interface::Hop;
use crate::net::ipv4;
use crate::net::neighbor::{Lookup, State as Neighbor};
use crate::reason::DropReason;
use crate::time::Instant;
use crate::transport::Key;
use crate::transport::tcp::Outgoing;
use crate::wire::checksum::Sum;
use crate::wire::tcp::{Flags, Header};
use crate::wire::{EtherType, MacAddr, Protocol, Writer};
use alloc::collections::VecDeque;
use core::net::IpAddr;

/// Data of the largest super-segment: what an IPv4 packet holds beside its own header and TCP's
/// longest.
const MAX_DATA: usize = ipv4::MAX_LEN - 20 - 60;
/// Segments given up at once where there is no way; a connection has no more of them ready.
const MAX_GIVEN_UP: usize = 64;

/// Whether a connection's next segment can leave.
enum Door {
    /// By this interface, to this station.
    Open(MacAddr),
    /// It is the one that waits for its next hop to be known.
    Ask,
    /// Another waits for it already.
    Held,
}

impl Host {
    /// Puts a connection that has something to send in turn on its interface; `false` where there
    /// is no way, and what it had to send has been given up.
    pub(super) fn put_in_turn(&mut self, now: Instant, key: Key) -> bool {
        self.update_link(now, key);
        let Some(entry) = self.tcp.connections.get_mut(key) else {
            return false;
        };
        let at = entry.link.interface;
        let up = self.interfaces.get(usize::from(at)).is_some_and(|i| i.up);
        let closed = match entry.link.none {
            None if !up => Some(DropReason::InterfaceDown),
            none => none,
        };
        if let Some(reason) = closed {
            // It is sent all the same, as far as the connection can tell: its timers run, and its
            // patience ends (RFC 9293 §3.8.3).
            let mut given_up = 0;
            while given_up < MAX_GIVEN_UP && entry.connection.poll_transmit(now, 0).is_some() {
                given_up += 1;
            }
            self.stats.drop_out(reason, given_up as u64);
            return false;
        }
        entry.in_turn = true;
        if let Some(interface) = self.interfaces.get_mut(usize::from(at)) {
            interface.queues.sockets.push_back(Who::Tcp(key));
        }
        self.list(at);
        true
    }

    /// Connections have lost their turn with the interface it was on: they look for another.
    pub(in crate::host) fn requeue(&mut self, now: Instant, turns: VecDeque<Who>) {
        for who in turns {
            if let Who::Tcp(key) = who
                && let Some(entry) = self.tcp.connections.get_mut(key)
            {
                entry.in_turn = false;
                self.refresh(now, key);
            }
        }
    }

    /// A connection's turn on an interface: its next segment, if it may leave.
    pub(in crate::host) fn transmit_tcp(
        &mut self,
        now: Instant,
        at: u16,
        key: Key,
    ) -> Option<Frame> {
        self.update_link(now, key);
        let entry = self.tcp.connections.get_mut(key)?;
        entry.in_turn = false;
        let link = entry.link;
        if link.interface != at || link.none.is_some() {
            self.refresh(now, key);
            return None;
        }
        if link.local {
            self.transmit_to_self(now, key);
            return None;
        }
        let door = self.door(now, &link);
        if matches!(door, Door::Held) {
            self.hold(now, key);
            return None;
        }
        let tso = self.interface(at)?.config.tso;
        let max = match door {
            Door::Open(_) if tso => MAX_DATA,
            _ => 0,
        };
        let frame = self.next_segment(now, key, max, tso);
        self.refresh_with(now, key, frame.is_none());
        let mut frame = frame?;
        match door {
            Door::Open(mac) => {
                let interface = self.interfaces.get_mut(usize::from(at))?;
                interface.encapsulate(&mut frame, mac, EtherType::IPV4);
                self.count_out(at, frame.len());
                Some(frame)
            }
            _ => {
                let frame = self.resolve(now, at, Hop::Neighbor(link.hop), frame)?;
                self.count_out(at, frame.len());
                Some(frame)
            }
        }
    }

    /// Whether the next hop is known.
    #[inline]
    fn door(&mut self, now: Instant, link: &Link) -> Door {
        let Some(interface) = self.interfaces.get_mut(usize::from(link.interface)) else {
            return Door::Held;
        };
        if interface.config.medium == Medium::Ip {
            return Door::Open(MacAddr::ZERO);
        }
        let neighbors = &mut interface.neighbors;
        if let Some(mac) = neighbors.glance(now, &link.hop) {
            return Door::Open(mac);
        }
        // A use of it may start its verification.
        self.calm = None;
        match neighbors.lookup(now, link.hop) {
            Lookup::Mac(mac) => Door::Open(mac),
            Lookup::Unresolved => match neighbors.neighbor(link.hop).map(|n| n.state) {
                None | Some(Neighbor::Failed) => Door::Ask,
                Some(_) => Door::Held,
            },
        }
    }

    /// Leaves a connection alone until its next hop is known: bulk data is not parked.
    #[cold]
    fn hold(&mut self, now: Instant, key: Key) {
        let Some(entry) = self.tcp.connections.get_mut(key) else {
            return;
        };
        if !core::mem::replace(&mut entry.held, true) {
            let place = (entry.link.interface, entry.link.hop);
            self.tcp.held.entry(place).or_default().push(key);
        }
        self.arm(now, key);
    }

    /// A next hop has become known, or has not answered: whoever waits for it tries again.
    #[cold]
    pub(in crate::host) fn wake_held(&mut self, now: Instant, at: u16, hop: IpAddr) {
        for key in self.tcp.held.remove(&(at, hop)).unwrap_or_default() {
            if let Some(entry) = self.tcp.connections.get_mut(key) {
                entry.held = false;
                self.refresh(now, key);
            }
        }
    }

    /// Whether connections wait for a next hop that is known now.
    #[inline]
    pub(in crate::host) fn has_held(&self, at: u16, hop: IpAddr) -> bool {
        !self.tcp.held.is_empty() && self.tcp.held.contains_key(&(at, hop))
    }

    /// A connection's next segment as a packet, and what it counts for.
    #[inline]
    fn next_segment(&mut self, now: Instant, key: Key, max: usize, partial: bool) -> Option<Frame> {
        let entry = self.tcp.connections.get_mut(key)?;
        let out = entry.connection.poll_transmit(now, max)?;
        let options = entry.connection.options();
        let (tos, ttl) = (options.tos & !3 | out.ecn & 3, options.ttl.max(1));
        let (ends, link) = (entry.ends, entry.link);
        self.tcp.note = out.why;
        let stats = &mut self.stats.tcp;
        let wire = match out.payload.len() {
            0 => 1,
            len => len.div_ceil(usize::from(out.mss).max(1)) as u64,
        };
        stats.segments_out += wire;
        stats.retransmitted += if out.why.is_some() { wire } else { 0 };
        stats.resets_out += u64::from(out.flags.contains(Flags::RST));
        self.packet(&ends, &link, out, (tos, ttl), partial)
    }

    /// A segment's headers in front of its data.
    pub(super) fn packet(
        &mut self,
        ends: &Ends,
        link: &Link,
        out: Outgoing,
        (tos, ttl): (u8, u8),
        partial: bool,
    ) -> Option<Frame> {
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (ends.local, ends.remote) else {
            return None;
        };
        let mut frame = segment(ends, out, partial)?;
        let out = ipv4::Outgoing {
            tos,
            //= RFC 6864 §4.1 what cannot be cut needs no identification of its own.
            ident: if link.fragment {
                self.idents.next(dst)
            } else {
                0
            },
            //= RFC 1191 §3 all that a host sends on a path that is discovered has it set.
            dont_fragment: !link.fragment,
            ttl,
            protocol: Protocol::TCP,
            src,
            dst,
            options: &[],
        };
        ipv4::encapsulate(&mut frame, &out).then_some(frame)
    }

    /// Sends what a connection to ourselves has, as long as there is room for it on the way.
    #[cold]
    fn transmit_to_self(&mut self, now: Instant, key: Key) {
        let Some(entry) = self.tcp.connections.get_mut(key) else {
            return;
        };
        let full = self.looped_bytes >= self.config.max_reply_bytes / 2
            || self.looped.len() >= self.config.max_replies / 2;
        if full {
            entry.in_turn = true;
            self.tcp.looping.push(key);
            return;
        }
        let at = entry.link.interface;
        let frame = self.next_segment(now, key, MAX_DATA, true);
        self.refresh_with(now, key, frame.is_none());
        if let Some(mut frame) = frame {
            // Nothing on the way could have harmed it.
            frame.offload.checksum = Checksum::Verified;
            self.loop_back(at, frame);
        }
    }
}

/// A segment: its header in front of its data, with the checksum or, where `partial`, what the
/// device completes it from.
#[inline]
fn segment(ends: &Ends, out: Outgoing, partial: bool) -> Option<Frame> {
    let mut header = Header {
        src_port: ends.local_port,
        dst_port: ends.remote_port,
        seq: out.seq,
        ack: out.ack,
        flags: out.flags,
        window: out.window,
        checksum: 0,
        urgent: out.urgent,
        options: out.options.as_bytes(),
    };
    let len = out.payload.len();
    let mut frame = Frame::from_payload(out.payload);
    if partial {
        let mut sum = Sum::new();
        let total = header.header_len() + len;
        sum.add_pseudo(ends.local, ends.remote, Protocol::TCP, total);
        header.checksum = sum.partial();
        frame.offload.checksum = Checksum::Partial {
            start: 20,
            offset: 16,
        };
    } else {
        let mut sum = header.sum(ends.local, ends.remote, len);
        frame.payload.sum_into(&mut sum);
        header.checksum = sum.finish();
        frame.offload.checksum = Checksum::Complete;
    }
    if len > usize::from(out.mss) {
        frame.offload.gso = Some(Gso {
            kind: GsoKind::Tcp4,
            size: out.mss,
        });
    }
    let room = frame.head.push_front(header.emit_len())?;
    header.emit(&mut Writer::new(room)).ok()?;
    Some(frame)
}
