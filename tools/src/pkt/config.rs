//! What a script's option lines and the user set.

use super::tree::Defines;
use crate::posix::{Mode, Profile, Setup};
use std::net::IpAddr;

/// How a script is to be run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose defaults the stack takes.
    pub profile: Profile,
    /// Which sockets over which wire, where the script does not say.
    pub mode: Mode,
    /// Names and what they stand for in scripts.
    pub defines: Defines,
}

impl Options {
    /// The names that scripts find defined: those of Linux's own collection, then the user's.
    pub(super) fn all_defines(&self, mode: Mode) -> Defines {
        let v6 = mode == Mode::V6;
        let pick = |four: &str, six: &str| if v6 { six } else { four }.to_owned();
        let mut names = Defines::new();
        if self.profile == Profile::Linux {
            // Cookies that Linux makes with the key of its scripts for these addresses.
            let mut put = |name: &str, value| names.insert(name.to_owned(), value);
            put("TFO_COOKIE", pick("3021b9d889017eeb", "c1d1e9742a47a9bc"));
            put(
                "TFO_COOKIE_ZERO",
                pick("b7c12350a90dc8f5", "82af1a8f9a205c34"),
            );
            let plain = mode == Mode::V4;
            let level = |four: &str, six: &str| if plain { four } else { six }.to_owned();
            put("CMSG_LEVEL_IP", level("SOL_IP", "SOL_IPV6"));
            put("CMSG_TYPE_RECVERR", level("IP_RECVERR", "IPV6_RECVERR"));
        }
        names.extend(self.defines.clone());
        names
    }
}

/// The mode that a script asks for.
pub(super) fn mode_of(name: &str) -> Option<Mode> {
    match name {
        "ipv4" => Some(Mode::V4),
        "ipv4-mapped-ipv6" => Some(Mode::Mapped),
        "ipv6" => Some(Mode::V6),
        _ => None,
    }
}

/// A script's settings, worked out.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) setup: Setup,
    pub(super) bind_port: u16,
    pub(super) connect_port: u16,
    /// Nanoseconds by which an event may come early or late.
    pub(super) tolerance: u64,
    /// The same in thousandths of the time since the event before.
    pub(super) tolerance_mille: u64,
    /// Length of a timestamp's tick in nanoseconds; 0: timestamps are not checked.
    pub(super) tick: u64,
    /// An echoed timestamp that was never sent is taken as if it had been.
    pub(super) ecr_scaled: bool,
    /// The echoed timestamp of what leaves is checked too (ours).
    pub(super) ecr_exact: bool,
    /// Read and checked, but not run.
    pub(super) dry: bool,
    /// A packet matches one packet, never a run.
    pub(super) strict_segments: bool,
    /// Packets that differ are told but do not fail the script.
    pub(super) lenient_packets: bool,
    /// Calls that differ likewise.
    pub(super) lenient_calls: bool,
    /// Segments of this size were joined on the way in to what is longer.
    pub(super) joined: Option<u16>,
    /// Shell blocks' files to go through first.
    pub(super) init_scripts: Vec<String>,
}

impl Config {
    /// From a script's option lines.
    pub(super) fn new(
        lines: &[(String, Option<String>)],
        options: &Options,
    ) -> Result<Self, String> {
        let mut config = Self {
            setup: Setup::new(options.profile, options.mode),
            bind_port: 8080,
            connect_port: 8080,
            tolerance: 4_000_000,
            tolerance_mille: 125,
            tick: 0,
            ecr_scaled: false,
            ecr_exact: false,
            dry: false,
            strict_segments: false,
            lenient_packets: false,
            lenient_calls: false,
            joined: None,
            init_scripts: Vec::new(),
        };
        for (name, value) in lines {
            let text = value.as_deref().unwrap_or_default().trim_matches('"');
            config
                .set(name, text)
                .map_err(|why| format!("--{name}={text}: {why}"))?;
        }
        Ok(config)
    }

    fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
            text.parse().map_err(|_| "not such a number".to_owned())
        }
        let address = || -> Result<IpAddr, String> {
            let text = text.split('/').next().unwrap_or_default();
            let ip: IpAddr = text.parse().map_err(|_| "no address")?;
            let fits = ip.is_ipv6() == (self.setup.mode == Mode::V6);
            if fits {
                Ok(ip)
            } else {
                Err("an address of the other kind".into())
            }
        };
        match name {
            // The mode was chosen by it already.
            "ip_version" => {
                mode_of(text).ok_or("no such version")?;
            }
            "bind_port" => self.bind_port = number(text)?,
            "connect_port" => self.connect_port = number(text)?,
            "local_ip" => self.setup.local = address()?,
            "remote_ip" => self.setup.remote = address()?,
            "gateway_ip" => self.setup.gateway = address()?,
            "netmask_ip" => {
                let mask: std::net::Ipv4Addr = text.parse().map_err(|_| "no mask")?;
                self.setup.prefix = u8::try_from(mask.to_bits().count_ones()).unwrap_or(32);
            }
            "mtu" => self.setup.mtu = number(text)?,
            "tolerance_usecs" => {
                self.tolerance = number::<u32>(text).map(|us| u64::from(us) * 1000)?
            }
            "tolerance_percent" => {
                let percent: f64 = number(text)?;
                if !(0.0..=100.0).contains(&percent) {
                    return Err("not from 0 to 100".into());
                }
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "0..1000"
                )]
                let mille = (percent * 10.0) as u64;
                self.tolerance_mille = mille;
            }
            "tcp_ts_tick_usecs" => {
                self.tick = number::<u32>(text).map(|us| u64::from(us) * 1000)?
            }
            "tcp_ts_ecr_scaled" => self.ecr_scaled = true,
            "tcp_ts_ecr_exact" => self.ecr_exact = true,
            "dry_run" => self.dry = true,
            "strict_segments" => self.strict_segments = true,
            "non_fatal" => {
                self.lenient_packets |= text.contains("packet");
                self.lenient_calls |= text.contains("syscall");
            }
            "init_scripts" => {
                self.init_scripts = text.split(',').map(|path| path.trim().to_owned()).collect();
            }
            // How the original gets at a kernel, a wire and an interpreter; or what is so anyway.
            "mss" => self.joined = number::<u16>(text).map(|n| Some(n).filter(|n| *n > 0))?,
            "define" | "send_omit_free" | "speed" | "debug" | "verbose" | "is_anyip"
            | "code_command" | "code_format" | "code_sockopt" | "so_filename" | "so_flags"
            | "persistent_tun_dev" | "wire_client" | "wire_client_dev" | "wire_server_dev"
            | "wire_server_ip" | "wire_server_port" => {}
            _ => return Err("this option is not known".into()),
        }
        Ok(())
    }
}
