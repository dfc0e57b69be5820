//! Neighbor Discovery messages and their options (RFC 4861 §4), as ICMPv6 bodies.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!  +---------------+---------------+-------------------------------+
//!  |  type 133-137 |     code 0    |           checksum            |  icmpv6::Header
//!  +---------------+---------------+-------------------------------+
//!  |     flags, lifetime or reserved, then what the type asks      |
//!  |    (a target address; times; a target and a destination)      |
//!  +---------------+---------------+-------------------------------+
//!  |  option type  | length, 8 B   |            data ...           |  options
//!  +---------------+---------------+-------------------------------+
//! ```
//!
//! Read first: RFC 4861 §4, RFC 4191 §2 (preferences, routes), RFC 8106 §5 (DNS), RFC 8781 §4
//! (PREF64), RFC 6275 §7 (home agents), RFC 7527 §4 (nonces against loops).
//!
//! Promises: reserved bits are kept, so that each message re-emits its bytes; an option of length
//! zero ends the list with an error; a known option of a length that its RFC forbids comes out as
//! [`NdpOption::Unknown`], to be stepped over.
//!
//! Left out: the validity checks of RFC 4861 §6.1 and §7.1 that need the IP header, which are the
//! machine's; secure neighbor discovery (RFC 3971) but for its nonce, and 6LoWPAN's options, kept
//! raw.

use super::ipv6::Addresses;
use super::{MacAddr, ParseError, Reader, Writer};
use core::fmt;
use core::net::Ipv6Addr;

/// The group of those whose address ends as this one does (RFC 4291 §2.7.1).
#[must_use]
pub const fn solicited_node(addr: Ipv6Addr) -> Ipv6Addr {
    const PREFIX: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
    Ipv6Addr::from_bits(addr.to_bits() & 0xff_ffff | PREFIX)
}

/// A router solicitation (RFC 4861 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouterSolicitation<'a> {
    /// Zero when sent.
    pub reserved: u32,
    /// All option bytes; see [`options`].
    pub options: &'a [u8],
}

impl<'a> RouterSolicitation<'a> {
    /// Parses what follows the ICMPv6 header.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        Ok(Self {
            reserved: r.u32("router solicitation")?,
            options: r.rest(),
        })
    }

    /// Writes what precedes the options.
    pub(super) fn emit_fixed(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        w.u32(self.reserved)
    }
}

/// The flags of a router advertisement (RFC 4861 §4.2, RFC 6275 §7.1, RFC 4191 §2.2, RFC 4389
/// §4.1.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct RouterFlags(pub u8);

impl RouterFlags {
    /// M: addresses are to be had by DHCPv6.
    pub const MANAGED: Self = Self(0x80);
    /// O: other configuration is to be had by DHCPv6.
    pub const OTHER_CONFIG: Self = Self(0x40);
    /// H: the router is a home agent.
    pub const HOME_AGENT: Self = Self(0x20);
    /// P: the advertisement was forwarded by a proxy.
    pub const PROXY: Self = Self(0x04);

    /// Whether all of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether to prefer this default router over others.
    #[must_use]
    pub const fn preference(self) -> Preference {
        Preference::from_flags(self.0)
    }

    /// These with the preference replaced.
    #[must_use]
    pub const fn with_preference(self, preference: Preference) -> Self {
        Self(self.0 & !Preference::MASK | preference.to_flags())
    }
}

/// How a router or route ranks among others (RFC 4191 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preference {
    /// 01.
    High,
    /// 00.
    Medium,
    /// 11.
    Low,
    /// 10: never sent; medium for a router, while a route with it is ignored.
    Reserved,
}

impl fmt::Display for Preference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Reserved => "reserved",
        })
    }
}

impl Preference {
    const MASK: u8 = 0x18;

    const fn from_flags(flags: u8) -> Self {
        match (flags & Self::MASK) >> 3 {
            0b01 => Self::High,
            0b00 => Self::Medium,
            0b11 => Self::Low,
            _ => Self::Reserved,
        }
    }

    const fn to_flags(self) -> u8 {
        match self {
            Self::High => 0b01 << 3,
            Self::Medium => 0b00,
            Self::Low => 0b11 << 3,
            Self::Reserved => 0b10 << 3,
        }
    }
}

/// A router advertisement (RFC 4861 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouterAdvertisement<'a> {
    /// What hosts should send with; zero: this router does not say.
    pub cur_hop_limit: u8,
    /// M, O, H, preference, P.
    pub flags: RouterFlags,
    /// Seconds this is a default router; zero: it is none.
    pub router_lifetime: u16,
    /// Milliseconds a neighbor counts as reachable after a confirmation; zero: not said.
    pub reachable_time: u32,
    /// Milliseconds between solicitations; zero: not said.
    pub retrans_timer: u32,
    /// All option bytes; see [`options`].
    pub options: &'a [u8],
}

impl<'a> RouterAdvertisement<'a> {
    /// Parses what follows the ICMPv6 header.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        Ok(Self {
            cur_hop_limit: r.u8("router advertisement")?,
            flags: RouterFlags(r.u8("router advertisement")?),
            router_lifetime: r.u16("router advertisement")?,
            reachable_time: r.u32("router advertisement")?,
            retrans_timer: r.u32("router advertisement")?,
            options: r.rest(),
        })
    }

    /// Writes what precedes the options.
    pub(super) fn emit_fixed(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        w.u8(self.cur_hop_limit)?;
        w.u8(self.flags.0)?;
        w.u16(self.router_lifetime)?;
        w.u32(self.reachable_time)?;
        w.u32(self.retrans_timer)
    }
}

/// A neighbor solicitation (RFC 4861 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NeighborSolicitation<'a> {
    /// Zero when sent.
    pub reserved: u32,
    /// Whose link-layer address is asked for.
    pub target: Ipv6Addr,
    /// All option bytes; see [`options`].
    pub options: &'a [u8],
}

impl<'a> NeighborSolicitation<'a> {
    /// Parses what follows the ICMPv6 header.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        Ok(Self {
            reserved: r.u32("neighbor solicitation")?,
            target: r.array::<16>("neighbor solicitation's target")?.into(),
            options: r.rest(),
        })
    }

    /// Writes what precedes the options.
    pub(super) fn emit_fixed(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        w.u32(self.reserved)?;
        w.put(&self.target.octets())
    }
}

/// A neighbor advertisement (RFC 4861 §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NeighborAdvertisement<'a> {
    /// R: the sender is a router.
    pub router: bool,
    /// S: the answer to a solicitation.
    pub solicited: bool,
    /// O: replaces the link-layer address known.
    pub override_: bool,
    /// 29 bits, zero when sent.
    pub reserved: u32,
    /// Whose link-layer address is told.
    pub target: Ipv6Addr,
    /// All option bytes; see [`options`].
    pub options: &'a [u8],
}

impl<'a> NeighborAdvertisement<'a> {
    /// Parses what follows the ICMPv6 header.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        let flags = r.u32("neighbor advertisement")?;
        Ok(Self {
            router: flags & 1 << 31 != 0,
            solicited: flags & 1 << 30 != 0,
            override_: flags & 1 << 29 != 0,
            reserved: flags & RESERVED_29,
            target: r.array::<16>("neighbor advertisement's target")?.into(),
            options: r.rest(),
        })
    }

    /// Writes what precedes the options.
    pub(super) fn emit_fixed(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        let flags = u32::from(self.router) << 31
            | u32::from(self.solicited) << 30
            | u32::from(self.override_) << 29;
        w.u32(flags | self.reserved & RESERVED_29)?;
        w.put(&self.target.octets())
    }
}

/// The bits of a neighbor advertisement below its flags.
const RESERVED_29: u32 = (1 << 29) - 1;

/// A redirect (RFC 4861 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Redirect<'a> {
    /// Zero when sent.
    pub reserved: u32,
    /// The better first hop; the destination itself where that is a neighbor.
    pub target: Ipv6Addr,
    /// What is redirected.
    pub destination: Ipv6Addr,
    /// All option bytes; see [`options`].
    pub options: &'a [u8],
}

impl<'a> Redirect<'a> {
    /// Parses what follows the ICMPv6 header.
    ///
    /// # Errors
    /// [`ParseError::Truncated`].
    pub fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut r = Reader::new(body);
        Ok(Self {
            reserved: r.u32("redirect")?,
            target: r.array::<16>("redirect's target")?.into(),
            destination: r.array::<16>("redirect's destination")?.into(),
            options: r.rest(),
        })
    }

    /// Writes what precedes the options.
    pub(super) fn emit_fixed(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        w.u32(self.reserved)?;
        w.put(&self.target.octets())?;
        w.put(&self.destination.octets())
    }
}

/// Option types (IANA "IPv6 Neighbor Discovery Option Formats").
pub mod kind {
    /// Source link-layer address (RFC 4861 §4.6.1).
    pub const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;
    /// Target link-layer address (RFC 4861 §4.6.1).
    pub const TARGET_LINK_LAYER_ADDRESS: u8 = 2;
    /// Prefix information (RFC 4861 §4.6.2).
    pub const PREFIX_INFORMATION: u8 = 3;
    /// Redirected header (RFC 4861 §4.6.3).
    pub const REDIRECTED_HEADER: u8 = 4;
    /// MTU (RFC 4861 §4.6.4).
    pub const MTU: u8 = 5;
    /// Advertisement interval (RFC 6275 §7.3).
    pub const ADVERTISEMENT_INTERVAL: u8 = 7;
    /// Home agent information (RFC 6275 §7.4).
    pub const HOME_AGENT_INFORMATION: u8 = 8;
    /// Nonce (RFC 3971 §5.3.2).
    pub const NONCE: u8 = 14;
    /// Route information (RFC 4191 §2.3).
    pub const ROUTE_INFORMATION: u8 = 24;
    /// Recursive DNS servers (RFC 8106 §5.1).
    pub const RDNSS: u8 = 25;
    /// More flags of a router advertisement (RFC 5175 §4).
    pub const FLAGS_EXTENSION: u8 = 26;
    /// DNS search list (RFC 8106 §5.2).
    pub const DNSSL: u8 = 31;
    /// Address registration (RFC 6775 §4.1).
    pub const ADDRESS_REGISTRATION: u8 = 33;
    /// 6LoWPAN context (RFC 6775 §4.2).
    pub const SIX_LOWPAN_CONTEXT: u8 = 34;
    /// Captive portal (RFC 8910 §2.3).
    pub const CAPTIVE_PORTAL: u8 = 37;
    /// NAT64 prefix (RFC 8781 §4).
    pub const PREF64: u8 = 38;
}

/// A prefix information option (RFC 4861 §4.6.2, RFC 6275 §7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PrefixInformation {
    /// Leading bits of the prefix that count.
    pub prefix_len: u8,
    /// L: the prefix is on this link.
    pub on_link: bool,
    /// A: hosts may form addresses from it.
    pub autonomous: bool,
    /// R: the prefix is a whole address of the router.
    pub router_address: bool,
    /// 5 bits, zero when sent.
    pub reserved: u8,
    /// Seconds the prefix is valid; all ones: for ever.
    pub valid_lifetime: u32,
    /// Seconds addresses from it stay preferred; all ones: for ever.
    pub preferred_lifetime: u32,
    /// Zero when sent.
    pub reserved2: u32,
    /// The prefix; bits beyond its length are to be ignored.
    pub prefix: Ipv6Addr,
}

/// One option. Data is padded by its sender so that the option is a multiple of 8 long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NdpOption<'a> {
    /// The sender's link-layer address; see [`mac`](Self::mac).
    SourceLinkLayerAddress(&'a [u8]),
    /// The target's link-layer address; see [`mac`](Self::mac).
    TargetLinkLayerAddress(&'a [u8]),
    /// A prefix.
    PrefixInformation(PrefixInformation),
    /// The packet that caused a redirect.
    RedirectedHeader {
        /// Zero when sent.
        reserved: [u8; 6],
        /// As much of the packet as fits, padded.
        packet: &'a [u8],
    },
    /// The link's MTU.
    Mtu {
        /// Zero when sent.
        reserved: u16,
        /// Bytes.
        mtu: u32,
    },
    /// The most milliseconds between two advertisements.
    AdvertisementInterval {
        /// Zero when sent.
        reserved: u16,
        /// Milliseconds.
        interval: u32,
    },
    /// What kind of home agent the router is.
    HomeAgentInformation {
        /// Zero when sent.
        reserved: u16,
        /// More is better.
        preference: u16,
        /// Seconds.
        lifetime: u16,
    },
    /// A random number that tells a looped solicitation from another's.
    Nonce(&'a [u8]),
    /// A route.
    RouteInformation {
        /// Leading bits of the prefix that count.
        prefix_len: u8,
        /// The preference, and bits that are zero when sent; see [`preference`](Self::preference).
        flags: u8,
        /// Seconds; all ones: for ever.
        lifetime: u32,
        /// The first 0, 8 or 16 bytes of the prefix; see [`route_prefix`](Self::route_prefix).
        prefix: &'a [u8],
    },
    /// Recursive DNS servers.
    Rdnss {
        /// Zero when sent.
        reserved: u16,
        /// Seconds; all ones: for ever; zero: stop using them.
        lifetime: u32,
        /// At least one address.
        servers: Addresses<'a>,
    },
    /// A DNS search list.
    Dnssl {
        /// Zero when sent.
        reserved: u16,
        /// Seconds; all ones: for ever; zero: stop using them.
        lifetime: u32,
        /// The names, padded with zeros; see [`DomainNames`].
        names: &'a [u8],
    },
    /// More flags of a router advertisement, the first six bytes and any after.
    FlagsExtension(&'a [u8]),
    /// The URI of a captive portal's API, padded with zeros; see [`uri`](Self::uri).
    CaptivePortal(&'a [u8]),
    /// A NAT64 prefix.
    Pref64 {
        /// Seconds, a multiple of 8.
        lifetime: u16,
        /// 3 bits that stand for the prefix's length; see [`pref64_len`].
        length_code: u8,
        /// The top 96 bits of the prefix.
        prefix: [u8; 12],
    },
    /// 6LoWPAN's address registration, kept raw.
    AddressRegistration(&'a [u8]),
    /// A 6LoWPAN context, kept raw.
    SixLowpanContext(&'a [u8]),
    /// Any other, or a known type with a length that its RFC forbids.
    Unknown {
        /// The type byte.
        kind: u8,
        /// What follows the length byte.
        data: &'a [u8],
    },
}

/// The prefix length that a PREF64 option's 3-bit code stands for (RFC 8781 §4).
#[must_use]
pub const fn pref64_len(length_code: u8) -> Option<u8> {
    Some(match length_code {
        0 => 96,
        1 => 64,
        2 => 56,
        3 => 48,
        4 => 40,
        5 => 32,
        _ => return None,
    })
}

impl<'a> NdpOption<'a> {
    /// The type byte.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match *self {
            Self::SourceLinkLayerAddress(_) => kind::SOURCE_LINK_LAYER_ADDRESS,
            Self::TargetLinkLayerAddress(_) => kind::TARGET_LINK_LAYER_ADDRESS,
            Self::PrefixInformation(_) => kind::PREFIX_INFORMATION,
            Self::RedirectedHeader { .. } => kind::REDIRECTED_HEADER,
            Self::Mtu { .. } => kind::MTU,
            Self::AdvertisementInterval { .. } => kind::ADVERTISEMENT_INTERVAL,
            Self::HomeAgentInformation { .. } => kind::HOME_AGENT_INFORMATION,
            Self::Nonce(_) => kind::NONCE,
            Self::RouteInformation { .. } => kind::ROUTE_INFORMATION,
            Self::Rdnss { .. } => kind::RDNSS,
            Self::Dnssl { .. } => kind::DNSSL,
            Self::FlagsExtension(_) => kind::FLAGS_EXTENSION,
            Self::CaptivePortal(_) => kind::CAPTIVE_PORTAL,
            Self::Pref64 { .. } => kind::PREF64,
            Self::AddressRegistration(_) => kind::ADDRESS_REGISTRATION,
            Self::SixLowpanContext(_) => kind::SIX_LOWPAN_CONTEXT,
            Self::Unknown { kind, .. } => kind,
        }
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[must_use]
    pub const fn emit_len(&self) -> usize {
        match *self {
            Self::PrefixInformation(_) => 32,
            Self::Mtu { .. }
            | Self::AdvertisementInterval { .. }
            | Self::HomeAgentInformation { .. } => 8,
            Self::Pref64 { .. } => 16,
            Self::RedirectedHeader { packet: data, .. }
            | Self::RouteInformation { prefix: data, .. }
            | Self::Dnssl { names: data, .. } => 8 + data.len(),
            Self::Rdnss { servers, .. } => 8 + servers.as_bytes().len(),
            Self::SourceLinkLayerAddress(data)
            | Self::TargetLinkLayerAddress(data)
            | Self::Nonce(data)
            | Self::FlagsExtension(data)
            | Self::CaptivePortal(data)
            | Self::AddressRegistration(data)
            | Self::SixLowpanContext(data)
            | Self::Unknown { data, .. } => 2 + data.len(),
        }
    }

    /// Writes the option.
    ///
    /// # Errors
    /// [`ParseError::NoRoom`], and [`ParseError::Invalid`] where it is no multiple of 8 long or
    /// longer than 2040 bytes.
    pub fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        const BAD: ParseError = ParseError::Invalid("NDP option length");
        if !self.emit_len().is_multiple_of(8) {
            return Err(BAD);
        }
        w.u8(self.kind())?;
        w.u8(u8::try_from(self.emit_len() / 8).map_err(|_| BAD)?)?;
        match *self {
            Self::PrefixInformation(option) => option.emit(w),
            Self::RedirectedHeader { reserved, packet } => {
                w.put(&reserved)?;
                w.put(packet)
            }
            Self::Mtu {
                reserved,
                mtu: value,
            }
            | Self::AdvertisementInterval {
                reserved,
                interval: value,
            } => {
                w.u16(reserved)?;
                w.u32(value)
            }
            Self::HomeAgentInformation {
                reserved,
                preference,
                lifetime,
            } => {
                w.u16(reserved)?;
                w.u16(preference)?;
                w.u16(lifetime)
            }
            Self::RouteInformation {
                prefix_len,
                flags,
                lifetime,
                prefix,
            } => {
                w.put(&[prefix_len, flags])?;
                w.u32(lifetime)?;
                w.put(prefix)
            }
            Self::Rdnss {
                reserved, lifetime, ..
            }
            | Self::Dnssl {
                reserved, lifetime, ..
            } => {
                w.u16(reserved)?;
                w.u32(lifetime)?;
                w.put(self.names_or_servers())
            }
            Self::Pref64 {
                lifetime,
                length_code,
                prefix,
            } => {
                if !lifetime.is_multiple_of(8) || length_code > 7 {
                    return Err(ParseError::Invalid("PREF64 lifetime"));
                }
                w.u16(lifetime | u16::from(length_code))?;
                w.put(&prefix)
            }
            Self::SourceLinkLayerAddress(data)
            | Self::TargetLinkLayerAddress(data)
            | Self::Nonce(data)
            | Self::FlagsExtension(data)
            | Self::CaptivePortal(data)
            | Self::AddressRegistration(data)
            | Self::SixLowpanContext(data)
            | Self::Unknown { data, .. } => w.put(data),
        }
    }

    const fn names_or_servers(&self) -> &'a [u8] {
        match *self {
            Self::Rdnss { servers, .. } => servers.as_bytes(),
            Self::Dnssl { names, .. } => names,
            _ => &[],
        }
    }

    /// The link-layer address where the option has one of Ethernet's length.
    #[must_use]
    pub fn mac(&self) -> Option<MacAddr> {
        match self {
            Self::SourceLinkLayerAddress(addr) | Self::TargetLinkLayerAddress(addr) => {
                (*addr).try_into().ok().map(MacAddr)
            }
            _ => None,
        }
    }

    /// The preference of a route information option.
    #[must_use]
    pub const fn preference(&self) -> Option<Preference> {
        match *self {
            Self::RouteInformation { flags, .. } => Some(Preference::from_flags(flags)),
            _ => None,
        }
    }

    /// The prefix of a route information option; `None` where its length does not fit the option's
    /// (RFC 4191 §2.3).
    #[must_use]
    pub fn route_prefix(&self) -> Option<Ipv6Addr> {
        let Self::RouteInformation {
            prefix_len, prefix, ..
        } = *self
        else {
            return None;
        };
        if usize::from(prefix_len) > prefix.len() * 8 {
            return None;
        }
        let mut octets = [0; 16];
        octets.get_mut(..prefix.len())?.copy_from_slice(prefix);
        Some(octets.into())
    }

    /// The URI of a captive portal option without its padding; `None` where it is no text.
    #[must_use]
    pub fn uri(&self) -> Option<&'a str> {
        match *self {
            Self::CaptivePortal(data) => core::str::from_utf8(data)
                .ok()
                .map(|uri| uri.trim_end_matches('\0')),
            _ => None,
        }
    }

    fn from_data(kind: u8, data: &'a [u8]) -> Self {
        let raw: fn(&'a [u8]) -> Self = match kind {
            kind::SOURCE_LINK_LAYER_ADDRESS => Self::SourceLinkLayerAddress,
            kind::TARGET_LINK_LAYER_ADDRESS => Self::TargetLinkLayerAddress,
            kind::NONCE => Self::Nonce,
            kind::FLAGS_EXTENSION => Self::FlagsExtension,
            kind::CAPTIVE_PORTAL => Self::CaptivePortal,
            kind::ADDRESS_REGISTRATION => Self::AddressRegistration,
            kind::SIX_LOWPAN_CONTEXT => Self::SixLowpanContext,
            _ => return Self::structured(kind, data).unwrap_or(Self::Unknown { kind, data }),
        };
        raw(data)
    }

    /// Options with fields. An option is at least 8 long, so all have what the first word holds.
    fn structured(kind: u8, data: &'a [u8]) -> Option<Self> {
        let (&[a, b, c, d, e, f], rest) = data.split_first_chunk()?;
        let first = u16::from_be_bytes([a, b]);
        let word = u32::from_be_bytes([c, d, e, f]);
        let option = match (kind, rest.len()) {
            (kind::PREFIX_INFORMATION, 24) => {
                Self::PrefixInformation(PrefixInformation::parse(data)?)
            }
            (kind::REDIRECTED_HEADER, _) => Self::RedirectedHeader {
                reserved: [a, b, c, d, e, f],
                packet: rest,
            },
            (kind::MTU, 0) => Self::Mtu {
                reserved: first,
                mtu: word,
            },
            (kind::ADVERTISEMENT_INTERVAL, 0) => Self::AdvertisementInterval {
                reserved: first,
                interval: word,
            },
            (kind::HOME_AGENT_INFORMATION, 0) => Self::HomeAgentInformation {
                reserved: first,
                preference: u16::from_be_bytes([c, d]),
                lifetime: u16::from_be_bytes([e, f]),
            },
            (kind::ROUTE_INFORMATION, 0 | 8 | 16) => Self::RouteInformation {
                prefix_len: a,
                flags: b,
                lifetime: word,
                prefix: rest,
            },
            (kind::RDNSS, 16..) => Self::Rdnss {
                reserved: first,
                lifetime: word,
                servers: Addresses::new(rest)?,
            },
            (kind::DNSSL, 8..) => Self::Dnssl {
                reserved: first,
                lifetime: word,
                names: rest,
            },
            (kind::PREF64, 8) => Self::Pref64 {
                lifetime: first & !7,
                length_code: b & 7,
                prefix: data.last_chunk().copied()?,
            },
            _ => return None,
        };
        Some(option)
    }
}

impl PrefixInformation {
    fn parse(data: &[u8]) -> Option<Self> {
        let mut r = Reader::new(data);
        let prefix_len = r.u8("prefix length").ok()?;
        let flags = r.u8("prefix flags").ok()?;
        Some(Self {
            prefix_len,
            on_link: flags & 0x80 != 0,
            autonomous: flags & 0x40 != 0,
            router_address: flags & 0x20 != 0,
            reserved: flags & 0x1f,
            valid_lifetime: r.u32("valid lifetime").ok()?,
            preferred_lifetime: r.u32("preferred lifetime").ok()?,
            reserved2: r.u32("reserved").ok()?,
            prefix: r.array::<16>("prefix").ok()?.into(),
        })
    }

    fn emit(&self, w: &mut Writer<'_>) -> Result<(), ParseError> {
        let flags = u8::from(self.on_link) << 7
            | u8::from(self.autonomous) << 6
            | u8::from(self.router_address) << 5
            | self.reserved & 0x1f;
        w.put(&[self.prefix_len, flags])?;
        w.u32(self.valid_lifetime)?;
        w.u32(self.preferred_lifetime)?;
        w.u32(self.reserved2)?;
        w.put(&self.prefix.octets())
    }
}

/// The options in `bytes`. An error ends the walk, and makes the whole message one to discard.
//= RFC 4861 §4.6 (and §6.1.1, §7.1.1) a message with an option of length zero is discarded.
#[must_use]
pub const fn options(bytes: &[u8]) -> Options<'_> {
    Options {
        reader: Reader::new(bytes),
    }
}

/// The walk that [`options`] starts.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    reader: Reader<'a>,
}

impl<'a> Options<'a> {
    fn read(&mut self) -> Result<NdpOption<'a>, ParseError> {
        let kind = self.reader.u8("NDP option type")?;
        let len = usize::from(self.reader.u8("NDP option length")?)
            .checked_sub(1)
            .ok_or(ParseError::Invalid("NDP option length"))?;
        let data = self.reader.take(len * 8 + 6, "NDP option")?;
        Ok(NdpOption::from_data(kind, data))
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<NdpOption<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let option = self.read();
        if option.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(option)
    }
}

/// A domain name in DNS's wire form without its final zero (RFC 1035 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DomainName<'a>(&'a [u8]);

impl<'a> DomainName<'a> {
    /// The bytes: each label behind its length.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The labels in order.
    pub fn labels(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut r = Reader::new(self.0);
        core::iter::from_fn(move || {
            let len = r.u8("label length").ok()?;
            r.take(usize::from(len), "label").ok()
        })
    }
}

impl fmt::Display for DomainName<'_> {
    /// Labels joined by dots; a byte that a reader could mistake is written as `\DDD` (RFC 4343
    /// §2.1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, label) in self.labels().enumerate() {
            if i != 0 {
                f.write_str(".")?;
            }
            for &byte in label {
                if byte.is_ascii_graphic() && !matches!(byte, b'.' | b'\\') {
                    write!(f, "{}", char::from(byte))?;
                } else {
                    write!(f, "\\{byte:03}")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DomainName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Walks the names of a DNS search list, up to its padding or the error that ends it.
#[derive(Clone, Debug)]
pub struct DomainNames<'a> {
    rest: &'a [u8],
}

impl<'a> DomainNames<'a> {
    /// Walks the `names` of a [`NdpOption::Dnssl`].
    #[must_use]
    pub const fn new(names: &'a [u8]) -> Self {
        Self { rest: names }
    }

    fn read(&mut self) -> Result<DomainName<'a>, ParseError> {
        let mut r = Reader::new(self.rest);
        loop {
            let before = r.rest();
            let len = r.u8("domain name")?;
            let name_len = self.rest.len() - before.len();
            if name_len > MAX_NAME_LEN {
                return Err(ParseError::Invalid("domain name length"));
            }
            match len {
                0 => {
                    let mut whole = Reader::new(self.rest);
                    let name = DomainName(whole.take(name_len, "domain name")?);
                    self.rest = r.rest();
                    return Ok(name);
                }
                //= RFC 8106 §5.2 names are not compressed.
                64.. => return Err(ParseError::Invalid("domain name label")),
                len => r.take(usize::from(len), "domain name label")?,
            };
        }
    }
}

/// The most bytes of a name without its final zero (RFC 1035 §2.3.4).
const MAX_NAME_LEN: usize = 254;

impl<'a> Iterator for DomainNames<'a> {
    type Item = Result<DomainName<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        // A name does not start with its end: what is left is padding.
        if matches!(self.rest, [] | [0, ..]) {
            return None;
        }
        let name = self.read();
        if name.is_err() {
            self.rest = &[];
        }
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec;
    use std::vec::Vec;

    fn emitted(option: &NdpOption<'_>) -> Vec<u8> {
        let mut bytes = vec![0; option.emit_len()];
        option.emit(&mut Writer::new(&mut bytes)).unwrap();
        bytes
    }

    #[test]
    fn every_option_round_trips() {
        let addr = [0xfd; 16];
        let names = *b"\x03lab\x04test\0\x01a.\0\0\0\0";
        let list = [
            NdpOption::SourceLinkLayerAddress(&[2, 0, 0, 0, 0, 1]),
            NdpOption::TargetLinkLayerAddress(&[2; 14]),
            NdpOption::PrefixInformation(PrefixInformation {
                prefix_len: 64,
                on_link: true,
                autonomous: false,
                router_address: true,
                reserved: 0x15,
                valid_lifetime: 1,
                preferred_lifetime: 2,
                reserved2: 3,
                prefix: addr.into(),
            }),
            NdpOption::RedirectedHeader {
                reserved: [1; 6],
                packet: &[0x60; 48],
            },
            NdpOption::Mtu {
                reserved: 1,
                mtu: 1500,
            },
            NdpOption::AdvertisementInterval {
                reserved: 2,
                interval: 3000,
            },
            NdpOption::HomeAgentInformation {
                reserved: 4,
                preference: 5,
                lifetime: 6,
            },
            NdpOption::Nonce(&[9; 6]),
            NdpOption::RouteInformation {
                prefix_len: 48,
                flags: 0x18,
                lifetime: 7,
                prefix: &[0xfd; 8],
            },
            NdpOption::Rdnss {
                reserved: 8,
                lifetime: 9,
                servers: Addresses::new(&addr).unwrap(),
            },
            NdpOption::Dnssl {
                reserved: 10,
                lifetime: 11,
                names: names.first_chunk::<16>().unwrap(),
            },
            NdpOption::FlagsExtension(&[1; 6]),
            NdpOption::CaptivePortal(b"https://portal/api\0\0\0\0"),
            NdpOption::Pref64 {
                lifetime: 1800,
                length_code: 3,
                prefix: [7; 12],
            },
            NdpOption::AddressRegistration(&[1; 14]),
            NdpOption::SixLowpanContext(&[2; 22]),
            NdpOption::Unknown {
                kind: 200,
                data: &[3; 6],
            },
            // An MTU option twice as long as it may be.
            NdpOption::Unknown {
                kind: kind::MTU,
                data: &[3; 14],
            },
        ];
        let bytes: Vec<u8> = list.iter().flat_map(emitted).collect();
        let got: Vec<_> = options(&bytes).map(Result::unwrap).collect();
        assert_eq!(got, list);
        assert_eq!(list[0].mac(), Some(MacAddr([2, 0, 0, 0, 0, 1])));
        assert_eq!(list[1].mac(), None);
        assert_eq!(list[8].preference(), Some(Preference::Low));
        let prefix: Ipv6Addr = "fdfd:fdfd:fdfd:fdfd::".parse().unwrap();
        assert_eq!(list[8].route_prefix(), Some(prefix));
        assert_eq!(list[12].uri(), Some("https://portal/api"));
        for option in list {
            for len in 0..option.emit_len() {
                let mut short = vec![0; len];
                let result = option.emit(&mut Writer::new(&mut short));
                assert_eq!(result, Err(ParseError::NoRoom));
                let cut = emitted(&option);
                assert!(len == 0 || options(&cut[..len]).all(|o| o.is_err()));
            }
        }
    }

    #[test]
    fn options_that_end_the_list() {
        let mtu = [5, 1, 0, 0, 0, 0, 5, 220];
        for bad in [
            &[1, 0, 0, 0, 0, 0, 0, 0][..],
            &[1, 2, 0, 0, 0, 0, 0, 0],
            &[1],
        ] {
            let bytes = [&mtu, bad].concat();
            let got: Vec<_> = options(&bytes).collect();
            assert_eq!(got.len(), 2);
            assert!(got[0].is_ok() && got[1].is_err(), "{got:?}");
        }
        let odd = NdpOption::Nonce(&[1; 7]);
        assert!(odd.emit(&mut Writer::new(&mut [0; 64])).is_err());
    }

    #[test]
    fn domain_names() {
        let names = b"\x03lab\x04test\0\x02a.\x01\xff\0\0\0\0";
        let got: Vec<_> = DomainNames::new(names)
            .map(|name| name.unwrap().to_string())
            .collect();
        assert_eq!(got, ["lab.test", "a\\046.\\255"]);
        for bad in [&b"\x03la"[..], b"\x03lab", b"\xc0\x00", &[1; 300]] {
            let got: Vec<_> = DomainNames::new(bad).collect();
            assert!(matches!(got[..], [Err(_)]), "{got:?}");
        }
    }

    #[test]
    fn preferences() {
        for preference in [
            Preference::High,
            Preference::Medium,
            Preference::Low,
            Preference::Reserved,
        ] {
            let flags = RouterFlags(0xff).with_preference(preference);
            assert_eq!(flags.preference(), preference);
            assert!(flags.contains(RouterFlags(0xe7)));
        }
        assert_eq!(pref64_len(5), Some(32));
        assert_eq!(pref64_len(6), None);
    }
}
