//! A script's packets: injected, or awaited and compared.

use super::socket::{Socket, State, shift_blocks, timestamps};
use super::state::{Entry, Outgoing, Result, Runner, Stop, cannot, clock, fail};
use crate::pkt::icmp;
use crate::pkt::ip::Ip;
use crate::pkt::notation;
use crate::pkt::outer;
use crate::pkt::tree::{
    About, Body, IpSpec, Numbering, Outer, Packet, TcpOption, TcpSpec, TosSpec,
};
use crate::pkt::wire::{self, Seen, SeenBody};

/// How much longer than a packet's time it is waited for, to tell when it did come.
const PATIENCE: u64 = 130_000_000_000;

const SYN: u16 = 0x02;
const RST: u16 = 0x04;
const ACK: u16 = 0x10;

/// What left, in the script's numbers.
struct Actual {
    at: u64,
    outer: Vec<Outer>,
    ip: Ip,
    body: ActualBody,
}

enum ActualBody {
    Tcp {
        spec: TcpSpec,
        payload: Vec<u8>,
        reserved: u8,
    },
    Udp {
        payload: Vec<u8>,
    },
    Icmp {
        kind: u8,
        code: u8,
    },
}

impl Runner<'_> {
    fn v6(&self) -> bool {
        self.prepared.config.setup.remote.is_ipv6()
    }

    /// The connection under test.
    fn tested(&mut self) -> Result<&mut Socket> {
        match self
            .under_test
            .and_then(|index| self.sockets.get_mut(index))
        {
            Some(socket) => Ok(socket),
            None => fail("no socket could have this packet"),
        }
    }

    // ---- what arrives ----

    pub(super) fn inbound(&mut self, packet: &Packet) -> Result<()> {
        if let Body::Tcp(spec) = &packet.body {
            self.choose_inbound(spec);
        }
        let ip = self.inbound_ip(&packet.ip);
        let v6 = self.v6();
        let socket = self.tested()?;
        let (local, remote) = (socket.local, socket.remote);
        let bytes = match &packet.body {
            Body::Tcp(spec) => self.map_inbound(spec, &ip)?,
            Body::Udp { ports, len } => {
                let config = &self.prepared.config;
                let from = remote.map_or(config.connect_port, |(_, port)| port);
                let to = local.map_or(config.bind_port, |(_, port)| port);
                wire::udp(&ip, ports.unwrap_or((from, to)), *len)
            }
            Body::Icmp {
                kind,
                code,
                mtu,
                id,
                about,
            } => {
                let (kind, code) =
                    icmp::numbers(v6, kind, code.as_deref()).map_err(Stop::Cannot)?;
                let offset = socket.local_offset(false);
                let ports = (local.map_or(0, |(_, p)| p), remote.map_or(0, |(_, p)| p));
                let back = Ip {
                    from: ip.to,
                    to: ip.from,
                    tos: 0,
                    ttl: 64,
                    flow_label: 0,
                };
                let rest = match about {
                    About::Tcp { seq, len } => {
                        wire::quote(&back, true, ports, seq.wrapping_add(offset), *len)
                    }
                    About::Udp { len } => wire::quote(&back, false, ports, 0, *len),
                    About::Raw { len } => vec![0; usize::from(len.saturating_sub(8))],
                };
                let word = mtu.unwrap_or(u32::from(*id) << 16);
                wire::icmp(&ip, kind, code, word, &rest)
            }
        };
        let bytes = outer::put(bytes, &packet.outer).map_err(Stop::Cannot)?;
        let now = self.now();
        self.exchange
            .push((now, Entry::Packet(Box::new(packet.clone()))));
        self.process.deliver(&bytes);
        self.settle()
    }

    fn inbound_ip(&self, spec: &IpSpec) -> Ip {
        let setup = &self.prepared.config.setup;
        Ip {
            from: setup.remote,
            to: setup.local,
            tos: spec.byte(),
            ttl: spec.ttl,
            flow_label: spec.flow_label,
        }
    }

    /// Finds or makes the connection that an arriving segment belongs to.
    fn choose_inbound(&mut self, spec: &TcpSpec) {
        let config = &self.prepared.config;
        // Ports in a script name connections side by side, which packetdrill itself cannot tell.
        if let Some((from, _)) = spec.ports
            && let Some(known) = self
                .sockets
                .iter()
                .rposition(|s| s.script_port == Some(from))
        {
            self.under_test = Some(known);
            return;
        }
        let tested = self.under_test.and_then(|index| self.sockets.get(index));
        // A socket that neither listens nor connects is as good as none.
        let opens =
            tested.is_none_or(|socket| matches!(socket.state, State::Listening | State::New));
        let listens = || {
            self.sockets
                .iter()
                .any(|socket| socket.state == State::Listening)
        };
        let named = spec.ports.is_some() && spec.flags & (SYN | ACK) == SYN && listens();
        if !opens && !named {
            return;
        }
        let mut socket = Socket::new(State::PacketReceived);
        let (from, to) = spec.ports.unwrap_or((self.next_port, config.bind_port));
        if spec.ports.is_none() {
            self.next_port = self.next_port.wrapping_add(1).max(1024);
        }
        socket.script_port = spec.ports.map(|(from, _)| from);
        socket.script_local_port = spec.ports.map(|(_, to)| to);
        socket.remote = Some((config.setup.remote, from));
        socket.local = Some((config.setup.local, to));
        socket.script_remote_isn = spec.seq;
        socket.live_remote_isn = spec.seq;
        self.sockets.push(socket);
        self.under_test = Some(self.sockets.len() - 1);
    }

    fn map_inbound(&mut self, script: &TcpSpec, ip: &Ip) -> Result<Vec<u8>> {
        let scaled = self.prepared.config.ecr_scaled;
        let bind_port = self.prepared.config.bind_port;
        let socket = self.tested()?;
        let (syn, ack) = (script.flags & SYN != 0, script.flags & ACK != 0);
        match socket.state {
            // A peer that took its SYN back and begins anew is answered by another SYN-ACK.
            State::SynAckSent if syn && !ack && socket.taken_back => {
                socket.state = State::PacketReceived;
            }
            State::SynAckSent if ack => socket.state = State::SynAckAcked,
            State::SynSent if syn && ack => {
                socket.state = State::SynAcked;
                socket.script_remote_isn = script.seq;
                socket.live_remote_isn = script.seq;
            }
            _ => {}
        }
        socket.taken_back = socket.state == State::SynAckSent && script.flags & RST != 0;
        let mut live = script.clone();
        if script.numbering == Numbering::Relative {
            live.seq = script.seq.wrapping_add(socket.remote_offset(syn));
        }
        let offset = socket.local_offset(syn);
        if ack {
            live.ack = script.ack.wrapping_add(offset);
        }
        let options = live.options.get_or_insert_default();
        shift_blocks(options, offset);
        for option in options {
            let TcpOption::Ts { ecr, .. } = option else {
                continue;
            };
            if !ack || script.live_echo {
                continue;
            }
            *ecr = match (socket.timestamps.get(ecr), socket.first_timestamp) {
                (Some(live), _) => *live,
                (None, Some((first, first_live))) if scaled => {
                    ecr.wrapping_sub(first).wrapping_add(first_live)
                }
                _ => return fail(format!("no packet with TS val {ecr} has left to be echoed")),
            };
        }
        let ports = script.ports.unwrap_or((
            socket.remote.map_or(0, |(_, port)| port),
            socket.local.map_or(bind_port, |(_, port)| port),
        ));
        wire::tcp(ip, ports, &live).map_err(Stop::Cannot)
    }

    // ---- what leaves ----

    pub(super) fn outbound(&mut self, packet: &Packet, time: (u64, u64), any: bool) -> Result<()> {
        if let Body::Tcp(spec) = &packet.body {
            self.choose_outbound(spec);
        }
        self.tested()?;
        let limit = if any { self.now() } else { time.1 }.saturating_add(PATIENCE);
        let first = self.awaited(packet, limit)?;
        let Some(first) = first else {
            let why = match any {
                true => "no packet left, and none is to come".to_owned(),
                false => format!("no packet left by {}", clock(time.1)),
            };
            return Err(Stop::Fail(why, vec![format!("expected: {packet}")]));
        };
        let mut actual = self.map_outbound(packet, &first)?;
        if let Body::Tcp(spec) = &packet.body {
            self.gather(packet, spec, first, &mut actual, limit)?;
        }
        self.compare(packet, &actual, time, any)
    }

    fn choose_outbound(&mut self, spec: &TcpSpec) {
        if let Some((_, to)) = spec.ports
            && let Some(known) = self.sockets.iter().rposition(|s| s.script_port == Some(to))
        {
            self.under_test = Some(known);
        }
        let Some(socket) = self
            .under_test
            .and_then(|index| self.sockets.get_mut(index))
        else {
            return;
        };
        if socket.state == State::Connecting && spec.flags & (SYN | ACK) == SYN {
            socket.state = State::SynSent;
            socket.script_local_isn = spec.seq;
        }
    }

    /// The next packet of the connection under test; those of others are passed over, as packetdrill
    /// does. Where the script names connections side by side by their ports, one of another such is
    /// one too many.
    fn awaited(&mut self, packet: &Packet, limit: u64) -> Result<Option<Outgoing>> {
        let icmp = matches!(packet.body, Body::Icmp { .. });
        loop {
            while let Some(next) = self.queue.pop_front() {
                if self.tested()?.owns(&next.seen, icmp) {
                    return Ok(Some(next));
                }
                let named = |s: &Socket| s.script_port.is_some() && s.is_known_to_own(&next.seen);
                if self.sockets.iter().any(named) {
                    return self.stray(packet, &next);
                }
            }
            if !self.advance_to_next(limit)? {
                return Ok(None);
            }
        }
    }

    /// A packet of another connection left before the one that is expected.
    fn stray<T>(&self, packet: &Packet, stray: &Outgoing) -> Result<T> {
        let SeenBody::Tcp { spec, .. } = &stray.seen.body else {
            return fail("a packet of another connection left");
        };
        let mut sockets = self.sockets.iter().rev();
        let whose = sockets.find(|socket| socket.is_known_to_own(&stray.seen));
        let port = whose.and_then(|socket| socket.script_port).unwrap_or(0);
        let live = Packet {
            outbound: true,
            outer: stray.seen.outer.clone(),
            ip: packet.ip,
            body: Body::Tcp(spec.clone()),
        };
        Err(Stop::Fail(
            format!("a packet to port {port} left, which the script does not expect"),
            vec![
                format!("expected: {packet}"),
                format!("actual:   {} {live}", clock(stray.at)),
            ],
        ))
    }

    /// Puts what left into the script's numbers.
    fn map_outbound(&mut self, packet: &Packet, outgoing: &Outgoing) -> Result<Actual> {
        let socket = self.tested()?;
        let Seen { outer, ip, body } = &outgoing.seen;
        let body = match body {
            SeenBody::Tcp {
                spec: live,
                payload,
                reserved,
            } => {
                let mut spec = live.clone();
                // What answers a packet for nobody counts as the packet does.
                let syn = live.flags & SYN != 0 || socket.state == State::PacketReceived;
                if let Body::Tcp(expected) = &packet.body
                    && socket.state == State::PacketReceived
                    && expected.flags & (SYN | ACK) == SYN | ACK
                {
                    socket.script_local_isn = expected.seq;
                    socket.live_local_isn = live.seq;
                    socket.state = State::SynAckSent;
                }
                if !matches!(&packet.body, Body::Tcp(t) if t.numbering == Numbering::Live) {
                    spec.seq = live.seq.wrapping_sub(socket.local_offset(syn));
                }
                let offset = socket.remote_offset(syn).wrapping_neg();
                if live.flags & ACK != 0 {
                    spec.ack = live.ack.wrapping_add(offset);
                }
                shift_blocks(spec.options.get_or_insert_default(), offset);
                if let Body::Tcp(expected) = &packet.body
                    && !expected.any_timestamp
                    && let Some((script, _)) = timestamps(expected.options.as_deref())
                {
                    for option in spec.options.get_or_insert_default() {
                        if let TcpOption::Ts { val, .. } = option {
                            *val = socket.map_timestamp(script, *val);
                        }
                    }
                }
                ActualBody::Tcp {
                    spec,
                    payload: payload.clone(),
                    reserved: *reserved,
                }
            }
            SeenBody::Udp { payload, .. } => ActualBody::Udp {
                payload: payload.clone(),
            },
            SeenBody::Icmp { kind, code } => ActualBody::Icmp {
                kind: *kind,
                code: *code,
            },
            SeenBody::Other(protocol) => {
                return fail(format!("a packet of IP protocol {protocol} left"));
            }
        };
        Ok(Actual {
            at: outgoing.at,
            outer: outer.clone(),
            ip: *ip,
            body,
        })
    }

    /// An expected segment longer than the one that left matches the run that covers it; one
    /// shorter matches the front of a super-segment, which is a run that stayed whole.
    fn gather(
        &mut self,
        packet: &Packet,
        expected: &TcpSpec,
        first: Outgoing,
        actual: &mut Actual,
        limit: u64,
    ) -> Result<()> {
        let ActualBody::Tcp { spec, payload, .. } = &mut actual.body else {
            return Ok(());
        };
        if self.prepared.config.strict_segments {
            return Ok(());
        }
        if expected.len > 0 && spec.len > expected.len {
            let cut = first
                .mss
                .is_some_and(|mss| mss > 0 && expected.len.is_multiple_of(mss));
            if cut {
                self.queue.push_front(behind(first, expected.len));
                spec.len = expected.len;
                payload.truncate(usize::from(expected.len));
                // What was cut off carries these.
                spec.flags &= !0x9;
            }
            return Ok(());
        }
        while spec.len > 0 && spec.len < expected.len && spec.flags & 0x7 == 0 {
            let Some(next) = self.awaited(packet, limit)? else {
                return Ok(());
            };
            let wanted = expected.len - spec.len;
            let more = self.map_outbound(packet, &next)?;
            let ActualBody::Tcp {
                spec: more,
                payload: bytes,
                ..
            } = more.body
            else {
                return Ok(());
            };
            let follows = more.seq == spec.seq.wrapping_add(u32::from(spec.len)) && more.len > 0;
            let same = (more.flags ^ spec.flags) & !0x9 == 0 && more.ack == spec.ack;
            if !follows || !same {
                // Not of this run: the comparison tells what is missing.
                self.queue.push_front(next);
                return Ok(());
            }
            let taken = more.len.min(wanted);
            if taken < more.len {
                self.queue.push_front(behind(next, taken));
                spec.flags &= !0x8;
            } else {
                // A run says of PSH and FIN what its last segment says.
                spec.flags = spec.flags & !0x8 | more.flags & 0x9;
            }
            spec.len += taken;
            payload.extend(bytes.into_iter().take(usize::from(taken)));
        }
        Ok(())
    }

    fn compare(
        &mut self,
        packet: &Packet,
        actual: &Actual,
        (from, to): (u64, u64),
        any: bool,
    ) -> Result<()> {
        let first = self.tested()?.first_timestamp;
        let shown = Packet {
            outbound: true,
            outer: actual.outer.clone(),
            ip: IpSpec {
                tos: match packet.ip.tos {
                    TosSpec::Unsaid => TosSpec::Unsaid,
                    TosSpec::Byte(_) => TosSpec::Byte(actual.ip.tos),
                    _ => TosSpec::Ecn(actual.ip.tos & 3),
                },
                ttl: if packet.ip.ttl == 0 { 0 } else { actual.ip.ttl },
                flow_label: 0,
            },
            body: match &actual.body {
                ActualBody::Tcp { spec, .. } => {
                    let mut spec = spec.clone();
                    spec.ports = None;
                    if let Body::Tcp(expected) = &packet.body {
                        let mapped = !expected.any_timestamp
                            && timestamps(expected.options.as_deref()).is_some();
                        if let Some(first) = first.filter(|_| !mapped) {
                            tell_timestamps(&mut spec, first);
                        }
                        spec.ace = expected.ace;
                        spec.window = spec
                            .window
                            .filter(|_| expected.window.is_some() || expected.flags & SYN != 0);
                    }
                    Body::Tcp(spec)
                }
                ActualBody::Udp { payload } => Body::Udp {
                    ports: None,
                    len: u16::try_from(payload.len()).unwrap_or(u16::MAX),
                },
                ActualBody::Icmp { kind, code } => Body::Icmp {
                    kind: format!("type_{kind}"),
                    code: Some(format!("code_{code}")),
                    mtu: None,
                    id: 0,
                    about: About::Tcp { seq: 0, len: 0 },
                },
            },
        };
        let mut wrong = self.differences(packet, actual)?;
        if let (Body::Tcp(expected), ActualBody::Tcp { spec, .. }) = (&packet.body, &actual.body)
            && let (Some(ports), Some(live)) = (expected.ports, spec.ports)
        {
            wrong.extend(self.tested()?.check_ports(ports, live));
        }
        let early = from.saturating_sub(self.tolerance(from));
        let late = to.saturating_add(self.tolerance(from));
        if !any && (actual.at < early || actual.at > late) {
            let expected = if from == to {
                clock(from)
            } else {
                format!("{} to {}", clock(from), clock(to))
            };
            let off = if actual.at < early {
                from - actual.at
            } else {
                actual.at - to
            };
            let how = if actual.at < early { "early" } else { "late" };
            let off = clock(off);
            wrong.push(format!(
                "time: expected {expected}, got {} ({off} s {how})",
                clock(actual.at)
            ));
        }
        if wrong.is_empty() {
            self.exchange
                .push((actual.at, Entry::Packet(Box::new(shown))));
            return Ok(());
        }
        let why = wrong.join("; ");
        if self.prepared.config.lenient_packets {
            self.note(format!("warning: {why}"));
            return Ok(());
        }
        let at = if any {
            "       *".to_owned()
        } else {
            clock(from)
        };
        Err(Stop::Fail(
            why,
            vec![
                format!("expected: {at} {packet}"),
                format!("actual:   {} {shown}", clock(actual.at)),
            ],
        ))
    }

    fn differences(&mut self, packet: &Packet, actual: &Actual) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let headers = packet.outer.iter().zip(&actual.outer);
        if packet.outer.len() != actual.outer.len() || headers.clone().any(|(a, b)| !a.fits(b)) {
            let told = |outer: &[Outer]| match outer {
                [] => "none".to_owned(),
                some => some.iter().map(ToString::to_string).collect(),
            };
            wrong.push(format!(
                "outer headers: expected {}, got {}",
                told(&packet.outer).trim_end(),
                told(&actual.outer).trim_end()
            ));
        }
        let tos = actual.ip.tos;
        let ecn = |wanted: &str| format!("ECN: expected {wanted}, got {}", notation::ecn(tos));
        match packet.ip.tos {
            TosSpec::Ecn(bits) if bits != tos & 3 => wrong.push(ecn(notation::ecn(bits))),
            TosSpec::Ect01 if !matches!(tos & 3, 1 | 2) => wrong.push(ecn("ect0 or ect1")),
            TosSpec::Byte(byte) if byte != tos => {
                wrong.push(format!("tos: expected {byte:#x}, got {tos:#x}"));
            }
            TosSpec::Dscp(byte) | TosSpec::DscpEct01(byte) if byte != tos & !3 => {
                wrong.push(format!(
                    "dscp: expected {:#x}, got {:#x}",
                    byte >> 2,
                    tos >> 2
                ));
            }
            TosSpec::DscpEct01(_) if !matches!(tos & 3, 1 | 2) => {
                wrong.push(ecn("ect0 or ect1"));
            }
            _ => {}
        }
        if packet.ip.ttl != 0 && packet.ip.ttl != actual.ip.ttl {
            wrong.push(format!(
                "ttl: expected {}, got {}",
                packet.ip.ttl, actual.ip.ttl
            ));
        }
        if self.v6() && packet.ip.flow_label != 0 {
            wrong.extend(self.flow_label(packet.ip.flow_label, actual.ip.flow_label)?);
        }
        match (&packet.body, &actual.body) {
            (
                Body::Tcp(expected),
                ActualBody::Tcp {
                    spec,
                    payload,
                    reserved,
                },
            ) => {
                fields(expected, spec, &mut wrong);
                if *reserved != 0 {
                    wrong.push(format!("reserved bits: got {reserved:#x}"));
                }
                if let Some(options) = &expected.options {
                    let found = spec.options.as_deref().unwrap_or_default();
                    wrong.extend(self.options(options, found, expected.any_timestamp));
                }
                if self.zeros && payload.iter().any(|byte| *byte != 0) {
                    wrong.push("payload: not the bytes that were written".into());
                }
            }
            (Body::Udp { len, .. }, ActualBody::Udp { payload }) => {
                if usize::from(*len) != payload.len() {
                    wrong.push(format!("bytes: expected {len}, got {}", payload.len()));
                }
            }
            (Body::Icmp { kind, code, .. }, ActualBody::Icmp { kind: k, code: c }) => {
                match icmp::numbers(self.v6(), kind, code.as_deref()) {
                    Ok(numbers) if numbers == (*k, *c) => {}
                    Ok((kind, code)) => wrong.push(format!(
                        "ICMP: expected type {kind} code {code}, got {k} and {c}"
                    )),
                    Err(why) => return cannot(why),
                }
            }
            _ => wrong.push("another protocol than expected".into()),
        }
        Ok(wrong)
    }

    /// A script's labels say which are alike, not what they are.
    fn flow_label(&mut self, script: u32, live: u32) -> Result<Option<String>> {
        let socket = self.tested()?;
        let before = socket.flow_label.replace((script, live));
        Ok(match before {
            _ if live == 0 => Some("flow label: got none".into()),
            Some((was, label)) if (was == script) != (label == live) => {
                let wanted = if was == script { "the same" } else { "another" };
                Some(format!(
                    "flow label: expected {wanted} as before {label:#x}, got {live:#x}"
                ))
            }
            _ => None,
        })
    }

    fn options(
        &self,
        expected: &[TcpOption],
        found: &[TcpOption],
        any_timestamp: bool,
    ) -> Option<String> {
        let config = &self.prepared.config;
        let same = expected.len() == found.len()
            && expected.iter().zip(found).all(|pair| match pair {
                (TcpOption::Ts { val, ecr }, TcpOption::Ts { val: v, ecr: e }) => {
                    let off = u64::from(val.abs_diff(*v)) * config.tick;
                    (any_timestamp || off <= config.tolerance) && (!config.ecr_exact || ecr == e)
                }
                (a, b) => a == b,
            });
        let list = |options: &[TcpOption]| {
            let words: Vec<_> = options.iter().map(ToString::to_string).collect();
            format!("<{}>", words.join(","))
        };
        (!same).then(|| format!("options: expected {}, got {}", list(expected), list(found)))
    }
}

/// Puts timestamps that the script does not look at into its terms, too.
fn tell_timestamps(spec: &mut TcpSpec, (script, live): (u32, u32)) {
    for option in spec.options.iter_mut().flatten() {
        if let TcpOption::Ts { val, .. } = option {
            *val = script.wrapping_add(val.wrapping_sub(live));
        }
    }
}

/// What is left of a packet when its first `len` bytes are taken.
fn behind(mut outgoing: Outgoing, len: u16) -> Outgoing {
    if let SeenBody::Tcp { spec, payload, .. } = &mut outgoing.seen.body {
        spec.seq = spec.seq.wrapping_add(u32::from(len));
        spec.len -= len;
        payload.drain(..usize::from(len).min(payload.len()));
    }
    outgoing
}

fn fields(expected: &TcpSpec, got: &TcpSpec, wrong: &mut Vec<String>) {
    let mut field = |name: &str, expected: u32, got: u32| {
        if expected != got {
            wrong.push(format!("{name}: expected {expected}, got {got}"));
        }
    };
    if expected.ace {
        field(
            "ACE",
            u32::from(expected.flags >> 6 & 7),
            u32::from(got.flags >> 6 & 7),
        );
    }
    if expected.numbering != Numbering::Any {
        field("seq", expected.seq, got.seq);
    }
    field("bytes", u32::from(expected.len), u32::from(got.len));
    field("ack", expected.ack, got.ack);
    if let Some(window) = expected.window {
        field("win", u32::from(window), u32::from(got.window.unwrap_or(0)));
    }
    field("urg", u32::from(expected.urgent), u32::from(got.urgent));
    let mask = if expected.ace { 0x3f } else { 0x1ff };
    if (expected.flags ^ got.flags) & mask != 0 {
        let (wanted, found) = (
            notation::flags(expected.flags & mask, false),
            notation::flags(got.flags & mask, false),
        );
        wrong.push(format!("flags: expected {wanted}, got {found}"));
    }
}
