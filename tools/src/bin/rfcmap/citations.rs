//! Citations in comments of sources, tests and packet scripts.

use super::scripts;
use std::fs;
use std::path::Path;

/// What a citation says of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// `//=`: it is obeyed, or a test shows that it is.
    Obeyed,
    /// `We differ`.
    Differs,
    /// It is named.
    Named,
}

/// Where a citation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Code,
    Test,
    Script,
}

/// One rule, named in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Citation {
    pub(crate) rfc: u16,
    /// Empty where only a number is given.
    pub(crate) section: String,
    pub(crate) id: Option<String>,
    pub(crate) kind: Kind,
    pub(crate) side: Side,
    pub(crate) path: String,
    /// The function, constant or field.
    pub(crate) item: String,
    /// The comment.
    pub(crate) text: String,
}

impl Citation {
    /// Whether it has something to say of a numbered requirement.
    pub(crate) fn answers(&self, id: &str) -> bool {
        self.rfc == 9293 && self.id.as_deref() == Some(id)
    }

    pub(crate) fn place(&self) -> String {
        let path = self.path.strip_prefix("stack/src/").unwrap_or(&self.path);
        match self.item.as_str() {
            "" => path.to_owned(),
            item => format!("{path} {item}"),
        }
    }
}

/// What a repository cites.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cited {
    pub(crate) all: Vec<Citation>,
    /// Packet scripts that show nothing, and why; what they cite is not among the citations.
    pub(crate) idle: Vec<String>,
}

/// All citations of the repository at `root`.
pub(crate) fn read(root: &Path) -> Result<Cited, String> {
    let mut files = Vec::new();
    for folder in ["stack/src", "stack/tests", "src", "tests"] {
        gather(root, folder, &mut files)?;
    }
    files.sort();
    let mut cited = Cited::default();
    for path in files {
        let full = root.join(&path);
        let text = fs::read_to_string(&full).map_err(|e| format!("{}: {e}", full.display()))?;
        if path.ends_with(".pkt")
            && let Err(why) = scripts::shows(&full, &text)
        {
            cited.idle.push(format!("{path}: {why}"));
            continue;
        }
        cited.all.extend(of_source(&path, &text));
    }
    Ok(cited)
}

fn gather(root: &Path, folder: &str, files: &mut Vec<String>) -> Result<(), String> {
    let dir = root.join(folder);
    if !dir.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))? {
        let entry = entry.map_err(|e| format!("{}: {e}", dir.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        if entry.path().is_dir() {
            if name != "target" {
                gather(root, &path, files)?;
            }
        } else if [".rs", ".pkt"].iter().any(|end| name.ends_with(end)) {
            files.push(path);
        }
    }
    Ok(())
}

/// The citations of one file.
pub(crate) fn of_source(path: &str, text: &str) -> Vec<Citation> {
    if path.ends_with(".pkt") {
        return of_script(path, text);
    }
    let is_test =
        path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs");
    let mut all = Vec::new();
    let mut scope = Scope::default();
    let lines: Vec<&str> = text.lines().collect();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let rest = lines.get(at..).unwrap_or_default();
        let block: Vec<&str> = rest
            .iter()
            .map_while(|line| comment(line.trim_start()))
            .collect();
        let side = match is_test || scope.in_tests {
            true => Side::Test,
            false => Side::Code,
        };
        if block.is_empty() {
            scope.enter(line);
            if let Some((code, note)) = line.split_once(" // ")
                && !code.trim().is_empty()
            {
                all.extend(statement(note, Kind::Named, (path, side, &scope.function)));
            }
            at += 1;
            continue;
        }
        let next = rest.get(block.len()..).unwrap_or_default();
        let item = scope.item(next);
        for (kind, words) in statements(&block) {
            all.extend(statement(&words, kind, (path, side, &item)));
        }
        at += block.len();
    }
    all
}

/// A script cites by its place, as `rfc9293/3.5-simultaneous-open.pkt`, and in the comment that it
/// opens with, where what the place says need not be said again. What follows `We differ` there is
/// not obeyed.
fn of_script(path: &str, text: &str) -> Vec<Citation> {
    let home = home(path);
    let head: Vec<&str> = text.lines().map_while(|l| l.strip_prefix("//")).collect();
    let mut kind = match head.iter().any(|line| line.contains("We differ")) {
        true => Kind::Differs,
        false => Kind::Obeyed,
    };
    let place = home
        .as_ref()
        .map(|(rfc, section)| format!("RFC {rfc} §{section}"));
    let mut notes: Vec<(Kind, &str)> = place.iter().map(|p| (kind, p.as_str())).collect();
    kind = Kind::Obeyed;
    for line in head {
        if line.contains("We differ") {
            kind = Kind::Differs;
        }
        notes.push((kind, line));
    }
    let mut all: Vec<Citation> = Vec::new();
    for (kind, note) in notes {
        let at = (path, Side::Script, "");
        for found in statement_from(note, kind, at, home.clone()) {
            let same =
                |c: &Citation| (c.rfc, &c.section, &c.id) == (found.rfc, &found.section, &found.id);
            if !all.iter().any(same) {
                all.push(found);
            }
        }
    }
    all
}

/// The RFC and section that a script's place names.
fn home(path: &str) -> Option<(u16, String)> {
    let (folder, name) = path.rsplit_once('/')?;
    let folder = folder.rsplit('/').next()?;
    let rfc = match folder {
        "tcp" => 9293,
        other => other.strip_prefix("rfc")?.parse().ok()?,
    };
    let section = name.split('-').next()?;
    let real = section.starts_with(|c: char| c.is_ascii_digit());
    real.then(|| (rfc, section.trim_end_matches(".pkt").to_owned()))
}

/// What is behind the marks of a comment line; none for a module's head.
fn comment(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("//")?;
    (!rest.starts_with('!')).then_some(rest)
}

/// The statements of a block of comments: each `//= RFC` and each `We differ` begins one.
fn statements(block: &[&str]) -> Vec<(Kind, String)> {
    let mut all: Vec<(Kind, String)> = Vec::new();
    for line in block {
        let line = line.trim_start_matches('/').trim_start();
        let line = line.strip_prefix("//").unwrap_or(line);
        let (cites, text) = match line.strip_prefix('=') {
            Some(text) => (true, text.trim_start()),
            None => (false, line.trim_start()),
        };
        let kind = match text {
            _ if text.starts_with("We differ") => Some(Kind::Differs),
            _ if cites && text.starts_with("RFC ") => Some(Kind::Obeyed),
            _ => None,
        };
        match (kind, all.last_mut()) {
            (Some(kind), _) => all.push((kind, text.to_owned())),
            (None, Some((kind, words))) => {
                words.push(' ');
                words.push_str(text);
                if words.contains("We differ") {
                    *kind = Kind::Differs;
                }
            }
            (None, None) => {
                let differs = text.contains("We differ");
                let kind = if differs { Kind::Differs } else { Kind::Named };
                all.push((kind, text.to_owned()));
            }
        }
    }
    all
}

/// What one statement cites.
fn statement(text: &str, kind: Kind, at: (&str, Side, &str)) -> Vec<Citation> {
    statement_from(text, kind, at, None)
}

/// The same, in a place that is of an RFC's section.
fn statement_from(
    text: &str,
    kind: Kind,
    (path, side, item): (&str, Side, &str),
    home: Option<(u16, String)>,
) -> Vec<Citation> {
    let mut all: Vec<Citation> = Vec::new();
    let (mut rfc, mut section) = home.map_or((None, String::new()), |(rfc, s)| (Some(rfc), s));
    let mut cite = |rfc: u16, section: &str, id: Option<&str>| {
        all.push(Citation {
            rfc,
            section: section.to_owned(),
            id: id.map(str::to_owned),
            kind,
            side,
            path: path.to_owned(),
            item: item.to_owned(),
            text: text.trim().to_owned(),
        });
    };
    let mut words = text
        .split(|c: char| c.is_whitespace() || ",;()[]:=/\"`".contains(c))
        .filter(|w| !w.is_empty())
        .peekable();
    while let Some(word) = words.next() {
        if word == "RFC" || word == "RFCs" {
            let number = words.peek().map(|w| w.trim_end_matches(['.', '\'']));
            if let Some(number) = number.and_then(|n| n.parse::<u16>().ok()) {
                (rfc, section) = (Some(number), String::new());
            }
        } else if let Some(number) = word.strip_prefix('§') {
            let number = number.split_once('\'').map_or(number, |(number, _)| number);
            for one in span(number.trim_end_matches('.')) {
                section = one;
                if let Some(rfc) = rfc {
                    cite(rfc, &section, None);
                }
            }
        } else if let Some(id) = identifier(word) {
            // Only one of them numbers its requirements.
            let mut ahead = words.clone();
            let of = (ahead.next(), ahead.next(), ahead.next());
            if matches!(of, (Some("of"), Some("RFC"), Some(other)) if !other.starts_with("9293")) {
                continue;
            }
            let home = matches!(rfc, None | Some(9293));
            cite(9293, if home { &section } else { "" }, Some(id));
        }
    }
    all
}

/// `3.2` is itself; `3–5` is three sections.
fn span(number: &str) -> Vec<String> {
    let Some((from, to)) = number.split_once(['–', '-']) else {
        return vec![number.to_owned()];
    };
    let (stem, first) = from.rsplit_once('.').unwrap_or(("", from));
    let last = to.rsplit_once('.').map_or(to, |(_, last)| last);
    let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
        return vec![from.to_owned()];
    };
    let name = |n| match stem {
        "" => format!("{n}"),
        stem => format!("{stem}.{n}"),
    };
    (first..=last.min(first.saturating_add(20)))
        .map(name)
        .collect()
}

/// `MUST-20`, in a word that may go on.
fn identifier(word: &str) -> Option<&str> {
    let kinds = ["MUST-", "SHLD-", "MAY-", "REC-"];
    let kind = kinds.iter().find(|k| word.starts_with(**k))?;
    let digits = word.get(kind.len()..)?;
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    (end > 0).then(|| word.get(..kind.len() + end))?
}

/// What a line of code stands in.
#[derive(Clone, Debug, Default)]
struct Scope {
    function: String,
    /// Its closing line.
    end: String,
    in_tests: bool,
    /// The last line was `#[cfg(test)]`.
    gated: bool,
}

impl Scope {
    fn enter(&mut self, line: &str) {
        let indent = line.len() - line.trim_start().len();
        let pad = line.get(..indent).unwrap_or_default();
        if self.in_tests && line == "}" {
            self.in_tests = false;
        }
        if !self.function.is_empty() && line == self.end {
            self.function.clear();
        }
        let code = line.trim_start();
        if self.gated && code.starts_with("mod ") && code.ends_with('{') {
            self.in_tests = true;
        }
        self.gated = code == "#[cfg(test)]" || self.gated && code.starts_with("#[");
        if self.function.is_empty()
            && let Some(name) = function(code)
            && !code.ends_with([';', '}'])
        {
            self.function = name.to_owned();
            self.end = format!("{pad}}}");
        }
    }

    /// What a comment before these lines is about.
    fn item(&self, next: &[&str]) -> String {
        let line = next
            .iter()
            .map(|line| line.trim())
            .find(|line| !line.is_empty() && !line.starts_with("#[") && !line.starts_with("//"));
        if let Some(name) = line.and_then(function) {
            return name.to_owned();
        }
        if !self.function.is_empty() {
            return self.function.clone();
        }
        line.map_or_else(String::new, |line| name(line).to_owned())
    }
}

/// The name of the function that a line begins.
fn function(code: &str) -> Option<&str> {
    let (before, rest) = code.split_once("fn ")?;
    let modifier = |w: &str| {
        let words = ["pub", "const", "async", "unsafe", "extern"];
        words.contains(&w) || w.starts_with("pub(") || w.ends_with(')')
    };
    before
        .split_whitespace()
        .all(modifier)
        .then(|| first_name(rest))
}

/// The name of the constant, type, field or variant that a line begins.
fn name(code: &str) -> &str {
    if let Some(head) = code.strip_prefix("impl") {
        let of = head
            .split('{')
            .next()
            .and_then(|h| h.split_whitespace().last());
        return first_name(of.unwrap_or_default());
    }
    let mut rest = code;
    for word in [
        "pub(super) ",
        "pub(crate) ",
        "pub ",
        "const ",
        "static ",
        "struct ",
        "enum ",
        "type ",
    ] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    first_name(rest)
}

fn first_name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(String, Kind, Side, String)> {
        of_source(path, text)
            .iter()
            .map(|c| {
                let id = c.id.as_deref().unwrap_or("");
                let what = format!("{} §{} {id}", c.rfc, c.section)
                    .trim_end()
                    .to_owned();
                (what, c.kind, c.side, c.item.clone())
            })
            .collect()
    }

    #[test]
    fn comments_cite() {
        let text = "\
//! Read first: RFC 9293 §3.8.
/// RFC 9293 §3.7.1 SHLD-5, MUST-15: what a peer takes.
const DEFAULT: u16 = 536;

impl A {
    /// Not this.
    pub(super) fn f(&self) {
        //= RFC 9293 §3.8.3 MUST-20 (b): told
        //= once; §3.8.4 too.
        // We differ: RFC 5681 §3.2 would not.
        g(); // RFC 793 says nothing
    }

    /// RFC 7323 §5–6.
    field: u8,
}
";
        let got = found("stack/src/a.rs", text);
        let want = [
            ("9293 §3.7.1", Kind::Named, "DEFAULT"),
            ("9293 §3.7.1 SHLD-5", Kind::Named, "DEFAULT"),
            ("9293 §3.7.1 MUST-15", Kind::Named, "DEFAULT"),
            ("9293 §3.8.3", Kind::Obeyed, "f"),
            ("9293 §3.8.3 MUST-20", Kind::Obeyed, "f"),
            ("9293 §3.8.4", Kind::Obeyed, "f"),
            ("5681 §3.2", Kind::Differs, "f"),
            ("7323 §5", Kind::Named, "field"),
            ("7323 §6", Kind::Named, "field"),
        ];
        let want: Vec<_> = want
            .map(|(what, kind, item)| (what.to_owned(), kind, Side::Code, item.to_owned()))
            .into();
        assert_eq!(got, want);
    }

    #[test]
    fn tests_and_scripts_are_told_apart() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn t() {\n        \
                    // It stays open (MUST-37).\n    }\n}\n// RFC 1122 §4.2.2.13\nfn b() {}\n";
        let got = found("stack/src/a.rs", text);
        let place =
            |(what, _, side, item): &(String, _, Side, String)| (what.clone(), *side, item.clone());
        let got: Vec<_> = got.iter().map(place).collect();
        let want = [
            ("9293 § MUST-37", Side::Test, "t"),
            ("1122 §4.2.2.13", Side::Code, "b"),
        ];
        assert_eq!(got, want.map(|(w, s, i)| (w.to_owned(), s, i.to_owned())));
        let script =
            "// RFC 9293 §3.5 MUST-10: both\n0 `true`\n+0 > S 0:0(0) // RFC 9293 §3.5 MUST-10\n";
        let got = found("tests/scripts/tcp/a.pkt", script);
        assert_eq!(got.len(), 2);
        assert!(
            got.iter()
                .all(|(_, kind, side, _)| (*kind, *side) == (Kind::Obeyed, Side::Script))
        );
        let behind = "// A title.\n\n0 `true`\n+0 > S 0:0(0) // RFC 9293 §3.5 MUST-10\n";
        assert_eq!(found("tests/scripts/tcp/a.pkt", behind).len(), 0);
        let differs = "// RFC 9293 §3.5 MUST-10.\n// We differ: MUST-56 would not.\n";
        let got = found("tests/scripts/tcp/a.pkt", differs);
        assert_eq!((got[1].1, got[2].1), (Kind::Obeyed, Kind::Differs));
        assert_eq!(found("tests/a.rs", "// RFC 1 §2\n").len(), 1);
        // By its place.
        let script = "// MUST-36: probed. MUST-15 of RFC 1122 is another's.\n";
        let got = found("tests/scripts/rfc9293/3.8.6.1-zero-window.pkt", script);
        let got: Vec<_> = got.iter().map(|(what, ..)| what.as_str()).collect();
        assert_eq!(got, ["9293 §3.8.6.1", "9293 §3.8.6.1 MUST-36"]);
        assert_eq!(
            found("tests/scripts/tool/times.pkt", "// of the tool\n").len(),
            0
        );
    }

    #[test]
    fn what_we_differ_in_may_stand_behind() {
        let text =
            "// RFC 7323 §5.3 R3 asks for more. We differ, and\n// ask for less.\nfn f() {}\n";
        let got = of_source("stack/src/a.rs", text);
        assert_eq!((got.len(), got[0].kind), (1, Kind::Differs));
        assert_eq!(
            got[0].text,
            "RFC 7323 §5.3 R3 asks for more. We differ, and ask for less."
        );
    }
}
