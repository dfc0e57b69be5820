//! How the clients write times and lines: like the tools that people know, or as JSON.

use super::Failure;
use serde_json::Value;
use stack::time::Duration;
use std::fmt;
use std::io::{self, Write};

/// What is said of a capture that is cut within its header, or empty: it is read as far as it goes,
/// as any other that ends too early.
pub const HEADER_CUT: &str = "0 packets: file ends within its header";

/// A duration in milliseconds, with as many decimals as make three digits.
#[derive(Clone, Copy, Debug)]
pub struct Millis(pub Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        let (whole, rest) = (micros / 1000, micros % 1000);
        match micros {
            100_000.. => write!(f, "{whole}"),
            10_000.. => write!(f, "{whole}.{}", rest / 100),
            1000.. => write!(f, "{whole}.{:02}", rest / 10),
            _ => write!(f, "{whole}.{rest:03}"),
        }
    }
}

/// Milliseconds as JSON shows them: a number.
#[must_use]
pub fn millis(d: Duration) -> f64 {
    d.as_secs_f64() * 1000.0
}

/// Writes one JSON object on a line of its own.
///
/// # Errors
/// What the writer says.
pub fn json_line(out: &mut impl Write, value: &Value) -> io::Result<()> {
    writeln!(out, "{value}")?;
    out.flush()
}

/// A failed write: whoever reads has gone, which is no news to anybody, or something worse.
#[must_use]
pub fn untold(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::unmet(""),
        _ => Failure::from(error),
    }
}

/// Seconds as the user gives them, fractions allowed.
///
/// # Errors
/// What a number of seconds is.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "a number of seconds from 0 to a million, as 0.2".to_owned();
    let value: f64 = text.parse().map_err(|_| wrong())?;
    if !(0.0..=1e6).contains(&value) {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(value).map_err(|_| wrong())
}

/// Parses a number of seconds that is not 0.
///
/// # Errors
/// What to give instead.
pub fn some_seconds(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        Duration::ZERO => Err("more than 0 seconds, as 0.2".to_owned()),
        some => Ok(some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        for (micros, want) in [
            (0, "0.000"),
            (45, "0.045"),
            (1234, "1.23"),
            (12_345, "12.3"),
            (123_456, "123"),
            (3_000_000, "3000"),
        ] {
            assert_eq!(Millis(Duration::from_micros(micros)).to_string(), want);
        }
    }

    #[test]
    fn seconds_are_checked() {
        assert_eq!(seconds("0.2"), Ok(Duration::from_millis(200)));
        for text in ["-1", "nan", "inf", "x", "1e9"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
