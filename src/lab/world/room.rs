//! A bound on what a world holds: frames that come to more and more end the run, not the machine.
//!
//! ```text
//!   put, put, .. each 2^16th --> sum over all wires --> too much: no step any more, audit says why
//! ```
//!
//! Promises: the same run is given up at the same step. What is looked at between two sums is at
//! most as many frames, so that memory stays near the bound.

use super::World;
use crate::lab::ids::Lane;
use crate::lab::units::{write_duration, write_size};
use stack::time::Instant;

/// Bytes that the frames on all wires of a world may take.
pub const ROOM: u64 = 1 << 30;
/// What a frame takes besides its bytes: measured, with its place in the queue of its wire.
const FRAME: u64 = 256;
/// Frames between two sums at most.
const LOOK: u32 = 1 << 16;

/// How much a world may hold.
#[derive(Clone, Debug)]
pub(super) struct Room {
    most: u64,
    /// Frames until the next sum.
    left: u32,
    /// Why there is no step any more.
    gone: Option<Box<str>>,
}

impl Default for Room {
    fn default() -> Self {
        Self::new(ROOM)
    }
}

impl Room {
    pub(super) fn new(most: u64) -> Self {
        Self {
            most,
            left: Self::look(most),
            gone: None,
        }
    }

    /// Frames between two sums, so many that what is not seen meanwhile is little.
    fn look(most: u64) -> u32 {
        let few = u32::try_from(most / FRAME / 4).unwrap_or(LOOK);
        few.clamp(1, LOOK)
    }

    pub(super) const fn is_gone(&self) -> bool {
        self.gone.is_some()
    }

    pub(super) fn audit(&self) -> Result<(), String> {
        match &self.gone {
            Some(why) => Err(why.to_string()),
            None => Ok(()),
        }
    }
}

impl World {
    /// One more frame was put on a wire.
    #[inline]
    pub(super) fn count_room(&mut self) {
        self.room.left -= 1;
        if self.room.left == 0 {
            self.look_for_room();
        }
    }

    #[cold]
    fn look_for_room(&mut self) {
        self.room.left = Room::look(self.room.most);
        let (mut sum, mut most, mut frames) = (0_u64, (0, 0), 0_usize);
        for (i, lane) in self.lanes.iter().enumerate() {
            let queued = lane.way.queued();
            let here = queued.packets + queued.in_flight;
            if here > 0 {
                let bytes = lane.way.held_bytes() + FRAME * here as u64;
                sum += bytes;
                frames += here;
                most = most.max((bytes, i));
            }
        }
        if sum <= self.room.most {
            return;
        }
        let wire = Lane::of(most.1).wire;
        let name = self.wires.get(wire.0 as usize).map_or("?", |w| &w.name);
        let at = write_duration(self.now.since(Instant::ZERO));
        let bound = write_size(self.room.most);
        self.room.gone = Some(
            format!(
                "given up at {at}: {frames} frames on wires take more than {bound}, most of them \
                 on {name}: is there a loop, or a queue without a limit?"
            )
            .into(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::file;

    #[test]
    fn a_queue_without_a_limit_ends_the_run_and_not_the_machine() {
        let text = r#"
until = "60s"
[[node]]
name = "a"
[[node]]
name = "b"
[[wire]]
between = ["a", "b"]
rate = "1kbit"
queue = { kind = "drop-tail", packets = "unlimited" }
[[client]]
name = "c"
node = "a"
kind = "udp"
to = "b"
size = 1000
count = 5000
interval = "1ms"
"#;
        let topology = file::parse("x", text).unwrap().topology;
        let run = |room: u64| {
            let mut world = topology.build(&Default::default()).unwrap();
            world.set_room(room);
            world.run_until(topology.end());
            (world.steps(), world.now(), world.audit())
        };
        let (steps, now, audit) = run(1 << 20);
        let why = audit.unwrap_err();
        assert!(why.starts_with("given up at "), "{why}");
        assert!(
            why.contains("take more than 1MiB, most of them on a-b"),
            "{why}"
        );
        assert!(now > Instant::ZERO && now < topology.end());
        assert_eq!(run(1 << 20).0, steps);
        assert_eq!(run(ROOM).2, Ok(()));
    }
}
