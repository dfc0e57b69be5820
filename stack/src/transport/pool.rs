//! Queues that share one store, so that many of them cost no more than one.
//!
//! ```text
//!   Chain a   first --> [frame|next] --> [frame|-]
//!   Chain b   first --> [frame|-]
//!   free            --> [     |next] --> [     |-]     the place emptied last is filled next
//! ```
//!
//! Promises: a queue with nothing in it is three numbers; what is put in lies where something else
//! has just been, which is still in the cache, whichever of ten thousand queues it is for. The
//! store is as large as all that has ever waited at once; each queue's owner limits it.

use alloc::vec::Vec;

/// The store.
#[derive(Clone, Debug)]
pub struct Pool<T> {
    nodes: Vec<Node<T>>,
    free: u32,
}

#[derive(Clone, Debug)]
struct Node<T> {
    value: T,
    next: u32,
}

/// A queue. To be emptied before it goes, lest its places are lost to the store.
#[derive(Clone, Debug)]
pub struct Chain {
    first: u32,
    last: u32,
    len: u32,
}

/// A place that was taken out of its queue; the next one put in may have it.
#[derive(Debug)]
pub struct Place(u32);

/// No place.
const NONE: u32 = u32::MAX;

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl Chain {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            first: NONE,
            last: NONE,
            len: 0,
        }
    }

    /// How many wait.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }

    /// Whether nothing waits.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Pool<T> {
    /// An empty store.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            nodes: Vec::new(),
            free: NONE,
        }
    }

    /// Places there are, taken and free: the most that have ever been taken at once.
    #[must_use]
    pub const fn places(&self) -> usize {
        self.nodes.len()
    }

    #[inline]
    fn node(&self, at: u32) -> Option<&Node<T>> {
        self.nodes.get(usize::try_from(at).ok()?)
    }

    #[inline]
    fn node_mut(&mut self, at: u32) -> Option<&mut Node<T>> {
        self.nodes.get_mut(usize::try_from(at).ok()?)
    }

    /// The first in a queue.
    #[must_use]
    #[inline]
    pub fn first(&self, chain: &Chain) -> Option<&T> {
        self.node(chain.first).map(|node| &node.value)
    }

    /// The first in a queue, to change.
    #[inline]
    pub fn first_mut(&mut self, chain: &Chain) -> Option<&mut T> {
        self.node_mut(chain.first).map(|node| &mut node.value)
    }
}

impl<T: Default> Pool<T> {
    /// A place at the end of a queue, with what was left in it when it was last emptied. `None`
    /// where no more can be numbered, as no memory would hold.
    #[inline(always)]
    pub fn push(&mut self, chain: &mut Chain) -> Option<&mut T> {
        let at = match self.free {
            NONE => self.grow()?,
            at => at,
        };
        match chain.len {
            0 => chain.first = at,
            _ => self.node_mut(chain.last)?.next = at,
        }
        chain.last = at;
        chain.len += 1;
        let node = self.nodes.get_mut(usize::try_from(at).ok()?)?;
        self.free = core::mem::replace(&mut node.next, NONE);
        Some(&mut node.value)
    }

    #[cold]
    fn grow(&mut self) -> Option<u32> {
        let at = u32::try_from(self.nodes.len())
            .ok()
            .filter(|&at| at < NONE)?;
        self.nodes.push(Node {
            value: T::default(),
            next: NONE,
        });
        Some(at)
    }

    /// Takes the first place out of a queue; its content is there for the caller to take.
    #[inline(always)]
    pub fn pop(&mut self, chain: &mut Chain) -> Option<&mut T> {
        let place = self.unlink(chain)?;
        self.at(place)
    }

    /// [`pop`](Self::pop) in two steps, for who has to look at the queue between them: takes the
    /// first place out.
    #[inline(always)]
    pub fn unlink(&mut self, chain: &mut Chain) -> Option<Place> {
        let (at, free) = (chain.first, self.free);
        let node = self.node_mut(at)?;
        chain.first = core::mem::replace(&mut node.next, free);
        chain.len -= 1;
        self.free = at;
        Some(Place(at))
    }

    /// What lies in a place that has just been taken out.
    #[inline]
    #[expect(clippy::needless_pass_by_value, reason = "it is good for one look")]
    pub fn at(&mut self, place: Place) -> Option<&mut T> {
        self.node_mut(place.0).map(|node| &mut node.value)
    }

    /// Drops all that waits in a queue; gives how many that was.
    pub fn clear(&mut self, chain: &mut Chain) -> usize {
        let len = chain.len();
        while let Some(value) = self.pop(chain) {
            *value = T::default();
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use alloc::collections::VecDeque;

    #[test]
    fn many_queues_in_one_store_are_each_first_in_first_out() {
        let mut rng = Rng::from_seed(3);
        let mut pool = Pool::<u64>::new();
        let mut chains: Vec<Chain> = (0..5).map(|_| Chain::new()).collect();
        let mut model: Vec<VecDeque<u64>> = (0..5).map(|_| VecDeque::new()).collect();
        let mut most = 0;
        for step in 0..20_000u64 {
            let at = usize::try_from(rng.next_u64() % 5).unwrap();
            let (chain, queue) = (&mut chains[at], &mut model[at]);
            match rng.next_u64() % 32 {
                0..16 => {
                    *pool.push(chain).unwrap() = step;
                    queue.push_back(step);
                }
                16..31 => assert_eq!(pool.pop(chain).map(core::mem::take), queue.pop_front()),
                _ => {
                    assert_eq!(pool.clear(chain), queue.len());
                    queue.clear();
                }
            }
            assert_eq!(pool.first(chain), queue.front());
            assert_eq!(
                (chain.len(), chain.is_empty()),
                (queue.len(), queue.is_empty())
            );
            most = most.max(model.iter().map(VecDeque::len).sum());
        }
        assert_eq!(pool.places(), most, "places are used again");
    }
}
