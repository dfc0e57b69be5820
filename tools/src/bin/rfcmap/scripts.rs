//! Whether a packet script shows anything: it runs, passes, and expects a packet or a call's result.

use std::path::Path;
use tools::pkt::tree::Defines;
use tools::pkt::{Options, Outcome, run};
use tools::posix::{Mode, Profile};

/// Runs a script; else says why it shows nothing.
pub(crate) fn shows(path: &Path, text: &str) -> Result<(), String> {
    let options = Options {
        profile: Profile::Linux,
        mode: Mode::V4,
        defines: Defines::new(),
    };
    let report = run(path, text, &options);
    match report.outcome {
        Outcome::Pass => {}
        Outcome::Cannot { at, why } => {
            return Err(format!("line {} cannot be run: {why}", at.line));
        }
        Outcome::Fail { why, .. } => return Err(format!("it does not pass: {why}")),
    }
    // What was exchanged: `0.100000 > . 1:1(0) ack 1`, `0.000000 listen(3, 1) = 0`.
    let expects = |line: &String| line.contains(" > ") || line.contains(") = ");
    match report.exchange.iter().any(expects) {
        true => Ok(()),
        false => Err("it expects nothing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_show_nothing() {
        for (text, why) in [
            ("// RFC 9293 §3.8.3 MUST-23\n", "nothing in it to run"),
            ("// MUST-23\n0 < S 0:0(0) win 10\n", "it expects nothing"),
            ("// MUST-23\n0 close(3) = 0\n", "it does not pass"),
            ("// MUST-23\n0 frobnicate(3) = 0\n", "line 2 cannot be run"),
            ("--dry_run\n0 close(3) = 0\n", "it expects nothing"),
        ] {
            let found = shows("x.pkt".as_ref(), text).unwrap_err();
            assert!(found.contains(why), "{text}: {found}");
        }
        let good = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n";
        assert_eq!(shows("x.pkt".as_ref(), good), Ok(()));
        // One for IPv6 is judged there: IPv4 has no such message.
        let six = "--ip_version=ipv6\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n\
                   +0...0.1 connect(3, ..., ...) = -1 ENETUNREACH (Network is unreachable)\n\
                   +0 > S 0:0(0) <...>\n+.1 < icmp unreachable no_route [0:0(0)]\n";
        assert_eq!(shows("x.pkt".as_ref(), six), Ok(()));
        let four = six.replace("ipv6", "ipv4");
        assert!(shows("x.pkt".as_ref(), &four).is_err());
    }
}
