//! What a connection is told at birth, and may be told later: plain data with Linux's defaults.

use super::accurate::Feedback;
use super::congestion::Algorithm;
use crate::time::Duration;

/// A buffer that grows on demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Bytes at the start.
    pub initial: u32,
    /// Bytes at most; as `initial`, it does not grow.
    pub max: u32,
}

/// Explicit congestion notification: echoed as RFC 3168 §6.1.1 has it, or counted (RFC 9768), where
/// both ends can. The numbers of Linux's `tcp_ecn` in brackets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ecn {
    /// Never (0).
    Off,
    /// Where the peer asks for it (2).
    #[default]
    Passive,
    /// Asked for (1).
    Active,
    /// As `Passive`, and counted where the peer asks for that (5).
    AccuratePassive,
    /// As `Active`, and counted where the peer asks for that (4).
    AccurateIn,
    /// Counting is asked for (3).
    Accurate,
}

impl Ecn {
    /// Whether marks are counted where the peer asks for it.
    #[must_use]
    pub const fn takes_accurate(self) -> bool {
        matches!(
            self,
            Self::AccuratePassive | Self::AccurateIn | Self::Accurate
        )
    }

    /// What is asked for.
    pub(super) const fn asks(self) -> Feedback {
        match self {
            Self::Off | Self::Passive | Self::AccuratePassive => Feedback::None,
            Self::Active | Self::AccurateIn => Feedback::Classic,
            Self::Accurate => Feedback::Accurate,
        }
    }
}

/// When byte counters are sent, where marks are counted (RFC 9768 §3.2.3.3). In brackets the numbers
/// of Linux's `tcp_ecn_option`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EcnOption {
    /// Never (0).
    Never,
    /// Where the marks change, where CE comes, and a few times a round trip (1).
    Sparing,
    /// Wherever they fit, unless they seem to be in the way (2).
    #[default]
    Usual,
    /// Wherever they fit (3).
    Persistent,
}

/// What the limits of a receive buffer count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Accounting {
    /// Bytes of data: the window is what the buffer has room for. What lies beyond it is cut off,
    /// a FIN is acknowledged at once.
    #[default]
    Bytes,
    /// Packets, at the memory that Linux counts for them, of which at first half is taken to be
    /// data. As there, the first window is 65,535 bytes or less in whole segments and grows with
    /// what comes; while nothing waits to be read, a segment that begins in the window is taken
    /// beyond its edge, else it is dropped whole; the acknowledgment of a FIN waits for what the
    /// user says to it.
    Packets,
}

/// When small segments wait (RFC 9293 §3.7.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Nagle {
    /// While anything is unacknowledged (RFC 896).
    Classic,
    /// While another small segment is unacknowledged (draft-minshall-nagle-01).
    #[default]
    Minshall,
    /// Never (`TCP_NODELAY`).
    Off,
}

/// The order in which a SYN's options stand; a fingerprint of systems, and what packet scripts
/// compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OptionOrder {
    /// MSS, SACK permitted, timestamps, padding, window scale.
    #[default]
    Linux,
    /// MSS, padding, window scale, SACK permitted, timestamps.
    FreeBsd,
}

/// Which errors of ICMP end an attempt to connect; others only tell (RFC 9293 §3.9.2.2 MUST-56).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OpeningErrors {
    /// Host and network unreachable as well, as in Linux (RFC 5461 §4.1).
    #[default]
    All,
    /// Those that say that trying again is of no use: port or protocol unreachable, prohibited;
    /// and hops used up, as in FreeBSD.
    Hard,
    /// None.
    None,
}

/// What a SYN that carries a FIN opens: nobody sends such for a good reason, and no RFC forbids it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SynFin {
    /// Nothing at a listener, as in Linux.
    #[default]
    NotAListeners,
    /// What any SYN opens, its FIN left out at a listener: as in FreeBSD.
    Always,
    /// Nothing: it is dropped in any state (FreeBSD's `drop_synfin`).
    Never,
}

/// Probes of a silent peer (RFC 9293 §3.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    //= RFC 9293 §3.8.4 MUST-27: the interval can be set.
    /// Silence before the first.
    pub idle: Duration,
    /// Time between them.
    pub interval: Duration,
    /// So many unanswered end the connection.
    pub probes: u8,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            //= RFC 9293 §3.8.4 MUST-28: the interval defaults to no less than two hours.
            idle: Duration::from_secs(7200),
            interval: Duration::from_secs(75),
            probes: 9,
        }
    }
}

/// Path MTU discovery without ICMP (RFC 4821).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MtuProbing {
    /// ICMP alone is listened to.
    Off,
    /// Once the path looks like a black hole.
    #[default]
    BlackHole,
    /// From the start, with small segments first.
    Always,
}

/// Policies and limits of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Largest segment to announce and to send, where less than the path allows (`TCP_MAXSEG`).
    pub mss: Option<u16>,
    /// Announce a window scale (RFC 7323 §2).
    pub window_scaling: bool,
    /// Announce timestamps (RFC 7323 §3).
    pub timestamps: bool,
    /// Announce that SACK is understood (RFC 2018 §2).
    pub sack: bool,
    //= RFC 9293 §3.8.2 SHLD-8: congestion marks, where the peer asks for them.
    /// Explicit congestion notification.
    pub ecn: Ecn,
    /// A SYN that is sent again asks for less, and then for nothing (RFC 3168 §6.1.1.1, RFC 9768
    /// §3.1.4); else it goes on asking.
    pub ecn_fallback: bool,
    /// Where marks are counted, and those of the handshake or its first counter were changed on the
    /// way, send nothing that could be marked (RFC 9768 §3.2.2.3, §3.2.2.4); off, as FreeBSD.
    pub ecn_checks: bool,
    /// Byte counters where marks are counted (RFC 9768 §3.2.3).
    pub ecn_option: EcnOption,
    /// So many times a round trip at least, where they are sent sparingly; zero: only as they change.
    pub ecn_beacons: u8,
    /// Where marks are counted, acknowledge what comes with another mark than what came before at
    /// once, and each second CE (RFC 9768 §3.2.2.5.1); off, as FreeBSD.
    pub ecn_prompt: bool,
    /// Where marks are counted, lone acknowledgments and what is sent again are ECN-capable, too
    /// (RFC 8311 §4.3), as in Linux; off, as in FreeBSD.
    pub ecn_control: bool,
    /// Detect loss by time (RFC 8985); else by three duplicates.
    pub rack: bool,
    /// So many duplicates, or segments delivered out of order, mean loss (RFC 5681 §3.2, RFC 6675
    /// §2 DupThresh, RFC 8985 §3.3: three); more where the network is known to reorder.
    pub dup_thresh: u16,
    /// Probe for a lost tail (RFC 8985 §7).
    pub tail_loss_probe: bool,
    /// Detect spurious timeouts (RFC 5682).
    pub frto: bool,
    /// Report duplicates (RFC 2883).
    pub dsack: bool,
    /// Leave slow start early (RFC 9406).
    pub hystart: bool,
    //= RFC 9293 §3.8.2 MAY-18: others than Reno.
    /// Congestion control.
    pub congestion: Algorithm,
    /// Initial window in segments (RFC 6928 §2: ten).
    pub initial_window: u16,
    /// Receive buffer.
    pub recv_buffer: Buffer,
    /// The largest window to offer, however much room there is (`TCP_WINDOW_CLAMP`).
    pub window_clamp: u32,
    /// Send buffer.
    pub send_buffer: Buffer,
    /// What the limits of the receive buffer count, and with it how windows and acknowledgments
    /// come about.
    pub accounting: Accounting,
    //= RFC 9293 §3.7.4 SHLD-7, MUST-17: Nagle, for each connection and at any time, or not.
    /// When small segments wait.
    pub nagle: Nagle,
    /// Send only full segments, for at most 200 ms (`TCP_CORK`).
    pub cork: bool,
    //= RFC 9293 §3.8.6.3 SHLD-18: delayed acknowledgments.
    /// How long an acknowledgment waits for company (RFC 9293 §3.8.6.3: less than half a second).
    pub delayed_ack: Duration,
    /// Segments acknowledged at once at the start, while the peer is in slow start.
    pub quick_acks: u8,
    //= RFC 9293 §3.8.4 MAY-5, MUST-25: keep-alives, which are off unless asked for.
    /// Which errors of ICMP end an attempt to connect.
    pub opening_errors: OpeningErrors,
    /// Who closes before all was read says FIN, as in FreeBSD; else a reset tells the peer.
    pub closes_over_unread: bool,
    /// CWR says of each reduction, for a loss as well, with the first segment that leaves then, be
    /// it one that is sent again: as in FreeBSD. Else of those that marks ask for, with new data.
    pub loud_cwr: bool,
    /// What acknowledges text or a FIN repeats our own FIN while that is not acknowledged, as what
    /// descends from 4.4BSD does.
    pub repeats_fin: bool,
    /// Offer all that there is room for with each segment that leaves anyway, as FreeBSD does; else
    /// the window opens by whole segments (RFC 9293 §3.8.6.2.2).
    pub exact_window: bool,
    /// Least time between two acknowledgments that answer what a blind attacker may have sent
    /// (RFC 5961 §7; Linux's `tcp_invalid_ratelimit`). Zero: each is answered.
    pub challenge_interval: Duration,
    /// A reset anywhere in the window ends a connection (RFC 793); else only one with the very next
    /// number does (RFC 5961 §3). Off: a blind guess has 65,535 chances where it is on.
    pub trusts_resets: bool,
    /// Likewise of a SYN in the window (RFC 793 against RFC 5961 §4).
    pub trusts_syns: bool,
    /// What a SYN with a FIN opens.
    pub syn_fin: SynFin,
    /// A reset does not end TIME-WAIT (RFC 1337 §3, fix F1); RFC 9293 §3.10.7.4 lets it, and so do
    /// we unless told.
    pub lasting_time_wait: bool,
    /// TIME-WAIT as in FreeBSD: resets end it not (RFC 1337 §3), what acknowledges nothing is
    /// dropped, all else answered but for the last acknowledgment once more; and a SYN takes its
    /// place only with a number beyond those that came.
    pub stern_time_wait: bool,
    /// Probe a silent peer.
    pub keepalive: Option<KeepAlive>,
    /// How long data may stay unacknowledged, or a closed window keep it here, counted from the
    /// first probe (RFC 9293 §3.9.1.1); `None` leaves it to `retries2`.
    pub user_timeout: Option<Duration>,
    /// Tell the peer of `user_timeout`; where that is `None`, adopt the peer's (RFC 5482). Off, since
    /// the option takes four bytes and few peers know it.
    pub user_timeout_option: bool,
    /// Report what goes wrong without ending the connection (RFC 9293 §3.9.1.8, SHLD-20).
    pub reports: bool,
    /// What closing does with unsent data: `None` sends it in the background, zero resets.
    pub linger: Option<Duration>,
    /// Retransmission timeout before there is a sample (RFC 6298 §2.1).
    pub rto_initial: Duration,
    /// Its lower bound.
    pub rto_min: Duration,
    /// Its upper bound.
    pub rto_max: Duration,
    //= RFC 9293 §3.8.3 MUST-22: a limit R2 for SYNs, too; R1 is the same as of others.
    /// SYNs sent again before the attempt fails (RFC 9293 §3.8.3: R2 for a SYN).
    pub syn_retries: u8,
    /// Besides these, how many go at a steady pace before the timeout doubles each time (RFC 6298
    /// §5.5 has none; Linux's `tcp_syn_linear_timeouts` is four).
    pub syn_steady: u8,
    /// How long an attempt to connect may take, whatever the number of its SYNs (FreeBSD's
    /// `keepinit`).
    pub open_timeout: Option<Duration>,
    /// From so many timeouts on a SYN has no options but the MSS, lest one of them is what nobody
    /// answers to. Zero: never.
    pub plain_syn_after: u8,
    /// SYNs and SYN-ACKs without any option, and the peer's mean nothing (`TCP_NOOPT`).
    pub bare_syns: bool,
    /// A SYN asks for congestion notification so often again when it is not answered.
    pub ecn_retries: u8,
    /// SYN-ACKs sent again.
    pub syn_ack_retries: u8,
    //= RFC 9293 §3.8.3 SHLD-10: R1 is three.
    /// Timeouts in a row after which the path is doubted (R1).
    pub retries1: u8,
    //= RFC 9293 §3.8.3 MUST-20, SHLD-11: R2 is fifteen, some fifteen minutes.
    /// Timeouts in a row after which the connection fails (R2).
    pub retries2: u8,
    /// The same, where that is less, once the user has let go; and so many probes of a closed
    /// window, whether they are answered or not.
    pub orphan_retries: u8,
    /// How long TIME-WAIT lasts (2 MSL).
    pub time_wait: Duration,
    /// How long FIN-WAIT-2 lasts once the user has let go.
    pub fin_wait_2: Duration,
    /// Start with a small window again after a pause longer than the timeout (RFC 5681 §4.1).
    pub slow_start_after_idle: bool,
    /// Spread segments over the round trip. BBR always does.
    pub pacing: bool,
    /// Bytes a second at most, where it is paced (`SO_MAX_PACING_RATE`).
    pub max_pacing_rate: u64,
    /// Where nothing is paced, super-segments are sized as if it were, by rate, with at least so
    /// many segments, and new data leaves in halves of the congestion window or less, so that
    /// acknowledgments come twice a round trip (Linux's `tcp_min_tso_segs`, there 2). `None`:
    /// as large as they can be, which costs least.
    pub burst_segments: Option<u8>,
    /// There too, new data waits for the next acknowledgment unless so large a part of the window may
    /// leave: one in so many (Linux's `tcp_tso_win_divisor`, there 3).
    pub burst_share: u8,
    /// Path MTU discovery without ICMP.
    pub mtu_probing: MtuProbing,
    //= RFC 9293 §3.9.2 MUST-49: the time to live, for each connection.
    /// Time to live; zero: the host's own, or in IPv6 what routers say (RFC 4861 §6.3.4).
    pub ttl: u8,
    //= RFC 9293 §3.9.1.9 MUST-48, SHLD-21: the Diffserv field, at any time.
    /// The six upper bits of the traffic class; the lower two are ECN's.
    pub tos: u8,
    /// Data in the SYN of a connection that we open, once its server has given us a cookie
    /// (RFC 7413). Off, since a SYN that the network doubles is data that the server sees twice. A
    /// listener has [`ListenOptions::fast_open`](super::ListenOptions::fast_open).
    pub fast_open: bool,
    /// The same without a cookie, where the network sees to it that addresses are true
    /// (`TCP_FASTOPEN_NO_COOKIE`).
    pub fast_open_without_cookie: bool,
    /// A server that gave no cookie is asked again by each connection, once in the experiment's
    /// form (RFC 6994), as Linux does; else it is left alone for a while.
    pub fast_open_insists: bool,
    /// Order of a SYN's options.
    pub option_order: OptionOrder,
    /// Keep a log of congestion and recovery decisions.
    pub log: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mss: None,
            window_scaling: true,
            timestamps: true,
            sack: true,
            ecn: Ecn::Passive,
            ecn_fallback: true,
            ecn_checks: true,
            ecn_option: EcnOption::Usual,
            ecn_beacons: 3,
            ecn_prompt: true,
            ecn_control: true,
            rack: true,
            dup_thresh: 3,
            tail_loss_probe: true,
            frto: true,
            dsack: true,
            hystart: true,
            congestion: Algorithm::Cubic,
            initial_window: 10,
            recv_buffer: Buffer {
                initial: 65_535,
                max: 6 << 20,
            },
            window_clamp: u32::MAX,
            send_buffer: Buffer {
                initial: 64 << 10,
                max: 4 << 20,
            },
            accounting: Accounting::Bytes,
            nagle: Nagle::Minshall,
            cork: false,
            delayed_ack: Duration::from_millis(40),
            quick_acks: 16,
            opening_errors: OpeningErrors::All,
            closes_over_unread: false,
            loud_cwr: false,
            repeats_fin: false,
            exact_window: false,
            challenge_interval: Duration::from_millis(500),
            trusts_resets: false,
            trusts_syns: false,
            syn_fin: SynFin::NotAListeners,
            lasting_time_wait: false,
            stern_time_wait: false,
            keepalive: None,
            user_timeout: None,
            user_timeout_option: false,
            reports: true,
            linger: None,
            rto_initial: Duration::from_secs(1),
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(120),
            // We differ: RFC 9293 §3.8.3 MUST-23 has three minutes of SYNs; Linux's six are 127 s.
            syn_retries: 6,
            syn_steady: 0,
            open_timeout: None,
            plain_syn_after: 0,
            bare_syns: false,
            ecn_retries: 0,
            syn_ack_retries: 5,
            retries1: 3,
            retries2: 15,
            orphan_retries: 8,
            // We differ: RFC 9293 §3.6.1 MUST-13 has twice two minutes. As Linux we take a segment to live
            // for half a minute: routers have kept none for longer since they count hops.
            time_wait: Duration::from_secs(60),
            fin_wait_2: Duration::from_secs(60),
            slow_start_after_idle: true,
            pacing: false,
            max_pacing_rate: u64::MAX,
            burst_segments: None,
            burst_share: 3,
            mtu_probing: MtuProbing::BlackHole,
            ttl: 0,
            tos: 0,
            fast_open: false,
            fast_open_without_cookie: false,
            fast_open_insists: false,
            option_order: OptionOrder::Linux,
            log: false,
        }
    }
}

impl Options {
    /// As FreeBSD's defaults, for scripts written for it.
    #[must_use]
    pub fn freebsd() -> Self {
        Self {
            option_order: OptionOrder::FreeBsd,
            closes_over_unread: true,
            loud_cwr: true,
            repeats_fin: true,
            exact_window: true,
            opening_errors: OpeningErrors::Hard,
            syn_fin: SynFin::Always,
            stern_time_wait: true,
            syn_retries: 12,
            open_timeout: Some(Duration::from_secs(75)),
            ecn_retries: 1,
            rto_max: Duration::from_secs(64),
            challenge_interval: Duration::ZERO,
            quick_acks: 0,
            delayed_ack: Duration::from_millis(40),
            nagle: Nagle::Classic,
            ecn_checks: false,
            ecn_option: EcnOption::Never,
            ecn_prompt: false,
            ecn_control: false,
            rack: false,
            tail_loss_probe: false,
            frto: false,
            ..Self::default()
        }
    }
}
