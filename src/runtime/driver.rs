//! The loop that waits: devices, deadlines, signals; and a machine in the middle.
//!
//! ```text
//!            +---------------------------- turn ----------------------------+
//!   wait --> | recv -> handle_frame -> fate,  a batch from each device      | --> wait
//!   (epoll)  | handle_timeout, where due                                    |
//!            | the verb's own hook: sockets, standard input, children       |
//!            | poll_transmit -> send,  until None or the device pushes back |
//!            +--------------------------------------------------------------+
//! ```
//!
//! Promises: one thread. A device that refuses a frame keeps its port quiet until it is writable
//! again: the frame waits here, and the machine is not asked for more. No device starves another:
//! each gets a batch a turn. The first frame of a wake-up is answered before the next is read,
//! which is what a lone ping waits for; under load the rest is read as a batch and answered
//! together, so that acknowledgements coalesce. Interest in writing is told to the kernel only
//! while a frame waits, so the usual turn is wait, read, write, read nothing. A frame is handed over
//! with the time at which it was read, not that of its batch. A deadline is never met early, and
//! late by no more than `GRAIN` and what the OS takes to wake a process. In a conversation
//! that is quicker than falling asleep and waking up, the loop stays awake for a moment after each
//! frame (`Vigil`); with frames further apart it sleeps at once, so an idle host costs nothing.

use super::clock::Clock;
use crate::device::timer::Timer;
use crate::device::{Device, Received, process};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::signal;
use stack::frame::Frame;
use stack::machine::{Fate, Machine, Port};
use stack::time::{Duration, Instant, nanos};
use std::io::{self, Read as _};
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;

/// Frames read from one device in a turn.
const BATCH: usize = 64;
/// How soon a frame must follow another to be waited for awake. Waking a process on an idle CPU
/// takes about half of this.
const VIGIL: Duration = Duration::from_micros(50);
/// Frames without a vigil after one that was in vain: it cost time that somebody else may have
/// needed to answer us, on the same CPU perhaps.
const REST: u32 = 256;
/// Turns of a vigil between two looks at signals and watched descriptors.
const LOOK_UP: u32 = 32;
/// A deadline nearer than this is met this late: where deadlines are dense, as on a fast wire, one
/// wake-up serves several.
const GRAIN: Duration = Duration::from_micros(20);
/// A deadline further away is approached by `epoll_wait`'s own timeout, which counts milliseconds,
/// so that a deadline that keeps being put off costs no system call.
const FAR: Duration = Duration::from_millis(3);
/// Token of the pipes that signals write to; devices are below, watched descriptors above.
const SIGNALS: usize = 1 << 16;
const TIMER: usize = SIGNALS - 1;
const WATCHED: usize = SIGNALS + 8;

/// What a turn was about, for the verb's hook.
#[derive(Clone, Debug, Default)]
pub struct Wake {
    /// SIGINT, SIGTERM or SIGHUP arrived: the verb shall end.
    pub stop: bool,
    /// Which they were.
    pub stops: Vec<Stop>,
    /// A child ended.
    pub child: bool,
    /// SIGUSR1 arrived, after [`Driver::catch_usr1`]: somebody wants to know how it stands.
    pub asked: bool,
    /// A device has come to its end: an interface that was deleted, for one.
    pub ended: bool,
    /// Watched descriptors that are readable, by the numbers that [`Driver::watch`] gave.
    pub readable: Vec<usize>,
}

/// A signal that asks for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Its number.
    pub signal: i32,
    /// A process sent it, to us perhaps alone. A terminal's ^C and hangup reach all that runs in
    /// its foreground by themselves.
    pub sent: bool,
}

/// What a hook answers: go on, waking no later than the given instant; or the end.
pub type Next<T> = ControlFlow<T, Option<Instant>>;

/// Frames through one port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Frames received and handed to the machine.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// Frames that the OS refused for good (too long, interface down).
    pub refused: u64,
    /// Times that a frame had to wait for room.
    pub pushed_back: u64,
}

struct Attachment {
    device: Box<dyn Device>,
    /// The frame that the device had no room for.
    unsent: Option<Frame>,
    /// There may be more to read: epoll said so, and `recv` has not said otherwise since.
    readable: bool,
    ended: bool,
    stats: PortStats,
}

/// Decides whether to wait awake or asleep.
#[derive(Debug, Default)]
struct Vigil {
    /// A frame came in this turn.
    heard: bool,
    /// When the last turn that heard one was done.
    since: Instant,
    awake: bool,
    rest: u32,
    /// Turns spent awake.
    turns: u32,
}

impl Vigil {
    /// Whether to look at the devices again instead of sleeping.
    fn keeps(&mut self, now: Instant) -> bool {
        let soon = now.since(self.since) < VIGIL;
        if std::mem::take(&mut self.heard) {
            self.since = now;
            self.rest = self.rest.saturating_sub(1);
            self.awake = soon && self.rest == 0;
        } else if self.awake && !soon {
            self.awake = false;
            self.rest = REST;
        }
        self.awake
    }
}

/// Wakes the loop at a deadline.
#[derive(Debug)]
struct Alarm {
    timer: Timer,
    /// What the timer is set to, while it has not run off.
    set: Option<Instant>,
}

impl Alarm {
    /// How long to wait for events, at most; the timer ends the wait where that is too coarse.
    fn timeout(&mut self, now: Instant, at: Instant) -> io::Result<Option<Duration>> {
        let left = at.since(now);
        if left.is_zero() {
            return Ok(Some(Duration::ZERO));
        }
        if left > FAR {
            let whole = nanos(left) / 1_000_000 - 1;
            return Ok(Some(Duration::from_millis(whole)));
        }
        if self.set != Some(at) {
            self.timer.set(left.max(GRAIN))?;
            self.set = Some(at);
        }
        Ok(None)
    }
}

/// Drives one machine over its devices: port `i` is device `i`.
pub struct Driver<M> {
    /// The machine.
    pub machine: M,
    ports: Vec<Attachment>,
    clock: Clock,
    poll: Poll,
    events: Events,
    signals: Vec<(i32, UnixStream)>,
    watched: usize,
    wake: Wake,
    vigil: Vigil,
    alarm: Alarm,
}

impl<M: Machine> Driver<M> {
    /// Takes over `machine` and its devices.
    ///
    /// # Errors
    /// Where the OS refuses to wait on a device.
    pub fn new(machine: M, clock: Clock, devices: Vec<Box<dyn Device>>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = Timer::new()?;
        poll.registry().register(
            &mut SourceFd(&timer.raw_fd()),
            Token(TIMER),
            Interest::READABLE,
        )?;
        let mut ports = Vec::with_capacity(devices.len());
        for (i, device) in devices.into_iter().enumerate() {
            if let Some(fd) = device.raw_fd() {
                poll.registry()
                    .register(&mut SourceFd(&fd), Token(i), Interest::READABLE)?;
            }
            ports.push(Attachment {
                device,
                unsent: None,
                readable: true,
                ended: false,
                stats: PortStats::default(),
            });
        }
        Ok(Self {
            machine,
            ports,
            clock,
            poll,
            events: Events::with_capacity(64),
            signals: Vec::new(),
            watched: 0,
            wake: Wake::default(),
            vigil: Vigil::default(),
            alarm: Alarm { timer, set: None },
        })
    }

    /// From now on SIGINT, SIGTERM, SIGHUP and SIGCHLD are told to the hook instead of their
    /// default. A hangup that whoever started us wanted ignored stays so.
    ///
    /// # Errors
    /// What the OS says.
    pub fn catch_signals(&mut self) -> io::Result<()> {
        let all = [
            signal::SIGINT,
            signal::SIGTERM,
            signal::SIGHUP,
            signal::SIGCHLD,
        ];
        for number in all {
            if number == signal::SIGHUP && process::is_ignored(number) {
                continue;
            }
            self.catch(number)?;
        }
        Ok(())
    }

    /// From now on SIGUSR1 is told to the hook: [`Wake::asked`].
    ///
    /// # Errors
    /// What the OS says.
    pub fn catch_usr1(&mut self) -> io::Result<()> {
        self.catch(signal::SIGUSR1)
    }

    fn catch(&mut self, number: i32) -> io::Result<()> {
        let (write, read) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        process::catch(number, write)?;
        let token = Token(SIGNALS + self.signals.len());
        self.poll.registry().register(
            &mut SourceFd(&read.as_raw_fd()),
            token,
            Interest::READABLE,
        )?;
        self.signals.push((number, read));
        Ok(())
    }

    /// Also wakes when `fd` becomes readable (an edge: read until it would block); gives the number
    /// by which [`Wake::readable`] names it. A plain file cannot be watched.
    ///
    /// # Errors
    /// What the OS says.
    pub fn watch(&mut self, fd: RawFd) -> io::Result<usize> {
        let number = self.watched;
        let token = Token(WATCHED + number);
        self.poll
            .registry()
            .register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        self.watched += 1;
        Ok(number)
    }

    /// Stops watching `fd`.
    ///
    /// # Errors
    /// What the OS says.
    pub fn unwatch(&mut self, fd: RawFd) -> io::Result<()> {
        self.poll.registry().deregister(&mut SourceFd(&fd))
    }

    /// The run's time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// What went through the port so far.
    #[must_use]
    pub fn port_stats(&self, port: Port) -> Option<PortStats> {
        self.ports.get(usize::from(port.0)).map(|p| p.stats)
    }

    /// What went through each port so far.
    #[must_use]
    pub fn all_port_stats(&self) -> Vec<PortStats> {
        self.ports.iter().map(|p| p.stats).collect()
    }

    /// Whether no device will ever give a frame again.
    #[must_use]
    pub fn all_ended(&self) -> bool {
        self.ports.iter().all(|p| p.ended)
    }

    /// Turns until `hook`, called once a turn, breaks. What the hook made the machine want to send
    /// leaves in the same turn.
    ///
    /// # Errors
    /// Where a device breaks or the OS refuses to wait.
    pub fn run<T>(
        &mut self,
        mut hook: impl FnMut(&mut M, Instant, &Wake) -> Next<T>,
    ) -> io::Result<T> {
        loop {
            self.receive()?;
            let now = self.clock.now();
            if self.machine.poll_timeout().is_some_and(|at| at <= now) {
                self.machine.handle_timeout(now);
            }
            let wake = std::mem::take(&mut self.wake);
            let next = hook(&mut self.machine, now, &wake);
            self.transmit_all(now)?;
            match next {
                ControlFlow::Break(result) => return Ok(result),
                ControlFlow::Continue(deadline) => self.wait(deadline)?,
            }
        }
    }

    /// Sends what the machine has to say, without waiting for room: for last words, after
    /// [`run`](Self::run).
    ///
    /// # Errors
    /// Where a device breaks.
    pub fn flush(&mut self) -> io::Result<()> {
        let now = self.clock.now();
        self.transmit_all(now)
    }

    /// Reads a batch from each device that may have something.
    fn receive(&mut self) -> io::Result<()> {
        for i in 0..self.ports.len() {
            if self.ports[i].readable {
                self.receive_batch(i)?;
            }
        }
        Ok(())
    }

    fn receive_batch(&mut self, i: usize) -> io::Result<()> {
        for n in 0..BATCH {
            let now = self.clock.now();
            let attachment = &mut self.ports[i];
            match attachment.device.recv(now)? {
                Received::Frame(frame) => {
                    attachment.stats.received += 1;
                    self.vigil.heard = true;
                    let len = log::log_enabled!(log::Level::Debug).then(|| frame.len());
                    let fate = self.machine.handle_frame(now, port(i), frame);
                    attachment.device.fate(fate);
                    if let Some(len) = len {
                        tell_fate(i, len, fate);
                    }
                }
                Received::Empty => {
                    attachment.readable = false;
                    return Ok(());
                }
                Received::Ended => {
                    attachment.readable = false;
                    attachment.ended = true;
                    self.wake.ended = true;
                    return Ok(());
                }
            }
            if n == 0 {
                self.transmit_all(now)?;
            }
        }
        Ok(())
    }

    /// Pulling at one port may give another something to say: a packet given up for want of its
    /// next hop is reported the way it came. So the ports before the last are asked once more.
    fn transmit_all(&mut self, now: Instant) -> io::Result<()> {
        let ports = self.ports.len();
        for i in (0..ports).chain(0..ports.saturating_sub(1)) {
            self.transmit(i, now)?;
        }
        Ok(())
    }

    fn transmit(&mut self, i: usize, now: Instant) -> io::Result<()> {
        let attachment = &mut self.ports[i];
        let was_waiting = attachment.unsent.is_some();
        loop {
            let frame = match attachment.unsent.take() {
                Some(frame) => frame,
                None => match self.machine.poll_transmit(now, port(i)) {
                    Some(frame) => {
                        attachment.device.comment(self.machine.transmit_comment());
                        frame
                    }
                    None => break,
                },
            };
            match attachment.device.send(now, &frame) {
                Ok(()) => {
                    attachment.stats.sent += 1;
                    log::trace!("port {i}: out, {} bytes", frame.len());
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    attachment.unsent = Some(frame);
                    break;
                }
                Err(e) => {
                    attachment.stats.refused += 1;
                    log::debug!("port {i}: {} bytes refused: {e}", frame.len());
                }
            }
        }
        let waits = attachment.unsent.is_some();
        if waits == was_waiting {
            return Ok(());
        }
        attachment.stats.pushed_back += u64::from(waits);
        let Some(fd) = attachment.device.raw_fd() else {
            return Ok(());
        };
        let interest = if waits {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        self.poll
            .registry()
            .reregister(&mut SourceFd(&fd), Token(i), interest)
    }

    /// Waits for a device, a signal, a watched descriptor or the earliest deadline.
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        if self.vigil.keeps(self.clock.now()) {
            for p in &mut self.ports {
                p.readable = !p.ended;
            }
            self.vigil.turns = self.vigil.turns.wrapping_add(1);
            if !self.vigil.turns.is_multiple_of(LOOK_UP) {
                return Ok(());
            }
        }
        let held = self.ports.iter().filter_map(|p| p.device.poll_timeout());
        let deadline = held
            .chain(deadline)
            .chain(self.machine.poll_timeout())
            .min();
        let timeout = match deadline {
            _ if self.ports.iter().any(|p| p.readable) => Some(Duration::ZERO),
            Some(at) => self.alarm.timeout(self.clock.now(), at)?,
            None => None,
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e),
            Err(_) => self.events.clear(),
            Ok(()) => {}
        }
        if deadline.is_some() {
            // A device that holds frames back has no descriptor that says they are due.
            let now = self.clock.now();
            for p in &mut self.ports {
                p.readable |= p.device.poll_timeout().is_some_and(|at| at <= now);
            }
        }
        for event in &self.events {
            match event.token().0 {
                TIMER => self.alarm.set = None,
                i if i < SIGNALS => {
                    if let Some(p) = self.ports.get_mut(i) {
                        p.readable |= !p.ended && (event.is_readable() || event.is_error());
                    }
                }
                i if i < WATCHED => {
                    if let Some((number, stream)) = self.signals.get_mut(i - SIGNALS) {
                        note_signal(&mut self.wake, *number, stream);
                    }
                }
                i => self.wake.readable.push(i - WATCHED),
            }
        }
        Ok(())
    }
}

fn note_signal(wake: &mut Wake, number: i32, stream: &mut UnixStream) {
    let mut from = [0; 64];
    let mut sent = false;
    while let Ok(n @ 1..) = stream.read(&mut from) {
        sent |= from.iter().take(n).any(|&who| who == process::FROM_PROCESS);
    }
    match number {
        signal::SIGCHLD => {
            wake.child = true;
            return;
        }
        signal::SIGUSR1 => {
            wake.asked = true;
            return;
        }
        _ => {}
    }
    wake.stop = true;
    wake.stops.push(Stop {
        signal: number,
        sent,
    });
}

/// What became of a frame: a drop is told a level earlier than the rest.
fn tell_fate(i: usize, len: usize, fate: Fate) {
    let level = match fate {
        Fate::Dropped(_) => log::Level::Debug,
        _ => log::Level::Trace,
    };
    log::log!(level, "port {i}: in, {len} bytes: {fate}");
}

fn port(i: usize) -> Port {
    Port(u16::try_from(i).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Medium;
    use stack::machine::{Consumer, Fate};
    use std::collections::VecDeque;
    use std::os::unix::net::UnixDatagram;

    /// Sends each frame back by the port it came from, and one more at a deadline.
    #[derive(Default)]
    struct Echo {
        queues: [VecDeque<Frame>; 2],
        alarm: Option<Instant>,
    }

    impl Machine for Echo {
        fn handle_frame(&mut self, _: Instant, port: Port, frame: Frame) -> Fate {
            self.queues[usize::from(port.0)].push_back(frame);
            Fate::Delivered(Consumer::Raw)
        }
        fn poll_transmit(&mut self, _: Instant, port: Port) -> Option<Frame> {
            self.queues[usize::from(port.0)].pop_front()
        }
        fn poll_timeout(&self) -> Option<Instant> {
            self.alarm
        }
        fn handle_timeout(&mut self, now: Instant) {
            if self.alarm.take_if(|at| *at <= now).is_some() {
                self.queues[0].push_back(Frame::copy_from(b"alarm"));
            }
        }
    }

    struct Pipe(UnixDatagram);

    impl Device for Pipe {
        fn recv(&mut self, _: Instant) -> io::Result<Received> {
            let mut buffer = [0; 2048];
            match self.0.recv(&mut buffer) {
                Ok(n) => Ok(Received::Frame(Frame::copy_from(&buffer[..n]))),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Received::Empty),
                Err(e) => Err(e),
            }
        }
        fn send(&mut self, _: Instant, frame: &Frame) -> io::Result<()> {
            self.0.send(&frame.to_bytes()).map(drop)
        }
        fn mtu(&self) -> usize {
            1500
        }
        fn medium(&self) -> Medium {
            Medium::Ip
        }
        fn raw_fd(&self) -> Option<RawFd> {
            Some(self.0.as_raw_fd())
        }
    }

    fn pair() -> (Box<dyn Device>, UnixDatagram) {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        (Box::new(Pipe(ours)), theirs)
    }

    #[test]
    fn an_endless_conversation_does_not_hide_other_descriptors() {
        let (device, peer) = pair();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut driver = Driver::new(Echo::default(), Clock::start(), vec![device]).unwrap();
        driver.watch(theirs.as_raw_fd()).unwrap();
        let (mut buffer, mut turns) = ([0; 2048], 0u32);
        peer.send(b"frame").unwrap();
        driver
            .run(|_, _, wake| {
                turns += 1;
                assert!(turns < 100 + 2 * LOOK_UP, "never looked up");
                if turns == 100 {
                    io::Write::write_all(&mut &ours, b"x").unwrap();
                }
                // Each echo is sent again, so that there is always one to wait for awake.
                if let Ok(n) = peer.recv(&mut buffer) {
                    peer.send(&buffer[..n]).unwrap();
                }
                match wake.readable[..] {
                    [] => ControlFlow::Continue(None),
                    _ => ControlFlow::Break(()),
                }
            })
            .unwrap();
    }

    #[test]
    fn stays_awake_only_while_frames_follow_each_other() {
        let at = Instant::from_nanos;
        let mut vigil = Vigil::default();
        let hear = |vigil: &mut Vigil, now| {
            vigil.heard = true;
            vigil.keeps(at(now))
        };
        assert!(
            !hear(&mut vigil, 1_000_000),
            "the first comes out of nothing"
        );
        assert!(!vigil.keeps(at(1_001_000)));
        assert!(hear(&mut vigil, 1_020_000), "the second follows");
        assert!(vigil.keeps(at(1_069_999)));
        assert!(!vigil.keeps(at(1_070_000)), "in vain");
        for n in 1..u64::from(REST) {
            assert!(!hear(&mut vigil, 1_070_000 + n * 1000));
        }
        assert!(hear(&mut vigil, 1_071_000 + u64::from(REST) * 1000));
        assert!(!hear(&mut vigil, 9_000_000), "a pause ends it");
    }

    #[test]
    fn a_slow_reader_loses_nothing_and_starves_nobody() {
        let ((slow, slow_end), (quick, quick_end)) = (pair(), pair());
        let mut driver = Driver::new(Echo::default(), Clock::start(), vec![slow, quick]).unwrap();
        let (mut sent, mut back, mut quick_back, mut turns) = (0u32, 0u32, 0u32, 0u32);
        let mut buffer = [0; 2048];
        driver
            .run(|_, now, _| {
                turns += 1;
                // Write until the socket is full, read back one a turn: echoes pile up.
                while sent < 2000 && slow_end.send(&sent.to_be_bytes()).is_ok() {
                    sent += 1;
                }
                quick_back += u32::from(quick_end.recv(&mut buffer).is_ok());
                let _ = quick_end.send(b"q");
                if slow_end.recv(&mut buffer).is_ok() {
                    assert_eq!(buffer[..4], back.to_be_bytes(), "in order");
                    back += 1;
                }
                if back == 2000 {
                    return Next::Break(());
                }
                Next::Continue(Some(now))
            })
            .unwrap();
        let stats = driver.port_stats(Port(0)).unwrap();
        assert_eq!((stats.received, stats.sent), (2000, 2000));
        assert!(stats.pushed_back > 0 && stats.refused == 0, "{stats:?}");
        assert!(quick_back > turns / 2, "{quick_back} of {turns}");
    }

    #[test]
    fn deadlines_of_machine_and_hook_wake_it() {
        let (device, end) = pair();
        let mut driver = Driver::new(Echo::default(), Clock::start(), vec![device]).unwrap();
        let start = driver.now();
        driver.machine.alarm = Some(start + Duration::from_millis(20));
        let mut buffer = [0; 16];
        let woken = driver
            .run(|_, now, _| match end.recv(&mut buffer) {
                Ok(n) => Next::Break((now, buffer[..n].to_vec())),
                Err(_) if now.since(start) > Duration::from_secs(5) => {
                    Next::Break((now, Vec::new()))
                }
                Err(_) => Next::Continue(Some(now + Duration::from_millis(30))),
            })
            .unwrap();
        assert_eq!(woken.1, b"alarm");
        assert!(woken.0.since(start) >= Duration::from_millis(20));
    }

    #[test]
    fn near_and_far_deadlines_all_wake_it() {
        let (device, _end) = pair();
        let mut driver = Driver::new(Echo::default(), Clock::start(), vec![device]).unwrap();
        let micros = [1, 15, 100, 900, 2900, 3100, 5000];
        let (mut next, mut due) = (micros.iter().cycle().take(70), None);
        driver
            .run(|_, now, _| {
                if due.is_none_or(|at| at <= now) {
                    let Some(wait) = next.next() else {
                        return Next::Break(());
                    };
                    due = Some(now + Duration::from_micros(*wait));
                }
                Next::Continue(due)
            })
            .unwrap();
    }

    #[test]
    fn watched_descriptors_and_signals_reach_the_hook() {
        let (device, _end) = pair();
        let mut driver = Driver::new(Echo::default(), Clock::start(), vec![device]).unwrap();
        driver.catch_signals().unwrap();
        let (near, far) = UnixDatagram::pair().unwrap();
        let number = driver.watch(near.as_raw_fd()).unwrap();
        far.send(b"x").unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let (mut read, mut ended) = (false, false);
        let done = driver
            .run(|_, now, wake| {
                read |= wake.readable.contains(&number);
                ended |= wake.child;
                if read && ended {
                    return Next::Break(true);
                }
                if now.since(Instant::ZERO) > Duration::from_secs(10) {
                    return Next::Break(false);
                }
                Next::Continue(Some(now + Duration::from_millis(100)))
            })
            .unwrap();
        assert!(done, "readable {read}, child {ended}");
        child.wait().unwrap();
    }
}
