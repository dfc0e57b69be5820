//! The names of nodes and wires within a world: numbers, in the order in which they were added.

/// A node of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// A wire of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireId(pub u32);

/// One direction of a wire: away from its first end, or away from its second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// The wire.
    pub wire: WireId,
    /// Away from the first end (0) or the second (1).
    pub from: u8,
}

impl Lane {
    /// Its place among all directions.
    pub(super) const fn index(self) -> usize {
        (self.wire.0 as usize) * 2 + self.from as usize
    }

    /// The direction at a place.
    pub(super) fn of(index: usize) -> Self {
        let wire = u32::try_from(index / 2).unwrap_or(u32::MAX);
        Self {
            wire: WireId(wire),
            from: u8::from(index % 2 == 1),
        }
    }
}
