//! What programs measure: delays, and how a numbered stream arrived.
//!
//! ```text
//!   Delays     count sum min max  +  each of the first 100,000; beyond as many, instead of them
//!                                    buckets   |1 us ......|2 us ..|4 us ..|  ...  |2 days|
//!                                              32 steps to each doubling: 3 % apart
//!   Arrivals   next ----v
//!              1 1 0 1 1 .     a window of the last 1,024 numbers: seen or not
//!                  ^ lost so far   ^ below next: reordered, and a duplicate where it is seen
//! ```
//!
//! Read first: RFC 3550 §6.4.1 (loss from numbers), RFC 2544 §26 (what is worth measuring).
//!
//! Promises: integers only, so two runs give the same numbers on any machine; memory is bounded,
//! and grows with what is measured, so a program that measures nothing costs nothing. Quantiles are
//! exact as long as there are no more than [`EXACT`] delays, and it can be asked whether they are.

use stack::time::{Duration, nanos};

/// How long things took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    count: u64,
    min: u64,
    max: u64,
    sum: u128,
    sum_of_squares: u128,
    last: u64,
    /// Each of them, while they are few.
    each: Vec<u64>,
    /// How many there were of each length, where they are many.
    buckets: Vec<u32>,
}

/// So many delays are kept one by one.
pub const EXACT: usize = 100_000;

/// Steps to a doubling, as a power of two.
const STEPS_LOG: u32 = 5;
/// Below this nobody looks: two to the tenth nanoseconds, a microsecond.
const FLOOR_LOG: u32 = 10;
/// Doublings: from a microsecond to fifty days.
const DOUBLINGS: u32 = 32;

impl Delays {
    /// Takes one more.
    pub fn add(&mut self, delay: Duration) {
        let ns = nanos(delay);
        self.min = if self.count == 0 {
            ns
        } else {
            self.min.min(ns)
        };
        self.max = self.max.max(ns);
        self.count += 1;
        self.last = ns;
        self.sum += u128::from(ns);
        let square = u128::from(ns) * u128::from(ns);
        self.sum_of_squares = self.sum_of_squares.saturating_add(square);
        self.keep(ns);
    }

    fn keep(&mut self, ns: u64) {
        if self.buckets.is_empty() && self.each.len() < EXACT {
            self.each.push(ns);
            return;
        }
        self.fill();
        if let Some(bucket) = self.buckets.get_mut(bucket_of(ns)) {
            *bucket = bucket.saturating_add(1);
        }
    }

    /// From now on they are kept in buckets.
    fn fill(&mut self) {
        if self.buckets.is_empty() {
            let len = usize::try_from(DOUBLINGS << STEPS_LOG).unwrap_or(0);
            self.buckets.resize(len, 0);
        }
        for ns in std::mem::take(&mut self.each) {
            if let Some(bucket) = self.buckets.get_mut(bucket_of(ns)) {
                *bucket = bucket.saturating_add(1);
            }
        }
    }

    /// Takes all of another's, as if they had come after.
    pub fn join(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.min = match self.count {
            0 => other.min,
            _ => self.min.min(other.min),
        };
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.last = other.last;
        self.sum += other.sum;
        self.sum_of_squares = self.sum_of_squares.saturating_add(other.sum_of_squares);
        for ns in &other.each {
            self.keep(*ns);
        }
        if !other.buckets.is_empty() {
            self.fill();
            for (ours, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
                *ours = ours.saturating_add(*theirs);
            }
        }
    }

    /// Whether quantiles are what they say, and not only to 3 %.
    #[must_use]
    pub const fn is_exact(&self) -> bool {
        self.buckets.is_empty()
    }

    /// How many there were.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The last that was taken.
    #[must_use]
    pub const fn last(&self) -> Duration {
        Duration::from_nanos(self.last)
    }

    /// The shortest; zero where there was none.
    #[must_use]
    pub const fn min(&self) -> Duration {
        Duration::from_nanos(self.min)
    }

    /// The longest.
    #[must_use]
    pub const fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    /// The mean.
    #[must_use]
    pub fn mean(&self) -> Duration {
        let mean = self.sum.checked_div(u128::from(self.count)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The standard deviation, which ping calls mdev.
    #[must_use]
    pub fn deviation(&self) -> Duration {
        let n = u128::from(self.count);
        // Exact while it fits, which is for a billion round trips of ten seconds.
        let exact = self
            .sum_of_squares
            .checked_mul(n)
            .zip(self.sum.checked_mul(self.sum));
        let root = match exact {
            Some((all, mean)) => all.saturating_sub(mean).isqrt().checked_div(n),
            None => self.sum_of_squares.checked_div(n).map(|square| {
                let mean = u128::from(nanos(self.mean()));
                square.saturating_sub(mean * mean).isqrt()
            }),
        };
        Duration::from_nanos(u64::try_from(root.unwrap_or(0)).unwrap_or(u64::MAX))
    }

    /// What so many parts of a million are no longer than: 990,000 for the 99th percentile. To 3 %
    /// where there are too many to keep each ([`is_exact`](Self::is_exact)).
    #[must_use]
    pub fn quantile(&self, ppm: u32) -> Duration {
        let rank = u128::from(self.count) * u128::from(ppm);
        let rank = u64::try_from(rank.div_ceil(1_000_000)).unwrap_or(u64::MAX);
        if self.is_exact() {
            let mut sorted = self.each.clone();
            sorted.sort_unstable();
            let place = usize::try_from(rank.saturating_sub(1)).unwrap_or(usize::MAX);
            let last = sorted.len().saturating_sub(1);
            let ns = sorted.get(place.min(last)).copied();
            return Duration::from_nanos(ns.unwrap_or(0));
        }
        let mut below = 0;
        for (i, n) in (0..).zip(&self.buckets) {
            below += u64::from(*n);
            if below >= rank.max(1) {
                let top = top_of(i).clamp(self.min, self.max);
                return Duration::from_nanos(top);
            }
        }
        self.max()
    }

    /// `min`, `avg`, `max`, `mdev`, `p50` or `p99`, in nanoseconds; `None` where nothing was
    /// measured.
    #[must_use]
    pub fn measure(&self, what: &str) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        Some(nanos(match what {
            "min" => self.min(),
            "avg" => self.mean(),
            "max" => self.max(),
            "mdev" => self.deviation(),
            "p50" => self.quantile(500_000),
            "p99" => self.quantile(990_000),
            _ => return None,
        }))
    }
}

/// The bucket of a value: which doubling, and the step in it. All below the floor share the first.
fn bucket_of(ns: u64) -> usize {
    let at = ns.max(1 << FLOOR_LOG);
    let doubling = at.ilog2();
    let step = (at >> (doubling - STEPS_LOG)) & ((1 << STEPS_LOG) - 1);
    let first = u64::from(doubling.min(FLOOR_LOG + DOUBLINGS - 1) - FLOOR_LOG) << STEPS_LOG;
    usize::try_from(first + step).unwrap_or(0)
}

/// The largest value of a bucket.
fn top_of(bucket: u64) -> u64 {
    let doubling = (bucket >> STEPS_LOG) + u64::from(FLOOR_LOG);
    let step = bucket & ((1 << STEPS_LOG) - 1);
    let width = 1 << (doubling - u64::from(STEPS_LOG));
    (1 << doubling) + (step + 1) * width - 1
}

/// How a stream numbered from zero arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Datagrams that were new.
    pub received: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Datagrams that had come before.
    pub duplicates: u64,
    /// Datagrams that came after one with a higher number.
    pub reordered: u64,
    /// Times that the next number was left out, alone or with others after it.
    pub gaps: u64,
    /// The most numbers left out in a row.
    pub longest_gap: u64,
    /// One more than the highest number seen.
    next: u64,
    /// Bit `n % WINDOW`: whether number `n` was seen, for the last `WINDOW` below `next`.
    window: Vec<u64>,
}

/// Numbers remembered.
const WINDOW: u64 = 1024;

impl Arrivals {
    /// Takes datagram `number`; whether it is new.
    pub fn add(&mut self, number: u64, bytes: usize) -> bool {
        if self.window.is_empty() {
            self.window
                .resize(usize::try_from(WINDOW / 64).unwrap_or(0), 0);
        }
        if number < self.next {
            // What is older than the window remembers is taken for late, not for a duplicate.
            if self.next - number <= WINDOW && self.bit(number, Some(true)) {
                self.duplicates += 1;
                return false;
            }
            self.reordered += 1;
        } else {
            self.gaps += u64::from(number > self.next);
            self.longest_gap = self.longest_gap.max(number - self.next);
            let skipped = number.saturating_sub(WINDOW).max(self.next)..number;
            for missing in skipped {
                self.bit(missing, Some(false));
            }
            self.bit(number, Some(true));
            self.next = number.saturating_add(1);
        }
        self.received += 1;
        self.bytes += super::count(bytes);
        true
    }

    /// Whether `number` is marked; marks it anew where asked.
    fn bit(&mut self, number: u64, mark: Option<bool>) -> bool {
        let (at, bit) = (number % WINDOW / 64, 1 << (number % 64));
        let Some(word) = usize::try_from(at)
            .ok()
            .and_then(|at| self.window.get_mut(at))
        else {
            return false;
        };
        let was = *word & bit != 0;
        match mark {
            Some(true) => *word |= bit,
            Some(false) => *word &= !bit,
            None => {}
        }
        was
    }

    /// Numbers below the highest that have not come. What was lost after the last arrival nobody
    /// here can know.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.next.saturating_sub(self.received)
    }

    /// One more than the highest number that has come.
    #[must_use]
    pub const fn expected(&self) -> u64 {
        self.next
    }
}

/// `part` of `all` in parts of a million; `None` of nothing.
#[must_use]
pub fn ppm(part: u64, all: u64) -> Option<u64> {
    let share = (u128::from(part) * 1_000_000).checked_div(u128::from(all))?;
    u64::try_from(share).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_summed_up() {
        let mut delays = Delays::default();
        assert_eq!(delays.measure("avg"), None);
        for ms in [2, 3] {
            delays.add(Duration::from_millis(ms));
        }
        for (what, want) in [
            ("min", 2_000_000),
            ("avg", 2_500_000),
            ("max", 3_000_000),
            ("mdev", 500_000),
        ] {
            assert_eq!(delays.measure(what), Some(want), "{what}");
        }
        assert_eq!(delays.measure("median"), None);
    }

    #[test]
    fn quantiles_of_a_few_are_exact() {
        let mut delays = Delays::default();
        assert_eq!(delays.quantile(500_000), Duration::ZERO);
        for ms in [4, 2, 2] {
            delays.add(Duration::from_millis(ms));
        }
        assert!(delays.is_exact());
        assert_eq!(delays.measure("p50"), Some(2_000_000));
        assert_eq!(delays.measure("p99"), Some(4_000_000));
        let mut many = Delays::default();
        for ns in (0..EXACT as u64).rev() {
            many.add(Duration::from_nanos(ns * 10_000 + 10_000));
        }
        assert!(many.is_exact());
        assert_eq!(many.measure("p50"), Some(500_000_000));
        assert_eq!(many.measure("p99"), Some(990_000_000));
        many.add(Duration::from_millis(1));
        assert!(!many.is_exact());
        let near = many.measure("p50").unwrap();
        assert!((500_000_000..515_700_000).contains(&near), "{near}");
    }

    /// Taken apart, they come to the same.
    #[test]
    fn delays_are_joined() {
        for (first, second) in [
            (0, 5),
            (5, 0),
            (3, 4),
            (99_999, 1),
            (99_999, 2),
            (100_001, 9),
        ] {
            let delay = |n: u64| Duration::from_micros(n * 7919 % 10_007 + 1);
            let of = |range: std::ops::Range<u64>| {
                let mut delays = Delays::default();
                range.for_each(|n| delays.add(delay(n)));
                delays
            };
            let mut joined = of(0..first);
            joined.join(&of(first..first + second));
            assert_eq!(joined, of(0..first + second), "{first}, {second}");
        }
    }

    #[test]
    fn quantiles_of_many_are_three_percent_near() {
        let mut delays = Delays::default();
        for us in (1..=10_000).cycle().take(11 * 10_000) {
            delays.add(Duration::from_micros(us));
        }
        assert!(!delays.is_exact());
        for (ppm, want) in [(500_000, 5000), (990_000, 9900), (999_999, 10_000), (1, 1)] {
            let got = delays.quantile(ppm).as_micros();
            assert!(
                got >= want && got * 100 <= want * 104 + 100,
                "{ppm}: {got}, not {want}"
            );
        }
    }

    #[test]
    fn buckets_follow_one_another() {
        for bucket in 0..u64::from(DOUBLINGS << STEPS_LOG) - 1 {
            let top = top_of(bucket);
            assert_eq!(bucket_of(top), usize::try_from(bucket).unwrap());
            assert_eq!(bucket_of(top + 1), usize::try_from(bucket + 1).unwrap());
        }
        let last = usize::try_from(DOUBLINGS << STEPS_LOG).unwrap();
        assert!(bucket_of(0) == 0 && bucket_of(u64::MAX) < last);
    }

    #[test]
    #[rustfmt::skip]
    fn arrivals_by_number() {
        for (numbers, [received, lost, duplicates, reordered]) in [
            (&[0, 1, 2][..], [3, 0, 0, 0]),
            (&[0, 3, 4], [3, 2, 0, 0]),
            (&[0, 2, 1, 3], [4, 0, 0, 1]),
            (&[0, 1, 1, 0, 2], [3, 0, 2, 0]),
            (&[5, 2, 2], [2, 4, 1, 1]),
            (&[0, 5000, 4999, 4999, 1], [4, 4997, 1, 2]),
            (&[0, 1023, 1024, 2047, 1025, 1025], [5, 2043, 1, 1]),
            (&[0, 1, 1030, 1025], [4, 1027, 0, 1]),
        ] {
            let mut a = Arrivals::default();
            for n in numbers {
                a.add(*n, 10);
            }
            let got = [a.received, a.lost(), a.duplicates, a.reordered];
            assert_eq!(got, [received, lost, duplicates, reordered], "{numbers:?}");
        }
    }

    #[test]
    fn shares() {
        assert_eq!(ppm(1, 4), Some(250_000));
        assert_eq!(ppm(0, 0), None);
    }
}
