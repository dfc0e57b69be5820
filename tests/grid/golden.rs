//! Tables that are kept beside the tests: with `TAPLINE_REWRITE=1` written anew, else compared,
//! word for word or, where making one takes an hour, within bounds.

use std::fs;
use std::path::Path;

/// Compares a table with the one that is kept. Each line must be there word for word; the kept one
/// may have more, which a shorter run has not measured and does not touch.
#[track_caller]
pub(crate) fn compare(name: &str, table: &str) {
    judge(name, table, |kept, line| kept == line);
}

/// The same, where each figure may be off by so many in a hundred: what a change of no importance
/// does to the lines of a table that nobody makes anew at each.
#[track_caller]
pub(crate) fn compare_within(percent: f64, name: &str, table: &str) {
    judge(name, table, |kept, line| is_near(percent, kept, line));
}

#[track_caller]
fn judge(name: &str, table: &str, agree: impl Fn(&str, &str) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/grid");
    let kept = fs::read_to_string(folder.join(name)).unwrap_or_default();
    if std::env::var_os("TAPLINE_REWRITE").is_some() {
        fs::write(folder.join(name), merged(&kept, table)).unwrap();
        return;
    }
    let other: Vec<String> = table
        .lines()
        .filter(|line| !kept.lines().any(|kept| agree(kept, line)))
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

/// Whether two lines name the same and their figures lie within so many in a hundred.
fn is_near(percent: f64, kept: &str, line: &str) -> bool {
    let (was, is) = (figures(kept), figures(line));
    let near = |(was, is): (&f64, &f64)| (was - is).abs() <= was * percent / 100.0;
    stem(kept) == stem(line) && was.len() == is.len() && was.iter().zip(&is).all(near)
}

/// A line's figures, its ratio aside, which follows from them.
fn figures(line: &str) -> Vec<f64> {
    let all = line.split_once('|').map_or("", |(_, figures)| figures);
    let first = all.split_whitespace().take(2);
    first.filter_map(|figure| figure.parse().ok()).collect()
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

#[test]
fn figures_may_be_a_little_off() {
    let kept = "100M 1ms | 200.0 300.0 1.50";
    assert!(is_near(10.0, kept, kept));
    assert!(is_near(10.0, kept, "100M 1ms | 181.0 329.0 1.81"));
    assert!(!is_near(10.0, kept, "100M 1ms | 200.0 331.0 1.65"));
    assert!(!is_near(10.0, kept, "100M 2ms | 200.0 300.0 1.50"));
    assert!(!is_near(10.0, kept, "100M 1ms | 200.0"));
    assert!(is_near(
        10.0,
        "rate | smoltcp tapline",
        "rate | smoltcp tapline"
    ));
}
