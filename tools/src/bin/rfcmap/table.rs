//! The table as markdown.

use super::citations::{Citation, Kind, Side};
use super::rows::{Numbered, Rows, Section};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const HEAD: &str = "\
# Requirements of TCP and IPv6, and what shows them

Written by `cargo run -p tools --bin rfcmap -- --write` from citations in comments; not to be edited.
A row names the functions, constants or fields whose comments cite it, the tests that do, and the packet
scripts whose head does; a script that does not pass, or expects nothing, counts for nothing. Paths
without a folder of the repository are of `stack/src`. What a row says is in our words; the RFC's are
what counts. The rows of IPv6 (from RFC 8200 on) name their tests themselves, each of which was read for
what it shows; beside them stands the code that cites the section as a whole.

";

/// The whole file.
pub(crate) fn markdown(rows: &Rows, cited: &[Citation]) -> String {
    let mut out = String::from(HEAD);
    numbered(&mut out, rows, cited);
    for (rfc, about) in &rows.titles {
        sections(&mut out, rows, cited, (*rfc, about));
    }
    rows.shown.markdown(&mut out, cited);
    out
}

fn numbered(out: &mut String, rows: &Rows, cited: &[Citation]) {
    let _ = writeln!(out, "## RFC 9293, Appendix B\n");
    summary(out, rows, cited);
    let head = "| requirement | level | § | what | status | code | tests and scripts |";
    let _ = writeln!(out, "{head}\n|---|---|---|---|---|---|---|");
    for row in &rows.numbered {
        let all: Vec<&Citation> = cited.iter().filter(|c| c.answers(&row.id)).collect();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            row.id,
            row.level,
            row.sections.join(", "),
            row.what,
            status(&all, row.reason.as_deref()),
            places(&all, |side| side == Side::Code),
            places(&all, |side| side != Side::Code),
        );
    }
    deviations(out, rows, cited);
    scripts(out, cited);
}

/// Packet scripts of RFC 9293, by section: most of its sections are no numbered requirement.
fn scripts(out: &mut String, cited: &[Citation]) {
    let of_scripts = |c: &&Citation| c.rfc == 9293 && c.side == Side::Script;
    let mut by_section: BTreeMap<Vec<u16>, BTreeSet<&str>> = BTreeMap::new();
    for c in cited.iter().filter(of_scripts) {
        let parts = c.section.split('.').map(|p| p.parse().unwrap_or(0));
        by_section
            .entry(parts.collect())
            .or_default()
            .insert(&c.path);
    }
    if by_section.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "### Packet scripts by section\n\n| § | scripts |\n|---|---|"
    );
    for (section, paths) in by_section {
        let section: Vec<String> = section.iter().map(u16::to_string).collect();
        let paths: Vec<String> = paths.iter().map(|p| format!("`{p}`")).collect();
        let _ = writeln!(out, "| {} | {} |", section.join("."), paths.join("<br>"));
    }
    out.push('\n');
}

fn summary(out: &mut String, rows: &Rows, cited: &[Citation]) {
    for (kind, name) in [("MUST", "MUST"), ("SHLD", "SHOULD"), ("MAY", "MAY")] {
        let of_kind = |row: &&Numbered| row.id.starts_with(kind);
        let (mut all, mut obeyed, mut differs, mut void) = (0, 0, 0, 0);
        let (mut shown, mut scripted) = (0, 0);
        for row in rows.numbered.iter().filter(of_kind) {
            let own: Vec<&Citation> = cited.iter().filter(|c| c.answers(&row.id)).collect();
            all += 1;
            void += usize::from(row.reason.is_some());
            differs += usize::from(own.iter().any(|c| c.kind == Kind::Differs));
            let kept = |c: &&Citation| c.kind != Kind::Differs;
            obeyed += usize::from(own.iter().any(kept) && row.reason.is_none());
            shown += usize::from(own.iter().any(|c| c.side != Side::Code));
            scripted += usize::from(own.iter().any(|c| c.side == Side::Script));
        }
        let _ = writeln!(
            out,
            "- {name}: {all} rows; {obeyed} obeyed, {differs} of which or beside which we differ in \
             part or whole, {void} do not apply; {shown} shown by a test or script of their own, {scripted} by a \
             packet script",
        );
    }
    out.push('\n');
}

fn status(all: &[&Citation], reason: Option<&str>) -> String {
    let has = |differs: bool| all.iter().any(|c| (c.kind == Kind::Differs) == differs);
    match (has(false), has(true), reason) {
        (_, _, Some(reason)) => format!("does not apply: {reason}"),
        (true, true, _) => "obeyed, with a difference".to_owned(),
        (true, false, _) => "obeyed".to_owned(),
        (false, true, _) => "we differ".to_owned(),
        (false, false, _) => "**nothing**".to_owned(),
    }
}

fn places(all: &[&Citation], side: impl Fn(Side) -> bool) -> String {
    let set: BTreeSet<String> = all
        .iter()
        .filter(|c| side(c.side))
        .map(|c| c.place())
        .collect();
    let all: Vec<String> = set.iter().map(|place| format!("`{place}`")).collect();
    all.join("<br>")
}

fn deviations(out: &mut String, rows: &Rows, cited: &[Citation]) {
    let _ = writeln!(out, "\n### Where we differ\n");
    let mut told: Vec<(Vec<&str>, &Citation)> = Vec::new();
    for row in &rows.numbered {
        let differs = |c: &&Citation| c.kind == Kind::Differs && c.side == Side::Code;
        for c in cited.iter().filter(|c| c.answers(&row.id)).filter(differs) {
            let same = told
                .iter_mut()
                .find(|(_, t)| (&t.path, &t.text) == (&c.path, &c.text));
            match same {
                Some((ids, _)) => ids.push(&row.id),
                None => told.push((vec![&row.id], c)),
            }
        }
    }
    for (ids, c) in told {
        let text = c.text.trim_start_matches("We differ: ");
        let _ = writeln!(out, "- {} in `{}`: {text}", ids.join(", "), c.place());
    }
    out.push('\n');
}

fn sections(out: &mut String, rows: &Rows, cited: &[Citation], (rfc, about): (u16, &str)) {
    let _ = writeln!(out, "## RFC {rfc}: {about}\n");
    let _ = writeln!(
        out,
        "| § | what | status | code | tests and scripts |\n|---|---|---|---|---|"
    );
    let own: Vec<&Citation> = cited.iter().filter(|c| c.rfc == rfc).collect();
    for row in rows.sections.iter().filter(|row| row.rfc == rfc) {
        let here = own.iter().filter(|c| c.section == row.section);
        let mut all: Vec<&Citation> = here.copied().collect();
        let named =
            |c: &&Citation| c.rfc == 9293 && c.id.as_ref().is_some_and(|id| row.same.contains(id));
        all.extend(cited.iter().filter(named));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            row.section,
            row.what,
            section_status(&all, row),
            places(&all, |side| side == Side::Code),
            places(&all, |side| side != Side::Code),
        );
    }
    out.push('\n');
}

fn section_status(all: &[&Citation], row: &Section) -> String {
    match row.reason.as_deref() {
        Some(same) if !row.same.is_empty() && all.is_empty() => format!("{same}: does not apply"),
        Some(same) if !row.same.is_empty() => format!("{same}: {}", status(all, None)),
        reason => status(all, reason.filter(|_| all.is_empty())),
    }
}
