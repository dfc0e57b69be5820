//! A probability without floats: a 64-bit binary fraction that reads and prints as decimals.

use core::fmt;
use core::str::FromStr;

/// How likely something is: `n / 2^64`, and certain where all bits are set.
///
/// ```
/// use stack::link::impair::Chance;
/// let five: Chance = "5%".parse()?;
/// assert_eq!(five, "0.05".parse()?);
/// assert_eq!(five.to_string(), "0.05");
/// assert!(Chance::ALWAYS.hits(u64::MAX) && !Chance::NEVER.hits(0));
/// # Ok::<(), stack::link::impair::ChanceError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chance(u64);

impl Chance {
    /// Not at all.
    pub const NEVER: Self = Self(0);
    /// Each time.
    pub const ALWAYS: Self = Self(u64::MAX);

    /// So many in a million; a million and more is always.
    #[must_use]
    #[allow(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_lossless
    )]
    pub const fn from_ppm(ppm: u32) -> Self {
        const MILLION: u128 = 1_000_000;
        if ppm as u128 >= MILLION {
            return Self::ALWAYS;
        }
        // Below 2^64, since ppm is below a million.
        Self((((ppm as u128) << 64).wrapping_add(MILLION / 2) / MILLION) as u64)
    }

    /// The fraction `bits / 2^64`.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The fraction's numerator over 2^64.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether it cannot happen.
    #[must_use]
    #[inline]
    pub const fn is_never(self) -> bool {
        self.0 == 0
    }

    /// Whether a draw of 64 even bits says that it happens.
    #[must_use]
    #[inline]
    pub const fn hits(self, draw: u64) -> bool {
        draw < self.0 || self.0 == u64::MAX
    }
}

/// Why a text is no probability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChanceError {
    /// Not a decimal number with an optional exponent or per cent sign.
    NotANumber,
    /// Below 0 or above 1.
    OutOfRange,
    /// More digits than mean anything: 30 are read.
    TooLong,
}

impl fmt::Display for ChanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "not a probability: write 0.05, 5% or 1e-6",
            Self::OutOfRange => "a probability lies between 0 and 1 (0% and 100%)",
            Self::TooLong => "a probability of more than 30 digits",
        })
    }
}

impl core::error::Error for ChanceError {}

/// Digits that are read: with one more decimal shift they stay below 2^127.
const DIGITS: i32 = 30;

impl FromStr for Chance {
    type Err = ChanceError;

    fn from_str(text: &str) -> Result<Self, ChanceError> {
        let (text, per_cent) = match text.strip_suffix('%') {
            Some(rest) => (rest.trim_end(), true),
            None => (text, false),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (
                mantissa,
                exponent.parse().map_err(|_| ChanceError::NotANumber)?,
            ),
            None => (text, 0_i32),
        };
        let exponent = exponent.clamp(-1000, 1000) - if per_cent { 2 } else { 0 };
        let (number, after_point) = digits(mantissa)?;
        fraction(number, after_point - exponent)
    }
}

/// The digits as one number, and how many of them stand after the point.
fn digits(text: &str) -> Result<(u128, i32), ChanceError> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && part.is_empty() {
        return Err(ChanceError::NotANumber);
    }
    if whole.starts_with('-') {
        return Err(ChanceError::OutOfRange);
    }
    let mut number = 0_u128;
    let mut read = 0;
    for c in whole.chars().chain(part.chars()) {
        let digit = c.to_digit(10).ok_or(ChanceError::NotANumber)?;
        number = number * 10 + u128::from(digit);
        read += i32::from(number > 0);
        if read > DIGITS {
            return Err(ChanceError::TooLong);
        }
    }
    let after = i32::try_from(part.len()).map_err(|_| ChanceError::TooLong)?;
    Ok((number, after))
}

/// `number / 10^scale` as a binary fraction, rounded to the nearest.
fn fraction(mut number: u128, mut scale: i32) -> Result<Chance, ChanceError> {
    if number == 0 {
        return Ok(Chance::NEVER);
    }
    while scale < 0 {
        number = number.checked_mul(10).ok_or(ChanceError::OutOfRange)?;
        scale += 1;
    }
    // What is cut off here is far below 2^-64.
    while scale > DIGITS + 7 {
        number /= 10;
        scale -= 1;
    }
    let one = 10_u128.pow(scale.unsigned_abs());
    if number >= one {
        return if number == one {
            Ok(Chance::ALWAYS)
        } else {
            Err(ChanceError::OutOfRange)
        };
    }
    let (mut rest, mut bits) = (number, 0_u128);
    for _ in 0..65 {
        rest *= 2;
        let bit = rest >= one;
        rest -= if bit { one } else { 0 };
        bits = bits << 1 | u128::from(bit);
    }
    let rounded = (bits + 1) >> 1;
    Ok(Chance(u64::try_from(rounded).unwrap_or(u64::MAX)))
}

impl fmt::Display for Chance {
    /// The shortest decimal that reads as this fraction and no other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NEVER => return f.write_str("0"),
            Self::ALWAYS => return f.write_str("1"),
            _ => f.write_str("0.")?,
        }
        // In units of 2^-65; what lies within half a unit of 2^-64 reads as the same fraction.
        const ONE: u128 = 1 << 65;
        let (mut rest, mut margin) = (u128::from(self.0) * 2, 1_u128);
        loop {
            rest *= 10;
            margin *= 10;
            let digit = rest / ONE;
            rest %= ONE;
            let (low, high) = (rest < margin, rest > ONE - margin.min(ONE));
            if !low && !high {
                write!(f, "{digit}")?;
                continue;
            }
            let up = high && (!low || rest * 2 >= ONE);
            return write!(f, "{}", digit + u128::from(up));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::string::ToString;

    #[test]
    fn reads_fractions_per_cents_and_exponents() {
        let half = Chance(1 << 63);
        for text in [
            "0.5", ".5", "50%", "5e-1", "0.005e2", "500e-3", "0.50", "5000e-2%", "50 %",
        ] {
            assert_eq!(text.parse(), Ok(half), "{text}");
        }
        assert_eq!("1e-6".parse(), Ok(Chance::from_ppm(1)));
        assert_eq!("5%".parse(), Ok(Chance::from_ppm(50_000)));
        assert_eq!("0".parse(), Ok(Chance::NEVER));
        assert_eq!("1e-400".parse(), Ok(Chance::NEVER));
        for text in ["1", "100%", "1.0", "1e0"] {
            assert_eq!(text.parse(), Ok(Chance::ALWAYS), "{text}");
        }
        assert_eq!(Chance::from_ppm(1_000_000), Chance::ALWAYS);
        for (text, why) in [
            ("", ChanceError::NotANumber),
            (".", ChanceError::NotANumber),
            ("five", ChanceError::NotANumber),
            ("1e", ChanceError::NotANumber),
            ("5%%", ChanceError::NotANumber),
            ("-0.1", ChanceError::OutOfRange),
            ("1.01", ChanceError::OutOfRange),
            ("101%", ChanceError::OutOfRange),
            ("1e400", ChanceError::OutOfRange),
            ("0.1234567890123456789012345678901", ChanceError::TooLong),
        ] {
            assert_eq!(text.parse::<Chance>(), Err(why), "{text}");
        }
    }

    #[test]
    fn prints_what_reads_as_the_same() {
        for text in ["0.05", "0.5", "0.000001", "0.3", "0.999", "0.0000000001"] {
            assert_eq!(text.parse::<Chance>().unwrap().to_string(), text);
        }
        let mut rng = Rng::from_seed(1);
        for i in 0..2000 {
            let n = rng.next_u64() >> (i % 64);
            for n in [n, u64::MAX - n, n.wrapping_neg()] {
                let text = Chance(n).to_string();
                assert_eq!(text.parse(), Ok(Chance(n)), "{n} as {text}");
            }
        }
    }
}
