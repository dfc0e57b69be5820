//! poll and epoll: what a descriptor is ready for, and who was told.

use super::epoll::{Epoll, Watch};
use super::process::{File, PIPE};
use super::socket::{Stage, Wakes};
use super::{Answer, EpollEvent, Errno, PollFd, Process};
use stack::transport::tcp::State;
use std::task::Poll;
use std::time::Duration;

const IN: u32 = 0x001;
const PRI: u32 = 0x002;
const OUT: u32 = 0x004;
const ERR: u32 = 0x008;
const HUP: u32 = 0x010;
const RDNORM: u32 = 0x040;
const WRNORM: u32 = 0x100;
const RDHUP: u32 = 0x2000;
const EXCLUSIVE: u32 = 1 << 28;
const ONESHOT: u32 = 1 << 30;
const ET: u32 = 1 << 31;
/// What is kept of a one-shot watch that has been told.
const PRIVATE: u32 = EXCLUSIVE | ONESHOT | ET | 1 << 29;

impl Process {
    /// What a descriptor is ready for.
    pub(super) fn readiness(&mut self, fd: i32) -> Option<u32> {
        let pipes = &self.pipes;
        let socket = match &self.files.get(&fd)?.file {
            File::PipeOut(at) => {
                let any = pipes.get(*at).is_some_and(|p| !p.is_empty());
                return Some(if any { IN | RDNORM } else { 0 });
            }
            File::PipeIn(at) => {
                let room = pipes.get(*at).is_some_and(|p| p.len() < PIPE);
                return Some(if room { OUT | WRNORM } else { 0 });
            }
            File::Zeros(..) => return Some(IN | OUT | RDNORM | WRNORM),
            File::Epoll(_) => return Some(0),
            File::Socket(socket) => socket,
        };
        let mut mask = 0;
        if socket.error.is_some() || !socket.errors.is_empty() {
            mask |= ERR;
        }
        match socket.stage {
            Stage::Listening(_) => {
                if self.has_accepted(socket) {
                    mask |= IN | RDNORM;
                }
                return Some(mask);
            }
            Stage::Udp(handle) => {
                let any = self.host.udp(handle).is_some_and(|u| u.waiting() > 0);
                return Some(mask | OUT | WRNORM | if any { IN | RDNORM } else { 0 });
            }
            Stage::Deferred(_) => return Some(mask | OUT | WRNORM),
            Stage::Fresh | Stage::Tcp(_) => {}
        }
        let state = socket.state();
        let last = &socket.last;
        let closed = state == State::Closed;
        let ended_in = closed || last.finished || socket.shut_read;
        let ended_out = closed || socket.shut_write;
        if ended_in && ended_out || closed {
            mask |= HUP;
        }
        if ended_in && !(closed && socket.stage == Stage::Fresh) {
            mask |= IN | RDNORM | RDHUP;
        }
        if !socket.is_opening() {
            let lowat = u32::try_from(socket.settings.rcvlowat).unwrap_or(1).max(1);
            if last.unread >= lowat {
                mask |= IN | RDNORM;
            }
            if ended_out || socket.is_writable() {
                mask |= OUT | WRNORM;
            }
            if socket.urgent_ahead().is_some() {
                mask |= PRI;
            }
        }
        if mask & OUT == 0
            && let Ok(socket) = self.socket_mut(fd)
        {
            socket.nospace |= !socket.is_opening();
        }
        Some(mask)
    }

    pub(super) fn poll(
        &mut self,
        fds: &mut [PollFd],
        timeout: i32,
        begun: Duration,
    ) -> Poll<Answer> {
        let mut ready = 0;
        for poll in fds.iter_mut() {
            poll.revents = 0;
            if poll.fd < 0 {
                continue;
            }
            let wanted = u32::from(poll.events.cast_unsigned()) | ERR | HUP;
            let mask = match self.readiness(poll.fd) {
                Some(mask) => mask & wanted,
                None => u32::from(libc::POLLNVAL.cast_unsigned()),
            };
            poll.revents = u16::try_from(mask).unwrap_or(0).cast_signed();
            ready += i64::from(mask != 0);
        }
        self.until(ready, timeout, begun)
    }

    /// What poll and epoll_wait give: now, or when the time is over.
    fn until(&mut self, ready: i64, timeout: i32, begun: Duration) -> Poll<Answer> {
        let limit = u64::try_from(timeout).ok().map(Duration::from_millis);
        if ready > 0 || timeout == 0 || self.is_late(begun, limit) {
            return Poll::Ready(Ok(ready));
        }
        Poll::Pending
    }

    pub(super) fn epoll_create(&mut self, flags: i32) -> Answer {
        let cloexec = flags & libc::EPOLL_CLOEXEC != 0;
        self.add(File::Epoll(Epoll::default()), false, cloexec)
    }

    pub(super) fn epoll_ctl(
        &mut self,
        epfd: i32,
        op: i32,
        fd: i32,
        event: Option<EpollEvent>,
    ) -> Answer {
        if !self.files.contains_key(&epfd) {
            return Err(Errno::EBADF);
        }
        let target = self.files.get(&fd).ok_or(Errno::EBADF)?;
        if matches!(target.file, File::Zeros(..)) {
            return Err(Errno::EPERM);
        }
        if epfd == fd {
            return Err(Errno::EINVAL);
        }
        if op != libc::EPOLL_CTL_DEL && event.is_none() {
            return Err(Errno::EFAULT);
        }
        let event = event.unwrap_or_default();
        let Some(File::Epoll(epoll)) = self.files.get_mut(&epfd).map(|d| &mut d.file) else {
            return Err(Errno::EINVAL);
        };
        let known = epoll.0.get(&fd).copied();
        let watch = Watch {
            event: EpollEvent {
                events: event.events,
                ..event
            },
            seen: None,
            turn: known.map_or(0, |w| w.turn),
        };
        match (op, known) {
            (libc::EPOLL_CTL_ADD, Some(_)) => return Err(Errno::EEXIST),
            (libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL, None) => return Err(Errno::ENOENT),
            (libc::EPOLL_CTL_MOD, Some(old))
                if (event.events | old.event.events) & EXCLUSIVE != 0 =>
            {
                return Err(Errno::EINVAL);
            }
            (libc::EPOLL_CTL_ADD | libc::EPOLL_CTL_MOD, _) => {
                epoll.0.insert(fd, watch);
            }
            (libc::EPOLL_CTL_DEL, _) => {
                epoll.0.remove(&fd);
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }

    pub(super) fn epoll_wait(
        &mut self,
        epfd: i32,
        max: i32,
        timeout: i32,
        events: &mut Vec<EpollEvent>,
        begun: Duration,
    ) -> Poll<Answer> {
        events.clear();
        let watches = match self.files.get(&epfd).map(|d| &d.file) {
            None => return Poll::Ready(Err(Errno::EBADF)),
            Some(File::Epoll(epoll)) => epoll.0.clone(),
            Some(_) => return Poll::Ready(Err(Errno::EINVAL)),
        };
        let Some(max) = usize::try_from(max).ok().filter(|max| *max > 0) else {
            return Poll::Ready(Err(Errno::EINVAL));
        };
        let mut order: Vec<(u64, i32)> = watches.iter().map(|(fd, w)| (w.turn, *fd)).collect();
        order.sort_unstable();
        let last = order.last().map_or(0, |o| o.0);
        for (_, fd) in order {
            if events.len() >= max {
                break;
            }
            let Some(watch) = watches.get(&fd) else {
                continue;
            };
            if watch.event.events & !PRIVATE == 0 {
                continue;
            }
            let mask = self.readiness(fd).unwrap_or(0) & (watch.event.events | ERR | HUP);
            let wakes = self.socket_of(fd).map(|s| s.wakes).unwrap_or_default();
            let fresh = watch
                .seen
                .is_none_or(|seen| calls(watch.event.events, seen, wakes));
            if mask == 0 || watch.event.events & ET != 0 && !fresh {
                continue;
            }
            events.push(EpollEvent {
                events: mask,
                data: watch.event.data,
            });
            if let Some(File::Epoll(epoll)) = self.files.get_mut(&epfd).map(|d| &mut d.file)
                && let Some(watch) = epoll.0.get_mut(&fd)
            {
                watch.seen = Some(wakes);
                watch.turn = last + 1;
                if watch.event.events & ONESHOT != 0 {
                    watch.event.events &= PRIVATE;
                }
            }
        }
        let ready = i64::try_from(events.len()).unwrap_or(0);
        self.until(ready, timeout, begun)
    }

    /// A descriptor is gone: nobody watches it any more.
    pub(super) fn forget_watched(&mut self, fd: i32) {
        for descriptor in self.files.values_mut() {
            if let File::Epoll(epoll) = &mut descriptor.file {
                epoll.0.remove(&fd);
            }
        }
    }
}

/// Whether there was a call since that an edge-triggered watch of `events` hears.
const fn calls(events: u32, seen: Wakes, now: Wakes) -> bool {
    let input = events & (IN | PRI | RDHUP | RDNORM) != 0 && seen.input != now.input;
    let output = events & (OUT | WRNORM) != 0 && seen.output != now.output;
    input || output || seen.error != now.error
}
