//! A bound on what a world holds: frames that come to more and more end the run, not the machine.
//!
//! ```text
//!   put, put, .. each 2^16th --> sum over all wires --> too much: no step any more, audit says why
//! ```
//!
//! What a fault script holds back counts with its wire.
//!
//! Promises: the same run is given up at the same step. What is looked at between two sums is at
//! most as many frames, so that memory stays near the bound.

use crate::lab::units::{write_duration, write_size};
use stack::time::Instant;

/// Bytes that the frames on all wires of a world may take.
pub const ROOM: u64 = 1 << 30;
/// What a frame takes besides its bytes.
const FRAME: u64 = stack::link::impair::FRAME_COST;
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

    /// One more frame was put on a wire: whether it is time to look.
    #[inline]
    pub(super) const fn count(&mut self) -> bool {
        self.left -= 1;
        self.left == 0
    }

    /// Sums up the frames of each direction of a wire and their bytes; there is no step any more
    /// where they are too many.
    #[cold]
    pub(super) fn look_at<'a>(
        &mut self,
        now: Instant,
        lanes: impl Iterator<Item = (usize, u64)>,
        name: impl FnOnce(usize) -> &'a str,
    ) {
        self.left = Self::look(self.most);
        let (mut sum, mut most, mut frames) = (0_u64, (0, 0), 0_usize);
        for (i, (here, held)) in lanes.enumerate() {
            let bytes = held + FRAME * here as u64;
            sum += bytes;
            frames += here;
            most = most.max((bytes, i));
        }
        if sum <= self.most {
            return;
        }
        let name = name(most.1);
        let at = write_duration(now.since(Instant::ZERO));
        let bound = write_size(self.most);
        self.gone = Some(
            format!(
                "given up at {at}: {frames} frames on wires take more than {bound}, most of them \
                 on {name}: is there a loop, a queue without a limit, or a clog without a release?"
            )
            .into(),
        );
    }

    pub(super) const fn is_gone(&self) -> bool {
        self.gone.is_some()
    }

    pub(super) fn audit(&self) -> Result<(), String> {
        self.gone().map_or(Ok(()), |why| Err(why.to_owned()))
    }

    pub(super) fn gone(&self) -> Option<&str> {
        self.gone.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::file;

    #[test]
    fn what_is_held_back_takes_room_as_well() {
        let text = r#"
until = "60s"
faults = "at 1ms clog a -> b"
[[node]]
name = "a"
[[node]]
name = "b"
[[wire]]
between = ["a", "b"]
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
        let mut world = topology.build(&Default::default()).unwrap();
        world.set_room(1 << 20);
        world.run_until(topology.end());
        let why = world.audit().unwrap_err();
        assert!(
            why.contains("take more than 1MiB, most of them on a-b"),
            "{why}"
        );
        assert!(world.held_back() < 1200, "{}", world.held_back());
    }

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
