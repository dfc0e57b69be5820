//! What a device advertises of us as a router: the part `advertise` of a configuration.
//!
//! ```text
//!   [device.advertise] --serde--> Advertise --settings--> stack::net::advertiser::Config
//! ```
//!
//! The keys are those of `radvd.conf`, in our words; RFC 4861 §6.2.1 has the bounds.

use super::text::Text;
use serde::Deserialize;
use stack::net::advertiser::{self, MoreSpecific, Names, Prefix};
use stack::time::Duration;
use stack::wire::{Cidr, ndp};
use std::net::Ipv6Addr;

/// What is advertised on a device, and how often. Times are in seconds, but where RFC 4861 has them in
/// milliseconds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Advertise {
    /// MinRtrAdvInterval.
    pub min_interval: Option<u16>,
    /// MaxRtrAdvInterval.
    pub max_interval: u16,
    /// MinDelayBetweenRAs, in milliseconds.
    pub min_delay_ms: u32,
    /// Which address of the link to speak from.
    pub source: Option<Ipv6Addr>,
    /// AdvDefaultLifetime.
    pub lifetime: Option<u16>,
    /// How it ranks among routers.
    pub preference: Preference,
    /// AdvCurHopLimit.
    pub hop_limit: u8,
    /// AdvManagedFlag.
    pub managed: bool,
    /// AdvOtherConfigFlag.
    pub other_config: bool,
    /// AdvHomeAgentFlag.
    pub home_agent: bool,
    /// HomeAgentPreference.
    pub home_agent_preference: u16,
    /// HomeAgentLifetime.
    pub home_agent_lifetime: Option<u16>,
    /// AdvReachableTime, in milliseconds.
    pub reachable_time_ms: u32,
    /// AdvRetransTimer, in milliseconds.
    pub retrans_timer_ms: u32,
    /// AdvLinkMTU.
    pub mtu: Option<u32>,
    /// Tell the link-layer address.
    pub source_mac: bool,
    /// Tell the longest interval.
    pub interval_option: bool,
    /// DNS servers.
    pub dns: Vec<Ipv6Addr>,
    /// Domains to search in.
    pub search: Vec<String>,
    /// How long both may be used.
    pub dns_lifetime: Option<u32>,
    /// More of both, each list with its own lifetime.
    #[serde(rename = "names")]
    pub more_names: Vec<AdvertisedNames>,
    /// A captive portal's API.
    pub captive_portal: Option<String>,
    /// Answer who asks by itself.
    pub unicast_answers: bool,
    /// The prefix for addresses of IPv4.
    pub nat64: Option<Text<Cidr>>,
    /// Prefixes of the link; those of the device's addresses where none is here.
    #[serde(rename = "prefix")]
    pub prefixes: Option<Vec<AdvertisedPrefix>>,
    /// Routes besides the default one.
    #[serde(rename = "route")]
    pub routes: Vec<AdvertisedRoute>,
}

impl Default for Advertise {
    fn default() -> Self {
        let usual = advertiser::Config::default();
        Self {
            min_interval: None,
            max_interval: 600,
            min_delay_ms: 3000,
            source: None,
            lifetime: None,
            preference: Preference::Medium,
            hop_limit: usual.hop_limit,
            managed: false,
            other_config: false,
            home_agent: false,
            home_agent_preference: 0,
            home_agent_lifetime: None,
            reachable_time_ms: 0,
            retrans_timer_ms: 0,
            mtu: None,
            source_mac: true,
            interval_option: false,
            dns: Vec::new(),
            search: Vec::new(),
            dns_lifetime: None,
            more_names: Vec::new(),
            captive_portal: None,
            unicast_answers: false,
            nat64: None,
            prefixes: None,
            routes: Vec::new(),
        }
    }
}

/// A rank among routers or routes (RFC 4191 §2.1).
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Preference {
    /// Before others.
    High,
    /// As others.
    #[default]
    Medium,
    /// After others.
    Low,
}

/// A prefix that is advertised.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdvertisedPrefix {
    /// Which.
    pub prefix: Text<Cidr>,
    /// It is on the link; true where not given.
    pub on_link: Option<bool>,
    /// Hosts may make addresses from it; true where not given.
    pub autonomous: Option<bool>,
    /// AdvValidLifetime; 30 days where not given.
    pub valid_lifetime: Option<u32>,
    /// AdvPreferredLifetime; 7 days, or what is valid, where not given.
    pub preferred_lifetime: Option<u32>,
    /// Let both run down.
    #[serde(default)]
    pub decrement: bool,
    /// AdvRouterAddr: it is our own address there, and said as a whole.
    #[serde(default)]
    pub router_address: bool,
    /// DeprecatePrefix: not preferred any more when we go.
    #[serde(default)]
    pub deprecate: bool,
}

/// DNS servers and domains with a lifetime of their own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdvertisedNames {
    /// Servers.
    #[serde(default)]
    pub dns: Vec<Ipv6Addr>,
    /// Domains to search in.
    #[serde(default)]
    pub search: Vec<String>,
    /// How long they may be used; three longest intervals where not given.
    pub lifetime: Option<u32>,
}

/// A route that is advertised.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdvertisedRoute {
    /// Where to.
    pub to: Text<Cidr>,
    /// How it ranks.
    #[serde(default)]
    pub preference: Preference,
    /// How long it holds; three longest intervals where not given.
    pub lifetime: Option<u32>,
}

impl Preference {
    const fn of_stack(self) -> ndp::Preference {
        match self {
            Self::High => ndp::Preference::High,
            Self::Medium => ndp::Preference::Medium,
            Self::Low => ndp::Preference::Low,
        }
    }
}

impl Advertise {
    /// The same for the stack.
    #[must_use]
    pub fn settings(&self) -> advertiser::Config {
        let seconds = |s: u16| Duration::from_secs(s.into());
        let prefix = |p: &AdvertisedPrefix| {
            let usual = Prefix::new(match p.router_address {
                true => p.prefix.0,
                false => p.prefix.0.network(),
            });
            let valid_lifetime = p.valid_lifetime.unwrap_or(usual.valid_lifetime);
            let shorter = usual.preferred_lifetime.min(valid_lifetime);
            Prefix {
                on_link: p.on_link.unwrap_or(true),
                autonomous: p.autonomous.unwrap_or(true),
                valid_lifetime,
                preferred_lifetime: p.preferred_lifetime.unwrap_or(shorter),
                decrement: p.decrement,
                router_address: p.router_address,
                deprecate: p.deprecate,
                ..usual
            }
        };
        let route = |r: &AdvertisedRoute| MoreSpecific {
            to: r.to.0.network(),
            preference: r.preference.of_stack(),
            lifetime: r.lifetime,
        };
        let names = |n: &AdvertisedNames| Names {
            servers: n.dns.clone(),
            search: n.search.clone(),
            lifetime: n.lifetime,
        };
        advertiser::Config {
            min_delay: Duration::from_millis(self.min_delay_ms.into()),
            source: self.source,
            home_agent: self.home_agent,
            home_agent_preference: self.home_agent_preference,
            home_agent_lifetime: self.home_agent_lifetime,
            more_names: self.more_names.iter().map(names).collect(),
            min_interval: self.min_interval.map(seconds),
            max_interval: seconds(self.max_interval),
            hop_limit: self.hop_limit,
            managed: self.managed,
            other_config: self.other_config,
            preference: self.preference.of_stack(),
            lifetime: self.lifetime,
            reachable_time: self.reachable_time_ms,
            retrans_timer: self.retrans_timer_ms,
            mtu: self.mtu,
            source_mac: self.source_mac,
            interval_option: self.interval_option,
            prefixes: self
                .prefixes
                .as_ref()
                .map(|all| all.iter().map(prefix).collect()),
            routes: self.routes.iter().map(route).collect(),
            dns: self.dns.clone(),
            search: self.search.clone(),
            dns_lifetime: self.dns_lifetime,
            captive_portal: self.captive_portal.clone(),
            nat64: self.nat64.map(|Text(prefix)| prefix),
            unicast_answers: self.unicast_answers,
        }
    }

    /// Whether that can be.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        let prefixes = self.prefixes.iter().flatten().map(|p| p.prefix);
        let routes = self.routes.iter().map(|r| r.to);
        let mut all = prefixes.chain(routes).chain(self.nat64);
        if let Some(Text(four)) = all.find(|Text(c)| c.addr().is_ipv4()) {
            return Err(format!("advertise: {four} is not IPv6"));
        }
        let checked = self.settings().check();
        checked.map_err(|e| format!("advertise: {e}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_reach_the_stack() {
        let text = "min_delay_ms = 50\nsource = 'fe80::1'\nhome_agent = true\n\
            home_agent_preference = 3\nhome_agent_lifetime = 60\n\
            [[names]]\ndns = ['fd07::3']\nsearch = ['old.example']\nlifetime = 600\n\
            [[prefix]]\nprefix = 'fd07::1/64'\nrouter_address = true\ndeprecate = true\n\
            [[prefix]]\nprefix = 'fd08::1/64'";
        let advertise: Advertise = toml::from_str(text).unwrap();
        assert_eq!(advertise.check(), Ok(()));
        let settings = advertise.settings();
        assert_eq!(settings.min_delay, Duration::from_millis(50));
        assert_eq!(settings.source, "fe80::1".parse().ok());
        let agent = (settings.home_agent, settings.home_agent_preference);
        assert_eq!((agent, settings.home_agent_lifetime), ((true, 3), Some(60)));
        let names = &settings.more_names[0];
        assert_eq!((names.servers.len(), names.search.len()), (1, 1));
        assert_eq!(names.lifetime, Some(600));
        let prefixes = settings.prefixes.unwrap();
        let shown = prefixes
            .iter()
            .map(|p| (p.prefix.to_string(), p.router_address, p.deprecate));
        let want = [("fd07::1/64", true, true), ("fd08::/64", false, false)];
        assert!(shown.eq(want.map(|(p, r, d)| (p.to_owned(), r, d))));
        let usual = Advertise::default().settings();
        assert_eq!(
            usual,
            advertiser::Config {
                max_interval: usual.max_interval,
                ..advertiser::Config::default()
            }
        );
    }
}
