//! Stories that hold for every controller, and ACKs to tell them with.

use super::*;

/// An ACK at `us` microseconds for `acked` bytes of a full window.
pub(super) fn ack(us: u64, acked: u32, rtt_ms: Option<u64>) -> Ack {
    let rtt = rtt_ms.map(Duration::from_millis);
    Ack {
        now: Instant::from_nanos(us * 1000),
        acked,
        cumulative: acked,
        delivered: 0,
        prior_delivered: 0,
        interval: Duration::ZERO,
        sampled: 0,
        app_limited: false,
        rtt,
        srtt: rtt,
        min_rtt: rtt,
        prior_in_flight: acked,
        in_flight: 0,
        lost: 0,
        cwnd_limited: true,
        in_recovery: false,
    }
}
