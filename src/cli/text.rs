//! Values of a configuration that are written as text: addresses, networks, stations.
//!
//! ```text
//!   "fd07::/64" --FromStr--> Text(Cidr)
//! ```

use serde::Deserialize;
use std::fmt;
use std::str::FromStr;

/// A value written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<T>(pub T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse()
            .map(Self)
            .map_err(|e| serde::de::Error::custom(format!("'{text}': {e}")))
    }
}
