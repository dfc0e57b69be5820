//! Floods and forgeries of IPv6 over a TAP: after each the host answers, has not grown, and has counted
//! every frame. What each did is in the documentation of `stack::net`, as these tests print it.
//!
//! ```text
//!   the kernel fd07::1, who pings  --+
//!                                    +-- TAP -- Tapline fd07::2, which listens to routers
//!   floods6.py, whoever it likes   --+
//! ```

use crate::common::{TempFile, stand_in, tapline, up_configured};
use crate::{Anyone, Test};

pub(crate) const TESTS: &[Test] = &[
    (Anyone, "floods6_of_discovery", floods_of_discovery),
    (Anyone, "floods6_of_packets", floods_of_packets),
];

/// A host that believes routers and probes its addresses, so that all of discovery is there to be
/// lied to.
const CONFIG: &str = "duplicate_detection = 'before'\n[[device]]\nname = 'tap0'
    mac = '02:00:00:00:00:07'\nautoconfigure = true
    addresses = ['10.7.0.2/24', 'fd07::2/64']\nkernel = ['10.7.0.1/24', 'fd07::1/64']\n";

/// Whoever is on the link can send these: routers, neighbours and who claims to be either.
fn floods_of_discovery() {
    flooded(include_str!("floods6_discovery.py"));
}

/// These may come from afar: errors, fragments, extension headers; and the reports of listeners.
fn floods_of_packets() {
    flooded(include_str!("floods6_packets.py"));
}

/// Runs a list of floods, and shows its table.
fn flooded(list: &str) {
    if stand_in() {
        return;
    }
    if !std::path::Path::new("/usr/lib/python3/dist-packages/scapy").is_dir() {
        eprintln!("left out: python3-scapy is not installed");
        return;
    }
    let script = format!("{}\n\n{list}", include_str!("floods6.py"));
    let file = TempFile::new("floods6.py", &script);
    let script = format!(
        "until ping -q -c 1 -W 1 fd07::2 >/dev/null; do sleep 0.2; done
        HOST_PID=$PPID TAPLINE='{}' /usr/bin/python3 {}",
        tapline(),
        file.path()
    );
    let (ran, status) = up_configured(CONFIG, &script);
    let ran = ran.exits(0).says("served");
    println!("{}", ran.out);
    status.adds_up("the host");
}
