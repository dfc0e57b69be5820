//! Where things stand in a file, and errors that say so.
//!
//! ```text
//!   TopologyError { Place::Wire(1), what } --Lines::locate--> "net.toml:14: what"
//! ```

use crate::lab::names::unknown;
use crate::lab::topology::{Place, TopologyError};
use std::fmt;

/// Where things stand in a file.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// The file's name.
    pub file: String,
    /// What stands in it.
    pub(super) text: String,
    pub(super) nodes: Vec<u32>,
    pub(super) wires: Vec<u32>,
    pub(super) clients: Vec<u32>,
    pub(super) asserts: Vec<u32>,
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: Option<u32>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}

impl std::error::Error for FileError {}

impl Lines {
    /// The line of a part.
    #[must_use]
    pub fn of(&self, place: Place) -> Option<u32> {
        match place {
            Place::World => None,
            Place::Node(i) => self.nodes.get(i).copied(),
            Place::Wire(i) => self.wires.get(i).copied(),
            Place::Client(i) => self.clients.get(i).copied(),
            // Parsing has set a fault's line to that in the file.
            Place::Fault(line) => Some(line),
            Place::Assert(i) => self.asserts.get(i).copied(),
        }
    }

    /// The same error with file and line.
    #[must_use]
    pub fn locate(&self, error: TopologyError) -> FileError {
        FileError {
            file: self.file.clone(),
            line: self.of(error.place).map(|line| match error.place {
                Place::Fault(_) | Place::Assert(_) => line,
                _ => key_below(&self.text, line, error.keys),
            }),
            what: error.what,
        }
    }
}

/// The line of the first of `keys` that the table at `line` has; else that of the table.
pub(super) fn key_below(text: &str, line: u32, keys: &[&str]) -> u32 {
    let head = usize::try_from(line).unwrap_or(usize::MAX);
    let below = || {
        let lines = (line..).zip(text.lines().skip(head.saturating_sub(1)));
        // Up to the next part; `[node.settings]` is of this one.
        lines
            .enumerate()
            .take_while(|(i, (_, l))| *i == 0 || !l.trim_start().starts_with("[["))
            .map(|(_, found)| found)
    };
    let has = |l: &str, key: &str| {
        let l = l.trim_start().trim_start_matches('[');
        let l = l.split_once('=').map_or(l, |(before, _)| before);
        l.split(['.', ']']).any(|word| word.trim() == key)
    };
    let mut found = keys
        .iter()
        .filter_map(|key| below().skip(1).find(|(_, l)| has(l, key)));
    found.next().map_or(line, |(number, _)| number)
}

pub(super) fn line_at(text: &str, byte: usize) -> u32 {
    let before = text.get(..byte).unwrap_or(text);
    u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX)
}

/// Names that an error lists one by one.
const SHOWN: usize = 16;

/// What the parser says, in a reader's words.
pub(super) fn reworded(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    for (begins, kind) in [("unknown field", "key"), ("unknown variant", "value")] {
        if let Some(word) = quoted.next().filter(|_| message.starts_with(begins)) {
            let said = unknown(kind, word, quoted.clone());
            // Too many to be listed in an error.
            return match quoted.count() > SHOWN && !said.contains(';') {
                true => format!("{said}; `tapline help lab` lists those that there are"),
                false => said,
            };
        }
        quoted = message.split('`').skip(1).step_by(2);
    }
    let beyond = message.strip_prefix("invalid type: integer `");
    if let Some((number, _)) = beyond.and_then(|rest| rest.split_once("` as ")) {
        return format!("{number} is beyond the numbers of TOML; of a seed, write it as a text");
    }
    if message.starts_with("wanted exactly 1 element") {
        return "a name is wanted here, not a table".to_owned();
    }
    let number = message.strip_prefix("invalid value: integer ");
    let most = match number.and_then(|rest| rest.split_once(", expected ")) {
        Some((said, "u8")) => Some((said, u32::from(u8::MAX))),
        Some((said, "u16")) => Some((said, u32::from(u16::MAX))),
        Some((said, "u32")) => Some((said, u32::MAX)),
        Some((said, "u64" | "usize")) => return format!("{said} is no whole number from 0 on"),
        _ => None,
    };
    match most {
        Some((said, most)) => format!("{said} is no whole number from 0 to {most}"),
        None => message.to_owned(),
    }
}
