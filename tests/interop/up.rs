//! What `up` promises to whoever starts it: root, an ordinary user, a script.

use crate::common::{loses_nothing, run, run_as, tapline, up_sh};
use crate::{Anyone, Root, Test};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

pub(crate) const TESTS: &[Test] = &[
    (Anyone, "up_returns_the_exit_code", up_returns_the_exit_code),
    (
        Anyone,
        "up_names_the_package_of_a_missing_tool",
        up_names_the_package_of_a_missing_tool,
    ),
    (
        Anyone,
        "up_says_what_to_do_without_namespaces",
        up_says_what_to_do_without_namespaces,
    ),
    (
        Anyone,
        "up_leaves_stdin_and_stdout_to_the_command",
        up_leaves_stdin_and_stdout,
    ),
    (
        Anyone,
        "up_tour_needs_no_other_program",
        up_tour_needs_no_other_program,
    ),
    (Anyone, "up_hands_signals_on", up_hands_signals_on),
    (
        Anyone,
        "up_leaves_nothing_running",
        up_leaves_nothing_running,
    ),
    (
        Root,
        "up_loses_nothing_for_an_ordinary_user",
        up_loses_nothing_for_an_ordinary_user,
    ),
];

fn up_returns_the_exit_code() {
    up_sh("exit 0").exits(0);
    up_sh("exit 7").exits(7);
    up_sh("ping -q -c 1 -W 1 10.7.0.99").exits(1);
}

fn up_names_the_package_of_a_missing_tool() {
    let bare = ["env", "PATH=/nowhere"];
    for (tool, package) in [
        ("no-such-tool", "no-such-tool"),
        ("/nowhere/ping", "/nowhere/ping"),
    ] {
        let ran = run_as(&bare, &["up", "--", tool]).exits(3);
        assert!(ran.err.contains(package), "{ran}");
    }
}

/// In a user namespace that may have no further ones, nor networks.
fn up_says_what_to_do_without_namespaces() {
    let script = "echo 0 >/proc/sys/user/max_user_namespaces
        echo 0 >/proc/sys/user/max_net_namespaces
        exec \"$0\" up -- true";
    let ran = run_as(&["unshare", "-U", "-r", "sh", "-c", script], &[]).exits(3);
    assert!(
        ran.err.contains("user.max_user_namespaces"),
        "a remedy: {ran}"
    );
}

fn up_leaves_stdin_and_stdout() {
    let ran = run(&["up", "--", "echo", "only", "this"]).exits(0);
    assert_eq!(
        ran.out, "only this\n",
        "what `up` says goes to stderr: {ran}"
    );
}

fn up_tour_needs_no_other_program() {
    let ran = run(&["up", "--tour"]).exits(0);
    for word in ["echo", "ARP", "UDP", "unreachable"] {
        assert!(
            ran.out.to_lowercase().contains(&word.to_lowercase()),
            "no {word:?}: {ran}"
        );
    }
}

/// Sent to `up` alone, they reach the program and what it runs.
fn up_hands_signals_on() {
    for (signal, code) in [("INT", 11), ("TERM", 12), ("HUP", 13)] {
        let script =
            format!("trap 'echo took {signal}; exit {code}' {signal}; echo ready; sleep 60");
        // What is ignored from the start, as HUP is under nohup, a shell cannot catch.
        let mut up = Command::new("env")
            .args(["--default-signal", tapline(), "up", "--", "sh", "-c"])
            .arg(&script)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(up.stdout.take().unwrap());
        let mut said = String::new();
        out.read_line(&mut said).unwrap();
        let sent = Command::new("kill")
            .args(["-s", signal, &up.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
        out.read_to_string(&mut said).unwrap();
        assert_eq!(said, format!("ready\ntook {signal}\n"));
        assert_eq!(up.wait().unwrap().code(), Some(code), "{signal}");
    }
}

/// Neither what runs beside the program, nor what has left its session, nor what does not care for
/// SIGTERM; and its own exit code stays.
fn up_leaves_nothing_running() {
    let script = "sleep 300 >/dev/null 2>&1 & echo $!
        setsid sh -c 'echo $$; exec sleep 300 >/dev/null 2>&1' &
        (trap '' TERM; setsid sh -c 'echo $$; sleep 300; sleep 300' & ) 2>/dev/null
        sleep 0.5; exit 7";
    let ran = up_sh(script).exits(7);
    let left: Vec<_> = ran.out.lines().collect();
    assert_eq!(left.len(), 3, "{ran}");
    for pid in left {
        let state = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
        let gone = state.is_err() || state.is_ok_and(|line| line.is_empty());
        assert!(gone, "{pid} is there: {ran}");
    }
}

/// Somebody who may open neither a TAP nor a raw socket outside of a user namespace.
fn up_loses_nothing_for_an_ordinary_user() {
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let ran = run_as(&nobody, &["up", "--", "ping", "-c", "3", "10.7.0.2"]);
    loses_nothing(ran, 3);
    run_as(&nobody, &["up", "--tour"]).exits(0);
}
