//! Interfaces, addresses and routes of the kernel, by rtnetlink (RFC 3549 §2-3; linux/rtnetlink.h).
//!
//! ```text
//!  +--------------- nlmsghdr ----------------+-- family header --+-- attributes --+
//!  | length | type | flags | sequence | port | ifinfo/ifaddr/... | len type value |
//!  +-----------------------------------------+-------------------+----------------+
//! ```
//!
//! Seven messages are all a sandbox needs, so that they are written here by hand: no `ip` tool, no
//! crate. Promises: each call waits for the kernel's acknowledgement, so that what it asked for
//! holds when it returns. Left out: reading tables back,
//! but for whether a link is operational.

use super::sys;
use stack::wire::{Cidr, ndp::solicited_node};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr};

// linux/if_link.h, if_addr.h, rtnetlink.h, veth.h.
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_REQUEST_ACK: u16 = 0x1 | 0x4;
const NLM_F_CREATE_EXCL: u16 = 0x400 | 0x200;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_TXQLEN: u16 = 13;
const IFLA_OPERSTATE: u16 = 16;
const IF_OPER_UP: u8 = 6;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_F_NODAD: u8 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IFF_UP: u32 = 1;
const HEADER_LEN: usize = 16;
const IFINFO_LEN: usize = 16;
/// The kernel's own recommendation for a receive buffer, so that no answer is cut.
const ANSWER_LEN: usize = 32_768;

/// A connection to the kernel's tables of this network namespace.
#[derive(Debug)]
pub struct Netlink {
    socket: File,
    sequence: u32,
}

impl Netlink {
    /// Opens one.
    ///
    /// # Errors
    /// What the OS says.
    pub fn open() -> io::Result<Self> {
        let socket = sys::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
        Ok(Self {
            socket: socket.into(),
            sequence: 0,
        })
    }

    /// Brings interface `name` up.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_up(&mut self, name: &str) -> io::Result<()> {
        let message = Message::link(sys::if_index(name)?, IFF_UP, IFF_UP);
        self.ask(RTM_NEWLINK, 0, message)
    }

    /// Waits until interface `name` carries frames. Of a veth pair the end that came up first is
    /// made ready by a kernel worker some time after the other: what is sent before is lost.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] after two seconds, as with a cable that is not plugged in.
    #[expect(
        clippy::disallowed_methods,
        reason = "building the network comes before the runtime's loop"
    )]
    pub fn wait_until_running(&mut self, name: &str) -> io::Result<()> {
        const TRIES: u32 = 2000;
        for _ in 0..TRIES {
            // Not IFF_RUNNING, which is also set while the state is not known yet.
            if self.operational_state(name)? == Some(IF_OPER_UP) {
                // The state is set a moment before the transmit queue is there, both under the
                // lock that this request takes.
                return self.set_up(name);
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// RFC 2863's ifOperStatus, in Linux's numbers.
    fn operational_state(&mut self, name: &str) -> io::Result<Option<u8>> {
        let message = Message::link(sys::if_index(name)?, 0, 0);
        self.send(RTM_GETLINK, NLM_F_REQUEST, &message)?;
        let mut answer = [0; ANSWER_LEN];
        let n = self.socket.read(&mut answer)?;
        let attributes = answer[..n].get(HEADER_LEN + IFINFO_LEN..);
        Ok(find(attributes.unwrap_or_default(), IFLA_OPERSTATE).and_then(|v| v.first().copied()))
    }

    /// Sets the MTU of interface `name`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_mtu(&mut self, name: &str, mtu: u32) -> io::Result<()> {
        let mut message = Message::link(sys::if_index(name)?, 0, 0);
        message.attribute(IFLA_MTU, &mtu.to_ne_bytes());
        self.ask(RTM_NEWLINK, 0, message)
    }

    /// Sets how many frames wait for interface `name` to take them.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_queue_len(&mut self, name: &str, frames: u32) -> io::Result<()> {
        let mut message = Message::link(sys::if_index(name)?, 0, 0);
        message.attribute(IFLA_TXQLEN, &frames.to_ne_bytes());
        self.ask(RTM_NEWLINK, 0, message)
    }

    /// Sets the hardware address of interface `name`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_mac(&mut self, name: &str, mac: stack::wire::MacAddr) -> io::Result<()> {
        let mut message = Message::link(sys::if_index(name)?, 0, 0);
        message.attribute(IFLA_ADDRESS, &mac.0);
        self.ask(RTM_NEWLINK, 0, message)
    }

    /// Makes a pair of virtual Ethernet interfaces, each the other's wire.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn add_veth(&mut self, name: &str, peer: &str) -> io::Result<()> {
        let mut message = Message::link(0, 0, 0);
        message.text(IFLA_IFNAME, name);
        message.nested(IFLA_LINKINFO, |info| {
            info.attribute(IFLA_INFO_KIND, b"veth");
            info.nested(IFLA_INFO_DATA, |data| {
                data.nested(VETH_INFO_PEER, |p| {
                    p.put(&Message::link(0, 0, 0).0);
                    p.text(IFLA_IFNAME, peer);
                });
            });
        });
        self.ask(RTM_NEWLINK, NLM_F_CREATE_EXCL, message)
    }

    /// Makes a learning bridge.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn add_bridge(&mut self, name: &str) -> io::Result<()> {
        let mut message = Message::link(0, 0, 0);
        message.text(IFLA_IFNAME, name);
        message.nested(IFLA_LINKINFO, |info| {
            info.attribute(IFLA_INFO_KIND, b"bridge");
        });
        self.ask(RTM_NEWLINK, NLM_F_CREATE_EXCL, message)
    }

    /// Makes interface `name` a port of bridge `bridge`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_master(&mut self, name: &str, bridge: &str) -> io::Result<()> {
        let mut message = Message::link(sys::if_index(name)?, 0, 0);
        message.attribute(IFLA_MASTER, &sys::if_index(bridge)?.to_ne_bytes());
        self.ask(RTM_NEWLINK, 0, message)
    }

    /// Deletes interface `name`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn delete(&mut self, name: &str) -> io::Result<()> {
        let message = Message::link(sys::if_index(name)?, 0, 0);
        self.ask(RTM_DELLINK, 0, message)
    }

    /// Gives interface `name` an address. An IPv6 one is usable at once: no duplicate detection, and
    /// the kernel hears who asks for it.
    ///
    /// # Errors
    /// What the kernel says; [`io::ErrorKind::AlreadyExists`] where it is there.
    pub fn add_address(&mut self, name: &str, address: Cidr) -> io::Result<()> {
        let mut message = Message::default();
        let (family, octets) = octets(address.addr());
        message.put(&[family, address.prefix_len(), IFA_F_NODAD, 0]);
        message.put(&sys::if_index(name)?.to_ne_bytes());
        message.attribute(IFA_LOCAL, &octets);
        message.attribute(IFA_ADDRESS, &octets);
        self.ask(RTM_NEWADDR, NLM_F_CREATE_EXCL, message)?;
        if let IpAddr::V6(addr) = address.addr() {
            wait_until_heard(name, addr);
        }
        Ok(())
    }

    /// Adds a route to `destination` by gateway `via`.
    ///
    /// # Errors
    /// What the kernel says; [`io::ErrorKind::AlreadyExists`] where it is there.
    pub fn add_route(&mut self, destination: Cidr, via: IpAddr) -> io::Result<()> {
        let network = destination.network();
        let (family, to) = octets(network.addr());
        let (_, gateway) = octets(via);
        // Table main, protocol static, scope universe, type unicast.
        let mut message = Message::default();
        message.put(&[family, network.prefix_len(), 0, 0, 254, 4, 0, 1, 0, 0, 0, 0]);
        if network.prefix_len() > 0 {
            message.attribute(RTA_DST, &to);
        }
        message.attribute(RTA_GATEWAY, &gateway);
        self.ask(RTM_NEWROUTE, NLM_F_CREATE_EXCL, message)
    }

    /// Adds a route to `destination` on the link of interface `name`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn add_link_route(&mut self, destination: Cidr, name: &str) -> io::Result<()> {
        let network = destination.network();
        let (family, to) = octets(network.addr());
        // As above, but scope link.
        let mut message = Message::default();
        message.put(&[
            family,
            network.prefix_len(),
            0,
            0,
            254,
            4,
            253,
            1,
            0,
            0,
            0,
            0,
        ]);
        message.attribute(RTA_DST, &to);
        message.attribute(RTA_OIF, &sys::if_index(name)?.to_ne_bytes());
        self.ask(RTM_NEWROUTE, NLM_F_CREATE_EXCL, message)
    }

    /// Sends one request and waits for its acknowledgement.
    fn ask(&mut self, kind: u16, flags: u16, body: Message) -> io::Result<()> {
        self.send(kind, flags | NLM_F_REQUEST_ACK, &body)?;
        loop {
            let mut answer = [0; ANSWER_LEN];
            let n = self.socket.read(&mut answer)?;
            if let Some(errno) = acknowledgement(&answer[..n], self.sequence) {
                return match errno {
                    0 => Ok(()),
                    e => Err(io::Error::from_raw_os_error(-e)),
                };
            }
        }
    }

    fn send(&mut self, kind: u16, flags: u16, body: &Message) -> io::Result<()> {
        self.sequence += 1;
        let len = u32::try_from(HEADER_LEN + body.0.len()).map_err(io::Error::other)?;
        let mut request = Vec::with_capacity(HEADER_LEN + body.0.len());
        request.extend_from_slice(&len.to_ne_bytes());
        request.extend_from_slice(&kind.to_ne_bytes());
        request.extend_from_slice(&flags.to_ne_bytes());
        request.extend_from_slice(&self.sequence.to_ne_bytes());
        request.extend_from_slice(&0u32.to_ne_bytes());
        request.extend_from_slice(&body.0);
        self.socket.write_all(&request)
    }
}

/// Waits until the kernel has joined the solicited-node group of an address on interface `name`. A
/// kernel worker does, some time after the request was acknowledged, and a solicitation that comes
/// before is asked again a second later. An interface that is down joins none: not for long.
#[expect(
    clippy::disallowed_methods,
    reason = "building the network comes before the runtime's loop"
)]
fn wait_until_heard(name: &str, addr: Ipv6Addr) {
    const TRIES: u32 = 100;
    let group = format!("{:032x}", solicited_node(addr).to_bits());
    for _ in 0..TRIES {
        let Ok(groups) = std::fs::read_to_string("/proc/net/igmp6") else {
            return;
        };
        let joined =
            |line: &str| line.contains(&group) && line.split_whitespace().nth(1) == Some(name);
        if groups.lines().any(joined) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// The value of the first attribute of a kind.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let len = usize::from(u16::from_ne_bytes(*attributes.first_chunk()?));
        let kind = u16::from_ne_bytes(*attributes.get(2..)?.first_chunk()?);
        if kind == wanted {
            return attributes.get(4..len);
        }
        // At least its own header, or this would not end.
        attributes = attributes.get(len.max(4).next_multiple_of(4)..)?;
    }
}

/// The (negative) error number in the acknowledgement of request `sequence`; `None` where this is
/// something else.
fn acknowledgement(answer: &[u8], sequence: u32) -> Option<i32> {
    let kind = u16::from_ne_bytes(*answer.get(4..)?.first_chunk()?);
    let answered = u32::from_ne_bytes(*answer.get(8..)?.first_chunk()?);
    let errno = i32::from_ne_bytes(*answer.get(HEADER_LEN..)?.first_chunk()?);
    (kind == NLMSG_ERROR && answered == sequence).then_some(errno)
}

fn octets(addr: IpAddr) -> (u8, Vec<u8>) {
    match addr {
        IpAddr::V4(a) => (AF_INET, a.octets().to_vec()),
        IpAddr::V6(a) => (AF_INET6, a.octets().to_vec()),
    }
}

/// The body of a request: a family header and attributes, each on a 4-byte boundary.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// `struct ifinfomsg`.
    fn link(index: u32, flags: u32, change: u32) -> Self {
        let mut m = Self::default();
        m.put(&[0; 4]);
        m.put(&index.to_ne_bytes());
        m.put(&flags.to_ne_bytes());
        m.put(&change.to_ne_bytes());
        m
    }

    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nested(kind, |m| m.put(value));
    }

    /// A text with the zero byte the kernel wants behind it.
    fn text(&mut self, kind: u16, value: &str) {
        self.nested(kind, |m| {
            m.put(value.as_bytes());
            m.put(&[0]);
        });
    }

    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.put(&[0, 0]);
        self.put(&kind.to_ne_bytes());
        fill(self);
        let len = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_nest_and_align() {
        let mut m = Message::default();
        m.nested(18, |m| {
            m.attribute(1, b"veth");
            m.text(3, "ab");
        });
        let mut want = Vec::new();
        let field = |v: u16| v.to_ne_bytes();
        for part in [field(20), field(18), field(8), field(1)] {
            want.extend_from_slice(&part);
        }
        want.extend_from_slice(b"veth");
        for part in [field(7), field(3)] {
            want.extend_from_slice(&part);
        }
        want.extend_from_slice(b"ab\0\0");
        assert_eq!(m.0, want);
        assert_eq!(find(&want[4..], 3), Some(&b"ab\0"[..]));
        assert_eq!(find(&want[4..], 9), None);
        assert_eq!(find(&[0; 8], 9), None, "a length of zero ends");
    }

    #[test]
    fn only_the_awaited_acknowledgement_counts() {
        let mut answer = vec![0; 36];
        answer[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        answer[8..12].copy_from_slice(&7u32.to_ne_bytes());
        answer[16..20].copy_from_slice(&(-17i32).to_ne_bytes());
        assert_eq!(acknowledgement(&answer, 7), Some(-17));
        assert_eq!(acknowledgement(&answer, 8), None);
        assert_eq!(acknowledgement(&answer[..18], 7), None);
    }
}
