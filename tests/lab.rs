//! `tapline lab` as whoever types it sees it: tables, JSON, exit codes, and that a seed is a run.
#![expect(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Two hosts, a router that loses one packet in ten, ten pings, and a fault.
const LOSSY: &str = r#"
caption = "A lossy router"
about = "Look at p.received."
until = "5s"
asserts = ["conserved", "p.received >= 1"]
faults = """
between 1s and 2s drop 50% of icmp on r-b
at 3s delay 5ms on a-r for 1s
"""

[[node]]
name = "a"
[[node]]
name = "r"
kind = "router"
[[node]]
name = "b"
services = ["echo"]

[[wire]]
between = ["a", "r"]
delay = "1ms"
[[wire]]
between = ["r", "b"]
delay = "2ms"
loss = "10%"

[[client]]
name = "p"
node = "a"
kind = "ping"
to = "b"
count = 10
interval = "300ms"
"#;

#[test]
fn scenarios_are_listed_and_shown_and_run() {
    let listed = tapline(&["lab", "list", "--json"]);
    let names: Vec<String> = json_lines(&listed)
        .map(|s| {
            assert!(!s["caption"].as_str().unwrap().is_empty(), "{s}");
            s["name"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(!names.is_empty());
    let text = tapline(&["lab", "list"]).out;
    assert!(names.iter().all(|n| text.contains(n)), "{text}");
    // What is shown is the file that is run.
    let name = names[0].as_str();
    let folder = Folder::new();
    let copy = folder.write("copy.toml", &tapline(&["lab", "show", name]).out);
    let digest = |subject: &str| {
        let ran = tapline(&["lab", "run", subject, "--json"]).exits(0);
        json_lines(&ran).next().unwrap()["digest"].clone()
    };
    assert_eq!(digest(name), digest(&copy));
}

#[test]
fn a_failing_run_exits_with_1_and_prints_how_to_see_it_again() {
    let folder = Folder::new();
    let good = folder.write("good.toml", LOSSY);
    let ran = tapline(&["lab", "run", &good]).exits(0);
    for words in [
        "A lossy router",
        "Look at p.received.",
        "a-r from a",
        "holds  p.received",
    ] {
        assert!(ran.out.contains(words), "{words}: {ran:?}");
    }
    let bad = folder.write(
        "bad.toml",
        &LOSSY.replace("p.received >= 1", "p.received >= 11"),
    );
    let ran = tapline(&["lab", "run", &bad, "--seed", "3", "--until", "4s"]).exits(1);
    assert!(
        ran.out.contains("FAILS  p.received >= 11: it is "),
        "{ran:?}"
    );
    let replay = ran
        .err
        .lines()
        .find_map(|l| l.trim().strip_prefix("again: "));
    let words: Vec<&str> = replay.unwrap().split(' ').skip(1).collect();
    let again = tapline(&words).exits(1);
    let line = |r: &Ran| {
        r.out
            .lines()
            .find(|l| l.starts_with("run  "))
            .map(str::to_owned)
    };
    let pure = |line: Option<String>| line.unwrap().split("  wall").next().unwrap().to_owned();
    assert_eq!(pure(line(&ran)), pure(line(&again)));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let folder = Folder::new();
    let wrong = folder.write(
        "wrong.toml",
        &LOSSY.replace("delay = \"2ms\"", "dealy = \"2ms\""),
    );
    let ran = tapline(&["lab", "run", &wrong]).exits(2);
    let line = 1 + LOSSY.lines().position(|l| l == "delay = \"2ms\"").unwrap();
    let want = format!("wrong.toml:{line}: there is no key `dealy`; did you mean `delay`?");
    assert!(ran.err.contains(&want), "{want}: {ran:?}");
    let fault = folder.write(
        "fault.toml",
        &LOSSY.replace("on a-r for 1s", "on a-b for 1s"),
    );
    let ran = tapline(&["lab", "run", &fault]).exits(2);
    let line = 1 + LOSSY.lines().position(|l| l.starts_with("at 3s")).unwrap();
    assert!(ran.err.contains(&format!("fault.toml:{line}:")), "{ran:?}");
    let ran = tapline(&["lab", "run", "arpp"]).exits(2);
    assert!(
        ran.err.contains("no scenario `arpp`") && ran.err.contains("lab list"),
        "{ran:?}"
    );
    let odd = folder.path("odd.toml");
    fs::write(&odd, b"caption = 'x'\nabout = '\xff'\n").unwrap();
    let ran = tapline(&["lab", "run", &odd]).exits(2);
    assert!(ran.err.contains("odd.toml: line 2: "), "{ran:?}");
    let ran = tapline(&["lab", "run", "nowhere.toml"]).exits(2);
    assert!(ran.err.contains("nowhere.toml: No such file"), "{ran:?}");
    for words in [
        &["--seeds", "5..5"][..],
        &["--seeds", "0..5", "--seed", "1"],
        &["--jobs", "2"],
        &["--seeds", "0..5", "--trace", "x"],
        &["--", "true"],
        &["--until", "soon"],
    ] {
        tapline(&[&["lab", "run", &wrong][..], words].concat()).exits(2);
    }
}

#[test]
fn many_seeds_come_to_the_same_on_any_number_of_threads() {
    let folder = Folder::new();
    let file = folder.write("lossy.toml", LOSSY);
    let with = |jobs: &str| {
        let args = [
            "lab", "run", &file, "--seeds", "0..40", "--json", "--jobs", jobs,
        ];
        tapline(&args).exits(0)
    };
    let one = with("1");
    assert_eq!(one.out, with("2").out);
    assert_eq!(one.out, with("7").out);
    let runs: Vec<Value> = json_lines(&one).collect();
    assert_eq!(runs.len(), 40);
    for (seed, run) in (0u64..).zip(&runs) {
        assert_eq!(run["seed"], seed);
        assert_eq!(run["holds"], true);
        assert_eq!(run["asserts"].as_array().unwrap().len(), 2);
        assert!(run["metrics"]["clients"]["p"]["received"].is_u64(), "{run}");
    }
    let mut digests: Vec<_> = runs.iter().map(|r| r["digest"].as_str().unwrap()).collect();
    digests.sort_unstable();
    digests.dedup();
    assert!(digests.len() > 30, "seeds differ");
    // Alone each is what it is among others.
    let alone = tapline(&["lab", "run", &file, "--seed", "17", "--json"]);
    assert_eq!(json_lines(&alone).next().unwrap(), runs[17]);
}

#[test]
fn failing_seeds_are_named_with_their_assertions() {
    let folder = Folder::new();
    let text = LOSSY.replace("p.received >= 1", "p.received >= 8");
    let file = folder.write("picky.toml", &text);
    let with = |jobs: &str| tapline(&["lab", "run", &file, "--seeds", "0..60", "--jobs", jobs]);
    let ran = with("2").exits(1);
    let failing = |r: &Ran| -> Vec<String> {
        let last = r.out.lines().last().unwrap();
        assert!(last.contains("of 60 seeds FAIL"), "{last}");
        let above = r.out.lines().filter(|l| *l != last);
        above.map(str::to_owned).collect()
    };
    assert_eq!(failing(&ran), failing(&with("1")));
    let again = ran
        .out
        .lines()
        .find_map(|l| l.trim().strip_prefix("again: "));
    let words: Vec<&str> = again.unwrap().split(' ').skip(1).collect();
    tapline(&words).exits(1);
    assert!(ran.out.contains("p.received >= 8: it is "), "{ran:?}");
}

#[test]
fn an_interrupt_tells_what_was_done() {
    let folder = Folder::new();
    let text = LOSSY.replace(", \"p.received >= 1\"", "");
    let file = folder.write("sure.toml", &text);
    // In the foreground: it would signal its whole group besides, and a second ^C ends at once.
    let mut command = Command::new("timeout");
    command.args([
        "--foreground",
        "--preserve-status",
        "-s",
        "INT",
        "2",
        env!("CARGO_BIN_EXE_tapline"),
    ]);
    let args = ["lab", "run", &file, "--seeds", "0..1000000000"];
    let ran = Ran::of(command.args(args).output().unwrap()).exits(130);
    assert!(
        ran.out.contains("seeds hold (stopped before the other"),
        "{ran:?}"
    );
}

#[test]
fn runs_are_compared_event_by_event() {
    let folder = Folder::new();
    let file = folder.write("lossy.toml", LOSSY);
    let at = |seed: u64| format!("{file}@{seed}");
    let ran = tapline(&["lab", "diff", &at(1), &at(1)]).exits(0);
    assert!(ran.out.starts_with("equal: "), "{ran:?}");
    let ran = tapline(&["lab", "diff", &at(1), &at(2)]).exits(1);
    assert!(
        ran.out.contains("\nA   ") && ran.out.contains("\nB   "),
        "{ran:?}"
    );
    // A change at three seconds shows at three seconds.
    let text = LOSSY.replace("at 3s delay 5ms", "at 3s delay 6ms");
    let changed = folder.write("changed.toml", &text);
    let ran = tapline(&["lab", "diff", &at(1), &format!("{changed}@1")]).exits(1);
    let a = ran.out.lines().find(|l| l.starts_with("A ")).unwrap();
    assert!(a.contains(" 3.00"), "{a}");
    // A trace on disk is the same as the run that it is of.
    let trace = folder.path("trace.jsonl");
    tapline(&["lab", "run", &file, "--seed", "1", "--trace", &trace]).exits(0);
    tapline(&["lab", "diff", &trace, &at(1)]).exits(0);
    tapline(&["lab", "diff", &trace, &trace]).exits(0);
    tapline(&["lab", "diff", &at(2), &trace]).exits(1);
}

#[test]
fn a_hub_that_will_cost_much_is_announced() {
    let folder = Folder::new();
    let hub = |hosts: u32| {
        let mut text = String::from("until = '1ns'\n[[node]]\nname = 'h'\nkind = 'hub'\n");
        for i in 0..hosts {
            let node = format!("[[node]]\nname = 'a{i}'\n[[wire]]\nbetween = ['h', 'a{i}']\n");
            text.push_str(&node);
        }
        text.replace("between = ['h'", "delay = '1s'\nbetween = ['h'")
    };
    let ran = tapline(&["lab", "run", &folder.write("few.toml", &hub(50))]).exits(0);
    assert_eq!(ran.err, "");
    let ran = tapline(&["lab", "run", &folder.write("many.toml", &hub(1000))]).exits(0);
    assert!(ran.err.contains("999000 frames at once"), "{}", ran.err);
    assert!(ran.err.contains("about 289 MB"), "{}", ran.err);
}

#[test]
fn two_networks_are_compared_in_words() {
    let ran = tapline(&["lab", "diff", "arp", "hub"]).exits(1);
    assert!(
        ran.out.starts_with("these are two networks: only "),
        "{ran:?}"
    );
    assert!(ran.out.contains("\ndiffer in "), "{ran:?}");
    assert!(!ran.out.contains('{'), "no JSON: {ran:?}");
    let words = |side: &str| {
        let line = ran.out.lines().find(|l| l.starts_with(side)).unwrap();
        assert!(line.contains(" #"), "{line}");
    };
    words("A ");
    words("B ");
}

#[test]
fn files_are_written_and_do_not_change_the_run() {
    let folder = Folder::new();
    let file = folder.write("lossy.toml", LOSSY);
    let plain = tapline(&["lab", "run", &file, "--json"]).exits(0);
    let [trace, pcap, ladder, shiviz, svg, one] = [
        "t.jsonl",
        "wires",
        "ladder.txt",
        "shiviz.log",
        "p.svg",
        "one.pcapng",
    ]
    .map(|name| folder.path(name));
    let watched = tapline(&[
        "lab", "run", &file, "--json", "--trace", &trace, "--pcap", &pcap, "--ladder", &ladder,
        "--shiviz", &shiviz, "--svg", &svg,
    ])
    .exits(0);
    assert_eq!(plain.out, watched.out);
    let wires = Path::new(&pcap);
    let [all, first, second] = ["all", "a-r", "r-b"].map(|n| wires.join(format!("{n}.pcapng")));
    for path in [&trace, &ladder, &shiviz, &svg]
        .map(PathBuf::from)
        .iter()
        .chain([&all, &first, &second])
    {
        assert!(
            fs::metadata(path).unwrap().len() > 100,
            "{}",
            path.display()
        );
    }
    for line in fs::read_to_string(&trace).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(
            event["seq"].is_u64() && event["kind"].is_string(),
            "{event}"
        );
    }
    tapline(&["lab", "run", &file, "--pcap", &one]).exits(0);
    assert_eq!(fs::read(&one).unwrap(), fs::read(&all).unwrap());
    let dissected = tapline(&["dissect", &one]).exits(0);
    assert!(dissected.out.contains("echo request"), "{}", dissected.out);
    // On standard output nothing follows what a program reads.
    let ran = tapline(&["lab", "run", &file, "--trace", "-"]).exits(0);
    assert_eq!(ran.out, fs::read_to_string(&trace).unwrap());
    let ran = tapline(&["lab", "run", &file, "--ladder", "-"]).exits(0);
    assert_eq!(ran.out, fs::read_to_string(&ladder).unwrap());
    assert!(ran.err.contains("A lossy router"), "the table: {ran:?}");
    let both = ["lab", "run", &file, "--trace", "-", "--json"];
    let ran = tapline(&both).exits(0);
    assert_eq!(ran.out, fs::read_to_string(&trace).unwrap());
    assert_eq!(ran.err, plain.out, "the object of the run");
}

#[test]
fn what_fails_is_made_small_and_fails_still() {
    let folder = Folder::new();
    let good = folder.write("good.toml", LOSSY);
    let ran = tapline(&["lab", "shrink", &good]).exits(1);
    assert!(ran.err.contains("nothing to shrink"), "{ran:?}");
    let bad = folder.write(
        "bad.toml",
        &LOSSY.replace("p.received >= 1", "p.received >= 11"),
    );
    let small = folder.path("small.toml");
    let ran = tapline(&["lab", "shrink", &bad, "--seed", "1", "--out", &small]).exits(0);
    let replay = ran.out.lines().find_map(|l| l.strip_prefix("again: "));
    let words: Vec<&str> = replay.unwrap().split(' ').skip(1).collect();
    tapline(&words).exits(1);
    // What is there already is not lost by accident, and what is shrunk not at all.
    let before = fs::read_to_string(&small).unwrap();
    let ran = tapline(&["lab", "shrink", &bad, "--out", &small]).exits(2);
    assert!(
        ran.err.contains("is there already") && ran.err.contains("--force"),
        "{ran:?}"
    );
    assert_eq!(fs::read_to_string(&small).unwrap(), before);
    let ran = tapline(&["lab", "shrink", &bad, "--out", &bad, "--force"]).exits(2);
    assert!(ran.err.contains("is what is to be shrunk"), "{ran:?}");
    assert!(fs::read_to_string(&bad).unwrap().contains("received >= 11"));
    let ran = tapline(&["lab", "shrink", &bad, "--out", &small, "--json", "--force"]).exits(0);
    let told = json_lines(&ran).next().unwrap();
    assert_eq!(told["topology"], fs::read_to_string(&small).unwrap());
}

#[test]
fn a_device_without_an_end_is_no_topology() {
    let ran = tapline(&["lab", "run", "/dev/zero"]).exits(2);
    assert!(ran.err.contains("more than 16 MiB"), "{ran:?}");
}

/// A run that takes long, and smaller ones that take long enough; it fails.
const LONG: &str = r#"
until = "100000s"
asserts = ["p.sent <= 20"]
[[node]]
name = "a"
[[node]]
name = "b"
[[wire]]
between = ["a", "b"]
[[client]]
name = "p"
node = "a"
kind = "ping"
to = "b"
interval = "INTERVAL"
"#;

/// Starts it, sends SIGINT once `ready` is on its standard error or after a second, and waits.
fn interrupted(args: &[&str], ready: Option<&str>) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapline"));
    let command = command.args(args).stdin(Stdio::null());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut err = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    match ready {
        Some(ready) => while !err.contains(ready) && lines.read_line(&mut err).unwrap() > 0 {},
        None => drop(Command::new("sleep").arg("1").status().unwrap()),
    }
    let id = child.id().to_string();
    Command::new("kill").args(["-INT", &id]).status().unwrap();
    lines.read_to_string(&mut err).unwrap();
    let mut ran = Ran::of(child.wait_with_output().unwrap());
    ran.err = err;
    ran
}

/// Who has read enough of a trace has not found that anything fails.
#[test]
fn a_closed_pipe_is_no_failed_assertion() {
    for args in [
        ["lab", "run", "slow-start", "--ladder", "-"],
        ["lab", "run", "slow-start", "--trace", "-"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tapline"));
        let command = command.args(args).stdin(Stdio::null());
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let mut first = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut first).unwrap();
        drop(out);
        assert!(!first.is_empty());
        Ran::of(child.wait_with_output().unwrap()).exits(0);
    }
}

#[test]
fn stopped_is_not_failed() {
    let folder = Folder::new();
    let long = LONG.replace("asserts = [\"p.sent <= 20\"]", "");
    let endless = folder.write("endless.toml", &long.replace("INTERVAL", "1ms"));
    let ran = interrupted(&["lab", "run", &endless], None).exits(130);
    assert!(ran.err.contains("stopped at "), "{ran:?}");
    assert!(ran.out.contains("p "), "what there is of it: {ran:?}");
    let ran = interrupted(&["lab", "run", &endless, "--seeds", "0..50"], None).exits(130);
    assert!(ran.out.contains("stopped before"), "{ran:?}");
}

#[test]
fn a_stopped_shrinking_keeps_what_it_has() {
    let folder = Folder::new();
    let slow = LONG.replace("INTERVAL", "100ms").replace("100000s", "600s");
    let bad = folder.write("bad.toml", &slow);
    let small = folder.path("small.toml");
    let args = ["lab", "shrink", &bad, "--out", &small];
    let ran = interrupted(&args, Some(" packets, ")).exits(130);
    assert!(ran.err.contains(" runs, "), "progress: {ran:?}");
    assert!(ran.out.contains("\nagain: "), "{ran:?}");
    tapline(&["lab", "run", &small]).exits(1);
}

#[test]
fn help_shows_the_group_and_each_of_its_verbs() {
    assert!(tapline(&["help"]).exits(0).out.contains("\nlab "));
    for verb in ["run", "list", "show", "diff", "shrink"] {
        let page = tapline(&["help", "lab", verb]).exits(0).out;
        assert!(page.contains("Examples:\n  tapline lab "), "{page}");
    }
    assert!(tapline(&["help", "lab"]).exits(0).out.contains("[[wire]]"));
    tapline(&["help", "lab", "levitate"]).exits(2);
}

/// Whatever a page gives as an example can be typed as it stands, in the order of the page.
#[test]
fn each_example_of_the_help_runs() {
    for verb in ["", "run", "list", "show", "diff", "shrink"] {
        let folder = Folder::new();
        // Of a thousand seeds one loses all ten.
        let sure = LOSSY.replace(", \"p.received >= 1\"", "");
        let mine = folder.write("mine.toml", &sure);
        for day in ["monday", "tuesday"] {
            let trace = folder.path(&format!("{day}.jsonl"));
            tapline(&["lab", "run", &mine, "--trace", &trace]).exits(0);
        }
        folder.write(
            "changed.toml",
            &sure.replace("at 3s delay 5ms", "at 3s delay 6ms"),
        );
        let page = tapline(&["help", "lab", verb][..2 + usize::from(!verb.is_empty())]);
        let examples = page.out.lines().filter(|l| l.starts_with("  tapline lab "));
        let examples: Vec<&str> = examples.collect();
        assert!(!examples.is_empty(), "{verb}: {page:?}");
        for line in examples {
            let typed = line.split(" #").next().unwrap();
            let script = typed.replace("tapline", "\"$TAPLINE\"");
            let mut shell = Command::new("sh");
            shell.args(["-c", &script]).current_dir(&folder.0);
            shell.env("TAPLINE", env!("CARGO_BIN_EXE_tapline"));
            let ran = Ran::of(shell.stdin(Stdio::null()).output().unwrap());
            // Runs that differ and nothing to shrink are answers; a TAP needs root.
            let fine = match ran.code {
                Some(0) => true,
                Some(1) => typed.contains("diff") || typed.contains("shrink"),
                Some(3) => typed.contains("--attach"),
                _ => false,
            };
            assert!(fine, "{typed}: {ran:?}");
        }
    }
}

/// What a command said, and how it ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

fn tapline(args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapline"));
    Ran::of(command.args(args).stdin(Stdio::null()).output().unwrap())
}

fn json_lines(ran: &Ran) -> impl Iterator<Item = Value> + '_ {
    ran.out.lines().map(|l| serde_json::from_str(l).unwrap())
}

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tapline-lab-{}-{next}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn no_file_is_written_twice_or_over_what_is_run() {
    let folder = Folder::new();
    let file = folder.write("lossy.toml", LOSSY);
    let (x, dotted) = (folder.path("x"), folder.path("./x"));
    for (words, why) in [
        (["--trace", &file, "--ladder", &x], "that is what is run"),
        (["--svg", &x, "--trace", &dotted], "that is --trace"),
        (["--trace", "-", "--ladder", "-"], "that is --trace"),
        (
            [
                "--svg",
                &folder.path("d/all.pcapng"),
                "--pcap",
                &folder.path("d"),
            ],
            "that is --svg",
        ),
    ] {
        let ran = tapline(&[&["lab", "run", &file], &words[..]].concat()).exits(2);
        assert!(ran.err.contains(why), "{words:?}: {ran:?}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), LOSSY);
    assert!(!Path::new(&x).exists());
    tapline(&[
        "lab",
        "run",
        &file,
        "--trace",
        "/dev/null",
        "--svg",
        "/dev/null",
    ])
    .exits(0);
}

#[test]
fn traces_of_runs_that_differ_in_bytes_differ() {
    let folder = Folder::new();
    let trace = |seed: &str| {
        let file = folder.path(&format!("{seed}.jsonl"));
        tapline(&["lab", "run", "arp", "--seed", seed, "--trace", &file]).exits(0);
        file
    };
    let (one, two) = (trace("1"), trace("2"));
    let ran = tapline(&["lab", "diff", &one, &two]).exits(1);
    assert!(ran.out.contains("differ in hash"), "{ran:?}");
    let empty = folder.write("empty.jsonl", "");
    let ran = tapline(&["lab", "diff", &empty, &empty]).exits(2);
    assert!(ran.err.contains("an empty file is no trace"), "{ran:?}");
    let ran = tapline(&["lab", "diff", &folder.path("."), &one]).exits(2);
    assert!(ran.err.contains("is a directory"), "{ran:?}");
}

#[test]
fn a_capture_for_each_wire_is_refused_before_it_fails() {
    let folder = Folder::new();
    let mut text = String::from("until = '1s'\n");
    for i in 0..100 {
        text.push_str(&format!(
            "[[node]]\nname = 'a{i}'\n[[node]]\nname = 'b{i}'\n"
        ));
        text.push_str(&format!("[[wire]]\nbetween = ['a{i}', 'b{i}']\n"));
    }
    let file = folder.write("wide.toml", &text);
    let limited = |limit: &str, to: &str| {
        let line = format!("ulimit {limit}; exec \"$0\" lab run {file} --pcap {to}");
        let mut command = Command::new("sh");
        command.args(["-c", &line, env!("CARGO_BIN_EXE_tapline")]);
        command.output().unwrap()
    };
    let to = folder.path("wires");
    let ran = limited("-n 64", &to);
    let err = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(3), "{err}");
    assert!(err.contains("only 64 files may be open"), "{err}");
    assert!(err.contains("--pcap all.pcapng"), "{err}");
    assert!(!Path::new(&to).exists());
    // Where it may have more, it takes them.
    let ran = limited("-Sn 64", &to);
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    assert_eq!(fs::read_dir(&to).unwrap().count(), 101);
}

#[test]
fn a_topology_comes_by_standard_input_as_well() {
    let folder = Folder::new();
    let file = folder.write("lossy.toml", LOSSY);
    let line = format!("\"$0\" lab run - --json < {file}");
    let mut command = Command::new("sh");
    let ran = command.args(["-c", &line, env!("CARGO_BIN_EXE_tapline")]);
    let ran = ran.output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    let read: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let named = tapline(&["lab", "run", &file, "--json"]).exits(0);
    let named: Value = serde_json::from_str(&named.out).unwrap();
    assert_eq!(read["digest"], named["digest"]);
    tapline(&["lab", "run", &file, "--seeds", "0..2", "--jobs", "0"]).exits(2);
}
