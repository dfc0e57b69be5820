//! Socket options: what may be set and read back, with Linux's bounds and errors.

use super::errqueue;
use super::settings::Settings;
use super::socket::{Socket, Stage};
use super::{Answer, Errno, OptVal, Process, Profile};
use libc::{IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, SOL_SOCKET};
use stack::time::Duration;
use stack::transport::tcp::{Algorithm, State};

// Names that the libc crate has not, or not everywhere.
const TCP_NOTSENT_LOWAT: i32 = 25;
const TCP_CC_INFO: i32 = 26;
const TCP_FASTOPEN_CONNECT: i32 = 30;
const TCP_FASTOPEN_KEY: i32 = 33;
const TCP_FASTOPEN_NO_COOKIE: i32 = 34;
const TCP_INQ: i32 = 36;
const TCP_TX_DELAY: i32 = 37;
pub(crate) const TCP_RTO_MAX_MS: i32 = 44;
const SO_MAX_PACING_RATE: i32 = 47;
const SO_MEMINFO: i32 = 55;
pub(super) const SO_ZEROCOPY: i32 = 60;
const SO_TIMESTAMPING_NEW: i32 = 65;
const SO_RCVTIMEO_NEW: i32 = 66;
const SO_SNDTIMEO_NEW: i32 = 67;

/// The device that scripts run over, as packetdrill names it.
const DEVICE: &[u8] = b"tun0";

/// Linux's least buffers.
const MIN_SNDBUF: u32 = 4608;
const MIN_RCVBUF: u32 = 2304;

/// Numbers that are kept, and mean nothing to us.
const KEPT: &[(i32, i32)] = &[
    (SOL_SOCKET, libc::SO_DEBUG),
    (SOL_SOCKET, libc::SO_BROADCAST),
    (SOL_SOCKET, libc::SO_DONTROUTE),
    (SOL_SOCKET, libc::SO_PRIORITY),
    (SOL_SOCKET, libc::SO_MARK),
    (SOL_SOCKET, libc::SO_TIMESTAMP),
    (SOL_SOCKET, libc::SO_TIMESTAMPNS),
    (SOL_SOCKET, libc::SO_BUSY_POLL),
    (SOL_SOCKET, libc::SO_INCOMING_CPU),
    (SOL_SOCKET, libc::SO_NO_CHECK),
    (SOL_SOCKET, libc::SO_RXQ_OVFL),
    (SOL_SOCKET, libc::SO_LOCK_FILTER),
    (IPPROTO_IP, libc::IP_PKTINFO),
    (IPPROTO_IP, libc::IP_RECVTOS),
    (IPPROTO_IP, libc::IP_RECVTTL),
    (IPPROTO_IP, libc::IP_MTU_DISCOVER),
    (IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT),
    (IPPROTO_IP, libc::IP_TRANSPARENT),
    (IPPROTO_IPV6, libc::IPV6_V6ONLY),
    (IPPROTO_IPV6, libc::IPV6_RECVTCLASS),
    (IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    (IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
    (IPPROTO_TCP, libc::TCP_THIN_LINEAR_TIMEOUTS),
    (IPPROTO_TCP, libc::TCP_THIN_DUPACK),
    (IPPROTO_TCP, libc::TCP_SAVE_SYN),
    (IPPROTO_TCP, libc::TCP_REPAIR),
    (IPPROTO_TCP, TCP_TX_DELAY),
    (SOL_SOCKET, SO_NOSIGPIPE),
];

const IP_FREEBIND: i32 = 15;

/// FreeBSD's that Linux has none of: numbers of our own, for scripts.
pub(crate) const TCP_KEEPINIT: i32 = 0x1_0001;
pub(crate) const TCP_NOOPT: i32 = 0x1_0002;
pub(crate) const SO_NOSIGPIPE: i32 = 0x1_0003;

/// What `SO_MEMINFO` tells.
fn memory_of(socket: &Socket) -> [u32; 9] {
    let (queued, settings) = (socket.queued(), &socket.settings);
    let rcvbuf = settings.rcvbuf.max(socket.last.recv_limit);
    let unread = socket.last.unread;
    [unread, rcvbuf, queued, settings.sndbuf, 0, queued, 0, 0, 0]
}

impl Process {
    /// What `SO_MEMINFO` tells of a socket.
    #[must_use]
    pub fn memory_info(&self, fd: i32) -> Option<[u32; 9]> {
        Some(memory_of(self.socket_of(fd).ok()?))
    }

    pub(super) fn setsockopt(
        &mut self,
        fd: i32,
        level: i32,
        name: i32,
        value: Option<&OptVal>,
    ) -> Answer {
        self.socket_of(fd)?;
        let value = value.ok_or(Errno::EFAULT)?;
        if level == IPPROTO_TCP && !self.socket_of(fd)?.stream {
            return Err(Errno::ENOPROTOOPT);
        }
        match level {
            SOL_SOCKET => self.set_socket(fd, name, value)?,
            IPPROTO_TCP => self.set_tcp(fd, name, value)?,
            IPPROTO_IP | IPPROTO_IPV6 => self.set_ip(fd, level, name, value)?,
            _ => return Err(Errno::ENOPROTOOPT),
        }
        self.tell_options(fd);
        Ok(0)
    }

    fn set_socket(&mut self, fd: i32, name: i32, value: &OptVal) -> Result<(), Errno> {
        let [rmem_max, wmem_max] = self.sysctls.core_max;
        let rounds = self.sysctls.profile == Profile::FreeBsd;
        let socket = self.socket_mut(fd)?;
        let stream = socket.stream;
        let settings = &mut socket.settings;
        if name == libc::SO_LINGER {
            let [on, secs] = pair(value)?;
            settings.linger = (on != 0).then_some(secs.max(0));
            return Ok(());
        }
        if matches!(
            name,
            libc::SO_RCVTIMEO | libc::SO_SNDTIMEO | SO_RCVTIMEO_NEW | SO_SNDTIMEO_NEW
        ) {
            let limit = timeval(value)?;
            match name {
                libc::SO_RCVTIMEO | SO_RCVTIMEO_NEW => settings.rcv_timeout = limit,
                _ => settings.snd_timeout = limit,
            }
            return Ok(());
        }
        if name == libc::SO_BINDTODEVICE {
            let device = value.0.split(|byte| *byte == 0).next().unwrap_or_default();
            return match device.is_empty() || device == DEVICE {
                true => Ok(()),
                false => Err(Errno::ENODEV),
            };
        }
        if value.0.len() < 4 {
            return Err(Errno::EINVAL);
        }
        let n = value.int().ok_or(Errno::EINVAL)?;
        let on = n != 0;
        let size = u32::try_from(n).unwrap_or(u32::MAX / 2);
        match name {
            libc::SO_REUSEADDR => settings.reuse_addr = on,
            libc::SO_REUSEPORT => settings.reuse_port = on,
            libc::SO_KEEPALIVE => settings.keepalive_on = on,
            libc::SO_OOBINLINE => settings.oob_inline = on,
            libc::SO_SNDBUF | libc::SO_SNDBUFFORCE => {
                let most = if name == libc::SO_SNDBUF {
                    wmem_max
                } else {
                    u32::MAX / 2
                };
                settings.sndbuf = size.min(most).saturating_mul(2).max(MIN_SNDBUF);
                settings.sndbuf_locked = true;
            }
            libc::SO_RCVBUF | libc::SO_RCVBUFFORCE => {
                let most = if name == libc::SO_RCVBUF {
                    rmem_max
                } else {
                    u32::MAX / 2
                };
                settings.rcvbuf = match rounds {
                    true => size.min(most),
                    false => size.min(most).saturating_mul(2).max(MIN_RCVBUF),
                };
                settings.rcvbuf_locked = true;
            }
            libc::SO_RCVLOWAT => {
                let n = if n < 0 { i32::MAX } else { n };
                settings.rcvlowat = n.max(1);
                socket.wakes.input += 1;
            }
            libc::SO_SNDLOWAT
            | libc::SO_TYPE
            | libc::SO_PROTOCOL
            | libc::SO_DOMAIN
            | libc::SO_ERROR
            | libc::SO_ACCEPTCONN => return Err(Errno::ENOPROTOOPT),
            SO_ZEROCOPY if !(0..=1).contains(&n) => return Err(Errno::EINVAL),
            SO_ZEROCOPY if !stream => return Err(Errno::EOPNOTSUPP),
            SO_ZEROCOPY => settings.zerocopy = on,
            libc::SO_TIMESTAMPING | SO_TIMESTAMPING_NEW => {
                let flags = n.cast_unsigned();
                let id = flags & errqueue::OPT_ID != 0 && stream;
                if id && matches!(socket.state(), State::Closed | State::Listen) {
                    return Err(Errno::EINVAL);
                }
                socket.begin_stamps(flags);
            }
            SO_MAX_PACING_RATE => {
                settings.max_pacing_rate = match (value.0.len(), n) {
                    (..8, -1) => u64::MAX,
                    (..8, n) => u64::from(n.cast_unsigned()),
                    _ => long(value),
                };
            }
            _ => keep(settings, SOL_SOCKET, name, n)?,
        }
        Ok(())
    }

    fn set_tcp(&mut self, fd: i32, name: i32, value: &OptVal) -> Result<(), Errno> {
        if name == libc::TCP_CONGESTION {
            let text: Vec<u8> = value.0.iter().copied().take_while(|b| *b != 0).collect();
            let text = core::str::from_utf8(&text).map_err(|_| Errno::ENOENT)?;
            let algorithm = Algorithm::by_name(text).ok_or(Errno::ENOENT)?;
            self.socket_mut(fd)?.settings.options.congestion = algorithm;
            return Ok(());
        }
        if name == TCP_FASTOPEN_KEY {
            let key = value.0.get(..16).ok_or(Errno::EINVAL)?;
            if value.0.len() != 16 && value.0.len() != 32 {
                return Err(Errno::EINVAL);
            }
            let key: [u8; 16] = key.try_into().map_err(|_| Errno::EINVAL)?;
            let backup = value.0.get(16..).and_then(|b| b.try_into().ok());
            self.socket_mut(fd)?.settings.fast_open_key = Some((key, backup));
            return Ok(());
        }
        if value.0.len() < 4 {
            return Err(Errno::EINVAL);
        }
        let n = value.int().ok_or(Errno::EINVAL)?;
        let on = n != 0;
        let fastopen = self.sysctls.fastopen;
        let limits = self.sysctls.settings();
        let socket = self.socket_mut(fd)?;
        let state = socket.state();
        let closed = matches!(state, State::Closed | State::Listen);
        let settings = &mut socket.settings;
        let secs = |most: i32| match n {
            1.. if n <= most => Ok(Duration::from_secs(n.unsigned_abs().into())),
            _ => Err(Errno::EINVAL),
        };
        match name {
            libc::TCP_NODELAY => {
                settings.nodelay = on;
                socket.more = false;
                // It pushes what is corked, once.
                if on && core::mem::take(&mut settings.cork) {
                    self.tell_options(fd);
                    self.settle();
                    self.socket_mut(fd)?.settings.cork = true;
                }
            }
            libc::TCP_CORK => settings.cork = on,
            libc::TCP_MAXSEG => {
                // Zero: as the path says.
                if n != 0 && !(88..=32_767).contains(&n) {
                    return Err(Errno::EINVAL);
                }
                settings.options.mss = u16::try_from(n).ok().filter(|n| *n > 0);
            }
            libc::TCP_KEEPIDLE => settings.keepalive.idle = secs(32_767)?,
            libc::TCP_KEEPINTVL => settings.keepalive.interval = secs(32_767)?,
            libc::TCP_KEEPCNT => {
                if !(1..=127).contains(&n) {
                    return Err(Errno::EINVAL);
                }
                settings.keepalive.probes = u8::try_from(n).unwrap_or(127);
            }
            TCP_KEEPINIT => settings.options.open_timeout = Some(secs(32_767)?),
            TCP_NOOPT => settings.options.bare_syns = on,
            libc::TCP_SYNCNT => {
                if !(1..=127).contains(&n) {
                    return Err(Errno::EINVAL);
                }
                settings.options.syn_retries = u8::try_from(n).unwrap_or(127);
            }
            libc::TCP_LINGER2 => settings.linger2 = n.clamp(-1, 120),
            libc::TCP_WINDOW_CLAMP if n == 0 && state != State::Closed => {
                return Err(Errno::EINVAL);
            }
            libc::TCP_WINDOW_CLAMP => {
                settings.options.window_clamp = match u32::try_from(n) {
                    Ok(0) | Err(_) => u32::MAX,
                    Ok(n) => n.max(MIN_RCVBUF / 2),
                };
            }
            // Only while a connection is repaired.
            libc::TCP_TIMESTAMP => return Err(Errno::EPERM),
            libc::TCP_DEFER_ACCEPT => settings.defer_accept = n.max(0),
            libc::TCP_QUICKACK => {
                settings.quickack = on;
                let Stage::Tcp(handle) = socket.stage else {
                    return Ok(());
                };
                let now = self.instant();
                self.host.tcp_set_quick_ack(now, handle, on);
            }
            libc::TCP_USER_TIMEOUT => {
                let millis = u64::try_from(n).map_err(|_| Errno::EINVAL)?;
                settings.options.user_timeout = (n > 0).then(|| Duration::from_millis(millis));
            }
            TCP_RTO_MAX_MS => {
                let most = u64::try_from(n)
                    .ok()
                    .filter(|n| (1000..=120_000).contains(n));
                settings.options.rto_max = Duration::from_millis(most.ok_or(Errno::EINVAL)?);
            }
            libc::TCP_FASTOPEN => {
                if n < 0 || !closed {
                    return Err(Errno::EINVAL);
                }
                settings.fast_open = n;
            }
            TCP_FASTOPEN_CONNECT => {
                if !(0..=1).contains(&n) {
                    return Err(Errno::EINVAL);
                }
                if fastopen & 1 == 0 {
                    return Err(Errno::EOPNOTSUPP);
                }
                if state != State::Closed {
                    return Err(Errno::EINVAL);
                }
                settings.fast_open_connect = on;
            }
            TCP_FASTOPEN_NO_COOKIE => {
                if !(0..=1).contains(&n) || !closed {
                    return Err(Errno::EINVAL);
                }
                settings.fast_open_no_cookie = on;
            }
            TCP_NOTSENT_LOWAT => {
                settings.notsent_lowat = match n {
                    0 => limits.notsent_lowat,
                    n => n.cast_unsigned(),
                };
                settings.notsent_lowat_asked = n;
            }
            TCP_INQ => {
                if !(0..=1).contains(&n) {
                    return Err(Errno::EINVAL);
                }
                settings.inq = on;
            }
            libc::TCP_INFO | TCP_CC_INFO => return Err(Errno::ENOPROTOOPT),
            _ => keep(settings, IPPROTO_TCP, name, n)?,
        }
        Ok(())
    }

    fn set_ip(&mut self, fd: i32, level: i32, name: i32, value: &OptVal) -> Result<(), Errno> {
        let n = value.int().ok_or(Errno::EINVAL)?;
        let socket = self.socket_mut(fd)?;
        let (inet6, bound) = (socket.domain == libc::AF_INET6, socket.bound.is_some());
        let settings = &mut socket.settings;
        let byte = u8::try_from(n).map_err(|_| Errno::EINVAL);
        match (level, name) {
            (IPPROTO_IPV6, _) if !inet6 => return Err(Errno::ENOPROTOOPT),
            (IPPROTO_IPV6, libc::IPV6_V6ONLY) if bound => return Err(Errno::EINVAL),
            // RFC 3542 §6.5: the default again.
            (IPPROTO_IPV6, libc::IPV6_TCLASS) if n == -1 => settings.options.tos = 0,
            (IPPROTO_IP, libc::IP_TOS) | (IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                settings.options.tos = byte? & !3;
            }
            (IPPROTO_IP, libc::IP_TTL) | (IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS) => {
                settings.options.ttl = match n {
                    -1 => 0,
                    _ => byte?.max(1),
                };
            }
            (IPPROTO_IP, libc::IP_RECVERR) | (IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                settings.recverr = n != 0;
            }
            (IPPROTO_IP, IP_FREEBIND) => settings.freebind = n != 0,
            _ => keep(settings, level, name, n)?,
        }
        Ok(())
    }

    pub(super) fn getsockopt(
        &mut self,
        fd: i32,
        level: i32,
        name: i32,
        len: usize,
        value: &mut OptVal,
    ) -> Answer {
        self.socket_of(fd)?;
        let mut bytes = match level {
            SOL_SOCKET => self.get_socket(fd, name)?,
            IPPROTO_TCP if self.socket_of(fd)?.stream => self.get_tcp(fd, name)?,
            IPPROTO_IP | IPPROTO_IPV6 => self.get_ip(fd, level, name)?,
            _ => return Err(Errno::ENOPROTOOPT),
        };
        bytes.truncate(len);
        value.0 = bytes;
        Ok(0)
    }

    fn get_socket(&mut self, fd: i32, name: i32) -> Result<Vec<u8>, Errno> {
        let rounds = self.sysctls.profile == Profile::FreeBsd;
        let socket = self.socket_mut(fd)?;
        let settings = &socket.settings;
        let number = match name {
            libc::SO_LINGER => {
                let (on, secs) = (settings.linger.is_some(), settings.linger.unwrap_or(0));
                return Ok(OptVal::linger(i32::from(on), secs).0);
            }
            libc::SO_RCVTIMEO | SO_RCVTIMEO_NEW => return Ok(time_of(settings.rcv_timeout)),
            libc::SO_SNDTIMEO | SO_SNDTIMEO_NEW => return Ok(time_of(settings.snd_timeout)),
            SO_MEMINFO => {
                let all = memory_of(socket);
                return Ok(all.into_iter().flat_map(u32::to_ne_bytes).collect());
            }
            SO_MAX_PACING_RATE => return Ok(settings.max_pacing_rate.to_ne_bytes().to_vec()),
            libc::SO_ERROR => socket.error.take().map_or(0, |e| e.0),
            libc::SO_TYPE if socket.stream => libc::SOCK_STREAM,
            libc::SO_TYPE => libc::SOCK_DGRAM,
            libc::SO_PROTOCOL if socket.stream => IPPROTO_TCP,
            libc::SO_PROTOCOL => libc::IPPROTO_UDP,
            libc::SO_DOMAIN => socket.domain,
            libc::SO_ACCEPTCONN => i32::from(matches!(socket.stage, Stage::Listening(_))),
            libc::SO_REUSEADDR => i32::from(settings.reuse_addr),
            libc::SO_REUSEPORT => i32::from(settings.reuse_port),
            libc::SO_KEEPALIVE => i32::from(settings.keepalive_on),
            libc::SO_OOBINLINE => i32::from(settings.oob_inline),
            libc::SO_SNDBUF => int(settings.sndbuf),
            // An open connection's is so many whole segments there.
            libc::SO_RCVBUF if rounds && socket.has_heard() => {
                let stamps = if socket.last.timestamps { 12 } else { 0 };
                let mss = u32::from(socket.last.snd_mss).max(1) + stamps;
                int(settings.rcvbuf.next_multiple_of(mss))
            }
            libc::SO_RCVBUF => int(settings.rcvbuf),
            libc::SO_RCVLOWAT => settings.rcvlowat,
            libc::SO_SNDLOWAT => 1,
            SO_ZEROCOPY => i32::from(settings.zerocopy),
            libc::SO_TIMESTAMPING | SO_TIMESTAMPING_NEW => settings.timestamping.cast_signed(),
            _ => kept(settings, SOL_SOCKET, name)?,
        };
        Ok(number.to_ne_bytes().to_vec())
    }

    fn get_tcp(&self, fd: i32, name: i32) -> Result<Vec<u8>, Errno> {
        let socket = self.socket_of(fd)?;
        let settings = &socket.settings;
        let state = socket.state();
        let secs = |d: Duration| i32::try_from(d.as_secs()).unwrap_or(i32::MAX);
        let number = match name {
            libc::TCP_INFO => {
                let info = self.info_of(socket).unwrap_or_default();
                return Ok(info.to_bytes());
            }
            // What BBR tells and the others have none of.
            TCP_CC_INFO => return Ok(self.cc_info(socket)),
            libc::TCP_CONGESTION => {
                let mut name = settings.options.congestion.name().as_bytes().to_vec();
                name.resize(16, 0);
                return Ok(name);
            }
            TCP_FASTOPEN_KEY => {
                let own = self.socket_of(fd)?.settings.fast_open_key;
                let (key, backup) = own.or(self.sysctls.fastopen_key).unwrap_or_default();
                return Ok([Some(key), backup]
                    .into_iter()
                    .flatten()
                    .flatten()
                    .collect());
            }
            libc::TCP_NODELAY => i32::from(settings.nodelay),
            libc::TCP_CORK => i32::from(settings.cork),
            libc::TCP_MAXSEG => match (state, settings.options.mss) {
                (State::Closed | State::Listen, Some(mss)) => i32::from(mss),
                (State::Closed | State::Listen, None) => 536,
                _ => i32::from(socket.last.snd_mss),
            },
            libc::TCP_KEEPIDLE => secs(settings.keepalive.idle),
            libc::TCP_KEEPINTVL => secs(settings.keepalive.interval),
            libc::TCP_KEEPCNT => i32::from(settings.keepalive.probes),
            TCP_KEEPINIT => settings.options.open_timeout.map_or(0, secs),
            TCP_NOOPT => i32::from(settings.options.bare_syns),
            libc::TCP_SYNCNT => i32::from(settings.options.syn_retries),
            libc::TCP_WINDOW_CLAMP => i32::try_from(settings.options.window_clamp).unwrap_or(0),
            libc::TCP_LINGER2 => match settings.linger2 {
                0 => secs(settings.options.fin_wait_2),
                n => n,
            },
            libc::TCP_DEFER_ACCEPT => settings.defer_accept,
            libc::TCP_QUICKACK => i32::from(settings.quickack),
            libc::TCP_USER_TIMEOUT => settings
                .options
                .user_timeout
                .map_or(0, |d| i32::try_from(d.as_millis()).unwrap_or(i32::MAX)),
            TCP_RTO_MAX_MS => {
                i32::try_from(settings.options.rto_max.as_millis()).unwrap_or(i32::MAX)
            }
            libc::TCP_FASTOPEN => settings.fast_open,
            TCP_FASTOPEN_CONNECT => i32::from(settings.fast_open_connect),
            TCP_FASTOPEN_NO_COOKIE => i32::from(settings.fast_open_no_cookie),
            TCP_NOTSENT_LOWAT => settings.notsent_lowat_asked,
            TCP_INQ => i32::from(settings.inq),
            _ => kept(settings, IPPROTO_TCP, name)?,
        };
        Ok(number.to_ne_bytes().to_vec())
    }

    fn get_ip(&self, fd: i32, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        let socket = self.socket_of(fd)?;
        let settings = &socket.settings;
        let number = match (level, name) {
            (IPPROTO_IP, libc::IP_TOS) | (IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                i32::from(settings.options.tos)
            }
            (IPPROTO_IP, libc::IP_TTL) | (IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS) => {
                match settings.options.ttl {
                    0 => 64,
                    ttl => i32::from(ttl),
                }
            }
            (IPPROTO_IP, libc::IP_RECVERR) | (IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                i32::from(settings.recverr)
            }
            (IPPROTO_IP, IP_FREEBIND) => i32::from(settings.freebind),
            (IPPROTO_IP, libc::IP_MTU) | (IPPROTO_IPV6, libc::IPV6_MTU) => {
                if socket.state() == State::Closed {
                    return Err(Errno::ENOTCONN);
                }
                i32::from(socket.last.pmtu)
            }
            _ => kept(settings, level, name)?,
        };
        Ok(number.to_ne_bytes().to_vec())
    }
}

/// Whether an option that is kept would change what Linux does, where it is set to this.
pub(crate) fn is_unhonoured(level: i32, name: i32, value: &OptVal, connected: bool) -> bool {
    let n = value.int().unwrap_or(0);
    match (level, name) {
        // What a connection began with stays.
        (IPPROTO_TCP, TCP_RTO_MAX_MS) => connected,
        // Nothing that ICMP says of a connection is queued for its program, or told at once.
        (IPPROTO_IP, libc::IP_RECVERR) | (IPPROTO_IPV6, libc::IPV6_RECVERR) => n != 0,
        (
            SOL_SOCKET,
            libc::SO_DONTROUTE
            | libc::SO_TIMESTAMP
            | libc::SO_TIMESTAMPNS
            | libc::SO_NO_CHECK
            | libc::SO_RXQ_OVFL,
        )
        | (IPPROTO_IP, libc::IP_PKTINFO | libc::IP_RECVTOS | libc::IP_RECVTTL)
        | (IPPROTO_IPV6, libc::IPV6_RECVTCLASS | libc::IPV6_RECVPKTINFO)
        | (IPPROTO_TCP, libc::TCP_THIN_LINEAR_TIMEOUTS | libc::TCP_REPAIR | TCP_TX_DELAY) => n != 0,
        // `DO` is for TCP what `WANT` is, and `DONT` is told from them by DF alone, which no script
        // compares; the others look away from the path's MTU.
        (IPPROTO_IP, libc::IP_MTU_DISCOVER) => n > libc::IP_PMTUDISC_DO,
        (IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER) => n > libc::IPV6_PMTUDISC_DO,
        _ => false,
    }
}

fn is_known(level: i32, name: i32) -> Result<(), Errno> {
    match KEPT.contains(&(level, name)) {
        true => Ok(()),
        false => Err(Errno::ENOPROTOOPT),
    }
}

fn keep(settings: &mut Settings, level: i32, name: i32, value: i32) -> Result<(), Errno> {
    is_known(level, name)?;
    settings.kept.retain(|k| (k.0, k.1) != (level, name));
    settings.kept.push((level, name, value));
    Ok(())
}

fn kept(settings: &Settings, level: i32, name: i32) -> Result<i32, Errno> {
    is_known(level, name)?;
    let found = settings.kept.iter().find(|k| (k.0, k.1) == (level, name));
    Ok(found.map_or(0, |k| k.2))
}

fn int(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// Two numbers, as `struct linger` has.
fn pair(value: &OptVal) -> Result<[i32; 2], Errno> {
    let [a, b, c, d, e, f, g, h] = *value.0.first_chunk::<8>().ok_or(Errno::EINVAL)?;
    Ok([[a, b, c, d], [e, f, g, h]].map(i32::from_ne_bytes))
}

fn long(value: &OptVal) -> u64 {
    value
        .0
        .first_chunk::<8>()
        .map_or(0, |b| u64::from_ne_bytes(*b))
}

/// A limit of time; zero is none.
fn timeval(value: &OptVal) -> Result<Option<Duration>, Errno> {
    let (secs, rest) = value.0.split_first_chunk::<8>().ok_or(Errno::EINVAL)?;
    let micros = rest.first_chunk::<8>().ok_or(Errno::EINVAL)?;
    let (secs, micros) = (i64::from_ne_bytes(*secs), i64::from_ne_bytes(*micros));
    let micros = u32::try_from(micros).ok().filter(|n| *n < 1_000_000);
    let micros = micros.ok_or(Errno::EDOM)?;
    let Ok(secs) = u64::try_from(secs) else {
        // Negative: no time at all, which is as short as can be told.
        return Ok(Some(Duration::ZERO));
    };
    let limit = Duration::new(secs, micros * 1000);
    Ok((!limit.is_zero()).then_some(limit))
}

fn time_of(limit: Option<Duration>) -> Vec<u8> {
    let limit = limit.unwrap_or_default();
    let secs = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
    OptVal::time(secs, i64::from(limit.subsec_micros())).0
}
