//! The route table: which way a destination lies, by longest matching prefix.
//!
//! ```text
//!                      ::/0 or 0.0.0.0/0
//!                      /              \            a node: prefix, routes by metric
//!              10.0.0.0/8            192.0.2.0/24  (no routes: only a fork)
//!              /        \
//!      10.7.0.0/24    10.128.0.0/9                 lookup: walk down while the prefix matches,
//!                                                  keep the last usable route
//! ```
//!
//! Read first: RFC 1812 §5.2.4.3 (longest match, then the metric), RFC 1122 §3.3.1 (a host's
//! routes).
//!
//! Promises. Both families go through one path-compressed binary trie, each from a root of its
//! own; a v4 prefix is its 32 bits set at the top of 128. A look-up takes at most one step a bit of
//! the destination, in practice about log2 of the number of prefixes, and allocates nothing. Equal
//! prefixes are told apart by the lowest metric, then by the lowest port: the order in which
//! routes were added never matters. The table grows to its limit and then says so; nothing is
//! evicted, since routes come from configuration and from redirects that the host bounds itself.
//!
//! Left out: several next hops for one route (ECMP), type-of-service routing (RFC 1812 §5.2.4.3
//! step 3; withdrawn in practice), policy rules. A gateway of the other family (RFC 8950) is
//! refused.

use crate::machine::Port;
use crate::wire::Cidr;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

/// One way to one prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// Where this leads; host bits are cleared by the table.
    pub destination: Cidr,
    /// How one gets there.
    pub kind: RouteKind,
    /// The interface it leaves by; of no meaning where `kind` refuses.
    pub port: Port,
    /// The lowest wins among routes of one prefix.
    pub metric: u32,
    /// The source address preferred for what the host itself sends this way.
    pub source: Option<IpAddr>,
    /// A limit on packet size this way, below the interface's.
    pub mtu: Option<u16>,
}

/// What to do with a packet that takes a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// The destination itself is a neighbour.
    OnLink,
    /// By this router, a neighbour on the route's port.
    Via(IpAddr),
    /// Refuse, and say that the host is unreachable.
    Unreachable,
    /// Refuse, and say that it is administratively prohibited.
    Prohibited,
    /// Refuse in silence.
    Blackhole,
}

impl RouteKind {
    /// Whether packets leave by the route's port.
    const fn uses_port(self) -> bool {
        matches!(self, Self::OnLink | Self::Via(_))
    }
}

impl Route {
    /// A route to a prefix on the link of `port`.
    #[must_use]
    pub const fn on_link(destination: Cidr, port: Port) -> Self {
        Self {
            destination,
            kind: RouteKind::OnLink,
            port,
            metric: 0,
            source: None,
            mtu: None,
        }
    }

    /// A route by a gateway on the link of `port`.
    #[must_use]
    pub const fn via(destination: Cidr, gateway: IpAddr, port: Port) -> Self {
        Self {
            kind: RouteKind::Via(gateway),
            ..Self::on_link(destination, port)
        }
    }

    /// The neighbour that a packet for `dst` is handed to; `None` where the route refuses.
    #[must_use]
    pub const fn next_hop(&self, dst: IpAddr) -> Option<IpAddr> {
        match self.kind {
            RouteKind::OnLink => Some(dst),
            RouteKind::Via(gateway) => Some(gateway),
            _ => None,
        }
    }

    fn rank(&self) -> (u32, Port) {
        (self.metric, self.port)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RouteKind::OnLink => write!(f, "{} port {}", self.destination, self.port.0)?,
            RouteKind::Via(gateway) => {
                write!(f, "{} via {gateway} port {}", self.destination, self.port.0)?;
            }
            RouteKind::Unreachable => write!(f, "{} unreachable", self.destination)?,
            RouteKind::Prohibited => write!(f, "{} prohibited", self.destination)?,
            RouteKind::Blackhole => write!(f, "{} blackhole", self.destination)?,
        }
        if self.metric != 0 {
            write!(f, " metric {}", self.metric)?;
        }
        if let Some(source) = self.source {
            write!(f, " source {source}")?;
        }
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        Ok(())
    }
}

/// Why a route was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteError {
    /// There is one with this destination, metric and port.
    Exists,
    /// The table has as many routes as it may.
    Full,
    /// The gateway or preferred source is not of the destination's family.
    MixedFamilies,
    /// The gateway is no single host's address.
    BadGateway,
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exists => "a route with this destination, metric and port exists",
            Self::Full => "the route table is full",
            Self::MixedFamilies => "gateway or source is not of the destination's family",
            Self::BadGateway => "the gateway is not the address of one host",
        })
    }
}

impl core::error::Error for RouteError {}

/// The limits of a [`RouteTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most routes held. 16,384 take about 2.5 MiB; a full Internet table needs a million.
    pub max_routes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_routes: 16_384 }
    }
}

/// The table.
///
/// ```
/// use stack::machine::Port;
/// use stack::net::route::{Config, Route, RouteTable};
/// let mut table = RouteTable::new(Config::default());
/// table.add(Route::on_link("10.7.0.0/24".parse().unwrap(), Port(0))).unwrap();
/// table.add(Route::via("0.0.0.0/0".parse().unwrap(), "10.7.0.1".parse().unwrap(), Port(0))).unwrap();
/// let far = "192.0.2.9".parse().unwrap();
/// assert_eq!(table.lookup(far).unwrap().next_hop(far), "10.7.0.1".parse().ok());
/// ```
#[derive(Clone, Debug)]
pub struct RouteTable {
    config: Config,
    nodes: Vec<Node>,
    /// The first of the places in `nodes` to be used again, each with the next as its left child.
    free_node: u32,
    entries: Vec<Entry>,
    /// The first of the places in `entries` to be used again, each with the next behind it.
    free_entry: u32,
    /// The roots: v4, v6.
    roots: [u32; 2],
    /// Ports that are down, sorted.
    down: Vec<Port>,
    len: usize,
    generation: u64,
}

/// One prefix: a place where routes lie, or where two longer prefixes part.
#[derive(Clone, Debug)]
struct Node {
    bits: u128,
    len: u8,
    child: [u32; 2],
    /// The best of its routes; the others follow it by metric, then port.
    first: u32,
}

/// A route, and the next of the same prefix.
#[derive(Clone, Copy, Debug)]
struct Entry {
    route: Route,
    up: bool,
    next: u32,
}

/// No node.
const NIL: u32 = u32::MAX;

impl RouteTable {
    /// An empty table; every port counts as up.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self {
            config,
            nodes: Vec::new(),
            free_node: NIL,
            entries: Vec::new(),
            free_entry: NIL,
            roots: [NIL; 2],
            down: Vec::new(),
            len: 0,
            generation: 0,
        }
    }

    /// Routes held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Changes whenever a look-up might give another answer: what was looked up may be kept for as
    /// long as this stays the same.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Takes a route in.
    ///
    /// # Errors
    /// See [`RouteError`].
    pub fn add(&mut self, route: Route) -> Result<(), RouteError> {
        self.put(route, false).map(|_| ())
    }

    /// Takes a route in, in place of the one with the same destination, metric and port, which is
    /// given back.
    ///
    /// # Errors
    /// See [`RouteError`]; `Exists` never.
    pub fn replace(&mut self, route: Route) -> Result<Option<Route>, RouteError> {
        self.put(route, true)
    }

    /// Takes the route with this destination, metric and port out.
    pub fn remove(&mut self, destination: Cidr, metric: u32, port: Port) -> Option<Route> {
        let (root, bits) = key(destination.addr());
        let bits = bits & mask(destination.prefix_len());
        let node = self.find(root, bits, destination.prefix_len())?;
        let (before, at) = self.place(node, (metric, port));
        let entry = *self
            .entry(at)
            .filter(|e| e.route.rank() == (metric, port))?;
        let gone = entry.route;
        self.chain(node, before, entry.next);
        let free = core::mem::replace(&mut self.free_entry, at);
        if let Some(entry) = self.entry_mut(at) {
            entry.next = free;
        }
        self.len -= 1;
        self.generation += 1;
        self.prune(root, bits, destination.prefix_len());
        Some(gone)
    }

    /// Keeps the routes for which `keep` says so, and says how many went: for an interface or an
    /// address that went away.
    pub fn retain(&mut self, mut keep: impl FnMut(&Route) -> bool) -> usize {
        let gone: Vec<Route> = self.iter().filter(|r| !keep(r)).copied().collect();
        for route in &gone {
            self.remove(route.destination, route.metric, route.port);
        }
        gone.len()
    }

    /// Notes whether a port carries packets. Routes by a port that is down stay, but are passed
    /// over as if they were not there.
    pub fn set_port_up(&mut self, port: Port, up: bool) {
        match (self.down.binary_search(&port), up) {
            (Ok(place), true) => {
                self.down.remove(place);
            }
            (Err(place), false) => self.down.insert(place, port),
            _ => return,
        }
        // Those that are free are set anew when they are used again.
        for entry in &mut self.entries {
            if entry.route.port == port && entry.route.kind.uses_port() {
                entry.up = up;
            }
        }
        self.generation += 1;
    }

    /// The route for `dst`: the longest prefix, then the lowest metric, then the lowest port.
    #[must_use]
    pub fn lookup(&self, dst: IpAddr) -> Option<&Route> {
        //= RFC 1812 §5.2.4.3: the longest matching prefix decides before any metric does
        self.best(dst, |e| e.up)
    }

    /// The same among the routes by `port`, and those which refuse: for a socket that is bound to
    /// an interface, and for destinations of link-local scope.
    #[must_use]
    pub fn lookup_on(&self, dst: IpAddr, port: Port) -> Option<&Route> {
        self.best(dst, |e| {
            e.up && (e.route.port == port || !e.route.kind.uses_port())
        })
    }

    /// Every route, ordered by family, network, prefix length, metric and port.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        let mut stack: Vec<u32> = self.roots.iter().rev().copied().collect();
        core::iter::from_fn(move || {
            loop {
                // An absent node leaves the rest of the stack to be walked.
                let at = stack.pop()?;
                if let Some(node) = self.node(at) {
                    stack.extend([node.child[1], node.child[0]]);
                    return Some(self.routes_of(node).map(|e| &e.route));
                }
            }
        })
        .flatten()
    }

    fn best(&self, dst: IpAddr, usable: impl Fn(&Entry) -> bool) -> Option<&Route> {
        let (root, bits) = key(dst);
        let mut at = self.roots[root];
        let mut best = None;
        while let Some(node) = self.node(at) {
            if (node.bits ^ bits) & mask(node.len) != 0 {
                break;
            }
            if node.first != NIL {
                best = self.routes_of(node).find(|e| usable(e)).or(best);
            }
            at = node.child[branch(bits, node.len)];
        }
        best.map(|e| &e.route)
    }

    fn put(&mut self, mut route: Route, replace: bool) -> Result<Option<Route>, RouteError> {
        check(&route)?;
        route.destination = route.destination.network();
        let (root, bits) = key(route.destination.addr());
        let len = route.destination.prefix_len();
        let up = !route.kind.uses_port() || self.down.binary_search(&route.port).is_err();
        let entry = Entry {
            route,
            up,
            next: NIL,
        };
        if let Some(node) = self.find(root, bits, len) {
            let (_, at) = self.place(node, route.rank());
            if let Some(held) = self.entry_mut(at)
                && held.route.rank() == route.rank()
            {
                if !replace {
                    return Err(RouteError::Exists);
                }
                let next = held.next;
                let old = core::mem::replace(held, Entry { next, ..entry }).route;
                self.generation += 1;
                return Ok(Some(old));
            }
        }
        if self.len >= self.config.max_routes {
            return Err(RouteError::Full);
        }
        let node = self.make(root, bits, len);
        let (before, next) = self.place(node, route.rank());
        let at = self.keep(Entry { next, ..entry });
        self.chain(node, before, at);
        self.len += 1;
        self.generation += 1;
        Ok(None)
    }

    /// Where among a node's routes one of this rank belongs: behind the first (if any), at or before
    /// the second.
    fn place(&self, node: u32, rank: (u32, Port)) -> (u32, u32) {
        let (mut before, mut at) = (NIL, self.node(node).map_or(NIL, |n| n.first));
        while let Some(entry) = self.entry(at).filter(|e| e.route.rank() < rank) {
            (before, at) = (at, entry.next);
        }
        (before, at)
    }

    /// Lets `next` follow `before` among a node's routes, or be the first.
    fn chain(&mut self, node: u32, before: u32, next: u32) {
        if before != NIL {
            if let Some(entry) = self.entry_mut(before) {
                entry.next = next;
            }
        } else if let Some(node) = self.node_mut(node) {
            node.first = next;
        }
    }

    fn keep(&mut self, entry: Entry) -> u32 {
        let at = self.free_entry;
        if let Some(place) = self.entry_mut(at) {
            let free = core::mem::replace(place, entry).next;
            self.free_entry = free;
            return at;
        }
        push(&mut self.entries, entry)
    }

    /// A node's routes, best first.
    #[inline]
    fn routes_of(&self, node: &Node) -> impl Iterator<Item = &Entry> {
        let first = self.entry(node.first);
        core::iter::successors(first, |entry| self.entry(entry.next))
    }

    #[inline]
    fn entry(&self, at: u32) -> Option<&Entry> {
        self.entries.get(usize::try_from(at).ok()?)
    }

    fn entry_mut(&mut self, at: u32) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(at).ok()?)
    }

    #[inline]
    fn node(&self, at: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(at).ok()?)
    }

    fn node_mut(&mut self, at: u32) -> Option<&mut Node> {
        self.nodes.get_mut(usize::try_from(at).ok()?)
    }

    fn find(&self, root: usize, bits: u128, len: u8) -> Option<u32> {
        let mut at = self.roots[root];
        loop {
            let node = self.node(at)?;
            if node.len > len || (node.bits ^ bits) & mask(node.len) != 0 {
                return None;
            }
            if node.len == len {
                return Some(at);
            }
            at = node.child[branch(bits, node.len)];
        }
    }

    /// The node of a prefix, made where it is missing.
    fn make(&mut self, root: usize, bits: u128, len: u8) -> u32 {
        let mut link = Link::Root(root);
        loop {
            let at = self.follow(link);
            let Some(node) = self.node(at) else {
                return self.insert(link, bits, len, [NIL; 2]);
            };
            let common = shared_prefix(node.bits, bits).min(node.len).min(len);
            if common == node.len && common == len {
                return at;
            }
            if common == node.len {
                link = Link::Child(at, branch(bits, common));
                continue;
            }
            // The node's prefix parts from ours, or goes on beyond it: one goes in between.
            let mut child = [NIL; 2];
            child[branch(node.bits, common)] = at;
            let between = self.insert(link, bits & mask(common), common, child);
            if common == len {
                return between;
            }
            link = Link::Child(between, branch(bits, common));
        }
    }

    fn insert(&mut self, link: Link, bits: u128, len: u8, child: [u32; 2]) -> u32 {
        let node = Node {
            bits,
            len,
            child,
            first: NIL,
        };
        let mut at = self.free_node;
        if let Some(place) = self.node_mut(at) {
            let [free, _] = core::mem::replace(place, node).child;
            self.free_node = free;
        } else {
            at = push(&mut self.nodes, node);
        }
        self.relink(link, at);
        at
    }

    fn follow(&self, link: Link) -> u32 {
        match link {
            Link::Root(root) => self.roots[root],
            Link::Child(at, side) => self.node(at).map_or(NIL, |n| n.child[side]),
        }
    }

    fn relink(&mut self, link: Link, to: u32) {
        match link {
            Link::Root(root) => self.roots[root] = to,
            Link::Child(at, side) => {
                if let Some(node) = self.node_mut(at) {
                    node.child[side] = to;
                }
            }
        }
    }

    /// Takes nodes out that neither hold a route nor part two prefixes, on the way to one prefix.
    fn prune(&mut self, root: usize, bits: u128, len: u8) {
        // The prefix's own node, and the fork above it, are all that can have become idle.
        for _ in 0..2 {
            let (mut link, mut idle) = (Link::Root(root), None);
            while let Some(node) = self.node(self.follow(link)) {
                if node.len > len || (node.bits ^ bits) & mask(node.len) != 0 {
                    break;
                }
                if node.first == NIL && node.child.contains(&NIL) {
                    let [left, right] = node.child;
                    idle = Some((link, if left == NIL { right } else { left }));
                }
                link = Link::Child(self.follow(link), branch(bits, node.len));
            }
            let Some((link, heir)) = idle else {
                return;
            };
            let gone = self.follow(link);
            let free = core::mem::replace(&mut self.free_node, gone);
            if let Some(node) = self.node_mut(gone) {
                node.child = [free, NIL];
            }
            self.relink(link, heir);
        }
    }
}

impl Default for RouteTable {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

/// Takes room for an eighth more at a time, since there are worlds of thousands of tables; gives the
/// item's place.
fn push<T>(list: &mut Vec<T>, item: T) -> u32 {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 8 + 2);
    }
    list.push(item);
    u32::try_from(list.len() - 1).unwrap_or(NIL)
}

/// Where a node hangs.
#[derive(Clone, Copy)]
enum Link {
    Root(usize),
    Child(u32, usize),
}

/// The root of a family, and the address at the top of 128 bits.
fn key(addr: IpAddr) -> (usize, u128) {
    match addr {
        IpAddr::V4(a) => (0, u128::from(a.to_bits()) << 96),
        IpAddr::V6(a) => (1, a.to_bits()),
    }
}

const fn mask(len: u8) -> u128 {
    match len {
        0 => 0,
        n => u128::MAX << (128 - n),
    }
}

/// Which child a key goes to, below a prefix of `len` bits.
fn branch(bits: u128, len: u8) -> usize {
    usize::from(len < 128 && (bits << len) >> 127 == 1)
}

fn shared_prefix(a: u128, b: u128) -> u8 {
    // At most 128.
    u8::try_from((a ^ b).leading_zeros()).unwrap_or(128)
}

fn check(route: &Route) -> Result<(), RouteError> {
    let v4 = route.destination.addr().is_ipv4();
    if route.source.is_some_and(|s| s.is_ipv4() != v4) {
        return Err(RouteError::MixedFamilies);
    }
    match route.kind {
        RouteKind::Via(gateway) if gateway.is_ipv4() != v4 => Err(RouteError::MixedFamilies),
        RouteKind::Via(gateway) => {
            let broadcast = gateway == IpAddr::V4(core::net::Ipv4Addr::BROADCAST);
            if gateway.is_unspecified() || gateway.is_multicast() || broadcast {
                Err(RouteError::BadGateway)
            } else {
                Ok(())
            }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "tests/route.rs"]
mod tests;
