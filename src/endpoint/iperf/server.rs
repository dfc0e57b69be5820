//! The end that is asked: one test at a time.
//!
//! ```text
//!   accept --> Guest (its cookie comes) --+-- no test: it begins one, and is its control connection
//!                                         +-- the test's own cookie: a stream of it
//!                                         `-- another: told that we are busy
//! ```

use super::super::everywhere;
use super::{Broken, COOKIE, Control, Flow, MAX_STREAMS, Params, Results, results, state};
use stack::host::{BindError, Event, Host, ListenHandle, Readiness, TcpHandle};
use stack::time::{Duration, Instant, earliest};
use stack::transport::tcp::{self, Error, ListenOptions};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// How long a client may say nothing where it is its turn.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long what was sent before the end of a test by bytes may take to come.
const DRAIN: Duration = Duration::from_secs(1);
/// Connections whose cookie has not come; more are turned away.
const MAX_GUESTS: usize = 160;
/// The original's number for what is not done here (`IEUNIMP`).
const NOT_DONE: u32 = 13;

/// What a test came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody has begun one.
    Accepted(SocketAddr),
    /// It was done.
    Done {
        /// How long it took.
        time: Duration,
        /// Whether we sent.
        reverse: bool,
        /// What we counted.
        ours: Results,
        /// What the client counted.
        theirs: Results,
    },
    /// It came to nothing.
    Failed(Broken),
}

#[derive(Clone, Debug)]
struct Guest {
    handle: TcpHandle,
    from: SocketAddr,
    cookie: Vec<u8>,
    deadline: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Params,
    Streams,
    Running,
    Results,
    /// The client reads our results.
    Last,
}

#[derive(Clone, Debug)]
struct Test {
    control: Control,
    cookie: Vec<u8>,
    params: Params,
    flows: Vec<Flow>,
    phase: Phase,
    begun: Instant,
    time: Duration,
    left: Option<u64>,
    deadline: Instant,
    /// The client has sent all: until when what is under way is waited for.
    draining: Option<Instant>,
    /// Bytes that it had acknowledged when its silence was last looked at.
    acked: u64,
    /// The client's results, until told.
    theirs: Option<Results>,
}

/// A server.
#[derive(Clone, Debug)]
pub struct Server {
    listener: ListenHandle,
    guests: Vec<Guest>,
    test: Option<Test>,
    outcomes: VecDeque<Outcome>,
    tests: u64,
}

/// Outcomes that wait to be taken; a server that nobody listens to keeps the newest.
const MAX_OUTCOMES: usize = 16;

impl Server {
    /// Listens on every address.
    ///
    /// # Errors
    /// Where the port is taken.
    pub fn open(host: &mut Host, port: u16, options: &tcp::Options) -> Result<Self, BindError> {
        let listening = ListenOptions {
            backlog: usize::from(MAX_STREAMS) + 8,
            options: options.clone(),
            ..ListenOptions::default()
        };
        Ok(Self {
            listener: host.tcp_listen(everywhere(port), listening)?,
            guests: Vec::new(),
            test: None,
            outcomes: VecDeque::new(),
            tests: 0,
        })
    }

    /// Tests that were done.
    #[must_use]
    pub const fn tests(&self) -> u64 {
        self.tests
    }

    /// What to tell next.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    /// Takes an event that concerns one of our connections.
    pub fn handle_event(&mut self, now: Instant, host: &mut Host, event: &Event) {
        match *event {
            Event::Listener(handle) if self.listener == handle => {
                self.accept(now, host, handle);
            }
            Event::Tcp(handle, ready) => {
                if let Some(i) = self.guests.iter().position(|g| g.handle == handle) {
                    self.guest_turn(now, host, i, ready);
                    return;
                }
                let Some(test) = &mut self.test else {
                    return;
                };
                if let Err(broken) = test.turn(now, host, handle, ready) {
                    self.fail(now, host, broken);
                }
                self.note_done(now, host);
            }
            _ => {}
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let guests = self.guests.iter().map(|g| g.deadline).min();
        let test = self.test.as_ref();
        let test = test.map(|t| t.draining.unwrap_or(t.deadline));
        earliest(guests, test)
    }

    /// Ends what says nothing.
    pub fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        let late: Vec<_> = self.guests.extract_if(.., |g| g.deadline <= now).collect();
        for guest in late {
            host.tcp_abort(now, guest.handle);
        }
        let drained = self.test.as_mut().map(|t| t.drained(now, host));
        if let Some(Err(broken)) = drained {
            self.fail(now, host, broken);
        }
        let late = |t: &mut Test| t.deadline <= now && !t.still_reads(now, host);
        if self.test.as_mut().is_some_and(late) {
            self.fail(now, host, Broken::Silent);
        }
    }

    fn accept(&mut self, now: Instant, host: &mut Host, listener: ListenHandle) {
        while let Some((handle, from)) = host.tcp_accept(listener) {
            if self.guests.len() >= MAX_GUESTS {
                host.tcp_abort(now, handle);
                continue;
            }
            self.guests.push(Guest {
                handle,
                from,
                cookie: Vec::new(),
                deadline: now + PATIENCE,
            });
            self.guest_turn(now, host, self.guests.len() - 1, Readiness::NONE);
        }
    }

    fn guest_turn(&mut self, now: Instant, host: &mut Host, i: usize, ready: Readiness) {
        let Some(guest) = self.guests.get_mut(i) else {
            return;
        };
        let mut lost = ready.has(Readiness::ERROR);
        while !lost && guest.cookie.len() < COOKIE {
            let missing = COOKIE - guest.cookie.len();
            match host.tcp_recv_bytes(now, guest.handle, missing) {
                Ok(piece) if piece.is_empty() => lost = true,
                Ok(piece) => guest.cookie.extend_from_slice(&piece),
                Err(Error::WouldBlock) => return,
                Err(_) => lost = true,
            }
        }
        let guest = self.guests.swap_remove(i);
        if lost {
            host.tcp_abort(now, guest.handle);
            return;
        }
        match &mut self.test {
            None => self.begin(now, host, guest),
            Some(test) if test.takes(&guest.cookie) => {
                if let Err(broken) = test.add(now, host, guest.handle) {
                    self.fail(now, host, broken);
                }
            }
            Some(_) => {
                let _ = host.tcp_send(now, guest.handle, &[state::ACCESS_DENIED]);
                host.tcp_close(now, guest.handle);
            }
        }
    }

    fn begin(&mut self, now: Instant, host: &mut Host, guest: Guest) {
        let mut control = Control::new(guest.handle);
        control.say(state::PARAM_EXCHANGE);
        self.tell(Outcome::Accepted(guest.from));
        let mut test = Test {
            control,
            cookie: guest.cookie,
            params: Params::default(),
            flows: Vec::new(),
            phase: Phase::Params,
            begun: now,
            time: Duration::ZERO,
            left: None,
            deadline: now + PATIENCE,
            draining: None,
            acked: 0,
            theirs: None,
        };
        let turned = test.turn(now, host, guest.handle, Readiness::NONE);
        self.test = Some(test);
        if let Err(broken) = turned {
            self.fail(now, host, broken);
        }
    }

    /// The client has read our results, or is gone after them: the test was done.
    fn note_done(&mut self, now: Instant, host: &mut Host) {
        if let Some(done) = self.test.as_mut().and_then(Test::take_done) {
            self.tell(done);
        }
        let over = |t: &mut Test| t.phase == Phase::Last && t.control.ended;
        if let Some(test) = self.test.take_if(over) {
            self.tests += 1;
            test.close(now, host);
        }
    }

    fn fail(&mut self, now: Instant, host: &mut Host, broken: Broken) {
        if let Some(mut test) = self.test.take() {
            if let Broken::Refused(_) = broken {
                test.control.say(state::SERVER_ERROR);
                let numbers = [NOT_DONE.to_be_bytes(), [0; 4]].concat();
                test.control.output.extend_from_slice(&numbers);
                let _ = test.control.flush(now, host);
            }
            // After its results have been sent, how a client leaves is its own affair.
            if test.phase == Phase::Last {
                self.tests += 1;
            } else {
                self.tell(Outcome::Failed(broken));
            }
            test.close(now, host);
        }
    }

    fn tell(&mut self, outcome: Outcome) {
        if self.outcomes.len() >= MAX_OUTCOMES {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back(outcome);
    }
}

impl Test {
    /// Whether a connection with that cookie is a stream of ours.
    fn takes(&self, cookie: &[u8]) -> bool {
        self.phase == Phase::Streams && self.cookie == cookie
    }

    fn add(&mut self, now: Instant, host: &mut Host, handle: TcpHandle) -> Result<(), Broken> {
        let mut flow = Flow::new(handle, self.flows.len());
        flow.open = true;
        if self.params.reverse {
            let usual = host.tcp_options(handle).cloned().unwrap_or_default();
            host.tcp_set_options(now, handle, self.params.options(&usual));
        }
        self.flows.push(flow);
        self.deadline = now + PATIENCE;
        if self.flows.len() < usize::from(self.params.parallel) {
            return Ok(());
        }
        self.control.say(state::TEST_START);
        self.control.say(state::TEST_RUNNING);
        self.control.flush(now, host)?;
        self.phase = Phase::Running;
        self.begun = now;
        self.deadline = now + self.params.time + PATIENCE;
        for i in 0..self.flows.len() {
            self.flow_turn(now, host, i);
        }
        Ok(())
    }

    fn turn(
        &mut self,
        now: Instant,
        host: &mut Host,
        handle: TcpHandle,
        ready: Readiness,
    ) -> Result<(), Broken> {
        if handle != self.control.handle {
            if let Some(i) = self.flows.iter().position(|f| f.handle == handle) {
                self.flow_turn(now, host, i);
            }
            return self.drained(now, host);
        }
        if ready.has(Readiness::ERROR) {
            let error = host.tcp_take_error(handle);
            return Err(error.map_or(Broken::Gone, Broken::Tcp));
        }
        self.control.flush(now, host)?;
        self.control.hear(now, host)?;
        while self.understand(now, host)? {}
        self.control.flush(now, host)?;
        match self.control.ended && self.phase != Phase::Last {
            true => Err(Broken::Gone),
            false => Ok(()),
        }
    }

    fn flow_turn(&mut self, now: Instant, host: &mut Host, i: usize) {
        if self.phase != Phase::Running {
            return;
        }
        let Some(flow) = self.flows.get_mut(i) else {
            return;
        };
        let before = flow.bytes;
        if self.params.reverse {
            flow.send(now, host, &mut self.left);
            flow.look(now, host);
        } else {
            flow.receive(now, host);
        }
        if flow.bytes != before {
            self.deadline = self.deadline.max(now + PATIENCE);
        }
    }

    /// Takes one message of the client's; false where none is whole.
    fn understand(&mut self, now: Instant, host: &mut Host) -> Result<bool, Broken> {
        match self.phase {
            Phase::Params => {
                let Some(wanted) = self.control.take_json()? else {
                    return Ok(false);
                };
                self.params = Params::from_json(&wanted).map_err(Broken::Refused)?;
                self.left = self.params.bytes;
                self.phase = Phase::Streams;
                self.control.say(state::CREATE_STREAMS);
            }
            Phase::Results => {
                let Some(theirs) = self.control.take_json()? else {
                    return Ok(false);
                };
                let ours = results(&self.flows, self.params.reverse);
                self.control.say_json(&ours.to_json(self.time));
                self.control.say(state::DISPLAY_RESULTS);
                self.phase = Phase::Last;
                self.theirs = Some(Results::from_json(&theirs));
            }
            Phase::Streams | Phase::Running | Phase::Last => {
                let Some(next) = self.control.take_state() else {
                    return Ok(false);
                };
                match (next, self.phase) {
                    (state::TEST_END, Phase::Running) if self.is_short() => {
                        self.draining = Some(now + DRAIN);
                    }
                    (state::TEST_END, Phase::Running) => self.finish(now, host),
                    (state::IPERF_DONE, Phase::Last) => self.control.ended = true,
                    (state::CLIENT_TERMINATE, _) => return Err(Broken::Gone),
                    _ => return Err(Broken::Nonsense),
                }
            }
        }
        self.deadline = self.deadline.max(now + PATIENCE);
        Ok(true)
    }

    /// Whether less has come than the test is about.
    fn is_short(&self) -> bool {
        let come: u64 = self.flows.iter().map(|f| f.bytes).sum();
        !self.params.reverse && self.params.bytes.is_some_and(|n| come < n)
    }

    /// Ends a test whose bytes have all come, or whose time for it is up.
    fn drained(&mut self, now: Instant, host: &mut Host) -> Result<(), Broken> {
        let over = self
            .draining
            .is_some_and(|until| now >= until || !self.is_short());
        if over {
            self.draining = None;
            self.finish(now, host);
            self.control.flush(now, host)?;
        }
        Ok(())
    }

    fn finish(&mut self, now: Instant, host: &mut Host) {
        for i in 0..self.flows.len() {
            if !self.params.reverse {
                self.flow_turn(now, host, i);
            }
        }
        for flow in &mut self.flows {
            flow.look(now, host);
            // The original reads whole blocks until it is told that there are no more, and hears
            // nothing else meanwhile.
            if self.params.reverse {
                host.tcp_shutdown(now, flow.handle);
            }
        }
        self.time = now - self.begun;
        self.phase = Phase::Results;
        self.deadline = now + PATIENCE;
        self.control.say(state::EXCHANGE_RESULTS);
    }

    /// Whether the client is silent because it still reads what was under way when the test ended;
    /// it has more time then.
    fn still_reads(&mut self, now: Instant, host: &Host) -> bool {
        if self.phase != Phase::Results || !self.params.reverse {
            return false;
        }
        let acked = |flow: &Flow| host.tcp_status(now, flow.handle).map(|s| s.bytes_acked);
        let acked: u64 = self.flows.iter().filter_map(acked).sum();
        let more = acked > self.acked;
        self.acked = acked;
        if more {
            self.deadline = now + PATIENCE;
        }
        more
    }

    fn take_done(&mut self) -> Option<Outcome> {
        Some(Outcome::Done {
            theirs: self.theirs.take()?,
            ours: results(&self.flows, self.params.reverse),
            time: self.time,
            reverse: self.params.reverse,
        })
    }

    fn close(self, now: Instant, host: &mut Host) {
        for flow in self.flows {
            host.tcp_abort(now, flow.handle);
        }
        host.tcp_close(now, self.control.handle);
    }
}
