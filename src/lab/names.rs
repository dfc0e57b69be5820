//! What a world has by name, and the name that somebody probably meant.
//!
//! ```text
//!   fault script --+
//!   assertions   --+--check--> Names: nodes, ports, wires, clients      "b-a" --nearest--> "a-b"
//!   clients      --+
//! ```

use std::collections::{BTreeMap, BTreeSet};

/// What a fault script or an assertion may speak of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Nodes, each with the number of its ports.
    pub nodes: Vec<(String, usize)>,
    /// Wires, each with the nodes at its two ends.
    pub wires: Vec<(String, [String; 2])>,
    /// Clients.
    pub clients: Vec<String>,
    /// Notes that programs can make, by their node; none at all means that they are not checked.
    pub notes: BTreeMap<String, BTreeSet<String>>,
}

impl Names {
    /// The number of ports of a node.
    ///
    /// # Errors
    /// That there is no such node, and which may have been meant.
    pub fn node(&self, name: &str) -> Result<usize, String> {
        let found = self.nodes.iter().find(|(n, _)| n == name);
        found
            .map(|(_, ports)| *ports)
            .ok_or_else(|| unknown("node", name, self.nodes.iter().map(|(n, _)| n.as_str())))
    }

    /// The ends of a wire.
    ///
    /// # Errors
    /// That there is no such wire, and which may have been meant.
    pub fn wire(&self, name: &str) -> Result<&[String; 2], String> {
        if let Some((_, ends)) = self.wires.iter().find(|(n, _)| n == name) {
            return Ok(ends);
        }
        // The usual slip: the ends the other way round.
        let turned = self
            .wires
            .iter()
            .find(|(_, [a, b])| name == format!("{b}-{a}"));
        match turned {
            Some((right, _)) => Err(format!(
                "there is no wire `{name}`; did you mean `{right}`?"
            )),
            None => Err(unknown(
                "wire",
                name,
                self.wires.iter().map(|(n, _)| n.as_str()),
            )),
        }
    }

    /// That an assertion can be about it: a node, a wire, a client, or the world.
    ///
    /// # Errors
    /// That there is none of that name, and which may have been meant.
    pub fn subject(&self, name: &str) -> Result<(), String> {
        let nodes = self.nodes.iter().map(|(n, _)| n.as_str());
        let wires = self.wires.iter().map(|(n, _)| n.as_str());
        let clients = self.clients.iter().map(String::as_str);
        let mut all = clients.chain(nodes).chain(wires).chain([WORLD]);
        if all.clone().any(|n| n == name) {
            return Ok(());
        }
        Err(unknown("node, wire or client", name, &mut all))
    }
}

/// What an assertion calls the whole world.
pub const WORLD: &str = "world";

/// `there is no KIND NAME`, and the nearest that there is.
pub fn unknown<'a>(kind: &str, name: &str, all: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<&str> = all.into_iter().collect();
    match nearest(name, all.iter().copied()) {
        Some(near) => format!("there is no {kind} `{name}`; did you mean `{near}`?"),
        None if all.is_empty() => format!("there is no {kind} `{name}`, nor any other"),
        None if all.len() <= LISTED => {
            format!("there is no {kind} `{name}`; there is {}", all.join(", "))
        }
        None => format!("there is no {kind} `{name}`"),
    }
}

/// Names that an error still lists one by one.
const LISTED: usize = 16;

/// The candidate that `word` is most like, where a third of its letters at most are wrong.
pub fn nearest<'a>(word: &str, all: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (word.chars().count() / 3).max(1);
    let ranked = all.into_iter().map(|name| (distance(word, name), name));
    // The first of equals, so that the answer does not depend on anything but the order given.
    ranked
        .filter(|(d, name)| *d <= most && *d < name.chars().count())
        .min_by_key(|(d, _)| *d)
        .map(|(_, name)| name)
}

/// Letters to insert, delete, replace, or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let fold = |s: &str| -> Vec<char> { s.chars().map(|c| c.to_ascii_lowercase()).collect() };
    let (a, b) = (fold(a), fold(b));
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (above[j + 1] + 1).min(row[j] + 1);
            least = least.min(above[j] + usize::from(x != y));
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name() {
        let all = ["drop", "duplicate", "delay", "down", "a-r1"];
        for (word, want) in [
            ("dorp", Some("drop")),
            ("drp", Some("drop")),
            ("Delay", Some("delay")),
            ("dup", None),
            ("duplicat", Some("duplicate")),
            ("a-r2", Some("a-r1")),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, all), want, "{word}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
    }
}
