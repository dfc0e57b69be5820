//! The configuration file of `up`: devices, addresses, routes, VLANs, forwarding, services.
//!
//! ```text
//!   TOML --serde--> Config --check--> sandbox   the kernel's side of each device
//!                                \--> up        our side: a host's interfaces, routes, services
//! ```
//!
//! Unknown keys are errors: a misspelt one must not be silently without effect.

use super::Failure;
use super::advertise::Advertise;
pub use super::text::Text;
use crate::endpoint::services::Service;
use serde::Deserialize;
use serde::de::IgnoredAny;
use stack::wire::zone::is_link_local;
use stack::wire::{Cidr, MacAddr};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::str::FromStr;

/// The example that `up --help` shows; a test parses it.
pub const EXAMPLE: &str = r#"Configuration (TOML), each key with its default or an example:
  forwarding = true               # be a router (RFC 1812, RFC 8200 §3); false where not given
  process_hop_by_hop = false      # as a router, drop packets with hop-by-hop options that are not known
                                  # and say so, as these ask (RFC 8200 §4.3)
  neighbor_claims = "verify"      # an address claimed for another MAC stays where it is until that has
                                  # left three probes unanswered; "believe": the newest claim wins, as
                                  # RFC 826 and RFC 4861 §7.2.5 have it
  probe_addresses = false         # look for other holders before using an address (RFC 5227)
  duplicate_detection = "off"     # the same of IPv6 (RFC 4862): "before" use, "optimistic" for
                                  # meanwhile (RFC 4429), or "off"; where not given, optimistic,
                                  # and off in a private network, where nobody else takes any
  services = ["echo", "discard", "chargen", "http"]   # on UDP and TCP, http on TCP; [] for none;
                                  # "sink" checks what a bulk sender sends
  fast_open = false               # serve data that comes with a SYN, on TCP (RFC 7413)
  tcp_memory_mib = 128            # data of all connections: above it nothing grows; half more at most
  max_time_waits = 262144         # connections in TIME-WAIT; one more, and the oldest goes

  secret_key = "00112233445566778899aabbccddeeff"  # what stable identifiers are made with: 32 random
                                  # hex digits, the same at each start; without: random at each start
  prefer_temporary = true         # send from temporary addresses where there are some (RFC 6724)
  temporary_preferred_seconds = 86400   # how long one is used for what is new, less up to 40 % by
  temporary_valid_seconds = 172800      # chance, and how long at all (RFC 8981)

  [[device]]                      # none at all means this one, without what follows `kernel`
  name = "tap0"                   # what the kernel calls its end, or the interface for "raw"
  kind = "tap"                    # tap, tun, veth or raw
  mtu = 1500
  mac = "02:00:00:00:00:02"       # random where not given
  addresses = ["10.7.0.2/24", "fd07::2/64"]  # the host's
  kernel = ["10.7.0.1/24", "fd07::1/64"]     # the kernel's end; not for raw
  kernel_routes = ["10.9.0.0/16"] # what the kernel reaches through the host
  proxy_arp = ["10.8.0.0/24"]     # answer ARP for these as well (RFC 1027), and of IPv6
                                  # neighbour solicitations (RFC 4861 §7.2.8)
  anycast = ["fd07::53"]          # addresses that others have as well (RFC 4291 §2.6)
  reverse_path = "off"            # off, strict or loose (RFC 3704)
  promiscuous = false
  autoconfigure = false           # addresses, prefixes, routes, the MTU and hop limit of the link, and
                                  # DNS servers of IPv6 by what routers advertise (RFC 4861, 4862)
  interface_id = "eui64"          # what addresses made for itself end in: the MAC, or "stable", by
                                  # secret_key and network (RFC 7217), as where that key is given
  temporary = false               # with autoconfigure: temporary addresses as well (RFC 8981)

  [device.advertise]              # with `forwarding`: be a router that IPv6 hosts find (RFC 4861 §6.2);
                                  # the same as [device.vlan.advertise]
  min_interval = 198              # seconds between two that nobody asked for, at least,
  max_interval = 600              # and at most
  min_delay_ms = 3000             # between any two to all; less is for mobile nodes (RFC 6275 §7.5)
  source = "fe80::1"              # which of our addresses of the link to speak from; the one there is
  lifetime = 1800                 # seconds as a default router; 0: as none
  preference = "medium"           # high, medium or low (RFC 4191)
  hop_limit = 64                  # 0: not said
  managed = false                 # addresses by DHCPv6
  other_config = false            # other things by DHCPv6
  home_agent = false              # of mobile nodes (RFC 6275 §7.1), with these two (§7.4)
  home_agent_preference = 0
  home_agent_lifetime = 1800
  reachable_time_ms = 0           # 0: not said
  retrans_timer_ms = 0            # 0: not said
  mtu = 1500                      # not said where not given
  source_mac = true
  interval_option = false         # say max_interval (RFC 6275)
  dns = ["fd07::2"]               # DNS servers, and domains to search in (RFC 8106)
  search = ["lab.example"]
  dns_lifetime = 1800
  unicast_answers = false         # who asks is answered by itself (RFC 4861 §6.2.6 allows it)
  captive_portal = "https://portal.lab.example/"     # RFC 8910
  nat64 = "64:ff9b::/96"          # RFC 8781
  [[device.advertise.prefix]]     # those of the device's addresses where there is none of these
  prefix = "fd07::/64"
  on_link = true
  autonomous = true               # hosts make addresses from it
  valid_lifetime = 2592000        # 4294967295: for ever
  preferred_lifetime = 604800
  decrement = false               # let both run down
  router_address = false          # `prefix` is our own address there, said as a whole (RFC 6275 §7.2)
  deprecate = false               # no more preferred when we go
  [[device.advertise.names]]      # more servers and domains, with a lifetime of their own
  dns = ["fd07::3"]
  search = ["old.example"]
  lifetime = 600
  [[device.advertise.route]]      # besides the default one (RFC 4191)
  to = "fd08::/48"
  preference = "medium"
  lifetime = 1800

  [[device.vlan]]                 # a tagged sub-interface of the device above
  id = 10
  priority = 0
  addresses = ["10.10.0.2/24"]

  [[address_policy]]              # with any, these rows are the whole table of RFC 6724 §2.1
  prefix = "::/0"
  precedence = 40
  label = 1

  [[route]]
  to = "0.0.0.0/0"
  via = "10.7.0.1"                # or device = "tap0" ("tap0.10") for what is on its link, or
                                  # refuse = "unreachable", "prohibited" or "silently"
  metric = 0"#;

/// Longest interface name of Linux.
const NAME_MAX: usize = 15;
/// The smallest IPv4 MTU (RFC 791 §3.2), and the largest that Ethernet on a TAP leaves.
const MTU: std::ops::RangeInclusive<u32> = 68..=65_521;
/// The smallest MTU of IPv6 (RFC 8200 §5).
const IPV6_MTU: u32 = 1280;
/// VLAN identifiers in use (IEEE 802.1Q §9.6).
const VLAN_IDS: std::ops::RangeInclusive<u16> = 1..=4094;

/// What `up` builds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Forward packets that are not for us.
    pub forwarding: bool,
    /// As a router, do what hop-by-hop options ask that are not known.
    pub process_hop_by_hop: bool,
    /// Whom to believe where an address is claimed for another MAC.
    pub neighbor_claims: NeighborClaims,
    /// Look for other holders before using an address.
    pub probe_addresses: bool,
    /// How IPv6 addresses are taken on a link with stations.
    pub duplicate_detection: Option<DuplicateDetection>,
    /// What is served.
    pub services: Vec<Service>,
    /// Services on TCP take data with a SYN.
    pub fast_open: bool,
    /// MiB of data that all TCP connections may hold before nothing grows; half more is the bound.
    pub tcp_memory_mib: u32,
    /// Connections in TIME-WAIT; one more, and the oldest goes.
    pub max_time_waits: usize,
    /// What stable identifiers are made with.
    pub secret_key: Option<Text<Secret>>,
    /// Send from temporary addresses where there are some.
    pub prefer_temporary: bool,
    /// How long a temporary address is preferred at most.
    pub temporary_preferred_seconds: u32,
    /// How long it is valid.
    pub temporary_valid_seconds: u32,
    /// The policy table of address selection, where it is not the usual one.
    #[serde(rename = "address_policy")]
    pub policy: Vec<PolicyRow>,
    /// Attachments; port `i` is the `i`-th.
    #[serde(rename = "device")]
    pub devices: Vec<Device>,
    /// Routes besides those of the addresses.
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            forwarding: false,
            process_hop_by_hop: false,
            neighbor_claims: NeighborClaims::Verify,
            probe_addresses: false,
            duplicate_detection: None,
            services: vec![
                Service::Echo,
                Service::Discard,
                Service::Chargen,
                Service::Http,
            ],
            fast_open: false,
            tcp_memory_mib: 128,
            max_time_waits: 262_144,
            secret_key: None,
            prefer_temporary: true,
            temporary_preferred_seconds: 86_400,
            temporary_valid_seconds: 172_800,
            policy: Vec::new(),
            devices: Vec::new(),
            routes: Vec::new(),
        }
    }
}

/// What kind of attachment.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A TAP; a veth pair where there is none to be had.
    #[default]
    Tap,
    /// A TUN.
    Tun,
    /// A veth pair, the host at one end.
    Veth,
    /// An existing interface.
    Raw,
}

/// A key of 128 bits, in hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u64; 2]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "a key is 32 hex digits";
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let (high, low) = text.split_at_checked(16).filter(|_| digits).ok_or(WRONG)?;
        let half = |text| u64::from_str_radix(text, 16).map_err(|_| WRONG);
        Ok(Self([half(high)?, half(low)?]))
    }
}

/// A row of RFC 6724's policy table.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct PolicyRow {
    /// To whom it applies.
    pub prefix: Text<Cidr>,
    /// What has more is tried first.
    pub precedence: u8,
    /// What has the same goes together.
    pub label: u8,
}

/// What addresses that are made end in, by name.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum InterfaceId {
    /// The MAC.
    Eui64,
    /// What a secret makes of the network.
    Stable,
}

/// Whom to believe where an address is claimed for another MAC, by name.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum NeighborClaims {
    /// Who is known, as long as it answers.
    #[default]
    Verify,
    /// Who says so last.
    Believe,
}

/// When duplicate address detection is done, by name.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum DuplicateDetection {
    /// Before an address is used.
    Before,
    /// While it is.
    Optimistic,
    /// Never.
    Off,
}

/// Reverse path check, by name.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ReversePath {
    /// None.
    #[default]
    Off,
    /// Back by the same interface.
    Strict,
    /// Back by any.
    Loose,
}

/// One attachment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// The kernel's name of its end.
    pub name: String,
    /// What it is.
    #[serde(default)]
    pub kind: Kind,
    /// Largest packet; what the interface has where not given.
    pub mtu: Option<u32>,
    /// The host's station address; random where not given.
    pub mac: Option<Text<MacAddr>>,
    /// The host's addresses.
    #[serde(default)]
    pub addresses: Vec<Text<Cidr>>,
    /// The kernel's addresses.
    #[serde(default)]
    pub kernel: Vec<Text<Cidr>>,
    /// What the kernel reaches through the host's first address of that family.
    #[serde(default)]
    pub kernel_routes: Vec<Text<Cidr>>,
    /// Networks to answer for, whose hosts are elsewhere.
    #[serde(default)]
    pub proxy_arp: Vec<Text<Cidr>>,
    /// Addresses of IPv6 that others have as well.
    #[serde(default)]
    pub anycast: Vec<Ipv6Addr>,
    /// Reverse path check.
    #[serde(default)]
    pub reverse_path: ReversePath,
    /// Take frames for other stations.
    #[serde(default)]
    pub promiscuous: bool,
    /// Do as IPv6's routers say.
    #[serde(default)]
    pub autoconfigure: bool,
    /// What addresses that are made end in; where not given, stable if there is a key.
    pub interface_id: Option<InterfaceId>,
    /// Have temporary addresses.
    #[serde(default)]
    pub temporary: bool,
    /// Be a router that IPv6 hosts find.
    pub advertise: Option<Advertise>,
    /// Tagged sub-interfaces.
    #[serde(default, rename = "vlan")]
    pub vlans: Vec<Vlan>,
}

/// A tagged sub-interface.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vlan {
    /// VLAN identifier, 1 to 4094.
    pub id: u16,
    /// Priority of the tags sent, 0 to 7.
    #[serde(default)]
    pub priority: u8,
    /// The host's addresses there.
    #[serde(default)]
    pub addresses: Vec<Text<Cidr>>,
    /// Be a router that IPv6 hosts find.
    pub advertise: Option<Advertise>,
}

/// A route of the host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Destination.
    pub to: Text<Cidr>,
    /// Next hop.
    pub via: Option<Text<IpAddr>>,
    /// Or the device (`tap0`, or `tap0.10` for a VLAN) on whose link the destination is; beside a next
    /// hop, whose link that is, where it is an address of a link.
    pub device: Option<String>,
    /// Or that nothing goes there, and what its sender is told.
    pub refuse: Option<Refusal>,
    /// The lowest wins.
    #[serde(default)]
    pub metric: u32,
}

/// How a router refuses to forward (RFC 1812 §5.2.7.1).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Refusal {
    /// Host unreachable.
    Unreachable,
    /// Communication administratively prohibited.
    Prohibited,
    /// Nothing.
    Silently,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Exit code 2, naming the file and the line.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        std::fs::read_to_string(path)
            .map_err(|e| e.to_string())
            .and_then(|text| Self::parse(&text))
            .map_err(|e| Failure::usage(format!("{}: {e}", path.display())))
    }

    /// Parses and checks a text; no device in it means the usual one.
    ///
    /// # Errors
    /// What is wrong, with the line where the parser knows it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut config: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        if config.devices.is_empty() {
            config.devices.push(Device::tap0());
        }
        config.check().map_err(|wrong| wrong.in_text(text))?;
        Ok(config)
    }

    /// What holds without a file.
    #[must_use]
    pub fn usual() -> Self {
        Self {
            devices: vec![Device::tap0()],
            ..Self::default()
        }
    }

    fn check(&self) -> Result<(), Wrong> {
        let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for (i, device) in self.devices.iter().enumerate() {
            let wrong = |what| Wrong(Place::Device(i), what);
            let name = &device.name;
            if !names.insert(name.as_str()) {
                return Err(wrong(format!("device '{name}' is there twice")));
            }
            device.check().map_err(wrong)?;
            if device.autoconfigure && self.forwarding {
                return Err(wrong(format!(
                    "device '{name}': autoconfigure is for hosts, and with forwarding this is a router"
                )));
            }
            if device.temporary && !device.autoconfigure {
                return Err(wrong(format!(
                    "device '{name}': temporary addresses are made of what routers advertise: set autoconfigure"
                )));
            }
            if device.advertised().next().is_some() && !self.forwarding {
                return Err(wrong(format!(
                    "device '{name}': advertise is for routers: give forwarding = true"
                )));
            }
            let untagged = device.addresses.iter().map(|cidr| (0, cidr));
            let vlans = device.vlans.iter();
            let tagged = vlans.flat_map(|v| v.addresses.iter().map(|cidr| (v.id, cidr)));
            for (vlan, Text(cidr)) in untagged.chain(tagged) {
                let what = format!("device '{name}': {cidr}");
                if !is_a_hosts(*cidr) {
                    return Err(wrong(format!("{what} is no address that a host may have")));
                }
                // Of a link's addresses each link may have the same.
                let link = is_link_local(cidr.addr()).then_some((i, vlan));
                if !addresses.insert((cidr.addr(), link)) {
                    return Err(wrong(format!("{what} is there twice")));
                }
            }
        }
        if self.process_hop_by_hop && !self.forwarding {
            let what = "process_hop_by_hop is for routers: give forwarding = true";
            return Err(Wrong(Place::File, what.to_owned()));
        }
        if self.temporary_preferred_seconds >= self.temporary_valid_seconds {
            let what = "temporary_preferred_seconds must be less than temporary_valid_seconds";
            return Err(Wrong(Place::File, what.to_owned()));
        }
        if let Some(row) = self.policy.iter().find(|r| r.prefix.0.addr().is_ipv4()) {
            let what = format!(
                "address_policy: write {} as ::ffff:0:0/96 and on",
                row.prefix.0
            );
            return Err(Wrong(Place::File, what));
        }
        for (i, service) in self.services.iter().enumerate() {
            if self.services[..i].contains(service) {
                let what = format!("services: {service:?} is there twice").to_lowercase();
                return Err(Wrong(Place::File, what));
            }
        }
        for (i, route) in self.routes.iter().enumerate() {
            let ours = route
                .via
                .filter(|Text(via)| addresses.contains(&(*via, None)));
            let ours = ours.map(|Text(via)| format!("route to {}: {via} is ours", route.to.0));
            let checked = ours.map_or_else(|| self.check_route(route), Err);
            checked.map_err(|what| Wrong(Place::Route(i), what))?;
        }
        Ok(())
    }

    fn check_route(&self, route: &Route) -> Result<(), String> {
        let to = route.to.0;
        match (&route.via, &route.device, route.refuse) {
            (Some(Text(via)), device, None)
                if via.is_ipv4() == to.addr().is_ipv4()
                    && (device.is_none() || is_link_local(*via)) =>
            {
                Ok(())
            }
            (Some(_), None, None) => Err(format!("route to {to}: `via` is of the other family")),
            (None, Some(name), None) if self.interface(name).is_some() => {
                match to.addr().is_ipv6() && !self.has_ipv6(name) {
                    true => Err(format!("route to {to}: '{name}' has no address of IPv6")),
                    false => Ok(()),
                }
            }
            (None, Some(name), None) => Err(format!("route to {to}: there is no device '{name}'")),
            (None, None, Some(_)) => Ok(()),
            _ => Err(format!(
                "route to {to}: give either `via`, `device` or `refuse`"
            )),
        }
    }

    /// Whether this is an address that the file gives to the host.
    #[must_use]
    pub fn holds(&self, addr: IpAddr) -> bool {
        let vlans = |d: &Device| {
            d.vlans
                .iter()
                .any(|v| v.addresses.iter().any(|a| a.0.addr() == addr))
        };
        let own = |d: &Device| d.addresses.iter().any(|a| a.0.addr() == addr);
        self.devices.iter().any(|d| own(d) || vlans(d))
    }

    /// Whether interface `name` has an address of IPv6: without one it does not speak it.
    fn has_ipv6(&self, name: &str) -> bool {
        let mut all = self.devices.iter().flat_map(|device| {
            let vlans = device.vlans.iter();
            let vlans = vlans.map(|v| (device.vlan_name(v), &v.addresses));
            std::iter::once((device.name.clone(), &device.addresses)).chain(vlans)
        });
        let six = |a: &Text<Cidr>| a.0.addr().is_ipv6();
        all.any(|(n, addresses)| n == name && addresses.iter().any(six))
    }

    /// The number of interface `name` (`tap0`, `tap0.10`), counted as [`up`](super::up) makes
    /// them: each device, followed by its VLANs.
    #[must_use]
    pub fn interface(&self, name: &str) -> Option<u16> {
        let at = self.interfaces().position(|(n, _)| n == name)?;
        u16::try_from(at).ok()
    }

    /// The number of the first interface that has, or will have, an address of the network that
    /// `neighbor` is of.
    #[must_use]
    pub fn interface_beside(&self, neighbor: IpAddr) -> Option<u16> {
        let is_beside = |own: &[Text<Cidr>]| own.iter().any(|Text(c)| c.contains(neighbor));
        let at = self.interfaces().position(|(_, own)| is_beside(own))?;
        u16::try_from(at).ok()
    }

    /// The name and addresses of each interface, in the order of their numbers.
    fn interfaces(&self) -> impl Iterator<Item = (String, &[Text<Cidr>])> {
        self.devices.iter().flat_map(|device| {
            let vlans = device.vlans.iter();
            let vlans = vlans.map(|v| (device.vlan_name(v), v.addresses.as_slice()));
            std::iter::once((device.name.clone(), device.addresses.as_slice())).chain(vlans)
        })
    }
}

/// Whether a host may have this as its own address (RFC 1122 §3.2.1.3, RFC 4291 §2.4).
fn is_a_hosts(cidr: Cidr) -> bool {
    match cidr.addr() {
        IpAddr::V4(addr) => {
            let [first, ..] = addr.octets();
            let of_all = cidr.prefix_len() < 31
                && (cidr.network().addr() == addr || cidr.broadcast() == Some(addr));
            !matches!(first, 0 | 127 | 224..) && !of_all
        }
        IpAddr::V6(addr) => !(addr.is_unspecified() || addr.is_loopback() || addr.is_multicast()),
    }
}

/// What the parser cannot see, and the table that it stands in.
struct Wrong(Place, String);

/// A part of the file.
enum Place {
    File,
    Device(usize),
    Route(usize),
}

/// Where the tables of a file begin.
#[derive(Deserialize)]
struct Spans {
    #[serde(default)]
    device: Vec<toml::Spanned<IgnoredAny>>,
    #[serde(default)]
    route: Vec<toml::Spanned<IgnoredAny>>,
}

impl Wrong {
    /// The same in words, with the line where the table begins.
    fn in_text(self, text: &str) -> String {
        let Self(place, what) = self;
        let spans: Option<Spans> = toml::from_str(text).ok();
        let table = spans.and_then(|spans| match place {
            Place::File => None,
            Place::Device(i) => spans.device.into_iter().nth(i),
            Place::Route(i) => spans.route.into_iter().nth(i),
        });
        let before = table.and_then(|t| text.get(..t.span().start));
        match before.map(|before| before.matches('\n').count() + 1) {
            Some(line) => format!("{what} (the table that begins at line {line})"),
            None => what,
        }
    }
}

impl Device {
    /// The usual one: a TAP with the host at .2 and the kernel at .1.
    #[must_use]
    pub fn tap0() -> Self {
        let cidrs = |texts: [&str; 2]| {
            let parsed = texts.iter().filter_map(|text| text.parse().ok());
            parsed.map(Text).collect()
        };
        Self {
            name: "tap0".to_owned(),
            kind: Kind::Tap,
            mtu: None,
            mac: None,
            addresses: cidrs(["10.7.0.2/24", "fd07::2/64"]),
            kernel: cidrs(["10.7.0.1/24", "fd07::1/64"]),
            kernel_routes: Vec::new(),
            proxy_arp: Vec::new(),
            anycast: Vec::new(),
            reverse_path: ReversePath::Off,
            promiscuous: false,
            autoconfigure: false,
            interface_id: None,
            temporary: false,
            advertise: None,
            vlans: Vec::new(),
        }
    }

    /// The host's usual addresses on an existing interface.
    #[must_use]
    pub fn raw(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: Kind::Raw,
            kernel: Vec::new(),
            ..Self::tap0()
        }
    }

    /// What a sub-interface is called.
    #[must_use]
    pub fn vlan_name(&self, vlan: &Vlan) -> String {
        format!("{}.{}", self.name, vlan.id)
    }

    /// What it and its sub-interfaces advertise.
    fn advertised(&self) -> impl Iterator<Item = &Advertise> {
        let vlans = self.vlans.iter().filter_map(|v| v.advertise.as_ref());
        self.advertise.iter().chain(vlans)
    }

    /// The host's first address of a family.
    #[must_use]
    pub fn gateway(&self, ipv4: bool) -> Option<IpAddr> {
        let mut addresses = self.addresses.iter().map(|Text(c)| c.addr());
        addresses.find(|a| a.is_ipv4() == ipv4)
    }

    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let wrong = |what: String| Err(format!("device '{name}': {what}"));
        let odd = |c: char| c.is_whitespace() || c.is_control() || "/:%".contains(c);
        if name.is_empty() || name.len() > NAME_MAX || name.contains(odd) || name.starts_with('.') {
            let rule = "1 to 15 bytes without spaces, '/', ':' and '%'";
            return Err(format!("'{name}' is no interface name ({rule})"));
        }
        if self.kind == Kind::Raw && !(self.kernel.is_empty() && self.kernel_routes.is_empty()) {
            return wrong("it is raw: the kernel's side is not ours to configure".to_owned());
        }
        if self.kind == Kind::Tun && !(self.vlans.is_empty() && self.mac.is_none()) {
            return wrong("a TUN has no MAC and no VLANs".to_owned());
        }
        if self.kind == Kind::Tun && self.autoconfigure {
            return wrong("a TUN has no routers to autoconfigure by".to_owned());
        }
        if self.kind == Kind::Tun && self.advertise.is_some() {
            return wrong("a TUN has no hosts to advertise to".to_owned());
        }
        for advertise in self.advertised() {
            advertise.check().or_else(wrong)?;
        }
        self.check_ipv6().or_else(wrong)?;
        if let Some(Text(mac)) = self.mac.filter(|Text(mac)| !mac.is_unicast()) {
            return wrong(format!("{mac} is no station's address"));
        }
        let one = |a: &Ipv6Addr| !(a.is_unspecified() || a.is_loopback() || a.is_multicast());
        let own = |a: &Ipv6Addr| self.addresses.iter().any(|c| c.0.addr6() == Some(*a));
        if let Some(addr) = self.anycast.iter().find(|a| !one(a) || own(a)) {
            return wrong(format!(
                "anycast: {addr} is no address to share with others"
            ));
        }
        if self.mtu.is_some_and(|mtu| !MTU.contains(&mtu)) {
            return wrong(format!("an MTU is {} to {}", MTU.start(), MTU.end()));
        }
        let mut routed = self.kernel_routes.iter().map(|Text(to)| to);
        if let Some(to) = routed.find(|to| self.gateway(to.addr().is_ipv4()).is_none()) {
            return wrong(format!("no address of the host to route {to} through"));
        }
        let mut ids = BTreeSet::new();
        for vlan in &self.vlans {
            if !VLAN_IDS.contains(&vlan.id) || vlan.priority > 7 {
                return wrong("a VLAN is 1 to 4094, a priority 0 to 7".to_owned());
            }
            if !ids.insert(vlan.id) {
                return wrong(format!("VLAN {} is there twice", vlan.id));
            }
        }
        Ok(())
    }

    /// Whether its packets may be as long as IPv6 needs, if it speaks it.
    ///
    /// # Errors
    /// That they may not.
    pub fn check_ipv6(&self) -> Result<(), String> {
        let vlans = self.vlans.iter().flat_map(|v| &v.addresses);
        let mut all = self.addresses.iter().chain(vlans);
        let Some(Text(cidr)) = all.find(|a| a.0.addr().is_ipv6()) else {
            return Ok(());
        };
        match self.mtu.is_some_and(|mtu| mtu < IPV6_MTU) {
            true => Err(format!("{cidr}: IPv6 needs an MTU of {IPV6_MTU}")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_parses() {
        let (_, toml) = EXAMPLE.split_once('\n').unwrap();
        let config = Config::parse(toml).unwrap();
        assert_eq!(config.devices[0].vlans[0].id, 10);
        assert_eq!(config.routes[0].to.0.prefix_len(), 0);
        assert_eq!(config.interface("tap0.10"), Some(1));
        assert_eq!(Config::parse("").unwrap().devices[0].addresses.len(), 2);
        let tun = "[[device]]\nname = 't'\nkind = 'tun'\naddresses = ['10.7.0.2/24', 'fd07::2/64']";
        assert_eq!(Config::parse(tun).unwrap().devices[0].addresses.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let device = "[[device]]\nname = 'a'\n";
        for (tail, want) in [
            ("mtuu = 1", "unknown field `mtuu`"),
            (
                "addresses = ['10.0.0.1/40']",
                "'10.0.0.1/40': the prefix is",
            ),
            ("mac = '1:2'", "'1:2': a MAC address is six"),
            (
                "mac = '01:00:5e:00:00:01'",
                "01:00:5e:00:00:01 is no station's address",
            ),
            (
                "addresses = ['10.0.0.255/24']",
                "10.0.0.255/24 is no address",
            ),
            ("addresses = ['10.0.0.0/24']", "10.0.0.0/24 is no address"),
            ("addresses = ['224.0.0.9/24']", "224.0.0.9/24 is no address"),
            ("addresses = ['127.0.0.1/8']", "127.0.0.1/8 is no address"),
            ("mtu = 1000\naddresses = ['fd07::2/64']", "an MTU of 1280"),
            (
                "mtu = 1000\n[[device.vlan]]\nid = 3\naddresses = ['fd07::2/64']",
                "an MTU of 1280",
            ),
            (
                "[[route]]\nto = 'fd08::/16'\ndevice = 'a'",
                "'a' has no address of IPv6",
            ),
            (
                "kind = 'tun'\naddresses = ['ff02::1/64']",
                "ff02::1/64 is no address",
            ),
            (
                "addresses = ['10.0.0.1/24']\n[[device.vlan]]\nid = 3\naddresses = ['10.0.0.1/8']",
                "10.0.0.1/8 is there twice",
            ),
            ("anycast = ['ff02::1']", "ff02::1 is no address to share"),
            (
                "addresses = ['fd07::2/64']\nanycast = ['fd07::2']",
                "fd07::2 is no address to share",
            ),
            ("[[device]]\nname = 'a:b'", "no interface name"),
            (
                "addresses = ['10.0.0.1/24']\n[[route]]\nto = '0.0.0.0/0'\nvia = '10.0.0.1'",
                "10.0.0.1 is ours (the table that begins at line 4)",
            ),
            (
                "[[device]]\nname = 'a'",
                "'a' is there twice (the table that begins at line 3)",
            ),
            ("[[device]]\nname = 'sixteen-bytes-xx'", "no interface name"),
            (
                "kind = 'raw'\nkernel = ['10.0.0.1/8']",
                "not ours to configure",
            ),
            ("kind = 'tun'\n[[device.vlan]]\nid = 3", "no VLANs"),
            ("kind = 'tun'\nautoconfigure = true", "no routers"),
            ("temporary = true", "set autoconfigure"),
            ("interface_id = 'mac'", "unknown variant `mac`"),
            (
                "kind = 'tun'\n[device.advertise]",
                "no hosts to advertise to",
            ),
            ("[device.advertise]", "give forwarding = true"),
            ("[device.advertise]\nmax_interval = 3", "4 to 1800 seconds"),
            (
                "[device.advertise]\nmin_delay_ms = 3",
                "least delay is 30 milliseconds",
            ),
            (
                "[device.advertise]\nnat64 = '10.0.0.0/8'",
                "10.0.0.0/8 is not IPv6",
            ),
            ("[[device.vlan]]\nid = 4095", "1 to 4094"),
            (
                "[[device.vlan]]\nid = 5\n[[device.vlan]]\nid = 5",
                "VLAN 5 is there twice",
            ),
            ("mtu = 60", "68 to 65521"),
            ("kernel_routes = ['10.0.0.0/8']", "no address of the host"),
            (
                "[[route]]\nto = '10.0.0.0/8'",
                "either `via`, `device` or `refuse`",
            ),
            (
                "[[route]]\nto = '10.0.0.0/8'\nvia = 'fd07::1'",
                "other family",
            ),
            (
                "[[route]]\nto = '10.0.0.0/8'\ndevice = 'b'",
                "no device 'b'",
            ),
        ] {
            let e = Config::parse(&format!("{device}{tail}")).unwrap_err();
            assert!(e.contains(want), "{tail}\n{e}");
        }
        for (text, want) in [
            ("secret_key = '0011'", "a key is 32 hex digits"),
            ("temporary_valid_seconds = 86400", "must be less"),
            ("process_hop_by_hop = true", "give forwarding = true"),
            ("neighbor_claims = 'trust'", "unknown variant `trust`"),
            (
                "[[address_policy]]\nprefix = '10.0.0.0/8'\nprecedence = 1\nlabel = 1",
                "write 10.0.0.0/8 as ::ffff",
            ),
        ] {
            let e = Config::parse(text).unwrap_err();
            assert!(e.contains(want), "{text}\n{e}");
        }
        let e = Config::parse("services = ['echo', 'echo']").unwrap_err();
        assert!(e.contains("echo is there twice"), "{e}");
        for fine in ["10.0.0.0/31", "10.0.0.1/31", "10.0.0.255/32", "10.0.1.0/16"] {
            let text = format!("{device}addresses = ['{fine}']");
            assert!(Config::parse(&text).is_ok(), "{fine}");
        }
        let e = Config::parse("forwarding = true\nservices = ['ftp']").unwrap_err();
        assert!(
            e.contains("unknown variant `ftp`") && e.contains("line 2"),
            "{e}"
        );
    }
}
