//! What `setsockopt` has said of a socket.

use super::Profile;
use stack::time::Duration;
use stack::transport::tcp::Options;
use stack::transport::tcp::options::KeepAlive;

/// A Fast Open key, and the one before.
pub(super) type Keys = ([u8; 16], Option<[u8; 16]>);

/// What `setsockopt` has said.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Whose errors a call fails with.
    pub(super) profile: Profile,
    pub(super) options: Options,
    pub(super) keepalive: KeepAlive,
    pub(super) keepalive_on: bool,
    /// As Linux counts them: twice what was asked for.
    pub(super) rcvbuf: u32,
    pub(super) sndbuf: u32,
    /// As far as it grows by itself.
    pub(super) sndbuf_max: u32,
    pub(super) rcvbuf_locked: bool,
    pub(super) sndbuf_locked: bool,
    pub(super) rcv_timeout: Option<Duration>,
    pub(super) snd_timeout: Option<Duration>,
    pub(super) rcvlowat: i32,
    pub(super) notsent_lowat: u32,
    /// The same as it was asked for; 0: what is so without asking.
    pub(super) notsent_lowat_asked: i32,
    pub(super) linger: Option<i32>,
    pub(super) reuse_addr: bool,
    pub(super) reuse_port: bool,
    pub(super) freebind: bool,
    pub(super) nodelay: bool,
    pub(super) cork: bool,
    pub(super) quickack: bool,
    /// `TCP_FASTOPEN` on a listener: how many may wait.
    pub(super) fast_open: i32,
    /// `TCP_FASTOPEN_KEY`.
    pub(super) fast_open_key: Option<Keys>,
    pub(super) fast_open_connect: bool,
    pub(super) fast_open_no_cookie: bool,
    pub(super) defer_accept: i32,
    pub(super) linger2: i32,
    pub(super) zerocopy: bool,
    pub(super) inq: bool,
    pub(super) recverr: bool,
    pub(super) timestamping: u32,
    pub(super) max_pacing_rate: u64,
    pub(super) oob_inline: bool,
    /// Options that are kept and read back, and change nothing: by level and name.
    pub(super) kept: Vec<(i32, i32, i32)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            profile: Profile::Linux,
            options: Options::default(),
            keepalive: KeepAlive::default(),
            keepalive_on: false,
            rcvbuf: 131_072,
            sndbuf: 16_384,
            sndbuf_max: 4 << 20,
            rcvbuf_locked: false,
            sndbuf_locked: false,
            rcv_timeout: None,
            snd_timeout: None,
            rcvlowat: 1,
            notsent_lowat: u32::MAX,
            notsent_lowat_asked: 0,
            linger: None,
            reuse_addr: false,
            reuse_port: false,
            freebind: false,
            nodelay: false,
            cork: false,
            quickack: true,
            fast_open: 0,
            fast_open_key: None,
            fast_open_connect: false,
            fast_open_no_cookie: false,
            defer_accept: 0,
            linger2: 0,
            zerocopy: false,
            inq: false,
            recverr: false,
            timestamping: 0,
            max_pacing_rate: u64::MAX,
            oob_inline: false,
            kept: Vec::new(),
        }
    }
}
