//! Packets that wait for a MAC: who may, in what order, and what becomes of them.

use super::types::charge;
use super::{Cache, Config, Failure, Ready, Resolution};
use crate::frame::Frame;
use crate::reason::DropReason;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::IpAddr;

impl Cache {
    pub(super) const fn refuse(&mut self, reason: DropReason, packet: Frame) -> Resolution {
        self.stats.parked_drops += 1;
        Resolution::Dropped(reason, packet)
    }

    pub(super) fn park(&mut self, slot: usize, packet: Frame) -> Resolution {
        let Config {
            max_parked_per_entry,
            max_parked_bytes,
            max_parked_total,
            ..
        } = self.config;
        let cost = charge(&packet);
        let mut total = self.parked_bytes;
        let Some(e) = self.entry(slot) else {
            return self.refuse(DropReason::NeighborCacheFull, packet);
        };
        let others = total.saturating_sub(e.parked_bytes);
        if cost > max_parked_bytes || others.saturating_add(cost) > max_parked_total {
            return self.refuse(DropReason::NeighborQueueFull, packet);
        }
        //= RFC 4861 §7.2.2: A new packet takes the place of the oldest one.
        //= RFC 1122 §2.3.2.2: At least the latest packet is kept.
        let mut displaced = Vec::new();
        while e.parked.len() >= max_parked_per_entry.max(1)
            || e.parked_bytes + cost > max_parked_bytes
            || total + cost > max_parked_total
        {
            let Some(old) = e.parked.pop_front() else {
                break;
            };
            let freed = charge(&old);
            e.parked_bytes -= freed.min(e.parked_bytes);
            total -= freed.min(total);
            displaced.push(old);
        }
        e.parked.push_back(packet);
        e.parked_bytes += cost;
        self.parked_bytes = total + cost;
        self.stats.parked += 1;
        self.stats.parked_drops += u64::try_from(displaced.len()).unwrap_or(0);
        Resolution::Parked { displaced }
    }

    /// Resolved, but older packets have not been pulled yet.
    pub(super) fn queue_behind(&mut self, slot: usize, frame: Frame) -> Resolution {
        let Config {
            max_parked_per_entry,
            max_parked_total,
            ..
        } = self.config;
        let total = self.parked_bytes + charge(&frame);
        match self.entry(slot) {
            Some(e) if e.ready < max_parked_per_entry && total <= max_parked_total => {
                e.ready += 1;
                let (ip, mac) = (e.ip, e.mac);
                self.ready.push_back(Ready { ip, mac, frame });
                self.parked_bytes = total;
                self.stats.parked += 1;
                Resolution::Parked {
                    displaced: Vec::new(),
                }
            }
            _ => self.refuse(DropReason::NeighborQueueFull, frame),
        }
    }

    pub(super) fn unpark(&mut self, slot: usize) {
        let Some(e) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        let (ip, mac) = (e.ip, e.mac);
        e.ready += e.parked.len();
        e.parked_bytes = 0;
        let parked = core::mem::take(&mut e.parked);
        self.ready
            .extend(parked.into_iter().map(|frame| Ready { ip, mac, frame }));
    }

    pub(super) fn fail_parked(&mut self, slot: usize, reason: DropReason) {
        let Some(e) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        if e.parked.is_empty() {
            return;
        }
        let packets = core::mem::take(&mut e.parked);
        let bytes = core::mem::take(&mut e.parked_bytes);
        self.stats.parked_drops += u64::try_from(packets.len()).unwrap_or(0);
        self.failures.push_back(Failure {
            ip: e.ip,
            reason,
            packets,
            bytes,
        });
    }

    /// Gives up a neighbour for which nothing waits. No more of these wait to be pulled than there
    /// were neighbours, since each has been asked in vain before, and questions leave after them.
    pub(super) fn tell_of_silence(&mut self, ip: IpAddr) {
        self.failures.push_back(Failure {
            ip,
            reason: DropReason::NeighborUnreachable,
            packets: VecDeque::new(),
            bytes: 0,
        });
    }
}
