//! Worlds of network namespaces to test in, and commands that end.
//!
//! ```text
//!   World   unshare: a network, mount and process namespace (and, without root, a user namespace)
//!             |- netns a --- veth --- netns b          as `ip netns` makes them, seen from here only
//!             `- whatever runs in them                 all dies with the world
//! ```
//!
//! Nothing is named outside of its world, so two tests cannot meet, and what a failing test leaves
//! behind is gone with the world's first process. Each command is run by `timeout`, so that no
//! test waits for ever; no test looks at a clock itself.

use serde_json::Value;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Seconds after which a command is ended, unless a test says otherwise: much longer than anything
/// here takes on a busy machine.
pub(crate) const PATIENCE: u32 = 60;

/// Whether we are root: the owner of our own entry in /proc.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// What a command said, and how it ended.
pub(crate) struct Ran {
    /// The command, for messages.
    pub(crate) what: String,
    /// Exit code; 124 where `timeout` ended it, none where a signal did.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Ran {
    fn of(what: &str, command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output().unwrap();
        Self {
            what: what.to_owned(),
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Insists on an exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Insists on words in the output.
    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(self.out.contains(words), "not said: {words:?}\n{self}");
        self
    }

    /// Insists that words are not in the output.
    #[track_caller]
    pub(crate) fn never_says(self, words: &str) -> Self {
        assert!(
            !self.out.contains(words),
            "should not be said: {words:?}\n{self}"
        );
        self
    }

    /// The lines of the output that contain some words.
    pub(crate) fn lines_with<'a>(&'a self, words: &'a str) -> impl Iterator<Item = &'a str> {
        self.out.lines().filter(move |line| line.contains(words))
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            what,
            code,
            out,
            err,
        } = self;
        writeln!(f, "$ {what}\nexit code {code:?}")?;
        write!(f, "--- output\n{out}\n--- errors\n{err}")
    }
}

/// Where one starts from: `timeout` ends the command and its children, and ends them for good two
/// seconds later.
fn bounded(seconds: u32) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-k", "2", &seconds.to_string()]);
    command.env("LC_ALL", "C").env("PATH", path());
    command
}

/// An ordinary user's PATH may lack the folders of traceroute, arping and ip.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default())
}

/// The first `count` requests have `count` answers.
///
/// A kernel's ping that waits for the last of them no longer than for the longest before, twice
/// over, calls an answer lost that is late; `-W` is for where none came. With `-w SECONDS` it waits,
/// and asks on meanwhile: then each of the first `count` must be answered by its number.
#[track_caller]
pub(crate) fn loses_nothing(ran: Ran, count: u32) -> Ran {
    let sum = format!("{count} packets transmitted, {count} received, 0% packet loss");
    let answered = |seq| ran.out.contains(&format!("icmp_seq={seq} ttl="));
    assert!(
        ran.out.contains(&sum) || (1..=count).all(answered),
        "not said: {sum:?}, nor is each answered\n{ran}"
    );
    ran.exits(0).never_says("DUP!").never_says("wrong data")
}

/// The program under test.
pub(crate) fn tapline() -> &'static str {
    env!("CARGO_BIN_EXE_tapline")
}

/// Runs `tapline ARGS`.
pub(crate) fn run(args: &[&str]) -> Ran {
    run_as(&[], args)
}

/// Runs `BEFORE... tapline ARGS`: `BEFORE` says as whom.
pub(crate) fn run_as(before: &[&str], args: &[&str]) -> Ran {
    let what = format!("{} tapline {}", before.join(" "), args.join(" "));
    Ran::of(
        what.trim(),
        bounded(PATIENCE * 2).args(before).arg(tapline()).args(args),
    )
}

/// Runs `tapline up -- COMMAND`: beside a host at 10.7.0.2.
///
/// With `TAPLINE_STAND_IN=kernel` in the environment a second kernel namespace takes the host's
/// place, which tells a wrong test from a wrong stack.
pub(crate) fn up(command: &str) -> Ran {
    if stand_in() {
        return beside_a_kernel(command);
    }
    let args = ["up", "--"].into_iter().chain(command.split_whitespace());
    run(&args.collect::<Vec<_>>())
}

/// Runs `tapline up -- sh -c SCRIPT` and reads the host's counters after it.
pub(crate) fn up_with_status(script: &str) -> (Ran, Status) {
    up_configured("", script)
}

/// The same, of a host as this configuration has it: keys before the first device.
pub(crate) fn up_configured(config: &str, script: &str) -> (Ran, Status) {
    let script = &format!("set -e\n{script}");
    if stand_in() {
        return (beside_a_kernel(script), Status(Value::Null));
    }
    let file = TempFile::new("status.json", "");
    let toml = TempFile::new("up.toml", config);
    let mut args = vec!["up", "--status", file.path()];
    if !config.is_empty() {
        args.extend(["--config", toml.path()]);
    }
    args.extend(["--", "sh", "-c", script]);
    (run(&args), Status::read(file.path()))
}

/// Runs `tapline up -- sh -c SCRIPT`.
pub(crate) fn up_sh(script: &str) -> Ran {
    if stand_in() {
        return beside_a_kernel(script);
    }
    run(&["up", "--", "sh", "-c", script])
}

/// Whether a kernel stands in for the host.
pub(crate) fn stand_in() -> bool {
    env::var("TAPLINE_STAND_IN").is_ok_and(|value| value == "kernel")
}

fn beside_a_kernel(script: &str) -> Ran {
    let world = World::of_two_kernels();
    let _services = world.start("peer", SERVICES, "serving");
    world.sh("kernel", script)
}

/// What a host serves by itself, for the kernel that stands in for it: echo, discard, chargen.
const SERVICES: &str = "exec /usr/bin/python3 - <<'END'
import selectors, socket
choose = selectors.DefaultSelector()
for port in [7, 9, 19]:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('', port))
    choose.register(s, 1, port)
print('serving', flush=True)
while True:
    for key, _ in choose.select():
        data, who = key.fileobj.recvfrom(65536)
        if key.data != 9:
            key.fileobj.sendto(data if key.data == 7 else b'characters', who)
END";

/// A line for `sh` that runs a script for scapy. Debian's Python, since another one in the PATH
/// would not know Debian's scapy.
pub(crate) fn scapy(script: &str) -> String {
    let before = "import warnings\nwarnings.simplefilter('ignore')\n\
                  from scapy.all import *\nconf.verb = 0";
    format!("/usr/bin/python3 - <<'END'\n{before}\n{script}\nEND\n")
}

/// Datagrams of all sizes to an address and back; `whole` bytes are the most in one packet.
pub(crate) fn udp_echo(to: &str, whole: u32) -> String {
    format!(
        "/usr/bin/python3 - <<'END'
import socket
to = ('{to}', 7)
s = socket.socket(socket.AF_INET6 if ':' in to[0] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect(socket.getaddrinfo(*to, type=socket.SOCK_DGRAM)[0][4])
for size in [0, 1, {whole}, {whole} + 1, 9000, 60000, 65507]:
    sent = bytes(i * 7 % 251 for i in range(size))
    s.send(sent)
    got = s.recv(65536)
    assert got == sent, (size, len(got))
print('echoed')
END"
    )
}

/// A file that is gone after the test, with its folder: what is written late finds no place.
pub(crate) struct TempFile(String);

/// How the names of our folders begin.
fn temp_prefix() -> String {
    format!("tapline-{}-", std::process::id())
}

/// Our folders that are still there; none once all tests are done.
pub(crate) fn left_behind() -> Vec<PathBuf> {
    let all = fs::read_dir(env::temp_dir()).unwrap().flatten();
    let ours = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(&temp_prefix());
    all.filter(|entry| ours(&entry.file_name()))
        .map(|entry| entry.path())
        .collect()
}

impl TempFile {
    /// Writes it; `name` need not be unique.
    pub(crate) fn new(name: &str, text: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("{}{next}", temp_prefix()));
        fs::create_dir(&folder).unwrap();
        let path = folder.join(name).to_str().unwrap().to_owned();
        fs::write(&path, text).unwrap();
        Self(path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &str {
        &self.0
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let folder = Path::new(&self.0).parent().unwrap();
        let _ = fs::remove_dir_all(folder);
    }
}

/// A host's counters, as it wrote them when it ended.
pub(crate) struct Status(Value);

impl Status {
    fn read(path: &str) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let parsed = serde_json::from_str(&text);
        Self(parsed.unwrap_or_else(|wrong| panic!("the status is no JSON: {wrong}\n{text}")))
    }

    fn table(&self, name: &str) -> impl Iterator<Item = (&str, u64)> {
        let table = self.0["host"][name]
            .as_object()
            .unwrap_or_else(|| panic!("no {name}: {self}"));
        table
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_u64().unwrap()))
    }

    /// What was dropped for a reason, on the way in or out.
    pub(crate) fn drops(&self, reason: &str) -> u64 {
        let all = self.table("dropped_in").chain(self.table("dropped_out"));
        all.filter(|(name, _)| *name == reason)
            .map(|(_, count)| count)
            .sum()
    }

    /// A plain counter.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.0["host"][name]
            .as_u64()
            .unwrap_or_else(|| panic!("no counter {name}: {self}"))
    }

    /// A counter of TCP's.
    pub(crate) fn tcp(&self, name: &str) -> u64 {
        self.0["host"]["tcp"][name]
            .as_u64()
            .unwrap_or_else(|| panic!("no counter of TCP's {name}: {self}"))
    }

    /// The states of its connections.
    pub(crate) fn connections(&self) -> Vec<&str> {
        let rows = self.0["connections"].as_array();
        let rows = rows.unwrap_or_else(|| panic!("no connections: {self}"));
        rows.iter()
            .filter_map(|row| row["state"].as_str())
            .collect()
    }

    /// What it has learnt of the path to somebody.
    pub(crate) fn path_mtu(&self, to: &str) -> Option<u64> {
        let rows = self.0["path_mtus"].as_array()?;
        let found = rows.iter().find(|row| row["to"] == to)?;
        found["mtu"].as_u64()
    }

    /// Frames in = delivered + forwarded + held + dropped, each reason counted.
    #[track_caller]
    pub(crate) fn adds_up(&self, who: &str) {
        let sum = |name| self.table(name).map(|(_, count)| count).sum::<u64>();
        let out = sum("delivered") + self.count("forwarded") + self.count("held");
        let out = out + sum("dropped_in");
        assert_eq!(
            self.count("frames_in") + self.count("looped"),
            out,
            "{who}: {self}"
        );
    }

    /// A checksum that was left to a device that never came must not be taken for a bad one.
    #[track_caller]
    pub(crate) fn has_no_bad_checksum(&self) {
        let all = self.table("dropped_in").filter(|(_, count)| *count > 0);
        let bad: Vec<_> = all
            .filter(|(reason, _)| reason.ends_with("bad-checksum"))
            .collect();
        assert!(bad.is_empty(), "{bad:?}\n{self}");
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

/// A private place for namespaces.
pub(crate) struct World {
    holder: Child,
    inside: String,
}

impl World {
    /// Makes a world with these namespaces, loopback up in each, and runs `setup` in its middle.
    pub(crate) fn new(namespaces: &[&str], setup: &str) -> Self {
        let world = Self::empty();
        let mut script = String::from("set -e\n");
        for name in namespaces {
            script += &format!("ip netns add {name}\nip -n {name} link set lo up\n");
        }
        world.middle(&(script + setup)).exits(0);
        world
    }

    fn empty() -> Self {
        // `ip netns` keeps its names in /run: an empty one of our own, so that no name is taken.
        let script = "mount -t tmpfs none /run && mkdir /run/netns && echo ready && \
                      exec sleep 3600";
        let mut unshare = Command::new("unshare");
        unshare.args(["-n", "-m", "-p", "-f", "--kill-child", "--mount-proc"]);
        if !is_root() {
            unshare.args(["-U", "-r"]);
        }
        unshare.args(["sh", "-c", script]).env("PATH", path());
        unshare.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut holder = unshare.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap())
            .read_line(&mut said)
            .unwrap();
        assert_eq!(
            said, "ready\n",
            "no namespaces are to be had: unshare failed"
        );
        // `unshare` itself stays outside of the process namespace: its child is inside.
        let pid = holder.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        Self {
            holder,
            inside: children.trim().to_owned(),
        }
    }

    /// `peer` is what a host on a TAP would be, `kernel` is where the tools run.
    pub(crate) fn of_two_kernels() -> Self {
        Self::new(
            &["kernel", "peer"],
            "ip link add tap0 netns kernel type veth peer name host netns peer\n\
             ip -n kernel addr add 10.7.0.1/24 dev tap0\n\
             ip -n kernel addr add fd07::1/64 dev tap0 nodad\n\
             ip -n kernel link set tap0 up\n\
             ip -n peer addr add 10.7.0.2/24 dev host\n\
             ip -n peer addr add fd07::2/64 dev host nodad\n\
             ip -n peer link set host up",
        )
    }

    /// Goes into the world.
    fn enter(&self, seconds: u32) -> Command {
        let mut command = bounded(seconds);
        command.args(["nsenter", "-t", &self.inside, "-n", "-m", "-p"]);
        if !is_root() {
            command.args(["-U", "--preserve-credentials"]);
        }
        command
    }

    /// Runs a script outside of the named namespaces, where they can be joined by wires.
    pub(crate) fn middle(&self, script: &str) -> Ran {
        Ran::of(script, self.enter(PATIENCE).args(["sh", "-c", script]))
    }

    /// Runs a script in a namespace.
    pub(crate) fn sh(&self, namespace: &str, script: &str) -> Ran {
        self.sh_for(PATIENCE * 2, namespace, script)
    }

    /// The same, where it may take longer than anything else here.
    pub(crate) fn sh_for(&self, seconds: u32, namespace: &str, script: &str) -> Ran {
        let mut command = self.enter(seconds);
        command.args(["ip", "netns", "exec", namespace, "sh", "-c", script]);
        Ran::of(&format!("[{namespace}] {script}"), &mut command)
    }

    /// Starts a script in a namespace and waits until it has said `ready` on a line, in its
    /// output or among its errors. It runs until it is stopped or the world ends.
    pub(crate) fn start(&self, namespace: &str, script: &str, ready: &str) -> Running {
        let mut command = self.enter(PATIENCE * 4);
        // Both streams on one pipe: nothing waits for a reader that reads the other one.
        let script = format!("exec 2>&1\n{script}");
        command.args(["ip", "netns", "exec", namespace, "sh", "-c", &script]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains(ready) {
            let more = output.read_line(&mut said).unwrap();
            assert!(
                more > 0,
                "[{namespace}] {script}\nended before it said {ready:?}:\n{said}"
            );
        }
        Running {
            child,
            output,
            said,
            files: Vec::new(),
        }
    }
}

impl World {
    /// Starts `tapline up --here` in a namespace, with this configuration, and waits until its
    /// addresses are usable.
    pub(crate) fn tapline(&self, namespace: &str, config: &str) -> Running {
        let config = TempFile::new("up.toml", config);
        let mut running = self.serve(namespace, &format!("--here --config {}", config.path()));
        running.files.push(config);
        running
    }

    /// Starts `tapline up OPTIONS` in a namespace.
    pub(crate) fn serve(&self, namespace: &str, options: &str) -> Running {
        let status = TempFile::new("status.json", "");
        let up = format!("{} up {options} --status {}", tapline(), status.path());
        let script = format!("exec {up} -- sh -c 'echo the host is up; exec sleep 900'");
        let mut running = self.start(namespace, &script, "the host is up");
        running.files.push(status);
        running
    }

    /// Runs `tapline up --here -- COMMAND` in a namespace, with this configuration.
    pub(crate) fn up(&self, namespace: &str, config: &str, command: &str) -> Ran {
        let config = TempFile::new("up.toml", config);
        let up = format!("{} up --here --config {}", tapline(), config.path());
        self.sh(namespace, &format!("exec {up} -- {command}"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // `--kill-child` takes the process namespace along, and the network with it.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Something that runs beside the test.
pub(crate) struct Running {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    said: String,
    /// The status file of a Tapline, and what else it needs while it runs.
    files: Vec<TempFile>,
}

impl Running {
    /// Ends a Tapline and reads its counters.
    pub(crate) fn status_at_end(mut self) -> Status {
        let files = std::mem::take(&mut self.files);
        let said = self.stop();
        assert!(!said.contains("panicked"), "{said}");
        Status::read(files[0].path())
    }

    /// Waits until it ends by itself and gives all that it said.
    pub(crate) fn ended(mut self) -> String {
        let _ = self.output.read_to_string(&mut self.said);
        std::mem::take(&mut self.said)
    }

    /// Ends it politely and gives all that it said.
    pub(crate) fn stop(mut self) -> String {
        self.terminate();
        let _ = self.output.read_to_string(&mut self.said);
        std::mem::take(&mut self.said)
    }

    /// `timeout` hands the signal on to all that it runs.
    fn terminate(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = Command::new("kill")
                .arg(self.child.id().to_string())
                .status();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.terminate();
        // What `timeout` started may outlive it, and have files to write.
        let _ = self.output.read_to_string(&mut self.said);
    }
}

/// One reason's drops, of all hosts together.
pub(crate) fn total(hosts: &[Status], reason: &str) -> u64 {
    hosts.iter().map(|status| status.drops(reason)).sum()
}
