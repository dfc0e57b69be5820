//! Runs worth looking at, each with a name, what to look at, and assertions that it was there.
//!
//! ```text
//!   arp.toml, ..  --include_str!-->  all() --find("arp")--> Scenario --topology()--> a world
//! ```
//!
//! Promises: every scenario holds with any seed (a test runs many), in little virtual time.
//! `lab run NAME` runs one; its file can be copied and changed, and run as `lab run FILE`.

use super::file;
use super::topology::Topology;

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What it is asked for by.
    pub name: &'static str,
    /// Its file.
    pub toml: &'static str,
}

macro_rules! scenarios {
    ($($name:literal,)*) => {
        const ALL: &[Scenario] = &[$(Scenario {
            name: $name,
            toml: include_str!(concat!($name, ".toml")),
        },)*];
    };
}

scenarios! {
    "arp",
    "hub",
    "fragments",
    "black-hole",
    "loop",
    "duplicate",
    "spoof",
    "sleep",
    "flap",
    "bursts",
    "scan",
    "bufferbloat",
}

/// All scenarios, those that need the least knowledge first.
#[must_use]
pub const fn all() -> &'static [Scenario] {
    ALL
}

/// The scenario of that name.
///
/// ```
/// let scenario = tapline::lab::scenario::find("arp").unwrap();
/// assert!(scenario.topology().run(1).unwrap().holds());
/// ```
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|s| s.name == name)
}

impl Scenario {
    /// One line: what it is and what to look at.
    #[must_use]
    pub fn caption(&self) -> &'static str {
        let mut lines = self.toml.lines();
        let quoted = lines.find_map(|l| l.strip_prefix("caption = \""));
        let caption = quoted.and_then(|l| l.split_once('"'));
        caption.map_or("", |(caption, _)| caption)
    }

    /// Its network.
    #[must_use]
    #[expect(clippy::panic, reason = "a test parses every file that is compiled in")]
    pub fn topology(&self) -> Topology {
        match file::parse(self.name, self.toml) {
            Ok(loaded) => loaded.topology,
            Err(e) => panic!("{e}"),
        }
    }
}
