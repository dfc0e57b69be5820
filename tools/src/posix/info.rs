//! Linux's `struct tcp_info`, field by field.

/// What `getsockopt(TCP_INFO)` gives, without the `tcpi_` before each name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// State, in Linux's numbers.
    pub state: u8,
    /// Where congestion control stands.
    pub ca_state: u8,
    /// Timeouts in a row.
    pub retransmits: u8,
    /// Unanswered probes.
    pub probes: u8,
    /// Doublings of the timeout.
    pub backoff: u8,
    /// `TCPI_OPT_*`.
    pub options: u8,
    /// The peer's scale.
    pub snd_wscale: u8,
    /// Ours.
    pub rcv_wscale: u8,
    /// The newest rate sample was limited by the program.
    pub delivery_rate_app_limited: u8,
    /// Why Fast Open was not used.
    pub fastopen_client_fail: u8,
    /// Retransmission timeout in microseconds.
    pub rto: u32,
    /// Delay of acknowledgments in microseconds.
    pub ato: u32,
    /// Largest segment sent.
    pub snd_mss: u32,
    /// Largest segment received, estimated.
    pub rcv_mss: u32,
    /// Segments in flight or lost.
    pub unacked: u32,
    /// Of these acknowledged selectively.
    pub sacked: u32,
    /// Of these found lost.
    pub lost: u32,
    /// Of these sent again.
    pub retrans: u32,
    /// Not used any more: 0.
    pub fackets: u32,
    /// Milliseconds since data was sent.
    pub last_data_sent: u32,
    /// Linux has never kept it, and gives 0.
    pub last_ack_sent: u32,
    /// Milliseconds since data came.
    pub last_data_recv: u32,
    /// Milliseconds since an acknowledgment came.
    pub last_ack_recv: u32,
    /// Largest packet.
    pub pmtu: u32,
    /// Clamp of the window; not followed once data has come.
    pub rcv_ssthresh: u32,
    /// Smoothed, in microseconds.
    pub rtt: u32,
    /// Its deviation.
    pub rttvar: u32,
    /// Segments.
    pub snd_ssthresh: u32,
    /// Segments.
    pub snd_cwnd: u32,
    /// What we announced.
    pub advmss: u32,
    /// Segments.
    pub reordering: u32,
    /// The receiver's estimate; none is made here.
    pub rcv_rtt: u32,
    /// The receiver's measure of a round trip's bytes; not followed once more has come.
    pub rcv_space: u32,
    /// Segments sent again ever.
    pub total_retrans: u32,
    /// Bytes a second.
    pub pacing_rate: u64,
    /// Bytes a second.
    pub max_pacing_rate: u64,
    /// Bytes.
    pub bytes_acked: u64,
    /// Bytes.
    pub bytes_received: u64,
    /// Segments.
    pub segs_out: u32,
    /// Segments.
    pub segs_in: u32,
    /// Bytes.
    pub notsent_bytes: u32,
    /// Microseconds.
    pub min_rtt: u32,
    /// Segments.
    pub data_segs_in: u32,
    /// Segments.
    pub data_segs_out: u32,
    /// Bytes a second.
    pub delivery_rate: u64,
    /// Microseconds with data in flight.
    pub busy_time: u64,
    /// Of these held up by the peer's window.
    pub rwnd_limited: u64,
    /// Of these held up by our buffer.
    pub sndbuf_limited: u64,
    /// Segments.
    pub delivered: u32,
    /// Segments.
    pub delivered_ce: u32,
    /// Bytes.
    pub bytes_sent: u64,
    /// Bytes.
    pub bytes_retrans: u64,
    /// Reports.
    pub dsack_dups: u32,
    /// Events.
    pub reord_seen: u32,
    /// Segments.
    pub rcv_ooopack: u32,
    /// Bytes.
    pub snd_wnd: u32,
    /// What we offer, in bytes.
    pub rcv_wnd: u32,
    /// Not counted: paths are not chosen by hash here.
    pub rehash: u32,
    /// Retransmission timeouts ever.
    pub total_rto: u16,
    /// Runs of such timeouts.
    pub total_rto_recoveries: u16,
    /// Milliseconds that those took that are over.
    pub total_rto_time: u32,
    /// Segments that came with CE.
    pub received_ce: u32,
    /// Bytes that arrived with ECT(1).
    pub delivered_e1_bytes: u32,
    /// Bytes that arrived with ECT(0).
    pub delivered_e0_bytes: u32,
    /// Bytes that arrived with CE.
    pub delivered_ce_bytes: u32,
    /// Bytes that came with ECT(1).
    pub received_e1_bytes: u32,
    /// Bytes that came with ECT(0).
    pub received_e0_bytes: u32,
    /// Bytes that came with CE.
    pub received_ce_bytes: u32,
    /// How congestion marks are told: not, echoed, counted; 0 to 2.
    pub ecn_mode: u8,
    /// Options with counters: none, empty, good, bad.
    pub accecn_opt_seen: u8,
    /// What of counting fails, as bits.
    pub accecn_fail_mode: u8,
    /// What is 0 here because nobody counts it, as bits: [`UNCOUNTED`].
    pub(super) uncounted: u8,
}

/// Fields that may not be known, in the order of their bits.
const UNCOUNTED: [&str; 5] = [
    "rehash",
    "rcv_rtt",
    "rcv_space",
    "rcv_ssthresh",
    "fastopen_client_fail",
];

impl TcpInfo {
    /// The bit of a field that may not be known.
    pub(super) fn bit(name: &str) -> u8 {
        let place = UNCOUNTED.iter().position(|known| *known == name);
        place.map_or(0, |place| 1 << place)
    }

    /// Whether the field of that name says what Linux's would, with or without `tcpi_`.
    #[must_use]
    pub fn is_counted(&self, name: &str) -> bool {
        self.uncounted & Self::bit(name.strip_prefix("tcpi_").unwrap_or(name)) == 0
    }

    /// The field of that name, with or without `tcpi_`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        Some(match name.strip_prefix("tcpi_").unwrap_or(name) {
            "state" => u64::from(self.state),
            "ca_state" => u64::from(self.ca_state),
            "retransmits" => u64::from(self.retransmits),
            "probes" => u64::from(self.probes),
            "backoff" => u64::from(self.backoff),
            "options" => u64::from(self.options),
            "snd_wscale" => u64::from(self.snd_wscale),
            "rcv_wscale" => u64::from(self.rcv_wscale),
            "delivery_rate_app_limited" => u64::from(self.delivery_rate_app_limited),
            "fastopen_client_fail" => u64::from(self.fastopen_client_fail),
            "rto" => u64::from(self.rto),
            "ato" => u64::from(self.ato),
            "snd_mss" => u64::from(self.snd_mss),
            "rcv_mss" => u64::from(self.rcv_mss),
            "unacked" => u64::from(self.unacked),
            "sacked" => u64::from(self.sacked),
            "lost" => u64::from(self.lost),
            "retrans" => u64::from(self.retrans),
            "fackets" => u64::from(self.fackets),
            "last_data_sent" => u64::from(self.last_data_sent),
            "last_ack_sent" => u64::from(self.last_ack_sent),
            "last_data_recv" => u64::from(self.last_data_recv),
            "last_ack_recv" => u64::from(self.last_ack_recv),
            "pmtu" => u64::from(self.pmtu),
            "rcv_ssthresh" => u64::from(self.rcv_ssthresh),
            "rtt" => u64::from(self.rtt),
            "rttvar" => u64::from(self.rttvar),
            "snd_ssthresh" => u64::from(self.snd_ssthresh),
            "snd_cwnd" => u64::from(self.snd_cwnd),
            "advmss" => u64::from(self.advmss),
            "reordering" => u64::from(self.reordering),
            "rcv_rtt" => u64::from(self.rcv_rtt),
            "rcv_space" => u64::from(self.rcv_space),
            "total_retrans" => u64::from(self.total_retrans),
            "pacing_rate" => self.pacing_rate,
            "max_pacing_rate" => self.max_pacing_rate,
            "bytes_acked" => self.bytes_acked,
            "bytes_received" => self.bytes_received,
            "segs_out" => u64::from(self.segs_out),
            "segs_in" => u64::from(self.segs_in),
            "notsent_bytes" => u64::from(self.notsent_bytes),
            "min_rtt" => u64::from(self.min_rtt),
            "data_segs_in" => u64::from(self.data_segs_in),
            "data_segs_out" => u64::from(self.data_segs_out),
            "delivery_rate" => self.delivery_rate,
            "busy_time" => self.busy_time,
            "rwnd_limited" => self.rwnd_limited,
            "sndbuf_limited" => self.sndbuf_limited,
            "delivered" => u64::from(self.delivered),
            "delivered_ce" => u64::from(self.delivered_ce),
            "bytes_sent" => self.bytes_sent,
            "bytes_retrans" => self.bytes_retrans,
            "dsack_dups" => u64::from(self.dsack_dups),
            "reord_seen" => u64::from(self.reord_seen),
            "rcv_ooopack" => u64::from(self.rcv_ooopack),
            "snd_wnd" => u64::from(self.snd_wnd),
            "rcv_wnd" => u64::from(self.rcv_wnd),
            "rehash" => u64::from(self.rehash),
            "total_rto" => u64::from(self.total_rto),
            "total_rto_recoveries" => u64::from(self.total_rto_recoveries),
            "total_rto_time" => u64::from(self.total_rto_time),
            "received_ce" => u64::from(self.received_ce),
            "delivered_e1_bytes" => u64::from(self.delivered_e1_bytes),
            "delivered_e0_bytes" => u64::from(self.delivered_e0_bytes),
            "delivered_ce_bytes" => u64::from(self.delivered_ce_bytes),
            "received_e1_bytes" => u64::from(self.received_e1_bytes),
            "received_e0_bytes" => u64::from(self.received_e0_bytes),
            "received_ce_bytes" => u64::from(self.received_ce_bytes),
            "ecn_mode" => u64::from(self.ecn_mode),
            "accecn_opt_seen" => u64::from(self.accecn_opt_seen),
            "accecn_fail_mode" => u64::from(self.accecn_fail_mode),
            _ => return None,
        })
    }

    /// Its bytes as C has them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(280);
        out.push(self.state);
        out.push(self.ca_state);
        out.push(self.retransmits);
        out.push(self.probes);
        out.push(self.backoff);
        out.push(self.options);
        out.push(self.snd_wscale & 15 | self.rcv_wscale << 4);
        out.push(self.delivery_rate_app_limited & 1 | (self.fastopen_client_fail & 3) << 1);
        out.extend(self.rto.to_ne_bytes());
        out.extend(self.ato.to_ne_bytes());
        out.extend(self.snd_mss.to_ne_bytes());
        out.extend(self.rcv_mss.to_ne_bytes());
        out.extend(self.unacked.to_ne_bytes());
        out.extend(self.sacked.to_ne_bytes());
        out.extend(self.lost.to_ne_bytes());
        out.extend(self.retrans.to_ne_bytes());
        out.extend(self.fackets.to_ne_bytes());
        out.extend(self.last_data_sent.to_ne_bytes());
        out.extend(self.last_ack_sent.to_ne_bytes());
        out.extend(self.last_data_recv.to_ne_bytes());
        out.extend(self.last_ack_recv.to_ne_bytes());
        out.extend(self.pmtu.to_ne_bytes());
        out.extend(self.rcv_ssthresh.to_ne_bytes());
        out.extend(self.rtt.to_ne_bytes());
        out.extend(self.rttvar.to_ne_bytes());
        out.extend(self.snd_ssthresh.to_ne_bytes());
        out.extend(self.snd_cwnd.to_ne_bytes());
        out.extend(self.advmss.to_ne_bytes());
        out.extend(self.reordering.to_ne_bytes());
        out.extend(self.rcv_rtt.to_ne_bytes());
        out.extend(self.rcv_space.to_ne_bytes());
        out.extend(self.total_retrans.to_ne_bytes());
        out.extend(self.pacing_rate.to_ne_bytes());
        out.extend(self.max_pacing_rate.to_ne_bytes());
        out.extend(self.bytes_acked.to_ne_bytes());
        out.extend(self.bytes_received.to_ne_bytes());
        out.extend(self.segs_out.to_ne_bytes());
        out.extend(self.segs_in.to_ne_bytes());
        out.extend(self.notsent_bytes.to_ne_bytes());
        out.extend(self.min_rtt.to_ne_bytes());
        out.extend(self.data_segs_in.to_ne_bytes());
        out.extend(self.data_segs_out.to_ne_bytes());
        out.extend(self.delivery_rate.to_ne_bytes());
        out.extend(self.busy_time.to_ne_bytes());
        out.extend(self.rwnd_limited.to_ne_bytes());
        out.extend(self.sndbuf_limited.to_ne_bytes());
        out.extend(self.delivered.to_ne_bytes());
        out.extend(self.delivered_ce.to_ne_bytes());
        out.extend(self.bytes_sent.to_ne_bytes());
        out.extend(self.bytes_retrans.to_ne_bytes());
        out.extend(self.dsack_dups.to_ne_bytes());
        out.extend(self.reord_seen.to_ne_bytes());
        out.extend(self.rcv_ooopack.to_ne_bytes());
        out.extend(self.snd_wnd.to_ne_bytes());
        out.extend(self.rcv_wnd.to_ne_bytes());
        out.extend(self.rehash.to_ne_bytes());
        out.extend(self.total_rto.to_ne_bytes());
        out.extend(self.total_rto_recoveries.to_ne_bytes());
        out.extend(self.total_rto_time.to_ne_bytes());
        out.extend(self.received_ce.to_ne_bytes());
        out.extend(self.delivered_e1_bytes.to_ne_bytes());
        out.extend(self.delivered_e0_bytes.to_ne_bytes());
        out.extend(self.delivered_ce_bytes.to_ne_bytes());
        out.extend(self.received_e1_bytes.to_ne_bytes());
        out.extend(self.received_e0_bytes.to_ne_bytes());
        out.extend(self.received_ce_bytes.to_ne_bytes());
        let ecn = self.ecn_mode & 3 | (self.accecn_opt_seen & 3) << 2 | self.accecn_fail_mode << 4;
        out.extend(u32::from(ecn).to_ne_bytes());
        out
    }
}
