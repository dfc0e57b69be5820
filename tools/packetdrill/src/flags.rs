//! `--so_flags`: all that the tool tells a shared object.

use std::net::IpAddr;
use tools::posix::{Mode, Profile, Setup};

/// What the flags say.
#[derive(Clone, Debug)]
pub struct Flags {
    /// Profile, addresses, MTU, seed.
    pub setup: Setup,
    /// The kernel's settings, in order.
    pub sysctls: Vec<(String, String)>,
    /// Super-segments are cut at the MSS.
    pub cut: bool,
    /// What shell blocks change of the real kernel's settings is taken over.
    pub follow_kernel: bool,
    /// Addresses that a program binds to are ours, whatever they are: no flag named any.
    pub adopt: bool,
}

/// For the error that names an unknown one.
const KNOWN: &str = "profile, ip_version, local_ip, netmask_ip, remote_ip, gateway_ip, mtu, \
                     seed, segments, kernel_sysctls, net.…";

impl Flags {
    /// Reads `key=value` pairs between commas, or blanks where each has a `=`.
    ///
    /// # Errors
    /// In words: which, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pairs = pairs(text)?;
        let find = |name: &str| pairs.iter().rev().find(|p| p.0 == name).map(|p| p.1);
        let profile = match find("profile") {
            None | Some("linux") => Profile::Linux,
            Some("freebsd") => Profile::FreeBsd,
            Some(other) => return Err(format!("profile={other}: not linux or freebsd")),
        };
        let mode = match find("ip_version") {
            None | Some("ipv4") => Mode::V4,
            Some("ipv4-mapped-ipv6") => Mode::Mapped,
            Some("ipv6") => Mode::V6,
            Some(other) => {
                let known = "ipv4, ipv4-mapped-ipv6 or ipv6";
                return Err(format!("ip_version={other}: not {known}"));
            }
        };
        let mut flags = Self {
            setup: Setup::new(profile, mode),
            sysctls: Vec::new(),
            cut: true,
            follow_kernel: profile == Profile::Linux,
            adopt: find("local_ip").is_none(),
        };
        for (name, value) in &pairs {
            flags.set(name, value)?;
        }
        Ok(flags)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let bad = |what: &str| format!("{name}={value}: not {what}");
        let address = || value.parse::<IpAddr>().map_err(|_| bad("an address"));
        match name {
            "profile" | "ip_version" => {}
            "local_ip" => match value.split_once('/') {
                None => self.setup.local = address()?,
                Some((ip, prefix)) => {
                    self.setup.local = ip.parse().map_err(|_| bad("an address"))?;
                    self.setup.prefix = prefix.parse().map_err(|_| bad("an address"))?;
                }
            },
            "netmask_ip" => match address()? {
                IpAddr::V4(mask) => {
                    let ones = u32::from(mask).leading_ones();
                    self.setup.prefix = u8::try_from(ones).map_err(|_| bad("a mask"))?;
                }
                IpAddr::V6(_) => return Err(bad("a mask of IPv4")),
            },
            "remote_ip" => {
                let ip = value.split('/').next().unwrap_or(value);
                self.setup.remote = ip.parse().map_err(|_| bad("an address"))?;
            }
            "gateway_ip" => self.setup.gateway = address()?,
            "mtu" => self.setup.mtu = value.parse().map_err(|_| bad("a number"))?,
            "seed" => self.setup.seed = value.parse().map_err(|_| bad("a number"))?,
            "segments" => {
                self.cut = match value {
                    "mss" => true,
                    "whole" => false,
                    _ => return Err(bad("mss or whole")),
                }
            }
            "kernel_sysctls" => {
                self.follow_kernel = match value {
                    "on" => true,
                    "off" => false,
                    _ => return Err(bad("on or off")),
                }
            }
            name if name.starts_with("net.") || name.starts_with("kern.") => {
                self.sysctls.push((name.to_owned(), value.to_owned()));
            }
            _ => return Err(format!("{name}: no such flag; there are {KNOWN}")),
        }
        Ok(())
    }
}

/// The pairs, without the dashes that one may be used to write.
fn pairs(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let words: Vec<&str> = part.split_whitespace().collect();
        let several = words.len() > 1 && words.iter().all(|w| w.contains('='));
        let parts = if several { words } else { vec![part] };
        for pair in parts {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("{pair}: a flag is NAME=VALUE; there are {KNOWN}"))?;
            all.push((name.trim().trim_start_matches('-'), value.trim()));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_what_they_say() {
        let text = "profile=freebsd,--mtu=1520 seed=7,local_ip=10.1.2.3/8,\
                    net.ipv4.tcp_rmem=4096 8192 16384";
        let flags = Flags::parse(text).unwrap();
        assert_eq!(flags.setup.profile, Profile::FreeBsd);
        assert_eq!((flags.setup.mtu, flags.setup.seed), (1520, 7));
        assert_eq!(flags.setup.local, IpAddr::from([10, 1, 2, 3]));
        assert_eq!((flags.setup.prefix, flags.adopt), (8, false));
        assert_eq!(flags.sysctls[0].1, "4096 8192 16384");
        assert!(Flags::parse("").unwrap().adopt);
    }

    #[test]
    fn what_is_unknown_is_named() {
        for (text, named) in [
            ("colour=red", "colour"),
            ("mtu=big", "mtu=big"),
            ("ip_version=ipv5", "ipv5"),
            ("quiet", "NAME=VALUE"),
        ] {
            let error = Flags::parse(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
