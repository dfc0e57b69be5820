//! The table of requirements is as the sources have it, and no MUST of TCP's or IPv6's is forgotten.
#![expect(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rfcmap(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rfcmap"));
    command.args(args).arg("--root").arg(root());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_must_is_cited_and_cited_rightly() {
    let done = rfcmap(&["--check"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
}

#[test]
fn the_table_that_is_kept_is_current() {
    let kept = std::fs::read_to_string(root().join("tests/requirements.md")).unwrap();
    let done = rfcmap(&[]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let made = text(&done.stdout);
    let differs = made
        .lines()
        .zip(kept.lines())
        .find(|(made, kept)| made != kept);
    assert!(
        made == kept,
        "cargo run -p tools --bin rfcmap -- --write\n{differs:#?}"
    );
}

#[test]
fn citations_name_sections_that_are() {
    let shared = std::env::var_os("TAPLINE_SHARED").map(PathBuf::from);
    let folder = shared
        .unwrap_or_else(|| root().join("../shared"))
        .join("rfc");
    if !folder.is_dir() {
        eprintln!(
            "no texts at {}: what citations name was not compared",
            folder.display()
        );
        return;
    }
    let done = rfcmap(&["--rfcs", folder.to_str().unwrap()]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let told = text(&done.stdout);
    // All that RFC 9293 demands has its number cited, or a reason why not; what those of IPv6 do, a
    // row of its section. (RFC 8200 and RFC 8201 say "must", which is no word of this comparison.)
    for rfc in [9293, 4861, 4862, 8504, 4443] {
        let start = format!("RFC {rfc}: ");
        let line = told.lines().find(|l| l.starts_with(&start)).unwrap();
        assert!(line.ends_with(" 0 open"), "{line}");
    }
}
