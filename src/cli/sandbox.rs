//! Where a verb's devices live: a network of its own, or the one it was started in.
//!
//! ```text
//!   private network namespace                              machine's own network: untouched
//!     tap0 10.7.0.1/24 <--TAP--> host 10.7.0.2
//!     tap0 10.7.0.1/24 <--veth--> tap0-host <--raw socket--> host 10.7.0.2     (no TAP to be had)
//! ```

use super::Failure;
use super::config::{self, Kind, Text};
use crate::device::joined::Joined;
use crate::device::netlink::Netlink;
use crate::device::raw::Raw;
use crate::device::tap::Tap;
use crate::device::{Device, namespace};
use std::fs;
use std::io;

/// Moves this process into a network of its own.
///
/// # Errors
/// Exit code 3: no namespace is to be had, and what to do about it.
pub fn enter() -> Result<(), Failure> {
    namespace::enter().map_err(|e| {
        let message = format!("cannot make a private network: {e}");
        Failure::lacks(message, namespace_remedy())
    })
}

/// What stands in the way of a namespace, as far as the machine says.
fn namespace_remedy() -> String {
    let is = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|s| s.trim() == value);
    let mut steps = Vec::new();
    if is("/proc/sys/user/max_user_namespaces", "0") {
        steps.push("sysctl user.max_user_namespaces=10000");
    }
    if is("/proc/sys/user/max_net_namespaces", "0") {
        steps.push("sysctl user.max_net_namespaces=10000");
    }
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        steps.push("sysctl kernel.unprivileged_userns_clone=1");
    }
    if is(
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
    ) {
        steps.push("sysctl kernel.apparmor_restrict_unprivileged_userns=0");
    }
    if namespace::is_root() {
        steps.push("in a container, start it with --cap-add SYS_ADMIN --cap-add NET_ADMIN");
        steps.push("or stay in this network with `up --here`");
    } else {
        steps.push("run this as root (sudo)");
    }
    steps.join("; ")
}

/// Makes (or attaches to) the device that `wanted` describes and configures the kernel's side.
/// `private` says that the network is our own, so that a veth pair may stand in for a TAP.
///
/// # Errors
/// Exit code 3 with a remedy.
pub fn open(wanted: &config::Device, private: bool) -> Result<Box<dyn Device>, Failure> {
    let name = &wanted.name;
    let device: Box<dyn Device> = match wanted.kind {
        Kind::Raw => return open_raw(name, private),
        Kind::Veth => open_veth(wanted)?,
        Kind::Tun => Box::new(Tap::open_tun(name, wanted.mtu).map_err(|e| no_tap(name, &e))?),
        Kind::Tap => match Tap::open(name, wanted.mtu) {
            Ok(tap) => Box::new(tap),
            Err(e) if private => {
                let device = open_veth(wanted).map_err(|_| no_tap(name, &e))?;
                eprintln!("tapline: no TAP (/dev/net/tun: {e}); {name} is a veth pair instead");
                device
            }
            Err(e) => return Err(no_tap(name, &e)),
        },
    };
    configure(wanted).map_err(|e| {
        let message = format!("cannot configure {name}: {e}");
        Failure::lacks(message, "run this as root, or without --here")
    })?;
    Ok(device)
}

/// The same for a host: what an interface gives segment by segment is joined. The kernel's own TCP
/// behind a TAP or a veth gives super-frames as it is; whoever only passes frames on, or looks at
/// them, wants each as it came.
///
/// # Errors
/// As for [`open`].
pub fn open_for_host(wanted: &config::Device, private: bool) -> Result<Box<dyn Device>, Failure> {
    let device = open(wanted, private)?;
    Ok(match wanted.kind {
        Kind::Raw => Box::new(Joined::new(device)),
        Kind::Veth | Kind::Tun | Kind::Tap => device,
    })
}

fn open_raw(name: &str, private: bool) -> Result<Box<dyn Device>, Failure> {
    match Raw::open(name) {
        Ok(raw) => Ok(Box::new(raw)),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(Failure::lacks(
            format!("cannot open a packet socket on {name}: {e}"),
            "run this as root, or give the binary CAP_NET_RAW (setcap cap_net_raw+ep)",
        )),
        Err(e) => Err(Failure::lacks(
            format!("cannot attach to {name}: {e}"),
            if private {
                "--here; without it this looks in a private network of its own"
            } else {
                "`ip link` lists the interfaces there are"
            },
        )),
    }
}

/// A veth pair: the kernel's end has the name asked for, ours is taken by a raw socket.
fn open_veth(wanted: &config::Device) -> Result<Box<dyn Device>, Failure> {
    let stem: String = wanted.name.chars().take(10).collect();
    let ours = format!("{stem}-host");
    let make = || {
        let mut netlink = Netlink::open()?;
        netlink.add_veth(&wanted.name, &ours)?;
        for end in [&ours, &wanted.name] {
            if let Some(mtu) = wanted.mtu {
                netlink.set_mtu(end, mtu)?;
            }
        }
        namespace::disable_ipv6(&ours);
        namespace::quiet_ipv6(&wanted.name);
        for end in [&ours, &wanted.name] {
            netlink.set_up(end)?;
        }
        for end in [&ours, &wanted.name] {
            netlink.wait_until_running(end)?;
        }
        Raw::open(&ours)
    };
    let raw = make().map_err(|e: io::Error| {
        let message = format!("cannot make a veth pair for {}: {e}", wanted.name);
        Failure::lacks(
            message,
            "modprobe veth; run this as root, or without --here",
        )
    })?;
    Ok(Box::new(raw))
}

/// Brings the kernel's side up with its addresses and routes, all usable when this returns.
fn configure(wanted: &config::Device) -> io::Result<()> {
    let name = &wanted.name;
    let mut netlink = Netlink::open()?;
    namespace::quiet_ipv6(name);
    netlink.set_up(name)?;
    for &Text(address) in &wanted.kernel {
        let done = netlink.add_address(name, address);
        tolerate(address.addr().is_ipv6(), done)?;
    }
    for &Text(to) in &wanted.kernel_routes {
        let ipv4 = to.addr().is_ipv4();
        if let Some(via) = wanted.gateway(ipv4) {
            tolerate(!ipv4, netlink.add_route(to, via))?;
        }
    }
    Ok(())
}

/// What is there already was wanted; and a kernel without IPv6 does the rest all the same.
fn tolerate(ipv6: bool, done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) if ipv6 => {
            log::info!("the kernel refused IPv6: {e}");
            Ok(())
        }
        other => other,
    }
}

fn no_tap(name: &str, e: &io::Error) -> Failure {
    let remedy = match e.kind() {
        io::ErrorKind::NotFound => {
            "modprobe tun (as root); in a container, start it with --device /dev/net/tun"
        }
        io::ErrorKind::PermissionDenied if namespace::is_root() => {
            "in a container, start it with --device /dev/net/tun --cap-add NET_ADMIN"
        }
        io::ErrorKind::PermissionDenied => "run this as root (sudo)",
        io::ErrorKind::ResourceBusy => "another program has that interface: choose another name",
        io::ErrorKind::InvalidInput => "an interface of another kind has that name: choose another",
        _ => "modprobe tun veth; run this as root",
    };
    Failure::lacks(format!("cannot make {name}: /dev/net/tun: {e}"), remedy)
}
