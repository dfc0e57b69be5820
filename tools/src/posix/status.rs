//! What Linux would tell of a socket's connection.
//!
//! It counts segments where we count bytes: a part of one counts as one.

use super::socket::{Socket, Stage};
use super::{Process, TcpInfo};
use stack::host::TcpHandle;
use stack::time::Duration;
use stack::transport::tcp::status::Phase;
use stack::transport::tcp::{State, Status};
use std::net::SocketAddr;

/// `TCPI_OPT_*` of `linux/tcp.h`.
const OPT_TIMESTAMPS: u8 = 1;
const OPT_SACK: u8 = 2;
const OPT_WSCALE: u8 = 4;
const OPT_ECN: u8 = 8;
const OPT_SYN_DATA: u8 = 32;
/// Linux's "no threshold yet".
const INFINITE_SSTHRESH: u32 = 0x7fff_ffff;
/// Segments that Linux takes a round trip to bring at first.
const INITIAL_SPACE: u32 = 10;

impl Process {
    /// What Linux would tell of a socket's connection.
    pub(super) fn info_of(&self, socket: &Socket) -> Option<TcpInfo> {
        let Stage::Tcp(handle) = socket.stage else {
            return socket.stream.then(|| TcpInfo {
                state: number_of(socket.state()),
                ..TcpInfo::default()
            });
        };
        let status = self.host.tcp_status(self.instant(), handle)?;
        let chrono = socket.chrono_at(self.now);
        let ends = self
            .host
            .tcp_local(handle)
            .zip(self.host.tcp_remote(handle));
        let counts = ends.and_then(|ends| self.traffic.get(&ends));
        let counts = counts.copied().unwrap_or_default();
        let advmss = self.advertised(socket, handle);
        let runs = socket.timeouts;
        let since = |at: Duration| millis(self.now.saturating_sub(at));
        let opened = counts.opened_at.unwrap_or(socket.opened_at);
        let mut info = TcpInfo {
            advmss,
            ato: match counts.data_in {
                // Linux measures nothing before there is data to acknowledge.
                0 => 0,
                _ => micros(socket.settings.options.delayed_ack),
            },
            data_segs_in: counts.data_in,
            data_segs_out: counts.data_out,
            rcv_ooopack: counts.out_of_order,
            // The peer's SYN is the first of a connection that it opens.
            segs_in: count(status.segs_in + u64::from(counts.passive)),
            last_ack_recv: since(counts.acked_at),
            total_rto_recoveries: runs.runs,
            total_rto_time: millis(runs.time),
            busy_time: micros64(chrono.busy),
            rwnd_limited: micros64(chrono.rwnd_limited),
            sndbuf_limited: micros64(chrono.sndbuf_limited),
            // Linux counts both from the handshake at first.
            last_data_sent: since(counts.sent_at.unwrap_or(opened)),
            last_data_recv: match status.bytes_received {
                0 => since(opened),
                _ => millis(status.last_data_received),
            },
            max_pacing_rate: socket.settings.max_pacing_rate,
            ..Self::info_from(&status)
        };
        if status.fast_open && socket.syn_data {
            info.options |= OPT_SYN_DATA;
        }
        info.uncounted = TcpInfo::bit("rehash") | TcpInfo::bit("rcv_rtt");
        // As Linux begins; how both grow with what comes is its own.
        let space = status.rcv_wnd.min(INITIAL_SPACE * advmss);
        match status.bytes_received {
            0 => (info.rcv_space, info.rcv_ssthresh) = (space, status.rcv_wnd),
            _ => info.uncounted |= TcpInfo::bit("rcv_space") | TcpInfo::bit("rcv_ssthresh"),
        }
        // Why it was not, where it was to be.
        if socket.opened_early && !status.fast_open {
            info.uncounted |= TcpInfo::bit("fastopen_client_fail");
        }
        if status.state.is_synchronized() {
            // In packets: the SYN, with what it carried, is one.
            let early = if status.fast_open { socket.early } else { 0 };
            let mss = u64::from(status.snd_mss.max(1));
            info.delivered = count(1 + status.delivered.saturating_sub(early).div_ceil(mss));
        }
        Some(info)
    }

    /// What we tell the peer of the longest segment: as the device says, and the program.
    fn advertised(&self, socket: &Socket, handle: TcpHandle) -> u32 {
        let headers = match self.host.tcp_local(handle) {
            Some(SocketAddr::V6(_)) => 60,
            _ => 40,
        };
        let most = u32::from(self.mtu.saturating_sub(headers));
        let asked = socket.settings.options.mss;
        asked.map_or(most, |asked| most.min(asked.into()))
    }

    fn info_from(status: &Status) -> TcpInfo {
        let mss = u32::from(status.snd_mss.max(1));
        let segments = |bytes: u32| bytes.div_ceil(mss);
        let mut options = 0;
        for (on, bit) in [
            (status.timestamps, OPT_TIMESTAMPS),
            (status.sack, OPT_SACK),
            (status.wscale.is_some(), OPT_WSCALE),
            (status.ecn, OPT_ECN),
        ] {
            options |= if on { bit } else { 0 };
        }
        let accurate = status.accurate.unwrap_or_default();
        let (snd_wscale, rcv_wscale) = status.wscale.unwrap_or_default();
        let ssthresh = match status.ssthresh {
            n if n >= INFINITE_SSTHRESH => INFINITE_SSTHRESH,
            n => n / mss,
        };
        TcpInfo {
            state: number_of(status.state),
            ca_state: match status.phase {
                Phase::Open => 0,
                Phase::Disorder => 1,
                Phase::Cwr => 2,
                Phase::Recovery => 3,
                Phase::Loss => 4,
            },
            retransmits: status.backoff,
            probes: status.probes,
            backoff: status.backoff,
            options,
            snd_wscale,
            rcv_wscale,
            delivery_rate_app_limited: u8::from(status.app_limited),
            rto: micros(status.rto),
            snd_mss: u32::from(status.snd_mss),
            rcv_mss: u32::from(status.rcv_mss),
            unacked: segments(status.unacked),
            sacked: segments(status.sacked),
            lost: segments(status.lost),
            retrans: segments(status.retrans),
            pmtu: u32::from(status.pmtu),
            rtt: status.srtt.map_or(0, micros),
            rttvar: micros(status.rttvar),
            snd_ssthresh: ssthresh,
            snd_cwnd: (status.cwnd / mss).max(1),
            reordering: status.reordering_degree,
            total_retrans: count(status.total_retrans),
            pacing_rate: status.pacing_rate,
            bytes_acked: status.bytes_acked,
            bytes_received: status.bytes_received,
            segs_out: count(status.segs_out),
            notsent_bytes: status.not_sent,
            min_rtt: status.min_rtt.map_or(u32::MAX, micros),
            delivery_rate: status.delivery_rate,
            delivered: count(status.delivered.div_ceil(u64::from(mss))),
            delivered_ce: count(status.delivered_ce),
            bytes_sent: status.bytes_sent,
            bytes_retrans: status.bytes_retrans,
            dsack_dups: count(status.dsack_dups),
            reord_seen: u32::from(status.reordering_events),
            snd_wnd: status.snd_wnd,
            rcv_wnd: status.rcv_wnd,
            total_rto: u16::try_from(status.timeouts).unwrap_or(u16::MAX),
            received_ce: accurate.received_ce,
            delivered_e1_bytes: accurate.delivered_e1_bytes,
            delivered_e0_bytes: accurate.delivered_e0_bytes,
            delivered_ce_bytes: accurate.delivered_ce_bytes,
            received_e1_bytes: accurate.received_e1_bytes,
            received_e0_bytes: accurate.received_e0_bytes,
            received_ce_bytes: accurate.received_ce_bytes,
            ecn_mode: u8::from(status.ecn) + u8::from(status.accurate.is_some()),
            accecn_opt_seen: accurate.options_seen,
            accecn_fail_mode: accurate.failures,
            ..TcpInfo::default()
        }
    }

    /// `TCP_CC_INFO`: BBR's five words where it rules, else nothing.
    pub(super) fn cc_info(&self, socket: &Socket) -> Vec<u8> {
        let Some(info) = self.info_of(socket) else {
            return Vec::new();
        };
        if socket.last.congestion != "bbr" {
            return Vec::new();
        }
        let mut out = info.delivery_rate.to_ne_bytes().to_vec();
        out.extend(info.min_rtt.to_ne_bytes());
        // Gains are in 256ths.
        out.extend([256_u32, 512].into_iter().flat_map(u32::to_ne_bytes));
        out
    }
}

/// Linux's number of a state.
const fn number_of(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => 10,
        State::Closing => 11,
    }
}

fn micros(d: Duration) -> u32 {
    u32::try_from(d.as_micros()).unwrap_or(u32::MAX)
}

fn micros64(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

fn millis(d: Duration) -> u32 {
    u32::try_from(d.as_millis()).unwrap_or(u32::MAX)
}

fn count(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
