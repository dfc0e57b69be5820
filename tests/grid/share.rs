//! Several flows over one bottleneck: who gets how much of it, and how long its queue becomes.

use super::bulk::Flow;
use super::end::{Algorithm, STATIONS, Stack, Tcp};
use super::golden;
use super::path::{FRAME, Net, Path};
use stack::rng::Rng;
use stack::time::{Duration, Instant};
use std::sync::atomic::AtomicBool;
use tapline::runtime::parallel;

/// Equal for all; the queue is one bandwidth-delay product.
const PATH: Path = Path {
    rate: 100_000_000,
    rtt: Duration::from_millis(40),
    loss: 0,
    reorder: 0,
    duplicate: 0,
};
/// What is looked at: the last 60 of 90 seconds.
const FROM: Duration = Duration::from_secs(30);
const UNTIL: Duration = Duration::from_secs(90);
/// One flow begins after the other, at most so much later.
const APART: Duration = Duration::from_millis(500);
/// Runs of each case, which differ in when flows begin: of them the one with the median fairness
/// stands in the table.
const SEEDS: u64 = 5;

/// Flows of a bottleneck, by algorithm, all of one stack.
#[derive(Clone, Debug)]
struct Case {
    stack: Stack,
    flows: Vec<Algorithm>,
}

/// What it came to.
#[derive(Debug)]
struct Shared {
    /// Bytes of each flow.
    bytes: Vec<u64>,
    /// Microseconds that frames waited in the queue.
    mean: u64,
    p95: u64,
}

impl Case {
    fn run(&self, seed: u64) -> Shared {
        let ends = [0, 1].map(|at| self.stack.end(STATIONS[at], seed * 2 + at as u64));
        let mut net = Net::new(&PATH, ends, seed);
        let (mut flows, mut room) = (Vec::new(), vec![0; 1 << 16]);
        let mut rng = Rng::from_seed(seed).fork("begin");
        let mut begin = Instant::ZERO;
        for (n, algorithm) in (0..).zip(&self.flows) {
            begin += rng.between(Duration::ZERO, APART);
            go_on(&mut net, &mut flows, begin, &mut room);
            let tcp = Tcp {
                // Twice what path and queue hold.
                window: 2 << 20,
                unsent: 4 << 20,
                algorithm: *algorithm,
            };
            flows.push(Flow::start(&mut net, n, &tcp));
            net.flush();
        }
        go_on(&mut net, &mut flows, Instant::ZERO + FROM, &mut room);
        let before: Vec<_> = flows.iter().map(|flow| flow.received).collect();
        net.latencies = Some(Vec::new());
        go_on(&mut net, &mut flows, Instant::ZERO + UNTIL, &mut room);
        let bytes = flows.iter().zip(before);
        let (mean, p95) = waits(net.latencies.take().unwrap());
        Shared {
            bytes: bytes
                .map(|(flow, was)| (flow.received - was) as u64)
                .collect(),
            mean,
            p95,
        }
    }

    /// Those of ours that promise something, without the most of them.
    fn is_quick(&self) -> bool {
        let all = |which| self.flows.iter().all(|flow| *flow == which);
        let quick = match self.flows.len() {
            1 => all(Algorithm::Cubic) || all(Algorithm::Bbr),
            2 => all(Algorithm::Cubic) || all(Algorithm::Reno),
            n => n == 8 && all(Algorithm::Cubic),
        };
        self.stack == Stack::Tapline && quick
    }

    /// `3 cubic, 1 reno`.
    fn name(&self) -> String {
        let mut runs: Vec<(usize, Algorithm)> = Vec::new();
        for algorithm in &self.flows {
            match runs.last_mut() {
                Some((n, last)) if last == algorithm => *n += 1,
                _ => runs.push((1, *algorithm)),
            }
        }
        let runs = runs.iter().map(|(n, which)| format!("{n} {which:?}"));
        let flows = runs.collect::<Vec<_>>().join(", ").to_lowercase();
        format!(
            "{:<8} {flows:<16}|",
            format!("{:?}", self.stack).to_lowercase()
        )
    }
}

fn go_on(net: &mut Net, flows: &mut [Flow], until: Instant, room: &mut [u8]) {
    while net.now < until {
        net.advance(until);
        for flow in &mut *flows {
            flow.turn(net, room);
        }
        net.flush();
    }
}

/// Mean and 95th percentile of what frames waited, in microseconds.
fn waits(latencies: Vec<(Instant, Duration)>) -> (u64, u64) {
    let least = PATH.rtt / 2 + Duration::from_nanos(FRAME * 8 * 1_000_000_000 / PATH.rate);
    let wait = |(_, took): (Instant, Duration)| took.saturating_sub(least).as_micros() as u64;
    let mut waits: Vec<u64> = latencies.into_iter().map(wait).collect();
    waits.sort_unstable();
    let mean = waits.iter().sum::<u64>() / waits.len() as u64;
    (mean, waits[waits.len() * 95 / 100])
}

impl Shared {
    /// Jain's index, of a thousand: `(Σx)² / (n Σx²)`.
    fn fairness(&self) -> u64 {
        let sum: u128 = self.bytes.iter().map(|&x| u128::from(x)).sum();
        let squares: u128 = self.bytes.iter().map(|&x| u128::from(x).pow(2)).sum();
        let n = self.bytes.len() as u128;
        u64::try_from(sum * sum * 1000 / (n * squares.max(1))).unwrap()
    }

    /// Tenths of Mbit/s of each flow.
    fn rates(&self) -> Vec<u64> {
        let seconds = (UNTIL - FROM).as_secs();
        self.bytes
            .iter()
            .map(|x| x * 8 / seconds / 100_000)
            .collect()
    }

    fn line(&self, case: &Case) -> String {
        let tenths = |n: u64| format!("{}.{}", n / 10, n % 10);
        let rates = self.rates();
        let each: Vec<_> = rates.iter().map(|&rate| tenths(rate)).collect();
        format!(
            "{} {:>6} {:>2}.{:03} {:>10} {:>10}  {}\n",
            case.name(),
            tenths(rates.iter().sum()),
            self.fairness() / 1000,
            self.fairness() % 1000,
            self.mean,
            self.p95,
            each.join(" ")
        )
    }
}

fn cases(stack: Stack) -> Vec<Case> {
    use Algorithm::{Bbr, Cubic, Reno};
    let case = |flows: Vec<Algorithm>| Case { stack, flows };
    let mut cases: Vec<_> = (1..=8).map(|n| case(vec![Cubic; n])).collect();
    cases.extend([1, 2, 4].map(|n| case(vec![Reno; n])));
    cases.push(case(vec![Cubic, Reno]));
    if stack == Stack::Tapline {
        cases.extend([1, 2, 4].map(|n| case(vec![Bbr; n])));
        cases.push(case(vec![Cubic, Bbr]));
    }
    cases
}

const STACKS: &[Stack] = &[Stack::Smoltcp, Stack::Tapline];
const HEAD: &str = "stack    flows           | Mbit/s   Jain  wait, us  p95 of it  each\n";

/// Fairness and queues: a few cases, or all where the whole grid is asked for.
#[test]
fn bottleneck() {
    if cfg!(debug_assertions) {
        eprintln!("unoptimised: left for --release: flows that share a bottleneck");
        return;
    }
    let mut cases: Vec<_> = STACKS.iter().flat_map(|stack| cases(*stack)).collect();
    if std::env::var_os("TAPLINE_GRID").is_none() {
        cases.retain(Case::is_quick);
        eprintln!(
            "left for TAPLINE_GRID=1 (`cargo ci --long`): all but {} cases",
            cases.len()
        );
    }
    let (mut table, mut results, mut runs) = (String::from(HEAD), Vec::new(), Vec::new());
    let (stop, count) = (AtomicBool::new(false), cases.len() as u64 * SEEDS);
    let case = |at: u64| &cases[usize::try_from(at / SEEDS).unwrap()];
    let work = |at| case(at).run(at % SEEDS);
    parallel::in_order(parallel::cores(), count, &stop, work, |at, shared| {
        runs.push(shared);
        if at % SEEDS == SEEDS - 1 {
            runs.sort_by_key(Shared::fairness);
            let median = runs.swap_remove(runs.len() / 2);
            table += &median.line(case(at));
            results.push(median);
            runs.clear();
        }
    });
    golden::compare("share.txt", &table);
    judge(&cases, &results);
}

/// CUBIC shares evenly, and Reno; a BBR flow's queue is at most a quarter of a CUBIC flow's. That of
/// several is not: each of BBR's first version keeps up to two bandwidth-delay products in flight, and
/// here one more fills the queue.
fn judge(cases: &[Case], results: &[Shared]) {
    use Algorithm::{Bbr, Cubic, Reno};
    let ours = |which: Algorithm, n: usize| {
        let is = |case: &Case| case.stack == Stack::Tapline && case.flows == vec![which; n];
        Some(&results[cases.iter().position(is)?])
    };
    for (which, n) in [Cubic, Reno]
        .into_iter()
        .flat_map(|w| (2..=8).map(move |n| (w, n)))
    {
        if let Some(shared) = ours(which, n) {
            let fairness = shared.fairness();
            assert!(
                fairness >= 950,
                "{n} flows of {which:?}: Jain's index is 0.{fairness:03}"
            );
        }
    }
    if let (Some(cubic), Some(bbr)) = (ours(Cubic, 1), ours(Bbr, 1)) {
        assert!(
            bbr.mean * 4 <= cubic.mean,
            "BBR waits {} us, CUBIC {} us",
            bbr.mean,
            cubic.mean
        );
    }
}
