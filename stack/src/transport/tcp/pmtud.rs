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
/// RFC 1122 §3.3.2: what every host takes; a path that carries less is rare, and an outage is not.
const COMMON: u16 = 576;
/// RFC 8899 §5.1.2, MAX_PROBES: so many lost ones of a size say that it is too large; fewer may
/// have met with any other loss.
const TRIES: u8 = 3;
/// What has carried a size lately is a bad path rather than a narrow one, until so many timeouts
/// in a row.
const DOUBTS: u8 = 6;
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
    /// Probes of this size that were lost one after another.
    lost: u8,
    /// Something as large as `low` has arrived since it was set.
    proved: bool,
}

impl Search {
    pub(super) fn new(mode: MtuProbing, mtu: u16) -> Self {
        Self {
            on: mode == MtuProbing::Always,
            low: mtu.min(BASE),
            high: mtu,
            probe: None,
            lost: 0,
            proved: false,
        }
    }

    /// The largest packet to send, where the link and ICMP allow `mtu`.
    pub(super) fn mtu(&self, mtu: u16) -> u16 {
        if self.on { self.low.min(mtu) } else { mtu }
    }

    /// Packets of this size do not arrive, though nobody says so, and have timed out so often;
    /// whether that changes anything.
    pub(super) fn on_black_hole(&mut self, mtu: u16, timeouts: u8) -> bool {
        let was = self.mtu(mtu);
        if !self.on {
            self.on = true;
            self.high = mtu;
            self.low = mtu.min(BASE);
        } else if self.low > BASE {
            //= RFC 8899 §4.3: a size that was confirmed and is lost goes back to the base size.
            self.low = BASE;
        } else if timeouts < DOUBTS && (self.proved || self.low <= COMMON) {
            return false;
        } else {
            // What it was before may arrive again: silence is more often an outage than a path.
            self.low = (self.low / 2).max(FLOOR);
        }
        self.proved = false;
        self.probe = None;
        self.lost = 0;
        self.mtu(mtu) < was
    }

    /// A full segment has arrived.
    pub(super) const fn on_carried(&mut self) {
        self.proved = true;
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
            self.lost = 0;
            self.proved = true;
        }
    }

    /// The probe was lost; whether the search is over.
    pub(super) fn on_lost(&mut self) -> bool {
        if let Some(size) = self.probe.take() {
            self.lost += 1;
            if self.lost >= TRIES {
                self.lost = 0;
                self.high = self.high.min(size - 1).max(self.low);
            }
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
        self.lost = 0;
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
                assert!(search.on_black_hole(1500, 3));
            }
            let mut tries = 0_u8;
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
                found <= truth && truth - found <= CLOSE && tries <= 10 * TRIES,
                "{truth} {found}"
            );
        }
    }

    #[test]
    fn a_bad_path_is_no_narrow_one() {
        let mut search = Search::new(MtuProbing::BlackHole, 1500);
        assert!(search.on_black_hole(1500, 3));
        assert_eq!(search.mtu(1500), BASE);
        search.on_carried();
        for timeouts in 3..DOUBTS {
            assert!(!search.on_black_hole(1500, timeouts), "it has carried that");
        }
        assert!(search.on_black_hole(1500, DOUBTS));
        assert_eq!(search.mtu(1500), BASE / 2);
        assert!(
            !search.on_black_hole(1500, 3),
            "few paths are as narrow as that"
        );
        assert!(
            search.on_black_hole(1500, DOUBTS),
            "nothing of this size came"
        );
        // Two probes lost by chance, then one that is not.
        for lost in [true, true, false] {
            let size = search.next_probe().unwrap();
            search.on_sent(size);
            match lost {
                true => assert!(!search.on_lost()),
                false => search.on_arrived(),
            }
        }
        while let Some(size) = search.next_probe() {
            search.on_sent(size);
            search.on_arrived();
        }
        assert!(search.mtu(1500) >= 1500 - CLOSE);
        assert!(search.on_black_hole(1500, 3));
        assert_eq!(search.mtu(1500), BASE, "and no less at once");
    }
}
