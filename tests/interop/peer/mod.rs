//! A kernel as TCP's peer: streams both ways, with options, losses and ends of all kinds.
//!
//! ```text
//!   clean    kernel 10.7.0.1 ---- TAP ---- up 10.7.0.2
//!   bad      kernel 10.9.0.1 ---- wa ==[ tapline wire ]== wb ---- up --raw wb 10.9.0.2
//!   raw      kernel 10.1.0.1 ---- veth ---- up --raw, nc --raw 10.1.0.2
//! ```
//!
//! The kernel's programs are scripts after `talk.py`, which holds each byte against what was sent.
//! `TAPLINE_LONG` in the environment is for `cargo ci --long`: gibibytes in place of mebibytes.

mod bulk;
mod ends;
mod paths;
mod switches;
mod windows;

use crate::Test;
use crate::common::{Ran, Running, World, stand_in, tapline, up_sh};

/// All of them.
pub(crate) fn tests() -> Vec<Test> {
    [
        bulk::TESTS,
        switches::TESTS,
        ends::TESTS,
        windows::TESTS,
        paths::TESTS,
    ]
    .concat()
}

/// Seconds that one script may take, as long as what it talks to may run.
const PATIENCE: u32 = 240;

/// Mebibytes: so many each time, so many in the long run.
fn mebibytes(each: u64, long: u64) -> u64 {
    let is_long = std::env::var_os("TAPLINE_LONG").is_some();
    (if is_long { long } else { each }) << 20
}

/// A line for `sh` that runs a script after `talk.py`.
fn talk(host: &str, script: &str) -> String {
    let before = include_str!("talk.py");
    format!(
        "/usr/bin/python3 - <<'END'\n{before}\nHOST = '{host}'\n{script}\nprint('all is well')\nEND\n"
    )
}

/// Runs a script in the kernel's place beside `up`.
#[track_caller]
fn beside_up(script: &str) -> Ran {
    assert!(!stand_in(), "echo, discard and chargen over TCP are needed");
    up_sh(&talk("10.7.0.2", script))
        .exits(0)
        .says("all is well")
}

/// A kernel, a bad wire, and `up` at its other end.
struct Far {
    // Each ends before what it needs.
    host: Option<Running>,
    wire: Running,
    world: World,
}

impl Far {
    /// The wire alone.
    fn wire(options: &str) -> Self {
        let world = World::new(&["middle", "kernel", "stack"], "");
        let script = format!("exec {} wire wa wb {options} --json", tapline());
        let wire = world.start("middle", &script, "the wire is ready");
        let moved = "set -e
            for end in 'kernel wa' 'stack wb'; do
                set -- $end
                ip -n middle link set $2 netns $1
                ip netns exec $1 sh -c 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6'
                ip -n $1 link set $2 up
            done
            ip -n kernel addr add 10.9.0.1/24 dev wa";
        world.middle(moved).exits(0);
        let host = None;
        Self { host, wire, world }
    }

    fn new(options: &str) -> Self {
        let mut far = Self::wire(options);
        far.serve();
        far
    }

    fn serve(&mut self) {
        let config = "[[device]]\nname = 'wb'\nkind = 'raw'\naddresses = ['10.9.0.2/24']\n";
        self.host = Some(self.world.tapline("stack", config));
    }

    #[track_caller]
    fn talk(&self, script: &str) -> Ran {
        let ran = self
            .world
            .sh_for(PATIENCE, "kernel", &talk("10.9.0.2", script));
        ran.exits(0).says("all is well")
    }

    /// Ends all of it; what the wire has counted.
    fn ends(self) -> String {
        if let Some(host) = self.host {
            let status = host.status_at_end();
            status.adds_up("the host");
            status.has_no_bad_checksum();
        }
        self.wire.stop()
    }
}

/// A kernel and a host of ours on a veth pair, both with its offloads.
struct Near {
    world: World,
}

impl Near {
    fn new() -> Self {
        let world = World::new(
            &["kernel", "stack"],
            "ip link add w0 netns kernel type veth peer name w1 netns stack
             ip -n kernel addr add 10.1.0.1/24 dev w0
             ip -n kernel link set w0 up
             ip -n stack link set w1 up",
        );
        Self { world }
    }

    fn up(&self) -> Running {
        let config = "[[device]]\nname = 'w1'\nkind = 'raw'\naddresses = ['10.1.0.2/24']\n";
        self.world.tapline("stack", config)
    }

    #[track_caller]
    fn talk(&self, script: &str) -> Ran {
        let ran = self
            .world
            .sh_for(PATIENCE, "kernel", &talk("10.1.0.2", script));
        ran.exits(0).says("all is well")
    }

    /// Runs one of our programs that are clients, after `before |`.
    fn verb(&self, before: &str, verb: &str, rest: &str) -> Ran {
        let at = "--raw w1 --address 10.1.0.2/24";
        let script = format!("{before} {} {verb} {at} {rest}", tapline());
        self.world.sh_for(PATIENCE, "stack", &script)
    }
}
