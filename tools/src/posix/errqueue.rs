//! The error queue: what `recvmsg(MSG_ERRQUEUE)` reads.
//!
//! Two things come by it: that a buffer given with `MSG_ZEROCOPY` may be used again, and when a
//! byte was scheduled, sent and acknowledged (`SO_TIMESTAMPING`). We copy what is written, so the
//! former always says so, once it is acknowledged.

use super::{ControlMessage, Errno};
use std::collections::VecDeque;
use std::time::Duration;

/// `linux/errqueue.h`.
const SO_EE_ORIGIN_TIMESTAMPING: u8 = 4;
const SO_EE_ORIGIN_ZEROCOPY: u8 = 5;
const SO_EE_CODE_ZEROCOPY_COPIED: u8 = 1;
const SCM_TSTAMP_SND: u32 = 0;
const SCM_TSTAMP_SCHED: u32 = 1;
const SCM_TSTAMP_ACK: u32 = 2;

/// `linux/net_tstamp.h`.
pub(super) const TX_SOFTWARE: u32 = 1 << 1;
pub(super) const SOFTWARE: u32 = 1 << 4;
pub(super) const OPT_ID: u32 = 1 << 7;
pub(super) const TX_SCHED: u32 = 1 << 8;
pub(super) const TX_ACK: u32 = 1 << 9;
pub(super) const OPT_TSONLY: u32 = 1 << 11;
pub(super) const OPT_ID_TCP: u32 = 1 << 16;

/// Entries kept; the newest is lost where nobody reads.
const MOST: usize = 4096;

/// One entry: `struct sock_extended_err`, and the time where it is about one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    errno: u32,
    origin: u8,
    code: u8,
    info: u32,
    data: u32,
    /// Of the wall clock.
    time: Option<Duration>,
    /// The packet itself comes along, and there is no room for it.
    truncated: bool,
}

/// The queue.
#[derive(Clone, Debug, Default)]
pub(super) struct ErrorQueue(VecDeque<Entry>);

impl ErrorQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn push(&mut self, entry: Entry) {
        if self.0.len() < MOST {
            self.0.push_back(entry);
        }
    }

    /// That the sends numbered `first` to `last` are done with.
    fn push_zerocopy(&mut self, id: u32) {
        if let Some(tail) = self.0.back_mut()
            && tail.origin == SO_EE_ORIGIN_ZEROCOPY
            && tail.data.wrapping_add(1) == id
        {
            tail.data = id;
            return;
        }
        self.push(Entry {
            errno: 0,
            origin: SO_EE_ORIGIN_ZEROCOPY,
            code: SO_EE_CODE_ZEROCOPY_COPIED,
            info: id,
            data: id,
            time: None,
            truncated: false,
        });
    }

    /// Takes the oldest as control messages, with `msg_flags`.
    pub(super) fn pop(&mut self, v6: bool) -> Result<(Vec<ControlMessage>, i32), Errno> {
        let entry = self.0.pop_front().ok_or(Errno::EAGAIN)?;
        let mut all = Vec::new();
        if let Some(time) = entry.time {
            let mut data = Vec::with_capacity(48);
            let secs = i64::try_from(time.as_secs()).unwrap_or(0);
            data.extend(secs.to_ne_bytes());
            data.extend(i64::from(time.subsec_nanos()).to_ne_bytes());
            data.resize(48, 0);
            all.push(ControlMessage {
                level: libc::SOL_SOCKET,
                kind: libc::SCM_TIMESTAMPING,
                data,
            });
        }
        let mut data = Vec::with_capacity(44);
        data.extend(entry.errno.to_ne_bytes());
        data.extend([entry.origin, 0, entry.code, 0]);
        data.extend(entry.info.to_ne_bytes());
        data.extend(entry.data.to_ne_bytes());
        // Who says so: nobody.
        data.resize(16 + if v6 { 28 } else { 16 }, 0);
        all.push(ControlMessage {
            level: if v6 { libc::SOL_IPV6 } else { libc::SOL_IP },
            kind: if v6 {
                libc::IPV6_RECVERR
            } else {
                libc::IP_RECVERR
            },
            data,
        });
        let truncated = if entry.truncated { libc::MSG_TRUNC } else { 0 };
        Ok((all, libc::MSG_ERRQUEUE | truncated))
    }
}

/// A send of which something is to be told.
#[derive(Clone, Copy, Debug)]
struct Watched {
    /// Its last byte's place in the stream, and one.
    end: u64,
    /// `SOF_TIMESTAMPING_*`, what has been told taken out.
    flags: u32,
    zerocopy: Option<u32>,
}

/// What is watched of a socket's stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Stamps {
    watched: VecDeque<Watched>,
    /// What the bytes are counted from.
    pub(super) base: u64,
    next_zerocopy: u32,
}

impl Stamps {
    /// Watches a send that ended at `end`.
    pub(super) fn watch(&mut self, end: u64, flags: u32, zerocopy: bool) {
        let wanted = flags & (TX_SCHED | TX_SOFTWARE | TX_ACK);
        if wanted == 0 && !zerocopy {
            return;
        }
        let flags = if wanted == 0 { 0 } else { flags };
        let zerocopy = zerocopy.then(|| {
            let id = self.next_zerocopy;
            self.next_zerocopy = id.wrapping_add(1);
            id
        });
        self.watched.push_back(Watched {
            end,
            flags,
            zerocopy,
        });
    }

    /// `sent` bytes have left and `acked` are acknowledged: tells of what that ends; whether there
    /// was any.
    pub(super) fn on_progress(
        &mut self,
        sent: u64,
        acked: u64,
        clock: Duration,
        queue: &mut ErrorQueue,
    ) -> bool {
        let mut told = false;
        for watched in &mut self.watched {
            let key = match watched.flags & OPT_ID {
                0 => 0,
                _ => low32(watched.end.wrapping_sub(1).wrapping_sub(self.base)),
            };
            let mut tell = |flag: u32, info: u32| {
                if watched.flags & flag == 0 {
                    return;
                }
                let only = watched.flags & OPT_TSONLY != 0;
                let time = (watched.flags & SOFTWARE != 0).then_some(clock);
                watched.flags &= !flag;
                told = true;
                queue.push(Entry {
                    errno: u32::try_from(libc::ENOMSG).unwrap_or(0),
                    origin: SO_EE_ORIGIN_TIMESTAMPING,
                    code: 0,
                    info,
                    data: key,
                    time,
                    truncated: !only,
                });
            };
            if watched.end <= sent {
                tell(TX_SCHED, SCM_TSTAMP_SCHED);
                tell(TX_SOFTWARE, SCM_TSTAMP_SND);
            }
            if watched.end <= acked {
                tell(TX_ACK, SCM_TSTAMP_ACK);
                if let Some(id) = watched.zerocopy.take() {
                    queue.push_zerocopy(id);
                    told = true;
                }
            }
        }
        let done = |w: &Watched| w.end <= acked;
        while self.watched.front().is_some_and(done) {
            self.watched.pop_front();
        }
        told
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a key counts modulo 2^32")]
const fn low32(n: u64) -> u32 {
    n as u32
}
