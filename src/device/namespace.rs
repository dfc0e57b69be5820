//! A network of our own: a namespace that nothing of the machine's own network is in.
//!
//! ```text
//!   root            unshare(NET)            may open /dev/net/tun: TAP
//!   ordinary user   unshare(USER | NET)     is root inside, and only inside: TAP where the node is
//!                   uid_map, gid_map        open to this user, else a veth pair
//! ```
//!
//! Read first: namespaces(7), user_namespaces(7), network_namespaces(7).
//!
//! Promises: the process is either wholly inside or told why not; child processes are born inside;
//! all is gone with the last of them. Must be called while the process has one thread.

use super::netlink::Netlink;
use super::sys;
use std::fs;
use std::io;

/// Why there is no namespace, at which step.
#[derive(Debug)]
pub struct Unavailable {
    /// What was tried.
    pub step: &'static str,
    /// What the OS said.
    pub source: io::Error,
}

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.step, self.source)
    }
}

impl std::error::Error for Unavailable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Moves this process into a new network namespace, with loopback up; without root into a new user
/// namespace as well.
///
/// # Errors
/// [`Unavailable`], naming the step.
pub fn enter() -> Result<(), Unavailable> {
    let at = |step| move |source| Unavailable { step, source };
    let (uid, gid) = sys::effective_ids();
    // Root of a container may lack the capability, and be allowed a user namespace.
    if uid != 0 || sys::unshare(libc::CLONE_NEWNET).is_err() {
        sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET)
            .map_err(at("making a user and network namespace"))?;
        // Without this an ordinary user may not map a group (user_namespaces(7)).
        fs::write("/proc/self/setgroups", "deny").map_err(at("writing setgroups"))?;
        fs::write("/proc/self/uid_map", format!("0 {uid} 1")).map_err(at("writing uid_map"))?;
        fs::write("/proc/self/gid_map", format!("0 {gid} 1")).map_err(at("writing gid_map"))?;
    }
    Netlink::open()
        .and_then(|mut n| n.set_up("lo"))
        .map_err(at("bringing loopback up"))
}

/// What of interface `name` must be switched off before it comes up, so that what is on the wire is
/// what was asked for: duplicate detection, whose second would make addresses unusable.
pub fn quiet_ipv6(name: &str) {
    // A kernel without IPv6 has no such file, and nothing to be kept quiet.
    let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/accept_dad"), "0");
}

/// Keeps the kernel's IPv6 off interface `name` altogether: our end of a veth pair.
pub fn disable_ipv6(name: &str) {
    let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
}

/// Whether this process runs as root.
#[must_use]
pub fn is_root() -> bool {
    sys::effective_ids().0 == 0
}
