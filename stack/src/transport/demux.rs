//! Which socket a datagram belongs to: one hash look-up for each kind of binding.
//!
//! ```text
//!   (local addr, port, remote addr, port)   connected        first match wins
//!   (local addr, port)                      bound to an address
//!   (any of a family or two, port)          bound to the port: no hash, a page of ports
//! ```
//!
//! Read first: RFC 768; RFC 1122 §4.1.3.5 and §4.1.4 (multihoming).
//!
//! Promises: the cost does not grow with the number of sockets; the hash is keyed by the stack's
//! secret, so a peer cannot make keys collide; the maps are looked up, never iterated.

use super::Key;
use crate::rng::Rng;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::{BuildHasher, Hash, Hasher};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use hashbrown::HashMap;
use siphasher::sip::SipHasher13;

/// A hash keyed by the stack's secret.
#[derive(Clone, Debug)]
pub struct Keyed([u64; 2]);

impl Keyed {
    /// Draws its key from `rng`.
    #[must_use]
    pub fn new(rng: &mut Rng) -> Self {
        Self(rng.hash_keys())
    }
}

impl BuildHasher for Keyed {
    type Hasher = SipHasher13;
    #[inline]
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0[0], self.0[1])
    }
}

/// Addresses and ports packed into words, which a keyed hash eats several times faster than it
/// does nested enums. Every part has a place of its own, so different ends never pack alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packed([u64; 2], u64);

impl Hash for Packed {
    #[inline]
    fn hash<H: Hasher>(&self, h: &mut H) {
        h.write_u64(self.0[0]);
        // For IPv4 all that differs fits one more word.
        if self.0[1] != 0 {
            h.write_u64(self.0[1]);
        }
        h.write_u64(self.1);
    }
}

#[inline]
fn local_key(end: SocketAddr) -> Packed {
    let port = u64::from(end.port());
    match end {
        SocketAddr::V4(a) => Packed([u64::from(a.ip().to_bits()) | 1 << 32, 0], port),
        SocketAddr::V6(a) => {
            let zone = u64::from(a.scope_id());
            Packed(split(a.ip().to_bits()), port | 1 << 16 | zone << 32)
        }
    }
}

#[inline]
fn flow_key(local: SocketAddr, remote: SocketAddr) -> (Packed, Packed) {
    (local_key(local), local_key(remote))
}

/// Which of two tables.
#[inline]
const fn family(addr: &IpAddr) -> usize {
    match addr {
        IpAddr::V4(_) => 0,
        IpAddr::V6(_) => 1,
    }
}

/// Every address of IPv4.
const fn any4(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

/// Every address of IPv6.
const fn any6(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

/// The upper and the lower half.
pub(crate) fn split(bits: u128) -> [u64; 2] {
    let low = u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0);
    [u64::try_from(bits >> 64).unwrap_or(0), low]
}

/// Sockets by port: a tree of three levels, of which what no port is in is not made. Three loads, of
/// which two are nearly always near, where a hash would cost more than all the rest of finding a
/// socket; and a host with one socket pays for 64 places.
#[derive(Clone, Debug, Default)]
struct Pages(Option<Box<[Option<Box<Shelf>>; 32]>>);

type Shelf = [Option<Box<Page>>; 32];
type Page = [Option<Key>; 64];

impl Pages {
    #[inline]
    fn get(&self, port: u16) -> Option<Key> {
        let [shelf, page, slot] = Self::place(port);
        let shelf = self.0.as_ref()?.get(shelf)?.as_ref()?;
        *shelf.get(page)?.as_ref()?.get(slot)?
    }

    fn set(&mut self, port: u16, key: Option<Key>) {
        let [shelf, page, slot] = Self::place(port);
        let shelves = self.0.get_or_insert_default();
        if let Some(shelf) = shelves.get_mut(shelf)
            && let Some(page) = shelf.get_or_insert_default().get_mut(page)
            && let Some(slot) = page
                .get_or_insert_with(|| Box::new([None; 64]))
                .get_mut(slot)
        {
            *slot = key;
        }
    }

    #[inline]
    fn place(port: u16) -> [usize; 3] {
        [port >> 11, port >> 6 & 31, port & 63].map(usize::from)
    }
}

/// The sockets of one protocol by their bindings.
#[derive(Clone, Debug)]
pub struct Demux {
    connected: HashMap<(Packed, Packed), Key, Keyed>,
    /// Several only where all of them agreed to share; the last one bound gets unicast.
    bound: HashMap<Packed, Vec<Key>, Keyed>,
    /// How many of those are bound to one address: mostly none, and then nobody asks for them.
    addressed: usize,
    /// The last one bound to any address of a family, by port: v4, v6.
    any: [Pages; 2],
    /// For groups, which go to every socket on the port, and to see what is free.
    by_port: BTreeMap<u16, Vec<Key>>,
}

impl Demux {
    /// An empty table.
    #[must_use]
    pub fn new(rng: &mut Rng) -> Self {
        let keyed = Keyed::new(rng);
        Self {
            connected: HashMap::with_hasher(keyed.clone()),
            bound: HashMap::with_hasher(keyed),
            addressed: 0,
            any: Default::default(),
            by_port: BTreeMap::new(),
        }
    }

    /// Adds a socket bound to an address; the unspecified one is any of its family.
    pub fn bind(&mut self, local: SocketAddr, key: Key) {
        let (addr, port) = (local.ip(), local.port());
        self.bound.entry(local_key(local)).or_default().push(key);
        self.by_port.entry(port).or_default().push(key);
        match addr.is_unspecified() {
            false => self.addressed += 1,
            true => self.any[family(&addr)].set(port, Some(key)),
        }
    }

    /// Adds a socket that is bound to all addresses of both families.
    pub fn bind_dual(&mut self, port: u16, key: Key) {
        let four = any4(port);
        self.bind(any6(port), key);
        self.bound.entry(local_key(four)).or_default().push(key);
        self.any[family(&four.ip())].set(port, Some(key));
    }

    /// Takes a bound socket out.
    pub fn unbind(&mut self, local: SocketAddr, key: Key) {
        let port = local.port();
        self.unlist(local, key);
        if super::is_any6(local.ip()) {
            // Where it was bound to both.
            self.unlist(any4(port), key);
        }
        if let Some(keys) = self.by_port.get_mut(&port) {
            keys.retain(|&k| k != key);
            if keys.is_empty() {
                self.by_port.remove(&port);
            }
        }
    }

    /// Takes a socket off those that share a binding, where it is among them.
    fn unlist(&mut self, local: SocketAddr, key: Key) {
        let (addr, port) = (local.ip(), local.port());
        let binding = local_key(local);
        let Some(keys) = self.bound.get_mut(&binding) else {
            return;
        };
        let Some(at) = keys.iter().rposition(|&k| k == key) else {
            return;
        };
        keys.remove(at);
        match addr.is_unspecified() {
            false => self.addressed -= 1,
            true => self.any[family(&addr)].set(port, keys.last().copied()),
        }
        if keys.is_empty() {
            self.bound.remove(&binding);
        }
    }

    /// Adds a connected socket's pair of ends, which is all that it is found by from then on;
    /// `false` where the pair is taken.
    pub fn connect(&mut self, local: SocketAddr, remote: SocketAddr, key: Key) -> bool {
        let flow = flow_key(local, remote);
        if self.connected.contains_key(&flow) {
            return false;
        }
        self.connected.insert(flow, key);
        // It hears its peer only: who shares its port gets the others.
        self.unlist(local, key);
        self.unlist(any4(local.port()), key);
        self.unlist(any6(local.port()), key);
        true
    }

    /// What is bound to this address, or else to its port.
    #[inline(always)]
    #[must_use]
    pub fn bound(&self, local: SocketAddr) -> Option<Key> {
        if self.addressed > 0
            && let Some(keys) = self.bound.get(&local_key(local))
        {
            return keys.last().copied();
        }
        self.any[family(&local.ip())].get(local.port())
    }

    /// Takes a pair of ends out, if it is `key`'s.
    pub fn disconnect(&mut self, local: SocketAddr, remote: SocketAddr, key: Key) {
        let flow = flow_key(local, remote);
        if self.connected.get(&flow) == Some(&key) {
            self.connected.remove(&flow);
        }
    }

    /// The socket that a packet from `remote` to `local` belongs to. The last of several that
    /// share a binding; a socket that is connected elsewhere must be refused by the caller.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, local: SocketAddr, remote: SocketAddr) -> Option<Key> {
        if !self.connected.is_empty()
            && let Some(&key) = self.connected.get(&flow_key(local, remote))
        {
            return Some(key);
        }
        self.bound(local)
    }

    /// Sockets bound to exactly this address and port.
    #[must_use]
    pub fn at(&self, local: SocketAddr) -> &[Key] {
        self.bound.get(&local_key(local)).map_or(&[], Vec::as_slice)
    }

    /// Every socket on a port, in the order of binding.
    #[must_use]
    pub fn on_port(&self, port: u16) -> &[Key] {
        self.by_port.get(&port).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Slab;

    fn addr(s: &str) -> SocketAddr {
        s.parse().unwrap()
    }

    #[test]
    fn the_most_specific_binding_wins() {
        let mut slab = Slab::new(9);
        let mut key = || slab.insert(()).unwrap();
        let (any, here, flow, six) = (key(), key(), key(), key());
        let mut d = Demux::new(&mut Rng::from_seed(1));
        let (local, remote) = (addr("10.7.0.2:53"), addr("10.7.0.1:999"));
        assert_eq!(d.find(local, remote), None);
        d.bind(any4(53), any);
        assert_eq!(d.find(local, remote), Some(any));
        d.bind(local, here);
        assert_eq!(d.find(local, remote), Some(here));
        assert_eq!(d.find(addr("10.7.0.3:53"), remote), Some(any));
        assert!(d.connect(local, remote, flow) && !d.connect(local, remote, here));
        assert_eq!(d.find(local, remote), Some(flow));
        assert_eq!(d.find(local, addr("10.7.0.1:998")), Some(here));
        d.disconnect(local, remote, here);
        assert_eq!(
            d.find(local, remote),
            Some(flow),
            "another's pair is left alone"
        );
        d.disconnect(local, remote, flow);
        d.unbind(local, here);
        assert_eq!(d.find(local, remote), Some(any));
        assert_eq!(d.find(addr("[fd07::2]:53"), addr("[fd07::1]:9")), None);
        d.bind(any6(53), six);
        assert_eq!(d.find(addr("[fd07::2]:53"), addr("[fd07::1]:9")), Some(six));
        assert_eq!(d.on_port(53), [any, six]);
        d.unbind(any4(53), any);
        assert_eq!(d.find(local, remote), None);
        assert_eq!(d.on_port(54), []);
    }

    #[test]
    fn different_ends_never_pack_alike() {
        let ends = [
            "0.0.0.0:1",
            "0.0.0.1:0",
            "[::]:1",
            "[::1]:0",
            "[::ffff:0.0.0.1]:0",
            "[::1%1]:0",
        ];
        let keys: Vec<_> = ends.iter().map(|e| local_key(addr(e))).collect();
        for (i, a) in keys.iter().enumerate() {
            for b in &keys[..i] {
                assert_ne!(a, b, "{i}");
            }
        }
    }
}
