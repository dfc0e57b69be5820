//! What the runner knows of a connection, to map between the script's numbers and live ones.

use crate::pkt::tree::TcpOption;
use crate::pkt::wire::{Seen, SeenBody};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// How far a connection has come, as far as mapping needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// `socket()` was called.
    New,
    Listening,
    /// A packet of a peer arrived that nobody had asked for.
    PacketReceived,
    SynAckSent,
    SynAckAcked,
    /// `connect()` was called.
    Connecting,
    SynSent,
    SynAcked,
}

#[derive(Clone, Debug)]
pub(super) struct Socket {
    pub(super) state: State,
    /// The peer has reset what it began, and said nothing since.
    pub(super) taken_back: bool,
    pub(super) script_fd: Option<i32>,
    pub(super) live_fd: Option<i32>,
    pub(super) local: Option<(IpAddr, u16)>,
    pub(super) remote: Option<(IpAddr, u16)>,
    /// The peer's port as the script names it.
    pub(super) script_port: Option<u16>,
    /// Ours likewise.
    pub(super) script_local_port: Option<u16>,
    pub(super) script_local_isn: u32,
    pub(super) live_local_isn: u32,
    pub(super) script_remote_isn: u32,
    pub(super) live_remote_isn: u32,
    /// Timestamps of ours: the script's to the live ones.
    pub(super) timestamps: BTreeMap<u32, u32>,
    /// The first of them.
    pub(super) first_timestamp: Option<(u32, u32)>,
    /// Flow label: the script's and the live one.
    pub(super) flow_label: Option<(u32, u32)>,
}

impl Socket {
    pub(super) const fn new(state: State) -> Self {
        Self {
            state,
            taken_back: false,
            script_fd: None,
            live_fd: None,
            local: None,
            remote: None,
            script_port: None,
            script_local_port: None,
            script_local_isn: 0,
            live_local_isn: 0,
            script_remote_isn: 0,
            live_remote_isn: 0,
            timestamps: BTreeMap::new(),
            first_timestamp: None,
            flow_label: None,
        }
    }

    /// What to add to a number of ours in the script to get the live one.
    pub(super) const fn local_offset(&self, syn: bool) -> u32 {
        let start = if syn { self.script_local_isn } else { 0 };
        self.live_local_isn.wrapping_sub(start)
    }

    /// The same for the peer's numbers.
    pub(super) const fn remote_offset(&self, syn: bool) -> u32 {
        let start = if syn { self.script_remote_isn } else { 0 };
        self.live_remote_isn.wrapping_sub(start)
    }

    /// Whether a packet that left is this connection's; a first one tells our address.
    pub(super) fn owns(&mut self, seen: &Seen, icmp_expected: bool) -> bool {
        let Some((remote, remote_port)) = self.remote else {
            return false;
        };
        if seen.ip.to != remote {
            return false;
        }
        if matches!(seen.body, SeenBody::Icmp { .. }) {
            return icmp_expected;
        }
        let Some((from, to)) = seen.ports() else {
            return false;
        };
        if to != remote_port {
            return false;
        }
        if let Some(local) = self.local {
            return local == (seen.ip.from, from);
        }
        let opens = match &seen.body {
            SeenBody::Tcp { spec, .. } => {
                let syn = self.state == State::SynSent && spec.flags & 0x12 == 0x02;
                if syn {
                    self.live_local_isn = spec.seq;
                }
                syn
            }
            SeenBody::Udp { .. } => self.state == State::Connecting,
            _ => false,
        };
        if opens {
            self.local = Some((seen.ip.from, from));
        }
        opens
    }

    /// Whether a packet that left is this connection's for certain.
    pub(super) fn is_known_to_own(&self, seen: &Seen) -> bool {
        let Some((from, to)) = seen.ports() else {
            return false;
        };
        let tcp = matches!(seen.body, SeenBody::Tcp { .. });
        tcp && self.local == Some((seen.ip.from, from)) && self.remote == Some((seen.ip.to, to))
    }

    /// Compares the ports that a script says of a packet that left with what it said before, or else
    /// with those of the packet where they can be known; what is wrong.
    pub(super) fn check_ports(
        &mut self,
        (from, to): (u16, u16),
        live: (u16, u16),
    ) -> Option<String> {
        // The port of our end of a connection that we open is not the script's to choose, nor is the
        // one of a peer that it did not name.
        let active = matches!(
            self.state,
            State::Connecting | State::SynSent | State::SynAcked
        );
        let from_wanted = self.script_local_port.or((!active).then_some(live.0));
        let to_wanted = self.script_port.or(active.then_some(live.1));
        (self.script_local_port, self.script_port) = (Some(from), Some(to));
        let differs = |wanted: Option<u16>, said: u16| wanted.is_some_and(|wanted| wanted != said);
        (differs(from_wanted, from) || differs(to_wanted, to)).then(|| {
            let got = (from_wanted.unwrap_or(from), to_wanted.unwrap_or(to));
            format!("ports: expected {from} > {to}, got {} > {}", got.0, got.1)
        })
    }

    /// Maps a packet's own timestamp, which the script says is `script`, and learns from it.
    pub(super) fn map_timestamp(&mut self, script: u32, live: u32) -> u32 {
        self.timestamps.insert(script, live);
        let (first_script, first_live) = *self.first_timestamp.get_or_insert((script, live));
        first_script.wrapping_add(live.wrapping_sub(first_live))
    }
}

/// Shifts the numbers of SACK blocks.
pub(super) fn shift_blocks(options: &mut [TcpOption], by: u32) {
    for option in options {
        if let TcpOption::Sack(blocks) = option {
            for (left, right) in blocks {
                *left = left.wrapping_add(by);
                *right = right.wrapping_add(by);
            }
        }
    }
}

/// The timestamps among options.
pub(super) fn timestamps(options: Option<&[TcpOption]>) -> Option<(u32, u32)> {
    options
        .into_iter()
        .flatten()
        .find_map(|option| match option {
            TcpOption::Ts { val, ecr } => Some((*val, *ecr)),
            _ => None,
        })
}
