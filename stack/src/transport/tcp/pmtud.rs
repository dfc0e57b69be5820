//! How large a packet may be, found out by trying where no ICMP tells: the search of RFC 4821.
//!
//! ```text
//!   48        low            probe            high
//!    |=========|- - - - - - - -|- - - - - - - -|         low has arrived; above high nothing does
//! ```
//!
//! Read first: RFC 4821 §5.2 and §7, RFC 8899 §5.
//!
//! Promises: a probe carries data that waits anyway, so that its loss costs one segment; its loss
//! alone is no sign of congestion.

use super::options::MtuProbing;

/// RFC 4821 §7.2: what nearly every path carries, and where the search begins.
const BASE: u16 = 1024;
/// No path is taken to carry less (as Linux's `tcp_mtu_probe_floor`, with headers).
const FLOOR: u16 = 88;
/// A search that is as close as this is over.
const CLOSE: u16 = 8;

/// The search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    on: bool,
    low: u16,
    high: u16,
    /// Size of the probe in flight.
    probe: Option<u16>,
}

impl Search {
    pub(super) fn new(mode: MtuProbing, mtu: u16) -> Self {
        Self {
            on: mode == MtuProbing::Always,
            low: mtu.min(BASE),
            high: mtu,
            probe: None,
        }
    }

    /// The largest packet to send, where the link and ICMP allow `mtu`.
    pub(super) fn mtu(&self, mtu: u16) -> u16 {
        if self.on { self.low.min(mtu) } else { mtu }
    }

    /// Packets of this size do not arrive, though nobody says so; whether that changes anything.
    pub(super) fn on_black_hole(&mut self, mtu: u16) -> bool {
        let was = self.mtu(mtu);
        if self.on {
            // What it was before may arrive again: silence is more often an outage than a path.
            self.low = (self.low / 2).max(FLOOR);
        } else {
            self.on = true;
            self.high = mtu;
            self.low = mtu.min(BASE);
        }
        self.probe = None;
        self.mtu(mtu) < was
    }

    /// The size to try next.
    pub(super) fn next_probe(&self) -> Option<u16> {
        let far = self.high.saturating_sub(self.low) > CLOSE;
        (self.on && self.probe.is_none() && far)
            .then(|| self.low + (self.high - self.low).div_ceil(2))
    }

    pub(super) fn on_sent(&mut self, size: u16) {
        self.probe = Some(size);
    }

    /// The probe arrived.
    pub(super) fn on_arrived(&mut self) {
        if let Some(size) = self.probe.take() {
            self.low = self.low.max(size);
        }
    }

    /// The probe was lost; whether the search is over.
    pub(super) fn on_lost(&mut self) -> bool {
        if let Some(size) = self.probe.take() {
            self.high = self.high.min(size - 1).max(self.low);
        }
        self.high - self.low <= CLOSE
    }

    /// ICMP, or a route, says what the path carries.
    pub(super) fn on_told(&mut self, mtu: u16) {
        self.high = self.high.min(mtu);
        self.low = self.low.min(mtu);
    }

    /// The path may have grown: the search begins again upwards.
    pub(super) fn restart(&mut self, mtu: u16) {
        self.high = mtu.max(self.low);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_path_carries() {
        for truth in [600_u16, 1024, 1280, 1400, 1480, 1500] {
            let mut search = Search::new(MtuProbing::BlackHole, 1500);
            assert_eq!((search.mtu(1500), search.next_probe()), (1500, None));
            while search.mtu(1500) > truth {
                assert!(search.on_black_hole(1500));
            }
            let mut tries = 0;
            while let Some(size) = search.next_probe() {
                tries += 1;
                search.on_sent(size);
                assert_eq!(search.next_probe(), None);
                if size <= truth {
                    search.on_arrived();
                } else {
                    search.on_lost();
                }
            }
            let found = search.mtu(1500);
            assert!(
                found <= truth && truth - found <= CLOSE && tries <= 10,
                "{truth} {found}"
            );
        }
    }
}
