//! README.md tells the truth: each file that it links or names is there, and each command in it
//! names a verb, a binary, a test and options that exist.
//!
//! Left out: running the commands, which `tests/interop.rs` does for those that matter.
#![expect(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn each_link_and_path_exists() {
    let text = readme();
    let named: Vec<&str> = links(&text).chain(paths(&text)).collect();
    assert!(
        named.len() > 3,
        "README.md should lead somewhere: {named:?}"
    );
    let root = root();
    let missing: Vec<_> = named
        .iter()
        .filter(|path| !root.join(path).exists())
        .collect();
    assert!(
        missing.is_empty(),
        "README.md names what is not there: {missing:?}"
    );
}

#[test]
fn each_command_parses() {
    let text = readme();
    let commands: Vec<_> = commands(&text).collect();
    let asks = |words: &str| commands.iter().any(|command| command.starts_with(words));
    assert!(asks("cargo run --release -- up --tour"), "{commands:?}");
    assert!(asks("cargo ci"), "{commands:?}");
    for command in commands {
        check(command).unwrap_or_else(|wrong| panic!("README.md: `{command}`: {wrong}"));
    }
}

#[test]
fn a_readme_that_lies_is_caught() {
    let text = "see [floors](tests/floors.rs), [rfc](https://example.com) and `src/attic/a.rs`\n\
                ```sh\n$ cargo run --release -- levitate  # up\n```\n";
    assert_eq!(links(text).collect::<Vec<_>>(), ["tests/floors.rs"]);
    assert_eq!(paths(text).collect::<Vec<_>>(), ["src/attic/a.rs"]);
    assert_eq!(
        commands(text).collect::<Vec<_>>(),
        ["cargo run --release -- levitate"]
    );
    assert!(check("cargo run --release -- levitate").is_err());
    assert!(check("cargo run --release -- up --no-such-option").is_err());
    assert!(check("tapline lab levitate").is_err());
    assert!(check("tapline lab run arp --no-such-option").is_err());
    assert!(check("tapline lab run arp --seeds 0..5").is_ok());
    assert!(check("cargo run -p tools --bin no_such_tool").is_err());
    assert!(check("cargo test --test no_such_test").is_err());
    assert!(check("cargo ci no_such_step").is_err());
    assert!(check("cargo ci --long").is_ok());
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// `[text](target)`, without those that leave the repository and without `#part`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let own = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    own.filter_map(|target| target.split('#').next())
}

/// What stands in backticks and looks like a path of ours. `../shared` is not in the repository.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted.filter(|words| {
        let is_plain = |c: char| c.is_alphanumeric() || "/._-".contains(c);
        words.contains('/')
            && words.chars().all(is_plain)
            && !words.starts_with(['/', '.'])
            && root()
                .join(words.split('/').next().unwrap_or_default())
                .exists()
    })
}

/// Lines of code blocks and quoted words that start with `cargo` or `tapline`.
fn commands(text: &str) -> impl Iterator<Item = &str> {
    let in_lines = text
        .lines()
        .map(|line| line.trim().trim_start_matches("$ "));
    let quoted = text
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    let all = in_lines
        .chain(quoted)
        .map(|line| line.split(" #").next().unwrap_or(line).trim());
    all.filter(|line| line.starts_with("cargo ") || line.starts_with("tapline "))
}

fn check(command: &str) -> Result<(), String> {
    let (before, after) = command.split_once(" -- ").unwrap_or((command, ""));
    let words: Vec<&str> = before.split_whitespace().collect();
    let after = after.split_whitespace();
    let value = |flag: &str| {
        let at = words.iter().position(|word| *word == flag)?;
        words.get(at + 1).copied()
    };
    let exists = |path: String| {
        if root().join(&path).is_file() {
            Ok(())
        } else {
            Err(format!("there is no {path}"))
        }
    };
    match words.as_slice() {
        ["tapline", ..] => tapline(command.split_whitespace().skip(1)),
        ["cargo", "ci", steps @ ..] => steps.iter().try_for_each(|step| ci_knows(step)),
        ["cargo", "run", ..] => match value("--bin") {
            Some(bin) => exists(format!("tools/src/bin/{bin}.rs"))
                .or_else(|_| exists(format!("tools/src/bin/{bin}/main.rs"))),
            None => tapline(after),
        },
        ["cargo", "test", ..] => match value("--test") {
            Some(test) => exists(format!("tests/{test}.rs"))
                .or_else(|_| exists(format!("tests/{test}/main.rs"))),
            None => Ok(()),
        },
        ["cargo", "build" | "bench" | "doc" | "fmt" | "clippy", ..] => Ok(()),
        _ => Err("this test does not know that command".to_owned()),
    }
}

/// `cargo ci` belongs to another package, whose binary this test cannot count on: its source
/// names its steps.
fn ci_knows(step: &str) -> Result<(), String> {
    let source = fs::read_to_string(root().join("tools/src/bin/ci.rs")).unwrap();
    let is_named = source.contains(&format!("\"{step}\""));
    if is_named {
        Ok(())
    } else {
        Err(format!("cargo ci has no step or option `{step}`"))
    }
}

/// The verb has a help page, and the page names each option up to the `--` of `up -- CMD`.
fn tapline<'a>(words: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut words = words.take_while(|word| *word != "--").peekable();
    let Some(verb) = words.next().filter(|verb| *verb != "help") else {
        return Ok(());
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapline"));
    command.arg(verb);
    // A verb of verbs: each has a page of its own.
    if let Some(inner) = words.next_if(|word| verb == "lab" && !word.starts_with('-')) {
        command.arg(inner);
    }
    command.arg("--help").stdin(Stdio::null());
    let said = command.output().map_err(|error| error.to_string())?;
    if !said.status.success() {
        return Err(format!("`tapline {verb} --help` fails: {}", said.status));
    }
    let page = String::from_utf8_lossy(&said.stdout);
    let names = |option: &str| {
        page.split(|c: char| " ,=[]<>\n".contains(c))
            .any(|w| w == option)
    };
    for option in words.filter(|word| word.starts_with('-')) {
        let option = option.split('=').next().unwrap_or(option);
        if !names(option) {
            return Err(format!("`tapline {verb} --help` does not name {option}"));
        }
    }
    Ok(())
}
