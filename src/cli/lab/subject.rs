//! What a run is of: a topology in a file, or a scenario by its name.
//!
//! ```text
//!   arp          a scenario        --file::parse--> Subject: topology, and how to call it again
//!   mine.toml    a file
//!   arp@7        with a seed of its own (lab diff)
//! ```

use super::super::Failure;
use crate::lab::file::{self, Lines};
use crate::lab::names::nearest;
use crate::lab::plan::Plan;
use crate::lab::scenario;
use crate::lab::topology::{Topology, TopologyError};
use stack::time::Duration;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

/// Standard input, in a file's place.
const STDIN: &str = "-";
/// The seed where neither the topology nor anybody says one.
const SEED: u64 = 1;

/// A topology, and what it was asked for by.
#[derive(Clone, Debug)]
pub struct Subject {
    /// As the command line has it.
    pub word: String,
    /// The network.
    pub topology: Topology,
    /// What is decided about the rest.
    pub plan: Plan,
    lines: Lines,
    /// What the command line said of its end.
    until: Option<String>,
}

impl Subject {
    /// Finds and parses it.
    ///
    /// # Errors
    /// Exit code 2: no such scenario or file, or the first thing that is wrong in it with its line.
    pub fn find(word: &str) -> Result<Self, Failure> {
        let text = match scenario::find(word) {
            Some(scenario) => scenario.toml.to_owned(),
            None => read(word).map_err(|e| unfound(word, &e))?,
        };
        Self::parse(word, &text)
    }

    /// What stands in a file that is called `word`.
    ///
    /// # Errors
    /// Exit code 2: the first thing that is wrong in it with its line.
    pub fn parse(word: &str, text: &str) -> Result<Self, Failure> {
        let loaded = file::parse(word, text).map_err(|e| Failure::usage(e.to_string()))?;
        Ok(Self {
            word: word.to_owned(),
            topology: loaded.topology,
            plan: loaded.plan,
            lines: loaded.lines,
            until: None,
        })
    }

    /// `FILE|NAME` or `FILE|NAME@SEED`.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_with_seed(word: &str) -> Result<(Self, u64), Failure> {
        let split = word.rsplit_once('@');
        let seeded = split.and_then(|(name, seed)| Some((name, seed.parse().ok()?)));
        match seeded.filter(|_| !Path::new(word).exists()) {
            Some((name, seed)) => Ok((Self::find(name)?, seed)),
            None => {
                let subject = Self::find(word)?;
                let seed = subject.seed(None);
                Ok((subject, seed))
            }
        }
    }

    /// The file that it was read from: of a scenario, and of standard input, one that nobody has.
    #[must_use]
    pub fn file(&self) -> String {
        match self.word.as_str() {
            STDIN => String::new(),
            word if scenario::find(word).is_some() => String::new(),
            word => word.to_owned(),
        }
    }

    /// It ends then, whatever it says itself.
    pub fn end_at(&mut self, until: Option<Duration>) {
        if let Some(until) = until {
            self.topology.until = Some(until);
            self.until = Some(crate::lab::units::write_duration(until));
        }
    }

    /// The seed asked for, or its own.
    #[must_use]
    pub fn seed(&self, asked: Option<u64>) -> u64 {
        asked.or(self.topology.seed).unwrap_or(SEED)
    }

    /// The command that runs it again.
    #[must_use]
    pub fn replay(&self, seed: u64) -> String {
        let until = self.until.iter().map(|t| format!(" --until {t}"));
        let until: String = until.collect();
        format!(
            "tapline lab run {} --seed {seed}{until}",
            quoted(&self.word)
        )
    }

    /// An error of building it, with file and line.
    #[must_use]
    pub fn locate(&self, error: TopologyError) -> Failure {
        Failure::usage(self.lines.locate(error).to_string())
    }
}

/// What a topology's file may come to: a thousand times what anybody writes. A device has no end.
const LARGEST: u64 = 16 << 20;

fn read(word: &str) -> io::Result<String> {
    let mut text = Vec::new();
    let file: Box<dyn io::Read> = match word {
        STDIN => Box::new(io::stdin()),
        _ => Box::new(fs::File::open(word)?),
    };
    let read = file.take(LARGEST + 1).read_to_end(&mut text)?;
    if read as u64 > LARGEST {
        let what = "more than 16 MiB: this is no topology";
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    let wrong = |e: std::string::FromUtf8Error| {
        let before = e.as_bytes().iter().take(e.utf8_error().valid_up_to());
        let line = 1 + before.filter(|b| **b == b'\n').count();
        let what = format!("line {line}: this is no UTF-8, which TOML is");
        io::Error::new(io::ErrorKind::InvalidData, what)
    };
    String::from_utf8(text).map_err(wrong)
}

/// As a shell reads it back.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/+@%:,=".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn unfound(word: &str, error: &io::Error) -> Failure {
    let path = Path::new(word);
    let is_path = path.extension().is_some() || path.components().count() > 1;
    if is_path || error.kind() != io::ErrorKind::NotFound {
        return Failure::usage(format!("{word}: {error}"));
    }
    let what = format!("there is no scenario `{word}`, and no file of that name");
    let near = nearest(word, scenario::all().iter().map(|s| s.name));
    Failure {
        remedy: Some(match near {
            Some(near) => format!("`{near}`; `tapline lab list` names all"),
            None => "`tapline lab list` names all".to_owned(),
        }),
        ..Failure::usage(what)
    }
}
