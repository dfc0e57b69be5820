//! What a capture says before it is replayed: which host it is best seen as, and who its
//! neighbours are.

use stack::wire::arp::{self, Operation};
use stack::wire::pcap::{LinkType, Record};
use stack::wire::{EtherType, MacAddr, ethernet, ipv4, vlan};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What of a record a host can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried<'a> {
    /// An Ethernet frame.
    Ethernet(&'a [u8]),
    /// An IP packet, whatever lay in front of it gone.
    Ip(&'a [u8]),
    /// Nothing: the link type is not one that an interface of the host has.
    Not,
}

/// Finds what a host can take.
#[must_use]
pub(super) fn carried<'a>(record: &Record<'a>) -> Carried<'a> {
    let data = record.data;
    // Cooked headers say which protocol follows; only IP has a meaning without a link.
    let cooked = |at: usize, len: usize| {
        let kind = data.get(at..).and_then(<[u8]>::first_chunk);
        match kind.map(|k| EtherType(u16::from_be_bytes(*k))) {
            Some(EtherType::IPV4 | EtherType::IPV6) => {
                data.get(len..).map_or(Carried::Not, Carried::Ip)
            }
            _ => Carried::Not,
        }
    };
    match record.link_type {
        LinkType::ETHERNET => Carried::Ethernet(data),
        LinkType::RAW
        | LinkType::RAW_BSD
        | LinkType::RAW_OPENBSD
        | LinkType::IPV4
        | LinkType::IPV6 => Carried::Ip(data),
        LinkType::NULL | LinkType::LOOP => data.get(4..).map_or(Carried::Not, Carried::Ip),
        LinkType::LINUX_SLL => cooked(14, 16),
        LinkType::LINUX_SLL2 => cooked(0, 20),
        _ => Carried::Not,
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Survey {
    /// There are Ethernet frames.
    pub(super) ethernet: bool,
    /// There are IP packets without one.
    pub(super) ip: bool,
    /// Time of the first record that has one, nanoseconds since 1970.
    pub(super) first: Option<u64>,
    /// Who was seen to send from which station.
    pub(super) stations: BTreeMap<Ipv4Addr, MacAddr>,
    destinations: BTreeMap<Ipv4Addr, Seen>,
}

/// How an address was seen as a destination.
#[derive(Clone, Debug, Default)]
struct Seen {
    times: u64,
    /// How many other addresses were seen before it.
    rank: usize,
    macs: BTreeMap<MacAddr, u64>,
    vlans: BTreeMap<Option<u16>, u64>,
}

impl Survey {
    /// Looks at one record.
    pub(super) fn add(&mut self, record: &Record<'_>) {
        self.first = self.first.or(record.timestamp);
        match carried(record) {
            Carried::Ethernet(bytes) => {
                self.ethernet = true;
                self.add_frame(bytes);
            }
            Carried::Ip(bytes) => {
                self.ip = true;
                if let Ok((ip, _)) = ipv4::Header::parse(bytes) {
                    self.see(ip.dst, None, None);
                }
            }
            Carried::Not => {}
        }
    }

    fn add_frame(&mut self, bytes: &[u8]) {
        let Ok((link, mut rest)) = ethernet::Header::parse(bytes) else {
            return;
        };
        let (mut ethertype, mut tag) = (link.ethertype, None);
        if ethertype.is_vlan()
            && let Ok((vlan, after)) = vlan::Header::parse(rest)
        {
            (ethertype, rest) = (vlan.ethertype, after);
            tag = Some(vlan.vid).filter(|vid| *vid != vlan::PRIORITY_VID);
        }
        match ethertype {
            EtherType::IPV4 => {
                let Ok((ip, _)) = ipv4::Header::parse(rest) else {
                    return;
                };
                self.station(ip.src, link.src);
                if link.dst.is_unicast() {
                    self.see(ip.dst, Some(link.dst), tag);
                }
            }
            EtherType::ARP => {
                let Ok((arp, _)) = arp::Packet::parse(rest) else {
                    return;
                };
                self.station(arp.sender_ip, arp.sender_mac);
                if arp.operation == Operation::REQUEST && !arp.is_announcement() {
                    self.see(arp.target_ip, None, tag);
                }
            }
            _ => {}
        }
    }

    fn station(&mut self, addr: Ipv4Addr, mac: MacAddr) {
        if is_host(addr) && mac.is_unicast() && mac != MacAddr::ZERO {
            self.stations.insert(addr, mac);
        }
    }

    fn see(&mut self, addr: Ipv4Addr, mac: Option<MacAddr>, vlan: Option<u16>) {
        if !is_host(addr) {
            return;
        }
        let rank = self.destinations.len();
        let new = || Seen {
            rank,
            ..Seen::default()
        };
        let seen = self.destinations.entry(addr).or_insert_with(new);
        seen.times += 1;
        *seen.vlans.entry(vlan).or_default() += 1;
        if let Some(mac) = mac {
            *seen.macs.entry(mac).or_default() += 1;
        }
    }

    /// The address most often sent to; of two, the one that was sent to first: who is asked has
    /// more to say than who asked.
    #[must_use]
    pub(super) fn address(&self) -> Option<Ipv4Addr> {
        let seen = self.destinations.iter();
        let best = seen.max_by_key(|(_, seen)| (seen.times, Reverse(seen.rank)));
        best.map(|(addr, _)| *addr)
    }

    /// The station that packets to `addr` were most often sent to; else where it sends from.
    #[must_use]
    pub(super) fn mac(&self, addr: Ipv4Addr) -> Option<MacAddr> {
        let seen = self.destinations.get(&addr);
        seen.and_then(|s| most(s.macs.iter().map(|(m, n)| (m, *n))))
            .or_else(|| self.stations.get(&addr).copied())
    }

    /// The VLAN in which `addr` was most often asked for or sent to.
    #[must_use]
    pub(super) fn vlan(&self, addr: Ipv4Addr) -> Option<u16> {
        let seen = self.destinations.get(&addr)?;
        most(seen.vlans.iter().map(|(v, n)| (v, *n))).flatten()
    }
}

/// The key with the highest count; of equals the first.
fn most<'a, K: Copy + 'a>(counts: impl Iterator<Item = (&'a K, u64)>) -> Option<K> {
    let best = counts.fold(None, |best: Option<(K, u64)>, (key, n)| match best {
        Some((_, most)) if most >= n => best,
        _ => Some((*key, n)),
    });
    best.map(|(key, _)| key)
}

/// Whether a host may have this address.
fn is_host(addr: Ipv4Addr) -> bool {
    let first = addr.octets()[0];
    (1..224).contains(&first) && first != 127
}
