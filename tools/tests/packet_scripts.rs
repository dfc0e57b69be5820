//! Every script of `tests/scripts` passes, and no text makes the runner panic.

use std::path::{Path, PathBuf};
use tools::pkt::tree::Defines;
use tools::pkt::{Options, Outcome, Report, mode_asked, run, run_reading};
use tools::posix::{Mode, Profile};

#[expect(
    clippy::unwrap_used,
    reason = "a test stops where its scripts cannot be read"
)]
fn scripts() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scripts");
    let mut folders = vec![root];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "pkt") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

fn options(mode: Mode) -> Options {
    Options {
        profile: Profile::Linux,
        mode,
        defines: Defines::new(),
    }
}

#[test]
fn ours_pass() {
    let scripts = scripts();
    assert!(
        scripts.len() >= 150,
        "the scripts are not where they should be"
    );
    let mut wrong = Vec::new();
    for mode in [Mode::V4, Mode::Mapped, Mode::V6] {
        for (path, text) in &scripts {
            if mode_asked(text).is_some_and(|asked| asked != mode) {
                continue;
            }
            let Report { outcome, exchange } = run(path, text, &options(mode));
            if outcome != Outcome::Pass {
                let exchange = exchange.join("\n    ");
                wrong.push(format!(
                    "{} {mode:?}: {outcome:#?}\n    {exchange}",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_script_gives_one_exchange() {
    for (path, text) in scripts() {
        let one = || run(&path, &text, &options(Mode::V4));
        assert_eq!(one(), one(), "{}", path.display());
    }
}

/// A script that says something else than what happens does not pass.
#[test]
fn a_wrong_script_fails() {
    let (path, text) = &scripts()
        .into_iter()
        .find(|(p, _)| p.ends_with("3.5-passive-open.pkt"))
        .unwrap();
    for (right, wrong, why) in [
        (
            "ack 1 <mss 1460>",
            "ack 2 <mss 1460>",
            "ack: expected 2, got 1",
        ),
        (
            "<mss 1460>",
            "<mss 1400>",
            "options: expected <mss 1400>, got <mss 1460>",
        ),
        ("> S.", "> SE.", "flags: expected SE., got S."),
        (
            "+0 > S.",
            "+1 > S.",
            "time: expected 1.000000, got 0.000000 (1.000000 s early)",
        ),
        (
            "accept(3, ..., ...) = 4",
            "accept(3, ..., ...) = -1 EAGAIN (x)",
            "expected -1 EAGAIN, got",
        ),
        (
            "TCP_ESTABLISHED, ",
            "TCP_LISTEN, ",
            "assert tcpi_state == TCP_LISTEN (1)",
        ),
        (
            "win 65535 <mss 1000>",
            "win 65535 <mss 1000,sackOK>",
            "options: expected <mss 1460>",
        ),
    ] {
        assert!(text.contains(right), "{right}");
        let report = run(path, &text.replacen(right, wrong, 1), &options(Mode::V4));
        let Outcome::Fail {
            why: found,
            details,
            ..
        } = report.outcome
        else {
            panic!("{wrong}: {report:?}");
        };
        assert!(found.contains(why), "{wrong}: {found}");
        assert!(details.iter().any(|line| line == "before it:"));
    }
}

#[test]
fn what_cannot_be_run_is_named() {
    for (text, line, why) in [
        (
            "0 frobnicate(3) = 0",
            1,
            "the system call frobnicate is not known",
        ),
        (
            "`true`\n0 `\niptables -F`",
            3,
            "`iptables` is not a setting",
        ),
        (
            "`sysctl -q net.ipv4.no_such_thing=1`\n0 close(3) = 0",
            1,
            "no_such_thing",
        ),
        (
            "\n0 > gre: ipv4 1.2.3.4 > 1.2.3.5: . 1:1(0)",
            2,
            "the outermost header is to be IPv4 or IPv6",
        ),
        ("0 < encap psp spi 12 . 1:1(0) ack 1", 1, "PSP"),
        ("0 %{ for x in y: pass }%", 1, "in code"),
        ("--frog=1\n0 close(3) = 0", 1, "this option is not known"),
        ("0 > Q 0:0(0)", 1, "1:5: expected TCP flags"),
    ] {
        let report = run("x.pkt".as_ref(), text, &options(Mode::V4));
        let Outcome::Cannot { at, why: found } = report.outcome else {
            panic!("{text}: {report:?}");
        };
        assert_eq!(at.line, line, "{text}: {found}");
        assert!(found.contains(why), "{text}: {found}");
    }
}

/// Scripts with bytes cut, doubled, swapped and changed end somehow, without a panic.
#[test]
fn damaged_scripts_end() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).unwrap()).unwrap()
    };
    const SIGNS: &[u8] = b"0123456789.,:;<>()[]{}+-*~%\"`=|& \nSFRPEWA#/_x";
    for (path, text) in scripts() {
        for _ in 0..60 {
            let mut bytes = text.clone().into_bytes();
            for _ in 0..=draw(3) {
                let at = draw(bytes.len());
                match draw(4) {
                    0 => bytes.truncate(at),
                    1 => bytes.insert(at.min(bytes.len()), SIGNS[draw(SIGNS.len())]),
                    2 if at < bytes.len() => bytes[at] = SIGNS[draw(SIGNS.len())],
                    _ => {
                        let end = (at + draw(40)).min(bytes.len());
                        let part = bytes[at.min(end)..end].to_vec();
                        bytes.splice(at.min(end)..at.min(end), part);
                    }
                }
            }
            let text = String::from_utf8_lossy(&bytes);
            let _ = run_reading(&path, &text, &options(Mode::V4), &|_| None);
        }
    }
}
