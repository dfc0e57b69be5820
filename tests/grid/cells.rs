//! The grid: throughput over loss, round trip, window, reordering and rate, as a table that is kept.

use super::bulk;
use super::end::{Algorithm, Stack, Tcp};
use super::golden;
use super::path::Path;
use stack::time::Duration;
use std::fmt;
use std::sync::atomic::AtomicBool;
use tapline::runtime::parallel;

const MBIT: u64 = 1_000_000;
const RATES: [u64; 2] = [100 * MBIT, 1000 * MBIT];
const RTTS: [u64; 4] = [1, 20, 100, 300];
const WINDOWS: [usize; 3] = [32 << 10, 256 << 10, 4 << 20];
/// Of a million.
const REORDERS: [u32; 2] = [0, 10_000];
const LOSSES: [u32; 5] = [0, 1_000, 10_000, 50_000, 100_000];

/// Virtual time and runs of a cell of the whole grid.
const TIME: Duration = Duration::from_secs(60);
const SEEDS: u64 = 20;

/// Runs of a cell of the quick grid.
const QUICK_SEEDS: u64 = 5;
/// Bytes that a run of the quick grid moves at most: cells that move more are cut short, so that
/// the fast ones do not take all the time.
const QUICK_BYTES: u64 = 500_000_000;
/// The same where nothing is optimised.
const DEBUG_BYTES: u64 = 5_000_000;

/// Each rate, window, loss and kind of reordering several times, each round trip six times.
const QUICK: [(u64, u64, usize, u32, u32); 24] = {
    const fn cell(
        mbit: u64,
        rtt: u64,
        kib: usize,
        reorder: u32,
        loss: u32,
    ) -> (u64, u64, usize, u32, u32) {
        (mbit * MBIT, rtt, kib << 10, reorder, loss)
    }
    [
        cell(100, 1, 32, 0, 0),
        cell(100, 1, 32, 10_000, 1_000),
        cell(100, 1, 256, 0, 50_000),
        cell(1000, 1, 256, 0, 1_000),
        cell(1000, 1, 4096, 10_000, 10_000),
        cell(1000, 1, 4096, 0, 100_000),
        cell(100, 20, 32, 0, 10_000),
        cell(100, 20, 256, 10_000, 0),
        cell(100, 20, 256, 0, 1_000),
        cell(1000, 20, 256, 0, 50_000),
        cell(1000, 20, 4096, 0, 0),
        cell(1000, 20, 4096, 10_000, 100_000),
        cell(100, 100, 32, 0, 10_000),
        cell(100, 100, 32, 0, 50_000),
        cell(100, 100, 32, 0, 100_000),
        cell(100, 100, 4096, 0, 0),
        cell(1000, 100, 4096, 0, 1_000),
        cell(1000, 100, 4096, 10_000, 0),
        cell(100, 300, 32, 10_000, 10_000),
        cell(100, 300, 256, 0, 1_000),
        cell(100, 300, 4096, 0, 0),
        cell(1000, 300, 256, 0, 0),
        cell(1000, 300, 4096, 10_000, 50_000),
        cell(1000, 300, 4096, 0, 100_000),
    ]
};

/// One cell, and how it is measured.
#[derive(Clone, Copy, Debug)]
struct Cell {
    path: Path,
    window: usize,
    time: Duration,
    seeds: u64,
}

impl Cell {
    fn new(rate: u64, rtt: u64, window: usize, reorder: u32, loss: u32) -> Self {
        let path = Path {
            rate,
            rtt: Duration::from_millis(rtt),
            loss,
            reorder,
            duplicate: 0,
        };
        Self {
            path,
            window,
            time: TIME,
            // Without chance one run is like another.
            seeds: if loss == 0 && reorder == 0 { 1 } else { SEEDS },
        }
    }

    /// All of them, a row of losses after the other.
    fn all() -> Vec<Self> {
        let mut cells = Vec::new();
        for rate in RATES {
            for rtt in RTTS {
                for window in WINDOWS {
                    for reorder in REORDERS {
                        cells
                            .extend(LOSSES.map(|loss| Self::new(rate, rtt, window, reorder, loss)));
                    }
                }
            }
        }
        cells
    }

    /// The chosen ones, in less time.
    fn quick() -> Vec<Self> {
        let cell = |(rate, rtt, window, reorder, loss)| {
            let cell = Self::new(rate, rtt, window, reorder, loss);
            let seconds = (QUICK_BYTES / cell.most(1)).clamp(10, 60);
            Self {
                time: Duration::from_secs(seconds),
                seeds: cell.seeds.min(QUICK_SEEDS),
                ..cell
            }
        };
        QUICK.into_iter().map(cell).collect()
    }

    /// Bytes that could cross in so many seconds, were there no loss.
    fn most(&self, seconds: u64) -> u64 {
        let window = self.window as u64 * 1_000_000 / self.path.rtt.as_micros() as u64;
        let lossy = if self.path.loss > 0 { 4 } else { 1 };
        window.min(self.path.rate / 8) * seconds / lossy
    }

    fn run(&self, stack: Stack, seed: u64) -> u64 {
        let tcp = Tcp {
            window: self.window,
            // Never what a sender waits for.
            unsent: 8 << 20,
            algorithm: Algorithm::Cubic,
        };
        bulk::run(&self.path, [stack; 2], &tcp, self.time, seed)
    }
}

/// `100M 20ms 256K 1% 0.1% 60s |`: names a cell.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Path {
            rate,
            rtt,
            loss,
            reorder,
            ..
        } = self.path;
        write!(
            f,
            "{:>5}M {:>4}ms {:>5}K {:>7}% {:>4}.{}% {:>4}s |",
            rate / MBIT,
            rtt.as_millis(),
            self.window >> 10,
            reorder / 10_000,
            loss / 10_000,
            loss / 1_000 % 10,
            self.time.as_secs(),
        )
    }
}

/// What a cell came to: for each stack, tenths of kB/s.
struct Measured {
    cell: Cell,
    rates: Vec<u64>,
}

const HEAD: &str = "  rate    rtt window reorder   loss  time |";

/// Runs cells with each stack: both cores, results in order.
fn measure(cells: &[Cell], stacks: &[Stack]) -> Vec<Measured> {
    let mut jobs = Vec::new();
    for (at, cell) in cells.iter().enumerate() {
        for stack in 0..stacks.len() {
            jobs.extend((0..cell.seeds).map(|seed| (at, stack, seed)));
        }
    }
    let mut runs = vec![vec![Vec::new(); stacks.len()]; cells.len()];
    let work = |job| {
        let (at, stack, seed) = jobs[usize::try_from(job).unwrap()];
        (at, stack, cells[at].run(stacks[stack], seed))
    };
    let (stop, count) = (AtomicBool::new(false), jobs.len() as u64);
    parallel::in_order(parallel::cores(), count, &stop, work, |_, done| {
        let (at, stack, bytes) = done;
        runs[at][stack].push(bytes);
    });
    let median = |mut bytes: Vec<u64>, cell: &Cell| {
        bytes.sort_unstable();
        let middle = bytes[bytes.len() / 2];
        middle * 10 / u64::try_from(cell.time.as_millis()).unwrap()
    };
    let each = cells.iter().zip(runs).map(|(cell, runs)| Measured {
        cell: *cell,
        rates: runs.into_iter().map(|bytes| median(bytes, cell)).collect(),
    });
    each.collect()
}

/// The table, a line a cell.
fn table(measured: &[Measured], stacks: &[Stack]) -> String {
    let mut text = String::from(HEAD);
    for stack in stacks {
        text += &format!(" {:>10}", format!("{stack:?}").to_lowercase());
    }
    text += if stacks.len() > 1 { "  ratio\n" } else { "\n" };
    for Measured { cell, rates } in measured {
        text += &cell.to_string();
        for rate in rates {
            text += &format!(" {:>8}.{}", rate / 10, rate % 10);
        }
        if let [theirs, ours] = rates[..] {
            let percent = ours * 100 / theirs.max(1);
            text += &format!(" {:>3}.{:02}", percent / 100, percent % 100);
        }
        text += "\n";
    }
    text
}

/// Where ours falls short: below smoltcp, or below what Linux does where that is known.
fn shortfalls(measured: &[Measured]) -> Vec<String> {
    let mut short = Vec::new();
    for Measured { cell, rates } in measured {
        let [theirs, ours] = rates[..] else {
            continue;
        };
        // Not more than two in a hundred below smoltcp.
        if ours * 100 < theirs * 98 {
            short.push(format!("{cell}: {ours} is below smoltcp's {theirs}"));
        }
        // Linux over a TAP, tenths of kB/s; a fifth is the measurement's own.
        let linux = match (cell.path.rtt.as_millis(), cell.window, cell.path.loss) {
            (100, 0x8000, 10_000) => 1857,
            (100, 0x8000, 50_000) => 619,
            (100, 0x8000, 100_000) => 278,
            _ => 0,
        };
        if cell.path.reorder == 0 && ours * 10 < linux * 8 {
            short.push(format!("{cell}: {ours} is below Linux's {linux}"));
        }
    }
    short
}

fn assert_no_shortfall(measured: &[Measured]) {
    let short = shortfalls(measured);
    assert!(short.is_empty(), "\n{}\n", short.join("\n"));
}

/// The stacks that are compared: theirs, then ours.
const STACKS: &[Stack] = &[Stack::Smoltcp, Stack::Tapline];

#[test]
fn quick() {
    let mut cells = Cell::quick();
    if cfg!(debug_assertions) {
        cells.retain(|cell| cell.most(cell.time.as_secs()) <= DEBUG_BYTES);
        eprintln!("unoptimised: only {} of {} cells", cells.len(), QUICK.len());
    }
    let measured = measure(&cells, STACKS);
    golden::compare("quick.txt", &table(&measured, STACKS));
    assert_no_shortfall(&measured);
}

/// How far a cell of the whole grid may be from what is kept, in a hundred.
const DRIFT: f64 = 10.0;

/// All 240 cells, where asked for. With fewer seeds, as `TAPLINE_GRID=3`, they are only shown and
/// judged.
#[test]
fn whole() {
    let Some(asked) = std::env::var("TAPLINE_GRID").ok() else {
        eprintln!("left for TAPLINE_GRID=1 (`cargo ci --long`): the whole grid");
        return;
    };
    let mut cells = Cell::all();
    let seeds = asked.parse().unwrap_or(1);
    if seeds > 1 {
        for cell in &mut cells {
            cell.seeds = cell.seeds.min(seeds);
        }
    }
    let measured = measure(&cells, STACKS);
    let table = table(&measured, STACKS);
    if seeds > 1 {
        eprintln!("{table}");
    } else {
        golden::compare_within(DRIFT, "grid.txt", &table);
    }
    assert_no_shortfall(&measured);
}
