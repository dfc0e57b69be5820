//! A socket's life: bind, listen, accept, connect, shutdown, close; and what it hears of its
//! connection.
//!
//! ```text
//!   Fresh --listen--> Listening --accept--> Tcp of another socket
//!     |---connect--> Tcp --close, reset--> Tcp whose state is CLOSED     (Deferred first, where the
//!     `---udp-----> Udp                                                  first write shall connect)
//! ```

use super::address::{any, to_program, to_wire};
use super::process::{Descriptor, File};
use super::settings::Settings;
use super::socket::{Chrono, Socket, Stage, errno_of, errno_of_send};
use super::{Answer, Errno, Process, Profile, Target};
use stack::host::{BindError, ConnectError, TcpHandle, UdpHandle};
use stack::time::Duration;
use stack::transport::tcp::options::Nagle;
use stack::transport::tcp::{Cookies, ListenOptions, Options, State, Status};
use stack::transport::udp::PathMtu;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::task::Poll;

const fn errno_of_bind(error: BindError) -> Errno {
    match error {
        BindError::InUse => Errno::EADDRINUSE,
        BindError::NotAvailable => Errno::EADDRNOTAVAIL,
        BindError::NeedsZone => Errno::EINVAL,
        BindError::NoPort => Errno::EADDRINUSE,
        BindError::TooMany => Errno::ENOBUFS,
    }
}

/// How many timeouts of a SYN-ACK so many seconds are.
fn timeouts_in(secs: i32) -> u8 {
    let (mut count, mut period, mut at) = (0, 1, 0);
    while at < secs && count < u8::MAX {
        count += 1;
        at += period;
        period = (period * 2).min(120);
    }
    count
}

impl Process {
    pub(super) fn socket(&mut self, domain: i32, kind: i32, protocol: i32) -> Answer {
        if domain != libc::AF_INET && domain != libc::AF_INET6 {
            return Err(Errno::EAFNOSUPPORT);
        }
        let nonblock = kind & libc::SOCK_NONBLOCK != 0;
        let cloexec = kind & libc::SOCK_CLOEXEC != 0;
        let stream = match kind & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) {
            libc::SOCK_STREAM => true,
            libc::SOCK_DGRAM => false,
            _ => return Err(Errno::ESOCKTNOSUPPORT),
        };
        let wanted = if stream {
            libc::IPPROTO_TCP
        } else {
            libc::IPPROTO_UDP
        };
        if protocol != 0 && protocol != wanted {
            return Err(Errno::EPROTONOSUPPORT);
        }
        let mut settings = self.sysctls.settings();
        if !stream {
            (settings.rcvbuf, settings.sndbuf) = (212_992, 212_992);
        }
        let socket = Socket::new(domain, stream, settings);
        self.add(File::Socket(Box::new(socket)), nonblock, cloexec)
    }

    pub(super) fn bind(&mut self, fd: i32, addr: Option<SocketAddr>) -> Answer {
        let mode = self.mode;
        let socket = self.socket_of(fd)?;
        let addr = to_wire(mode, socket.domain, addr.ok_or(Errno::EFAULT)?)?;
        let mapped = addr.is_ipv4() && !addr.ip().is_unspecified();
        if mapped && socket.only_six() {
            return Err(Errno::EINVAL);
        }
        if socket.bound.is_some() || socket.stage != Stage::Fresh {
            return Err(Errno::EINVAL);
        }
        let foreign = !addr.ip().is_unspecified() && !self.is_local(addr.ip());
        if foreign && !socket.settings.freebind && !self.sysctls.nonlocal_bind {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let (stream, reuse) = (
            socket.stream,
            socket.settings.reuse_addr || socket.settings.reuse_port,
        );
        if !stream {
            let addr = self.open_udp(fd, addr)?;
            self.socket_mut(fd)?.bound = Some(addr);
            return Ok(0);
        }
        let addr = match addr.port() {
            0 => SocketAddr::new(addr.ip(), self.pick_port()),
            port if self.is_taken(fd, addr.ip(), port, reuse) => return Err(Errno::EADDRINUSE),
            _ => addr,
        };
        self.socket_mut(fd)?.bound = Some(addr);
        Ok(0)
    }

    fn is_local(&self, addr: IpAddr) -> bool {
        let own = |a: &stack::host::Address| a.cidr.addr() == addr;
        addr.is_loopback()
            || self
                .host
                .interfaces()
                .iter()
                .any(|i| i.addresses().iter().any(own))
    }

    /// Whether another socket has a port, and will not share it.
    fn is_taken(&self, fd: i32, addr: IpAddr, port: u16, reuse: bool) -> bool {
        let sockets = self.files.iter().filter_map(|(other, d)| match &d.file {
            File::Socket(socket) if *other != fd => Some(socket),
            _ => None,
        });
        let mut taken = false;
        for socket in sockets.filter(|s| s.stream) {
            let Some(bound) = socket.bound.filter(|b| b.port() == port) else {
                continue;
            };
            let meets = bound.ip() == addr || bound.ip().is_unspecified() || addr.is_unspecified();
            let listens = matches!(socket.stage, Stage::Listening(_));
            let shares = reuse && (socket.settings.reuse_addr || socket.settings.reuse_port);
            taken |= meets && (!shares || listens && !socket.settings.reuse_port);
        }
        taken
    }

    fn pick_port(&mut self) -> u16 {
        let (low, high) = self.sysctls.ports;
        for _ in low..=high {
            let port = match self.next_port {
                next if (low..=high).contains(&next) => next,
                _ => low,
            };
            self.next_port = port.saturating_add(1);
            let busy = self.files.values().any(|d| match &d.file {
                File::Socket(s) => s.bound.is_some_and(|b| b.port() == port),
                _ => false,
            });
            if !busy {
                return port;
            }
        }
        0
    }

    fn open_udp(&mut self, fd: i32, addr: SocketAddr) -> Result<SocketAddr, Errno> {
        let mut options = self.host.config().udp;
        let settings = &self.socket_of(fd)?.settings;
        options.reuse = settings.reuse_addr || settings.reuse_port;
        options.ttl = settings.options.ttl;
        options.tos = settings.options.tos;
        options.path_mtu = path_mtu(settings).unwrap_or(options.path_mtu);
        let handle = self
            .host
            .udp_bind_with(addr, options)
            .map_err(errno_of_bind)?;
        let addr = self.host.udp_local(handle).unwrap_or(addr);
        self.socket_mut(fd)?.stage = Stage::Udp(handle);
        Ok(addr)
    }

    /// A datagram socket's handle; it is bound where it was not.
    pub(super) fn udp_of(&mut self, fd: i32) -> Result<UdpHandle, Errno> {
        let mode = self.mode;
        let socket = self.socket_of(fd)?;
        if let Stage::Udp(handle) = socket.stage {
            return Ok(handle);
        }
        let addr = SocketAddr::new(any(mode, socket.domain), 0);
        let bound = self.open_udp(fd, addr)?;
        let socket = self.socket_mut(fd)?;
        socket.bound = Some(bound);
        match socket.stage {
            Stage::Udp(handle) => Ok(handle),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(super) fn listen(&mut self, fd: i32, backlog: i32) -> Answer {
        let mode = self.mode;
        let socket = self.socket_of(fd)?;
        if !socket.stream {
            return Err(Errno::EOPNOTSUPP);
        }
        let (domain, bound, stage) = (socket.domain, socket.bound, socket.stage.clone());
        let most = self.sysctls.somaxconn;
        // A negative one is a very large one, as Linux's comparison of unsigned numbers has it.
        let backlog = if backlog < 0 { most } else { backlog.min(most) };
        self.socket_mut(fd)?.backlog = backlog;
        match stage {
            Stage::Listening(handle) => {
                let options = self.listen_options(fd)?;
                self.host.tcp_set_listen_options(handle, options);
            }
            Stage::Fresh => {
                let addr = match bound {
                    Some(addr) => addr,
                    None => SocketAddr::new(any(mode, domain), self.pick_port()),
                };
                let options = self.listen_options(fd)?;
                let handle = self
                    .host
                    .tcp_listen(listened(domain, addr), options)
                    .map_err(errno_of_bind)?;
                let socket = self.socket_mut(fd)?;
                socket.bound = Some(addr);
                socket.stage = Stage::Listening(handle);
                (socket.shut_read, socket.shut_write) = (false, false);
                self.tell_options(fd);
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }

    /// What a listener tells our TCP.
    pub(super) fn listen_options(&self, fd: i32) -> Result<ListenOptions, Errno> {
        let socket = self.socket_of(fd)?;
        // Linux lets one more in than was asked for, and one more wait for its third segment.
        let backlog = usize::try_from(socket.backlog).unwrap_or(0) + 1;
        let mut syn_backlog = backlog;
        if self.sysctls.cookies == Cookies::Never {
            // It keeps a quarter for those that it has heard of before.
            let most = self.sysctls.max_syn_backlog;
            let most = usize::try_from(most - most / 4).unwrap_or(usize::MAX);
            syn_backlog = syn_backlog.min(most.saturating_add(1));
        }
        let server = self.sysctls.fastopen & 2 != 0;
        // 0x400: every listener has it, asked for or not.
        let asked = if self.sysctls.fastopen & 0x400 != 0 {
            socket.backlog.max(socket.settings.fast_open)
        } else {
            socket.settings.fast_open
        };
        let fast_open = if server { asked.max(0) } else { 0 };
        Ok(ListenOptions {
            backlog,
            syn_backlog,
            options: self.tcp_options(socket),
            cookies: self.sysctls.cookies,
            accept_from: Vec::new(),
            fast_open: usize::try_from(fast_open).unwrap_or(0),
            fast_open_without_cookie: self.sysctls.fastopen & 0x200 != 0
                || socket.settings.fast_open_no_cookie,
            reset_on_overflow: self.sysctls.abort_on_overflow,
            defer: timeouts_in(socket.settings.defer_accept),
            only_v6: socket.only_six(),
        })
    }

    /// What a socket tells our TCP.
    pub(super) fn tcp_options(&self, socket: &Socket) -> Options {
        let settings = &socket.settings;
        let mut options = settings.options.clone();
        options.recv_buffer = self.sysctls.recv_buffer(settings);
        if self.sysctls.profile == Profile::FreeBsd {
            let max = &mut options.recv_buffer.max;
            *max = options.recv_buffer.initial.max(*max);
        }
        // How much may be written is counted here, as Linux counts it.
        options.send_buffer.initial = 1 << 30;
        options.send_buffer.max = 1 << 30;
        options.keepalive = settings.keepalive_on.then_some(settings.keepalive);
        options.cork = settings.cork || socket.more;
        options.pacing |= settings.max_pacing_rate != u64::MAX;
        options.max_pacing_rate = settings.max_pacing_rate;
        if settings.nodelay {
            options.nagle = Nagle::Off;
        }
        // Others end in the background: Linux lets close(2) wait, and no more.
        options.linger = (settings.linger == Some(0)).then_some(Duration::ZERO);
        if settings.linger2 > 0 {
            let secs = u64::try_from(settings.linger2).unwrap_or(0);
            options.fin_wait_2 = Duration::from_secs(secs);
        } else if settings.linger2 < 0 {
            options.fin_wait_2 = Duration::ZERO;
        }
        if !settings.quickack {
            options.quick_acks = 0;
        }
        options
    }

    /// Tells a socket's connection or listener what has been set.
    pub(super) fn tell_options(&mut self, fd: i32) {
        let now = self.instant();
        let Ok(socket) = self.socket_of(fd) else {
            return;
        };
        match socket.stage {
            Stage::Tcp(handle) => {
                let options = self.tcp_options(socket);
                self.host.tcp_set_options(now, handle, options);
            }
            Stage::Listening(handle) => {
                let keys = socket.settings.fast_open_key;
                if let Ok(options) = self.listen_options(fd) {
                    self.host.tcp_set_listen_options(handle, options);
                }
                if let Some((key, backup)) = keys {
                    self.host
                        .tcp_set_listener_fast_open_key(handle, key, backup);
                }
            }
            Stage::Udp(handle) => {
                let (ttl, tos) = (socket.settings.options.ttl, socket.settings.options.tos);
                let discovery = path_mtu(&socket.settings);
                if let Some(options) = self.host.udp_options(handle) {
                    (options.ttl, options.tos) = (ttl, tos);
                    options.path_mtu = discovery.unwrap_or(options.path_mtu);
                }
            }
            _ => {}
        }
    }

    /// A change of a sysctl that listeners look at for each SYN.
    pub(super) fn apply_sysctls(&mut self) {
        let fresh = self.sysctls.options.clone();
        let fds: Vec<i32> = self.files.keys().copied().collect();
        for fd in fds {
            let Ok(socket) = self.socket_mut(fd) else {
                continue;
            };
            // Linux reads these where they are used, not where the socket is made.
            let options = &mut socket.settings.options;
            options.timestamps = fresh.timestamps;
            options.sack = fresh.sack;
            options.dsack = fresh.dsack;
            options.window_scaling = fresh.window_scaling;
            options.ecn = fresh.ecn;
            options.ecn_fallback = fresh.ecn_fallback;
            options.ecn_checks = fresh.ecn_checks;
            options.ecn_option = fresh.ecn_option;
            options.ecn_beacons = fresh.ecn_beacons;
            options.frto = fresh.frto;
            options.rack = fresh.rack;
            options.lasting_time_wait = fresh.lasting_time_wait;
            options.burst_share = fresh.burst_share;
            options.tail_loss_probe = fresh.tail_loss_probe;
            options.slow_start_after_idle = fresh.slow_start_after_idle;
            options.burst_segments = fresh.burst_segments;
            options.pacing = fresh.pacing;
            options.orphan_retries = fresh.orphan_retries;
            options.retries1 = fresh.retries1;
            options.retries2 = fresh.retries2;
            options.syn_ack_retries = fresh.syn_ack_retries;
            options.challenge_interval = fresh.challenge_interval;
            options.opening_errors = fresh.opening_errors;
            options.trusts_resets = fresh.trusts_resets;
            options.trusts_syns = fresh.trusts_syns;
            options.syn_fin = fresh.syn_fin;
            self.tell_options(fd);
        }
        if let Some((key, backup)) = self.sysctls.fastopen_key {
            self.host.tcp_set_fast_open_key(key, backup);
        }
    }

    /// `MSG_MORE` holds back until the next write or acknowledgment, as in Linux.
    pub(super) fn end_more(&mut self) {
        let held = |d: &Descriptor| match &d.file {
            File::Socket(socket) => socket.more && socket.acked_more < socket.last.bytes_acked,
            _ => false,
        };
        let fds = self
            .files
            .iter()
            .filter(|(_, d)| held(d))
            .map(|(fd, _)| *fd);
        let fds: Vec<i32> = fds.collect();
        for fd in fds {
            if let Ok(socket) = self.socket_mut(fd) {
                socket.more = false;
            }
            self.tell_options(fd);
            self.settle();
        }
    }

    /// Brings what waits in our TCP's listener to the socket, in order.
    fn collect_accepted(&mut self, fd: i32) {
        let Ok(socket) = self.socket_of(fd) else {
            return;
        };
        let Stage::Listening(handle) = socket.stage else {
            return;
        };
        // Those that were accepted here and not asked for count against the backlog there no more,
        // so only as many are brought as are given at once.
        if socket.waiting.is_empty()
            && let Some((new, _)) = self.host.tcp_accept(handle)
            && let Ok(socket) = self.socket_mut(fd)
        {
            socket.waiting.push_back(new);
        }
    }

    /// Whether a listener has a connection to give.
    pub(super) fn has_accepted(&self, socket: &Socket) -> bool {
        let Stage::Listening(handle) = socket.stage else {
            return false;
        };
        let mut listeners = self.host.tcp_listeners();
        let waits = listeners
            .find(|l| l.0 == handle)
            .is_some_and(|(_, _, _, waiting)| waiting > 0);
        waits || !socket.waiting.is_empty()
    }

    pub(super) fn accept(
        &mut self,
        fd: i32,
        flags: i32,
        peer: &mut Option<SocketAddr>,
        begun: Duration,
    ) -> Poll<Answer> {
        self.collect_accepted(fd);
        let nonblock = self.is_nonblocking(fd);
        let socket = match self.socket_mut(fd) {
            Ok(socket) => socket,
            Err(error) => return Poll::Ready(Err(error)),
        };
        if !socket.stream {
            return Poll::Ready(Err(Errno::EOPNOTSUPP));
        }
        if !matches!(socket.stage, Stage::Listening(_)) {
            return Poll::Ready(Err(Errno::EINVAL));
        }
        let Some(handle) = socket.waiting.pop_front() else {
            let limit = socket.settings.rcv_timeout;
            return if nonblock || self.is_late(begun, limit) {
                Poll::Ready(Err(Errno::EAGAIN))
            } else {
                Poll::Pending
            };
        };
        let (domain, mut settings) = (socket.domain, socket.settings.clone());
        settings.fast_open = 0;
        settings.defer_accept = 0;
        let mut new = Socket::new(domain, true, settings);
        new.stage = Stage::Tcp(handle);
        new.bound = self.host.tcp_local(handle);
        new.was_open = true;
        let now = self.instant();
        new.last = self.host.tcp_status(now, handle).unwrap_or_default();
        let six = new.speaks_six();
        let failed = self.host.tcp_take_error(handle);
        new.error = failed.and_then(|e| errno_of(e, State::Established, six));
        new.chrono.at = self.now;
        new.opened_at = self.now;
        new.syn_data = new.last.fast_open && new.last.bytes_received > 0;
        *peer = self.host.tcp_remote(handle).map(|a| to_program(domain, a));
        let file = File::Socket(Box::new(new));
        let (nonblock, cloexec) = (
            flags & libc::SOCK_NONBLOCK != 0,
            flags & libc::SOCK_CLOEXEC != 0,
        );
        let answer = self.add(file, nonblock, cloexec);
        if let Ok(fd) = answer {
            // It may send as much as Linux lets it, whatever the listener's own was.
            self.tell_options(i32::try_from(fd).unwrap_or(-1));
        }
        Poll::Ready(answer)
    }

    pub(super) fn connect(
        &mut self,
        fd: i32,
        to: Target,
        begun: Duration,
        step: &mut u8,
    ) -> Poll<Answer> {
        match self.begin_connect(fd, to, step) {
            Ok(Some(done)) => return Poll::Ready(Ok(done)),
            Ok(None) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
        let first = if *step == 2 {
            Errno::EINPROGRESS
        } else {
            Errno::EALREADY
        };
        self.await_connect(fd, begun, first)
    }

    /// The first part of connect: everything but waiting.
    fn begin_connect(&mut self, fd: i32, to: Target, step: &mut u8) -> Result<Option<i64>, Errno> {
        let mode = self.mode;
        let socket = self.socket_of(fd)?;
        if *step > 0 {
            return Ok(None);
        }
        *step = 1;
        let to = match to {
            Target::Null => return Err(Errno::EFAULT),
            Target::Unspec => {
                self.disconnect(fd);
                return Ok(Some(0));
            }
            Target::Addr(to) => to_wire(mode, socket.domain, to)?,
        };
        if to.is_ipv4() && socket.only_six() {
            return Err(Errno::ENETUNREACH);
        }
        if !socket.stream {
            let handle = self.udp_of(fd)?;
            self.host.udp_connect(handle, to).map_err(errno_of_send)?;
            return Ok(Some(0));
        }
        match socket.stage {
            Stage::Listening(_) => return Err(Errno::EISCONN),
            Stage::Deferred(_) => {
                return Err(if socket.connecting {
                    Errno::EINPROGRESS
                } else {
                    Errno::EISCONN
                });
            }
            Stage::Tcp(_) if socket.connecting => return Ok(None),
            Stage::Tcp(_) if socket.state() != State::Closed || socket.was_open => {
                return Err(Errno::EISCONN);
            }
            Stage::Tcp(_) => self.disconnect(fd),
            Stage::Fresh | Stage::Udp(_) => {}
        }
        let socket = self.socket_of(fd)?;
        if socket.settings.fast_open_connect && self.sysctls.fastopen & 1 != 0 {
            if self.knows_cookie(fd, to) {
                self.socket_mut(fd)?.stage = Stage::Deferred(to);
                return Ok(Some(0));
            }
            self.open_tcp(fd, to, true)?;
        } else {
            self.open_tcp(fd, to, false)?;
        }
        *step = 2;
        // The SYN leaves before anything is waited for.
        self.settle();
        Ok(None)
    }

    /// Whether data may go with a SYN to `to`.
    pub(super) fn knows_cookie(&self, fd: i32, to: SocketAddr) -> bool {
        let no_cookie = self.sysctls.fastopen & 4 != 0
            || self
                .socket_of(fd)
                .is_ok_and(|s| s.settings.fast_open_no_cookie);
        no_cookie || self.host.tcp_has_fast_open_cookie(self.instant(), to)
    }

    /// Begins a connection: a SYN is to leave.
    pub(super) fn open_tcp(&mut self, fd: i32, to: SocketAddr, fast: bool) -> Result<(), Errno> {
        let now = self.instant();
        let socket = self.socket_of(fd)?;
        let mut options = self.tcp_options(socket);
        options.fast_open = fast;
        options.fast_open_without_cookie =
            self.sysctls.fastopen & 4 != 0 || socket.settings.fast_open_no_cookie;
        let from = socket.bound;
        let handle =
            self.host
                .tcp_connect(now, to, from, options)
                .map_err(|error| match error {
                    ConnectError::NoRoute | ConnectError::BadPeer => Errno::ENETUNREACH,
                    ConnectError::Prohibited => Errno::EHOSTUNREACH,
                    ConnectError::NotAvailable | ConnectError::InUse | ConnectError::NoPort => {
                        Errno::EADDRNOTAVAIL
                    }
                    ConnectError::NeedsZone => Errno::EINVAL,
                    ConnectError::TooMany => Errno::ENOBUFS,
                })?;
        let local = self.host.tcp_local(handle);
        let status = self.host.tcp_status(now, handle).unwrap_or_default();
        let at = self.now;
        let socket = self.socket_mut(fd)?;
        socket.stage = Stage::Tcp(handle);
        socket.bound = local;
        socket.connecting = true;
        socket.was_open = false;
        socket.last = status;
        socket.chrono = Chrono {
            at,
            ..Chrono::default()
        };
        socket.written = 0;
        (socket.shut_read, socket.shut_write) = (false, false);
        socket.error = None;
        Ok(())
    }

    /// Waits for the handshake; `pending` is what a call that may not wait gets.
    pub(super) fn await_connect(
        &mut self,
        fd: i32,
        begun: Duration,
        pending: Errno,
    ) -> Poll<Answer> {
        let nonblock = self.is_nonblocking(fd);
        let socket = match self.socket_mut(fd) {
            Ok(socket) => socket,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let state = socket.state();
        if matches!(state, State::SynSent | State::SynReceived) {
            let limit = socket.settings.snd_timeout;
            if nonblock {
                return Poll::Ready(Err(pending));
            }
            return if self.is_late(begun, limit) {
                Poll::Ready(Err(Errno::EINPROGRESS))
            } else {
                Poll::Pending
            };
        }
        socket.connecting = false;
        if state == State::Closed && !socket.was_open {
            let error = socket.error.take().unwrap_or(Errno::ECONNABORTED);
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(0))
    }

    /// Lets go of a connection, and keeps the socket.
    fn disconnect(&mut self, fd: i32) {
        let now = self.instant();
        let Ok(socket) = self.socket_mut(fd) else {
            return;
        };
        let stage = core::mem::replace(&mut socket.stage, Stage::Fresh);
        socket.connecting = false;
        socket.was_open = false;
        socket.error = None;
        socket.last = Status::default();
        match stage {
            Stage::Tcp(handle) => self.host.tcp_abort(now, handle),
            Stage::Listening(handle) => self.host.tcp_stop_listening(now, handle),
            Stage::Udp(_) => {
                if let Ok(socket) = self.socket_mut(fd) {
                    socket.stage = stage;
                }
            }
            _ => {}
        }
    }

    pub(super) fn shutdown(&mut self, fd: i32, how: i32) -> Answer {
        let now = self.instant();
        let socket = self.socket_mut(fd)?;
        let (read, write) = match how {
            libc::SHUT_RD => (true, false),
            libc::SHUT_WR => (false, true),
            libc::SHUT_RDWR => (true, true),
            _ => return Err(Errno::EINVAL),
        };
        let handle = match socket.stage {
            Stage::Tcp(handle) => handle,
            Stage::Listening(handle) => {
                if read {
                    socket.stage = Stage::Fresh;
                    self.host.tcp_stop_listening(now, handle);
                }
                return Ok(0);
            }
            _ => return Err(Errno::ENOTCONN),
        };
        if socket.state() == State::Closed {
            return Err(Errno::ENOTCONN);
        }
        if socket.state() == State::SynSent {
            socket.connecting = false;
            self.disconnect(fd);
            return Ok(0);
        }
        socket.shut_read |= read;
        // FreeBSD resets only once the user has let go.
        if read && self.sysctls.profile == Profile::Linux {
            self.host.tcp_shutdown_read(handle);
        }
        let socket = self.socket_mut(fd)?;
        if write && !socket.shut_write {
            socket.shut_write = true;
            self.host.tcp_shutdown(now, handle);
        }
        let socket = self.socket_mut(fd)?;
        socket.wakes.input += 1;
        socket.wakes.output += 1;
        Ok(0)
    }

    /// Closes; where the program lingers, waits for the peer to have everything.
    pub(super) fn close(&mut self, fd: i32, begun: Duration, step: &mut u8) -> Poll<Answer> {
        let now = self.instant();
        let Some(descriptor) = self.files.get_mut(&fd) else {
            return Poll::Ready(Err(Errno::EBADF));
        };
        let File::Socket(socket) = &mut descriptor.file else {
            let gone = self.files.remove(&fd);
            self.close_pipe(gone);
            return Poll::Ready(Ok(0));
        };
        let stage = socket.stage.clone();
        let linger = socket.settings.linger.filter(|secs| *secs > 0);
        if let (Some(secs), Stage::Tcp(handle), 0) = (linger, &stage, *step) {
            *step = 1;
            self.host.tcp_close(now, *handle);
            self.settle();
            let limit = Duration::from_secs(u64::try_from(secs).unwrap_or(0));
            return self.linger(fd, *handle, begun, limit);
        }
        if let (Some(secs), Stage::Tcp(handle), 1) = (linger, &stage, *step)
            && self.host.tcp_state(*handle).is_some()
        {
            let limit = Duration::from_secs(u64::try_from(secs).unwrap_or(0));
            return self.linger(fd, *handle, begun, limit);
        }
        let waiting = core::mem::take(&mut socket.waiting);
        for handle in waiting {
            self.host.tcp_abort(now, handle);
        }
        match stage {
            Stage::Tcp(handle) => self.host.tcp_close(now, handle),
            Stage::Listening(handle) => self.host.tcp_stop_listening(now, handle),
            Stage::Udp(handle) => self.host.udp_close(now, handle),
            Stage::Fresh | Stage::Deferred(_) => {}
        }
        self.files.remove(&fd);
        self.forget_watched(fd);
        Poll::Ready(Ok(0))
    }

    fn linger(
        &mut self,
        fd: i32,
        handle: TcpHandle,
        begun: Duration,
        limit: Duration,
    ) -> Poll<Answer> {
        let closing = matches!(
            self.host.tcp_state(handle),
            Some(State::FinWait1 | State::Closing | State::LastAck)
        );
        if closing && !self.is_nonblocking(fd) && !self.is_late(begun, Some(limit)) {
            return Poll::Pending;
        }
        self.files.remove(&fd);
        self.forget_watched(fd);
        Poll::Ready(Ok(0))
    }

    pub(super) fn name_of(&self, fd: i32, out: &mut Option<SocketAddr>, peer: bool) -> Answer {
        let socket = self.socket_of(fd)?;
        let addr = match (&socket.stage, peer) {
            (Stage::Tcp(handle), true) if socket.state() != State::Closed => {
                self.host.tcp_remote(*handle)
            }
            (Stage::Udp(handle), true) => self.host.udp(*handle).and_then(|u| u.remote),
            (_, true) => None,
            (_, false) => Some(
                socket
                    .bound
                    .unwrap_or_else(|| SocketAddr::new(any(self.mode, socket.domain), 0)),
            ),
        };
        *out = Some(to_program(socket.domain, addr.ok_or(Errno::ENOTCONN)?));
        Ok(0)
    }

    /// Looks at what has become of all sockets, and notes whom it wakes.
    pub(super) fn update_sockets(&mut self) {
        let (now, at) = (self.instant(), self.now);
        let Self {
            files, host, epoch, ..
        } = self;
        for descriptor in files.values_mut() {
            let Descriptor {
                file: File::Socket(socket),
                ..
            } = descriptor
            else {
                continue;
            };
            match socket.stage {
                Stage::Tcp(handle) => {
                    let Some(status) = host.tcp_status(now, handle) else {
                        continue;
                    };
                    let failed = host.tcp_take_error(handle);
                    socket.on_status(at, *epoch + at, status, failed);
                }
                Stage::Listening(handle) => {
                    let mut listeners = host.tcp_listeners();
                    let waiting = listeners.find(|l| l.0 == handle).map_or(0, |l| l.3);
                    let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
                    // `unread` of a listener is how many wait.
                    if waiting > socket.last.unread {
                        socket.wakes.input += 1;
                    }
                    socket.last.unread = waiting;
                }
                Stage::Udp(handle) => {
                    let received = host.udp(handle).map_or(0, |u| u.stats.received);
                    if received != socket.last.bytes_received {
                        socket.wakes.input += 1;
                        socket.last.bytes_received = received;
                    }
                }
                _ => {}
            }
        }
    }
}

/// Where to listen for a bound address: one of `AF_INET6` at any address hears both families, unless it
/// is for IPv6 alone.
fn listened(domain: i32, bound: SocketAddr) -> SocketAddr {
    match domain == libc::AF_INET6 && bound.ip().is_unspecified() {
        true => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), bound.port()),
        false => bound,
    }
}

/// What was asked for of a path's MTU, if anything was.
fn path_mtu(settings: &Settings) -> Option<PathMtu> {
    let mut kept = settings.kept.iter();
    let asked = kept.find(|k| {
        matches!(
            (k.0, k.1),
            (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER)
                | (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER)
        )
    })?;
    match asked.2 {
        libc::IPV6_PMTUDISC_DONT => Some(PathMtu::Off),
        libc::IPV6_PMTUDISC_WANT => Some(PathMtu::Want),
        libc::IPV6_PMTUDISC_DO => Some(PathMtu::Require),
        libc::IPV6_PMTUDISC_PROBE => Some(PathMtu::Probe),
        _ => None,
    }
}
