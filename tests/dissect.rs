//! `tapline dissect` over the captures of this repository: as a user runs it.
#![expect(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn dissect(args: &[&str], files: &[PathBuf]) -> Output {
    run("dissect", args, files)
}

fn run(verb: &str, args: &[&str], files: &[PathBuf]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tapline"))
        .arg(verb)
        .args(args)
        .args(files)
        .output()
        .unwrap()
}

fn pcaps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pcaps")
}

fn captures() -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(pcaps())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "pcap" || e == "pcapng"))
        .collect();
    files.sort();
    files
}

fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{output:?}");
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn text_json_and_count_agree_on_every_capture() {
    for file in captures() {
        let files = [file.clone()];
        let text = lines(&dissect(&[], &files));
        let json: Vec<Value> = lines(&dissect(&["--json"], &files))
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let count = lines(&dissect(&["--count", "--json"], &files)).join("");
        let count: Value = serde_json::from_str(&count).unwrap();
        assert_eq!(text.len(), json.len(), "{}", file.display());
        assert_eq!(count["packets"], json.len());
        let layers = |name: &str| -> usize {
            let all = json.iter().flat_map(|f| f["layers"].as_array().unwrap());
            all.filter(|layer| layer["layer"] == name).count()
        };
        for name in ["ipv4", "ipv6", "udp", "tcp", "icmp", "arp"] {
            let counted = count["layers"][name].as_u64().unwrap_or(0);
            assert_eq!(counted, layers(name) as u64, "{name} of {}", file.display());
        }
    }
}

#[test]
fn says_what_is_wrong_and_what_is_not() {
    let output = dissect(&["--json"], &[pcaps().join("udp.pcap")]);
    let frames: Vec<Value> = lines(&output)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let udp = |n: usize| {
        let layers = frames[n - 1]["layers"].as_array().unwrap();
        layers.iter().find(|l| l["layer"] == "udp").unwrap()
    };
    assert_eq!(udp(1)["checksum"], "absent");
    assert_eq!(udp(2)["checksum"], "bad");
    assert_eq!(udp(3)["error"], "UDP length is invalid");
    assert_eq!(udp(8)["checksum"], "illegal");
    assert_eq!(udp(11)["checksum"], "good");
    // Cut by the snap length: not the sender's fault.
    assert_eq!(udp(20)["cut"], "UDP header is cut short");
    let text = lines(&dissect(&[], &[pcaps().join("udp.pcap")]));
    assert!(text[1].ends_with("[bad udp checksum]"), "{}", text[1]);
    assert!(
        text[10].contains("10.0.0.1 > 10.0.0.2  UDP  0 > 0, 32 bytes"),
        "{}",
        text[10]
    );
    let unknown = lines(&dissect(&[], &[pcaps().join("unknown.pcap")]));
    assert!(unknown[0].contains("unknown link type"), "{}", unknown[0]);
}

#[test]
fn exit_codes_and_ends_of_files() {
    let path = std::env::temp_dir().join(format!("tapline-dissect-{}.pcapng", std::process::id()));
    let cut = std::slice::from_ref(&path);
    for verb in ["dissect", "replay"] {
        let missing = run(verb, &[], &[pcaps().join("no-such-file.pcap")]);
        assert_eq!(missing.status.code(), Some(2), "{verb}");
        let none = run(verb, &[], &[pcaps().join("README.md")]);
        assert_eq!(none.status.code(), Some(2), "{verb}");
        assert!(String::from_utf8_lossy(&none.stderr).contains("no capture"));
        // Among others, it does not keep those from being read.
        let files = ["README.md", "udp.pcap"].map(|name| pcaps().join(name));
        let some = run(verb, &[], &files);
        assert_eq!(some.status.code(), Some(2), "{verb}");
        assert!(!some.stdout.is_empty(), "{verb}: {some:?}");
        // A capture cut anywhere is read as far as it goes.
        for (name, header) in [("blocks.pcapng", 108), ("udp.pcap", 24)] {
            let whole = std::fs::read(pcaps().join(name)).unwrap();
            for len in [0, 3, 20, header - 1, header + 10, 200, whole.len() - 1] {
                std::fs::write(&path, &whole[..len]).unwrap();
                let output = run(verb, &[], cut);
                assert!(output.status.success(), "{verb} {name} {len}: {output:?}");
                let said = [&output.stdout[..], &output.stderr].concat();
                let said = String::from_utf8(said).unwrap();
                let within = said.contains("0 packets: file ends within its header");
                assert_eq!(within, len < header, "{verb} {name} {len}: {said}");
            }
        }
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    for verb in ["dissect", "replay"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tapline"))
            .args([verb, "--json"])
            .args(captures())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{verb}: {output:?}");
    }
}

#[test]
fn each_v_says_more() {
    for verb in ["dissect", "replay"] {
        let said = |v: &[&str]| {
            let output = Command::new(env!("CARGO_BIN_EXE_tapline"))
                .arg(verb)
                .args(v)
                .arg(pcaps().join("udp.pcap"))
                .env_remove("RUST_LOG")
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stderr).unwrap().lines().count()
        };
        let lines = [&[][..], &["-v"], &["-vv"], &["-vvv"]].map(said);
        assert_eq!(lines[0], 0, "{verb}");
        assert!(lines.is_sorted_by(|a, b| a < b), "{verb}: {lines:?}");
    }
}
