//! One script of an application, played on each pair of stacks over the same bad wire: what one
//! side wrote is what the other reads, in order, and both ends close.
//!
//! ```text
//!   seed --> Play: window, wire, what each side writes, when it rests, how it ends
//!              \--> smoltcp-smoltcp, smoltcp-tapline, tapline-smoltcp, tapline-tapline
//! ```
//!
//! `TAPLINE_SEEDS` says how many scripts, `TAPLINE_SEED` plays one alone.

use super::bulk::from;
use super::end::{Algorithm, Conn, Io, STATIONS, Stack, Tcp};
use super::path::{Net, Path};
use stack::link::impair::Chance;
use stack::rng::Rng;
use stack::time::{Duration, Instant};
use std::sync::atomic::AtomicBool;
use tapline::lab::harness::Asked;
use tapline::runtime::parallel;

const PORT: u16 = 5000;
/// By now both ends have closed, or never will.
const PATIENCE: Duration = Duration::from_secs(7200);
/// After the ends have closed nothing may come any more.
const ASIDE: Duration = Duration::from_secs(1);

/// What a program does with its connection.
#[derive(Clone, Debug)]
struct Role {
    /// Bytes of each call of send, and how long to rest before it.
    writes: Vec<(usize, Duration)>,
    /// How long it rests after it has read something, now and then.
    rests: Duration,
    /// Bytes of each call of receive.
    room: usize,
    /// It breaks the connection after so many writes, and does not finish it.
    aborts: Option<usize>,
}

/// A script.
#[derive(Clone, Debug)]
struct Play {
    tcp: Tcp,
    path: Path,
    bit_errors: bool,
    roles: [Role; 2],
}

impl Play {
    fn from_seed(seed: u64) -> Self {
        let mut rng = Rng::from_seed(seed).fork("play");
        let mut pick = |choices: &[u64]| choices[rng.below(choices.len() as u64) as usize];
        let window = pick(&[2048, 8192, 32_768, 65_535, 200_000]) as usize;
        let path = Path {
            rate: pick(&[1_000_000, 10_000_000, 100_000_000]),
            rtt: Duration::from_millis(pick(&[1, 10, 50, 200])),
            loss: pick(&[0, 0, 5_000, 20_000, 80_000]) as u32,
            reorder: pick(&[0, 0, 10_000, 100_000]) as u32,
            duplicate: pick(&[0, 0, 10_000, 50_000]) as u32,
        };
        let bit_errors = pick(&[0, 0, 0, 1]) == 1;
        let unsent = pick(&[1000, 8192, 65_536]) as usize;
        let aborts = [pick(&[0, 0, 0, 0, 0, 0, 1]) == 1, false];
        let roles = aborts.map(|aborts| Role::draw(&mut rng, aborts));
        Self {
            tcp: Tcp {
                window,
                unsent,
                algorithm: Algorithm::Cubic,
            },
            path,
            bit_errors,
            roles,
        }
    }

    fn aborts(&self) -> bool {
        self.roles.iter().any(|role| role.aborts.is_some())
    }

    /// Plays it; what went wrong.
    fn play(&self, stacks: [Stack; 2], seed: u64) -> Result<(), Wrong> {
        let ends = [0, 1].map(|at| stacks[at].end(STATIONS[at], seed * 2 + at as u64));
        let mut config = self.path.config();
        if self.bit_errors {
            // One frame of a hundred, and it is TCP that must notice.
            config.bit_errors = Chance::from_ppm(1);
            config.frame_check = false;
        }
        let mut net = Net::with(config, ends, seed);
        net.ends[1].listen(net.now, PORT, &self.tcp);
        let conn = net.ends[0].connect(net.now, STATIONS[1].addr, PORT, &self.tcp);
        let mut sides = [0, 1].map(|at| Side::new(&self.roles[at]));
        sides[0].conn = Some(conn);
        let end = Instant::ZERO + PATIENCE;
        net.flush();
        while net.now < end {
            let rest = sides.iter().filter_map(|side| side.wakes(net.now)).min();
            net.advance(rest.unwrap_or(end).min(end));
            if sides[1].conn.is_none() {
                sides[1].conn = net.ends[1].accept(net.now, PORT);
            }
            for (at, side) in sides.iter_mut().enumerate() {
                let turn = side.turn(at, &mut net);
                turn.map_err(|what| Wrong::new(&net, what))?;
            }
            net.flush();
            if self.is_over(&sides, &mut net) {
                break;
            }
        }
        let verdict = self.judge(&sides, &mut net);
        verdict.map_err(|what| Wrong::new(&net, what))
    }

    fn is_over(&self, sides: &[Side<'_>; 2], net: &mut Net) -> bool {
        (0..2).all(|at| match sides[at].conn {
            // A reset is sent once: who has said all and hears none waits for ever.
            Some(_) if sides[1 - at].aborted && sides[at].has_shut => true,
            Some(conn) => sides[at].is_done() && net.ends[at].is_over(conn),
            // Its opening was broken off.
            None => sides[1 - at].aborted,
        })
    }

    fn judge(&self, sides: &[Side<'_>; 2], net: &mut Net) -> Result<(), String> {
        let mut state = |at: usize| match sides[at].conn {
            Some(conn) => net.ends[at].state(conn),
            None => String::from("none"),
        };
        let states = format!("client {}; server {}", state(0), state(1));
        for at in 0..2 {
            let (me, peer) = (&sides[at], &sides[1 - at]);
            let which = ["client", "server"][at];
            if me.received > peer.sent {
                return Err(format!("{which} read more than was sent"));
            }
            if !self.aborts() && (me.received != peer.sent || !me.finished) {
                let (got, of) = (me.received, peer.sent);
                return Err(format!(
                    "{which} read {got} of {of} bytes, end {}, failed {}, at {}: {states}",
                    me.finished, me.failed, net.now
                ));
            }
            if !self.aborts() && (me.failed || !me.has_shut) {
                return Err(format!("{which} failed, or could not send all"));
            }
        }
        if !self.is_over(sides, net) {
            return Err(format!("never closed: {states}"));
        }
        if net.ways.iter().any(|way| !way.is_conserved()) {
            return Err("the wire lost count".to_owned());
        }
        net.linger(ASIDE)
    }
}

/// What went wrong.
struct Wrong {
    what: String,
    /// Nothing did, but that it has no end.
    is_stall: bool,
}

impl Wrong {
    fn new(net: &Net, what: String) -> Self {
        let is_stall = net.now >= Instant::ZERO + PATIENCE;
        Self { what, is_stall }
    }
}

impl Role {
    fn draw(rng: &mut Rng, aborts: bool) -> Self {
        let mut below = |n: u64| rng.below(n);
        let count = below(30) as usize;
        let most = [10, 1500, 20_000][below(3) as usize];
        let slow = below(3) == 0;
        let write = |_| {
            let len = 1 + below(most) as usize;
            let rest = if slow && below(4) == 0 { below(700) } else { 0 };
            (len, Duration::from_millis(rest))
        };
        let writes: Vec<_> = (0..count).map(write).collect();
        Self {
            aborts: aborts.then(|| below(count as u64 + 1) as usize),
            writes,
            rests: Duration::from_millis([0, 0, 300, 3000][below(4) as usize]),
            room: [1, 536, 4096, 65_536][below(4) as usize].max(most as usize / 64),
        }
    }
}

/// A program in the midst of its role.
struct Side<'a> {
    role: &'a Role,
    conn: Option<Conn>,
    write: usize,
    /// Bytes of the write that were taken.
    part: usize,
    sent: usize,
    received: usize,
    /// Neither writes, nor reads, before.
    write_at: Instant,
    read_at: Instant,
    has_shut: bool,
    finished: bool,
    failed: bool,
    aborted: bool,
}

impl<'a> Side<'a> {
    fn new(role: &'a Role) -> Self {
        let first = role.writes.first().map_or(Duration::ZERO, |write| write.1);
        Self {
            role,
            conn: None,
            write: 0,
            part: 0,
            sent: 0,
            received: 0,
            write_at: Instant::ZERO + first,
            read_at: Instant::ZERO,
            has_shut: false,
            finished: false,
            failed: false,
            aborted: false,
        }
    }

    fn is_done(&self) -> bool {
        self.aborted || self.failed || self.has_shut && self.finished
    }

    /// When its rest ends.
    fn wakes(&self, now: Instant) -> Option<Instant> {
        let times = [self.write_at, self.read_at];
        times.into_iter().filter(|&at| at > now).min()
    }

    fn turn(&mut self, at: usize, net: &mut Net) -> Result<(), String> {
        let Some(conn) = self.conn.filter(|_| !self.is_done()) else {
            return Ok(());
        };
        self.reads(at, conn, net)?;
        self.writes(at, conn, net);
        Ok(())
    }

    fn writes(&mut self, at: usize, conn: Conn, net: &mut Net) {
        let (now, end) = (net.now, &mut net.ends[at]);
        while self.write_at <= now && !self.has_shut && !self.failed {
            if self.role.aborts == Some(self.write) {
                end.abort(now, conn);
                self.aborted = true;
                return;
            }
            let Some(&(len, _)) = self.role.writes.get(self.write) else {
                if !end.is_open(conn) {
                    return;
                }
                end.shutdown(now, conn);
                self.has_shut = true;
                return;
            };
            match end.send(now, conn, from(self.sent, len - self.part)) {
                Io::Did(took) => {
                    self.sent += took;
                    self.part += took;
                }
                Io::Wait => return,
                Io::Failed | Io::Finished => self.failed = true,
            }
            if self.part == len {
                self.part = 0;
                self.write += 1;
                let next = self.role.writes.get(self.write);
                self.write_at = now + next.map_or(Duration::ZERO, |write| write.1);
            }
        }
    }

    fn reads(&mut self, at: usize, conn: Conn, net: &mut Net) -> Result<(), String> {
        let mut room = vec![0; self.role.room];
        let (now, end) = (net.now, &mut net.ends[at]);
        while self.read_at <= now && !self.finished && !self.failed {
            match end.recv(now, conn, &mut room) {
                Io::Did(got) => {
                    if room[..got] != *from(self.received, got) {
                        return Err(format!("other bytes came after {}", self.received));
                    }
                    self.received += got;
                    // By the count, not by the calls: those depend on how segments fell.
                    if self.received / 10_000 != (self.received - got) / 10_000 {
                        self.read_at = now + self.role.rests;
                    }
                }
                Io::Wait => return Ok(()),
                Io::Finished => self.finished = true,
                Io::Failed => self.failed = true,
            }
        }
        Ok(())
    }
}

const PAIRS: &[[Stack; 2]] = &[
    [Stack::Tapline, Stack::Tapline],
    [Stack::Tapline, Stack::Smoltcp],
    [Stack::Smoltcp, Stack::Tapline],
    [Stack::Smoltcp, Stack::Smoltcp],
];
/// Scripts, unless asked for others.
const SEEDS: u64 = 200;
/// Of so many plays with smoltcp in them one may stand still for ever, both ends sending what the
/// other does not take: with smoltcp at both ends 5 of 3000 do.
const STALLS: usize = 200;

#[test]
fn one_script_on_each_pair() {
    let seeds: Vec<u64> = Asked::from_environment().of(0..SEEDS).collect();
    let work = |at| {
        let seed = seeds[usize::try_from(at).unwrap()];
        let play = Play::from_seed(seed);
        let each = PAIRS.iter().filter_map(|&pair| {
            let wrong = play.play(pair, seed).err()?;
            let theirs = pair.contains(&Stack::Smoltcp) && wrong.is_stall;
            Some((
                theirs,
                format!("seed {seed}, {pair:?}: {}\n  {play:?}", wrong.what),
            ))
        });
        each.collect::<Vec<_>>()
    };
    let (stop, mut failures, mut stalls) = (AtomicBool::new(false), Vec::new(), Vec::new());
    let count = seeds.len() as u64;
    parallel::in_order(parallel::cores(), count, &stop, work, |_, wrong| {
        for (theirs, what) in wrong {
            (if theirs { &mut stalls } else { &mut failures }).push(what);
        }
    });
    if stalls.len() > 1 + seeds.len() * PAIRS.len() / STALLS {
        failures.append(&mut stalls);
    }
    eprintln!("{} plays with smoltcp stood still", stalls.len());
    let n = failures.len();
    failures.truncate(5);
    assert!(n == 0, "{n} plays fail\n{}", failures.join("\n"));
}
