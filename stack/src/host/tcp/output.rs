//! Segments become packets: a connection's turn, its next hop, its headers.

use super::{Ends, Link};
use crate::frame::{Checksum, Frame, Gso, GsoKind};
use crate::host::Host;
use crate::host::config::Medium;
use crate::host::event::Who;
use crate::host::interface::Hop;
use crate::host::routing::Way;
use crate::net::neighbor::{Lookup, State as Neighbor};
use crate::net::{ip, ipv4, ipv6};
use crate::reason::DropReason;
use crate::time::Instant;
use crate::transport::Key;
use crate::transport::tcp::Outgoing;
use crate::wire::checksum::Sum;
use crate::wire::tcp::{Flags, HEADER_LEN};
use crate::wire::{MacAddr, Protocol};
use alloc::collections::VecDeque;
use core::net::IpAddr;

/// What a super-segment is in all, at most, as a frame is.
const MAX_LEN: usize = ipv4::MAX_LEN;
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
            Door::Open(_) if tso => max_data(&link),
            _ => 0,
        };
        // Frames are large: it is made where it is returned from.
        let mut frame = Frame::default();
        let made = self.next_segment(now, key, max, tso, &mut frame);
        self.refresh_with(now, key, !made);
        if !made {
            return None;
        }
        let Door::Open(mac) = door else {
            let frame = self.resolve(now, at, Hop::Neighbor(link.hop), frame)?;
            self.count_out(at, frame.len());
            return Some(frame);
        };
        let interface = self.interfaces.get_mut(usize::from(at))?;
        interface.encapsulate(&mut frame, mac, ip::ethertype(&link.hop));
        interface.counters.sent(frame.len());
        self.stats.frames_out += 1;
        Some(frame)
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

    /// A connection's next segment as a packet in `frame`, which is empty, and what it counts for;
    /// `false` where there is none.
    #[inline]
    fn next_segment(
        &mut self,
        now: Instant,
        key: Key,
        max: usize,
        partial: bool,
        frame: &mut Frame,
    ) -> bool {
        let Some(entry) = self.tcp.connections.get_mut(key) else {
            return false;
        };
        entry.connection.set_supply(self.tcp.memory.supply);
        match entry.connection.poll_transmit(now, max) {
            Some(out) => self.dress(key, out, partial, frame),
            None => false,
        }
    }

    /// Queues what answers the segment that came last, where another has come before its turn.
    #[cold]
    pub(super) fn answer_now(&mut self, now: Instant, key: Key) {
        self.update_link(now, key);
        let Some(entry) = self.tcp.connections.get_mut(key) else {
            return;
        };
        let link = entry.link;
        let interface = self.interfaces.get(usize::from(link.interface));
        let (Some(interface), None, false) = (interface, link.none, link.local) else {
            return;
        };
        // Where there is no room, one answer stands for both.
        let waiting = interface.queues.replies.len();
        if !interface.up || waiting >= self.config.max_replies / 2 {
            return;
        }
        let partial = interface.config.tso;
        let Some(out) = entry.connection.poll_answer(now) else {
            return;
        };
        let way = Way {
            interface: link.interface,
            hop: Hop::Neighbor(link.hop),
            src: entry.ends.local,
            mtu: usize::from(u16::MAX),
            local: false,
            broadcast: false,
        };
        let mut frame = Frame::default();
        if self.dress(key, out, partial, &mut frame) {
            self.reply(&way, &mut frame);
        }
    }

    /// A connection's segment as a packet in `frame`, which is empty, and what it counts for;
    /// `false` where it does not fit.
    #[inline(always)]
    fn dress(&mut self, key: Key, out: Outgoing, partial: bool, frame: &mut Frame) -> bool {
        let Some(entry) = self.tcp.connections.get(key) else {
            return false;
        };
        let options = entry.connection.options();
        //= RFC 9293 §3.9.1.9 SHLD-22: as the user set it, but for the two bits of ECN.
        //= RFC 9293 §3.9.2 MUST-49: and the time to live.
        let (tos, ttl) = (options.tos & !3 | out.ecn & 3, options.ttl);
        let (ends, link) = (entry.ends, entry.link);
        self.tcp.note = out.why;
        let stats = &mut self.stats.tcp;
        let wire = match out.payload.len() {
            len if len <= usize::from(out.mss) => 1,
            len => len.div_ceil(usize::from(out.mss).max(1)) as u64,
        };
        stats.segments_out += wire;
        stats.retransmitted += if out.why.is_some() { wire } else { 0 };
        stats.resets_of_connections_out += u64::from(out.flags.contains(Flags::RST));
        let label = self.label(&ends);
        let ttl = self.ttl(ttl, link.interface, ends.remote);
        self.packet(&ends, &link, out, (tos, ttl, label), partial, frame)
    }

    /// A segment's headers in front of its data, in `frame`; `false` where they do not fit.
    #[inline]
    pub(super) fn packet(
        &mut self,
        ends: &Ends,
        link: &Link,
        out: Outgoing,
        (tos, ttl, label): (u8, u8, u32),
        partial: bool,
        frame: &mut Frame,
    ) -> bool {
        let (src, dst) = match (ends.local, ends.remote) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => (src, dst),
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let header = ipv6::Outgoing {
                    tos,
                    flow_label: label,
                    hop_limit: ttl,
                    protocol: Protocol::TCP,
                    src,
                    dst,
                };
                return packet_v6(ends, &header, out, partial, frame);
            }
            _ => return false,
        };
        let pseudo = |sum: &mut Sum, len| sum.add_pseudo4(src, dst, Protocol::TCP, len);
        segment(ends, GsoKind::Tcp4, pseudo, out, partial, frame);
        let out = ipv4::Outgoing {
            tos,
            //= RFC 6864 §4.1 what cannot be cut needs no identification of its own.
            ident: if link.fragment {
                self.numbers.ident(dst)
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
        ipv4::encapsulate(frame, &out)
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
        let (at, max) = (entry.link.interface, max_data(&entry.link));
        let mut frame = Frame::default();
        let made = self.next_segment(now, key, max, true, &mut frame);
        self.refresh_with(now, key, !made);
        if made {
            // Nothing on the way could have harmed it.
            frame.offload.checksum = Checksum::Verified;
            self.loop_back(at, frame);
        }
    }
}

/// Data of the largest super-segment: what a packet holds beside its IP header and TCP's longest.
const fn max_data(link: &Link) -> usize {
    MAX_LEN - ip::header_len(&link.hop) - 60
}

/// A packet of IPv6. Apart, so that each family's is one piece of code.
#[inline(never)]
fn packet_v6(
    ends: &Ends,
    header: &ipv6::Outgoing,
    out: Outgoing,
    partial: bool,
    frame: &mut Frame,
) -> bool {
    let (src, dst) = (header.src, header.dst);
    let pseudo = |sum: &mut Sum, len| sum.add_pseudo6(src, dst, Protocol::TCP, len);
    segment(ends, GsoKind::Tcp6, pseudo, out, partial, frame);
    ipv6::encapsulate(frame, header)
}

/// A segment in `frame`: its header in front of its data, with the checksum or, where `partial`,
/// what the device completes it from. `pseudo` adds what the checksum covers beside it.
#[inline(always)]
fn segment(
    ends: &Ends,
    kind: GsoKind,
    pseudo: impl FnOnce(&mut Sum, usize),
    out: Outgoing,
    partial: bool,
    frame: &mut Frame,
) {
    let options = out.options.as_bytes();
    let header_len = HEADER_LEN + options.len();
    let data = out.payload.len();
    let mut header = fields(ends, &out, header_len);
    //= RFC 9293 §3.1 MUST-2: the checksum, by us or by the device.
    let mut sum = Sum::new();
    pseudo(&mut sum, header_len + data);
    if partial {
        header[16..18].copy_from_slice(&sum.partial().to_be_bytes());
        frame.offload.checksum = Checksum::Partial {
            start: if kind == GsoKind::Tcp4 { 20 } else { 40 },
            offset: 16,
        };
    } else {
        sum.add(&header);
        sum.add(options);
        out.payload.sum_into(&mut sum);
        header[16..18].copy_from_slice(&sum.finish().to_be_bytes());
        frame.offload.checksum = Checksum::Complete;
    }
    if data > usize::from(out.mss) {
        frame.offload.gso = Some(Gso {
            kind,
            size: out.mss,
        });
    }
    // The options are behind the header, and so go in front of the data first.
    if let Some(room) = frame.head.push_front(options.len()) {
        room.copy_from_slice(options);
    }
    frame.push_front(&header);
    frame.payload = out.payload;
}

/// The header without its options and checksum.
#[inline]
fn fields(ends: &Ends, out: &Outgoing, header_len: usize) -> [u8; HEADER_LEN] {
    let words = u16::try_from(header_len / 4).unwrap_or(15);
    let [s0, s1, s2, s3] = out.seq.0.to_be_bytes();
    let [a0, a1, a2, a3] = out.ack.0.to_be_bytes();
    let [p0, p1] = ends.local_port.to_be_bytes();
    let [q0, q1] = ends.remote_port.to_be_bytes();
    let [f0, f1] = (words << 12 | out.flags.bits()).to_be_bytes();
    let [w0, w1] = out.window.to_be_bytes();
    let [u0, u1] = out.urgent.to_be_bytes();
    [
        p0, p1, q0, q1, s0, s1, s2, s3, a0, a1, a2, a3, f0, f1, w0, w1, 0, 0, u0, u1,
    ]
}
