//! Who may import whom: the house has floors, and an arrow goes down only.
//!
//! ```text
//!    cli   tools   tests
//!       \    |    /
//!    runtime    lab                 two drivers of one Machine; neither knows the other
//!       |     \   |   \
//!       |      \ net   \
//!    device    endpoint  distributed
//!        \        |        /
//!  ===============|=================== crate wall: the package `stack` is below it
//!               host
//!           /     |      \
//!        link    net    transport     three siblings, blind to each other
//!           \     |      /
//!        machine  frame  reason
//!           \     |      /
//!        wire    time    rng          the ground
//! ```
//!
//! Each source file is cut into tokens; each path that starts with `crate`, `self`, `super`,
//! `stack`, `tapline` or `std`, in a `use` or in the middle of code, is resolved to a module and
//! held against [`FLOORS`]. Re-exports are followed to the file that defines the name, so a door
//! (`mod.rs`) that re-exports all of its folder makes no circle.
//!
//! Left out: names that macros build, and calls of methods, which import nothing.
#![expect(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// One row a room: its name, and what it may import besides itself. A new row or arrow is a design
/// decision, and its commit says why.
#[rustfmt::skip]
const FLOORS: &[(&str, &[&str])] = &[
    ("stack::time", &[]),
    ("stack::rng", &["stack::time"]),
    // Timers of anything: whoever keeps many of them owns one.
    ("stack::wheel", &["stack::time"]),
    ("stack::reason", &[]),
    ("stack::wire", &["stack::time"]),
    ("stack::frame", &["stack::wire"]),
    ("stack::machine", &["stack::frame", "stack::reason", "stack::time"]),
    ("stack::link", &["stack::frame", "stack::machine", "stack::reason", "stack::rng",
                      "stack::time", "stack::wire"]),
    ("stack::net", &["stack::frame", "stack::machine", "stack::reason", "stack::rng",
                     "stack::time", "stack::wire"]),
    ("stack::transport", &["stack::frame", "stack::machine", "stack::reason", "stack::rng",
                           "stack::time", "stack::wire"]),
    ("stack::host", &["stack::frame", "stack::link", "stack::machine", "stack::net",
                      "stack::reason", "stack::rng", "stack::time", "stack::transport",
                      "stack::wheel", "stack::wire"]),
    ("stack", &[]),
    ("tapline::device", &["stack::frame", "stack::link::impair", "stack::link::offload",
                          "stack::machine", "stack::reason", "stack::rng", "stack::time",
                          "stack::wire"]),
    // Payloads, raw frames and socket errors are what a program says and hears; its tests step
    // hosts and give them routes.
    ("tapline::endpoint", &["stack::frame", "stack::host", "stack::machine", "stack::net::route",
                            "stack::rng", "stack::time", "stack::transport", "stack::wire"]),
    ("tapline::distributed", &["stack::rng", "stack::time"]),
    ("tapline::net", &["stack"]),
    // Exporters say in words what crosses a wire.
    ("tapline::lab", &["stack", "tapline::dissect", "tapline::distributed", "tapline::endpoint",
                       "tapline::net"]),
    ("tapline::dissect", &["stack::wire"]),
    ("tapline::runtime", &["stack", "tapline::device", "tapline::net"]),
    ("tapline::cli", &["stack", "tapline::device", "tapline::dissect", "tapline::distributed",
                       "tapline::endpoint", "tapline::lab", "tapline::net",
                       "tapline::runtime"]),
    ("tapline::main", &["tapline::cli"]),
    ("tapline", &["stack"]),
    ("tools", &["stack", "tapline"]),
    // What the original packetdrill loads; nothing of the product knows it.
    ("packetdrill", &["tools"]),
    ("tests", &["stack", "tapline"]),
];

/// What any test may use besides: where its random input comes from.
const SEEDS: &[&str] = &["stack::rng", "stack::time"];
/// The folder that may say `unsafe`: the OS's edge.
const UNSAFE_HOME: &str = "src/device/";
/// The other one, which is for tests only: a C interface.
const UNSAFE_TEST_HOME: &str = "tools/packetdrill/";
/// The one file that may read the OS's clock.
const CLOCK_HOME: &str = "src/runtime/clock.rs";
/// The one folder that may start threads; waiting is for clippy.toml to forbid.
const THREAD_HOME: &str = "src/runtime/";
/// Rooms that are tools, for which neither threads nor clocks are strange.
const TOOLS: &[&str] = &["tools", "packetdrill"];

/// Where sources are, and the module path that a file there starts with.
const TREES: &[(&str, &str)] = &[
    ("stack/src/", "stack"),
    ("stack/benches/", "tests"),
    ("stack/tests/", "tests"),
    ("src/", "tapline"),
    ("tools/packetdrill/src/", "packetdrill"),
    ("tools/packetdrill/tests/", "tests"),
    ("tools/src/bin/", "tools"),
    ("tools/src/", "tools"),
    ("benches/", "tests"),
    ("tests/", "tests"),
];

#[test]
fn the_house_stands_on_its_floors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for (tree, _) in TREES {
        collect(&root.join(tree), tree, &mut files);
    }
    files.sort();
    files.dedup();
    assert!(
        files.len() > 20,
        "only {} source files found: is this the workspace?",
        files.len()
    );
    let faults = inspect(&files);
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn the_table_has_no_circle() {
    let mut graph = Graph::default();
    for (room, allowed) in FLOORS {
        for below in allowed
            .iter()
            .map(|below| room_of(below))
            .filter(|below| below != room)
        {
            graph.add(room, &below, String::new());
        }
    }
    assert_eq!(graph.circles(), Vec::<String>::new());
}

fn collect(dir: &Path, name: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        let below = format!("{name}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            // The fuzz targets are a package of their own.
            if !below.ends_with("/target") && below != "tests/fuzz" {
                collect(&path, &format!("{below}/"), files);
            }
        } else if below.ends_with(".rs") {
            files.push((below, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// All faults of a set of files, each as `file:line: rule`.
fn inspect(files: &[(String, String)]) -> Vec<String> {
    let read: Vec<_> = files
        .iter()
        .map(|(name, text)| Source::read(name, text))
        .collect();
    let house = House::new(&read);
    let mut faults = door_faults(files);
    let mut graph = Graph::default();
    for source in &read {
        faults.extend(source.faults());
        for import in &source.imports {
            let Some(target) = house.resolve(&source.module, import) else {
                continue;
            };
            faults.extend(arrow_fault(source, import, &target));
            if import.reexport || import.in_test || source.is_test {
                continue;
            }
            if let Some(file) = house.file_of(&target).filter(|file| *file != source.module) {
                graph.add(
                    &source.module,
                    &file,
                    format!("{}:{}", source.name, import.line),
                );
            }
        }
    }
    faults.extend(graph.circles());
    faults.sort();
    faults.dedup();
    faults
}

/// A folder has a `mod.rs`, and no file beside it has its name.
fn door_faults(files: &[(String, String)]) -> Vec<String> {
    let names: BTreeSet<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let mut faults = Vec::new();
    for name in names.iter().filter(|name| name.contains("src/")) {
        let Some((folder, _)) = name.rsplit_once('/') else {
            continue;
        };
        // A binary of several files has a `main.rs` for its door.
        let is_binary = names.contains(format!("{folder}/main.rs").as_str());
        if is_binary && folder.contains("/bin/") {
            continue;
        }
        // A test file is a part of the file that it tests, which names it by `#[path]`.
        if ["src", "/bin", "/tests"]
            .iter()
            .any(|open| folder.ends_with(open))
        {
            continue;
        }
        if names.contains(format!("{folder}.rs").as_str()) {
            faults.push(format!("{folder}.rs:1: belongs into {folder}/mod.rs"));
        } else if !names.contains(format!("{folder}/mod.rs").as_str()) {
            faults.push(format!("{name}:1: its folder has no mod.rs"));
        }
    }
    faults
}

fn arrow_fault(source: &Source, import: &Import, target: &str) -> Option<String> {
    let room = room_of(&source.module);
    if target.starts_with("std::") || room_of(target) == room {
        return None;
    }
    let place = format!("{}:{}", source.name, import.line);
    let Some((_, allowed)) = FLOORS.iter().find(|(name, _)| *name == room) else {
        return Some(format!("{place}: `{room}` has no row in tests/floors.rs"));
    };
    // What a lib.rs holds itself is a map of its crate, and carries nothing.
    let in_a_room = |(name, _): &(&str, _)| name.contains("::") && is_in(target, name);
    let is_map = target.split("::").count() <= 2 && !FLOORS.iter().any(in_a_room);
    let is_seed =
        (import.in_test || source.is_test) && SEEDS.iter().any(|room| is_in(target, room));
    let is_allowed = is_map || is_seed || allowed.iter().any(|below| is_in(target, below));
    (!is_allowed).then(|| {
        format!(
            "{place}: `{room}` imports `{target}`, and may import only {}",
            allowed.join(", ")
        )
    })
}

/// `stack::wire::ipv4` stands in `stack::wire`; a tool or a test is one of many.
fn room_of(module: &str) -> String {
    let mut parts = module.split("::");
    match (parts.next().unwrap_or_default(), parts.next()) {
        (one @ ("tools" | "packetdrill" | "tests"), _) | (one, None) => one.to_owned(),
        (first, Some(second)) => format!("{first}::{second}"),
    }
}

fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// A path that a file names.
#[derive(Debug, PartialEq)]
struct Import {
    path: Vec<String>,
    line: usize,
    /// The inline modules around it.
    inside: Vec<String>,
    in_test: bool,
    in_use: bool,
    reexport: bool,
}

/// A file, read.
struct Source {
    name: String,
    module: String,
    is_test: bool,
    imports: Vec<Import>,
    tokens: Vec<Token>,
    test_code: Vec<bool>,
}

impl Source {
    fn read(name: &str, text: &str) -> Self {
        let module = module_of(name);
        let tokens = tokens(text);
        let test_code = mark_tests(&tokens);
        let is_test = module.split("::").any(|part| part == "tests");
        let imports = imports(&tokens, &test_code);
        Self {
            name: name.to_owned(),
            module,
            is_test,
            imports,
            tokens,
            test_code,
        }
    }

    /// What is wrong with this file alone.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let is_tool = TOOLS.contains(&room_of(&self.module).as_str());
        let timeless = !self.is_test && !is_tool && self.name != CLOCK_HOME;
        for (at, token) in self.tokens.iter().enumerate() {
            let place = format!("{}:{}", self.name, token.line);
            let home = [UNSAFE_HOME, UNSAFE_TEST_HOME];
            if token.text == "unsafe" && !home.iter().any(|h| self.name.starts_with(h)) {
                faults.push(format!("{place}: `unsafe` outside {UNSAFE_HOME}"));
            }
            let reads_clock = ["Instant", "SystemTime"].contains(&token.text.as_str())
                && self
                    .tokens
                    .get(at + 2)
                    .is_some_and(|next| next.text == "now");
            if reads_clock && timeless && !self.test_code[at] {
                faults.push(format!("{place}: a clock outside {CLOCK_HOME}"));
            }
        }
        for import in self
            .imports
            .iter()
            .filter(|import| !self.is_test && !import.in_test)
        {
            let place = format!("{}:{}", self.name, import.line);
            let path = import.path.join("::");
            if import.in_use && path.ends_with("::*") {
                faults.push(format!(
                    "{place}: `use {path}` outside tests: name what you use"
                ));
            }
            if timeless && ["std::time::Instant", "std::time::SystemTime"].contains(&&*path) {
                faults.push(format!("{place}: `{path}` outside {CLOCK_HOME}"));
            }
            let threads = is_in(&path, "std::thread") && path != "std::thread::sleep";
            if threads && !is_tool && !self.name.starts_with(THREAD_HOME) {
                faults.push(format!("{place}: `{path}` outside {THREAD_HOME}"));
            }
        }
        faults
    }
}

fn module_of(name: &str) -> String {
    let (tree, first) = TREES
        .iter()
        .find(|(tree, _)| name.starts_with(tree))
        .unwrap();
    let rest = name[tree.len()..]
        .trim_end_matches(".rs")
        .replace('/', "::");
    let rest = rest.strip_suffix("::mod").unwrap_or(&rest);
    if rest == "lib" {
        (*first).to_owned()
    } else {
        format!("{first}::{rest}")
    }
}

/// All modules, and what their doors re-export.
struct House {
    modules: BTreeSet<String>,
    reexports: BTreeMap<String, Vec<String>>,
}

impl House {
    fn new(sources: &[Source]) -> Self {
        let modules = sources.iter().map(|source| source.module.clone()).collect();
        let mut house = Self {
            modules,
            reexports: BTreeMap::new(),
        };
        for source in sources {
            for import in source.imports.iter().filter(|import| import.reexport) {
                let target = house.absolute(&source.module, import);
                if let (Some(name), Some(target)) = (import.path.last(), target) {
                    house
                        .reexports
                        .insert(format!("{}::{name}", source.module), target);
                }
            }
        }
        house
    }

    /// The import as a path from the root of its crate, or none where it is not ours.
    fn absolute(&self, module: &str, import: &Import) -> Option<Vec<String>> {
        let mut here: Vec<String> = module.split("::").map(str::to_owned).collect();
        let own_crate = here[0].clone();
        here.extend(import.inside.iter().cloned());
        let mut rest = import.path.as_slice();
        let mut path = match rest.first()?.as_str() {
            "crate" => vec![own_crate],
            "self" => here,
            "super" => {
                while rest.get(1).is_some_and(|next| next == "super") {
                    here.pop();
                    rest = &rest[1..];
                }
                here.pop();
                here
            }
            name @ ("stack" | "tapline" | "std") => vec![name.to_owned()],
            child => {
                // `use addr::Cidr` in a door names a child.
                here.push(child.to_owned());
                self.modules.contains(&here.join("::")).then_some(here)?
            }
        };
        path.extend(rest[1..].iter().filter(|part| *part != "self").cloned());
        if path.len() > 1 && path[0] == "tapline" && path[1] == "stack" {
            path.remove(0);
        }
        Some(path)
    }

    /// Where the imported name is defined.
    fn resolve(&self, module: &str, import: &Import) -> Option<String> {
        let mut path = self.absolute(module, import)?;
        // A name may be handed through a few doors; a bound keeps a broken house from looping.
        for _ in 0..8 {
            let through = (1..=path.len()).find_map(|len| {
                let target = self.reexports.get(&path[..len].join("::"))?;
                (target[..] != path[..len]).then(|| [target, &path[len..]].concat())
            });
            let Some(next) = through else { break };
            path = next;
        }
        Some(path.join("::"))
    }

    /// The module whose file holds that path.
    fn file_of(&self, path: &str) -> Option<String> {
        let mut at = path;
        while !self.modules.contains(at) {
            at = at.rsplit_once("::")?.0;
        }
        Some(at.to_owned())
    }
}

/// Who imports whom, and where.
#[derive(Default)]
struct Graph(BTreeMap<String, BTreeMap<String, String>>);

impl Graph {
    fn add(&mut self, from: &str, to: &str, place: String) {
        self.0
            .entry(from.to_owned())
            .or_default()
            .entry(to.to_owned())
            .or_insert(place);
    }

    /// Depth first; an arrow back to a module that is still open closes a circle.
    fn circles(&self) -> Vec<String> {
        let (mut done, mut found) = (BTreeSet::new(), Vec::new());
        for start in self.0.keys() {
            self.walk(start, &mut Vec::new(), &mut done, &mut found);
        }
        found
    }

    fn walk<'a>(
        &'a self,
        at: &'a str,
        open: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
        found: &mut Vec<String>,
    ) {
        if done.contains(at) {
            return;
        }
        open.push(at);
        for (next, place) in self.0.get(at).into_iter().flatten() {
            if let Some(first) = open.iter().position(|module| module == next) {
                let circle = [&open[first..], &[next]].concat().join(" -> ");
                found.push(format!("{place}: circle {circle}"));
            } else {
                self.walk(next, open, done, found);
            }
        }
        open.pop();
        done.insert(at);
    }
}

#[derive(Debug, PartialEq)]
struct Token {
    text: String,
    line: usize,
}

/// Words, `::` and single signs; a comment is nothing, a literal is one `"`.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut at, mut line, mut found) = (0, 1, Vec::new());
    while at < chars.len() {
        let end = token_end(&chars, at);
        let piece: String = chars[at..end].iter().collect();
        let is_comment = piece.starts_with("//") || piece.starts_with("/*");
        if !is_comment && !piece.trim().is_empty() {
            let is_literal = piece.len() > 1 && piece.ends_with(['"', '#', '\'']);
            let text = if is_literal {
                "\"".to_owned()
            } else {
                piece.clone()
            };
            found.push(Token { text, line });
        }
        line += piece.matches('\n').count();
        at = end;
    }
    found
}

fn token_end(chars: &[char], at: usize) -> usize {
    let starts = |text: &str| {
        text.chars()
            .eq(chars[at..].iter().copied().take(text.len()))
    };
    let until =
        |stop: &dyn Fn(usize) -> bool| (at..chars.len()).find(|&i| stop(i)).unwrap_or(chars.len());
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let first = chars[at];
    if starts("//") {
        return until(&|i| chars[i] == '\n');
    }
    if starts("/*") {
        return comment_end(chars, at);
    }
    if let Some(end) = raw_string_end(chars, at) {
        return end;
    }
    if first == '"' || starts("b\"") || starts("c\"") {
        return quoted_end(chars, if first == '"' { at + 1 } else { at + 2 }, '"');
    }
    if first == '\'' {
        // 'x' and '\n' are characters; 'a without a closing quote is a lifetime.
        let is_char = chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'');
        return if is_char {
            quoted_end(chars, at + 1, '\'')
        } else {
            at + 1
        };
    }
    if is_word(first) {
        return until(&|i| !is_word(chars[i]));
    }
    if starts("::") { at + 2 } else { at + 1 }
}

fn comment_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 1),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 1),
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at.min(chars.len())
}

fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let prefix = usize::from(matches!(chars[at], 'b' | 'c'));
    if chars.get(at + prefix) != Some(&'r') {
        return None;
    }
    let first_hash = at + prefix + 1;
    let hashes = chars[first_hash..]
        .iter()
        .take_while(|c| **c == '#')
        .count();
    let open = first_hash + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let is_closed_by = |i: usize| {
        let after = &chars[i + 1..];
        chars[i] == '"' && after.len() >= hashes && after[..hashes].iter().all(|c| *c == '#')
    };
    let close = (open + 1..chars.len()).find(|&i| is_closed_by(i));
    Some(close.map_or(chars.len(), |close| close + 1 + hashes))
}

fn quoted_end(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Which tokens stand in an item marked `#[cfg(test)]` or `#[test]`.
fn mark_tests(tokens: &[Token]) -> Vec<bool> {
    let mut marked = vec![false; tokens.len()];
    for at in 0..tokens.len() {
        let starts = |words: &str| {
            let rest = tokens[at..].iter().map(|token| token.text.as_str());
            words.split(' ').eq(rest.take(words.split(' ').count()))
        };
        if starts("# [ cfg ( test ) ]") || starts("# [ cfg ( all ( test") || starts("# [ test ]") {
            let end = item_end(tokens, at);
            marked[at..end].fill(true);
        }
    }
    marked
}

/// The end of the item whose first attribute starts at `at`: its `;`, or its closing brace.
fn item_end(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_i32;
    for (next, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        let is_end = token.text == "}" || token.text == ";";
        if depth <= 0 && is_end {
            return next + 1;
        }
    }
    tokens.len()
}

/// Each path that starts with one of our names, and all of each `use`.
fn imports(tokens: &[Token], test_code: &[bool]) -> Vec<Import> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let (mut found, mut modules, mut depth) = (Vec::new(), Vec::<(String, usize)>::new(), 0_usize);
    let mut at = 0;
    while at < tokens.len() {
        match text(at) {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                modules.retain(|(_, opened)| *opened <= depth);
            }
            "mod" if text(at + 2) == "{" => modules.push((text(at + 1).to_owned(), depth + 1)),
            _ => {}
        }
        let in_use = text(at) == "use";
        let is_ours = ["crate", "self", "super", "stack", "tapline", "std"].contains(&text(at))
            && !["::", "."].contains(&text(at.wrapping_sub(1)))
            && text(at + 1) == "::";
        if !in_use && !is_ours {
            at += 1;
            continue;
        }
        let mut paths = Vec::new();
        let end = path_tree(tokens, if in_use { at + 1 } else { at }, &[], &mut paths);
        let reexport = in_use && at > 0 && ["pub", ")"].contains(&text(at - 1));
        let inside: Vec<_> = modules.iter().map(|(name, _)| name.clone()).collect();
        found.extend(paths.into_iter().map(|(path, line)| Import {
            path,
            line,
            inside: inside.clone(),
            in_test: test_code[at],
            in_use,
            reexport,
        }));
        at = end.max(at + 1);
    }
    found
}

/// Reads `a::b::{c, d::*}` from `at`; gives each leaf with its line, and where the tree ends.
fn path_tree(
    tokens: &[Token],
    mut at: usize,
    before: &[String],
    found: &mut Vec<(Vec<String>, usize)>,
) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let is_name = |word: &str| word.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let mut path = before.to_vec();
    if text(at) == "::" {
        at += 1;
    }
    loop {
        match text(at) {
            "{" => {
                at += 1;
                while at < tokens.len() && text(at) != "}" {
                    let next = path_tree(tokens, at, &path, found);
                    at = if text(next) == "," {
                        next + 1
                    } else {
                        next.max(at + 1)
                    };
                }
                return at + 1;
            }
            word if is_name(word) || word == "*" => {
                path.push(word.to_owned());
                let next = text(at + 2);
                let goes_on = text(at + 1) == "::" && (is_name(next) || ["{", "*"].contains(&next));
                if !goes_on {
                    found.push((path, tokens[at].line));
                    // `as name`: the name is the importer's own.
                    return if text(at + 1) == "as" { at + 3 } else { at + 1 };
                }
                at += 2;
            }
            _ => return at,
        }
    }
}

mod made_up {
    use super::{inspect, tokens};

    /// Files that stand in for the house: nothing in them is wrong.
    const SOUND: &[(&str, &str)] = &[
        (
            "stack/src/lib.rs",
            "pub mod wire; pub mod net; pub mod time; pub mod host;",
        ),
        ("stack/src/time.rs", "pub struct Instant;"),
        (
            "stack/src/wire/mod.rs",
            "pub mod addr;\npub mod arp;\npub use addr::{Cidr, MacAddr};",
        ),
        (
            "stack/src/wire/addr.rs",
            "pub struct Cidr; pub struct MacAddr;",
        ),
        ("stack/src/wire/arp.rs", "use super::MacAddr;"),
        (
            "stack/src/net/mod.rs",
            "pub mod route;\nuse crate::wire::{self, MacAddr};",
        ),
        (
            "stack/src/net/route.rs",
            "// crate::host::Host\nconst A: &str = \"crate::host\";",
        ),
        (
            "stack/src/host/mod.rs",
            "use crate::net::route::Table;\npub struct Host;",
        ),
        ("src/lib.rs", "pub use stack;\npub mod device;"),
        (
            "src/device/mod.rs",
            "use stack::time::Instant; fn f() { unsafe {} }",
        ),
        (
            "src/runtime/clock.rs",
            "fn f() { std::time::Instant::now(); }",
        ),
        (
            "src/runtime/mod.rs",
            "use crate::device::Device;\nuse stack::host;",
        ),
    ];

    fn with(name: &str, text: &str) -> Vec<String> {
        let mut files: Vec<(String, String)> = SOUND
            .iter()
            .filter(|(known, _)| *known != name)
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect();
        files.push((name.to_owned(), text.to_owned()));
        inspect(&files)
    }

    #[test]
    fn a_sound_house_has_no_fault() {
        assert_eq!(with("stack/src/rng.rs", ""), Vec::<String>::new());
    }

    #[test]
    #[rustfmt::skip]
    fn each_bad_file_is_named_with_line_and_rule() {
        let table = [
            ("stack/src/net/arp.rs", "\nuse crate::host::Host;",
             "stack/src/net/arp.rs:2: `stack::net` imports `stack::host::Host`"),
            ("stack/src/net/arp.rs", "fn f() -> u8 {\n /* c */\n crate::transport::port::next::<u8>() }",
             "stack/src/net/arp.rs:3: `stack::net` imports `stack::transport::port::next`"),
            ("stack/src/wire/udp.rs", "use {\n core::fmt,\n crate::{time::A, net::route::B},\n};",
             "stack/src/wire/udp.rs:3: `stack::wire` imports `stack::net::route::B`"),
            ("stack/src/wire/udp.rs", "use super::super::host::Host;", "imports `stack::host::Host`"),
            ("stack/src/wire/udp.rs", "mod inner { use super::super::super::host::Host; }",
             "imports `stack::host::Host`"),
            ("stack/src/wire/udp.rs", "mod inner { fn f() {} }\nuse super::super::host::Host;",
             "udp.rs:2: `stack::wire` imports `stack::host::Host`"),
            ("src/device/tap.rs", "use stack::link::ethernet;", "may import only stack::frame"),
            ("src/device/tap.rs", "use crate::stack::net::route;", "imports `stack::net::route`"),
            ("src/runtime/wait.rs", "use crate::lab::World;", "imports `tapline::lab::World`"),
            ("src/lab/mod.rs", "use tapline::runtime::A;", "imports `tapline::runtime::A`"),
            ("src/attic/mod.rs", "use stack::wire::arp;", "`tapline::attic` has no row"),
            ("stack/src/net/arp.rs", "use super::*;", "`use super::*` outside tests"),
            ("stack/src/net/arp.rs", "#[cfg(test)]\nuse super::*;\nuse core::fmt::*;",
             "arp.rs:3: `use core::fmt::*` outside tests"),
            ("src/cli/mod.rs", "use std::time::{Duration, Instant};",
             "src/cli/mod.rs:1: `std::time::Instant` outside src/runtime/clock.rs"),
            ("src/cli/mod.rs", "fn f() { time::SystemTime::now() }", "a clock outside"),
            ("src/lab/mod.rs", "fn f() { std::thread::spawn(f); }",
             "src/lab/mod.rs:1: `std::thread::spawn` outside src/runtime/"),
            ("src/lab/mod.rs", "use std::{fmt, thread};", "`std::thread` outside src/runtime/"),
            ("tools/src/bin/x.rs", "unsafe fn f() {}", "tools/src/bin/x.rs:1: `unsafe` outside"),
            ("stack/src/net.rs", "", "stack/src/net.rs:1: belongs into stack/src/net/mod.rs"),
            ("stack/src/link/arq/x.rs", "", "stack/src/link/arq/x.rs:1: its folder has no mod.rs"),
            ("stack/src/wire/addr.rs", "use super::arp::Header;\npub struct MacAddr;",
             "circle stack::wire::addr -> stack::wire::arp -> stack::wire::addr"),
        ];
        for (name, text, want) in table {
            let faults = with(name, text);
            let found = faults.iter().any(|fault| fault.contains(want));
            assert!(found, "{name}: {want:?} not in {faults:#?}");
        }
    }

    #[test]
    fn tests_may_use_globs_clocks_and_seeds() {
        let text = "#[cfg(test)]\nmod tests {\n use super::*;\n use crate::rng::Rng;\n \
                    fn f() { Instant::now(); }\n}";
        assert_eq!(with("stack/src/wire/udp.rs", text), Vec::<String>::new());
    }

    #[test]
    fn literals_and_lifetimes_do_not_swallow_code() {
        let text =
            "f::<'a>('\"', b\"x\\\"\", r#\"a \" b\"#, '\\'', 'c', \"//\") /* /**/ */ end // x";
        let words: Vec<_> = tokens(text).into_iter().map(|token| token.text).collect();
        assert_eq!(
            words.join(" "),
            "f :: < ' a > ( \" , \" , \" , \" , \" , \" ) end"
        );
    }
}
