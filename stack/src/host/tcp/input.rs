//! A segment comes in: checked, found its connection or listener, handed over.

use super::{Ends, Owner, quoted_ends};
use crate::frame::{Checksum, Frame, Payload};
use crate::host::{Host, zone_of};
use crate::machine::{Consumer, Fate};
use crate::net::ip::{self, Accepted, Quoted};
use crate::reason::DropReason;
use crate::time::Instant;
use crate::transport::tcp::{self, Segment, State};
use crate::transport::{ErrorKind, Key};
use crate::wire::checksum::Sum;
use crate::wire::tcp::{Flags, HEADER_LEN, Header};
use crate::wire::{Protocol, zone};
use core::net::IpAddr;

impl Host {
    /// Takes a segment in its packet.
    #[inline]
    pub(in crate::host) fn receive_tcp(
        &mut self,
        now: Instant,
        at: u16,
        unicast: bool,
        header: &Accepted,
        packet: &mut Frame,
    ) -> Result<Fate, DropReason> {
        let start = header.header_len;
        // No more than the header need lie in one piece: what follows may be shared.
        let offset = packet.pull_up(start + HEADER_LEN).get(start + 12);
        let header_len = offset.map_or(0, |o| usize::from(o >> 4) * 4);
        packet.pull_up(start + header_len.max(HEADER_LEN));
        let front = packet.front().get(start..).unwrap_or_default();
        let (fields, _) = Header::parse(front).map_err(|_| DropReason::TcpMalformed)?;
        let len = packet.len() - start;
        let vouched = matches!(
            packet.offload.checksum,
            Checksum::Verified | Checksum::Partial { .. }
        );
        //= RFC 9293 §3.1 MUST-3: the checksum is verified, by us or by the device.
        if !vouched && sum(packet, start, len, header.src, header.dst) != 0 {
            return Err(DropReason::TcpBadChecksum);
        }
        //= RFC 9293 §3.10.7 MUST-57: what is to or from a broadcast or multicast address is dropped.
        if !unicast || ip::is_group(header.src) {
            return Err(DropReason::TcpNotUnicast);
        }
        let data = len.saturating_sub(header_len);
        let wire = match packet.offload.gso {
            Some(gso) if gso.size > 0 => data.div_ceil(usize::from(gso.size)),
            _ => 1,
        };
        let wire = u16::try_from(wire).unwrap_or(u16::MAX);
        let data = u32::try_from(data).unwrap_or(u32::MAX);
        let seg = Segment::new(&fields, data, header.tos & 3, wire);
        self.stats.tcp.segments_in += u64::from(seg.segments);
        let zone = zone_of(at);
        let ends = Ends::new(
            zone::end(header.dst, seg.dst_port, zone),
            zone::end(header.src, seg.src_port, zone),
        );
        if let Some(key) = self.tcp.find(&ends) {
            let data = take_data(packet, start + header_len);
            if self.may_reuse(now, key, &seg) {
                return self.reopen(now, header, ends, key, &seg, data);
            }
            return self.receive_connected(now, header, key, &seg, data);
        }
        match self.tcp.bound.bound(ends.local()) {
            Some(listener) => {
                let data = take_data(packet, start + header_len);
                self.receive_listen(now, header, ends, listener, &seg, data)
            }
            None => {
                self.answer_reset(header, ends.zone, &seg);
                Err(DropReason::TcpNoSocket)
            }
        }
    }

    /// A segment for a connection.
    #[inline]
    fn receive_connected(
        &mut self,
        now: Instant,
        header: &Accepted,
        key: Key,
        seg: &Segment,
        data: Payload,
    ) -> Result<Fate, DropReason> {
        let Some(entry) = self.tcp.connections.get_mut(key) else {
            return Err(DropReason::TcpNoSocket);
        };
        if let Owner::Half(listener) = entry.owner
            && seg.flags.contains(Flags::ACK)
            && !seg.flags.intersects(Flags::RST | Flags::SYN)
            && let Some(l) = self.tcp.listeners.get(listener)
        {
            let zone = entry.ends.zone;
            let bare = seg.len == 0 && !seg.has(Flags::FIN);
            if l.defer > 0 && bare && entry.connection.defer(l.defer) {
                return Err(DropReason::TcpDeferred);
            }
            if l.is_full() {
                self.stats.tcp.backlog_overflows += 1;
                if l.resets() {
                    self.answer_reset(header, zone, seg);
                    self.leave_listener(key, listener);
                    self.free(key);
                }
                // As Linux: else it stays half open, and the SYN-ACK sent again asks once more.
                return Err(DropReason::TcpBacklogFull);
            }
        }
        if seg.has(Flags::RST) {
            self.stats.tcp.resets_in += 1;
        }
        let entry = match entry.connection.owes_answer() {
            false => entry,
            true => {
                self.answer_now(now, key);
                let entry = self.tcp.connections.get_mut(key);
                entry.ok_or(DropReason::TcpNoSocket)?
            }
        };
        entry.connection.set_supply(self.tcp.memory.supply);
        let fate = entry.connection.handle_segment(now, seg, data);
        self.refresh(now, key);
        fate.map(|()| Fate::Delivered(Consumer::Tcp))
    }

    /// Whether a SYN takes the place of a connection in TIME-WAIT.
    #[inline]
    fn may_reuse(&self, now: Instant, key: Key, seg: &Segment) -> bool {
        seg.has(Flags::SYN)
            && !seg.flags.intersects(Flags::ACK | Flags::RST)
            && self.tcp.connections.get(key).is_some_and(|e| {
                e.connection.state() == State::TimeWait && e.connection.reusable(now, seg)
            })
    }

    //= RFC 9293 §3.6.1 MAY-2: a new SYN may reopen a connection from TIME-WAIT.
    #[cold]
    fn reopen(
        &mut self,
        now: Instant,
        header: &Accepted,
        ends: Ends,
        key: Key,
        seg: &Segment,
        data: Payload,
    ) -> Result<Fate, DropReason> {
        let Some(listener) = self.tcp.bound.bound(ends.local()) else {
            self.answer_reset(header, ends.zone, seg);
            return Err(DropReason::TcpNoSocket);
        };
        self.stats.tcp.time_wait_reused += 1;
        let nobodys = |e: &super::Entry| e.owner == Owner::Nobody;
        if self.tcp.connections.get(key).is_some_and(|e| nobodys(e)) {
            self.free(key);
        } else {
            // Its user has yet to let go of it; it ends where nobody finds it.
            self.tcp.hide(key);
        }
        self.receive_listen(now, header, ends, listener, seg, data)
    }

    /// Answers a segment that is for nobody.
    #[cold]
    pub(super) fn answer_reset(&mut self, header: &Accepted, zone: u16, seg: &Segment) {
        let fields = Header {
            src_port: seg.src_port,
            dst_port: seg.dst_port,
            seq: seg.seq,
            ack: seg.ack,
            flags: seg.flags,
            window: seg.wnd,
            checksum: 0,
            urgent: 0,
            options: &[],
        };
        let len = usize::try_from(seg.len).unwrap_or(usize::MAX);
        if let Some(reset) = tcp::reset_for(&fields, len) {
            self.send_reset(u32::from(zone), header, &reset);
        }
    }

    /// An ICMP error about a segment of ours.
    #[cold]
    pub(in crate::host) fn receive_tcp_error(
        &mut self,
        now: Instant,
        at: u16,
        kind: ErrorKind,
        quoted: &Quoted,
        rest: &[u8],
    ) -> Result<Fate, DropReason> {
        const UNMATCHED: DropReason = DropReason::IcmpQuoteUnmatched;
        let (ends, seq) = quoted_ends(at, (quoted.src, quoted.dst), rest).ok_or(UNMATCHED)?;
        //= RFC 9293 §3.9.2.2 MUST-54: to the connection that sent what is quoted.
        let key = self.quoted_connection(&ends, seq).ok_or(UNMATCHED)?;
        if let ErrorKind::PacketTooBig { mtu } = kind {
            self.learn_mtu(now, at, quoted, mtu);
            // The others to the same peer find out when they send next.
            self.update_link(now, key);
        } else if let Some(entry) = self.tcp.connections.get_mut(key) {
            entry.connection.handle_icmp(now, kind);
        }
        self.refresh(now, key);
        self.stats.icmp_errors_in += 1;
        Ok(Fate::Delivered(Consumer::Icmp))
    }
}

/// A segment's data, by reference.
#[inline]
fn take_data(packet: &mut Frame, at: usize) -> Payload {
    packet.advance(at);
    packet.take_payload()
}

/// What a segment's checksum comes to; zero where it holds.
#[inline]
fn sum(packet: &Frame, start: usize, len: usize, src: IpAddr, dst: IpAddr) -> u16 {
    let mut sum = Sum::new();
    sum.add_pseudo(src, dst, Protocol::TCP, len);
    packet.sum_from(start, &mut sum);
    sum.finish()
}
