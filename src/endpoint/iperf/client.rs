//! The end that asks for a test.
//!
//! ```text
//!   Connecting -> Talking (states from the server) -> Running -> Results -> Done
//! ```

use super::{Broken, COOKIE, Control, Flow, Params, Results, results, state};
use crate::endpoint::count;
use bytes::{Buf as _, Bytes};
use stack::host::{ConnectError, Event, Host, Readiness, TcpHandle};
use stack::rng::Rng;
use stack::time::{Duration, Instant, earliest};
use stack::transport::tcp;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// How long the server may say nothing where it is its turn.
const PATIENCE: Duration = Duration::from_secs(15);

/// Between two looks whether all has arrived.
const LOOK: Duration = Duration::from_millis(5);

/// What to measure, and to whom.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server.
    pub to: SocketAddr,
    /// The test.
    pub params: Params,
    /// Between two reports; `None`: only the end is told.
    pub interval: Option<Duration>,
    /// How connections behave, where the test does not say.
    pub options: tcp::Options,
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The test runs.
    Running,
    /// What an interval brought.
    Interval(Interval),
    /// The test is done.
    Done(Summary),
    /// It came to nothing.
    Failed(Broken),
}

/// What was measured between two times, counted from the test's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// From when.
    pub from: Duration,
    /// To when.
    pub to: Duration,
    /// Bytes of all streams.
    pub bytes: u64,
    /// Segments sent again, where we send.
    pub retransmits: Option<u64>,
    /// Congestion windows together, where we send.
    pub cwnd: Option<u64>,
    /// Round-trip time of the first stream.
    pub rtt: Option<Duration>,
}

/// The results of both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How long it took.
    pub time: Duration,
    /// Whether the server sent.
    pub reverse: bool,
    /// What the sender counted.
    pub sender: Results,
    /// What the receiver counted.
    pub receiver: Results,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Connecting,
    Talking,
    Running,
    /// The server's results come.
    Results,
    Done,
}

/// A client.
#[derive(Clone, Debug)]
pub struct Client {
    config: Config,
    cookie: Bytes,
    control: Option<Control>,
    flows: Vec<Flow>,
    phase: Phase,
    /// The server has said something.
    heard: bool,
    /// When the test began.
    begun: Instant,
    /// When it ended.
    time: Duration,
    /// Bytes still to be sent, where they are counted.
    left: Option<u64>,
    deadline: Instant,
    next_report: Option<Instant>,
    /// When to look whether all has arrived.
    next_look: Option<Instant>,
    /// Bytes and retransmissions at the last report, and when that was.
    reported: (Duration, u64, u64),
    outcomes: VecDeque<Outcome>,
}

impl Client {
    /// A client that has not begun; the test's name is drawn from `rng`.
    #[must_use]
    pub fn new(config: Config, rng: &Rng) -> Self {
        let mut rng = rng.fork("iperf");
        let letters = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut letter = || {
            let at = usize::try_from(rng.below(count(letters.len()))).unwrap_or(0);
            letters.get(at).copied().unwrap_or(b'a')
        };
        let mut cookie: Vec<u8> = (1..COOKIE).map(|_| letter()).collect();
        cookie.push(0);
        Self {
            left: config.params.bytes,
            config,
            cookie: cookie.into(),
            control: None,
            flows: Vec::new(),
            phase: Phase::Idle,
            heard: false,
            begun: Instant::ZERO,
            time: Duration::ZERO,
            deadline: Instant::ZERO,
            next_report: None,
            next_look: None,
            reported: (Duration::ZERO, 0, 0),
            outcomes: VecDeque::new(),
        }
    }

    /// Begins.
    ///
    /// # Errors
    /// Where there is no way to the server.
    pub fn start(&mut self, now: Instant, host: &mut Host) -> Result<(), ConnectError> {
        let options = tcp::Options {
            nagle: tcp::options::Nagle::Off,
            ..self.config.options.clone()
        };
        let handle = host.tcp_connect(now, self.config.to, None, options)?;
        self.control = Some(Control::new(handle));
        self.phase = Phase::Connecting;
        // The connection's own patience is what counts until it is open.
        self.deadline = now + PATIENCE * 20;
        Ok(())
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// What to tell next.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    /// Takes an event that concerns one of our connections.
    pub fn handle_event(&mut self, now: Instant, host: &mut Host, event: &Event) {
        let Event::Tcp(handle, ready) = *event else {
            return;
        };
        let done = match &self.control {
            Some(control) if control.handle == handle => self.control_turn(now, host, ready),
            _ => self.flow_turn(now, host, handle, ready),
        };
        if let Err(broken) = done {
            // The real iperf3, where it has another test, refuses ours and closes with our name
            // unread: a reset, which overtakes the refusal.
            let broken = match broken {
                Broken::Tcp(tcp::Error::Reset) if !self.heard => Broken::Unheard,
                other => other,
            };
            self.fail(now, host, broken);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Idle | Phase::Done => None,
            Phase::Running => {
                let soon = earliest(self.next_report, self.next_look);
                earliest(self.end(), earliest(soon, self.silence()))
            }
            _ => Some(self.deadline),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, host: &mut Host) {
        match self.phase {
            Phase::Idle | Phase::Done => {}
            Phase::Running => {
                if self.next_report.is_some_and(|at| now >= at) {
                    self.report(now, host);
                }
                if self.end().is_some_and(|end| now >= end) {
                    self.finish(now, host);
                } else if self.next_look.take_if(|at| now >= *at).is_some() {
                    self.all_said(now, host);
                } else if self.silence().is_some_and(|at| now >= at) {
                    self.fail(now, host, Broken::Silent);
                }
            }
            _ if now >= self.deadline => self.fail(now, host, Broken::Silent),
            _ => {}
        }
    }

    /// Ends the test before its time, and says so.
    pub fn stop(&mut self, now: Instant, host: &mut Host) {
        if let Some(control) = &mut self.control {
            control.say(state::CLIENT_TERMINATE);
            let _ = control.flush(now, host);
        }
        self.close(now, host);
    }

    /// When a test by time is over.
    fn end(&self) -> Option<Instant> {
        let by_time = self.config.params.bytes.is_none();
        by_time.then(|| self.begun + self.config.params.time)
    }

    /// When a test by bytes has waited long enough for one.
    fn silence(&self) -> Option<Instant> {
        (self.end().is_none()).then_some(self.deadline)
    }

    fn control_turn(
        &mut self,
        now: Instant,
        host: &mut Host,
        ready: Readiness,
    ) -> Result<(), Broken> {
        let Some(control) = &mut self.control else {
            return Ok(());
        };
        if ready.has(Readiness::ERROR) {
            let error = host.tcp_take_error(control.handle);
            // What came before the end is still to be read.
            if self.phase == Phase::Talking && control.hear(now, host).is_ok() {
                self.understand(now, host)?;
            }
            return Err(error.map_or(Broken::Gone, Broken::Tcp));
        }
        if self.phase == Phase::Connecting && ready.has(Readiness::WRITABLE) {
            self.phase = Phase::Talking;
            self.deadline = now + PATIENCE;
            control.output.extend_from_slice(&self.cookie);
        }
        if self.phase == Phase::Connecting {
            return Ok(());
        }
        control.flush(now, host)?;
        control.hear(now, host)?;
        while self.phase != Phase::Done && self.understand(now, host)? {}
        if let Some(control) = &mut self.control {
            control.flush(now, host)?;
            if control.ended && self.phase != Phase::Done {
                return Err(Broken::Gone);
            }
        }
        Ok(())
    }

    /// Takes one message of the server's; false where none is whole.
    fn understand(&mut self, now: Instant, host: &mut Host) -> Result<bool, Broken> {
        let Some(control) = &mut self.control else {
            return Ok(false);
        };
        if self.phase == Phase::Results
            && let Some(theirs) = control.take_json()?
        {
            self.summarize(&Results::from_json(&theirs));
            self.phase = Phase::Talking;
            return Ok(true);
        }
        if self.phase == Phase::Results {
            return Ok(false);
        }
        let Some(next) = control.take_state() else {
            return Ok(false);
        };
        self.deadline = now + PATIENCE;
        self.heard = true;
        match next {
            state::PARAM_EXCHANGE => control.say_json(&self.config.params.to_json()),
            state::CREATE_STREAMS => self.create(now, host)?,
            state::TEST_START => {}
            state::TEST_RUNNING => self.run(now, host),
            state::EXCHANGE_RESULTS => {
                let ours = results(&self.flows, !self.config.params.reverse);
                control.say_json(&ours.to_json(self.time));
                self.phase = Phase::Results;
            }
            state::DISPLAY_RESULTS => {
                control.say(state::IPERF_DONE);
                control.flush(now, host)?;
                self.close(now, host);
            }
            state::ACCESS_DENIED => return Err(Broken::Busy),
            state::SERVER_TERMINATE => return Err(Broken::Gone),
            state::SERVER_ERROR => {
                let number = control.take(4).unwrap_or_default();
                let number = number
                    .first_chunk::<4>()
                    .map_or(0, |n| u32::from_be_bytes(*n));
                return Err(Broken::Server(number));
            }
            _ => return Err(Broken::Nonsense),
        }
        Ok(true)
    }

    fn create(&mut self, now: Instant, host: &mut Host) -> Result<(), Broken> {
        let options = self.config.params.options(&self.config.options);
        while self.flows.len() < usize::from(self.config.params.parallel) {
            let handle = host.tcp_connect(now, self.config.to, None, options.clone());
            let handle = handle.map_err(|_| Broken::Gone)?;
            let mut flow = Flow::new(handle, self.flows.len());
            flow.cookie = self.cookie.clone();
            self.flows.push(flow);
        }
        Ok(())
    }

    fn run(&mut self, now: Instant, host: &mut Host) {
        self.phase = Phase::Running;
        self.begun = now;
        self.next_report = self.config.interval.map(|i| now + i);
        self.outcomes.push_back(Outcome::Running);
        let handles: Vec<TcpHandle> = self.flows.iter().map(|f| f.handle).collect();
        for handle in handles {
            // What an error ends is seen when its event comes.
            let _ = self.flow_turn(now, host, handle, Readiness::NONE);
        }
    }

    fn flow_turn(
        &mut self,
        now: Instant,
        host: &mut Host,
        handle: TcpHandle,
        ready: Readiness,
    ) -> Result<(), Broken> {
        let Some(flow) = self.flows.iter_mut().find(|f| f.handle == handle) else {
            return Ok(());
        };
        flow.look(now, host);
        if ready.has(Readiness::ERROR) {
            flow.ended = true;
            let error = host.tcp_take_error(handle);
            // Once the test is over, the server may end streams as it likes.
            return match self.phase {
                Phase::Talking | Phase::Running if self.time.is_zero() => {
                    Err(error.map_or(Broken::Gone, Broken::Tcp))
                }
                _ => Ok(()),
            };
        }
        flow.open |= ready.has(Readiness::WRITABLE);
        while flow.open && !flow.cookie.is_empty() {
            match host.tcp_send_bytes(now, handle, flow.cookie.clone()) {
                Ok(n @ 1..) => flow.cookie.advance(n.min(flow.cookie.len())),
                _ => break,
            }
        }
        if self.phase != Phase::Running {
            return Ok(());
        }
        let before = flow.bytes;
        if self.config.params.reverse {
            flow.receive(now, host);
            let came = flow.bytes - before;
            self.left = self.left.map(|left| left.saturating_sub(came));
        } else {
            flow.send(now, host, &mut self.left);
        }
        if flow.bytes != before {
            self.deadline = now + PATIENCE;
        }
        if self.left == Some(0) {
            self.all_said(now, host);
        }
        Ok(())
    }

    /// All handed over is not all arrived: what is under way belongs to the test. No event says
    /// that the last of it was acknowledged, so it is looked for.
    fn all_said(&mut self, now: Instant, host: &mut Host) {
        let under_way = self.flows.iter().any(|f| {
            let status = host.tcp_status(now, f.handle);
            status.is_some_and(|s| s.not_sent > 0 || s.unacked > 0)
        });
        if !under_way || self.config.params.reverse {
            self.finish(now, host);
        } else {
            self.next_look = Some(now + LOOK);
        }
    }

    fn report(&mut self, now: Instant, host: &Host) {
        for flow in &mut self.flows {
            flow.look(now, host);
        }
        let (from, bytes_then, again_then) = self.reported;
        let to = now - self.begun;
        let sends = !self.config.params.reverse;
        let bytes: u64 = self.flows.iter().map(|f| f.bytes).sum();
        let again: u64 = self.flows.iter().map(|f| f.status.total_retrans).sum();
        let cwnd = self.flows.iter().map(|f| u64::from(f.status.cwnd)).sum();
        self.reported = (to, bytes, again);
        self.next_report = self.config.interval.map(|i| now + i);
        self.outcomes.push_back(Outcome::Interval(Interval {
            from,
            to,
            bytes: bytes.saturating_sub(bytes_then),
            retransmits: sends.then(|| again.saturating_sub(again_then)),
            cwnd: sends.then_some(cwnd),
            rtt: self.flows.first().and_then(|f| f.status.srtt),
        }));
    }

    /// The test is over: the server is told.
    fn finish(&mut self, now: Instant, host: &mut Host) {
        self.time = now - self.begun;
        if self.config.interval.is_some() && self.reported.0 < self.time {
            self.report(now, host);
        }
        self.phase = Phase::Talking;
        self.next_report = None;
        self.deadline = now + PATIENCE;
        for flow in &mut self.flows {
            flow.look(now, host);
        }
        let said = self.control.as_mut().map_or(Ok(()), |control| {
            control.say(state::TEST_END);
            control.flush(now, host)
        });
        if let Err(broken) = said {
            self.fail(now, host, broken);
        }
    }

    fn summarize(&mut self, theirs: &Results) {
        let reverse = self.config.params.reverse;
        let ours = results(&self.flows, !reverse);
        let (sender, receiver) = match reverse {
            true => (theirs.clone(), ours),
            false => (ours, theirs.clone()),
        };
        self.outcomes.push_back(Outcome::Done(Summary {
            time: self.time,
            reverse,
            sender,
            receiver,
        }));
    }

    fn fail(&mut self, now: Instant, host: &mut Host, broken: Broken) {
        if self.phase != Phase::Done {
            self.outcomes.push_back(Outcome::Failed(broken));
        }
        self.close(now, host);
    }

    fn close(&mut self, now: Instant, host: &mut Host) {
        self.phase = Phase::Done;
        for flow in self.flows.drain(..) {
            // What is still to be sent nobody counts.
            host.tcp_abort(now, flow.handle);
        }
        if let Some(control) = self.control.take() {
            host.tcp_close(now, control.handle);
        }
    }
}
