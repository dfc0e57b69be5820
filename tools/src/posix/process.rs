//! The kernel and one program's descriptors: time, packets, and which call goes where.

use super::epoll::Epoll;
use super::socket::{Socket, Stage};
use super::sysctl::Sysctls;
use super::traffic::{Segment, Traffic};
use super::{Answer, Call, Errno, Mode, Op, Profile, Sent, Setup, TcpInfo};
use stack::frame::{Checksum, Frame, Gso, GsoKind};
use stack::host::{self, Host, InterfaceConfig};
use stack::link::offload;
use stack::machine::{Machine as _, Port};
use stack::net::route::Route;
use stack::reason::DropReason;
use stack::rng::Rng;
use stack::time::Instant;
use stack::wire::Cidr;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::task::Poll;
use std::time::Duration;

/// What a descriptor is.
#[derive(Clone, Debug)]
pub(super) enum File {
    Socket(Box<Socket>),
    Epoll(Epoll),
    /// The end of a pipe to read from: which pipe.
    PipeOut(usize),
    /// The end to write to.
    PipeIn(usize),
    /// A file of so many zeros, and its place.
    Zeros(u64, u64),
}

/// A descriptor.
#[derive(Clone, Debug)]
pub(super) struct Descriptor {
    pub(super) file: File,
    pub(super) nonblock: bool,
    pub(super) cloexec: bool,
}

/// Most bytes a pipe holds (pipe(7)).
pub(super) const PIPE: usize = 65_536;
/// Timers that may fall due at one moment, before something is taken to be wrong.
const MANY: usize = 100_000;

/// The kernel, and one program's descriptors.
#[derive(Clone)]
pub struct Process {
    pub(super) mode: Mode,
    pub(super) host: Host,
    pub(super) now: Duration,
    /// What the wall clock showed at the start.
    pub(super) epoch: Duration,
    pub(super) sysctls: Sysctls,
    pub(super) files: BTreeMap<i32, Descriptor>,
    /// Numbers that the descriptors of the call that is made shall have.
    pub(super) numbers: VecDeque<i32>,
    pub(super) pipes: Vec<VecDeque<u8>>,
    /// When calls that wait give up.
    pub(super) limits: Vec<Duration>,
    pub(super) out: VecDeque<Sent>,
    /// Super-segments are cut before they leave.
    pub(super) cut: bool,
    /// What is longer has come as a run of segments of this size, joined on the way.
    pub(super) joined: Option<u16>,
    pub(super) next_port: u16,
    pub(super) mtu: u16,
    pub(super) traffic: Traffic,
}

/// How a packet was joined, and where its TCP header is, where it was.
fn gso(packet: &[u8], size: u16) -> Option<(Gso, u16)> {
    let (kind, start, protocol) = match packet.first()? >> 4 {
        4 => (
            GsoKind::Tcp4,
            usize::from(packet.first()? & 15) * 4,
            packet.get(9),
        ),
        6 => (GsoKind::Tcp6, 40, packet.get(6)),
        _ => return None,
    };
    let header = usize::from(packet.get(start + 12)? >> 4) * 4;
    let data = packet.len().checked_sub(start + header)?;
    let start = u16::try_from(start).ok()?;
    (*protocol? == 6 && data > usize::from(size)).then_some((Gso { kind, size }, start))
}

impl Process {
    /// A kernel that has just booted.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        let sysctls = Sysctls::new(setup.profile);
        let mut host = Host::new(host::Config::default(), Rng::from_seed(setup.seed));
        let port = Port(0);
        let mut tun = InterfaceConfig::ip("tun0", port);
        tun.mtu = usize::from(setup.mtu);
        tun.tso = setup.profile == Profile::Linux;
        if let Some(cidr) = Cidr::new(setup.local, setup.prefix) {
            tun.addresses.push(cidr);
        }
        host.add_interface(Instant::ZERO, tun);
        let any = match setup.local {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        if let Some(all) = Cidr::new(any, 0) {
            let _ = host.add_route(Route::on_link(all, port));
        }
        let mut new = Self {
            mode: setup.mode,
            host,
            now: Duration::ZERO,
            epoch: Duration::ZERO,
            sysctls,
            files: BTreeMap::new(),
            numbers: VecDeque::new(),
            pipes: Vec::new(),
            limits: Vec::new(),
            out: VecDeque::new(),
            cut: setup.profile != Profile::Linux,
            joined: None,
            next_port: 32_768,
            mtu: setup.mtu,
            traffic: Traffic::new(),
        };
        new.apply_sysctls();
        // What an interface says when it comes up is not the program's doing.
        new.settle();
        new.out.clear();
        new
    }

    /// What the wall clock shows at the start: timestamps in control messages count from it.
    pub const fn set_epoch(&mut self, epoch: Duration) {
        self.epoch = epoch;
    }

    /// What arrives with more data than this has been joined of segments of that size.
    pub const fn set_joined(&mut self, size: Option<u16>) {
        self.joined = size;
    }

    /// Cuts super-segments at the MSS before they leave, or leaves them whole.
    pub const fn set_cut(&mut self, cut: bool) {
        self.cut = cut;
    }

    /// One more address of the host.
    pub fn adopt(&mut self, addr: IpAddr, prefix: u8) {
        let now = self.instant();
        let known = self.host.interfaces().iter().any(|i| {
            let own = |a: &host::Address| a.cidr.addr() == addr;
            i.addresses().iter().any(own)
        });
        if let Some(cidr) = Cidr::new(addr, prefix).filter(|_| !known) {
            self.host.add_address(now, 0, cidr);
            self.settle();
        }
    }

    /// Forgets what connections have learned of servers (`ip tcp_metrics flush`).
    pub fn forget_servers(&mut self) {
        self.host.tcp_forget_fast_open();
    }

    /// How many connections are in a state, as `sockstat` names it.
    #[must_use]
    pub fn connections_in(&self, state: &str) -> u64 {
        let name = match state {
            "SYN_RCVD" => "SYN-RECEIVED".to_owned(),
            other => other.replace('_', "-"),
        };
        let all = self.host.tcp_connections();
        all.filter(|(.., state)| state.name() == name).count() as u64
    }

    /// What Linux's `nstat` would show of a counter that we have, too.
    #[must_use]
    pub fn counter(&self, name: &str) -> Option<u64> {
        let stats = self.host.stats();
        let refused = |reason| stats.dropped_in(reason);
        Some(match name {
            "TcpExtBeyondWindow" => refused(DropReason::TcpBeyondWindow),
            "TcpExtTCPRcvQDrop" => refused(DropReason::TcpBufferFull),
            "TcpExtTCPZeroWindowDrop" => refused(DropReason::TcpZeroWindow),
            "TcpExtOutOfWindowIcmps" => refused(DropReason::IcmpQuoteUnmatched),
            "TcpExtTCPDeferAcceptDrop" => refused(DropReason::TcpDeferred),
            "TcpExtListenOverflows" => stats.tcp.backlog_overflows,
            "TcpExtListenDrops" => stats.tcp.backlog_overflows + stats.tcp.syn_overflows,
            "TcpExtSyncookiesSent" => stats.tcp.cookies_sent,
            "TcpExtSyncookiesRecv" => stats.tcp.cookies_accepted,
            "TcpExtSyncookiesFailed" => stats.tcp.cookies_failed,
            "TcpExtPAWSEstab" => refused(DropReason::TcpPaws),
            "TcpExtTCPFastOpenPassive" => stats.tcp.fast_opens,
            "TcpExtTCPFastOpenListenOverflow" => stats.tcp.fast_open_overflows,
            "TcpExtTCPFastOpenActiveFail" => stats.tcp.fast_opens_refused,
            "TcpActiveOpens" => stats.tcp.active_opens,
            "TcpPassiveOpens" => stats.tcp.accepted,
            "TcpInSegs" => stats.tcp.segments_in,
            "TcpOutSegs" => stats.tcp.segments_out,
            "TcpRetransSegs" => stats.tcp.retransmitted,
            "TcpOutRsts" => stats.tcp.resets_of_connections_out + stats.resets_to_strangers_out,
            _ => return None,
        })
    }

    /// Whether there is a descriptor of that number.
    #[must_use]
    pub fn has(&self, fd: i32) -> bool {
        self.files.contains_key(&fd)
    }

    /// Time since the start.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.now
    }

    pub(super) fn instant(&self) -> Instant {
        Instant::ZERO + self.now
    }

    /// Moves the clock, through all timers up to and at `to`.
    pub fn advance(&mut self, to: Duration) {
        for _ in 0..MANY {
            let Some(due) = self.host.poll_timeout() else {
                break;
            };
            let due = due.since(Instant::ZERO);
            if due > to {
                break;
            }
            self.now = self.now.max(due);
            let now = self.instant();
            self.host.handle_timeout(now);
            self.settle();
        }
        self.now = self.now.max(to);
        self.limits.retain(|at| *at > to);
        self.settle();
    }

    /// When a timer, or the time limit of a call that waits, is due next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        let timer = self.host.poll_timeout().map(|t| t.since(Instant::ZERO));
        let limit = self.limits.iter().copied().min();
        timer
            .into_iter()
            .chain(limit)
            .min()
            .map(|at| at.max(self.now))
    }

    /// A raw IP packet arrives.
    pub fn deliver(&mut self, packet: &[u8]) {
        let now = self.instant();
        let mut frame = Frame::copy_from(packet);
        if let Some((gso, start)) = self.joined.and_then(|size| gso(packet, size)) {
            frame.offload.gso = Some(gso);
            // Whoever joins segments has verified them.
            frame.offload.checksum = Checksum::Partial { start, offset: 16 };
        }
        let heard = Segment::read(packet).map(|segment| (segment, self.expected(&segment)));
        let refused = self.refused();
        self.host.handle_frame(now, Port(0), frame);
        if let Some((segment, expected)) = heard.filter(|_| self.refused() == refused) {
            let ends = (segment.to, segment.from);
            let counts = self.traffic.entry(ends).or_default();
            counts.on_heard(self.now, &segment, self.joined, expected);
        }
        self.settle();
        self.end_more();
    }

    /// Segments that say nothing of a connection.
    fn refused(&self) -> u64 {
        let stats = self.host.stats();
        let reasons = [DropReason::TcpBadChecksum, DropReason::TcpBadAck];
        reasons.map(|reason| stats.dropped_in(reason)).iter().sum()
    }

    /// The number that the connection waits for which a segment is for, and its window.
    fn expected(&self, segment: &Segment) -> Option<(u32, u32)> {
        let ends = (segment.to, segment.from);
        let mut all = self.host.tcp_connections();
        let (handle, ..) = all.find(|(_, local, remote, _)| (*local, *remote) == ends)?;
        let status = self.host.tcp_status(self.instant(), handle)?;
        let counts = self.traffic.get(&ends)?;
        let next = counts.next(status.bytes_received)?;
        status
            .state
            .is_synchronized()
            .then_some((next, status.rcv_wnd))
    }

    fn count_out(&mut self, packet: &[u8], size: Option<u16>) {
        if let Some(segment) = Segment::read(packet) {
            let counts = self.traffic.entry((segment.from, segment.to)).or_default();
            counts.on_sent(self.now, &segment, size);
        }
    }

    /// The next packet that leaves.
    pub fn transmit(&mut self) -> Option<Sent> {
        self.out.pop_front()
    }

    /// Sets a `sysctl`: `net.ipv4.tcp_sack`, `0`. It holds for sockets that are made, and
    /// connections that begin, from now on.
    ///
    /// # Errors
    /// In words, where there is none of that name, or the value is none for it.
    pub fn sysctl(&mut self, name: &str, value: &str) -> Result<(), String> {
        self.sysctls.set(name, value)?;
        self.apply_sysctls();
        Ok(())
    }

    /// Sets what collections of scripts set before each (`defaults.sh`).
    pub fn take_collection_defaults(&mut self) {
        self.sysctls.take_collections();
        self.apply_sysctls();
    }

    /// Makes a call, or goes on with one that waits: ask again after time or packets have moved.
    pub fn call(&mut self, call: &mut Call) -> Poll<Answer> {
        let begun = *call.begun.get_or_insert(self.now);
        self.numbers = call.numbers.iter().copied().collect();
        let answer = self.dispatch(&mut call.op, begun, &mut call.step);
        self.settle();
        answer
    }

    fn dispatch(&mut self, op: &mut Op, begun: Duration, step: &mut u8) -> Poll<Answer> {
        Poll::Ready(match op {
            Op::Socket {
                domain,
                kind,
                protocol,
            } => self.socket(*domain, *kind, *protocol),
            Op::Bind { fd, addr } => self.bind(*fd, *addr),
            Op::Listen { fd, backlog } => self.listen(*fd, *backlog),
            Op::Accept { fd, flags, peer } => return self.accept(*fd, *flags, peer, begun),
            Op::Connect { fd, to } => return self.connect(*fd, *to, begun, step),
            Op::Recv { .. } => return self.recv(op, begun),
            Op::Send { .. } => return self.send(op, begun, step),
            Op::Fcntl { fd, cmd, arg } => self.fcntl(*fd, *cmd, *arg),
            Op::Ioctl { fd, request, value } => self.ioctl(*fd, *request, value),
            Op::Close { fd } => return self.close(*fd, begun, step),
            Op::Shutdown { fd, how } => self.shutdown(*fd, *how),
            Op::GetSockOpt {
                fd,
                level,
                name,
                len,
                value,
            } => self.getsockopt(*fd, *level, *name, *len, value),
            Op::SetSockOpt {
                fd,
                level,
                name,
                value,
            } => self.setsockopt(*fd, *level, *name, value.as_ref()),
            Op::GetSockName { fd, addr } => self.name_of(*fd, addr, false),
            Op::GetPeerName { fd, addr } => self.name_of(*fd, addr, true),
            Op::Poll { fds, timeout } => return self.poll(fds, *timeout, begun),
            Op::EpollCreate { flags } => self.epoll_create(*flags),
            Op::EpollCtl {
                epfd,
                op,
                fd,
                event,
            } => self.epoll_ctl(*epfd, *op, *fd, *event),
            Op::EpollWait {
                epfd,
                max,
                timeout,
                events,
            } => return self.epoll_wait(*epfd, *max, *timeout, events, begun),
            Op::Pipe { flags, fds } => self.pipe(*flags, fds),
            Op::Splice { .. } => return self.splice(op, begun, step),
            Op::Open { len } => self.add(File::Zeros(*len, 0), false, false),
            Op::SendFile { .. } => return self.sendfile(op, begun, step),
        })
    }

    /// A new descriptor.
    pub(super) fn add(&mut self, file: File, nonblock: bool, cloexec: bool) -> Answer {
        let lowest = || (3..).find(|fd| !self.files.contains_key(fd));
        let fd = match self.numbers.front() {
            Some(fd) if !self.files.contains_key(fd) => self.numbers.pop_front(),
            _ => lowest(),
        };
        let fd = fd.ok_or(Errno::EMFILE)?;
        let descriptor = Descriptor {
            file,
            nonblock,
            cloexec,
        };
        self.files.insert(fd, descriptor);
        Ok(i64::from(fd))
    }

    pub(super) fn socket_of(&self, fd: i32) -> Result<&Socket, Errno> {
        match self.files.get(&fd) {
            None => Err(Errno::EBADF),
            Some(Descriptor {
                file: File::Socket(socket),
                ..
            }) => Ok(socket),
            Some(_) => Err(Errno::ENOTSOCK),
        }
    }

    pub(super) fn socket_mut(&mut self, fd: i32) -> Result<&mut Socket, Errno> {
        match self.files.get_mut(&fd) {
            None => Err(Errno::EBADF),
            Some(Descriptor {
                file: File::Socket(socket),
                ..
            }) => Ok(socket),
            Some(_) => Err(Errno::ENOTSOCK),
        }
    }

    pub(super) fn is_nonblocking(&self, fd: i32) -> bool {
        self.files.get(&fd).is_some_and(|d| d.nonblock)
    }

    /// Whether a call that began at `begun` must wait no longer; if it may, it is noted when it
    /// gives up.
    pub(super) fn is_late(&mut self, begun: Duration, limit: Option<Duration>) -> bool {
        let Some(limit) = limit else { return false };
        let at = begun + limit;
        if at <= self.now {
            return true;
        }
        if !self.limits.contains(&at) {
            self.limits.push(at);
        }
        false
    }

    /// What comes of a call, a packet or a timer: segments leave, sockets hear of it.
    pub(super) fn settle(&mut self) {
        let now = self.instant();
        // What is sent to ourselves arrives at the next moment it is asked.
        for _ in 0..MANY {
            let mut moved = false;
            while let Some(frame) = self.host.poll_transmit(now, Port(0)) {
                moved = true;
                self.emit(frame);
            }
            while self.host.poll_event().is_some() {
                moved = true;
            }
            if !moved {
                break;
            }
        }
        self.update_sockets();
    }

    /// One packet leaves, where one may.
    pub(super) fn send_one(&mut self) {
        let now = self.instant();
        if let Some(frame) = self.host.poll_transmit(now, Port(0)) {
            self.emit(frame);
        }
        self.update_sockets();
    }

    fn emit(&mut self, frame: Frame) {
        let at = self.now;
        if self.cut {
            let mut pieces = Vec::new();
            offload::cut(frame, true, |mut piece| {
                piece.complete_checksum();
                pieces.push(piece.to_bytes().to_vec());
            });
            for packet in pieces {
                self.count_out(&packet, None);
                let mss = None;
                self.out.push_back(Sent { at, packet, mss });
            }
            return;
        }
        let mut frame = frame;
        let mss = frame.offload.gso.map(|gso| gso.size);
        frame.complete_checksum();
        let packet = frame.to_bytes().to_vec();
        self.count_out(&packet, mss);
        self.out.push_back(Sent { at, packet, mss });
    }

    /// Whether a descriptor is a connection, or one that opens.
    #[must_use]
    pub fn is_connection(&self, fd: i32) -> bool {
        let socket = self.socket_of(fd);
        socket.is_ok_and(|socket| matches!(socket.stage, Stage::Tcp(_)))
    }

    /// The status of a connection.
    #[must_use]
    pub fn tcp_info(&self, fd: i32) -> Option<TcpInfo> {
        self.info_of(self.socket_of(fd).ok()?)
    }

    fn fcntl(&mut self, fd: i32, cmd: i32, arg: i64) -> Answer {
        let descriptor = self.files.get_mut(&fd).ok_or(Errno::EBADF)?;
        let arg = i32::try_from(arg).unwrap_or(0);
        match cmd {
            libc::F_GETFL => {
                let access = match descriptor.file {
                    File::PipeOut(_) | File::Zeros(..) => libc::O_RDONLY,
                    File::PipeIn(_) => libc::O_WRONLY,
                    _ => libc::O_RDWR,
                };
                let nonblock = if descriptor.nonblock {
                    libc::O_NONBLOCK
                } else {
                    0
                };
                Ok(i64::from(access | nonblock))
            }
            libc::F_SETFL => {
                descriptor.nonblock = arg & libc::O_NONBLOCK != 0;
                Ok(0)
            }
            libc::F_GETFD => Ok(i64::from(descriptor.cloexec)),
            libc::F_SETFD => {
                descriptor.cloexec = arg & libc::FD_CLOEXEC != 0;
                Ok(0)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// Lets go of all of a process's descriptors, as its end does.
    pub fn exit(&mut self) {
        let fds: Vec<i32> = self.files.keys().copied().collect();
        for fd in fds {
            let mut call = Call::from(Op::Close { fd });
            call.step = 1;
            let _ = self.call(&mut call);
        }
    }
}
