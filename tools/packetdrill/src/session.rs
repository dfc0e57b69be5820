//! One run of the tool: a process behind a lock, its clock, and the calls that wait.
//!
//! ```text
//!   main thread                           thread of blocking calls
//!     usleep, netdev_send, …                accept …
//!        | moves the clock, packets            | waits, asleep
//!        +-- asks all waiting calls again ---->| is woken with its answer
//!        |<-- reads the clock at once ---------| "it returned at …"
//!        goes on, no later than a few real milliseconds
//! ```
//!
//! Time is virtual: it moves in `usleep`, by a microsecond when it is read (the tool spins on it),
//! and to the next timer where the tool waits for a packet that has not come.

use crate::flags::Flags;
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::thread::{self, ThreadId};
use std::time::Duration;
use tools::posix::{Answer, Call, Errno, Mode, Op, Process, Sent, Setup};

/// What the wall clock shows at the start; any would do.
pub(crate) const EPOCH: Duration = Duration::from_secs(1_600_000_000);
/// One reading of the clock takes so long.
const TICK: Duration = Duration::from_micros(1);
/// Nothing leaves that would take longer than this to come: the script waits in vain.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long, of real time, one who was woken is waited for to have seen the clock.
const COURTESY: Duration = Duration::from_millis(5);

/// A call that waits, and its answer once there is one.
struct Waiting {
    call: Call,
    answer: Option<Answer>,
    thread: ThreadId,
}

/// What the lock protects.
pub(crate) struct State {
    pub(crate) process: Process,
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
    /// Threads whose call has been answered, and which have not read the clock since.
    threads: Vec<ThreadId>,
    ended: bool,
    kernel: Kernel,
    adopt: bool,
}

/// A run.
pub struct Session {
    state: Mutex<State>,
    moved: Condvar,
}

/// The run that is on, for calls that come by the C library's names.
static CURRENT: Mutex<Option<Arc<Session>>> = Mutex::new(None);

pub(crate) fn current() -> Option<Arc<Session>> {
    let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    current.clone()
}

/// Begins a run; gives what it is known by until it is given back to [`release`].
pub(crate) fn begin(flags: &Flags) -> Result<*mut Session, String> {
    let session = Arc::new(Session::new(flags)?);
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&session));
    Ok(Arc::into_raw(session).cast_mut())
}

/// Ends the run behind `userdata`, and gives back what it holds.
///
/// # Safety
/// It is what the table was filled with, and this is the first time.
pub(crate) unsafe fn release(userdata: *mut Session) {
    if userdata.is_null() {
        return;
    }
    // SAFETY: it came from `Arc::into_raw`, and the caller says that it was not given back yet.
    let session = unsafe { Arc::from_raw(userdata.cast_const()) };
    session.end();
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    if current.as_ref().is_some_and(|c| Arc::ptr_eq(c, &session)) {
        *current = None;
    }
}

impl Session {
    /// Begins one.
    ///
    /// # Errors
    /// In words, where a flag names a setting that there is not.
    pub fn new(flags: &Flags) -> Result<Self, String> {
        let mut process = Process::new(&flags.setup);
        // The tool has run them by now, and only what changes from here on is seen.
        process.take_collection_defaults();
        process.set_epoch(EPOCH);
        process.set_cut(flags.cut);
        for (name, value) in &flags.sysctls {
            process.sysctl(name, value)?;
        }
        if flags.adopt {
            // Nobody has said which family it will be.
            let other = match flags.setup.mode {
                Mode::V6 => Mode::V4,
                Mode::V4 | Mode::Mapped => Mode::V6,
            };
            let other = Setup::new(flags.setup.profile, other);
            process.adopt(other.local, other.prefix);
        }
        let state = State {
            process,
            waiting: BTreeMap::new(),
            next: 0,
            threads: Vec::new(),
            ended: false,
            kernel: Kernel::new(flags.follow_kernel),
            adopt: flags.adopt,
        };
        Ok(Self {
            state: Mutex::new(state),
            moved: Condvar::new(),
        })
    }

    /// The state; a thread that panicked leaves it as good as it was.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a descriptor is of this run.
    pub(crate) fn owns(&self, fd: i32) -> bool {
        self.lock().process.has(fd)
    }

    /// Makes a call that gives descriptors, under these numbers.
    pub(crate) fn open(&self, op: Op, numbers: &[i32]) -> (Op, Answer) {
        self.make(op, numbers)
    }

    /// Makes a call, and sleeps until it has its answer.
    pub(crate) fn call(&self, op: Op) -> (Op, Answer) {
        self.make(op, &[])
    }

    fn make(&self, op: Op, numbers: &[i32]) -> (Op, Answer) {
        let mut state = self.lock();
        state.before(&op);
        let mut call = Call::from(op);
        call.reserve(numbers);
        if let Poll::Ready(answer) = state.process.call(&mut call) {
            state.ask_again();
            self.moved.notify_all();
            return (call.op, answer);
        }
        let id = state.next;
        state.next += 1;
        let thread = thread::current().id();
        let waiting = Waiting {
            call,
            answer: None,
            thread,
        };
        state.waiting.insert(id, waiting);
        // A call may give others what they wait for, and only that.
        state.ask_again();
        self.moved.notify_all();
        loop {
            let answered = state.waiting.get(&id).is_none_or(|w| w.answer.is_some());
            if answered || state.ended {
                break;
            }
            state = self
                .moved
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        match state.waiting.remove(&id) {
            Some(Waiting {
                call,
                answer: Some(answer),
                ..
            }) => (call.op, answer),
            Some(waiting) => (waiting.call.op, Err(Errno::EINTR)),
            None => (Op::Close { fd: -1 }, Err(Errno::EINTR)),
        }
    }

    /// What has moved may answer calls that wait; they are let go before anything else moves.
    fn wake<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.ask_again();
        if state.threads.is_empty() {
            return state;
        }
        self.moved.notify_all();
        while !state.threads.is_empty() {
            let (back, late) = self
                .moved
                .wait_timeout(state, COURTESY)
                .unwrap_or_else(PoisonError::into_inner);
            state = back;
            if late.timed_out() {
                state.threads.clear();
            }
        }
        state
    }

    /// The wall clock, which moves by being read.
    pub(crate) fn clock(&self) -> Duration {
        let mut state = self.lock();
        let me = thread::current().id();
        state.threads.retain(|thread| *thread != me);
        let to = state.process.now() + TICK;
        state.process.advance(to);
        state.ask_again();
        self.moved.notify_all();
        EPOCH + to
    }

    /// Lets time pass.
    pub(crate) fn sleep(&self, time: Duration) {
        let mut state = self.lock();
        let end = state.process.now() + time;
        state = self.wake(state);
        while state.process.now() < end {
            let now = state.process.now();
            let next = state.process.next_timeout().unwrap_or(end);
            let to = if next <= now { now + TICK } else { next };
            state.process.advance(to.min(end));
            state = self.wake(state);
        }
    }

    /// A packet arrives.
    pub(crate) fn deliver(&self, packet: &[u8]) {
        let mut state = self.lock();
        if is_syn(packet) {
            state.follow_kernel();
        }
        state.process.deliver(packet);
        drop(self.wake(state));
    }

    /// The next packet that leaves; time passes until there is one.
    pub(crate) fn receive(&self) -> Option<Sent> {
        let mut state = self.lock();
        let limit = state.process.now() + PATIENCE;
        loop {
            if let Some(sent) = state.process.transmit() {
                return Some(sent);
            }
            let now = state.process.now();
            let next = state.process.next_timeout().filter(|next| *next <= limit)?;
            let to = if next <= now { now + TICK } else { next };
            if to > limit {
                return None;
            }
            state.process.advance(to);
            state = self.wake(state);
        }
    }

    /// The tool has finished: whoever waits is let go.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.process.exit();
        self.moved.notify_all();
    }
}

impl State {
    /// Asks calls that wait again.
    fn ask_again(&mut self) {
        let Self {
            process,
            waiting,
            threads,
            ..
        } = self;
        for waiting in waiting.values_mut().filter(|w| w.answer.is_none()) {
            if let Poll::Ready(answer) = process.call(&mut waiting.call) {
                waiting.answer = Some(answer);
                threads.push(waiting.thread);
            }
        }
    }

    /// What is seen to before a call is made.
    fn before(&mut self, op: &Op) {
        match op {
            Op::Socket { .. } | Op::Listen { .. } | Op::Connect { .. } => self.follow_kernel(),
            Op::Bind {
                addr: Some(addr), ..
            } if self.adopt && !addr.ip().is_unspecified() => {
                let ip = addr.ip().to_canonical();
                self.process.adopt(ip, if ip.is_ipv4() { 16 } else { 48 });
            }
            _ => {}
        }
    }

    fn follow_kernel(&mut self) {
        for (name, value) in self.kernel.changes() {
            // One that we have not is none of ours.
            let _ = self.process.sysctl(&name, &value);
        }
    }
}

/// Whether a packet opens a connection.
fn is_syn(packet: &[u8]) -> bool {
    let header = match packet.first().map(|b| b >> 4) {
        Some(4) => packet.first().map_or(0, |b| usize::from(b & 15) * 4),
        Some(6) => 40,
        _ => return false,
    };
    packet
        .get(header + 13)
        .is_some_and(|flags| flags & 0x12 == 2)
}

/// The real kernel's settings, which a script's shell blocks change: a change is taken over.
struct Kernel {
    known: BTreeMap<String, String>,
}

/// Where they are.
const SETTINGS: &str = "/proc/sys/net/ipv4";

impl Kernel {
    fn new(follow: bool) -> Self {
        let known = if follow {
            Self::read()
        } else {
            BTreeMap::new()
        };
        Self { known }
    }

    fn read() -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for entry in std::fs::read_dir(SETTINGS).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with("tcp_") || name.contains("available") {
                continue;
            }
            if let Ok(value) = std::fs::read_to_string(entry.path()) {
                all.insert(name, value.trim().to_owned());
            }
        }
        all
    }

    /// Those that differ from what they were when this was asked last.
    fn changes(&mut self) -> Vec<(String, String)> {
        if self.known.is_empty() {
            return Vec::new();
        }
        let now = Self::read();
        let changed = now
            .iter()
            .filter(|(name, value)| self.known.get(*name) != Some(value))
            .map(|(name, value)| (format!("net.ipv4.{name}"), value.clone()))
            .collect();
        self.known = now;
        changed
    }
}
