//! Bounds on what a world holds and on what happens in one instant: frames that come to more and
//! more end the run, not the machine, and so do events that never end.
//!
//! ```text
//!   put, put, .. each 2^16th   --> sum over all wires --> too much: no step any more, audit says why
//!   step, step, .. each 2^24th --> is it the same instant as then? --> likewise
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
/// Events in one instant: ten times those of a thousand hosts on a hub that announce themselves.
const STILL: u64 = 1 << 24;

/// How much a world may hold.
#[derive(Clone, Debug)]
pub(super) struct Room {
    most: u64,
    /// Frames until the next sum.
    left: u32,
    /// Why there is no step any more.
    gone: Option<Box<str>>,
    /// Steps between two looks at the clock.
    still: u64,
    /// At which step it is looked at next.
    next_look: u64,
    /// What it showed last.
    seen: Option<Instant>,
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
            still: STILL,
            next_look: STILL,
            seen: None,
        }
    }

    /// Gives up where so many events, or up to twice as many, happen in one instant.
    #[cfg(test)]
    pub(super) const fn bound_instant(&mut self, events: u64) {
        self.still = events;
        self.next_look = events;
    }

    /// Whether it is time to look at the clock, after so many steps.
    #[inline]
    pub(super) const fn is_look_due(&self, steps: u64) -> bool {
        steps >= self.next_look
    }

    /// There is no step any more where time stands still; `node` is where something just happened.
    #[cold]
    pub(super) fn look_at_clock<'a>(&mut self, now: Instant, node: impl FnOnce() -> &'a str) {
        self.next_look += self.still;
        if self.seen.replace(now) != Some(now) {
            return;
        }
        let (at, node) = (write_duration(now.since(Instant::ZERO)), node());
        let events = self.still;
        self.gone = Some(
            format!(
                "given up at {at}: more than {events} events happened and time stood still, the \
                 last at node {node}: does something answer at once what is asked at once?"
            )
            .into(),
        );
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
    fn time_that_stands_still_ends_the_run() {
        // Over a wire that takes no time, as many bytes as go until then.
        let text = r#"
until = "10s"
[[node]]
name = "a"
[[node]]
name = "b"
services = ["sink"]
[[wire]]
between = ["a", "b"]
[[client]]
node = "a"
kind = "tcp"
to = "b"
stop = "5s"
"#;
        let topology = file::parse("x", text).unwrap().topology;
        let mut world = topology.build(&Default::default()).unwrap();
        world.room.bound_instant(1000);
        world.run_until(topology.end());
        let why = world.audit().unwrap_err();
        let begins = "given up at 0s: more than 1000 events happened and time stood still, the";
        assert!(why.starts_with(begins), "{why}");
        assert!(
            why.contains(" node a: ") || why.contains(" node b: "),
            "{why}"
        );
        assert!(world.steps() <= 2000, "{}", world.steps());
    }

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
