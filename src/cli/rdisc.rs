//! `rdisc`: which routers are on this link, and what they advertise.
//!
//! ```text
//!   solicitation from our link-local address to ff02::2 --> link
//!   link --> advertisements, checked as RFC 4861 §6.1.2 asks --> a paragraph or a JSON line each
//! ```
//!
//! Read first: RFC 4861 §4.1, §4.2, §6.1.2 and §6.3.7; RFC 4191 §2; RFC 8106 §5.
//!
//! Promises: nothing of what is heard changes the host, which has an address of the link alone.

use super::Failure;
use super::attach::{self, Attach};
use super::report;
use crate::runtime::Next;
use serde_json::{Value, json};
use stack::frame::Payload;
use stack::host::{Host, RawHandle, SendError};
use stack::net::advertisement::FOR_EVER;
use stack::net::ndp;
use stack::time::{Duration, Instant};
use stack::wire::icmpv6::{self, Message};
use stack::wire::ndp::{
    DomainNames, NdpOption, Preference, RouterAdvertisement, RouterFlags, options, pref64_len,
};
use stack::wire::{MacAddr, Protocol, ipv6};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv6Addr};
use std::ops::ControlFlow;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  tapline rdisc --raw veth0               # all routers on the link of veth0
  tapline rdisc -1 --tap tap0             # the first that answers
  tapline rdisc --json --raw veth0 | jq .options
  tapline rdisc -r 1 -w 5 --raw veth0     # ask once, listen for 5 seconds";

/// Asks for IPv6 routers, and shows what they advertise.
///
/// Asks again while nobody answers, and exits 0 if somebody did, 1 if nobody. A router that has just
/// advertised may take three seconds and a half to answer (RFC 4861 §6.2.6).
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// End with the first advertisement.
    #[arg(short = '1', long)]
    single: bool,

    /// Seconds to listen after each question.
    #[arg(short, long, value_name = "S", default_value = "2", value_parser = report::some_seconds)]
    wait: Duration,

    /// Questions, while nobody answers.
    #[arg(short, long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    retry: u32,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    attach: Attach,
}

/// Runs the verb.
///
/// # Errors
/// Exit code 2 where there is nothing to ask on, 3 with a remedy where the machine lacks something.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut attached = args.attach.open_unnumbered6()?;
    if args.attach.tap.is_none() && args.attach.raw.is_none() {
        eprintln!(
            "tapline: this asks in a private network, where nobody routes: give --tap NAME or --raw IF"
        );
    }
    attached.add_link_local()?;
    let at = attached.interface;
    let mut rdisc = Rdisc::new(args.clone(), at, attached.name.clone(), io::stdout().lock());
    let code = attached
        .driver
        .run(|host, now, wake| rdisc.turn(host, now, wake.stop))??;
    Ok(ExitCode::from(code))
}

/// A run of questions.
struct Rdisc<W> {
    args: Args,
    interface: u16,
    name: String,
    out: W,
    socket: Option<RawHandle>,
    asked: u32,
    until: Instant,
    heard: Vec<(Ipv6Addr, Vec<u8>)>,
}

impl<W: Write> Rdisc<W> {
    const fn new(args: Args, interface: u16, name: String, out: W) -> Self {
        Self {
            args,
            interface,
            name,
            out,
            socket: None,
            asked: 0,
            until: Instant::ZERO,
            heard: Vec::new(),
        }
    }

    fn turn(&mut self, host: &mut Host, now: Instant, stop: bool) -> Next<Result<u8, Failure>> {
        match self.step(host, now, stop) {
            Ok(None) => ControlFlow::Continue(Some(self.until)),
            Ok(Some(code)) => ControlFlow::Break(Ok(code)),
            Err(failure) => ControlFlow::Break(Err(failure)),
        }
    }

    fn step(&mut self, host: &mut Host, now: Instant, stop: bool) -> Result<Option<u8>, Failure> {
        attach::pass_events(host);
        let socket = match self.socket {
            Some(socket) => socket,
            None => {
                let opened = host.raw_open(Protocol::ICMPV6);
                let socket = opened.map_err(|e| Failure::usage(e.to_string()))?;
                if let Some(options) = host.raw_options(socket) {
                    options.multicast_ttl = ndp::HOP_LIMIT;
                    options.multicast_loop = false;
                    options.multicast_interface = Some(self.interface);
                }
                *self.socket.insert(socket)
            }
        };
        while let Some(packet) = host.raw_recv(socket) {
            let bytes = packet.payload.to_bytes();
            if self.hear(&bytes).map_err(report::untold)? && self.args.single {
                return Ok(Some(0));
            }
        }
        if stop || (self.asked > 0 && now >= self.until && self.is_done()) {
            return self.summary().map(Some).map_err(report::untold);
        }
        if now >= self.until {
            self.ask(host, now, socket)?;
        }
        Ok(None)
    }

    /// Whether no question follows when this one's time is over.
    fn is_done(&self) -> bool {
        !self.heard.is_empty() || self.asked >= self.args.retry
    }

    fn ask(&mut self, host: &mut Host, now: Instant, socket: RawHandle) -> Result<(), Failure> {
        let to = IpAddr::V6(ndp::ALL_ROUTERS);
        let at = host.interfaces().get(usize::from(self.interface));
        let local = at.and_then(|i| {
            let usable = i.addresses().iter().filter(|a| a.usable);
            let mut all = usable.filter_map(|a| a.cidr.addr6());
            let addr = all.find(Ipv6Addr::is_unicast_link_local)?;
            Some((addr, i.config().mac, i.claims6().is_probing(addr)))
        });
        let Some((src, mac, probing)) = local else {
            let taken = format!("{}: somebody has our address", self.name);
            return Err(Failure::unmet(taken));
        };
        let message = solicitation(src, (!probing).then_some(mac));
        let sent = host.raw_send(now, socket, to, Payload::from(message), &[]);
        match sent {
            Ok(()) | Err(SendError::WouldBlock) => {}
            Err(e) => return Err(attach::cannot_send(to, e)),
        }
        self.asked += 1;
        self.until = now + self.args.wait;
        if self.asked == 1 && !self.args.json {
            writeln!(self.out, "Soliciting {to} on {}...", self.name)
                .and_then(|()| self.out.flush())
                .map_err(report::untold)?;
        }
        Ok(())
    }

    /// Takes a packet; whether it is an advertisement that was not heard before.
    fn hear(&mut self, packet: &[u8]) -> io::Result<bool> {
        let Ok((header, message)) = ipv6::Header::parse(packet) else {
            return Ok(false);
        };
        let heard = ndp::Heard {
            src: header.src,
            dst: header.dst,
            hop_limit: header.hop_limit,
            mac: MacAddr::ZERO,
        };
        let whole = header.next_header == Protocol::ICMPV6
            && icmpv6::verify(header.src, header.dst, message);
        let valid = ndp::check(message, &heard).ok().filter(|_| whole);
        let Some(Message::RouterAdvertisement(said)) = valid.map(|v| v.message) else {
            return Ok(false);
        };
        // What is asked for twice is answered twice.
        let news = (header.src, message.to_vec());
        if self.heard.contains(&news) {
            return Ok(false);
        }
        if self.args.json {
            report::json_line(&mut self.out, &as_json(header.src, &said))?;
        } else {
            write!(self.out, "\n{}", as_text(header.src, &said))?;
            self.out.flush()?;
        }
        self.heard.push(news);
        Ok(true)
    }

    fn summary(&mut self) -> io::Result<u8> {
        if !self.heard.is_empty() {
            return Ok(0);
        }
        if self.args.json {
            report::json_line(
                &mut self.out,
                &json!({ "event": "none", "asked": self.asked }),
            )?;
        } else {
            writeln!(self.out, "No response.")?;
            self.out.flush()?;
        }
        Ok(1)
    }
}

/// The question, with our station unless others may have our address (RFC 4429 §3.2).
fn solicitation(src: Ipv6Addr, mac: Option<MacAddr>) -> bytes::Bytes {
    match mac {
        Some(mac) => ndp::router_solicitation(mac, Some(src)).message.into(),
        None => {
            let mut message = ndp::router_solicitation(MacAddr::ZERO, None).message;
            // Of nobody's it has no option; only its sum is another.
            if let Some(sum) = message.get_mut(2..4) {
                sum.fill(0);
            }
            let sum = icmpv6::compute_checksum(src, ndp::ALL_ROUTERS, &message);
            if let Some(place) = message.get_mut(2..4) {
                place.copy_from_slice(&sum.to_be_bytes());
            }
            message.into()
        }
    }
}

const fn rank(preference: Preference) -> &'static str {
    match preference {
        Preference::High => "high",
        Preference::Medium => "medium",
        Preference::Low => "low",
        Preference::Reserved => "reserved",
    }
}

fn flag(said: &RouterAdvertisement<'_>, flag: RouterFlags) -> bool {
    said.flags.contains(flag)
}

fn lifetime(seconds: u32) -> String {
    match seconds {
        FOR_EVER => "for ever".to_owned(),
        seconds => format!("{seconds} s"),
    }
}

fn unsaid(value: u32, unit: &str) -> String {
    match value {
        0 => "not said".to_owned(),
        value => format!("{value}{unit}"),
    }
}

/// An advertisement for people.
fn as_text(from: Ipv6Addr, said: &RouterAdvertisement<'_>) -> String {
    let mut lines = vec![format!("from {from}")];
    let mut line = |name: &str, value: String| lines.push(format!("  {name:<22} {value}"));
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    line("hop limit", unsaid(said.cur_hop_limit.into(), ""));
    line("addresses by DHCPv6", yes(flag(said, RouterFlags::MANAGED)));
    line(
        "other by DHCPv6",
        yes(flag(said, RouterFlags::OTHER_CONFIG)),
    );
    line("preference", rank(said.flags.preference()).to_owned());
    let router = match said.router_lifetime {
        0 => "no default router".to_owned(),
        seconds => format!("{seconds} s"),
    };
    line("router lifetime", router);
    line("reachable time", unsaid(said.reachable_time, " ms"));
    line("retransmission timer", unsaid(said.retrans_timer, " ms"));
    for option in options(said.options).flatten() {
        let (name, value) = describe(&option);
        line(name, value);
    }
    lines.join("\n") + "\n"
}

/// An option as a name and what it says.
fn describe(option: &NdpOption<'_>) -> (&'static str, String) {
    match option {
        NdpOption::SourceLinkLayerAddress(_) => {
            let mac = option
                .mac()
                .map_or_else(|| "-".to_owned(), |m| m.to_string());
            ("station", mac)
        }
        NdpOption::Mtu { mtu, .. } => ("MTU", mtu.to_string()),
        NdpOption::AdvertisementInterval { interval, .. } => {
            ("advertises within", format!("{interval} ms"))
        }
        NdpOption::PrefixInformation(p) => {
            let on_link = if p.on_link { ", on-link" } else { "" };
            let autonomous = if p.autonomous { ", autonomous" } else { "" };
            let valid = lifetime(p.valid_lifetime);
            let preferred = lifetime(p.preferred_lifetime);
            let words = format!(
                "{}/{}{on_link}{autonomous}, valid {valid}, preferred {preferred}",
                p.prefix, p.prefix_len
            );
            ("prefix", words)
        }
        NdpOption::RouteInformation {
            prefix_len,
            lifetime: seconds,
            ..
        } => {
            let to = option.route_prefix().unwrap_or(Ipv6Addr::UNSPECIFIED);
            let how = option.preference().map_or("-", rank);
            (
                "route",
                format!("{to}/{prefix_len}, {how}, {}", lifetime(*seconds)),
            )
        }
        NdpOption::Rdnss {
            lifetime: seconds,
            servers,
            ..
        } => {
            let all = servers_of(servers.as_bytes());
            (
                "DNS server",
                format!("{}, {}", all.join(" "), lifetime(*seconds)),
            )
        }
        NdpOption::Dnssl {
            lifetime: seconds,
            names,
            ..
        } => {
            let all = names_of(names);
            (
                "DNS search list",
                format!("{}, {}", all.join(" "), lifetime(*seconds)),
            )
        }
        NdpOption::CaptivePortal(_) => (
            "captive portal",
            option.uri().unwrap_or("-").escape_debug().to_string(),
        ),
        NdpOption::Pref64 {
            lifetime: seconds,
            length_code,
            prefix,
        } => {
            let words = format!("{}, {seconds} s", nat64(prefix, *length_code));
            ("NAT64 prefix", words)
        }
        other => (
            "option",
            format!("of type {}, {} bytes", other.kind(), other.emit_len()),
        ),
    }
}

fn servers_of(bytes: &[u8]) -> Vec<String> {
    let all = bytes.chunks_exact(16);
    let all = all.filter_map(|c| <[u8; 16]>::try_from(c).ok());
    all.map(|octets| Ipv6Addr::from(octets).to_string())
        .collect()
}

fn names_of(names: &[u8]) -> Vec<String> {
    let all = DomainNames::new(names).map_while(Result::ok);
    all.map(|name| name.to_string()).collect()
}

fn nat64(prefix: &[u8; 12], length_code: u8) -> String {
    let mut octets = [0; 16];
    octets[..12].copy_from_slice(prefix);
    let len = pref64_len(length_code).map_or_else(|| "?".to_owned(), |len| len.to_string());
    format!("{}/{len}", Ipv6Addr::from(octets))
}

/// An advertisement for programs. Lifetimes are in seconds, 4294967295 for ever.
fn as_json(from: Ipv6Addr, said: &RouterAdvertisement<'_>) -> Value {
    json!({
        "event": "advertisement",
        "from": from.to_string(),
        "hop_limit": said.cur_hop_limit,
        "managed": flag(said, RouterFlags::MANAGED),
        "other_config": flag(said, RouterFlags::OTHER_CONFIG),
        "home_agent": flag(said, RouterFlags::HOME_AGENT),
        "proxy": flag(said, RouterFlags::PROXY),
        "preference": rank(said.flags.preference()),
        "router_lifetime": said.router_lifetime,
        "reachable_time_ms": said.reachable_time,
        "retrans_timer_ms": said.retrans_timer,
        "options": options(said.options).flatten().map(|o| option_json(&o)).collect::<Value>(),
    })
}

fn option_json(option: &NdpOption<'_>) -> Value {
    match option {
        NdpOption::SourceLinkLayerAddress(_) => json!({
            "option": "source-mac", "mac": option.mac().map(|m| m.to_string()),
        }),
        NdpOption::Mtu { mtu, .. } => json!({ "option": "mtu", "mtu": mtu }),
        NdpOption::AdvertisementInterval { interval, .. } => {
            json!({ "option": "interval", "ms": interval })
        }
        NdpOption::PrefixInformation(p) => json!({
            "option": "prefix", "prefix": format!("{}/{}", p.prefix, p.prefix_len),
            "on_link": p.on_link, "autonomous": p.autonomous,
            "valid_lifetime": p.valid_lifetime, "preferred_lifetime": p.preferred_lifetime,
        }),
        NdpOption::RouteInformation {
            prefix_len,
            lifetime,
            ..
        } => json!({
            "option": "route",
            "to": option.route_prefix().map(|to| format!("{to}/{prefix_len}")),
            "preference": option.preference().map(rank), "lifetime": lifetime,
        }),
        NdpOption::Rdnss {
            lifetime, servers, ..
        } => json!({
            "option": "dns", "servers": servers_of(servers.as_bytes()), "lifetime": lifetime,
        }),
        NdpOption::Dnssl {
            lifetime, names, ..
        } => json!({ "option": "search", "domains": names_of(names), "lifetime": lifetime }),
        NdpOption::CaptivePortal(_) => json!({ "option": "captive-portal", "uri": option.uri() }),
        NdpOption::Pref64 {
            lifetime,
            length_code,
            prefix,
        } => json!({
            "option": "nat64", "prefix": nat64(prefix, *length_code), "lifetime": lifetime,
        }),
        other => json!({ "option": "other", "type": other.kind(), "bytes": other.emit_len() }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::attach::simulated;
    use super::*;
    use stack::host::{Config, DuplicateDetection, InterfaceConfig};
    use stack::machine::Port;
    use stack::net::advertiser::{self, MoreSpecific};
    use stack::rng::Rng;

    fn host(last: u8, routes: bool, said: Option<advertiser::Config>) -> Host {
        let config = Config {
            forwarding: routes,
            ..Config::default()
        };
        let mut host = Host::new(config, Rng::from_seed(u64::from(last)));
        let mac = MacAddr([2, 0, 0, 0, 0, last]);
        let mut eth = InterfaceConfig::ethernet("eth0", Port(0), mac);
        eth.duplicate_detection = DuplicateDetection::Off;
        if said.is_some() {
            eth = eth.with_address("fd07::1/64".parse().unwrap());
        }
        eth.advertise = said;
        host.add_interface(Instant::ZERO, eth);
        host
    }

    fn rdisc(line: &str, said: Option<advertiser::Config>) -> (String, u8) {
        let args: Args = simulated::args("rdisc", line).unwrap();
        let mut us = host(7, false, None);
        assert!(attach::add_link_local(&mut us, Instant::ZERO, 0));
        let mut hosts = [us, host(1, true, said)];
        let mut rdisc = Rdisc::new(args, 0, "tap0".to_owned(), Vec::new());
        let (code, _) = simulated::run(&mut hosts, |h, now| rdisc.turn(h, now, false));
        (String::from_utf8(rdisc.out).unwrap(), code.unwrap())
    }

    fn everything() -> advertiser::Config {
        advertiser::Config {
            managed: true,
            mtu: Some(1400),
            interval_option: true,
            routes: vec![MoreSpecific {
                to: "fd08::/48".parse().unwrap(),
                preference: Preference::Low,
                lifetime: Some(FOR_EVER),
            }],
            dns: vec!["fd07::53".parse().unwrap()],
            search: vec!["lab.example".to_owned()],
            captive_portal: Some("https://portal.example".to_owned()),
            nat64: Some("64:ff9b::/96".parse().unwrap()),
            ..advertiser::Config::default()
        }
    }

    #[test]
    fn who_advertises_is_shown() {
        let (out, code) = rdisc("-1", Some(everything()));
        assert_eq!(code, 0);
        assert_eq!(
            out,
            "Soliciting ff02::2 on tap0...\n\
             \nfrom fe80::ff:fe00:1\n\
             \x20 hop limit              64\n\
             \x20 addresses by DHCPv6    yes\n\
             \x20 other by DHCPv6        no\n\
             \x20 preference             medium\n\
             \x20 router lifetime        1800 s\n\
             \x20 reachable time         not said\n\
             \x20 retransmission timer   not said\n\
             \x20 station                02:00:00:00:00:01\n\
             \x20 MTU                    1400\n\
             \x20 advertises within      600000 ms\n\
             \x20 prefix                 fd07::/64, on-link, autonomous, valid 2592000 s, preferred 604800 s\n\
             \x20 route                  fd08::/48, low, for ever\n\
             \x20 DNS server             fd07::53, 1800 s\n\
             \x20 DNS search list        lab.example, 1800 s\n\
             \x20 captive portal         https://portal.example\n\
             \x20 NAT64 prefix           64:ff9b::/96, 1800 s\n"
        );
    }

    #[test]
    fn the_same_for_programs() {
        let (out, code) = rdisc("--json", Some(everything()));
        assert_eq!((code, out.lines().count()), (0, 1), "{out}");
        let said: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(said["router_lifetime"], 1800);
        let kinds: Vec<_> = said["options"].as_array().unwrap().iter().collect();
        let kinds: Vec<_> = kinds
            .iter()
            .map(|o| o["option"].as_str().unwrap())
            .collect();
        let want = [
            "source-mac",
            "mtu",
            "interval",
            "prefix",
            "route",
            "dns",
            "search",
            "captive-portal",
            "nat64",
        ];
        assert_eq!(kinds, want);
    }

    #[test]
    fn nobody_answers_and_three_questions_were_asked() {
        let (out, code) = rdisc("--json -w 0.1", None);
        assert_eq!(
            (out.as_str(), code),
            ("{\"event\":\"none\",\"asked\":3}\n", 1)
        );
        let (out, code) = rdisc("-r 1", None);
        assert_eq!(out, "Soliciting ff02::2 on tap0...\nNo response.\n");
        assert_eq!(code, 1);
    }
}
