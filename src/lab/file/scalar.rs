//! Values that a file writes as a text, a number or a list.
//!
//! ```text
//!   "auto" | "10.0.1.1/24" | [..]      5% | 0.05      "100mbit" | "unlimited"
//! ```

use crate::lab::fault::{Party, is_name};
use crate::lab::settings::scalar;
use crate::lab::units;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use stack::link::impair::Chance;
use stack::wire::Cidr;
use std::fmt;
use std::marker::PhantomData;

/// `"auto"`, an address, or several.
pub(super) struct PortAddresses(pub(super) Vec<Cidr>);

impl<'de> Deserialize<'de> for PortAddresses {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let want = "an address, as \"10.0.1.1/24\", several, or \"auto\"";
        let one = |text: &str| match text {
            "auto" => Ok(Vec::new()),
            text => cidr(text).map(|cidr| vec![cidr]),
        };
        let parsed = d.deserialize_any(TextOr {
            want,
            text: one,
            value: PhantomData::<Text<Cidr>>,
            list: |list: Vec<Text<Cidr>>| list.into_iter().map(|t| t.0).collect(),
        });
        parsed.map(Self)
    }
}

fn cidr(text: &str) -> Result<Cidr, String> {
    let parsed: Cidr = text.parse().map_err(|e| format!("`{text}`: {e}"))?;
    if text.contains('/') {
        Ok(parsed)
    } else {
        Err(format!(
            "`{text}`: say how long the prefix is, as {text}/24"
        ))
    }
}

/// `"auto"`, `"none"`, or a list.
#[derive(Default)]
pub(super) enum RawRoutes {
    #[default]
    Auto,
    None,
    List(Vec<RawRoute>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    pub(super) to: Text<Cidr>,
    pub(super) via: Text<Party>,
}

impl<'de> Deserialize<'de> for RawRoutes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(TextOr {
            want: "\"auto\", \"none\", or a list of { to, via }",
            text: |text: &str| match text {
                "auto" => Ok(Self::Auto),
                "none" => Ok(Self::None),
                _ => Err(format!(
                    "`{text}`: routes are \"auto\", \"none\", or a list"
                )),
            },
            value: PhantomData::<RawRoute>,
            list: Self::List,
        })
    }
}

/// A text, or a list of `V`.
struct TextOr<V, F, G> {
    want: &'static str,
    text: F,
    list: G,
    value: PhantomData<V>,
}

impl<'de, T, V, F, G> Visitor<'de> for TextOr<V, F, G>
where
    V: Deserialize<'de>,
    F: Fn(&str) -> Result<T, String>,
    G: Fn(Vec<V>) -> T,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.want)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.text)(text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element()? {
            list.push(value);
        }
        Ok((self.list)(list))
    }
}

/// A value written as text.
pub(super) struct Text<T>(pub(super) T);

impl<'de> Deserialize<'de> for Text<Cidr> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        cidr(&text).map(Self).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Text<Party> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        match Party::from(text.as_str()) {
            Party::Node(name) if !is_name(&name) => Err(de::Error::custom(format!(
                "`{name}` is neither a node nor an address"
            ))),
            party => Ok(Self(party)),
        }
    }
}

/// A seed; beyond what TOML's integers hold, as text.
pub(super) struct Seed(pub(super) u64);

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        scalar(d, "a seed, a whole number", |text| {
            let parsed = text.parse().map(Self);
            parsed.map_err(|_| format!("`{text}`: a seed is a whole number of at most 64 bits"))
        })
    }
}

/// A rate; `"unlimited"`.
pub(super) struct Rate(pub(super) Option<u64>);

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        scalar(
            d,
            "a rate, as \"100mbit\", or \"unlimited\"",
            |text| match text {
                "unlimited" => Ok(Self(None)),
                text => {
                    let bits = units::rate(text).map_err(|e| e.to_string())?;
                    Ok(Self(Some(bits)))
                }
            },
        )
    }
}

/// A probability.
pub(super) struct Share(pub(super) Chance);

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        scalar(d, "a probability, as 0.05 or \"5%\"", |text| {
            share(text).map(Self)
        })
    }
}

pub(super) fn share(text: &str) -> Result<Chance, String> {
    text.parse().map_err(|e| format!("`{text}`: {e}"))
}

/// A number or text, or a table `V`.
pub(super) struct ScalarOr<V, F, G> {
    pub(super) want: &'static str,
    pub(super) text: F,
    pub(super) table: G,
    pub(super) value: PhantomData<V>,
}

impl<'de, T, V, F, G> Visitor<'de> for ScalarOr<V, F, G>
where
    V: Deserialize<'de>,
    F: Fn(&str) -> Result<T, String>,
    G: Fn(V) -> Result<T, String>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.want)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.text)(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<T, E> {
        self.visit_str(&n.to_string())
    }

    // The shortest decimal that means the same float is what was written.
    fn visit_f64<E: de::Error>(self, n: f64) -> Result<T, E> {
        self.visit_str(&n.to_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        let table = V::deserialize(de::value::MapAccessDeserializer::new(map))?;
        (self.table)(table).map_err(de::Error::custom)
    }
}
