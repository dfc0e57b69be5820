//! What a listener is told at birth: plain data.

use super::options::Options;
use crate::wire::Cidr;
use alloc::vec::Vec;

/// When a SYN is answered without keeping anything of it (RFC 4987 §3.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cookies {
    /// Never: a SYN that finds no room is dropped.
    Never,
    /// Where the queue of half-open connections is full.
    #[default]
    WhenFull,
    /// For every SYN.
    Always,
}

/// Policies and limits of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// Open connections that wait to be accepted. While so many do, a SYN is dropped, and so is the
    /// acknowledgment that would open one more.
    pub backlog: usize,
    /// Connections whose SYN was answered and whose acknowledgment has not come.
    pub syn_backlog: usize,
    /// What its connections are told.
    pub options: Options,
    /// When a SYN is answered by a cookie.
    pub cookies: Cookies,
    /// Whom it talks to; empty: to everyone. Others are answered as if nobody listened.
    pub accept_from: Vec<Cidr>,
    /// Connections that may wait with data from their SYN, which nobody has acknowledged to be
    /// theirs (RFC 7413 §5.1, `PendingFastOpenRequests`). Zero: Fast Open is off.
    pub fast_open: usize,
    /// Data in a SYN is taken without a cookie, where Fast Open is on: for networks whose addresses
    /// nobody can forge (RFC 7413 §2 leaves servers the choice).
    pub fast_open_without_cookie: bool,
    /// The acknowledgment that would open one connection more than `backlog` lets wait is answered
    /// with a reset; else it is dropped, and the peer may try again.
    pub reset_on_overflow: bool,
    /// So many timeouts of a SYN-ACK long an acknowledgment without data opens nothing: the user
    /// hears of the connection when there is something to read. Zero: at once.
    pub defer: u8,
    /// On `[::]` it takes connections of IPv6 alone (`IPV6_V6ONLY`, RFC 3493 §5.3). Off, of both
    /// families.
    pub only_v6: bool,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 128,
            syn_backlog: 256,
            options: Options::default(),
            cookies: Cookies::WhenFull,
            accept_from: Vec::new(),
            fast_open: 0,
            fast_open_without_cookie: false,
            reset_on_overflow: false,
            defer: 0,
            only_v6: false,
        }
    }
}
