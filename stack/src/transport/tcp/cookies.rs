//! SYN cookies: a listener that is flooded keeps nothing of a SYN but what the answer carries.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!  +---------------+-----------------------------------------------+
//!  |  64 s ticks   |  keyed hash of all that is kept, + MSS index  |  + F(connection-id) + IRS
//!  +---------------+-----------------------------------------------+  = ISS of the SYN-ACK
//!
//!  +---------------------------------------------------+-+-+-------+
//!  |             timestamp clock, high bits            |E|S| scale |  = TSval of the SYN-ACK
//!  +---------------------------------------------------+-+-+-------+  scale 15: none
//! ```
//!
//! Both come back in the ACK: ISS + 1 as its acknowledgment number, TSval as its TSecr. The layout
//! is Bernstein's; the low bits of the timestamp are Linux's idea.
//!
//! Read first: RFC 4987 §3.6 and its discussion of what cookies cost; RFC 7323 §3.2.
//!
//! Promises: an ACK that answers no cookie of ours passes with a chance of 2^-28, whatever is
//! known about other cookies, and with none at all unless a cookie was made in the last 128
//! seconds; a cookie lives for at least 64 and less than 128 seconds; the MSS that comes back is
//! never larger than what the peer gave, down to 48. The bits in the timestamp are hashed too, so a
//! peer cannot change what it asked for. For one pair of sockets
//! the numbers go up from tick to tick, as other ISNs do.
//!
//! Left out: the window scale, SACK and ECN of a peer without timestamps. There is no room for
//! them in 32 bits that still withstand guessing, so the SYN-ACK must not offer them: see
//! [`Cookies::kept`]. A data segment that the peer sent with its SYN is not kept either; it comes
//! again.

use super::isn::{low32, write_pair};
use super::segment::CookieOptions;
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::seq::SeqNum;
use core::hash::Hasher;
use core::net::SocketAddr;
use siphasher::sip::SipHasher24;

/// Nanoseconds of a tick: 64 s.
const TICK: u64 = 64_000_000_000;

/// The MSS values a cookie can name, for both families: 1460, 1440, 1400 and 1360 less a tunnel or
/// two, 1220 the least of IPv6, 536 RFC 9293's default, 48 the least we send, 8940 jumbo frames.
const MSS: [u16; 8] = [48, 536, 1220, 1360, 1400, 1440, 1460, 8940];

/// The timestamp's bits that carry options.
const LOW_BITS: u32 = 0x3f;
const SCALE: u32 = 0x0f;
const SACK: u32 = 0x10;
const ECN: u32 = 0x20;
/// In place of a window scale, whose greatest is 14 (RFC 7323 §2.3).
const NO_SCALE: u32 = 15;

/// Makes SYN cookies and knows its own again.
#[derive(Clone, Debug)]
pub struct Cookies {
    offset: [u64; 2],
    hash: [u64; 2],
    /// When a cookie was made last.
    made: Option<Instant>,
}

impl Cookies {
    /// With keys drawn from `rng`.
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            offset: rng.hash_keys(),
            hash: rng.hash_keys(),
            made: None,
        }
    }

    /// What will come back of a SYN's options: the SYN-ACK offers no more than that.
    #[must_use]
    pub fn kept(options: &CookieOptions) -> CookieOptions {
        let mss = MSS[usize::from(mss_index(options.mss))];
        match low_bits(options) {
            Some(bits) => from_low_bits(mss, bits),
            None => plain(mss),
        }
    }

    /// The ISS for a SYN-ACK whose SYN had `irs` and `options`; and the low bits for its TSval (see
    /// [`Cookies::tsval`]) where the peer has timestamps.
    pub fn make(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        irs: SeqNum,
        options: &CookieOptions,
    ) -> (SeqNum, Option<u32>) {
        self.made = Some(now);
        let bits = low_bits(options);
        let tick = now.as_nanos() / TICK;
        let hash = self.hash(local, remote, irs, tick, bits);
        let low = hash.wrapping_add(u32::from(mss_index(options.mss))) & 0xff_ffff;
        let cookie = (low32(tick) << 24) | low;
        let offset = self.offset(local, remote).wrapping_add(irs.0);
        (SeqNum(cookie.wrapping_add(offset)), bits)
    }

    /// The latest timestamp at or before `clock` (the connection's offset included) that carries
    /// `bits`: no timestamp after the SYN-ACK is smaller, as RFC 7323 §5 needs. It is up to 63
    /// ticks old, by which the first round trip seems longer.
    #[must_use]
    pub const fn tsval(clock: u32, bits: u32) -> u32 {
        clock.wrapping_sub(clock.wrapping_sub(bits) & LOW_BITS)
    }

    /// What the SYN asked for, where the segment with `seq`, `ack` and `tsecr` answers a cookie
    /// made less than two ticks ago.
    #[must_use]
    pub fn check(
        &self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        seq: SeqNum,
        ack: SeqNum,
        tsecr: Option<u32>,
    ) -> Option<CookieOptions> {
        // Without a cookie made there is nothing to guess.
        if now.since(self.made?).as_nanos() >= u128::from(2 * TICK) {
            return None;
        }
        let irs = SeqNum(seq.0.wrapping_sub(1));
        let offset = self.offset(local, remote).wrapping_add(irs.0);
        let cookie = ack.0.wrapping_sub(1).wrapping_sub(offset);
        let tick = now.as_nanos() / TICK;
        // This tick or the last.
        let age = low32(tick).wrapping_sub(cookie >> 24) & 0xff;
        let tick = tick.checked_sub(u64::from(age)).filter(|_| age < 2)?;
        let bits = tsecr.map(|t| t & LOW_BITS);
        let hash = self.hash(local, remote, irs, tick, bits);
        let index = cookie.wrapping_sub(hash) & 0xff_ffff;
        let mss = *MSS.get(usize::try_from(index).ok()?)?;
        Some(bits.map_or_else(|| plain(mss), |bits| from_low_bits(mss, bits)))
    }

    fn offset(&self, local: SocketAddr, remote: SocketAddr) -> u32 {
        let mut h = SipHasher24::new_with_keys(self.offset[0], self.offset[1]);
        write_pair(&mut h, local, remote);
        low32(h.finish())
    }

    fn hash(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
        irs: SeqNum,
        tick: u64,
        bits: Option<u32>,
    ) -> u32 {
        let mut h = SipHasher24::new_with_keys(self.hash[0], self.hash[1]);
        write_pair(&mut h, local, remote);
        h.write_u32(irs.0);
        h.write_u64(tick);
        h.write_u32(bits.unwrap_or(u32::MAX));
        low32(h.finish())
    }
}

/// The largest MSS of the table that is not larger than the peer's; the first where all are.
fn mss_index(mss: u16) -> u8 {
    let larger = MSS.iter().skip(1).take_while(|&&m| m <= mss).count();
    u8::try_from(larger).unwrap_or(0)
}

/// Options as the timestamp's low bits, where the peer has timestamps.
fn low_bits(options: &CookieOptions) -> Option<u32> {
    options.timestamps.then(|| {
        //= RFC 7323 §2.3 a shift count above 14 is taken as 14.
        let scale = options.wscale.map_or(NO_SCALE, |s| u32::from(s.min(14)));
        scale | if options.sack { SACK } else { 0 } | if options.ecn { ECN } else { 0 }
    })
}

const fn from_low_bits(mss: u16, bits: u32) -> CookieOptions {
    // Four bits fit.
    #[allow(clippy::cast_possible_truncation)]
    let scale = (bits & SCALE) as u8;
    CookieOptions {
        mss,
        wscale: if bits & SCALE == NO_SCALE {
            None
        } else {
            Some(scale)
        },
        sack: bits & SACK != 0,
        timestamps: true,
        ecn: bits & ECN != 0,
    }
}

const fn plain(mss: u16) -> CookieOptions {
    CookieOptions {
        mss,
        wscale: None,
        sack: false,
        timestamps: false,
        ecn: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    const FULL: CookieOptions = CookieOptions {
        mss: 1460,
        wscale: Some(7),
        sack: true,
        timestamps: true,
        ecn: true,
    };

    fn addr(s: &str) -> SocketAddr {
        s.parse().unwrap()
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn ends() -> (SocketAddr, SocketAddr) {
        (addr("10.0.0.1:80"), addr("192.0.2.7:40000"))
    }

    /// What comes back from a peer that answers a SYN-ACK made of `options`.
    fn there_and_back(cookies: &mut Cookies, options: &CookieOptions) -> Option<CookieOptions> {
        let ((a, b), irs) = (ends(), SeqNum(u32::MAX));
        let (iss, bits) = cookies.make(at(1000), a, b, irs, options);
        let tsecr = bits.map(|bits| Cookies::tsval(0x8000_0001, bits));
        cookies.check(at(1001), a, b, irs + 1, iss + 1, tsecr)
    }

    #[test]
    fn all_options_come_back_with_timestamps() {
        let mut cookies = Cookies::new(&mut Rng::from_seed(1));
        for scale in 0..=16 {
            for flags in 0..8 {
                let options = CookieOptions {
                    mss: 1460,
                    wscale: (scale < 16).then_some(scale),
                    sack: flags & 1 != 0,
                    timestamps: flags & 2 != 0,
                    ecn: flags & 4 != 0,
                };
                let back = there_and_back(&mut cookies, &options);
                assert_eq!(back, Some(Cookies::kept(&options)));
                let expected = if options.timestamps {
                    let wscale = options.wscale.map(|s| s.min(14));
                    CookieOptions { wscale, ..options }
                } else {
                    plain(1460)
                };
                assert_eq!(back, Some(expected));
            }
        }
    }

    #[test]
    fn the_mss_is_rounded_down() {
        let mut cookies = Cookies::new(&mut Rng::from_seed(1));
        let table = [
            (0, 48),
            (48, 48),
            (535, 48),
            (536, 536),
            (1219, 536),
            (1220, 1220),
            (1380, 1360),
            (1400, 1400),
            (1452, 1440),
            (1460, 1460),
            (8939, 1460),
            (8960, 8940),
            (u16::MAX, 8940),
        ];
        for (given, kept) in table {
            let back = there_and_back(&mut cookies, &CookieOptions { mss: given, ..FULL });
            assert_eq!(back, Some(CookieOptions { mss: kept, ..FULL }), "{given}");
        }
    }

    #[test]
    fn a_cookie_expires_after_two_ticks() {
        let ((a, b), irs) = (ends(), SeqNum(7));
        // Made at the beginning and at the end of a tick, at the run's first and where 8 bits wrap.
        for (made, last) in [
            (0, 127),
            (63, 127),
            (64, 191),
            (16_384, 16_511),
            (16_447, 16_511),
        ] {
            let mut cookies = Cookies::new(&mut Rng::from_seed(1));
            let (iss, bits) = cookies.make(at(made), a, b, irs, &FULL);
            for now in [made, made + 1, last] {
                let got = cookies.check(at(now), a, b, irs + 1, iss + 1, bits);
                assert_eq!(got, Some(FULL), "made {made}, checked {now}");
            }
            // Others are made meanwhile; 256 ticks later the top byte is the same again.
            for now in [last + 1, last + 64, made + 256 * 64, made + 257 * 64] {
                cookies.make(at(now), a, b, irs, &FULL);
                let got = cookies.check(at(now), a, b, irs + 1, iss + 1, bits);
                assert_eq!(got, None, "made {made}, checked {now}");
            }
        }
    }

    #[test]
    fn forged_acks_are_refused() {
        let ((a, b), irs) = (ends(), SeqNum(7));
        let mut cookies = Cookies::new(&mut Rng::from_seed(1));
        let fresh = cookies.clone();
        let (iss, bits) = cookies.make(at(100), a, b, irs, &FULL);
        let check = |cookies: &Cookies, local, remote, seq, ack, tsecr| {
            cookies.check(at(100), local, remote, seq, ack, tsecr)
        };
        let (seq, ack) = (irs + 1, iss + 1);
        assert_eq!(check(&cookies, a, b, seq, ack, bits), Some(FULL));
        assert_eq!(check(&fresh, a, b, seq, ack, bits), None, "none was made");
        let other = addr("192.0.2.8:40000");
        let port = addr("192.0.2.7:40001");
        assert_eq!(check(&cookies, a, other, seq, ack, bits), None);
        assert_eq!(check(&cookies, a, port, seq, ack, bits), None);
        assert_eq!(check(&cookies, other, b, seq, ack, bits), None);
        assert_eq!(check(&cookies, b, a, seq, ack, bits), None);
        assert_eq!(check(&cookies, a, b, seq + 1, ack, bits), None);
        // Both moved by as much, which the sum alone would not notice.
        assert_eq!(check(&cookies, a, b, seq + 1, ack + 1, bits), None);
        assert_eq!(check(&cookies, a, b, seq, ack, None), None);
        for flip in 0..6 {
            let tsecr = bits.map(|t| t ^ 1 << flip);
            assert_eq!(check(&cookies, a, b, seq, ack, tsecr), None, "bit {flip}");
        }
        // A million guesses: 2^-28 each.
        let mut rng = Rng::from_seed(2);
        for _ in 0..1_000_000 {
            let guess = SeqNum(rng.next_u32());
            if guess.since(ack) < 8 || ack.since(guess) < 8 {
                continue;
            }
            assert_eq!(check(&cookies, a, b, seq, guess, bits), None);
        }
    }

    #[test]
    fn only_eight_neighbours_pass() {
        // The MSS index is added in the clear: a peer may choose among the table's, no more.
        let ((a, b), irs) = (ends(), SeqNum(7));
        let mut cookies = Cookies::new(&mut Rng::from_seed(1));
        let (iss, bits) = cookies.make(at(100), a, b, irs, &FULL);
        let passing = (0..200_000u32)
            .filter(|&n| {
                let ack = SeqNum((iss + 1).0.wrapping_sub(100_000).wrapping_add(n));
                cookies.check(at(100), a, b, irs + 1, ack, bits).is_some()
            })
            .count();
        assert_eq!(passing, 8);
    }

    #[test]
    fn the_timestamp_carries_the_bits_and_is_not_in_the_future() {
        for clock in [0, 1, 63, 64, 1000, 0x7fff_ffff, u32::MAX] {
            for bits in 0..64 {
                let tsval = Cookies::tsval(clock, bits);
                assert_eq!(tsval & LOW_BITS, bits);
                assert!(clock.wrapping_sub(tsval) < 64, "{clock} {bits}");
            }
        }
    }

    #[test]
    fn a_later_incarnation_begins_further_on() {
        //= RFC 7323 §5.8
        let ((a, b), irs) = (ends(), SeqNum(7));
        let mut cookies = Cookies::new(&mut Rng::from_seed(1));
        let mut last = cookies.make(at(0), a, b, irs, &FULL).0;
        for tick in 1..300 {
            let next = cookies.make(at(64 * tick), a, b, irs + 1000, &FULL).0;
            assert!(next.after(last), "tick {tick}");
            last = next;
        }
    }
}
