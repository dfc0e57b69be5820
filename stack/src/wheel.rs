//! A hierarchical timer wheel that knows its first deadline exactly.
//!
//! ```text
//!   deadline in ns, 64 bits:   0..3 | 4..9 | 10..15 | .. | 52..57 | 58..63
//!                                |      |                             |
//!   wheel of 64 slots:          10      9        8    ..       1      0
//!
//!   slot = empty | a list of up to 16 timers, unsorted | a finer wheel for that span
//! ```
//!
//! A wheel's slot spans 64 times the one below it: 1 ns, 64 ns, 4 us, 262 us, 17 ms, 1.1 s, 69 s ..
//! A slot holds a list until it is crowded; then a finer wheel takes its place. Most timers are
//! cancelled long before they are due, and never leave the coarse list they were put into.
//!
//! Read first: Varghese and Lauck, *Hashed and Hierarchical Timing Wheels* (SOSP 1987), scheme 7.
//! We differ in three ways. Slots are those of absolute time, so nothing turns and no tick is
//! needed. A timer moves down when its slot is crowded, not when time comes near. And the lists go
//! down to single nanoseconds, so deadlines are not rounded: pacing spaces frames by less than any
//! tick would, and a lab run is the same on every machine.
//!
//! Promises: [`Wheel::next`] is the least deadline, to the nanosecond, at no cost; `insert`,
//! `remove` and `pop` take a bounded number of steps whatever the number of timers and whenever
//! they are due; timers due at one instant come out in the order they went in; the same calls give
//! the same answers on every run.
//!
//! Left out: a limit. The owner holds at most so many timers for each thing it owns, and those are
//! limited. Memory stays at the high-water mark: a host that had a million timers will again.

use crate::time::Instant;
use alloc::vec::Vec;

/// Which timer: what [`Wheel::insert`] gives and [`Wheel::remove`] takes. Stale once the timer is
/// out, and then refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    index: u32,
    generation: u32,
}

impl Token {
    /// No timer's.
    pub const NONE: Self = Self {
        index: NIL,
        generation: 0,
    };
}

/// No timer, no wheel.
const NIL: u32 = u32::MAX;
/// Slots of one wheel, by six bits of the deadline.
const SLOTS: usize = 64;
/// Bits of a deadline that name the slot.
const BITS: u32 = 6;
/// The coarsest level: its slots take the four bits that are left of 64.
const TOP: u8 = 10;
/// A list longer than that becomes a wheel. Shorter: more wheels, each of 350 bytes; longer: more
/// timers looked at to find the first.
const CROWD: u8 = 16;

/// Deadlines, each with a key.
///
/// ```
/// use stack::{time::Instant, wheel::Wheel};
/// let mut wheel = Wheel::new();
/// wheel.insert(Instant::from_nanos(20), "second");
/// let token = wheel.insert(Instant::from_nanos(10), "first");
/// assert_eq!(wheel.next(), Some(Instant::from_nanos(10)));
/// assert!(wheel.remove(token));
/// assert_eq!(wheel.pop(Instant::from_nanos(19)), None);
/// assert_eq!(wheel.pop(Instant::from_nanos(20)), Some((Instant::from_nanos(20), "second")));
/// ```
#[derive(Clone, Debug)]
pub struct Wheel<K: Copy> {
    timers: Vec<Timer<K>>,
    /// Places of timers that are out, linked by `next`.
    free_timer: u32,
    /// The coarsest is the first and stays.
    nodes: Vec<Node>,
    /// Places of wheels that are gone, linked by `parent`.
    free_node: u32,
    /// The timer that is due first, where there is any.
    first: u32,
    /// The wheel that was put into last, and a deadline of its span: the next is often near.
    near: u32,
    near_at: Instant,
    len: usize,
    /// Timers and wheels looked at.
    #[cfg(test)]
    steps: u64,
}

#[derive(Clone, Copy, Debug)]
struct Timer<K> {
    at: Instant,
    key: K,
    /// Neighbours in the slot's list, a ring: before the head comes the tail.
    prev: u32,
    next: u32,
    generation: u32,
    /// The wheel it is in; `NIL` where it is in none.
    node: u32,
}

#[derive(Clone, Debug)]
struct Node {
    /// Bit n: slot n holds something.
    occupied: u64,
    /// Bit n: that something is a finer wheel, at `slots[n]`.
    finer: u64,
    /// A list's head or a wheel; meaningful where `occupied`.
    slots: [u32; SLOTS],
    /// Timers in the list, as far as 255.
    crowd: [u8; SLOTS],
    parent: u32,
    /// This wheel's slot in its parent.
    digit: u8,
    level: u8,
}

impl Node {
    const fn new(parent: u32, digit: u8, level: u8) -> Self {
        Self {
            occupied: 0,
            finer: 0,
            slots: [NIL; SLOTS],
            crowd: [0; SLOTS],
            parent,
            digit,
            level,
        }
    }
}

/// A place in a vector. Lossless: the crate needs 32 bits of address at least.
const fn place(index: u32) -> usize {
    index as usize
}

/// The slot of a deadline in a wheel of `level`.
const fn digit(at: Instant, level: u8) -> u8 {
    // Six bits fit.
    #[allow(clippy::cast_possible_truncation)]
    {
        (at.as_nanos() >> (level as u32 * BITS) & (SLOTS as u64 - 1)) as u8
    }
}

impl<K: Copy> Default for Wheel<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Copy> Wheel<K> {
    /// No timers.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            timers: Vec::new(),
            free_timer: NIL,
            nodes: Vec::new(),
            free_node: NIL,
            first: NIL,
            near: 0,
            near_at: Instant::ZERO,
            len: 0,
            #[cfg(test)]
            steps: 0,
        }
    }

    /// How many timers there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no timer.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The least deadline.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        (self.first != NIL).then(|| self.timers[place(self.first)].at)
    }

    /// A timer due at `at`, which may have passed already.
    pub fn insert(&mut self, at: Instant, key: K) -> Token {
        let index = self.take_place(at, key);
        if self.nodes.is_empty() {
            self.nodes.push(Node::new(NIL, 0, TOP));
        }
        let start = self.above(at);
        self.put(index, start);
        // Of two due at one instant the older stays first.
        if self.first == NIL || at < self.timers[place(self.first)].at {
            self.first = index;
        }
        self.len += 1;
        Token {
            index,
            generation: self.timers[place(index)].generation,
        }
    }

    /// Takes a timer out; whether it was still in.
    pub fn remove(&mut self, token: Token) -> bool {
        let known = self
            .timers
            .get(place(token.index))
            .is_some_and(|t| t.generation == token.generation && t.node != NIL);
        if known {
            self.take_out(token.index);
        }
        known
    }

    /// Takes the first timer out if it is due: the earliest, and of those the one inserted first.
    pub fn pop(&mut self, now: Instant) -> Option<(Instant, K)> {
        if self.next()? > now {
            return None;
        }
        let Timer { at, key, .. } = self.timers[place(self.first)];
        self.take_out(self.first);
        Some((at, key))
    }

    /// A place for a timer, in no list yet.
    fn take_place(&mut self, at: Instant, key: K) -> u32 {
        let index = self.free_timer;
        if index != NIL {
            let timer = &mut self.timers[place(index)];
            self.free_timer = timer.next;
            (timer.at, timer.key) = (at, key);
            return index;
        }
        let index = u32::try_from(self.timers.len()).unwrap_or(NIL);
        assert!(index != NIL, "fewer than 2^32 timers fit in memory");
        self.timers.push(Timer {
            at,
            key,
            prev: index,
            next: index,
            generation: 0,
            node: NIL,
        });
        index
    }

    /// Unlinks a timer, gives its place back and finds the first anew where it was that.
    fn take_out(&mut self, index: u32) {
        let emptied = self.unlink(index);
        if let Some(node) = emptied {
            self.prune(node);
        }
        let free = self.free_timer;
        let timer = &mut self.timers[place(index)];
        timer.generation = timer.generation.wrapping_add(1);
        timer.node = NIL;
        timer.next = free;
        self.free_timer = index;
        self.len -= 1;
        if self.first == index {
            self.first = self.find_first();
        }
    }

    /// The finest wheel above the one that was put into last, or that itself, whose span `at` is in.
    fn above(&mut self, at: Instant) -> u32 {
        let differs = at.as_nanos() ^ self.near_at.as_nanos();
        let mut node = self.near;
        loop {
            self.step();
            let n = &self.nodes[place(node)];
            let span = (u32::from(n.level) + 1) * BITS;
            if n.parent == NIL || differs >> span == 0 {
                return node;
            }
            node = n.parent;
        }
    }

    /// Puts a timer into its list, from wheel `node` downwards; crowded lists become wheels.
    fn put(&mut self, index: u32, mut node: u32) {
        let at = self.timers[place(index)].at;
        loop {
            self.step();
            let n = &self.nodes[place(node)];
            let (slot, level) = (digit(at, n.level), n.level);
            let bit = 1 << slot;
            if n.finer & bit != 0 {
                node = n.slots[usize::from(slot)];
            } else if n.crowd[usize::from(slot)] >= CROWD && level > 0 {
                node = self.refine(node, slot);
            } else {
                (self.near, self.near_at) = (node, at);
                return self.append(index, node, slot);
            }
        }
    }

    /// Appends a timer to the list of a slot.
    fn append(&mut self, index: u32, node: u32, slot: u8) {
        self.step();
        let n = &mut self.nodes[place(node)];
        let (i, bit) = (usize::from(slot), 1 << slot);
        n.crowd[i] = n.crowd[i].saturating_add(1);
        let (prev, next) = if n.occupied & bit == 0 {
            n.occupied |= bit;
            n.slots[i] = index;
            (index, index)
        } else {
            let head = n.slots[i];
            (self.timers[place(head)].prev, head)
        };
        let timer = &mut self.timers[place(index)];
        (timer.prev, timer.next, timer.node) = (prev, next, node);
        self.timers[place(prev)].next = index;
        self.timers[place(next)].prev = index;
    }

    /// Makes a wheel of a slot's list, keeping its order; the new wheel.
    fn refine(&mut self, node: u32, slot: u8) -> u32 {
        let level = self.nodes[place(node)].level - 1;
        let finer = self.take_node(Node::new(node, slot, level));
        let n = &mut self.nodes[place(node)];
        let head = n.slots[usize::from(slot)];
        n.slots[usize::from(slot)] = finer;
        n.finer |= 1 << slot;
        n.crowd[usize::from(slot)] = 0;
        let mut index = head;
        loop {
            let Timer { at, next, .. } = self.timers[place(index)];
            self.append(index, finer, digit(at, level));
            if next == head {
                return finer;
            }
            index = next;
        }
    }

    fn take_node(&mut self, fresh: Node) -> u32 {
        let index = self.free_node;
        if index != NIL {
            self.free_node = self.nodes[place(index)].parent;
            self.nodes[place(index)] = fresh;
            return index;
        }
        // Each wheel once held more than CROWD timers: there are fewer wheels than timers.
        let index = u32::try_from(self.nodes.len()).unwrap_or(NIL);
        self.nodes.push(fresh);
        index
    }

    /// Takes a timer out of its list; the wheel, where the list is empty now.
    fn unlink(&mut self, index: u32) -> Option<u32> {
        self.step();
        let Timer {
            at,
            prev,
            next,
            node,
            ..
        } = self.timers[place(index)];
        self.timers[place(prev)].next = next;
        self.timers[place(next)].prev = prev;
        let n = &mut self.nodes[place(node)];
        let slot = digit(at, n.level);
        let i = usize::from(slot);
        // At level 0 the count has stopped at 255 and means nothing; elsewhere it is exact.
        n.crowd[i] = n.crowd[i].saturating_sub(1);
        if n.slots[i] == index {
            n.slots[i] = next;
        }
        (next == index).then(|| {
            n.occupied &= !(1 << slot);
            n.crowd[i] = 0;
            node
        })
    }

    /// Gives back a wheel that is empty, and those above it that are empty without it.
    fn prune(&mut self, mut node: u32) {
        loop {
            self.step();
            let n = &self.nodes[place(node)];
            if n.occupied != 0 || n.parent == NIL {
                return;
            }
            let (parent, bit) = (n.parent, 1 << n.digit);
            if self.near == node {
                self.near = parent;
            }
            self.nodes[place(node)].parent = self.free_node;
            self.free_node = node;
            let above = &mut self.nodes[place(parent)];
            above.occupied &= !bit;
            above.finer &= !bit;
            node = parent;
        }
    }

    /// The first timer of the first slot of the first wheel, down to where there is a list.
    fn find_first(&mut self) -> u32 {
        if self.len == 0 {
            return NIL;
        }
        let mut node = 0;
        loop {
            self.step();
            let n = &self.nodes[place(node)];
            // Six bits fit; no wheel but the top is ever empty, and that is not with len > 0.
            let slot = n.occupied.trailing_zeros() as usize % SLOTS;
            let below = n.slots[slot];
            if n.finer & (1 << slot) == 0 {
                // Timers of a slot at level 0 are due at one instant.
                return if n.level == 0 {
                    below
                } else {
                    self.least(below)
                };
            }
            node = below;
        }
    }

    /// The earliest of a list, and of those the first.
    fn least(&mut self, head: u32) -> u32 {
        let mut best = head;
        let mut index = self.timers[place(head)].next;
        while index != head {
            self.step();
            if self.timers[place(index)].at < self.timers[place(best)].at {
                best = index;
            }
            index = self.timers[place(index)].next;
        }
        best
    }

    #[cfg(test)]
    const fn step(&mut self) {
        self.steps += 1;
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, clippy::needless_pass_by_ref_mut)]
    const fn step(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::time::Duration;
    use alloc::collections::BTreeMap;

    fn ns(n: u64) -> Instant {
        Instant::from_nanos(n)
    }

    /// No operation may take more: eleven wheels down, each refined from a full list on the way,
    /// then eleven up, eleven down and a list for the first.
    const BOUND: u64 = 11 * (2 + CROWD as u64 + 1) + 2 * 11 + CROWD as u64 + 4;

    /// Steps of one operation, checked.
    fn bounded<K: Copy, T>(wheel: &mut Wheel<K>, f: impl FnOnce(&mut Wheel<K>) -> T) -> T {
        let before = wheel.steps;
        let result = f(wheel);
        let steps = wheel.steps - before;
        assert!(steps <= BOUND, "{steps} steps among {} timers", wheel.len);
        result
    }

    #[test]
    fn pops_in_order_of_time_and_ties_in_order_of_insertion() {
        let mut wheel = Wheel::new();
        for (n, at) in [(0, 5), (1, 3), (2, 5), (3, u64::MAX), (4, 0), (5, 3)] {
            wheel.insert(ns(at), n);
        }
        assert_eq!(wheel.next(), Some(ns(0)));
        let mut out = Vec::new();
        while let Some((at, n)) = wheel.pop(ns(5)) {
            out.push((at.as_nanos(), n));
        }
        assert_eq!(out, [(0, 4), (3, 1), (3, 5), (5, 0), (5, 2)]);
        assert_eq!((wheel.len(), wheel.next()), (1, Some(Instant::FAR_FUTURE)));
        assert_eq!(wheel.pop(Instant::FAR_FUTURE), Some((ns(u64::MAX), 3)));
        assert!(wheel.is_empty() && wheel.next().is_none());
    }

    #[test]
    fn a_stale_token_removes_nothing() {
        let mut wheel = Wheel::new();
        let a = wheel.insert(ns(1), 'a');
        assert!(wheel.remove(a));
        assert!(!wheel.remove(a));
        let b = wheel.insert(ns(1), 'b');
        assert!(!wheel.remove(a));
        assert_eq!(wheel.pop(ns(1)), Some((ns(1), 'b')));
        assert!(!wheel.remove(b));
        let other = Wheel::<char>::new().insert(ns(0), 'x');
        let _ = (other, Wheel::<char>::new().remove(a));
    }

    /// A deadline as hosts have them, and as nobody should: near, far, equal, past, at the ends.
    fn deadline(rng: &mut Rng, now: u64, last: u64) -> u64 {
        match rng.below(10) {
            0 => now,
            1 => last,
            2 => last.wrapping_add(rng.below(3)).wrapping_sub(1),
            3 => rng.below(now.max(1)),
            4 => u64::MAX - rng.below(3),
            5 => now.saturating_add(rng.below(1 << rng.clone().below(63))),
            6 => rng.next_u64(),
            7 => now.saturating_add(rng.below(1000)),
            8 => now.saturating_add(200_000_000 + rng.below(10) * 1_000_000),
            _ => now.saturating_add(rng.below(60_000_000_000)),
        }
    }

    /// One schedule: the wheel beside a map by (deadline, order of insertion).
    fn schedule(seed: u64, operations: u32, spread: u64) {
        let mut rng = Rng::from_seed(seed);
        let mut wheel = Wheel::new();
        let mut model: BTreeMap<(u64, u32), Token> = BTreeMap::new();
        let mut dead = Vec::new();
        let (mut now, mut last) = (rng.below(1 << rng.clone().below(60)), 0);
        for n in 0..operations {
            match rng.below(8) {
                0..4 => {
                    last = deadline(&mut rng, now, last);
                    let token = bounded(&mut wheel, |w| w.insert(ns(last), n));
                    model.insert((last, n), token);
                }
                4 | 5 => {
                    let from = (deadline(&mut rng, now, last), 0);
                    let found = model.range(from..).next().or(model.iter().next());
                    if let Some((&key, &token)) = found {
                        model.remove(&key);
                        assert!(bounded(&mut wheel, |w| w.remove(token)), "seed {seed}");
                        dead.push(token);
                    }
                }
                6 if !dead.is_empty() => {
                    let pick = dead[usize::try_from(rng.below(dead.len() as u64)).unwrap()];
                    assert!(!wheel.remove(pick), "seed {seed}");
                }
                _ => {
                    now = now.saturating_add(rng.below(spread));
                    for _ in 0..rng.below(6) {
                        let due = model.first_key_value().map(|(&k, _)| k);
                        let due = due.filter(|k| k.0 <= now);
                        let popped = bounded(&mut wheel, |w| w.pop(ns(now)));
                        assert_eq!(popped, due.map(|(at, n)| (ns(at), n)), "seed {seed}");
                        if let Some(key) = due {
                            dead.extend(model.remove(&key));
                        }
                    }
                }
            }
            let first = model.first_key_value().map(|(k, _)| ns(k.0));
            assert_eq!(
                (wheel.next(), wheel.len()),
                (first, model.len()),
                "seed {seed}"
            );
        }
        // What is left comes out in order, and nothing is left of the wheels.
        let rest = core::iter::from_fn(|| wheel.pop(Instant::FAR_FUTURE));
        assert!(
            rest.eq(model.keys().map(|&(at, n)| (ns(at), n))),
            "seed {seed}"
        );
        assert_eq!((wheel.len(), wheel.nodes[0].occupied), (0, 0));
    }

    #[test]
    fn agrees_with_a_sorted_map_over_thousands_of_schedules() {
        for seed in 0..4000 {
            schedule(seed, 100, 1 << (seed % 40));
        }
        for seed in 4000..4020 {
            schedule(seed, 10_000, 1 << (seed * 2 % 40));
        }
    }

    #[test]
    fn a_clone_goes_the_same_way() {
        let mut rng = Rng::from_seed(2);
        let mut wheel = Wheel::new();
        for n in 0..1000 {
            wheel.insert(ns(rng.below(1000)), n);
        }
        let mut twin = wheel.clone();
        for _ in 0..1000 {
            assert_eq!(wheel.pop(ns(1000)), twin.pop(ns(1000)));
        }
    }

    #[test]
    fn a_million_timers_cost_no_more_each_than_a_thousand() {
        // Due within a minute, all in one millisecond, all at once, and in bunches of 17 that
        // differ in their last bits only, which is the worst there is.
        let shapes: [fn(&mut Rng, u64) -> u64; 4] = [
            |rng, _| rng.below(60_000_000_000),
            |rng, _| 7_000_000_000 + rng.below(1_000_000),
            |_, _| 7_200_000_000_000,
            |_, n| ((n / 17).wrapping_mul(0x9e37_79b9_7f4a_7c15) & !63) | (n % 17),
        ];
        for (number, shape) in shapes.into_iter().enumerate() {
            let mut rng = Rng::from_seed(9);
            let mut mean = |count: u64| {
                let mut wheel = Wheel::new();
                let mut tokens = Vec::new();
                for n in 0..count {
                    let at = ns(shape(&mut rng, n));
                    tokens.push(bounded(&mut wheel, |w| w.insert(at, n)));
                }
                // Half are cancelled, the others come due.
                for token in tokens.into_iter().step_by(2) {
                    assert!(bounded(&mut wheel, |w| w.remove(token)));
                }
                let mut last = Instant::ZERO;
                while let Some((at, _)) = bounded(&mut wheel, |w| w.pop(Instant::FAR_FUTURE)) {
                    assert!(at >= last);
                    last = at;
                }
                wheel.steps / count
            };
            let (few, many) = (mean(1000), mean(1_000_000));
            std::eprintln!("shape {number}: {few} steps a timer of 1,000, {many} of 1,000,000");
            assert!(many <= few + 8, "shape {number}: {few} steps, then {many}");
        }
    }

    #[test]
    fn a_rearmed_timer_takes_no_more_room() {
        let mut wheel = Wheel::new();
        let mut now = Instant::ZERO;
        let mut tokens: Vec<Token> = (0..100).map(|k| wheel.insert(now, k)).collect();
        for n in 0..100_000 {
            now += Duration::from_micros(37);
            let k = n % 100;
            assert!(wheel.remove(tokens[k]));
            tokens[k] = wheel.insert(now + Duration::from_millis(200), k);
        }
        assert_eq!((wheel.len(), wheel.timers.len()), (100, 100));
        assert!(wheel.nodes.len() < 100, "{} wheels", wheel.nodes.len());
        assert!(size_of::<Timer<u64>>() <= 32);
    }
}
