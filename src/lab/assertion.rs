//! What must hold at the end of a run.
//!
//! ```text
//!   "ping1.rtt.max <= 40ms"       SUBJECT.METRIC OP VALUE[unit]
//!   "a.rtt.max > 3 * b.rtt.max"   or N times another metric
//!   "conserved"                   METRIC alone: of the world, and not zero
//!     \--parse--> Assertion --check(names)--> judge(metrics) --> Judged { holds, "41ms > 40ms" }
//! ```
//!
//! A subject is a node, a wire, a client, or `world`. Values are whole numbers in base units:
//! nanoseconds, bits a second, bytes, and millionths for a share.

use super::metric::{self, Unit, unit_of};
use super::names::{Names, WORLD, nearest};
use super::units::{duration, rate, size, write_duration, write_rate, write_size};
use stack::time::Duration;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// What is measured.
    pub left: Metric,
    /// How it compares.
    pub op: Op,
    /// With what.
    pub right: Operand,
}

/// A number that a run gives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// Whose: a node, a wire, a client, or `world`.
    pub subject: String,
    /// Which: `rtt.max`, `drops.ttl-expired`.
    pub name: String,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
    /// `!=`
    Differs,
    /// `>=`
    AtLeast,
    /// `>`
    More,
}

/// What a metric is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A number.
    Value {
        /// In base units.
        amount: i128,
        /// How it is written.
        unit: Unit,
    },
    /// So many times another metric.
    Times(i128, Metric),
}

impl Unit {
    /// What a number of it is, with an example.
    const fn described(self) -> &'static str {
        match self {
            Self::Plain => "a number without a unit, as 5",
            Self::Time => "a time, as 90ms",
            Self::Rate => "a rate, as 10mbit",
            Self::Size => "a size, as 1500 or 64KiB",
            Self::Share => "a share, as 5% or 0.05",
        }
    }

    /// Whether numbers of the one and of the other compare: bytes may be written without a unit.
    fn fits(self, other: Self) -> bool {
        let bytes = |unit| matches!(unit, Self::Plain | Self::Size);
        self == other || bytes(self) && bytes(other)
    }
}

/// Where the numbers come from.
pub trait Metrics {
    /// The value of a metric, in base units; `None` where there is none of that name, or nothing
    /// to measure (the round trip time of a ping that got no answer).
    fn value(&self, subject: &str, metric: &str) -> Option<i128>;

    /// Whether that value is only right to 3 %: a quantile of more than can be kept.
    fn is_near(&self, subject: &str, metric: &str) -> bool {
        let _ = (subject, metric);
        false
    }
}

/// What became of an assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Whether it holds.
    pub holds: bool,
    /// The assertion with the numbers in it: `p.rtt.max <= 40ms: it is 41ms`.
    pub text: String,
}

impl Op {
    const ALL: [(&'static str, Self); 6] = [
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("==", Self::Equal),
        ("!=", Self::Differs),
        ("<", Self::Less),
        (">", Self::More),
    ];

    /// Whether it holds of two numbers in that order.
    #[must_use]
    pub const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::Differs => order.is_ne(),
            Self::AtLeast => order.is_ge(),
            Self::More => order.is_gt(),
        }
    }
}

impl Assertion {
    /// That it is about somebody who is there.
    ///
    /// # Errors
    /// Who is not, and who may have been meant.
    pub fn check(&self, names: &Names) -> Result<(), String> {
        self.metrics().try_for_each(|m| names.subject(&m.subject))
    }

    /// That each of its metrics exists.
    ///
    /// # Errors
    /// Which does not, and which may have been meant.
    pub fn check_metrics(&self, known: impl Fn(&str) -> Vec<String>) -> Result<(), String> {
        for Metric { subject, name } in self.metrics() {
            let known = known(subject);
            if known.iter().any(|k| k == name) {
                continue;
            }
            let wrong = format!("`{subject}` has no metric `{name}`");
            return Err(match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => format!("{wrong}; did you mean `{near}`?"),
                None => {
                    // The hundred reasons of drops would hide the rest.
                    let mut listed: Vec<&str> = known
                        .iter()
                        .map(String::as_str)
                        .filter(|k| !k.starts_with("drops.") && !k.starts_with("from."))
                        .collect();
                    if listed.len() < known.len() {
                        listed.push("drops.REASON");
                    }
                    format!("{wrong}; it has {}", listed.join(", "))
                }
            });
        }
        Ok(())
    }

    /// That both its sides count in the same unit, which `unit` says of a metric.
    ///
    /// # Errors
    /// Which unit is wanted.
    pub fn check_units(&self, unit: impl Fn(&Metric) -> Unit) -> Result<(), String> {
        let left = unit(&self.left);
        match &self.right {
            // Nothing is nothing in any unit.
            Operand::Value { amount: 0, .. } => Ok(()),
            Operand::Value { unit: right, .. } => {
                let bytes = left == Unit::Size && *right == Unit::Plain;
                match *right == left || bytes {
                    true => Ok(()),
                    false => Err(format!("`{}` is {}", self.left, left.described())),
                }
            }
            Operand::Times(_, of) if left.fits(unit(of)) => Ok(()),
            Operand::Times(_, of) => Err(format!(
                "`{}` is {}; `{of}` is {}",
                self.left,
                left.described(),
                unit(of).described()
            )),
        }
    }

    /// The metrics it is about.
    pub fn metrics(&self) -> impl Iterator<Item = &Metric> {
        let right = match &self.right {
            Operand::Times(_, metric) => Some(metric),
            Operand::Value { .. } => None,
        };
        std::iter::once(&self.left).chain(right)
    }

    /// Whether it holds. What cannot be measured does not.
    #[must_use]
    pub fn judge(&self, metrics: &impl Metrics) -> Judged {
        let value = |m: &Metric| metrics.value(&m.subject, &m.name);
        let left = value(&self.left);
        let (right, unit) = match &self.right {
            Operand::Value { amount, unit } => (Some(*amount), *unit),
            Operand::Times(n, m) => (
                value(m).map(|v| v.saturating_mul(*n)),
                unit_of(&self.left.name),
            ),
        };
        let holds = match (left, right) {
            (Some(left), Some(right)) => self.op.holds(left.cmp(&right)),
            _ => false,
        };
        let show = |v: Option<i128>| match (v, v.map(u64::try_from)) {
            (None, _) => "nothing".to_owned(),
            // What is written is exact, and `788529151ns` says little.
            (_, Some(Ok(n))) if unit == Unit::Time => format!("{:?}", Duration::from_nanos(n)),
            (Some(v), _) => write_in(v, unit),
        };
        let text = match &self.right {
            Operand::Value { .. } => format!("{self}: it is {}", show(left)),
            Operand::Times(..) => format!("{self}: it is {}, against {}", show(left), show(right)),
        };
        let near = self.metrics().any(|m| metrics.is_near(&m.subject, &m.name));
        let text = if near { text + " (to 3%)" } else { text };
        Judged { holds, text }
    }
}

fn write_in(amount: i128, unit: Unit) -> String {
    let n = match u64::try_from(amount) {
        Ok(n) if unit != Unit::Plain => n,
        _ => return amount.to_string(),
    };
    match unit {
        Unit::Time => write_duration(Duration::from_nanos(n)),
        Unit::Rate => write_rate(n),
        Unit::Size => match write_size(n) {
            plain if plain.ends_with('B') => plain,
            plain => format!("{plain}B"),
        },
        Unit::Share | Unit::Plain => {
            let tail = format!("{:04}", n % 10_000);
            match tail.trim_end_matches('0') {
                "" => format!("{}%", n / 10_000),
                tail => format!("{}.{tail}%", n / 10_000),
            }
        }
    }
}

fn metric(text: &str) -> Result<Metric, String> {
    let text = text.trim();
    let name = |s: &str| {
        !s.is_empty()
            && s.chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && s.split('.').all(|part| !part.is_empty())
    };
    let (subject, metric) = match text.split_once('.') {
        Some((subject, metric)) => (subject, metric),
        // A fact about the whole world.
        None => (WORLD, text),
    };
    if name(subject) && name(metric) {
        let (subject, name) = (subject.to_owned(), metric.to_owned());
        return Ok(Metric { subject, name });
    }
    Err(format!("`{text}` is no metric: say SUBJECT.METRIC"))
}

fn operand(text: &str) -> Result<Operand, String> {
    let text = text.trim();
    if let Some((times, of)) = text.split_once('*') {
        let times = times.trim();
        let n = times.parse();
        let n = n.map_err(|_| format!("`{times}` is no whole number to multiply with"))?;
        return metric(of).map(|m| Operand::Times(n, m));
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return match text {
            "" => Err("nothing stands on the right side".to_owned()),
            _ if !text.contains('.') && !metric::WORLD.contains(&text) => Err(format!(
                "`{text}` is neither a value, as 5 or 20ms, nor SUBJECT.METRIC"
            )),
            _ => metric(text).map(|m| Operand::Times(1, m)),
        };
    }
    value(text)
}

fn value(text: &str) -> Result<Operand, String> {
    let plain = text.replace('_', "");
    if let Ok(amount) = plain.parse() {
        let unit = Unit::Plain;
        return Ok(Operand::Value { amount, unit });
    }
    let share = plain.strip_suffix('%').map(|p| (p, 4));
    let share = share.or_else(|| plain.strip_suffix("ppm").map(|p| (p, 0)));
    // As everywhere else: nothing but a share is a part of one.
    let is_part = plain.chars().all(|c| c.is_ascii_digit() || c == '.');
    let share = share.or_else(|| is_part.then_some((plain.as_str(), 6)));
    let (amount, unit) = if let Some((number, places)) = share {
        (millionths(number.trim(), places), Unit::Share)
    } else if let Ok(d) = duration(text) {
        (i128::try_from(d.as_nanos()).ok(), Unit::Time)
    } else if let Ok(bits) = rate(text) {
        (Some(i128::from(bits)), Unit::Rate)
    } else {
        (size(text).ok().map(i128::from), Unit::Size)
    };
    let amount = amount.ok_or_else(|| {
        let units = "a whole number, a share as 0.05, or one with a unit: %, ppm, ns to h, bit to \
                     tbit, B to GiB";
        format!("`{text}` is no value: say {units}")
    })?;
    Ok(Operand::Value { amount, unit })
}

/// `1.5` with a unit of 10^places millionths.
fn millionths(text: &str, places: usize) -> Option<i128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = part.trim_end_matches('0');
    if part.len() > places {
        return None;
    }
    format!("{whole}{part:0<places$}").parse().ok()
}

impl FromStr for Assertion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = text.find(['<', '>', '=', '!']);
        let Some(at) = found else {
            let left = metric(text)?;
            let (op, unit) = (Op::Differs, Unit::Plain);
            let right = Operand::Value { amount: 0, unit };
            return Ok(Self { left, op, right });
        };
        let (left, rest) = text.split_at(at);
        let op = Op::ALL.iter().find(|(sign, _)| rest.starts_with(sign));
        let Some((sign, op)) = op else {
            return Err(format!(
                "`{}`: say <, <=, ==, !=, >= or >",
                rest.split_whitespace().next().unwrap_or_default()
            ));
        };
        let (left, right) = (metric(left)?, operand(rest.split_at(sign.len()).1)?);
        let op = *op;
        Ok(Self { left, op, right })
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = Op::ALL.iter().find(|(_, op)| *op == self.op);
        let sign = sign.map_or("", |(sign, _)| sign);
        match &self.right {
            Operand::Value { amount, unit } => {
                write!(f, "{} {sign} {}", self.left, write_in(*amount, *unit))
            }
            Operand::Times(1, metric) => write!(f, "{} {sign} {metric}", self.left),
            Operand::Times(n, metric) => write!(f, "{} {sign} {n} * {metric}", self.left),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.subject, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Table;

    impl Metrics for Table {
        fn value(&self, subject: &str, metric: &str) -> Option<i128> {
            match (subject, metric) {
                ("p", "rtt.max") => Some(41_000_000),
                ("p", "loss") => Some(15_000),
                ("p", "received") => Some(5),
                ("w", "drops") => Some(15),
                ("world", "conserved") => Some(1),
                _ => None,
            }
        }
    }

    #[test]
    fn judged_by_the_numbers() {
        for (text, holds, said) in [
            ("p.rtt.max <= 40ms", false, "p.rtt.max <= 40ms: it is 41ms"),
            ("p.rtt.max<=41ms", true, "p.rtt.max <= 41ms: it is 41ms"),
            ("p.loss == 1.5%", true, "p.loss == 1.5%: it is 1.5%"),
            ("p.loss < 15000 ppm", false, "p.loss < 1.5%: it is 1.5%"),
            ("p.loss == 0.015", true, "p.loss == 1.5%: it is 1.5%"),
            ("p.loss < 0.015000", false, "p.loss < 1.5%: it is 1.5%"),
            ("p.received >= 5", true, "p.received >= 5: it is 5"),
            ("p.received != -5", true, "p.received != -5: it is 5"),
            (
                "w.drops == 3 * p.received",
                true,
                "w.drops == 3 * p.received: it is 15, against 15",
            ),
            (
                "w.drops > p.received",
                true,
                "w.drops > p.received: it is 15, against 5",
            ),
            ("conserved", true, "world.conserved != 0: it is 1"),
            ("p.rtt.min < 2KiB", false, "p.rtt.min < 2KiB: it is nothing"),
            ("p.received < 1500B", true, "p.received < 1500B: it is 5B"),
            (
                "p.rtt.max > 2 * p.rtt.max",
                false,
                "p.rtt.max > 2 * p.rtt.max: it is 41ms, against 82ms",
            ),
            ("w.drops <= 1kbit", true, "w.drops <= 1kbit: it is 15bit"),
        ] {
            let assertion: Assertion = text.parse().unwrap();
            let judged = assertion.judge(&Table);
            assert_eq!((judged.holds, judged.text.as_str()), (holds, said));
            assert_eq!(assertion.to_string().parse(), Ok(assertion));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let units = "a whole number, a share as 0.05, or one with a unit: %, ppm, ns to h, bit to \
                     tbit, B to GiB";
        for (text, want) in [
            (
                "p.rtt.max = 3",
                "`=`: say <, <=, ==, !=, >= or >".to_owned(),
            ),
            (
                "p.rtt.max <= 3 parsecs",
                format!("`3 parsecs` is no value: say {units}"),
            ),
            (
                "p.a < 0.0000001",
                format!("`0.0000001` is no value: say {units}"),
            ),
            (
                "p.a < 0.00001%",
                format!("`0.00001%` is no value: say {units}"),
            ),
            ("p. < 3", "`p.` is no metric: say SUBJECT.METRIC".to_owned()),
            ("p.a <", "nothing stands on the right side".to_owned()),
            ("", "`` is no metric: say SUBJECT.METRIC".to_owned()),
            (
                "p.received > x",
                "`x` is neither a value, as 5 or 20ms, nor SUBJECT.METRIC".to_owned(),
            ),
            (
                "p.a < x * p.b",
                "`x` is no whole number to multiply with".to_owned(),
            ),
        ] {
            assert_eq!(text.parse::<Assertion>(), Err(want), "{text}");
        }
        let names = Names {
            clients: vec!["ping1".to_owned()],
            ..Names::default()
        };
        let check = |text: &str| text.parse::<Assertion>().unwrap().check(&names);
        assert_eq!(
            check("pnig1.loss == 0").unwrap_err(),
            "there is no node, wire or client `pnig1`; did you mean `ping1`?"
        );
        assert_eq!(check("conserved"), Ok(()));
        let known = |_: &str| ["rtt.max", "rtt.min", "loss"].map(str::to_owned).to_vec();
        let metrics = |text: &str| text.parse::<Assertion>().unwrap().check_metrics(known);
        assert_eq!(
            metrics("p.rtt.mx < 1ms").unwrap_err(),
            "`p` has no metric `rtt.mx`; did you mean `rtt.max`?"
        );
        assert_eq!(
            metrics("p.jitter < 1ms").unwrap_err(),
            "`p` has no metric `jitter`; it has rtt.max, rtt.min, loss"
        );
    }
}
