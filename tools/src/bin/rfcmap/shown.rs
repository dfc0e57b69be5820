//! Requirements that no number names: a row each, in our words, with what shows it.
//!
//! ```text
//!   section | level | what | evidence
//!   evidence:  PATH FUNCTION, PATH FUNCTION      tests of ours, which are there
//!              PATH.pkt                          a packet script, which shows something
//!              code PATH ITEM                    what makes it so, where no test can
//!              differs: why; PATH FUNCTION       what is done instead, and its test
//!              void: why                         it is not asked of us
//!              open: what is missing             nothing shows it
//! ```
//!
//! A path is of `stack/src` or, where it begins with `tests/`, `src/` or `tools/`, of the repository.

use super::citations::{Citation, Side};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// What a row has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Shown,
    Differs,
    Void,
    Open,
}

/// A row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) rfc: u16,
    pub(crate) section: String,
    level: String,
    what: String,
    status: Status,
    /// Why it is not obeyed as it stands.
    why: String,
    /// Whether it is a test, the path, the function or item.
    proofs: Vec<(bool, String, String)>,
}

/// All rows, and each RFC with what it is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    titles: Vec<(u16, String)>,
    pub(crate) rows: Vec<Row>,
}

impl Shown {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut all = Self::default();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            all.line(line)
                .ok_or_else(|| format!("ipv6.txt: `{line}`"))?;
        }
        Ok(all)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        if let Some(title) = line.strip_prefix("RFC ") {
            let (rfc, about) = title.split_once(' ')?;
            self.titles.push((rfc.parse().ok()?, about.to_owned()));
            return Some(());
        }
        let parts: Vec<&str> = line.split(" | ").map(str::trim).collect();
        let [section, level, what, evidence] = parts[..] else {
            return None;
        };
        let (status, rest) = match evidence.split_once(": ") {
            Some(("void", why)) => (Status::Void, why),
            Some(("open", why)) => (Status::Open, why),
            Some(("differs", why)) => (Status::Differs, why),
            _ => (Status::Shown, evidence),
        };
        let (why, proofs) = match status {
            Status::Shown => ("", rest),
            _ => rest.split_once("; ").unwrap_or((rest, "")),
        };
        let proofs = proofs.split(", ").filter(|p| !p.is_empty());
        let proofs: Option<Vec<_>> = proofs.map(proof).collect();
        let row = Row {
            rfc: self.titles.last()?.0,
            section: section.to_owned(),
            level: level.to_owned(),
            what: what.to_owned(),
            status,
            why: why.to_owned(),
            proofs: proofs?,
        };
        let levels = ["MUST", "MUST NOT", "SHOULD", "SHOULD NOT"];
        let is_whole =
            levels.contains(&level) && (status != Status::Shown || !row.proofs.is_empty());
        self.rows.push(row);
        is_whole.then_some(())
    }

    pub(crate) fn rfcs(&self) -> impl Iterator<Item = u16> {
        self.titles.iter().map(|(rfc, _)| *rfc)
    }

    pub(crate) fn has(&self, rfc: u16, section: &str) -> bool {
        let is = |row: &Row| row.rfc == rfc && row.section == section;
        self.rows.iter().any(is)
    }

    /// What the rows name and is not there.
    pub(crate) fn check(&self, root: &Path) -> Vec<String> {
        let mut wrong = Vec::new();
        for row in &self.rows {
            for (is_test, path, item) in &row.proofs {
                if let Err(why) = stands(root, *is_test, path, item) {
                    wrong.push(format!(
                        "RFC {} §{}: {path} {item}: {why}",
                        row.rfc, row.section
                    ));
                }
            }
        }
        wrong
    }

    pub(crate) fn markdown(&self, out: &mut String, cited: &[Citation]) {
        for (rfc, about) in &self.titles {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.rfc == *rfc).collect();
            let _ = writeln!(out, "## RFC {rfc}: {about}\n");
            for (kind, levels) in [
                ("MUST", ["MUST", "MUST NOT"]),
                ("SHOULD", ["SHOULD", "SHOULD NOT"]),
            ] {
                let of = |status| {
                    let is = |r: &&&Row| levels.contains(&&*r.level) && r.status == status;
                    rows.iter().filter(is).count()
                };
                let all = [Status::Shown, Status::Differs, Status::Void, Status::Open].map(of);
                let [shown, differs, void, open] = all;
                let _ = writeln!(
                    out,
                    "- {kind}: {} rows; {shown} shown, {differs} where we differ, {void} do not apply, {open} open",
                    all.iter().sum::<usize>()
                );
            }
            let _ = writeln!(
                out,
                "\n| § | level | what | status | code that cites the section | what shows it |\n|---|---|---|---|---|---|"
            );
            for row in rows {
                row.write(out, cited);
            }
            out.push('\n');
        }
    }
}

impl Row {
    fn write(&self, out: &mut String, cited: &[Citation]) {
        let status = match self.status {
            Status::Shown => "shown".to_owned(),
            Status::Differs => format!("we differ: {}", self.why),
            Status::Void => format!("does not apply: {}", self.why),
            Status::Open => format!("**open**: {}", self.why),
        };
        let is_ours =
            |c: &&Citation| c.rfc == self.rfc && c.section == self.section && c.side == Side::Code;
        let code: BTreeSet<String> = match self.status {
            Status::Void => BTreeSet::new(),
            _ => cited.iter().filter(is_ours).map(Citation::place).collect(),
        };
        let proofs = self
            .proofs
            .iter()
            .map(|(_, path, item)| format!("{path} {item}").trim_end().to_owned());
        let _ = writeln!(
            out,
            "| {} | {} | {} | {status} | {} | {} |",
            self.section,
            self.level,
            self.what,
            quoted(code.into_iter()),
            quoted(proofs),
        );
    }
}

fn quoted(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.map(|one| format!("`{one}`")).collect();
    all.join("<br>")
}

fn proof(text: &str) -> Option<(bool, String, String)> {
    let (is_test, text) = match text.trim().strip_prefix("code ") {
        Some(rest) => (false, rest),
        None => (true, text.trim()),
    };
    if text.ends_with(".pkt") && !text.contains(' ') {
        return Some((is_test, text.to_owned(), String::new()));
    }
    let (path, item) = text.split_once(' ')?;
    Some((is_test, path.to_owned(), item.to_owned()))
}

/// Whether the file has that test, or that item.
fn stands(root: &Path, is_test: bool, path: &str, item: &str) -> Result<(), &'static str> {
    let of_root = ["tests/", "src/", "tools/"]
        .iter()
        .any(|d| path.starts_with(d));
    let full = match of_root {
        true => root.join(path),
        false => root.join("stack/src").join(path),
    };
    let text = fs::read_to_string(full).map_err(|_| "there is no such file")?;
    // Each script is run, and one that shows nothing is found by that.
    if item.is_empty() {
        return Ok(());
    }
    if !is_test {
        let kinds = ["fn ", "const ", "struct ", "enum ", "pub ", "static "];
        let is_there = |kind: &&str| {
            let want = format!("{kind}{item}");
            text.match_indices(&want)
                .any(|(at, _)| ends(&text, at + want.len()))
        };
        return kinds
            .iter()
            .any(is_there)
            .then_some(())
            .ok_or("it has no such item");
    }
    let want = format!("fn {item}()");
    let at = text.find(&want).ok_or("it has no such test")?;
    // In the trials of `tests/interop` a test is what its list names.
    let before = text.get(..at).unwrap_or_default().lines().rev();
    let marked = before.take(4).any(|line| line.trim() == "#[test]");
    let listed = path.starts_with("tests/interop/")
        && text.lines().any(|l| {
            let l = l.trim().trim_end_matches("),").trim_end_matches(',');
            l == item || l.ends_with(&format!(" {item}"))
        });
    (marked || listed).then_some(()).ok_or("it is no test")
}

fn ends(text: &str, at: usize) -> bool {
    let next = text.get(at..).and_then(|rest| rest.chars().next());
    next.is_none_or(|c| !c.is_alphanumeric() && c != '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_say_what_shows_them() {
        let text = "RFC 8200 boxes\n4.1 | MUST | shut | a.rs b, code a.rs c\n5 | SHOULD | red | void: no paint\n";
        let all = Shown::parse(text).unwrap();
        assert_eq!(all.rows[0].proofs.len(), 2);
        assert!(all.has(8200, "5") && !all.has(8200, "6") && !all.has(4861, "5"));
        let mut out = String::new();
        all.markdown(&mut out, &[]);
        assert!(out.contains("- MUST: 1 rows; 1 shown, 0 where we differ, 0 do not apply, 0 open"));
        assert!(out.contains("does not apply: no paint"));
        for bad in [
            "4 | MUST | shut | a.rs b",
            "RFC 1 x\n4 | MUST | shut",
            "RFC 1 x\n4 | MUST | shut | a.rs",
            "RFC 1 x\n4 | MAYBE | shut | a.rs b",
        ] {
            assert!(Shown::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_named_must_be_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let there = |is_test, path, item| stands(&root, is_test, path, item);
        assert_eq!(there(true, "net/tests/ipv6.rs", "lengths"), Ok(()));
        assert_eq!(
            there(true, "net/tests/ipv6.rs", "packet"),
            Err("it has no such test")
        );
        assert_eq!(
            there(true, "net/tests/ndp.rs", "ours"),
            Err("it is no test")
        );
        assert_eq!(
            there(true, "tests/interop/ipv6.rs", "ndisc6_finds_the_host"),
            Ok(())
        );
        assert_eq!(there(false, "net/ipv6.rs", "walk"), Ok(()));
        assert_eq!(
            there(false, "net/ipv6.rs", "wal"),
            Err("it has no such item")
        );
        assert_eq!(
            there(true, "net/nothing.rs", "x"),
            Err("there is no such file")
        );
        let script = "tests/scripts/rfc8201/4-down-to-1280.pkt";
        assert_eq!(proof(script), Some((true, script.into(), String::new())));
        assert_eq!(there(true, script, ""), Ok(()));
        assert_eq!(
            there(true, "tests/scripts/nothing.pkt", ""),
            Err("there is no such file")
        );
    }
}
