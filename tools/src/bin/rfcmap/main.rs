//! Which requirement of TCP's RFCs and IPv6's is obeyed where, and shown by what.
//!
//! ```text
//!   rfc9293.txt, sections.txt   the rows, in our words
//!   ipv6.txt                    rows that say themselves what shows them ---------\
//!   comments of the sources  -> citations   `//= RFC 9293 §3.8.3 MUST-20 (b): …`, `// We differ: …`
//!   tests, packet scripts    -> citations                  \
//!                                                           table -> tests/requirements.md
//!   rfcNNNN.txt, with --rfcs -> sections and their MUSTs --> what nothing cites
//! ```
//!
//! `cargo run -p tools --bin rfcmap` prints the table, `-- --write` keeps it in
//! `tests/requirements.md`, `-- --check` fails where a MUST of RFC 9293 has no row filled or a
//! citation names a requirement wrongly, or a packet script shows nothing. `-- --rfcs DIR [N…]`
//! counts the sentences of those texts that say MUST, by what covers them, lists those that nothing
//! does, and citations of sections that a text does not have; without numbers, of all texts that the
//! rows are of.
//!
//! What counts as a citation is a comment with `RFC N §S`, as style has it: `//=` where the rule is
//! obeyed, `We differ` where it is not; what a module's head says is to be read counts for nothing.
//! A packet script cites by its place and its head: `tests/scripts/rfc9293/3.5-simultaneous-open.pkt`;
//! it counts where it passes and expects something. Of other RFCs than 9293, whose requirements have no numbers, a section is the smallest thing.

mod citations;
mod rows;
mod scripts;
mod shown;
mod table;
mod texts;

use citations::Citation;
use rows::Rows;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

/// Where the table is kept.
const KEPT: &str = "tests/requirements.md";

const USAGE: &str = "rfcmap [--check | --write] [--root DIR]
rfcmap --rfcs DIR [N…] [--root DIR]";

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    check: bool,
    write: bool,
    rfcs: Option<PathBuf>,
    numbers: Vec<u16>,
    root: Option<PathBuf>,
}

impl Request {
    fn parse(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut request = Self::default();
        let mut args = args;
        while let Some(arg) = args.next() {
            let mut dir = || {
                let dir = args
                    .next()
                    .ok_or_else(|| format!("{arg} of what folder?"))?;
                Ok::<_, String>(Some(PathBuf::from(dir)))
            };
            match arg.as_str() {
                "--check" => request.check = true,
                "--write" => request.write = true,
                "--rfcs" => request.rfcs = dir()?,
                "--root" => request.root = dir()?,
                other => match other.parse() {
                    Ok(n) if request.rfcs.is_some() => request.numbers.push(n),
                    _ => return Err(format!("what is `{other}`?\n{USAGE}")),
                },
            }
        }
        Ok(request)
    }
}

fn main() -> ExitCode {
    let done = Request::parse(env::args().skip(1))
        .map_err(|wrong| (2, wrong))
        .and_then(|request| run(&request).map_err(|wrong| (1, wrong)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, wrong)) => {
            eprintln!("rfcmap: {wrong}");
            code.into()
        }
    }
}

fn run(request: &Request) -> Result<(), String> {
    let root = request.root.clone().unwrap_or_else(root);
    let rows = Rows::read()?;
    let cited = citations::read(&root)?;
    if let Some(dir) = &request.rfcs {
        return compare(&rows, &cited.all, dir, &request.numbers);
    }
    let text = table::markdown(&rows, &cited.all);
    if request.write {
        let kept = root.join(KEPT);
        return fs::write(&kept, text).map_err(|e| format!("{}: {e}", kept.display()));
    }
    if request.check {
        let idle = [cited.idle, rows.shown.check(&root)].concat();
        return check(&rows, &cited.all, &idle);
    }
    print!("{text}");
    Ok(())
}

/// The repository: here, or where this was built.
fn root() -> PathBuf {
    let here = PathBuf::from(".");
    if here.join("stack/src").is_dir() {
        return here;
    }
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether every MUST has something to show, and every citation is of a row as it is.
fn check(rows: &Rows, cited: &[Citation], idle: &[String]) -> Result<(), String> {
    let mut wrong = idle.to_vec();
    for row in rows.numbered.iter().filter(|r| r.level.starts_with("MUST")) {
        if row.reason.is_none() && !cited.iter().any(|c| c.answers(&row.id)) {
            wrong.push(format!("{}: nothing cites it: {}", row.id, row.what));
        }
    }
    for citation in cited {
        let Some(id) = &citation.id else { continue };
        let place = citation.place();
        match rows.numbered.iter().find(|row| row.id == *id) {
            None => wrong.push(format!("{place}: there is no {id}")),
            Some(row) => {
                let section = &citation.section;
                if !section.is_empty() && !row.sections.contains(section) {
                    let right = row.sections.join(" or ");
                    wrong.push(format!("{place}: {id} is in §{right}, not §{section}"));
                }
            }
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("\n")),
    }
}

/// Prints what the texts demand and nothing cites.
fn compare(rows: &Rows, cited: &[Citation], dir: &Path, numbers: &[u16]) -> Result<(), String> {
    let all = match numbers {
        [] => rows.rfcs(),
        some => some.to_vec(),
    };
    let mut unreal = Vec::new();
    println!(
        "In RFC 9293 a sentence is covered by its number. Elsewhere coverage is by section: a citation\n\
         covers all that its section says, whether or not each sentence is obeyed. Of IPv6 a row answers\n\
         for its section.\n"
    );
    for rfc in all {
        let path = dir.join(format!("rfc{rfc}.txt"));
        if numbers.is_empty() && !path.is_file() {
            println!("RFC {rfc}: no text at {}, so not compared", path.display());
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let text = texts::Text::parse(&text);
        let (mut by_number, mut by_section, mut by_row, mut open) = (0, 0, 0, Vec::new());
        for must in &text.musts {
            match must {
                // Its rows are counted, not citations of the section.
                m if rows.shown.has(rfc, &m.section) => by_row += 1,
                _ if rows.shown.rfcs().any(|r| r == rfc) => open.push(must),
                m if cited.iter().any(|c| c.rfc == rfc && m.is_covered(c)) => match m.ids() {
                    [] => by_section += 1,
                    _ => by_number += 1,
                },
                m if rows.is_void(rfc, &m.section, m.ids()) => by_row += 1,
                m => open.push(m),
            }
        }
        println!(
            "RFC {rfc}: {} sentences with MUST: {by_number} cited by number, {by_section} in a section that is \
             cited, {by_row} answered by a row, its reason or a number of RFC 9293, {} open",
            text.musts.len(),
            open.len()
        );
        for must in open {
            println!("  §{} {}", must.section, must.shortened());
        }
        for row in rows.shown.rows.iter().filter(|row| row.rfc == rfc) {
            if !text.has(&row.section) {
                unreal.push(format!("ipv6.txt: RFC {rfc} has no §{}", row.section));
            }
        }
        for c in cited.iter().filter(|c| c.rfc == rfc) {
            if !c.section.is_empty() && !text.has(&c.section) {
                unreal.push(format!("{}: RFC {rfc} has no §{}", c.place(), c.section));
            }
        }
    }
    match unreal.is_empty() {
        true => Ok(()),
        false => Err(unreal.join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request, String> {
        Request::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn requests() {
        assert_eq!(parse(""), Ok(Request::default()));
        let rfcs = parse("--rfcs x 9293 5681").unwrap();
        assert_eq!(rfcs.numbers, [9293, 5681]);
        assert_eq!(rfcs.rfcs, Some(PathBuf::from("x")));
        for wrong in ["--rfcs", "9293", "--what"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_must_without_a_citation_is_found() {
        let rows = Rows::read().unwrap();
        let wrong = check(&rows, &[], &[]).unwrap_err();
        assert!(wrong.contains("MUST-1: nothing cites it"), "{wrong}");
        assert!(!wrong.contains("MUST-68"), "it does not apply: {wrong}");
        let cite = |text: &str| citations::of_source("stack/src/a.rs", text);
        let wrong = check(
            &rows,
            &cite("//= RFC 9293 §3.8.4 MUST-1 x\nfn f() {}\n"),
            &[],
        )
        .unwrap_err();
        assert!(
            wrong.contains("f: MUST-1 is in §3.1, not §3.8.4"),
            "{wrong}"
        );
        let wrong = check(&rows, &cite("//= RFC 9293 §3.1 MUST-99\n"), &[]).unwrap_err();
        assert!(wrong.contains("there is no MUST-99"), "{wrong}");
    }
}
