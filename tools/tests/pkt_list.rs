//! `pkt` tells of every script that it is given, whatever lies in the folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PASSES: &str = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n";

/// A folder of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    #[expect(clippy::unwrap_used, reason = "a test stops where it has no folder")]
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pkt-list-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[expect(clippy::unwrap_used, reason = "a test stops where it cannot run")]
fn pkt(folder: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pkt"))
        .arg(folder)
        .args(more)
        .output()
        .unwrap()
}

#[test]
fn links_and_pipes_stop_nothing() {
    let Folder(path) = &Folder::new("odd");
    std::fs::write(path.join("good.pkt"), PASSES).unwrap();
    std::fs::create_dir(path.join("in")).unwrap();
    std::fs::write(path.join("in/good.pkt"), PASSES).unwrap();
    std::os::unix::fs::symlink("nowhere", path.join("gone.pkt")).unwrap();
    std::os::unix::fs::symlink("..", path.join("in/loop")).unwrap();
    std::os::unix::fs::symlink("/proc", path.join("in/proc")).unwrap();
    let pipe = path.join("pipe.pkt");
    let made = Command::new("mkfifo").arg(&pipe).status();
    let pipes = usize::from(made.is_ok_and(|status| status.success()));
    let output = pkt(path, &[]);
    let list = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{list}");
    assert_eq!(list.matches("ok  ").count(), 2, "{list}");
    assert_eq!(list.matches("cannot run").count(), 1 + pipes, "{list}");
    let sum = format!("2 of {} pass\n", 3 + pipes);
    assert!(list.ends_with(&sum), "{list}");
}

#[test]
fn no_script_is_no_success() {
    let Folder(path) = &Folder::new("empty");
    assert_eq!(pkt(path, &[]).status.code(), Some(2));
    std::fs::write(path.join("good.pkt"), PASSES).unwrap();
    assert_eq!(pkt(path, &[]).status.code(), Some(0));
    assert_eq!(pkt(path, &["--only", "zzz"]).status.code(), Some(2));
    assert_eq!(pkt(&path.join("none"), &[]).status.code(), Some(2));
}

#[test]
fn names_say_over_what_they_run() {
    let Folder(path) = &Folder::new("modes");
    for name in ["a-v4.pkt", "b-v6.pkt", "c.pkt"] {
        std::fs::write(path.join(name), PASSES).unwrap();
    }
    for (mode, modes) in [
        ("v4", ["v4", "v6", "v4"].as_slice()),
        ("v6", &["v4", "v6", "v6"]),
        ("all", &["v4", "mapped", "v6", "v4", "mapped", "v6"]),
    ] {
        let output = pkt(path, &["--json", "--mode", mode]);
        let list = String::from_utf8_lossy(&output.stdout).into_owned();
        let found: Vec<&str> = list
            .lines()
            .filter_map(|line| line.split_once("\"mode\":\"")?.1.split('"').next())
            .collect();
        assert_eq!(found, modes, "{mode}: {list}");
    }
}

#[test]
fn a_reader_may_go() {
    let Folder(path) = &Folder::new("head");
    for n in 0..40 {
        std::fs::write(path.join(format!("{n}.pkt")), PASSES).unwrap();
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_pkt"))
        .arg(path)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), told.as_str()), (Some(141), ""));
}
