//! A host or a router on links full of liars: solicitations, advertisements, redirects, reports and
//! queries of listeners, packet too big, true, false and bent, and an honest neighbour who is served all
//! the same.
//!
//! ```text
//!   birth: lies while it looks for duplicates --> the links go down and up, and all are quiet
//!          --> honest? --> lies, with nobody pulling a plug --> honest? --> quiet: how often does it wake?
//! ```

use crate::chance::Chance;
use crate::craft;
use crate::drive::{Drive, panic_with};
use stack::host::{Config, DuplicateDetection, InterfaceConfig, InterfaceId};
use stack::machine::{Machine, Port};
use stack::net::advertiser;
use stack::reason::DropReason;
use stack::time::Duration;
use stack::wire::ndp::solicited_node;
use stack::wire::{Cidr, MacAddr, icmpv6};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The hosts that are lied to.
pub(crate) const KINDS: [&str; 6] = [
    "host",
    "router",
    "optimistic",
    "tight",
    "stable",
    "tight-router",
];

/// Who tells the truth, and nobody takes his name.
const HONEST: MacAddr = MacAddr([2, 7, 7, 7, 7, 7]);
/// How often a host may wake in ten minutes in which nobody speaks to it: its connections whose next hop
/// does not answer look again once a second, and a liar's RetransTimer of an hour keeps them so. A timer
/// that spins wakes a million times.
const WAKES: u32 = 3000;

fn ip(text: &str) -> Ipv6Addr {
    text.parse().expect("a literal")
}

fn honest() -> Ipv6Addr {
    ip("fe80::7777:7777")
}

fn eth(port: u16, mac: u8, cidr: &str) -> InterfaceConfig {
    let cidr: Cidr = cidr.parse().expect("a literal");
    let mac = MacAddr([2, 0, 0, 0, 0, mac]);
    InterfaceConfig::ethernet(format!("eth{port}").as_str(), Port(port), mac).with_address(cidr)
}

fn config(kind: &str) -> Config {
    let mut config = Config {
        forwarding: kind.contains("router"),
        echo_group: true,
        ..Config::default()
    };
    if kind.contains("tight") {
        config.routers.max_routers = 2;
        config.routers.max_prefixes = 2;
        config.routers.max_routes = 2;
        config.routers.max_names = 1;
        config.autoconf.max_addresses = 2;
        config.neighbor.max_entries = 4;
        config.neighbor.max_incomplete = 2;
        config.neighbor.max_parked_per_entry = 2;
        config.ndp.max_answers = 2;
        config.pmtu.max_entries = 2;
        config.max_redirects = 2;
        config.mld.max_groups = 8;
        config.icmp_rate.max_peers = 2;
        config.reassembly.max_datagrams = 2;
        config.max_sockets = 6;
    }
    config
}

fn interfaces(kind: &str) -> Vec<InterfaceConfig> {
    let router = kind.contains("router");
    let change = |i: InterfaceConfig| InterfaceConfig {
        autoconfigure: !router,
        temporary: kind == "host",
        interface_id: match kind {
            "stable" => InterfaceId::Stable,
            _ => InterfaceId::Eui64,
        },
        duplicate_detection: match kind {
            "optimistic" => DuplicateDetection::Optimistic,
            _ => DuplicateDetection::Before,
        },
        advertise: router.then(|| advertiser::Config {
            unicast_answers: kind == "router",
            mtu: Some(1400),
            retrans_timer: 500,
            ..advertiser::Config::default()
        }),
        proxy_arp: match kind {
            "router" => vec!["fd08::/64".parse().expect("a literal")],
            _ => Vec::new(),
        },
        ..i
    };
    let all = [eth(0, 1, "fd07::1/64"), eth(1, 2, "fd08::1/64")];
    all.map(change).into()
}

/// A whole story of one kind; `steps` lies in each of its two halves.
pub(crate) fn run(kind: usize, seed: u64, c: &mut Chance, steps: u32) -> Drive {
    let kind = KINDS[kind % KINDS.len()];
    let mut drive = Drive::of(config(kind), interfaces(kind), seed);
    for _ in 0..steps {
        step(&mut drive, c, true);
        if c.is_spent() {
            break;
        }
    }
    for up in [false, true] {
        for at in 0..2 {
            drive.host.set_up(drive.now, at, up);
        }
        drive.settle();
    }
    quiet(&mut drive, Duration::from_secs(10));
    let served = serves(&mut drive);
    served.unwrap_or_else(|why| panic_with(format!("{kind}, links up: {why}")));
    for _ in 0..steps {
        step(&mut drive, c, false);
        if c.is_spent() {
            break;
        }
    }
    drive.settle();
    // Where the few neighbours that a tight one can have are all in use, they must first fall silent,
    // which takes as long as a liar's RetransTimer.
    let mut served = serves(&mut drive);
    if served.is_err() && kind.contains("tight") {
        quiet(&mut drive, Duration::from_secs(5 * 3600));
        served = serves(&mut drive);
    }
    served.unwrap_or_else(|why| panic_with(format!("{kind}, among lies: {why}")));
    quiet(&mut drive, Duration::from_secs(60));
    let woken = quiet(&mut drive, Duration::from_secs(600));
    assert!(woken <= WAKES, "{kind} wakes {woken} times for nobody");
    drive
}

/// One thing happens. With `plugs` users may also take away what the host needs to be reached.
fn step(drive: &mut Drive, c: &mut Chance, plugs: bool) {
    match c.below(16) {
        0 | 1 => user(drive, c, plugs),
        2 if plugs => drive.user(c),
        2 | 3 => {
            let wait = match c.below(4) {
                0 => Duration::from_millis(c.below(3000) as u64),
                1 => Duration::from_secs(c.below(100) as u64),
                _ => {
                    let due = drive.host.poll_timeout();
                    due.map_or(Duration::ZERO, |at| at - drive.now)
                }
            };
            drive.now += wait;
        }
        _ => {
            let frame = lie(c, drive);
            drive.receive(c, &frame);
        }
    }
    if !c.one_in(4) {
        drive.settle();
    }
    // What of it a path may be too narrow for: errors that count are about that.
    let data = |f: &&Vec<u8>| matches!(f.get(20), Some(6 | 17)) && f.len() > 1294;
    let data: Vec<_> = drive.target.heard.iter().filter(data).cloned().collect();
    for frame in data
        .into_iter()
        .filter(|f| !drive.spoken.contains(f))
        .collect::<Vec<_>>()
    {
        drive.spoken.push(frame);
    }
    let old = drive.spoken.len().saturating_sub(8);
    drive.spoken.drain(..old);
    drive.check();
    held(drive);
}

/// How many lies of each kind a host has come to believe.
pub(crate) fn believed(drive: &Drive) -> [u64; 6] {
    let host = &drive.host;
    let of = |each: fn(&stack::host::Interface) -> u64| host.interfaces().iter().map(each).sum();
    [
        host.stats().redirects_in,
        host.path_mtus().stats().lowered,
        of(|i| i.routers().stats().advertisements_in),
        of(|i| i.routers().autoconf().made().count() as u64),
        host.stats().dropped_in(DropReason::NdpConflict),
        of(|i| i.neighbors().stats().evictions),
    ]
}

/// Tables of discovery, and their limits; and that every frame is accounted for.
fn held(drive: &Drive) {
    let host = &drive.host;
    let config = host.config();
    assert!(host.redirects().count() <= config.max_redirects);
    assert_eq!(host.stats().frames_in, drive.frames_in, "none is lost");
    for interface in host.interfaces() {
        let routers = interface.routers();
        assert!(routers.routers().len() <= config.routers.max_routers);
        assert!(routers.routes().len() <= config.routers.max_routes);
        let names = (routers.dns().servers().len(), routers.dns().domains().len());
        let most = config.routers.max_names;
        assert!(names.0 <= most && names.1 <= most, "{names:?}");
        let made = routers.autoconf().made().count();
        let most = config.autoconf.max_addresses + config.autoconf.max_temporary;
        assert!(made <= most, "{made} addresses");
        let mtu = interface.mtu_for(IpAddr::V6(honest()));
        assert!(mtu >= 1280, "{mtu}");
    }
}

/// What users do that makes a host speak.
fn user(drive: &mut Drive, c: &mut Chance, plugs: bool) {
    let now = drive.now;
    let n = 2 + c.u16() % 7;
    let to = match c.below(4) {
        0 => ip("2001:db8::").to_bits() | u128::from(n),
        1 => ip("fd08::").to_bits() | u128::from(n),
        2 => ip("ff05::").to_bits() | u128::from(n),
        _ => ip("fd07::").to_bits() | u128::from(n),
    };
    let to = Ipv6Addr::from(to);
    let host = &mut drive.host;
    match c.below(6) {
        0 | 1 => {
            let len = c.pick(&[10, 1240, 1330, 1400, 4000]).unwrap_or(10);
            if let Ok(socket) = host.udp_bind("[::]:7".parse().expect("a literal")) {
                drive.speaker = Some(socket);
            }
            if let Some(socket) = drive.speaker {
                let data = bytes::Bytes::from(c.filler(len)).into();
                let _ = host.udp_send(now, socket, data, Some(SocketAddr::new(to.into(), 9)));
            }
        }
        2 => {
            let options = stack::transport::tcp::Options::default();
            let _ = host.tcp_connect(now, SocketAddr::new(to.into(), 80), None, options);
        }
        3 => {
            if let Some(socket) = drive.speaker {
                let (at, group) = (c.u16() & 1, ip("ff05::").to_bits() | u128::from(n));
                let group = IpAddr::V6(group.into());
                let all = stack::net::groups::FilterMode::Exclude;
                let _ = host.udp_join(now, socket, at, group, all, &[]);
            }
        }
        4 if plugs => host.set_up(now, c.u16() & 1, !c.one_in(3)),
        _ => {
            let extra = Cidr::new(IpAddr::V6(ip("fd09::1")), 64).expect("a length");
            match c.one_in(2) {
                true => host.add_address(now, c.u16() & 1, extra),
                false => host.remove_address(now, c.u16() & 1, extra.addr()),
            }
        }
    }
}

/// Lets time pass in which nobody speaks to the host; how often it woke.
pub(crate) fn quiet(drive: &mut Drive, span: Duration) -> u32 {
    let end = drive.now + span;
    let mut woken = 0;
    loop {
        drive.settle();
        let Some(due) = drive.host.poll_timeout().filter(|at| *at <= end) else {
            break;
        };
        // `settle` ends only where nothing is due any more.
        assert!(due > drive.now, "time stands still at {due:?}");
        drive.now = due;
        woken += 1;
    }
    drive.now = end;
    drive.settle();
    woken
}

/// An honest neighbour asks for the host's address, and pings it, until it is answered.
fn serves(drive: &mut Drive) -> Result<(), String> {
    let ours = ip("fd07::1");
    let mut asked = vec![135, 0, 0, 0, 0, 0, 0, 0];
    asked.extend(ours.octets());
    asked.extend([1, 1]);
    asked.extend(HONEST.0);
    let group = solicited_node(ours);
    let station = drive.host.interfaces()[0].config().mac;
    let ask = frame(
        (HONEST, MacAddr::from_ipv6_multicast(group)),
        (honest(), group),
        255,
        &[],
        asked,
    );
    let mut here = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
    here.extend(honest().octets());
    here.extend([2, 1]);
    here.extend(HONEST.0);
    let (mut told, mut answered) = (false, false);
    for second in 0..8u8 {
        let ping = vec![128, 0, 0, 0, 0x77, 0x77, 0, second, 1, 2, 3];
        let ping = frame((HONEST, station), (honest(), ours), 64, &[], ping);
        for bytes in [&ask, &ping] {
            let mut sent = drive.answers(Port(0), bytes);
            // It may ask us first.
            let asks =
                |f: &Vec<u8>| f.get(54) == Some(&135) && f.get(62..78) == Some(&honest().octets());
            if sent.iter().any(asks) {
                let ours = sent.iter().find(|f| asks(f)).and_then(|f| f.get(22..38));
                let to: [u8; 16] = ours.and_then(|o| o.try_into().ok()).unwrap_or([0; 16]);
                let here = frame(
                    (HONEST, station),
                    (honest(), to.into()),
                    255,
                    &[],
                    here.clone(),
                );
                sent.extend(drive.answers(Port(0), &here));
            }
            told |= sent
                .iter()
                .any(|f| f.get(54) == Some(&136) && f.get(62..78) == Some(&ours.octets()));
            answered |= sent.iter().any(|f| {
                f.starts_with(&HONEST.0)
                    && f.get(54) == Some(&129)
                    && f.get(58..60) == Some(&[0x77; 2])
            });
        }
        if told && answered {
            return Ok(());
        }
        quiet(drive, Duration::from_secs(1));
    }
    let at = &drive.host.interfaces()[0];
    Err(format!(
        "told {told}, answered {answered}: {:?} {:?}\n{}",
        at.addresses(),
        at.neighbors().neighbors(),
        drive.account()
    ))
}

/// A message of ICMPv6 as a frame.
fn frame(
    (from, to): (MacAddr, MacAddr),
    (src, dst): (Ipv6Addr, Ipv6Addr),
    hop_limit: u8,
    headers: &[(u8, Vec<u8>)],
    mut message: Vec<u8>,
) -> Vec<u8> {
    if let Some(place) = message.get_mut(2..4) {
        place.fill(0);
    }
    let sum = icmpv6::compute_checksum(src, dst, &message);
    if let Some(place) = message.get_mut(2..4) {
        place.copy_from_slice(&sum.to_be_bytes());
    }
    let (mut next, mut body) = (58, message);
    for (kind, header) in headers.iter().rev() {
        let mut header = header.clone();
        if let Some(first) = header.first_mut() {
            *first = next;
        }
        header.extend(body);
        (next, body) = (*kind, header);
    }
    let mut bytes = [to.0, from.0].concat();
    bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend([next, hop_limit]);
    bytes.extend(src.octets());
    bytes.extend(dst.octets());
    bytes.extend(body);
    bytes
}

/// Addresses that lies are about: the host's own, its neighbours', whoever it speaks to.
fn someone(c: &mut Chance, drive: &Drive) -> Ipv6Addr {
    let low = 1 + u128::from(c.byte() & 7);
    let of = |net: &str| Ipv6Addr::from(ip(net).to_bits() | low);
    match c.below(10) {
        0..=3 => {
            let all = drive.host.interfaces().iter().flat_map(|i| i.addresses());
            let own: Vec<_> = all.filter_map(|a| a.cidr.addr6()).collect();
            c.pick(&own).unwrap_or(of("fe80::"))
        }
        4 | 5 => of("fe80::"),
        6 => of("fd07::"),
        7 => of("fd08::"),
        8 => of("2001:db8::"),
        _ => {
            let bits = u128::from(c.u32()) << 64 | u128::from(c.u32());
            Ipv6Addr::from(ip("fe80::").to_bits() | bits)
        }
    }
}

fn station(c: &mut Chance) -> MacAddr {
    match c.below(12) {
        0 => MacAddr([2, 0, 0, 0, 0, 1 + (c.byte() & 1)]),
        1 => MacAddr::BROADCAST,
        2 => MacAddr([0x33, 0x33, 0, 0, 0, 1]),
        3 => MacAddr([2, 9, c.byte(), c.byte(), c.byte(), c.byte()]),
        _ => MacAddr([2, 9, 9, 9, 9, c.byte() & 7]),
    }
}

/// Something that somebody says on a link, mostly as it should be said.
pub(crate) fn lie(c: &mut Chance, drive: &Drive) -> Vec<u8> {
    // What whoever sees the link can make as good as true.
    let known = match c.below(12) {
        0 => answer(c, drive),
        1 => turn(c, drive),
        _ => None,
    };
    if let Some(known) = known {
        return known;
    }
    let src = match c.below(8) {
        0 => Ipv6Addr::UNSPECIFIED,
        1 => someone(c, drive),
        _ => Ipv6Addr::from(ip("fe80::").to_bits() | u128::from(1 + (c.byte() & 7))),
    };
    let own = someone(c, drive);
    let dst = match c.below(8) {
        0 | 1 => ip("ff02::1"),
        2 | 3 => solicited_node(own),
        4 => ip("ff02::2"),
        _ => own,
    };
    let (mut hop_limit, mut headers) = (255, Vec::new());
    let alert = (0, vec![0, 0, 5, 2, 0, 0, 1, 0]);
    let (dst, message) = match c.below(16) {
        0..=3 => (dst, solicit(own, &options(c, drive))),
        4..=6 => {
            let said = if c.one_in(2) { own } else { someone(c, drive) };
            let options = options(c, drive);
            (dst, advertise(c, said, &options))
        }
        7 => (
            ip("ff02::2"),
            [vec![133, 0, 0, 0, 0, 0, 0, 0], options(c, drive)].concat(),
        ),
        8..=10 => {
            let to = if c.one_in(4) { own } else { ip("ff02::1") };
            (to, route(c, drive))
        }
        11 => {
            let mut message = vec![137, 0, 0, 0, 0, 0, 0, 0];
            let about = someone(c, drive);
            let better = if c.one_in(3) {
                about
            } else {
                someone(c, drive)
            };
            message.extend(better.octets());
            message.extend(about.octets());
            message.extend(options(c, drive));
            (own, message)
        }
        12 | 13 => {
            hop_limit = 1;
            headers.push(alert);
            listen(c, drive)
        }
        _ => {
            hop_limit = 64;
            (own, error(c, drive))
        }
    };
    match c.below(40) {
        0 => hop_limit = c.byte(),
        1 => headers.push((60, vec![0, 0, 1, 4, 0, 0, 0, 0])),
        2 => headers.push((44, vec![0, 0, 0, 1, 0, 0, 0, c.byte()])),
        3 => headers.clear(),
        _ => {}
    }
    let to = match dst.is_multicast() {
        true => MacAddr::from_ipv6_multicast(dst),
        false => MacAddr([2, 0, 0, 0, 0, 1 + (c.byte() & 1)]),
    };
    let to = if c.one_in(32) { station(c) } else { to };
    let from = station(c);
    let mut bytes = frame((from, to), (src, dst), hop_limit, &headers, message);
    if c.one_in(6) {
        let other = drive.target.heard.back().cloned().unwrap_or_default();
        craft::bend(c, &mut bytes, &other, false);
    }
    if c.one_in(3) {
        mend(&mut bytes);
    }
    bytes
}

/// The answer to a question that the host has asked of late.
fn answer(c: &mut Chance, drive: &Drive) -> Option<Vec<u8>> {
    let asks = |f: &&Vec<u8>| f.get(54) == Some(&135) && f.get(22..38) != Some(&[0; 16]);
    let all: Vec<_> = drive.target.heard.iter().filter(asks).cloned().collect();
    let asked = c.pick(&all)?;
    let addr = |at: usize| <[u8; 16]>::try_from(asked.get(at..at + 16)?).ok();
    let (asker, target) = (addr(22)?, addr(62)?);
    let mut message = vec![136, 0, 0, 0, 0x60 | c.byte() & 0x80, 0, 0, 0];
    message.extend(target);
    message.extend([2, 1]);
    let mac = MacAddr([2, 9, 9, 9, 9, target[15] & 7]);
    message.extend(mac.0);
    let to = MacAddr(asked.get(6..12)?.try_into().ok()?);
    let ends = (Ipv6Addr::from(target), Ipv6Addr::from(asker));
    Some(frame((mac, to), ends, 255, &[], message))
}

/// A redirect by the router that the host sends to.
fn turn(c: &mut Chance, drive: &Drive) -> Option<Vec<u8>> {
    let far = Ipv6Addr::from(ip("2001:db8::").to_bits() | u128::from(2 + c.u16() % 7));
    let route = drive.host.routes().lookup(IpAddr::V6(far))?;
    let IpAddr::V6(router) = route.next_hop(IpAddr::V6(far))? else {
        return None;
    };
    let at = drive.host.interfaces().get(usize::from(route.port.0))?;
    let own = at.addresses().iter().find_map(|a| a.cidr.addr6())?;
    let better = match c.one_in(3) {
        true => far,
        false => Ipv6Addr::from(ip("fe80::").to_bits() | u128::from(1 + (c.byte() & 7))),
    };
    let mut message = vec![137, 0, 0, 0, 0, 0, 0, 0];
    message.extend(better.octets());
    message.extend(far.octets());
    message.extend(options(c, drive));
    let ends = (station(c), at.config().mac);
    Some(frame(ends, (router, own), 255, &[], message))
}

/// Sets the checksum of a message right that stands behind the fixed header.
fn mend(bytes: &mut [u8]) -> Option<()> {
    let (head, message) = bytes.split_at_mut_checked(54)?;
    if head.get(12..14)? != [0x86, 0xdd] || head.get(20)? != &58 {
        return None;
    }
    let addr = |at: usize| <[u8; 16]>::try_from(head.get(at..at + 16)?).ok();
    let (src, dst) = (addr(22)?, addr(38)?);
    message.get_mut(2..4)?.fill(0);
    let sum = icmpv6::compute_checksum(src.into(), dst.into(), message);
    message.get_mut(2..4)?.copy_from_slice(&sum.to_be_bytes());
    Some(())
}

fn solicit(target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    message.extend(options);
    message
}

fn advertise(c: &mut Chance, target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    let mut message = vec![136, 0, 0, 0, c.byte() & 0xe0, 0, 0, 0];
    message.extend(target.octets());
    message.extend(options);
    message
}

/// A router's advertisement, with whatever a router can say.
fn route(c: &mut Chance, drive: &Drive) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, c.byte(), c.byte() & 0xd8];
    let lifetime = c.pick(&[0, 1, 30, 1800, 9000, 65535]).unwrap_or(0);
    message.extend(u16::to_be_bytes(lifetime));
    for _ in 0..2 {
        let time = c.pick(&[0, 1, 100, 1000, 30_000, 3_600_000, u32::MAX]);
        message.extend(time.unwrap_or(0).to_be_bytes());
    }
    let time = |c: &mut Chance| {
        let times = [0, 1, 60, 7200, 86_400, u32::MAX - 1, u32::MAX];
        c.pick(&times).unwrap_or(0).to_be_bytes()
    };
    for _ in 0..c.below(5) {
        let prefix = match c.below(4) {
            0 => ip("fd07::").octets(),
            1 => ip("fe80::").octets(),
            _ => Ipv6Addr::new(0x2001, 0xdb8, u16::from(c.byte() & 15), 0, 0, 0, 0, 0).octets(),
        };
        let length = if c.one_in(6) { c.byte() } else { 64 };
        match c.below(8) {
            0..=2 => {
                message.extend([3, 4, length, c.byte() & 0xc0]);
                message.extend(time(c));
                message.extend(time(c));
                message.extend([0; 4]);
                message.extend(prefix);
            }
            3 => {
                let mtu = c.pick(&[0, 68, 1279, 1280, 1400, 1500, 9000, u32::MAX]);
                message.extend([5, 1, 0, 0]);
                message.extend(mtu.unwrap_or(0).to_be_bytes());
            }
            4 => {
                message.extend([24, 3, length, c.byte() & 0x18]);
                message.extend(time(c));
                message.extend(prefix);
            }
            5 => {
                message.extend([25, 3, 0, 0]);
                message.extend(time(c));
                message.extend(someone(c, drive).octets());
            }
            6 => {
                message.extend([31, 2, 0, 0]);
                message.extend(time(c));
                message.extend([3, b'a', b'b', b'a' + (c.byte() & 15), 1, b'c', 0, 0]);
            }
            _ => {
                let n = 6 + 8 * c.below(3);
                message.extend([c.byte(), ((n + 2) / 8) as u8]);
                message.extend(c.bytes(n));
            }
        }
    }
    message.extend(options(c, drive));
    message
}

/// Link-layer addresses and a nonce: ours among them, which nobody else can know.
fn options(c: &mut Chance, drive: &Drive) -> Vec<u8> {
    let mut all = Vec::new();
    for _ in 0..c.below(3) {
        match c.below(8) {
            0..=2 => {
                all.extend([1, 1]);
                all.extend(station(c).0);
            }
            3..=5 => {
                all.extend([2, 1]);
                all.extend(station(c).0);
            }
            6 => {
                let heard = drive.target.heard.iter().rev();
                let probe = |f: &&Vec<u8>| f.get(54) == Some(&135) && f.get(78) == Some(&14);
                let nonce = { heard }.find(probe).and_then(|f| f.get(78..86));
                all.extend(nonce.unwrap_or(&[14, 1, 1, 2, 3, 4, 5, 6]));
            }
            _ => {
                let n = c.below(10);
                all.extend(c.bytes(n));
            }
        }
    }
    all
}

/// Queries and reports of listeners.
fn listen(c: &mut Chance, drive: &Drive) -> (Ipv6Addr, Vec<u8>) {
    let n = u128::from(c.byte() & 7);
    let group = match c.below(4) {
        0 => Ipv6Addr::UNSPECIFIED,
        1 => solicited_node(someone(c, drive)),
        _ => Ipv6Addr::from(ip("ff05::").to_bits() | n),
    };
    let to = if group.is_unspecified() {
        ip("ff02::1")
    } else {
        group
    };
    let delay = c.pick(&[0, 1, 1000, 10_000, 0x8000, 0xffff]).unwrap_or(0);
    let mut message = vec![130, 0, 0, 0];
    match c.below(6) {
        0..=2 => {
            message.extend(u16::to_be_bytes(delay));
            message.extend([0, 0]);
            message.extend(group.octets());
            if !c.one_in(3) {
                let sources = c.below(5);
                message.extend([c.byte(), c.byte(), 0, sources as u8]);
                for _ in 0..sources {
                    message.extend(someone(c, drive).octets());
                }
            }
            (to, message)
        }
        3 => {
            message.extend([0; 4]);
            message.extend(group.octets());
            message[0] = c.pick(&[131, 132]).unwrap_or(131);
            (to, message)
        }
        _ => {
            let records = c.below(4);
            message[0] = 143;
            message.extend([0, 0, 0, records as u8]);
            for _ in 0..records {
                message.extend([c.byte() % 8, 0, 0, 0]);
                message.extend(group.octets());
            }
            (ip("ff02::16"), message)
        }
    }
}

/// An error about what the host has sent, or about what it has not, or an echo request.
fn error(c: &mut Chance, drive: &Drive) -> Vec<u8> {
    let heard: Vec<_> = drive.target.heard.iter().cloned().collect();
    let known = c.pick(&drive.spoken).filter(|_| !c.one_in(3));
    let sent = known.or_else(|| c.pick(&heard)).unwrap_or_default();
    let mut quote = sent.get(14..).unwrap_or_default().to_vec();
    quote.truncate(c.pick(&[1232, 48, 88, 40, 39]).unwrap_or(48));
    let mtu = c.pick(&[0, 68, 1279, 1280, 1281, 1400, 1499, 1500, 65_535, u32::MAX]);
    let mtu = mtu.unwrap_or(0).to_be_bytes();
    let (kind, code) = match c.below(8) {
        0..=3 => (2, 0),
        4 => (1, c.byte() % 8),
        5 => (3, c.byte() % 3),
        6 => (4, c.byte() % 4),
        _ => (128, 0),
    };
    let mut message = vec![kind, code, 0, 0];
    message.extend(mtu);
    message.extend(quote);
    message
}
