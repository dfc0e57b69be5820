//! Names for packets: one that follows a packet from hop to hop, and a datagram into its fragments.
//!
//! ```text
//!   wire a-r1      wire r1-b
//!   f12            f15  f16       a frame on one wire: the number of its sending
//!    p3             p4   p5       an IP packet: the same on each wire, another when it is cut
//!     d3             d3   d3      what the sender's transport made: carried by each fragment
//! ```
//!
//! An IP packet has no name of its own on the wire: its identification repeats, and is 0 where
//! fragmentation is forbidden (RFC 6864 §4.1). So names follow causes: what a node sends right after
//! an arrival, with the same addresses, protocol and identification, is what arrived; what it sends
//! later (it waited for a neighbour) is the oldest of that kind that it took to forward; anything
//! else is new.
//!
//! Promises: bounded memory. The last [`KEPT`] frames, forwarded packets, packets and datagrams are
//! remembered each, the oldest forgotten first; what was forgotten gets a new name when it is seen
//! again.
//!
//! Left out: packets in tunnels, and the packet that an ICMP error quotes, have no names.

use super::directory::{Directory, Role};
use crate::lab::ids::NodeId;
use crate::lab::trace::{Event, Kind, Seq};
use serde::Serialize;
use siphasher::sip::SipHasher13;
use stack::frame::Frame;
use stack::machine::Fate;
use stack::wire::{EtherType, Protocol, ethernet, ipv4, ipv6, vlan};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::hash::Hasher as _;
use std::net::{IpAddr, SocketAddr};

/// How many of each are remembered.
pub const KEPT: usize = 1 << 16;

/// A packet's name: `f12`, `p3`, `d3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Id {
    /// A frame on a wire: the number of its sending.
    Frame(Seq),
    /// An IP packet, or whatever else a frame carries.
    Packet(u64),
    /// What IP carries, whole.
    Datagram(u64),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(n) => write!(f, "f{n}"),
            Self::Packet(n) => write!(f, "p{n}"),
            Self::Datagram(n) => write!(f, "d{n}"),
        }
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// A packet of a frame, with its name. The order of the fields is part of the trace's contract.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Named {
    /// Its name.
    pub id: Id,
    /// `ethernet`, `ipv4`, `udp`, …
    pub layer: String,
    /// Source: a MAC, an address, or an address with a port.
    pub src: Option<String>,
    /// Destination.
    pub dst: Option<String>,
    /// Bytes with its header; `None` where only fragments of it were seen, and not the last.
    pub len: Option<u32>,
    /// Where it is a fragment: its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fragment: Option<Place>,
    /// What is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carries: Option<[Id; 1]>,
    /// What it is in, here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carried_by: Option<[Id; 1]>,
}

/// A fragment's place in its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Bytes before it.
    pub offset: u32,
    /// Whether more follow.
    pub more: bool,
}

/// What all fragments of a datagram have in common, on every hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Ip(IpAddr, IpAddr, u8, u32),
    /// No IP: the EtherType and a hash of the bytes.
    Other(u16, u64),
}

/// What a frame carries.
#[derive(Clone, Debug)]
struct Inner {
    key: Key,
    layer: &'static str,
    ends: Option<(String, String)>,
    len: u32,
    fragment: Option<Place>,
    /// The part of the datagram that is here.
    part: u32,
    datagram: Option<Datagram>,
}

/// What is known of a datagram.
#[derive(Clone, Debug, Default)]
struct Datagram {
    protocol: String,
    src: String,
    dst: String,
    /// Whether the ports are known.
    has_head: bool,
    len: Option<u32>,
}

/// A map that forgets the oldest.
#[derive(Clone, Debug)]
struct Recent<K, V> {
    map: BTreeMap<K, (u64, V)>,
    order: VecDeque<(u64, K)>,
    next: u64,
}

impl<K: Ord + Copy, V> Recent<K, V> {
    const fn new() -> Self {
        Self {
            map: BTreeMap::new(),
            order: VecDeque::new(),
            next: 0,
        }
    }

    fn insert(&mut self, key: K, value: V) {
        self.next += 1;
        self.order.push_back((self.next, key));
        self.map.insert(key, (self.next, value));
        if self.order.len() > KEPT
            && let Some((stamp, old)) = self.order.pop_front()
            && self.map.get(&old).is_some_and(|(s, _)| *s == stamp)
        {
            self.map.remove(&old);
        }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key).map(|(_, value)| value)
    }
}

/// Gives names.
#[derive(Clone, Debug)]
pub struct Namer {
    packets: u64,
    datagrams: u64,
    /// What each frame carries, by its sending.
    frames: Recent<Seq, (Key, u64)>,
    /// What each node did last, where it was hearing a frame.
    last: BTreeMap<NodeId, (Seq, Key, u64)>,
    /// What nodes took to forward and have not sent, by the arrival.
    waiting: Recent<(NodeId, Key, Seq), u64>,
    /// The last datagram of a kind that a node sent.
    own: Recent<(NodeId, Key), u64>,
    /// A packet is a part of a datagram: offset, length, more.
    parts: Recent<(u64, u32, u32, bool), u64>,
    known: Recent<u64, Datagram>,
}

impl Default for Namer {
    fn default() -> Self {
        Self {
            packets: 0,
            datagrams: 0,
            frames: Recent::new(),
            last: BTreeMap::new(),
            waiting: Recent::new(),
            own: Recent::new(),
            parts: Recent::new(),
            known: Recent::new(),
        }
    }
}

impl Namer {
    /// Takes note of an event; names the packets of a frame that is sent, from the outside in.
    pub fn event(&mut self, names: &Directory, event: &Event) -> Vec<Named> {
        match (&event.kind, event.node) {
            (Kind::Send { frame, .. }, Some(node)) => self.sent(event, node, frame),
            (Kind::Arrive { frame_id, fate, .. }, Some(node)) => {
                let Some(&(key, datagram)) = self.frames.get(frame_id) else {
                    return Vec::new();
                };
                self.last.insert(node, (event.seq, key, datagram));
                if *fate == Fate::Forwarded && names.role(node) != Role::Hub {
                    self.waiting.insert((node, key, event.seq), datagram);
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn sent(&mut self, event: &Event, node: NodeId, frame: &Frame) -> Vec<Named> {
        let bytes = frame.to_bytes();
        let id = Id::Frame(event.seq);
        let mut outer = Named {
            id,
            layer: "ethernet".to_owned(),
            src: None,
            dst: None,
            len: u32::try_from(bytes.len()).ok(),
            fragment: None,
            carries: None,
            carried_by: None,
        };
        let Ok((header, rest)) = ethernet::Header::parse(&bytes) else {
            return vec![outer];
        };
        outer.src = Some(header.src.to_string());
        outer.dst = Some(header.dst.to_string());
        let inner = carried(header.ethertype, rest);
        let datagram = self.resolve(node, event.cause, &inner);
        self.frames.insert(event.seq, (inner.key, datagram));
        let packet = Id::Packet(self.part(datagram, &inner));
        outer.carries = Some([packet]);
        let (src, dst) = inner.ends.clone().unzip();
        let mut middle = Named {
            id: packet,
            layer: inner.layer.to_owned(),
            src,
            dst,
            len: Some(inner.len),
            fragment: inner.fragment,
            carries: None,
            carried_by: Some([id]),
        };
        let Some(seen) = inner.datagram else {
            return vec![outer, middle];
        };
        let name = Id::Datagram(datagram);
        middle.carries = Some([name]);
        let whole = self.learn(datagram, seen);
        let core = Named {
            id: name,
            layer: whole.protocol,
            src: Some(whole.src),
            dst: Some(whole.dst),
            len: whole.len,
            fragment: None,
            carries: None,
            carried_by: Some([packet]),
        };
        vec![outer, middle, core]
    }

    /// Which datagram it is that `node` sends.
    fn resolve(&mut self, node: NodeId, cause: Seq, inner: &Inner) -> u64 {
        let key = inner.key;
        let begins = inner.fragment.is_none_or(|place| place.offset == 0);
        let heard = self.last.get(&node).copied();
        let range = (node, key, 0)..=(node, key, Seq::MAX);
        let mut waiting = self.waiting.map.range(range);
        let oldest = waiting.next().map(|(k, (_, d))| (*k, *d));
        let found = match (heard, oldest) {
            (Some((at, k, datagram)), _) if at == cause && k == key => {
                self.waiting.map.remove(&(node, key, at));
                Some(datagram)
            }
            (_, Some((at, datagram))) => {
                self.waiting.map.remove(&at);
                Some(datagram)
            }
            _ if begins => None,
            _ => self.own.get(&(node, key)).copied(),
        };
        let datagram = found.unwrap_or_else(|| {
            self.datagrams += 1;
            self.datagrams
        });
        self.own.insert((node, key), datagram);
        datagram
    }

    fn part(&mut self, datagram: u64, inner: &Inner) -> u64 {
        let place = inner.fragment.unwrap_or(Place {
            offset: 0,
            more: false,
        });
        let part = (datagram, place.offset, inner.part, place.more);
        if let Some(known) = self.parts.get(&part) {
            return *known;
        }
        self.packets += 1;
        self.parts.insert(part, self.packets);
        self.packets
    }

    /// Puts together what this part and those before tell of a datagram.
    fn learn(&mut self, datagram: u64, seen: Datagram) -> Datagram {
        let Some(known) = self.known.get(&datagram) else {
            self.known.insert(datagram, seen.clone());
            return seen;
        };
        let news =
            (seen.has_head && !known.has_head) || (seen.len.is_some() && known.len.is_none());
        let ends = if known.has_head { known } else { &seen };
        let whole = Datagram {
            protocol: ends.protocol.clone(),
            src: ends.src.clone(),
            dst: ends.dst.clone(),
            has_head: ends.has_head,
            len: known.len.or(seen.len),
        };
        if news {
            self.known.insert(datagram, whole.clone());
        }
        whole
    }
}

/// What an Ethernet frame carries; tags are passed over.
fn carried(mut ethertype: EtherType, mut bytes: &[u8]) -> Inner {
    while ethertype.is_vlan()
        && let Ok((tag, rest)) = vlan::Header::parse(bytes)
    {
        (ethertype, bytes) = (tag.ethertype, rest);
    }
    let known = match ethertype {
        EtherType::IPV4 => over_ipv4(bytes),
        EtherType::IPV6 => over_ipv6(bytes),
        _ => None,
    };
    known.unwrap_or_else(|| {
        let mut hash = SipHasher13::new_with_keys(0, 0);
        hash.write(bytes);
        Inner {
            key: Key::Other(ethertype.0, hash.finish()),
            layer: match ethertype {
                EtherType::ARP => "arp",
                EtherType::IPV4 => "ipv4",
                EtherType::IPV6 => "ipv6",
                _ => "payload",
            },
            ends: arp_ends(ethertype, bytes),
            len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            fragment: None,
            part: 0,
            datagram: None,
        }
    })
}

fn arp_ends(ethertype: EtherType, bytes: &[u8]) -> Option<(String, String)> {
    if ethertype != EtherType::ARP {
        return None;
    }
    let (header, _) = stack::wire::arp::Header::parse(bytes).ok()?;
    let packet = stack::wire::arp::Packet::from_header(&header).ok()?;
    Some((packet.sender_ip.to_string(), packet.target_ip.to_string()))
}

fn over_ipv4(bytes: &[u8]) -> Option<Inner> {
    let (header, rest) = ipv4::Header::parse(bytes).ok()?;
    let (src, dst) = (IpAddr::V4(header.src), IpAddr::V4(header.dst));
    let part = header.payload_len();
    let place = Place {
        offset: u32::from(header.fragment_offset),
        more: header.more_fragments,
    };
    let fragment = header.is_fragment().then_some(place);
    let rest = rest.get(..part).unwrap_or(rest);
    Some(Inner {
        key: Key::Ip(src, dst, header.protocol.0, u32::from(header.ident)),
        layer: "ipv4",
        ends: Some((src.to_string(), dst.to_string())),
        len: u32::from(header.total_len),
        fragment,
        part: u32::try_from(part).unwrap_or(u32::MAX),
        datagram: Some(datagram((src, dst), header.protocol, rest, fragment)),
    })
}

fn over_ipv6(bytes: &[u8]) -> Option<Inner> {
    let (header, rest) = ipv6::Header::parse(bytes).ok()?;
    let (src, dst) = (IpAddr::V6(header.src), IpAddr::V6(header.dst));
    let rest = rest.get(..usize::from(header.payload_len)).unwrap_or(rest);
    let upper = ipv6::upper(header.next_header, rest).ok()?;
    let fragment = upper.fragment.filter(|f| f.more || f.offset > 0);
    let fragment = fragment.map(|f| Place {
        offset: u32::from(f.offset),
        more: f.more,
    });
    let ident = upper.fragment.map_or(0, |f| f.ident);
    Some(Inner {
        key: Key::Ip(src, dst, upper.protocol.0, ident),
        layer: "ipv6",
        ends: Some((src.to_string(), dst.to_string())),
        len: u32::from(header.payload_len) + 40,
        fragment,
        part: u32::try_from(upper.bytes.len()).unwrap_or(u32::MAX),
        datagram: Some(datagram((src, dst), upper.protocol, upper.bytes, fragment)),
    })
}

fn datagram(
    (src, dst): (IpAddr, IpAddr),
    protocol: Protocol,
    bytes: &[u8],
    fragment: Option<Place>,
) -> Datagram {
    let here = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let has_head = fragment.is_none_or(|place| place.offset == 0);
    let mut len = match fragment {
        None => Some(here),
        Some(place) if !place.more => place.offset.checked_add(here),
        Some(_) => None,
    };
    let mut ends = (src.to_string(), dst.to_string());
    if has_head
        && [Protocol::UDP, Protocol::TCP].contains(&protocol)
        && let [a, b, c, d, e, f, ..] = *bytes
    {
        let end = |ip, hi, lo| SocketAddr::new(ip, u16::from_be_bytes([hi, lo])).to_string();
        ends = (end(src, a, b), end(dst, c, d));
        if protocol == Protocol::UDP {
            len = Some(u32::from(u16::from_be_bytes([e, f])));
        }
    }
    Datagram {
        protocol: name(protocol),
        src: ends.0,
        dst: ends.1,
        has_head,
        len,
    }
}

fn name(protocol: Protocol) -> String {
    match protocol {
        Protocol::ICMP => "icmp".to_owned(),
        Protocol::IGMP => "igmp".to_owned(),
        Protocol::TCP => "tcp".to_owned(),
        Protocol::UDP => "udp".to_owned(),
        Protocol::ICMPV6 => "icmpv6".to_owned(),
        Protocol(n) => format!("protocol-{n}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_and_no_others() {
        let mut recent = Recent::new();
        for i in 0..2 * KEPT {
            recent.insert(i, i);
            // Again: it is as young as its last insertion.
            recent.insert(7, i);
        }
        assert!(recent.order.len() == KEPT && recent.map.len() <= KEPT);
        assert_eq!(recent.get(&7), Some(&(2 * KEPT - 1)));
        assert_eq!(recent.get(&(2 * KEPT - 1)), Some(&(2 * KEPT - 1)));
        assert_eq!(recent.get(&100), None);
    }
}
