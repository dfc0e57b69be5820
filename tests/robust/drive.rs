//! A host driven at random: frames from craft, calls from users, time. After each step it is held
//! to its promises.

use crate::chance::Chance;
use crate::craft::{self, Target};
use stack::frame::{Checksum, Frame, Gso, GsoKind, Head, Payload};
use stack::host::{Config, Host, InterfaceConfig, RawHandle, ReversePath, UdpHandle};
use stack::link::offload::{self, Joiner};
use stack::machine::{Consumer, Fate, Machine, Port};
use stack::net::advertiser;
use stack::net::groups::FilterMode;
use stack::net::mld;
use stack::net::route::{Route, RouteKind};
use stack::reason::DropReason;
use stack::rng::Rng;
use stack::time::{Duration, Instant, UnixTime};
use stack::transport::udp::PathMtu;
use stack::wire::checksum::Sum;
use stack::wire::{Cidr, EtherType, MacAddr, Protocol, arp, ethernet, icmpv6, ipv4, ipv6, vlan};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The hosts that are driven.
pub(crate) const KINDS: [&str; 9] = [
    "host",
    "router",
    "any-ip",
    "proxy-arp",
    "promiscuous",
    "strict",
    "tun",
    "tight",
    "jumbo",
];

/// Frames that one pull may give in a row: more than all queues together hold, cut at the smallest
/// MTU. Beyond that the host would be sending for ever.
const ENDLESS: u32 = 400_000;
/// Turns of timeouts and pulls at one instant.
const STUCK: u32 = 64;

/// A host, its clock, its user and its peers.
#[derive(Clone)]
pub(crate) struct Drive {
    pub(crate) host: Host,
    pub(crate) now: Instant,
    pub(crate) target: Target,
    /// A hash over everything that came out, in order.
    pub(crate) digest: u64,
    pub(crate) frames_in: u64,
    pub(crate) frames_out: u64,
    ports: u16,
    is_ip: bool,
    /// The socket of the user who speaks IPv6 alone.
    pub(crate) speaker: Option<UdpHandle>,
    /// What it sent of late that errors can be about.
    pub(crate) spoken: Vec<Vec<u8>>,
    udp: Vec<UdpHandle>,
    raw: Vec<RawHandle>,
    joiner: Joiner,
    joined_bytes: usize,
}

fn cidr(text: &str) -> Cidr {
    text.parse().expect("a literal")
}

fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

fn config(kind: &str) -> Config {
    let mut config = Config {
        forwarding: matches!(kind, "router" | "proxy-arp" | "strict" | "jumbo"),
        ..Config::default()
    };
    if kind == "tight" {
        config.echo_broadcast = true;
        config.dad.max_addresses = 2;
        config.ndp.max_answers = 2;
        config.max_replies = 3;
        config.max_forwarded = 2;
        config.max_sockets = 5;
        config.max_redirects = 2;
        config.neighbor.max_entries = 4;
        config.neighbor.max_incomplete = 2;
        config.neighbor.max_parked_per_entry = 2;
        config.reassembly.max_datagrams = 3;
        config.reassembly.max_bytes = 4096;
        config.reassembly.max_bytes_per_source = 2048;
        config.reassembly.max_fragments = 8;
        config.pmtu.max_entries = 2;
        config.igmp.groups.max_groups = 3;
        config.route.max_routes = 6;
        config.icmp_rate.max_peers = 2;
        config.udp.receive_limit = 2048;
    }
    config
}

fn interfaces(kind: &str) -> Vec<InterfaceConfig> {
    let eth = |name: &str, port, last| InterfaceConfig::ethernet(name, Port(port), mac(last));
    let first = eth("eth0", 0, 1).with_address(cidr("10.1.0.1/24"));
    match kind {
        "any-ip" => vec![InterfaceConfig {
            any_ip: true,
            ..first
        }],
        "promiscuous" => vec![InterfaceConfig {
            promiscuous: true,
            ..first
        }],
        "tun" => vec![
            InterfaceConfig::ip("tun0", Port(0))
                .with_address(cidr("10.1.0.1/24"))
                .with_address(cidr("fd07::2/64")),
        ],
        "tight" => vec![
            first.with_address(cidr("fd07::2/64")),
            InterfaceConfig {
                mtu: 68,
                probe_addresses: true,
                ..eth("eth1", 1, 2).with_address(cidr("10.2.0.1/30"))
            },
        ],
        "router" | "strict" | "proxy-arp" | "jumbo" => {
            let all = [
                first,
                InterfaceConfig {
                    vlan: Some(10),
                    tso: true,
                    ..eth("eth0.10", 0, 1).with_address(cidr("10.2.0.1/24"))
                },
                InterfaceConfig {
                    vlan: Some(20),
                    mtu: 576,
                    priority: 5,
                    ..eth("eth0.20", 0, 4).with_address(cidr("10.3.0.1/24"))
                },
                InterfaceConfig {
                    mtu: 68,
                    tso: true,
                    ..eth("eth1", 1, 2).with_address(cidr("10.4.0.1/16"))
                },
                InterfaceConfig {
                    mtu: 65_535,
                    tso: kind == "strict",
                    ..eth("eth2", 2, 3).with_address(cidr("fd07::1/64"))
                }
                .with_address(cidr("10.5.0.1/31")),
            ];
            let change = |i: InterfaceConfig| match kind {
                "router" if i.port == Port(0) && i.vlan.is_none() => InterfaceConfig {
                    advertise: Some(advertiser::Config::default()),
                    proxy_arp: vec![cidr("fd07::/64")],
                    anycast: vec!["fd08::53".parse().unwrap()],
                    ..i.with_address(cidr("fd08::2/64"))
                },
                "strict" => InterfaceConfig {
                    reverse_path: ReversePath::Strict,
                    ..i
                },
                "jumbo" => InterfaceConfig {
                    reverse_path: ReversePath::Loose,
                    mtu: 9000,
                    ..i
                },
                "proxy-arp" => InterfaceConfig {
                    proxy_arp: vec![cidr("10.0.0.0/8")],
                    ..i
                },
                _ => i,
            };
            all.map(change).into()
        }
        _ => vec![first.with_address(cidr("192.168.7.7/16"))],
    }
}

impl Drive {
    /// A host of a kind; its own chance is seeded.
    pub(crate) fn new(kind: usize, seed: u64) -> Self {
        let kind = KINDS[kind % KINDS.len()];
        Self::of(config(kind), interfaces(kind), seed)
    }

    /// One with these settings and interfaces.
    pub(crate) fn of(config: Config, interfaces: Vec<InterfaceConfig>, seed: u64) -> Self {
        let mut host = Host::new(config, Rng::from_seed(seed));
        let now = Instant::from_nanos(seed.wrapping_mul(0x9e37_79b9) % 1_000_000_000_000);
        let (mut target, mut ports) = (Target::default(), 0);
        for interface in interfaces {
            ports = ports.max(interface.port.0 + 1);
            target.is_ip |= interface.mac == MacAddr::ZERO;
            target.macs.push(interface.mac);
            target
                .addrs
                .extend(interface.addresses.iter().filter_map(|a| a.addr4()));
            target
                .addrs6
                .extend(interface.addresses.iter().filter_map(|a| a.addr6()));
            target.vlans.extend(interface.vlan);
            host.add_interface(now, interface);
        }
        for net in 1..=5 {
            for last in 2..5 {
                let addr = Ipv4Addr::new(10, net, 0, last);
                target.peers.push((MacAddr([2, 9, 9, 9, 9, last]), addr));
                target.addrs.push(addr);
            }
        }
        if !target.addrs6.is_empty() {
            let near = [7, 8].map(|net| Ipv6Addr::new(0xfd00 | net, 0, 0, 0, 0, 0, 0, 9));
            target.addrs6.extend(near);
        }
        target
            .addrs
            .extend([Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 7)]);
        target.addrs.extend(
            target
                .addrs
                .clone()
                .first()
                .copied()
                .into_iter()
                .cycle()
                .take(60),
        );
        target.groups = vec![
            Ipv4Addr::new(224, 0, 0, 1),
            Ipv4Addr::new(239, 1, 1, 1),
            Ipv4Addr::new(239, 129, 1, 1),
            Ipv4Addr::new(232, 1, 1, 1),
        ];
        target.ports = vec![7, 53, 5000, 5001];
        let gateway = IpAddr::from([10, 1, 0, 2]);
        let _ = host.add_route(Route::via(cidr("0.0.0.0/0"), gateway, Port(0)));
        Self {
            host,
            now,
            is_ip: target.is_ip,
            digest: 0xcbf2_9ce4_8422_2325,
            frames_in: 0,
            frames_out: 0,
            ports,
            speaker: None,
            spoken: Vec::new(),
            udp: Vec::new(),
            raw: Vec::new(),
            joiner: Joiner::new(target.is_ip),
            joined_bytes: 0,
            target,
        }
    }

    /// One thing happens: frames arrive, time passes, or the user calls.
    pub(crate) fn step(&mut self, c: &mut Chance) {
        match c.below(24) {
            0 | 1 => self.user(c),
            2 => self.pass_time(c),
            3 => self.mend(),
            _ => {
                for bytes in craft::frames(c, &self.target) {
                    self.receive(c, &bytes);
                }
            }
        }
        // A driver that is slow to pull must do no harm either.
        if !c.one_in(4) {
            self.settle();
        }
        self.check();
    }

    /// A frame arrives at a random port.
    pub(crate) fn receive(&mut self, c: &mut Chance, bytes: &[u8]) {
        let ports = usize::from(self.ports) + usize::from(c.one_in(50));
        let any = c.below(ports) as u16;
        let to = |i: &&stack::host::Interface| bytes.starts_with(&i.config().mac.0);
        let right = self.host.interfaces().iter().find(to).map(|i| i.port());
        let port = right.filter(|_| !c.one_in(8)).unwrap_or(Port(any));
        let frame = split(c, bytes);
        self.rejoin(&frame, c);
        let fate = self.host.handle_frame(self.now, port, frame);
        self.frames_in += 1;
        self.note(fate_number(fate));
        self.check();
    }

    /// What a joiner is given, it gives back, cut or not.
    fn rejoin(&mut self, frame: &Frame, c: &mut Chance) {
        let mut frame = frame.clone();
        frame.offload.gso = None;
        self.joined_bytes += frame.len();
        self.joiner.push(&mut frame);
        if c.one_in(16) {
            self.joiner.flush();
            let mut bytes = 0;
            while let Some(frame) = self.joiner.pop() {
                offload::cut(frame, self.is_ip, |piece| bytes += piece.len());
            }
            assert_eq!(bytes, std::mem::take(&mut self.joined_bytes));
        }
    }

    /// Undoes what users did, so that frames get in again: links up, addresses and routes there.
    fn mend(&mut self) {
        for at in 0..self.host.interfaces().len() {
            let at = at as u16;
            self.host.set_up(self.now, at, true);
            let Some(interface) = self.host.interfaces().get(usize::from(at)) else {
                continue;
            };
            let wanted = interface.config().addresses.clone();
            let lost = |a: &stack::host::Address| {
                let addr = a.cidr.addr4().filter(|_| !a.usable);
                addr.is_some_and(|a| interface.claims().state(a).is_none())
            };
            let all = interface.addresses().to_vec();
            let have: Vec<_> = all.iter().map(|a| a.cidr).collect();
            let lost: Vec<_> = all.iter().filter(|a| lost(a)).map(|a| a.cidr).collect();
            for gone in &lost {
                self.host.remove_address(self.now, at, gone.addr());
                self.host.add_address(self.now, at, *gone);
            }
            for extra in have.iter().filter(|a| !wanted.contains(a)) {
                self.host.remove_address(self.now, at, extra.addr());
            }
            for missing in wanted.iter().filter(|a| !have.contains(a)) {
                self.host.add_address(self.now, at, *missing);
            }
        }
        let set: Vec<_> = self.host.routes().iter().copied().collect();
        for route in set {
            if !matches!(route.kind, RouteKind::OnLink) {
                self.host
                    .remove_route(route.destination, route.metric, route.port.0);
            }
        }
        let gateway = IpAddr::from([10, 1, 0, 2]);
        let _ = self
            .host
            .add_route(Route::via(cidr("0.0.0.0/0"), gateway, Port(0)));
    }

    fn pass_time(&mut self, c: &mut Chance) {
        let wait = match c.below(5) {
            0 => Duration::from_nanos(u64::from(c.u32())),
            1 => Duration::from_millis(c.below(2000) as u64),
            2 => Duration::from_secs(c.below(200) as u64),
            3 => self
                .host
                .poll_timeout()
                .map_or(Duration::ZERO, |t| t - self.now),
            _ => Duration::ZERO,
        };
        self.now += wait;
    }

    /// Pulls until nothing more comes and nothing is due.
    pub(crate) fn settle(&mut self) {
        for _ in 0..STUCK {
            self.pull();
            match self.host.poll_timeout() {
                Some(due) if due <= self.now => self.host.handle_timeout(self.now),
                _ => return,
            }
        }
        let due = self.host.poll_timeout();
        panic_with(format!("{due:?} stays due at {:?}", self.now));
    }

    fn pull(&mut self) {
        for port in 0..self.ports {
            let mut pulled = 0;
            while let Some(frame) = self.host.poll_transmit(self.now, Port(port)) {
                pulled += 1;
                assert!(pulled < ENDLESS, "poll_transmit never gives None");
                let bytes = frame.to_bytes();
                if frame.offload.gso.is_some() {
                    let cuts =
                        |i: &stack::host::Interface| i.port() == Port(port) && i.config().tso;
                    assert!(self.host.interfaces().iter().any(cuts), "nobody cuts that");
                }
                // What is cut below is judged by its pieces.
                offload::cut(frame, self.is_ip, |piece| {
                    self.check_frame(Port(port), &piece.to_bytes());
                });
                self.frames_out += 1;
                self.note(u64::from(port));
                self.digest = hash(self.digest, &bytes);
                if self.target.heard.len() >= 12 {
                    self.target.heard.pop_front();
                }
                if bytes.len() < 2000 {
                    self.target.heard.push_back(bytes.to_vec());
                }
            }
        }
        while let Some(event) = self.host.poll_event() {
            self.digest = hash(self.digest, format!("{event:?}").as_bytes());
        }
    }

    /// What leaves by a port at once where a frame comes by it.
    pub(crate) fn answers(&mut self, port: Port, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.settle();
        self.target.heard.clear();
        let fate = self
            .host
            .handle_frame(self.now, port, Frame::copy_from(bytes));
        self.frames_in += 1;
        self.note(fate_number(fate));
        self.settle();
        self.target.heard.iter().cloned().collect()
    }

    fn note(&mut self, what: u64) {
        self.digest = hash(self.digest, &what.to_le_bytes());
    }

    /// Where the frames went, in lines.
    pub(crate) fn account(&self) -> String {
        let stats = self.host.stats();
        let mut out = format!("{} in, {} out", self.frames_in, self.frames_out);
        out += &format!(", {} forwarded, {} held\n", stats.forwarded, stats.held);
        for (to, n) in Consumer::ALL.iter().zip(stats.delivered) {
            out += &format!("  to {:24} {n}\n", to.name());
        }
        for reason in DropReason::ALL {
            let (i, o) = (stats.dropped_in(*reason), stats.dropped_out(*reason));
            if i + o > 0 {
                out += &format!("  dropped {:19} {i} in, {o} out\n", reason.name());
            }
        }
        out
    }

    /// What must hold at every moment.
    pub(crate) fn check(&self) {
        let stats = self.host.stats();
        assert!(stats.is_conserved(), "{stats:?}");
        let config = self.host.config();
        let fragments = config.reassembly.max_datagrams * config.reassembly.max_fragments;
        assert!(
            stats.held as usize <= fragments,
            "{} fragments held",
            stats.held
        );
        assert!(self.host.path_mtus().len() <= config.pmtu.max_entries);
        assert!(self.host.routes().len() <= config.route.max_routes);
        for interface in self.host.interfaces() {
            assert!(interface.neighbors().len() <= config.neighbor.max_entries);
            let parked = interface.neighbors().stats().parked_bytes as usize;
            assert!(
                parked <= config.neighbor.max_parked_total,
                "{parked} bytes parked"
            );
            assert!(
                interface.groups().groups().iter().count() <= config.igmp.groups.max_groups + 1
            );
            assert!(interface.groups6().groups().iter().count() <= config.mld.max_groups);
        }
    }

    /// What we send must be sound, whatever came in.
    fn check_frame(&self, port: Port, frame: &[u8]) {
        let mut vlan = None;
        let (ethertype, packet) = if self.is_ip {
            match frame.first() {
                Some(first) if first >> 4 == 6 => (EtherType::IPV6, frame),
                _ => (EtherType::IPV4, frame),
            }
        } else {
            assert!(frame.len() >= 60, "not padded");
            let (header, rest) = ethernet::Header::parse(frame).expect("a link header");
            let ours = |i: &stack::host::Interface| i.config().mac == header.src;
            assert!(self.host.interfaces().iter().any(ours), "{header:?}");
            if header.ethertype == EtherType::VLAN {
                let (tag, rest) = vlan::Header::parse(rest).expect("a tag");
                assert!(self.target.vlans.contains(&tag.vid), "{tag:?}");
                vlan = Some(tag.vid);
                (tag.ethertype, rest)
            } else {
                (header.ethertype, rest)
            }
        };
        match ethertype {
            EtherType::ARP => {
                let (arp, _) = arp::Packet::parse(packet).expect("an ARP packet");
                assert!(!arp.sender_mac.is_multicast(), "{arp:?}");
            }
            EtherType::IPV4 => self.check_packet(packet),
            EtherType::IPV6 => self.check_packet6((port, vlan), packet),
            other => panic_with(format!("we sent {other:?}")),
        }
    }

    fn check_packet(&self, packet: &[u8]) {
        let (header, _) = ipv4::Header::parse(packet).expect("an IPv4 header");
        let len = header.header_len();
        assert!(ipv4::verify(&packet[..len]), "IPv4 checksum: {header:?}");
        let total = usize::from(header.total_len);
        assert!(total <= packet.len(), "{header:?}");
        let mtu = self.host.interfaces().iter().map(|i| i.config().mtu).max();
        assert!(total <= mtu.unwrap_or(0), "beyond every MTU: {header:?}");
        //= RFC 1122 §3.2.1.7 never sent with a time to live of zero.
        assert!(header.ttl > 0, "{header:?}");
        //= RFC 1122 §3.2.1.3 addresses that must not appear outside of a host.
        let nowhere = |a: Ipv4Addr| a.is_loopback() || a.is_unspecified();
        assert!(!nowhere(header.dst), "{header:?}");
        let igmp = header.protocol == Protocol::IGMP;
        assert!(!nowhere(header.src) || igmp, "{header:?}");
        let end = usize::from(header.fragment_offset) + total - len;
        assert!(end <= 65_535, "a fragment beyond any datagram: {header:?}");
        let whole = !header.more_fragments && header.fragment_offset == 0;
        let own = self.host.interfaces().iter().any(|i| i.holds(header.src));
        // One hop less: forwarded, from an address that has become ours since.
        if own && whole && header.ttl == self.host.config().ttl {
            check_transport(&header, &packet[len..total]);
        }
    }

    fn check_packet6(&self, link: (Port, Option<u16>), packet: &[u8]) {
        let (header, rest) = ipv6::Header::parse(packet).expect("an IPv6 header");
        let body = rest.get(..usize::from(header.payload_len));
        let body = body.expect("as long as it says");
        let mtu = self.host.interfaces().iter().map(|i| i.config().mtu).max();
        let total = ipv6::HEADER_LEN + body.len();
        assert!(total <= mtu.unwrap_or(0), "beyond every MTU: {header:?}");
        assert!(header.hop_limit > 0, "{header:?}");
        //= RFC 4291 §2.5 addresses that must not appear outside of a host.
        let nowhere = |a: Ipv6Addr| a.is_loopback() || a.is_unspecified();
        //= RFC 4862 §5.4.2 but the question whether anyone has an address comes from nobody.
        //= RFC 4861 §4.1 or whether there are routers, before there is an address.
        let asks = matches!(body.first(), Some(133 | 135));
        let probe = header.next_header == Protocol::ICMPV6 && asks;
        //= RFC 3590 §4 and so do reports of who listens, until there is an address.
        let report = header.next_header == Protocol::HOP_BY_HOP && body[..8] == mld::ROUTER_ALERT;
        let may = (probe && header.hop_limit == 255) || (report && header.hop_limit == 1);
        let nobody = nowhere(header.src) && !(may && header.src.is_unspecified());
        assert!(!nowhere(header.dst) && !nobody, "{header:?}");
        // An address of a link is another's on each.
        let anywhere = !header.src.is_unicast_link_local();
        let own = self.host.interfaces().iter().any(|i| {
            let here = (i.port(), i.config().vlan) == link;
            i.holds(header.src) && (anywhere || here)
        });
        // Of others' reports, which a router may pass on, nothing is known.
        let reported = report && (own || header.src.is_unspecified());
        assert!(
            !reported || icmpv6::verify(header.src, header.dst, &body[8..]),
            "checksum: {header:?}"
        );
        // A raw socket's user sends nothing but one repeated byte.
        let users = body.iter().all(|b| *b == body[0]);
        // One hop less: forwarded, from an address that has become ours since.
        let whole = [255, self.host.config().ttl].contains(&header.hop_limit);
        if own && whole && !users && header.next_header == Protocol::ICMPV6 {
            let right = icmpv6::verify(header.src, header.dst, body);
            assert!(right, "checksum: {header:?}");
            assert!(!icmpv6::is_error(body[0]) || total <= ipv6::MIN_MTU);
        }
    }

    pub(crate) fn user(&mut self, c: &mut Chance) {
        let now = self.now;
        let udp = c.pick(&self.udp);
        let raw = c.pick(&self.raw);
        let interface = c.below(self.host.interfaces().len() + 1) as u16;
        let addr = c.pick(&self.target.addrs).unwrap_or(Ipv4Addr::BROADCAST);
        let group = c.pick(&self.target.groups).unwrap_or(Ipv4Addr::BROADCAST);
        let group = match self.target.addrs6.is_empty() || c.one_in(2) {
            true => IpAddr::V4(group),
            false => IpAddr::V6(Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, c.u16() & 3)),
        };
        match c.below(16) {
            0 | 1 => self.open(c),
            2 | 3 => self.send_udp(c),
            4 => {
                if let Some(raw) = raw {
                    let n = c.pick(&[0, 8, 56, 2000, 65_507]).unwrap_or(0);
                    let options = if c.one_in(3) { c.bytes(4) } else { Vec::new() };
                    let data = payload(c, n);
                    if let Some(addr) = self.other_family(c) {
                        let _ = self.host.echo_send(now, raw, addr, 1, data.clone(), &[]);
                        let _ = self.host.raw_send(now, raw, addr, data.clone(), &[]);
                    }
                    let _ = self
                        .host
                        .echo_send(now, raw, addr, 1, data.clone(), &options);
                    let _ = self.host.raw_send(now, raw, addr, data, &options);
                }
            }
            5 => {
                if let Some(udp) = udp {
                    let mode = if c.one_in(2) {
                        FilterMode::Include
                    } else {
                        FilterMode::Exclude
                    };
                    let mut sources: Vec<IpAddr> =
                        self.target.peers.iter().map(|p| p.1.into()).collect();
                    if c.one_in(2) {
                        sources = self.target.addrs6.iter().map(|a| (*a).into()).collect();
                    }
                    let n = c.below(4);
                    let sources = sources.get(..n).unwrap_or_default();
                    let _ = self
                        .host
                        .udp_join(now, udp, interface, group, mode, sources);
                }
            }
            6 => {
                if let Some(udp) = udp {
                    self.host.udp_leave(now, udp, interface, group);
                }
            }
            7 => {
                if let Some(udp) = udp {
                    self.host.udp_close(now, udp);
                }
                if let Some(raw) = raw {
                    self.host.raw_close(now, raw);
                }
            }
            8 => {
                if let Some(udp) = udp {
                    let ip = self.other_family(c).unwrap_or(IpAddr::V4(addr));
                    let to = SocketAddr::new(ip, 7);
                    let _ = self.host.udp_connect(udp, to);
                }
            }
            9 => self.host.set_up(now, interface, !c.one_in(3)),
            10 => {
                let new = IpAddr::from([10, 1 + c.byte() % 5, 0, 1 + c.byte() % 3]);
                let len = if c.one_in(8) { c.byte() % 33 } else { 24 };
                if let Some(cidr) = Cidr::new(new, len) {
                    self.host.add_address(now, interface, cidr);
                }
            }
            11 => self.host.remove_address(now, interface, IpAddr::V4(addr)),
            12 => {
                let kind = match c.below(5) {
                    0 => RouteKind::Unreachable,
                    1 => RouteKind::Prohibited,
                    2 => RouteKind::Blackhole,
                    3 => RouteKind::OnLink,
                    _ => RouteKind::Via(IpAddr::V4(addr)),
                };
                if let Some(to) = Cidr::new(IpAddr::V4(addr), c.byte() % 33) {
                    let on = Route::on_link(to.network(), Port(interface));
                    let mtu = c.one_in(4).then(|| 68 + c.u16() % 2000);
                    let _ = self.host.add_route(Route { kind, mtu, ..on });
                }
            }
            13 => {
                if let Some(to) = Cidr::new(IpAddr::V4(addr), c.byte() % 33) {
                    let _ = self.host.remove_route(to.network(), 0, interface);
                }
            }
            14 => self
                .host
                .set_unix_time(now, UnixTime(u64::from(c.u32()) << 30)),
            _ => self.read(c),
        }
    }

    fn open(&mut self, c: &mut Chance) {
        if c.one_in(2) {
            let ip = c.pick(&self.target.addrs).unwrap_or(Ipv4Addr::UNSPECIFIED);
            let ip = if c.one_in(2) {
                Ipv4Addr::UNSPECIFIED
            } else {
                ip
            };
            let ip = self.other_family(c).unwrap_or(IpAddr::V4(ip));
            let ip = match ip {
                IpAddr::V6(_) if c.one_in(2) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                ip => ip,
            };
            let port = c.pick(&[7, 53, 5000, 0]).unwrap_or(0);
            let options = stack::transport::udp::Options {
                reuse: c.one_in(2),
                broadcast: c.one_in(2),
                ..self.host.config().udp
            };
            let bound = self.host.udp_bind_with(SocketAddr::new(ip, port), options);
            self.udp.extend(bound.ok());
        } else if c.one_in(2) {
            let ident = c.pick(&[7, 53, 0]).unwrap_or(0);
            self.raw
                .extend(self.host.echo_open(ident).ok().map(|(raw, _)| raw));
        } else {
            let protocol = Protocol(c.pick(&[1, 6, 17, 2, 253, 58]).unwrap_or(253));
            self.raw.extend(self.host.raw_open(protocol).ok());
        }
        // Old handles stay in the lists: a closed one must do no harm.
        self.udp.drain(..self.udp.len().saturating_sub(24));
        self.raw.drain(..self.raw.len().saturating_sub(24));
    }

    fn send_udp(&mut self, c: &mut Chance) {
        let Some(udp) = c.pick(&self.udp) else { return };
        if let Some(options) = self.host.udp_options(udp) {
            match c.below(6) {
                0 => options.ttl = c.byte(),
                1 => options.multicast_ttl = c.byte() % 3,
                2 => {
                    let all = [
                        PathMtu::Want,
                        PathMtu::Require,
                        PathMtu::Off,
                        PathMtu::Probe,
                    ];
                    options.path_mtu = c.pick(&all).unwrap_or(PathMtu::Want);
                }
                3 => options.multicast_interface = c.one_in(2).then(|| c.u16() % 6),
                4 => options.tos = c.byte(),
                _ => {}
            }
        }
        let ip = match c.below(8) {
            0 => c.pick(&self.target.groups).unwrap_or(Ipv4Addr::BROADCAST),
            1 => Ipv4Addr::BROADCAST,
            2 => Ipv4Addr::from(c.u32()),
            3 => c
                .pick(&[Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST])
                .unwrap_or(Ipv4Addr::LOCALHOST),
            _ => c.pick(&self.target.addrs).unwrap_or(Ipv4Addr::BROADCAST),
        };
        let ip = self.other_family(c).unwrap_or(IpAddr::V4(ip));
        let to = (!c.one_in(4)).then(|| SocketAddr::new(ip, 7));
        let n = c
            .pick(&[0, 1, 100, 1472, 1473, 4000, 65_507, 65_508])
            .unwrap_or(0);
        let data = payload(c, n);
        let _ = self.host.udp_send(self.now, udp, data, to);
    }

    /// Half the time, where the host speaks it, an address of IPv6.
    fn other_family(&self, c: &mut Chance) -> Option<IpAddr> {
        if self.target.addrs6.is_empty() || c.one_in(2) {
            return None;
        }
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let addr = match c.below(8) {
            0 => Some(group),
            1 => Some(Ipv6Addr::LOCALHOST),
            _ => c.pick(&self.target.addrs6),
        };
        addr.map(IpAddr::V6)
    }

    fn read(&mut self, c: &mut Chance) {
        let (udp, raw) = (c.pick(&self.udp), c.pick(&self.raw));
        if let Some(udp) = udp {
            while let Some(datagram) = self.host.udp_recv(udp) {
                self.digest = hash(self.digest, &datagram.payload.to_bytes());
            }
            while self.host.udp_take_error(udp).is_some() {}
        }
        if let Some(raw) = raw {
            while let Some(packet) = self.host.raw_recv(raw) {
                self.digest = hash(self.digest, &packet.payload.to_bytes());
            }
            while self.host.raw_take_error(raw).is_some() {}
        }
    }
}

fn payload(c: &mut Chance, n: usize) -> Payload {
    Payload::from(bytes::Bytes::from(c.filler(n)))
}

/// The transport checksum of a packet that we made ourselves.
fn check_transport(header: &ipv4::Header<'_>, body: &[u8]) {
    let mut sum = Sum::new();
    match header.protocol {
        // A raw socket's user may send what he likes; ICMP, IGMP and UDP are checked where we can
        // tell that they are whole.
        Protocol::ICMP if body.len() >= 8 && matches!(body[0], 0 | 3 | 5 | 11 | 12 | 14) => {}
        Protocol::TCP if body.len() == 20 && body[13] & 4 != 0 => {
            sum.add_pseudo4(header.src, header.dst, Protocol::TCP, body.len());
        }
        _ => return,
    }
    sum.add(body);
    // The user's raw socket sends nothing but one repeated byte.
    let users = body.iter().all(|b| *b == body[0]);
    assert!(users || sum.finish() == 0, "checksum: {header:?}");
}

/// A frame as some device or lab host might hand it over: in pieces, with notes on its checksum.
fn split(c: &mut Chance, bytes: &[u8]) -> Frame {
    let mut frame = Frame::default();
    let head = if c.one_in(3) {
        c.below(bytes.len().min(Head::CAPACITY) + 1)
    } else {
        0
    };
    if let Some(room) = frame.head.push_front(head) {
        room.copy_from_slice(&bytes[..head]);
    }
    let mut rest = bytes::Bytes::copy_from_slice(&bytes[head..]);
    for _ in 0..c.below(4) {
        let n = c.below(rest.len() + 1);
        frame.payload.push(rest.split_to(n));
    }
    frame.payload.push(rest);
    frame.offload.checksum = match c.below(12) {
        0 => Checksum::Verified,
        1 => Checksum::Complete,
        2 => Checksum::Partial {
            start: c.u16() % 64,
            offset: c.u16() % 24,
        },
        3 => Checksum::Partial {
            start: c.u16(),
            offset: c.u16(),
        },
        4 => Checksum::Partial {
            start: 34,
            offset: 16,
        },
        _ => Checksum::Unchecked,
    };
    let is_open = matches!(frame.offload.checksum, Checksum::Partial { .. });
    if c.one_in(if is_open { 2 } else { 40 }) {
        let kinds = [GsoKind::Udp, GsoKind::Tcp4, GsoKind::Tcp6];
        frame.offload.gso = Some(Gso {
            kind: kinds[c.below(kinds.len())],
            size: c.u16() >> c.below(16),
        });
    }
    frame
}

fn fate_number(fate: Fate) -> u64 {
    match fate {
        Fate::Delivered(to) => 1000 + to.index() as u64,
        Fate::Forwarded => 2000,
        Fate::Held => 3000,
        Fate::Dropped(reason) => reason.index() as u64,
    }
}

/// FNV-1a.
fn hash(digest: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(digest, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3)
    })
}

pub(crate) fn panic_with(why: String) {
    assert!(why.is_empty(), "{why}");
}

/// Runs a host of a kind for a number of steps, or as long as a fuzzer's input lasts.
pub(crate) fn run(kind: usize, seed: u64, c: &mut Chance, steps: u32) -> Drive {
    let mut drive = Drive::new(kind, seed);
    for _ in 0..steps {
        drive.step(c);
        if c.is_spent() {
            break;
        }
    }
    drive.settle();
    drive
}

/// Runs a host that has only its users, and a peer that throws back what it hears.
pub(crate) fn run_user(c: &mut Chance, steps: u32) {
    let mut drive = Drive::new(0, 7);
    for _ in 0..steps {
        drive.user(c);
        if c.one_in(2) {
            drive.settle();
            let back = drive.target.heard.back().cloned().unwrap_or_default();
            drive.receive(c, &turned(&back));
        }
        drive.check();
        if c.is_spent() {
            break;
        }
    }
    drive.settle();
}

/// A frame sent back to where it came from: addresses and ports swapped.
fn turned(frame: &[u8]) -> Vec<u8> {
    let mut out = frame.to_vec();
    for (a, b, n) in [(0, 6, 6), (26, 30, 4), (34, 36, 2)] {
        if frame.len() >= b + n {
            out[a..a + n].copy_from_slice(&frame[b..b + n]);
            out[b..b + n].copy_from_slice(&frame[a..a + n]);
        }
    }
    out
}
