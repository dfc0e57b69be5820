//! The kernel's settings by name, and the policies of our TCP that they are.
//!
//! Those that say something our TCP has are applied. Those that it knows one way only are taken where
//! they ask for just that, or where it makes no difference; else, and of others, the caller is told.

use super::Profile;
use super::settings::{Keys, Settings};
use stack::time::Duration;
use stack::transport::tcp::options::{
    Accounting, Buffer, Ecn, EcnOption, KeepAlive, MtuProbing, OpeningErrors, SynFin,
};
use stack::transport::tcp::{Algorithm, Cookies, Options};

/// The settings.
#[derive(Clone, Debug)]
pub(super) struct Sysctls {
    /// What connections start with.
    pub(super) options: Options,
    pub(super) profile: Profile,
    /// `tcp_rmem`: least, default, most.
    pub(super) rmem: [u32; 3],
    /// `tcp_wmem`.
    pub(super) wmem: [u32; 3],
    /// `core.rmem_max` and `core.wmem_max`.
    pub(super) core_max: [u32; 2],
    /// `tcp_fastopen`'s bits.
    pub(super) fastopen: u32,
    /// `tcp_fastopen_key`.
    pub(super) fastopen_key: Option<Keys>,
    /// `tcp_abort_on_overflow`.
    pub(super) abort_on_overflow: bool,
    pub(super) cookies: Cookies,
    /// `core.somaxconn`.
    pub(super) somaxconn: i32,
    /// `tcp_notsent_lowat`.
    pub(super) notsent_lowat: u32,
    /// `tcp_max_syn_backlog`: half-open connections of a listener, where no cookies are sent.
    pub(super) max_syn_backlog: u32,
    /// `ip_local_port_range`.
    pub(super) ports: (u16, u16),
    /// `ip_nonlocal_bind`.
    pub(super) nonlocal_bind: bool,
    pub(super) keepalive: KeepAlive,
    /// Every connection probes a silent peer.
    pub(super) always_keepalive: bool,
}

/// What may be asked of a setting that nothing here follows.
#[derive(Clone, Copy, Debug)]
enum Takes {
    /// Any number: it has no effect in Linux either, or none that a script could see.
    Any,
    /// What we do anyway, or what makes no difference to it.
    Only(&'static [i64]),
    /// So much or more, which is no limit to what a script does.
    AtLeast(i64),
}

impl Takes {
    fn takes(self, value: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Only(values) => values.contains(&value),
            Self::AtLeast(least) => value >= least,
        }
    }
}

/// Settings that our TCP knows one way only. Others than these values would change what Linux does,
/// and are refused.
const FIXED: &[(&str, Takes)] = &[
    // Without effect since Linux 6.6, 4.15 and 4.14.
    ("tcp_adv_win_scale", Takes::Any),
    ("tcp_fack", Takes::Any),
    ("tcp_low_latency", Takes::Any),
    // Neither keeps any of the window back.
    ("tcp_app_win", Takes::Only(&[0, 31])),
    // Both wait for what lies in the device's queue, where nothing ever lies.
    ("tcp_autocorking", Takes::Any),
    ("tcp_limit_output_bytes", Takes::Any),
    // Nothing is measured by its first segments before there is a probe.
    ("tcp_base_mss", Takes::Only(&[1024])),
    ("tcp_mtu_probe_floor", Takes::Only(&[48])),
    ("tcp_probe_interval", Takes::Only(&[600])),
    ("tcp_probe_threshold", Takes::Only(&[8])),
    // No script gets a thousand challenges in a second.
    ("tcp_challenge_ack_limit", Takes::AtLeast(1000)),
    // Linux's defaults, and none at all, which is what we do.
    ("tcp_comp_sack_delay_ns", Takes::Only(&[0, 1_000_000])),
    ("tcp_comp_sack_nr", Takes::Only(&[0, 44])),
    ("tcp_comp_sack_rtt_percent", Takes::Only(&[33])),
    ("tcp_comp_sack_slack_ns", Takes::Any),
    ("tcp_fastopen_blackhole_timeout_sec", Takes::Only(&[0])),
    ("tcp_max_reordering", Takes::Only(&[300])),
    // Pages; far more than a script's sockets take.
    ("tcp_mem", Takes::AtLeast(8192)),
    ("tcp_min_rtt_wlen", Takes::Only(&[300])),
    ("tcp_min_snd_mss", Takes::Only(&[48])),
    ("tcp_moderate_rcvbuf", Takes::Only(&[1])),
    // Nothing but Fast Open's cookies is kept of a peer; Linux's default keeps more.
    ("tcp_no_metrics_save", Takes::Only(&[0, 1])),
    ("tcp_no_ssthresh_metrics_save", Takes::Only(&[1])),
    ("tcp_pacing_ca_ratio", Takes::Only(&[120])),
    ("tcp_pacing_ss_ratio", Takes::Only(&[200])),
    ("tcp_plb_enabled", Takes::Only(&[0])),
    ("tcp_reflect_tos", Takes::Only(&[0])),
    ("tcp_retrans_collapse", Takes::Only(&[1])),
    ("tcp_shrink_window", Takes::Only(&[0])),
    ("tcp_stdurg", Takes::Only(&[0])),
    ("tcp_thin_linear_timeouts", Takes::Only(&[0])),
    ("tcp_tso_rtt_log", Takes::Only(&[9])),
    // Two is for the loopback device only, which scripts have none of.
    ("tcp_tw_reuse", Takes::Only(&[0, 2])),
    ("tcp_workaround_signed_windows", Takes::Only(&[0])),
    ("tcp_tw_recycle", Takes::Only(&[0])),
    ("tcp_max_tw_buckets", Takes::AtLeast(1000)),
    ("tcp_max_orphans", Takes::AtLeast(1000)),
    ("ip_no_pmtu_disc", Takes::Only(&[0])),
    // There is one device, and one program that is asked.
    ("ip_forward", Takes::Any),
    ("netdev_max_backlog", Takes::Any),
    // Datagrams alone are bounded by these.
    ("rmem_default", Takes::Any),
    ("wmem_default", Takes::Any),
    // Only for sockets that ask for MPTCP by its number.
    ("net.mptcp.enabled", Takes::Only(&[0, 1])),
];

/// The same of FreeBSD's.
const FIXED_FREEBSD: &[(&str, Takes)] = &[
    // What is remembered of servers: nothing but Fast Open's cookies.
    ("tcp.hostcache.purgenow", Takes::Any),
    ("tcp.hostcache.purge", Takes::Any),
    ("tcp.rexmit_slop", Takes::Only(&[200])),
    ("tcp.rfc6675_pipe", Takes::Only(&[1])),
    ("tcp.tolerate_missing_ts", Takes::Only(&[0])),
    ("tcp.recvbuf_auto", Takes::Only(&[1])),
    ("tcp.sendbuf_auto", Takes::Only(&[1])),
    ("tcp.do_tcpdrain", Takes::Any),
    ("tcp.log_in_vain", Takes::Any),
    ("tcp.log_debug", Takes::Any),
    ("tcp.path_mtu_discovery", Takes::Only(&[1])),
    ("tcp.pmtud_blackhole_detection", Takes::Only(&[0])),
    ("tcp.rfc3042", Takes::Only(&[1])),
    ("tcp.do_prr", Takes::Only(&[1])),
    ("tcp.do_lrd", Takes::Only(&[0])),
    ("tcp.newcwv", Takes::Only(&[0])),
    ("tcp.nolocaltimewait", Takes::Any),
    ("tcp.msl_local", Takes::Any),
    ("tcp.fast_finwait2_recycle", Takes::Only(&[0])),
    ("tcp.tso", Takes::Any),
    // What we never do, or always.
    ("tcp.blackhole", Takes::Only(&[0])),
    ("tcp.insecure_ack", Takes::Only(&[0])),
    ("tcp.ecn.plusplus", Takes::Only(&[0])),
    ("tcp.ecn.generalized", Takes::Only(&[0])),
    ("udp.blackhole", Takes::Only(&[0])),
    ("tcp.syncookies", Takes::Only(&[1])),
    ("tcp.syncookies_only", Takes::Only(&[0])),
];

/// Whether a setting that is not followed may be so; `None` where it is not such.
fn fixed(table: &[(&str, Takes)], name: &str, values: &[i64]) -> Option<Result<(), String>> {
    let (_, takes) = table.iter().find(|(known, _)| *known == name)?;
    Some(match values.iter().all(|value| takes.takes(*value)) {
        true => Ok(()),
        false => Err(NOT_HONOURED.to_owned()),
    })
}

const NOT_HONOURED: &str = "that value is not honoured";

impl Sysctls {
    /// A profile's own. Linux's buffers are those of packet scripts, which tell them by the scale
    /// and the window of the first segments: 8 and 65,535.
    pub(super) fn new(profile: Profile) -> Self {
        let linux = profile == Profile::Linux;
        let mut options = match profile {
            Profile::Linux => Options::default(),
            Profile::FreeBsd => Options::freebsd(),
        };
        if linux {
            options.ecn = Ecn::Passive;
            options.syn_retries = 6;
            options.syn_steady = 4;
        }
        options.slow_start_after_idle = true;
        options.burst_segments = linux.then_some(2);
        if linux {
            options.accounting = Accounting::Packets;
            options.fast_open_insists = true;
        }
        options.mtu_probing = MtuProbing::Off;
        let (rmem, wmem) = match linux {
            true => ([4096, 540_000, 15 << 20], [4096, 256 << 10, 4 << 20]),
            // Its scale of 6 is that of 2 MiB.
            false => ([4096, 65_536, 2 << 20], [4096, 32_768, 2 << 20]),
        };
        let keepalive = KeepAlive {
            probes: if linux { 9 } else { 8 },
            ..KeepAlive::default()
        };
        Self {
            options,
            profile,
            rmem,
            wmem,
            core_max: [4 << 20, 4 << 20],
            fastopen: u32::from(linux),
            // What packet scripts know the cookies of.
            fastopen_key: key("a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4"),
            abort_on_overflow: false,
            cookies: Cookies::WhenFull,
            somaxconn: 4096,
            notsent_lowat: u32::MAX,
            max_syn_backlog: 4096,
            ports: (32_768, 60_999),
            nonlocal_bind: false,
            keepalive,
            always_keepalive: !linux,
        }
    }

    /// What collections' `defaults.sh` sets otherwise than Linux has it.
    pub(super) const fn take_collections(&mut self) {
        if matches!(self.profile, Profile::Linux) {
            self.options.ecn = Ecn::Off;
            self.options.syn_retries = 5;
            self.options.slow_start_after_idle = false;
            self.fastopen = 3;
        }
    }

    /// Sets one.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let name = name.trim().trim_start_matches("/proc/sys/");
        let dotted = name.replace('/', ".");
        let value = value.trim().trim_matches('"');
        if let Some(known) = self.set_freebsd(&dotted, value) {
            return known;
        }
        let short = dotted
            .strip_prefix("net.ipv4.")
            .or_else(|| dotted.strip_prefix("net.core."))
            .or_else(|| dotted.strip_prefix("net.ipv6."))
            .unwrap_or(&dotted);
        let bad = || format!("{dotted}: not a value for it: {value:?}");
        if short == "tcp_congestion_control" {
            self.options.congestion = Algorithm::by_name(value).ok_or_else(bad)?;
            return Ok(());
        }
        if short == "tcp_fastopen_key" {
            self.fastopen_key = Some(key(value).ok_or_else(bad)?);
            return Ok(());
        }
        if short == "default_qdisc" {
            // The one queue that paces.
            self.options.pacing = value == "fq";
            let plain = ["fq", "pfifo", "bfifo", "pfifo_fast", "fq_codel", "noqueue"];
            return match plain.contains(&value) {
                true => Ok(()),
                false => Err(NOT_HONOURED.to_owned()),
            };
        }
        if short == "tcp_allowed_congestion_control" {
            // A script's program may have them all; Linux takes names that it knows.
            let known = |name: &str| Algorithm::by_name(name).is_some();
            return match value.split_whitespace().all(known) {
                true => Ok(()),
                false => Err(bad()),
            };
        }
        let numbers = numbers(value).ok_or_else(bad)?;
        let first = *numbers.first().ok_or_else(bad)?;
        let several = match short {
            "tcp_rmem" | "tcp_wmem" | "tcp_mem" => 3,
            "ip_local_port_range" => 2,
            _ => 1,
        };
        if numbers.len() != several {
            return Err(bad());
        }
        if let Some(told) = fixed(FIXED, short, &numbers) {
            return told;
        }
        if first < 0 {
            return Err(bad());
        }
        let triple = || match numbers.as_slice() {
            [a, b, c] => Some([clamp(*a), clamp(*b), clamp(*c)]),
            _ => None,
        };
        match short {
            "tcp_rmem" => self.rmem = triple().ok_or_else(bad)?,
            "tcp_wmem" => self.wmem = triple().ok_or_else(bad)?,
            "rmem_max" => self.core_max[0] = clamp(first),
            "wmem_max" => self.core_max[1] = clamp(first),
            "ip_nonlocal_bind" => self.nonlocal_bind = first != 0,
            "ip_local_port_range" => {
                let ports: Option<Vec<u16>> = numbers
                    .iter()
                    .map(|port| u16::try_from(*port).ok())
                    .collect();
                self.ports = match ports.as_deref() {
                    Some(&[low, high]) if 0 < low && low <= high => (low, high),
                    _ => return Err(bad()),
                };
            }
            "tcp_max_syn_backlog" => self.max_syn_backlog = clamp(first),
            "tcp_recovery" if first > 1 => return Err(NOT_HONOURED.to_owned()),
            "tcp_ecn" if first > 5 => return Err(bad()),
            "tcp_ecn_option" if first > 3 => return Err(bad()),
            "tcp_reordering" if !(1..=300).contains(&first) => return Err(bad()),
            "tcp_tso_win_divisor" if first == 0 => return Err(NOT_HONOURED.to_owned()),
            "somaxconn" => self.somaxconn = i32::try_from(first).map_err(|_| bad())?,
            "tcp_abort_on_overflow" => self.abort_on_overflow = first != 0,
            "tcp_fastopen" => self.fastopen = clamp(first),
            "tcp_notsent_lowat" => self.notsent_lowat = clamp(first),
            "tcp_slow_start_after_idle" => self.options.slow_start_after_idle = first != 0,
            "tcp_syncookies" => {
                self.cookies = match first {
                    0 => Cookies::Never,
                    1 => Cookies::WhenFull,
                    _ => Cookies::Always,
                }
            }
            "tcp_keepalive_time" => self.keepalive.idle = secs(first),
            "tcp_keepalive_intvl" => self.keepalive.interval = secs(first),
            "tcp_keepalive_probes" => self.keepalive.probes = byte(first),
            _ => {
                return self
                    .set_option(short, first)
                    .ok_or_else(|| format!("{dotted}: no such sysctl"));
            }
        }
        Ok(())
    }

    /// FreeBSD's, which are told by their names; `None` for others.
    fn set_freebsd(&mut self, dotted: &str, value: &str) -> Option<Result<(), String>> {
        let families = ["net.inet.", "net.inet6.", "kern."];
        let name = families
            .iter()
            .find_map(|family| dotted.strip_prefix(family))?;
        if name == "tcp.cc.algorithm" {
            let name = if value == "newreno" { "reno" } else { value };
            let known = Algorithm::by_name(name);
            self.options.congestion = known.unwrap_or(self.options.congestion);
            return Some(known.map(|_| ()).ok_or(format!("no algorithm {value}")));
        }
        if name == "tcp.functions_default" {
            return Some(match value {
                "freebsd" => Ok(()),
                other => Err(format!("there is no TCP {other} here")),
            });
        }
        let Ok(n) = value.parse::<i64>() else {
            return Some(Err(format!("{dotted}: not a value for it: {value:?}")));
        };
        let millis = Duration::from_millis(positive(n));
        let (on, o) = (n != 0, &mut self.options);
        match name {
            "tcp.rfc1323" => {
                o.timestamps = n == 1 || n == 3;
                o.window_scaling = n == 1 || n == 2;
            }
            "tcp.sack.enable" => o.sack = on,
            "tcp.ecn.enable" => {
                o.ecn = match n {
                    0 => Ecn::Off,
                    1 => Ecn::Active,
                    3 => Ecn::Accurate,
                    4 => Ecn::AccuratePassive,
                    _ => Ecn::Passive,
                }
            }
            "tcp.recvspace" => self.rmem[1] = clamp(n),
            "tcp.sendspace" => self.wmem[1] = clamp(n),
            "tcp.recvbuf_max" => self.rmem[2] = clamp(n),
            "tcp.sendbuf_max" => self.wmem[2] = clamp(n),
            "tcp.recvbuf_auto" if !on => self.rmem[2] = self.rmem[1],
            "ipc.maxsockbuf" => self.rmem[2] = clamp(n),
            "tcp.icmp_may_rst" => {
                o.opening_errors = match on {
                    true => OpeningErrors::Hard,
                    false => OpeningErrors::None,
                }
            }
            "tcp.insecure_rst" => o.trusts_resets = on,
            "tcp.insecure_syn" => o.trusts_syns = on,
            "tcp.drop_synfin" => {
                o.syn_fin = match on {
                    true => SynFin::Never,
                    false => SynFin::Always,
                }
            }
            "tcp.keepinit" => o.open_timeout = Some(millis),
            "tcp.rexmit_drop_options" => o.plain_syn_after = if on { 3 } else { 0 },
            "tcp.ecn.maxretries" => o.ecn_retries = byte(n),
            "tcp.always_keepalive" => self.always_keepalive = on,
            "tcp.rexmit_initial" => o.rto_initial = millis,
            "tcp.rexmit_min" => o.rto_min = millis,
            "tcp.msl" => o.time_wait = millis * 2,
            "tcp.finwait2_timeout" => o.fin_wait_2 = millis,
            "tcp.keepidle" => self.keepalive.idle = millis,
            "tcp.keepintvl" => self.keepalive.interval = millis,
            "tcp.keepcnt" => self.keepalive.probes = byte(n),
            "tcp.delacktime" => o.delayed_ack = millis,
            "tcp.delayed_ack" => o.quick_acks = if on { 0 } else { u8::MAX },
            "tcp.initcwnd_segments" => o.initial_window = u16::try_from(n).unwrap_or(10),
            "tcp.fastopen.server_enable" => {
                self.fastopen = self.fastopen & !2 | if on { 2 } else { 0 };
            }
            "tcp.fastopen.client_enable" => {
                self.fastopen = self.fastopen & !1 | u32::from(on);
            }
            "tcp.syncookies" if !on => self.cookies = Cookies::Never,
            "tcp.syncookies_only" if on => self.cookies = Cookies::Always,
            "ip.ttl" => o.ttl = byte(n),
            "ipc.somaxconn" | "ipc.soacceptqueue" => {
                self.somaxconn = i32::try_from(n).unwrap_or(i32::MAX);
            }
            _ => {
                let none = || Err(format!("{dotted}: no such sysctl is known"));
                return Some(fixed(FIXED_FREEBSD, name, &[n]).unwrap_or_else(none));
            }
        }
        Some(Ok(()))
    }

    fn set_option(&mut self, name: &str, value: i64) -> Option<()> {
        let on = value != 0;
        let o = &mut self.options;
        match name {
            "tcp_timestamps" => o.timestamps = on,
            "tcp_window_scaling" => o.window_scaling = on,
            "tcp_sack" => o.sack = on,
            "tcp_dsack" => o.dsack = on,
            "tcp_frto" => o.frto = on,
            "tcp_min_tso_segs" => o.burst_segments = Some(byte(value)),
            // Three and four ask for it; less stood for a means that is gone.
            "tcp_early_retrans" => o.tail_loss_probe = value >= 3,
            "tcp_orphan_retries" => o.orphan_retries = if on { byte(value) } else { 8 },
            "tcp_recovery" => o.rack = value & 1 != 0,
            "tcp_syn_retries" => o.syn_retries = byte(value),
            "tcp_syn_linear_timeouts" => o.syn_steady = byte(value),
            "tcp_synack_retries" => o.syn_ack_retries = byte(value),
            "tcp_retries1" => o.retries1 = byte(value),
            "tcp_retries2" => o.retries2 = byte(value),
            "tcp_invalid_ratelimit" => {
                o.challenge_interval = Duration::from_millis(positive(value));
            }
            "tcp_fin_timeout" => o.fin_wait_2 = secs(value),
            "tcp_rto_min_us" => o.rto_min = Duration::from_micros(positive(value)),
            "tcp_rto_max_ms" => o.rto_max = Duration::from_millis(positive(value)),
            "tcp_mtu_probing" => {
                o.mtu_probing = match value {
                    0 => MtuProbing::Off,
                    1 => MtuProbing::BlackHole,
                    _ => MtuProbing::Always,
                }
            }
            "tcp_ecn" => {
                o.ecn = match value {
                    0 => Ecn::Off,
                    1 => Ecn::Active,
                    3 => Ecn::Accurate,
                    4 => Ecn::AccurateIn,
                    5 => Ecn::AccuratePassive,
                    _ => Ecn::Passive,
                }
            }
            "tcp_ecn_fallback" => (o.ecn_fallback, o.ecn_checks) = (on, on),
            "tcp_ecn_option" => {
                o.ecn_option = match value {
                    0 => EcnOption::Never,
                    1 => EcnOption::Sparing,
                    3 => EcnOption::Persistent,
                    _ => EcnOption::Usual,
                }
            }
            "tcp_ecn_option_beacon" => o.ecn_beacons = byte(value),
            "ip_default_ttl" => o.ttl = byte(value),
            "tcp_reordering" => o.dup_thresh = u16::try_from(value).ok()?,
            "tcp_rfc1337" => o.lasting_time_wait = on,
            "tcp_tso_win_divisor" => o.burst_share = byte(value),
            _ => return None,
        }
        Some(())
    }

    /// What a new socket is told.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            options: self.options.clone(),
            keepalive: self.keepalive,
            keepalive_on: self.always_keepalive,
            profile: self.profile,
            notsent_lowat: self.notsent_lowat,
            rcvbuf: self.rmem[1],
            sndbuf: self.wmem[1],
            sndbuf_max: self.wmem[2],
            ..Settings::default()
        }
    }

    /// The receive buffer of a connection: as Linux counts it, or in windows.
    pub(super) fn recv_buffer(&self, settings: &Settings) -> Buffer {
        let space = settings.rcvbuf;
        if settings.rcvbuf_locked {
            return Buffer {
                initial: space,
                max: space,
            };
        }
        match self.profile {
            Profile::Linux => Buffer {
                initial: space,
                max: self.rmem[2].max(self.core_max[0] * u32::from(self.rmem[2] == 0)),
            },
            Profile::FreeBsd => Buffer {
                initial: space,
                max: self.rmem[2].max(space),
            },
        }
    }
}

fn numbers(value: &str) -> Option<Vec<i64>> {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    value.split_whitespace().map(number).collect()
}

fn clamp(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

fn byte(value: i64) -> u8 {
    u8::try_from(value.max(0)).unwrap_or(u8::MAX)
}

fn positive(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn secs(value: i64) -> Duration {
    Duration::from_secs(positive(value))
}

/// `a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4`, and the one before after a comma. Linux writes four
/// little-endian words.
fn key(text: &str) -> Option<Keys> {
    let one = |text: &str| -> Option<[u8; 16]> {
        let mut bytes = Vec::new();
        for word in text.trim().split('-') {
            bytes.extend(u32::from_str_radix(word, 16).ok()?.to_le_bytes());
        }
        bytes.try_into().ok()
    };
    match text.split_once(',') {
        Some((first, backup)) => Some((one(first)?, Some(one(backup)?))),
        None => Some((one(text)?, None)),
    }
}
