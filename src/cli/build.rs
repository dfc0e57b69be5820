//! From a configuration to a host: interfaces, addresses, routes.
//!
//! ```text
//!   config::Config + what the devices say (medium, MTU) --> stack::host::Host
//! ```

use super::Failure;
use super::advertise::Advertise;
use super::config::{self, Config, Text};
use crate::device::{self, Medium};
use stack::host::{self, Host, InterfaceConfig};
use stack::machine::Port;
use stack::net::route::{Route, RouteKind};
use stack::net::{autoconf, neighbor, select};
use stack::rng::Rng;
use stack::time::{Duration, Instant, UnixTime};
use stack::wire::ipv6::MIN_MTU;
use stack::wire::{Cidr, MacAddr, zone};
use std::sync::Arc;

/// Builds the host that `config` describes; port `i` is `devices[i]`.
///
/// # Errors
/// Exit code 2 where a route cannot be.
pub fn host(
    config: &Config,
    devices: &[Box<dyn device::Device>],
    (now, unix): (Instant, UnixTime),
    rng: &Rng,
) -> Result<Host, Failure> {
    let seconds = |n: u32| Duration::from_secs(u64::from(n));
    let mut policy = host::Config {
        forwarding: config.forwarding,
        hop_by_hop: config.process_hop_by_hop,
        neighbor: neighbor::Config {
            claims: match config.neighbor_claims {
                config::NeighborClaims::Verify => neighbor::Claims::Verify,
                config::NeighborClaims::Believe => neighbor::Claims::Believe,
            },
            ..neighbor::Config::default()
        },
        tcp_memory: host::TcpMemory::around(u64::from(config.tcp_memory_mib) << 20),
        max_time_waits: config.max_time_waits,
        secret_key: config.secret_key.map(|Text(config::Secret(key))| key),
        prefer_temporary: config.prefer_temporary,
        autoconf: autoconf::Config {
            temp_preferred_lifetime: seconds(config.temporary_preferred_seconds),
            temp_valid_lifetime: seconds(config.temporary_valid_seconds),
            ..autoconf::Config::default()
        },
        ..host::Config::default()
    };
    if !config.policy.is_empty() {
        let row = |r: &config::PolicyRow| select::Row {
            prefix: r.prefix.0,
            precedence: r.precedence,
            label: r.label,
        };
        policy.address_policy = Arc::new(select::Policy(config.policy.iter().map(row).collect()));
    }
    let mut host = Host::new(policy, rng.clone());
    host.set_unix_time(now, unix);
    let mut macs = rng.fork("mac");
    for (i, (wanted, device)) in config.devices.iter().zip(devices).enumerate() {
        let random = random_mac(&mut macs);
        let base = InterfaceConfig {
            port: Port(u16::try_from(i).unwrap_or(u16::MAX)),
            medium: match device.medium() {
                Medium::Ethernet => host::Medium::Ethernet,
                Medium::Ip => host::Medium::Ip,
            },
            mac: wanted.mac.map_or(random, |Text(mac)| mac),
            mtu: smaller(wanted.mtu, device.mtu()),
            tso: device.offloads().tcp4 && device.offloads().tcp6,
            ..interface(config, wanted)
        };
        let base = without_ipv6_where_short(base);
        host.add_interface(now, base.clone());
        for vlan in &wanted.vlans {
            let tagged = InterfaceConfig {
                name: wanted.vlan_name(vlan),
                vlan: Some(vlan.id),
                priority: vlan.priority,
                addresses: plain(&vlan.addresses),
                anycast: Vec::new(),
                advertise: vlan.advertise.as_ref().map(Advertise::settings),
                ..base.clone()
            };
            host.add_interface(now, without_ipv6_where_short(tagged));
        }
    }
    for route in &config.routes {
        add_route(&mut host, config, route)?;
    }
    Ok(host)
}

/// What the device carries, or less where less is wanted: an existing interface keeps its own MTU.
fn smaller(wanted: Option<u32>, mtu: usize) -> usize {
    let wanted = wanted.and_then(|m| usize::try_from(m).ok());
    wanted.map_or(mtu, |m| m.min(mtu))
}

/// An existing interface may carry less than IPv6 needs, and then has none of it.
//= RFC 8200 §5 every link of the Internet has an MTU of 1280 at least.
fn without_ipv6_where_short(mut wanted: InterfaceConfig) -> InterfaceConfig {
    let six = |c: &Cidr| c.addr().is_ipv6();
    if wanted.mtu < MIN_MTU && (wanted.autoconfigure || wanted.addresses.iter().any(six)) {
        log::warn!(
            "{}: an MTU of {} is too small for IPv6",
            wanted.name,
            wanted.mtu
        );
        wanted.addresses.retain(|c| !six(c));
        wanted.autoconfigure = false;
        wanted.advertise = None;
    }
    wanted
}

fn interface(config: &Config, wanted: &config::Device) -> InterfaceConfig {
    InterfaceConfig {
        addresses: plain(&wanted.addresses),
        probe_addresses: config.probe_addresses,
        duplicate_detection: match config.duplicate_detection {
            Some(config::DuplicateDetection::Before) => host::DuplicateDetection::Before,
            Some(config::DuplicateDetection::Off) => host::DuplicateDetection::Off,
            Some(config::DuplicateDetection::Optimistic) | None => {
                host::DuplicateDetection::Optimistic
            }
        },
        promiscuous: wanted.promiscuous,
        autoconfigure: wanted.autoconfigure,
        interface_id: match (wanted.interface_id, config.secret_key) {
            (Some(config::InterfaceId::Eui64), _) | (None, None) => host::InterfaceId::Eui64,
            //= RFC 8064 §3 stable ones are the default, where there is what makes them stable.
            (Some(config::InterfaceId::Stable), _) | (None, Some(_)) => host::InterfaceId::Stable,
        },
        temporary: wanted.temporary,
        advertise: wanted.advertise.as_ref().map(Advertise::settings),
        reverse_path: match wanted.reverse_path {
            config::ReversePath::Off => host::ReversePath::Off,
            config::ReversePath::Strict => host::ReversePath::Strict,
            config::ReversePath::Loose => host::ReversePath::Loose,
        },
        proxy_arp: wanted.proxy_arp.iter().map(|Text(c)| *c).collect(),
        anycast: wanted.anycast.clone(),
        ..InterfaceConfig::ethernet(&wanted.name, Port(0), MacAddr::ZERO)
    }
}

fn plain(addresses: &[Text<Cidr>]) -> Vec<Cidr> {
    addresses.iter().map(|Text(c)| *c).collect()
}

fn add_route(host: &mut Host, config: &Config, wanted: &config::Route) -> Result<(), Failure> {
    let to = wanted.to.0;
    let refused = |why: String| Failure::usage(format!("route to {to}: {why}"));
    let mut route = match (wanted.via, &wanted.device, wanted.refuse) {
        (_, _, Some(refusal)) => Route {
            kind: match refusal {
                config::Refusal::Unreachable => RouteKind::Unreachable,
                config::Refusal::Prohibited => RouteKind::Prohibited,
                config::Refusal::Silently => RouteKind::Blackhole,
            },
            ..Route::on_link(to, Port(0))
        },
        (Some(Text(via)), ..) => {
            // An address of a link may be on any of them: the device says which.
            let named = match &wanted.device {
                Some(name) => {
                    let at = config.interface(name);
                    Some(at.ok_or_else(|| refused(format!("no device '{name}'")))?)
                }
                None if zone::is_link_local(via) && host.interfaces().len() > 1 => {
                    return Err(refused(format!("{via} is of one link: name its device")));
                }
                None => None,
            };
            // Where an address is claimed first, its network is no route yet.
            let way = named
                .or_else(|| host.route_to(via).map(|(at, _)| at))
                .or_else(|| config.interface_beside(via));
            let interface = way.ok_or_else(|| refused(format!("no way to {via}")))?;
            Route::via(to, via, Port(interface))
        }
        (None, Some(name), None) => {
            let interface = config.interface(name);
            let interface = interface.ok_or_else(|| refused(format!("no device '{name}'")))?;
            Route::on_link(to, Port(interface))
        }
        (None, None, None) => return Err(refused("it leads nowhere".to_owned())),
    };
    route.metric = wanted.metric;
    host.add_route(route).map_err(|e| refused(e.to_string()))
}

/// A station address of no vendor's (IEEE 802 §8.4: locally administered, individual).
fn random_mac(rng: &mut Rng) -> MacAddr {
    let [a, b, c, d, e, f, ..] = rng.next_u64().to_be_bytes();
    MacAddr([a & 0xfc | 0x02, b, c, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing(Medium);

    impl device::Device for Nothing {
        fn recv(&mut self, _: Instant) -> std::io::Result<device::Received> {
            Ok(device::Received::Ended)
        }
        fn send(&mut self, _: Instant, _: &stack::frame::Frame) -> std::io::Result<()> {
            Ok(())
        }
        fn mtu(&self) -> usize {
            9000
        }
        fn medium(&self) -> Medium {
            self.0
        }
        fn raw_fd(&self) -> Option<std::os::fd::RawFd> {
            None
        }
    }

    fn build(toml: &str) -> Result<Host, Failure> {
        let config = Config::parse(toml).unwrap();
        let nothing = |d: &config::Device| match d.kind {
            config::Kind::Tun => Medium::Ip,
            _ => Medium::Ethernet,
        };
        let devices = config.devices.iter();
        let devices: Vec<Box<dyn device::Device>> = devices
            .map(|d| -> Box<dyn device::Device> { Box::new(Nothing(nothing(d))) })
            .collect();
        let time = (Instant::ZERO, UnixTime(0));
        host(&config, &devices, time, &Rng::from_seed(1))
    }

    #[test]
    fn interfaces_follow_the_devices_and_their_vlans() {
        let host = build(
            "forwarding = true\n[[device]]\nname = 'a'\naddresses = ['10.0.0.2/24']
             [[device.vlan]]\nid = 7\naddresses = ['10.0.7.2/24']
             [[device]]\nname = 'b'\nkind = 'tun'\naddresses = ['10.1.0.2/24', 'fd01::2/64']
             [[route]]
to = 'fd09::/32'
via = 'fd01::1'
             [[route]]\nto = '10.9.0.0/16'\nvia = '10.1.0.1'
             [[route]]\nto = '10.8.0.0/16'\ndevice = 'a.7'\nmetric = 5
             [[route]]\nto = '10.6.0.0/16'\nrefuse = 'prohibited'",
        )
        .unwrap();
        let named: Vec<_> = host
            .interfaces()
            .iter()
            .map(|i| (i.name(), i.port()))
            .collect();
        assert_eq!(named, [("a", Port(0)), ("a.7", Port(0)), ("b", Port(1))]);
        let of = |i: usize| host.interfaces()[i].config();
        assert_eq!((of(1).vlan, of(2).medium), (Some(7), host::Medium::Ip));
        assert!(of(0).mac.is_unicast() && of(0).mac == of(1).mac && of(0).mtu == 9000);
        assert_eq!((of(0).addresses.len(), of(2).addresses.len()), (1, 2));
        let leaves = |dst: &str| host.routes().lookup(dst.parse().unwrap()).map(|r| r.port);
        assert_eq!(leaves("10.9.1.1"), Some(Port(2)));
        assert_eq!(leaves("fd09::7"), Some(Port(2)));
        assert_eq!(leaves("10.8.1.1"), Some(Port(1)));
        let refused = host.routes().lookup("10.6.0.1".parse().unwrap());
        assert_eq!(refused.map(|r| r.kind), Some(RouteKind::Prohibited));
        assert!(host.config().forwarding);
    }

    #[test]
    fn policies_are_the_hosts() {
        let host =
            build("forwarding = true\nprocess_hop_by_hop = true\nneighbor_claims = 'believe'");
        let host = host.unwrap();
        assert_eq!(host.config().neighbor.claims, neighbor::Claims::Believe);
        assert!(host.config().hop_by_hop);
        let host = build("").unwrap();
        assert_eq!(host.config().neighbor.claims, neighbor::Claims::Verify);
        assert!(!host.config().hop_by_hop);
    }

    #[test]
    fn a_key_makes_stable_identifiers() {
        let made = |toml: &str| {
            let toml = format!(
                "{toml}\n[[device]]\nname = 'a'\nautoconfigure = true\nmac = '02:00:00:00:00:07'"
            );
            let host = build(&toml).unwrap();
            host.interfaces()[0].addresses()[0].cidr.to_string()
        };
        assert_eq!(made(""), "fe80::ff:fe00:7/64");
        let key = "secret_key = '00112233445566778899aabbccddeeff'";
        assert_eq!(made(key), made(key));
        assert_ne!(made(key), made(""));
        assert_ne!(made(key), made(&key.replace('f', "e")));
        let host = build(
            "prefer_temporary = false\n[[address_policy]]\nprefix = '::/0'\nprecedence = 7\nlabel = 9
             [[device]]\nname = 'a'\nautoconfigure = true\ntemporary = true\ninterface_id = 'stable'",
        )
        .unwrap();
        let any = "fd07::1".parse().unwrap();
        assert_eq!(host.config().address_policy.of(any), (7, 9));
        assert!(!host.config().prefer_temporary && host.interfaces()[0].config().temporary);
    }

    #[test]
    fn a_short_link_has_no_ipv6() {
        let short = |mtu| InterfaceConfig {
            mtu,
            addresses: vec![
                "10.0.0.2/24".parse().unwrap(),
                "fd07::2/64".parse().unwrap(),
            ],
            ..InterfaceConfig::ethernet("a", Port(0), MacAddr::ZERO)
        };
        for (mtu, left) in [(1279, 1), (1280, 2)] {
            assert_eq!(without_ipv6_where_short(short(mtu)).addresses.len(), left);
        }
    }

    #[test]
    fn a_router_of_one_link_is_named_with_it() {
        let two = "[[device]]\nname = 'a'\naddresses = ['fd01::2/64']
             [[device]]\nname = 'b'\naddresses = ['fd02::2/64']
             [[route]]\nto = '::/0'\nvia = 'fe80::1'";
        let host = build(&format!("{two}\ndevice = 'b'")).unwrap();
        let route = host.routes().lookup("2001:db8::1".parse().unwrap());
        assert_eq!(route.map(|r| r.port), Some(Port(1)));
        let f = build(two).unwrap_err();
        assert!(
            f.message
                .contains("fe80::1 is of one link: name its device"),
            "{f}"
        );
    }

    #[test]
    fn a_router_is_on_a_link_whose_address_is_still_claimed() {
        for (asked, ours, to, via) in [
            (
                "duplicate_detection = 'before'",
                "fd01::2/64",
                "::/0",
                "fd01::1",
            ),
            (
                "probe_addresses = true",
                "10.1.0.2/24",
                "0.0.0.0/0",
                "10.1.0.1",
            ),
        ] {
            let host = build(&format!(
                "{asked}\n[[device]]\nname = 'a'\naddresses = ['192.0.2.1/24']
                 [[device]]\nname = 'b'\naddresses = ['{ours}']
                 [[route]]\nto = '{to}'\nvia = '{via}'"
            ));
            let host = host.unwrap();
            let far = if to == "::/0" {
                "2001:db8::1"
            } else {
                "198.51.100.1"
            };
            let route = host.routes().lookup(far.parse().unwrap());
            assert_eq!(route.map(|r| r.port), Some(Port(1)), "{via}");
        }
    }

    #[test]
    fn a_route_that_leads_nowhere_is_refused() {
        let f = build("[[route]]\nto = '0.0.0.0/0'\nvia = '172.16.0.1'").unwrap_err();
        assert_eq!(f.code, 2);
        assert!(f.message.contains("no way to 172.16.0.1"), "{f}");
    }
}
