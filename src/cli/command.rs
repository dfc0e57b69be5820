//! The program that `up -- CMD` runs: found or named by its package, started, its end reported.
//!
//! ```text
//!   CMD --start--> child (inherits the network, stdin, stdout) --ended--> its exit code
//!        \--> not there: exit 3, "apt-get install ..."
//! ```

use super::Failure;
use crate::device::process;
use crate::runtime::Stop;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command};

/// Debian packages whose name is not the command's.
const PACKAGES: &[(&str, &str)] = &[
    ("ping", "iputils-ping"),
    ("ping6", "iputils-ping"),
    ("tracepath", "iputils-tracepath"),
    ("arping", "iputils-arping"),
    ("clockdiff", "iputils-clockdiff"),
    ("ip", "iproute2"),
    ("ss", "iproute2"),
    ("bridge", "iproute2"),
    ("tc", "iproute2"),
    ("dig", "dnsutils"),
    ("nslookup", "dnsutils"),
    ("host", "bind9-host"),
    ("named", "bind9"),
    ("nc", "netcat-openbsd"),
    ("netcat", "netcat-openbsd"),
    ("ncat", "ncat"),
    ("nping", "nmap"),
    ("scapy", "python3-scapy"),
    ("wireshark", "wireshark"),
    ("dumpcap", "wireshark-common"),
    ("capinfos", "wireshark-common"),
    ("editcap", "wireshark-common"),
    ("ifconfig", "net-tools"),
    ("netstat", "net-tools"),
    ("route", "net-tools"),
    ("arp", "net-tools"),
    ("telnet", "telnet"),
    ("ndisc6", "ndisc6"),
    ("rdisc6", "ndisc6"),
    ("rltraceroute6", "ndisc6"),
    ("mtr", "mtr-tiny"),
    ("mosquitto_pub", "mosquitto-clients"),
    ("mosquitto_sub", "mosquitto-clients"),
    ("coap-client", "libcoap3-bin"),
    ("coap-server", "libcoap3-bin"),
    ("dhclient", "isc-dhcp-client"),
    ("dhcpd", "isc-dhcp-server"),
    ("ovs-vsctl", "openvswitch-switch"),
    ("chronyd", "chrony"),
    ("python", "python3"),
    ("ab", "apache2-utils"),
    ("ssh", "openssh-client"),
    ("nft", "nftables"),
    ("vtysh", "frr"),
];

/// Packages named as the command they have.
const SAME: &[&str] = &[
    "traceroute",
    "hping3",
    "nmap",
    "tcpdump",
    "tshark",
    "tcpreplay",
    "curl",
    "wget",
    "socat",
    "iperf3",
    "wrk",
    "fping",
    "ethtool",
    "radvd",
    "dnsmasq",
    "unbound",
    "mosquitto",
    "udhcpc",
    "strace",
    "python3",
    "screen",
    "tmux",
];

/// Where tools lie that an ordinary user's PATH leaves out; inside the sandbox that user is root.
const SYSTEM_PATHS: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// It leads a process group of its own.
    is_leader: bool,
}

/// Starts `words` with standard input and output as they are.
///
/// # Errors
/// Exit code 3 where there is no such program, naming the package that has it.
pub fn start(words: &[OsString]) -> Result<Running, Failure> {
    start_with(words, &[])
}

/// [`start`] with more in its environment.
///
/// # Errors
/// As [`start`].
pub fn start_with(words: &[OsString], more: &[(&str, &OsStr)]) -> Result<Running, Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::usage("no command after `--`"));
    };
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", search_path());
    command.envs(more.iter().copied());
    // On a terminal it stays in our group, which is the one that reads there and gets its ^C.
    let is_leader =
        !(io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal());
    if is_leader {
        command.process_group(0);
    }
    match command.spawn() {
        Ok(child) => Ok(Running { child, is_leader }),
        Err(e) => Err(refused(program, &e)),
    }
}

/// Why a program did not start. The search fails with "permission denied" where a folder of PATH is
/// closed to the user, as root's own after `su`: that says nothing of the program.
fn refused(program: &OsStr, error: &io::Error) -> Failure {
    let named = Path::new(program).components().count() == 1;
    match error.kind() {
        io::ErrorKind::NotFound => missing(program),
        io::ErrorKind::PermissionDenied if named && !is_there(program) => missing(program),
        _ => Failure::lacks(
            format!("cannot run {}: {error}", program.display()),
            "give the name of an executable program",
        ),
    }
}

/// The user's, then what it leaves out, then where this program is: `up -- tapline status` shall
/// find it, wherever it was built.
fn search_path() -> OsString {
    let mut path =
        std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    path.push(":");
    path.push(SYSTEM_PATHS);
    let ours = std::env::current_exe();
    if let Some(directory) = ours.as_deref().ok().and_then(Path::parent) {
        path.push(":");
        path.push(directory);
    }
    path
}

/// The Debian package that has a program, where we know it.
#[must_use]
pub fn package(program: &str) -> Option<&'static str> {
    let listed = PACKAGES.iter().find(|(command, _)| *command == program);
    let package = listed.map(|(_, package)| *package);
    package.or_else(|| SAME.iter().copied().find(|same| *same == program))
}

/// Whether a program of that name would be found.
#[must_use]
pub fn is_there(program: impl AsRef<Path>) -> bool {
    let program = program.as_ref();
    std::env::split_paths(&search_path()).any(|directory| directory.join(program).is_file())
}

fn missing(program: &OsStr) -> Failure {
    let shown = program.display();
    if Path::new(program).components().count() > 1 {
        return Failure::lacks(format!("{shown} is not there"), "check the path");
    }
    let name = program.to_string_lossy();
    let message = format!("there is no program {shown} on this machine");
    match package(&name) {
        Some(package) => Failure::lacks(message, format!("apt-get install {package}")),
        None => Failure::lacks(
            message,
            format!("check the spelling, or `apt-cache search {name}` for its package"),
        ),
    }
}

impl Running {
    /// The exit code, once it has ended: its own, or 128 and the signal that killed it.
    ///
    /// # Errors
    /// What the OS says.
    pub fn ended(&mut self) -> io::Result<Option<u8>> {
        let status = self.child.try_wait()?;
        Ok(status.map(|s| {
            let code = s.code().or_else(|| s.signal().map(|n| 128 + n));
            code.and_then(|c| u8::try_from(c).ok()).unwrap_or(1)
        }))
    }

    /// Hands a signal on that asked us to end: to its whole group, where it has one of its own. In
    /// ours, a terminal's ^C reaches it by itself, and it may want to say something before it ends;
    /// but what was sent may have been sent to us alone.
    pub fn pass_on(&self, stop: Stop) {
        if self.is_leader || stop.sent {
            process::signal(self.child.id(), self.is_leader, stop.signal);
        }
    }

    /// Its process number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Result<u8, Failure> {
        let words: Vec<OsString> = words.iter().map(Into::into).collect();
        let mut running = start(&words)?;
        loop {
            if let Some(code) = running.ended()? {
                return Ok(code);
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn exit_codes_are_the_childs() {
        assert_eq!(run(&["sh", "-c", "exit 7"]).unwrap(), 7);
        assert_eq!(run(&["sh", "-c", "kill -TERM $$"]).unwrap(), 143);
    }

    #[test]
    fn a_missing_program_names_its_package() {
        for (program, want) in [
            (
                "no-such-tool",
                "check the spelling, or `apt-cache search no-such-tool` for its package",
            ),
            ("/no/such/ping", "check the path"),
        ] {
            let f = run(&[program]).unwrap_err();
            assert_eq!((f.code, f.remedy.as_deref()), (3, Some(want)));
        }
        let closed = io::Error::from(io::ErrorKind::PermissionDenied);
        let f = refused(OsStr::new("no-such-tool"), &closed);
        assert!(f.message.starts_with("there is no program"), "{f:?}");
        let f = refused(OsStr::new("/etc/passwd"), &closed);
        assert!(f.message.starts_with("cannot run"), "{f:?}");
        let f = missing(OsStr::new("tracepath"));
        assert_eq!(
            f.remedy.as_deref(),
            Some("apt-get install iputils-tracepath")
        );
    }
}
