//! A script as data: what the parser makes, and what the runner walks.

use super::place::Place;
use std::collections::BTreeMap;

/// A whole script.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// The `--name=value` lines at its head.
    pub options: Vec<(String, Option<String>)>,
    /// The shell block before the first event.
    pub init: Option<(Place, String)>,
    /// What happens, in order.
    pub events: Vec<Event>,
    /// The shell block after the last event.
    pub cleanup: Option<(Place, String)>,
}

/// Names and what they stand for (`-D`, `--define`).
pub type Defines = BTreeMap<String, String>;

/// Something that happens at a time.
#[derive(Clone, Debug)]
pub struct Event {
    /// Where its time stands.
    pub at: Place,
    /// When.
    pub time: Time,
    /// What.
    pub action: Action,
}

/// A time, in nanoseconds from the start or from the event before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// `1.5`.
    At(u64),
    /// `+.5`.
    After(u64),
    /// `1~2`.
    Between(u64, u64),
    /// `+1~+2`.
    AfterBetween(u64, u64),
    /// `*`: whenever it comes.
    Any,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Action {
    /// A packet arrives, or is to leave.
    Packet(Box<Packet>),
    /// A system call.
    Call(Box<SystemCall>),
    /// A shell block.
    Shell(String),
    /// Code about the connection's status.
    Code(Place, String),
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// `>`: from the stack under test.
    pub outbound: bool,
    /// Headers around it, outermost first.
    pub outer: Vec<Outer>,
    /// What is said of the IP header.
    pub ip: IpSpec,
    /// What it carries.
    pub body: Body,
}

/// A header around a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outer {
    /// IPv4 or IPv6, as the addresses are.
    Ip {
        /// Source.
        from: std::net::IpAddr,
        /// Destination.
        to: std::net::IpAddr,
        /// What else is said.
        ip: IpSpec,
    },
    /// GRE; its flags tell which of the other fields are there.
    Gre {
        /// Flags and version.
        flags: u16,
        /// Checksum.
        checksum: u16,
        /// Offset of the source route.
        offset: u16,
        /// Key.
        key: u32,
        /// Sequence number.
        sequence: u32,
    },
    /// A stack of labels.
    Mpls(Vec<Label>),
}

/// One label of MPLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// 20 bits.
    pub label: u32,
    /// Traffic class, three bits.
    pub class: u8,
    /// The bottom of the stack.
    pub bottom: bool,
    /// Time to live.
    pub ttl: u8,
}

/// What a script says of an IP header: nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpSpec {
    /// The byte of DSCP and ECN.
    pub tos: TosSpec,
    /// Time to live; 0: not said.
    pub ttl: u8,
    /// Flow label; 0: not said.
    pub flow_label: u32,
}

impl IpSpec {
    /// The byte of DSCP and ECN to send.
    pub(super) const fn byte(&self) -> u8 {
        match self.tos {
            TosSpec::Ecn(bits) => bits,
            TosSpec::Byte(byte) | TosSpec::Dscp(byte) | TosSpec::DscpEct01(byte) => byte,
            TosSpec::Unsaid | TosSpec::Ect01 => 0,
        }
    }
}

/// What a script says of DSCP and ECN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TosSpec {
    /// Nothing.
    #[default]
    Unsaid,
    /// The two bits of ECN.
    Ecn(u8),
    /// ECT(0) or ECT(1).
    Ect01,
    /// The upper six bits, as they stand in the byte.
    Dscp(u8),
    /// The same, and ECT(0) or ECT(1).
    DscpEct01(u8),
    /// The whole byte.
    Byte(u8),
}

/// What a packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A TCP segment.
    Tcp(TcpSpec),
    /// A datagram of so many zero bytes.
    Udp {
        /// From and to, where said.
        ports: Option<(u16, u16)>,
        /// Bytes.
        len: u16,
    },
    /// An ICMP or ICMPv6 message.
    Icmp {
        /// Its type's name.
        kind: String,
        /// Its code's name.
        code: Option<String>,
        /// Next hop's.
        mtu: Option<u32>,
        /// Identifier of an echo.
        id: u16,
        /// The packet it is about.
        about: About,
    },
}

/// The packet that an ICMP error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A TCP segment.
    Tcp {
        /// Sequence number.
        seq: u32,
        /// Bytes.
        len: u16,
    },
    /// A datagram.
    Udp {
        /// Bytes.
        len: u16,
    },
    /// None: so many zero bytes after the header.
    Raw {
        /// Bytes.
        len: u16,
    },
}

/// A TCP segment, in the script's numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpSpec {
    /// From and to, where said.
    pub ports: Option<(u16, u16)>,
    /// Flags as in the header, AE at bit 8.
    pub flags: u16,
    /// The ACE field was given as a number (AccECN), so these three bits are one field.
    pub ace: bool,
    /// Sequence number.
    pub seq: u32,
    /// How it is meant.
    pub numbering: Numbering,
    /// Payload.
    pub len: u16,
    /// Acknowledgment number.
    pub ack: u32,
    /// Window, where said.
    pub window: Option<u16>,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options; `None`: `<...>`, any.
    pub options: Option<Vec<TcpOption>>,
    /// Any timestamp will do (`TS val ...`).
    pub any_timestamp: bool,
    /// The timestamp that is echoed is the live one (`ecr 7!`).
    pub live_echo: bool,
}

/// How a script means a sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbering {
    /// From the initial one.
    #[default]
    Relative,
    /// As it is on the wire (`0:0(0)!`).
    Live,
    /// Any (`...(0)`).
    Any,
}

/// A TCP option in the script's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpOption {
    /// End of list.
    Eol,
    /// Padding.
    Nop,
    /// Maximum segment size.
    Mss(u16),
    /// Window scale.
    Wscale(u8),
    /// SACK permitted.
    SackOk,
    /// Blocks.
    Sack(Vec<(u32, u32)>),
    /// Timestamps.
    Ts {
        /// TSval.
        val: u32,
        /// TSecr.
        ecr: u32,
    },
    /// A digest.
    Md5(Vec<u8>),
    /// Fast Open cookie, RFC 7413.
    FastOpen(Vec<u8>),
    /// Fast Open cookie in the experimental option.
    FastOpenExp(Vec<u8>),
    /// Accurate ECN's counters: 172 (order 0) or 174 (order 1).
    AccEcn {
        /// Option kind.
        kind: u8,
        /// Counters in the option's order.
        counters: Vec<u32>,
    },
    /// Another one.
    Other {
        /// Option kind.
        kind: u8,
        /// What follows the length.
        data: Vec<u8>,
    },
}

/// A system call with what it should give.
#[derive(Clone, Debug, PartialEq)]
pub struct SystemCall {
    /// When a blocking one returns (absolute or relative as its event's time).
    pub end: Option<u64>,
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// What it should return.
    pub result: Expr,
    /// The error it should give, by name.
    pub errno: Option<String>,
}

/// An argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// `...`.
    Ellipsis,
    /// A number.
    Int(i64),
    /// A constant's name.
    Word(String),
    /// Bytes.
    Str(Vec<u8>),
    /// An IP address by itself.
    Ip(std::net::IpAddr),
    /// `a | b`.
    Or(Box<Self>, Box<Self>),
    /// `[…]`.
    List(Vec<Self>),
    /// `{…}`: fields with names, or without.
    Struct(Vec<Field>),
    /// `htons(8080)`, `inet_addr("…")`.
    Apply(String, Vec<Self>),
    /// `NAME = value` outside braces.
    Named(String, Box<Self>),
}

/// One member of a `{…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// `sin_port` of `sin_port = …`.
    pub name: Option<String>,
    /// What stands in parentheses after the name (`msg_iov(2)`).
    pub size: Option<Expr>,
    /// Its value.
    pub value: Expr,
}
