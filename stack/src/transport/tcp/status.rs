//! What a connection tells of itself, in the manner of Linux's `TCP_INFO`.

use super::state::State;
use crate::time::Duration;

/// Where congestion control stands, in Linux's terms (`tcpi_ca_state`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Nothing unusual.
    #[default]
    Open,
    /// Duplicates or selective acknowledgments, but nothing found lost yet.
    Disorder,
    /// The window was reduced for a mark.
    Cwr,
    /// Fast recovery.
    Recovery,
    /// After a retransmission timeout.
    Loss,
}

impl Phase {
    /// The name: `recovery`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Disorder => "disorder",
            Self::Cwr => "cwr",
            Self::Recovery => "recovery",
            Self::Loss => "loss",
        }
    }
}

/// The counters of Accurate ECN (RFC 9768 §3.2), less what they begin with: marks that came, and
/// those that the peer says have arrived with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccurateStatus {
    /// Segments that came with CE.
    pub received_ce: u32,
    /// Bytes that came with ECT(1).
    pub received_e1_bytes: u32,
    /// Bytes that came with ECT(0).
    pub received_e0_bytes: u32,
    /// Bytes that came with CE.
    pub received_ce_bytes: u32,
    /// Bytes that arrived with ECT(1).
    pub delivered_e1_bytes: u32,
    /// Bytes that arrived with ECT(0).
    pub delivered_e0_bytes: u32,
    /// Bytes that arrived with CE.
    pub delivered_ce_bytes: u32,
    /// The peer's options: none so far, empty ones, with counters, with counters that were zeroed;
    /// 0 to 3.
    pub options_seen: u8,
    /// What does not work, as bits in Linux's order: the peer may not count; what we send is changed
    /// on the way; our options do not arrive; the peer's are not to be believed.
    pub failures: u8,
}

/// A connection's status. Sizes are bytes unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// State.
    pub state: State,
    /// Where congestion control stands.
    pub phase: Phase,
    /// The algorithm: `cubic`.
    pub congestion: &'static str,
    /// Negotiated: timestamps.
    pub timestamps: bool,
    /// Negotiated: SACK.
    pub sack: bool,
    /// Negotiated: window scale, the peer's and ours.
    pub wscale: Option<(u8, u8)>,
    /// Negotiated: ECN, of either kind.
    pub ecn: bool,
    /// Of Accurate ECN, where that was negotiated.
    pub accurate: Option<AccurateStatus>,
    /// What the SYN carried was taken (RFC 7413).
    pub fast_open: bool,
    /// Data of the largest segment we send.
    pub snd_mss: u16,
    /// Data of the largest segment seen.
    pub rcv_mss: u16,
    /// Largest packet of the path.
    pub pmtu: u16,
    /// Retransmission timeout.
    pub rto: Duration,
    /// Timeouts in a row.
    pub backoff: u8,
    /// Unanswered probes of a closed window or a silent peer.
    pub probes: u8,
    /// Smoothed round-trip time.
    pub srtt: Option<Duration>,
    /// Its mean deviation.
    pub rttvar: Duration,
    /// Smallest round-trip time lately.
    pub min_rtt: Option<Duration>,
    /// Congestion window: of bytes, where Linux and RFC 8985 count segments, so that of segments that
    /// are not full more may be in flight, and several may count as one.
    pub cwnd: u32,
    /// Slow start threshold.
    pub ssthresh: u32,
    /// Sent and not acknowledged (bytes as well, as are the next three).
    pub unacked: u32,
    /// Of these acknowledged selectively.
    pub sacked: u32,
    /// Of these found lost, whether they were sent again since or not.
    pub lost: u32,
    /// Of these sent again.
    pub retrans: u32,
    /// What is thought to be in the network.
    pub in_flight: u32,
    /// The peer's window.
    pub snd_wnd: u32,
    /// Our window.
    pub rcv_wnd: u32,
    /// Handed over by the user and never sent.
    pub not_sent: u32,
    /// Pieces that lies in which is not acknowledged: transmissions, and what waits.
    pub pieces: u32,
    /// Of these, what has not been sent or not all of it.
    pub waiting: u32,
    /// The last byte handed over is pushed.
    pub pushed: bool,
    /// Bytes of a full piece.
    pub piece: u32,
    /// Bytes that the last piece still takes, where it waits.
    pub open: u32,
    /// Received and not read.
    pub unread: u32,
    /// The peer has finished, and all it sent has come.
    pub finished: bool,
    /// Bytes up to the urgent mark, where there is one ahead (RFC 6093).
    pub urgent: Option<u32>,
    /// Received out of order.
    pub out_of_order: u32,
    /// What the receive buffer may hold, as its options count it.
    pub recv_limit: u32,
    /// Whether reordering has been seen.
    pub reordering: bool,
    /// How many acknowledgments have shown some.
    pub reordering_events: u16,
    /// By how many segments at most; three where none has been seen.
    pub reordering_degree: u32,
    /// Bytes sent, retransmissions counted; SYN and FIN are none.
    pub bytes_sent: u64,
    /// Bytes sent again.
    pub bytes_retrans: u64,
    /// Bytes acknowledged.
    pub bytes_acked: u64,
    /// Bytes received in order.
    pub bytes_received: u64,
    /// Bytes delivered, cumulatively or selectively acknowledged.
    pub delivered: u64,
    /// Congestion marks that the peer has told of: segments, where it counts them (RFC 9768), else
    /// acknowledgments that echoed one.
    pub delivered_ce: u64,
    /// Segments sent.
    pub segs_out: u64,
    /// Segments received.
    pub segs_in: u64,
    /// Segments sent again.
    pub total_retrans: u64,
    /// Retransmission timeouts.
    pub timeouts: u64,
    /// Episodes of fast recovery.
    pub recoveries: u64,
    /// Reductions taken back.
    pub undos: u64,
    /// Duplicates the peer reported.
    pub dsack_dups: u64,
    /// Bytes a second it delivers, by the newest sample.
    pub delivery_rate: u64,
    /// Bytes a second it is paced at; 0: not paced.
    pub pacing_rate: u64,
    /// Time since data was last sent.
    pub last_data_sent: Duration,
    /// Time since data last came.
    pub last_data_received: Duration,
    /// Nothing to send had kept it from filling its window at the newest sample.
    pub app_limited: bool,
}
