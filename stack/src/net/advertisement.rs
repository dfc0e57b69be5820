//! What a router says of itself and its link: the settings of an interface as advertisements.
//!
//! ```text
//!   Config (RFC 4861 §6.2.1) --write--> [fixed part | source MAC | MTU | prefixes | routes | DNS ...]
//!                                        as many messages as the link's MTU asks for
//! ```
//!
//! Read first: RFC 4861 §6.2.1 to §6.2.3 and §4.2; RFC 4191 §2; RFC 8106 §5; RFC 8781 §4; RFC 8910
//! §2.3.
//!
//! Promises: what is written are the settings, and nothing is written that a receiver must refuse
//! but what the settings themselves have wrong ([`Config::check`] says what).
//!
//! Left out: options of mobile routers (RFC 3963) and of 6LoWPAN (RFC 6775); when to send, which is
//! [`super::advertiser`]'s.

use crate::time::{Duration, Instant};
use crate::wire::icmpv6::Message;
use crate::wire::ipv6::Addresses;
use crate::wire::ndp::{
    NdpOption, Preference, PrefixInformation, RouterAdvertisement, RouterFlags, pref64_len,
};
use crate::wire::{Cidr, MacAddr, Writer};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv6Addr;

/// A lifetime that does not end (RFC 4861 §4.6.2).
pub const FOR_EVER: u32 = u32::MAX;

/// What an interface advertises, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// MinRtrAdvInterval: between two that nobody asked for, at least; a third of the longest
    /// where not given, as RFC 4861 §6.2.1 has it.
    pub min_interval: Option<Duration>,
    /// MaxRtrAdvInterval: and at most.
    pub max_interval: Duration,
    /// MIN_DELAY_BETWEEN_RAS: between any two to all nodes, whoever asks. Less than RFC 4861 §10's three
    /// seconds is for links with mobile nodes (RFC 6275 §7.5).
    pub min_delay: Duration,
    /// Which address of the link to speak from; where not given, the one there is. With another than
    /// the interface has, nothing is said.
    pub source: Option<Ipv6Addr>,
    /// AdvCurHopLimit: what hosts should send with; zero does not say.
    pub hop_limit: u8,
    /// AdvManagedFlag: addresses are to be had by DHCPv6.
    pub managed: bool,
    /// AdvOtherConfigFlag: other things are.
    pub other_config: bool,
    /// It is a home agent of mobile nodes (RFC 6275 §7.1).
    pub home_agent: bool,
    /// HomeAgentPreference: among others, the highest first (RFC 6275 §7.4).
    pub home_agent_preference: u16,
    /// HomeAgentLifetime, in seconds; that of the default router where not given.
    pub home_agent_lifetime: Option<u16>,
    /// How hosts should rank it among default routers (RFC 4191 §2.2).
    pub preference: Preference,
    /// AdvDefaultLifetime, in seconds: how long it is a default router after each; zero: never. Three
    /// times the longest interval where not given.
    pub lifetime: Option<u16>,
    /// AdvReachableTime, in milliseconds; zero does not say.
    pub reachable_time: u32,
    /// AdvRetransTimer, in milliseconds; zero does not say.
    pub retrans_timer: u32,
    /// AdvLinkMTU: not said where not given.
    pub mtu: Option<u32>,
    /// Tell the link-layer address; without it hosts have to ask.
    pub source_mac: bool,
    /// Tell the longest interval (RFC 6275 §7.3).
    pub interval_option: bool,
    /// AdvPrefixList; those of the interface's own addresses where not given.
    pub prefixes: Option<Vec<Prefix>>,
    /// Routes besides the default one (RFC 4191 §2.3).
    pub routes: Vec<MoreSpecific>,
    /// Recursive DNS servers (RFC 8106 §5.1).
    pub dns: Vec<Ipv6Addr>,
    /// Domains to search names in (RFC 8106 §5.2).
    pub search: Vec<String>,
    /// Seconds that hosts may use both; three times the longest interval where not given (RFC 8106
    /// §5.1).
    pub dns_lifetime: Option<u32>,
    /// More servers, and more domains, each list with its own lifetime.
    pub more_names: Vec<Names>,
    /// Where the captive portal's API is (RFC 8910 §2.3).
    pub captive_portal: Option<String>,
    /// The prefix of IPv4's addresses in IPv6 (RFC 8781).
    pub nat64: Option<Cidr>,
    /// Answer who asks from an address by itself, and not all nodes (RFC 4861 §6.2.6 MAY): where few
    /// hosts come at a time, and each message to all wakes many, as on a radio link (RFC 7772).
    pub unicast_answers: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min_interval: None,
            max_interval: Duration::from_secs(600),
            min_delay: MIN_DELAY_BETWEEN_RAS,
            source: None,
            hop_limit: 64,
            managed: false,
            other_config: false,
            home_agent: false,
            home_agent_preference: 0,
            home_agent_lifetime: None,
            preference: Preference::Medium,
            lifetime: None,
            reachable_time: 0,
            retrans_timer: 0,
            mtu: None,
            source_mac: true,
            interval_option: false,
            prefixes: None,
            routes: Vec::new(),
            dns: Vec::new(),
            search: Vec::new(),
            dns_lifetime: None,
            more_names: Vec::new(),
            captive_portal: None,
            nat64: None,
            unicast_answers: false,
        }
    }
}

/// RFC 4861 §10: between two advertisements to all nodes.
const MIN_DELAY_BETWEEN_RAS: Duration = Duration::from_secs(3);

/// DNS servers and domains that may be used for as long (RFC 8106 §5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Recursive servers.
    pub servers: Vec<Ipv6Addr>,
    /// Domains to search names in.
    pub search: Vec<String>,
    /// Seconds; three times the longest interval where not given.
    pub lifetime: Option<u32>,
}

/// A prefix that is advertised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Which; with `router_address`, the whole address and its length.
    pub prefix: Cidr,
    /// AdvOnLinkFlag: it is on this link.
    pub on_link: bool,
    /// AdvAutonomousFlag: hosts may make addresses from it.
    pub autonomous: bool,
    /// AdvValidLifetime, in seconds.
    pub valid_lifetime: u32,
    /// AdvPreferredLifetime, in seconds.
    pub preferred_lifetime: u32,
    /// The lifetimes end when they have passed since the interface began to advertise, instead of
    /// staying the same in each advertisement.
    pub decrement: bool,
    /// AdvRouterAddr: this is the router's own address there, which is said as a whole (RFC 6275 §7.2).
    pub router_address: bool,
    /// DeprecatePrefix: when the router goes, what has been made of it is used no more for what is new.
    pub deprecate: bool,
}

impl Prefix {
    /// A prefix with RFC 4861 §6.2.1's defaults: 30 days valid, 7 preferred.
    #[must_use]
    pub const fn new(prefix: Cidr) -> Self {
        Self {
            prefix,
            on_link: true,
            autonomous: true,
            valid_lifetime: 2_592_000,
            preferred_lifetime: 604_800,
            decrement: false,
            router_address: false,
            deprecate: false,
        }
    }

    /// Its valid and its preferred lifetime, `since` the interface began to advertise.
    #[must_use]
    pub fn lifetimes(&self, since: Duration) -> (u32, u32) {
        let passed = match self.decrement {
            true => u32::try_from(since.as_secs()).unwrap_or(u32::MAX),
            false => 0,
        };
        let left = |lifetime: u32| match lifetime {
            FOR_EVER => FOR_EVER,
            ends => ends.saturating_sub(passed),
        };
        (left(self.valid_lifetime), left(self.preferred_lifetime))
    }
}

/// A route that is advertised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoreSpecific {
    /// Where to.
    pub to: Cidr,
    /// How it ranks among others.
    pub preference: Preference,
    /// Seconds; three times the longest interval where not given.
    pub lifetime: Option<u32>,
}

/// Why settings cannot be advertised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError(&'static str);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Whether the settings are within RFC 4861 §6.2.1's bounds.
    ///
    /// # Errors
    /// What is not.
    pub fn check(&self) -> Result<(), ConfigError> {
        let most = self.max_interval;
        let least = self.shortest();
        let between = |low, high| Duration::from_secs(low)..=Duration::from_secs(high);
        //= RFC 4861 §6.2.1 MaxRtrAdvInterval MUST be 4 to 1800 seconds, MinRtrAdvInterval no less than 3
        //= and no greater than three quarters of it.
        if !between(4, 1800).contains(&most) {
            return Err(ConfigError("the longest interval is 4 to 1800 seconds"));
        }
        if self.min_interval.is_some() && !(Duration::from_secs(3)..=most * 3 / 4).contains(&least)
        {
            return Err(ConfigError(
                "the shortest interval is 3 seconds to three quarters of the longest",
            ));
        }
        let lifetime = u64::from(self.router_lifetime());
        //= RFC 4861 §6.2.1 AdvDefaultLifetime MUST be zero or between MaxRtrAdvInterval and 9000 s.
        if lifetime != 0 && !(most.as_secs()..=9000).contains(&lifetime) {
            return Err(ConfigError(
                "the lifetime is 0, or the longest interval to 9000 seconds",
            ));
        }
        //= RFC 4861 §6.2.1 AdvReachableTime MUST be no greater than an hour.
        if self.reachable_time > 3_600_000 {
            return Err(ConfigError("the reachable time is an hour at most"));
        }
        let prefixes = self.prefixes.iter().flatten();
        let mut prefixes = prefixes.map(|p| (p.valid_lifetime, p.preferred_lifetime));
        //= RFC 4861 §6.2.1 AdvPreferredLifetime MUST NOT be larger than AdvValidLifetime.
        if prefixes.any(|(valid, preferred)| preferred > valid) {
            return Err(ConfigError(
                "a prefix is preferred no longer than it is valid",
            ));
        }
        let whole = |p: &Prefix| p.prefix.network().addr() != p.prefix.addr();
        let mut own = self.prefixes.iter().flatten().filter(|p| p.router_address);
        if !own.all(whole) {
            return Err(ConfigError(
                "a router's address is one of its prefix, as fd07::1/64",
            ));
        }
        //= RFC 6275 §7.5 30 ms is the least that a link with mobile nodes takes.
        if !(Duration::from_millis(30)..=most).contains(&self.min_delay) {
            return Err(ConfigError(
                "the least delay is 30 milliseconds to the longest interval",
            ));
        }
        if self.source.is_some_and(|src| !src.is_unicast_link_local()) {
            return Err(ConfigError("a router speaks from an address of the link"));
        }
        //= RFC 6275 §7.4 a Home Agent Lifetime of zero MUST NOT be used.
        if self.home_agent_lifetime == Some(0) {
            return Err(ConfigError("a home agent is one for a second at least"));
        }
        let encoded = |name: &String| encode_name(name).is_some();
        let lists = self.name_lists();
        let fits = |n: &Names| n.search.iter().all(encoded) && names(&n.search).len() <= MAX_OPTION;
        if !lists.iter().all(fits) {
            return Err(ConfigError("the search list has what is no domain's name"));
        }
        if lists.iter().any(|n| n.servers.len() * 16 > MAX_OPTION)
            || self
                .captive_portal
                .as_ref()
                .is_some_and(|uri| uri.len() > MAX_OPTION)
        {
            return Err(ConfigError("an option of DNS or the portal is too long"));
        }
        let fits = |prefix: Cidr| length_code(prefix.prefix_len()).is_some();
        if self.nat64.is_some_and(|prefix| !fits(prefix)) {
            return Err(ConfigError(
                "a NAT64 prefix has 32, 40, 48, 56, 64 or 96 bits",
            ));
        }
        Ok(())
    }

    /// The shortest interval, given or not.
    //= RFC 4861 §6.2.1 its default is 0.33 times the longest, or that where it is less than 9 seconds.
    #[must_use]
    pub fn shortest(&self) -> Duration {
        let usual = match self.max_interval >= Duration::from_secs(9) {
            true => self.max_interval * 33 / 100,
            false => self.max_interval,
        };
        self.min_interval.unwrap_or(usual).min(self.max_interval)
    }

    /// Seconds that it is a default router, given or not.
    #[must_use]
    pub fn router_lifetime(&self) -> u16 {
        let usual = self.thrice();
        self.lifetime
            .unwrap_or_else(|| u16::try_from(usual).unwrap_or(u16::MAX))
    }

    /// All servers and domains, by their lifetimes.
    fn name_lists(&self) -> Vec<Names> {
        let mut all = alloc::vec![Names {
            servers: self.dns.clone(),
            search: self.search.clone(),
            lifetime: self.dns_lifetime,
        }];
        all.extend(self.more_names.iter().cloned());
        all
    }

    fn thrice(&self) -> u32 {
        u32::try_from(self.max_interval.as_secs() * 3).unwrap_or(FOR_EVER)
    }
}

/// When an advertisement is written, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occasion {
    /// Since the interface began to advertise.
    pub since: Duration,
    /// It is one of the last: what goes by this router ends with it.
    pub last: bool,
}

/// The messages, of at most `room` bytes each, from the station `mac` and an address on its link.
#[must_use]
pub fn write(
    config: &Config,
    occasion: Occasion,
    mac: MacAddr,
    room: usize,
    (src, dst): (Ipv6Addr, Ipv6Addr),
) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut list: Vec<u8> = Vec::new();
    let mut end = |list: &[u8]| {
        let message = Message::RouterAdvertisement(fixed(config, occasion, list));
        let mut bytes = alloc::vec![0; message.emit_len()];
        let sum = message.compute_checksum(src, dst);
        let written = message.emit(&mut Writer::new(&mut bytes), sum);
        debug_assert!(written.is_ok(), "room was made for it");
        messages.push(bytes);
    };
    for option in options(config, occasion, mac) {
        //= RFC 4861 §6.2.3 what exceeds the MTU can be sent in several advertisements, each with a
        //= subset of the options.
        if !list.is_empty() && FIXED_LEN + list.len() + option.len() > room {
            end(&list);
            list.clear();
        }
        list.extend(option);
    }
    end(&list);
    messages
}

/// Of an advertisement without options, from its ICMPv6 header on.
const FIXED_LEN: usize = 16;
/// The most bytes behind an option's first eight (RFC 4861 §4.6: its length is one byte of eights).
const MAX_OPTION: usize = 254 * 8;

fn fixed<'a>(config: &Config, occasion: Occasion, list: &'a [u8]) -> RouterAdvertisement<'a> {
    //= RFC 4861 §6.2.5 the last ones have a Router Lifetime of zero.
    let router_lifetime = match occasion.last {
        true => 0,
        false => config.router_lifetime(),
    };
    let mut flags = RouterFlags(0);
    if config.managed {
        flags.0 |= RouterFlags::MANAGED.0;
    }
    if config.other_config {
        flags.0 |= RouterFlags::OTHER_CONFIG.0;
    }
    //= RFC 6275 §7.1 the H bit says that it is a home agent; one that goes is none.
    if config.home_agent && !occasion.last {
        flags.0 |= RouterFlags::HOME_AGENT.0;
    }
    //= RFC 4191 §2.2 with a Router Lifetime of zero the preference MUST be 00.
    let preference = match router_lifetime {
        0 => Preference::Medium,
        _ => config.preference,
    };
    RouterAdvertisement {
        cur_hop_limit: config.hop_limit,
        flags: flags.with_preference(preference),
        router_lifetime,
        reachable_time: config.reachable_time,
        retrans_timer: config.retrans_timer,
        options: list,
    }
}

/// All options, each as its bytes.
fn options(config: &Config, occasion: Occasion, mac: MacAddr) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut add = |option: NdpOption<'_>| {
        let mut bytes = alloc::vec![0; option.emit_len()];
        // What is too long for an option is not said.
        if option.emit(&mut Writer::new(&mut bytes)).is_ok() {
            all.push(bytes);
        }
    };
    let reserved = 0;
    if config.source_mac {
        add(NdpOption::SourceLinkLayerAddress(&mac.0));
    }
    if let Some(mtu) = config.mtu {
        add(NdpOption::Mtu { reserved, mtu });
    }
    if config.interval_option {
        let interval = u32::try_from(config.max_interval.as_millis()).unwrap_or(u32::MAX);
        add(NdpOption::AdvertisementInterval { reserved, interval });
    }
    //= RFC 6275 §7.4 the option MUST NOT be there without the H bit, and says nothing where both of its
    //= values are the usual ones.
    let as_home = (config.home_agent_preference, config.home_agent_lifetime);
    if config.home_agent && !occasion.last && as_home != (0, None) {
        let (preference, lifetime) = as_home;
        add(NdpOption::HomeAgentInformation {
            reserved: 0,
            preference,
            lifetime: lifetime.unwrap_or_else(|| config.router_lifetime().max(1)),
        });
    }
    for prefix in config.prefixes.iter().flatten() {
        if let Some(option) = prefix_option(prefix, occasion) {
            add(NdpOption::PrefixInformation(option));
        }
    }
    // What goes by this router, or is known from it alone, ends when it does; addresses stay.
    let lifetime = |given: Option<u32>| match occasion.last {
        true => 0,
        false => given.unwrap_or_else(|| config.thrice()),
    };
    for route in &config.routes {
        let octets = route.to.network().addr6().map(|a| a.octets());
        let len = match route.to.prefix_len() {
            0 => 0,
            1..=64 => 8,
            _ => 16,
        };
        if let Some(prefix) = octets.as_ref().and_then(|o| o.get(..len)) {
            add(NdpOption::RouteInformation {
                prefix_len: route.to.prefix_len(),
                flags: RouterFlags(0).with_preference(route.preference).0,
                lifetime: lifetime(route.lifetime),
                prefix,
            });
        }
    }
    for list in config.name_lists() {
        let lifetime = lifetime(list.lifetime);
        let servers: Vec<u8> = list.servers.iter().flat_map(Ipv6Addr::octets).collect();
        if let Some(servers) = Addresses::new(&servers).filter(|s| !s.as_bytes().is_empty()) {
            add(NdpOption::Rdnss {
                reserved,
                lifetime,
                servers,
            });
        }
        let names = names(&list.search);
        if !names.is_empty() {
            add(NdpOption::Dnssl {
                reserved,
                lifetime,
                names: &names,
            });
        }
    }
    if let Some(uri) = &config.captive_portal {
        add(NdpOption::CaptivePortal(&padded(uri.clone().into(), 2)));
    }
    if let Some(prefix) = config.nat64
        && let Some(length_code) = length_code(prefix.prefix_len())
        && let Some(octets) = prefix.network().addr6().map(|a| a.octets())
        && let Some(prefix) = octets.first_chunk()
    {
        //= RFC 8781 §4.1 three times the longest interval, rounded up to a multiple of 8 seconds.
        let lifetime = match occasion.last {
            true => 0,
            false => config.thrice().next_multiple_of(8).min(65_528),
        };
        add(NdpOption::Pref64 {
            lifetime: u16::try_from(lifetime).unwrap_or(65_528),
            length_code,
            prefix: *prefix,
        });
    }
    all
}

fn prefix_option(prefix: &Prefix, occasion: Occasion) -> Option<PrefixInformation> {
    let (mut valid_lifetime, mut preferred_lifetime) = prefix.lifetimes(occasion.since);
    if occasion.last && prefix.deprecate {
        preferred_lifetime = 0;
        valid_lifetime = valid_lifetime.min(LAST_VALID);
    }
    //= RFC 6275 §7.2 with the R bit, the prefix is the whole address.
    let shown = match prefix.router_address {
        true => prefix.prefix,
        false => prefix.prefix.network(),
    };
    Some(PrefixInformation {
        prefix_len: prefix.prefix.prefix_len(),
        on_link: prefix.on_link,
        autonomous: prefix.autonomous,
        router_address: prefix.router_address,
        reserved: 0,
        valid_lifetime,
        preferred_lifetime,
        reserved2: 0,
        prefix: shown.addr6()?,
    })
}

/// How long what is made of a prefix stays valid when its router goes: a little more than the two hours
/// that RFC 4862 §5.5.3 (e) takes from anybody.
const LAST_VALID: u32 = 2 * 60 * 60 + 3;

/// What stands for a NAT64 prefix's length (RFC 8781 §4).
fn length_code(len: u8) -> Option<u8> {
    (0..8).find(|code| pref64_len(*code) == Some(len))
}

/// Names as RFC 8106 §5.2 has them, padded; those that are none are left out.
fn names(search: &[String]) -> Vec<u8> {
    let all = search.iter().filter_map(|name| encode_name(name));
    padded(all.flatten().collect(), 0)
}

/// A name in DNS's wire form (RFC 1035 §3.1).
fn encode_name(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        let len = u8::try_from(label.len()).ok();
        bytes.push(len.filter(|len| (1..=63).contains(len))?);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    (bytes.len() <= 255).then_some(bytes)
}

/// Bytes that begin at this place of an option, with zeros up to a multiple of eight.
fn padded(mut bytes: Vec<u8>, begins_at: usize) -> Vec<u8> {
    let whole = (begins_at + bytes.len()).next_multiple_of(8);
    bytes.resize(whole - begins_at, 0);
    bytes
}

/// Something in which two routers of a link contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disagreement {
    /// What hosts should send with.
    HopLimit,
    /// Whether addresses are to be had by DHCPv6.
    Managed,
    /// Whether other things are.
    OtherConfig,
    /// How long a neighbour counts as reachable.
    ReachableTime,
    /// How long to wait before asking again.
    RetransTimer,
    /// The link's MTU.
    Mtu,
    /// How long a prefix is valid.
    ValidLifetime(Cidr),
    /// How long it is preferred.
    PreferredLifetime(Cidr),
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HopLimit => f.write_str("the hop limit"),
            Self::Managed => f.write_str("the managed flag"),
            Self::OtherConfig => f.write_str("the other configuration flag"),
            Self::ReachableTime => f.write_str("the reachable time"),
            Self::RetransTimer => f.write_str("the retransmission timer"),
            Self::Mtu => f.write_str("the MTU"),
            Self::ValidLifetime(prefix) => write!(f, "how long {prefix} is valid"),
            Self::PreferredLifetime(prefix) => write!(f, "how long {prefix} is preferred"),
        }
    }
}

/// In what another router's advertisement contradicts these settings.
//= RFC 4861 §6.2.7 routers SHOULD verify that others advertise what is consistent; values that are
//= not said contradict nothing, and neither do other prefixes.
#[must_use]
pub fn disagreements(
    config: &Config,
    since: Duration,
    said: &RouterAdvertisement<'_>,
) -> Vec<Disagreement> {
    let mut found = Vec::new();
    let mut note = |differs: bool, what| found.extend(differs.then_some(what));
    let differ = |ours: u32, theirs: u32| ours != 0 && theirs != 0 && ours != theirs;
    note(
        differ(config.hop_limit.into(), said.cur_hop_limit.into()),
        Disagreement::HopLimit,
    );
    let flag = |flag| said.flags.contains(flag);
    let managed = flag(RouterFlags::MANAGED);
    note(config.managed != managed, Disagreement::Managed);
    let other = flag(RouterFlags::OTHER_CONFIG);
    note(config.other_config != other, Disagreement::OtherConfig);
    note(
        differ(config.reachable_time, said.reachable_time),
        Disagreement::ReachableTime,
    );
    note(
        differ(config.retrans_timer, said.retrans_timer),
        Disagreement::RetransTimer,
    );
    for option in crate::wire::ndp::options(said.options).flatten() {
        match option {
            NdpOption::Mtu { mtu, .. } => {
                note(
                    config.mtu.is_some_and(|ours| ours != mtu),
                    Disagreement::Mtu,
                );
            }
            NdpOption::PrefixInformation(theirs) => {
                let same = |p: &&Prefix| {
                    p.prefix.prefix_len() == theirs.prefix_len
                        && Cidr::new(theirs.prefix.into(), theirs.prefix_len)
                            .is_some_and(|theirs| theirs.network() == p.prefix.network())
                };
                if let Some(ours) = config.prefixes.iter().flatten().find(same) {
                    let (valid, preferred) = ours.lifetimes(since);
                    //= RFC 4861 §6.2.7 lifetimes that decrement are compared with some skew.
                    let skew = if ours.decrement { SKEW } else { 0 };
                    let far = |a: u32, b: u32| a.abs_diff(b) > skew;
                    let which = ours.prefix.network();
                    note(
                        far(valid, theirs.valid_lifetime),
                        Disagreement::ValidLifetime(which),
                    );
                    note(
                        far(preferred, theirs.preferred_lifetime),
                        Disagreement::PreferredLifetime(which),
                    );
                }
            }
            _ => {}
        }
    }
    found
}

/// Seconds that the clocks of two routers may differ.
const SKEW: u32 = 10;

/// Since when, to say for how long: zero before the first advertisement.
#[must_use]
pub fn since(began: Option<Instant>, now: Instant) -> Duration {
    began.map_or(Duration::ZERO, |began| now.since(began))
}

#[cfg(test)]
#[path = "tests/advertisement.rs"]
mod tests;
