//! Tables that are kept beside the tests: with `TAPLINE_REWRITE=1` written anew, else compared.

use std::fs;
use std::path::Path;

/// Compares a table with the one that is kept. Each line must be there word for word; the kept one
/// may have more, which a shorter run has not measured and does not touch.
#[track_caller]
pub(crate) fn compare(name: &str, table: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/grid");
    let kept = fs::read_to_string(folder.join(name)).unwrap_or_default();
    if std::env::var_os("TAPLINE_REWRITE").is_some() {
        fs::write(folder.join(name), merged(&kept, table)).unwrap();
        return;
    }
    let other: Vec<String> = table
        .lines()
        .filter(|line| !kept.lines().any(|kept| kept == *line))
        .map(|line| {
            let was = kept.lines().find(|kept| stem(kept) == stem(line));
            format!("- {}\n+ {line}", was.unwrap_or("(no such line)"))
        })
        .collect();
    assert!(
        other.is_empty(),
        "{name} differs in {} lines; TAPLINE_REWRITE=1 writes it anew:\n{}",
        other.len(),
        other.join("\n")
    );
}

/// What is kept with the lines of a table in place of its own; the table alone where it has other
/// columns.
fn merged(kept: &str, table: &str) -> String {
    if kept.lines().next() != table.lines().next() {
        return table.to_owned();
    }
    let new = |line| table.lines().find(|new| stem(new) == stem(line));
    let mut lines: Vec<_> = kept.lines().map(|line| new(line).unwrap_or(line)).collect();
    let is_new = |line: &&str| !kept.lines().any(|kept| stem(kept) == stem(line));
    lines.extend(table.lines().filter(is_new));
    lines.join("\n") + "\n"
}

/// What names a line: all before its figures.
fn stem(line: &str) -> &str {
    line.split_once('|').map_or(line, |(stem, _)| stem)
}
