//! Shell blocks of a script, understood and never run: settings become steps, all else is refused.
//!
//! | statement | becomes |
//! |---|---|
//! | `sysctl [-q…] a.b=v …`, `set_sysctls.py /proc/sys/a/b=v …`, `echo v > /proc/sys/a/b` | [`Step::Sysctl`] |
//! | `./defaults.sh`, another `.sh` beside the script | its own statements |
//! | `ip link set … mtu N` | [`Step::Mtu`] |
//! | `dd … bs=B count=C of=F` from `/dev/zero` | [`Step::File`] |
//! | `sleep S` | [`Step::Sleep`] |
//! | `nstat`, `nstat \| grep NAME \| grep -q " N "` | [`Step::CountAnew`], [`Step::Counter`] |
//! | loading a congestion control, a capture beside, ending what is in TIME-WAIT | nothing |
//! | emptying caches, a plain queue, switching offloads off, `rm -f`, taking settings back | nothing |

use std::path::{Path, PathBuf};

/// What a statement of a shell block asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A setting of the kernel.
    Sysctl {
        /// `net.ipv4.tcp_sack`.
        name: String,
        /// Its value.
        value: String,
        /// An unknown name is no failure (`-e`).
        lenient: bool,
    },
    /// What collections set before each script, where their file is not there.
    Defaults,
    /// The device's MTU.
    Mtu(u16),
    /// A file of so many zero bytes.
    File(String, u64),
    /// What connections have learned of servers is forgotten.
    Forget,
    /// Time passes: nanoseconds.
    Sleep(u64),
    /// So many connections are in a state.
    States(String, u64),
    /// Counters are compared from now on with what they are now.
    CountAnew,
    /// A counter's growth is looked at.
    Counter {
        /// As `nstat` names it.
        name: String,
        /// By how much it is to have grown; else by anything.
        by: Option<u64>,
        /// From now on they are compared with what they are now.
        anew: bool,
    },
}

/// A statement that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// Lines into the block.
    pub(super) line: u32,
    /// The statement.
    pub(super) statement: String,
    /// Why not.
    pub(super) why: String,
}

/// Reads a file that a block calls for.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// What a block asks for, in order.
pub(super) fn steps(text: &str, folder: &Path, read: ReadFile<'_>) -> Result<Vec<Step>, Refused> {
    let mut steps = Vec::new();
    block(text, folder, read, 0, &mut steps)?;
    Ok(steps)
}

fn block(
    text: &str,
    folder: &Path,
    read: ReadFile<'_>,
    depth: u8,
    steps: &mut Vec<Step>,
) -> Result<(), Refused> {
    for (line, statement) in statements(text) {
        let refused = |why: String| Refused {
            line,
            statement: statement.clone(),
            why,
        };
        if statement.starts_with("nstat") && statement.contains('|') {
            steps.push(counter(&statement).map_err(refused)?);
            continue;
        }
        if statement.starts_with("sockstat") && statement.contains('|') {
            steps.push(states(&statement).map_err(refused)?);
            continue;
        }
        let words = words(&statement).map_err(&refused)?;
        if let Some(script) = sub_script(&words) {
            if script.starts_with("/tmp/sysctl_restore_") {
                continue;
            }
            let path: PathBuf = folder.join(script.trim_start_matches("./"));
            let Some(inner) = read(&path) else {
                if path.file_stem().is_some_and(is_defaults) {
                    steps.push(Step::Defaults);
                    continue;
                }
                return Err(refused(format!("{script} cannot be read")));
            };
            if depth > 3 {
                return Err(refused(
                    "scripts that call scripts that call scripts".into(),
                ));
            }
            block(
                &inner,
                path.parent().unwrap_or(folder),
                read,
                depth + 1,
                steps,
            )
            .map_err(|inner| refused(format!("{}:{}: {}", script, inner.line + 1, inner.why)))?;
            continue;
        }
        command(&words, steps).map_err(refused)?;
    }
    Ok(())
}

/// `defaults.sh`, `defaults-freebsd.sh`.
fn is_defaults(stem: &std::ffi::OsStr) -> bool {
    stem.to_str()
        .is_some_and(|stem| stem.starts_with("defaults"))
}

/// `sockstat … | grep NAME | grep -c STATE | grep N`.
fn states(statement: &str) -> Result<Step, String> {
    let shell = || "a pipe needs a shell, and none is run".to_owned();
    let parts: Result<Vec<_>, _> = statement.split('|').skip(1).map(words).collect();
    let (mut state, mut count) = (None, None);
    for part in parts? {
        let part: Vec<&str> = part.iter().map(String::as_str).collect();
        match part.as_slice() {
            ["grep", "-c", name] => state = Some((*name).to_owned()),
            ["grep", "-q", number] | ["grep", number] => match (number.parse(), &state) {
                (Ok(number), Some(_)) => count = Some(number),
                (Err(_), None) => {}
                _ => return Err(shell()),
            },
            _ => return Err(shell()),
        }
    }
    match state.zip(count) {
        Some((state, count)) => Ok(Step::States(state, count)),
        None => Err(shell()),
    }
}

/// `nstat [-s…] | grep NAME [| grep -q " N "]`.
fn counter(statement: &str) -> Result<Step, String> {
    let shell = || "a pipe needs a shell, and none is run".to_owned();
    let mut parts = statement.split('|');
    let nstat = words(parts.next().unwrap_or_default())?;
    let mut plain = nstat.get(1..).unwrap_or_default().iter();
    if !plain.all(|arg| matches!(arg.as_str(), "-s" | "-z" | "-a" | "-sz" | "-as")) {
        return Err(shell());
    }
    let (mut name, mut by) = (None, None);
    for part in parts {
        let all = words(part)?;
        let mut args = all.iter().filter(|arg| *arg != "-q" && *arg != "-w");
        if args.next().is_none_or(|first| first != "grep") {
            return Err(shell());
        }
        let (Some(pattern), None) = (args.next(), args.next()) else {
            return Err(shell());
        };
        match pattern.trim().parse() {
            Ok(number) => by = Some(number),
            Err(_) if name.is_none() && pattern.chars().all(char::is_alphanumeric) => {
                name = Some(pattern.clone());
            }
            Err(_) => return Err(shell()),
        }
    }
    Ok(Step::Counter {
        name: name.ok_or_else(shell)?,
        by,
        anew: !nstat
            .iter()
            .any(|arg| arg.contains('s') && arg.starts_with('-')),
    })
}

/// The shell script that a statement calls.
fn sub_script(words: &[String]) -> Option<String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["source" | "." | "sh" | "bash", script, ..] | [script, ..] if script.ends_with(".sh") => {
            Some((*script).to_owned())
        }
        _ => None,
    }
}

fn command(words: &[String], steps: &mut Vec<Step>) -> Result<(), String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((name, args)) = words.split_first() else {
        return Ok(());
    };
    match (name.rsplit('/').next().unwrap_or(name), args) {
        ("sysctl", args) => sysctl(args, steps),
        ("set_sysctls.py", args) => args.iter().try_for_each(|arg| set(arg, false, steps)),
        ("python" | "python3", [script, args @ ..]) if script.ends_with("set_sysctls.py") => {
            args.iter().try_for_each(|arg| set(arg, false, steps))
        }
        ("echo", [value @ .., ">", path]) if path.starts_with("/proc/sys/") => {
            set(&format!("{path}={}", value.join(" ")), false, steps)
        }
        ("ip", ["tcp_metrics", "flush", ..]) => {
            steps.push(Step::Forget);
            Ok(())
        }
        ("ip", ["route", "flush", "cache", ..])
        | ("ethtool", ["-K", ..])
        | ("rm", ["-f", ..])
        | ("dmesg" | "tcpdump" | "tcpdrop" | "kldstat", _)
        | ("true" | ":" | "sync" | "set", _) => Ok(()),
        ("kldload", [module, ..]) if module.starts_with("cc_") => Ok(()),
        ("nstat", ["-n"] | [] | [">", ..]) => {
            steps.push(Step::CountAnew);
            Ok(())
        }
        ("ip", ["link", "set", args @ ..]) => mtu(args, steps),
        ("ifconfig", [_, "mtu", value]) => mtu(&["mtu", value], steps),
        ("tc", ["qdisc", args @ ..]) => queue(args, steps),
        ("dd", args) => file(args, steps),
        ("sleep", [time]) => match time.parse::<f64>() {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "in range"
            )]
            Ok(secs) if (0.0..1e6).contains(&secs) => {
                steps.push(Step::Sleep((secs * 1e9) as u64));
                Ok(())
            }
            _ => Err(format!("{time} is no time")),
        },
        (name, _) => Err(format!("`{name}` is not a setting, and no shell is run")),
    }
}

fn sysctl(args: &[&str], steps: &mut Vec<Step>) -> Result<(), String> {
    let mut lenient = false;
    let mut words = args.iter();
    while let Some(arg) = words.next() {
        match arg.strip_prefix('-') {
            Some(letters) => lenient |= letters.contains('e') || letters == "-ignore",
            None if *arg == ">" => {
                words.next();
            }
            None => set(arg, lenient, steps)?,
        }
    }
    Ok(())
}

/// `a.b=v`, `a/b=v`, `/proc/sys/a/b=v`.
fn set(arg: &str, lenient: bool, steps: &mut Vec<Step>) -> Result<(), String> {
    let Some((name, value)) = arg.split_once('=') else {
        return Err(format!("{arg} sets nothing"));
    };
    let name = name
        .trim()
        .strip_prefix("/proc/sys/")
        .unwrap_or(name.trim())
        .replace('/', ".");
    let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
    steps.push(Step::Sysctl {
        name,
        value,
        lenient,
    });
    Ok(())
}

fn mtu(args: &[&str], steps: &mut Vec<Step>) -> Result<(), String> {
    match args
        .iter()
        .skip_while(|arg| **arg != "mtu")
        .nth(1)
        .and_then(|mtu| mtu.parse().ok())
    {
        Some(mtu) => {
            steps.push(Step::Mtu(mtu));
            Ok(())
        }
        None => Err("only an MTU can be set".into()),
    }
}

/// Queues that let all pass at once are what we have anyway; `fq` paces.
fn queue(args: &[&str], steps: &mut Vec<Step>) -> Result<(), String> {
    if args.contains(&"limit") || args.contains(&"netem") || args.contains(&"tbf") {
        return Err("no queue on the device can be had".into());
    }
    let plain = ["pfifo", "pfifo_fast", "fq", "fq_codel", "noqueue"];
    let removes = args.first().is_some_and(|verb| verb.starts_with("del"));
    let kind = if args.contains(&"fq") && !removes {
        "fq"
    } else {
        "pfifo"
    };
    if removes || args.iter().any(|arg| plain.contains(arg)) {
        steps.push(Step::Sysctl {
            name: "net.core.default_qdisc".to_owned(),
            value: kind.to_owned(),
            lenient: false,
        });
        return Ok(());
    }
    Err("no queue on the device can be had".into())
}

/// Of zeros, which are made when they are read.
const LARGEST_FILE: u64 = 1 << 30;

fn file(args: &[&str], steps: &mut Vec<Step>) -> Result<(), String> {
    let part = |name: &str| args.iter().find_map(|arg| arg.strip_prefix(name));
    let size = |name: &str, default| part(name).map_or(Some(default), |text| text.parse().ok());
    if part("if=") != Some("/dev/zero") {
        return Err("only files of zeros can be had".into());
    }
    let Some(len) = size("bs=", 512u64)
        .zip(size("count=", 1))
        .and_then(|(a, b)| a.checked_mul(b))
        .filter(|len| *len <= LARGEST_FILE)
    else {
        return Err("no such size can be had".into());
    };
    let Some(path) = part("of=") else {
        return Err("only files can be written".into());
    };
    steps.push(Step::File(path.to_owned(), len));
    Ok(())
}

/// Statements with the line each starts at, from 0.
fn statements(text: &str) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    let mut current = String::new();
    let (mut line, mut start) = (0, 0);
    let mut quote = None;
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        let blank_before = current.chars().next_back().is_none_or(char::is_whitespace);
        let mut ends = false;
        match (quote, sign) {
            (Some(open), _) if sign == open => {
                quote = None;
                current.push(sign);
            }
            (Some(_), _) => current.push(sign),
            (None, '"' | '\'') => {
                quote = Some(sign);
                current.push(sign);
            }
            (None, '\\') if signs.peek() == Some(&'\n') => {
                signs.next();
                line += 1;
                current.push(' ');
            }
            (None, '#') if blank_before => {
                while signs.peek().is_some_and(|next| *next != '\n') {
                    signs.next();
                }
            }
            (None, '\n' | ';') => ends = true,
            (None, '&') if signs.peek() == Some(&'&') => {
                signs.next();
                ends = true;
            }
            _ => current.push(sign),
        }
        if ends || signs.peek().is_none() {
            let statement = std::mem::take(&mut current).trim().to_owned();
            if !statement.is_empty() {
                found.push((start, statement));
            }
        }
        if sign == '\n' {
            line += 1;
        }
        if ends || current.trim().is_empty() {
            start = line;
        }
    }
    found
}

/// A statement's words, quotes taken off and sums worked out; `>` and where it goes stay only
/// where something is written.
fn words(statement: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut current: Option<String> = None;
    let mut quote = None;
    let mut rest = statement;
    while let Some(sign) = rest.chars().next() {
        let mut taken = sign.len_utf8();
        if let Some(sum) = rest.strip_prefix("$((").filter(|_| quote != Some('\'')) {
            let Some(end) = sum.find("))") else {
                return Err("`$((` has no `))`".into());
            };
            let value = product(sum.get(..end).unwrap_or_default())?;
            current.get_or_insert_default().push_str(&value.to_string());
            taken = end + 5;
        } else if quote == Some(sign) {
            quote = None;
        } else if quote.is_some() {
            current.get_or_insert_default().push(sign);
        } else {
            match sign {
                '"' | '\'' => {
                    quote = Some(sign);
                    current.get_or_insert_default();
                }
                '|' => return Err("a pipe needs a shell, and none is run".into()),
                '&' if rest.starts_with("&1") || rest.starts_with("&2") => taken = 2,
                '&' => return Err("this needs a shell, and none is run".into()),
                '>' | '<' => {
                    // "2>" and its kin: the digit is no word.
                    if current
                        .as_deref()
                        .is_some_and(|word| word == "1" || word == "2")
                    {
                        current = None;
                    }
                    found.extend(current.take());
                    found.push(sign.to_string());
                }
                _ if sign.is_whitespace() => found.extend(current.take()),
                _ => current.get_or_insert_default().push(sign),
            }
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    found.extend(current);
    while let Some(at) = found.iter().position(|word| word == ">") {
        let target = found.get(at + 1).cloned().unwrap_or_default();
        if target.starts_with("/proc/sys/") {
            break;
        }
        if !target.is_empty() && target != "/dev/null" {
            return Err(format!("{target} cannot be written"));
        }
        found.drain(at..(at + 2).min(found.len()));
    }
    Ok(found)
}

/// `15*1024*1024`.
fn product(sum: &str) -> Result<u64, String> {
    let factors = sum
        .split('*')
        .map(|factor| factor.trim().parse::<u64>().ok());
    factors
        .reduce(|a, b| a.zip(b).and_then(|(a, b)| a.checked_mul(b)))
        .flatten()
        .ok_or_else(|| format!("`{sum}` is no product of numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<Step>, Refused> {
        steps(text, Path::new("/d"), &|path| match path.to_str() {
            Some("/d/../common/defaults.sh") => Some(
                "#!/bin/sh\n# all\nip tcp_metrics flush all > /dev/null 2>&1\nsysctl -q a.b=1"
                    .into(),
            ),
            Some("/d/bad.sh") => Some("\nreboot".into()),
            _ => None,
        })
    }

    fn setting(name: &str, value: &str) -> Step {
        Step::Sysctl {
            name: name.into(),
            value: value.into(),
            lenient: false,
        }
    }

    #[test]
    fn settings() {
        for (text, expected) in [
            (
                "sysctl -q net.ipv4.tcp_sack=0",
                vec![setting("net.ipv4.tcp_sack", "0")],
            ),
            (
                "sysctl -q a.b=1 c/d=2 # why",
                vec![setting("a.b", "1"), setting("c.d", "2")],
            ),
            (
                "sysctl -w a=\"4096  540000 $((15*1024*1024))\" > /dev/null 2>&1",
                vec![setting("a", "4096 540000 15728640")],
            ),
            (
                "./set_sysctls.py /proc/sys/a/b=1 \\\n /proc/sys/c=2",
                vec![setting("a.b", "1"), setting("c", "2")],
            ),
            ("echo 7 > /proc/sys/a/b; true", vec![setting("a.b", "7")]),
            (
                "../common/defaults.sh",
                vec![Step::Forget, setting("a.b", "1")],
            ),
            ("scripts/defaults-freebsd.sh", vec![Step::Defaults]),
            (
                "./defaults.sh\n/tmp/sysctl_restore_${PPID}.sh",
                vec![Step::Defaults],
            ),
            ("ip link set dev tun0 mtu 9000", vec![Step::Mtu(9000)]),
            (
                "/bin/dd bs=2 count=5 if=/dev/zero of=/tmp/f",
                vec![Step::File("/tmp/f".into(), 10)],
            ),
            (
                "tc qdisc replace dev tun0 root fq && sleep .5",
                vec![
                    Step::Sysctl {
                        name: "net.core.default_qdisc".into(),
                        value: "fq".into(),
                        lenient: false,
                    },
                    Step::Sleep(500_000_000),
                ],
            ),
        ] {
            assert_eq!(of(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn all_else_is_refused_by_line() {
        for (text, line, why) in [
            ("\n\niptables -F", 2, "`iptables` is not a setting"),
            ("cat /proc/net/tcp | grep -q x", 0, "a pipe"),
            ("true\n./bad.sh", 1, "bad.sh:2: `reboot`"),
            ("./other.sh", 0, "cannot be read"),
            ("sysctl a", 0, "sets nothing"),
            ("tc qdisc add dev tun0 root pfifo limit 0", 0, "no queue"),
            ("echo 1 > /etc/passwd", 0, "cannot be written"),
        ] {
            let refused = of(text).unwrap_err();
            assert_eq!(refused.line, line, "{text}");
            assert!(refused.why.contains(why), "{text}: {}", refused.why);
        }
    }
}
