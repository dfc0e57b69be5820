//! Durations, rates and sizes as people write them, exactly: no floats.
//!
//! ```text
//!   "1.5s" --duration--> 1_500_000_000 ns --write_duration--> "1500ms"
//!   "100mbit" --rate--> 100_000_000 bit/s --write_rate--> "100mbit"
//!   "64KiB" --size--> 65_536 bytes        --write_size--> "64KiB"
//! ```
//!
//! Promises: what is printed parses back to the same value; a value that cannot be held exactly is
//! refused rather than rounded.

use stack::link::impair::Chance;
use stack::time::{Duration, nanos};
use std::fmt;

/// A unit's name and how many of the smallest it is.
type Unit = (&'static str, u128);

/// Largest first: the first that divides a value prints it.
const TIMES: &[Unit] = &[
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];
/// Bits a second: powers of a thousand, as data sheets and `tc` count them.
const RATES: &[Unit] = &[
    ("tbit", 1_000_000_000_000),
    ("gbit", 1_000_000_000),
    ("mbit", 1_000_000),
    ("kbit", 1_000),
    ("bit", 1),
];
/// Bytes: powers of 1024, and of a thousand where so named.
const SIZES: &[Unit] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Why a text is no duration, rate or size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitError(String);

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UnitError {}

/// A duration, as `20ms`, `1.5s`, `300us`, `2min`; a unit is needed but for `0`.
///
/// # Errors
/// What is wrong with the text, and the units there are.
///
/// ```
/// use std::time::Duration;
/// use tapline::lab::units::{duration, write_duration};
/// assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
/// assert_eq!(write_duration(Duration::from_millis(1500)), "1500ms");
/// ```
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let n = exact(text, TIMES, None, "a duration, as 20ms or 1.5s")?;
    Ok(Duration::from_nanos(n))
}

/// A rate in bits a second, as `100mbit`, `64kbit`; a unit is needed but for `0`.
///
/// # Errors
/// What is wrong with the text, and the units there are.
pub fn rate(text: &str) -> Result<u64, UnitError> {
    exact(text, RATES, None, "a rate, as 100mbit")
}

/// A size in bytes, as `64KiB`, `1500`, `1500B`.
///
/// # Errors
/// What is wrong with the text, and the units there are.
pub fn size(text: &str) -> Result<u64, UnitError> {
    exact(text, SIZES, Some(1), "a size, as 1500 or 64KiB")
}

/// A duration in the largest unit that holds it as a whole number.
#[must_use]
pub fn write_duration(d: Duration) -> String {
    match nanos(d) {
        0 => "0s".to_owned(),
        n => write(n, TIMES),
    }
}

/// A rate likewise.
#[must_use]
pub fn write_rate(bits: u64) -> String {
    write(bits, RATES)
}

/// A size likewise; bytes have no unit.
#[must_use]
pub fn write_size(bytes: u64) -> String {
    let binary = SIZES.iter().filter(|(name, _)| name.ends_with("iB"));
    match binary
        .clone()
        .find(|(_, n)| u128::from(bytes) % n == 0 && bytes > 0)
    {
        Some((name, n)) => format!("{}{name}", u128::from(bytes) / n),
        None => bytes.to_string(),
    }
}

/// A probability as per cent where that is no longer: `5%`, `0.000001`.
#[must_use]
pub fn write_chance(chance: Chance) -> String {
    let fraction = chance.to_string();
    let Some(part) = fraction.strip_prefix("0.").filter(|p| p.len() <= 6) else {
        return fraction;
    };
    let digits = format!("{part:0<2}");
    let (whole, rest) = digits.split_at(2);
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if rest.is_empty() { "" } else { "." };
    let text = format!("{whole}{point}{rest}%");
    if text.parse() == Ok(chance) {
        text
    } else {
        fraction
    }
}

/// So many of something: `1 wire`, `2 wires`.
#[must_use]
pub fn many(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Text of somebody else's, as a terminal may have it: what is not to be seen, and could move or
/// recolour what is (control characters, marks of direction), is written as its number. Lines and
/// tabs stay.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            c if is_hidden(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Whether a character does something instead of being seen.
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn write(n: u64, units: &[Unit]) -> String {
    let n = u128::from(n);
    let unit = units.iter().find(|(_, u)| n % u == 0 && n > 0);
    let (name, u) = unit.or(units.last()).copied().unwrap_or(("", 1));
    format!("{}{name}", n / u)
}

/// `12`, `1.5`, then a unit; `plain` is what a number without one counts in.
fn exact(text: &str, units: &[Unit], plain: Option<u128>, want: &str) -> Result<u64, UnitError> {
    let wrong = |why: String| UnitError(format!("`{text}` {why}"));
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_');
    let (number, name) = text.split_at(end.unwrap_or(text.len()));
    let number = number.replace('_', "");
    let (whole, part) = number.split_once('.').unwrap_or((number.as_str(), ""));
    if whole.is_empty() || part.contains('.') {
        return Err(wrong(format!("is not {want}")));
    }
    let name = name.trim_start();
    let unit = match (name, plain) {
        ("", Some(one)) => one,
        ("", None) if whole == "0" && part.is_empty() => 1,
        ("", None) => return Err(wrong(format!("has no unit: use {}", list(units)))),
        _ => match units.iter().find(|(u, _)| u.eq_ignore_ascii_case(name)) {
            Some((_, unit)) => *unit,
            None => {
                let why = format!("has an unknown unit `{name}`: use {}", list(units));
                return Err(wrong(why));
            }
        },
    };
    let big = || wrong("is too large".to_owned());
    let digits = |s: &str| match s {
        "" => Ok(0),
        s => s.parse::<u128>().map_err(|_| big()),
    };
    let mut total = digits(whole)?.checked_mul(unit).ok_or_else(big)?;
    if let Ok(places) = u32::try_from(part.len())
        && places > 0
    {
        let of = 10_u128.checked_pow(places).ok_or_else(big)?;
        let parts = digits(part)?.checked_mul(unit).ok_or_else(big)?;
        if parts % of != 0 {
            let least = units.last().map_or("", |(name, _)| name);
            return Err(wrong(format!("is no whole number of {least}")));
        }
        total = total.checked_add(parts / of).ok_or_else(big)?;
    }
    u64::try_from(total).map_err(|_| big())
}

fn list(units: &[Unit]) -> String {
    let names: Vec<_> = units.iter().rev().map(|(name, _)| *name).collect();
    match names.split_last() {
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, nanos, back) in [
            ("20ms", 20_000_000, "20ms"),
            ("1.5s", 1_500_000_000, "1500ms"),
            ("300us", 300_000, "300us"),
            ("2min", 120_000_000_000, "2min"),
            ("0", 0, "0s"),
            ("0.000001 s", 1_000, "1us"),
            ("1_000ns", 1_000, "1us"),
            ("90min", 5_400_000_000_000, "90min"),
            ("24h", 86_400_000_000_000, "24h"),
        ] {
            let d = duration(text).unwrap();
            assert_eq!(d, Duration::from_nanos(nanos), "{text}");
            assert_eq!(write_duration(d), back);
            assert_eq!(duration(back), Ok(d));
        }
    }

    #[test]
    fn rates_and_sizes() {
        for (text, bits, back) in [
            ("100mbit", 100_000_000, "100mbit"),
            ("1gbit", 1_000_000_000, "1gbit"),
            ("64Kbit", 64_000, "64kbit"),
            ("1.5mbit", 1_500_000, "1500kbit"),
            ("9600bit", 9600, "9600bit"),
            ("0", 0, "0bit"),
        ] {
            assert_eq!(rate(text), Ok(bits), "{text}");
            assert_eq!(write_rate(bits), back);
            assert_eq!(rate(back), Ok(bits));
        }
        for (text, bytes, back) in [
            ("64KiB", 65_536, "64KiB"),
            ("1500", 1500, "1500"),
            ("1.5kB", 1500, "1500"),
            ("0", 0, "0"),
            ("3MiB", 3 << 20, "3MiB"),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
            assert_eq!(write_size(bytes), back);
            assert_eq!(size(back), Ok(bytes));
        }
    }

    #[test]
    fn what_is_not_seen_is_shown_as_its_number() {
        for (text, want) in [
            ("caf\u{e9}: 5%\n\ta", "caf\u{e9}: 5%\n\ta"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{1b}]0;x\u{7}\r", "\\u{1b}]0;x\\u{7}\\u{d}"),
            ("a\u{202e}b\u{9b}", "a\\u{202e}b\\u{9b}"),
        ] {
            assert_eq!(shown(text), want);
        }
    }

    #[test]
    fn one_is_not_many() {
        let said = [0, 1, 2].map(|n| many(n, "fault line"));
        assert_eq!(said, ["0 fault lines", "1 fault line", "2 fault lines"]);
    }

    #[test]
    fn probabilities() {
        for (text, back) in [
            ("0.05", "5%"),
            ("12.5%", "12.5%"),
            ("0.5", "50%"),
            ("1e-6", "0.0001%"),
            ("1e-9", "0.000000001"),
            ("1", "1"),
            ("0", "0"),
        ] {
            let chance: Chance = text.parse().unwrap();
            assert_eq!(write_chance(chance), back);
            assert_eq!(back.parse(), Ok(chance));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (got, want) in [
            (
                duration("5").unwrap_err(),
                "`5` has no unit: use ns, us, ms, s, min or h",
            ),
            (
                duration("5sec").unwrap_err(),
                "`5sec` has an unknown unit `sec`: use ns, us, ms, s, min or h",
            ),
            (
                duration("x").unwrap_err(),
                "`x` is not a duration, as 20ms or 1.5s",
            ),
            (
                duration("-1s").unwrap_err(),
                "`-1s` is not a duration, as 20ms or 1.5s",
            ),
            (
                duration("1.2.3s").unwrap_err(),
                "`1.2.3s` is not a duration, as 20ms or 1.5s",
            ),
            (
                duration("0.5ns").unwrap_err(),
                "`0.5ns` is no whole number of ns",
            ),
            (duration("6000000h").unwrap_err(), "`6000000h` is too large"),
            (
                rate("9600").unwrap_err(),
                "`9600` has no unit: use bit, kbit, mbit, gbit or tbit",
            ),
            (
                rate("10mb").unwrap_err(),
                "`10mb` has an unknown unit `mb`: use bit, kbit, mbit, gbit or tbit",
            ),
            (size("").unwrap_err(), "`` is not a size, as 1500 or 64KiB"),
        ] {
            assert_eq!(got.to_string(), want);
        }
    }
}
