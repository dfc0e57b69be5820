//! How long a connection bears with a silent peer, and whom it tells of that meanwhile.
//!
//! ```text
//!   timeouts in a row   1   2   3 = R1 ........................ 15 = R2, or the user timeout
//!                               |  Report::Silent to the user   |  it ends
//!                               '- doubt of the next hop to IP  '- 8 where the user has let go
//! ```
//!
//! Read first: RFC 9293 §3.8.3 and §3.9.1.8, RFC 5482 §3.
//!
//! Promises: a user that is told nothing has nothing to be told of; of reports that nobody takes
//! only the newest is kept; a peer cannot make us wait for longer than an hour, nor end sooner than
//! our own limit.
//!
//! Left out: a user timeout of the peer's for connections whose user has set one (RFC 5482 §3.1's
//! CHANGEABLE is false for those): the user is told, and may follow.

use super::connection::Connection;
use super::options::KeepAlive;
use super::report::Report;
use crate::time::{Duration, Instant};
use crate::transport::Readiness;
use crate::wire::tcp::{MAX_OPTIONS_LEN, OptionBuffer, TcpOption};

/// RFC 5482 §3.1: L_LIMIT, the least that a peer makes us wait.
const LEAST: Duration = Duration::from_secs(100);

/// RFC 5482 §3.1: U_LIMIT, the most: an outage of an hour is outlived, an attack does not cost more.
const MOST: Duration = Duration::from_secs(3600);

/// Bytes of the user timeout option.
const OPTION_LEN: u16 = 4;

impl Connection {
    /// What the user has not been told yet, the newest only; once.
    pub fn take_report(&mut self) -> Option<Report> {
        self.aside
            .report
            .is_some()
            .then(|| self.aside.report.take())?
    }

    /// Whether the path has become doubtful since this was asked last: another next hop may be
    /// better.
    #[inline]
    pub fn take_doubt(&mut self) -> bool {
        core::mem::take(&mut self.doubt)
    }

    //= RFC 9293 §3.9.1.8 MUST-47: what does not end a connection is reported while it goes on.
    //= RFC 9293 §3.9.1.8 SHLD-20: unless the user does not want to know.
    pub(super) fn tell(&mut self, report: Report) {
        if self.options.reports && !self.orphan {
            self.aside.report = Some(report);
            self.ready |= Readiness::REPORT;
        }
    }

    /// So many timeouts in a row: from R1 on, the path is doubted and the user told.
    pub(super) fn note_silence(&mut self, timeouts: u8) {
        if timeouts < self.options.retries1.max(1) {
            return;
        }
        //= RFC 9293 §3.8.3 MUST-20 (b): from R1 on IP is told, so that it doubts the next hop.
        self.doubt = true;
        //= RFC 9293 §3.8.3 SHLD-9: the user is told between R1 and R2.
        self.tell(Report::Silent { timeouts });
    }

    /// Timeouts in a row after which it ends: R2.
    pub(super) fn retries(&self) -> u8 {
        let all = self.options.retries2;
        if self.orphan {
            all.min(self.options.orphan_retries)
        } else {
            all
        }
    }

    /// How long data may stay unacknowledged, where there is a limit.
    pub(super) fn user_timeout(&self) -> Option<Duration> {
        //= RFC 9293 §3.8.3 MUST-21: the user sets R2, as a time (or by `retries2`).
        let ours = self.options.user_timeout;
        //= RFC 5482 §3.1 what the user asked for is not the peer's to change.
        ours.or_else(|| {
            let theirs = Some(self.aside.peer_timeout).filter(|t| !t.is_zero())?;
            //= RFC 5482 §3.1 between two limits, of which the lower is more than the RTO.
            let least = LEAST.max(self.snd.rtt.rto() + Duration::from_secs(1));
            Some(theirs.min(MOST).max(least))
        })
    }

    /// Silence before the first keep-alive.
    pub(super) fn keepalive_idle(&self, keepalive: KeepAlive) -> Duration {
        //= RFC 5482 §4.2 with the option, later than the user timeout, lest it end sooner.
        match self
            .user_timeout()
            .filter(|_| self.options.user_timeout_option)
        {
            Some(timeout) => keepalive.idle.max(timeout + Duration::from_secs(1)),
            None => keepalive.idle,
        }
    }

    /// Takes the peer's user timeout.
    pub(super) fn take_peer_timeout(&mut self, now: Instant, timeout: Duration) {
        //= RFC 5482 §3.4 a timeout of zero is reserved, and ignored.
        let known = timeout == self.aside.peer_timeout;
        if !self.options.user_timeout_option || timeout.is_zero() || known {
            return;
        }
        self.aside.peer_timeout = timeout;
        self.tell(Report::UserTimeout(timeout));
        if self.state.is_synchronized() && self.snd.flight() > 0 {
            self.with_sender(now, |snd, cx, timers| snd.arm(cx, timers));
        }
    }

    /// Our user timeout is to be told with what leaves next.
    pub(super) fn announce_timeout(&mut self) {
        //= RFC 5482 §3 whenever a new one is used; with the SYN, and once more right after.
        self.timeout_due = self.options.user_timeout_option && self.options.user_timeout.is_some();
    }

    /// Bytes that the option takes of the next segment.
    #[inline]
    pub(super) const fn timeout_len(&self) -> u16 {
        if self.timeout_due { OPTION_LEN } else { 0 }
    }

    //= RFC 5482 §3.2 told twice at most: whether it arrives, nothing depends on.
    /// Adds the option, where it fits.
    pub(super) fn push_timeout(&self, options: &mut OptionBuffer) {
        let Some(timeout) = self.options.user_timeout else {
            return;
        };
        let len = options.as_bytes().len() + usize::from(OPTION_LEN);
        if self.timeout_due && len <= MAX_OPTIONS_LEN {
            let pushed = options.push(&as_option(timeout));
            debug_assert!(pushed.is_ok(), "it fits");
        }
    }
}

//= RFC 5482 §3.3 the kind, the length and the 15 bits are of `TcpOption`.
/// A user timeout in seconds or, where those are too many, minutes; rounded up, and never zero.
fn as_option(timeout: Duration) -> TcpOption<'static> {
    const ALL: u64 = 0x7fff;
    let secs = (timeout + Duration::from_nanos(999_999_999))
        .as_secs()
        .max(1);
    let minutes = secs > ALL;
    let count = if minutes { secs.div_ceil(60) } else { secs };
    TcpOption::UserTimeout {
        minutes,
        timeout: u16::try_from(count.min(ALL)).unwrap_or(0x7fff),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_rounded_up() {
        let cases = [
            (0, (false, 1)),
            (1, (false, 1)),
            (1000, (false, 1)),
            (1001, (false, 2)),
            (32_767_000, (false, 32_767)),
            (32_767_001, (true, 547)),
            (u64::from(u32::MAX) * 1000, (true, 32_767)),
        ];
        for (millis, (minutes, timeout)) in cases {
            let want = TcpOption::UserTimeout { minutes, timeout };
            assert_eq!(as_option(Duration::from_millis(millis)), want, "{millis}");
        }
    }
}
