//! Fast Open's part in a handshake: what goes with a SYN, and what became of it.
//!
//! ```text
//!   open_fast ---> SYN, cookie, data --.            .--> take_early: data to the user
//!                                       >--- net ---<       |
//!   Outcome::Answered <---- SYN-ACK ---'            '--- give_cookie
//!   Outcome::Failed   <---- nothing                      ... ACK: Outcome::Opened
//! ```
//!
//! Read first: RFC 7413 §4.2; [`fastopen`](super::fastopen) has the cookies.
//!
//! Promises: off unless the host says so before the SYN leaves or is answered; a SYN and a SYN-ACK
//! that are sent again carry neither cookie nor data; data that was not taken is sent like any other
//! once the connection is open; the host is told once how it went.
//!
//! Left out: data in the SYN-ACK, which would wait for the user (what the server says follows the
//! SYN-ACK at once).

use super::connection::Connection;
use super::error::Error;
use super::fastopen::{Opening, Outcome, Plan};
use super::segment::{Cookie, Segment};
use super::state::State;
use crate::frame::Payload;
use crate::reason::DropReason;
use crate::time::Instant;
use crate::transport::Readiness;
use crate::wire::tcp::{Flags, MAX_OPTIONS_LEN};
use alloc::boxed::Box;

impl Connection {
    /// Opens as planned: the SYN asks for a cookie, or carries one and what
    /// [`send`](Self::send) is given before the SYN leaves. To be called before that.
    //= RFC 7413 §2, §2.1: off by default: data may be seen twice.
    pub fn open_fast(&mut self, plan: Plan) {
        if self.state == State::SynSent && self.snd.nxt == self.snd.iss && plan != Plan::Plain {
            self.opening = Some(Box::new(Opening::Client(plan)));
        }
    }

    /// Gives the client a cookie along with the SYN-ACK.
    pub fn give_cookie(&mut self, cookie: Cookie) {
        if self.state == State::SynReceived && self.snd.nxt == self.snd.iss {
            let early = self.fast_opened;
            let cookie = Some(cookie);
            self.opening = Some(Box::new(Opening::Server { cookie, early }));
        }
    }

    /// Takes the data of the SYN that was answered, whose cookie was good: the user may read it,
    /// and answer, before the handshake ends.
    ///
    /// # Errors
    /// Why the data was refused.
    //= RFC 7413 §4.2.2 server, step 4: the data is buffered, the application told, the flag set.
    pub fn take_early(
        &mut self,
        now: Instant,
        syn: &Segment,
        data: Payload,
    ) -> Result<(), DropReason> {
        if self.state != State::SynReceived || self.active || self.snd.nxt != self.snd.iss {
            return Err(DropReason::TcpUnexpected);
        }
        let cookie = match self.opening.as_deref() {
            Some(Opening::Server { cookie, .. }) => *cookie,
            _ => None,
        };
        let early = true;
        self.opening = Some(Box::new(Opening::Server { cookie, early }));
        self.fast_opened = true;
        self.ready |= Readiness::WRITABLE;
        if syn.len == 0 {
            return Ok(());
        }
        let text = Segment {
            seq: syn.seq + 1,
            flags: syn.flags.without(Flags::SYN),
            ..*syn
        };
        self.take_text(now, &text, data)
    }

    /// How Fast Open went, once that is known; once.
    #[inline]
    pub fn take_outcome(&mut self) -> Option<Outcome> {
        let Opening::Over(outcome) = **self.opening.as_ref()? else {
            return None;
        };
        self.opening = None;
        Some(outcome)
    }

    /// What the first SYN or SYN-ACK carries in its option; empty: a request.
    pub(super) fn cookie_to_send(&self) -> Option<Cookie> {
        match **self.opening.as_ref()? {
            Opening::Client(Plan::Open { cookie, .. }) => Some(cookie),
            Opening::Client(Plan::Request) => Some(Cookie::default()),
            Opening::Client(Plan::Experiment) => Some(Cookie::default().in_experiment(true)),
            Opening::Server { cookie, .. } => cookie,
            Opening::Client(Plan::Plain | Plan::Bare { .. }) | Opening::Over(_) => None,
        }
    }

    /// How much data goes with the first SYN: what there is room for beside as many options as
    /// there may be, as Linux has it.
    pub(super) fn early_data(&self) -> u32 {
        self.early_room().min(self.snd.buffer.len())
    }

    /// The same, however much is at hand.
    pub(crate) fn early_room(&self) -> u32 {
        let Some(Opening::Client(Plan::Open { data, .. } | Plan::Bare { data })) =
            self.opening.as_deref()
        else {
            return 0;
        };
        let mss = self.path.mss_for(self.path.mtu);
        let mss = mss.min(self.options.mss.unwrap_or(u16::MAX)).min(*data);
        let options = u16::try_from(MAX_OPTIONS_LEN).unwrap_or(40);
        u32::from(mss.saturating_sub(options))
    }

    /// Whether data may be sent: the connection is open, or its SYN had a good cookie.
    #[inline]
    pub(super) fn may_talk(&self) -> bool {
        self.state.is_synchronized() || self.fast_opened && self.state == State::SynReceived
    }

    /// A SYN-ACK came for our SYN.
    pub(super) fn note_answer(&mut self, seg: &Segment) {
        let Some(Opening::Client(plan)) = self.opening.as_deref().copied() else {
            return;
        };
        let first = self.snd.iss + 1;
        let sent = self.snd.nxt.after(first);
        self.fast_opened = seg.ack.after(first);
        let cookie = seg.fast_open.filter(|c| !c.as_slice().is_empty());
        //= RFC 7413 §4.1.3.1 what was not acknowledged, with no new cookie that would say why, is a
        //= negative response.
        //= RFC 7413 §4.2.2 an answer to the SYN sent again, that took nothing, says that the first
        //= was dropped on the way.
        let asked = matches!(plan, Plan::Request | Plan::Experiment);
        let wanted = sent || asked || self.syn_retries > 0;
        let works = match (self.fast_opened || cookie.is_some(), wanted) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        };
        let mss = seg.mss;
        let insists = self.options.fast_open_insists && asked && cookie.is_none();
        let outcome = match self.syn_retries {
            0 if insists => Outcome::Unanswered {
                experiment: plan == Plan::Experiment,
                mss,
            },
            // It may be the SYN sent again, without the option, that was answered.
            _ if insists => Outcome::Answered {
                cookie,
                mss,
                works: None,
            },
            _ => Outcome::Answered { cookie, mss, works },
        };
        self.opening = Some(Box::new(Opening::Over(outcome)));
    }

    /// The handshake is over, or another than was begun.
    pub(super) fn note_opened(&mut self) {
        match self.opening.as_deref() {
            Some(Opening::Server { early: true, .. }) => {
                self.opening = Some(Box::new(Opening::Over(Outcome::Opened)));
            }
            Some(Opening::Over(_)) | None => {}
            Some(_) => self.opening = None,
        }
    }

    /// The connection has ended.
    pub(super) fn note_end(&mut self, error: Option<Error>) {
        let silent = matches!(error, Some(Error::TimedOut | Error::Unreachable(_)));
        let outcome = match self.opening.as_deref() {
            Some(Opening::Over(_)) | None => return,
            Some(Opening::Client(_)) if silent => Some(Outcome::Failed),
            Some(Opening::Server { early: true, .. }) => Some(Outcome::Abandoned),
            Some(_) => None,
        };
        self.opening = outcome.map(|o| Box::new(Opening::Over(o)));
    }
}
